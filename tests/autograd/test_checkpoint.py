"""mt.checkpoint: the gradients of the function itself, and none of its memory."""

import tracemalloc

import numpy as np
import pytest

import mytorch as mt
from mytorch import nn

X = np.array([0.3, -0.7, 1.1])


def test_gradients_of_arguments_and_of_what_is_closed_over():
    """A checkpointed model has the gradients of the model, by its input and by its parameters."""
    model = nn.MLP(4, [8], 3, nn.Tanh, dtype=float)
    x = np.random.default_rng(0).normal(size=(5, 4))
    found = []
    for f in (model, mt.checkpoint(model)):
        model.zero_grad()
        given = mt.tensor(x, requires_grad=True)
        nn.cross_entropy(f(given * 2), np.array([0, 2, 1, 1, 0])).backward()
        found.append([given.grad.data, *(p.grad.data for p in model.parameters())])

    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-13)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_every_order(order):
    """Derivatives of derivatives are those of the function, also of a checkpoint inside another."""
    scale = np.array([1.0, 2.0, 3.0])

    def f(x):
        return (mt.tanh(x) ** 3 * scale).sum()

    g = mt.checkpoint(mt.checkpoint(f))
    for _ in range(order):
        f, g = (lambda x, f=f: mt.grad(f)(x).sum()), (lambda x, g=g: mt.grad(g)(x).sum())

    np.testing.assert_allclose(g(X), f(X), rtol=1e-12)


def test_a_captured_tensor_that_was_computed():
    """Gradients go on behind what the function closes over."""
    w = mt.tensor(X, requires_grad=True)
    scaled = w * 2
    mt.checkpoint(lambda x: (x * scaled).sum())(mt.tensor(X)).backward()

    np.testing.assert_allclose(w.grad.data, 2 * X)


def test_nested_answers():
    """Answers keep their nesting, each with its gradient; what is no tensor comes as it is."""
    x = mt.tensor(X, requires_grad=True)
    u, (v, w) = mt.checkpoint(lambda x: (x * 2, [mt.exp(x), "text"]))(x)
    (u.sum() * v.sum()).backward()

    assert w == "text"
    np.testing.assert_allclose(x.grad.data, 2 * np.exp(X).sum() + 2 * X.sum() * np.exp(X))


def test_memory():
    """Of a chain of 20 parts, the values inside one part are there at a time."""
    peaks = []
    for wrap in (lambda f: f, mt.checkpoint):
        part = wrap(lambda y: [y := mt.tanh(y * 1.01) for _ in range(20)][-1])
        y = mt.tensor(np.ones(20_000), requires_grad=True)
        tracemalloc.start()
        for _ in range(20):
            y = part(y)
        y.sum().backward()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < peaks[0] / 5


def test_another_answer_is_an_error():
    """A function that draws random numbers inside cannot be run again, and the error says what to do."""
    rng = np.random.default_rng(0)
    y = mt.checkpoint(lambda x: (x * rng.normal(size=3)).sum())(mt.tensor(X, requires_grad=True))

    with pytest.raises(RuntimeError, match=r"checkpoint: .*another answer.*draw random numbers outside"):
        y.backward()


def test_without_recording():
    """Under no_grad, and where nothing requires grad, it is the function itself."""
    with mt.no_grad():
        y = mt.checkpoint(lambda x: x * 2)(mt.tensor(X, requires_grad=True))

    assert not y.requires_grad
    assert mt.checkpoint(lambda x: x * 2)(X).tolist() == (2 * X).tolist()


def test_it_compiles():
    """A step with a checkpoint in it compiles."""
    f = mt.compile(mt.grad(mt.checkpoint(lambda x: (mt.tanh(x) ** 3).sum())))
    for x in (X, X * 2):
        np.testing.assert_allclose(f(x), 3 * np.tanh(x) ** 2 * (1 - np.tanh(x) ** 2), rtol=1e-12)


def test_singular_points_that_are_not_used():
    """Inside a checkpoint too they pass nothing back, and the second run does not warn again."""
    a, b = mt.tensor([0.0, 1.0], requires_grad=True), mt.tensor(2.0, requires_grad=True)
    with np.errstate(divide="ignore"):
        y = mt.checkpoint(lambda a, b: (mt.where(a > 0, mt.log(a), 0) * b).sum())(a, b)
    y.backward()

    assert a.grad.tolist() == [0, 2]
    assert b.grad.item() == 0


def test_a_parameter_that_changed_since():
    """An answer that is a view of a parameter keeps what it saw, and the second run tells of the change."""
    p = mt.tensor([1.0, 2.0], requires_grad=True)
    y = mt.checkpoint(lambda p: p.T)(p)
    z = (y * y).sum()
    p.data -= 1

    assert y.tolist() == [1, 2]
    with pytest.raises(RuntimeError, match="another answer"):
        z.backward()
