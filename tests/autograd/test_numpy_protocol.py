"""numpy meets Tensors: its functions and operators record, or say what they cannot; and errors that help."""

import re

import numpy as np
import pytest

import mytorch as mt

ONES = np.ones((2, 3))


@pytest.fixture
def x():
    return mt.tensor([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]], requires_grad=True)


def message(*parts):
    """A pattern of these literal parts, in order."""
    return ".*".join(map(re.escape, parts))


# ----- numpy's functions record -----


def test_functions_record(x):
    """A loss written with numpy's functions alone differentiates."""
    w = mt.tensor(np.linspace(-1, 1, 12).reshape(3, 4), requires_grad=True)

    def loss(m, x, w):
        h = m.tanh(m.matmul(x, w))
        h = m.concatenate([h, m.maximum(h, 0.1)], axis=1)
        e = m.exp(h - m.max(h, axis=1, keepdims=True))
        return -m.mean(m.log(m.sum(m.where(e > 0.3, e, 0.5), axis=-1)))

    y = loss(np, x, w)
    assert isinstance(y, mt.Tensor)
    y.backward()

    assert y.item() == loss(np, x.numpy(), w.numpy())
    for k, a in enumerate((x, w)):
        np.testing.assert_array_equal(a.grad.numpy(), mt.grad(lambda *a: loss(mt, *a), k)(x.numpy(), w.numpy()))


@pytest.mark.parametrize(
    ("left", "right", "slope"),
    [
        (lambda x: ONES + x, lambda x: x + ONES, 1),
        (lambda x: ONES - x, lambda x: -(x - ONES), -1),
        (lambda x: 2 * ONES * x, lambda x: x * (2 * ONES), 2),
        (lambda x: np.float64(3) * x, lambda x: x * np.float64(3), 3),
        (lambda x: np.float32(3) * x, lambda x: x * np.float32(3), 3),
        (lambda x: np.int64(3) * x, lambda x: x * np.int64(3), 3),
        (lambda x: ONES @ x.T, lambda x: (x @ ONES.T).T, 2),
        (lambda x: ONES / (x / x / x), lambda x: x / ONES, 1),
        (lambda x: (2 * ONES) ** (x * 0) * x, lambda x: x ** ONES, None),
        (lambda x: [[1.0, 2.0, 3.0]] * x / [1.0, 2.0, 3.0], lambda x: x * [1, 1, 1], 1),
    ],
)  # fmt: skip
def test_operators_with_arrays(x, left, right, slope):
    """array op tensor and tensor op array are both Tensors, with the same value and gradient."""
    gradients = []
    for f in (left, right):
        y = f(x)
        assert isinstance(y, mt.Tensor)
        y.sum().backward()
        gradients.append(x.grad.numpy())
        x.grad = None

    np.testing.assert_allclose(left(x).numpy(), right(x).numpy())
    if slope is not None:
        np.testing.assert_allclose(gradients, np.full((2, 2, 3), slope))


def test_comparisons_with_arrays(x):
    """Comparisons and logic with arrays on either side give Tensors of booleans."""
    expected = x.numpy() > 0
    true = np.ones(3, bool)
    for y in (x > 0, np.zeros(3) < x, x > np.zeros(3), ~(x <= 0), np.greater(x, 0), (x > 0) & true, true & (x > 0)):
        assert isinstance(y, mt.Tensor)
        assert y.dtype == bool
        np.testing.assert_array_equal(y.numpy(), expected)


# ----- what numpy may ask of a tensor -----


def test_plain_answers(x):
    """shape, ndim, size and tests of equality answer as for arrays."""
    assert (np.shape(x), np.ndim(x), np.size(x), np.result_type(x, np.float32)) == ((2, 3), 2, 6, np.float64)
    assert np.allclose(x, x.numpy())
    assert np.array_equal(x, x.numpy())
    assert np.shares_memory(x, x.numpy())


def test_like(x):
    """zeros_like and its kin give constants."""
    for y, value in ((np.zeros_like(x), 0), (np.ones_like(x), 1), (np.full_like(x, 7.0), 7)):
        assert (type(y), y.shape, y.requires_grad) == (mt.Tensor, (2, 3), False)
        assert (y.numpy() == value).all()


