"""Compiled: a function that is traced once for each kind of arguments, and from then on runs as straight-line numpy."""

import functools
import threading
import types
import warnings

from ..graph import mode
from .hooks import Singular
from .run import Run, _flattened, _name
from .step import Step
from .traced import Fallback

__all__ = ["Compiled"]

PROGRAMS = 32  # of one function; the one that was not used for longest goes
AGAIN = 5  # calls in a row for which a program gave way, after which it is traced anew
WAYS = 100  # calls in a row for which a program gave way to the function itself, after which it is not asked again


class Compiled:
    """A function as straight-line numpy, made from a run of it; see `mytorch.compile`."""

    compiles = True

    def __init__(self, f, exact=False):
        functools.update_wrapper(self, f, updated=())
        self.f = f
        self.exact = exact
        self.steps = []  # the last one used first
        self.setups = {}  # kind of call -> runs in a row that set something up
        self.runs_as_it_is, self.told, self.given_way = False, set(), 0
        self.lock = threading.RLock()

    def __call__(self, *args, **kwargs):
        if self.runs_as_it_is or mode.tape is not None:
            return self.f(*args, **kwargs)
        with self.lock:
            form, leaves, _ = _flattened(args, kwargs)
            for i, step in enumerate(self.steps):
                if step.fits(form, leaves):
                    if i:
                        self.steps.insert(0, self.steps.pop(i))
                    try:
                        answer = step(leaves)
                        self.given_way = 0
                        return answer
                    except step.gives_way as reason:  # other values, another way; or a gradient is singular
                        if self.given_way % AGAIN == AGAIN - 1:  # for good, it seems: there may be a program for it
                            self.given_way += 1
                            self.steps.remove(step)
                            break
                        return self._gives_way(args, kwargs, reason)
            return self._trace(args, kwargs, form, leaves)

    def __reduce__(self):
        """Copied and pickled as the function: its programs are of these tensors."""
        return Compiled, (self.f, self.exact)

    def __get__(self, instance, owner=None):
        """Of a method that is compiled: bound to its object."""
        return self if instance is None else types.MethodType(self, instance)

    def _trace(self, args, kwargs, form, leaves):
        """The answer of a run that is noted, and made into a step."""
        kind = repr((form, *(getattr(x, "shape", type(x)) for x in leaves)))
        run = Run(self, args, kwargs, leaves, self.setups.get(kind, 0))
        try:
            answer = run.answer()
        except Singular as reason:
            return self._gives_way(args, kwargs, reason)
        except Fallback as reason:
            self.runs_as_it_is = True
            self._tell(f"runs as it is, not compiled: {reason}")
            return self.f(*args, **kwargs)
        self.setups[kind] = self.setups.get(kind, 0) + 1 if run.setup else 0
        if not run.setup:
            for step in self.steps:
                if not step.valid():  # it may be again: of train() and eval() each has its own
                    step.memory = None
            self.steps.insert(0, Step(run, form))
            if len(self.steps) > PROGRAMS:
                self.steps.pop()
                self._tell(
                    f"has {PROGRAMS} programs for as many kinds of arguments; pass what changes as an array or a float"
                )
        return answer

    def _gives_way(self, args, kwargs, reason):
        """The answer of the function itself, for a call that a program cannot do; of many such, none is tried again."""
        self.given_way += 1
        if self.given_way > WAYS:
            self.runs_as_it_is = True
            self._tell(f"runs as it is, not compiled: {WAYS} calls had to ({reason})")
        return self.f(*args, **kwargs)

    def _tell(self, text):
        """Warns once of each line."""
        if text not in self.told:
            self.told.add(text)
            warnings.warn(f"compile: {_name(self.f)} {text}", RuntimeWarning, stacklevel=4)

    # ----- what was made -----

    @property
    def step(self):
        """The step that ran last."""
        if not self.steps:
            raise RuntimeError(
                "compile: nothing has been compiled yet; call the function (an optimizer's state: twice)"
            )
        return self.steps[0]

    @property
    def source(self):
        """The last step as numpy code, with the operation and the line each statement comes from."""
        return self.step.source

    def report(self):
        """How many operations, bytes and buffers the last step has, traced and compiled."""
        return self.step.report()

    def eject(self, path):
        """Writes the last step as a module that needs numpy alone, its memory beside it; returns the path."""
        from .report import eject

        return eject(self.step, path)
