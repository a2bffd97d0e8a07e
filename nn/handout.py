"""The course API of "An Introduction to Neural Networks": its classes, names and layouts; arrays in, arrays out.

Every layer states its forward function once and keeps the pullback of its last run; all gradients come from there.
Numbers are float64. Randomness is the caller's: the initialisers given, and np.random for the order of examples.
"""

from itertools import pairwise

import numpy as np

from ..autograd import grad, log_softmax, logsumexp, relu, sigmoid, sqrt, tanh, vjp

# fmt: off
__all__ = [
    "MLP", "Activation", "BatchNorm", "Criterion", "Identity", "Linear", "ReLU", "Sigmoid", "SoftmaxCrossEntropy",
    "Tanh", "get_training_stats",
]
# fmt: on


class Layer:
    """What is called by its `forward`."""

    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)


def _after_forward(layer, kept):
    """`kept`, which `forward` leaves behind and the rest is computed from."""
    if kept is None:
        raise RuntimeError(f"{type(layer).__name__}: call forward first; this is computed from what it leaves behind")
    return kept


# ----- activations (3.1) -----


class Activation(Layer):
    """An elementwise function: `forward(x)` has the shape of x and stays in `state`.

    Floating inputs keep their dtype; others become float64.
    """

    state = _pullback = None

    def forward(self, x):
        x = np.asarray(x)
        state, self._pullback = vjp(self.function, x if x.dtype.kind == "f" else x.astype(np.float64))
        self.state = np.asarray(state)
        return self.state

    def derivative(self):
        """The derivative at every element of the last input: the pullback of ones, as elements do not mix."""
        pullback = _after_forward(self, self._pullback)
        (derivative,) = pullback(np.ones_like(self.state))
        return np.asarray(derivative)


class Identity(Activation):
    """x."""

    @staticmethod
    def function(x):
        return x

    def derivative(self):
        """1.0, wherever the last input was."""
        return grad(self.function)(0.0)


class Sigmoid(Activation):
    """1 / (1 + exp(-x))."""

    function = staticmethod(sigmoid)


class Tanh(Activation):
    """tanh(x)."""

    function = staticmethod(tanh)


class ReLU(Activation):
    """max(x, 0); its derivative at 0 is 0."""

    function = staticmethod(relu)


# ----- loss (3.2, appendix A and B) -----


class Criterion(Layer):
    """A loss of logits x and labels y, both (N, K): `forward(x, y)` has shape (N,)."""

    logits = labels = loss = None


class SoftmaxCrossEntropy(Criterion):
    """-sum_k y_k log softmax(x)_k, one loss an example."""

    def forward(self, x, y):
        x, y = _float64(x), _float64(y)
        if x.ndim != 2 or x.shape != y.shape:
            raise ValueError(
                f"SoftmaxCrossEntropy: x has shape {x.shape}, y has {y.shape}; "
                "give logits and one-hot labels, both (N, K)"
            )
        self.logits, self.labels = x, y
        self.loss = -(y * log_softmax(x, axis=1)).sum(axis=1)
        return self.loss

    def derivative(self):
        """The derivative of each example's loss by its logits, (N, K): softmax(x) - y, whatever y sums to.

        Appendix A takes the mass of a label as 1 before it differentiates: the function is logsumexp(x) - <y, x>.
        """
        y = _after_forward(self, self.labels)
        _, pullback = vjp(lambda x: logsumexp(x, axis=1) - (y * x).sum(axis=1), self.logits)
        return pullback(np.ones(len(y)))[0]


# ----- batch normalization (3.3, appendix C) -----


