"""The recorded graph as a picture: what a Tensor or a Value was computed from.

`record` reads the engine's nodes into a `Graph`, plain data; `fold` makes it small enough to be read; `dot` writes it
in the language of Graphviz, `page` as a page of HTML. Names in a picture are numbers in order of creation, so that the
same graph gives the same bytes.
"""

from pathlib import Path

from .data import Graph
from .fold import LIMIT
from .picture import Drawn, drawn, paged, picture
from .record import record
from .render import SUFFIXES, write
from .render import render as _render
from .text import PLAIN

__all__ = ["graph", "render"]


def graph(
    value, params=None, *, level=None, depth=None, direction="TB", gradients=None, limit=LIMIT, repeats=None, show=PLAIN
):
    """A picture of what a Tensor or a Value was computed from; a notebook shows it when it is named.

    params:    names for what is drawn: a Module, a dict from names to tensors (Values, arrays, Modules), or such pairs.
    level:     "operation"; "module": grouped by the modules of `params` that made them, which is what is done where
               there are any; "line": by your own lines, where the graph was built under `viz.watch`; "scalar": every
               answer a box of its own, as micrograd draws them.
    depth:     groups inside so many others are folded: 0 folds a model to one box, 1 its children.
    direction: "TB", from top to bottom, or "LR", from left to right.
    gradients: whether to run the backward pass and show the gradient of everything; changes neither `grad` nor the
               graph. By default where `backward` was called. Of a root that is no number, the array to start from.
    limit:     of more nodes than these, repetitions and then the innermost groups are folded, and the picture says so.
    repeats:   whether what repeats is drawn once, with a count ("x12"); by default where there is more than `limit`.
    show:      which of "shape", "values", "gradients", "costs" are written; the rest shows on hover.

    It is a graphviz.Digraph where that package is installed, with `.graph`, the Graph that it shows, and `.source`, the
    same as DOT. Draw before `backward`, which frees the graph, or after `backward(retain_graph=True)`.
    """
    return picture(record(value, params, level, gradients), direction, depth, limit, repeats, show)


def render(value, path, params=None, **options):
    """Draws a Tensor, a Value or a picture to a file (.svg, .png, .pdf, .html or .dot), and returns its path.

    params and options are those of `graph`. A Graph and DOT source are drawn too.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (*SUFFIXES, ".html"):
        known = ", ".join((*SUFFIXES, ".html"))
        raise ValueError(f"cannot render to '{path}': its suffix must be one of {known}")
    if isinstance(value, Graph):
        value = drawn(value, value)
    if not isinstance(value, Drawn) and not hasattr(value, "source"):
        if suffix == ".html":  # which is folded by itself, and not as the other pictures are
            level, gradients = options.pop("level", None), options.pop("gradients", None)
            return write(path, paged(record(value, params, level, gradients), **options).encode())
        value = graph(value, params, **options)
    elif params is not None or options:
        raise TypeError("render: a picture is drawn as it is; give params and options to viz.graph")
    if isinstance(value, Drawn):
        return write(path, value.draw(suffix[1:]))
    return _render(value.source, path)
