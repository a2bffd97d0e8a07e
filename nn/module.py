"""Module: an object whose attributes are parameters, buffers and other modules, and every walk over these.

Nothing is registered. A module is an ordinary object; the walks read its attributes in the order in which they were
set, and look into lists, tuples and dicts among them. So names, order and layout are those of PyTorch.
"""

import numpy as np

from ..autograd import Tensor, astype, graph, tensor

__all__ = ["Module", "Parameter", "functional_call"]

calls, clock = graph.calls, graph.clock


class Parameter(Tensor):
    """A Tensor that its module trains. What is computed from it is a plain Tensor."""

    __slots__ = ()
    _trained = True

    def __init__(self, data, dtype=None, requires_grad=True):
        super().__init__(data, dtype, requires_grad)


class Module(graph.Noted):
    """A function with parameters: a subclass sets them, or other modules, as attributes, and defines `forward`.

    A Tensor attribute that is not a Parameter is a buffer: saved and loaded, not trained. Under a name with a leading
    underscore it is a cache, and not part of the state.

    >>> import mytorch as mt
    >>> class Scale(mt.nn.Module):
    ...     def __init__(self):
    ...         self.factor = mt.nn.Parameter([2.0])
    ...
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Scale()(mt.tensor([1.0, 3.0]))
    tensor([2., 6.], op=multiply)
    """

    training = True

    def __call__(self, *args, **kwargs):
        first = next(clock)
        out = self.forward(*args, **kwargs)
        calls.append((first, next(clock), id(self)))  # 0.2 µs; what was recorded in between is this module's
        return out

    def forward(self, *args):
        raise TypeError(f"{type(self).__name__} has no forward: define `def forward(self, x)` in its class")

    # ----- walks -----

    def named_children(self):
        """The (name, module) pairs of the modules held here, each once."""
        return _once((name, x) for name, x in _held(self) if isinstance(x, Module))

    def named_modules(self):
        """The (name, module) pairs of this module, named "", and all below it, each once."""
        return _once((prefix[:-1], module) for prefix, module, _ in _walk(self))

    def named_parameters(self):
        """The (name, parameter) pairs of this module and all below it, frozen ones too, each once."""
        return _once((name, x) for name, x in _state(self) if isinstance(x, Parameter))

    def named_buffers(self):
        """The (name, tensor) pairs that are saved with the parameters and not trained, each once."""
        return _once((name, x) for name, x in _state(self) if not isinstance(x, Parameter))

    def children(self):
        return (module for _, module in self.named_children())

    def modules(self):
        return (module for _, module in self.named_modules())

    def parameters(self):
        return (x for _, x in self.named_parameters())

    def buffers(self):
        return (x for _, x in self.named_buffers())

    # ----- mode, gradients, dtype -----

    def train(self, mode=True):
        """Puts this module and all below it in training mode, returns it."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self):
        """Puts this module and all below it in evaluation mode, returns it."""
        return self.train(False)

    def requires_grad_(self, flag=True):
        """Freezes (False) or unfreezes all parameters, returns the module."""
        for p in self.parameters():
            p.requires_grad = flag
        return self

    def zero_grad(self):
        """Forgets all gradients: `grad` is None again."""
        for p in self.parameters():
            if p.grad is not None:
                p.grad = None

    def to(self, dtype):
        """Converts parameters, their gradients and floating buffers to `dtype` in place, returns the module."""
        dtype = np.dtype(dtype)
        if dtype.kind != "f":
            raise TypeError(f"to: a module computes in a floating dtype, {dtype} is none; give float32 or float64")
        for x in (*self.parameters(), *self.buffers()):
            if x.dtype.kind == "f" and x.dtype != dtype:
                grad, x.data = x.grad, x.data.astype(dtype)
                if grad is not None:
                    x.grad = grad.detach().astype(dtype)
        return self

    # ----- saving and loading -----

    def state_dict(self):
        """Copies of all parameters and buffers as arrays, C-contiguous, under PyTorch's names and in its order.

        What two modules share stands under both names.
        """
        return {name: np.array(x.data, order="C") for name, x in _state(self)}

    def load_state_dict(self, state, strict=True):
        """Takes over the values of `state`, a dict from names to arrays; every tensor keeps its identity and dtype.

        If anything is wrong, one ValueError says all that is, and nothing has changed.
        strict=False lets missing and unexpected names pass. Returns both: (missing, unexpected).
        """
        held = dict(_state(self))
        values = {name: array_of(state[name]) for name in held if name in state}
        missing = [name for name in held if name not in state]
        unexpected = [name for name in state if name not in held]
        names = [("missing", missing), ("unexpected", unexpected)] if strict else []
        wrong = [f"{kind} {', '.join(keys)}" for kind, keys in names if keys]
        wrong += [f"{name} has {why}" for name, value in values.items() if (why := _misfit(value, held[name]))]
        if wrong:
            raise ValueError(
                f"load_state_dict: the state does not fit this {type(self).__name__}: {'; '.join(wrong)} "
                "(build the model as it was saved; strict=False takes over what is common, if the shapes fit)"
            )
        for name, value in values.items():
            held[name].data = np.array(value, dtype=held[name].dtype, order="C")
        return missing, unexpected

    # ----- how it shows -----

    def extra_repr(self):
        """What stands between the parentheses of a layer's repr."""
        return ""

    def __repr__(self):
        inside = [f"({name}): {x!r}".replace("\n", "\n  ") for name, x in _held(self) if isinstance(x, Module)]
        if not inside:
            return f"{type(self).__name__}({self.extra_repr()})"
        lines = [self.extra_repr(), *inside] if self.extra_repr() else inside
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"