def test_array_of_what_requires_grad(x):
    """np.asarray of a tensor that requires grad would lose the gradient: an error, with the way out."""
    for call in (np.asarray, np.array, lambda x: np.array([x[0], x[1]]), lambda x: ONES.dot(x.T)):
        with pytest.raises(TypeError, match=message("the gradient would be lost", "x.detach()", "x.numpy()")):
            call(x)
    assert np.asarray(x.detach()).tolist() == x.tolist()
    with mt.no_grad():
        assert np.asarray(x).tolist() == x.tolist()


def test_numpys_assertions_take_gradients(x):
    """np.testing and friends work on gradients as they are."""
    (x * x).sum().backward()

    np.testing.assert_allclose(x.grad, 2 * x.numpy())
    np.testing.assert_array_equal(x.grad, 2 * x.numpy())
    assert np.linalg.norm(x.grad.numpy() - 2 * x.numpy()) == 0


# ----- what is not supported says so, naming it -----


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x: np.median(x), "numpy.median has no derivative here"),
        (lambda x: np.linalg.svd(x), "numpy.linalg.svd has no derivative here"),
        (lambda x: np.fft.fft(x), "numpy.fft.fft has no derivative here"),
        (lambda x: np.gcd(x, 2), "numpy.gcd has no derivative here"),
        (lambda x: np.add.reduce(x), "numpy.add.reduce has no derivative here"),
        (lambda x: np.multiply.outer(x, x), "numpy.multiply.outer has no derivative here"),
        (lambda x: np.add.accumulate(x), "numpy.add.accumulate has no derivative here"),
        (lambda x: np.add.at(np.zeros(3), [0], x[0, :1]), "numpy.add.at has no derivative here"),
        (lambda x: np.add(x, 1, where=x.numpy() > 0), "numpy.add: where is not supported on tensors"),
        (lambda x: np.exp(x, dtype=np.float32), "numpy.exp: dtype is not supported on tensors"),
        (lambda x: np.add(x, 1, out=mt.tensor(ONES)), "numpy.add: out is not supported on tensors"),
        (lambda x: np.exp(x, out=np.zeros((2, 3))), "numpy.exp: an array cannot hold what a tensor records"),
        (lambda x: np.sum(x, dtype=np.float32), "dtype"),
        (lambda x: np.sum(x, where=x.numpy() > 0), "where"),
        (lambda x: np.mean(x, out=np.zeros(())), "out"),
        (lambda x: np.clip(x, 0, 1, out=np.zeros((2, 3))), "out"),
        (lambda x: np.concatenate([x], out=np.zeros((2, 3))), "out"),
        (lambda x: np.reshape(x, (3, 2), order="F"), "order"),
        (lambda x: np.max(x, initial=0), "initial"),
    ],
)
def test_unsupported(x, call, name):
    """What has no derivative here raises TypeError and names the function or the argument."""
    with pytest.raises(TypeError, match=message(name)):
        call(x)


def test_array_cannot_take_a_tensor_in_place(x):
    """array += tensor raises and shows what to write; the array stays as it was."""
    a = np.zeros((2, 3))
    with pytest.raises(TypeError, match=message("numpy.add: an array cannot hold", "a = a op x")):
        a += x
    assert (a == 0).all()
    with pytest.raises(TypeError, match="the gradient would be lost"):
        a[:] = x


def test_linalg_functions_of_stacks(x):
    """np.linalg.diagonal and trace take the last two axes, np.diagonal and np.trace the first two; all record."""
    stack = mt.tensor(np.arange(24.0).reshape(2, 3, 4), requires_grad=True)
    for f in (np.linalg.diagonal, np.linalg.trace, np.diagonal, np.trace):
        y = f(stack)
        assert y.requires_grad
        np.testing.assert_array_equal(y.numpy(), f(stack.numpy()))


