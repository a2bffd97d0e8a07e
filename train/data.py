"""Data sets for classification as arrays: MNIST (in this package), folders of IDX files, .npz archives.

    data, rng = standardize(load("mnist")), np.random.default_rng(0)
    for rows in batches(len(data.train.x), 100, rng):
        step(data.train.x[rows], data.train.y[rows])

What is wrong with a file is one sentence that begins with its path: a `DataError`, or a `MissingDataError`.
"""

import gzip
import hashlib
import math
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np


class DataError(ValueError):
    """The data cannot be used as they are; the message names the place and the way out."""


class MissingDataError(DataError, FileNotFoundError):
    """A file or folder of data does not exist."""


class Split(NamedTuple):
    """Examples and their classes, row by row."""

    x: np.ndarray  # (n, features), floating point
    y: np.ndarray  # (n,), int64, 0 to classes - 1


class Dataset(NamedTuple):
    """The three parts of a data set: to learn from, to choose by, to report on."""

    train: Split
    val: Split
    test: Split
    name: str
    classes: int


# ----- where data come from -----

MNIST = Path(__file__).with_name("mnist")
FILES = {  # the standard names, and the MD5 of each unpacked file of MNIST itself (mnist/README.md)
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
KEYS = ["x_train", "y_train", "x_test", "y_test"]  # as in Keras' mnist.npz
VAL_KEYS = ["x_val", "y_val"]


def load(source, dtype=np.float32):
    """The data set that `source` names: "mnist", a folder of IDX files, or an .npz file.

    "mnist" is always the one in this package; a folder of that name is "./mnist".
    """
    if source == "mnist":
        return mnist(dtype)
    path, ways = Path(source), "give mnist, a folder of IDX files or an .npz file"
    _require(path, f"; {ways}")
    if path.is_dir():
        return idx_folder(path, dtype)
    if path.suffix == ".npz":
        return npz(path, dtype)
    raise DataError(f"{path}: not a data set; {ways}")


def mnist(dtype=np.float32):
    """The whole of MNIST as 55,000/5,000/10,000 examples, from the files in this package, their sums checked.

    Pixels lie in [0, 1]. The validation part is the last 5,000 examples of the training file.
    """
    try:
        return _from_idx("mnist", [(MNIST / f"{name}.gz", md5) for name, md5 in FILES.items()], dtype)
    except DataError as error:
        raise type(error)(f"{error}; the file is part of the package: reinstall mytorch-autograd") from error


def idx_folder(path, dtype=np.float32):
    """The data set in a folder of four IDX files that have MNIST's names, such as Fashion-MNIST.

    Each may be gzipped, and may be spelt `train-images.idx3-ubyte`. The last twelfth of the training
    examples (at least one) becomes the validation part. Unsigned bytes are pixels, scaled to [0, 1].
    """
    folder = Path(path)
    _require(folder)
    if not folder.is_dir():
        raise DataError(f"{path}: not a folder of IDX files")
    with _reading(path):
        found = {name: _find(folder, name) for name in FILES}
    if missing := [name for name, file in found.items() if file is None]:
        raise MissingDataError(f"{path}: no {', '.join(missing)} here, neither plain nor .gz")
    return _from_idx(folder.resolve().name, [(file, None) for file in found.values()], dtype)


def npz(path, dtype=np.float32):
    """The data set in an .npz file with x_train, y_train, x_test, y_test and, optionally, x_val, y_val.

    x is (n, ...) of numbers, y (n,) of whole numbers from 0. Without x_val and y_val the last twelfth of
    the training examples (at least one) becomes the validation part. uint8 is scaled to [0, 1].
    """
    path = Path(path)
    _require(path)
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: not an .npz file, or cut short")
    # opened here, because np.load(path) leaks its handle when the archive turns out to be damaged
    with _reading(path), path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        keys = KEYS + (VAL_KEYS if any(key in file for key in VAL_KEYS) else [])
        if missing := [key for key in keys if key not in file]:
            raise DataError(f"{path}: no {', '.join(missing)} among its arrays, {list(file)}")
        fields = [(f"{path}: {key}", _member(file, key, path)) for key in keys]
    return _dataset(path.stem, fields, dtype)


# ----- files -----

IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_DIMENSIONS = 64  # numpy's limit


def read_idx(path, md5=None):
    """The array in an IDX file, plain or gzipped, in native byte order.

    The file must be exactly as long as its header says, and where `md5` is given, that must be the sum of
    its unpacked bytes. An IDX file is two zero bytes, a type, the number of dimensions, each dimension as
    a big-endian uint32, then the values, big-endian too (LeCun, Cortes and Burges, MNIST's web page).
    """
    raw = _unpacked(Path(path))
    if md5 and (found := hashlib.md5(raw, usedforsecurity=False).hexdigest()) != md5:
        raise DataError(f"{path}: damaged, the MD5 of its contents is {found} and should be {md5}")
    dtype, shape = _idx_header(path, raw)
    start, size = 4 + 4 * len(shape), dtype.itemsize * math.prod(shape)
    if len(raw) - start != size:
        stated = f"its header says {size:,}, {dtype.name} {shape}"
        raise DataError(f"{path}: {len(raw) - start:,} bytes of values where {stated}")
    return np.frombuffer(raw, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _idx_header(path, raw):
    """The dtype and shape that the head of an IDX file states."""
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in IDX_TYPES or not 1 <= raw[3] <= MOST_DIMENSIONS:
        raise DataError(f"{path}: not an IDX file, it begins with {raw[:4].hex(' ') or 'nothing'}")
    if len(raw) < 4 + 4 * raw[3]:
        raise DataError(f"{path}: cut short inside its header")
    shape = tuple(np.frombuffer(raw, ">u4", raw[3], offset=4).tolist())
    if 0 in shape:
        raise DataError(f"{path}: empty, its header gives the shape {shape}")
    return np.dtype(IDX_TYPES[raw[2]]), shape


def _unpacked(path):
    """The bytes of a file without their gzip, if any: its content tells, for browsers unpack and keep .gz."""
    _require(path)
    with _reading(path):
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


def _member(file, key, path):
    """One array of an open .npz file, which is read (and its checksum checked) only now."""
    with _reading(f"{path}: {key}"):
        return np.asarray(file[key])  # bytes, if its head is damaged so far that numpy sees no array


@contextmanager
def _reading(place):
    """Turns whatever goes wrong into a DataError: gzip, zipfile and numpy meet damage with a dozen types."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{place}: cannot be read ({reason})") from error


def _find(folder, name):
    """The file in `folder` that goes by `name`, plain before gzipped, or None."""
    spellings = [f"{stem}{gz}" for stem in (name, name.replace("-idx", ".idx")) for gz in ("", ".gz")]
    return next((folder / spelling for spelling in spellings if (folder / spelling).is_file()), None)


def _require(path, hint=""):
    with _reading(path):  # a folder above it may be closed to us
        if not path.exists():
            raise MissingDataError(f"{path}: no such file or folder{hint}")


# ----- from arrays to a data set: every check that does not depend on the format -----

MOST_CLASSES = 1_000_000  # a larger label is a mistake (an identifier, a wrapped -1), not a class


def _from_idx(name, files, dtype):
    """A Dataset from the (path, MD5 or None) of four IDX files in the order of FILES."""
    return _dataset(name, [(file, read_idx(file, md5)) for file, md5 in files], dtype)


def _dataset(name, fields, dtype):
    """A Dataset from (place, array) pairs in the order of KEYS + VAL_KEYS, the last two optional."""
    if np.dtype(dtype).kind != "f":
        raise TypeError(f"dtype must be a floating type such as float32, not {np.dtype(dtype)}")
    splits = [_split(*pair, dtype) for pair in zip(fields[::2], fields[1::2], strict=True)]
    sizes = [split.x.shape[1] for split in splits]
    for (place, _), size in zip(fields[::2], sizes, strict=True):
        if size != sizes[0]:
            raise DataError(f"{place}: {size} features an example, but the training part has {sizes[0]}")
    train, test, *val = splits
    train, val = (train, *val) if val else _hold_out(train, fields[0][0])
    return Dataset(train, val, test, name, classes=1 + max(int(split.y.max()) for split in splits))


def _hold_out(train, place):
    """The training examples but the last twelfth, and that twelfth: 5,000 of MNIST's 60,000."""
    if len(train.y) < 2:
        raise DataError(f"{place}: one example alone leaves nothing to validate on")
    keep = len(train.y) - max(1, len(train.y) // 12)
    return Split(train.x[:keep], train.y[:keep]), Split(train.x[keep:], train.y[keep:])


def _split(features, labels, dtype):
    """A Split from two (place, array) pairs."""
    x, y = _features(*features, dtype), _labels(*labels)
    if len(x) != len(y):
        raise DataError(f"{labels[0]}: {len(y):,} labels for the {len(x):,} examples in {features[0]}")
    return Split(x, y)


def _features(place, x, dtype):
    """x as (n, features) of `dtype`, C-contiguous; bytes become [0, 1], other numbers keep their values."""
    if x.dtype.kind not in "biuf":
        raise DataError(f"{place}: holds {x.dtype}, not real numbers")
    if x.ndim < 2 or x.size == 0:
        raise DataError(f"{place}: has shape {x.shape}; it must be (examples, features...), none of them 0")
    x = x.reshape(len(x), -1)
    if x.dtype == np.uint8:
        return np.divide(x, 255, dtype=dtype, order="C")
    with np.errstate(over="ignore", invalid="ignore"):  # reported below, with the place
        out = x.astype(dtype, order="C")
    if not np.isfinite(out).all():
        row, column = np.argwhere(~np.isfinite(out))[0]
        raise DataError(f"{place}: {x[row, column]} in example {row} is no finite {np.dtype(dtype)}")
    return out


def _labels(place, y):
    """y as int64, checked to be one class number an example."""
    if y.dtype.kind not in "biu":
        raise DataError(f"{place}: holds {y.dtype}; labels must be whole numbers, as y.astype(int) gives")
    if y.ndim != 1 or y.size == 0:
        raise DataError(f"{place}: has shape {y.shape}; it must be one label an example, (examples,)")
    wrong = (y < 0) | (y >= MOST_CLASSES)
    if wrong.any():
        raise DataError(f"{place}: the label {y[wrong][0]} is no class (0, 1, ..., below {MOST_CLASSES:,})")
    return y.astype(np.int64)


# ----- for training -----


def standardize(data, how="train"):
    """The data set with mean 0 and standard deviation 1 over all entries of x together.

    how: "train" measures the training part and treats all three parts alike; "each" gives every part its
    own, as the handout's run does (it does not say whether for all pixels together or for each; many
    pixels of MNIST are always 0, so: together). A part without any variation only loses its mean.
    """
    parts = (data.train, data.val, data.test)
    if how == "train":
        measures = [mean_std(data.train.x)] * 3
    elif how == "each":
        measures = [mean_std(part.x) for part in parts]
    else:
        raise ValueError(f'standardize: how is "train" or "each", not {how!r}')
    scaled = [Split(_scaled(part.x, *measure), part.y) for part, measure in zip(parts, measures, strict=True)]
    return Dataset(*scaled, data.name, data.classes)


def mean_std(x):
    """Mean and standard deviation (over n) of all entries of x, in float64; a deviation of 0 becomes 1."""
    if x.min() == x.max():  # rounding would give a constant a deviation of 1e-17, and dividing by that, noise
        return float(x.flat[0]), 1.0
    mean, squares = x.mean(dtype=np.float64), 0.0
    for _, block in _blocks(x):
        block -= mean
        squares += np.vdot(block, block)
    return float(mean), math.sqrt(squares / x.size) or 1.0


def _scaled(x, mean, std):
    """(x - mean) / std, computed in float64 and rounded once to x's dtype."""
    out = np.empty_like(x)
    for rows, block in _blocks(x):
        out[rows] = (block - mean) / std
    return out


def _blocks(x, size=256):
    """(rows, those rows in float64) all through x: the whole of MNIST in float64 would take 360 MB."""
    for i in range(0, len(x), size):
        yield slice(i, i + size), x[i : i + size].astype(np.float64)


def one_hot(labels, classes, dtype=np.float32):
    """Rows of zeros with a 1 at each label: shape labels.shape + (classes,).

    >>> one_hot([2, 0], 3).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    labels = np.asarray(labels)
    if labels.size and (labels.dtype.kind not in "biu" or labels.min() < 0 or labels.max() >= classes):
        raise DataError(f"one_hot: labels must be whole numbers from 0 to {classes - 1}")
    return (labels[..., None] == np.arange(classes)).astype(dtype)


def batches(n, batch_size, rng=None, drop_last=False):
    """Index arrays that visit 0..n-1 once: in a new random order if `rng` (a Generator or a seed) is given.

    The last is shorter where batch_size does not divide n; `drop_last` leaves it out, even if it is the
    only one. Gather with `x[rows]`. Give all epochs one Generator: the same seed is the same order again.

    >>> [rows.tolist() for rows in batches(5, 2)]
    [[0, 1], [2, 3], [4]]
    """
    for name, value, least in ("n", n, 0), ("batch_size", batch_size, 1):
        if not isinstance(value, int | np.integer) or value < least:
            raise ValueError(f"batches: {name} must be a whole number from {least}, not {value!r}")
    order = np.arange(n) if rng is None else np.random.default_rng(rng).permutation(n)
    stop = n - n % batch_size if drop_last else n
    return (order[i : i + batch_size] for i in range(0, stop, batch_size))
