"""Each corruption spoils the share it says, in the way it says, and leaves the clean x alone."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import ArgumentError, DTypeError
from models.corruption import CORRUPTIONS, dropout, gaussian, masking, named, salt_and_pepper

N = 200_000  # pixels, enough to tell 0.3 from 0.29
by_name = pytest.mark.parametrize("name", CORRUPTIONS)


def grey(n=N, dtype=mg.float64):
    """Pixels strictly between 0 and 1, so that whatever is 0 or 1 afterwards was made so."""
    return mg.rand(n, dtype=dtype, generator=seed(1)) * 0.8 + 0.1


def seed(n=0):
    return mg.Generator().manual_seed(n)


def share(mask, p):
    """Assert that a mask of N coins has the share p, within 4 standard errors."""
    assert abs(float(np.mean(mask)) - p) < 4 * math.sqrt(p * (1 - p) / np.size(mask))


@pytest.mark.parametrize("level", [0.1, 0.5, 2.0])
def test_gaussian_noise_has_mean_0_and_its_deviation_and_is_not_clipped(level):
    x = grey()
    noise = (gaussian(x, level, seed()) - x).numpy()
    assert abs(noise.mean()) < 4 * level / math.sqrt(N)
    assert abs(noise.std() / level - 1) < 4 / math.sqrt(2 * N)
    assert (x.numpy() + noise).min() < -0.1  # not clipped
    inside = np.abs(noise) < level
    share(inside, math.erf(1 / math.sqrt(2)))  # and normal: 68 % within one deviation


@pytest.mark.parametrize("level", [0.1, 0.3, 0.9])
def test_masking_sets_its_share_to_0_and_leaves_the_rest(level):
    x = grey()
    y = masking(x, level, seed()).numpy()
    share(y == 0, level)
    np.testing.assert_array_equal(y[y != 0], x.numpy()[y != 0])


@pytest.mark.parametrize("level", [0.1, 0.3, 0.9])
def test_salt_and_pepper_split_their_share_in_halves(level):
    x = grey()
    y = salt_and_pepper(x, level, seed()).numpy()
    share(y == 0, level / 2)
    share(y == 1, level / 2)
    kept = (y != 0) & (y != 1)
    np.testing.assert_array_equal(y[kept], x.numpy()[kept])


def test_salt_and_pepper_go_to_the_ends_of_the_range_given():
    y = salt_and_pepper(grey(1000), 1.0, seed(), low=-1.0, high=3.0).numpy()
    assert set(y.tolist()) == {-1.0, 3.0}


@pytest.mark.parametrize("level", [0.1, 0.3, 0.9])
def test_dropout_keeps_the_mean_and_masking_does_not(level):
    x = grey()
    y = dropout(x, level, seed()).numpy()
    share(y == 0, level)
    np.testing.assert_allclose(y[y != 0], x.numpy()[y != 0] / (1 - level), rtol=1e-15)
    deviation = math.sqrt(level / (1 - level) * float((x**2).mean()) / N)
    assert abs(y.mean() - float(x.mean())) < 4 * deviation
    masked = masking(x, level, seed()).numpy()
    assert abs(masked.mean() / float(x.mean()) - (1 - level)) < 0.02
    np.testing.assert_allclose(y, masked / (1 - level), rtol=1e-15)  # the same draws


@by_name
def test_the_clean_image_stays_clean(name):
    """It is the target of the loss, so nothing may be written into it."""
    x = grey(500)
    before = x.numpy().copy()
    y = CORRUPTIONS[name](x, 0.5, seed())
    np.testing.assert_array_equal(x.numpy(), before)
    assert not np.array_equal(y.numpy(), before)


@by_name
def test_level_0_is_no_noise(name):
    x = grey(500)
    np.testing.assert_array_equal(CORRUPTIONS[name](x, 0.0, seed()).numpy(), x.numpy())


@pytest.mark.parametrize(
    "corrupt, left", [(masking, {0.0}), (dropout, {0.0}), (salt_and_pepper, {0.0, 1.0})]
)
def test_level_1_leaves_nothing(corrupt, left):
    assert set(corrupt(grey(500), 1.0, seed()).tolist()) == left


@by_name
def test_a_seed_repeats_the_noise_and_each_call_draws_anew(name):
    x, corrupt = grey(500), CORRUPTIONS[name]
    stream = seed(5)
    first, second = corrupt(x, 0.5, stream), corrupt(x, 0.5, stream)
    assert not np.array_equal(first.numpy(), second.numpy())
    np.testing.assert_array_equal(corrupt(x, 0.5, seed(5)).numpy(), first.numpy())
    mg.manual_seed(5)
    np.testing.assert_array_equal(corrupt(x, 0.5).numpy(), first.numpy())


@by_name
@pytest.mark.parametrize("shape", [(3, 1, 4, 4), (0, 5)])
def test_shape_and_type_stay(name, shape):
    for dtype in (mg.float32, mg.float64):
        y = CORRUPTIONS[name](mg.rand(shape, dtype=dtype), 0.5)
        assert y.shape == shape and y.dtype == dtype


@by_name
def test_pixels_are_chosen_one_by_one(name):
    """Not whole images, rows or columns: in a batch of equal images no two are spoilt alike."""
    y = CORRUPTIONS[name](mg.full((8, 1, 6, 6), 0.5), 0.5, seed()).numpy()
    for axis, n in ((0, 8), (2, 6), (3, 6)):
        slices = [y.take(i, axis).tobytes() for i in range(n)]
        assert len(set(slices)) == n


@by_name
@pytest.mark.parametrize("level", [-0.1, 1.1, math.inf, math.nan])
def test_impossible_levels_are_refused(name, level):
    if name == "gaussian" and level == 1.1:
        assert gaussian(grey(5), level).shape == (5,)
        return
    with pytest.raises(ArgumentError, match=f"{name}: level: got {level}"):
        CORRUPTIONS[name](grey(5), level)


@by_name
def test_bytes_are_refused(name):
    with pytest.raises(DTypeError, match=f"{name}: x: got uint8"):
        CORRUPTIONS[name](mg.tensor(np.zeros(3, np.uint8)), 0.5)


def test_unknown_noise_is_refused():
    with pytest.raises(ArgumentError, match="got 'poisson'; expected one of gaussian, masking, "):
        named("poisson")
