"""Products of matrices and what follows from them (Giles 2008, "Collected matrix derivative results")."""

import builtins
import math
import string

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from .elementwise import abs, multiply
from .numeric import add_up, product
from .reduction import max, restore, sum
from .shape import array_of, expand_dims, reshape, squeeze, swapaxes, transpose
from .table import op, stands_for

# fmt: off
__all__ = [
    "dot", "einsum", "inner", "inv", "linear", "matmul", "norm", "outer", "solve", "tensordot", "vdot",
]
# fmt: on

# ----- matmul -----


def _inner_sizes(args, kwargs):
    x, y = map(np.shape, args)
    if not x or not y:
        return f"shapes {x} @ {y}: both sides need an axis; use * to scale by a number"
    inner = y[-2] if len(y) > 1 else y[0]
    if x[-1] != inner:
        fits_y = len(y) > 1 and x[-1] == y[-1]
        fits_x = len(x) > 1 and x[-2] == inner
        hint = "; did you mean y.T?" if fits_y else "; did you mean x.T?" if fits_x else ""
        return f"inner sizes differ, {x} @ {y}{hint}"
    return f"the stacks of matrices do not broadcast, {x} @ {y}"


def _leading(x):
    return tuple(range(x.ndim - 1))


def _rows(x):
    """The array `x` as one matrix, its rows those of all its matrices; of one axis, a row."""
    return np.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


# An argument with one axis is a matrix of one row (x) or one column (y): give it that axis, and take it off again.
# A stack that was broadcast is summed by the engine.


def _matmul_x(g, ans, x, y):
    if y.ndim == 1:
        return expand_dims(g, -1) * y
    if x.ndim == 1:
        return squeeze(expand_dims(g, -2) @ swapaxes(y, -1, -2), -2)
    return product(g, y.T) if y.ndim == 2 else g @ swapaxes(y, -1, -2)


def _matmul_y(g, ans, x, y):
    if x.ndim == 1:
        return expand_dims(x, -1) * expand_dims(g, -2) if y.ndim > 1 else g * x
    if y.ndim == 1:
        return squeeze(swapaxes(x, -1, -2) @ expand_dims(g, -1), -1)
    if y.ndim == 2 < x.ndim:  # one matrix for a whole stack: one product instead of a stack that is summed
        return tensordot(x, g, (_leading(x), _leading(x)))
    return product(x.T, g) if x.ndim == 2 else swapaxes(x, -1, -2) @ g


def _matmul(x, y):
    """The matrix product of matrices, stacks of them, or vectors: numpy's x @ y."""
    x, y = array_of(x), array_of(y)
    if y.ndim == 2 < x.ndim:  # one product instead of one for each of the stack
        return np.reshape(product(_rows(x), y), (*x.shape[:-1], y.shape[-1]))
    return product(x, y)


matmul = op(_matmul, _matmul_x, _matmul_y, name="matmul", numpy=np.matmul, arity=2, explain=_inner_sizes)
stands_for(np.linalg.matmul, matmul)

# ----- inner: over the last axes of both, x @ y.T for matrices -----


def _last_sizes(args, kwargs):
    x, y = map(np.shape, args)
    if not x or not y:
        return f"shapes {x} and {y}: both need an axis; use * to scale by a number"
    return f"last sizes differ, {x} and {y}; inner sums over the last axis of both"


def _inner(x, y):
    """The sums of products over the last axes of `x` and `y`: for matrices x @ y.T, without a transpose."""
    x, y = array_of(x), array_of(y)
    if x.ndim == y.ndim == 2:
        return product(x, y.T)
    if not (x.ndim and y.ndim):
        raise ValueError
    if x.ndim > 2 or y.ndim > 2:  # there np.inner is a slow loop
        return np.reshape(product(_rows(x), _rows(y).T), x.shape[:-1] + y.shape[:-1])
    return np.inner(x, y)


def _to_left(g, y):
    """The cotangent of `x` in inner(x, y), given that of the answer."""
    if g.ndim == y.ndim == 2:
        return product(g, y)
    return tensordot(g, y, (tuple(range(g.ndim - y.ndim + 1, g.ndim)), _leading(y)))


def _to_right(g, x):
    """The cotangent of `y` in inner(x, y), given that of the answer."""
    if g.ndim == x.ndim == 2:
        return product(g.T, x)
    return tensordot(g, x, (_leading(x), _leading(x)))


inner = op(
    _inner,
    lambda g, ans, x, y: _to_left(g, y),
    lambda g, ans, x, y: _to_right(g, x),
    name="inner",
    numpy=np.inner,
    arity=2,
    explain=_last_sizes,
)

# ----- linear: the products of inner and a bias, which is added in the memory of the answer -----


