"""What a walk over a function's objects keeps of them: who holds what under which key, and what changes by itself.

A holder is asked `holder[key]`, and told `holder[key] = value` where a run is undone: dicts and lists are holders
themselves, these classes make one of everything else.
"""

import zlib

import numpy as np

# fmt: off
__all__ = [
    "GLOBAL", "SCALARS", "Attributes", "Cell", "Members", "Own", "comparable", "digest", "same", "set_state",
    "state_of",
]
# fmt: on

SCALARS = (int, float, complex, bool, str, bytes, type(None), np.generic, np.dtype)
GLOBAL = np.random.mtrand._rand  # what the functions of numpy.random draw from

# ----- holders -----


class Cell:
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


class Attributes:
    """An object as a holder of its attributes, those in slots too."""

    __slots__ = ("it",)

    def __init__(self, it):
        self.it = it

    def __getitem__(self, key):
        try:
            return getattr(self.it, key)
        except AttributeError as error:
            raise ValueError("not set yet") from error

    def __setitem__(self, key, value):
        if getattr(self.it, key, None) is not value:
            setattr(self.it, key, value)


class Own(Attributes):
    """A class as a holder of what is defined in it, and not in those it is derived from."""

    __slots__ = ()

    def __getitem__(self, key):
        return vars(self.it)[key]

    def __setitem__(self, key, value):
        if vars(self.it).get(key) is not value:
            setattr(self.it, key, value)


class Members:
    """A set as a holder of its members."""

    __slots__ = ("it",)

    def __init__(self, it):
        self.it = it

    def __getitem__(self, key):
        if key not in self.it:
            raise KeyError(key)
        return key

    def __len__(self):
        return len(self.it)


# ----- whether something is what it was -----


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


def digest(x):
    """What tells whether an array has changed."""
    return None if x.dtype.hasobject else zlib.adler32(np.ascontiguousarray(x).view(np.uint8))


# ----- random generators: numpy's new and old ones, and Python's -----


def state_of(generator):
    """Where a generator stands."""
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.get_state() if isinstance(generator, np.random.RandomState) else generator.getstate()


def comparable(state):
    """A generator's state, dicts and tuples with arrays in them, as what == compares."""
    if isinstance(state, np.ndarray):
        return state.tobytes()
    if isinstance(state, dict):
        return {key: comparable(x) for key, x in state.items()}
    return tuple(map(comparable, state)) if isinstance(state, tuple) and len(state) < 10 else state


def set_state(generator, state):
    """Puts a generator back to where it stood."""
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.setstate(state)
