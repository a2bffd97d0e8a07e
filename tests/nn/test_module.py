"""Module: names, order and layouts are PyTorch's; loading is all or nothing; a module is an ordinary object."""

import copy
import pickle
import re

import numpy as np
import pytest

import mytorch as mt
from mytorch import nn


def small():
    return nn.Sequential(nn.Linear(3, 4, rng=0), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2, bias=False, rng=1))


class Net(nn.Module):
    """Modules and parameters as plain attributes, in a list, in a dict, and one module under two names."""

    def __init__(self):
        self.body = [nn.Linear(2, 2, rng=0), nn.Linear(2, 2, rng=1)]
        self.heads = {"a": nn.Linear(2, 1, rng=2), "b": nn.Linear(2, 1, rng=3)}
        self.tied = self.body[0]
        self.scale = nn.Parameter([1.0])
        self.count = mt.tensor(0)
        self._cache = mt.tensor([1.0, 2.0])

    def forward(self, x):
        for layer in self.body:
            x = layer(x)
        return self.heads["a"](x) * self.scale


# What PyTorch gives for Sequential(Linear(3, 4), BatchNorm1d(4), ReLU(), Linear(4, 2, bias=False)).
TORCH_STATE = [
    ("0.weight", (4, 3), "float32"),
    ("0.bias", (4,), "float32"),
    ("1.weight", (4,), "float32"),
    ("1.bias", (4,), "float32"),
    ("1.running_mean", (4,), "float32"),
    ("1.running_var", (4,), "float32"),
    ("1.num_batches_tracked", (), "int64"),
    ("3.weight", (2, 4), "float32"),
]

# ----- parameters and buffers -----


def test_state_dict_has_pytorchs_keys_order_and_layouts():
    """Keys, their order, shapes and dtypes are those of the same model in PyTorch."""
    actual = [(name, x.shape, str(x.dtype)) for name, x in small().state_dict().items()]

    assert actual == TORCH_STATE


def test_state_dict_holds_contiguous_copies():
    """The arrays of a state are the caller's own, C-contiguous: they can be changed and saved as they are."""
    model = nn.Linear(3, 2, rng=0)
    model.weight.data = np.asfortranarray(model.weight.data)
    before = model.weight.numpy().copy()
    state = model.state_dict()
    assert all(type(x) is np.ndarray and x.flags.c_contiguous for x in state.values())

    state["weight"][:] = 0

    np.testing.assert_array_equal(model.weight.data, before)


def test_parameters_and_buffers_are_told_apart():
    """Parameters are what is trained; running statistics are buffers."""
    model = small()

    assert [name for name, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.weight", "1.bias", "3.weight"]
    assert [name for name, _ in model.named_buffers()] == [
        "1.running_mean",
        "1.running_var",
        "1.num_batches_tracked",
    ]
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in model.parameters())
    assert not any(b.requires_grad for b in model.buffers())


def test_containers_are_looked_into():
    """Modules in lists and dicts are found under the names of PyTorch's ModuleList and ModuleDict."""
    assert list(Net().state_dict()) == [
        "scale",
        "count",
        "body.0.weight",
        "body.0.bias",
        "body.1.weight",
        "body.1.bias",
        "heads.a.weight",
        "heads.a.bias",
        "heads.b.weight",
        "heads.b.bias",
        "tied.weight",
        "tied.bias",
    ]


def test_shared_parameters_appear_once():
    """What is held twice is one parameter, one module; a state has it under both names."""
    net = Net()
    names = [name for name, _ in net.named_parameters()]

    assert "body.0.weight" in names and "tied.weight" not in names
    assert len(names) == 9
    assert [name for name, _ in net.named_modules()] == ["", "body.0", "body.1", "heads.a", "heads.b"]
    assert [name for name, _ in net.named_children()] == ["body.0", "body.1", "heads.a", "heads.b"]


