"""Training: data, optimizers, the loop, checkpoints; and the command `python -m mytorch.train`."""

from . import checkpoint, data, optim
from .loop import evaluate, fit

__all__ = ["checkpoint", "data", "evaluate", "fit", "optim"]
