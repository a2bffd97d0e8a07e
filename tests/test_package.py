"""The package: its names, its version, its documentation, and the list of what is installed."""

import configparser
import importlib
import inspect
import pkgutil
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import mytorch as mt

PACKAGE = Path(mt.__file__).parent
CHECKOUT = Path(__file__).resolve().parents[1]


def modules():
    """The names of the package's modules, but for the command `python -m mytorch.train`."""
    names = (m.name for folder in ("autograd", "nn", "train", "viz") for m in _below(folder))
    return ["mytorch", *(name for name in names if not name.endswith("__main__"))]


def _below(folder):
    yield pkgutil.ModuleInfo(None, f"mytorch.{folder}", True)
    yield from pkgutil.walk_packages([str(PACKAGE / folder)], f"mytorch.{folder}.")


def setup():
    config = configparser.ConfigParser()
    config.read(CHECKOUT / "setup.cfg", encoding="utf-8")
    return config


def test_type_checkers_are_told_that_the_package_is_typed_from_its_source():
    """py.typed is installed with it."""
    assert (PACKAGE / "py.typed").is_file()


def test_the_version_is_that_of_the_distribution():
    """mytorch.__version__ and the metadata of mytorch-autograd."""
    assert mt.__version__ == metadata.version("mytorch-autograd")


def test_setup_cfg_lists_the_packages_on_disk():
    """Every folder with an __init__.py, and no other: a wheel has them all. Benchmarks run from a checkout alone."""
    tops = [p.parent for p in CHECKOUT.glob("[!.]*/__init__.py") if p.parent.name != "benchmarks"]
    on_disk = {p.parent.relative_to(CHECKOUT) for top in tops for p in top.rglob("__init__.py")}
    listed = setup()["options"]["packages"].split()

    assert sorted(listed) == sorted({"mytorch"} | {".".join(("mytorch", *p.parts)) for p in on_disk})


def test_every_folder_of_python_files_is_a_package():
    """A folder inside the package without __init__.py would be missing from the wheel."""
    for folder in ("autograd", "nn", "train", "viz"):
        for path in (CHECKOUT / folder).rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), path


def test_pyproject_holds_the_build_system_alone():
    """All else lives in setup.cfg."""
    assert list(tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))) == ["build-system"]


def test_numpy_is_the_only_requirement():
    """The rest are extras, and [all] holds those of [viz] and [train]."""
    required = [r for r in metadata.requires("mytorch-autograd") if "extra ==" not in r]

    assert [r.partition(">")[0].strip() for r in required] == ["numpy"]
    assert {"viz", "train", "test", "all"} <= set(metadata.metadata("mytorch-autograd").get_all("Provides-Extra"))


def test_the_public_names_exist():
    """Each of mt.__all__, once; so does what the README's and the design's examples use."""
    assert len(set(mt.__all__)) == len(mt.__all__)
    for name in mt.__all__:
        assert getattr(mt, name) is not None
    for name in ("tensor", "Tensor", "Value", "grad", "value_and_grad", "vjp", "jvp", "jacobian", "hessian", "hvp"):
        assert name in mt.__all__
    for name in ("no_grad", "enable_grad", "is_grad_enabled", "gradcheck", "nn", "train", "viz", "autograd"):
        assert name in mt.__all__


def test_a_star_import_gives_the_public_names():
    """No private helper, no module of numpy's or of the standard library."""
    namespace = {}
    exec("from mytorch import *", namespace)

    assert set(namespace) - {"__builtins__"} == set(mt.__all__)
    assert "np" not in namespace and not any(name.startswith("_") for name in set(namespace) - {"__builtins__"})


def test_an_unknown_name_is_an_attribute_error():
    """As of any module."""
    with pytest.raises(AttributeError, match="nosuch"):
        mt.nosuch  # noqa: B018


@pytest.mark.parametrize("name", modules())
def test_modules_and_public_functions_are_documented(name):
    """The module, and the functions and classes that its __all__ names: one sentence at least."""
    module = importlib.import_module(name)
    assert module.__doc__ and module.__doc__.strip()
    for public in getattr(module, "__all__", ()):
        thing = getattr(module, public)
        if inspect.isroutine(thing) or inspect.isclass(thing):
            assert (thing.__doc__ or "").strip(), f"{name}.{public}"


@pytest.mark.parametrize("name", [name for name in mt.__all__ if callable(getattr(mt, name))])
def test_the_first_line_of_a_docstring_is_short(name):
    """One line of at most 120 characters, so help() and editors show it whole."""
    first = (getattr(mt, name).__doc__ or "").strip().splitlines()[0]

    assert 0 < len(first) <= 120
