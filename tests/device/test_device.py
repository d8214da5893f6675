"""Tensors, randomness, optimisers, distributions and training on a device."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import backend, nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.data.dataset import ImageDataset
from minigrad.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    Laplace,
    MultivariateNormal,
    Normal,
    Uniform,
    kl_divergence,
)
from minigrad.errors import ArgumentError, DeviceError, NonFiniteError
from minigrad.nn import functional as F
from minigrad.nn.utils import clip_grad_norm_
from minigrad.training import Descent, fit
from tests import strict

# ---------------------------------------------------------------- moving


def test_there_and_back(device):
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]], device=device, requires_grad=True)
    assert x.device.type == device and repr(x).endswith("requires_grad=True)")
    assert x.cpu().device == mg.device("cpu") and x.cpu().tolist() == x.tolist()
    (x.to("cpu") ** 2).sum().backward()  # through the move
    assert x.grad.device == x.device and x.grad.tolist() == [[2.0, 4.0], [6.0, 8.0]]
    assert x.to(x.device) is x and len(x) == 2 and [row.tolist() for row in x][1] == [3.0, 4.0]
    if device != "cpu":
        with pytest.raises(TypeError, match=r"numpy: the tensor is on cuda:0. Use .cpu\(\)"):
            x.detach().numpy()


def test_indices_of_the_cpu_are_brought_there(device):
    x = mg.arange(12, device=device).reshape(3, 4)
    assert x[[2, 0], [1, -1]].tolist() == [9, 3]
    assert x[np.array([1])].tolist() == [[4, 5, 6, 7]]
    assert x[mg.tensor([1, 1])][1, 2].item() == 6
    x[mg.tensor([0])] = 7
    x[1] = np.arange(4)
    assert x.tolist() == [[7] * 4, [0, 1, 2, 3], [8, 9, 10, 11]]


CALLS = {
    "add": lambda a, b: a + b,
    "multiply": lambda a, b: b * a,
    "subtract": lambda a, b: a[0] - b,
    "matmul": lambda a, b: a @ b,
    "maximum": mg.maximum,
    "cat": lambda a, b: mg.cat([a, b]),
    "linear": lambda a, b: F.linear(a, b, b[0]),
    "mse_loss": F.mse_loss,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
    "reparameterize": lambda a, b: mg.reparameterize(a, b, eps=a),
    "where": lambda a, b: mg.where(a > 0, a, b),
    "conv2d": lambda a, b: F.conv2d(a.reshape(1, 1, 2, 2), b.reshape(1, 1, 2, 2)),
}


@pytest.mark.parametrize("name", CALLS)
def test_two_devices_are_refused_in_words(name, device):
    if device == "cpu":
        pytest.skip("it takes two devices")
    here, there = mg.ones(2, 2), mg.ones(2, 2, device=device)
    for a, b, got in ((here, there, "cpu, input 1 on cuda"), (there, here, "cuda:0, input 1 on c")):
        with pytest.raises(DeviceError) as caught:
            CALLS[name](a, b)
        assert str(caught.value).startswith(f"{name}: inputs on different devices: got input 0 on ")
        if name not in ("multiply", "linear", "reparameterize", "where"):
            assert got in str(caught.value)
        assert 'Use .to("cuda")' in str(caught.value)


def test_other_mixtures_are_refused_in_words(device):
    if device == "cpu":
        pytest.skip("it takes two devices")
    here, there = mg.ones(3), mg.ones(3, device=device)
    with pytest.raises(DeviceError, match="getitem: got an index on cuda:0 for a tensor on cpu"):
        here[mg.tensor([0], device=device)]
    with pytest.raises(DeviceError, match="copy_: got a value on cpu for a tensor on cuda:0"):
        there.copy_(here)
    with pytest.raises(DeviceError, match="generator: got one on cpu for a tensor on cuda:0"):
        there.normal_(generator=mg.Generator())
    with pytest.raises(DeviceError, match="linear: inputs on different devices"):
        nn.Linear(3, 2)(there)


# ---------------------------------------------------------------- randomness


def test_a_generator_of_the_device(device):
    g = mg.Generator(device).manual_seed(3)
    x = mg.randn(50, 41, generator=g, device=device)
    assert x.device.type == device and x.shape == (50, 41)
    state = g.get_state()
    draw = lambda: [
        mg.randn(3, generator=g, device=device).tolist(),
        mg.rand(2, 3, generator=g, device=device, dtype="float64").tolist(),
        mg.randint(5, (4,), generator=g, device=device).tolist(),
        mg.randperm(9, generator=g, device=device).tolist(),
    ]
    first = draw()
    assert draw() != first
    g.set_state(state)
    assert draw() == first and sorted(first[3]) == list(range(9))
    assert g.initial_seed() == 3
    assert mg.randn(50, 41, generator=g.manual_seed(3), device=device).tolist() == x.tolist()
    if device != "cpu":
        with pytest.raises(ArgumentError, match="set_state: not the state of such a generator"):
            g.set_state(mg.Generator().get_state())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_draws_have_their_distribution(dtype, device):
    """Moments to five standard errors, and no value outside."""
    n, g = 40_000, mg.Generator(device).manual_seed(1)
    normal = mg.randn(n, generator=g, dtype=dtype, device=device).cpu().numpy()
    uniform = mg.rand(n, generator=g, dtype=dtype, device=device).cpu().numpy()
    whole = mg.randint(-2, 3, (n,), generator=g, device=device).cpu().numpy()
    assert normal.dtype == uniform.dtype == dtype
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((normal**power).mean() - moment) < 5 * math.sqrt(variance / n)
    assert np.abs(np.corrcoef(normal[: n // 2], normal[n // 2 :])[0, 1]) < 5 / math.sqrt(n / 2)
    assert uniform.min() >= 0 and uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 5 * math.sqrt(1 / 12 / n)
    counts = np.bincount(whole + 2)
    assert len(counts) == 5 and np.abs(counts - n / 5).max() < 5 * math.sqrt(n * 0.16)


def test_manual_seed_is_for_every_device(device):
    mg.rand(1, device=device)
    draws = []
    for _ in range(2):
        mg.manual_seed(5)
        draws.append((mg.rand(3, device=device).tolist(), mg.rand(3).tolist()))
    assert draws[0] == draws[1]


# ---------------------------------------------------------------- layers and losses


def test_dropout_keeps_as_many_as_it_should(device):
    x = mg.ones(100, 100, device=device)
    y = F.dropout(x, 0.25)
    np.testing.assert_allclose(np.unique(y.cpu().numpy()), [0.0, 4 / 3], rtol=1e-6)
    assert abs(y.mean().item() - 1) < 5 * math.sqrt(0.25 / 0.75 / 1e4)
    channels = F.dropout2d(mg.ones(20, 30, 2, 2, device=device), 0.5).mean((2, 3)).cpu().numpy()
    assert set(np.unique(channels)) == {0.0, 2.0}


def test_what_is_no_class_spoils_the_loss_where_one_cannot_look(device):
    scores = mg.randn(3, 4, device=device)
    for bad in ([0, 4, 1], [0, -1, 1]):
        target = mg.tensor(bad, device=device)
        if device == "cpu":
            with pytest.raises(ArgumentError, match="got class"):
                F.cross_entropy(scores, target)
        else:
            assert math.isnan(F.cross_entropy(scores, target).item())
    assert F.cross_entropy(scores, mg.tensor([0, -100, 3], device=device)).item() > 0
    rows, table = mg.tensor([1, 2, -1], device=device), mg.ones(2, 3, device=device)
    if device == "cpu":
        with pytest.raises(IndexError, match="got -1 to 2; expected 0 to 1"):
            F.embedding(rows, table)
    else:
        assert F.embedding(rows, table).isnan().tolist() == [[False] * 3, [True] * 3, [True] * 3]
    p = mg.tensor([0.5, 1.5], device=device)
    for pair in ((p, mg.zeros_like(p)), (mg.full_like(p, 0.5), p)):
        if device == "cpu":
            with pytest.raises(ArgumentError, match="expected probabilities"):
                F.binary_cross_entropy(*pair)
        else:
            assert math.isnan(F.binary_cross_entropy(*pair).item())


def test_clipping_waits_once_or_never(device):
    p = mg.ones(4, device=device).requires_grad_()
    (p * 3.0).sum().backward()
    strict.waits.clear()
    norm = clip_grad_norm_([p], 1.0, error_if_nonfinite=False)
    assert not strict.waits
    clip_grad_norm_([p], 1.0)
    assert len(strict.waits) == (device != "cpu") * bool(strict.ndarray in backend._modules)
    assert norm.item() == pytest.approx(6.0) and p.grad.norm().item() == pytest.approx(1.0)


DISTRIBUTIONS = {
    "Normal": lambda a, b: Normal(a, b),
    "Laplace": lambda a, b: Laplace(a, b),
    "Uniform": lambda a, b: Uniform(a - 3.0, a + 3.0),
    "Bernoulli": lambda a, b: Bernoulli(logits=a),
    "Categorical": lambda a, b: Categorical(logits=a),
    "Independent": lambda a, b: Independent(Normal(a, log_var=b), 1),
    "MultivariateNormal": lambda a, b: MultivariateNormal(
        a, covariance_matrix=mg.eye(3, device=a.device, dtype=a.dtype) * b[0, 0]
    ),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distributions(name, device):
    rng = np.random.default_rng(4)
    arrays = rng.standard_normal((2, 3)), rng.uniform(0.5, 1.5, (2, 3)), rng.uniform(0, 1, (2, 3))
    found = []
    for where in (device, "cpu"):
        a, b, at = (mg.tensor(x, device=where) for x in arrays)
        p, q = DISTRIBUTIONS[name](a, b), DISTRIBUTIONS[name](a * 0.5, b + 0.2)
        at = {"Bernoulli": (at > 0.5).double(), "Categorical": mg.tensor([2, 0]).to(where)}.get(
            name, at
        )
        drawn = p.sample((2,))
        assert drawn.device.type == where and mg.isfinite(p.log_prob(drawn)).all().item()
        parts = [p.log_prob(at), p.entropy(), *([] if name == "Uniform" else [kl_divergence(p, q)])]
        assert {x.device.type for x in parts} == {where}
        found.append([x.cpu().numpy() for x in parts])
    for x, y in zip(*found, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10)


# ---------------------------------------------------------------- training

OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
    "SGD, nesterov": lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    "RMSprop": lambda p: optim.RMSprop(p, 0.01, centered=True, momentum=0.5),
    "Adam": lambda p: optim.Adam(p, 0.01, weight_decay=0.1),
    "Adam, amsgrad": lambda p: optim.Adam(p, 0.01, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, 0.01),
}


def stepped(name, device):
    rng = np.random.default_rng(6)
    params = [mg.tensor(rng.standard_normal(s), device=device).requires_grad_()
              for s in ((3, 2), (2,), ())]  # fmt: skip
    optimizer = OPTIMIZERS[name](params)
    for _ in range(3):
        optimizer.zero_grad()
        sum((p.square() * 0.5).sum() for p in params).backward()
        optimizer.step()
    return params, optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimisers_step_there_as_here_and_take_their_state_along(name, device):
    (there, moved), (here, optimizer) = stepped(name, device), stepped(name, "cpu")
    for a, b in zip(there, here, strict=True):
        np.testing.assert_allclose(a.detach().cpu().numpy(), b.detach().numpy(), rtol=1e-12)
    again = OPTIMIZERS[name](here)
    again.load_state_dict(moved.state_dict())  # from the device, of parameters on the CPU
    moved.load_state_dict(optimizer.state_dict())
    for o, params in ((again, here), (moved, there), (optimizer, here)):
        o.zero_grad()
        sum((p.square() * 0.5).sum() for p in params).backward()
        o.step()
    assert all(np.isfinite(p.detach().cpu().numpy()).all() for p in (*here, *there))


class Setup:
    """A small network with every kind of randomness that training knows, on a device."""

    def __init__(self, device, seed=0):
        mg.manual_seed(seed)
        x = mg.randn(30, 4, generator=mg.Generator().manual_seed(1))
        data = TensorDataset(x.to(device), x.sin().sum(1, keepdim=True).to(device))
        self.loader = DataLoader(data, 8, shuffle=True)
        self.model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 1))
        self.model.to(device)
        self.optimizer = optim.Adam(self.model.parameters(), lr=1e-2)

    def fit(self, epochs, **options):
        loss = lambda model, x, y: F.mse_loss(model(x), y)
        return fit(self.model, loss, self.optimizer, self.loader, epochs, progress=False, **options)

    def weights(self):
        return [p.tolist() for p in self.model.parameters()]


def test_training_resumes_bit_for_bit(device, tmp_path):
    whole = Setup(device)
    whole.fit(4)
    Setup(device).fit(2, checkpoint=tmp_path / "a.npz")
    mg.rand(7, device=device)  # others draw in between
    after = Setup(device, seed=9)
    after.fit(4, checkpoint=tmp_path / "a.npz", resume=True)
    assert after.weights() == whole.weights()


def test_a_checkpoint_goes_on_elsewhere(device, tmp_path):
    for first, then in ((device, "cpu"), ("cpu", device)):
        start = Setup(first)
        start.fit(2, checkpoint=tmp_path / "a.npz")
        after = Setup(then, seed=9)
        records = after.fit(3, checkpoint=tmp_path / "a.npz", resume=True)
        assert [r["epoch"] for r in records] == [1, 2, 3]
        assert {p.device.type for p in after.model.parameters()} == {then}
    mg.save(after.model.state_dict(), tmp_path / "b.npz")
    loaded = mg.load(tmp_path / "b.npz", map_location=device)
    assert {x.device.type for x in loaded.values()} == {device}
    start.model.load_state_dict(loaded)
    assert start.weights() == after.weights()


def test_what_is_not_finite_is_named_there_too(device):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)).to(device)
    optimizer = optim.SGD(model.parameters(), 0.1)
    before = [p.tolist() for p in model.parameters()]
    x = mg.tensor([[1.0, -4.0]], device=device)
    with np.errstate(invalid="ignore"):
        step = Descent(model, lambda m, x: (m(x) * 0.0 - 1.0).log().sum(), optimizer).step
        with pytest.raises(NonFiniteError, match=r"loss: got nan; expected a number. log: output"):
            step(x)
        root = lambda m, x: ((m(x) - m(x)).sqrt()).sum()
        with np.errstate(divide="ignore"), pytest.raises(
            NonFiniteError, match=r"learning rate 0.1: gradient of parameter 0.weight, \(2, 2\)"
        ):  # fmt: skip
            Descent(model, root, optimizer).step(x)
    assert before == [p.tolist() for p in model.parameters()]


def test_images_are_kept_and_shuffled_there(device):
    pixels = np.random.default_rng(0).integers(0, 256, (10, 4, 4)).astype(np.uint8)
    data = ImageDataset(pixels, np.arange(10), device=device)
    seen = []
    strict.waits.clear()
    for x, label in DataLoader(data, 4, shuffle=True):
        assert x.device.type == label.device.type == device and x.dtype == mg.float32
        seen.append((x, label))
    assert not strict.waits
    labels = [n for _, label in seen for n in label.tolist()]
    assert sorted(labels) == list(range(10)) != labels
    images = np.concatenate([x.cpu().numpy() for x, _ in seen])
    np.testing.assert_allclose(images[:, 0] * 255, pixels[labels], rtol=1e-6)
