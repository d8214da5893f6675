"""Spectral normalisation: PyTorch's numbers, derivatives of it, and a bound that holds."""

import copy

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.autograd import grad
from minigrad.errors import ArgumentError, CheckpointError
from minigrad.gradcheck import check_grads
from minigrad.nn.spectral_norm import remove_spectral_norm, spectral_norm

# A layer, the shape of x, and by PyTorch 2.13 in float64, of `seeded` after three calls y = m(x):
#   loss = (y**2).sum()
#   g, gx = torch.autograd.grad(loss, [m.weight_orig, x], create_graph=True)
#   gg, = torch.autograd.grad((g**2).sum() + (gx**2).sum(), m.weight_orig)
#   loss, g.norm(), gx.norm(), gg.norm(), (m.weight_u**3).sum(), m.eval()(x).pow(3).sum()
TWINS = {
    "linear": (
        lambda: spectral_norm(nn.Linear(5, 4)), (3, 5),
        (8.395834743879503, 6.517531534582219, 4.727285127381292, 84.34137936997357,
         -0.649413987139392, -14.221021702817104),
    ),
    "two rounds, by columns": (
        lambda: spectral_norm(nn.Linear(5, 4), n_power_iterations=2, dim=1), (3, 5),
        (8.25357024002314, 6.373281826998373, 4.633856117010386, 80.35152195864826,
         -0.6345552474156276, -13.826542821243354),
    ),
    "convolution": (
        lambda: spectral_norm(nn.Conv2d(2, 3, 3, stride=2)), (2, 2, 7, 7),
        (33.10990199112771, 14.84489550115634, 10.241675438272734, 292.6830245065746,
         -0.9587425258390149, 32.40785409720436),
    ),
    "transposed": (
        lambda: spectral_norm(nn.ConvTranspose2d(2, 3, 4, stride=2)), (2, 2, 3, 3),
        (94.20504936178023, 14.02009687220518, 16.139975137485933, 331.04169435788924,
         0.22653812863020648, 52.909353462062896),
    ),
}  # fmt: skip


def seeded(make, shape):
    """The layer in float64, its state drawn in order from N(0, 1), u and v of length 1; and x."""
    layer, rng = make().double(), np.random.default_rng(0)
    with mg.no_grad():
        for name, value in layer.state_dict().items():
            drawn = rng.standard_normal(value.shape)
            unit = name in ("weight_u", "weight_v")
            value.copy_(mg.tensor(drawn / np.linalg.norm(drawn) if unit else drawn))
    return layer, mg.tensor(rng.standard_normal(shape), requires_grad=True)


@pytest.mark.parametrize("make, shape, expected", TWINS.values(), ids=TWINS)
def test_it_is_pytorchs(make, shape, expected):
    layer, x = seeded(make, shape)
    for _ in range(3):
        y = layer(x)
    loss = y.square().sum()
    g, gx = grad(loss, [layer.weight_orig, x], create_graph=True)
    (gg,) = grad(g.square().sum() + gx.square().sum(), layer.weight_orig)
    found = [loss.item(), g.norm().item(), gx.norm().item(), gg.norm().item()]
    found += [(layer.weight_u**3).sum().item(), (layer.eval()(x) ** 3).sum().item()]
    assert found == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("make, shape", [case[:2] for case in TWINS.values()], ids=TWINS)
def test_its_derivatives_are_right(make, shape):
    """To order 2, in W, bias and x; in evaluation mode u and v stay."""
    layer, x = seeded(make, shape)
    layer.eval()
    kept = vars(layer)["weight_orig"], vars(layer)["bias"]

    def of(weight, bias, x):
        vars(layer)["weight_orig"], vars(layer)["bias"] = weight, bias
        try:
            return layer(x)
        finally:
            vars(layer)["weight_orig"], vars(layer)["bias"] = kept

    check_grads(of, *(p.detach().clone().requires_grad_() for p in kept), x, order=2)


def test_names_are_pytorchs():
    """list(torch.nn.utils.spectral_norm(torch.nn.Linear(5, 4)).state_dict())"""
    layer = spectral_norm(nn.Linear(5, 4))
    assert list(layer.state_dict()) == ["bias", "weight_orig", "weight_u", "weight_v"]
    assert [name for name, _ in layer.named_parameters()] == ["bias", "weight_orig"]
    assert [name for name, _ in layer.named_buffers()] == ["weight_u", "weight_v"]
    assert isinstance(layer, nn.Linear)
    assert repr(layer) == "Linear(in_features=5, out_features=4, bias=True)"
    other = spectral_norm(nn.ConvTranspose2d(2, 3, (4, 5)))
    assert other.weight_u.shape == (3,) and other.weight_v.shape == (2 * 4 * 5,)


def test_the_largest_singular_value_becomes_1():
    """After enough calls in training, and the other values keep their proportions."""
    mg.manual_seed(0)
    layer = spectral_norm(nn.Linear(6, 4).double())
    before = np.linalg.svd(layer.weight_orig.detach().numpy(), compute_uv=False)
    for _ in range(200):
        layer(mg.zeros(1, 6, dtype=mg.float64))
    after = np.linalg.svd(layer.weight.detach().numpy(), compute_uv=False)
    np.testing.assert_allclose(after, before / before[0], rtol=1e-10)


