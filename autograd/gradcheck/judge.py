"""A verdict for every element of a Jacobian: correct, wrong, kink or inconclusive, with its evidence."""

from dataclasses import dataclass, field

import numpy as np

from . import numeric
from .numeric import EPS, KINK, SMOOTH

__all__ = ["RTOL", "VERDICTS", "Level", "judge"]

RTOL = 1e-7  # what a right rule may lose to rounding, relative to the derivative
SHARP = 3e-5  # a bar this narrow, relative to the derivative, tells right from wrong
FLAT = 1e-9  # so does one this narrow relative to the largest derivative that could matter
VERDICTS = ("correct", "kink", "inconclusive", "wrong")
CORRECT, AT_KINK, INCONCLUSIVE, WRONG = range(4)


@dataclass
class Level:
    """What was found at one order of differentiation."""

    order: int
    problem: object
    how: str  # what was compared
    verdict: np.ndarray
    rows: np.ndarray  # of every verdict, the element of the answer ...
    columns: np.ndarray  # ... and of the input
    analytic: np.ndarray
    slopes: numeric.Slopes
    complex: np.ndarray  # by the complex step; nan where it was not taken
    missed: str = ""  # what could have been missed
    jacobian: np.ndarray = None  # the whole one, where it was computed
    numeric: np.ndarray = None
    behaviour: list = field(default_factory=list)

    def count(self, verdict):
        return int((self.verdict == VERDICTS.index(verdict)).sum())


def judge(problem, order, rtol=RTOL):
    """The Level of the whole Jacobian of `problem`, element by element."""
    x = problem.x
    slopes, moves, groups = numeric.jacobian(problem.value, x, problem.typical)
    analytic = problem.jacobian(x)
    witness = np.full(analytic.shape, np.nan)
    sway = 0
    verdict = verdicts(problem, analytic, slopes, witness, rtol)
    if (verdict == INCONCLUSIVE).any() and order == 1:
        second = numeric.complex_jacobian(problem.value, x, problem.typical, moves, groups)
        if second is not None:
            agrees = np.abs(second[0] - slopes.slope) <= slopes.bar
            witness = np.where(agrees & (second[1] <= SHARP * np.abs(second[0])), second[0], np.nan)
            verdict = verdicts(problem, analytic, slopes, witness, rtol)
    if (verdict == WRONG).any():
        sway = _sway(problem, analytic)
        verdict = verdicts(problem, analytic, slopes, witness, rtol, sway)
    rows, columns = (k.ravel() for k in np.indices(analytic.shape))
    flat = numeric.Slopes(*(part.ravel() for part in slopes))
    return Level(
        order, problem, f"{verdict.size} derivatives, each by itself", verdict.ravel(), rows, columns, analytic.ravel(), flat, witness.ravel(),
        jacobian=analytic, numeric=slopes.slope,
    )  # fmt: skip


def verdicts(problem, analytic, slopes, witness, rtol, sway=0):
    """The verdict of every element."""
    slope, bar, left, right, kind = slopes
    with np.errstate(invalid="ignore", over="ignore"):
        allowed = bar + rtol * np.abs(slope) + np.where(sway <= 1e-4 * np.abs(slope), sway, 0)
        right_answer = np.abs(analytic - slope) <= allowed
        size = np.maximum(np.abs(problem.x), problem.typical)
        answer = np.abs(problem.value(problem.x))[:, None]
        matters = np.maximum(answer, (np.abs(slope) * size).max(1, keepdims=True, initial=0)) / np.maximum(size, 1)
        sharp = bar <= np.maximum(SHARP * np.abs(slope), FLAT * np.where(np.isfinite(matters), matters, 0))
        confirmed = np.abs(analytic - witness) <= rtol * np.abs(witness)
        low, high, slack = np.minimum(left, right), np.maximum(left, right), 1e-5 * np.abs(right - left)
        between = (low - slack <= analytic) & (analytic <= high + slack)
        one_side = (np.abs(analytic - left) <= slack) | (np.abs(analytic - right) <= slack)
        jump_answer = (analytic == 0) | (one_side & np.isfinite(slack))
    smooth = np.where(right_answer, np.where(sharp | confirmed, CORRECT, INCONCLUSIVE), WRONG)
    kinked = np.where(np.where(kind == KINK, between, jump_answer), AT_KINK, WRONG)
    return np.where(kind == SMOOTH, smooth, kinked)


def _sway(problem, analytic):
    """How far the rules' answers move when the inputs move by 4 ulp: what rounding inside a right rule may do."""
    moved = [problem.jacobian(problem.x * (1 + 4 * EPS * pattern)) for pattern in _patterns(problem.x.size)]
    return 4 * np.max([np.abs(other - analytic) for other in moved], axis=0)


def _patterns(n):
    alternating = np.where(np.arange(n) % 2, -1.0, 1.0)
    return np.ones(n), -np.ones(n), alternating, -alternating
