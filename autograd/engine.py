"""The recorded graph, and the one backward pass over it.

A *primitive* is a function of arrays. Applied to a Tensor it computes its answer and, where a gradient may be
wanted, records a Node: the operation, the nodes of its arguments, and the few arrays its rules will read. A *rule*
turns the cotangent `g` of the answer into the cotangent of one argument (a vector-Jacobian product):

    rule(g, ans, *args, **kwargs) -> cotangent of that argument

Rules are written in operators and primitives, so the same rule runs on arrays (an ordinary backward wraps nothing),
on Tensors (`create_graph=True`: the backward is itself recorded) and on floats (`Value`).

Nodes carry the tick of one clock at which they were made. An operation is always younger than its arguments, so
visiting the youngest pending node first is a topological order: no recursion, no sort, no marks on the graph.
This file knows no numpy function and no Tensor method beyond `shape`, `dtype`, `sum`, `reshape` and `astype`.
"""

import dis
import functools
import inspect
import itertools
import math
import sys
import threading
from heapq import heappop, heappush

__all__ = ["Leaf", "Node", "Op", "carrier", "defvjp", "enable_grad", "is_grad_enabled", "no_grad", "primitive", "pull"]

clock = itertools.count(1)  # next(clock) is atomic: one order of creation for all threads
new = object.__new__
Tensor = None  # the class that primitives unwrap and wrap; tensor.py sets it with @carrier


def carrier(cls):
    """Makes `cls` the class that primitives record for: it has the slots `_data` (array) and `_node`."""
    global Tensor
    Tensor = cls
    return cls


# ----- grad mode, one a thread -----


class _Mode(threading.local):
    def __init__(self):
        self.enabled = True
        self.outer = []  # what `enabled` was outside the blocks that are open


mode = _Mode()


def is_grad_enabled():
    """True where operations of this thread are recorded."""
    return mode.enabled


class _set_mode:
    """A block (or, called with a function, a function) that runs in one mode and restores the one before."""

    __slots__ = ("enabled",)

    def __init__(self, enabled):
        self.enabled = enabled

    def __enter__(self):
        mode.outer.append(mode.enabled)
        mode.enabled = self.enabled

    def __exit__(self, *exception):
        mode.enabled = mode.outer.pop()

    def __call__(self, f):
        @functools.wraps(f)
        def in_mode(*args, **kwargs):
            with self:
                return f(*args, **kwargs)

        return in_mode


def no_grad(f=None):
    """A block, `with no_grad():`, or function, `@no_grad`: nothing is recorded, and parameters may change in place."""
    return _set_mode(False) if f is None else _set_mode(False)(f)


def enable_grad(f=None):
    """A block, `with enable_grad():`, or function, `@enable_grad`: operations are recorded, also inside `no_grad`."""
    return _set_mode(True) if f is None else _set_mode(True)(f)


# ----- the graph -----


