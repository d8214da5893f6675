"""Layers: their printed form, state, initial values, and that each computes its function."""

import copy
import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.errors import ArgumentError, DTypeError, ShapeError
from minigrad.gradcheck import check_grads
from minigrad.nn import functional as F

# What PyTorch 2.13 prints.
PRINTED = [
    (nn.Linear(4, 3), "Linear(in_features=4, out_features=3, bias=True)"),
    (nn.Linear(4, 3, bias=False), "Linear(in_features=4, out_features=3, bias=False)"),
    (nn.Identity(54, unused=True), "Identity()"),
    (nn.Embedding(10, 3), "Embedding(10, 3)"),
    (nn.Embedding(10, 3, padding_idx=-1), "Embedding(10, 3, padding_idx=9)"),
    (nn.SmoothL1Loss(), "SmoothL1Loss()"),
    (nn.Flatten(), "Flatten(start_dim=1, end_dim=-1)"),
    (nn.Unflatten(1, (1, 28, 28)), "Unflatten(dim=1, unflattened_size=(1, 28, 28))"),
    (nn.Dropout(), "Dropout(p=0.5, inplace=False)"),
    (nn.Dropout(0.2, True), "Dropout(p=0.2, inplace=True)"),
    (
        nn.BatchNorm1d(5),
        "BatchNorm1d(5, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)",
    ),
    (
        nn.BatchNorm1d(5, momentum=None, affine=False),
        "BatchNorm1d(5, eps=1e-05, momentum=None, affine=False, bias=False, "
        "track_running_stats=True)",
    ),
    (nn.LayerNorm(5), "LayerNorm((5,), eps=1e-05, elementwise_affine=True, bias=True)"),
    (
        nn.LayerNorm((2, 3), elementwise_affine=False),
        "LayerNorm((2, 3), eps=1e-05, elementwise_affine=False, bias=False)",
    ),
    (nn.ReLU(), "ReLU()"),
    (nn.ReLU(True), "ReLU(inplace=True)"),
    (nn.LeakyReLU(0.2), "LeakyReLU(negative_slope=0.2)"),
    (nn.LeakyReLU(0.2, True), "LeakyReLU(negative_slope=0.2, inplace=True)"),
    (nn.ELU(), "ELU(alpha=1.0)"),
    (nn.GELU(), "GELU(approximate='none')"),
    (nn.SiLU(inplace=True), "SiLU(inplace=True)"),
    (nn.Softplus(), "Softplus(beta=1.0, threshold=20.0)"),
    (nn.Softmax(dim=1), "Softmax(dim=1)"),
    (nn.LogSoftmax(1), "LogSoftmax(dim=1)"),
    (nn.Tanh(), "Tanh()"),
    (nn.Sigmoid(), "Sigmoid()"),
    (nn.LogSigmoid(), "LogSigmoid()"),
    (nn.MSELoss(), "MSELoss()"),
    (nn.BCEWithLogitsLoss(pos_weight=mg.ones(2)), "BCEWithLogitsLoss()"),
    (nn.CrossEntropyLoss(label_smoothing=0.1), "CrossEntropyLoss()"),
]


@pytest.mark.parametrize("module, text", PRINTED, ids=[text for _, text in PRINTED])
def test_it_is_printed_as_pytorch_prints_it(module, text):
    assert repr(module) == text
    assert repr(copy.deepcopy(module)) == text


def leaf(*shape, seed=11):
    return Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


# ---------------------------------------------------------------- modules are their functions

FUNCTIONS = [
    (nn.Identity(), lambda x: x),
    (nn.Flatten(), lambda x: x.reshape(2, 12)),
    (nn.Flatten(0, 1), lambda x: x.reshape(6, 4)),
    (nn.Unflatten(-1, (2, -1)), lambda x: x.reshape(2, 3, 2, 2)),
    (nn.Unflatten(1, [3, 1]), lambda x: x.reshape(2, 3, 1, 4)),
    (nn.ReLU(True), F.relu),
    (nn.LeakyReLU(0.3), lambda x: F.leaky_relu(x, 0.3)),
    (nn.ELU(0.7), lambda x: F.elu(x, 0.7)),
    (nn.GELU("tanh"), lambda x: F.gelu(x, "tanh")),
    (nn.SiLU(), F.silu),
    (nn.Softplus(2.0, 0.5), lambda x: F.softplus(x, 2.0, 0.5)),
    (nn.Softmax(1), lambda x: F.softmax(x, 1)),
    (nn.LogSoftmax(-1), lambda x: F.log_softmax(x, -1)),
    (nn.Tanh(), F.tanh),
    (nn.Sigmoid(), F.sigmoid),
    (nn.LogSigmoid(), F.logsigmoid),
    (nn.LayerNorm((3, 4), eps=0.1).double(), lambda x: F.layer_norm(x, (3, 4), eps=0.1)),
    (nn.LayerNorm(4, bias=False).double(), lambda x: F.layer_norm(x, 4)),
    (
        nn.BatchNorm1d(3, eps=0.1).double(),
        lambda x: F.batch_norm(x, None, None, training=True, eps=0.1),
    ),
]


