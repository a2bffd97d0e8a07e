"""The conventions where a derivative does not exist, and that nothing is lost at the edge of a domain."""

import math

import numpy as np
import pytest

import mytorch as mt

MASK = np.array([[True], [False]])


def gradients(f, *xs, create_graph=False):
    """The gradients of the sum of f(*xs); what the forward warns of is not the subject here."""
    leaves = [mt.tensor(x, requires_grad=True) for x in xs]
    with np.errstate(all="ignore"):
        total = f(*leaves).sum()
    total.backward(create_graph=create_graph)
    return [x.grad for x in leaves]


def gradient(f, x):
    """The gradient by one argument: the same from an ordinary backward and from one that is recorded."""
    (plain,), (recorded,) = gradients(f, x), gradients(f, x, create_graph=True)

    np.testing.assert_array_equal(plain.numpy(), recorded.numpy())
    return plain.numpy()


def second(f, x):
    """The sums of the rows of the Hessian: for an elementwise f its second derivative."""
    x = mt.tensor(x, requires_grad=True)
    with np.errstate(all="ignore"):
        total = f(x).sum()
    total.backward(create_graph=True)
    slope, x.grad = x.grad.sum(), None
    if not slope.requires_grad:
        return np.zeros(x.shape)
    slope.backward()
    return x.grad.numpy()


# ----- kinks -----


@pytest.mark.parametrize("f", [mt.relu, mt.abs, mt.fabs], ids=lambda f: f.__name__)
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_kink_at_zero(f, zero):
    """relu'(0) = abs'(0) = 0, at -0.0 too."""
    assert gradient(f, np.array([zero]))[0] == 0


def test_maximum_and_minimum_share():
    """Equal arguments share the cotangent equally; otherwise all goes to the one chosen."""
    x, y = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0])
    for f, (gx, gy) in ((mt.maximum, ([0, 0.5, 1], [1, 0.5, 0])), (mt.minimum, ([1, 0.5, 0], [0, 0.5, 1]))):
        got = gradients(f, x, y)

        assert [g.tolist() for g in got] == [gx, gy]


def test_clip_shares_on_a_bound():
    """On a bound, x and the bound share; outside, all goes to the bound."""
    x, low = np.array([0.0, 1.0, 2.0]), np.array(1.0)
    gx, glow = gradients(lambda x, low: mt.clip(x, low, 5.0), x, low)

    assert gx.tolist() == [0, 0.5, 1]
    assert glow.item() == 1.5


@pytest.mark.parametrize("f", [mt.max, mt.min], ids=lambda f: f.__name__)
def test_ties_of_a_reduction_share(f):
    """All elements that attain an extreme have equal parts of it, over one axis, several or all."""
    sign = 1.0 if f is mt.max else -1.0
    x = sign * np.array([[3.0, 3.0, 1.0], [3.0, 2.0, 2.0]])

    np.testing.assert_allclose(gradient(f, x), np.array([[1, 1, 0], [1, 0, 0]]) / 3)
    np.testing.assert_allclose(gradient(lambda x: f(x, axis=0), x), [[0.5, 1, 0], [0.5, 0, 1]])
    np.testing.assert_allclose(gradient(lambda x: f(x, axis=1, keepdims=True), x), [[0.5, 0.5, 0], [1, 0, 0]])
    stack = np.stack([x, x])
    np.testing.assert_allclose(gradient(lambda x: f(x, axis=(0, 2)), stack), np.array([[[2, 2, 0], [4, 0, 0]]] * 2) / 8)


def test_sort_keeps_the_order_of_equals():
    """Equal elements keep their order: each place of the answer has one source."""
    weights = np.array([1.0, 10.0, 100.0])

    np.testing.assert_array_equal(gradient(lambda x: mt.sort(x) * weights, np.array([2.0, 1.0, 2.0])), [10, 1, 100])


