"""The optimisers step as PyTorch's do, whatever is stepped together with what, and can be saved."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.errors import ArgumentError, CheckpointError, DTypeError, GraphError

# Five steps from w = (1, -2, 3) on Σ c w² + cos w with c = (½, 1, 0.1), computed by PyTorch 2.13.
PYTORCH = [
    ("SGD", {"lr": 0.1}, [0.927421808059, -0.972474489637, 2.818641030398]),
    ("SGD", {"lr": 0.1, "momentum": 0.9}, [0.811834657736, 0.58268078711, 2.547215195042]),
    (
        "SGD",
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.5},
        [0.871504903249, 0.008450463858, 2.665876913195],
    ),
    (
        "SGD",
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        [0.644104183953, 0.623005533314, 2.237470114055],
    ),
    ("SGD", {"lr": 0.1, "maximize": True}, [1.087263981973, -4.668616008616, 3.291308078018]),
    ("RMSprop", {}, [0.731605636277, -1.690739544302, 2.736812746847]),
    (
        "RMSprop",
        {"lr": 0.1, "alpha": 0.9, "momentum": 0.5, "centered": True, "weight_decay": 0.1},
        [-0.053678460649, -0.443322917228, 2.25454496068],
    ),
    ("Adam", {}, [0.995001276187, -1.995000340197, 2.995001142126]),
    (
        "Adam",
        {"lr": 0.1, "betas": (0.5, 0.9), "weight_decay": 0.1},
        [0.555203280063, -1.51796310633, 2.553156177118],
    ),
    (
        "Adam",
        {"lr": 0.1, "betas": (0.9, 0.5), "amsgrad": True},
        [0.545682881795, -1.495979550197, 2.562582570277],
    ),
    ("AdamW", {"lr": 0.1}, [0.529301063308, -1.496128742533, 2.534026415814]),
    (
        "AdamW",
        {"lr": 0.1, "weight_decay": 0.5},
        [0.376048625149, -1.107184970289, 2.114869599838],
    ),
]
ALGORITHMS = [
    lambda params: optim.SGD(params, lr=0.05, momentum=0.9, weight_decay=0.1),
    lambda params: optim.RMSprop(params, centered=True, momentum=0.5),
    lambda params: optim.Adam(params, lr=0.05, amsgrad=True),
    lambda params: optim.AdamW(params, lr=0.05),
]


def start(*values, dtype=np.float64):
    return mg.tensor(np.array(values, dtype), requires_grad=True)


def loss_of(w):
    return (mg.tensor(np.array([0.5, 1.0, 0.1]), dtype=w.dtype) * w**2 + w.cos()).sum()


def descend(optimizer, params, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        sum(loss_of(w) for w in params).backward()
        optimizer.step()


@pytest.mark.parametrize("name, options, expected", PYTORCH)
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-10), (np.float32, 1e-6)])
def test_five_steps_equal_pytorchs(name, options, expected, dtype, tolerance):
    w = start(1.0, -2.0, 3.0, dtype=dtype)
    descend(getattr(optim, name)([w], **options), [w], 5)
    assert w.dtype == dtype
    np.testing.assert_allclose(w.detach().numpy(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("make", ALGORITHMS)
def test_a_parameter_moves_as_if_alone(make):
    """In one buffer with others, one of them without a gradient now and then, of another type."""
    alone = [start(1.0, -2.0, 3.0), start(0.3, 0.2, 0.1)]
    together = [start(1.0, -2.0, 3.0), start(0.3, 0.2, 0.1)]
    other = start(1.0, 1.0, 1.0, dtype=np.float32)
    single = [make([w]) for w in alone]
    joint = make([*together, other])
    for step in range(6):
        moved = [0, 1] if step % 3 else [0]
        for i in moved:
            descend(single[i], [alone[i]], 1)
        descend(joint, [*(together[i] for i in moved), other], 1)
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def test_pieces_meet_without_a_seam():
    """A parameter longer than what is updated at a time moves as its parts do."""
    n = 3 * (optim.block.PIECE // 2)
    values = np.random.default_rng(0).standard_normal(n)
    whole = mg.tensor(values, requires_grad=True)
    parts = [mg.tensor(part, requires_grad=True) for part in np.split(values, 3)]
    for params in ([whole], parts):
        optimizer = optim.Adam(params, lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            sum((w**3).sum() for w in params).backward()
            optimizer.step()
    joined = np.concatenate([w.detach().numpy() for w in parts])
    np.testing.assert_array_equal(whole.detach().numpy(), joined)


@pytest.mark.parametrize("make", ALGORITHMS)
def test_parameters_keep_their_order_in_memory(make):
    """They may have any, and their gradients another; all of it is as if it were in order."""
    draw = np.random.default_rng(0).standard_normal
    a, b = draw((2, 3, 4)), draw((3, 2))
    plain = [mg.tensor(x, requires_grad=True) for x in (a, b)]
    moved = [a.transpose(1, 2, 0).copy().transpose(2, 0, 1), b.T.copy().T]
    moved = [mg.Tensor(x, requires_grad=True) for x in moved]
    strides = [p.array.strides for p in moved]
    optimizers = make(plain), make(moved)
    for order in ("C", "F", "K"):
        for p, q in zip(plain, moved, strict=True):
            g = draw(p.shape)
            p.grad, q.grad = mg.tensor(g), mg.Tensor(g.copy(order))
        for optimizer in optimizers:
            optimizer.step()
    for p, q in zip(plain, moved, strict=True):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
        for name, buffer in optimizers[1].state[q].items():
            np.testing.assert_array_equal(buffer, optimizers[0].state[p][name])
    assert [p.array.strides for p in moved] == strides


def test_groups_have_options_of_their_own():
    a, b = start(1.0, 1.0, 1.0), start(1.0, 1.0, 1.0)
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.0}], lr=0.1)
    descend(optimizer, [a, b], 1)
    assert not np.allclose(a.detach().numpy(), 1)
    np.testing.assert_array_equal(b.detach().numpy(), np.ones(3))


@pytest.mark.parametrize("make", ALGORITHMS)
def test_saved_and_loaded_it_continues_bit_for_bit(make):
    straight = [start(1.0, -2.0, 3.0), start(0.3, 0.2, 0.1)]
    descend(make(straight), straight, 8)
    halfway = [start(1.0, -2.0, 3.0), start(0.3, 0.2, 0.1)]
    optimizer = make(halfway)
    descend(optimizer, halfway, 3)
    state = optimizer.state_dict()
    fresh = [mg.tensor(w.detach(), requires_grad=True) for w in halfway]
    resumed = make(fresh)
    resumed.load_state_dict(state)
    descend(optimizer, halfway, 1)  # what was saved is not changed by going on
    descend(resumed, fresh, 5)
    for a, b in zip(straight, fresh, strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


@pytest.mark.parametrize(
    "make, options, buffer",
    [
        (lambda w: optim.SGD([w], lr=0.5), {"momentum": 0.9}, "momentum_buffer"),
        (lambda w: optim.Adam([w], lr=0.5), {"amsgrad": True}, "max_exp_avg_sq"),
    ],
)
def test_an_option_may_be_changed_between_steps(make, options, buffer):
    """What it keeps for the new one begins at 0; PyTorch's SGD does so too, without dampening."""
    w = start(1.0)
    optimizer = make(w)
    for g in (1.0, 2.0):
        w.grad = mg.full_like(w, g)
        optimizer.step()
        assert (buffer in optimizer.state[w]) == (g == 2.0)
        optimizer.param_groups[0].update(options)
    assert optimizer.state[w]["step"] == 2
    if buffer == "momentum_buffer":
        assert w.item() == 1.0 - 0.5 * (1.0 + 2.0)

    saved = optimizer.state_dict()
    del saved["state"][0][buffer]
    with pytest.raises(CheckpointError, match=f"expected also {buffer}"):
        make(start(1.0)).load_state_dict(saved)


