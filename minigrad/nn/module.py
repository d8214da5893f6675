r"""Module: a function with parameters, built from smaller ones.

A module's attributes are all there is to it. Those that are `Parameter`s are learned, those that
are modules are its children, and the names given to `register_buffer` are state that is saved but
not learned. Everything below walks that tree: own attributes first, then each child, in the order
in which they were assigned. A parameter of the child `fc1` is named `fc1.weight`.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from minigrad.engine import Variable, no_grad
from minigrad.errors import ArgumentError, CheckpointError, DTypeError
from minigrad.tensor import Tensor, float32, float64


class Parameter(Tensor):
    """A tensor that a module learns: a leaf that requires a gradient, sharing the data's memory.

    What is computed from it is a plain Tensor.
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data.array if isinstance(data, Variable) else data, requires_grad)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` found missing in the dictionary, and what it could not place."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """The base of every layer and model. A subclass assigns its parts, and says what they compute:

    >>> class Residual(Module):
    ...     def __init__(self, inner):
    ...         super().__init__()
    ...         self.inner = inner
    ...     def forward(self, x):
    ...         return x + self.inner(x)
    """

    training = True
    _buffers: Mapping[str, bool] = {}  # the names of the buffers, and whether each is persistent

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What `module(...)` computes."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    # ------------------------------------------------------------ what it is made of

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(vars(self).get(name), Parameter) and not isinstance(value, Parameter | None):
            raise DTypeError(
                f"{type(self).__name__}: {name}: got {type(value).__name__}; expected a Parameter "
                "or None. Wrap it in nn.Parameter, or write into it by copy_ under no_grad"
            )
        super().__setattr__(name, value)

    def _register(self, name: str, value: Any, kind: type) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise ArgumentError(f"register: name: got {name!r}; expected a name without a dot")
        if hasattr(self, name) and name not in vars(self):
            raise ArgumentError(f"register: name: got {name!r}, which is an attribute of the class")
        if not isinstance(value, kind | None):
            raise DTypeError(
                f"register: {name}: got {type(value).__name__}; expected a {kind.__name__} or None"
            )
        setattr(self, name, value)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Assign a parameter; None keeps its place empty."""
        self._register(name, param, Parameter)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Assign a tensor that is moved with the module and, if `persistent`, saved with it."""
        self._register(name, tensor, Tensor)
        self._buffers = {**self._buffers, name: persistent}

    def add_module(self, name: str, module: "Module | None") -> None:
        """Assign a child whose name is given as a string."""
        self._register(name, module, Module)

    def _members(self) -> list[tuple[str, "Module"]]:
        """(name, module) of each child; one that has two names comes twice."""
        return [(name, x) for name, x in vars(self).items() if isinstance(x, Module)]

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """(name, module) of each direct child, each once."""
        seen = set()
        for name, child in self._members():
            if child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator["Module"]:
        """The direct children."""
        return (module for _, module in self.named_children())

    def named_modules(self, memo: set | None = None, prefix: str = "") -> Iterator[tuple]:
        """(name, module) of this module, named `prefix`, and all below it, each once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        memo.add(self)
        yield prefix, self
        for name, child in self._members():
            yield from child.named_modules(memo, f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator["Module"]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def _own(self, kind: str) -> Iterator[tuple[str, Tensor]]:
        """(name, tensor) of the parameters, of the buffers, or of the saved ones of both."""
        if kind in ("parameters", "saved"):
            yield from ((k, x) for k, x in vars(self).items() if isinstance(x, Parameter))
        if kind in ("buffers", "saved"):
            for name, persistent in self._buffers.items():
                x = vars(self).get(name)
                if x is not None and (persistent or kind == "buffers"):
                    yield name, x

    def _tensors(self, kind: str, prefix: str, recurse: bool) -> Iterator[tuple[str, Tensor]]:
        seen = set()
        for path, module in self.named_modules(prefix=prefix) if recurse else [(prefix, self)]:
            for name, x in module._own(kind):
                if x not in seen:
                    seen.add(x)
                    yield f"{path}.{name}" if path else name, x

    def named_parameters(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(name, parameter) of all that is learned; one that is shared comes once."""
        return self._tensors("parameters", prefix, recurse)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All that is learned; one that is shared comes once."""
        return (x for _, x in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """(name, tensor) of the buffers."""
        return self._tensors("buffers", prefix, recurse)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers."""
        return (x for _, x in self.named_buffers(recurse=recurse))

    # ------------------------------------------------------------ saving and loading

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """Every parameter and persistent buffer by name, outside the graph, in shared memory."""
        state = {prefix + name: x if keep_vars else x.detach() for name, x in self._own("saved")}
        for name, child in self._members():
            state.update(child.state_dict(prefix=f"{prefix}{name}.", keep_vars=keep_vars))
        return state

    def load_state_dict(
        self, state_dict: Mapping[str, Tensor], strict: bool = True
    ) -> IncompatibleKeys:
        """Copy the values of a `state_dict()` into this module's tensors, all of them or none.

        With `strict=False` keys may be missing or unexpected, and are answered. Raises
        CheckpointError with the list of everything that does not fit.
        """
        own = self.state_dict()
        missing = [key for key in own if key not in state_dict]
        unexpected = [key for key in state_dict if key not in own]
        problems = [f"missing key {key!r}" for key in missing] if strict else []
        problems += [f"unexpected key {key!r}" for key in unexpected] if strict else []
        shared = [key for key in own if key in state_dict]
        for key in shared:
            new = state_dict[key]
            if not isinstance(new, Variable):
                problems.append(f"{key}: got {type(new).__name__}; expected a tensor")
            elif new.array.shape != own[key].shape:
                problems.append(f"{key}: got shape {new.array.shape}; expected {own[key].shape}")
        if problems:
            raise CheckpointError(
                f"load_state_dict: the state does not fit {type(self).__name__}; nothing was "
                "loaded:\n  " + "\n  ".join(problems)
            )
        with no_grad():
            for key in shared:
                own[key].copy_(state_dict[key].to(own[key].device))
        return IncompatibleKeys(missing, unexpected)

    # ------------------------------------------------------------ changing all of it

    def apply(self, fn: Callable[["Module"], Any]) -> "Module":
        """Call `fn` on every module below, then on this one; used to initialise."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> "Module":
        """Training mode, or evaluation: dropout and batch norm differ between them."""
        if not isinstance(mode, bool):
            raise ArgumentError(f"train: mode: got {mode!r}; expected True or False")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> "Module":
        """Evaluation mode: `train(False)`."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> "Module":
        """Learn the parameters, or freeze them."""
        for x in self.parameters():
            x.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of the parameters, or fill them with zeros."""
        for x in self.parameters():
            if set_to_none:
                x.grad = None
            elif x.grad is not None:
                x.grad = x.grad.detach().zero_()

    def to(self, *args: Any, dtype: Any = None, device: Any = None) -> "Module":
        """Move the module's tensors to a device, and its float tensors to a float type, in place.

        Takes what `Tensor.to` takes. Raises DTypeError if the type is no float type.
        """
        for x in (*self.parameters(), *self.buffers()):
            for part in (x, x.grad) if x.grad is not None else (x,):
                moved = part.detach().to(*args, dtype=dtype, device=device)
                if part.dtype.kind != "f":
                    moved = part.detach().to(device=moved.device)
                elif moved.dtype.kind != "f":
                    raise DTypeError(f"to: dtype: got {moved.dtype}; expected a float type")
                if moved.array is not part.array:
                    part.data = moved
        return self

    def float(self) -> "Module":
        """To float32."""
        return self.to(float32)

    def double(self) -> "Module":
        """To float64."""
        return self.to(float64)

    def cpu(self) -> "Module":
        """To the CPU."""
        return self.to(device="cpu")

    def cuda(self, device: Any = 0) -> "Module":
        """To a CUDA device, given by its number or name."""
        return self.to(device=f"cuda:{device}" if isinstance(device, int) else device)

    # ------------------------------------------------------------ showing it

    def extra_repr(self) -> str:
        """What stands between the brackets when the module is printed."""
        return ""

    def __repr__(self) -> str:
        parts = [f"({name}): {child!r}" for name, child in self._members()]
        return _shown(type(self).__name__, self.extra_repr(), parts)


def _shown(name: str, extra: str, parts: Sequence[str]) -> str:
    """`name(extra)`, or one line for each part, indented."""
    lines = [*extra.splitlines(), *(part.replace("\n", "\n  ") for part in parts)]
    if parts or len(lines) > 1:
        return "\n  ".join([f"{name}(", *lines]) + "\n)"
    return f"{name}({extra})"


# ---------------------------------------------------------------- modules in a row


class _Row(Module):
    """Children named by their place: 0, 1, 2, …"""

    def _at(self, index: int) -> str:
        names = [name for name, _ in self._members()]
        if not -len(names) <= index < len(names):
            raise IndexError(f"{type(self).__name__}: got index {index} of {len(names)} modules")
        return names[index]

    def __len__(self) -> int:
        return len(self._members())

    def __iter__(self) -> Iterator[Module]:
        return (module for _, module in self._members())

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(*self._kept(self._members()[index]))
        return getattr(self, self._at(index))

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._at(index), module)

    def append(self, module: Module) -> Any:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Add modules at the end."""
        for module in modules:
            self.append(module)
        return self


class Sequential(_Row):
    """Modules one after the other: y = fₙ(… f₂(f₁(x))); a dictionary gives them names.

    >>> Sequential(Module(), Module())
    Sequential(
      (0): Module()
      (1): Module()
    )
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            self.extend(modules)

    def _kept(self, named: list[tuple[str, Module]]) -> tuple[Mapping[str, Module]]:
        return (dict(named),)

    def forward(self, x: Any) -> Any:
        """fₙ(… f₂(f₁(x)))"""
        for module in self:
            x = module(x)
        return x


class ModuleList(_Row):
    """A list of modules, whose parameters its owner then has; what they compute is up to that."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def _kept(self, named: list[tuple[str, Module]]) -> tuple[list[Module]]:
        return ([module for _, module in named],)

    def __repr__(self) -> str:
        parts = []
        for text, run in itertools.groupby(enumerate(self), key=lambda item: repr(item[1])):
            places = [i for i, _ in run]
            first, last = places[0], places[-1]
            if first == last:
                parts.append(f"({first}): {text}")
            else:
                parts.append(f"({first}-{last}): {len(places)} x {text}")
        return _shown("ModuleList", "", parts)
