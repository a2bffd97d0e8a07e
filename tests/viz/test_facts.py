"""What is told of a node: its value, its gradient, its costs, and what is wrong with it."""

import numpy as np
import pytest

import mytorch as mt
from mytorch import nn, viz
from mytorch.viz.facts import stats
from mytorch.viz.record import record
from mytorch.viz.text import hover, lines, width


def named(graph):
    """{name or operation: node}, of several the last."""
    return {node.name or node.op: node for node in graph.nodes}


# ----- forward -----


def test_statistics_are_those_of_the_finite_elements():
    """Computed by hand: 0, 0, 3 and -1 beside a nan and two infinities."""
    found = stats(np.array([[0, 0, 3], [-1, np.nan, np.inf]], np.float32))

    assert (found.mean, found.min, found.max, found.zeros) == (0.5, -1, 3, 0.5)
    assert found.std == pytest.approx(np.sqrt((0.25 + 0.25 + 6.25 + 2.25) / 4))
    assert found.norm == pytest.approx(np.sqrt(10))
    assert (found.nan, found.inf) == (1, 1)


def test_a_few_elements_are_shown_and_of_more_the_statistics():
    """Up to four are in `data`, as nested tuples."""
    x = mt.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    big = mt.tensor(np.arange(6.0), requires_grad=True)
    few, many = record(mt.exp(x).sum(), {"x": x}), record(mt.exp(big).sum(), {"big": big})

    assert named(few)["x"].data == ((1.0, 2.0), (3.0, 4.0)) and named(few)["x"].stats is None
    assert named(many)["big"].data is None
    assert named(many)["big"].stats.mean == 2.5


def test_values_that_are_not_kept_are_computed_again():
    """A linear layer does not keep its answer; it follows from the input and the parameters."""
    layer = nn.Linear(3, 8, rng=0)
    x = mt.tensor(np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3))
    y = layer(x)
    node = named(record(mt.tanh(y).sum(), layer))["linear"]

    assert node.stats.max == pytest.approx(y.data.max(), rel=1e-6)
    assert node.stats.mean == pytest.approx(y.data.mean(), rel=1e-5)
    assert node.kept == x.data.nbytes


REDUCED = [
    (lambda x: x.sum(), 21.0),
    (lambda x: x.mean(axis=None), 3.5),
    (lambda x: x.max(), 6.0),
    (lambda x: mt.prod(x), 720.0),
    (lambda x: x.var(), 35 / 12),
    (lambda x: mt.norm(x), 91**0.5),
]


@pytest.mark.parametrize(("f", "expected"), REDUCED)
def test_no_axis_is_an_argument_like_another(f, expected):
    """A None that was given is no gap: of 1 to 6, all reductions are computed again."""
    x = mt.tensor(np.arange(1.0, 7.0), requires_grad=True)
    nodes = record(f(x * 1.0) + 1.0, {"x": x}).nodes

    assert [node.data for node in nodes if node.op][1] == pytest.approx(expected)


def test_an_array_that_no_rule_reads_is_a_gap():
    """x + array keeps neither: what follows is not known, and nothing is computed from a None in its place."""
    x = mt.tensor(np.arange(6.0), requires_grad=True)
    nodes = record((x + np.ones(6)).sum() * 2.0, {"x": x}).nodes

    assert [(node.stats, node.data) for node in nodes if node.op] == [(None, None), (None, None), (None, 42.0)]


def test_a_parameter_that_has_changed_is_not_used_to_compute_values_again():
    """Its node shows the value it has; the sum it was part of is not known any more."""
    b = mt.tensor(np.ones(6), requires_grad=True)
    y = b + 1.0
    z = (y + b).sum()
    with mt.no_grad():
        b *= 10.0
    graph = record(z, {"b": b})

    assert named(graph)["b"].stats.mean == 10
    assert [node.stats for node in graph.nodes if node.op == "add"] == [None, None]


def test_the_bytes_an_operation_keeps_are_counted_once():
    """x**2 * x: multiply keeps its first argument and x, which is the leaf's own memory; the product keeps no copy."""
    x = mt.tensor(np.ones(10), requires_grad=True)
    y = mt.exp(x)
    graph = record((y * y).sum())

    assert [(node.op, node.kept) for node in graph.nodes if node.op] == [("exp", 80), ("multiply", 0), ("sum", 0)]


