"""micrograd: its Value, used as in its demo."""

from micrograd.engine import Value

from .eager import on_values


def scalar(layers, x, y):
    return on_values(Value, layers, x, y)
