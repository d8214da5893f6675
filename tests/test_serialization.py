"""Checkpoints come back as they were, or not at all, and never run anything."""

import os
import pickle

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import CheckpointError
from minigrad.serialization import load, save

THING = {
    "model": {"0.weight": mg.tensor([[1.5, -2.0]]), "file": mg.tensor([3], dtype=mg.int64)},
    "optimizer": {"state": {0: {"step": 3, "m": np.arange(3.0)}}, "betas": (0.9, 0.999)},
    "list": [None, True, 0.1, "text", {}],
    "empty": mg.zeros(0, 3),
}


def flat(thing):
    """A nested thing with its arrays as (dtype, nested lists), to be compared."""
    if isinstance(thing, dict):
        return {key: flat(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return type(thing)(flat(value) for value in thing)
    if hasattr(thing, "tolist"):
        return type(thing), str(thing.dtype), tuple(thing.shape), thing.tolist()
    return thing


def test_everything_comes_back_as_it_was(tmp_path):
    save(THING, tmp_path / "deep" / "a.npz")
    assert flat(load(tmp_path / "deep" / "a.npz")) == flat(THING)
    assert os.listdir(tmp_path / "deep") == ["a.npz"]


def test_arrays_are_readable_by_numpy_under_their_own_names(tmp_path):
    save(THING, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["model/0.weight"], [[1.5, -2.0]])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_a_file_cut_short_is_refused(tmp_path, share):
    save(THING, tmp_path / "a.npz")
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointError, match="is no checkpoint, or was damaged or cut short"):
        load(tmp_path / "a.npz")


def test_a_flipped_bit_never_changes_a_number(tmp_path):
    save(THING, tmp_path / "a.npz")
    whole = (tmp_path / "a.npz").read_bytes()
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        (tmp_path / "b.npz").write_bytes(damaged)
        try:
            found = load(tmp_path / "b.npz")
        except CheckpointError:
            continue
        assert flat(found) == flat(THING)


def test_pickled_objects_are_never_executed(tmp_path):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    (tmp_path / "a.npz").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(CheckpointError):
        load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", structure=np.array([Payload()], object))
    with pytest.raises(CheckpointError):
        load(tmp_path / "b.npz")
    assert not (tmp_path / "executed").exists()


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    save({"a": 1}, tmp_path / "a.npz")

    def full_disk(file, **arrays):
        file.write(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="no space left"):
        save({"a": 2}, tmp_path / "a.npz")
    assert load(tmp_path / "a.npz") == {"a": 1}
    assert os.listdir(tmp_path) == ["a.npz"]


def test_what_cannot_be_saved_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="/model/1: got function"):
        save({"model": [1, flat]}, tmp_path / "a.npz")
    assert os.listdir(tmp_path) == []


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no checkpoint at"):
        load(tmp_path / "a.npz")
