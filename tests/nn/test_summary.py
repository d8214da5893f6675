"""The table: its numbers by hand and by PyTorch, and that nothing is left changed."""

from fractions import Fraction

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.backend import default_generator
from minigrad.errors import ArgumentError, DTypeError, GraphError, ShapeError
from minigrad.nn.summary import summary
from minigrad.ops.conv.geometry import ConvGeometry


def column(module, shape, field):
    return [getattr(layer, field) for layer in summary(module, shape).layers]


# ---------------------------------------------------------------- the numbers


class VAE(nn.Module):
    """Deck 000's exercise 3.3 (course: V9): 28 → 13 → 5 → code → 5 → 13 → 28."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 32, 4, stride=2), nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        self.fc1, self.fc2 = nn.Linear(1600, 20), nn.Linear(1600, 20)
        self.fc3 = nn.Linear(20, 1600)
        self.decoder = nn.Sequential(
            nn.Unflatten(1, (64, 5, 5)), nn.ConvTranspose2d(64, 32, 5, stride=2), nn.ReLU(),
            nn.ConvTranspose2d(32, 1, 4, stride=2), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x):
        h = self.encoder(x)
        mean, log_var = self.fc1(h), self.fc2(h)
        z = mean + mg.randn_like(mean) * (0.5 * log_var).exp()
        return self.decoder(self.fc3(z)), mean, log_var


VAE_TABLE = """\
layer      type             output        rule  leftover  uneven  field  jump  parameters  multiply-adds   memory
encoder.0  Conv2d           (32, 13, 13)     5         0       -      4     2         544         86,528  21.6 kB
encoder.1  ReLU             (32, 13, 13)     -         -       -      4     2           0              0  21.6 kB
encoder.2  Conv2d           (64, 5, 5)       5         1       -     10     4      32,832        819,200   6.4 kB
encoder.3  ReLU             (64, 5, 5)       -         -       -     10     4           0              0   6.4 kB
encoder.4  Flatten          (1600)           -         -       -      -     -           0              0   6.4 kB
fc1        Linear           (20)             -         -       -      -     -      32,020         32,000     80 B
fc2        Linear           (20)             -         -       -      -     -      32,020         32,000     80 B
fc3        Linear           (1600)           -         -       -      -     -      33,600         32,000   6.4 kB
decoder.0  Unflatten        (64, 5, 5)       -         -       -      -     -           0              0      0 B
decoder.1  ConvTranspose2d  (32, 13, 13)    12         0    2.25      -     -      51,232      1,280,000  21.6 kB
decoder.2  ReLU             (32, 13, 13)     -         -       -      -     -           0              0  21.6 kB
decoder.3  ConvTranspose2d  (1, 28, 28)     12         0       1      -     -         513         86,528   3.1 kB
decoder.4  Sigmoid          (1, 28, 28)      -         -       -      -     -           0              0   3.1 kB
parameters     182,761, 731.0 kB
multiply-adds  2,368,256 per example
activations    118.6 kB per example"""  # noqa: E501


def test_the_decks_vae():
    assert repr(summary(VAE(), (1, 28, 28))) == VAE_TABLE
    assert sum(p.numel() for p in VAE().parameters()) == 182_761
    layer = summary(VAE(), (1, 28, 28)).layers[2]
    assert layer == (
        "encoder.2", "Conv2d", (64, 5, 5), 5, (1, 1), None, (10, 10), (4, 4),
        64 * 32 * 4 * 4 + 64, 5 * 5 * 64 * 32 * 4 * 4, 4 * 64 * 5 * 5,
    )  # fmt: skip


def test_the_columns_without_an_entry_are_not_printed():
    dense = nn.Sequential(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 784))
    dense[0].requires_grad_(False)
    text = """\
