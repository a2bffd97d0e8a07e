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
    for node in _operations(root, limit):
        reader.operation(node)
    if root.op is None:
        reader.value(root)
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
    """The nodes and edges read so far: an operation's arguments stand before it, in their order."""

    def __init__(self, names):
        self.names = names
        self.nodes, self.edges = [], []
        self.keys = {}  # of all that can be met again, by id: the graph keeps it alive
        self.unnamed = Counter()

    def operation(self, node):
        """Draws an operation whose arguments' operations are drawn."""
        sources = [(i, self.value(operand)) for i, operand in _operands(node)]
        key = self._add(node, "operation", self.names.get(id(node)), op=node.op.name, detail=_detail(node))
        self.edges += [Edge(source, key, i) for i, source in sources]

    def value(self, x):
        """The key of what an operation reads: a leaf, an input or a constant is drawn when it is first met."""
        if id(x) in self.keys:
            return self.keys[id(x)]
        kind = "leaf" if hasattr(x, "op") else "input" if isinstance(x, np.ndarray) and x.ndim else "constant"
        name = self.names.get(id(x))
        if name is None and kind != "constant":
            self.unnamed[kind] += 1
            name = f"{kind} {self.unnamed[kind]}"
        return self._add(x, kind, name)

    def _add(self, x, kind, name, **fields):
        key = f"n{len(self.nodes) + 1}"
        if kind != "constant":  # two numbers 2 are two nodes
            self.keys[id(x)] = key
        self.nodes.append(Node(key, kind, name=name, **fields, **_facts(x)))
        return key


def _facts(x):
    """What can be told of a node, an array or a number: its shape and dtype, or its value."""
    if isinstance(x, Value):
        return {"data": x.data, "grad": float(x.grad)}
    if isinstance(x, np.generic) or (isinstance(x, np.ndarray) and not x.ndim):
        return {"data": x.item()}
    if isinstance(x, numbers.Number):
        return {"data": x}
    if hasattr(x, "shape"):
        return {"shape": x.shape, "dtype": str(x.dtype)}
    return {}


def _operands(node):
    """(argument number, operand) pairs of an operation: what gradients flow to, or could, and arrays like an index.

    An operand is an engine's node, an array, a number, or None where the graph has not kept it.
    """
    for i, (arg, parent) in enumerate(zip(node.args, node.parents, strict=True)):
        if type(parent) is tuple:
            yield from ((i, a if p is None else p) for a, p in zip(arg, parent, strict=True))
        elif parent is not None:
            yield i, parent
        elif _differentiable(node.op, i):
            yield i, arg
        else:
            yield from ((i, a) for a in flatten(arg)[0] if isinstance(a, np.ndarray))


def _differentiable(op, i):
    return i < len(op.rules) and callable(op.rules[i])


# ----- the other arguments of an operation, as text -----

TOLD = {"shape", "sizes", "dtype"}  # arguments that the shapes and dtypes in the picture tell already
LONG = 24  # characters: an argument whose text is longer is left out


def _detail(node):
    """The arguments that are no operands and not their default: 'axis=-1, keepdims=True'."""
    given = {
        i: arg
        for i, (arg, parent) in enumerate(zip(node.args, node.parents, strict=True))
        if parent is None and not _differentiable(node.op, i) and not isinstance(arg, np.ndarray)
    }
    if not given and not node.kwargs:
        return ""
    defaults = _defaults(node.op.f)
    given = {name: given[i] for i, name in enumerate(defaults) if i in given} | (node.kwargs or {})
    texts = [
        _argument(name, x)
        for name, x in given.items()
        if name not in TOLD and _text(x) != _text(defaults.get(name, inspect.Parameter.empty))
    ]
    return ", ".join(text for text in texts if len(text) <= LONG)


def _defaults(f):
    """{name: default} for the parameters of `f`, in order; none where it does not tell."""
    try:
        return {name: p.default for name, p in inspect.signature(f).parameters.items()}
    except ValueError:
        return {}


