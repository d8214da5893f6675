r"""A module as a table: what each layer makes of an image, seen by running it once."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from minigrad.backend import CPU, Generator, array_module, default_generator, memory_owner
from minigrad.creation import zeros
from minigrad.engine import Variable, enable_grad, history
from minigrad.errors import ArgumentError, DeviceError, DTypeError, GraphError, ShapeError
from minigrad.nn import receptive_field as sight
from minigrad.nn.image_layers import PixelShuffle, PixelUnshuffle
from minigrad.nn.module import Module
from minigrad.nn.receptive_field import CONVOLUTIONS, POOLING, TRANSPOSED, Path, Step
from minigrad.nn.sizes import relationships, unevenness
from minigrad.ops.arguments import Pair, is_whole
from minigrad.ops.conv.geometry import ConvGeometry
from minigrad.ops.linear import Product
from minigrad.tensor import Tensor


class Layer(NamedTuple):
    """One call of a layer, for one example. None: it has no such thing, or it cannot be known."""

    name: str  # its path, as in `named_modules`
    type: str
    output_shape: tuple  # without the batch axis; a tuple of shapes if there are several outputs
    relationship: int | None  # the number in the guide, 1 to 15; 7 is pooling
    leftover: Pair | None  # a: the rows and columns that nothing reads, or output_padding
    unevenness: float | None  # of a transposed convolution: most / fewest that add up in a pixel
    receptive_field: Pair | None  # of its output, in pixels of the image
    jump: tuple[Fraction, Fraction] | None  # image pixels from one output pixel to the next
    parameters: int  # those that no earlier row has
    multiply_adds: int | None
    memory: int  # bytes of the output; 0 if it is a view of something earlier


@dataclass(frozen=True, repr=False)
class Summary:
    """The layers of a module as they were called, and the totals; printed as a table."""

    layers: tuple[Layer, ...]
    parameters: int
    trainable: int  # of them
    multiply_adds: int | None  # per example, those between the layers too
    activation_memory: int  # bytes: the layers' outputs for one example
    parameter_memory: int  # bytes

    def __repr__(self) -> str:
        rows = [[c.show(x) for c, x in zip(COLUMNS, layer, strict=True)] for layer in self.layers]
        lines = [""] * (1 + len(rows))
        for column, *cells in zip(COLUMNS, *rows, strict=True):
            if set(cells) - {"-"}:
                width = max(map(len, (column.name, *cells)))
                cells = [f"{cell:{column.side}{width}}" for cell in (column.name, *cells)]
                lines = [f"{line}  {cell}" for line, cell in zip(lines, cells, strict=True)]
        frozen = self.parameters - self.trainable
        return "\n".join(
            [
                *(line.strip() for line in lines),
                f"parameters     {self.parameters:,}, {_bytes(self.parameter_memory)}"
                + (f"; {frozen:,} of them frozen" if frozen else ""),
                f"multiply-adds  {_count(self.multiply_adds)} per example",
                f"activations    {_bytes(self.activation_memory)} per example",
            ]
        )


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _bytes(value: int) -> str:
    for power, unit in ((2, "MB"), (1, "kB")):
        if value >= 1000**power:
            return f"{value / 1000**power:,.1f} {unit}"
    return f"{value} B"


def _each(pair: tuple | None) -> str:
    """One number if height and width have the same, else both."""
    return "-" if pair is None else f"{pair[0]}" if pair[0] == pair[1] else f"{pair[0]}×{pair[1]}"


class Column(NamedTuple):
    """A column of the table: its heading, to which side it is set, and how a value is shown."""

    name: str
    side: str
    show: Callable[[Any], str]


COLUMNS = (
    Column("layer", "<", lambda name: name or "-"),
    Column("type", "<", str),
    Column("output", "<", lambda shape: str(shape).replace(",)", ")")),
    Column("rule", ">", _count),
    Column("leftover", ">", _each),
    Column("uneven", ">", lambda ratio: "-" if ratio is None else f"{ratio:.3g}"),
    Column("field", ">", _each),
    Column("jump", ">", _each),
    Column("parameters", ">", _count),
    Column("multiply-adds", ">", _count),
    Column("memory", ">", _bytes),
)  # the fields of `Layer`, in their order


# ---------------------------------------------------------------- one run


def summary(module: Module, input_shape: Sequence) -> Summary:
    """What each layer makes of one example of zeros: a row for each call of a module without parts.

    `input_shape` has no batch axis, (1, 28, 28) or (784,); it is a list of shapes if the module
    takes several inputs. The encoder of deck 000's convolutional VAE (course: V9):

    >>> from minigrad.nn import Conv2d, ReLU, Sequential
    >>> encoder = Sequential(Conv2d(1, 32, 4, stride=2), ReLU(), Conv2d(32, 64, 4, stride=2))
    >>> summary(encoder, (1, 28, 28))
    layer  type    output        rule  leftover  field  jump  parameters  multiply-adds   memory
    0      Conv2d  (32, 13, 13)     5         0      4     2         544         86,528  21.6 kB
    1      ReLU    (32, 13, 13)     -         -      4     2           0              0  21.6 kB
    2      Conv2d  (64, 5, 5)       5         1     10     4      32,832        819,200   6.4 kB
    parameters     33,376, 133.5 kB
    multiply-adds  905,728 per example
    activations    49.7 kB per example

    The columns are the fields of `Layer`. "rule" is the relationship of the guide to convolution
    arithmetic (arXiv 1603.07285) that gives the output's size; 7 is pooling. "leftover" is its a:
    in 13 → 5 a row and a column are read by nobody, and the way back makes 12 of 5 unless it is
    told of them by output_padding. "uneven" is the checkerboard of a transposed convolution, see
    `sizes.unevenness`. "field" is the receptive field, and "jump" how far it moves from one pixel
    to the next. They follow the graph through every operation that keeps height and width, and are
    lost ("-") in others, such as flatten; what a normalisation measures is not counted as seen.

    Multiply-adds are those of matrix products and convolutions: each kernel element with each pixel
    of a convolution's output, or of a transposed convolution's input, the frame of zeros included.
    They are None for a layer that computes under `no_grad`, since no graph says what it did. Memory
    is that of the layers' outputs; an output that is a view takes none. A parameter that is shared
    counts in the first row that has it. Columns without an entry are not printed.

    The run is in evaluation and records the graph, but nothing is differentiated. Afterwards, also
    if it fails, the modules have the attributes and the buffers that they had, and the random
    generators stand where they stood.

    Raises what the module raises for such an input, with the name of the layer where it happened;
    ArgumentError for an input_shape that is none, or what is no module.
    """
    if not isinstance(module, Module):
        raise ArgumentError(f"summary: module: got {type(module).__name__}; expected an nn.Module")
    shapes = _shapes(input_shape)
    first = next((p for p in module.parameters() if p.dtype.kind == "f"), None)
    where = {} if first is None else dict(dtype=first.dtype, device=first.device)
    inputs = [zeros(1, *shape, requires_grad=True, **where) for shape in shapes]
    calls: list[_Call] = []
    with _as_it_was(module), enable_grad(), np.errstate(all="ignore"):  # 0 / 0 is no news here
        module.eval()
        for name, part in module.named_modules():
            vars(part)["forward"] = _watched(name, part, calls)
        module(*inputs)
    return _summarised(module, inputs, calls)


def _shapes(input_shape: Any) -> list[tuple[int, ...]]:
    several = isinstance(input_shape, list) and not all(is_whole(n, 1) for n in input_shape)
    shapes = input_shape if several else [input_shape]
    for shape in shapes:
        if not isinstance(shape, (tuple, list)) or not all(is_whole(n, 1) for n in shape):
            raise ArgumentError(
                f"summary: input_shape: got {input_shape!r}; expected the sizes of an example's "
                "axes, such as (1, 28, 28), or a list of such shapes"
            )
    return [tuple(map(int, shape)) for shape in shapes]


@contextlib.contextmanager
def _as_it_was(module: Module) -> Iterator[None]:
    """After it, whatever happened, the module and the random generators are as they were."""
    attributes = [(m, dict(vars(m))) for m in module.modules()]
    buffers = [(x, x.array, x.array.copy()) for x in module.buffers()]
    places = {x.device for x in (*module.parameters(), *module.buffers())} | {CPU}
    generators = {x for _, own in attributes for x in own.values() if isinstance(x, Generator)}
    generators |= {default_generator(place) for place in places}
    states = [(generator, generator.get_state()) for generator in generators]
    try:
        yield
    finally:
        for m, own in attributes:
            vars(m).clear()
            vars(m).update(own)
        for x, array, copy in buffers:
            x.array = array
            if not array_module(array).array_equal(array, copy, equal_nan=True):
                array[...] = copy
        for generator, state in states:
            generator.set_state(state)


class _Call(NamedTuple):
    """A call of a module: what it gave, and the births between which it was computed."""

    name: str
    module: Module
    inputs: list[Tensor]
    outputs: list[Tensor]
    start: int
    end: int


def _now() -> int:
    """A place in the order of births."""
    return Variable(np.zeros(0)).birth


def _watched(name: str, module: Module, calls: list[_Call]) -> Callable:
    """The module's forward, which notes its calls; an error says where it happened."""
    forward = module.forward

    def watched(*args: Any, **kwargs: Any) -> Any:
        start = _now()
        try:
            y = forward(*args, **kwargs)
        except Exception as error:
            message = str(error)
            known = ArgumentError, DeviceError, DTypeError, GraphError, ShapeError
            if type(error) not in known or message.startswith("summary: "):
                raise
            kind = type(module).__name__
            place = f"{name} ({kind})" if name else kind
            raise type(error)(f"summary: at {place}: {message}") from error
        inputs, outputs = list(_tensors((args, kwargs))), list(_tensors(y))
        calls.append(_Call(name, module, inputs, outputs, start, _now()))
        return y

    return watched


