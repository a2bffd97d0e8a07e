"""BatchNorm1d against its formulas: normalization, gradients, running averages, what it keeps."""

import re

import numpy as np
import pytest

import mytorch as mt
from mytorch import nn

SHAPES = [(6, 3), (4, 3, 5)]


def data(shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(1.0, 2.0, shape), rng.normal(size=shape)


def layer(**options):
    """A layer of 3 channels in float64, with weights that are not 1 and 0."""
    bn = nn.BatchNorm1d(3, dtype=np.float64, **options)
    if bn.weight is not None:
        bn.weight.data, bn.bias.data = np.array([0.5, -1.5, 2.0]), np.array([1.0, 0.0, -1.0])
    return bn


def per_channel(v, ndim):
    return v.reshape(-1, *[1] * (ndim - 2))


def by_hand(x, g, weight, bias, eps=1e-5):
    """(y, dx, dweight, dbias, mean, biased variance, n): equations 38 to 45 and 37 of the handout, for each channel."""
    over = (0, 2)[: x.ndim - 1]
    n = x.size // x.shape[1]
    mean, var = x.mean(over, keepdims=True), x.var(over, keepdims=True)
    std = np.sqrt(var + eps)
    w, b = per_channel(weight, x.ndim), per_channel(bias, x.ndim)
    norm = (x - mean) / std
    dnorm = g * w
    dvar = -0.5 * (dnorm * (x - mean)).sum(over, keepdims=True) / std**3
    dmean = -(dnorm / std).sum(over, keepdims=True) - 2 / n * dvar * (x - mean).sum(over, keepdims=True)
    dx = dnorm / std + dvar * 2 / n * (x - mean) + dmean / n
    return w * norm + b, dx, (g * norm).sum(over), g.sum(over), mean.ravel(), var.ravel(), n


@pytest.mark.parametrize("shape", SHAPES)
def test_training_is_the_papers_formula(shape):
    """Output and all gradients are those derived by hand, for (N, C) and (N, C, L)."""
    bn, (values, g) = layer(), data(shape)
    x = mt.tensor(values, requires_grad=True)
    y_hand, dx, dweight, dbias, *_ = by_hand(values, g, bn.weight.data, bn.bias.data)

    y = bn(x)
    y.backward(g)

    for actual, expected in ((y, y_hand), (x.grad, dx), (bn.weight.grad, dweight), (bn.bias.grad, dbias)):
        np.testing.assert_allclose(actual.data, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("momentum", [0.1, 0.25, None])
def test_running_averages_take_the_unbiased_variance(shape, momentum):
    """running = (1 - m) running + m batch, with the variance over n - 1; m = 1/t for batch t where momentum is None."""
    bn = layer(momentum=momentum)
    mean, var = np.zeros(3), np.ones(3)
    for t in (1, 2, 3):
        x, g = data(shape, seed=t)
        bn(x)
        *_, batch_mean, batch_var, n = by_hand(x, g, np.ones(3), np.zeros(3))
        m = 1 / t if momentum is None else momentum
        mean = (1 - m) * mean + m * batch_mean
        var = (1 - m) * var + m * batch_var * n / (n - 1)

    np.testing.assert_allclose(bn.running_mean.data, mean, rtol=1e-12)
    np.testing.assert_allclose(bn.running_var.data, var, rtol=1e-12)
    assert bn.num_batches_tracked.item() == 3


@pytest.mark.parametrize("shape", SHAPES)
def test_evaluation_uses_the_running_averages_and_changes_nothing(shape):
    """In evaluation an example's answer does not depend on its batch, and the state stays."""
    bn = layer()
    bn(data(shape, seed=1)[0])
    before = bn.state_dict()
    x, g = data(shape)
    t = mt.tensor(x, requires_grad=True)
    scale = per_channel(bn.weight.data / np.sqrt(bn.running_var.data + 1e-5), x.ndim)

    y = bn.eval()(t)
    y.backward(g)

    shift = per_channel(bn.bias.data, x.ndim)
    expected = (x - per_channel(bn.running_mean.data, x.ndim)) * scale + shift
    np.testing.assert_allclose(y.data, expected, rtol=1e-12)
    np.testing.assert_allclose(t.grad.data, g * scale, rtol=1e-12)
    np.testing.assert_allclose(bn(x[:1]).data, y.data[:1], rtol=1e-12)
    for name, value in bn.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_without_affine_and_without_tracking():
    """affine=False has no parameters; track_running_stats=False has no buffers, and evaluates with the batch's own."""
    x, g = data((6, 3))
    expected = by_hand(x, g, np.ones(3), np.zeros(3))[0]
    plain = layer(affine=False, track_running_stats=False)

    assert plain.state_dict() == {}
    assert list(layer(affine=False).state_dict()) == ["running_mean", "running_var", "num_batches_tracked"]
    np.testing.assert_allclose(plain(x), expected, rtol=1e-12)
    np.testing.assert_allclose(plain.eval()(x), expected, rtol=1e-12)
    assert nn.BatchNorm1d(3, affine=False)(x).dtype == np.float32


def test_statistics_are_kept_under_no_grad():
    """A training pass that records nothing still counts."""
    bn = layer()
    with mt.no_grad():
        bn(data((6, 3))[0])

    assert bn.num_batches_tracked.item() == 1 and bn.running_mean.data.any()


def test_statistics_seen_earlier_do_not_change():
    """Arrays taken from the running averages keep what they showed, and a recorded evaluation its gradient."""
    bn = layer().eval()
    x = mt.tensor(data((6, 3))[0], requires_grad=True)
    seen, array = bn.running_mean.numpy(), bn.running_var.data
    y = bn(x)

    bn.train()(data((6, 3), seed=2)[0])
    y.sum().backward()

    assert not seen.any() and (array == 1).all()
    np.testing.assert_allclose(x.grad.data, np.broadcast_to(bn.weight.data / np.sqrt(1 + 1e-5), (6, 3)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("momentum", [np.float64(0.1), None])
def test_dtype_stays(dtype, momentum):
    """Output, gradients and running averages are of the layer's dtype, the counter an integer."""
    bn = nn.BatchNorm1d(3, momentum=momentum, dtype=dtype)
    x = mt.tensor(data((6, 3))[0], dtype=dtype, requires_grad=True)

    for train in (True, False):
        y = bn.train(train)(x)
        y.sum().backward()
        assert y.dtype == x.grad.dtype == bn.weight.grad.dtype == bn.bias.grad.dtype == dtype

    assert bn.running_mean.dtype == bn.running_var.dtype == dtype
    assert bn.num_batches_tracked.dtype == np.int64


def test_training_keeps_one_array_of_the_batchs_size():
    """Backward has, of the arrays of the size of the batch, the centred input and no other."""
    bn, x = layer(), mt.tensor(data((6, 3))[0], requires_grad=True)
    kept, stack, seen = {}, [bn(x)._node], set()
    while stack:
        node = stack.pop()
        if node.index in seen:
            continue
        seen.add(node.index)
        stack += [source for _, source in node.sources()]
        for a in (*getattr(node, "args", ()), getattr(node, "ans", None)):
            if isinstance(a, np.ndarray) and a.size == x.size:
                kept[id(a)] = a

    assert len(kept) == 1
    np.testing.assert_allclose(next(iter(kept.values())), x.data - x.data.mean(axis=0))


@pytest.mark.parametrize("make, message", [
    (lambda: nn.BatchNorm1d(3)(np.ones((8, 5))), "BatchNorm1d: the input has 5 channels, (8, 5); num_features is 3"),
    (lambda: nn.BatchNorm1d(3)(np.ones(3)), "BatchNorm1d: the input has shape (3,); give (N, C) or (N, C, L)"),
    (lambda: nn.BatchNorm1d(3)(np.ones((1, 3))), "no variance; give a larger batch, or call eval()"),
    (lambda: nn.BatchNorm1d(3)(np.ones((1, 3, 1))), "one value a channel has no variance"),
    (lambda: nn.BatchNorm1d(0), "BatchNorm1d: num_features is 0; it must be at least 1"),
])  # fmt: skip
def test_errors(make, message):
    """Misuse names the layer, the shapes and the way out."""
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_one_value_a_channel_evaluates():
    """A batch of one is refused in training, before anything has changed, and evaluated in evaluation."""
    bn = layer()
    with pytest.raises(ValueError, match="no variance"):
        bn(np.ones((1, 3)))

    assert bn.num_batches_tracked.item() == 0
    np.testing.assert_allclose(bn.eval()(np.zeros((1, 3))).data, bn.bias.data[None])
