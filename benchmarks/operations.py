"""python -m benchmarks.operations: one operation at a time, forward and backward, beside PyTorch; the slowest first."""

import argparse
import sys
from time import perf_counter

import numpy as np
import threadpoolctl

import mytorch as mt

try:
    import torch
except ImportError:
    torch = None

# Inputs: `any`, normal; `positive`; `inside` (-0.9, 0.9); `regular`, a matrix far from singular.
DOMAINS = {
    "any": lambda x: x,
    "positive": lambda x: np.abs(x) + 0.1,
    "inside": lambda x: np.clip(x / 4, -0.9, 0.9),
    "regular": lambda x: (x / len(x) + 3 * np.eye(len(x))).astype(x.dtype),
}
# (name, domain, of this library, of PyTorch where it says it otherwise): functions of the namespace, the matrix x and
# as many row numbers i.
ROWS = [
    *((f, "any", f"np.{f}(x)") for f in ("abs", "cos", "cosh", "exp", "expm1", "sin", "sinh", "square", "tanh")),
    *((f, "any", f"np.{f}(x)") for f in ("relu", "sigmoid")),
    *((f, "positive", f"np.{f}(x)") for f in ("log", "log1p", "sqrt")),
    *((f, "inside", f"np.{f}(x)") for f in ("arcsin", "arctan", "tan")),
    *((f"x ** {y}", "any", f"x ** {y}") for y in (2, 3, -1)),
    ("x ** 0.5", "positive", "x ** 0.5"),
    ("x % 0.7", "any", "x % 0.7"),
    ("x * row", "any", "x * x[0]"),
    ("x * column", "any", "x * x[:, :1]"),
    ("1 / x", "positive", "1 / x"),
    ("maximum", "any", "np.maximum(x, 0.5 * x)"),
    ("clip", "any", "np.clip(x, -0.5, 0.5)"),
    ("where", "any", "np.where(x > 0, x, 0.1 * x)"),
    ("logaddexp", "any", "np.logaddexp(x, 0.5 * x)"),
    ("hypot", "any", "np.hypot(x, x + 1)"),
    ("arctan2", "any", "np.arctan2(x, x + 1)"),
    *((f"{f} over all", "any", f"x.{f}()") for f in ("sum", "mean")),
    *((f"{f} over {a}", "any", f"np.{f}(x, {a})") for f in ("sum", "mean", "cumsum", "prod") for a in (0, 1)),
    *((f"max over {a}", "any", f"x.max({a})", f"np.amax(x, {a})") for a in (0, 1)),
    *((f"var over {a}", "any", f"x.var({a})", f"x.var({a}, unbiased=False)") for a in (0, 1)),
    *((f"{f} over 1", "any", f"np.{f}(x, 1)") for f in ("softmax", "log_softmax", "logsumexp")),
    ("norm", "any", "np.norm(x)"),
    ("x.T @ x", "any", "x.T @ x"),
    ("einsum ij,ij->i", "any", "np.einsum('ij,ij->i', x, x)"),
    ("inv", "regular", "np.inv(x)", "np.linalg.inv(x)"),
    ("solve", "regular", "np.solve(x, x[0])", "np.linalg.solve(x, x[0])"),
    ("x[rows]", "any", "x[i]"),
    ("x[a:b, c:]", "any", "x[1:-1, 2:]"),
    ("concatenate", "any", "np.concatenate([x, x], 0)"),
    ("stack", "any", "np.stack([x, x], 1)"),
    ("repeat", "any", "np.repeat(x, 2, 0)", "np.repeat_interleave(x, 2, 0)"),
    ("tile", "any", "np.tile(x, (2, 1))"),
    ("flip", "any", "np.flip(x, 1)", "np.flip(x, [1])"),
    ("roll", "any", "np.roll(x, 3, 1)"),
    ("sort over 1", "any", "np.sort(x, 1)", "np.sort(x, dim=1, stable=True)[0]"),
    ("tril", "any", "np.tril(x)"),
]


class Contender:
    """One library's operation on its own copy of `x`: how long a call and its backward take, and the gradient."""

    def __init__(self, namespace, text, leaf, wrap, x, i):
        self.f = eval(f"lambda np, x, i: {text}")
        self.namespace, self.x, self.i = namespace, leaf(x), wrap(i)
        shape = tuple(self.f(namespace, self.x, self.i).shape)
        self.g = wrap(np.random.default_rng(1).normal(size=shape).astype(x.dtype))

    def turn(self):
        self.x.grad = None
        start = perf_counter()
        y = self.f(self.namespace, self.x, self.i)
        middle = perf_counter()
        y.backward(self.g)
        return middle - start, perf_counter() - middle


LIBRARIES = {"ours": (mt, lambda x: mt.tensor(x, requires_grad=True), np.asarray)}
if torch is not None:
    LIBRARIES["theirs"] = torch, lambda x: torch.tensor(x, requires_grad=True), torch.as_tensor


def measured(row, size, turns):
    """[(seconds forward, seconds backward)] of this library and of PyTorch, the least of so many turns each."""
    name, domain, *texts = row
    texts *= 3 - len(texts)  # one text for both
    rng = np.random.default_rng(0)
    x = DOMAINS[domain](rng.normal(size=(size, size)).astype(np.float32))
    i = rng.integers(0, size, size)
    contenders = [
        Contender(library, text, leaf, wrap, x, i)
        for text, (library, leaf, wrap) in zip(texts, LIBRARIES.values(), strict=False)
    ]
    times = [[c.turn() for c in contenders] for _ in range(turns)]
    ours, *theirs = (c.x.grad.numpy() for c in contenders)
    for other in theirs:
        np.testing.assert_allclose(ours, other, rtol=1e-3, atol=1e-3 * np.abs(ours).max(), err_msg=name)
    return [tuple(map(min, zip(*each, strict=True))) for each in zip(*times, strict=True)]


def table(size, turns):
    """The rows of the table, as text, the slowest beside PyTorch first."""
    found = []
    for row in ROWS:
        ours, *theirs = measured(row, size, turns)
        ratio = sum(ours) / sum(theirs[0]) if theirs else 0
        times = [f"{t * 1e6:,.1f}" for pair in (ours, *theirs) for t in pair]
        found.append((ratio, f"| {row[0]} | {' | '.join(times)} |" + f" {ratio:.2f} |" * bool(theirs)))
    return [text for _, text in sorted(found, key=lambda pair: -pair[0])]


def main(argv=None):
    p = argparse.ArgumentParser(prog="python -m benchmarks.operations", description=__doc__.partition(": ")[2])
    p.add_argument("--size", type=int, nargs="+", default=[64, 1000], help="of the square matrices (default: 64 1000)")
    p.add_argument("--turns", type=int, default=20, help="of each operation; the fastest counts (default: 20)")
    options = p.parse_args(argv)
    if torch is None:
        print("without torch, which is not installed", file=sys.stderr)
    else:
        torch.set_num_threads(1)
    columns = ["forward", "backward"] + ["PyTorch forward", "backward", "ratio"] * (torch is not None)
    with threadpoolctl.threadpool_limits(1):
        for size in options.size:
            print(f"\n{size} x {size}, float32, µs\n")
            print(f"| operation | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
            print("\n".join(table(size, options.turns)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
