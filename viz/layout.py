"""A plain layered drawing of a graph: where its nodes and groups go, and the ways of its edges.

Sugiyama's steps (Sugiyama, Tagawa, Toda 1981; Gansner et al. 1993): ranks from above to below, in each rank an order
with few crossings, then places that make edges straight. A group is laid out by itself, before what is around it,
where it is one box; an edge that leaves it goes through a port on the box's border. So groups hold together, never
overlap, and their edges do not cross what is in them. All is near-linear in time, without recursion, and the same
numbers in give the same numbers out. page/layout.js is this file in JavaScript: what changes here changes there.

Notation: a *thing* is a node (0 ... n-1) or a group (n, n+1, ...); a *level* is what one group holds, the last one
what is in none; a *vertex* is a thing of a level, a port, or a bend of an edge on its way through a rank.
"""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate, pairwise

__all__ = ["Layout", "layout", "separate"]

GAP, RANK_GAP = 18, 30  # between neighbours of a rank, and between ranks
BEND = 6  # the width of an edge on its way through a rank
PAD = 12  # inside a group, at its sides and below; above is its heading
ENDS = 14  # between the ends of edges that enter a node, at most
TIGHTENINGS, ORDERINGS, PLACINGS = 2, 8, 8  # rounds,
LARGE, FEWER = 5000, 4  # and of the last two in a level of so many vertices
SAME = 1e-6  # points nearer to each other than this are one
STRAIGHT, YIELDING = 4, 0.125  # what it counts that a link is upright, where others count 1
BENDS = 1  # a vertex and edge, on average: the longest edges beyond go straight


@dataclass(frozen=True, slots=True)
class Layout:
    """Centres of nodes, (left, top, width, height) of groups, the corners of every edge's way, the picture's size."""

    nodes: list
    groups: list
    routes: list
    size: tuple


def layout(sizes, edges, within=None, outer=(), heads=(), direction="TB"):
    """The Layout of nodes of these (width, height), with `edges` from node to node.

    within: for each node the group it is in, -1 for none. outer: for each group the one around it, which stands
            before it. heads: for each group the (width, height) of its heading.
    An edge from a later node to an earlier one has no say in what is above what: it may go upwards.
    """
    within = within or [-1] * len(sizes)
    if direction == "TB":
        return _Drawing(sizes, edges, within, outer, heads).layout()
    turned = _Drawing([size[::-1] for size in sizes], edges, within, outer, heads, turned=True).layout()
    return Layout(
        [point[::-1] for point in turned.nodes],
        [(y, x, h, w) for x, y, w, h in turned.groups],
        [[point[::-1] for point in route] for route in turned.routes],
        turned.size[::-1],
    )


def separate(wanted, sizes, weights=None):
    """Centres of things in a row, in this order and side by side, as near as can be to where they are wanted.

    Least squares, by pooling adjacent violators: things that would overlap move as one, to their weighted mean.
    """
    if len(wanted) == 1:
        return list(wanted)
    weights = weights or [1] * len(wanted)
    offsets = list(accumulate(((a + b) / 2 for a, b in pairwise(sizes)), initial=0.0))[: len(sizes)]
    pools = []  # (sum of weighted places, weight, how many) of those that touch
    for place, offset, weight in zip(wanted, offsets, weights, strict=True):
        total, many, mass = (place - offset) * weight, 1, weight
        while pools and pools[-1][0] * mass > total * pools[-1][1]:
            before = pools.pop()
            total, mass, many = before[0] + total, before[1] + mass, before[2] + many
        pools.append((total, mass, many))
    starts = [total / mass for total, mass, many in pools for _ in range(many)]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]


# ----- the levels, and edges that cross their borders -----


