"""The engine: what a graph keeps, how backward goes through it, and what is left after a failure."""

import functools
import gc
import itertools
import re
import sys
import threading
import tracemalloc
import warnings
import weakref

import numpy as np
import pytest

import mytorch as mt
from mytorch.autograd import defvjp, primitive

A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 7.0]])


def leaf(value, dtype=None):
    return mt.tensor(value, dtype=dtype, requires_grad=True)


@pytest.fixture
def visited():
    """(step, tags): an identity operation of (x, tag), and the tags in the order in which its rule was called."""
    tags = []

    @primitive
    def step(x, tag):
        return x * 1.0

    defvjp(step, lambda g, ans, x, tag: tags.append(tag) or g, None)
    return step, tags


# ----- keep only what the rules use -----

KEPT = [  # name, operation, which of x, y and the answer its backward needs when both require grad
    ("add", lambda x, y: x + y, ""),
    ("subtract", lambda x, y: x - y, ""),
    ("negative", lambda x, y: -x, ""),
    ("multiply", lambda x, y: x * y, "xy"),
    ("multiply by a number", lambda x, y: x * 2.0, ""),
    ("divide by a number", lambda x, y: x / 2.0, ""),
    ("exp", lambda x, y: mt.exp(x), "a"),
    ("tanh", lambda x, y: mt.tanh(x), "a"),
    ("sigmoid", lambda x, y: mt.sigmoid(x), "a"),
    ("relu", lambda x, y: mt.relu(x), "a"),
    ("log", lambda x, y: mt.log(x), "x"),
    ("sin", lambda x, y: mt.sin(x), "x"),
    ("matmul", lambda x, y: x @ y.T, "xy"),
    ("matmul by a constant", lambda x, y: x @ np.ones((3, 2)), ""),
    ("sum", lambda x, y: x.sum(axis=0), ""),
    ("mean", lambda x, y: x.mean(axis=1, keepdims=True), ""),
    ("reshape", lambda x, y: x.reshape(6), ""),
    ("transpose", lambda x, y: x.T, ""),
    ("getitem", lambda x, y: x[0, 1:], ""),
    ("broadcast_to", lambda x, y: mt.broadcast_to(x, (4, 2, 3)), ""),
    ("concatenate", lambda x, y: mt.concatenate([x, y]), ""),
    ("stack", lambda x, y: mt.stack([x, y]), ""),
    ("pad", lambda x, y: mt.pad(x, 1), ""),
    ("where", lambda x, y: mt.where(A > 2, x, y), ""),
]


@pytest.mark.parametrize(("f", "needed"), [row[1:] for row in KEPT], ids=[row[0] for row in KEPT])
def test_a_graph_keeps_only_the_arrays_its_rules_read(f, needed):
    """What no rule reads is gone as soon as the user lets go of it, though the graph still stands."""
    x, y = leaf(A) + 0.0, leaf(A + 1) + 0.0
    answer = f(x, y)
    arrays = {"x": weakref.ref(x.data), "y": weakref.ref(y.data), "a": weakref.ref(answer.data)}
    loss = (answer + 0.0).sum()
    del x, y, answer

    assert {name for name, ref in arrays.items() if ref() is not None} == set(needed)
    loss.backward()


def test_a_product_with_a_constant_keeps_the_constant_alone():
    """x * c: the rule of x reads c, and no rule reads x."""
    x, c = leaf(A) + 0.0, A.copy()
    y = x * c
    kept_x, kept_c = weakref.ref(x.data), weakref.ref(c)
    del x, c

    assert kept_x() is None
    assert kept_c() is not None
    y.sum().backward()


def test_a_custom_rule_keeps_what_it_reads_and_no_more():
    """Also a rule of a user's own: `shape` and `dtype` of an argument cost no memory."""

    @primitive
    def halved(x):
        return x / 2

    defvjp(halved, lambda g, ans, x: g * np.full(x.shape, 0.5, x.dtype))
    x = leaf(A) + 0.0
    y = halved(x)
    kept = weakref.ref(x.data)
    del x

    assert kept() is None
    y.sum().backward()


