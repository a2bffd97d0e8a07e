"""Compiled: a function that is traced once for each kind of arguments, and from then on runs as straight-line numpy."""

import builtins
import functools
import sys
import threading
import types
import warnings
from collections import Counter
from operator import attrgetter, getitem, is_

import numpy as np

from ..graph import latest, mark_changed, mode, wrap
from ..tensor import Tensor
from ..tree import flatten
from . import CompileError
from .plan import Plan
from .program import Program, Source, Var
from .reach import SCALARS, Reach
from .rewrite import rewrite
from .source import write
from .tape import DATA, GRAD, PACKAGE, Fallback, Singular, Tape, Traced, TracedGenerator, _owner, running, values

__all__ = ["Compiled"]

PROGRAMS = 32  # of one function; the one that was not used for longest goes
WAYS = 100  # calls for which a program gave way to the function itself, after which it is not asked again
SETUPS = 3  # runs in a row that may set things up, as an optimizer's first step does


DATA_OF, NODE_OF, GRAD_OF, SHAPE_OF, DTYPE_OF = map(attrgetter, ("_data", "_node", "grad", "shape", "dtype"))


class Compiled:
    """A function as straight-line numpy, made from a run of it; see `mytorch.compile`."""

    compiles = True

    def __init__(self, f, exact=False):
        functools.update_wrapper(self, f, updated=())
        self.f = f
        self.exact = exact
        self.steps = []  # the last one used first
        self.setups = 0
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
                        return step(leaves)
                    except step.gives_way as reason:  # other values, another way; or a gradient is singular
                        return self._gives_way(args, kwargs, reason)
            return self._trace(args, kwargs, form, leaves)

    def __get__(self, instance, owner=None):
        """Of a method that is compiled: bound to its object."""
        return self if instance is None else types.MethodType(self, instance)

    def _trace(self, args, kwargs, form, leaves):
        """The answer of a run that is noted, and made into a step."""
        run = Run(self, args, kwargs, leaves)
        try:
            answer = run.answer()
        except Singular as reason:
            return self._gives_way(args, kwargs, reason)
        except Fallback as reason:
            self.runs_as_it_is = True
            self._tell(f"runs as it is, not compiled: {reason}")
            return self.f(*args, **kwargs)
        self.setups = self.setups + 1 if run.setup else 0
        if not run.setup:
            self.steps = [Step(run, form), *(step for step in self.steps if step.valid())]
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


# ----- one run -----


