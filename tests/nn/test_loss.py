"""Losses against their formulas, values and gradients, and what they refuse."""

import re

import numpy as np
import pytest

import mytorch as mt
from mytorch import nn

rng = np.random.default_rng(0)
N, K = 6, 4
X = rng.normal(size=(N, K)) * 3
CLASSES = np.array([0, 3, 1, 1, 2, 0])
ONE_HOT = np.eye(K)[CLASSES]
MIXED = rng.dirichlet(np.ones(K), N)
MASSES = rng.uniform(size=(N, K))  # rows that do not sum to 1


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


REDUCED = {"mean": lambda v: v.mean(), "sum": lambda v: v.sum(), "none": lambda v: v}
SHARE = {"mean": 1 / N, "sum": 1.0, "none": 1.0}  # of one example's loss in the sum of the answer

# ----- cross entropy -----

TARGETS = [  # target, the probabilities it stands for
    (CLASSES, ONE_HOT),
    (CLASSES.astype(np.uint8), ONE_HOT),
    (CLASSES.tolist(), ONE_HOT),
    (mt.tensor(CLASSES), ONE_HOT),
    (ONE_HOT, ONE_HOT),
    (ONE_HOT.astype(int), ONE_HOT),
    (MIXED, MIXED),
    (MASSES, MASSES),
]


@pytest.mark.parametrize("target, p", TARGETS)
@pytest.mark.parametrize("reduction", REDUCED)
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy_is_minus_log_softmax_at_the_target(target, p, reduction, smoothing):
    """-sum_k p_k log softmax(x)_k with p smoothed; its gradient is softmax(x) times the mass of p, minus p."""
    p = (1 - smoothing) * p + smoothing / K
    x = mt.tensor(X, requires_grad=True)

    loss = nn.CrossEntropyLoss(reduction=reduction, label_smoothing=smoothing)(x, target)
    loss.sum().backward()

    expected = REDUCED[reduction](-(p * np.log(softmax(X))).sum(axis=1))
    np.testing.assert_allclose(loss.data, expected, rtol=1e-12)
    gradient = (softmax(X) * p.sum(axis=1, keepdims=True) - p) * SHARE[reduction]
    np.testing.assert_allclose(x.grad.data, gradient, rtol=1e-10, atol=1e-14)


def test_cross_entropy_of_huge_logits_is_exact():
    """Logits of 1e4 and -1e4 neither overflow nor lose the loss."""
    x = mt.tensor([[1e4, -1e4, 0.0], [1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]], requires_grad=True)

    loss = nn.cross_entropy(x, np.array([0, 1, 2]), reduction="none")
    loss.sum().backward()

    np.testing.assert_allclose(loss.data, [0, 2e4, np.log(3)], rtol=1e-15)
    third = 1 / 3
    np.testing.assert_allclose(x.grad.data, [[0, 0, 0], [1, -1, 0], [third, third, third - 1]], atol=1e-15)


def test_gradients_flow_to_probabilities():
    """A target that requires grad gets -log softmax(x)."""
    p = mt.tensor(MIXED, requires_grad=True)

    nn.cross_entropy(X, p, reduction="sum").backward()

    np.testing.assert_allclose(p.grad.data, -np.log(softmax(X)), rtol=1e-12)


def test_second_derivatives_of_cross_entropy():
    """The Hessian of one example's loss is diag(s) - s s.T with s = softmax(x), for classes and for probabilities."""
    s = softmax(X[:1])[0]
    expected = np.diag(s) - np.outer(s, s)
    for target in (CLASSES[:1], ONE_HOT[:1]):
        hessian = mt.hessian(lambda x, t=target: nn.cross_entropy(x, t))(X[:1])
        np.testing.assert_allclose(hessian.reshape(K, K), expected, rtol=1e-10, atol=1e-14)


# ----- mean squared error -----


@pytest.mark.parametrize("reduction", REDUCED)
def test_mse_is_the_squared_difference(reduction):
    """(x - t)², its gradient 2 (x - t), in a mean over all elements."""
    x = mt.tensor(X, requires_grad=True)

    loss = nn.MSELoss(reduction=reduction)(x, MASSES)
    loss.sum().backward()

    np.testing.assert_allclose(loss.data, REDUCED[reduction]((X - MASSES) ** 2), rtol=1e-12)
    share = 1 / X.size if reduction == "mean" else 1
    np.testing.assert_allclose(x.grad.data, 2 * (X - MASSES) * share, rtol=1e-12)


def test_gradients_flow_to_both_sides_of_mse():
    """A target that requires grad gets the opposite gradient."""
    t = mt.tensor(MASSES, requires_grad=True)

    nn.mse_loss(X, t, reduction="sum").backward()

    np.testing.assert_allclose(t.grad.data, 2 * (MASSES - X), rtol=1e-12)


# ----- both -----


@pytest.mark.parametrize("target", [CLASSES, ONE_HOT, MIXED])
def test_float32_stays_float32(target):
    """float64 targets do not widen a float32 loss or its gradient."""
    for loss_of in (nn.CrossEntropyLoss(label_smoothing=0.1), nn.MSELoss()):
        x = mt.tensor(X, dtype=np.float32, requires_grad=True)
        if isinstance(loss_of, nn.MSELoss) and target.ndim == 1:
            continue
        loss = loss_of(x, target)
        loss.backward()
        assert loss.dtype == x.grad.dtype == np.float32


def test_arrays_in_arrays_out():
    """Without a tensor among the arguments the losses are functions of arrays."""
    assert isinstance(nn.cross_entropy(X, CLASSES), np.floating)
    assert isinstance(nn.mse_loss(X, MASSES, reduction="none"), np.ndarray)


@pytest.mark.parametrize("make, message", [
    (lambda: nn.cross_entropy(X, CLASSES + 1), "the classes run from 1 to 4; for 4 logits they must lie in 0 to 3"),
    (lambda: nn.cross_entropy(X, CLASSES - 1), "the classes run from -1 to 2; for 4 logits they must lie in 0 to 3"),
    (lambda: nn.cross_entropy(X, CLASSES * 1.0), "classes of dtype float64, shape (6,); give integers"),
    (lambda: nn.cross_entropy(X, CLASSES[:5]), "logits of shape (6, 4) and a target of shape (5,); give logits (N, K)"),
    (lambda: nn.cross_entropy(X, CLASSES[:, None]), "logits of shape (6, 4) and a target of shape (6, 1)"),
    (lambda: nn.cross_entropy(X[0], 1), "logits of shape (4,) and a target of shape ()"),
    (lambda: nn.cross_entropy(X, CLASSES, reduction="avg"), "reduction is 'avg'; it must be one of mean, sum, none"),
    (lambda: nn.CrossEntropyLoss(reduction="avg"), "CrossEntropyLoss: reduction is 'avg'; it must be one of mean"),
    (lambda: nn.MSELoss("avg"), "MSELoss: reduction is 'avg'; it must be one of mean, sum, none"),
    (lambda: nn.cross_entropy(X, CLASSES, label_smoothing=2), "label_smoothing is 2; it must lie in [0, 1]"),
    (lambda: nn.mse_loss(X, X[:, :1]), "mse_loss: the input has shape (6, 4), the target (6, 1); reshape one"),
])  # fmt: skip
def test_errors(make, message):
    """Misuse names the loss, the shapes or values, and the way out."""
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        make()


def test_classes_in_the_other_byte_order():
    """As files have them: the same classes."""
    x = mt.tensor(np.eye(3))

    assert nn.cross_entropy(x, np.array([0, 1, 2], ">i4")).item() == nn.cross_entropy(x, np.arange(3)).item()
