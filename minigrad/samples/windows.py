"""What windows see, images of other sizes, and the layers of images."""

import numpy as np

from minigrad import nn
from minigrad.backend import Generator, to_device
from minigrad.ops import resize, window
from minigrad.ops.conv.geometry import ConvGeometry
from minigrad.samples.convolutions import direct_terms, transposed_terms
from minigrad.samples.layers import layer, standard
from minigrad.samples.row import Row, distinct

_size = dict(geometry=ConvGeometry.direct((5, 4), (3, 2), (2, 1), (1, 0), (1, 2)))
_winners = np.array([0, 3, 1, 0, 4, 5], np.uint8).reshape(1, 1, 3, 2)
_on = lambda x, constant: to_device(constant, x.device)


def _windows(x, blank=0.0):
    """The windows of x (1, 1, 5, 4) by elements, (6, 3, 2): what is in them, else `blank`."""
    framed = np.pad(x[0, 0], ((1, 1), (0, 0)), constant_values=blank)
    return np.array([framed[h : h + 3, w : w + 3 : 2] for h in (0, 2, 4) for w in (0, 1)])


def _put_back(columns):
    """The transpose of _windows."""
    x = np.zeros((7, 4))
    for (h, w), column in zip(np.ndindex(3, 2), columns, strict=True):
        x[2 * h : 2 * h + 3, w : w + 3 : 2] += column
    return x[None, None, 1:6]


def _placed(y):
    columns = np.zeros((6, 6))
    columns[range(6), _winners.ravel()] = y.ravel()
    return _put_back(columns.reshape(6, 3, 2))


_rows, _columns = np.random.default_rng(6).standard_normal((2, 2, 3))

WINDOWS = [
    Row("max_pool", lambda x: window.max_pool(x, **_size), ((1, 1, 5, 4),),
        lambda x: _windows(x, -np.inf).max((1, 2)).reshape(1, 1, 3, 2), distinct),
    Row("pick", lambda x: window.pick(x, winners=_on(x, _winners), **_size), ((1, 1, 5, 4),),
        lambda x: _windows(x).reshape(6, 6)[range(6), _winners.ravel()].reshape(1, 1, 3, 2),
        linear=True),
    Row("place", lambda y: window.place(y, winners=_on(y, _winners), **_size), ((1, 1, 3, 2),),
        _placed, linear=True),
    Row("add_up", lambda x: window.add_up(x, **_size), ((1, 1, 5, 4),),
        lambda x: _windows(x).sum((1, 2)).reshape(1, 1, 3, 2), linear=True),
    Row("spread", lambda y: window.spread(y, **_size), ((1, 1, 3, 2),),
        lambda y: _put_back(y.reshape(6, 1, 1)), linear=True),
    Row("unfold", lambda x: window.unfold(x, **_size), ((1, 1, 5, 4),),
        lambda x: _windows(x).reshape(1, 6, 6).swapaxes(1, 2), linear=True),
    Row("fold", lambda y: window.fold(y, **_size), ((1, 6, 6),),
        lambda y: _put_back(y[0].T.reshape(6, 3, 2)), linear=True),
    Row("resample", lambda x: resize.resample(x, rows=_rows, columns=_columns), ((2, 2, 3, 3),),
        lambda x: np.einsum("oh,pw,nchw->ncop", _rows, _columns, x), linear=True),
    Row("take", lambda x: resize.take(x, rows=np.array([0, 1, 1]), columns=np.array([2, 0])),
        ((2, 2, 3, 3),), lambda x: x[:, :, [[0], [1], [1]], [2, 0]], linear=True),
]  # fmt: skip

# ---------------------------------------------------------------- the layers