def _tensors(y: Any) -> Iterator[Tensor]:
    """The tensors in what a module answers."""
    if isinstance(y, Tensor):
        yield y
    elif isinstance(y, (tuple, list, dict)):
        for part in y.values() if isinstance(y, dict) else y:
            yield from _tensors(part)


# ---------------------------------------------------------------- what it shows


def _summarised(module: Module, inputs: list[Tensor], calls: list[_Call]) -> Summary:
    try:
        nodes = history(y for call in calls for y in call.outputs)
    except GraphError:  # a forward that differentiates has freed what it did before
        nodes = None
    found = _paths(inputs, nodes or [], calls)
    parameters = list(module.parameters())
    counted: set = set()  # parameters that a row has
    owned = {id(memory_owner(x.array)) for x in (*inputs, *parameters, *module.buffers())}
    layers = []
    for call in calls:
        if not any(call.module.children()):
            layers.append(_layer(call, nodes, found, counted, owned))
    known = nodes is not None and all(layer.multiply_adds is not None for layer in layers)
    return Summary(
        tuple(layers),
        parameters=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        multiply_adds=sum(map(_multiply_adds, nodes)) if known else None,
        activation_memory=sum(layer.memory for layer in layers),
        parameter_memory=sum(p.array.nbytes for p in parameters),
    )


