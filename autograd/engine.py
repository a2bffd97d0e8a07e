"""Primitives and their rules: how a call records, and what is kept of it.

A *primitive* is a function of arrays. Applied to a Tensor it computes its answer and, where a gradient may be
wanted, records a Node: the operation, the nodes of its arguments, and the few arrays its rules will read. A *rule*
turns the cotangent `g` of the answer into the cotangent of one argument (a vector-Jacobian product):

    rule(g, ans, *args, **kwargs) -> cotangent of that argument

Rules are written in operators and primitives, so the same rule runs on arrays (an ordinary backward wraps nothing),
on Tensors (`create_graph=True`: the backward is itself recorded) and on floats (`Value`). The graph that is recorded,
and the backward pass over it, are in graph.py. Neither file knows a numpy function.
"""

import dis
import inspect

from . import graph
from .graph import Call, Node, mode, new, off, wrap

__all__ = ["Op", "carrier", "defvjp", "primitive"]

Tensor = None  # the class that primitives unwrap and wrap; tensor.py sets it with @carrier


def carrier(cls):
    """Makes `cls` the class that primitives record for: it has the slots `_data` (array) and `_node`."""
    global Tensor
    Tensor = graph.Tensor = cls
    return cls


# ----- primitives and rules -----

MISSING = object()  # the rule of an argument that defvjp has passed over


class Op:
    """What the engine knows of a primitive: its name, its function, its rules, and what these read."""

    __slots__ = ("explain", "f", "name", "plans", "quick", "rules", "view")

    def __init__(self, f, name=None, view=None, explain=None):
        self.f = f
        self.name = name or f.__name__
        self.view = view  # args -> whether the answer shares the memory of the first one; None: it never does
        self.explain = explain  # (args, kwargs) -> what is wrong with them, or None
        self.rules = None
        self.forget()

    def forget(self):
        """Forgets what was found out about the rules."""
        self.plans = {}
        self.quick = [None] * 8  # plans of calls with few arguments: bit i of the number is whether i requires grad

    def __repr__(self):
        return f"<primitive {self.name}>"

    def plan(self, mask):
        """(live, keep, keep_ans) for a call in which the arguments of `mask` require grad; made once for each mask.

        live: the arguments that gradients flow to. keep: the arguments whose arrays the rules will read.
        """
        if self.rules is None:
            raise TypeError(
                f"{self.name} has no rule and is applied to a tensor that requires grad; "
                f"give it one with defvjp({self.name}, rule), or detach() the tensor"
            )
        for i, requires in enumerate(mask):
            if requires and (i >= len(self.rules) or self.rules[i] is MISSING):
                raise TypeError(
                    f"{self.name} has no rule for argument {i}, which requires grad; "
                    f"give one with defvjp({self.name}, rule, argnums=({i},)), or detach() the tensor"
                )
        live = tuple(requires and self.rules[i] is not None for i, requires in enumerate(mask))
        reads = [_reads(self.rules[i]) for i, alive in enumerate(live) if alive]
        keep = tuple(
            any(i in values or (i in shapes and not live[i]) for values, shapes, _ in reads) for i in range(len(mask))
        )
        self.plans[mask] = plan = live, keep, any(ans for _, _, ans in reads)
        return plan

    def quick_plan(self, number, arity):
        """(whether to keep each argument's array..., and the answer's) for a call that goes by a number."""
        _, keep, keep_ans = self.plan(tuple(bool(number >> i & 1) for i in range(arity)))
        self.quick[number] = found = *keep, keep_ans
        return found

    def fail(self, error, args, kwargs):
        """Raises the error of a call, told with the operation's name and its arguments' shapes."""
        if mode.tape is not None and mode.tape.rescues(error):
            return mode.tape.whole(self, args, kwargs)
        shown = [_show(a) for a in args] + [f"{k}={v!r}" for k, v in kwargs.items() if v is not None]
        hint = self.explain(args, kwargs) if self.explain and isinstance(error, ValueError) else None
        text = str(error).replace(f"{getattr(self.f, '__name__', '')}() ", "")
        kind = next((k for k in type(error).__mro__ if k in _PLAIN_ERRORS), None)
        if kind is None:
            raise error
        raise kind(f"{self.name}: {hint or f'{text}, for ' + ', '.join(shown)}") from error


_PLAIN_ERRORS = (IndexError, ValueError, TypeError, ZeroDivisionError, OverflowError)


