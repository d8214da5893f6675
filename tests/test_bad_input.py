"""What bad input gets: an error of the right class that names the operation and both values.

One table. Each row is a call, the class of the error, and what its message must say. What reads
files is in tests/data and tests/test_serialization.py, convolutions in tests/ops/conv.
"""

import copy
import math
import pickle

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor, backend, errors, nn, optim, tensor
from minigrad.autograd import grad
from minigrad.data import DataLoader, TensorDataset
from minigrad.engine import no_grad
from minigrad.errors import (
    ArgumentError,
    CheckpointError,
    DeviceError,
    DTypeError,
    GraphError,
    NonFiniteError,
    ShapeError,
)
from minigrad.nn import functional as F

NAN, INF = math.nan, math.inf


def ones(*shape):
    return mg.ones(*shape)


def leaf(*shape):
    return mg.ones(*shape, requires_grad=True)


def double(*shape):
    return mg.ones(*shape, dtype=mg.float64)


def array(*shape):
    return np.ones(shape)


def classes(*values):
    return tensor(values, dtype=mg.int64)


def freed():
    y = (leaf(3) * 2.0).sum()
    y.backward()
    return y


def edited():
    x = leaf(3)
    y = x * x
    with no_grad():
        x.add_(1.0)
    return y.sum()


def with_gradient(*values):
    w = leaf(len(values))
    w.grad = tensor(values)
    return [w]


def under_no_grad():
    x = leaf(3)
    with no_grad():
        (x * x).sum().backward()


