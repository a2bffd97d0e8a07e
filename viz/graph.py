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
from .render import render as _render

LIMIT = 2000  # operations: Graphviz takes seconds for so many,
RANKS = 50  # if the edges out of one are not longer than this


def graph(value, params=None, *, direction="TB", limit=LIMIT):
    """A graphviz.Digraph of what a Tensor or a Value was computed from; a notebook shows it when it is named.

    params:    names for what is drawn: a Module, a dict from names to tensors (Values, arrays), or such pairs.
    direction: "TB", from top to bottom, or "LR", from left to right.
    limit:     more operations are an error: their layout takes minutes, and shows nothing.

    Draw before `backward`, which frees the graph, or after `backward(retain_graph=True)`.
    """
    return digraph(record(value, params, limit), direction, limit)


def render(value, path, params=None, **options):
    """Draws a Tensor, a Value or a graphviz.Digraph to a file (.svg, .png, .pdf or .dot), and returns its path.

    params and options are those of `graph`.
    """
    source = getattr(value, "source", None)
    if source is None:
        source = graph(value, params, **options).source
    elif params is not None or options:
        raise TypeError("render: a Digraph is drawn as it is; give params and options to viz.graph")
    return _render(source, path)


# ----- the graph as plain data -----


@dataclass(frozen=True, slots=True)
class Node:
    """An operation with its answer, or a value that operations read.

    key:    its name in the DOT source, a number in order of creation: "n1", "n2", ...
    kind:   "operation"; "leaf", where gradients arrive; "input", an array through which none flow; "constant", a
            number of that kind, or what the graph has not kept because no rule reads it.
    op:     the operation's name.
    name:   the one in `params`; without, a leaf is "leaf 1", an input "input 1", others None.
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
    """Nodes in order of creation, the edges from every operation's arguments to it, and the key of what is drawn."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    root: str


# ----- reading the engine's nodes -----


def record(value, params=None, limit=math.inf):
    """The Graph of what a Tensor or a Value was computed from; the arguments are those of `graph`."""
    root = _root(value)
    reader = _Reader(_names(params))
    for node in _operations(root, limit):
        reader.operation(node)
    key = reader.value(root)
    if isinstance(value, Tensor) and value.size == 1:
        reader.nodes[-1] = replace(reader.nodes[-1], data=value.item())
    return Graph(tuple(reader.nodes), tuple(reader.edges), key)


def _root(value):
    """The engine's node of a Tensor or a Value."""
    if isinstance(value, Value):
        return value
    if not isinstance(value, Tensor):
        raise TypeError(f"graph: only a Tensor or a Value has a graph; this is of type {type(value).__name__}")
    if value._node is None:
        raise RuntimeError(
            "graph: this tensor does not require grad and so has no graph: nothing it was computed from does, "
            "or it was computed under no_grad"
        )
    return value._node


def _operations(root, limit):
    """The operations `root` was computed by, itself the last, in order of creation."""
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
            f"graph: {len(operations):,} operations are too many for a picture (limit={limit:,}); "
            f"draw a smaller batch or a part, or pass limit={len(operations)} and wait"
        )
    return operations


def _names(params):
    """{id: name} for the nodes and arrays that `params` names; the first name counts."""
    if hasattr(params, "named_parameters"):
        params = params.named_parameters()
    elif isinstance(params, Mapping):
        params = params.items()
    elif not isinstance(params, Iterable | None):
        kind = type(params).__name__
        raise TypeError(f"graph: params is a Module, a dict or (name, tensor) pairs; this is of type {kind}")
    names = {}
    for pair in params or ():
        match pair:
            case (str(name), Tensor(_node=node, _data=data)):
                things = (data,) if node is None else (node, data)
            case (str(name), Value() | np.ndarray() as thing):
                things = (thing,)
            case (str(name), other):
                kind = type(other).__name__
                raise TypeError(f"graph: params names tensors, Values and arrays; {name!r} is of type {kind}")
            case _:
                raise TypeError(
                    f"graph: params holds (name, tensor) pairs, and one is of type {type(pair).__name__}; "
                    "pass the Module itself or a dict from names to tensors"
                )
        for thing in things:
            names.setdefault(id(thing), name)
    return names


