"""Module: what it is made of, how it is printed, saved, loaded, moved and copied."""

import copy

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.errors import ArgumentError, CheckpointError, DTypeError


class Net(nn.Module):
    """Every kind of part. What is stated of it below is what PyTorch 2.13 says of the same."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(True))
        self.heads = nn.ModuleList([nn.Linear(3, 2), nn.Linear(3, 2)])
        self.scale = nn.Parameter(mg.ones(2))
        self.register_buffer("step", mg.zeros(()))
        self.register_buffer("scratch", mg.zeros(2), persistent=False)

    def forward(self, x):
        h = self.encoder(x)
        return self.scale * sum(head(h) for head in self.heads)


PRINTED = """\
Net(
  (encoder): Sequential(
    (0): Linear(in_features=4, out_features=3, bias=True)
    (1): BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    (2): ReLU(inplace=True)
  )
  (heads): ModuleList(
    (0-1): 2 x Linear(in_features=3, out_features=2, bias=True)
  )
)"""
KEYS = [
    "scale", "step", "encoder.0.weight", "encoder.0.bias", "encoder.1.weight", "encoder.1.bias",
    "encoder.1.running_mean", "encoder.1.running_var", "encoder.1.num_batches_tracked",
    "heads.0.weight", "heads.0.bias", "heads.1.weight", "heads.1.bias",
]  # fmt: skip
BUFFERS = ["step", "scratch", *(f"encoder.1.{name}" for name in nn.BatchNorm1d(1)._buffers)]


def names(pairs):
    return [name for name, _ in pairs]


# ---------------------------------------------------------------- Parameter


def test_parameter_shares_memory_and_makes_tensors():
    data = mg.zeros(3)
    p = nn.Parameter(data)
    assert p.requires_grad and p.is_leaf and p.array is data.array
    assert type(p * 2.0) is type(p.detach()) is Tensor
    assert not nn.Parameter(data, requires_grad=False).requires_grad
    assert repr(p) == "Parameter containing:\ntensor([0., 0., 0.], requires_grad=True)"


def test_parameter_of_a_result_is_a_leaf():
    assert nn.Parameter(mg.ones(2, requires_grad=True) * 2.0).is_leaf


def test_parameter_cannot_be_integer():
    with pytest.raises(DTypeError, match="requires_grad"):
        nn.Parameter(mg.tensor([1, 2]))


# ---------------------------------------------------------------- the tree


def test_parts_are_found_in_pytorchs_order():
    net = Net()
    assert list(net.state_dict()) == KEYS
    assert names(net.named_parameters()) == [k for k in KEYS if k not in BUFFERS]
    assert names(net.named_buffers()) == BUFFERS
    assert names(net.named_children()) == ["encoder", "heads"]
    assert names(net.named_modules()) == [
        "", "encoder", "encoder.0", "encoder.1", "encoder.2", "heads", "heads.0", "heads.1",
    ]  # fmt: skip
    assert names(net.named_parameters("net", recurse=False)) == ["net.scale"]
    assert len(list(net.parameters())) == 9
    assert len(list(net.buffers())) == 5
    assert next(net.modules()) is net
    assert list(net.children()) == [net.encoder, net.heads]


def test_it_is_printed_as_pytorch_prints_it():
    assert repr(Net()) == PRINTED


def test_shared_parts_are_counted_once_but_saved_under_both_names():
    one = nn.Linear(2, 2)
    net = nn.Sequential(one, nn.ReLU(), one)
    assert names(net.named_parameters()) == ["0.weight", "0.bias"]
    assert names(net.named_children()) == ["0", "1"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    net[0].bias = net[0].weight = nn.Parameter(mg.ones(2, 2))
    assert names(net.named_parameters()) == ["0.weight"]


def test_what_is_assigned_later_counts():
    net = Net()
    net.scale = None
    net.extra = nn.Tanh()
    del net.heads
    assert "scale" not in names(net.named_parameters())
    assert names(net.named_children()) == ["encoder", "extra"]
    net.step = mg.ones(())
    assert net.state_dict()["step"].item() == 1


def test_only_a_parameter_replaces_a_parameter():
    net = nn.Linear(2, 2)
    with pytest.raises(DTypeError, match=r"Linear: weight: got Tensor; expected a Parameter"):
        net.weight = mg.ones(2, 2)


@pytest.mark.parametrize(
    "register, error, message",
    [
        (lambda m: m.register_buffer("a.b", mg.ones(1)), ArgumentError, "without a dot"),
        (lambda m: m.register_buffer("", mg.ones(1)), ArgumentError, "got ''"),
        (lambda m: m.register_buffer("train", mg.ones(1)), ArgumentError, "attribute of the class"),
        (
            lambda m: m.register_buffer("x", np.ones(1)),
            DTypeError,
            "got ndarray; expected a Tensor",
        ),
        (lambda m: m.register_parameter("x", mg.ones(1)), DTypeError, "expected a Parameter"),
        (lambda m: m.add_module("x", 3), DTypeError, "got int; expected a Module"),
        (lambda m: nn.Sequential(nn.ReLU), DTypeError, "got type; expected a Module"),
        (lambda m: m.train("yes"), ArgumentError, "train: mode: got 'yes'"),
        (lambda m: m.to(mg.int64), DTypeError, "got int64; expected a float type"),
        (lambda m: m(1), NotImplementedError, "Module defines no forward"),
    ],
)
def test_bad_use_is_refused(register, error, message):
    module = nn.Module()
    module.p = nn.Parameter(mg.ones(1))
    with pytest.raises(error, match=message):
        register(module)


def test_registering():
    module = nn.Module()
    module.register_parameter("w", nn.Parameter(mg.ones(1)))
    module.register_parameter("none", None)
    module.add_module("act", nn.ReLU())
    assert names(module.named_parameters()) == ["w"] and module.none is None
    assert names(module.named_children()) == ["act"]


def test_base_class_may_be_left_uninitialised():
    class Forgetful(nn.Module):
        def __init__(self):
            self.w = nn.Parameter(mg.ones(1))
            self.register_buffer("b", mg.zeros(1))

    assert list(Forgetful().state_dict()) == ["w", "b"]
    assert nn.Module()._buffers == {}


# ---------------------------------------------------------------- modes and gradients


def test_train_and_eval_reach_all_of_it():
    net = Net()
    assert all(m.training for m in net.modules())
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    assert net.train().encoder[1].training


def test_requires_grad_and_zero_grad():
    net = Net().requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    net.requires_grad_()
    net(mg.randn(5, 4)).sum().backward()
    memory = net.scale.grad
    net.zero_grad(set_to_none=False)
    assert net.scale.grad.tolist() == memory.tolist() == [0, 0]
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert net.scale.grad is None


def test_apply_visits_children_first_and_each_once():
    seen = []
    shared = nn.ReLU()
    net = nn.Sequential(nn.Sequential(shared, nn.Tanh()), shared)
    net.apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["ReLU", "Tanh", "Sequential", "ReLU", "Sequential"]
    net = nn.Sequential(shared, shared)
    assert net.apply(lambda m: seen.append(m)) is net and seen[-2:] == [shared, net]


# ---------------------------------------------------------------- types, devices, copies


def test_floats_change_type_in_place_and_integers_do_not():
    net = Net()
    net(mg.randn(5, 4)).sum().backward()
    weight = net.encoder[0].weight
    assert net.double() is net and net.encoder[0].weight is weight
    assert weight.dtype == weight.grad.dtype == net.step.dtype == mg.float64
    assert net.encoder[1].num_batches_tracked.dtype == mg.int64
    assert net(mg.randn(5, 4, dtype=mg.float64)).dtype == mg.float64
    assert net.float().scale.dtype == mg.float32
    assert net.to("cpu", mg.float64).scale.dtype == mg.float64
    assert net.to(mg.ones(1)).cpu().scale.dtype == mg.float32


def test_to_leaves_what_fits_as_it_is():
    net = Net()
    arrays = [x.array for x in net.state_dict().values()]
    net.to(mg.float32)
    assert all(x.array is a for x, a in zip(net.state_dict().values(), arrays, strict=True))


def test_deepcopy_shares_nothing_but_what_was_shared():
    net = Net()
    net.heads[1] = net.heads[0]
    net(mg.randn(5, 4)).sum().backward()
    twin = copy.deepcopy(net)
    assert type(twin.scale) is nn.Parameter and twin.heads[1] is twin.heads[0]
    for (name, x), (_, y) in zip(net.state_dict().items(), twin.state_dict().items(), strict=True):
        assert x.tolist() == y.tolist(), name
        assert not np.shares_memory(x.array, y.array)
    assert twin.scale.grad.tolist() == net.scale.grad.tolist()
    twin.scale.data.fill_(7)
    assert net.scale.tolist() == [1, 1]


# ---------------------------------------------------------------- state


def test_state_is_shared_memory_outside_the_graph():
    net = Net()
    state = net.state_dict()
    assert not any(x.requires_grad for x in state.values())
    state["scale"].fill_(3)
    assert net.scale.tolist() == [3, 3]
    assert net.state_dict(keep_vars=True)["scale"] is net.scale
    assert list(net.encoder[0].state_dict(prefix="fc.")) == ["fc.weight", "fc.bias"]


def test_load_restores_the_values_in_place():
    net, other = Net(), Net()
    other(mg.randn(9, 4))
    weight, array = net.encoder[0].weight, net.encoder[0].weight.array
    report = net.load_state_dict(other.state_dict())
    assert report == ([], [])
    assert net.encoder[0].weight is weight and weight.array is array
    assert weight.requires_grad and weight.is_leaf
    net.eval(), other.eval()
    x = mg.randn(3, 4)
    assert net(x).tolist() == other(x).tolist()
    assert int(net.encoder[1].num_batches_tracked) == 1


def test_load_casts_as_copy_does():
    net = nn.Linear(2, 1)
    net.load_state_dict(nn.Linear(2, 1).double().state_dict())
    assert net.weight.dtype == mg.float32


def test_load_lists_every_problem_and_loads_nothing():
    net = Net()
    before = copy.deepcopy(net.state_dict())
    state = {key: x + 1 for key, x in net.state_dict().items()}
    del state["heads.0.bias"], state["step"]
    state["surplus"] = mg.ones(1)
    state["scale"] = mg.ones(3)
    state["encoder.1.weight"] = mg.ones(3, 1)
    state["encoder.1.bias"] = np.ones(3)
    with pytest.raises(CheckpointError) as caught:
        net.load_state_dict(state)
    assert str(caught.value).splitlines() == [
        "load_state_dict: the state does not fit Net; nothing was loaded:",
        "  missing key 'step'",
        "  missing key 'heads.0.bias'",
        "  unexpected key 'surplus'",
        "  scale: got shape (3,); expected (2,)",
        "  encoder.1.weight: got shape (3, 1); expected (3,)",
        "  encoder.1.bias: got ndarray; expected a tensor",
    ]
    for key, x in net.state_dict().items():
        assert x.tolist() == before[key].tolist(), key


def test_lenient_load_reports_the_keys_but_refuses_shapes():
    net = nn.Linear(2, 1)
    report = net.load_state_dict({"weight": mg.ones(1, 2), "x": mg.ones(1)}, strict=False)
    assert report.missing_keys == ["bias"] and report.unexpected_keys == ["x"]
    assert net.weight.tolist() == [[1, 1]]
    with pytest.raises(CheckpointError, match=r"weight: got shape \(2,\)"):
        net.load_state_dict({"weight": mg.ones(2)}, strict=False)


# ---------------------------------------------------------------- Sequential and ModuleList


def test_sequential_is_a_list_of_steps():
    steps = nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)
    net = nn.Sequential(*steps)
    assert len(net) == 3 and list(net) == list(steps)
    assert net[1] is steps[1] and net[-1] is steps[2]
    assert list(net[1:].named_children()) == [("1", steps[1]), ("2", steps[2])]
    x = mg.randn(5, 3)
    assert net(x).tolist() == steps[2](steps[1](steps[0](x))).tolist()
    net[1] = nn.ReLU()
    net.append(nn.Sigmoid()).extend([nn.Identity()])
    assert [type(m).__name__ for m in net] == ["Linear", "ReLU", "Linear", "Sigmoid", "Identity"]
    with pytest.raises(IndexError, match="Sequential: got index 5 of 5 modules"):
        net[5]


def test_sequential_takes_names():
    net = nn.Sequential({"fc": nn.Linear(2, 1), "act": nn.ReLU()})
    assert net.fc is net[0] and list(net.state_dict()) == ["fc.weight", "fc.bias"]
    assert names(net[1:].named_children()) == ["act"]
    assert repr(nn.Sequential()) == "Sequential()"


def test_module_list_numbers_anew():
    items = [nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1)]
    part = nn.ModuleList(items)[1:]
    assert names(part.named_children()) == ["0", "1"] and list(part) == items[1:]
    part.append(nn.ReLU())
    assert len(part) == 3
    assert repr(nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh(), nn.ReLU()])) == (
        "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Tanh()\n  (3): ReLU()\n)"
    )
    with pytest.raises(NotImplementedError, match="ModuleList defines no forward"):
        part(1)
