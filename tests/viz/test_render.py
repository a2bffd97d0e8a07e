"""Pictures of DOT source, drawn by whichever Graphviz the machine has."""

import re
import sys
import zlib
from importlib import metadata
from xml.etree import ElementTree

import pytest

from mytorch.viz.pdf import paint
from mytorch.viz.render import draw, render, to_svg

LABELS = ["input", "8 × 784 float32", "layers.0.weight", "layers.0.β", "a < b & c", "$ of $x_", "relu", "ε"]
SOURCE = r"""digraph {
    node [fontname=Helvetica]
    x [label="input\n8 × 784 float32" shape=box style="filled,rounded" fillcolor="#e8f1fa"]
    subgraph cluster_0 {
        w [label=<<table><tr><td><b>layers.0.weight</b></td></tr></table>> shape=plain]
        b [label="{layers.0.β|a \< b & c}" shape=record fontname=Courier]
        w -> relu [style=dashed]
        b -> relu [label="ε" fontname="Times-Roman"]
    }
    x -> relu [style="bold,dotted" dir=both]
    relu -> "$ of $x_" [color="red;0.5:blue"]
}
"""

MAGIC = {".svg": b"<?xml", ".png": b"\x89PNG\r\n\x1a\n", ".pdf": b"%PDF-", ".dot": SOURCE.encode()}


@pytest.mark.parametrize("suffix", [*MAGIC, ".SVG"])
def test_the_suffix_says_the_format(suffix, tmp_path):
    """The path comes back, and holds what its suffix promises."""
    path = render(SOURCE, str(tmp_path / f"graph{suffix}"))

    assert path == tmp_path / f"graph{suffix}"
    assert path.read_bytes().startswith(MAGIC[suffix.lower()])
    assert list(tmp_path.iterdir()) == [path]


def test_a_picture_can_be_read_by_whoever_can_read_its_folder(tmp_path):
    """Its permissions are those of any new file."""
    (tmp_path / "any").touch()

    assert render(SOURCE, tmp_path / "a.dot").stat().st_mode == (tmp_path / "any").stat().st_mode


@pytest.mark.parametrize("format", ["svg", "png", "pdf", "dot"])
def test_the_same_source_gives_the_same_bytes(format):
    """No picture holds a date or a random name."""
    picture = draw(SOURCE, format)

    assert picture == draw(SOURCE, format)
    assert b"Date" not in picture


def test_an_svg_is_xml_with_every_label():
    """Unicode, markup characters and the cells of tables and records come through."""
    root = ElementTree.fromstring(to_svg(SOURCE))
    texts = {text.text for text in root.iter("{http://www.w3.org/2000/svg}text")}

    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert set(LABELS) == texts


def test_a_pdf_holds_every_label_as_text():
    """Its text is text, in embedded fonts, and nothing in it is a bitmap."""
    pdf = draw(SOURCE, "pdf")
    streams = [zlib.decompress(data) for data in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.S)]
    shown = b"".join(re.findall(rb"\(((?:\\.|[^\\()])*)\)", b"".join(streams))).decode("latin-1")

    assert [label for label in LABELS if label.isascii() and label not in shown] == []
    assert b"/FontDescriptor" in pdf
    assert b"/Subtype /Image" not in pdf


def test_a_pdf_is_as_large_as_the_svg():
    """A point in the one is a point in the other."""
    svg = re.search(r'width="(\d+)pt" height="(\d+)pt"', to_svg(SOURCE)).groups()
    pdf = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", draw(SOURCE, "pdf")).groups()

    assert [float(side) for side in pdf] == pytest.approx([float(side) for side in svg], abs=1)


def test_a_pdf_refuses_what_it_cannot_show():
    """A picture within the picture is not dropped in silence."""
    with pytest.raises(ValueError, match="cannot show Graphviz's drawing operation 'I'"):
        paint({"bb": "0,0,9,9", "_draw_": [{"op": "I", "rect": [0, 0, 9, 9], "name": "x.png"}]})


@pytest.mark.parametrize(
    ("source", "path", "error", "message"),
    [
        (SOURCE, "a.gif", ValueError, r"'.*a\.gif': its suffix must be one of \.svg, \.png, \.pdf, \.dot$"),
        (SOURCE, "a", ValueError, "its suffix must be"),
        (SOURCE, "none/a.dot", FileNotFoundError, r"cannot write '.*a\.dot': no such file or directory$"),
        (SOURCE, "folder.dot", IsADirectoryError, r"cannot write '.*folder\.dot': is a directory$"),
        (SOURCE, "file/a.dot", NotADirectoryError, r"cannot write '.*a\.dot': not a directory$"),
        ("digraph { a -> }", "kept.svg", ValueError, "cannot draw this source: .*syntax error in line 1"),
        ("digraph { a [label=<<b>>] }", "kept.png", ValueError, "cannot draw this source: .*in line 1"),
        ("digraph { a -> }", "new.pdf", ValueError, "cannot draw this source: .*syntax error in line 1"),
        ("", "new.svg", ValueError, "cannot draw this source: it holds no graph$"),
    ],
)
def test_an_error_is_one_line_and_leaves_the_folder_as_it_was(source, path, error, message, tmp_path):
    """A wrong suffix, path or source is named, no half-written file stays, an old picture is kept."""
    (tmp_path / "folder.dot").mkdir()
    for name in ("file", "kept.svg", "kept.png"):
        (tmp_path / name).write_text("as it was")
    before = _contents(tmp_path)

    with pytest.raises(error, match=message) as raised:
        render(source, tmp_path / path)

    assert "\n" not in str(raised.value)
    assert before == _contents(tmp_path)


def _contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_the_systems_dot_goes_first(tmp_path, monkeypatch):
    """A dot on PATH is the one that draws."""
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\necho the system drew $1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert to_svg(SOURCE) == "the system drew -Tsvg\n"


def test_no_path_is_needed(tmp_path, monkeypatch):
    """The Graphviz of the extra is found where pip put it."""
    monkeypatch.setenv("PATH", str(tmp_path))

    assert to_svg("digraph { a }").startswith("<?xml")


def test_without_graphviz_the_error_names_the_extra(tmp_path, monkeypatch):
    """Neither a system's dot nor the wheel's: the way out is in the message, and the source still saves."""

    def files(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(metadata, "files", files)

    with pytest.raises(ImportError, match=r"pip install 'mytorch-autograd\[viz\]'"):
        to_svg(SOURCE)
    assert render(SOURCE, tmp_path / "a.dot").exists()


def test_without_matplotlib_a_pdf_names_the_extra(monkeypatch):
    """Only the .pdf needs matplotlib."""
    for name in ["mytorch.viz.pdf", *(name for name in sys.modules if name.startswith("matplotlib"))]:
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(ImportError, match=r"pip install 'mytorch-autograd\[viz\]'"):
        draw(SOURCE, "pdf")
    assert draw(SOURCE, "svg")
