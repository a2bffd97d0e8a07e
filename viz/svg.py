"""A picture as SVG from the layout of `layout.py`: numpy is all it needs."""

import html
from itertools import pairwise

from .dot import CARRIED, CLUSTERS, KINDS, ROOT, WRONG
from .layout import layout
from .scene import LINE, MARGIN, SMALL, TITLE, box_size, known, scene, text_size, text_width
from .text import PLAIN

__all__ = ["curve", "svg"]

MARK = "plain layout; install Graphviz for a better one: pip install 'mytorch-autograd[viz]'"
FONT = "Helvetica, Arial, 'Liberation Sans', 'Nimbus Sans', sans-serif"
HEAD = 10, 6  # a group's heading: the space at its left, and above and below
DASHES = "5 3"

START = """<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"
     font-family="{font}" text-anchor="middle">
<defs>
<marker id="thin" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="7" markerHeight="7"
        markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0.8L8 4L0 7.2Z" fill="#666666"/></marker>
<marker id="thick" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="12" markerHeight="12"
        markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L8 4L0 8Z" fill="#666666"/></marker>
</defs>
<rect width="100%" height="100%" fill="white"/>
"""


def svg(graph, direction="TB", show=PLAIN):
    """The SVG of a Graph, drawn without Graphviz, which it says. direction: "TB" or "LR"."""
    shown = scene(graph, show)
    sizes = [box_size(box.lines, box.bold) for box in shown.boxes]
    heads = [_head_size(frame.lines) for frame in shown.frames]
    arrows = [(arrow.source, arrow.target) for arrow in shown.arrows]
    placed = layout(sizes, arrows, [b.group for b in shown.boxes], [f.outer for f in shown.frames], heads, direction)
    told = [*shown.notes, MARK]
    width = max(placed.size[0], *(text_width(line, SMALL) + 2 * HEAD[0] for line in told))
    height = placed.size[1] + LINE * SMALL * len(told) + HEAD[1]
    shift = (width - placed.size[0]) / 2
    parts = [START.format(width=_n(width), height=_n(height), font=FONT)]
    parts += [_note(line, i, placed.size[1]) for i, line in enumerate(told)]
    parts.append(f'<g transform="translate({_n(shift)} 0)">\n')
    parts += [_frame(*each) for each in zip(shown.frames, placed.groups, strict=True)]
    parts += [_arrow(*each, direction) for each in zip(shown.arrows, placed.routes, strict=True)]
    parts += [_heading(*each) for each in zip(shown.frames, placed.groups, strict=True)]
    parts += [_box(*each) for each in zip(shown.boxes, placed.nodes, sizes, strict=True)]
    for arrow, route in zip(shown.arrows, placed.routes, strict=True):
        if arrow.label and route:
            parts.append(_label(arrow, route, placed.nodes[arrow.target], direction))
    return "".join([*parts, "</g>\n</svg>\n"])


def _head_size(lines):
    width, height = text_size(lines)
    return width + 2 * HEAD[0], height + 2 * HEAD[1]


def _n(x):
    """A number with at most two decimals."""
    return f"{x:.2f}".rstrip("0").rstrip(".")


def curve(route, direction="TB"):
    """The path through the corners of a route, along the ranks' direction at each of them."""
    path = [f"M{_n(route[0][0])} {_n(route[0][1])}"]
    for (x, y), (end_x, end_y) in pairwise(route):
        end = f"{_n(end_x)} {_n(end_y)}"
        if direction == "LR":
            middle, straight = (x + end_x) / 2, y == end_y
            bends = f"{_n(middle)} {_n(y)} {_n(middle)} {_n(end_y)}"
        else:
            middle, straight = (y + end_y) / 2, x == end_x
            bends = f"{_n(x)} {_n(middle)} {_n(end_x)} {_n(middle)}"
        path.append(f"L{end}" if straight else f"C{bends} {end}")
    return "".join(path)


