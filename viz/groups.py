"""Which nodes belong together: by the modules that made them, or by the user's lines; and scalars drawn apart."""

import linecache
import math
from pathlib import Path

from ..autograd import graph as engine
from .data import Edge, Group, Node, replace

__all__ = ["by_line", "by_module", "grouped", "totals", "with_values"]


def by_module(modules, ticks):
    """[(Group, the keys of the operations directly in it)]: a group for every call of a module.

    Calls that other threads made of the same modules at the same time are not told apart.
    modules: {id: (path, module)}. ticks: {tick at which an operation was made: its key}, in order.
    """
    calls = [(first, -last, modules[who]) for first, last, who in list(engine.calls) if who in modules]
    if not calls or not ticks:
        return []
    calls.sort(key=lambda call: call[:2], reverse=True)  # the next one last; the outer before the inner
    found, stack = [], []  # stack: [(last tick, its entry in found or None so far, module)] of the open calls
    for tick, key in ticks.items():
        while calls and calls[-1][0] < tick:
            _, last, module = calls.pop()
            stack.append([-last, None, module])
        stack = [call for call in stack if call[0] > tick]
        outer = None
        for call in stack:
            if call[1] is None:
                path, module = call[2]
                name, kind = path or type(module).__name__, _describe(module)
                group = Group(f"g{len(found) + 1}", "module", name, "" if kind == name else kind, outer)
                call[1] = (group, [])
                found.append(call[1])
            outer = call[1][0].key
        if stack:
            stack[-1][1][1].append(key)
    return found


def _describe(module):
    """'Linear(4, 8)', as short as its repr may be; else its type."""
    text = repr(module)
    return text if len(text) <= 60 and "\n" not in text else type(module).__name__


def by_line(nodes, ticks):
    """[(Group, the keys of the operations in it)]: a group for every run of operations that one line made."""
    found, before = [], None
    for node in nodes:
        tick = node.index
        where = (tick.file, tick.line) if hasattr(tick, "line") else None
        if where is not None and where != before:
            text = linecache.getline(*where).strip()
            found.append((Group(f"g{len(found) + 1}", "line", f"{Path(where[0]).name}:{where[1]}", text), []))
        if where is not None:
            found[-1][1].append(ticks[tick])
        before = where
    if not found:
        raise ValueError("graph: no line of these operations is known; build the graph within `with viz.watch():`")
    return found


def grouped(graph, groups, outside=()):
    """The graph with these (Group, keys of operations) pairs.

    What operations read goes into the innermost group that holds all its readers, unless its name is in `outside`.
    """
    if not groups:
        return graph
    of = {key: group.key for group, keys in groups for key in keys}
    parents = {group.key: group.parent for group, _ in groups}
    readers = {}
    for edge in graph.edges:
        readers.setdefault(edge.source, []).append(of.get(edge.target))
    for node in graph.nodes:  # changed, not replaced: they were made for this
        node.group = of.get(node.key)
        if node.kind != "operation" and node.name not in outside and node.key in readers:
            node.group = _common(readers[node.key], parents)
    return totals(replace(graph, groups=tuple(group for group, _ in groups)))


def _common(places, parents):
    """The innermost group around all of these."""
    chain = _chain(places[0], parents)
    for place in set(places[1:]):
        around = set(_chain(place, parents))
        chain = [key for key in chain if key in around]
    return chain[0] if chain else None


def _chain(key, parents):
    """The group and those around it, the inner first."""
    chain = []
    while key is not None:
        chain.append(key)
        key = parents[key]
    return chain


def totals(graph):
    """The graph with the sums of its groups."""
    parents = {group.key: group.parent for group in graph.groups}
    sums = {key: [0, 0, 0, 0] for key in parents}
    for node in graph.nodes:
        counts = (
            node.count * (node.kind == "operation"),
            node.count * math.prod(node.shape or ()) * (node.kind == "leaf"),
            node.kept,
            node.flops or 0,
        )
        for key in _chain(node.group, parents):
            sums[key] = [a + b for a, b in zip(sums[key], counts, strict=True)]
    names = ("operations", "parameters", "kept", "flops")
    return replace(
        graph,
        groups=tuple(replace(g, **dict(zip(names, sums[g.key], strict=True))) for g in graph.groups),
    )


# ----- scalars, as micrograd draws them -----

SIGNS = {
    "add": "+", "subtract": "−", "multiply": "×", "divide": "÷", "power": "**", "negative": "−", "abs": "|·|",
}  # fmt: skip


def with_values(graph):
    """The graph with every operation's answer as a node of its own: small operations between boxes of numbers."""
    answers = {node.key: f"{node.key}v" for node in graph.nodes if node.kind == "operation"}
    reads, nodes, edges = {}, [], []
    for edge in graph.edges:
        reads.setdefault(edge.target, []).append(replace(edge, source=answers.get(edge.source, edge.source)))
    for node in graph.nodes:
        if node.key not in answers:
            nodes.append(node)
            continue
        sign = SIGNS.get(node.op, node.op)
        nodes.append(Node(node.key, "operation", op=sign, detail=node.detail, where=node.where))
        nodes.append(replace(node, key=answers[node.key], kind="value", op=None, detail=""))
        flow = abs(node.grad) if isinstance(node.grad, float) and node.grad else None
        edges += [*reads[node.key], Edge(node.key, answers[node.key], 0, flow=flow)]
    return replace(graph, nodes=tuple(nodes), edges=tuple(edges), root=answers.get(graph.root, graph.root))
