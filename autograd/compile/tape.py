"""The tape: every numpy call of one run of a function, forward, backward and update alike.

While a tape runs, the arrays of Tensors are `Traced`: each holds the array it stands for and the name of its value
on the tape. numpy hands its calls on them to `__array_ufunc__` and `__array_function__`, and these compute as ever and
note what was done. So the run gives its answer, and nothing is traced that was not done; rules, layers and optimizers
are none the wiser.

Nothing in the engine asks whether a tape runs. The tape swaps a few attributes of Tensor and Leaf for as long
as it does (`HOOKS`), and so sees every array that is read from a tensor or put into one.
"""

import builtins
import operator
import sys
import threading
import weakref

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from .. import ops
from ..graph import Leaf, mode, wrap
from ..tensor import Tensor
from . import CompileError
from .program import Source, Statement, Var, frozen, replaced

__all__ = ["Fallback", "Tape", "Traced", "running"]


class Fallback(Exception):
    """A function that cannot be compiled, but runs as it is."""


LIMIT = 50_000  # numpy calls: the text of more takes minutes to compile
PACKAGE = __name__.partition(".")[0]
SHAPES = {np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj, np.may_share_memory,
          np.broadcast_shapes, np.min_scalar_type, np.common_type}  # fmt: skip
MAY_VIEW = {np.reshape, np.ravel, np.transpose, np.squeeze, np.expand_dims, np.swapaxes, np.moveaxis, np.broadcast_to,
            np.flip, np.diagonal, np.rollaxis, np.atleast_1d, np.atleast_2d, np.atleast_3d, np.real, np.imag, np.rot90,
            np.permute_dims, np.matrix_transpose}  # fmt: skip
BY_VALUE = {np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.extract, np.compress, np.trim_zeros, np.setdiff1d,
            np.union1d, np.intersect1d, np.bincount}  # fmt: skip


# ----- the arrays of a tape -----


