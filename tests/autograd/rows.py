"""The table that tests the operations: a row is one call, and every test of test_ops.py runs on every row.

row(name, *args, **kwargs) is the call `mt.name(*args, **kwargs)`. Every array of floats among the arguments, also
inside a list, is an input: it is differentiated by. Anything else is a constant. The answer expected is that of numpy's
function of the same name, or of `numpy=`.

The first row of a name is its simplest form: test_docs_vjps.py evaluates the formulas of docs/vjps.md on it.
Inputs lie where the operation is smooth to second order: kinks and singular points are in test_corners.py.
"""

import numpy as np

import mytorch as mt

__all__ = ["CONSTANTS", "ELEMENTWISE", "ROWS", "Row", "row"]


class Row:
    """One call of an operation, to be made on any carrier."""

    def __init__(self, name, args, kwargs, numpy, promotes):
        self.name = name
        self.args = args
        self.kwargs = kwargs
        self.numpy = numpy or getattr(np, name)
        self.promotes = promotes  # the answer's dtype is not that of the inputs
        self.inputs = [x for a in args for x in (a if isinstance(a, list) else [a]) if _is_input(x)]

    def __str__(self):
        shown = [*map(_show, self.args), *(f"{k}={_show(v)}" for k, v in self.kwargs.items())]
        return f"{self.name}({', '.join(shown)})"

    def __call__(self, *inputs, function=None):
        """The answer for other inputs, and of another function than mytorch's."""
        inputs = iter(inputs)

        def other(a):
            return [other(x) for x in a] if isinstance(a, list) else next(inputs) if _is_input(a) else a

        return (function or getattr(mt, self.name))(*map(other, self.args), **self.kwargs)

    def resized(self, shapes):
        """The same call on inputs of these shapes, with the same elements; masks get the shape all broadcast to."""
        inputs = iter([np.resize(x, shape) for x, shape in zip(self.inputs, shapes, strict=True)])
        whole = np.broadcast_shapes(*shapes)
        args = [next(inputs) if _is_input(a) else np.resize(a, whole) if _is_mask(a) else a for a in self.args]
        return Row(self.name, args, self.kwargs, self.numpy, self.promotes)


def row(name, *args, numpy=None, promotes=False, **kwargs):
    return Row(name, args, kwargs, numpy, promotes)


