"""Placing things: a plain layered drawing of a graph, in plain Python."""

from itertools import accumulate, pairwise


def separate(wanted, sizes, weights=None):
    """Centres of things in a row, in this order and side by side, as near as can be to where they are wanted.

    Least squares, by pooling adjacent violators: things that would overlap move as one, to their weighted mean.
    """
    weights = weights or [1] * len(wanted)
    offsets = list(accumulate(((a + b) / 2 for a, b in pairwise(sizes)), initial=0.0))[: len(sizes)]
    pools = []  # (sum of weighted places, weight, how many) of those that touch
    for place, offset, weight in zip(wanted, offsets, weights, strict=True):
        pool = (place - offset) * weight, weight, 1
        while pools and pools[-1][0] * pool[1] > pool[0] * pools[-1][1]:
            pool = tuple(a + b for a, b in zip(pools.pop(), pool, strict=True))
        pools.append(pool)
    starts = [total / weight for total, weight, many in pools for _ in range(many)]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]
