"""What operations say of arguments that they do not take."""

import numpy as np
import pytest

from minigrad import tensor
from minigrad.errors import ArgumentError, DTypeError
from minigrad.ops.arguments import check_float, check_tensors, is_whole, pair


def test_integers_are_refused():
    with pytest.raises(DTypeError, match=r"op: got int64; expected a float type. Use .float\(\)"):
        check_float("op", np.zeros(2, np.int64))


def test_what_is_no_tensor_is_refused():
    check_tensors("op", tensor(1.0), tensor([2]))
    with pytest.raises(DTypeError, match=r"op: got Tensor, float; expected tensors. Use minigrad"):
        check_tensors("op", tensor(1.0), 2.0)


def test_whole_numbers():
    assert is_whole(3, 3) and is_whole(np.int32(4), 3)
    assert not any(is_whole(n, 3) for n in (2, 3.0, True, "3", None))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "got 0; expected an integer of at least 1"),
        (2.0, "got 2.0; expected an integer of at least 1"),
        ((2, "a"), "got 'a'; expected an integer of at least 1"),
        ((1, 2, 3), r"got \(1, 2, 3\); expected an integer, or a pair of them"),
    ],
)
def test_pairs(value, message):
    assert pair("op", "stride", np.int64(2), 1) == (2, 2) and pair("op", "stride", [2, 3], 1) == (
        2,
        3,
    )
    with pytest.raises(ArgumentError, match=f"^op: stride: {message}"):
        pair("op", "stride", value, 1)
