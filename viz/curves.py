"""Training curves: pictures of the loss, the error and what else was logged, of one run or of several compared."""

import base64
import csv
import html
import io
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from .layout import separate
from .render import write

# ----- what is drawn -----

# An axis: its title, the factor from the metric to it, and how the final value is written.
LOSS = ("cross-entropy loss (nats per example)", 1, "{:.3g}")
ERROR = ("error (% of examples)", 100, "{:.3g} %")
RATE = ("learning rate", 1, "{:.3g}")
NORM = ("gradient norm (mean of an epoch)", 1, "{:.3g}")

PICTURES = {  # the handout's four, each of one metric
    "train_loss":  ("Training loss",    LOSS),
    "train_error": ("Training error",   ERROR),
    "val_loss":    ("Validation loss",  LOSS),
    "val_error":   ("Validation error", ERROR),
}  # fmt: skip
PANELS = [  # of curves.png; one whose metrics are not logged is left out
    ("Loss",          LOSS,  ("train_loss", "val_loss")),
    ("Error",         ERROR, ("train_error", "val_error")),
    ("Learning rate", RATE,  ("lr",)),
    ("Gradient norm", NORM,  ("grad_norm",)),
]  # fmt: skip
COLUMNS = ("epoch", *PICTURES)  # what a run must have
LOGGED = ("lr", "grad_norm")  # what it may have
WEIGHTS = "weights.csv"  # its histograms, beside metrics.csv: epoch, parameter, low, high, counts

# Okabe and Ito's palette, which the colour-blind tell apart, without its yellow, too faint for a line on white. With
# seven colours and eight markers 56 runs look different, and each curve has its name at its end.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
DASHED = (0, (4, 2))
FEW = 30  # epochs: of a longer run a marker stands at some of them only
FONT, LINE = 9, 11.5  # points: a curve's name, and the height of its line
LONG = 28  # characters of a run's name: a longer one is cut in the middle

PARAMETERS = 24  # the picture of weights shows no more panels
BINS = 100  # rows of such a panel


def curves(metrics, folder=None) -> list[Path]:
    """Draws the curves of a run, or of several in the same pictures; returns the paths of what was written.

    train_loss.png, train_error.png, val_loss.png and val_error.png show one metric each, curves.png all of them, and
    weights.png, where histograms were logged (`python -m mytorch.train --histograms`), the weights over time.

    metrics: the columns epoch, train_loss, train_error, val_loss and val_error, errors as fractions in
        [0, 1]: a dict of sequences, a list of dicts, the path of a metrics.csv or of a folder with one.
        lr and grad_norm are drawn where they are there; other columns may stand beside them. A value that is
        not finite leaves a gap. Several runs are a list of paths, or a dict from names to any of these forms.
    folder: where the pictures go; by default beside the metrics.csv, of a single run.

    The same metrics give the same bytes.
    """
    runs = _runs(metrics)
    folder = folder or (runs[0].folder if len(runs) == 1 else None)
    if folder is None:
        raise ValueError("curves needs a folder for its pictures: curves(metrics, folder)")
    pictures = {name: _one(runs, name) for name in PICTURES} | {"curves": _all(runs)}
    if any(run.weights for run in runs):
        pictures["weights"] = _weights(runs)
    return [write(Path(folder, f"{name}.png"), data) for name, data in pictures.items()]


def live(rows, path, *, title="training", refresh=None) -> Path:
    """Writes a page with the curves so far, which needs no other file and loads itself anew every `refresh` seconds.

    rows: the metrics, a dict an epoch; before the first epoch is over there is none.
    """
    shown = "<p>The first epoch is not over yet.</p>"
    if rows:
        picture = base64.b64encode(_all(_runs(rows))).decode()
        shown = f'<img alt="The curves so far" src="data:image/png;base64,{picture}">'
    again = "" if refresh is None else f'\n<meta http-equiv="refresh" content="{refresh:g}">'
    return write(path, PAGE.format(title=html.escape(title), again=again, shown=shown).encode())


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">{again}
<title>{title}</title>
<style>
  :root {{ color-scheme: light dark }}
  body {{ margin: 1.5rem auto; max-width: 64rem; padding: 0 1rem; font: 1rem system-ui, sans-serif }}
  h1 {{ font-size: 1.2rem }}
  img {{ width: 100%; border-radius: 6px; background: white }}
