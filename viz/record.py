"""record: the engine's nodes read into a Graph. What is not asked for by a gradient stays untouched."""

import inspect
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ..autograd import Tensor, Value
from ..autograd.tree import flatten
from .data import Edge, Graph, Node, uncollected
from .facts import Facts
from .groups import by_line, by_module, grouped, with_values

__all__ = ["LEVELS", "operations", "read", "record", "root_of"]

LEVELS = ("operation", "module", "line", "scalar")


def record(value, params=None, level=None, gradients=None):
    """The Graph of what a Tensor or a Value was computed from: all of it, nothing folded.

    The arguments are those of `viz.graph`.
    """
    return read(value, params, level, gradients)[0]


@uncollected
def read(value, params=None, level=None, gradients=None):
    """(the Graph, {index of one of the engine's nodes: its key})."""
    if level not in (None, *LEVELS):
        raise ValueError(f"graph: level is one of {', '.join(map(repr, LEVELS))}, not {level!r}")
    root, names = root_of(value), Names(params)
    nodes = operations(root)
    reader = _Reader(names, Facts(value, root, nodes, names.tensors, gradients))
    for node in nodes:
        reader.operation(node)
    key = reader.value(root)
    graph = Graph(tuple(reader.nodes), tuple(reader.edges), key, notes=reader.facts.notes)
    keys = {node.index: reader.keys[id(node)] for node in nodes}
    return _leveled(graph, level, nodes, keys, names), keys | {root.index: key} | reader.leaves


def _leveled(graph, level, nodes, keys, names):
    """The graph with the groups of a level."""
    if level == "scalar":
        return with_values(graph)
    if level == "line":
        return grouped(graph, by_line(nodes, keys), names.given)
    groups = by_module(names.modules, keys) if level != "operation" else ()
    if level == "module" and not groups:
        raise ValueError(
            "graph: no module is known to have made these operations; give the model itself, "
            "params=model, and build the graph by calling it"
        )
    return grouped(graph, groups, names.given)


def root_of(value, who="graph"):
    """The engine's node of a Tensor or a Value; an error where it has no graph."""
    if isinstance(value, Value):
        if value.op is None and value.args is None:
            raise RuntimeError(f"{who}: this Value was computed under no_grad and so has no graph")
        return value
    if not isinstance(value, Tensor):
        raise TypeError(f"{who}: only a Tensor or a Value has a graph; this is of type {type(value).__name__}")
    if value._node is None:
        raise RuntimeError(
            f"{who}: this tensor does not require grad and so has no graph: nothing it was computed from does, "
            "or it was computed under no_grad"
        )
    return value._node


def operations(root, who="graph"):
    """The operations `root` was computed by, itself the last, in order of creation."""
    found, stack = {root.index: root}, [root]
    while stack:
        node = stack.pop()
        if node.parents is None:
            raise RuntimeError(
                f"{who}: the graph of `{node.op.name}` was freed by a backward; "
                "draw it before, or pass retain_graph=True to backward"
            )
        for _, source in node.sources():
            if source.index not in found:
                found[source.index] = source
                stack.append(source)
    return [found[index] for index in sorted(found) if found[index].op is not None]


class Names:
    """What `params` names: `ids`, {id of a node or an array: name}, the first name counts.

    tensors: {index of a leaf: the Tensor}. modules: {id: (path, module)}. given: the names that are no module's.
    """

    def __init__(self, params):
        self.ids, self.tensors, self.modules, self.given = {}, {}, {}, set()
        if _is_module(params):
            return self._module("", params)
        if isinstance(params, Mapping):
            params = params.items()
        elif not isinstance(params, Iterable | None):
            kind = type(params).__name__
            raise TypeError(f"graph: params is a Module, a dict or (name, tensor) pairs; this is of type {kind}")
        for pair in params or ():
            match pair:
                case (str(name), module) if _is_module(module):
                    self._module(name, module)
                case (str(name), thing):
                    self.given.add(name)
                    self._thing(name, thing)
                case _:
                    raise TypeError(
                        f"graph: params holds (name, tensor) pairs, and one is of type {type(pair).__name__}; "
                        "pass the Module itself or a dict from names to tensors"
                    )

    def _module(self, prefix, module):
        dotted = f"{prefix}." if prefix else ""
        for name, part in module.named_modules():
            self.modules.setdefault(id(part), (f"{dotted}{name}".rstrip("."), part))
        for walk in (module.named_parameters, module.named_buffers):
            for name, tensor in walk():
                self._thing(dotted + name, tensor)

    def _thing(self, name, thing):
        match thing:
            case Tensor(_node=node, _data=data):
                things = (data,) if node is None else (node, data)
                if node is not None:
                    self.tensors.setdefault(node.index, thing)
            case Value() | np.ndarray():
                things = (thing,)
            case _:
                kind = type(thing).__name__
                raise TypeError(f"graph: params names tensors, Values and arrays; {name!r} is of type {kind}")
        for x in things:
            self.ids.setdefault(id(x), name)


def _is_module(x):
    return hasattr(x, "named_parameters") and hasattr(x, "named_modules")


class _Reader:
    """The nodes and edges read so far: what an operation reads stands before it, in the order of its arguments."""

    def __init__(self, names, facts):
        self.names, self.facts = names, facts
        self.nodes, self.edges = [], []
        self.keys = {}  # by id, of all that may be met again; the graph keeps it alive
        self.leaves = {}  # by index
        self.unnamed = Counter()

    def operation(self, node):
        """Adds an operation, after those it reads."""
        operands, keys = list(_operands(node)), self.keys
        sources = [keys.get(id(operand)) or self.value(operand) for _, operand in operands]
        key = self._add(node, "operation", op=node.op.name, detail=_detail(node), where=_where(node))
        flows = iter(self.facts.flows.get(node.index, ()))
        for source, (i, operand) in zip(sources, operands, strict=True):
            self.edges.append(Edge(source, key, i, flow=next(flows, None) if hasattr(operand, "op") else None))

    def value(self, x):
        """The key of what an operation reads; a leaf, an input or a constant is added when it is first met."""
        if id(x) in self.keys:
            return self.keys[id(x)]
        if hasattr(x, "op"):
            self.leaves[x.index] = self._add(x, "leaf")
            return self.leaves[x.index]
        return self._add(x, "input" if isinstance(x, np.ndarray) and x.ndim else "constant")

    def _add(self, x, kind, **fields):
        who = id(x)
        key, name = f"n{len(self.nodes) + 1}", self.names.ids.get(who)
        if kind != "constant":  # two numbers 2 are two nodes
            self.keys[who] = key
        if kind in ("leaf", "input") and not name:
            self.unnamed[kind] += 1
            name = f"{kind} {self.unnamed[kind]}"
        self.nodes.append(Node(key, kind, name=name, **fields, **self.facts.of(x)))
        return key


def _where(node):
    """'file:line' of an operation recorded under `viz.watch`, the file without its folders."""
    line = getattr(node.index, "line", None)
    return line and f"{Path(node.index.file).name}:{line}"


def _operands(node):
    """The (argument number, operand) pairs: what gradients flow to or could, and arrays at other places, as an index.

    An operand is one of the engine's nodes, an array, a number, or None where the graph has not kept it.
    """
    parents = node.parents
    for i, arg in enumerate(node.args):
        parent = parents[i]
        if parent.__class__ is tuple:
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
    if None not in node.parents and not node.kwargs:
        return ""
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
