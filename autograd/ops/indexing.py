"""Reading and writing elements. Reading and adding at an index are each other's transpose."""

import numpy as np

from .elementwise import where
from .table import constant, op, stands_for

# fmt: off
__all__ = [
    "add_at", "argsort", "diag", "diagonal", "getitem", "setitem", "sort", "take", "take_along_axis",
    "trace",
]
# fmt: on


def is_basic(index):
    """True for slices, numbers, None and Ellipsis: they give a view, in which no element occurs twice."""
    return all(map(_is_basic, index)) if type(index) is tuple else _is_basic(index)


def _is_basic(part):
    if part is None or part is Ellipsis or isinstance(part, slice):
        return True
    return isinstance(part, (int, np.integer)) and not isinstance(part, bool)


def _getitem(x, index):
    """`x[index]`, as numpy indexes: numbers, slices, arrays of integers or booleans."""
    return x[index]


def _add_at(y, index, shape):
    """Zeros of `shape` with `y` added at `index`; where an element occurs twice in the index, both are added."""
    out = np.zeros(shape, getattr(y, "dtype", None))
    if is_basic(index):
        out[index] = y
    else:
        np.add.at(out, index, y)
    return out


def _setitem(x, index, y):
    """A copy of `x` with `y` at `index`; where an element occurs twice in the index, the last one stays."""
    out = np.array(x)
    out[index] = y
    return out


def _stays(g, index, shape):
    """g[index], 0 where an element was written that a later one of the same index overwrote."""
    read = getitem(g, index)
    if is_basic(index):
        return read
    order = np.arange(np.prod(read.shape, dtype=int)).reshape(read.shape)
    last = np.zeros(shape, int)
    last[index] = order
    return where(last[index] == order, read, 0)


getitem = op(
    _getitem,
    lambda g, ans, x, index: add_at(g, index, x.shape),
    name="getitem",
    view=lambda args: is_basic(args[1]),
)
add_at = op(_add_at, lambda g, ans, y, index, shape: getitem(g, index), name="add_at")
setitem = op(
    _setitem,
    lambda g, ans, x, index, y: setitem(g, index, 0),
    None,
    lambda g, ans, x, index, y: _stays(g, index, ans.shape),
    name="setitem",
)


def take(x, indices, axis=None):
    """The elements of `x` at `indices` along `axis`, of the flattened `x` by default."""
    if axis is None:
        return getitem(x.reshape(-1), indices)
    return getitem(x, (*(slice(None),) * (axis % x.ndim), indices))


def take_along_axis(x, indices, axis):
    """The element of `x` that `indices` names at every position along `axis`; other axes are matched."""
    indices = np.asarray(indices)
    axis %= x.ndim
    shape = np.broadcast_shapes(indices.shape, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))
    grid = np.ogrid[tuple(slice(n) for n in shape)]
    return getitem(x, (*grid[:axis], indices, *grid[axis + 1 :]))


def diagonal(x, offset=0, axis1=0, axis2=1):
    """The elements x[i, i + offset] of the two axes, along a new last axis."""
    axis1, axis2 = axis1 % x.ndim, axis2 % x.ndim
    rows = np.arange(max(0, min(x.shape[axis1] + min(offset, 0), x.shape[axis2] - max(offset, 0)))) - min(offset, 0)
    moved = x.transpose(*(a for a in range(x.ndim) if a not in (axis1, axis2)), axis1, axis2)
    return getitem(moved, (..., rows, rows + offset))


def trace(x, offset=0, axis1=0, axis2=1):
    """The sum of the diagonal."""
    return diagonal(x, offset, axis1, axis2).sum(axis=-1)


def diag(x, k=0):
    """The k-th diagonal of a matrix, or the matrix with that diagonal."""
    if np.ndim(x) == 2:
        return diagonal(x, k)
    if np.ndim(x) != 1:
        raise ValueError(f"diag: one or two axes are needed, this has shape {np.shape(x)}")
    n = x.shape[0] + abs(k)
    rows = np.arange(x.shape[0]) - min(k, 0)
    return add_at(x, (rows, rows + k), (n, n))


def sort(x, axis=-1):
    """`x` with its elements along `axis` in ascending order; equal ones keep their order."""
    if axis is None:
        x, axis = x.reshape(-1), -1
    return take_along_axis(x, argsort(x, axis), axis)


def _argsort(x, axis=-1):
    """The indices that sort `x` along `axis`, stably."""
    return np.argsort(x, axis, kind="stable")


argsort = constant(_argsort, name="argsort", numpy=np.argsort)

for _composed, _numpy in (
    (take, np.take),
    (take_along_axis, np.take_along_axis),
    (diagonal, (np.diagonal, np.linalg.diagonal)),
    (trace, (np.trace, np.linalg.trace)),
    (diag, np.diag),
    (sort, np.sort),
):
    stands_for(_numpy, _composed)
