"""Layers for images (N, C, H, W), of which a single one (C, H, W) will do as well."""

from collections.abc import Sequence
from typing import Any

from minigrad.backend import Generator
from minigrad.creation import empty
from minigrad.errors import ArgumentError, ShapeError
from minigrad.nn import functional as F
from minigrad.nn.images import Size, on_images
from minigrad.nn.layers import BatchNorm, Dropout, Function, reset_affine
from minigrad.nn.module import Module, Parameter
from minigrad.ops.arguments import Pair, pair, whole
from minigrad.ops.conv.geometry import ConvGeometry
from minigrad.tensor import Tensor

# ---------------------------------------------------------------- convolution

ANY_IMAGE = 2**20  # pixels a side: large enough to try the options on


class Convolution(Module):
    """What a convolution and a transposed one share: options, weight and bias."""

    transposed: bool

    def __init__(
        self, sizes: ConvGeometry, in_channels: int, out_channels: int, bias: bool,
        padding_mode: str, device: Any, dtype: Any, lowering: str | None,
        generator: Generator | None,
    ) -> None:  # fmt: skip
        super().__init__()
        name, groups = type(self).__name__, sizes.groups
        in_channels = whole(name, "in_channels", in_channels, 0)
        out_channels = whole(name, "out_channels", out_channels, 0)
        if in_channels % groups or out_channels % groups:
            raise ArgumentError(
                f"{name}: groups: got {groups}; expected a divisor of in_channels {in_channels} "
                f"and of out_channels {out_channels}"
            )
        if padding_mode != "zeros":
            raise ArgumentError(
                f"{name}: padding_mode: got {padding_mode!r}; expected 'zeros'. Use F.pad before it"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = sizes.kernel_size
        self.stride = sizes.stride
        self.padding: str | Pair = sizes.padding
        self.dilation = sizes.dilation
        self.output_padding = sizes.output_padding if self.transposed else (0, 0)
        self.groups = groups
        self.padding_mode = padding_mode
        self.lowering = lowering
        channels = in_channels, out_channels
        first, second = channels if self.transposed else channels[::-1]
        # in memory the kernels lie side by side, as the columns of the matrix in ops/conv/im2col.py
        weight = empty(*self.kernel_size, second // groups, first, device=device, dtype=dtype)
        self.weight = Parameter(weight.permute(3, 2, 0, 1))
        self.bias = Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None
        self.reset_parameters(generator)

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draw the initial values again."""
        reset_affine(self.weight, self.bias, generator)

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        for name, usual in (
            ("padding", (0, 0)), ("dilation", (1, 1)), ("output_padding", (0, 0)), ("groups", 1),
        ):  # fmt: skip
            value = getattr(self, name)
            text += "" if value == usual else f", {name}={value}"
        text += "" if self.bias is not None else ", bias=False"
        return text if self.lowering is None else f"{text}, lowering={self.lowering!r}"


class Conv2d(Convolution):
    """A convolution and a bias: (N, in, H, W) → (N, out, OH, OW); see `functional.conv2d`.

    Weight (out, in/groups, kh, kw) and bias (out,) begin as draws from U(-1/√f, 1/√f), where
    f = in/groups · kh · kw, by `generator`.

    >>> layer = Conv2d(3, 16, 4, stride=2, padding=1)
    >>> layer
    Conv2d(3, 16, kernel_size=(4, 4), stride=(2, 2), padding=(1, 1))
    >>> from minigrad import zeros
    >>> layer(zeros(8, 3, 28, 28)).shape
    (8, 16, 14, 14)
    """

    transposed = False

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1,
        padding: Size | str = 0, dilation: Size = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
        *, lowering: str | None = None, generator: Generator | None = None,
    ) -> None:  # fmt: skip
        kernel_size = pair("Conv2d", "kernel_size", kernel_size, 1)
        sizes = ConvGeometry.direct(
            ANY_IMAGE, kernel_size, stride, padding, dilation, groups, op="Conv2d"
        )
        super().__init__(
            sizes, in_channels, out_channels, bias, padding_mode, device, dtype, lowering, generator
        )
        if isinstance(padding, str):
            self.padding = padding

    def forward(self, input: Tensor) -> Tensor:
        """x * w + b"""
        return F.conv2d(
            input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups,
            lowering=self.lowering,
        )  # fmt: skip


class ConvTranspose2d(Convolution):
    """The transpose of a convolution, and a bias: (N, in, H, W) → (N, out, OH, OW).

    Weight (in, out/groups, kh, kw) and bias (out,) begin as draws from U(-1/√f, 1/√f), where
    f = out/groups · kh · kw, by `generator`. See `functional.conv_transpose2d`.

    >>> layer = ConvTranspose2d(16, 3, 4, stride=2, padding=1)
    >>> from minigrad import zeros
    >>> layer(zeros(8, 16, 14, 14)).shape
    (8, 3, 28, 28)
    """

    transposed = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Size, stride: Size = 1,
        padding: Size = 0, output_padding: Size = 0, groups: int = 1, bias: bool = True,
        dilation: Size = 1, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
        *, lowering: str | None = None, generator: Generator | None = None,
    ) -> None:  # fmt: skip
        kernel_size = pair("ConvTranspose2d", "kernel_size", kernel_size, 1)
        sizes = ConvGeometry.transposed(
            ANY_IMAGE, kernel_size, stride, padding, output_padding, groups, dilation,
            op="ConvTranspose2d",
        )  # fmt: skip
        super().__init__(
            sizes, in_channels, out_channels, bias, padding_mode, device, dtype, lowering, generator
        )

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """The transposed convolution of x and w, plus b; `output_size` (…, OH, OW), if given."""
        if output_size is not None:
            output_size = tuple(output_size)
            if len(output_size) == input.ndim:
                output_size = output_size[-2:]
        return F.conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding, self.output_padding,
            self.groups, self.dilation, output_size=output_size, lowering=self.lowering,
        )  # fmt: skip


# ---------------------------------------------------------------- normalisation, dropout


class InstanceNorm2d(BatchNorm):
    """Each channel of each image standardised over its pixels: see `functional.instance_norm`.

    By default there are no parameters, and no running statistics.
    """

    dims = (3, 4)

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
        affine: bool = False, track_running_stats: bool = False,
        device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def forward(self, input: Tensor) -> Tensor:
        """γ (x - μ) / √(σ² + eps) + β, μ and σ² those of each image or the running ones"""
        if input.ndim in self.dims and input.shape[-3] != self.num_features:
            raise ShapeError(
                f"InstanceNorm2d: got an input of shape {input.shape}; expected "
                f"{self.num_features} channels"
            )
        own = self.training or not self.track_running_stats
        norm = lambda x: F.instance_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias,
            own, self.momentum or 0.0, self.eps,
        )  # fmt: skip
        return on_images("InstanceNorm2d", norm, input)


class Dropout2d(Dropout):
    """In training, whole channels become 0 with probability p, and the others grow."""

    def forward(self, input: Tensor) -> Tensor:
        """x, thinned out in training"""
        return F.dropout2d(input, self.p, self.training, generator=self.generator)


# ---------------------------------------------------------------- functions without parameters


class ImageFunction(Function):
    """A function of images shows its options, all or those named in `shown`."""

    shown: tuple[str, ...] = ()

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={vars(self)[name]}" for name in self.shown or self._options)


class MaxPool2d(ImageFunction):
    """The largest entry of each window: see `functional.max_pool2d`.

    >>> MaxPool2d(2)
    MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    """

    function = staticmethod(F.max_pool2d)
    shown = "kernel_size", "stride", "padding", "dilation", "ceil_mode"

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
        dilation: Size = 1, return_indices: bool = False, ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            kernel_size=kernel_size, stride=kernel_size if stride is None else stride,
            padding=padding, dilation=dilation, return_indices=return_indices, ceil_mode=ceil_mode,
        )  # fmt: skip


class AvgPool2d(ImageFunction):
    """The mean of each window: see `functional.avg_pool2d`."""

    function = staticmethod(F.avg_pool2d)
    shown = "kernel_size", "stride", "padding"

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
        ceil_mode: bool = False, count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            kernel_size=kernel_size, stride=kernel_size if stride is None else stride,
            padding=padding, ceil_mode=ceil_mode, count_include_pad=count_include_pad,
            divisor_override=divisor_override,
        )  # fmt: skip


class AdaptiveAvgPool2d(ImageFunction):
    """Means of as many windows as `output_size` says; None: as many as there are pixels."""

    function = staticmethod(F.adaptive_avg_pool2d)

    def __init__(self, output_size: int | Sequence[int | None]) -> None:
        super().__init__(output_size=output_size)


class Upsample(ImageFunction):
    """Images at another size, "nearest" or "bilinear": see `functional.interpolate`.

    >>> Upsample(scale_factor=2)
    Upsample(scale_factor=2.0, mode='nearest')
    """

    function = staticmethod(F.interpolate)

    def __init__(
        self, size: Size | None = None, scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest", align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:  # fmt: skip
        if isinstance(scale_factor, (tuple, list)):
            scale_factor = tuple(map(float, scale_factor))
        elif scale_factor is not None:
            scale_factor = float(scale_factor)
        super().__init__(
            size=size, scale_factor=scale_factor, mode=mode, align_corners=align_corners,
            recompute_scale_factor=recompute_scale_factor,
        )  # fmt: skip

    def extra_repr(self) -> str:
        name = "size" if self.scale_factor is None else "scale_factor"
        return f"{name}={vars(self)[name]}, mode={self.mode!r}"


class PixelShuffle(ImageFunction):
    """Channels to pixels, (…, C·r², H, W) → (…, C, H·r, W·r), r = upscale_factor."""

    function = staticmethod(F.pixel_shuffle)

    def __init__(self, upscale_factor: int) -> None:
        super().__init__(upscale_factor=upscale_factor)


class PixelUnshuffle(ImageFunction):
    """Pixels to channels, (…, C, H·r, W·r) → (…, C·r², H, W), r = downscale_factor."""

    function = staticmethod(F.pixel_unshuffle)

    def __init__(self, downscale_factor: int) -> None:
        super().__init__(downscale_factor=downscale_factor)


class Unfold(ImageFunction):
    """Patches as columns, (N, C, H, W) → (N, C·kh·kw, OH·OW): see `functional.unfold`."""

    function = staticmethod(F.unfold)

    def __init__(
        self, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
    ) -> None:
        super().__init__(kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride)


class Fold(ImageFunction):
    """Columns put back as patches, (N, C·kh·kw, OH·OW) → (N, C, *output_size)."""

    function = staticmethod(F.fold)

    def __init__(
        self, output_size: Size, kernel_size: Size,
        dilation: Size = 1, padding: Size = 0, stride: Size = 1,
    ) -> None:  # fmt: skip
        super().__init__(
            output_size=output_size, kernel_size=kernel_size, dilation=dilation,
            padding=padding, stride=stride,
        )  # fmt: skip


class ZeroPad2d(Module):
    """A frame of zeros, of one width or of (left, right, top, bottom); negative widths crop."""

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        self.padding = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
        if len(self.padding) != 4:
            raise ArgumentError(
                f"ZeroPad2d: padding: got {padding}; expected a number, or 4: left, right, top, "
                "bottom"
            )

    def forward(self, input: Tensor) -> Tensor:
        """x in its frame"""
        return F.pad(input, self.padding)

    def extra_repr(self) -> str:
        return f"{self.padding}"
