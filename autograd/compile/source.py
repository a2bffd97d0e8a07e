"""A planned program as numpy code: a module's text with one function, `build(memory)`, that gives the step."""

import math
import re
from os.path import basename

import numpy as np

from .program import FILLS, Var
from .rewrite import _once

__all__ = ["write"]

WIDTH = 64  # where comments start

HEAD = '''import numpy as np


class Changed(Exception):
    """A decision that this program was made from would be taken otherwise for these values."""


def buffer(nbytes):
    """So many bytes that start at a cache line."""
    memory = np.empty(nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + nbytes]
'''


class Writer:
    """The names of a plan's values, and its statements as text."""

    def __init__(self, plan, names):
        self.plan, self.program = plan, plan.program
        self.names, self.pieces, self.parts = {}, {}, {}  # Var -> name; (offset, shape, dtype) -> name
        self.taken = {"np", "memory", "arena", "step", "build", "buffer", "Changed"}
        self.memory = {}  # key -> Var: what `build` is given
        self.constants = {}  # name -> a function or array that the text cannot spell
        self.given = names
        self.build, self.run = [], []

    def text(self):
        self._name_inputs()
        plan = self.plan
        if plan.size:
            self.build.append(f"arena = buffer({plan.size})")
        first = next((i for i, s in enumerate(plan.pure) if s.strict), len(plan.pure))
        self._statements(plan.pure[:first], "")
        if first < len(plan.pure):
            at = len(self.run)
            self._statements(plan.pure[first:], " " * 8)
            if len(self.run) > at:
                self.run[at:at] = ["try:", '    with np.errstate(divide="raise", over="raise", invalid="raise"):']
                self.run += ["except FloatingPointError as singular:", "    raise Changed(singular) from None"]
        self._statements(plan.tail, "")
        answers = ", ".join(map(self.name, self.program.outputs))
        self.run.append(f"return ({answers}{',' * (len(self.program.outputs) == 1)})")
        lines = [HEAD, "", "def build(memory):"]
        lines += [f"    {line}" for line in self.build]
        lines += ["", f"    def step({', '.join(self.arguments)}):"]
        lines += [f"        {line}" for line in self.run]
        lines += ["", "    return step", ""]
        return "\n".join(lines)

    # ----- names -----

    def _unique(self, wanted):
        name = re.sub(r"\W", "_", wanted) or "v"
        name, n = (f"_{name}" if name[0].isdigit() else name), 1
        while (tried := name if n == 1 else f"{name}_{n}") in self.taken:
            n += 1
        self.taken.add(tried)
        return tried

    def _name_inputs(self):
        plan, self.arguments, self.sources = self.plan, [], []
        for flat in plan.groups:
            if plan.homes.get(flat) == "group":
                self._from_memory(flat, "flat")
        for source, var in self.program.inputs.items():
            if var in self.names:
                continue
            if source.kind in ("tensor", "grad") and source not in self.given.runtime:
                if var in plan.view:
                    self.name(var, self.given[source])
                else:
                    self._from_memory(var, self.given[source])
            else:
                self.names[var] = self._unique(self.given[source])
                self.arguments.append(self.names[var])
                self.sources.append(source)

    def _from_memory(self, var, wanted, what=""):
        name = self.names[var] = self._unique(wanted)
        self.memory[name] = var
        self.build.append(f'{name} = memory["{name}"]')
        return name

    def name(self, var, wanted=None, short=None):
        """The name of a value; a static one is defined in `build` when it is first met."""
        if var in self.names:
            return self.names[var]
        plan = self.plan
        if var.const is not None:
            return self._from_memory(var, "constant")
        home = plan.homes.get(var)
        if type(home) is tuple and home[0] == "over":
            self.names[var] = self.name(home[1])
        elif home is not None:
            return self._from_memory(var, wanted or self.given[home])
        elif var in plan.view:
            self._view(var, wanted)
        elif var in plan.arena:
            self.names[var] = self._piece(plan.arena[var], var, short)
        else:
            self.names[var] = self._unique(wanted or f"v{len(self.names)}")
        return self.names[var]

    def piece(self, var, text):
        """A part of an array, by what follows its name; of a static one the name of what `build` makes."""
        name = self.name(var)
        text = name + text
        if not self.static(var):
            return text
        if text not in self.parts:
            self.parts[text] = self._unique(f"{name}_part")
            self.build.append(f"{self.parts[text]} = {text}")
        return self.parts[text]

    def _piece(self, start, var, short=None):
        """The name of a piece of the arena, one for all values that stand there one after the other.

        short: the number of elements of a block, for a value of which only one block is kept at a time.
        """
        key = start, var.shape, var.dtype, short
        if key not in self.pieces:
            name = self.pieces[key] = self._unique(f"v{len(self.names)}")
            shape = f".reshape({var.shape})" if len(var.shape) != 1 and not short else ""
            size = min(short, var.size) * var.dtype.itemsize if short else var.nbytes
            self.build.append(f"{name} = arena[{start}:{start + size}].view(np.{var.dtype}){shape}")
        return self.pieces[key]

    def static(self, var):
        """Whether a value's memory is the same in every call."""
        root = self.plan.root(var)
        return (
            root in self.plan.homes or root in self.plan.arena or root.const is not None or root in self.memory.values()
        )

    def _view(self, var, wanted):
        x, how = self.plan.view[var]
        name = self.names[var] = self._unique(wanted or f"v{len(self.names)}")
        part = type(how) is tuple
        text = f"{self.name(x)}[{how[0]}:{how[1]}].reshape({var.shape})" if part else self.call(how)
        (self.build if self.static(var) else self.run).append(f"{name} = {text}")

    # ----- statements -----

    def _statements(self, statements, indent):
        runs = {id(run.statements[0]): run for run in self.plan.runs}
        skipped = {id(s) for run in self.plan.runs for s in run.statements[1:]}
        for s in statements:
            before = len(self.run)
            if id(s) in runs:
                self._blocks(runs[id(s)], len(indent))
            elif id(s) not in skipped:
                self.run += [self._told(line, s, len(indent)) for line in self._lines(s)]
            self.run[before:] = [indent + line for line in self.run[before:]]

    def _told(self, line, s, indent):
        return f"{line:{WIDTH - indent}}# {s.what}, {basename(s.line[0])}:{s.line[1]}"

    def _blocks(self, run, indent):
        """A loop over the blocks of a run's arrays."""
        first, names = run.statements[0], {}  # array -> (its name inside the loop, what it is there)
        step = run.block // max(s.out.dtype.itemsize for s in run.statements)
        outer = dict(self.names)
        for x in dict.fromkeys(x for s in run.statements for x in (*s.reads(), s.out) if x.shape):
            name = self.name(x, short=step if x in run.local else None)
            piece = f"{name}[: {first.out.size} - i]" if x in run.local else f"{name}.reshape(-1)[i : i + {step}]"
            names.setdefault(piece, (x, []))[1].append(x)
        inner = {piece: self._unique(f"{outer.get(x) or self.names[x]}_i") for piece, (x, _) in names.items()}
        blocks = self._unique("blocks")
        static = all(self.static(x) for x, _ in names.values())
        (self.build if static else self.run).append(
            f"{blocks} = [({', '.join(inner)},) for i in range(0, {first.out.size}, {step})]"
        )
        saved = {x: self.names[x] for _, xs in names.values() for x in xs}
        self.names |= {x: inner[piece] for piece, (_, xs) in names.items() for x in xs}
        self.run.append(f"for {', '.join(inner.values())}{',' * (len(inner) == 1)} in {blocks}:")
        for s in run.statements:
            line = OUT["ufunc"](self, s, self.names[s.out], self.expressions(s.args))[0]
            self.run.append("    " + self._told(line, s, indent + 4))
        self.names |= saved

    def _lines(self, s):
        """The lines of a statement, most often one."""
        if s.kind == "view" or (s.func is np.empty and s.kind == "call"):
            if not (s.kind == "view" and self.static(s.out)):
                self.name(s.out)
            return []
        if s.kind == "guard":
            x, truth = s.args
            return [f'if {"not " * truth}{self.name(x)}: raise Changed("{s.what}")']
        args = self.expressions(s.args)
        if not self.static(s.out):
            out = self.name(s.out)
            return FRESH[s.kind](self, s, out, args) if s.kind in FRESH else [f"{out} = {self.call(s)}"]
        return OUT[s.kind](self, s, self.name(s.out), args)

    def call(self, s):
        """A call as numpy's function, method or operator."""
        if s.func.__name__ == "getitem":
            return f"{self.expression(s.args[0])}[{self.index(s.args[1])}]"
        args = self.expressions(s.args)
        if s.kind == "ufunc":
            args = self.constants_of(s, args)
        args += [f"{k}={self.expression(v)}" for k, v in (s.kwargs or {}).items()]
        of_array = bool(s.args) and type(s.args[0]) is Var and not s.args[0].number
        if s.func is np.transpose and len(args) == 1 and of_array:
            return f"{args[0]}.T"
        if s.func in METHODS and of_array:  # without numpy's dispatch, 0.3 µs
            return f"{args[0]}.{METHODS[s.func]}({', '.join(args[1:])})"
        if s.kind == "draw":
            return f"{args[0]}.{s.func.__name__}({', '.join(args[1:])})"
        return f"{self.function(s)}({', '.join(args)})"

    def function(self, s):
        func, home = s.func, getattr(s.func, "__module__", None) or "numpy"
        if s.kind == "reduce":
            return f"{self._spelled(func)}.reduce"
        if getattr(func, "__self__", None).__class__ is np.ufunc:
            return f"{self._spelled(func.__self__)}.{func.__name__}"
        return self._spelled(func, home)

    def _spelled(self, func, home="numpy"):
        """A function by its name in numpy, else as a constant."""
        where = np.linalg if home.endswith("linalg") else np
        name = func.__name__
        if getattr(where, name, None) is func:
            return f"np.linalg.{name}" if where is np.linalg else f"np.{name}"
        for known, it in self.constants.items():
            if it is func:
                return known
        known = self._unique(name)
        self.constants[known] = func
        self.build.append(f'{known} = memory["{known}"]')
        return known

    # ----- expressions -----

    def expressions(self, args):
        return [self.expression(x) for x in args]

    def expression(self, x):
        if type(x) is Var:
            return self.name(x)
        if type(x) in (tuple, list):
            inside = ", ".join(map(self.expression, x)) + "," * (type(x) is tuple and len(x) == 1)
            return f"({inside})" if type(x) is tuple else f"[{inside}]"
        if type(x) is slice:
            return f"slice({', '.join(self.expression(part) for part in (x.start, x.stop, x.step))})"
        if isinstance(x, np.dtype):
            return f"np.{x}" if hasattr(np, str(x)) else f"np.dtype({str(x)!r})"
        if isinstance(x, type) and issubclass(x, np.generic):
            return f"np.{x.__name__}"
        if isinstance(x, float) and not np.isfinite(x) and not isinstance(x, np.generic):
            return f"float('{x}')"
        if (
            x is None
            or x is Ellipsis
            or (isinstance(x, (bool, int, float, complex, str)) and not isinstance(x, np.generic))
        ):
            return "..." if x is Ellipsis else repr(x)
        if isinstance(x, np.generic):
            return f"np.{x.dtype}({x.item()!r})" if np.isfinite(x) else f"np.{x.dtype}('{x.item()}')"
        name = self._unique("constant")
        self.constants[name] = x
        self.build.append(f'{name} = memory["{name}"]')
        return name

    def constants_of(self, s, args):
        """`args`, the texts of a ufunc's arguments, with its Python numbers as arrays: they take 0.3 µs less.

        A Python number takes the dtype of the array it meets, so what comes out is the same.
        """
        dtypes = {x.dtype for x in s.args if type(x) is Var}
        if len(dtypes) != 1 or any(type(x) is Var and x.number for x in s.args) or s.func in OF_TWO_KINDS:
            return args
        (dtype,), numbers = dtypes, [x for x in s.args if type(x) is not Var]
        if s.out.dtype not in (dtype, np.dtype(bool)) or not all(_holds(dtype, x) for x in numbers):
            return args
        return [text if type(x) is Var else self._constant(x, dtype) for x, text in zip(s.args, args, strict=True)]

    def _constant(self, x, dtype):
        """The name of a Python number as an array of no axes."""
        key = repr(x), dtype
        if key not in self.parts:
            self.parts[key] = self._unique(f"c_{x!r}".replace("-", "minus_"))
            self.build.append(f"{self.parts[key]} = np.array({self.expression(x)}, {self.expression(dtype)})")
        return self.parts[key]

    def index(self, index):
        """What stands between the brackets."""
        parts = index if type(index) is tuple else (index,)
        return ", ".join(map(self._part, parts)) + "," * (type(index) is tuple and len(parts) == 1) or "()"

    def _part(self, x):
        if type(x) is not slice:
            return self.expression(x)
        ends = [x.start, x.stop] if x.step is None else [x.start, x.stop, x.step]
        return ":".join("" if end is None else self.expression(end) for end in ends)


