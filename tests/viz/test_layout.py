"""The plain layered layout: what holds of every drawing, and that it takes little time."""

import itertools
import random

import numpy as np
import pytest

from mytorch.viz.layout import PAD, layout, separate

# ----- things in a row -----


def test_what_has_room_stays_where_it_is_wanted():
    """And a single thing, and none."""
    assert separate([0, 10, 25], [8, 8, 8]) == [0, 10, 25]
    assert separate([3], [100]) == [3]
    assert separate([], []) == []


def test_what_would_overlap_moves_as_little_as_can_be():
    """Two that want one place stand at its sides; the heavier one moves less: the least sum of weighted squares."""
    assert separate([5, 5], [4, 6]) == [2.5, 7.5]
    assert separate([5, 5], [4, 6], [3, 1]) == [3.75, 8.75]


@pytest.mark.parametrize("seed", range(5))
def test_no_other_places_are_nearer(seed):
    """The gradient of the sum of squares is 0 within every block of things that touch, and pushes blocks together."""
    rng = np.random.default_rng(seed)
    wanted, sizes, weights = rng.normal(0, 20, 12), rng.uniform(1, 9, 12), rng.uniform(0.5, 3, 12)
    places = np.array(separate(list(wanted), list(sizes), list(weights)))
    gaps = np.diff(places) - (sizes[1:] + sizes[:-1]) / 2
    assert (gaps > -1e-9).all()

    blocks = np.split(np.arange(12), np.flatnonzero(gaps > 1e-9) + 1)
    for block in blocks:
        force = weights[block] * (wanted - places)[block]
        assert force.sum() == pytest.approx(0, abs=1e-9)
        assert (np.cumsum(force)[:-1] > -1e-9).all()  # what stands left of any joint is pushed to the right


# ----- drawings -----


