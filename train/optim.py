"""Optimizers with the names, defaults and formulas of torch.optim, and schedules for their rate.

    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    optimizer.zero_grad()
    loss_fn(model(x), y).backward()
    optimizer.step()

A step changes the parameters in place and in their own dtype; a backward through a value that was computed before
it is an error, and a detached copy taken before it keeps what it saw.

Notation of every update: `p` parameter, `g` its gradient, `state` what the optimizer remembers of it, `t` scratch
memory of its shape, `o` the options of its group.
"""

import math
from numbers import Real

import numpy as np

from ..autograd import Tensor
from ..autograd.graph import live, mode, users_line, wrap
from .flat import Flat

__all__ = ["SCHEDULES", "SGD", "Adam", "AdamW", "Optimizer"]


# ----- options and groups of parameters -----


def _in(low, high):
    return lambda x: isinstance(x, Real) and low <= x < high


FROM_0 = "a finite number from 0", _in(0, math.inf)
RULES = {  # option: (what it must be, the test)
    "lr": FROM_0,
    "momentum": FROM_0,
    "weight_decay": FROM_0,
    "eps": FROM_0,
    "dampening": ("a finite number", _in(-math.inf, math.inf)),
    "nesterov": ("True or False", lambda x: x in (True, False)),
    "betas": (
        "two numbers from 0 to below 1",
        lambda x: isinstance(x, tuple | list) and len(x) == 2 and all(map(_in(0, 1), x)),
    ),
}


def _checked(name, options):
    """The options as Python's own numbers (numpy's float64 would not leave float32 alone); ValueError if wrong."""
    for option, value in options.items():
        must, test = RULES[option]
        if not test(value):
            raise ValueError(f"{name}: {option} must be {must}, not {value!r}")
    return {option: value.item() if isinstance(value, np.generic) else value for option, value in options.items()}


def _grouped(name, params, defaults):
    """One dict {"params": [...], option: value, ...} a group: one of all params, or as many as `params` has dicts."""
    if isinstance(params, Tensor | dict) or not hasattr(params, "__iter__"):
        raise TypeError(f"{name}: params is a {type(params).__name__}; give it model.parameters() or a list")
    params = list(params)
    groups = params if params and isinstance(params[0], dict) else [{"params": params}]
    for group in groups:
        if not {"params"} <= set(group) <= {"params", *defaults}:
            raise ValueError(f"{name}: a group has params and any of {', '.join(defaults)}; not {list(group)}")
    groups = [{**defaults, **group} for group in groups]
    for group in groups:
        group["params"] = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
    _require_leaves(name, [p for group in groups for p in group["params"]])
    return groups


def _require_leaves(name, params):
    """Raises unless these are tensors that can be optimized, each one once."""
    if not params:
        raise ValueError(f"{name}: no parameters to optimize")
    for p in params:
        if not isinstance(p, Tensor):
            raise TypeError(f"{name}: a {type(p).__name__} among the parameters; give it model.parameters()")
        if not p.is_leaf:
            raise ValueError(f"{name}: a tensor of shape {p.shape} was computed; only leaves can be optimized")
    if len(set(map(id, params))) < len(params):
        raise ValueError(f"{name}: a parameter is given twice")


