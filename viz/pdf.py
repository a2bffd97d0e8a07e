"""Graphviz's layout painted as a vector PDF, its text real text in an embedded font.

The layout is what `dot -Tjson` writes: the graph with its drawing operations, those of the xdot language
(https://graphviz.org/docs/outputs/canon/#xdot), in points with y upwards. A PDF has the same units, so every
operation changes the pen, or is one patch or one text of matplotlib's.
"""

import io

from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, PathPatch, Polygon
from matplotlib.path import Path

MARGIN = 4  # points round the drawing, as in Graphviz's SVG

# Only fonts that come with matplotlib, so that a PDF looks the same everywhere. Graphviz left room for Times,
# Courier or Helvetica. STIX and DejaVu Sans Mono are as wide; DejaVu Sans is wider, so it is set smaller.
FONTS = {  # face: families, scale of the regular and of the bold
    "Times":   (["STIXGeneral", "DejaVu Serif"], 1.00, 1.00),
    "Courier": (["DejaVu Sans Mono"],            1.00, 1.00),
    "":        (["DejaVu Sans"],                 0.86, 0.82),
}  # fmt: skip

# An item's operations in drawing order: itself, its label, then an edge's two arrowheads and their labels.
LAYERS = ("_draw_", "_ldraw_", "_hdraw_", "_tdraw_", "_hldraw_", "_tldraw_")

PEN = {
    "c": lambda op: {"edgecolor": _color(op)},
    "C": lambda op: {"facecolor": _color(op)},
    "S": lambda op: _style(op["style"]),
    "F": lambda op: {"font": _font(op["face"]), "size": op["size"]},
    "t": lambda op: {"bold": bool(op["fontchar"] & 1), "italic": bool(op["fontchar"] & 2)},
}
FRESH = {"edgecolor": "black", "facecolor": "none", "linewidth": 1, "linestyle": "-", "bold": 0, "italic": 0}

# A capital E, P or B is the filled shape. (So it is in the JSON; in xdot's own text, b is the filled spline.)
SHAPES = {
    "e": lambda op: Ellipse(op["rect"][:2], 2 * op["rect"][2], 2 * op["rect"][3]),
    "p": lambda op: Polygon(op["points"], closed=True),
    "l": lambda op: Polygon(op["points"], closed=False),
    "b": lambda op: PathPatch(Path(op["points"], [Path.MOVETO] + [Path.CURVE4] * (len(op["points"]) - 1))),
}


def paint(layout: dict) -> bytes:
    """The PDF of a layout: the same bytes for the same layout."""
    left, bottom, right, top = map(float, layout["bb"].split(","))
    left, bottom, right, top = left - MARGIN, bottom - MARGIN, right + MARGIN, top + MARGIN
    figure = Figure(figsize=((right - left) / 72, (top - bottom) / 72))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(left, right), ylim=(bottom, top))
    axes.set_axis_off()
    for item in (layout, *layout.get("objects", ()), *layout.get("edges", ())):
        for layer in LAYERS:
            _paint(axes, item.get(layer, ()))
    data = io.BytesIO()
    undated = dict.fromkeys(("Creator", "Producer", "CreationDate"))
    FigureCanvasPdf(figure).print_pdf(data, metadata=undated)
    return data.getvalue()


def _paint(axes, operations):
    """Draw one layer: an operation changes the pen or draws with it."""
    pen = dict(FRESH)
    for op in operations:
        code = op["op"]
        if code in PEN:
            pen |= PEN[code](op)
        elif code == "T":
            _text(axes, op, pen)
        elif code.lower() in SHAPES:
            _shape(axes, op, pen, filled=code in "EPB")
        else:
            raise ValueError(f"a .pdf cannot show Graphviz's drawing operation {code!r}: draw an .svg")


def _shape(axes, op, pen, filled):
    patch = SHAPES[op["op"].lower()](op)
    patch.set(**{name: pen[name] for name in ("edgecolor", "linewidth", "linestyle")})
    patch.set(facecolor=pen["facecolor"] if filled else "none", zorder=3)  # text has 3: the later lies on top
    axes.add_patch(patch)


def _text(axes, op, pen):
    family, *scales = pen["font"]
    axes.text(
        *op["pt"],
        op["text"].replace("\\\\", "\\"),  # the JSON escapes it twice
        ha={"l": "left", "c": "center", "r": "right"}[op["align"]],
        va="baseline",
        color=pen["edgecolor"],
        family=family,
        size=pen["size"] * scales[pen["bold"]],
        weight="bold" if pen["bold"] else "normal",
        style="italic" if pen["italic"] else "normal",
        parse_math=False,  # a name may hold a dollar sign
    )


def _color(op):
    """The operation's colour; of a gradient the first."""
    return op["color"] if op["grad"] == "none" else op["stops"][0]["color"]


def _style(style):
    """The pen of a line style; the others (filled, rounded) are in the shapes already."""
    if style.startswith("setlinewidth("):
        return {"linewidth": float(style[len("setlinewidth(") : -1])}
    dashes = {"solid": "-", "dashed": (0, (5, 2)), "dotted": (0, (1, 5))}
    return {"linestyle": dashes[style]} if style in dashes else {}


def _font(face):
    return next(FONTS[name] for name in FONTS if face.startswith(name))
