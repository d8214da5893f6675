"""Which array library holds the numbers, on which device, and where randomness comes from.

NumPy holds them on the CPU; CuPy, if it is installed, on a CUDA device. An operation never names
either: it asks `array_module` of the arrays that it was given. This is the only file that names
CuPy, and it is imported at the first use of a CUDA device, never by `import minigrad`.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from minigrad.errors import ArgumentError, DeviceError

Array = Any  # numpy.ndarray, or cupy.ndarray

_modules = {np.ndarray: np}


def register(array_type: type, module: Any) -> None:
    """Let `array_module` answer `module` for arrays of `array_type`."""
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


def device_named(name: "str | Device") -> Device:
    """The device of that name.

    >>> device_named("cuda:1")
    device(type='cuda', index=1)

    Raises ArgumentError if the name is neither `cpu`, `cuda` nor `cuda:<number>`.
    """
    if isinstance(name, Device):
        return name
    kind, _, index = str(name).partition(":")
    if kind == "cpu" and index in ("", "0"):
        return CPU
    if kind == "cuda" and (index.isdecimal() or index == ""):
        return Device("cuda", int(index or 0))
    raise ArgumentError(f"device: got {name!r}; expected 'cpu', 'cuda' or 'cuda:<number>'")


def device_of(x: Array) -> Device:
    """The device that holds `x`."""
    return CPU if array_module(x) is np else Device("cuda", x.device.id)


def to_device(x: Array, where: "str | Device") -> Array:
    """`x` on the device `where`: itself if it is there, else a copy.

    Raises DeviceError if that device cannot be had.
    """
    where = device_named(where)
    if device_of(x) == where:
        return x
    if where == CPU:
        return x.get()
    cupy = _load_cupy()
    with cupy.cuda.Device(where.index):
        return cupy.asarray(x)


def cuda_is_available() -> bool:
    """Whether arrays can be put on a CUDA device: CuPy is installed, and a device answers."""
    try:
        _load_cupy()
    except DeviceError:
        return False
    return True


def _load_cupy():
    """CuPy, registered; DeviceError with the reason if it or its device is missing.

    CuPy installs and imports on machines without a GPU, so a device is asked for too.
    """
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(
            "cuda: CuPy is not installed. pip install 'minigrad-numpy[cuda13]' for CUDA 13, "
            "'minigrad-numpy[cuda12]' for CUDA 12"
        ) from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(
            f"cuda: CuPy {cupy.__version__} is installed, but no CUDA device answers: {error}"
        ) from error
    if not count:
        raise DeviceError(f"cuda: CuPy {cupy.__version__} is installed, but there is no device")
    register(cupy.ndarray, cupy)
    return cupy


def _library(where: Device):
    return np if where == CPU else _load_cupy()


def nccl_sum(where: Device, rank: int, ranks: int) -> Callable[[Array], None]:
    """A function that replaces an array on a CUDA device by the sum of the arrays of all ranks.

    The ranks are processes of MPI, each with a device of its own. All ask for the function at the
    same time, and call it at the same time. Raises DeviceError if NCCL cannot be had.
    """
    cupy = _load_cupy()
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
        self._seed = int(seed)
        self._stream = _library(self.device).random.default_rng(self._seed % 2**64)
        return self

    def initial_seed(self) -> int:
        """The seed that the stream began with."""
        return self._seed

    def get_state(self) -> np.ndarray:
        """Where the stream stands, as bytes (uint8) that `set_state` takes."""
        state = {"seed": self._seed, "stream": self._stream.bit_generator.state}
        return np.frombuffer(json.dumps(state).encode(), np.uint8).copy()

    def set_state(self, state: np.ndarray) -> None:
        """Continue from where `get_state` was called."""
        try:
            state = json.loads(np.asarray(state, np.uint8).tobytes())
            self._stream.bit_generator.state = state["stream"]
            self._seed = state["seed"]
        except (ValueError, TypeError, KeyError) as error:
            raise ArgumentError("set_state: not the state of a generator") from error

    def normal(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Draws from N(0, 1)."""
        return self._stream.standard_normal(shape, dtype=np.dtype(dtype))

    def uniform(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Draws from U[0, 1)."""
        return self._stream.random(shape, dtype=np.dtype(dtype))

    def integers(self, low: int, high: int, shape: tuple[int, ...]) -> Array:
        """Integers from low to high - 1, each as likely."""
        return self._stream.integers(low, high, shape)

    def permutation(self, n: int) -> Array:
        """The integers below n in random order."""
        return self._stream.permutation(n)


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
    return generators[where]


def manual_seed(seed: int) -> Generator:
    """Seed the default generator of every device used so far and of the CPU, which is returned."""
    for where in {CPU, *_default_generators}:
        default_generator(where).manual_seed(seed)
    return default_generator(CPU)
