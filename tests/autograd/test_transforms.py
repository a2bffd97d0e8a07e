"""grad, value_and_grad, vjp, jvp, jacobian, hessian, hvp: mathematics in, mathematics out."""

import inspect
from collections import namedtuple

import numpy as np
import pytest

import mytorch as mt

X = np.array([0.5, -1.0, 2.0])
V = np.array([1.0, 0.25, -3.0])
M = np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])
Point = namedtuple("Point", "w b")


def leaf(value):
    return mt.tensor(value, requires_grad=True)


def _array(x):
    return x.numpy() if isinstance(x, mt.Tensor) else x


def sum_of_cubes(x):
    """sum x**3: gradient 3x**2, Hessian diag(6x)."""
    return (x**3).sum()


def mixing(x):
    """A map from three numbers to two: [x0 x1, sin(x2) + x0**2]."""
    return mt.stack([x[0] * x[1], mt.sin(x[2]) + x[0] ** 2])


def mixing_jacobian(x):
    return np.array([[x[1], x[0], 0.0], [2 * x[0], 0.0, np.cos(x[2])]])


# ----- values from calculus -----


def test_grad_is_the_gradient():
    """Of a number and of an array."""
    assert mt.grad(lambda x: x**3)(2.0) == 12.0
    np.testing.assert_allclose(mt.grad(sum_of_cubes)(X), 3 * X**2, rtol=1e-15)


def test_value_and_grad_gives_both():
    """From one run of the function."""
    runs = []
    value, gradient = mt.value_and_grad(lambda x: runs.append(1) or sum_of_cubes(x))(X)

    assert value == pytest.approx((X**3).sum(), rel=1e-15)
    np.testing.assert_allclose(gradient, 3 * X**2, rtol=1e-15)
    assert len(runs) == 1


def test_vjp_is_the_transposed_jacobian():
    """And the pullback may be used many times."""
    y, pullback = mt.vjp(mixing, X)
    np.testing.assert_allclose(y, [X[0] * X[1], np.sin(X[2]) + X[0] ** 2], rtol=1e-15)
    for g in (np.array([1.0, 0.0]), np.array([-2.0, 3.0]), np.array([-2.0, 3.0])):
        (ct,) = pullback(g)
        np.testing.assert_allclose(ct, mixing_jacobian(X).T @ g, rtol=1e-14)


def test_jvp_is_the_jacobian_times_a_vector():
    """The derivative along v; of several arguments the sum of theirs."""
    y, tangent = mt.jvp(mixing, (X,), (V,))
    np.testing.assert_allclose(y, mixing(X), rtol=1e-15)
    np.testing.assert_allclose(tangent, mixing_jacobian(X) @ V, rtol=1e-14)

    _, tangent = mt.jvp(lambda x, y: x * y, (X, V), (V, X))
    np.testing.assert_allclose(tangent, V * V + X * X, rtol=1e-14)


SMOOTH = {
    "elementwise": lambda x: mt.exp(mt.sin(x)) / (1 + x * x),
    "matmul": lambda x: mt.tanh(M @ x),
    "reductions": lambda x: mt.logsumexp(x) + x.var() + x.std() + mt.norm(x) + x.prod(),
    "indexing": lambda x: x[[0, 0, 2]] * x[::-1],
    "assignment": lambda x: _with_first(x, x[1] * x[2]),
    "max": lambda x: x.max() * x,
    "linear": lambda x: M @ x,
    "powers": lambda x: (x * x) ** (x / 3),
    "concatenate": lambda x: mt.concatenate([x * x, x]),
}


def _with_first(x, v):
    y = x * 2.0
    y[0] = v
    return y