class Traced(NDArrayOperatorsMixin):
    """An array on a tape: the array itself, and its value's name. What changes it in place gives it a new value."""

    __slots__ = ("__weakref__", "base", "tape", "value", "var", "views")
    __array_priority__ = 1000

    def __init__(self, tape, value, var, base=None):
        self.tape = tape
        self.value = value
        self.var = var
        self.base = base
        self.views = None
        if base is not None:
            base.views = [*filter(lambda view: view() is not None, base.views or ()), weakref.ref(self)]

    shape = property(lambda self: self.value.shape)
    dtype = property(lambda self: self.value.dtype)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    nbytes = property(lambda self: self.value.nbytes)
    itemsize = property(lambda self: self.value.itemsize)
    flags = property(lambda self: self.value.flags)
    T = property(lambda self: np.transpose(self))
    mT = property(lambda self: np.swapaxes(self, -1, -2))

    def __len__(self):
        return len(self.value)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if any(isinstance(x, Tensor) for x in inputs):
            return NotImplemented  # it records
        return self.tape.ufunc(ufunc, method, inputs, out, kwargs)

    def __array_function__(self, func, types, args, kwargs):
        if any(issubclass(kind, Tensor) for kind in types):
            return NotImplemented
        return self.tape.function(func, args, kwargs)

    def __getitem__(self, index):
        return self.tape.getitem(self, index)

    def __setitem__(self, index, value):
        self.tape.put("put", None, self, index, value)

    def __pow__(self, n):
        short = {2: np.square, 0.5: np.sqrt, -1: np.reciprocal}.get(n) if type(n) in (int, float) else None
        if short is None or self.var.number or (short is not np.square and self.dtype.kind != "f"):
            return np.power(self, n)
        return short(self)  # as an array does

    # ----- what needs the numbers themselves -----

    def __bool__(self):
        return self.tape.decide(self)

    def _number(self):
        raise CompileError(
            f"compile: the function takes a number out of a tensor, at {users_line()}; it would be the same in every "
            "later call. Return the tensor, or keep it a tensor"
        )

    __float__ = __int__ = __index__ = __complex__ = item = tolist = _number

    def __array__(self, dtype=None, copy=None):
        raise Fallback(f"numpy asks for the array of a traced value, at {users_line()}")

    def __repr__(self):
        return f"Traced({self.shape}, {self.dtype})"

    def __str__(self):
        raise CompileError(
            f"compile: a tensor is printed or written as text, at {users_line()}, which would happen in this call "
            "alone; return the tensor and print it outside"
        )

    def __format__(self, spec):
        if _owner(sys._getframe(1)) == PACKAGE:  # the text of an error
            return str(self.value)
        return str(self)

    # ----- methods, as numpy's functions -----

    def reshape(self, *shape, **kwargs):
        return np.reshape(self, shape[0] if len(shape) == 1 else shape, **kwargs)

    def transpose(self, *axes):
        return np.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)

    def astype(self, dtype, copy=True, **_):
        return self.tape.cast(self, np.dtype(dtype))

    def copy(self, order="C"):
        return self.tape.cast(self, self.dtype)

    def sum(self, axis=None, dtype=None, out=None, keepdims=False):
        return np.add.reduce(self, axis, dtype, out, keepdims)

    def mean(self, axis=None, dtype=None, out=None, keepdims=False):
        return np.mean(self, axis, dtype, out, keepdims=keepdims)

    def max(self, axis=None, out=None, keepdims=False):
        return np.maximum.reduce(self, axis, None, out, keepdims)

    def min(self, axis=None, out=None, keepdims=False):
        return np.minimum.reduce(self, axis, None, out, keepdims)

    def prod(self, axis=None, dtype=None, out=None, keepdims=False):
        return np.multiply.reduce(self, axis, dtype, out, keepdims)

    def any(self, axis=None, out=None, keepdims=False):
        return np.logical_or.reduce(self, axis, None, out, keepdims)

    def all(self, axis=None, out=None, keepdims=False):
        return np.logical_and.reduce(self, axis, None, out, keepdims)

    def fill(self, value):
        self[...] = value

    def view(self, *args):
        if not args:
            return self[...]
        dtype = np.dtype(args[0]) if len(args) == 1 and not isinstance(args[0], type) else None
        if dtype is None or dtype.itemsize != self.itemsize:
            raise Fallback(f"an array is viewed as another type, at {users_line()}")
        return self.tape.call(np.ndarray.view, (self, dtype), {})

    def __getattr__(self, name):
        if name in FUNCTIONS_AS_METHODS:
            return lambda *args, **kwargs: getattr(np, name)(self, *args, **kwargs)
        if hasattr(np.ndarray, name) and not name.startswith("__"):
            raise Fallback(f"the array's {name} is used, at {users_line()}")
        raise AttributeError(f"an array has no attribute {name!r}")


FUNCTIONS_AS_METHODS = {"argmax", "argmin", "argsort", "clip", "cumsum", "cumprod", "diagonal", "dot", "ravel",
                        "repeat", "round", "squeeze", "std", "swapaxes", "take", "trace", "var"}  # fmt: skip


class TracedGenerator(np.random.Generator):
    """A generator that was passed in: what is drawn from it is drawn anew, and it is advanced, in every call."""

    def __init__(self, tape, generator, var):
        super().__init__(generator.bit_generator)
        self.tape, self.generator, self.var = tape, generator, var


def _draw(method):
    def draw(self, *args, **kwargs):
        return self.tape.draw(self, method, args, kwargs)

    return draw


for _name in dir(np.random.Generator):
    if not _name.startswith("_") and _name not in ("bit_generator", "spawn"):
        setattr(TracedGenerator, _name, _draw(_name))


def values(x):
    """Traced arrays replaced by the arrays, in nested tuples, lists, dicts and slices."""
    return replaced(x, lambda leaf: leaf.value if type(leaf) is Traced else leaf)


# ----- the tape -----

