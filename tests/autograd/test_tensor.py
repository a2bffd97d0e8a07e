"""Tensor: a value that remembers how it was computed; what changes in place, and what may not."""

import copy
import inspect
import operator
import pickle
import re
import weakref

import numpy as np
import pytest

import mytorch as mt

A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 7.0]])


def leaf(value, dtype=None):
    return mt.tensor(value, dtype=dtype, requires_grad=True)


def same(tensor, array):
    """Asserts that a tensor has just these numbers, shape and dtype."""
    array = np.asarray(array)

    assert isinstance(tensor, mt.Tensor)
    assert (tensor.shape, tensor.dtype) == (array.shape, array.dtype)
    np.testing.assert_array_equal(tensor.numpy(), array)


# ----- making one -----


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, np.float64),
        (3, np.int64),
        (True, np.bool_),
        ([1.0, 2], np.float64),
        ([[1, 2], [3, 4]], np.int64),
        (np.float32(2), np.float32),
        (np.ones(2, np.float16), np.float16),
        (np.arange(3, dtype=np.uint8), np.uint8),
        ([], np.float64),
        ([1j], np.complex128),
    ],
    ids=repr,
)
def test_a_tensor_has_numpys_dtype(data, dtype):
    """An array keeps its own; Python's floats are float64."""
    same(mt.tensor(data), np.asarray(data, dtype))


def test_a_tensor_takes_a_dtype():
    """As np.array does."""
    same(mt.tensor([1, 2], dtype=np.float32), np.float32([1, 2]))
    assert mt.tensor([1, 2], dtype="float32", requires_grad=True).requires_grad


def test_a_tensor_copies_its_data():
    """Neither sees what the other becomes; a Tensor's copy has no history."""
    a = A.copy()
    x = mt.tensor(a)
    y = mt.tensor(x)
    a[0, 0] = 9.0

    same(x, A)
    assert not np.shares_memory(x.data, y.data)
    assert not mt.tensor(leaf(A) * 2).requires_grad


@pytest.mark.parametrize(
    "data", [[[1.0], [1.0, 2.0]], [None], {"a": 1}, object], ids=["ragged", "None", "dict", "class"]
)
def test_what_is_no_array_is_an_error(data):
    """It says so in its first word."""
    with pytest.raises((TypeError, ValueError), match=r"^tensor: no "):
        mt.tensor(data)


def test_a_list_of_tensors_that_require_grad_is_an_error():
    """Their gradient would be lost."""
    with pytest.raises(TypeError, match="gradient would be lost"):
        mt.tensor([leaf(1.0), leaf(2.0)])


# ----- the array's properties -----


def test_shape_dtype_ndim_size_len():
    """As numpy's."""
    x = mt.tensor(A)

    assert (x.shape, x.dtype, x.ndim, x.size, len(x)) == ((2, 3), np.float64, 2, 6, 2)
    assert x.tolist() == A.tolist()
    with pytest.raises(TypeError, match=r"shape \(\)"):
        len(mt.tensor(1.0))


def test_data_is_the_array_and_numpy_a_read_only_view_of_it():
    """No copy; writing through numpy() is an error."""
    for value in (A, 2.0):
        x = leaf(value)
        assert type(x.data) is np.ndarray and type(x.numpy()) is np.ndarray
        view = x.numpy()
        with pytest.raises(ValueError, match="read-only"):
            view[...] = 0
    x = leaf(A)
    assert np.shares_memory(x.numpy(), x.data)


@pytest.mark.parametrize("f", [lambda x: x.sum(), lambda x: x[0, 0], lambda x: x[0] @ x[1], lambda x: x.mean() * 2])
def test_the_data_of_one_number_is_an_array_too(f):
    """Shape (), also where numpy gives a scalar."""
    y = f(leaf(A))

    assert type(y.data) is np.ndarray and type(y.numpy()) is np.ndarray
    assert y.shape == y.data.shape == ()


def test_item_float_int_bool_index_format():
    """Of one element, as Python's numbers."""
    x = mt.tensor([[2.5]])
    assert (x.item(), float(x), int(x), bool(x)) == (2.5, 2.5, 2, True)
    assert type(x.item()) is float
    assert not mt.tensor(0.0)
    assert f"{x:.3f}" == "2.500" and f"{mt.tensor(7):03d}" == "007"
    assert [10, 20, 30][mt.tensor(2)] == 30 and list(range(mt.tensor(2))) == [0, 1]


