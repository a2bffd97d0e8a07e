"""Optimizers: the published formulas, in the parameter's dtype, in place, and seen by the engine."""

import numpy as np
import pytest

import mytorch as mt
from mytorch.train import optim
from mytorch.train.optim import SGD, Adam, AdamW

# ----- the formulas, from the papers -----


def sgd(p, gradients, lr, momentum=0, dampening=0, weight_decay=0, nesterov=False):
    v = None
    for g in gradients:
        g = g + weight_decay * p
        v = g if v is None else momentum * v + (1 - dampening) * g
        p = p - lr * (g + momentum * v if nesterov else v if momentum else g)
    return p


def adam(p, gradients, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, decoupled=False):
    (b1, b2), m, v = betas, 0, 0
    for n, g in enumerate(gradients, 1):
        if decoupled:
            p = p - lr * weight_decay * p
        else:
            g = g + weight_decay * p
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        p = p - lr * (m / (1 - b1**n)) / (np.sqrt(v / (1 - b2**n)) + eps)
    return p


def adamw(p, gradients, lr, weight_decay=0.01, **options):
    return adam(p, gradients, lr, weight_decay=weight_decay, decoupled=True, **options)


ROWS = [
    (SGD, sgd, {"lr": 0.1}),
    (SGD, sgd, {"lr": 0.1, "momentum": 0.9}),
    (SGD, sgd, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    (SGD, sgd, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    (SGD, sgd, {"lr": 0.1, "weight_decay": 0.2}),
    (SGD, sgd, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.2}),
    (SGD, sgd, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.2}),
    (Adam, adam, {"lr": 0.1}),
    (Adam, adam, {"lr": 0.1, "betas": (0.0, 0.5), "eps": 0.1}),
    (Adam, adam, {"lr": 0.1, "weight_decay": 0.2}),
    (AdamW, adamw, {"lr": 0.1}),
    (AdamW, adamw, {"lr": 0.1, "betas": (0.5, 0.9), "eps": 0.1, "weight_decay": 0.2}),
]
NAMES = [f"{make.__name__}-{'-'.join(options)}" for make, _, options in ROWS]
SHAPES = [(3, 4), (4,), ()]


def trained(make, options, gradients, dtype=np.float64, steps=slice(None)):
    """Parameters of ones, moved once by each of the gradients."""
    params = [mt.tensor(np.ones(shape, dtype), requires_grad=True) for shape in SHAPES]
    optimizer = make(params, **options)
    for given in gradients[steps]:
        for p, g in zip(params, given, strict=True):
            p.grad = g.astype(dtype)
        optimizer.step()
    return params, optimizer


@pytest.fixture
def gradients():
    """Ten gradients for parameters of SHAPES."""
    rng = np.random.default_rng(0)
    return [[np.asarray(rng.normal(size=shape)) for shape in SHAPES] for _ in range(10)]


@pytest.mark.parametrize(("make", "formula", "options"), ROWS, ids=NAMES)
def test_ten_steps_follow_the_formula(make, formula, options, gradients):
    """Every optimizer with every option, for a matrix, a vector and a number."""
    params, _ = trained(make, options, gradients)

    for p, shape, given in zip(params, SHAPES, zip(*gradients, strict=True), strict=True):
        np.testing.assert_allclose(p.numpy(), formula(np.ones(shape), given, **options), rtol=1e-12)


@pytest.mark.parametrize(("make", "formula", "options"), ROWS, ids=NAMES)
def test_float32_stays_float32(make, formula, options, gradients):
    """Parameters and all that is remembered of them, also where an option is one of numpy's numbers."""
    options = {k: np.float64(v) if k == "lr" else v for k, v in options.items()}

    params, optimizer = trained(make, options, gradients, np.float32)

    kept = [x for state in optimizer.state_dict()["state"].values() for x in state.values()]
    assert {x.dtype for x in (*params, *kept) if hasattr(x, "dtype")} == {np.dtype(np.float32)}
    for p, shape, given in zip(params, SHAPES, zip(*gradients, strict=True), strict=True):
        np.testing.assert_allclose(p.numpy(), formula(np.ones(shape), given, **options), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("make", "lr"), [(SGD, 1e-3), (Adam, 1e-3), (AdamW, 1e-3)])
def test_defaults_are_those_of_torch(make, lr):
    """lr, betas, eps and decay; momentum is off."""
    group = make([mt.tensor(1.0, requires_grad=True)]).param_groups[0]
    expected = {
        SGD: {"lr": lr, "momentum": 0, "dampening": 0, "weight_decay": 0, "nesterov": False},
        Adam: {"lr": lr, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0},
        AdamW: {"lr": lr, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01},
    }

    assert {k: v for k, v in group.items() if k != "params"} == expected[make]