@pytest.mark.parametrize("module, fn", FUNCTIONS, ids=[repr(m) for m, _ in FUNCTIONS])
def test_forward_is_the_function(module, fn):
    x = leaf(2, 3, 4)
    assert module(x).tolist() == fn(x).tolist()


w3 = Tensor(np.array([0.5, 2.0, 1.5]))
LOSSES = [
    (nn.MSELoss(reduction="sum"), lambda x, t: F.mse_loss(x, t, reduction="sum")),
    (nn.L1Loss(reduction="none"), lambda x, t: F.l1_loss(x, t, reduction="none")),
    (nn.BCELoss(w3), lambda x, t: F.binary_cross_entropy(x, t, w3)),
    (
        nn.BCEWithLogitsLoss(w3, reduction="sum", pos_weight=w3 * 2.0),
        lambda x, t: F.binary_cross_entropy_with_logits(
            x, t, w3, reduction="sum", pos_weight=w3 * 2.0
        ),
    ),
    (
        nn.CrossEntropyLoss(w3, reduction="sum", label_smoothing=0.3),
        lambda x, t: F.cross_entropy(x, t, w3, reduction="sum", label_smoothing=0.3),
    ),
]


@pytest.mark.parametrize("module, fn", LOSSES, ids=[repr(m) for m, _ in LOSSES])
def test_loss_is_the_function(module, fn):
    rng = np.random.default_rng(0)
    x, t = Tensor(rng.uniform(0, 1, (2, 3))), Tensor(rng.uniform(0, 1, (2, 3)))
    assert module(x, t).tolist() == fn(x, t).tolist()


def test_class_losses_take_indices():
    x, t = leaf(3, 3), mg.tensor([0, 2, 1])
    module = nn.NLLLoss(w3, ignore_index=2)
    assert module(x, t).item() == F.nll_loss(x, t, w3, ignore_index=2).item()
    assert nn.CrossEntropyLoss()(x, t).item() == F.cross_entropy(x, t).item()


def test_weights_of_losses_are_state():
    """They move with the module, and PyTorch saves them."""
    loss = nn.BCEWithLogitsLoss(mg.ones(3), pos_weight=mg.ones(3))
    assert list(loss.state_dict()) == ["weight", "pos_weight"]
    assert loss.double().pos_weight.dtype == mg.float64
    assert nn.CrossEntropyLoss().weight is None
    assert list(nn.CrossEntropyLoss().state_dict()) == []


# ---------------------------------------------------------------- Linear


@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_the_function_of_its_parameters(bias):
    fc = nn.Linear(4, 3, bias)
    x = mg.randn(2, 5, 4)
    y = fc(x)
    assert y.tolist() == F.linear(x, fc.weight, fc.bias).tolist()
    y.sum().backward()
    assert all(p.grad.shape == p.shape for p in fc.parameters())


def test_linear_begins_with_draws_as_wide_as_pytorchs():
    fc = nn.Linear(400, 300, generator=mg.Generator().manual_seed(0))
    bound = 1 / math.sqrt(400)
    for p in (fc.weight, fc.bias):
        draws = p.detach().numpy()
        assert np.abs(draws).max() <= bound
        assert np.abs(draws).max() > 0.98 * bound
        assert draws.std() == pytest.approx(bound / math.sqrt(3), rel=0.06)
    twin = nn.Linear(400, 300, generator=mg.Generator().manual_seed(0))
    assert twin.weight.tolist() == fc.weight.tolist() and twin.bias.tolist() == fc.bias.tolist()
    fc.reset_parameters()
    assert twin.weight.tolist() != fc.weight.tolist()


def test_linear_options():
    fc = nn.Linear(4, 3, device="cpu", dtype=mg.float64)
    assert fc.weight.shape == (3, 4) and fc.bias.shape == (3,)
    assert fc.weight.dtype == fc.bias.dtype == mg.float64
    assert nn.Linear(4, 3, False).bias is None
    assert nn.Linear(0, 3).weight.shape == (3, 0)


# ---------------------------------------------------------------- Dropout


def test_dropout_works_in_training_only():
    layer = nn.Dropout(0.5, generator=mg.Generator().manual_seed(0))
    x = mg.ones(1000)
    assert 400 < int((layer(x) == 0.0).sum()) < 600
    assert layer.eval()(x) is x
    with pytest.raises(ArgumentError, match="Dropout: p: got -0.1"):
        nn.Dropout(-0.1)


# ---------------------------------------------------------------- BatchNorm1d

X = np.array([[0.5, -1.2, 3.0], [-0.3, 0.8, -2.5]])


