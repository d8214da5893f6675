"""Faces: the roads lead where they say, resampling sees what is rare, and pictures are drawn."""

import numpy as np
import pytest
from PIL import Image

import minigrad as mg
from demos.common import Rows, paint
from demos.face_debiasing import densities, of_two_groups, resampling, weights, worth
from demos.face_model import adam, face_vae
from demos.face_pictures import tiles
from demos.face_roads import road, told, walk
from demos.vae_faces import (
    DECK,
    KINDS,
    NARROW,
    PIXELS,
    PLAIN,
    SEEN,
    SEEN_OF_DRAWN,
    STILL,
    calm,
    heads,
    lit,
)
from minigrad.data import DataLoader, ImageDataset
from minigrad.data.faces import FACTORS, faces_from
from models.likelihoods import Gaussian
from tests.demos.running import asked, assert_guided, assert_one_line, python

# ---------------------------------------------------------------- the faces


@pytest.mark.parametrize(
    "draw, vary, pose",
    [
        (calm, {"pose", "smile", "light", "skin", *PLAIN}, NARROW),
        (heads, {"pose", "smile", "skin"}, 1.0),
        (lit, {"pose", "light", "skin"}, NARROW),
    ],
)
def test_faces_differ_in_few_factors(draw, vary, pose):
    factors = draw(200, seed=3)
    changing = {name for name, x in zip(FACTORS, factors.T, strict=True) if np.ptp(x) > 0}
    assert changing == vary and changing.isdisjoint(STILL)
    assert 0.95 * pose < np.abs(factors[:, FACTORS.index("pose")]).max() <= pose
    faces_from(factors[:1], 16)  # every factor within its range


def test_painted_faces_are_the_drawn_ones_as_bytes():
    factors = calm(300, seed=0)  # more than are painted at a time
    painted = paint(factors, 16)
    assert painted.dtype == np.uint8
    assert np.abs(painted / 255.0 - faces_from(factors, 16)).max() <= 0.5001 / 255


def test_rows_follow_an_order_that_changes():
    data = ImageDataset(np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1), np.arange(6))
    rows = Rows(Rows(data, np.array([5, 4, 3, 2])), np.array([0, 3, 1]))
    loader = DataLoader(rows, 2)
    assert [label.tolist() for _, label in loader] == [[5, 2], [4]]
    rows.rows = np.array([2, 2])
    assert [label.tolist() for _, label in loader] == [[3, 3]]


# ---------------------------------------------------------------- the model


def test_decks_weight_is_a_variance():
    """MSE + 0.00024 KL = (2 σ² / D) (-ELBO) + constant, at any image: gradients agree."""
    mg.manual_seed(0)
    assert pytest.approx(1.4746, abs=1e-4) == DECK
    model = face_vae(3, 2, KINDS[0].make()).eval()
    x, eps = mg.rand(2, 3, 64, 64), mg.randn(2, 3)
    parts = model.loss(x, eps=eps)
    mse = (model.likelihood.mean(model(x, eps).output) - x).square().mean()
    constant = DECK * np.log(2 * np.pi * DECK)
    assert float(parts["loss"]) * 2 * DECK / PIXELS - constant == pytest.approx(
        float(mse + 0.00024 * parts["kl"]), rel=1e-4
    )


def test_every_layer_but_the_outer_ones_is_normalised():
    model = face_vae(3, 2, Gaussian("shared"), 32)
    kinds = [type(layer).__name__ for layer in (*model.encoder, *model.decoder)]
    assert kinds == [
        *("Conv2d", "BatchNorm2d", "ReLU") * 3, "Flatten",
        "Linear", "Unflatten", "BatchNorm2d", "ReLU",
        *("ConvTranspose2d", "BatchNorm2d", "ReLU") * 2, "ConvTranspose2d",
    ]  # fmt: skip
    assert model.reconstruct(mg.zeros(1, 3, 32, 32)).shape == (1, 3, 32, 32)


def test_the_variance_learns_at_a_rate_of_its_own():
    model = face_vae(3, 2, Gaussian("shared"), 32)
    optimizer, _ = adam(model, 5)
    sizes = [sum(p.numel() for p in group["params"]) for group in optimizer.param_groups]
    assert sizes == [sum(p.numel() for p in model.parameters()) - 1, 1]
    assert [group["lr"] for group in optimizer.param_groups] == [2e-3, 2e-2]


# ---------------------------------------------------------------- roads


def test_a_road_is_found_and_followed():
    """Codes that are a cubic of one factor, and depend on another."""
    rng = np.random.default_rng(0)
    f, other = rng.uniform(-1, 1, (2, 4000))
    along = np.array([[2, 0, 1], [0, -1, 0.5], [0, 0, -2], [0, 0, 0], [0, 0, 0]])
    codes = f[:, None] ** np.arange(1, 6) @ along + other[:, None] * [0.3, -1.0, 0.0] + 7
    found = road(codes, np.column_stack([other, f, np.ones(4000)]), 1)
    np.testing.assert_allclose(found, along, atol=1e-10)
    person, stops = codes[0], np.array([-1.0, f[0], 1.0])
    passed = walk(person, f[0], stops, along)
    np.testing.assert_allclose(passed[1], person, atol=1e-12)
    expected = stops[:, None] ** np.arange(1, 6) @ along + other[0] * np.array([0.3, -1, 0]) + 7
    np.testing.assert_allclose(passed, expected, atol=1e-12)


