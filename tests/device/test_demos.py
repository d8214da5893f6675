"""What the demos compute beside the training of models, on a device."""

import numpy as np
import pytest

import minigrad as mg
from demos import gaussian, gradcheck
from demos.convolution_cases import CASES, check, cost
from demos.linear_gaussian import Encoder, LinearGaussian, log_weights, measure
from demos.pictures import shown
from demos.wgan_gp import moved, ring_moved, widened
from minigrad.distributions import kl_divergence
from minigrad.samples import ROWS
from minigrad.samples.card import DEVICE, FAIL, NONE, PASS
from minigrad.samples.checks import DRAWN


def test_images_that_are_shown_stay_where_they_are(device):
    images, labels = mg.arange(4.0, device=device).reshape(4, 1, 1, 1), mg.tensor([1, 0, 1, 0])
    found = shown(images, labels.to(device), each=1)
    assert found.device == images.device and found.flatten().tolist() == [1.0, 0.0]


PAIRS = {
    "moved": lambda at: moved(1.0, at),
    "widened": lambda at: widened((1, 0.5), (0, 2), at),
    "rings": lambda at: ring_moved(2.0, at),
}


@pytest.mark.parametrize("name", PAIRS)
def test_both_of_a_pair_are_drawn_there(name, device):
    pair = PAIRS[name](device)
    assert {draw(3).device.type for draw in (pair.first, pair.second)} == {device}


def test_the_arithmetic_of_convolution_holds_there(device):
    assert all(check(case, 0, device).passed for case in CASES)
    times = cost(4, 0, 0.0, device).milliseconds
    assert set(times) == {"im2col", "matrix", "stretched"} and min(times.values()) > 0


def test_gaussians_are_integrated_and_differentiated_there(device):
    for form in gaussian.forms(device):
        assert form.p.mean.device.type == device
        exact = kl_divergence(form.p, form.q).item()
        assert gaussian.quadrature(form.p, form.q) == pytest.approx(exact, abs=1e-11)
    for way in gaussian.WAYS:
        found = gaussian.drawn_gradients(way, 3, 0.5, 20_000, device)
        assert abs(found.mean() - 2 * gaussian.AT) < 5 * found.std() / np.sqrt(len(found))


@mg.no_grad()
def test_the_bound_adds_up_there(device):
    model = LinearGaussian(np.random.default_rng(0).normal(size=(5, 2)), -0.7).to(device)
    x = model.marginal().sample((20,))
    for kind in ("full", "independent"):
        encoder = Encoder(5, 2, kind).to(device)
        assert measure(model, encoder, x).off < 1e-12
        assert np.isfinite(log_weights(model, encoder(x[:1]), x[:1], 10, 3)).all()


def test_the_report_card_compares_there_and_here(device, monkeypatch):
    names = "exp", DRAWN[0]
    good, random = (next(row for row in ROWS if row.name == name) for name in names)
    here = good._replace(name="here", fn=lambda x: x.cpu().exp())
    off = good._replace(name="off", fn=lambda x: x.exp() * (1.0 + 1e-6 * (x.device.type != "cpu")))
    monkeypatch.setattr(gradcheck, "_rows", (good, random, here, off))
    found = gradcheck.on_device(device)
    if device == "cpu":
        assert found == {}
    else:
        marks = [found[name][DEVICE].mark for name in (*names, "here", "off")]
        assert marks == [PASS, NONE, FAIL, FAIL]
