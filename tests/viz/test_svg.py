"""Pictures as SVG without any Graphviz."""

import importlib
import sys
from importlib import metadata
from xml.etree import ElementTree

import numpy as np
import pytest
from pictures import KEPT, plain

import mytorch as mt
from mytorch import nn, viz
from mytorch.viz.data import Edge, Graph, Group, Node
from mytorch.viz.scene import text_width
from mytorch.viz.svg import curve, svg

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(params=["with the graphviz package", "without it"])
def bare(request, tmp_path, monkeypatch):
    """A machine with neither a dot nor the wheel with one, with and without the package that would call it."""

    def files(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(metadata, "files", files)
    if request.param == "without it":
        monkeypatch.setitem(sys.modules, "graphviz", None)
        monkeypatch.delitem(sys.modules, "mytorch.viz.digraph", raising=False)


def loss():
    """The loss of a small network, and the model."""
    model = nn.Sequential(nn.Linear(4, 3, rng=0), nn.Tanh(), nn.Linear(3, 2, rng=0))
    return nn.CrossEntropyLoss()(model(mt.tensor(np.ones((5, 4)), dtype=np.float32)), np.zeros(5, int)), model


def texts(root):
    return [element.text for element in root.iter(f"{SVG}text")]


def test_a_bare_machine_still_draws(bare, tmp_path):
    """.svg and .html come, and a notebook's picture; the .svg says that there are better ones. The rest is an error."""
    value, model = loss()
    root = ElementTree.fromstring(viz.render(value, tmp_path / "a.svg", params=model).read_text())

    assert {"0.weight", "tanh", "(5, 3) float32"} <= set(texts(root))
    assert any("plain layout; install Graphviz for a better one" in text for text in texts(root))
    assert viz.render(value, tmp_path / "a.html", params=model).read_text().startswith("<!doctype html>")
    assert set(viz.graph(value, model)._repr_mimebundle_()) == {"image/svg+xml", "text/html"}
    for suffix in ("png", "pdf"):
        with pytest.raises(ImportError, match=r"pip install 'mytorch-autograd\[viz\]'"):
            viz.render(value, tmp_path / f"a.{suffix}", params=model)


def test_all_that_a_graph_holds_is_in_the_picture():
    """Names that are markup, marks, labels of edges, counts, notes; hover texts; dashes for what is carried."""
    strange = "a<b> & \"c\" 'β'"
    nodes = (
        Node("n1", "leaf", name=strange, shape=(2, 3), dtype="float64"),
        Node("n2", "operation", op="subtract", group="g1", marks=("nan",), count=3, where="f.py:7"),
        Node("n3", "group", name="inner", inside=Group("g2", "module", "inner", operations=5)),
    )
    edges = (
        Edge("n1", "n2", 0, share=0.37),
        Edge("n1", "n2", 1, flow=2.0),
        Edge("n2", "n3", 0),
        Edge("n3", "n2", 0, carried=True),
    )
    text = svg(Graph(nodes, edges, "n3", (Group("g1", "repeat", "layer", count=12),), ("12 folded",)))
    root = ElementTree.fromstring(text)
    titles = "\n".join(element.text for element in root.iter(f"{SVG}title"))

    assert {strange, "(2, 3) float64", "subtract ×3", "! nan", "layer ×12", "inner", "5 operations"} <= set(texts(root))
    assert {"1st, 37 %", "2nd", "12 folded"} <= set(texts(root))
    assert "f.py:7" in titles and "gradient norm 2" in titles
    assert sum("stroke-dasharray" in path.attrib for path in root.iter(f"{SVG}path")) == 1


@pytest.mark.parametrize("direction", ["TB", "LR"])
def test_no_text_is_clipped(direction):
    """Every text is as wide as it says, and lies inside its box; every box inside the picture."""
    value, model = loss()
    root = ElementTree.fromstring(svg(viz.record(value, model), direction))
    width, height = float(root.get("width")), float(root.get("height"))

    for group in root.findall(f"{SVG}g/{SVG}g[@id]"):
        rect = group.find(f"{SVG}rect")
        left, top, wide, high = (float(rect.get(name)) for name in ("x", "y", "width", "height"))
        assert left >= 0 and top >= 0 and left + wide <= width and top + high <= height
        for text in group.findall(f"{SVG}text"):
            half = text_width(text.text, int(text.get("font-size")), text.get("font-weight") == "bold") / 2
            assert left <= float(text.get("x")) - half and float(text.get("x")) + half <= left + wide
            assert top + 5 < float(text.get("y")) < top + high


def test_text_is_measured_as_in_helvetica():
    """By the numbers of its metrics file; unknown characters are taken for wide ones."""
    assert text_width("Wi", 10) == pytest.approx(9.44 + 2.22)
    assert text_width("Wi", 10, bold=True) == pytest.approx(9.44 + 2.78)
    assert text_width("×…", 10) == pytest.approx(5.84 + 10)
    assert text_width("名β", 10) >= 15


@pytest.mark.parametrize("name", plain())
def test_the_picture_is_the_one_that_is_kept(name):
    """Byte for byte: with modules, with what repeats, from left to right."""
    assert plain()[name] == (KEPT / name).read_text(encoding="utf-8")


def test_the_same_graph_gives_the_same_bytes():
    """Also when it is built later."""
    assert svg(viz.record(*loss())) == svg(viz.record(*loss()))


def test_a_path_leaves_and_enters_upright():
    """Lines where it goes straight, else curves with upright ends; level ones from left to right."""
    assert curve([(0, 0), (0, 5), (10, 9)]) == "M0 0L0 5C0 7 10 7 10 9"
    assert curve([(0, 0), (10, 8)], "LR") == "M0 0C5 0 5 8 10 8"


def test_it_needs_no_drawing_package():
    """Neither graphviz nor matplotlib is imported."""
    assert not {"graphviz", "matplotlib"} & set(vars(importlib.import_module("mytorch.viz.svg")))
