"""Sabotaged rules, and how many of them a gradient checker catches: the table in docs/gradcheck.md.

    python tests/autograd/sabotage.py --inputs 1000 --write

Every rule of every operation is spoiled in every way of SABOTAGE, on the first row of rows.py that uses it. A spoiled
rule that still gives the right derivatives there (a transposed sum) is not counted. False alarms are looked for on
random inputs, values and derivatives of scales from 1e-12 to 1e12, to second order for a tenth of them. With torch
installed its gradcheck is given the very same functions and derivatives, a tenth of the random ones.
"""

import argparse
import contextlib
import importlib
import operator
import re
import sys
import time
from pathlib import Path

import numpy as np
from rows import ELEMENTWISE, ROWS

import mytorch as mt
from mytorch.autograd import ops
from mytorch.autograd.gradcheck.problem import Problem
from mytorch.autograd.graph import Part
from mytorch.autograd.transforms import Trace

__all__ = ["SABOTAGE", "cases", "harmful", "random_row", "spoiled"]

# ----- ways to spoil a rule: from the right cotangent, or from the right rule -----


def on_answer(spoil):
    return lambda rule: lambda g, ans, *args, **kwargs: spoil(_written_out(rule(g, ans, *args, **kwargs)))


def _written_out(ct):
    return np.asarray(ct) if isinstance(ct, Part) else ct


def each(spoil):
    """`spoil` for a cotangent, or for each of a list of them."""
    return on_answer(lambda ct: [spoil(c) for c in ct] if isinstance(ct, (list, tuple)) else spoil(ct))


def _one_off(ct):
    factor = np.ones(ct.shape)
    factor.flat[np.abs(getattr(ct, "_data", ct)).argmax()] = 1.01
    return ct * factor


def _transposed(ct):
    return mt.matrix_transpose(ct) if ct.ndim > 1 and ct.shape[-1] == ct.shape[-2] else ct


def _shifted(ct):
    return ct + 1e-6 * np.abs(getattr(ct, "_data", ct)).max(initial=0)


def _constant(x):
    if isinstance(x, (list, tuple)):
        return type(x)(map(_constant, x))
    return x.detach() if isinstance(x, mt.Tensor) else x


def _saved(rule):
    """The rule with what it reads taken as constants: right once, wrong twice."""
    return lambda g, ans, *args, **kwargs: rule(g, _constant(ans), *map(_constant, args), **kwargs)


def _deaf(rule):
    return lambda g, ans, *args, **kwargs: rule(g * 0 + 1, ans, *args, **kwargs)


def second(spoil):
    """What leaves the derivatives alone and spoils theirs."""
    return lambda ct: spoil(ct) + (_constant(ct) - _constant(spoil(ct)))


SABOTAGE = {  # name -> (order of differentiation at which it shows, rule -> spoiled rule)
    "scaled by 1.0001": (1, each(lambda ct: ct * 1.0001)),
    "negated": (1, each(lambda ct: -ct)),
    "zeroed": (1, each(lambda ct: ct * 0)),
    "transposed where square": (1, each(_transposed)),
    "one element off by 1 %": (1, each(_one_off)),
    "shifted by 1e-6 of its scale": (1, each(_shifted)),
    "`g` ignored": (1, _deaf),
    "saved intermediate": (2, _saved),
    "second derivative scaled by 1.0001": (2, each(second(lambda ct: ct * 1.0001))),
    "second derivative negated": (2, each(second(lambda ct: -ct))),
    "second derivative zeroed": (2, each(_constant)),
    "second derivative, one element off by 1 %": (2, each(second(_one_off))),
    "second derivative transposed where square": (2, each(second(_transposed))),
}


def cases():
    """(operation, number of the argument, row) for every rule of every operation."""
    for fun in ops.TABLE.values():
        for i, rule in enumerate(fun.op.rules):
            row = rule and next((row for row in ROWS if _reaches(row, fun.op, i)), None)
            if row:  # einsum has rules for more operands than any row
                yield fun.op, i, row


def _reaches(row, op, i):
    """Whether the row's gradient asks `op` for its rule i."""
    return row.name in (op.name, op.name.lstrip("_")) and any(
        k == i and node.op is op for node in _nodes(row) for k, _ in node.sources()
    )


def _nodes(row):
    answers = row(*(mt.tensor(x, requires_grad=True) for x in row.inputs))
    stack = [y._node for y in (answers if isinstance(answers, (list, tuple)) else [answers])]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(source for _, source in node.sources())


@contextlib.contextmanager
def spoiled(op, i, spoil):
    """The operation with its rule i spoiled, for a while."""
    right = op.rules
    try:
        op.rules = (*right[:i], spoil(right[i]), *right[i + 1 :])
        op.plans.clear()
        yield
    finally:
        op.rules = right
        op.plans.clear()