@pytest.mark.parametrize("f", [operator.methodcaller("item"), float, int, bool, lambda x: f"{x:.2f}"])
def test_many_elements_are_no_number(f):
    """The error tells the shape."""
    with pytest.raises((TypeError, ValueError), match=r"\(2, 3\)"):
        f(mt.tensor(A))


def test_iteration_goes_along_the_first_axis():
    """And every part differentiates."""
    x = leaf(A)
    first, second = x
    (first * 2 + second * 3).sum().backward()

    np.testing.assert_array_equal(x.grad.numpy(), [[2.0] * 3, [3.0] * 3])
    with pytest.raises(TypeError, match=r"shape \(\)"):
        iter(mt.tensor(1.0))


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (mt.tensor([1.0, 2.5]), "tensor([1. , 2.5])"),
        (mt.tensor(3), "tensor(3)"),
        (mt.tensor([True]), "tensor([ True])"),
        (mt.tensor([1.0], dtype=np.float32), "tensor([1.], dtype=float32)"),
        (mt.tensor([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
        (mt.tensor([1.0], requires_grad=True) * 2, "tensor([2.], op=multiply)"),
    ],
)
def test_repr_tells_what_it_is(x, text):
    """The numbers, a dtype that is not the default, and where gradients come from."""
    assert repr(x) == f"{x}" == text


def test_transposes():
    """T reverses the axes, mT swaps the last two; both differentiate."""
    a = np.arange(24.0).reshape(2, 3, 4)
    x = leaf(a)
    same(x.T, a.T)
    same(x.mT, a.mT)
    (x.mT * np.arange(24.0).reshape(2, 4, 3)).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.arange(24.0).reshape(2, 4, 3).mT)
    with pytest.raises(ValueError, match=r"two axes.*\(3,\)"):
        mt.tensor([1.0, 2.0, 3.0]).mT  # noqa: B018


# ----- operators -----

OPERATORS = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.pow,
    operator.floordiv,
    operator.mod,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.eq,
    operator.ne,
]
OTHERS = [2, 1.5, np.float64(2.5), np.float32(3), np.array([1.0, 2.0, 4.0]), np.float32([[2], [3]]), np.arange(1, 4)]


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
@pytest.mark.parametrize("other", OTHERS, ids=lambda o: f"{type(o).__name__}{np.shape(o)}{np.asarray(o).dtype}")
def test_operators_take_numbers_arrays_and_tensors_on_either_side(op, other):
    """Value and dtype are numpy's, whichever side the Tensor is on; never an array, never an array of Tensors."""
    x = mt.tensor(A)

    same(op(x, other), op(A, other))
    same(op(other, x), op(other, A))
    same(op(x, mt.tensor(other)), op(A, np.asarray(other)))
    same(op(leaf(A), other).detach(), op(A, other))


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint8])
@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
def test_python_numbers_do_not_widen(op, dtype):
    """float32 with 2 or 0.5 is float32, as in numpy."""
    a = np.array([1, 2, 3], dtype)
    for number in (2, 0.5):
        same(op(mt.tensor(a), number), op(a, number))
        same(op(number, mt.tensor(a)), op(number, a))


@pytest.mark.parametrize("op", [operator.and_, operator.or_, operator.xor], ids=lambda op: op.__name__)
@pytest.mark.parametrize(("a", "b"), [([True, False], [True, True]), ([6, 3], [3, 3]), ([True, False], True)], ids=str)
def test_bitwise_operators_are_numpys(op, a, b):
    """On booleans and on integers, on either side."""
    expected = op(np.array(a), np.array(b))
    same(op(mt.tensor(a), mt.tensor(b)), expected)
    same(op(mt.tensor(a), b), expected)
    same(op(b, mt.tensor(a)), expected)
    same(op(np.array(b), mt.tensor(a)), expected)
    same(~mt.tensor(a), ~np.array(a))


def test_matmul_on_either_side():
    """With arrays and lists."""
    x = leaf(A)
    for y in (x @ A.T, A @ x.T, x @ A.T.tolist(), A.tolist() @ x.T):
        same(y.detach(), A @ A.T)


def test_unary_operators():
    """-x, +x and abs(x)."""
    x = mt.tensor(A - 3)
    same(-x, 3 - A)
    same(+x, A - 3)
    same(abs(x), np.abs(A - 3))


