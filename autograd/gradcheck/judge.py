"""A verdict for every element of a Jacobian: correct, wrong, kink or inconclusive, with its evidence."""

from dataclasses import dataclass, field

import numpy as np

from . import numeric
from .numeric import EPS, KINK, NOISE, SMOOTH

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
    x, value, typical = problem.x, problem.value, problem.typical
    moves, reach, groups = numeric.structure(value, x, typical)
    slopes = numeric.jacobian(value, x, typical, moves, reach, groups)
    analytic = problem.jacobian(x)
    witness = np.full(analytic.shape, np.nan)
    verdict = verdicts(problem, analytic, slopes, moves, witness, rtol)
    blunt = ~(slopes.bar <= SHARP * np.abs(slopes.slope))
    unsure = (verdict == INCONCLUSIVE) | ((verdict == WRONG) & blunt)
    if unsure.any():
        again = [[j for j in group if unsure[:, j].any()] for group in groups]
        finer = numeric.jacobian(value, x, typical, moves, reach, filter(None, again), fine=True)
        better = unsure & moves & np.isfinite(finer.bar)
        slopes = numeric.Slopes(*(np.where(better, new, old) for new, old in zip(finer, slopes, strict=True)))
        verdict = verdicts(problem, analytic, slopes, moves, witness, rtol)
    unseen = lambda: (verdict == CORRECT) & (analytic != 0) & (slopes.bar > SHARP * np.abs(slopes.slope))
    if ((verdict == INCONCLUSIVE) | unseen()).any() and order == 1:
        second = numeric.complex_jacobian(value, x, typical, moves, groups)
        if second is not None:
            agrees = np.abs(second[0] - slopes.slope) <= slopes.bar
            exact = agrees & (second[0] != 0) & (second[1] <= SHARP * np.abs(second[0]))
            witness = np.where(exact, second[0], np.nan)
            verdict = verdicts(problem, analytic, slopes, moves, witness, rtol)
    if (verdict >= INCONCLUSIVE).any():
        verdict = verdicts(problem, analytic, slopes, moves, witness, rtol, _sway(problem, analytic))
    unseen = int((unseen() & np.isnan(witness)).sum())
    missed = f"{unseen} of them are too small to be told from 0 beside the rounding of the answer" if unseen else ""
    rows, columns = (k.ravel() for k in np.indices(analytic.shape))
    flat = numeric.Slopes(*(part.ravel() for part in slopes))
    how = f"{verdict.size} derivatives, each by itself"
    elements = verdict.ravel(), rows, columns, analytic.ravel(), flat, witness.ravel()
    return Level(order, problem, how, *elements, missed, analytic, slopes.slope)


def verdicts(problem, analytic, slopes, moves, witness, rtol, sway=0):
    """The verdict of every element."""
    slope, bar, left, right, kind = slopes
    with np.errstate(invalid="ignore", over="ignore"):
        lost = rtol * np.abs(slope) + np.where(sway <= 1e-4 * np.abs(slope), sway, 0)
        size = np.where(problem.x == 0, problem.typical, np.abs(problem.x))
        answer = np.abs(problem.value(problem.x))
        matters = np.maximum(answer[:, None], (np.abs(slope) * size).max(1, keepdims=True, initial=0)) / size
        matters = np.where(matters > 0, matters, _largest(problem, answer)[:, None] / size)
        matters = np.where(np.isfinite(matters), matters, 0)
        allowed = bar + lost + 4 * EPS * matters
        right_answer = np.abs(analytic - slope) <= allowed
        sharp = bar <= np.maximum(SHARP * np.abs(slope), FLAT * matters)
        seen, sharp = bar <= SHARP * np.abs(slope), sharp | ~moves
        confirmed = np.abs(analytic - witness) <= lost
        low, high, slack = np.minimum(left, right), np.maximum(left, right), 1e-5 * np.abs(right - left) + allowed
        between = (low - slack <= analytic) & (analytic <= high + slack)
        one_side = np.minimum(np.abs(analytic - left), np.abs(analytic - right)) <= 1e-5 * np.abs(analytic)
        jump_answer = (analytic == 0) | one_side
        sharp |= (kind == NOISE) & (bar <= FLAT * _beside(problem, answer)[:, None] / size)
    unknown = ~np.isfinite(slope + bar)
    contradicted = np.abs(analytic - witness) > lost + 8 * EPS * matters  # 1 - ans * ans knows no more of it
    certain = confirmed | (sharp & (seen | ~contradicted))
    judged = np.where(right_answer, np.where(certain, CORRECT, INCONCLUSIVE), WRONG)
    smooth = np.where(unknown, INCONCLUSIVE, judged)
    kinked = np.where(np.where(kind == KINK, between, jump_answer), AT_KINK, WRONG)
    return np.where((kind == SMOOTH) | (kind == NOISE), smooth, kinked)


def _largest(problem, answer):
    """For each of the answers the largest of its array: what the rounding of one that is 0 is measured by."""
    sizes = [int(np.prod(shape)) for shape in problem.out_shapes]
    parts = np.split(answer, np.cumsum(sizes)[:-1])
    return np.repeat([part.max(initial=0) for part in parts], sizes)


def _beside(problem, answer):
    """For each element of a gradient the size it would have if it mattered as much as the others; 0 for no gradient.

    The gradient of a bias before a batch norm is 0, and comes out as the rounding of those of the weights.
    """
    if not problem.is_gradient:
        return 0 * answer
    typical = problem.typical[-answer.size :]
    return (answer * typical).max(initial=0) / typical


def _sway(problem, analytic):
    """How far the rules' answers move when the inputs move by 4 ulp, or the cotangent's scale changes: what rounding
    inside a right rule may do."""
    moved = [problem.jacobian(problem.x * (1 + 4 * EPS * pattern)) for pattern in _patterns(problem.x.size)]
    moved += [problem.jacobian(problem.x, scale) for scale in (1.1, 1.3, 1.7)]
    return 4 * np.max([np.abs(other - analytic) for other in moved], axis=0)


def _patterns(n):
    alternating = np.where(np.arange(n) % 2, -1.0, 1.0)
    return np.ones(n), -np.ones(n), alternating, -alternating
