"""Functions that make derivatives of functions. All are made of `vjp`, so they nest to any order.

Arguments and answers may be arrays, numbers, Tensors, and nested dicts, lists and tuples of these. Plain arrays in,
plain arrays out; with a Tensor among the arguments, Tensors out.
"""

import functools

import numpy as np

from . import engine, graph, ops
from .engine import Op, defvjp
from .graph import Leaf, Node, _kind, clock, paths, pull, wrap
from .tensor import Tensor
from .tree import flatten, tree_map

__all__ = ["grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp", "vmap"]


def vjp(f, *xs):
    """(f(*xs), pullback): the answer, and the function from its cotangent to the cotangents of `xs`, a tuple.

    >>> import numpy as np, mytorch as mt
    >>> y, pullback = mt.vjp(lambda x: x**2, np.array([1.0, 2.0]))
    >>> pullback(np.array([1.0, 10.0]))
    (array([ 2., 40.]),)
    """
    trace = Trace("vjp", f, xs, range(len(xs)))
    return trace.answer(copy=True), lambda g: trace.give(trace.pullback(g), g)


def value_and_grad(f, argnums=0):
    """The function that gives (f(*args), its gradient); `f` gives one number.

    argnums: the argument to differentiate by, or a tuple of them; the gradient then is a tuple.
    """

    @functools.wraps(f, updated=())
    def value_and_gradient(*args, **kwargs):
        trace = Trace("grad", f, args, _tuple(argnums), kwargs)
        y = trace.y
        if not isinstance(y, Tensor) or y.size != 1:
            what = f"shape {y.shape}" if isinstance(y, Tensor) else _kind(y)
            raise ValueError(
                f"grad: {_name(f)} returned {what}; it must return one number: "
                "reduce it with .sum() or .mean(), or use jacobian or vjp"
            )
        answer, one = trace.answer(), np.ones(y.shape, y.dtype)
        gradients = trace.give(trace.pullback(one, last=True), one)
        return answer, gradients if isinstance(argnums, (tuple, list)) else gradients[0]

    return value_and_gradient


def grad(f, argnums=0):
    """The function that gives the gradient of `f`, which gives one number.

    argnums: the argument to differentiate by, or a tuple of them; the gradient then is a tuple.

    >>> import mytorch as mt
    >>> float(mt.grad(lambda x: x**3)(2.0))
    12.0
    >>> float(mt.grad(mt.grad(lambda x: x**3))(2.0))
    12.0
    """
    both = value_and_grad(f, argnums)

    @functools.wraps(f, updated=())
    def gradient(*args, **kwargs):
        return both(*args, **kwargs)[1]

    return gradient


def jvp(f, xs, vs):
    """(f(*xs), the derivative of f along `vs`), for tuples `xs` of arguments and `vs` of their tangents.

    Made of reverse rules alone: the pullback is linear in its cotangent, and its own pullback is the jvp
    (J. Townsend 2017, "A new trick for calculating Jacobian vector products").

    >>> import mytorch as mt
    >>> y, tangent = mt.jvp(lambda x: x * x, (3.0,), (1.0,))
    >>> float(y), float(tangent)
    (9.0, 6.0)
    """
    if not (isinstance(xs, (tuple, list)) and isinstance(vs, (tuple, list)) and len(xs) == len(vs)):
        raise TypeError("jvp: give a tuple of arguments and a tuple of as many tangents, jvp(f, (x,), (v,))")
    trace = Trace("jvp", f, xs, range(len(xs)), others=vs)
    any_cotangent = tree_map(lambda y: np.ones(y.shape, y.dtype), trace.y)  # the pullback is linear: its value is free
    transposed = Trace("jvp", lambda g: trace.pullback(g, record=True), (any_cotangent,), (0,))
    (tangent,) = transposed.pullback(tuple(vs), record=trace.alive or _has_history(flatten(vs)[0]))
    return trace.answer(), trace.give(tangent, vs)


def jacobian(f, argnums=0):
    """The function that gives the Jacobian of `f`: for an answer of shape S and an argument of shape T, shape S + T.

    Where the answer is nested, the Jacobian has its structure, and inside it that of the argument.

    >>> import numpy as np, mytorch as mt
    >>> mt.jacobian(lambda x: x**2)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """

    @functools.wraps(f, updated=())
    def jac(*args, **kwargs):
        trace = Trace("jacobian", f, args, _tuple(argnums), kwargs)
        answers, rebuild = flatten(trace.y)
        blocks = [_block(trace, answers, k, rebuild) for k in range(len(answers))]
        return rebuild([b if isinstance(argnums, (tuple, list)) else b[0] for b in blocks])

    return jac


