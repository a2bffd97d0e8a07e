"""Indexing, of every kind numpy has: reading, writing, and what earlier views see."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, basic_indices, integer_array_indices

import mytorch as mt

few = settings(max_examples=100, derandomize=True, deadline=None, database=None)


def ramp(shape):
    """0.5, 1.5, 2.5, ... in this shape."""
    return np.arange(np.prod(shape, dtype=int)).reshape(shape) + 0.5


@st.composite
def masks(draw, shape):
    """A boolean array over the first axes, alone or before slices of the others."""
    n = draw(st.integers(1, len(shape)))
    mask = draw(arrays(bool, shape[:n]))
    return draw(st.sampled_from([mask, (mask, ...)]))


@st.composite
def mixed(draw, shape):
    """One entry an axis: numbers, slices, and arrays of integers that broadcast; None and Ellipsis among them."""
    parts = []
    for n in shape[: draw(st.integers(0, len(shape)))]:
        kinds = st.integers(-n, n - 1), st.slices(n), arrays(int, draw(st.sampled_from([(), (2,), (2, 1), (1, 3)])),
                                                             elements=st.integers(-n, n - 1))  # fmt: skip
        parts.append(draw(st.one_of(*kinds)))
    for extra in (None, Ellipsis):
        if draw(st.booleans()):
            parts.insert(draw(st.integers(0, len(parts))), extra)
    return tuple(parts)


@st.composite
def shapes_and_indices(draw):
    """A shape, and an index of any kind into it."""
    shape = draw(array_shapes(max_dims=3, max_side=4))
    kinds = (
        basic_indices(shape, allow_newaxis=True, allow_ellipsis=True),
        integer_array_indices(shape, result_shape=array_shapes(min_dims=0, max_dims=2, max_side=4)),
        st.lists(st.integers(-shape[0], shape[0] - 1), min_size=1, max_size=4),
        masks(shape),
        mixed(shape),
    )
    return shape, draw(st.one_of(*kinds))


def scattered(g, index, shape):
    """Zeros with `g` added at the index: the transpose of reading there."""
    out = np.zeros(shape)
    np.add.at(out, index, g)
    return out


@few
@given(shapes_and_indices())
def test_read(case):
    """x[index] is numpy's, and its gradient is the cotangent added at the index: repeated elements get all of it."""
    shape, index = case
    x = mt.tensor(ramp(shape), requires_grad=True)
    y = x[index]
    g = ramp(y.shape)
    y.backward(g)

    np.testing.assert_array_equal(y.numpy(), ramp(shape)[index])
    np.testing.assert_array_equal(x.grad.numpy(), scattered(g, index, shape))


@few
@given(shapes_and_indices())
def test_read_twice_differentiated(case):
    """The gradient of a read can be differentiated: it is itself a scatter, whose gradient is a read."""
    shape, index = case
    x = mt.tensor(ramp(shape), requires_grad=True)
    y = x[index]
    (y * y * y).sum().backward(create_graph=True)
    slope, x.grad = (x.grad * ramp(shape)).sum(), None
    slope.backward()

    counts = scattered(np.ones(y.shape), index, shape)
    np.testing.assert_allclose(x.grad.numpy(), 6 * ramp(shape) * counts * ramp(shape))


@few
@given(shapes_and_indices(), st.data())
def test_write(case, data):
    """x[index] = v is numpy's; where an element is named twice, the last value stays and gets the gradient."""
    shape, index = case
    selected = ramp(shape)[index].shape
    cut = data.draw(st.integers(0, len(selected)))
    ones = [data.draw(st.booleans()) for _ in selected]
    v_shape = tuple(1 if one else n for n, one in zip(selected, ones, strict=True))[cut:]
    start, v = mt.tensor(ramp(shape), requires_grad=True), mt.tensor(-ramp(v_shape), requires_grad=True)
    x = start * 1.0
    x[index] = v

    expected = ramp(shape)
    expected[index] = -ramp(v_shape)
    np.testing.assert_array_equal(x.numpy(), expected)

    g = ramp(shape)
    x.backward(g)
    by_start, by_v = written(shape, index, v_shape, g)
    np.testing.assert_array_equal(start.grad.numpy(), by_start)
    np.testing.assert_array_equal(v.grad.numpy(), by_v)


