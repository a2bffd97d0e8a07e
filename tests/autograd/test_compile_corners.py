"""What a compiled function might get wrong in silence: plain and compiled calls side by side, in a table.

A compiled function may run as it is, with one warning, or refuse; what it gives must be what the function gives.
"""

import warnings

import numpy as np
import pytest

import mytorch as mt
from mytorch.autograd.tree import flatten

MASK = np.array([True, False, True])


def a(*numbers, dtype=np.float64):
    return np.array(numbers, dtype)


def t(*numbers):
    return mt.tensor(list(numbers), dtype=float)


def leaf(*numbers, grad=None):
    x = mt.tensor(list(numbers), dtype=float, requires_grad=True)
    x.grad = grad
    return x


def divide_where(x):
    out = np.zeros_like(x)
    np.divide(1.0, x, out=out, where=x != 0)
    return out


def change_a_part(x):
    y = x * 2
    first, _ = np.split(y, 2)
    first += 1
    return y


def keep_a_part(x):
    first, second = np.split(x * 2, 2)
    z = x * 3 + x * 4 + x * 5
    return first + second, z


def change_what_astype_gave(x):
    y = x * 2
    z = y.astype(y.dtype, copy=False)
    z += 1
    return y


def change_what_nan_to_num_gave(x):
    y = x * 1
    np.nan_to_num(y, copy=False)
    return y


def dot_out(x, y):
    out, z = np.zeros_like(x), x + 0
    np.dot(z, y, out)
    return out


def dot_method_out(x, y):
    out, z = np.zeros_like(x), x + 0
    z.dot(y, out)
    return out


def clip_out(x):
    y = x * 1
    out = np.zeros_like(y)
    np.clip(y, 0, 1, out)
    return out + y


def put(x):
    y = x * 1
    np.put(y, [0], 5.0)
    return y


def shuffle(x, rng):
    y = x * 1
    rng.shuffle(y)
    return y


def shuffle_argument(x, rng):
    rng.shuffle(x)
    return x.copy()


def two(x, y):
    return (x * 2 + y).detach()


def write_the_first(x, y):
    with mt.no_grad():
        x.data = x.data + 1
    return (y * 1).detach()


def gradient(w):
    loss = (w * w).sum()
    loss.backward()
    return loss, w.grad * 1


def by_kind(x, s):
    y = x.sum()
    kinds = isinstance(x, np.ndarray), isinstance(s, float), isinstance(y, np.floating), isinstance(y, np.ndarray)
    return x * 2 if kinds == (True, True, True, False) else x * 3


def add_to_a_scalar(x):
    y = x.sum()
    z = y
    y += 1.0
    return y, z


def add_a_matrix_to_a_scalar(x):
    y = x.sum()
    y += x
    return y


def the_same_twice():
    x = t(1, 2)
    return x, x