class _Drawing:
    """All levels of a graph, and the way of each edge through them."""

    def __init__(self, sizes, edges, within, outer, heads, turned=False):
        self.n, self.root = len(sizes), len(outer)
        self.heads, self.turned = heads, turned
        self.owner = [self.root if group < 0 else group for group in (*within, *outer)]
        self.levels = [_Level() for _ in range(self.root + 1)]
        self.depth = [0] * (self.root + 1)
        for group, parent in enumerate(outer):
            self.depth[group] = 1 if parent < 0 else self.depth[parent] + 1
        self.depth[self.root] = 0
        self.sizes = [*sizes, *((0, 0) for _ in outer)]
        self._arrange(edges)
        self.ways = [self._way(source, *climb) for (source, _), climb in zip(edges, self.climbs, strict=True)]

    def _arrange(self, edges):
        """Makes every level's things its vertices, in an order that edges between them follow."""
        things = [[] for _ in self.levels]
        for thing in self._by_creation():
            things[self.owner[thing]].append(thing)
        arrows = {}
        self.climbs = []
        for source, target in edges:
            climb = self._climb(source, target)
            self.climbs.append(climb)
            if source < target:
                arrows.setdefault(climb[0][-1], []).append(climb[1][-1])
        self.place = [0] * len(self.owner)
        for level, inside in zip(self.levels, things, strict=True):
            level.things = _sorted(inside, arrows)
            level.vertices = len(inside)
            for place, thing in enumerate(level.things):
                self.place[thing] = place

    def _by_creation(self):
        """All things, a group before the first node in it."""
        met, order = set(), []
        for node in range(self.n):
            chain = [node]
            while self.owner[chain[-1]] != self.root and self.n + self.owner[chain[-1]] not in met:
                chain.append(self.n + self.owner[chain[-1]])
            met.update(chain)
            order += reversed(chain)
        return order

    def _climb(self, source, target):
        """The two nodes, each with the groups around it up to the level where they are in the same one."""
        up, down = [source], [target]
        while (a := self.owner[up[-1]]) != (b := self.owner[down[-1]]):
            if self.depth[a] >= self.depth[b]:
                up.append(self.n + a)
            else:
                down.append(self.n + b)
        return up, down

    def _way(self, source, up, down):
        """(flipped, [(level, edge of it)]): an edge against the order of its level is laid out as its reverse."""
        if up[-1] == down[-1]:  # to itself
            return False, []
        flipped = self.place[up[-1]] > self.place[down[-1]]
        if flipped:
            up, down = down, up
        value = 2 * source + flipped  # edges of one value share their ports and their bends
        way = []
        for inner in up[:-1]:
            level = self.levels[self.owner[inner]]
            way.append((self.owner[inner], level.edge(self.place[inner], level.port(value, level.exits), value)))
        level = self.levels[self.owner[up[-1]]]
        plain = len(up) == len(down) == 1
        way.append((self.owner[up[-1]], level.edge(self.place[up[-1]], self.place[down[-1]], value, plain)))
        for inner in reversed(down[:-1]):
            level = self.levels[self.owner[inner]]
            way.append((self.owner[inner], level.edge(level.port(value, level.entries), self.place[inner], value)))
        return flipped, way

    def layout(self):
        """Lays out inner levels before outer ones, then puts all where the outer ones say."""
        for group in reversed(range(self.root)):
            self._fit(group)
        self._lay(self.root)
        return self._placed()

    def _lay(self, i):
        level = self.levels[i]
        boxes = [self.levels[thing - self.n] if thing >= self.n else None for thing in level.things]
        level.lay([self.sizes[thing] for thing in level.things], boxes)

    def _fit(self, group):
        """Lays out a group's level, and gives the group its size."""
        self._lay(group)
        level, (width, height) = self.levels[group], self.heads[group]
        if self.turned:  # the heading is where ranks begin their rows, and along them
            across, along = height + level.width + PAD, max(width, level.height + 2 * PAD)
            level.indent, level.head = height, PAD
        else:
            across, along = max(width, level.width + 2 * PAD), height + level.height + PAD
            level.indent, level.head = (across - level.width) / 2, height
        level.foot = along - level.head - level.height
        self.sizes[self.n + group] = across, along
        level.doors = {port: level.x[vertex] + level.indent - across / 2 for port, vertex in level.ports.items()}

    def _placed(self):
        """The Layout, from levels that are laid out."""
        corner = [(0, 0)] * (self.root + 1)
        corner[self.root] = (PAD, PAD)
        groups = []
        for group in range(self.root):
            (x, y), level = corner[self.owner[self.n + group]], self.levels[self.owner[self.n + group]]
            place, (width, height) = self.place[self.n + group], self.sizes[self.n + group]
            left, top = x + level.x[place] - width / 2, y + level.y[place] - height / 2
            groups.append((left, top, width, height))
            corner[group] = left + self.levels[group].indent, top + self.levels[group].head
        nodes = []
        for node in range(self.n):
            (x, y), level = corner[self.owner[node]], self.levels[self.owner[node]]
            nodes.append((x + level.x[self.place[node]], y + level.y[self.place[node]]))
        root = self.levels[self.root]
        size = root.width + 2 * PAD, root.height + 2 * PAD
        return Layout(nodes, groups, [self._route(*way, corner) for way in self.ways], size)

    def _route(self, flipped, way, corner):
        """The corners of an edge's way, from its source to its target."""
        route = []
        for i, edge in way:
            left, top = corner[i]
            for px, py in self.levels[i].route(edge):
                x, y = left + px, top + py
                if not route or abs(x - route[-1][0]) + abs(y - route[-1][1]) > SAME:
                    route.append((x, y))
        return route[::-1] if flipped else route


