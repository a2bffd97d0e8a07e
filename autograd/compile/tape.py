"""The tape: every numpy call of one run of a function, forward, backward and update alike.

While a tape runs, the arrays of Tensors are `Traced`: each holds the array it stands for and the name of its value
on the tape. numpy hands its calls on them to `__array_ufunc__` and `__array_function__`, and these compute as ever and
note what was done. So the run gives its answer, and nothing is traced that was not done; rules, layers and optimizers
are none the wiser.
"""

import functools
import inspect
import operator
import sys
import weakref

import numpy as np

from ..graph import wrap
from ..tensor import Tensor
from . import CompileError
from .functions import BY_VALUE, IN_PLACE, MAY_VIEW, PYTHONS, REWRITTEN, SHAPES, TAKE_NUMBERS
from .holders import digest
from .hooks import DATA, GRAD, NAMES, OUTSIDE, Singular
from .program import Source, Statement, Var, frozen, replaced
from .traced import PACKAGE, Fallback, Traced, _owner, users_line, values

__all__ = ["Tape"]

NUMBERS = {int, float, bool}
LIMIT = 50_000  # numpy calls: the text of more takes minutes to compile


class Tape:
    """One run of a function on Traced arrays, and the statements it made."""

    def __init__(self):
        self.statements = []
        self.inputs = {}  # where from -> Var
        self.states = {}  # id -> (Tensor, the array it had)
        self.nodes = {}  # id -> the node it had
        self.grads = {}  # id -> (Leaf, the gradient it had, whether the run looked at it)
        self.made = []  # weak references to the tensors made here
        self.local = set()  # ids of tensors and leaves made here
        self.constants = {}  # id -> Var; the Var keeps the array
        self.contents = {}  # id -> a digest of what the array held when it was met
        self.raised = None  # an error that depends on values: if the function goes on, it has caught it
        self.numbers = set()  # (id of the holder, key) of the numbers that are looked up anew in every call
        self.memo = {}
        self.strict = 0

    def forget(self):
        """Drops all that was noted: numpy may hold a Traced for good, and so the tape, where a ufunc on it raised."""
        self.__init__()

    # ----- what comes in -----

    def input(self, source, value):
        """The Traced of what comes from outside: of a `source` that says where to find it in later calls."""
        if source not in self.inputs:
            number = isinstance(value, float) and not isinstance(value, np.generic)
            dtype = np.dtype(float) if number else value.dtype
            self.inputs[source] = Var(np.shape(value), dtype, number=number)
        return Traced(self, value, self.inputs[source])

    def reads(self, tensor, data):
        """The Traced of a tensor that was there before; of one that was made here, the constant array itself."""
        if id(tensor) in self.local:
            return data
        self.states[id(tensor)] = tensor, data
        self.nodes[id(tensor)] = tensor._node
        traced = self.input(Source("tensor", tensor), data)
        DATA.__set__(tensor, traced)
        return traced

    def writes(self, tensor):
        """Notes a tensor before its array is set: a new one, or one whose array comes from outside."""
        if id(tensor) in self.states:
            return
        try:
            data = DATA.__get__(tensor)
        except AttributeError:  # the slot is empty: it is just being made, if under the id of one that is gone
            self.local.add(id(tensor))
            self.made.append(weakref.ref(tensor))
        else:
            self.reads(tensor, data)

    def reads_grad(self, leaf, grad):
        """The gradient a leaf had before, as a tensor of the tape."""
        if id(leaf) in self.local or id(leaf) in self.grads:
            return grad
        self.grads[id(leaf)] = leaf, grad, True
        if grad is not None:
            grad = wrap(self.input(Source("grad", leaf), DATA.__get__(grad)))
            GRAD.__set__(leaf, grad)
        return grad

    def writes_grad(self, leaf):
        """Notes a leaf before its gradient is set."""
        if id(leaf) in self.local or id(leaf) in self.grads:
            return
        try:
            self.grads[id(leaf)] = leaf, GRAD.__get__(leaf), False
        except AttributeError:
            self.local.add(id(leaf))

    def number(self, holder, key):
        """The number holder[key], looked up anew in every call."""
        self.numbers.add((id(holder), key))
        return self.input(Source("number", holder, key), float(holder[key]))

    # ----- what is done -----

    def note(self, kind, func, args, kwargs, result, base=None):
        """The Traced of what was just computed, with its statement; what was computed before is not noted again."""
        args, kwargs = replaced((args, kwargs or None), self._name)
        return self._noted(kind, func, args, kwargs, result, base)

    def _noted(self, kind, func, args, kwargs, result, base):
        key = kind, func, frozen(args), frozen(kwargs)
        var = self.memo.get(key) if kind != "draw" else None
        if var is None:
            line, what = self._where()
            var = Var(result.shape, result.dtype)
            var.made = Statement(kind, func, args, kwargs, var, line, what or func.__name__, self.strict > 0)
            self.statements.append(var.made)
            self.memo[key] = var
            if len(self.statements) > LIMIT:
                raise Fallback(f"it makes more than {LIMIT:,} numpy calls; compile a part, such as one step of a loop")
        traced = Traced(self, np.asarray(result), var, base)  # a scalar would be copied where an array is viewed
        traced.scalar = isinstance(result, np.generic)
        return traced

    def _name(self, leaf):
        """The value of a leaf of some arguments: a Traced's, or a constant's."""
        if type(leaf) is Traced:
            if leaf.tape is not self:
                raise CompileError(
                    f"compile: a value that an earlier run left behind is used, at {users_line()}; "
                    "pass it in and return it, or keep it in a tensor"
                )
            return leaf.symbol
        if isinstance(leaf, np.ndarray):
            var = self.constants.get(id(leaf))
            if var is None:
                var = self.constants[id(leaf)] = Var(leaf.shape, leaf.dtype, const=leaf)
                self.contents[id(leaf)] = digest(leaf)
            return var
        return leaf

    def _where(self):
        """(the user's file and line number, the operation's name or None) of what is being done."""
        frame, what = sys._getframe(3), None
        while frame.f_back is not None:
            code = frame.f_code
            name = NAMES.get(code)
            if name is None:
                name = NAMES[code] = "" if _owner(frame) in (PACKAGE, "numpy") else OUTSIDE
            if name is OUTSIDE:
                break
            what = what or name
            frame = frame.f_back
        return (frame.f_code.co_filename, frame.f_lineno), what

    def ufunc(self, ufunc, method, inputs, out, kwargs):
        """What a ufunc, or a method of it, makes of `inputs`."""
        if method == "at":
            return self.put("at", ufunc, *inputs)
        if method == "__call__" and ("where" in kwargs or (out is not None and ufunc.nout > 1)):
            raise Fallback(f"numpy.{ufunc.__name__} is to leave some elements as they are, at {users_line()}")
        if method == "reduce":
            kwargs = {k: v for k, v in kwargs.items() if not (k in ("dtype", "out") and v is None)}
            traced = self.note("reduce", ufunc, inputs, kwargs, ufunc.reduce(*values(inputs), **values(kwargs)))
        elif method != "__call__" or kwargs or ufunc.nout > 1:
            traced = self.call(ufunc if method == "__call__" else getattr(ufunc, method), inputs, kwargs)
        elif ufunc in PYTHONS and all(type(x) in NUMBERS or _is_number(x) for x in inputs) and _by_operator():
            traced = self.number_of(PYTHONS[ufunc], inputs)
        else:
            result = ufunc(*[x.value if type(x) is Traced else x for x in inputs])
            args = tuple([x.symbol if type(x) is Traced and x.tape is self else self._name(x) for x in inputs])
            traced = self._noted("ufunc", ufunc, args, None, result, None)
        if out is None or (type(out[0]) is Traced and (out[0].scalar or out[0].symbol.number)):
            return traced  # numpy's scalars do not change: `y += x` binds another
        return self.assign(out[0], traced)

    def number_of(self, op, inputs):
        """Python's own arithmetic, whose answer takes the dtype of the array it meets."""
        result = float(op(*values(inputs)))
        traced = self.note("scalar", op, inputs, None, np.float64(result))
        traced.symbol.number = True
        return Traced(self, result, traced.symbol)

    def call(self, func, args, kwargs):
        """What any function makes of traced arrays; one that gives no array decides by values, and is refused."""
        result = func(*values(args), **values(kwargs))
        if isinstance(result, (np.ndarray, np.generic)):
            base = _shared(result, args)
            if base is not None and result is base.value:
                return base
            kind = "view" if base is not None or (func in MAY_VIEW and type(args[0]) is Traced) else "call"
            return self.note(kind, func, args, kwargs, result, base)
        if isinstance(result, (tuple, list)) and all(isinstance(part, np.ndarray) for part in result):
            if any(_shared(part, args) is not None for part in result):
                raise Fallback(f"numpy.{func.__name__} gives several views of one array, at {users_line()}; index it")
            whole = self.note("call", func, args, kwargs, np.empty(len(result), object))
            parts = [self.note("call", operator.getitem, (whole, i), None, part) for i, part in enumerate(result)]
            return result._make(parts) if hasattr(result, "_make") else type(result)(parts)
        raise CompileError(
            f"compile: numpy.{func.__name__} answers with {type(result).__name__}, at {users_line()}, which would be "
            "the same in every later call; keep to functions that give arrays"
        )

    def function(self, func, args, kwargs):
        """What a function of numpy's makes of traced arrays."""
        if func in SHAPES:
            return func(*values(args), **values(kwargs))
        called = f"numpy.{func.__name__}"
        by_value = func in BY_VALUE or (func is np.where and len(args) == 1)
        if by_value or (func is np.repeat and _repeats(*args, **kwargs)):
            raise self._by_value(called)
        if kwargs.get("order") in ("K", "A"):
            raise Fallback(f"{called} asks how an array lies in memory, at {users_line()}; leave `order` out")
        if func in REWRITTEN:
            return REWRITTEN[func](*args, **kwargs)
        if func in IN_PLACE or kwargs.get("copy") is False or kwargs.get("overwrite_input"):
            raise Fallback(f"numpy.{func.__name__} changes an array in place, at {users_line()}")
        if func not in TAKE_NUMBERS and any(map(_is_number, (*args, *kwargs.values()))):
            raise Fallback(f"numpy.{func.__name__} is given a float that may change, at {users_line()}; pass an int")
        if _out_by_position(func, args):
            raise Fallback(f"numpy.{func.__name__} is given `out` by position, at {users_line()}; write out=")
        out = kwargs.pop("out", None)
        traced = self.call(func, args, kwargs)
        return traced if out is None else self.assign(out, traced)

    def getitem(self, x, index):
        """x[index]."""
        parts = index if type(index) is tuple else (index,)
        if any(type(part) is Traced and part.dtype.kind == "b" for part in parts):
            raise self._by_value("an index of truths")
        if type(index) is tuple and not index:
            return x
        return self.call(operator.getitem, (x, index), {})

    def _by_value(self, what):
        return CompileError(
            f"compile: how large the answer of {what} is depends on values, at {users_line()}; keep the shape and use "
            "mt.where, or do this outside"
        )

    def cast(self, x, dtype):
        """A copy of x in a dtype."""
        return self.note("cast", np.copyto, (x, dtype), None, np.array(x.value, dtype))

    def put(self, kind, ufunc, x, index, *value):
        """Changes `x` in place: sets, or adds, a value at an index."""
        new = np.array(values(x))
        if kind == "at":
            ufunc.at(new, values(index), *values(value))
        else:
            new[values(index)] = values(value[0])
        self.assign(x, self.note(kind, ufunc or operator.setitem, (x, index, *value), None, new))

    def assign(self, target, traced):
        """Gives the array `target` the value of `traced`, as numpy's `out` does."""
        if type(target) is not Traced:
            raise CompileError(
                f"compile: an array from outside is changed in place, at {users_line()}, which would happen in this "
                "call alone; make it a tensor, or return the new value"
            )
        if target.base is not None or any(view() is not None for view in target.views or ()):
            raise Fallback(f"an array that shares its memory with another is changed in place, at {users_line()}")
        if not np.can_cast(traced.dtype, target.dtype, "same_kind"):
            raise TypeError(f"Cannot cast from {traced.dtype} to {target.dtype} with casting rule 'same_kind'")
        if traced.shape != target.shape:
            traced = np.broadcast_to(traced, target.shape)
        if traced.dtype != target.dtype:
            traced = self.cast(traced, target.dtype)
        target.value, target.symbol = traced.value, traced.symbol
        return target

    def draw(self, generator, method, args, kwargs):
        """What a random generator gives."""
        if method == "shuffle":
            raise Fallback(f"an array is shuffled in place, at {users_line()}; index it by rng.permutation(n)")
        out = kwargs.pop("out", None)
        result = getattr(generator.generator, method)(*values(args), **values(kwargs))
        if not isinstance(result, (np.ndarray, np.generic, float)):  # bytes gives bytes
            raise Fallback(f"{method} of a random generator gives no array, at {users_line()}")
        number = type(result) is float
        func, args = getattr(np.random.Generator, method), (generator.symbol, *args)
        traced = self.note("draw", func, args, kwargs, np.float64(result) if number else result)
        traced.symbol.number = number
        if number:
            return Traced(self, result, traced.symbol)
        return traced if out is None else self.assign(out, traced)

    def check(self):
        """Raises where the run did what its statements do not tell of."""
        for key, var in self.constants.items():
            if digest(var.const) != self.contents[key]:
                raise Fallback(
                    f"an array of shape {var.shape} is changed in place while the function runs; make it of values of "
                    "the function's, or a tensor"
                )
        if self.raised is not None:
            kind = Singular if isinstance(self.raised, FloatingPointError) else Fallback
            raise kind(f"an operation raised {type(self.raised).__name__}: {self.raised}, and the function went on")

    def rescues(self, error):
        """Whether an operation that failed with `error` can be noted as a whole."""
        return isinstance(error, (Fallback, CompileError)) and len(self.statements) <= LIMIT

    def whole(self, op, args, kwargs):
        """An operation that numpy's protocols cannot look into, as one call of its function."""
        args = replaced(args, lambda leaf: leaf._data if isinstance(leaf, Tensor) else leaf)
        try:  # it may have failed for an array from outside, that a traced one was to be put into
            return op.f(*replaced(args, self._lifted), **kwargs)
        except (Fallback, CompileError):
            pass
        result = np.asarray(op.f(*values(args), **values(kwargs)))
        return self.note("call", op.f, args, kwargs, result)

    def _lifted(self, leaf):
        """A constant array as a Traced one."""
        return Traced(self, leaf, self._name(leaf)) if isinstance(leaf, np.ndarray) else leaf

    def decide(self, x):
        """The truth of `x`. This package's own questions are asked again in every call; the user's are refused."""
        truth = bool(x.value)
        if _owner(sys._getframe(2)) != PACKAGE:
            raise CompileError(
                f"compile: the value of a tensor decides what is done, at {users_line()}; the other way would not be "
                "in the program. Use mt.where, or compile what is before and after it"
            )
        line, what = self._where()
        self.statements.append(Statement("guard", bool, (x.symbol, truth), None, None, line, what or "guard", False))
        return truth


def _by_operator():
    """Whether a ufunc was called by an operator on a Traced: of Python's numbers that is Python's arithmetic."""
    return sys._getframe(4).f_globals.get("__name__") == "numpy.lib.mixins"


@functools.cache
def _place_of_out(func):
    """At which place among its arguments a function of numpy's takes `out`; None where it takes none."""
    try:
        return [*inspect.signature(func).parameters].index("out")
    except (TypeError, ValueError):
        return {np.dot: 2, np.concatenate: 2}.get(func)


def _out_by_position(func, args):
    place = _place_of_out(func)
    return place is not None and len(args) > place and args[place] is not None


def _repeats(x, repeats, axis=None):
    """Whether it is traced how often each element of `x` is repeated."""
    return any(type(n) is Traced for n in (repeats if isinstance(repeats, (list, tuple)) else [repeats]))


def _is_number(x):
    return type(x) is Traced and x.symbol.number


def _shared(result, args):
    """The Traced among `args` whose memory `result` shows, or None."""
    if getattr(result, "base", None) is None:
        return next((x for x in args if result is getattr(x, "value", None)), None)
    for x in args:
        if type(x) is Traced and isinstance(x.value, np.ndarray) and np.may_share_memory(result, x.value):
            return x
    return None
