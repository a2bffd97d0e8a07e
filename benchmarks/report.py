"""The results as tables, JSON and a plot."""

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from .runner import REFERENCE

# ----- where it ran -----


def machine(threads, packages):
    """What the figures depend on, apart from the code."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "system": platform.platform(),
        "python": platform.python_version(),
        "blas": _blas(),
        "packages": {p: v for p in ["numpy", *packages] if (v := _version(p))},
    }


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _blas():
    """numpy's BLAS and the kernels it chose: what it was told to choose by OPENBLAS_CORETYPE may be half as fast."""
    name = np.show_config(mode="dicts")["Build Dependencies"]["blas"].get("name", "unknown")
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return name
    kernels = sorted({lib["architecture"] for lib in threadpool_info() if "architecture" in lib})
    forced = ", as OPENBLAS_CORETYPE says" if "OPENBLAS_CORETYPE" in os.environ else ""
    return f"{name} ({' and '.join(kernels)} kernels{forced})" if kernels else name


def _version(package):
    try:
        return version({"mytorch": "mytorch-autograd"}.get(package, package))
    except PackageNotFoundError:
        return None


def described(machine):
    packages = ", ".join(f"{p} {v}" for p, v in machine["packages"].items())
    return (
        f"{machine['processor']}, {machine['threads']} of {machine['cores']} cores; {machine['system']}; "
        f"Python {machine['python']}, {packages}; BLAS {machine['blas']}"
    )


# ----- tables, in Markdown -----


def tables(results, names):
    """Time, then both kinds of memory: a row a workload, a column a contender."""
    found = [n for n in names if any(n in r["contenders"] for r in results.values())]
    sections = [
        f"Time of one step, of the others multiples of {REFERENCE}'s\n\n" + _table(results, found, _time),
        "Peak resident memory above what the imports took, MB\n\n" + _table(results, found, _megabytes("resident")),
        "Peak of what Python and numpy allocated, MB\n\n" + _table(results, found, _megabytes("traced")),
    ]
    return "\n\n".join(sections) + "\n"


def _table(results, names, cell):
    rows = [["workload", *names]]
    for workload, result in results.items():
        rows.append([workload, *(cell(n, f) if (f := result["contenders"].get(n)) else "" for n in names)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for head, *cells in rows:
        aligned = [f"{head:<{widths[0]}}", *(f"{c:>{w}}" for c, w in zip(cells, widths[1:], strict=True))]
        lines.append(f"| {' | '.join(aligned)} |")
    rule = ["-" * (widths[0] + 2), *("-" * (w + 1) + ":" for w in widths[1:])]
    return "\n".join([lines[0], f"|{'|'.join(rule)}|", *lines[1:]])


def _time(name, figures):
    return duration(figures["seconds"]) if name == REFERENCE else f"{figures['ratio']:.2f}"


def _megabytes(kind):
    return lambda name, figures: f"{figures[kind] / 1e6:.3g}" if figures.get(kind) is not None else ""


def duration(seconds):
    """Three digits and a unit."""
    unit, size = next((row for row in (("s", 1), ("ms", 1e-3)) if seconds >= row[1]), ("µs", 1e-6))
    return f"{seconds / size:.3g} {unit}"


# ----- files -----


def write(folder, machine, results, names):
    """results.json, results.md and results.png; the paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")
    (folder / "results.md").write_text(f"{described(machine)}\n\n{tables(results, names)}", encoding="utf-8")
    plot(folder / "results.png", machine, results, names)
    return [folder / f"results.{kind}" for kind in ("json", "md", "png")]


def plot(path, machine, results, names):
    """One line a workload, one mark a contender, at its multiple of the hand-written step."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("the plot needs matplotlib: pip install 'mytorch-autograd[bench]'") from error

    workloads = list(results)
    figure = Figure(figsize=(9, 1.5 + 0.32 * len(workloads)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.axvline(1, color="0.5", linewidth=1)
    for name, marker in zip((n for n in names if n != REFERENCE), "|oD^sv<>P*", strict=False):
        points = [(f["ratio"], k) for k, w in enumerate(workloads) if (f := results[w]["contenders"].get(name))]
        if points:
            axes.plot(*zip(*points, strict=True), marker, label=name, alpha=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(workloads)), workloads)
    axes.invert_yaxis()
    axes.grid(alpha=0.3)
    axes.set_xlabel("time of a step, multiples of hand-written numpy")
    axes.set_title(f"{machine['processor']}, {machine['threads']} thread{'s' * (machine['threads'] > 1)}", fontsize=10)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=110)
