"""Computation graphs, counted by hand."""

import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

import mytorch as mt
from mytorch import viz
from mytorch.viz.fold import spread
from mytorch.viz.record import record


def titles(graph):
    """What each node is headed with, in order."""
    return [node.op or node.name or node.data for node in graph.nodes]


def kinds(graph):
    return [node.kind for node in graph.nodes]


def arrows(graph):
    """The edges as 'a -> add' strings, with numbers in front of operations and constants."""
    number = {node.key: node.name or f"{i}:{node.op or node.data}" for i, node in enumerate(graph.nodes)}
    return [f"{number[edge.source]} -> {number[edge.target]} {edge.argument}" for edge in graph.edges]


def leaf(*shape, dtype=np.float64):
    return mt.tensor(np.full(shape, 0.5, dtype), requires_grad=True)


def chain(n):
    x = mt.Value(0.5)
    for _ in range(n):
        x = x.sin()
    return x


# ----- what is recorded -----


def test_an_operation_is_a_node_and_an_argument_an_edge():
    """a b + tanh(a): two leaves, three operations, five edges; arguments stand before what reads them."""
    a, b = mt.Value(2.0), mt.Value(-3.0)
    graph = record(a * b + a.tanh(), {"a": a, "b": b})

    assert titles(graph) == ["a", "b", "multiply", "tanh", "add"]
    assert kinds(graph) == ["leaf", "leaf", "operation", "operation", "operation"]
    assert arrows(graph) == [
        "a -> 2:multiply 0",
        "b -> 2:multiply 1",
        "a -> 3:tanh 0",
        "2:multiply -> 4:add 0",
        "3:tanh -> 4:add 1",
    ]
    assert [node.key for node in graph.nodes] == ["n1", "n2", "n3", "n4", "n5"]
    assert graph.root == "n5"


def test_a_shared_expression_is_one_node():
    """y = exp(x) read twice by y * y and once by + y: one node and three edges out of it."""
    y = mt.exp(leaf(3))
    graph = record(y * y + y)

    assert titles(graph) == ["leaf 1", "exp", "multiply", "add"]
    assert arrows(graph) == [
        "leaf 1 -> 1:exp 0",
        "1:exp -> 2:multiply 0",
        "1:exp -> 2:multiply 1",
        "2:multiply -> 3:add 0",
        "1:exp -> 3:add 1",
    ]


def test_the_graph_of_a_network_names_its_parameters():
    """cross-entropy of a linear layer, written out: parameters, inputs, operations and the loss's value."""
    weight, bias = leaf(3, 4, dtype=np.float32), leaf(3, dtype=np.float32)
    x, y = mt.tensor(np.ones((5, 4), np.float32)), np.array([0, 1, 2, 0, 1])
    rows = np.arange(5)
    scores = mt.inner(x, weight) + bias
    loss = mt.mean(mt.log(mt.sum(mt.exp(scores), axis=1)) - scores[rows, y])
    graph = record(loss, {"weight": weight, "bias": bias, "x": x, "y": y})
    nodes = {node.op or node.name: node for node in graph.nodes}

    assert titles(graph) == [
        *("x", "weight", "inner", "bias", "add", "exp", "sum", "log"),
        *("input 1", "y", "getitem", "subtract", "mean"),
    ]
    assert [node.name for node in graph.nodes if node.kind == "input"] == ["x", "input 1", "y"]
    assert len(graph.edges) == 2 + 2 + 1 + 1 + 1 + 3 + 2 + 1
    assert (nodes["weight"].kind, nodes["weight"].shape, nodes["weight"].dtype) == ("leaf", (3, 4), "float32")
    assert (nodes["inner"].shape, nodes["inner"].dtype) == ((5, 3), "float32")
    assert (nodes["y"].shape, nodes["y"].dtype) == ((5,), "int64")
    assert nodes["sum"].detail == "axis=1"
    assert nodes["mean"].data == pytest.approx(np.log(3))  # equal scores


def test_a_module_names_its_parameters():
    """params takes a Module, the pairs of its named_parameters(), or a dict of them."""
    model = mt.nn.MLP(4, [5], 3, batch_norm=True, rng=0)
    loss = mt.nn.CrossEntropyLoss()(model(mt.tensor(np.eye(4), dtype=np.float32)), np.array([0, 1, 2, 0]))
    expected = [name for name, _ in model.named_parameters()]

    for params in (model, model.named_parameters(), dict(model.named_parameters())):
        leaves = [node.name for node in record(loss, params).nodes if node.kind == "leaf"]
        assert sorted(leaves) == sorted(expected)
    assert len(record(loss).nodes) == len(record(loss, model).nodes)


