"""gradcheck: what is right passes, and what is wrong by little fails with the two numbers."""

import re

import numpy as np
import pytest

import mytorch as mt
from mytorch.autograd import defvjp, primitive

X = np.array([0.7, -1.3, 2.1, 0.2])


def cube(rule):
    """x**3 with a rule of one's own."""

    @primitive
    def cube(x):
        return x**3

    defvjp(cube, rule)
    return cube


RIGHT = {
    "a primitive": (mt.tanh, X),
    "numpy's": (np.sin, X),
    "a number": (lambda x: x**3, 2.0),
    "two arguments": (lambda x, y: x * y, X, X[::-1].copy()),
    "broadcasting": (lambda x, y: x * y, X, np.array([[2.0], [3.0]])),
    "an integer beside": (lambda x, n: x**n, X, 3),
    "nested": (lambda p: {"y": p["w"] * p["b"], "z": [p["b"] ** 2]}, {"w": X, "b": 0.5}),
    "a Tensor": (mt.exp, mt.tensor(X)),
    "float32, checked in float64": (mt.exp, X.astype(np.float32)),
    "zero slope": (lambda x: x * 0.0, X),
    "a slope of 1e-5": (lambda x: x * 1e-5, X),
    "constant": (lambda x: np.ones(2), X),
    "an empty array": (lambda x: x * x, np.ones((0, 3))),
    "a custom op": (cube(lambda g, ans, x: g * 3 * x**2), X),
    "a matrix": (lambda x: x @ x.T, np.arange(6.0).reshape(2, 3)),
    "cancellation": (lambda x: (x + 1e4) ** 2 - 1e8, X),
}


@pytest.mark.parametrize("case", RIGHT.values(), ids=RIGHT)
@pytest.mark.parametrize("order", [1, 2])
def test_right_rules_pass(case, order):
    """To the second order."""
    assert mt.gradcheck(*case, order=order)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize("outer", [1e-6, 1.0, 1e6])
def test_right_rules_pass_at_every_scale(scale, outer):
    """Of the inputs and of the answers."""
    assert mt.gradcheck(lambda x: outer * x**3, X * scale)
    assert mt.gradcheck(lambda x: outer * mt.sin(x / scale), X * scale)


def _zero_where_small(g, ans, x):
    slope = 3 * x**2
    return g * slope * (slope > 1e-4)


WRONG = {
    "scaled by 1.001": lambda g, ans, x: g * 3 * x**2 * 1.001,
    "scaled by 0.999": lambda g, ans, x: g * 3 * x**2 * 0.999,
    "negated": lambda g, ans, x: -g * 3 * x**2,
    "zero": lambda g, ans, x: g * 0,
    "offset by a constant": lambda g, ans, x: g * (3 * x**2 + 0.01),
    "wrong power": lambda g, ans, x: g * 3 * x**3,
    "wrong at one element": lambda g, ans, x: g * 3 * x**2 * np.array([1.0, 1, 1.001, 1]),
    "ignores the cotangent": lambda g, ans, x: 3 * x**2 + 0 * g,
    "nan": lambda g, ans, x: g * np.nan,
    "infinite": lambda g, ans, x: g * np.inf,
    "another element's": lambda g, ans, x: g * 3 * x[::-1] ** 2,
}


