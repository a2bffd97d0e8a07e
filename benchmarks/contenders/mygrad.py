"""MyGrad, with memory guarding off as its documentation advises for speed."""

from types import SimpleNamespace

import mygrad as mg
import numpy as np
from mygrad.nnet.activations import relu, sigmoid
from mygrad.nnet.layers import batchnorm
from mygrad.nnet.losses import softmax_crossentropy

from ..workloads import EPS, MOMENTUM
from . import functions

mg.turn_memory_guarding_off()

lib = SimpleNamespace(np=mg, sigmoid=sigmoid, relu=relu, cross_entropy=softmax_crossentropy)


def mlp(params, batch_norm, activation):
    params = [mg.tensor(p) for p in params]
    velocity = [np.zeros_like(p.data) for p in params]
    act = {"tanh": mg.tanh, "relu": relu}[activation]

    def loss(x, y):
        rest = list(params)
        while True:
            x = mg.matmul(x, rest.pop(0).T) + rest.pop(0)
            if not rest:
                return softmax_crossentropy(x, y)
            x = act(batchnorm(x, gamma=rest.pop(0), beta=rest.pop(0), eps=EPS) if batch_norm else x)

    def step(x, y, lr):
        value = loss(x, y)
        value.backward()
        for p, v in zip(params, velocity, strict=True):
            v *= MOMENTUM
            v += p.grad
            p.data -= lr * v
            p.null_grad()
        return value.data

    return step, lambda: [p.data for p in params]


def _timed(f, *leaves):
    leaves, out = [mg.tensor(x) for x in leaves], []

    def step():
        y = f(*leaves)
        y.backward()
        out[:] = [y.data, *(x.grad for x in leaves)]
        for x in leaves:
            x.null_grad()

    return step, lambda: out


def chain(x, w, b, pairs):
    return _timed(lambda x, w, b: functions.chain(x, w, b, pairs), x, w, b)


def elementwise(x):
    return _timed(lambda x: functions.elementwise(lib, x), x)


def lstm(xs, wx, wh, b):
    h = np.zeros(xs.shape[1:], xs.dtype)
    return _timed(lambda *params: functions.lstm(lib, xs, h, *params), wx, wh, b)


def transformer(x, params, heads):
    return _timed(lambda *params: functions.transformer(lib, params, x, heads), *params.values())
