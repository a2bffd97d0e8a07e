"""Small parameters side by side in one array, so that an optimizer moves all of them by the calls that move one.

A numpy call takes 0.2 to 0.5 µs however small its arrays are, and a step of momentum is four for each parameter. So
the small ones of a group get pieces of one flat array for their memory, and what is remembered of them too.
"""

from itertools import accumulate, chain, pairwise, repeat
from operator import attrgetter, getitem, is_, is_not
from sys import getrefcount

import numpy as np

from ..autograd.graph import mark_changed, wrap

__all__ = ["Flat"]

SMALL = 1 << 14  # bytes: a larger parameter moves by itself, for its gradient would be copied
ALL = 1 << 18  # bytes of all together, to stay in the cache

_data, _node, _grad = map(attrgetter, ("_data", "_node", "grad"))


def _small(params):
    """Those of `params` that are small, of one dtype and few enough together; of shape () are only counts of steps."""
    found, nbytes = [], 0
    for p in params:
        data = p._data
        if data.ndim and 0 < data.nbytes <= SMALL and (not found or data.dtype == found[0]._data.dtype):
            nbytes += data.nbytes
            if nbytes > ALL:
                break
            found.append(p)
    return found


class Flat:
    """Parameters that share one array `p`, their gradients gathered in `g`, and what an optimizer remembers of them.

    state: what it remembers: of a Tensor of a parameter's shape one flat Tensor, of a count of steps, of shape (),
           one for all.
    rest:  the parameters of the group that are not among them.
    """

    @classmethod
    def of(cls, params, moving, memory):
        """The Flat of the small ones among `moving`, of a group's `params`; None where they are few or not alike.

        memory: {parameter: {key: Tensor}}: what the optimizer remembers.
        """
        small = _small(moving)
        states = [memory.setdefault(p, {}) for p in small]
        if len(small) < 2 or any(state.keys() != states[0].keys() for state in states):
            return None
        if any(t.shape not in ((), p.shape) for p, state in zip(small, states, strict=True) for t in state.values()):
            return None
        counts = [[t.item() for t in state.values() if not t.shape] for state in states]
        if any(count != counts[0] for count in counts):
            return None
        flat = cls(list(params), small, memory, states)
        flat.seen = list(map(getrefcount, flat.watched))
        return flat

    def __init__(self, group, params, memory, states):
        chosen = set(map(id, params))
        self.group, self.rest = group, [p for p in group if id(p) not in chosen]
        self.params, self.leaves, self.memory, self.states = params, [p._node for p in params], memory, states
        self.shapes = [p._data.shape for p in params]
        self.cuts = list(pairwise(accumulate((p._data.size for p in params), initial=0)))
        self.p = np.concatenate([p._data for p in params], None)
        self.g, self.t = np.empty_like(self.p), np.empty_like(self.p)
        self.pieces = self._pieces(self.p)
        for p, piece in zip(params, self.pieces, strict=True):
            p._data = piece
        self.watched = [self.p, *self.pieces]
        self.state, self.counts = {}, []
        self.dicts, self.keys, self.tensors = [], [], []
        for key in states[0]:
            self._hold(key, [state[key] for state in states])
        self.parts = list(self._parts(self.group))

    def _pieces(self, flat):
        return [flat[i:j].reshape(shape) for (i, j), shape in zip(self.cuts, self.shapes, strict=True)]

    def _hold(self, key, tensors):
        """Lays the arrays of `tensors`, one a parameter, side by side."""
        if tensors[0].shape:
            flat = np.concatenate([t._data for t in tensors], None)
            arrays, self.state[key] = self._pieces(flat), wrap(flat)
        else:
            flat = np.array([t._data for t in tensors])
            arrays = [flat[i : i + 1].reshape(()) for i in range(len(flat))]
            self.state[key] = wrap(arrays[0])
            self.counts.append(flat)
        for tensor, array in zip(tensors, arrays, strict=True):
            tensor._data = array
        self.dicts += self.states
        self.keys += [key] * len(tensors)
        self.tensors += tensors

    def _parts(self, group):
        """All that must still belong together: the parameters, their arrays and leaves, and what is remembered."""
        return chain(
            group,
            map(_data, self.params),
            map(_node, self.params),
            map(self.memory.get, self.params),
            map(getitem, self.dicts, self.keys),
            map(_data, self.tensors),
        )

    def fits(self, group, memory):
        """Whether all that was laid side by side is so still, all of it is to move, and nobody else looks at it.

        Who looks holds a reference: to a piece, as a detached tensor or a graph does, or, as a view, to the whole.
        """
        try:
            return (
                list(map(getrefcount, self.watched)) == self.seen
                and memory is self.memory
                and len(group) == len(self.group)
                and all(map(is_, self._parts(group), self.parts))
                and all(map(is_not, map(_grad, self.leaves), repeat(None)))
                and (not self.counts or all(len(set(flat.tolist())) == 1 for flat in self.counts))
            )
        except KeyError:  # something of what was remembered is gone
            return False

    def move(self, move, options, where):
        """Moves the parameters by `move(p, g, state, t, options)`, as if it were called for each of them."""
        np.concatenate([leaf.grad._data for leaf in self.leaves], None, self.g)
        mark_changed(self.leaves, where)  # first: an interrupt may leave some of them changed
        move(self.p, self.g, self.state, self.t, options)
        for flat in self.counts:
            flat[1:] = flat[0]
        if len(self.state) * len(self.params) > len(self.keys):
            self._share_out()

    def _share_out(self):
        """Gives each parameter its part of what is remembered for the first time."""
        for key in [key for key in self.state if key not in self.states[0]]:
            whole = self.state[key]._data
            parts = self._pieces(whole) if whole.shape else [whole] * len(self.params)
            tensors = [wrap(part) for part in parts]
            for state, tensor in zip(self.states, tensors, strict=True):
                state[key] = tensor
            self._hold(key, tensors)
        self.parts = list(self._parts(self.group))