def _argument(name, x):
    if name == "index":
        return f"[{', '.join(map(_text, x if type(x) is tuple else (x,)))}]"
    return x if isinstance(x, str) else f"{name}={_text(x)}"


def _text(x):
    """An argument as short as Python writes it; a dot for an array, which is a node of its own."""
    match x:
        case np.ndarray():
            return "·"
        case slice():
            ends = [x.start, x.stop] if x.step is None else [x.start, x.stop, x.step]
            return ":".join("" if end is None else str(end) for end in ends)
        case list():
            return f"[{', '.join(map(_text, x))}]"
        case tuple():
            return f"({', '.join(map(_text, x))}{',' * (len(x) == 1)})"
        case type():
            return x.__name__
    return "..." if x is Ellipsis else f"{x:.4g}" if isinstance(x, float) else str(x)


# ----- the graph as DOT -----
# Colours are tints of Okabe and Ito's, which the colour-blind tell apart; shapes and outlines differ as well.

GRAPH = {
    "bgcolor": "white",
    "nodesep": "0.25",
    "ranksep": "0.3",
    "ordering": "in",  # arguments stand in their order: a / b is not b / a
}
NODE = {
    "fontname": "Helvetica",  # a list of fonts would be laid out as Times
    "fontsize": "12",
    "shape": "box",
    "height": "0.3",
    "width": "0.4",
    "margin": "0.12,0.06",
}
EDGE = {"color": "#666666", "arrowsize": "0.6", "fontname": "Helvetica", "fontsize": "8", "fontcolor": "#666666", "labeldistance":"1.4","labelangle":"-30"}
ORDERED = {"subtract", "divide", "power", "remainder", "arctan2", "matmul", "solve"}
KINDS = {
    "operation": {"style": "rounded,filled", "fillcolor": "#F7F7F7", "color": "#666666"},
    "leaf":      {"style": "filled",         "fillcolor": "#FCE5BD", "color": "#C98500"},
    "input":     {"style": "filled",         "fillcolor": "#D7ECF9", "color": "#2B8CC4"},
    "constant":  {"style": "filled,dashed",  "fillcolor": "white",   "color": "#999999"},
}  # fmt: skip
SPINE = "8"  # the weight of an edge between operations: they line up, and their arguments stand at the side
ROOT = {"fillcolor": "#CDEBDF", "color": "#00805C", "penwidth": "2"}


def digraph(graph, direction="TB"):
    """The graphviz.Digraph of a Graph."""
    try:
        from .digraph import Digraph
    except ImportError as error:
        raise ImportError("drawing needs graphviz: pip install 'mytorch-autograd[viz]'") from error
    out = Digraph(graph_attr={"rankdir": direction, **GRAPH}, node_attr=NODE, edge_attr=EDGE)
    for node in graph.nodes:
        out.node(node.key, _label(node), KINDS[node.kind] | (ROOT if node is graph.nodes[-1] else {}))
    operations = {node.key: node.op for node in graph.nodes if node.op}
    for edge in graph.edges:
        label = ("1st", "2nd")[edge.argument] if operations[edge.target] in ORDERED else None
        out.edge(edge.source, edge.target, weight=SPINE if edge.source in operations else None, label=label)
    return out


def _label(node):
    title, *lines = map(html.escape, _lines(node))
    rows = [f"<B>{title}</B>", *(f'<FONT POINT-SIZE="10" COLOR="#444444">{line}</FONT>' for line in lines)]
    return f"<{'<BR/>'.join(rows)}>"


def _lines(node):
    """What is written in a node: its title, then what it is."""
    yield " = ".join(filter(None, (node.name, node.op))) or ("constant" if node.data is None else _text(node.data))
    if node.detail:
        yield node.detail
    if node.shape is not None:
        yield f"{node.shape} {node.dtype}"
    if node.kind == "leaf" and len(node.shape or ()) > 1:
        yield f"{math.prod(node.shape):,} numbers"
    if node.data is not None and (node.name or node.op):
        yield f"data {_text(node.data)}"
    if node.grad is not None:
        yield f"grad {_text(node.grad)}"