</style>
<h1>{title}</h1>
{shown}
</html>
"""


# ----- reading -----


@dataclass(frozen=True, slots=True)
class Run:
    """A run: its name, its columns as lists of floats, its folder if known, {parameter: [(epoch, edges, counts)]}."""

    name: str
    columns: dict
    folder: Path | None
    weights: dict


def _runs(metrics):
    """The Runs that `metrics` tells of, in its order."""
    if isinstance(metrics, Mapping) and metrics and all(map(_is_run, metrics.values())):
        return [_run(str(name), run) for name, run in metrics.items()]
    if isinstance(metrics, list | tuple) and metrics and all(isinstance(x, str | os.PathLike) for x in metrics):
        return [_run(name, path) for name, path in zip(_names(metrics), metrics, strict=True)]
    return [_run("", metrics)]


def _is_run(x):
    """True of the forms that the metrics of a run may have, and not of a column."""
    if isinstance(x, list | tuple):
        return bool(x) and all(isinstance(row, Mapping) for row in x)
    return isinstance(x, str | os.PathLike | Mapping)


def _names(paths):
    """The names of the runs' folders; the whole paths where two are the same."""
    folders = [path.parent if path.suffix == ".csv" else path for path in map(Path, paths)]
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _run(name, metrics):
    folder, weights = None, {}
    if isinstance(metrics, str | os.PathLike):
        table = _find(Path(metrics))
        metrics, folder, weights = _read(table), table.parent, _histograms(table.with_name(WEIGHTS))
    try:
        columns = _columns(metrics)
    except ValueError as error:
        raise ValueError(f"{name}: {error}" if name else str(error)) from None
    return Run(name, columns, folder, weights)


def _find(path):
    table = path / "metrics.csv" if path.is_dir() else path
    if not table.is_file():
        raise FileNotFoundError(f"there is no '{table}': give a metrics.csv or a folder that holds one")
    return table