class BatchNorm(Layer):
    """gamma * (x - mean) / sqrt(var + eps) + beta for each of `in_feature` columns, equations 38 to 41.

    alpha: the weight of the old value in the running averages, equations 46 and 47.
    """

    def __init__(self, in_feature, alpha=0.9):
        self.alpha = alpha
        self.eps = 1e-8
        self.x = self.norm = self.out = self._pullback = None
        self.mean, self.var = np.zeros((1, in_feature)), np.ones((1, in_feature))
        self.gamma, self.dgamma = np.ones((1, in_feature)), np.zeros((1, in_feature))
        self.beta, self.dbeta = np.zeros((1, in_feature)), np.zeros((1, in_feature))
        self.running_mean, self.running_var = np.zeros((1, in_feature)), np.ones((1, in_feature))

    def forward(self, x, eval=False):
        """The normalized batch; with eval=True by the running averages, and then nothing of the layer changes."""
        x = _batch("BatchNorm", x, self.gamma.shape[1])
        if eval:
            return self.gamma * self._standardize(x, self.running_mean, self.running_var) + self.beta
        self.x = x
        self.out, self._pullback = vjp(self._train, x, _float64(self.gamma), _float64(self.beta))
        self.running_mean = self.alpha * self.running_mean + (1 - self.alpha) * self.mean
        self.running_var = self.alpha * self.running_var + (1 - self.alpha) * self.var
        return self.out

    def _train(self, x, gamma, beta):
        mean, var = x.mean(axis=0, keepdims=True), x.var(axis=0, keepdims=True)
        norm = self._standardize(x, mean, var)
        self.mean, self.var, self.norm = mean.data, var.data, norm.data
        return gamma * norm + beta

    def _standardize(self, x, mean, var):
        return (x - mean) / sqrt(var + self.eps)

    def backward(self, delta):
        """The derivative by x, from that by the output; sets dgamma and dbeta, summed over the batch."""
        dx, self.dgamma, self.dbeta = _after_forward(self, self._pullback)(delta)
        return dx


# ----- linear layer (3.4) -----


class Linear(Layer):
    """x @ W + b, with W (in_feature, out_feature) and b (1, out_feature)."""

    def __init__(self, in_feature, out_feature, weight_init_fn, bias_init_fn):
        self.W = _initialised("weight_init_fn", weight_init_fn, in_feature, out_feature)
        self.b = _initialised("bias_init_fn", bias_init_fn, out_feature)
        self.x = self._pullback = None
        self.dW, self.db = np.zeros_like(self.W), np.zeros_like(self.b)
        self.momentum_W, self.momentum_b = np.zeros_like(self.W), np.zeros_like(self.b)

    def forward(self, x):
        self.x = _batch("Linear", x, len(self.W))
        out, self._pullback = vjp(lambda x, W, b: x @ W + b, self.x, _float64(self.W), _float64(self.b))
        return out

    def backward(self, delta):
        """The derivative by x, from that by the output; sets dW and db, averaged over the batch."""
        dx, dW, db = _after_forward(self, self._pullback)(delta)
        self.dW, self.db = dW / len(dx), db / len(dx)
        return dx


def _initialised(name, init_fn, *shape):
    """init_fn(*shape) as a float64 array of its own, with at least one row."""
    value = np.array(init_fn(*shape), dtype=np.float64, ndmin=2)
    expected = shape if len(shape) == 2 else (1, *shape)
    if value.shape != expected:
        raise ValueError(f"Linear: {name}{shape} returned shape {value.shape}; it must be {expected}")
    return value


def _float64(x):
    return np.asarray(x, dtype=np.float64)


def _batch(name, x, columns):
    """`x` in float64, if it is a batch of rows with so many columns."""
    x = _float64(x)
    if x.ndim != 2 or x.shape[1] != columns:
        raise ValueError(f"{name}: the input has shape {x.shape}; it must be (batch size, {columns})")
    return x


# ----- the network (3.5) -----


