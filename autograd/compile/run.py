"""Run: one run of a function on a tape, its answer, and all a step is made of. A run that fails leaves no trace."""

import sys

import numpy as np

from ..graph import mode, wrap
from ..tensor import Tensor
from ..tree import flatten
from . import CompileError
from .holders import SCALARS
from .hooks import DATA, GRAD, running
from .program import Source, Var
from .reach import Reach
from .tape import Tape
from .traced import PACKAGE, Fallback, Traced, TracedGenerator, _owner, values

__all__ = ["Run"]

SETUPS = 3  # runs in a row that may set things up, as an optimizer's first step does


class Run:
    """A run of a function on a tape: its answer, and all a Step is made of. A run that fails leaves no trace."""

    def __init__(self, compiled, args, kwargs, leaves, setups=0):
        self.f, self.exact = compiled.f, compiled.exact
        self.leaves = leaves
        self.enabled = mode.enabled
        _, _, self.rebuild = _flattened(args, kwargs)
        self.nested = not isinstance(self.rebuild, type)
        others = [(f"argument {i}", x) for i, x in enumerate(leaves) if _kind(x) == "object"]
        self.reach = Reach([(getattr(self.f, "__name__", "f"), self.f), *others])
        self.tape = Tape()
        self.generators = []  # (generator, its state before) of the arguments
        self.setups = setups

    def answer(self):
        """Runs the function, puts concrete values where traced ones are, and returns its answer."""
        with running(self.tape):
            try:
                traced = [self._traced(i, x) for i, x in enumerate(self.leaves)]
                self.place = {id(x): i for i, x in enumerate(traced) if not isinstance(x, SCALARS)}
                out = self._run(traced)
                self.out, self.refill = flatten(out)
                self.single = isinstance(out, Tensor)
                self.tape.check()
                self._check_arguments(traced)
                self._find_ends()
                self._check_python()
                self._check_answers()
            except SideEffect as effect:
                self._undo()
                raise self._told(effect) from None
            except BaseException:
                self._undo()
                self.tape.forget()
                raise
            return self._commit()

    def _run(self, traced):
        given = self.given = self.rebuild(traced)
        args, kwargs = given if self.nested else (given, {})
        return self.f(*args, **kwargs)

    def _told(self, effect):
        """The error of a side effect, with its line: another run, watched line by line, finds it, and is undone too."""
        code, before = getattr(self.f, "__code__", None), sys.gettrace()
        last = None

        def watch(frame, event, arg):
            nonlocal last
            if _owner(frame) in (PACKAGE, "numpy"):
                return None
            if last is not None and self.reach.changes(self.tape.numbers)[0]:
                raise effect
            last = f"{frame.f_code.co_filename}:{frame.f_lineno}"
            return watch

        sys.settrace(watch)
        try:
            self._run([self._traced(i, x) for i, x in enumerate(self.leaves)])
        except Exception:  # the effect, or what comes of running twice
            pass
        finally:
            sys.settrace(before)
            self._undo()
        if last is None:  # no line of the user's was run to its end
            last = f"{code.co_filename}:{code.co_firstlineno}" if code else "an unknown line"
        wrong, how = str(effect), "do it outside, or keep it in a tensor"
        if wrong.startswith("draws"):
            how = "pass the generator in as an argument"
        return CompileError(
            f"compile: {_name(self.f)} {wrong}, at {last}, which would happen in this call alone; {how}"
        )

    def _traced(self, i, x):
        kind = _kind(x)
        if isinstance(x, np.ndarray) and type(x) not in (np.ndarray, np.memmap):
            raise Fallback(f"argument {i} is a {type(x).__name__}; pass a plain array")
        if kind == "array" or kind == "number":
            return self.tape.input(Source("arg", key=i), x if kind == "number" else np.asarray(x, order="C"))
        if kind == "generator":
            var = self.tape.inputs[Source("arg", key=i)] = Var((), np.dtype(object))
            self.generators.append((x, x.bit_generator.state))
            return TracedGenerator(self.tape, x, var)
        if kind in ("tensor", "leaf") and id(x) in self.reach.names:
            raise Fallback("an argument is a tensor that the function can also reach otherwise")
        if kind == "computed":
            raise Fallback(
                "an argument was computed from tensors that require grad, and the gradient goes further back"
            )
        return x

    def _check_arguments(self, traced):
        now = flatten(self.given)[0]
        if len(now) != len(traced) or any(x is not before for x, before in zip(now, traced, strict=True)):
            raise Fallback("it changes a list or dict that is its argument; return a new one")
        for i, x in enumerate(traced):
            if type(x) is Traced and x.symbol is not self.tape.inputs[Source("arg", key=i)]:
                raise CompileError(
                    f"compile: {_name(self.f)} changes the array in place that is its argument {i}; return the new "
                    "value, or pass a tensor"
                )

    def _find_ends(self):
        """What tensors and gradients are at the end that were something else at the beginning."""
        tape = self.tape
        self.commits, self.cleared = [], []
        for tensor, _ in tape.states.values():
            var = self._var(DATA.__get__(tensor))
            if var is not tape.inputs[Source("tensor", tensor)]:
                self.commits.append((Source("tensor", tensor), var))
        for leaf, before, _ in tape.grads.values():
            now = GRAD.__get__(leaf)
            if now is None:
                self.cleared.append(Source("grad", leaf))
            elif now is not before:
                var = self._var(DATA.__get__(now))
                if var is not tape.inputs.get(Source("grad", leaf)):
                    self.commits.append((Source("grad", leaf), var))

    def _var(self, data):
        return data.symbol if type(data) is Traced else self.tape._name(np.asarray(data))

    def _own(self, data, seen):
        """The value of an answer: a copy where another answer, no view of this array, was found to be the same."""
        var = self._var(data)
        if not var.number and seen.setdefault(var, data) is not data:
            return self.tape.cast(data, data.dtype).symbol
        return var

    def _check_python(self):
        """Refuses what a program could not do again: changes to Python's own objects."""
        wrong, self.setup = self.reach.changes(self.tape.numbers)
        if wrong:
            raise SideEffect(wrong)
        for tensor, before in self.tape.states.values():
            now = values(DATA.__get__(tensor))
            if (now.shape, now.dtype) != (before.shape, before.dtype):
                if self.setups >= SETUPS:
                    raise Fallback(f"a tensor of shape {before.shape} changes its shape or dtype in every call")
                self.setup = True
        if self.setup and self.setups >= SETUPS:
            raise Fallback("it makes something new in every call that outlives it; do it outside")

    def _check_answers(self):
        for tensor, _ in self.tape.states.values():
            if tensor._node is not None and tensor._node.op is not None:
                raise Fallback("it leaves a computed value with its graph in a tensor from outside; assign x.detach()")
        for x in self.out:
            if isinstance(x, Tensor) and x._node is not None and x.is_leaf and id(x) in self.tape.local:
                raise Fallback("its answer is a new tensor that requires grad; make it outside, or return x.detach()")
            known = isinstance(x, (Tensor, Traced, np.ndarray, *SCALARS))
            known = known or id(x) in self.place or id(x) in self.reach.holders
            if not known and not callable(x):
                raise Fallback(f"its answer is a {type(x).__name__}; return tensors, arrays, numbers, lists or dicts")
            if isinstance(x, Tensor) and not x.is_leaf and x._node.parents is not None:
                raise Fallback(
                    "its answer carries a graph; call backward inside, return x.detach(), or run it under no_grad"
                )

    def _undo(self):
        """Everything as it was before."""
        for generator, state in self.generators:
            generator.bit_generator.state = state
        for tensor, data in self.tape.states.values():
            DATA.__set__(tensor, data)
        for leaf, grad, _ in self.tape.grads.values():
            GRAD.__set__(leaf, grad)
        self.reach.restore()

    def _commit(self):
        """Puts arrays in the place of traced ones, wherever they outlive the run; returns the answer."""
        answers, self.kinds = [], []
        seen = {}  # Var -> the Traced that was given for it
        for x in self.out:
            if id(x) in self.place:
                self.kinds.append(("argument", self.place[id(x)]))
                x = self.leaves[self.place[id(x)]]
            elif isinstance(x, Tensor) and id(x) not in self.tape.local:
                self.kinds.append(("tensor", x))
            elif isinstance(x, Tensor):
                data = DATA.__get__(x)
                self.kinds.append(("made", self._own(data, seen)))
                x = wrap(np.array(values(data)))
            elif type(x) is Traced:
                self.kinds.append(("array", self._own(x, seen)))
                x = x.value[()] if isinstance(x.value, np.ndarray) and not x.ndim else x.value
            elif isinstance(x, np.ndarray):
                self.kinds.append(("copy", x))
                x = x.copy()
            else:
                self.kinds.append(("object", x))
            answers.append(x)
        self.out = None
        for tensor, before in self.tape.states.values():
            now = DATA.__get__(tensor)
            if type(now) is Traced:
                same = now.symbol is self.tape.inputs[Source("tensor", tensor)]
                DATA.__set__(tensor, before if same else np.array(now.value))
        for leaf, before, _ in self.tape.grads.values():
            now = GRAD.__get__(leaf)
            if now is not None and now is not before:
                DATA.__set__(now, np.array(values(DATA.__get__(now))))
        for ref in self.tape.made:
            made = ref()
            if made is not None and type(DATA.__get__(made)) is Traced:
                DATA.__set__(made, np.array(DATA.__get__(made).value))
        return self.refill(answers)


class SideEffect(Exception):
    """What a run did to Python's own objects."""


# ----- arguments -----
def _flattened(args, kwargs):
    """(form, leaves, rebuild) of arguments; the form says what is nested how."""
    if not kwargs:
        for x in args:
            if isinstance(x, (list, tuple, dict)):
                break
        else:
            return len(args), args, tuple
    leaves, rebuild = flatten((args, kwargs))
    return _form((args, kwargs)), leaves, rebuild


def _form(tree):
    if isinstance(tree, dict):
        return dict, *((key, _form(x)) for key, x in tree.items())
    if isinstance(tree, (list, tuple)):
        return type(tree), *map(_form, tree)
    return None


def _kind(x):
    """What a leaf of the arguments is to a program."""
    if isinstance(x, Tensor):
        return "tensor" if x._node is None else "leaf" if x._node.op is None else "computed"
    if isinstance(x, (np.ndarray, np.generic)):
        return "array"
    if isinstance(x, float):
        return "number"
    return "generator" if isinstance(x, np.random.Generator) else "object"


def _name(f):
    return getattr(f, "__qualname__", None) or repr(f)
