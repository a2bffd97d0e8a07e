"""One run from its options to its folder: what `python -m mytorch.train` does once its arguments are understood."""

import contextlib
import copy
import csv
import io
import itertools
import json
import platform
import sys
from pathlib import Path
from time import perf_counter

import numpy as np

from .. import __version__, nn
from . import checkpoint, data
from .loop import COLUMNS, Diverged, evaluate, fit
from .optim import SCHEDULES, SGD, Adam, AdamW

METRICS, RESULT = "metrics.csv", "result.json"
CURVES = ["train_loss.png", "train_error.png", "val_loss.png", "val_error.png"]
GRAPH = "graph.svg"
FILES = [checkpoint.CONFIG, METRICS, RESULT, checkpoint.MODEL, *CURVES, GRAPH]

OPTIMIZERS = {
    "sgd": lambda params, o: SGD(params, o["lr"], o["momentum"], nesterov=o["nesterov"], weight_decay=o["weight_decay"]),
    "adam": lambda params, o: Adam(params, o["lr"], weight_decay=o["weight_decay"]),
    "adamw": lambda params, o: AdamW(params, o["lr"], weight_decay=o["weight_decay"]),
}


class StartError(RuntimeError):
    """The run cannot begin, for a reason outside its arguments and data."""


def run(options):
    """Trains, prints how it goes, and fills the folder; returns the exit status.

    options: a dict of all options of the command line, see cli.resolve.
    """
    tqdm, threadpool_limits = _packages()
    with threadpool_limits(options["threads"], user_api="blas"):
        return _run(options, tqdm)


def _packages():
    """What the [train] extra brings, asked for before any work is done."""
    try:
        import safetensors  # noqa: F401 (checkpoint's)
        from threadpoolctl import threadpool_limits
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError(f"training needs {error.name}: pip install 'mytorch-autograd[train]'") from error
    return tqdm, threadpool_limits
