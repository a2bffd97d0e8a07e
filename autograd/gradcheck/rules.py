"""How a function and the rules of its chain behave, whatever their numbers: in place, shape, dtype, linear, layout."""

import inspect
import traceback
from pathlib import Path

import numpy as np

from ..engine import MISSING
from ..tree import flatten
from .problem import _array

__all__ = ["Call", "Trouble", "calls", "precision", "troubles", "where"]

PACKAGE, NUMPY = Path(__file__).parents[1], Path(np.__file__).parent
MOST = 64  # rule applications that are looked at
LINEAR = 1e-8  # what a linear rule may lose to rounding


class Trouble(str):
    """A sentence about what is wrong. `fatal`: the numbers mean nothing then."""

    fatal = False


def _fatal(text):
    trouble = Trouble(text)
    trouble.fatal = True
    return trouble


class Call:
    """One application of a rule in a backward pass: what it was given, and what it gave."""

    __slots__ = ("ans", "args", "argument", "g", "got", "kwargs", "op", "rule")

    def __init__(self, op, argument, rule, g, ans, args, kwargs):
        self.op, self.argument, self.rule = op, argument, rule
        self.g, self.ans, self.args, self.kwargs = g, ans, args, kwargs
        self.got = rule(g, ans, *args, **kwargs)

    def again(self, g):
        return self.rule(g, self.ans, *self.args, **self.kwargs)

    def __str__(self):
        return f"the rule of {self.op.name} for argument {self.argument} ({where(self.rule)})"


def where(rule):
    """'file:line' of a rule's code."""
    code = getattr(inspect.unwrap(rule), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(rule)


# ----- watching a backward pass -----


def calls(problem, u):
    """The Calls of a backward pass of `problem` from the cotangent `u`, in the order they were made.

    For this one pass the rules are replaced by ones that note what they are given.
    """
    log, ops = [], _operations(problem)
    kept = [(op, op.rules) for op in ops]
    try:
        for op, table in kept:
            _give(op, [_watched(op, i, rule, log) for i, rule in enumerate(table)])
        _, pullback = problem.linear(problem.x)
        pullback(u)
    finally:
        for op, table in kept:
            _give(op, table)
    return log


def _give(op, table):
    op.rules = tuple(table)
    op.plans.clear()


def _operations(problem):
    """The operations of the graph of `problem`, each once."""
    problem.linear(problem.x)
    seen, ops, stack = set(), {}, list(problem.nodes)
    while stack:
        node = stack.pop()
        if node.index in seen:
            continue
        seen.add(node.index)
        if node.op is not None:
            ops[id(node.op)] = node.op
        stack.extend(source for _, source in node.sources())
    return list(ops.values())


def _watched(op, i, rule, log):
    if rule is None or rule is MISSING:
        return rule

    def watched(*given, **kwargs):  # a rule of any arguments: the engine keeps them all for it
        g, ans, *args = given
        call = Call(op, i, rule, g, ans, args, kwargs)
        log.append(call)
        return call.got

    return watched


# ----- what may be wrong -----


def troubles(problem, rng):
    """The Troubles of a function and of the rules in its chain."""
    found = [*_forward(problem)]
    if found:
        return found
    try:
        y, pullback = problem.linear(problem.x)
        u, w = _cotangent(y, rng), _cotangent(y, rng)
        pullback(u)
        log = calls(problem, u)
    except Exception as error:
        return [_fatal(f"the backward pass fails{_raised_at(error)} with {type(error).__name__}: {error}")]
    seen = set()
    for call in log[:MOST]:
        if (call.op, call.argument) not in seen:
            seen.add((call.op, call.argument))
            found += _of_rule(call, rng)
    if not found:
        found += _linear("the pullback", pullback, pullback(u), u, w)
    return found


def _raised_at(error):
    """' at file:line' of the user's code that the error comes from; '' where it comes from this package's."""
    frames = [(Path(f.f_code.co_filename), line) for f, line in traceback.walk_tb(error.__traceback__)]
    frames = [(file, line) for file, line in frames if not file.is_relative_to(NUMPY)]
    if not frames or frames[-1][0].is_relative_to(PACKAGE):
        return ""
    return f" at {frames[-1][0]}:{frames[-1][1]}"


def _forward(problem):
    """What `f` itself does that a function must not."""
    live = problem.carriers(problem.x)
    others = [x for x in problem.leaves if isinstance(x, np.ndarray)]
    before = [np.array(_array(x)) for x in (*live, *others)]
    try:
        answers = [_array(y) for y in flatten(problem.call(live))[0]]
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        answers = []
    if any(y.dtype.kind == "f" and y.dtype.itemsize < 8 for y in answers):
        raise TypeError(
            f"gradcheck: {problem.name} answers in {min(y.dtype for y in answers if y.dtype.kind == 'f')} where its "
            "inputs are float64, too coarse to take differences of; let it keep its inputs' dtype "
            "(astype, or an array of that dtype?)"
        )
    for k, (x, old) in enumerate(zip((*live, *others), before, strict=True)):
        if not np.array_equal(_array(x), old, equal_nan=old.dtype.kind == "f"):
            what = problem.labels[k] if k < len(live) else "an input"
            yield _fatal(f"{problem.name} changes {what} in place; work on a copy, or write x = x + y for x += y")
            return
    first, second = problem.value(problem.x), problem.value(problem.x)
    if not np.array_equal(first, second, equal_nan=True):
        yield _fatal(
            f"{problem.name} is not deterministic: called twice with the same inputs its answers differ by "
            f"{np.abs(first - second).max():.3g}; seed its random numbers inside it, or pass them in"
        )


def _of_rule(call, rng):
    """What is wrong with one rule, on the numbers it was just given."""
    arrays = [a for a in flatten((call.ans, call.args))[0] if isinstance(a, np.ndarray)]
    g = np.array(call.g)
    before, g_before = [a.copy() for a in arrays], g.copy()
    got = call.again(g)
    if not np.array_equal(g, g_before):
        yield Trouble(f"{call} changes g in place; other rules read the same array: write g = g * y for g *= y")
        return
    if not all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(arrays, before, strict=True)):
        yield Trouble(f"{call} changes an argument or the answer in place; work on a copy")
        return
    answers = got if isinstance(got, (list, tuple)) else [got]
    arguments = call.args[call.argument] if isinstance(got, (list, tuple)) else [call.args[call.argument]]
    for ct, x in zip(answers, arguments, strict=False):
        lost = getattr(ct, "dtype", np.dtype(float)).itemsize < getattr(x, "dtype", np.dtype(float)).itemsize
        if lost and ct.dtype.kind == "f":
            yield Trouble(f"{call} returns {ct.dtype} for an argument of {x.dtype}, and loses digits; keep g's dtype")
            return
    flat = lambda g: np.concatenate([np.ravel(ct) for ct in _leaves(call.again(g))])
    wanted = np.concatenate([np.ravel(ct) for ct in _leaves(got)])
    found = list(_linear(str(call), flat, wanted, g, _cotangent(g, rng)))
    yield from found or _layout(call, flat, g)


