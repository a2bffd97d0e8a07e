"""MyTorch: reverse-mode automatic differentiation on numpy, in code to be read. `import mytorch as mt`."""

__version__ = "0.1.0"

import importlib

from . import autograd
from .autograd import *

__all__ = [*autograd.__all__, "autograd", "nn", "seed", "train", "viz"]


def __getattr__(name):
    """The folders beside autograd load when they are first used: `mt.nn`, `mt.viz`, `mt.train`."""
    if name in ("nn", "train", "viz"):
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module 'mytorch' has no attribute {name!r}")


def seed(n):
    """Makes the default random generator, which layers and initialisers draw from, start from the seed `n`."""
    importlib.import_module(".nn.init", __name__).seed(n)
