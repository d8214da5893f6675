"""The IDX reader: what it reads, and the message that each kind of bad file gets."""

import gzip
import random
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad.data import idx
from minigrad.data.idx import ELEMENT_TYPES, read_idx
from minigrad.errors import DatasetError

CODES = {dtype: code for code, dtype in ELEMENT_TYPES.items()}
IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def idx_bytes(array, dtype=ELEMENT_TYPES[0x08]):
    header = bytes([0, 0, CODES[dtype], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(dtype).tobytes()


@pytest.fixture
def saved(tmp_path):
    def save(content):
        path = tmp_path / "some-idx-ubyte"
        path.write_bytes(content)
        return path

    return save


def refusal(path):
    """The message of the DatasetError that reading `path` raises."""
    with pytest.raises(DatasetError) as caught:
        read_idx(path)
    message = str(caught.value)
    assert message.startswith("read_idx: ") and str(path) in message
    return message


@settings(max_examples=150)
@given(
    dtype=st.sampled_from(list(CODES)),
    shape=st.lists(st.integers(0, 5), min_size=1, max_size=4).map(tuple),
    gzipped=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_round_trip(tmp_path_factory, dtype, shape, gzipped, seed):
    raw = np.random.default_rng(seed).integers(-99, 99, size=shape)
    array = raw.astype(dtype.newbyteorder("="))
    content = idx_bytes(array, dtype)
    path = tmp_path_factory.getbasetemp() / "round-trip"  # neither name says whether it is gzipped
    path.write_bytes(gzip.compress(content) if gzipped else content)
    read = read_idx(path)
    assert read.dtype == array.dtype and read.dtype.isnative
    np.testing.assert_array_equal(read, array, strict=True)


def test_big_endian_values_are_read_as_numbers(saved):
    content = bytes([0, 0, 0x0C, 1, 0, 0, 0, 2]) + struct.pack(">2i", 1, -70_000)
    assert read_idx(saved(content)).tolist() == [1, -70_000]


def test_no_file(tmp_path):
    assert "No such file" in refusal(tmp_path / "absent")


def test_empty_file(saved):
    assert "empty: got 0 bytes; expected an IDX file. Delete" in refusal(saved(b""))


@pytest.mark.parametrize("blank", [b"", b"\n ", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_web_page_under_the_name(saved, blank, pack):
    page = pack(blank + b"<!DOCTYPE html><title>Please log in</title>")
    message = refusal(saved(page))
    assert "a web page, not data" in message and "<!DOCTYPE" in message
    assert "expected an IDX file. Delete the file and download it again." in message


@pytest.mark.parametrize("magic", [b"\x00\x00\x0a\x01", b"\x00\x01\x08\x01", b"PK\x03\x04"])
def test_wrong_magic(saved, magic):
    message = refusal(saved(magic + bytes(8)))
    assert f"not an IDX file: got first bytes [{magic.hex(' ')}]" in message
    assert "expected 00 00, a type code out of 08 09 0b 0c 0d 0e" in message


@pytest.mark.parametrize("dimensions", [0, 5, 255])
def test_wrong_number_of_dimensions(saved, dimensions):
    content = bytes([0, 0, 8, dimensions]) + bytes(4 * dimensions)
    assert f"dimensions: got {dimensions}; expected 1 to 4" in refusal(saved(content))


def test_header_cut_short(saved):
    message = refusal(saved(idx_bytes(IMAGES)[:9]))
    assert "truncated in the header: got 5 bytes; expected 12 bytes for 3 sizes" in message


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("change, what", [(-4, "truncated"), (+1, "too long")])
def test_wrong_number_of_bytes(saved, pack, change, what):
    content = (idx_bytes(IMAGES) + b"more")[: 16 + 24 + change]
    message = refusal(saved(pack(content)))
    rule = f"{what}: got {24 + change} bytes after the header; expected 24 bytes for uint8"
    assert f"{rule} (2, 3, 4)" in message


@pytest.mark.parametrize("shape", [(2**32 - 1,) * 4, (0, 2**31, 2**31), (2**30 + 1,)])
def test_sizes_beyond_the_limit(saved, shape):
    message = refusal(saved(bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)))
    assert f"sizes too large: got uint8 {shape}" in message
    assert f"expected at most {2**30} bytes" in message


def test_memory_follows_the_data_and_not_the_header(saved, monkeypatch):
    """A header that promises the full limit, over 3 bytes, never asks for that much."""
    asked = []

    class Watched(gzip.GzipFile):
        def read(self, size=-1):
            asked.append(size)
            return super().read(size)

    monkeypatch.setattr(idx.gzip, "open", lambda file: Watched(fileobj=file))
    content = gzip.compress(bytes([0, 0, 8, 1]) + struct.pack(">I", 2**30) + b"abc")
    assert f"got 3 bytes after the header; expected {2**30}" in refusal(saved(content))
    assert 0 < min(asked) and max(asked) <= idx.CHUNK_BYTES


def test_gzip_bomb_is_left_at_the_limit(saved, monkeypatch):
    monkeypatch.setattr(idx, "MAX_BYTES", 3 * idx.CHUNK_BYTES)
    content = idx_bytes(IMAGES) + bytes(20 * idx.CHUNK_BYTES)
    message = refusal(saved(gzip.compress(content)))
    assert f"too long: got {4 * idx.CHUNK_BYTES} bytes" in message


def test_gzip_truncated_at_every_length(saved):
    content = gzip.compress(idx_bytes(IMAGES))
    for length in range(len(content)):
        refusal(saved(content[:length]))
    message = refusal(saved(content[:-1]))
    assert "truncated: got " in message and "expected complete gzip data. Delete" in message


def test_gzip_damage_is_named_and_its_cause_chained(saved):
    content = bytearray(gzip.compress(idx_bytes(IMAGES)))
    content[-8] ^= 1  # a bit of the CRC-32
    with pytest.raises(DatasetError, match="damaged: got CRC check failed") as caught:
        read_idx(saved(content))
    assert isinstance(caught.value.__cause__, gzip.BadGzipFile)
    assert "expected gzip data with matching checksums. Delete" in str(caught.value)


def test_flipped_bits_in_gzip_give_an_error_or_the_right_array(saved):
    content = gzip.compress(idx_bytes(IMAGES))
    for position in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[position // 8] ^= 1 << position % 8
        try:
            read = read_idx(saved(flipped))
        except DatasetError:
            continue
        np.testing.assert_array_equal(read, IMAGES, strict=True)


def test_random_bytes_give_an_error_or_an_array(saved):
    """Without a checksum a plain file's elements may change, but nothing else may happen."""
    chance = random.Random(0)
    for _ in range(500):
        damaged = bytearray(idx_bytes(IMAGES))
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            assert read_idx(saved(damaged)).nbytes == IMAGES.nbytes
        except DatasetError:
            continue
