"""This library as its users write it. `compile` is what the step goes through; here nothing."""

from types import SimpleNamespace

import numpy as np

import mytorch as mt
from mytorch import nn
from mytorch.train.optim import SGD

from ..workloads import LR, MOMENTUM
from . import functions

KINDS = ["mlp", "chain", "elementwise", "hvp", "lstm", "transformer", "scalar"]

lib = SimpleNamespace(np=mt, sigmoid=mt.sigmoid, relu=mt.relu, cross_entropy=nn.cross_entropy)


def as_it_is(f):
    return f


def mlp(params, batch_norm, activation, compile=as_it_is):
    sizes = [params[0].shape[1], *(len(p) for p in params if p.ndim == 2)]
    act = {"tanh": nn.Tanh, "relu": nn.ReLU}[activation]
    model = nn.MLP(sizes[0], sizes[1:-1], sizes[-1], act, batch_norm, dtype=params[0].dtype)
    for p, value in zip(model.parameters(), params, strict=True):
        p.data = value
    optimizer = SGD(model.parameters(), lr=LR, momentum=MOMENTUM)

    @compile
    def train(x, y):
        optimizer.zero_grad()
        loss = nn.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    def step(x, y, lr):
        optimizer.param_groups[0]["lr"] = lr
        return train(x, y).data

    return step, lambda: [p.data for p in model.parameters()]


def differentiated(f, leaves, compile):
    """(step, numbers) of the value of f(leaves) and its gradient by each of them."""
    leaves = [mt.tensor(x, requires_grad=True) for x in leaves]
    out = []

    @compile
    def value_and_grads():
        for x in leaves:
            x.grad = None
        y = f(*leaves)
        y.backward()
        return y

    def step():
        out[:] = [value_and_grads()]

    return step, lambda: [out[0].data, *(x.grad.data for x in leaves)]


def chain(x, w, b, pairs, compile=as_it_is):
    return differentiated(lambda x, w, b: functions.chain(x, w, b, pairs), [x, w, b], compile)


def elementwise(x, compile=as_it_is):
    return differentiated(lambda x: functions.elementwise(lib, x), [x], compile)


def lstm(xs, wx, wh, b, compile=as_it_is):
    h = np.zeros(xs.shape[1:], xs.dtype)
    return differentiated(lambda *params: functions.lstm(lib, xs, h, *params), [wx, wh, b], compile)


def transformer(x, params, heads, compile=as_it_is):
    return differentiated(lambda *params: functions.transformer(lib, params, x, heads), params.values(), compile)


def hvp(params, v, x, y, compile=as_it_is):
    out = []
    product = compile(lambda p, v: mt.hvp(lambda p: functions.mlp(lib, p, x, y, False, "tanh"), p, v))

    def step():
        out[:] = product(params, v)

    return step, lambda: out


def scalar(layers, x, y, compile=as_it_is):
    return on_values(mt.Value, layers, x, y)


def on_values(Value, layers, x, y, relu=lambda z: z.relu()):
    """micrograd's demo on a class of scalars: every weight, bias and score is one of its objects."""
    model = [([[Value(w) for w in row] for row in ws], [Value(b) for b in bs]) for ws, bs in layers]
    params = [p for ws, bs in model for p in (*(w for row in ws for w in row), *bs)]
    out = []

    def score(a):
        for depth, (ws, bs) in enumerate(model, 1):
            a = [sum((w * v for w, v in zip(row, a, strict=True)), b) for row, b in zip(ws, bs, strict=True)]
            a = a if depth == len(model) else [z.relu() for z in a]
        return a[0]

    def step():
        for p in params:
            p.grad = 0.0
        losses = [(1 + -label * score(point)).relu() for point, label in zip(x, y, strict=True)]
        total = sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(p * p for p in params)
        total.backward()
        out[:] = [total]

    def numbers():
        rows = [([[w.grad for w in row] for row in ws], [b.grad for b in bs]) for ws, bs in model]
        return [np.asarray(out[0].data), *(np.asarray(a) for pair in rows for a in pair)]

    return step, numbers