PYTHONS = {np.add: operator.add, np.subtract: operator.sub, np.multiply: operator.mul, np.divide: operator.truediv,
           np.power: operator.pow, np.negative: operator.neg}  # fmt: skip


class Tape:
    """One run of a function on Traced arrays, and the statements it made."""

    def __init__(self):
        self.statements = []
        self.inputs = {}  # where from -> Var
        self.states = {}  # id -> (Tensor, the array it had)
        self.grads = {}  # id -> (Leaf, the gradient it had, whether the run looked at it)
        self.made = []  # weak references to the tensors made here
        self.local = set()  # ids of tensors and leaves made here
        self.constants = {}  # id -> Var; the Var keeps the array
        self.numbers = set()  # (id of the holder, key) of the numbers that are looked up anew in every call
        self.memo = {}
        self.strict = 0

    # ----- what comes in -----

    def input(self, source, value):
        """The Traced of what comes from outside: of a `source` that says where to find it in later calls."""
        if source not in self.inputs:
            number = isinstance(value, float) and not isinstance(value, np.generic)
            dtype = np.dtype(float) if number else value.dtype
            self.inputs[source] = Var(np.shape(value), dtype, number=number)
        return Traced(self, value, self.inputs[source])

    def reads(self, tensor, data):
        """The Traced of a tensor that was there before; of one that was made here, the constant array itself."""
        if id(tensor) in self.local:
            return data
        self.states[id(tensor)] = tensor, data
        traced = self.input(Source("tensor", tensor), data)
        DATA.__set__(tensor, traced)
        return traced

    def writes(self, tensor):
        """Notes a tensor before its array is set: a new one, or one whose array comes from outside."""
        if id(tensor) in self.states:
            return
        try:
            data = DATA.__get__(tensor)
        except AttributeError:  # the slot is empty: it is just being made, if under the id of one that is gone
            self.local.add(id(tensor))
            self.made.append(weakref.ref(tensor))
        else:
            self.reads(tensor, data)

    def reads_grad(self, leaf, grad):
        """The gradient a leaf had before, as a tensor of the tape."""
        if id(leaf) in self.local or id(leaf) in self.grads:
            return grad
        self.grads[id(leaf)] = leaf, grad, True
        if grad is not None:
            grad = wrap(self.input(Source("grad", leaf), DATA.__get__(grad)))
            GRAD.__set__(leaf, grad)
        return grad

    def writes_grad(self, leaf):
        """Notes a leaf before its gradient is set."""
        if id(leaf) in self.local or id(leaf) in self.grads:
            return
        try:
            self.grads[id(leaf)] = leaf, GRAD.__get__(leaf), False
        except AttributeError:
            self.local.add(id(leaf))

    def number(self, holder, key):
        """The number holder[key], looked up anew in every call."""
        self.numbers.add((id(holder), key))
        return self.input(Source("number", holder, key), float(holder[key]))

    # ----- what is done -----

    def note(self, kind, func, args, kwargs, result, base=None):
        """The Traced of what was just computed, with its statement; what was computed before is not noted again."""
        args, kwargs = replaced((args, kwargs or None), self._name)
        return self._noted(kind, func, args, kwargs, result, base)

    def _noted(self, kind, func, args, kwargs, result, base):
        key = kind, func, frozen(args), frozen(kwargs)
        var = self.memo.get(key) if kind != "draw" else None
        if var is None:
            line, what = self._where()
            var = Var(result.shape, result.dtype)
            var.made = Statement(kind, func, args, kwargs, var, line, what or func.__name__, self.strict > 0)
            self.statements.append(var.made)
            self.memo[key] = var
            if len(self.statements) > LIMIT:
                raise Fallback(f"it makes more than {LIMIT:,} numpy calls; compile a part, such as one step of a loop")
        return Traced(self, np.asarray(result), var, base)  # a scalar would be copied where an array is viewed

    def _name(self, leaf):
        """The value of a leaf of some arguments: a Traced's, or a constant's."""
        if type(leaf) is Traced:
            if leaf.tape is not self:
                raise CompileError(
                    f"compile: a value that an earlier run left behind is used, at {users_line()}; "
                    "pass it in and return it, or keep it in a tensor"
                )
            return leaf.var
        if isinstance(leaf, np.ndarray):
            var = self.constants.get(id(leaf))
            if var is None:
                var = self.constants[id(leaf)] = Var(leaf.shape, leaf.dtype, const=leaf)
            return var
        return leaf

    def _where(self):
        """(the user's file and line number, the operation's name or None) of what is being done."""
        frame, what = sys._getframe(3), None
        while frame.f_back is not None:
            code = frame.f_code
            name = NAMES.get(code)
            if name is None:
                name = NAMES[code] = "" if _owner(frame) in (PACKAGE, "numpy") else OUTSIDE
            if name is OUTSIDE:
                break
            what = what or name
            frame = frame.f_back
        return (frame.f_code.co_filename, frame.f_lineno), what

    def ufunc(self, ufunc, method, inputs, out, kwargs):
        """What a ufunc, or a method of it, makes of `inputs`."""
        if method == "at":
            return self.put("at", ufunc, *inputs)
        if method == "reduce":
            kwargs = {k: v for k, v in kwargs.items() if not (k in ("dtype", "out") and v is None)}
            traced = self.note("reduce", ufunc, inputs, kwargs, ufunc.reduce(*values(inputs), **values(kwargs)))
        elif method != "__call__" or kwargs or ufunc.nout > 1:
            traced = self.call(ufunc if method == "__call__" else getattr(ufunc, method), inputs, kwargs)
        elif ufunc in PYTHONS and all(type(x) in (int, float) or _is_number(x) for x in inputs):
            traced = self._scalar(PYTHONS[ufunc], inputs)
        else:
            result = ufunc(*[x.value if type(x) is Traced else x for x in inputs])
            args = tuple([x.var if type(x) is Traced and x.tape is self else self._name(x) for x in inputs])
            traced = self._noted("ufunc", ufunc, args, None, result, None)
        return traced if out is None or _is_number(out[0]) else self.assign(out[0], traced)

    def _scalar(self, op, inputs):
        """Python's own arithmetic, whose answer takes the dtype of the array it meets."""
        result = float(op(*values(inputs)))
        traced = self.note("scalar", op, inputs, None, np.float64(result))
        traced.var.number = True
        return Traced(self, result, traced.var)

    def call(self, func, args, kwargs):
        """What any function makes of traced arrays; one that gives no array decides by values, and is refused."""
        result = func(*values(args), **values(kwargs))
        if isinstance(result, (np.ndarray, np.generic)):
            base = _shared(result, args)
            if base is not None and result is base.value:
                return base
            kind = "view" if base is not None or (func in MAY_VIEW and type(args[0]) is Traced) else "call"
            return self.note(kind, func, args, kwargs, result, base)
        if isinstance(result, (tuple, list)) and all(isinstance(part, np.ndarray) for part in result):
            whole = self.note("call", func, args, kwargs, np.empty(len(result), object))
            parts = [self.note("call", operator.getitem, (whole, i), None, part) for i, part in enumerate(result)]
            return result._make(parts) if hasattr(result, "_make") else type(result)(parts)
        raise CompileError(
            f"compile: numpy.{func.__name__} answers with {type(result).__name__}, at {users_line()}, which would be "
            "the same in every later call; keep to functions that give arrays"
        )

    def function(self, func, args, kwargs):
        """What a function of numpy's makes of traced arrays."""
        if func in SHAPES:
            return func(*values(args), **values(kwargs))
        if func in BY_VALUE:
            raise self._by_value(f"numpy.{func.__name__}")
        if func in REWRITTEN:
            return REWRITTEN[func](*args, **kwargs)
        out = kwargs.pop("out", None)
        traced = self.call(func, args, kwargs)
        return traced if out is None else self.assign(out, traced)

    def getitem(self, x, index):
        """x[index]."""
        parts = index if type(index) is tuple else (index,)
        if any(type(part) is Traced and part.dtype.kind == "b" for part in parts):
            raise self._by_value("an index of truths")
        if type(index) is tuple and not index:
            return x
        return self.call(operator.getitem, (x, index), {})

    def _by_value(self, what):
        return CompileError(
            f"compile: how large the answer of {what} is depends on values, at {users_line()}; keep the shape and use "
            "mt.where, or do this outside"
        )

    def cast(self, x, dtype):
        """A copy of x in a dtype."""
        return self.note("cast", np.copyto, (x, dtype), None, np.array(x.value, dtype))

    def put(self, kind, ufunc, x, index, *value):
        """Changes `x` in place: sets, or adds, a value at an index."""
        new = np.array(values(x))
        if kind == "at":
            ufunc.at(new, values(index), *values(value))
        else:
            new[values(index)] = values(value[0])
        self.assign(x, self.note(kind, ufunc or operator.setitem, (x, index, *value), None, new))

    def assign(self, target, traced):
        """Gives the array `target` the value of `traced`, as numpy's `out` does."""
        if type(target) is not Traced:
            raise CompileError(
                f"compile: an array from outside is changed in place, at {users_line()}, which would happen in this "
                "call alone; make it a tensor, or return the new value"
            )
        if target.base is not None or any(view() is not None for view in target.views or ()):
            raise Fallback(f"an array that shares its memory with another is changed in place, at {users_line()}")
        if traced.shape != target.shape:
            traced = np.broadcast_to(traced, target.shape)
        if traced.dtype != target.dtype:
            traced = self.cast(traced, target.dtype)
        target.value, target.var = traced.value, traced.var
        return target

    def draw(self, generator, method, args, kwargs):
        """What a random generator gives."""
        out = kwargs.pop("out", None)
        result = getattr(generator.generator, method)(*values(args), **values(kwargs))
        if not isinstance(result, (np.ndarray, np.generic, float)):  # shuffle changes its argument, bytes gives bytes
            raise Fallback(f"{method} of a random generator gives no array, at {users_line()}")
        number = type(result) is float
        func, args = getattr(np.random.Generator, method), (generator.var, *args)
        traced = self.note("draw", func, args, kwargs, np.float64(result) if number else result)
        traced.var.number = number
        if number:
            return Traced(self, result, traced.var)
        return traced if out is None else self.assign(out, traced)

    def rescues(self, error):
        """Whether an operation that failed with `error` can be noted as a whole."""
        return isinstance(error, (Fallback, CompileError))

    def whole(self, op, args, kwargs):
        """An operation that numpy's protocols cannot look into, as one call of its function."""
        args = replaced(args, lambda leaf: leaf._data if isinstance(leaf, Tensor) else leaf)
        try:  # it may have failed for an array from outside, that a traced one was to be put into
            return op.f(*replaced(args, self._lifted), **kwargs)
        except (Fallback, CompileError):
            pass
        result = np.asarray(op.f(*values(args), **values(kwargs)))
        return self.note("call", op.f, args, kwargs, result)

    def _lifted(self, leaf):
        """A constant array as a Traced one."""
        return Traced(self, leaf, self._name(leaf)) if isinstance(leaf, np.ndarray) else leaf

    def decide(self, x):
        """The truth of `x`. This package's own questions are asked again in every call; the user's are refused."""
        truth = bool(x.value)
        if _owner(sys._getframe(2)) != PACKAGE:
            raise CompileError(
                f"compile: the value of a tensor decides what is done, at {users_line()}; the other way would not be "
                "in the program. Use mt.where, or compile what is before and after it"
            )
        line, what = self._where()
        self.statements.append(Statement("guard", bool, (x.var, truth), None, None, line, what or "guard", False))
        return truth


