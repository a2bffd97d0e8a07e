"""Puts rows.py where the tests beside it can import it, which pytest's importlib mode does not; and what they share."""

import importlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def runs(monkeypatch):
    """A list that grows with every run that `compile` traces."""
    compiled = importlib.import_module("mytorch.autograd.compile.compiled")
    found = []

    class Counted(compiled.Run):
        def __init__(self, *args):
            found.append(1)
            super().__init__(*args)

    monkeypatch.setattr(compiled, "Run", Counted)
    return found
