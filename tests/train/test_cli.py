"""The command: what it writes and prints, that a seed is a run, and how each ending looks."""

import csv
import importlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from xml.etree import ElementTree

import numpy as np
import pytest

from mytorch import nn
from mytorch.train import checkpoint, cli, data, evaluate, loop, optim
from mytorch.train.run import ASKED, CURVES, FILES

SMALL = ["--hidden", "8", "4", "--epochs", "2", "--batch-size", "10"]


@pytest.fixture
def train(digits, tmp_path, capsys):
    """A function that trains on the tiny data set with a small network: (exit status, folder, stdout, stderr)."""

    def run(*arguments, out="run"):
        status = cli.main(["--data", str(digits), "--out", str(tmp_path / out), *SMALL, *arguments])
        return status, tmp_path / out, *capsys.readouterr()

    return run


@pytest.fixture
def without_pictures(monkeypatch):
    """Drawing takes a second, and where pictures are of no account the command can do without."""
    monkeypatch.setitem(sys.modules, "mytorch.viz", None)


def numbers(folder):
    """metrics.csv without the columns of time."""
    with open(folder / "metrics.csv", newline="") as file:
        return [[row[k] for k in loop.COLUMNS if k not in loop.TIMING] for row in csv.DictReader(file)]


def one_line(text):
    """The line that a failure consists of."""
    assert re.fullmatch(r"mytorch\.train: [^\n]+\n", text), text
    return text


# ----- what a run leaves -----


def test_a_run_writes_its_folder(train):
    """Pictures, metrics, config, result, model and graph; all of them can be read; nothing else is there."""
    status, folder, out, err = train()

    assert (status, err) == (0, "")
    assert {path.name for path in folder.iterdir()} == set(FILES) - set(ASKED)
    for name in ("train_loss", "train_error", "val_loss", "val_error"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG\r\n")
    graph = ElementTree.fromstring((folder / "graph.svg").read_text())
    assert graph.tag.endswith("svg")
    assert "0.weight" in "".join(graph.itertext())
    config, result = (json.loads((folder / name).read_text()) for name in ("config.json", "result.json"))
    assert config["options"]["lr"] == 0.1
    assert config["model"]["sizes"] == [6, 8, 4, 3]
    assert (result["ending"], result["epochs"]) == ("done", 2)
    assert f"test error {result['test_error']:.2%}" in out


def test_a_run_to_watch_and_with_histograms(train, monkeypatch):
    """live.html is drawn while it trains, and stays still afterwards; the numbers are those of any other run."""
    drawing = importlib.import_module("mytorch.viz.curves")
    pages, live = [], drawing.live
    monkeypatch.setattr(drawing, "live", lambda *args, **kwargs: pages.append(live(*args, **kwargs).read_text()))
    _, plain, *_ = train(out="plain")
    status, folder, out, err = train("--live", "--histograms")

    assert (status, err) == (0, "")
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert "open live.html in it in a browser to watch" in out
    assert 'http-equiv="refresh"' in pages[0] and 'http-equiv="refresh"' not in pages[-1]
    assert "run: epoch 2" in pages[-1]
    assert numbers(folder) == numbers(plain)
    assert checkpoint.load(folder / "model.safetensors").keys() == checkpoint.load(plain / "model.safetensors").keys()


def test_histograms_count_every_parameter_after_each_epoch(train, without_pictures):
    """From epoch 0, before the first step; the counts add up, and the last ones are those of the saved model."""
    _, folder, _, _ = train("--histograms")
    with open(folder / "weights.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    state = {name: x for name, x in checkpoint.load(folder / "model.safetensors").items() if x.ndim}
    last = {row["parameter"]: row for row in rows if row["epoch"] == "2"}

    assert [row["epoch"] for row in rows if row["parameter"] == "0.weight"] == ["0", "1", "2"]
    for name, row in last.items():
        counts = np.array(row["counts"].split(), int)
        expected, _ = np.histogram(state[name].astype(float), len(counts), (float(row["low"]), float(row["high"])))
        assert counts.tolist() == expected.tolist() and counts.sum() == state[name].size


def test_metrics_are_the_numbers_of_the_table(train):
    """A row an epoch, times in the last columns; floats to the last digit in the file, rounded in the table."""
    _, folder, out, _ = train()
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))

    assert list(rows[0]) == loop.COLUMNS
    assert loop.COLUMNS[-2:] == loop.TIMING == ["seconds", "examples_per_second"]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [float(row["lr"]) for row in rows] == [0.1, 0.05]
    table = [line.split() for line in out.splitlines() if re.match(r" +\d", line)]
    for row, line in zip(rows, table, strict=True):
        assert line[:3] == [row["epoch"], f"{float(row['train_loss']):.4f}", f"{float(row['train_error']):.2%}"]


