"""MyTorch: reverse-mode automatic differentiation on numpy. `import mytorch as mt`."""

__version__ = "0.1.0"

from .autograd import *
