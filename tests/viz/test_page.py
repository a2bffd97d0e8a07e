"""The page of HTML: what is in the file, and what it does in a browser."""

import html
import json
import random
import re
import subprocess
import sys
from importlib.resources import files

import numpy as np
import pytest
from browser import PROGRAM, Browser

import mytorch as mt
from mytorch import nn, viz
from mytorch.viz.data import Edge, Graph, Group, Node, replace
from mytorch.viz.layout import layout
from mytorch.viz.page import CROWD, page

needs_browser = pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium to drive")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


def network():
    """The loss of two layers in a Sequential, and the model."""
    model = nn.Sequential(nn.Linear(4, 3, rng=0), nn.Tanh(), nn.Linear(3, 2, rng=0))
    x = mt.tensor(np.ones((5, 4)), dtype=np.float32)
    return nn.CrossEntropyLoss()(model(x), np.zeros(5, int)), model


@pytest.fixture
def opened(browser, tmp_path):
    """The browser with the page of a network's loss."""
    loss, model = network()
    browser.open(viz.render(loss, tmp_path / "graph.html", params=model).as_uri())
    return browser


def chain(n):
    """A Graph of n operations in a row, of no group; the last is called so."""
    nodes = [Node("n0", "leaf", name="x", shape=(2,), dtype="float64")]
    nodes += [Node(f"n{i}", "operation", op="exp", shape=(2,), dtype="float64") for i in range(1, n + 1)]
    nodes[n] = replace(nodes[n], name="last")
    return Graph(tuple(nodes), tuple(Edge(f"n{i}", f"n{i + 1}", 0) for i in range(n)), f"n{n}")


def data(text):
    """The data in a page."""
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


# ----- the file -----


