"""The yardstick: each step as one writes it in numpy, derivatives by hand, nothing computed twice.

Arrays are fresh each step, as in plain numpy code; what is only needed once is changed in place.
"""

import math

import numpy as np

from ..workloads import EPS, MOMENTUM

# ----- MLP -----


def mlp(params, batch_norm, activation):
    layers, k = [], 0
    while k < len(params):
        width = 4 if batch_norm and k + 2 < len(params) else 2
        layers.append(params[k : k + width])
        k += width
    velocity = [np.zeros_like(p) for p in params]
    running = [[np.zeros_like(layer[1]), np.ones_like(layer[1])] for layer in layers if len(layer) == 4]

    def step(x, y, lr):
        acts, norms = [x], []
        for depth, (w, b, *bn) in enumerate(layers):
            z = acts[-1] @ w.T
            z += b
            if bn:
                z, kept = normalised(z, *bn, running[depth])
                norms.append(kept)
            if depth < len(layers) - 1:
                np.tanh(z, out=z) if activation == "tanh" else np.maximum(z, 0, out=z)
            acts.append(z)
        loss, g = softmax_loss(acts.pop(), y)
        grads = []
        for depth in reversed(range(len(layers))):
            w, _, *bn = layers[depth]
            if bn:
                g, *affine = normalised_back(g, bn[0], *norms.pop())
                grads[:0] = affine
            a = acts.pop()
            grads[:0] = [g.T @ a, g.sum(0)]
            if depth:
                g = g @ w
                g *= 1 - a * a if activation == "tanh" else a > 0
        for p, v, d in zip(params, velocity, grads, strict=True):
            v *= MOMENTUM
            v += d
            p -= lr * v
        return loss

    return step, lambda: params


def softmax_loss(z, y):
    """The mean of -log softmax(z)[y] and its derivative by z, which is overwritten."""
    rows = np.arange(len(z))
    z -= z.max(1, keepdims=True)
    chosen = z[rows, y]
    np.exp(z, out=z)
    total = z.sum(1)
    loss = (np.log(total) - chosen).mean()
    z /= total[:, None]
    z[rows, y] -= 1
    z /= len(z)
    return loss, z


def normalised(z, gamma, beta, running):
    mean = z.mean(0)
    z -= mean
    var = (z * z).mean(0)
    inverse = 1 / np.sqrt(var + EPS)
    z *= inverse
    running[0] += 0.1 * (mean - running[0])
    running[1] += 0.1 * (len(z) / (len(z) - 1) * var - running[1])
    return gamma * z + beta, (z, inverse)


def normalised_back(g, gamma, z, inverse):
    """Ioffe and Szegedy (2015), section 3, with the sums written once."""
    dgamma, dbeta = (g * z).sum(0), g.sum(0)
    n = len(z)
    dx = (g - (z * dgamma + dbeta) / n) * (gamma * inverse)
    return dx, dgamma, dbeta


# ----- chain, elementwise -----


def chain(x, w, b, pairs):
    out = []

    def step():
        kept, y = [], x
        for _ in range(pairs):
            kept.append(y)
            y = y * w
            y = y + b
        g = np.ones_like(y)
        dw, db = np.zeros_like(w), np.zeros_like(b)
        while kept:
            db += g
            dw += g * kept.pop()
            g = g * w
        out[:] = [y.sum(), g, dw, db]

    return step, lambda: out


def elementwise(x):
    out = []

    def step():
        y2 = np.tanh(x * 0.5)
        y4 = y2 * y2
        y4 += 1
        y7 = np.log(np.sqrt(y4))
        y7 -= x
        y9 = np.exp(np.sin(y7))
        value = (y9 * y2).sum()
        g7 = y9 * y2
        g7 *= np.cos(y7)
        g2 = g7 / y4  # log sqrt y4 = log(y4) / 2, and y4' = 2 y2
        g2 *= y2
        g2 += y9
        y2 *= y2
        np.subtract(1, y2, out=y2)
        g2 *= y2
        g2 *= 0.5
        g2 -= g7
        out[:] = [value, g2]

    return step, lambda: out


