"""Operations that move elements and compute nothing: every rule is the operation's inverse, or its transpose."""

from itertools import pairwise

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from .table import op, stands_for

# fmt: off
__all__ = [
    "array_split", "atleast_1d", "broadcast_to", "concatenate", "expand_dims", "flip", "hstack",
    "matrix_transpose", "moveaxis", "pad", "ravel", "repeat", "reshape", "roll", "split", "squeeze",
    "stack", "swapaxes", "tile", "transpose", "tril", "triu", "vstack",
]
# fmt: on


def array_of(x):
    """`x` as it is if it has a shape, else the array of it: compositions take lists as numpy's functions do."""
    return x if type(x) is np.ndarray or hasattr(x, "shape") else np.asarray(x)


# ----- the same elements under another shape -----


def _reshape(x, shape):
    """The elements of `x` in another shape; one size may be -1."""
    return np.reshape(x, shape)


def _transpose(x, axes=None):
    """`x` with its axes in the order of `axes`, reversed by default."""
    return np.transpose(x, axes)


def _wrong_count(args, kwargs):
    """What is wrong with a shape that the elements do not fill, or None."""
    size, shape = np.size(args[0]), kwargs.get("shape", args[-1])
    sizes = np.atleast_1d(shape)
    if sizes.dtype.kind != "i":
        return None
    wanted, unknown = int(sizes.prod()), int((sizes < 0).sum())
    there = f"{size} elements, of shape {np.shape(args[0])},"
    if unknown == 1 and wanted and size % wanted:
        return f"{there} cannot be laid out as {shape}: {size} is no multiple of {-wanted}"
    return f"{there} do not fill {shape}, which has {wanted}" if not unknown and wanted != size else None


def inverse(axes):
    """The axes that undo a transpose by `axes`."""
    return None if axes is None else tuple(int(a) for a in np.argsort([a % len(axes) for a in axes]))


def _broadcast_to(x, shape):
    """`x` repeated to `shape`: a read-only view."""
    plain = type(x) is np.ndarray and type(shape) is tuple
    if plain and x.size and x.flags.c_contiguous:  # the same in 1.7 µs: np.broadcast_to takes 2.5
        strides = [0] * (len(shape) - x.ndim)
        for n, m, stride in zip(x.shape, shape[len(strides) :], x.strides, strict=False):
            if n != m and n != 1:
                break
            strides.append(stride if n == m else 0)
        if len(strides) == len(shape):
            view = np.ndarray(shape, x.dtype, x, 0, strides)
            view.flags.writeable = False
            return view
    return np.broadcast_to(x, shape)


def _expand_dims(x, axis):
    """`x` with an axis of size 1 at `axis` of the answer, or at each of several."""
    if type(axis) is int and type(x) is np.ndarray and -x.ndim - 1 <= axis <= x.ndim:  # 0.4 µs; numpy's takes 1.3
        return x[(slice(None),) * (axis % (x.ndim + 1)) + (None,)]
    return np.expand_dims(x, axis)


def _does_not_fit(args, kwargs):
    return f"shape {np.shape(args[0])} does not broadcast to {kwargs.get('shape', args[-1])}"


reshape = op(
    _reshape,
    lambda g, ans, x, shape: reshape(g, x.shape),
    name="reshape",
    arity="options",
    numpy=np.reshape,
    view=True,
    explain=_wrong_count,
)
transpose = op(
    _transpose,
    lambda g, ans, x, axes=None: transpose(g, inverse(axes)),
    name="transpose",
    arity="options",
    numpy=(np.transpose, np.permute_dims),
    view=True,
)
swapaxes = op(np.swapaxes, lambda g, ans, x, axis1, axis2: swapaxes(g, axis1, axis2), view=True)
moveaxis = op(
    np.moveaxis,
    lambda g, ans, x, source, destination: moveaxis(g, destination, source),
    view=True,
)
expand_dims = op(
    _expand_dims,
    lambda g, ans, x, axis: reshape(g, x.shape),
    name="expand_dims",
    arity="options",
    numpy=np.expand_dims,
    view=True,
)
squeeze = op(np.squeeze, lambda g, ans, x, axis=None: reshape(g, x.shape), view=True)
broadcast_to = op(  # the engine sums the cotangent back: it sees a broadcast argument
    _broadcast_to,
    lambda g, ans, x, shape: g,
    name="broadcast_to",
    arity="options",
    numpy=np.broadcast_to,
    view=True,
    explain=_does_not_fit,
)


