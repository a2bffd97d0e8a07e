"""BatchNorm1d: every channel at mean 0 and variance 1 over the batch, then scaled and shifted."""

import math

import numpy as np

from ..autograd import sqrt, square, swapaxes, tensor
from .module import Module, Parameter, array_of, in_dtype_of

__all__ = ["BatchNorm1d"]


class BatchNorm1d(Module):
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel, x of shape (N, C) or (N, C, L).

    In training mean and var are the batch's, var over n, and the running averages move towards them, the variance's
    towards that over n - 1; in evaluation they are the running averages (Ioffe and Szegedy 2015, as in PyTorch).

    momentum: the weight of the newest batch; None makes all batches count the same.
    """

    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True, dtype=np.float32):
        if num_features < 1:
            raise ValueError(f"BatchNorm1d: num_features is {num_features}; it must be at least 1")
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.weight = Parameter(np.ones(num_features, dtype)) if affine else None
        self.bias = Parameter(np.zeros(num_features, dtype)) if affine else None
        self.running_mean = tensor(np.zeros(num_features, dtype)) if track_running_stats else None
        self.running_var = tensor(np.ones(num_features, dtype)) if track_running_stats else None
        self.num_batches_tracked = tensor(0) if track_running_stats else None

    def forward(self, x):
        x = self._checked(x)
        if x.ndim == 3:  # channels last, as in (N, C): then statistics broadcast as they are
            return swapaxes(self._normalised(swapaxes(x, 1, 2)), 1, 2)
        return self._normalised(x)

    def _normalised(self, x):
        if self.training or self.running_mean is None:
            over = 0 if x.ndim == 2 else (0, 1)
            mean = x.mean(over)
            centred = x - mean
            var = square(centred).mean(over)
            self._track(mean, var, math.prod(x.shape[:-1]))
        else:
            centred, var = x - self.running_mean, self.running_var
        # The scale is made first, on C numbers: so `centred` is all of the batch's size that backward keeps.
        scale = (1.0 if self.weight is None else self.weight) / sqrt(var + self.eps)
        y = centred * scale
        return y if self.bias is None else y + self.bias

    def _track(self, mean, var, n):
        """Moves the running averages towards the statistics of a batch with `n` values a channel."""
        if n < 2:
            raise ValueError("BatchNorm1d: one value a channel has no variance; give a larger batch, or call eval()")
        if self.running_mean is None:
            return
        batches = self.num_batches_tracked
        batches.data = batches.data + 1
        m = (1 / batches.data).astype(mean.dtype) if self.momentum is None else float(self.momentum)
        for running, x, factor in ((self.running_mean, mean, m), (self.running_var, var, m * n / (n - 1))):
            running.data = (1 - m) * running.data + factor * array_of(x)

    def _checked(self, x):
        """`x` in this layer's dtype, if its shape fits."""
        like = self.running_mean if self.weight is None else self.weight
        x = x if like is None else in_dtype_of(x, like)
        if x.ndim not in (2, 3):
            raise ValueError(f"BatchNorm1d: the input has shape {x.shape}; give (N, C) or (N, C, L)")
        if x.shape[1] != self.num_features:
            raise ValueError(
                f"BatchNorm1d: the input has {x.shape[1]} channels, {x.shape}; num_features is {self.num_features}"
            )
        return x

    def extra_repr(self):
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.weight is not None}, "
            f"track_running_stats={self.running_mean is not None}"
        )