def test_state_of_other_parameters_is_refused():
    w = start(1.0, -2.0, 3.0)
    optimizer = optim.Adam([w])
    descend(optimizer, [w], 1)
    with pytest.raises(CheckpointError, match=r"got groups of \[1\] parameters; expected \[2\]"):
        optim.Adam([start(1.0), start(2.0)]).load_state_dict(optimizer.state_dict())
    with pytest.raises(CheckpointError, match=r"exp_avg .*got shape \(3,\); expected \(1,\)"):
        optim.Adam([start(1.0)]).load_state_dict(optimizer.state_dict())
    with pytest.raises(CheckpointError, match=r"nothing was loaded:\n.*exp_avg .*\n.*exp_avg_sq "):
        optim.Adam([start(1.0)]).load_state_dict(optimizer.state_dict())
    with pytest.raises(CheckpointError, match=r"got \['0.weight'\]; expected 'state' and"):
        optim.Adam([start(1.0)]).load_state_dict({"0.weight": 1})


@pytest.mark.parametrize("dtype", [mg.float32, mg.float64], ids=str)
@pytest.mark.parametrize("make", ALGORITHMS)
def test_a_gradient_of_zero_leaves_numbers(make, dtype):
    """0 / (√0 + eps) is 0: nothing moves but by weight decay, and nothing becomes NaN."""
    w = mg.tensor([1.0, -2.0, 0.0], dtype=dtype, requires_grad=True)
    optimizer = make([w])
    for _ in range(3):
        w.grad = mg.zeros(3, dtype=dtype)
        optimizer.step()
    found = w.detach().numpy()
    assert np.isfinite(found).all() and found[2] == 0.0 and np.abs(found[:2]).max() <= 2.0