@pytest.mark.parametrize("f", SMOOTH.values(), ids=SMOOTH)
def test_jvp_agrees_with_differences(f):
    """The slope along v, by central differences."""
    h = 1e-6
    numeric = (f(mt.tensor(X + h * V)).numpy() - f(mt.tensor(X - h * V)).numpy()) / (2 * h)

    np.testing.assert_allclose(mt.jvp(f, (X,), (V,))[1], numeric, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("f", SMOOTH.values(), ids=SMOOTH)
def test_vjp_and_jvp_are_transposes(f):
    """<g, J v> = <J'g, v>."""
    y, pullback = mt.vjp(f, X)
    g = np.linspace(-1.0, 2.0, np.size(y)).reshape(np.shape(y))
    _, tangent = mt.jvp(f, (X,), (V,))

    assert np.vdot(g, tangent) == pytest.approx(np.vdot(pullback(g)[0], V), rel=1e-12)


@pytest.mark.parametrize("f", SMOOTH.values(), ids=SMOOTH)
def test_hessians_are_symmetric_and_agree_with_hvp_and_differences(f):
    """Of the sum of what the function gives."""

    def total(x):
        return (f(x) * 1.0).sum()

    h, step = mt.hessian(total)(X), 1e-5
    gradient = mt.grad(total)
    numeric = np.stack([(gradient(X + e) - gradient(X - e)) / (2 * step) for e in step * np.eye(3)])
    np.testing.assert_allclose(h, h.T, atol=1e-12)
    np.testing.assert_allclose(h, numeric, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mt.hvp(total, X, V), h @ V, rtol=1e-11, atol=1e-11)


def test_jacobian_has_the_shape_of_answer_and_argument():
    """S + T, row by row the derivatives of one element of the answer."""
    np.testing.assert_allclose(mt.jacobian(mixing)(X), mixing_jacobian(X), rtol=1e-14)
    j = mt.jacobian(lambda m: m @ m.T)(M)
    assert j.shape == (2, 2, 2, 3)
    for a, b, i, k in np.ndindex(j.shape):  # d(MM')_ab / dM_ik = [a = i] M_bk + [b = i] M_ak
        assert j[a, b, i, k] == (a == i) * M[b, k] + (b == i) * M[a, k]


@pytest.mark.parametrize(
    ("f", "x", "shape"),
    [
        (lambda x: x.sum(), X, (3,)),
        (lambda x: x * np.ones(2), 2.0, (2,)),
        (lambda x: x * x, 2.0, ()),
        (lambda x: x[:0], X, (0, 3)),
        (lambda x: x.sum(), X[:0], (0,)),
        (lambda x: x.T, M, (3, 2, 2, 3)),
    ],
)
def test_shapes_of_jacobians(f, x, shape):
    """Of numbers and of empty arrays too."""
    assert np.shape(mt.jacobian(f)(x)) == shape


def test_hessian_of_a_quadratic_form():
    """x'Ax has the Hessian A + A'."""
    a = np.array([[1.0, 2.0, 0.0], [5.0, 0.0, 1.0], [3.0, -1.0, 2.0]])
    np.testing.assert_allclose(mt.hessian(lambda x: x @ a @ x)(X), a + a.T, atol=1e-14)


def test_hvp_of_a_matrix_argument():
    """The shape is that of the argument: f = sum(M**3), 6 M v."""
    v = M[::-1].copy()
    np.testing.assert_allclose(mt.hvp(sum_of_cubes, M, v), 6 * M * v, rtol=1e-14)


def test_derivatives_of_what_does_not_depend_on_the_argument_are_zero():
    """Of constants, of what is linear, and of what carries no gradient."""
    assert mt.grad(lambda x: 5.0)(2.0) == 0.0
    np.testing.assert_array_equal(mt.grad(lambda x: (x > 0).sum())(X), np.zeros(3))
    np.testing.assert_array_equal(mt.hessian(lambda x: x.sum())(X), np.zeros((3, 3)))
    np.testing.assert_array_equal(mt.hvp(lambda x: x.sum(), X, V), np.zeros(3))
    np.testing.assert_array_equal(mt.jvp(lambda x: np.ones(2), (X,), (V,))[1], np.zeros(2))
    np.testing.assert_array_equal(mt.grad(lambda x, y: (y * y).sum())(X, V), np.zeros(3))
    assert mt.grad(lambda x: x.detach() * x)(3.0) == 3.0


def test_no_grad_inside_the_function_is_a_constant():
    """As detach() is."""

    def f(x):
        with mt.no_grad():
            c = x * x
        return c * x

    assert mt.grad(f)(3.0) == 9.0


# ----- composition -----


def test_derivatives_of_any_order():
    """x**5: 5x**4, 20x**3, 60x**2, 120x, 120."""
    f, found = (lambda x: x**5), []
    for _ in range(5):
        f = mt.grad(f)
        found.append(float(f(2.0)))

    assert found == [80.0, 160.0, 240.0, 240.0, 120.0]


NESTED = {  # every way to the third derivative 24x of x**4
    "grad of grad of grad": mt.grad(mt.grad(mt.grad(lambda x: x**4))),
    "grad of hessian": mt.grad(mt.hessian(lambda x: x**4)),
    "hessian of grad": mt.hessian(mt.grad(lambda x: x**4)),
    "jacobian of jacobian of jacobian": mt.jacobian(mt.jacobian(mt.jacobian(lambda x: x**4))),
    "jvp of hessian": lambda x: mt.jvp(mt.hessian(lambda x: x**4), (x,), (1.0,))[1],
    "grad of hvp": mt.grad(lambda x: mt.hvp(lambda x: x**4, x, 1.0)),
    "hvp of grad": lambda x: mt.hvp(mt.grad(lambda x: x**4), x, 1.0),
    "grad of jvp of grad": mt.grad(lambda x: mt.jvp(mt.grad(lambda x: x**4), (x,), (1.0,))[1]),
    "jvp of jvp of jvp": lambda x: mt.jvp(
        lambda x: mt.jvp(lambda x: mt.jvp(lambda x: x**4, (x,), (1.0,))[1], (x,), (1.0,))[1], (x,), (1.0,)
    )[1],
    "hessian of jvp": mt.hessian(lambda x: mt.jvp(lambda x: x**4, (x,), (1.0,))[1]),
    "grad of vjp of grad": mt.grad(lambda x: mt.vjp(mt.grad(lambda x: x**4), x)[1](1.0)[0]),
    "second of value_and_grad": mt.grad(mt.grad(lambda x: mt.value_and_grad(lambda x: x**4)(x)[1])),
}


@pytest.mark.parametrize("third", NESTED.values(), ids=NESTED)
def test_transforms_nest(third):
    """In any order; numbers in, numbers out."""
    y = third(1.5)

    assert float(y) == pytest.approx(36.0, rel=1e-13)
    assert not isinstance(y, mt.Tensor)


def test_nested_derivatives_are_not_confused():
    """d/dx [x d/dy (x + y)] = 1, and d/dx [x d/dy (x y)] = 2x (Siskind and Pearlmutter 2005)."""
    assert mt.grad(lambda x: x * mt.grad(lambda y: x + y)(2.0))(3.0) == 1.0
    assert mt.grad(lambda x: x * mt.grad(lambda y: x * y)(2.0))(3.0) == 6.0
    assert mt.jvp(lambda x: x * mt.jvp(lambda y: x * y, (2.0,), (1.0,))[1], (3.0,), (1.0,))[1] == 6.0


def test_an_inner_derivative_at_an_inner_value():
    """d/dx f'(x**2) = 2x f''(x**2), f = sin."""
    got = mt.grad(lambda x: mt.grad(mt.sin)(x * x))(0.7)

    assert got == pytest.approx(-2 * 0.7 * np.sin(0.49), rel=1e-13)


def test_transforms_work_under_no_grad():
    """They record what they need, and leave the mode as it was."""
    with mt.no_grad():
        assert mt.grad(lambda x: x**3)(2.0) == 12.0
        assert mt.hessian(lambda x: x**3)(2.0) == 12.0
        assert mt.jvp(lambda x: x**3, (2.0,), (1.0,))[1] == 12.0
        gradient = mt.grad(sum_of_cubes)(leaf(X))
        assert not gradient.requires_grad
        assert not mt.is_grad_enabled()
    np.testing.assert_allclose(gradient.numpy(), 3 * X**2)


def test_an_exception_in_the_function_leaves_the_mode_as_it_was():
    """With grad enabled, and not."""

    def fails(x):
        raise LookupError

    for transform in (mt.grad(fails), mt.jacobian(fails), mt.hessian(fails), lambda x: mt.vjp(fails, x)):
        with pytest.raises(LookupError):
            transform(X)
        assert mt.is_grad_enabled()
        with mt.no_grad():
            with pytest.raises(LookupError):
                transform(X)
            assert not mt.is_grad_enabled()


# ----- what goes in and what comes out -----


def test_arrays_in_arrays_out_tensors_in_tensors_out():
    """Every transform; numbers give numpy's numbers."""
    plain, tensor = X, mt.tensor(X)
    for made in (
        mt.grad(sum_of_cubes),
        mt.jacobian(mixing),
        mt.hessian(sum_of_cubes),
        lambda x: mt.hvp(sum_of_cubes, x, V),
        lambda x: mt.jvp(mixing, (x,), (V,))[1],
        lambda x: mt.jvp(mixing, (x,), (V,))[0],
        lambda x: mt.vjp(mixing, x)[0],
        lambda x: mt.vjp(mixing, x)[1](np.ones(2))[0],
    ):
        assert type(made(plain)) is np.ndarray
        assert isinstance(made(tensor), mt.Tensor)
        np.testing.assert_array_equal(made(plain), made(tensor).numpy())
    value, _ = mt.value_and_grad(sum_of_cubes)(X)
    assert isinstance(value, np.floating)
    assert isinstance(mt.grad(lambda x: x * x)(2.0), np.floating)


def test_float32_stays_float32():
    """Values, gradients, Jacobians and Hessians."""
    x, v = X.astype(np.float32), V.astype(np.float32)
    for answer in (
        *mt.value_and_grad(sum_of_cubes)(x),
        mt.jacobian(mixing)(x),
        mt.hessian(sum_of_cubes)(x),
        mt.hvp(sum_of_cubes, x, v),
        *mt.jvp(mixing, (x,), (v,)),
        mt.vjp(mixing, x)[1](np.ones(2))[0],
        mt.jacobian(lambda x: x[:0])(x),
    ):
        assert answer.dtype == np.float32


TREES = [
    {"w": X, "b": 2.0},
    [X, [2.0]],
    (X, (2.0,)),
    Point(X, 2.0),
    {"layers": [Point(X, 2.0)], "unused": (M,)},
]


def _leaves(tree):
    if isinstance(tree, dict):
        tree = list(tree.values())
    return [leaf for branch in tree for leaf in _leaves(branch)] if isinstance(tree, (list, tuple)) else [tree]


@pytest.mark.parametrize("tree", TREES, ids=repr)
def test_arguments_may_be_nested(tree):
    """The gradient has the argument's structure: dicts, lists, tuples and named tuples."""

    def f(tree):
        w, b, *_ = _leaves(tree)
        return (w * w).sum() * b

    gradient = mt.grad(f)(tree)
    assert type(gradient) is type(tree)
    expected = [2 * X * 2.0, (X * X).sum(), *(np.zeros_like(x) for x in _leaves(tree)[2:])]
    for got, want in zip(_leaves(gradient), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-14)

    value, tangent = mt.jvp(f, (tree,), (tree,))  # Euler: f is homogeneous of degree 3
    assert tangent == pytest.approx(3 * value)
    hvp = mt.hvp(f, tree, tree)
    for got, want in zip(_leaves(hvp), expected, strict=True):
        np.testing.assert_allclose(got, 2 * want, rtol=1e-14)


def test_jacobians_of_nested_answers_and_arguments():
    """The structure of the answer outside, that of the argument inside."""
    j = mt.jacobian(lambda p: {"product": p["a"] * p["b"], "sum": p["a"].sum()})({"a": X, "b": 2.0})

    np.testing.assert_array_equal(j["product"]["a"], 2 * np.eye(3))
    np.testing.assert_array_equal(j["product"]["b"], X)
    np.testing.assert_array_equal(j["sum"]["a"], np.ones(3))
    np.testing.assert_array_equal(j["sum"]["b"], 0.0)


def test_hessians_of_nested_arguments():
    """f = a b**2: the blocks 0, 2b; 2b, 2a."""
    h = mt.hessian(lambda p: p["a"] * p["b"] ** 2)({"a": 2.0, "b": 3.0})

    assert h == {"a": {"a": 0.0, "b": 6.0}, "b": {"a": 6.0, "b": 4.0}}


def test_vjp_of_nested_answers():
    """The cotangent has the answer's structure."""
    y, pullback = mt.vjp(lambda x: {"squares": x * x, "sum": [x.sum()]}, X)
    np.testing.assert_array_equal(y["squares"], X * X)
    (ct,) = pullback({"squares": V, "sum": [10.0]})

    np.testing.assert_allclose(ct, 2 * X * V + 10.0, rtol=1e-15)


@pytest.mark.parametrize(
    ("argnums", "expected"),
    [
        (0, 12.0),
        (1, 9.0),
        (-1, 9.0),
        ((0, 1), (12.0, 9.0)),
        ((1, 0), (9.0, 12.0)),
        ((1,), (9.0,)),
        ([0, -1], (12.0, 9.0)),
    ],
    ids=str,
)
def test_argnums_choose_what_to_differentiate_by(argnums, expected):
    """A number gives a gradient, a tuple a tuple of them in its order: x**2 y at (3, 2) has the slopes 12 and 9."""
    gradient = mt.grad(lambda x, y: x * x * y, argnums)(3.0, 2.0)

    assert type(gradient) is (tuple if isinstance(argnums, (tuple, list)) else np.float64)
    assert gradient == expected


def test_argnums_of_jacobian_and_hessian():
    """Tuples of blocks."""
    rows = mt.jacobian(lambda x, y: x * y, (0, 1))(X, V)
    np.testing.assert_array_equal(rows[0], np.diag(V))
    np.testing.assert_array_equal(rows[1], np.diag(X))

    assert mt.hessian(lambda x, y: x * y * y, (0, 1))(2.0, 3.0) == ((0.0, 6.0), (6.0, 4.0))
    assert mt.hessian(lambda x, y: x * y * y, 1)(2.0, 3.0) == 4.0


def test_arguments_that_are_not_differentiated_may_be_anything():
    """Integers, strings, None, by position or keyword."""

    def f(x, n, how, *, scale=None):
        assert how == "power"
        return x**n * (scale or 1.0)

    assert mt.grad(f)(3.0, 2, "power") == 6.0
    assert mt.grad(f)(3.0, n=2, how="power", scale=2.0) == 12.0


def test_what_is_made_keeps_name_and_docstring():
    """For help() and for messages."""
    for made in (mt.grad(sum_of_cubes), mt.jacobian(sum_of_cubes), mt.value_and_grad(sum_of_cubes)):
        assert made.__name__ == "sum_of_cubes"
        assert made.__doc__ == sum_of_cubes.__doc__
        assert list(inspect.signature(made).parameters) == ["x"]


# ----- the function's own ways -----


def test_a_function_may_assign_to_its_argument():
    """x[0] = 3 and x += 1 inside f: the gradient is by what was passed in, which stays as it was."""

    def assigns(x):
        x[0] = 3.0
        x += 1.0
        return (x * x).sum()

    expected = 2 * (X + 1) * [0.0, 1.0, 1.0]
    for x in (X.copy(), mt.tensor(X), leaf(X)):
        gradient = mt.grad(assigns)(x)
        assert isinstance(gradient, mt.Tensor) is isinstance(x, mt.Tensor)
        np.testing.assert_array_equal(_array(gradient), expected)
        np.testing.assert_array_equal(_array(x), X)


def test_a_function_may_call_numpy_and_the_library():
    """Both record."""
    np.testing.assert_allclose(mt.grad(lambda x: np.sum(np.exp(x) * mt.sin(x)))(X), np.exp(X) * (np.sin(X) + np.cos(X)))


def test_gradients_leave_the_grad_of_parameters_alone():
    """Transforms return; only backward() accumulates."""
    p, w = leaf(X), leaf(V)
    mt.grad(lambda x: (x * w).sum())(p)

    assert p.grad is None and w.grad is None


def test_a_gradient_at_a_parameter_goes_on():
    """grad at a tensor that requires grad can be differentiated by backward()."""
    p = leaf(X)
    gradient = mt.grad(sum_of_cubes)(p)
    (gradient * V).sum().backward()

    np.testing.assert_allclose(p.grad.numpy(), 6 * X * V, rtol=1e-14)


def test_the_answer_of_value_and_grad_goes_on():
    """Its backward reaches the parameter it was taken at, and those closed over."""
    p, w = leaf(X), leaf(V)
    value, _ = mt.value_and_grad(lambda x: (x * x * w).sum())(p)
    value.backward()

    np.testing.assert_allclose(p.grad.numpy(), 2 * X * V, rtol=1e-14)
    np.testing.assert_allclose(w.grad.numpy(), X * X, rtol=1e-14)


CLOSURES = {  # what is made of w x**3 at x = 3, and its derivative by the w closed over
    "grad": (lambda f: mt.grad(f)(3.0), 27.0),
    "value_and_grad, value": (lambda f: mt.value_and_grad(f)(3.0)[0], 27.0),
    "value_and_grad, gradient": (lambda f: mt.value_and_grad(f)(3.0)[1], 27.0),
    "vjp": (lambda f: mt.vjp(f, 3.0)[1](1.0)[0], 27.0),
    "jvp": (lambda f: mt.jvp(f, (3.0,), (1.0,))[1], 27.0),
    "jacobian": (lambda f: mt.jacobian(f)(3.0), 27.0),
    "hessian": (lambda f: mt.hessian(f)(3.0), 18.0),
    "hvp": (lambda f: mt.hvp(f, 3.0, 1.0), 18.0),
    "grad of grad of grad": (lambda f: mt.grad(mt.grad(mt.grad(f)))(3.0), 6.0),
}


@pytest.mark.parametrize(("derivative", "by_w"), CLOSURES.values(), ids=CLOSURES)
@pytest.mark.parametrize("computed", [False, True])
def test_what_a_function_closes_over_is_not_lost(derivative, by_w, computed):
    """A Tensor that requires grad, leaf or computed, gets its gradient through the derivative."""
    w = leaf(2.0)
    c = w * 1.0 if computed else w
    derivative(lambda x: c * x**3).backward()

    assert w.grad.item() == pytest.approx(by_w)


def test_learning_to_learn():
    """MAML: the loss after a step of gradient descent, by the parameter before it, through the inner gradient."""
    p, rate = leaf([1.0, 2.0]), leaf(0.1)
    after = p - rate * mt.grad(sum_of_cubes)(p)
    (after**2).sum().backward()
    x = p.numpy()
    y = x - 0.1 * 3 * x**2

    np.testing.assert_allclose(p.grad.numpy(), 2 * y * (1 - 0.6 * x), rtol=1e-13)
    np.testing.assert_allclose(rate.grad.item(), (2 * y * -3 * x**2).sum(), rtol=1e-13)
    pure = mt.grad(lambda p: ((p - 0.1 * mt.grad(sum_of_cubes)(p)) ** 2).sum())(x)
    np.testing.assert_allclose(pure, p.grad.numpy(), rtol=1e-13)


def test_an_inner_parameter_that_is_closed_over():
    """The gradient by x of w'x**2, squared and summed, by w: 8 w x**2."""
    w = leaf(V)
    inner = mt.grad(lambda x: (w * x * x).sum())(X)
    (inner**2).sum().backward()

    np.testing.assert_allclose(w.grad.numpy(), 8 * V * X**2, rtol=1e-13)


def test_newtons_method():
    """With grad and hessian, to the minimum of Rosenbrock's function at (1, 1)."""

    def rosenbrock(x):
        return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2

    x = np.array([-1.2, 1.0])
    for _ in range(8):
        x = x - np.linalg.solve(mt.hessian(rosenbrock)(x), mt.grad(rosenbrock)(x))

    np.testing.assert_allclose(x, [1.0, 1.0], atol=1e-10)


# ----- errors -----


@pytest.mark.parametrize(
    ("f", "told"),
    [
        (lambda x: x, r"shape \(3,\).*one number.*\.sum\(\)"),
        (lambda x: None, "returned None"),
        (lambda x: "loss", "returned a str"),
        (lambda x: [x.sum()], "returned a list.*one number"),
        (lambda x: x.sum() * 1j, "complex|one number"),
    ],
    ids=["array", "None", "string", "list", "complex"],
)
@pytest.mark.parametrize("transform", [mt.grad, mt.value_and_grad, mt.hessian, lambda f: lambda x: mt.hvp(f, x, x)])
def test_a_function_that_gives_no_number_is_told_so(f, told, transform):
    """What came, and the way out."""
    with pytest.raises((TypeError, ValueError), match=told):
        transform(f)(X)


@pytest.mark.parametrize("x", [3, True, np.arange(3), [1, 2], {"a": 1.0, "n": 3}, "x", None, 1j], ids=repr)
@pytest.mark.parametrize(
    "transform",
    [mt.grad, mt.jacobian, mt.hessian, lambda f: lambda x: mt.vjp(f, x), lambda f: lambda x: mt.jvp(f, (x,), (x,))],
    ids=["grad", "jacobian", "hessian", "vjp", "jvp"],
)
def test_only_real_floating_arguments_are_differentiated_by(x, transform):
    """A TypeError names the dtype and the way out."""
    with pytest.raises(TypeError, match=r"dtype .* only real floating"):
        transform(lambda x: x)(x)


@pytest.mark.parametrize("argnums", [2, -3, (0, 2), "x", 0.5, None, (0, 0), (0, -2)], ids=str)
@pytest.mark.parametrize("transform", [mt.grad, mt.value_and_grad, mt.jacobian, mt.hessian])
def test_wrong_argnums_are_told(transform, argnums):
    """Out of range, no integers, or one argument twice."""
    with pytest.raises((TypeError, ValueError), match=r"argument|argnums"):
        transform(lambda x, y: x * y, argnums)(3.0, 2.0)


@pytest.mark.parametrize("v", [np.ones(2), 1.0, np.ones((1, 3))], ids=np.shape)
def test_tangents_and_cotangents_of_another_shape_are_told(v):
    """Both shapes; the transform is named, which is what the user called."""
    for name, call in (
        ("vjp", lambda: mt.vjp(lambda x: x * x, X)[1](v)),
        ("jvp", lambda: mt.jvp(lambda x: x * x, (X,), (v,))),
        ("hvp", lambda: mt.hvp(sum_of_cubes, X, v)),
    ):
        with pytest.raises(ValueError, match=rf"^{name}: .*\({', '.join(map(str, np.shape(v)))},?\).*\(3,\)"):
            call()


def test_jvp_takes_tuples_of_one_length():
    """The error shows how."""
    for xs, vs in ((X, V), ((X,), (V, V)), ((X,), V)):
        with pytest.raises(TypeError, match=r"jvp\(f, \(x,\), \(v,\)\)"):
            mt.jvp(lambda x: x, xs, vs)


def test_cotangents_of_another_structure_are_told():
    """As many as the function has answers."""
    _, pullback = mt.vjp(lambda x: (x, x), X)
    with pytest.raises(ValueError, match=r"vjp: .*2 answers, 1 cotangents"):
        pullback(V)


# ----- vmap -----


def test_vmap_is_the_function_on_each_entry():
    """Over any axis, in and out, of some arguments or all."""
    a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)

    np.testing.assert_allclose(mt.vmap(lambda x: x @ b)(a), a @ b)
    np.testing.assert_allclose(mt.vmap(lambda x: x * 2, in_axes=1, out_axes=1)(a), a * 2)
    np.testing.assert_allclose(mt.vmap(lambda x, y: x @ y, in_axes=(None, 1))(a, b), (a @ b).T)
    np.testing.assert_allclose(mt.vmap(lambda x, y: x * y.sum(), in_axes=(-1, 0))(a, b), (a * b.sum(1)).T)


