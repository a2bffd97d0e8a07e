"""Every operation through mt.compile: answers, gradients and second derivatives are those of the plain run."""

import numpy as np
from rows import CONSTANTS, ROWS
from test_ops import every, grads, second, total

import mytorch as mt
from mytorch.autograd.tree import flatten


def moved(xs):
    """Inputs near `xs`, so that a program is run on other values than it was traced with."""
    return [x * 1.01 for x in xs]


def assert_equal(ours, theirs):
    for a, b in zip(flatten(ours)[0], flatten(theirs)[0], strict=True):
        assert (np.shape(a), np.result_type(a)) == (np.shape(b), np.result_type(b))
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@every(ROWS)
def test_gradients(row):
    """Value, gradient and second derivatives of every row, on new values and without a run of the function itself."""
    f = total(row)

    def everything(*xs):
        return row(*xs), f(*xs), grads(f, *xs), grads(second(f), *xs)

    compiled = mt.compile(everything)
    compiled(*row.inputs)
    xs = moved(row.inputs)

    assert_equal(compiled(*xs), everything(*xs))
    assert len(compiled.steps) == 1


@every(CONSTANTS)
def test_constants(row):
    """Comparisons, logic and rounding of every row."""
    compiled = mt.compile(row)
    compiled(*row.inputs)
    xs = moved(row.inputs)

    assert_equal(compiled(*xs), row(*xs))
    assert len(compiled.steps) == 1