def users_line():
    """'file:line' of the innermost frame that is neither this package's nor numpy's."""
    frame = sys._getframe(1)
    while frame.f_back and _owner(frame) in (PACKAGE, "numpy"):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _owner(frame):
    """The package whose code runs in a frame."""
    return frame.f_globals.get("__name__", "").partition(".")[0]


def _is_number(x):
    return type(x) is Traced and x.var.number


def _shared(result, args):
    """The Traced among `args` whose memory `result` shows, or None."""
    if getattr(result, "base", None) is None:
        return None if not any(result is getattr(x, "value", None) for x in args) else args[0]
    for x in args:
        if type(x) is Traced and isinstance(x.value, np.ndarray) and np.may_share_memory(result, x.value):
            return x
    return None


# ----- functions of numpy that are made of others -----


def _into(out, result):
    """What a function of numpy's with an `out` gives back."""
    return result if out is None else result.tape.assign(out, result)


def _sum_of(ufunc):
    def reduce(x, axis=None, dtype=None, out=None, keepdims=False, **kwargs):
        return _into(out, ufunc.reduce(x, axis, dtype, None, keepdims, **kwargs))

    return reduce


def _extreme_of(ufunc):
    def reduce(x, axis=None, out=None, keepdims=False, **kwargs):
        return _into(out, ufunc.reduce(x, axis, None, None, keepdims, **kwargs))

    return reduce