def test_codes_tell_what_they_are_made_of():
    rng = np.random.default_rng(1)
    f, g = rng.normal(size=(2, 500))
    codes = np.column_stack([f + g, f - g])
    assert told(codes[:400], f[:400], codes[400:], f[400:]) == pytest.approx(1)
    nothing = rng.normal(size=(500, 2))
    assert told(nothing[:400], f[:400], nothing[400:], f[400:]) < 0.05


# ---------------------------------------------------------------- debiasing


def test_groups_have_their_shares_and_their_skins():
    before = calm(200, seed=5)
    after, rare = of_two_groups(before, 0.05)
    skin = FACTORS.index("skin")
    assert rare.sum() == 10
    assert (after[rare, skin] >= 0.7).all() and (after[~rare, skin] <= 0.3).all()
    np.testing.assert_array_equal(np.delete(after, skin, 1), np.delete(before, skin, 1))


def test_weights_are_the_papers():
    codes = np.array([[0.0, 0.0], [0.1, 0.0], [0.2, 0.0], [10.0, 1.0]])
    density = densities(codes)
    # ten bins over 10, and over 1: of four faces three are in the first bin, one is in the last
    np.testing.assert_allclose(density, [[0.75, 7.5]] * 3 + [[0.25, 2.5]])
    p = 1 / (density + 0.5).prod(1)
    np.testing.assert_allclose(weights(density, 0.5), p / p.sum())


def test_resampling_finds_rare_codes_and_stays_worth_a_quarter():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(2000, 6))
    rare = np.arange(2000) < 100
    codes[rare, 0] += 4
    p = resampling(codes)
    assert p.sum() == pytest.approx(1) and worth(p) == pytest.approx(0.25, abs=0.01)
    assert p[rare].sum() > 0.1
    even = resampling(codes, least=0.999)
    assert even[rare].sum() == pytest.approx(0.05, abs=0.01)


# ---------------------------------------------------------------- the demo runs


def test_tiles_are_white_between():
    picture = tiles(np.zeros((2, 3, 2, 2)), gap=1)
    assert picture[:, :, 0].tolist() == [[0, 0, 1, 0, 0]] * 2


def assert_legible(folder):
    for path in [*folder.glob("*.png"), *folder.glob("*.gif")]:
        assert path.stat().st_size <= 300_000, path
        with Image.open(path) as picture:
            assert np.asarray(picture.convert("L")).std() > 15, path


THREE = {"gaussian.npz", "bernoulli.npz", "learned.npz"}


def test_drawn_faces(tmp_path):
    arguments = "-m", "demos.vae_faces", "--quick", "--out", tmp_path
    done = python(*arguments, timeout=300)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "vae_faces"
    assert_legible(folder)
    assert_guided(done.stdout, folder, SEEN | SEEN_OF_DRAWN)
    assert {path.name for path in folder.glob("*.npz")} == THREE | {"heads.npz"}
    with Image.open(folder / "roads.gif") as animation:
        assert animation.n_frames == 16
    for kind in KINDS:
        assert kind.name in done.stdout
    assert "0.5657" in done.stdout and "an MSE of ¼ at most" in done.stdout
    assert "pose: the head turns" in done.stdout and "half and half" in done.stdout
    scores = [row.split() for row in done.stdout.splitlines() if row.startswith(("Gau", "Ber"))]
    rows = {" ".join(row[:-9]): [x.replace(",", "") for x in row[-9:]] for row in scores[-3:]}
    for name, row in rows.items():  # bits/dim are the nats, over D ln 2
        assert float(row[6]) == pytest.approx(float(row[5]) / PIXELS / np.log(2), abs=1e-3), name
    again = python(*arguments, "--resume", timeout=300)
    assert again.returncode == 0, again.stderr
    assert done.stdout.split("\nin all")[0].endswith(again.stdout.split("\nin all")[0][-300:])


def test_a_folder_of_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "cache"))
    (tmp_path / "people").mkdir()
    for i, face in enumerate(paint(calm(60, seed=1))):
        Image.fromarray(face.transpose(1, 2, 0)).save(tmp_path / "people" / f"{i}.png")
    done = python(
        *("-m", "demos.vae_faces", "--quick", "--dataset", "folder"),
        *("--data-dir", tmp_path / "people", "--out", tmp_path),
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "vae_faces"
    assert_legible(folder)
    assert_guided(done.stdout, folder, SEEN)
    assert {path.name for path in folder.glob("*.npz")} == THREE
    assert "known factors" in done.stdout


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--dataset", "folder"), "got folder without --data-dir"),
        (("--dataset", "folder", "--data-dir", "/nowhere"), "/nowhere: got no such folder"),
        (("--codes", "0"), "got 5, 2500, 16, 0, 8; expected at least 1"),
    ],
)
def test_what_goes_wrong_is_one_line(tmp_path, arguments, message):
    done = asked("vae_faces", "--quick", "--out", tmp_path, *arguments)
    assert_one_line(done, message)