PRODUCTS = {
    "inner sizes": (
        lambda: ones(3, 4) @ ones(5, 6), ShapeError,
        "matmul: inner sizes differ: got (3, 4) @ (5, 6): 4 and 5",
    ),
    "batch sizes": (
        lambda: ones(2, 3, 4) @ ones(3, 4, 5), ShapeError,
        "matmul: shapes do not broadcast: got (2,) and (3,)",
    ),
    "a scalar": (
        lambda: tensor(1.0) @ ones(3), ShapeError,
        "matmul: got shapes () and (3,); expected at least",
    ),
    "two types": (
        lambda: ones(2, 2) @ double(2, 2), DTypeError,
        "matmul: got float32 and float64; expected one",
    ),
    "an array": (
        lambda: ones(2, 2) @ array(2, 2), DTypeError,
        "matmul: got Tensor, ndarray; expected tensors",
    ),
    "linear": (
        lambda: nn.Linear(3, 4)(ones(2, 5)), ShapeError,
        "linear: weight expects 3 input features, x has (5,): x (2, 5), weight (4, 3)",
    ),
    "linear bias": (
        lambda: F.linear(ones(2, 3), ones(4, 3), ones(3)), ShapeError,
        "linear: bias: got shape (3,); expected (4,)",
    ),
    "linear types": (
        lambda: nn.Linear(3, 4)(double(2, 3)), DTypeError,
        "linear: got float64 and float32 and float32; expected one type",
    ),
    "linear of an array": (
        lambda: nn.Linear(3, 4)(array(2, 3)), DTypeError,
        "linear: got ndarray, Parameter, Parameter; expected tensors",
    ),
    "linear of text": (
        lambda: F.linear("x", ones(4, 3)), DTypeError, "linear: got str, Tensor; expected tensors",
    ),
}  # fmt: skip
ENTRY_BY_ENTRY = {
    "shapes": (
        lambda: ones(2, 3) + ones(2, 4), ShapeError,
        "add: shapes do not broadcast: got (2, 3) and (2, 4); expected equal sizes, or 1, at "
        "dim -1",
    ),
    "first axis": (
        lambda: ones(2, 3) / ones(4, 3), ShapeError,
        "divide: shapes do not broadcast: got (2, 3) and (4, 3); expected equal sizes, or 1, at "
        "dim -2",
    ),
    "where": (
        lambda: mg.where(ones(2) > 0, ones(3), 0.0), ShapeError,
        "where: shapes do not broadcast: got (2,) and (3,)",
    ),
    "condition": (
        lambda: mg.where(ones(2), 1.0, 0.0), DTypeError,
        "where: condition: got float32; expected bool",
    ),
    "an array for a condition": (
        lambda: mg.where(array(2) > 0, ones(2), 0.0), DTypeError, "where: got ndarray; expected",
    ),
    "a choice of text": (
        lambda: mg.where(ones(2) > 0, "a", 0.0), DTypeError, "where: got str; expected a tensor or",
    ),
    "a wider array": (
        lambda: ones(3) * array(3), DTypeError,
        "multiply: got a float32 tensor and a float64 NumPy array; expected one type",
    ),
    "None": (
        lambda: ones(3) * None, DTypeError,
        "multiply: got NoneType; expected a tensor or a real number",
    ),
    "complex": (
        lambda: ones(3) + 1j, DTypeError, "add: got complex; expected a tensor or a real number",
    ),
    "a list": (
        lambda: mg.exp([1.0]), DTypeError, "exp: got list; expected a tensor. Use minigrad.tensor",
    ),
    "integer power": (
        lambda: classes(2) ** -1, DTypeError, "pow: got int64 to the power -1; expected floats",
    ),
    "clamp": (
        lambda: ones(3).clamp(), ArgumentError,
        "clamp: got neither min nor max; expected at least one",
    ),
    "noise": (
        lambda: mg.reparameterize(ones(3), ones(4)), ShapeError,
        "reparameterize: shapes do not broadcast: got (3,) and (4,)",
    ),
}  # fmt: skip
SHAPES = {
    "reshape": (
        lambda: ones(2, 3).reshape(4, 2), ShapeError, "reshape: got shape (4, 2) for 6 entries",
    ),
    "two unknown sizes": (
        lambda: ones(2, 3).reshape(-1, -1), ShapeError, "reshape: got shape (-1, -1) for 6",
    ),
    "permute": (
        lambda: ones(2, 3).permute(0, 0), ArgumentError,
        "permute: dim: got (0, 0); expected each axis once",
    ),
    "no such axis": (lambda: ones(2, 3).sum(2), IndexError, "sum: dim: got 2; expected -2 to 1"),
    "axis by name": (
        lambda: ones(2, 3).sum("a"), ArgumentError,
        "sum: dim: got 'a'; expected one integer, or several",
    ),
    "half an axis": (
        lambda: ones(2, 3).sum(1.0), ArgumentError, "sum: dim: got 1.0; expected one integer",
    ),
    "no such place": (
        lambda: ones(2, 3)[2], IndexError,
        "getitem: index does not fit shape (2, 3): index 2 is out of bounds",
    ),
    "too many indices": (
        lambda: ones(2)[0, 0], IndexError, "getitem: index does not fit shape (2,)",
    ),
    "another mask": (
        lambda: ones(2, 3)[tensor([True] * 3)], IndexError,
        "does not fit shape (2, 3): boolean index",
    ),
    "assignment": (
        lambda: ones(2, 3).__setitem__(0, ones(2)), ShapeError,
        "setitem: got a value of shape (2,) for (3,)",
    ),
    "expand": (
        lambda: ones(2, 3).expand(2, 4), ShapeError,
        "expand: shapes do not broadcast: got (2, 3) and (2, 4)",
    ),
    "cat": (
        lambda: mg.cat([ones(2, 3), ones(2, 4)]), ShapeError,
        "cat: got (2, 3), (2, 4); expected equal sizes except at dim 0",
    ),
    "cat of nothing": (
        lambda: mg.cat([]), ArgumentError, "cat: got no tensors; expected at least one",
    ),
    "stack": (
        lambda: mg.stack([ones(2), ones(3)]), ShapeError,
        "stack: got shapes [(2,), (3,)]; expected tensors of one",
    ),
    "split": (
        lambda: ones(5).split((2, 2)), ArgumentError,
        "split: got sizes [2, 2]; expected them to add up to 5",
    ),
    "pad": (
        lambda: F.pad(ones(2, 2), (-3, 0)), ArgumentError,
        "pad: pad: got (-3, 0); expected to crop no more than (2, 2)",
    ),
    "flatten": (
        lambda: nn.Flatten(5)(ones(2, 3)), IndexError, "flatten: dim: got 5; expected -2 to 1",
    ),
    "unflatten": (
        lambda: nn.Unflatten(1, (2, 2))(ones(2, 3)), ShapeError,
        "unflatten: got shape (2, 2) for 3 entries",
    ),
    "unflatten of no axis": (
        lambda: nn.Unflatten(5, (2, 3))(ones(2, 6)), IndexError,
        "unflatten: dim: got 5; expected -2 to 1",
    ),
    "item": (lambda: ones(2).item(), ShapeError, "item: got shape (2,); expected one entry"),
    "truth": (lambda: bool(ones(2)), ShapeError, "item: got shape (2,); expected one entry"),
    "extreme of nothing": (
        lambda: ones(0, 3).amax(), ShapeError,
        "amax: got shape (0, 3), dim None; expected at least one",
    ),
    "index of more axes": (
        lambda: ones(2, 3).gather(1, mg.tensor([0])), ShapeError,
        "gather: index: got shape (1,); expected as many axes as x (2, 3)",
    ),
    "index of no entry": (
        lambda: ones(2, 3).gather(1, mg.tensor([[3]])), IndexError,
        "gather: index: got 3 to 3; expected 0 to 2",
    ),
    "expand of what is not there": (
        lambda: ones(3).expand(-1, 3), ShapeError,
        "expand: got shape (3,) to (-1, 3); expected -1 for its axes",
    ),
    "cat of an array": (
        lambda: mg.cat([ones(2), array(2)]), DTypeError, "cat: got Tensor, ndarray; expected tens",
    ),
    "stack of numbers": (lambda: mg.stack([1, 2]), DTypeError, "stack: got int, int; expected ten"),
    "split to less than nothing": (
        lambda: ones(4).split([5, -1]), ArgumentError,
        "split: split_size: got -1; expected an integer of at least 0",
    ),
    "split to halves": (
        lambda: ones(4).split(1.5), ArgumentError, "split: split_size: got 1.5; expected an int",
    ),
    "transpose of a stack": (
        lambda: ones(2, 3, 4).t(), ShapeError, "t: got shape (2, 3, 4); expected a matrix",
    ),
    "running sum along two": (
        lambda: ones(2, 3).cumsum(dim=(0, 1)), ArgumentError,
        "cumsum: dim: got (0, 1); expected one axis",
    ),
    "running sum along all": (
        lambda: ones(2, 3).cumsum(dim=None), ArgumentError, "cumsum: dim: got None; expected one",
    ),
    "norm": (
        lambda: ones(2).norm(-1), ArgumentError, "norm: p: got -1; expected a positive number",
    ),
}  # fmt: skip
MAKING = {
    "draws of integers": (
        lambda: mg.randn(2, dtype=mg.int64), DTypeError,
        "random: dtype: got int64; expected float32 or float64",
    ),
    "a number for a generator": (
        lambda: mg.rand(2, generator=5), ArgumentError, "generator: got 5; expected a minigrad.Gen",
    ),
    "negative width": (
        lambda: ones(2).normal_(0.0, -1.0), ArgumentError, "normal_: std: got -1.0; expected at le",
    ),
    "interval": (lambda: ones(2).uniform_(1.0, 0.0), ArgumentError, "uniform_: got 1.0 to 0.0"),
    "draw about a number": (
        lambda: mg.reparameterize(0.0, ones(2)), DTypeError, "reparameterize: got float, Tensor;",
    ),
    "negative size": (
        lambda: mg.zeros(2, -1), ArgumentError, "size: got (2, -1); expected non-negative integers",
    ),
    "half a size": (
        lambda: mg.ones(2.5), ArgumentError, "size: got (2.5,); expected non-negative integers",
    ),
    "eye": (
        lambda: mg.eye(-1), ArgumentError, "size: got (-1, -1); expected non-negative integers",
    ),
    "linspace": (
        lambda: mg.linspace(0, 1, -1), ArgumentError,
        "size: got (-1,); expected non-negative integers",
    ),
    "arange": (
        lambda: mg.arange(0, 5, 0), ArgumentError,
        "arange: got (0, 5, 0); expected [start,] stop[, step], step not 0",
    ),
    "randint": (
        lambda: mg.randint(5, 5, (2,)), ArgumentError,
        "randint: got low 5, high 5; expected low < high",
    ),
    "full of text": (
        lambda: mg.full((2,), "a"), DTypeError, "full: fill_value: got 'a'; expected a number",
    ),
    "text": (lambda: tensor("abc"), DTypeError, "tensor: got data of type <U3; expected numbers"),
    "objects": (
        lambda: tensor([object()]), DTypeError, "tensor: got data of type object; expected numbers",
    ),
    "complex data": (
        lambda: tensor([1j]), DTypeError, "tensor: got data of type complex128; expected numbers",
    ),
    "ragged": (
        lambda: tensor([[1.0], [1.0, 2.0]]), ShapeError, "tensor: got lists of unequal lengths",
    ),
    "seed": (
        lambda: mg.manual_seed(1.5), ArgumentError,
        "manual_seed: seed: got 1.5; expected an integer",
    ),
    "no such type": (
        lambda: ones(2).to("float16x"), ArgumentError,
        "to: got 'float16x'; expected a dtype, 'cpu', 'cuda'",
    ),
    "no such device": (
        lambda: mg.device("gpu"), ArgumentError,
        "device: got 'gpu'; expected 'cpu', 'cuda' or 'cuda:<number>'",
    ),
}  # fmt: skip
GRAPHS = {
    "derivative of a number": (
        lambda: grad(1.0, leaf(3)), DTypeError, "grad: output 0: got float; expected a tensor",
    ),
    "derivative by a number": (
        lambda: grad(leaf(1) * 2.0, 1.0), DTypeError, "grad: input 0: got float; expected a tensor",
    ),
    "no scalar": (
        lambda: (leaf(3) * 2.0).backward(), GraphError,
        "the output has shape (3,), and only a scalar has a gradient of its own. Reduce it, or "
        "pass",
    ),
    "shape of g": (
        lambda: (leaf(3) * 2.0).backward(ones(2)), ShapeError,
        "backward: gradient: got shape (2,); expected (3,)",
    ),
    "type of g": (
        lambda: (leaf(3) * 2.0).backward(double(3)), DTypeError,
        "backward: gradient: got float64; expected float32",
    ),
    "g is an array": (
        lambda: (leaf(3) * 2.0).backward(array(3)), DTypeError,
        "backward: gradient: got ndarray; expected a tensor",
    ),
    "twice": (
        lambda: freed().backward(), GraphError,
        "the graph was freed by an earlier sweep (at sum). Pass retain_graph=True",
    ),
    "constants": (
        lambda: ones(3).sum().backward(), GraphError,
        "does not require a gradient: it was computed under no_grad, detached, or made of "
        "constants",
    ),
    "under no_grad": (
        under_no_grad, GraphError,
        "does not require a gradient: no graph is recorded under no_grad",
    ),
    "edited input": (
        lambda: edited().backward(), GraphError,
        "input 0 of multiply, shape (3,), was edited in place after the graph recorded it",
    ),
    "edit of a leaf": (
        lambda: leaf(3).add_(1.0), GraphError,
        "add_: writes in place to, or from, a tensor that requires a gradient",
    ),
    "assignment to a leaf": (
        lambda: leaf(3).__setitem__(0, 1.0), GraphError, "setitem: writes in place to",
    ),
    "write to numpy()": (lambda: ones(3).numpy().__setitem__(0, 1.0), ValueError, "read-only"),
    "integers": (
        lambda: tensor([1], requires_grad=True), DTypeError,
        "requires_grad: got element type int64; expected a float type",
    ),
    "unused input": (
        lambda: grad(leaf(3).sum(), leaf(3)), GraphError,
        "grad: the outputs do not depend on input 0; pass allow_unused=True",
    ),
    "constant input": (
        lambda: grad(leaf(3).sum(), ones(3)), GraphError,
        "grad: input 0 does not require a gradient",
    ),
    "input is a number": (
        lambda: grad(leaf(3).sum(), [1.0]), DTypeError,
        "grad: input 0: got float; expected a tensor",
    ),
    "numpy() of a leaf": (
        lambda: leaf(3).numpy(), GraphError,
        "numpy: the tensor requires a gradient. Use .detach().numpy()",
    ),
    "deepcopy": (
        lambda: copy.deepcopy(leaf(3) * 2.0), GraphError, "deepcopy: the tensor is part of a graph",
    ),
    "pickle": (
        lambda: pickle.dumps(leaf(3) * 2.0), GraphError, "pickle: the tensor is part of a graph",
    ),
}  # fmt: skip
LOSSES = {
    "reduction": (
        lambda: F.mse_loss(ones(3), ones(3), reduction="avg"), ArgumentError,
        "mse_loss: reduction: got 'avg'; expected 'mean', 'sum' or 'none'",
    ),
    "an array": (
        lambda: F.mse_loss(ones(3), array(3)), DTypeError,
        "mse_loss: target: got ndarray; expected a tensor",
    ),
    "integers": (
        lambda: F.binary_cross_entropy_with_logits(ones(3), classes(1, 0, 1)), DTypeError,
        "binary_cross_entropy_with_logits: got an input of float32 and a target of int64",
    ),
    "class too large": (
        lambda: F.cross_entropy(ones(2, 3), classes(0, 3)), ArgumentError,
        "cross_entropy: got class 3 at row 1; expected 0 to 2, for 3 classes",
    ),
    "class below 0": (
        lambda: F.cross_entropy(ones(2, 3), classes(-1, 0)), ArgumentError,
        "cross_entropy: got class -1 at row 0; expected 0 to 2",
    ),
    "class, nll": (
        lambda: F.nll_loss(ones(2, 3), classes(0, 9)), ArgumentError,
        "nll_loss: got class 9 at row 1; expected 0 to 2",
    ),
    "class, one_hot": (
        lambda: F.one_hot(classes(0, 3), 3), ArgumentError,
        "one_hot: got class 3 at row 1; expected 0 to 2",
    ),
    "classes for rows": (
        lambda: F.cross_entropy(ones(2, 3), classes(0, 1, 2)), ShapeError,
        "cross_entropy: target: got (3,); expected (2,) for (2, 3)",
    ),
    "no probability": (
        lambda: F.binary_cross_entropy(tensor([0.5, 1.5]), ones(2)), ArgumentError,
        "binary_cross_entropy: input: got 1.5; expected probabilities, from 0 to 1. For logits "
        "there is",
    ),
    "NaN is none": (
        lambda: F.binary_cross_entropy(tensor([NAN]), ones(1)), ArgumentError,
        "input: got nan; expected prob",
    ),
    "target is none": (
        lambda: F.binary_cross_entropy(tensor([0.5]), tensor([2.0])), ArgumentError,
        "target: got 2.0; expected",
    ),
    "mean of nothing": (
        lambda: ones(0, 3).mean(), ShapeError,
        "mean: got shape (0, 3), dim None; expected at least one entry",
    ),
}  # fmt: skip
LAYERS = {
    "negative size": (
        lambda: nn.Linear(-3, 4), ArgumentError,
        "size: got (4, -3); expected non-negative integers",
    ),
    "half a size": (
        lambda: nn.Linear(3.5, 4), ArgumentError,
        "size: got (4, 3.5); expected non-negative integers",
    ),
    "a truth for a size": (
        lambda: nn.Linear(True, 4), ArgumentError,
        "size: got (4, True); expected non-negative integers",
    ),
    "dropout": (
        lambda: nn.Dropout(1.5), ArgumentError,
        "Dropout: p: got 1.5; expected a probability, from 0 to 1",
    ),
    "one value per channel": (
        lambda: nn.BatchNorm1d(3)(ones(1, 3)), ArgumentError,
        "batch_norm: values per channel: got 1, in an input of shape (1, 3); expected at least 2",
    ),
    "no value per channel": (
        lambda: nn.BatchNorm1d(3)(ones(0, 3)), ArgumentError,
        "values per channel: got 0, in an input of shape (0, 3)",
    ),
    "channels": (
        lambda: nn.BatchNorm1d(3)(ones(2, 4)), ShapeError,
        "running_mean: got shape (3,); expected (4,) for (2, 4)",
    ),
    "layer norm": (
        lambda: nn.LayerNorm(3)(ones(2, 4)), ShapeError,
        "layer_norm: got an input of shape (2, 4); expected it to end in (3,)",
    ),
    "no parameter": (
        lambda: setattr(nn.Linear(2, 2), "weight", ones(2, 2)), DTypeError,
        "Linear: weight: got Tensor; expected a Parameter or None",
    ),
    "train mode": (
        lambda: nn.Linear(1, 1).train(1), ArgumentError,
        "train: mode: got 1; expected True or False",
    ),
}  # fmt: skip
TRAINING = {
    "lr": (
        lambda: optim.SGD([leaf(3)], lr=-1.0), ArgumentError,
        "SGD: lr: got -1.0; expected a number, 0 ≤ lr < inf",
    ),
    "lr NaN": (
        lambda: optim.Adam([leaf(3)], lr=NAN), ArgumentError,
        "Adam: lr: got nan; expected a number, 0 ≤ lr < inf",
    ),
    "betas": (
        lambda: optim.Adam([leaf(3)], betas=(0.9, 1.0)), ArgumentError,
        "Adam: beta_2: got 1.0; expected a number, 0 ≤ beta_2 < 1",
    ),
    "decay": (
        lambda: optim.AdamW([leaf(3)], weight_decay=-1), ArgumentError,
        "AdamW: weight_decay: got -1; expected a number, 0 ≤",
    ),
    "no parameters": (
        lambda: optim.SGD([], lr=0.1), ArgumentError,
        "optimizer: params: got none; expected at least one",
    ),
    "no leaf": (lambda: optim.SGD([leaf(3) * 2.0]), DTypeError, "expected leaf tensors of floats"),
    "step size": (
        lambda: optim.lr_scheduler.StepLR(optim.SGD([leaf(3)]), 0), ArgumentError,
        "StepLR: step_size: got 0; expected at least 1",
    ),
    "gradient of inf": (
        lambda: nn.utils.clip_grad_norm_(with_gradient(INF, 1.0), 1.0), NonFiniteError,
        "clip_grad_norm_: got gradients of norm inf; expected a finite norm",
    ),
    "gradient of NaN": (
        lambda: nn.utils.clip_grad_norm_(with_gradient(NAN, 1.0), 1.0), NonFiniteError,
        "got gradients of norm nan",
    ),
    "norm to clip to": (
        lambda: nn.utils.clip_grad_norm_(with_gradient(3.0), -1.0), ArgumentError,
        "max_norm: got -1.0; expected at least 0",
    ),
    "batch size": (
        lambda: DataLoader(TensorDataset(ones(3)), 0), ArgumentError,
        "DataLoader: batch_size: got 0; expected at least 1",
    ),
    "half a batch": (
        lambda: DataLoader(TensorDataset(ones(3)), 2.5), ArgumentError,
        "DataLoader: batch_size: got 2.5",
    ),
    "arrays": (
        lambda: TensorDataset(array(3)), DTypeError, "TensorDataset: got ndarray; expected tensors",
    ),
    "items of two shapes": (
        lambda: list(DataLoader([ones(2), ones(3)], 2)), ShapeError,
        "DataLoader: got items of shapes [(2,), (3,)]; expected one shape",
    ),
    "items of two lengths": (
        lambda: list(DataLoader([(1,), (1, 2)], 2)), ShapeError,
        "DataLoader: got items of [1, 2] parts; expected one number",
    ),
    "a schedule from the middle": (
        lambda: optim.lr_scheduler.StepLR(optim.SGD([leaf(3)]), 2, last_epoch=4), ArgumentError,
        "StepLR: last_epoch: got 4; expected -1, or the state of a scheduled optimiser: group 0",
    ),
    "lengths": (
        lambda: TensorDataset(ones(3), ones(4)), ShapeError,
        "TensorDataset: got (3,), (4,); expected tensors of one length",
    ),
    "all that does not fit": (
        lambda: nn.Linear(3, 4).load_state_dict({"weight": ones(3, 4), "x": ones(1)}),
        CheckpointError, "nothing was loaded:\n  missing key 'bias'\n  unexpected key 'x'\n"
        "  weight: got shape (3, 4); expected (4, 3)",
    ),
}  # fmt: skip
TABLE = {
    f"{part}: {name}": row
    for part, rows in {
        "product": PRODUCTS, "entry by entry": ENTRY_BY_ENTRY, "shape": SHAPES, "making": MAKING,
        "graph": GRAPHS, "loss": LOSSES, "layer": LAYERS, "training": TRAINING,
    }.items()
    for name, row in rows.items()
}  # fmt: skip