def _is_input(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def _is_mask(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "b"


def _show(x):
    if isinstance(x, list):
        return "[" + ", ".join(map(_show, x)) + "]"
    if isinstance(x, np.ndarray):
        return "x".join(map(str, x.shape)) if _is_input(x) and x.ndim else str(x.tolist())
    return getattr(x, "__name__", None) or str(x)


# ----- inputs: no two elements are equal, none is 0 -----

A = np.array([[0.3, -1.2], [2.1, -0.7]])
B = np.array([[-0.8, 0.5], [1.4, 1.9]])
P = np.array([[0.4, 1.3], [2.2, 0.9]])  # positive
U = np.array([[0.35, -0.6], [0.7, -0.15]])  # in (-1, 1)
M = np.array([[1.2, -0.4, 0.7], [-1.5, 2.3, 0.6]])  # 2 x 3
N = np.array([[0.9, 1.1, -0.3], [0.2, -1.7, 1.6]])  # 2 x 3
R = np.array([[0.5, -1.4], [1.8, 0.3], [-0.2, 1.3]])  # 3 x 2
T = np.array([[[0.6, -1.1, 1.5], [2.4, 0.1, -0.5]], [[-1.9, 0.8, 1.3], [0.4, -0.3, 1.7]]])  # 2 x 2 x 3
S = np.linspace(-1.3, 1.9, 12).reshape(2, 3, 2)
V = np.array([0.7, -1.6, 1.1])
W = np.array([-0.9, 0.2, 1.8])
X = np.array(1.3)  # a number
MASK = np.array([[True, False], [False, True]])

# ----- elementwise -----

ELEMENTWISE = [
    row("add", A, B),
    row("add", A, 2.0),
    row("subtract", A, B),
    row("subtract", 1.5, A),
    row("multiply", A, B),
    row("multiply", 3, A),
    row("divide", A, B),
    row("divide", 1.0, A),
    row("negative", A),
    row("reciprocal", A),
    row("square", A),
    row("power", P, B),
    row("power", A, 2),
    row("power", A, 3.0),
    row("power", A, -1),
    row("power", P, 0.5),
    row("power", 2.0, A),
    row("remainder", A, P),
    row("exp", A),
    row("exp2", A),
    row("expm1", A),
    row("log", P),
    row("log2", P),
    row("log10", P),
    row("log1p", U),
    row("logaddexp", A, B),
    row("sqrt", P),
    row("cbrt", A),
    row("sin", A),
    row("cos", A),
    row("tan", U),
    row("arcsin", U),
    row("arccos", U),
    row("arctan", A),
    row("arctan2", A, B),
    row("sinh", A),
    row("cosh", A),
    row("tanh", A),
    row("arcsinh", A),
    row("arccosh", P + 1),
    row("arctanh", U),
    row("hypot", A, B),
    row("sigmoid", A, numpy=lambda x: 1 / (1 + np.exp(-x))),
    row("relu", A, numpy=lambda x: np.maximum(x, 0)),
    row("abs", A),
    row("fabs", A),
    row("maximum", A, B),
    row("maximum", A, 0.5),
    row("minimum", A, B),
    row("clip", A, -1.0, 0.5),
    row("clip", A, None, 0.5),
    row("clip", A, min=-1.0, numpy=lambda x, min: np.maximum(x, min)),  # numpy 2.0 knows a_min only
    row("clip", A, np.array([[-0.5, -1.9], [-1.1, -0.1]]), B + 3),
    row("where", MASK, A, B),
    row("where", MASK, A, 0.0),
    row("where", MASK, 1.0, B),
    row("astype", A, np.float64, numpy=lambda x, dtype: x.astype(dtype), promotes=True),
]

# ----- reading and writing elements -----


def _setitem(x, index, y):
    x = x.copy()
    x[index] = y
    return x


def _add_at(y, index, shape):
    x = np.zeros(shape, y.dtype)
    np.add.at(x, index, y)
    return x


def _getitem(x, index):
    return x[index]


INDEXING = [
    row("getitem", M, 1, numpy=_getitem),
    row("getitem", M, (slice(None), slice(None, None, -2)), numpy=_getitem),
    row("getitem", M, (..., None, 0), numpy=_getitem),
    row("getitem", V, np.array([2, 0, 2, -1]), numpy=_getitem),
    row("getitem", M, [1, 0, 1], numpy=_getitem),
    row("getitem", M, (np.array([[0], [1]]), np.array([2, 0])), numpy=_getitem),
    row("getitem", A, MASK, numpy=_getitem),
    row("getitem", T, (np.array([0, 1, 1]), slice(1), np.array([2, 2, 0])), numpy=_getitem),
    row("add_at", V, (0, slice(None)), (2, 3), numpy=_add_at),
    row("add_at", V, np.array([1, 0, 1]), (2,), numpy=_add_at),
    row("setitem", M, (slice(None), 1), np.array([5.0, 6.0]), numpy=_setitem),
    row("setitem", M, 0, X, numpy=_setitem),
    row("setitem", V, np.array([0, 2, 0]), W, numpy=_setitem),
    row("setitem", M, M > 0.65, 0.0, numpy=_setitem),
    row("setitem", np.zeros(3), slice(2), np.array([1.5, 2.5]), numpy=_setitem),
    row("take", M, np.array([5, 0, 5])),
    row("take", M, np.array([[2, 0], [2, 1]]), axis=1),
    row("take", M, 1, axis=-2),
    row("take_along_axis", M, np.array([[2, 2], [0, 1]]), axis=1),
    row("take_along_axis", M, np.array([[1, 0, 0]]), axis=0),
    row("diagonal", M),
    row("diagonal", M, offset=1),
    row("diagonal", T, offset=-1, axis1=2, axis2=0),
    row("trace", M),
    row("trace", T, offset=1, axis1=-2, axis2=-1),
    row("diag", M),
    row("diag", M, -1),
    row("diag", V),
    row("diag", V, 1),
    row("sort", V),
    row("sort", M, axis=0),
    row("sort", M, axis=None),
]

# ----- shapes -----

SHAPE = [
    row("reshape", M, (3, 2)),
    row("reshape", M, -1),
    row("reshape", X, (1, 1)),
    row("ravel", M),
    row("transpose", T, (2, 0, 1)),
    row("transpose", M),
    row("transpose", T, (-1, 0, 1)),
    row("matrix_transpose", T),
    row("swapaxes", T, 0, -1),
    row("moveaxis", T, 0, 2),
    row("moveaxis", T, (0, 1), (-1, 0)),
    row("expand_dims", M, 1),
    row("expand_dims", M, (0, -1)),
    row("squeeze", M[:, None, :1]),
    row("squeeze", M[None, :, :1], axis=-1),
    row("atleast_1d", X),
    row("atleast_1d", V),
    row("broadcast_to", V, (2, 3)),
    row("broadcast_to", M[:, :1], (2, 2, 3)),
    row("broadcast_to", X, (3,)),
    row("concatenate", [A, M], axis=1),
    row("concatenate", [A, R, A]),
    row("concatenate", [A, V], axis=None),
    row("concatenate", [A, np.zeros((1, 2), int)], promotes=True),
    row("stack", [V, W]),
    row("stack", [A, B, A], axis=-1),
    row("vstack", [V, M]),
    row("hstack", [V, W]),
    row("hstack", [A, M]),
    row("split", M, 3, axis=1),
    row("split", V, [1, 1]),
    row("split", R, [1, 5], axis=-2),
    row("array_split", np.arange(1.0, 6.0), 3),
    row("array_split", M, 2, axis=-1),
    row("pad", V, (1, 2)),
    row("pad", V, 1),
    row("pad", M, ((1, 0), (0, 2))),
    row("pad", M, (0, 1), constant_values=7.0),
    row("flip", M),
    row("flip", M, axis=1),
    row("flip", T, axis=(0, -1)),
    row("roll", M, 2),
    row("roll", M, -1, axis=1),
    row("roll", M, (1, 2), axis=(0, 1)),
    row("tril", R),
    row("tril", T, -1),
    row("triu", R, 1),
    row("triu", T),
    row("repeat", A, 2),
    row("repeat", M, 2, axis=1),
    row("repeat", R, np.array([2, 0, 1]), axis=0),
    row("tile", V, 2),
    row("tile", A, (2, 1)),
    row("tile", A, (2, 1, 2)),
]

# ----- reductions -----


def _logsumexp(x, axis=None, keepdims=False):
    return np.log(np.sum(np.exp(x), axis, keepdims=keepdims))


def _softmax(x, axis=-1):
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


def _log_softmax(x, axis=-1):
    return np.log(_softmax(x, axis))


def _reductions(name, numpy=None, **options):
    """The forms every reduction over `axis` has."""
    for kwargs in ({}, {"axis": 0}, {"axis": -1, "keepdims": True}, {"keepdims": True}):
        yield row(name, M, numpy=numpy, **kwargs, **options)
    yield row(name, T, axis=(0, -1), numpy=numpy, **options)
    yield row(name, T, axis=(-1, 1), keepdims=True, numpy=numpy, **options)


REDUCTION = [
    *_reductions("sum"),
    row("sum", X),
    row("sum", M, axis=()),
    *_reductions("mean"),
    row("cumsum", M, axis=0),
    row("cumsum", M),
    row("cumsum", M, axis=-1),
    *_reductions("var"),
    row("var", M, axis=1, ddof=1),
    row("var", M, correction=1),
    *_reductions("std"),
    row("std", M, axis=1, ddof=1),
    *_reductions("max"),
    *_reductions("min"),
    *_reductions("prod"),
    row("prod", X),
    *_reductions("logsumexp", numpy=_logsumexp),
    row("softmax", M, numpy=_softmax),
    row("softmax", M, axis=0, numpy=_softmax),
    row("log_softmax", M, numpy=_log_softmax),
    row("log_softmax", M, axis=0, numpy=_log_softmax),
]

# ----- linear algebra -----


def _linear(x, weight, bias):
    return np.inner(x, weight) + bias


SQUARE = np.array([[2.1, -0.4], [0.7, 1.6]])
STACK = np.array([[[2.1, -0.4], [0.7, 1.6]], [[1.2, 0.3], [-0.8, -1.9]]])

LINALG = [
    row("matmul", M, R),
    row("matmul", V, W),
    row("matmul", V, R),
    row("matmul", M, V),
    row("matmul", V, S),
    row("matmul", T, V),
    row("matmul", T, R),
    row("matmul", M, S),
    row("matmul", T, S),
    row("matmul", T[:1], S),
    row("matmul", T[:, None, :1], S),
    row("inner", M, N),
    row("inner", V, W),
    row("inner", M, V),
    row("inner", V, M),
    row("inner", T, M),
    row("inner", M, T),
    row("linear", M, N, V[:2], numpy=_linear),
    row("linear", T, M, V[:2], numpy=_linear),
    row("linear", V, M, V[:2], numpy=_linear),
    row("dot", X, V),
    row("dot", V, W),
    row("dot", M, R),
    row("dot", T, V),
    row("dot", M, S),
    row("dot", V, S),
    row("outer", V, A),
    row("vdot", M, N),
    row("tensordot", M, N),
    row("tensordot", V, W, axes=0),
    row("tensordot", M, R, axes=1),
    row("tensordot", T, M, axes=((1, 2), (0, 1))),
    row("tensordot", T, M, axes=(-1, 1)),
    row("einsum", "ij,jk->ik", M, R),
    row("einsum", "ij,jk", M, R),
    row("einsum", "ba", M),
    row("einsum", "ij->", M),
    row("einsum", "ij->ji", M),
    row("einsum", "ii", A),
    row("einsum", "ii->i", A),
    row("einsum", "iij->j", T),
    row("einsum", "ii,i->i", A, A[0]),
    row("einsum", "i,i->", V, W),
    row("einsum", "i,j->ij", V, A[0]),
    row("einsum", "ij,ij->i", M, N),
    row("einsum", "ij,k->i", A, V),
    row("einsum", "ij,jk,k->i", A, M, V),
    row("einsum", "bij,bjk->bik", T, S),
    row("einsum", "...ij,...jk->...ik", T, S[:1]),
    row("einsum", "...ij,jk->...ik", T, R),
    row("einsum", "...i,...i", T, V),
    row("einsum", "i...->...", M),
    row("einsum", "...,...->...", A, X),
    row("einsum", "ij,ij->ij", M, N[:, :1]),
    row("einsum", "ij,ij->", M[:1], M + 1),
    row("einsum", "ij,ij->j", M, M[:, :1]),
    row("einsum", " i j , j -> i ", M, V),
    row("norm", M, numpy=np.linalg.norm),
    row("norm", V, numpy=np.linalg.norm),
    row("norm", M, axis=1, numpy=np.linalg.norm),
    row("norm", M, axis=-2, keepdims=True, numpy=np.linalg.norm),
    row("norm", T, axis=(0, 2), numpy=np.linalg.norm),
    row("norm", M, "fro", numpy=np.linalg.norm),
    row("norm", V, 2, numpy=np.linalg.norm),
    row("norm", V, 1, numpy=np.linalg.norm),
    row("norm", M, 1, axis=0, numpy=np.linalg.norm),
    row("norm", M, np.inf, axis=1, numpy=np.linalg.norm),
    row("inv", SQUARE, numpy=np.linalg.inv),
    row("inv", STACK, numpy=np.linalg.inv),
    row("solve", SQUARE, A, numpy=np.linalg.solve),
    row("solve", SQUARE, V[:2], numpy=np.linalg.solve),
    row("solve", STACK, S[:, :2], numpy=np.linalg.solve),
    row("solve", STACK, M, numpy=np.linalg.solve),
    row("solve", STACK, V[:2], numpy=np.linalg.solve),
    row("solve", SQUARE, S[:, :2], numpy=np.linalg.solve),
]

ROWS = ELEMENTWISE + INDEXING + SHAPE + REDUCTION + LINALG

# ----- what is constant almost everywhere, or has integer answers -----

CONSTANTS = [
    *(row(name, A, B) for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")),
    *(row(name, MASK, A) for name in ("logical_and", "logical_or", "logical_xor")),
    row("logical_not", A),
    *(row(name, MASK, MASK[::-1]) for name in ("bitwise_and", "bitwise_or", "bitwise_xor")),
    *(row(name, np.array([6, 1]), np.array([3, 4])) for name in ("bitwise_and", "bitwise_or", "bitwise_xor")),
    row("invert", MASK),
    row("invert", np.array([6, 1])),
    *(row(name, np.array([1.5, np.inf, np.nan])) for name in ("isnan", "isinf", "isfinite")),
    *(row(name, 3 * A) for name in ("sign", "floor", "ceil", "trunc", "rint")),
    row("floor_divide", A, P),
    row("round", A),
    row("round", 3.14159 * A, 2),
    row("argsort", M),
    row("argsort", M, axis=0),
    *(row(name, M, axis=axis) for name in ("argmax", "argmin") for axis in (None, 0, -1)),
    *(row(name, np.array([[0.0, 1.0], [0.0, 0.0]]), axis=1) for name in ("any", "all", "count_nonzero")),
    row("any", M),
    row("all", M, keepdims=True),
]