class Run:
    """A run of a function on a tape: its answer, and all a Step is made of. A run that fails leaves no trace."""

    def __init__(self, compiled, args, kwargs, leaves):
        self.f, self.exact = compiled.f, compiled.exact
        self.leaves = leaves
        self.enabled = mode.enabled
        _, _, self.rebuild = _flattened(args, kwargs)
        self.nested = not isinstance(self.rebuild, type)
        others = [(f"argument {i}", x) for i, x in enumerate(leaves) if _kind(x) == "object"]
        self.reach = Reach([(getattr(self.f, "__name__", "f"), self.f), *others])
        self.tape = Tape()
        self.generators = []  # (generator, its state before) of the arguments
        self.setups = compiled.setups

    def answer(self):
        """Runs the function, puts concrete values where traced ones are, and returns its answer."""
        with running(self.tape):
            try:
                traced = [self._traced(i, x) for i, x in enumerate(self.leaves)]
                out = self._run(traced)
                self.out, self.refill = flatten(out)
                self.single = isinstance(out, Tensor)
                self._check_arguments(traced)
                self._find_ends()
                self._check_python()
                self._check_answers()
            except SideEffect as effect:
                self._undo()
                raise self._told(effect) from None
            except BaseException:
                self._undo()
                raise
            return self._commit()

    def _run(self, traced):
        given = self.rebuild(traced)
        args, kwargs = given if self.nested else (given, {})
        return self.f(*args, **kwargs)

    def _told(self, effect):
        """The error of a side effect, with its line: another run, watched line by line, finds it, and is undone too."""
        last, before = None, sys.gettrace()

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
        wrong, how = str(effect), "do it outside, or keep it in a tensor"
        if wrong.startswith("draws"):
            how = "pass the generator in as an argument"
        return CompileError(
            f"compile: {_name(self.f)} {wrong}, at {last}, which would happen in this call alone; {how}"
        )

    def _traced(self, i, x):
        kind = _kind(x)
        if kind == "array" or kind == "number":
            return self.tape.input(Source("arg", key=i), x if kind == "number" else np.asarray(x))
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
        for i, x in enumerate(traced):
            if type(x) is Traced and x.var is not self.tape.inputs[Source("arg", key=i)]:
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
        return data.var if type(data) is Traced else self.tape._name(np.asarray(data))

    def _check_python(self):
        """Refuses what a program could not do again: changes to Python's own objects."""
        wrong, self.setup = self.reach.changes(self.tape.numbers)
        if wrong:
            raise SideEffect(wrong)
        if self.setup and self.setups >= SETUPS:
            raise CompileError(
                f"compile: {_name(self.f)} makes something new in every call that outlives it; do it outside"
            )

    def _check_answers(self):
        for x in self.out:
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
        for tensor, before in self.tape.states.values():
            now = DATA.__get__(tensor)
            if type(now) is Traced:
                same = now.var is self.tape.inputs[Source("tensor", tensor)]
                DATA.__set__(tensor, before if same else np.array(now.value))
        for leaf, before, _ in self.tape.grads.values():
            now = GRAD.__get__(leaf)
            if now is not None and now is not before:
                DATA.__set__(now, np.array(values(DATA.__get__(now))))
        answers, self.kinds = [], []
        for x in self.out:
            if isinstance(x, Tensor) and id(x) in self.tape.states:
                self.kinds.append(("tensor", x))
            elif isinstance(x, Tensor):
                self.kinds.append(("made", self._var(DATA.__get__(x))))
                x = wrap(values(DATA.__get__(x)))
            elif type(x) is Traced:
                self.kinds.append(("array", x.var))
                x = x.value[()] if isinstance(x.value, np.ndarray) and not x.ndim else x.value
            else:
                self.kinds.append(("object", x))
            answers.append(x)
        self.out = None
        for ref in self.tape.made:
            made = ref()
            if made is not None and type(DATA.__get__(made)) is Traced:
                DATA.__set__(made, np.array(DATA.__get__(made).value))
        return self.refill(answers)


class SideEffect(Exception):
    """What a run did to Python's own objects."""


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


# ----- one program -----


