"""Training and evaluation of a classifier: `fit` gives a row of metrics after each epoch.

    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for row in fit(model, optimizer, data.load("mnist"), epochs=15, schedule=optim.linear, rng=0):
        print(row["epoch"], row["val_error"])

Losses are means over the examples, errors are fractions of them in [0, 1].
"""

import math
from contextlib import nullcontext
from time import perf_counter

import numpy as np

from ..autograd import compile as compiled
from ..autograd import no_grad
from ..nn import cross_entropy, init
from .data import batches
from .optim import constant

TIMING = ["seconds", "examples_per_second"]  # what differs between two runs from the same seed
COLUMNS = ["epoch", "train_loss", "train_error", "val_loss", "val_error", "lr", "grad_norm", *TIMING]
NORMS = 16  # steps of an epoch whose gradient is measured: all of them would cost some percent of the time


class Diverged(ArithmeticError):
    """The loss is no longer a finite number; no further step would make it one."""


class Tally:
    """The mean loss and the error over the examples seen so far."""

    __slots__ = ("losses", "seen", "wrong")

    def __init__(self):
        self.seen, self.losses, self.wrong = 0, 0.0, 0

    def add(self, loss, logits, y):
        self.seen += len(y)
        self.losses += loss * len(y)
        self.wrong += int(np.count_nonzero(logits.data.argmax(1) != y))

    loss = property(lambda self: self.losses / self.seen)
    error = property(lambda self: self.wrong / self.seen)


def fit(
    model,
    optimizer,
    data,
    epochs,
    batch_size=100,
    schedule=constant,
    rng=None,
    loss_fn=cross_entropy,
    watch=None,
    compile=False,
):
    """Trains on data.train; after each epoch yields a dict of COLUMNS, with the loss and error on data.val.

    schedule: the rate as a fraction of the optimizer's, a function of progress from 0 to 1, asked before each step.
    rng:      a Generator or a seed, for the order of the examples, a new one each epoch; None: see mt.seed.
    loss_fn:  (logits, classes) -> the mean loss of a batch, a Tensor.
    watch:    (epoch, number of examples) -> a context that gives a function of a Tally, called after each step.
    compile:  run the steps as `mt.compile` makes them, which changes no digit of the results.

    In a row, lr is the rate of the epoch's first step, the training loss and error are those of the batches as they
    were trained on, grad_norm is the mean length of the gradient over some of its steps (NORMS or a few more), and
    examples_per_second leaves validation out. Raises Diverged where a loss is not finite.
    """
    rng, n = init.generator(rng), len(data.train.x)
    per_epoch = len(_order(n, batch_size))
    steps, every = per_epoch * epochs, max(1, per_epoch // NORMS)
    rates, step = [group["lr"] for group in optimizer.param_groups], 0
    move = _move(model, optimizer, loss_fn)
    move = compiled(move, exact=True) if compile else move
    for epoch in range(1, epochs + 1):
        start, tally, norms, first_lr = perf_counter(), Tally(), [], rates[0] * schedule(step / steps)
        model.train()
        with watch(epoch, n) if watch else nullcontext() as report:
            for rows in _order(n, batch_size, rng):
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * schedule(step / steps)
                loss, logits = move(data.train.x[rows], data.train.y[rows])
                tally.add(loss.item(), logits, data.train.y[rows])
                if step % every == 0:
                    norms.append(gradient_norm(model))
                step += 1
                if report:
                    report(tally)
        trained = perf_counter()
        val_loss, val_error = evaluate(model, data.val, loss_fn)
        _require_finite(val_loss)
        timing = perf_counter() - start, n / (trained - start)
        row = epoch, tally.loss, tally.error, val_loss, val_error, first_lr, sum(norms) / len(norms), *timing
        yield dict(zip(COLUMNS, row, strict=True))


def _move(model, optimizer, loss_fn):
    """The function that moves the parameters once, by the gradient of the loss on one batch: (loss, logits)."""

    def move(x, y):
        optimizer.zero_grad()
        logits = model(x)
        loss = loss_fn(logits, y)
        _require_finite(loss.data)  # before the step: the parameters stay as they were
        loss.backward()
        optimizer.step()
        return loss, logits

    return move


def gradient_norm(model):
    """The length of the gradient of all parameters taken as one vector; those without a gradient count as 0."""
    grads = (p.grad for p in model.parameters())
    return math.hypot(*(float(np.linalg.norm(g.data)) for g in grads if g is not None))


def evaluate(model, split, loss_fn=cross_entropy, batch_size=1000):
    """The mean loss and the error on a Split, in evaluation mode; the model's mode is as before afterwards."""
    tally, training = Tally(), model.training
    model.eval()
    try:
        with no_grad():
            for i in range(0, len(split.x), batch_size):
                x, y = split.x[i : i + batch_size], split.y[i : i + batch_size]
                logits = model(x)
                tally.add(loss_fn(logits, y).item(), logits, y)
    finally:
        model.train(training)
    return tally.loss, tally.error


def _order(n, batch_size, rng=None):
    """The batches of an epoch; a last one of a single example joins the one before, for it has no variance."""
    order = list(batches(n, batch_size, rng))
    if len(order[-1]) == 1 < len(order[0]):
        order[-2:] = [np.concatenate(order[-2:])]
    return order


def _require_finite(loss):
    if not np.isfinite(loss):
        raise Diverged(f"the loss is {loss}")
