"""Which array library holds the numbers, on which device, and where randomness comes from.

NumPy holds them on the CPU; CuPy, if it is installed, on a CUDA device. An operation never names
either: it asks `array_module` of the arrays that it was given. This is the only file that
imports CuPy (`kernels` is given it), and it does so at the first use of a CUDA device,
never by `import minigrad`.
"""

import contextlib
import json
import math
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from minigrad import kernels
from minigrad.errors import ArgumentError, DeviceError, DTypeError

Array = Any  # numpy.ndarray, or cupy.ndarray

_modules = {np.ndarray: np}


def register(array_type: type, module: Any) -> None:
    """Let `array_module` answer `module` for arrays of `array_type`: they are on CUDA devices.

    From then on `module` makes what is put on such a device.
    """
    _modules[array_type] = module


def array_module(x: Array):
    """The library that computes with `x`: numpy or cupy. NumPy's scalars count as numpy.

    >>> array_module(np.zeros(3)).__name__
    'numpy'
    """
    return _modules.get(type(x), np)


def memory_owner(x: Array) -> Array:
    """The array that owns the memory which `x` looks at: `x` itself, or what it is a view of."""
    while type(getattr(x, "base", None)) in _modules:
        x = x.base
    return x


def memory_order(x: Array) -> tuple[int, ...]:
    """The axes of x, those of the longest steps in memory first."""
    return tuple(sorted(range(x.ndim), key=lambda i: -x.strides[i]))


def flattened(x: Array, order: tuple[int, ...]) -> Array:
    """The entries of x as a vector, its axes taken in this order; if it is that of x, a view."""
    return x.transpose(order).ravel()


def shaped(vector: Array, shape: tuple[int, ...], order: tuple[int, ...]) -> Array:
    """The inverse of `flattened`: a view of the vector, of this shape."""
    x = vector.reshape([shape[i] for i in order])
    return x.transpose(sorted(range(len(order)), key=order.__getitem__))


def moved(x: Array, vector: Array, order: tuple[int, ...]) -> Array:
    """x with its entries in that vector, in this order."""
    vector[:] = flattened(x, order)
    return shaped(vector, x.shape, order)


def keep_freed_memory() -> None:
    """Let the C library keep the memory of freed arrays for the next ones, up to 62 MB.

    Training frees arrays and wants as large ones again at each step. glibc gives a large freed
    block back to the system, and getting it again, page by page, can take a third of a step. But
    it learns: once a block was freed, it keeps blocks up to that size. So free one, never touched.
    """
    np.empty(31 << 20, np.uint8)


# ---------------------------------------------------------------- devices


class Device(NamedTuple):
    """Where an array lives: on the CPU, or on a CUDA device of some number."""

    type: str
    index: int | None = None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device(type={self.type!r}" + (
            ")" if self.index is None else f", index={self.index})"
        )


CPU = Device("cpu")


def device_named(name: "str | Device", index: int | None = None) -> Device:
    """The device of that name, or of that type and number.

    >>> device_named("cuda:1"), device_named("cuda", 1)
    (device(type='cuda', index=1), device(type='cuda', index=1))

    Raises ArgumentError if the name is neither `cpu`, `cuda` nor `cuda:<number>`.
    """
    if isinstance(name, Device):
        return name
    kind, _, number = (str(name) if index is None else f"{name}:{index}").partition(":")
    if kind == "cpu" and number in ("", "0"):
        return CPU
    if kind == "cuda" and (number.isdecimal() or number == ""):
        return Device("cuda", int(number or 0))
    raise ArgumentError(f"device: got {name!r}; expected 'cpu', 'cuda' or 'cuda:<number>'")


def device_of(x: Array) -> Device:
    """The device that holds `x`."""
    return CPU if array_module(x) is np else Device("cuda", x.device.id)


def can_look(x: Array) -> bool:
    """Whether entries of `x` are known without waiting: on a device they may not be computed yet.

    Where they are not, values are not checked; what is wrong then shows in the loss, as NaN.
    """
    return array_module(x) is np


def to_device(x: Array, where: "str | Device") -> Array:
    """`x` on the device `where`: itself if it is there, else a copy.

    Raises DeviceError if that device cannot be had.
    """
    where = device_named(where)
    if device_of(x) == where:
        return x
    if where == CPU:
        return x.get()
    library = _cuda_library()
    _use(library, where)
    return library.asarray(x) if array_module(x) is np else x.copy()  # a copy is made where in use


def cuda_is_available() -> bool:
    """Whether arrays can be put on a CUDA device: CuPy is installed, and a device answers."""
    try:
        _cuda_library()
    except DeviceError:
        return False
    return True


