"""Random functions through mt.compile: answers, gradients, states and earlier answers are those of the plain run."""

import numpy as np
import pytest

import mytorch as mt

OPERATIONS = [
    lambda a, b: a + b,
    lambda a, b: a * b,
    lambda a, b: a @ b,
    lambda a, b: mt.where(a > 0, a, b),
    lambda a, b: mt.tanh(a),
    lambda a, b: mt.relu(a) - 0.5,
    lambda a, b: a.T,
    lambda a, b: a[..., ::-1],
    lambda a, b: a[1:],
    lambda a, b: a.reshape(-1),
    lambda a, b: mt.expand_dims(a, 0) + a,
    lambda a, b: mt.concatenate([a, a * 2], axis=0),
    lambda a, b: a.sum(axis=0),
    lambda a, b: a.mean(axis=-1, keepdims=True),
    lambda a, b: mt.max(a, axis=-1),
    lambda a, b: written(a * 1.0),
]


def written(x):
    x[0] = 0.25
    return x


def random_step(seed):
    """(a training step made of random operations, its states): equal seeds make equal ones."""
    start = np.random.default_rng(seed)
    params = [mt.tensor(start.normal(size=shape) / 2, requires_grad=True) for shape in ((3, 4), 4)]
    momenta = [mt.tensor(np.zeros(p.shape)) for p in params]
    accumulates = bool(start.integers(2))

    def step(x, y):
        choose, values = np.random.default_rng(seed), [mt.tensor(x), y, *params]
        for _ in range(choose.integers(4, 16)):
            f, i, j = (choose.integers(n) for n in (len(OPERATIONS), len(values), len(values)))
            try:
                value = OPERATIONS[f](values[i], values[j])
            except (ValueError, IndexError, TypeError):  # the shapes do not fit
                continue
            if value.size and value.size < 3000 and value.ndim < 5:
                values.append(value)
        for p in params:
            p.grad = p.grad if accumulates else None
        (sum((v * v).mean() for v in values[-3:]) + sum((p * p).sum() for p in params)).backward()
        for p, m in zip(params, momenta, strict=True):
            m.data = m.data * 0.9 + p.grad.data
            p.data = p.data - 0.01 * m.data
        return [v.detach() if isinstance(v, mt.Tensor) else v for v in values[-4:]]

    return step, [*params, *momenta]


def arrays(xs):
    return [np.array(getattr(x, "data", x)) for x in xs]


@pytest.mark.parametrize("seed", range(80))
def test_random_steps(seed):
    """Four calls on new values each; a random generator made inside from a fixed seed is no randomness."""
    (plain, theirs), (other, ours) = random_step(seed), random_step(seed)
    compiled, draw, kept = mt.compile(other, exact=bool(seed % 2)), np.random.default_rng(seed), []
    for _ in range(4):
        x, y = draw.normal(size=(4, 3)), draw.normal(size=(4, 4))
        expected, found = plain(x, y), compiled(x, y)
        pairs = [*zip(arrays(expected), arrays(found), strict=True), *zip(arrays(theirs), arrays(ours), strict=True)]
        pairs += zip(*(arrays(p.grad for p in states[:2]) for states in (theirs, ours)), strict=True)
        for a, b in pairs:
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            np.testing.assert_allclose(b, a, rtol=1e-8, atol=1e-10)
        kept.append((found, arrays(found)))

    assert compiled.steps
    for answers, before in kept:
        for a, b in zip(arrays(answers), before, strict=True):
            np.testing.assert_array_equal(a, b)


# ----- states that are changed several times, read between, exchanged and given back -----


def momentum(s, m, g, k, r):
    m.data = m.data * 0.9 + g


def twice(s, m, g, k, r):
    m.data = m.data * 0.9
    m.data = m.data + g * k


def descent(s, m, g, k, r):
    s.data = s.data - 0.01 * m.data


def in_place(s, m, g, k, r):
    with mt.no_grad():
        s -= 0.01 * g


def exchange(s, m, g, k, r):
    s.data, m.data = (m.data, s.data) if r.integers(2) else (m.data * 1.0, s.data * 1.0)


def halves(s, m, g, k, r):
    m.data = s.data * 0.5


CHANGES = [
    momentum,
    twice,
    descent,
    in_place,
    exchange,
    halves,
    lambda s, m, g, k, r: m.detach(),
    lambda s, m, g, k, r: s.detach().T,
    lambda s, m, g, k, r: (s * m).sum().detach(),
]


def random_updates(seed):
    """(a step that changes states in random ways, its states): equal seeds make equal ones."""
    start = np.random.default_rng(seed)
    shapes = [(3, 2)] * 3 if start.integers(2) else [(), (3,), (2, 2), (3, 1)]
    params = [mt.tensor(start.normal(size=shape), requires_grad=True) for shape in shapes]
    others = [mt.tensor(start.normal(size=shape)) for shape in shapes]

    def step(k):
        choose, answers = np.random.default_rng(seed), []
        loss = sum((mt.tanh(p) * (o * k)).sum() + (p * p).sum() for p, o in zip(params, others, strict=True))
        for p in params:
            p.grad = None if choose.integers(2) else p.grad
        loss.backward()
        for _ in range(choose.integers(1, 8)):
            i, change = choose.integers(len(shapes)), CHANGES[choose.integers(len(CHANGES))]
            given = change(params[i], others[i], params[i].grad.data, k, choose)
            answers += [given] if given is not None else []
        return [*answers, loss]

    return step, params + others


@pytest.mark.parametrize("seed", range(60))
def test_random_updates(seed):
    """Five calls, between which a state is set from outside."""
    (plain, theirs), (other, ours) = random_updates(seed), random_updates(seed)
    compiled, kept = mt.compile(other, exact=bool(seed % 2)), []
    for k in (1.0, 1.1, 1.2, 1.3, 1.4):
        expected, found = plain(k), compiled(k)
        pairs = [*zip(arrays(expected), arrays(found), strict=True), *zip(arrays(theirs), arrays(ours), strict=True)]
        pairs += [(a.grad.data, b.grad.data) for a, b in zip(theirs, ours, strict=True) if a.requires_grad]
        for a, b in pairs:
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-12)
        kept.append((found, arrays(found)))
        if k == 1.2:
            for states in (theirs, ours):
                states[0].data = states[0].data * 1.5

    for answers, before in kept:
        for a, b in zip(arrays(answers), before, strict=True):
            np.testing.assert_array_equal(a, b)
