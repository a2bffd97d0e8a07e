"""The loop: what it reports is what happened, and the same seed is the same run."""

import contextlib
import math

import numpy as np
import pytest

import mytorch as mt
from mytorch import nn
from mytorch.nn import handout
from mytorch.train import evaluate, fit, loop, optim
from mytorch.train.data import Dataset, Split, one_hot


def softmax_cross_entropy(z, y):
    """-log softmax(z)_y, example by example, by its definition."""
    return -np.log(np.exp(z)[np.arange(len(y)), y] / np.exp(z).sum(1))


def affine(dtype=np.float64):
    """A linear classifier of the pictures."""
    return nn.Linear(6, 3, dtype=dtype, rng=0)


def normed(rng=0):
    """A network with batch norm."""
    return nn.Sequential(nn.Linear(6, 5, rng=rng), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3, rng=rng))


def rows(model, dataset, lr=0.1, **options):
    """The rows of metrics of a training by plain gradient descent."""
    options = {"epochs": 2, "batch_size": 10, "rng": 0} | options
    return list(fit(model, optim.SGD(model.parameters(), lr, momentum=0.9), dataset, **options))


# ----- evaluation -----


def test_evaluate_gives_mean_loss_and_error(dataset):
    """As the definitions say, also where the batches are of unequal length."""
    model, (x, y) = affine(), dataset.train
    z = x @ model.weight.numpy().T + model.bias.numpy()

    loss, error = evaluate(model, dataset.train, batch_size=20)

    assert loss == pytest.approx(softmax_cross_entropy(z, y).mean())
    assert error == (z.argmax(1) != y).mean()


def test_evaluate_changes_nothing(dataset):
    """Batch norm uses its running averages and leaves them; the mode is as before; nothing is recorded."""
    model = normed()
    before, seen = model.state_dict(), []

    loss, _ = evaluate(model, dataset.val, lambda z, y: seen.append(z) or nn.cross_entropy(z, y))

    assert model.training
    assert {k: v.tolist() for k, v in model.state_dict().items()} == {k: v.tolist() for k, v in before.items()}
    assert loss == pytest.approx(evaluate(model.eval(), dataset.val)[0])
    assert not model.training
    assert not any(z.requires_grad for z in seen)


# ----- training -----


def test_rows_tell_what_happened(dataset):
    """One an epoch, with these columns; losses fall on data that can be told apart."""
    model = affine()
    epochs = rows(model, dataset, lr=0.5, epochs=20)

    assert [row["epoch"] for row in epochs] == list(range(1, 21))
    assert list(epochs[0]) == loop.COLUMNS
    assert epochs[-1]["train_loss"] < 0.5 * epochs[0]["train_loss"]
    assert (epochs[-1]["train_error"], epochs[-1]["val_error"]) == (0, 0)
    assert (epochs[-1]["val_loss"], epochs[-1]["val_error"]) == evaluate(model, dataset.val)
    assert all(row["seconds"] > 0 and row["examples_per_second"] > 0 for row in epochs)


def test_training_loss_and_error_are_means_over_all_examples(dataset):
    """With a rate of 0, those of the training part: each example is visited once, batches of any length."""
    model = affine()
    for batch_size in (10, 7, 1, 1000):
        (row,) = rows(model, dataset, lr=0.0, epochs=1, batch_size=batch_size)
        loss, error = evaluate(model, dataset.train)
        assert row["train_loss"] == pytest.approx(loss)
        assert row["train_error"] == pytest.approx(error)


def test_the_rate_follows_the_schedule_step_by_step(dataset):
    """A schedule is asked for the progress before each step; a row has the rate of its epoch's first step."""
    asked, rates, model = set(), [], affine()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    step = optimizer.step
    optimizer.step = lambda: rates.append(optimizer.lr) or step()

    def falling(progress):
        asked.add(progress)
        return 1 - progress

    epochs = list(fit(model, optimizer, dataset, 2, 10, falling))

    assert len(dataset.train.x) == 55
    assert sorted(asked) == pytest.approx([i / 12 for i in range(12)])
    assert rates == pytest.approx([0.1 * (1 - i / 12) for i in range(12)])
    assert [row["lr"] for row in epochs] == pytest.approx([0.1, 0.05])


def test_the_gradient_norm_is_that_of_the_gradients(dataset):
    """At a rate of 0 and one batch an epoch, by the formula X'(softmax(z) - y)/B; of more batches, their mean."""
    model, (x, y) = affine(), dataset.train
    z = x @ model.weight.numpy().T + model.bias.numpy()
    g = (np.exp(z) / np.exp(z).sum(1, keepdims=True) - np.eye(3)[y]) / len(x)
    norm = np.sqrt((g.T @ x).ravel() @ (g.T @ x).ravel() + g.sum(0) @ g.sum(0))
    (row,) = rows(model, dataset, lr=0.0, epochs=1, batch_size=1000)
    assert row["grad_norm"] == pytest.approx(norm)

    norms, optimizer = [], optim.SGD(model.parameters(), lr=0.1)
    step = optimizer.step
    optimizer.step = lambda: norms.append(loop.gradient_norm(model)) or step()
    first, second = fit(model, optimizer, dataset, 2, 10)
    assert [first["grad_norm"], second["grad_norm"]] == pytest.approx([np.mean(norms[:6]), np.mean(norms[6:])])