def test_the_saved_model_is_the_trained_one(train, digits, without_pictures):
    """Loaded by its folder, it has the validation loss of the last row and the test error that was printed."""
    _, folder, _, _ = train("--dtype", "float64", "--activation", "tanh", "relu", "--batch-norm", "1")
    model, dataset = checkpoint.load_model(folder), data.load(digits, np.float64)
    result = json.loads((folder / "result.json").read_text())

    assert [repr(x) for x in evaluate(model, dataset.val)] == numbers(folder)[-1][3:5]
    assert evaluate(model, dataset.test) == (result["test_loss"], result["test_error"])
    assert [type(layer) for layer in model][:4] == [nn.Linear, nn.BatchNorm1d, nn.Tanh, nn.Linear]
    assert checkpoint.metadata(folder / "model.safetensors")["epochs"] == 2


def test_the_same_seed_gives_the_same_files(train, without_pictures):
    """metrics.csv but for its last two columns, and the model, bit for bit; another seed gives others."""
    folders = [train("--seed", seed, out=f"{i}")[1] for i, seed in enumerate("778")]
    models = [(folder / "model.safetensors").read_bytes() for folder in folders]

    assert numbers(folders[0]) == numbers(folders[1]) != numbers(folders[2])
    assert models[0] == models[1] != models[2]


def test_a_new_run_goes_into_a_new_folder(digits, tmp_path, monkeypatch, without_pictures, capsys):
    """Without --out: runs/NAME-1, runs/NAME-2, ..., and no earlier run is overwritten."""
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert cli.main(["--data", str(digits), *SMALL]) == 0

    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["digits-1", "digits-2"]
    assert "folder  runs" in capsys.readouterr().out


def test_a_named_folder_holds_one_run(train, without_pictures):
    """What an earlier run left there is replaced or gone; other files stay."""
    _, folder, _, _ = train()
    (folder / "val_loss.png").touch()
    (folder / "notes.txt").touch()

    _, folder, _, _ = train("--epochs", "1")

    assert len(numbers(folder)) == 1
    assert not (folder / "val_loss.png").exists()
    assert (folder / "notes.txt").exists()


