"""What is measured: one row a workload, and the arrays it starts from, the same for every contender."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

LR, MOMENTUM, EPS = 0.1, 0.9, 1e-5


class Workload(NamedTuple):
    """A row: `kind` names the function every contender has for it, `spec` the sizes it is given."""

    name: str
    kind: str
    dtype: str
    spec: dict
    about: str
    rounds: int = 1_000  # at most so many, however many are asked for


def _mlp(name, sizes, batch, dtype, batch_norm=False):
    about = f"{'-'.join(map(str, sizes))} tanh MLP{', batch norm' * batch_norm}, batch {batch}: a step with momentum"
    spec = {"sizes": sizes, "batch": batch, "batch_norm": batch_norm, "activation": "tanh"}
    return Workload(name, "mlp", dtype, spec, about)


TINY, SMALL = [64, 16, 16, 8, 10], [784, 64, 64, 32, 10]
MEDIUM, LARGE = [784, 256, 256, 128, 10], [784, 1024, 1024, 512, 10]
MNIST = {"sizes": [784, 256, 128, 10], "batch": 100, "batch_norm": True, "activation": "relu", "epochs": 15}
MOONS = {"sizes": [2, 16, 16, 1], "points": 100}

# fmt: off
WORKLOADS = [
    Workload("scalar", "scalar", "float64", MOONS, "micrograd's two-moons MLP, 337 parameters, 100 points, on numbers"),
    Workload("chain-1e3", "chain", "float32", {"length": 1_000}, "1,000 operations on 4x4, one after the other"),
    Workload("chain-1e6", "chain", "float32", {"length": 1_000_000}, "1,000,000 of them", rounds=3),
    _mlp("mlp-16", TINY, 8, "float32"),
    _mlp("mlp-64", SMALL, 100, "float32"),
    _mlp("mlp-64-bn", SMALL, 100, "float32", batch_norm=True),
    _mlp("mlp-256", MEDIUM, 100, "float32"),
    _mlp("mlp-1024", LARGE, 1024, "float32"),
    _mlp("mlp-16-f64", TINY, 8, "float64"),
    _mlp("mlp-64-f64", SMALL, 100, "float64"),
    _mlp("mlp-64-bn-f64", SMALL, 100, "float64", batch_norm=True),
    _mlp("mlp-256-f64", MEDIUM, 100, "float64"),
    Workload("elementwise", "elementwise", "float32", {"size": 1_000_000}, "10 operations on 1e6 numbers, and back"),
    Workload("hvp", "hvp", "float32", {"sizes": SMALL, "batch": 100}, "Hessian-vector product of the loss of mlp-64"),
    Workload("lstm", "lstm", "float32", {"steps": 100, "width": 64, "batch": 16}, "100 steps of an LSTM, and back"),
    Workload("transformer", "transformer", "float32", {"width": 64, "heads": 4, "tokens": 64, "batch": 8},
             "one transformer block, and back"),
    Workload("mnist", "mnist", "float32", MNIST, "the default MNIST run: 15 epochs of 500 steps", rounds=1),
]
TINY_SPECS = {  # the same kinds, small enough for a test or a look
    "scalar": {"points": 5}, "chain": {"length": 20}, "mlp": {"sizes": [6, 5, 4, 3], "batch": 7},
    "elementwise": {"size": 50}, "hvp": {"sizes": [6, 5, 4, 3], "batch": 7},
    "lstm": {"steps": 5, "width": 4, "batch": 3}, "transformer": {"width": 8, "heads": 2, "tokens": 5, "batch": 2},
    "mnist": {"sizes": [784, 8, 10], "epochs": 1, "examples": 300},
}
# fmt: on


def by_name(name):
    return next(w for w in WORKLOADS if w.name == name)


def tiny(workload):
    """The workload at sizes that take no time."""
    return workload._replace(spec=workload.spec | TINY_SPECS[workload.kind])


# ----- the arrays a workload starts from -----
# Parameters of an MLP come layer by layer: weight (out, in), bias (out,), then gamma and beta where batch norm follows.


def parameters(rng, sizes, dtype, batch_norm=False):
    params = []
    for layer, (i, o) in enumerate(pairwise(sizes), 1):
        bound = 1 / np.sqrt(i)
        params += [rng.uniform(-bound, bound, (o, i)), rng.uniform(-bound, bound, o)]
        if batch_norm and layer < len(sizes) - 1:
            params += [np.ones(o), np.zeros(o)]
    return [p.astype(dtype) for p in params]


def _mlp_inputs(rng, dtype, sizes, batch, batch_norm=False, activation="tanh"):
    params = parameters(rng, sizes, dtype, batch_norm)
    x = rng.normal(size=(batch, sizes[0])).astype(dtype)
    y = rng.integers(0, sizes[-1], batch)
    return {"params": params, "x": x, "y": y, "batch_norm": batch_norm, "activation": activation}


def _mnist_inputs(rng, dtype, sizes, batch, batch_norm, activation, epochs, examples=None):
    from mytorch.train import data

    train = data.load("mnist", np.dtype(dtype)).train
    params = parameters(rng, sizes, dtype, batch_norm)
    x, y = train.x[:examples], train.y[:examples].astype(np.int64)
    order = [rows for _ in range(epochs) for rows in np.split(rng.permutation(len(x)), len(x) // batch)]
    return {"params": params, "x": x, "y": y, "batch_norm": batch_norm, "activation": activation, "order": order}


def _scalar_inputs(rng, dtype, sizes, points):
    """Two half circles, as sklearn's make_moons has them, labelled -1 and 1."""
    t, label = rng.uniform(0, np.pi, points), rng.integers(0, 2, points)
    x = np.stack([np.cos(t) * (1 - 2 * label) + label, np.sin(t) * (1 - 2 * label) + label * 0.5], 1)
    x += rng.normal(scale=0.1, size=x.shape)
    layers = [(rng.uniform(-1, 1, (o, i)).tolist(), [0.0] * o) for i, o in pairwise(sizes)]
    return {"layers": layers, "x": x.tolist(), "y": (2 * label - 1).tolist()}


