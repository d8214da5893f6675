"""What grows with the work, and what does not: memory of a training step, time of wide graphs.

Nothing here is timed: calls and bytes are counted. What the engine alone promises is in
tests/test_engine.py, what interrupted training promises in tests/test_training.py.
"""

import functools
import gc
import hashlib
import os
import signal
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest

import minigrad as mg
from minigrad import draw, nn, no_grad, optim, tensor
from minigrad.engine import Variable, grad, history, is_grad_enabled
from minigrad.errors import NonFiniteError
from minigrad.nn import functional as F

# ---------------------------------------------------------------- memory of a training step


class Step:
    """A step of training with all that a step may hold: batch norm, dropout, draws, Adam."""

    def __init__(self):
        self.generator = mg.Generator().manual_seed(0)
        self.model = nn.Sequential(
            nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 4)
        )
        self.decoder = nn.Linear(2, 6)
        parameters = [*self.model.parameters(), *self.decoder.parameters()]
        self.optimizer = optim.Adam(parameters, lr=1e-3)
        self.x = mg.rand(16, 6, generator=self.generator)

    def loss(self):
        mean, log_var = self.model(self.x).chunk(2, 1)
        z = mg.reparameterize(mean, (0.5 * log_var).exp(), generator=self.generator)
        nats = F.binary_cross_entropy_with_logits(self.decoder(z), self.x, reduction="sum")
        return nats + 0.5 * (mean.square() + log_var.expm1() - log_var).sum()

    def __call__(self):
        self.optimizer.zero_grad()
        loss = self.loss()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
        self.optimizer.step()
        return loss.item()


class WithPenalty(Step):
    """A step whose loss holds a gradient, as that of a critic does."""

    def loss(self):
        x = self.x.clone().requires_grad_()
        y = self.model(x).square().sum()
        (g,) = grad(y, x, create_graph=True)
        return (g.norm(dim=1) - 1.0).square().mean()


class Watched(Step):
    """A step in anomaly mode, which leaves its notes on the graph."""

    def __call__(self):
        with mg.anomaly():
            return super().__call__()


class Failing(Step):
    """A step that raises, forward and backward, as an experiment at a prompt may for long."""

    def __call__(self):
        w = self.decoder.weight
        for bad in (lambda: w @ w, lambda: (w * 2.0).backward()):
            with pytest.raises((ValueError, RuntimeError)):
                bad()
        with pytest.raises(NonFiniteError), mg.anomaly():
            (w * 0.0).sqrt().sum().backward()
        return super().__call__()


class Drawn(Step):
    """A step that is looked at."""

    def __call__(self):
        loss = self.loss()
        assert draw.graph(loss).svg and draw.backward_steps(loss)
        return super().__call__()


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.collect()


def growth(step, times):
    """The bytes by which memory grows a step, after twice as many that fill Python's own lists."""
    tracemalloc.start()
    try:
        for _ in range(2 * times):
            step()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(times):
            step()
        return (tracemalloc.get_traced_memory()[0] - before) / times
    finally:
        tracemalloc.stop()


def test_a_step_leaves_nothing_behind_without_the_collector(no_collector):
    """No bytes beyond what Python keeps for itself, in 200 steps, and nothing to be collected."""
    step = Step()
    assert growth(step, 200) <= 1024
    assert gc.collect() == 0


def alive():
    """How many tensors there are; their types are asked, for `isinstance` follows weak proxies."""
    return sum(issubclass(type(x), Variable) for x in gc.get_objects())


@pytest.mark.parametrize("kind", [Step, WithPenalty, Watched, Failing, Drawn])
def test_no_step_leaves_a_tensor_behind(no_collector, kind):
    """Whatever it holds; Python's tracebacks are cycles, so after errors with the collector."""
    step = kind()
    step()
    gc.collect()
    before = alive()
    for _ in range(3):
        step()
    assert kind in (Failing, Drawn) or gc.collect() == 0
    gc.collect()
    assert 0 < alive() == before


# ---------------------------------------------------------------- the peak


def peak(f):
    tracemalloc.start()
    try:
        f()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "layer", [lambda y: y.tanh(), lambda y: y.sigmoid(), lambda y: y * 1.01], ids=["tanh", "σ", "×"]
)
def test_backward_through_50_layers_takes_a_tenth_more_than_forward(layer):
    """Arrays of 800 kB each: the sweep lets go of each as it passes."""
    x = tensor(np.full((100, 1000), -3.0), requires_grad=True)

    def forward():
        y = x
        for _ in range(50):
            y = layer(y)
        return y.sum()

    forward().backward()
    x.grad = None
    up = peak(forward)
    assert peak(lambda: forward().backward()) <= 1.1 * up
    with no_grad():
        assert peak(forward) <= 3.01 * x.array.nbytes  # 3 arrays and their names


