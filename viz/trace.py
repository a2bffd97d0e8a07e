"""trace: a backward pass step by step, as data, as an animated SVG, and as a page to go through.

A step is an operation that fires: its rules turn the gradient `g` of its answer into what its arguments get, which is
added to what they have. The picture is that of `viz.graph`; what changes in it is animated by SVG itself (SMIL), so the
.svg moves wherever pictures do, and the page needs no more than to set its clock.
"""

import ast
import functools
import html
import inspect
import linecache
import math
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ..autograd import Value, ops
from .data import Stats, replace
from .dot import dot
from .facts import shown
from .flow import backward
from .picture import Drawn
from .record import operations, read, root_of
from .text import PLAIN, number

__all__ = ["Send", "Step", "Trace", "formula", "trace"]

STEPS = 200  # more cannot be followed
SECONDS = 3  # a step
REST = 2  # steps that the last one stays for
FIRES, LINE, MARGIN = "#D55E00", 17, 12  # the colour of what fires; points of the text below the picture
SVG = "http://www.w3.org/2000/svg"


@dataclass(frozen=True, slots=True)
class Send:
    """What the rule for one argument sends to the node `to`, and what the gradient there was and is then.

    argument: what the rule calls it; rule: its formula in `g`, `ans` and the arguments.
    sent, before, after: a number, nested tuples of a few, or Stats; before is None where nothing had arrived yet.
    """

    to: str
    name: str
    argument: str
    rule: str
    sent: float | tuple | Stats
    before: float | tuple | Stats | None
    after: float | tuple | Stats

    def __str__(self):
        sent = _text(self.sent)
        total = sent if self.before is None else f"{_text(self.before)} + {sent} = {_text(self.after)}"
        return f"{self.argument}: {self.rule} = {sent}, so {self.name} gets {total}"


@dataclass(frozen=True, slots=True)
class Step:
    """An operation that fires: its node's key and name, its gradient, and what it sends."""

    key: str
    name: str
    gradient: float | tuple | Stats
    sends: tuple[Send, ...]

    def __str__(self):
        return "\n".join([f"{self.name} fires, g = {_text(self.gradient)}", *(f"  {send}" for send in self.sends)])


class Trace(Drawn):
    """A backward pass: `steps`, and a picture of them. An .svg of it moves, an .html goes through it step by step.

    start: (key, name, gradient) of the root. gradients: {key: [(step from which on, gradient)]}, step 0 the start's.
    fires: {key of an operation: its step}.
    """

    def __init__(self, start, steps, graph, direction, show):
        self.start, self.steps = start, steps
        self.gradients = {start[0]: [(0, start[2])]}
        for i, step in enumerate(steps, 1):
            for send in step.sends:
                self.gradients.setdefault(send.to, []).append((i, send.after))
        self.fires = {step.key: i for i, step in enumerate(steps, 1)}
        nodes = tuple(_widest(node, self.gradients.get(node.key)) for node in graph.nodes)
        self.graph = self.recorded = replace(graph, nodes=nodes)
        self.direction, self.source = direction, dot(self.graph, direction, show)

    def __len__(self):
        return len(self.steps)

    def __iter__(self):
        return iter(self.steps)

    def __str__(self):
        return "\n".join(f"{i}. {step}" for i, step in enumerate(self.steps, 1))

    def draw(self, format):
        return self.animated().encode() if format == "svg" else super().draw(format)

    def animated(self, captions=True):
        """The SVG whose parts appear when their step comes."""
        return _Animation(self, super().draw("svg"), captions).text()

    def page(self):
        """A page of HTML with the picture and its steps, gone through by buttons, by the arrow keys, or by itself."""
        svg = self.animated(captions=False).partition("?>")[2]
        steps = "".join(map(_item, self.steps))
        return PAGE.format(svg=svg, steps=steps, seconds=SECONDS, many=len(self.steps), start=html.escape(self.begin()))

    def begin(self):
        """What the first picture shows."""
        return f"The gradient of {self.start[1]} by itself is {_text(self.start[2])}."