def harmful(op, i, row, order, spoil):
    """Whether the spoiled rule gives other derivatives of this order than the right one, or is deaf to `g`."""
    if spoil is _deaf:
        return True

    def derivatives():
        problem = Problem(row, row.inputs)
        for _ in range(order - 1):
            problem = problem.gradient(np.random.default_rng(0))
        return problem.jacobian(problem.x)

    right = derivatives()
    with spoiled(op, i, spoil):
        return not np.allclose(derivatives(), right, rtol=1e-9, atol=1e-9 * np.abs(right).max(initial=0))


# ----- random inputs that are fit for an operation -----

NEAREST = 1e-8  # to a singular point
POSITIVE = {"log", "log2", "log10", "sqrt"}
UNIT = {"arcsin", "arccos", "arctanh"}
PERIODIC = {"sin", "cos", "tan"}  # beyond 1e6 the rounding of s * x moves the phase
SATURATED = {"sigmoid": (10, 1e3), "tanh": (10, 40), "softmax": (4, 1e8), "log_softmax": (4, 1e8)}
GROWING = {"exp", "exp2", "expm1", "sinh", "cosh"}  # beyond 20 or so the answers leave the scales
ALIKE = {row.name for row in ROWS} - {row.name for row in ELEMENTWISE}  # these add elements up, or compare them


def random_row(row, rng):
    """(f, inputs): c * row(s * x) for random scales c and s, of inputs x with scales from 1e-12 to 1e12.

    The arguments s * x go over the same scales as far as the operation does. So those of values (c) and derivatives
    (c * s) have nothing to do with each other.
    """
    arguments = _arguments(row, rng)
    lowest = -3 if row.name == "remainder" else -12  # a saw: the steps must not go over thousands of its teeth
    inputs = [_sizes(z.shape, rng, row, lowest) * _apart(z.shape, rng) * np.sign(z) for z in arguments]
    inner = [z / x for z, x in zip(arguments, inputs, strict=True)]
    outer = 10.0 ** rng.uniform(-12, 12)
    return lambda *xs: _scaled(row(*map(operator.mul, xs, inner)), outer), inputs


def _scaled(y, by):
    return [_scaled(part, by) for part in y] if isinstance(y, (list, tuple)) else y * by


def _sizes(shape, rng, row, low=-12, high=12):
    """A size for every element, or one for all where they have to do with each other."""
    return 10.0 ** rng.uniform(low, high, () if row.name in ALIKE else shape)


def _apart(shape, rng):
    """Numbers between 0.5 and 1.5 of which no two are nearly equal."""
    n = int(np.prod(shape))
    return (0.5 + (rng.permutation(n) + rng.uniform(0.2, 0.8, n)) / max(n, 1)).reshape(shape)


def _arguments(row, rng):
    """What the operation itself is to be given."""
    name, shapes = row.name, [x.shape for x in row.inputs]
    sign = lambda shape: rng.choice([-1.0, 1.0], shape)
    draw = lambda shape, *ends: _sizes(shape, rng, row, *ends) * _apart(shape, rng) * sign(shape)
    if name == "power":
        return _powers(row, draw, rng)
    if name == "remainder":
        x = draw(shapes[0])
        return [x, np.abs(x) * 10 ** rng.uniform(-2, 1, x.shape)]
    highest = 1 if name in GROWING else 6 if name in PERIODIC else 12
    drawn = [draw(shape, -12, highest) for shape in shapes]
    if name in ("inv", "solve"):  # well conditioned
        drawn[0] += 3 * np.abs(drawn[0]).max() * np.eye(shapes[0][-1])
    return [_within(name, x) for x in drawn]


def _powers(row, draw, rng):
    """Any base for a constant exponent, positive ones for an exponent that is an input."""
    base, exponent = (isinstance(a, np.ndarray) for a in row.args)
    bases = [draw(row.inputs[0].shape)] if base else []
    if exponent or row.args[1] == 0.5:
        bases = [np.abs(x) for x in bases]
    return bases + [rng.uniform(-3, 3, row.inputs[-1].shape)] * exponent


def _within(name, x):
    """`x` moved into the operation's domain."""
    if name in POSITIVE:
        return np.abs(x)
    if name in UNIT:
        return np.clip(x / (1 + np.abs(x)), NEAREST - 1, 1 - NEAREST)
    if name == "log1p":
        return np.where(x < -0.99, -x, x)
    if name in SATURATED:
        low, high = SATURATED[name]
        size = np.abs(x).max() if name in ALIKE else np.abs(x)
        return np.where((low < size) & (size < high), x * (low / high), x)
    return 1 + np.maximum(np.abs(x), NEAREST) if name == "arccosh" else x


