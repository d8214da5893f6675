"""A model's loss checked against finite differences in every one of its parameters."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from minigrad import Tensor, nn
from minigrad.gradcheck import check_grads


@contextmanager
def with_parameters(model: nn.Module, values: Sequence[Tensor]) -> Iterator[None]:
    """Within it, the model's parameters are `values`, in the order of `parameters()`."""
    named = [(vars(m), name) for m in model.modules() for name in vars(m)]
    places = [(own, name) for own, name in named if isinstance(own[name], nn.Parameter)]
    kept = [own[name] for own, name in places]
    assert [id(p) for p in kept] == [id(p) for p in model.parameters()]
    try:
        for (own, name), value in zip(places, values, strict=True):
            own[name] = value
        yield
    finally:
        for (own, name), p in zip(places, kept, strict=True):
            own[name] = p


def check_model(model: nn.Module, loss: Callable[..., Tensor], order: int = 1) -> None:
    """check_grads of `loss(*parameters)`, which uses the model, in all its parameters."""

    def of_parameters(*values: Tensor) -> Tensor:
        with with_parameters(model, values):
            return loss(*values)

    values = (p.detach().clone().requires_grad_() for p in model.parameters())
    check_grads(of_parameters, *values, order=order)