FLOPS = [
    (lambda x: x + x, 12),
    (lambda x: mt.exp(x), 12),
    (lambda x: x.reshape(4, 3), 0),
    (lambda x: x.sum(axis=0), 12),
    (lambda x: mt.log_softmax(x), 5 * 12),  # the largest, a difference, exp, the sum, a difference
    (lambda x: x @ np.ones((4, 5)), 2 * 3 * 4 * 5),
    (lambda x: mt.inner(x, np.ones((7, 4))), 2 * 3 * 4 * 7),
    (lambda x: mt.linear(x, np.ones((7, 4)), np.ones(7)), 2 * 3 * 4 * 7 + 3 * 7),
    (lambda x: mt.einsum("ij,kj->ik", x, np.ones((7, 4))), 2 * 3 * 4 * 7),
    (lambda x: mt.matmul(np.ones((6, 2, 3)), x), 6 * 2 * 2 * 3 * 4),
]


@pytest.mark.parametrize(("f", "expected"), FLOPS)
def test_floating_point_operations_are_counted(f, expected):
    """Of x with shape (3, 4): two for every product of a contraction, none for views, else some for every element."""
    assert record(f(mt.tensor(np.ones((3, 4)), requires_grad=True))).nodes[-1].flops == expected


def test_every_operation_of_the_tables_has_a_count():
    """Those with rules; an operation of one's own has none."""
    from mytorch.autograd.ops import TABLE
    from mytorch.viz.facts import CONTRACTIONS, EACH, FREE, READ

    assert set(TABLE) == FREE | set(EACH) | set(READ) | set(CONTRACTIONS) | {"einsum"}


# ----- backward -----


def test_gradients_are_shown_after_a_backward():
    """f = sum((2 x)**2): those of the leaf, and of what is between, as backward would have found them."""
    x = mt.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    f = (y * y).sum()
    f.backward(retain_graph=True)
    nodes = record(f, {"x": x, "y": y}).nodes

    assert {node.name or node.op: node.grad for node in nodes if node.op or node.kind == "leaf"} == {
        "x": (8.0, 16.0),
        "y": (4.0, 8.0),
        "multiply": (1.0, 1.0),
        "sum": 1.0,
    }


def test_gradients_are_shown_before_a_backward_if_asked_for():
    """gradients=True runs one, and changes neither grad nor the graph; without, nothing is shown."""
    x = mt.tensor([1.0, 2.0], requires_grad=True)
    f = (x * x).sum()
    v = mt.Value(3.0)
    g = v * v

    assert named(record(f, {"x": x}))["x"].grad is None
    assert named(record(f, {"x": x}, gradients=True))["x"].grad == (2.0, 4.0)
    assert named(record(g, {"v": v}, gradients=True))["v"].grad == 6.0
    assert x.grad is None and v.grad == g.grad == 0
    f.backward()
    np.testing.assert_array_equal(x.grad.data, [2, 4])


def test_a_gradient_may_start_from_an_array():
    """As in backward(gradient); wrong shapes are told."""
    x = mt.tensor([1.0, 2.0], requires_grad=True)

    assert named(record(x * 3, {"x": x}, gradients=[1.0, 10.0]))["x"].grad == (3.0, 30.0)
    with pytest.raises(ValueError, match="shape"):
        record(x * 3, gradients=[1.0])


def test_gradients_add_up_in_a_leaf():
    """Two backward passes: the leaf shows its grad, the sum of both."""
    x = mt.tensor([1.0, 2.0], requires_grad=True)
    f = (x * x).sum()
    f.backward(retain_graph=True)
    f.backward(retain_graph=True)

    assert named(record(f, {"x": x}))["x"].grad == (4.0, 8.0)


def test_an_edge_knows_the_gradient_that_flows_along_it():
    """f = sum(a b) + sum(a): b to the product, 1 to the sum; an array that gets none has no flow."""
    a, b = mt.tensor([1.0, 2.0], requires_grad=True), mt.tensor([3.0, 4.0])
    graph = record((a * b).sum() + a.sum(), {"a": a, "b": b}, gradients=True)
    name = {node.key: node.op or node.name for node in graph.nodes}
    flows = {(name[e.source], name[e.target]): e.flow for e in graph.edges if e.source in ("n1", "n2")}

    assert flows == {("a", "multiply"): 5.0, ("b", "multiply"): None, ("a", "sum"): pytest.approx(np.sqrt(2))}


