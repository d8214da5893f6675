"""What every test shares: examples that Hypothesis draws, pictures without a screen, devices."""

import os

import pytest
from hypothesis import settings

from minigrad import backend
from tests import strict

os.environ["MPLBACKEND"] = "Agg"
# The array code is what is tested; tests/kernels holds the kernels against it.
os.environ.setdefault("MINIGRAD_KERNELS", "0")

# No deadline: the first call of an operation may be slow. `ci` draws the same examples every time.
settings.register_profile("dev", deadline=None, max_examples=25)
settings.register_profile(
    "ci", deadline=None, max_examples=100, derandomize=True, database=None, print_blob=True
)
settings.register_profile("nightly", deadline=None, max_examples=3000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev"))


def pytest_addoption(parser):
    parser.addoption(
        "--device", choices=("strict", "cpu", "cuda"), default="strict",
        help="where tests/device runs: on CuPy's stand-in (default), on NumPy, or on a CUDA device",
    )  # fmt: skip


def pytest_configure(config):
    """Refuse to run on a device that cannot be had: skipped tests would look like passed ones."""
    if config.getoption("--device") == "cuda":
        try:
            backend.Generator("cuda")
        except backend.DeviceError as error:
            raise pytest.UsageError(f"--device cuda: {error}") from error


@pytest.fixture
def device(request, monkeypatch):
    """The name of the device that tests of devices run on: `cuda`, real or not, or `cpu`."""
    asked = request.config.getoption("--device")
    if asked == "strict":
        monkeypatch.setitem(backend._modules, strict.ndarray, strict.library)
        monkeypatch.setattr(backend, "_default_generators", {})
        strict.waits.clear()
    return "cpu" if asked == "cpu" else "cuda"
