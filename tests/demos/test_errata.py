"""demos.errata: wrong lines are wrong by as much as is printed, and right ones right."""

import math

import numpy as np
import pytest

import minigrad
from demos import errata_pairs as pairs
from demos.errata import SEEN, AsDrawn, Deck001VAE, as_drawn
from minigrad import tensor
from minigrad.distributions import Normal
from models.vae import kl_per_code
from tests.demos.running import assert_guided, printed, rows_of


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The quick run's folder, what it prints, and the last two cells of every row."""
    out = tmp_path_factory.mktemp("out")
    text = printed("errata", "--quick", "--out", out)
    rows = rows_of(text)
    return out / "errata", text, [row for row in rows if len(row) == 5]


def costs(shown, what):
    """The cost of the wrong line and of the right one, where that is what is measured."""
    (found,) = (row[3:] for row in shown[2] if what in row[2])
    return found


def parts(cell):
    return [float(part.replace(",", "")) for part in cell.split(" / ")]


def test_every_picture_is_drawn(shown):
    assert_guided(shown[1], shown[0], SEEN)


def test_every_deck_has_its_pairs_and_every_pair_its_lines(shown):
    assert {row[0][:3] for row in shown[2]} == {"dec", "000", "001", "002", "003", "004", "PyT"}
    assert shown[1].count("    wrong  ") == shown[1].count("    right  ") == 17


def test_line_shown_is_the_line_that_ran():
    mean, log_var, eps = tensor([0.5]), tensor([-2.0]), tensor([3.0])
    for line in (pairs.draw_with_variance, pairs.draw_with_std):
        shown = eval(pairs.line_of(line), {"mean": mean, "log_var": log_var, "eps": eps})
        assert shown.item() == line(mean, log_var, eps).item()
    assert pairs.line_of(pairs.draw_with_variance) == "mean + log_var.exp() * eps"


def test_deck_001_reads_a_third_of_what_its_codes_cost(shown):
    assert costs(shown, "KL, nats: as read") == ["0.57 / 1.51", "0.57 / 0.57"]


def test_a_divergence_below_0_is_reported(shown):
    assert costs(shown, "KL at ln σ² = -2") == ["-0.568", "0.568"]


def test_as_drawn_is_what_deck_001_draws():
    """The same z from the same noise, and the KL of the distribution that it comes from."""
    minigrad.manual_seed(0)
    wrong = Deck001VAE(256, 10)
    x, eps = minigrad.rand(3, 1, 28, 28), minigrad.randn(3, 10)
    honest = as_drawn(wrong)
    assert isinstance(honest, AsDrawn)
    with minigrad.no_grad():
        a, b = wrong(x, eps), honest(x, eps)
        assert abs((a.z - b.z).numpy()).max() < 1e-6
        read, true = wrong.loss(x, eps=eps), honest.loss(x, eps=eps)
        kl = kl_per_code(a.mean, 2 * a.log_var).sum(1).mean()
    assert abs(read["reconstruction"].item() - true["reconstruction"].item()) < 1e-3
    assert true["kl"].item() == pytest.approx(kl.item(), rel=1e-5)


def test_deck_001_trained_reads_less_than_is_true(shown):
    wrong, right = map(parts, costs(shown, "-ELBO, nats per image"))
    assert wrong[0] < wrong[1] - 1 and right[0] == right[1]


def test_kernel_as_it_is_errs_as_much_as_there_is(shown):
    wrong, right = costs(shown, "eight cases")
    assert float(wrong.split(" to ")[0]) > 0.5 and float(right.split(" to ")[1]) < 1e-14


def test_sizes(shown):
    assert costs(shown, "o' of i' = 3") == ["9", "5"]


def test_density_with_2_sigma_has_area_root_10_and_fits_half_the_variance(shown):
    (area, std), right = map(parts, costs(shown, "∫ p(x) dx"))
    assert area == pytest.approx(1 / math.sqrt(0.1), abs=1e-3)
    assert std == pytest.approx(0.1**2 / 2, rel=0.05) and right[0] == 1
    assert right[1] == pytest.approx(0.1, rel=0.05)


def test_misnamed_variances(shown):
    truth = f"{0.5 * (0.09 - 1 - math.log(0.09)):.3f}"
    assert costs(shown, "σ = 0.3") == [f"{-0.5 * (1.3 - math.exp(0.3)):.3f}", truth]
    assert costs(shown, "Σ = 0.09") == [f"{0.5 * (math.exp(0.09) - 1.09):.3f}", truth]


def test_evidence_takes_the_integral(shown):
    wrong, right = costs(shown, "ln p(x), which is")
    truth = -0.5 * (math.log(2 * math.pi * 1.25) + 1 / 1.25)
    assert float(right) == pytest.approx(truth, abs=1e-3)
    assert float(wrong.split(" ± ")[1]) > 0.5


def test_the_toys_posterior_is_its_posterior():
    """ln p(x|z) p(z) - ln p(z|x) is one number, whatever z."""
    z = tensor(np.linspace(-2, 2, 5))
    gap = (pairs.joint(z) - pairs.POSTERIOR.log_prob(z)).numpy()
    assert np.ptp(gap) < 1e-12
    assert gap[0] == pytest.approx(-0.5 * (math.log(2 * math.pi * 1.25) + 1 / 1.25))


def test_likelihoods_are_not_to_be_compared(shown):
    wrong, right = costs(shown, "0…255")
    assert wrong == "True / False" and right in ("True / True", "False / False")
    table = rows_of(shown[1])
    (small,) = (row[1:] for row in table if row[0] == "[0, 1]")
    (large,) = (row[1:] for row in table if row[0] == "0…255")
    first, bernoulli, last = (
        float(a.replace(",", "")) - float(b.replace(",", ""))
        for a, b in zip(small, large, strict=True)
    )
    assert first == pytest.approx(784 * math.log(255), abs=0.3) and bernoulli == 0
    assert last == pytest.approx(784 * math.log(255), abs=0.3)


def test_sign_of_the_loss(shown):
    wrong, right = map(float, costs(shown, "MSE after"))
    assert wrong > 0.5 > 0.15 > right


def test_tanh_answers_with_negative_ink(shown):
    wrong, right = costs(shown, "pixels with negative ink")
    assert float(wrong.rstrip("%")) > 2 and right == "0%"


def test_sparsity(shown):
    wrong, right = map(float, costs(shown, "slope at"))
    assert wrong == pytest.approx(math.log(1e-4 / 0.05) - math.log((1 - 1e-4) / 0.95), abs=0.1)
    assert right == pytest.approx(-0.05 / 1e-4 + 0.95 / (1 - 1e-4), abs=0.1)
    wrong, right = map(float, costs(shown, "1 of 20 neurons"))
    assert wrong == 0 and right > 0.2


def test_backpropagation_goes_through_the_trick_and_not_without(shown):
    wrong, right = costs(shown, "gradient that reaches μ")
    assert wrong == "none" and float(right) == pytest.approx(2, abs=0.02)
    assert not pairs.draw_without_gradient(Normal(minigrad.zeros(()), 1.0)).requires_grad


def test_comments_kl_is_not_the_codes(shown):
    wrong, right = map(float, costs(shown, "of the best q"))
    assert wrong == 0 and right == pytest.approx(0.5 * (0.2 + 0.64 - 1 - math.log(0.2)), abs=1e-3)


def test_cross_entropy_is_no_gaussian(shown):
    wrong, right = map(parts, costs(shown, "KL of a VAE so trained"))
    assert right[0] > 784 * 0.5 * math.log(2 * math.pi) > wrong[0]
    assert right[1] < wrong[1]
