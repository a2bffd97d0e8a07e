"""trace: the steps of a backward pass, counted by hand, and the pictures that show them."""

import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

import mytorch as mt
from mytorch import viz
from mytorch.autograd import defvjp, primitive
from mytorch.viz.trace import formula

SVG = "{http://www.w3.org/2000/svg}"


def neuron():
    w, v, b = mt.Value(-3.0), mt.Value(2.0), mt.Value(7.0)
    return v * w + b + v, {"w": w, "v": v, "b": b}


def test_the_steps_are_those_of_the_backward_pass():
    """v w + b + v: the youngest first; v gets something twice."""
    steps = viz.trace(*neuron()).steps

    assert [(step.name, step.gradient) for step in steps] == [("add", 1.0), ("add", 1.0), ("multiply", 1.0)]
    sends = [[(s.name, s.argument, s.rule, s.sent, s.before, s.after) for s in step.sends] for step in steps]
    assert sends == [
        [("add", "x", "g", 1.0, None, 1.0), ("v", "y", "g", 1.0, None, 1.0)],
        [("multiply", "x", "g", 1.0, None, 1.0), ("b", "y", "g", 1.0, None, 1.0)],
        [("v", "x", "g * y", -3.0, 1.0, -2.0), ("w", "y", "g * x", 2.0, None, 2.0)],
    ]


def test_the_last_gradients_are_those_of_backward():
    """Of a network, whose leaves are told."""
    x = mt.tensor([[1.0, 2.0]], requires_grad=True)
    w = mt.tensor([[0.5, -0.5]], requires_grad=True)
    loss = (mt.tanh(mt.inner(x, w)) + x.sum()).mean()
    trace = viz.trace(loss, {"x": x, "w": w})
    last = {send.name: send.after for step in trace for send in step.sends}
    loss.backward()

    np.testing.assert_allclose(last["x"], x.grad.data)
    np.testing.assert_allclose(last["w"], w.grad.data)
    assert [step.name for step in trace] == ["mean", "add", "sum", "tanh", "inner"]


def test_nothing_is_changed():
    """Neither gradients nor the graph."""
    out, names = neuron()
    viz.trace(out, names)

    assert [v.grad for v in names.values()] == [0, 0, 0]
    out.backward()
    assert names["v"].grad == -2


def test_formulas_are_those_of_the_page_of_rules():
    """For the operations of the tables; those of the page are tested to be true."""
    assert formula(mt.tanh.op, 0) == ("x", "g * (1 - ans * ans)")
    assert formula(mt.matmul.op, 1) == ("y", "x.T @ g")


def test_a_rule_of_ones_own_is_told_as_it_stands():
    """The expression of a lambda, of several on a line the right one; a function by its call."""

    @primitive
    def twice(x, y, z):
        return 2 * x + y + z

    def third(g, ans, x, y, z):
        return g

    defvjp(twice, lambda g, ans, x, y, z: 2 * g, lambda g, ans, x, y, z: g + 0 * y, third)

    assert [formula(twice.op, i) for i in range(3)] == [
        ("x", "2 * g"), ("y", "g + 0 * y"), ("z", "third(g, ans, x, y, z)"),
    ]  # fmt: skip


def test_a_rule_without_a_source_is_told_too():
    """As those of a console."""
    rule = eval("lambda g, ans, x: g")
    f = primitive(lambda x: x)
    defvjp(f, rule)

    assert formula(f.op, 0) == ("x", "a rule whose source is not known")


# ----- pictures -----


def texts(svg):
    return ["".join(e.itertext()).strip() for e in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("level", ["operation", "scalar"])
def test_the_moving_picture_holds_every_gradient_and_every_step(level):
    """Each value that a gradient has is a text, and so is each line of each step; the colour marks what fires."""
    out, names = neuron()
    trace = viz.trace(out, names, level=level)
    svg = trace._repr_svg_()
    told = texts(svg.encode())

    assert {"grad 1", "grad -2", "grad 2"} <= set(told)
    for i, step in enumerate(trace.steps, 1):
        first, *others = str(step).splitlines()
        assert f"{i}/3  {first}" in told
        assert {line.strip() for line in others} <= set(told)
    assert svg.count('values="#666666;#D55E00;#666666"') >= 3
    assert svg == viz.trace(out, names, level=level)._repr_svg_()


def test_times_of_the_moving_picture_are_in_order():
    """SMIL ignores an animation whose key times are not, or not as many as its values; the first is 0."""
    out, names = neuron()
    for values, times in re.findall(r'values="([^"]*)" keyTimes="([^"]*)"', viz.trace(out, names)._repr_svg_()):
        numbers = [float(time) for time in times.split(";")]
        assert numbers[0] == 0
        assert numbers == sorted(set(numbers)) and numbers[-1] < 1
        assert len(numbers) == len(values.split(";"))


def test_a_picture_that_does_not_move_shows_the_end():
    """Where SVG is not animated, and in a .png: the last gradients and the last step."""
    out, names = neuron()
    root = ElementTree.fromstring(viz.trace(out, names)._repr_svg_())
    parents = {child: parent for parent in root.iter() for child in parent}
    shown = []
    for text in root.iter(f"{SVG}text"):
        hidden = "hidden" in (text.get("visibility"), parents[text].get("visibility"))
        shown += [] if hidden else ["".join(text.itertext()).strip()]

    assert "grad -2" in shown and "grad 1" in shown
    assert any(line.startswith("3/3") for line in shown) and not any(line.startswith("1/3") for line in shown)


@pytest.mark.parametrize("suffix", [".svg", ".html", ".png", ".pdf", ".dot"])
def test_a_trace_is_rendered_as_any_picture(suffix, tmp_path):
    """To the same bytes each time."""
    trace = viz.trace(*neuron())
    paths = [viz.render(trace, tmp_path / f"{name}{suffix}") for name in "ab"]

    assert paths[0].read_bytes() == paths[1].read_bytes() != b""


def test_the_page_stands_alone():
    """No address but that of SVG's names; every step is in it."""
    page = viz.trace(*neuron()).page()

    assert set(re.findall(r"https?://[^\s\"']+", page)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert page.count("<li ") == 3
    assert "src=" not in page and "@import" not in page


def test_without_any_graphviz_it_moves_as_well(monkeypatch):
    """In the layout of this project's own."""
    monkeypatch.setattr(sys.modules["mytorch.viz.render"], "available", lambda: None)
    told = texts(viz.trace(*neuron())._repr_svg_())

    assert {"grad 1", "grad -2", "grad 2"} <= set(told)


def test_what_cannot_be_traced_is_told():
    """In one sentence each."""
    x = mt.tensor([1.0, 2.0], requires_grad=True)
    v = mt.Value(1.0)
    for _ in range(300):
        v = v.sin()

    with pytest.raises(ValueError, match=r"trace: a backward pass starts from one number, this .* \(2,\)"):
        viz.trace(x * 2)
    with pytest.raises(ValueError, match="trace: 300 operations are too many to follow"):
        viz.trace(v)
    with pytest.raises(TypeError, match="this is of type int"):
        viz.trace(1)


def test_the_example_of_three_stages_runs(tmp_path):
    """It prints its pages' paths and writes them."""
    from pathlib import Path

    program = Path(__file__).parents[2] / "examples" / "three_stages.py"
    run = subprocess.run([sys.executable, program, tmp_path / "a.html"], capture_output=True, text=True, check=True)

    assert (tmp_path / "a.html").stat().st_size and "a.html" in run.stdout
