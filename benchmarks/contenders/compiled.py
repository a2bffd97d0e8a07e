"""This library, its steps through `mt.compile`; it takes part where that exists."""

from functools import partial

import mytorch as mt

from . import eager

if not hasattr(mt, "compile"):
    raise ImportError("mytorch has no compile")

for _kind in eager.KINDS:
    if _kind != "scalar":  # numbers are not compiled
        globals()[_kind] = partial(getattr(eager, _kind), compile=mt.compile)
