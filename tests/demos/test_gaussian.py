"""demos.gaussian: what it prints is so, by another way where there is one."""

import re

import numpy as np
import pytest

import minigrad
from demos import gaussian
from demos.gaussian_pictures import numbers
from minigrad import tensor
from minigrad.distributions import Normal, kl_divergence
from tests.demos.running import asked, assert_guided, printed


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The quick run's folder, and the cells of every row that it prints."""
    out = tmp_path_factory.mktemp("out")
    text = printed("gaussian", "--quick", "--out", out)
    return out / "gaussian", text, [
        re.split(r"\s{2,}", line.strip()) for line in text.splitlines()
    ]  # fmt: skip


def rows(shown, first):
    """The rows that begin with that cell, without it."""
    return [cells[1:] for cells in shown[2] if cells[0] == first]


def test_every_picture_is_drawn(shown):
    assert_guided(shown[1], shown[0], gaussian.SEEN)


def test_draws_have_the_moments_that_were_asked_for(shown):
    for first, mean in (("0", 0.0), ("0.1", 0.1)):
        std, peak, *found = map(float, rows(shown, first)[0])
        assert peak == pytest.approx(1 / (std * np.sqrt(2 * np.pi)), abs=1e-4)
        assert abs(found[0] - mean) < 4 * found[1] and abs(found[2] - std) < 4 * found[3]


def test_two_points_give_the_decks_100_and_a_thousand_draws_its_matrix(shown):
    for name, exact in (("E11", 100.0), ("E21", 25.0), ("E22", 50.0), ("correlation", 0.354)):
        two, deck, thousand, error = map(float, rows(shown, name)[0])
        assert two == (1.0 if name == "correlation" else 100.0)
        assert deck == exact and abs(thousand - exact) < 4 * error


def test_closed_forms_are_the_integral_and_what_draws_say(shown):
    for form in gaussian.forms():
        truth, gap, estimate, error = map(float, rows(shown, form.name)[0])
        assert truth == pytest.approx(float(form.formula()), abs=1e-4)
        assert gap < 1e-12 and abs(estimate - truth) < 4 * error + 1e-4
    one, two = re.search(r"([\d.]+)% lie .* ([\d.]+)% within two", shown[1]).groups()
    assert abs(float(one) - 68.3) < 5 and abs(float(two) - 95.4) < 3


def test_quadrature_knows_a_divergence_between_any_two_normals():
    p, q = Normal(numbers(0.3), numbers(2.0)), Normal(numbers(-1.0), numbers(0.7))
    assert gaussian.quadrature(p, q) == pytest.approx(kl_divergence(p, q).item(), abs=1e-11)


def test_descent_ends_where_the_closed_form_says(shown):
    for name in ("coin: p", "bell: μ", "bell: σ"):
        *found, difference = map(float, rows(shown, name)[0])
        assert found[0] == found[1] and difference < 1e-12


@pytest.mark.parametrize("way", gaussian.WAYS)
@pytest.mark.parametrize("d, std", [(1, 0.5), (4, 1.3)])
def test_variance_of_a_gradient_is_the_one_of_the_moments(way, d, std):
    minigrad.manual_seed(1)
    g = gaussian.drawn_gradients(way, d, std, 200_000)
    entries = (g - g.mean(0)) ** 2
    error = entries.mean(1).std() / np.sqrt(len(g))
    assert abs(entries.mean() - gaussian.expected_variance(way, d, std)) < 4 * error
    assert abs(g.mean() - 2 * gaussian.AT) < 4 * g.mean(1).std() / np.sqrt(len(g))


def test_the_draws_gradient_is_exact_and_checked(shown):
    assert "order 2: PASS" in shown[1]
    (row,) = [cells for cells in shown[2] if cells[:2] == ["1000", "1"]]
    through, expected, score, _, less, _ = (float(v.replace(",", "")) for v in row[2:])
    assert expected == 4 and abs(through - 4) < 0.2
    assert score > 1e6 and 1e3 < less < 1e4


def test_covariance_is_around_the_mean_that_is_known():
    x = tensor([[1.0, 2.0], [3.0, 5.0]])
    assert gaussian.covariance(x, tensor([1.0, 1.0])).tolist() == [[2.0, 4.0], [4.0, 8.5]]


@pytest.mark.parametrize("flag, least", [("--draws", 1000), ("--seed", 0)])
def test_what_goes_wrong_is_one_line(flag, least):
    done = asked("gaussian", flag, "-1")
    assert done.returncode == 1
    assert done.stderr == f"error: {flag}: got -1; expected at least {least}\n"