# ----- Hessian-vector product: Pearlmutter's R operator (1994) -----


def hvp(params, v, x, y):
    ws, bs, vws, vbs = params[::2], params[1::2], v[::2], v[1::2]
    out, last, rows = [], len(ws) - 1, np.arange(len(y))

    def step():
        acts, dacts = [x], [None]  # the values, and their derivatives along v
        for k, (w, b, vw, vb) in enumerate(zip(ws, bs, vws, vbs, strict=True)):
            a, da = acts[-1], dacts[-1]
            z, dz = a @ w.T, a @ vw.T
            z += b
            dz += vb
            if da is not None:
                dz += da @ w.T
            if k < last:
                np.tanh(z, out=z)
                dz *= 1 - z * z
            acts.append(z)
            dacts.append(dz)
        z, dz = acts.pop(), dacts.pop()
        z -= z.max(1, keepdims=True)
        p = np.exp(z)
        p /= p.sum(1, keepdims=True)
        dg = p * (dz - (p * dz).sum(1, keepdims=True))
        p[rows, y] -= 1
        p /= len(y)
        dg /= len(y)
        g, result = p, []
        for k in reversed(range(last + 1)):
            a, da = acts.pop(), dacts.pop()
            dw = dg.T @ a
            if da is not None:
                dw += g.T @ da
            result[:0] = [dw, dg.sum(0)]
            if k:
                up, dup = g @ ws[k], dg @ ws[k] + g @ vws[k]
                slope = 1 - a * a
                g, dg = up * slope, dup * slope - up * (2 * a * da)
        out[:] = result

    return step, lambda: out


# ----- LSTM (Hochreiter and Schmidhuber 1997, with Gers' forget gate) -----


def _sigmoid(x):
    return 0.5 * (np.tanh(0.5 * x) + 1)


def lstm(xs, wx, wh, b):
    out, n = [], wh.shape[1]

    def step():
        h = c = np.zeros(xs.shape[1:], xs.dtype)
        kept = []
        for x in xs:
            z = x @ wx.T
            z += h @ wh.T
            z += b
            i, f, o = _sigmoid(z[:, :n]), _sigmoid(z[:, n : 2 * n]), _sigmoid(z[:, 3 * n :])
            g = np.tanh(z[:, 2 * n : 3 * n])
            before = h, c
            c = f * c + i * g
            t = np.tanh(c)
            h = o * t
            kept.append((x, *before, i, f, g, o, t))
        value = (h * h).sum()
        dh, dc = 2 * h, 0.0
        dwx, dwh, db = np.zeros_like(wx), np.zeros_like(wh), np.zeros_like(b)
        dz = np.empty((len(h), 4 * n), xs.dtype)
        while kept:
            x, h, c, i, f, g, o, t = kept.pop()
            dc = dc + dh * o * (1 - t * t)
            dz[:, :n] = dc * g * i * (1 - i)
            dz[:, n : 2 * n] = dc * c * f * (1 - f)
            dz[:, 2 * n : 3 * n] = dc * i * (1 - g * g)
            dz[:, 3 * n :] = dh * t * o * (1 - o)
            dwx += dz.T @ x
            dwh += dz.T @ h
            db += dz.sum(0)
            dh, dc = dz @ wh, dc * f
        out[:] = [value, dwx, dwh, db]

    return step, lambda: out


# ----- transformer block -----


def _norm(x, gain, shift):
    centred = x - x.mean(-1, keepdims=True)
    inverse = 1 / np.sqrt((centred * centred).mean(-1, keepdims=True) + EPS)
    centred *= inverse
    return centred * gain + shift, (centred, inverse)


def _norm_back(g, gain, unit, inverse):
    dgain, dshift = (g * unit).sum((0, 1)), g.sum((0, 1))
    g = g * gain
    g -= g.mean(-1, keepdims=True) + unit * (g * unit).mean(-1, keepdims=True)
    g *= inverse
    return g, dgain, dshift


