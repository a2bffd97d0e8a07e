"""`op`: one row of a table of operations, a forward function and its rules side by side.

Notation of every table: `x, y` inputs, `ans` output, `g` cotangent of `ans`. Derivations are in docs/vjps.md.
"""

import inspect

import numpy as np

from ..engine import Op, _binary, _general, _over_axis, _ternary, _unary, _with_options, build, defvjp

TABLE = {}  # name -> operation with rules, in the order of the tables
CONSTANT = {}  # name -> operation through which no gradient flows
UFUNCS = {}  # numpy ufunc -> operation
FUNCTIONS = {}  # numpy function -> operation or composition

_FAST = {1: _unary, 2: _binary, 3: _ternary, "axis": _over_axis, "options": _with_options}


def op(f, *rules, name=None, arity=None, numpy=None, view=False, explain=None):
    """The operation that computes `f`, with a rule for each of its arguments.

    arity:   1, 2 or 3 for functions of just so many arrays, "axis" for those of one array `x`, `axis` and `keepdims`,
             "options" for those of `x` and other options, which then record with less work; found for ufuncs.
    numpy:   the numpy function it stands for, when that is not `f`.
    view:    whether the answer may share the first argument's memory; or a function of the arguments that tells.
    explain: `(args, kwargs) -> str`, what is wrong with the arguments of a call that failed.
    """
    o = Op(f, name=name, view=(lambda args: True) if view is True else view or None, explain=explain)
    fun = build(o, _FAST.get(arity or getattr(f, "nin", None), _general))
    defvjp(fun, *rules)
    TABLE[o.name] = fun
    stands_for(numpy or f, fun)
    return fun


def constant(f, name=None, numpy=None):
    """The operation that computes `f` and is constant almost everywhere, or has integer answers: never recorded."""
    o = Op(f, name=name)
    fun = build(o, _general)
    defvjp(fun, *[None] * _number_of_arguments(f))
    CONSTANT[o.name] = fun
    stands_for(numpy or f, fun)
    return fun


def _number_of_arguments(f):
    return f.nin if isinstance(f, np.ufunc) else len(inspect.signature(f).parameters)


def stands_for(function, fun):
    """Makes numpy's `function` call `fun` when it is given a Tensor; returns `fun`."""
    for f in function if isinstance(function, tuple) else (function,):
        (UFUNCS if isinstance(f, np.ufunc) else FUNCTIONS)[f] = fun
    return fun
