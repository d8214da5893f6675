"""The two demos on convolution: what they print is true, what they draw is what was computed."""

import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import minigrad
import minigrad.nn.functional as F
from demos import conv_arithmetic, image_filters
from demos.common import run
from demos.convolution_animation import (
    BLUE,
    CYAN,
    DATA,
    FRAME,
    INSERTED,
    direct_scene,
    transposed_scene,
)
from demos.convolution_cases import (
    CASES,
    ROUNDING,
    Case,
    check,
    cost,
    recovery,
    small_arrays,
    unturned,
)
from demos.convolution_pictures import elements
from demos.image_filters import (
    DOUBLINGS,
    bilinear,
    box,
    checkerboard,
    down_kernel,
    load_photograph,
    plan,
)
from minigrad.ops.conv import im2col
from minigrad.ops.conv.primitives import LOWERINGS
from tests.demos.running import asked, printed

NAMED = {case.name: case for case in CASES}


def refusal(module, monkeypatch, *arguments):
    """The line that a run within this process ends with."""
    monkeypatch.setattr(sys, "argv", ["demo", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        run(module.main)
    assert isinstance(stop.value.code, str)  # so the exit status is 1
    assert stop.value.code.startswith("error: ") and "\n" not in stop.value.code
    return stop.value.code


def assert_drawn(path):
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert min(pixels.shape[:2]) > 100 and pixels.std() > 10, path


def rows_of(text, heading):
    """The rows of the table under the line that starts so."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(heading)) + 1
    stop = next(i for i in range(start, len(lines)) if not lines[i].strip())
    return [line.split() for line in lines[start:stop]]


# ---------------------------------------------------------------- conv_arithmetic: what it prints


@pytest.fixture(scope="module")
def arithmetic(tmp_path_factory):
    out = tmp_path_factory.mktemp("arithmetic")
    return printed("conv_arithmetic", "--quick", "--out", out), out / "conv_arithmetic"


def test_prints_the_deck_s_matrix(arithmetic):
    text, folder = arithmetic
    assert "  · w00 w01 w02   · w10 w11 w12   · w20 w21 w22   ·   ·   ·   ·\n" in text
    assert "w10   · w00   ·    4 · 1 ·\n" in text  # Cᵀ and its numbers
    assert "C has rank 4 of 16" in text
    assert "w00 w01 w02   · w10" in (folder / "R8" / "matrix.txt").read_text("utf-8")


def test_prints_that_three_ways_are_equal_and_the_unturned_is_not(arithmetic):
    rows = rows_of(arithmetic[0], "case  three ways")
    assert [row[0] for row in rows] == list(NAMED)
    for _, *rounding, wrong, pixels, products in rows:
        assert all(0 < float(value) <= ROUNDING for value in rounding)
        assert float(wrong.rstrip("%")) > 50
        assert 0 <= float(products.rstrip("%")) <= float(pixels.rstrip("%")) <= 100


def test_prints_the_sizes_of_the_guide(arithmetic):
    """i' and p' of the figures in arXiv 1603.07285, chapter 4, and of deck 001's."""
    printed = {row[0]: row[7:] for row in rows_of(arithmetic[0], "case   i")}
    assert printed == {
        "R8": ["R1", "2", "R8", "2", "2", "4"],
        "R9": ["R2", "6", "R9", "6", "1", "5"],
        "R10": ["R3", "5", "R10", "5", "1", "5"],
        "R11": ["R4", "7", "R11", "7", "0", "5"],
        "R12": ["R5", "2", "R12", "3", "2", "5"],
        "R13": ["R6", "3", "R13", "5", "1", "5"],
        "R14": ["R6", "3", "R14", "5", "1", "6"],
        "R15": ["R15", "3", "R8", "3", "4", "7"],
        "6x6": ["R1", "4", "R8", "4", "2", "6"],
        "VAE": ["R5", "5", "R14", "9", "3", "13"],
    }


def test_timing_table_has_every_size(arithmetic):
    rows = rows_of(arithmetic[0], "pixels a side")
    assert [row[0] for row in rows] == ["4", "8", "16"]
    assert [row[4] for row in rows] == ["92%", "87%", "82%"]


def test_matrix_stops_where_it_refuses():
    found = cost(32, seed=0, seconds=0.0)
    assert found.milliseconds["matrix"] is None and found.milliseconds["im2col"] > 0
    assert found.megabytes == pytest.approx(8192 * 32768 * 4 / 1e6)


@pytest.mark.parametrize("case", CASES, ids=NAMED)
def test_recovers_the_shape_not_the_values(case):
    arrays = small_arrays(case, 0)
    lost = recovery(arrays, case.geometry)
    assert arrays.back.shape == arrays.x.shape
    assert lost.transposed > 0.3
    if lost.rank < arrays.x.size:
        assert 0.1 < lost.unseen <= lost.transposed and "is lost" in lost.says
    else:  # as many numbers as pixels: something undoes C, and it is not Cᵀ
        assert lost.unseen < 1e-9 and case.name in ("R9", "R11") and "C⁺, which" in lost.says


def test_a_symmetric_kernel_hides_the_missing_turn():
    case = NAMED["R13"]
    arrays = small_arrays(case, 0)
    assert unturned(arrays.code, np.ones_like(arrays.w), case.geometry) == 0
    assert unturned(arrays.code, arrays.w, case.geometry) > 0.1


def test_a_wrong_lowering_ends_with_status_1(monkeypatch, tmp_path):
    wrong = SimpleNamespace(conv_transpose=lambda y, w, g: im2col.conv_transpose(y, w, g) + 1e-11)
    monkeypatch.setitem(LOWERINGS, "stretched", wrong)
    assert not check(NAMED["R8"], 0).passed
    line = refusal(conv_arithmetic, monkeypatch, "--case", "R8", "--out", tmp_path)
    assert (
        line.startswith("error: R8, R9, ") and "differs by 1.0e-11; expected at most 1e-12" in line
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--own", "5"), "--own: got '5'; expected 2 to 5 whole numbers: i,k,s,p,d"),
        (("--own", "5,x"), "--own: got '5,x'"),
        (("--own", "5,-3"), "--own: got '5,-3'"),
        (("--own", "5,7"), "the kernel is larger than the padded input: got (7, 7) over (5, 5)"),
        (("--own", "5,3,0"), "stride: got 0; expected an integer of at least 1"),
        (("--own", "23,3,1,1"), "got 23 pixels framed by 1; expected at most 24 in all"),
        (("--seed", "-1"), "--seed: got -1; expected at least 0"),
    ],
)
def test_arithmetic_refuses(monkeypatch, tmp_path, arguments, message):
    assert message in refusal(conv_arithmetic, monkeypatch, *arguments, "--out", tmp_path)


def test_own_case_in_full(tmp_path):
    own = "4,1,2,1"  # the frame cuts: p' = -1
    text = printed("conv_arithmetic", "--own", own, "--out", tmp_path)
    assert text.startswith("own, your own: i = 4, k = 1, s = 2, p = 1, d = 1")
    folder = tmp_path / "conv_arithmetic" / "own"
    for name, count in (("transposed.gif", 16), ("direct.gif", 9)):
        with Image.open(folder / name) as animation:
            assert animation.n_frames == count
    assert "pixels a side" not in text and len(list(folder.parent.iterdir())) == 1


# ---------------------------------------------------------------- conv_arithmetic: what it draws


@pytest.mark.parametrize("make", [direct_scene, transposed_scene])
@pytest.mark.parametrize("case", [*CASES, Case("cut", "", 4, 1, 2, 1)], ids=lambda case: case.name)
def test_animation_shows_what_the_operation_computes(case, make):
    """Every pixel above is the sum of the products that lie under its window."""
    scene = make(case, small_arrays(case, 3))
    for row, column in np.ndindex(scene.above.shape):
        products = scene.below[scene.places(row, column)] * scene.kernel
        assert products.sum() == scene.above[row, column]
        assert scene.sum(row, column).endswith(f" = {products.sum():.0f}")
    assert not scene.below[scene.kinds != DATA].any() and scene.below[scene.kinds == DATA].all()


def test_stretched_map_has_zeros_between_and_a_frame_around():
    scene = transposed_scene(NAMED["R13"], small_arrays(NAMED["R13"], 0))
    D, Z, P = DATA, INSERTED, FRAME
    assert scene.kinds.tolist() == [
        [P, P, P, P, P, P, P],
        [P, D, Z, D, Z, D, P],
        [P, Z, Z, Z, Z, Z, P],
        [P, D, Z, D, Z, D, P],
        [P, Z, Z, Z, Z, Z, P],
        [P, D, Z, D, Z, D, P],
        [P, P, P, P, P, P, P],
    ]
    assert scene.kernel.tolist() == [[9, 8, 7], [6, 5, 4], [3, 2, 1]]  # turned
    assert scene.sum(1, 1).count("·") == 4 and scene.count(1, 1) == "4 of 9 not zero"


@pytest.mark.parametrize("case", CASES, ids=NAMED)
def test_connectivity_counts_the_overlap(case):
    g = case.geometry
    touched = (elements(g) > 0).sum(0).reshape(g.input_size)
    assert (touched == g.overlap()).all()


def test_arithmetic_draws_its_pictures(arithmetic):
    folder = arithmetic[1]
    for name in ("R8", "R13"):
        for picture in ("matrix", "connectivity", "values", "turn"):
            assert_drawn(folder / name / f"{picture}.png")
    for picture in ("timing", "transposed"):
        assert_drawn(folder / f"{picture}.png")


@pytest.mark.parametrize(
    "name, count",
    [("R8/direct", 4), ("R8/transposed", 16), ("R13/direct", 9), ("R13/transposed", 25)],
)
def test_animations_have_a_frame_for_each_pixel_made(arithmetic, name, count):
    path = arithmetic[1] / f"{name}.gif"
    assert path.stat().st_size < 300_000
    with Image.open(path) as animation:
        assert animation.n_frames == count
        frames = []
        for n in range(count):
            animation.seek(n)
            frames.append(np.asarray(animation.convert("RGB")).astype(int))
    assert tuple(frames[0][2, 2]) == (255, 255, 255)
    assert (frames[0] == BLUE).all(-1).sum() > 2000 and (frames[-1] == CYAN).all(-1).sum() > 2000
    changes = [abs(a - b).mean() for a, b in pairwise(frames)]
    assert all(0.2 < change < 20 for change in changes)  # the window moves, the scene stays


# ---------------------------------------------------------------- image_filters


@pytest.fixture(scope="module")
def filters(tmp_path_factory):
    out = tmp_path_factory.mktemp("filters")
    return printed("image_filters", "--quick", "--out", out), out / "image_filters"


def test_learned_beats_bilinear_beats_box(filters):
    text, folder = filters
    assert "128 × 109 → 64 × 55 → 128 × 109" in text
    decibels = {row[0]: float(row[4]) for row in rows_of(text, "up-kernel")}
    assert decibels["learned"] > decibels["bilinear"] + 0.5
    assert decibels["bilinear"] > decibels["box"] + 0.5
    for picture in ("sheet", "up_kernels", "checkerboard"):
        assert_drawn(folder / f"{picture}.png")


def test_checkerboard_is_where_the_stride_does_not_divide_the_kernel(filters):
    rows = rows_of(filters[0], "doubling a flat 1")
    ones, draws = ([float(row[at]) for row in rows] for at in (-2, -1))
    assert rows[0][-5:-2] == ["1", "to", "4"] and [row[-3] for row in rows[1:]] == ["4", "9"]
    # products 1, 2, 2 and 4 of 4/9 each: mean 1, variance 16/81 · 25/4 - 1
    assert ones == [pytest.approx((16 / 81 * 25 / 4 - 1) ** 0.5, abs=1e-4), 0, 0]
    assert draws[0] > 0.4 and draws[1] > 0.1 and draws[2] == 0


def test_resizing_first_never_makes_a_checkerboard():
    photograph = minigrad.ones(1, 3, 6, 6)
    assert checkerboard(DOUBLINGS[2], photograph, seed=1, draws=20).spread_random < 1e-6


@pytest.mark.parametrize("stride, k", [(1, 3), (2, 3), (2, 5), (2, 6), (3, 7), (3, 8), (4, 4)])
@pytest.mark.parametrize("padding, dilation", [(None, 1), (0, 1), (2, 2)])
def test_middles_lie_over_middles(stride, k, padding, dilation):
    """A ramp comes back as it was by a symmetric kernel and straight lines, shifted by nothing."""
    args = SimpleNamespace(k=k, stride=stride, padding=padding, dilation=dilation)
    sizes = plan((48, 48), args)
    ramp = np.add.outer(np.arange(48.0), 2 * np.arange(48.0))[None, None]
    blurred = im2col.conv(ramp, down_kernel("blur", k, 0)[None, None], sizes.down)
    lines = bilinear(sizes.up.kernel_size[0], stride)[None, None]
    back = im2col.conv_transpose(blurred, lines, sizes.up)
    inside = np.s_[:, :, 18:-22, 18:-22]
    assert abs(back - ramp)[inside].max() < 1e-11


@pytest.mark.parametrize("size, stride", [(5, 2), (6, 2), (7, 3), (9, 4), (3, 1)])
def test_box_repeats_pixels(size, stride):
    kernel = box(size, stride)
    assert kernel.sum() == stride**2 and set(np.unique(kernel)) <= {0, 1}
    y = F.conv_transpose2d(
        minigrad.arange(9.0).reshape(1, 1, 3, 3), minigrad.tensor(kernel[None, None]).float(),
        stride=stride,
    )  # fmt: skip
    first = (size - stride) // 2
    made = y.numpy()[0, 0, first : first + 3 * stride, first : first + 3 * stride]
    assert (made == np.kron(np.arange(9).reshape(3, 3), np.ones((stride, stride)))).all()


@pytest.mark.parametrize(
    "name, total", [("blur", 1), ("sharpen", 1), ("emboss", 1), ("edge", 0), ("gabor", 0)]
)
@pytest.mark.parametrize("k", [3, 7])
def test_designed_kernels_keep_or_remove_the_mean(name, total, k):
    kernel = down_kernel(name, k, 0)
    assert kernel.shape == (k, k) and kernel.sum() == pytest.approx(total, abs=1e-12)
    if name == "emboss":
        assert kernel[0, 0] < 0 < kernel[-1, -1]  # light from one corner
    else:
        assert kernel == pytest.approx(kernel[::-1, ::-1], abs=1e-15)


def test_random_kernel_is_the_seed_s():
    assert (down_kernel("random", 4, 1) == down_kernel("random", 4, 1)).all()
    assert abs(down_kernel("random", 4, 1) - down_kernel("random", 4, 2)).max() > 0.01


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_any_picture_is_three_channels(tmp_path, mode):
    path = tmp_path / ("picture.jpg" if mode == "CMYK" else "picture.png")
    Image.new("RGB", (200, 100), "white").convert(mode).save(path)
    pixels = load_photograph(path, 50)
    assert pixels.shape == (1, 3, 25, 50) and pixels.dtype == np.float32
    assert pixels.min() > 0.98 and pixels.max() <= 1


def test_other_picture_and_sizes(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 70, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    text = printed(
        "image_filters", "--quick", "--image", tmp_path / "noise.png", "--kernel", "edge", "--k", 7,
        "--stride", 3, "--padding", 0, "--up-kernel", "box", "--out", tmp_path,
    )  # fmt: skip
    assert text.startswith(
        "edge, k 7, stride 3, padding 0, dilation 1: 40 × 70 → 12 × 22 → 40 × 70"
    )
    assert_drawn(tmp_path / "image_filters" / "sheet.png")


@pytest.fixture
def files(tmp_path):
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    Image.new("RGB", (400, 9)).save(tmp_path / "thin.png")
    Image.effect_noise((200, 200), 50).save(tmp_path / "whole.jpg")
    (tmp_path / "half.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:4000])
    return tmp_path


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--image", "nowhere.jpg"), "nowhere.jpg; expected a file. Name any picture"),
        (("--image", "."), "expected a file"),
        (("--image", "text.jpg"), "text.jpg is no picture that can be read: cannot identify"),
        (("--image", "empty.png"), "empty.png is no picture that can be read"),
        (("--image", "half.jpg"), "half.jpg is no picture that can be read: image file is trunc"),
        (("--image", "thin.png"), "expected at least 16 each way"),
        (("--k", "200"), "--k: conv2d: the kernel is larger than the padded input: got (200, 200)"),
        (
            ("--kernel", "edge", "--k", "4"),
            "--k: got 4; expected an odd number, 3 or more, for edge",
        ),
        (("--kernel", "gabor", "--k", "1"), "expected an odd number, 3 or more, for gabor"),
        (("--k", "0"), "--k: got 0; expected at least 1"),
        (("--stride", "0"), "--stride: got 0; expected at least 1"),
        (("--padding", "-1"), "padding: got -1; expected an integer of at least 0"),
        (("--side", "8"), "--side: got 8; expected at least 32"),
        (("--steps", "0"), "--steps: got 0; expected at least 1"),
        (("--k", "101", "--side", "2000"), "would take"),
        (("--device", "tpu"), "got 'tpu'; expected 'cpu', 'cuda'"),
    ],
)
def test_filters_refuse(monkeypatch, files, arguments, message):
    monkeypatch.chdir(files)
    padding = () if "--padding" in arguments else ("--padding", "0")
    quick = "--quick", *padding, "--out", files / "out"
    assert message in refusal(image_filters, monkeypatch, *arguments, *quick)
    assert not (files / "out").exists()


def test_refusal_is_one_line_and_status_1():
    done = asked("image_filters", "--image", "/nowhere/at/all.jpg")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (
        "error: --image: got /nowhere/at/all.jpg; expected a file. Name any picture: --image FILE\n"
    )
