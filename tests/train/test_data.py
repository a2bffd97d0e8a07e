"""Data: what the files say is what arrives, and what is wrong with a file is one sentence that names it."""

import gzip
import re
import struct

import numpy as np
import pytest

from mytorch.train import data
from mytorch.train.data import DataError, MissingDataError

TRAIN_X, TRAIN_Y, TEST_X, TEST_Y = data.FILES


def idx(array, code=0x08):
    """An IDX file's bytes, written from the format's definition."""
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.tobytes()


def complaint(error, load, path):
    """The message of the `error` that load(path) raises: one line that begins with the path."""
    with pytest.raises(error) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    return message


@pytest.fixture
def arrays():
    """24 + 6 images of 2x3 bytes of three classes, under Keras' names."""
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (24, 2, 3), dtype=np.uint8),
        "y_train": np.arange(24, dtype=np.uint8) % 3,
        "x_test": rng.integers(0, 256, (6, 2, 3), dtype=np.uint8),
        "y_test": np.arange(6, dtype=np.uint8) % 3,
    }


@pytest.fixture
def folder(tmp_path, arrays):
    """Those images as a folder of IDX files."""
    path = tmp_path / "digits"
    path.mkdir()
    for name, array in zip(data.FILES, arrays.values(), strict=True):
        (path / name).write_bytes(idx(array))
    return path


@pytest.fixture
def archive(tmp_path, arrays):
    """A function that writes them as an .npz file, with changes; an array that becomes None is left out."""

    def write(**changes):
        kept = {key: array for key, array in (arrays | changes).items() if array is not None}
        np.savez_compressed(tmp_path / "digits.npz", **kept)
        return tmp_path / "digits.npz"

    return write


# ----- MNIST -----


@pytest.fixture(scope="module")
def mnist():
    return data.load("mnist")


def test_mnist_is_whole_and_split_55_5_10(mnist):
    """55,000/5,000/10,000 examples of 784 float32 pixels in [0, 1], ten classes, labels int64."""
    assert [split.x.shape for split in mnist[:3]] == [(55_000, 784), (5_000, 784), (10_000, 784)]
    assert [split.y.shape for split in mnist[:3]] == [(55_000,), (5_000,), (10_000,)]
    assert {split.x.dtype for split in mnist[:3]} == {np.dtype(np.float32)}
    assert {split.y.dtype for split in mnist[:3]} == {np.dtype(np.int64)}
    assert all(split.x.min() == 0 and split.x.max() == 1 for split in mnist[:3])
    assert (mnist.name, mnist.classes) == ("mnist", 10)


