"""The examples in docstrings run and print what they say."""

import doctest
import importlib
import pkgutil
import warnings
from pathlib import Path

import pytest

import mytorch

PACKAGE = Path(mytorch.__file__).parent
OPTIONAL = {"matplotlib": "viz", "graphviz": "viz", "tqdm": "train", "safetensors": "train"}


def modules():
    """The names of all installed modules, but for commands."""
    yield "mytorch"
    for folder in ("autograd", "nn", "train", "viz"):
        yield f"mytorch.{folder}"
        for module in pkgutil.walk_packages([str(PACKAGE / folder)], f"mytorch.{folder}."):
            if not module.name.endswith("__main__"):
                yield module.name


@pytest.mark.parametrize("name", list(modules()))
def test_examples_of(name):
    """Every example of the module, with warnings as errors; nothing that is numpy's."""
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if error.name in OPTIONAL:
            pytest.skip(f"{error.name}, of the extra [{OPTIONAL[error.name]}], is not installed")
        raise
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)

    assert result.failed == 0


def test_there_are_examples():
    """The engine's public functions show what they do; a finder that finds nothing would pass unseen."""
    for name in ("engine", "tensor", "scalar", "transforms", "gradcheck", "ops.elementwise", "ops.shape"):
        module = importlib.import_module(f"mytorch.autograd.{name}")
        assert any(test.examples for test in doctest.DocTestFinder().find(module)), name