OF_TWO_KINDS = {np.ldexp}  # of a float and an int
METHODS = {np.ndarray.view: "view", np.take: "take", np.dot: "dot"}


def _holds(dtype, x):
    """Whether x is a Python number that an array of this dtype can hold; floats round it, as they do when they meet."""
    if type(x) not in (int, float):
        return False
    if dtype.kind == "f":
        return abs(x) <= float(np.finfo(dtype).max) or (type(x) is float and not math.isfinite(x))
    return dtype.kind in "iu" and type(x) is int and np.iinfo(dtype).min <= x <= np.iinfo(dtype).max


# ----- statements that write into memory they are given -----


def _ufunc(w, s, out, args):
    args = w.constants_of(s, args)
    keyword = "out=" * (s.func in (np.maximum, np.minimum))  # for these numpy warns of three arguments
    return [f"{w._spelled(s.func)}({', '.join(args)}, {keyword}{out})"]


def _dot(w, s, out, args):
    """The array's method takes 0.2 to 0.4 µs less than numpy's function."""
    return [f"{args[0]}.dot({args[1]}, {out})"]


def _reduce(w, s, out, args):
    kwargs = dict(s.kwargs or {})
    axis, keepdims = kwargs.pop("axis", 0), kwargs.pop("keepdims", False)
    more = "".join(f", {k}={w.expression(v)}" for k, v in kwargs.items() if k != "dtype")
    dtype = w.expression(kwargs.get("dtype"))
    return [f"{w._spelled(s.func)}.reduce({args[0]}, {w.expression(axis)}, {dtype}, {out}, {keepdims}{more})"]