READERS = {  # rules that read x in a way that is not a plain mention of the name
    "in a lambda inside": lambda g, ans, x: (lambda: g * 2 * x)(),
    "in a comprehension": lambda g, ans, x: g * sum(2 * x for _ in range(1)),
    "by star": lambda g, *rest: g * 2 * rest[1],
    "as a partial": functools.partial(lambda k, g, ans, x: g * k * x, 2),
    "through getattr": lambda g, ans, x: g * 2 * np.asarray(getattr(x, "data", x)).reshape(x.shape),
    "by another name": lambda g, ans, argument: g * 2 * argument,
    "with a default": lambda g, ans, x, k=2: g * k * x,
}


class _Rule:
    def __call__(self, g, ans, x):
        return g * 2 * x

    def method(self, g, ans, x):
        return g * 2 * x


@pytest.mark.parametrize(
    "rule", [*READERS.values(), _Rule(), _Rule().method], ids=[*READERS, "as an object", "as a method"]
)
def test_what_a_rule_reads_reaches_it_however_it_is_written(rule):
    """Saving memory never takes from a rule what it reads."""

    @primitive
    def squared(x):
        return x * x

    defvjp(squared, rule)
    x = leaf(A)
    squared(x).sum().backward()

    np.testing.assert_array_equal(x.grad.numpy(), 2 * A)


def test_nothing_is_recorded_without_need():
    """Under no_grad, and where no argument requires grad, an answer holds no graph."""
    x = leaf(A)
    with mt.no_grad():
        assert not (x * x).requires_grad
    assert not (mt.tensor(A) * A).requires_grad
    assert not (x.detach() * 2).requires_grad


def _mlp(parameters, x, labels):
    """The loss of a three-layer ReLU network, and its gradients, through the engine."""
    h = x
    for w, b in parameters[:-1]:
        h = mt.relu(mt.inner(h, w) + b)
    w, b = parameters[-1]
    scores = mt.inner(h, w) + b
    (mt.logsumexp(scores, axis=1) - scores[np.arange(len(labels)), labels]).mean().backward()


def _mlp_by_hand(parameters, x, labels):
    """The same with the derivatives by hand."""
    activations = [x]
    for w, b in parameters[:-1]:
        activations.append(np.maximum(activations[-1] @ w.T + b, 0))
    w, b = parameters[-1]
    scores = activations[-1] @ w.T + b
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    g = e / e.sum(axis=1, keepdims=True)
    g[np.arange(len(labels)), labels] -= 1
    g /= len(labels)
    gradients = []
    for (w, _), h in zip(reversed(parameters), reversed(activations), strict=True):
        gradients.append((g.T @ h, g.sum(axis=0)))
        if h is not x:
            g = (g @ w) * (h > 0)
    return gradients[::-1]


def _peak(step, *args):
    """The most memory that is held at once during a second run of `step`, beyond what is held before it."""
    step(*args)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        step(*args)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def test_a_training_step_peaks_at_the_memory_of_hand_written_numpy():
    """A plain MLP's forward and backward hold at most 1.15 times what the same step by hand holds."""
    rng = np.random.default_rng(0)
    sizes, batch = (128, 256, 256, 256, 10), 1000
    x, labels = rng.standard_normal((batch, sizes[0])), rng.integers(0, 10, batch)
    by_hand = [(rng.standard_normal((n, m)) / np.sqrt(m), np.zeros(n)) for m, n in itertools.pairwise(sizes)]
    parameters = [(leaf(w), leaf(b)) for w, b in by_hand]

    def step():
        for p in (p for pair in parameters for p in pair):
            p.grad = None
        _mlp(parameters, mt.tensor(x), labels)

    assert _peak(step) <= 1.15 * (_peak(_mlp_by_hand, by_hand, x, labels) + x.nbytes)
    for (w, b), (dw, db) in zip(parameters, _mlp_by_hand(by_hand, x, labels), strict=True):
        np.testing.assert_allclose(w.grad.numpy(), dw, atol=1e-12)
        np.testing.assert_allclose(b.grad.numpy(), db, atol=1e-12)


# ----- the order of backward, and what it adds up -----


def test_backward_visits_operations_in_reverse_order_of_creation(visited):
    """The youngest first, whatever the shape of the graph."""
    step, tags = visited
    x = leaf(A)
    a = step(x, 0)
    b = step(a, 1)
    c = step(x, 2)
    d = step(b * c, 3)
    e = step(a, 4)
    (e + d + c).sum().backward()

    assert tags == [4, 3, 2, 1, 0]


