"""Small parameters move together, and nobody can tell: every number is that of moving them one by one."""

import copy
import pickle

import numpy as np
import pytest

import mytorch as mt
from mytorch.train import flat
from mytorch.train.optim import SGD, Adam, AdamW

SHAPES = [(3, 4), (4,), (1, 2), (), (), (80, 80)]  # those of shape () and the large one move by themselves
OPTIMIZERS = {
    "SGD": lambda params: SGD(params, lr=0.1),
    "momentum": lambda params: SGD(params, lr=0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda params: SGD(params, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda params: Adam(params, lr=0.1, weight_decay=0.01),
    "AdamW": lambda params: AdamW(params, lr=0.1),
}


class Training:
    """Parameters, an optimizer, and what may happen to them between two steps."""

    def __init__(self, make, dtype, seed):
        self.rng = np.random.default_rng(seed)
        self.params = [mt.tensor(self.rng.normal(size=s).astype(dtype), requires_grad=True) for s in SHAPES]
        self.optimizer = make(self.params)
        self.kept = []

    def one(self):
        return self.params[self.rng.integers(len(self.params))]

    def step(self):
        for p in self.params:
            if p.requires_grad:
                p.grad = self.rng.normal(size=p.shape)
        self.optimizer.step()

    def some_without_gradient(self):
        self.optimizer.zero_grad()
        p = self.one()
        if p.requires_grad:
            p.grad = np.ones(p.shape)
        self.optimizer.step()

    def keep_detached(self):
        self.kept.append(self.one().detach())

    def keep_view(self):
        self.kept.append(self.one().numpy()[..., None])

    def let_go(self):
        self.kept.clear()

    def freeze(self):
        self.one().requires_grad = False

    def unfreeze(self):
        for p in self.params:
            p.requires_grad = True

    def set_data(self):
        p = self.one()
        p.data = self.rng.normal(size=p.shape).astype(p.dtype)

    def change_in_place(self):
        p = self.one()
        if p.requires_grad:
            with mt.no_grad():
                p *= 1.5

    def write_into_data(self):
        self.one().data[...] = 0.5

    def save_and_load(self):
        self.optimizer.load_state_dict(copy.deepcopy(self.optimizer.state_dict()))

    def change_rate(self):
        self.optimizer.lr = 0.05

    def numbers(self):
        state = self.optimizer.state_dict()["state"]
        yield from (np.array(p.data) for p in self.params)
        yield from (np.array(getattr(x, "data", x)) for x in self.kept)
        yield from (np.asarray(state[i][key]) for i in sorted(state) for key in sorted(state[i]))


EVENTS = [name for name in vars(Training) if not name.startswith("_") and name not in ("one", "numbers", "step")]


def run(make, dtype, seed, events):
    training = Training(make, dtype, seed)
    for event in events:
        getattr(training, event)()
    return [*training.numbers()]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_the_numbers_are_those_of_one_by_one(make, dtype, seed, monkeypatch):
    """Bit for bit: parameters, what the optimizer remembers, and what others have kept of older values."""
    draw = np.random.default_rng(seed)
    events = [name for _ in range(25) for name in ("step", "step", str(draw.choice(EVENTS)))]
    together = run(make, dtype, seed, events)
    monkeypatch.setattr(flat.Flat, "of", lambda *args: None)
    apart = run(make, dtype, seed, events)

    assert len(together) == len(apart)
    for a, b in zip(together, apart, strict=True):
        np.testing.assert_array_equal(a, b)


def test_small_parameters_share_memory():
    """After a step the small ones are pieces of one array, the large one is not; numbers of steps count for each."""
    training = Training(OPTIMIZERS["Adam"], np.float32, 0)
    training.step()
    training.step()

    bases = [p.data.base for p in training.params]
    assert bases[0] is not None
    assert [base is bases[0] for base in bases] == [True, True, True, False, False, False]
    state = training.optimizer.state_dict()["state"]
    assert [state[i]["step"] for i in sorted(state)] == [2] * len(SHAPES)


def test_an_optimizer_of_ones_own_is_asked_for_each_parameter():
    """A step by each parameter's own norm, and a state that is no Tensor, are as they are written."""

    class ByNorm(SGD):
        def _move(self, p, g, state, t, o):
            state["calls"] = state.get("calls", 0) + 1
            p -= o["lr"] * g / np.sqrt((g * g).sum())

    params = [mt.tensor(np.ones(n), requires_grad=True) for n in (2, 3)]
    optimizer = ByNorm(params, lr=1.0)
    for _ in range(2):
        for p in params:
            p.grad = np.ones(p.shape)
        optimizer.step()

    for p in params:
        np.testing.assert_allclose(p.data, 1 - 2 / np.sqrt(p.size))
        assert optimizer.state[p]["calls"] == 2


def test_a_number_of_steps_that_is_set():
    """Setting one parameter's number of steps sets that one's alone."""
    training = Training(OPTIMIZERS["Adam"], np.float64, 0)
    training.step()
    training.step()
    training.optimizer.state[training.params[1]]["step"].data[...] = 0
    training.step()

    state = training.optimizer.state_dict()["state"]
    assert [state[i]["step"] for i in range(3)] == [3, 1, 3]


def test_a_pickled_optimizer_has_no_scratch_memory():
    """Of a pickle and a copy the arrays in which parameters lie side by side are no part."""
    training = Training(OPTIMIZERS["Adam"], np.float64, 0)
    training.step()
    training.step()
    again = pickle.loads(pickle.dumps(training.optimizer))

    assert not hasattr(again, "_flats")
    again.step()


def test_a_step_that_is_interrupted_has_changed_its_parameters():
    """A graph from before is stale after it, for some of the parameters may have moved."""
    training = Training(OPTIMIZERS["momentum"], np.float64, 0)
    training.step()
    y = (training.params[0] * training.params[0]).sum()
    training.optimizer.param_groups[0]["lr"] = "a mistake"
    with pytest.raises(TypeError):
        training.step()

    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_a_graph_from_before_a_step_is_stale():
    """The error of a backward through an old value names the operation and the line of the step."""
    training = Training(OPTIMIZERS["momentum"], np.float64, 0)
    training.step()
    y = (training.params[0] * training.params[0]).sum()
    training.step()

    with pytest.raises(RuntimeError, match=r"`multiply` used a parameter of shape \(3, 4\) .*test_flat\.py:\d+"):
        y.backward()


def test_plain_and_compiled_steps_take_turns():
    """A compiled step moves the parameters into memory of its own; plain steps before and after it find them there."""
    results = []
    for compiled in (False, True):
        training = Training(OPTIMIZERS["momentum"], np.float64, 1)

        def step(x, training=training):
            training.optimizer.zero_grad()
            sum((p * p * x).sum() for p in training.params).backward()
            training.optimizer.step()

        fast = mt.compile(step) if compiled else step
        for k in range(9):
            (fast if k % 3 else step)(np.array(1.0 + k))
        results.append([*training.numbers()])

    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_a_copied_optimizer_goes_its_own_way():
    """copy.deepcopy of parameters and optimizer together: steps of the copy leave the original alone."""
    training = Training(OPTIMIZERS["momentum"], np.float64, 2)
    training.step()
    before = [*training.numbers()]
    other = copy.deepcopy(training)
    other.step()
    other.step()

    for a, b in zip(before, training.numbers(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(before, other.numbers(), strict=True))


@pytest.mark.parametrize("optimizer", ["momentum", "Adam"])
def test_parameters_that_change_their_shape(optimizer):
    """What is remembered in another shape is not read as if it were of this one: the step says so, as for one alone."""
    params = [mt.nn.Parameter(np.zeros((2, 3))) for _ in range(2)]
    opt = OPTIMIZERS[optimizer](params)
    for shape in ((2, 3), (3, 2)):
        for p in params:
            p.data = p.data.reshape(shape)
            p.grad = np.ones(shape)
        before = [p.tolist() for p in params]
        if shape == (2, 3):
            opt.step()
        else:
            with pytest.raises(ValueError, match=r"broadcast|shape"):
                opt.step()
            assert [p.tolist() for p in params] == before
