"""Initial values: the distributions, fans and gains of PyTorch's `nn.init`."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import ArgumentError, ShapeError
from minigrad.nn import init

DENSE, CONV = (300, 200), (30, 20, 5, 4)  # (out, in), (out, in, kh, kw)
DENSE_FANS, CONV_FANS = (200, 300), (400, 600)


def seeded(seed=0):
    return mg.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    "name, gain, param",
    [
        ("linear", 1, None),
        ("conv2d", 1, None),
        ("conv_transpose2d", 1, None),
        ("sigmoid", 1, None),
        ("tanh", 5 / 3, None),
        ("relu", math.sqrt(2), None),
        ("leaky_relu", 1.4141428569978354, None),
        ("leaky_relu", math.sqrt(2 / 1.04), 0.2),
        ("selu", 0.75, None),
    ],
)
def test_gains_are_pytorchs(name, gain, param):
    assert init.calculate_gain(name, param) == pytest.approx(gain, rel=1e-15)


# The bound of the uniform ones, the standard deviation of the normal ones.
SCALED = [
    (init.xavier_uniform_, {}, lambda i, o: math.sqrt(6 / (i + o))),
    (init.xavier_normal_, {"gain": 2.0}, lambda i, o: 2 * math.sqrt(2 / (i + o))),
    (init.kaiming_uniform_, {}, lambda i, o: math.sqrt(6 / i)),
    (init.kaiming_uniform_, {"a": math.sqrt(5)}, lambda i, o: math.sqrt(1 / i)),
    (init.kaiming_uniform_, {"mode": "fan_out"}, lambda i, o: math.sqrt(6 / o)),
    (init.kaiming_normal_, {"nonlinearity": "relu"}, lambda i, o: math.sqrt(2 / i)),
    (init.kaiming_normal_, {"nonlinearity": "linear"}, lambda i, o: math.sqrt(1 / i)),
]


@pytest.mark.parametrize("fill, options, scale", SCALED)
@pytest.mark.parametrize("shape, fans", [(DENSE, DENSE_FANS), (CONV, CONV_FANS)])
def test_variance_follows_the_fan(fill, options, scale, shape, fans):
    w = mg.zeros(*shape, requires_grad=True)
    assert fill(w, generator=seeded(), **options) is w
    assert w.is_leaf and w.requires_grad
    draws, size = w.detach().numpy(), scale(*fans)
    if "uniform" in fill.__name__:
        assert 0.99 * size < np.abs(draws).max() <= size * (1 + 1e-6)
        size /= math.sqrt(3)
    assert draws.std() == pytest.approx(size, rel=0.03)
    assert abs(draws.mean()) < 5 * size / math.sqrt(draws.size)
    assert draws.tolist() == fill(mg.zeros(*shape), generator=seeded(), **options).tolist()


def test_fills():
    w = mg.zeros(2, 3, dtype=mg.float64, requires_grad=True)
    assert init.constant_(w, 2.5).tolist() == [[2.5] * 3] * 2
    assert init.ones_(w).tolist() == [[1] * 3] * 2
    assert init.zeros_(w).tolist() == [[0] * 3] * 2
    assert init.eye_(w).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert w.dtype == mg.float64 and w.requires_grad and w.is_leaf


def test_uniform_and_normal():
    w = init.uniform_(mg.zeros(10_000), -3, 1, seeded()).numpy()
    assert w.min() >= -3 and w.max() < 1
    assert w.mean() == pytest.approx(-1, abs=0.06)
    w = init.normal_(mg.zeros(10_000), 2, 0.5, seeded()).numpy()
    assert (w.mean(), w.std()) == (pytest.approx(2, abs=0.03), pytest.approx(0.5, abs=0.02))


def test_truncated_normal_stays_inside_and_is_normal_there():
    w = init.trunc_normal_(mg.zeros(20_000), 1.0, 2.0, -1.0, 2.0, seeded()).numpy()
    assert w.min() >= -1 and w.max() <= 2
    # E[z | -1 < z < ½] for z ~ N(0, 1) is (φ(-1) - φ(½)) / (Φ(½) - Φ(-1)) = -0.20638
    assert (w.mean() - 1) / 2 == pytest.approx(-0.20638, abs=0.01)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (6, 2, 2, 2)])
def test_orthogonal(shape):
    w = init.orthogonal_(mg.zeros(*shape, dtype=mg.float64), gain=2.0, generator=seeded()).numpy()
    rows = w.reshape(shape[0], -1)
    gram = rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-12)


def test_nothing_to_fill_is_fine():
    assert init.orthogonal_(mg.zeros(0, 3)).shape == (0, 3)
    assert init.uniform_(mg.zeros(0)).shape == (0,)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: init.xavier_uniform_(mg.zeros(3)), ShapeError, r"got shape \(3,\)"),
        (lambda: init.kaiming_normal_(mg.zeros(())), ShapeError, r"got shape \(\)"),
        (lambda: init.orthogonal_(mg.zeros(3)), ShapeError, "at least two axes"),
        (lambda: init.eye_(mg.zeros(3)), ShapeError, "expected two axes"),
        (lambda: init.kaiming_normal_(mg.zeros(2, 2), mode="in"), ArgumentError, "got 'in'"),
        (lambda: init.calculate_gain("swish"), ArgumentError, "got 'swish'; expected one of"),
        (lambda: init.trunc_normal_(mg.zeros(2), a=3, b=9), ArgumentError, "within 2 std"),
        (lambda: init.trunc_normal_(mg.zeros(2), a=1, b=1), ArgumentError, "a < b"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