def _linear(x, weight, bias):
    """x @ weight.T + bias, over the last axes of `x` and `weight`, (..., I) and (O, I), with `bias` (O,)."""
    if not type(x) is type(weight) is type(bias) is np.ndarray:
        x, weight, bias = array_of(x), array_of(weight), array_of(bias)
    if x.ndim > 2:
        return np.reshape(_linear(_rows(x), weight, bias), (*x.shape[:-1], len(weight)))
    if not x.ndim or weight.ndim != 2 or bias.ndim != 1 or len(bias) != len(weight):
        raise ValueError
    y = product(x, weight.T)
    if y.dtype is not bias.dtype:
        return y + bias
    y += bias
    return y


def _linear_sizes(args, kwargs):
    x, weight, bias = map(np.shape, args)
    return f"sizes differ, x {x}, weight {weight} and bias {bias}; give x (..., I), weight (O, I) and bias (O,)"


linear = op(
    _linear,
    lambda g, ans, x, weight, bias: _to_left(g, weight),
    lambda g, ans, x, weight, bias: _to_right(g, x),
    lambda g, ans, x, weight, bias: g,
    name="linear",
    arity=3,
    explain=_linear_sizes,
)

# ----- products that are compositions -----


def tensordot(x, y, axes=2):
    """The sum of products over pairs of axes: `axes` of each, or the last of `x` with the first of `y`."""
    x, y = array_of(x), array_of(y)
    if isinstance(axes, (int, np.integer)):
        axes = range(-axes, 0), range(axes)
    over_x, over_y = (normalize_axis_tuple(a, z.ndim, "tensordot") for a, z in zip(axes, (x, y), strict=True))
    sizes_x, sizes_y = [x.shape[a] for a in over_x], [y.shape[a] for a in over_y]
    if sizes_x != sizes_y:
        raise ValueError(
            f"tensordot: sizes {sizes_x} of axes {over_x} of {x.shape} differ from "
            f"{sizes_y} of axes {over_y} of {y.shape}"
        )
    free_x = [a for a in range(x.ndim) if a not in over_x]
    free_y = [a for a in range(y.ndim) if a not in over_y]
    shape = tuple(x.shape[a] for a in free_x) + tuple(y.shape[a] for a in free_y)
    return reshape(_matrix(x, free_x, over_x) @ _matrix(y, over_y, free_y), shape)


def _matrix(x, rows, columns):
    """`x` as a matrix, its axes `rows` by its axes `columns`: a view where they stand so in `x`, or the other way."""
    n, m = (math.prod(x.shape[a] for a in axes) for axes in (rows, columns))
    if (*columns, *rows) == tuple(range(x.ndim)):
        return transpose(reshape(x, (m, n)))
    return reshape(transpose(x, (*rows, *columns)), (n, m))


def dot(x, y):
    """The product of numbers, vectors or matrices; of stacks, over the last axis of `x` and last but one of `y`."""
    x, y = array_of(x), array_of(y)
    if not (x.ndim and y.ndim):
        return multiply(x, y)
    if x.ndim <= 2 and y.ndim <= 2:
        return matmul(x, y)
    return tensordot(x, y, (-1, -2 if y.ndim > 1 else -1))


def outer(x, y):
    """The products of every element of `x` with every element of `y`."""
    return multiply(reshape(x, (-1, 1)), reshape(y, (1, -1)))


def vdot(x, y):
    """The sum of the products of all elements."""
    return matmul(reshape(x, -1), reshape(y, -1))


stands_for((np.tensordot, np.linalg.tensordot), tensordot)
stands_for(np.dot, dot)
stands_for((np.outer, np.linalg.outer), outer)
stands_for(np.vdot, vdot)

# ----- einsum -----


def _explicit(subscripts, shapes):
    """(labels of each operand, labels of the answer): '...' spelled out in spare letters, an implied answer written."""
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    inputs = inputs.split(",")
    if len(inputs) != len(shapes):
        raise ValueError(f"einsum: '{subscripts}' names {len(inputs)} operands, {len(shapes)} are given")
    spare = [c for c in string.ascii_letters if c not in subscripts]
    extra = [len(s) - len(i.replace("...", "")) if "..." in i else 0 for i, s in zip(inputs, shapes, strict=True)]
    dots = "".join(spare[: builtins.max(extra, default=0)])
    inputs = [i.replace("...", dots[len(dots) - n :]) for i, n in zip(inputs, extra, strict=True)]
    for labels, shape in zip(inputs, shapes, strict=True):
        if len(labels) != len(shape):
            raise ValueError(f"einsum: '{subscripts}' has the labels '{labels}' for an operand of shape {shape}")
    if arrow and dots and "..." not in output:
        raise ValueError(f"einsum: '{subscripts}' must have '...' in its answer too; it stands for {len(dots)} axes")
    joined = "".join(inputs)
    once = sorted(c for c in set(joined) if joined.count(c) == 1 and c not in dots)
    return inputs, output.replace("...", dots) if arrow else dots + "".join(once)


def _einsum(subscripts, *operands):
    return np.einsum(subscripts, *operands, optimize=len(operands) > 1)


