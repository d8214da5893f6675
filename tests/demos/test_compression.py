"""The demo of compression: bytes are counted rightly, and what is printed is consistent."""

import io
import re
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from demos.compression import Quantiser, best, frontier, jpeg, scan_bytes, way
from tests.demos.running import asked, printed


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    out = tmp_path_factory.mktemp("compression")
    text = printed("compression", "--quick", "--out", out)
    return text, out / "compression"


def rows(text, kind):
    found = re.findall(rf"^{kind} +(\w+ \S+.*?)  +(\S+) +(\S+) +(\S+)$", text, re.MULTILINE)
    return {name: tuple(float(x.replace(",", "")) for x in line) for name, *line in found}


def test_codes_are_counted_in_bits(quick):
    for kind, unit in (("autoencoder", "codes"), ("PCA", "components")):
        found = rows(quick[0], kind)
        assert len(found) == {"codes": 6, "components": 15}[unit]
        for name, (size, _, _) in found.items():
            d, bits = map(int, re.findall(r"\d+", name))
            assert size == pytest.approx(d * bits / 8)


def test_decoder_is_counted(quick):
    """784-256-128-64-4 read backwards, and the mean beside 4 directions, at 4 bytes a number."""
    sizes = (4, 64, 128, 256, 784)
    numbers = sum((a + 1) * b for a, b in pairwise(sizes))
    assert rows(quick[0], "autoencoder")["4 codes, 8 bits"][2] == 4 * numbers
    assert rows(quick[0], "PCA")["4 components, 8 bits"][2] == 4 * 5 * 784


def test_more_bits_and_more_components_are_better(quick):
    found = rows(quick[0], "PCA")
    by_size = [found[f"{d} components, 8 bits"][1] for d in (4, 8, 16, 32, 64)]
    assert by_size == sorted(by_size) and by_size[-1] > by_size[0] + 5
    two, four, eight = (found[f"64 components, {bits} bits"][1] for bits in (2, 4, 8))
    assert two < four < eight


def test_jpeg_files_are_mostly_tables(quick):
    whole, alone = (rows(quick[0], f"JPEG, {part}") for part in ("whole file", "picture alone"))
    assert whole.keys() == alone.keys() and len(whole) == 9
    assert whole["quality 1"][0] > 4 * alone["quality 1"][0]
    assert all(whole[name][1] == alone[name][1] for name in whole)


def test_draws_its_pictures(quick):
    for name in ("curves.png", "examples.png"):
        with Image.open(quick[1] / name) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert min(pixels.shape[:2]) > 300 and pixels.std() > 10, name


def test_scan_is_what_lies_between_the_last_header_and_the_end():
    image = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    file = jpeg(image, 75, measured=False)
    scan = file.rindex(b"\xff\xda")
    header = 2 + int.from_bytes(file[scan + 2 : scan + 4], "big")
    assert file.endswith(b"\xff\xd9") and scan_bytes(file) == len(file) - scan - header - 2
    flat_image = jpeg(np.zeros((28, 28), np.uint8), 75, measured=False)
    assert 0 < scan_bytes(flat_image) < 20  # 16 blocks with hardly a bit each
    assert len(file) - scan_bytes(file) == len(flat_image) - scan_bytes(flat_image)
    again = np.asarray(Image.open(io.BytesIO(jpeg(image, 75, measured=True))))
    assert (again == np.asarray(Image.open(io.BytesIO(file)))).all()


@pytest.mark.parametrize("bits", [1, 2, 8])
def test_quantiser_rounds_to_the_nearest_of_its_values(bits):
    codes = np.random.default_rng(0).uniform(-3, 5, (4000, 2))
    q = Quantiser(codes, bits)
    numbers = q.write(codes)
    assert numbers.min() == 0 and numbers.max() == 2**bits - 1
    inside = (codes > q.low) & (codes < q.low + q.last * q.step)
    off = np.abs(q.read(numbers) - codes) / q.step
    assert off[inside].max() <= 0.5 + 1e-9 and off[inside].max() > 0.49


def test_a_code_that_is_always_the_same_is_kept():
    q = Quantiser(np.full((10, 1), 2.5), 4)
    assert q.read(q.write(np.array([[2.5]]))) == 2.5


def test_best_and_frontier():
    x = np.zeros((1, 784))
    made = [way("a", str(i), size, x + off, x, 0) for i, (size, off) in enumerate(
        [(1, 0.4), (2, 0.2), (3, 0.3), (4, 0.1)]
    )]  # fmt: skip
    assert best(made, "a", 3.5).detail == "1" and best(made, "a", 0.5) is None
    assert [w.detail for w in frontier(made, "a")] == ["0", "1", "3"]


@pytest.mark.parametrize(
    "arguments, message",
    [(("--epochs", "0"), "--epochs: got 0; expected at least 1"), (("--device", "tpu"), "'tpu'")],
)
def test_refuses(tmp_path, arguments, message):
    done = asked("compression", "--quick", *arguments, "--out", tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("error: ") and message in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not (tmp_path / "compression").exists()
