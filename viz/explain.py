"""explain: the paths along which a number depends on another, and the share of the gradient that each brings.

The gradient of `loss` by `p` is a sum over the paths from p to the loss, each path the product of the Jacobians on it.
The share of a path is its part of that sum along the gradient itself,

    share = <part, gradient> / <gradient, gradient>

so that shares sum to 1, and may be negative where paths work against each other. What flows through an edge is the sum
over the paths through it. With `t` the change of the edge's source for a small step of p along gradient / |gradient|^2
(a derivative in forward direction) and `ct` the cotangent that the edge sends back, that is <ct, t>: all edges cost one
pass forwards and one backwards, however many paths there are.
"""

import heapq
import math
import warnings
from dataclasses import dataclass

import numpy as np

from ..autograd import Tensor, Value, ops
from ..autograd.graph import Call, Leaf, Node, new, paths
from .data import replace
from .flow import backward, pulled, quietly
from .fold import LIMIT, fold
from .picture import drawn
from .record import operations, read, root_of
from .text import PLAIN, percent

__all__ = ["Path", "explain"]

TOLD = 5  # paths that a picture lists


@dataclass(frozen=True, slots=True)
class Path:
    """A path from what is asked for to the root, or all the `count` paths that begin so.

    nodes:    the keys of its nodes, in that order; text: their names.
    gradient: its part of the gradient, an array. share: that part along the whole; shares sum to 1.
    """

    nodes: tuple[str, ...]
    text: str
    gradient: np.ndarray | float
    share: float
    count: int = 1


def explain(loss, wrt, params=None, *, most=20, level=None, direction="TB", limit=LIMIT, show=PLAIN):
    """A picture of the paths from `wrt` to `loss` alone, with the share of the gradient that flows along each edge.

    wrt:  a Tensor or a Value that `loss`, one number, was computed from.
    most: so many paths are listed in `.paths`, the largest by themselves; those that are left are taken together by how
          they begin. The shares, and the parts of the gradient, of all that are listed sum to the whole.

    The picture is that of `viz.graph`, with the same other arguments; `.gradient` is the gradient, in float64.

    >>> import mytorch as mt
    >>> x = mt.Value(3.0)
    >>> [(path.text, path.share) for path in mt.viz.explain(x * x + x, x).paths]
    [('leaf 1 → multiply → add', 0.428...), ('leaf 1 → multiply → add', 0.428...), ('leaf 1 → add', 0.142...)]
    """
    root, target = root_of(loss, "explain"), root_of(wrt, "explain")
    if root.size != 1:
        raise ValueError(f"explain: a gradient starts from one number, this tensor has shape {root.shape}")
    if level == "scalar":
        raise ValueError("explain: level is 'operation', 'module' or 'line', not 'scalar'")
    between = _between(root, target)
    recorded, keys = read(loss, params, level, gradients=False)
    flow = _Flow(*_exact(between, root, target))
    names = {node.key: node.name or node.op for node in recorded.nodes}
    found = [
        Path(*_told(edges, target, keys, names), gradient, share, count)
        for edges, gradient, share, count in flow.paths(most)
    ]
    graph = _with_shares(recorded, flow, keys)
    count = flow.count(target.index)
    counted = f"{count:,} path{'s' * (count != 1)} from {names[keys[target.index]]} to {names[keys[root.index]]}"
    largest = sorted(found, key=lambda path: -abs(path.share))[:TOLD]
    graph = replace(graph, notes=(*graph.notes, counted, *(f"{percent(p.share)}: {_short(p.text)}" for p in largest)))
    picture = drawn(fold(graph, limit=limit), graph, direction, show)
    picture.paths, picture.gradient = tuple(found), flow.gradient
    return picture


def _between(root, target):
    """The nodes on the paths, the target first, the root last."""
    nodes = {node.index: node for node in operations(root, "explain")} | {root.index: root, target.index: target}
    wanted, _ = paths([root], {target.index}, 0)
    if root.index not in wanted:
        raise ValueError("explain: `loss` was not computed from `wrt`")
    return [nodes[index] for index in sorted(wanted)]


