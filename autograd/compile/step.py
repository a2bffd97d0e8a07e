"""Step: a program with the conditions under which it may run, and its calls."""

import builtins
from operator import attrgetter, getitem, is_

import numpy as np

from ..graph import latest, mode, wrap
from ..tensor import Tensor
from .holders import SCALARS, same
from .memory import Memory
from .plan import Plan
from .program import Program, Source
from .rewrite import rewrite
from .run import _kind, _name
from .source import write

__all__ = ["Step"]

SHAPE_OF, DTYPE_OF, NODE_OF = map(attrgetter, ("shape", "dtype", "_node"))
READ_ELSEWHERE = {"lr", "param_groups"}  # in the user's own code: then a live number is a constant there


class Step:
    """A program, the conditions under which it may run, and how its ends meet Python's."""

    def __init__(self, run, form):
        tape, leaves = run.tape, run.leaves
        self.f, self.form, self.reach, self.enabled = run.f, form, run.reach, run.enabled
        self.name = _name(run.f)
        self.kinds, self.refill = run.kinds, run.refill
        self.keys = [(kind := _kind(x), *_constants(kind, x)) for x in leaves]
        apart = tape.numbers if not READ_ELSEWHERE & self.reach.words else ()
        self.guards = Guards(self.reach.checks, self.reach.lengths, apart)
        self.noted, self.changes = Guards(*self.reach.noted, apart), latest.attributes
        looked_at = [(leaf, grad is not None) for leaf, grad, looked in tape.grads.values() if looked]
        number = {id(_leaf(x)): i for i, x in enumerate(leaves) if isinstance(x, Tensor) and _leaf(x) is not None}
        self.looked_at = [(leaf, had) for leaf, had in looked_at if id(leaf) not in number]
        self.looked_at_arguments = [(number[id(leaf)], had) for leaf, had in looked_at if id(leaf) in number]
        self.twice = _twice(leaves)
        plain = all(type(x) is np.ndarray for x in leaves) and not looked_at
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
        had = {t: (data.shape, data.dtype, tape.nodes[id(t)]) for t, data in tape.states.values()}
        self.tensors = [(t, *had[t]) for t in tensors | dict.fromkeys(self.changed)]
        inside = {t for t, *_ in self.tensors} | {x for x in leaves if isinstance(x, Tensor)}
        self.asked = [(t, *what) for t, what in had.items() if t not in inside]  # for their shape, say
        others = [(t, node) for t, node in self.reach.nodes if t not in inside]
        self.others, self.nodes = [t for t, _ in others], [node for _, node in others]
        self.plan = Plan(self.program, run.exact, self.of_argument)
        self.named = _Names(self)
        self.written = write(self.plan, self.named)
        self.source, self.memory = self.written.source, None
        self.one = [kind for kind, _ in self.kinds] == ["made"] and run.single and not (self.outer or self.cleared)
        self.getters = [self._getter(source) for source in self.written.sources]
        self.namespace = {"__name__": "compiled"}
        exec(builtins.compile(self.source, f"<compiled {_name(self.f)}>", "exec"), self.namespace)
        self.gives_way = self.namespace["Changed"]
        self.generators = [i for i, key in enumerate(self.keys) if key[0] == "generator"]

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
            elif key[0] != (kind := _kind(x)) or not all(map(same, _constants(kind, x), key[1:])):
                return False
        if self.twice != _twice(leaves):
            return False
        if not all((leaves[i].grad is not None) == had for i, had in self.looked_at_arguments):
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
                and not self.asked
                and latest.attributes == self.changes
                and list(map(type, leaves)) == types
                and list(map(SHAPE_OF, leaves)) == shapes
                and list(map(DTYPE_OF, leaves)) == dtypes
                and all(map(is_, map(getitem, guards.holders, guards.keys), guards.values))
                and list(map(len, guards.containers)) == guards.lengths
                and all(map(is_, map(NODE_OF, self.others), self.nodes))
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
        if not all(map(is_, map(NODE_OF, self.others), self.nodes)):
            return False
        if not all((t.shape, t.dtype, t._node) == (shape, dtype, node) for t, shape, dtype, node in self.asked):
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
        states = [leaves[i].bit_generator.state for i in self.generators]
        try:
            answers = self.memory.run(*[get(leaves) for get in self.getters])
        except self.gives_way:
            for i, state in zip(self.generators, states, strict=True):  # the function will draw again
                leaves[i].bit_generator.state = state
            raise
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
        if kind == "copy":
            return it.copy()
        if kind == "argument":
            return leaves[it]
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
            return lambda leaves: np.asarray(leaves[i]._data, order="C")
        if source.kind == "grad":
            return lambda leaves: np.asarray(leaves[i].grad._data, order="C")
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
                    if now is not value and not (isinstance(value, SCALARS) and same(now, value)):
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


def _leaf(x):
    """Where gradients of a tensor arrive, a frozen one's too; None if they never did."""
    return getattr(x, "_leaf", None)


def _twice(leaves):
    """Which Tensors among the arguments are one: for each its first number."""
    first = {}
    return [first.setdefault(id(x), i) for i, x in enumerate(leaves) if isinstance(x, Tensor)]


def _arguments(leaves, sources):
    """{source: the number of the argument} for sources that are arguments, and so another object in every call."""
    owners = {}
    for i, x in enumerate(leaves):
        if isinstance(x, Tensor):
            owners[id(x)] = i
            if _leaf(x) is not None:
                owners[id(_leaf(x))] = i
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
