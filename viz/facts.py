"""What is known of a recorded node beyond its shape: its value, its gradient, what it keeps and what it costs."""

import functools
import math
import numbers

import numpy as np

from ..autograd import Tensor, Value
from .data import Stats
from .flow import backward, quietly

__all__ = ["FEW", "Facts", "flops", "shown"]

FEW = 4  # elements: so many are shown, of more their statistics
MANY = 20_000  # operations: of more no statistics are made, they would take longer than the picture

# A gradient's norm, as a multiple of the root's: beyond these it is marked. Zero is "dead".
VANISHING, EXPLODING = 1e-4, 1e4


class Facts:
    """The values and gradients of a recorded graph, as fields of `data.Node`.

    tensors:   {index of a leaf: its Tensor}, where that is known.
    gradients: whether to run the backward pass, on copies of nothing and changing nothing; None: where one was run
               already, or an array to start from.
    flows:     {index of an operation: the norms of the cotangents it sends, in the order of its sources}.
    """

    def __init__(self, value, root, operations, tensors, gradients=None):
        self.flows, self.fields, self.notes = {}, {}, ()
        self.seen = set()  # the memory whose bytes are counted
        self.tensors = tensors
        if len(operations) > MANY:
            self.notes = (f"no statistics: there are more than {MANY:,} operations",)
            if isinstance(value, Tensor):
                self.fields[root.index] = shown(value._data)
            return
        answers = _answers(value, root, operations, tensors)
        self.fields = {index: shown(x) for index, x in answers.items()}
        self._mark_first_wrong(operations)
        seed = _seed(value, root, operations, gradients)
        if seed is not None:
            self._gradients(root, seed)

    def of(self, x):
        """The fields of a node, an array or a number."""
        if isinstance(x, Value):
            return {"data": x.data, "grad": float(x.grad)} | self.fields.get(x.index, {})
        if isinstance(x, np.ndarray | np.generic):
            return shown(x) | ({"shape": x.shape, "dtype": _name(x.dtype)} if x.ndim else {})
        if isinstance(x, numbers.Number):
            return {"data": x}
        if not hasattr(x, "op"):
            return {}
        fields = {"shape": x.shape, "dtype": _name(x.dtype)}
        if x.index in self.fields:
            fields |= self.fields[x.index]
        if x.op is not None:
            fields["kept"], fields["flops"] = self._kept(x), flops(x)
        elif x.grad is not None:
            fields |= {"grad": None, "flow": None} | _gradient(x.grad.data)
        return fields

    def _kept(self, node):
        """The bytes of the arrays that the node keeps, but for those of leaves and what an older one keeps too."""
        total = 0 if node.ans is None else self._bytes(node.ans)
        for arg, parent in zip(node.args, node.parents, strict=True):
            if arg is parent or (parent is not None and parent.__class__ is not tuple and parent.op is None):
                continue
            for array in arg if arg.__class__ in (list, tuple) else (arg,):
                total += self._bytes(array)
        return total

    def _bytes(self, array):
        if not isinstance(array, np.ndarray):
            return 0
        while isinstance(array.base, np.ndarray):
            array = array.base
        if id(array) in self.seen:
            return 0
        self.seen.add(id(array))
        return array.nbytes

    def _mark_first_wrong(self, operations):
        """Marks the operations that made a nan or an infinity of finite numbers."""
        for node in operations:
            made = _wrong(self.fields.get(node.index, {}))
            if made and not any(_wrong(self.fields.get(source.index, {})) for _, source in node.sources()):
                self._mark(node, f"makes {made}")

    def _mark(self, node, mark):
        fields = self.fields.setdefault(node.index, {})
        fields["marks"] = (*fields.get("marks", ()), mark)

    def _gradients(self, root, seed):
        start = _norm(seed)
        for node, g, pairs in backward(root, seed):
            fields = self.fields.setdefault(node.index, {})
            fields |= _gradient(g)
            self.flows[node.index] = [_norm(ct) for _, _, ct in pairs]
            norm = _norm(g)
            if np.isfinite(norm) and not all(map(np.isfinite, self.flows[node.index])):
                self._mark(node, "makes nan or inf of its gradient")
            for mark in _marks(node, g, norm / start if start else 1):
                self._mark(node, mark)


