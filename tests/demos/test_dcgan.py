"""The GAN of images: what it prints and draws, how it is judged, and that it resumes."""

import os
import re
import signal
import sys

import numpy as np
import pytest
from PIL import Image

import minigrad
from demos import dcgan
from demos.common import run
from demos.dcgan_numbers import Data, Judge, load_data, turned
from minigrad.data import TensorDataset
from tests.demos.running import printed

PICTURES = (
    "overview.png", "samples.png", "interpolation.png", "nearest.png", "curves.png",
)  # fmt: skip


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """What a quick run prints, and its folder."""
    out = tmp_path_factory.mktemp("dcgan")
    return printed("dcgan", "--quick", "--out", out), out / "dcgan" / "glyphs"


def test_prints_its_table(quick):
    text = quick[0]
    rows = {
        name: re.search(rf"^{name} +([\d.,]+) +(\S+) .* ([\d.]+)%$", text, re.M)
        for name in ("training images", "samples, G's average", "samples, G itself")
    }
    assert all(rows.values()), text
    distance = {name: float(row.group(1)) for name, row in rows.items()}
    assert 0 < 10 * distance["training images"] < distance["samples, G's average"]
    assert rows["training images"].group(2) == "-"
    assert re.search(r"^40 rounds of 32 images in \d+ seconds, \d+ ms each$", text, re.M)


def test_draws_its_pictures(quick):
    for name in PICTURES:
        with Image.open(quick[1] / name) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert min(pixels.shape[:2]) > 100 and pixels.std() > 10, name
    for name in ("overview.png", "forming.gif"):  # the README may show these
        assert (quick[1] / name).stat().st_size <= 300_000


def test_animation_shows_the_first_epoch_closely(quick):
    steps = sorted(int(file.stem.split("_")[1]) for file in (quick[1] / "frames").glob("*.png"))
    assert steps == [0, 2, 5, 10, 20, 40]  # of two epochs of twenty rounds
    with Image.open(quick[1] / "forming.gif") as animation:
        assert animation.n_frames == len(steps)


def within(monkeypatch, *arguments):
    """Run it in this process; the exit status."""
    monkeypatch.setattr(sys, "argv", ["dcgan", "--quick", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        run(dcgan.main)
    return stop.value.code


def test_faces_told_their_hair(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", [
        "dcgan", "--quick", "--dataset", "faces", "--conditional", "--out", str(tmp_path)
    ])  # fmt: skip
    dcgan.main()
    text = capsys.readouterr().out
    assert "as told" in text and "8 rounds of 32 images" in text
    folder = tmp_path / "dcgan" / "faces-conditional"
    with Image.open(folder / "forming.gif") as animation:
        assert animation.size == (10 * 66 - 2 + 16, 9 * 66 - 2 + 36)  # a row for each hair style


def test_pictures_of_a_folder_have_no_names(monkeypatch, tmp_path, capsys):
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for k in range(60):
        pixels = (rng.random((70, 64, 3)) * 60 + 3 * k).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{k}.png")
    words = ["--dataset", "folder", "--data-dir", tmp_path / "pictures", "--out", tmp_path / "out"]
    monkeypatch.setattr(sys, "argv", ["dcgan", "--quick", *map(str, words)])
    dcgan.main()
    text = capsys.readouterr().out
    assert "confidence" not in text and "8 rounds of 32 images" in text and "nan" not in text
    assert within(monkeypatch, *words, "--conditional").startswith("error: --conditional: got pic")


# ---------------------------------------------------------------- the parts


def arguments(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["dcgan", "--quick", *words])
    return dcgan.flags()


@pytest.fixture
def training(monkeypatch, tmp_path):
    args = arguments(monkeypatch, "--conditional")
    return dcgan.Training(args, load_data(args, 640, 60), tmp_path)


def test_same_noise_goes_down_a_column(training):
    z = training.z.numpy().reshape(10, 10, 100)
    assert (z == z[0]).all() and np.abs(np.diff(z[0], axis=0)).max(1).min() > 0.5
    assert (training.labels.numpy().reshape(10, 10) == np.arange(10)[:, None]).all()


def test_frames_come_back_as_they_were(training):
    (training.folder / "frames").mkdir()
    training.gan.eval()
    training.watch()
    (images,) = training.kept().values()
    shown = training.made(training.z, training.labels).numpy()
    assert images.shape == shown.shape == (100, 1, 28, 28)
    np.testing.assert_allclose(images, shown, atol=0.51 / 255)
    assert training.frames == {0, 1, 2, 5, 10, 20}


def test_watching_draws_nothing_from_the_games_dice(training):
    before = minigrad.randn(1)
    minigrad.manual_seed(0)
    again = minigrad.randn(1)
    minigrad.manual_seed(0)
    training.many()
    training.noise(5, 3)
    assert minigrad.randn(1).item() == again.item() != before.item()


def test_slerp_keeps_to_the_sphere_and_its_ends():
    a, b = np.random.default_rng(0).standard_normal((2, 100))
    b *= np.linalg.norm(a) / np.linalg.norm(b)
    path = dcgan.slerp(a, b, 7)
    np.testing.assert_allclose(path[[0, -1]], [a, b], atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), np.linalg.norm(a), rtol=1e-12)
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-12)


