"""demos.cave: shadows that are equal where geometry says so, codes that hold the hidden angle."""

import numpy as np
import pytest
from PIL import Image

from demos.cave import HANDLE, ODD, ORDINARY, apart, jug, read, shadows, winding
from tests.demos.running import asked, printed, rows_of

ANGLES = np.arange(5.0, 360, 10)


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The quick run's folder, what it prints, and the cells of every row of the table."""
    out = tmp_path_factory.mktemp("out")
    text = printed("cave", "--quick", "--out", out)
    lines = rows_of(text)
    rows = {(row[0], row[1]): row[2:] for row in lines if row[0] in HANDLE and len(row) == 6}
    return out / "cave", text, rows


def test_pictures_are_drawn_and_the_walk_goes_round(quick):
    assert {path.name for path in quick[0].iterdir()} == {"cave.png", "walk.gif"}
    with Image.open(quick[0] / "cave.png") as picture:
        assert np.asarray(picture.convert("RGB")).std() > 20
    with Image.open(quick[0] / "walk.gif") as animation:
        assert animation.n_frames == 36
    assert (quick[0] / "walk.gif").stat().st_size < 300_000


def test_codes_tell_the_angle_of_the_odd_jug_alone(quick):
    off, within, _, miss = quick[2][ODD, "2 codes of the VAE"]
    assert float(off.rstrip("%")) < 3 and float(within.rstrip("°")) < 30
    off, within, either, _ = quick[2][ORDINARY, "2 codes of the VAE"]
    assert 40 < float(off.rstrip("%")) < 60 and float(within.rstrip("°")) > 150
    assert float(either.rstrip("°")) < 5
    assert float(miss) < 0.5 * float(quick[2][ODD, "2 principal directions"][3])


def test_pixels_hold_what_can_be_known(quick):
    assert quick[2][ODD, "all 784 pixels"][0] == "0.0%"
    assert 40 < float(quick[2][ORDINARY, "all 784 pixels"][0].rstrip("%")) < 60
    assert f"{ORDINARY}: -ELBO" in quick[1] and "differ by 0.000 at most" in quick[1]


def test_shadow_of_a_ball_is_a_disc():
    """Area π r², of pixels 2.4 / 28 wide; and nothing changes when it turns about its middle."""
    ball = np.array([[0.0, 0.0, 0.0, 0.8]])
    disc, turned = shadows(ball, np.array([0.0, 77.0]))
    assert disc.sum() * (2.4 / 28) ** 2 == pytest.approx(np.pi * 0.8**2, rel=2e-3)
    assert (disc == turned).all()


def test_shadows_from_behind_are_mirror_images():
    for handle in (0.0, 90.0, 180.0, 33.0):
        front, back = (shadows(jug(handle), turn) for turn in (ANGLES, ANGLES + 180))
        assert np.abs(front - back[:, :, ::-1]).max() < 1e-4


def test_ordinary_jug_throws_each_shadow_twice_and_the_odd_one_none():
    twice, ones = (
        np.abs(shadows(jug(HANDLE[name]), ANGLES) - shadows(jug(HANDLE[name]), -ANGLES))
        for name in (ORDINARY, ODD)
    )
    assert twice.max() < 1e-4 and ones.sum((1, 2)).min() > 3  # 10° apart at least
    seen = shadows(jug(HANDLE[ODD]), np.arange(0, 360, 5.0)).reshape(72, -1)
    far = ((seen[:, None] - seen[None]) ** 2).sum(2)
    around = apart(np.arange(72)[:, None] * 5.0, np.arange(72) * 5.0)
    assert far[around > 15].min() > 2  # squares of pixels


def test_all_of_the_jug_is_on_the_wall():
    for handle in HANDLE.values():
        seen = shadows(jug(handle), ANGLES)
        assert max(seen[:, [0, -1]].max(), seen[:, :, [0, -1]].max()) == 0
        assert seen.max() == 1 and ((seen > 0) & (seen < 1)).mean() > 0.02  # edges are soft


def test_angles_are_read_across_the_seam():
    turn = np.deg2rad(ANGLES)
    known = np.column_stack([np.cos(turn), np.sin(turn)])
    near = turn + np.deg2rad(4)
    found = read(known, ANGLES, np.column_stack([np.cos(near), np.sin(near)]))
    assert (found == ANGLES).all() and apart(ANGLES + 356, ANGLES + 720) == pytest.approx(4.0)


def test_loop_is_counted_and_a_way_there_and_back_is_not():
    turn = np.deg2rad(ANGLES)
    ring = np.column_stack([3 * np.cos(turn) + 5, np.sin(turn)])
    assert winding(ring) == pytest.approx(1) and winding(ring[::-1]) == pytest.approx(-1)
    half = np.abs(np.linspace(-3, 3, 40))
    arc = np.column_stack([np.cos(half), np.sin(half)])
    assert winding(arc) == pytest.approx(0)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--epochs", "-1"), "--epochs: got -1; expected at least 1"),
        (("--shadows", "5"), "--shadows: got 5; expected at least 100"),
        (("--device", "tpu"), "got 'tpu'"),
    ],
)
def test_what_goes_wrong_is_one_line(tmp_path, arguments, message):
    done = asked("cave", "--quick", "--out", tmp_path, *arguments)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("error: ")
    assert message in done.stderr and not list(tmp_path.rglob("*.png"))
