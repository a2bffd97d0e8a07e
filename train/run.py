"""One run, from its options to its folder: what the command does once its arguments are understood."""

import contextlib
import copy
import csv
import io
import itertools
import json
import math
import platform
import sys
from pathlib import Path
from time import perf_counter

import numpy as np

from .. import __version__, nn
from . import checkpoint, data
from .loop import COLUMNS, Diverged, evaluate, fit
from .optim import SCHEDULES, SGD, Adam, AdamW

METRICS, RESULT, GRAPH = "metrics.csv", "result.json", "graph.svg"
WEIGHTS, LIVE = "weights.csv", "live.html"
CURVES = ["train_loss.png", "train_error.png", "val_loss.png", "val_error.png", "curves.png"]
ASKED = [WEIGHTS, "weights.png", LIVE]  # with --histograms and --live
FILES = [checkpoint.CONFIG, METRICS, RESULT, checkpoint.MODEL, *CURVES, GRAPH, *ASKED]

BINS = 40  # of a histogram
BINNED = ["epoch", "parameter", "low", "high", "counts"]  # the columns of weights.csv
REFRESH = 2  # seconds between two loads of live.html, and at least between two drawings of it

OPTIMIZERS = {  # name: the class, and the options that are its arguments
    "sgd": (SGD, ["lr", "momentum", "weight_decay", "nesterov"]),
    "adam": (Adam, ["lr", "weight_decay"]),
    "adamw": (AdamW, ["lr", "weight_decay"]),
}
TABLE = {  # what is printed of each epoch: the column's title and how its values are written
    "epoch": ("epoch", "{:d}"),
    "train_loss": ("train loss", "{:.4f}"),
    "train_error": ("train error", "{:.2%}"),
    "val_loss": ("val loss", "{:.4f}"),
    "val_error": ("val error", "{:.2%}"),
    "lr": ("lr", "{:.3g}"),
    "seconds": ("seconds", "{:.1f}"),
    "examples_per_second": ("examples/s", "{:,.0f}"),
}
STATUS = {"done": 0, "diverged": 1, "interrupted": 130}  # how a run ends: the exit status
WIDTHS = {name: max(7, len(title)) for name, (title, _) in TABLE.items()}


class StartError(RuntimeError):
    """The run cannot begin, and neither its arguments nor its data are at fault."""


def run(options):
    """Trains, prints how it goes and fills the folder of the run; returns the exit status, 0, 1 or 130.

    options: a dict with all options of the command, see cli.DEFAULTS.
    """
    tqdm, threadpool_limits = _packages(options)
    with threadpool_limits(options["threads"], user_api="blas"):
        dataset = _dataset(options)
        config = _config(options, dataset)
        weights, order = np.random.default_rng(options["seed"]).spawn(2)
        model = _model(config["model"], options["init"], weights)
        folder = _folder(options, dataset, config)
        watch = None if options["quiet"] else _bars(tqdm, options["epochs"])
        say = _silent if options["quiet"] else _say
        say(_summary(dataset, config, model, folder))
        start, log = perf_counter(), Log(folder, config)
        ending = _train(model, dataset, config, order, log, say, watch)
        _report(model, dataset.test, folder, {"ending": ending, "epochs": len(log.rows)}, start, say)
        _draw(log, model, dataset)
        say(f"in {folder}: {', '.join(file for file in FILES if (folder / file).exists())}")
        return STATUS[ending]


def _packages(options):
    """What the [train] extra brings, asked for before any work is done."""
    try:
        import safetensors.numpy  # noqa: F401 (for the checkpoints)
        from threadpoolctl import threadpool_limits
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError(f"training needs {error.name}: pip install 'mytorch-autograd[train]'") from error
    if options["live"]:
        try:
            import matplotlib  # noqa: F401 (other runs draw at the end, and can do without)
        except ImportError as error:
            raise ImportError("--live needs matplotlib: pip install 'mytorch-autograd[train]'") from error
    return tqdm, threadpool_limits


# ----- before the first epoch -----


def _dataset(options):
    dataset = data.load(options["data"], np.dtype(options["dtype"]))
    if options["batch_norm"] and len(dataset.train.x) < 2:
        raise data.DataError(f"{options['data']}: one training example; batch norm needs two, or --no-batch-norm")
    return dataset if options["standardize"] == "no" else data.standardize(dataset, options["standardize"])


