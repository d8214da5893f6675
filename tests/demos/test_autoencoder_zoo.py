"""demos.autoencoder_zoo: what its tables say is so, and its measures measure what they say."""

import re

import numpy as np
import pytest

import minigrad
from demos.autoencoder_zoo import kept, scrambled, views
from demos.autoencoder_zoo_pictures import LENGTHS, answers, enlarged
from demos.sparse_codes import NONE, WEIGHTS, name_of, sparse_makers, sparse_row
from minigrad import nn
from models.autoencoder import Autoencoder
from models.regularized import ContractiveAutoencoder
from tests.demos.running import asked, printed, rows_of

PICTURES = {
    "reconstructions.png", "codes.png", "filters.png", "bound.png", "copying.png", "by_heart.png",
    "activations.png", "active.png",
}  # fmt: skip


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The quick run's folder, its text, and each row's cells by the tables' order and its name."""
    out = tmp_path_factory.mktemp("out")
    text = printed("autoencoder_zoo", "--quick", "--out", out)
    cells = rows_of(text)
    tables = [{c[0]: c[1:] for c in cells if len(c) == width} for width in (8, 5, 6, 7)]
    return out / "autoencoder_zoo", text, tables


@pytest.fixture
def images():
    return minigrad.rand(50, 1, 28, 28, generator=minigrad.Generator().manual_seed(3))


def test_every_picture_is_drawn(shown):
    assert {path.name for path in shown[0].iterdir()} == PICTURES


def test_every_model_has_its_row(shown):
    zoo, failures, sweep, sparse = shown[2]
    kinds = "plain", "denoising", "sparse", "k-sparse", "contractive, λ = 0", "contractive"
    assert {"model", "plain, 32 codes", *kinds} == set(zoo)
    assert list(failures)[-2:] == ["as large as the image", "overcomplete"]
    assert len(sweep) == 1 + 9
    assert set(sparse) == {"penalty", NONE} | {name_of(*kind) for kind in WEIGHTS}


def test_the_zoo_tells_a_true_story(shown):
    zoo, text = shown[2][0], shown[1]
    mse, noisy, steep = (
        {name: float(cells[i]) for name, cells in zoo.items() if name != "model"} for i in (1, 2, 4)
    )
    assert mse["plain"] == min(mse.values())
    assert noisy["denoising"] == min(noisy.values())
    assert steep["contractive"] < 0.8 * steep["contractive, λ = 0"] < 0.5 * steep["plain"]
    assert zoo["k-sparse"][3] == f"{100 * 20 / 256:.1f} %"
    assert "k-sparse codes that are not 0: 20 to 20 of 256" in text


def test_the_bound_holds_where_it_is_first_order(shown):
    shares = re.findall(r"^  [a-z].*?  +(\d\.\d+)  (\d\.\d+)$", shown[1], re.MULTILINE)
    assert len(shares) == 3
    assert all(0 < float(near) <= 1 for near, _ in shares)
    assert shares[0][0] == shares[0][1]  # a linear encoder: the same for every length


def test_every_penalty_lowers_the_activity(shown):
    mean = {name: float(cells[2]) for name, cells in shown[2][3].items() if name != "penalty"}
    none = mean.pop(NONE)
    assert all(0 < value < 0.9 * none for value in mean.values())


def test_units_lit_by_most_images_and_by_none_are_counted():
    """Unit 0 is lit by all images, unit 1 by one of four, and unit 2 by none."""
    h = np.array([[0.9, 0.9, 0.5], [0.9, 0.1, 0.0], [0.9, 0.2, 0.1], [0.9, 0.0, 0.2]])
    name, weight, mse, mean, *shares = sparse_row("KL per unit", 2e-4, 0.5, h)
    assert (name, weight, mse, mean) == ("KL per unit", "0.0002", 0.5, pytest.approx(h.mean()))
    assert shares == ["41.7 %", "33.3 %", "33.3 %"]


def test_each_sparse_model_has_its_own_penalty():
    made = {name: make() for name, make in sparse_makers().items()}
    assert made.pop(NONE).weight == 0
    assert {(m.per, m.distance): m.weight for m in made.values()} == WEIGHTS
    assert all(m.decoder[0].weight.shape == (784, 1024) for m in made.values())


def test_more_codes_copy_more(shown):
    rows = [cells for name, cells in shown[2][1].items() if name != "model"]
    copied = [float(cells[-1]) for cells in rows]
    assert copied == sorted(copied)
    assert copied[-1] > 0.05 > copied[0]


def test_what_is_learned_by_heart_does_not_serve_others(shown):
    known, new = map(float, re.search(r"MSE (\S+) on them, (\S+) on others", shown[1]).groups())
    assert known < 0.8 * new


# ---------------------------------------------------------------- its measures


def test_scrambled_images_share_every_pixel_s_values_and_no_image(images):
    mixed = scrambled(images, 0).numpy().reshape(50, -1)
    flat = images.numpy().reshape(50, -1)
    np.testing.assert_array_equal(np.sort(mixed, 0), np.sort(flat, 0))
    apart = mixed - flat
    assert 0.9 < (apart != 0).mean() < 1
    assert abs(np.corrcoef(mixed.T[:40])[np.triu_indices(40, 1)]).max() < 0.6


def test_a_copy_keeps_all_and_the_mean_nothing(images):
    class Mean(nn.Module):
        def forward(self, x):
            return x.mean(0, keepdim=True).expand(x.shape)

    assert kept(nn.Identity(), images) == 1
    assert kept(Mean(), images) == pytest.approx(0, abs=1e-6)


def test_views_are_the_same_for_every_model(images):
    for one, other in zip(views(images, 5), views(images, 5), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_the_worst_direction_of_a_linear_encoder_is_its_largest_singular_value(images):
    model = Autoencoder((784, 6), "identity")
    found = answers(model, images[:3], 0)
    singular = np.linalg.svd(model.encoder[0].weight.detach().numpy(), compute_uv=False)
    np.testing.assert_allclose(found.singular, np.tile(singular, (3, 1)), rtol=1e-5)
    np.testing.assert_allclose(
        found.apart[1], LENGTHS[:, None] * singular[0] * [1, 1, 1], rtol=1e-5
    )
    np.testing.assert_allclose(found.norm, np.linalg.norm(singular), rtol=1e-5)
    assert (found.apart[0] < found.apart[1]).all()


def test_measuring_leaves_the_model_as_it_was(images):
    model = ContractiveAutoencoder((784, 5))
    before = {name: p.numpy().copy() for name, p in model.state_dict().items()}
    found = answers(model, images[:2], 0)
    assert (found.apart[:, 0] <= found.norm * LENGTHS[0] * 1.01).all()
    for name, p in model.state_dict().items():
        assert p.dtype == np.float32
        np.testing.assert_array_equal(p.numpy(), before[name])


def test_enlarging_repeats_pixels():
    small = np.arange(4.0).reshape(1, 2, 2)
    np.testing.assert_array_equal(enlarged(small, 4), np.kron(small, np.ones((1, 2, 2))))


def test_what_goes_wrong_is_one_line():
    done = asked("autoencoder_zoo", "--epochs", 0)
    assert (done.returncode, done.stderr) == (1, "error: --epochs: got 0; expected at least 1\n")
    done = asked("autoencoder_zoo", "-k", 300)
    message = "error: -k: got 300; expected from 1 to 256, the code's size\n"
    assert (done.returncode, done.stderr) == (1, message)