@pytest.mark.filterwarnings("ignore:backward of cube")  # the infinite one
@pytest.mark.parametrize("rule", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_wrong_rules_fail(rule, scale):
    """By one part in a thousand, at one element, in sign, at every scale of the answer."""
    with pytest.raises(mt.GradcheckError):
        mt.gradcheck(lambda x: cube(rule)(x) * scale, X)


def test_a_zero_where_the_slope_is_small_fails():
    """The tolerance is relative to the derivative itself: 0 for 1e-5 is wrong, though other slopes are large."""
    x = np.array([np.sqrt(1e-5 / 3), 1.0, 50.0])
    assert mt.gradcheck(cube(lambda g, ans, x: g * 3 * x**2), x)
    with pytest.raises(mt.GradcheckError):
        mt.gradcheck(cube(_zero_where_small), x)


def test_a_missing_term_of_one_part_in_a_thousand_fails():
    """Of two arguments, the one that is wrong is found."""

    @primitive
    def product(x, y):
        return x * y

    defvjp(product, lambda g, ans, x, y: g * y, lambda g, ans, x, y: g * x * 1.001)
    with pytest.raises(mt.GradcheckError, match=r"by input 1\["):
        mt.gradcheck(product, X, X + 1)


def test_a_wrong_second_derivative_fails_at_order_two():
    """A rule that closes over an array instead of its argument is right once and wrong twice."""
    saved = cube(lambda g, ans, x: g * (3 * np.asarray(getattr(x, "data", x)) ** 2))
    assert mt.gradcheck(saved, X)
    with pytest.raises(mt.GradcheckError, match="order 2"):
        mt.gradcheck(saved, X, order=2)


def test_a_wrong_third_derivative_fails_at_order_three():
    """And not before."""
    assert mt.gradcheck(lambda x: x**4, np.array([0.7, 1.2]), order=3)

    @primitive
    def half(x):
        return 6 * x**2

    defvjp(half, lambda g, ans, x: g * 12 * x.detach() if isinstance(x, mt.Tensor) else g * 12 * x)
    wrong = cube(lambda g, ans, x: g * half(x) / 2)
    assert mt.gradcheck(wrong, X, order=2)
    with pytest.raises(mt.GradcheckError, match="order 3"):
        mt.gradcheck(wrong, X, order=3)


def test_the_message_shows_both_numbers():
    """What the rule gave, what the differences gave with their error, and where."""
    with pytest.raises(mt.GradcheckError) as caught:
        mt.gradcheck(cube(WRONG["wrong at one element"]), X)
    message = str(caught.value)
    rule, differences = (float(re.search(rf"{name} +([-+.e\d]+)", message)[1]) for name in ("rule says", "differences say"))

    assert rule == pytest.approx(3 * X[2] ** 2 * 1.001, rel=1e-9)
    assert differences == pytest.approx(3 * X[2] ** 2, rel=1e-7)
    assert "cube" in message and "answer[2] by input[2]" in message
    assert "1 wrong, 15 correct" in message


def test_a_failed_check_is_an_assertion():
    """So test runners show it as one."""
    assert issubclass(mt.GradcheckError, AssertionError)


@pytest.mark.parametrize(
    ("f", "at"),
    [
        (mt.relu, [-1.0, 0.0, 1.0]),
        (mt.abs, [-1.0, 0.0, 1.0]),
        (lambda x: mt.maximum(x, 1.0), [0.5, 1.0, 1.5]),
        (lambda x: x.max(), [1.0, 3.0, 3.0]),
        (lambda x: mt.clip(x, -1, 1), [-1.0, 0.0, 1.0]),
        (mt.norm, [0.0, 0.0]),
        (lambda x: mt.relu(x - 1e-7), [-1.0, 1e-7, 2.0]),
    ],
)
def test_kinks_are_judged_fairly(f, at):
    """Between the slopes on both sides any answer is right."""
    assert mt.gradcheck(f, np.array(at))


def test_beside_a_kink_a_wrong_rule_fails():
    """relu's kink at 0 is no excuse for a slope of 2 at 0, or of 1.001 beside it."""

    @primitive
    def relu(x):
        return np.maximum(x, 0)

    for wrong in (lambda g, ans, x: g * ((x > 0) + 2.0 * (x == 0)), lambda g, ans, x: g * (x > 0) * 1.001):
        defvjp(relu, wrong)
        with pytest.raises(mt.GradcheckError):
            mt.gradcheck(relu, np.array([-1.0, 0.0, 1.0]))


def test_inputs_are_left_alone():
    """Neither values nor gradients of what is passed in change."""
    x, p = X.copy(), mt.tensor(X, requires_grad=True)
    mt.gradcheck(lambda x, p: x * p, x, p)

    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(p.numpy(), X)
    assert p.grad is None


def test_it_works_under_no_grad():
    """And leaves the mode as it was."""
    with mt.no_grad():
        assert mt.gradcheck(mt.tanh, X)
        assert not mt.is_grad_enabled()


def test_nothing_to_differentiate_by_is_an_error():
    """Rather than a check of nothing that passes."""
    with pytest.raises(TypeError, match=r"gradcheck: .*write 1\.0 for 1"):
        mt.gradcheck(mt.tanh, np.arange(3))