def trace(value, params=None, *, level="operation", direction="LR", show=PLAIN):
    """The backward pass from one number, step by step: which operation fires, by which rule, and what changes.

    The arguments are those of `viz.graph`. Neither `grad` nor the graph changes.

    >>> import mytorch as mt
    >>> a, b = mt.Value(2.0), mt.Value(-3.0)
    >>> print(mt.viz.trace(a * b + a, {"a": a, "b": b}))
    1. add fires, g = 1
      x: g = 1, so multiply gets 1
      y: g = 1, so a gets 1
    2. multiply fires, g = 1
      x: g * y = -3, so a gets 1 + -3 = -2
      y: g * x = 2, so b gets 2
    """
    root = root_of(value, "trace")
    if root.size != 1:
        raise ValueError(f"trace: a backward pass starts from one number, this tensor has shape {root.shape}")
    many = len(operations(root, "trace"))
    if many > STEPS:
        raise ValueError(f"trace: {many:,} operations are too many to follow; trace up to {STEPS}")
    graph, keys = read(value, params, level, gradients=False)
    shown = _shown(graph, keys)
    seed = 1.0 if isinstance(value, Value) else np.ones(root.shape, root.dtype)
    start = (*shown[root.index], _fields(seed))
    return Trace(start, tuple(_steps(root, seed, keys, shown)), graph, direction, show)


def _shown(graph, keys):
    """{index: (key, name) of the node that shows the gradient of one of the engine's}."""
    nodes = {node.key: node for node in graph.nodes}
    values = {edge.source: edge.target for edge in graph.edges if nodes[edge.target].kind == "value"}
    shown = {}
    for index, key in keys.items():
        node, value = nodes[key], nodes[values.get(key, key)]
        shown[index] = value.key, value.name or node.op
    return shown


def _steps(root, seed, keys, shown):
    """The steps of the backward pass from `root`."""
    now = {}  # the gradients by index
    for node, g, pairs in backward(root, seed):
        sends = []
        for i, source, ct in pairs:
            before = now.get(source.index)
            now[source.index] = after = ct if before is None else before + ct
            told = [None if x is None else _fields(x) for x in (ct, before, after)]
            sends.append(Send(*shown[source.index], *formula(node.op, i), *told))
        if node.op is not None:
            yield Step(keys[node.index], shown[node.index][1], _fields(g), tuple(sends))


def _fields(x):
    """A gradient as plain data: a number, a few of them, or Stats."""
    fields = shown(x)
    return fields.get("data", fields.get("stats"))


def _text(x):
    return f"(norm {x.norm:.3g})" if isinstance(x, Stats) else number(x)


def _line(x):
    """The line of a node that tells its gradient, as `text.lines` writes it."""
    return f"grad norm {x.norm:.3g}" if isinstance(x, Stats) else f"grad {number(x)}"


def _widest(node, values):
    """The node with that of its gradients whose text is the longest, so that its box has room for all."""
    if not values:
        return replace(node, grad=None, flow=None)
    widest = max((x for _, x in values), key=lambda x: len(_line(x)))
    few = not isinstance(widest, Stats)
    return replace(node, grad=widest if few else None, flow=None if few else widest)


# ----- rules as text -----


DOCS = Path(__file__).parents[1] / "docs" / "vjps.md"  # installed with the package
ENTRY = re.compile(r"^### `(\w+)`\n\n((?:    .+\n)+)", re.MULTILINE)


@functools.cache
def _entries():
    """{name of an operation: [(argument, formula)] of its rules} as docs/vjps.md has them."""
    text = DOCS.read_text(encoding="utf-8") if DOCS.exists() else ""
    rules = {name: lines.splitlines()[1:] for name, lines in ENTRY.findall(text)}
    return {name: [line.strip().split(": ", 1) for line in lines] for name, lines in rules.items()}


def formula(op, i):
    """(what the rule for argument number i calls it, its formula), as in docs/vjps.md, else as in its source."""
    rules = [j for j, rule in enumerate(op.rules) if callable(rule)]
    entry = _entries().get(op.name, ()) if getattr(ops.TABLE.get(op.name), "op", None) is op else ()
    if len(entry) == len(rules):
        return tuple(entry[rules.index(i)])
    return _argument(op.rules[i], i), _expression(op.rules[i])


def _expression(rule):
    """A rule's expression as it stands in its source, 'g * cos(x)'; of a function that is no expression, its call."""
    code = getattr(rule, "__code__", None)
    if code is None:
        return f"{getattr(rule, '__name__', type(rule).__name__)}(g, …)"
    call = f"{rule.__name__}({', '.join(code.co_varnames[: code.co_argcount])})"
    if rule.__name__ != "<lambda>":
        return call
    text = "".join(linecache.getlines(code.co_filename))
    try:
        lambdas = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Lambda)]
    except SyntaxError:
        lambdas = []
    places = {(line, column) for line, _, column, _ in code.co_positions() if line and column is not None}
    for node in lambdas:
        body = node.body
        start, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
        if node.lineno == code.co_firstlineno and any(start <= place < end for place in places - {(node.lineno, 0)}):
            return " ".join(ast.get_source_segment(text, body).split())
    return "a rule whose source is not known"