def test_a_computed_tensor_can_be_named():
    """The operation keeps its own name beside the one that is given."""
    hidden = mt.tanh(leaf(2))
    node = record(hidden.sum(), {"hidden": hidden}).nodes[1]

    assert (node.op, node.name) == ("tanh", "hidden")


def test_the_members_of_a_sequence_are_arguments():
    """concatenate reads three arrays, one of them a constant that it has not kept: three edges of argument 0."""
    a, b = leaf(2), leaf(3)
    graph = record(mt.concatenate([a, np.ones(4), b]), {"a": a, "b": b})

    assert kinds(graph) == ["leaf", "constant", "leaf", "operation"]
    assert arrows(graph) == ["a -> 3:concatenate 0", "1:None -> 3:concatenate 0", "b -> 3:concatenate 0"]
    assert graph.nodes[-1].detail == "axis=0"


def test_an_array_that_two_operations_read_is_one_input():
    """c a + tanh(c b): one node for c and two for the numbers 2, which are nobody's in common."""
    a, c = leaf(2), np.array([1.0, 2.0])
    graph = record(c * a + mt.tanh(c * a * 2) * 2)

    assert kinds(graph).count("input") == 1
    assert [node.data for node in graph.nodes if node.kind == "constant"] == [2, 2]
    assert sum(edge.source == "n1" for edge in graph.edges) == 2
    assert (graph.nodes[0].name, graph.nodes[0].shape) == ("input 1", (2,))


def test_what_no_rule_reads_is_a_constant_of_which_nothing_is_known():
    """x + 1 keeps neither: the sum still shows two arguments."""
    graph = record(leaf(2) + 1)

    assert kinds(graph) == ["leaf", "constant", "operation"]
    assert graph.nodes[1].data is graph.nodes[1].name is graph.nodes[1].shape is None


def test_numbers_are_shown_by_value():
    """Python's, numpy's and arrays without axes; a frozen parameter keeps its name."""
    rate = mt.tensor(0.25)
    graph = record(leaf(2) * 3 * np.float32(0.5) * np.array(4.0) * rate, {"rate": rate})
    constants = [node for node in graph.nodes if node.kind == "constant"]

    assert [node.data for node in constants] == [3, 0.5, 4.0, 0.25]
    assert [node.name for node in constants] == [None, None, None, "rate"]


def test_values_show_their_gradients():
    """f = a b + 2: after a backward every number knows df/d itself."""
    a, b = mt.Value(3.0), mt.Value(-4.0)
    f = a * b + 2
    f.backward(retain_graph=True)

    shown = [(node.name or node.op, node.data, node.grad) for node in record(f, {"a": a, "b": b}).nodes]
    assert shown == [
        ("a", 3.0, -4.0),
        ("b", -4.0, 3.0),
        ("multiply", -12.0, 1.0),
        (None, 2, None),
        ("add", -10.0, 1.0),
    ]


def test_a_gradient_that_is_recorded_has_a_graph():
    """d/dx sin(x) = cos(x) of the same leaf x, and so has the derivative of a Value."""
    x = leaf(2)
    mt.sin(x).sum().backward(create_graph=True)
    v = mt.Value(0.5)
    v.sin().backward(create_graph=True)

    for derivative, source in ((x.grad, x), (v.grad, v)):
        nodes = record(derivative, {"x": source}).nodes
        assert "cos" in [node.op for node in nodes]
        assert [node.name for node in nodes].count("x") == 1


