"""Losses, as functions and as modules."""

import functools

import numpy as np

from ..autograd import log_softmax, square
from .module import Module, array_of, in_dtype_of

__all__ = ["CrossEntropyLoss", "MSELoss", "cross_entropy", "mse_loss"]

UNSIGNED = {n: np.dtype(f"u{n}") for n in (1, 2, 4, 8)}  # bytes -> dtype
REDUCTIONS = {"mean": lambda losses: losses.mean(), "sum": lambda losses: losses.sum(), "none": lambda losses: losses}


def cross_entropy(x, target, reduction="mean", label_smoothing=0.0):
    """-log softmax(x) at the target, for logits x of shape (N, K): one loss an example, then reduced.

    target:          classes, integers of shape (N,); or probabilities of shape (N, K).
    reduction:       "mean" or "sum" over the examples, or "none".
    label_smoothing: the share of a target's probability that is spread evenly over all classes.

    >>> import numpy as np, mytorch as mt
    >>> mt.nn.cross_entropy(mt.tensor([[1e4, -1e4], [0.0, 0.0]]), np.array([1, 0]), reduction="none")
    tensor([2.00000000e+04, 6.93147181e-01])
    """
    reduce = _reduction("cross_entropy", reduction)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing is {label_smoothing}; it must lie in [0, 1]")
    target = target if hasattr(target, "shape") else np.asarray(target)
    if len(x.shape) != 2 or target.shape not in (x.shape, x.shape[:1]):
        raise ValueError(
            f"cross_entropy: logits of shape {x.shape} and a target of shape {target.shape}; give logits (N, K) and "
            "classes (N,) or probabilities (N, K)"
        )
    log_p = log_softmax(x, 1)
    if target.ndim == 2:
        p = in_dtype_of(target, log_p)
        if label_smoothing:
            p = p * (1 - label_smoothing) + label_smoothing / x.shape[1]
        return reduce(-(p * log_p).sum(1))
    chosen = log_p[_rows(target.size), _classes(target, x.shape[1])]
    if label_smoothing:
        chosen = chosen * (1 - label_smoothing) + log_p.mean(1) * label_smoothing
    return reduce(-chosen)


@functools.lru_cache(maxsize=8)
def _rows(n):
    """0, 1, ..., n - 1: the same array for the same n."""
    rows = np.arange(n)
    rows.flags.writeable = False
    return rows


def _classes(target, k):
    """The target as an index: integers from 0 to k - 1."""
    target = array_of(target)
    if target.dtype.kind not in "iu":
        raise TypeError(
            f"cross_entropy: classes of dtype {target.dtype}, shape {target.shape}; give integers, as by astype(int), "
            "or probabilities of the logits' shape"
        )
    if not target.dtype.isnative:
        target = target.astype(target.dtype.newbyteorder("="))
    unsigned = target.view(UNSIGNED[target.itemsize])  # negative ones are large there
    if target.size and np.maximum.reduce(unsigned) >= k:
        raise ValueError(
            f"cross_entropy: the classes run from {target.min()} to {target.max()}; "
            f"for {k} logits they must lie in 0 to {k - 1}"
        )
    return target


def mse_loss(x, target, reduction="mean"):
    """(x - target)², of equal shapes, reduced by "mean" or "sum" over all elements, or "none"."""
    reduce = _reduction("mse_loss", reduction)
    shape, wanted = array_of(x).shape, array_of(target).shape
    if shape != wanted:
        raise ValueError(f"mse_loss: the input has shape {shape}, the target {wanted}; reshape one to the other's")
    return reduce(square(x - in_dtype_of(target, x)))


def _reduction(name, reduction):
    if reduction not in REDUCTIONS:
        raise ValueError(f"{name}: reduction is {reduction!r}; it must be one of {', '.join(REDUCTIONS)}")
    return REDUCTIONS[reduction]


class CrossEntropyLoss(Module):
    """`cross_entropy` with its options chosen: loss(logits (N, K), classes (N,) or probabilities (N, K))."""

    def __init__(self, reduction="mean", label_smoothing=0.0):
        _reduction("CrossEntropyLoss", reduction)
        self.reduction = reduction
        self.label_smoothing = label_smoothing

    def forward(self, x, target):
        return cross_entropy(x, target, self.reduction, self.label_smoothing)


class MSELoss(Module):
    """`mse_loss` with its reduction chosen."""

    def __init__(self, reduction="mean"):
        _reduction("MSELoss", reduction)
        self.reduction = reduction

    def forward(self, x, target):
        return mse_loss(x, target, self.reduction)
