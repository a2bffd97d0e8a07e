"""The gradient checker: every element of the Jacobian against differences that carry an error bar of their own."""

from itertools import pairwise

import numpy as np

from .engine import enable_grad, no_grad
from .tensor import Tensor, tensor
from .transforms import Trace
from .tree import flatten, tree_map

__all__ = ["GradcheckError", "gradcheck"]

NARROWINGS = 12  # the narrowest step is 4**-12 of |x|
RTOL = 1e-5  # what a right rule may lose to rounding, relative to the derivative


class GradcheckError(AssertionError):
    """A derivative is wrong, or could not be judged."""


def gradcheck(f, *inputs, order=1, rtol=RTOL):
    """True if the derivatives of `f` by all its inputs agree with differences; else raises GradcheckError.

    f:      a function of Tensors, or a primitive; its answer may be nested.
    inputs: arrays, numbers, Tensors, and nested dicts, lists and tuples of these; checked in float64.
    order:  2 checks the derivatives of the gradient too, and so on.
    rtol:   allowed error relative to the derivative itself, not to the largest of the array: a zero where the slope
            is 1e-5 fails. To it is added what the differences themselves may be off by; where that is too much to
            tell right from wrong, the check fails and says so.

    The differences are central ones, extrapolated from pairs of steps (Richardson 1911) of many sizes; the one with
    the smallest error bar, truncation plus rounding, is taken. At a kink, where the slopes from left and right
    differ, an answer between them is right.

    >>> import numpy as np, mytorch as mt
    >>> gradcheck(mt.tanh, np.linspace(-2, 2, 5), order=2)
    True
    """
    inputs = tree_map(_as_float64, inputs)
    with enable_grad():
        for level in range(1, order + 1):
            _check(f, inputs, level, rtol)
            f, inputs = _gradient_of(f, inputs)
    return True


def _as_float64(x):
    data = np.asarray(x._data if isinstance(x, Tensor) else x)
    return data.astype(np.float64) if data.dtype.kind == "f" else data


def _gradient_of(f, inputs):
    """(the pullback of `f`, as a function of the cotangent and the inputs; a cotangent and the inputs)."""
    rng = np.random.default_rng(0)
    y = Trace("gradcheck", f, inputs, _differentiable(inputs)).y
    cotangent = tree_map(lambda y: rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1.0, 1.0], y.shape), y)

    def gradient(g, *xs):
        return Trace("gradcheck", f, xs, _differentiable(xs)).pullback(g)

    gradient.__name__ = f"the gradient of {getattr(f, '__name__', 'f')}"
    return gradient, (cotangent, *inputs)


def _differentiable(inputs):
    return [i for i, x in enumerate(inputs) if all(_is_float(leaf) for leaf in flatten(x)[0])]


def _is_float(x):
    return x.dtype.kind == "f"


def _check(f, inputs, level, rtol):
    chosen = _differentiable(inputs)
    if not chosen:
        raise TypeError("gradcheck: no input is real and floating; write 1.0 for 1")
    trace = Trace("gradcheck", f, inputs, chosen)
    answers, rebuild = flatten(trace.y)
    sizes = [y.size for y in answers]
    rows = []
    for k, y in enumerate(answers):
        for j in range(y.size):
            basis = [np.zeros(a.shape) for a in answers]
            basis[k].flat[j] = 1
            rows.append(np.concatenate([ct.data.ravel() for ct in flatten(trace.pullback(rebuild(basis), False))[0]]))
    analytic = np.array(rows).reshape(sum(sizes), sum(node.size for node in trace.leaves))
    if not analytic.size:
        return
    numeric, bar, low, high, size = _differences(f, inputs, chosen)
    name = getattr(f, "__name__", "f")
    with np.errstate(invalid="ignore"):
        allowed = bar + rtol * np.abs(numeric)
        right = (np.abs(analytic - numeric) <= allowed) | ((low - bar <= analytic) & (analytic <= high + bar))
        tolerable = np.maximum(5e-4 * np.abs(numeric), 1e-8 * max(size, np.abs(numeric).max(initial=0)))
        unclear = right & ~(low <= high) & ~(bar <= tolerable)
    for bad, verdict in ((~right, "is wrong"), (unclear, "could not be judged")):
        if bad.any():
            raise GradcheckError(_explain(name, level, verdict, bad, analytic, numeric, bar, answers, trace.leaves))