@pytest.mark.parametrize("call, error, message", TABLE.values(), ids=TABLE)
def test_bad_input(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
    assert caught.type.__module__ == errors.__name__ or error in (IndexError, ValueError)


BUILTINS = {
    ShapeError: ValueError, ArgumentError: ValueError, CheckpointError: ValueError,
    DTypeError: TypeError, DeviceError: TypeError, GraphError: RuntimeError,
    NonFiniteError: FloatingPointError, errors.DatasetError: OSError,
    errors.WorkerError: RuntimeError,
}  # fmt: skip


def test_each_error_is_also_the_builtin_that_a_caller_would_catch():
    own = {x for x in vars(errors).values() if isinstance(x, type)}
    assert own == set(BUILTINS)
    assert all(issubclass(error, builtin) for error, builtin in BUILTINS.items())


# ---------------------------------------------------------------- losses do not broadcast

PAIRED = {
    name: getattr(F, name)
    for name in ("mse_loss", "l1_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits")
}
by_loss = pytest.mark.parametrize("name, loss", PAIRED.items(), ids=PAIRED)


@by_loss
@pytest.mark.parametrize("shapes", [((3, 1), (3,)), ((3,), (1,)), ((2, 3), (3,)), ((), (1,))])
def test_a_loss_does_not_broadcast(name, loss, shapes):
    a, b = (ones(*shape) for shape in shapes)
    with pytest.raises(ShapeError) as caught:
        loss(a, b)
    assert f"{name}: got an input of shape {shapes[0]} and a target of shape {shapes[1]}" in (
        str(caught.value)
    )


@by_loss
def test_a_loss_of_two_types_is_refused(name, loss):
    with pytest.raises(DTypeError, match=f"{name}: got an input of float32 and a .* float64; exp"):
        loss(ones(3), double(3))


@by_loss
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_a_loss_of_nothing_is_refused(name, loss, reduction):
    with pytest.raises(ArgumentError, match=rf"{name}: empty batch: got shape \(0, 3\); expected"):
        loss(ones(0, 3), ones(0, 3), reduction=reduction)


def test_cross_entropy_of_nothing_is_refused():
    with pytest.raises(ArgumentError, match=r"cross_entropy: empty batch: got shape \(0, 3\)"):
        F.cross_entropy(ones(0, 3), classes())


def test_operations_take_an_empty_batch():
    """Shapes work out, gradients are zero: only a mean of nothing is no number."""
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    y = model(ones(0, 3))
    y.sum().backward()
    assert y.shape == (0, 2)
    assert all(not p.grad.array.any() and p.grad.shape == p.shape for p in model.parameters())


# ---------------------------------------------------------------- devices


class Elsewhere:
    """An array on a CUDA device, as far as the checks can tell: NumPy cannot compute with it."""

    __array_ufunc__ = None
    dtype, size, ndim, device = np.dtype(np.float32), 3, 1, type("Device", (), {"id": 0})

    def __init__(self, *shape):
        self.shape = shape


CALLS = {
    "add": lambda a, b: a + b,
    "multiply": lambda a, b: b * a,
    "matmul": lambda a, b: a.reshape(1, 3) @ b,
    "maximum": mg.maximum,
}


@pytest.mark.parametrize("name, call", CALLS.items(), ids=CALLS)
def test_tensors_on_two_devices_are_refused(name, call, monkeypatch):
    monkeypatch.setitem(backend._modules, Elsewhere, type("library", (), {}))
    here, there = ones(3), Tensor(Elsewhere(3, 2) if name == "matmul" else Elsewhere(3))
    with pytest.raises(DeviceError) as caught:
        call(here, there)
    message = str(caught.value)
    assert message.startswith(f"{name}: inputs on different devices: got ")
    assert "cpu" in message and "cuda:0" in message and ".to(" in message


def test_nothing_is_changed_by_what_is_refused():
    """An error comes before any arithmetic: neither the model nor the optimiser has moved."""
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    before = {name: x.tolist() for name, x in model.state_dict().items()}
    for bad in (ones(1, 2), ones(4, 3), double(4, 2), ones(0, 2)):
        with pytest.raises((ArgumentError, ShapeError, DTypeError)):
            model(bad)
    with pytest.raises(CheckpointError):
        model.load_state_dict({**model.state_dict(), "0.weight": ones(3, 3), "0.bias": ones(3)})
    assert {name: x.tolist() for name, x in model.state_dict().items()} == before
