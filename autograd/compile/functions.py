"""numpy's functions, as a tape takes them: what they look at, what they may give, and those that are made of others."""

import operator

import numpy as np

from .. import ops
from ..graph import mode
from .traced import Traced, values

__all__ = ["BY_VALUE", "IN_PLACE", "MAY_VIEW", "PYTHONS", "REWRITTEN", "SHAPES", "TAKE_NUMBERS"]

SHAPES = {np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj, np.may_share_memory,
          np.broadcast_shapes, np.min_scalar_type, np.common_type}  # fmt: skip
MAY_VIEW = {np.reshape, np.ravel, np.transpose, np.squeeze, np.expand_dims, np.swapaxes, np.moveaxis, np.broadcast_to,
            np.flip, np.diagonal, np.rollaxis, np.atleast_1d, np.atleast_2d, np.atleast_3d, np.real, np.imag, np.rot90,
            np.permute_dims, np.matrix_transpose}  # fmt: skip
BY_VALUE = {np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.extract, np.compress, np.trim_zeros, np.setdiff1d,
            np.union1d, np.intersect1d, np.setxor1d, np.bincount, np.unique_values, np.unique_counts, np.unique_inverse,
            np.unique_all, np.ix_, np.delete}  # fmt: skip
PYTHONS = {np.add: operator.add, np.subtract: operator.sub, np.multiply: operator.mul, np.divide: operator.truediv,
           np.power: operator.pow, np.negative: operator.neg, np.absolute: operator.abs, np.positive: operator.pos,
           np.floor_divide: operator.floordiv, np.remainder: operator.mod}  # fmt: skip
TAKE_NUMBERS = {np.clip, np.where, np.full, np.full_like, np.quantile, np.percentile, np.linspace, np.pad, np.dot,
                np.outer, np.inner, np.tensordot, np.einsum, np.nan_to_num, np.interp, np.concatenate,
                np.stack}  # fmt: skip
IN_PLACE = {np.put, np.place, np.putmask, np.fill_diagonal, np.put_along_axis}

# ----- functions of numpy that are made of others -----


def _into(out, result):
    """What a function of numpy's with an `out` gives back."""
    return result if out is None else result.tape.assign(out, result)


def _sum_of(ufunc):
    def reduce(x, axis=None, dtype=None, out=None, keepdims=False, **kwargs):
        return _into(out, ufunc.reduce(x, axis, dtype, None, keepdims, **kwargs))

    return reduce


def _extreme_of(ufunc):
    def reduce(x, axis=None, out=None, keepdims=False, **kwargs):
        return _into(out, ufunc.reduce(x, axis, None, None, keepdims, **kwargs))

    return reduce


def _mean(x, axis=None, dtype=None, out=None, keepdims=False, **kwargs):
    """The mean as numpy's own code takes it: float16 is summed in float32, integers in float64."""
    if kwargs:
        return _into(out, x.tape.call(np.mean, (x, axis, dtype), {"keepdims": keepdims, **kwargs}))
    if dtype is None and x.dtype.kind != "f":
        dtype = float if x.dtype.kind in "iub" else x.dtype
    half = dtype is None and x.dtype == np.float16
    total = np.add.reduce(x, axis, np.float32 if half else dtype, None, keepdims)
    mean = total / ops.reduction.count(x.shape, axis)
    return _into(out, mean.astype(x.dtype) if half else mean)


def _var(x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, correction=None, **kwargs):
    if kwargs or x.dtype.kind == "c":
        kwargs |= {"ddof": ddof, "keepdims": keepdims} | ({} if correction is None else {"correction": correction})
        return _into(out, x.tape.call(np.var, (x, axis, dtype), kwargs))
    centred = x - _mean(x, axis, dtype, keepdims=True)
    total = np.add.reduce(centred * centred, axis, None, None, keepdims)
    return _into(out, total / max(ops.reduction.count(x.shape, axis) - (correction or ddof), 0))


def _std(x, axis=None, dtype=None, out=None, ddof=0, keepdims=False, **kwargs):
    return _into(out, np.sqrt(_var(x, axis, dtype, None, ddof, keepdims, **kwargs)))


def _like(make, fills=0):
    def like(x, *args, dtype=None, shape=None, **given):
        args += tuple(given[key] for key in ("fill_value",) if key in given)
        args, more = args[:fills], args[fills:]  # the dtype may be given by position
        dtype = more[0] if more and dtype is None else dtype
        shape, dtype = x.shape if shape is None else shape, x.dtype if dtype is None else np.dtype(dtype)
        return x.tape.note("call", make, (shape, *args, dtype), None, make(shape, *values(args), dtype))

    return like


def _new(make):
    def new(*args, **kwargs):
        return mode.tape.note("call", make, args, kwargs, make(*values(args), **values(kwargs)))

    return new


def _array(x, dtype=None, copy=True, **_):
    return x.tape.cast(x, x.dtype if dtype is None else np.dtype(dtype)) if type(x) is Traced else np.array(x, dtype)


def _copyto(target, x, casting="same_kind", where=True):
    if where is not True:
        x = np.where(where, x, target)
    target[...] = x


REWRITTEN = {
    np.sum: _sum_of(np.add), np.prod: _sum_of(np.multiply), np.max: _extreme_of(np.maximum),
    np.min: _extreme_of(np.minimum), np.any: _extreme_of(np.logical_or), np.all: _extreme_of(np.logical_and),
    np.mean: _mean, np.var: _var, np.std: _std,
    np.zeros: _new(np.zeros), np.ones: _new(np.ones), np.empty: _new(np.empty), np.full: _new(np.full),
    np.zeros_like: _like(np.zeros), np.ones_like: _like(np.ones), np.empty_like: _like(np.empty),
    np.full_like: _like(np.full, fills=1), np.array: _array, np.copy: _array, np.copyto: _copyto,
    np.asarray: lambda x, dtype=None, **_: x if dtype is None or dtype == x.dtype else x.astype(dtype),
}  # fmt: skip
