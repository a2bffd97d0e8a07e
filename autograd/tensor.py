"""Tensor: an array and the node that made it. Operators and methods are the primitives; no calculus here."""

import functools
import sys
import threading
import warnings

import numpy as np

from . import engine, graph, ops
from .graph import LARGE, Leaf, Part, mode, pull, wrap
from .ops.numeric import add_rows, add_up

__all__ = ["Tensor", "tensor"]


_accumulating = threading.Lock()  # threads may share parameters


def tensor(data, dtype=None, requires_grad=False):
    """A Tensor with a copy of `data` (array, number, nested list, or Tensor).

    A numpy array keeps its dtype; Python floats become float64, as in numpy.

    >>> import mytorch as mt
    >>> x = mt.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4., 6.])
    """
    return Tensor(data, dtype=dtype, requires_grad=requires_grad)


@engine.carrier
class Tensor:
    """A numpy array that remembers how it was computed.

    A Tensor is a value: operations make new ones, and `x[i] = v` or `x += y` give the handle `x` a new value that
    differentiates correctly, while views taken earlier keep what they saw. Only leaves that require grad, and
    parameters, change in place, under `no_grad`.
    """

    __slots__ = ("__weakref__", "_data", "_leaf", "_node")  # _leaf only where gradients arrive
    _trained = False  # whether it is a parameter

    def __init__(self, data, dtype=None, requires_grad=False):
        try:
            self._data = self._copied(data._data if isinstance(data, Tensor) else data, dtype=dtype)
        except (TypeError, ValueError) as error:
            raise type(error)(f"tensor: no array can be made of this {type(data).__name__}: {error}") from error
        if self._data.dtype.kind not in "fiubc":
            raise TypeError(f"tensor: no numeric array can be made of this {type(data).__name__}")
        self._node = None
        if requires_grad:
            self.requires_grad = True

    # ----- what the engine asks of its carrier -----

    _coerce = staticmethod(np.asarray)
    _copied = staticmethod(np.array)

    @staticmethod
    def _owned(g, seen):
        """A gradient in memory of its own: rules may pass on a view, or one array for two arguments."""
        if not isinstance(g, np.ndarray) or g.base is not None or id(g) in seen:
            return np.array(getattr(g, "_data", g))
        seen.add(id(g))
        return g

    @staticmethod
    @np.errstate(divide="raise", invalid="raise", over="raise")  # as a decorator it takes half the time of a block
    def _strictly(f, *args):
        """f(*args), where dividing by zero, overflow and 0 times inf raise FloatingPointError."""
        return f(*args)

    @staticmethod
    def _quiet():
        return np.errstate(all="ignore")

    @staticmethod
    def _accumulate(entry, ct):
        """entry[1] += ct, for the cotangents of one source: in place where that saves memory."""
        frugal = getattr(ct, "nbytes", 0) >= LARGE
        try:
            entry[1] = _sum(entry, ct) if frugal else entry[1] + ct
        except FloatingPointError:  # inf - inf: two rules have told of it
            with Tensor._quiet():
                entry[1] = _sum(entry, ct)

    @staticmethod
    def _added_up(ct, axes):
        """The sum of a cotangent over axes."""
        if isinstance(ct, Tensor):
            return ct.sum(axes)
        return add_rows(ct) if axes == 0 else add_up(ct, axes)

    @staticmethod
    def _whole(part):
        """The array of a Part."""
        out = np.zeros(part.shape, part.dtype)
        out[part.index] = part.g
        return out

    @staticmethod
    def _singular(node, rule, g, ans, args, trouble):
        """What `rule` gives, with 0 for nan where the cotangent `g` is 0: nothing flows back through what was not used.

        What is infinite or nan for another reason stays so, with a warning that names the operation.
        """
        with np.errstate(all="ignore"):
            ct = rule(g, ans, *args, **(node.kwargs or {}))
            if isinstance(ct, (list, tuple)):  # of a sequence: its rule has looked at what it gives, if it is ours
                return ct
            raw_g, raw = (getattr(v, "_data", v) for v in (g, ct))
            if np.shape(raw_g) == np.shape(raw):
                unused = np.isnan(raw) & (raw_g == 0)
                if unused.any() and isinstance(ct, Tensor):
                    ct = _away_from(unused, rule, g, ans, args, node.kwargs or {})
                ct = ops.where(unused, 0, ct)
                raw = getattr(ct, "_data", ct)
        if not np.isfinite(raw).all():
            message = f"backward of {node.op.name}: {trouble}; the gradient is not finite there"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        return ct

    # ----- data -----

    @property
    def data(self):
        """The array itself, to be read; `numpy()` gives a view that cannot be written to.

        Assign to it, `p.data = array` or `p.data -= step`, to give a leaf that requires grad another value: backward
        notices that. It cannot notice what is written into the array, `p.data[i] = v`; write `p[i] = v` under no_grad.
        Nor what is done to the array of another tensor: write `b.data = b.data - step` there.
        """
        data = self._data
        return np.asarray(data) if isinstance(data, np.generic) else data

    @data.setter
    def data(self, value):
        value = self._coerce(value._data if isinstance(value, Tensor) else value)
        if not self.is_leaf:
            raise RuntimeError(f"data: this tensor was computed (by {self._node.op.name}); only a leaf's can be set")
        if self._node is not None and value.dtype.kind != "f":
            raise _cannot_require_grad(value.dtype)
        self._data = value
        leaf = getattr(self, "_leaf", None)
        if leaf is not None:
            if leaf.grad is not None and leaf.grad.shape != value.shape:
                leaf.grad = None
            leaf.shape, leaf.dtype = value.shape, value.dtype
            leaf.mark_changed()

    def numpy(self):
        """A read-only view of the data."""
        view = np.asarray(self._data).view()
        view.flags.writeable = False
        return view

    def item(self):
        """The value of a tensor of one element as a Python number."""
        if self._data.size != 1:
            raise ValueError(f"item: a tensor of one element is needed, this one has shape {self.shape}")
        return self._data.item()

    def tolist(self):
        return self._data.tolist()

    shape = property(lambda self: self._data.shape, doc="The shape, a tuple of ints.")
    ndim = property(lambda self: self._data.ndim, doc="The number of axes.")
    size = property(lambda self: self._data.size, doc="The number of elements.")
    dtype = property(lambda self: self._data.dtype, doc="The numpy dtype.")

    def __len__(self):
        if not self._data.ndim:
            raise TypeError("len: a tensor of shape () has no length")
        return len(self._data)

    def __iter__(self):
        if not self._data.ndim:
            raise TypeError("iter: a tensor of shape () cannot be iterated over; item() gives its number")
        return (self[i] for i in range(len(self._data)))

    def __bool__(self):
        if self._data.size != 1:
            raise ValueError(
                f"bool: a tensor of shape {self.shape} is neither true nor false; use .any(), .all() or mt.where"
            )
        return bool(self._data)

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __index__(self):
        return self._data.__index__()

    def __format__(self, spec):
        return format(self.item(), spec) if spec else repr(self)

    def __repr__(self):
        text = np.array2string(np.asarray(self._data), prefix="tensor(", separator=", ")
        if self._data.dtype not in (np.float64, np.int64, np.bool_):
            text += f", dtype={self._data.dtype}"
        if self._node is not None:
            text += ", requires_grad=True" if self.is_leaf else f", op={self._node.op.name}"
        return f"tensor({text})"

    def __copy__(self):
        return self.__deepcopy__({})

    def __deepcopy__(self, memo):
        if not self.is_leaf:
            raise RuntimeError(
                f"copy: this tensor was computed (by {self._node.op.name}) and a copy would lose its graph; "
                "copy x.detach() instead"
            )
        return _unpickled(type(self), self._data, self.requires_grad, self.grad)

    def __reduce__(self):
        if not self.is_leaf:
            raise RuntimeError(
                f"pickle: this tensor was computed (by {self._node.op.name}) and would lose its graph; "
                "pickle x.detach() instead"
            )
        return _unpickled, (type(self), self.data, self.requires_grad, None if self.grad is None else self.grad.data)

    # ----- gradients -----

    @property
    def requires_grad(self):
        """True where gradients flow: in a leaf that asks for them, and in what is computed from it."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, flag):
        if not self.is_leaf:
            raise RuntimeError(
                f"requires_grad: this tensor was computed (by {self._node.op.name}); detach() gives one that can be set"
            )
        if not flag:
            self._node = None
        elif self._node is None:
            if self._data.dtype.kind != "f":
                raise _cannot_require_grad(self._data.dtype)
            if getattr(self, "_leaf", None) is None:
                self._leaf = Leaf(self._data.shape, self._data.dtype)
            self._node = self._leaf

    def requires_grad_(self, flag=True):
        """Sets `requires_grad`, returns the tensor."""
        self.requires_grad = flag
        return self

    @property
    def is_leaf(self):
        """True where no recorded operation made the tensor."""
        return self._node is None or self._node.op is None

    @property
    def grad(self):
        """The gradient that `backward` accumulated here, a Tensor; None before, and for tensors that are computed."""
        leaf = getattr(self, "_leaf", None)
        return leaf.grad if leaf is not None else None

    @grad.setter
    def grad(self, value):
        leaf = getattr(self, "_leaf", None)
        if leaf is None:
            raise RuntimeError("grad: only a leaf that requires grad has one")
        if value is not None:
            value = value if isinstance(value, Tensor) else wrap(self._coerce(value))
            if value.shape != self.shape:
                raise ValueError(f"grad: the gradient has shape {value.shape}, the tensor {self.shape}")
            value = value if value.dtype == self.dtype else value.astype(self.dtype)
        leaf.grad = value

    def backward(self, gradient=None, retain_graph=None, create_graph=False):
        """Adds the gradient of this tensor to `grad` of every leaf it was computed from.

        gradient:     the cotangent to start from, of this tensor's shape; 1 for a tensor of one element.
        retain_graph: keep the graph for another backward; by default it is freed, and with it what it kept.
        create_graph: record the backward pass itself, so that the gradients can be differentiated.
        """
        if self._node is None:
            raise RuntimeError(
                "backward: this tensor does not require grad: nothing it was computed from does, "
                "or it was computed under no_grad"
            )
        seed = self._seed("backward", gradient, create_graph)
        retain_graph = create_graph if retain_graph is None else retain_graph
        arrived = pull([(self._node, seed)], create_graph=create_graph, retain_graph=retain_graph)
        seen, owned = {id(seed)}, Tensor._owned
        with _accumulating:
            for leaf, g in arrived.values():
                if not create_graph:
                    if type(g) is np.ndarray and g.base is None and id(g) not in seen:
                        seen.add(id(g))  # `_owned`, without a call: this is done for every parameter
                    else:
                        g = owned(g, seen)
                    g = wrap(g)
                if leaf.grad is not None:
                    with graph._set_mode(create_graph):
                        g = leaf.grad + g
                leaf.grad = g

    def _seed(self, who, gradient, create_graph):
        """`gradient` as the cotangent of this tensor: an array, or with create_graph a Tensor."""
        if gradient is None:
            if self._data.size != 1:
                raise RuntimeError(
                    f"backward: a gradient starts from one number, this tensor has shape {self.shape}; "
                    "call .sum() or .mean() first, or pass backward(gradient)"
                )
            gradient = np.ones(self.shape, self.dtype) if self.ndim else _one(self.dtype)
            return wrap(gradient) if create_graph else gradient
        raw = self._coerce(gradient._data if isinstance(gradient, Tensor) else gradient)
        its, whose = ("gradient", "tensor") if who == "backward" else ("cotangent", "answer")
        if raw.dtype.kind not in "fiub":
            raise TypeError(f"{who}: the {its} has dtype {raw.dtype}, the {whose} {self.dtype}")
        if raw.shape != self.shape:
            raise ValueError(f"{who}: the {its} has shape {raw.shape}, the {whose} {self.shape}")
        if raw.dtype != self.dtype:
            raw = raw.astype(self.dtype)
            gradient = gradient.astype(self.dtype) if isinstance(gradient, Tensor) else raw
        if not create_graph:
            return raw
        return gradient if isinstance(gradient, Tensor) else wrap(self._copied(raw))  # it is recorded

    def detach(self):
        """The same value without its history."""
        return wrap(self._data)

    # ----- changing a value -----

    def __setitem__(self, index, value):
        index = _plain_index(index)
        if self._changes_in_place():
            self._own_memory()
            try:
                self._data[index] = value._data if isinstance(value, Tensor) else value
            except (IndexError, ValueError, TypeError) as error:
                ops.setitem.op.fail(error, (self, index, value), {})
            self._changed()
        else:
            changed = ops.setitem(self, index, value)
            self._data, self._node = changed._data, changed._node

    def _changes_in_place(self):
        """Under no_grad, leaves that require grad, or did; and parameters, frozen or not."""
        if mode.enabled:
            return False
        if self._node is None:
            return self._trained or getattr(self, "_leaf", None) is not None
        return self._node.op is None

    def _own_memory(self):
        """Makes sure nobody else sees this leaf's memory: a detached tensor, a view or a recorded value keeps its own.

        Three references mean nobody: the slot, the variable here and getrefcount's own argument. A numpy scalar becomes
        an array.
        """
        data = self._data
        alone = isinstance(data, np.ndarray) and data.base is None and sys.getrefcount(data) <= 3  # `data` is the third
        if not (alone and data.flags.writeable):
            self._data = np.array(data)

    def _changed(self):
        leaf = getattr(self, "_leaf", None)
        if leaf is not None:
            leaf.mark_changed()

    def _writable(self, where=None):
        """The array of this leaf for the caller to change in place now: nobody else's memory, the change noted."""
        self._own_memory()
        self._node.mark_changed(where)
        return self._data

    def _update(self, ufunc, other):
        """`self op= other`: in place for a leaf under no_grad, else the name is bound to a new value."""
        if not self._changes_in_place():
            return ops.UFUNCS[ufunc](self, other)
        other = other._data if isinstance(other, Tensor) else other
        self._own_memory()
        try:
            ufunc(self._data, other, out=self._data, casting="same_kind")
        except (ValueError, TypeError) as error:
            ops.UFUNCS[ufunc].op.fail(error, (self, other), {})
        self._changed()
        return self

    # fmt: off
    def __iadd__(self, other): return self._update(np.add, other)
    def __isub__(self, other): return self._update(np.subtract, other)
    def __imul__(self, other): return self._update(np.multiply, other)
    def __itruediv__(self, other): return self._update(np.divide, other)
    def __ipow__(self, other): return self._update(np.power, other)
    def __ifloordiv__(self, other): return self._update(np.floor_divide, other)
    def __imod__(self, other): return self._update(np.remainder, other)
    def __imatmul__(self, other): return self._update(np.matmul, other)

    # ----- operators: the primitives themselves -----

    __add__, __sub__, __mul__, __truediv__ = ops.add, ops.subtract, ops.multiply, ops.divide
    __pow__, __matmul__, __neg__, __abs__ = ops.power, ops.matmul, ops.negative, ops.abs
    __floordiv__, __mod__ = ops.floor_divide, ops.remainder

    __radd__, __rmul__ = ops.add, ops.multiply  # they commute
    def __rsub__(self, other): return ops.subtract(other, self)
    def __rtruediv__(self, other): return ops.divide(other, self)
    def __rpow__(self, other): return ops.power(other, self)
    def __rmatmul__(self, other): return ops.matmul(other, self)
    def __rfloordiv__(self, other): return ops.floor_divide(other, self)
    def __rmod__(self, other): return ops.remainder(other, self)
    def __pos__(self): return self

    __lt__, __le__, __gt__, __ge__ = ops.less, ops.less_equal, ops.greater, ops.greater_equal
    __eq__, __ne__ = ops.equal, ops.not_equal
    __hash__ = object.__hash__
    __getitem__ = ops.getitem
    __invert__, __and__, __or__, __xor__ = ops.invert, ops.bitwise_and, ops.bitwise_or, ops.bitwise_xor
    __rand__, __ror__, __rxor__ = ops.bitwise_and, ops.bitwise_or, ops.bitwise_xor  # they commute
    # fmt: on

    # ----- methods: the primitives under the names of ndarray's methods -----

    exp, log, sqrt, sin, cos, abs = ops.exp, ops.log, ops.sqrt, ops.sin, ops.cos, ops.abs
    tanh, sigmoid, relu, clip = ops.tanh, ops.sigmoid, ops.relu, ops.clip
    sum, mean, prod, max, min, var, std = ops.sum, ops.mean, ops.prod, ops.max, ops.min, ops.var, ops.std
    argmax, argmin, any, all, cumsum = ops.argmax, ops.argmin, ops.any, ops.all, ops.cumsum
    squeeze, swapaxes, ravel, flatten, astype = ops.squeeze, ops.swapaxes, ops.ravel, ops.ravel, ops.astype
    dot, repeat, diagonal, trace, round = ops.dot, ops.repeat, ops.diagonal, ops.trace, ops.round

    def reshape(self, *shape):
        """The same elements in another shape: `reshape(2, 3)` or `reshape((2, 3))`, one of them may be -1."""
        return ops.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes):
        """The axes in another order, reversed by default: `transpose(1, 0)` or `transpose((1, 0))`."""
        axes = axes[0] if len(axes) == 1 and isinstance(axes[0], (tuple, list, type(None))) else axes
        return ops.transpose(self, axes or None)

    @property
    def T(self):
        """The tensor with its axes reversed."""
        return ops.transpose(self)

    @property
    def mT(self):
        """The tensor with its last two axes swapped: every matrix of a stack transposed."""
        return ops.matrix_transpose(self)

    # ----- numpy's own functions on Tensors -----

    def __array__(self, dtype=None, copy=None):
        if self._node is not None and mode.enabled:
            raise TypeError(
                "numpy asks for the array of a tensor that requires grad, and the gradient would be lost; "
                "use a function of mytorch, or x.detach() or x.numpy() if that is meant"
            )
        return np.array(self._data, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if any(isinstance(out, np.ndarray) for out in kwargs.get("out", ())):
            raise TypeError(
                f"numpy.{ufunc.__name__}: an array cannot hold what a tensor records; write `a = a op x`, not `a op= x`"
            )
        called = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        if method != "__call__" or ufunc not in ops.UFUNCS:
            raise TypeError(_unsupported(called))
        if kwargs:
            raise TypeError(f"numpy.{called}: {', '.join(sorted(kwargs))} is not supported on tensors")
        return ops.UFUNCS[ufunc](*inputs)

    def __array_function__(self, func, types, args, kwargs):
        op = ops.FUNCTIONS.get(func)
        if op is None:
            raise TypeError(_unsupported(f"{func.__module__.removeprefix('numpy')}.{func.__name__}".lstrip(".")))
        try:
            return op(*args, **kwargs)
        except TypeError as error:
            called = getattr(op, "__name__", "") + "()"
            if not str(error).startswith(called):
                raise
            raise TypeError(f"numpy.{func.__name__} of a tensor:{str(error).removeprefix(called)}") from None


@functools.lru_cache(maxsize=16)
def _one(dtype):
    """1 as a numpy scalar, with which numpy reckons faster than with an array of shape ()."""
    return np.ones((), dtype)[()]


def _sum(entry, ct):
    """entry[1] + ct, in the memory of entry[1] where nobody else sees it: fresh memory costs more than the sum.

    Two references mean nobody: the entry, and getrefcount's own argument.
    """
    ours = type(entry[1]) is np.ndarray and entry[1].base is None and sys.getrefcount(entry[1]) == 2
    total = entry[1]
    if type(ct) is Part:
        total = total if ours else np.array(total)
        total[ct.index] = total[ct.index] + ct.g  # not +=, which has written when it raises
        return total
    if not ours:
        return total + ct
    with Tensor._quiet():
        return np.add(total, ct, out=total)


def _away_from(unused, rule, g, ans, args, kwargs):
    """What `rule` gives with a harmless number for the arguments where `unused`: no nan is recorded to be met later."""
    for harmless in (1.0, 0.5, 2.0):
        ans_, *args_ = (
            ops.where(unused, harmless, a) if isinstance(a, (Tensor, np.ndarray)) else a for a in (ans, *args)
        )
        ct = rule(g, ans_, *args_, **kwargs)
        if np.isfinite(ct._data[unused]).all():
            break
    return ct


def _unpickled(cls, data, requires_grad, grad):
    copy = cls(data, requires_grad=requires_grad or grad is not None)  # a frozen one may still hold its gradient
    if grad is not None:
        copy.grad = np.array(getattr(grad, "_data", grad))
        copy.requires_grad = requires_grad
    return copy


def _on_data(f):
    """`f` for its plain answer: shapes, tests and the like, which carry no gradient."""

    def call(*args, **kwargs):
        return f(*(a._data if isinstance(a, Tensor) else a for a in args), **kwargs)

    return call


def _wrapped(f):
    return lambda x, *args, **kwargs: wrap(f(x._data, *args, **kwargs))


for _f in (np.shape, np.ndim, np.size, np.result_type, np.allclose, np.array_equal, np.isclose, np.nonzero, np.argwhere,
           np.shares_memory, np.may_share_memory):  # fmt: skip
    ops.FUNCTIONS[_f] = _on_data(_f)
for _f in (np.zeros_like, np.ones_like, np.full_like, np.empty_like):
    ops.FUNCTIONS[_f] = _wrapped(_f)


def _unsupported(name):
    return (
        f"numpy.{name} has no derivative here; compose it of functions that have, give it one with "
        "mytorch.autograd.primitive and defvjp, or call it on x.numpy()"
    )


def _cannot_require_grad(dtype):
    return TypeError(
        f"requires_grad: a tensor of dtype {dtype} cannot require grad, only real floating ones can; "
        "write 1.0 for 1, or pass dtype=float"
    )


def _plain_index(index):
    """`index` with the Tensors in it replaced by their arrays."""
    if isinstance(index, Tensor):
        return index._data
    if type(index) is tuple:
        return tuple(i._data if isinstance(i, Tensor) else i for i in index)
    return index
