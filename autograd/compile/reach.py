"""What a function can reach: its variables, and what hangs on them. A program is valid while these are what they were.

Followed are closures, globals that the code names, defaults, attributes, and the entries of dicts, lists and tuples of
up to `LONG` entries; not modules, classes, functions of this package, nor the inside of arrays. Numbers, strings and
truths among them are constants of a program: one that changes makes a new program.
"""

import contextlib
import dis
import functools
import random
import sys
import types
from collections import deque

import numpy as np

from .. import graph
from ..graph import Noted
from ..tensor import Tensor

__all__ = ["SCALARS", "Reach", "same"]

LONG = 1000  # entries; a longer container is taken to be data
SCALARS = (int, float, complex, bool, str, bytes, type(None), np.generic, np.dtype)
PACKAGE = __name__.partition(".")[0]
KNOWN = {PACKAGE, "numpy", "builtins", *sys.stdlib_module_names} - {"__main__"}  # whose classes are not looked into


class Reach:
    """A walk from a function (and arguments that are no arrays), and what it met.

    checks:  the (holder, key, value) triples with `holder[key] is value`: attributes, entries, variables of closures.
    lengths: the (holder, how many entries) pairs. An attribute that shadows its class's (`training`) is one more.
    """

    def __init__(self, roots):
        self.checks, self.lengths = [], []
        self.noted = [], []  # the same, of objects that count their changes
        self.keys = {}  # id of a dict -> its keys
        self.remembered = []  # (name, tensor): of an optimizer's state
        self.generators = {}  # id -> (generator, its state, its name)
        self.memories = set()  # ids of dicts in which optimizers remember, by their parameters
        self.words = set()  # names and strings in the code of functions that are not this package's
        self.names = {}  # id of a tensor -> its name
        self.holders = {}  # id -> name; keeps what was walked
        for generator, called in ((_global, "numpy.random"), (random, "random"), *graph.generators):
            self.generators[id(generator)] = generator, _state(generator), called
        self.own = list(graph.generators)
        stack, self._kept = [(name, x) for name, x in reversed(roots)], []
        while stack:
            stack.extend(reversed(list(self._visit(*stack.pop()))))
        self.names |= {id(x): name for name, x in self.remembered}
        tensors = {id(x): x for x in (*self.holders_of(Tensor), *(x for _, x in self.remembered))}
        self.nodes = [(x, x._node) for x in tensors.values()]

    def _visit(self, name, x):
        """Notes `x`, and yields the (name, object) pairs of what hangs on it."""
        if (
            isinstance(x, (*SCALARS, np.ndarray, type, types.ModuleType, types.BuiltinFunctionType))
            or id(x) in self.holders
        ):
            return
        self.holders[id(x)] = name
        self._kept.append(x)
        if isinstance(x, Tensor):
            self.names[id(x)] = name
        elif isinstance(x, (np.random.Generator, np.random.RandomState, random.Random)):
            self.generators[id(x)] = x, _state(x), name
        elif isinstance(x, types.MethodType):
            yield _self(name), x.__self__
            yield name, x.__func__
        elif getattr(type(x), "compiles", False):
            yield name, x.f
        elif isinstance(x, types.FunctionType):
            yield from self._function(name, x)
        elif isinstance(x, (staticmethod, classmethod, property)):
            parts = (x.fget, x.fset) if isinstance(x, property) else (x.__func__,)
            yield from ((name, part) for part in parts if part is not None)
        elif isinstance(x, (dict, types.MappingProxyType)):
            told = [(f"{name}.{self._spelled(key)}", key) for key in x]
            yield from self._entries(x, told, by_tensor=id(x) in self.memories)
        elif isinstance(x, (set, frozenset)):
            self.lengths.append((x, len(x)))
            yield from ((name, it) for it in x if len(x) <= LONG)
        elif isinstance(x, (list, tuple, deque)):
            yield from self._entries(x, [(f"{name}.{i}", i) for i in range(len(x))] if len(x) <= LONG else [])
        else:
            yield from self._object(name, x)

    def _object(self, name, x):
        """What hangs on any other object: its attributes, and what its class's own code may look up."""
        if isinstance(x, functools.partial):
            yield from ((name, part) for part in (x.func, x.args, x.keywords))
        remembers = getattr(type(x), "remembers", None)
        if remembers is not None:
            self.memories.add(id(getattr(x, remembers)))
        if hasattr(x, "__dict__"):
            yield from self._entries(vars(x), [(f"{name}.{key}", key) for key in vars(x)], noted=isinstance(x, Noted))
        for cls in type(x).__mro__:
            if cls.__module__.partition(".")[0] in KNOWN:
                continue
            slots = cls.__dict__.get("__slots__", ())
            slots = [key for key in ((slots,) if isinstance(slots, str) else slots) if not key.startswith("__")]
            yield from self._entries(_Slots(x), [(f"{name}.{key}", key) for key in slots], whole=False)
            if id(cls) not in self.holders:
                self.holders[id(cls)] = cls.__name__
                own = {key: it for key, it in vars(cls).items() if not key.startswith("__") or callable(it)}
                yield from self._entries(vars(cls), [(f"{cls.__name__}.{key}", key) for key in own], whole=False)

    def _function(self, name, f):
        for variable, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
            yield from self._entries(_Cell(cell), [(variable, 0)])
        package = f.__globals__.get("__name__", "").partition(".")[0] == PACKAGE
        named = [] if package else [key for key in _globals_of(f.__code__) if key in f.__globals__]
        if not package:
            self.words |= _words(f.__code__)
        if f.__dict__:
            yield from self._entries(f.__dict__, [(f"{name}.{key}", key) for key in f.__dict__])
        yield from self._entries(f.__globals__, [(key, key) for key in named], whole=False)
        yield name, f.__defaults__
        yield name, f.__kwdefaults__

    def _entries(self, holder, named, whole=True, noted=False, by_tensor=False):
        """Notes what `holder` has under the keys of (name, key) pairs, and yields the (name, object) pairs.

        by_tensor: it is what an optimizer remembers of its parameters, which are taken to stay the same tensors.
        """
        checks, lengths = self.noted if noted else (self.checks, self.lengths)
        if whole and not isinstance(holder, _Cell):
            self._kept.append(holder)
            lengths.append((holder, len(holder)))
            self.keys[id(holder)] = set(holder) if type(holder) is dict else ()
        if len(named) > LONG:
            return
        found = []
        for name, key in named:
            with contextlib.suppress(ValueError):  # a variable that is not set yet
                found.append((name, key, holder[key]))
        found.sort(key=lambda it: not isinstance(it[2], Noted))  # a model names its parameters
        for name, key, value in found:
            if not isinstance(value, types.ModuleType):
                if not by_tensor:
                    checks.append((holder, key, value))
                    yield name, value
                elif isinstance(value, dict):
                    self._kept.append(value)
                    self.lengths.append((value, len(value)))
                    self.keys[id(value)] = set(value)
                    self.remembered += [(f"{name}.{k}", x) for k, x in value.items() if isinstance(x, Tensor)]

    def _spelled(self, key):
        """A key as part of a name: a tensor's is its own name."""
        return str(key) if isinstance(key, (str, int)) else self.names.get(id(key), type(key).__name__)

    def holders_of(self, kind):
        """The objects of a class that were met."""
        return (x for x in self._kept if isinstance(x, kind))

    # ----- after a run -----

    def changes(self, apart):
        """What a run changed: (an error's text or None, whether something was set up that later runs find).

        apart: the (id of the holder, key) pairs that may change.
        """
        for generator, state, name in self.generators.values():
            if _comparable(_state(generator)) != _comparable(state):
                return f"draws from the random generator `{name}`", True
        if graph.generators != self.own:
            return "draws from the random generator `mytorch's own`", True
        setup = False
        for holder, n in self.lengths + self.noted[1]:
            if len(holder) != n:
                if isinstance(holder, list):
                    return f"appends to the list `{self._name(holder)}`", True
                setup = True
        for holder, key, value in self.checks + self.noted[0]:
            try:
                now = holder[key]
            except (KeyError, IndexError, ValueError):
                return f"deletes `{self._name(holder, key)}`", True
            if now is value or (id(holder), key) in apart or (isinstance(value, SCALARS) and same(now, value)):
                continue
            if value is not None:
                return f"changes `{self._name(holder, key)}`", True
            setup = True
        return None, setup

    def restore(self):
        """Puts everything back that a run has changed: entries, lengths of lists and dicts, states of generators."""
        for holder, n in self.lengths + self.noted[1]:
            if type(holder) is list:
                del holder[n:]
            elif type(holder) is dict and len(holder) > n:
                for key in [key for key in holder if key not in self.keys[id(holder)]]:
                    del holder[key]
        for holder, key, value in self.checks + self.noted[0]:
            if type(holder) in (dict, list, _Cell, _Slots):
                holder[key] = value
        for generator, state, _ in self.generators.values():
            _set_state(generator, state)

    def _name(self, holder, key=None):
        for x in self._kept:
            if x is holder or getattr(x, "__dict__", None) is holder:
                name = self.holders.get(id(x), "")
                return f"{name}.{self._spelled(key)}".strip(".") if key is not None else name
        return self._spelled(key)