def _read(table):
    with open(table, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _columns(metrics):
    """{column: floats} of one length: all of COLUMNS, and those of LOGGED that hold anything."""
    if not hasattr(metrics, "keys"):  # rows
        metrics = {name: [row[name] for row in metrics if name in row] for name in (*COLUMNS, *LOGGED)}
    lengths = {name: len(metrics[name]) if name in metrics else 0 for name in (*COLUMNS, *LOGGED)}
    if missing := [name for name in COLUMNS if not lengths[name]]:
        raise ValueError(f"the metrics have no {', '.join(missing)}; curves needs {', '.join(COLUMNS)}")
    lengths = {name: length for name, length in lengths.items() if length}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the metrics' columns differ in length: {lengths}")
    columns = {name: [_number(name, value) for value in metrics[name]] for name in lengths}
    if not all(map(math.isfinite, columns["epoch"])):
        raise ValueError("the metrics' epoch holds a value that is not finite")
    return {name: xs for name, xs in columns.items() if name in COLUMNS or any(map(math.isfinite, xs))}


def _number(name, value):
    try:
        return math.nan if value is None or value == "" else float(value)
    except (TypeError, ValueError):
        raise ValueError(f"the metrics' {name} holds {value!r}, which is no number") from None


def _histograms(table):
    """{parameter: [(epoch, edges of the bins, counts)]} from a weights.csv; none where there is no such file."""
    found = {}
    for row in _read(table) if table.is_file() else ():
        try:
            counts = np.array(row["counts"].split(), float)
            edges = np.linspace(float(row["low"]), float(row["high"]), len(counts) + 1)
            found.setdefault(row["parameter"], []).append((float(row["epoch"]), edges, counts))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ValueError(f"'{table}' needs epoch, parameter, low, high, counts; this row has not: {row}") from None
    return found


# ----- curves -----


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of a curve, its name, and how it looks."""

    x: list
    y: list
    name: str
    color: str
    marker: str
    dashes: object = "-"


def _one(runs, metric):
    """The PNG of one metric, 720 x 540 pixels or, of many runs, more."""
    title, (label, factor, form) = PICTURES[metric]
    if len(runs) == 1:
        looks = [("", *_look(metric.startswith("val_"))[:2])]
    else:
        looks = [(_short(run.name), *_look(i)) for i, run in enumerate(runs)]
    curves = [_curve(run, metric, factor, *look) for run, look in zip(runs, looks, strict=True)]
    figure = _figure(*_room(4.8, 3.6, curves))
    _plot(figure.add_subplot(), title, label, form, curves)
    return _png(figure)


def _all(runs):
    """The PNG of all that was logged: a panel for losses, errors, learning rate, gradient norm."""
    panels = [(*panel, curves) for *panel, metrics in PANELS if (curves := _panel(runs, metrics, panel[1][1]))]
    width, height = _room(4.8, 3.4, max((curves for *_, curves in panels), key=len))
    rows = math.ceil(len(panels) / 2)
    figure = _figure(2 * width, rows * height)
    for place, (title, (label, _, form), curves) in zip(figure.add_gridspec(rows, 2), panels, strict=False):
        _plot(figure.add_subplot(place), title, label, form, curves)
    return _png(figure)


def _room(width, height, curves):
    """The size in inches of a panel that leaves room for the curves' names."""
    return width + 0.07 * max(len(curve.name) for curve in curves), max(height, (len(curves) * LINE + 72) / 72)


def _panel(runs, metrics, factor):
    """The curves of a panel: where a panel has two metrics, training is solid and validation dashed."""
    parts = {"train": ("training", "-"), "val": ("validation", DASHED)}
    found = []
    for i, run in enumerate(runs):
        for j, metric in enumerate(metrics):
            if metric not in run.columns:
                continue
            part, dashes = parts.get(metric.partition("_")[0], ("", "-")) if len(metrics) > 1 else ("", "-")
            name = " ".join(filter(None, (_short(run.name), part)))
            found.append(_curve(run, metric, factor, name, *_look(i if len(runs) > 1 else j), dashes))
    return found


def _look(i):
    """Colour and marker number `i`."""
    return COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)]


def _short(name):
    return name if len(name) <= LONG else f"{name[: LONG // 2 - 1]}…{name[-LONG // 2 :]}"


def _curve(run, metric, factor, *look):
    return Curve(run.columns["epoch"], [factor * value for value in run.columns[metric]], *look)


def _plot(axes, title, label, form, curves):
    """The curves with zero in sight, and beside the end of each its name and final value."""
    axes.set(title=title, xlabel="epoch", ylabel=label)
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    epochs = [x for curve in curves for x in curve.x]
    seen = [0, *(y for curve in curves for y in curve.y if math.isfinite(y))]
    low, high = min(seen), max(seen)
    room = 0.05 * (high - low) or 1
    axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    axes.set_ylim(low and low - room, high + room)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    for i, curve in enumerate(curves):
        _draw(axes, curve, i, len(curves))
        _label(axes, curve, ": ".join(filter(None, (curve.name, form.format(curve.y[-1])))))


