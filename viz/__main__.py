"""`python -m mytorch.viz package.module:function -o graph.html`: the graph of what a function builds, from the shell.

The function is called with random inputs of the shapes given; a Module is called likewise, a class for its instance.
`--train-run DIR` draws the curves of a run once more, or of several in the same pictures. Exit status: 0, or 2 where
nothing could be drawn.
"""

import argparse
import contextlib
import importlib
import inspect
import os
import sys
from pathlib import Path

import numpy as np

from ..autograd import Tensor, Value, tensor
from .curves import curves
from .graph import render
from .record import LEVELS
from .render import SUFFIXES
from .watch import watch

FORMATS = (*SUFFIXES, ".html")
SHAPE = "3,4"  # of the inputs of a function, if nothing is said


class UsageError(ValueError):
    """What is wrong with the arguments, in one sentence."""


def main(argv=None):
    """Runs the command and returns its exit status."""
    try:
        options = _parser().parse_args(argv)
        for path in _curves(options) if options.train_run else [_graph(options)]:
            print(path)
    except (ValueError, TypeError, RuntimeError, ImportError, OSError) as error:
        print(f"mytorch.viz: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UsageError(f"{message} (see --help)")


def _parser():
    told = {"description": __doc__.partition(": ")[2], "formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = _Parser(prog="python -m mytorch.viz", **told)
    add = parser.add_argument
    add("function", nargs="?", metavar="package.module:function", help="a function, a Module or its class")
    add("-o", "--out", metavar="PATH", help="graph.html by default; .svg, .png, .pdf, .dot; of curves, a folder")
    add("--shape", action="append", metavar="3,4", help="of an input, once for each; 'value': one number, a Value")
    add("--dtype", default=None, help="of the inputs (default: float64, or that of the Module's parameters)")
    add("--seed", type=int, default=0, help="of the inputs, and of the layers of a class (default: 0)")
    add("--level", choices=LEVELS, help="operations, grouped by module or by line, or micrograd's drawing")
    add("--depth", type=int, help="groups inside so many others are folded")
    add("--direction", choices=["TB", "LR"], default="TB", help="from top to bottom, or from left to right")
    add("--train-run", nargs="+", metavar="DIR", help="draw the curves of these runs instead")
    return parser


# ----- curves -----


def _curves(options):
    """The paths of the pictures of one run, or of several compared."""
    if options.function:
        raise UsageError("give a function or --train-run, not both")
    runs = options.train_run
    return curves(runs if len(runs) > 1 else runs[0], options.out or (None if len(runs) == 1 else "."))


# ----- graphs -----


def _graph(options):
    """The path of the picture of what the function builds."""
    if not options.function:
        raise UsageError("name a function, as in package.module:function, or a run with --train-run (see --help)")
    path = Path(options.out or "graph.html")
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"cannot render to '{path}': its suffix must be one of {', '.join(FORMATS)}")
    _seed(options.seed)
    function = _found(options.function)
    inputs = _inputs(function, options)
    params = {**({"": function} if _is_module(function) else {}), **inputs}
    value = _built(function, inputs, options.function)
    return render(value, path, params, level=options.level, depth=options.depth, direction=options.direction)


def _is_module(function):
    return hasattr(function, "named_parameters")


def _seed(n):
    """Seeds what layers draw their first weights from, where there are layers."""
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module(__package__.partition(".")[0]).seed(n)


def _found(name):
    """The function or Module of that name; a class is called for its instance."""
    module, colon, path = name.partition(":")
    if not (module and colon and path):
        raise UsageError(f"write package.module:function, as in mytorch:tanh, not {name!r}")
    sys.path.insert(0, os.getcwd())
    try:
        found = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
        found = found() if isinstance(found, type) else found
    except Exception as error:
        raise UsageError(f"{name} cannot be had: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise UsageError(f"{name} is of type {type(found).__name__} and cannot be called; name a function or a Module")
    return found


def _inputs(function, options):
    """{name: input} of the shapes asked for; of a function without any, one for each argument that it must have."""
    names = _names(function)
    shapes = options.shape
    if shapes is None and _is_module(function):
        raise UsageError("a Module needs --shape, that of its input, with the batch first: --shape 8,784")
    if shapes is None:
        shapes = [SHAPE] * len(names["needed"])
    dtype = _dtype(options.dtype, function)
    rng = np.random.default_rng(options.seed)
    called = [*names["all"], *(f"input {i + 1}" for i in range(len(names["all"]), len(shapes)))]
    learned = not _is_module(function)  # else its parameters are what requires grad
    return {name: _input(shape, dtype, rng, learned) for name, shape in zip(called, shapes, strict=False)}


def _names(function):
    """The names of a function's arguments by position, all of them and those it must have; x, where it tells none."""
    try:
        parameters = inspect.signature(getattr(function, "forward", function)).parameters.values()
        places = [p for p in parameters if p.kind <= p.POSITIONAL_OR_KEYWORD]
    except (TypeError, ValueError):
        return {"all": ["x"], "needed": ["x"]}
    needed = [p.name for p in places if p.default is p.empty]
    return {"all": [p.name for p in places], "needed": needed}


def _dtype(name, function):
    if name is None and _is_module(function):
        return next((p.dtype for p in function.parameters()), np.dtype("float32"))
    try:
        return np.dtype(name or "float64")
    except TypeError:
        raise UsageError(f"--dtype: numpy has no dtype {name!r}") from None


def _input(shape, dtype, rng, learned):
    """A random input: standard normal, of integers 0 to 9; 'value' is a Value."""
    if shape == "value":
        return Value(float(rng.normal()))
    try:
        sizes = tuple(int(n) for n in shape.strip("()").split(",") if n.strip())
    except ValueError:
        raise UsageError(f"--shape: write sizes with commas, as in 3,4, or 'value', not {shape!r}") from None
    if any(n < 0 for n in sizes):
        raise UsageError(f"--shape: a size cannot be negative: {shape}")
    floating = dtype.kind == "f"
    x = rng.normal(size=sizes) if floating else rng.integers(10, size=sizes)
    return tensor(np.asarray(x).astype(dtype), requires_grad=floating and learned)


def _built(function, inputs, name):
    """What the function builds of the inputs."""
    try:
        with watch():
            value = function(*inputs.values())
    except Exception as error:
        shapes = ", ".join(str(getattr(x, "shape", "value")) for x in inputs.values()) or "none"
        told = f"{name} failed on inputs of shape {shapes}: {type(error).__name__}: {error}"
        raise UsageError(f"{told}; give others with --shape") from error
    if not isinstance(value, Tensor | Value):
        kind = type(value).__name__
        raise UsageError(f"{name} gives an answer of type {kind}; only a Tensor or a Value has a graph")
    return value


if __name__ == "__main__":
    sys.exit(main())