layer  type    output  parameters  multiply-adds  memory
0      Linear  (32)        25,120         25,088   128 B
1      ReLU    (32)             0              0   128 B
2      Linear  (784)       25,872         25,088  3.1 kB
parameters     50,992, 204.0 kB; 25,120 of them frozen
multiply-adds  50,176 per example
activations    3.4 kB per example"""
    found = summary(dense, (784,))
    assert str(found) == text
    assert (found.parameters, found.trainable) == (50_992, 25_872)
    assert (found.activation_memory, found.parameter_memory) == (4 * (32 + 32 + 784), 4 * 50_992)


def test_bytes_are_shown_in_units():
    for features, text in ((1, "4 B"), (249, "996 B"), (250, "1.0 kB"), (250_000, "1.0 MB")):
        assert f"parameters     {features}, {text}" in repr(
            summary(nn.Linear(features, 1, bias=False), (features,))
        ).replace(",000", "000")


def test_products_are_those_that_pytorch_counts():
    """Half of what torch.utils.flop_counter.FlopCounterMode counts in PyTorch 2.13, per layer."""
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 4, stride=2, padding=1, groups=4), nn.BatchNorm2d(12),
        nn.ConvTranspose2d(12, 6, 5, stride=2, padding=2, output_padding=1, groups=2),
        nn.Conv2d(6, 4, (1, 3), dilation=(1, 2), bias=False),
        nn.Flatten(), nn.Linear(4 * 8 * 6, 10),
    )  # fmt: skip
    flops = [138240, 0, 0, 15360, 0, 36000, 6912, 0, 3840]
    found = summary(net, (3, 16, 20))
    assert [2 * layer.multiply_adds for layer in found.layers] == flops
    assert 2 * found.multiply_adds == sum(flops)
    assert [x.parameters for x in found.layers] == [224, 0, 0, 396, 24, 906, 72, 0, 1930]
    assert [x.output_shape for x in found.layers] == [
        (8, 16, 20), (8, 16, 20), (8, 8, 10), (12, 4, 5), (12, 4, 5), (6, 8, 10), (4, 8, 6),
        (192,), (10,),
    ]  # fmt: skip
    assert [x.relationship for x in found.layers] == [3, None, 7, 6, None, 14, 15, None, None]
    assert found.layers[5].leftover == (1, 1) and found.layers[5].unevenness == 2.25
    assert found.layers[6].receptive_field == (18, 26)
    assert found.layers[6].jump == (Fraction(2), Fraction(2))


def test_products_between_the_layers_are_in_the_total():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.query = nn.Linear(6, 4)

        def forward(self, x):
            q = self.query(x)
            return q @ q.transpose(1, 2)

    found = summary(Attention(), (5, 6))
    assert found.layers[0].multiply_adds == 5 * 6 * 4
    assert found.multiply_adds == 5 * 6 * 4 + 5 * 4 * 5


LAYERS = [  # layer, image, relationship, leftover
    (nn.Conv2d(1, 1, 3), 4, 1, 0),
    (nn.Conv2d(1, 1, 4, padding=2), 5, 2, 0),
    (nn.Conv2d(1, 1, 3, padding="same"), 5, 3, 0),
    (nn.Conv2d(1, 1, 4, padding="same"), 5, 3, 0),
    (nn.Conv2d(1, 1, 3, padding=2), 5, 4, 0),
    (nn.Conv2d(1, 1, 3, 2), 5, 5, 0),
    (nn.Conv2d(1, 1, 3, 2, 1), 6, 6, 1),
    (nn.Conv2d(1, 1, 3, 3), 11, 5, 2),
    (nn.MaxPool2d(2), 28, 7, 0),
    (nn.MaxPool2d(2), 5, 7, 1),
    (nn.MaxPool2d(2, ceil_mode=True), 5, 7, 0),
    (nn.AvgPool2d(3, 2, 1), 6, 7, 1),
    (nn.ConvTranspose2d(1, 1, 3), 2, 8, 0),
    (nn.ConvTranspose2d(1, 1, 4, padding=2), 6, 9, 0),
    (nn.ConvTranspose2d(1, 1, 3, padding=1), 5, 10, 0),
    (nn.ConvTranspose2d(1, 1, 3, padding=2), 7, 11, 0),
    (nn.ConvTranspose2d(1, 1, 3, 2), 2, 12, 0),
    (nn.ConvTranspose2d(1, 1, 3, 2, 1), 3, 13, 0),
    (nn.ConvTranspose2d(1, 1, 3, 2, 1, 1), 3, 14, 1),
    (nn.Conv2d(1, 1, 3, dilation=2), 7, 15, 0),
    (nn.Upsample(scale_factor=2), 7, None, None),
    (nn.ReLU(), 7, None, None),
]


@pytest.mark.parametrize("layer, size, rule, leftover", LAYERS, ids=[repr(x[0]) for x in LAYERS])
def test_relationships_and_leftovers(layer, size, rule, leftover):
    (found,) = summary(layer, (1, size, size)).layers
    assert found.relationship == rule
    assert found.leftover == (None if leftover is None else (leftover, leftover))
    assert found.name == ""


def test_a_leftover_is_what_the_way_back_must_be_told():
    for i in range(7, 15):
        down = nn.Conv2d(2, 1, (4, 3), stride=(2, 3), padding=1)
        (found,) = summary(down, (2, i, i + 2)).layers
        up = ConvGeometry.transposed(
            found.output_shape[1:], (4, 3), (2, 3), 1, output_padding=found.leftover
        )
        assert up.input_size == (i, i + 2)


def test_memory():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Identity(), nn.Dropout(0.5), nn.ReLU(), nn.Flatten())
    assert column(net, (1, 3, 5), "memory")[:4] == [120, 0, 0, 120]  # itself is no new memory
    assert column(net.double(), (1, 3, 5), "memory")[:4] == [240, 0, 0, 240]
    assert summary(net, (1, 3, 5)).parameter_memory == 8 * 4
    assert column(nn.Sequential(nn.Flatten(), nn.Unflatten(1, (3, 5))), (1, 3, 5), "memory") == [
        0, 0,
    ]  # fmt: skip


def test_what_is_shared_counts_once_and_what_is_called_twice_has_two_rows():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
            self.b.weight = self.a.weight
            self.again = self.a

        def forward(self, x):
            return self.b(self.again(self.a(x)))

    found = summary(Tied(), (3,))
    assert [x.name for x in found.layers] == ["a", "a", "b"]
    assert [x.parameters for x in found.layers] == [12, 0, 3]
    assert [x.multiply_adds for x in found.layers] == [9, 9, 9]
    assert found.parameters == 15


def test_a_layer_of_ones_own():
    """Leaves are known by what they compute, not by their class."""

    class Equalised(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(mg.randn(4, 2, 3, 3))

        def forward(self, x):
            y = nn.functional.conv2d(x, self.weight * 0.1, stride=2)
            return y, y.mean()

    (found,) = summary(Equalised(), (2, 8, 8)).layers
    assert found.output_shape == ((4, 3, 3), ())
    assert (found.relationship, found.leftover, found.multiply_adds) == (5, (1, 1), 9 * 4 * 2 * 9)
    assert found.receptive_field == (3, 3)


def test_pixels_shuffled_in_more_axes():
    assert column(nn.PixelShuffle(2), (3, 4, 5, 6), "output_shape") == [(3, 1, 10, 12)]


# ---------------------------------------------------------------- inputs


def test_several_inputs():
    class Join(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(7, 2)

        def forward(self, x, y, scale):
            assert scale.shape == (1,)
            return self.fc(mg.cat([x.flatten(1), y], 1) * scale)

    assert column(Join(), [(1, 2, 2), [3], ()], "output_shape") == [(2,)]
    assert column(nn.Linear(3, 2), [3], "output_shape") == [(2,)]  # a list of sizes is one shape
    assert column(nn.Linear(3, 2), (np.int64(3),), "output_shape") == [(2,)]


def test_inputs_are_of_the_modules_type_and_have_a_batch_axis():
    seen = []

    class Look(nn.Module):
        def forward(self, x):
            seen.append((x.shape, x.dtype, x.tolist()))
            return x

    summary(nn.Sequential(Look(), nn.Linear(2, 1)), (2,))
    summary(nn.Sequential(Look(), nn.Linear(2, 1).double()), (2,))
    summary(Look(), (2,))
    types = [mg.float32, mg.float64, mg.float32]
    assert seen == [((1, 2), dtype, [[0.0, 0.0]]) for dtype in types]


@pytest.mark.parametrize("wrong", [3, None, (0,), (1.0, 2), (True,), "12", [(1, 2), 3], [(1, -1)]])
def test_wrong_input_shapes(wrong):
    with pytest.raises(ArgumentError, match="summary: input_shape: got"):
        summary(nn.Identity(), wrong)


def test_what_is_no_module():
    with pytest.raises(ArgumentError, match="summary: module: got function; expected an nn.Module"):
        summary(lambda x: x, (3,))


def test_zeros_divided_by_zeros_warn_of_nothing():
    class Share(nn.Module):
        def forward(self, x):
            return (x / x.sum()).log()

    assert column(Share(), (4,), "output_shape") == [(4,)]


# ---------------------------------------------------------------- errors say where


def test_an_error_has_the_name_of_the_layer():
    net = nn.Sequential(nn.Flatten(), nn.Sequential(nn.ReLU(), nn.Linear(5, 2)))
    with pytest.raises(ShapeError, match=r"^summary: at 1.1 \(Linear\): linear: weight expects 5"):
        summary(net, (2, 2))
    with pytest.raises(ShapeError, match=r"^summary: at Linear: linear: weight expects 5") as error:
        summary(net[1][1], (2, 2))
    assert type(error.value.__cause__) is ShapeError


def test_an_error_between_the_layers_has_the_name_of_the_module():
    class Cast(nn.Module):
        def forward(self, x):
            return x @ x.double()

    net = nn.Sequential(nn.Linear(4, 4), Cast())
    with pytest.raises(DTypeError, match=r"^summary: at 1 \(Cast\): matmul: got float32 and"):
        summary(net, (4, 4))


def test_other_errors_are_left_alone():
    class Odd(Exception):
        def __init__(self, a, b):
            super().__init__(a, b)

    class Raise(nn.Module):
        def forward(self, x):
            raise Odd(1, 2)

    with pytest.raises(Odd) as error:
        summary(nn.Sequential(Raise()), (4,))
    assert error.value.args == (1, 2)


# ---------------------------------------------------------------- nothing is left changed


class Restless(nn.Module):
    """It draws, counts, notes, and writes into its buffers, in evaluation too; and may fail."""

    def __init__(self, fails=False):
        super().__init__()
        self.fails = fails
        self.own = mg.Generator().manual_seed(3)
        self.norm = nn.BatchNorm1d(3)
        self.dropout = nn.Dropout(0.5)
        self.calls = 0
        self.register_buffer("written", mg.zeros(2))
        self.register_buffer("replaced", mg.tensor(float("nan")))
        self.register_buffer("refilled", mg.zeros(2))
        self.norm.eval()
        self.dropout.forward = self.dropout.forward  # one's own, on the instance

    def forward(self, x):
        self.calls += 1
        self.noted = x
        with mg.no_grad():
            self.written.add_(1.0)
        self.replaced = self.replaced + 1.0
        self.refilled.data = mg.ones(2)
        x = x + mg.randn(3) + mg.randn(3, generator=self.own)
        y = self.dropout(self.norm(x))
        if self.fails:
            raise RuntimeError("on purpose")
        return y


def state(module):
    """All that can be told of it."""
    return [
        [(m, {k: x for k, x in vars(m).items() if not callable(x)}) for m in module.modules()],
        [list(vars(m)) for m in module.modules()],
        [m.training for m in module.modules()],
        [m.forward for m in module.modules()],
        [id(x.array) for x in (*module.parameters(), *module.buffers())],
        [repr(x) for x in (*module.parameters(), *module.buffers())],
        [x.grad for x in module.parameters()],
        [g.get_state().tobytes() for g in (default_generator(), module.own)],
    ]


def same(a, b):
    """Equal, tensors by identity."""
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a is b or (not isinstance(a, (mg.Tensor, nn.Module)) and bool(a == b))


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_changed(fails):
    module = Restless(fails)
    before = state(module)
    if fails:
        with pytest.raises(RuntimeError, match="on purpose"):
            summary(module, (3,))
    else:
        assert [x.name for x in summary(module, (3,)).layers] == ["norm", "dropout"]
    assert same(before, state(module))
    assert module.written.tolist() == [0.0, 0.0] and module.calls == 0
    assert [m.training for m in module.modules()] == [True, False, True]
    if not fails:
        module(mg.zeros(1, 3))  # and `state` would have seen it
        assert not same(before, state(module))


def test_graphs_from_before_are_still_good():
    module = Restless().eval()
    y = module(mg.zeros(2, 3)).sum()
    summary(module, (3,))
    y.backward()
    assert module.norm.weight.grad is not None


def test_the_graph_is_recorded_though_the_caller_does_not():
    with mg.no_grad():
        found = summary(nn.Sequential(nn.Conv2d(1, 1, 3)), (1, 5, 5))
        assert not mg.is_grad_enabled()
    assert found.multiply_adds == 81


def test_a_frozen_module_is_known():
    assert summary(nn.Conv2d(1, 1, 3).requires_grad_(False), (1, 5, 5)).multiply_adds == 81


# ---------------------------------------------------------------- what cannot be known


def test_without_a_graph_products_are_unknown():
    class Features(nn.Module):
        def __init__(self):
            super().__init__()
            self.features, self.head = nn.Linear(4, 3), nn.Linear(3, 2)

        def forward(self, x):
            with mg.no_grad():
                h = self.features(x)
            return self.head(h)

    found = summary(Features(), (4,))
    assert [x.multiply_adds for x in found.layers] == [None, 6]
    assert found.multiply_adds is None
    assert "multiply-adds  - per example" in repr(found)
    assert [x.parameters for x in found.layers] == [15, 8]


def test_a_forward_that_differentiates():
    """The sweep frees the graph; with create_graph it is kept."""

    class Score(nn.Module):
        def __init__(self, keep):
            super().__init__()
            self.energy = nn.Linear(4, 1)
            self.keep = keep

        def forward(self, x):
            e = self.energy(x).square().sum()
            return mg.autograd.grad(e, x, create_graph=self.keep)[0]

    assert column(Score(keep=False), (4,), "multiply_adds") == [None]
    found = summary(Score(keep=True), (4,))
    assert found.layers[0].multiply_adds == 4
    assert column(Score(keep=True), (4,), "name") == ["energy"]


def test_an_error_of_the_graph_has_a_name_too():
    class Backwards(nn.Module):
        def forward(self, x):
            return mg.autograd.grad(x.sum(), x.detach())

    with pytest.raises(GraphError, match=r"^summary: at Backwards: grad: input 0 does not require"):
        summary(Backwards(), (4,))
