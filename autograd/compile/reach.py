"""What a function can reach: its variables, and what hangs on them. A program is valid while these are what they were.

Followed are closures, globals that the code names, defaults, attributes, and the entries of dicts, lists, tuples and
sets of up to `LONG` entries; not modules, nor the classes of numpy, the standard library and this package. Numbers,
strings and truths among them are constants of a program: one that changes makes a new program.
"""

import contextlib
import copy
import dis
import functools
import random
import sys
import types
from collections import deque
from operator import is_

import numpy as np

from .. import graph
from ..graph import Noted
from ..tensor import Tensor
from .holders import GLOBAL, SCALARS, Attributes, Cell, Members, Own, comparable, digest, same, set_state, state_of

__all__ = ["Reach"]

LONG = 1000  # entries; a longer container is taken to be data
PACKAGE = __name__.partition(".")[0]
KNOWN = {PACKAGE, "numpy", "builtins", *sys.stdlib_module_names} - {"__main__"}  # whose classes are not looked into
CONTAINERS = {Tensor, dict, list, tuple, set, frozenset, deque, types.NoneType}
# Where code names one of these, it may look up any attribute:
DYNAMIC = {"getattr", "vars", "__dict__", "attrgetter", "methodcaller", "asdict", "astuple", "fields", "eval", "exec"}
IMPLICIT = {"__dict__", "__weakref__", "__doc__", "__module__", "__slots__", "__repr__"}  # not what a computation runs
CONSTRUCTORS = {"__init__", "__new__"}
DIGESTED, COPIED = 1 << 26, 1 << 20  # bytes of an array up to which its content is looked at, and can be put back