def test_each_operation_is_visited_once(visited):
    """A ladder of 60 diamonds has 2**60 paths; its rules are called 60 times."""
    step, tags = visited
    x = leaf(1.0)
    y = x
    for i in range(60):
        y = step(y, i)
        y = y * 0.5 + y * 0.5
    y.backward()

    assert tags == list(reversed(range(60)))
    assert x.grad.item() == 1.0


def test_the_same_computation_gives_the_same_bits():
    """Backward is deterministic: sums of cotangents are taken in one order."""

    def gradient():
        x = leaf(np.linspace(0.1, 3.0, 31))
        parts = [mt.sin(x * k) / (x + k) for k in range(1, 12)]
        (sum(parts[1:], parts[0]) * mt.exp(-x)).sum().backward()
        return x.grad.numpy().tobytes()

    assert len({gradient() for _ in range(5)}) == 1


def test_a_tensor_used_many_times_collects_every_use():
    """d/dx of x*x*x + x/x + x - x, and of one hundred uses."""
    x = leaf(3.0)
    (x * x * x + x / x + x - x).backward()
    assert x.grad.item() == pytest.approx(27.0, rel=1e-14)

    y = leaf(2.0)
    sum((y * float(k) for k in range(100)), mt.tensor(0.0)).backward()
    assert y.grad.item() == 4950.0


def test_a_diamond_adds_both_sides():
    """f = ab with a = x + y, b = x - y: df/dx = 2x, df/dy = -2y."""
    x, y = leaf([3.0, 1.0]), leaf([2.0, 5.0])
    ((x + y) * (x - y)).sum().backward()

    np.testing.assert_array_equal(x.grad.numpy(), [6.0, 2.0])
    np.testing.assert_array_equal(y.grad.numpy(), [-4.0, -10.0])


LONG = 100_000  # elements: cotangents of that size are summed in place


@pytest.mark.parametrize("n", [3, LONG])
def test_summing_cotangents_changes_no_array_of_others(n):
    """Neither the gradient that backward was given, nor what a rule passed on to two arguments, nor a kept array."""
    x, y, seed = leaf(np.ones(n)), leaf(np.ones(n)), np.full(n, 3.0)
    total = x + y
    (total + total * x + x + y).backward(seed)

    assert (seed == 3).all()
    assert (x.grad.data == 3 * (1 + 1 + 2 + 1)).all()
    assert (y.grad.data == 3 * (1 + 1 + 1)).all()
    assert (x.data == 1).all()


@pytest.mark.parametrize(("column", "expected"), [([3e38, 3e38, 3e38], np.inf), ([np.inf, -np.inf, 0], np.nan)])
def test_the_sum_of_a_broadcast_cotangent_may_be_infinite(column, expected):
    """A bias gets the sum of its cotangents, in the dtype it has, and no error, where that is not finite."""
    x, b = (mt.tensor(np.zeros(s, np.float32), requires_grad=True) for s in ((3, 2), (2,)))

    (x + b).backward(np.array([column, [1, 2, 3]], np.float32).T)

    np.testing.assert_array_equal(b.grad.numpy(), np.array([expected, 6], np.float32))


@pytest.mark.parametrize("n", [3, LONG])
def test_cotangents_of_opposite_infinities_sum_to_nan_once(n):
    """inf - inf is nan and stays so, and a third cotangent is added to what is finite once and not twice."""
    x, w = leaf(np.ones(n)), np.ones(n)
    w[0] = np.inf
    mt.concatenate([x * 5, x * w, x * -w]).backward(np.ones(3 * n))

    assert np.isnan(x.grad.data[0])
    assert (x.grad.data[1:] == 5 + 1 - 1).all()


@pytest.mark.parametrize("n", [4, LONG])
def test_slices_of_one_array_add_their_cotangents(n):
    """Whether they overlap, repeat, are alone, or stand beside a use of the whole."""

    def f(x):
        return (x[1:3] ** 2).sum() + x[2] ** 2 + (x[::-1] * x).sum() + x[1:][:2].sum()

    x = np.arange(n) + 1.0
    expected = 2 * x[::-1]
    expected[1:3] += 2 * x[1:3] + 1
    expected[2] += 2 * x[2]

    assert np.array_equal(mt.grad(f)(x), expected)
    assert np.array_equal(mt.grad(lambda x: x[1])(x), np.eye(1, n, 1)[0])


