"""A function of anything as a function of one vector: what every check works on."""

import numpy as np

from ..graph import enable_grad, no_grad, wrap
from ..scalar import Value
from ..tensor import Tensor
from ..transforms import Trace
from ..tree import flatten

__all__ = ["Problem"]


class Problem:
    """`f` at `inputs`, seen as a function from one vector (all real inputs, in float64) to another.

    The parameters of a module are inputs too, named as in its `named_parameters()`.

    x, typical: the vector, and for every element the usual size of its array
    value(x):   the answer's vector; also for complex `x`, where `f` takes it
    linear(x):  (the answer's vector, pullback), pullback from a vector of cotangents to one of gradients
    gradient(): the Problem of the pullback, as a function of cotangent and inputs
    """

    def __init__(self, f, inputs, name=None, labels=None):
        self.name = name or getattr(f, "__name__", None) or type(f).__name__
        module = hasattr(f, "named_parameters")
        parameters = dict(f.named_parameters()) if module else {}
        self.parameterised = bool(parameters)
        self.is_gradient = False
        self.f = _with_parameters(f, parameters) if module else f
        self.inputs = ({k: p.data for k, p in parameters.items()}, *inputs) if module else tuple(inputs)
        leaves, self.rebuild = flatten(self.inputs)
        self.leaves = [x if isinstance(x, Value) or not _is_float(x) else _float64(x) for x in leaves]
        self.values = any(isinstance(x, Value) for x in leaves)
        self.live = [i for i, x in enumerate(self.leaves) if isinstance(x, Value) or _is_float(x)]
        if not self.live:
            got = ", ".join({str(getattr(x, "dtype", type(x).__name__)): 0 for x in leaves}) or "none at all"
            raise TypeError(f"gradcheck: no input of {self.name} is real and floating ({got}); write 1.0 for 1")
        paths = labels or _paths(self.inputs, first=not module)
        self.labels = [paths[i] for i in self.live]
        arrays = [np.asarray(float(x) if isinstance(x, Value) else x) for x in (self.leaves[i] for i in self.live)]
        self.shapes = [a.shape for a in arrays]
        self.sizes = [a.size for a in arrays]
        self.x = np.concatenate([a.ravel() for a in arrays])
        self.typical = np.concatenate([np.full(a.size, _typical(a)) for a in arrays])
        self.out_shapes = None  # of the floating answers; known after the first run

    # ----- running -----

    def split(self, x):
        """The vector's arrays, in their shapes."""
        parts = np.split(x, np.cumsum(self.sizes)[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def call(self, live):
        """`f` with `live` in the places of the differentiable inputs."""
        leaves = list(self.leaves)
        for i, x in zip(self.live, live, strict=True):
            leaves[i] = x
        return self.f(*self.rebuild(leaves))

    def carriers(self, x):
        """The differentiable inputs as `f` is given them, with the values of the vector `x`."""
        return [Value(float(a)) for a in self.split(x)] if self.values else [wrap(np.array(a)) for a in self.split(x)]

    def value(self, x):
        """The floating answers at `x`, as one vector."""
        with no_grad():
            answers = flatten(self.call(self.carriers(x)))[0]
        return self._vector([_array(y) for y in answers])

    def _vector(self, answers):
        real = [y for y in answers if y.dtype.kind in "fc"]
        if not real:
            got = ", ".join({str(y.item() if y.dtype == object else y.dtype): 0 for y in answers}) or "nothing"
            raise TypeError(
                f"gradcheck: {self.name} gives no real floating answer, but {got}; there is nothing to differentiate"
            )
        self.out_shapes = [y.shape for y in real]
        return np.concatenate([y.ravel() for y in real])

    def linear(self, x, dtype=np.float64):
        """(answer, pullback) at `x`, from the rules."""
        if self.values:
            return self._linear_in_values(x)
        live = [np.array(a, dtype) for a in self.split(x)]
        trace = Trace("gradcheck", self.call, (live,), (0,))
        answers, rebuild = flatten(trace.y)
        self.nodes = [y._node for y in answers if y._node is not None]

        def pullback(u):
            u, cotangents = list(np.split(u, np.cumsum([y.size for y in answers if _is_float(y)])[:-1])), []
            for y in answers:
                cotangents.append(u.pop(0).reshape(y.shape) if _is_float(y) else np.zeros(y.shape, y.dtype))
            (gradient,) = trace.pullback(rebuild(cotangents), False)
            return np.concatenate([g.data.ravel() for g in gradient])

        return self._vector([y.data for y in answers]), pullback

    def _linear_in_values(self, x):
        live = self.carriers(x)
        answers = [y for y in flatten(self.call(live))[0] if isinstance(y, (Value, float))]
        self.nodes = [y for y in answers if isinstance(y, Value)]

        def pullback(u):
            for y, g in zip(answers, u, strict=True):
                if isinstance(y, Value):
                    y.backward(float(g), retain_graph=True)
            return np.array([float(g) for g in _taken(live)])

        return self._vector([_array(y) for y in answers]), pullback

    def jacobian(self, x, scale=1.0):
        """The Jacobian at `x` from the rules, one pullback a row: of a cotangent `scale`, which is divided out."""
        y, pullback = self.linear(x)
        return np.array([pullback(row) for row in scale * np.eye(y.size)]).reshape(y.size, x.size) / scale

    # ----- one order up -----

    def gradient(self, rng):
        """The Problem of this one's pullback: a function of the cotangents and the inputs, linear in the former."""
        answers = self.value(self.x)
        cotangent = rng.uniform(0.5, 1.5, answers.size) * rng.choice([-1.0, 1.0], answers.size)
        parts = np.split(cotangent, np.cumsum([int(np.prod(s)) for s in self.out_shapes])[:-1])
        gs = [g.reshape(s) for g, s in zip(parts, self.out_shapes, strict=True)]
        xs = self.split(self.x)
        if self.values:
            gs, xs = [Value(float(g)) for g in gs], [Value(float(x)) for x in xs]
        labels = [f"g{k}" if len(gs) > 1 else "g" for k in range(len(gs))] + self.labels
        gradient = Problem(self._pulled_values if self.values else self._pulled, (gs, xs), self.name, labels)
        gradient.is_gradient = True
        return gradient

    def _pulled(self, gs, xs):
        trace = Trace("gradcheck", self.call, (xs,), (0,))
        answers, rebuild = flatten(trace.y)
        gs = iter(gs)
        return trace.pullback(rebuild([next(gs) if _is_float(y) else np.zeros(y.shape, y.dtype) for y in answers]))[0]

    def _pulled_values(self, gs, xs):
        with enable_grad():
            answers = [y for y in flatten(self.call(xs))[0] if isinstance(y, (Value, float))]
            for y, g in zip(answers, gs, strict=True):
                if isinstance(y, Value):
                    y.backward(g, create_graph=True)
        return _taken(xs)

    # ----- naming -----

    def input_place(self, j):
        """'x[1, 2]' for the j-th element of the vector."""
        return _place(j, self.shapes, self.labels)

    def output_place(self, i):
        """'answer[1, 2]' for the i-th element of the answer's vector."""
        several = len(self.out_shapes) > 1
        return _place(i, self.out_shapes, [f"answer {k}" if several else "answer" for k in range(len(self.out_shapes))])


def _taken(leaves):
    """The gradients that a backward left in these Values, taken out of them."""
    gradients = [v.grad for v in leaves]
    for v in leaves:
        v.grad = 0.0
    return gradients


def _with_parameters(module, parameters):
    """`module` as a function of a dict of its parameters and its inputs; its buffers are put back after every run."""
    buffers = [b for _, b in module.named_buffers()] if hasattr(module, "named_buffers") else []

    def run(values, *inputs):
        held = [(p, p._data, p._node) for p in (*parameters.values(), *buffers)]
        try:
            for name, p in parameters.items():
                p._data, p._node = values[name]._data, values[name]._node
            for b in buffers:
                b._data = _float64(b) if _is_float(b) else b._data.copy()
            return module(*inputs)
        finally:
            for p, data, node in held:
                p._data, p._node = data, node

    run.__name__ = type(module).__name__
    return run


def _is_float(x):
    if isinstance(x, (Tensor, np.ndarray, np.generic)):
        return x.dtype.kind == "f"
    return isinstance(x, float)


def _float64(x):
    return np.array(_array(x), dtype=np.float64)


def _array(x):
    return x.data if isinstance(x, Tensor) else np.asarray(x.data if isinstance(x, Value) else x)


def _typical(a):
    """The usual size of the elements that are not 0; 1 where all are."""
    sizes = np.abs(a[(a != 0) & np.isfinite(a)])
    return float(np.exp(np.log(sizes).mean())) if sizes.size else 1.0


def _paths(tree, first=True, prefix=""):
    """The name of every leaf: 'input 0', 'input 1[2]', and of parameters their own names."""
    if isinstance(tree, dict):
        items = [(f"{prefix}[{k!r}]" if prefix else str(k), v) for k, v in tree.items()]
    elif not isinstance(tree, (list, tuple)):
        return [prefix]
    elif prefix:
        items = [(f"{prefix}[{k}]", v) for k, v in enumerate(tree)]
    else:
        one = len(tree) == (1 if first else 2)
        names = ["input" if one else f"input {k}" for k in range(len(tree))]
        items = list(zip(names if first else ["", *names], tree, strict=False))
    return [path for name, branch in items for path in _paths(branch, first, name)]


def _place(k, shapes, labels):
    for shape, label in zip(shapes, labels, strict=True):
        size = int(np.prod(shape))
        if k < size:
            return f"{label}[{', '.join(str(int(i)) for i in np.unravel_index(k, shape))}]" if shape else label
        k -= size
    raise IndexError(k)