def _cuda_library():
    """The library that is registered for CUDA devices, else CuPy, which is then registered.

    CuPy installs and imports on machines without a GPU, so a device is asked for, too, and made to
    compute. Raises DeviceError with the reason if CuPy, the device, or its tools are missing.
    """
    for module in _modules.values():
        if module is not np:
            return module
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(
            "cuda: CuPy is not installed. pip install 'minigrad-numpy[cuda13]' for CUDA 13, "
            "'minigrad-numpy[cuda12]' for CUDA 12"
        ) from error
    found = f"cuda: CuPy {cupy.__version__} is installed, but"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(f"{found} no CUDA device answers: {error}") from error
    if not count:
        raise DeviceError(f"{found} there is no device")
    try:
        (cupy.ones(1) + 1).get()
    except Exception as error:  # from the compiler, a library that is missing, or the driver
        raise DeviceError(f"{found} the device computes nothing: {error}") from error
    register(cupy.ndarray, cupy)
    return cupy


def _use(library: Any, where: Device) -> None:
    """Have a CUDA device in use, in this thread: what is computed from now on is made there."""
    try:
        library.cuda.Device(where.index).use()
    except Exception as error:
        raise DeviceError(f"{where}: there is no such device: {error}") from error


def linalg_errors(x: Array) -> contextlib.AbstractContextManager:
    """Within it LinAlgError is raised for matrices like x as NumPy raises it.

    CuPy does so only if it is asked to, for the host must wait to know.
    """
    if not kernels.has_kernels(array_module(x)):
        return contextlib.nullcontext()
    import cupyx

    return cupyx.errstate(linalg="raise")


def nccl_sum(where: Device, rank: int, ranks: int) -> Callable[[Array], None]:
    """A function that replaces an array on a CUDA device by the sum of the arrays of all ranks.

    The ranks are processes of MPI, each with a device of its own. All ask for the function at the
    same time, and call it at the same time. Raises DeviceError if NCCL cannot be had.
    """
    cupy = _cuda_library()
    import cupyx.distributed

    device = cupy.cuda.Device(where.index)
    try:
        with device:
            group = cupyx.distributed.init_process_group(ranks, rank, use_mpi=True)
    except RuntimeError as error:  # NcclError is one as well
        raise DeviceError(
            f"{where}: no sum over ranks by NCCL (package nvidia-nccl-cu13 or -cu12): {error}"
        ) from error

    def add(x: Array) -> None:
        with device:
            group.all_reduce(x, x)

    return add


# ---------------------------------------------------------------- randomness