def test_the_sweep_lets_go_of_what_it_has_passed():
    """When it reaches the first of 50 layers, the arrays of the others are gone."""
    held = []

    @mg.primitive
    def first(x):
        return x * 1.0

    first.vjp(lambda g, y, x: held.append(tracemalloc.get_traced_memory()[0]) or g)
    x = tensor(np.ones((100, 1000)), requires_grad=True)

    def step():
        y = first(x)
        for _ in range(50):
            y = y.tanh()
        y.sum().backward()

    assert peak(step) > 50 * x.array.nbytes
    assert held[0] <= 5 * x.array.nbytes


# ---------------------------------------------------------------- the time, in calls


def calls(f):
    """How many functions are called while f runs, of Python and of C."""
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        f()
    finally:
        sys.setprofile(None)
    return count


def wide(n):
    """n branches from one leaf, summed up."""
    x = tensor(1.0, requires_grad=True)
    return mg.stack([x * float(k) for k in range(n)]).sum()


def ladder(n):
    """Each rung is used by the next two: 2ⁿ paths, n operations."""
    a, b = tensor(1.0, requires_grad=True), tensor(1.0, requires_grad=True)
    for _ in range(n):
        a, b = b, (a + b) * 0.5
    return b


def chain(n):
    y = tensor(1.0, requires_grad=True)
    for _ in range(n):
        y = y + 1.0
    return y


GRAPHS = [wide, ladder, chain]


@pytest.mark.parametrize("make", GRAPHS)
@pytest.mark.parametrize(
    "use",
    [
        lambda y: y.backward(),
        lambda y: grad(y, history([y])[0], retain_graph=True),
        lambda y: y.backward(create_graph=True),
        lambda y: draw.graph(y),
        lambda y: draw.backward_steps(y, limit=10),
    ],
    ids=["backward", "grad", "create_graph", "draw", "steps"],
)
def test_twice_the_graph_takes_twice_the_calls(make, use):
    few, many = (calls(functools.partial(use, make(n))) for n in (500, 1000))
    assert many <= 2.1 * few


def test_chain_of_100_000_operations_differentiated_twice():
    """f = (((x · 1) · 1) …)²: the sweep's own graph is as long."""
    x = tensor(3.0, dtype=mg.float64, requires_grad=True)
    y = x * 1.0
    for _ in range(100_000):
        y = y * 1.0
    (g,) = grad(y * y, x, create_graph=True)
    assert g.item() == 6.0
    assert grad(g, x)[0].item() == 2.0


# ---------------------------------------------------------------- the same bits


def digest(model, steps):
    sha = hashlib.sha256()
    for _ in range(steps):
        sha.update(np.float64(model()).tobytes())
    for module in (model.model, model.decoder):
        for x in module.state_dict().values():
            sha.update(np.ascontiguousarray(x.array).tobytes())
    return sha.hexdigest()


def run_of(kind, steps=20):
    mg.manual_seed(0)
    return digest(kind(), steps)


def test_twenty_runs_give_the_same_bits():
    assert len({run_of(kind) for kind in (Step,) * 20}) == 1


def test_watching_changes_no_bit():
    assert run_of(Step) == run_of(Watched) == run_of(Failing)


def test_other_processes_give_the_same_bits():
    """Whatever the seed of Python's hashes, and wherever the objects lie."""
    program = "import tests.test_scale as t; t.np.empty(12345); print(t.run_of(t.Step))"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    found = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=120,
            env={**environment, "PYTHONHASHSEED": seed}, check=True,
        )  # fmt: skip
        found.add(done.stdout)
    assert len(found) == 1 and len(found.pop()) == 65


def test_threads_train_as_if_alone():
    """Each with a generator of its own, while others switch the recording off and on."""

    def fresh():
        mg.manual_seed(0)
        step = Step()
        step.model.eval()  # dropout would draw from the generator that all threads share
        return step

    expected = digest(fresh(), 10)
    steps, found, errors = [fresh(), fresh()], [], []

    def train():
        found.append(digest(steps.pop(), 10))

    def look():
        w = tensor([1.0], requires_grad=True)
        for _ in range(300):
            with no_grad():
                if (w * 2.0).requires_grad:
                    errors.append("recorded under no_grad")
            if not (w * 2.0).requires_grad:
                errors.append("not recorded")

    threads = [threading.Thread(target=f) for f in (train, look, train, look)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 2 and errors == [] and is_grad_enabled()


# ---------------------------------------------------------------- Ctrl-C anywhere


@pytest.fixture
def ctrl_c():
    """Ctrl-C raises KeyboardInterrupt; in the background of a shell it would be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_in_a_sweep_leaves_the_modes_as_they_were():
    """In a rule, and so in the midst of the sweep; what was computed before can be used again."""
    x = tensor([1.0, 2.0], requires_grad=True)

    @mg.primitive
    def interrupted(x):
        return x * 1.0

    interrupted.vjp(lambda g, y, x: os.kill(os.getpid(), signal.SIGINT) or g * 1.0)
    for context in (no_grad, mg.enable_grad, mg.anomaly, lambda: mg.set_grad_enabled(True)):
        y = interrupted(x).sum()
        with pytest.raises(KeyboardInterrupt), context():
            y.backward()
        assert is_grad_enabled() and x.grad is None
    (x * 2.0).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
