"""Training curves: a picture each of the loss and of the error, in training and in validation."""

import csv
import io
import math
import os
from pathlib import Path

from .render import write

# What is drawn: the vertical axis, the factor from the metric to it, and how the final value is written.
LOSS = ("cross-entropy loss (nats per example)", 1, "{:.3g}")
ERROR = ("error (% of examples)", 100, "{:.3g} %")

# Blue and vermilion of Okabe and Ito's palette, which the colour-blind tell apart.
PICTURES = {
    "train_loss":  ("Training loss",    LOSS,  "#0072B2"),
    "train_error": ("Training error",   ERROR, "#0072B2"),
    "val_loss":    ("Validation loss",  LOSS,  "#D55E00"),
    "val_error":   ("Validation error", ERROR, "#D55E00"),
}  # fmt: skip
COLUMNS = ("epoch", *PICTURES)


def curves(metrics, folder=None) -> list[Path]:
    """Write train_loss.png, train_error.png, val_loss.png and val_error.png, and return their paths.

    metrics: the columns epoch, train_loss, train_error, val_loss and val_error, errors as fractions in
        [0, 1]: a dict of sequences, a list of dicts, the path of a metrics.csv or of a folder with one.
        Other columns may stand beside them. A value that is not finite leaves a gap.
    folder: where the pictures go; by default beside the metrics.csv.

    The same metrics give the same bytes.
    """
    if isinstance(metrics, str | os.PathLike):
        table = _find(Path(metrics))
        metrics, folder = _read(table), table.parent if folder is None else folder
    if folder is None:
        raise ValueError("curves needs a folder for its pictures: curves(metrics, folder)")
    epochs, *series = _columns(metrics)
    if not all(map(math.isfinite, epochs)):
        raise ValueError("the metrics' epoch holds a value that is not finite")
    pictures = [_draw(epochs, values, *PICTURES[name]) for name, values in zip(PICTURES, series, strict=True)]
    return [write(Path(folder, f"{name}.png"), data) for name, data in zip(PICTURES, pictures, strict=True)]


def _find(path):
    table = path / "metrics.csv" if path.is_dir() else path
    if not table.is_file():
        raise FileNotFoundError(f"there is no '{table}': give a metrics.csv or a folder that holds one")
    return table


def _read(table):
    with open(table, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _columns(metrics):
    """The columns in order, as lists of floats, none missing and all of one length."""
    if not hasattr(metrics, "keys"):  # rows
        metrics = {name: [row[name] for row in metrics if name in row] for name in COLUMNS}
    lengths = {name: len(metrics[name]) if name in metrics else 0 for name in COLUMNS}
    if missing := [name for name in COLUMNS if not lengths[name]]:
        raise ValueError(f"the metrics have no {', '.join(missing)}; curves needs {', '.join(COLUMNS)}")
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the metrics' columns differ in length: {lengths}")
    return [[_number(name, value) for value in metrics[name]] for name in COLUMNS]


def _number(name, value):
    try:
        return math.nan if value is None or value == "" else float(value)
    except (TypeError, ValueError):
        raise ValueError(f"the metrics' {name} holds {value!r}, which is no number") from None


def _draw(epochs, values, title, kind, color):
    """The PNG of one curve, 720 x 540 pixels."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("curves needs matplotlib: pip install 'mytorch-autograd[viz]'") from error

    label, factor, form = kind
    figure = Figure(figsize=(4.8, 3.6), dpi=150, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    axes = figure.add_subplot(title=title, xlabel="epoch", ylabel=label)
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    _plot(axes, epochs, [factor * value for value in values], form, color)
    data = io.BytesIO()
    FigureCanvasAgg(figure).print_png(data, metadata={"Software": None})  # it would name matplotlib's version
    return data.getvalue()


def _plot(axes, epochs, values, form, color):
    """The curve with zero in sight, and the final value beside its end."""
    seen = [0, *filter(math.isfinite, values)]
    low, high = min(seen), max(seen)
    room = 0.05 * (high - low) or 1
    axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    axes.set_ylim(low and low - room, high + room)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    # In a long run a marker is as wide as the line: it shows only where a value stands alone between gaps.
    marker = {"marker": "o", "markersize": 5 if len(epochs) <= 30 else 1.5, "markeredgewidth": 0}
    axes.plot(epochs, values, color=color, linewidth=1.5, zorder=3, clip_on=False, **marker)
    axes.annotate(
        form.format(values[-1]),
        xy=(1, seen[-1]),
        xycoords=("axes fraction", "data"),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        color=color,
    )