def _mean(x, axis=None, dtype=None, out=None, keepdims=False):
    """The mean as numpy's own code takes it: float16 is summed in float32, integers in float64."""
    if dtype is None and x.dtype.kind != "f":
        dtype = float if x.dtype.kind in "iub" else x.dtype
    half = dtype is None and x.dtype == np.float16
    total = np.add.reduce(x, axis, np.float32 if half else dtype, None, keepdims)
    mean = total / ops.reduction.count(x.shape, axis)
    return _into(out, mean.astype(x.dtype) if half else mean)


def _var(x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, correction=None, **kwargs):
    centred = x - _mean(x, axis, dtype, keepdims=True)
    total = np.add.reduce(centred * centred, axis, None, None, keepdims)
    return _into(out, total / max(ops.reduction.count(x.shape, axis) - (correction or ddof), 0))


def _std(x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, **kwargs):
    return _into(out, np.sqrt(_var(x, axis, dtype, None, ddof, keepdims, **kwargs)))


def _like(make):
    def like(x, *args, dtype=None, shape=None, **_):
        shape, dtype = x.shape if shape is None else shape, x.dtype if dtype is None else np.dtype(dtype)
        return x.tape.note("call", make, (shape, *args, dtype), None, make(shape, *values(args), dtype))

    return like