def test_vmap_of_nested_arguments_and_answers():
    """Every leaf of a nested argument is mapped over; answers keep their nesting."""
    got = mt.vmap(lambda p: {"sum": p["a"] + p["b"][0], "same": p["a"]})({"a": np.arange(3.0), "b": [np.ones(3)]})

    assert got["sum"].tolist() == [1, 2, 3]
    assert got["same"].tolist() == [0, 1, 2]


def test_gradients_an_example():
    """vmap of grad gives a gradient for each example; grad of vmap that of all."""
    w, x = np.array([1.0, 2.0]), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])

    def loss(w, x):
        return (w @ x) ** 2

    each = mt.vmap(mt.grad(loss), in_axes=(None, 0))(w, x)
    whole = mt.grad(lambda w: mt.vmap(loss, in_axes=(None, 0))(w, x).sum())(w)

    np.testing.assert_allclose(each, 2 * (x @ w)[:, None] * x)
    np.testing.assert_allclose(whole, each.sum(0))


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda: mt.vmap(lambda x: x)(np.ones(())), r"shape \(\), no axis 0"),
        (lambda: mt.vmap(lambda x, y: x)(np.ones(2), np.ones(3)), "sizes 2 and 3"),
        (lambda: mt.vmap(lambda x: x, in_axes=None)(np.ones(2)), "nothing to map over"),
        (lambda: mt.vmap(lambda x: x)(np.ones((0, 2))), "nothing to map over"),
        (lambda: mt.vmap(lambda x: x, in_axes=(0, 0))(np.ones(2)), "names 2 axes"),
    ],
)
def test_what_vmap_cannot_map_over(call, match):
    """Axes that are not there, differ, or have no entry are an error that names the shapes."""
    with pytest.raises(ValueError, match=match):
        call()


