"""mt.compile: what a compiled step gives is what the plain one gives, or an error that names the line."""

import gc
import importlib
import itertools
import os
import re
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

import mytorch as mt
from mytorch import nn, train
from mytorch.autograd import defvjp, primitive
from mytorch.autograd.compile.program import Statement

SIZES = [6, 5, 4, 3]
rng = np.random.default_rng(0)
X = rng.normal(size=(7, 6)).astype(np.float32)
Y = np.array([0, 2, 1, 1, 0, 2, 2])


def here(pattern):
    """A pattern for a message that names a line of this file."""
    return rf"{pattern}.*{re.escape(Path(__file__).name)}:\d+"


class Training:
    """A model, its optimizer and a step; equal seeds make equal ones."""

    def __init__(self, optimizer=train.optim.SGD, batch_norm=False, dtype=np.float32, **options):
        mt.seed(0)
        self.model = nn.MLP(SIZES[0], SIZES[1:-1], SIZES[-1], nn.Tanh, batch_norm, dtype=dtype)
        self.optimizer = optimizer(self.model.parameters(), **options)

    def step(self, x, y):
        self.optimizer.zero_grad()
        loss = nn.cross_entropy(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss

    def state(self):
        return self.model.state_dict() | {f"grad {n}": p.grad.data for n, p in self.model.named_parameters()}


def pair(**options):
    """The same training twice, the second one's step compiled."""
    plain, other = Training(**options), Training(**options)
    return plain, other, mt.compile(other.step)


def assert_equal(a, b, rtol=2e-5):
    for key in a:
        assert a[key].dtype == b[key].dtype
        np.testing.assert_allclose(b[key], a[key], rtol=rtol, atol=rtol / 10, err_msg=key)


# ----- it computes what the function computes -----

OPTIMIZERS = {
    "momentum": {"lr": 0.1, "momentum": 0.9},
    "plain": {"lr": 0.1},
    "nesterov": {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    "dampening": {"lr": 0.1, "momentum": 0.9, "dampening": 0.5},
    "weight decay": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
    "Adam": {"optimizer": train.optim.Adam, "lr": 0.01},
    "AdamW": {"optimizer": train.optim.AdamW, "lr": 0.01},
    "batch norm": {"lr": 0.1, "momentum": 0.9, "batch_norm": True},
}


@pytest.mark.parametrize("options", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_thousand_steps(options):
    """After 1,000 steps parameters, gradients and running averages are those of the plain run, in float64 to 1e-9."""
    plain, other, step = pair(dtype=np.float64, **options)
    for _ in range(1000):
        expected, loss = plain.step(X, Y), step(X, Y)
        np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-9)

    assert_equal(plain.state(), other.state(), rtol=1e-9)
    assert len(step.steps) == 1


def test_float32_stays_float32():
    """A float32 step's answers, parameters and gradients are float32, and agree to its precision."""
    plain, other, step = pair(lr=0.1, momentum=0.9, batch_norm=True)
    for _ in range(20):
        expected, loss = plain.step(X, Y), step(X, Y)

    assert loss.dtype == np.float32
    np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-5)
    assert_equal(plain.state(), other.state())


@pytest.mark.parametrize("transform", [mt.grad, mt.hessian, mt.value_and_grad, mt.jacobian], ids=lambda f: f.__name__)
def test_transforms(transform):
    """Functions that differentiate compile, arrays in and arrays out."""
    f = transform(lambda w: (mt.tanh(X[:, :3] @ w) ** 2).sum())
    compiled = mt.compile(f)
    for w in (np.array([0.1, -0.2, 0.3]), np.array([0.4, 0.5, -0.6])):
        expected, found = f(w), compiled(w)
        for a, b in zip(expected, found, strict=True) if isinstance(expected, tuple) else [(expected, found)]:
            np.testing.assert_allclose(b, a, rtol=1e-12)


def test_hvp_of_nested_parameters():
    """A Hessian-vector product of a dict of parameters comes back as a dict."""
    params = {"w": rng.normal(size=(6, 3)), "b": rng.normal(size=3)}
    v = {"w": rng.normal(size=(6, 3)), "b": rng.normal(size=3)}

    def product(p, v):
        return mt.hvp(lambda p: nn.cross_entropy(mt.tanh(X.astype(float) @ p["w"] + p["b"]), Y), p, v)

    compiled = mt.compile(product)
    for scale in (1, 2):
        v = {k: scale * a for k, a in v.items()}
        assert_equal(product(params, v), compiled(params, v), rtol=1e-10)


def test_gradients_accumulate():
    """Without zero_grad the gradients of calls add up, as they do in plain steps."""
    plain, other = mt.tensor([1.0, 2.0], requires_grad=True), mt.tensor([1.0, 2.0], requires_grad=True)
    for x in (plain, other):
        x.grad = np.array([10.0, 20.0])
    f = mt.compile(lambda k: (other * other * k).sum().backward())
    for k in (1.0, 2.0, 3.0):
        (plain * plain * k).sum().backward()
        f(k)

    np.testing.assert_allclose(other.grad.data, plain.grad.data)


def test_the_gradient_of_an_argument():
    """A tensor that is passed in and requires grad gets its gradient, another tensor in every call."""
    f = mt.compile(lambda x: (x**3).sum().backward())
    for value in ([1.0, 2.0], [3.0, 4.0]):
        x = mt.tensor(value, requires_grad=True)
        f(x)

        np.testing.assert_allclose(x.grad.data, 3 * np.square(value))
        assert x.tolist() == value


def test_dropout_by_a_generator():
    """A generator that is passed in is advanced in every call, and draws what it draws in the plain one."""

    def f(x, rng):
        return (x * (rng.random(x.shape) < 0.5)).sum(axis=1), rng.normal(size=2), rng

    a, b, compiled = np.random.default_rng(1), np.random.default_rng(1), mt.compile(f)
    for _ in range(3):
        expected, found = f(X, a), compiled(X, b)
        for e, g in zip(expected[:2], found[:2], strict=True):
            np.testing.assert_allclose(g, e)

    assert a.bit_generator.state == b.bit_generator.state


def test_large_arrays_in_blocks():
    """Elementwise statements on large arrays run block by block, the last block being a shorter one."""

    def f(x, y):
        a = mt.tanh(x * 0.5 + y)
        b = mt.sqrt(a * a + 1) / (1 + mt.exp(-a))
        return b, mt.log(b) * x, (b * y).sum()

    g = mt.value_and_grad(lambda x, y: f(x, y)[2], argnums=(0, 1))
    compiled = mt.compile(lambda x, y: (f(x, y), g(x, y)))
    for scale in (1.0, 0.7):
        x, y = (scale * rng.normal(size=(3, 70_001)) for _ in range(2))
        for a, b in zip(
            mt.autograd.tree.flatten((f(x, y), g(x, y)))[0], mt.autograd.tree.flatten(compiled(x, y))[0], strict=True
        ):
            np.testing.assert_allclose(b, a, rtol=1e-12)
    assert "for " in compiled.source and "blocks" in compiled.source


def test_numbers_that_are_drawn():
    """One number from a generator is a Python number: float32 stays float32."""
    a, b = np.random.default_rng(1), np.random.default_rng(1)
    f = mt.compile(lambda x, rng: x * rng.normal() + rng.uniform(1, 2))
    for _ in range(3):
        y = f(X, b)
        expected = X * a.normal() + a.uniform(1, 2)

        assert y.dtype == np.float32
        np.testing.assert_allclose(y, expected, rtol=1e-6)


def test_two_updates_in_one_step():
    """An optimizer may step twice in one call."""
    plain, other = Training(lr=0.1, momentum=0.9), Training(lr=0.1, momentum=0.9)

    def twice(t):
        t.step(X, Y)
        return t.step(X, Y)

    compiled = mt.compile(lambda: twice(other))
    for _ in range(5):
        np.testing.assert_allclose(compiled().item(), twice(plain).item(), rtol=1e-5)
    assert_equal(plain.state(), other.state())


def test_states_that_are_exchanged():
    """What each state becomes is what the others were, in whatever order they are written."""
    a, b, c = (mt.tensor(np.full(3, value)) for value in (1.0, 2.0, 3.0))

    @mt.compile
    def step():
        a.data, b.data, c.data = b.data, c.data[::-1], a.data + b.data
        return a.detach()

    for _ in range(4):
        x, y, z = (np.array(t.data) for t in (a, b, c))
        given = step()
        for found, expected in zip((a, b, c, given), (y, z[::-1], x + y, y), strict=True):
            np.testing.assert_array_equal(found.data, expected)


# ----- a new program where one is needed, and only there -----


def test_shapes_and_dtypes():
    """Each shape and dtype has a program of its own, and those that were made stay."""
    plain, other, step = pair(lr=0.1, momentum=0.9)
    for n in (7, 5, 7, 5, 7):
        plain.step(X[:n], Y[:n])
        step(X[:n], Y[:n])
    for x in (plain.step, step):
        x(X.astype(np.float64), Y)

    assert_equal(plain.state(), other.state())
    assert len(step.steps) == 3


def test_many_programs():
    """A whole number that is another in every call makes programs without end; a warning says what to do."""
    f = mt.compile(lambda x, n: x + n)
    with pytest.warns(RuntimeWarning, match="32 programs.*as an array or a float"):
        for n in range(40):
            assert f(np.ones(1), n) == n + 1
    assert len(f.steps) == 32


def test_the_rate_is_looked_up():
    """A schedule that sets lr before each step makes no new programs."""
    plain, other, step = pair(lr=0.1, momentum=0.9)
    for k in range(6):
        plain.optimizer.lr = other.optimizer.lr = 0.1 / (k + 1)
        plain.step(X, Y)
        step(X, Y)

    assert_equal(plain.state(), other.state())
    assert len(step.steps) == 1


def test_training_and_evaluation():
    """The mode of a module is part of what a program is made for."""
    plain, other, step = pair(lr=0.1, batch_norm=True)
    for mode in (True, True, False, True, False):
        plain.model.train(mode)
        other.model.train(mode)
        np.testing.assert_allclose(step(X, Y).item(), plain.step(X, Y).item(), rtol=1e-5)

    assert_equal(plain.state(), other.state())


def test_numbers_that_change():
    """A Python number that the function can reach is noticed when it changes: a variable, an attribute, an option."""
    factor = 2.0

    class Scale:
        by = 3.0

    scale = Scale()
    scale.by, options = 3.0, {"more": 1.0}
    f = mt.compile(lambda x: x * factor * scale.by + options["more"])

    assert f(np.ones(1)) == 7
    factor = 5.0
    assert f(np.ones(1)) == 16
    scale.by = 1.0
    assert f(np.ones(1)) == 6
    options["more"] = 4.0
    assert f(np.ones(1)) == 9


def test_float_arguments():
    """A float among the arguments may be another in every call."""
    f = mt.compile(lambda x, a: (x * a, a * 2 + 1))
    for a in (1.0, 2.5, -3.0):
        y, b = f(np.ones(2, np.float32), a)

        assert (y.dtype, y.tolist(), b) == (np.float32, [a, a], a * 2 + 1)
    assert len(f.steps) == 1


def test_a_method():
    """A method can be compiled: its object is an argument."""

    class Scaled:
        def __init__(self, by):
            self.by = by

        @mt.compile
        def times(self, x):
            return x * self.by

    two, three = Scaled(2.0), Scaled(3.0)
    for _ in range(2):
        assert (two.times(np.ones(1)), three.times(np.ones(1))) == (2, 3)
    two.by = 5.0
    assert two.times(np.ones(1)) == 5


def test_frozen_parameters():
    """Parameters that are frozen after a call stay where they are."""
    plain, other, step = pair(lr=0.1, momentum=0.9)
    for k in range(4):
        if k == 2:
            for t in (plain, other):
                t.model[0].requires_grad_(False)
        plain.step(X, Y)
        step(X, Y)

    assert_equal(plain.model.state_dict(), other.model.state_dict())


def test_captured_arrays_are_read_anew():
    """What is written into an array that the function reads is seen."""
    mask = np.array([1.0, 0.0])
    f = mt.compile(lambda x: x * mask)
    f(np.ones(2))
    mask[:] = 7

    assert f(np.ones(2)).tolist() == [7, 7]


# ----- a tensor is a value -----


def test_answers_are_the_callers():
    """Answers of one call are untouched by the next."""
    f = mt.compile(lambda x: (x * 2, mt.exp(x), (x + 1).T, x))
    x = np.arange(6.0).reshape(2, 3)
    first = f(x)
    kept = [np.array(y) for y in first]
    f(x + 5)

    for y, k in zip(first, kept, strict=True):
        np.testing.assert_array_equal(y, k)


def test_what_was_taken_from_parameters_keeps_what_it_saw():
    """Detached tensors, views and kept gradients are those of their time, as with plain steps."""
    plain, other, step = pair(lr=0.1, momentum=0.9)
    seen = {"plain": [], "compiled": []}
    for t, f, name in ((plain, plain.step, "plain"), (other, step, "compiled")):
        for _ in range(6):
            f(X, Y)
            p = t.model[0].weight
            seen[name] += [p.detach(), p.numpy(), p.grad, p.detach().T, p.grad.numpy()]

    for a, b in zip(seen["plain"], seen["compiled"], strict=True):
        np.testing.assert_allclose(np.asarray(b), np.asarray(a), rtol=1e-4, atol=1e-6)


def test_gradients_that_are_kept_while_they_are_cleared():
    """A gradient that somebody took before zero_grad is his: the next call writes elsewhere."""
    _, other, step = pair(lr=0.1, momentum=0.9)
    for _ in range(3):
        step(X, Y)
    kept = [p.grad for p in other.model.parameters()]
    before = [np.array(g.data) for g in kept]
    other.optimizer.zero_grad()
    step(X, Y)

    for g, b in zip(kept, before, strict=True):
        np.testing.assert_array_equal(g.data, b)


def test_changes_between_calls():
    """Values that are set, loaded or moved in place between calls are where the next call starts from."""
    plain, other, step = pair(lr=0.1, momentum=0.9)
    saved = Training().model.state_dict()
    for k in range(8):
        for t in (plain, other):
            w = t.model[0].weight
            if k == 3:
                w.data = np.full(w.shape, 0.1, w.dtype)
            if k == 4:
                t.model.load_state_dict(saved)
            if k == 5:
                with mt.no_grad():
                    w[0] = 0.5
                    w *= 2
            if k == 6:
                t.optimizer.zero_grad()
        plain.step(X, Y)
        step(X, Y)

    assert_equal(plain.state(), other.state())


def test_two_compiled_functions_share_a_model():
    """A compiled step and a compiled evaluation see each other's parameters."""
    plain, other, step = pair(lr=0.1, momentum=0.9, batch_norm=True)

    def evaluate(model):
        with mt.no_grad():
            return nn.cross_entropy(model(X), Y)

    compiled = mt.compile(lambda: evaluate(other.model))
    for _ in range(4):
        plain.step(X, Y)
        step(X, Y)
        for t in (plain, other):
            t.model.eval()
        np.testing.assert_allclose(compiled().item(), evaluate(plain.model).item(), rtol=1e-5)
        for t in (plain, other):
            t.model.train()


def test_a_graph_from_before_a_step_is_stale():
    """A backward through values of parameters that a compiled step has changed since is an error that says where."""
    _, other, step = pair(lr=0.1)
    for _ in range(3):
        step(X, Y)
    loss = nn.cross_entropy(other.model(X), Y)
    step(X, Y)

    with pytest.raises(RuntimeError, match=r"changed in place since, at .*\.py:\d+, in a compiled step"):
        loss.backward()


# ----- what would be wrong is refused -----


def refused(f, *args, match, setup=()):
    with pytest.raises(mt.CompileError, match=match):
        mt.compile(f)(*args)


def test_control_flow_on_a_value():
    """`if` on a tensor's value is refused, with the line and the way out."""
    refused(lambda x: x if x.sum() > 0 else -x, X, match=here("decides what is done") + ".*mt.where")


@pytest.mark.parametrize("take", [float, int, lambda x: x.item(), lambda x: x.tolist(), range], ids=str)
def test_a_number_taken_out(take):
    """A Python number made of a tensor would be the same in every call."""
    refused(lambda x: x * len([take(mt.tensor(x).sum())]), np.ones(1), match=here("takes a number out"))


def test_printing():
    """Printing would happen once: text and tensors."""
    refused(lambda x: (print("hello"), x)[1], X, match=here("prints"))
    refused(lambda x: (f"{x}", x)[1], X, match=here("text"))


def test_randomness():
    """What is drawn from a generator that is not passed in would be the same in every call."""
    generator = np.random.default_rng(0)
    state = generator.bit_generator.state
    refused(
        lambda x: x + generator.normal(), X, match=here("draws from the random generator `generator`") + ".*argument"
    )
    refused(lambda x: x + np.random.rand(), X, match=here("draws from.*numpy.random") + ".*argument")  # noqa: NPY002
    assert generator.bit_generator.state == state


def test_side_effects():
    """Lists that grow, counters and arrays that change are refused by name."""
    history, count, total = [], [0], np.zeros(3)

    class Counter:
        calls = 0

    counter = Counter()
    counter.calls = 0

    def counts(x):
        counter.calls += 1
        return x

    def adds(x):
        np.add(total, x, out=total)

    def changes_its_argument(x):
        x += 1
        return x

    refused(lambda x: history.append(x), np.ones(3), match=here("appends to the list `history`"))
    refused(lambda x: count.__setitem__(0, count[0] + 1), np.ones(3), match=here("changes `count"))
    refused(counts, np.ones(3), match=here("changes `counter.calls`"))
    assert (history, count, counter.calls) == ([], [0], 0)  # as they were
    refused(adds, np.ones(3), match=here("array from outside is changed in place"))
    refused(changes_its_argument, np.ones(3), match="argument 0")


def test_shapes_that_depend_on_values():
    """Selecting by truths is refused: the program's shapes are fixed."""
    refused(lambda x: x[x > 0], X, match=here("depends on values"))
    refused(lambda x: np.nonzero(x), X, match=here("depends on values"))


def test_a_failed_run_leaves_everything_as_it_was():
    """An error in the function goes to the caller, and parameters, gradients and the optimizer are untouched."""
    t = Training(lr=0.1, momentum=0.9)
    t.step(X, Y)
    before = t.state()

    def fails(x, y):
        t.step(x, y)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        mt.compile(fails)(X, Y)
    for key, value in t.state().items():
        np.testing.assert_array_equal(value, before[key])
    t.step(X, Y)


def test_a_wrong_input_is_told_as_in_the_plain_step():
    """A class that does not exist is the plain step's error, also when the program is there, and changes nothing."""
    _, other, step = pair(lr=0.1, momentum=0.9)
    for _ in range(3):
        step(X, Y)
    before = other.model.state_dict()

    for wrong in (Y + 5, Y - 5):
        with pytest.raises(ValueError, match="classes run from"):
            step(X, wrong)
    assert_equal(before, other.model.state_dict(), rtol=0)


# ----- what cannot be compiled runs as it is -----


def test_a_graph_in_the_answer():
    """An answer to be differentiated outside cannot be compiled: one warning says so, and the function still works."""
    w = mt.tensor([1.0, 2.0], requires_grad=True)
    f = mt.compile(lambda x: (w * x).sum())
    with pytest.warns(RuntimeWarning, match="runs as it is.*graph"):
        f(np.ones(2)).backward()
    f(np.ones(2)).backward()

    assert w.grad.tolist() == [2, 2]


def test_an_argument_that_is_reached_otherwise():
    """A captured tensor that is also passed in could be told from another one by nothing."""
    w = mt.tensor([1.0, 2.0])
    f = mt.compile(lambda x: x * w)
    with pytest.warns(RuntimeWarning, match="also reach otherwise"):
        assert f(w).tolist() == [1, 4]
    assert f(mt.tensor([5.0, 5.0])).tolist() == [5, 10]


def test_functions_that_need_the_array():
    """Code that asks for the array itself runs as it is, with one warning that names the line."""
    f = mt.compile(lambda x: np.asarray(x).tobytes())
    with pytest.warns(RuntimeWarning, match=here("asks for the array")):
        assert f(np.ones(2)) == np.ones(2).tobytes()
    assert f(np.zeros(2)) == np.zeros(2).tobytes()


def test_what_is_too_long(monkeypatch):
    """A run of more numpy calls than a program may have runs as it is; the warning says what to do."""
    monkeypatch.setattr(importlib.import_module("mytorch.autograd.compile.tape"), "LIMIT", 10)

    def f(x):
        for k in range(20):
            x = x * k + 1
        return x

    compiled = mt.compile(f)
    with pytest.warns(RuntimeWarning, match="more than 10 numpy calls"):
        assert compiled(np.ones(1)) == f(np.ones(1))


def test_what_is_too_long_is_given_up_at_once_and_leaves_nothing(monkeypatch):
    """Operations on Tensors are not noted beyond the limit, and what was noted is freed."""
    monkeypatch.setattr(importlib.import_module("mytorch.autograd.compile.tape"), "LIMIT", 10)
    x, ticks = mt.tensor([1.0, 2.0], requires_grad=True), itertools.count()

    def f():
        y = x
        for _ in range(20):
            next(ticks)
            y = y * 1.5
        y.sum().backward()
        return y.detach()

    with pytest.warns(RuntimeWarning, match="more than 10 numpy calls"):
        mt.compile(f)()
    gc.collect()

    assert next(ticks) == 11 + 20
    assert not [o for o in gc.get_objects() if type(o) is Statement and o.what == "multiply" and 1.5 in o.args]


def test_an_operation_of_plain_python():
    """A custom operation that loops over elements is one call of the program, in every call."""

    @primitive
    def loops(x):
        return np.array([float(v) ** 3 for v in x])

    defvjp(loops, lambda g, ans, x: g * 3 * x**2)
    f = mt.compile(mt.grad(lambda x: loops(x).sum()))
    for x in (np.array([1.0, 2.0]), np.array([3.0, 4.0])):
        np.testing.assert_allclose(f(x), 3 * x**2)


def test_singular_points():
    """A call that meets a singular point gives what the plain one gives, and the calls after it too."""

    def f(x):
        return mt.grad(lambda x: mt.where(x > 0, mt.sqrt(x), 0.0).sum())(x)

    compiled = mt.compile(f)
    for x in (np.array([1.0, 4.0]), np.array([0.0, 4.0]), np.array([1.0, 9.0])):
        np.testing.assert_allclose(compiled(x), f(x))


def test_always_singular():
    """Where every call meets a singular point, the function runs as it is in the end, with a warning."""
    f = mt.compile(mt.grad(lambda x: mt.where(x > 0, mt.sqrt(x), 0.0).sum()))
    x = np.array([0.0, 4.0])
    with pytest.warns(RuntimeWarning, match="100 calls had to"):
        for _ in range(102):
            assert f(x).tolist() == [0, 0.25]


# ----- threads -----


def test_two_threads():
    """Two threads may call one compiled function: each gets its own answers."""
    f = mt.compile(lambda x: mt.tanh(x * 2).sum(axis=0))
    f(np.ones((50, 40)))
    wrong = []

    def work(seed):
        x = np.random.default_rng(seed).normal(size=(50, 40))
        expected = np.tanh(x * 2).sum(axis=0)
        wrong.extend(k for k in range(200) if not np.allclose(f(x), expected, rtol=1e-12))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_tracing_does_not_disturb_other_threads():
    """While one thread traces, another computes and differentiates as ever."""
    stop, wrong = threading.Event(), []

    def work():
        while not stop.is_set():
            x = mt.tensor([1.0, 2.0], requires_grad=True)
            (x * x).sum().backward()
            if x.grad.tolist() != [2, 4]:
                wrong.append(x.grad.tolist())

    thread = threading.Thread(target=work)
    thread.start()
    for k in range(30):
        mt.compile(lambda x, k=k: mt.exp(x * k).sum())(X)
    stop.set()
    thread.join()
    assert not wrong


# ----- what was made -----


NUMBERS = [0, -0.0, 1, -3, 0.1, 1e-300, 3e38, 1e300, np.inf, np.nan, 2**31, 2**70, True]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("number", NUMBERS, ids=repr)
@pytest.mark.filterwarnings("ignore:(overflow|invalid|divide)")
def test_numbers_take_the_dtype_of_the_array_they_meet(dtype, number):
    """Python's numbers stand in a program as arrays; what comes out is what comes of the numbers, to the bit."""

    def f(x):
        return x * number, number - x, x + number, x < number, x / 3 + number * x

    x = mt.tensor(np.array([-2.5, 0.0, 1.0, 7.0], dtype))
    expected, fast = f(x), mt.compile(f)
    for _ in range(2):
        for y, e in zip(fast(x), expected, strict=True):
            assert y.dtype == e.dtype
            np.testing.assert_array_equal(y.numpy(), e.numpy())
            np.testing.assert_array_equal(np.signbit(y.numpy()), np.signbit(e.numpy()))


@pytest.mark.parametrize("number", [0, 7, -1, 255, 256, 2**40, 2.5, True])
def test_numbers_beside_integers(number):
    """An array of small integers beside a number that it may not hold: as numpy has it."""

    def f(x):
        return x < number, x == number, x * 2.0 + number

    x = np.arange(250, 256).astype(np.uint8)
    expected, fast = f(mt.tensor(x)), mt.compile(f)
    for _ in range(2):
        for y, e in zip(fast(mt.tensor(x)), expected, strict=True):
            assert y.dtype == e.dtype
            np.testing.assert_array_equal(y.numpy(), e.numpy())


def test_source():
    """The source is numpy code, each statement with its operation and the line it comes from."""
    _, _, step = pair(lr=0.1, momentum=0.9)
    for _ in range(2):
        step(X, Y)

    assert re.search(r"np\.tanh\(v\d+, v\d+\) +# tanh, test_compile\.py:\d+", step.source)
    assert re.search(r"\w+\.dot\(.*# backward of linear, test_compile\.py:\d+", step.source)
    assert "model_0_bias = flat" in step.source  # 6 updates are one of a flat array
    assert len(re.findall("np.subtract.flat", step.source)) == 1


@pytest.mark.parametrize("optimizer", [train.optim.Adam, train.optim.AdamW])
def test_updates_of_adam_are_one(optimizer):
    """Parameters with equally many steps move as one array, with one correction."""
    _, _, step = pair(optimizer=optimizer)
    for _ in range(3):
        step(X, Y)

    assert len(re.findall("np.subtract.flat", step.source)) == 1
    assert len(re.findall("np.power", step.source)) == 2


def test_adam_after_a_pause():
    """Parameters that stood still in some steps have corrections of their own, also where they did before."""

    def make():
        w, b = (mt.tensor(np.ones(3), requires_grad=True) for _ in range(2))
        optimizer = train.optim.Adam([w, b], lr=0.1)

        def step(x, both):
            optimizer.zero_grad()
            (w * x + (b * x if both else 0)).sum().backward()
            optimizer.step()
            return w.detach(), b.detach()

        return step

    plain, compiled = make(), mt.compile(make())
    for k in range(12):
        x = np.random.default_rng(k).normal(size=3)
        for a, b in zip(plain(x, k not in (4, 5)), compiled(x, k not in (4, 5)), strict=True):
            np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-12)