class Node:
    """One recorded operation: what it was, what it came from, and what its rules will read.

    parents: for every argument its Node or Leaf; None where no gradient flows; a tuple of these for a sequence.
    args:    for every argument its array, where a rule reads it, else its parent (which knows shape and dtype).
    ans:     the answer's array where a rule reads it, else None.
    A backward pass that need not keep the graph sets all three to None.
    """

    __slots__ = ("ans", "args", "dtype", "index", "kwargs", "op", "parents", "shape")

    def __init__(self, op, parents, args, kwargs, ans, shape, dtype):
        self.index = next(clock)
        self.op = op
        self.parents = parents
        self.args = args
        self.kwargs = kwargs
        self.ans = ans
        self.shape = shape
        self.dtype = dtype

    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))

    def sources(self):
        """The (argument number, Node or Leaf) pairs that gradients flow to, sequences flattened."""
        for i, parent in enumerate(self.parents or ()):
            for source in parent if type(parent) is tuple else (parent,):
                if source is not None:
                    yield i, source

    def pull(self, g, wanted, create_graph, retain_graph):
        """The (source, cotangent) pairs of this node, given the cotangent `g` of its answer; then frees the node.

        The hot loop of every backward, so it is written out: a call less for each argument is 0.1 µs of some 2.
        """
        parents, args, ans, kwargs, rules = self.parents, self.args, self.ans, self.kwargs, self.op.rules
        if parents is None:
            raise freed(self)
        if self.index < Leaf.last_change:
            self._check_unchanged()
        if ans is None:  # not kept: a rule may still ask for its shape
            ans = self
        if create_graph:
            args = tuple(map(_rewrap, args, parents))
            ans = ans if ans is self else wrap(ans, self)
        pairs, i = [], -1
        for parent in parents:
            i += 1
            if parent is None:
                continue
            if type(parent) is tuple:
                pairs += self._pull_sequence(i, parent, g, ans, args)
            elif wanted is None or parent.index in wanted:
                try:
                    ct = rules[i](g, ans, *args, **kwargs) if kwargs else rules[i](g, ans, *args)
                except FloatingPointError as trouble:  # a singular point
                    ct = Tensor._singular(self, rules[i], g, ans, args, trouble)
                try:
                    if ct.dtype is not parent.dtype or ct.shape != parent.shape:
                        ct = self._fit(ct, parent, i)
                except AttributeError:
                    raise self._wrong_rule(i, f"an array of shape {parent.shape}", ct) from None
                pairs.append((parent, ct))
        if create_graph:  # a rule may give a constant
            pairs = [(source, ct if isinstance(ct, Tensor) else wrap(ct)) for source, ct in pairs]
        if not retain_graph:
            self.parents = self.args = self.kwargs = self.ans = None
        return pairs

    def _pull_sequence(self, i, parents, g, ans, args):
        """The pairs of an argument that is a sequence."""
        try:
            cotangents = self.op.rules[i](g, ans, *args, **(self.kwargs or {}))
        except FloatingPointError as trouble:
            cotangents = Tensor._singular(self, self.op.rules[i], g, ans, args, trouble)
        if not isinstance(cotangents, (list, tuple)) or len(cotangents) != len(parents):
            raise self._wrong_rule(i, f"a list of {len(parents)} arrays", cotangents)
        return [
            (source, self._fit(ct, source, i))
            for source, ct in zip(parents, cotangents, strict=True)
            if source is not None
        ]

    def _fit(self, ct, source, i):
        """`ct` in the shape and dtype of the argument it belongs to: summed where the argument was broadcast."""
        if getattr(getattr(ct, "dtype", None), "kind", None) not in ("f", "i", "u", "b"):
            raise self._wrong_rule(i, f"an array of shape {source.shape}", ct)
        try:
            return self._cast(ct, source, i)
        except FloatingPointError:  # too large for the argument's dtype
            with Tensor._quiet():
                return self._cast(ct, source, i)

    def _cast(self, ct, source, i):
        if ct.shape != source.shape:
            ct = self._unbroadcast(ct, source.shape, i)
        return ct if ct.dtype == source.dtype else ct.astype(source.dtype)

    def _wrong_rule(self, i, wanted, got):
        return TypeError(f"{self.op.name}: the rule for argument {i} returned {_kind(got)}; it must return {wanted}")

    def _unbroadcast(self, ct, shape, i):
        extra = len(ct.shape) - len(shape)
        if extra == 1 and ct.shape[1:] == shape:  # a bias: 2.4 µs, the general way takes 3.0
            return ct.sum(axis=0)
        kept = ct.shape[max(extra, 0) :]
        if extra < 0 or any(m not in (n, 1) for m, n in zip(shape, kept, strict=True)):
            raise ValueError(
                f"{self.op.name}: the rule for argument {i} returned shape {ct.shape}; the argument has shape {shape}"
            )
        axes = tuple(range(extra)) + tuple(extra + k for k, m in enumerate(shape) if m == 1 != kept[k])
        return ct.sum(axis=axes).reshape(shape)

    def _check_unchanged(self):
        """Raises where a parameter changed in place after this node read its value."""
        for i, leaf in self.sources():
            if self.args[i] is self.parents[i]:  # a stand-in: the value was not read
                continue
            while leaf.op is not None and leaf.op.view and leaf.parents and leaf.op.view(leaf.args):
                leaf = leaf.parents[0]  # a view shows its parameter's memory
            if leaf.op is None and leaf.changed > self.index:
                raise RuntimeError(
                    f"backward: `{self.op.name}` used a parameter of shape {leaf.shape} that was changed in place "
                    f"since, at {leaf.where}; run backward before changing it, or compute the value again"
                )


