"""The backward pass as it goes: every node with its cotangent. Gradients and graph stay what they were."""

import functools
import warnings
from heapq import heappop, heappush

import numpy as np

from ..autograd import Tensor, Value
from ..autograd.graph import no_grad

__all__ = ["backward", "pulled", "quietly"]


def backward(root, seed, wanted=None):
    """Yields (node, its cotangent, [(argument number, source, cotangent sent there)]), in the order of a backward pass.

    A leaf sends nothing. The graph is kept, and no `grad` changes. wanted: the indices of the nodes to go to; all
    when None.
    """
    pending, queue = {root.index: [root, seed]}, [-root.index]
    while queue:
        node, g = pending.pop(-heappop(queue))
        pairs = pulled(node, g) if node.op is not None else []
        yield node, g, pairs
        for _, source, ct in pairs:
            if wanted is not None and source.index not in wanted:
                continue
            if source.index not in pending:
                pending[source.index] = [source, ct]
                heappush(queue, -source.index)
            else:
                pending[source.index][1] = _sum(pending[source.index][1], ct)


def quietly(f):
    """`f` without numpy's warnings: to be told of a nan is why there is a picture."""

    @functools.wraps(f)
    def quiet(*args, **kwargs):
        with np.errstate(all="ignore"):
            return f(*args, **kwargs)

    return quiet


@quietly
def _sum(x, y):
    return x + y


def pulled(node, g):
    """What an operation sends to its sources."""
    grad = node.grad if isinstance(node, Value) else None
    with warnings.catch_warnings(), no_grad():
        warnings.simplefilter("ignore", RuntimeWarning)
        _, cotangents = Tensor._strictly(node.pull, g, None, False, True)
    if grad is not None:
        node.grad = grad
    return [(i, source, ct) for (i, source), ct in zip(node.sources(), cotangents, strict=True)]