@pytest.mark.parametrize(
    "f, detail",
    [
        (lambda x: mt.sum(x), ""),
        (lambda x: mt.sum(x, axis=-1, keepdims=True), "axis=-1, keepdims=True"),
        (lambda x: x.mean(axis=(0,)), "axis=(0,)"),
        (lambda x: mt.einsum("ij,kj->ik", x, x), "ij,kj->ik"),
        (lambda x: x[0, 1:], "[0, 1:]"),
        (lambda x: x[..., ::2], "[..., ::2]"),
        (lambda x: x[:, np.array([0, 2])], "[:, ·]"),
        (lambda x: x[np.array([True, False])], ""),
        (lambda x: x.reshape(3, 2), ""),
        (lambda x: x.transpose(1, 0), "axes=(1, 0)"),
        (lambda x: x.astype(np.float32), ""),
        (lambda x: mt.swapaxes(x, 0, 1), "axis1=0, axis2=1"),
        (lambda x: x[[0, 1] * 20], ""),  # too long to be shown
    ],
)
def test_other_arguments_are_told_in_short(f, detail):
    """Those that are not the default, that the shapes do not tell, and that are short."""
    assert record(f(leaf(2, 3))).nodes[-1].detail == detail


def test_an_operation_of_ones_own_is_shown_as_the_others():
    """Its name, its keyword arguments, and an array that it only looks up."""

    @mt.autograd.primitive
    def weigh(x, table, power=1):
        return x * table**power

    mt.autograd.defvjp(weigh, lambda g, ans, x, table, power=1: g * table**power)
    graph = record(weigh(leaf(2), np.array([1.0, 2.0]), power=3))

    assert titles(graph) == ["leaf 1", "input 1", "weigh"]
    assert graph.nodes[-1].detail == "power=3"


def test_a_leaf_alone_is_a_graph_of_one_node():
    """Nothing was done to it: its shape, and its value where that is one number."""
    for x, data in ((leaf(1), 0.5), (leaf(2), (0.5, 0.5)), (mt.Value(0.5), 0.5)):
        graph = record(x, {"x": x})
        assert (titles(graph), graph.edges, graph.nodes[0].data) == (["x"], (), data)


# ----- what is drawn -----


def build():
    a, b = leaf(2), leaf(2)
    return mt.tanh(a * b + mt.where(a.data > 0, a, b) / 3).sum()


def test_the_same_graph_gives_the_same_bytes():
    """Also when it is built later, with other leaves: no address and no clock is in it."""
    first = viz.graph(build()).source
    chain(10)

    assert viz.graph(build()).source == first


def test_another_process_gives_the_same_bytes():
    """Nor does it depend on the hashes of a process."""
    program = (
        "import mytorch as mt\na, b = mt.Value(1.0), mt.Value(2.0)\n"
        "print(mt.viz.graph((a - b) ** 2 * a.tanh(), {'a': a, 'b': b}).source)"
    )
    command = [sys.executable, "-c", program]
    one, two = (subprocess.check_output(command, env={"PYTHONHASHSEED": seed}) for seed in "12")

    assert one == two


def test_every_label_is_in_the_picture():
    """Names may hold what is markup in HTML and in DOT; nothing of it is lost."""
    strange = r'a<b> & "c" \ {d|e} ' + "'β'"
    x = leaf(3, 2)
    svg = viz.graph(mt.sum(x * 2.5, axis=1).max(), {strange: x})._repr_svg_()
    texts = [e.text.replace("\xa0", " ") for e in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]

    for text in (strange, "(3, 2) float64", "6 numbers", "2.5", "axis=1", "(3,) float64", "max", "data 2.5"):
        assert text in texts


def test_an_operation_without_a_name_of_its_own_can_be_drawn():
    """A lambda's is <lambda>, which is no HTML."""
    f = mt.autograd.primitive(lambda x: x * 2)
    mt.autograd.defvjp(f, lambda g, ans, x: 2 * g)
    y = f(leaf(3))

    assert "&lt;lambda&gt;" in viz.graph(y, show=())._repr_svg_()
    assert "lambda" in viz.explain(f(y).sum(), y, {"<y>": y})._repr_svg_()


def test_operations_and_values_look_different():
    """Operations are rounded, leaves and inputs have colours of their own, constants are dashed, the root is thick."""
    source = viz.graph(mt.sum(leaf(2) * np.ones(2) + 1)).source
    nodes = sorted(line for line in source.splitlines() if re.match(r"\tn\d+ \[", line))
    looks = [tuple(re.findall(r'(?:style|fillcolor|penwidth)="?([^" \]]+)', line)) for line in nodes]
    leaves, inputs, multiply, constant, add, root = looks

    assert len({leaves, inputs, multiply, constant, root}) == 5
    assert multiply == add
    assert "rounded,filled" in multiply and "filled,dashed" in constant and "2" in root


