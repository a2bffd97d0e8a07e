"""A tiny data set: three classes of 2x3 pictures that can be told apart."""

import numpy as np
import pytest

from mytorch.train import data


def pictures(n, seed):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    x = rng.integers(0, 100, (n, 2, 3))
    x[np.arange(n), :, y] += 120  # a bright column, whose place is the class
    return x.astype(np.uint8), y.astype(np.uint8)


@pytest.fixture
def digits(tmp_path):
    """The path of an .npz file with 60 pictures to learn from (5 of them to validate) and 20 to test on."""
    x_train, y_train = pictures(60, 0)
    x_test, y_test = pictures(20, 1)
    np.savez(tmp_path / "digits.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return tmp_path / "digits.npz"


@pytest.fixture
def dataset(digits):
    """The same, loaded in float64."""
    return data.load(digits, np.float64)