def test_report():
    """The report counts calls, bytes and buffers before and after."""
    _, _, step = pair(lr=0.1, momentum=0.9)
    for _ in range(2):
        step(X, Y)
    report = step.report()

    assert report.operations < report.operations_before
    assert report.bytes < report.bytes_before
    assert (report.states, report.flat) == (18, 18)  # 6 parameters, momenta and gradients
    assert all(len(line) <= 80 for line in repr(report).splitlines())


def test_report_of_a_single_state():
    """A state that is no piece of a flat array is counted by itself."""
    w = mt.tensor(np.ones(4), requires_grad=True)

    @mt.compile
    def step():
        w.grad = None
        (w * w).sum().backward()
        w.data = w.data - 0.1 * w.grad.data

    step()

    assert (step.report().states, step.report().flat, step.report().state_bytes) == (2, 0, 64)


def test_before_the_first_call():
    """There is no source before the first call, and the error says so."""
    with pytest.raises(RuntimeError, match="call the function"):
        _ = mt.compile(lambda x: x).source


def test_eject(tmp_path):
    """The ejected module runs in a process without this library, and goes on where the step is."""
    plain, _, step = pair(lr=0.1, momentum=0.9)
    for _ in range(3):
        plain.step(X, Y)
        step(X, Y)
    path = step.eject(tmp_path / "ejected.py")
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    program = (
        "import sys, numpy as np, ejected; d = np.load('data.npz')\n"
        "losses = [float(ejected.step(d['x'], d['y'], 0.1)[0]) for _ in range(5)]\n"
        "assert 'mytorch' not in sys.modules\n"
        "print(losses, float(ejected.state['self.model.0.weight'].sum()))"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    losses = [plain.step(X, Y).item() for _ in range(5)]

    assert path == tmp_path / "ejected.py"
    found = np.array(eval(done.stdout.replace("] ", "],"))[0])
    np.testing.assert_allclose(found, losses, rtol=1e-5)
    np.testing.assert_allclose(float(done.stdout.split()[-1]), plain.model[0].weight.data.sum(), rtol=1e-4)


def test_eject_refuses_what_is_not_numpys(tmp_path):
    """A step with an operation of plain Python cannot stand alone; the error names it."""
    loops = primitive(lambda x: np.array([float(v) for v in x]))
    loops.op.name = "loops"
    f = mt.compile(lambda x: loops(x))
    f(np.ones(2))
    with pytest.raises(ValueError, match="no function of numpy's"):
        f.eject(tmp_path / "step.py")
    with pytest.raises(ValueError, match=r"ends in \.py"):
        f.eject(tmp_path / "step.txt")


def test_nothing_warns():
    """Compiling and running a step gives no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, _, step = pair(lr=0.1, momentum=0.9, batch_norm=True)
        for _ in range(3):
            step(X, Y)