@pytest.mark.parametrize("make", [Adam, AdamW])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_adams_first_step_has_the_length_of_the_rate(make, size):
    """However large the gradient is: p -= lr * sign(g), up to eps."""
    p = mt.tensor([0.0, 0.0], requires_grad=True)
    p.grad = np.array([size, -size])

    make([p], lr=0.1).step()

    np.testing.assert_allclose(p.numpy(), [-0.1, 0.1], rtol=2e-5)


# ----- in place -----


def test_a_step_writes_into_the_parameters_own_memory():
    """No new array a step: the parameter stays where it was."""
    p = mt.tensor(np.ones((3, 4)), requires_grad=True)
    optimizer, place = SGD([p], lr=0.1, momentum=0.9), p.numpy().ctypes.data
    for _ in range(3):
        (p * p).sum().backward()
        optimizer.step()

    assert p.numpy().ctypes.data == place
    assert (p.numpy() != 1).all()


def test_a_copy_or_view_taken_before_a_step_keeps_what_it_saw():
    """A Tensor is a value, also while its parameter is trained."""
    p = mt.tensor(np.ones((2, 2)), requires_grad=True)
    detached, array, row = p.detach(), p.numpy(), p.detach()[0]
    p.grad = np.ones((2, 2))

    SGD([p], lr=1.0).step()

    assert (p.numpy() == 0).all()
    for seen in (detached.numpy(), array, row.numpy()):
        assert (seen == 1).all()


def test_a_backward_through_a_value_from_before_a_step_is_an_error():
    """It would use the new parameter for the old value; the message names the operation and the line of the step."""
    p = mt.tensor([1.0, 2.0], requires_grad=True)
    y = (p * p).sum()
    p.grad = np.ones(2)
    SGD([p], lr=0.1).step()

    with pytest.raises(RuntimeError, match=r"multiply.*changed in place.*test_optim\.py"):
        y.backward()


def test_what_has_no_gradient_or_is_frozen_stays():
    """And is not remembered either."""
    moved, without, frozen = (mt.tensor([1.0], requires_grad=True) for _ in range(3))
    optimizer = SGD([moved, without, frozen], lr=0.1, momentum=0.9, weight_decay=0.1)
    moved.grad = frozen.grad = np.ones(1)
    frozen.requires_grad = False

    optimizer.step()

    assert [p.item() for p in (moved, without, frozen)] == [0.89, 1.0, 1.0]
    assert list(optimizer.state_dict()["state"]) == [0]


def test_a_step_leaves_gradients_and_zero_grad_takes_them():
    """A second step without another backward moves by the same gradient."""
    p = mt.tensor([1.0], requires_grad=True)
    p.grad = np.ones(1)
    optimizer = SGD([p], lr=0.25, weight_decay=0.0)
    optimizer.step()
    optimizer.step()

    assert (p.item(), p.grad.item()) == (0.5, 1.0)
    optimizer.zero_grad()
    assert p.grad is None


# ----- rates and groups -----


def test_the_rate_can_be_set():
    """It applies from the next step on, to the momentum of earlier steps too."""
    p = mt.tensor([0.0], requires_grad=True)
    p.grad = np.ones(1)
    optimizer = SGD([p], lr=1.0, momentum=0.5)
    optimizer.step()
    optimizer.lr = 0.1
    optimizer.step()

    assert optimizer.lr == 0.1
    assert p.item() == pytest.approx(-1 - 0.1 * 1.5)


def test_groups_have_options_of_their_own():
    """What a group does not set is the optimizer's."""
    a, b = (mt.tensor([1.0], requires_grad=True) for _ in range(2))
    optimizer = SGD([{"params": a}, {"params": [b], "lr": 0.5, "weight_decay": 1.0}], lr=0.1)
    a.grad = b.grad = np.ones(1)

    optimizer.step()

    assert (a.item(), b.item()) == (0.9, 0.0)
    optimizer.lr = 0.2
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.2]


@pytest.mark.parametrize(("name", "rates"), [("linear", [1, 0.75, 0]), ("constant", [1, 1, 1])])
def test_schedules(name, rates):
    """The rate as a fraction of the first, at the start, after a quarter and at the end."""
    assert [optim.SCHEDULES[name](progress) for progress in (0, 0.25, 1)] == rates


# ----- saving and loading -----


@pytest.mark.parametrize(("make", "formula", "options"), ROWS, ids=NAMES)
def test_a_loaded_optimizer_goes_on_as_the_saved_one_would(make, formula, options, gradients):
    """Ten steps at once are bit for bit four steps, a save, a load into a new optimizer, and six."""
    whole, _ = trained(make, options, gradients)
    params, first = trained(make, options, gradients, steps=slice(4))
    saved = first.state_dict()
    trained(make, options, gradients)  # what others do does not change what was saved
    first.step()
    params = [mt.tensor(p, requires_grad=True) for p in trained(make, options, gradients, steps=slice(4))[0]]
    second = make(params, lr=123.0)

    second.load_state_dict(saved)
    for given in gradients[4:]:
        for p, g in zip(params, given, strict=True):
            p.grad = g
        second.step()

    assert [p.tolist() for p in params] == [p.tolist() for p in whole]


