"""The command line: a table of options, what a preset makes of them, and the exit status of each ending."""

import argparse
import math
import os
import sys
import warnings
from pathlib import Path

from . import run
from .checkpoint import ACTIVATIONS
from .data import DataError
from .optim import SCHEDULES

PROG = "python -m mytorch.train"
ENDINGS = """exit status:
  0    trained to the end
  1    diverged, or a file could not be written; what was trained before is in the folder
  2    not started: a wrong argument, unusable data, a missing package
  130  stopped by Ctrl-C; what was trained before is in the folder"""


class UsageError(ValueError):
    """The arguments cannot be used together."""


# ----- what an argument may be -----


def whole(least, most=None):
    """A parser of whole numbers in a range."""

    def parse(text):
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or not least <= number <= (most or math.inf):
            limits = f"from {least} to {most:,}" if most else f"from {least}"
            raise argparse.ArgumentTypeError(f"must be a whole number {limits}, not {text!r}")
        return number

    return parse


def real(must, test):
    """A parser of finite numbers that pass a test."""

    def parse(text):
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and test(number)):
            raise argparse.ArgumentTypeError(f"must be a number {must}, not {text!r}")
        return number

    return parse


# ----- the options -----

DEFAULTS = {
    "data": "mnist",
    "standardize": "no",
    "hidden": [256, 128],
    "activation": ["relu"],
    "batch_norm": True,
    "init": "uniform",
    "dtype": "float32",
    "epochs": 15,
    "batch_size": 100,
    "optimizer": "sgd",
    "lr": None,
    "schedule": "linear",
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": None,
    "seed": 0,
    "threads": 1,
    "preset": "default",
    "out": None,
    "quiet": False,
}
PRESETS = {
    "default": {},
    "handout": {  # "Plots" in the handout: its network, rate and momentum, and images standardised part by part
        "standardize": "each",
        "hidden": [32, 32, 32],
        "activation": ["sigmoid"],
        "batch_norm": False,
        "init": "normal",
        "dtype": "float64",
        "epochs": 200,
        "lr": 1e-3,
        "schedule": "constant",
        "momentum": 0.856,
    },
}
BY_OPTIMIZER = {  # what stands for None
    "sgd": {"lr": 0.1, "weight_decay": 0.0},
    "adam": {"lr": 0.001, "weight_decay": 0.0},
    "adamw": {"lr": 0.001, "weight_decay": 0.01},
}

RATE, SHARE = real("above 0", lambda x: x > 0), real("from 0 to below 1", lambda x: 0 <= x < 1)
WIDTH = whole(1, 1_000_000)
OPTIONS = {  # group: rows of (flags, what argparse is told)
    "data": [
        ("--data", dict(metavar="SOURCE", help="mnist (in this package), a folder of IDX files, or an .npz file")),
        ("--standardize", dict(choices=["no", "train", "each"], help="mean 0 and deviation 1 over all entries: as"
                               " measured on the training part, or for each part its own")),
    ],
    "model": [
        ("--hidden --hiddens", dict(nargs="*", type=WIDTH, metavar="N", help="widths of the hidden layers; none: a"
                                    " linear classifier")),
        ("--activation --activations", dict(nargs="+", choices=list(ACTIVATIONS), metavar="NAME", help="one, or one"
                                            f" for each hidden layer: {', '.join(ACTIVATIONS)}")),
        ("--batch-norm", dict(nargs="?", const=True, type=whole(0), metavar="N", help="batch norm in all hidden"
                              " layers, or in the first N")),
        ("--no-batch-norm", dict(dest="batch_norm", action="store_false", help="none")),
        ("--init", dict(choices=list(run.INITS), help="weights as in PyTorch's Linear, or standard normal with biases"
                        " of 0")),
        ("--dtype", dict(choices=["float32", "float64"], help="of data, parameters and gradients")),
    ],
    "training": [
        ("--epochs", dict(type=whole(1), metavar="N", help="passes over the training part")),
        ("--batch-size", dict(type=whole(1), metavar="N", help="examples a step")),
        ("--optimizer", dict(choices=list(run.OPTIMIZERS), help="")),
        ("--lr", dict(type=RATE, metavar="RATE", help="first learning rate")),
        ("--schedule", dict(choices=list(SCHEDULES), help="the rate falls to 0 in a straight line, or stays")),
        ("--momentum", dict(type=SHARE, metavar="M", help="of sgd")),
        ("--nesterov", dict(action=argparse.BooleanOptionalAction, help="Nesterov's momentum, for sgd")),
        ("--weight-decay", dict(type=real("from 0", lambda x: x >= 0), metavar="D", help="towards 0")),
        ("--seed", dict(type=whole(0), metavar="N", help="the same seed gives the same numbers, bit for bit")),
        ("--threads", dict(type=whole(1), metavar="N", help="of matrix products: more pay only for wide layers, and"
                           " give other last digits")),
    ],
    "run": [
        ("--preset", dict(choices=list(PRESETS), help="a set of values for the options that are not given")),
        ("--out", dict(metavar="DIR", help="folder of the run, where files of an earlier one are replaced (default: a"
                       " new one, runs/NAME-NUMBER)")),
        ("--quiet", dict(action="store_true", help="print the result alone")),
    ],
}  # fmt: skip


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message):
        self.exit(2, f"{PROG}: {message}; --help shows what there is\n")