def test_gradients_accumulate_into_leaves():
    """Several backwards add up, until the gradient is set to None."""
    x = leaf([1.0, 2.0])
    for _ in range(3):
        (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [6.0, 12.0])

    x.grad = None
    x.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1.0, 1.0])


def test_a_gradient_taken_earlier_stays_what_it_was():
    """Accumulation makes a new gradient: the handle to the earlier one, and its array, keep theirs."""
    x = leaf([1.0, 2.0])
    (x * 3).sum().backward()
    earlier, array = x.grad, x.grad.numpy()
    (x * 3).sum().backward()

    np.testing.assert_array_equal(earlier.numpy(), [3.0, 3.0])
    np.testing.assert_array_equal(array, [3.0, 3.0])
    np.testing.assert_array_equal(x.grad.numpy(), [6.0, 6.0])


@pytest.mark.parametrize(
    "f",
    [lambda x, y: x + y, lambda x, y: mt.stack([x, y]).sum(axis=0), lambda x, y: x.reshape(2) + y.reshape(2)],
    ids=["add", "stack", "reshape"],
)
def test_gradients_of_two_leaves_share_no_memory(f):
    """Neither with each other nor with the gradient that was passed in."""
    x, y, seed = leaf([1.0, 2.0]), leaf([3.0, 4.0]), np.ones(2)
    f(x, y).backward(seed)

    assert not np.shares_memory(x.grad.data, y.grad.data)
    assert not np.shares_memory(x.grad.data, seed)
    assert not np.shares_memory(y.grad.data, seed)


def test_only_leaves_hold_gradients():
    """The gradient of what is computed is None; of what does not require grad too."""
    x, c = leaf([1.0, 2.0]), mt.tensor([1.0, 2.0])
    y = x * c
    y.sum().backward()

    assert x.grad is not None
    assert y.grad is None
    assert c.grad is None


def test_a_leaf_is_its_own_gradient_path():
    """backward() of a leaf of one element adds 1."""
    x = leaf(3.0)
    x.backward()
    x.backward()

    assert x.grad.item() == 2.0


def test_cotangents_are_dropped_as_they_are_used():
    """Backward through a chain of large operations holds a few cotangents at a time, not all of them."""
    x = leaf(np.ones(100_000))
    y = x
    for _ in range(50):
        y = y + 1.0  # keeps nothing
    seed = np.ones(100_000)

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        y.backward(seed)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < 6 * seed.nbytes


def test_backward_frees_as_it_goes():
    """When the rule of an early operation is called, what later ones kept is gone."""
    seen = []

    @primitive
    def early(x):
        return x * 1.0

    defvjp(early, lambda g, ans, x: seen.append(kept()) or g)
    y = early(leaf(A))
    z = mt.exp(y)
    kept = weakref.ref(z.data)
    w = z.sum()
    del z
    assert kept() is not None
    w.backward()

    assert seen == [None]


# ----- freed, retained, created graphs -----


def test_a_second_backward_says_so_by_name():
    """The graph is freed by the first one; the error names the operation and the way out."""
    y = mt.tanh(leaf([1.0, 2.0])).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"`sum` was freed .* retain_graph=True"):
        y.backward()


def test_a_part_of_a_freed_graph_says_so_too():
    """A new operation on top of a freed one: the freed one is named, and no leaf is touched."""
    x = leaf([1.0, 2.0])
    y = mt.tanh(x)
    y.sum().backward()
    before = x.grad.numpy().copy()
    with pytest.raises(RuntimeError, match="`tanh` was freed"):
        (y * x).sum().backward()

    np.testing.assert_array_equal(x.grad.numpy(), before)


def test_retain_graph_allows_another_backward():
    """Two backwards through one graph give twice the gradient; the last frees it."""
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [4.0, 8.0])
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()


def test_backward_frees_what_the_graph_kept():
    """After backward the loss holds no arrays of the forward pass."""
    x = leaf(A)
    h = mt.exp(x)
    loss, kept = (h * h).sum(), weakref.ref(h.data)
    del h
    assert kept() is not None
    loss.backward()

    assert kept() is None


def test_create_graph_gives_derivatives_of_any_order():
    """x**4: 4x**3, 12x**2, 24x and 24, each from the one before."""
    x = leaf(2.0)
    y, found = x**4, []
    for _ in range(4):
        x.grad = None
        y.backward(create_graph=True)
        y = x.grad
        found.append(y.item())

    assert found == pytest.approx([32.0, 48.0, 48.0, 24.0], rel=1e-14)


