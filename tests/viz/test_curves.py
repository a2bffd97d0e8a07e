"""The pictures of a training run, and of several compared."""

import base64
import csv
import math
import re
import subprocess
import sys
from itertools import pairwise

import pytest

from mytorch.viz.curves import LINE, curves, live

METRICS = {
    "epoch": [1, 2, 3],
    "train_loss": [0.9, 0.5, 0.25],
    "train_error": [0.5, 0.25, 0.125],
    "val_loss": [1.0, 0.625, 0.75],
    "val_error": [0.5, 0.375, 0.0625],
    "seconds": [2.0, 2.0],
}
NAMES = ["train_loss.png", "train_error.png", "val_loss.png", "val_error.png", "curves.png"]
ROWS = [{name: METRICS[name][i] for name in METRICS if name != "seconds"} for i in range(3)]


@pytest.fixture
def run(tmp_path):
    """A run folder: a metrics.csv in it."""
    folder = tmp_path / "run"
    folder.mkdir()
    with open(folder / "metrics.csv", "w", newline="") as file:
        table = csv.DictWriter(file, ROWS[0])
        table.writeheader()
        table.writerows(ROWS)
    return folder


@pytest.fixture
def figures(monkeypatch):
    """The matplotlib figures that were printed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    printed, print_png = [], FigureCanvasAgg.print_png

    def spy(canvas, *args, **kwargs):
        printed.append(canvas.figure)
        return print_png(canvas, *args, **kwargs)

    monkeypatch.setattr(FigureCanvasAgg, "print_png", spy)
    return printed


def _pictures(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".png"}


def test_every_form_of_the_metrics_gives_the_same_pictures(run, tmp_path):
    """Columns, rows, a csv and a run folder: the same bytes, and the paths in order."""
    forms = {"columns": METRICS, "rows": ROWS, "csv": str(run / "metrics.csv"), "run": run}
    for name, metrics in forms.items():
        (tmp_path / name).mkdir(exist_ok=True)

        assert curves(metrics, tmp_path / name) == [tmp_path / name / picture for picture in NAMES]
        assert _pictures(tmp_path / name) == _pictures(tmp_path / "columns")


@pytest.mark.parametrize("table", [".", "metrics.csv"])
def test_the_pictures_go_beside_the_csv(table, run):
    """With a path and no folder the run folder is where they are written."""
    assert curves(run / table) == [run / name for name in NAMES]
    assert sorted(path.name for path in run.iterdir()) == sorted([*NAMES, "metrics.csv"])


def test_the_pictures_show_the_metrics(figures, tmp_path):
    """Titles, units, the values (errors in percent) and the final value are those of the metrics."""
    curves(METRICS, tmp_path)
    loss, error = "cross-entropy loss (nats per example)", "error (% of examples)"
    expected = [
        ("Training loss", loss, [0.9, 0.5, 0.25], "0.25"),
        ("Training error", error, [50, 25, 12.5], "12.5 %"),
        ("Validation loss", loss, [1.0, 0.625, 0.75], "0.75"),
        ("Validation error", error, [50, 37.5, 6.25], "6.25 %"),
    ]

    for figure, (title, unit, values, final) in zip(figures[:4], expected, strict=True):
        (axes,) = figure.axes
        (line,) = axes.lines
        assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == (title, "epoch", unit)
        assert (list(line.get_xdata()), list(line.get_ydata())) == ([1, 2, 3], values)
        assert [text.get_text() for text in axes.texts] == [final]


def assert_inside(axes, figure):
    """Nothing of the axes, their titles and labels is clipped, and no label lies on another."""
    from matplotlib.text import Text

    renderer = figure.canvas.get_renderer()
    drawn = axes.get_tightbbox(renderer)
    assert 0 <= drawn.x0 < drawn.x1 <= figure.bbox.x1 and 0 <= drawn.y0 < drawn.y1 <= figure.bbox.y1
    boxes = [Text.get_window_extent(label, renderer) for label in axes.texts]  # without the line that leads to it
    for lower, upper in pairwise(sorted(boxes, key=lambda box: box.y0)):
        assert upper.y0 > lower.y0 + 0.9 * LINE * figure.dpi / 72


@pytest.mark.parametrize(
    ("epochs", "value"),
    [
        ([0], 2.3),
        ([1], 0),
        ([1, 2], 1e-7),
        ([1, 2, 3], -3),
        (range(1, 16), 1e6),
        (range(1, 16), math.nan),
        (range(1, 16), math.inf),
        (range(5000), 2.3),
    ],
)
def test_any_run_gives_a_clean_picture(epochs, value, figures, tmp_path):
    """Nothing is clipped, a tick is a whole epoch, and a single epoch shows a point."""
    columns = ("train_loss", "train_error", "val_loss", "val_error")
    curves({"epoch": epochs, **dict.fromkeys(columns, [value] * len(epochs))}, tmp_path)

    for figure in figures:
        for axes in figure.axes:
            assert_inside(axes, figure)
            assert all(float(tick).is_integer() for tick in axes.get_xticks())
            assert all(line.get_marker() in "os" for line in axes.lines)


def test_one_figure_shows_all_that_was_logged(figures, tmp_path):
    """curves.png: training solid, validation dashed, named at their ends; a panel each for the rate and the norm."""
    curves(METRICS | {"lr": [0.1, 0.05, 0.025], "grad_norm": [1, 2, 4]}, tmp_path)
    loss, error, rate, norm = figures[-1].axes

    assert [axes.get_title() for axes in figures[-1].axes] == ["Loss", "Error", "Learning rate", "Gradient norm"]
    assert [text.get_text() for text in loss.texts] == ["training: 0.25", "validation: 0.75"]
    assert [text.get_text() for text in error.texts] == ["training: 12.5 %", "validation: 6.25 %"]
    assert [list(line.get_ydata()) for line in loss.lines] == [METRICS["train_loss"], METRICS["val_loss"]]
    assert [line.get_linestyle() for line in loss.lines] == ["-", "--"]
    assert len({line.get_marker() for line in loss.lines}) == 2
    assert (list(rate.lines[0].get_ydata()), list(norm.lines[0].get_ydata())) == ([0.1, 0.05, 0.025], [1, 2, 4])


RUNS = {"sgd": METRICS, "adam": METRICS | {"val_loss": [1.0, 0.5, 0.4375], "lr": [0.1] * 3}}


def test_runs_are_compared_in_the_same_pictures(figures, tmp_path):
    """Each has its colour and its marker and is named; what one alone has logged is drawn for it."""
    assert curves(RUNS, tmp_path) == [tmp_path / name for name in NAMES]
    (val_loss,), (loss, _, rate) = figures[2].axes, figures[4].axes

    assert [text.get_text() for text in val_loss.texts] == ["sgd: 0.75", "adam: 0.438"]
    assert [list(line.get_ydata()) for line in val_loss.lines] == [METRICS["val_loss"], [1.0, 0.5, 0.4375]]
    assert len({(line.get_color(), line.get_marker()) for line in val_loss.lines}) == 2
    assert len({line.get_marker() for line in val_loss.lines}) == 2
    named = ["sgd training: 0.25", "sgd validation: 0.75", "adam training: 0.25", "adam validation: 0.438"]
    assert [text.get_text() for text in loss.texts] == named
    assert [text.get_text() for text in rate.texts] == ["adam: 0.1"]


def test_runs_are_a_list_of_folders_too(run, figures, tmp_path):
    """Named by their folders; by their paths, where those names are the same."""
    (tmp_path / "again" / "run").mkdir(parents=True)
    for other in (tmp_path / "other", tmp_path / "again" / "run"):
        other.mkdir(exist_ok=True)
        (other / "metrics.csv").write_bytes((run / "metrics.csv").read_bytes())

    curves([run, str(tmp_path / "other" / "metrics.csv")], tmp_path)
    assert [text.get_text() for text in figures[0].axes[0].texts] == ["run: 0.25", "other: 0.25"]

    figures.clear()
    curves([run, tmp_path / "again" / "run"], tmp_path)
    first, second = (text.get_text() for text in figures[0].axes[0].texts)
    assert first != second and second.endswith("again/run: 0.25")


def test_many_long_runs_with_long_names_are_not_clipped(figures, tmp_path):
    """Twelve, all ending at the same value: their names stand one above the other, inside the picture."""
    column = [1 / i for i in range(1, 101)]
    metrics = {"epoch": range(1, 101), **dict.fromkeys((*METRICS,)[1:5], column)}
    curves({f"{i} a run with a name that has no end, or nearly none {i}": metrics for i in range(12)}, tmp_path)

    for figure in figures:
        for axes in figure.axes:
            assert_inside(axes, figure)
    markers = {line.get_marker() for line in figures[0].axes[0].lines}
    assert len(markers - {"o", "None"}) >= 7


HISTOGRAMS = """epoch,parameter,low,high,counts
0,weight,-1,1,1 2 1
1,weight,-2,2,1 0 3
0,bias,0,0.5,4
1,bias,0,0.5,4
"""


def test_histograms_of_weights_are_drawn_where_they_were_logged(run, figures):
    """weights.png: a panel a parameter, epochs side by side, on a scale that holds all of them."""
    (run / "weights.csv").write_text(HISTOGRAMS)
    paths = curves(run)
    weight, bias = figures[-1].axes

    assert paths == [run / name for name in [*NAMES, "weights.png"]]
    assert (weight.get_title(), bias.get_title()) == ("weight", "bias")
    assert weight.get_ylim() == (-2, 2) and weight.get_xlim() == (-0.5, 1.5)
    shade = weight.collections[0].get_array().reshape(-1, 2)
    first, second = shade[:, 0], shade[:, 1]
    assert (first[:20] == 0).all() and (first[30:70] > 0).all() and (first[80:] == 0).all()
    assert second[-1] == 1 and second[50] == 0 and 0 < second[0] < 1


def test_a_live_page_shows_the_curves_and_loads_itself_anew(tmp_path):
    """One file: the picture is in it, and nothing is asked of a network; without refresh it stays as it is."""
    waiting = live([], tmp_path / "live.html", refresh=2).read_text()
    running = live(ROWS, tmp_path / "live.html", title="a < b", refresh=2).read_text()
    ended = live(ROWS, tmp_path / "live.html").read_text()

    assert "first epoch is not over" in waiting and '<meta http-equiv="refresh" content="2">' in waiting
    assert '<meta http-equiv="refresh" content="2">' in running and "refresh" not in ended
    assert "<title>a &lt; b</title>" in running
    (picture,) = re.findall(r'src="data:image/png;base64,([^"]*)"', running)
    assert base64.b64decode(picture) == curves(METRICS, tmp_path)[-1].read_bytes()
    assert not re.search(r"https?:|<script|<link", running)


def test_a_gap_in_the_values_is_a_gap_in_the_curve(figures, tmp_path):
    """nan, inf and an empty csv field are not drawn; the others keep their places."""
    gaps = {"train_loss": [0.9, math.nan, 0.2], "val_loss": [1, 2, math.inf], "val_error": ["", None, 0.5]}
    curves(METRICS | gaps, tmp_path)

    drawn = [[y for y in figure.axes[0].lines[0].get_ydata() if math.isfinite(y)] for figure in figures[:4]]
    assert drawn == [[0.9, 0.2], [50, 25, 12.5], [1.0, 2.0], [50]]
    assert figures[2].axes[0].texts[0].get_text() == "inf"


def test_a_picture_has_a_size_and_no_date(tmp_path):
    """The handout's four are 720 x 540 pixels; no text lies beside the pixels, neither a date nor a version."""
    for path in curves(METRICS, tmp_path):
        data = path.read_bytes()

        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        if path.stem != "curves":
            assert (int.from_bytes(data[16:20]), int.from_bytes(data[20:24])) == (720, 540)
        assert re.findall(rb"tEXt|iTXt|zTXt|tIME", data) == []


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        ({"epoch": [1], "train_loss": [1.0]}, ValueError, "no train_error, val_loss, val_error; curves"),
        ([], ValueError, "have no epoch, train_loss"),
        ([ROWS[0], {"epoch": 2, "train_loss": 0.5}], ValueError, "differ in length: .*'train_error': 1"),
        (METRICS | {"val_loss": [1.0]}, ValueError, "differ in length: .*'val_loss': 1"),
        (METRICS | {"val_loss": [1.0, "x", 2.0]}, ValueError, "val_loss holds 'x', which is no number"),
        (METRICS | {"epoch": [1, 2, math.nan]}, ValueError, "epoch holds a value that is not finite"),
        (METRICS | {"lr": [1.0]}, ValueError, "differ in length: .*'lr': 1"),
        ({"a": METRICS, "b": {"epoch": [1]}}, ValueError, "^b: the metrics have no train_loss"),
        (["none.csv", "nowhere"], FileNotFoundError, "there is no 'none.csv'"),
        ("none.csv", FileNotFoundError, "there is no 'none.csv': give a metrics.csv or a folder"),
    ],
)
def test_an_error_is_one_clear_line(metrics, error, message, tmp_path):
    """What is missing or wrong in the metrics is named, and nothing is written."""
    with pytest.raises(error, match=message) as raised:
        curves(metrics, tmp_path)

    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_file_of_histograms_is_one_clear_line(run):
    """It is named, with what is missing in it."""
    (run / "weights.csv").write_text("epoch,parameter\n1,weight\n")
    with pytest.raises(ValueError, match=r"weights\.csv' needs epoch, parameter, low, high, counts; .*'weight'"):
        curves(run)


