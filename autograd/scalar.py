"""Value: a float that remembers how it was computed. The same engine and rules as Tensor, one number at a time."""

import math
import operator

import numpy as np

from . import ops
from .graph import clock, freed, mode, new, off, pull

__all__ = ["Value"]


class Value:
    """A number that records what is done to it; `backward()` leaves the derivative by every number it came from.

    >>> a, b = Value(2.0), Value(-3.0)
    >>> c = a * b + a.tanh()
    >>> c.backward()
    >>> a.grad, b.grad
    (-2.92934917..., 2.0)
    """

    __slots__ = ("args", "data", "grad", "index", "op")
    shape, ndim, size, dtype = (), 0, 1, float
    kwargs = None

    def __init__(self, data):
        self.data = float(data)
        self.grad = 0.0
        self.op = None
        self.args = ()
        self.index = next(clock)

    def backward(self, gradient=1.0, retain_graph=None, create_graph=False):
        """Adds the derivative of this value to `grad` of every leaf, and sets it on every value between.

        create_graph: the derivatives are Values themselves, to be differentiated again.
        """
        if self.op is None and self.args is None:
            raise RuntimeError("backward: this value was computed under no_grad, so nothing it came from is known")
        seed = Value(gradient) if create_graph and not isinstance(gradient, Value) else gradient
        retain_graph = create_graph if retain_graph is None else retain_graph
        arrived = pull([(self, seed)], create_graph=create_graph, retain_graph=retain_graph)
        for leaf, g in arrived.values():
            leaf.grad = leaf.grad + g

    # ----- what the engine asks of a node -----

    @property
    def parents(self):
        """For every argument the Value it is, None for a constant; None after the graph was freed."""
        return self.args and tuple(a if isinstance(a, Value) else None for a in self.args)

    def sources(self):
        """The (argument number, Value) pairs that gradients flow to."""
        return ((i, a) for i, a in enumerate(self.args or ()) if isinstance(a, Value))

    def pull(self, g, wanted, create_graph, retain_graph):
        args, rules = self.args, self.op.rules
        if args is None:
            raise freed(self)
        self.grad = g
        ans, numbers = self, args
        if not create_graph:
            ans, numbers = self.data, [a.data if isinstance(a, Value) else a for a in args]
        sources, cotangents, i = [], [], -1
        for a in args:
            i += 1
            if isinstance(a, Value):
                try:
                    ct = rules[i](g, ans, *numbers)
                except ArithmeticError:
                    ct = self._singular(g, numbers)
                sources.append(a)
                cotangents.append(ct if ct.__class__ is float or isinstance(ct, Value) else float(ct))
        if not retain_graph:
            self.args = None
        return sources, cotangents

    def _singular(self, g, numbers):
        if g == 0:  # nothing flows back through what was not used
            return g
        at = ", ".join(map(str, numbers))
        raise ZeroDivisionError(f"backward of {self.op.name}: there is no derivative at {at}") from None

    # ----- the number -----

    def item(self):
        return self.data

    def __float__(self):
        return self.data

    def __int__(self):
        return int(self.data)

    def __bool__(self):
        return self.data != 0

    def __pos__(self):
        return self

    def __format__(self, spec):
        return format(self.data, spec) if spec else repr(self)

    def __reduce__(self):
        if self.op is not None:
            raise RuntimeError(f"copy: this value was computed (by {self.op.name}) and a copy would lose its graph")
        return Value, (self.data,)

    def __repr__(self):
        return f"Value({self.data:.6g}, grad={float(self.grad):.6g})"

    __hash__ = object.__hash__

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        """np.exp(value) is value.exp(): rules that call operations run on Values too."""
        name = UFUNCS.get(ufunc) if method == "__call__" and not kwargs else None
        numbers = all(isinstance(x, (Value, int, float)) for x in inputs)
        if numbers and ufunc is np.sign:
            return float(np.sign(self.data))
        if name is None or not numbers:
            raise TypeError(f"numpy.{ufunc.__name__}: a Value takes numbers and Values; for arrays use mt.tensor")
        first, *others = (x if isinstance(x, Value) else Value(x) for x in inputs)
        return getattr(first, name)(*others)


def _record(op, data, args):
    out = new(Value)
    out.data = data
    out.grad = 0.0
    out.index = next(clock)
    out.op, out.args = (op, args) if not off or mode.enabled else (None, None)
    return out


def _unary(fun, f):
    op = fun.op

    def method(self):
        try:
            return _record(op, f(self.data), (self,))
        except (ArithmeticError, ValueError) as error:
            raise type(error)(f"{op.name}: {error}, for {self.data!r}") from None

    return method


def _binary(fun, f):
    op = fun.op

    def method(self, other):
        if other.__class__ is Value:
            y = other.data
        elif isinstance(other, (int, float)):
            y = other = float(other)  # numpy's float64 is a float too, and slow
        else:
            return NotImplemented
        try:
            return _record(op, f(self.data, y), (self, other))
        except (ArithmeticError, ValueError) as error:
            raise type(error)(f"{op.name}: {error}, for {self.data!r} and {y!r}") from None

    return method


def _reflected(fun, f):
    """The method for `number op value`; the number stays one, as in `value op number`."""
    op = fun.op

    def method(self, other):
        if not isinstance(other, (int, float)):
            return NotImplemented
        other = float(other)
        try:
            return _record(op, f(other, self.data), (other, self))
        except (ArithmeticError, ValueError) as error:
            raise type(error)(f"{op.name}: {error}, for {other!r} and {self.data!r}") from None

    return method


def _compared(compare):
    return lambda self, other: compare(self.data, other.data if isinstance(other, Value) else other)


def _sigmoid(x):
    e = math.exp(-abs(x))
    return (1.0 if x >= 0 else e) / (1.0 + e)


UNARY = {
    "__neg__": (ops.negative, operator.neg),
    "__abs__": (ops.abs, abs),
    "exp": (ops.exp, math.exp),
    "log": (ops.log, math.log),
    "sqrt": (ops.sqrt, math.sqrt),
    "sin": (ops.sin, math.sin),
    "cos": (ops.cos, math.cos),
    "tanh": (ops.tanh, math.tanh),
    "sigmoid": (ops.sigmoid, _sigmoid),
    "relu": (ops.relu, lambda x: 0.0 if x <= 0 else x),
}
BINARY = {
    "add": (ops.add, operator.add),
    "sub": (ops.subtract, operator.sub),
    "mul": (ops.multiply, operator.mul),
    "truediv": (ops.divide, operator.truediv),
    "pow": (ops.power, math.pow),
}

UFUNCS = {  # numpy's function -> the method that stands for it
    np.negative: "__neg__",
    np.absolute: "__abs__",
    np.exp: "exp",
    np.log: "log",
    np.sqrt: "sqrt",
    np.sin: "sin",
    np.cos: "cos",
    np.tanh: "tanh",
    np.add: "__add__",
    np.subtract: "__sub__",
    np.multiply: "__mul__",
    np.divide: "__truediv__",
    np.power: "__pow__",
}

for _name, _row in UNARY.items():
    setattr(Value, _name, _unary(*_row))
for _name, _row in BINARY.items():
    setattr(Value, f"__{_name}__", _binary(*_row))
    setattr(Value, f"__r{_name}__", _reflected(*_row))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Value, f"__{_name}__", _compared(getattr(operator, _name)))