def _short(text):
    """A path's text with what is too long for a line left out in the middle."""
    names = text.split(" → ")
    left_out = len(names) - 8
    return text if left_out < 2 else " → ".join([*names[:5], f"({left_out} more)", *names[-3:]])


def _told(edges, target, keys, names):
    """(keys, text) of a path."""
    nodes = (keys[target.index], *(keys[reader.index] for reader, _ in edges))
    return nodes, " → ".join(names[key] for key in nodes)


# ----- the flow of the gradient -----


class _Flow:
    """Cotangents, tangents and shares of the nodes between `target` and `root`, by index.

    sent: {(index of a reader, which of its sources): (the source's index, the cotangent sent there)}.
    """

    def __init__(self, nodes, root, target):
        self.nodes = {node.index: node for node in nodes}
        self.root, self.target = root, target
        self.cotangents, self.sent, self.readers = {}, {}, {index: [] for index in self.nodes}
        seed = 1.0 if isinstance(root, Value) else np.ones(root.shape)
        for node, g, pairs in backward(root, seed, self.nodes):
            self.cotangents[node.index] = g
            if node is target:
                continue
            for which, (_, source, ct) in enumerate(pairs):
                if source.index in self.nodes:
                    self.sent[node.index, which] = source.index, ct
                    self.readers[source.index].append((node, which))
        self.gradient = self.cotangents[target.index]
        square = _inner(self.gradient, self.gradient)
        self.along = self.gradient / square if square else self.gradient * 0.0
        self.tangents = self._tangents()
        self.counts = {root.index: 1}

    def _tangents(self):
        tangents = {self.target.index: self.along}
        for index, node in self.nodes.items():
            if node is not self.target:
                tangents[index] = _push(node, tangents, self.cotangents[index])
        return tangents

    def node_share(self, index):
        return _inner(self.cotangents[index], self.tangents[index])

    def edge_share(self, reader, which):
        source, ct = self.sent[reader, which]
        return _inner(ct, self.tangents[source])

    def count(self, index):
        """How many paths lead from a node to the root."""
        if not self.counts.get(index):
            for at in reversed(self.nodes):
                if at != self.root.index:
                    self.counts[at] = sum(self.counts[reader.index] for reader, _ in self.readers[at])
        return self.counts[index]

    def paths(self, most):
        """[(edges, part of the gradient, share, count)]: `most` paths or a few less, the largest split the furthest.

        Begins with all paths taken together, and goes on from where the largest of those that are not whole ends.
        """
        heap, whole, number = [(-1.0, 0, [], self.gradient)], [], 0
        while heap:
            _, _, edges, part = heapq.heappop(heap)
            readers = self._follow(edges)
            if not readers or len(whole) + len(heap) + len(readers) > most:
                whole.append((edges, part))
                continue
            for reader, which in readers:
                mine = self._down(edges, self.sent[reader.index, which][1])
                number += 1
                heapq.heappush(heap, (-abs(_inner(mine, self.along)), number, [*edges, (reader, which)], mine))
        whole.sort(key=lambda entry: [(reader.index, which) for reader, which in entry[0]][::-1])
        return [
            (edges, part, _inner(part, self.along), self.count(edges[-1][0].index if edges else self.target.index))
            for edges, part in whole
        ]

    def _follow(self, edges):
        """Goes on along a path while there is one way, and returns what reads its end: several edges, or none."""
        while True:
            readers = self.readers[edges[-1][0].index if edges else self.target.index]
            if len(readers) != 1:
                return readers
            edges += readers

    def _down(self, edges, ct):
        """What of a cotangent at the end of these edges arrives at the target along them."""
        for reader, which in reversed(edges):
            ct = pulled(reader, ct)[which][2]
        return ct