def test_frozen_parameters_stay_parameters():
    """A frozen parameter is listed and saved, and gets no gradient."""
    model = small()
    model[0].requires_grad_(False)
    names = [name for name, _ in model.named_parameters()]

    model(np.ones((2, 3), np.float32) * [[1], [2]]).sum().backward()
    model.zero_grad()
    model(np.ones((2, 3), np.float32) * [[1], [2]]).sum().backward()

    assert "0.weight" in names and "0.weight" in model.state_dict()
    assert model[0].weight.grad is None
    assert model[3].weight.grad is not None


def test_what_forward_keeps_is_not_state():
    """Tensors with a history and tensors under a leading underscore are not saved."""
    model = small()
    model.seen = model[0](np.ones((2, 3)))
    model._mask = mt.tensor([1.0])

    assert list(model.state_dict()) == [name for name, _, _ in TORCH_STATE]


def test_operations_on_parameters_give_plain_tensors():
    """Only the parameter itself is a Parameter."""
    p = nn.Parameter(np.ones(2))

    assert isinstance(p, mt.Tensor) and p.requires_grad and p.is_leaf
    assert type(p * 2) is mt.Tensor
    assert not nn.Parameter(np.ones(2), requires_grad=False).requires_grad


# ----- loading -----


def test_a_state_goes_round():
    """A model takes over another's state, and then gives the same answers."""
    a, b = small(), nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2, bias=False))
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    a(x)

    assert b.load_state_dict(a.state_dict()) == ([], [])
    np.testing.assert_array_equal(b.eval()(x).data, a.eval()(x).data)
    assert b[1].num_batches_tracked.item() == 1


def test_loading_keeps_identity_dtype_and_the_givers_arrays():
    """Loading replaces values: the parameters, their dtype and the arrays given stay what they were."""
    model = nn.Linear(3, 2, dtype=np.float32)
    weight, state = model.weight, {"weight": np.ones((2, 3)), "bias": mt.tensor([1.0, 2.0])}

    model.load_state_dict(state)
    with mt.no_grad():
        model.weight += 1

    assert model.weight is weight and weight.dtype == np.float32 and weight.requires_grad
    assert state["weight"].dtype == np.float64 and (state["weight"] == 1).all()
    np.testing.assert_array_equal(model.bias.data, [1, 2])


def test_one_error_names_all_that_is_wrong_and_nothing_changes():
    """Missing, unexpected, wrongly shaped and wrongly typed entries stand in one message; the model is as before."""
    model = small()
    before, state = model.state_dict(), small().state_dict()
    state["0.weight"] = state["0.weight"].T + 1
    state["0.bias"] = state["0.bias"] + 1
    state["1.num_batches_tracked"] = np.array(1.5)
    del state["3.weight"]
    state["4.weight"] = np.ones(3)

    with pytest.raises(ValueError) as error:
        model.load_state_dict(state)

    message = str(error.value)
    assert message.startswith("load_state_dict: the state does not fit this Sequential: ")
    assert "missing 3.weight" in message
    assert "unexpected 4.weight" in message
    assert "0.weight has shape (3, 4), the model's has (4, 3)" in message
    assert "1.num_batches_tracked has dtype float64, the model's has int64" in message
    assert "strict=False" in message
    for name, x in model.state_dict().items():
        np.testing.assert_array_equal(x, before[name])


def test_not_strict_takes_over_what_is_common():
    """strict=False returns what is missing and unexpected, and still refuses wrong shapes."""
    model = nn.Linear(3, 2)

    assert model.load_state_dict({"weight": np.ones((2, 3)), "scale": 1.0}, strict=False) == (["bias"], ["scale"])
    np.testing.assert_array_equal(model.weight.data, np.ones((2, 3)))
    with pytest.raises(ValueError, match=re.escape("weight has shape (3, 2), the model's has (2, 3)")):
        model.load_state_dict({"weight": np.ones((3, 2))}, strict=False)


# ----- mode, gradients, dtype -----


def test_train_and_eval_reach_every_module():
    """Modes are set all the way down, and both methods return the module."""
    net = Net()

    assert net.eval() is net and not any(m.training for m in net.modules())
    assert net.train() is net and all(m.training for m in net.modules())


def test_zero_grad_forgets_gradients():
    """After zero_grad every grad is None."""
    model = small()
    model(np.eye(3, dtype=np.float32)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())

    model.zero_grad()

    assert all(p.grad is None for p in model.parameters())