def _show(a):
    shape = getattr(a, "shape", None)
    if isinstance(shape, tuple):
        return f"{shape} {getattr(a, 'dtype', '')}".rstrip()
    if isinstance(a, (list, tuple)) and any(hasattr(x, "shape") for x in a):
        return "[" + ", ".join(map(_show, a)) + "]"
    return repr(a)


def primitive(f):
    """Makes `f` (arrays in, array out) an operation that records when it is applied to Tensors.

    Tensors may stand anywhere among the positional arguments and inside a list or tuple that is one of them.
    Plain arrays in, plain array out. Give the operation its rules with `defvjp`.

    >>> import numpy as np, mytorch as mt
    >>> @primitive
    ... def cube(x): return x ** 3
    >>> defvjp(cube, lambda g, ans, x: g * 3 * x ** 2)
    >>> float(mt.grad(cube)(2.0))
    12.0
    """
    return build(Op(f), _general)


def build(op, make):
    """The function users call: `make(op)` dressed with the name, signature and docstring of what it computes."""
    apply = make(op)
    apply.op = op
    apply.__name__ = apply.__qualname__ = op.name
    apply.__doc__ = op.f.__doc__
    apply.__module__ = getattr(op.f, "__module__", None) or apply.__module__
    if not hasattr(op.f, "nin"):  # of a ufunc no signature is known
        apply.__wrapped__ = op.f
    return apply


def defvjp(fun, *rules, argnums=None):
    """Gives a primitive its rules, one for each argument (or for each of `argnums`).

    A rule is `rule(g, ans, *args, **kwargs) -> cotangent`, with `g` the cotangent of `ans`; where an argument is a
    sequence of arrays, the rule returns as many cotangents. Write it for arguments of the answer's shape: the engine
    sums over axes that were broadcast. None: no gradient flows to that argument.

    What a rule does not read is not kept for it: an argument of which it reads only `shape`, `dtype`, `ndim` or
    `size` costs no memory.
    """
    op = getattr(fun, "op", None)
    if not isinstance(op, Op):
        raise TypeError(f"defvjp: {fun!r} is not a primitive; decorate it with @primitive first")
    argnums = range(len(rules)) if argnums is None else argnums
    if isinstance(argnums, int):
        raise TypeError(f"defvjp: argnums of {op.name} is {argnums}; write ({argnums},)")
    if len(argnums) != len(rules):
        raise ValueError(f"defvjp: {op.name} is given {len(rules)} rules for {len(argnums)} argnums {tuple(argnums)}")
    table = dict(enumerate(op.rules or ())) | dict(zip(argnums, rules, strict=True))
    for i, rule in table.items():
        if not (rule is None or callable(rule)):
            raise TypeError(f"defvjp: the rule for argument {i} of {op.name} is {rule!r}; it must be callable or None")
    op.rules = tuple(table.get(i, MISSING) for i in range(max(table, default=-1) + 1))
    op.forget()


class _Everything:
    """A set that holds everything: what a rule reads of which nothing is known."""

    def __contains__(self, item):
        return True


_SHAPE_ATTRIBUTES = {"shape", "dtype", "ndim", "size"}


def _reads(rule):
    """(values, shapes, ans): the arguments whose arrays `rule` reads, those of which it reads only shape or dtype,
    and whether it reads the answer's array. Found in its bytecode; what cannot be looked into reads everything."""
    code = getattr(rule, "__code__", None)
    if code is None or not inspect.isfunction(rule):
        return _Everything(), (), True
    read, glanced = set(), set()
    instructions = list(dis.get_instructions(code))
    for this, following in zip(instructions, [*instructions[1:], None], strict=True):
        if this.opname == "STORE_FAST" or not any(kind in this.opname for kind in ("FAST", "DEREF", "CLOSURE")):
            continue
        names = this.argval if isinstance(this.argval, tuple) else (this.argval,)
        read.update(names[:-1])
        only_shape = (
            following is not None and following.opname == "LOAD_ATTR" and following.argval in _SHAPE_ATTRIBUTES
        )
        (glanced if only_shape else read).add(names[-1])
    positional = code.co_varnames[: code.co_argcount]
    if code.co_flags & inspect.CO_VARARGS and code.co_varnames[code.co_argcount + code.co_kwonlyargcount] in read:
        return _Everything(), (), True
    numbers = {name: i - 2 for i, name in enumerate(positional)}
    values = {numbers[name] for name in read if name in numbers}
    shapes = {numbers[name] for name in glanced if name in numbers} - values
    return values - {-2, -1}, shapes - {-2, -1}, -1 in values


# ----- how a call records, by the number of its arguments -----
# The first ones are `_general` for the operations in the middle of every loop: positional arguments alone. They are
# written out, for a call more is 0.1 µs of some 1.


