"""Slopes with error bars of their own, from values of a function alone.

Differences are taken at a ladder of steps from a millionth of the input's size to a quarter of it, extrapolated to
step 0 (Richardson 1911, by Neville's scheme), and the estimate with the narrowest bar is kept (Ridders 1982). A bar is
the larger of two estimates of what truncation is left, plus what rounding may do at the narrowest step used, so one
agreement by chance does not fool it. All arrays have the steps, from narrow to wide, on axis 0.
"""

import warnings
from itertools import pairwise
from typing import NamedTuple

import numpy as np

__all__ = ["Slopes", "along", "complex_along", "complex_jacobian", "jacobian", "structure"]

EPS = np.finfo(float).eps
FEELERS = 6  # steps too small to take a good slope from
FINEST = 4  # of them, over which a function is a line
UNMOVED = 16  # roundings by which an output may change unseen
FURTHER = 1 + 1e-7  # times a step: on the same tread of a stair, and not the same value of a slope
BESIDE = 8**4  # stairs go up and down within this factor
COLUMNS = 3  # of Neville's table, beyond the differences themselves
SMOOTH, KINK, JUMP, NOISE = range(4)  # left and right slopes agree, differ, or one is infinite; no slope is seen at all


class Slopes(NamedTuple):
    """Estimated slopes, how far they may be off, the slopes from either side, and what kind of place it is."""

    slope: np.ndarray
    bar: np.ndarray
    left: np.ndarray
    right: np.ndarray
    kind: np.ndarray


# ----- one slope, or many side by side -----


def steps(x, typical, fine=False):
    """(FEELERS + K, n): from 2 ulp of `x` on, to feel how coarse the function's values are, then a ladder of K steps.

    fine: more steps, down to where nothing but rounding is left.
    """
    size = np.where(x == 0, typical, np.abs(x))
    ulp = EPS * size
    narrow, wide = np.maximum((0 if fine else 1e-6) * np.minimum(size, 1), 64 * ulp), np.maximum(size, 1) / 4
    count = int(np.ceil(np.log(wide / narrow).max(initial=1) / np.log(2 if fine else 8))) + 1
    ladder = narrow * (wide / narrow) ** (np.arange(count)[:, None] / (count - 1))
    return np.concatenate([2 * ulp * 32.0 ** np.arange(FEELERS)[:, None], ladder])


def estimate(up, down, center, above, below, further, size=None):
    """The Slopes at `center` of functions whose values `above` it are `up` and `below` it `down`.

    further: the function from a number of a step to the values just beyond that step above.
    """
    size = np.abs(center) if size is None else size
    h = (above + below) / 2
    restless = np.maximum(_restless(up, h), _restless(down, h))
    coarse = np.maximum(_quantum(up, down, center, h, further), 2 * restless)
    noise = 4 * EPS * np.maximum(np.maximum(np.abs(up), np.abs(down)), size) + coarse
    rough = 2 * noise / h
    central = (up - down) / (above + below)
    reach = _reach(up, down)
    tables = _extrapolated(central[FEELERS:], h[FEELERS:])
    felt, felt_bar = _narrow_first(
        (central[k], 2 * np.abs(central[k] - central[k - 1]) + rough[k - 1]) for k in range(1, FEELERS)
    )
    found, best = _narrow_first(
        (table[k], np.maximum(np.abs(table[k] - lower[k]), np.abs(table[k] - _at(table, k + 1))) + rough[FEELERS + k])
        for k in range(len(central) - FEELERS)
        for lower, table in pairwise(tables)
    )
    # What oscillates between the steps of the ladder disagrees with what the feelers say, and is not sharp; what is
    # sharp and disagrees has values that stand still for the feelers.
    misled = (np.abs(found - felt) > best + felt_bar) & (best > 3e-5 * np.abs(found))
    misled |= felt_bar < best
    found, best = np.where(misled, felt, found), np.where(misled, felt_bar, best)
    sides = (center - down) / below, (up - center) / above
    left, right, kind = _sides(*sides, h, rough, 1e-7 * reach, felt, felt_bar)
    drowned = restless > 1e-3 * np.maximum(_reach(up - center, down - center), np.abs(center))
    return Slopes(found, best, left, right, np.where(drowned, NOISE, kind))


def _extrapolated(central, h):
    """The columns of Neville's table for step**2 -> 0; entry k of column c uses the steps k to k + c."""
    columns = [central]
    for order in range(1, COLUMNS + 1):
        last, out = columns[-1], np.full(central.shape, np.nan)
        if len(h) > order:
            ratio = (h[order:] / h[:-order]) ** 2
            out[:-order] = last[:-order] + (last[:-order] - last[1 : len(h) - order + 1]) / (ratio - 1)
        columns.append(out)
    return columns