def _marks(node, g, ratio):
    """What is wrong with a gradient: 'dead', '3 of 8 units dead', 'vanishing', 'exploding'."""
    if not ratio:
        yield "dead"
    elif ratio < VANISHING:
        yield "vanishing"
    elif ratio > EXPLODING:
        yield "exploding"
    if ratio and node.op is not None and np.ndim(g) > 1:  # a unit is a column of activations
        idle = ~np.any(g, axis=tuple(range(g.ndim - 1)))
        if idle.any():
            yield f"{np.count_nonzero(idle)} of {idle.size} units dead"


def _wrong(fields):
    """'nan' or 'inf', where a value holds one."""
    stats = fields.get("stats")
    if stats is not None:
        return "nan" if stats.nan else "inf" if stats.inf else ""
    data = np.asarray(fields.get("data", 0), float)
    return "nan" if np.isnan(data).any() else "inf" if np.isinf(data).any() else ""


# ----- arrays as fields -----


@functools.cache
def _name(dtype):
    """'float32'; numpy takes 3 µs to say so."""
    return str(dtype)


def shown(x):
    """The fields `data` or `stats` of an array."""
    x = np.asarray(x)
    return {"data": _nested(x)} if x.size <= FEW else {"stats": stats(x)}


def _gradient(g):
    """The fields `grad` or `flow` of an array."""
    g = np.asarray(g)
    return {"grad": _nested(g)} if g.size <= FEW else {"flow": stats(g)}


def _nested(x):
    """The elements as nested tuples; a number where there is one."""
    if x.size == 1:
        return x.item()
    return tuple(map(_nested, x)) if x.ndim else x.item()


@quietly
def stats(x):
    """The Stats of an array."""
    x = np.asarray(x, dtype=np.result_type(x.dtype, np.float64)).ravel()
    nan = inf = 0
    norm = math.sqrt(np.dot(x, x))
    if not math.isfinite(norm):
        finite = np.isfinite(x)
        nan = int(np.count_nonzero(np.isnan(x)))
        inf = int(x.size - np.count_nonzero(finite) - nan)
        x = x[finite]
        norm = float(np.linalg.norm(x))
    if not x.size:
        return Stats(*[math.nan] * 4, 0.0, 0.0, nan, inf)
    mean = float(x.mean())
    centered = x - mean
    return Stats(
        mean,
        math.sqrt(np.dot(centered, centered) / x.size),
        float(x.min()),
        float(x.max()),
        float(1 - np.count_nonzero(x) / x.size),
        norm,
        nan,
        inf,
    )


@quietly
def _norm(x):
    x = np.asarray(getattr(x, "data", x), np.float64).ravel()
    return math.sqrt(np.dot(x, x))


# ----- values that the graph has not kept -----


@quietly
def _answers(value, root, operations, tensors):
    """{index: array} for every node whose value is known: kept by its own or another rule, noted by `watch`, in
    `params`, or computed again from such."""
    if isinstance(value, Value):
        return {node.index: node.data for o in operations for node in (o, *(source for _, source in o.sources()))}
    known = {index: tensor._data for index, tensor in tensors.items()}
    current = {index for index, tensor in tensors.items() if getattr(tensor._node, "changed", 0) < root.index}
    fresh = {index: known[index] for index in known if index in current or tensors[index]._node.op is not None}
    for node in operations:
        for arg, parent in zip(node.args, node.parents, strict=True):
            for a, p in zip(arg, parent, strict=True) if type(parent) is tuple else ((arg, parent),):
                if p is not None and a is not p:
                    known[p.index] = fresh[p.index] = a
        answer = getattr(node.index, "answer", None)
        answer = node.ans if answer is None else answer
        if answer is None and node.index not in fresh:
            answer = _again(node, fresh)
        if answer is not None:
            known[node.index] = fresh[node.index] = answer
    known[root.index] = value._data
    return known


def _again(node, known):
    """The answer computed again from its arguments, or None where one is not known."""
    args = []
    for i, (arg, parent) in enumerate(zip(node.args, node.parents, strict=True)):
        if type(parent) is tuple:
            arg = [_known(a, p, known) for a, p in zip(arg, parent, strict=True)]
            if any(a is None for a in arg):
                return None
        elif arg is not None or not _keeps(node, i):
            arg = _known(arg, parent, known)
            if arg is None:
                return None
        args.append(arg)
    return node.op.f(*args, **(node.kwargs or {}))


