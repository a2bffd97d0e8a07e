"""Reverse-mode automatic differentiation: one engine, one table of rules, two carriers (Tensor and Value)."""

from . import ops, transforms
from .checkpoint import checkpoint
from .compile import CompileError, compile
from .engine import defvjp, primitive
from .gradcheck import GradcheckError, gradcheck
from .graph import enable_grad, is_grad_enabled, no_grad
from .ops import *
from .scalar import Value
from .tensor import Tensor, tensor
from .transforms import *

__all__ = [
    "CompileError",
    "GradcheckError",
    "Tensor",
    "Value",
    "checkpoint",
    "compile",
    "defvjp",
    "enable_grad",
    "gradcheck",
    "is_grad_enabled",
    "no_grad",
    "primitive",
    "tensor",
    *ops.__all__,
    *transforms.__all__,
]