def _differences(f, inputs, chosen):
    """(slopes, error bars, lowest and highest one-sided slope, the size of the answer).

    All but the last have shape (answers, inputs); the one-sided slopes are +inf and -inf where there is no kink.
    """
    given = list(inputs)
    picked, rebuild = flatten([inputs[i] for i in chosen])
    picked = [np.array(x) for x in picked]

    def run():
        for i, x in zip(chosen, rebuild([x.copy() for x in picked]), strict=True):
            given[i] = x
        with no_grad():
            leaves = flatten(f(*tree_map(lambda x: tensor(x), tuple(given))))[0]
        return np.concatenate([np.ravel(y._data if isinstance(y, Tensor) else y) for y in leaves]).astype(float)

    center = run()
    columns = []
    for x in picked:
        flat = x.reshape(-1)
        for j in range(flat.size):
            columns.append(_slope(run, flat, j, center))
    return *(np.stack(part, axis=1) for part in zip(*columns, strict=True)), np.abs(center).max(initial=0)


def _slope(run, flat, j, center):
    """One column of the Jacobian: the best of the extrapolated central differences, and the one-sided slopes.

    Steps grow from tiny beside x to a quarter of max(|x|, 1). A wider step serves as long as it agrees with the best of
    the narrower ones: one that does not has left the domain, or jumped over a singular point.
    """
    at = flat[j]
    widest, tiny = max(abs(at), 1.0) / 4, 4.0**-NARROWINGS * min(abs(at) or 1.0, 1.0)
    steps = widest * 4.0 ** np.arange(np.floor(np.log(tiny / widest) / np.log(4.0)), 1)
    with np.errstate(all="ignore"):
        tries = [_try(run, flat, j, center, at, step) for step in steps]
        extrapolations = [(16 * narrow[0] - wide[0]) / 15 for narrow, wide in pairwise(tries)]  # errors grow by 16
        best = None
        for (slope, left, right, rounding), (_, wider_left, wider_right, _), (extrapolated, wider) in zip(
            tries, tries[1:], pairwise(extrapolations), strict=False
        ):  # two estimates of the error: either may be small by accident
            bar = np.maximum(np.abs(extrapolated - slope), np.abs(extrapolated - wider)) + rounding
            gap, wider_gap = np.abs(right - left), np.abs(wider_right - wider_left)
            kinked = gap > np.maximum(0.5 * wider_gap, 8 * rounding)  # without a kink the gap grows by 4
            found = extrapolated, np.where(np.isfinite(bar), bar, np.inf), left, right, kinked
            best = found if best is None else _better(best, found)
    slope, bar, left, right, kinked = best[:5]
    low, high = np.minimum(left, right), np.maximum(left, right)
    return slope, bar, np.where(kinked, low, np.inf), np.where(kinked, high, -np.inf)


def _try(run, flat, j, center, at, step):
    """(central slope, left slope, right slope, what rounding may add to them) for one step."""
    flat[j] = at + step
    up, above = run(), flat[j] - at
    flat[j] = at - step
    down, below = run(), at - flat[j]
    flat[j] = at
    rounding = 4 * np.finfo(float).eps * np.maximum(np.abs(up), np.abs(down)) / step
    return (up - down) / (above + below), (center - down) / below, (up - center) / above, rounding


def _better(best, found):
    """Element by element the estimate with the smaller bar; no wider step counts after the first that disagrees."""
    *old, open_ = best if len(best) == 6 else (*best, np.ones(best[0].shape, bool))
    open_ = open_ & (np.abs(found[0] - old[0]) <= old[1] + found[1])
    take = open_ & (found[1] < old[1])
    return *(np.where(take, new, before) for new, before in zip(found, old, strict=True)), open_


def _explain(name, level, verdict, bad, analytic, numeric, bar, answers, inputs):
    i, j = (int(k) for k in np.argwhere(bad)[0])
    a, n, e = analytic[i, j], numeric[i, j], bar[i, j]
    ratio = f", {a / n:.6g} times it" if n else ""
    return (
        f"gradcheck: a derivative of {name} {verdict}: of answer {_place(i, answers)} by input {_place(j, inputs)}.\n"
        f"  rule:        {a:.12g}{ratio}\n"
        f"  differences: {n:.12g} +- {e:.1g}\n"
        f"  {int(bad.sum())} of {bad.size} derivatives of order {level} are like this"
    )


def _place(k, arrays):
    """'0[1, 2]': the k-th element of all arrays, by number of the array and index in it."""
    for number, x in enumerate(arrays):
        if k < x.size:
            index = np.unravel_index(k, x.shape) if x.shape else ()
            return f"{number}[{', '.join(map(str, map(int, index)))}]"
        k -= x.size
    raise IndexError(k)
