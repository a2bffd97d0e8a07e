"""A picture of every kind, each of a few operations; `python tests/viz/pictures.py` writes them to tests/viz/kept.

Look at them when they have changed.
"""

import warnings
from pathlib import Path

import numpy as np

import mytorch as mt
from mytorch import nn, viz
from mytorch.viz.svg import svg

KEPT = Path(__file__).parent / "kept"


def neuron():
    """(the answer, the names) of tanh(v w + b)**2 for Values, after a backward."""
    w, v, b = mt.Value(-3.0), mt.Value(2.0), mt.Value(6.7)
    out = (v * w + b).tanh() ** 2
    out.backward(retain_graph=True)
    return out, {"w": w, "v": v, "b": b, "out": out}


class Residual(nn.Module):
    def __init__(self, size):
        self.inner = nn.Linear(size, size, rng=0)

    def forward(self, x):
        return x + mt.tanh(self.inner(x))


def network(depth=2, size=6):
    """(the loss, the names) of a network of residual blocks, without a backward."""
    model = nn.Sequential(*(Residual(size) for _ in range(depth)), nn.Linear(size, 3, rng=1))
    x = mt.tensor(np.linspace(-1, 1, 5 * size, dtype=np.float32).reshape(5, size))
    return nn.CrossEntropyLoss()(model(x), np.array([0, 1, 2, 1, 0])), {"model": model, "x": x}


def operations():
    loss, names = network(1)
    return viz.graph(loss, names, level="operation")


def modules():
    loss, names = network(2)
    loss.backward(retain_graph=True)
    return viz.graph(loss, names, show=viz.SHOW)


def depth():
    loss, names = network(3)
    return viz.graph(loss, names, depth=1, gradients=True)


def repeats():
    loss, names = network(12)
    return viz.graph(loss, names, repeats=True)


def loop():
    w, x = mt.tensor(np.eye(3), requires_grad=True), mt.tensor(np.ones((2, 3)))
    for _ in range(1000):
        x = mt.tanh(x @ w)
    return viz.graph((x * x).sum(), {"w": w})


def lines():
    a = mt.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    with viz.watch():
        scaled = a * a.sum() + 1
        loss = mt.log(scaled).mean()
    return viz.graph(loss, {"a": a}, level="line")


def values():
    return viz.graph(*neuron(), direction="LR")


def scalar():
    return viz.graph(*neuron(), level="scalar", direction="LR")


def trouble():
    """Two dead units, a gradient that vanishes, and a nan."""
    x = mt.tensor(np.linspace(-1, 1, 12).reshape(4, 3), requires_grad=True)
    w = mt.tensor(np.diag([1.0, 0.0, 0.0]), requires_grad=True)
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bad = mt.log(mt.sin(x)).sum() * 1e-6
        loss = mt.relu(x @ w).sum() + mt.tensor(np.ones(5), requires_grad=True).sum() * 1e-6 + bad
        return viz.graph(loss, {"x": x, "w": w}, gradients=True)


def double_backward():
    x = mt.Value(0.5)
    y = x.tanh() * x
    y.backward(create_graph=True)
    return viz.graph(x.grad, {"x": x, "y": y}, direction="LR")


def explain():
    x, w = mt.tensor(np.linspace(-1, 1, 6).reshape(2, 3)), mt.tensor(np.eye(3) / 2, requires_grad=True)
    h = mt.tanh(x @ w)
    loss = ((h @ w) * h - h).sum()
    return viz.explain(loss, w, {"w": w, "loss": loss})


def trace():
    out, names = neuron()
    return viz.trace(out + names["v"], names, level="scalar")


PICTURES = (
    *(operations, modules, depth, repeats, loop, lines, values, scalar, trouble, double_backward, explain, trace),
)



def plain():
    """{name: SVG} of some of them as they are drawn without any Graphviz."""
    chosen = modules(), repeats(), double_backward()
    names = "plain_modules.svg", "plain_repeats.svg", "plain_double_backward.svg"
    return {name: svg(p.graph, p.direction) for name, p in zip(names, chosen, strict=True)}


if __name__ == "__main__":
    for picture in PICTURES:
        for suffix in (".dot", ".svg"):
            print(viz.render(picture(), KEPT / f"{picture.__name__}{suffix}"))
    for name, text in plain().items():
        (KEPT / name).write_text(text, encoding="utf-8")
