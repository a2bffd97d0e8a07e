"""Two pictures of how a number was computed: the loss of a small MLP, and an expression of single numbers.

    python draw_graph.py [graph.svg]

The suffix says the format: .svg, .png, .pdf or .dot. The second picture stands beside the first, as value.svg.
"""

import sys
from pathlib import Path

import numpy as np

import mytorch as mt

path = Path(sys.argv[1] if len(sys.argv) > 1 else "graph.svg")

# The loss of one batch. Names are those of the model's parameters, and what else is named here.
rng = np.random.default_rng(0)
model = mt.nn.MLP(4, [8], 3, activation=mt.nn.Tanh, rng=rng)
x = mt.tensor(rng.normal(size=(16, 4)), dtype=np.float32)
y = rng.integers(3, size=16)
loss = mt.nn.CrossEntropyLoss()(model(x), y)
print(mt.viz.render(loss, path, params={**dict(model.named_parameters()), "x": x, "y": y}))

# A neuron. After a backward that keeps the graph, every number shows its gradient.
w, v, b = mt.Value(-3.0), mt.Value(2.0), mt.Value(6.7)
out = (v * w + b).tanh() ** 2
out.backward(retain_graph=True)
names = {"w": w, "v": v, "b": b, "out": out}
print(mt.viz.render(out, path.with_stem("value"), params=names, direction="LR"))
