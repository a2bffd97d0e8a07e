"""primitive and defvjp: an operation of one's own is two calls, and a wrong rule is named."""

import numpy as np
import pytest

import mytorch as mt
from mytorch.autograd import defvjp, primitive

X = np.array([[-2.0, -0.5, 0.5], [1.0, 2.0, 3.0]])


def leaf(value, dtype=None):
    return mt.tensor(value, dtype=dtype, requires_grad=True)


@pytest.fixture
def swish():
    """The operation of the README: x sigmoid(x), whose rule reads the answer."""

    @primitive
    def swish(x):
        """x / (1 + exp(-x)), elementwise."""
        return x / (1 + np.exp(-x))

    defvjp(swish, lambda g, ans, x: g * (ans + mt.sigmoid(x) * (1 - ans)))
    return swish


@pytest.fixture
def scaled():
    """x * y * scale, with a keyword and a default."""

    @primitive
    def scaled(x, y, scale=1.0):
        return x * y * scale

    defvjp(
        scaled,
        lambda g, ans, x, y, scale=1.0: g * y * scale,
        lambda g, ans, x, y, scale=1.0: g * x * scale,
    )
    return scaled


def _swish_slope(x):
    s = 1 / (1 + np.exp(-x))
    return s + x * s * (1 - s)


# ----- a custom operation is an operation like any other -----


def test_a_custom_op_differentiates(swish):
    """swish' = s + x s (1 - s) with s the sigmoid."""
    x = leaf(X)
    swish(x).sum().backward()

    np.testing.assert_allclose(x.grad.numpy(), _swish_slope(X), rtol=1e-14)


def test_a_custom_op_differentiates_twice(swish):
    """Its rule is made of operations, so it has derivatives of any order."""
    s = 1 / (1 + np.exp(-X))
    second = s * (1 - s) * (2 + X * (1 - 2 * s))

    hessian = mt.hessian(lambda x: swish(x).sum())(X)
    np.testing.assert_allclose(hessian.reshape(6, 6), np.diag(second.ravel()), atol=1e-14)
    assert mt.gradcheck(swish, np.linspace(-3, 3, 7), order=2)


def test_plain_arrays_in_plain_array_out(swish):
    """Without a Tensor the function is what it was."""
    y = swish(X)

    assert type(y) is np.ndarray
    np.testing.assert_array_equal(y, X / (1 + np.exp(-X)))
    assert type(swish(1.0)) is np.float64


def test_a_tensor_in_a_tensor_out(swish):
    """Also one that does not require grad."""
    y = swish(mt.tensor(X))

    assert isinstance(y, mt.Tensor) and not y.requires_grad


def test_a_function_that_answers_a_python_number_gives_a_tensor():
    """The answer is made an array."""

    @primitive
    def total(x):
        return float(np.sum(x))

    defvjp(total, lambda g, ans, x: g * np.ones(x.shape))
    x = leaf(X)
    y = total(x)
    y.backward()

    assert isinstance(y, mt.Tensor) and y.shape == ()
    np.testing.assert_array_equal(x.grad.numpy(), np.ones_like(X))


def test_a_custom_op_keeps_name_and_docstring(swish):
    """help() and repr() tell what it is."""
    assert swish.__name__ == "swish"
    assert swish.__doc__ == "x / (1 + exp(-x)), elementwise."
    assert "op=swish" in repr(swish(leaf(X)))


def test_a_custom_op_keeps_float32(swish):
    """In the answer and in the gradient."""
    x = leaf(X, np.float32)
    y = swish(x)
    y.sum().backward()

    assert y.dtype == x.grad.dtype == np.float32


def test_a_custom_op_composes_with_transforms(swish):
    """grad, jvp, jacobian and hvp go through it."""
    x, v = X[1], np.array([1.0, -1.0, 2.0])

    np.testing.assert_allclose(mt.grad(lambda x: swish(x).sum())(x), _swish_slope(x), rtol=1e-14)
    np.testing.assert_allclose(mt.jvp(swish, (x,), (v,))[1], _swish_slope(x) * v, rtol=1e-14)
    np.testing.assert_allclose(mt.jacobian(swish)(x), np.diag(_swish_slope(x)), rtol=1e-14)


def test_an_op_may_be_given_several_rules_one_at_a_time():
    """argnums says which; a later call adds to the earlier one."""

    @primitive
    def product(x, y):
        return x * y

    defvjp(product, lambda g, ans, x, y: g * x, argnums=(1,))
    y = leaf([3.0])
    product(2.0, y).backward()
    assert y.grad.item() == 2.0

    defvjp(product, lambda g, ans, x, y: g * y, argnums=(0,))
    x, y = leaf([2.0]), leaf([3.0])
    product(x, y).backward()
    assert (x.grad.item(), y.grad.item()) == (3.0, 2.0)