def _block(trace, answers, k, rebuild):
    """The derivatives of the k-th answer, one pullback an element, stacked."""
    shape, rows = answers[k].shape, []
    for j in range(answers[k].size):
        basis = [np.zeros(y.shape, y.dtype) for y in answers]
        basis[k].flat[j] = 1
        leaves, put_together = flatten(trace.pullback(rebuild(basis)))
        rows.append(leaves)
    if not rows:  # an empty answer has an empty Jacobian
        return tuple(tree_map(lambda node: np.zeros(shape + node.shape, node.dtype), x) for x in trace.inputs)
    columns = [ops.stack(column).reshape(shape + column[0].shape) for column in zip(*rows, strict=True)]
    return trace.give(put_together(columns), ())


def hessian(f, argnums=0):
    """The function that gives the matrix of second derivatives of `f`, which gives one number: shape T + T."""
    return jacobian(grad(f, argnums), argnums)


def hvp(f, x, v):
    """The Hessian of `f` at `x` times `v`, without the Hessian: the gradient of <grad f, v>.

    >>> import numpy as np, mytorch as mt
    >>> mt.hvp(lambda x: (x**3).sum(), np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([ 6., 12.])
    """
    trace = Trace("hvp", grad(f), (x,), (0,), others=v, copy=False)
    return trace.give(trace.pullback(v, last=True), v)[0]


def vmap(f, in_axes=0, out_axes=0):
    """The function that applies `f` to every entry along an axis of its arguments, and stacks the answers.

    in_axes:  that axis: one for all arguments, or a tuple of one for each; None: the argument is passed as it is.
    out_axes: the new axis of the answers.

    `f` is run once for every entry: what is saved is writing, not time.

    >>> import numpy as np, mytorch as mt
    >>> per_example = mt.vmap(mt.grad(lambda w, x: (w @ x) ** 2), in_axes=(None, 0))
    >>> per_example(np.array([1.0, 2.0]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    array([[2., 0.],
           [0., 4.]])
    """

    @functools.wraps(f, updated=())
    def mapped(*args):
        axes = in_axes if isinstance(in_axes, (tuple, list)) else (in_axes,) * len(args)
        if len(axes) != len(args):
            raise ValueError(f"vmap: in_axes names {len(axes)} axes, {_name(f)} is given {len(args)} arguments")
        each = range(_entries(f, args, axes))
        rows = [f(*(_entry(x, axis, i) for x, axis in zip(args, axes, strict=True))) for i in each]
        leaves, rebuild = zip(*map(flatten, rows), strict=True)
        return rebuild[0]([ops.stack(column, out_axes) for column in zip(*leaves, strict=True)])

    return mapped


def _entries(f, args, axes):
    """How many entries there are along the axes: as many in all leaves of the arguments that are mapped over."""
    mapped = [(arg, axis) for arg, axis in zip(args, axes, strict=True) if axis is not None]
    shapes = [(np.shape(x), axis) for arg, axis in mapped for x in flatten(arg)[0]]
    for shape, axis in shapes:
        if not -len(shape) <= axis < len(shape):
            raise ValueError(f"vmap: an argument of {_name(f)} has shape {shape}, no axis {axis}; None passes it whole")
    sizes = sorted({shape[axis] for shape, axis in shapes})
    if len(sizes) != 1 or not sizes[0]:
        found = f"axes have sizes {' and '.join(map(str, sizes))}" if len(sizes) > 1 else "there is nothing to map over"
        raise ValueError(f"vmap: {found}; the shapes are {', '.join(str(shape) for shape, _ in shapes) or 'none'}")
    return sizes[0]


def _entry(arg, axis, i):
    """Entry number i of every leaf of an argument."""
    if axis is None:
        return arg
    return tree_map(lambda x: x[(*(slice(None),) * (axis % x.ndim), i)], arg)


# ----- what they share -----


