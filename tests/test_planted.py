"""A sample of `make mutants`: wrong rules are refused, right ones are not accused."""

from collections import Counter

import numpy as np
import pytest

from minigrad.engine import history
from minigrad.gradcheck import check_grads
from minigrad.ops.elementwise import exp
from minigrad.samples import ROWS, large
from minigrad.samples.checks import accuse
from minigrad.samples.families import FAMILIES, HANDMADE
from minigrad.samples.kinds import KINDS
from minigrad.samples.large import check_convolution
from minigrad.samples.planted import planted
from minigrad.samples.trials import judge
from tests import mutants

SHARE = 17  # one mutant in so many; prime, so that families and primitives take turns
LARGE = [(28, "turned by 180°"), (40, "last column 0"), (40, "one entry × 1.001")]


@pytest.fixture(scope="module")
def wrong():
    return mutants.wrong_rules()


def test_every_primitive_has_twenty_wrong_rules(wrong):
    """Each one with a rule that the table meets."""
    planted_in = Counter(mutant.site.primitive for mutant in wrong)
    assert len(planted_in) > 70 and min(planted_in.values()) >= 20
    met = set()
    for row in ROWS:
        y = row.fn(*row.inputs())
        met |= {node.primitive for node in history([y])} if y.requires_grad else set()
    assert met <= set(planted_in)


def test_every_handmade_mistake_is_one(wrong):
    made = sum(map(len, HANDMADE.values()))
    assert sum(mutant.family not in FAMILIES for mutant in wrong) == made > 60


@pytest.mark.parametrize("part", range(4))
def test_wrong_rules_are_caught_within_three_draws(wrong, part):
    handmade = [mutant for mutant in wrong if mutant.family not in FAMILIES]
    sample = [*wrong[::SHARE], *handmade][part::4]
    outcomes = list(map(judge, sample))
    assert [o.name for o in outcomes if not o.caught] == []
    named = [o.named for o in outcomes if o.named is not None]
    assert sum(named) >= 0.95 * len(named)


@pytest.mark.parametrize("kind", KINDS)
def test_right_rules_are_not_accused(kind):
    """One draw of every third row, another third for each kind."""
    third = list(KINDS).index(kind) % 3
    with np.errstate(all="ignore"):
        verdicts = Counter(accuse(row, kind, third + 1).verdict for row in ROWS[third::3])
    assert verdicts["FAIL"] == 0 and verdicts["PASS"] > 30
    assert kind != "ordinary" or set(verdicts) == {"PASS"}


@pytest.mark.parametrize("size, name", LARGE)
def test_wrong_gradient_of_a_large_convolution_is_caught(size, name):
    assert check_convolution((2, 3, size, size), large.LARGE[name], 0).verdict == "FAIL"


def test_right_gradient_of_a_large_convolution_passes():
    assert check_convolution((2, 3, 40, 40), None, 0).verdict == "PASS"


def test_what_is_planted_is_taken_out_again():
    right = exp.rules
    with pytest.raises(ZeroDivisionError), planted(exp, 0, lambda call: 1 / 0):
        check_grads(exp, ROWS[0].inputs()[0])
    assert exp.rules is right
    assert check_grads(exp, ROWS[0].inputs()[0]).verdict == "PASS"
