"""The gradient by hand is autograd's, and PyTorch's."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from models.one_layer import OneLayerAutoencoder
from tests.models.endtoend import check_model
from tests.models.family_cases import TWINS, seeded


def test_the_gradient_by_hand_is_autograds_and_pytorchs():
    make, _, norms = TWINS["one layer"]
    model, x, _ = seeded(make())
    by_hand = model.gradient_by_hand(x)
    model.loss(x).backward()
    assert list(by_hand) == [name for name, _ in model.named_parameters()]
    for name, p in model.named_parameters():
        assert by_hand[name].shape == p.shape and not by_hand[name].requires_grad
        np.testing.assert_allclose(by_hand[name].numpy(), p.grad.numpy(), rtol=1e-10, atol=1e-14)
    assert [g.norm().item() for g in by_hand.values()] == pytest.approx(norms, rel=1e-10)


def test_the_loss_is_a_sum_over_pixels_and_a_mean_over_images():
    model, x, _ = seeded(OneLayerAutoencoder(6, 3))
    each = ((model(x) - x) ** 2).sum(1)
    assert model.loss(x).item() == pytest.approx(float(each.mean()))
    images = x.reshape(4, 1, 2, 3)
    assert model.loss(images).item() == pytest.approx(model.loss(x).item(), rel=1e-14)
    for a, b in zip(model.gradient_by_hand(images).values(), model.gradient_by_hand(x).values(),
                    strict=True):  # fmt: skip
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_its_derivatives_are_right_to_second_order():
    model, x, _ = seeded(OneLayerAutoencoder(3, 2), n=2, pixels=3)
    check_model(model, lambda *parameters: model.loss(x), order=2)


def test_descent_by_hand_is_sgd():
    """Ten steps with the gradient by hand end where ten of the optimiser do."""
    ends = []
    for by_hand in (True, False):
        model, x, _ = seeded(OneLayerAutoencoder(6, 3))
        optimizer = optim.SGD(model.parameters(), lr=0.5)
        first = model.loss(x).item()
        for _ in range(10):
            if by_hand:
                slopes = model.gradient_by_hand(x)
                with mg.no_grad():
                    for name, p in model.named_parameters():
                        p.sub_(0.5 * slopes[name])
            else:
                optimizer.zero_grad()
                model.loss(x).backward()
                optimizer.step()
        assert model.loss(x).item() < first
        ends.append(np.concatenate([p.detach().numpy().ravel() for p in model.parameters()]))
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-10)