@pytest.mark.parametrize(
    "momentum, mean, var",
    [
        (0.1, [0.129, 0.042, 0.1725], [0.9668, 1.79, 8.22125]),
        (None, [0.65, 0.2, 0.875], [0.8, 5.0, 37.8125]),  # the average of all batches
    ],
)
def test_batch_norm_tracks_as_pytorch_does(momentum, mean, var):
    bn = nn.BatchNorm1d(3, momentum=momentum, dtype=mg.float64)
    for x in (X, 2 * X + 1):
        bn(Tensor(x))
    np.testing.assert_allclose(bn.running_mean.numpy(), mean, rtol=1e-12)
    np.testing.assert_allclose(bn.running_var.numpy(), var, rtol=1e-12)
    assert int(bn.num_batches_tracked) == 2 and bn.num_batches_tracked.dtype == mg.int64


def test_batch_norm_in_evaluation_uses_what_it_tracked():
    bn = nn.BatchNorm1d(3, dtype=mg.float64)
    bn(Tensor(X))
    state = copy.deepcopy(bn.state_dict())
    y = bn.eval()(Tensor(X[:1]))
    expected = (X[:1] - state["running_mean"].numpy()) / np.sqrt(
        state["running_var"].numpy() + 1e-5
    )
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-12)
    assert {k: v.tolist() for k, v in bn.state_dict().items()} == {
        k: v.tolist() for k, v in state.items()
    }
    check_grads(bn, leaf(2, 3), order=1)


def test_batch_norm_without_tracking_uses_the_batch_always():
    bn = nn.BatchNorm1d(3, affine=False, track_running_stats=False)
    x = mg.randn(4, 3)
    assert list(bn.state_dict()) == [] and list(bn.parameters()) == []
    assert bn(x).tolist() == bn.eval()(x).tolist()


def test_batch_norm_options():
    assert list(nn.BatchNorm1d(3).state_dict()) == [
        "weight", "bias", "running_mean", "running_var", "num_batches_tracked",
    ]  # fmt: skip
    assert nn.BatchNorm1d(3, bias=False).bias is None
    assert nn.BatchNorm1d(3)(mg.randn(2, 3, 5)).shape == (2, 3, 5)


def test_batch_norm_refuses_what_does_not_fit_and_counts_it_not():
    bn = nn.BatchNorm1d(3)
    with pytest.raises(ShapeError, match=r"BatchNorm1d: got an input of shape \(2, 3, 1, 1\)"):
        bn(mg.ones(2, 3, 1, 1))
    with pytest.raises(ShapeError, match=r"running_mean: got shape \(3,\); expected \(4,\)"):
        bn(mg.ones(2, 4))
    with pytest.raises(ArgumentError, match="values per channel: got 1"):
        bn(mg.ones(1, 3))
    assert int(bn.num_batches_tracked) == 0
    assert bn.eval()(mg.ones(1, 3)).shape == (1, 3)


def test_a_step_between_two_forwards_of_one_batch_norm():
    """A discriminator sees two batches before it is differentiated: that edits no saved value."""
    bn = nn.BatchNorm1d(3)
    first, second = bn(mg.randn(4, 3)), bn(mg.randn(4, 3))
    (first + second).square().sum().backward()
    assert bn.weight.grad is not None


def test_an_old_graph_of_evaluation_notices_that_the_statistics_moved():
    bn = nn.BatchNorm1d(3)
    x = mg.randn(4, 3, requires_grad=True)
    y = bn.eval()(x)
    bn.train()(x)
    y.sum().backward()  # the running values were not saved: 1/√(σ² + eps) was computed from them
    assert x.grad is not None


def test_embedding_reads_rows_and_keeps_that_of_the_padding():
    table = nn.Embedding(4, 2, padding_idx=1, generator=mg.Generator().manual_seed(3))
    assert table.weight[1].tolist() == [0.0, 0.0]
    classes = mg.tensor([[0, 1], [3, 0]])
    y = table(classes)
    assert y.shape == (2, 2, 2) and (y == table.weight[classes]).all()
    y.sum().backward()
    assert table.weight.grad.tolist() == [[2.0, 2.0], [0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: nn.Embedding(4, 2)(mg.tensor([4])), IndexError, "got 4 to 4; expected 0 to 3"),
        (lambda: nn.Embedding(4, 2)(mg.tensor([-1])), IndexError, "got -1 to -1; expected 0 to 3"),
        (lambda: nn.Embedding(4, 2)(mg.tensor([1.0])), DTypeError, "float32; expected integers"),
        (lambda: nn.Embedding(4, 2, 4), ArgumentError, "padding_idx: got 4; expected one of 4"),
    ],
)
def test_embedding_refuses_what_is_no_row(call, error, message):
    with pytest.raises(error, match=f"mbedding: .*{message}"):
        call()