def test_a_rule_may_be_given_anew():
    """The last one counts, also after the operation was used."""

    @primitive
    def same(x):
        return x * 1.0

    for slope in (2.0, 3.0):
        defvjp(same, lambda g, ans, x, slope=slope: g * slope)
        x = leaf([1.0])
        same(x).backward()
        assert x.grad.item() == slope


def test_a_rule_of_none_lets_no_gradient_flow():
    """To that argument; the others get theirs."""

    @primitive
    def masked(x, mask):
        return x * mask

    defvjp(masked, lambda g, ans, x, mask: g * mask, None)
    x, mask = leaf([1.0, 2.0]), leaf([0.0, 1.0])
    masked(x, mask).sum().backward()

    np.testing.assert_array_equal(x.grad.numpy(), [0.0, 1.0])
    assert mask.grad is None
    assert not masked(np.ones(2), mask).requires_grad


def test_broadcasting_is_undone_for_custom_ops(scaled):
    """The rule is textbook calculus; the engine sums over what was repeated."""
    x, y = leaf(np.full((2, 3), 2.0)), leaf(np.full(3, 5.0))
    scaled(x, y).sum().backward()

    np.testing.assert_array_equal(x.grad.numpy(), np.full((2, 3), 5.0))
    np.testing.assert_array_equal(y.grad.numpy(), np.full(3, 4.0))


# ----- ways to pass arguments -----


@pytest.mark.parametrize(
    "call",
    [
        lambda f, x, y: f(x, y, 3.0),
        lambda f, x, y: f(x, y, scale=3.0),
        lambda f, x, y: f(x, y=y, scale=3.0),
        lambda f, x, y: f(scale=3.0, y=y, x=x),
        lambda f, x, y: f(x, y, mt.tensor(3.0).item()),
    ],
)
def test_tensors_and_numbers_may_be_passed_by_keyword(scaled, call):
    """By position or by name, the same gradient."""
    x, y = leaf([2.0]), leaf([5.0])
    z = call(scaled, x, y)
    z.backward()

    assert (z.item(), x.grad.item(), y.grad.item()) == (30.0, 15.0, 6.0)


def test_a_keyword_only_option_beside_a_tensor_passed_by_name():
    """f(x, *, scale): x by name, scale given or left at its default."""

    @primitive
    def stretched(x, *, scale=2.0):
        return x * scale

    defvjp(stretched, lambda g, ans, x, scale=2.0: g * scale)
    for kwargs, slope in (({}, 2.0), ({"scale": 3.0}, 3.0)):
        x = leaf([1.0])
        stretched(x=x, **kwargs).backward()
        assert x.grad.item() == slope


def test_a_tensor_as_a_keyword_only_option_is_an_error():
    """There is no rule for it, so its gradient would be lost; the error names it."""

    @primitive
    def stretched(x, *, scale=2.0):
        return x * scale

    defvjp(stretched, lambda g, ans, x, scale=2.0: g * scale)
    with pytest.raises(TypeError, match=r"stretched.*scale"):
        stretched(leaf([1.0]), scale=leaf([2.0]))


def _joined():
    @primitive
    def joined(arrays, axis=0):
        return np.concatenate(arrays, axis)

    def rule(g, ans, arrays, axis=0):
        cuts = np.cumsum([a.shape[axis] for a in arrays])[:-1]
        return mt.split(g, cuts, axis)

    defvjp(joined, rule)
    return joined


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_of_tensors_is_one_argument(kind):
    """Its rule returns as many cotangents; arrays may stand among the Tensors, and one Tensor twice."""
    joined, x, y = _joined(), leaf([1.0, 2.0]), leaf([3.0])
    weights = mt.tensor(np.arange(8.0))
    (joined(kind([x, np.zeros(1), y, x, x])) * weights).sum().backward()

    np.testing.assert_array_equal(x.grad.numpy(), [0.0 + 4 + 6, 1.0 + 5 + 7])
    np.testing.assert_array_equal(y.grad.numpy(), [3.0])


def test_a_list_of_tensors_by_keyword():
    """The operation's own rule is used: it is recorded under its name."""
    joined, x = _joined(), leaf([1.0, 2.0])
    y = joined(arrays=[x, x])
    y.sum().backward()

    assert "op=joined" in repr(y)
    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 2.0])


def test_a_list_argument_differentiates_twice():
    """d2/dx2 of sum(concat(x, x)**3) is 12 x."""
    joined, x = _joined(), np.array([1.0, 2.0])
    hessian = mt.hessian(lambda x: (joined([x, x]) ** 3).sum())(x)

    np.testing.assert_allclose(hessian, np.diag(12 * x), rtol=1e-14)


# ----- what is missing or wrong is named -----


