"""What all workers have in common: parts of a batch, the gradient of one, and the flat sum."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

from minigrad.backend import (
    Array,
    array_module,
    as_worker,
    default_generator,
    memory_order,
    shaped,
)
from minigrad.engine import Variable, grad
from minigrad.errors import ArgumentError, ShapeError
from minigrad.nn.module import Module
from minigrad.tensor import Tensor

Loss = Callable[..., "Tensor | dict[str, Tensor]"]
Batch = Sequence["Tensor | Parts"]
Gradients = list["Variable | None"]  # one for each parameter; None where the loss does without it


class Workers(Protocol):
    """Some workers that share the work of a step, as training sees them."""

    def backward(
        self, loss: Loss, batch: Batch, parameters: Iterable[Tensor]
    ) -> Tensor | dict[str, Tensor]:
        """Add ∇loss(*batch) to the `.grad` of the parameters; the loss, without its graph.

        `loss` is called with parts of the batch. It must answer with a mean over its examples, or
        a dict of means of which "loss" is differentiated.
        """

    def synchronise(self, model: Module) -> None:
        """See that all workers have one and the same model."""


class Parts(list):
    """What workers have made of their parts of a batch: another batch that is cut already."""


class Part(NamedTuple):
    """A worker's part of a batch."""

    number: int
    batch: list[Tensor]
    share: float  # nᵢ / n
    seed: int  # of what the worker draws at random


def cut(batch: Batch, workers: int) -> list[Part]:
    """Parts of a batch as equal as can be: one for each worker, or for each example if fewer.

    Raises ShapeError if the tensors are not of one length, ArgumentError if they are empty, or cut
    already by other workers.
    """
    sizes = {sum(map(len, x)) if isinstance(x, Parts) else len(x) for x in batch}
    if len(sizes) != 1:
        raise ShapeError(f"workers: batch: got lengths {sorted(sizes)}; expected one for all")
    n = sizes.pop()
    if not n:
        raise ArgumentError("workers: batch: got no examples; expected at least one")
    parts = min(workers, n)
    edges = [n * i // parts for i in range(parts + 1)]
    places = [slice(*ends) for ends in pairwise(edges)]
    lengths = [place.stop - place.start for place in places]
    if any(isinstance(x, Parts) and [*map(len, x)] != lengths for x in batch):
        raise ArgumentError(f"workers: batch: got parts of another cut; expected {lengths}")
    seeds = default_generator().integers(0, 2**31, (parts,)).tolist()
    return [
        Part(
            i, [x[i] if isinstance(x, Parts) else x[place] for x in batch], lengths[i] / n, seeds[i]
        )
        for i, place in enumerate(places)
    ]


def part_output(function: Callable[..., Any], part: Part) -> Any:
    """What a worker makes of its part of a batch."""
    with as_worker(part.number, part.seed):
        return function(*part.batch)


def part_gradient(loss: Loss, part: Part, wanted: Sequence[Tensor]) -> tuple[Any, Gradients]:
    """(nᵢ/n) Lᵢ, or a dict of such, and (nᵢ/n) ∇Lᵢ: a worker's share of the work."""
    with as_worker(part.number, part.seed):
        found = loss(*part.batch)
        named = found if isinstance(found, dict) else {"loss": found}
        weighted = {name: value * part.share for name, value in named.items()}
        gradients = grad(weighted["loss"], wanted, allow_unused=True)
    values = {name: value.detach() for name, value in weighted.items()}
    return (values if isinstance(found, dict) else values["loss"]), list(gradients)


def added(values: Sequence[Any]) -> Any:
    """The sum of numbers, or of dicts of numbers by name."""
    if isinstance(values[0], dict):
        return {name: added([v[name] for v in values]) for name in values[0]}
    return sum(values[1:], start=values[0])


class FlatGradient:
    """The gradient in one flat buffer (one for each element type), a stretch for each parameter.

    A buffer is sent in one message, and a sum does not care where a parameter ends.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        sizes: dict[Any, int] = {}
        places = []
        for p in parameters:
            start = sizes.get(p.dtype, 0)
            sizes[p.dtype] = start + p.array.size
            places.append(slice(start, sizes[p.dtype]))
        self.parameters = parameters
        self.buffers: dict[Any, Array] = {
            dtype: array_module(parameters[0].array).empty(size, dtype)
            for dtype, size in sizes.items()
        }
        self.stretches = [
            shaped(self.buffers[p.dtype][place], p.array.shape, memory_order(p.array))
            for p, place in zip(parameters, places, strict=True)
        ]

    def write_sum(self, parts: Sequence[Gradients], i: int = 0, n: int = 1) -> None:
        """Σ of the parts' gradients; or share i of n of that, about as large as the others."""
        sums = sorted(zip(self.stretches, *parts, strict=True), key=lambda sum: sum[0].size)
        for stretch, *gradients in sums[i::n]:
            found = [g.array for g in gradients if g is not None]
            first, second, *others = found + [0.0] * (2 - len(found))
            array_module(stretch).add(first, second, out=stretch)
            for g in others:
                stretch += g

    def hand_out(self, used: Iterable[bool]) -> None:
        """Add to the `.grad` of each parameter that the loss used."""
        for p, stretch, is_used in zip(self.parameters, self.stretches, used, strict=True):
            if is_used:
                p.grad = Tensor(stretch) if p.grad is None else p.grad + Tensor(stretch)
