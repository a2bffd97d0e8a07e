"""The four pictures of a training run."""

import csv
import math
import re
import subprocess
import sys

import pytest

from mytorch.viz.curves import curves

METRICS = {
    "epoch": [1, 2, 3],
    "train_loss": [0.9, 0.5, 0.25],
    "train_error": [0.5, 0.25, 0.125],
    "val_loss": [1.0, 0.625, 0.75],
    "val_error": [0.5, 0.375, 0.0625],
    "seconds": [2.0, 2.0],
}
NAMES = ["train_loss.png", "train_error.png", "val_loss.png", "val_error.png"]
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


def test_every_form_of_the_metrics_gives_the_same_four_pictures(run, tmp_path):
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

    for figure, (title, unit, values, final) in zip(figures, expected, strict=True):
        (axes,) = figure.axes
        (line,) = axes.lines
        assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == (title, "epoch", unit)
        assert (list(line.get_xdata()), list(line.get_ydata())) == ([1, 2, 3], values)
        assert [text.get_text() for text in axes.texts] == [final]


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
        (axes,) = figure.axes
        drawn = axes.get_tightbbox(figure.canvas.get_renderer())
        assert 0 <= drawn.x0 < drawn.x1 <= 720 and 0 <= drawn.y0 < drawn.y1 <= 540
        assert all(float(tick).is_integer() for tick in axes.get_xticks())
        assert axes.lines[0].get_marker() == "o"


def test_a_gap_in_the_values_is_a_gap_in_the_curve(figures, tmp_path):
    """nan, inf and an empty csv field are not drawn; the others keep their places."""
    gaps = {"train_loss": [0.9, math.nan, 0.2], "val_loss": [1, 2, math.inf], "val_error": ["", None, 0.5]}
    curves(METRICS | gaps, tmp_path)

    drawn = [[y for y in figure.axes[0].lines[0].get_ydata() if math.isfinite(y)] for figure in figures]
    assert drawn == [[0.9, 0.2], [50, 25, 12.5], [1.0, 2.0], [50]]
    assert figures[2].axes[0].texts[0].get_text() == "inf"


def test_a_picture_has_a_size_and_no_date(tmp_path):
    """720 x 540 pixels, and no text beside them: neither a date nor a version."""
    for path in curves(METRICS, tmp_path):
        data = path.read_bytes()

        assert data[:8] == b"\x89PNG\r\n\x1a\n"
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
        ("none.csv", FileNotFoundError, "there is no 'none.csv': give a metrics.csv or a folder"),
    ],
)
def test_an_error_is_one_clear_line(metrics, error, message, tmp_path):
    """What is missing or wrong in the metrics is named, and nothing is written."""
    with pytest.raises(error, match=message) as raised:
        curves(metrics, tmp_path)

    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_without_a_path_a_folder_must_be_named(tmp_path):
    """Metrics in memory have no folder of their own, and a folder that is not there is not made."""
    with pytest.raises(ValueError, match=r"needs a folder for its pictures: curves\(metrics, folder\)"):
        curves(METRICS)
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
