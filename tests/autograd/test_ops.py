"""Every operation by the table in rows.py: value, first and second derivatives, broadcasting, dtypes, carriers."""

import numpy as np
import pytest
from rows import CONSTANTS, ELEMENTWISE, ROWS

import mytorch as mt
from mytorch.autograd import ops
from mytorch.autograd.tree import flatten


def every(rows):
    return pytest.mark.parametrize("row", rows, ids=str)


def tensors(arrays, dtype=None):
    return [mt.tensor(x, dtype=dtype, requires_grad=True) for x in arrays]


def total(row):
    """The row's call as a function of its inputs that gives one number, with a slope of its own for every element."""

    def f(*inputs):
        answers = flatten(row(*inputs))[0]
        weights = [np.linspace(0.5, 1.5, y.size, dtype=y.dtype).reshape(y.shape) for y in answers]
        return sum((y * w).sum() for y, w in zip(answers, weights, strict=True))

    return f


def grads(f, *xs):
    return mt.grad(f, argnums=tuple(range(len(xs))))(*xs)


def second(f):
    """The sum of all first derivatives of `f`, each input's with a weight of its own."""
    return lambda *xs: sum((k + 0.5) * g.sum() for k, g in enumerate(grads(f, *xs)))


# ----- the table is complete -----


def test_every_operation_has_a_row():
    """No function of mytorch computes untested: each is in a row, and each primitive is checked to second order."""
    assert set(ops.TABLE) - {row.name for row in ROWS} == set()
    assert set(ops.__all__) - {row.name for row in ROWS + CONSTANTS} == set()


# ----- every row -----


@every(ROWS)
def test_value(row):
    """The answer is numpy's, in shape, dtype and value; an array for arrays, a Tensor for Tensors."""
    expected = flatten(row(*row.inputs, function=row.numpy))[0]
    for carrier, kind in ((lambda x: x, (np.ndarray, np.generic)), (mt.tensor, mt.Tensor)):
        answers = flatten(row(*map(carrier, row.inputs)))[0]

        assert len(answers) == len(expected)
        for y, e in zip(answers, expected, strict=True):
            assert isinstance(y, kind)
            assert y.shape == e.shape
            assert y.dtype == e.dtype
            np.testing.assert_allclose(getattr(y, "_data", y), e, rtol=1e-13, atol=1e-15)


@every(ROWS)
def test_gradients(row):
    """First and second derivatives agree with differences."""
    assert mt.gradcheck(row, *row.inputs, order=2)


@every([row for row in ROWS if not row.promotes])
def test_float32(row):
    """float32 in: answer, gradients and second derivatives are float32, and near those of float64."""
    inputs = tensors(row.inputs, np.float32)
    for y in flatten(row(*inputs))[0]:
        assert y.dtype == np.float32
    for f in (total(row), second(total(row))):
        for got, x, expected in zip(grads(f, *inputs), row.inputs, grads(f, *row.inputs), strict=True):
            assert (got.dtype, got.shape) == (np.float32, x.shape)
            np.testing.assert_allclose(got.numpy(), expected, rtol=1e-3, atol=1e-4)


@every([row for row in ROWS if len(row.inputs) > 1])
def test_mixed_dtypes(row):
    """Each gradient has the dtype of its argument."""
    for single in range(len(row.inputs)):
        dtypes = [np.float32 if i == single else np.float64 for i in range(len(row.inputs))]
        inputs = [mt.tensor(x, dtype=d, requires_grad=True) for x, d in zip(row.inputs, dtypes, strict=True)]
        total(row)(*inputs).backward()

        assert [x.grad.dtype for x in inputs] == dtypes


def numpys(rows):
    """The rows whose function is numpy's own."""
    return [row for row in rows if row.numpy in ops.UFUNCS or row.numpy in ops.FUNCTIONS]


@every(numpys(ROWS))
def test_numpy_function(row):
    """numpy's function, called on Tensors, records what mytorch's does."""
    inputs = tensors(row.inputs)
    theirs = flatten(row(*inputs, function=row.numpy))[0]
    ours = flatten(row(*inputs))[0]

    assert [type(y) for y in theirs] == [mt.Tensor] * len(ours)
    assert [operations(y) for y in theirs] == [operations(y) for y in ours]


def operations(y):
    """The names of the operations `y` was computed by, depth first."""
    names, stack = [], [y._node]
    while stack:
        node = stack.pop()
        names.append(node.op and node.op.name)
        stack.extend(source for _, source in node.sources())
    return names


# ----- broadcasting -----


def summed_to(ct, shape):
    """`ct` summed over the axes along which `shape` is broadcast to it."""
    ct = ct.sum(axis=tuple(range(ct.ndim - len(shape))))
    return ct.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


@every([row for row in ELEMENTWISE if len(row.inputs) > 1])
@pytest.mark.parametrize("small", [(4,), (1, 4), (3, 1), ()], ids=str)
def test_broadcasting(row, small):
    """A broadcast argument has the sum of the derivatives of its copies, to second order."""
    for k in range(len(row.inputs)):
        shapes = [small if i == k else (3, 4) for i in range(len(row.inputs))]
        broadcast = row.resized(shapes)
        copies = [np.broadcast_to(x, (3, 4)) for x in broadcast.inputs]

        assert broadcast(*broadcast.inputs).shape == (3, 4)
        for f in (total(broadcast), second(total(broadcast))):
            for got, x, each in zip(grads(f, *broadcast.inputs), broadcast.inputs, grads(f, *copies), strict=True):
                assert got.shape == x.shape
                np.testing.assert_allclose(got, summed_to(each, x.shape), rtol=1e-12, atol=1e-13)


# ----- what has no gradient -----


@every(CONSTANTS)
def test_constant(row):
    """What is constant almost everywhere gives numpy's answer and records nothing."""
    expected = row(*row.inputs, function=row.numpy)
    y = on_tensors(row, getattr(mt, row.name))

    assert (y.requires_grad, y.shape, y.dtype) == (False, expected.shape, expected.dtype)
    np.testing.assert_array_equal(y.numpy(), expected)
    np.testing.assert_array_equal(row(*row.inputs), expected)


@every(numpys(CONSTANTS))
def test_constant_numpy_function(row):
    """numpy's function on Tensors is mytorch's there too."""
    y = on_tensors(row, row.numpy)

    assert isinstance(y, mt.Tensor)
    assert not y.requires_grad


def on_tensors(row, function):
    """The row's call with all its arrays as Tensors, also those of integers and booleans."""
    to_tensor = lambda a: mt.tensor(a, requires_grad=a.dtype.kind == "f") if isinstance(a, np.ndarray) else a
    return function(*map(to_tensor, row.args), **row.kwargs)