def _layer(
    call: _Call, nodes: list[Variable] | None, found: dict, counted: set, owned: set
) -> Layer:
    """The row of a call; `counted` and `owned` grow by its parameters and its memory."""
    parameters = list(call.module.parameters())
    own = [p for p in parameters if p not in counted]
    fresh = [y.array for y in call.outputs if id(memory_owner(y.array)) not in owned]
    made = [y for y in nodes or [] if call.start < y.birth < call.end]
    products: int | None = sum(map(_multiply_adds, made))
    if nodes is None or (parameters and not made):
        products = None
    shapes = [y.shape[1:] for y in call.outputs]
    output = call.outputs[0] if call.outputs else None
    path = found.get(output)
    layer = Layer(
        call.name, type(call.module).__name__, shapes[0] if len(shapes) == 1 else tuple(shapes),
        *_arithmetic(made),
        receptive_field=None if path is None else sight.field(path, output.shape[2:]),
        jump=None if path is None else sight.jump(path),
        parameters=sum(p.numel() for p in own), multiply_adds=products,
        memory=sum(array.nbytes for array in fresh),
    )  # fmt: skip
    counted.update(own)
    owned.update(id(memory_owner(array)) for array in fresh)
    return layer


def _arithmetic(made: list[Variable]) -> tuple[int | None, Pair | None, float | None]:
    """Relationship, leftover and unevenness of the convolution or the pooling among the nodes."""
    found = [y for y in made if y.primitive in (*CONVOLUTIONS, *TRANSPOSED, *POOLING)]
    if len(found) != 1:
        return None, None, None
    op, geometry = found[0].primitive, found[0].params["geometry"]
    leftover = tuple(max(a, 0) for a in geometry.output_padding)
    if op in POOLING:
        return 7, leftover, None
    if op in CONVOLUTIONS:
        return relationships(geometry)[0], leftover, None
    return relationships(geometry)[1], leftover, unevenness(geometry)


def _multiply_adds(y: Variable) -> int:
    """The products of numbers in a matrix product or a convolution."""
    if not isinstance(y.primitive, Product):
        return 0
    x, w = (v.array if isinstance(v, Variable) else v for v in y.inputs[:2])
    if y.primitive in (*CONVOLUTIONS, *TRANSPOSED):
        pixels = y.array if y.primitive in CONVOLUTIONS else x
        return pixels.size * (w.size // len(w))
    return y.array.size * x.shape[-1]


def _paths(
    inputs: list[Tensor], nodes: list[Variable], calls: list[_Call]
) -> dict[Variable, Path | None]:
    """The path from the image to each node, also through layers that move pixels by reshaping."""
    images = [x for x in inputs if x.ndim == 4]
    known = {call.outputs[0]: (call.inputs[0], step) for call in calls if (step := _shuffle(call))}
    return sight.paths(images, nodes, known)


def _shuffle(call: _Call) -> Step | None:
    """The step of a layer that moves pixels by reshaping."""
    if isinstance(call.module, PixelShuffle):
        r = call.module.upscale_factor
        return sight.transposed(ConvGeometry.transposed(call.inputs[0].shape[-2:], r, r))
    if isinstance(call.module, PixelUnshuffle):
        r = call.module.downscale_factor
        return sight.direct(ConvGeometry.direct(call.inputs[0].shape[-2:], r, r))
    return None