def _new(make):
    def new(*args, **kwargs):
        args, kwargs = values((args, kwargs))
        return mode.tape.note("call", make, args, kwargs, make(*args, **kwargs))

    return new


def _array(x, dtype=None, copy=True, **_):
    return x.tape.cast(x, x.dtype if dtype is None else np.dtype(dtype)) if type(x) is Traced else np.array(x, dtype)


def _copyto(target, x, casting="same_kind", where=True):
    if where is not True:
        x = np.where(where, x, target)
    target[...] = x


REWRITTEN = {
    np.sum: _sum_of(np.add), np.prod: _sum_of(np.multiply), np.max: _extreme_of(np.maximum),
    np.min: _extreme_of(np.minimum), np.any: _extreme_of(np.logical_or), np.all: _extreme_of(np.logical_and),
    np.mean: _mean, np.var: _var, np.std: _std,
    np.zeros: _new(np.zeros), np.ones: _new(np.ones), np.empty: _new(np.empty), np.full: _new(np.full),
    np.zeros_like: _like(np.zeros), np.ones_like: _like(np.ones), np.empty_like: _like(np.empty),
    np.full_like: _like(np.full), np.array: _array, np.copy: _array, np.copyto: _copyto,
    np.asarray: lambda x, dtype=None, **_: x if dtype is None or dtype == x.dtype else x.astype(dtype),
}  # fmt: skip