def ravel(x):
    """The elements of `x` along one axis."""
    return reshape(x, -1)


def matrix_transpose(x):
    """`x` with its last two axes swapped: every matrix of a stack transposed."""
    if np.ndim(x) < 2:
        raise ValueError(f"matrix_transpose: at least two axes are needed, this has shape {np.shape(x)}")
    return swapaxes(x, -1, -2)


def atleast_1d(x):
    """`x` with at least one axis."""
    return x if np.ndim(x) else reshape(x, 1)


stands_for(np.ravel, ravel)
stands_for((np.matrix_transpose, np.linalg.matrix_transpose), matrix_transpose)
stands_for(np.atleast_1d, atleast_1d)

# ----- joining and splitting -----


def _concatenate(arrays, axis, sizes):
    """The arrays joined along an existing axis, along which their sizes are `sizes`."""
    return np.concatenate(arrays, axis)


def _pieces(g, axis, sizes):
    starts = np.cumsum((0, *sizes))
    along = (slice(None),) * (axis % g.ndim)
    return [g[(*along, slice(int(a), int(b)))] for a, b in pairwise(starts)]


def _other_sizes(args, kwargs):
    arrays, axis, _ = args
    shapes = [np.shape(a) for a in arrays]
    return f"the shapes {' and '.join(map(str, shapes))} differ in more than axis {axis}, along which they are joined"


_join = op(
    _concatenate,
    lambda g, ans, arrays, axis, sizes: _pieces(g, axis, sizes),
    name="concatenate",
    explain=_other_sizes,
)


def concatenate(arrays, axis=0):
    """The arrays joined along an existing axis (None: each flattened first).

    >>> import mytorch as mt
    >>> mt.concatenate([mt.tensor([1.0]), mt.tensor([2.0, 3.0])])
    tensor([1., 2., 3.])
    """
    arrays = list(arrays)
    if axis is None:
        arrays, axis = [ravel(a) for a in arrays], 0
    shapes = [array_of(a).shape for a in arrays]
    if not arrays:
        raise ValueError("concatenate: give at least one array")
    if len({len(s) for s in shapes}) > 1 or not -len(shapes[0]) <= axis < len(shapes[0]):
        raise ValueError(
            f"concatenate: arrays with equally many axes, of which {axis} is one, are needed; the shapes are {shapes}"
        )
    return _join(arrays, axis, tuple(s[axis] for s in shapes))


def stack(arrays, axis=0):
    """The arrays, all of one shape, joined along a new axis."""
    arrays = list(arrays)
    shapes = {array_of(a).shape for a in arrays}
    if len(shapes) != 1:
        raise ValueError(f"stack: arrays of one shape are needed; the shapes are {sorted(shapes)}")
    axis = normalize_axis_index(axis, len(shapes.pop()) + 1, "stack")
    return concatenate([expand_dims(a, axis) for a in arrays], axis)