# ----- the checkers -----


def ours(f, inputs, order):
    """Whether mt.gradcheck finds fault."""
    return not mt.gradcheck(f, *inputs, order=order, raise_error=False)


def theirs(fast):
    """The same for torch.autograd.gradcheck, in fast or slow mode; an error counts as a fault found."""
    torch = importlib.import_module("torch")

    def faulty(f, inputs, order):
        xs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in inputs]
        check = torch.autograd.gradcheck if order == 1 else torch.autograd.gradgradcheck
        try:
            return not check(_bridge(torch, f), xs, fast_mode=fast, raise_exception=False)
        except Exception:
            return True

    return faulty


def _bridge(torch, f):
    """`f` of Tensors as a function of torch's, with the derivatives that the engine has for it, of any order."""

    def leaves(y):
        return tuple(y) if isinstance(y, (list, tuple)) else (y,)

    class Bridge(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *xs):
            ctx.save_for_backward(*xs)
            with mt.no_grad():
                answers = leaves(f(*(mt.tensor(x.detach().numpy()) for x in xs)))
            answers = tuple(torch.from_numpy(np.array(getattr(y, "_data", y), float)) for y in answers)
            return answers if len(answers) > 1 else answers[0]

        @staticmethod
        def backward(ctx, *gs):
            xs, n = ctx.saved_tensors, len(gs)

            def pulled(*both):
                trace = Trace("pull", lambda *xs: list(leaves(f(*xs))), both[n:], range(len(xs)))
                return list(trace.pullback(list(both[:n])))

            out = _bridge(torch, pulled)(*gs, *xs)
            return out if isinstance(out, tuple) else (out,)

    return Bridge.apply


CHECKERS = {
    "mt.gradcheck": lambda: ours,
    "torch, slow": lambda: theirs(fast=False),
    "torch, fast": lambda: theirs(fast=True),
}


# ----- the table -----


def caught(faulty):
    """{sabotage: (caught, missed)} over all rules."""
    table = {name: [0, 0] for name in SABOTAGE}
    for op, i, row in cases():
        for name, (order, spoil) in SABOTAGE.items():
            if harmful(op, i, row, order, spoil):
                with spoiled(op, i, spoil):
                    table[name][not faulty(row, row.inputs, order)] += 1
    return table


def alarms(faulty, n, order, seed=0):
    """(false alarms, checks) on n random inputs for every operation, its rows in turn."""
    rng, found, done = np.random.default_rng(seed), 0, 0
    with np.errstate(all="ignore"):
        for name in dict.fromkeys(row.name for row in ROWS):
            rows = [row for row in ROWS if row.name == name]
            for k in range(n):
                f, inputs = random_row(rows[k % len(rows)], rng)
                answers = f(*inputs)
                if all(np.isfinite(y).all() for y in (answers if isinstance(answers, list) else [answers])):
                    found, done = found + bool(faulty(f, inputs, order)), done + 1
    return found, done


def measured(n):
    """The table in Markdown, of the checkers that are installed; torch's is given a tenth of the right rules."""
    columns = {}
    for name, make in CHECKERS.items():
        try:
            faulty = make()
        except ImportError:
            continue
        start = time.perf_counter()
        some = n if faulty is ours else max(n // 10, 1)
        right = alarms(faulty, some, 1), alarms(faulty, max(some // 10, 1), 2)
        columns[name] = caught(faulty), *right, time.perf_counter() - start
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in SABOTAGE:
        counts = [columns[c][0][name] for c in columns]
        lines.append(f"| {name} | " + " | ".join(f"{hit} caught, {miss} missed" for hit, miss in counts) + " |")
    for k, what in ((1, "right rules"), (2, "right rules, second order")):
        told = (f"{column[k][0]} false alarms in {column[k][1]:,}" for column in columns.values())
        lines.append(f"| {what} | " + " | ".join(told) + " |")
    lines.append("| seconds | " + " | ".join(f"{seconds:,.0f}" for *_, seconds in columns.values()) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=20, help="random inputs for every operation")
    parser.add_argument("--write", action="store_true", help="put the table into docs/gradcheck.md")
    options = parser.parse_args()
    table = measured(options.inputs)
    print(table)
    if options.write:
        page = Path(__file__).resolve().parents[2] / "docs" / "gradcheck.md"
        text = page.read_text(encoding="utf-8")
        page.write_text(
            re.sub(r"(<!-- table -->\n).*?(<!-- end -->)", lambda m: m[1] + table + "\n" + m[2], text, flags=re.DOTALL),
            encoding="utf-8",
        )


if __name__ == "__main__":
    sys.exit(main())
