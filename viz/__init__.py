"""Pictures: computation graphs (`graph`, `render`, `explain`, `trace`) and training curves (`curves`)."""

from .curves import curves
from .data import Graph
from .graph import graph, render
from .record import record
from .watch import watch

__all__ = ["Graph", "curves", "graph", "record", "render", "watch"]
