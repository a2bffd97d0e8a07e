"""Runs the contenders of a workload in turns, each in a process of its own, after checking that they agree."""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import median

import numpy as np

REFERENCE = "numpy"
RTOL = 1e-4
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class Failed(Exception):
    """A contender's process ended before it answered; the message is its last line."""


class Process:
    """A worker; `ask` sends a command and waits for the answer."""

    def __init__(self, contender, workload, threads, folder, *flags):
        self.log = Path(folder) / f"{contender}.log"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        environment |= dict.fromkeys(THREAD_VARIABLES, str(threads))
        worker = Path(__file__).with_name("worker.py")
        with self.log.open("w") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-P", worker, contender, workload, str(threads), *flags],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd=folder,
            )  # fmt: skip

    def answer(self):
        line = self.child.stdout.readline()
        if not line:
            self.child.wait()
            told = self.log.read_text().strip().splitlines() or [f"exit status {self.child.returncode}"]
            raise Failed(told[-1])
        return json.loads(line)

    def ask(self, *command):
        with suppress(BrokenPipeError):  # answer() tells why
            print(json.dumps(command), file=self.child.stdin, flush=True)
        return self.answer()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.child.kill()
        self.child.wait()
        self.child.stdin.close()
        self.child.stdout.close()


def measure(workload, contenders, rounds, seconds, threads, tiny=False):
    """One result of a workload: {"contenders": {name: figures}, "skipped": {name: why}}.

    rounds:  how often every contender has its turn; seconds: how long a turn is, one step at least.
    Ratios are the median over rounds of the ratio to the hand-written step in the same round: what else the machine
    does in the meantime slows both.
    """
    flags, skipped, running = ["--tiny"] * tiny, {}, {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        for contender in contenders:
            process = stack.enter_context(Process(contender.name, workload.name, threads, folder, *flags))
            try:
                why = _start(process, contender, running, folder)
            except Failed as error:
                why = f"failed: {error}"
            if why:
                skipped[contender.name] = why
                if contender.name == REFERENCE:
                    raise Failed(f"{workload.name}: the hand-written step {why}")
        turns = {name: [] for name in running}
        for _ in range(min(rounds, workload.rounds)):
            for name, (process, _) in running.items():
                turns[name].append(process.ask("time", seconds)["seconds"])
        resident = {name: process.ask("memory", None)["bytes"] for name, (process, _) in running.items()}
    result = {
        name: {
            "seconds": median(turns[name]),
            "fastest": min(turns[name]),
            "ratio": median(t / r for t, r in zip(turns[name], turns[REFERENCE], strict=True)),
            "first": first,
            "resident": resident[name],
            "turns": turns[name],
        }
        for name, (_, first) in running.items()
    }
    for contender in contenders:
        if contender.name in result and contender.traced:
            result[contender.name]["traced"] = _traced(workload, contender, threads, flags)
    return {"contenders": result, "skipped": skipped}


def _start(process, contender, running, folder):
    """Waits until the contender is built and compares its numbers; says why it does not take part, if so."""
    reply = process.answer()
    if "absent" in reply:
        return reply["absent"]
    if contender.checked:
        path = str(Path(folder) / f"{contender.name}.npz")
        process.ask("numbers", path)
        wrong = disagreement(_arrays(Path(folder) / f"{REFERENCE}.npz"), _arrays(path))
        if wrong:
            return f"its numbers are not those of the hand-written step: {wrong}"
    running[contender.name] = process, reply["first"]
    return None


def _traced(workload, contender, threads, flags):
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        process = stack.enter_context(Process(contender.name, workload.name, threads, folder, "--trace", *flags))
        process.answer()
        return process.ask("memory", None)["bytes"]


def _arrays(path):
    with np.load(path) as saved:
        return [saved[name] for name in saved.files]


def disagreement(expected, got):
    """What differs by more than RTOL of the largest number of its array, or None.

    What is zero but for rounding, such as the gradient of a bias before batch norm, is measured by the largest of all.
    """
    if [a.shape for a in expected] != [a.shape for a in got]:
        return f"shapes {[a.shape for a in got]}, not {[a.shape for a in expected]}"
    for k, (a, b) in enumerate(zip(expected, got, strict=True)):
        scale = max(np.abs(a).max(), 1e-3 * max(np.abs(e).max() for e in expected))
        off = np.abs(a.astype(float) - b).max() / scale
        if not off <= RTOL:
            return f"array {k} of shape {a.shape} is off by {off:.1e}"
        if a.dtype != b.dtype and a.ndim:
            return f"array {k} is {b.dtype}, not {a.dtype}"
    return None
