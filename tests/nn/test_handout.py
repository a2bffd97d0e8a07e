"""The course API against the handout's own formulas, written out here in numpy, and a whole network trained by them."""

import re
from itertools import chain, pairwise

import numpy as np
import pytest

from mytorch.nn import handout as h

RTOL = 1e-10
ACTIVATIONS = {"identity": h.Identity, "sigmoid": h.Sigmoid, "tanh": h.Tanh, "relu": h.ReLU}

# ----- the formulas of sections 3.1 to 3.4 and of appendices A to C -----

FORMULAS = {  # value, and derivative from the value
    "identity": (lambda z: z, lambda s: np.ones_like(s)),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda s: s * (1 - s)),
    "tanh": (lambda z: (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z)), lambda s: 1 - s**2),
    "relu": (lambda z: np.where(z > 0, z, 0.0), lambda s: np.where(s > 0, 1.0, 0.0)),
}


def log_softmax(x):
    a = x.max(axis=1, keepdims=True)
    return x - a - np.log(np.exp(x - a).sum(axis=1, keepdims=True))


class BatchNormByHand:
    """Equations 38 to 47 and 15 to 37."""

    def __init__(self, n, alpha=0.9):
        self.alpha = alpha
        self.gamma, self.beta = np.ones((1, n)), np.zeros((1, n))
        self.running_mean, self.running_var = np.zeros((1, n)), np.ones((1, n))

    def forward(self, x, train):
        if not train:
            return self.gamma * (x - self.running_mean) / np.sqrt(self.running_var + 1e-8) + self.beta
        self.x, self.mean = x, x.sum(axis=0, keepdims=True) / len(x)
        self.var = ((x - self.mean) ** 2).sum(axis=0, keepdims=True) / len(x)
        self.norm = (x - self.mean) / np.sqrt(self.var + 1e-8)
        self.running_mean = self.alpha * self.running_mean + (1 - self.alpha) * self.mean
        self.running_var = self.alpha * self.running_var + (1 - self.alpha) * self.var
        return self.gamma * self.norm + self.beta

    def backward(self, delta):
        m, x, mean, var = len(self.x), self.x, self.mean, self.var + 1e-8
        dnorm = delta * self.gamma  # 15
        self.dbeta = delta.sum(axis=0, keepdims=True)  # 16
        self.dgamma = (delta * self.norm).sum(axis=0, keepdims=True)  # 17
        dvar = -0.5 * (dnorm * (x - mean) * var**-1.5).sum(axis=0, keepdims=True)  # 20
        dmean = -(dnorm * var**-0.5).sum(axis=0, keepdims=True) - 2 / m * dvar * (x - mean).sum(axis=0, keepdims=True)
        return dnorm * var**-0.5 + dvar * 2 / m * (x - mean) + dmean / m  # 37


class NetworkByHand:
    """A network of these formulas, with the backward pass and the momentum of sections 3.5.2 and 3.5.3."""

    def __init__(self, sizes, activations, weight, bias, lr, momentum, num_bn_layers):
        self.W, self.b = [], []
        for i, o in pairwise(sizes):
            self.W.append(weight(i, o))
            self.b.append(bias(o))
        self.vW, self.vb = [0 * W for W in self.W], [0 * b for b in self.b]
        self.bn = [BatchNormByHand(o) for o in sizes[1 : num_bn_layers + 1]]
        self.activations, self.lr, self.momentum = activations, lr, momentum

    def forward(self, x, train=True):
        self.inputs, self.states = [], []
        for k, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            self.inputs.append(x)
            z = x @ W + b
            if k < len(self.bn):
                z = self.bn[k].forward(z, train)
            x = FORMULAS[self.activations[k]][0](z)
            self.states.append(x)
        return x

    def backward(self, y):
        self.dW, self.db = [None] * len(self.W), [None] * len(self.W)
        delta = np.exp(log_softmax(self.states[-1])) - y
        for k in reversed(range(len(self.W))):
            delta = delta * FORMULAS[self.activations[k]][1](self.states[k])
            if k < len(self.bn):
                delta = self.bn[k].backward(delta)
            self.dW[k] = self.inputs[k].T @ delta / len(y)
            self.db[k] = delta.sum(axis=0, keepdims=True) / len(y)
            delta = delta @ self.W[k].T

    def step(self):
        for k in range(len(self.W)):
            self.vW[k] = self.momentum * self.vW[k] - self.lr * self.dW[k]
            self.vb[k] = self.momentum * self.vb[k] - self.lr * self.db[k]
            self.W[k] = self.W[k] + self.vW[k]
            self.b[k] = self.b[k] + self.vb[k]
        for bn in self.bn:
            bn.gamma = bn.gamma - self.lr * bn.dgamma
            bn.beta = bn.beta - self.lr * bn.dbeta