class Trace:
    """One run of `f` on Tensors, and its pullback.

    Every differentiated leaf becomes a fresh node, where pullbacks stop. A Tensor that has a node keeps it behind the
    fresh one, so that an outer derivative goes on from there. `alive` says that a gradient could still come from
    outside: through such a Tensor, or through one that `f` closes over. Pullbacks are recorded then, and only then.
    """

    def __init__(self, who, f, args, argnums, kwargs=None, others=(), copy=True):
        _check_argnums(who, f, argnums, len(args))
        self.who, self.f = who, f
        self.given = [args[i] for i in argnums]
        self.plain = not any(isinstance(x, Tensor) for x in flatten((args, others))[0])
        recording, self.since = graph.is_grad_enabled(), next(clock)
        with graph.enable_grad():
            traced = list(args)
            for i, x in zip(argnums, self.given, strict=True):
                traced[i] = tree_map(lambda x: _fresh(who, x, recording, copy), x)
            # the nodes, not the Tensors: `f` may assign to its arguments
            self.inputs = [tree_map(lambda x: x._node, traced[i]) for i in argnums]
            self.y = tree_map(self._as_tensor, f(*traced, **(kwargs or {})))
        self.leaves = flatten(self.inputs)[0]
        self.targets = {node.index for node in self.leaves}
        roots = [y._node for y in flatten(self.y)[0] if y._node is not None]
        self.wanted, outside = paths(roots, self.targets, self.since)
        self.alive = recording and (outside or any(isinstance(node, Node) for node in self.leaves))

    def pullback(self, g, record=None, last=False):
        """The cotangents of the differentiated arguments, Tensors, from the cotangent `g` of the answer.

        record: whether to record the pullback; by default where a gradient could flow to it.
        last:   nobody asks for the answer or a pullback again: what the graph kept is dropped on the way.
        """
        answers, cotangents = flatten(self.y)[0], flatten(g)[0]
        if len(cotangents) != len(answers):
            raise ValueError(
                f"{self.who}: {_name(self.f)} has {len(answers)} answers, {len(cotangents)} cotangents are given"
            )
        if record is None:
            record = self.alive or _has_history(cotangents)
        record = record and graph.is_grad_enabled()
        with graph._set_mode(record):
            seeds = [(y._node, y._seed(self.who, ct, record)) for y, ct in zip(answers, cotangents, strict=True)]
        starts = [(node, seed) for node, seed in seeds if node is not None and node.index in self.wanted]
        if last:
            self.y = answers = None
        arrived = pull(starts, self.targets, self.wanted, record, retain_graph=record or self.alive or not last)
        totals = {index: got if isinstance(got, Tensor) else wrap(got) for index, (_, got) in arrived.items()}
        for node in self.leaves:  # what no path leads to
            if node.index not in totals:
                totals[node.index] = wrap(np.zeros(node.shape, node.dtype))
        return tuple(tree_map(lambda node: totals[node.index], nodes) for nodes in self.inputs)

    def answer(self, copy=False):
        """The answer, as the caller deals in it; copy: pullbacks will read it, and he may change his."""
        y = self.y if self.alive else tree_map(Tensor.detach, self.y)
        of = Tensor._copied if copy else lambda data: data
        return self._plainly(y, lambda data: of(data)[()])

    def give(self, tree, cotangents):
        """The derivatives `tree` as the caller deals in them; each array in memory of its own, he may change it."""
        seen = {id(getattr(g, "_data", g)) for g in flatten(cotangents)[0]}
        return self._plainly(tree, lambda data: Tensor._owned(data, seen)[()])

    def _plainly(self, tree, of):
        """`tree` of Tensors: arrays, `of` theirs, for arrays, unless a gradient can flow to them."""
        if not self.plain:
            return tree
        return tree_map(lambda x: x if x._node is not None else of(x._data), tree)

    def _as_tensor(self, y):
        if isinstance(y, Tensor):
            return y
        data = None if y is None else Tensor._coerce(y)
        if data is None or data.dtype.kind not in "fiub":
            raise TypeError(f"{self.who}: {_name(self.f)} returned {_kind(y)}; return tensors, arrays or numbers")
        return wrap(data)


_boundary = engine.build(Op(lambda x: x, name="input", view=lambda args: True), engine._unary)
defvjp(_boundary, lambda g, ans, x: g)


def _fresh(who, x, recording, copy):
    """The Tensor of one differentiated leaf, with a node of its own.

    copy: the caller's array is copied, for he may change it before a pullback.
    """
    if isinstance(x, Tensor) and x._node is not None and recording:
        return _boundary(x)
    data = x._data if isinstance(x, Tensor) else (Tensor._copied if copy else Tensor._coerce)(x)
    if data.dtype.kind != "f":
        raise TypeError(
            f"{who}: an argument to differentiate by has dtype {data.dtype}, only real floating ones can; "
            "write 1.0 for 1, or convert it with astype(float)"
        )
    fresh = wrap(data)
    fresh._node = Leaf(data.shape, data.dtype)
    return fresh


def _check_argnums(who, f, argnums, n):
    for i in argnums:
        if not isinstance(i, (int, np.integer)) or not -n <= i < n:
            raise TypeError(f"{who}: {_name(f)} takes {n} arguments here; {i!r} is not the number of one")
    if len({i % n for i in argnums}) < len(argnums):
        raise ValueError(f"{who}: argnums {tuple(argnums)} names an argument twice")


def _has_history(leaves):
    return any(isinstance(x, Tensor) and x._node is not None for x in leaves)


def _tuple(argnums):
    return tuple(argnums) if isinstance(argnums, (tuple, list)) else (argnums,)


def _name(f):
    return getattr(f, "__name__", None) or repr(f)
