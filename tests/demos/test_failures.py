"""Each exhibit of the museum is sick, and its cure heals: by the number that it prints."""

import re
from argparse import Namespace
from functools import partial

import numpy as np
import pytest
from PIL import Image

import minigrad
from demos.failure_exhibits import EXHIBITS, fires, gradient_norm
from demos.failure_pictures import number
from minigrad import nn
from minigrad.nn import functional as F
from models.game import Game
from models.gan import MLPGAN
from tests.demos.running import assert_one_line, printed, run_demo

demo = partial(run_demo, "failures")


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quick")
    return printed("failures", "--quick", "--out", folder), folder / "failures"


@pytest.mark.parametrize("name", EXHIBITS)
def test_it_is_sick_and_its_cure_heals(quick, name):
    """The printed numbers are on the two sides of the exhibit's limit."""
    (line,) = (line for line in quick[0].splitlines() if re.match(rf"{name}\s", line))
    _, said, rule, sick, cured, found, healed, _ = re.split(r"\s{2,}", line)
    exhibit = EXHIBITS[name]
    assert said == exhibit.number and rule == exhibit.rule()
    assert exhibit.is_sick(float(sick)) and not exhibit.is_sick(float(cured))
    assert (found, healed) == ("1 of 1", "1 of 1")


def test_every_exhibit_has_a_picture_and_all_are_on_the_sheet(quick):
    text, folder = quick
    for name in (*EXHIBITS, "sheet"):
        assert f"  {name}.png" in text
        with Image.open(folder / f"{name}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 20, name
            assert (folder / f"{name}.png").stat().st_size < 500_000, name


def test_one_is_a_flag_away_and_seeds_are_counted(tmp_path):
    text = printed(
        "failures", "--quick", "--only", "exploding_loss", "--seeds", "2", "--out", tmp_path
    )
    assert "2 of 2      2 of 2" in text and "exploding_loss  inf        inf" in text
    assert [path.name for path in (tmp_path / "failures").glob("*.png")] == ["exploding_loss.png"]


def test_another_seed_is_another_run():
    args = Namespace(quick=True, device="cpu", epochs=1, dataset="glyphs", data_dir=None, seed=0)
    first, second = (EXHIBITS["checkerboard"].train(args, seed, False).value for seed in (0, 1))
    assert first != second and first == EXHIBITS["checkerboard"].train(args, 0, False).value


# ---------------------------------------------------------------- the numbers


def test_a_unit_is_dead_if_it_answers_to_nothing():
    model = nn.Sequential(nn.Linear(1, 3), nn.ReLU())
    with minigrad.no_grad():
        model[0].weight.copy_(minigrad.tensor([[1.0], [1.0], [1.0]]))
        model[0].bias.copy_(minigrad.tensor([0.0, -1.5, -5.0]))
    x = minigrad.tensor([[1.0], [2.0], [-1.0], [3.0]])
    assert fires(model, x).tolist() == [0.75, 0.5, 0.0]


def test_the_gradients_norm_is_that_of_backward():
    minigrad.manual_seed(0)
    game = Game(MLPGAN(hidden=(4,)), "minimax")
    z = game.gan.noise(5)
    found = gradient_norm(game, z)
    assert all(p.grad is None for p in game.gan.generator.parameters())
    (-F.softplus(game.gan.judge(game.gan.make(z))).mean()).backward()
    squares = [p.grad.square().sum().item() for p in game.gan.generator.parameters()]
    assert found == pytest.approx(sum(squares) ** 0.5, rel=1e-5)


def test_limits_have_two_sides():
    for exhibit in EXHIBITS.values():
        low, high = 0.5 * exhibit.limit, 2 * exhibit.limit
        assert exhibit.is_sick(high) is exhibit.above and exhibit.is_sick(low) is not exhibit.above
    assert [number(x) for x in (float("inf"), 0.53217, 8.0)] == ["inf", "0.532", "8"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--seeds", "0"), "--seeds: got 0; expected at least 1"),
        (("--data-dir", "/nowhere", "--only", "dead_relus"), "missing files in /nowhere"),
    ],
)
def test_what_goes_wrong_is_one_line(tmp_path, arguments, message):
    assert_one_line(demo("--quick", "--out", tmp_path, *arguments), message)
