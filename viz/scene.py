"""What a picture of a Graph shows, for the pictures that are laid out here: its texts, and how large they are."""

import math
import unicodedata
from dataclasses import dataclass

from .dot import ORDERED
from .text import PLAIN, contents, heading, hover, lines, percent, width

__all__ = ["Arrow", "Box", "Frame", "Scene", "scene", "text_width"]

TITLE, SMALL = 12, 10  # the sizes of a box's first line and of the others
LINE = 1.25  # the height of a line of text of size 1
MARGIN = 9, 5  # round the text in a box, at its sides, and above and below


@dataclass(frozen=True, slots=True)
class Box:
    """A node: `look` is its kind; the marks "root" and "wrong" stand beside it in `marks`."""

    key: str
    look: str
    lines: list
    hover: list
    marks: list
    bold: bool
    group: int  # the number of the innermost Frame, -1 for none


@dataclass(frozen=True, slots=True)
class Arrow:
    """An edge between the boxes of these numbers."""

    source: int
    target: int
    label: str
    width: float
    carried: bool
    hover: str


@dataclass(frozen=True, slots=True)
class Frame:
    """A group with boxes in it; `outer` is the number of the one around it, which comes before it, -1 for none."""

    key: str
    look: str
    lines: list
    outer: int


@dataclass(frozen=True, slots=True)
class Scene:
    """All of a picture but for the places."""

    boxes: list
    arrows: list
    frames: list
    notes: list


def scene(graph, show=PLAIN):
    """The Scene of a Graph; groups in which there is nothing are left out."""
    frames = _frames(graph)
    number = {frame.key: i for i, frame in enumerate(frames)} | {None: -1}
    boxes = [_box(node, graph.root, number[node.group], show) for node in graph.nodes]
    return Scene(boxes, list(_arrows(graph)), frames, list(graph.notes))


def _frames(graph):
    groups = {group.key: group for group in graph.groups}
    used = set()
    for node in graph.nodes:
        key = node.group
        while key is not None and key not in used:
            used.add(key)
            key = groups[key].parent
    kept = [group for group in graph.groups if group.key in used]
    number = {group.key: i for i, group in enumerate(kept)} | {None: -1}
    return [
        Frame(g.key, g.kind, [*filter(None, (heading(g), g.detail, contents(g)))], number[g.parent]) for g in kept
    ]


def _box(node, root, group, show):
    marks = ["root"] * (node.key == root) + ["wrong"] * bool(node.marks)
    texts = [text for text in lines(node, show) if text]
    return Box(node.key, node.kind, texts, hover(node), marks, bool(node.name or node.op or node.inside), group)


def _arrows(graph):
    place = {node.key: i for i, node in enumerate(graph.nodes)}
    arguments = {}
    for edge in graph.edges:
        arguments.setdefault(edge.target, set()).add(edge.argument)
    most = max((e.flow for e in graph.edges if e.flow is not None and math.isfinite(e.flow)), default=0)
    for edge in graph.edges:
        target, told = graph.nodes[place[edge.target]], []
        if target.op in ORDERED and len(arguments[edge.target]) > 1:
            told.append(("1st", "2nd", "3rd")[edge.argument])
        if edge.share is not None:
            told.append(percent(edge.share))
        if edge.count > 1 and edge.count != target.count:
            told.append(f"×{edge.count:,}")
        flow = "" if edge.flow is None else f"gradient norm {edge.flow:.4g}"
        look = ", ".join(told), width(edge.flow, most), edge.carried, flow
        yield Arrow(place[edge.source], place[edge.target], *look)


# ----- how large text is -----

# The widths of Helvetica's and Helvetica Bold's characters from the space on, in thousandths of the size of the font;
# Arial, Liberation Sans and Nimbus Sans have the same.
# fmt: off
REGULAR = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833,
    722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556,
    556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334,
    260, 334, 584,
]
BOLD = [
    278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 333, 333, 584, 584, 584, 611, 975, 722, 722, 722, 722, 667, 611, 778, 722, 278, 556, 722, 611, 833,
    722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 333, 278, 333, 584, 556, 333, 556, 611, 556, 611,
    556, 333, 611, 611, 278, 278, 556, 278, 889, 611, 611, 611, 611, 389, 556, 333, 611, 556, 778, 556, 556, 500, 389,
    280, 389, 584,
]
# fmt: on
OTHERS = {"×": 584, "…": 1000, "±": 549, "−": 584, "÷": 549, "·": 333, "–": 556, "—": 1000, "°": 400}
WIDE, UNKNOWN = 1000, 800  # of the characters of East Asia, and of all others


def text_width(text, size, bold=False):
    """How wide a line of text is, in the units of `size`; of characters that the table lacks, rather too wide."""
    table = BOLD if bold else REGULAR
    return size / 1000 * sum(table[ord(c) - 32] if " " <= c <= "~" else _other(c) for c in text)


def _other(c):
    return OTHERS.get(c) or (WIDE if unicodedata.east_asian_width(c) in "WF" else UNKNOWN)


def known(text):
    """Whether the table has every character."""
    return all(" " <= c <= "~" or c in OTHERS for c in text)


def text_size(lines, bold=True):
    """(width, height) of lines of which the first is the title."""
    if not lines:
        return 0, 0
    title, *others = lines
    widths = [text_width(title, TITLE, bold), *(text_width(line, SMALL, line.startswith("! ")) for line in others)]
    return max(widths), LINE * (TITLE + SMALL * len(others))


def box_size(lines, bold):
    """(width, height) of the box round such lines."""
    width, height = text_size(lines, bold)
    return max(width, 12) + 2 * MARGIN[0], height + 2 * MARGIN[1]