def split(x, indices_or_sections, axis=0):
    """A list of the parts of `x` along `axis`: so many equal ones, or cut at the given indices."""
    x = array_of(x)
    axis = normalize_axis_index(axis, x.ndim, "split")
    n, cuts = x.shape[axis], indices_or_sections
    if isinstance(cuts, (int, np.integer)):
        if cuts < 1 or n % cuts:
            raise ValueError(
                f"split: {n} along axis {axis} is not divisible into {cuts} parts; array_split cuts unequal ones"
            )
        cuts = range(n // cuts, n, n // cuts)
    along = (slice(None),) * axis
    ends = [0, *map(int, cuts), n]
    return [x[(*along, slice(a, b))] for a, b in pairwise(ends)]


def array_split(x, indices_or_sections, axis=0):
    """`split` that allows parts of unequal size: the first ones are one longer."""
    x = array_of(x)
    axis = normalize_axis_index(axis, x.ndim, "array_split")
    cuts = indices_or_sections
    if isinstance(cuts, (int, np.integer)):
        if cuts < 1:
            raise ValueError(f"array_split: {cuts} parts are asked for; there must be at least one")
        each, longer = divmod(x.shape[axis], cuts)
        cuts = np.cumsum([each + 1] * longer + [each] * (cuts - longer))[:-1]
    return split(x, list(cuts), axis)


def vstack(arrays):
    """The arrays under each other: along axis 0, rows made of those with one axis."""
    return concatenate([a if np.ndim(a) > 1 else reshape(a, (1, -1)) for a in arrays])


def hstack(arrays):
    """The arrays beside each other: along axis 1, or one after the other where they have one axis."""
    arrays = [atleast_1d(a) for a in arrays]
    return concatenate(arrays, 0 if not arrays or np.ndim(arrays[0]) == 1 else 1)


for _composed, _numpy in (
    (concatenate, (np.concatenate, np.concat)),
    (stack, np.stack),
    (split, np.split),
    (array_split, np.array_split),
    (vstack, np.vstack),
    (hstack, np.hstack),
):
    stands_for(_numpy, _composed)

# ----- padding, repeating, reordering -----


def _pad(x, pad_width, constant_values=0):
    """`x` with `pad_width` ((before, after), ...) elements of a constant added along its axes."""
    return np.pad(x, pad_width, constant_values=constant_values)


def _unpadded(g, pad_width):
    width = np.broadcast_to(np.asarray(pad_width), (g.ndim, 2)).tolist()
    return g[tuple(slice(before, n - after) for (before, after), n in zip(width, g.shape, strict=True))]


_pad_constant = op(
    _pad,
    lambda g, ans, x, pad_width, constant_values=0: _unpadded(g, pad_width),
    name="pad",
)


def pad(x, pad_width, mode="constant", *, constant_values=0):
    """`x` with elements of a constant added along its axes.

    pad_width: a number; (before, after) for all axes; or ((before, after), ...), one pair an axis.
    """
    if mode != "constant":
        raise ValueError(f"pad: mode {mode!r} is not supported, only 'constant'; index with the positions wanted")
    return _pad_constant(x, pad_width, constant_values)


stands_for(np.pad, pad)

flip = op(np.flip, lambda g, ans, x, axis=None: flip(g, axis), view=True)
roll = op(
    np.roll,
    lambda g, ans, x, shift, axis=None: roll(g, _negated(shift), axis),
)
tril = op(np.tril, lambda g, ans, x, k=0: tril(g, k))
triu = op(np.triu, lambda g, ans, x, k=0: triu(g, k))


def _negated(shift):
    return tuple(-s for s in shift) if isinstance(shift, tuple) else -shift


def repeat(x, repeats, axis=None):
    """Every element of `x` (along `axis`, or of the flattened `x`) `repeats` times."""
    x, axis = (ravel(x), 0) if axis is None else (array_of(x), axis)
    axis = normalize_axis_index(axis, x.ndim, "repeat")
    n = x.shape[axis]
    counts = np.asarray(repeats)
    if counts.size and (counts.dtype.kind not in "iu" or counts.min() < 0):
        raise ValueError(f"repeat: {repeats!r} repeats; give integers from 0")
    if np.size(repeats) not in (1, n):
        raise ValueError(f"repeat: {np.size(repeats)} repeats for {n} elements along axis {axis}; give 1 or {n}")
    if type(x) is np.ndarray:
        return np.repeat(x, repeats, axis)
    if np.size(repeats) != 1:
        return x[(*(slice(None),) * axis, np.repeat(np.arange(n), repeats))]
    times, before, after = counts.item(), x.shape[:axis], x.shape[axis + 1 :]
    rows = broadcast_to(expand_dims(x, axis + 1), (*before, n, times, *after))
    return reshape(rows, (*before, n * times, *after))


def tile(x, reps):
    """`x` laid out `reps` times along its axes."""
    reps = (reps,) if isinstance(reps, (int, np.integer)) else tuple(reps)
    x = array_of(x)
    shape = (1,) * (len(reps) - x.ndim) + x.shape
    reps = (1,) * (len(shape) - len(reps)) + reps
    between = [n for pair in zip((1,) * len(shape), shape, strict=True) for n in pair]
    full = [n for pair in zip(reps, shape, strict=True) for n in pair]
    return reshape(broadcast_to(reshape(x, between), full), tuple(r * n for r, n in zip(reps, shape, strict=True)))


stands_for(np.repeat, repeat)
stands_for(np.tile, tile)
