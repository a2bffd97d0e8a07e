"""Every layer and loss by one table: first and second derivatives, by inputs and parameters, agree with differences."""

import numpy as np
import pytest

import mytorch as mt
from mytorch import nn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3))
SEQUENCE = RNG.normal(size=(2, 3, 4))  # (N, C, L)
CLASSES = np.array([0, 2, 1, 1, 0])
PROBABILITIES = RNG.dirichlet(np.ones(3), size=5)
TARGET = RNG.normal(size=(5, 3))


def in_use(layer, x=X):
    """The layer in evaluation, with running averages of its own."""
    layer(mt.tensor(x))
    return layer.eval()


class Scale(nn.Module):
    """A layer of one's own: what the base class does with parameters."""

    def __init__(self):
        self.factors = [nn.Parameter(np.array([1.5, -0.5, 2.0]))]

    def forward(self, x):
        return x * self.factors[0]


def mlp(**options):
    return nn.MLP(3, [4], 2, activation=nn.Tanh, rng=0, **options)


ROWS = [  # a function that makes the layer, and what it is called with
    (Scale, X),
    (nn.Identity, X),
    (nn.Sigmoid, X),
    (nn.Tanh, X),
    (nn.ReLU, X),
    (lambda: nn.Linear(3, 2, rng=0), X),
    (lambda: nn.Linear(3, 2, bias=False, rng=0), X),
    (lambda: nn.Linear(3, 2, rng=0), X[0]),
    (lambda: nn.Linear(4, 2, rng=0), SEQUENCE),
    (lambda: nn.BatchNorm1d(3), X),
    (lambda: nn.BatchNorm1d(3, eps=0.1, affine=False), X),
    (lambda: nn.BatchNorm1d(3, momentum=None), SEQUENCE),
    (lambda: nn.BatchNorm1d(3, track_running_stats=False).eval(), X),
    (lambda: in_use(nn.BatchNorm1d(3)), X),
    (lambda: in_use(nn.BatchNorm1d(3, affine=False), SEQUENCE), SEQUENCE),
    *((lambda r=r: nn.CrossEntropyLoss(reduction=r), X, CLASSES) for r in ("mean", "sum", "none")),
    (lambda: nn.CrossEntropyLoss(label_smoothing=0.2), X, CLASSES),
    (lambda: nn.CrossEntropyLoss(), X, PROBABILITIES),
    (lambda: nn.CrossEntropyLoss("none", label_smoothing=0.1), X, PROBABILITIES),
    *((lambda r=r: nn.MSELoss(r), X, TARGET) for r in ("mean", "sum", "none")),
    (lambda: nn.Sequential(nn.Linear(3, 4, rng=0), nn.BatchNorm1d(4), nn.Sigmoid(), nn.Linear(4, 2, rng=1)), X),
    (mlp, X),
    (lambda: mlp(batch_norm=True), X),
    (lambda: in_use(mlp(batch_norm=True)), X),
]
MADE = [make() for make, *_ in ROWS]


def test_every_layer_has_a_row():
    """A class of layers in mytorch.nn that is in no row fails here."""
    classes = {x for x in vars(nn).values() if isinstance(x, type) and issubclass(x, nn.Module)}
    checked = {kind for layer in MADE for module in layer.modules() for kind in type(module).__mro__}

    assert classes - checked == set()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: None)
def test_gradients(row):
    """To second order, in float64, whatever dtype the layer has."""
    make, *inputs = row
    layer = make()
    before = layer.state_dict()
    report = mt.gradcheck(layer, *inputs, order=2)

    names = [name for name, _ in layer.named_parameters()]
    assert names == [label for label in report.levels[0].problem.labels if not label.startswith("input")]
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
