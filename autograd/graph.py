"""The recorded graph, and the one backward pass over it.

Nodes carry the tick of one clock at which they were made. An operation is always younger than its arguments, so
visiting the youngest pending node first is a topological order: no recursion, no sort, no marks on the graph.
This file knows no numpy function. What depends on the carrier it asks of the static methods of Tensor (`_strictly`,
`_singular`, `_accumulate`, ...).
"""

import functools
import inspect
import itertools
import math
import sys
import threading
from collections import deque
from heapq import heappop, heappush

__all__ = ["Leaf", "Node", "Part", "enable_grad", "is_grad_enabled", "no_grad", "paths", "pull", "wrap"]

clock = itertools.count(1)  # next(clock) is atomic: one order of creation for all threads
calls = deque(maxlen=1 << 15)  # (first tick, last tick, id) of the latest calls of modules: pictures group by them
new = object.__new__
Tensor = None  # the class of what is recorded; engine.carrier sets it

# ----- grad mode, one a thread -----


class _Mode(threading.local):
    def __init__(self):
        self.enabled = True
        self.outer = []  # what `enabled` was outside the blocks that are open
        self.tape = None  # where a step that is being compiled is noted


mode = _Mode()
off = []  # an entry for every block of any thread in which nothing is recorded: while there is none, nobody need ask


def is_grad_enabled():
    """True where operations of this thread are recorded."""
    return mode.enabled


class _set_mode:
    """A block (or, called with a function, a function) that runs in one mode and restores the one before."""

    __slots__ = ("enabled",)

    def __init__(self, enabled):
        self.enabled = enabled

    def __enter__(self):
        if not self.enabled:
            off.append(None)
        mode.outer.append(mode.enabled)
        mode.enabled = self.enabled

    def __exit__(self, *exception):
        mode.enabled = mode.outer.pop()
        if not self.enabled:
            off.pop()

    def __call__(self, f):
        if inspect.isgeneratorfunction(f):
            raise TypeError(
                f"no_grad, enable_grad: {f.__name__} is a generator, which runs when its values are asked for, outside "
                "the mode; put the block inside it, around what is computed between two yields"
            )

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


def live(options, *keys):
    """`options`, a dict, whose numbers under `keys` a compiled step looks up anew in every call."""
    if mode.tape is None:
        return options
    return {**options, **{key: mode.tape.number(options, key) for key in keys}}


generators = []  # (generator, its name) of this package's own: a compiled step must not draw from them


class _Latest:
    """What changed last, for all who need not look closer where nothing did.

    change:     when a leaf last changed in place.
    attributes: how often an attribute of a Noted object was set.

    No attributes of a class: each assignment to one makes Python look up anew all that it remembers of the class.
    """

    __slots__ = ("attributes", "change")

    def __init__(self):
        self.attributes = self.change = 0


latest = _Latest()


class Noted:
    """An object whose changes are counted, for all of its kind: a compiled step looks closer where there were some."""

    __slots__ = ()

    def __setattr__(self, name, value):
        latest.attributes += 1
        object.__setattr__(self, name, value)

    def __delattr__(self, name):
        latest.attributes += 1
        object.__delattr__(self, name)


# ----- the graph -----