@quietly
def _inner(x, y):
    """The sum of the products; where a factor is 0 nothing flows, whatever the other is."""
    x, y = np.ravel(x), np.ravel(y)
    return math.fsum(np.where((x == 0) | (y == 0), 0.0, x * y).tolist())


@quietly
def _push(node, tangents, cotangent):
    """The change of an answer for given changes of its sources, which are 0 if not given: J t.

    A rule is linear in g, so <J^T g, t> = <g, J t> differentiated by g is J t.
    """
    if isinstance(node, Value):
        slopes = [ct for _, _, ct in pulled(node, 1.0)]
        sources = [source for _, source in node.sources()]
        return sum(s * tangents.get(source.index, 0.0) for s, source in zip(slopes, sources, strict=True))
    g = Tensor(np.zeros(node.shape), requires_grad=True)
    total = 0.0
    for i, parent in enumerate(node.parents):
        parents = parent if type(parent) is tuple else (parent,)
        if not any(p is not None and p.index in tangents for p in parents):
            continue
        ans = node if node.ans is None else node.ans
        cts = node.op.rules[i](g, ans, *node.args, **(node.kwargs or {}))
        for ct, p in zip(cts if type(parent) is tuple else (cts,), parents, strict=True):
            if p is not None and p.index in tangents:
                ct = ct if ct.shape == p.shape else node._unbroadcast(ct, p.shape, i)
                total = total + ops.sum(ct * tangents[p.index])
    if not isinstance(total, Tensor) or total._node is None:
        return np.zeros(node.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of what is infinite
        total.backward()
    return np.where(cotangent == 0, 0.0, g.grad.data)  # through what is not used nothing flows, be it infinite


# ----- in float64 -----


def _exact(nodes, root, target):
    """(nodes, root, target) again, all arrays in float64, so that shares sum to 1 to its last digits."""
    if isinstance(root, Value):
        return nodes, root, target
    twins = {}
    for node in nodes:
        twins[node.index] = _leaf(node) if node is target else _twin(node, twins)
    return list(twins.values()), twins[root.index], twins[target.index]


def _leaf(node):
    leaf = Leaf(node.shape, np.dtype(np.float64))
    leaf.index = node.index
    return leaf


def _twin(node, twins):
    twin = new(Call)
    twin.index, twin.op, twin.kwargs, twin.shape = node.index, node.op, node.kwargs, node.shape
    twin.dtype = np.dtype(np.float64)
    twin.parents = _doubles(node.parents, twins)
    twin.args = _doubles(node.args, twins)
    twin.ans = _doubles(node.ans, twins)
    return twin


def _doubles(x, twins):
    """`x` with its nodes replaced by their twins and its arrays in float64."""
    if isinstance(x, Node | Leaf):
        return twins.get(x.index, x)
    if type(x) in (list, tuple):
        return type(x)(_doubles(item, twins) for item in x)
    return x.astype(np.float64) if isinstance(x, np.ndarray | np.floating) and x.dtype.kind == "f" else x


# ----- as a graph -----


def _with_shares(graph, flow, keys):
    """The nodes on the paths, with their shares, and the edges between them."""
    of = {keys[index]: index for index in flow.nodes}
    nodes = [replace(n, share=flow.node_share(of[n.key])) for n in graph.nodes if n.key in of]
    kinds = {node.key: node.kind for node in graph.nodes}
    edges, seen = [], {}
    for edge in graph.edges:
        if kinds[edge.source] not in ("operation", "leaf"):
            continue
        which = seen[edge.target] = seen.get(edge.target, -1) + 1
        if edge.target in of and (of[edge.target], which) in flow.sent:
            edges.append(replace(edge, share=flow.edge_share(of[edge.target], which)))
    used = {node.group for node in nodes}
    parents = {group.key: group.parent for group in graph.groups}
    for key in [group.key for group in reversed(graph.groups)]:
        if key in used:
            used.add(parents[key])
    groups = tuple(group for group in graph.groups if group.key in used)
    return replace(graph, nodes=tuple(nodes), edges=tuple(edges), groups=groups)
