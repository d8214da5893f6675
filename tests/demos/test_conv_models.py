"""Demos of convolutional models: the way back to the pixels is right, and pictures are drawn."""

import numpy as np
import pytest
from PIL import Image

import minigrad as mg
from demos.common import Images
from demos.conv_autoencoder import answers_to_ones, makers, size
from demos.feature_visualisation import (
    RULES,
    Unit,
    forward,
    peaks,
    project,
    receptive_field,
)
from demos.pictures import Panel, draw_panels, mosaic
from minigrad import nn
from minigrad.autograd import grad
from minigrad.errors import ArgumentError
from tests.demos.running import asked, assert_one_line, python

# ---------------------------------------------------------------- back to the pixels

LAYERS = {
    "the classifier's": lambda: [
        nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 3, 5, padding=2), nn.ReLU(),
    ],
    "strides with a rest, dilation, groups, windows that overlap": lambda: [
        nn.Conv2d(1, 4, (3, 2), stride=2, padding=(1, 0)), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1),
        nn.Conv2d(4, 6, 2, dilation=2, groups=2), nn.ReLU(), nn.MaxPool2d(2, 1),
    ],
}  # fmt: skip


@pytest.fixture(params=LAYERS)
def layers(request):
    mg.manual_seed(0)
    return [layer.double() for layer in LAYERS[request.param]()]


def images(*shape):
    return mg.randn(*shape, dtype=mg.float64)


def test_masked_by_what_passed_forward_it_is_the_gradient(layers):
    x = images(3, 1, 18, 19).requires_grad_()
    y, steps = forward(layers, x)
    g = images(*y.shape)
    (expected,) = grad(y, x, g)
    found = project(steps, g, "gradient").numpy()
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-10, atol=1e-12)
    for other in ("deconvnet", "guided"):
        assert np.abs(project(steps, g, other).numpy() - found).max() > 0.1


def test_without_a_relu_there_is_but_one_way_back(layers):
    linear = [layer for layer in layers if not isinstance(layer, nn.ReLU)]
    y, steps = forward(linear, images(2, 1, 18, 19))
    g = images(*y.shape)
    ways = [project(steps, g, rule).numpy() for rule in RULES]
    assert np.abs(ways[0]).max() > 0.1
    np.testing.assert_array_equal(ways[0], ways[1])
    np.testing.assert_array_equal(ways[0], ways[2])


@pytest.mark.parametrize(
    "rule, expected",
    [
        ("gradient", [[0, 0, 3, -4]]),
        ("deconvnet", [[1, 0, 3, 0]]),
        ("guided", [[0, 0, 3, 0]]),
    ],
)
def test_the_rules_at_a_relu(rule, expected):
    x, g = mg.tensor([[-1.0, -1.0, 2.0, 2.0]]), mg.tensor([[1.0, -2.0, 3.0, -4.0]])
    assert RULES[rule](g, x).tolist() == expected


def test_pooling_sends_back_to_the_winner():
    x = mg.tensor([[[[1.0, 2.0, 0.0, 0.0], [4.0, 3.0, 0.0, 5.0]]]])
    _, steps = forward([nn.MaxPool2d(2)], x)
    g = mg.tensor([[[[7.0, -8.0]]]])
    assert project(steps, g, "deconvnet").tolist() == [[[[0, 0, 0, 0], [7, 0, 0, -8]]]]


def test_a_layer_without_a_way_back_is_refused():
    _, steps = forward([nn.Tanh()], mg.ones(1, 1, 2, 2))
    with pytest.raises(ArgumentError, match=r"project: layer: got Tanh\(\); expected Conv2d, Max"):
        project(steps, mg.ones(1, 1, 2, 2), "gradient")


def test_receptive_field_of_the_classifiers_units():
    """From 2·row - 6 to 2·row + 7, by hand."""
    layers = LAYERS["the classifier's"]()
    _, steps = forward(layers, mg.zeros(1, 1, 28, 28))
    assert receptive_field(steps, 0, 0) == (-6, -6, 14, 14)
    assert receptive_field(steps, 5, 13) == (4, 20, 14, 14)


