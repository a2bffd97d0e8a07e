"""Compile: a step traced once, and run from then on as straight-line numpy.

compiled   what `compile` gives: a step for each kind of call    program  values and statements; what can be left out
run        one run on a tape, and all a step is made of          rewrite  statements that stand in for slower ones
tape       every numpy call of it: forward, backward, update     flats    the same update of many states as one
traced     what stands for arrays and generators meanwhile       plan     which memory each value lives in
functions  numpy's functions, as a tape takes them               arena    the bytes that values share, which are free
hooks      what a running tape swaps in the engine               source   the program as numpy code
reach      what a function can reach, as conditions              step     a program, when it may run, and its calls
holders    who holds what of it, and whether it is what it was   memory   the arrays that a step's text is bound to
                                                                 report   a step in numbers, as a module of its own
"""

__all__ = ["CompileError", "compile"]


class CompileError(RuntimeError):
    """A function that would be wrong if it were compiled: the message names the line, and says what to do."""


def compile(f=None, *, exact=False):
    """`f` as straight-line numpy: traced when it is first called with arguments of new shapes or dtypes, then replayed.

    f: a function of arrays, Tensors, numbers and nested lists, tuples and dicts of these. All it does to Tensors is
       compiled: forward, backward (called inside), an optimizer's step, `mt.grad` and the like. Answers carry no graph.
    exact: add up in the same order as `f` itself, so that all digits agree where arrays lie by rows; else some weights
       lie in memory as suits BLAS, which is faster, and the last digit or two may differ.

    What comes out is what the function itself gives, to the last few digits, or an error, or, with one warning, the
    function itself. New shapes, dtypes, modes (train, eval), and Python numbers that `f` can reach and that have
    changed, make a new program; floats among the arguments and an optimizer's `lr` do not. What is refused, with the
    line: a tensor's value that decides what is done, a random generator that is not an argument, printing, and other
    changes to Python's objects. It is safe to call from two threads.

    What you get has `source`, the program as numpy code; `report()`, its operations, bytes and buffers; and
    `eject(path)`, which writes it as a module that needs numpy alone.

    >>> import numpy as np, mytorch as mt
    >>> w = mt.tensor([1.0, 2.0], requires_grad=True)
    >>> @mt.compile
    ... def step(x):
    ...     w.grad = None
    ...     loss = ((w - x) ** 2).sum()
    ...     loss.backward()
    ...     with mt.no_grad():
    ...         w.data = w.data - 0.25 * w.grad.data
    ...     return loss
    >>> [step(np.zeros(2)).item() for _ in range(3)]
    [5.0, 1.25, 0.3125]
    """
    from .compiled import Compiled

    return Compiled(f, exact) if f is not None else lambda f: Compiled(f, exact)
