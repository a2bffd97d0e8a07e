"""Reverse-mode automatic differentiation: one engine, one table of rules, two carriers (Tensor and Value)."""

from .engine import defvjp, enable_grad, is_grad_enabled, no_grad, primitive
from .ops import *
from .scalar import Value
from .tensor import Tensor, tensor
from .transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