class Node:
    """One recorded operation: what it was, what it came from, and what its rules will read.

    parents: for every argument its Node or Leaf; None where no gradient flows; a tuple of these for a sequence.
    args:    for every argument its array, where a rule reads it, else its parent (which knows shape and dtype).
    ans:     the answer's array where a rule reads it, else None.
    A backward pass that need not keep the graph sets all three to None.
    """

    __slots__ = ("ans", "args", "dtype", "index", "op", "parents", "shape")
    kwargs = None

    def __init__(self, op, parents, args, ans, shape, dtype):
        self.index = next(clock)
        self.op = op
        self.parents = parents
        self.args = args
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
        """(sources, their cotangents), given the cotangent `g` of this node's answer; then frees the node.

        What `graph.pull` does for every node, said with no haste: for a backward that is recorded itself, and for
        sequences.
        """
        parents, args, ans = self.parents, self.args, self.ans
        if parents is None:
            raise freed(self)
        if self.index < latest.change:
            self._check_unchanged()
        if create_graph:
            args = tuple(map(_rewrap, args, parents))
            ans = None if ans is None else wrap(ans, self)
        sources, cotangents = [], []
        for i, parent in enumerate(parents):
            if type(parent) is tuple:
                answers = self._sequence(i, parent, g, self if ans is None else ans, args)
            elif parent is not None and (wanted is None or parent.index in wanted):
                parent, answers = (parent,), (self._asked(i, g, self if ans is None else ans, args),)
            else:
                continue
            for source, ct in zip(parent, answers, strict=True):
                if source is not None:
                    sources.append(source)
                    cotangents.append(self._fit(ct, source, self.op.rules[i]))
        if create_graph:  # a rule may give a constant
            cotangents = [ct if isinstance(ct, Tensor) else wrap(ct) for ct in cotangents]
        if not retain_graph:
            self.parents = self.args = self.ans = None
        return sources, cotangents

    def _asked(self, i, g, ans, args):
        """What the rule for argument i answers."""
        try:
            return self.op.rules[i](g, ans, *args, **(self.kwargs or {}))
        except FloatingPointError as trouble:  # a singular point
            return Tensor._singular(self, self.op.rules[i], g, ans, args, trouble)

    def _sequence(self, i, parents, g, ans, args):
        """The answers for an argument that is a sequence, one for each of its parents."""
        answers = self._asked(i, g, ans, args)
        if not isinstance(answers, (list, tuple)) or len(answers) != len(parents):
            raise self._wrong_rule(self.op.rules[i], f"a list of {len(parents)} arrays", answers)
        return answers

    def _fit(self, ct, source, rule):
        """`ct`, what `rule` answered, in the shape and dtype of its argument: summed where that was broadcast."""
        try:
            return self._cast(ct, source, rule)
        except FloatingPointError:  # too large for the argument's dtype
            with Tensor._quiet():
                return self._cast(ct, source, rule)
        except AttributeError:
            raise self._wrong_rule(rule, f"an array of shape {source.shape}", ct) from None

    def _cast(self, ct, source, rule):
        if ct.dtype.kind not in "fiub":
            raise self._wrong_rule(rule, f"an array of shape {source.shape}", ct)
        if ct.shape != source.shape:
            ct = self._unbroadcast(ct, source.shape, rule)
        return ct if ct.dtype == source.dtype else ct.astype(source.dtype)

    def _wrong_rule(self, rule, wanted, got):
        i = self.op.rules.index(rule)
        return TypeError(f"{self.op.name}: the rule for argument {i} returned {_kind(got)}; it must return {wanted}")

    def _unbroadcast(self, ct, shape, rule):
        extra = len(ct.shape) - len(shape)
        kept = ct.shape[max(extra, 0) :]
        if extra < 0 or any(m not in (n, 1) for m, n in zip(shape, kept, strict=True)):
            i = self.op.rules.index(rule)
            raise ValueError(
                f"{self.op.name}: the rule for argument {i} returned shape {ct.shape}; the argument has shape {shape}"
            )
        axes = tuple(range(extra)) + tuple(extra + k for k, m in enumerate(shape) if m == 1 != kept[k])
        return Tensor._added_up(ct, axes).reshape(shape)

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


class Call(Node):
    """A Node with keywords, or some of whose arguments are sequences."""

    __slots__ = ("kwargs",)

    def __init__(self, op, parents, args, kwargs, ans, shape, dtype):
        super().__init__(op, parents, args, ans, shape, dtype)
        self.kwargs = kwargs


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
        mark_changed((self,), where or users_line())


def mark_changed(leaves, where):
    """Notes that the values of leaves changed in place, at the line `where`."""
    tick = latest.change = next(clock)
    for leaf in leaves:
        leaf.changed, leaf.where = tick, where


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


