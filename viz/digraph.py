"""A graphviz.Digraph that draws itself as `mytorch.viz` does: it needs no Graphviz on the machine."""

import os
from pathlib import Path

import graphviz

from .render import draw, write


class Digraph(graphviz.Digraph):
    """A graphviz.Digraph whose pictures are those of `viz.render`, in a notebook too.

    What only an installed Graphviz can do, other layout engines and renderers, is asked of it as ever.
    """

    def pipe(self, format=None, *args, encoding=None, **options):
        """The picture as bytes, or as text where an encoding is given."""
        if args or options or self.engine != "dot":
            return super().pipe(format, *args, encoding=encoding, **options)
        data = draw(self.source, format or self.format)
        return data if encoding is None else data.decode(encoding)

    def render(self, filename=None, directory=None, view=False, cleanup=False, format=None, *, outfile=None, **options):
        """Saves the source as `filename` and the picture beside it, or as `outfile`, and returns the picture's path."""
        if options or self.engine != "dot":
            return super().render(filename, directory, view, cleanup, format, outfile=outfile, **options)
        if outfile is not None:
            format = format or Path(outfile).suffix[1:]
            filename = filename or Path(outfile).with_suffix(".gv")
        format = format or self.format
        source = self.save(filename, directory)
        path = os.fspath(write(outfile or f"{source}.{format}", self.pipe(format)))
        if cleanup:
            os.remove(source)
        if view:
            graphviz.view(path)
        return path

    def _repr_svg_(self):
        return self.pipe("svg", encoding="utf-8")
