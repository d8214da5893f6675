"""Every row of the table computes on a device what it computes on the CPU, and there alone.

That the CPU's values and gradients are right is for tests/ops/test_table.py to say.
"""

import pytest

from minigrad.samples import GROUPS, ROWS
from minigrad.samples.checks import DRAWN, equal, results
from tests import strict

SPREAD = {row.name for row in GROUPS["spread over one another"]}
# One way of broadcasting will do; and the draws of a device are its own.
SKIPPED = SPREAD - {f"{name}, a column and a row" for name in ("add", "maximum", "where")}
SKIPPED |= set(DRAWN)
TABLE = [row for row in ROWS if row.name not in SKIPPED]

# Operations that must look at numbers: whether a matrix is positive definite, how many are picked.
LOOKS = "cholesky", "inv", "logdet", "solve_triangular", "getitem", "probit"


@pytest.mark.parametrize("row", TABLE, ids=[row.name for row in TABLE])
def test_a_device_computes_what_the_cpu_does(row, device):
    there = results(row, device)
    assert not strict.waits or row.name.split(" ")[0].rstrip(",") in LOOKS
    assert {x.device.type for x in there} == {device}
    equal(there, results(row, "cpu"))
