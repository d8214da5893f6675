r"""The memory of an optimiser: parameters that are stepped together, and what is kept of them.

A formula that goes through memory many times is quick if what it reads is still in the processor's
cache, and if it writes into memory that it already has. So parameters and state lie in flat
buffers, each parameter a view of its stretch, and are gone through in pieces.
"""

from collections.abc import Iterator
from typing import Any

from minigrad import kernels
from minigrad.backend import CPU, Array, array_module, flattened, memory_order, moved, to_device
from minigrad.tensor import Tensor

PIECE = 1 << 16  # entries updated at a time: four arrays of 256 kB stay in the cache
SHARED = 1 << 18  # entries from which on it pays to have workers share them
FORGET_EVERY = 100  # steps; by then a momentum has become 0.9¹⁰⁰ = 3e-5 of what it was
FORGOTTEN = {"float32": 1e-32, "float64": 1e-302}  # what is less becomes 0


class Block:
    """Parameters stepped together: flat buffers of their values and state.

    All are in one array: for 4 MB and more NumPy asks the system for large pages of memory. There
    each parameter keeps its order of axes.
    """

    def __init__(self, params: list[Tensor], states: list[dict[str, Any]], piece: int) -> None:
        xp, place = array_module(params[0].array), params[0].device
        self.params = params
        self.orders = [memory_order(p.array) for p in params]
        self.step = states[0]["step"]
        names = [name for name in states[0] if name != "step"]
        size = sum(p.array.size for p in params)
        self.memory = xp.empty((1 + len(names), size), params[0].dtype)
        self.values = self.memory[0]
        self.buffers = {name: self.memory[i] for i, name in enumerate(names, start=1)}
        on_cpu = place == CPU
        self.is_shared = on_cpu and size >= SHARED
        self.piece = piece if on_cpu else max(piece, size)  # a device has no need of several
        self._scratch: dict[int, Array] = {}
        start = 0
        for p, state, order in zip(params, states, self.orders, strict=True):
            stretch = slice(start, start + p.array.size)
            p.array = moved(p.array, self.values[stretch], order)
            for name, buffer in self.buffers.items():
                state[name] = moved(to_device(state[name], place), buffer[stretch], order)
            start = stretch.stop
        self._pieces = []
        start = 0
        for whose, part in self._cut(PIECE if on_cpu else self.piece):
            stretch = slice(start, start + part.stop - part.start)
            state = {name: buffer[stretch] for name, buffer in self.buffers.items()}
            self._pieces.append((self.values[stretch], state, whose, part))
            start = stretch.stop

    def still_holds(self, params: list[Tensor], buffers: tuple[str, ...]) -> bool:
        """Whether it has just these, and nobody has given one of the parameters another array."""
        return (
            len(params) == len(self.params)
            and self.buffers.keys() >= {*buffers}
            and all(
                p is q and p.array.base is self.memory
                for p, q in zip(params, self.params, strict=True)
            )
        )

    def pieces(self) -> Iterator[tuple[Array, Array, dict[str, Array]]]:
        """(values, gradients, state) of one stretch after the other."""
        each = zip(self.params, self.orders, strict=True)
        gradients = [flattened(p.grad.array, order) for p, order in each]
        for values, state, whose, part in self._pieces:
            found = gradients[whose]
            g = found[0] if len(found) == 1 else array_module(values).concatenate(found)
            yield values, g[part], state

    def scratch(self, worker: int) -> Array:
        """Two arrays of a piece, that worker's own."""
        if worker not in self._scratch:
            size = 2, min(self.piece, self.values.size)
            self._scratch[worker] = array_module(self.values).empty(size, self.values.dtype)
        return self._scratch[worker]

    def _cut(self, short: int) -> Iterator[tuple[slice, slice]]:
        """The parameters that make a piece, and the part of them; short ones are taken together."""
        sizes = [p.array.size for p in self.params]
        first = 0
        while first < len(sizes):
            size, last = sizes[first], first + 1
            while last < len(sizes) and size + sizes[last] <= short:
                size, last = size + sizes[last], last + 1
            for start in range(0, size, self.piece):
                yield slice(first, last), slice(start, min(start + self.piece, size))
            first = last


def forget_traces(a: Array, scratch: Array) -> None:
    """a ← 0 where |a| is next to nothing, before it becomes smaller than the normal numbers.

    Where no gradient comes any more, as in a dead unit, a momentum is multiplied by β at every
    step, and a weight decays. They do not end at 0: 0.9 of the smallest number there is rounds to
    that number. Intel's processors need a hundred times as long for such subnormal numbers, in
    every product too. PyTorch's set_flush_denormal(True) makes the processor take them for 0.
    """
    if not (least := FORGOTTEN.get(a.dtype.name)):
        return
    xp = array_module(a)
    if forget := kernels.find("forget", xp, a.dtype):
        forget(a, least)
    else:
        a *= xp.abs(a, out=scratch) >= least