def _misfit(value, x):
    """Why the array `value` cannot become the value of the tensor `x`, or None."""
    if value.shape != x.shape:
        return f"shape {value.shape}, the model's has {x.shape}"
    if not np.can_cast(value.dtype, x.dtype, "same_kind"):
        return f"dtype {value.dtype}, the model's has {x.dtype}"
    return None


def functional_call(module, params, args=(), kwargs=None):
    """module(*args) with the tensors of `params`, a dict by name, in place of its own: for grad, hvp and the like.

    What `params` does not name stays as it is. One argument need not be in a tuple. Threads must not share the module.

    >>> import numpy as np, mytorch as mt
    >>> layer = mt.nn.Linear(1, 1, bias=False)
    >>> mt.grad(lambda p: mt.nn.functional_call(layer, p, np.ones((3, 1))).sum())({"weight": np.ones((1, 1))})
    {'weight': array([[3.]])}
    """
    held = dict(_state(module))
    unknown = [name for name in params if name not in held]
    if unknown:
        raise ValueError(
            f"functional_call: this {type(module).__name__} has no {', '.join(unknown)}; it has {', '.join(held)}"
        )
    saved = [(held[name], held[name]._data, held[name]._node) for name in params]
    try:
        for name, value in params.items():
            value = value if isinstance(value, Tensor) else tensor(value)
            held[name]._data, held[name]._node = value._data, value._node
        return module(*(args if isinstance(args, tuple) else (args,)), **(kwargs or {}))
    finally:
        for x, data, node in saved:
            x._data, x._node = data, node


# ----- what the walks are made of -----


def _held(holder, prefix=""):
    """The (name, object) pairs of the tensors and modules in attributes, also inside lists, tuples and dicts there."""
    if isinstance(holder, (list, tuple)):
        entries = enumerate(holder)
    else:
        entries = (holder if isinstance(holder, dict) else vars(holder)).items()
    for name, value in entries:
        if isinstance(value, (Tensor, Module)):
            yield f"{prefix}{name}", value
        elif isinstance(value, (list, tuple, dict)):
            yield from _held(value, f"{prefix}{name}.")


def _walk(module, prefix=""):
    """(prefix of names, module, what it holds) for `module` and all below it, the outer first, as often as held."""
    held = list(_held(module))
    yield prefix, module, held
    for name, x in held:
        if isinstance(x, Module):
            yield from _walk(x, f"{prefix}{name}.")


def _state(module):
    """The (name, tensor) pairs of the state: module by module, in each the parameters before the buffers."""
    for prefix, _, held in _walk(module):
        for name, x in held:
            if isinstance(x, Parameter):
                yield prefix + name, x
        for name, x in held:
            if _is_buffer(name, x):
                yield prefix + name, x


def _is_buffer(name, x):
    return isinstance(x, Tensor) and not isinstance(x, Parameter) and x.is_leaf and not name.startswith("_")


def _once(pairs):
    """The pairs without those whose second has come before."""
    seen = set()
    for name, x in pairs:
        if id(x) not in seen:
            seen.add(id(x))
            yield name, x


def in_dtype_of(x, like):
    """`x` in the dtype of the tensor `like`: a layer computes in the dtype of its parameters, whatever comes in."""
    return x if getattr(x, "dtype", None) == like.dtype else astype(x, like.dtype)


def array_of(x):
    """The array of a Tensor, or of whatever numpy makes an array of."""
    return x.data if isinstance(x, Tensor) else x if hasattr(x, "shape") else np.asarray(x)