def test_a_gradient_with_create_graph_is_a_tensor_with_history_else_without():
    """Only then does it require grad."""
    for create_graph in (False, True):
        x = leaf([1.0, 2.0])
        (x * x).sum().backward(create_graph=create_graph)

        assert isinstance(x.grad, mt.Tensor)
        assert x.grad.requires_grad is create_graph


def test_create_graph_gives_a_tensor_also_where_the_rule_is_constant():
    """A rule whose answer does not depend on g gives an array; the gradient is a Tensor all the same."""

    @primitive
    def stepped(x):
        return np.floor(x)

    defvjp(stepped, lambda g, ans, x: np.zeros(x.shape))
    x = leaf(A)
    stepped(x).sum().backward(create_graph=True)

    assert isinstance(x.grad, mt.Tensor)
    np.testing.assert_array_equal(x.grad.numpy(), np.zeros_like(A))


def test_create_graph_retains_the_graph_by_default():
    """As the derivative's own backward goes through it; retain_graph=False frees it all the same."""
    x = leaf(2.0)
    y = x**3
    y.backward(create_graph=True)
    y.backward(create_graph=True)
    assert x.grad.item() == 24.0
    y.backward(retain_graph=False)
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()


def test_gradient_penalty():
    """The derivative of |grad_x f|**2 by a parameter, as WGAN-GP takes it: f = sum(w x**2), |2wx|**2 by w is 8wx**2."""
    x, w = leaf([1.0, 2.0]), leaf([3.0, -1.0])
    (w * x * x).sum().backward(create_graph=True)
    penalty = (x.grad * x.grad).sum()
    w.grad = None
    penalty.backward()

    np.testing.assert_allclose(w.grad.numpy(), [24.0, -32.0], rtol=1e-14)


# ----- where a backward starts -----


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_backward_starts_from_one_number(shape):
    """Any shape of one element."""
    x = leaf(np.full(shape, 3.0))
    (x * x).backward()

    assert x.grad.shape == shape
    assert x.grad.item() == 6.0


def test_backward_of_many_numbers_needs_a_gradient():
    """The error tells the shape and the ways out."""
    with pytest.raises(RuntimeError, match=r"shape \(2,\).*\.sum\(\) or \.mean\(\).*backward\(gradient\)"):
        (leaf([1.0, 2.0]) * 2).backward()


@pytest.mark.parametrize(
    "gradient", [[1.0, 10.0], (1, 10), np.array([1, 10]), np.float32([1, 10]), mt.tensor([1.0, 10.0])], ids=str
)
def test_backward_takes_a_gradient_of_the_tensors_shape(gradient):
    """List, array or Tensor of any real dtype; what arrives has the leaf's dtype."""
    x = leaf([3.0, 4.0], np.float32)
    (x * x).backward(gradient)

    np.testing.assert_array_equal(x.grad.numpy(), np.float32([6.0, 80.0]))
    assert x.grad.dtype == np.float32


@pytest.mark.parametrize("gradient", [np.ones(3), np.ones((1, 2)), 1.0], ids=np.shape)
def test_a_gradient_of_another_shape_is_an_error(gradient):
    """No broadcasting of what may be a mistake: both shapes are named."""
    x = leaf([3.0, 4.0])
    with pytest.raises(ValueError, match=rf"^backward: .*{re.escape(str(np.shape(gradient)))}.*\(2,\)"):
        (x * x).backward(gradient)
    assert x.grad is None


def test_a_complex_gradient_is_an_error():
    """A real tensor has no complex cotangent, and its imaginary part is not dropped in silence."""
    with pytest.raises((TypeError, ValueError), match="complex"):
        (leaf([1.0, 2.0]) * 2).backward(np.array([1j, 2.0]))


@pytest.mark.parametrize("constant", ["leaf", "under no_grad", "detached"])
def test_backward_of_what_requires_no_grad_is_an_error(constant):
    """There is nothing to go to, and the error says why."""
    x = leaf([1.0])
    with mt.no_grad():
        tensors = {"leaf": mt.tensor([1.0]), "under no_grad": x * 2, "detached": x.detach()}
    with pytest.raises(RuntimeError, match=r"does not require grad.*no_grad"):
        tensors[constant].backward()


