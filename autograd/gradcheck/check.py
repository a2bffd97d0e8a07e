"""One check from beginning to end: behaviour, then order by order the numbers, then what explains a failure."""

import warnings

import numpy as np

from ..graph import enable_grad
from . import blame, rules
from .judge import RTOL, judge
from .probe import probe
from .problem import Problem
from .report import Report

__all__ = ["check", "examine"]

AFFORDABLE = 40_000  # derivatives of a Jacobian that is computed whole
COLUMNS = 2_000  # inputs that are moved one by one


def check(f, inputs, order=1, rtol=RTOL, seed=0):
    """The Report on `f` at `inputs`."""
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"), warnings.catch_warnings(), enable_grad():
        warnings.simplefilter("ignore")
        problem = Problem(f, inputs)
        report = Report(problem.name)
        report.troubles = rules.troubles(problem, rng)
        if any(trouble.fatal for trouble in report.troubles):
            return report
        first, chain = problem, [problem]
        order = 1 if report.troubles else order
        for k in range(1, order + 1):
            report.levels.append(examine(problem, k, rtol, rng))
            if report.failed or k == order:
                break
            problem = problem.gradient(rng)
            chain.append(problem)
        if report.failed:
            report.causes = blame.causes(report, first, chain, rtol, rng)
        elif report:
            report.notes = rules.precision(first, rng)
    return report


def examine(problem, order, rtol, rng):
    """The Level of `problem`: its whole Jacobian where that is affordable, else random probes of it."""
    outputs = problem.value(problem.x).size
    if problem.x.size * outputs <= AFFORDABLE and problem.x.size <= COLUMNS:
        return judge(problem, order, rtol)
    return probe(problem, order, rng)
