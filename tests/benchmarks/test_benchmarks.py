"""The benchmarks compare what is equal, and write down what they found. Nothing here is timed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import contenders, operations, report, runner, workloads

ROOT = Path(__file__).parents[2]
KINDS = {w.kind: w for w in workloads.WORKLOADS}
MACHINE = {
    "processor": "an abacus", "cores": 1, "threads": 1, "system": "sand", "python": "3", "blas": "beads",
    "packages": {"numpy": "2"},
}  # fmt: skip


def numbers(contender, workload):
    """What the contender computes for the workload at a tiny size, three steps where steps differ."""
    workload = workloads.tiny(workload)
    module = contenders.load(contenders.by_name(contender))
    step, given = contenders.build(module, workload.kind, workloads.inputs(workload))
    for _ in range(3 if workload.kind == "mlp" else 1):
        getattr(step, "check", step)()
    return given()


def results():
    def figures(ratio):
        return {"seconds": 2e-4 * ratio, "fastest": 1e-4, "ratio": ratio, "first": 1.0, "resident": 3_000_000,
                "traced": 1_250_000, "turns": [2e-4 * ratio]}  # fmt: skip

    return {"mlp-16": {"contenders": {"numpy": figures(1.0), "eager": figures(1.5)}, "skipped": {"jax": "why"}}}


@pytest.mark.parametrize("workload", workloads.WORKLOADS, ids=lambda w: w.name)
def test_the_library_agrees_with_the_hand_written_step(workload):
    """The derivatives by hand and those of the engine are the same numbers, and in the dtype of the row."""
    assert runner.disagreement(numbers("numpy", workload), numbers("eager", workload)) is None


@pytest.mark.parametrize("kind", ["mlp", "hvp", "lstm", "transformer"])
def test_the_products_alone_run(kind):
    """The row of BLAS calls has them for every workload that is made of matrix products."""
    workload = workloads.tiny(KINDS[kind])
    step, _ = contenders.build(
        contenders.load(contenders.by_name("blas")), workload.kind, workloads.inputs(workload)
    )
    step()


def test_the_hand_written_gradient_is_that_of_differences():
    """The yardstick itself is right: its LSTM's derivative by one weight is the slope of its value."""
    inputs = workloads.inputs(workloads.tiny(KINDS["lstm"])._replace(dtype="float64"))
    build = contenders.load(contenders.by_name("numpy")).lstm

    def value_and_slope(shift):
        moved = inputs | {"wh": inputs["wh"] + shift}
        step, given = build(**moved)
        step()
        return given()[0], given()[2][0, 0]

    shift = np.zeros_like(inputs["wh"])
    shift[0, 0] = 1e-6
    (above, _), (below, _), (_, slope) = (value_and_slope(s) for s in (shift, -shift, 0))

    assert (above - below) / 2e-6 == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize(
    "got, why",
    [
        ([np.array([1.0, 2.0])], None),
        ([np.array([1.0, 2.0001])], None),
        ([np.array([1.0, 2.001])], "array 0"),
        ([np.array([1.0, np.nan])], "array 0"),
        ([np.array([1.0, 2.0], np.float32)], "float32"),
        ([np.array([1.0])], "shapes"),
        ([], "shapes"),
    ],
)
def test_what_differs_is_told(got, why):
    """Numbers agree to 1e-4 of the largest, in dtype and in shape, or it is said where they do not."""
    told = runner.disagreement([np.array([1.0, 2.0])], got)

    assert told is None if why is None else why in told


def test_table():
    """The hand-written step stands with its time, the others with their multiple of it, absent ones not at all."""
    lines = report.tables(results(), ["numpy", "eager", "jax"]).splitlines()

    assert lines[2:5] == [
        "| workload |  numpy | eager |",
        "|----------|-------:|------:|",
        "| mlp-16   | 200 µs |  1.50 |",
    ]
    assert "| mlp-16   |  1.25 |  1.25 |" in lines


@pytest.mark.parametrize("seconds, text", [(2.5, "2.5 s"), (0.0123, "12.3 ms"), (4.56e-5, "45.6 µs"), (0.0, "0 µs")])
def test_durations(seconds, text):
    """A duration has three digits and the unit that fits."""
    assert report.duration(seconds) == text


def test_files(tmp_path):
    """JSON keeps every figure and the machine, Markdown the tables, and there is a picture."""
    pytest.importorskip("matplotlib")
    paths = report.write(tmp_path / "new", MACHINE, results(), ["numpy", "eager"])

    assert [p.name for p in paths] == ["results.json", "results.md", "results.png"]
    assert json.loads(paths[0].read_text()) == {"machine": MACHINE, "results": results()}
    assert paths[1].read_text(encoding="utf-8").startswith("an abacus, 1 of 1 cores; sand; Python 3, numpy 2;")
    assert paths[2].read_bytes().startswith(b"\x89PNG")


def test_the_command_from_the_root(tmp_path):
    """From the checkout's root it runs each contender apart, names who is skipped, and HIPS autograd is not us."""
    pytest.importorskip("matplotlib")
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--workload", "chain-1e3", "--out", tmp_path,
         "--contender", "eager", "micrograd", "autograd"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    found = json.loads((tmp_path / "results.json").read_text())["results"]["chain-1e3"]

    assert {"numpy", "eager"} <= set(found["contenders"])
    assert "without micrograd" in run.stderr
    assert "autograd" in found["contenders"] or "autograd is not installed" in found["skipped"]["autograd"]


def test_every_operation_runs_and_agrees():
    """One row an operation, gradients beside PyTorch's where that is installed."""
    rows = operations.table(6, 1)

    assert len(rows) == len(operations.ROWS)
    assert {row.split(" | ")[0][2:] for row in rows} == {name for name, *_ in operations.ROWS}
