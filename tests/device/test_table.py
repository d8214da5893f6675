"""Every row of the table computes on a device what it computes on the CPU, and there alone.

That the CPU's values and gradients are right is for tests/ops/test_table.py to say.
"""

import numpy as np
import pytest

from minigrad.engine import grad
from minigrad.samples import GROUPS, ROWS
from minigrad.samples.checks import cotangent
from minigrad.tensor import Tensor
from tests import strict

SPREAD = {row.name for row in GROUPS["spread over one another"]}
# One way of broadcasting will do; and the draws of a device are its own.
SKIPPED = SPREAD - {f"{name}, a column and a row" for name in ("add", "maximum", "where")}
SKIPPED |= {"nn.Dropout", "nn.Dropout2d"}
TABLE = [row for row in ROWS if row.name not in SKIPPED]

# Operations that must look at numbers: whether a matrix is positive definite, how many are picked.
LOOKS = "cholesky", "inv", "logdet", "solve_triangular", "getitem", "probit"


def results(row, device):
    """The output and its gradients by all inputs, as arrays where they were computed."""
    xs = [Tensor(x.array).to(device).requires_grad_() for x in row.inputs()]
    y = row.fn(*xs)
    v = cotangent(y.cpu()).to(device)
    strict.waits.clear()
    return [y.detach(), *(grad(y, xs, v) if y.requires_grad else ())]


@pytest.mark.parametrize("row", TABLE, ids=[row.name for row in TABLE])
def test_a_device_computes_what_the_cpu_does(row, device):
    there = results(row, device)
    assert not strict.waits or row.name.split(" ")[0].rstrip(",") in LOOKS
    here = results(row, "cpu")
    assert {x.device.type for x in there} == {device}
    for a, b in zip(there, here, strict=True):
        np.testing.assert_allclose(a.cpu().numpy(), b.numpy(), rtol=1e-9, atol=1e-12)