def _keeps(node, i):
    """Whether what a rule reads of argument i was kept: a None there was given, as in `axis=None`, and is no gap."""
    mask = tuple(parent is not None for parent in node.parents)
    return (node.op.plans.get(mask) or node.op.plan(mask))[1][i]


def _known(arg, parent, known):
    if parent is None:
        return None if arg is None or hasattr(arg, "op") else arg
    return known.get(parent.index) if arg is parent else arg


# ----- where the backward pass starts -----


def _seed(value, root, operations, gradients):
    """The root's cotangent, or None where there is no backward pass to be shown."""
    if gradients is None:
        leaves = {source.index: source for node in operations for _, source in node.sources() if source.op is None}
        ran = any(getattr(leaf.grad, "size", 1) and leaf.grad is not None for leaf in leaves.values())
        if isinstance(value, Value):
            ran = any(float(leaf.grad) for leaf in leaves.values())
        gradients = ran and root.size == 1
    if gradients is False or (gradients is True and root.size != 1):
        if gradients:
            raise ValueError(
                f"graph: gradients flow from one number, this tensor has shape {root.shape}; "
                "give the array they start from, gradients=array"
            )
        return None
    if isinstance(value, Value):
        return 1.0
    if gradients is True:
        return np.ones(root.shape, root.dtype)
    return value._seed("graph", gradients, False)


# ----- floating-point operations -----

FREE = {
    "astype", "reshape", "transpose", "swapaxes", "moveaxis", "expand_dims", "squeeze", "broadcast_to", "concatenate",
    "pad", "flip", "roll", "tril", "triu", "getitem", "setitem",
}  # fmt: skip
EACH = {  # one for every element of the answer, or so many
    "add": 1, "subtract": 1, "multiply": 1, "divide": 1, "negative": 1, "reciprocal": 1, "square": 1, "power": 1,
    "remainder": 1, "exp": 1, "exp2": 1, "expm1": 1, "log": 1, "log2": 1, "log10": 1, "log1p": 1, "logaddexp": 4,
    "sqrt": 1, "cbrt": 1, "sin": 1, "cos": 1, "tan": 1, "arcsin": 1, "arccos": 1, "arctan": 1, "arctan2": 1, "sinh": 1,
    "cosh": 1, "tanh": 1, "arcsinh": 1, "arccosh": 1, "arctanh": 1, "hypot": 4, "sigmoid": 4, "relu": 1, "abs": 1,
    "fabs": 1, "maximum": 1, "minimum": 1, "where": 1, "softmax": 5, "log_softmax": 5,
}  # fmt: skip
READ = {"sum": 1, "mean": 1, "cumsum": 1, "prod": 1, "max": 1, "min": 1, "add_at": 1, "norm": 2, "var": 4, "std": 4}
CONTRACTIONS = {  # (shapes of the first arguments, shape of the answer) -> multiplications and additions
    "matmul": lambda x, y, ans: 2 * math.prod(ans) * x[-1],
    "inner": lambda x, y, ans: 2 * math.prod(ans) * (x[-1] if x else 1),
    "linear": lambda x, weight, ans: math.prod(ans) * (2 * x[-1] + 1),
    "inv": lambda x, ans: 2 * math.prod(x) * x[-1],
    "solve": lambda x, y, ans: 2 * math.prod(x) * x[-1] // 3 + 2 * math.prod(ans) * x[-1],
}


def flops(node):
    """The floating-point operations of an operation, an exponential counted as one; None for one that is not known."""
    name = node.op.name
    if name in FREE:
        return 0
    if name in EACH:
        return EACH[name] * node.size
    shapes = [a.shape for a in node.args if hasattr(a, "shape")]
    if name in READ:
        return READ[name] * math.prod(shapes[0])
    if name in CONTRACTIONS:
        needed = CONTRACTIONS[name].__code__.co_argcount - 1
        return CONTRACTIONS[name](*shapes[:needed], node.shape) if len(shapes) >= needed else None
    return _einsum(node) if name == "einsum" else None


def _einsum(node):
    """Two for every combination of the indices."""
    subscripts, *operands = node.args
    terms = str(subscripts).replace(" ", "").partition("->")[0].split(",")
    if "." in subscripts or len(terms) != len(operands):
        return None
    sizes = {i: n for term, x in zip(terms, operands, strict=True) for i, n in zip(term, np.shape(x), strict=True)}
    return 2 * math.prod(sizes.values())
