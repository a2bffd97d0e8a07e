"""The same update of many states as one of a flat array, in which they, their gradients and momenta lie side by side.

Four numpy calls, and not four for each parameter. A weight that is only read as `x @ W.T` lies in its flat array by
columns, which BLAS reads faster.
"""

import numpy as np

from .program import Source, Statement, Var, frozen, readers

__all__ = ["Flats"]

MISSING = -1


class Flats:
    """The flat arrays of a program whose statements are `pure` and `tail`, both of which it changes.

    groups: {Var of one flat array: the values laid out in it}.
    view:   {Var: (the flat array it is a piece of, (start, stop)), or (Var it shows, Statement)}.
    turned: the values that lie by columns; `shown` has an array laid out as each of their states.
    """

    def __init__(self, program, pure, tail, by_columns):
        self.program, self.pure, self.tail = program, pure, tail
        self.groups, self.view, self.shown, self.turned = {}, {}, {}, set()
        self.merged = []  # lists of flat arrays whose pieces belong together
        self._merge_updates()
        if by_columns:
            self._turn_weights()

    # ----- merging -----

    def _merge_updates(self):
        """One update of a flat array in the place of the same update of many."""
        program, ends = self.program, dict(self.program.commits)
        inputs = [(source, var) for source, var in program.inputs.items() if source.kind == "tensor"]
        self.changed = {var: source for source, var in inputs if source in ends}
        known = set(self.changed.values())
        self.becomes = {var: source for source, var in program.commits if source in known}
        if len(self.becomes) < sum(source.kind == "tensor" for source, _ in program.commits):
            return  # one value for two states, or one that was not read before
        alike, numbers = {}, _of_numbers_alone(self.tail)
        for part in _components([s for s in self.tail if s.out not in numbers]):
            form, slots = self._form(part)
            if form is not None:
                alike.setdefault(form, []).append((part, slots))
        for parts in alike.values():
            if len(parts) > 1:
                self._merge(parts)

    def _form(self, part):
        """(what the statements of a part do, the arrays they read); (None, None) where it cannot be merged.

        Parts of the same form differ in their arrays and shapes alone; what is of shape () they have in common.
        """
        shape, made, slots, form = part[0].out.shape, {}, [], []
        for s in part:
            args = []
            for x in s.args:
                if type(x) is not Var or x.number or (not x.shape and shape):
                    args.append((type(x), frozen(x)))
                elif x in made:
                    args.append(("made", made[x]))
                else:
                    if x not in slots:
                        slots.append(x)
                    args.append(("slot", slots.index(x), x.dtype, x in self.changed))
            made[s.out] = len(made)
            target = self._slot(s.out, slots)
            form.append((s.func, tuple(args), s.out.dtype, target))
            if s.kind != "ufunc" or s.out.shape != shape or target == MISSING or s.out in self.program.outputs:
                return None, None
        if not shape or any(x.shape != shape or not self._movable(x) for x in slots):
            return None, None
        return tuple(form), slots

    def _movable(self, x):
        """Whether a value's memory may become a piece of a flat array."""
        if x in self.view or x in self.program.outputs:
            return False
        return x in self.changed or (x.made is not None and x.made.kind != "view" and x.made.writes_out())

    def _slot(self, var, slots):
        """The number of the slot whose state `var` is the new value of; None if of none."""
        source = self.becomes.get(var)
        return source and next((k for k, x in enumerate(slots) if self.changed.get(x) == source), MISSING)

    def _merge(self, parts):
        """Puts one part in the place of many: its arrays are flat ones, in which the many's lie side by side."""
        first, arrays = parts[0]
        flats = [self._lay_out([slots[k] for _, slots in parts]) for k in range(len(arrays))]
        self.merged.append(flats)
        names, program, merged = dict(zip(arrays, flats, strict=True)), self.program, []
        for j, s in enumerate(first):
            out = Var((sum(part[j].out.size for part, _ in parts),), s.out.dtype)
            args = tuple(names.get(x, x) if type(x) is Var else x for x in s.args)
            out.made = Statement(s.kind, s.func, args, None, out, s.line, s.what, s.strict)
            names[s.out] = out
            merged.append(out.made)
            target = self._slot(s.out, arrays)
            if target is not None:
                gone = {self.becomes[part[j].out] for part, _ in parts}
                program.commits = [c for c in program.commits if c[0] not in gone] + [
                    (Source("flat", flats[target]), out)
                ]
        gone = {id(s) for part, _ in parts for s in part}
        self.tail[:] = [s for s in self.tail if id(s) not in gone] + merged

    def _lay_out(self, members):
        """The flat array in which the members lie side by side."""
        flat, start = Var((sum(x.size for x in members),), members[0].dtype), 0
        self.groups[flat] = members
        for x in members:
            self.view[x] = flat, (start, start + x.size)
            start += x.size
        return flat

    # ----- turning: x @ W.T takes 105 µs then, and not 122, at 100 x 784 x 64 -----

    def _turn_weights(self):
        """Lays out matrices of flat arrays by columns, with their gradients and momenta, where that suits all readers.

        That is so of a first layer's weight, which is read by x @ W.T alone, and whose gradient is a product too.
        """
        self.readers = readers((*self.pure, *self.tail))
        for flats in self.merged:
            for column in zip(*(self.groups[flat] for flat in flats), strict=True):
                wants = [len(x.shape) == 2 and self._wants_turning(x) for x in column]
                if any(wants) and all(w or self._may_be_turned(x) for w, x in zip(wants, column, strict=True)):
                    for x in column:
                        self._turn(x)
                    self.readers = readers((*self.pure, *self.tail))

    def _wants_turning(self, x):
        """Whether a state is read as the right side of products, transposed, and by nothing else."""
        if x not in self.changed:
            return False
        turned = self.readers.get(x)
        return bool(turned) and all(
            s.func is np.transpose and all(r.kind == "dot" and r.args[1] is s.out for r in self.readers.get(s.out, ()))
            for s in turned
        )

    def _may_be_turned(self, x):
        """Whether a value is read as a piece of its flat array alone, and is a state or can be made transposed."""
        return not self.readers.get(x) and (x in self.changed or x.made.kind == "dot")

    def _turn(self, x):
        """Makes `x` a transposed view of its piece of the flat array."""
        piece, place = Var(x.shape[::-1], x.dtype), self.view.pop(x)
        self.view[piece] = place
        self.turned.add(x)
        line, what = (x.made.line, x.made.what) if x.made else (("", 0), "")
        view = Statement("view", np.transpose, (piece,), None, x, line, what, False)
        if x in self.changed:
            self.view[x] = piece, view
            self.shown[x] = np.empty(piece.shape, piece.dtype).T
            return
        s = x.made  # (a @ b).T is b.T @ a.T
        i = self.pure.index(s)
        a, b = (self._transposed(y, s) for y in s.args)
        piece.made = Statement("dot", np.dot, (b.out, a.out), None, piece, s.line, s.what, s.strict)
        x.made = view
        self.pure[i : i + 1] = [a, b, piece.made, view]

    def _transposed(self, x, s):
        """The statement that views `x` transposed, for use in `s`."""
        out = Var(x.shape[::-1], x.dtype)
        out.made = Statement("view", np.transpose, (x,), None, out, s.line, s.what, s.strict)
        return out.made


def _of_numbers_alone(statements):
    """The values of shape () that are computed from others of shape () alone: what many updates may share."""
    found = set()
    for s in statements:
        if not s.out.shape and all(not x.shape for x in s.reads()):
            found.add(s.out)
    return found


def _components(statements):
    """The statements in parts that use nothing of each other's answers."""
    part_of, parts = {}, {}
    for s in statements:
        mine = [s]
        for key in {part_of[x] for x in s.reads() if x in part_of}:
            mine = parts.pop(key) + mine
        for t in mine:
            part_of[t.out] = id(s)
        parts[id(s)] = sorted(mine, key=statements.index)
    return list(parts.values())