def test_mnist_has_the_published_labels(mnist):
    """The training file begins 5 0 4 1 9, the test file 7 2 1 0 4; the digits occur as often as published."""
    assert mnist.train.y[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.test.y[:5].tolist() == [7, 2, 1, 0, 4]
    train = np.bincount(np.concatenate([mnist.train.y, mnist.val.y]))
    assert train.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(mnist.test.y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_mnist_has_the_published_pixels(mnist):
    """The 60,000 training images have the well-known mean 0.1307 and standard deviation 0.3081."""
    mean, std = data.mean_std(np.concatenate([mnist.train.x, mnist.val.x]))
    assert (round(mean, 4), round(std, 4)) == (0.1307, 0.3081)


def test_mnist_validation_part_is_the_end_of_the_training_file(mnist):
    """Training, then validation examples are the training file in its order."""
    labels = data.read_idx(data.MNIST / f"{TRAIN_Y}.gz")
    pixels = data.read_idx(data.MNIST / f"{TRAIN_X}.gz")

    assert np.array_equal(labels, np.concatenate([mnist.train.y, mnist.val.y]))
    assert np.array_equal(pixels[54_999].ravel() / np.float32(255), mnist.train.x[-1])
    assert np.array_equal(pixels[55_000].ravel() / np.float32(255), mnist.val.x[0])


def test_mnist_standardizes_to_mean_0_and_deviation_1(mnist):
    """The training part exactly so, the others nearly, being measured with the training part's numbers."""
    train, val, test = data.standardize(mnist)[:3]
    assert abs(train.x.mean(dtype=np.float64)) < 1e-5 and abs(train.x.std(dtype=np.float64) - 1) < 1e-5
    assert 1e-5 < abs(val.x.mean(dtype=np.float64)) < 0.01
    assert 1e-5 < abs(test.x.mean(dtype=np.float64)) < 0.01


def test_mnist_readme_states_the_sums_that_are_checked():
    """The note beside the files gives the same MD5 sums."""
    text = (data.MNIST / "README.md").read_text(encoding="utf-8")
    stated = {name: md5 for md5, name in re.findall(r"([0-9a-f]{32})  (\S+)", text)}
    assert stated == data.FILES


@pytest.mark.parametrize(
    ("damage", "error", "reason"),
    [
        (lambda raw: raw[:-1], DataError, "cannot be read"),
        (lambda raw: raw[: len(raw) // 2], DataError, "Compressed file ended"),
        (lambda raw: raw[:5000] + bytes([raw[5000] ^ 1]) + raw[5001:], DataError, "cannot be read"),
        (lambda raw: b"", DataError, "MD5"),
        (lambda raw: gzip.compress(idx(np.zeros((60_000, 2, 2), np.uint8))), DataError, "MD5"),
        (lambda raw: None, MissingDataError, "no such file"),
    ],
    ids=["cut by a byte", "cut in half", "a bit flipped", "empty", "another file", "missing"],
)
def test_damaged_mnist_files_are_an_error_that_says_reinstall(tmp_path, monkeypatch, damage, error, reason):
    """Whatever has happened to the package's file: its path, the reason, and the way out."""
    path = tmp_path / f"{TRAIN_X}.gz"
    damaged = damage((data.MNIST / path.name).read_bytes())
    if damaged is not None:
        path.write_bytes(damaged)
    monkeypatch.setattr(data, "MNIST", tmp_path)

    message = complaint(error, lambda path: data.mnist(), path)

    assert reason in message and "reinstall" in message


# ----- IDX -----


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
@pytest.mark.parametrize(
    ("code", "dtype"),
    [(0x08, ">u1"), (0x09, ">i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")],
)
def test_idx_files_of_every_type_read_back(tmp_path, code, dtype, pack):
    """Values, shape and type survive, in native byte order, for 1 to 4 dimensions."""
    for shape in (5,), (2, 3), (2, 3, 4), (2, 1, 3, 2):
        expected = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
        (tmp_path / "a").write_bytes(pack(idx(expected, code)))

        found = data.read_idx(tmp_path / "a")

        assert np.array_equal(expected, found)
        assert found.dtype == np.dtype(dtype).newbyteorder("=") and found.dtype.isnative
        assert found.flags.writeable


GOOD = idx(np.arange(24, dtype=np.uint8).reshape(4, 2, 3))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not an IDX file, it begins with nothing"),
        (GOOD[:3], "not an IDX file, it begins with 00 00 08"),
        (b"\x01" + GOOD[1:], "not an IDX file, it begins with 01 00 08 03"),
        (b"\0\0\x0a" + GOOD[3:], "not an IDX file, it begins with 00 00 0a 03"),
        (b"\0\0\x08\0", "not an IDX file"),
        (b"\0\0\x08\xff" + bytes(2000), "not an IDX file"),
        (b"version https://git-lfs", "not an IDX file"),
        (GOOD[:15], "cut short inside its header"),
        (GOOD[:-1], "23 bytes of values where its header says 24, uint8 (4, 2, 3)"),
        (GOOD[:16], "0 bytes of values where its header says 24"),
        (GOOD + b"\0", "25 bytes of values where its header says 24"),
        (struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3), "0 bytes of values where its header says 79,228"),
        (struct.pack(">HBB3I", 0, 8, 3, 0, 28, 28), "empty, its header gives the shape (0, 28, 28)"),
        (gzip.compress(GOOD)[:-9], "cannot be read"),
        (gzip.compress(GOOD) + b"more", "cannot be read"),
        (gzip.compress(GOOD[:-1]), "23 bytes of values"),
        (b"\x1f\x8bnot gzip", "cannot be read"),
    ],
)
def test_a_damaged_idx_file_is_an_error_that_says_what_is_wrong(tmp_path, raw, reason):
    """Wrong magic, cut header, short or long values, damaged gzip: each has its own sentence."""
    (tmp_path / "a").write_bytes(raw)
    assert reason in complaint(DataError, data.read_idx, tmp_path / "a")


def test_idx_missing_or_a_folder(tmp_path):
    """A missing file can be caught as a FileNotFoundError too; a folder in a file's place cannot be read."""
    assert "no such file" in complaint(FileNotFoundError, data.read_idx, tmp_path / "a")
    assert "cannot be read" in complaint(DataError, data.read_idx, tmp_path)


def test_idx_md5_is_of_the_unpacked_bytes(tmp_path):
    """The sum is the same for the plain and the gzipped file; another one is an error."""
    for raw in b"\0\0\x08\1\0\0\0\1\7", gzip.compress(b"\0\0\x08\1\0\0\0\1\7"):
        (tmp_path / "a").write_bytes(raw)
        assert data.read_idx(tmp_path / "a", md5="069704a432bbfaa4be602cfa29dcc9b4").tolist() == [7]
        assert "MD5" in complaint(DataError, lambda path: data.read_idx(path, md5="0" * 32), tmp_path / "a")


def test_a_folder_of_idx_files_is_a_data_set(folder, arrays):
    """Images flattened and scaled to [0, 1]; the last twelfth of the training examples is for validation."""
    found = data.load(str(folder))

    assert [split.x.shape for split in found[:3]] == [(22, 6), (2, 6), (6, 6)]
    assert (found.name, found.classes) == ("digits", 3)
    pixels, labels = arrays["x_train"].reshape(24, 6) / 255, arrays["y_train"]
    np.testing.assert_allclose(np.concatenate([found.train.x, found.val.x]), pixels, rtol=1e-7)
    assert np.concatenate([found.train.y, found.val.y]).tolist() == labels.tolist()
    np.testing.assert_allclose(found.test.x, arrays["x_test"].reshape(6, 6) / 255, rtol=1e-7)


def test_idx_files_may_be_spelt_in_four_ways(folder):
    """With - or . before idx, with or without .gz; a .gz that a browser has unpacked is read as well."""
    expected = data.idx_folder(folder)
    (folder / TRAIN_X).rename(folder / "train-images.idx3-ubyte")
    (folder / TRAIN_Y).rename(folder / "train-labels-idx1-ubyte.gz")
    (folder / "t10k-images.idx3-ubyte.gz").write_bytes(gzip.compress((folder / TEST_X).read_bytes()))
    (folder / TEST_X).unlink()

    found = data.idx_folder(folder)

    for one, other in zip(expected[:3], found[:3], strict=True):
        assert np.array_equal(one.x, other.x) and np.array_equal(one.y, other.y)


def test_a_folder_without_some_files_lists_them(folder):
    """The message names each missing file, and is a FileNotFoundError too."""
    (folder / TRAIN_Y).unlink()
    (folder / TEST_X).unlink()
    message = complaint(FileNotFoundError, data.load, folder)
    assert TRAIN_Y in message and TEST_X in message and TRAIN_X not in message


@pytest.mark.parametrize(
    ("name", "array", "reason"),
    [
        (TRAIN_Y, np.zeros(23, np.uint8), "23 labels for the 24 examples in "),
        (TEST_X, np.zeros((5, 2, 3), np.uint8), "6 labels for the 5 examples in "),
        (TEST_X, np.zeros((6, 2, 2), np.uint8), "4 features an example, but the training part has 6"),
        (TRAIN_X, np.zeros(24, np.uint8), "has shape (24,)"),
        (TRAIN_Y, np.zeros((24, 3), np.uint8), "has shape (24, 3)"),
    ],
)
def test_idx_files_that_do_not_fit_together(folder, name, array, reason):
    """Counts, features and dimensions must agree; the message names the file."""
    (folder / name).write_bytes(idx(array))
    with pytest.raises(DataError, match=re.escape(reason)) as caught:
        data.load(folder)
    assert str(folder / name) in str(caught.value)


# ----- .npz -----


def test_an_npz_file_is_a_data_set(archive, folder):
    """Under Keras' names it is the same data set as the IDX files, named after the file."""
    expected, found = data.load(folder), data.load(archive())
    assert (found.name, found.classes) == ("digits", 3)
    for one, other in zip(expected[:3], found[:3], strict=True):
        assert np.array_equal(one.x, other.x) and np.array_equal(one.y, other.y)


def test_an_npz_file_may_bring_its_validation_part(archive):
    """Then the training part stays whole, and a class seen only in validation counts."""
    found = data.load(archive(x_val=np.ones((2, 6)), y_val=np.array([4, 0])))
    assert [len(split.x) for split in found[:3]] == [24, 2, 6]
    assert found.val.y.tolist() == [4, 0] and found.classes == 5


def test_only_unsigned_bytes_are_scaled(archive):
    """uint8 is taken as pixels; other numbers arrive as they are, and arrays of other names do not matter."""
    for dtype, scale in (np.uint8, 255), (np.int8, 1), (np.int64, 1), (np.float64, 1), (bool, 1):
        x = (np.arange(144) % 128).reshape(24, 6).astype(dtype)
        found = data.load(archive(x_train=x, names=np.array([object()])))
        np.testing.assert_allclose(np.concatenate([found.train.x, found.val.x]), x / scale, rtol=1e-7)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_images_are_c_contiguous(archive, dtype):
    """Whatever the layout in the file, for rows are what training gathers."""
    found = data.load(archive(x_train=np.asfortranarray(np.ones((24, 6), dtype))))
    assert found.train.x.flags.c_contiguous


def test_the_validation_part_is_never_empty(archive):
    """Of fewer than twelve training examples it takes the last one."""
    found = data.load(archive(x_train=np.ones((3, 6)), y_train=np.arange(3)))
    assert found.train.y.tolist() == [0, 1] and found.val.y.tolist() == [2]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_images_come_in_the_dtype_asked_for(archive, dtype):
    """Pixels, and other numbers, rounded once; standardizing keeps the dtype."""
    for x in np.arange(144, dtype=np.uint8).reshape(24, 6), np.arange(144).reshape(24, 6) / 7:
        found = data.load(archive(x_train=x), dtype)
        exact = (x / 255 if x.dtype == np.uint8 else x)[:22].astype(dtype)
        np.testing.assert_array_almost_equal_nulp(found.train.x, exact, nulp=1)
        for split in (*found[:3], *data.standardize(found)[:3], *data.standardize(found, "each")[:3]):
            assert split.x.dtype == dtype and split.y.dtype == np.int64


def test_the_dtype_must_be_floating(archive):
    """Integer images could not be standardized."""
    with pytest.raises(TypeError, match="floating type such as float32, not int32"):
        data.load(archive(), np.int32)


def with_entry(value, dtype=np.float64):
    """24 examples of 6 zeros, but `value` in example 7."""
    x = np.zeros((24, 6), dtype)
    x[7, 2] = value
    return x


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"y_train": None}, "no y_train among its arrays, ['x_train', 'x_test', 'y_test']"),
        ({"x_val": np.ones((2, 6))}, "no y_val among its arrays"),
        ({"y_train": np.zeros(23, int)}, "y_train: 23 labels for the 24 examples in "),
        ({"x_test": np.ones((6, 5))}, "x_test: 5 features an example, but the training part has 6"),
        ({"x_val": np.ones((1, 5)), "y_val": np.zeros(1, int)}, "x_val: 5 features an example"),
        ({"x_train": np.array([["a"] * 6] * 24)}, "x_train: holds <U1, not real numbers"),
        ({"x_train": np.ones((24, 6), complex)}, "x_train: holds complex128, not real numbers"),
        ({"x_train": np.array([[None] * 6] * 24)}, "x_train: cannot be read (Object arrays"),
        ({"x_train": with_entry(np.nan)}, "x_train: nan in example 7 is no finite float32"),
        ({"x_train": with_entry(-np.inf)}, "x_train: -inf in example 7 is no finite float32"),
        ({"x_train": with_entry(1e300)}, "x_train: 1e+300 in example 7 is no finite float32"),
        ({"x_train": np.ones((0, 6)), "y_train": np.zeros(0, int)}, "x_train: has shape (0, 6)"),
        ({"x_test": np.ones((6, 0))}, "x_test: has shape (6, 0)"),
        ({"x_test": np.ones(6)}, "x_test: has shape (6,)"),
        ({"y_test": np.zeros(6)}, "y_test: holds float64; labels must be whole numbers"),
        ({"y_test": np.zeros(0, int)}, "y_test: has shape (0,)"),
        ({"y_test": np.zeros((6, 3), int)}, "y_test: has shape (6, 3); it must be one label an example"),
        ({"y_test": np.array([0, 1, -1, 0, 0, 0])}, "y_test: the label -1 is no class (0, 1,"),
        ({"y_test": np.full(6, 2**64 - 1, np.uint64)}, "y_test: the label 18446744073709551615 is no class"),
        ({"x_train": np.ones((1, 6)), "y_train": np.zeros(1, int)}, "x_train: one example alone"),
    ],
)
def test_an_npz_file_with_bad_arrays(archive, changes, reason):
    """Missing, unequal, not numbers, not finite, not labels, empty: each has its own sentence."""
    assert reason in complaint(DataError, data.load, archive(**changes))


