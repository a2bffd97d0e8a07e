"""Layers are compositions of operations: no rule of their own, and so derivatives of any order."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mytorch as mt
from mytorch import nn

SOURCES = sorted(Path(nn.__file__).parent.glob("**/*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_layer_has_a_rule_of_its_own(path):
    """nn calls neither primitive nor defvjp, and imports the standard library, numpy, autograd and itself."""
    tree = ast.parse(path.read_text())
    names = {getattr(node, "id", getattr(node, "attr", None)) for node in ast.walk(tree)}
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    names |= {alias.name for node in imports for alias in node.names}
    absolute = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    absolute |= {node.module for node in imports if isinstance(node, ast.ImportFrom) and node.level == 0}
    relative = {(node.level, node.module) for node in imports if isinstance(node, ast.ImportFrom) and node.level > 0}

    assert not names & {"primitive", "defvjp", "Op", "build"}
    assert {name.partition(".")[0] for name in absolute} <= sys.stdlib_module_names | {"numpy"}
    assert {module for level, module in relative if level > 1} <= {"autograd"}


def test_importing_nn_needs_numpy_alone():
    """Neither matplotlib, graphviz nor safetensors is loaded, and nothing of the folders beside it."""
    code = "import sys, mytorch.nn; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert "mytorch.nn.handout" in loaded
    assert not {"matplotlib", "graphviz", "safetensors", "tqdm", "mytorch.train", "mytorch.viz"} & set(loaded)


def model_and_loss():
    """A small model with batch norm, its parameters, and the loss as a function of these."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 4)), rng.integers(0, 3, 8)
    model = nn.MLP(4, [5, 4], 3, activation=nn.Tanh, batch_norm=True, dtype=np.float64, rng=1)
    params = {name: p.numpy().copy() for name, p in model.named_parameters()}
    return params, lambda p: nn.cross_entropy(nn.functional_call(model, p, x), y)


def test_first_derivatives_of_a_model():
    """The gradient of a loss along a direction is its central difference."""
    params, loss = model_and_loss()
    rng, h = np.random.default_rng(2), 1e-5
    v = {name: rng.normal(size=p.shape) for name, p in params.items()}

    gradient = mt.grad(loss)(params)

    slope = sum((gradient[name] * v[name]).sum() for name in params)
    ahead, behind = ({name: p + s * h * v[name] for name, p in params.items()} for s in (1, -1))
    np.testing.assert_allclose(slope, (loss(ahead).item() - loss(behind).item()) / (2 * h), rtol=1e-7)


def test_second_derivatives_of_a_model():
    """The Hessian times a vector is the central difference of the gradient, parameter by parameter."""
    params, loss = model_and_loss()
    rng, h = np.random.default_rng(3), 1e-5
    v = {name: rng.normal(size=p.shape) for name, p in params.items()}

    product = mt.hvp(loss, params, v)

    ahead, behind = (mt.grad(loss)({n: p + s * h * v[n] for n, p in params.items()}) for s in (1, -1))
    for name in params:
        difference = (ahead[name] - behind[name]) / (2 * h)
        np.testing.assert_allclose(product[name], difference, rtol=1e-5, atol=1e-8)


def test_layers_pass_the_gradient_checker():
    """First and second derivatives of layers and losses by their inputs are right."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(4, 3))
    linear = nn.Linear(3, 2, dtype=np.float64, rng=0)
    for f in (linear, nn.Sequential(linear, nn.Sigmoid()), nn.BatchNorm1d(3, dtype=np.float64)):
        mt.gradcheck(f, x, order=2)
    mt.gradcheck(lambda x: nn.cross_entropy(x, np.array([0, 1, 2, 0])), x, order=2)
    mt.gradcheck(lambda x: nn.mse_loss(x, x[::-1] * 2), x, order=2)


def test_a_small_model_learns():
    """Plain gradient descent on XOR reaches certainty, in float32 throughout."""
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    y = np.array([0, 1, 1, 0])
    model = nn.MLP(2, [8], 2, activation=nn.Tanh, rng=0)
    for _ in range(300):
        loss = nn.cross_entropy(model(x), y)
        model.zero_grad()
        loss.backward()
        with mt.no_grad():
            for p in model.parameters():
                p -= 0.5 * p.grad

    assert loss.item() < 0.05
    assert all(p.dtype == p.grad.dtype == np.float32 for p in model.parameters())
