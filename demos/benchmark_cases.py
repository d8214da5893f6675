"""All that the benchmark times: the course's models, convolutions alone, Adam alone, operations.

A case is made for either library by the same lines, as in `demos.workloads`.
"""

from collections.abc import Callable
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from demos.workloads import WORKLOADS, Products, Step, conv

LAYERS_ON_DEVICES = "Linear", "Conv2d", "ConvTranspose2d", "BatchNorm2d"


class Case(NamedTuple):
    """Something to be timed."""

    name: str
    group: str  # what --only calls it
    make: Callable[[Any, Any], tuple[Step, Products]]  # of a library, and by whom

    @property
    def has_batch(self) -> bool:
        """Whether it is a training step, which can be split over threads."""
        return self.group.startswith("W")


class Layer(NamedTuple):
    """A convolution of the course's models, or a transposed one the other way."""

    batch: int
    large: int  # pixels along the side of the larger image
    small: int
    few: int  # channels of the larger image
    many: int
    k: int
    padding: int
    transposed: bool = False  # from the small image to the large one

    @property
    def name(self) -> str:
        """What goes in and comes out."""
        ends = [f"{self.few}×{self.large}²", f"{self.many}×{self.small}²"]
        kind = "convT" if self.transposed else "conv"
        start, end = ends[::-1] if self.transposed else ends
        return f"{kind} {start} → {end}, k{self.k} s2"


LAYERS = (
    Layer(128, 28, 13, 1, 32, 4, 0),  # W3
    Layer(128, 13, 5, 32, 64, 4, 0),
    Layer(128, 13, 5, 32, 64, 5, 0, transposed=True),
    Layer(64, 14, 7, 64, 128, 4, 1),  # W4
    Layer(64, 14, 7, 64, 128, 4, 1, transposed=True),
    Layer(32, 64, 32, 3, 32, 4, 1),  # W5
    Layer(32, 32, 16, 32, 64, 4, 1),
    Layer(32, 64, 32, 3, 32, 4, 1, transposed=True),
)
WANTED = "forward", "input gradient", "weight gradient"


def image(lib: Any, batch: int, channels: int, side: int, requires_grad: bool = False) -> Any:
    """Numbers as a layer before would hand them over: laid out in memory as the library does it."""
    rng = np.random.default_rng(0)
    grey = lib.tensor(rng.standard_normal((batch, 1, side, side), np.float32))
    weight = lib.tensor(rng.standard_normal((channels, 1, 1, 1), np.float32))
    x = grey if channels == 1 else lib.nn.functional.conv2d(grey, weight)
    return x.detach().requires_grad_(requires_grad)


def one_convolution(lib: Any, by: Any, layer: Layer, wanted: str) -> tuple[Step, Products]:
    """The layer's output, or one of its gradients from a graph that is kept."""
    functional = lib.nn.functional
    ends = [(layer.few, layer.large), (layer.many, layer.small)]
    (c_in, side), (c_out, side_out) = ends[::-1] if layer.transposed else ends
    apply = functional.conv_transpose2d if layer.transposed else functional.conv2d
    x = image(lib, layer.batch, c_in, side, wanted == "input gradient")
    shape = layer.many, layer.few, layer.k, layer.k  # (in, out) if transposed, else (out, in)
    w = lib.tensor(np.random.default_rng(1).standard_normal(shape, np.float32))
    w.requires_grad_(wanted == "weight gradient")
    run = lambda: apply(x, w, stride=2, padding=layer.padding)
    n, k, m = conv(layer.batch, layer.small, layer.few, layer.many, layer.k)
    down = (wanted == "forward") != layer.transposed  # from the large image to the small one
    product = (k, n, m) if wanted == "weight gradient" else (n, k, m) if down else (n, m, k)
    if wanted == "forward":
        return run, [product]
    y, g = run(), image(lib, layer.batch, c_out, side_out)
    source = x if wanted == "input gradient" else w
    return lambda: lib.autograd.grad(y, source, g, retain_graph=True), [product]


def adam(lib: Any, by: Any) -> tuple[Step, Products]:
    """A step for a million parameters in four layers, with gradients that are there already."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: lib.tensor(rng.standard_normal(shape, np.float32))
    weights = [draw(500, 500).requires_grad_(True) for _ in range(4)]
    for w in weights:
        w.grad = draw(500, 500)
    return lib.optim.Adam(weights).step, []


CASES = (
    *(
        Case(name, name.split()[0] if name.startswith("W") else "ops", make)
        for name, make in WORKLOADS.items()
    ),
    *(
        Case(f"{layer.name}: {wanted}", "conv",
             partial(one_convolution, layer=layer, wanted=wanted))
        for layer in LAYERS
        for wanted in WANTED
    ),
    Case("Adam, a million parameters", "adam", adam),
)  # fmt: skip
GROUPS = tuple(dict.fromkeys(case.group for case in CASES))


def on_device(lib: ModuleType, device: str) -> Any:
    """The library as the cases use it, with tensors and layers made on that device."""
    there = lambda make: partial(make, device=device)
    nn = SimpleNamespace(**{name: getattr(lib.nn, name) for name in dir(lib.nn)})
    for name in LAYERS_ON_DEVICES:
        setattr(nn, name, there(getattr(lib.nn, name)))
    made = {name: there(getattr(lib, name)) for name in ("tensor", "randn", "zeros")}
    like = {name: getattr(lib, name) for name in ("randn_like", "ones_like", "zeros_like")}
    return SimpleNamespace(nn=nn, optim=lib.optim, autograd=lib.autograd, **made, **like)