class Step:
    """A program, the conditions under which it may run, and how its ends meet Python's."""

    def __init__(self, run, form):
        tape, leaves = run.tape, run.leaves
        self.f, self.form, self.reach, self.enabled = run.f, form, run.reach, run.enabled
        self.name = _name(run.f)
        self.kinds, self.refill = run.kinds, run.refill
        self.keys = [(kind := _kind(x), *_constants(kind, x)) for x in leaves]
        self.guards = Guards(self.reach.checks, self.reach.lengths, tape.numbers)
        self.noted, self.changes = Guards(*self.reach.noted, tape.numbers), latest.attributes
        self.looked_at = [(leaf, grad is not None) for leaf, grad, looked in tape.grads.values() if looked]
        plain = all(type(x) is np.ndarray for x in leaves) and not self.looked_at
        self.quick = (
            [[np.ndarray] * len(leaves), [x.shape for x in leaves], [x.dtype for x in leaves]] if plain else None
        )
        self.of_argument = _arguments(leaves, [*tape.inputs, *(s for s, _ in run.commits), *run.cleared])
        inner = [(source, var) for source, var in run.commits if source not in self.of_argument]
        self.outer = [(source, var) for source, var in run.commits if source in self.of_argument]
        self.cleared = [source for source in run.cleared if source not in dict(inner)]
        self.changed = [source.it for source, _ in inner if source.kind == "tensor"]
        answers = [var for kind, var in self.kinds if kind in ("made", "array")] + [var for _, var in self.outer]
        self.traced = _calls_and_bytes(tape.statements)
        self.program = Program(tape.inputs, tape.statements, answers, inner)
        rewrite(self.program)
        tensors = {s.it: None for s in self.program.inputs if s.kind == "tensor" and s not in self.of_argument}
        self.tensors = [(t, t.shape, t.dtype, t._node) for t in tensors | dict.fromkeys(self.changed)]
        self.plan = Plan(self.program, run.exact)
        self.named = _Names(self)
        self.written = write(self.plan, self.named)
        self.source, self.memory = self.written.source, None
        self.one = [kind for kind, _ in self.kinds] == ["made"] and run.single and not (self.outer or self.cleared)
        self.getters = [self._getter(source) for source in self.written.sources]
        self.namespace = {"__name__": "compiled"}
        exec(builtins.compile(self.source, f"<compiled {_name(self.f)}>", "exec"), self.namespace)
        self.gives_way = self.namespace["Changed"], FloatingPointError

    # ----- when it may run -----

    def fits(self, form, leaves):
        """Whether the step was made for such arguments, and all it took for constant is what it was."""
        if form != self.form or mode.enabled is not self.enabled:
            return False
        if self.quick is not None and self._as_before(leaves):
            return True
        for x, key in zip(leaves, self.keys, strict=True):
            if type(x) is np.ndarray and key[0] == "array":
                if x.shape != key[1] or x.dtype != key[2]:
                    return False
            elif key[0] != (kind := _kind(x)) or not all(map(_same, _constants(kind, x), key[1:])):
                return False
        return self.valid() and self._has_memory()

    def _as_before(self, leaves):
        """Whether nothing has changed since the last call: what `fits` asks, with as few steps of Python as can be.

        A step leaves the caches full of numbers, so each Python object that is looked at costs a walk to memory.
        """
        memory, guards, (types, shapes, dtypes) = self.memory, self.guards, self.quick
        try:
            return (
                memory is not None
                and latest.attributes == self.changes
                and list(map(type, leaves)) == types
                and list(map(SHAPE_OF, leaves)) == shapes
                and list(map(DTYPE_OF, leaves)) == dtypes
                and all(map(is_, map(getitem, guards.holders, guards.keys), guards.values))
                and list(map(len, guards.containers)) == guards.lengths
                and memory.holds()
            )
        except (LookupError, ValueError, AttributeError):
            return False

    def valid(self):
        """Whether what the function can reach is what it was."""
        changes = latest.attributes
        if changes != self.changes:
            if not self.noted.hold():
                return False
            self.changes = changes
        if not self.guards.hold():
            return False
        return all((leaf.grad is not None) == had for leaf, had in self.looked_at)

    def _has_memory(self):
        if self.memory is None or not self.memory.holds():
            for tensor, shape, dtype, node in self.tensors:
                if tensor._node is not node or tensor.shape != shape or tensor.dtype != dtype:
                    return False
            self.memory = None  # what it holds is not somebody else's
            self.memory = Memory(self)
        return True

    # ----- a call -----

    def __call__(self, leaves):
        answers = self.memory.run(*[get(leaves) for get in self.getters])
        self.memory.hand_over()
        if self.one:
            return wrap(answers[0])
        answers = iter(answers)
        out = [self._answer(kind, it, answers, leaves) for kind, it in self.kinds]
        for source, _ in self.outer:
            self._change(source, next(answers), leaves)
        for source in self.cleared:
            leaf = source.it if source not in self.of_argument else leaves[self.of_argument[source]]
            leaf.grad = None
        return self.refill(out)

    def _answer(self, kind, it, answers, leaves):
        if kind == "made":
            return wrap(next(answers))
        if kind == "array":
            answer = next(answers)
            return answer[()] if isinstance(answer, np.ndarray) and not answer.ndim else answer
        i = self.of_argument.get(Source("tensor", it)) if kind == "tensor" else None
        return it if i is None else leaves[i]

    def _change(self, source, value, leaves):
        """Gives an argument its new value, or its new gradient."""
        tensor = leaves[self.of_argument[source]]
        if source.kind == "grad":
            tensor.grad = wrap(np.asarray(value))
        elif tensor.is_leaf:
            tensor.data = value
        else:
            tensor._data = value

    def _getter(self, source):
        """The function from the arguments' leaves to what the text's step is given for `source`."""
        if source.kind == "number":
            return lambda leaves: float(source.it[source.key])
        i = source.key if source.kind == "arg" else self.of_argument[source]
        if source.kind == "tensor":
            return lambda leaves: np.ascontiguousarray(leaves[i]._data)
        if source.kind == "grad":
            return lambda leaves: np.ascontiguousarray(leaves[i].grad._data)
        if self.keys[i][0] != "array":
            return lambda leaves: leaves[i]
        return lambda leaves: x if (x := leaves[i]).flags.c_contiguous else np.asarray(x, order="C")

    # ----- what it is -----

    def report(self):
        """What the program was and what it is, as a Report."""
        from .report import Report

        return Report.of(self, self.traced)

    def signature(self):
        """How the text's step is called."""
        return f"step({', '.join(self.written.arguments)})"

    def arrays(self):
        """{name: array}: what the text's `build` is given, as it is now."""
        if not self._has_memory():
            raise RuntimeError("compile: the tensors this step was made for have other shapes now; call it first")
        return self.memory.arrays | self.written.constants