# ----- broadcasting is undone in one place -----


@pytest.mark.parametrize(
    ("a", "b"),
    [((2, 3), (3,)), ((2, 3), (2, 1)), ((2, 3), ()), ((2, 1), (1, 3)), ((1,), (4, 2, 3)), ((2, 0), (1,)), ((), ())],
    ids=str,
)
@pytest.mark.parametrize("create_graph", [False, True])
def test_broadcasting_is_undone_by_the_engine(a, b, create_graph):
    """The cotangent of a broadcast argument is summed over the axes it was repeated along."""
    x, y = leaf(np.full(a, 2.0)), leaf(np.full(b, 3.0))
    (x * y).sum().backward(create_graph=create_graph)
    n = np.broadcast(np.empty(a), np.empty(b)).size

    assert x.grad.shape == a and y.grad.shape == b
    np.testing.assert_array_equal(x.grad.numpy(), np.full(a, 3.0 * n / max(x.size, 1)))
    np.testing.assert_array_equal(y.grad.numpy(), np.full(b, 2.0 * n / max(y.size, 1)))


# ----- long graphs -----


def _settled():
    gc.collect()
    return sys.getallocatedblocks()


def test_a_million_chained_operations():
    """They run, differentiate and are freed, without recursion; memory is back down after."""
    x, before = leaf(1.0), _settled()
    y = x
    for _ in range(1_000_000):
        y = y * 1.000001
    y.backward()
    del y

    assert x.grad.item() == pytest.approx(1.000001**1_000_000, rel=1e-9)
    assert _settled() - before < 10_000


def test_a_long_graph_nobody_differentiates_is_freed():
    """Letting go of its end is enough, without recursion."""
    x, before = leaf(1.0), _settled()
    y = x
    for _ in range(200_000):
        y = mt.tanh(y * 0.5)
    del y

    assert _settled() - before < 10_000


def test_a_long_graph_differentiates_twice():
    """x**n by repeated products, n = 20,000: the second derivative at 1 is n (n - 1)."""
    n = 20_000
    x = leaf(1.0)
    y = x
    for _ in range(n - 1):
        y = y * x
    y.backward(create_graph=True)
    first, x.grad = x.grad, None
    first.backward()

    assert first.item() == n
    assert x.grad.item() == n * (n - 1)


def test_a_wide_graph():
    """One tensor used by 20,000 operations."""
    x = leaf(1.0)
    mt.stack([x * float(k) for k in range(20_000)]).sum().backward()

    assert x.grad.item() == 20_000 * 19_999 / 2


# ----- failures leave no trace -----


@pytest.fixture
def broken():
    """An operation whose rule raises."""

    @primitive
    def fragile(x):
        return x * 2.0

    def rule(g, ans, x):
        raise LookupError("the rule failed")

    defvjp(fragile, rule)
    return fragile


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_failure_in_the_middle_of_backward_changes_no_gradient(broken, create_graph):
    """All leaves keep the gradient they had: reached before the failure, after it, and never yet reached."""
    early, late, fresh = leaf([1.0, 2.0]), leaf([3.0, 4.0]), leaf([5.0, 6.0])
    (early * 2 + late * 3).sum().backward()
    y = broken(early) * fresh  # backward reaches fresh and late, then fails on the way to early
    with pytest.raises(LookupError, match="the rule failed"):
        (y * late).sum().backward(create_graph=create_graph)

    np.testing.assert_array_equal(early.grad.numpy(), [2.0, 2.0])
    np.testing.assert_array_equal(late.grad.numpy(), [3.0, 3.0])
    assert fresh.grad is None
    assert mt.is_grad_enabled()


def test_an_exception_leaves_the_next_computation_unharmed(broken):
    """After a failed forward, a failed backward and a failed transform, gradients are right."""
    with pytest.raises(ValueError, match="matmul"):
        leaf(A) @ A
    with pytest.raises(LookupError):
        broken(leaf(A)).sum().backward()
    with pytest.raises(LookupError):
        mt.grad(lambda x: broken(x).sum())(A)
    with pytest.raises(LookupError):
        mt.hessian(lambda x: broken(x).sum())(A)
    x = leaf(A)
    (x * x).sum().backward()

    np.testing.assert_array_equal(x.grad.numpy(), 2 * A)


