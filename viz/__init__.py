"""Pictures: computation graphs (`graph`, `render`, `explain`, `trace`) and training curves (`curves`)."""

from .curves import curves
from .data import Graph
from .explain import explain
from .graph import graph, render
from .record import record
from .text import SHOW
from .trace import trace
from .watch import watch

__all__ = ["SHOW", "Graph", "curves", "explain", "graph", "record", "render", "trace", "watch"]
