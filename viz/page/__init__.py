"""A picture as one page of HTML that asks nothing of a network: to be folded, searched and followed.

The page lays itself out, for what is seen of a graph changes with every group that is folded: layout.js is layout.py
in JavaScript, and a test says that they agree. Its parts lie beside this file; `page` puts them and the data together.
"""

import html
import json
from collections import Counter
from dataclasses import replace
from importlib.resources import files

from ..scene import Frame, scene
from ..text import PLAIN

__all__ = ["page"]

SCRIPTS = ["layout.js", "model.js", "draw.js", "page.js"]
CROWD, PART = 150, 100  # in a group there are no more things; else they are cut into parts of so many


def page(graph, title="computation graph", show=PLAIN):
    """The page of a Graph: the same bytes for the same graph."""
    shown = _in_parts(scene(graph, show))
    script = "\n".join(_asset(name) for name in SCRIPTS)
    parts = {
        "title": html.escape(title),
        "style": _asset("page.css"),
        "data": _json(_data(shown)),
        "script": f'(() => {{\n"use strict";\n\n{script}\n}})();\n',
    }
    head, *rest = _asset("page.html").split("{{")
    return head + "".join(parts[name] + text for name, text in (piece.split("}}", 1) for piece in rest))


def _asset(name):
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def _json(data):
    """JSON that no tag of HTML is in."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _data(shown):
    """The scene as lists; a text that many boxes share is written once."""
    number = {}

    def numbers(lines):
        return [number.setdefault(line, len(number)) for line in lines]

    boxes = [[b.key, b.look, b.marks, int(b.bold), b.group, numbers(b.lines), numbers(b.hover)] for b in shown.boxes]
    frames = [[f.key, f.look, f.outer, numbers(f.lines)] for f in shown.frames]
    arrows = [[a.source, a.target, a.label, a.width, int(a.carried), a.hover] for a in shown.arrows]
    return {"notes": shown.notes, "texts": list(number), "boxes": boxes, "frames": frames, "arrows": arrows}


# ----- what is too much for one group -----


def _in_parts(shown):
    """The scene in which no group has more than CROWD things in it: they are in parts, in order of creation."""
    while crowd := _crowded(shown):
        shown = _parted(shown, crowd)
    return shown


def _contents(shown):
    """{number of a frame, or -1: what is in it, sorted}: boxes as (box, -1), frames as (first box in it, frame)."""
    first = [len(shown.boxes)] * len(shown.frames)
    found = {}
    for i, box in enumerate(shown.boxes):
        found.setdefault(box.group, []).append((i, -1))
        group = box.group
        while group >= 0 and first[group] > i:
            first[group] = i
            group = shown.frames[group].outer
    for g, frame in enumerate(shown.frames):
        found.setdefault(frame.outer, []).append((first[g], g))
    return {group: sorted(things) for group, things in found.items()}


def _crowded(shown):
    """{number of a frame: its things} of those that have too many."""
    return {group: things for group, things in _contents(shown).items() if len(things) > CROWD}


def _parted(shown, crowds):
    """The scene with the things of each crowd in parts, which are frames in the place of the crowd's own things."""
    frames = [[] for _ in range(len(shown.frames) + 1)]  # the new ones by the frame they are in, the last of none
    of_box, of_frame = {}, {}
    for group, things in crowds.items():
        for start in range(0, len(things), PART):
            part = things[start : start + PART]
            name = (group, start)
            frames[group].append((name, part))
            for box, frame in part:
                (of_frame if frame >= 0 else of_box)[frame if frame >= 0 else box] = name
    return _renumbered(shown, frames, of_box, of_frame)


def _renumbered(shown, parts, of_box, of_frame):
    """The scene with the new frames among the old ones, each after the one it is in."""
    order, number = [], {-1: -1}

    def add(name, frame):
        number[name] = len(order)
        order.append(frame)

    for g in (-1, *range(len(shown.frames))):
        if g >= 0:
            frame = shown.frames[g]
            add(g, replace(frame, outer=number[of_frame.get(g, frame.outer)]))
        for name, things in parts[g]:
            add(name, _part(shown, things, number[g]))
    boxes = [replace(box, group=number[of_box.get(i, box.group)]) for i, box in enumerate(shown.boxes)]
    return replace(shown, boxes=boxes, frames=order)


def _part(shown, things, outer):
    """A frame for some things: named by the first and the last, with the most frequent ones counted."""
    names = [(shown.frames[frame].lines if frame >= 0 else shown.boxes[box].lines or [""])[0] for box, frame in things]
    often = ", ".join(f"{name} ×{count}" for name, count in Counter(names).most_common(3) if count > 1)
    told = f"{len(things)} in a row{': ' * bool(often)}{often}"
    return Frame(f"part{things[0][0]}", "part", [f"{names[0]} … {names[-1]}", told], outer)