def _cast(w, s, out, args):
    return [f'np.copyto({out}, {args[0]}, "unsafe")'] if args[0] != out else []


def _put(w, s, out, args):
    """A copy of the first argument, where that has other memory, and the change of it."""
    x, arena = s.args[0], w.plan.arena
    mine = type(x) is Var and x in arena and arena[x] == arena.get(s.out)
    return [*([] if mine else [f"np.copyto({out}, {args[0]})"]), *_changes(w, s, out, args)]


def _changes(w, s, out, args):
    if s.kind == "at" and s.func is np.add and _once(s.args[1]):
        part = f"[{w.index(s.args[1])}]"
        if not w.static(s.out) or _is_element(s.args[1], s.out):
            return [f"{out}{part} += {args[2]}"]
        piece = w.piece(s.out, part)
        return [f"np.add({piece}, {args[2]}, {piece})"]
    if s.kind == "flat at":
        return [f"np.add.at({w.piece(s.out, '.reshape(-1)')}, {', '.join(args[1:])})"]
    if s.kind == "put":
        return [f"{out}[{w.index(s.args[1])}] = {args[2]}"]
    return [f"{w._spelled(s.func)}.at({out}, {', '.join(args[1:])})"]


def _is_element(index, x):
    """Whether an index of numbers alone gives one number, no array."""
    parts = index if type(index) is tuple else (index,)
    return len(parts) == len(x.shape) and all(isinstance(part, (int, np.integer)) for part in parts)


