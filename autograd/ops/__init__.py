"""The operations: numpy's functions under numpy's names, which also take Tensors.

Plain arrays in, plain arrays out; a Tensor anywhere in, a Tensor out.
"""

from . import elementwise, indexing, linalg, reduction, shape
from .elementwise import *
from .indexing import *
from .linalg import *
from .reduction import *
from .shape import *
from .table import CONSTANT, FUNCTIONS, TABLE, UFUNCS

__all__ = elementwise.__all__ + shape.__all__ + indexing.__all__ + reduction.__all__ + linalg.__all__