def _linear(what, pull, at_g, g, w):
    """A rule is linear in g: what it gives for 2g - 3w is what these give."""
    at_w, together = pull(w), pull(2 * g - 3 * w)
    size = np.nanmax(np.abs([at_g, at_w, together]), initial=0)
    if np.nanmax(np.abs(together - (2 * at_g - 3 * at_w)), initial=0) <= LINEAR * size:
        return
    if np.array_equal(at_g, at_w):
        yield Trouble(f"{what} does not depend on g, the cotangent; it must return g times the derivative")
    else:
        yield Trouble(f"{what} is not linear in g, the cotangent; it must be: g times the derivative")


def _layout(call, pull, g):
    """A rule gives the same for the same g in whatever order its elements lie in memory."""
    if not np.ndim(g):
        return
    strided = np.repeat(g, 2, axis=-1)[..., ::2]
    backwards = np.array(g[::-1])[::-1]
    constant = np.broadcast_to(g.flat[:1].reshape(()) if g.size else np.float64(1), g.shape)
    for layout, name in (
        (np.asfortranarray(g), "column-major"),
        (strided, "strided"),
        (backwards, "reversed"),
        (constant, "broadcast, read-only"),
    ):
        try:
            same = np.allclose(pull(layout), pull(np.array(layout, order="C")), rtol=1e-9, atol=0, equal_nan=True)
            said = "gives other numbers"
        except Exception as error:
            same, said = False, f"fails with {type(error).__name__} ({error})"
        if not same:
            yield Trouble(f"{call} {said} when g is {name} in memory; use g as an array, not its buffer")
            return


def _leaves(got):
    return [_array(ct) for ct in (got if isinstance(got, (list, tuple)) else [got])]


def _cotangent(like, rng):
    return np.asarray(rng.uniform(0.5, 1.5, np.shape(like)) * rng.choice([-1.0, 1.0], np.shape(like)))


# ----- float32 -----


def precision(problem, rng):
    """Notes on what the gradient loses in float32, where that is more than rounding explains."""
    if problem.values:
        return
    y, pullback = problem.linear(problem.x)
    u = _cotangent(y, rng)
    wide = pullback(u)
    try:
        narrow = problem.linear(problem.x, np.float32)[1](u)
    except Exception as error:
        yield f"in float32 the backward pass fails with {type(error).__name__}: {error}"
        return
    size = np.abs(wide).max(initial=0)
    lost = np.abs(narrow - wide).max(initial=0) / size if size else 0
    if lost > 1e-3:
        k = int(np.nanargmax(np.abs(narrow - wide)))
        yield (
            f"in float32 the gradient loses precision: at {problem.input_place(k)} it is {narrow[k]:.6g}, "
            f"in float64 {wide[k]:.6g}; {lost / float(np.finfo(np.float32).eps):.0f} times the rounding of one number"
        )