def _narrow_first(candidates):
    """The estimate with the least bar; a wider step counts only as long as it agrees with the narrower ones."""
    found, best, trusted = 0.0, np.inf, True
    for estimate, bar in candidates:
        bar = np.where(np.isfinite(bar), bar, np.inf)
        trusted = trusted & ~(np.abs(estimate - found) > best + bar)
        take = trusted & (bar < best)
        found, best = np.where(take, estimate, found), np.where(take, bar, best)
    return found, best


def _at(table, k):
    return table[k] if k < len(table) else np.nan


def _quantum(up, down, center, h, further):
    """How coarse the values are, beyond their own rounding: the first change on either side, where it is a stair.

    log(1 + x) at 1e-12 moves in jumps of 2e-16, and so does not move at all for tiny steps. max(|x|, 1e-11) does not
    either, but beyond the first change it is no plateau: just a little further it has changed again.
    """
    changed_up, changed_down = up != center, down != center
    first_up, first_down = changed_up.argmax(0), changed_down.argmax(0)
    columns = np.arange(center.size)
    jump = np.minimum(np.abs(up - center)[first_up, columns], np.abs(down - center)[first_down, columns])
    both = changed_up[first_up, columns] & changed_down[first_down, columns]
    near = np.abs(np.log(h[first_up, columns] / h[first_down, columns])) <= np.log(BESIDE)
    stair = both & near & (jump <= 1e-6 * np.maximum(_reach(up, down), np.abs(center)))
    for k in np.unique(first_up[stair & (first_up > 0)]):
        here = stair & (first_up == k)
        stair[here] = (further(k) == up[k])[here]
    return np.where(stair, jump, 0)


def _restless(side, h):
    """How far the values on one side are from a line where steps are a few ulp: the noise of what nearly cancels."""
    moved, span = side[1:FINEST] - side[0], h[1:FINEST] - h[0]
    off = np.abs(moved[:-1] - moved[-1] * (span[:-1] / span[-1])).max(0)
    return np.where(np.isfinite(off), off, 0)


def _reach(up, down):
    """The largest finite value over all steps."""
    return np.maximum(*(np.where(np.isfinite(side), np.abs(side), 0).max(0) for side in (up, down)))


def _sides(left, right, h, rough, least_jump, felt, felt_bar):
    """(left slope, right slope, kind): without a kink the gap between the two shrinks with the step.

    It is judged at the narrowest step where it can be told from rounding, if a narrower step could not have told.
    A gap that grows as the step shrinks is a jump, or an infinite slope: no rounding is as large as `least_jump`.
    What is a kink for the ladder and none for the feelers is a function that turns between the steps: the feelers see
    no such gap, or a slope (`felt`) that is not the mean of both sides.
    """
    gap = np.abs(right - left)
    gap = np.where(np.isnan(gap), 0, gap)
    gap_felt = (gap + 4 * rough)[:FEELERS]
    left, right, h, rough, gap = (part[FEELERS:] for part in (left, right, h, rough, gap))
    heard = gap > np.maximum(4 * rough, 1e-6 * np.maximum(np.abs(left), np.abs(right)))
    k = heard.argmax(0)
    at = lambda table, k: table[np.clip(k, 0, len(h) - 1), np.arange(h.shape[1])]
    could_not_tell = (k == 0) | (4 * at(rough, k - 1) >= 0.5 * at(gap, k))
    seen = ~(gap_felt < 0.25 * at(gap, k)).any(0)
    middle = np.abs(felt - (at(left, k) + at(right, k)) / 2) <= felt_bar + at(gap, k)
    ratio = at(gap, k) / at(gap, k + 1)
    broken = heard.any(0) & could_not_tell & seen & (k + 1 < len(h)) & (at(gap, k + 1) > 0)
    growth = at(h, k + 1) / at(h, k)
    jump = broken & (ratio > growth**0.25) & (at(gap * h, k) > least_jump)
    kink = broken & middle & (ratio > growth**-0.5) & (ratio <= growth**0.25)
    limit = lambda side: at(side, k) + (at(side, k) - at(side, k + 1)) / (growth - 1)
    return limit(left), limit(right), np.where(jump, JUMP, np.where(kink, KINK, SMOOTH))


# ----- a function along one direction -----


def along(value, x, direction, weights):
    """The Slopes (of one element) of t -> weights . value(x + t * direction) at 0.

    The outputs that do not move are taken out before the sum: beside large ones, small changes would drown in rounding.
    """
    h = np.concatenate([2 * EPS * 32.0 ** np.arange(FEELERS), np.geomspace(1e-7, 0.05, 7)])
    center = value(x)
    change = lambda t: value(x + t * direction) - center
    sides = [np.array([change(sign * t) for t in h]) for sign in (1, -1)]
    moved = (sides[0] != 0).any(0) | (sides[1] != 0).any(0)
    up, down = ((side @ weights)[:, None] for side in sides)
    further = lambda k: np.array([weights @ change(FURTHER * h[k])])
    size = np.array([np.abs(weights[moved]) @ np.abs(center[moved])])
    return estimate(up, down, np.zeros(1), h[:, None], h[:, None], further, size)


