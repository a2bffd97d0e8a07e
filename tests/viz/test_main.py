"""`python -m mytorch.viz`: what can be named, what is written, and how each error looks."""

import csv
import os
import re
import subprocess
import sys

import pytest

from mytorch.viz.__main__ import main
from mytorch.viz.curves import COLUMNS

MODULE = """
import mytorch as mt
from mytorch import nn

model = nn.Sequential(nn.Linear(4, 3, rng=0), nn.Tanh())

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, picture):
        return self.layer(picture)

def product(left, right, scale=2.0):
    return (left * right * scale).sum()

def neuron(weight, x):
    return (weight * x).tanh()

def nothing():
    return mt.exp(mt.tensor(1.0, requires_grad=True))

def freed(x):
    y = mt.exp(x).sum()
    y.backward()
    return y

def number(x):
    return 3

constant = 3
"""


@pytest.fixture
def draw(tmp_path, monkeypatch, capsys):
    """A function that runs the command in a folder with mine.py: (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    (tmp_path / "mine.py").write_text(MODULE)

    def run(*arguments):
        return main(list(arguments)), *capsys.readouterr()

    yield run
    sys.modules.pop("mine", None)


DRAWN = [
    (["mine:product"], ["left", "right", "multiply", "(3, 4) float64"]),
    (["mine:product", "--shape", "5", "--shape", "2,5"], ["(5,) float64", "(2, 5) float64"]),
    (["mine:neuron", "--shape", "value", "--shape", "value", "--direction", "LR"], ["weight", "tanh", "rankdir"]),
    (["mine:product", "--level", "line"], ["mine.py:"]),
    (["mine:product", "--dtype", "float32"], ["(3, 4) float32"]),
    (["mine:model", "--shape", "5,4"], ["0.weight", "Linear(", "(5, 3) float32"]),
    (["mine:model", "--shape", "5,4", "--depth", "0"], ["Sequential", "2 operations, 15 parameters"]),
    (["mine:Net", "--shape", "5,4"], ["layer.weight", "picture"]),
    (["mine:nothing"], ["exp"]),
    (["mytorch:tanh", "--shape", "3"], ["tanh", "(3,) float64"]),
    (["mytorch:matmul", "--shape", "3,4", "--shape", "4,5"], ["matmul", "(3, 5) float64"]),
]


@pytest.mark.parametrize(("arguments", "texts"), DRAWN, ids=[" ".join(row[0]) for row in DRAWN])
def test_what_a_function_builds_is_drawn(draw, tmp_path, arguments, texts):
    """A function, a Module, its class, a primitive; inputs bear the names of the arguments."""
    status, out, err = draw(*arguments, "-o", "graph.dot")
    source = (tmp_path / "graph.dot").read_text()

    assert (status, out, err) == (0, "graph.dot\n", "")
    assert [text for text in texts if text not in source] == []


@pytest.mark.parametrize("suffix", ["html", "svg", "png", "pdf", "dot"])
def test_every_format_is_written_twice_the_same(draw, tmp_path, suffix):
    """From the same seed; another one gives other numbers."""
    pictures = []
    for seed in "112":
        assert draw("mine:Net", "--shape", "5,4", "--seed", seed, "-o", f"a.{suffix}")[0] == 0
        pictures.append((tmp_path / f"a.{suffix}").read_bytes())

    assert pictures[0] == pictures[1] != pictures[2]


def test_the_page_is_what_is_written_if_nothing_is_said(draw, tmp_path):
    """graph.html, beside where one is."""
    assert draw("mine:product")[:2] == (0, "graph.html\n")
    assert (tmp_path / "graph.html").read_text().startswith("<!doctype html>")


def test_a_run_is_drawn_once_more(draw, tmp_path):
    """Beside its metrics.csv, or in another folder; several are compared."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with open(tmp_path / name / "metrics.csv", "w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, (1, 1, 1, 1, 1), (2, 0.5, 0.5, 0.5, 0.5)])

    status, out, _ = draw("--train-run", "a")
    assert (status, out.splitlines()[-1]) == (0, os.path.join("a", "curves.png"))
    status, out, _ = draw("--train-run", "a", "b", "-o", ".")
    assert (status, out.splitlines()[-1]) == (0, "curves.png")
    assert (tmp_path / "curves.png").read_bytes() != (tmp_path / "a" / "curves.png").read_bytes()


WRONG = [
    ([], "name a function, as in package.module:function, or a run with --train-run"),
    (["mine"], "write package.module:function, as in mytorch:tanh, not 'mine'"),
    (["mine:"], "write package.module:function"),
    (["nosuch:f"], "nosuch:f cannot be had: ModuleNotFoundError: No module named 'nosuch'"),
    (["mine:nosuch"], "mine:nosuch cannot be had: AttributeError"),
    (["mine:constant"], "mine:constant is of type int and cannot be called"),
    (["mine:number"], "mine:number gives an answer of type int; only a Tensor or a Value has a graph"),
    (["mine:freed"], "was freed by a backward"),
    (["mine:product", "--dtype", "int64"], "does not require grad and so has no graph"),
    (["mine:model"], "a Module needs --shape, that of its input, with the batch first: --shape 8,784"),
    (["mine:model", "--shape", "5,7"], "mine:model failed on inputs of shape (5, 7): ValueError: "),
    (["mine:product", "--shape", "3"], "missing 1 required positional argument: 'right'; give others with --shape"),
    (["mine:product", "--shape", "3,x"], "--shape: write sizes with commas, as in 3,4, or 'value', not '3,x'"),
    (["mine:product", "--shape", "-3"], "--shape: a size cannot be negative: -3"),
    (["mine:product", "--dtype", "float12"], "--dtype: numpy has no dtype 'float12'"),
    (["mine:product", "--seed", "x"], "argument --seed: invalid int value: 'x'"),
    (["mine:product", "--level", "word"], "argument --level: invalid choice: 'word'"),
    (["mine:product", "-o", "graph.gif"], "'graph.gif': its suffix must be one of .svg, .png, .pdf, .dot, .html"),
    (["mine:product", "-o", "no/graph.svg"], "cannot write 'no/graph.svg': no such file or directory"),
    (["--train-run", "nowhere"], "there is no 'nowhere': give a metrics.csv or a folder that holds one"),
    (["mine:product", "--train-run", "a"], "give a function or --train-run, not both"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[" ".join(row[0]) for row in WRONG])
def test_what_is_wrong_is_one_line_and_status_2(draw, tmp_path, arguments, message):
    """It names the thing; nothing is written."""
    status, out, err = draw(*arguments)

    assert (status, out) == (2, "")
    assert re.fullmatch(r"mytorch\.viz: [^\n]+\n", err), err
    assert message in err
    assert [path.name for path in tmp_path.iterdir() if path.suffix not in (".py", "")] == []


def test_it_is_a_command(tmp_path):
    """`python -m mytorch.viz`, whose status is that of the process."""
    command = [sys.executable, "-W", "error", "-m", "mytorch.viz", "mytorch:exp", "-o"]

    assert subprocess.run([*command, "a.html"], cwd=tmp_path, capture_output=True).stdout == b"a.html\n"
    assert subprocess.run([*command, "a.gif"], cwd=tmp_path, capture_output=True).returncode == 2