TWO = [lambda: (t(1, 2), t(10, 20)), lambda: (t(3, 4), t(10, 20)), the_same_twice]
CASES = {
    "x ** 2.0 of integers": (lambda x: x**2.0, [lambda: (np.arange(3),)]),
    "where= and out=": (divide_where, [lambda: (a(0, 2, 0, 4),)]),
    "parts that are changed": (change_a_part, [lambda: (a(1, 2),)]),
    "parts that are kept": (keep_a_part, [lambda: (a(1, 2),)]),
    "astype without a copy": (change_what_astype_gave, [lambda: (a(1, 2),)]),
    "nan_to_num in place": (change_what_nan_to_num_gave, [lambda: (a(1, np.nan),)]),
    "var where": (lambda x: np.var(x, where=MASK), [lambda: (a(1, 2, 5),)]),
    "std where": (lambda x: np.std(x, where=MASK), [lambda: (a(1, 2, 5),)]),
    "var of complex numbers": (lambda x: np.var(x), [lambda: (np.array([1 + 2j, 3 - 1j]),)]),
    "var as a method": (lambda x: x.var(), [lambda: (a(1, 2, 5),)]),
    "mean where": (lambda x: np.mean(x, where=MASK), [lambda: (a(1, 2, 5),)]),
    "sum where, as a method": (lambda x: x.sum(where=MASK), [lambda: (a(1, 2, 5),)]),
    "max with an initial value": (lambda x: x.max(initial=9.0), [lambda: (a(1, 2, 5),)]),
    "zeros_like, dtype by position": (lambda x: np.zeros_like(x, np.float32) + 1, [lambda: (a(1, 2),)]),
    "full_like, dtype by position": (lambda x: np.full_like(x, 3, np.float32) + 1, [lambda: (a(1, 2),)]),
    "full of a traced number": (lambda x: np.full(2, x[0], like=x), [lambda: (a(1, 2),), lambda: (a(5, 2),)]),
    "abs of a float": (lambda x, s: x * abs(s), [lambda: (a(1, 2, dtype=np.float32), -2.5)]),
    "floor division of a float": (lambda x, s: x * (s // 2), [lambda: (a(1, 2, dtype=np.float32), 5.5)]),
    "remainder of a float": (lambda x, s: x * (s % 2), [lambda: (a(1, 2, dtype=np.float32), 5.5)]),
    "a ufunc of floats": (lambda x, s: x * np.add(s, 1.0), [lambda: (a(1, 2, dtype=np.float32), 5.5)]),
    "an operator of floats": (lambda x, s: x * (s + 1.0), [lambda: (a(1, 2, dtype=np.float32), 5.5)]),
    "dot, out by position": (dot_out, [lambda: (np.eye(2) * 3, np.ones((2, 2)))]),
    "dot as a method, out by position": (dot_method_out, [lambda: (np.eye(2) * 3, np.ones((2, 2)))]),
    "clip, out by position": (clip_out, [lambda: (a(-1, 0.5, 3),)]),
    "clip from below, as a method": (lambda x: x.clip(0.5), [lambda: (a(-1, 0.5, 3),)]),
    "a float that says how often": (
        lambda x, n: np.polyder(x, n),
        [lambda: (a(1, 2, 3), 1.0), lambda: (a(1, 2, 3), 2.0)],
    ),
    "dot of floats": (lambda x, s: x * np.dot(s, s), [lambda: (a(1, 2), 2.5)]),
    "what is an array, and what a number": (by_kind, [lambda: (a(1, 2), 2.5)]),
    "a scalar that is added to": (add_to_a_scalar, [lambda: (a(1, 2),)]),
    "a scalar that becomes a matrix": (add_a_matrix_to_a_scalar, [lambda: (a(1, 2),)]),
    "put": (put, [lambda: (a(-1, 0.5, 3),)]),
    "shuffle": (shuffle, [lambda: (np.arange(6.0), np.random.default_rng(0))]),
    "shuffle of an argument": (shuffle_argument, [lambda: (np.arange(6.0), np.random.default_rng(0))]),
    "a masked array": (lambda x: x.sum(), [lambda: (np.ma.masked_array([1.0, 2.0, 3.0], [0, 1, 0]),)]),
    "one tensor twice, then two": (two, [the_same_twice, *TWO]),
    "two tensors, then one twice": (write_the_first, TWO),
    "a gradient there or not": (gradient, [lambda: (leaf(1, 2),), lambda: (leaf(3, 4, grad=[1, 1]),)] * 2),
    "a gradient there first": (gradient, [lambda: (leaf(3, 4, grad=[1, 1]),), lambda: (leaf(1, 2),)] * 2),
    "a tensor of shape ()": (lambda x: (x * 2).detach(), [lambda: (mt.tensor(2.0),)]),
    "an array of shape ()": (lambda x: x * 2, [lambda: (np.array(2.0),)]),
}


def plain(x):
    """Nested answers as (values, shape, dtype)."""
    if isinstance(x, (tuple, list)):
        return [plain(y) for y in x]
    x = x.numpy() if isinstance(x, mt.Tensor) else np.asarray(x)
    return repr(x.tolist()), x.shape, x.dtype  # a nan is not equal to itself


@pytest.mark.parametrize(("f", "calls"), CASES.values(), ids=CASES)
def test_what_comes_out_is_what_the_function_gives(f, calls):
    """In value, shape and dtype, at the first call and at later ones, and arguments are left as f leaves them."""
    fast = mt.compile(f)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for make in [*calls, *calls, *calls]:
            mine, others = make(), make()

            assert plain(fast(*others)) == plain(f(*mine))
            for x, y in zip(mine, others, strict=True):
                if isinstance(x, (np.ndarray, mt.Tensor)):
                    assert plain(x) == plain(y)
    assert len([w for w in told if "compile:" in str(w.message)]) <= 1


def test_a_cast_that_numpy_refuses():
    """An array of integers cannot take a sum of floats, compiled or not."""

    def f(x):
        y = x * 1
        y += 0.5
        return y

    for function in (f, mt.compile(f)):
        with pytest.raises(TypeError, match=r"[Cc]ast.* from .*float64.* to .*int64.* with casting rule 'same_kind'"):
            function(np.arange(3))


@pytest.mark.parametrize(("before", "after"), [(0.0, -0.0), (np.nan, 1.0), (1, 1.0), ((1, 0.0), (1, -0.0))], ids=repr)
def test_constants_that_are_nearly_the_same(before, after):
    """-0.0 is another number than 0.0, and 1.0 than 1; a nan in the place of a nan is no change."""
    number = before
    f = lambda x: x * (number[1] if isinstance(number, tuple) else number)
    fast = mt.compile(f)
    x = np.array([1, -2])
    for number in (before, before, after, before, after):  # noqa: B007 (f reads it)
        y, e = fast(x), f(x)

        assert y.dtype == e.dtype
        np.testing.assert_array_equal(y, e)
        np.testing.assert_array_equal(np.signbit(y), np.signbit(e))


def test_modes_that_alternate_have_a_program_each(runs):
    """train() and eval() are traced once each, however often they take turns; so is a nan that is made anew."""
    model = mt.nn.Sequential(mt.nn.Linear(2, 2, rng=0), mt.nn.BatchNorm1d(2))
    f = lambda x: model(x).detach()
    fast, x = mt.compile(f), mt.tensor(np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32))
    for k in range(10):
        model.train(k % 2 == 0)
        assert fast(x).shape == (4, 2)

    assert len(runs) == 2


def test_singular_calls_now_and_then_do_not_end_compiling():
    """A program gives way in a call whose gradient is singular; only many such in a row end it."""
    w = mt.tensor([1.0], requires_grad=True)

    def f(x):
        w.grad = None
        mt.where(x > 0, mt.sqrt(x * w), 0.0).sum().backward()
        return w.grad

    fast = mt.compile(f)
    for k in range(300):
        x = np.array([0.0 if k % 2 else 4.0])
        np.testing.assert_allclose(fast(x).numpy(), f(x).numpy())

    assert not fast.runs_as_it_is


@pytest.mark.parametrize("dtype", ["i4", "i8", "u1"])
@pytest.mark.parametrize(
    ("shape", "rows"), [((60, 32), (50,)), ((60, 32), (4, 10)), ((60, 8, 9), (30,)), ((60, 4), (3,))]
)
def test_rows_of_a_table(shape, rows, dtype):
    """An embedding: rows read by an index that changes, repeated ones too; gradients added where they were read."""
    rng = np.random.default_rng(0)
    table = mt.tensor(rng.normal(size=shape), requires_grad=True)

    def f(index, target):
        table.grad = None
        loss = ((mt.tanh(table[index]) - target) ** 2).sum() + (table * table).sum()
        loss.backward()
        return loss, table.grad

    fast = mt.compile(f)
    for _ in range(3):
        index, target = rng.integers(0, shape[0], rows).astype(dtype), rng.normal(size=rows + shape[1:])
        for a, b in zip(fast(index, target), f(index, target), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("which", [lambda w: w.grad, lambda w: [w.grad, w.grad * 2], lambda w: {"g": w.grad.detach()}])
def test_a_gradient_may_be_the_answer(which):
    """It is that of the call, and the next call leaves it alone."""
    w = mt.tensor([1.0, 2.0], requires_grad=True)

    def f(x):
        w.grad = None
        (w * x).sum().backward()
        return which(w)

    fast = mt.compile(f)
    xs = np.random.default_rng(0).normal(size=(4, 2))
    answers = [fast(x) for x in xs]
    for x, answer in zip(xs, answers, strict=True):
        expected = f(x)
        for a, e in zip(flatten(answer)[0], flatten(expected)[0], strict=True):
            np.testing.assert_array_equal(a.numpy(), e.numpy())