def test_edges_are_as_thick_as_what_flows():
    """A tenth is thinner by a fixed step, zero is the thinnest, nan the thickest, nothing known is usual."""
    assert width(1.0, 1.0) > width(0.1, 1.0) > width(0.01, 1.0) > width(0.0, 1.0) > 0
    assert width(1.0, 1.0) - width(0.1, 1.0) == pytest.approx(width(0.1, 1.0) - width(0.01, 1.0))
    assert width(float("nan"), 1.0) == width(1.0, 1.0)
    assert width(None, 1.0) == 1


# ----- what is wrong -----


def marks(value, **options):
    return {node.name or node.op: node.marks for node in record(value, **options).nodes if node.marks}


@pytest.mark.filterwarnings("ignore:.*(log|divide|overflow)")
def test_the_first_operation_that_makes_a_nan_is_marked():
    """Not those after it, which read one."""
    x = mt.tensor([-1.0, 1.0, 2.0, 3.0, 4.0], requires_grad=True)
    with np.errstate(invalid="ignore", over="ignore"):
        assert marks((mt.log(x) * 2).sum()) == {"log": ("makes nan",)}
        assert marks(mt.exp(x * 1000).sum()) == {"exp": ("makes inf",)}


def test_a_value_that_makes_an_infinity_is_marked():
    """The scalar carrier as well."""
    x = mt.Value(1e308)

    assert marks(x + x + 1) == {"add": ("makes inf",)}


def test_a_rule_that_makes_an_infinite_gradient_is_marked():
    """sqrt at 0, in the middle of a chain."""
    x = mt.tensor(np.zeros(5), requires_grad=True)

    assert marks(mt.sqrt(x * 2).sum(), params={"x": x}, gradients=True)["sqrt"] == ("makes nan or inf of its gradient",)


def test_dead_units_are_marked():
    """relu of columns that are all below 0 passes nothing: two of three; or of all, and then all before is dead."""
    x = mt.tensor([[1.0, -1.0, -2.0], [2.0, -3.0, -1.0]], requires_grad=True)

    assert marks(mt.relu(x + 0.5).sum(), gradients=True) == {"add": ("2 of 3 units dead",)}
    assert marks(mt.relu(x - 5).sum(), gradients=True) == {"leaf 1": ("dead",), "subtract": ("dead",)}


def test_vanishing_and_exploding_paths_are_marked():
    """Below 1e-4 and above 1e4 times the gradient of the root; whatever that is."""
    x = mt.tensor(1.0, requires_grad=True)
    small, large = (x * 1e-3) * 1e-3, (x * 1e3) * 1e3

    assert marks(small, params={"x": x}, gradients=True) == {"x": ("vanishing",)}
    assert marks(large, params={"x": x}, gradients=True) == {"x": ("exploding",)}
    assert marks(large, params={"x": x}, gradients=1e-9) == {"x": ("exploding",)}


def test_what_is_wrong_is_told_in_words_and_by_the_outline():
    """Never by a colour alone."""
    x = mt.tensor([[1.0, -1.0], [2.0, -3.0]], requires_grad=True)
    source = viz.graph(mt.relu(x + 0.5).sum(), gradients=True).source
    line = next(line for line in source.splitlines() if "<B>add</B>" in line)

    assert "<B>! 1 of 2 units dead</B>" in line
    assert 'penwidth="3"' in line


# ----- as text -----


def test_what_is_written_can_be_chosen():
    """show=(): names alone; on hover there is everything."""
    x = mt.tensor(np.ones((2, 4)), requires_grad=True)
    f = mt.tanh(x).sum()
    f.backward(retain_graph=True)
    node = named(record(f))["tanh"]

    assert list(lines(node, ())) == ["tanh"]
    assert list(lines(node)) == ["tanh", "(2, 4) float64", "all 0.762", "grad norm 2.83"]
    assert list(lines(node, viz.SHOW)) == [*lines(node), "keeps 64 bytes, 8 FLOP"]
    assert set(lines(node, viz.SHOW)) < set(hover(node))