# ----- whose memory -----


def test_the_callers_answer_is_not_what_the_pullback_reads():
    """An answer that is changed in place leaves the pullback right."""
    x = np.array([0.5, 1.0])
    y, pullback = mt.vjp(mt.tanh, x)
    y *= 0

    np.testing.assert_allclose(pullback(np.ones(2))[0], 1 - np.tanh(x) ** 2)


def test_derivatives_have_memory_of_their_own():
    """Each may be changed in place: no other one, and no array of the caller's, changes with it."""
    ones = lambda: np.ones(2)
    g = mt.grad(lambda p: ((p["w"] + p["b"]) ** 2).sum())({"w": ones(), "b": ones()})
    g["w"] /= 4

    assert g["b"].tolist() == [4, 4]

    cotangent, tangent = ones(), ones()
    (of_x,) = mt.vjp(lambda x: x + 1, ones())[1](cotangent)
    _, along = mt.jvp(lambda x: x, (ones(),), (tangent,))
    of_x += 1
    along += 1

    assert cotangent.tolist() == tangent.tolist() == [1, 1]
    for n in (3, 100_000):  # a sum's cotangent is a view that repeats one number
        g = mt.grad(lambda x: x.sum())(np.ones(n))
        g += 1
        assert (g == 2).all()


def test_a_parameter_that_changed_before_its_pullback_is_an_error():
    """As in a backward pass: the graph shows the parameter's memory, and says so."""
    p = mt.tensor([1.0, 2.0], requires_grad=True)
    _, pullback = mt.vjp(lambda x: (x * x).sum(), p)
    p.data -= 1

    with pytest.raises(RuntimeError, match=r"multiply.*changed in place"):
        pullback(1.0)
