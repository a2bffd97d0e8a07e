"""What a tape swaps in the engine while it runs; threads that run none see no difference.

Nothing in the engine asks whether a tape runs. A few attributes of Tensor and Leaf are others for as long as it does
(`HOOKS`), and so it sees every array that is read from a tensor or put into one.
"""

import builtins
import threading

import numpy as np

from .. import ops
from ..graph import Leaf, mode
from ..tensor import Tensor
from . import CompileError
from .functions import _array
from .traced import Fallback, Traced, users_line

__all__ = ["Singular", "running"]

DATA, GRAD = Tensor.__dict__["_data"], Leaf.__dict__["grad"]
_print, _coerce, _strictly = builtins.print, np.asarray, Tensor._strictly
_owned, _own_memory, _singular = Tensor._owned, Tensor._own_memory, Tensor._singular


def _get_data(self):
    data, tape = DATA.__get__(self), mode.tape
    return data if tape is None or type(data) is Traced else tape.reads(self, data)


def _set_data(self, data):
    if mode.tape is not None:
        mode.tape.writes(self)
    DATA.__set__(self, data)


def _get_grad(self):
    grad, tape = GRAD.__get__(self), mode.tape
    return grad if tape is None else tape.reads_grad(self, grad)


def _set_grad(self, grad):
    if mode.tape is not None:
        mode.tape.writes_grad(self)
    GRAD.__set__(self, grad)


def _no_print(*args, **kwargs):
    if mode.tape is None:
        return _print(*args, **kwargs)
    raise CompileError(
        f"compile: the function prints, at {users_line()}, which would happen in this call alone; "
        "return what you want to see, and print it outside"
    )


def _noted_as_strict(f, *args):
    """The state of a backward pass, noted on the tape too."""
    tape = mode.tape
    if tape is None:
        return _strictly(f, *args)
    tape.strict += 1
    try:
        return _strictly(f, *args)
    finally:
        tape.strict -= 1


def _array_of_its_own(g, seen):
    return Traced(g.tape, g.value, g.symbol) if type(g) is Traced else _owned(g, seen)


def _memory_of_its_own(self):
    """A handle of its own: who has the old one keeps what he saw."""
    data = self._data
    if type(data) is Traced:
        DATA.__set__(self, Traced(data.tape, data.value, data.symbol))
    else:
        _own_memory(self)


def _no_singular(node, rule, g, ans, args, trouble):
    if mode.tape is None:
        return _singular(node, rule, g, ans, args, trouble)
    raise Singular(f"the gradient of {node.op.name} is singular in this call")


class Singular(Fallback):
    """A call that a program cannot do and another call may."""


HOOKS = [
    (Tensor, "_data", property(_get_data, _set_data)),
    (Leaf, "grad", property(_get_grad, _set_grad)),
    (Tensor, "_coerce", staticmethod(lambda x: x if type(x) is Traced else _coerce(x))),
    (Tensor, "_copied", staticmethod(lambda x, dtype=None: _array(x, dtype))),
    (Tensor, "_own_memory", _memory_of_its_own),
    (Tensor, "_strictly", staticmethod(_noted_as_strict)),
    (Tensor, "_singular", staticmethod(_no_singular)),
    (Tensor, "_owned", staticmethod(_array_of_its_own)),
    (builtins, "print", _no_print),
]  # fmt: skip
OUTSIDE = "the user's"
NAMES = {}  # code -> the operation it is a forward function or a rule of, "" for other code of this package or numpy
_one_at_a_time = threading.RLock()


class running:
    """A block in which what this thread does goes to a tape."""

    def __init__(self, tape):
        self.tape = tape

    def __enter__(self):
        if not NAMES:
            _name_operations()
        _one_at_a_time.acquire()
        self.saved = [(owner, name, vars(owner)[name]) for owner, name, _ in HOOKS]
        for owner, name, hook in HOOKS:
            setattr(owner, name, hook)
        mode.tape = self.tape
        return self.tape

    def __exit__(self, *exception):
        mode.tape = None
        for owner, name, before in self.saved:
            setattr(owner, name, before)
        _one_at_a_time.release()


def _name_operations():
    for table in (ops.TABLE, ops.CONSTANT):
        for name, fun in table.items():
            for f, what in [(fun.op.f, name), *((rule, f"backward of {name}") for rule in fun.op.rules)]:
                if hasattr(f, "__code__"):
                    NAMES[f.__code__] = what
