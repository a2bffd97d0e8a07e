"""Models on disk: a safetensors file of the state, under PyTorch's names and layouts.

    save(model, "model.safetensors")
    model.load_state_dict(load("model.safetensors"))
    model = load_model("runs/mnist-1")      # what `python -m mytorch.train` wrote, ready to predict

A file appears whole or not at all. What is wrong with one is a `CheckpointError`, one sentence that begins with its
path.
"""

import contextlib
import json
import os
import uuid
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np

from .. import nn

__all__ = ["CheckpointError", "load", "load_model", "metadata", "save"]

MODEL, CONFIG = "model.safetensors", "config.json"  # their names in the folder of a run


class CheckpointError(ValueError):
    """A file is no checkpoint, or not one of this model."""


# ----- states -----


def save(model, path, metadata=None):
    """Writes the state of `model`, a Module or a dict of arrays, to a safetensors file.

    metadata: a dict of what to know about it, of values that JSON can hold. The same state and metadata give the
              same bytes.
    """
    state = model.state_dict() if isinstance(model, nn.Module) else model
    # the library writes an array's memory as it lies there, whatever its strides
    state = {name: np.asarray(x, dtype=x.dtype.newbyteorder("="), order="C") for name, x in state.items()}
    # and several keys of metadata in an order that changes from process to process, so there is one
    told = {"mytorch": json.dumps({**(metadata or {}), "crc32": _sum(state)})}
    write(path, _safetensors().numpy.save(state, told))


def load(path):
    """The state in a safetensors file, whoever wrote it: a dict of arrays for model.load_state_dict."""
    with _opened(path) as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    if metadata(path).get("crc32", _sum(state)) != _sum(state):  # the format itself has no check sum
        raise CheckpointError(f"{path}: damaged, the check sum of its arrays is not the one written with them")
    return state


def metadata(path):
    """What `save` was told about the state in a safetensors file; nothing, where another program wrote it."""
    with _opened(path) as file:
        return json.loads((file.metadata() or {}).get("mytorch", "{}"))


def _sum(state):
    """The CRC-32 of the arrays in order of their names, in hexadecimal."""
    total = 0
    for name in sorted(state):
        total = zlib.crc32(state[name], total)
    return f"{total:08x}"


@contextlib.contextmanager
def _opened(path):
    """The safetensors file at `path`, open; a CheckpointError where it cannot be read."""
    safetensors = _safetensors()
    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            yield file
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except (OSError, TypeError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path}: no safetensors file, damaged, or not for numpy ({error})") from error


def _safetensors():
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError("saving a model needs safetensors: pip install 'mytorch-autograd[train]'") from error
    return safetensors


# ----- models of runs -----

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "identity": nn.Identity}


def build(sizes, activations, batch_norm, dtype="float32", rng=None):
    """An MLP as a run's config describes it: Linear, BatchNorm1d in the first `batch_norm` layers, activation.

    sizes:       the widths of all layers, inputs first, outputs last.
    activations: one of ACTIVATIONS for each hidden layer.
    """
    rng, layers = nn.init.generator(rng), []
    *hidden, last = pairwise(sizes)
    for k, ((i, o), activation) in enumerate(zip(hidden, activations, strict=True)):
        layers += [nn.Linear(i, o, dtype=dtype, rng=rng)]
        layers += [nn.BatchNorm1d(o, dtype=dtype)] if k < batch_norm else []
        layers += [ACTIVATIONS[activation]()]
    return nn.Sequential(*layers, nn.Linear(*last, dtype=dtype, rng=rng))


def load_model(run):
    """The model of a run, from the config.json and model.safetensors in its folder, in evaluation mode."""
    folder = Path(run)
    try:
        config = json.loads((folder / CONFIG).read_bytes())["model"]
        model = build(**config, rng=0)
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder / CONFIG}: no such file; give the folder of a run") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{folder / CONFIG}: not the config of a run ({reason})") from error
    try:
        model.load_state_dict(load(folder / MODEL))
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"{folder / MODEL}: {error}") from error
    return model.eval()


# ----- files -----


def write(path, data):
    """Puts bytes at `path`, whole or not at all."""
    path = Path(path)
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")  # not tempfile's, which only its owner can read
    try:
        scratch.write_bytes(data)
        os.replace(scratch, path)
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink()