@pytest.mark.parametrize("op", OPERATORS[:5], ids=lambda op: op.__name__)
def test_operators_differentiate_on_both_sides(op):
    """Number op Tensor and Tensor op number: the derivatives of calculus, by differences."""
    assert mt.gradcheck(lambda x: op(x, 1.5), A)
    assert mt.gradcheck(lambda x: op(1.5, x), A)
    assert mt.gradcheck(op, A, A[0] / 2)


def test_comparisons_carry_no_gradient():
    """They are constant almost everywhere."""
    x = leaf(A)

    assert not (x > 2).requires_grad
    same(x > 2, A > 2)
    (x * (x > 2)).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), A > 2)


def test_equality_is_elementwise_and_hash_by_identity():
    """So tensors can be keys of a dict."""
    x, y = mt.tensor([1.0, 2.0]), mt.tensor([1.0, 2.0])
    same(x == y, [True, True])

    assert {x: "x", y: "y"}[x] == "x"
    assert len({x, y, x}) == 2


def test_shapes_that_do_not_fit_are_named():
    """The operation, both shapes and the way out."""
    with pytest.raises(ValueError, match=r"^add: shapes \(2, 3\) and \(2,\) do not broadcast"):
        leaf(A) + np.ones(2)
    with pytest.raises(ValueError, match=re.escape("matmul: inner sizes differ, (3, 4) @ (5, 4); did you mean y.T?")):
        mt.tensor(np.ones((3, 4))) @ mt.tensor(np.ones((5, 4)))


# ----- indexing -----

INDICES = [
    0,
    -1,
    (1, 2),
    slice(None, None, -1),
    (slice(None), slice(1, 3)),
    (..., 0),
    (None, 0, ..., None),
    [0, 0, 1],
    ([0, 1, 0], [2, 2, 2]),
    np.array([[True, False, True], [False, True, False]]),
    A > 2,
    mt.tensor([1, 0, 1]),
    (mt.tensor([0, 0]), mt.tensor([1, 1])),
    (slice(None), mt.tensor([2, 2])),
    mt.tensor(A > 2),
    [mt.tensor(0), mt.tensor(1)],
    slice(mt.tensor(0), mt.tensor(1)),
    np.int64(1),
    (),
]


def _plain(index):
    """The same index without Tensors."""
    if isinstance(index, mt.Tensor):
        return index.numpy()
    if isinstance(index, slice):
        return slice(*(int(i) if isinstance(i, mt.Tensor) else i for i in (index.start, index.stop, index.step)))
    return type(index)(map(_plain, index)) if isinstance(index, (list, tuple)) else index


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_indexing_is_numpys(index):
    """Numbers, slices, arrays, lists and Tensors; repeated elements add up in the gradient."""
    x, weights = leaf(A), np.random.default_rng(0).standard_normal(A[_plain(index)].shape)
    y = x[index]
    same(y.detach(), A[_plain(index)])
    (y * weights).sum().backward()
    expected = np.zeros_like(A)
    np.add.at(expected, _plain(index), weights)

    np.testing.assert_array_equal(x.grad.numpy(), expected)


def test_an_index_outside_is_named():
    """With the shape that was indexed."""
    with pytest.raises(IndexError, match=r"getitem: .*\(2, 3\)"):
        leaf(A)[5]


# ----- a Tensor is a value -----


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_assignment_gives_the_handle_a_new_value(index):
    """x[i] = v differentiates: to x where it was not overwritten, to v where it was not overwritten again."""
    given = leaf(A)
    x = given * 1.0
    target = A.copy()
    v = leaf(np.arange(1.0, 1 + target[_plain(index)].size).reshape(target[_plain(index)].shape))
    x[index] = v
    target[_plain(index)] = v.numpy()
    same(x.detach(), target)
    weights = np.arange(6.0).reshape(2, 3) + 1
    (x * weights).sum().backward()
    untouched = np.ones_like(A)
    untouched[_plain(index)] = 0

    np.testing.assert_array_equal(given.grad.numpy(), weights * untouched)
    assert mt.gradcheck(lambda a, v: _assigned(a, index, v), A, v.numpy())


def _assigned(a, index, v):
    x = a * 1.0
    x[index] = v
    return x


def test_assignment_broadcasts():
    """The gradient of the value is summed over where it went."""
    v = leaf(3.0)
    x = leaf(A)
    y = x * 1
    y[:, 1:] = v
    y.sum().backward()

    assert v.grad.item() == 4.0
    np.testing.assert_array_equal(x.grad.numpy(), [[1.0, 0, 0]] * 2)


