"""Tensors from NumPy arrays, and the names of element types."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError


def test_from_numpy_shares_the_memory():
    array = np.zeros(3, np.float32)
    x = mg.from_numpy(array)
    array[0] = 1.0
    assert x.tolist() == [1.0, 0.0, 0.0]
    x.add_(1.0)
    assert array.tolist() == [2.0, 1.0, 1.0]


@pytest.mark.parametrize("data", [[1.0], 1.0, np.float32(1), np.array(["a"]), np.array([None])])
def test_from_numpy_takes_arrays_of_numbers_alone(data):
    with pytest.raises(DTypeError, match="from_numpy: got .*; expected a NumPy array of numbers"):
        mg.from_numpy(data)


def test_as_tensor_copies_only_what_it_must():
    x, array = mg.ones(2), np.ones(2)
    assert mg.as_tensor(x) is x
    assert np.shares_memory(mg.as_tensor(array).array, array)
    assert mg.as_tensor(array, dtype=mg.float).dtype == mg.float32
    assert mg.as_tensor([1, 2]).dtype == mg.int64 and mg.as_tensor(0.5).dtype == mg.float32


def test_types_have_pytorchs_short_names():
    short = mg.float, mg.double, mg.int, mg.long
    assert short == (mg.float32, mg.float64, mg.int32, mg.int64)
