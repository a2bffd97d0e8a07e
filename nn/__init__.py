"""Layers, losses and initialisers under PyTorch's names: compositions of operations, no derivative of their own."""

from . import handout, init
from .activation import Identity, ReLU, Sigmoid, Tanh
from .batchnorm import BatchNorm1d
from .linear import Linear
from .loss import CrossEntropyLoss, MSELoss, cross_entropy, mse_loss
from .mlp import MLP
from .module import Module, Parameter, functional_call
from .sequential import Sequential

__all__ = [
    "MLP",
    "BatchNorm1d",
    "CrossEntropyLoss",
    "Identity",
    "Linear",
    "MSELoss",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
    "cross_entropy",
    "functional_call",
    "handout",
    "init",
    "mse_loss",
]