class Guards:
    """What was found in dicts, lists and variables, and must be there still."""

    def __init__(self, checks, lengths, apart):
        self.checks = [check for check in checks if (id(check[0]), check[1]) not in apart]
        self.holders, self.keys, self.values = zip(*self.checks, strict=True) if self.checks else ((), (), ())
        self.containers, self.lengths = [x for x, _ in lengths], [n for _, n in lengths]

    def hold(self):
        try:
            if not all(map(is_, map(getitem, self.holders, self.keys), self.values)):
                for holder, key, value in self.checks:
                    now = holder[key]
                    if now is not value and not (isinstance(value, SCALARS) and _same(now, value)):
                        return False
        except (KeyError, IndexError, ValueError):
            return False
        return list(map(len, self.containers)) == self.lengths


def _calls_and_bytes(statements):
    """How many numpy calls statements are, and the bytes of what they make."""
    made = [s for s in statements if s.kind not in ("view", "guard")]
    return len(made), sum(s.out.nbytes for s in made)


def _constants(kind, x):
    """What of an argument the program takes for constant."""
    if kind in ("array", "tensor", "leaf"):
        return x.shape, x.dtype
    return (x,) if kind == "object" else ()


def _same(x, y):
    return x is y or (type(x) is type(y) and isinstance(x, (*SCALARS, tuple)) and x == y)


def _arguments(leaves, sources):
    """{source: the number of the argument} for sources that are arguments, and so another object in every call."""
    owners = {}
    for i, x in enumerate(leaves):
        if isinstance(x, Tensor):
            owners[id(x)] = i
            if x._node is not None:
                owners[id(x._node)] = i
    return {s: owners[id(s.it)] for s in sources if s.kind in ("tensor", "grad") and id(s.it) in owners}


class _Names:
    """The names of sources in the text: those of parameters, variables and attributes."""

    def __init__(self, step):
        self.runtime = set(step.of_argument)
        self.of_argument, self.tensors = step.of_argument, step.reach.names
        self.leaves = {id(x._node): x for x in step.reach.holders_of(Tensor) if x._node is not None}
        code = getattr(step.f, "__code__", None)
        self.parameters = code.co_varnames[: code.co_argcount] if code and type(step.form) is int else ()

    def __getitem__(self, source):
        kind, it = source.kind, source.it
        if kind == "number":
            return str(source.key)
        i = source.key if kind == "arg" else self.of_argument.get(source)
        if i is not None:
            name = self.parameters[i] if i < len(self.parameters) else f"x{i}"
            return f"grad_of_{name}" if kind == "grad" else name
        owner = it if kind == "tensor" else self.leaves.get(id(it))
        name = self.tensors.get(id(owner), "state")
        return f"grad_of_{name}" if kind == "grad" else name


# ----- its memory -----

_lent = Counter()  # id of an array -> how often the memory of steps that only read it refers to it