class MLP(Layer):
    """Linear -> BatchNorm (in the first `num_bn_layers` layers) -> activation, layer after layer, with its update rule.

    activations: one object a layer, so one more than `hiddens`, and none of them twice.
    """

    def __init__(
        self, input_size, output_size, hiddens, activations, weight_init_fn, bias_init_fn, criterion, lr,
        momentum=0.0, num_bn_layers=0,
    ):  # fmt: skip
        sizes = list(pairwise((input_size, *hiddens, output_size)))
        if len(activations) != len(sizes):
            raise ValueError(f"MLP: {len(activations)} activations are given for {len(sizes)} layers; give one a layer")
        with_state = [act for act in activations if not isinstance(act, Identity)]
        if len({id(act) for act in with_state}) < len(with_state):
            raise ValueError("MLP: an activation keeps the state of one layer; give each layer an object of its own")
        if not 0 <= num_bn_layers <= len(sizes):
            raise ValueError(f"MLP: num_bn_layers is {num_bn_layers}; with {len(sizes)} layers give 0 to {len(sizes)}")
        self.input_size = input_size
        self.output_size = output_size
        self.activations = activations
        self.criterion = criterion
        self.lr = lr
        self.momentum = momentum
        self.num_bn_layers = num_bn_layers
        self.linear_layers = [Linear(i, o, weight_init_fn, bias_init_fn) for i, o in sizes]
        self.bn_layers = [BatchNorm(o) for _, o in sizes[:num_bn_layers]] or None
        self.train_mode = True
        self.output = None

    def forward(self, x):
        """The output for a batch, (batch size, output_size)."""
        for linear, bn, activation in self._layers():
            x = linear(x)
            if bn:
                x = bn(x, eval=not self.train_mode)
            x = activation(x)
        self.output = x
        self._differentiable = self.train_mode or not self.bn_layers
        return x

    def backward(self, labels):
        """Sets the gradients of all parameters for the loss of the last output."""
        output = _after_forward(self, self.output)
        if not self._differentiable:
            raise RuntimeError("MLP: the last forward was an evaluation; call train() and forward before backward")
        self.criterion(output, labels)
        delta = self.criterion.derivative()
        for linear, bn, activation in reversed(self._layers()):
            delta = delta * activation.derivative()
            if bn:
                delta = bn.backward(delta)
            delta = linear.backward(delta)

    def zero_grads(self):
        for linear, bn, _ in self._layers():
            linear.dW, linear.db = np.zeros_like(linear.dW), np.zeros_like(linear.db)
            if bn:
                bn.dgamma, bn.dbeta = np.zeros_like(bn.dgamma), np.zeros_like(bn.dbeta)

    def step(self):
        """One step of gradient descent: with momentum for W and b (3.5.3), plain for gamma and beta."""
        for linear, bn, _ in self._layers():
            linear.momentum_W = self.momentum * linear.momentum_W - self.lr * linear.dW
            linear.momentum_b = self.momentum * linear.momentum_b - self.lr * linear.db
            linear.W = linear.W + linear.momentum_W
            linear.b = linear.b + linear.momentum_b
            if bn:
                bn.gamma = bn.gamma - self.lr * bn.dgamma
                bn.beta = bn.beta - self.lr * bn.dbeta

    def train(self):
        self.train_mode = True

    def eval(self):
        self.train_mode = False

    def error(self, labels):
        """How many examples of the last batch are classified wrongly."""
        output = _after_forward(self, self.output)
        return (np.argmax(output, axis=1) != np.argmax(labels, axis=1)).sum()

    def total_loss(self, labels):
        """The criterion of the last output, summed over the batch."""
        return self.criterion(_after_forward(self, self.output), labels).sum()

    def _layers(self):
        """(linear, batch norm or None, activation) for each layer."""
        without = len(self.linear_layers) - self.num_bn_layers
        bn_layers = [*(self.bn_layers or ()), *[None] * without]
        return list(zip(self.linear_layers, bn_layers, self.activations, strict=True))


# ----- training statistics (3.6) -----


def get_training_stats(mlp, dset, nepochs, batch_size):
    """Trains `mlp`; returns training losses and errors, validation losses and errors, each of shape (nepochs,).

    dset: ((train_x, train_y), (val_x, val_y), test), labels one-hot; the test set is not used.
    Losses are means an example, errors fractions; those of training are taken as the batches go by.
    """
    (train_x, train_y), (val_x, val_y), _ = dset
    order = np.arange(len(train_x))
    stats = np.zeros((4, nepochs))
    for epoch in range(nepochs):
        np.random.shuffle(order)  # noqa: NPY002 - the handout's global state, which its users seed
        mlp.train()
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            mlp.zero_grads()
            mlp.forward(train_x[batch])
            mlp.backward(train_y[batch])
            mlp.step()
            stats[:2, epoch] += mlp.total_loss(train_y[batch]), mlp.error(train_y[batch])
        mlp.eval()
        mlp.forward(val_x)
        stats[2:, epoch] = mlp.total_loss(val_y), mlp.error(val_y)
    stats /= np.array([[len(train_x)], [len(train_x)], [len(val_x)], [len(val_x)]])
    return tuple(stats)