@pytest.mark.parametrize("keep", [0, 1, 10, 100, -1], ids=lambda keep: f"first {keep} bytes")
def test_an_npz_file_cut_short(archive, keep):
    """Wherever it is cut."""
    path = archive()
    path.write_bytes(path.read_bytes()[:keep])
    assert "not an .npz file, or cut short" in complaint(DataError, data.load, path)


def test_an_npz_file_with_any_one_bit_flipped(archive, arrays):
    """A flip is either an error of one line or, in the archive's unused fields, without effect."""
    path = archive()
    raw, expected = path.read_bytes(), data.load(path)
    for at in range(0, len(raw), 7):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << at % 8]) + raw[at + 1 :])
        try:
            found = data.load(path)
        except DataError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
        else:
            assert np.array_equal(expected.train.x, found.train.x)


def test_other_files_named_npz(tmp_path):
    """An array or a pickle under that name is not loaded."""
    path = tmp_path / "a.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    assert "not an .npz file" in complaint(DataError, data.load, path)


@pytest.mark.parametrize(("name", "error"), [("mnits", MissingDataError), ("table.csv", DataError)])
def test_what_is_no_data_set_is_told_what_is(tmp_path, name, error):
    """A name that leads nowhere and a file of another kind: the message lists the three ways."""
    (tmp_path / "table.csv").write_text("1,2,3")
    message = complaint(error, data.load, tmp_path / name)
    assert "give mnist, a folder of IDX files or an .npz file" in message


