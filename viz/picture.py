"""What `viz.graph` gives: a picture that a notebook shows, and that knows its data and its DOT source."""

import html

from . import render
from .dot import dot
from .fold import LIMIT, fold
from .text import PLAIN, SHOW

__all__ = ["PAGE", "Drawn", "Picture", "drawn", "paged", "picture"]

PAGE = 30_000  # nodes: so many an .html has, which folds them itself; of more it has what they fold to


class Drawn:
    """What every picture of a graph can do.

    graph:  the Graph as it is drawn; source: the same as DOT.
    recorded: the Graph before anything was folded, from which the .html is made.
    """

    direction = "TB"

    def _repr_mimebundle_(self, include=None, exclude=None):
        frame = (
            f'<iframe srcdoc="{html.escape(self.page())}" sandbox="allow-scripts" title="computation graph" '
            'style="width: 100%; height: 480px; border: 1px solid #999"></iframe>'
        )
        return {"image/svg+xml": self._repr_svg_(), "text/html": frame}

    def _repr_svg_(self):
        return self.draw("svg").decode()

    def draw(self, format):
        """The picture as bytes: "svg", "png", "pdf", "dot" or "html"."""
        if format == "html":
            return self.page().encode()
        if format == "svg" and not render.available():
            from .svg import svg

            return svg(self.graph, self.direction).encode()
        return render.draw(self.source, format)

    def page(self):
        """The self-contained page: to be folded, searched and followed."""
        return paged(self.recorded)


class Picture(Drawn):
    """The picture of a Graph, where the graphviz package is not installed."""

    def __init__(self, recorded, graph, source, direction):
        self.recorded, self.graph, self.source, self.direction = recorded, graph, source, direction


def picture(recorded, direction="TB", depth=None, limit=LIMIT, repeats=None, show=PLAIN):
    """The picture of a recorded Graph; the arguments are those of `viz.graph`."""
    _check(direction, show)
    return drawn(fold(recorded, depth, limit, repeats), recorded, direction, show)


def paged(recorded, direction="TB", depth=None, limit=PAGE, repeats=None, show=PLAIN):
    """The page of a recorded Graph; the arguments are those of `viz.graph`. It has its direction from its reader."""
    from .page import page

    _check(direction, show)
    return page(fold(recorded, depth, limit, repeats), show=show)


def _check(direction, show):
    if direction not in ("TB", "LR"):
        raise ValueError(f"graph: direction is 'TB' or 'LR', not {direction!r}")
    for name in show:
        if name not in SHOW:
            raise ValueError(f"graph: show names some of {', '.join(map(repr, SHOW))}, not {name!r}")


def drawn(graph, recorded, direction="TB", show=PLAIN):
    """The picture of a Graph as it is: a graphviz.Digraph where that package is installed."""
    try:
        from .digraph import Digraph
    except ImportError:
        return Picture(recorded, graph, dot(graph, direction, show), direction)
    return Digraph.of(recorded, graph, direction, show)