def _call(w, s, out, args):
    if s.func is np.full:
        return [f"np.copyto({out}, {args[1]}, 'unsafe')"]
    if s.func in FILLS:
        return [f"{out}.fill({FILLS[s.func]})"]
    if s.func is np.where:
        return [f"np.copyto({out}, {args[2]})", f"np.copyto({out}, {args[1]}, where={args[0]})"]
    axis = (s.kwargs or {}).get("axis", s.args[1] if len(s.args) > 1 else 0)
    return [f"np.concatenate({args[0]}, {w.expression(axis)}, {out})"]


OUT = {
    "ufunc": _ufunc,
    "dot": _dot,
    "reduce": _reduce,
    "cast": _cast,
    "put": _put,
    "at": _put,
    "flat at": _put,
    "call": _call,
}


# ----- statements whose answer numpy allocates -----


def _fresh_put(w, s, out, args):
    return [f'{out} = np.array({args[0]}, order="C")', *_changes(w, s, out, args)]  # a flat index counts by rows


def _fresh_scalar(w, s, out, args):
    return [f"{out} = {PYTHON[s.func.__name__].format(*args)}"]


def _fresh_cast(w, s, out, args):
    return [f"{out} = np.array({args[0]}, {args[1]})"]


FRESH = {"cast": _fresh_cast, "put": _fresh_put, "at": _fresh_put, "flat at": _fresh_put, "scalar": _fresh_scalar}
PYTHON = {"add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "truediv": "{} / {}", "pow": "{} ** {}", "neg": "-{}",
          "abs": "abs({})", "pos": "+{}", "floordiv": "{} // {}", "mod": "{} % {}"}  # fmt: skip


def write(plan, names):
    """The Writer of a plan, its text in `source`; names: {source: name}, `runtime` are those passed in."""
    writer = Writer(plan, names)
    writer.source = writer.text()
    return writer