# ----- what a tape swaps while it runs; threads that run none see no difference -----

tensor = sys.modules[Tensor.__module__]  # `..tensor` is a function
DATA, GRAD = Tensor.__dict__["_data"], Leaf.__dict__["grad"]
_print, _coerce, _strictly = builtins.print, np.asarray, Tensor._strictly
_own, _own_memory, _singular = tensor._own, Tensor._own_memory, Tensor._singular


def _get_data(self):
    data, tape = DATA.__get__(self), mode.tape
    return data if tape is None or type(data) is Traced else tape.reads(self, data)


def _set_data(self, data):
    if mode.tape is not None:
        mode.tape.writes(self)
    DATA.__set__(self, data)


def _get_grad(self):
    grad, tape = GRAD.__get__(self), mode.tape
    return grad if tape is None else tape.reads_grad(self, grad)


def _set_grad(self, grad):
    if mode.tape is not None:
        mode.tape.writes_grad(self)
    GRAD.__set__(self, grad)


def _no_print(*args, **kwargs):
    if mode.tape is None:
        return _print(*args, **kwargs)
    raise CompileError(
        f"compile: the function prints, at {users_line()}, which would happen in this call alone; "
        "return what you want to see, and print it outside"
    )


def _noted_as_strict(f, *args):
    """The state of a backward pass, noted on the tape too."""
    tape = mode.tape
    if tape is None:
        return _strictly(f, *args)
    tape.strict += 1
    try:
        return _strictly(f, *args)
    finally:
        tape.strict -= 1


def _memory_of_its_own(self):
    """A handle of its own: who has the old one keeps what he saw."""
    data = self._data
    if type(data) is Traced:
        DATA.__set__(self, Traced(data.tape, data.value, data.var))
    else:
        _own_memory(self)


def _no_singular(node, rule, g, ans, args, trouble):
    if mode.tape is None:
        return _singular(node, rule, g, ans, args, trouble)
    raise Singular(f"the gradient of {node.op.name} is singular in this call")


class Singular(Fallback):
    """A call that a program cannot do and another call may."""


HOOKS = [
    (Tensor, "_data", property(_get_data, _set_data)),
    (Leaf, "grad", property(_get_grad, _set_grad)),
    (Tensor, "_coerce", staticmethod(lambda x: x if type(x) is Traced else _coerce(x))),
    (Tensor, "_copied", staticmethod(lambda x, dtype=None: _array(x, dtype))),
    (Tensor, "_own_memory", _memory_of_its_own),
    (Tensor, "_strictly", staticmethod(_noted_as_strict)),
    (Tensor, "_singular", staticmethod(_no_singular)),
    (tensor, "_own", lambda g, seen: Traced(g.tape, g.value, g.var) if type(g) is Traced else _own(g, seen)),
    (builtins, "print", _no_print),
]  # fmt: skip
OUTSIDE = "the user's"
NAMES = {}  # code -> the operation it is a forward function or a rule of, "" for other code of this package or numpy
_one_at_a_time = threading.RLock()


class running:
    """A block in which what this thread does goes to a tape."""

    def __init__(self, tape):
        self.tape = tape

    def __enter__(self):
        _one_at_a_time.acquire()
        if not NAMES:
            _name_operations()
        self.saved = [(owner, name, vars(owner)[name]) for owner, name, _ in HOOKS]
        for owner, name, hook in HOOKS:
            setattr(owner, name, hook)
        mode.tape = self.tape
        return self.tape

    def __exit__(self, *exception):
        mode.tape = None
        for owner, name, before in self.saved:
            setattr(owner, name, before)
        _one_at_a_time.release()


def _name_operations():
    for table in (ops.TABLE, ops.CONSTANT):
        for name, fun in table.items():
            for f, what in [(fun.op.f, name), *((rule, f"backward of {name}") for rule in fun.op.rules)]:
                if hasattr(f, "__code__"):
                    NAMES[f.__code__] = what
