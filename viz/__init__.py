"""Pictures: computation graphs (`graph`, `render`) and training curves (`curves`). Needs the [viz] extra."""

from .curves import curves
from .graph import graph, render

__all__ = ["curves", "graph", "render"]
