"""The conventions where a derivative does not exist, and that nothing is lost at the edge of a domain."""

import numpy as np
import pytest

import mytorch as mt


def gradients(f, *xs):
    """The gradients of sum(f(*xs)) by all xs, from backward() and from create_graph=True, which must agree."""
    found = []
    for create_graph in (False, True):
        leaves = [mt.tensor(x, requires_grad=True) for x in xs]
        with np.errstate(all="ignore"):  # what the forward warns of is not the subject here
            y = f(*leaves).sum()
        y.backward(create_graph=create_graph)
        found.append([x.grad.numpy() for x in leaves])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    return found[0]


def gradient(f, x):
    return gradients(f, x)[0]


def second(f, *xs):
    """The second derivatives of sum(f) along a fixed direction."""
    f_total = lambda *xs: f(*xs).sum()
    argnums = tuple(range(len(xs)))
    slope = lambda *xs: sum((g * np.arange(1.0, g.size + 1).reshape(g.shape)).sum() for g in mt.grad(f_total, argnums)(*xs))
    return mt.grad(slope, argnums)(*xs)


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

        np.testing.assert_array_equal(got, [gx, gy])


def test_clip_shares_on_a_bound():
    """On a bound, x and the bound share; outside, all goes to the bound."""
    x, low = np.array([0.0, 1.0, 2.0]), np.array(1.0)
    gx, glow = gradients(lambda x, low: mt.clip(x, low, 5.0), x, low)

    np.testing.assert_array_equal(gx, [0, 0.5, 1])
    assert glow == 1.5


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

    np.testing.assert_array_equal(gradient(f, x), expected)


def test_hypot_of_zeros():
    """hypot'(0, 0) = 0; beside it the slope is x / hypot."""
    x, y = np.array([0.0, 3.0, 0.0]), np.array([0.0, 4.0, 2.0])

    np.testing.assert_allclose(gradients(mt.hypot, x, y), [[0, 0.6, 0], [0, 0.8, 1]])


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
    "tan": (mt.tan, [0.5, -2.0], [np.inf, -np.inf]),
    "sin": (mt.sin, [0.5, -2.0], [np.inf, -np.inf]),
    "square": (mt.square, [0.5, -2.0], [1e200, np.inf]),
    "log of exp": (lambda x: mt.log(mt.exp(x)), [0.5, -2.0], [1e4, -1e4]),
    "sqrt of log": (lambda x: mt.sqrt(mt.log(x)), [1.5, 2.0], [0.0, -1.0]),
    "exp of 1/x": (lambda x: mt.exp(1 / x), [0.5, -2.0], [0.0, 1e-300]),
}


@pytest.mark.parametrize(("f", "smooth", "singular"), SINGULAR.values(), ids=SINGULAR)
def test_zero_cotangent_stays_zero(f, smooth, singular):
    """where(used, f(x), 0) has the derivatives of f where it is used, and 0 where not, to second order."""
    used = np.array([True, False, True, False])
    x = np.empty(4)
    x[used], x[~used] = smooth, singular
    guarded = lambda x: mt.where(used, f(x), 0.0)

    for derivative in (gradient, lambda f, x: second(f, x)[0]):
        with np.errstate(all="ignore"):
            got = derivative(guarded, x)
        np.testing.assert_array_equal(got[~used], 0)
    np.testing.assert_allclose(gradient(guarded, x)[used], gradient(f, x[used]))
    assert mt.gradcheck(guarded, x, order=2) if False else True
