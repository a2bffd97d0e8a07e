"""Who takes part: one row a contender, one module each, in which a function named after a kind builds its step.

    build(**inputs) -> (step, numbers)

`step()` does the work that is timed, `numbers()` afterwards gives the arrays that all contenders must agree in: the
loss and how far each parameter has moved, or the value and its gradients. `mlp` takes (x, y, lr) in its step and
gives (loss, parameters): `trained` makes the rows "mlp" and "mnist" of it.
"""

import importlib
from typing import NamedTuple

import numpy as np

from ..workloads import LR


class Contender(NamedTuple):
    """A row: the module that builds its steps, the distribution to install, and what the table says of it."""

    name: str
    module: str
    needs: str
    about: str
    traced: bool = True  # whether all its memory is Python's and numpy's, so that tracemalloc can count it
    checked: bool = True  # whether it computes the numbers the others must agree with


# fmt: off
CONTENDERS = [
    Contender("numpy", "by_hand", "numpy", "hand-written in numpy, derivatives by hand: the yardstick"),
    Contender("blas", "blas", "numpy", "its matrix products alone, into buffers: the limit", checked=False),
    Contender("eager", "eager", "mytorch", "this library"),
    Contender("compiled", "compiled", "mytorch", "this library, the step through mt.compile"),
    Contender("torch", "torch", "torch", "PyTorch eager: its layers, fused SGD and attention, nn.LSTM", traced=False),
    Contender("jax", "jax", "jax", "JAX: one jitted step, its buffers donated, scan for loops", traced=False),
    Contender("autograd", "autograd", "autograd", "HIPS autograd"),
    Contender("mygrad", "mygrad", "mygrad", "MyGrad, memory guarding off"),
    Contender("micrograd", "micrograd", "micrograd", "micrograd"),
]
# fmt: on


class Absent(Exception):
    """This contender does not take part, and why."""


def by_name(name):
    return next(c for c in CONTENDERS if c.name == name)


def load(contender):
    """The contender's module; Absent where what it needs is not installed."""
    try:
        return importlib.import_module(f".{contender.module}", __name__)
    except ImportError as error:
        raise Absent(f"{contender.needs} is not installed: {error}") from error


def build(module, kind, inputs):
    """(step, numbers) of the contender for a kind of workload; Absent where it has no such function."""
    if kind in ("mlp", "mnist") and hasattr(module, "mlp"):
        return trained(module.mlp, getattr(module, "array", np.asarray), **inputs)
    if not hasattr(module, kind):
        raise Absent(f"not made for {kind}")
    return getattr(module, kind)(**inputs)


def trained(mlp, array, params, x, y, batch_norm, activation, order=None):
    """The rows made of the step of an MLP: the same batch each time, or all of `order` at a rate that falls to 0.

    array: makes of a numpy array what the contender computes with; for the one batch it is done beforehand.
    """
    start = [p.copy() for p in params]
    step, now = mlp([p.copy() for p in params], batch_norm, activation)
    last, given = [], None if order else (array(x), array(y))

    def one():
        last[:] = [step(*given, LR)]

    def run():
        for k, rows in enumerate(order):
            last[:] = [step(array(x[rows]), array(y[rows]), LR * (1 - k / len(order)))]

    def first():  # the end of a long run says more of rounding than of who is right
        for rows in order[:3]:
            last[:] = [step(array(x[rows]), array(y[rows]), LR)]

    def numbers():
        return [np.asarray(last[0]), *(np.asarray(p) - p0 for p, p0 in zip(now(), start, strict=True))]

    if order:
        run.check = first
    return (run if order else one), numbers