def test_receptive_field_is_where_pixels_matter(layers):
    """A pixel matters if NaN there makes NaN of the output; beside an edge there are fewer."""
    h, w = 32, 35
    layers = [layer for layer in layers if not isinstance(layer, nn.ReLU)]
    pixels = np.zeros((h * w, h * w))
    np.fill_diagonal(pixels, np.nan)
    y, steps = forward(layers, mg.tensor(pixels.reshape(-1, 1, h, w)))
    matters = np.isnan(y.detach().numpy()).any(1).reshape(h, w, *y.shape[2:])
    inside = 0
    for row, column in np.ndindex(y.shape[2:]):
        top, left, high, wide = receptive_field(steps, row, column)
        box = np.zeros((h, w), bool)
        box[max(top, 0) : top + high, max(left, 0) : left + wide] = True
        assert box[matters[:, :, row, column]].all()
        if min(top, left) >= 0 and top + high <= h and left + wide <= w:
            inside += 1
            np.testing.assert_array_equal(matters[:, :, row, column], box)
    assert inside


# ---------------------------------------------------------------- what excites a unit


@pytest.fixture(scope="module")
def found():
    """A network whose second channel answers to white in a window of 2 × 3, and its peaks."""
    conv = nn.Conv2d(1, 2, (2, 3))
    with mg.no_grad():
        conv.weight[0].fill_(-1.0)
        conv.weight[1].fill_(1.0)
        conv.bias.zero_()
    x = np.zeros((30, 1, 8, 9), np.float32)
    for i in range(30):  # brighter and brighter, and never in the same place
        x[i, 0, i % 7 : i % 7 + 2, i % 6 : i % 6 + 3] = (i + 1) / 30
    data = Images(mg.tensor(x), mg.tensor(np.arange(30) // 10))
    layers = [conv, nn.ReLU()]
    return layers, data, peaks(layers, data, most=12)


def test_peaks_are_the_strongest_images_and_places(found):
    _, _, best = found
    assert best.images[:, 1].tolist() == list(range(29, 17, -1))
    assert best.values[:, 1] == pytest.approx([6 * (i + 1) / 30 for i in range(29, 17, -1)])
    places = [(i % 7) * 7 + i % 6 for i in range(29, 17, -1)]
    assert best.places[:, 1].tolist() == places
    assert not best.values[:, 0].any()


def test_a_unit_cuts_out_what_it_saw(found):
    layers, data, best = found
    unit = Unit(1, layers, data, best, shown=3)
    assert unit.boxes == [(i % 7, i % 6, 2, 3) for i in (29, 28, 27)]
    np.testing.assert_allclose(unit.patches[0], np.full((2, 3), 1.0))
    assert (unit.kind, unit.share) == (2, pytest.approx(10 / 12))
    for rule in RULES:  # the window of ones is what it looks for, by every rule
        np.testing.assert_allclose(unit.projections[rule][0], np.full((2, 3), 6.0), rtol=1e-6)
        assert unit.likeness(rule) == pytest.approx(1)


def test_beyond_the_image_there_is_nothing(found):
    layers, data, best = found
    unit = Unit(1, layers, data, best, shown=1)
    unit.boxes = [(-1, 7, 2, 3)]
    cut = unit.cut(np.ones((1, 8, 9)))
    assert cut.tolist() == [[[0, 0, 0], [1, 1, 0]]]


def test_a_dead_unit_is_drawn_as_nothing(found):
    layers, data, best = found
    unit = Unit(0, layers, data, best, shown=2)
    assert unit.strength == 0 and unit.likeness("deconvnet") == 0


# ---------------------------------------------------------------- pictures


def test_mosaic_leaves_gaps():
    pieces = np.arange(1.0, 13.0).reshape(3, 2, 2)
    expected = [
        [1, 2, np.nan, 5, 6],
        [3, 4, np.nan, 7, 8],
        [np.nan] * 5,
        [9, 10, np.nan, np.nan, np.nan],
        [11, 12, np.nan, np.nan, np.nan],
    ]
    np.testing.assert_array_equal(mosaic(pieces, columns=2), expected)
    assert mosaic(pieces, gap=0).shape == (2, 6)


def test_panels_have_their_colours(tmp_path):
    """Orange above 0, black at 0, blue below; the frame is drawn; gaps are white."""
    signed = Panel(np.array([[1.0, 0.0, -1.0, np.nan]]), signed=True)
    grey = Panel(np.zeros((8, 8)), box=(2, 2, 4, 4))
    draw_panels([("", [signed]), ("name", [grey])], tmp_path / "panels.png", width=4)
    with Image.open(tmp_path / "panels.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
    colours, counts = np.unique(pixels, axis=0, return_counts=True)
    large = {tuple(c) for c, n in zip(colours.tolist(), counts, strict=True) if n > 500}
    assert {(255, 233, 184), (0, 0, 0), (191, 228, 255), (255, 255, 255)} <= large
    assert (np.abs(pixels - (255, 154, 31)).max(1) < 60).sum() > 100


def test_a_kernel_that_the_stride_does_not_divide_leaves_a_checkerboard():
    middle = {name: y[6:-6, 6:-6] for name, y in answers_to_ones().items()}
    assert all(y.shape == (16, 16) for y in middle.values())
    assert middle["transposed, kernel 3"].max() > 4 * middle["transposed, kernel 3"].min()
    assert np.ptp(middle["transposed, kernel 4"]) == np.ptp(middle["enlarged, kernel 3"]) == 0


def test_the_dense_model_is_as_large_as_the_convolutional_one():
    for code in (2, 12, 32):
        counts = {name: size(make()) for name, make in makers(code).items()}
        assert counts["dense"] == pytest.approx(counts["transposed"], rel=0.02)
        assert counts["dense"] == pytest.approx(counts["resize"], rel=0.2)


# ---------------------------------------------------------------- the demos run


def pictures(folder):
    """Name, and whether it is a picture of something, of every PNG; each may go into a README."""
    found = {}
    for path in folder.glob("*.png"):
        assert path.stat().st_size <= 300_000
        with Image.open(path) as picture:
            found[path.name] = np.asarray(picture.convert("L")).std() > 20
    return found


def test_conv_autoencoder_draws_and_resumes(tmp_path):
    arguments = "-m", "demos.conv_autoencoder", "--quick", "--code", "4", "--out", tmp_path
    done = python(*arguments)
    assert done.returncode == 0, done.stderr
    names = "reconstructions.png", "layers.png", "evenness.png", "loss.png"
    assert pictures(tmp_path / "conv_autoencoder") == dict.fromkeys(names, True)
    rows = [line.split() for line in done.stdout.splitlines() if line.count(".") == 3]
    assert [row[0] for row in rows] == ["dense", "wide", "transposed", "resize"]
    again = python(*arguments, "--resume")
    assert again.returncode == 0, again.stderr
    assert [line.split()[:4] for line in again.stdout.splitlines() if line.count(".") == 3] == [
        row[:4] for row in rows
    ]


def test_feature_visualisation_draws(tmp_path):
    done = python("-m", "demos.feature_visualisation", "--quick", "--units", 5, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    drawn = pictures(tmp_path / "feature_visualisation")
    assert drawn == dict.fromkeys(("best.png", "ways.png"), True)
    assert "looks at 14 × 14 pixels" in done.stdout
    table = done.stdout.split("cos guided\n")[1].split("\n\n")[0].splitlines()
    assert len(table) == 5
    (row,) = (line.split() for line in done.stdout.splitlines() if line.startswith("classifier"))
    assert row[1] == "11,274" and float(row[3]) > 0.8


@pytest.mark.parametrize(
    "demo, arguments, message",
    [
        ("conv_autoencoder", ("--code", "0"), "epochs, code, batch size: got 6, 0, 64"),
        ("feature_visualisation", ("--units", "0"), "epochs, batch size, units: got 5, 64, 0"),
        ("feature_visualisation", ("--data-dir", "/nowhere"), "missing files in /nowhere"),
    ],
)
def test_what_goes_wrong_is_one_line(tmp_path, demo, arguments, message):
    done = asked(demo, "--quick", "--out", tmp_path, *arguments)
    assert_one_line(done, message)