def test_remainder_at_a_jump():
    """Where the remainder is 0 its slope is that of the piece that begins there."""
    x, y = gradients(mt.remainder, np.array([4.0, -4.0]), np.array([2.0, 2.0]))

    assert (x.tolist(), y.tolist()) == ([1, 1], [-2, 2])


# ----- roots of 0 -----


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (mt.norm, np.zeros(3)),
        (lambda x: mt.norm(x, axis=1), np.array([[0.0, 0.0], [3.0, 4.0]])),
        (mt.std, np.full(3, 2.0)),
        (lambda x: mt.std(x, axis=0, keepdims=True), np.ones((2, 3))),
        (mt.std, np.array([5.0])),
        (mt.var, np.array([5.0])),
    ],
)
def test_root_of_zero(f, x):
    """norm'(0) = std'(0) = 0, where the slope is anything between -1 and 1; so is var' of one element."""
    expected = np.zeros_like(x)
    if x.shape == (2, 2):
        expected[1] = 0.6, 0.8

    np.testing.assert_allclose(gradient(f, x), expected)


def test_hypot_of_zeros():
    """hypot'(0, 0) = 0; beside it the slope is x / hypot."""
    x, y = np.array([0.0, 3.0, 0.0]), np.array([0.0, 4.0, 2.0])

    gx, gy = gradients(mt.hypot, x, y)

    np.testing.assert_allclose(gx.numpy(), [0, 0.6, 0])
    np.testing.assert_allclose(gy.numpy(), [0, 0.8, 1])


# ----- a cotangent of 0 stays 0 through a singular operation -----

SINGULAR = {  # name: (f, where it is smooth, where it is not)
    "log": (mt.log, [0.5, 2.0], [0.0, -1.0]),
    "log2": (mt.log2, [0.5, 2.0], [0.0, -1.0]),
    "log10": (mt.log10, [0.5, 2.0], [0.0, -1.0]),
    "log1p": (mt.log1p, [0.5, -0.5], [-1.0, -2.0]),
    "sqrt": (mt.sqrt, [0.5, 2.0], [0.0, -1.0]),
    "cbrt": (mt.cbrt, [0.5, -2.0], [0.0, -0.0]),
    "divide": (lambda x: 1 / x, [0.5, -2.0], [0.0, -0.0]),
    "divide by itself": (lambda x: x / x, [0.5, -2.0], [0.0, -0.0]),
    "reciprocal": (mt.reciprocal, [0.5, -2.0], [0.0, -0.0]),
    "power": (lambda x: x**0.5, [0.5, 2.0], [0.0, -1.0]),
    "power of -1": (lambda x: x**-1.0, [0.5, -2.0], [0.0, -0.0]),
    "power of itself": (lambda x: x**x, [0.5, 2.0], [-1.0, -0.5]),
    "arcsin": (mt.arcsin, [0.5, -0.2], [1.0, 2.0]),
    "arccos": (mt.arccos, [0.5, -0.2], [-1.0, -2.0]),
    "arccosh": (mt.arccosh, [1.5, 2.0], [1.0, 0.5]),
    "arctanh": (mt.arctanh, [0.5, -0.2], [1.0, 2.0]),
    "arctan2": (lambda x: mt.arctan2(x, x), [0.5, -0.2], [0.0, -0.0]),
    "logaddexp": (lambda x: mt.logaddexp(x, x), [0.5, -0.2], [np.inf, -np.inf]),
    "remainder": (lambda x: mt.remainder(1.0, x), [0.3, -0.7], [0.0, -0.0]),
    "exp": (mt.exp, [0.5, -2.0], [1e4, np.inf]),
    "exp2": (mt.exp2, [0.5, -2.0], [1e5, np.inf]),
    "expm1": (mt.expm1, [0.5, -2.0], [1e4, np.inf]),
    "sinh": (mt.sinh, [0.5, -2.0], [1e4, -np.inf]),
    "cosh": (mt.cosh, [0.5, -2.0], [1e4, -np.inf]),
    "sin": (mt.sin, [0.5, -2.0], [np.inf, -np.inf]),
    "square": (mt.square, [0.5, -2.0], [1e200, np.inf]),
    "log of exp": (lambda x: mt.log(mt.exp(x)), [0.5, -2.0], [1e4, -1e4]),
    "sqrt of log": (lambda x: mt.sqrt(mt.log(x)), [1.5, 2.0], [0.0, 0.5]),
    "exp of 1/x": (lambda x: mt.exp(1 / x), [0.5, -2.0], [0.0]),
}