class Reach:
    """A walk from a function (and arguments that are no arrays), and what it met.

    checks:  the (holder, key, value) triples with `holder[key] is value`: attributes, entries, variables of closures.
    lengths: the (holder, how many entries) pairs. An attribute that shadows its class's (`training`) is one more.

    Attributes of the user's own objects and classes count where some code that was met names them: what `step` never
    names, another method may change. This package's objects, and those of classes derived from its, count whole.
    """

    def __init__(self, roots):
        self.checks, self.lengths = [], []
        self.noted = [], []  # the same, of objects that count their changes
        self.contents = []  # (a container, a copy of it)
        self.arrays = []  # (array, digest of its content, a copy if it is small, its name)
        self.remembered = []  # (name, tensor): of an optimizer's state
        self.generators = {}  # id -> (generator, its state, its name)
        self.memories = set()  # ids of dicts in which optimizers remember, by their parameters
        self.words = set()  # names and strings in the code of functions that are not this package's
        self.movers = set()  # ids of an optimizer's own methods: what they read of its options is that of the call
        self.waiting = {}  # name -> what hangs on objects under a name that no code was found to name yet
        self.names = {}  # id of a tensor -> its name
        self.holders = {}  # id -> name; keeps what was walked
        for generator, called in ((GLOBAL, "numpy.random"), (random, "random"), *graph.generators):
            self.generators[id(generator)] = generator, state_of(generator), called
        self.own = list(graph.generators)
        self.stack, self._kept = [(name, x) for name, x in reversed(roots)], []
        while self.stack:
            self.stack.extend(reversed(list(self._visit(*self.stack.pop()))))
        self.names |= {id(x): name for name, x in self.remembered}
        tensors = {id(x): x for x in (*self.holders_of(Tensor), *(x for _, x in self.remembered))}
        self.nodes = [(x, x._node) for x in tensors.values()]

    def _visit(self, name, x):
        """Notes `x`, and yields the (name, object) pairs of what hangs on it."""
        if isinstance(x, (*SCALARS, types.ModuleType)) or id(x) in self.holders:
            return
        self.holders[id(x)] = name
        self._kept.append(x)
        if isinstance(x, np.ndarray):
            if x.nbytes <= DIGESTED:
                self.arrays.append((x, digest(x), x.copy() if x.nbytes <= COPIED else None, name))
        elif isinstance(x, type):
            yield from self._class(x)
        elif isinstance(x, types.BuiltinFunctionType):
            yield name, x.__self__
        elif isinstance(x, (np.random.Generator, np.random.RandomState, random.Random)):
            self.generators[id(x)] = x, state_of(x), name
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
        elif isinstance(x, functools.partial):
            yield from ((name, part) for part in (x.func, x.args, x.keywords))
        else:
            yield from self._container(name, x)

    def _container(self, name, x):
        """What is in a container; and what hangs on any other object, or one of a class of the user's."""
        if isinstance(x, Tensor):
            self.names[id(x)] = name
        elif isinstance(x, (dict, types.MappingProxyType)):
            told = [(f"{name}.{self._spelled(key)}", key) for key in x]
            yield from self._entries(x, told, by_tensor=id(x) in self.memories)
        elif isinstance(x, (set, frozenset)):
            yield from self._entries(Members(x), [(name, it) for it in x])
        elif isinstance(x, (list, tuple, deque)):
            yield from self._entries(x, [(f"{name}.{i}", i) for i in range(len(x))] if len(x) <= LONG else [])
        if type(x) not in CONTAINERS and not isinstance(x, types.MappingProxyType):
            yield from self._object(name, x)

    def _object(self, name, x):
        """What hangs on an object: its attributes, and what its class has."""
        remembers = getattr(type(x), "remembers", None)
        if remembers is not None:
            self.memories.add(id(getattr(x, remembers)))
        whole = any(_package(cls) == PACKAGE for cls in type(x).__mro__)
        if hasattr(x, "__dict__"):
            told = [(f"{name}.{key}", key) for key in vars(x)]
            if whole:
                yield from self._entries(vars(x), told, noted=isinstance(x, Noted))
            else:
                self._named(Attributes(x), told)
        for cls in type(x).__mro__:
            if _package(cls) not in KNOWN:
                slots = cls.__dict__.get("__slots__", ())
                slots = [_mangled(cls, key) for key in ((slots,) if isinstance(slots, str) else slots)]
                self._named(Attributes(x), [(f"{name}.{key}", key) for key in slots if key not in IMPLICIT])
        yield type(x).__name__, type(x)

    def _class(self, cls):
        """What a class of the user's, and those it is derived from, have under names that some code names."""
        for base in cls.__mro__:
            if _package(base) in KNOWN or (base is not cls and id(base) in self.holders):
                continue
            self.holders[id(base)] = base.__name__
            self._kept.append(base)
            if hasattr(base, "remembers"):
                self.movers |= set(map(id, vars(base).values()))
            known = {key for other in cls.__mro__ if _package(other) == PACKAGE for key in vars(other)}
            holder = Own(base)
            for key in vars(base):
                entry = f"{base.__name__}.{key}", key
                if key in CONSTRUCTORS:  # they run where the class itself is named
                    self._named(holder, [entry], base.__name__)
                elif key in known or (key.startswith("__") and key not in IMPLICIT and callable(vars(base)[key])):
                    yield from self._entries(holder, [entry], whole=False)  # this package names it, or Python itself
                elif key not in IMPLICIT:
                    self._named(holder, [entry])

    def _named(self, holder, told, word=None):
        """Has entries wait until some code names them, or `word`."""
        for name, key in told:
            self.waiting.setdefault(word or key, []).append((holder, name, key))
        self._let_go(self.words)

    def _met(self, words):
        """Notes what some code names, and lets go what waited for that."""
        new = words - self.words
        self.words |= new
        self._let_go(new)

    def _let_go(self, words):
        """Goes on to what waits for one of some words; of what they name models come first, as in `_entries`."""
        found = []
        for word in [word for word in self.waiting if word in words or DYNAMIC & words]:
            for holder, name, key in self.waiting.pop(word):
                found += self._entries(holder, [(name, key)], whole=False)
        self.stack += sorted(found, key=lambda it: isinstance(it[1], Noted))  # the last one is visited first

    def _function(self, name, f):
        for variable, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
            yield from self._entries(Cell(cell), [(variable, 0)])
        package = f.__globals__.get("__name__", "").partition(".")[0] == PACKAGE
        if package:
            yield name, f.__defaults__
            yield name, f.__kwdefaults__
            return
        self._met(_words(f.__code__) - ({"lr"} if id(f) in self.movers else set()))
        if f.__dict__:
            yield from self._entries(f.__dict__, [(f"{name}.{key}", key) for key in f.__dict__])
        named = [(key, key) for key in _globals_of(f.__code__) if key in f.__globals__]
        yield from self._entries(f.__globals__, named, whole=False)
        yield from self._entries(Attributes(f), [(name, "__defaults__"), (name, "__kwdefaults__")], whole=False)

    def _entries(self, holder, named, whole=True, noted=False, by_tensor=False):
        """Notes what `holder` has under the keys of (name, key) pairs, and yields the (name, object) pairs.

        by_tensor: it is what an optimizer remembers of its parameters, which are taken to stay the same tensors.
        """
        checks, lengths = self.noted if noted else (self.checks, self.lengths)
        if whole and not isinstance(holder, Cell):
            self._kept.append(holder)
            lengths.append((holder, len(holder)))
            it = _container(holder)
            if isinstance(it, (dict, list, set, deque)):
                self.contents.append((it, copy.copy(it)))
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
                    self.contents.append((value, value.copy()))
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
            if comparable(state_of(generator)) != comparable(state):
                return f"draws from the random generator `{name}`", True
        if graph.generators != self.own:
            return "draws from the random generator `mytorch's own`", True
        for array, before, _, name in self.arrays:
            if digest(array) != before:
                return f"changes the array `{name}`", True
        setup = False
        for holder, n in self.lengths + self.noted[1]:
            if len(holder) != n:
                it = _container(holder)
                if isinstance(it, (list, deque, set)):
                    how = "appends to" if len(it) > n else "takes from"
                    return f"{how} the {type(it).__name__} `{self._name(it)}`", True
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
        """Puts everything back that a run has changed: containers, attributes, arrays, states of generators."""
        for it, before in self.contents:
            if len(it) == len(before) and all(map(is_, _flat(it), _flat(before))):
                continue
            if isinstance(it, list):
                it[:] = before
                continue
            it.clear()
            it.extend(before) if isinstance(it, deque) else it.update(before)
        for holder, key, value in self.checks + self.noted[0]:
            if isinstance(holder, (dict, list, Cell, Attributes)):
                holder[key] = value
        for array, before, kept, _ in self.arrays:
            if kept is not None and digest(array) != before:
                array[...] = kept
        for generator, state, _ in self.generators.values():
            set_state(generator, state)

    def _name(self, holder, key=None):
        it = getattr(holder, "it", holder)
        for x in self._kept:
            if x is it or getattr(x, "__dict__", None) is it:
                name = self.holders.get(id(x), "")
                return f"{name}.{self._spelled(key)}".strip(".") if key is not None else name
        return self._spelled(key)


def _container(holder):
    """The container that a holder of entries stands for."""
    return holder.it if isinstance(holder, Members) else holder


def _flat(container):
    """The entries of a container, and their keys."""
    return [x for pair in container.items() for x in pair] if isinstance(container, dict) else list(container)


def _package(cls):
    return cls.__module__.partition(".")[0]


def _mangled(cls, key):
    """The name under which a class keeps what its code calls `key`."""
    return f"_{cls.__name__.lstrip('_')}{key}" if key.startswith("__") and not key.endswith("__") else key


def _self(name):
    return name.rpartition(".")[0] or "self"


@functools.lru_cache(maxsize=1024)
def _globals_of(code):
    """The names that code, and the functions defined in it, may look up."""
    names = [i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL")]
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names += _globals_of(constant)
    return dict.fromkeys(names)


@functools.lru_cache(maxsize=1024)
def _words(code):
    """The attributes and strings that code, and the functions defined in it, name."""
    words = {*code.co_names, *(x for x in code.co_consts if isinstance(x, str))}
    return words.union(*(_words(x) for x in code.co_consts if isinstance(x, types.CodeType)))
