"""Graph to Graph: what repeats becomes one with a count, groups become single nodes, until a picture can be read.

All that is recorded stands in its order of creation, so a loop is a sequence of operations that repeats, and so are
layers of the same build. Found are runs of consecutive operations (or groups) with the same names, arguments, shapes
and dtypes: `x12` says no more than that. What the rounds read of their own, weights or inputs, becomes one as well.
"""

import math
import re
from collections import Counter

import numpy as np

from .data import Edge, Graph, Group, Node, children, replace, uncollected
from .groups import totals

__all__ = ["LIMIT", "fold", "folded", "merged", "spread"]

LIMIT = 500  # nodes: a picture of more is not read but searched
ROUNDS = 3  # a repetition has so many, or more
PERIODS = 64  # lengths of a round that are tried
PARTS = 24  # nodes that operations without any structure are cut into
RANKS = 50  # ranks, for each node of the limit, that edges may be long in all: Graphviz's time grows with their length


@uncollected
def fold(graph, depth=None, limit=LIMIT, repeats=None):
    """The graph as it is drawn.

    depth:   groups inside so many others are folded: 0 folds the outermost ones.
    limit:   of more nodes than these the innermost groups are folded, level by level, then whatever there is.
    repeats: whether what repeats is folded to one; None: where there are more nodes than `limit`, if half goes.
    """
    before, large = graph, _too_large(graph, limit)
    if repeats or (repeats is None and large):
        graph = merged(graph, least=0 if repeats else len(graph.nodes) // 2)
    if depth is not None:
        graph = folded(graph, {key for key, level in _levels(graph, ("repeat",)).items() if level >= depth})
    while _too_large(graph, limit) and graph.groups:
        levels = _levels(graph)
        deepest = max(levels.values())
        graph = folded(graph, {key for key, level in levels.items() if level == deepest})
    if _too_large(graph, limit):
        graph = _parts(graph, min(limit, PARTS))
    if large:
        drawn = sum(map(_computed, graph.nodes))
        graph = replace(graph, notes=(*graph.notes, f"{before.operations:,} operations, folded to {drawn:,}"))
    return graph


def _too_large(graph, limit):
    return len(graph.nodes) > limit or _length(spread(graph)) > RANKS * limit


def _levels(graph, transparent=()):
    """{key of a group: how many groups it is in}, those of the kinds in `transparent` not counted."""
    inside, levels = {None: 0}, {}
    for group in graph.groups:  # the outer first
        levels[group.key] = inside[group.parent]
        inside[group.key] = levels[group.key] + (group.kind not in transparent)
    return levels


# ----- what repeats -----


def merged(graph, least=0):
    """The graph in which every repetition is one round of it, in a group with the count of the rounds.

    least: the graph as it is where not so many nodes become one with others.
    """
    merging = _Merging(graph)
    return merging.result() if len(merging.same) > least else graph


class _Merging:
    """Which nodes become one.

    same:   {key of a node or a group of a later round: that of the first round's}.
    moved:  {key of what is in a repetition: the repetition's}. places: {key of a repetition: the group it is in}.
    """

    def __init__(self, graph):
        self.graph = graph
        self.nodes = {node.key: node for node in graph.nodes}
        self.groups = {group.key: group for group in graph.groups}
        self.same, self.moved, self.places, self.signs, self.symbols = {}, {}, {}, {}, {}
        self.repeats = []  # (key, the group it is in, rounds, the items of the first round)
        self.items = self._items()
        self._search(None, self.items.get(None, []))

    def _items(self):
        """{key of a group, or None: what is directly in it, operations and groups, in order of creation}."""
        items, placed = {}, set()
        for node in self.graph.nodes:
            if node.kind not in ("operation", "value"):
                continue
            item, place = node.key, node.group
            items.setdefault(place, []).append(item)
            while place is not None and place not in placed:
                placed.add(place)
                item, place = place, self.groups[place].parent
                items.setdefault(place, []).append(item)
        return items

    def _sign(self, item):
        """A number for what an item is: the same for all that is built the same way."""
        if item not in self.signs:
            if item in self.nodes:
                node = self.nodes[item]
                what = node.kind, node.op, node.detail, node.shape, node.dtype
            else:
                group = self.groups[item]
                name = group.name if group.kind == "line" else None
                what = group.kind, group.detail, name, *map(self._sign, self.items.get(item, ()))
            self.signs[item] = self.symbols.setdefault(what, len(self.symbols))
        return self.signs[item]

    def _search(self, place, items):
        """Finds the repetitions among `items`, which are directly in the group `place`, and inside them."""
        at = 0
        for start, period, rounds in _runs([self._sign(item) for item in items]):
            self._search_inside(items[at:start])
            at = start + period * rounds
            body = items[start : start + period]
            for later in range(start + period, at, period):
                for first, other in zip(body, items[later : later + period], strict=True):
                    self._identify(first, other)
            key = f"r{len(self.repeats) + 1}"
            self.repeats.append((key, place, rounds, body))
            if period == 1 and body[0] in self.groups:  # the group itself becomes the repetition
                self._search_inside(body)
                continue
            self.places[key] = place
            self.moved |= dict.fromkeys(body, key)
            self._search(key, body)
        self._search_inside(items[at:])

    def _search_inside(self, items):
        for item in items:
            if item in self.groups:
                self._search(item, self.items.get(item, []))

    def _identify(self, first, other):
        """Makes `other`, and all that is in it, the same as `first`."""
        stack = [(first, other)]
        while stack:
            first, other = stack.pop()
            self.same[other] = first
            if first in self.groups:
                stack += zip(self.items.get(first, ()), self.items.get(other, ()), strict=True)

    def _representative(self, key):
        while key in self.same:
            key = self.same[key]
        return key

    def _identify_values(self):
        """What rounds read of their own becomes one, argument by argument."""
        self.reads, self.readers = {}, {}
        for edge in self.graph.edges:
            self.reads.setdefault(edge.target, []).append(edge.source)
            self.readers.setdefault(edge.source, []).append(edge.target)
        for other in [key for key in self.same if key in self.nodes]:
            first = self._representative(other)
            for a, b in zip(self.reads.get(first, ()), self.reads.get(other, ()), strict=False):
                one, two = self.nodes[a], self.nodes[b]
                if a != b and b not in self.same and _alike(one, two) and self._is_own(b) and self._is_own(a):
                    a = self._representative(a)
                    if a != b:
                        self.same[b] = a

    def _is_own(self, key):
        """Whether all that read a value are the same operation."""
        return len({self._representative(reader) for reader in self.readers[key]}) == 1

    def result(self):
        self._identify_values()
        members = {}
        for node in self.graph.nodes:
            members.setdefault(self._representative(node.key), []).append(node)
        place = {}
        for key, nodes in members.items():  # operations where they were found to repeat
            place[key] = self.moved.get(key, nodes[0].group)
        for key, nodes in members.items():  # and what they alone read beside them
            if len(nodes) > 1 and nodes[0].kind not in ("operation", "value"):
                place[key] = place[self._representative(self.readers[nodes[0].key][0])]
        nodes = tuple(_placed(_one(nodes), place[key]) for key, nodes in members.items())
        edges = self._edges({node.key: i for i, node in enumerate(nodes)})
        graph = Graph(nodes, edges, self._representative(self.graph.root), self._groups(), self.graph.notes)
        return totals(graph)

    def _edges(self, order):
        found = {}
        for edge in self.graph.edges:
            source, target = self._representative(edge.source), self._representative(edge.target)
            carried = self.nodes[source].kind in ("operation", "value") and order[source] >= order[target]
            found.setdefault((source, target, edge.argument, carried), []).append(edge)
        return tuple(_edge(key, edges) for key, edges in found.items())

    def _groups(self):
        """The groups that are left and the repetitions around them, the outer before the inner."""
        names = {}
        for group in self.graph.groups:
            names.setdefault(self._representative(group.key), []).append(group.name)
        rounds = {body[0]: n for _, _, n, body in self.repeats if body[0] in self.groups and len(body) == 1}
        left = [
            replace(
                self.groups[key],
                name=together(told),
                parent=self.moved.get(key, self.groups[key].parent),
                kind="repeat" if key in rounds else self.groups[key].kind,
                count=rounds.get(key, 1),
            )
            for key, told in names.items()
            if not self._inside_same(key)
        ]
        left += [
            Group(key, "repeat", "", parent=place, count=n)
            for key, place, n, body in self.repeats
            if body[0] not in rounds and not self._inside_same(place)
        ]
        below, ordered = children(left), []
        stack = below.get(None, [])[::-1]
        while stack:
            ordered.append(stack.pop())
            stack += below.get(ordered[-1].key, [])[::-1]
        return tuple(ordered)

    def _inside_same(self, key):
        """Whether a group, or one around it, is that of a later round."""
        while key is not None:
            if key in self.same:
                return True
            key = self.groups[key].parent if key in self.groups else self.places[key]
        return False


def _runs(symbols):
    """[(start, period, rounds)] of the repetitions in a sequence, in order, none overlapping: the longest first."""
    if len(symbols) < ROUNDS:
        return []
    symbols = np.asarray(symbols)
    found = []
    for period in _periods(symbols):
        equal = np.concatenate(([0], symbols[:-period] == symbols[period:], [0])).astype(np.int8)
        steps = np.diff(equal)
        starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
        rounds = (ends - starts) // period + 1
        for start, n in zip(starts[rounds >= ROUNDS].tolist(), rounds[rounds >= ROUNDS].tolist(), strict=True):
            found.append(((n - 1) * period, -period, start, n))
    taken, runs = np.zeros(len(symbols), bool), []
    for _, period, start, n in sorted(found, key=lambda run: (-run[0], -run[1], run[2])):
        end = start - period * n
        if not taken[start:end].any():
            taken[start:end] = True
            runs.append((start, -period, n))
    return sorted(runs)


def _periods(symbols):
    """The lengths that a round may have: the distances from a symbol to the next of its kind, the frequent ones."""
    order = np.argsort(symbols, kind="stable")
    gaps = np.diff(order)[np.diff(symbols[order]) == 0]
    lengths, counts = np.unique(gaps, return_counts=True)
    usable = lengths <= len(symbols) // ROUNDS
    lengths, counts = lengths[usable], counts[usable]
    return sorted(lengths[np.argsort(-counts, kind="stable")[:PERIODS]].tolist())


def _alike(a, b):
    return a.kind == b.kind and a.kind not in ("operation", "value") and (a.shape, a.dtype) == (b.shape, b.dtype)


def _placed(node, group):
    return node if node.group == group else replace(node, group=group)


def _one(nodes):
    """The node that stands for these."""
    if len(nodes) == 1:
        return nodes[0]
    first, names = nodes[0], [node.name for node in nodes if node.name]
    values = {node.data for node in nodes}
    flops = None if any(node.flops is None for node in nodes) else sum(node.flops for node in nodes)
    return replace(
        first,
        name=together(names) if names else None,
        count=sum(node.count for node in nodes),
        data=first.data if len(values) == 1 else None,
        grad=None,
        stats=None,
        flow=None,
        where=first.where if len({node.where for node in nodes}) == 1 else None,
        kept=sum(node.kept for node in nodes),
        flops=flops,
        marks=_marks(nodes),
    )


def _marks(nodes):
    """The marks of all these, and how many have each where not all do."""
    counts = Counter(mark for node in nodes for mark in node.marks)
    return tuple(mark if n == len(nodes) else f"{mark} ({n:,} of {len(nodes):,})" for mark, n in counts.items())


def _edge(key, edges):
    """The edge that stands for these: their gradients' norms add up as those of parts of one array."""
    source, target, argument, carried = key
    flows = [edge.flow for edge in edges if edge.flow is not None]
    flow = math.sqrt(sum(f * f for f in flows)) if flows else None
    shares = [edge.share for edge in edges if edge.share is not None]
    share = math.fsum(shares) if shares else None
    return Edge(source, target, argument, sum(edge.count for edge in edges), carried, flow, share)


def together(names):
    """One name for several: 'layers.0.weight' and 'layers.1.weight' are 'layers.0…1.weight'.

    >>> together(["layers.0", "layers.1", "layers.2"]), together(["a", "b"]), together(["a", "a"])
    ('layers.0…2', 'a … b', 'a')
    """
    if len(set(names)) == 1:
        return names[0]
    split = [re.split(r"(\d+)", name) for name in names]
    parts = list(zip(*split, strict=False))
    if any(len(one) != len(split[0]) for one in split) or any(len(set(part)) > 1 for part in parts[::2]):
        return f"{names[0]} … {names[-1]}"
    return "".join(part[0] if len(set(part)) == 1 else f"{part[0]}…{part[-1]}" for part in parts)


# ----- groups as single nodes -----


def folded(graph, keys):
    """The graph with these groups, and all that is in them, as one node each."""
    into = {None: None}  # key of a group: the outermost folded one around it
    for group in graph.groups:  # the outer first
        into[group.key] = into[group.parent] or (group.key if group.key in keys else None)
    groups = {group.key: group for group in graph.groups if group.key in keys}
    place = {node.key: into[node.group] for node in graph.nodes if into[node.group]}
    left = tuple(group for group in graph.groups if not into[group.key])
    return _joined(replace(graph, groups=left), place, groups)


def _joined(graph, place, groups):
    """The graph with the nodes of `place`, {key: key of a group}, as one for each group."""
    members = {}
    for node in graph.nodes:
        members.setdefault(place.get(node.key, node.key), []).append(node)
    nodes = tuple(_group_node(groups[key], nodes) if key in groups else nodes[0] for key, nodes in members.items())
    found = {}
    for edge in graph.edges:
        source, target = place.get(edge.source, edge.source), place.get(edge.target, edge.target)
        if source != target:
            argument = 0 if target in groups else edge.argument
            found.setdefault((source, target, argument, edge.carried), []).append(edge)
    edges = tuple(_edge(key, edges) for key, edges in found.items())
    return replace(graph, nodes=nodes, edges=edges, root=place.get(graph.root, graph.root))


def _group_node(group, nodes):
    """The node of a folded group. Its shape and value are those of its last operation."""
    last = nodes[-1]
    return Node(
        group.key,
        "group",
        name=group.name,
        shape=last.shape,
        dtype=last.dtype,
        stats=last.stats,
        flow=last.flow,
        data=last.data,
        grad=last.grad,
        group=group.parent,
        count=group.count,
        where=last.where if group.kind == "line" else None,
        kept=group.kept,
        flops=group.flops,
        marks=tuple(dict.fromkeys(mark for node in nodes for mark in node.marks)),
        inside=group,
    )


def _parts(graph, most):
    """The graph with its operations, in order of creation, as so many parts, whatever they are."""
    computed = [node for node in graph.nodes if _computed(node)]
    size = math.ceil(len(computed) / most)
    place = {node.key: f"p{i // size + 1}" for i, node in enumerate(computed)}
    for edge in graph.edges:  # what operations read is in the part of the first
        place.setdefault(edge.source, place[edge.target])
    sums = {key: Counter() for key in place.values()}
    for node in graph.nodes:
        if _computed(node) or node.kind == "leaf":
            counts = sums[place[node.key]]
            for name, n in _counts(node).items():
                counts[name] += n
    groups, before = {}, 0
    for key, counts in sums.items():
        name = f"operations {before + 1:,} … {before + counts['operations']:,}"
        before += counts["operations"]
        groups[key] = Group(key, "part", name, **counts)
    return _joined(replace(graph, groups=()), place, groups)


def _counts(node):
    inside = node.inside
    leaf = node.count * math.prod(node.shape or ()) if node.kind == "leaf" else 0
    return {
        "operations": inside.operations if inside else node.count * (node.kind == "operation"),
        "parameters": inside.parameters if inside else leaf,
        "kept": node.kept,
        "flops": node.flops or 0,
    }


# ----- values drawn where they are read -----

REACH = 6  # ranks: a value that is read further away is drawn there once more,
SMALL = 40  # nodes: but not in a graph of so few


def spread(graph):
    """The graph with every value that is read at places far apart drawn at each: long edges would hide all else."""
    if len(graph.nodes) <= SMALL:
        return graph
    ranks = _ranks(graph)
    nodes = {node.key: node for node in graph.nodes}
    places, copies, edges = {}, Counter(), []
    for edge in graph.edges:
        key, rank = edge.source, ranks[edge.target]
        if not _computed(nodes[key]) and abs(rank - places.get(key, math.inf)) > REACH:
            places[key] = rank
            copies[key] += 1
        if copies[key] > 1:
            copy = f"{key}_{copies[key]}"
            nodes[copy] = replace(nodes[key], key=copy)
            edge = replace(edge, source=copy)
        edges.append(edge)
    return replace(graph, nodes=tuple(nodes.values()), edges=tuple(edges))


def _computed(node):
    return node.kind in ("operation", "value", "group")


def _ranks(graph):
    """{key: how far above the root it stands}, about as Graphviz will lay it out: one rank above its highest reader."""
    ranks = dict.fromkeys((node.key for node in graph.nodes), 0)
    for edge in _backwards(graph):
        ranks[edge.source] = max(ranks[edge.source], ranks[edge.target] + 1)
    return ranks


def _backwards(graph):
    """The edges, but for carried ones, those out of a node before those into it."""
    order = {node.key: i for i, node in enumerate(graph.nodes)}
    edges = [edge for edge in graph.edges if not edge.carried]
    return sorted(edges, key=lambda edge: order[edge.target], reverse=True)


def _length(graph):
    """The sum of the lengths in ranks of the edges between what is computed."""
    ranks, computed = _ranks(graph), {node.key for node in graph.nodes if _computed(node)}
    return sum(ranks[e.source] - ranks[e.target] for e in graph.edges if e.source in computed and not e.carried)