# ----- lists are arrays to numpy's functions, and to these -----


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.sum([1.0, 2.0]),
        lambda m: m.take([1.0, 2.0], (1, 0)),
        lambda m: m.sort([2.0, 1.0]),
        lambda m: m.diag([1.0, 2.0]),
        lambda m: m.trace([[1.0, 2.0], [3.0, 4.0]]),
        lambda m: m.array_split([1.0, 2.0, 3.0], 2)[0],
        lambda m: m.repeat([[1.0, 2.0]], 2, axis=0),
        lambda m: m.tile([1.0, 2.0], 2),
        lambda m: m.take_along_axis(np.array([[1.0, 2.0]]), np.array([[0]]), 1),
        lambda m: m.clip([1.0, 2.0], 1.5, 3),
        lambda m: m.tensordot([1.0, 2.0], [1.0, 2.0], 1),
        lambda m: m.outer([1.0, 2.0], [1.0, 2.0]),
        lambda m: m.einsum("i,i", [1.0, 2.0], [1.0, 2.0]),
        lambda m: m.matmul([[1.0, 2.0]], [1.0, 2.0]),
        lambda m: m.stack([[1.0, 2.0], [3.0, 4.0]]),
        lambda m: m.hstack([[1.0], [3.0, 4.0]]),
        lambda m: m.pad([1.0, 2.0], 1),
        lambda m: m.maximum([1.0, 2.0], [2.0, 1.0]),
        lambda m: m.where([True, False], [1.0, 2.0], 0.0),
    ],
)
def test_lists(call):
    """Lists in, arrays out, as numpy."""
    for got, expected in zip(np.atleast_1d(call(mt)), np.atleast_1d(call(np)), strict=True):
        np.testing.assert_array_equal(got, expected)


# ----- errors name the operation, the shapes and the way out -----


def t(*shape):
    return mt.tensor(np.ones(shape), requires_grad=True)


