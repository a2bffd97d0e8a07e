"""Pictures of every kind are what they were: compared with those kept beside the tests."""

import html
import re

import pytest
from pictures import KEPT, PICTURES, plain


@pytest.fixture(autouse=True)
def one_graphviz(monkeypatch):
    """The wheel's, whatever the machine has."""
    monkeypatch.setenv("PATH", "")


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.__name__)
def test_the_source_is_the_one_that_is_kept(picture):
    """Byte for byte: the same graph gives the same DOT."""
    assert picture().draw("dot").decode() == (KEPT / f"{picture.__name__}.dot").read_text(encoding="utf-8")


NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.__name__)
def test_the_svg_is_the_one_that_is_kept(picture):
    """The same elements and texts; coordinates to a point, as Graphviz rounds them."""
    drawn, kept = (
        re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)  # they name the version
        for svg in (picture().draw("svg").decode(), (KEPT / f"{picture.__name__}.svg").read_text(encoding="utf-8"))
    )

    assert NUMBER.sub("#", drawn) == NUMBER.sub("#", kept)
    assert [float(n) for n in NUMBER.findall(drawn)] == pytest.approx([float(n) for n in NUMBER.findall(kept)], abs=1)


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.__name__)
def test_no_text_leaves_the_picture(picture):
    """Every text begins and ends within the SVG's own borders, measured by a generous width of its letters."""
    svg = re.sub(r"<!--.*?-->", "", picture().draw("svg").decode(), flags=re.DOTALL)
    left, top, width, height = map(float, re.search(r'viewBox="([^"]+)"', svg).group(1).split())
    shift = re.search(r"translate\(([-\d.]+)[ ,]+([-\d.]+)\)", svg)
    dx, dy = map(float, shift.groups()) if shift else (0, 0)
    for given, text in re.findall(r"<text([^>]*)>([^<]*)", svg):
        text = html.unescape(text)
        told = f'{given} font-size="12"'
        x, y, size = (float(re.search(rf' {name}="([-\d.]+)', told)[1]) for name in ("x", "y", "font-size"))
        inside = "font-size" in given  # a caption is outside the shifted drawing
        x, y = (x + dx, y + dy) if inside else (x, y)
        wide = 0.45 * size * len(text) if inside else 0.6 * size * len(text)
        start = x - wide / 2 if 'anchor="middle"' in given else x
        assert left <= start + 1 and start + wide <= left + width + 8, text
        assert top <= y - 0.7 * size and y <= top + height, text


def test_every_kind_has_its_kept_pictures():
    """And none is kept that is no longer drawn."""
    names = {f"{picture.__name__}.{suffix}" for picture in PICTURES for suffix in ("dot", "svg")}

    assert {path.name for path in KEPT.iterdir()} == names | set(plain())


def test_the_kept_pictures_hold_nothing_of_a_machine():
    """No path, no date, no address."""
    for path in KEPT.iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"/tmp|/home|/work|0x[0-9a-f]{6}|20\d\d-\d\d", text), path

