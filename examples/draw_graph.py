"""Four pictures of how a number was computed, and of what flows back.

    python draw_graph.py [graph.svg]

The suffix says the format: .svg, .png, .pdf, .html or .dot. Beside the first, the loss of a small network by its
modules, stand value (a neuron of single numbers), explain (the paths from a weight to the loss, each with its share of
the gradient) and trace (a backward pass, step by step: an .svg of it moves).
"""

import sys
from pathlib import Path

import numpy as np

import mytorch as mt

path = Path(sys.argv[1] if len(sys.argv) > 1 else "graph.svg")

# The loss of one batch. After a backward that keeps the graph, gradients stand beside values.
rng = np.random.default_rng(0)
model = mt.nn.MLP(4, [8], 3, activation=mt.nn.Tanh, rng=rng)
x = mt.tensor(rng.normal(size=(16, 4)), dtype=np.float32)
y = rng.integers(3, size=16)
loss_fn = mt.nn.CrossEntropyLoss()
loss = loss_fn(model(x), y)
loss.backward(retain_graph=True)
print(mt.viz.render(loss, path, params={"model": model, "loss": loss_fn, "x": x, "y": y}))

# A neuron of single numbers.
w, v, b = mt.Value(-3.0), mt.Value(2.0), mt.Value(6.7)
out = (v * w + b).tanh() ** 2
out.backward(retain_graph=True)
names = {"w": w, "v": v, "b": b, "out": out}
print(mt.viz.render(out, path.with_stem("value"), params=names, level="scalar", direction="LR"))

# A weight that is used three times: which use does its gradient come from?
weight = mt.tensor(np.eye(3) / 2, requires_grad=True)
state = mt.tensor(np.linspace(-1, 1, 6).reshape(2, 3))
for _ in range(3):
    state = mt.tanh(state @ weight)
picture = mt.viz.explain((state * state).sum(), weight, params={"weight": weight})
print(mt.viz.render(picture, path.with_stem("explain")))

# The backward pass through the neuron.
print(mt.viz.render(mt.viz.trace(out, names, level="scalar"), path.with_stem("trace")))
