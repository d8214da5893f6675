r"""Loops of our own, where array code would go through memory many times.

An operation on arrays reads and writes all of memory, and the next one does so again; a loop does
everything to an entry while it is there. The array code is the specification, and stands where it
is used: in `ops/linear.py`, `ops/conv/im2col.py`, `ops/elementwise.py`, `nn/fused.py`,
`nn/losses.py` and `optim/`. In its place comes a kernel, if there is one:

- for arrays on a CUDA device, one of `cuda.py`, which CuPy compiles;
- for float32 on the processor, one of `processor.py`, if Numba is there to compile it. What is in
  float64 is there to be checked, and is computed by the array code.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.kernels import cuda, processor
from minigrad.kernels.cuda import has_kernels, random_bits


def find(name: str, xp: Any, dtype: np.dtype) -> Callable | None:
    """The kernel of that name for arrays of this type, of the library xp; None if there is none."""
    if xp is np:
        return processor.KERNELS.get(name) if dtype == np.float32 and processor.numba() else None
    made = cuda.KERNELS.get(name) if has_kernels(xp) else None
    return made and functools.partial(made, xp)
