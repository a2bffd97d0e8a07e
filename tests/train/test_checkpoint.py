"""Checkpoints: what is saved is what comes back, and what is wrong with a file is one sentence that names it."""

import json
import os
import stat

import numpy as np
import pytest
import safetensors.numpy

import mytorch as mt
from mytorch import nn
from mytorch.train import checkpoint
from mytorch.train.checkpoint import CheckpointError

STATE = {
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "strided": np.arange(20.0)[::3],
    "reversed": np.arange(4.0)[::-1],
    "broadcast": np.broadcast_to(np.float32(2.5), (3, 2)),
    "number": np.array(7),
    "empty": np.zeros((0, 3)),
    "big endian": np.arange(3, dtype=">f4"),
    "half": np.ones(2, np.float16),
    "flags": np.array([True, False]),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("name", STATE)
def test_arrays_of_any_layout_come_back(path, name):
    """The format holds C-contiguous little-endian memory; shapes, dtypes and values survive it."""
    checkpoint.save({"x": STATE[name]}, path)

    x = checkpoint.load(path)["x"]

    assert (x.shape, x.dtype) == (STATE[name].shape, STATE[name].dtype.newbyteorder("="))
    assert x.tolist() == STATE[name].tolist()


def test_a_model_comes_back(path):
    """Also where a parameter's memory is transposed: outputs are the same, bit for bit."""
    model, other = (nn.MLP(6, [5], 3, batch_norm=True, rng=seed) for seed in (0, 1))
    model[0].weight.data = np.asfortranarray(model[0].weight.data)
    x = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    model(x)  # moves the running averages

    checkpoint.save(model, path)
    other.load_state_dict(checkpoint.load(path))

    assert other.eval()(x).tolist() == model.eval()(x).tolist()
    assert checkpoint.load(path).keys() == model.state_dict().keys()


def test_files_are_plain_safetensors(path):
    """The library reads what is saved, and what it has written itself is loaded."""
    checkpoint.save(STATE, path, {"epochs": 3})
    assert set(safetensors.numpy.load_file(path)) == set(STATE)

    safetensors.numpy.save_file({"x": np.ones(3)}, path)
    assert checkpoint.load(path)["x"].tolist() == [1, 1, 1]
    assert checkpoint.metadata(path) == {}


def test_metadata_keep_their_types_and_bytes_are_reproducible(path, tmp_path):
    """Numbers, lists and dicts come back as such; the same state and metadata make the same file."""
    told = {"epochs": 3, "model": {"sizes": [1, 2]}, "a": 1, "b": 2, "c": 3}
    checkpoint.save(STATE, path, told)
    checkpoint.save(dict(reversed(STATE.items())), tmp_path / "again", told)

    assert told.items() <= checkpoint.metadata(path).items()
    assert path.read_bytes() == (tmp_path / "again").read_bytes()


def damaged(data):
    """The bytes of a checkpoint in which one bit of the last array has flipped."""
    return data[:-1] + bytes([data[-1] ^ 1])


DAMAGE = {
    "a flipped bit": (damaged, "damaged"),
    "cut short": (lambda data: data[:-4], "no safetensors file"),
    "nothing": (lambda data: b"", "no safetensors file"),
    "another format": (lambda data: b"PK\3\4" + b"0" * 500, "no safetensors file"),
    "text": (lambda data: b"epoch,loss\n1,0.5\n", "no safetensors file"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_and_foreign_files_are_named(path, name):
    """One line that begins with the path."""
    change, reason = DAMAGE[name]
    checkpoint.save({"x": np.arange(100.0)}, path)
    path.write_bytes(change(path.read_bytes()))

    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(path)
    assert str(caught.value).startswith(f"{path}: {reason}")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(path, tmp_path):
    """And a folder is no file."""
    with pytest.raises(CheckpointError, match=r"model\.safetensors: no such file"):
        checkpoint.load(path)
    with pytest.raises(CheckpointError, match="no safetensors file"):
        checkpoint.load(tmp_path)


def test_a_failed_write_leaves_the_file_that_was_there(path, monkeypatch):
    """And nothing else in the folder."""
    checkpoint.save({"x": np.zeros(2)}, path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save({"x": np.ones(2)}, path)
    assert checkpoint.load(path)["x"].tolist() == [0, 0]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_files_have_the_permissions_of_any_new_file(path, tmp_path):
    """Not those of a temporary one, which others could not read."""
    checkpoint.save({"x": np.zeros(2)}, path)
    (tmp_path / "plain").touch()

    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


# ----- models of runs -----

CONFIG = {"sizes": [6, 5, 4, 3], "activations": ["tanh", "sigmoid"], "batch_norm": 1, "dtype": "float64"}


@pytest.fixture
def run(tmp_path):
    """The folder of a run and its model, in evaluation mode."""
    model = checkpoint.build(**CONFIG, rng=5)
    model(np.random.default_rng(0).normal(size=(8, 6)))
    checkpoint.save(model, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model": CONFIG}))
    return tmp_path, model.eval()


def test_the_model_that_a_config_describes():
    """Linear, batch norm in the first layers, activation; then a Linear."""
    model = checkpoint.build(**CONFIG, rng=0)

    kinds = [type(layer) for layer in model]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.Tanh, nn.Linear, nn.Sigmoid, nn.Linear]
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float64)}
    assert [layer.weight.shape for layer in model if isinstance(layer, nn.Linear)] == [(5, 6), (4, 5), (3, 4)]


def test_load_model_gives_the_model_of_a_run(run):
    """Ready to predict: in evaluation mode, with the same outputs bit for bit."""
    folder, model = run
    x = np.random.default_rng(1).normal(size=(8, 6))

    loaded = checkpoint.load_model(folder)

    assert not loaded.training
    assert loaded(x).tolist() == model(x).tolist()
    assert checkpoint.load_model(str(folder))(mt.tensor(x)).tolist() == model(x).tolist()


SPOILT = [
    ("config.json", None, "config.json: no such file; give the folder of a run"),
    ("config.json", b"{", "config.json: not the config of a run"),
    ("config.json", b"{}", "config.json: not the config of a run"),
    ("config.json", b"[1]", "config.json: not the config of a run"),
    ("config.json", b'{"model": {"sizes": [1, 2]}}', "config.json: not the config of a run"),
    ("model.safetensors", None, "model.safetensors: no such file"),
    ("model.safetensors", b"", "model.safetensors: no safetensors file"),
    ("config.json", json.dumps({"model": CONFIG | {"sizes": [6, 5, 4, 2]}}).encode(), "model.safetensors: load_state"),
]


@pytest.mark.parametrize(("name", "data", "message"), SPOILT)
def test_a_spoilt_run_is_named(run, name, data, message):
    """Which file, and what is wrong with it, in one line."""
    folder, _ = run
    if data is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(data)

    with pytest.raises(CheckpointError) as caught:
        checkpoint.load_model(folder)
    assert str(caught.value).startswith(f"{folder}{os.sep}{message}")
    assert "\n" not in str(caught.value)