@pytest.mark.parametrize(
    ("name", "text"), [("config.json", '{"theme": "dark"}'), ("config.json", "["), ("metrics.csv", "")]
)
def test_files_of_others_are_not_replaced(train, tmp_path, name, text):
    """--out may be a folder with a config.json of its own."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text(text)

    status, folder, _, err = train()

    assert status == 2
    assert f"the {name} in it is not of an earlier run; choose another folder with --out" in one_line(err)
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [(name, text)]


# ----- options -----


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0, "batch_norm": 2, "activation": ["relu"] * 2}),
        (["--optimizer", "adam"], {"lr": 0.001, "momentum": None, "weight_decay": 0.0}),
        (["--optimizer", "adamw"], {"lr": 0.001, "weight_decay": 0.01}),
        (["--nesterov", "--weight-decay", "0.1"], {"nesterov": True, "weight_decay": 0.1, "momentum": 0.9}),
        (["--hidden"], {"hidden": [], "activation": [], "batch_norm": 0}),
        (["--hiddens", "3", "--activations", "tanh"], {"hidden": [3], "activation": ["tanh"]}),
        (["--no-batch-norm"], {"batch_norm": 0}),
        (["--batch-norm", "1"], {"batch_norm": 1}),
        (["--schedule", "constant", "--standardize", "train"], {"schedule": "constant", "standardize": "train"}),
        (["--init", "normal", "--dtype", "float64"], {"init": "normal", "dtype": "float64"}),
    ],
)
def test_options_reach_the_run(train, without_pictures, arguments, expected):
    """config.json has all options as they were understood, and training with them works."""
    status, folder, _, _ = train(*arguments)
    options = json.loads((folder / "config.json").read_text())["options"]

    assert status == 0
    assert expected.items() <= options.items()


def test_the_handouts_preset(train, without_pictures):
    """Its run, but for what is given beside it."""
    _, folder, _, _ = train("--preset", "handout")
    options = json.loads((folder / "config.json").read_text())["options"]
    handout = cli.PRESETS["handout"]

    assert {k: v for k, v in handout.items() if k not in ("hidden", "activation", "epochs")}.items() <= options.items()
    assert (options["hidden"], options["epochs"], options["activation"]) == ([8, 4], 2, ["sigmoid"] * 2)
    assert (handout["hidden"], handout["epochs"], handout["momentum"]) == ([32, 32, 32], 200, 0.856)
    assert {x.dtype for x in checkpoint.load(folder / "model.safetensors").values()} == {np.dtype(np.float64)}


def test_help_names_every_option():
    """And the defaults, the preset and the exit statuses."""
    text = cli.parser().format_help()

    assert all(flag in text for rows in cli.OPTIONS.values() for _, flags, *_ in rows for flag in flags)
    for shown in ("(default: 256 128)", "--preset handout is", "0.1 for sgd", "exit status:"):
        assert shown in text


def test_quiet_prints_the_result_alone(train):
    """One line on stdout, none on stderr."""
    _, _, out, err = train("--quiet")

    assert re.fullmatch(r"test error \d+\.\d\d% \(\d+ of 20\), loss .*\n", out)
    assert err == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_a_bar_an_epoch(train, monkeypatch, without_pictures):
    """With loss, error and examples per second; what is written to a file has none."""
    terminal, step = Terminal(), optim.SGD.step
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(optim.SGD, "step", lambda self: time.sleep(0.03) or step(self))  # a bar moves 10 times a second
    _, _, out, _ = train("--no-compile")

    shown = terminal.getvalue()
    assert "epoch 1/2:" in shown and "epoch 2/2:" in shown
    assert re.search(r"\d/55\.0 .*examples/s, loss \d\.\d{4}, error \d+\.\d\d%", shown)
    assert "\r" not in out


# ----- endings -----

WRONG = [
    (["--lr", "-1"], "argument --lr: must be a number above 0, not '-1'"),
    (["--lr", "nan"], "argument --lr: must be a number above 0, not 'nan'"),
    (["--momentum", "1"], "argument --momentum: must be a number from 0 to below 1"),
    (["--weight-decay", "-1"], "argument --weight-decay: must be a number from 0"),
    (["--batch-size", "0"], "argument --batch-size: must be a whole number from 1, not '0'"),
    (["--epochs", "1.5"], "argument --epochs: must be a whole number from 1, not '1.5'"),
    (["--hidden", "8", "0"], "must be a whole number from 1 to 1,000,000, not '0'"),
    (["--seed", "-1"], "argument --seed: must be a whole number from 0"),
    (["--activation", "swish"], "invalid choice: 'swish'"),
    (["--activation", "relu", "relu", "tanh"], "--activation: 3 of them for 2 hidden layers"),
    (["--batch-norm", "3"], "--batch-norm 3: there are only 2 hidden layers"),
    (["--batch-size", "1"], "--batch-size 1: batch norm has no variance of one example"),
    (["--optimizer", "adam", "--momentum", "0.9"], "--momentum: adam has none"),
    (["--nesterov", "--momentum", "0"], "--nesterov: needs a --momentum above 0"),
    (["--optimizer", "lbfgs"], "invalid choice: 'lbfgs'"),
    (["--dtype", "float16"], "invalid choice: 'float16'"),
    (["--data", "nowhere"], "nowhere: no such file or folder"),
    (["--data", __file__], "not a data set"),
    (["--data", ""], "argument --data: must not be empty"),
    (["--out", os.path.join(__file__, "run")], "no folder to write to"),
    (["--out", __file__], "no folder to write to"),
    (["--bogus"], "unrecognized arguments: --bogus"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[" ".join(map(os.path.basename, a)) for a, _ in WRONG])
def test_what_is_wrong_is_one_line_and_status_2(train, tmp_path, arguments, message):
    """Arguments, data and the folder; nothing is written."""
    status, _, out, err = train(*arguments)

    assert (status, out) == (2, "")
    assert message in one_line(err)
    assert not (tmp_path / "run").exists()


def test_one_example_is_too_few_for_batch_norm(tmp_path, capsys):
    """It is told before training, with the way out."""
    x, y = np.ones((2, 3)), np.array([0, 1])
    np.savez(tmp_path / "one.npz", x_train=x[:1], y_train=y[:1], x_val=x, y_val=y, x_test=x, y_test=y)
    arguments = ["--data", str(tmp_path / "one.npz"), "--out", str(tmp_path / "run"), *SMALL]

    assert cli.main(arguments) == 2
    assert "one training example; batch norm needs two, or --no-batch-norm" in one_line(capsys.readouterr().err)
    assert cli.main([*arguments, "--no-batch-norm", "--quiet"]) == 0


def interrupted_at(monkeypatch, step, error=KeyboardInterrupt):
    """Makes SGD's step number `step` end in an error, where steps are not compiled."""
    steps, original = iter(range(1, 10**9)), optim.SGD.step

    def failing(self):
        if next(steps) == step:
            raise error
        original(self)

    monkeypatch.setattr(optim.SGD, "step", failing)