def test_assignment_to_a_constant_makes_it_depend_on_the_value():
    """A buffer of zeros filled with computed numbers, as one does."""
    x = leaf([1.0, 2.0, 3.0])
    buffer = mt.tensor(np.zeros(3))
    for i in range(3):
        buffer[i] = x[i] * (i + 1)
    (buffer * buffer).sum().backward()

    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 16.0, 54.0])


def test_assignment_to_a_leaf_binds_the_handle_anew():
    """The gradient of what was there is lost with the handle, but the value differentiates through another handle."""
    x = leaf([1.0, 2.0, 3.0])
    w = leaf([5.0])
    x[0:1] = w
    (x * x).sum().backward()

    assert not x.is_leaf and x.requires_grad
    assert w.grad.item() == 10.0


def test_views_taken_earlier_keep_what_they_saw():
    """Slices, transposes, iteration, detach() and numpy(), of a constant and of a computed tensor."""
    for x in (mt.tensor(A), leaf(A) * 1.0):
        views = [x[0], x[:, 1:], x.T, x.reshape(6), x.detach(), *x, x.mT]
        arrays = [x.numpy(), x.data]
        before = [v.numpy().copy() for v in views]
        x[0, 0] = 100.0
        x += 1
        x[:] = 0.0

        for view, saw in zip(views, before, strict=True):
            np.testing.assert_array_equal(view.numpy(), saw)
        for array in arrays:
            np.testing.assert_array_equal(array, A)


def test_a_view_and_its_base_differentiate_after_assignment():
    """The view goes back to the old value, the handle to the new one."""
    x = leaf([1.0, 2.0, 3.0])
    y = x * 1.0
    view = y[1:]
    y[1] = 7.0
    (y * 10 + mt.concatenate([mt.tensor([0.0]), view])).sum().backward()

    np.testing.assert_array_equal(x.grad.numpy(), [10.0, 1.0, 11.0])


INPLACE = [
    operator.iadd,
    operator.isub,
    operator.imul,
    operator.itruediv,
    operator.ipow,
    operator.imod,
    operator.ifloordiv,
]


@pytest.mark.parametrize("op", INPLACE, ids=lambda op: op.__name__)
def test_augmented_assignment_binds_the_name_anew(op):
    """The leaf stays what it was, and gets its gradient."""
    x = leaf([1.0, 2.0])
    y = op(x, 2.0)

    assert y is not x
    same(x.detach(), np.array([1.0, 2.0]))
    plain = getattr(operator, op.__name__[1:])
    same(y.detach(), plain(np.array([1.0, 2.0]), 2.0))
    assert mt.gradcheck(lambda x: op(x, 1.75) + 0 * x, np.array([1.1, 2.3]))


def test_augmented_assignment_of_a_matrix_product():
    """x @= y too."""
    x = leaf(np.eye(2))
    y = x
    y @= A

    same(x.detach(), np.eye(2))
    same(y.detach(), A)


def test_augmented_assignment_at_an_index():
    """x[i] += v is read, add, assign; repeated indices count once, as in numpy."""
    x = leaf([1.0, 2.0, 3.0])
    y = x * 1.0
    y[[0, 0, 2]] += 10.0
    same(y.detach(), np.array([11.0, 2.0, 13.0]))
    (y * [1.0, 10.0, 100.0]).sum().backward()

    np.testing.assert_array_equal(x.grad.numpy(), [1.0, 10.0, 100.0])


def test_an_array_cannot_hold_a_tensor():
    """array += tensor would lose the gradient; the error shows what to write."""
    a = np.ones(3)
    with pytest.raises(TypeError, match=r"`a = a op x`"):
        a += leaf(np.ones(3))
    with pytest.raises(TypeError, match="gradient would be lost"):
        a[:] = leaf(np.ones(3))
    np.testing.assert_array_equal(a, np.ones(3))


# ----- parameters change in place -----


@pytest.mark.parametrize("op", [*INPLACE, operator.imatmul], ids=lambda op: op.__name__)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_parameters_change_in_place_under_no_grad(op, dtype):
    """The same object, still a leaf that requires grad, of the same dtype."""
    p = leaf([[1.0, 2.0], [3.0, 5.0]], dtype)
    q, other = p, np.array([[2.0, 1.0], [1.0, 2.0]])
    with mt.no_grad():
        p = op(p, other)

    assert p is q and p.requires_grad and p.is_leaf
    plain = {"imatmul": operator.matmul}.get(op.__name__) or getattr(operator, op.__name__[1:])
    same(p.detach(), plain(np.array([[1.0, 2.0], [3.0, 5.0]]), other).astype(dtype))


