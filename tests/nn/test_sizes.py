"""Sizes backwards: every answer reaches the size, none is missing, the plainest comes first."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.errors import ArgumentError, ShapeError
from minigrad.nn.sizes import MAX_KERNEL, MAX_STRIDE, solve, unevenness
from minigrad.ops.conv.geometry import ConvGeometry

sizes = st.integers(1, 40)


def made(i, answer, transposed):
    """The size that a geometry with these settings makes of i."""
    if transposed:
        return ConvGeometry.transposed(i, **answer).input_size
    return ConvGeometry.direct(i, **answer).output_size


@given(sizes, sizes, st.integers(1, 3), st.booleans())
def test_every_answer_reaches_the_size(i, o, d, transposed):
    for answer in solve(i, o, dilation=d, transposed=transposed):
        assert made(i, answer, transposed) == (o, o)


@given(st.tuples(sizes, sizes), st.tuples(sizes, sizes), st.integers(1, 4), st.booleans())
def test_every_answer_reaches_both_sizes(i, o, s, transposed):
    for answer in solve(i, o, stride=(s, 2), transposed=transposed):
        assert made(i, answer, transposed) == o
        assert np.broadcast_to(answer["stride"], 2).tolist() == [s, 2]


@given(st.integers(2, 16), st.integers(2, 16), st.integers(1, 2), st.booleans())
def test_no_answer_is_missing(i, o, d, transposed):
    """Every kernel, stride and padding in range, tried out."""
    large, small = (o, i) if transposed else (i, o)
    found = set()
    for k, s in itertools.product(range(1, MAX_KERNEL + 1), range(1, MAX_STRIDE + 1)):
        for p in range(d * (k - 1) + 1):
            try:
                geometry = ConvGeometry.direct(large, k, s, p, d)
            except ShapeError:
                continue
            if geometry.output_size == (small, small):
                found.add((k, s, p, geometry.output_padding[0] if transposed else None))
    answers = solve(i, o, dilation=d, transposed=transposed)
    assert {
        (x["kernel_size"], x["stride"], x["padding"], x.get("output_padding")) for x in answers
    } == found
    assert len(answers) == len(found)


@given(sizes, sizes, st.booleans())
def test_plainest_first(i, o, transposed):
    def plainness(answer):
        k, s, p = answer["kernel_size"], answer["stride"], answer["padding"]
        large, small = (o, i) if transposed else (i, o)
        leftover = large + 2 * p - k - s * (small - 1)
        return k < s, leftover > 0, k % s > 0, p, k, s

    order = [plainness(answer) for answer in solve(i, o, transposed=transposed)]
    assert order == sorted(order)


@pytest.mark.parametrize(
    "question, first",
    [
        (dict(input_size=28, output_size=14), (2, 2, 0, None)),
        (dict(input_size=28, output_size=14, padding=1), (4, 2, 1, None)),
        (dict(input_size=28, output_size=28), (1, 1, 0, None)),
        (dict(input_size=28, output_size=28, kernel_size=3), (3, 1, 1, None)),
        (dict(input_size=28, output_size=28, kernel_size=3, dilation=2), (3, 1, 2, None)),
        # deck 000: 28 → 13 → 5 by k4 s2, and back by k5 s2 and k4 s2
        (dict(input_size=28, output_size=13, stride=2), (4, 2, 0, None)),
        (dict(input_size=13, output_size=5, kernel_size=4), (4, 2, 0, None)),
        (dict(input_size=5, output_size=13, stride=2, transposed=True), (5, 2, 0, 0)),
        (dict(input_size=5, output_size=13, kernel_size=4, transposed=True), (4, 2, 0, 1)),
        (dict(input_size=13, output_size=28, stride=2, transposed=True), (4, 2, 0, 0)),
        # DCGAN: 1 → 4 → 8
        (dict(input_size=1, output_size=4, transposed=True), (4, 1, 0, 0)),
        (dict(input_size=4, output_size=8, kernel_size=4, stride=2, transposed=True), (4, 2, 1, 0)),
        (dict(input_size=4, output_size=1), (4, 1, 0, None)),
        # AlexNet: 227 → 55; 224 is said to do, with a row left over
        (dict(input_size=227, output_size=55, kernel_size=11), (11, 4, 0, None)),
        (dict(input_size=224, output_size=55, kernel_size=11), (11, 4, 2, None)),
        (dict(input_size=224, output_size=14, kernel_size=16, stride=16), (16, 16, 0, None)),
    ],
)
def test_known_layers_come_first(question, first):
    k, s, p, a = first
    answer = {"kernel_size": k, "stride": s, "padding": p}
    if "dilation" in question:
        answer["dilation"] = question["dilation"]
    if a is not None:
        answer["output_padding"] = a
    assert solve(**question)[0] == answer


def test_answers_are_keyword_arguments():
    down, up = solve((28, 30), (14, 10))[0], solve((14, 10), (28, 30), transposed=True)[0]
    h = nn.Conv2d(1, 8, **down)(mg.zeros(2, 1, 28, 30))
    assert h.shape == (2, 8, 14, 10)
    assert nn.ConvTranspose2d(8, 1, **up)(h).shape == (2, 1, 28, 30)


def test_what_is_given_is_kept():
    answers = solve(20, 10, kernel_size=(3, 4), stride=(2, 2), padding=1)
    assert answers == [{"kernel_size": (3, 4), "stride": 2, "padding": 1}]
    assert solve(100, 1, kernel_size=100)[0]["kernel_size"] == 100  # above the bound


def test_integers_of_numpy_will_do():
    (answer,) = solve(np.int64(28), 14, np.int64(4), 2)
    assert answer == {"kernel_size": 4, "stride": 2, "padding": 1}
    assert type(answer["kernel_size"]) is int


def test_one_pixel_takes_no_step():
    assert {x["stride"] for x in solve(4, 1)} == {x["stride"] for x in solve(1, 4, transposed=True)}
    assert {x["stride"] for x in solve(4, 1)} == {1}
    assert {x["stride"] for x in solve(4, 1, stride=3)} == {3}  # as it was asked for


def test_axes_that_differ_are_alike_where_they_can_be():
    assert solve((28, 56), (14, 28))[0] == {"kernel_size": 2, "stride": 2, "padding": 0}
    # alike before small: k (2, 6), s (2, 1) would do too
    assert solve((10, 11), (5, 6))[0] == {"kernel_size": 6, "stride": 1, "padding": 0}
    assert {"kernel_size": (2, 6), "stride": (2, 1), "padding": 0} in solve((10, 11), (5, 6))
    assert all(type(x["stride"]) is int for x in solve((28, 28), (14, 14)))


def test_no_answer():
    assert solve(10, 100) == []
    assert solve(28, 14, kernel_size=3, stride=2, padding=0) == []
    assert solve(5, 40, transposed=True, stride=2) == []
    assert solve((28, 10), (14, 100)) == []


REFUSED = [
    (dict(input_size=0), "input_size: got 0"),
    (dict(input_size=2.0), "input_size: got 2.0"),
    (dict(input_size=None), "got None"),
    (dict(output_size=(1, 2, 3)), r"output_size: got \(1, 2, 3\)"),
    (dict(output_size="14"), "output_size: got '14'"),
    (dict(kernel_size=0), "kernel_size: got 0; expected an integer of at least 1"),
    (dict(kernel_size=(3, None)), "kernel_size: got None; expected an integer"),
    (dict(stride=True), "stride: got True"),
    (dict(padding=-1), "padding: got -1; expected an integer of at least 0"),
    (dict(padding="same"), "padding: got 'same'"),
    (dict(dilation=0), "dilation: got 0"),
    (dict(dilation=None), "got None"),
    (dict(transposed=1), "transposed: got 1"),
]


@pytest.mark.parametrize("wrong, message", REFUSED)
def test_wrong_arguments(wrong, message):
    with pytest.raises(ArgumentError, match=f"solve: .*{message}"):
        solve(**{"input_size": 28, "output_size": 14, **wrong})


# ---------------------------------------------------------------- unevenness


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 3))
def test_unevenness_is_that_of_the_overlap(k, s, d):
    """Counted where all of the kernel's elements land, over one period."""
    geometry = ConvGeometry.transposed(30, kernel_size=k, stride=s, dilation=d)
    counts = geometry.overlap()
    middle = slice(counts.shape[0] // 2, counts.shape[0] // 2 + s)
    inner = counts[middle, middle]
    expected = inner.max() / inner.min() if inner.min() else np.inf
    assert unevenness(geometry) == expected


@pytest.mark.parametrize(
    "k, s, ratio", [(3, 2, 4), (4, 2, 1), (5, 2, 2.25), (2, 2, 1), (3, 1, 1), (2, 3, np.inf)]
)
def test_unevenness_of_known_kernels(k, s, ratio):
    assert unevenness(ConvGeometry.transposed(5, kernel_size=k, stride=s)) == ratio
    half = ConvGeometry.transposed(5, kernel_size=(k, 1), stride=(s, 1))
    assert unevenness(half) == np.sqrt(ratio)
