"""Jacobians too large to compute whole, by random directions; what disagrees is halved down to one element.

For cotangents u and a direction v the rules give u'J v as v . pullback(u), and differences give it too. Every element
of u and v is at least half its size, so one wrong element cannot hide. Elements of like contribution are probed
together: beside large ones a small one would drown in their rounding.
"""

import numpy as np

from . import numeric
from .judge import AT_KINK, CORRECT, INCONCLUSIVE, WRONG, Level
from .numeric import KINK

__all__ = ["probe"]

ROUNDS = 4  # with cotangents and directions of their own: several errors may cancel in one, not in all
BAND = 1e-3  # contributions within this factor are probed together
LOST = 1e-10  # what right rules may lose to rounding, relative to the sum of all contributions
OFF = 0.01  # the error of one element that is to be found


def probe(problem, order, rng):
    """The Level of a large Jacobian, by ROUNDS of probes."""
    y, pullback = problem.linear(problem.x)
    verdicts, unsure = [], np.zeros(problem.x.size, bool)
    for _ in range(ROUNDS):
        u = _random(y.size, rng)
        g = pullback(u)
        for k, band in enumerate(_bands(np.where(np.isfinite(g), g, np.inf) * _sizes(problem))):
            test = Probe(problem, u, g, rng)
            verdict, tolerance = test(band)
            if verdict == WRONG:
                return _found(problem, order, test, band, pullback)
            covered = test.least_error(band) > 2 * tolerance
            unsure[band] |= ~covered & (g[band] != 0)
            verdicts.append(INCONCLUSIVE if k == 0 and not covered.any() and g[band].any() else verdict)
    derivatives = f"{y.size} x {problem.x.size}"
    how = f"{len(verdicts)} random probes, each of up to all {derivatives} derivatives"
    missed = (
        f"One element off by 1 % would have been found, but for {unsure.sum()} inputs whose contributions are so "
        "small that it may hide in rounding"
        if unsure.any()
        else "One element off by 1 % would have been found; errors of several may cancel by chance, not in every probe"
    )
    none = np.zeros(len(verdicts), int)
    return Level(order, problem, how, np.array(verdicts), none, none, none, _no_slopes(none), none * np.nan, missed)


class Probe:
    """The comparison of rules and differences along random directions, for one cotangent `u` with pullback `g`."""

    def __init__(self, problem, u, g, rng):
        self.problem, self.u, self.g, self.rng = problem, u, g, rng

    def __call__(self, chosen):
        """(verdict, tolerance) for a direction in which the elements `chosen` move, and no others."""
        problem = self.problem
        v = np.zeros(problem.x.size)
        v[chosen] = _random(len(chosen), self.rng) * _sizes(problem)[chosen]
        slopes = numeric.along(problem.value, problem.x, v, self.u)
        slope, bar, left, right, kind = (part.item() for part in slopes)
        says, lost = float(self.g @ v), LOST * float(np.abs(self.g) @ np.abs(v))
        if kind == KINK and min(left, right) - lost <= says <= max(left, right) + lost:
            return AT_KINK, lost
        if not abs(says - slope) <= bar + lost:
            return WRONG, bar + lost
        if (self.least_error(chosen) > 2 * (bar + lost)).all():
            return CORRECT, bar + lost
        exact, exact_bar = numeric.complex_along(problem.value, problem.x, v, self.u)
        agrees = abs(exact - slope) <= bar and abs(exact - says) <= exact_bar + lost
        tolerance = min(bar, exact_bar) + lost if agrees else bar + lost
        return (CORRECT if np.isfinite(tolerance) else INCONCLUSIVE), tolerance

    def least_error(self, chosen):
        """What each element off by OFF adds to the comparison at least, for any direction."""
        return OFF * 0.25 * np.abs(self.g[chosen]) * _sizes(self.problem)[chosen]


def _sizes(problem):
    """How far each input moves: by its own size, the small ones of an array by the usual one."""
    return np.maximum(problem.typical, np.abs(problem.x))


def _random(n, rng):
    """n numbers of either sign, of sizes between 0.5 and 1.5."""
    return rng.uniform(0.5, 1.5, n) * rng.choice([-1.0, 1.0], n)


def _bands(contributions):
    """The indices of like contributions: within a factor BAND of the largest, of what is left, ...; last the zeros."""
    size, left = np.abs(contributions), np.arange(contributions.size)
    while left.size and size[left].max() > 0 and np.isfinite(size[left].max()):
        large = size[left] > BAND * size[left].max()
        yield left[large]
        left = left[~large]
    if left.size:
        yield left


# ----- from a failing probe to an element -----


def _found(problem, order, test, chosen, pullback):
    """The Level with the one wrong element that halving `chosen` ends at."""
    probes = 1
    while len(chosen) > 1:
        half = len(chosen) // 2
        results = [test(part)[0] for part in (chosen[:half], chosen[half:])]
        probes += 2
        if WRONG not in results:
            break
        chosen = (chosen[:half], chosen[half:])[results.index(WRONG)]
    j = int(chosen[0])
    slopes = _column(problem, j)
    i = _row(test.u, slopes, lambda u: pullback(u)[j])
    unit = np.zeros(test.u.size)
    unit[i] = 1
    analytic = np.array([pullback(unit)[j]])
    slopes = numeric.Slopes(*(part[i : i + 1] for part in slopes))
    return Level(
        order, problem, f"{test.u.size} x {problem.x.size} derivatives, halved in {probes} probes down to one",
        np.array([WRONG]), np.array([i]), np.array([j]), analytic, slopes, np.array([np.nan]),
    )  # fmt: skip


def _column(problem, j):
    """The Slopes of all outputs by input j."""
    x, center = problem.x, problem.value(problem.x)
    h = numeric.steps(x[j : j + 1], problem.typical[j : j + 1])

    def shifted(by):
        z = x.copy()
        z[j] += by
        return problem.value(z)

    up, down = (np.array([shifted(sign * step) for step in h[:, 0]]) for sign in (1, -1))
    return numeric.estimate(up, down, center, h + 0 * up, h + 0 * up, lambda k: shifted(numeric.FURTHER * h[k, 0]))


def _row(u, slopes, analytic):
    """The output whose derivative is wrong, by halving the cotangent."""
    chosen = np.arange(u.size)
    while len(chosen) > 1:
        half = len(chosen) // 2
        parts = chosen[:half], chosen[half:]
        off = []
        for part in parts:
            w = np.zeros(u.size)
            w[part] = u[part]
            off.append(abs(analytic(w) - w @ slopes.slope) / max(np.abs(w[part]) @ slopes.bar[part], 1e-300))
        chosen = parts[int(not off[0] > off[1]) if not np.isnan(off[0]) else 0]
    return int(chosen[0])


def _no_slopes(none):
    return numeric.Slopes(*(none * np.nan for _ in range(4)), none)
