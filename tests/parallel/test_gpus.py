"""Sums over GPUs: what CuPy is asked for, with a stand-in; nothing here has run on a GPU."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from minigrad import backend
from minigrad.backend import Device, nccl_sum
from minigrad.errors import DeviceError


class Used:
    """cupy.cuda.Device: what is current within its `with` statement."""

    current = None

    def __init__(self, index: int) -> None:
        self.index = index

    def __enter__(self) -> None:
        Used.current = self.index

    def __exit__(self, *_: object) -> None:
        Used.current = None


class Computed:
    """An array, as far as it is asked for to see that the device computes."""

    def __init__(self, _: int) -> None:
        pass

    def __add__(self, _: int) -> "Computed":
        return self

    def get(self) -> np.ndarray:
        return np.ones(1)


def stand_in(monkeypatch, init_process_group) -> None:
    """CuPy with two devices, and CuPy's distributed module with that function."""
    runtime = SimpleNamespace(getDeviceCount=lambda: 2, CUDARuntimeError=RuntimeError)
    cuda = SimpleNamespace(runtime=runtime, Device=Used)
    array = type("ndarray", (), {})
    cupy = SimpleNamespace(cuda=cuda, ndarray=array, ones=Computed, __version__="14")
    monkeypatch.setattr(backend, "_modules", {np.ndarray: np})
    distributed = SimpleNamespace(init_process_group=init_process_group)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, "cupyx", SimpleNamespace(distributed=distributed))
    monkeypatch.setitem(sys.modules, "cupyx.distributed", distributed)


def test_the_sum_is_asked_of_nccl_on_the_rank_s_own_device(monkeypatch):
    calls = []

    def init_process_group(n_devices, rank, *, backend="nccl", host=None, port=None, use_mpi=False):
        calls.append((n_devices, rank, backend, use_mpi, Used.current))
        return SimpleNamespace(all_reduce=all_reduce)

    def all_reduce(in_array, out_array, op="sum", stream=None):
        calls.append((in_array is out_array, op, Used.current))

    stand_in(monkeypatch, init_process_group)
    nccl_sum(Device("cuda", 1), rank=2, ranks=3)(np.ones(4))
    assert calls == [(3, 2, "nccl", True, 1), (True, "sum", 1)]


def test_no_nccl_is_a_plain_message(monkeypatch):
    def init_process_group(*_, **__):
        raise RuntimeError("NCCL is not available")

    stand_in(monkeypatch, init_process_group)
    with pytest.raises(DeviceError, match=r"cuda:1: no sum .* nvidia-nccl.*: NCCL is not avail"):
        nccl_sum(Device("cuda", 1), rank=0, ranks=2)


def test_no_cupy_is_a_plain_message(monkeypatch):
    monkeypatch.setattr(backend, "_modules", {np.ndarray: np})
    monkeypatch.setitem(sys.modules, "cupy", None)  # as if it were not installed
    with pytest.raises(DeviceError, match="CuPy is not installed"):
        nccl_sum(Device("cuda", 0), rank=0, ranks=2)