def _unary(op):
    f = op.f

    def apply(x):
        if not isinstance(x, Tensor):
            try:
                return f(x)
            except Exception as error:
                return op.fail(error, (x,), {})
        a, p = x._data, x._node
        try:
            ans = f(a)
        except Exception as error:
            ans = op.fail(error, (x,), {})
        out = new(Tensor)
        out._data = ans
        if p is None or (off and not mode.enabled):
            out._node = None
            return out
        keep, keep_ans = op.quick[1] or op.quick_plan(1, 1)
        parents = (p,)
        args = (a,) if keep else parents  # one tuple less, where nothing is kept
        out._node = Node(op, parents, args, ans if keep_ans else None, p.shape, ans.dtype)
        return out

    return apply


def _binary(op):
    f = op.f

    def apply(x, y):
        if isinstance(x, Tensor):
            a, p = x._data, x._node
            if isinstance(y, Tensor):
                b, q = y._data, y._node
            else:
                b, q = (Tensor._coerce(y) if type(y) in (list, tuple) else y), None
        elif isinstance(y, Tensor):
            a, p = (Tensor._coerce(x) if type(x) in (list, tuple) else x), None
            b, q = y._data, y._node
        else:
            return _plain(op, (x, y), {})
        try:
            ans = f(a, b)
        except Exception as error:
            ans = op.fail(error, (x, y), {})
        out = new(Tensor)
        out._data = ans
        n = (p is not None) + 2 * (q is not None)
        if not n or (off and not mode.enabled):
            out._node = None
            return out
        keep_x, keep_y, keep_ans = op.quick[n] or op.quick_plan(n, 2)
        parents = args = (p, q)
        if keep_x or keep_y:
            args = (a if keep_x else p, b if keep_y else q)
        shape = ans.shape
        if p is not None and shape == p.shape:  # one tuple less
            shape = p.shape
        out._node = Node(op, parents, args, ans if keep_ans else None, shape, ans.dtype)
        return out

    return apply


def _ternary(op):
    """For three arrays, under the names that `linear` gives them."""
    f, general = op.f, _general(op)

    def apply(x, weight, bias):
        if not (isinstance(weight, Tensor) and isinstance(bias, Tensor)) or type(x) in (list, tuple):
            return general(x, weight, bias)
        a, p = (x._data, x._node) if isinstance(x, Tensor) else (x, None)
        b, q, c, r = weight._data, weight._node, bias._data, bias._node
        try:
            ans = f(a, b, c)
        except Exception as error:
            ans = op.fail(error, (x, weight, bias), {})
        out = new(Tensor)
        out._data = ans
        n = (p is not None) + 2 * (q is not None) + 4 * (r is not None)
        if not n or (off and not mode.enabled):
            out._node = None
            return out
        keep_x, keep_y, keep_z, keep_ans = op.quick[n] or op.quick_plan(n, 3)
        parents, args = (p, q, r), (a if keep_x else p, b if keep_y else q, c if keep_z else r)
        out._node = Node(op, parents, args, ans if keep_ans else None, ans.shape, ans.dtype)
        return out

    return apply


_NO_TENSORS = {int, bool, slice, type(None), type(...)}


def _with_options(op):
    """For one array, named `x`, and options after it that are no Tensors: `sum(x, axis)`, `x[index]`."""
    f, general = op.f, _general(op)

    def apply(x, *options, **kwargs):
        if kwargs and any(map(_holds_tensor, kwargs.values())):
            return general(x, *options, **kwargs)
        for o in options:
            if type(o) not in _NO_TENSORS and _holds_tensor(o):
                return general(x, *options, **kwargs)
        if not isinstance(x, Tensor):
            return general(x, *options, **kwargs) if _holds_tensor(x) else _plain(op, (x, *options), kwargs)
        a, parent = x._data, x._node
        try:
            ans = Tensor._coerce(f(a, *options, **kwargs) if kwargs else f(a, *options))
        except Exception as error:
            ans = op.fail(error, (x, *options), kwargs)
        out = new(Tensor)
        out._data = ans
        if parent is None or (off and not mode.enabled):
            out._node = None
            return out
        keep, *_, keep_ans = op.quick[1] or op.quick_plan(1, 1 + len(options))
        nones = (None,) * len(options)
        args = (a if keep else parent, *options)
        kept = ans if keep_ans else None
        if kwargs:
            out._node = Call(op, (parent, *nones), args, kwargs, kept, ans.shape, ans.dtype)
        else:
            out._node = Node(op, (parent, *nones), args, kept, ans.shape, ans.dtype)
        return out

    return apply


