"""k_sparse keeps k and its rule is the mask; the penalties are the right way round and averaged."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine import grad
from minigrad.errors import ArgumentError, ShapeError
from minigrad.gradcheck import check_grads
from models.sparsity import (
    DISTANCES,
    PENALTIES,
    k_sparse,
    kl,
    l1,
    l2,
    named,
    sparsity_per_example,
    sparsity_per_unit,
)


def code(n=5, units=7, seed=0):
    """Codes of both signs, no two of one example equally large to within 0.1."""
    rng = np.random.default_rng(seed)
    size = np.stack([rng.permutation(units) for _ in range(n)]) * 0.3 + rng.random((n, units)) * 0.1
    return mg.tensor((size + 0.2) * rng.choice([-1.0, 1.0], (n, units)))


# ---------------------------------------------------------------- k_sparse


@pytest.mark.parametrize("k", [1, 3, 7])
def test_k_sparse_keeps_the_k_largest_by_size_of_each_example(k):
    h = code()
    kept = k_sparse(h, k).numpy()
    for row, before in zip(kept, h.numpy(), strict=True):
        largest = sorted(range(7), key=lambda i: -abs(before[i]))[:k]
        expected = np.zeros(7)
        expected[largest] = before[largest]
        np.testing.assert_array_equal(row, expected)
    assert (k == 7) == np.array_equal(kept, h.numpy())


def test_k_sparse_is_pytorchs_topk():
    """h * zeros.scatter(1, h.abs().topk(2, 1).indices, 1.0), and h.grad of (c * it).sum()."""
    h = mg.tensor([[3.0, -4.0, 1.0, -2.0], [0.5, -0.1, 0.2, -0.3]], requires_grad=True)
    y = k_sparse(h, 2)
    assert y.tolist() == [[3.0, -4.0, 0.0, 0.0], [0.5, 0.0, 0.0, pytest.approx(-0.3)]]
    c = mg.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    (c * y).sum().backward()
    assert h.grad.tolist() == [[1.0, 2.0, 0.0, 0.0], [5.0, 0.0, 0.0, 8.0]]


@pytest.mark.parametrize("k", [1, 3, 7])
@pytest.mark.parametrize("shape", [(5, 7), (7,), (2, 3, 7)])
def test_k_sparses_rule_is_right(k, shape):
    h = code(math.prod(shape) // 7).reshape(shape).clone().requires_grad_()
    check_grads(lambda h: k_sparse(h, k), h, order=2)


def test_of_ties_the_first_are_kept_and_exactly_k():
    h = mg.tensor([[1.0, -1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [2.0, 1.0, -2.0, 1.0]])
    h.requires_grad_()
    y = k_sparse(h, 3)
    assert y.tolist() == [[1, -1, 1, 0], [0, 0, 0, 0], [2, 1, -2, 0]]
    y.sum().backward()
    assert h.grad.tolist() == [[1, 1, 1, 0]] * 3  # a kept 0 too gets its gradient


@pytest.mark.parametrize("k", range(1, 6))
def test_exactly_k_are_active_however_many_ties(k):
    rng = np.random.default_rng(k)
    h = mg.tensor(rng.integers(1, 4, (50, 5)) * rng.choice([-1.0, 1.0], (50, 5)))
    assert ((k_sparse(h, k) != 0).sum(1) == k).all()


def test_k_sparse_is_per_example():
    """An example's code does not depend on who else is in the batch."""
    h = code()
    alone = mg.cat([k_sparse(h[i : i + 1] * 10.0**i, 2) / 10.0**i for i in range(len(h))])
    np.testing.assert_allclose(alone.numpy(), k_sparse(h, 2).numpy(), rtol=1e-14)


def test_k_sparse_keeps_the_type_and_does_not_hide_nan():
    assert k_sparse(mg.ones(2, 3), 1).dtype == mg.float32
    assert k_sparse(mg.tensor([[math.nan, 1.0, 2.0]]), 1).isnan().any()


@pytest.mark.parametrize("k", [0, 4, -1])
def test_impossible_k_is_refused(k):
    with pytest.raises(ArgumentError, match=rf"k_sparse: k: got {k} for \(2, 3\); expected .* 3"):
        k_sparse(mg.ones(2, 3), k)


# ---------------------------------------------------------------- distances


