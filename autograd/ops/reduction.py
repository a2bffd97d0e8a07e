"""Reductions over `axis` (None: all; an int or a tuple), and what is built of them."""

import math

import numpy as np

from .elementwise import exp, log, where
from .numeric import add_up, extreme
from .shape import array_of, broadcast_to, flip, moveaxis, reshape
from .table import constant, op, stands_for

# fmt: off
__all__ = [
    "all", "any", "argmax", "argmin", "count_nonzero", "cumsum", "log_softmax", "logsumexp", "max", "mean", "min",
    "prod", "softmax", "std", "sum", "var",
]
# fmt: on

# ----- putting a reduced axis back -----


def axes_of(axis, ndim):
    """The reduced axes as non-negative ints."""
    if axis is None or not ndim:  # numpy takes 0 and -1 for an axis of a number
        return range(ndim)
    return [a % ndim for a in (axis if isinstance(axis, (tuple, list)) else (axis,))]


def count(shape, axis):
    """How many elements of `shape` go into one of the answer."""
    if axis is None or not shape:
        return math.prod(shape)
    n = 1
    for a in axis if isinstance(axis, (tuple, list)) else (axis,):
        n *= shape[a]
    return n


def restore(y, shape, axis, keepdims):
    """`y`, which was reduced from `shape`, with the reduced axes as axes of size 1."""
    if keepdims or axis is None or not shape:  # a number broadcasts as it is
        return y
    kept = list(shape)
    for a in axis if isinstance(axis, (tuple, list)) else (axis,):
        kept[a] = 1
    return y.reshape(kept)


VIEW_FROM = 16384  # elements from which a view that repeats them is made in less time than they are written


def spread(g, shape, axis, keepdims):
    """`g`, which was reduced from `shape`, repeated along the reduced axes."""
    g = restore(g, shape, axis, keepdims)
    if math.prod(shape) >= VIEW_FROM or not isinstance(g, (np.ndarray, np.generic)):
        return broadcast_to(g, shape)
    out = np.empty(shape, g.dtype)
    out[...] = g
    return out


# ----- sums -----


def _sum(x, axis=None, keepdims=False):
    """The sum over `axis`."""
    return add_up(x, axis, keepdims)


def _mean(x, axis=None, keepdims=False):
    """The arithmetic mean over `axis`."""
    x = array_of(x)
    if not x.size or x.dtype.char == "e":  # float16 sums overflow; numpy warns of the mean of nothing
        return np.mean(x, axis, keepdims=keepdims)
    return add_up(x, axis, keepdims) / count(x.shape, axis)


def _mean_rule(g, ans, x, axis=None, keepdims=False):
    n = count(x.shape, axis)
    return spread(g / n if n < 65520 else g * (1 / n), x.shape, axis, keepdims)  # that is infinite as a float16


def _cumsum(x, axis=None):
    """The sums of the elements up to each one along `axis`."""
    return np.cumsum(x, axis)


def _cumsum_rule(g, ans, x, axis=None):
    return reshape(flip(cumsum(flip(g, axis or 0), axis or 0), axis or 0), x.shape)


sum = op(
    _sum,
    lambda g, ans, x, axis=None, keepdims=False: spread(g, x.shape, axis, keepdims),
    name="sum",
    arity="axis",
    numpy=np.sum,
)
mean = op(
    _mean,
    _mean_rule,
    name="mean",
    arity="axis",
    numpy=np.mean,
)
cumsum = op(_cumsum, _cumsum_rule, name="cumsum", numpy=np.cumsum)

# ----- moments: var over n - ddof; std'(0) = 0 -----


def _var(x, axis=None, ddof=0, keepdims=False):
    """The variance over `axis`: the sum of squared deviations from the mean, over n - ddof."""
    return np.var(x, axis, ddof=ddof, keepdims=keepdims)


def _std(x, axis=None, ddof=0, keepdims=False):
    """The standard deviation over `axis`: the square root of the variance."""
    return np.std(x, axis, ddof=ddof, keepdims=keepdims)


def deviation(x, axis, ddof):
    """(x - mean) / (n - ddof): half the derivative of the variance."""
    return (x - mean(x, axis, keepdims=True)) / (count(x.shape, axis) - ddof)


def _std_rule(g, ans, x, axis=None, ddof=0, keepdims=False):
    return restore(g / (ans + (ans == 0)), x.shape, axis, keepdims) * deviation(x, axis, ddof)


_variance = op(
    _var,
    lambda g, ans, x, axis=None, ddof=0, keepdims=False: (
        restore(g, x.shape, axis, keepdims) * (2 * deviation(x, axis, ddof))
    ),
    name="var",
)
_deviation = op(_std, _std_rule, name="std")


def var(x, axis=None, *, ddof=0, keepdims=False, correction=None):
    """The variance over `axis`: the sum of squared deviations from the mean, over n - ddof."""
    return _variance(x, axis, ddof if correction is None else correction, keepdims)


def std(x, axis=None, *, ddof=0, keepdims=False, correction=None):
    """The standard deviation over `axis`: the square root of the variance; its derivative at 0 is taken as 0."""
    return _deviation(x, axis, ddof if correction is None else correction, keepdims)


stands_for(np.var, var)
stands_for(np.std, std)

# ----- extremes: equal ones share the cotangent equally -----