def test_parameters_are_assigned_to_in_place_under_no_grad():
    """p[i] = v, p[...] = v and p.data = v."""
    p = leaf([1.0, 2.0, 3.0])
    with mt.no_grad():
        p[0] = 7.0
        p[1:] = mt.tensor([8.0, 9.0])
    same(p.detach(), np.array([7.0, 8.0, 9.0]))
    p.data = np.zeros(3)
    same(p.detach(), np.zeros(3))

    assert p.requires_grad and p.is_leaf


def test_a_scalar_parameter_changes_in_place():
    """Shape () as well."""
    p = q = leaf(2.0)
    with mt.no_grad():
        p -= 0.5
        p[...] *= 2

    assert p is q and p.requires_grad
    assert p.item() == 3.0


def test_gradient_descent_as_one_writes_it():
    """p -= lr * p.grad under no_grad, 100 times: the minimum of (p - 3)**2."""
    p = leaf([0.0, 10.0])
    for _ in range(100):
        ((p - 3.0) ** 2).sum().backward()
        with mt.no_grad():
            p -= 0.1 * p.grad
        p.grad = None

    np.testing.assert_allclose(p.numpy(), [3.0, 3.0], atol=1e-8)


def test_what_was_taken_from_a_parameter_keeps_what_it_saw():
    """detach(), numpy(), data and views are values, though the parameter changes in place."""
    p = leaf(A)
    detached, array, data, view = p.detach(), p.numpy(), p.data, p[0]
    with mt.no_grad():
        rows, transposed = list(p), p.T
        p += 10
        p[0, 0] = -1.0
        p *= 2

    for tensor in (detached, array, data, transposed.T):
        np.testing.assert_array_equal(np.asarray(getattr(tensor, "_data", tensor)), A)
    np.testing.assert_array_equal(view.numpy(), A[0])
    np.testing.assert_array_equal(rows[1].numpy(), A[1])


def test_data_given_to_a_parameter_is_not_changed_with_it():
    """p.data = array, then p += 1: the user's array stays."""
    p, array = leaf([1.0, 2.0]), np.zeros(2)
    p.data = array
    with mt.no_grad():
        p += 1

    np.testing.assert_array_equal(array, [0.0, 0.0])
    np.testing.assert_array_equal(p.numpy(), [1.0, 1.0])


def test_two_leaves_of_one_value_do_not_change_together():
    """detach().requires_grad_() gives a parameter of its own."""
    p = leaf([1.0, 2.0])
    q = p.detach().requires_grad_()
    with mt.no_grad():
        q += 1

    np.testing.assert_array_equal(p.numpy(), [1.0, 2.0])
    np.testing.assert_array_equal(q.numpy(), [2.0, 3.0])


def test_a_parameter_of_its_own_memory_changes_without_a_copy():
    """The usual step of an optimizer allocates no new array."""
    p = leaf(A)
    (p * p).sum().backward()
    with mt.no_grad():
        p -= 0.1 * p.grad
        address = p.data.ctypes.data
        p -= 0.1 * p.grad

    assert p.data.ctypes.data == address


def test_a_failed_change_leaves_the_parameter_as_it_was():
    """The error names the operation and the shapes."""
    p = leaf([1.0, 2.0])
    with mt.no_grad():
        with pytest.raises(ValueError, match=r"subtract: .*\(2,\).*\(3, 2\)"):
            p -= np.ones((3, 2))
        with pytest.raises((IndexError, ValueError), match="setitem: "):
            p[5] = 1.0

    same(p.detach(), np.array([1.0, 2.0]))
    assert p.requires_grad and p.is_leaf


# ----- a change between use and backward -----