def close(actual, expected, rtol=RTOL):
    assert isinstance(actual, np.ndarray) and actual.dtype == np.float64 and actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-13)


def initialisers(seed):
    rng = np.random.default_rng(seed)
    return lambda i, o: rng.normal(size=(i, o)) / np.sqrt(i), lambda o: rng.normal(size=(1, o)) / 10


def labelled(n, features, classes, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(1, 2, (n, features)), np.eye(classes)[rng.integers(0, classes, n)]


# ----- activations -----


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("shape", [(), (5,), (4, 3), (2, 3, 4)])
def test_activations_are_the_formulas(name, shape):
    """forward and derivative are those of section 3.1, for any number of axes; state is the output."""
    value, slope = FORMULAS[name]
    x = np.asarray(np.random.default_rng(0).normal(size=shape))
    activation = ACTIVATIONS[name]()

    y = activation(x)

    close(y, np.asarray(value(x)))
    assert activation.state is y
    np.testing.assert_allclose(activation.derivative(), slope(value(x)), rtol=RTOL)
    if name != "identity":
        close(activation.derivative(), np.asarray(slope(value(x))))


def test_corners_of_the_derivatives():
    """ReLU'(0) = 0, Identity' = 1.0 even before forward, and the latest input counts."""
    relu, identity = h.ReLU(), h.Identity()
    relu.forward(np.array([5.0]))
    relu.forward(np.array([-1.0, 0.0, 2.0]))

    np.testing.assert_array_equal(relu.derivative(), [0, 0, 1])
    assert identity.derivative() == 1.0 and isinstance(identity.derivative(), float)


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu"])
def test_activations_do_not_overflow(name):
    """At ±1e4 and infinity values and derivatives are the limits, without a warning."""
    x = np.array([-np.inf, -1e4, 1e4, np.inf])
    limits = {"sigmoid": [0, 0, 1, 1], "tanh": [-1, -1, 1, 1], "relu": [0, 0, 1e4, np.inf]}[name]
    activation = ACTIVATIONS[name]()

    np.testing.assert_array_equal(activation(x), limits)
    np.testing.assert_array_equal(activation.derivative(), [0, 0, 1, 1] if name == "relu" else [0, 0, 0, 0])


@pytest.mark.parametrize("given, answered", [(np.float32, np.float32), (np.float64, np.float64), (int, np.float64)])
@pytest.mark.parametrize("name", FORMULAS)
def test_activations_keep_a_floating_dtype(name, given, answered):
    """float32 in, float32 out; integers become float64."""
    activation = ACTIVATIONS[name]()

    assert activation(np.array([[-1, 0, 2]], given)).dtype == answered
    if name != "identity":
        assert activation.derivative().dtype == answered


# ----- softmax cross entropy -----

LABELS = {
    "one-hot": np.eye(4)[[0, 3, 1, 1, 2]],
    "probabilities": np.random.default_rng(1).dirichlet(np.ones(4), 5),
    "of any mass": np.random.default_rng(2).uniform(-1, 2, (5, 4)),
    "integers": np.eye(4, dtype=int)[[0, 3, 1, 1, 2]],
}


@pytest.mark.parametrize("labels", LABELS)
def test_softmax_cross_entropy(labels):
    """forward is -sum y log softmax(x) an example; derivative is softmax(x) - y, also where y does not sum to 1."""
    x, y = np.random.default_rng(0).normal(size=(5, 4)) * 3, LABELS[labels]
    loss = h.SoftmaxCrossEntropy()

    close(loss(x, y), -(y * log_softmax(x)).sum(axis=1))
    close(loss.derivative(), np.exp(log_softmax(x)) - y)


def test_softmax_cross_entropy_of_huge_logits():
    """Logits of ±1e4 come out finite and exact."""
    x = np.array([[1e4, -1e4, 0.0], [1e4, -1e4, 0.0], [1e4, 1e4, -1e4]])
    loss = h.SoftmaxCrossEntropy()

    np.testing.assert_allclose(loss(x, np.eye(3)), [0, 2e4, 2e4 + np.log(2)], rtol=1e-15)
    np.testing.assert_array_equal(loss.derivative(), [[0, 0, 0], [1, -1, 0], [0.5, 0.5, -1]])


# ----- batch norm -----


def test_a_new_batch_norm():
    """gamma, var and running_var start at 1, the other statistics and gradients at 0, all of shape (1, n)."""
    bn = h.BatchNorm(3, alpha=0.7)

    assert (bn.alpha, bn.eps) == (0.7, 1e-8) and h.BatchNorm(3).alpha == 0.9
    for name in ("gamma", "var", "running_var"):
        close(getattr(bn, name), np.ones((1, 3)))
    for name in ("beta", "mean", "running_mean", "dgamma", "dbeta"):
        close(getattr(bn, name), np.zeros((1, 3)))
    assert bn.x is bn.norm is bn.out is None


def test_batch_norm_is_the_appendix():
    """Outputs, statistics and gradients over several batches are equations 15 to 47."""
    rng = np.random.default_rng(0)
    bn, hand = h.BatchNorm(3, alpha=0.8), BatchNormByHand(3, alpha=0.8)
    bn.gamma = hand.gamma = rng.normal(size=(1, 3))
    bn.beta = hand.beta = rng.normal(size=(1, 3))
    for n in (5, 2, 8):
        x, delta = rng.normal(1, 3, (n, 3)), rng.normal(size=(n, 3))

        close(bn(x), hand.forward(x, train=True))
        close(bn.backward(delta), hand.backward(delta), rtol=1e-8)

        close(bn.out, bn.gamma * hand.norm + bn.beta)
        np.testing.assert_array_equal(bn.x, x)
        for name in ("norm", "mean", "var", "running_mean", "running_var", "dgamma", "dbeta"):
            close(getattr(bn, name), getattr(hand, name))


def test_batch_norm_evaluates_without_a_trace():
    """eval=True gives the running statistics' answer, for a batch of one too, and changes no attribute."""
    bn, hand = h.BatchNorm(3), BatchNormByHand(3)
    x = np.random.default_rng(0).normal(1, 3, (6, 3))
    bn(x), hand.forward(x, train=True)
    before = dict(vars(bn))

    close(bn(x[:1], eval=True), hand.forward(x[:1], train=False))

    assert vars(bn).keys() == before.keys() and all(vars(bn)[name] is before[name] for name in before)


# ----- linear -----


def test_linear():
    """x W + b; backward returns delta W.T and sets dW and db to the averages over the batch."""
    rng = np.random.default_rng(0)
    layer = h.Linear(3, 4, *initialisers(1))
    x, delta = rng.normal(size=(5, 3)), rng.normal(size=(5, 4))

    close(layer(x), x @ layer.W + layer.b)
    close(layer.backward(delta), delta @ layer.W.T)
    close(layer.dW, sum(np.outer(a, d) for a, d in zip(x, delta, strict=True)) / 5)
    close(layer.db, delta.mean(axis=0, keepdims=True))


def test_initialisers_are_called_in_order_and_copied():
    """weight_init_fn(in, out), then bias_init_fn(out), positionally, layer by layer; integers become float64."""
    calls = []

    def weight(*args):
        calls.append(args)
        return np.ones(args, int)

    def bias(*args):
        calls.append(args)
        return np.zeros((1, *args), int)

    mlp = h.MLP(4, 2, [3], [h.ReLU(), h.Identity()], weight, bias, h.SoftmaxCrossEntropy(), 0.5, num_bn_layers=1)

    assert calls == [(4, 3), (3,), (3, 2), (2,)]
    for layer, (i, o) in zip(mlp.linear_layers, [(4, 3), (3, 2)], strict=True):
        for name, fill, shape in (("W", 1, (i, o)), ("dW", 0, (i, o)), ("momentum_W", 0, (i, o))):
            close(getattr(layer, name), np.full(shape, float(fill)))
        for name in ("b", "db", "momentum_b"):
            close(getattr(layer, name), np.zeros((1, o)))
    x, y = labelled(5, 4, 2)
    mlp.forward(x)
    mlp.backward(y)
    mlp.step()
    assert mlp.linear_layers[0].W.dtype == np.float64


def test_the_global_random_state_is_the_initialisers_alone():
    """Between the calls of initialisers that use np.random nothing else draws from it."""
    weight, bias = (lambda i, o: np.random.normal(size=(i, o))), (lambda o: np.random.normal(size=(1, o)))  # noqa: NPY002
    np.random.seed(11)  # noqa: NPY002
    mlp = h.MLP(4, 2, [3], [h.Tanh(), h.Identity()], weight, bias, h.SoftmaxCrossEntropy(), 0.1, 0.9, 2)
    np.random.seed(11)  # noqa: NPY002
    expected = [weight(4, 3), bias(3), weight(3, 2), bias(2)]

    for actual, value in zip([v for layer in mlp.linear_layers for v in (layer.W, layer.b)], expected, strict=True):
        np.testing.assert_array_equal(actual, value)


# ----- the network -----

NETWORKS = [  # hiddens, activations, momentum, num_bn_layers
    ([], ["identity"], 0.0, 0),
    ([], ["identity"], 0.9, 1),
    ([6], ["sigmoid", "identity"], 0.0, 0),
    ([6, 5], ["tanh", "relu", "identity"], 0.856, 0),
    ([6, 5], ["relu", "sigmoid", "identity"], 0.9, 1),
    ([6, 5, 4], ["sigmoid", "tanh", "relu", "tanh"], 0.5, 4),
]


def networks(hiddens, activations, momentum, num_bn_layers, lr=0.05, features=7, classes=3):
    objects = [ACTIVATIONS[name]() for name in activations]
    mlp = h.MLP(
        features, classes, hiddens, objects, *initialisers(5), h.SoftmaxCrossEntropy(), lr, momentum, num_bn_layers
    )
    hand = NetworkByHand([features, *hiddens, classes], activations, *initialisers(5), lr, momentum, num_bn_layers)
    return mlp, hand


@pytest.mark.parametrize("hiddens, activations, momentum, num_bn_layers", NETWORKS)
def test_training_is_that_of_the_formulas(hiddens, activations, momentum, num_bn_layers):
    """Outputs, gradients, momenta and parameters of several steps, and an evaluation, are those written out above."""
    mlp, hand = networks(hiddens, activations, momentum, num_bn_layers)
    for seed in range(4):
        x, y = labelled(10 - seed, 7, 3, seed)
        mlp.zero_grads()
        output = mlp(x)
        mlp.backward(y)
        close(output, hand.forward(x))
        assert mlp.output is output
        hand.backward(y)
        for k, layer in enumerate(mlp.linear_layers):
            close(layer.dW, hand.dW[k])
            close(layer.db, hand.db[k])
        mlp.step()
        hand.step()
        for k, layer in enumerate(mlp.linear_layers):
            close(layer.W, hand.W[k])
            close(layer.b, hand.b[k])
            close(layer.momentum_W, hand.vW[k])
            close(layer.momentum_b, hand.vb[k])
        for bn, by_hand in zip(mlp.bn_layers or [], hand.bn, strict=True):
            for name in ("gamma", "beta", "dgamma", "dbeta", "running_mean", "running_var"):
                close(getattr(bn, name), getattr(by_hand, name))

    mlp.eval()
    x, y = labelled(9, 7, 3, seed=9)
    close(mlp(x), hand.forward(x, train=False))
    assert mlp.total_loss(y) == pytest.approx(-(y * log_softmax(hand.states[-1])).sum(), rel=RTOL)
    assert mlp.error(y) == sum(np.argmax(o) != np.argmax(t) for o, t in zip(hand.states[-1], y, strict=True))


def test_the_gradient_is_the_slope_of_the_mean_loss():
    """dW and dgamma are central differences: of the mean loss, and of the sum for batch norm's own."""
    mlp, _ = networks([6, 5], ["tanh", "sigmoid", "identity"], 0.0, 2)
    x, y = labelled(8, 7, 3)
    mlp.forward(x)
    mlp.backward(y)
    layer, bn, step = mlp.linear_layers[1], mlp.bn_layers[0], 1e-5

    def slope(owner, name, at):
        original, losses = getattr(owner, name), []
        for sign in (1, -1):
            moved = original.copy()
            moved[at] += sign * step
            setattr(owner, name, moved)
            mlp.forward(x)
            losses.append(mlp.total_loss(y))
        setattr(owner, name, original)
        return (losses[0] - losses[1]) / (2 * step)

    assert layer.dW[2, 3] == pytest.approx(slope(layer, "W", (2, 3)) / 8, rel=1e-6)
    assert bn.dgamma[0, 4] == pytest.approx(slope(bn, "gamma", (0, 4)), rel=1e-6)
    assert bn.dbeta[0, 1] == pytest.approx(slope(bn, "beta", (0, 1)), rel=1e-6)


def test_attributes_and_modes():
    """The constructor's values are attributes; bn_layers is None without batch norm; step leaves gradients alone."""
    mlp, _ = networks([6], ["tanh", "identity"], 0.9, 1)
    plain, _ = networks([6], ["tanh", "identity"], 0.9, 0)

    assert (mlp.lr, mlp.momentum, mlp.train_mode) == (0.05, 0.9, True)
    assert [type(layer) for layer in mlp.linear_layers] == [h.Linear, h.Linear]
    assert [type(layer) for layer in mlp.activations] == [h.Tanh, h.Identity]
    assert isinstance(mlp.criterion, h.SoftmaxCrossEntropy)
    assert len(mlp.bn_layers) == 1 and plain.bn_layers is None
    mlp.eval()
    assert not mlp.train_mode
    mlp.train()
    assert mlp.train_mode

    x, y = labelled(5, 7, 3)
    mlp.forward(x)
    mlp.backward(y)
    before = mlp.linear_layers[0].dW.copy()
    mlp.step()
    np.testing.assert_array_equal(mlp.linear_layers[0].dW, before)
    mlp.zero_grads()
    for owner, names in ((mlp.linear_layers[0], ("dW", "db")), (mlp.bn_layers[0], ("dgamma", "dbeta"))):
        assert not any(getattr(owner, name).any() for name in names)


def test_a_plain_network_can_be_differentiated_in_evaluation_mode():
    """Without batch norm the mode makes no difference."""
    mlp, _ = networks([6], ["tanh", "identity"], 0.0, 0)
    x, y = labelled(5, 7, 3)
    mlp.forward(x)
    mlp.backward(y)
    before = mlp.linear_layers[0].dW

    mlp.eval()
    mlp.forward(x)
    mlp.backward(y)

    np.testing.assert_array_equal(mlp.linear_layers[0].dW, before)


def test_the_callers_arrays_are_never_written():
    """Inputs, labels and what the initialisers returned stay as they were."""
    W, b = np.ones((7, 3)), np.zeros((1, 3))
    mlp = h.MLP(7, 3, [], [h.Identity()], lambda i, o: W, lambda o: b, h.SoftmaxCrossEntropy(), 0.5, 0.9, 1)
    x, y = labelled(5, 7, 3)
    copies = x.copy(), y.copy()
    for _ in range(2):
        mlp.forward(x)
        mlp.backward(y)
        mlp.step()

    assert (W == 1).all() and not b.any()
    np.testing.assert_array_equal(x, copies[0])
    np.testing.assert_array_equal(y, copies[1])


# ----- misuse -----


def network(activations=None, **options):
    return h.MLP(
        2, 2, [3], activations or [h.ReLU(), h.Identity()], *initialisers(0), h.SoftmaxCrossEntropy(), 0.1, **options
    )


def evaluated():
    mlp = network(num_bn_layers=1)
    mlp.eval()
    mlp.forward(np.ones((4, 2)))
    mlp.train()
    return mlp


@pytest.mark.parametrize("make, message", [
    (lambda: h.Tanh().derivative(), "Tanh: call forward first"),
    (lambda: h.SoftmaxCrossEntropy().derivative(), "SoftmaxCrossEntropy: call forward first"),
    (lambda: h.BatchNorm(2).backward(np.ones((3, 2))), "BatchNorm: call forward first"),
    (lambda: h.Linear(2, 3, *initialisers(0)).backward(np.ones((4, 3))), "Linear: call forward first"),
    (lambda: network().backward(np.eye(2)), "MLP: call forward first"),
    (lambda: network().total_loss(np.eye(2)), "MLP: call forward first"),
    (lambda: evaluated().backward(np.eye(2)), "the last forward was an evaluation; call train() and forward"),
    (lambda: network([h.ReLU()]), "MLP: 1 activations are given for 2 layers; give one a layer"),
    (lambda: network([h.ReLU()] * 2), "an activation keeps the state of one layer; give each layer an object"),
    (lambda: network(num_bn_layers=3), "MLP: num_bn_layers is 3; with 2 layers give 0 to 2"),
    (lambda: network().forward(np.ones((4, 3))), "Linear: the input has shape (4, 3); it must be (batch size, 2)"),
    (lambda: h.BatchNorm(2)(np.ones(2)), "BatchNorm: the input has shape (2,); it must be (batch size, 2)"),
    (lambda: h.SoftmaxCrossEntropy()(np.ones((4, 3)), np.ones(4)), "x has shape (4, 3), y has (4,); give logits"),
    (lambda: h.Linear(2, 3, lambda i, o: np.ones((o, i)), np.zeros),
     "weight_init_fn(2, 3) returned shape (3, 2); it must be (2, 3)"),
])  # fmt: skip
def test_errors(make, message):
    """Misuse names the class, the shapes and the way out."""
    with pytest.raises((ValueError, RuntimeError), match=re.escape(message)):
        make()


def test_one_identity_may_serve_several_layers():
    """Identity keeps nothing that its derivative needs."""
    identity = h.Identity()
    mlp = network([identity, identity])
    x, y = labelled(5, 2, 2)
    mlp.forward(x)
    mlp.backward(y)

    assert mlp.linear_layers[0].dW.any()


# ----- training statistics -----


class Recorder:
    """A stand-in for a network that notes what is done to it, and answers with the features themselves."""

    def __init__(self):
        self.log, self.train_mode = [], None

    def train(self):
        self.train_mode = True

    def eval(self):
        self.train_mode = False

    def forward(self, x):
        self.output = x
        self.log.append(("forward", self.train_mode, x[:, 0].astype(int).tolist()))

    __call__ = forward

    def zero_grads(self):
        self.log.append(("zero_grads",))

    def backward(self, y):
        self.log.append(("backward",))

    def step(self):
        self.log.append(("step",))

    def total_loss(self, y):
        return self.output[:, 0].sum()

    def error(self, y):
        return (self.output[:, 0] >= 5).sum()


def test_training_statistics_are_means_over_what_was_visited():
    """Every epoch visits all examples in a new order with zeroed gradients, then validates; the test set is unused."""
    x = np.arange(7.0)[:, None]
    dset = (x, np.eye(7)), (x[:4] * 2, np.eye(7)[:4]), None
    np.random.seed(0)  # noqa: NPY002
    recorder = Recorder()

    losses, errors, val_losses, val_errors = h.get_training_stats(recorder, dset, 3, 3)

    for actual, expected in ((losses, 3.0), (errors, 2 / 7), (val_losses, 3.0), (val_errors, 1 / 4)):
        close(actual, np.full(3, expected))
    trained = [entry[2] for entry in recorder.log if entry[:2] == ("forward", True)]
    orders = [list(chain(*trained[k : k + 3])) for k in (0, 3, 6)]
    assert [len(batch) for batch in trained] == [3, 3, 1] * 3
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    validated = [entry[2] for entry in recorder.log if entry[:2] == ("forward", False)]
    assert list(chain(*validated)) == [0, 2, 4, 6] * 3
    assert [entry[0] for entry in recorder.log[:4]] == ["zero_grads", "forward", "backward", "step"]
    np.testing.assert_array_equal(x, np.arange(7.0)[:, None])


def test_training_statistics_follow_the_formulas():
    """The four arrays are those of the network written out above, trained in the same order."""
    mlp, hand = networks([6], ["tanh", "identity"], 0.9, 1)
    train, val = labelled(25, 7, 3, seed=1), labelled(9, 7, 3, seed=2)
    np.random.seed(3)  # noqa: NPY002
    actual = h.get_training_stats(mlp, (train, val, None), 3, 10)

    np.random.seed(3)  # noqa: NPY002
    expected, order = np.zeros((4, 3)), np.arange(25)
    for epoch in range(3):
        np.random.shuffle(order)  # noqa: NPY002
        for start in (0, 10, 20):
            x, y = (part[order[start : start + 10]] for part in train)
            output = hand.forward(x)
            hand.backward(y)
            hand.step()
            expected[0, epoch] -= (y * log_softmax(output)).sum() / 25
            expected[1, epoch] += (output.argmax(axis=1) != y.argmax(axis=1)).sum() / 25
        output = hand.forward(val[0], train=False)
        expected[2, epoch] = -(val[1] * log_softmax(output)).sum() / 9
        expected[3, epoch] = (output.argmax(axis=1) != val[1].argmax(axis=1)).sum() / 9

    for row, values in zip(actual, expected, strict=True):
        close(row, values)


def test_training_learns():
    """On classes that a line separates the handout's network ends near zero error."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    y = np.eye(2)[(x.sum(axis=1) > 0).astype(int)]
    np.random.seed(0)  # noqa: NPY002
    mlp = h.MLP(2, 2, [8], [h.Sigmoid(), h.Identity()], *initialisers(0), h.SoftmaxCrossEntropy(), 0.5, 0.9)

    losses, errors, val_losses, val_errors = h.get_training_stats(mlp, ((x, y), (x, y), None), 20, 10)

    assert losses[-1] < 0.2 < losses[0] and errors[-1] < 0.06 and val_errors[-1] < 0.06 and val_losses[-1] < 0.2


def test_no_epochs():
    """Four empty arrays."""
    mlp, _ = networks([], ["identity"], 0.0, 0)
    stats = h.get_training_stats(mlp, (labelled(5, 7, 3), labelled(5, 7, 3), None), 0, 2)

    assert [s.shape for s in stats] == [(0,)] * 4
