"""The pytest plugin: a table of operations becomes tests, with the report as the text of a failure.

In a test module

    import mytorch as mt

    GRADCHECKS = {
        "swish": (swish, np.linspace(-3, 3, 7)),
        "scale, twice": (scale, X, 2.0, {"order": 2}),
    }

    def test_gradients(gradchecked):
        gradchecked()

runs `mt.gradcheck` on every row: the function, its inputs and, last, a dict of options. A test that wants to check by
hand asks for the fixture `gradcheck`, which is `mt.gradcheck`. Nothing of mytorch is imported before a test runs.
"""

import pytest

OPTIONS = {"order", "rtol", "seed"}


def pytest_generate_tests(metafunc):
    """One test a row of the module's GRADCHECKS, for a test that asks for `gradchecked`."""
    if "gradchecked" in metafunc.fixturenames:
        table = getattr(metafunc.module, "GRADCHECKS", None)
        if not isinstance(table, dict) or not table:
            name = metafunc.module.__name__
            raise pytest.UsageError(f"{name}: a test asks for gradchecked; set GRADCHECKS = {{name: (f, *inputs)}}")
        metafunc.parametrize("gradchecked", table.values(), ids=map(str, table), indirect=True)


@pytest.fixture
def gradchecked(request, gradcheck):
    """The function that checks one row of GRADCHECKS: it gives the Report, or fails with it where it is not true."""
    row = request.param if isinstance(request.param, tuple) else (request.param,)
    options = row[-1] if isinstance(row[-1], dict) and row[-1] and set(row[-1]) <= OPTIONS else {}
    f, *inputs = row[: len(row) - bool(options)]

    def check():
        report = gradcheck(f, *inputs, **options, raise_error=False)
        if not report:
            pytest.fail(str(report), pytrace=False)
        return report

    return check


@pytest.fixture
def gradcheck():
    """`mt.gradcheck`."""
    from . import gradcheck

    return gradcheck
