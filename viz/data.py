"""Graph: what was recorded, as plain data. It knows nothing of the engine and nothing of drawing."""

import functools
import gc
import math
from dataclasses import dataclass, replace

__all__ = ["Edge", "Graph", "Group", "Node", "Stats", "children", "replace", "uncollected"]


@dataclass(frozen=True, slots=True)
class Stats:
    """An array in numbers: those of its finite elements, and how many are nan or infinite."""

    mean: float
    std: float
    min: float
    max: float
    zeros: float  # the share of the elements that are 0
    norm: float  # the square root of the sum of the squares
    nan: int = 0
    inf: int = 0


@dataclass(slots=True)  # not frozen, which is 1.5 µs slower to make: there may be a million
class Node:
    """An operation with its answer, or a value that operations read.

    key:    its name in every picture, a number in order of creation: "n1", "n2", ...
    kind:   "operation"; "leaf", where gradients arrive; "input", an array through which none flow; "constant", a
            number of that kind, or what the graph has not kept because no rule reads it; "value", an operation's
            answer where it is a node of its own; "group", what is folded.
    op:     the operation's name.
    name:   the one in `params`; without, a leaf is "leaf 1", an input "input 1", others None.
    detail: the operation's arguments that are no values: "axis=-1, keepdims=True".
    data, grad: the value, and the gradient of the root by it, where they are one number or a few: a number, or
            nested tuples.
    stats, flow: the same of larger arrays: Stats of the value, and of the gradient.
    group:  the key of the innermost group that it is in.
    count:  how many recorded nodes it stands for.
    where:  "file:line" of the user's code that made it, under `viz.watch`.
    kept:   the bytes that are kept for the backward pass because of it.
    flops:  the floating-point operations of computing it; None where they are not known.
    marks:  what is wrong with it, in a few words: "makes nan", "dead", "3 of 8 units dead", "vanishing".
    share:  of the gradient that is explained, the part that flows through it.
    inside: the Group that a node of kind "group" stands for.
    """

    key: str
    kind: str
    op: str | None = None
    name: str | None = None
    detail: str = ""
    shape: tuple | None = None
    dtype: str | None = None
    data: float | tuple | None = None
    grad: float | tuple | None = None
    stats: Stats | None = None
    flow: Stats | None = None
    group: str | None = None
    count: int = 1
    where: str | None = None
    kept: int = 0
    flops: int | None = None
    marks: tuple[str, ...] = ()
    share: float | None = None
    inside: "Group | None" = None


@dataclass(slots=True)
class Edge:
    """The node `source` is argument number `argument` of the operation `target`, or in the sequence that is.

    count:   how many recorded edges it stands for.
    carried: from one round of a repetition to the next, and so against the order of all other edges.
    flow:    the norm of the gradient that flows back along it.
    share:   of the gradient that is explained, the part that flows along it.
    """

    source: str
    target: str
    argument: int
    count: int = 1
    carried: bool = False
    flow: float | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that belong together, in a tree: `parent` is the key of the group around it.

    kind:  "module", a call of one; "line", of the user's code; "repeat", `count` times the same, of which its nodes
           are one; "part", some of the operations in order of creation, where there was no other way to be short.
    name:  the module's path "encoder.layers.3", "file:line", "layers.0 … layers.11".
    detail: the module's type, the line's text.
    operations, parameters, kept, flops: the sums over all that is in it, folded or not, every round of it counted.
    """

    key: str
    kind: str
    name: str
    detail: str = ""
    parent: str | None = None
    count: int = 1
    operations: int = 0
    parameters: int = 0
    kept: int = 0
    flops: int = 0


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in order of creation, the edges from every operation's arguments to it, and the key of what is drawn.

    groups: the outer before the inner. notes: what a picture of it has to say, as that it was folded.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    root: str
    groups: tuple[Group, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def operations(self):
        """How many recorded operations there are, folded ones too."""
        return sum(_operations(node) for node in self.nodes)

    @property
    def parameters(self):
        """How many numbers the leaves hold."""
        return sum(_parameters(node) for node in self.nodes)

    def node(self, name):
        """The node of that key or name."""
        found = [node for node in self.nodes if name in (node.key, node.name)]
        if not found:
            raise KeyError(f"graph: no node is called {name!r}")
        return found[0]


def _operations(node):
    return node.inside.operations if node.inside else node.count * (node.kind == "operation")


def _parameters(node):
    if node.inside:
        return node.inside.parameters
    return node.count * math.prod(node.shape or ()) if node.kind == "leaf" else 0


def uncollected(f):
    """`f` with Python's collector of cycles at rest: a million nodes make none, and it looks at them many times."""

    @functools.wraps(f)
    def resting(*args, **kwargs):
        enabled = gc.isenabled()
        gc.disable()
        try:
            return f(*args, **kwargs)
        finally:
            if enabled:
                gc.enable()

    return resting


def children(groups):
    """{key of a group, or None: the groups directly in it}."""
    found = {}
    for group in groups:
        found.setdefault(group.parent, []).append(group)
    return found
