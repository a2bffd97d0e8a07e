"""`python -m mytorch.autograd.gradcheck package.module:op --shape 3,4 --domain 0.1,5`: a custom op from the shell.

Exit status: 0 where the derivatives are right, 1 where one is wrong or could not be judged, 2 where nothing could be
checked (no such function, or it fails on such inputs).
"""

import argparse
import importlib
import json
import os
import sys

import numpy as np

from . import gradcheck


def main(argv=None):
    """Runs the command and returns its exit status."""
    options = _parser().parse_args(argv)
    try:
        report = gradcheck(_function(options.op), *_inputs(options), order=options.order, raise_error=False)
    except Exception as error:
        print(f"gradcheck: {options.op} cannot be checked: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    print(json.dumps(report.to_dict(), indent=2) if options.json else report)
    return 0 if report else 1


def _parser():
    parser = argparse.ArgumentParser(prog="python -m mytorch.autograd.gradcheck", description=__doc__.splitlines()[0])
    parser.add_argument("op", metavar="package.module:op", help="the function; a class is called for its instance")
    shape = "of an input; once for each (default: 3,4)"
    domain = "of an input; the last one serves the rest (default: -2,2)"
    parser.add_argument("--shape", action="append", type=_shape, metavar="3,4", help=shape)
    parser.add_argument("--domain", action="append", type=_domain, metavar="0.1,5", help=domain)
    parser.add_argument("--order", type=int, default=1, help="2 checks the second derivatives too")
    parser.add_argument("--seed", type=int, default=0, help="of the random inputs")
    parser.add_argument("--json", action="store_true", help="print report.to_dict()")
    return parser


def _shape(text):
    try:
        return tuple(int(n) for n in text.split(",") if n)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no shape; write 3,4") from None


def _domain(text):
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no domain; write 0.1,5, or --domain=-2,2") from None
    return low, high


def _function(name):
    module, colon, path = name.partition(":")
    if not colon:
        raise ValueError(f"write package.module:op, as in mytorch:tanh, for {name}")
    sys.path.insert(0, os.getcwd())
    found = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found() if isinstance(found, type) else found


def _inputs(options):
    """Random inputs of the shapes asked for, uniform in their domains."""
    rng = np.random.default_rng(options.seed)
    shapes = options.shape or [(3, 4)]
    domains = options.domain or [(-2.0, 2.0)]
    domains = domains + domains[-1:] * (len(shapes) - len(domains))
    return [rng.uniform(low, high, shape) for shape, (low, high) in zip(shapes, domains, strict=False)]


if __name__ == "__main__":
    sys.exit(main())