@pytest.mark.parametrize("make", ALGORITHMS)
def test_what_gets_no_gradient_any_more_ends_at_zero(make):
    """Not at the subnormal numbers, where β times the smallest is the smallest again."""
    w = mg.tensor(np.zeros(3, np.float32), requires_grad=True)
    optimizer = make([w])
    for step in range(2000):
        w.grad = mg.tensor(np.array([1.0, -1e-10, 1e-3], np.float32) * np.float32(step == 0))
        optimizer.step()
    state = optimizer.state[w]
    momentum = state["exp_avg"] if "exp_avg" in state else state["momentum_buffer"]
    np.testing.assert_array_equal(momentum, 0.0)
    for a in (w.detach().numpy(), *(state[name] for name in state if name != "step")):
        assert (abs(a[a != 0]) >= np.finfo(np.float32).tiny).all()


def test_only_next_to_nothing_is_forgotten():
    """A weight or an average above 1e-32 stays, to the bit, and so does what is no number."""
    n = optim.block.PIECE + 6
    values = np.tile(np.array([2e-32, -2e-32, 5e-33, -5e-33, 1e-20, np.nan], np.float32), n)[:n]
    w = mg.tensor(values, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    w.grad = mg.zeros(n)
    for _ in range(optim.block.FORGET_EVERY - 1):
        optimizer.step()
    np.testing.assert_array_equal(w.detach().numpy(), values)
    optimizer.step()
    np.testing.assert_array_equal(w.detach().numpy(), np.where(abs(values) < 1e-32, 0, values))


def test_values_given_from_outside_are_stepped_from():
    """Loading weights between steps, in place or as a new array, is seen by the next step."""
    w = start(1.0, -2.0, 3.0)
    optimizer = optim.SGD([w], lr=0.1)
    descend(optimizer, [w], 1)
    for assign in (lambda v: w.copy_(v), lambda v: setattr(w, "data", v)):
        twin = start(5.0, 6.0, 7.0)
        with mg.no_grad():
            assign(mg.tensor([5.0, 6.0, 7.0], dtype=mg.float64))
        descend(optimizer, [w], 1)
        descend(optim.SGD([twin], lr=0.1), [twin], 1)
        np.testing.assert_array_equal(w.detach().numpy(), twin.detach().numpy())


def test_a_graph_recorded_before_a_step_is_refused():
    w = start(1.0, -2.0, 3.0)
    optimizer = optim.SGD([w], lr=0.1)
    loss = loss_of(w)
    descend(optimizer, [w], 1)
    with pytest.raises(GraphError, match="edited in place"):
        loss.backward()


def test_a_model_learns_a_line():
    generator = mg.Generator().manual_seed(0)
    x = mg.randn(64, 1, generator=generator)
    y = 3.0 * x - 1.0
    mg.manual_seed(0)
    model = nn.Linear(1, 1)
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
    assert abs(model.weight.item() - 3) < 1e-3 and abs(model.bias.item() + 1) < 1e-3


def test_closure_is_called_with_gradients_on():
    w = start(1.0, -2.0, 3.0)
    optimizer = optim.SGD([w], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = loss_of(w)
        loss.backward()
        return loss

    with mg.no_grad():
        first, second = optimizer.step(closure), optimizer.step(closure)
    assert second.item() < first.item()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: optim.SGD([]), "got none"),
        (lambda: optim.SGD([start(1.0)], lr=-1), "lr: got -1; expected a number, 0 ≤ lr < inf"),
        (lambda: optim.Adam([start(1.0)], lr="a"), "lr: got 'a'; expected a number"),
        (lambda: optim.Adam([start(1.0)], betas=(1.0, 0.9)), "beta_1: got 1.0"),
        (lambda: optim.SGD([start(1.0)], nesterov=True), "nesterov: needs momentum > 0"),
    ],
)
def test_wrong_options_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_only_float_leaves_once_each():
    w = start(1.0)
    with pytest.raises(DTypeError, match=r"got Linear; expected model.parameters\(\)"):
        optim.SGD(mg.nn.Linear(2, 2))
    with pytest.raises(DTypeError, match="expected leaf tensors of floats"):
        optim.SGD([w * 2.0])
    with pytest.raises(ArgumentError, match="more than one group"):
        optim.SGD([{"params": [w]}, {"params": [w]}])