def _argument(rule, i):
    """What a rule calls argument number i."""
    try:
        names = list(inspect.signature(rule).parameters)[2:]
    except (TypeError, ValueError):
        names = ()
    return names[i] if i < len(names) else f"argument {i}"


# ----- as an animated SVG -----


class _Animation:
    """An SVG of the graph, to which the times are added at which its parts change."""

    def __init__(self, made, svg, captions):
        ElementTree.register_namespace("", SVG)
        ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
        self.made, self.root = made, ElementTree.fromstring(svg)
        self.end = len(made.steps) + 1 + REST
        groups = {group.get("id"): group for group in self.root.iter(f"{{{SVG}}}g") if group.get("id")}
        for key, values in made.gradients.items():
            values = [(at, _line(x)) for at, x in values]
            for group in (group for name, group in groups.items() if name.partition("_")[0] == key):
                self._gradients(group, values)
        for key, at in made.fires.items():
            self._flash(groups.get(key), at)
        for edge in made.graph.edges:
            at = made.fires.get(edge.target)
            if at and edge.source in {send.to for send in made.steps[at - 1].sends}:
                self._flash(groups.get(f"{edge.source}-{edge.target}-{edge.argument}"), at)
        if captions:
            self._captions()

    def text(self):
        return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(self.root, encoding="unicode") + "\n"

    def _animate(self, element, attribute, values, times):
        """Adds to an element the values that an attribute has from these steps on."""
        given = {
            "attributeName": attribute,
            "calcMode": "discrete",
            "dur": f"{self.end * SECONDS}s",
            "repeatCount": "indefinite",
            "values": ";".join(values),
            "keyTimes": ";".join(f"{time / self.end:.6g}" for time in times),
        }
        ElementTree.SubElement(element, f"{{{SVG}}}animate", given)

    def _between(self, element, start, end):
        """Shows an element from one step to another; where nothing moves, what is left at the end shows."""
        element.set("visibility", "visible" if end >= self.end else "hidden")
        values = [(0, "hidden")] * (start > 0) + [(start, "visible")] + [(end, "hidden")] * (end < self.end)
        self._animate(element, "visibility", [v for _, v in values], [t for t, _ in values])

    def _gradients(self, group, values):
        """The line of a node that tells its gradient becomes one for every value it has."""
        middle = _middle(group)
        ends = [start for start, _ in values[1:]] + [self.end]
        for parent in list(group.iter()):
            for at, old in enumerate(list(parent)):
                if old.tag != f"{{{SVG}}}text" or not (old.text or "").replace("\xa0", " ").startswith("grad "):
                    continue
                parent.remove(old)
                given = {name: old.get(name) for name in old.attrib if name not in ("textLength", "lengthAdjust")}
                given |= {"x": middle, "text-anchor": "middle"} if middle else {}
                for i, ((start, line), end) in enumerate(zip(values, ends, strict=True)):
                    new = ElementTree.Element(f"{{{SVG}}}text", given)
                    new.text, new.tail = line, "\n"
                    self._between(new, start, end)
                    parent.insert(at + i, new)

    def _flash(self, group, at):
        """A node or an edge has the colour of what fires during one step."""
        for shape in group.iter() if group is not None else ():
            name = shape.tag.rpartition("}")[2]
            if name in ("path", "polygon", "ellipse", "rect") and shape.get("stroke", "none") != "none":
                for attribute, fires in (("stroke", FIRES), ("stroke-width", "4")):
                    usual = shape.get(attribute, "1")
                    self._animate(shape, attribute, [usual, fires, usual], [0, at, at + 1])

    def _captions(self):
        """What happens in each step, as text below the picture, for which there is room."""
        told = [[self.made.begin()], *(str(step).splitlines() for step in self.made.steps)]
        left, top, width, height = map(float, self.root.get("viewBox").split())
        wide = max(width, 2 * MARGIN + max(len(line) for lines in told for line in lines) * 7.3)
        tall = height + 2 * MARGIN + LINE * max(map(len, told))
        self.root.set("viewBox", f"{left:.2f} {top:.2f} {wide:.2f} {tall:.2f}")
        self.root.set("width", f"{math.ceil(wide)}pt")
        self.root.set("height", f"{math.ceil(tall)}pt")
        sheet = {"x": f"{left:.2f}", "y": f"{top:.2f}", "width": "100%", "height": "100%", "fill": "white"}
        self.root.insert(0, ElementTree.Element(f"{{{SVG}}}rect", sheet))
        for i, lines in enumerate(told):
            font = {"font-family": "Courier,monospace", "font-size": "12"}
            group = ElementTree.SubElement(self.root, f"{{{SVG}}}g", font)
            group.tail = "\n"
            for j, line in enumerate(lines):
                y = top + height + MARGIN + LINE * (j + 1)
                given = {"x": f"{left + MARGIN:.2f}", "y": f"{y:.2f}", "text-anchor": "start"}
                given |= {"{http://www.w3.org/XML/1998/namespace}space": "preserve"}
                text = ElementTree.SubElement(group, f"{{{SVG}}}text", given)
                text.text = line if i == 0 or j else f"{i}/{len(self.made.steps)}  {line}"
            self._between(group, i, i + 1 if i < len(self.made.steps) else self.end)