def transformer(x, params, heads):
    qkv, proj, up, down, gain1, shift1, gain2, shift2 = params.values()
    n, t, d = x.shape
    scale, out = 1 / math.sqrt(d // heads), []

    def split(z):  # (batch, tokens, width) -> (batch, heads, tokens, width of a head)
        return z.reshape(n, t, heads, d // heads).transpose(0, 2, 1, 3)

    def join(z):
        return z.transpose(0, 2, 1, 3).reshape(n * t, d)

    def step():
        y, kept1 = _norm(x, gain1, shift1)
        y = y.reshape(n * t, d)
        z = y @ qkv.T
        q, k, v = (split(z[:, i * d : (i + 1) * d]) for i in range(3))
        p = q @ k.swapaxes(-1, -2)
        p *= scale
        p -= p.max(-1, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(-1, keepdims=True)
        mixed = join(p @ v)
        middle = x + (mixed @ proj.T).reshape(x.shape)
        u, kept2 = _norm(middle, gain2, shift2)
        u = u.reshape(n * t, d)
        hidden = u @ up.T
        np.maximum(hidden, 0, out=hidden)
        end = middle + (hidden @ down.T).reshape(x.shape)
        value = (end * end).mean()

        g = end * (2 / end.size)
        flat = g.reshape(n * t, d)
        ddown = flat.T @ hidden
        dh = flat @ down
        dh *= hidden > 0
        dup = dh.T @ u
        back, dgain2, dshift2 = _norm_back((dh @ up).reshape(x.shape), gain2, *kept2)
        g += back
        flat = g.reshape(n * t, d)
        dproj = flat.T @ mixed
        dmixed = split(flat @ proj)
        dp = dmixed @ v.swapaxes(-1, -2)
        dp -= (dp * p).sum(-1, keepdims=True)
        dp *= p
        dp *= scale
        dz = np.concatenate([join(dp @ k), join(dp.swapaxes(-1, -2) @ q), join(p.swapaxes(-1, -2) @ dmixed)], 1)
        dqkv = dz.T @ y
        _, dgain1, dshift1 = _norm_back((dz @ qkv).reshape(x.shape), gain1, *kept1)
        out[:] = [value, dqkv, dproj, dup, ddown, dgain1, dshift1, dgain2, dshift2]

    return step, lambda: out


# ----- scalars: Python's own numbers -----


def scalar(layers, x, y):
    """The max-margin loss of micrograd's demo with its penalty of 1e-4, and all its derivatives."""
    out, alpha = [], 1e-4

    def step():
        grads = [([[2 * alpha * w for w in row] for row in ws], [2 * alpha * b for b in bs]) for ws, bs in layers]
        total = alpha * sum(p * p for ws, bs in layers for p in (*(w for row in ws for w in row), *bs))
        for point, label in zip(x, y, strict=True):
            acts = [point]
            for depth, (ws, bs) in enumerate(layers, 1):
                a = [sum(map(float.__mul__, row, acts[-1]), b) for row, b in zip(ws, bs, strict=True)]
                acts.append([max(z, 0.0) for z in a] if depth < len(layers) else a)
            margin = 1 - label * acts[-1][0]
            if margin <= 0:
                continue
            total += margin / len(x)
            g = [-label / len(x)]
            for depth in reversed(range(len(layers))):
                (ws, _), (dws, dbs), a = layers[depth], grads[depth], acts[depth]
                below = [0.0] * len(a)
                for j, gj in enumerate(g):
                    if gj:
                        dbs[j] += gj
                        dws[j] = [d + gj * ai for d, ai in zip(dws[j], a, strict=True)]
                        below = [s + gj * w for s, w in zip(below, ws[j], strict=True)]
                g = [s if ai > 0 else 0.0 for s, ai in zip(below, a, strict=True)] if depth else below
        out[:] = [total, *(part for pair in grads for part in pair)]

    return step, lambda: [np.asarray(a) for a in out]