def _config(options, dataset):
    """What config.json says: the options, the model as checkpoint.build takes it, and what computed it."""
    model = {
        "sizes": [dataset.train.x.shape[1], *options["hidden"], dataset.classes],
        "activations": options["activation"],
        "batch_norm": options["batch_norm"],
        "dtype": options["dtype"],
    }
    versions = {"mytorch": __version__, "numpy": np.__version__, "python": platform.python_version()}
    return {"versions": versions, "options": options, "model": model}


def _standard_normal(model, rng):
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, rng=rng)
            nn.init.zeros_(layer.bias)


INITS = {"uniform": lambda model, rng: None, "normal": _standard_normal}  # uniform: what the layers do themselves


def _model(config, init, rng):
    model = checkpoint.build(**config, rng=rng)
    INITS[init](model, rng)
    return model


def _folder(options, dataset, config):
    """The folder of the run with config.json in it, and nothing left of an earlier run."""
    name = dataset.name if options["preset"] == "default" else options["preset"]
    try:
        folder = Path(options["out"]) if options["out"] else _new_folder(Path("runs"), name)
        folder.mkdir(parents=True, exist_ok=True)
        _require_ours(folder)
        checkpoint.write(folder / checkpoint.CONFIG, _json(config))
        for file in FILES[1:]:
            (folder / file).unlink(missing_ok=True)
    except OSError as error:
        place = options["out"] or "runs"
        raise StartError(f"{place}: no folder to write to ({error.strerror}); choose another with --out") from error
    return folder


