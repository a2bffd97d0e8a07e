"""The arrays and generators of a tape: each stands for one of numpy's, and what is done with it goes to its tape.

numpy hands its calls on a `Traced` to `__array_ufunc__` and `__array_function__`, and a method is numpy's function of
that name. What would need the numbers themselves is refused, with the user's line.
"""

import operator
import sys
import weakref

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ..tensor import Tensor
from . import CompileError
from .program import replaced

__all__ = ["Fallback", "Traced", "TracedGenerator", "users_line", "values"]

PACKAGE = __name__.partition(".")[0]


class Fallback(Exception):
    """A function that cannot be compiled, but runs as it is."""


class Traced(NDArrayOperatorsMixin):
    """An array on a tape: the array itself, and the Var it is in the program. A change in place gives it another."""

    __slots__ = ("__weakref__", "base", "scalar", "symbol", "tape", "value", "views")
    __array_priority__ = 1000

    def __init__(self, tape, value, symbol, base=None):
        self.tape = tape
        self.value = value
        self.symbol = symbol
        self.base = base
        self.scalar = False  # whether numpy gave a scalar, which does not change
        self.views = None
        if base is not None:
            base.views = [*filter(lambda view: view() is not None, base.views or ()), weakref.ref(self)]

    @property
    def __class__(self):
        """To isinstance, but for this package's, what it is in a plain run: an array, a scalar or a float."""
        if _owner(sys._getframe(1)) == PACKAGE:
            return Traced
        return self.dtype.type if self.scalar else type(self.value)

    shape = property(lambda self: self.value.shape)
    dtype = property(lambda self: self.value.dtype)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    nbytes = property(lambda self: self.value.nbytes)
    itemsize = property(lambda self: self.value.itemsize)
    T = property(lambda self: np.transpose(self))
    mT = property(lambda self: np.swapaxes(self, -1, -2))

    @property
    def flags(self):
        if _owner(sys._getframe(1)) not in (PACKAGE, "numpy"):
            raise Fallback(f"the array's flags are used, at {users_line()}; they say how it lies in memory")
        return self.value.flags

    def __len__(self):
        return len(self.value)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if any(isinstance(x, Tensor) for x in inputs):
            return NotImplemented  # it records
        return _noting_errors(self.tape, self.tape.ufunc, ufunc, method, inputs, out, kwargs)

    def __array_function__(self, func, types, args, kwargs):
        if any(issubclass(kind, Tensor) for kind in types):
            return NotImplemented
        return _noting_errors(self.tape, self.tape.function, func, args, kwargs)

    def __getitem__(self, index):
        return _noting_errors(self.tape, self.tape.getitem, self, index)

    def __setitem__(self, index, value):
        _noting_errors(self.tape, self.tape.put, "put", None, self, index, value)

    def __pow__(self, n):
        if self.symbol.number and type(n) in (int, float, bool):
            return self.tape.number_of(operator.pow, (self, n))
        short = {2: np.square, 0.5: np.sqrt, -1: np.reciprocal}.get(n) if type(n) in (int, float) else None
        if self.symbol.number or (self.dtype.kind != "f" and not (type(n) is int and n == 2)):
            short = None
        return np.power(self, n) if short is None else short(self)  # as an array does

    # ----- what needs the numbers themselves -----

    def __bool__(self):
        return self.tape.decide(self)

    def _number(self, *_):
        raise CompileError(
            f"compile: the function takes a number out of a tensor, at {users_line()}; it would be the same in every "
            "later call. Return the tensor, or keep it a tensor"
        )

    __float__ = __int__ = __index__ = __complex__ = item = tolist = _number
    __round__ = __trunc__ = __floor__ = __ceil__ = __hash__ = _number

    def __copy__(self, memo=None):
        return self.copy()

    __deepcopy__ = __copy__

    def __reduce_ex__(self, protocol):
        raise Fallback(f"a traced value is pickled, at {users_line()}")

    def __array__(self, dtype=None, copy=None):
        raise Fallback(f"numpy asks for the array of a traced value, at {users_line()}")

    def __dlpack__(self, *args, **kwargs):
        return self.__array__()

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
        dtype = np.dtype(dtype)
        return self if not copy and dtype == self.dtype else self.tape.cast(self, dtype)

    def copy(self, order="C"):
        return self.tape.cast(self, self.dtype)

    def sum(self, axis=None, dtype=None, out=None, keepdims=False, **kwargs):
        return np.add.reduce(self, axis, dtype, out, keepdims, **kwargs)

    def mean(self, axis=None, dtype=None, out=None, keepdims=False, **kwargs):
        return np.mean(self, axis, dtype, out, keepdims=keepdims, **kwargs)

    def max(self, axis=None, out=None, keepdims=False, **kwargs):
        return np.maximum.reduce(self, axis, None, out, keepdims, **kwargs)

    def min(self, axis=None, out=None, keepdims=False, **kwargs):
        return np.minimum.reduce(self, axis, None, out, keepdims, **kwargs)

    def prod(self, axis=None, dtype=None, out=None, keepdims=False, **kwargs):
        return np.multiply.reduce(self, axis, dtype, out, keepdims, **kwargs)

    def any(self, axis=None, out=None, keepdims=False, **kwargs):
        return np.logical_or.reduce(self, axis, None, out, keepdims, **kwargs)

    def all(self, axis=None, out=None, keepdims=False, **kwargs):
        return np.logical_and.reduce(self, axis, None, out, keepdims, **kwargs)

    def clip(self, min=None, max=None, out=None):
        return np.clip(self, min, max, out=out)

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
        known = hasattr(np.ndarray, name) or (self.symbol.number and hasattr(float, name))
        if known and not name.startswith("__"):
            raise Fallback(f"the array's {name} is used, at {users_line()}")
        raise AttributeError(f"an array has no attribute {name!r}")


OF_VALUES = (np.linalg.LinAlgError, ArithmeticError, IndexError)  # errors that other values might not meet


def _noting_errors(tape, f, *args):
    """f(*args); an error that depends on values is noted, for the function may catch it."""
    try:
        return f(*args)
    except OF_VALUES as error:
        if not isinstance(error, IndexError) or "out of bounds for axis" in str(error):  # not of the shape alone
            tape.raised = error
        raise


FUNCTIONS_AS_METHODS = {"argmax", "argmin", "argsort", "cumsum", "cumprod", "diagonal", "dot", "ravel",
                        "repeat", "round", "squeeze", "std", "swapaxes", "take", "trace", "var"}  # fmt: skip


class TracedGenerator(np.random.Generator):
    """A generator that was passed in: what is drawn from it is drawn anew, and it is advanced, in every call."""

    def __init__(self, tape, generator, symbol):
        super().__init__(generator.bit_generator)
        self.tape, self.generator, self.symbol = tape, generator, symbol


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


# ----- whose code runs -----


def users_line():
    """'file:line' of the innermost frame that is neither this package's nor numpy's."""
    frame = sys._getframe(1)
    while frame.f_back and _owner(frame) in (PACKAGE, "numpy"):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _owner(frame):
    """The package whose code runs in a frame."""
    return frame.f_globals.get("__name__", "").partition(".")[0]