def test_the_page_needs_no_other_file():
    """It names no address but that of SVG's name space, and forbids itself to load anything."""
    loss, model = network()
    text = viz.graph(loss, model).page()

    assert set(re.findall(r"\w+://[^\s\"']*", text)) == {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in text
    assert not re.search(r"<link|\bsrc=|@import|url\((?!#)", text)


def test_the_same_graph_gives_the_same_bytes():
    """In another process, with other hashes, too."""
    program = (
        "import mytorch as mt, sys\na, b = mt.Value(1.0), mt.Value(2.0)\n"
        "sys.stdout.write(mt.viz.graph((a - b) ** 2 * a.tanh(), {'a': a, 'b': b}).page())"
    )
    command = [sys.executable, "-c", program]
    one, two = (subprocess.check_output(command, env={"PYTHONHASHSEED": seed}) for seed in "12")

    assert one == two


def test_every_node_and_text_is_in_the_data():
    """Names that are markup leave the page whole."""
    strange = "</script><!-- \u2028 {{data}} & 'β'"
    x = mt.tensor(np.ones((3, 2)), requires_grad=True)
    text = viz.graph(mt.exp(x).sum(), {strange: x}).page()
    found = data(text)

    assert strange in found["texts"]
    assert len(found["boxes"]) == 3 and len(found["arrows"]) == 2
    assert text.count("</script>") == 2


def test_a_crowd_is_cut_into_parts():
    """No group has more things in it than can be seen; every node is there, in order, and the parts are groups."""
    found = data(page(chain(20_000)))
    inside = [box[4] for box in found["boxes"]] + [frame[2] for frame in found["frames"]]

    assert len(found["boxes"]) == 20_001
    assert max(inside.count(group) for group in set(inside)) <= CROWD
    assert all(frame[2] < i for i, frame in enumerate(found["frames"]))


def test_parts_are_made_inside_groups_too():
    """A module of 1,000 operations, which holds another module."""
    nodes = [Node(f"n{i}", "operation", op="exp", group="b" if 500 <= i < 510 else "a") for i in range(1000)]
    groups = Group("a", "module", "outer"), Group("b", "module", "inner", parent="a")
    found = data(page(Graph(tuple(nodes), (), "n999", groups)))
    inside = [box[4] for box in found["boxes"]] + [frame[2] for frame in found["frames"]]
    (inner,) = (i for i, frame in enumerate(found["frames"]) if found["texts"][frame[3][0]] == "inner")

    assert max(inside.count(group) for group in set(inside)) <= CROWD
    assert {box[4] for box in found["boxes"][500:510]} == {inner}
    assert found["frames"][found["frames"][inner][2]][1] == "part"


# ----- in a browser -----


def boxes(browser):
    """The first lines of the boxes that are seen, in their order."""
    return browser.evaluate("[...document.querySelectorAll('.box')].map(b => b.querySelector('text').textContent)")


def current(browser):
    """The first line of the box that is followed."""
    return browser.evaluate("document.querySelector('.box.current text')?.textContent")


@needs_browser
def test_it_loads_without_an_error_and_asks_for_nothing(opened):
    """Neither the console nor the network sees anything; all boxes, headings and edges are drawn."""
    assert opened.told == []
    assert [url.rpartition("/")[2] for url in opened.requests] == ["graph.html"]
    assert {"0.weight", "0.bias", "2.weight", "tanh"} <= set(boxes(opened))
    assert opened.evaluate("document.querySelectorAll('.edge').length") >= 9
    assert opened.evaluate("document.querySelectorAll('.heading').length") >= 3


@needs_browser
def test_no_text_is_wider_than_its_box(opened):
    """As the browser itself measures it."""
    wide = opened.evaluate("""[...document.querySelectorAll('.box')].flatMap(box => {
        const room = box.querySelector('rect').getBBox();
        return [...box.querySelectorAll('text')].map(text => text.getBBox())
            .filter(t => t.x < room.x || t.x + t.width > room.x + room.width
                      || t.y < room.y - 1 || t.y + t.height > room.y + room.height + 1);
    }).length""")
    assert wide == 0


@needs_browser
def test_groups_fold_and_unfold(opened):
    """By a click on their heading, a double click on the box, and all at once."""
    before = boxes(opened)
    opened.click("[aria-label^='0, Linear']")
    assert "▸ 0" in boxes(opened) and "0.weight" not in boxes(opened)
    assert current(opened) == "▸ 0"

    opened.evaluate("document.querySelector('.box.current').dispatchEvent(new MouseEvent('dblclick', {bubbles: true}))")
    assert boxes(opened) == before

    opened.click("#fold")
    assert len(boxes(opened)) < 12 and "tanh" not in boxes(opened)
    opened.click("#unfold")
    assert boxes(opened) == before
    assert opened.told == []


@needs_browser
def test_a_group_unfolds_one_level(opened):
    """What is in it stays folded; the first box in it is followed."""
    opened.click("#fold")
    opened.press("/", *"sequential", "Enter", "Escape", "Enter")

    assert {"▸ 0", "▸ 1", "▸ 2"} <= set(boxes(opened)) and "tanh" not in boxes(opened)
    assert current(opened) == "▸ 0"
    assert opened.told == []


@needs_browser
def test_a_search_unfolds_what_it_finds(opened):
    """By the keyboard alone: `/`, the name, Enter, Enter again for the next, Escape."""
    opened.click("#fold")
    opened.press("/", *"weight")
    assert opened.evaluate("document.querySelector('#found').value") == "2 found"

    opened.press("Enter")
    assert current(opened) == "0.weight"
    opened.press("Enter")
    assert current(opened) == "2.weight"
    assert opened.evaluate("document.querySelector('#found').value") == "2 of 2"
    opened.press("Escape")
    assert opened.evaluate("document.querySelectorAll('.match').length") == 0
    assert current(opened) == "2.weight"
    opened.press("/", *"nosuch")
    assert opened.evaluate("document.querySelector('#found').value") == "nothing found"


@needs_browser
def test_a_node_is_followed_by_the_keyboard(opened):
    """Tab reaches the graph, arrows go along its edges, Enter folds; the focus is seen, and the details tell."""
    opened.press("Escape")
    for _ in range(12):
        opened.press("Tab")
        if current(opened):
            break
    opened.press("Home")
    assert current(opened) == boxes(opened)[0]
    opened.press("/", *"tanh", "Enter", "Escape")
    opened.press("ArrowUp")
    assert current(opened) == "linear"
    assert opened.evaluate("document.activeElement.classList.contains('current')")
    assert float(opened.evaluate("getComputedStyle(document.querySelector('.box.current rect')).strokeWidth")[:-2]) > 3

    told = opened.evaluate("document.querySelector('#details').innerText")
    assert "reads" in told and "0.bias" in told and "is read by" in told and "tanh" in told
    opened.press("ArrowDown")
    assert current(opened) == "tanh"
    opened.press("Enter")
    assert current(opened) == "▸ 1"
    opened.press("Enter")
    assert current(opened) == "tanh"
    opened.press("Escape")
    assert current(opened) is None and opened.evaluate("document.querySelector('#details').hidden")
    assert opened.told == []


@needs_browser
def test_a_click_leads_to_sources_and_users(opened):
    """They are marked, by more than their colour; the details lead on."""
    opened.press("0")
    opened.click(".box.root")
    assert opened.evaluate("document.querySelectorAll('.edge.source').length") >= 1
    opened.evaluate("document.querySelector('#details li button').click()")
    user = opened.evaluate("getComputedStyle(document.querySelector('.box.user rect')).strokeDasharray")

    assert user != "none"
    assert opened.evaluate("document.querySelectorAll('.box.current').length") == 1


@needs_browser
def test_it_moves_zooms_and_hovers(opened):
    """Drag, wheel, keys; the box under the mouse tells what is known."""
    transform = "document.querySelector('#view').getAttribute('transform')"
    before = opened.evaluate(transform)
    opened.mouse("mousePressed", 30, 700, button="left", clickCount=1)
    opened.mouse("mouseMoved", 130, 650, button="left", buttons=1)
    opened.mouse("mouseReleased", 130, 650, button="left", clickCount=1)
    moved = opened.evaluate(transform)
    opened.mouse("mouseWheel", 300, 300, deltaX=0, deltaY=-120)
    opened.wait(f"{transform} !== {moved!r}")
    zoomed = opened.evaluate(transform)
    opened.press("0")
    assert len({before, moved, zoomed, opened.evaluate(transform)}) == 4

    leaf = "document.querySelector('.leaf').getBoundingClientRect()"
    x, y = opened.evaluate(f"(r => [r.x + r.width / 2, r.y + 4])({leaf})")
    opened.mouse("mouseMoved", x, y)
    opened.wait("!document.querySelector('#tip').hidden")
    assert "float32" in opened.evaluate("document.querySelector('#tip').textContent")


@needs_browser
def test_it_is_light_or_dark(opened):
    """As the system, and as its button says."""
    theme = "document.documentElement.dataset.theme"
    opened.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    opened.wait(f"{theme} === 'dark'")
    opened.click("#theme")
    assert opened.evaluate(theme) == "light"
    opened.call("Emulation.setEmulatedMedia", features=[])


@needs_browser
def test_a_notebook_shows_it(browser, tmp_path):
    """The frame of the mime bundle, which may run scripts and nothing else, draws the graph without an error."""
    loss, model = network()
    bundle = viz.graph(loss, model)._repr_mimebundle_()
    assert bundle["image/svg+xml"].startswith("<?xml")
    frame = re.sub(r'srcdoc="(.*?)"', lambda m: m[0], bundle["text/html"], flags=re.DOTALL)
    inner = html.unescape(re.search(r'srcdoc="(.*?)"', frame, re.DOTALL)[1])
    assert inner == viz.graph(loss, model).page()

    (tmp_path / "notebook.html").write_text(f"<!doctype html>{frame}")
    browser.open((tmp_path / "notebook.html").as_uri())
    browser.wait("document.querySelector('iframe') !== null")
    browser.click("iframe")
    assert browser.told == []


@needs_browser
def test_a_large_graph_opens_folded(browser, tmp_path):
    """10,000 operations: few boxes at first; a search finds the last one among them."""
    (tmp_path / "large.html").write_text(page(chain(10_000)))
    browser.open((tmp_path / "large.html").as_uri())

    assert len(boxes(browser)) <= 120
    browser.press("/", *"last", "Enter")
    assert current(browser) == "last = exp"
    assert browser.told == []


def graphs():
    """Arguments of `layout`: random graphs, with and without groups, loops and edges upwards."""
    for n, groups, seed in (1, 0, 0), (30, 0, 1), (60, 4, 2), (300, 12, 3):
        rng = random.Random(seed)
        sizes = [(rng.choice([40, 61.5, 100]), rng.choice([24, 40])) for _ in range(n)]
        edges = [(max(0, i - 1 - int(rng.expovariate(0.2))), i) for i in range(1, n) for _ in range(2)]
        edges += [(rng.randrange(n), rng.randrange(n)) for _ in range(n // 20)]
        outer = [-1 if g < groups / 2 else g - groups // 2 for g in range(groups)]
        within = [min(groups - 1, i * groups // n) if rng.random() < 0.9 else -1 for i in range(n)]
        yield sizes, edges, within, outer, [(50 + g, 20) for g in range(groups)]


@needs_browser
def test_the_two_layouts_agree(browser):
    """layout.js finds what layout.py finds, to the last bit."""
    browser.open("data:text/html,<title>layout</title>")
    script = files("mytorch.viz.page").joinpath("layout.js").read_text()
    for given in graphs():
        placed = layout(*given)
        found = browser.evaluate(f"(() => {{ {script}\nreturn layout(...{json.dumps(given)}); }})()")

        for name in ("nodes", "groups", "routes", "size"):
            assert found[name] == json.loads(json.dumps(getattr(placed, name)))
