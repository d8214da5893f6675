"""The workers' gradients make up that of the whole batch; what they share, they share in order."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import minigrad as mg
from minigrad import nn, optim
from minigrad.backend import as_worker, default_generator, share_out
from minigrad.data import DataLoader, TensorDataset
from minigrad.errors import ArgumentError, NonFiniteError, ShapeError
from minigrad.nn import functional as F
from minigrad.parallel import Threads
from minigrad.training import fit
from tests.parallel.models import batch, network


@pytest.mark.parametrize(("workers", "n"), [(1, 7), (2, 7), (3, 7), (5, 3), (2, 1)])
def test_the_gradient_is_that_of_the_whole_batch(workers, n):
    """Also of parts of unequal sizes, and of fewer examples than workers."""
    model, (x, t) = network(), batch(n)
    expected = F.cross_entropy(model(x), t)
    expected.backward()
    gradients = [p.grad.numpy().copy() for p in model.parameters()]
    model.zero_grad()
    with Threads(workers) as threads:
        for _ in range(2):  # the second adds to the first
            loss = threads.backward(
                lambda x, t: F.cross_entropy(model(x), t), (x, t), model.parameters()
            )
    assert not loss.requires_grad and loss.item() == pytest.approx(expected.item(), rel=1e-13)
    for p, g in zip(model.parameters(), gradients, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), 2 * g, rtol=1e-11, atol=1e-14)


def test_a_dict_of_losses_is_averaged_by_name():
    model, (x, t) = network(), batch(5)
    parts = lambda x, t: {"loss": F.cross_entropy(model(x), t), "mean": model(x).mean()}
    with Threads(2) as threads:
        found = threads.backward(parts, (x, t), model.parameters())
    assert found["mean"].item() == pytest.approx(model(x).mean().item(), rel=1e-12)


def test_it_runs_at_the_same_time():
    """Each part waits for the other."""
    model, (x, t) = network(), batch(4)
    meeting = threading.Barrier(2, timeout=20)

    def loss(x, t):
        meeting.wait()
        return F.cross_entropy(model(x), t)

    with Threads(2) as threads:
        threads.backward(loss, (x, t), model.parameters())


def test_parameters_without_a_part_keep_no_gradient():
    model, (x, t) = network(), batch(4)
    frozen, idle = model[0].weight.requires_grad_(False), nn.Linear(2, 2).double()
    with Threads(2) as threads:
        threads.backward(
            lambda x, t: F.cross_entropy(model(x), t), (x, t),
            [*model.parameters(), *idle.parameters()],
        )  # fmt: skip
    assert frozen.grad is None and idle.weight.grad is None and model[0].bias.grad is not None


def test_one_seed_makes_one_run():
    """Each worker has its own stream; all come from the default one."""
    model, (x, t) = network(), batch(6)

    def run(seed):
        mg.manual_seed(seed)
        model.zero_grad()
        with Threads(2) as threads:
            for _ in range(3):
                threads.backward(
                    lambda x, t: F.cross_entropy(model(x + 0.1 * mg.randn_like(x)), t),
                    (x, t), model.parameters(),
                )  # fmt: skip
        return [p.grad.numpy().copy() for p in model.parameters()]

    first, again, other = run(3), run(3), run(4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_streams_of_workers_are_their_own():
    mg.manual_seed(0)
    outside = default_generator()
    with as_worker(1, 5):
        inside = default_generator()
        assert inside is not outside and inside is default_generator()
        assert inside.initial_seed() == 5
    assert default_generator() is outside


def test_running_statistics_are_those_of_the_first_part():
    norm = nn.BatchNorm1d(3).double()
    x = mg.tensor(np.random.default_rng(0).standard_normal((10, 3)))
    with Threads(2) as threads:
        threads.backward(lambda x: norm(x).square().mean(), (x,), norm.parameters())
    alone = nn.BatchNorm1d(3).double()
    alone(x[:5])
    np.testing.assert_array_equal(norm.running_mean.numpy(), alone.running_mean.numpy())
    np.testing.assert_array_equal(norm.running_var.numpy(), alone.running_var.numpy())
    assert int(norm.num_batches_tracked) == 1


def test_modes_of_the_calling_thread_hold_in_the_workers():
    model, (x, t) = network(), batch(4)
    with Threads(2) as threads, mg.crosscheck():
        threads.backward(lambda x, t: F.cross_entropy(model(x), t), (x, t), model.parameters())


def test_matrix_products_have_one_thread_within():
    blas = lambda: [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    before = blas()
    with Threads(2):
        assert set(blas()) == {1}
    assert blas() == before


def test_what_a_worker_raises_is_raised():
    model, (x, t) = network(), batch(4)

    def loss(x, t):
        if t[0].item() == 2:
            raise KeyError("in the second part")
        return F.cross_entropy(model(x), t)

    with Threads(2) as threads, pytest.raises(KeyError, match="in the second part"):
        threads.backward(loss, (x, t), model.parameters())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("workers", [0, -1, 1.5, True])
def test_workers_must_be_a_number_of_them(workers):
    with pytest.raises(ArgumentError, match="workers: got .*; expected at least 1"):
        Threads(workers)


def test_a_batch_must_have_one_length_and_examples():
    x, t = batch(4)
    with Threads(2) as threads:
        with pytest.raises(ShapeError, match=r"got lengths \[3, 4\]"):
            threads.backward(lambda x, t: x.mean(), (x, t[:3]), [])
        with pytest.raises(ArgumentError, match="got no examples"):
            threads.backward(lambda x: x.mean(), (x[:0],), [])


def test_what_is_made_in_parts_has_its_graph():
    """A round of a GAN: what is made once is judged twice, and only one player is asked for."""
    z = mg.tensor(np.random.default_rng(2).standard_normal((5, 3)))
    maker, judge = nn.Linear(3, 2).double(), nn.Linear(2, 1).double()
    verdict = lambda made: judge(made).square().mean()
    made = maker(z)
    expected = [
        *mg.autograd.grad(verdict(made.detach()), [*judge.parameters()]),
        *mg.autograd.grad(verdict(made), [*maker.parameters()]),
    ]
    with Threads(2) as threads:
        parts = threads.forward(maker, (z,))
        threads.backward(lambda made: verdict(made.detach()), (parts,), judge.parameters())
        assert all(p.grad is None for p in maker.parameters())
        found = [p.grad for p in judge.parameters()]
        threads.backward(verdict, (parts,), maker.parameters())
        assert all(p.grad is g for p, g in zip(judge.parameters(), found, strict=True))
    with Threads(3) as others, pytest.raises(ArgumentError, match="another cut; expected .1, 2, 2"):
        others.backward(verdict, (parts,), [])
    for g, p in zip(expected, [*judge.parameters(), *maker.parameters()], strict=True):
        np.testing.assert_allclose(p.grad.numpy(), g.numpy(), rtol=1e-12)


# ---------------------------------------------------------------- in training


def trained(workers: Threads | None) -> tuple[list, list]:
    model, (x, t) = network(), batch(22)
    records = fit(
        model, lambda model, x, t: {"loss": F.cross_entropy(model(x), t), "mean": model(x).mean()},
        optim.SGD(model.parameters(), lr=0.2), DataLoader(TensorDataset(x, t), 8), 3,
        progress=False, workers=workers,
    )  # fmt: skip
    return [(r["loss"], r["mean"]) for r in records], [p.detach() for p in model.parameters()]


def test_training_with_workers_is_training():
    losses, weights = trained(None)
    with Threads(2) as threads:
        shared_losses, shared_weights = trained(threads)
    assert losses[0][0] > losses[-1][0] > 0
    np.testing.assert_allclose(shared_losses, losses, rtol=1e-10)
    for a, b in zip(shared_weights, weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-12)


def test_training_with_workers_stops_at_a_loss_that_is_no_number():
    model, (x, t) = network(), batch(8)
    bad = lambda model, x, t: F.cross_entropy(model(x), t) * float("nan")
    loader = DataLoader(TensorDataset(x, t), 8)
    with Threads(2) as threads, pytest.raises(NonFiniteError, match="step 1 of epoch 1"):
        fit(model, bad, optim.SGD(model.parameters()), loader, 1, progress=False, workers=threads)


def test_a_step_is_shared_out():
    """Both workers step, each some pieces, and it is the step of one, to the last bit."""
    n = 3 * optim.block.SHARED

    def stepped(workers):
        w = nn.Parameter(mg.randn(n, generator=mg.Generator().manual_seed(0)))
        b = nn.Parameter(mg.ones(5))
        optimizer, by = optim.Adam([w, b], lr=0.1, weight_decay=0.1), set()
        update = optimizer.update
        optimizer.update = lambda *args: (by.add(threading.get_ident()), update(*args))
        with Threads(workers):
            for _ in range(3):
                w.grad, b.grad = w.detach() * 0.5, b.detach() * 2.0
                optimizer.step()
        return w.detach().numpy(), b.detach().numpy(), by

    (*alone, one), (*shared, both) = stepped(1), stepped(2)
    for a, b in zip(alone, shared, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(one) == 1 and len(both) == 2


def test_nothing_is_shared_out_after_the_with_statement():
    found = []
    share_out(lambda i, n: found.append((i, n)))
    with Threads(3):
        share_out(lambda i, n: found.append((i, n)))
        with as_worker(0, 0):  # which must not wait for itself
            share_out(lambda i, n: found.append((i, n)))
    share_out(lambda i, n: found.append((i, n)))
    assert found[0] == found[-2] == found[-1] == (0, 1)
    assert sorted(found[1:-2]) == [(0, 3), (1, 3), (2, 3)]
