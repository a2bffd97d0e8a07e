"""checkpoint: a part of a computation that is run again in the backward pass, so that nothing inside it is kept."""

import functools

import numpy as np

from . import engine, graph
from .engine import Op, defvjp
from .graph import clock, paths, pull, wrap
from .tensor import Tensor
from .transforms import _boundary, _name
from .tree import flatten, tree_map

__all__ = ["checkpoint"]


def checkpoint(f):
    """`f` with a backward pass that runs it again: between the two, nothing that was computed inside is kept.

    Memory for time (Griewank and Walther 2000): of a long chain cut into such parts, one part's values are there at a
    time. Gradients are those of `f`, of any order, also by what `f` closes over. `f` must give the same when it is run
    again; an error says so where it does not.

    >>> import mytorch as mt
    >>> x = mt.tensor([1.0, 2.0], requires_grad=True)
    >>> mt.checkpoint(lambda x: mt.exp(x).sum())(x).backward()
    >>> x.grad
    tensor([2.71828183, 7.3890561 ])
    """

    @functools.wraps(f, updated=())
    def checkpointed(*args, **kwargs):
        if not graph.is_grad_enabled():
            return f(*args, **kwargs)
        call = _Call(f, args, kwargs)
        answers, rebuild = flatten(call.run())
        return rebuild([call.answer(y, k) for k, y in enumerate(answers)])

    return checkpointed


class _Call:
    """A call that can be made again, with nodes of its own for its arguments, where cotangents stop."""

    def __init__(self, f, args, kwargs):
        self.f, self.args, self.kwargs = f, args, kwargs

    def run(self):
        """What `f` answers, recorded: since a reading of the clock, from the nodes `stops`."""
        self.since = next(clock)
        with graph.enable_grad():
            args = tree_map(lambda x: _boundary(x) if _has_node(x) else x, self.args)
            self.stops = [x._node for x in flatten(args)[0] if _has_node(x)]
            return self.f(*args, **self.kwargs)

    def answer(self, y, k):
        """Answer number k as one operation on the arguments and what `f` closes over; what was inside is forgotten."""
        if not _has_node(y):
            return y
        given = [x for x in flatten(self.args)[0] if _has_node(x)]
        captured = self._captured(y._node)
        shapes = [wrap(np.broadcast_to(np.zeros((), node.dtype), node.shape), node) for node in captured]
        data = y._data if y._data.base is None and all(y._data is not x._data for x in given) else y._data.copy()
        return _rerun([*given, *shapes], data, self, k, captured)  # no view of a parameter, which may change

    def _captured(self, root):
        """The nodes from before the run that an answer was computed from, without the arguments."""
        stops, seen, found, stack = {node.index for node in self.stops}, set(), {}, [root]
        while stack:
            node = stack.pop()
            if node.index in seen or node.index in stops:
                continue
            seen.add(node.index)
            if node.op is None or node.index < self.since:
                found[node.index] = node
            else:
                stack.extend(source for _, source in node.sources())
        return [found[index] for index in sorted(found)]

    def pull(self, g, y, k, captured):
        """The cotangents of the arguments and of what `f` closes over, from that of answer number k: by another run."""
        record = isinstance(g, Tensor)
        with Tensor._quiet():  # what it warns of, it has warned of in the first run
            again = flatten(self.run())[0][k]
        if again.shape != y.shape or ((again._data != y) & (y == y)).any():  # nan is the same as nan
            raise RuntimeError(
                f"checkpoint: {_name(self.f)} gave another answer when it was run again; draw random numbers outside "
                "and pass them in, and change nothing that it reads before the backward pass"
            )
        sources = [*self.stops, *captured]
        targets = {node.index for node in sources}
        wanted, _ = paths([again._node], targets, self.since)
        arrived = pull([(again._node, g)], targets, wanted, record, retain_graph=record)
        zeros = (np.zeros(node.shape, node.dtype) for node in sources)
        return [arrived[node.index][1] if node.index in arrived else z for node, z in zip(sources, zeros, strict=True)]


def _has_node(x):
    return isinstance(x, Tensor) and x._node is not None


_rerun = engine.build(Op(lambda sources, y, call, k, captured: y, name="checkpoint"), engine._general)
defvjp(_rerun, lambda g, ans, sources, y, call, k, captured: call.pull(g, y, k, captured), *[None] * 4)