def test_edges_tell_arguments_apart_where_it_matters():
    """a - b says which is which, a + b need not."""
    a, b = mt.Value(1.0), mt.Value(2.0)

    assert re.findall(r'label="(.*?)"', viz.graph(a - b).source)[-2:] == [" 1st ", " 2nd "]
    assert "1st" not in viz.graph(a + b).source


def test_a_value_read_at_places_far_apart_is_drawn_at_each():
    """One weight for 40 steps of a recurrence: its copies leave no long edge, and edges keep their number and order."""
    w, x = mt.Value(0.5), mt.Value(1.0)
    for _ in range(40):
        x = (x * w).tanh()
    graph = record(x, {"w": w})
    drawn = spread(graph)

    assert [node.name for node in graph.nodes].count("w") == 1
    assert 5 < [node.name for node in drawn.nodes].count("w") < 20
    assert len({node.key for node in drawn.nodes}) == len(drawn.nodes)
    assert [(e.target, e.argument) for e in drawn.edges] == [(e.target, e.argument) for e in graph.edges]
    assert drawn.root == graph.root


def test_a_value_read_nearby_is_drawn_once():
    """A graph of a few operations is drawn as it was recorded."""
    graph = record(build())

    assert spread(graph) == graph


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf", ".dot"])
def test_render_writes_a_tensor_a_value_or_a_digraph(suffix, tmp_path):
    """All three give the picture of the same graph, and its path."""
    x = leaf(2)
    loss = mt.exp(x).sum()
    direct = viz.render(loss, tmp_path / f"a{suffix}", params={"x": x}, direction="LR")
    drawn = viz.render(viz.graph(loss, {"x": x}, direction="LR"), tmp_path / f"b{suffix}")

    assert direct == tmp_path / f"a{suffix}"
    assert direct.read_bytes() == drawn.read_bytes() != b""
    assert viz.render(mt.Value(1.0).exp(), str(tmp_path / f"c{suffix}")).stat().st_size


def test_a_digraph_draws_itself_without_a_graphviz_on_the_path(tmp_path, monkeypatch):
    """As a graphviz.Digraph does: pipe, render, and what a notebook asks for."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.chdir(tmp_path)
    graph = viz.graph(mt.Value(1.0).exp())
    svg = graph._repr_svg_()

    assert svg.startswith("<?xml") and "exp" in svg
    assert graph._repr_mimebundle_()["image/svg+xml"] == svg
    assert "<iframe" in graph._repr_mimebundle_()["text/html"]
    assert graph.pipe("svg") == svg.encode()
    assert graph.pipe().startswith(b"%PDF")
    assert graph.render("a", format="svg") == "a.svg"
    assert graph.render(outfile="b.png", cleanup=True) == "b.png"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.svg", "b.png"]
    assert (tmp_path / "a").read_text() == graph.source


def test_a_digraph_can_be_changed_as_any_other():
    """Its attributes and nodes are graphviz's."""
    import graphviz

    graph = viz.graph(mt.Value(1.0).exp())
    graph.graph_attr["rankdir"] = "LR"
    graph.node("note", "seen")

    assert isinstance(graph, graphviz.Digraph)
    assert "rankdir=LR" in graph.source and "seen" in graph._repr_svg_()


# ----- large graphs -----


def test_a_large_graph_folds_by_itself_and_says_so():
    """100,000 in a row, without recursion: one operation, a hundred thousand times."""
    picture = viz.graph(chain(100_000))

    assert titles(picture.graph) == ["leaf 1", "sin"]
    assert picture.graph.nodes[1].count == picture.graph.operations == 100_000
    assert picture.graph.notes[-1] == "100,000 operations, folded to 1"
    assert "100,000 operations, folded to 1" in picture._repr_svg_()
    assert len(picture.recorded.nodes) == 100_001


def test_a_larger_limit_folds_less():
    """limit counts nodes."""
    assert viz.graph(chain(300)).source.count("<B>sin</B>") == 300
    assert viz.graph(chain(600), limit=700).source.count("<B>sin</B>") == 600
    assert viz.graph(chain(300), limit=100).source.count("<B>sin ×300</B>") == 1