class Optimizer:
    """What all optimizers share: groups of parameters, the loop over them, and a state for each.

    A subclass gives `_move(p, g, state, t, o)`, which changes the array `p` in place. A parameter without a gradient
    stays where it is, and so does one whose `requires_grad` was taken away.
    """

    remembers = "state"  # by parameters, which are taken to stay the same tensors
    __slots__ = ("__dict__", "__weakref__", "_flats")  # {number of a group: Flat}, made where it is missing; in a slot,
    # so that `__dict__`, which is what is copied and pickled, does not hold it

    def __init__(self, params, **options):
        groups = _grouped(type(self).__name__, params, options)
        self.param_groups = [{"params": group["params"], **self._options(group)} for group in groups]
        self.state = {}  # parameter -> what the optimizer remembers of it

    def _options(self, group):
        """The options of a group, checked."""
        return _checked(type(self).__name__, {k: v for k, v in group.items() if k != "params"})

    @property
    def lr(self):
        """The rate, of the first group where there are several; assign to it to set that of all groups."""
        return self.param_groups[0]["lr"]

    @lr.setter
    def lr(self, lr):
        lr = _checked(type(self).__name__, {"lr": lr})
        for group in self.param_groups:
            group.update(lr)

    def step(self):
        """Moves every parameter that has a gradient."""
        where = users_line()
        for i, group in enumerate(self.param_groups):
            options, params = self._now(group), group["params"]
            flat = self._flat(i, params) if type(self) in ELEMENTWISE and mode.tape is None else None
            if flat is not None:
                flat.move(self._move, options, where)
                params = flat.rest
            for p in params:
                leaf = self._leaf(p)
                if leaf is None or leaf.grad is None:
                    continue
                state = self.state.get(p)
                if state is None:
                    state = self.state[p] = {}
                data = p._writable(where)
                t = np.empty_like(data)  # kept from step to step, it would add to the peak of the backward pass
                self._move(data, leaf.grad._data, state, t, options)

    def _leaf(self, p):
        """Where the gradient of a parameter is, None if it is frozen."""
        leaf = p._node
        if leaf is not None and leaf.op is not None:
            raise ValueError(
                f"{type(self).__name__}: a parameter of shape {p.shape} was given a computed value, by {leaf.op.name}; "
                "assign to it under no_grad, or assign to its data"
            )
        return leaf

    def _now(self, group):
        """The options of a group in this step."""
        return live(group, "lr")

    def _flat(self, i, params):
        """The small parameters of group number `i` as one, or None. (A compiled step does so itself.)"""
        try:
            flats = self._flats
        except AttributeError:
            flats = self._flats = {}
        flat = flats.get(i)
        if flat is None or not flat.fits(params, self.state):
            moving = [p for p in params if (leaf := self._leaf(p)) is not None and leaf.grad is not None]
            flat = flats[i] = Flat.of(params, moving, self.state)
        return flat

    def zero_grad(self):
        """Takes the gradients away: `grad` is None until the next backward."""
        for group in self.param_groups:
            for p in group["params"]:
                leaf = getattr(p, "_leaf", None)  # a frozen parameter has one too, and no node
                if leaf is not None:
                    leaf.grad = None

    # ----- saving and loading -----

    def state_dict(self):
        """A copy of everything but the parameters, in torch's layout: a parameter goes by its place."""
        params = self._params()
        place = dict(zip(map(id, params), range(len(params)), strict=True))
        return {
            "state": dict(sorted(((place[id(p)], _arrays(s)) for p, s in self.state.items()), key=lambda it: it[0])),
            "param_groups": [
                {**group, "params": [place[id(p)] for p in group["params"]]} for group in self.param_groups
            ],
        }

    def load_state_dict(self, saved):
        """Goes on where the optimizer that gave `saved` stopped; its parameters must have had the same shapes."""
        name, params = type(self).__name__, self._params()
        if not {"state", "param_groups"} <= set(saved):
            raise ValueError(f"{name}: this is no saved optimizer, it has {list(saved)}; give what state_dict() gave")
        theirs, mine = _form(saved["param_groups"]), _form(self.param_groups)
        if theirs != mine:
            raise ValueError(f"{name}: the saved optimizer had {theirs}, this one has {mine}")
        options = [self._options(group) for group in saved["param_groups"]]
        state = {params[i]: _tensors(kept, params[i].dtype) for i, kept in saved["state"].items()}
        for p, kept in state.items():
            for key, value in kept.items():
                if value.shape != (() if key == "step" else p.shape):
                    raise ValueError(f"{name}: {key} was saved with shape {value.shape}, its parameter has {p.shape}")
        for group, loaded in zip(self.param_groups, options, strict=True):
            group.update(loaded)
        self.state = state

    def __getstate__(self):
        return self.__dict__

    def _params(self):
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self):
        options = [", ".join(f"{k}={v}" for k, v in group.items() if k != "params") for group in self.param_groups]
        return f"{type(self).__name__}({'; '.join(options)})"


def _arrays(state):
    return {key: int(value.item()) if key == "step" else np.array(value.data) for key, value in state.items()}


def _tensors(state, dtype):
    """What an optimizer remembers of a parameter of this dtype; the number of steps is a float64."""
    return {key: wrap(np.array(value, float if key == "step" else dtype)) for key, value in state.items()}


def _form(groups):
    """What must agree between optimizers for one to take over the other's state, in words."""
    return "; ".join(f"{len(group['params'])} parameters with {', '.join(list(group)[1:])}" for group in groups)


# ----- gradient descent -----


