"""MLP: linear layers with activations between them."""

from itertools import pairwise

import numpy as np

from . import init
from .activation import ReLU
from .batchnorm import BatchNorm1d
from .linear import Linear
from .module import Module
from .sequential import Sequential

__all__ = ["MLP"]


class MLP(Sequential):
    """Linear, [BatchNorm1d,] activation for each of `hiddens`, then a Linear: a Sequential of just these.

    activation: a class of layers, such as nn.Tanh.
    rng:        a generator, or a seed for all layers.

    >>> import mytorch as mt
    >>> mt.nn.MLP(784, [32], 10, batch_norm=True)
    MLP(
      (0): Linear(in_features=784, out_features=32, bias=True)
      (1): BatchNorm1d(32, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)
      (2): ReLU()
      (3): Linear(in_features=32, out_features=10, bias=True)
    )
    """

    def __init__(
        self, in_features, hiddens, out_features, activation=ReLU, batch_norm=False, dtype=np.float32, rng=None
    ):
        if not (isinstance(activation, type) and issubclass(activation, Module)):
            raise TypeError(f"MLP: the activation is {activation!r}; give a class of layers, such as nn.Tanh")
        if not hasattr(hiddens, "__iter__"):
            raise TypeError(f"MLP: hiddens is {hiddens!r}; give the widths of the hidden layers, as in [{hiddens!r}]")
        rng = init.generator(rng)
        layers = []
        for i, o in pairwise((in_features, *hiddens)):
            layers.append(Linear(i, o, dtype=dtype, rng=rng))
            if batch_norm:
                layers.append(BatchNorm1d(o, dtype=dtype))
            layers.append(activation())
        layers.append(Linear((in_features, *hiddens)[-1], out_features, dtype=dtype, rng=rng))
        super().__init__(*layers)