def test_ctrl_c_saves_what_is_trained(train, monkeypatch):
    """The second epoch is stopped: its steps are in the model, the first in the metrics and the pictures."""
    interrupted_at(monkeypatch, step=9)  # an epoch has 6
    status, folder, out, err = train("--no-compile")
    model = checkpoint.load(folder / "model.safetensors")

    assert status == 130
    assert "stopped by Ctrl-C in epoch 2" in err and "Traceback" not in err
    assert {path.name for path in folder.iterdir()} == set(FILES) - set(ASKED)
    assert len(numbers(folder)) == 1
    assert json.loads((folder / "result.json").read_text())["ending"] == "interrupted"
    assert "test error" in out
    assert model["1.num_batches_tracked"] == 9


def test_ctrl_c_in_the_first_epoch(train, monkeypatch):
    """There is nothing to draw curves of, and the rest is there."""
    interrupted_at(monkeypatch, step=2)
    status, folder, _, _ = train("--no-compile")

    assert status == 130
    assert numbers(folder) == []
    assert {path.name for path in folder.iterdir()} == set(FILES) - set(CURVES) - set(ASKED)


def test_a_second_ctrl_c_ends_at_once(train, monkeypatch):
    """Even while the first is being served."""
    interrupted_at(monkeypatch, step=9)
    saves, original = [], checkpoint.save

    def save(*args):
        saves.append(args)
        if len(saves) == 3:  # before the first epoch, after it, and now
            raise KeyboardInterrupt
        original(*args)

    monkeypatch.setattr(checkpoint, "save", save)
    status, folder, out, err = train("--no-compile")

    assert status == 130
    assert err.endswith("mytorch.train: stopped by Ctrl-C\n")
    assert "test error" not in out
    assert checkpoint.load(folder / "model.safetensors")["1.num_batches_tracked"] == 6


