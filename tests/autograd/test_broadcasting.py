"""Broadcasting: the gradient of a repeated argument is the sum over its copies, for shapes of any kind."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, broadcastable_shapes, mutually_broadcastable_shapes

import mytorch as mt

few = settings(max_examples=60, derandomize=True, deadline=None, database=None)

BINARY = {  # name: its derivatives by x and by y
    "add": (lambda x, y: 1.0, lambda x, y: 1.0),
    "subtract": (lambda x, y: 1.0, lambda x, y: -1.0),
    "multiply": (lambda x, y: y, lambda x, y: x),
    "divide": (lambda x, y: 1 / y, lambda x, y: -x / y**2),
    "power": (lambda x, y: y * x ** (y - 1), lambda x, y: x**y * np.log(x)),
    "maximum": (lambda x, y: x > y, lambda x, y: y > x),
    "hypot": (lambda x, y: x / np.hypot(x, y), lambda x, y: y / np.hypot(x, y)),
    "logaddexp": (lambda x, y: 1 / (1 + np.exp(y - x)), lambda x, y: 1 / (1 + np.exp(x - y))),
}


def values(shape, seed):
    """Positive numbers, no two alike."""
    return np.random.default_rng([seed, *shape]).uniform(0.5, 2, shape)


def summed_to(ct, shape):
    """`ct` summed over the axes along which `shape` is broadcast to it."""
    ct = ct.sum(axis=tuple(range(ct.ndim - len(shape))))
    return ct.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True).reshape(shape)


def check(f, xs, derivatives):
    """f(*xs) has numpy's value, and by each x the sum of the cotangent times the derivative over its copies."""
    leaves = [mt.tensor(x, requires_grad=True) for x in xs]
    y = f(*leaves)
    expected = f(*xs)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-14)
    g = values(y.shape, 9)
    y.backward(g)
    for leaf, derivative in zip(leaves, derivatives, strict=True):
        assert leaf.grad.shape == leaf.shape
        each = g * np.broadcast_to(derivative(*xs), y.shape)
        np.testing.assert_allclose(leaf.grad.numpy(), summed_to(each, leaf.shape), rtol=1e-12)


@few
@given(mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3), st.sampled_from(sorted(BINARY)))
def test_two_arguments(shapes, name):
    """Any two shapes that broadcast, any binary operation."""
    xs = [values(shape, k) for k, shape in enumerate(shapes.input_shapes)]

    check(getattr(mt, name), xs, BINARY[name])


@few
@given(mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3))
def test_three_arguments(shapes):
    """x * y + z, and where(c, x, y), of any three shapes that broadcast."""
    c, *xs = (values(shape, k) for k, shape in enumerate(shapes.input_shapes))

    check(lambda x, y: x * y + c, xs, (lambda x, y: y, lambda x, y: x))
    check(lambda x, y: mt.where(c > 1, x, y), xs, (lambda x, y: c > 1, lambda x, y: c <= 1))
    check(lambda x, y, z: x * y + z, [*xs, c], (lambda x, y, z: y, lambda x, y, z: x, lambda x, y, z: 1.0))


@few
@given(mutually_broadcastable_shapes(num_shapes=2, min_dims=0, max_dims=3, min_side=0, max_side=2))
def test_empty_axes_broadcast_too(shapes):
    """An axis of size 0 sums to a gradient of zeros."""
    check(mt.multiply, [values(shape, k) for k, shape in enumerate(shapes.input_shapes)], BINARY["multiply"])


@few
@given(array_shapes(min_dims=0, max_dims=3, max_side=3), st.data())
def test_broadcast_to(shape, data):
    """broadcast_to to any shape that fits: each element's gradient is the sum of its copies'."""
    to = data.draw(broadcastable_shapes(shape, min_dims=len(shape), max_dims=4, max_side=3))
    to = np.broadcast_shapes(shape, to)

    check(lambda x: (mt if isinstance(x, mt.Tensor) else np).broadcast_to(x, to), [values(shape, 0)], [lambda x: 1.0])


@few
@given(mutually_broadcastable_shapes(signature="(i,j),(j,k)->(i,k)", max_dims=2, max_side=3))
def test_stacks_of_matrices(shapes):
    """matmul: stacks broadcast against each other, and each matrix's gradient is summed over its uses."""
    x, y = (values(shape, k) for k, shape in enumerate(shapes.input_shapes))
    leaves = mt.tensor(x, requires_grad=True), mt.tensor(y, requires_grad=True)
    ans = mt.matmul(*leaves)
    g = values(ans.shape, 9)
    ans.backward(g)

    np.testing.assert_allclose(ans.numpy(), x @ y, rtol=1e-14)
    by_x, by_y = np.einsum("...ik,...jk->...ij", g, y), np.einsum("...ij,...ik->...jk", x, g)
    for leaf, ct in zip(leaves, (by_x, by_y), strict=True):
        stacked = summed_stack(ct, leaf.shape)
        np.testing.assert_allclose(leaf.grad.numpy(), stacked, rtol=1e-12)


def summed_stack(ct, shape):
    """`ct` summed over the stack axes alone: a matrix axis of size 1 is not a broadcast one."""
    extra = ct.ndim - len(shape)
    ct = ct.sum(axis=tuple(range(extra)))
    return ct.sum(axis=tuple(i for i, n in enumerate(shape[:-2]) if n == 1), keepdims=True)