def test_without_a_path_a_folder_must_be_named(tmp_path):
    """Metrics in memory have no folder of their own, and a folder that is not there is not made."""
    with pytest.raises(ValueError, match=r"needs a folder for its pictures: curves\(metrics, folder\)"):
        curves(METRICS)
    with pytest.raises(ValueError, match="needs a folder"):
        curves(RUNS)
    with pytest.raises(FileNotFoundError, match=r"cannot write '.*train_loss\.png': no such file"):
        curves(METRICS, tmp_path / "none")


def test_without_matplotlib_the_error_names_the_extra(tmp_path, monkeypatch):
    """The way out is in the message."""
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(ImportError, match=r"pip install 'mytorch-autograd\[viz\]'"):
        curves(METRICS, tmp_path)


def test_matplotlib_is_loaded_late_and_left_alone(tmp_path):
    """Importing loads no matplotlib, drawing loads no pyplot and changes no setting."""
    program = f"""
import sys
from mytorch.viz.curves import curves
from mytorch.viz.render import draw
assert "matplotlib" not in sys.modules and "graphviz" not in sys.modules
import matplotlib
settings = lambda: dict(dict.items(matplotlib.rcParams))  # unlike rcParams[...], it picks no back end
before = settings()
curves({METRICS!r}, {str(tmp_path)!r})
draw("digraph {{ a -> b }}", "pdf")
assert before == settings()
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