def complex_along(value, x, direction, weights):
    """(slope, bar) by the complex step; the bar is infinite where the function takes no complex input."""
    slopes = [_complex_step(value, x, direction * h, h) for h in COMPLEX_STEPS]
    if slopes[0] is None or slopes[1] is None:
        return np.nan, np.inf
    first, second = (weights @ s for s in slopes)
    return first, 4 * abs(first - second) + 8 * EPS * (np.abs(weights) @ np.abs(slopes[0]))


# ----- the whole Jacobian -----


def structure(value, x, typical):
    """(moves, reach, groups): which inputs (axis 1) move which outputs, how large the outputs get on the way, and
    sets of inputs that share no output.

    The inputs of a set are moved at once (Curtis, Powell and Reid 1974): all of them where `value` is elementwise.
    """
    moves, reach = _moves(value, x, value(x), steps(x, typical)[-1])
    return moves, reach, _groups(moves)


def jacobian(value, x, typical, moves, reach, groups, fine=False):
    """The Slopes, of shape (outputs, inputs), of `value` at `x` by the inputs of `groups`."""
    center = value(x)
    h = steps(x, typical, fine)
    flat = np.zeros(moves.shape)
    out = Slopes(flat, UNMOVED * EPS * reach[:, None] / h[-1] + flat, flat.copy(), flat.copy(), flat.astype(int))
    for group in groups:
        rows, owner = _owners(moves, group)
        mask = np.zeros(x.size)
        mask[group] = 1
        above, below = x + mask * h, x - mask * h
        up, down = (np.array([value(z)[rows] for z in points]) for points in (above, below))
        further = lambda k, mask=mask, rows=rows: value(x + FURTHER * mask * h[k])[rows]
        slopes = estimate(up, down, center[rows], (above - x)[:, owner], (x - below)[:, owner], further)
        for table, values in zip(out, slopes, strict=True):
            table[rows, owner] = values
    return out


def _moves(value, x, center, wide):
    """(moves, reach): (outputs, inputs), which outputs a move of each input changes; how large each output gets."""
    moves, reach = np.zeros((center.size, x.size), bool), np.abs(center)
    for j in range(x.size):
        for move in (wide[j] / 2, -wide[j] / 300):
            z = x.copy()
            z[j] += move
            y = value(z)
            moves[:, j] |= y != center
            reach = np.fmax(reach, np.where(np.isfinite(y), np.abs(y), 0))
    return moves, reach


def _groups(moves):
    """Lists of columns of which no two move the same output; the widest columns are placed first."""
    groups, taken = [], []
    for j in np.argsort(-moves.sum(0), kind="stable"):
        for group, rows in zip(groups, taken, strict=True):
            if not (rows & moves[:, j]).any():
                group.append(int(j))
                rows |= moves[:, j]
                break
        else:
            groups.append([int(j)])
            taken.append(moves[:, j].copy())
    return groups


def _owners(moves, group):
    """(rows, owner): the outputs that the inputs of `group` move, and for each the one input that does."""
    rows, k = np.nonzero(moves[:, group])
    return rows, np.asarray(group)[k]


# ----- the complex step (Squire and Trapp 1998): no difference is taken, so nothing cancels -----

COMPLEX_STEPS = 1e-20, 1.7e-25  # two of them: where the imaginary part itself cancels, they differ


def complex_jacobian(value, x, typical, moves, groups):
    """(slopes, bars) of the complex step, or None where the function takes no complex input.

    A function that is not analytic in every operation (abs, for one) gives a wrong answer here without a word: this is
    a second witness, never the only one.
    """
    size = np.where(x == 0, typical, np.abs(x))
    slopes, bars = np.zeros(moves.shape), np.zeros(moves.shape)
    for group in groups:
        mask = np.zeros(x.size)
        mask[group] = 1
        first, second = (_complex_step(value, x, mask * size * h, h) for h in COMPLEX_STEPS)
        if first is None or second is None:
            return None
        rows, owner = _owners(moves, group)
        slopes[rows, owner] = first[rows] / size[owner]
        bars[rows, owner] = (4 * np.abs(first - second) + 8 * EPS * np.abs(first))[rows] / size[owner]
    return slopes, bars


def _complex_step(value, x, imaginary, h):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an imaginary part that is dropped is a ComplexWarning
            y = value(x + 1j * imaginary)
    except Exception:
        return None
    return y.imag / h if np.iscomplexobj(y) and np.isfinite(y).all() else None