def _text(line, x, y, size, *, bold=False, color="#444444", anchor=None, halo=False):
    """A line of text, as wide as it was measured whatever the font; with a halo, it covers the edges behind it."""
    given = {"x": _n(x), "y": _n(y), "font-size": str(size), "fill": color}
    given |= {"font-weight": "bold"} if bold else {}
    given |= {"text-anchor": anchor} if anchor else {}
    if known(line) and line:
        given |= {"textLength": _n(text_width(line, size, bold)), "lengthAdjust": "spacingAndGlyphs"}
    text = html.escape(line, quote=False)
    below = given | {"fill": "white", "stroke": "white", "stroke-width": "3", "stroke-opacity": "0.8"}
    return "".join(f"<text {_attributes(each)}>{text}</text>" for each in ([below] if halo else []) + [given])


def _attributes(given):
    return " ".join(f'{name}="{html.escape(str(value))}"' for name, value in given.items())


def _lines(lines, x, top, bold=True, anchor=None, halo=False):
    """A title and smaller lines below it; what is wrong is bold."""
    y, texts = top, []
    for i, line in enumerate(lines):
        size = SMALL if i else TITLE
        y += LINE * size
        strong = line.startswith("! ") if i else bold
        color = "#444444" if i else "black"
        texts.append(_text(line, x, y - 0.3 * size, size, bold=strong, color=color, anchor=anchor, halo=halo))
    return "".join(texts)


def _outline(look, *marks):
    """SVG's attributes for a look of Graphviz's."""
    look = dict(look)
    for mark in marks:
        look |= mark
    given = {"fill": look.get("fillcolor", "none"), "stroke": look["color"], "stroke-width": look.get("penwidth", "1")}
    given |= {"stroke-dasharray": DASHES} if "dashed" in look["style"] else {}
    return given | ({"rx": "6"} if "rounded" in look["style"] else {})


def _rect(left, top, width, height, given):
    place = {"x": _n(left), "y": _n(top), "width": _n(width), "height": _n(height)}
    return f"<rect {_attributes(place | given)}/>"


def _box(box, center, size):
    (x, y), (width, height) = center, size
    marks = [{"root": ROOT, "wrong": WRONG}[mark] for mark in box.marks]
    given = _outline(KINDS[box.look], *marks)
    shapes = _rect(x - width / 2, y - height / 2, width, height, given)
    if "peripheries" in KINDS[box.look]:  # a second outline: there is something in it
        shapes += _rect(x - width / 2 + 3, y - height / 2 + 3, width - 6, height - 6, given | {"fill": "none"})
    texts = _lines(box.lines, x, y - height / 2 + MARGIN[1], box.bold)
    title = html.escape("\n".join(box.hover), quote=False)
    return f'<g id="{box.key}"><title>{title}</title>{shapes}{texts}</g>\n'


def _frame(frame, place):
    left, top, width, height = place
    given = _outline(CLUSTERS[frame.look]) | {"fill": "#000000", "fill-opacity": "0.03"}
    return _rect(left, top, width, height, given | {"id": frame.key}) + "\n"


def _heading(frame, place):
    return _lines(frame.lines, place[0] + HEAD[0], place[1] + HEAD[1], anchor="start", halo=True) + "\n"


def _arrow(arrow, route, direction):
    if not route:
        return ""
    given = {"d": curve(route, direction), "fill": "none", "stroke": "#666666", "stroke-width": _n(arrow.width)}
    given |= {"stroke": CARRIED["color"], "stroke-dasharray": DASHES} if arrow.carried else {}
    given |= {"marker-end": "url(#thick)" if arrow.width > 2 else "url(#thin)"}
    title = f"<title>{html.escape(arrow.hover, quote=False)}</title>" if arrow.hover else ""
    return f"<g>{title}<path {_attributes(given)}/></g>\n"


def _label(arrow, route, center, direction):
    """The label of an edge beside its end, outside of the box and on the side where no other end is."""
    *_, before, (x, y) = route
    away = 3 + arrow.width
    if direction == "LR":
        x, anchor = (x - 6, "end") if before[0] < x else (x + 6, "start")
        y += -away if y < center[1] else away + 6
    else:
        y += -6 if before[1] < y else 12
        x, anchor = (x - away, "end") if x < center[0] else (x + away, "start")
    return _text(arrow.label, x, y, 9, anchor=anchor, halo=True) + "\n"


def _note(line, i, top):
    return _text(line, HEAD[0], top + LINE * SMALL * (i + 0.8), SMALL, color="#666666", anchor="start") + "\n"
