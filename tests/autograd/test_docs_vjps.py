"""docs/vjps.md: an entry for every rule, in the order of the tables, and every formula in it is true."""

import doctest
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from rows import ROWS

import mytorch as mt
from mytorch.autograd import ops

PAGE = Path(__file__).parents[2] / "docs" / "vjps.md"
ENTRY = re.compile(r"^### `(\w+)`\n\n((?:    .+\n)+)", re.MULTILINE)
ENTRIES = dict(ENTRY.findall(PAGE.read_text(encoding="utf-8")))


def test_every_rule_has_an_entry_in_the_order_of_the_tables():
    """The page and the tables list the same operations, in one order."""
    assert list(ENTRIES) == list(ops.TABLE)


@pytest.mark.parametrize("name", ENTRIES)
def test_formulas(name):
    """The lines of an entry, evaluated by numpy on the operation's first row, give its answer and its cotangents."""
    row = next(row for row in ROWS if row.name == name)
    known = names(row)
    answer, pullback = mt.vjp(row, *row.inputs)
    g = np.linspace(0.5, 1.5, answer.size).reshape(answer.shape)
    known |= {"ans": answer, "g": g}
    cotangents = iter(pullback(g))

    first, *rules = ENTRIES[name].splitlines()
    np.testing.assert_allclose(evaluate(first.removeprefix("    ans = "), known), answer, rtol=1e-12)
    for line in rules:
        argument, formula = line.strip().split(": ", 1)
        found = evaluate(formula, known)
        for ct in found if isinstance(known[argument], list) else [found]:
            np.testing.assert_allclose(ct, next(cotangents), rtol=1e-12)
    assert next(cotangents, None) is None, "an argument has no line"


def names(row):
    """What the arguments of the row's call are called: as in the signature, and the inputs x and y in order."""
    function = getattr(mt, row.name)
    if "args" in inspect.signature(function).parameters:  # it takes what numpy's function takes
        function = function.op.f
    bound = inspect.signature(function).bind(*row.args, **row.kwargs)
    bound.apply_defaults()
    return dict(zip("xy", row.inputs, strict=False)) | bound.arguments


def evaluate(formula, known):
    own = {"add_at": mt.add_at, "setitem": mt.setitem, "inv": np.linalg.inv, "solve": np.linalg.solve}
    return eval(formula, vars(np) | own | known)


def test_links():
    """The links within the page lead to its headings, the others to files."""
    text = PAGE.read_text(encoding="utf-8")
    headings = {h.lower().replace(" ", "-") for h in re.findall(r"^## (.+)$", text, re.MULTILINE)}

    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert target.removeprefix("#") in headings if target.startswith("#") else (PAGE.parent / target).exists()


def test_examples():
    """The page's examples print what they say."""
    failures, tests = doctest.testfile(str(PAGE), module_relative=False)

    assert failures == 0
    assert tests > 0