def test_numpys_error_state_is_left_alone():
    """What the user has set with np.errstate is so during and after a backward."""
    with np.errstate(divide="raise", invalid="warn", over="print", under="call"):
        before = np.geterr()
        (leaf(A) * 2).sum().backward()
        assert np.geterr() == before


# ----- a zero cotangent stays zero through a singular operation -----

SINGULAR = {
    "log": lambda x: mt.where(x > 0, mt.log(x), 0),
    "sqrt": lambda x: mt.where(x > 0, mt.sqrt(x), 0),
    "divide": lambda x: mt.where(x > 0, 1 / x, 0),
    "power": lambda x: mt.where(x > 0, x**-1.5, 0),
}


@pytest.mark.parametrize("f", SINGULAR.values(), ids=SINGULAR)
def test_what_is_not_chosen_gives_no_nan(f):
    """where(x > 0, f(x), 0) at x = 0: f is singular there, and the gradient is 0, not nan."""
    x = leaf([0.0, 4.0])
    with np.errstate(divide="ignore", invalid="ignore"):
        f(x).sum().backward()

    assert x.grad.numpy()[0] == 0
    assert np.isfinite(x.grad.numpy()).all() and x.grad.numpy()[1] != 0


@pytest.mark.parametrize("f", SINGULAR.values(), ids=SINGULAR)
def test_what_is_not_chosen_gives_no_nan_in_the_second_derivative(f):
    """Nor with create_graph."""
    with np.errstate(divide="ignore", invalid="ignore"):
        h = mt.hessian(lambda x: f(x).sum())(np.array([0.0, 4.0]))

    assert np.isfinite(h).all()
    assert h[0, 0] == 0 and h[1, 1] != 0


def test_a_gradient_that_is_infinite_is_told_of():
    """sqrt at 0, used: the gradient is inf, and a warning names the operation."""
    x = leaf([0.0, 4.0])
    with pytest.warns(RuntimeWarning, match="backward of sqrt"):
        mt.sqrt(x).sum().backward()

    np.testing.assert_array_equal(x.grad.numpy(), [np.inf, 0.25])


# ----- grad mode -----


def test_grad_mode_nests_and_is_restored():
    """no_grad inside enable_grad inside no_grad, and after an exception."""
    with mt.no_grad():
        with mt.enable_grad():
            assert mt.is_grad_enabled()
            with mt.no_grad():
                assert not mt.is_grad_enabled()
            assert mt.is_grad_enabled()
        assert not mt.is_grad_enabled()
    with pytest.raises(KeyError), mt.no_grad():
        raise KeyError
    assert mt.is_grad_enabled()
    with mt.no_grad():
        with pytest.raises(KeyError), mt.enable_grad():
            raise KeyError
        assert not mt.is_grad_enabled()


def test_no_grad_decorates_a_function():
    """For every call of it, also one that fails."""

    @mt.no_grad()
    def doubled(x):
        return x * 2

    x = leaf([1.0])
    assert not doubled(x).requires_grad
    assert not doubled(x).requires_grad
    with pytest.raises(TypeError):
        doubled(None)
    assert (x * 2).requires_grad


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("create_graph", [False, True])
def test_an_exception_inside_a_rule_leaves_grad_mode_as_it_was(broken, enabled, create_graph):
    """Whatever the mode was when backward was called."""
    y = broken(leaf(A)).sum()
    with mt.enable_grad() if enabled else mt.no_grad():
        with pytest.raises(LookupError):
            y.backward(create_graph=create_graph)
        assert mt.is_grad_enabled() is enabled


def test_backward_runs_under_no_grad():
    """A graph that was recorded is differentiated wherever backward is called."""
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    with mt.no_grad():
        y.backward()

    np.testing.assert_array_equal(x.grad.numpy(), [2.0, 4.0])


def _in_threads(*functions):
    """The answers of the functions, run in a thread each."""
    answers, errors = [None] * len(functions), []

    def run(i, f):
        try:
            answers[i] = f()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=item) for item in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return answers


def test_grad_mode_is_per_thread():
    """One thread inside no_grad, one outside, at the same time; a new thread starts with grad enabled."""
    x, both_inside = leaf([1.0]), threading.Barrier(2, timeout=30)

    def without():
        with mt.no_grad():
            both_inside.wait()
            recorded = (x * 2).requires_grad
            both_inside.wait()
        return recorded

    def ordinary():
        both_inside.wait()
        recorded = (x * 2).requires_grad
        both_inside.wait()
        return recorded

    with mt.no_grad():
        assert _in_threads(without, ordinary) == [False, True]