def _require_ours(folder):
    """Raises where files that a run would replace are not those of a run."""
    found = [file for file in FILES if (folder / file).exists()]
    try:
        ours = not found or "mytorch" in json.loads((folder / checkpoint.CONFIG).read_bytes())["versions"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise StartError(f"{folder}: the {found[0]} in it is not of an earlier run; choose another folder with --out")


def _new_folder(parent, name):
    """The first of parent/name-1, name-2, ... that is not there yet, made."""
    for number in itertools.count(1):
        folder = parent / f"{name}-{number}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder


def _json(value):
    return (json.dumps(value, indent=2) + "\n").encode()


def _summary(dataset, config, model, folder):
    """Three lines on what is going to happen, and the head of the table."""
    options, config = config["options"], config["model"]
    train, val, test = (f"{len(part.x):,}" for part in (dataset.train, dataset.val, dataset.test))
    size = sum(p.size for p in model.parameters())
    layers = "-".join(map(str, config["sizes"]))
    kinds = [*dict.fromkeys(config["activations"])] + ["batch norm"] * bool(config["batch_norm"])
    page = f"; open {LIVE} in it in a browser to watch" if options["live"] else ""
    return (
        f"data    {dataset.name}: {train} examples to train on, {val} to validate, {test} to test\n"
        f"model   {', '.join([layers, *kinds])}: {size:,} parameters, {config['dtype']}\n"
        f"folder  {folder}{page}\n\n" + "  ".join(f"{title:>{WIDTHS[name]}}" for name, (title, _) in TABLE.items())
    )


def _line(row):
    return "  ".join(f"{form.format(row[name]):>{WIDTHS[name]}}" for name, (_, form) in TABLE.items())


def _bars(tqdm, epochs):
    """What `fit` is watched with: a progress bar an epoch, on a terminal only, gone when the epoch is over."""

    @contextlib.contextmanager
    def watch(epoch, n):
        title = f"epoch {epoch}/{epochs}"
        with tqdm(total=n, desc=title, unit=" examples", unit_scale=True, leave=False, disable=None) as bar:

            def report(tally):
                bar.set_postfix_str(f"loss {tally.loss:.4f}, error {tally.error:.2%}", refresh=False)
                bar.update(tally.seen - bar.n)

            yield None if bar.disable else report

    return watch


def _silent(text):
    """What --quiet says."""


def _say(text):
    print(text, flush=True)  # at once, also into a pipe or a file


def warn(text):
    """Prints one line on stderr."""
    print(f"mytorch.train: {' '.join(str(text).split())}", file=sys.stderr, flush=True)


# ----- training, and after -----


def _train(model, dataset, config, order, log, say, watch):
    """Fits and, before the first epoch and after each, logs; returns the ending, one of STATUS."""
    options = config["options"]
    make, names = OPTIMIZERS[options["optimizer"]]
    optimizer = make(model.parameters(), **{name: options[name] for name in names})
    schedule = SCHEDULES[options["schedule"]]
    epochs = fit(model, optimizer, dataset, options["epochs"], options["batch_size"], schedule, order, watch=watch,
                 compile=options["compile"])
    try:
        log.save(model)
        for row in epochs:
            log.rows.append(row)
            log.save(model)
            say(_line(row))
    except KeyboardInterrupt:
        warn(f"stopped by Ctrl-C in epoch {len(log.rows) + 1}; saving what is trained (Ctrl-C again: without)")
        log.save(model)
        return "interrupted"
    except Diverged as error:  # the file has the model of the last epoch, which was still sound
        model.load_state_dict(checkpoint.load(log.folder / checkpoint.MODEL))
        warn(f"{error} in epoch {len(log.rows) + 1}: {_advice(options)}; the model from before that epoch is saved")
        return "diverged"
    return "done"


class Log:
    """What a run writes as it goes: the model, metrics.csv and, where asked for, weights.csv and live.html.

    rows:       of metrics, one an epoch.
    histograms: {epoch: rows of weights.csv}, from epoch 0, before the first step.
    """

    def __init__(self, folder, config):
        self.folder, self.config, self.options = folder, config, config["options"]
        self.rows, self.histograms = [], {}
        self.drawn = -math.inf

    def save(self, model):
        """Writes all anew, with what is known of the epochs so far."""
        told = {"version": __version__, "epochs": len(self.rows), "model": self.config["model"]}
        checkpoint.save(model, self.folder / checkpoint.MODEL, told)
        checkpoint.write(self.folder / METRICS, _csv(COLUMNS, self.rows))
        if self.options["histograms"]:
            self.histograms.setdefault(len(self.rows), _histograms(len(self.rows), model))
            rows = list(itertools.chain(*self.histograms.values()))
            checkpoint.write(self.folder / WEIGHTS, _csv(BINNED, rows))
        if self.options["live"] and perf_counter() - self.drawn > REFRESH:
            self.draw(refresh=REFRESH)
            self.drawn = perf_counter()

    def draw(self, refresh=None):
        """Draws the live page; without `refresh`, as it stays."""
        from ..viz.curves import live

        live(self.rows, self.folder / LIVE, title=f"{self.folder.name}: epoch {len(self.rows)}", refresh=refresh)


def _csv(columns, rows):
    """A table as bytes: floats in the shortest form that reads back as the same float."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _histograms(epoch, model):
    """The rows of weights.csv for an epoch: how many numbers of each parameter lie in bins from low to high."""
    rows = []
    for name, p in model.named_parameters():
        x = p.data[np.isfinite(p.data)].astype(float)
        same = (x[0] - 1e-3, x[0] + 1e-3) if x.size and x.min() == x.max() else None  # numpy's bins would be wide
        counts, edges = np.histogram(x, BINS, same)
        row = epoch, name, float(edges[0]), float(edges[-1]), " ".join(map(str, counts))
        rows.append(dict(zip(BINNED, row, strict=True)))
    return rows


def _advice(options):
    cures = [f"a smaller --lr (it was {options['lr']:g})"]
    cures += [] if options["batch_norm"] else ["--batch-norm"]
    cures += [] if options["standardize"] != "no" else ["--standardize train"]
    return f"try {' or '.join(cures)}"


def _report(model, test, folder, result, start, say):
    """Prints loss and error on the test part, and writes them into result.json."""
    loss, error = evaluate(model, test)
    result = result | {"test_loss": loss, "test_error": error, "seconds": perf_counter() - start}
    checkpoint.write(folder / RESULT, _json(result))
    n = len(test.x)
    say("")
    _say(
        f"test error {error:.2%} ({round(error * n):,} of {n:,}), loss {loss:.4f}, after {result['seconds']:.1f} s"
    )


def _draw(log, model, dataset):
    """The curves, and the graph of the loss of a small batch; one line on what to install where they cannot be."""
    missing = []
    for draw in (_draw_curves, _draw_graph):
        try:
            draw(log, model, dataset)
        except ImportError as error:
            missing.append(str(error))
    if missing:
        warn(f"without some pictures: {'; '.join(dict.fromkeys(missing))}")


def _draw_curves(log, model, dataset):
    from ..viz import curves

    if log.options["live"]:
        log.draw()
    if log.rows:
        curves(log.folder)


def _draw_graph(log, model, dataset):
    from ..viz import render

    twin = copy.deepcopy(model).train()  # in training mode, which moves batch norm's running averages
    x, y = dataset.train.x[:8], dataset.train.y[:8]
    render(nn.cross_entropy(twin(x), y), log.folder / GRAPH, params=twin)
