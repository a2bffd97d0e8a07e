"""Reading and writing elements. Reading and adding at an index are each other's transpose."""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..graph import Part
from .elementwise import where
from .numeric import add_at as at
from .shape import array_of, reshape, transpose
from .table import constant, op, stands_for

# fmt: off
__all__ = [
    "add_at", "argsort", "diag", "diagonal", "getitem", "setitem", "sort", "take", "take_along_axis",
    "trace",
]
# fmt: on


def is_basic(index):
    """True for slices, numbers, None and Ellipsis: they give a view, in which no element occurs twice."""
    if type(index) is not tuple:
        return _is_basic(index)
    return type(index[0]) is not np.ndarray and all(map(_is_basic, index)) if index else True


def _is_basic(part):
    if part is None or part is Ellipsis or isinstance(part, slice):
        return True
    return isinstance(part, (int, np.integer)) and not isinstance(part, bool)


def _getitem(x, index):
    """`x[index]`, as numpy indexes: numbers, slices, arrays of integers or booleans."""
    return x[index]


def _like(x):
    """`x` where it says what kind of array numpy should make, None for a number."""
    return x if hasattr(x, "__array_function__") else None


def _add_at(x, index, shape):
    """Zeros of `shape` with `x` added at `index`; where an element occurs twice in the index, both are added."""
    if type(x) is np.ndarray:
        out = np.zeros(shape, x.dtype)
    else:
        out = np.zeros(shape, getattr(x, "dtype", None), like=_like(x))
    if is_basic(index):
        out[index] = x
    else:
        (at if type(x) is np.ndarray else np.add.at)(out, index, x)
    return out


def _setitem(x, index, y):
    """A copy of `x` with `y` at `index`; where an element occurs twice in the index, the last one stays."""
    out = np.array(x, like=_like(x))
    out[index] = y
    return out


def _stays(g, index, shape, ndim):
    """g[index], 0 where what was written was overwritten by a later element of the same index."""
    read = getitem(g, index)
    if not is_basic(index):
        order = np.arange(math.prod(read.shape)).reshape(read.shape)
        last = np.zeros(shape, int)
        last[index] = order
        read = where(last[index] == order, read, 0)
    missing = (1,) * (ndim - read.ndim)  # numpy writes a value of shape (1, 3), with `ndim` 2, where (3,) fits
    return reshape(read, missing + read.shape) if missing else read


def _getitem_rule(g, ans, x, index):
    if not isinstance(g, (np.ndarray, np.generic)):
        return add_at(g, index, x.shape)
    if is_basic(index):
        return Part(g, index, x.shape)
    parts = index if type(index) is tuple else (index,)
    return (_add_at if set(map(type, parts)) == {np.ndarray} else add_at)(g, index, x.shape)


getitem = op(
    _getitem,
    _getitem_rule,
    name="getitem",
    arity="options",
    view=lambda args: is_basic(args[1]),
)
add_at = op(_add_at, lambda g, ans, x, index, shape: getitem(g, index), name="add_at", arity="options")
setitem = op(
    _setitem,
    lambda g, ans, x, index, y: setitem(g, index, 0),
    None,
    lambda g, ans, x, index, y: _stays(g, index, ans.shape, np.ndim(y)),
    name="setitem",
)


def take(x, indices, axis=None):
    """The elements of `x` at `indices` along `axis`, of the flattened `x` by default."""
    indices = array_of(getattr(indices, "_data", indices))
    indices = indices if indices.ndim else indices.item()  # a number makes a view
    if axis is None:
        return getitem(reshape(x, -1), indices)
    x = array_of(x)
    return getitem(x, (*(slice(None),) * normalize_axis_index(axis, x.ndim, "take"), indices))


def take_along_axis(x, indices, axis):
    """The element of `x` that `indices` names at every position along `axis`; the other axes are matched."""
    x, axis = (reshape(x, -1), 0) if axis is None else (array_of(x), axis)
    indices, axis = array_of(getattr(indices, "_data", indices)), normalize_axis_index(axis, x.ndim, "take_along_axis")
    if indices.ndim != x.ndim:
        raise ValueError(f"take_along_axis: indices of shape {indices.shape} need as many axes as x, {x.shape}")
    grid = np.ogrid[tuple(map(slice, x.shape))]
    return getitem(x, (*grid[:axis], indices, *grid[axis + 1 :]))


def diagonal(x, offset=0, axis1=0, axis2=1):
    """The elements x[i, i + offset] of the two axes, along a new last axis."""
    x = array_of(x)
    axis1, axis2 = (normalize_axis_index(a, x.ndim, "diagonal") for a in (axis1, axis2))
    if axis1 == axis2:
        raise ValueError(f"diagonal: two different axes are needed, axis1 and axis2 are both {axis1}")
    rows = np.arange(max(0, min(x.shape[axis1] + min(offset, 0), x.shape[axis2] - max(offset, 0)))) - min(offset, 0)
    moved = transpose(x, (*(a for a in range(x.ndim) if a not in (axis1, axis2)), axis1, axis2))
    return getitem(moved, (..., rows, rows + offset))


def trace(x, offset=0, axis1=0, axis2=1):
    """The sum of the diagonal."""
    return diagonal(x, offset, axis1, axis2).sum(axis=-1)


def diag(x, k=0):
    """The k-th diagonal of a matrix, or the matrix with that diagonal."""
    x = array_of(x)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ValueError(f"diag: one or two axes are needed, this has shape {x.shape}")
    n = x.shape[0] + abs(k)
    rows = np.arange(x.shape[0]) - min(k, 0)
    return add_at(x, (rows, rows + k), (n, n))


def sort(x, axis=-1):
    """`x` with its elements along `axis` in ascending order; equal ones keep their order."""
    if axis is None:
        x, axis = reshape(x, -1), -1
    return take_along_axis(x, argsort(x, axis), axis)


def _argsort(x, axis=-1):
    """The indices that sort `x` along `axis`, stably."""
    return np.argsort(x, axis, kind="stable")


argsort = constant(_argsort, name="argsort", numpy=np.argsort)

for _composed, _numpy in (
    (take, np.take),
    (take_along_axis, np.take_along_axis),
    (diagonal, np.diagonal),
    (lambda x, /, *, offset=0: diagonal(x, offset, -2, -1), np.linalg.diagonal),
    (trace, np.trace),
    (lambda x, /, *, offset=0: trace(x, offset, -2, -1), np.linalg.trace),
    (diag, np.diag),
    (sort, np.sort),
):
    stands_for(_numpy, _composed)