def _chain_inputs(rng, dtype, length):
    """w is 1 or -1, so that neither values nor cotangents grow or vanish, however long the chain."""
    w, b, x = rng.choice([-1.0, 1.0], (4, 4)), rng.normal(scale=1e-3, size=(4, 4)), rng.normal(size=(4, 4))
    return {"x": x.astype(dtype), "w": w.astype(dtype), "b": b.astype(dtype), "pairs": length // 2}


def _elementwise_inputs(rng, dtype, size):
    return {"x": rng.normal(size=size).astype(dtype)}


def _hvp_inputs(rng, dtype, sizes, batch):
    inputs = _mlp_inputs(rng, dtype, sizes, batch)
    inputs["v"] = [rng.normal(size=p.shape).astype(dtype) for p in inputs["params"]]
    return {k: inputs[k] for k in ("params", "v", "x", "y")}


def _lstm_inputs(rng, dtype, steps, width, batch):
    """The gates stand in PyTorch's order, input, forget, cell, output, one below the other in each weight."""
    bound = 1 / np.sqrt(width)
    shapes = {"wx": (4 * width, width), "wh": (4 * width, width), "b": (4 * width,)}
    params = {k: rng.uniform(-bound, bound, s).astype(dtype) for k, s in shapes.items()}
    return {"xs": rng.normal(size=(steps, batch, width)).astype(dtype), **params}


def _transformer_inputs(rng, dtype, width, heads, tokens, batch):
    """x + attention(norm(x)), then that + mlp(norm(that)), ReLU between 4 * width; no biases."""
    d, bound = width, 1 / np.sqrt(width)
    shapes = {"qkv": (3 * d, d), "out": (d, d), "up": (4 * d, d), "down": (d, 4 * d)}
    params = {k: rng.uniform(-bound, bound, s) for k, s in shapes.items()}
    params |= {"gain1": np.ones(d), "shift1": np.zeros(d), "gain2": np.ones(d), "shift2": np.zeros(d)}
    params = {k: p.astype(dtype) for k, p in params.items()}
    return {"x": rng.normal(size=(batch, tokens, d)).astype(dtype), "params": params, "heads": heads}


INPUTS = {
    "scalar": _scalar_inputs,
    "chain": _chain_inputs,
    "mlp": _mlp_inputs,
    "mnist": _mnist_inputs,
    "elementwise": _elementwise_inputs,
    "hvp": _hvp_inputs,
    "lstm": _lstm_inputs,
    "transformer": _transformer_inputs,
}


def inputs(workload):
    """The arguments of a contender's function for this workload; equal in every process."""
    return INPUTS[workload.kind](np.random.default_rng(0), workload.dtype, **workload.spec)