def test_a_state_of_another_optimizer_is_refused():
    """By name of the difference, and nothing has changed."""
    a, b = (mt.tensor(np.ones(n), requires_grad=True) for n in (2, 3))
    one, two = SGD([a], lr=0.1, momentum=0.9), SGD([a, b], lr=0.2)
    b.grad = np.ones(3)
    two.step()
    state = two.state_dict()

    with pytest.raises(ValueError, match=r"SGD: the saved optimizer had 2 parameters .*this one has 1 parameters"):
        one.load_state_dict(state)
    with pytest.raises(ValueError, match="Adam: the saved optimizer had 2 parameters with lr, momentum"):
        Adam([a, b]).load_state_dict(state)
    other = SGD([b, a], lr=0.3, momentum=0.9)
    b.grad, a.grad = np.ones(3), None
    other.step()
    swapped = SGD([a, b], lr=0.4, momentum=0.9)
    with pytest.raises(ValueError, match=r"momentum_buffer was saved with shape \(3,\), its parameter has \(2,\)"):
        swapped.load_state_dict(other.state_dict())
    assert (swapped.lr, swapped.state) == (0.4, {})


# ----- wrong arguments -----

P = mt.tensor([1.0], requires_grad=True)
WRONG = [
    (lambda: SGD([]), ValueError, "SGD: no parameters"),
    (lambda: SGD(P), TypeError, r"SGD: params is a Tensor; give it model.parameters\(\)"),
    (lambda: SGD(mt.nn.Linear(1, 1)), TypeError, r"SGD: params is a Linear; give it model.parameters\(\)"),
    (lambda: SGD([np.ones(2)]), TypeError, "SGD: a ndarray among the parameters"),
    (lambda: SGD([P * P]), ValueError, r"SGD: a tensor of shape \(1,\) was computed"),
    (lambda: SGD([P, P]), ValueError, "SGD: a parameter is given twice"),
    (lambda: SGD([P], lr=-1), ValueError, "SGD: lr must be a finite number from 0, not -1"),
    (lambda: SGD([P], lr=float("nan")), ValueError, "SGD: lr must be .* not nan"),
    (lambda: SGD([P], lr="0.1"), ValueError, "SGD: lr must be .* not '0.1'"),
    (lambda: SGD([P], momentum=-0.1), ValueError, "SGD: momentum must be"),
    (lambda: SGD([P], weight_decay=-0.1), ValueError, "SGD: weight_decay must be"),
    (lambda: SGD([P], nesterov=True), ValueError, "SGD: nesterov needs a momentum above 0 and no dampening"),
    (lambda: SGD([{"params": [P], "beta": 1}]), ValueError, "SGD: a group has params and any of lr, momentum"),
    (lambda: SGD([{"lr": 1}]), ValueError, "SGD: a group has params"),
    (lambda: Adam([P], betas=(0.9, 1.0)), ValueError, "Adam: betas must be two numbers from 0 to below 1"),
    (lambda: Adam([P], betas=0.9), ValueError, "Adam: betas must be two numbers from 0 to below 1"),
    (lambda: AdamW([P], eps=-1), ValueError, "AdamW: eps must be"),
    (lambda: setattr(SGD([P]), "lr", float("inf")), ValueError, "SGD: lr must be .* not inf"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG, ids=[row[2][:40] for row in WRONG])
def test_wrong_arguments_are_named(call, error, message):
    """At once, not at the first step."""
    with pytest.raises(error, match=message):
        call()


def test_zero_grad_of_a_frozen_parameter():
    """Its gradient goes too, and is not there when it moves again."""
    p = mt.nn.Parameter([1.0])
    optimizer = SGD([p], lr=1.0)
    (2 * p).sum().backward()
    p.requires_grad = False
    optimizer.zero_grad()
    p.requires_grad = True
    optimizer.step()

    assert p.grad is None
    assert p.tolist() == [1]


@pytest.mark.parametrize("n", [1, 2])
def test_a_parameter_that_was_given_a_computed_value(n):
    """The error says which operation gave it, and what to do."""
    params = [mt.nn.Parameter([1.0, 2.0]) for _ in range(n)]
    optimizer = SGD(params, lr=1.0)
    params[0][0] = mt.tensor(3.0, requires_grad=True)

    with pytest.raises(ValueError, match=r"SGD: a parameter of shape \(2,\) was given a computed value, by setitem"):
        optimizer.step()
