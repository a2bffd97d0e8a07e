"""Imports follow the map: arrows point one way, and numpy is enough."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mytorch

PACKAGE = Path(mytorch.__file__).parent
FOLDERS = ("autograd", "nn", "train", "viz")
MAY = {  # what a folder may import at import time, and what inside a function as well
    "autograd": (set(), set()),
    "nn": ({"autograd"}, set()),
    "viz": ({"autograd"}, set()),
    "train": ({"autograd", "nn"}, {"viz"}),
}
NEEDS = {"numpy"}  # third parties a file may import at import time


def files(folder):
    return sorted((PACKAGE / folder).rglob("*.py"))


def imports(path, within_functions=True):
    """The absolute names of the modules that a file imports: 'mytorch.autograd.engine', 'numpy'."""
    parts = ("mytorch", *path.relative_to(PACKAGE).with_suffix("").parts)
    found = set()

    def visit(node):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: len(parts) - node.level]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            found.add(module)
            if not node.module:  # `from . import x`, where x is a module
                found.update(f"{module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            if within_functions or not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


def folders(names):
    """The folders of the package that modules of these names are in."""
    split = (name.split(".") for name in names)
    return {parts[1] for parts in split if parts[0] == "mytorch" and len(parts) > 1 and parts[1] in FOLDERS}


ALONE = """import sys  # without the finder of an editable install, which would find what was deleted
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in getattr(f, "__module__", "")]
"""


def python(code, path=None):
    """What a fresh interpreter prints that runs `code`, with warnings as errors; `path` holds the package it sees."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    if path is not None:
        environment["PYTHONPATH"], code = str(path), ALONE + code
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment, capture_output=True, text=True, timeout=120, cwd=path or PACKAGE.anchor,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def copied(tmp_path, *parts):
    """A folder that holds a copy of the package with only these parts."""
    target = tmp_path / "mytorch"
    for part in ("__init__.py", *parts):
        source = PACKAGE / part
        if source.is_dir():
            shutil.copytree(source, target / part, ignore=shutil.ignore_patterns("__pycache__", "*.gz"))
        else:
            target.mkdir(exist_ok=True)
            shutil.copy(source, target / part)
    return tmp_path


@pytest.mark.parametrize("folder", FOLDERS)
def test_arrows_point_one_way(folder):
    """autograd imports nothing of the others; nn and viz only it; train those below, and viz where it draws."""
    at_import, later = MAY[folder]
    for path in files(folder):
        assert folders(imports(path)) - {folder} <= at_import | later, path
        assert folders(imports(path, within_functions=False)) - {folder} <= at_import, path


def test_the_engine_knows_no_numpy():
    """graph.py imports the standard library alone, engine.py that and graph.py."""
    for file, allowed in (("graph.py", set()), ("engine.py", {"mytorch.autograd", "mytorch.autograd.graph"})):
        names = {n for n in imports(PACKAGE / "autograd" / file) if n.split(".")[0] not in sys.stdlib_module_names}

        assert {n for n in names if not n.startswith("mytorch.autograd.graph.")} <= allowed, file


def test_operations_do_not_import_the_tensor():
    """ops/ knows the engine; the Tensor knows ops/."""
    for path in files("autograd/ops"):
        assert not {"mytorch.autograd.tensor", "mytorch.autograd.scalar", "mytorch.autograd.transforms"} & imports(path)


@pytest.mark.parametrize("folder", ["autograd", "nn"])
def test_autograd_and_nn_need_numpy_alone(folder):
    """No file of theirs imports another third party, not even inside a function."""
    for path in files(folder):
        if path == PACKAGE / "autograd" / "gradcheck" / "plugin.py":
            continue  # pytest loads it
        tops = {name.partition(".")[0] for name in imports(path)}
        assert tops <= NEEDS | set(sys.stdlib_module_names) | {"mytorch"}, path


def test_layers_contain_no_backward_formula():
    """Every derivative of nn/ and train/ is the engine's: neither primitive nor defvjp is named there."""
    for path in [*files("nn"), *files("train"), *files("viz")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert not {"primitive", "defvjp"} & names, path


def test_no_file_imports_the_package_by_name():
    """Inside, imports are relative: the package works under any folder name."""
    for path in [PACKAGE / "__init__.py", *(path for folder in FOLDERS for path in files(folder))]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert "mytorch" not in {alias.name.partition(".")[0] for alias in node.names}, path
            if isinstance(node, ast.ImportFrom) and not node.level:
                assert node.module.partition(".")[0] != "mytorch", path


LOADED = "import sys; before = set(sys.modules); {}; print(*{{m.partition('.')[0] for m in set(sys.modules) - before}})"


@pytest.mark.parametrize(
    "code",
    [
        "import mytorch",
        "import mytorch as mt; mt.nn",
        "import mytorch.nn.handout",
        "import mytorch as mt; mt.viz",
        "import mytorch.train",
    ],
)
def test_importing_loads_numpy_and_nothing_else_of_third_parties(code):
    """Neither matplotlib nor graphviz, hypothesis, safetensors or tqdm: they load where they are used."""
    loaded = set(python(LOADED.format(code)).split()) - set(sys.stdlib_module_names)

    assert {name for name in loaded if not name.startswith("_")} == {"mytorch", "numpy"}


def test_importing_prints_nothing_and_loads_no_folder_but_autograd():
    """nn, train and viz load when they are first used."""
    code = "import mytorch, sys; print([f for f in ('nn', 'train', 'viz') if 'mytorch.' + f in sys.modules])"

    assert python(code) == "[]"


USE = """
import mytorch as mt, numpy as np
x = mt.tensor([1.0, 2.0], requires_grad=True)
(mt.exp(x) * np.ones(2)).sum().backward()
assert np.allclose(x.grad.numpy(), np.exp([1.0, 2.0]))
assert mt.grad(lambda x: x**3)(2.0) == 12.0
assert mt.gradcheck(mt.tanh, np.ones(2))
print(mt.__file__)
"""
USE_NN = """
import importlib, pkgutil, mytorch.nn as nn
for module in pkgutil.iter_modules(nn.__path__):
    importlib.import_module("mytorch.nn." + module.name)
model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
model(mt.tensor(np.ones((4, 2), np.float32))).sum().backward()
assert all(p.grad is not None for p in model.parameters())
"""


def test_autograd_works_alone(tmp_path):
    """A copy of the package with nothing beside autograd/."""
    folder = copied(tmp_path, "autograd")

    assert python(USE, path=folder).startswith(str(folder))


def test_viz_and_train_can_be_deleted(tmp_path):
    """The rest still works; what is missing is told when it is asked for."""
    folder = copied(tmp_path, "autograd", "nn")
    missing = "try: mt.viz\nexcept ImportError as error: assert 'viz' in str(error)\nelse: raise SystemExit('?')"

    assert python(USE + USE_NN + missing, path=folder).startswith(str(folder))


def test_viz_can_be_deleted(tmp_path):
    """Training still imports: pictures are the last thing it needs."""
    folder = copied(tmp_path, "autograd", "nn", "train")
    code = "import mytorch.train, pkgutil, importlib\nfor m in pkgutil.iter_modules(mytorch.train.__path__):\n"
    code += "    if m.name != '__main__': importlib.import_module('mytorch.train.' + m.name)\nprint(mytorch.__file__)"

    assert python(code, path=folder).startswith(str(folder))


def test_train_can_be_deleted(tmp_path):
    """Drawing needs no training."""
    folder = copied(tmp_path, "autograd", "viz")

    assert python("import mytorch, mytorch.viz; print(mytorch.__file__)", path=folder).startswith(str(folder))