def _blocks(x, k=2):
    """Blocks of k×k pixels, side by side: (n, c, h/k, w/k, k, k)."""
    n, c, h, w = x.shape
    return x.reshape(n, c, h // k, k, w // k, k).swapaxes(3, 4)


def _bilinear(x):
    """Twice as large: pixel o lies at (o + ½)/2 - ½ between the old ones."""
    for axis in (2, 3):
        n = x.shape[axis]
        at = (np.arange(2 * n) + 0.5) / 2 - 0.5
        x = np.apply_along_axis(lambda line, at=at, n=n: np.interp(at, range(n), line), axis, x)
    return x


def _shuffled(x):
    """Channels (n, 4, h, w) as blocks of 2×2 pixels."""
    n, _, h, w = x.shape
    return x.reshape(n, 1, 2, 2, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, 1, 2 * h, 2 * w)


def _unshuffled(x):
    return _blocks(x).transpose(0, 1, 4, 5, 2, 3).reshape(len(x), 4, *(i // 2 for i in x.shape[2:]))


def _some_channels(x):
    draws = Generator().manual_seed(5).uniform((2, 3, 1, 1), np.float32)
    return x * (draws >= 0.25) / 0.75


_leftover = ConvGeometry.direct((6, 4), (3, 2), stride=2, padding=1)
_conv = ((2, 2), {"kernel_size": (3, 2), "stride": 2, "padding": 1})
_moving = {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}

IMAGE_LAYERS = [
    layer("Conv2d", lambda: nn.Conv2d(*_conv[0], **_conv[1]), ((1, 2, 6, 4),),
          direct_terms(_leftover)),
    layer("ConvTranspose2d",
          lambda: nn.ConvTranspose2d(*_conv[0], **_conv[1], output_padding=(1, 0)),
          ((1, 2, 3, 3),), transposed_terms(_leftover)),
    layer("BatchNorm2d", lambda: nn.BatchNorm2d(2), ((2, 2, 3, 2),),
          lambda x, w, b: standard(x, (0, 2, 3)) * w[:, None, None] + b[:, None, None]),
    layer("InstanceNorm2d", lambda: nn.InstanceNorm2d(2), ((2, 2, 3, 2),),
          lambda x: standard(x, (2, 3))),
    layer("MaxPool2d", lambda: nn.MaxPool2d(2), ((1, 2, 4, 4),),
          lambda x: _blocks(x).max((4, 5)), distinct),
    layer("AvgPool2d", lambda: nn.AvgPool2d(2), ((1, 2, 4, 4),),
          lambda x: _blocks(x).mean((4, 5)), linear=True),
    layer("AdaptiveAvgPool2d", lambda: nn.AdaptiveAvgPool2d(2), ((1, 2, 4, 4),),
          lambda x: _blocks(x).mean((4, 5)), linear=True),
    layer("Upsample", lambda: nn.Upsample(scale_factor=2), ((1, 2, 2, 3),),
          lambda x: x.repeat(2, 2).repeat(2, 3), linear=True),
    layer("Upsample, bilinear", lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
          ((1, 2, 2, 3),), _bilinear, linear=True),
    layer("PixelShuffle", lambda: nn.PixelShuffle(2), ((1, 4, 2, 3),), _shuffled, linear=True),
    layer("PixelUnshuffle", lambda: nn.PixelUnshuffle(2), ((1, 1, 4, 6),), _unshuffled,
          linear=True),
    layer("Unfold", lambda: nn.Unfold(**_moving), ((1, 1, 5, 4),),
          lambda x: _windows(x).reshape(1, 6, 6).swapaxes(1, 2), linear=True),
    layer("Fold", lambda: nn.Fold((5, 4), **_moving), ((1, 6, 6),),
          lambda y: _put_back(y[0].T.reshape(6, 3, 2)), linear=True),
    layer("ZeroPad2d", lambda: nn.ZeroPad2d((1, 2, 0, 1)), ((1, 2, 2, 3),),
          lambda x: np.pad(x, ((0, 0), (0, 0), (0, 1), (1, 2))), linear=True),
    layer("Dropout2d", lambda: nn.Dropout2d(0.25, generator=Generator().manual_seed(5)),
          ((2, 3, 2, 2),), _some_channels, linear=True),
]  # fmt: skip
