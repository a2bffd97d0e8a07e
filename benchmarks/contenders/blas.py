"""The matrix products of the hand-written step and nothing else, into buffers: no code can be faster than these."""

import numpy as np


def _calls(*products):
    """(step, None) that computes x @ y for each pair; `numbers` is missing, there is nothing to agree in."""
    calls = [(x, y, x @ y) for x, y in products]

    def step():
        for x, y, out in calls:
            np.matmul(x, y, out=out)

    return step, None


def _layers(ws, x):
    """(input, weight, cotangent) of each linear layer."""
    a = x
    for w in ws:
        g = np.ones((len(x), len(w)), x.dtype)
        yield a, w, g
        a = g


def mlp(params, batch_norm, activation):
    ws = [p for p in params if p.ndim == 2]
    steps = {}

    def step(x, y, lr):
        if not steps:
            layers = list(_layers(ws, x))
            forward = [(a, w.T) for a, w, _ in layers]
            by_weight = [(g.T, a) for a, _, g in layers]
            steps[0], _ = _calls(*forward, *by_weight, *((g, w) for _, w, g in layers[1:]))
        steps[0]()
        return 0.0

    return step, None


def hvp(params, v, x, y):
    ws, vws = params[::2], v[::2]
    layers = [(a, w, vw, g) for (a, w, g), vw in zip(_layers(ws, x), vws, strict=True)]
    products = [p for a, w, vw, g in layers for p in ((a, w.T), (a, vw.T), (g.T, a))]
    return _calls(*products, *(p for a, w, vw, g in layers[1:] for p in ((a, w.T), (g.T, a), (g, w), (g, w), (g, vw))))


def lstm(xs, wx, wh, b):
    h, dz = np.ones(xs.shape[1:], xs.dtype), np.ones((xs.shape[1], 4 * xs.shape[2]), xs.dtype)
    return _calls(*(p for x in xs for p in ((x, wx.T), (h, wh.T), (dz.T, x), (dz.T, h), (dz, wh))))


def transformer(x, params, heads):
    n, t, d = x.shape
    flat, wide, hidden = (np.ones((n * t, k * d), x.dtype) for k in (1, 3, 4))
    p, part = np.ones((n, heads, t, t), x.dtype), np.ones((n, heads, t, d // heads), x.dtype)
    linear = [(flat, params["qkv"], wide), (flat, params["out"], flat)]
    linear += [(flat, params["up"], hidden), (hidden, params["down"], flat)]
    products = [q for a, w, g in linear for q in ((a, w.T), (g.T, a), (g, w))]
    return _calls(*products, *[(part, part.swapaxes(-1, -2))] * 2, *[(p, part)] * 4)