def test_u_and_v_move_in_training_alone():
    layer = spectral_norm(nn.Linear(6, 4))
    u = layer.weight_u.numpy().copy()
    layer.eval()(mg.zeros(1, 6))
    assert layer.weight.shape == (4, 6)
    assert (layer.weight_u.numpy() == u).all()
    layer.train()(mg.zeros(1, 6))
    assert (layer.weight_u.numpy() != u).any()
    assert np.linalg.norm(layer.weight_u.numpy()) == pytest.approx(1.0, rel=1e-6)


def test_the_norm_follows_learning():
    """However the optimiser enlarges W, W / σ keeps its norm; two calls before one backward."""
    mg.manual_seed(0)
    layer = spectral_norm(nn.Linear(3, 3))
    optimizer = optim.SGD(layer.parameters(), lr=1.0)
    x = mg.randn(8, 3)
    for _ in range(300):
        optimizer.zero_grad()
        (layer(x).sum() - layer(-2.0 * x)[:, 0].sum()).backward()
        optimizer.step()
    largest = lambda w: np.linalg.norm(w.detach().numpy(), 2)
    assert largest(layer.weight_orig) > 20 and largest(layer.weight) == pytest.approx(1, rel=1e-2)


def test_a_network_of_such_layers_is_1_lipschitz():
    mg.manual_seed(0)
    layers = [spectral_norm(nn.Linear(*sizes).double()) for sizes in ((4, 16), (16, 16), (16, 1))]
    network = nn.Sequential(layers[0], nn.LeakyReLU(0.2), layers[1], nn.ReLU(), layers[2])
    for _ in range(200):
        network(mg.zeros(1, 4, dtype=mg.float64))
    x, y = (mg.randn(500, 4, dtype=mg.float64).numpy() for _ in range(2))
    apart = (network.eval()(mg.tensor(x)) - network(mg.tensor(y))).detach().numpy()[:, 0]
    assert (np.abs(apart) <= np.linalg.norm(x - y, axis=1) * (1 + 1e-6)).all()


def test_it_can_be_copied_saved_and_moved():
    layer = spectral_norm(nn.Conv2d(2, 3, 3))
    x = mg.rand(1, 2, 5, 5)
    layer(x).sum().backward()
    twin, other = copy.deepcopy(layer), spectral_norm(nn.Conv2d(2, 3, 3))
    other.load_state_dict(layer.state_dict())
    expected = layer.eval()(x)
    for same in (twin, other):
        assert (same.eval()(x) == expected).all() and same.weight_u is not layer.weight_u
    with pytest.raises(CheckpointError, match="missing key 'weight_orig'"):
        layer.load_state_dict(nn.Conv2d(2, 3, 3).state_dict())
    assert layer.double()(x.double()).dtype == layer.weight_u.dtype == mg.float64


def test_it_can_be_taken_away():
    layer = spectral_norm(nn.Linear(4, 3))
    layer(mg.zeros(1, 4))
    weight, before = layer.weight.detach(), layer.eval()(mg.ones(1, 4))
    assert remove_spectral_norm(layer) is layer
    assert type(layer) is nn.Linear and isinstance(layer.weight, nn.Parameter)
    assert list(layer.state_dict()) == ["bias", "weight"]
    assert (layer.weight == weight).all() and (layer(mg.ones(1, 4)) == before).all()
    spectral_norm(layer)  # and put back


def test_another_parameter_can_be_normalised():
    """By name: its buffers are named after it, and the module uses it as before."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel = nn.Parameter(2.0 * mg.eye(2))

        def forward(self, x):
            return x @ self.kernel

    module = spectral_norm(Twice(), "kernel")
    assert list(module.state_dict()) == ["kernel_orig", "kernel_u", "kernel_v"]
    module(mg.ones(1, 2))
    np.testing.assert_allclose(module(mg.ones(1, 2)).detach().numpy(), [[1.0, 1.0]], rtol=1e-6)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: spectral_norm(nn.ReLU()), "name: got 'weight' of ReLU, no parameter; expected"),
        (lambda: spectral_norm(nn.Linear(2, 2), "w"), "got 'w' of Linear, no parameter"),
        (lambda: spectral_norm(nn.Linear(2, 2), "bias"), r"of Linear, of shape \(2,\); expected"),
        (lambda: spectral_norm(nn.Linear(2, 2), n_power_iterations=0), "n_power_iterations: got 0"),
        (lambda: spectral_norm(nn.Linear(2, 2), dim=2), r"dim: got 2; .* 'weight', \(2, 2\)"),
        (lambda: spectral_norm(spectral_norm(nn.Linear(2, 2))), "a Linear that has it already"),
        (lambda: remove_spectral_norm(nn.Linear(2, 2)), "'weight' of Linear, which has no"),
        (lambda: remove_spectral_norm(spectral_norm(nn.Linear(2, 2)), "bias"), "got 'bias' of"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_a_refused_module_stays_as_it_was():
    layer = nn.Linear(2, 2)
    with pytest.raises(ArgumentError):
        spectral_norm(layer, n_power_iterations=0)
    assert type(layer) is nn.Linear and list(layer.state_dict()) == ["weight", "bias"]