def _draw(axes, curve, i, many):
    """One line. In a long run a marker is as wide as it, and shows where a value stands alone between gaps."""
    few = len(curve.x) <= FEW
    look = {"color": curve.color, "linewidth": 1.5, "zorder": 3, "clip_on": False, "markeredgewidth": 0}
    marker, size = (curve.marker, 5) if few else ("o", 1.5)
    axes.plot(curve.x, curve.y, linestyle=curve.dashes, marker=marker, markersize=size, **look)
    if not few and many > 1:  # and wide ones at some epochs, each curve's at others
        step = len(curve.x) // 8
        some = slice(step * i // many, None, step)
        axes.plot(curve.x[some], curve.y[some], linestyle="none", marker=curve.marker, markersize=6, **look)


def _label(axes, curve, text):
    """Writes at the right edge, at the height of the curve's last finite value; with a name, `_part` may move it."""
    line = {"arrowstyle": "-", "color": curve.color, "linewidth": 0.7, "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 0}
    axes.annotate(
        text,
        xy=(1, next((y for y in reversed(curve.y) if math.isfinite(y)), 0)),
        xycoords=("axes fraction", "data"),
        xytext=(18 if curve.name else 6, 0),
        textcoords="offset points",
        va="center",
        fontsize=FONT if curve.name else None,
        color=curve.color,
        arrowprops=line if curve.name else None,
    )


def _part(axes):
    """Moves the labels of the curves' ends up and down until none lies on another."""
    labels = sorted(axes.texts, key=lambda label: label.xy[1])
    point = 72 / axes.figure.dpi
    ends = [axes.transData.transform((0, label.xy[1]))[1] * point for label in labels]
    bottom, top = axes.bbox.y0 * point, axes.bbox.y1 * point - (len(labels) - 1) * LINE
    for i, (label, end, place) in enumerate(zip(labels, ends, separate(ends, [LINE] * len(labels)), strict=True)):
        inside = min(max(place - i * LINE, bottom), top) + i * LINE
        label.set_position((label.xyann[0], inside - end))


# ----- weights -----


def _weights(runs):
    """The PNG of the parameters' histograms over time, a panel for each."""
    panels = [(f"{_short(run.name)} {name}".strip(), rows) for run in runs for name, rows in run.weights.items()]
    shown, more = panels[:PARAMETERS], len(panels[PARAMETERS:])
    columns = min(3, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = _figure(4 * columns, 2.4 * rows + 0.4)
    for place, panel in zip(figure.add_gridspec(rows, columns), shown, strict=False):
        _heat(figure.add_subplot(place), *panel)
    rest = f"; {more} more are not shown" if more else ""
    figure.suptitle(f"Parameters by epoch: darker where more of its numbers are{rest}", fontsize=11)
    return _png(figure)


def _heat(axes, title, rows):
    """The histograms of one parameter side by side, on bins that all share."""
    epochs = [epoch for epoch, _, _ in rows]
    low, high = min(edges[0] for _, edges, _ in rows), max(edges[-1] for _, edges, _ in rows)
    grid = np.linspace(low, high, BINS + 1)
    density = np.array([np.diff(np.interp(grid, edges, np.append(0, counts.cumsum()))) for _, edges, counts in rows])
    density /= density.max(1, keepdims=True, initial=1e-300)  # every epoch has its own darkest
    borders = [epochs[0] - 0.5, *((a + b) / 2 for a, b in pairwise(epochs)), epochs[-1] + 0.5]
    axes.pcolormesh(borders, grid, np.sqrt(density).T, cmap="Blues")  # the root: what is rare shows too
    axes.set_title(title, fontsize=10)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


# ----- figures -----


def _figure(width, height):
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("curves needs matplotlib: pip install 'mytorch-autograd[viz]'") from error
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    return figure


def _png(figure):
    """The figure laid out, its labels moved apart, as the bytes of a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    if crowded := [axes for axes in figure.axes if len(axes.texts) > 1]:
        figure.get_layout_engine().execute(figure)  # the heights of the axes are known only then
        for axes in crowded:
            _part(axes)
    data = io.BytesIO()
    canvas.print_png(data, metadata={"Software": None})  # it would name matplotlib's version
    return data.getvalue()
