"""The gradient checker: a verdict for every derivative, from differences that carry an error bar of their own.

numeric   slopes and their error bars          judge    a verdict for every element of a Jacobian
problem   any function as one of vectors       probe    large Jacobians by random directions
rules     how the rules of a chain behave      blame    why a check failed
"""

__all__ = ["GradcheckError", "gradcheck"]


class GradcheckError(AssertionError):
    """A derivative is wrong, or could not be judged; the message is the report, also in `report`."""

    def __init__(self, report):
        super().__init__(str(report))
        self.report = report


def gradcheck(f, *inputs, order=1, rtol=1e-7, raise_error=True, seed=0):
    """The Report on the derivatives of `f` by all its inputs; raises GradcheckError where it is not true.

    f:           a function of Tensors, or of Values (give it Values); a primitive; or a module, whose parameters are
                 inputs too. Its answer may be nested.
    inputs:      arrays, numbers, Tensors, and nested dicts, lists and tuples of these; checked in float64. What is not
                 real and floating is a constant.
    order:       2 checks the derivatives of the gradient too, and so on.
    rtol:        what a right rule may lose to rounding, relative to the derivative itself, not to the largest of the
                 array: a zero where the slope is 1e-5 is wrong. To it is added what the differences may be off by;
                 where that is too much to tell right from wrong, the verdict is `inconclusive`, which is no pass.
    raise_error: False returns the report whatever it says.
    seed:        of the random directions and cotangents.

    At a kink, where the slopes from left and right differ, an answer between them is right.

    >>> import numpy as np, mytorch as mt
    >>> gradcheck(mt.tanh, np.linspace(-2, 2, 5), order=2)
    gradcheck: tanh is right
      order 1: 25 derivatives, each by itself: 25 correct
      order 2: 50 derivatives, each by itself: 50 correct
    """
    from .check import check  # loaded when it is first used

    report = check(f, inputs, order=order, rtol=rtol, seed=seed)
    if raise_error and not report:
        raise GradcheckError(report)
    return report