def graph(n, groups, seed, loose=0.1):
    """Random arguments of `layout`: n nodes, all but a share `loose` of them in groups, some of those in others."""
    rng = random.Random(seed)
    sizes = [(rng.choice([40, 61.5, 100]), rng.choice([24, 40])) for _ in range(n)]
    edges = [(max(0, i - 1 - int(rng.expovariate(0.3))), i) for i in range(1, n) for _ in range(rng.choice([1, 1, 2]))]
    outer = [-1 if g < groups / 2 else g - groups // 2 for g in range(groups)]
    within = [min(groups - 1, i * groups // n) if groups and rng.random() >= loose else -1 for i in range(n)]
    return sizes, edges, within, outer, [(50 + g, 20) for g in range(groups)]


GRAPHS = {
    "one": graph(1, 0, 0),
    "flat": graph(40, 0, 1),
    "grouped": graph(80, 6, 2),
    "nested": graph(200, 20, 3),
    "in a row": (*graph(80, 6, 2, loose=0)[:3], [-1] * 6, [(50, 20)] * 6),
    "chain": ([(30, 20)] * 30, [(i, i + 1) for i in range(29)], None, (), ()),
    "star": ([(30, 20)] * 30, [(i, 29) for i in range(29)], None, (), ()),
    "apart": ([(30, 20)] * 30, [], None, (), ()),
    "none": ([], [], None, (), ()),
}


def boxes(given, placed):
    """(left, top, right, bottom) of all nodes."""
    return [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for (x, y), (w, h) in zip(placed.nodes, given[0], strict=True)]


def apart(a, b):
    return a[2] <= b[0] + 1e-9 or b[2] <= a[0] + 1e-9 or a[3] <= b[1] + 1e-9 or b[3] <= a[1] + 1e-9


def inside(a, b):
    return a[0] >= b[0] - 1e-9 and a[1] >= b[1] - 1e-9 and a[2] <= b[2] + 1e-9 and a[3] <= b[3] + 1e-9


def frames(placed):
    return [(x, y, x + w, y + h) for x, y, w, h in placed.groups]


def around(given, node):
    """The groups that a node is in."""
    group = given[2][node] if given[2] else -1
    while group >= 0:
        yield group
        group = given[3][group]


@pytest.mark.parametrize("direction", ["TB", "LR"])
@pytest.mark.parametrize("name", GRAPHS)
def test_nothing_overlaps_and_groups_hold_together(name, direction):
    """Nodes are apart; each is inside its groups, and outside of all others; all is inside the picture."""
    given = GRAPHS[name]
    placed = layout(*given, direction)
    nodes, groups = boxes(given, placed), frames(placed)

    assert all(apart(a, b) for a, b in itertools.combinations(nodes, 2))
    for i, box in enumerate(nodes):
        own = set(around(given, i))
        assert all(inside(box, group) if g in own else apart(box, group) for g, group in enumerate(groups))
        assert inside(box, (PAD, PAD, placed.size[0] - PAD, placed.size[1] - PAD))


@pytest.mark.parametrize("name", [name for name in GRAPHS if name not in ("grouped", "nested")])
def test_edges_lead_downwards_from_node_to_node(name):
    """From the lower side of the source to the upper side of the target, and never up on their way."""
    given = GRAPHS[name]
    placed = layout(*given)
    nodes = boxes(given, placed)

    for (source, target), route in zip(given[1], placed.routes, strict=True):
        (start, end), heights = (route[0], route[-1]), [y for _, y in route]
        assert start[1] == pytest.approx(nodes[source][3]) and nodes[source][0] < start[0] < nodes[source][2]
        assert end[1] == pytest.approx(nodes[target][1]) and nodes[target][0] < end[0] < nodes[target][2]
        assert heights == sorted(heights)


def test_edges_pass_by_the_nodes():
    """Where they go straight down, between nodes of a rank, they touch none."""
    given = graph(60, 6, 4)
    placed = layout(*given)
    nodes = boxes(given, placed)

    for (source, target), route in zip(given[1], placed.routes, strict=True):
        for (x, y), (x_end, y_end) in itertools.pairwise(route):
            if x != x_end:
                continue
            for i, (left, top, right, bottom) in enumerate(nodes):
                assert i in (source, target) or x <= left or x >= right or y_end <= top + 1e-9 or y >= bottom - 1e-9


def test_a_chain_is_a_straight_line_and_a_tree_has_no_crossings():
    """The order of a binary tree's leaves is that of its branches, though its nodes come in another."""
    placed = layout(*GRAPHS["chain"])
    assert len({x for x, _ in placed.nodes}) == 1

    n = 63
    mixed = sorted(range(n), key=lambda v: (-(v + 1).bit_length(), v * 7 % 64))  # the leaves first, the root last
    number = {node: i for i, node in enumerate(mixed)}
    edges = [(number[i], number[(i - 1) // 2]) for i in range(1, n)]
    assert all(a < b for a, b in edges)
    routes = layout([(20, 20)] * n, edges).routes
    for one, other in itertools.combinations(routes, 2):
        if one[0][1] == other[0][1] and one[-1][1] == other[-1][1]:
            assert (one[0][0] - other[0][0]) * (one[-1][0] - other[-1][0]) >= 0


def test_an_edge_backwards_is_in_nobodys_way():
    """A loop's last node leads to its first: all other places are as without it; it goes upwards."""
    sizes, edges = [(30, 20)] * 5, [(i, i + 1) for i in range(4)]
    placed = layout(sizes, [*edges, (3, 1)])

    assert [y for _, y in placed.nodes] == sorted(y for _, y in placed.nodes)
    assert placed.routes[-1][0][1] > placed.routes[-1][-1][1]
    assert layout(sizes, [(2, 2)]).routes == [[]]


def test_groups_that_need_each_other_are_drawn_too():
    """a reads b and b reads a, as wholes: one of the edges goes upwards, nothing is lost."""
    placed = layout([(30, 20)] * 4, [(0, 1), (1, 2), (2, 3)], [0, 1, 0, 1], [-1, -1], [(40, 20)] * 2)

    assert all(len(route) > 1 for route in placed.routes)
    assert apart(*frames(placed))


def test_values_are_drawn_near_to_what_reads_them():
    """A leaf that is read far below stands one rank above its reader, not at the top."""
    chain = [(i, i + 1) for i in range(1, 11)]
    placed = layout([(30, 20)] * 12, [*chain, (0, 11)])

    assert placed.nodes[0][1] == placed.nodes[10][1]


def test_a_heading_has_room():
    """A group is at least as wide as its heading, which lies above all that is in it."""
    placed = layout([(30, 20)], [], [0], [-1], [(300, 50)])
    (left, top, width, _), (x, y) = placed.groups[0], placed.nodes[0]

    assert width >= 300 and y - 10 >= top + 50
    assert x == pytest.approx(left + width / 2)


def test_the_same_numbers_give_the_same_drawing():
    """Nothing depends on hashes or addresses."""
    assert layout(*graph(100, 8, 5)) == layout(*graph(100, 8, 5))


@pytest.mark.parametrize("edges", [[], [(i // 2, i) for i in range(2, 5000)]], ids=["a chain", "with long edges"])
def test_thousands_of_nodes_are_no_trouble(edges):
    """In a row 5,000 deep, without recursion; edges too long to be bent at every rank go straight."""
    n = 5000
    placed = layout([(50, 20)] * n, [(i, i + 1) for i in range(n - 1)] + edges)

    assert len(placed.routes) == n - 1 + len(edges)
    assert placed.size[0] < 20_000
