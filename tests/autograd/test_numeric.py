"""Sums, extremes and products in other forms than numpy's own: the same numbers."""

import itertools

import numpy as np
import pytest

import mytorch as mt
from mytorch.autograd.ops.numeric import LONG, PIECES, VECTOR, add_at, add_rows, add_up, extreme, product

RNG = np.random.default_rng(0)
ARRAYS = {
    "matrix": RNG.normal(size=(7, 5)),
    "short rows": RNG.normal(size=(40, 3)),
    "long rows": RNG.normal(size=(3, LONG + 1)),
    "many rows": RNG.normal(size=(2 * LONG + 3, 2)),
    "many blocks of rows": RNG.normal(size=(2 * LONG, 2)),
    "many columns": RNG.normal(size=(2, 2 * LONG + 3)).T,
    "large": RNG.normal(size=(VECTOR // 64 + 3, 64)),
    "long vector": RNG.normal(size=VECTOR + 5),
    "by columns": RNG.normal(size=(5, 7)).T,
    "with gaps": RNG.normal(size=(14, 10))[::2, ::2],
    "repeated": np.broadcast_to(RNG.normal(size=5), (7, 5)),
    "stack": RNG.normal(size=(4, 6, 5)),
    "turned stack": RNG.normal(size=(5, 6, 4)).T,
    "four axes": RNG.normal(size=(2, 3, 4, 5)),
    "no rows": np.zeros((0, 5)),
    "no columns": np.zeros((5, 0)),
    "vector": RNG.normal(size=9),
    "number": np.array(2.5),
}


def axes(ndim):
    """Every way to name some of the axes."""
    each = range(-ndim, ndim)
    yield from (None, *each)
    yield from (a for n in range(ndim + 1) for a in itertools.combinations(each, n) if len({i % ndim for i in a}) == n)


@pytest.mark.parametrize("dtype", ["e", "f", "d", "i"])
@pytest.mark.parametrize("x", ARRAYS.values(), ids=ARRAYS)
def test_sums_are_those_of_numpy(x, dtype):
    """Over every axis and pair of axes, with and without keepdims, in shape, dtype and value."""
    x = (x * 3).astype(dtype)
    for axis, keepdims in itertools.product(axes(x.ndim), (False, True)):
        expected = np.add.reduce(x, axis, keepdims=keepdims)
        found = add_up(x, axis, keepdims)

        assert (np.shape(found), found.dtype) == (np.shape(expected), expected.dtype)
        np.testing.assert_allclose(found, expected, rtol=1e-2 if dtype == "e" else 1e-5, atol=1e-5)


@pytest.mark.parametrize("x", [x for x in ARRAYS.values() if x.ndim], ids=[k for k, x in ARRAYS.items() if x.ndim])
def test_rows_are_added(x):
    """add_rows is the sum over the first axis, also when that many rows were met before."""
    for _ in range(2):
        np.testing.assert_allclose(add_rows(x), x.sum(0), atol=1e-12)


SUMS = [((LONG, 4), 0), ((40 * LONG + 7, 4), 0), ((64, LONG), 1), ((300, 300), None), ((1 << 20,), None)]


@pytest.mark.parametrize(("shape", "axis"), SUMS)
def test_float32_sums_keep_their_digits(shape, axis):
    """However many numbers are added, the error is a few units in the last place; numpy's, over 40,000 rows, is 50."""
    x = np.random.default_rng(1).uniform(size=shape).astype(np.float32)

    np.testing.assert_allclose(add_up(x, axis), x.astype(float).sum(axis), rtol=1e-6)


@pytest.mark.parametrize("axis", [2, -3, (0, 2)])
def test_an_axis_that_is_not_there(axis):
    """numpy's error."""
    with pytest.raises(np.exceptions.AxisError):
        add_up(np.ones((3, 4)), axis)


@pytest.mark.parametrize("ufunc", [np.maximum, np.minimum])
@pytest.mark.parametrize("x", [x for x in ARRAYS.values() if x.size], ids=[k for k, x in ARRAYS.items() if x.size])
def test_extremes_are_those_of_numpy(ufunc, x):
    """Over every axis, and a nan stays one."""
    for y, axis, keepdims in itertools.product((x, np.where(x > 1, np.nan, x)), axes(x.ndim), (False, True)):
        expected = ufunc.reduce(y, axis, keepdims=keepdims)
        np.testing.assert_array_equal(extreme(ufunc, y, axis, keepdims), expected)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i4", "i8", "u8"])
@pytest.mark.parametrize(
    ("shape", "rows"), [((10, 40), (30,)), ((7, 8, 9), (2, 3, 4)), ((300, 4), (100,)), ((5,), (9,))]
)
def test_rows_are_added_at_an_index(shape, rows, dtype):
    """As by np.add.at, repeated rows and those counted from the end too; bit for bit."""
    index = RNG.integers(0 if dtype[0] == "u" else -5, 5, rows).astype(dtype)
    x = RNG.normal(size=rows + shape[1:])
    for at in (index, (index,)):
        expected, found = np.zeros(shape), np.zeros(shape)
        np.add.at(expected, at, x)
        add_at(found, at, x)

        np.testing.assert_array_equal(found, expected)


def test_a_row_that_is_not_there():
    """The error names the row, not the element."""
    with pytest.raises(IndexError, match="index 5 is out of bounds for axis 0 with size 3"):
        add_at(np.zeros((3, 200)), np.array([1, 5]), np.ones((2, 200)))


def test_products():
    """x @ y of matrices of every layout and dtype, and of what is no matrix."""
    x, y = RNG.normal(size=(4, 6)), RNG.normal(size=(6, 3))
    for a, b in ((x, y), (x.T.copy().T, y), (x[::-1], y[:, ::-1]), (x[0], y), (x, y[:, 0]), (x[None], y)):
        np.testing.assert_allclose(product(a, b), a @ b)
    assert product(x.astype(np.float32), y.astype(np.float32)).dtype == np.float32
    assert product(np.ones((2, 2), int), np.ones((2, 2), int)).dtype == int


def test_a_tensor_sums_like_an_array():
    """sum and mean of a Tensor are the functions above, in float32 too."""
    x = RNG.normal(size=(100, 10)).astype(np.float32)

    assert mt.tensor(x).sum(0).dtype == mt.tensor(x).mean(1).dtype == np.float32
    np.testing.assert_allclose(mt.tensor(x).sum(0).numpy(), x.sum(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(mt.tensor(x).mean(1, True).numpy(), x.mean(1, keepdims=True), rtol=1e-5, atol=1e-6)


def test_what_is_no_axis_is_refused():
    """Floats, truths and lists are no axes, and the error names the operation and the shape."""
    x = mt.tensor(np.ones((64, 2)))
    for f in (mt.sum, mt.mean, mt.max):
        for axis in (1.0, [0]):
            with pytest.raises(TypeError, match=rf"{f.__name__}: .*\(64, 2\) float64, (1\.0|\[0\])$"):
                f(x, axis)


def test_linear_by_keywords():
    """linear takes its arguments by the names it shows."""
    x, weight, bias = (mt.tensor(RNG.normal(size=s), requires_grad=True) for s in ((4, 3), (2, 3), (2,)))
    mt.linear(x=x, weight=weight, bias=bias).sum().backward()

    np.testing.assert_allclose(bias.grad.numpy(), [4, 4])


def test_many_sizes_cost_no_memory():
    """The ones that sums are products with are pieces of one array, however many sizes there are."""
    for n in range(1, 300):
        add_up(np.zeros((n, 2)), 0)

    assert len({id(ones.base) for ones in PIECES[np.dtype(float)].values()}) == 1
