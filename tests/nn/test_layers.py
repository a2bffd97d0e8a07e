"""Linear, activations, Sequential, MLP and initialisers: what they compute, start from, and say when misused."""

import math
import re

import numpy as np
import pytest

import mytorch as mt
from mytorch import nn

rng = np.random.default_rng(0)
X = rng.normal(size=(8, 3))


def close(actual, expected, rtol=1e-12, atol=1e-14):
    np.testing.assert_allclose(getattr(actual, "data", actual), expected, rtol=rtol, atol=atol)


# ----- Linear -----


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3,), (8, 3), (2, 5, 3)])
def test_linear_is_x_times_weight_transposed_plus_bias(shape, bias):
    """y = x W.T + b over the last axis, and its gradients are the textbook's."""
    layer = nn.Linear(3, 4, bias=bias, dtype=np.float64, rng=0)
    x = mt.tensor(rng.normal(size=shape), requires_grad=True)
    g = rng.normal(size=(*shape[:-1], 4))
    rows, g_rows = x.data.reshape(-1, 3), g.reshape(-1, 4)

    y = layer(x)
    y.backward(g)

    close(y, x.data @ layer.weight.data.T + (layer.bias.data if bias else 0))
    close(x.grad, g @ layer.weight.data)
    close(layer.weight.grad, g_rows.T @ rows)
    if bias:
        close(layer.bias.grad, g_rows.sum(axis=0))


def test_linear_starts_as_pytorchs_does():
    """Weight and bias fill U(-k, k), k = 1 / sqrt(in_features), and differ."""
    layer = nn.Linear(16, 4000, rng=0)

    assert layer.weight.shape == (4000, 16) and layer.bias.shape == (4000,)
    for x in (layer.weight.data, layer.bias.data):
        assert np.abs(x).max() <= 0.25
        np.testing.assert_allclose([x.min(), x.max(), x.mean()], [-0.25, 0.25, 0], atol=0.01)
        np.testing.assert_allclose(x.std(), 0.25 / math.sqrt(3), rtol=0.03)


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.uint8, bool])
def test_a_float32_layer_answers_in_float32(dtype):
    """A layer computes in the dtype of its parameters, whatever comes in; lists are taken, too."""
    layer = nn.Linear(2, 2, rng=0)
    x = np.array([[1, 0], [1, 1]], dtype)

    y = layer(x)
    y.sum().backward()

    assert y.dtype == layer.weight.grad.dtype == np.float32
    np.testing.assert_array_equal(y.data, layer(x.astype(np.float32)).data)
    np.testing.assert_array_equal(y.data, layer(x.tolist()).data)


def test_the_gradient_of_a_float64_input_is_float64():
    """The conversion to the layer's dtype is differentiated, and gives the input's dtype back."""
    layer = nn.Linear(2, 1, rng=0)
    x = mt.tensor([[1.0, 2.0]], requires_grad=True)

    layer(x).sum().backward()

    assert x.grad.dtype == np.float64
    close(x.grad, layer.weight.data, rtol=1e-6)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: nn.Linear(3, 2)(np.ones((8, 5))), "Linear: the input has 5 features, (8, 5); in_features is 3"),
        (lambda: nn.Linear(3, 2)(1.0), "Linear: the input has no axis; in_features is 3"),
        (lambda: nn.Linear(0, 2), "Linear: in_features is 0, out_features is 2; both must be at least 1"),
        (lambda: nn.Sequential(nn.ReLU), "is not a module; write Sequential(nn.Linear(2, 3), nn.ReLU())"),
        (lambda: nn.Sequential([nn.ReLU()]), "is not a module; write Sequential("),
        (lambda: nn.Sequential({"train": nn.ReLU()}), "every Sequential has a 'train'; give the module another name"),
        (lambda: nn.Sequential(nn.ReLU())[1], "Sequential: index 1 of 1 modules"),
        (lambda: nn.MLP(3, [2], 1, activation=mt.tanh), "give a class of layers, such as nn.Tanh"),
        (lambda: nn.init.kaiming_uniform_(mt.tensor([1.0])), "weights of shape (out, in, ...), these have (1,)"),
        (lambda: nn.init.kaiming_uniform_(mt.tensor([[1.0]]), mode="fan"), "mode='fan' is not one of fan_in, fan_out"),
        (lambda: nn.init.calculate_gain("gelu"), "calculate_gain: 'gelu' is not one of linear, sigmoid, tanh"),
    ],
)
def test_errors_name_the_layer_and_the_way_out(make, message):
    """Misuse gives one sentence with the layer, the shapes and what to do."""
    with pytest.raises((ValueError, TypeError, IndexError), match=re.escape(message)):
        make()


