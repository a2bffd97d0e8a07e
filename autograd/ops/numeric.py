"""numpy's sums, extremes and products in the form that takes the least time: no calculus, arrays in and arrays out.

Times are of one thread, float32.
"""

import math

import numpy as np

__all__ = ["add_rows", "add_up", "extreme", "product"]

LONGEST = 1 << 14, 128  # so many rows, or columns, are added up by a product
ALL = {np.dtype(t): np.ones(LONGEST[0], t) for t in (np.float32, np.float64)}  # of BLAS's dtypes
ONES = {dtype: {} for dtype in ALL}  # dtype -> {how many: so many ones, a piece of the array above}


def add_up(x, axis=None, keepdims=False):
    """np.sum. Over the rows or the columns of a matrix it is a product with ones: 0.4 instead of 2.1 µs at 100 x 64.

    numpy too adds one row to the next. The elements of a row, or a vector, it adds in pairs where they are many, which
    is more accurate; so a product is taken of short ones only.
    """
    ndim = getattr(x, "ndim", 0)
    if not ndim or (known := ONES.get(x.dtype)) is None:
        return np.add.reduce(x, axis, None, None, keepdims)
    if ndim == 1:
        n, long = len(x), LONGEST[1]
    elif ndim == 2 and type(axis) is int and 0 <= axis <= 1:
        n, long = x.shape[axis], LONGEST[axis]
    else:
        return _add_up_stack(x, axis, keepdims)
    if n > long or not x.flags.forc or (ndim == 1 and (axis is not None or keepdims)):
        return np.add.reduce(x, axis, None, None, keepdims)  # what lies scattered would be copied for a product
    ones = known.get(n)
    if ones is None:
        ones = known[n] = ALL[x.dtype][:n]
    if axis:
        total = x.dot(ones)
        return total[:, None] if keepdims else total
    total = ones.dot(x) if type(x) is np.ndarray else np.dot(ones, x)
    return total[None] if keepdims else total


def add_rows(x):
    """The sum over the first axis; a bias's gradient, in every layer, so with the fewest steps."""
    if type(x) is np.ndarray and x.ndim == 2 and (known := ONES.get(x.dtype)):
        ones = known.get(len(x))
        if ones is not None:
            return ones.dot(x)
    return add_up(x, 0)


def _add_up_stack(x, axis, keepdims):
    """The sum over the first axes or the last one as that of a matrix, over others as numpy's."""
    axes = axis if type(axis) is tuple else (axis,)
    if any(type(a) is not int for a in axes):
        return np.add.reduce(x, axis, None, None, keepdims)
    axes = tuple(a + x.ndim if a < 0 else a for a in axes)
    split = len(axes)
    first, last = axes == tuple(range(split)), axes == (x.ndim - 1,)
    if not (first or last) or not 0 < split < x.ndim or not x.flags.c_contiguous or not x.size:
        return np.add.reduce(x, axis, None, None, keepdims)
    matrix = (math.prod(x.shape[:split]), -1) if first else (-1, x.shape[-1])
    shape = [1 if a in axes else n for a, n in enumerate(x.shape) if keepdims or a not in axes]
    return add_up(x.reshape(matrix), 0 if first else 1).reshape(shape)


SHORT, MANY = 32, 32  # a last axis so short, in so many rows, is slow to reduce over


def extreme(ufunc, x, axis=None, keepdims=False):
    """ufunc.reduce for np.maximum or np.minimum; short rows by a transposed copy, 1.5 instead of 4.7 µs at 100 x 10.

    A reduction over the first axis compares whole rows at once.
    """
    if type(axis) is int and (axis == 1 or axis == -1) and x.ndim == 2 and 0 < x.shape[1] <= SHORT and len(x) >= MANY:
        found = ufunc.reduce(x.T.copy(), 0)
        return found[:, None] if keepdims else found
    return ufunc.reduce(x, axis, None, None, keepdims)


def product(x, y):
    """x @ y. Of two matrices by the arrays' own `dot`: the same BLAS call, 0.4 instead of 1.1 µs at 8 x 16 x 16."""
    if type(x) is type(y) is np.ndarray and x.ndim == y.ndim == 2:
        return x.dot(y)
    return x @ y
