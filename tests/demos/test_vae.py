"""The main demo: what it prints is consistent, what it draws is there, what it resumes is equal."""

import os
import re
import signal
import sys
from functools import partial

import numpy as np
import pytest
from PIL import Image

import minigrad
from demos import vae, vae_pictures
from demos.common import Images, run
from demos.vae_numbers import confusion, distances, squares, votes
from models.vae import DenseVAE
from tests.demos.running import assert_guided, printed

PICTURES = [name for name in vae.SEEN if name.endswith(".png")]

demo = partial(printed, "vae", "--quick")


@pytest.fixture(scope="module", params=["dense", "conv"])
def quick(request, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param)
    text = demo("--model", request.param, "--out", out)
    return request.param, text, out / "vae" / f"{request.param}-glyphs"


def row_of(text, name):
    line = next(line for line in text.splitlines() if line.startswith(name + "  "))
    return line.removeprefix(name).replace(",", "").split()


# ---------------------------------------------------------------- what it prints


def closing(text):
    """The closing table alone: other tables have rows of the same names."""
    return text[text.index("-ELBO train") :]


def test_table_adds_up(quick):
    model, text, _ = quick
    parameters, _, elbo, reconstruction, kl, evidence, speed, _ = row_of(closing(text), "VAE")
    assert int(parameters) == {"dense": 807_700, "conv": 182_761}[model]
    assert float(elbo) == pytest.approx(float(reconstruction) + float(kl), abs=0.11)
    assert float(kl) > 0 and int(speed) > 0 and 50 < float(evidence) < 784 * np.log(2)


def test_plain_autoencoder_lacks_the_layer_of_the_variances(quick):
    model, text, _ = quick
    row = row_of(closing(text), "plain autoencoder")
    unused = {"dense": 512 * 2 + 2, "conv": 1600 * 20 + 20}[model]
    assert int(row[0]) == {"dense": 807_700, "conv": 182_761}[model] - unused
    assert [row[i] for i in (1, 2, 4, 5)] == ["-"] * 4


def test_many_draws_come_nearer_to_the_evidence_than_the_elbo(quick):
    gap = float(re.search(r"ln p\(x\) - ELBO = (.+) nats, measured on 60 test", quick[1]).group(1))
    _, _, elbo, _, _, evidence, _, _ = row_of(closing(quick[1]), "VAE")
    assert gap > 0 and float(elbo) - gap == pytest.approx(float(evidence), abs=0.11)


def test_confusion_is_told_in_shares(quick):
    for name in ("the images", "their reconstructions", "their codes"):
        shares = [int(share.rstrip("%")) for share in row_of(quick[1], name)]
        assert len(shares) == 10 and abs(sum(shares) - 100) <= 5
    assert int(row_of(quick[1], "the images")[5].rstrip("%")) > 60


# ---------------------------------------------------------------- what it draws


def test_draws_its_pictures(quick):
    _, text, folder = quick
    assert_guided(text, folder, vae.SEEN)
    for name in PICTURES:
        with Image.open(folder / name) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert min(pixels.shape[:2]) > 100 and pixels.std() > 10, name
    assert (folder / "overview.png").stat().st_size <= 300_000


