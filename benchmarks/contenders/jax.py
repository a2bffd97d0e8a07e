"""JAX: each step one jitted function, buffers donated where they are replaced, loops as scans."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from ..workloads import MOMENTUM
from . import functions

jax.config.update("jax_enable_x64", True)  # what is float32 stays float32


def _cross_entropy(z, y):
    return -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1).mean()


lib = SimpleNamespace(np=jnp, sigmoid=jax.nn.sigmoid, relu=jax.nn.relu, cross_entropy=_cross_entropy)
array = jnp.asarray


def mlp(params, batch_norm, activation):
    @partial(jax.jit, donate_argnums=(0, 1))
    def train(params, velocity, x, y, lr):
        loss, grads = jax.value_and_grad(lambda p: functions.mlp(lib, p, x, y, batch_norm, activation))(params)
        velocity = [MOMENTUM * v + g for v, g in zip(velocity, grads, strict=True)]
        return loss, [p - lr.astype(p.dtype) * v for p, v in zip(params, velocity, strict=True)], velocity

    now = [[jnp.array(p) for p in params], [jnp.zeros_like(p) for p in params]]

    def step(x, y, lr):
        loss, *now[:] = train(*now, x, y, np.float64(lr))
        jax.block_until_ready(now)
        return loss

    return step, lambda: now[0]


def _timed(f, *args):
    """(step, numbers) of the jitted `f`."""
    f, args, out = jax.jit(f), jax.tree.map(jnp.asarray, args), []

    def step():
        out[:] = jax.tree.leaves(jax.block_until_ready(f(*args)))

    return step, lambda: [np.asarray(a) for a in out]


def chain(x, w, b, pairs):
    def f(x, w, b):
        return jax.lax.scan(lambda y, _: (y * w + b, None), x, None, length=pairs)[0].sum()

    return _timed(jax.value_and_grad(f, (0, 1, 2)), x, w, b)


def elementwise(x):
    return _timed(jax.value_and_grad(partial(functions.elementwise, lib)), x)


def hvp(params, v, x, y):
    """Forward over reverse, as JAX's documentation advises."""

    def product(params, v, x, y):
        loss = partial(functions.mlp, lib, x=x, y=y, batch_norm=False, activation="tanh")
        return jax.jvp(jax.grad(loss), (params,), (v,))[1]

    return _timed(product, params, v, x, y)


def lstm(xs, wx, wh, b):
    def f(wx, wh, b, xs):
        start = (jnp.zeros_like(xs[0]),) * 2
        (h, _), _ = jax.lax.scan(lambda hc, x: (functions.lstm_cell(lib, *hc, x, wx, wh, b), None), start, xs)
        return jnp.sum(h * h)

    return _timed(jax.value_and_grad(f, (0, 1, 2)), wx, wh, b, xs)


def transformer(x, params, heads):
    f = jax.value_and_grad(lambda params, x: functions.transformer(lib, params, x, heads))
    return _timed(f, list(params.values()), x)
