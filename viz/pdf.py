"""Graphviz's layout painted as a vector PDF, its text real text in an embedded font.

The layout is what `dot -Tjson` writes: the drawing operations of the xdot language
(https://graphviz.org/docs/outputs/canon/#xdot), in points, y upwards. Matplotlib's PDF canvas has the same
units, so an operation is one patch or one text.
"""

import io

from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, PathPatch, Polygon
from matplotlib.path import Path

MARGIN = 4  # points around the drawing, as Graphviz leaves in its SVG

# An item's operations, in the order they are drawn: itself, its label, an edge's arrows and their labels.
LAYERS = ("_draw_", "_ldraw_", "_hdraw_", "_tdraw_", "_hldraw_", "_tldraw_")

SHAPES = {
    "e": lambda op: Ellipse(op["rect"][:2], 2 * op["rect"][2], 2 * op["rect"][3]),
    "p": lambda op: Polygon(op["points"], closed=True),
    "l": lambda op: Polygon(op["points"], closed=False),
    "b": lambda op: PathPatch(Path(op["points"], [Path.MOVETO] + [Path.CURVE4] * (len(op["points"]) - 1))),
}
FILLED = "EPb"  # xdot has a capital for a filled shape, but for splines

STYLES = {
    "dashed": {"linestyle": (0, (5, 2))},
    "dotted": {"linestyle": (0, (1, 5))},
    "bold": {"linewidth": 2},
}
ALIGNED = {"l": "left", "c": "center", "r": "right"}

# Only the fonts that matplotlib ships, so that a PDF is the same everywhere. DejaVu Sans is the wider by
# about a sixth than the Helvetica whose widths Graphviz laid out; STIX has the widths of Times.
FONTS = {
    "Times": (["STIXGeneral", "DejaVu Serif"], 1.0),
    "Courier": (["DejaVu Sans Mono"], 1.0),
    "": (["DejaVu Sans"], 0.86),
}


def paint(layout: dict) -> bytes:
    """The PDF of a layout, the same bytes for the same layout."""
    left, bottom, right, top = map(float, layout["bb"].split(","))
    left, bottom, right, top = left - MARGIN, bottom - MARGIN, right + MARGIN, top + MARGIN
    figure = Figure(figsize=((right - left) / 72, (top - bottom) / 72))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(left, right), ylim=(bottom, top))
    axes.set_axis_off()
    for item in (layout, *layout.get("objects", ()), *layout.get("edges", ())):
        for layer in LAYERS:
            _paint(axes, item.get(layer, ()))
    data = io.BytesIO()
    FigureCanvasPdf(figure).print_pdf(data, metadata=dict.fromkeys(("Creator", "Producer", "CreationDate")))
    return data.getvalue()


def _paint(axes, operations):
    """Draw one layer's operations, each with the pen that those before it have set."""
    pen, fill, font, style, weight = "black", "none", {}, {}, {}
    for op in operations:
        match op["op"]:
            case "c": pen = _color(op)
            case "C": fill = _color(op)
            case "S": style = _style(op["style"])
            case "F": font = _font(op["face"], op["size"])
            case "t": weight = {"weight": "bold" if op["fontchar"] & 1 else "normal",
                                "style": "italic" if op["fontchar"] & 2 else "normal"}
            case "T":
                ...