CHANGES = {
    "-=": lambda p: operator.isub(p, 1.0),
    "*=": lambda p: operator.imul(p, 2.0),
    "[i] =": lambda p: operator.setitem(p, (0, 0), 5.0),
    "data =": lambda p: setattr(p, "data", np.zeros(p.shape)),
}
USES = {  # the operation the error must name, and a use of p whose backward reads its value
    "matmul": lambda x, p: x @ p,
    "multiply": lambda x, p: (p * p).sum() * x.sum(),
    "divide": lambda x, p: x.sum() / p,
    "sin": lambda x, p: mt.sin(p) + x.sum(),
    "inner": lambda x, p: mt.inner(x, p.reshape(2, 3)),
    "einsum": lambda x, p: mt.einsum("ij,jk->ik", x, p),
    "power": lambda x, p: p**2 * x.sum(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("name", USES)
def test_a_change_between_use_and_backward_is_an_error(name, change):
    """It names the operation that used the value and the user's line that changed it."""
    p, x = leaf(np.ones((3, 2))), leaf(A)
    y = USES[name](x, p).sum()
    with mt.no_grad():
        change(p)
    with pytest.raises(RuntimeError, match=rf"`{name}`.*changed in place.*{re.escape(__file__)}:\d+"):
        y.backward()

    assert x.grad is None and p.grad is None


def test_the_error_names_the_very_line():
    """File and number of the line that changed the parameter."""
    p = leaf([1.0, 2.0])
    y = (p * p).sum()
    with mt.no_grad():
        line = inspect.currentframe().f_lineno + 1
        p -= 0.1
    with pytest.raises(RuntimeError, match=re.escape(f"{__file__}:{line};")):
        y.backward()


VIEWS = {
    "T": lambda p: p.T,
    "mT": lambda p: p.mT,
    "reshape": lambda p: p.reshape(3, 2),
    "slices": lambda p: p.T[:, ::-1],
    "expand_dims": lambda p: mt.expand_dims(p, 0)[0].T,
    "swapaxes": lambda p: mt.swapaxes(p, 0, 1),
    "two views": lambda p: p.reshape(6).reshape(3, 2),
    "flip": lambda p: mt.flip(p.T, 0),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_change_is_noticed_through_a_view(view):
    """x @ W.T reads W's memory; what it would read at backward is not what it used."""
    p, x = leaf(A), leaf(A)
    y = (x @ view(p)).sum()
    with mt.no_grad():
        p -= 1.0
    with pytest.raises(RuntimeError, match=r"`matmul`.*changed in place"):
        y.backward()


HARMLESS = {  # uses that read no value of p in their backward
    "add": lambda x, p: x + p.T,
    "matmul by a constant": lambda x, p: p @ np.ones((2, 2)),
    "exp, whose rule reads the answer": lambda x, p: mt.exp(p),
    "relu": lambda x, p: mt.relu(p),
    "a copy": lambda x, p: mt.concatenate([p, p]) ** 2,
    "advanced indexing": lambda x, p: p[[0, 1, 1]] ** 2,
    "reshape": lambda x, p: p.reshape(6) * 3.0,
    "detached": lambda x, p: x * p.detach().T,
    "sum": lambda x, p: p.sum(axis=0),
}


@pytest.mark.parametrize("use", HARMLESS.values(), ids=HARMLESS)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_what_no_rule_reads_is_no_error(use, change):
    """And the gradient is that of the value as it was used."""

    def gradients(disturb):
        p, x = leaf(np.full((3, 2), 0.5)), leaf(A)
        y = use(x, p).sum()
        if disturb:
            with mt.no_grad():
                change(p)
        y.backward()
        return [None if v.grad is None else v.grad.numpy().tolist() for v in (p, x)]

    assert gradients(True) == gradients(False)


def test_a_change_before_the_use_or_after_the_backward_is_no_error():
    """As in every training step; another parameter's change is none of its business."""
    p, q = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    for _ in range(3):
        with mt.no_grad():
            p += 1.0
        y = (p * p).sum()
        with mt.no_grad():
            q += 1.0
        y.backward()
        with mt.no_grad():
            p -= 0.1 * p.grad
            p.grad = None


def test_after_the_error_the_value_can_be_computed_again():
    """The way out that the error names works."""
    p = leaf([1.0, 2.0])
    y = (p * p).sum()
    with mt.no_grad():
        p += 1.0
    with pytest.raises(RuntimeError, match="compute the value again"):
        y.backward()
    (p * p).sum().backward()

    np.testing.assert_array_equal(p.grad.numpy(), [4.0, 6.0])


# ----- requires_grad, grad, detach -----


def test_requires_grad_can_be_switched():
    """For leaves; requires_grad_() returns the tensor."""
    x = mt.tensor([1.0])
    assert not x.requires_grad
    assert x.requires_grad_() is x and x.requires_grad
    x.requires_grad = False
    assert not (x * 2).requires_grad
    with pytest.raises(RuntimeError, match=r"computed \(by multiply\).*detach"):
        (leaf([1.0]) * 2).requires_grad = False


def test_requires_grad_switched_off_and_on_keeps_the_gradients_way():
    """A graph recorded before still ends in the same tensor."""
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    x.requires_grad = False
    x.requires_grad = True
    y.backward()

    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 4.0])


def test_an_integer_tensor_takes_nothing_that_requires_grad():
    """Its gradient would be lost: a TypeError says so, and the tensor keeps its value."""
    x, w = mt.tensor([1, 2, 3]), leaf([0.5])
    with pytest.raises(TypeError, match=r"setitem: .*int64.*no gradient flows.*detach\(\)"):
        x[:1] = w

    np.testing.assert_array_equal(x.numpy(), [1, 2, 3])


def test_grad_can_be_set():
    """To an array or Tensor of the tensor's shape, in whose dtype it is kept, or to None."""
    x = leaf([1.0, 2.0], np.float32)
    for value in ([1.0, 2.0], np.array([1, 2]), mt.tensor([1.0, 2.0])):
        x.grad = value
        same(x.grad, np.float32([1, 2]))
    x.grad = None
    assert x.grad is None
    with pytest.raises(ValueError, match=r"\(3,\).*\(2,\)"):
        x.grad = np.ones(3)
    with pytest.raises(RuntimeError, match="only a leaf that requires grad"):
        mt.tensor([1.0]).grad = np.ones(1)


def test_data_can_be_set_for_leaves_alone():
    """A computed tensor names what computed it."""
    with pytest.raises(RuntimeError, match=r"computed \(by multiply\)"):
        (leaf([1.0]) * 2).data = np.ones(1)
    x = leaf([1.0])
    with pytest.raises(TypeError, match=r"int64.*cannot require grad"):
        x.data = np.array([1])
    same(x.detach(), np.array([1.0]))


def test_detach_has_the_value_and_no_history():
    """No copy, no gradient."""
    x = leaf(A)
    y = (x * x).detach()
    assert not y.requires_grad and y.is_leaf
    (x * y).sum().backward()

    np.testing.assert_array_equal(x.grad.numpy(), A * A)


# ----- copies and pickles -----


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "deepcopy", "pickle"]
)
@pytest.mark.parametrize("x", [mt.tensor([1, 2]), leaf(A), leaf(A, np.float32), mt.tensor(2.0)], ids=repr)
def test_a_copy_is_another_leaf(x, duplicate):
    """The same numbers, dtype and requires_grad in memory of its own."""
    y = duplicate(x)
    same(y.detach(), x.numpy())

    assert y.requires_grad is x.requires_grad and y.is_leaf
    assert not np.shares_memory(x.data, y.data)


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "deepcopy", "pickle"]
)
def test_a_copy_takes_its_gradient_along(duplicate):
    """A gradient of its own."""
    x = leaf([1.0, 2.0])
    (x * 3).sum().backward()
    y = duplicate(x)
    (x * 3).sum().backward()

    np.testing.assert_array_equal(y.grad.numpy(), [3.0, 3.0])


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps], ids=["copy", "deepcopy", "pickle"])
def test_a_computed_tensor_is_not_copied_without_its_graph(duplicate):
    """The error names what computed it and the way out."""
    with pytest.raises(RuntimeError, match=r"computed \(by multiply\).*detach"):
        duplicate(leaf(A) * 2)