def test_kl_is_pytorchs():
    """kl_divergence(Bernoulli(torch.tensor(d)), Bernoulli(a)).tolist(), float64."""
    a = mg.tensor(np.array([[0.1, 0.5, 0.9], [0.3, 0.2, 0.4]]))
    expected = {
        0.05: [[0.01670650117876473, 0.4946319372140727, 1.994208620781362],
               [0.20052459361221997, 0.09394302602433173, 0.33258363582552636]],
        0.3: [[0.1536635868037986, 0.08228287850505181, 1.0325534177382865],
              [0.0, 0.028167557595283443, 0.021600854143546525]],
    }  # fmt: skip
    for desired, values in expected.items():
        np.testing.assert_allclose(kl(desired, a).numpy(), values, rtol=1e-12, atol=1e-15)


def test_kl_is_not_the_other_way_round():
    """A dead unit costs more and more; by KL(ρ ‖ ρ̂) it would cost less than -ln(1 - ρ̂) = 0.05."""
    desired, rare = 0.05, [1e-2, 1e-4, 1e-8]
    cost = kl(desired, mg.tensor(np.array(rare))).tolist()
    by_hand = [0.05 * math.log(0.05 / a) + 0.95 * math.log(0.95 / (1 - a)) for a in rare]
    assert cost == pytest.approx(by_hand, rel=1e-12)
    assert cost[2] > 0.7 > -10 * math.log(0.95)
    actual = mg.tensor([0.01, 0.5], dtype=mg.float64, requires_grad=True)
    kl(desired, actual).sum().backward()
    slope = [(a - desired) / (a * (1 - a)) for a in (0.01, 0.5)]
    assert actual.grad.tolist() == pytest.approx(slope, rel=1e-12)


@pytest.mark.parametrize("name", DISTANCES)
def test_the_desired_activity_costs_nothing_and_every_other_something(name):
    actual = mg.tensor(np.linspace(0.05, 0.95, 19))
    for i, desired in enumerate(actual.tolist()):
        cost = DISTANCES[name](desired, actual).numpy()
        assert cost[i] == 0 and (np.delete(cost, i) > 0).all()


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("dtype", [mg.float32, mg.float64])
def test_dead_and_saturated_units_have_a_finite_cost_and_gradient(name, dtype):
    actual = mg.tensor([0.0, 1.0], dtype=dtype, requires_grad=True)
    cost = DISTANCES[name](0.1, actual)
    cost.sum().backward()
    assert cost.dtype == dtype and (cost > 0).all() and cost.isfinite().all()
    assert actual.grad.isfinite().all() and actual.grad[0].item() < 0 < actual.grad[1].item()


def test_l1_and_l2_are_what_they_say():
    actual = mg.tensor([0.1, 0.7], dtype=mg.float64)
    assert l1(0.3, actual).tolist() == pytest.approx([0.2, 0.4])
    assert l2(0.3, actual).tolist() == pytest.approx([0.04, 0.16])
    at = mg.tensor([0.3], dtype=mg.float64, requires_grad=True)
    l1(0.3, at).sum().backward()
    assert at.grad.tolist() == [0.0]


# ---------------------------------------------------------------- what is averaged, and what summed