def _sorted(things, arrows):
    """The things in an order that their arrows follow; where they go in circles, the first made goes first."""
    waiting = dict.fromkeys(things, 0)
    for thing in things:
        for target in arrows.get(thing, ()):
            waiting[target] += 1
    queue = [thing for thing in things if not waiting[thing]]
    done, order, fallback = set(queue), [], iter(things)
    while len(order) < len(things):
        if len(order) == len(queue):
            queue.append(next(thing for thing in fallback if thing not in done))
            done.add(queue[-1])
        thing = queue[len(order)]
        order.append(thing)
        for target in arrows.get(thing, ()):
            waiting[target] -= 1
            if not waiting[target] and target not in done:
                queue.append(target)
                done.add(target)
    return order


# ----- one level -----


class _Level:
    """What one group holds: first its things as vertices 0, 1, ..., then ports, then bends; and edges between them."""

    def __init__(self):
        self.things = []
        self.ports, self.entries, self.exits = {}, {}, {}  # {(which border, value): vertex}
        self.vertices = 0
        self.edges, self.known = [], {}  # (tail, head, value)
        self.doors = {}  # {port: how far right of the middle of the group's box it is}
        self.indent = self.head = self.foot = 0  # before its vertices, above and below them, in the group's box

    def port(self, value, border):
        """The vertex where a value goes through the upper border (`self.entries`) or the lower one (`self.exits`)."""
        if value not in border:
            border[value] = self.vertices
            self.ports[border is self.exits, value] = self.vertices
            self.vertices += 1
        return border[value]

    def edge(self, tail, head, value, apart=False):
        """The number of the edge that a value takes from vertex to vertex; a new one if it is to be `apart`."""
        key = tail, head, value
        if apart or key not in self.known:
            self.known[key] = len(self.edges)
            self.edges.append(key)
        return self.known[key]

    def lay(self, sizes, boxes):
        """Places all vertices, in [0, width] x [0, height]; `boxes` has the level of each thing that is a group."""
        self.widths = [w for w, _ in sizes] + [0] * len(self.ports)
        self.heights = [h for _, h in sizes] + [0] * len(self.ports)
        self.tail_offsets = [self._door(boxes, tail, True, value) for tail, _, value in self.edges]
        self.head_offsets = [self._door(boxes, head, False, value) for _, head, value in self.edges]
        self._rank()
        self._bend()
        self._order()
        self._place()
        self._stack()

    def _door(self, boxes, vertex, out, value):
        """How far from the middle of a vertex an edge ends: at a group's port."""
        box = boxes[vertex] if vertex < len(boxes) else None
        return 0 if box is None else box.doors[out, value]

    def _rounds(self, many):
        return many if len(self.rank) < LARGE else FEWER

    # ----- ranks -----

    def _rank(self):
        """Longest paths from above; then what has more edges to one side than to the other moves to that side."""
        things = range(len(self.things))
        entries, exits = list(self.entries.values()), list(self.exits.values())
        into, out = [[] for _ in range(self.vertices)], [[] for _ in range(self.vertices)]
        for tail, head, _ in self.edges:
            into[head].append(tail)
            out[tail].append(head)
        rank = [1 if entries else 0] * self.vertices
        for vertex in entries:
            rank[vertex] = 0
        for vertex in (*entries, *things):
            for head in out[vertex]:
                rank[head] = max(rank[head], rank[vertex] + 1)
        for _ in range(TIGHTENINGS):
            for vertex in reversed(things):
                if len(out[vertex]) > len(into[vertex]):
                    rank[vertex] = max(rank[vertex], min(rank[head] for head in out[vertex]) - 1)
            for vertex in things:
                if len(into[vertex]) > len(out[vertex]):
                    rank[vertex] = min(rank[vertex], max(rank[tail] for tail in into[vertex]) + 1)
        last = max((rank[vertex] for vertex in things), default=0) + 1
        for vertex in exits:
            rank[vertex] = last
        dense = {r: i for i, r in enumerate(sorted(set(rank)))}
        self.rank = [dense[r] for r in rank]

    def _bend(self):
        """Edges over several ranks get a bend, a vertex of its own, in each; those of one value share them."""
        self.bends = [[] for _ in self.edges]
        self.links = []  # (upper vertex, lower vertex, offset of the upper end, offset of the lower)
        chains, budget = {}, BENDS * (self.vertices + len(self.edges))
        spans = [self.rank[head] - self.rank[tail] for tail, head, _ in self.edges]
        for edge in sorted(range(len(self.edges)), key=spans.__getitem__):
            tail, head, value = self.edges[edge]
            chain = chains.setdefault((tail, value), [])
            budget -= max(0, spans[edge] - 1 - len(chain))
            if budget < 0:
                continue
            above, offset = (chain[-1], 0) if chain else (tail, self.tail_offsets[edge])
            while len(chain) < spans[edge] - 1:
                bend = self._new_bend(self.rank[tail] + len(chain) + 1)
                self.links.append((above, bend, offset, 0))
                chain.append(bend)
                above, offset = bend, 0
            self.bends[edge] = chain[: spans[edge] - 1]
            above, offset = (self.bends[edge][-1], 0) if self.bends[edge] else (tail, self.tail_offsets[edge])
            self.links.append((above, head, offset, self.head_offsets[edge]))

    def _new_bend(self, rank):
        self.rank.append(rank)
        self.widths.append(BEND)
        self.heights.append(0)
        return len(self.rank) - 1

    # ----- the order in a rank -----

    def _order(self):
        """Sweeps sort each rank by the mean place of its neighbours; the order with fewest crossings stays."""
        self.above, self.below = [[] for _ in self.rank], [[] for _ in self.rank]
        for upper, lower, start, end in self.links:
            self.above[lower].append((upper, start, end))
            self.below[upper].append((lower, end, start))
        rows = self._first_rows()
        best, fewest = rows, self._crossings(rows)
        for sweep in range(self._rounds(ORDERINGS)):
            if not fewest:
                break
            rows = self._swept(rows, sweep % 2)
            crossings = self._crossings(rows)
            if crossings < fewest:
                best, fewest = rows, crossings
        self.rows = best

    def _first_rows(self):
        """Every rank in the order in which a walk upwards from the last things meets its vertices."""
        rows, met = [[] for _ in range(max(self.rank, default=-1) + 1)], [False] * len(self.rank)
        for start in reversed(range(len(self.rank))):
            if self.below[start]:
                continue
            stack = [start]
            while stack:
                vertex = stack.pop()
                if not met[vertex]:
                    met[vertex] = True
                    rows[self.rank[vertex]].append(vertex)
                    stack += [upper for upper, _, _ in reversed(self.above[vertex])]
        return rows

    def _swept(self, rows, upwards):
        """The rows, each sorted anew, from the second on downwards or from the last but one on upwards."""
        rows, beside = list(rows), self.below if upwards else self.above
        place = [0.0] * len(self.rank)
        for r in reversed(range(len(rows))) if upwards else range(len(rows)):
            row = rows[r]
            keys = {vertex: self._mean(beside[vertex], place, i) for i, vertex in enumerate(row)}
            rows[r] = sorted(row, key=keys.__getitem__)
            for i, vertex in enumerate(rows[r]):
                place[vertex] = i
        return rows

    def _mean(self, ends, place, alone):
        """The mean place of the ends of links; `alone`, where there are none."""
        total = 0.0
        for other, at, _ in ends:  # sum() would be more exact, and so not what JavaScript finds
            total += place[other] + self._lean(other, at)
        return total / len(ends) if ends else alone

    def _lean(self, vertex, offset):
        """Where on a vertex an edge ends, as a part of its width."""
        return offset / self.widths[vertex] if offset else 0

    def _crossings(self, rows):
        """How many pairs of links cross (Barth, Juenger, Mutzel 2002)."""
        place = [0.0] * len(self.rank)
        for row in rows:
            for i, vertex in enumerate(row):
                place[vertex] = i
        total = 0
        for row in rows[:-1]:
            starts = sorted(
                (place[upper] + self._lean(upper, start), place[lower] + self._lean(lower, end))
                for upper in row
                for lower, end, start in self.below[upper]
            )
            if len(starts) > 1:
                total += _inversions([end for _, end in starts])
        return total

    # ----- places -----

    def _place(self):
        """x: sweeps down and up move each rank's vertices to the mean of their neighbours, as far as there is room."""
        rooms = [[self.widths[vertex] + GAP for vertex in row] for row in self.rows]
        self.x = [0.0] * len(self.rank)
        for row, room in zip(self.rows, rooms, strict=True):
            for vertex, x in zip(row, separate([0.0] * len(row), room), strict=True):
                self.x[vertex] = x
        rounds = self._rounds(PLACINGS)
        for sweep in range(rounds):
            both = sweep >= rounds - 2
            rows = list(zip(self.rows, rooms, strict=True))
            for row, room in rows if sweep % 2 == 0 else reversed(rows):
                self._settle(row, room, (sweep % 2 == 0 or both), (sweep % 2 == 1 or both))
        left = min((x - width / 2 for x, width in zip(self.x, self.widths, strict=True)), default=0)
        self.x = [x - left for x in self.x]
        self.width = max((x + width / 2 for x, width in zip(self.x, self.widths, strict=True)), default=0)

    def _settle(self, row, room, above, below):
        """Moves the vertices of one row to the mean of their neighbours above, below or both."""
        wanted, weights = [], []
        for vertex in row:
            total = mass = 0
            for side in (self.above[vertex] if above else ()), (self.below[vertex] if below else ()):
                for other, _, _ in side:  # to its middle: from port to port, a row of groups would go astray
                    weight = self._weight(vertex, other)
                    total += weight * self.x[other]
                    mass += weight
            wanted.append(total / mass if mass else self.x[vertex])
            weights.append(mass or 0.1)
        for vertex, x in zip(row, separate(wanted, room, weights), strict=True):
            self.x[vertex] = x

    def _weight(self, vertex, other):
        """How straight a link is to be: a long edge the most; one from a leaf, or that ends a long one, yields."""
        bends = (vertex >= self.vertices) + (other >= self.vertices)
        upper = vertex if self.rank[vertex] < self.rank[other] else other
        return STRAIGHT if bends == 2 else 1 if not bends and self.above[upper] else YIELDING

    def _stack(self):
        """y: ranks as high as their highest vertex, further apart where an edge between them goes far to the side."""
        reach = [0.0] * len(self.rows)
        for upper, lower, start, end in self.links:
            r = self.rank[upper]
            reach[r] = max(reach[r], abs(self.x[upper] + start - self.x[lower] - end))
        self.tops, self.bottoms, y = [], [], 0.0
        for r, row in enumerate(self.rows):
            self.tops.append(y)
            self.bottoms.append(y + max(self.heights[vertex] for vertex in row))
            at_border = (self.entries and r == 0) or (self.exits and r == len(self.rows) - 2)
            y = self.bottoms[-1] + (RANK_GAP / 2 if at_border else RANK_GAP) + min(reach[r] / 10, 2 * RANK_GAP)
        self.height = self.bottoms[-1] if self.rows else 0
        self.y = [self._level_with(vertex) for vertex in range(len(self.rank))]
        self._spread_ends()

    def _level_with(self, vertex):
        """The height of a vertex in its rank: near to its only neighbours, where they are all on one side."""
        top, bottom = self.tops[self.rank[vertex]], self.bottoms[self.rank[vertex]]
        if not self.above[vertex] and self.below[vertex]:
            return bottom - self.heights[vertex] / 2
        if not self.below[vertex] and self.above[vertex]:
            return top + self.heights[vertex] / 2
        return (top + bottom) / 2

    def _spread_ends(self):
        """Edges that enter a node end side by side, in the order in which they come."""
        entering = [[] for _ in range(self.vertices)]
        for edge, (tail, head, _) in enumerate(self.edges):
            before = self.bends[edge][-1] if self.bends[edge] else tail
            if not self.head_offsets[edge]:
                entering[head].append((self.x[before], edge))
        for vertex, ends in enumerate(entering):
            step = min(ENDS, 0.6 * self.widths[vertex] / len(ends)) if ends else 0
            for i, (_, edge) in enumerate(sorted(ends)):
                self.head_offsets[edge] = (i - (len(ends) - 1) / 2) * step

    def route(self, edge):
        """The corners of an edge's way in this level: straight down through every rank."""
        tail, head, _ = self.edges[edge]
        x, end = self.x[tail] + self.tail_offsets[edge], self.x[head] + self.head_offsets[edge]
        route = [(x, self._lower(tail)), (x, self.bottoms[self.rank[tail]])]
        for bend in self.bends[edge]:
            r = self.rank[bend]
            route += [(self.x[bend], self.tops[r]), (self.x[bend], self.bottoms[r])]
        return [*route, (end, self.tops[self.rank[head]]), (end, self._upper(head))]

    def _lower(self, vertex):
        """Where an edge leaves a vertex: at its lower side, or where a group's upper border is."""
        return -self.head if self._is_port(vertex) else self.y[vertex] + self.heights[vertex] / 2

    def _upper(self, vertex):
        """Where an edge enters a vertex: at its upper side, or where a group's lower border is."""
        return self.height + self.foot if self._is_port(vertex) else self.y[vertex] - self.heights[vertex] / 2

    def _is_port(self, vertex):
        return len(self.things) <= vertex < self.vertices


def _inversions(ends):
    """How many pairs of the numbers stand in the wrong order."""
    seen, total = [], 0
    for end in ends:
        place = bisect_right(seen, end)
        total += len(seen) - place
        seen.insert(place, end)
    return total