def test_a_diverging_run_says_what_to_try(train, without_pictures):
    """Status 1; what is saved is the model of the last sound epoch."""
    status, folder, _, err = train("--lr", "1e30", "--no-batch-norm")
    line = one_line(err.splitlines(keepends=True)[0])

    assert status == 1
    assert re.search(r"the loss is (nan|inf) in epoch 1: try a smaller --lr \(it was 1e\+30\) or --batch-norm", line)
    assert all(np.isfinite(x).all() for x in checkpoint.load(folder / "model.safetensors").values())
    assert json.loads((folder / "result.json").read_text())["ending"] == "diverged"


def test_a_full_disk_is_one_line(train, monkeypatch):
    """Status 1."""

    def full(*_):
        raise OSError(28, "No space left on device", "model.safetensors")

    monkeypatch.setattr(checkpoint, "save", full)
    status, _, _, err = train("--quiet")

    assert status == 1
    assert one_line(err).endswith("model.safetensors: No space left on device\n")


# ----- packages that are not there -----


@pytest.mark.parametrize("name", ["tqdm", "safetensors.numpy", "threadpoolctl"])
def test_without_the_train_extra(train, monkeypatch, name):
    """One line says what to install, before any work is done."""
    monkeypatch.setitem(sys.modules, name, None)
    status, folder, out, err = train()

    assert (status, out) == (2, "")
    assert one_line(err).endswith(f"training needs {name}: pip install 'mytorch-autograd[train]'\n")
    assert not folder.exists()


def test_live_needs_matplotlib_from_the_start(train, monkeypatch):
    """What is asked for and cannot be drawn is told before training."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, folder, out, err = train("--live")

    assert (status, out) == (2, "")
    assert one_line(err).endswith("--live needs matplotlib: pip install 'mytorch-autograd[train]'\n")
    assert not folder.exists()


def test_without_the_viz_extra(train, monkeypatch):
    """It trains, and one line says what to install for pictures."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "mytorch.viz.pdf", None)
    status, folder, out, err = train()

    assert status == 0
    assert "test error" in out
    assert err.count("\n") == 1 and "pip install 'mytorch-autograd[viz]'" in err
    assert (folder / "model.safetensors").exists()


def no_graphviz():
    raise ImportError("drawing needs Graphviz: pip install 'mytorch-autograd[viz]'")


# ----- as a process of its own -----


def process(digits, tmp_path, *arguments):
    command = [sys.executable, "-W", "error", "-m", "mytorch.train", "--data", str(digits), *SMALL, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="a signal of POSIX")
def test_sigint_ends_the_process_cleanly(digits, tmp_path):
    """A real Ctrl-C: status 130, no traceback, and the folder can be loaded."""
    with process(digits, tmp_path, "--epochs", "1000000", "--out", "run") as running:
        while not running.stdout.readline().strip().startswith("1 "):
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)

    assert running.returncode == 130
    assert "stopped by Ctrl-C" in err and "Traceback" not in err
    assert "test error" in out
    assert not checkpoint.load_model(tmp_path / "run").training


@pytest.mark.skipif(os.name != "posix", reason="a signal of POSIX")
def test_a_closed_pipe_ends_the_process_quietly(digits, tmp_path):
    """`python -m mytorch.train | head -1` prints one line, and no traceback."""
    with process(digits, tmp_path, "--epochs", "1000000", "--out", "run") as running:
        running.stdout.readline()
        running.stdout.close()
        _, err = running.communicate(timeout=60)

    assert (running.returncode, err) == (1, "")
