"""A Graph as DOT, the language of Graphviz. The same graph gives the same bytes."""

import html
import math

from .data import children
from .fold import _length, spread
from .text import PLAIN, THICK, THIN, contents, heading, hover, lines, percent, width

__all__ = ["dot", "parts"]

COMPUTED = ("operation", "value", "group")
SPINE = "8"  # the weight of an edge between operations: they line up, and what they read stands at their side
ORDERED = {"arctan2", "divide", "matmul", "power", "remainder", "setitem", "solve", "subtract", "where", "−", "÷", "**"}

GRAPH = {"bgcolor": "white", "nodesep": "0.25", "ranksep": "0.3", "ordering": "in"}  # in: arguments in their order
FONT = {"fontname": "Helvetica"}  # of a list of fonts, a Graphviz without the machine's fonts makes Times
NODE = {"shape": "box", "height": "0.3", "width": "0.4", "margin": "0.12,0.06", "fontsize": "12", **FONT}
EDGE = {"color": "#666666", "arrowsize": "0.6", "fontsize": "9", "fontcolor": "#333333", **FONT}
TITLE = {"labelloc": "t", "fontsize": "12", "fontcolor": "#333333", **FONT}

# Graphviz's time grows with the square of the sum of its edges' lengths in ranks, or faster: 10,000 took a minute.
# From LENGTHY on it is told to take less trouble: then 10,000 take 0.3 s, and 70,000 take 4 s.
LENGTHY = 3000
HASTE = {"nslimit": "0.2", "nslimit1": "0.2", "mclimit": "0.1", "splines": "line"}

# Tints of Okabe and Ito's colours, which the colour-blind tell apart; the outlines differ as well.
KINDS = {
    "operation": {"style": "rounded,filled", "fillcolor": "#F7F7F7", "color": "#666666"},
    "value":     {"style": "filled",         "fillcolor": "white",   "color": "#666666"},
    "leaf":      {"style": "filled",         "fillcolor": "#FCE5BD", "color": "#C98500"},
    "input":     {"style": "filled",         "fillcolor": "#D7ECF9", "color": "#2B8CC4"},
    "constant":  {"style": "filled,dashed",  "fillcolor": "white",   "color": "#999999"},
    "group":     {"style": "rounded,filled", "fillcolor": "#F1E3EC", "color": "#A5517F", "peripheries": "2"},
}  # fmt: skip
ROOT = {"fillcolor": "#CDEBDF", "color": "#00805C", "penwidth": "2"}
WRONG = {"color": "#D55E00", "penwidth": "3"}
SIGN = {"shape": "circle", "margin": "0.02", "width": "0.3"}  # an operation between values
CLUSTERS = {
    "module": {"style": "rounded",        "color": "#999999", "penwidth": "1"},
    "line":   {"style": "rounded",        "color": "#999999", "penwidth": "1"},
    "part":   {"style": "rounded",        "color": "#999999", "penwidth": "1"},
    "repeat": {"style": "rounded,dashed", "color": "#A5517F", "penwidth": "2"},
}  # fmt: skip
CLUSTER = {"labeljust": "l", "fontsize": "11", "fontcolor": "#333333", "bgcolor": "#00000008", **FONT}
AGAINST = {"color": "#D55E00"}  # a share below 0, as its label says
CARRIED = {"style": "dashed", "constraint": "false", "color": "#A5517F"}


def dot(graph, direction="TB", show=PLAIN):
    """The DOT source of a Graph. direction: "TB", from top to bottom, or "LR", from left to right."""
    defaults, body = parts(graph, direction, show)
    text = ["digraph {"] + [f"\t{name} [{_attributes(given)}]" for name, given in defaults.items()]
    return "\n".join([*text, *body, "}", ""])


def parts(graph, direction="TB", show=PLAIN):
    """The source in parts: the default attributes of the graph, its nodes and its edges, and the lines that follow."""
    graph = spread(graph)
    attributes = {"rankdir": direction, **GRAPH, **(HASTE if _length(graph) > LENGTHY else {})}
    if graph.notes:
        attributes |= {"label": "\\n".join(map(_plain, graph.notes)), **TITLE}
    nodes = _cluster(None, children(graph.groups), _by_group(graph), _looks(graph, show), "\t")
    return {"graph": attributes, "node": NODE, "edge": EDGE}, [*nodes, *_edges(graph), *_below(graph)]


def _by_group(graph):
    found = {}
    for node in graph.nodes:
        found.setdefault(node.group, []).append(node)
    return found