# ---------------------------------------------------------------- schedules, from PyTorch 2.13


@pytest.mark.parametrize(
    "make, expected",
    [
        (lambda o: optim.lr_scheduler.StepLR(o, 2, 0.5), [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]),
        (
            lambda o: optim.lr_scheduler.CosineAnnealingLR(o, 4, 0.1),
            [1.0, 0.868198051533946, 0.55, 0.231801948466054, 0.1, 0.231801948466054],
        ),
    ],
)
def test_schedules_equal_pytorchs(make, expected):
    optimizer = optim.SGD([start(1.0)], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for epoch in range(6):
        if epoch == 3:  # saved and loaded on the way
            state = scheduler.state_dict()
            scheduler = make(optim.SGD([start(1.0)], lr=1.0))
            scheduler.load_state_dict(state)
        rates += scheduler.get_last_lr()
        scheduler.step()
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


@pytest.mark.parametrize("by_hand", [1.0, 0.5])
def test_schedules_multiply_and_keep_what_was_changed_by_hand(by_hand):
    """A cosine of period 4 down to 0.1, and half of what is above 0 every second epoch."""
    optimizer = optim.SGD([start(1.0)], lr=1.0)
    schedules = [
        optim.lr_scheduler.CosineAnnealingLR(optimizer, 4, 0.1),
        optim.lr_scheduler.StepLR(optimizer, 2, 0.5),
    ]
    falls = [(1 + np.cos(np.pi * t / 4)) / 2 for t in range(4)]
    rate = 1.0
    for epoch in range(1, 4):
        if epoch == 2:
            optimizer.param_groups[0]["lr"] *= by_hand
            rate *= by_hand
        for schedule in schedules:
            schedule.step()
        rate = 0.1 + (rate - 0.1) * falls[epoch] / falls[epoch - 1]
        rate *= 0.5 if epoch == 2 else 1.0
        np.testing.assert_allclose(optimizer.param_groups[0]["lr"], rate, rtol=1e-12)


def test_a_schedule_may_begin_after_an_epoch():
    optimizer = optim.SGD([start(1.0)], lr=1.0)
    whole = optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    for _ in range(3):
        whole.step()
    after = optim.lr_scheduler.StepLR(optimizer, 2, 0.5, last_epoch=2)
    assert after.last_epoch == whole.last_epoch == 3 and after.get_last_lr() == [0.5]
