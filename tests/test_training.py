"""The training loop learns, stops at nonsense, and continues bit for bit after any interruption."""

import os
import signal

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.errors import ArgumentError, CheckpointError, NonFiniteError
from minigrad.nn import functional as F
from minigrad.serialization import load, save
from minigrad.training import fit


class Setup:
    """A small network on a small problem, with every kind of randomness that training knows."""

    def __init__(self, seed=0, n=50):
        mg.manual_seed(seed)
        generator = mg.Generator().manual_seed(seed)
        x = mg.randn(n, 4, generator=generator)
        y = x.sin().sum(dim=1, keepdim=True)
        self.model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 1))
        self.optimizer = optim.Adam(self.model.parameters(), lr=1e-2)
        self.scheduler = optim.lr_scheduler.StepLR(self.optimizer, 2, 0.7)
        self.loader = DataLoader(TensorDataset(x, y), 8, shuffle=True, generator=generator)
        self.seen = []

    def loss(self, model, x, y):
        self.seen.append(x)
        return F.mse_loss(model(x), y)

    def fit(self, epochs, **options):
        return fit(
            self.model, self.loss, self.optimizer, self.loader, epochs,
            scheduler=self.scheduler, progress=False, **options,
        )  # fmt: skip

    def weights(self):
        return {name: p.numpy().copy() for name, p in self.model.state_dict().items()}


def trained(seed):
    setup = Setup(seed)
    setup.fit(3)
    return setup.weights()


