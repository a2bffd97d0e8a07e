"""Which memory each value of a program lives in, and in what order its statements run.

Values are of four kinds. *Views* show another value's memory. *Fresh* ones are whatever numpy allocates: answers, and
what functions without `out=` give. States and gradients are at *home* in memory that outlives the call. All others
share one arena: a statement writes into bytes whose last reader has run, if it can into those of its own argument.

Nothing that outlives the call changes before the last statement that could fail: a call that fails, or that a guard
turns away, leaves everything as it was.
"""

import numpy as np

from .arena import Blocks, Free
from .flats import Flats
from .program import Statement, Var, readers, variables

__all__ = ["Plan"]

LARGE = 1 << 17  # bytes: elementwise statements on arrays from here on may run in blocks
FEW = 5  # arrays: blocks of so many stay in a cache of the second level
BLOCK = {
    True: 1 << 17,
    False: 1 << 19,
}  # bytes of a block, whether the arrays are few or not: measured, on 1 MB of cache


class Plan:
    """A program with an order, a home or bytes of the arena for each value, and the views between them.

    pure, tail: the statements before and after the point from which memory that outlives the call is changed.
    view:       {Var: (Var it shows, Statement or (start, stop) of a group)}.
    groups:     {Var of one flat array: the values laid out in it}.
    homes:      {Var: source}: values whose memory outlives the call; not those of `arguments`, sources that each call
                has anew.
    arena:      {Var: offset}; `size` its bytes.
    """

    def __init__(self, program, exact=False, arguments=()):
        self.program, self.arguments = program, arguments
        self.read_only = {var: s.it for s, var in program.inputs.items() if s.kind == "tensor"}
        self.homes, self.arena, self.size = {}, {}, 0
        self.pure, self.tail = self._split(program.statements)
        self._give_products_out()
        flats = Flats(program, self.pure, self.tail, by_columns=not exact)
        self.groups, self.view, self.turned = flats.groups, flats.view, flats.turned
        self.shown = flats.shown  # Var -> an array laid out as it will be
        self._find_views()
        self._find_homes()
        self.runs = [run for statements in (self.pure, self.tail) for run in self._runs(statements)]
        self._allot()
        self.columns = {var for var, tensor in self.read_only.items() if by_columns(self.shown.get(var))}
        self.shown = None  # as large as all values together

    # ----- order -----

    def _split(self, statements):
        """The statements that an answer, a guard, a gradient or a strict statement needs, and those after them."""
        program = self.program
        states = {source for source, _ in program.commits if source.kind == "tensor"}
        needed = set(program.outputs) | {var for source, var in program.commits if source not in states}
        pure, tail = [], []
        for statement in reversed(statements):
            if statement.effect or statement.strict or statement.out in needed:
                needed.update(statement.reads())
                pure.append(statement)
            else:
                tail.append(statement)
        return pure[::-1], tail[::-1]

    # ----- products -----

    def _give_products_out(self):
        """Products of matrices as `np.dot`, the fastest call that writes into given memory: inner(x, y) is x @ y.T."""
        for statements in (self.pure, self.tail):
            for i in reversed(range(len(statements))):
                s = statements[i]
                if s.func not in (np.inner, np.matmul, np.dot) or not _matrices(s.args, s.func is not np.inner):
                    continue
                x, y = s.args
                if s.func is np.inner:
                    turned = Var(y.shape[::-1], y.dtype)
                    turned.made = Statement("view", np.transpose, (y,), None, turned, s.line, s.what, s.strict)
                    statements.insert(i, turned.made)
                    y = turned
                s.kind, s.func, s.args, s.kwargs = "dot", np.dot, (x, y), None

    # ----- views -----

    def _find_views(self):
        """Which values show another's memory; a view that would have to copy is computed as any function is."""
        for s in (*self.pure, *self.tail):
            if s.kind == "view":
                x = next(variables(s.args))
                before = self._layout(x)
                args = _filled(s.args, x, before)
                after = s.func(*args, **(s.kwargs or {})) if not _copies(s.func, args) else None
                if after is not None and np.may_share_memory(before, after):
                    self.view[s.out] = x, s
                    self.shown[s.out] = after
                else:
                    s.kind = "call"

    def _layout(self, var):
        if var not in self.shown:
            self.shown[var] = var.const if var.const is not None else self._new_layout(var)
        return self.shown[var]

    def _new_layout(self, var):
        """An array as memory will be: by rows, or as that of a tensor that is read alone already is."""
        if var in self.read_only and by_columns(self.read_only[var]._data):
            return np.empty(var.shape[::-1], var.dtype).T
        return np.empty(var.shape, var.dtype)

    def root(self, var):
        """The value whose memory `var` shows."""
        while var in self.view:
            var = self.view[var][0]
        return var

    # ----- homes -----

    def _find_homes(self):
        """Homes for states and gradients: the statement that makes the last value writes into it, or a copy does."""
        program = self.program
        self.order = [*self.pure, *self.tail]
        self.place = {id(s): i for i, s in enumerate(self.order)}
        self.readers = readers(self.order, self.root)  # of a root those that read it or a view of it
        for source, var in program.inputs.items():
            if source.kind in ("tensor", "grad") and source not in self.arguments:
                self.homes[self.root(var)] = "group" if self.root(var) in self.groups else source
        self.answers = set(map(self.root, program.outputs))
        taken = set(self.answers)
        for source, var in list(program.commits):
            old = source.it if source.kind == "flat" else program.inputs.get(source)
            root = self.root(var)
            if source.kind == "grad" and old is None and root in self.groups and root not in taken:
                self.homes[root] = "group"
                taken.add(var)
                continue
            if not (self._writes_home(var, source, old) if root not in taken and var not in taken else False):
                self._copy_home(source, var, old)
            taken.add(var)

    def _writes_home(self, var, source, old):
        """Lets the statement of `var` write into the memory of `source`; False where it cannot."""
        s = var.made
        if s is None or var in self.view or var in self.homes or not s.writes_out():
            return False
        if old is None:
            self.homes[var] = source
            return source.kind == "grad"
        last = max((self.place[id(r)] for r in self.readers.get(self.root(old), ())), default=-1)
        at = self.place[id(s)]
        if s not in self.tail or (var.shape, var.dtype) != (old.shape, old.dtype) or last > at - (s.kind != "ufunc"):
            return False
        self.homes[var] = "over", old
        while s is not None and s.kind == "ufunc":  # what it alone reads may stand there before it
            s = next((x.made for x in s.args if type(x) is Var and self._passes(x, old, last)), None)
            if s is not None:
                self.homes[s.out] = "over", old
        return True

    def _passes(self, x, old, last):
        """Whether `x`, which is read once, may stand in the memory of `old`."""
        s = x.made
        if s is None or s.kind != "ufunc" or x in self.view or x in self.homes or len(self.readers[x]) > 1:
            return False
        if x in self.program.outputs or any(x is var for _, var in self.program.commits):
            return False
        return s in self.tail and (x.shape, x.dtype) == (old.shape, old.dtype) and last <= self.place[id(s)]

    def _copy_home(self, source, var, old):
        """A copy of `var` as the last statement, in the memory of `old`, or in memory of its own."""
        copy = Var(var.shape, var.dtype)
        line, what = (var.made.line, var.made.what) if var.made else (("", 0), "update")
        copy.made = Statement("cast", np.copyto, (var, var.dtype), None, copy, line, what, False)
        self.tail.append(copy.made)
        self.order.append(copy.made)
        self.place[id(copy.made)] = len(self.place)
        self.readers.setdefault(self.root(var), []).append(copy.made)
        self.homes[copy] = source if old is None or (old.shape, old.dtype) != (var.shape, var.dtype) else ("over", old)
        self.program.commits[self.program.commits.index((source, var))] = source, copy

    # ----- runs in blocks -----

    def _runs(self, statements):
        """Runs of elementwise statements on large arrays, to be done block by block, while a block is in the cache."""
        run, found = [], []
        for s in (*statements, None):
            if s is not None and self._elementwise(s) and (not run or s.out.size == run[0].out.size):
                run.append(s)
                continue
            if s is not None and s.kind == "view":
                continue
            if len(run) > 1 and run[0].out.nbytes >= 2 * (block := self._block(run)):
                found.append(Blocks(run, block))
            run = [s] if s is not None and self._elementwise(s) else []
        return found

    def _block(self, statements):
        """How many bytes of each array are done at a time."""
        return BLOCK[len({self._memory(x) for s in statements for x in _touched(s) if x.shape}) <= FEW]

    def _memory(self, var):
        """The value that stands for the memory of `var`: its root, or what is written over."""
        home = self.homes.get(self.root(var))
        return self.root(home[1]) if type(home) is tuple else self.root(var)

    def _elementwise(self, s):
        """Whether a statement does the same to every element of large arrays that lie in memory alike."""
        if s.kind != "ufunc" or s.out.nbytes < LARGE or s.out in self.answers:
            return False
        if any(type(x) is Var and not x.shape and x in self.view for x in s.args):
            return False  # it may show an element that an earlier block has changed
        arrays = [x for x in s.args if type(x) is Var and x.shape]
        return all(x.shape == s.out.shape and self._layout(x).flags.c_contiguous for x in arrays)

    # ----- the arena -----

    def _allot(self):
        """Bytes of the arena for every other value that a statement can write out, as few as the order allows."""
        roots = {var: self.root(var) for s in self.order for var in _touched(s)}
        kept = {self.root(var) for var in self.program.outputs}
        kept |= {self.root(var) for source, var in self.program.commits if source.kind == "grad"}
        short = {x: run for run in self.runs for x in run.inside(self, kept)}  # one block of them is enough
        last = self._last_touched(roots, kept, short)
        free, self.fresh = Free(), {self.root(var) for var in self.program.outputs}
        for i, s in enumerate(self.order):
            root = roots.get(s.out)
            if root is None or s.kind == "view" or root in self.arena:
                pass
            elif root in self.fresh or not (root in self.groups or s.writes_out()):
                self.fresh.add(root)
            elif root not in self.homes:
                self.arena[root] = self._place(s, i, root, roots, last, short, free)
            for var in {roots[x] for x in _touched(s)}:
                if last[var] != i or var not in self.arena:
                    continue
                if var in short:
                    short[var].free.append(self.arena[var])
                else:
                    free.give(self.arena[var], var.nbytes)
            for run in self.runs:
                if run.statements[-1] is s:
                    for start in run.blocks:
                        free.give(start, run.block)
        self.size = free.end

    def _place(self, s, i, root, roots, last, short, free):
        """The offset in the arena of what `s` makes."""
        if root in short:
            return short[root].take(free)
        start = None if root in self.groups else self._reused(s, i, roots, last, short)
        return free.take(root.nbytes) if start is None else start

    def _last_touched(self, roots, kept, short):
        """{root: the number of the last statement that touches its memory}."""
        last = {}
        for i, s in enumerate(self.order):
            for var in _touched(s):
                last[roots[var]] = i
        for run in self.runs:  # its arrays are read, and written, until its last block
            end = self.place[id(run.statements[-1])]
            for x in {roots[x] for s in run.statements for x in _touched(s)} - set(short):
                last[x] = max(last[x], end)
        return last | dict.fromkeys(kept, len(self.order))

    def _reused(self, s, i, roots, last, short):
        """The offset of an argument that dies here and that the answer of `s` can be written over, or None."""
        like = s.out.shape, s.out.dtype
        for x in s.args if s.kind == "ufunc" else s.args[:1] if s.kind in ("put", "at", "flat at", "cast") else ():
            dies = type(x) is Var and x in self.arena and last[x] == i and (x.shape, x.dtype) == like
            if dies and x not in short and all(y is x or roots[y] is not x for y in s.reads()):
                last[x] = -1  # its bytes have a new owner
                return self.arena[x]
        return None


def _touched(s):
    """The values that a statement reads or makes."""
    yield from s.reads()
    if s.out is not None:
        yield s.out


def by_columns(x):
    """Whether an array lies in memory by columns, and not by rows."""
    return isinstance(x, np.ndarray) and x.flags.f_contiguous and not x.flags.c_contiguous


def _matrices(args, or_vector):
    """Whether these are two matrices, or a matrix and a vector, of one dtype."""
    if len(args) != 2 or any(type(x) is not Var for x in args) or args[0].dtype != args[1].dtype:
        return False
    sizes = {len(x.shape) for x in args}
    return sizes == {2} or (or_vector and sizes == {1, 2})


def _copies(func, args):
    """Whether a reshape would copy."""
    if func is not np.reshape:
        return False
    view = args[0].view()
    try:
        view.shape = np.empty(args[0].shape, bool).reshape(args[1]).shape if -1 in np.atleast_1d(args[1]) else args[1]
    except AttributeError:
        return True
    return False


def _filled(args, x, array):
    return tuple(array if y is x else y for y in args)
