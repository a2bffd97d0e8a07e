"""A graphviz.Digraph that is drawn as all pictures of `mytorch.viz` are: without a Graphviz on the machine."""

import os
from pathlib import Path

import graphviz

from .dot import parts
from .picture import Drawn
from .render import write


class Digraph(Drawn, graphviz.Digraph):
    """A graphviz.Digraph whose pictures come from `viz.render`, in a notebook too.

    What only an installed Graphviz can do, another layout engine or renderer, is asked of that one.
    """

    @classmethod
    def of(cls, recorded, graph, direction, show):
        """The Digraph of a Graph, to which nodes, edges and attributes can be added as to any other."""
        defaults, body = parts(graph, direction, show)
        attributes = {f"{name}_attr": given for name, given in defaults.items()}
        out = cls(body=[f"{line}\n" for line in body], **attributes)
        out.recorded, out.graph, out.direction = recorded, graph, direction
        return out

    def pipe(self, format=None, *, encoding=None, **options):
        """The picture as bytes, or as a string where an encoding is given."""
        if options or self.engine != "dot":
            return super().pipe(format=format, encoding=encoding, **options)
        picture = self.draw(format or self.format)
        return picture if encoding is None else picture.decode(encoding)

    def render(self, filename=None, *, directory=None, format=None, outfile=None, view=False, cleanup=False, **options):
        """Writes the source to `filename` and the picture beside it, or to `outfile`; returns the picture's path."""
        if options or self.engine != "dot":
            options |= {"directory": directory, "format": format, "outfile": outfile, "view": view, "cleanup": cleanup}
            return super().render(filename, **options)
        if outfile is not None:
            filename, format = filename or Path(outfile).with_suffix(".gv"), format or Path(outfile).suffix[1:]
        format = format or self.format
        picture = self.pipe(format)
        source = self.save(filename, directory=directory)
        path = os.fspath(write(outfile or f"{source}.{format}", picture))
        if cleanup:
            os.remove(source)
        if view:
            graphviz.view(path)
        return path