def written(shape, index, v_shape, g):
    """(gradient by what was there, by what was written), found by writing the number of each element of v."""
    number = np.arange(np.prod(v_shape, dtype=int)).reshape(v_shape)
    source = np.full(shape, -1)
    source[index] = number
    by_v = np.zeros(number.size)
    np.add.at(by_v, source[source >= 0], g[source >= 0])
    return np.where(source < 0, g, 0.0), by_v.reshape(v_shape)


@few
@given(shapes_and_indices())
def test_write_to_a_leaf_under_no_grad(case):
    """A parameter is written in place under no_grad, and stays a leaf."""
    shape, index = case
    x = mt.tensor(ramp(shape), requires_grad=True)
    with mt.no_grad():
        x[index] = -1.0
    expected = ramp(shape)
    expected[index] = -1.0

    np.testing.assert_array_equal(x.numpy(), expected)
    assert x.is_leaf
    assert x.requires_grad


@few
@given(shapes_and_indices())
def test_add_at_is_the_transpose_of_reading(case):
    """<add_at(y, index), x> = <y, x[index]> for all x and y."""
    shape, index = case
    x = ramp(shape)
    y = 1.0 / ramp(x[index].shape)

    assert np.sum(mt.add_at(y, index, shape) * x) == pytest.approx(np.sum(y * x[index]))


# ----- a Tensor is a value -----


def test_views_keep_what_they_saw():
    """A write gives the handle a new value; views, copies and results taken earlier keep the old one and its graph."""
    start = mt.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = start * 2
    view, square = x[:2], x * x
    x[0] = 10.0

    assert view.tolist() == [2, 4]
    assert square.tolist() == [4, 16, 36]
    assert x.tolist() == [10, 4, 6]
    (view.sum() + square.sum() + x.sum()).backward()
    assert start.grad.tolist() == [2 + 8, 2 + 16 + 2, 24 + 2]


def test_augmented_write():
    """x[i] += v and x[mask] *= v differentiate as their long forms."""
    start = mt.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = start * 1.0
    x[1] += x[0]
    x[x > 2.5] *= 10.0
    x.sum().backward()

    assert x.tolist() == [1, 30, 30]
    assert start.grad.tolist() == [11, 10, 10]


def test_write_of_a_tensor_into_a_constant():
    """Writing what requires grad makes a tensor that requires grad."""
    v = mt.tensor([1.0, 2.0], requires_grad=True)
    x = mt.tensor(np.zeros((2, 2)))
    x[:, 0] = v * v
    (x * np.array([[1.0, 5.0], [10.0, 5.0]])).sum().backward()

    assert v.grad.tolist() == [2, 40]


def test_written_value_may_have_leading_ones():
    """A value of shape (1, 3) may be written where (3,) fits, as in numpy."""
    v = mt.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    x = mt.tensor(np.zeros((2, 3)))
    x[0] = v
    x.sum().backward()

    assert v.grad.tolist() == [[1, 1, 1]]


def test_written_value_takes_the_dtype():
    """What is written is cast to the tensor's dtype, and its gradient is cast back."""
    v = mt.tensor([1.0, 2.0], requires_grad=True)
    x = mt.tensor(np.zeros(2, np.float32))
    x[:] = v
    x.sum().backward()

    assert (x.dtype, v.grad.dtype) == (np.float32, np.float64)


def test_tensors_as_indices():
    """Tensors of integers and booleans index like arrays, alone or in a tuple, in reading and writing."""
    x = mt.tensor(ramp((3, 4)), requires_grad=True)
    rows, mask = mt.tensor([2, 0, 2]), mt.tensor([True, False, True])
    r, m, above = rows.numpy(), mask.numpy(), x.numpy() > 4
    for index, plain in ((rows, r), (mask, m), ((rows, 1), (r, 1)), ((mask, 0), (m, 0)), (x > 4, above)):
        x.grad = None
        x[index].sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), scattered(1.0, plain, (3, 4)))
    y = x * 1.0
    y[rows, 1] = 0.0
    assert (y.numpy()[[0, 2], 1] == 0).all()


def test_iteration_and_unpacking():
    """Iterating over a tensor reads its rows."""
    x = mt.tensor(ramp((2, 2)), requires_grad=True)
    first, second = x
    (first * 2 + second).sum().backward()

    assert x.grad.tolist() == [[2, 2], [1, 1]]
