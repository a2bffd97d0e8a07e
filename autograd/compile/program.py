"""A program: the values and statements of one tape, and what can be left out of them."""

import math

import numpy as np

__all__ = ["FILLS", "Program", "Source", "Statement", "Var", "readers", "variables"]

WRITES_OUT = {np.concatenate, np.where}
FILLS = {np.zeros: 0, np.ones: 1, np.empty: None, np.full: None}


class Source:
    """Where a value comes from, or goes back to.

    kind: "arg" (the argument number `key`), "tensor" or "grad" (the array of a Tensor, the gradient of a Leaf, `it`),
          "number" (`it[key]`, looked up anew in every call), "flat" (the memory of several, beginning with value `it`).
    """

    __slots__ = ("it", "key", "kind")

    def __init__(self, kind, it=None, key=None):
        self.kind = kind
        self.it = it
        self.key = key

    def __eq__(self, other):
        return isinstance(other, Source) and self.it is other.it and self.kind == other.kind and self.key == other.key

    def __hash__(self):
        return hash((self.kind, id(self.it), self.key))


class Var:
    """One value: its shape and dtype, and where it comes from.

    made:   the statement that computes it; None for what comes from outside.
    const:  the array it is, where it is known and does not change; its memory is read at each call.
    number: True for a Python number, which takes the dtype of the array it meets.
    """

    __slots__ = ("const", "dtype", "made", "name", "number", "shape")

    def __init__(self, shape, dtype, made=None, const=None, number=False):
        self.shape = shape
        self.dtype = dtype
        self.made = made
        self.const = const
        self.number = number
        self.name = None

    size = property(lambda self: math.prod(self.shape))
    nbytes = property(lambda self: self.size * self.dtype.itemsize)


class Statement:
    """One call of numpy: what is called with which values, and the value it makes.

    kind:   one of
            ufunc, reduce, dot, cast; view (the same memory in another shape); scalar (Python's own arithmetic);
            put (x with y at an index); at (x with y added at an index); flat at (an index into the elements in a row);
            call (any other function); draw (of a random generator); guard (a truth that decided what was traced).
    what:   the operation it belongs to; line: the user's, as file:line.
    strict: whether an overflow or a division by zero is an error, as in a backward pass.
    """

    __slots__ = ("args", "func", "kind", "kwargs", "line", "out", "strict", "what")

    def __init__(self, kind, func, args, kwargs, out, line, what, strict):
        self.kind = kind
        self.func = func
        self.args = args
        self.kwargs = kwargs
        self.out = out
        self.line = line
        self.what = what
        self.strict = strict

    def writes_out(self):
        """Whether it can write into memory it is given."""
        if self.kind in ("ufunc", "reduce", "dot", "cast", "put", "at", "flat at"):
            return True
        if self.kind != "call" or (self.func is np.where and self.args[0].dtype != bool):
            return False
        return self.func in FILLS or (self.func in WRITES_OUT and self.out.nbytes >= 1 << 15)

    def reads(self):
        """The values among its arguments."""
        for x in self.args:  # `variables(self.args)`, without a generator for each
            if type(x) is Var:
                yield x
            elif type(x) in (tuple, list, dict, slice):
                yield from variables(x)
        if self.kwargs:
            yield from variables(self.kwargs)

    effect = property(lambda self: self.kind in ("draw", "guard"))


def variables(x):
    """The values in nested tuples, lists, dicts and slices."""
    if type(x) is Var:
        yield x
    elif type(x) in (tuple, list):
        for part in x:
            yield from variables(part)
    elif type(x) is dict:
        yield from variables(list(x.values()))
    elif type(x) is slice:
        yield from variables((x.start, x.stop, x.step))


def readers(statements, of=lambda x: x):
    """{of(value): the statements that read it}, one as often as it does."""
    found = {}
    for s in statements:
        for x in s.reads():
            found.setdefault(of(x), []).append(s)
    return found


def replaced(x, put):
    """`x` with `put(leaf)` for every leaf of nested tuples, lists, dicts and slices."""
    kind = type(x)
    if kind is tuple:
        return tuple([replaced(part, put) for part in x])
    if kind is list:
        return [replaced(part, put) for part in x]
    if kind is dict:
        return {key: replaced(part, put) for key, part in x.items()}
    if kind is slice:
        return slice(put(x.start), put(x.stop), put(x.step))
    return put(x)


def frozen(x):
    """`x` as a key: equal for statements that compute the same."""
    kind = type(x)
    if kind in (tuple, list):
        return (kind, *map(frozen, x))
    if kind is dict:
        return tuple((key, frozen(part)) for key, part in x.items())
    if kind is slice:
        return (slice, frozen(x.start), frozen(x.stop), frozen(x.step))
    if kind is Var or kind is np.ndarray:
        return id(x)
    return (kind, repr(x)) if isinstance(x, (float, complex, np.inexact)) else (kind, x)  # -0.0 and nan


class Program:
    """The statements of a tape, with what goes in and what comes out.

    inputs:  {source: Var}: what comes from outside, where from.
    outputs: the values that are returned; commits: the pairs (source, Var) that are put back.
    """

    def __init__(self, inputs, statements, outputs, commits):
        self.inputs = inputs
        self.statements = statements
        self.outputs = outputs
        self.commits = commits
        self.copy_what_comes_in()
        self.drop_dead()

    def copy_what_comes_in(self):
        """An answer or a new state that is, or shows, what came from outside becomes a copy: that will change."""
        self.outputs = [self._copied(var) for var in self.outputs]
        self.commits = [(source, self._copied(var)) for source, var in self.commits]

    def _copied(self, var):
        root = var
        while root.made is not None and root.made.kind == "view":
            root = next(root.made.reads())
        if root.made is not None:
            return var
        copy = Var(var.shape, var.dtype)
        line, what = (var.made.line, var.made.what) if var.made else (("", 0), "copy")
        copy.made = Statement("cast", np.copyto, (var, var.dtype), None, copy, line, what, False)
        self.statements = [*self.statements, copy.made]
        return copy

    def drop_dead(self):
        """Drops what neither an answer, an update nor a guard needs."""
        needed = set(self.outputs) | {var for _, var in self.commits}
        kept = []
        for statement in reversed(self.statements):
            if statement.effect or statement.out in needed:
                needed.update(statement.reads())
                kept.append(statement)
        self.statements = kept[::-1]
        self.inputs = {source: var for source, var in self.inputs.items() if var in needed}