def test_an_op_without_a_rule_raises_where_a_gradient_would_be_lost():
    """It is named, and the ways out; on arrays and on tensors without grad it works."""

    @primitive
    def bare(x):
        return x * 2.0

    with pytest.raises(TypeError, match=r"bare has no rule.*defvjp\(bare, rule\).*detach"):
        bare(leaf(X))
    np.testing.assert_array_equal(bare(X), 2 * X)
    np.testing.assert_array_equal(bare(mt.tensor(X)).numpy(), 2 * X)
    with mt.no_grad():
        np.testing.assert_array_equal(bare(leaf(X)).numpy(), 2 * X)


def test_an_op_without_a_rule_for_one_argument_names_the_argument():
    """Argument 1 of two."""

    @primitive
    def product(x, y):
        return x * y

    defvjp(product, lambda g, ans, x, y: g * y)
    product(leaf([1.0]), np.ones(1)).backward()
    with pytest.raises(TypeError, match="product has no rule for argument 1"):
        product(np.ones(1), leaf([1.0]))


WRONG = {  # what a rule must not return, and a word of the complaint
    "None": (lambda g, ans, x: None, "None"),
    "a float": (lambda g, ans, x: 1.0, "float"),
    "a list": (lambda g, ans, x: [1.0, 2.0], "list"),
    "a longer array": (lambda g, ans, x: np.ones(7), r"\(7,\)"),
    "a shape that does not sum to the argument's": (lambda g, ans, x: np.ones((3, 2)), r"\(3, 2\)"),
    "fewer axes": (lambda g, ans, x: g.sum(), r"\(\)"),
    "complex numbers": (lambda g, ans, x: g * 1j, "complex"),
    "objects": (lambda g, ans, x: np.full(x.shape, None), "object"),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(("rule", "told"), WRONG.values(), ids=WRONG)
def test_the_answer_of_a_wrong_rule_is_named(rule, told, create_graph):
    """The operation, the argument, what came and what was needed."""

    @primitive
    def wrong(x):
        return x * 1.0

    defvjp(wrong, rule)
    x = leaf(np.ones((2, 3)))
    with pytest.raises((TypeError, ValueError), match=rf"wrong: the rule for argument 0.*{told}.*\(2, 3\)"):
        wrong(x).backward(np.ones((2, 3)), create_graph=create_graph)
    assert x.grad is None


@pytest.mark.parametrize("answer", [None, [np.ones(2)], [np.ones(2)] * 3, 1.0], ids=["None", "one", "three", "a float"])
def test_a_wrong_rule_of_a_list_argument_is_named(answer):
    """It must return as many cotangents as the list has elements."""

    @primitive
    def summed(arrays):
        return np.sum(arrays, axis=0)

    defvjp(summed, lambda g, ans, arrays: answer)
    with pytest.raises((TypeError, ValueError), match="summed: the rule for argument 0"):
        summed([leaf(np.ones(2)), leaf(np.ones(2))]).sum().backward()


def test_a_cotangent_of_another_real_dtype_takes_the_arguments():
    """Rules may mix float64 constants in: a float32 argument gets float32."""

    @primitive
    def tripled(x):
        return x * x.dtype.type(3)

    defvjp(tripled, lambda g, ans, x: g * np.float64(3))
    x = leaf([1.0, 2.0], np.float32)
    tripled(x).sum().backward()

    assert x.grad.dtype == np.float32


def test_defvjp_of_no_primitive_is_an_error():
    """With the way out."""
    with pytest.raises(TypeError, match="is not a primitive; decorate it with @primitive"):
        defvjp(np.cos, lambda g, ans, x: g)


@pytest.mark.parametrize(
    ("rules", "argnums"), [((3,), None), ((lambda g, ans, x: g,), (0, 1)), ((lambda g, ans, x: g,), 0)], ids=str
)
def test_defvjp_names_what_it_cannot_use(rules, argnums):
    """A rule that is no function, and argnums that do not fit."""

    @primitive
    def same(x):
        return x

    with pytest.raises((TypeError, ValueError), match="defvjp: "):
        defvjp(same, *rules, argnums=argnums)


def test_a_forward_that_fails_is_named():
    """With the shapes of its arguments."""

    @primitive
    def product(x, y):
        return x @ y

    defvjp(product, lambda g, ans, x, y: g @ y.T, lambda g, ans, x, y: x.T @ g)
    with pytest.raises(ValueError, match=r"product: .*\(2, 3\).*\(2, 3\)"):
        product(leaf(X), leaf(X))


# ----- the other carrier -----


def test_a_custom_op_of_operators_takes_a_value(swish):
    """A Value goes through what the function is made of, and its gradient is right."""
    v = mt.Value(0.5)
    swish(v).backward()

    assert v.grad == pytest.approx(_swish_slope(0.5), rel=1e-14)
