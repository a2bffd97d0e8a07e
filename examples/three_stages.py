"""One expression in three stages: of single numbers, of tensors of one number, and of tensors.

    python three_stages.py [three_stages.html]

tanh(w x + b)**2, its value, its gradients, and its backward pass step by step, side by side on one page. The first two
are the same graph, number by number; in the third the same operations work on three examples at once, and the gradients
of w and b are sums over these.
"""

import html
import sys
from pathlib import Path

import mytorch as mt

path = Path(sys.argv[1] if len(sys.argv) > 1 else "three_stages.html")


def neuron(w, x, b):
    return mt.tanh(w * x + b) ** 2 if isinstance(w, mt.Tensor) else (w * x + b).tanh() ** 2


def leaf(data):
    return mt.tensor(data, requires_grad=True)


STAGES = {
    "mt.Value: a number": {"w": mt.Value(-3.0), "x": mt.Value(2.0), "b": mt.Value(6.7)},
    "mt.tensor of one number": {"w": leaf(-3.0), "x": leaf(2.0), "b": leaf(6.7)},
    "mt.tensor of three numbers": {"w": leaf(-3.0), "x": leaf([2.0, 2.1, 2.5]), "b": leaf(6.7)},
}

columns = []
for title, names in STAGES.items():
    out = neuron(*names.values())
    out = out.sum() if isinstance(out, mt.Tensor) and out.size > 1 else out
    trace = mt.viz.trace(out, names, direction="TB", show=("values", "gradients"))
    print(f"{title}\n{trace}\n")
    picture = trace.animated(captions=False).partition("?>")[2]
    columns.append(f"<section><h2>{title}</h2>{picture}<pre>{html.escape(str(trace))}</pre></section>")

path.write_text(
    "<!doctype html>\n<html lang='en'><meta charset='utf-8'><title>One expression in three stages</title>\n"
    "<style>body { font-family: sans-serif; background: white; color: black } main { display: flex; gap: 2rem }"
    "section { flex: 1; min-width: 0 } svg { max-width: 100%; height: auto } pre { white-space: pre-wrap }</style>\n"
    f"<h1>tanh(w x + b)**2 in three stages</h1><main>{''.join(columns)}</main></html>\n",
    encoding="utf-8",
)
print(path)
