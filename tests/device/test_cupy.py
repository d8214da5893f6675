"""CuPy itself: what is said where it or a device is missing, and that the stand-in is like it."""

import inspect
import re
import sys
import types

import numpy as np
import pytest

import minigrad as mg
from minigrad import backend
from minigrad.errors import DeviceError
from minigrad.kernels import cuda
from tests import conftest, strict


def fake(count=1, error=None, computes=True):
    """CuPy as far as it is asked before it is used."""

    class CUDARuntimeError(RuntimeError):
        pass

    def ones(_):
        if not computes:
            raise ImportError("CuPy failed to load libnvrtc.so.13: cannot open shared object file")
        return strict.library.asarray(np.ones(1))

    def count_devices():
        if error:
            raise CUDARuntimeError(error)
        return count

    runtime = types.SimpleNamespace(getDeviceCount=count_devices, CUDARuntimeError=CUDARuntimeError)
    cuda = types.SimpleNamespace(runtime=runtime, Device=strict._Device)
    return types.SimpleNamespace(
        __version__="14.2.0", cuda=cuda, ones=ones, ndarray=strict.ndarray,
        asarray=strict.library.asarray, concatenate=strict.library.concatenate,
    )  # fmt: skip


# What CuPy 14.2 really raises without a driver, and with a driver and no card.
OLD = "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
NONE = "cudaErrorNoDevice: no CUDA-capable device is detected"

MISSING = {
    "not installed": (None, r"CuPy is not installed. pip install 'minigrad-numpy\[cuda13\]'"),
    "no driver": (fake(error=OLD), f"CuPy 14.2.0 is installed, but no CUDA device answers: {OLD}"),
    "no device": (fake(error=NONE), f"but no CUDA device answers: {NONE}"),
    "not one": (fake(count=0), "CuPy 14.2.0 is installed, but there is no device"),
    "no compiler": (fake(computes=False), "the device computes nothing: CuPy failed to load"),
}


@pytest.mark.parametrize("module, message", MISSING.values(), ids=MISSING)
def test_what_is_missing_is_said(module, message, monkeypatch):
    monkeypatch.setattr(backend, "_modules", {np.ndarray: np})
    monkeypatch.setitem(sys.modules, "cupy", module)
    assert not mg.cuda.is_available()
    for use in (
        lambda: mg.zeros(2).to("cuda"), lambda: mg.zeros(2).cuda(), lambda: mg.Generator("cuda"),
        lambda: mg.zeros(1, device="cuda"), lambda: mg.randn(2, device="cuda"),
        lambda: mg.nn.Linear(2, 1).to("cuda:1"),
    ):  # fmt: skip
        with pytest.raises(DeviceError, match=f"^cuda: .*{message}"):
            use()
    assert mg.ones(2).sum().item() == 2  # the CPU is none the worse


def test_pytest_refuses_to_run_without_a_device(monkeypatch):
    monkeypatch.setattr(backend, "_modules", {np.ndarray: np})
    monkeypatch.setitem(sys.modules, "cupy", fake(error=NONE))
    asked = types.SimpleNamespace(getoption=lambda _: "cuda")
    with pytest.raises(pytest.UsageError, match=f"^--device cuda: .* no CUDA device .*: {NONE}"):
        conftest.pytest_configure(asked)


def test_cupy_is_used_once_it_answers(monkeypatch):
    monkeypatch.setattr(backend, "_modules", {np.ndarray: np})
    monkeypatch.setitem(sys.modules, "cupy", fake())
    assert mg.cuda.is_available()
    x = mg.ones(2, device="cuda")
    assert type(x.array) is strict.ndarray and x.device == mg.device("cuda:0")
    with pytest.raises(DeviceError, match="^cuda:7: there is no such device: got device 7"):
        x.to("cuda:7")


# ---------------------------------------------------------------- the stand-in is like CuPy


@pytest.fixture(scope="module")
def cupy():
    return pytest.importorskip("cupy", reason="CuPy is not installed")


def words_of(function):
    """The names of the parameters."""
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # written in Cython: its docstring begins with the signature
        first = function.__doc__.strip().splitlines()[0]
        inside = re.search(r"\((.*)\)", first).group(1)
        return {re.split("[=:]", part)[0].split()[-1].strip("*") for part in inside.split(", ")}


def test_every_function_of_the_stand_in_is_in_cupy_with_its_words(cupy):
    for path, words in strict.FUNCTIONS.items():
        function = cupy
        for name in path.split("."):
            function = getattr(function, name)
        missing = set(words.split()) - words_of(function) if words else set()
        assert not missing or (path, missing) == ("pad", {"constant_values"}), path
    for name in strict.UFUNCS:
        assert isinstance(getattr(cupy, name), cupy.ufunc), name
        assert words_of(getattr(cupy, name)) >= strict.UFUNC_WORDS
    for name in (*strict.CONSTANTS, "ogrid"):
        assert hasattr(cupy, name)


def test_every_method_of_the_stand_in_is_in_cupy_with_its_words(cupy):
    for name, words in strict.METHODS.items():
        assert set(words.split()) <= words_of(getattr(cupy.ndarray, name)), name
    members = {name for name in vars(strict.ndarray) if not name.startswith("_")}
    assert members - {"base", "device"} <= set(dir(cupy.ndarray))


def test_cupy_takes_the_kernels(cupy):
    """As far as that goes without a device: their parameters are parsed, their code is not."""
    for name, (inputs, outputs, _) in cuda.BODIES.items():
        made = cuda._kernel(cupy, name)
        assert (made.nin, made.nout) == (inputs.count(",") + 1, outputs.count(",") + 1)


def test_cupy_without_a_device_is_said(cupy):
    if mg.cuda.is_available():
        pytest.skip("there is a device")
    with pytest.raises(DeviceError, match=f"^cuda: CuPy {cupy.__version__} is installed, but"):
        mg.zeros(1).to("cuda")
