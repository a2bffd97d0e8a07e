"""Why a check failed: what the numbers have to do with each other, the rule at fault, the smallest input that fails."""

import numpy as np

from ..engine import _general, build
from . import rules
from .judge import WRONG
from .numeric import JUMP, KINK
from .problem import Problem
from .report import worst

__all__ = ["causes"]

TRIALS = 40  # of smaller inputs
SAME = 1e-5  # how far ratios may differ and count as the same


def causes(report, problem, chain, rtol, rng):
    """Sentences that explain the failure of `report`, whose last Level failed."""
    from .check import examine

    level = report.failed
    if level.verdict.max() < WRONG:
        return [_uncertain(level.problem)]
    fails = lambda f, inputs: _fails(f, inputs, level.order, rtol, examine)
    found = [*_relation(level, problem), *_constant(level), *_fault(problem, chain, level, rtol, rng, examine)]
    return [*found, *_smallest(problem, fails)]


def _uncertain(problem):
    """What to do where the differences do not tell."""
    outside = np.flatnonzero(~np.isfinite(problem.value(problem.x)))
    if outside.size:
        return f"{problem.output_place(outside[0])} is not finite here; choose inputs within the function's domain"
    return "the differences are too uncertain here; try other inputs, away from singular points and rounding"


def _fails(f, inputs, order, rtol, examine):
    """Whether `f` has a wrong derivative at `inputs`, of this order and of none below."""
    rng = np.random.default_rng(0)
    try:
        problem = Problem(f, inputs)
        for k in range(1, order + 1):
            level = examine(problem, k, rtol, rng)
            if k == order:
                return level.count("wrong") > 0
            if level.count("wrong"):
                return False
            problem = problem.gradient(rng)
    except Exception:
        return False


# ----- what the numbers say -----


def _relation(level, problem):
    """What the rule's numbers are beside the right ones, in words."""
    k = worst(level)
    a, n = level.analytic, level.slopes.slope
    if level.slopes.kind[k] in (KINK, JUMP):
        return
    if np.isnan(a[k]):
        yield "the rule's answer is not a number"
        return
    if level.jacobian is not None:
        told = _transposed(level) or _unsummed(level)
        if told:
            yield told
            return
    wrong = (level.verdict == WRONG) & np.isfinite(a) & (np.abs(n) > 10 * level.slopes.bar)
    if not wrong.any():
        if (level.verdict == WRONG).any() and not n[level.verdict == WRONG].any():
            yield "the rule gives a derivative where the answer does not depend on the input at all"
        return
    ratios = a[wrong] / n[wrong]
    if np.ptp(ratios) <= SAME * np.abs(ratios).max():
        yield "the rule's answer is " + _ratio(float(ratios[0]), problem)
        return
    offsets = (a - n)[level.verdict == WRONG]
    if np.ptp(offsets) <= 1e-3 * np.abs(offsets).max():
        yield f"the rule's answer is off by the same {offsets[0]:.4g} everywhere it is wrong"


def _ratio(ratio, problem):
    """'2.0000 times too large', 'of the wrong sign', 'off by the batch size 32': a ratio in words."""
    if ratio == 0:
        return "0 where the slope is not"
    if abs(ratio + 1) <= SAME:
        return "of the wrong sign"
    sign = "of the wrong sign and " if ratio < 0 else ""
    factor, way = (abs(ratio), "large") if abs(ratio) > 1 else (1 / abs(ratio), "small")
    sizes = {size for shape in problem.shapes + problem.out_shapes for size in (*shape[:1], *shape, np.prod(shape))}
    batch = [shape[0] for shape in problem.shapes if shape]
    whole = round(factor)
    named = ""
    if whole > 2 and abs(factor - whole) <= SAME * factor and whole in sizes:
        named = f": off by {'the batch size' if whole in batch else 'the size'} {whole}, a mean taken for a sum or so"
    return f"{sign}{factor:.4f} times too {way}{named}"


def _transposed(level):
    """Whether every row of the Jacobian, as an array of the input's shape, is the transpose of the right one."""
    start = 0
    for shape, size, label in zip(level.problem.shapes, level.problem.sizes, level.problem.labels, strict=True):
        part = slice(start, start + size)
        start += size
        if len(shape) < 2 or shape[-1] != shape[-2]:
            continue
        got, right = (table[:, part].reshape(-1, *shape) for table in (level.jacobian, level.numeric))
        if _near(np.swapaxes(got, -1, -2), right) and not _near(got, right):
            return f"the rule's answer for {label} is transposed"
    return None


def _unsummed(level):
    """Whether a broadcast input's derivatives are right for some of the answer's elements and 0 for the others."""
    shape, start = level.problem.out_shapes[0], 0
    for in_shape, size, label in zip(level.problem.shapes, level.problem.sizes, level.problem.labels, strict=True):
        part = slice(start, start + size)
        start += size
        if len(level.problem.out_shapes) > 1 or size >= np.prod(shape):
            continue
        got, right = level.jacobian[:, part], level.numeric[:, part]
        there = np.abs(right) > 1e-6 * np.abs(right).max(initial=0)
        kept, lost = there & _close(got, right), there & (got == 0)
        if lost.any() and (kept | lost | ~there).all() and kept.any():
            axes = [i for i, n in enumerate(shape) if _size_along(in_shape, i - len(shape)) != n]
            return f"the rule's answer for {label} is missing a sum over the broadcast axis {', '.join(map(str, axes))}"
    return None


