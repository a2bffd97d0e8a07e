"""The report of a check: true when all is well, readable at 80 columns, and a dict for machines."""

import textwrap

import numpy as np

from .judge import VERDICTS
from .numeric import JUMP, KINK

__all__ = ["Report"]

WIDTH = 78
KINKS_SHOWN = 3


class Report:
    """What a check found. True when every derivative is correct, or a kink where the rule's answer is allowed.

    name:     of the function
    levels:   a Level for every order of differentiation that was checked
    troubles: sentences about behaviour that is wrong whatever the numbers are
    causes:   sentences that explain the failure
    notes:    sentences that are worth reading and no failure
    """

    def __init__(self, name):
        self.name = name
        self.levels, self.troubles, self.causes, self.notes = [], [], [], []

    @property
    def verdict(self):
        """'correct', 'inconclusive' or 'wrong'."""
        if self.troubles or any(level.count("wrong") for level in self.levels):
            return "wrong"
        return "inconclusive" if any(level.count("inconclusive") for level in self.levels) else "correct"

    @property
    def failed(self):
        """The first Level that is not well, or None."""
        return next((level for level in self.levels if level.count("wrong") + level.count("inconclusive")), None)

    def __bool__(self):
        return self.verdict == "correct"

    def __repr__(self):
        return str(self)

    def __str__(self):
        parts = [_paragraph(self._headline(), "")]
        for trouble in self.troubles:
            parts.append(_paragraph(trouble, "  "))
        if self.failed:
            parts.append(_element(self.failed))
        for cause in self.causes:
            parts.append(_paragraph(cause, "  "))
        for level in self.levels:
            parts.append(_paragraph(_summary(level), "  "))
        for note in [*_kinks(self.levels), *self.notes]:
            parts.append(_paragraph(f"note: {note}", "  "))
        return "\n".join(parts)

    def _headline(self):
        said = {"correct": "is right", "wrong": "is WRONG", "inconclusive": "could not be judged"}
        return f"gradcheck: {self.name} {said[self.verdict]}"

    def to_dict(self):
        """The report in plain Python objects, as JSON knows them: None stands for what is not a finite number."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "troubles": list(self.troubles),
            "causes": list(self.causes),
            "notes": list(self.notes),
            "levels": [_level_dict(level) for level in self.levels],
        }


# ----- one level -----


def worst(level):
    """The number of the element to show: of those with the gravest verdict the one that is furthest off."""
    gravest = np.flatnonzero(level.verdict == level.verdict.max())
    with np.errstate(all="ignore"):
        off = np.abs(level.analytic - level.slopes.slope)[gravest] / np.maximum(level.slopes.bar[gravest], 1e-300)
    return int(gravest[np.argmax(np.where(np.isnan(off), np.inf, off))])


def _element(level):
    """The derivative to show, with its evidence."""
    k = worst(level)
    (of, by), verdict = _place(level, k), VERDICTS[level.verdict[k]]
    slope, bar, left, right, kind = (float(part[k]) for part in level.slopes)
    lines = [
        f"{_order(level.order)} of {of} by {by}, which is {level.problem.x[level.columns[k]]:.6g}: {verdict}",
        f"  the rule says     {level.analytic[k]:.12g}",
    ]
    if kind in (KINK, JUMP):
        lines.append(f"  slope, left       {left:.9g}")
        lines.append(f"  slope, right      {right:.9g}   (a kink: the rule's answer must lie between)")
    else:
        lines.append(f"  differences say   {slope:.12g} +- {bar:.1g}" + ("   (too wide)" * (verdict == "inconclusive")))
    if np.isfinite(level.complex[k]):
        lines.append(f"  complex step says {level.complex[k]:.12g}")
    return textwrap.indent("\n".join(lines), "  ")


def _summary(level):
    counts = [(v, level.count(v)) for v in reversed(VERDICTS)]
    told = ", ".join(f"{n} {v}" for v, n in counts if n) or "nothing to compare"
    return f"order {level.order}: {level.how}: {told}" + (f". {level.missed}" if level.missed else "")


def _kinks(levels):
    """What is said of the kinks at which the rule's answer is allowed."""
    for level in levels:
        kinks = np.flatnonzero(level.verdict == VERDICTS.index("kink"))
        for k in kinks[:KINKS_SHOWN]:
            left, right, says = level.slopes.left[k], level.slopes.right[k], level.analytic[k]
            of, by = _place(level, k)
            here = f"{by} = {level.problem.x[level.columns[k]]:.6g}"
            if level.slopes.kind[k] == JUMP:
                yield f"{of} jumps at {here} and has no derivative there; the rule says {says:.6g}"
            else:
                slopes = f"slope {left:.6g} from the left, {right:.6g} from the right"
                yield f"kink in {of} at {here}: {slopes}; the rule says {says:.6g}"
        if len(kinks) > KINKS_SHOWN:
            yield f"{len(kinks) - KINKS_SHOWN} more kinks at order {level.order}"


def _place(level, k):
    """The names of an element's answer and input."""
    return level.problem.output_place(level.rows[k]), level.problem.input_place(level.columns[k])


def _order(order):
    return {1: "derivative", 2: "second derivative", 3: "third derivative"}.get(order, f"derivative of order {order}")


def _level_dict(level):
    return {
        "order": level.order,
        "compared": level.how,
        "missed": level.missed,
        "counts": {verdict: level.count(verdict) for verdict in VERDICTS},
        "elements": [
            {
                "of": _place(level, k)[0],
                "by": _place(level, k)[1],
                "verdict": VERDICTS[level.verdict[k]],
                "analytic": _number(level.analytic[k]),
                "numeric": _number(level.slopes.slope[k]),
                "bar": _number(level.slopes.bar[k]),
                "left": _number(level.slopes.left[k]),
                "right": _number(level.slopes.right[k]),
                "complex": _number(level.complex[k]),
            }
            for k in np.flatnonzero(level.verdict)[:100]
        ],
    }


def _number(x):
    return float(x) if np.isfinite(x) else None


def _paragraph(text, indent):
    return "\n".join(
        textwrap.fill(line, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_long_words=False)
        for line in text.splitlines()
    )
