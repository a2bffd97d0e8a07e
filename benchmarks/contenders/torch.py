"""PyTorch in eager mode, with its own layers and fused operations where it has them."""

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..workloads import EPS, LR, MOMENTUM
from . import functions

array = torch.from_numpy


def mlp(params, batch_norm, activation):
    act = {"tanh": nn.Tanh, "relu": nn.ReLU}[activation]
    sizes = [params[0].shape[1], *(len(p) for p in params if p.ndim == 2)]
    layers = []
    for k, (i, o) in enumerate(pairwise(sizes), 2):
        layers += [nn.Linear(i, o)] if k == len(sizes) else [nn.Linear(i, o), *[nn.BatchNorm1d(o)] * batch_norm, act()]
    model = nn.Sequential(*layers).to(array(params[0]).dtype)
    with torch.no_grad():
        for p, value in zip(model.parameters(), params, strict=True):
            p.copy_(array(value))
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM, fused=True)
    loss_fn = nn.CrossEntropyLoss()

    def step(x, y, lr):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step, lambda: [p.detach().numpy() for p in model.parameters()]


def differentiated(f, leaves):
    leaves = [array(x).requires_grad_() for x in leaves]
    out = []

    def step():
        y = f(*leaves)
        out[:] = [y.detach(), *torch.autograd.grad(y, leaves)]

    return step, lambda: [t.numpy() for t in out]


def chain(x, w, b, pairs):
    return differentiated(lambda x, w, b: functions.chain(x, w, b, pairs), [x, w, b])


def elementwise(x):
    def f(x):
        y = torch.tanh(x * 0.5)
        return (torch.exp(torch.sin(torch.log(torch.sqrt(y * y + 1)) - x)) * y).sum()

    return differentiated(f, [x])


def hvp(params, v, x, y):
    """The gradient of <grad, v>, the reverse over reverse that PyTorch advises for its eager mode (vhp)."""
    params, v = [array(p).requires_grad_() for p in params], [array(p) for p in v]
    x, y, out = array(x), array(y), []

    def step():
        a = x
        for k in range(0, len(params), 2):
            a = F.linear(torch.tanh(a) if k else a, params[k], params[k + 1])
        grads = torch.autograd.grad(F.cross_entropy(a, y), params, create_graph=True)
        out[:] = torch.autograd.grad(grads, params, v)

    return step, lambda: [t.numpy() for t in out]


def lstm(xs, wx, wh, b):
    """nn.LSTM, which runs the whole sequence in one call."""
    layer = nn.LSTM(xs.shape[2], wh.shape[1]).to(array(xs).dtype)
    with torch.no_grad():
        for p, value in zip(layer.parameters(), (wx, wh, b, np.zeros_like(b)), strict=True):
            p.copy_(array(value))
    xs, params, out = array(xs), list(layer.parameters())[:3], []

    def step():
        _, (h, _) = layer(xs)
        y = (h * h).sum()
        out[:] = [y.detach(), *torch.autograd.grad(y, params)]

    return step, lambda: [t.numpy() for t in out]


def transformer(x, params, heads):
    x = array(x)
    n, t, d = x.shape

    def f(qkv, proj, up, down, gain1, shift1, gain2, shift2):
        z = F.linear(F.layer_norm(x, (d,), gain1, shift1, EPS), qkv)
        q, k, v = z.view(n, t, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, d)
        y = x + F.linear(y, proj)
        y = y + F.linear(F.relu(F.linear(F.layer_norm(y, (d,), gain2, shift2, EPS), up)), down)
        return (y * y).mean()

    return differentiated(f, params.values())