@pytest.mark.parametrize("load", [data.load, data.npz, data.idx_folder, data.read_idx])
def test_missing_data_are_a_file_not_found_and_a_value_error(tmp_path, load):
    """Either except clause catches them."""
    for error in FileNotFoundError, ValueError:
        assert "no such file or folder" in complaint(error, load, tmp_path / "a.npz")


# ----- for training -----


def dataset(train, val, test):
    """A Dataset of these x, all labels 0."""
    return data.Dataset(*[data.Split(x, np.zeros(len(x), int)) for x in (train, val, test)], "a", 1)


def test_standardize_measures_one_mean_and_deviation():
    """Over all entries together; "train" applies the training part's to all, "each" every part's own."""
    rng = np.random.default_rng(0)
    parts = [rng.normal(m, s, (n, 7)) * np.arange(1, 8) for m, s, n in [(3, 2, 600), (1, 5, 40), (-2, 1, 50)]]
    before = [x.copy() for x in parts]
    shared, own = data.standardize(dataset(*parts)), data.standardize(dataset(*parts), "each")

    for x, one, each in zip(before, shared[:3], own[:3], strict=True):
        np.testing.assert_allclose(one.x, (x - before[0].mean()) / before[0].std(), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(each.x, (x - x.mean()) / x.std(), rtol=1e-12, atol=1e-12)
    assert all(np.array_equal(x, y) for x, y in zip(before, parts, strict=True)), "the input stays as it is"
    assert shared[3:] == own[3:] == ("a", 1)


def test_standardize_computes_in_float64():
    """A float32 training part far from 0 still gets mean 0 and deviation 1 within float32's resolution."""
    x = np.random.default_rng(0).normal(1000, 1, (3000, 20)).astype(np.float32)
    found = data.standardize(dataset(x, x, x)).train.x.astype(np.float64)
    assert abs(found.mean()) < 1e-7 and abs(found.std() - 1) < 1e-7


@pytest.mark.parametrize("value", [0, 0.1, -1e30, 1e-200])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_standardize_of_a_constant_is_0(value, dtype):
    """Nothing is divided by 0, nor by the rounding of a mean."""
    x = np.full((1000, 3), value, dtype)
    for how in "train", "each":
        assert not data.standardize(dataset(x, x, x), how).train.x.any()


def test_standardize_of_the_tiniest_spread_is_finite():
    """A deviation whose square underflows counts as none."""
    x = np.array([[0.0, 1e-200]])
    assert np.isfinite(data.standardize(dataset(x, x, x)).train.x).all()


def test_standardize_knows_two_ways():
    """Another word is an error that lists them."""
    x = np.ones((2, 2))
    with pytest.raises(ValueError, match='"train" or "each", not \'test\''):
        data.standardize(dataset(x, x, x), "test")


def test_one_hot_rows_are_rows_of_the_identity():
    """For every dtype, and for labels of any shape."""
    labels = np.array([[3, 0], [1, 3]])
    for dtype in np.float32, np.float64, np.int64:
        found = data.one_hot(labels, 4, dtype)
        assert np.array_equal(found, np.eye(4)[labels]) and found.dtype == dtype
    assert data.one_hot([1], 2).dtype == np.float32
    assert data.one_hot([], 3).shape == (0, 3)


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0], [0.0, 1.0]])
def test_one_hot_takes_class_numbers_alone(labels):
    """A label outside the classes must not become a row of zeros, nor wrap around."""
    with pytest.raises(DataError, match="whole numbers from 0 to 2"):
        data.one_hot(labels, 3)


