"""What is folded, and what is left: counted by hand."""

import numpy as np
import pytest

import mytorch as mt
from mytorch import nn
from mytorch.viz.fold import fold, folded, merged, together
from mytorch.viz.record import record


def shape(graph):
    """The nodes' titles with their counts."""
    return [(node.op or node.name, node.count) for node in graph.nodes]


def arrows(graph):
    """The edges by title: (source, target, count, carried)."""
    name = {node.key: node.op or node.name for node in graph.nodes}
    return [(name[e.source], name[e.target], e.count, e.carried) for e in graph.edges]


def recurrence(steps, inputs=False):
    """h = tanh(h w + x_i), from a leaf h."""
    w, h = mt.tensor(np.eye(2), requires_grad=True), mt.tensor(np.ones(2), requires_grad=True)
    names = {"w": w, "h": h}
    for _ in range(steps):
        h = mt.tanh(h @ w + np.ones(2)) if inputs else mt.tanh(h @ w)
    return record(h.sum(), names)


def blocks(many):
    """A Sequential of `many` equal blocks of two modules, and one more layer."""
    block = lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    model = nn.Sequential(*(block() for _ in range(many)), nn.Linear(4, 2))
    x = mt.tensor(np.ones((3, 4), np.float32))
    return record(model(x).sum(), {"net": model, "x": x})


def test_a_loop_becomes_one_round_of_it():
    """100 rounds of matmul and tanh: the state is carried from the one to the other 99 times, the weight is shared."""
    graph = merged(recurrence(100))

    assert shape(graph) == [("h", 1), ("w", 1), ("matmul", 100), ("tanh", 100), ("sum", 1)]
    assert arrows(graph) == [
        ("h", "matmul", 1, False),
        ("w", "matmul", 100, False),
        ("matmul", "tanh", 100, False),
        ("tanh", "matmul", 99, True),
        ("tanh", "sum", 1, False),
    ]
    assert [(group.kind, group.count, group.operations) for group in graph.groups] == [("repeat", 100, 200)]
    assert [node.group for node in graph.nodes] == [None, None, "r1", "r1", None]
    assert graph.operations == 201


def test_what_every_round_reads_of_its_own_becomes_one():
    """100 constant arrays are one node, in the repetition."""
    graph = merged(recurrence(100, inputs=True))

    assert ("input 1…100", 100) not in shape(graph)[:2]
    constants = [node for node in graph.nodes if node.kind in ("constant", "input")]
    assert [(node.count, node.group) for node in constants] == [(100, "r1")]


def test_layers_of_the_same_build_become_one():
    """12 blocks of two operations: one group with the count; the names tell from where to where."""
    graph = merged(blocks(12))
    groups = {group.name: group for group in graph.groups}

    assert list(groups) == ["net", "net.0…11", "net.0…11.0", "net.0…11.1", "net.12"]
    assert (groups["net.0…11"].kind, groups["net.0…11"].count) == ("repeat", 12)
    assert (groups["net.0…11"].operations, groups["net.0…11"].parameters) == (24, 12 * 20)
    assert ("net.0…11.0.weight", 12) in shape(graph)
    assert graph.operations == 12 * 2 + 1 + 1
    assert graph.parameters == 12 * 20 + 10


def test_loops_in_loops_become_one_round_each():
    """4 rounds of 5 sines and an exponential."""
    x = mt.Value(0.5)
    for _ in range(4):
        for _ in range(5):
            x = x.sin()
        x = x.exp()
    graph = merged(record(x))

    assert shape(graph) == [("leaf 1", 1), ("sin", 20), ("exp", 4)]
    assert [(group.key, group.parent, group.count, group.operations) for group in graph.groups] == [
        ("r1", None, 4, 24),
        ("r2", "r1", 5, 20),
    ]


def test_two_times_is_no_repetition():
    """Nor are operations of other shapes, or with other arguments."""
    x = mt.tensor(np.ones((2, 3, 4)), requires_grad=True)
    graphs = [record(mt.exp(mt.exp(x))), record(x.sum(axis=0).sum(axis=1).sum()), record(mt.log(mt.exp(mt.sin(x))))]

    assert [merged(graph) == graph for graph in graphs] == [True, True, True]


def test_values_that_differ_are_not_told_as_one():
    """A merged node has no value, but the marks of all, with how many have them."""
    x = mt.tensor(np.ones(5), requires_grad=True)
    for _ in range(10):
        x = x * 0.1
    graph = merged(record(x.sum(), gradients=True))
    node = next(node for node in graph.nodes if node.op == "multiply")

    assert node.stats is node.flow is node.data is None
    assert node.marks == ("vanishing (5 of 10)",)


def test_a_folded_group_is_a_node_with_its_sums():
    """Its edges are those across its border, each pair of ends once."""
    graph = blocks(2)
    inner = next(group.key for group in graph.groups if group.name == "net.0")
    out = folded(graph, {inner})
    node = next(node for node in out.nodes if node.kind == "group")

    assert (node.key, node.name, node.inside.operations, node.inside.parameters) == (inner, "net.0", 2, 20)
    assert node.shape == (3, 4)
    assert [a for a in arrows(out) if "net.0" in a[:2]] == [("x", "net.0", 1, False), ("net.0", "linear", 1, False)]
    assert out.operations == graph.operations
    assert out.parameters == graph.parameters


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        (0, ["x", "net", "sum"]),
        (1, ["x", "net.0", "net.1", "net.2", "sum"]),
        (2, ["x", "net.0.0", "net.0.1", "net.1.0", "net.1.1", "linear", "sum"]),
        (3, ["x", "linear", "tanh", "linear", "tanh", "linear", "sum"]),
    ],
)
def test_depth_says_how_much_is_folded(depth, expected):
    """0 the whole model, 1 its children, and so on; what is not so deep stays as it is."""
    graph = fold(blocks(2), depth)

    assert [node.op or node.name for node in graph.nodes if node.kind != "leaf"] == expected
    assert graph.operations == 6


def test_above_a_size_a_graph_folds_by_itself():
    """First what repeats, then the innermost groups, level by level; a note says so."""
    graph = blocks(30)
    once, twice = fold(graph, limit=40), fold(graph, limit=8)

    assert len(graph.nodes) == 1 + 30 * 4 + 3 + 1
    assert any(group.kind == "repeat" for group in once.groups)
    assert once.notes == ("62 operations, folded to 4",)
    assert len(once.nodes) == 1 + 4 + 3 + 1
    assert len(twice.nodes) <= 8 and twice.operations == 62
    assert any(node.kind == "group" for node in twice.nodes)
    assert fold(graph).notes == ()


def test_what_is_folded_has_no_cycle():
    """But for carried edges, every edge leads to a node further down."""
    for graph in (recurrence(60, inputs=True), blocks(8)):
        for out in (merged(graph), fold(graph, limit=12), fold(graph, depth=1, repeats=True)):
            order = {node.key: i for i, node in enumerate(out.nodes)}
            computed = {node.key for node in out.nodes if node.kind in ("operation", "group")}
            for edge in out.edges:
                assert edge.carried or edge.source not in computed or order[edge.source] < order[edge.target]


def test_names_of_several_are_put_together():
    """Numbers that differ become a range."""
    assert together(["a.0.b", "a.1.b", "a.2.b"]) == "a.0…2.b"
    assert together(["input 3", "input 12"]) == "input 3…12"
    assert together(["head", "tail"]) == "head … tail"