def freed(node):
    """The error of a second backward through `node`."""
    return RuntimeError(
        f"backward: the graph of `{node.op.name}` was freed by an earlier backward; "
        "pass retain_graph=True to the first one to go through it twice"
    )


class Leaf:
    """Where gradients arrive: a tensor that requires grad and that no operation made."""

    __slots__ = ("changed", "dtype", "grad", "index", "shape", "where")
    op, parents = None, ()
    last_change = 0  # when any leaf last changed in place: a backward over younger nodes need not look closer

    def __init__(self, shape, dtype):
        self.index = next(clock)
        self.shape = shape
        self.dtype = dtype
        self.grad = None
        self.changed = 0
        self.where = None

    ndim = Node.ndim
    size = Node.size

    def sources(self):
        return iter(())

    def mark_changed(self, where=None):
        """Notes that the value changed in place, and the user's line that did it (`users_line()` by default)."""
        self.changed = Leaf.last_change = next(clock)
        self.where = where or users_line()


def users_line():
    """'file:line' of the innermost frame outside this package."""
    frame, package = sys._getframe(1), __name__.rpartition(".autograd")[0]
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def wrap(data, node=None):
    """A Tensor of an array as it is: no copy, no check."""
    out = new(Tensor)
    out._data = data
    out._node = node
    return out


def _rewrap(arg, parent):
    """A kept argument as the Tensor it was; stand-ins and constants stay what they are."""
    if type(parent) is tuple:
        return tuple(map(_rewrap, arg, parent))
    return arg if parent is None or arg is parent else wrap(arg, parent)


def _kind(x):
    if x is None:
        return "None"
    if isinstance(x, (list, tuple)):
        return f"a {type(x).__name__} of {len(x)}"
    return f"a {type(x).__name__}" + (f" of {x.dtype}" if hasattr(x, "dtype") else "")


# ----- backward -----


def pull(starts, targets=None, wanted=None, create_graph=False, retain_graph=False):
    """The cotangents that reach the leaves (or `targets`) from those of `starts`, in one pass however many these are.

    starts:  the (Node or Leaf, its cotangent) pairs to start from.
    targets: indices of nodes to stop at; all leaves when None.
    wanted:  indices of the nodes that lead to targets; all when None.
    Returns {index: (Node or Leaf, cotangent)}. A cotangent is dropped as soon as it is used, and so is what its
    node kept, unless retain_graph. Nothing is stored on the graph, so a failure leaves every gradient as it was.
    """
    pending, queue, arrived = {}, [], {}  # pending: index -> [node, what its cotangent sums to so far]
    pairs = starts
    with _set_mode(create_graph), Tensor._strict():
        while True:
            for source, ct in pairs:
                index = source.index
                entry = pending.get(index)
                if entry is None:
                    pending[index] = [source, ct]
                    heappush(queue, -index)
                    continue
                try:
                    entry[1] = entry[1] + ct
                except FloatingPointError:  # inf - inf: two rules have told of it
                    with Tensor._quiet():
                        entry[1] = entry[1] + ct
            if not queue:
                return arrived
            index = -heappop(queue)
            node, g = pending.pop(index)
            if node.op is None or (targets is not None and index in targets):
                arrived[index], pairs = (node, g), ()
            else:
                pairs = node.pull(g, wanted, create_graph, retain_graph)


def paths(roots, targets, since):
    """(wanted, outside): the indices of nodes between `roots` and `targets`, and whether `roots` have other sources.

    since: a clock reading; nodes older than it were recorded before and are outside.
    """
    nodes, stack, outside = {}, list(roots), False
    while stack:
        node = stack.pop()
        if node.index in nodes:
            continue
        nodes[node.index] = node
        if node.index in targets:
            continue
        if node.op is None or node.index < since:
            outside = True
            continue
        if node.parents is None:
            raise freed(node)
        stack.extend(source for _, source in node.sources())
    wanted = set(targets)
    for index in sorted(nodes):
        if index not in wanted and any(source.index in wanted for _, source in nodes[index].sources()):
            wanted.add(index)
    return wanted, outside


# ----- primitives and rules -----