@pytest.mark.parametrize(
    ("f", "smooth", "singular"),
    [(f, smooth, bad) for f, smooth, singular in SINGULAR.values() for bad in singular],
    ids=[f"{name} at {bad}" for name, row in SINGULAR.items() for bad in row[2]],
)
def test_zero_cotangent_stays_zero(f, smooth, singular):
    """where(used, f(x), 0) has the derivatives of f where it is used, and 0 where not, to second order."""
    used, x = np.array([True, False, True]), np.array([smooth[0], singular, smooth[1]])
    guarded = lambda x: mt.where(used, f(x), 0.0)

    for derivative in (gradient, second):
        got = derivative(guarded, x)
        assert got[1] == 0
        np.testing.assert_allclose(got[used], derivative(f, x[used]), rtol=1e-12, atol=1e-12)


def test_singular_and_used():
    """A cotangent that is not 0 meets infinity: the gradient is infinite, with a warning that names the operation."""
    x = mt.tensor([0.0, 4.0], requires_grad=True)
    with pytest.warns(RuntimeWarning, match="backward of sqrt: .*; the gradient is not finite"):
        mt.sqrt(x).sum().backward()

    assert x.grad.tolist() == [np.inf, 0.25]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("row", [[-np.inf, -np.inf], [np.inf, 0.0]])
def test_rows_without_a_softmax_pass_nothing_back_where_unused(row):
    """A row whose largest element is infinite has no softmax; where that is not used, its gradients are 0."""
    x = mt.tensor([[0.0, 1.0], row], requires_grad=True)
    mt.where(np.array([[True], [False]]), mt.log_softmax(x, 1), 0.0).sum().backward(create_graph=True)
    p = np.exp([0, 1]) / np.exp([0, 1]).sum()

    np.testing.assert_allclose(x.grad.numpy(), [1 - 2 * p, [0, 0]], atol=1e-15)
    second = mt.grad(lambda x: mt.grad(lambda x: mt.where(MASK, mt.log_softmax(x, 1), 0.0).sum())(x)[0, 0])
    found = second(np.array([[0.0, 1.0], row]))
    np.testing.assert_allclose(found, [[-2 * p[0] * p[1], 2 * p[0] * p[1]], [0, 0]], atol=1e-15)

    slope = mt.grad(lambda x: mt.where(MASK, mt.softmax(x, 1), 0.0)[0, 0])(np.array([[0.0, 1.0], row]))
    np.testing.assert_allclose(slope, [[p[0] * p[1], -p[0] * p[1]], [0, 0]], atol=1e-15)


# ----- no overflow, no loss -----


def test_far_from_zero():
    """sigmoid, tanh, relu, logsumexp and the softmaxes are exact at +-1e4, gradients too, without a warning."""
    x = np.array([-1e4, 1e4])

    for f, value, slope in (
        (mt.sigmoid, [0, 1], [0, 0]),
        (mt.tanh, [-1, 1], [0, 0]),
        (mt.relu, [0, 1e4], [0, 1]),
        (mt.logsumexp, 1e4, [0, 1]),
        (mt.softmax, [0, 1], [0, 0]),
        (mt.log_softmax, [-2e4, 0], [1, -1]),
        (lambda x: mt.logaddexp(x, 0.0), [0, 1e4], [0, 1]),
        (lambda x: mt.hypot(x * 1e200, 1.0), [1e204, 1e204], [-1e200, 1e200]),
    ):
        assert f(x).tolist() == value
        assert gradient(f, x).tolist() == slope