# ----- activations -----

Z = np.array([-800.0, -2.0, -0.5, 0.0, 0.5, 2.0, 800.0])
S = np.array([0.0, *(1 / (1 + math.exp(-z)) for z in Z[1:-1]), 1.0])
ACTIVATIONS = [  # layer, value and derivative at Z
    (nn.Identity, Z, np.ones(7)),
    (nn.Sigmoid, S, S * (1 - S)),
    (nn.Tanh, np.tanh(Z), 1 - np.tanh(Z) ** 2),
    (nn.ReLU, np.array([0, 0, 0, 0, 0.5, 2, 800]), np.array([0, 0, 0, 0, 1, 1, 1])),
]


@pytest.mark.parametrize("layer, value, slope", ACTIVATIONS, ids=lambda x: getattr(x, "__name__", ""))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations(layer, value, slope, dtype):
    """Value and derivative are the formulas', in the input's dtype, without overflow far out."""
    z = mt.tensor(Z, dtype=dtype, requires_grad=True)
    rtol = 1e-6 if dtype == np.float32 else 1e-12

    y = layer()(z)
    y.sum().backward()

    assert y.dtype == z.grad.dtype == dtype
    close(y, value, rtol, atol=1e-300)
    close(z.grad, slope, rtol, atol=1e-6 if dtype == np.float32 else 1e-15)


# ----- Sequential and MLP -----


def test_sequential_is_composition():
    """The modules apply in order; indexing, slices, iteration and len are those of a list."""
    a, b = nn.Linear(3, 4, dtype=np.float64, rng=0), nn.Linear(4, 2, dtype=np.float64, rng=1)
    model = nn.Sequential(a, nn.Tanh(), b)

    close(model(X), b(mt.tanh(a(X))).data)
    assert len(model) == 3 and model[0] is a and model[-1] is b and list(model)[2] is b
    assert isinstance(model[1:], nn.Sequential) and len(model[1:]) == 2 and model[1:][1] is b
    assert list(model[2:].state_dict()) == ["2.weight", "2.bias"]
    assert len(nn.Sequential()) == 0 and nn.Sequential()(1.5) == 1.5


def test_sequential_takes_names():
    """The keys of a dict are the names of its modules."""
    model = nn.Sequential({"first": nn.Linear(3, 2), "act": nn.ReLU(), "last": nn.Linear(2, 1)})

    assert list(model.state_dict()) == ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert model(X).shape == (8, 1)


@pytest.mark.parametrize("hiddens, batch_norm, kinds", [
    ([], False, ["Linear"]),
    ([5], False, ["Linear", "Tanh", "Linear"]),
    ([5, 4], True, ["Linear", "BatchNorm1d", "Tanh", "Linear", "BatchNorm1d", "Tanh", "Linear"]),
])  # fmt: skip
def test_mlp_is_a_sequential_of_layers(hiddens, batch_norm, kinds):
    """Linear, batch norm where asked for, activation, for each hidden size; then a Linear."""
    model = nn.MLP(3, hiddens, 2, activation=nn.Tanh, batch_norm=batch_norm, dtype=np.float64, rng=0)

    assert [type(layer).__name__ for layer in model] == kinds
    assert [layer.out_features for layer in model if isinstance(layer, nn.Linear)] == [*hiddens, 2]
    y = model(X)
    assert y.shape == (8, 2) and y.dtype == np.float64


# ----- randomness -----


def weights(**options):
    return np.concatenate([p.data.ravel() for p in nn.MLP(3, [4], 2, **options).parameters()])


def test_the_same_seed_gives_the_same_weights():
    """A seed, a generator in the same state, and the seeded default generator all repeat."""
    np.testing.assert_array_equal(weights(rng=7), weights(rng=7))
    np.testing.assert_array_equal(weights(rng=7), weights(rng=np.random.default_rng(7)))
    assert not np.array_equal(weights(rng=7), weights(rng=8))
    mt.seed(7)
    first = weights()
    assert not np.array_equal(first, weights())
    mt.seed(7)
    np.testing.assert_array_equal(weights(), first)
    np.testing.assert_array_equal(weights(rng=7), first)