class Part:
    """A cotangent that is `g` at a basic index and 0 elsewhere: one array of zeros takes all parts of a source."""

    __slots__ = ("dtype", "g", "index", "shape")
    nbytes = math.inf  # it is added in place, however small

    def __init__(self, g, index, shape):
        self.g = g
        self.index = index
        self.shape = shape
        self.dtype = g.dtype

    def __array__(self, dtype=None, copy=None):
        return Tensor._whole(self)


# ----- backward -----

LARGE = 1 << 16  # bytes from which cotangents are summed in place


def pull(starts, targets=None, wanted=None, create_graph=False, retain_graph=False):
    """The cotangents that reach the leaves (or `targets`) from those of `starts`, in one pass however many these are.

    starts:  the (Node or Leaf, its cotangent) pairs to start from.
    targets: indices of nodes to stop at; all leaves when None.
    wanted:  indices of the nodes that lead to targets; all when None.
    Returns {index: [Node or Leaf, cotangent]}. A cotangent is dropped as soon as it is used, and so is what its
    node kept, unless retain_graph. Nothing is stored on the graph, so a failure leaves every gradient as it was.
    """
    was = mode.enabled  # _set_mode, written out
    if not create_graph:
        off.append(None)
    mode.enabled = create_graph
    try:
        return Tensor._strictly(_pull, starts, targets, wanted, create_graph, retain_graph)
    finally:
        mode.enabled = was
        if not create_graph:
            off.pop()


def _pull(starts, targets, wanted, create_graph, retain_graph):
    pending, arrived, queue = {}, {}, []  # index -> [Node or Leaf, what its cotangents sum to so far]
    node, g = _Start(starts), None
    while True:
        if create_graph or type(node) is not Node:
            sources, rules = node.pull(g, wanted, create_graph, retain_graph)  # what the rules answered
            n = -1
        else:  # Node.pull, written out below: this is the hot loop of every training step
            sources, rules = node.parents, node.op.rules
            args, ans = node.args, node.ans
            if sources is None:
                raise freed(node)
            if node.index < latest.change:
                node._check_unchanged()
            if ans is None:  # not kept: a rule may still ask for its shape
                ans = node
            n = len(args)
            x = y = None
            if n == 2:
                x, y = args
            elif n == 1:
                (x,) = args
        for source, rule in zip(sources, rules):  # noqa: B905  (rules may be fewer: no gradient flows to the others)
            if n < 0:
                ct = rule
            elif source is None or (wanted is not None and source.index not in wanted):
                continue
            else:
                try:
                    if n == 2:  # a call without * is 0.1 µs faster
                        ct = rule(g, ans, x, y)
                    elif n == 1:
                        ct = rule(g, ans, x)
                    else:
                        ct = rule(g, ans, *args)
                except FloatingPointError as trouble:  # a singular point
                    ct = Tensor._singular(node, rule, g, ans, args, trouble)
                try:
                    if ct.shape != source.shape or ct.dtype is not source.dtype:
                        if ct.shape[1:] == source.shape and ct.dtype is source.dtype:  # a bias, in every layer
                            ct = Tensor._added_up(ct, 0)
                        else:
                            ct = node._fit(ct, source, rule)
                except (AttributeError, FloatingPointError):  # it is no array; or its sum is not finite
                    ct = node._fit(ct, source, rule)
            index = source.index
            here = arrived if source.op is None or (targets is not None and index in targets) else pending
            entry = here.get(index)
            if entry is not None:
                if type(ct) is float or (n >= 0 and ct.nbytes < LARGE):
                    try:
                        entry[1] = entry[1] + ct
                        continue
                    except FloatingPointError:  # inf - inf: two rules have told of it
                        pass
                Tensor._accumulate(entry, ct)
                continue
            here[index] = [source, Tensor._whole(ct) if type(ct) is Part else ct]
            if here is pending:
                heappush(queue, -index)
        if n >= 0 and not retain_graph:
            node.parents = node.args = node.ans = args = ans = x = y = None
        if not queue:
            return arrived
        node, g = pending.pop(-heappop(queue))


class _Start:
    """What a backward pass begins with, in the place of a node."""

    def __init__(self, pairs):
        self.pairs = pairs

    def pull(self, *_):
        return [node for node, _ in self.pairs], [ct for _, ct in self.pairs]


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
