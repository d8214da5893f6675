"""Tensor and what makes tensors: PyTorch's names with PyTorch's answers, written out."""

import copy
import math
import pickle

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor, float32, float64, int32, int64, no_grad, tensor, uint8
from minigrad.errors import ArgumentError, DeviceError, DTypeError, GraphError, ShapeError

bool_ = np.dtype(bool)


def arange(*shape) -> Tensor:
    """0, 1, 2, … as float32 in that shape."""
    return mg.arange(float(math.prod(shape))).reshape(shape)


# ---------------------------------------------------------------- making tensors

MADE = {  # what is made, its shape, type and entries
    "a number": (lambda: tensor(2.5), (), float32, 2.5),
    "an integer": (lambda: tensor(3), (), int64, 3),
    "a truth value": (lambda: tensor(True), (), bool_, True),
    "floats": (lambda: tensor([1, 2.5]), (2,), float32, [1.0, 2.5]),
    "integers": (lambda: tensor([[1, 2], [3, 4]]), (2, 2), int64, [[1, 2], [3, 4]]),
    "truth values": (lambda: tensor([True, False]), (2,), bool_, [True, False]),
    "nothing": (lambda: tensor([]), (0,), float32, []),
    "a tuple": (lambda: tensor((1.0, 2.0)), (2,), float32, [1.0, 2.0]),
    "a dtype": (lambda: tensor([1, 2], dtype=float64), (2,), float64, [1.0, 2.0]),
    "all digits": (lambda: tensor([0.1], dtype=float64), (1,), float64, [0.1]),
    "to integers": (lambda: tensor([1.7, -2.2], dtype=int64), (2,), int64, [1, -2]),
    "float64 array": (lambda: tensor(np.array([0.1])), (1,), float64, [0.1]),
    "int32 array": (lambda: tensor(np.array([1], np.int32)), (1,), int32, [1]),
    "float64 scalar": (lambda: tensor(np.float64(0.1)), (), float64, 0.1),
    "float32 scalars": (lambda: tensor([np.float32(2)]), (1,), float32, [2.0]),
    "a list of tensors": (lambda: tensor([tensor(1.0), tensor(2.0)]), (2,), float32, [1.0, 2.0]),
    "a tensor": (lambda: tensor(tensor([1, 2])), (2,), int64, [1, 2]),
    "zeros": (lambda: mg.zeros(2, 1), (2, 1), float32, [[0.0], [0.0]]),
    "zeros of a tuple": (lambda: mg.zeros((1, 2)), (1, 2), float32, [[0.0, 0.0]]),
    "zeros of a type": (lambda: mg.zeros(1, dtype=int64), (1,), int64, [0]),
    "one zero": (lambda: mg.zeros(()), (), float32, 0.0),
    "ones": (lambda: mg.ones(2), (2,), float32, [1.0, 1.0]),
    "full of floats": (lambda: mg.full((2,), 2.5), (2,), float32, [2.5, 2.5]),
    "full of integers": (lambda: mg.full((2,), 3), (2,), int64, [3, 3]),
    "full of truth": (lambda: mg.full((1,), True), (1,), bool_, [True]),
    "eye": (lambda: mg.eye(2, 3), (2, 3), float32, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    "arange": (lambda: mg.arange(3), (3,), int64, [0, 1, 2]),
    "arange from, to": (lambda: mg.arange(1, 4), (3,), int64, [1, 2, 3]),
    "arange by": (lambda: mg.arange(0, 1, 0.25), (4,), float32, [0.0, 0.25, 0.5, 0.75]),
    "arange down": (lambda: mg.arange(5, 1, -2), (2,), int64, [5, 3]),
    "linspace": (lambda: mg.linspace(0, 1, 5), (5,), float32, [0.0, 0.25, 0.5, 0.75, 1.0]),
    "zeros_like": (lambda: mg.zeros_like(tensor([1, 2])), (2,), int64, [0, 0]),
    "ones_like": (lambda: mg.ones_like(mg.zeros(1, dtype=float64)), (1,), float64, [1.0]),
    "full_like": (lambda: mg.full_like(tensor([1, 2]), 7), (2,), int64, [7, 7]),
    "like, of a type": (lambda: mg.ones_like(tensor([2]), dtype=float32), (1,), float32, [1.0]),
}  # fmt: skip


@pytest.mark.parametrize("make, shape, dtype, entries", MADE.values(), ids=MADE)
def test_made_tensor(make, shape, dtype, entries):
    x = make()
    assert (x.shape, x.dtype, x.tolist()) == (shape, dtype, entries)
    assert x.is_leaf and not x.requires_grad and x.device == mg.device("cpu")


def test_leaf_that_requires_a_gradient():
    for x in (tensor([1.0], requires_grad=True), mg.zeros(1, requires_grad=True),
              mg.randn(1, requires_grad=True), mg.ones(1).requires_grad_()):  # fmt: skip
        assert x.requires_grad and x.is_leaf and x.grad is None


def test_tensor_refuses_what_is_not_numeric():
    for data in ("text", [None], [1j], {"a": 1}):
        with pytest.raises(DTypeError, match="tensor: got data of type .*; expected numbers"):
            tensor(data)


def test_makers_refuse_bad_arguments():
    with pytest.raises(ArgumentError, match=r"size: got \(2, -1\); expected non-negative integers"):
        mg.zeros(2, -1)
    with pytest.raises(ArgumentError, match="size: got"):
        mg.ones(2.5)
    with pytest.raises(ArgumentError, match="arange: got .*step not 0"):
        mg.arange(0, 1, 0)
    with pytest.raises(ArgumentError, match="randint: got low 3, high 3; expected low < high"):
        mg.randint(3, 3, (2,))
    with pytest.raises(ArgumentError, match="device: got 'tpu'; expected 'cpu', 'cuda'"):
        mg.zeros(1, device="tpu")


# ---------------------------------------------------------------- random numbers


def test_seed_repeats_every_draw():
    def draws(seed):
        mg.manual_seed(seed)
        return [mg.randn(3).tolist(), mg.rand(2).tolist(), mg.randint(9, (4,)).tolist(),
                mg.randperm(5).tolist(), mg.randn_like(mg.zeros(2)).tolist()]  # fmt: skip

    assert draws(0) == draws(0) != draws(1)


def test_generator_is_a_stream_of_its_own():
    mg.manual_seed(0)
    expected = mg.randn(2).tolist()
    mg.manual_seed(0)
    own = mg.Generator().manual_seed(5)
    mg.randn(100, generator=own)
    assert mg.randn(2).tolist() == expected
    again = mg.Generator().manual_seed(5)
    state = again.get_state()
    first = mg.rand(2, generator=again).tolist()
    again.set_state(state)
    assert mg.rand(2, generator=again).tolist() == first and again.initial_seed() == 5


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_distributions_of_draws(dtype):
    generator = mg.Generator().manual_seed(1)
    n = mg.randn(20000, generator=generator, dtype=dtype)
    assert n.dtype == dtype and abs(n.mean().item()) < 0.04 and abs(n.std().item() - 1) < 0.04
    u = mg.rand(20000, generator=generator, dtype=dtype)
    assert u.min().item() >= 0 and u.max().item() < 1 and abs(u.mean().item() - 0.5) < 0.02
    i = mg.randint(2, 5, (1000,), generator=generator)
    assert i.dtype == int64 and set(i.tolist()) == {2, 3, 4}
    assert sorted(mg.randperm(50, generator=generator).tolist()) == list(range(50))
    x = mg.zeros(20000, dtype=dtype).normal_(3.0, 2.0, generator=generator)
    assert x.dtype == dtype and abs(x.mean().item() - 3) < 0.1 and abs(x.std().item() - 2) < 0.1
    x.uniform_(-1.0, 3.0, generator=generator)
    assert x.min().item() >= -1 and x.max().item() < 3 and abs(x.mean().item() - 1) < 0.05


def test_reparameterised_draw_is_mean_plus_std_times_noise():
    mean, std = tensor([1.0, 2.0], requires_grad=True), tensor([[0.5], [3.0]], requires_grad=True)
    eps = tensor([[1.0, -1.0], [2.0, 0.0]])
    z = mg.reparameterize(mean, std, eps)
    assert z.tolist() == [[1.5, 1.5], [7.0, 2.0]]
    z.backward(tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert mean.grad.tolist() == [4.0, 6.0] and std.grad.tolist() == [[-1.0], [6.0]]
    a, b = (mg.reparameterize(mean, std, generator=mg.Generator().manual_seed(s)) for s in (0, 0))
    assert a.shape == (2, 2) and (a == b).all() and (a != mean).all()


# ---------------------------------------------------------------- what it is


def test_shape_and_its_names():
    x = mg.zeros(2, 3, dtype=float64)
    assert x.shape == x.size() == (2, 3) and x.size(-1) == 3
    assert (x.ndim, x.dim(), x.numel(), len(x)) == (2, 2, 6, 2)
    assert x.dtype == float64 == mg.float64 and str(x.device) == "cpu"
    with pytest.raises(TypeError, match="len: got a 0-d tensor"):
        len(tensor(1.0))


def test_iteration_gives_the_rows():
    assert [row.tolist() for row in tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]
    a, b = tensor([1.0, 2.0], requires_grad=True)
    assert a.requires_grad and (a.item(), b.item()) == (1.0, 2.0)


REPR = {
    "tensor([1., 2.])": lambda: tensor([1.0, 2.0]),
    "tensor([1.5000, 2.0000])": lambda: tensor([1.5, 2.0]),
    "tensor(3)": lambda: tensor(3),
    "tensor(2.5000)": lambda: tensor(2.5),
    "tensor([ True, False])": lambda: tensor([True, False]),
    "tensor([[1, 2],\n        [3, 4]])": lambda: tensor([[1, 2], [3, 4]]),
    "tensor([0.1000], dtype=float64)": lambda: tensor([0.1], dtype=float64),
    "tensor([1], dtype=uint8)": lambda: tensor([1], dtype=uint8),
    "tensor([1.], requires_grad=True)": lambda: tensor([1.0], requires_grad=True),
    "tensor([2.], grad_fn=<multiply>)": lambda: tensor([1.0], requires_grad=True) * 2.0,
}


@pytest.mark.parametrize("text", REPR)
def test_repr(text):
    assert repr(REPR[text]()) == text


def test_repr_of_a_large_tensor_is_short():
    assert len(repr(mg.zeros(1000, 1000))) < 1000


# ---------------------------------------------------------------- leaving the graph


def test_item_takes_one_entry():
    assert tensor([[2.5]]).item() == 2.5 and type(tensor(3).item()) is int
    with pytest.raises(ShapeError, match=r"item: got shape \(2,\); expected one entry"):
        tensor([1.0, 2.0]).item()


def test_python_numbers():
    assert float(tensor(2.5)) == 2.5 and int(tensor([2])) == 2 and bool(tensor(0.0)) is False
    assert [10, 20, 30][tensor(1)] == 20
    with pytest.raises(TypeError, match="index: got float32; expected an integer tensor"):
        [1, 2][tensor(1.0)]
    with pytest.raises(ShapeError, match="item"):
        bool(tensor([1.0, 2.0]))


def test_a_number_is_formatted_as_one():
    loss = tensor(0.125, requires_grad=True) * 2.0
    assert f"{loss:.2f} {loss.data:>7f} {tensor(7):03d} {loss}" == "0.25 0.250000 007 0.25"
    assert f"{tensor([1.0])}" == "tensor([1.])"
    with pytest.raises(TypeError, match="format"):
        f"{tensor([1.0]):.2f}"


def test_numpy_and_back():
    x = tensor([1.0, 2.0])
    assert type(x.numpy()) is np.ndarray and x.numpy().dtype == np.float32
    assert type(tensor(1.0).sum().numpy()) is np.ndarray
    assert np.asarray(x, np.float64).dtype == np.float64
    with pytest.raises(GraphError, match=r"numpy: the tensor requires a gradient. Use .detach()"):
        tensor([1.0], requires_grad=True).numpy()


def test_detach_shares_memory_and_leaves_the_graph():
    x = tensor([1.0, 2.0], requires_grad=True)
    y = x.detach()
    assert not y.requires_grad and np.shares_memory(x.array, y.array)
    assert not np.shares_memory(x.clone().array, x.array) and x.clone().requires_grad


def test_copies():
    x = tensor([1.0, 2.0], requires_grad=True)
    (x * 3.0).backward(tensor([1.0, 2.0]))
    y = copy.deepcopy(x)
    assert y.requires_grad and y.tolist() == [1.0, 2.0] and y.grad.tolist() == [3.0, 6.0]
    assert not np.shares_memory(x.array, y.array)
    assert not np.shares_memory(x.grad.array, y.grad.array)
    with pytest.raises(GraphError, match="deepcopy: the tensor is part of a graph"):
        copy.deepcopy(x * 2.0)
    shared = copy.deepcopy([x, x])
    assert shared[0] is shared[1]


def test_pickle_refuses_a_graph():
    """It would recurse through it; a leaf goes, as to another process."""
    x = tensor([1.0, 2.0], requires_grad=True)
    y = pickle.loads(pickle.dumps(x))
    assert type(y) is Tensor and y.requires_grad and y.tolist() == [1.0, 2.0]
    with pytest.raises(GraphError, match="pickle: the tensor is part of a graph"):
        pickle.dumps(x * 2.0)


# ---------------------------------------------------------------- types and devices


def test_to_another_type():
    x = tensor([0.0, 1.5, -2.0])
    assert x.to(float64).dtype == x.double().dtype == x.to(dtype=float64).dtype == float64
    assert x.long().tolist() == [0, 1, -2] and x.bool().tolist() == [False, True, True]
    assert x.to(x) is x.to(float32) is x.float() is x.to("cpu") is x.cpu() is x
    assert (
        x.to(tensor([1], dtype=int32)).dtype == x.type_as(tensor([1], dtype=int32)).dtype == int32
    )
    assert mg.device("cuda", 1) == mg.device("cuda:1") and mg.device("cpu", 0) == mg.device("cpu")
    assert x.to("cpu", float64).dtype == x.to(mg.device("cpu"), dtype=float64).dtype == float64


@pytest.mark.skipif(mg.cuda.is_available(), reason="this machine has a CUDA device")
def test_device_that_is_not_there():
    x = tensor([1.0])
    for move in (x.cuda, lambda: x.to("cuda:1"), lambda: mg.zeros(1, device="cuda")):
        with pytest.raises(DeviceError, match="cuda: "):
            move()


# ---------------------------------------------------------------- shapes

X = (2, 3, 4)
SHAPED = {  # what is done to a tensor of shape (2, 3, 4), the shape, one entry
    "reshape": (lambda x: x.reshape(4, 6), (4, 6), ((1, 0), 6)),
    "reshape to a tuple": (lambda x: x.reshape((6, -1)), (6, 4), ((5, 0), 20)),
    "view": (lambda x: x.view(-1), (24,), ((7,), 7)),
    "view_as": (lambda x: x.view_as(mg.zeros(3, 8)), (3, 8), ((2, 0), 16)),
    "flatten": (lambda x: x.flatten(), (24,), ((23,), 23)),
    "flatten from": (lambda x: x.flatten(1), (2, 12), ((1, 0), 12)),
    "flatten to": (lambda x: x.flatten(0, -2), (6, 4), ((2, 1), 9)),
    "permute": (lambda x: x.permute(2, 0, 1), (4, 2, 3), ((3, 1, 0), 15)),
    "permute by a tuple": (lambda x: x.permute((1, 0, -1)), (3, 2, 4), ((2, 0, 0), 8)),
    "transpose": (lambda x: x.transpose(0, -1), (4, 3, 2), ((1, 0, 1), 13)),
    "T": (lambda x: x[0].T, (4, 3), ((3, 2), 11)),
    "t": (lambda x: x[1].t(), (4, 3), ((0, 1), 16)),
    "flip": (lambda x: x.flip(0, -1), (2, 3, 4), ((0, 0, 0), 15)),
    "squeeze": (lambda x: x[:1, :, 3:].squeeze(), (3,), ((1,), 7)),
    "squeeze one": (lambda x: x[:1, :, 3:].squeeze(0), (3, 1), ((1, 0), 7)),
    "squeeze what is longer": (lambda x: x.squeeze(1), (2, 3, 4), ((0, 0, 1), 1)),
    "unsqueeze": (lambda x: x.unsqueeze(-1), (2, 3, 4, 1), ((1, 0, 0, 0), 12)),
    "unsqueeze first": (lambda x: x.unsqueeze(0), (1, 2, 3, 4), ((0, 1, 0, 0), 12)),
    "expand": (lambda x: x[:, :1].expand(-1, 5, 4), (2, 5, 4), ((1, 4, 0), 12)),
    "expand to more axes": (lambda x: x[0, 0].expand(2, 4), (2, 4), ((1, 3), 3)),
    "expand_as": (lambda x: x[:1, :1].expand_as(x), (2, 3, 4), ((1, 2, 1), 1)),
    "contiguous": (lambda x: x.permute(2, 1, 0).contiguous(), (4, 3, 2), ((1, 0, 1), 13)),
    "split": (lambda x: x.split(3, 2)[1], (2, 3, 1), ((0, 0, 0), 3)),
    "chunk": (lambda x: x.chunk(2, 1)[1], (2, 1, 4), ((0, 0, 0), 8)),
}  # fmt: skip


@pytest.mark.parametrize("fn, shape, entry", SHAPED.values(), ids=SHAPED)
def test_shaped(fn, shape, entry):
    y = fn(arange(*X))
    place, value = entry
    assert y.shape == shape and y[place].item() == value


def test_views_share_memory():
    x = arange(*X)
    for y in (x.view(6, 4), x.T, x[1], x.flatten(), x.squeeze(), x.expand(2, *X), x.split(1)[0]):
        assert np.shares_memory(x.array, y.array)
    assert x.contiguous() is x and x.T.contiguous().array.flags.c_contiguous


REFUSED = {
    "reshape: got shape (5, 5) for 24 entries": (ShapeError, lambda x: x.reshape(5, 5)),
    "reshape: got shape (-1, 5) for 24 entries": (ShapeError, lambda x: x.reshape(-1, 5)),
    "reshape: got shape (-1, -1) for 24 entries": (ShapeError, lambda x: x.view(-1, -1)),
    "expand: shapes do not broadcast: got (2, 3, 4) and (2, 5, 4); expected equal sizes": (
        ShapeError, lambda x: x.expand(2, 5, 4),
    ),
    "expand: got shape (2, 3, 4) to (1, 3, 4)": (ShapeError, lambda x: x.expand(1, 3, 4)),
    "add: shapes do not broadcast: got (2, 3, 4) and (3, 5); expected equal sizes, or 1, at dim -1":
        (ShapeError, lambda x: x + mg.zeros(3, 5)),
    "permute: got (0, 1); expected all 3 axes": (ArgumentError, lambda x: x.permute(0, 1)),
    "permute: dim: got (0, 0, 1); expected each axis once": (
        ArgumentError, lambda x: x.permute(0, 0, 1),
    ),
    "transpose: dim: got 3; expected -3 to 2": (IndexError, lambda x: x.transpose(0, 3)),
    "squeeze: dim: got -4; expected -3 to 2": (IndexError, lambda x: x.squeeze(-4)),
    "unsqueeze: dim: got 4; expected -4 to 3": (IndexError, lambda x: x.unsqueeze(4)),
    "flatten: dim: got 3; expected -3 to 2": (IndexError, lambda x: x.flatten(3)),
    "softmax: dim: got 3; expected -3 to 2": (IndexError, lambda x: x.softmax(3)),
    "clamp: got neither min nor max": (ArgumentError, lambda x: x.clamp()),
    "norm: p: got 0; expected a positive number": (ArgumentError, lambda x: x.norm(0)),
    "pow: got int64 to the power -1; expected floats": (DTypeError, lambda x: x.long() ** -1),
    "where: condition: got float32; expected bool": (DTypeError, lambda x: mg.where(x, x, x)),
    "linear: weight expects 5 input features, x has (4,)": (
        ShapeError, lambda x: mg.nn.functional.linear(x, mg.zeros(2, 5)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_refused(message):
    error, fn = REFUSED[message]
    with pytest.raises(error) as caught:
        fn(arange(*X))
    assert str(caught.value).startswith(message)


# ---------------------------------------------------------------- operators and methods


def test_operators():
    a, b = tensor([1.0, -2.0]), tensor([4.0, 0.5])
    assert (a + b).tolist() == (b + a).tolist() == a.add(b).tolist() == [5.0, -1.5]
    assert (a - b).tolist() == a.sub(b).tolist() == [-3.0, -2.5]
    assert (a * b).tolist() == a.mul(b).tolist() == [4.0, -1.0]
    assert (a / b).tolist() == a.div(b).tolist() == [0.25, -4.0]
    assert (2 - a).tolist() == [1.0, 4.0] and (1 / b).tolist() == b.reciprocal().tolist()
    assert (b**2).tolist() == b.pow(2).tolist() == b.square().tolist() == [16.0, 0.25]
    assert (2**a).tolist() == [2.0, 0.25] and (b**-1.0).tolist() == [0.25, 2.0]
    assert (-a).tolist() == a.neg().tolist() == [-1.0, 2.0]
    assert abs(a).tolist() == a.abs().tolist() == [1.0, 2.0]
    assert (tensor([[1.0, 2.0]]) @ b).tolist() == tensor([[1.0, 2.0]]).matmul(b).tolist() == [5.0]


def test_comparisons():
    a, b = tensor([1.0, 2.0, 3.0]), tensor([3.0, 2.0, 1.0])
    assert (a == b).tolist() == a.eq(b).tolist() == [False, True, False]
    assert (a != b).tolist() == a.ne(b).tolist() == [True, False, True]
    assert (a < b).tolist() == a.lt(b).tolist() == [True, False, False]
    assert (a <= 2).tolist() == a.le(2).tolist() == [True, True, False]
    assert (2 < a).tolist() == a.gt(2).tolist() == [False, False, True]
    assert (a >= b).tolist() == a.ge(b).tolist() == [False, True, True]
    assert a.minimum(b).tolist() == [1.0, 2.0, 1.0] and a.maximum(b).tolist() == [3.0, 2.0, 3.0]
    assert a.where(a > 1, b).tolist() == [3.0, 2.0, 3.0] == mg.where(a > 1, a, b).tolist()
    assert (a > 0).all().item() and not (a > 3).any().item()


def test_tensors_are_told_apart_in_sets_by_identity():
    a, b = tensor([1.0]), tensor([1.0])
    assert len({a, b, a}) == 2 and {a: 1}[a] == 1


STATISTICS = {
    "sum": 36.0, "mean": 4.5, "max": 8.0, "min": 1.0, "amax": 8.0, "amin": 1.0, "var": 6.0,
    "argmax": 7, "argmin": 0, "norm": math.sqrt(204), "std": math.sqrt(6),
}  # fmt: skip


@pytest.mark.parametrize("name", STATISTICS)
def test_statistics_of_1_to_8(name):
    x = mg.arange(1.0, 9.0).reshape(2, 4)
    assert getattr(x, name)().item() == pytest.approx(STATISTICS[name], rel=1e-6)


def test_statistics_along_an_axis():
    x = tensor([[1.0, 5.0, 3.0], [4.0, 2.0, 9.0]])
    assert x.sum(0).tolist() == [5.0, 7.0, 12.0] and x.mean(-1).tolist() == [3.0, 5.0]
    assert x.sum((0, 1)).item() == x.sum(dim=()).item() == 24.0
    assert x.sum(1, keepdim=True).tolist() == [[9.0], [15.0]]
    assert x.var(0).tolist() == [4.5, 4.5, 18.0]
    assert x.var(0, unbiased=False).tolist() == x.var(0, correction=0).tolist() == [2.25, 2.25, 9.0]
    assert x.std(0, correction=0).tolist() == [1.5, 1.5, 3.0]
    assert x.std(False).item() == x.std(unbiased=False).item()
    assert x.cumsum(1).tolist() == [[1.0, 6.0, 9.0], [4.0, 6.0, 15.0]]
    assert x.norm(1).item() == 24.0 and x.norm(math.inf, dim=1).tolist() == [5.0, 9.0]
    assert x.norm("fro").item() == x.norm().item()
    values, indices = x.max(dim=1)
    assert values.tolist() == [5.0, 9.0] and indices.tolist() == [1, 2]
    assert x.min(0).values.tolist() == [1.0, 2.0, 3.0] and x.min(0).indices.tolist() == [0, 1, 0]
    assert x.argmax(0).tolist() == [1, 0, 1] and x.argmax(dim=1, keepdim=True).tolist() == [
        [1],
        [2],
    ]


# ---------------------------------------------------------------- writing in place

IN_PLACE = {  # what is done to [1, 2], what is then in it
    "copy_": (lambda x: x.copy_(tensor([5, 6])), [5.0, 6.0]),
    "copy_ of one row": (lambda x: x.copy_(tensor(7.0)), [7.0, 7.0]),
    "fill_": (lambda x: x.fill_(3), [3.0, 3.0]),
    "zero_": (lambda x: x.zero_(), [0.0, 0.0]),
    "add_": (lambda x: x.add_(tensor([1.0, -1.0])), [2.0, 1.0]),
    "add_ with alpha": (lambda x: x.add_(tensor([1.0, -1.0]), alpha=-0.5), [0.5, 2.5]),
    "sub_": (lambda x: x.sub_(1, alpha=2), [-1.0, 0.0]),
    "mul_": (lambda x: x.mul_(-2.0), [-2.0, -4.0]),
    "div_": (lambda x: x.div_(4), [0.25, 0.5]),
    "clamp_": (lambda x: x.clamp_(max=1.5), [1.0, 1.5]),
    "an index": (lambda x: x.__setitem__(0, 9.0), [9.0, 2.0]),
    "a slice": (lambda x: x.__setitem__(slice(None), tensor([8.0, 9.0])), [8.0, 9.0]),
    "a mask": (lambda x: x.__setitem__(x > 1, 0.0), [1.0, 0.0]),
    "a list": (lambda x: x.__setitem__([1, 0], tensor([3.0, 4.0])), [4.0, 3.0]),
}  # fmt: skip
in_place = pytest.mark.parametrize("edit, after", IN_PLACE.values(), ids=IN_PLACE)


@in_place
def test_in_place(edit, after):
    x = tensor([1.0, 2.0])
    memory, view = x.array, x[:]
    result = edit(x)
    assert result is x or result is None
    assert x.array is memory and x.dtype == float32 and x.tolist() == view.tolist() == after


@in_place
def test_in_place_on_a_leaf_needs_no_grad(edit, after):
    x = tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(GraphError, match="writes in place to, or from, a tensor that requires a g"):
        edit(x)
    assert x.tolist() == [1.0, 2.0]
    with no_grad():
        edit(x)
    assert x.tolist() == after and x.requires_grad and x.is_leaf


def test_in_place_from_a_graph_is_refused():
    """It would cut the graph without a word."""
    x = tensor([1.0, 2.0])
    with pytest.raises(GraphError, match="copy_: writes in place to, or from"):
        x.copy_(tensor([1.0, 2.0], requires_grad=True) * 2.0)


def test_in_place_refuses_another_shape():
    x = tensor([1.0, 2.0])
    with pytest.raises(ShapeError, match=r"copy_: got a value of shape \(3,\) for \(2,\)"):
        x.copy_(mg.zeros(3))
    with pytest.raises(ShapeError, match=r"add_: got a value of shape \(2, 2\) for \(2,\)"):
        x.add_(mg.zeros(2, 2))
    with pytest.raises(ShapeError, match=r"setitem: got a value of shape \(3,\) for \(1,\)"):
        x[:1] = mg.zeros(3)


def test_in_place_on_the_result_of_a_reduction():
    total = tensor([1.0, 2.0]).sum()
    total.add_(1.0)
    total.mul_(2.0)
    assert total.item() == 8.0 and total.shape == ()


def test_in_place_on_an_expanded_tensor_is_refused():
    with pytest.raises(ShapeError, match="memory that may be written"):
        tensor([1.0]).expand(3).add_(1.0)


def test_data_is_the_memory_without_the_graph():
    x = tensor([1.0, 2.0], requires_grad=True)
    x.data.mul_(3.0)
    assert x.tolist() == [3.0, 6.0]
    x.data = tensor([7.0, 8.0])
    assert x.tolist() == [7.0, 8.0] and x.requires_grad and x.is_leaf


def test_requires_grad_is_asked_of_leaves():
    x = tensor([1.0]).requires_grad_()
    assert x.requires_grad and not x.requires_grad_(False).requires_grad
    with pytest.raises(GraphError, match="requires_grad_: the tensor is no leaf"):
        (tensor([1.0], requires_grad=True) * 2.0).requires_grad_()