class _Reader:
    """The nodes and edges read so far: what an operation reads stands before it, in the order of its arguments."""

    def __init__(self, names):
        self.names = names
        self.nodes, self.edges = [], []
        self.keys = {}  # by id, of all that may be met again; the graph keeps it alive
        self.unnamed = Counter()

    def operation(self, node):
        """Adds an operation, after those it reads."""
        sources = [(self.value(operand), i) for i, operand in _operands(node)]
        key = self._add(node, "operation", op=node.op.name, detail=_detail(node))
        self.edges += [Edge(source, key, i) for source, i in sources]

    def value(self, x):
        """The key of what an operation reads; a leaf, an input or a constant is added when it is first met."""
        if id(x) in self.keys:
            return self.keys[id(x)]
        if hasattr(x, "op"):
            return self._add(x, "leaf")
        return self._add(x, "input" if isinstance(x, np.ndarray) and x.ndim else "constant")

    def _add(self, x, kind, **fields):
        key, name = f"n{len(self.nodes) + 1}", self.names.get(id(x))
        if kind != "constant":  # two numbers 2 are two nodes
            self.keys[id(x)] = key
        if kind in ("leaf", "input") and not name:
            self.unnamed[kind] += 1
            name = f"{kind} {self.unnamed[kind]}"
        self.nodes.append(Node(key, kind, name=name, **fields, **_facts(x)))
        return key


def _facts(x):
    """What can be told of a node, an array or a number: its shape and dtype, or its value."""
    if isinstance(x, Value):
        return {"data": x.data, "grad": float(x.grad)}
    if isinstance(x, np.ndarray | np.generic) and not x.ndim:
        return {"data": x.item()}
    if isinstance(x, numbers.Number):
        return {"data": x}
    return {"shape": x.shape, "dtype": str(x.dtype)} if hasattr(x, "shape") else {}


