"""numpy's functions, methods and operators on plain arrays in a compiled function: what comes out is numpy's own."""

import operator
import warnings

import numpy as np
import pytest

import mytorch as mt

RNG = np.random.default_rng(0)
MAKE = {
    "matrix": lambda: RNG.uniform(0.1, 2, (4, 4)),
    "float32": lambda: RNG.uniform(0.1, 2, (4, 4)).astype(np.float32),
    "vector": lambda: RNG.uniform(0.1, 2, 4),
    "integers": lambda: RNG.integers(0, 4, 4),
    "truths": lambda: RNG.uniform(size=4) > 0.5,
    "complex": lambda: RNG.normal(size=4) + 1j * RNG.normal(size=4),
    "number": lambda: np.array(RNG.uniform(0.1, 2)),
    "float": lambda: float(RNG.uniform(0.1, 2)),
}
SIGNATURES = [(kind,) for kind in MAKE] + [
    ("matrix", "matrix"), ("vector", "vector"), ("float32", "float"), ("vector", "float"), ("integers", "vector"),
    ("float32", "vector"), ("number", "float32"), ("truths", "vector", "vector"),
]  # fmt: skip
NOT_ASKED = {"empty", "empty_like", "may_share_memory", "shares_memory"}  # what they answer is anybody's guess

# fmt: off
METHODS = [
    "all", "any", "argmax", "argmin", "argsort", "astype", "clip", "copy", "cumprod", "cumsum", "diagonal", "dot",
    "max", "mean", "min", "prod", "ravel", "repeat", "reshape", "round", "squeeze", "std", "sum", "swapaxes", "take",
    "trace", "transpose", "var", "view",
]
OPERATORS = [
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "lt", "le", "eq", "and_", "or_", "xor", "neg",
    "pos", "abs", "invert",
]
CHANGES = ["iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow"]
# fmt: on


def functions():
    """{name: function}: the ufuncs, and the functions that numpy hands to stand-ins."""
    for module in (np, np.linalg):
        for name, f in sorted(vars(module).items()):
            if isinstance(f, np.ufunc) or (hasattr(f, "_implementation") and name not in NOT_ASKED):
                yield f.__name__, f


def methods():
    for name in METHODS:
        yield f".{name}", lambda x, *args, name=name: getattr(x, name)(*args)


def operators():
    for name in OPERATORS:
        yield name, getattr(operator, name)
    for name in CHANGES:
        yield name, lambda x, y, name=name: in_place(getattr(operator, name), x * 1, y)


def in_place(f, x, y):
    before = x
    return f(x, y), before


CASES = {**dict(functions()), **dict(methods()), **dict(operators())}


def same(x, y):
    if isinstance(x, (tuple, list)):
        return isinstance(y, (tuple, list)) and len(x) == len(y) and all(map(same, x, y))
    x, y = np.asarray(x), np.asarray(y)
    if x.dtype.kind not in "fciub":
        return True
    return (x.shape, x.dtype) == (y.shape, y.dtype) and np.allclose(x, y, rtol=1e-5, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("f", CASES.values(), ids=CASES)
@pytest.mark.filterwarnings("ignore")
def test_it_is_right_or_refused(f):
    """In value, shape and dtype for three calls with other numbers, and the arguments are left alone."""
    for kinds in SIGNATURES:
        try:
            f(*[MAKE[kind]() for kind in kinds])
        except Exception:  # not for such arguments
            continue
        fast = mt.compile(f)
        for _ in range(3):
            args = [MAKE[kind]() for kind in kinds]
            mine = [np.array(x) if isinstance(x, np.ndarray) else x for x in args]
            try:
                expected = f(*mine)
            except Exception:  # not for such numbers
                break
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = fast(*args)
            except mt.CompileError:
                break
            assert same(expected, found), kinds
            assert same(mine, args), kinds