def test_a_graph_without_any_structure_is_cut_into_parts():
    """Random operations: no more boxes than can be read, and all operations are in one of them."""
    rng, x = np.random.default_rng(0), mt.Value(0.5)
    for choice in rng.integers(3, size=3000):
        x = (x.sin(), x.tanh(), x * 0.5)[choice]
    graph = viz.graph(x).graph

    assert 10 < len(graph.nodes) <= 30
    assert graph.operations == 3000
    assert all(node.inside.kind == "part" for node in graph.nodes)
    assert graph.nodes[0].name.startswith("operations 1 …") and graph.nodes[-1].name.endswith("… 3,000")


def test_edges_too_long_to_lay_out_are_folded():
    """Every operation reads one from far away: Graphviz would take minutes, though the operations are few."""
    states = [mt.Value(0.5)]
    for _ in range(450):
        states.append(states[-1] * states[len(states) // 2])

    assert len(viz.graph(states[-1]).graph.nodes) < 100
    assert viz.graph(states[-1], limit=10_000).source.count("<B>multiply</B>") == 450


# ----- errors -----


def freed(x):
    y = x.exp()
    y.backward()
    return y


ERRORS = [
    (lambda: viz.graph(mt.tensor([1.0]) * 2), RuntimeError, "does not require grad"),
    (lambda: viz.graph(freed(leaf())), RuntimeError, r"graph of `exp` was freed .* pass retain_graph=True"),
    (lambda: viz.graph(freed(mt.Value(1.0)) * 2), RuntimeError, r"graph of `exp` was freed .* pass retain_graph=True"),
    (lambda: viz.graph(np.ones(2)), TypeError, "this is of type ndarray"),
    (lambda: viz.graph([leaf(2)]), TypeError, "this is of type list"),
    (lambda: viz.graph(leaf(2), 3), TypeError, r"params is a Module, .* this is of type int"),
    (lambda: viz.graph(leaf(2), [leaf(2)]), TypeError, r"one is of type Tensor; pass the Module itself"),
    (lambda: viz.graph(leaf(2), "weight"), TypeError, "one is of type str"),
    (lambda: viz.graph(leaf(2), {"w": 3.0}), TypeError, "'w' is of type float"),
    (lambda: viz.graph(leaf(2), direction="up"), ValueError, "'TB' or 'LR', not 'up'"),
    (lambda: viz.graph(leaf(2), level="layer"), ValueError, "level is one of 'operation', 'module', .* not 'layer'"),
    (lambda: viz.graph(leaf(2), level="module"), ValueError, "no module is known .* params=model"),
    (lambda: viz.graph(leaf(2) * 2, level="line"), ValueError, r"within `with viz.watch\(\):`"),
    (lambda: viz.graph(leaf(2) * 2, gradients=True), ValueError, r"shape \(2,\); give the array they start from"),
    (lambda: viz.graph(leaf(2), show=("colour",)), ValueError, "show names some of 'shape', .* not 'colour'"),
    (lambda: viz.render(viz.graph(leaf(2)), "x.svg", params={}), TypeError, "give params and options to viz.graph"),
    (lambda: viz.render(leaf(2), "no/such/folder/x.svg"), FileNotFoundError, "cannot write"),
    (lambda: viz.render(leaf(2), "x.gif"), ValueError, r"suffix must be one of"),
]


@pytest.mark.parametrize("call, error, message", ERRORS, ids=[row[2] for row in ERRORS])
def test_what_cannot_be_drawn_is_told_in_one_sentence(call, error, message):
    """It names what is wrong and the way out."""
    with pytest.raises(error, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)


def test_without_the_graphviz_package_a_picture_is_drawn_as_well(monkeypatch):
    """It is no graphviz.Digraph then, and has the same data, source and SVG."""
    x = leaf(2)
    usual = viz.graph(x, {"x": x})
    monkeypatch.setitem(sys.modules, "graphviz", None)
    monkeypatch.delitem(sys.modules, "mytorch.viz.digraph", raising=False)
    picture = viz.graph(x, {"x": x})

    assert type(picture).__name__ == "Picture"
    assert picture.graph == usual.graph
    assert picture._repr_svg_() == usual._repr_svg_()
    assert picture.source.startswith("digraph {")


def test_importing_viz_loads_no_drawing_package():
    """graphviz and matplotlib are loaded by what uses them."""
    program = "import sys, mytorch.viz; print([m for m in ('graphviz', 'matplotlib') if m in sys.modules])"

    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "[]"
