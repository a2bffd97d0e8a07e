"""Memory: the arrays a step's text is bound to, and whether anybody else looks at them."""

import sys
from collections import Counter
from operator import attrgetter, is_

import numpy as np

from ..graph import mark_changed, wrap

__all__ = ["Memory"]

DATA_OF, NODE_OF, GRAD_OF = map(attrgetter, ("_data", "_node", "grad"))
_lent = Counter()  # id of an array -> how often the memory of steps that only read it refers to it


class Memory:
    """The arrays a step's text is bound to: states, gradients, constants.

    What a step changes is its own memory, and that of the tensors it belongs to, as long as nobody else looks at it: no
    detached tensor, no view, no graph that is still needed. Where one does, the step takes new memory, and the other
    keeps what it saw. So the number of references to each array is compared with what it was when it was made.
    """

    def __init__(self, step):
        self._fill(step)
        read = {source.it for source in step.program.inputs if source.kind == "grad"}
        self.added = [(leaf, gradient) for leaf, gradient in self.grads if leaf in read]  # to those that are there
        self.given, self.gradients = zip(*self.grads, strict=True) if self.grads else ((), ())
        self.watched += self.gradients
        self.of, self.nodes, self.pieces = zip(*self.tensors, strict=True) if self.tensors else ((), (), ())
        self.tensors = None
        self.counts = list(map(sys.getrefcount, self.watched))  # with a leaf's reference to its gradient
        self.least = self._count()

    def _fill(self, step):
        plan, program = step.plan, step.program
        sources = {var: source for source, var in program.inputs.items()}
        ends = {var: source for source, var in program.commits}
        self.changed = set(map(id, step.changed))
        self.tensors, self.grads, self.watched, self.read = [], [], [], []
        self.handed = False  # whether the leaves have the gradients that are written here
        arrays = self.arrays = {}
        for name, var in step.written.memory.items():
            if var.const is not None:
                arrays[name] = var.const
            elif var in plan.groups:
                arrays[name] = flat = np.empty(var.shape, var.dtype)
                self.watched.append(flat)
                start = 0
                for x in plan.groups[var]:
                    piece = flat[start : start + x.size]
                    piece = piece.reshape(x.shape[::-1]).T if x in plan.turned else piece.reshape(x.shape)
                    if x in sources or x in ends:  # else what is only computed with
                        self._take(sources.get(x) or ends[x], piece)
                    start += x.size
            else:
                arrays[name] = self._bind(plan, sources.get(var) or plan.homes[var], var)
        before = [sys.getrefcount(x) for x in self.read]
        self.run = step.namespace["build"](arrays | step.written.constants)
        self.lends = [(id(x), sys.getrefcount(x) - n + 3) for x, n in zip(self.read, before, strict=True)]
        for key, n in self.lends:
            _lent[key] += n
        self.leaves = [t._node for t in step.changed if t._node is not None]
        line = next((var.made.line for _, var in program.commits if var.made is not None), ("", 0))
        self.where = f"{line[0]}:{line[1]}, in a compiled step"
        self.hand_over()

    def __del__(self):
        for key, n in getattr(self, "lends", ()):
            _lent[key] -= n

    def _bind(self, plan, source, var):
        """The array for one state or gradient: new memory for what is changed, the tensor's own for what is read."""
        if source.kind == "grad" or id(source.it) in self.changed:
            piece = np.empty(var.shape, var.dtype)
            self._take(source, piece)
            return piece
        tensor = source.it
        order = "F" if var in plan.columns else "C"
        if not (isinstance(tensor._data, np.ndarray) and tensor._data.flags[f"{order}_CONTIGUOUS"]):
            tensor._data = np.array(tensor._data, order=order)
        self.tensors.append((tensor, tensor._node, tensor._data))
        self.read.append(tensor._data)
        return tensor._data

    def _take(self, source, piece):
        """Makes `piece` the memory of a tensor, or of a leaf's gradient."""
        it = source.it
        if source.kind == "tensor":
            np.copyto(piece, it._data)
            it._data = piece
            self.tensors.append((it, it._node, piece))
        else:
            if it.grad is not None and it.grad.shape == piece.shape:
                np.copyto(piece, it.grad._data)
            gradient = wrap(piece)
            self.grads.append((it, gradient))
        self.watched.append(piece)

    def holds(self):
        """Whether the memory is still that of its tensors, and nobody else sees what will change."""
        # With a leaf that lost its gradient to somebody, the number of references is the same.
        self.handed = all(map(is_, map(GRAD_OF, self.given), self.gradients))
        if not self.handed and any(leaf.grad is not gradient for leaf, gradient in self.added):
            return False
        if (
            not (self.handed and list(map(sys.getrefcount, self.watched)) == self.counts)
            and self._count() != self.least
        ):
            return False
        of = self.of
        return all(map(is_, map(DATA_OF, of), self.pieces)) and all(map(is_, map(NODE_OF, of), self.nodes))

    def _count(self):
        """The references to each array, but for those of other steps that read it, and of leaves to their gradients."""
        counts = map(sys.getrefcount, self.watched)
        counts = [n - _lent[id(x)] for n, x in zip(counts, self.watched, strict=True)]
        held = [leaf.grad is gradient for leaf, gradient in self.grads]
        return [n - h for n, h in zip(counts, [0] * (len(counts) - len(held)) + held, strict=True)]

    def hand_over(self):
        """Tells leaves of their gradients, and that their values changed."""
        if not self.handed:
            for leaf, gradient in self.grads:
                leaf.grad = gradient
        if self.leaves:
            mark_changed(self.leaves, self.where)
