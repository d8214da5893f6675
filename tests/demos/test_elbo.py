"""demos.elbo: the bound, its gap and its estimates, against integrals and draws."""

import math
import re
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

import minigrad
from demos.elbo import SEEN
from demos.linear_gaussian import (
    Encoder,
    Estimates,
    LinearGaussian,
    highest_evidence,
    least_gap,
    log_mean,
    log_weights,
    measure,
    second_moment,
)
from minigrad import tensor
from minigrad.distributions import MultivariateNormal, kl_divergence
from tests.demos.running import asked, assert_guided, printed


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The quick run's folder, what it prints, and the cells of every row."""
    out = tmp_path_factory.mktemp("out")
    text = printed("elbo", "--quick", "--out", out)
    return out / "elbo", text, [
        re.split(r"\s{2,}", line.strip()) for line in text.splitlines()
    ]  # fmt: skip


@pytest.fixture
def solved():
    """A model, 20 examples of it, and an encoder of each kind that knows nothing yet."""
    minigrad.manual_seed(0)
    model = LinearGaussian(np.random.default_rng(0).normal(size=(5, 2)), -0.7)
    x = model.marginal().sample((20,)).detach()
    return model, x, {kind: Encoder(5, 2, kind) for kind in ("full", "independent")}


def test_every_picture_is_drawn_and_the_animation_moves(shown):
    assert_guided(shown[1], shown[0], SEEN)
    with Image.open(shown[0] / "training.gif") as animation:
        assert animation.n_frames > 10
    assert (shown[0] / "training.gif").stat().st_size < 300_000


def test_bound_and_gap_add_up_to_the_evidence_at_every_step(shown):
    worst = float(re.search(r"at any step: (\S+)", shown[1]).group(1))
    assert worst < 1e-10
    cells = [c for c in shown[2] if c[0] in ("full", "independent") and len(c) == 6]
    assert len(cells) == 6
    for elbo, gap, total, evidence in (map(float, c[2:]) for c in cells):
        assert gap >= 0 and elbo <= evidence
        assert total == evidence == pytest.approx(elbo + gap, abs=2e-4)


def test_training_closes_the_gap_and_then_raises_the_evidence(shown):
    kinds = "full", "independent"
    found = {
        (c[0], c[1]): list(map(float, c[2:])) for c in shown[2] if c[0] in kinds and len(c) == 6
    }  # fmt: skip
    for kind in kinds:
        start, trained, both = (
            found[kind, at] for at in ("start", "encoder trained", "both trained")
        )
        assert trained[1] < start[1] and trained[3] == start[3] and both[3] > trained[3] + 1


def test_bound_is_what_draws_say(solved):
    """E_q ln p(x, z) / q(z) by draws, each term of it by its density."""
    model, x, encoders = solved
    for encoder in encoders.values():
        with minigrad.no_grad():
            q = encoder(x[:1])
            elbo = (model.reconstruction(x[:1], q) - kl_divergence(q, model.prior())).item()
            nats = log_weights(model, q, x[:1], 100_000)[0]
        assert abs(nats.mean() - elbo) < 4 * nats.std() / math.sqrt(len(nats))


def test_terms_of_an_untrained_encoder_add_up(solved):
    model, x, encoders = solved
    for encoder in encoders.values():
        terms = measure(model, encoder, x)
        assert terms.off < 1e-12 and terms.gap > 0.1


@minigrad.no_grad()
def test_evidence_is_the_joint_over_the_posterior(solved):
    """ln p(x) = ln p(x|z) p(z) - ln p(z|x) at any z."""
    model, x, _ = solved
    z = tensor(np.random.default_rng(1).normal(size=(20, 2)))
    joint = model.given(z).log_prob(x) + model.prior().log_prob(z)
    gap = model.marginal().log_prob(x) - (joint - model.posterior(x).log_prob(z))
    assert abs(gap.numpy()).max() < 1e-12