def test_quarter_turns_are_counted():
    x = minigrad.rand(5, 3, 8, 8)
    found, quarters = turned(x, minigrad.zeros(5))
    assert quarters.tolist() == [0, 1, 2, 3, 0]
    for image, before, k in zip(found.numpy(), x.numpy(), quarters.tolist(), strict=True):
        assert (image == [np.rot90(channel, k) for channel in before]).all()


@pytest.mark.parametrize("named", [True, False])
def test_judge_tells_data_from_noise(named):
    """Two kinds, a bar across or upright, with or without their names."""
    rng = np.random.default_rng(0)
    x = 0.2 * rng.random((240, 1, 28, 28))
    kinds = np.arange(240) % 2
    x[kinds == 0, :, 12:16, 4:24] += 0.8
    x[kinds == 1, :, 4:24, 12:16] += 0.8
    parts = [
        TensorDataset(minigrad.tensor(a.astype(np.float32)), minigrad.tensor(kinds[:n]))
        for a, n in ((x[:160], 160), (x[160:], 80))
    ]
    judge = Judge(Data(*parts, ("across", "upright") if named else ()), 0)
    labels = parts[1][:][1]
    noise = minigrad.rand(80, 1, 28, 28)
    assert 20 * judge.floor().distance < judge.score(noise, labels).distance
    assert judge.copying(parts[0][:80][0]) == 1.0
    if named:
        assert judge.accuracy == 1.0
        only = parts[0][:][0][kinds[:160] == 1]
        score = judge.score(only, minigrad.tensor(np.ones(80, np.int64)))
        assert (score.rarest, score.commonest, score.as_told) == (0.0, 1.0, 1.0)
        assert judge.shares(only).tolist() == [0.0, 1.0]
    else:
        assert np.isnan(judge.floor().confidence)


# ---------------------------------------------------------------- interrupted, and resumed


def test_resumes_bit_for_bit(monkeypatch, tmp_path):
    monkeypatch.setattr(dcgan.Pictures, "draw_all", lambda self: None)
    seen = []

    def interrupted(self, x, *labels):
        seen.append(len(seen))
        if len(seen) == 13:
            os.kill(os.getpid(), signal.SIGINT)
        return own(self, x, *labels)

    own = dcgan.Watched.step
    with monkeypatch.context() as patch:
        patch.setattr(dcgan.Watched, "step", interrupted)
        assert within(patch, "--out", tmp_path / "a") == 130
    for name, extra in (("a", ["--resume"]), ("b", [])):
        monkeypatch.setattr(
            sys, "argv", ["dcgan", "--quick", "--out", str(tmp_path / name), *extra]
        )
        dcgan.main()
    a, b = (tmp_path / name / "dcgan" / "glyphs" for name in "ab")
    with np.load(a / "game.npz") as one, np.load(b / "game.npz") as other:
        assert one.files == other.files and len(one.files) > 40
        for key in set(one.files) - {"structure"}:  # which holds the seconds
            assert (one[key] == other[key]).all(), key
    frames = sorted(path.relative_to(b) for path in b.rglob("round_*.png"))
    assert len(frames) == 6
    assert all((a / frame).read_bytes() == (b / frame).read_bytes() for frame in frames)
    assert len(seen) == 13


def test_refuses_to_resume_another_run(monkeypatch, tmp_path):
    folder = tmp_path / "dcgan" / "glyphs"
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text('{"seed": "0", "width": "8"}', "utf-8")
    line = within(monkeypatch, "--out", tmp_path, "--resume", "--seed", "3")
    assert line.startswith("error: --resume: got ") and "seed 3" in line and "seed 0" in line


@pytest.mark.parametrize(
    "words, message",
    [
        (("--epochs", "0"), "--epochs, --images, --width, --rate: got 0, 28000, 32, 0.002"),
        (("--rate", "-1"), "-1; expected all above 0"),
        (("--images", "31"), "--images: got 31; expected a batch of 32"),
        (("--device", "tpu"), "got 'tpu'"),
        (("--dataset", "folder"), "got folder without --data-dir"),
        (("--data-dir", "/nowhere"), "missing files in /nowhere"),
    ],
)
def test_refuses(monkeypatch, tmp_path, words, message):
    line = within(monkeypatch, *words, "--out", tmp_path)
    assert line.startswith("error: ") and message in line and "\n" not in line
    assert not (tmp_path / "dcgan").exists()