class Memory:
    """The arrays a step's text is bound to: states, gradients, constants.

    What a step changes is its own memory, and that of the tensors it belongs to, as long as nobody else looks at it: no
    detached tensor, no view, no graph that is still needed. Where one does, the step takes new memory, and the other
    keeps what it saw. So the number of references to each array is compared with what it was when it was made.
    """

    def __init__(self, step):
        self._fill(step)
        self.given, self.gradients = zip(*self.grads, strict=True) if self.grads else ((), ())
        self.watched += self.gradients
        self.of, self.nodes, self.pieces = zip(*self.tensors, strict=True) if self.tensors else ((), (), ())
        self.tensors = None
        self.counts = list(map(sys.getrefcount, self.watched))  # with a leaf's reference to its gradient
        self.least = self._count()

    def _fill(self, step):
        plan, program = step.plan, step.program
        sources = {var: source for source, var in program.inputs.items()}
        ends = {var: source for source, var in program.commits}
        self.changed = set(map(id, step.changed))
        self.tensors, self.grads, self.watched, self.read = [], [], [], []
        self.handed = False  # whether the leaves have the gradients that are written here
        arrays = self.arrays = {}
        for name, var in step.written.memory.items():
            if var.const is not None:
                arrays[name] = var.const
            elif var in plan.groups:
                arrays[name] = flat = np.empty(var.shape, var.dtype)
                self.watched.append(flat)
                start = 0
                for x in plan.groups[var]:
                    piece = flat[start : start + x.size]
                    piece = piece.reshape(x.shape[::-1]).T if x in plan.turned else piece.reshape(x.shape)
                    if x in sources or x in ends:  # else what is only computed with
                        self._take(sources.get(x) or ends[x], piece)
                    start += x.size
            else:
                arrays[name] = self._bind(plan, sources.get(var) or plan.homes[var], var)
        before = [sys.getrefcount(x) for x in self.read]
        self.run = step.namespace["build"](arrays | step.written.constants)
        self.lends = [(id(x), sys.getrefcount(x) - n + 3) for x, n in zip(self.read, before, strict=True)]
        for key, n in self.lends:
            _lent[key] += n
        self.leaves = [t._node for t in step.changed if t._node is not None]
        line = next((var.made.line for _, var in program.commits if var.made is not None), ("", 0))
        self.where = f"{line[0]}:{line[1]}, in a compiled step"
        self.hand_over()

    def __del__(self):
        for key, n in getattr(self, "lends", ()):
            _lent[key] -= n

    def _bind(self, plan, source, var):
        """The array for one state or gradient: new memory for what is changed, the tensor's own for what is read."""
        if source.kind == "grad" or id(source.it) in self.changed:
            piece = np.empty(var.shape, var.dtype)
            self._take(source, piece)
            return piece
        tensor = source.it
        order = "F" if var in plan.columns else "C"
        if not (isinstance(tensor._data, np.ndarray) and tensor._data.flags[f"{order}_CONTIGUOUS"]):
            tensor._data = np.array(tensor._data, order=order)
        self.tensors.append((tensor, tensor._node, tensor._data))
        self.read.append(tensor._data)
        return tensor._data

    def _take(self, source, piece):
        """Makes `piece` the memory of a tensor, or of a leaf's gradient."""
        it = source.it
        if source.kind == "tensor":
            np.copyto(piece, it._data)
            it._data = piece
            self.tensors.append((it, it._node, piece))
        else:
            if it.grad is not None and it.grad.shape == piece.shape:
                np.copyto(piece, it.grad._data)
            gradient = wrap(piece)
            self.grads.append((it, gradient))
        self.watched.append(piece)

    def holds(self):
        """Whether the memory is still that of its tensors, and nobody else sees what will change."""
        # With a leaf that lost its gradient to somebody, the number of references is the same.
        self.handed = all(map(is_, map(GRAD_OF, self.given), self.gradients))
        if (
            not (self.handed and list(map(sys.getrefcount, self.watched)) == self.counts)
            and self._count() != self.least
        ):
            return False
        of = self.of
        return all(map(is_, map(DATA_OF, of), self.pieces)) and all(map(is_, map(NODE_OF, of), self.nodes))

    def _count(self):
        """The references to each array, but for those of other steps that read it, and of leaves to their gradients."""
        counts = map(sys.getrefcount, self.watched)
        counts = [n - _lent[id(x)] for n, x in zip(counts, self.watched, strict=True)]
        held = [leaf.grad is gradient for leaf, gradient in self.grads]
        return [n - h for n, h in zip(counts, [0] * (len(counts) - len(held)) + held, strict=True)]

    def hand_over(self):
        """Tells leaves of their gradients, and that their values changed."""
        if not self.handed:
            for leaf, gradient in self.grads:
                leaf.grad = gradient
        if self.leaves:
            mark_changed(self.leaves, self.where)