ERRORS = {
    "matmul": (lambda: t(3, 4) @ t(5, 2), ["matmul: inner sizes differ, (3, 4) @ (5, 2)"]),
    "matmul, y.T": (lambda: t(3, 4) @ t(5, 4), ["matmul: inner sizes differ, (3, 4) @ (5, 4); did you mean y.T?"]),
    "matmul, x.T": (lambda: t(3, 4) @ t(3, 2), ["matmul: inner sizes differ, (3, 4) @ (3, 2); did you mean x.T?"]),
    "matmul, vectors": (lambda: t(4) @ t(3), ["matmul: inner sizes differ, (4,) @ (3,)"]),
    "matmul, number": (lambda: t(3, 4) @ t(), ["matmul: shapes (3, 4) @ ()", "use * to scale"]),
    "matmul, stacks": (lambda: t(2, 3, 4) @ t(3, 4, 5), ["matmul: the stacks", "(2, 3, 4) @ (3, 4, 5)"]),
    "matmul, array": (lambda: np.ones((3, 4)) @ t(5, 2), ["matmul: inner sizes differ, (3, 4) @ (5, 2)"]),
    "dot": (lambda: mt.dot(t(3, 4), t(3)), ["inner sizes differ, (3, 4) @ (3,); did you mean x.T?"]),
    "inner": (lambda: mt.inner(t(3, 4), t(3)), ["inner: last sizes differ, (3, 4) and (3,)"]),
    "inner, number": (lambda: mt.inner(t(3), t()), ["inner: shapes (3,) and ()", "use * to scale"]),
    "tensordot": (lambda: mt.tensordot(t(3, 4), t(3, 4), 1), ["tensordot: sizes [4]", "(3, 4) differ from [3]"]),
    "tensordot, axis": (lambda: mt.tensordot(t(3), t(3), (0, 5)), ["tensordot: axis 5 is out of bounds"]),
    "solve": (lambda: mt.solve(t(3, 3), t(2)), ["solve: 3 equations in (3, 3) are given 2 right sides in (2,)"]),
    "solve, not square": (lambda: mt.solve(t(3, 4), t(3)), ["solve: a square matrix is needed", "(3, 4)"]),
    "solve, singular": (lambda: mt.solve(t(2, 2), t(2)), ["solve: Singular matrix, for (2, 2) float64"]),
    "inv": (lambda: mt.inv(t(3, 4)), ["inv: Last 2 dimensions", "square", "(3, 4)"]),
    "norm": (lambda: mt.norm(t(2, 2), 7), ["norm: ord=7", "(2, 2) is not supported"]),
    "add": (lambda: t(3, 4) + t(3), ["add: shapes (3, 4) and (3,) do not broadcast: axis -1 has sizes 3 and 4; make"]),
    "multiply": (lambda: np.ones((2, 3, 1)) * t(2, 4, 5), ["multiply: shapes (2, 3, 1) and (2, 4, 5)", "axis -2"]),
    "hypot": (lambda: mt.hypot(t(3), t(2)), ["hypot: shapes (3,) and (2,) do not broadcast"]),
    "where": (lambda: mt.where(np.ones(3, bool), t(3, 4), 0.0), ["where: shapes (3,) and (3, 4) and ()", "3 and 4"]),
    "x += y": (lambda: t(3).__iadd__(t(2)), ["add: shapes (3,) and (2,) do not broadcast"]),
    "clip": (lambda: mt.clip(t(3)), ["clip: give a lower bound, an upper bound or both"]),
    "add, text": (lambda: t(3) + "a", ["add: ", "(3,) float64, 'a'"]),
    "reshape": (lambda: t(3, 4).reshape(5, 2), ["reshape: 12 elements, of shape (3, 4), do not fill (5, 2)"]),
    "reshape, -1": (lambda: t(3, 4).reshape(-1, 5), ["reshape: 12 elements", "(3, 4)", "(-1, 5)", "multiple of 5"]),
    "reshape, text": (lambda: t(3).reshape("a"), ["reshape: ", "'a'"]),
    "transpose": (lambda: t(3, 4).transpose(0, 2), ["transpose: axis 2 is out of bounds", "(3, 4)"]),
    "squeeze": (lambda: t(3, 4).squeeze(axis=0), ["squeeze: ", "not equal to one", "(3, 4)"]),
    "broadcast_to": (lambda: mt.broadcast_to(t(3, 4), (2, 5)), ["broadcast_to: shape (3, 4) does not", "(2, 5)"]),
    "sum": (lambda: t(3, 4).sum(axis=2), ["sum: axis 2 is out of bounds", "(3, 4)"]),
    "mean": (lambda: t(3, 4).mean(axis=(0, 2)), ["mean: axis 2 is out of bounds", "(3, 4)"]),
    "var": (lambda: t(3, 4).var(axis=-3), ["var: axis -3 is out of bounds", "(3, 4)"]),
    "max": (lambda: t(3, 4).max(axis=2), ["max: axis 2 is out of bounds", "(3, 4)"]),
    "logsumexp": (lambda: mt.logsumexp(t(3, 4), axis=2), ["logsumexp: axis 2 is out of bounds", "(3, 4)"]),
    "softmax": (lambda: mt.softmax(t(3, 4), axis=2), ["softmax: axis 2 is out of bounds", "(3, 4)"]),
    "cumsum": (lambda: mt.cumsum(t(3, 4), axis=2), ["cumsum: axis 2 is out of bounds", "(3, 4)"]),
    "concatenate": (lambda: mt.concatenate([t(3, 4), t(2, 5)]), ["concatenate: the shapes (3, 4) and (2, 5)"]),
    "concatenate, axes": (lambda: mt.concatenate([t(3, 4), t(3)]), ["concatenate: arrays with", "(3, 4), (3,)"]),
    "concatenate, none": (lambda: mt.concatenate([]), ["concatenate: give at least one array"]),
    "stack": (lambda: mt.stack([t(3), t(4)]), ["stack: arrays of one shape are needed", "(3,), (4,)"]),
    "stack, axis": (lambda: mt.stack([t(3), t(3)], axis=4), ["stack: axis 4 is out of bounds"]),
    "split": (lambda: mt.split(t(3, 4), 2), ["split: 3 along axis 0 is not divisible into 2 parts; array_split"]),
    "split, axis": (lambda: mt.split(t(3, 4), 2, axis=5), ["split: axis 5 is out of bounds"]),
    "array_split": (lambda: mt.array_split(t(3), 0), ["array_split: 0 parts"]),
    "repeat": (lambda: mt.repeat(t(3, 4), [1, 2], axis=0), ["repeat: 2 repeats for 3 elements along axis 0"]),
    "repeat, axis": (lambda: mt.repeat(t(3), 2, axis=3), ["repeat: axis 3 is out of bounds"]),
    "pad": (lambda: mt.pad(t(3), 1, mode="edge"), ["pad: mode 'edge' is not supported, only 'constant'"]),
    "einsum": (lambda: mt.einsum("ij,jk->ik", t(3, 4), t(5, 6)), ["einsum: 'ij,jk->ik': label j is 4 in (3, 4) and 5"]),
    "einsum, count": (lambda: mt.einsum("ij,jk->ik", t(3, 4)), ["einsum: 'ij,jk->ik' names 2 operands, 1 are given"]),
    "einsum, axes": (lambda: mt.einsum("ij->i", t(3)), ["einsum: 'ij->i' has the labels 'ij'", "(3,)"]),
    "einsum, ...": (lambda: mt.einsum("...i->i", t(2, 3)), ["einsum: '...i->i' must have '...' in its answer too"]),
    "einsum, first": (lambda: mt.einsum(t(3), [0]), ["einsum: write the subscripts as a string first"]),
    "index": (lambda: t(3, 4)[5], ["getitem: index 5 is out of bounds for axis 0 with size 3", "(3, 4)"]),
    "index, axes": (lambda: t(3)[0, 0], ["getitem: too many indices", "(3,)"]),
    "index, float": (lambda: t(3)[1.0], ["getitem: only integers", "(3,)"]),
    "index, array": (lambda: t(3)[np.array([0, 7])], ["getitem: index 7 is out of bounds", "(3,)"]),
    "index, mask": (lambda: t(3)[np.ones(4, bool)], ["getitem: boolean index did not match", "(3,)"]),
    "write": (lambda: mt.setitem(t(3), slice(2), np.ones(3)), ["setitem: could not broadcast", "(3,)"]),
    "take": (lambda: mt.take(t(3, 4), 0, axis=5), ["take: axis 5 is out of bounds"]),
    "take_along_axis": (lambda: mt.take_along_axis(t(3, 4), np.array([0]), 1), ["take_along_axis: indices", "(1,)"]),
    "diagonal": (lambda: mt.diagonal(t(3)), ["diagonal: axis 1 is out of bounds"]),
    "diagonal, one axis": (lambda: mt.diagonal(t(3, 3), 0, 1, 1), ["diagonal: two different axes are needed"]),
    "diag": (lambda: mt.diag(t(2, 2, 2)), ["diag: one or two axes are needed", "(2, 2, 2)"]),
    "sort": (lambda: mt.sort(t(3), axis=2), ["sort: axis 2 is out of bounds", "(3,)"]),
    "mT": (lambda: t(3).mT, ["matrix_transpose: at least two axes are needed", "(3,)"]),
}  # fmt: skip


@pytest.mark.parametrize(("call", "parts"), ERRORS.values(), ids=ERRORS)
def test_error(call, parts):
    """The message names the operation and the shapes, and where it can, the way out."""
    with pytest.raises((ValueError, TypeError, IndexError), match=message(*parts)):
        call()


def test_no_hint_where_it_would_not_help():
    """A transpose is suggested only where it makes the product possible."""
    for x, y in ((t(3, 4), t(5, 2)), (t(4), t(3)), (t(2), t(3, 4))):
        with pytest.raises(ValueError, match="inner sizes differ") as caught:
            x @ y
        assert "did you mean" not in str(caught.value)


def test_failed_operation_leaves_everything_as_it_was(x):
    """After an error in the middle of an expression the same graph goes on."""
    y = x * 2
    with pytest.raises(ValueError):
        (y + 1) @ y
    with pytest.raises(IndexError):
        y[0, 9] = 1.0
    y.sum().backward()

    assert (x.grad.numpy() == 2).all()
