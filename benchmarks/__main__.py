"""python -m benchmarks: measures, prints the tables, and writes them as JSON, Markdown and a plot."""

import argparse
import sys

from . import report
from .contenders import CONTENDERS
from .runner import REFERENCE, Failed, measure
from .workloads import WORKLOADS


def parser():
    workloads = "\n".join(f"  {w.name:14} {w.dtype}: {w.about}" for w in WORKLOADS)
    contenders = "\n".join(f"  {c.name:14} {c.about}" for c in CONTENDERS)
    p = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.partition(": ")[2],
        epilog=f"workloads:\n{workloads}\n\ncontenders:\n{contenders}\n\nThose that are not installed are skipped.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    p.add_argument("--workload", nargs="+", metavar="NAME", choices=[w.name for w in WORKLOADS], help="default: all")
    p.add_argument("--contender", nargs="+", metavar="NAME", choices=[c.name for c in CONTENDERS],
                   help=f"default: all; {REFERENCE} always takes part")  # fmt: skip
    p.add_argument("--rounds", type=int, default=30, help="turns of each contender (default: 30)")
    p.add_argument("--seconds", type=float, default=0.1, help="length of a turn, one step at least (default: 0.1)")
    p.add_argument("--threads", type=int, default=1, help="cores each contender may use (default: 1)")
    p.add_argument("--out", default="runs/benchmarks", metavar="DIR", help="where the files go (default: %(default)s)")
    p.add_argument("--quick", action="store_true", help="tiny sizes, two short rounds: whether it runs, not how fast")
    return p


def main(argv=None):
    options = parser().parse_args(argv)
    if options.quick:
        options.rounds, options.seconds = 2, 0.01
    workloads = [w for w in WORKLOADS if not options.workload or w.name in options.workload]
    wanted = {REFERENCE, *(options.contender or (c.name for c in CONTENDERS))}
    contenders = [c for c in CONTENDERS if c.name in wanted]
    where = report.machine(options.threads, sorted({c.needs for c in contenders} - {"numpy"}))
    print(report.described(where), flush=True)
    results = {}
    try:
        for workload in workloads:
            print(f"{workload.name}: {workload.about}", file=sys.stderr, flush=True)
            results[workload.name] = measure(
                workload, contenders, options.rounds, options.seconds, options.threads, options.quick
            )
    except Failed as error:
        return f"benchmarks: {error}"
    names = [c.name for c in contenders]
    for why in sorted({f"without {n}: {why}" for r in results.values() for n, why in r["skipped"].items()}):
        print(why, file=sys.stderr)
    print(f"\n{report.tables(results, names)}")
    print(*report.write(options.out, where, results, names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