def test_gradients_accumulate_until_forgotten():
    """Two backward passes add up."""
    layer = nn.Linear(2, 1, rng=0)
    for _ in range(2):
        layer(np.ones((3, 2), np.float32)).sum().backward()

    np.testing.assert_array_equal(layer.weight.grad.data, [[6, 6]])


def test_to_converts_values_and_gradients():
    """to(dtype) converts parameters, gradients and floating buffers in place, integers not at all."""
    model = small()
    model(np.eye(3, dtype=np.float32)).sum().backward()
    weight = model[0].weight

    assert model.to(np.float64) is model
    assert model[0].weight is weight and weight.dtype == weight.grad.dtype == np.float64
    assert model[1].running_var.dtype == np.float64 and model[1].num_batches_tracked.dtype == np.int64
    assert model(np.eye(3)).dtype == np.float64
    with pytest.raises(TypeError, match="floating dtype, int32 is none"):
        model.to(np.int32)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"])
def test_modules_can_be_copied_and_pickled(clone):
    """A clone has the same values in memory of its own, frozen parameters frozen, shared ones shared."""
    net = Net()
    net.scale.requires_grad = False
    twin = clone(net)

    for (name, x), (other, y) in zip(net.state_dict().items(), twin.state_dict().items(), strict=True):
        assert name == other
        np.testing.assert_array_equal(x, y)
    assert isinstance(twin.scale, nn.Parameter) and not twin.scale.requires_grad and twin.body[1].weight.requires_grad
    assert twin.tied is twin.body[0] is not net.body[0]


# ----- use -----


def test_a_subclass_needs_no_call_of_super():
    """A class with attributes and a forward is a module."""
    net = Net()

    net(np.ones((3, 2))).sum().backward()

    assert net.scale.grad.shape == (1,)


def test_a_class_without_forward_says_so():
    """Calling it names the class and what to define."""

    class Empty(nn.Module):
        pass

    with pytest.raises(TypeError, match="Empty has no forward: define"):
        Empty()(1)


def test_repr_shows_the_structure():
    """A repr reads like PyTorch's: a line a layer, nested by indentation."""
    model = nn.Sequential(small()[:2], nn.Tanh())

    assert repr(model) == (
        "Sequential(\n"
        "  (0): Sequential(\n"
        "    (0): Linear(in_features=3, out_features=4, bias=True)\n"
        "    (1): BatchNorm1d(4, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)\n"
        "  )\n"
        "  (1): Tanh()\n"
        ")"
    )
    assert repr(nn.CrossEntropyLoss()) == "CrossEntropyLoss()"
    assert "(heads.a): Linear(in_features=2, out_features=1, bias=True)" in repr(Net())


# ----- functional_call -----


def test_functional_call_puts_other_values_in_place():
    """The answer is that of the given values; the module and its gradients are as before."""
    layer = nn.Linear(2, 1, rng=0)
    before = layer.state_dict()
    w = mt.tensor(np.array([[3.0, 4.0]], np.float32), requires_grad=True)

    y = nn.functional_call(layer, {"weight": w, "bias": np.zeros(1, np.float32)}, np.ones((1, 2), np.float32))
    y.sum().backward()

    assert y.item() == 7
    np.testing.assert_array_equal(w.grad.data, [[1, 1]])
    assert layer.weight.grad is None and layer.weight.requires_grad
    for name, x in layer.state_dict().items():
        np.testing.assert_array_equal(x, before[name])


def test_functional_call_restores_after_an_error():
    """An exception inside leaves the module as it was."""
    layer = nn.Linear(2, 1, rng=0)
    before = layer.weight.numpy()

    with pytest.raises(ValueError, match="Linear: the input has 3 features"):
        nn.functional_call(layer, {"weight": np.zeros((1, 2))}, np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"this Linear has no wieght; it has weight, bias"):
        nn.functional_call(layer, {"wieght": np.zeros((1, 2))}, np.ones((1, 2)))

    np.testing.assert_array_equal(layer.weight.data, before)