def _size_along(shape, axis):
    return shape[axis] if -axis <= len(shape) else 1


def _close(a, b):
    return np.abs(a - b) <= SAME * np.abs(b) + 1e-9 * np.abs(b).max(initial=0)


def _near(a, b):
    return bool(_close(a, b).all())


def _constant(level):
    """What a wrong second derivative beside a right first one means."""
    if level.order > 1:
        yield (
            f"order {level.order - 1} is right and order {level.order} is not: a rule uses as a constant what depends "
            "on its input (a saved intermediate, x.data, an array computed outside); compute it in the rule, from the "
            "rule's own arguments, with operations of mytorch"
        )


# ----- whose rule it is -----


def _fault(problem, chain, level, rtol, rng, examine):
    """The operation of the chain whose rule is wrong by itself, on the arguments it had there."""
    found, checked = None, set()
    for depth in range(len(chain), 0, -1):  # a wrong rule among those that rules use is met in the gradient's graph
        for call in _distinct(chain[depth - 1], rng):
            order = level.order - depth + 1
            if (call.op, order) in checked:
                continue
            checked.add((call.op, order))
            argument = _wrong_argument(call, order, rtol, rng, examine)
            if argument is not None:
                found = call.op, argument
                break
        if found:
            break
    if found is None:
        yield (
            "every rule of the chain is right by itself: a gradient is lost or added between them "
            "(detach, data, numpy on raw arrays)"
        )
        return
    op, argument = found
    rule = op.rules[argument] if argument < len(op.rules) else None
    if rule is None:
        yield f"{op.name} has None for a rule of argument {argument}: no gradient flows there, but one should"
    else:
        yield f"the rule at fault: {op.name}, argument {argument}, at {rules.where(rule)}"


def _distinct(problem, rng):
    """The Calls of a backward pass, one for every operation on its arguments."""
    u = rng.uniform(0.5, 1.5, problem.value(problem.x).size)
    seen = set()
    for call in rules.calls(problem, u):
        key = call.op, *map(id, call.args)
        if key not in seen:
            seen.add(key)
            yield call


def _wrong_argument(call, order, rtol, rng, examine):
    """The number of the argument for which an operation has a wrong derivative of this order, or None."""
    live = [i for i, (a, rule) in enumerate(zip(call.args, call.op.rules, strict=False)) if callable(rule) and _real(a)]
    apply = build(call.op, _general)

    def alone(*given):
        args = list(call.args)
        for i, x in zip(live, given, strict=True):
            args[i] = x
        return apply(*args, **call.kwargs)

    try:
        problem = Problem(alone, [call.args[i] for i in live], call.op.name, _names(call, live))
        for k in range(1, order + 1):
            level = examine(problem, k, rtol, rng)
            if level.count("wrong"):
                place = level.problem.input_place(level.columns[worst(level)])
                number = place.partition(".")[0]
                return int(number) if number.isdigit() else live[0]
            if k < order:
                problem = problem.gradient(rng)
    except Exception:
        return None
    return None


def _names(call, live):
    """A label for every array among the arguments, which begins with the argument's number."""
    counts = [len(call.args[i]) if isinstance(call.args[i], (list, tuple)) else 1 for i in live]
    return [f"{i}.{k}" for i, n in zip(live, counts, strict=True) for k in range(n)]


def _real(a):
    if isinstance(a, (list, tuple)):
        return bool(a) and all(map(_real, a))
    return isinstance(a, float) or getattr(getattr(a, "dtype", None), "kind", "") == "f"


# ----- the smallest input -----


def _smallest(problem, fails):
    """The smallest inputs found that still fail: axes of one size are cut together, then numbers are rounded."""
    if problem.values or problem.parameterised:
        return
    leaves, left, found = problem.leaves, TRIALS if problem.x.size <= 1000 else 4, True
    while found:
        found = False
        for smaller in _smaller(leaves):
            left -= 1
            if left < 0:
                break
            if fails(problem.f, problem.rebuild(smaller)):
                leaves, found = smaller, True
                break
    if sum(np.size(x) for x in leaves) > 24:
        yield "the smallest inputs found that fail have shapes " + ", ".join(str(np.shape(x)) for x in leaves)
        return
    shown = [np.array2string(np.asarray(x), separator=", ", threshold=12) for x in leaves]
    yield "the smallest input found that fails: " + ", ".join(shown)


def _smaller(leaves):
    """The leaves with the axes of one size cut to 1, 2 or half their elements, or with rounder numbers."""
    arrays = [x for x in leaves if isinstance(x, np.ndarray)]
    for n in sorted({n for x in arrays for n in x.shape}, reverse=True):
        for size in sorted({k for k in (1, 2, n // 2) if 0 < k < n}):
            for end in (slice(size), slice(-size, None)):
                yield [_cut(x, n, end) for x in leaves]
    for k, x in enumerate(leaves):
        if isinstance(x, np.ndarray) and x.dtype.kind == "f":
            for decimals in (0, 1):
                rounded = np.round(x, decimals)
                if not np.array_equal(rounded, x):
                    yield [rounded if i == k else y for i, y in enumerate(leaves)]


def _cut(x, n, part):
    return x[tuple(part if m == n else slice(None) for m in x.shape)] if isinstance(x, np.ndarray) else x