H = [[0.9, 0.1, 0.2, 0.4], [0.5, 0.3, 0.4, 0.2]]  # two examples, four units
PER_EXAMPLE = [0.4, 0.35]
PER_UNIT = [0.7, 0.2, 0.3, 0.3]
BY_HAND = {
    "kl": lambda a: 0.1 * math.log(0.1 / a) + 0.9 * math.log(0.9 / (1 - a)),
    "l1": lambda a: abs(0.1 - a),
    "l2": lambda a: (0.1 - a) ** 2,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_per_example_is_the_mean_over_examples_of_the_distance_of_means_over_units(name):
    s = BY_HAND[name]
    found = sparsity_per_example(mg.tensor(np.array(H)), 0.1, name).item()
    assert found == pytest.approx(sum(map(s, PER_EXAMPLE)) / 2, rel=1e-12)


@pytest.mark.parametrize("name", BY_HAND)
def test_per_unit_is_the_sum_over_units_of_the_distance_of_means_over_the_batch(name):
    s = BY_HAND[name]
    found = sparsity_per_unit(mg.tensor(np.array(H)), 0.1, name).item()
    assert found == pytest.approx(sum(map(s, PER_UNIT)), rel=1e-12)


@pytest.mark.parametrize("name", BY_HAND)
def test_a_unit_that_is_always_on_is_seen_per_unit_only(name):
    """One of 20 units on for every image, the others off: 1/20 of each code, as desired."""
    h = mg.full((6, 20), 1e-9, dtype=mg.float64)
    h[:, 3] = 1.0 - 1e-9
    assert sparsity_per_example(h, 0.05, name).item() < 1e-6
    assert sparsity_per_unit(h, 0.05, name).item() > 0.9


def test_which_examples_are_in_a_batch_matters_per_unit_and_not_per_example():
    h = mg.tensor(np.random.default_rng(0).random((8, 5)))
    for name in DISTANCES:
        halves = [sparsity_per_example(h[i : i + 4], 0.1, name).item() for i in (0, 4)]
        whole = sparsity_per_example(h, 0.1, name).item()
        assert whole == pytest.approx(sum(halves) / 2, rel=1e-12)
    halves = [sparsity_per_unit(h[i : i + 4], 0.1, "kl").item() for i in (0, 4)]
    assert sparsity_per_unit(h, 0.1, "kl").item() < sum(halves) / 2 - 1e-3  # KL is convex


@pytest.mark.parametrize("per", PENALTIES)
@pytest.mark.parametrize("name", DISTANCES)
def test_the_penalties_gradients_are_right(per, name):
    rng = np.random.default_rng(0)
    h = mg.tensor(rng.uniform(0.2, 0.9, (3, 4)), requires_grad=True)
    check_grads(lambda h: PENALTIES[per](h, 0.1, name), h, order=2)


@pytest.mark.parametrize("per", PENALTIES)
def test_the_gradient_is_not_of_a_detached_mean(per):
    """Each activation of a batch of n gets 1/n of its unit's slope, or 1/units of its example's."""
    h = mg.tensor(np.array(H), requires_grad=True)
    (g,) = grad(PENALTIES[per](h, 0.1, "l1"), h)
    share = 1 / 2 if per == "unit" else 1 / 4 / 2
    np.testing.assert_allclose(g.numpy(), np.full((2, 4), share), rtol=1e-12)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("per", PENALTIES)
def test_wrong_input_is_refused(per):
    penalty = PENALTIES[per]
    name = f"sparsity_per_{per}"
    h = mg.full((2, 3), 0.5)
    for shape in ((3,), (2, 3, 4), (0, 3), (2, 0)):
        with pytest.raises(ShapeError, match=f"{name}: h: got shape"):
            penalty(mg.ones(shape), 0.1)
    for desired in (-0.1, 1.1, math.nan):
        with pytest.raises(ArgumentError, match=f"{name}: desired: got {desired}"):
            penalty(h, desired)
    for desired in (0.0, 1.0):
        with pytest.raises(ArgumentError, match=f"kl: desired: got {desired}"):
            penalty(h, desired, "kl")
        assert penalty(h, desired, "l1").item() > 0
    with pytest.raises(ArgumentError, match="got 'hinge'; expected one of kl, l1, l2"):
        penalty(h, 0.1, "hinge")


@pytest.mark.parametrize("per", PENALTIES)
@pytest.mark.parametrize("name", DISTANCES)
def test_activations_of_both_signs_are_refused(per, name):
    """They cancel in a mean: a code of ±1 would have the activity 0."""
    h = mg.tensor([[1.0, -1.0], [-1.0, 1.0]])
    with pytest.raises(ArgumentError, match="from -1 to 1; expected 0 or more. End the layer with"):
        PENALTIES[per](h, 0.1, name)


def test_kl_needs_activities_up_to_1_and_the_others_do_not():
    h = mg.tensor([[0.5, 4.0]])
    with pytest.raises(ArgumentError, match="kl: got activations from 0.5 to 4; expected from 0"):
        sparsity_per_unit(h, 0.1, "kl")
    assert sparsity_per_unit(h, 0.1, "l1").item() == pytest.approx(4.3)


def test_a_nan_is_left_for_the_training_loop_to_report():
    h = mg.tensor([[math.nan, 0.5]])
    assert sparsity_per_unit(h, 0.1, "l2").isnan().all()


def test_unknown_distance_is_refused():
    with pytest.raises(ArgumentError, match="sparsity: got 'kld'"):
        named("kld")
