"""The bytes that values share: which of them are free, and the blocks in which a run of statements is done."""

__all__ = ["Blocks", "Free"]

ALIGN = 64  # bytes, a cache line


class Blocks:
    """Elementwise statements on arrays of one size, done in blocks of `block` bytes.

    local: the values that are read inside alone, and of which one block is kept.
    """

    def __init__(self, statements, block):
        self.statements = statements
        self.block = block
        self.local = set()
        self.blocks, self.free = [], []  # offsets: nobody else's before the run ends, for it comes back to them

    def take(self, free):
        """The offset of a block."""
        if not self.free:
            self.blocks.append(free.take(self.block))
            self.free.append(self.blocks[-1])
        return self.free.pop()

    def inside(self, plan, kept):
        """The values that no other statement reads: memory for one block is enough."""
        mine = {id(s) for s in self.statements}
        for s in self.statements:
            x = s.out
            readers = plan.readers.get(x, ())
            if x not in plan.homes and x not in plan.view and x not in kept and all(id(r) in mine for r in readers):
                self.local.add(x)
        return self.local


class Free:
    """The free bytes of the arena, by offset; the ones given back last are taken first, while they are in the cache."""

    def __init__(self):
        self.holes, self.end = [], 0

    def take(self, nbytes):
        nbytes = -(-max(nbytes, 1) // ALIGN) * ALIGN
        fitting = [hole for hole in self.holes if hole[1] >= nbytes]
        if fitting:
            hole = min(fitting, key=lambda hole: hole[1])
            self.holes.remove(hole)
            if hole[1] > nbytes:
                self.holes.append((hole[0] + nbytes, hole[1] - nbytes))
            return hole[0]
        start = self.end
        self.end += nbytes
        return start

    def give(self, start, nbytes):
        """Gives bytes back, joined with the free ones beside them."""
        stop = start + -(-max(nbytes, 1) // ALIGN) * ALIGN
        for hole in list(self.holes):
            if hole[0] + hole[1] == start or hole[0] == stop:
                self.holes.remove(hole)
                start, stop = min(start, hole[0]), max(stop, hole[0] + hole[1])
        self.holes.append((start, stop - start))