def assert_same_bits(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def without_times(records):
    return [
        {k: v for k, v in r.items() if k not in ("seconds", "images_per_second")} for r in records
    ]


def test_it_learns():
    records = Setup().fit(60)
    assert records[-1]["loss"] < 0.1 * records[0]["loss"]
    assert [r["epoch"] for r in records] == list(range(1, 61))


def test_a_record_holds_means_over_the_examples():
    setup = Setup(n=10)  # batches of 8 and 2

    def parts(model, x, y):
        return {"loss": model(x).sum() * 0.0, "size": mg.tensor(float(len(x)))}

    (record,) = fit(
        setup.model, parts, setup.optimizer, setup.loader, 1,
        on_epoch=lambda epoch, record: {"extra": epoch + record["loss"]}, progress=False,
    )  # fmt: skip
    assert record["size"] == pytest.approx((8 * 8 + 2 * 2) / 10)
    assert record["extra"] == 1 and record["loss"] == 0
    assert record["images_per_second"] == pytest.approx(10 / record["seconds"])


def test_the_same_seed_gives_the_same_bits():
    first, second, other = (trained(seed) for seed in (0, 0, 1))
    assert_same_bits(first, second)
    assert any((first[k] != other[k]).any() for k in first)


def test_resumed_between_epochs_it_is_as_if_never_stopped(tmp_path):
    straight = Setup()
    expected = straight.fit(5)
    Setup().fit(2, checkpoint=tmp_path / "c.npz")
    resumed = Setup(seed=9)  # everything comes from the file
    resumed.loader.dataset = straight.loader.dataset
    records = resumed.fit(5, checkpoint=tmp_path / "c.npz", resume=True)
    assert_same_bits(resumed.weights(), straight.weights())
    assert without_times(records) == without_times(expected)


@pytest.mark.parametrize("step", [1, 4, 7, 10, 20])
def test_resumed_after_ctrl_c_it_is_as_if_never_stopped(tmp_path, step):
    """7 batches an epoch: stopped inside the first, at its end, and inside later ones."""
    straight = Setup()
    expected = straight.fit(4)
    stopped = Setup()
    count = iter(range(1, 1000))

    def loss(model, x, y):
        if next(count) == step:
            os.kill(os.getpid(), signal.SIGINT)
        return F.mse_loss(model(x), y)

    with pytest.raises(KeyboardInterrupt, match=r"saved to .*c\.npz"):
        fit(
            stopped.model, loss, stopped.optimizer, stopped.loader, 4,
            scheduler=stopped.scheduler, checkpoint=tmp_path / "c.npz", progress=False,
        )  # fmt: skip
    saved = load(tmp_path / "c.npz")
    assert (saved["epoch"], saved["step"]) in {divmod(step, 7), (step // 7 - 1, 7)}
    resumed = Setup(seed=9)
    resumed.loader.dataset = straight.loader.dataset
    records = resumed.fit(4, checkpoint=tmp_path / "c.npz", resume=True)
    assert len(resumed.seen) == 28 - step
    assert_same_bits(resumed.weights(), straight.weights())
    assert without_times(records) == without_times(expected)


def test_a_second_ctrl_c_is_obeyed_at_once():
    setup = Setup()

    def loss(model, x, y):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("went on")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(setup.model, loss, setup.optimizer, setup.loader, 1, progress=False)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_loss_that_is_not_finite_stops_with_its_cause():
    setup = Setup()
    steps = iter(range(1000))

    def loss(model, x, y):
        bad = next(steps) == 9
        return F.mse_loss((model(x) * (0.0 if bad else 1.0)).log() if bad else model(x), y)

    twin = Setup()
    with np.errstate(divide="ignore", invalid="ignore"), pytest.raises(NonFiniteError) as caught:
        fit(
            setup.model, loss, setup.optimizer, setup.loader, 4,
            scheduler=setup.scheduler, progress=False,
        )  # fmt: skip
    message = str(caught.value)
    assert "step 3 of epoch 2" in message and "learning rate 0.01" in message
    assert "loss: got inf; expected a number. log: output, (8, 1): got 8 infinite of 8" in message
    twin.fit(1)  # the weights are those of the last finite step: of 9 in all
    assert all(np.isfinite(w).all() for w in setup.weights().values())
    assert any((setup.weights()[k] != twin.weights()[k]).any() for k in twin.weights())


def test_a_parameter_that_is_not_finite_is_named():
    setup = Setup()
    with mg.no_grad():
        setup.model[3].weight.fill_(np.inf)
    with np.errstate(invalid="ignore"), pytest.raises(NonFiniteError) as caught:
        setup.fit(1)
    assert "linear: parameter 3.weight, (1, 16), as it was given: got 16 inf" in str(caught.value)


def test_a_gradient_that_is_not_finite_stops_before_it_reaches_the_weights():
    """The loss may be a number all the same: √0 is 0, and its slope is infinite."""
    setup = Setup()
    before = setup.weights()

    def loss(model, x, y):
        return (model(x) * 0.0).sqrt().sum()

    with np.errstate(divide="ignore", invalid="ignore"), pytest.raises(NonFiniteError) as caught:
        fit(setup.model, loss, setup.optimizer, setup.loader, 1, progress=False)
    assert (
        "fit: step 1 of epoch 1, learning rate 0.01: gradient of parameter 0.weight, (16, 4): "
        in (str(caught.value))
    )
    assert_same_bits(setup.weights(), before)


def test_under_anomaly_training_names_the_line():
    setup = Setup()

    def loss(model, x, y):
        return (model(x) * 0.0).sqrt().sum()

    with pytest.raises(NonFiniteError, match="step 1 .*backward of sqrt: ") as caught, mg.anomaly():
        fit(setup.model, loss, setup.optimizer, setup.loader, 1, progress=False)
    assert "return (model(x) * 0.0).sqrt().sum()" in str(caught.value)


def test_gradients_whose_squares_overflow_are_no_fault():
    setup = Setup()
    loss = lambda model, x, y: (model(x) * 1e25).mean()
    fit(
        setup.model,
        loss,
        optim.SGD(setup.model.parameters(), 1e-30),
        setup.loader,
        1,
        progress=False,
    )
    assert all(np.isfinite(w).all() for w in setup.weights().values())


def test_the_model_is_in_its_mode():
    setup = Setup()
    modes = []

    def loss(model, x, y):
        modes.append(model.training)
        return F.mse_loss(model(x), y)

    fit(
        setup.model, loss, setup.optimizer, setup.loader, 2, progress=False,
        on_epoch=lambda epoch, record: modes.append(setup.model.training),
    )  # fmt: skip
    assert modes == ([True] * 7 + [False]) * 2


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    Setup().fit(1, checkpoint=tmp_path / "c.npz")
    other = Setup()
    other.model = nn.Linear(4, 1)
    with pytest.raises(CheckpointError, match="not a checkpoint of this training"):
        other.fit(2, checkpoint=tmp_path / "c.npz", resume=True)
    other.optimizer = Setup(1).optimizer  # the model fits, but is not loaded when that does not
    other.model = Setup(1).model
    state = load(tmp_path / "c.npz")
    state["optimizer"]["param_groups"] = []
    save(state, tmp_path / "e.npz")
    before = other.weights()
    with pytest.raises(CheckpointError, match="got groups of"):
        other.fit(2, checkpoint=tmp_path / "e.npz", resume=True)
    assert_same_bits(other.weights(), before)
    with pytest.raises(FileNotFoundError, match="there is no checkpoint at"):
        Setup().fit(2, checkpoint=tmp_path / "d.npz", resume=True)
    with pytest.raises(ArgumentError, match="resume: needs the path"):
        Setup().fit(2, resume=True)


def test_a_place_that_cannot_be_written_is_refused_before_the_first_step(tmp_path):
    setup = Setup()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        setup.fit(1, checkpoint=tmp_path / "file" / "c.npz")
    assert setup.seen == []


@pytest.mark.parametrize(
    "loss, got",
    [(1.0, "float"), (None, "NoneType"), ({"kl": mg.ones(())}, "NoneType"), (mg.ones(8), r"shape")],
)
def test_what_is_no_loss_is_refused(loss, got):
    setup = Setup()
    setup.loss = lambda model, x, y: loss
    with pytest.raises(ArgumentError, match=f"fit: loss: got {got}.*; expected a scalar"):
        setup.fit(1)


def test_without_a_batch_there_is_nothing_to_learn():
    setup = Setup(n=7)
    setup.loader.drop_last = True
    with pytest.raises(ArgumentError, match="fit: loader: got no batch, of 7 examples"):
        setup.fit(1)
    with pytest.raises(ArgumentError, match=r"fit: epochs: got 1.5; expected an integer"):
        setup.fit(1.5)


def test_a_checkpoint_of_more_batches_is_refused(tmp_path):
    Setup().fit(1, checkpoint=tmp_path / "run")
    save({**load(tmp_path / "run"), "step": 5}, tmp_path / "run")
    fewer = Setup(n=20)
    before = fewer.weights()
    with pytest.raises(CheckpointError, match="it is at batch 5 of an epoch, and here are no"):
        fewer.fit(2, checkpoint=tmp_path / "run", resume=True)
    assert_same_bits(fewer.weights(), before)