def test_compiled_steps_give_the_same_rows(dataset):
    """Every number of training is the same, bit for bit, whether its steps are compiled or not."""
    told = []
    for compile in (False, True):
        mt.seed(0)
        model = nn.MLP(6, [8, 5], 3, nn.ReLU, batch_norm=True)
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        epochs = list(fit(model, optimizer, dataset, 3, 10, optim.linear, rng=0, compile=compile))
        told.append([{k: v for k, v in row.items() if k not in loop.TIMING} for row in epochs])
        told[-1].append({k: v.tolist() for k, v in model.state_dict().items()})

    assert told[0] == told[1]


def test_groups_keep_their_proportions(dataset):
    """A schedule scales the rate of every group of parameters."""
    model = affine()
    optimizer = optim.SGD([{"params": model.weight}, {"params": model.bias, "lr": 0.4}], lr=0.1)

    list(fit(model, optimizer, dataset, 1, 55, lambda progress: 0.5))

    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.2]


def test_a_last_batch_of_one_joins_the_one_before(dataset):
    """Batch norm has no variance of one example, and every example counts."""
    seen = []

    @contextlib.contextmanager
    def watch(epoch, n):
        yield lambda tally: seen.append(tally.seen)

    rows(normed(), dataset, epochs=1, batch_size=27, watch=watch)  # 55 = 27 + 28, not 27 + 27 + 1

    assert seen == [27, 55]


def test_the_same_seed_gives_the_same_numbers(dataset):
    """Bit for bit, but for the time it took; another order of the examples gives others."""
    runs = [[[row[k] for k in loop.COLUMNS if k not in loop.TIMING] for row in rows(affine(), dataset, rng=rng)]
            for rng in (3, np.random.default_rng(3), 4)]  # fmt: skip

    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_data_are_not_reordered(dataset):
    """Examples are gathered by index; the caller's arrays stay as they are."""
    before = [part.x.copy() for part in dataset[:3]]

    rows(affine(), dataset)

    assert all((part.x == x).all() for part, x in zip(dataset[:3], before, strict=True))


def test_a_watcher_sees_every_step(dataset):
    """It enters with the epoch and the number of examples, and is told the means so far."""
    seen = []

    @contextlib.contextmanager
    def watch(epoch, n):
        yield lambda tally: seen.append((epoch, n, tally.seen, tally.loss, tally.error))

    epochs = rows(affine(), dataset, batch_size=30, watch=watch)

    assert [entry[:3] for entry in seen] == [(1, 55, 30), (1, 55, 55), (2, 55, 30), (2, 55, 55)]
    assert [entry[3:] for entry in seen[1::2]] == [(row["train_loss"], row["train_error"]) for row in epochs]


# ----- divergence -----


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_training_before_the_step(dataset, bad):
    """The parameters stay as they were, without a trace of it."""
    model = affine()
    before = model.state_dict()

    with pytest.raises(loop.Diverged, match=f"the loss is {bad}"):
        rows(model, dataset, loss_fn=lambda z, y: nn.cross_entropy(z, y) * bad)

    assert {k: v.tolist() for k, v in model.state_dict().items()} == {k: v.tolist() for k, v in before.items()}


def test_a_last_step_that_ruins_the_model_is_seen_in_validation(dataset):
    """No row is given for an epoch whose model is not finite."""
    bad = dataset._replace(val=Split(np.full((2, 6), 1e308), np.array([0, 1])))
    model = affine()
    with mt.no_grad():
        model.weight *= 1e3

    with np.errstate(all="ignore"), pytest.raises(loop.Diverged, match="the loss is"):
        rows(model, bad, lr=0.0)


# ----- against the handout -----


def test_the_handouts_network_gives_the_same_statistics():
    """Its momentum and averaged gradients are SGD on the mean loss: same losses and errors through either API."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape) for shape in [(6, 4), (4, 5), (5, 3)]]
    x, y = rng.normal(size=(40, 6)), rng.integers(0, 3, 40)
    parts = [Split(x[:30], y[:30]), Split(x[30:], y[30:]), Split(x[30:], y[30:])]
    given = iter(weights)
    theirs = handout.MLP(
        6, 3, [4, 5], [handout.Sigmoid(), handout.Sigmoid(), handout.Identity()], lambda i, o: next(given),
        lambda o: np.zeros((1, o)), handout.SoftmaxCrossEntropy(), lr=0.5, momentum=0.856,
    )  # fmt: skip
    ours = nn.MLP(6, [4, 5], 3, activation=nn.Sigmoid, dtype=np.float64)
    for layer, w in zip([layer for layer in ours if isinstance(layer, nn.Linear)], weights, strict=True):
        layer.weight.data, layer.bias.data = w.T.copy(), np.zeros(w.shape[1])
    optimizer = optim.SGD(ours.parameters(), lr=0.5, momentum=0.856)

    # one batch an epoch: the order within it is of no account
    epochs = list(fit(ours, optimizer, Dataset(*parts, "numbers", 3), epochs=10, batch_size=30))
    sets = [(part.x, one_hot(part.y, 3, np.float64)) for part in parts]
    validation = [stats[2:] for stats in zip(*handout.get_training_stats(theirs, sets, 10, 30), strict=True)]

    for row, (loss, error) in zip(epochs, validation, strict=True):
        assert row["val_loss"] == pytest.approx(loss, rel=1e-9)
        assert row["val_error"] == error