def test_near_zero():
    """expm1, log1p and sigmoid keep all digits of tiny arguments and answers."""
    x = np.array([1e-20, 3e-18])

    assert mt.expm1(x).tolist() == mt.log1p(x).tolist() == x.tolist()
    assert mt.sigmoid(np.array(-700.0)) == pytest.approx(np.exp(-700.0), rel=1e-14)
    assert gradient(mt.sigmoid, np.array(-700.0)) == pytest.approx(np.exp(-700.0), rel=1e-14)


def test_sigmoid_in_float32_has_no_gap():
    """Every half of sigmoid is computed from the small exponential: no step at 0, and symmetric."""
    x = np.linspace(-20, 20, 81, dtype=np.float32)

    np.testing.assert_allclose(mt.sigmoid(x), 1 / (1 + np.exp(-x.astype(float))), rtol=3e-7)


# ----- products with zeros, powers of 0 -----


@pytest.mark.parametrize("zeros", [(), (1,), (0, 2), (0, 1, 2)], ids=str)
def test_prod_with_zeros(zeros):
    """Each element's derivative is the product of the others, and that of two the product of the rest, at 0 too."""
    x = np.array([2.0, -3.0, 0.5, 5.0])
    x[list(zeros)] = 0

    others = [np.prod(np.delete(x, i)) for i in range(4)]
    rest = [[0 if i == j else np.prod(np.delete(x, [i, j])) for j in range(4)] for i in range(4)]
    np.testing.assert_allclose(gradient(mt.prod, x), others, rtol=1e-14)
    np.testing.assert_allclose(mt.hessian(mt.prod)(x), rest, rtol=1e-14, atol=1e-15)


def test_prod_with_zeros_over_axes():
    """A row with a zero does not spoil the others."""
    x = np.array([[[1.0, 2.0], [0.0, 3.0]], [[4.0, 5.0], [6.0, 7.0]]])

    for axis in (0, -1, (0, 2), (1, 2), None):
        assert mt.gradcheck(lambda x, axis=axis: mt.prod(x, axis=axis), x)


def test_power_of_zero():
    """x**0, x**1 and x**2 are polynomials: 0 is no special place, to second order."""
    x = np.array([0.0, -0.0, 2.0])
    for y, slope, bend in ((0, [0, 0, 0], [0, 0, 0]), (1, [1, 1, 1], [0, 0, 0]), (2, [0, 0, 4], [2, 2, 2])):
        for exponent in (y, float(y), np.full(3, float(y))):
            f = lambda x, exponent=exponent: x**exponent
            assert gradient(f, x).tolist() == slope
            assert second(f, x).tolist() == bend


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning", "ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("y", [1, 3, 4, 5, -2, -3, 3.0])
def test_whole_powers_are_those_of_numpy(y, dtype):
    """Products in their place agree to a few units in the last place, and at 0, -0, infinities and nan."""
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-30, -3e30, *np.linspace(-3, 3, 101)], dtype)
    answer = mt.power(mt.tensor(x), y)

    assert answer.dtype == dtype
    np.testing.assert_allclose(answer.numpy(), x**y, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)
    np.testing.assert_array_equal(np.signbit(answer.numpy()), np.signbit(x**y))


def test_whole_powers_are_polynomials():
    """x**3 and its derivatives, at 0 and below, to third order."""
    x = np.array([-2.0, 0.0, 0.5])
    f = lambda x: (x**3).sum()
    for expected in (3 * x**2, 6 * x, np.full(3, 6.0), np.zeros(3)):
        np.testing.assert_allclose(mt.grad(f)(x), expected)
        f = lambda x, f=f: mt.grad(f)(x).sum()