def _over_axis(op):
    """For one array and the options `axis` and `keepdims`: `sum(x, axis)`."""
    f, general = op.f, _general(op)

    def failed(error, x, axis, keepdims):
        return op.fail(error, (x, axis, keepdims) if keepdims else (x, axis), {})

    def apply(x, axis=None, keepdims=False):
        if keepdims and keepdims not in (True, False):  # numpy's third argument is dtype
            raise TypeError(f"{op.name}: keepdims is {keepdims!r}; give True or False, and convert with astype")
        if not isinstance(x, Tensor):
            if _holds_tensor(x):
                return general(x, axis, keepdims)
            try:
                return f(x, axis, keepdims)
            except Exception as error:
                return failed(error, x, axis, keepdims)
        a, parent = x._data, x._node
        try:
            ans = Tensor._coerce(f(a, axis, keepdims))
        except Exception as error:
            ans = failed(error, x, axis, keepdims)
        out = new(Tensor)
        out._data = ans
        if parent is None or (off and not mode.enabled):
            out._node = None
            return out
        keep, _, _, keep_ans = op.quick[1] or op.quick_plan(1, 3)
        args = (a if keep else parent, axis, keepdims)
        out._node = Node(op, (parent, None, None), args, ans if keep_ans else None, ans.shape, ans.dtype)
        return out

    return apply


def _general(op):
    f = op.f

    def apply(*args, **kwargs):
        raw, parents, found = [], [], False
        for a in args:
            if isinstance(a, Tensor):
                found = True
                raw.append(a._data)
                parents.append(a._node)
            elif _holds_tensor(a):
                found = True
                raw.append(type(a)(x._data if isinstance(x, Tensor) else x for x in a))
                nodes = tuple(x._node if isinstance(x, Tensor) else None for x in a)
                parents.append(nodes if any(n is not None for n in nodes) else None)
            else:
                raw.append(a)
                parents.append(None)
        if kwargs and any(map(_holds_tensor, kwargs.values())):
            args, kwargs = _positional(op, args, kwargs)
            return apply(*args, **kwargs)
        if not found:
            return _plain(op, args, kwargs)
        try:
            ans = Tensor._coerce(f(*raw, **kwargs))
        except Exception as error:
            ans = op.fail(error, args, kwargs)
        if (off and not mode.enabled) or parents.count(None) == len(parents):
            return wrap(ans)
        mask = tuple(p is not None for p in parents)
        live, keep, keep_ans = op.plans.get(mask) or op.plan(mask)
        if True not in live:
            return wrap(ans)
        if ans.dtype.kind != "f":  # its cotangents would be rounded to integers
            raise TypeError(
                f"{op.name}: the answer has dtype {ans.dtype}, through which no gradient flows, and an argument "
                "requires grad; convert to a floating dtype first, or detach() the argument"
            )
        parents = tuple(p if alive else None for p, alive in zip(parents, live, strict=True))
        kept = tuple(
            a if k or (p is None and not hasattr(a, "shape")) else p
            for a, p, k in zip(raw, parents, keep, strict=True)
        )
        kept_ans = ans if keep_ans else None
        if kwargs or tuple in map(type, parents):
            return wrap(ans, Call(op, parents, kept, kwargs, kept_ans, ans.shape, ans.dtype))
        return wrap(ans, Node(op, parents, kept, kept_ans, ans.shape, ans.dtype))

    return apply


def _plain(op, args, kwargs):
    """A call without a Tensor: the plain function, its failures told as everywhere."""
    try:
        return op.f(*args, **kwargs)
    except Exception as error:
        return op.fail(error, args, kwargs)


def _positional(op, args, kwargs):
    """(args, kwargs) of a call with Tensors among its keywords, in order of the signature."""
    try:
        bound = inspect.signature(op.f).bind(*args, **kwargs)
        bound.apply_defaults()
    except (TypeError, ValueError) as error:
        raise TypeError(f"{op.name}: {error}; pass tensors by position") from error
    wrong = [name for name, value in bound.kwargs.items() if _holds_tensor(value)]
    if wrong:
        raise TypeError(f"{op.name}: {', '.join(wrong)} can only be given by keyword and so cannot be a tensor")
    return bound.args, bound.kwargs


def _holds_tensor(a):
    if isinstance(a, Tensor):
        return True
    if type(a) is tuple or type(a) is list:
        for x in a:  # a loop: any() of a generator takes 0.3 µs more
            if isinstance(x, Tensor):
                return True
    return False