@pytest.fixture
def hasty_threads():
    """The interpreter switches threads as often as it can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_threads_differentiate_at_once(hasty_threads):
    """Each its own graph over shared parameters, by the transforms: every thread gets the gradient of its loss."""
    w = leaf(np.linspace(-1, 1, 12).reshape(4, 3))

    def gradient(k):
        return lambda: [mt.grad(lambda v: mt.tanh(A @ v.T * k).sum())(w.detach()).numpy() for _ in range(30)]

    for k, answers in zip(range(1, 5), _in_threads(*map(gradient, range(1, 5))), strict=True):
        expected = k * (1 - np.tanh(A @ w.numpy().T * k) ** 2).T @ A
        for answer in answers:
            np.testing.assert_allclose(answer, expected, rtol=1e-12)


def test_threads_accumulate_into_shared_parameters(hasty_threads):
    """No thread's gradient is lost where several backwards end in the same leaf at once."""
    w, times = leaf(np.zeros(3)), 500

    def work():
        for _ in range(times):
            (w * 1.0).sum().backward()

    _in_threads(work, work, work, work)

    np.testing.assert_array_equal(w.grad.numpy(), np.full(3, 4.0 * times))


# ----- dtype -----

FLOAT32 = {
    "numbers": lambda x, w: ((x * 2 + 0.5) / 3 - 1) ** 2,
    "activations": lambda x, w: mt.relu(x) + mt.tanh(x) + mt.sigmoid(x),
    "reductions": lambda x, w: x.mean(axis=0) + x.var() + x.std(axis=0) + x.max(),
    "matmul": lambda x, w: x @ w.T,
    "choice": lambda x, w: mt.where(x > 0, x, 0) + mt.clip(x, -1, 1) + mt.maximum(x, 0.5),
    "cross-entropy": lambda x, w: mt.logsumexp(x, axis=1) - x[np.arange(2), [0, 2]],
    "numpy scalars": lambda x, w: x * float(np.float64(0.5)),
}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.longdouble])
@pytest.mark.parametrize("f", FLOAT32.values(), ids=FLOAT32)
def test_values_and_gradients_keep_dtype(f, dtype):
    """Python numbers do not widen, and a cotangent has its argument's dtype; to the second order."""
    x, w = leaf(A - 3.5, dtype), leaf(A / 4, dtype)
    with warnings.catch_warnings():
        y = f(x, w)
        y.sum().backward(create_graph=True)
    assert y.dtype == dtype
    assert x.grad.dtype == dtype
    if x.grad.requires_grad:
        first, x.grad = x.grad, None
        (first * first).sum().backward()
        assert x.grad is None or x.grad.dtype == dtype


def test_mixed_dtypes_give_each_leaf_its_own():
    """float32 times float64 is float64; the gradient of the float32 leaf is float32."""
    x, y = leaf([1.0, 2.0], np.float32), leaf([3.0, 4.0])
    z = x * y
    z.sum().backward()

    assert (z.dtype, x.grad.dtype, y.grad.dtype) == (np.float64, np.float32, np.float64)


@pytest.mark.parametrize(
    "value", [[1, 2], [True, False], [1j, 2.0], np.uint8([1, 2])], ids=["int", "bool", "complex", "uint8"]
)
def test_only_real_floating_tensors_require_grad(value):
    """A TypeError names the dtype and the way out, at construction and later."""
    dtype = np.asarray(value).dtype
    with pytest.raises(TypeError, match=rf"{dtype}.*cannot require grad"):
        mt.tensor(value, requires_grad=True)
    x = mt.tensor(value)
    with pytest.raises(TypeError, match=rf"{dtype}.*cannot require grad"):
        x.requires_grad = True
    with pytest.raises(TypeError, match=rf"{dtype}.*cannot require grad"):
        x.requires_grad_()
    assert not x.requires_grad


def test_no_grad_of_a_generator_is_refused():
    """It would run outside the mode; the error says where to put the block."""
    with pytest.raises(TypeError, match=r"values is a generator.*inside it"):

        @mt.no_grad
        def values():
            yield 1