def _middle(group):
    """The x of the middle of a node's outline."""
    for shape in group.iter():
        if shape.get("cx"):
            return shape.get("cx")
        if shape.get("width"):
            return f"{float(shape.get('x')) + float(shape.get('width')) / 2:.2f}"
        numbers = re.findall(r"-?[\d.]+", shape.get("points") or shape.get("d") or "")
        if numbers:
            across = list(map(float, numbers[::2]))
            return f"{(min(across) + max(across)) / 2:.2f}"
    return None


# ----- as a page -----


def _item(step):
    sends = "".join(f"<br><code>{html.escape(str(send))}</code>" for send in step.sends)
    g = html.escape(_text(step.gradient))
    return f"<li tabindex=0><b>{html.escape(step.name)}</b> fires, <code>g = {g}</code>{sends}</li>\n"


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>A backward pass, step by step</title>
<style>
:root {{ color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }}
body {{ margin: 1rem auto; max-width: 75rem; padding: 0 1rem; }}
figure {{ background: white; border: 1px solid #999; margin: 0 0 1rem; overflow: auto; padding: .5rem; }}
figure svg {{ display: block; margin: auto; max-width: 100%; height: auto; }}
li {{ border-left: 4px solid transparent; cursor: pointer; margin: .2rem 0; padding: .2rem .6rem; }}
li.now {{ border-color: #D55E00; background: #D55E0022; }}
button {{ font: inherit; padding: .2rem .9rem; }}
</style>
<h1>A backward pass, step by step</h1>
<figure>{svg}</figure>
<p><button id="back">← back</button> <button id="on">on →</button> <button id="play">play</button>
<span id="where" aria-live="polite"></span></p>
<p>{start} Then, from the youngest operation to the oldest:</p>
<ol>
{steps}</ol>
<script>
const picture = document.querySelector("svg"), steps = [...document.querySelectorAll("li")];
let now = 0, timer = 0;
function show(step) {{
  now = Math.max(0, Math.min({many}, step));
  picture.pauseAnimations();
  picture.setCurrentTime((now + 0.5) * {seconds});
  steps.forEach((item, i) => item.classList.toggle("now", i === now - 1));
  if (now) steps[now - 1].scrollIntoView({{block: "nearest"}});
  document.getElementById("where").textContent = `step ${{now}} of {many}`;
}}
function play() {{
  if (timer) {{ clearInterval(timer); timer = 0; }}
  else timer = setInterval(() => show(now === {many} ? 0 : now + 1), {seconds}000);
  document.getElementById("play").textContent = timer ? "stop" : "play";
}}
document.getElementById("back").onclick = () => show(now - 1);
document.getElementById("on").onclick = () => show(now + 1);
document.getElementById("play").onclick = play;
steps.forEach((item, i) => {{
  item.onclick = () => show(i + 1);
  item.onkeydown = event => {{ if (event.key === "Enter") show(i + 1); }};
}});
document.addEventListener("keydown", event => {{
  if (event.key === "ArrowRight") show(now + 1);
  if (event.key === "ArrowLeft") show(now - 1);
}});
show(0);
</script>
</html>
"""
