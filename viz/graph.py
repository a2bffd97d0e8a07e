"""The recorded graph as a picture: what a Tensor or a Value was computed from.

Two steps: `record` reads the engine's nodes into a `Graph`, plain data that knows nothing of drawing, and `digraph`
writes that as DOT. Names in it are numbers in order of creation, so that the same graph gives the same bytes.
"""

import html
import inspect
import math
import numbers
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..autograd import Tensor, Value
from ..autograd.tree import flatten
from .render import render as _draw

LIMIT = 2000  # operations: as many as Graphviz lays out in seconds


def graph(value, params=None, *, direction="TB", limit=LIMIT):
    """A graphviz.Digraph of what a Tensor or a Value was computed from; a notebook shows it when it is named.

    params:    names for what is drawn: a Module, a dict from names to tensors (Values, arrays), or such pairs.
    direction: "TB", from the top to the bottom, or "LR", from left to right.
    limit:     more operations than so many are an error, for their layout takes minutes.

    Draw before `backward`, which frees the graph, or after `backward(retain_graph=True)`.
    """
    return digraph(record(value, params, limit), direction)


def render(value, path, params=None, **options):
    """Draws a Tensor, a Value or a graphviz.Digraph to a file (.svg, .png, .pdf or .dot), and returns its path.

    params and options are those of `graph`.
    """
    source = getattr(value, "source", None)
    if source is None:
        source = graph(value, params, **options).source
    elif params is not None or options:
        raise TypeError("render: this graph is drawn already; give params and options to viz.graph")
    return _draw(source, path)


# ----- the graph as plain data -----


@dataclass(frozen=True, slots=True)
class Node:
    """An operation with its answer, or a value that operations read.

    key:    its name in the DOT source, a number in order of creation: "n1", "n2", ...
    kind:   "operation"; "leaf", where gradients arrive; "input", an array through which none flow; "constant", a
            number of that kind, or an array of which the graph has kept nothing.
    op:     the operation's name.
    name:   the one in `params`, else "leaf 1", "input 1", ..., or None.
    detail: the operation's arguments that are no values: "axis=-1, keepdims=True".
    data:   the value, where it is one number; grad: the gradient of a Value.
    """

    key: str
    kind: str
    op: str | None = None
    name: str | None = None
    detail: str = ""
    shape: tuple | None = None
    dtype: str | None = None
    data: float | None = None
    grad: float | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """The node `source` is argument number `argument` of the operation `target`, or in the sequence that is."""

    source: str
    target: str
    argument: int


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in order of creation, the last one the root, and the edges from every operation's arguments to it."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


# ----- reading the engine's nodes -----


def record(value, params=None, limit=LIMIT):
    """The Graph of what a Tensor or a Value was computed from; the arguments are those of `graph`."""
    reader = _Reader(_names(params))
    root = _root(value)
    for node in _operations(root, limit) or [root]:
        reader.read(node)
    if isinstance(value, Tensor) and value.size == 1:
        reader.nodes[-1] = replace(reader.nodes[-1], data=value.item())
    return Graph(tuple(reader.nodes), tuple(reader.edges))


def _root(value):
    """The engine's node of a Tensor or a Value."""
    if isinstance(value, Value):
        return value
    if not isinstance(value, Tensor):
        raise TypeError(f"graph: a Tensor or a Value is drawn, not a {type(value).__name__}")
    if value._node is None:
        raise RuntimeError(
            "graph: this tensor does not require grad and has no graph: nothing it was computed from requires grad, "
            "or it was computed under no_grad"
        )
    return value._node


def _operations(root, limit):
    """The operations from which `root` was computed, itself the last, in order of creation."""
    found, stack = {root.index: root}, [root]
    while stack:
        node = stack.pop()
        if node.parents is None:
            raise RuntimeError(
                f"graph: the graph of `{node.op.name}` was freed by a backward; "
                "draw it before, or pass retain_graph=True to backward"
            )
        for _, source in node.sources():
            if source.index not in found:
                found[source.index] = source
                stack.append(source)
    operations = [found[index] for index in sorted(found) if found[index].op is not None]
    if len(operations) > limit:
        raise ValueError(
            f"graph: {len(operations):,} operations are too many for a picture, the limit is {limit:,}; "
            f"draw a smaller part, or pass limit={len(operations)} and wait"
        )
    return operations


def _names(params):
    """{id of a node or an array: its name} for what `params` names; the first name counts."""
    if hasattr(params, "named_parameters"):
        params = params.named_parameters()
    elif isinstance(params, Mapping):
        params = params.items()
    elif not isinstance(params, Iterable | None):
        raise TypeError(f"graph: params is a Module, a dict or (name, tensor) pairs, not a {type(params).__name__}")
    names = {}
    for pair in params or ():
        match pair:
            case (str(name), Tensor() as value):
                names.setdefault(id(value._node), name)
                names.setdefault(id(value._data), name)
            case (str(name), Value() | np.ndarray() as value):
                names.setdefault(id(value), name)
            case _:
                raise TypeError(
                    f"graph: params must hold (name, tensor) pairs, not a {type(pair).__name__}; "
                    "pass the Module itself, or a dict from names to tensors"
                )
    names.pop(id(None), None)  # of tensors that do not require grad
    return names


class _Reader:
    """The nodes and edges read so far: an operation's arguments come before it, in their order."""

    def __init__(self, names):
        self.names = names
        self.nodes, self.edges = [], []
        self.keys = {}  # of what may be met again, by id: the graph keeps it alive
        self.unnamed = Counter()

    def read(self, node):
        """The key of an operation, leaf or constant, drawn when it is first met."""
        if id(node) in self.keys:
            return self.keys[id(node)]
        if getattr(node, "op", None) is None:
            return self._add(node, **_value(node))
        sources = [(i, self.read(operand)) for i, operand in _operands(node)]
        key = self._add(node, kind="operation", op=node.op.name, detail=_detail(node), **_facts(node))
        self.edges += [Edge(source, key, i) for i, source in sources]
        return key
