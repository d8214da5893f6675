"""What a benchmark ran on."""

import importlib
import platform
from datetime import date
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

from minigrad.backend import processors


def machine(device: str, with_torch: bool) -> dict[str, str]:
    """The processor, and the versions of what computes on it."""
    info = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (info.read_text().splitlines() if info.exists() else ())
        if line.startswith("model name")
    ]
    blas = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    found = {
        "processor": f"{processors()} × {names[0] if names else platform.machine()}",
        "Python": f"Python {platform.python_version()}",
        "NumPy": f"NumPy {np.__version__}",
    }
    if blas:
        kernels = blas[0].get("architecture", "unknown")
        found["BLAS"] = f"{blas[0]['internal_api']} {blas[0]['version']} ({kernels})"
    if with_torch:
        found["PyTorch"] = f"PyTorch {importlib.import_module('torch').__version__}"
    return {**found, "device": device, "date": str(date.today())}
