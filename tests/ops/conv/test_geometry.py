"""The sizes, against the guide to convolution arithmetic, one relationship after the other."""

import numpy as np
import pytest
from hypothesis import given

from minigrad.errors import ArgumentError, ShapeError
from minigrad.nn.sizes import relationships
from minigrad.ops.conv.geometry import ConvGeometry
from tests.ops.conv.cases import geometries, meetings

# number: (what ConvGeometry.direct is told), o by the guide's own formula
DIRECT = {
    1: ({"input_size": 4, "kernel_size": 3}, (4 - 3) + 1),
    2: ({"input_size": 5, "kernel_size": 4, "padding": 2}, (5 - 4) + 2 * 2 + 1),
    3: ({"input_size": 5, "kernel_size": 3, "padding": 1}, 5),
    4: ({"input_size": 5, "kernel_size": 3, "padding": 2}, 5 + (3 - 1)),
    5: ({"input_size": 5, "kernel_size": 3, "stride": 2}, (5 - 3) // 2 + 1),
    6: ({"input_size": 6, "kernel_size": 3, "stride": 2, "padding": 1}, (6 + 2 - 3) // 2 + 1),
    15: ({"input_size": 7, "kernel_size": 3, "dilation": 2}, (7 - 3 - (3 - 1) * (2 - 1)) + 1),
}
# number: (what ConvGeometry.transposed is told), o' by the guide's own formula
TRANSPOSED = {
    8: ({"input_size": 2, "kernel_size": 3}, 2 + (3 - 1)),
    9: ({"input_size": 6, "kernel_size": 4, "padding": 2}, 6 + (4 - 1) - 2 * 2),
    10: ({"input_size": 5, "kernel_size": 3, "padding": 1}, 5),
    11: ({"input_size": 7, "kernel_size": 3, "padding": 2}, 7 - (3 - 1)),
    12: ({"input_size": 2, "kernel_size": 3, "stride": 2}, 2 * (2 - 1) + 3),
    13: ({"input_size": 3, "kernel_size": 3, "stride": 2, "padding": 1}, 2 * (3 - 1) + 3 - 2),
    14: (
        {"input_size": 3, "kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1},
        2 * (3 - 1) + 1 + 3 - 2,
    ),
}


@pytest.mark.parametrize("number", DIRECT)
def test_relationships_of_the_direct_convolution(number):
    told, size = DIRECT[number]
    geometry = ConvGeometry.direct(**told)
    assert geometry.output_size == (size, size)
    assert relationships(geometry)[0] == number


@pytest.mark.parametrize("number", TRANSPOSED)
def test_relationships_of_the_transposed_convolution(number):
    told, size = TRANSPOSED[number]
    geometry = ConvGeometry.transposed(**told)
    assert geometry.input_size == (size, size)
    assert relationships(geometry)[1] == number


def test_relationship_7_is_poolings():
    """7: o = ⌊(i - k) / s⌋ + 1"""
    assert ConvGeometry.direct(28, kernel_size=2, stride=2).output_size == (14, 14)


def test_the_decks_vae_drops_a_row_on_the_way_down():
    """28 → 13 → 5 by k4 s2; 13 is 2·5 + 2 + 1, so that a 4-kernel gives 12 on the way back."""
    second = ConvGeometry.direct(13, kernel_size=4, stride=2)
    assert second.output_size == (5, 5) and second.output_padding == (1, 1)
    assert ConvGeometry.transposed(5, kernel_size=4, stride=2).input_size == (12, 12)
    assert ConvGeometry.transposed(5, kernel_size=4, stride=2, output_size=13) == second
    assert ConvGeometry.transposed(5, kernel_size=5, stride=2).input_size == (13, 13)


@given(geometries())
def test_direct_finds_the_sizes(geometry):
    made = ConvGeometry.direct(
        geometry.input_size, geometry.kernel_size, geometry.stride, geometry.padding,
        geometry.dilation, geometry.groups,
    )  # fmt: skip
    assert made == geometry
    assert all(0 <= a < s for a, s in zip(made.output_padding, made.stride, strict=True))


@given(geometries())
def test_transposed_finds_the_way_back(geometry):
    told = {
        "input_size": geometry.output_size, "kernel_size": geometry.kernel_size,
        "stride": geometry.stride, "padding": geometry.padding, "dilation": geometry.dilation,
        "groups": geometry.groups,
    }  # fmt: skip
    by_padding = ConvGeometry.transposed(**told, output_padding=geometry.output_padding)
    assert by_padding == ConvGeometry.transposed(**told, output_size=geometry.input_size)
    assert by_padding == geometry


@given(geometries())
def test_taps_are_all_that_meets(geometry):
    met = set()
    for i, j, (h, w), (oh, ow) in geometry.taps:
        rows, columns = (
            list(zip(*(range(*part.indices(part.stop)) for part in parts), strict=True))
            for parts in ((h, oh), (w, ow))
        )
        met |= {(b, d, i, j, a, c) for a, b in rows for c, d in columns}
    assert met == set(meetings(geometry))


@given(geometries())
def test_overlap_counts_what_meets_in_a_pixel(geometry):
    counts = np.zeros(geometry.input_size, int)
    for *_, h, w in meetings(geometry):
        counts[h, w] += 1
    np.testing.assert_array_equal(geometry.overlap(), counts)


def test_the_overlap_is_even_where_the_stride_divides_the_kernel():
    inner = slice(4, -4)
    even = ConvGeometry.transposed(10, kernel_size=4, stride=2, padding=1).overlap()
    assert set(even[inner, inner].flat) == {4}
    uneven = ConvGeometry.transposed(10, kernel_size=3, stride=2, padding=1).overlap()
    assert set(uneven[inner, inner].flat) == {1, 2, 4}


@pytest.mark.parametrize(("k", "d", "starts_at"), [(3, 1, 1), (4, 1, 1), (3, 2, 2), (1, 3, 0)])
def test_same_padding_keeps_the_size_and_puts_the_odd_zero_at_the_end(k, d, starts_at):
    geometry = ConvGeometry.direct(9, kernel_size=k, padding="same", dilation=d)
    assert geometry.output_size == (9, 9)
    assert geometry.padding == (starts_at, starts_at)
    assert set(geometry.output_padding) <= {0, -1}


def test_valid_padding_is_none():
    assert ConvGeometry.direct(9, 3, padding="valid") == ConvGeometry.direct(9, 3)


def test_height_and_width_may_differ():
    geometry = ConvGeometry.direct((7, 12), (3, 4), (1, 3), (0, 2), (2, 1))
    assert geometry.output_size == (3, 5)
    assert geometry.receptive_field == (5, 4)


def test_it_is_frozen_and_compared_by_value():
    geometry = ConvGeometry.direct(5, 3)
    with pytest.raises(AttributeError):
        geometry.stride = (2, 2)
    assert hash(geometry) == hash(ConvGeometry.direct((5, 5), (3, 3)))


# ---------------------------------------------------------------- what is refused

REFUSED = [
    ({"stride": 0}, ArgumentError, "stride: got 0; expected an integer of at least 1"),
    ({"stride": -1}, ArgumentError, "stride: got -1"),
    ({"stride": 1.5}, ArgumentError, r"stride: got 1\.5; expected an integer"),
    ({"stride": True}, ArgumentError, "stride: got True; expected an integer"),
    ({"stride": (1, 2, 3)}, ArgumentError, r"stride: got \(1, 2, 3\); expected an integer, or a p"),
    ({"dilation": 0}, ArgumentError, "dilation: got 0"),
    ({"padding": -1}, ArgumentError, "padding: got -1; expected an integer of at least 0"),
    ({"padding": "full"}, ArgumentError, "padding: got 'full'"),
    ({"padding": "same", "stride": 2}, ArgumentError, r"'same' with stride \(2, 2\)"),
    ({"groups": 0}, ArgumentError, "groups: got 0"),
    ({"kernel_size": 0}, ArgumentError, "kernel size: got 0"),
    ({"kernel_size": 7}, ShapeError, r"kernel is larger.*got \(7, 7\) over \(6, 6\)"),
    ({"dilation": 3}, ShapeError, r"kernel is larger.*got \(7, 7\) over \(6, 6\).*dilation \(3, 3"),
    ({"input_size": (3, 6, 6)}, ShapeError, r"input: got 3 axes, \(3, 6, 6\); expected 4"),
]


@pytest.mark.parametrize(("told", "error", "message"), REFUSED)
def test_direct_refuses(told, error, message):
    with pytest.raises(error, match=f"^conv2d: .*{message}"):
        ConvGeometry.direct(**{"input_size": 6, "kernel_size": 3, **told})


def test_output_padding_has_its_interval_in_the_message():
    message = (
        r"output_padding: got \(2, 2\); expected \(0, 0\) to \(1, 1\), less than stride \(2, 2\) "
        r"or dilation \(1, 1\)$"
    )
    with pytest.raises(ArgumentError, match=message):
        ConvGeometry.transposed(5, 3, stride=2, output_padding=2)


def test_output_size_has_its_interval_and_the_formula_in_the_message():
    message = (
        r"output_size: got \(12, 12\); expected \(9, 9\) to \(10, 10\): the least is "
        r"\(9, 9\) = s\(i' - 1\) \+ d\(k - 1\) \+ 1 - 2p for i' \(5, 5\), k \(3, 3\), s \(2, 2\)"
    )
    with pytest.raises(ArgumentError, match=message):
        ConvGeometry.transposed(5, 3, stride=2, padding=1, output_size=12)


def test_a_transposed_convolution_must_leave_something():
    with pytest.raises(ShapeError, match=r"no output is left: got size \(0, 0\)"):
        ConvGeometry.transposed(2, kernel_size=1, padding=1)