def test_least_gap_is_the_best_of_independent_encoders():
    precision = np.array([[3.0, 1.4], [1.4, 1.0]])
    posterior = MultivariateNormal(tensor(np.zeros(2)), precision_matrix=tensor(precision))
    spreads = np.exp(np.linspace(-1.5, 0.5, 201))
    gaps = [
        kl_divergence(
            MultivariateNormal(tensor(np.zeros(2)), scale_tril=tensor(np.diag([a, b]))), posterior
        ).item()
        for a in spreads[::10]
        for b in spreads[::10]
    ]
    best = MultivariateNormal(
        tensor(np.zeros(2)), covariance_matrix=tensor(np.diag(1 / np.diag(precision)))
    )
    assert least_gap(posterior) == pytest.approx(kl_divergence(best, posterior).item(), abs=1e-12)
    assert least_gap(posterior) < min(gaps) < least_gap(posterior) + 0.01


@minigrad.no_grad()
def test_highest_evidence_is_reached_by_principal_components():
    x = np.random.default_rng(0).normal(size=(300, 5)) * [3, 2, 1, 0.8, 0.5] + 1
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    noise = values[:3].mean()
    model = LinearGaussian(vectors[:, 3:] * np.sqrt(values[3:] - noise), math.log(noise))
    model.bias.copy_(tensor(x.mean(0)))
    found = model.marginal().log_prob(tensor(x)).mean().item()
    assert found == pytest.approx(highest_evidence(x, 2), abs=1e-12)
    model.weight.mul_(1.01)
    assert model.marginal().log_prob(tensor(x)).mean().item() < found


def test_second_moment_is_the_integral():
    """∫ p² / q over a grid, in one dimension."""
    p, q = (
        MultivariateNormal(tensor([[m]], dtype=minigrad.float64), tensor(np.array([[v]])))
        for m, v in ((0.4, 0.3), (-0.2, 0.5))
    )
    z = tensor(np.linspace(-12, 12, 24_001)[:, None, None])
    log_p, log_q = (g.log_prob(z).numpy() for g in (p, q))
    integral = (np.exp(2 * log_p - log_q)).sum() * 1e-3
    assert second_moment(q, p) == pytest.approx(math.log(integral), abs=1e-9)
    narrow = MultivariateNormal(p.mean, p.covariance_matrix * 0.49)
    assert second_moment(narrow, p) == math.inf  # R = 2P - Q is negative


def test_draws_needed_for_ten_percent():
    relative = math.exp(2.0) - 1  # the variance of one weight, relative
    assert 10 ** Estimates(1, np.zeros(1), 1.0, 2.0).needed() == pytest.approx(relative / 0.01)


def test_log_mean_does_not_overflow():
    assert log_mean(np.array([1000.0, 1000.0 + math.log(3)])) == pytest.approx(1000 + math.log(2))


def test_naive_estimate_fails_with_dimension(shown):
    table = {int(c[0]): c[1:] for c in shown[2] if c[0].isdigit() and len(c) == 7}
    middle = {d: float(cells[1]) for d, cells in table.items()}
    counting = {d: float(cells[3]) for d, cells in table.items()}
    assert abs(middle[1]) < 0.1 and middle[32] < -20
    assert counting[1] > 300 and counting[32] < 2
    assert float(table[32][5]) < 0.2  # an encoder's spread
    assert table[8][4] == "10^5.3" and table[32][4] == "10^15.3"


def test_more_draws_tighten_the_bound(shown):
    error = float(re.search(r"± (\S+) at most", shown[1]).group(1))
    for name in ("prior", "independent", "full"):
        (cells,) = (c[1:] for c in shown[2] if c[0] == name and len(c) == 10)
        elbo, *bounds, evidence = map(float, cells)
        assert abs(bounds[0] - elbo) < 4 * error
        assert all(b < evidence + 0.02 for b in bounds)
        assert all(a < b + 4 * error for a, b in pairwise(bounds))


def test_what_goes_wrong_is_one_line():
    done = asked("elbo", "--steps", "3")
    assert (done.returncode, done.stderr) == (1, "error: --steps: got 3; expected at least 10\n")
