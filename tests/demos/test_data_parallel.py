"""The demo of data parallelism: its sum is the gradient, by hand, by threads and by ranks."""

import re

import numpy as np
import pytest
from PIL import Image

import minigrad
from demos.data_parallel import added_by_hand, gradient
from demos.mpi import mpiexec, run_ranks
from minigrad import nn
from minigrad.nn import functional as F
from tests.demos.running import ROOT, assert_one_line, printed, run_demo

NEEDS_MPI = pytest.mark.skipif(
    mpiexec() is None, reason='no mpiexec or no mpi4py: pip install "minigrad-numpy[parallel]"'
)


def colours(path) -> float:
    """How much a picture's pixels differ."""
    with Image.open(path) as picture:
        return float(np.asarray(picture.convert("RGB")).std())


def apart(text: str, dtype: str) -> float:
    """How far apart the weights got, by the table."""
    return float(re.search(rf"^{dtype} .* (\S+)$", text, re.MULTILINE)[1])


def test_what_is_added_by_hand_is_the_gradient_of_all():
    model = nn.Linear(6, 3, dtype=minigrad.float64)
    x = minigrad.randn(8, 6, dtype=minigrad.float64)
    t = minigrad.tensor(np.arange(8) % 3)
    loss = lambda x, t: F.cross_entropy(model(x), t)
    total, places, shares = added_by_hand(model, loss, x, t, parts=3)
    assert [len(x[place]) for place in places] == [2, 3, 3] and len(shares) == 3
    np.testing.assert_allclose(total, gradient(model, loss, x, t), atol=1e-15)


def test_threads_and_their_pictures(tmp_path):
    text = printed("data_parallel", "--quick", "--out", tmp_path)
    assert "one step, 10 + 11 + 11 images" in text and "training by 4 threads" in text
    assert 0 < apart(text, "float64") < 1e-13 and 1e-9 < apart(text, "float32") < 1e-4
    assert "2 threads" in text and ("2 ranks" in text) == (mpiexec() is not None)
    for name in "one_step", "same_run", "scaling":
        assert colours(tmp_path / "data_parallel" / f"{name}.png") > 15


@NEEDS_MPI
def test_the_same_program_as_ranks(tmp_path):
    done = run_ranks(
        3, "-W", "error", "-m", "demos.data_parallel", "--quick", "--out", tmp_path, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("training by 3 ranks") == 1  # the first one speaks for all
    assert "the weights of all 3 ranks had the same bits" in done.stdout
    assert apart(done.stdout, "float64") < 1e-13


def test_what_goes_wrong_is_one_line():
    assert_one_line(run_demo("data_parallel", "--threads", "0"), "got 0, 3; expected at least 1")
