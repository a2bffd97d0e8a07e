"""What is written in a node, on a group and beside an edge; the same in every kind of picture."""

import math

__all__ = ["SHOW", "bytes_text", "heading", "hover", "lines", "number", "percent", "title", "width"]

SHOW = ("shape", "values", "gradients", "costs")
PLAIN = SHOW[:3]  # what is written if nothing is said


def lines(node, show=PLAIN):
    """What is written in a node: its title, then what is known of it, then what is wrong with it."""
    yield title(node)
    if node.inside and node.inside.detail:
        yield node.inside.detail
    if node.inside:
        yield contents(node.inside)
    if node.detail:
        yield node.detail
    if "shape" in show and node.shape is not None and node.kind != "value":
        yield f"{node.shape} {node.dtype}"
        if node.kind == "leaf" and len(node.shape) > 1:
            yield f"{math.prod(node.shape) * node.count:,} numbers"
    if "values" in show and node.data is not None and (node.name or node.op or node.inside or node.kind == "value"):
        yield f"data {number(node.data)}"
    if "values" in show and node.stats is not None:
        yield from statistics(node.stats, whole=not str(node.dtype).startswith("float"))
    if "gradients" in show and node.grad is not None:
        yield f"grad {number(node.grad)}"
    if "gradients" in show and node.flow is not None:
        yield f"grad norm {node.flow.norm:.3g}"
    if "costs" in show and (node.kept or node.flops):
        yield costs(node)
    if node.share is not None and abs(node.share - 1) > 1e-9:
        yield f"{percent(node.share)} of the gradient"
    for mark in node.marks:
        yield f"! {mark}"


def title(node):
    """'scores = add', 'layers.0…11 ×12', '2.5'."""
    text = " = ".join(filter(None, (node.name, node.op)))
    if node.inside and node.inside.kind == "repeat" and not node.name:
        text = "repeated"
    if not text and node.kind != "value":
        text = "constant" if node.data is None else number(node.data)
    return f"{text} ×{node.count:,}" if node.count > 1 else text


def heading(group):
    """What a group is called: 'layers.0…11 ×12', 'Linear(4, 8)' below it."""
    name = group.name or ("" if group.kind == "repeat" else group.kind)
    return f"{name} ×{group.count:,}".strip() if group.count > 1 else name


def contents(group):
    """'36 operations, 1,200 parameters'."""
    counts = (group.operations, "operation"), (group.parameters, "parameter")
    return ", ".join(f"{n:,} {word}{'s' * (n != 1)}" for n, word in counts if n)


def statistics(stats, whole=False):
    """'0.1 ± 1, -2.1 … 3.4' and what else there is to say; of whole numbers, as indices and labels, the range."""
    if stats.nan or stats.inf:
        yield ", ".join(f"{n:,} {kind}" for n, kind in ((stats.nan, "nan"), (stats.inf, "inf")) if n)
    if math.isfinite(stats.mean):
        mean = stats.mean if abs(stats.mean) > 1e-9 * stats.std else 0  # what rounding left is no mean
        mean = "" if whole else f"{mean:.3g} ± {stats.std:.3g}, "
        equal = stats.min == stats.max
        yield f"all {stats.min:.3g}" if equal else f"{mean}{stats.min:.3g} … {stats.max:.3g}"
    if 0 < stats.zeros < 1 and not whole:
        yield f"{percent(stats.zeros)} zeros"


def costs(node):
    """'keeps 1.2 MB, 3.4 MFLOP'."""
    kept = [f"keeps {bytes_text(node.kept)}"] if node.kept else []
    return ", ".join([*kept, *([f"{_scaled(node.flops, 1000)}FLOP"] if node.flops else [])])


def hover(node):
    """All that is known of a node, line by line."""
    told = list(lines(node, SHOW))
    if node.stats and node.stats.zeros == 0:
        told.append("0 % zeros")
    if node.flow is not None:
        told += [f"grad {line}" for line in statistics(node.flow)]
    if node.where:
        told.append(node.where)
    return told


def number(x):
    """'0.123', '-1.2e-05'; of nested tuples '[[1, 2], [3, 4]]'."""
    if isinstance(x, tuple):
        return f"[{', '.join(number(item) if isinstance(item, tuple) else f'{item:.3g}' for item in x)}]"
    return f"{x:.4g}" if isinstance(x, float) else str(x)


def percent(share):
    """'37 %', '0.12 %', '-5 %'; what is not 0 does not look so."""
    return f"{100 * share:.3g} %" if share else "0 %"


def bytes_text(n):
    """'512 bytes', '1.2 kB'."""
    return f"{n} bytes" if n < 1000 else f"{_scaled(n, 1000)}B"


def _scaled(n, base):
    for prefix in ("", "k", "M", "G", "T"):
        if n < base or prefix == "T":
            return f"{n:.3g} {prefix}"
        n /= base


THIN, THICK, DECADE = 0.4, 3.4, 0.7  # points: the least, the most, and the difference that a factor of ten makes


def width(flow, most):
    """How thick an edge is along which a gradient of this norm flows back, `most` being the largest in the picture."""
    if flow is None or not most:
        return 1.0
    if not math.isfinite(flow):
        return THICK
    return round(max(THIN, THICK + DECADE * math.log10(flow / most)), 2) if flow else THIN
