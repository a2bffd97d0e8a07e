"""What compiling made of a step, in numbers; and the step as a module that needs numpy alone."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

__all__ = ["Report", "eject"]


@dataclass(frozen=True)
class Report:
    """How many numpy calls, bytes and buffers a step has, as it was traced and as it runs.

    bytes_before: what all values of the traced calls take, each in memory of its own; bytes: the arena they share.
    buffers:      pieces of the arena, each used by one value after the other.
    states:       arrays that live on from call to call, gradients included, and their bytes; flat: how many of the
                  arrays are pieces of one that is updated as a whole.
    """

    name: str
    operations_before: int
    operations: int
    bytes_before: int
    bytes: int
    buffers: int
    states: int
    state_bytes: int
    flat: int

    @classmethod
    def of(cls, step, traced):
        plan = step.plan
        made = [s for s in (*plan.pure, *plan.tail) if s.kind not in ("view", "guard") and s.func is not np.empty]
        homes = {id(plan.root(var)): plan.root(var) for var, home in plan.homes.items() if type(home) is not tuple}
        flat = sum(len(plan.groups[x]) for x in homes.values() if x in plan.groups)
        return cls(
            name=step.name,
            operations_before=traced[0],
            operations=len(made),
            bytes_before=traced[1],
            bytes=plan.size,
            buffers=len(set(plan.arena.values())),
            states=len(homes) - sum(x in plan.groups for x in homes.values()) + flat,
            state_bytes=sum(x.nbytes for x in homes.values()),
            flat=flat,
        )

    def to_dict(self):
        return asdict(self)

    def __repr__(self):
        return (
            f"compile: {self.name}\n"
            f"  numpy calls  {self.operations_before:,} traced, {self.operations:,} run\n"
            f"  memory       {_size(self.bytes_before)} in arrays apart, {_size(self.bytes)} in {self.buffers:,}"
            f" buffers of one arena\n"
            f"  state        {_size(self.state_bytes)} in {self.states:,} arrays"
            + (f", {self.flat:,} of them pieces of flat ones" if self.flat else "")
        )


def _size(n):
    for unit in ("bytes", "kB", "MB"):
        if n < 1000:
            return f"{n:.3g} {unit}" if unit != "bytes" else f"{n} {unit}"
        n /= 1000
    return f"{n:.3g} GB"


# ----- a module of its own -----

TAIL = """

memory = dict(np.load(__file__.removesuffix(".py") + ".npz"))
step = build(memory)
state = {{  # names and what they stand for: views that `step` changes in place
{entries}}}
"""


def eject(step, path):
    """Writes a step as a module at `path` (.py) and its memory beside it (.npz); returns the path.

    The module needs numpy alone. Its `step` takes the arguments of the compiled function that are arrays, floats or
    random generators, then the numbers that are looked up anew in every call (an optimizer's lr), and gives a tuple.
    """
    path = Path(path)
    if path.suffix != ".py":
        raise ValueError(f"eject: '{path}' is no name of a module; give one that ends in .py")
    foreign = [name for name, it in step.written.constants.items() if not isinstance(it, (np.ndarray, np.generic))]
    if foreign:
        raise ValueError(
            f"eject: {step.name} calls {', '.join(foreign)}, which is no function of numpy's; write its operation with "
            "numpy's functions alone, on whatever array it is given"
        )
    arrays = step.arrays()
    head = f'"""A step made by mytorch.compile from {step.name}: {step.signature()}."""\n\n'
    path.write_text(head + step.source + TAIL.format(entries="".join(_entries(step))), encoding="utf-8")
    np.savez(path.with_suffix(".npz"), **arrays)
    return path


def _entries(step):
    """The lines that name the states in an ejected module."""
    plan, names = step.plan, step.written.names
    for source, var in step.program.inputs.items():
        if source.kind != "tensor" or source in step.of_argument:
            continue
        place = plan.view.get(plan.view[var][0] if var in plan.turned else var)
        if place is not None and type(place[1]) is tuple:
            flat, (start, stop) = place
            shape = f"{var.shape[::-1]}).T" if var in plan.turned else f"{var.shape})"
            yield f'    "{step.named[source]}": memory["{names[flat]}"][{start}:{stop}].reshape({shape},\n'
        elif names[var] in step.written.memory:
            yield f'    "{step.named[source]}": memory["{names[var]}"],\n'