def test_batches_in_order():
    """Without rng: 0 to n - 1, the last batch shorter or left out."""
    assert [rows.tolist() for rows in data.batches(7, 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [rows.tolist() for rows in data.batches(7, 3, drop_last=True)] == [[0, 1, 2], [3, 4, 5]]
    assert [rows.tolist() for rows in data.batches(6, 3, drop_last=True)] == [[0, 1, 2], [3, 4, 5]]
    assert [rows.tolist() for rows in data.batches(2, 3)] == [[0, 1]]
    assert list(data.batches(2, 3, drop_last=True)) == list(data.batches(0, 3)) == []


def test_batches_in_random_order_visit_everything_once():
    """A seed fixes the order; one Generator gives a new order every epoch."""
    rng = np.random.default_rng(5)
    first, second = (np.concatenate(list(data.batches(103, 10, rng))) for _ in range(2))
    seeded = np.concatenate(list(data.batches(103, 10, 5)))

    assert sorted(first) == sorted(second) == list(range(103))
    assert not np.array_equal(first, np.arange(103)) and not np.array_equal(first, second)
    assert np.array_equal(first, seeded)
    assert [len(rows) for rows in data.batches(103, 10, 5)] == [10] * 10 + [3]
    assert [len(rows) for rows in data.batches(103, 10, 5, drop_last=True)] == [10] * 10


@pytest.mark.parametrize(
    ("n", "batch_size", "reason"),
    [
        (5, 0, "batch_size must be a whole number from 1, not 0"),
        (5, -2, "batch_size must be a whole number from 1, not -2"),
        (5, 2.0, "batch_size must be a whole number from 1, not 2.0"),
        (-1, 2, "n must be a whole number from 0, not -1"),
    ],
)
def test_batches_complain_at_the_call(n, batch_size, reason):
    """Not at the first batch, which may be far away."""
    with pytest.raises(ValueError, match=re.escape(reason)):
        data.batches(n, batch_size)
