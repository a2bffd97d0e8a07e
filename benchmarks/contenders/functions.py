"""The workloads as functions of a namespace like numpy's: what every library that follows numpy is given.

lib: an object with the array functions as `np`, and `sigmoid`, `relu`, `cross_entropy(logits, classes)`.
"""

import math

from ..workloads import EPS


def mlp(lib, params, x, y, batch_norm, activation):
    """The loss; batch norm without the running averages, which a function without side effects would have to return."""
    act = lib.np.tanh if activation == "tanh" else lib.relu
    params = list(params)
    while True:
        w, b = params.pop(0), params.pop(0)
        x = lib.np.matmul(x, w.T) + b
        if not params:
            return lib.cross_entropy(x, y)
        if batch_norm:
            x = normalised(lib, x, params.pop(0), params.pop(0), 0)
        x = act(x)


def cross_entropy(np):
    """The mean of -log softmax(z)[y], of primitives; the largest logit is not taken out, for these are small."""
    return lambda z, y: np.mean(np.log(np.sum(np.exp(z), axis=1)) - z[range(len(y)), y])


def normalised(lib, x, gain, shift, axis):
    centred = x - lib.np.mean(x, axis=axis, keepdims=True)
    return centred * (gain / lib.np.sqrt(lib.np.mean(centred * centred, axis=axis, keepdims=True) + EPS)) + shift


def elementwise(lib, x):
    np = lib.np
    y = np.tanh(x * 0.5)
    return np.sum(np.exp(np.sin(np.log(np.sqrt(y * y + 1)) - x)) * y)


def chain(x, w, b, pairs):
    for _ in range(pairs):
        x = x * w
        x = x + b
    return x.sum()


def lstm_cell(lib, h, c, x, wx, wh, b):
    n = wh.shape[1]
    z = lib.np.matmul(x, wx.T) + lib.np.matmul(h, wh.T) + b
    i, f, o = lib.sigmoid(z[:, :n]), lib.sigmoid(z[:, n : 2 * n]), lib.sigmoid(z[:, 3 * n :])
    c = f * c + i * lib.np.tanh(z[:, 2 * n : 3 * n])
    return o * lib.np.tanh(c), c


def lstm(lib, xs, h, wx, wh, b):
    c = h
    for x in xs:
        h, c = lstm_cell(lib, h, c, x, wx, wh, b)
    return lib.np.sum(h * h)


def transformer(lib, params, x, heads):
    np = lib.np
    qkv, out, up, down, gain1, shift1, gain2, shift2 = params
    n, t, d = x.shape

    def split(z):
        return np.transpose(np.reshape(z, (n, t, heads, d // heads)), (0, 2, 1, 3))

    z = np.matmul(normalised(lib, x, gain1, shift1, -1), qkv.T)
    q, k, v = (split(z[..., i * d : (i + 1) * d]) for i in range(3))
    e = np.exp(np.matmul(q, np.swapaxes(k, -1, -2)) * (1 / math.sqrt(d // heads)))
    p = e / np.sum(e, axis=-1, keepdims=True)
    x = x + np.matmul(np.reshape(np.transpose(np.matmul(p, v), (0, 2, 1, 3)), (n, t, d)), out.T)
    x = x + np.matmul(lib.relu(np.matmul(normalised(lib, x, gain2, shift2, -1), up.T)), down.T)
    return np.mean(x * x)