def parser():
    """The parser of OPTIONS; what is not given is not in its answer."""
    parser = Parser(
        prog=PROG,
        usage="%(prog)s [options]",
        description="Trains a multilayer perceptron to classify, on MNIST by default, and writes into a folder: "
        f"{', '.join(run.FILES)}.",
        epilog=f"{_preset_text()}\n\n{ENDINGS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    for title, rows in OPTIONS.items():
        group = parser.add_argument_group(title)
        for flags, told in rows:
            name = flags.split()[0].removeprefix("--").replace("-", "_")
            group.add_argument(*flags.split(), **told | {"help": _with_default(name, told["help"])})
    return parser


def _with_default(name, text):
    default = DEFAULTS.get(name)
    if name in BY_OPTIMIZER["sgd"]:
        shown = ", ".join(f"{values[name]:g} for {optimizer}" for optimizer, values in BY_OPTIMIZER.items())
    elif default is None or isinstance(default, bool):
        shown = {"batch_norm": "all"}.get(name)
    else:
        shown = _words(default)
    return f"{text} (default: {shown})".strip() if shown else text


def _words(value):
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _preset_text():
    words = []
    for name, value in PRESETS["handout"].items():
        flag = f"--{name.replace('_', '-')}"
        words.append(flag.replace("--", "--no-", 1) if value is False else f"{flag} {_words(value)}")
    lines = [" ".join(words[i : i + 4]) for i in range(0, len(words), 4)]
    return "--preset handout is the course handout's run:\n  " + "\n  ".join(lines)


def resolve(given):
    """All options as a dict: those given, the preset's for the rest, then the defaults; and checked together."""
    options = DEFAULTS | PRESETS[given.get("preset", "default")] | given
    layers = len(options["hidden"])
    options["activation"] = _one_a_layer(options["activation"], layers)
    options["batch_norm"] = layers if options["batch_norm"] is True else int(options["batch_norm"])
    if options["batch_norm"] > layers:
        raise UsageError(f"--batch-norm {options['batch_norm']}: there are only {layers} hidden layers")
    if options["batch_norm"] and options["batch_size"] == 1:
        raise UsageError("--batch-size 1: batch norm has no variance of one example; give more, or --no-batch-norm")
    for name, value in BY_OPTIMIZER[options["optimizer"]].items():
        options[name] = value if options[name] is None else options[name]
    if options["optimizer"] != "sgd":
        for name in ("momentum", "nesterov"):
            if given.get(name):
                raise UsageError(f"--{name}: {options['optimizer']} has none; it is an option of sgd")
            options[name] = None
    if options["nesterov"] and not options["momentum"]:
        raise UsageError("--nesterov: needs a --momentum above 0")
    return options


def _one_a_layer(activations, layers):
    if len(activations) == 1:
        return activations * layers
    if len(activations) != layers:
        raise UsageError(f"--activation: {len(activations)} of them for {layers} hidden layers; give one, or one each")
    return activations


# ----- the command -----


def main(argv=None):
    """Trains as the arguments say (sys.argv's by default); returns the exit status, see ENDINGS."""
    try:
        options = resolve(vars(parser().parse_args(argv)))
        with warnings.catch_warnings():
            # numpy's about overflow and the engine's about gradients: a loss that is not finite ends the run anyway
            warnings.simplefilter("ignore", RuntimeWarning)
            return run.run(options)
    except BrokenPipeError:  # whoever read what is printed has closed: print the rest, at exit, to nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (UsageError, DataError, run.StartError, ImportError) as error:
        return _fail(2, error)
    except MemoryError as error:
        return _fail(2, f"out of memory ({error})")
    except OSError as error:
        return _fail(1, f"{error.filename or ''}: {error.strerror or error}")
    except KeyboardInterrupt:
        return _fail(130, "stopped by Ctrl-C")


def _fail(status, message):
    print(f"{PROG}: {' '.join(str(message).split())}", file=sys.stderr)
    return status