def _cluster(key, below, nodes, looks, indent):
    """The nodes directly in a group, and the groups in it as clusters."""
    for node in nodes.get(key, ()):
        yield f"{indent}{node.key} [{looks[node.key]}]"
    for group in below.get(key, ()):
        label = _label([heading(group), *filter(None, [group.detail, contents(group)])], end='<BR ALIGN="LEFT"/>')
        given = {"label": label, "tooltip": heading(group), **CLUSTER, **CLUSTERS[group.kind]}
        yield f"{indent}subgraph cluster_{group.key} {{"
        yield f"{indent}\tgraph [{_attributes(given)}]"
        yield from _cluster(group.key, below, nodes, looks, indent + "\t")
        yield f"{indent}}}"


def _looks(graph, show):
    """{key: the attributes of a node}."""
    signs = any(node.kind == "value" for node in graph.nodes)
    looks = {}
    for node in graph.nodes:
        bold = bool(node.name or node.op or node.inside)
        tooltip = "\\n".join(map(_plain, hover(node)))
        given = {"id": node.key, "label": _label(lines(node, show), bold), "tooltip": tooltip}
        given |= KINDS[node.kind]
        given |= SIGN if signs and node.kind == "operation" else {}
        given |= ROOT if node.key == graph.root else {}
        given |= WRONG if node.marks else {}
        looks[node.key] = _attributes(given)
    return looks


def _edges(graph):
    nodes = {node.key: node for node in graph.nodes}
    many = {}  # which operations read several arguments
    for edge in graph.edges:
        many.setdefault(edge.target, set()).add(edge.argument)
    most = max((e.flow for e in graph.edges if e.flow is not None and math.isfinite(e.flow)), default=0)
    for edge in graph.edges:
        source, target = nodes[edge.source], nodes[edge.target]
        given, told = {"id": f"{edge.source}-{edge.target}-{edge.argument}"}, []
        if target.op in ORDERED and len(many[edge.target]) > 1:
            told.append(("1st", "2nd", "3rd")[edge.argument])
        if edge.share is not None and not (_close(edge.share, source.share) and _close(edge.share, target.share)):
            told.append(percent(edge.share))
        if edge.count > 1 and edge.count != target.count:
            told.append(f"×{edge.count:,}")
        if told:
            given["label"] = f" {', '.join(told)} "
        if source.kind in COMPUTED:
            given["weight"] = SPINE
        if edge.flow is not None:
            given |= {"penwidth": str(width(edge.flow, most)), "tooltip": f"gradient norm {edge.flow:.4g}"}
        if edge.share is not None:
            given |= {"penwidth": f"{THIN + (THICK - THIN) * min(1, abs(edge.share)):.2f}"}
            given |= AGAINST if edge.share < 0 else {}
        given |= CARRIED if edge.carried else {}
        yield f"\t{edge.source} -> {edge.target} [{_attributes(given)}]"


def _below(graph):
    """Invisible edges that put what is read in a group below what comes into it from outside.

    Else a weight stands beside the operations before its layer, their clusters overlap in height, and Graphviz has to
    put them side by side: a staircase.
    """
    nodes = {node.key: node for node in graph.nodes}
    around = {None: {None}}
    for group in graph.groups:  # the outer first
        around[group.key] = {group.key, *around[group.parent]}
    reads = {}
    for edge in graph.edges:
        if not edge.carried:
            reads.setdefault(edge.target, []).append(nodes[edge.source])
    told = set()
    for read in reads.values():
        outside = [node for node in read if node.kind in COMPUTED]
        for node in read:
            told |= {
                (before.key, node.key)
                for before in outside
                if node.kind not in COMPUTED and node.group not in around[before.group]
            }
    order = {node.key: i for i, node in enumerate(graph.nodes)}
    for before, node in sorted(told, key=lambda pair: (order[pair[0]], order[pair[1]])):
        yield f"\t{before} -> {node} [style=invis]"


def _close(share, other):
    return other is not None and abs(share - other) < 1e-6


def _label(told, bold=True, end="<BR/>"):
    """HTML, as Graphviz calls it: a title, bold as a rule, and smaller lines below; what is wrong is bold too."""
    title, *others = told
    rows = [f"<B>{html.escape(title)}</B>" if bold else html.escape(title)] if title else []
    for line in others:
        text = html.escape(line)
        text = f"<B>{text}</B>" if line.startswith("! ") else text
        rows.append(f'<FONT POINT-SIZE="10" COLOR="#444444">{text}</FONT>')
    return Html(f"<{end.join(rows)}{end if end != '<BR/>' else ''}>")


class Html(str):
    """Text that is quoted by the angle brackets round it."""


def _attributes(given):
    return " ".join(f"{name}={_quoted(value)}" for name, value in given.items())


def _quoted(value):
    if isinstance(value, Html):
        return value
    return '"' + value.replace('"', '\\"') + '"'


def _plain(text):
    """Text in which nothing is an escape of Graphviz's."""
    return text.replace("\\", "\\\\")
