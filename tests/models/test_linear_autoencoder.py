"""The linear autoencoder finds the span of the principal components, and the angles say so."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.errors import ArgumentError, ShapeError
from models.linear_autoencoder import LinearAutoencoder, pca, principal_angles
from tests.models.endtoend import check_model
from tests.models.family_cases import seeded


def cloud(n=200, pixels=8, seed=0):
    """Points that vary by 2, 1.6, 1.2 along three directions, and by 0.2 along the others."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.standard_normal((pixels, pixels)))[0]
    deviations = np.array([2.0, 1.6, 1.2, *[0.2] * (pixels - 3)])
    return mg.tensor(rng.standard_normal((n, pixels)) * deviations @ turn + rng.random(pixels))


def test_it_is_two_matrices():
    model, x, _ = seeded(LinearAutoencoder(6, 2))
    state = {key: value.shape for key, value in model.state_dict().items()}
    assert state == {"encoder.0.weight": (2, 6), "encoder.0.bias": (2,),
                     "decoder.0.weight": (6, 2), "decoder.0.bias": (6,)}  # fmt: skip
    f, g = model.encoder[0], model.decoder[0]
    expected = (x @ f.weight.T + f.bias) @ g.weight.T + g.bias
    np.testing.assert_allclose(model(x).detach().numpy(), expected.detach().numpy(), rtol=1e-12)
    np.testing.assert_array_equal(model.directions().numpy(), g.weight.detach().numpy().T)


def test_every_parameters_gradient_is_right():
    model, x, _ = seeded(LinearAutoencoder(6, 2))
    check_model(model, lambda *parameters: model.loss(x), order=2)


def test_it_learns_the_subspace_of_the_principal_components_but_not_the_components():
    x = cloud()
    mg.manual_seed(0)
    model = LinearAutoencoder(8, 3).double()
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    schedule = optim.lr_scheduler.StepLR(optimizer, 300, 0.5)
    for _ in range(1500):
        optimizer.zero_grad()
        model.loss(x).backward()
        optimizer.step()
        schedule.step()
    best = pca(x, 3)
    angles = principal_angles(model.directions(), best.components).numpy()
    assert angles.max() < 1e-3
    # The encoder reads what the best projection needs, so the reconstructions are PCA's.
    assert model.loss(x).item() == pytest.approx(
        float(((best.reconstruct(x) - x) ** 2).mean()), rel=1e-4
    )
    # Yet neither half's directions are orthogonal, or the components one by one.
    directions = model.directions() / model.directions().norm(dim=1, keepdim=True)
    cosines = (directions @ best.components.T).abs().numpy()
    assert cosines.max(1).min() < 0.95
    products = (directions @ directions.T).numpy()
    assert np.abs(products - np.eye(3)).max() > 0.05


# ---------------------------------------------------------------- PCA


def test_pca_is_the_covariances_eigenvectors():
    x = cloud()
    found = pca(x, 8)
    values, vectors = np.linalg.eigh(np.cov(x.numpy().T, bias=True))
    np.testing.assert_allclose(found.variances.numpy(), values[::-1], rtol=1e-10)
    cosines = np.abs((found.components.numpy() * vectors.T[::-1]).sum(1))
    np.testing.assert_allclose(cosines[:3], 1.0, rtol=1e-10)
    np.testing.assert_allclose(
        (found.components @ found.components.T).numpy(), np.eye(8), atol=1e-12
    )
    np.testing.assert_allclose(found.mean.numpy(), x.numpy().mean(0))


@pytest.mark.parametrize("k", [1, 3, 8])
def test_pcas_error_is_the_variance_left_out(k):
    x = cloud()
    error = float(((pca(x, k).reconstruct(x) - x) ** 2).sum(1).mean())
    left = float(pca(x, 8).variances[k:].sum()) if k < 8 else 0.0
    assert error == pytest.approx(left, rel=1e-10, abs=1e-12)


def test_pca_codes_have_the_variances_and_no_correlation():
    x = cloud()
    found = pca(x, 3)
    covariance = np.cov(found.encode(x).numpy().T, bias=True)
    np.testing.assert_allclose(covariance, np.diag(found.variances.numpy()), atol=1e-12)


def test_the_first_of_many_components_are_those_of_a_smaller_pca():
    x = cloud()
    first, few = pca(x, 8).first(3), pca(x, 3)
    for some, same in zip(first, few, strict=True):
        np.testing.assert_allclose(some.numpy(), same.numpy(), rtol=1e-12)
    np.testing.assert_allclose(first.encode(x).numpy(), pca(x, 8).encode(x).numpy()[:, :3])


def test_all_components_keep_distances():
    x = cloud(40)
    gaps = [(z[:, None] - z).norm(dim=2).numpy() for z in (x, pca(x, 8).encode(x))]
    np.testing.assert_allclose(*gaps, atol=1e-12)


def test_pca_takes_images_and_gives_them_back_in_their_shape():
    x = cloud().reshape(200, 2, 2, 2)
    found = pca(x, 3)
    assert found.encode(x).shape == (200, 3) and found.decode(found.encode(x)).shape == (200, 8)
    assert found.reconstruct(x).shape == x.shape and found.components.dtype == x.dtype


# ---------------------------------------------------------------- angles


@pytest.mark.parametrize("angle", [1e-9, 1e-4, 0.3, 1.5])
def test_angles_are_exact_however_small(angle):
    """Between span(e0, e1) and span(e0, cos t e1 + sin t e2), in another basis each."""
    c, s = math.cos(angle), math.sin(angle)
    a = mg.tensor(np.array([[1.0, 0.0, 0.0], [2.0, 1.0, 0.0]]))
    b = mg.tensor(np.array([[1.0, c, s], [-1.0, c, s]]))
    assert principal_angles(a, b).tolist() == pytest.approx([angle, 0.0], rel=1e-6, abs=1e-14)


def test_angles_between_other_subspaces():
    e = mg.eye(4, dtype=mg.float64)
    assert principal_angles(e[:2], e[2:]).tolist() == pytest.approx([math.pi / 2] * 2)
    mixed = mg.tensor(np.random.default_rng(0).standard_normal((2, 2))) @ e[:2]
    assert principal_angles(e[:2], mixed).tolist() == pytest.approx([0.0, 0.0], abs=1e-14)
    assert principal_angles(e[:2].float(), mixed.float()).dtype == mg.float64


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("k", [0, 6])
def test_wrong_numbers_of_components_are_refused(k):
    with pytest.raises(ArgumentError, match=rf"pca: k: got {k} for x \(5, 8\); .* from 1 to 5"):
        pca(cloud(5), k)


@pytest.mark.parametrize(
    "a, b", [((2, 3), (1, 3)), ((2, 3), (2, 4)), ((4, 3), (4, 3)), ((3,),) * 2]
)
def test_angles_between_unlike_things_are_refused(a, b):
    with pytest.raises(ShapeError, match=r"principal_angles: got .*; expected \(k, pixels\) twice"):
        principal_angles(mg.ones(a), mg.ones(b))


def test_wrong_sizes_are_refused():
    with pytest.raises(ArgumentError, match="sizes"):
        LinearAutoencoder(8, 0)