class SGD(Optimizer):
    """Gradient descent with momentum: v = momentum * v + g, then p -= lr * v.

    Polyak (1964), equation 9, in the form of Sutskever, Martens, Dahl and Hinton (2013), equations 1 and 2, with
    lr outside v: a change of the rate takes effect at once. The first v is g.

    dampening:    v = momentum * v + (1 - dampening) * g.
    weight_decay: the penalty weight_decay / 2 * |p|^2 is added to the loss, so weight_decay * p to g.
    nesterov:     p -= lr * (g + momentum * v), the gradient as seen from where momentum leads (Nesterov 1983;
                  Sutskever et al. 2013, equations 3 and 4, in the variable p + momentum * v).
    """

    def __init__(self, params, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False):
        super().__init__(
            params, lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov
        )

    def _options(self, group):
        options = super()._options(group)
        if options["nesterov"] and (not options["momentum"] or options["dampening"]):
            raise ValueError("SGD: nesterov needs a momentum above 0 and no dampening")
        return options

    def _move(self, p, g, state, t, o):
        lr, momentum = o["lr"], o["momentum"]
        if o["weight_decay"]:
            g = np.add(g, np.multiply(p, o["weight_decay"], out=t), out=t)
        if momentum:
            kept = state.get("momentum_buffer")
            if kept is None:
                v = Tensor._copied(g, p.dtype)
                state["momentum_buffer"] = wrap(v)
            else:
                v = kept._data
                v *= momentum
                v += np.multiply(g, 1 - o["dampening"], out=t) if o["dampening"] else g
            if o["nesterov"]:  # lr * (g + momentum * v), one term after the other
                p -= np.multiply(g, lr, out=t)
                lr *= momentum
            g = v
        p -= np.multiply(g, lr, out=t)


# ----- adaptive moments -----


class Adam(Optimizer):
    """Adam: each coordinate moves by its gradient's mean over the root of its mean square.

    Kingma and Ba (2015), algorithm 1, in the order of the end of their section 2, with eps as in the algorithm:

        m = b1 * m + (1 - b1) * g                   p -= lr * (m / (1 - b1^n)) / (sqrt(v / (1 - b2^n)) + eps)
        v = b2 * v + (1 - b2) * g^2                 after n steps

    weight_decay: the penalty weight_decay / 2 * |p|^2 is added to the loss, so weight_decay * p to g.
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0):
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _decay(self, p, g, o):
        """The gradient to use; may move `p` instead."""
        return g + o["weight_decay"] * p

    def _move(self, p, g, state, t, o):
        b1, b2 = o["betas"]
        if o["weight_decay"]:
            g = self._decay(p, g, o)
        if not state:
            state.update(step=wrap(np.zeros(())), exp_avg=wrap(np.zeros_like(p)), exp_avg_sq=wrap(np.zeros_like(p)))
        m, v = state["exp_avg"]._data, state["exp_avg_sq"]._data
        eps, rate = self._corrected(state["step"]._data, p.dtype, o)
        m *= b1
        m += np.multiply(g, 1 - b1, out=t)
        v *= b2
        np.multiply(g, g, out=t)
        t *= 1 - b2
        v += t
        np.sqrt(v, out=t)
        t += eps
        np.divide(m, t, out=t)
        t *= rate
        p -= t

    def _now(self, group):
        return {**super()._now(group), "corrected": []}  # what parameters with equally many steps have in common

    def _corrected(self, n, dtype, o):
        """Counts a step in `n`; gives eps and lr with the corrections of m and v, that of v taken out of the root."""
        for before, of, found in o["corrected"]:
            if of == dtype and type(before) is type(n) and before == n:  # in a traced run a new count is an array
                n += 1
                return found
        before, (b1, b2) = n.copy(), o["betas"]
        n += 1
        root = np.sqrt(1 - b2**n).astype(dtype)
        found = o["eps"] * root, o["lr"] * root / (1 - b1**n).astype(dtype)
        o["corrected"].append((before, dtype, found))
        return found


class AdamW(Adam):
    """Adam with the decay of weights apart from the gradient: p -= lr * weight_decay * p before each step.

    Loshchilov and Hutter (2019), algorithm 2, with their schedule multiplier in lr, as torch.optim has it.
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(params, lr, betas, eps, weight_decay)

    def _decay(self, p, g, o):
        p *= 1 - o["lr"] * o["weight_decay"]
        return g


ELEMENTWISE = {SGD, Adam, AdamW}  # every element moves by itself, so many parameters may move as one array

# ----- schedules: the rate as a fraction of its first value, at a progress from 0 to 1 -----


def linear(progress):
    """Falls in a straight line from 1 to 0.

    >>> linear(0.25)
    0.75
    """
    return 1 - progress


def constant(progress):
    """Stays at 1."""
    return 1


SCHEDULES = {"linear": linear, "constant": constant}