def test_a_deepcopy_keeps_what_is_shared_shared():
    """A tensor that occurs twice in a structure occurs twice in its copy."""
    x = leaf(A)
    first, second = copy.deepcopy([x, x])

    assert first is second


def test_tensors_take_weak_references():
    """For caches keyed by them."""
    x = leaf(A)
    ref = weakref.ref(x)
    assert ref() is x
    del x

    assert ref() is None


# ----- numpy's functions -----


def test_numpy_functions_record():
    """The example of the front page: np.exp(x) @ I, summed, has the gradient exp(x)."""
    x = mt.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = (np.exp(x) @ mt.tensor(np.eye(2))).sum()
    y.backward()

    np.testing.assert_allclose(x.grad.numpy(), np.exp(x.numpy()), rtol=1e-15)


NUMPY = {
    "sum": lambda np, x: np.sum(x, axis=0, keepdims=True),
    "mean": lambda np, x: np.mean(x),
    "concatenate": lambda np, x: np.concatenate([x, x], axis=1),
    "stack": lambda np, x: np.stack([x, x]),
    "where": lambda np, x: np.where(x > 2.5, x, 0),
    "maximum": lambda np, x: np.maximum(x, 2.5),
    "clip": lambda np, x: np.clip(x, 2.2, 4.4),
    "einsum": lambda np, x: np.einsum("ij,ij->i", x, x),
    "reshape": lambda np, x: np.reshape(x, (3, 2)),
    "transpose": lambda np, x: np.transpose(x),
    "matmul": lambda np, x: np.matmul(x, x.T),
    "linalg.norm": lambda np, x: np.linalg.norm(x),
    "var": lambda np, x: np.var(x, axis=0, ddof=1),
    "power": lambda np, x: np.power(x, 2),
    "zeros_like": lambda np, x: np.zeros_like(x) + x,
}


