"""One contender's process: builds a step, says what it computes, and runs it whenever it is told to.

It is started as a file, with Python's -P, so that neither the checkout's root (whose folder `autograd` would be found
for HIPS autograd) nor this folder is on its path. It reads one JSON line a command and answers with one.
"""

import importlib.util
import json
import math
import os
import sys
import tracemalloc
from pathlib import Path
from time import perf_counter


def main(contender, workload, threads, *flags):
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is not an answer
    if hasattr(os, "sched_setaffinity"):  # the one way to count threads that every library heeds
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    for reply in run(contender, workload, flags):
        print(json.dumps(reply), file=replies)


def run(contender, workload, flags):
    """Yields the answers, the first one to the start."""
    package()
    import numpy.random  # noqa: F401 (so that it is not counted as memory of the first workload)

    from benchmarks import contenders, workloads

    contender, workload = contenders.by_name(contender), workloads.by_name(workload)
    workload = workloads.tiny(workload) if "--tiny" in flags else workload
    try:
        module = contenders.load(contender)
        if "--trace" in flags:
            tracemalloc.start()
        before = resident("VmRSS")
        step, numbers = contenders.build(module, workload.kind, workloads.inputs(workload))
        first = timed(getattr(step, "check", step), 1)
        for _ in range(2 if workload.kind == "mlp" else 0):  # three steps show the momentum at work
            step()
    except contenders.Absent as absent:
        yield {"absent": str(absent)}
        return
    yield {"first": first}
    estimate = math.inf if hasattr(step, "check") else first  # the check is a few steps of a long run: one run a turn
    for line in sys.stdin:
        command, argument = json.loads(line)
        if command == "numbers":
            save(argument, numbers())
            yield {}
        elif command == "time":
            estimate = timed(step, max(1, int(argument / estimate)))
            yield {"seconds": estimate}
        elif command == "memory":
            yield {"bytes": (traced if "--trace" in flags else grown)(step, before)}


def package():
    """Makes `benchmarks` importable without its parent folder on the path."""
    here = Path(__file__).parent
    spec = importlib.util.spec_from_file_location(
        "benchmarks", here / "__init__.py", submodule_search_locations=[str(here)]
    )
    sys.modules["benchmarks"] = importlib.util.module_from_spec(spec)


def save(path, arrays):
    import numpy as np

    np.savez(path, *map(np.asarray, arrays))


def timed(step, times):
    """Seconds of one step, the mean of so many."""
    start = perf_counter()
    for _ in range(times):
        step()
    return (perf_counter() - start) / times


# ----- memory -----


def resident(field):
    """VmRSS, the resident bytes now, or VmHWM, the most there were; None where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), None)


def grown(step, before):
    """The most resident bytes during a step above those `before` anything was built, after the imports."""
    if before is None:
        return None
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew: what a compiler took is over
    step()
    return resident("VmHWM") - before


def traced(step, before):
    """The most bytes of Python and numpy that were held during a step, inputs, parameters and graph included."""
    tracemalloc.reset_peak()
    step()
    return tracemalloc.get_traced_memory()[1]


if __name__ == "__main__":
    main(*sys.argv[1:])