def test_power_by_its_exponent():
    """0**y has slope 0 by y for y > 0; an integer base is a constant like any other."""
    assert gradient(lambda y: mt.power(0.0, y), np.array([1.0, 2.5])).tolist() == [0, 0]
    slope = gradient(lambda y: mt.power(np.array([2, 3]), y), np.array([1.0, 2.0]))
    np.testing.assert_allclose(slope, [2 * np.log(2), 9 * np.log(3)])


# ----- small and empty -----


def test_var_of_one_element():
    """One number has no deviation from its mean: value and slope are 0 to any order."""
    for f, x in ((mt.var, np.array([3.0])), (lambda x: mt.var(x, axis=1, keepdims=True), np.array([[3.0], [4.0]]))):
        assert (f(x) == 0).all()
        assert (gradient(f, x) == 0).all()
        assert (second(f, x) == 0).all()


@pytest.mark.parametrize(
    ("f", "value"),
    [
        (mt.sum, 0.0),
        (mt.prod, 1.0),
        (mt.exp, []),
        (mt.norm, 0.0),
        (lambda x: x + np.ones((3, 1)), [[], [], []]),
        (lambda x: x @ np.ones((0, 2)), [0.0, 0.0]),
        (lambda x: mt.inner(x, x), 0.0),
        (lambda x: mt.einsum("i,i->", x, x), 0.0),
        (lambda x: mt.concatenate([x, np.ones(2)]), [1.0, 1.0]),
        (lambda x: mt.stack([x, x]), [[], []]),
        (lambda x: mt.cumsum(x), []),
        (lambda x: mt.sort(x), []),
        (lambda x: mt.pad(x, 1), [0.0, 0.0]),
        (lambda x: x[np.array([], int)], []),
        (lambda x: x[::-1], []),
        (lambda x: x.reshape(3, 0), [[], [], []]),
        (lambda x: mt.broadcast_to(x, (2, 0)), [[], []]),
        (lambda x: mt.where(x > 0, x, 1.0), []),
        (lambda x: mt.maximum(x, 0.0), []),
        (lambda x: mt.repeat(x, 2), []),
    ],
)
def test_empty(f, value):
    """An empty array is an array: numpy's answer, and a gradient of shape (0,)."""
    assert f(np.empty(0)).tolist() == value
    assert gradient(f, np.empty(0)).shape == (0,)


