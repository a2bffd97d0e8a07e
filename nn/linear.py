"""Linear: x @ weight.T + bias."""

import math

import numpy as np

from ..autograd import inner, linear
from . import init
from .module import Module, Parameter, in_dtype_of

__all__ = ["Linear"]


class Linear(Module):
    """x @ weight.T + bias, for x of shape (..., in_features); weight is (out_features, in_features).

    Weight and bias start from U(-k, k), k = 1 / sqrt(in_features).
    """

    def __init__(self, in_features, out_features, bias=True, dtype=np.float32, rng=None):
        if min(in_features, out_features) < 1:
            raise ValueError(
                f"Linear: in_features is {in_features}, out_features is {out_features}; both must be at least 1"
            )
        rng = init.generator(rng)
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(np.empty((out_features, in_features), dtype))
        self.bias = Parameter(np.empty(out_features, dtype)) if bias else None
        init.kaiming_uniform_(self.weight, a=math.sqrt(5), rng=rng)
        if bias:
            bound = 1 / math.sqrt(in_features)
            init.uniform_(self.bias, -bound, bound, rng=rng)

    def forward(self, x):
        weight, bias = self.weight, self.bias
        x = in_dtype_of(x, weight)
        try:
            return inner(x, weight) if bias is None else linear(x, weight, bias)
        except ValueError as error:
            if x.shape and x.shape[-1] == weight.shape[-1] and bias is not None:  # a bias of another shape
                return inner(x, weight) + bias
            has = f"{x.shape[-1]} features, {x.shape}" if x.shape else "no axis"
            raise ValueError(f"Linear: the input has {has}; in_features is {weight.shape[-1]}") from error

    def extra_repr(self):
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