def test_layers_of_one_model_differ():
    """One seed serves all layers, one after the other."""
    model = nn.MLP(4, [4], 4, rng=0)

    assert not np.array_equal(model[0].weight.data, model[2].weight.data)


def test_the_dtype_does_not_change_the_draw():
    """The same seed gives float32 the float64 weights, rounded."""
    np.testing.assert_array_equal(weights(rng=3), weights(rng=3, dtype=np.float64).astype(np.float32))


def test_numpys_global_state_is_left_alone():
    """Neither layers nor mt.seed touch np.random's own state."""
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    mt.seed(0)
    weights()

    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


# ----- initialisers -----

FILLED = [  # initialiser of a (200, 100) tensor, largest absolute value (None: none), standard deviation
    (lambda x: nn.init.uniform_(x, -2, 2, rng=0), 2, 2 / math.sqrt(3)),
    (lambda x: nn.init.normal_(x, 0, 3, rng=0), None, 3),
    (lambda x: nn.init.kaiming_uniform_(x, nonlinearity="relu", rng=0), math.sqrt(6 / 100), math.sqrt(2 / 100)),
    (lambda x: nn.init.kaiming_uniform_(x, a=math.sqrt(5), rng=0), 0.1, 0.1 / math.sqrt(3)),
    (lambda x: nn.init.kaiming_normal_(x, mode="fan_out", rng=0), None, math.sqrt(2 / 200)),
    (lambda x: nn.init.xavier_uniform_(x, gain=5 / 3, rng=0), 5 / 3 * math.sqrt(6 / 300), 5 / 3 * math.sqrt(2 / 300)),
    (lambda x: nn.init.xavier_normal_(x, rng=0), None, math.sqrt(2 / 300)),
]  # fmt: skip


@pytest.mark.parametrize("fill, bound, std", FILLED)
def test_initialisers_have_their_papers_scale(fill, bound, std):
    """Bounds and deviations are those of He et al. and of Glorot and Bengio, for weights of shape (out, in)."""
    x = nn.Parameter(np.empty((200, 100), np.float32))

    assert fill(x) is x and x.dtype == np.float32
    np.testing.assert_allclose(x.data.std(), std, rtol=0.02)
    assert abs(x.data.mean()) < 0.03 * std
    if bound:
        assert 0.98 * bound < np.abs(x.data).max() <= bound * (1 + 1e-6)


def test_constants():
    """zeros_, ones_ and constant_ fill with one value, and keep the dtype."""
    x = nn.Parameter(np.empty(3, np.float32))

    assert nn.init.ones_(x).tolist() == [1, 1, 1]
    assert nn.init.constant_(x, 0.5).tolist() == [0.5, 0.5, 0.5]
    assert nn.init.zeros_(x).tolist() == [0, 0, 0] and x.dtype == np.float32


@pytest.mark.parametrize("name, param, gain", [
    ("linear", 0.01, 1), ("sigmoid", 0.01, 1), ("tanh", 0.01, 5 / 3), ("relu", 0.01, math.sqrt(2)),
    ("leaky_relu", 1.0, 1.0),
])  # fmt: skip
def test_gains(name, param, gain):
    """The gains are PyTorch's."""
    assert nn.init.calculate_gain(name, param) == pytest.approx(gain)


@pytest.mark.parametrize("shape", [(), (1,), (4,), (1, 4)])
def test_linear_with_a_bias_of_another_shape(shape):
    """What broadcasts is added, and has its gradient."""
    layer = nn.Linear(3, 4, rng=0)
    layer.bias = nn.Parameter(np.full(shape, 2.0, np.float32))
    x = np.ones((2, 3), np.float32)
    y = layer(mt.tensor(x))
    y.sum().backward()

    np.testing.assert_allclose(y.numpy(), x @ layer.weight.numpy().T + 2, rtol=1e-6)
    np.testing.assert_array_equal(layer.bias.grad.numpy(), np.full(shape, 8 / max(layer.bias.size, 1)))


def test_linear_with_a_bias_that_does_not_fit():
    """The error is about the bias."""
    layer = nn.Linear(3, 4, rng=0)
    layer.bias = nn.Parameter(np.zeros(5, np.float32))

    with pytest.raises(ValueError, match=r"shapes \(2, 4\) and \(5,\) do not broadcast"):
        layer(mt.tensor(np.ones((2, 3), np.float32)))
