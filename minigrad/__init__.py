"""minigrad: automatic differentiation and generative models, from NumPy up, to be read.

The names are PyTorch's: `import minigrad as torch` runs the lines that both know.
"""

from minigrad import autograd, cuda, distributions, nn, optim, utils
from minigrad.backend import Device, Generator, manual_seed
from minigrad.backend import device_named as device
from minigrad.creation import (
    arange,
    as_tensor,
    empty,
    eye,
    from_numpy,
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
from minigrad.nonfinite import anomaly
from minigrad.ops.arithmetic import (
    add,
    divide,
    floor_divide,
    masked_fill,
    maximum,
    minimum,
    multiply,
    negative,
    remainder,
    subtract,
    where,
)
from minigrad.ops.conv.primitives import crosscheck, lowering
from minigrad.ops.decomposition import tril, triu
from minigrad.ops.elementwise import (
    abs,
    clamp,
    cos,
    erf,
    exp,
    expm1,
    isfinite,
    isnan,
    log,
    log1p,
    reciprocal,
    relu,
    round,
    sigmoid,
    sign,
    sin,
    sqrt,
    square,
    tanh,
)
from minigrad.ops.elementwise import power as pow
from minigrad.ops.linear import matmul
from minigrad.ops.linear import matmul as bmm
from minigrad.ops.linear import matmul as mm
from minigrad.ops.reduction import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    cumsum,
    log_softmax,
    logsumexp,
    max,
    mean,
    min,
    norm,
    softmax,
    std,
    sum,
    var,
)
from minigrad.ops.sampling import reparameterize
from minigrad.ops.shape import cat, chunk, clone, flip, gather, split, stack, unbind
from minigrad.serialization import load, save
from minigrad.tensor import Tensor, float32, float64, int32, int64, uint8
from minigrad.tensor import bool_ as bool

flatten, reshape, squeeze, unsqueeze = (
    Tensor.flatten, Tensor.reshape, Tensor.squeeze, Tensor.unsqueeze,
)  # fmt: skip
permute, transpose = Tensor.permute, Tensor.transpose
sub, mul, div, neg = subtract, multiply, divide, negative
float, double, int, long = float32, float64, int32, int64

__version__ = "0.1.0"