@pytest.mark.parametrize("f", NUMPY.values(), ids=NUMPY)
def test_numpys_functions_on_tensors_are_differentiable(f):
    """They give numpy's numbers as a Tensor, and right gradients."""
    np.testing.assert_allclose(f(np, mt.tensor(A)).numpy(), f(np, A), rtol=1e-14)
    assert mt.gradcheck(lambda x: f(np, x), A)


@pytest.mark.parametrize(
    ("name", "f"),
    [
        ("numpy.linalg.svd", np.linalg.svd),
        ("numpy.fft.fft", np.fft.fft),
        ("numpy.median", np.median),
        ("numpy.add.reduce", np.add.reduce),
        ("numpy.modf", np.modf),
    ],
)
def test_an_unsupported_numpy_function_is_named(name, f):
    """Never a plain array that has forgotten its gradient."""
    with pytest.raises(TypeError, match=rf"{re.escape(name)} .*primitive"):
        f(leaf(A))


@pytest.mark.parametrize(
    "take",
    [np.asarray, np.array, lambda x: np.array([x, x]), lambda x: np.random.default_rng(0).normal(x)],
    ids=["asarray", "array", "list", "random"],
)
def test_a_tensor_that_requires_grad_does_not_turn_into_an_array_in_silence(take):
    """An error with the way out; under no_grad and without grad it is fine."""
    x = leaf(A)
    with pytest.raises(TypeError, match=r"gradient would be lost.*detach\(\)"):
        take(x)
    take(x.detach())
    with mt.no_grad():
        take(x)


def test_a_frozen_parameter_changes_in_place_under_no_grad():
    """`p *= a; p += b` is the usual running average, also where `p` is a loop's variable; graphs keep what they saw."""
    p, q = mt.nn.Parameter([1.0, 2.0]), mt.nn.Parameter([3.0, 4.0], requires_grad=False)
    seen = (p * p).sum()
    p.requires_grad_(False)
    with mt.no_grad():
        for x in (p, q):
            x *= 0.5
            x += 1

    assert (p.tolist(), q.tolist()) == ([1.5, 2], [2.5, 3])
    assert seen.item() == 5


def test_dtype_in_the_place_of_keepdims():
    """numpy's third argument is dtype; it is refused, not taken for a truth."""
    x = leaf([[1.0, 2.0]])
    for f in (lambda: np.sum(x, 0, np.float32), lambda: x.mean(None, np.float32), lambda: mt.sum(A, 0, np.float32)):
        with pytest.raises(TypeError, match=r"(sum|mean): keepdims is <class 'numpy.float32'>; .* astype"):
            f()


def test_numpys_options_that_are_missing():
    """The error names numpy's function and the option."""
    with pytest.raises(TypeError, match=r"numpy\.sum of a tensor: .*'where'"):
        np.sum(leaf(A), where=A > 2)


def test_a_frozen_tensor_with_a_gradient_is_copied():
    """Frozen, and its gradient still there: a copy has both."""
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    x.requires_grad = False
    for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert not other.requires_grad
        assert other.grad.tolist() == [2, 4]


def test_a_read_only_array_given_as_data():
    """A leaf whose data was set to an array that cannot be written to changes in memory of its own."""
    x, array = leaf([1.0, 2.0]), np.array([5.0, 6.0])
    array.flags.writeable = False
    x.data = array
    with mt.no_grad():
        x += 1

    assert (x.tolist(), array.tolist()) == ([6, 7], [5, 6])
