"""HIPS autograd."""

from types import SimpleNamespace

import autograd.numpy as np

from autograd import grad, value_and_grad

from ..workloads import MOMENTUM
from . import functions

lib = SimpleNamespace(
    np=np,
    sigmoid=lambda x: 0.5 * (np.tanh(0.5 * x) + 1),
    relu=lambda x: np.maximum(x, 0),
    cross_entropy=functions.cross_entropy(np),
)


def mlp(params, batch_norm, activation):
    f = value_and_grad(lambda params, x, y: functions.mlp(lib, params, x, y, batch_norm, activation))
    velocity = [np.zeros_like(p) for p in params]

    def step(x, y, lr):
        loss, grads = f(params, x, y)
        for p, v, g in zip(params, velocity, grads, strict=True):
            v *= MOMENTUM
            v += g
            p -= lr * v
        return loss

    return step, lambda: params


def _timed(f, *args):
    f, out = value_and_grad(f, tuple(range(len(args)))), []

    def step():
        value, grads = f(*args)
        out[:] = [value, *grads]

    return step, lambda: out


def chain(x, w, b, pairs):
    return _timed(lambda x, w, b: functions.chain(x, w, b, pairs), x, w, b)


def elementwise(x):
    return _timed(lambda x: functions.elementwise(lib, x), x)


def hvp(params, v, x, y):
    gradient = grad(lambda p: functions.mlp(lib, p, x, y, False, "tanh"))
    product = grad(lambda p: sum(np.sum(g * u) for g, u in zip(gradient(p), v, strict=True)))
    out = []

    def step():
        out[:] = product(params)

    return step, lambda: out


def lstm(xs, wx, wh, b):
    h = np.zeros(xs.shape[1:], xs.dtype)
    return _timed(lambda *params: functions.lstm(lib, xs, h, *params), wx, wh, b)


def transformer(x, params, heads):
    return _timed(lambda *params: functions.transformer(lib, params, x, heads), *params.values())