def test_mean_of_nothing():
    """The mean of nothing is nan, with numpy's warning; its gradient is empty."""
    x = mt.tensor(np.empty((0, 3)), requires_grad=True)
    with pytest.warns(RuntimeWarning):
        y = mt.mean(x)
    y.backward()

    assert np.isnan(y.item())
    assert x.grad.shape == (0, 3)
    assert gradient(lambda x: mt.mean(x, axis=1), np.empty((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("name", ["max", "min"])
def test_extreme_of_nothing(name):
    """There is no largest of no elements: the error names the operation."""
    with pytest.raises(ValueError, match=f"{name}: zero-size array"):
        getattr(mt, name)(mt.tensor(np.empty(0)))


ONE = np.array(0.7)


@pytest.mark.parametrize(
    "f",
    [
        mt.exp, mt.relu, mt.sigmoid, mt.abs, mt.square, mt.sum, mt.mean, mt.var, mt.max, mt.prod, mt.norm, mt.logsumexp,
        lambda x: x * x + 2 / x - x**3,
        lambda x: mt.where(x > 0, x, -x),
        lambda x: mt.clip(x, 0, 1),
        lambda x: x[()] * x[...] + x[None][0],
        lambda x: mt.stack([x, x * x]),
        lambda x: mt.concatenate([x[None], x.reshape(1)]),
        lambda x: mt.broadcast_to(x, (2, 2)),
        lambda x: x.reshape(1, 1).squeeze(),
        lambda x: mt.transpose(x),
        lambda x: mt.einsum(",i->i", x, np.ones(2)),
        lambda x: mt.inner(x[None], x[None]),
        lambda x: mt.dot(x, x),
        lambda x: mt.tile(x, 2),
        lambda x: mt.repeat(x, 2),
        lambda x: mt.ravel(x),
        lambda x: mt.pad(x[None], 1),
        lambda x: mt.setitem(x, (), 2 * x),
        lambda x: x.astype(np.float64),
        lambda x: mt.roll(x[None], 1),
        lambda x: mt.cumsum(x),
    ],
)  # fmt: skip
def test_number(f):
    """A number, shape (), is an array of no axes: all operations take it, to second order."""
    assert mt.gradcheck(f, ONE, order=2)
    assert f(mt.tensor(ONE)).shape == np.shape(f(ONE))


# ----- axes -----


def test_no_axes():
    """axis=() reduces over nothing: every element is its own sum, mean, product and extreme."""
    x = np.array([[1.0, 0.0], [3.0, -4.0]])
    for f in (mt.sum, mt.mean, mt.prod, mt.max, mt.min):
        reduced = lambda x, f=f: f(x, axis=())
        assert reduced(x).tolist() == x.tolist()
        assert (gradient(reduced, x) == 1).all()


# ----- signs of zero, nan, infinity -----


def test_negative_zero():
    """-0.0 keeps its sign where numpy keeps it, and its slope is that of 0.0."""
    x = np.array([-0.0])
    for f in (mt.negative, mt.sin, mt.sqrt, mt.tanh, lambda x: x.reshape(1, 1), lambda x: x[0]):
        assert np.signbit(f(mt.tensor(x)).numpy()) == np.signbit(f(x))
    for f in (mt.sin, mt.tanh, mt.square, lambda x: x * x):
        np.testing.assert_array_equal(gradient(f, x), gradient(f, np.array([0.0])))


def test_nan_passes_through():
    """A nan stays a nan in the answer, and spoils the gradient of its own element only."""
    x = np.array([1.0, np.nan, 3.0])
    for f in (mt.exp, mt.tanh, mt.square, mt.log, lambda x: x * x, lambda x: x**2):
        answer, slope = f(mt.tensor(x)), gradient(f, x)
        assert np.isnan(answer.numpy()).tolist() == np.isnan(slope).tolist() == [False, True, False]
    for f in (mt.sum, mt.mean, mt.max, mt.prod, mt.logsumexp):
        assert np.isnan(f(mt.tensor(x)).item())
    assert np.isnan(mt.maximum(mt.tensor(x), 2.0).numpy()).tolist() == [False, True, False]


def test_infinity():
    """Infinite answers and arguments are numbers: their neighbours keep right gradients."""
    x = np.array([-np.inf, 0.0, 1.0])

    assert gradient(mt.exp, x).tolist() == [0, 1, np.e]
    assert gradient(mt.softmax, x).tolist() == pytest.approx([0, 0, 0])
    assert mt.logsumexp(x) == pytest.approx(np.log(1 + np.e))
    np.testing.assert_allclose(gradient(mt.logsumexp, x), [0, 1 / (1 + np.e), np.e / (1 + np.e)])


# ----- dtypes -----


def test_integers_among_floats():
    """Integer and boolean arguments are constants: no gradient, numpy's dtype for the answer."""
    x, n = mt.tensor([1.5, 2.5], requires_grad=True), mt.tensor([2, 3])
    for f, slope in (
        (lambda: x * n, [2, 3]),
        (lambda: n * x, [2, 3]),
        (lambda: x / n, [1 / 2, 1 / 3]),
        (lambda: x**n, [3, 18.75]),
        (lambda: x + True, [1, 1]),
        (lambda: mt.maximum(n, x), [0, 0]),
        (lambda: mt.where(n > 2, x, n), [0, 1]),
        (lambda: mt.concatenate([x, n]), [1, 1]),
        (lambda: mt.inner(n, x), [2, 3]),
        (lambda: x @ np.array([[1, 0], [0, 1]]), [1, 1]),
        (lambda: mt.einsum("i,i->", n, x), [2, 3]),
    ):
        x.grad = None
        y = f()
        y.sum().backward()

        assert y.dtype == x.grad.dtype == np.float64
        np.testing.assert_allclose(x.grad.numpy(), slope)
    assert n.grad is None


def test_integers_alone():
    """Integers in, numpy's answer out, and nothing is recorded."""
    n = mt.tensor([[1, 2], [3, 4]])
    for f in (mt.sum, mt.exp, lambda n: n @ n, lambda n: n * 2, lambda n: n[0], lambda n: n / 2, mt.mean, mt.prod):
        y, expected = f(n), f(n.numpy())
        assert (y.dtype, y.requires_grad) == (expected.dtype, False)
        np.testing.assert_array_equal(y.numpy(), expected)


def test_astype():
    """A cast passes the cotangent back in the argument's dtype; nothing flows through an integer or boolean one."""
    x = mt.tensor([1.7, 2.2], requires_grad=True)
    y = x.astype(np.float32)
    (y * y).sum().backward()

    assert (y.dtype, x.grad.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(x.grad.numpy(), 2 * x.numpy(), rtol=1e-6)
    for dtype in (int, bool, np.int8):
        assert x.astype(dtype).dtype == dtype
        assert not x.astype(dtype).requires_grad


def test_float16():
    """float16 stays float16, in answers and gradients."""
    x = mt.tensor(np.array([[0.5, 1.5], [2.0, -1.0]], np.float16), requires_grad=True)
    for f in (
        mt.exp, mt.sigmoid, mt.relu, mt.abs, lambda x: x * x + 1, lambda x: x / 3.0, mt.mean, mt.sum, mt.var, mt.max,
        mt.softmax, mt.logsumexp, mt.norm, lambda x: x @ x, lambda x: mt.inner(x, x), lambda x: x[0], mt.prod,
        lambda x: mt.where(x > 0, x, 0), lambda x: mt.einsum("ij,kj", x, x), lambda x: x**2,
    ):  # fmt: skip
        x.grad = None
        y = f(x)
        y.sum().backward()
        assert (y.dtype, x.grad.dtype, x.grad.shape) == (np.float16, np.float16, (2, 2))


def test_mean_of_float16_does_not_overflow():
    """The mean of numbers whose sum is beyond float16 is right, and so is its slope."""
    x = np.full(1000, 100.0, np.float16)

    assert mt.mean(x) == 100
    assert gradient(mt.mean, x)[0] == np.float16(0.001)
    scaled = gradient(lambda x: mt.mean(x) * 1024, np.ones(70_000, np.float16))  # more than a float16 counts
    assert scaled[0] == pytest.approx(1024 / 70_000, rel=2e-3)


def test_the_root_of_a_large_float16_has_a_slope():
    """Nothing in the rule of sqrt is larger than its argument."""
    assert gradient(mt.sqrt, np.array([30_000], np.float16)) == pytest.approx(0.5 / np.sqrt(30_000), rel=2e-3)


def test_no_digits_are_lost_beside_singular_points():
    """The derivatives of the inverse functions beside 1, and log_softmax beside 0, are good to rounding."""
    d = 2.0**-40
    beside = {mt.arcsin: 1 - d, mt.arccos: 1 - d, mt.arctanh: 1 - d, mt.arccosh: 1 + d}
    exact = {mt.arcsin: 1, mt.arccos: -1, mt.arctanh: 1 / math.sqrt(d * (2 - d)), mt.arccosh: 1}
    for f, x in beside.items():
        root = math.sqrt(d * (2 + d if x > 1 else 2 - d))
        assert mt.grad(f)(x) == pytest.approx(exact[f] / root, rel=4e-16)
    assert mt.log_softmax(np.array([1e9, 1e9 - 20]))[0] == pytest.approx(-math.log1p(math.exp(-20)), rel=1e-6)
