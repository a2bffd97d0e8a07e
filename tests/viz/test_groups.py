"""Which nodes belong together: modules, lines and scalars, counted by hand."""

import copy
import pickle
import threading

import numpy as np
import pytest

import mytorch as mt
from mytorch import nn, viz
from mytorch.viz.record import record


def inside(graph):
    """{name of a group: (its detail, the name of the group around it, what is directly in it)}"""
    names = {group.key: group.name for group in graph.groups} | {None: None}
    return {
        group.name: (names[group.parent], [node.op or node.name for node in graph.nodes if node.group == group.key])
        for group in graph.groups
    }


def mlp():
    model = nn.Sequential(nn.Linear(4, 8, rng=0), nn.Tanh(), nn.Linear(8, 3, rng=1))
    x = mt.tensor(np.ones((5, 4), np.float32))
    return model, x, model(x).sum()


def test_operations_are_in_the_module_whose_call_made_them():
    """Two linear layers and a tanh in a Sequential; the sum after the call is in none, the parameters are inside."""
    model, x, loss = mlp()
    graph = record(loss, {"model": model, "x": x})

    assert inside(graph) == {
        "model": (None, []),
        "model.0": ("model", ["model.0.weight", "model.0.bias", "linear"]),
        "model.1": ("model", ["tanh"]),
        "model.2": ("model", ["model.2.weight", "model.2.bias", "linear"]),
    }
    assert [node.op or node.name for node in graph.nodes if node.group is None] == ["x", "sum"]


def test_a_group_knows_its_sums():
    """Operations, parameters, bytes kept and floating-point operations of all that is in it."""
    model, _, loss = mlp()
    groups = {group.name: group for group in record(loss, model).groups}

    assert [groups[name].operations for name in ("Sequential", "0", "1", "2")] == [3, 1, 1, 1]
    assert [groups[name].parameters for name in ("Sequential", "0", "1", "2")] == [67, 40, 0, 27]
    assert groups["0"].flops == 2 * 5 * 8 * 4 + 5 * 8
    assert groups["0"].kept == 5 * 4 * 4  # the input, read by the rule of the weight
    assert groups["1"].kept == 5 * 8 * 4  # the answer of tanh, which the next layer keeps too


def test_a_module_called_twice_is_two_groups():
    """Shared weights are one node, outside both."""
    layer = nn.Linear(4, 4, rng=0)
    y = layer(layer(mt.tensor(np.ones((2, 4), np.float32)))).sum()
    graph = record(y, {"layer": layer})

    assert [(group.name, group.operations) for group in graph.groups] == [("layer", 1), ("layer", 1)]
    assert [node.group for node in graph.nodes if node.kind == "leaf"] == [None, None]


def test_other_models_are_no_groups():
    """Only the modules of params, and only what they were called for."""
    model, x, loss = mlp()
    model(x)
    other = nn.Linear(2, 2)

    assert record(loss, other, level="operation").groups == record(loss, {"x": x}).groups == ()
    assert len(record(loss, model).groups) == 4
    with pytest.raises(ValueError, match="no module is known to have made these operations"):
        record(loss, other, level="module")


def test_the_calls_are_no_part_of_a_module():
    """Calling a module changes neither its attributes nor its state, copies or pickle."""
    model, x, _ = mlp()
    before = dict(vars(model)), pickle.dumps(model)
    model(x)

    assert (dict(vars(model)), pickle.dumps(model)) == before
    assert vars(copy.deepcopy(model)).keys() == vars(model).keys()


def test_operations_of_a_line_are_a_group():
    """Under watch; a line's text is its detail, and a node knows file and line."""
    a = mt.tensor([1.0, 2.0], requires_grad=True)
    with viz.watch():
        b = a * a + 1
        loss = mt.exp(b).sum()
    graph = record(loss, level="line")

    assert [group.detail for group in graph.groups] == ["b = a * a + 1", "loss = mt.exp(b).sum()"]
    assert [ops for _, ops in inside(graph).values()] == [["leaf 1", "multiply", None, "add"], ["exp", "sum"]]
    first, second = (group.name for group in graph.groups)
    assert first.startswith("test_groups.py:") and int(second.partition(":")[2]) == int(first.partition(":")[2]) + 1
    assert {node.where for node in graph.nodes} == {None, first, second}


def test_values_know_their_lines_too():
    """The scalar carrier is watched as well."""
    with viz.watch():
        y = mt.Value(2.0).tanh()

    assert record(y).nodes[-1].where.startswith("test_groups.py:")


def test_watch_notes_every_answer():
    """Sums, of which no rule reads the answer, have statistics; and none outside the block."""
    x = mt.tensor(np.arange(6.0), requires_grad=True)
    with viz.watch():
        watched = (x + 1) + 2
    plain = (x + 1) + 2

    assert [node.stats and node.stats.max for node in record(watched).nodes if node.op] == [6.0, 8.0]
    assert [node.stats and node.stats.max for node in record(plain).nodes if node.op] == [None, 8.0]
    assert [node.where for node in record(plain).nodes if node.op] == [None, None]


def test_watch_is_of_one_thread_and_ends_with_its_block():
    """Another thread's operations note nothing; an exception ends the block as well; blocks nest."""
    seen = []

    def work():
        seen.append(record(mt.Value(1.0).exp()).nodes[-1].where)

    with pytest.raises(ZeroDivisionError), viz.watch():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        with viz.watch():
            pass
        seen.append(record(mt.Value(1.0).exp()).nodes[-1].where)
        mt.Value(1.0) / 0
    seen.append(record(mt.Value(1.0).exp()).nodes[-1].where)

    assert seen[0] is seen[2] is None
    assert seen[1].startswith("test_groups.py:")


def test_what_is_watched_differentiates_as_ever():
    """To second order, on both carriers."""
    x, v = mt.tensor([1.0, 2.0], requires_grad=True), mt.Value(2.0)
    with viz.watch():
        (x**3).sum().backward()
        (v * v).backward()
        hessian = mt.hessian(lambda x: (x**3).sum())(np.array([1.0, 2.0]))

    np.testing.assert_allclose(x.grad.data, [3, 12])
    np.testing.assert_allclose(hessian, np.diag([6, 12]))
    assert v.grad == 4


def test_scalars_are_drawn_as_boxes_between_operations():
    """a b + 1: the numbers are boxes, the operations signs, and every operation has one arrow to its answer."""
    a, b = mt.Value(2.0), mt.Value(-3.0)
    f = a * b + 1
    f.backward(retain_graph=True)
    graph = record(f, {"a": a, "b": b, "f": f}, level="scalar")

    assert [(node.kind, node.op or node.name, node.data, node.grad) for node in graph.nodes] == [
        ("leaf", "a", 2.0, -3.0),
        ("leaf", "b", -3.0, 2.0),
        ("operation", "×", None, None),
        ("value", None, -6.0, 1.0),
        ("constant", None, 1.0, None),
        ("operation", "+", None, None),
        ("value", "f", -5.0, 1.0),
    ]
    assert [(edge.source, edge.target) for edge in graph.edges] == [
        ("n1", "n3"), ("n2", "n3"), ("n3", "n3v"), ("n3v", "n5"), ("n4", "n5"), ("n5", "n5v"),
    ]  # fmt: skip
    assert graph.root == "n5v"