MISSING = object()  # the rule of an argument that defvjp has passed over


class Op:
    """What the engine knows of a primitive: its name, its function, its rules, and what these read."""

    __slots__ = ("explain", "f", "name", "plans", "rules", "view")

    def __init__(self, f, name=None, view=None, explain=None):
        self.f = f
        self.name = name or f.__name__
        self.view = view  # args -> whether the answer shares the memory of the first one; None: it never does
        self.explain = explain  # (args, kwargs) -> what is wrong with them, or None
        self.rules = None
        self.plans = {}

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

    def fail(self, error, args, kwargs):
        """Raises the error of a call, told with the operation's name and its arguments' shapes."""
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
    if shape is not None:
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
    op.plans.clear()


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
# `_unary` and `_binary` are `_general` for the operations in the middle of every loop: positional arrays alone.


def _unary(op):
    f = op.f

    def apply(x):
        if not isinstance(x, Tensor):
            return _plain(op, (x,), {})
        a = x._data
        try:
            ans = f(a)
        except Exception as error:
            op.fail(error, (x,), {})
        out = new(Tensor)
        out._data = ans
        parent = x._node
        if parent is None or not mode.enabled:
            out._node = None
            return out
        _, keep, keep_ans = op.plans.get(_ONE) or op.plan(_ONE)
        out._node = Node(
            op, (parent,), (a if keep[0] else parent,), None, ans if keep_ans else None, ans.shape, ans.dtype
        )
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
            op.fail(error, (x, y), {})
        out = new(Tensor)
        out._data = ans
        if (p is None and q is None) or not mode.enabled:
            out._node = None
            return out
        mask = _BOTH if p is not None and q is not None else _FIRST if q is None else _SECOND
        _, keep, keep_ans = op.plans.get(mask) or op.plan(mask)
        out._node = Node(
            op,
            (p, q),
            (a if keep[0] else p, b if keep[1] else q),
            None,
            ans if keep_ans else None,
            ans.shape,
            ans.dtype,
        )
        return out

    return apply


_ONE, _BOTH, _FIRST, _SECOND = (True,), (True, True), (True, False), (False, True)


def _first(op):
    """For one array, named `x`, and options after it that are no Tensors: `sum(x, axis)`, `x[index]`."""
    f, general = op.f, _general(op)

    def apply(x, *options, **kwargs):
        if any(map(_holds_tensor, options)) or (kwargs and any(map(_holds_tensor, kwargs.values()))):
            return general(x, *options, **kwargs)
        if not isinstance(x, Tensor):
            return general(x, *options, **kwargs) if _holds_tensor(x) else _plain(op, (x, *options), kwargs)
        a, parent = x._data, x._node
        try:
            ans = Tensor._coerce(f(a, *options, **kwargs))
        except Exception as error:
            op.fail(error, (x, *options), kwargs)
        out = new(Tensor)
        out._data = ans
        if parent is None or not mode.enabled:
            out._node = None
            return out
        mask = (True,) + (False,) * len(options)
        _, keep, keep_ans = op.plans.get(mask) or op.plan(mask)
        out._node = Node(
            op,
            (parent,) + (None,) * len(options),
            (a if keep[0] else parent, *options),
            kwargs,
            ans if keep_ans else None,
            ans.shape,
            ans.dtype,
        )
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
            op.fail(error, args, kwargs)
        if not mode.enabled or parents.count(None) == len(parents):
            return wrap(ans)
        mask = tuple(p is not None for p in parents)
        live, keep, keep_ans = op.plans.get(mask) or op.plan(mask)
        if True not in live:
            return wrap(ans)
        parents = tuple(p if alive else None for p, alive in zip(parents, live, strict=True))
        kept = tuple(
            a if k or (p is None and not hasattr(a, "shape")) else p
            for a, p, k in zip(raw, parents, keep, strict=True)
        )
        return wrap(ans, Node(op, parents, kept, kwargs, ans if keep_ans else None, ans.shape, ans.dtype))

    return apply


def _plain(op, args, kwargs):
    """A call without a Tensor: the plain function, its failures told as everywhere."""
    try:
        return op.f(*args, **kwargs)
    except Exception as error:
        op.fail(error, args, kwargs)


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
