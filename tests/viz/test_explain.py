"""explain: shares of a gradient, counted by hand and summed."""

import math

import numpy as np
import pytest

import mytorch as mt
from mytorch import nn, viz


def shares(picture):
    """{text of a path: the sum of the shares of those that read so}"""
    found = {}
    for path in picture.paths:
        found[path.text] = found.get(path.text, 0) + path.share
    return found


def test_the_paths_of_a_polynomial():
    """x x + x at 3: the derivative 7 is 3 by each factor and 1 by the sum."""
    x = mt.Value(3.0)
    picture = viz.explain(x * x + x, x, {"x": x})

    assert shares(picture) == pytest.approx({"x → multiply → add": 6 / 7, "x → add": 1 / 7})
    assert [path.gradient for path in picture.paths] == [3, 3, 1]
    assert picture.gradient == 7


def test_only_what_leads_from_the_one_to_the_other_is_shown():
    """Not b, nor what is computed from it alone; every edge has its share."""
    a, b = mt.Value(2.0), mt.Value(-3.0)
    graph = viz.explain(a * b.exp() + a * 5, a, {"a": a, "b": b}).graph
    names = {node.key: node.name or node.op for node in graph.nodes}
    total = math.exp(-3) + 5
    edges = [(names[e.source], names[e.target], e.share) for e in graph.edges]

    assert list(names.values()) == ["a", "multiply", "multiply", "add"]
    assert [edge[:2] for edge in edges] == [("a", "multiply")] * 2 + [("multiply", "add")] * 2
    assert [edge[2] for edge in edges] == pytest.approx([math.exp(-3) / total, 5 / total] * 2)


def network(dtype):
    model = nn.Sequential(nn.Linear(4, 6, rng=0), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3, rng=1)).to(dtype)
    x = mt.tensor(np.random.default_rng(0).normal(size=(8, 4)), dtype=dtype)
    return model, nn.CrossEntropyLoss()(model(x), np.arange(8) % 3)


def recurrence(dtype):
    w = mt.tensor(np.random.default_rng(1).normal(size=(3, 3)), dtype=dtype, requires_grad=True)
    h = mt.tensor(np.random.default_rng(2).normal(size=(2, 3)), dtype=dtype)
    for _ in range(5):
        h = mt.tanh(h @ w)
    return w, (mt.concatenate([h, h * h]) * h.sum()).sum()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("most", [1, 2, 7, 100])
def test_shares_sum_to_the_gradient(dtype, most):
    """To rtol 1e-9, in float32 too: of paths, however many are listed, and their parts; and what is left is counted."""
    w, loss = recurrence(dtype)
    picture = viz.explain(loss, w, most=most)
    loss.backward()

    assert len(picture.paths) <= max(most, 1)
    assert math.fsum(path.share for path in picture.paths) == pytest.approx(1, rel=1e-9)
    np.testing.assert_allclose(sum(path.gradient for path in picture.paths), picture.gradient, rtol=1e-9)
    np.testing.assert_allclose(picture.gradient, w.grad.data, rtol=1e-12 if dtype is np.float64 else 1e-4)
    assert sum(path.count for path in picture.paths) == 4 * 5


@pytest.mark.parametrize("name", ["0.weight", "1.weight", "1.bias", "3.bias"])
def test_what_flows_into_a_node_flows_out_of_it(name):
    """Every node between parameter and loss, of a network with batch norm: the shares of its edges sum to its own."""
    model, loss = network(np.float64)
    graph = viz.explain(loss, dict(model.named_parameters())[name], model, limit=1000).graph
    first = next(node.key for node in graph.nodes if node.name == name)

    for node in graph.nodes:
        into = [edge.share for edge in graph.edges if edge.target == node.key]
        out = [edge.share for edge in graph.edges if edge.source == node.key]
        if node.key == first:
            assert node.share == pytest.approx(1, rel=1e-9)
        else:
            assert math.fsum(into) == pytest.approx(node.share, rel=1e-7, abs=1e-9)
        if node.key != graph.root:
            assert math.fsum(out) == pytest.approx(node.share, rel=1e-7, abs=1e-9)


def test_paths_may_work_against_each_other():
    """x - 0.5 x: a share of 2 and one of -1."""
    x = mt.Value(4.0)

    assert sorted(shares(viz.explain(x - x * 0.5, x, {"x": x})).values()) == pytest.approx([-1, 2])


def test_a_computed_tensor_can_be_explained():
    """wrt need not be a leaf."""
    x = mt.tensor([1.0, 2.0], requires_grad=True)
    y = mt.exp(x)
    picture = viz.explain((y * y + y).sum(), y, {"y": y})

    np.testing.assert_allclose(picture.gradient, 2 * np.exp([1, 2]) + 1)
    assert math.fsum(path.share for path in picture.paths) == pytest.approx(1)
    assert picture.graph.nodes[0].name == "y"


def test_singular_points_that_are_not_used_have_no_share():
    """where(x > 0, log x, x) at 0 and 1: nothing flows through the logarithm of 0."""
    x = mt.tensor([0.0, 1.0], requires_grad=True)
    with np.errstate(divide="ignore"):
        picture = viz.explain(mt.where(x.data > 0, mt.log(x), x).sum(), x, {"x": x})

    assert shares(picture) == pytest.approx({"x → log → where → sum": 0.5, "x → where → sum": 0.5})
    assert all(np.isfinite(edge.share) for edge in picture.graph.edges)


def test_a_gradient_of_zero_has_no_shares():
    """Nothing divided by nothing is not told as a number."""
    x = mt.tensor([1.0, 2.0], requires_grad=True)
    picture = viz.explain((x * 0.0).sum(), x)

    assert [path.share for path in picture.paths] == [0]


def test_a_great_many_paths_are_counted_and_not_walked():
    """2**60 of them."""
    x = mt.Value(1.0)
    y = x
    for _ in range(60):
        y = y * 0.5 + y * 0.5
    picture = viz.explain(y, x, {"x": x})

    assert sum(path.count for path in picture.paths) == 2**60
    assert math.fsum(path.share for path in picture.paths) == pytest.approx(1, rel=1e-9)
    assert picture.graph.notes[0] == f"{2**60:,} paths from x to add"


def test_nothing_is_changed():
    """Neither gradients nor the graph, which differentiates as before."""
    w, loss = recurrence(np.float32)
    viz.explain(loss, w)

    assert w.grad is None
    loss.backward()
    assert w.grad.dtype == np.float32


def test_what_cannot_be_explained_is_told():
    """In one sentence each."""
    x, other = mt.tensor([1.0, 2.0], requires_grad=True), mt.tensor(1.0, requires_grad=True)

    with pytest.raises(ValueError, match=r"explain: a gradient starts from one number, this tensor has shape \(2,\)"):
        viz.explain(x * 2, x)
    with pytest.raises(ValueError, match="explain: `loss` was not computed from `wrt`"):
        viz.explain(x.sum(), other)
    with pytest.raises(RuntimeError, match="explain: this tensor does not require grad"):
        viz.explain(x.sum(), mt.tensor(1.0))
    with pytest.raises(TypeError, match="this is of type str"):
        viz.explain(x.sum(), "x")
