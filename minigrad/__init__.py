"""minigrad: automatic differentiation and generative models, from NumPy up, to be read.

The names are PyTorch's: `import minigrad as torch` runs the lines that both know.
"""

from minigrad.backend import Device, Generator, device, manual_seed
from minigrad.creation import (
    arange,
    empty,
    eye,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    tensor,
    zeros,
    zeros_like,
)
from minigrad.engine import (
    Primitive,
    Variable,
    enable_grad,
    is_grad_enabled,
    no_grad,
    primitive,
    set_grad_enabled,
)
from minigrad.ops.arithmetic import where
from minigrad.ops.elementwise import erf
from minigrad.ops.sampling import reparameterize
from minigrad.ops.shape import cat, stack
from minigrad.tensor import Tensor, float32, float64, int32, int64, uint8
from minigrad.tensor import bool_ as bool

__version__ = "0.1.0"