def _operands(node):
    """The (argument number, operand) pairs: what gradients flow to or could, and arrays at other places, as an index.

    An operand is one of the engine's nodes, an array, a number, or None where the graph has not kept it.
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


# ----- an operation's other arguments, as text -----

TOLD = {"shape", "sizes", "dtype"}  # arguments that the answer's shape and dtype tell
LONG = 24  # characters; an argument with a longer text is left out


def _detail(node):
    """The arguments that are no operands and not the default: 'axis=-1, keepdims=True'."""
    others = {
        i: arg
        for i, (arg, parent) in enumerate(zip(node.args, node.parents, strict=True))
        if parent is None and not _differentiable(node.op, i) and not isinstance(arg, np.ndarray)
    }
    if not others and not node.kwargs:
        return ""
    defaults = _defaults(node.op.f)
    given = {name: others[i] for i, name in enumerate(defaults) if i in others} | (node.kwargs or {})
    texts = (
        _argument(name, x)
        for name, x in given.items()
        if name not in TOLD and not (name in defaults and _text(x) == _text(defaults[name]))
    )
    return ", ".join(text for text in texts if 0 < len(text) <= LONG)


def _defaults(f):
    """{name: default} for the parameters of `f` in order; none where it does not tell them."""
    try:
        return {name: p.default for name, p in inspect.signature(f).parameters.items()}
    except ValueError:
        return {}


def _argument(name, x):
    if name == "index":
        parts = x if type(x) is tuple else (x,)
        return "" if all(isinstance(part, np.ndarray) for part in parts) else f"[{', '.join(map(_text, parts))}]"
    return x if isinstance(x, str) else f"{name}={_text(x)}"


def _text(x):
    """`x` as short as Python writes it; a dot for an array, which is a node of its own."""
    match x:
        case np.ndarray():
            return "·"
        case float():
            return f"{x:.4g}"
        case slice():
            ends = (x.start, x.stop) if x.step is None else (x.start, x.stop, x.step)
            return ":".join("" if end is None else str(end) for end in ends)
        case list():
            return f"[{', '.join(map(_text, x))}]"
        case tuple():
            return f"({', '.join(map(_text, x))}{',' * (len(x) == 1)})"
    return "..." if x is Ellipsis else getattr(x, "__name__", str(x))


# ----- the graph as DOT -----

REACH = 6  # ranks: a value that is read further away is drawn there once more
SPINE = "8"  # the weight of an edge between operations: they line up, and what they read stands at their side
ORDERED = {"arctan2", "divide", "matmul", "power", "remainder", "setitem", "solve", "subtract", "where"}

GRAPH = {"bgcolor": "white", "nodesep": "0.25", "ranksep": "0.3", "ordering": "in"}  # in: arguments in their order
FONT = {"fontname": "Helvetica"}  # of a list of fonts, a Graphviz without the machine's fonts makes Times
NODE = {"shape": "box", "height": "0.3", "width": "0.4", "margin": "0.12,0.06", "fontsize": "12", **FONT}
EDGE = {"color": "#666666", "arrowsize": "0.6", "fontsize": "8", "fontcolor": "#444444", **FONT}

# Graphviz's time grows with the square of the sum of its edges' lengths in ranks, or faster: 10,000 took a minute.
# From LENGTHY on it is told to take less trouble: then 10,000 take 0.3 s, and 70,000 take 4 s.
LENGTHY = 3000
HASTE = {"nslimit": "0.2", "nslimit1": "0.2", "mclimit": "0.1", "splines": "line"}

# Tints of Okabe and Ito's colours, which the colour-blind tell apart; the outlines differ as well.
KINDS = {
    "operation": {"style": "rounded,filled", "fillcolor": "#F7F7F7", "color": "#666666"},
    "leaf":      {"style": "filled",         "fillcolor": "#FCE5BD", "color": "#C98500"},
    "input":     {"style": "filled",         "fillcolor": "#D7ECF9", "color": "#2B8CC4"},
    "constant":  {"style": "filled,dashed",  "fillcolor": "white",   "color": "#999999"},
}  # fmt: skip
ROOT = {"fillcolor": "#CDEBDF", "color": "#00805C", "penwidth": "2"}


def digraph(graph, direction="TB", limit=LIMIT):
    """The graphviz.Digraph of a Graph; the arguments are those of `viz.graph`."""
    try:
        from .digraph import Digraph
    except ImportError as error:
        raise ImportError("drawing needs graphviz: pip install 'mytorch-autograd[viz]'") from error
    if direction not in ("TB", "LR"):
        raise ValueError(f"graph: direction is 'TB' or 'LR', not {direction!r}")
    graph = spread(graph)
    haste = HASTE if _length(graph, limit) > LENGTHY else {}
    out = Digraph(graph_attr={"rankdir": direction, **GRAPH, **haste}, node_attr=NODE, edge_attr=EDGE)
    for node in graph.nodes:
        out.node(node.key, _label(node), **KINDS[node.kind] | (ROOT if node.key == graph.root else {}))
    ops = {node.key: node.op for node in graph.nodes if node.op}
    for edge in graph.edges:
        label = (" 1st ", " 2nd ", " 3rd ")[edge.argument] if ops[edge.target] in ORDERED else None
        out.edge(edge.source, edge.target, label=label, weight=SPINE if edge.source in ops else None)
    return out


def spread(graph):
    """The graph with every value that is read at places far apart drawn at each: long edges would hide all else."""
    ranks = _ranks(graph)
    nodes = {node.key: node for node in graph.nodes}
    places, copies, edges = {}, Counter(), []
    for edge in graph.edges:
        key, rank = edge.source, ranks[edge.target]
        if not nodes[key].op and abs(rank - places.get(key, math.inf)) > REACH:
            places[key] = rank
            copies[key] += 1
        if copies[key] > 1:
            copy = f"{key}_{copies[key]}"
            nodes[copy] = replace(nodes[key], key=copy)
            edge = replace(edge, source=copy)
        edges.append(edge)
    return Graph(tuple(nodes.values()), tuple(edges), graph.root)


def _ranks(graph):
    """{key: how far above the root it stands}, about as Graphviz will lay it out: one rank above its highest reader."""
    ranks = dict.fromkeys((node.key for node in graph.nodes), 0)
    for edge in reversed(graph.edges):  # those out of an operation come before those into it
        ranks[edge.source] = max(ranks[edge.source], ranks[edge.target] + 1)
    return ranks


def _length(graph, limit):
    """The sum of the lengths in ranks of the edges between operations; an error where it is too long for `limit`."""
    ranks, ops = _ranks(graph), {node.key for node in graph.nodes if node.op}
    length = sum(ranks[edge.source] - ranks[edge.target] for edge in graph.edges if edge.source in ops)
    if length > RANKS * limit:
        raise ValueError(
            f"graph: the edges of these {len(ops):,} operations are so long that the layout would take minutes; "
            f"draw a smaller batch or a part, or pass limit={length // RANKS + 1} and wait"
        )
    return length


def _label(node):
    """HTML, as Graphviz calls it: a bold title and smaller lines below."""
    title, *lines = map(html.escape, _lines(node))
    rows = [f"<B>{title}</B>" if node.name or node.op else title]
    rows += [f'<FONT POINT-SIZE="10" COLOR="#444444">{line}</FONT>' for line in lines]
    return f"<{'<BR/>'.join(rows)}>"


def _lines(node):
    """What is written in a node: its title, then what is known of it."""
    title = " = ".join(filter(None, (node.name, node.op)))
    yield title or ("constant" if node.data is None else _text(node.data))
    if node.detail:
        yield node.detail
    if node.shape is not None:
        yield f"{node.shape} {node.dtype}"
    if node.kind == "leaf" and len(node.shape or ()) > 1:
        yield f"{math.prod(node.shape):,} numbers"
    if title and node.data is not None:
        yield f"data {_text(node.data)}"
    if node.grad is not None:
        yield f"grad {_text(node.grad)}"
