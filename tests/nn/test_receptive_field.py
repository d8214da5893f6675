"""Receptive fields, against the derivatives that are not zero."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.nn import functional as F
from minigrad.nn.summary import summary


def conv(k, s=1, p=0, d=1):
    return nn.Conv2d(1, 1, k, stride=s, padding=p, dilation=d)


def back(k, s=1, p=0, a=0, d=1):
    return nn.ConvTranspose2d(1, 1, k, stride=s, padding=p, output_padding=a, dilation=d)


def last(module, shape):
    return summary(module, shape).layers[-1]


def seen(module, size):
    """The most rows of an image that a row of the output has a derivative in; columns likewise.

    With positive weights and pixels nothing cancels, and no ReLU is off.
    """
    module = module.double()
    with mg.no_grad():
        for p in module.parameters():
            p.fill_(0.5)
    x = Tensor(np.ones((1, 1, *size)), requires_grad=True)
    y = module(x)
    extents = []
    for axis in (0, 1):
        widest = 0
        for n in range(y.shape[2 + axis]):
            line = y[0, 0, n] if axis == 0 else y[0, 0, :, n]
            (g,) = mg.autograd.grad(line.sum(), x, retain_graph=True)
            places = np.flatnonzero(g.numpy()[0, 0].any(1 - axis))
            widest = max(widest, int(np.ptp(places)) + 1) if len(places) else widest
        extents.append(widest)
    return tuple(extents)


class Residual(nn.Module):
    """x + f(x), or g(x) + f(x), with ReLUs that are no modules."""

    def __init__(self, f, g=None):
        super().__init__()
        self.f = nn.ModuleList(f)
        self.g = g

    def forward(self, x):
        h = x
        for layer in self.f:
            h = layer(F.relu(h))
        return F.relu(h + (x if self.g is None else self.g(x)))


STACKS = {
    "direct": (nn.Sequential(conv(4, 2), nn.ReLU(), conv(4, 2), nn.ReLU(), conv(3)), 18, 4),
    "dilated": (nn.Sequential(conv(3, d=2), conv(3, d=4)), 13, 1),
    "pooled": (nn.Sequential(conv(5, p=2), nn.AvgPool2d(2), conv(5, p=2), nn.AvgPool2d(2)), 16, 4),
    "not square": (nn.Sequential(conv((1, 4), (1, 3)), conv((5, 1))), (5, 4), (1, 3)),
    "transposed": (nn.Sequential(back(4, 2, 1)), 2, "1/2"),
    "transposed, uneven": (nn.Sequential(back(5, 2)), 3, "1/2"),
    "transposed, holes": (nn.Sequential(back(2, 3)), 1, "1/3"),
    "transposed, dilated": (nn.Sequential(back(2, 2, d=3)), 1, "1/2"),
    "there and back": (nn.Sequential(conv(4, 2, 1), back(4, 2, 1)), 6, 1),
    "there and back twice": (
        nn.Sequential(conv(4, 2, 1), conv(4, 2, 1), back(4, 2, 1), back(4, 2, 1), conv(3, p=1)),
        18, 1,
    ),
    # the formula for runs of pixels gives 2: it does not know that only even pixels are read
    "phase that is never read": (nn.Sequential(back(3, 2, 1), conv(1, 2)), 1, 1),
    "phase that is read": (nn.Sequential(back(3, 2, 0), conv(1, 2)), 2, 1),
    "nearest": (nn.Sequential(conv(3), nn.Upsample(scale_factor=2), conv(3, p=1)), 4, "1/2"),
    "nearest, 1 by 3": (nn.Sequential(conv(3), nn.Upsample(scale_factor=(1, 3))), 3, (1, "1/3")),
    "bilinear": (nn.Sequential(nn.Upsample(size=(84, 60), mode="bilinear"), conv(3)), 3, "1/2"),
    "adaptive": (nn.Sequential(conv(3), nn.AdaptiveAvgPool2d((20, 14))), 4, 2),
    "whole image": (nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(1)), (42, 30), (42, 30)),
    "framed": (nn.Sequential(back(4, 2), nn.ZeroPad2d((1, 0, 1, 0)), conv(1, 2)), 2, 1),
    "cropped": (nn.Sequential(back(3, 2), nn.ZeroPad2d((-1, 0, -1, 0)), conv(1, 2)), 1, 1),
    "unshuffled": (nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4, 1, 3)), 6, 2),
    "shuffled": (nn.Sequential(nn.Conv2d(1, 4, 3), nn.PixelShuffle(2), conv(3)), 4, "1/2"),
    "residual": (
        nn.Sequential(conv(3, 2), Residual([conv(3, p=1), conv(3, p=1)]), conv(1)), 11, 2,
    ),
    "projected": (
        nn.Sequential(Residual([conv(3, 2, 1), conv(3, p=1)], conv(1, 2)), conv(1)), 7, 2,
    ),
    "a cross": (
        nn.Sequential(Residual([conv((5, 1), p=(2, 0))], conv((1, 7), p=(0, 3))), conv(1)),
        (5, 7), 1,
    ),
    # one way looks 3 to the left, the other 3 to the right: 3 wide each, 7 together
    "apart": (
        nn.Sequential(
            Residual(
                [nn.ZeroPad2d((3, -3, 0, 0)), conv(1)],
                nn.Sequential(nn.ZeroPad2d((-3, 3, 0, 0)), conv(1)),
            ),
            conv(1),
        ),
        (1, 7), 1,
    ),
    # blocks of 2, moved by 4, and blocks of 3: the way it is with 6 pixels, the fourth sees most
    "two periods": (
        nn.Sequential(
            Residual(
                [nn.ZeroPad2d((4, -4, 4, -4)), conv(2, 2), back(2, 2)],
                nn.Sequential(conv(3, 3), back(3, 3)),
            ),
            conv(1),
        ),
        8, 1,
    ),
}  # fmt: skip
SIZE = 42, 30


def pair(value, kind=int):
    return tuple(map(kind, value)) if isinstance(value, tuple) else (kind(value), kind(value))


@pytest.mark.parametrize("name", STACKS)
def test_field_is_where_the_derivative_is(name):
    module, field, jump = STACKS[name]
    layer = last(module, (1, *SIZE))
    assert layer.receptive_field == pair(field) == seen(module, SIZE)
    assert layer.jump == pair(jump, Fraction)


# ---------------------------------------------------------------- any chain of convolutions


@st.composite
def layers(draw):
    k, s, d = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    p = draw(st.integers(0, d * (k - 1)))
    if draw(st.booleans()):
        return conv((k, 1), (s, 1), (p, 0), (d, 1))
    return back((k, 1), (s, 1), (p, 0), (draw(st.integers(0, s - 1)), 0), (d, 1))


@given(st.lists(layers(), min_size=1, max_size=3))
def test_field_of_a_chain(chain):
    """One image for each row, of zeros but for that row: which outputs answer?"""
    rows, module = 120, nn.Sequential(*chain).double()
    with mg.no_grad():
        for p in module.parameters():
            p.fill_(1.0 if p.ndim == 4 else 0.0)
        y = module(Tensor(np.eye(rows)[:, None, :, None])).numpy()[:, 0, :, 0]
    found = last(module, (1, rows, 1))
    assume(found.receptive_field[0] <= 25)  # so that some of the widest are away from the edges
    extents = [int(np.ptp(np.flatnonzero(x))) + 1 if x.any() else 0 for x in y.T]
    assert found.receptive_field == (max(extents), 1)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2)), min_size=1))
def test_field_of_direct_convolutions_is_the_formula(chain):
    """r′ = r + (k̂ - 1) j, j′ = j s, and for pooling too; the image is as large as the field"""
    r, j, layers = 1, 1, []
    for k, s, d in chain[:4]:
        layers.append(nn.MaxPool2d(k, s, dilation=d) if len(layers) % 2 else conv(k, s, d=d))
        r, j = r + d * (k - 1) * j, j * s
    layer = last(nn.Sequential(*layers), (1, r, r))
    assert (layer.receptive_field, layer.jump) == ((r, r), (j, j))


def test_runs_of_pixels():
    """n′ = ⌊(n + k - 2) / s⌋ + 1, of a transposed convolution below a direct one of kernel n"""
    for n, k, s in np.ndindex(5, 6, 4):
        n, k, s = n + 1, k + 1, s + 1
        found = last(nn.Sequential(back(k, s), conv(n)), (1, 12, 12))
        assert found.receptive_field[0] == (n + k - 2) // s + 1


# ---------------------------------------------------------------- where it is lost


class Through(nn.Module):
    """A convolution, a function, a convolution."""

    def __init__(self, function):
        super().__init__()
        self.first, self.function, self.second = conv(3, p=1), function, conv(3, p=1)

    def forward(self, x):
        return self.second(self.function(self.first(x)))


KEPT = {
    "relu": F.relu,
    "arithmetic": lambda h: (2.0 * h + 1.0) * h.sigmoid() - h.abs(),
    "channels": lambda h: mg.cat([h, h * 0.5], 1)[:, 1:],
    "functional convolution": lambda h: F.conv2d(h, mg.ones(1, 1, 1, 1)),
    "a constant": lambda h: h + mg.ones(12, 12),
}
LOST = {
    "flatten": lambda h: h.flatten(1).reshape(1, 1, 12, 12),
    "gate": lambda h: h * h.mean((2, 3), keepdim=True).sigmoid(),
    "slice": lambda h: h[:, :, 2:],
    "detached": lambda h: h.detach(),
    "made of it": lambda h: F.conv2d(h, 2.0 * h),
}


@pytest.mark.parametrize("name", KEPT)
def test_functions_keep_the_field(name):
    assert last(Through(KEPT[name]), (1, 12, 12)).receptive_field == (5, 5)


@pytest.mark.parametrize("name", LOST)
def test_functions_lose_the_field(name):
    layer = last(Through(LOST[name]), (1, 12, 12))
    assert layer.receptive_field is None and layer.jump is None


def test_a_functional_convolution_counts():
    module = Through(lambda h: F.conv2d(h, mg.ones(1, 1, 3, 3), padding=1))
    assert last(module, (1, 12, 12)).receptive_field == (7, 7)


def test_many_ways():
    """Each block doubles the ways from the image to what follows; their common part is one."""
    blocks = [Residual([conv(3, p=1), conv(3, p=1)]) for _ in range(40)]
    assert last(nn.Sequential(*blocks), (1, 8, 8)).receptive_field == (161, 161)  # 1 + 80 · 2


def test_two_images():
    """Each field is in its own image; together they are as wide as the wider."""

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = conv(3, p=1), conv(5, p=2), conv(3)

        def forward(self, x, y, scale):
            return self.c(self.a(x) + self.b(y) * scale)

    layers = summary(Two(), [(1, 9, 9), (1, 9, 9), ()]).layers
    assert [layer.receptive_field for layer in layers] == [(3, 3), (5, 5), (7, 7)]
    layers = summary(Two(), [(1, 9, 9), (1, 9, 9), (1, 1, 1)]).layers
    assert layers[-1].receptive_field is None  # all of the third image, one pixel, goes into each