def test_animation_has_more_frames_than_epochs(quick):
    with Image.open(quick[2] / "forming.gif") as animation:
        assert 10 <= animation.n_frames <= vae.FRAMES
    assert (quick[2] / "forming.gif").stat().st_size <= 300_000
    steps = sorted(int(f.stem.split("_")[1]) for f in (quick[2] / "frames").glob("*.npz"))
    last = 2 * -(-1000 // vae.BATCH[quick[0]])
    assert steps[0] == 0 and steps[-1] == last
    assert np.median(steps) < 0.4 * last  # early on most happens


def test_quantiles_cut_the_normal_distribution_into_equal_parts():
    """statistics.NormalDist().inv_cdf of 0.125, 0.375, 0.625, 0.875"""
    assert vae_pictures.quantiles(4) == pytest.approx(
        [-1.1503493803760079, -0.31863936396437514, 0.31863936396437514, 1.1503493803760079]
    )
    assert vae_pictures.probabilities(vae_pictures.quantiles(4)) == pytest.approx(
        [0.125, 0.375, 0.625, 0.875]
    )


def test_manifold_is_laid_out_as_the_scatter():
    """Pictures go row by row from the top left; so must the codes, the second pointing up."""
    codes = vae_pictures.manifold_codes(3, np.eye(2)).reshape(3, 3, 2)
    assert (np.diff(codes[..., 0], axis=1) > 0).all() and (np.diff(codes[..., 1], axis=0) < 0).all()
    assert (codes[1, 1] == 0).all()


def test_plane_holds_most_of_the_variance():
    rng = np.random.default_rng(0)
    means = rng.standard_normal((500, 6)) * [0.1, 3.0, 0.1, 0.1, 2.0, 0.1] + 5.0
    plane = vae_pictures.plane_of(means)
    assert plane @ plane.T == pytest.approx(np.eye(2), abs=1e-12)
    assert np.abs(plane[0, 1]) > 0.99 and np.abs(plane[1, 4]) > 0.99
    assert (means @ plane.T).var(0).sum() > 0.98 * means.var(0).sum()
    assert (vae_pictures.plane_of(means[:, :2]) == np.eye(2)).all()


def test_frame_keeps_to_its_colours():
    places = vae_pictures.Places(np.zeros((2, 2)), np.array([3, 3]), "0123456789", np.eye(2))
    page = vae_pictures.frame(np.ones((4, 28, 28)), places, "caption")
    colours = {colour for _, colour in page.convert("RGB").getcolors()}
    assert colours <= set(vae_pictures.PALETTE) and vae_pictures.KINDS[3] in colours


# ---------------------------------------------------------------- what it measures


def test_neighbours_vote():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    centres = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    known = centres[labels] + rng.standard_normal((200, 2))
    assert (votes(known, labels, centres) == [0, 1, 2]).all()
    assert squares(known[:5], known[:5]) == pytest.approx(
        ((known[:5, None] - known[None, :5]) ** 2).sum(2), abs=1e-12
    )


def test_confusion_and_distance_of_a_decoder_that_draws_one_image():
    """Whatever the code is, it draws a 3 that is among the training images."""
    rng = np.random.default_rng(0)
    images = (rng.random((60, 1, 28, 28)) > 0.5).astype(np.float32)
    labels = np.repeat([3, 5, 3], 20)
    images[labels == 3], images[labels == 5] = images[0], images[20]
    both = Images(minigrad.tensor(images), minigrad.tensor(labels))
    model = DenseVAE(hidden=4)
    with minigrad.no_grad():
        model.decoder[2].weight.fill_(0.0)
        model.decoder[2].bias.copy_(minigrad.tensor(images[0].ravel() * 200 - 100))
    rows = {name: shares for name, *shares in confusion(model, both, both, 5)}
    assert rows["the images"][5] == "100%" and rows["their reconstructions"][3] == "100%"
    ((name, *found),) = distances({"it": model}, both, both, seed=0, pairs=5)
    assert name == "it" and found == ["0.00", "0.00", "0.00"]


# ---------------------------------------------------------------- interrupted, and resumed


def within(monkeypatch, *arguments):
    """Run it in this process; the exit status."""
    monkeypatch.setattr(sys, "argv", ["vae", "--quick", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        run(vae.main)
    return stop.value.code


@pytest.mark.parametrize("kind, at", [(vae.Training, 13), (vae.PlainTraining, 27)])
def test_resumes_bit_for_bit(monkeypatch, tmp_path, kind, at):
    monkeypatch.setattr(vae.Pictures, "draw_all", lambda self: None)
    seen = []

    def interrupted(self, x):
        seen.append(len(seen))
        if len(seen) == at:
            os.kill(os.getpid(), signal.SIGINT)
        return own(self, x)

    own = kind.loss
    with monkeypatch.context() as patch:
        patch.setattr(kind, "loss", interrupted)
        assert within(patch, "--out", tmp_path / "a") == 130
    for name, extra in (("a", ["--resume"]), ("b", [])):
        monkeypatch.setattr(sys, "argv", ["vae", "--quick", "--out", str(tmp_path / name), *extra])
        vae.main()
    a, b = (tmp_path / name / "vae" / "dense-glyphs" for name in "ab")
    files = sorted(path.relative_to(b) for path in b.rglob("*.npz"))
    assert len(files) > 12 and files == sorted(path.relative_to(a) for path in a.rglob("*.npz"))
    for file in files:
        with np.load(a / file) as one, np.load(b / file) as other:
            assert one.files == other.files
            for key in set(one.files) - {"structure"}:  # which holds the seconds
                assert (one[key] == other[key]).all(), (file, key)
    assert len(seen) == at


def test_refuses_to_resume_another_run(monkeypatch, tmp_path):
    folder = tmp_path / "vae" / "dense-glyphs"
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text('{"seed": "0", "beta": "1.0"}', "utf-8")
    line = within(monkeypatch, "--out", tmp_path, "--resume", "--seed", "3")
    assert line.startswith("error: --resume: got ") and "seed 3" in line and "seed 0" in line


def test_a_wrong_flag_leaves_the_last_run_alone(monkeypatch, tmp_path):
    kept = tmp_path / "vae" / "dense-mnist" / "vae.npz"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"a checkpoint")
    line = within(monkeypatch, "--out", tmp_path, "--data-dir", tmp_path / "nowhere")
    assert line.startswith("error: mnist: missing files") and kept.read_bytes() == b"a checkpoint"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--codes", "1"), "--epochs, --codes: got 10, 1; expected at least 1 and 2"),
        (("--epochs", "0"), "--epochs, --codes: got 0, 2"),
        (("--beta", "-1"), "beta, free_bits: got -1.0"),
        (("--device", "tpu"), "got 'tpu'"),
    ],
)
def test_refuses(monkeypatch, tmp_path, arguments, message):
    line = within(monkeypatch, *arguments, "--out", tmp_path)
    assert line.startswith("error: ") and message in line and "\n" not in line
    assert not (tmp_path / "vae").exists()