def _max(x, axis=None, keepdims=False):
    """The largest element over `axis`."""
    return extreme(np.maximum, array_of(x), axis, keepdims)


def _min(x, axis=None, keepdims=False):
    """The smallest element over `axis`."""
    return extreme(np.minimum, array_of(x), axis, keepdims)


def _extreme_rule(g, ans, x, axis=None, keepdims=False):
    chosen = x == restore(ans, x.shape, axis, keepdims)
    ties = chosen.sum(axis=None if axis is None else tuple(axes_of(axis, x.ndim)), keepdims=True)
    return restore(g, x.shape, axis, keepdims) * chosen / ties.astype(g.dtype)


max = op(_max, _extreme_rule, name="max", arity="axis", numpy=(np.max, np.amax))
min = op(_min, _extreme_rule, name="min", arity="axis", numpy=(np.min, np.amin))

# ----- products -----


def _prod(x, axis=None, keepdims=False):
    """The product over `axis`."""
    return np.multiply.reduce(x, axis, None, None, keepdims)


def _others(x, axis):
    """For every element the product of the others over `axis`, by products that leave it out: right where it is 0."""
    axes = list(axes_of(axis, x.ndim))
    last = tuple(range(-len(axes), 0))
    moved = moveaxis(x, axes, last)
    n = math.prod(moved.shape[x.ndim - len(axes) :])
    rows = reshape(moved, (*moved.shape[: x.ndim - len(axes)], 1, n))
    one_out = prod(where(np.eye(n, dtype=bool), 1, rows), axis=-1)
    return moveaxis(reshape(one_out, moved.shape), last, axes)


def _prod_rule(g, ans, x, axis=None, keepdims=False):
    g = restore(g, x.shape, axis, keepdims)
    if (x == 0).any():
        return g * _others(x, axis)
    return g * restore(ans, x.shape, axis, keepdims) / x


prod = op(_prod, _prod_rule, name="prod", arity="axis", numpy=np.prod)

# ----- the sum of exponentials -----


def _peak(x, axis, name):
    """The largest elements over `axis` as constants, 0 where that is infinite: what may be taken out of exp."""
    x = array_of(getattr(x, "_data", x))
    try:
        peak = extreme(np.maximum, x, axis, True)
    except ValueError as error:
        raise ValueError(f"{name}: {error}, for shape {x.shape}") from error
    return np.where(np.isfinite(peak), peak, 0) if not np.isfinite(peak).all() else peak


def logsumexp(x, axis=None, keepdims=False):
    """log(sum(exp(x))) over `axis`, without overflow (handout, appendix B: the largest x is taken out first).

    >>> import mytorch as mt
    >>> mt.logsumexp(mt.tensor([1000.0, 1000.0])).item()
    1000.6931471805599
    """
    peak = _peak(x, axis, "logsumexp")
    total = log(sum(exp(x - peak), axis, True)) + peak
    return total if keepdims else reshape(total, _reduced(np.shape(x), axis))


def _softmax(x, axis=-1):
    """exp(x) / sum(exp(x)) over `axis`; the largest x is taken out of both, so nothing overflows."""
    x = array_of(x)
    e = np.exp(x - extreme(np.maximum, x, axis, True))
    return e / add_up(e, axis, True)


def _log_softmax(x, axis=-1):
    """x - logsumexp(x) over `axis`; the largest x is taken out of both, so its size costs no digits."""
    x = array_of(x)
    z = x - extreme(np.maximum, x, axis, True)
    return z - np.log(add_up(np.exp(z), axis, True))


def _answered(g, ans, axis):
    """`ans` with its nan, in rows whose largest x is infinite, replaced by 0 where the row's cotangent is 0."""
    raw = getattr(ans, "_data", ans)
    total = add_up(raw.ravel())
    if total == total:  # no nan is among them
        return ans
    unused = np.isnan(raw) & (np.add.reduce(np.abs(getattr(g, "_data", g)), axis, None, None, True) == 0)
    return where(unused, 0, ans)


def _softmax_rule(g, ans, x, axis=-1):
    ans = _answered(g, ans, axis)
    return ans * (g - sum(g * ans, axis, True))


softmax = op(
    _softmax,
    _softmax_rule,
    name="softmax",
    arity="options",
)
log_softmax = op(
    _log_softmax,
    lambda g, ans, x, axis=-1: g - np.exp(_answered(g, ans, axis)) * sum(g, axis, True),
    name="log_softmax",
    arity="options",
)


def _reduced(shape, axis):
    axes = axes_of(axis, len(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axes)


# ----- no gradient -----


def _counted(f, name, doc):
    def reduced(x, axis=None, keepdims=False):
        return f(x, axis, keepdims=keepdims)

    reduced.__doc__ = doc
    return constant(reduced, name=name, numpy=f)


argmax = _counted(np.argmax, "argmax", "The index of the first largest element along `axis`, of the flattened `x`.")
argmin = _counted(np.argmin, "argmin", "The index of the first smallest element along `axis`, of the flattened `x`.")
any = _counted(np.any, "any", "Whether any element over `axis` is true.")
all = _counted(np.all, "all", "Whether all elements over `axis` are true.")
count_nonzero = _counted(np.count_nonzero, "count_nonzero", "How many elements over `axis` are not zero.")