def _einsum_rule(i):
    """The rule for operand i: contract the cotangent with the other operands, onto the operand's labels."""

    def rule(g, ans, subscripts, *operands):
        inputs, output = subscripts.split("->")
        inputs = inputs.split(",")
        wanted, shape = inputs[i - 1], operands[i - 1].shape
        terms = [(output, g)] + [(t, x) for k, (t, x) in enumerate(zip(inputs, operands, strict=True), 1) if k != i]
        known = {label for t, x in terms for label, n in zip(t, x.shape, strict=True) if n > 1}  # else it may broadcast
        spare = [c for c in string.ascii_letters if c not in subscripts]
        onto = ""
        for label, n in zip(wanted, shape, strict=True):
            if label in onto:  # a diagonal was taken: the cotangent lies on it
                fresh = spare.pop()
                terms.append((label + fresh, np.eye(n, dtype=g.dtype)))
                label = fresh
            elif label not in known:  # summed in this operand alone: the cotangent is the same along it
                terms.append((label, np.ones(n, dtype=g.dtype)))
            onto += label
        return _contract(",".join(t for t, _ in terms) + "->" + onto, *(x for _, x in terms))

    return rule


def _label_sizes(args, kwargs):
    """What is wrong with operands of different sizes along one label, or None."""
    subscripts, *operands = args
    seen = {}
    for labels, x in zip(subscripts.split("->")[0].split(","), operands, strict=True):
        for label, n in zip(labels, np.shape(x), strict=True):
            if seen.setdefault(label, (n, x))[0] not in (n, 1) and n != 1:
                size, first = seen[label]
                return f"'{subscripts}': label {label} is {size} in {np.shape(first)} and {n} in {np.shape(x)}"
    return None


_contract = op(_einsum, None, *map(_einsum_rule, range(1, 17)), name="einsum", explain=_label_sizes)


def einsum(subscripts, *operands, optimize=True):
    """Sums of products by Einstein's convention, in numpy's notation: `einsum('bij,bjk->bik', x, y)`.

    '...' and an implied answer work as in numpy. Products of two operands run as BLAS calls.
    """
    if not isinstance(subscripts, str):
        raise TypeError("einsum: write the subscripts as a string first, 'ij,jk->ik'")
    inputs, output = _explicit(subscripts, [array_of(x).shape for x in operands])
    return _contract(f"{','.join(inputs)}->{output}", *operands)


stands_for(np.einsum, einsum)

# ----- norms: norm'(0) = 0 -----


def _norm(x, axis=None, keepdims=False):
    """The square root of the sum of squares over `axis`."""
    return np.sqrt(add_up(np.square(x), axis, keepdims))


_norm2 = op(
    _norm,
    lambda g, ans, x, axis=None, keepdims=False: (
        restore(g / (ans + (ans == 0)), x.shape, axis, keepdims) * x
    ),
    name="norm",
)


def norm(x, ord=None, axis=None, keepdims=False):
    """The norm over `axis`: 2 (the default; Frobenius' for matrices), 1, inf or 'fro'. Its derivative at 0 is 0."""
    vector = np.ndim(x) == 1 or (axis is not None and not isinstance(axis, tuple))
    if ord is None or (ord == 2 and vector) or (ord == "fro" and not vector):
        return _norm2(x, axis, keepdims)
    if vector and ord in (1, np.inf):
        return (sum if ord == 1 else max)(abs(x), axis, keepdims)
    raise ValueError(f"norm: ord={ord!r} over axis={axis} of shape {np.shape(x)} is not supported")


stands_for((np.linalg.norm, np.linalg.vector_norm), norm)

# ----- inverse and linear equations -----


def _rows_differ(args, kwargs):
    x, y = map(np.shape, args)
    if len(x) < 2 or x[-1] != x[-2]:
        return f"a square matrix is needed on the left, this has shape {x}"
    rows = y[-2:][:1]
    if rows != x[-1:]:
        return f"{x[-1]} equations in {x} are given {rows[0] if rows else 'no'} right sides in {y}"
    return None


def _solve_x(g, ans, x, y):
    column, answer = (g, ans) if y.ndim > 1 else (expand_dims(g, -1), expand_dims(ans, -1))
    return -solve(swapaxes(x, -1, -2), column) @ swapaxes(answer, -1, -2)


def _solve_y(g, ans, x, y):
    if y.ndim > 1:
        return solve(swapaxes(x, -1, -2), g)
    return squeeze(solve(swapaxes(x, -1, -2), expand_dims(g, -1)), -1)  # x may be a stack, and g then one of vectors


inv = op(
    np.linalg.inv,
    lambda g, ans, x: -swapaxes(ans, -1, -2) @ g @ swapaxes(ans, -1, -2),
    arity=1,
)
solve = op(
    np.linalg.solve,
    _solve_x,
    _solve_y,
    arity=2,
    explain=_rows_differ,
)