class Generator:
    """A stream of random numbers: the same seed gives the same numbers, bit for bit.

    On the CPU it is NumPy's; on a CUDA device, where that cannot be had, a `_CounterStream`.

    >>> Generator().manual_seed(0).integers(0, 100, (5,))
    array([85, 63, 51, 26, 30])
    """

    def __init__(self, device: "str | Device" = CPU) -> None:
        self.device = device_named(device)
        self.manual_seed(int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> 1))

    def manual_seed(self, seed: int) -> "Generator":
        """Start the stream of `seed`, an integer; negative ones count too."""
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
            raise ArgumentError(f"manual_seed: seed: got {seed!r}; expected an integer")
        self._seed, start = int(seed), int(seed) % 2**64
        on_cpu = self.device == CPU
        self._stream = (
            np.random.default_rng(start) if on_cpu else _CounterStream(start, _cuda_library())
        )
        return self

    def initial_seed(self) -> int:
        """The seed that the stream began with."""
        return self._seed

    def get_state(self) -> np.ndarray:
        """Where the stream stands, as bytes (uint8) that `set_state` takes."""
        state = {"seed": self._seed, "stream": self._stream.bit_generator.state}
        return np.frombuffer(json.dumps(state).encode(), np.uint8).copy()

    def set_state(self, state: np.ndarray) -> None:
        """Continue from where `get_state` was called, on a generator of the same device type."""
        try:
            state = json.loads(np.asarray(state, np.uint8).tobytes())
            self._stream.bit_generator.state = state["stream"]
            self._seed = state["seed"]
        except (ValueError, TypeError, KeyError) as error:
            raise ArgumentError("set_state: not the state of such a generator") from error

    def normal(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Draws from N(0, 1)."""
        return self._drawn("standard_normal", shape, dtype=_drawable(dtype))

    def uniform(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Draws from U[0, 1)."""
        return self._drawn("random", shape, dtype=_drawable(dtype))

    def integers(self, low: int, high: int, shape: tuple[int, ...]) -> Array:
        """Integers from low to high - 1, each as likely."""
        return self._drawn("integers", low, high, shape)

    def permutation(self, n: int) -> Array:
        """The integers below n in random order."""
        return self._drawn("permutation", n)

    def _drawn(self, kind: str, *args: Any, **options: Any) -> Array:
        if self.device != CPU:
            _use(self._stream.library, self.device)
        return getattr(self._stream, kind)(*args, **options)


def _drawable(dtype: Any) -> np.dtype:
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise DTypeError(f"random: dtype: got {np.dtype(dtype)}; expected float32 or float64")
    return np.dtype(dtype)


class _CounterStream:
    """The methods of NumPy's generators that are needed, on arrays of any library.

    Number i of a stream is a function of i and of the seed, by `kernels.random_bits`. So the state
    is how many there were, and no memory of the device is in it.
    """

    def __init__(self, seed: int, library: Any) -> None:
        self.key, self.block, self.library = seed, 0, library
        self.bit_generator = self

    @property
    def state(self) -> dict[str, int]:
        """The key, and how many blocks of four numbers were drawn."""
        return {"key": self.key, "block": self.block}

    @state.setter
    def state(self, state: dict[str, int]) -> None:
        self.key, self.block = int(state["key"]), int(state["block"])

    def _bits(self, n: int) -> Array:
        """n numbers of 64 bits."""
        bits = kernels.random_bits(self.library, self.key, self.block, n)
        self.block += -(-n // 4)
        return bits

    def random(self, shape: tuple[int, ...], dtype: np.dtype) -> Array:
        """k / 2ᵇ, with the b bits that the type can hold."""
        held = np.finfo(dtype).nmant + 1
        bits = self._bits(math.prod(shape)) >> np.uint64(64 - held)
        return (bits.astype(dtype) * dtype.type(0.5**held)).reshape(shape)

    def standard_normal(self, shape: tuple[int, ...], dtype: np.dtype) -> Array:
        """√(-2 ln u) cos φ and √(-2 ln u) sin φ, u from (0, 1], φ from [0, 2π).

        Source: Box and Muller, The Annals of Mathematical Statistics 29 (1958), 610-611.
        """
        xp, n = self.library, math.prod(shape)
        drawn = self.random((2, -(-n // 2)), dtype)
        radius, angle = xp.sqrt(-2.0 * xp.log(1.0 - drawn[0])), drawn[1] * (2.0 * math.pi)
        pairs = xp.concatenate([radius * xp.cos(angle), radius * xp.sin(angle)])
        return pairs[:n].reshape(shape)

    def integers(self, low: int, high: int, shape: tuple[int, ...]) -> Array:
        """A remainder: some are likelier than others, by (high - low) / 2⁶⁴ at most."""
        bits = self._bits(math.prod(shape)) % np.uint64(high - low)
        return (bits.astype(np.int64) + low).reshape(shape)

    def permutation(self, n: int) -> Array:
        """The order of n random numbers."""
        return self.library.argsort(self._bits(n))


_default_generators: dict[Device, Generator] = {}


class Worker(NamedTuple):
    """One of several threads that take parts of a batch."""

    number: int
    seed: int
    generators: dict[Device, Generator]  # its own; two threads must not share a stream


_worker: ContextVar[Worker | None] = ContextVar("worker", default=None)


@contextlib.contextmanager
def as_worker(number: int, seed: int) -> Iterator[None]:
    """Within it this thread is a worker, and draws from streams of its own."""
    token = _worker.set(Worker(number, seed, {}))
    try:
        yield
    finally:
        _worker.reset(token)


def is_first_worker() -> bool:
    """Whether this thread keeps the running statistics: it is worker 0, or there are no others."""
    worker = _worker.get()
    return worker is None or worker.number == 0


_ALONE = 1, map  # workers, and what sets them to work
_sharing: ContextVar[tuple[int, Callable]] = ContextVar("sharing", default=_ALONE)


@contextlib.contextmanager
def shared_by(workers: int, each: Callable) -> Iterator[None]:
    """Within it `share_out` has so many workers, and each(function, items) sets them to work."""
    token = _sharing.set((workers, each))
    try:
        yield
    finally:
        _sharing.reset(token)


def share_out(function: Callable[[int, int], None]) -> None:
    """function(i, n) by each worker i of n, at the same time; function(0, 1) if there are none.

    A worker does what it has to do alone.
    """
    workers, each = _sharing.get() if _worker.get() is None else _ALONE
    list(each(lambda i: function(i, workers), range(workers)))


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_generator(where: Device = CPU) -> Generator:
    """The stream that draws on a device when no generator is given."""
    worker = _worker.get()
    generators = _default_generators if worker is None else worker.generators
    if where not in generators:
        generators[where] = Generator(where)
        if worker is not None:
            generators[where].manual_seed(worker.seed)
        elif where != CPU:
            generators[where].manual_seed(default_generator(CPU).initial_seed())
    return generators[where]


def manual_seed(seed: int) -> Generator:
    """Seed the default generator of every device, and return that of the CPU.

    A device that is used later starts from the seed of the CPU.
    """
    for where in {CPU, *_default_generators}:
        default_generator(where).manual_seed(seed)
    return default_generator(CPU)
