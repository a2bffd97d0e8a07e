"""Initialisers: they fill a tensor in place and return it. And where random numbers come from.

A bound or standard deviation is gain * sqrt(c / fan), where `fan` counts a unit's inputs or outputs and the gain makes
up for what the following activation loses (He et al. 2015; Glorot and Bengio 2010, who take the mean of both fans).
"""

import math

import numpy as np

from ..autograd import graph

# fmt: off
__all__ = [
    "calculate_gain", "constant_", "generator", "kaiming_normal_", "kaiming_uniform_", "normal_", "ones_", "seed",
    "uniform_", "xavier_normal_", "xavier_uniform_", "zeros_",
]
# fmt: on

# ----- randomness -----

_default = None  # made when first needed: importing numpy.random takes a while


def generator(rng=None):
    """The numpy Generator that `rng` is or seeds; for None the default one, which `seed` sets."""
    if rng is not None:
        return np.random.default_rng(rng)
    if _default is None:
        seed(None)
    return _default


def seed(n):
    """Makes the default generator start from the seed `n`; None takes a fresh one from the operating system."""
    global _default
    _default = np.random.default_rng(n)
    graph.generators[:] = [(_default, "mytorch's own")]


# ----- distributions -----


def uniform_(x, a=0.0, b=1.0, rng=None):
    """Fills `x` from the uniform distribution over [a, b)."""
    return _fill(x, generator(rng).uniform(a, b, x.shape))


def normal_(x, mean=0.0, std=1.0, rng=None):
    """Fills `x` from the normal distribution."""
    return _fill(x, generator(rng).normal(mean, std, x.shape))


def constant_(x, value):
    """Fills `x` with one value."""
    return _fill(x, np.full(x.shape, value))


def zeros_(x):
    """Fills `x` with 0."""
    return constant_(x, 0)


def ones_(x):
    """Fills `x` with 1."""
    return constant_(x, 1)


def _fill(x, values):
    x.data = values.astype(x.dtype)
    return x


# ----- scaled by fan -----

GAINS = {
    "linear": lambda a: 1.0,
    "sigmoid": lambda a: 1.0,
    "tanh": lambda a: 5 / 3,
    "relu": lambda a: math.sqrt(2),
    "leaky_relu": lambda a: math.sqrt(2 / (1 + a * a)),
}


def calculate_gain(nonlinearity, param=0.01):
    """The gain recommended before a nonlinearity, one of GAINS; `param` is the slope of leaky_relu."""
    if nonlinearity not in GAINS:
        raise ValueError(f"calculate_gain: {nonlinearity!r} is not one of {', '.join(GAINS)}")
    return GAINS[nonlinearity](param)


def kaiming_uniform_(x, a=0.0, mode="fan_in", nonlinearity="leaky_relu", rng=None):
    """Fills `x` from U(-bound, bound), bound = gain * sqrt(3 / fan)."""
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3 / _fan(x, mode))
    return uniform_(x, -bound, bound, rng)


def kaiming_normal_(x, a=0.0, mode="fan_in", nonlinearity="leaky_relu", rng=None):
    """Fills `x` from N(0, std²), std = gain / sqrt(fan)."""
    return normal_(x, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(_fan(x, mode)), rng)


def xavier_uniform_(x, gain=1.0, rng=None):
    """Fills `x` from U(-bound, bound), bound = gain * sqrt(6 / (fan_in + fan_out))."""
    bound = gain * math.sqrt(6 / (_fan(x, "fan_in") + _fan(x, "fan_out")))
    return uniform_(x, -bound, bound, rng)


def xavier_normal_(x, gain=1.0, rng=None):
    """Fills `x` from N(0, std²), std = gain * sqrt(2 / (fan_in + fan_out))."""
    return normal_(x, 0.0, gain * math.sqrt(2 / (_fan(x, "fan_in") + _fan(x, "fan_out"))), rng)


def _fan(x, mode):
    """The inputs (or outputs) of one unit, for weights of shape (out, in, ...)."""
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode={mode!r} is not one of fan_in, fan_out")
    if len(x.shape) < 2 or 0 in x.shape:
        raise ValueError(f"a fan is counted in weights of shape (out, in, ...), these have {x.shape}; use uniform_")
    return x.shape[1 if mode == "fan_in" else 0] * math.prod(x.shape[2:])