class _Cell:
    """A variable of a closure as a holder of one entry."""

    __slots__ = ("cell",)

    def __init__(self, cell):
        self.cell = cell

    def __getitem__(self, key):
        return self.cell.cell_contents

    def __setitem__(self, key, value):
        self.cell.cell_contents = value

    def __len__(self):
        return 1


class _Slots:
    """An object with slots as a holder of its entries."""

    __slots__ = ("it",)

    def __init__(self, it):
        self.it = it

    def __getitem__(self, key):
        try:
            return getattr(self.it, key)
        except AttributeError as error:
            raise ValueError("not set yet") from error

    def __setitem__(self, key, value):
        setattr(self.it, key, value)


def _self(name):
    return name.rpartition(".")[0] or "self"


def _globals_of(code):
    """The names that code, and the functions defined in it, may look up."""
    names = [i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL")]
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names += _globals_of(constant)
    return dict.fromkeys(names)


def _words(code):
    """The attributes and strings that code, and the functions defined in it, name."""
    words = {*code.co_names, *(x for x in code.co_consts if isinstance(x, str))}
    return words.union(*(_words(x) for x in code.co_consts if isinstance(x, types.CodeType)))


def _state(generator):
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.get_state() if isinstance(generator, np.random.RandomState) else generator.getstate()


def _comparable(state):
    """A generator's state, dicts and tuples with arrays in them, as what == compares."""
    if isinstance(state, np.ndarray):
        return state.tobytes()
    if isinstance(state, dict):
        return {key: _comparable(x) for key, x in state.items()}
    return tuple(map(_comparable, state)) if isinstance(state, tuple) and len(state) < 10 else state


def _set_state(generator, state):
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.setstate(state)


_global = np.random.mtrand._rand  # what the functions of numpy.random draw from


def same(x, y):
    """Whether two objects are one, or equal scalars or tuples of these: -0.0 is not 0.0, and nan is nan."""
    if x is y:
        return True
    if type(x) is not type(y):
        return False
    if isinstance(x, (float, complex, np.inexact)):
        return repr(x) == repr(y)
    if isinstance(x, tuple):
        return len(x) == len(y) and all(map(same, x, y))
    return isinstance(x, SCALARS) and bool(x == y)
