r"""Gradient descent and its relatives, each a formula per parameter, in PyTorch's arithmetic.

The formulas are entry by entry, so it does not matter to them where one parameter ends and the
next begins. At its first step an optimiser therefore moves the parameters that it steps together
into a block of memory, and computes on that, in pieces: several times faster than a fresh array for
every operation. Where there are worker threads, each takes some of the pieces. Now and then an
optimiser looks for numbers too small to matter, which would slow down all that follows.
"""

import math
from collections.abc import Callable, Iterable
from numbers import Real
from typing import Any

from minigrad import kernels
from minigrad.backend import Array, array_module, keep_freed_memory, share_out
from minigrad.creation import tensor
from minigrad.engine import enable_grad, mark_edited
from minigrad.errors import ArgumentError, CheckpointError, DTypeError
from minigrad.optim.block import FORGET_EVERY, PIECE, SHARED, Block, forget_traces
from minigrad.tensor import Tensor


class Optimizer:
    """What the algorithms share: parameter groups, state, and the walk over the parameters.

    An algorithm states its `defaults`, the buffers that it keeps per entry, and `update`, its
    formula on flat arrays.
    """

    def __init__(self, params: Iterable, defaults: dict[str, Any]) -> None:
        keep_freed_memory()
        self.defaults = defaults
        self.state: dict[Tensor, dict[str, Any]] = {}
        self.param_groups: list[dict[str, Any]] = []
        self._blocks: list[Block] = []
        if not isinstance(params, Iterable):
            kind = type(params).__name__
            raise DTypeError(f"optimizer: params: got {kind}; expected model.parameters()")
        groups = [params] if isinstance(params, Tensor) else list(params)
        if not groups:
            raise ArgumentError("optimizer: params: got none; expected at least one parameter")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Step further parameters too: {"params": [...], and options of their own}."""
        params = group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        known = {p for g in self.param_groups for p in g["params"]}
        for p in params:
            if not isinstance(p, Tensor) or not p.is_leaf or p.dtype.kind != "f":
                raise DTypeError(f"optimizer: params: got {p!r}; expected leaf tensors of floats")
            if p in known:
                raise ArgumentError("optimizer: params: a parameter is in more than one group")
        self.param_groups.append({**self.defaults, **group, "params": params})

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients (or make them zero)."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none or p.grad is None:
                    p.grad = None
                else:
                    p.grad = Tensor(array_module(p.array).zeros_like(p.array))

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Move every parameter that has a gradient. `closure` computes the loss again first."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        blocks = []
        for group in self.param_groups:
            moving = [p for p in group["params"] if p.grad is not None]
            held = [b for b in self._blocks if b.still_holds(moving, self.buffers(group))]
            for block in held or self._new_blocks(moving, group):
                self._advance(block, group)
                blocks.append(block)
        self._blocks = blocks
        return loss

    def _new_blocks(self, params: list[Tensor], group: dict[str, Any]) -> list[Block]:
        """A block for each element type, device and number of steps so far."""
        kinds: dict[tuple, list[Tensor]] = {}
        for p in params:
            steps = self._state(p, group)["step"]
            kinds.setdefault((p.dtype, p.device, steps), []).append(p)
        blocks = []
        for alike in kinds.values():
            piece = SHARED if self.kernel(alike[0].array, group) else PIECE
            blocks.append(Block(alike, [self.state[p] for p in alike], piece))
        return blocks

    def _state(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        state = self.state.setdefault(p, {"step": 0})
        for name in self.buffers(group):  # an option may have been changed since the last step
            if name not in state:
                state[name] = array_module(p.array).zeros_like(p.array)
        return state

    def _advance(self, block: Block, group: dict[str, Any]) -> None:
        block.step += 1
        pieces = list(block.pieces())
        advance = lambda i, n: self._advance_pieces(pieces[i::n], block.scratch(i), block, group)
        share_out(advance) if block.is_shared else advance(0, 1)
        for p in block.params:
            self.state[p]["step"] = block.step
        mark_edited(block.values)

    def _advance_pieces(
        self, pieces: list[tuple], scratches: Array, block: Block, group: dict[str, Any]
    ) -> None:
        for w, g, state in pieces:
            spare, scratch = scratches[0, : w.size], scratches[1, : w.size]
            if group["maximize"]:
                g = -g
            if group["weight_decay"]:
                g = self.decay(w, g, spare, group)
            self.update(w, g, state, scratch, block.step, group)
            if block.step % FORGET_EVERY == 0:
                for a in (w, *state.values()):
                    forget_traces(a, scratch)

    def buffers(self, group: dict[str, Any]) -> tuple[str, ...]:
        """The names of the arrays kept per entry."""
        raise NotImplementedError

    def kernel(self, w: Array, group: dict[str, Any]) -> Callable | None:
        """What computes the update in one pass through memory, if there is such a thing."""
        return None

    def update(
        self, w: Array, g: Array, state: dict[str, Array], scratch: Array, t: int, group: dict
    ) -> None:
        """Step t of the algorithm on flat arrays: change `w`, and what is in `state`, in place."""
        raise NotImplementedError

    def decay(self, w: Array, g: Array, spare: Array, group: dict[str, Any]) -> Array:
        """g + λ w: the gradient of the penalty λ/2 ‖w‖² is coupled to that of the loss."""
        array_module(w).multiply(w, group["weight_decay"], out=spare)
        spare += g
        return spare

    # ------------------------------------------------------------ saving

    def state_dict(self) -> dict[str, Any]:
        """Everything but the parameters themselves, which are numbered in order."""
        number = {p: i for i, p in enumerate(p for g in self.param_groups for p in g["params"])}
        state = {
            number[p]: {k: v if k == "step" else Tensor(v.copy()) for k, v in s.items()}
            for p, s in self.state.items()
        }
        groups = [{**g, "params": [number[p] for p in g["params"]]} for g in self.param_groups]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from where `state_dict` was taken.

        Raises CheckpointError, with all that does not fit, and then nothing is changed.
        """
        if not {"state", "param_groups"} <= set(state_dict):
            raise CheckpointError(
                f"load_state_dict: got {sorted(map(str, state_dict))}; expected 'state' and "
                "'param_groups'"
            )
        saved = state_dict["param_groups"]
        sizes = [len(g["params"]) for g in self.param_groups]
        if [len(g["params"]) for g in saved] != sizes:
            raise CheckpointError(
                f"load_state_dict: got groups of {[len(g['params']) for g in saved]} parameters; "
                f"expected {sizes}"
            )
        params = [p for g in self.param_groups for p in g["params"]]
        state, problems = {}, []
        for i, entries in state_dict["state"].items():
            if not 0 <= int(i) < len(params):
                problems.append(f"parameter {i}: expected 0 to {len(params) - 1}")
                continue
            p = params[int(i)]
            state[p] = {
                k: int(v) if k == "step" else tensor(v, dtype=p.dtype, device=p.device).array
                for k, v in entries.items()
            }
            problems += [
                f"{k} of parameter {i}: got shape {v.shape}; expected {p.shape}"
                for k, v in state[p].items()
                if k != "step" and v.shape != p.shape
            ]
        for group, other in zip(self.param_groups, saved, strict=True):
            needed = {"step", *self.buffers({**group, **other})}
            problems += [
                f"a parameter: got {', '.join(state[p])}; expected also {', '.join(missing)}"
                for p in group["params"]
                if p in state and (missing := sorted(needed - state[p].keys()))
            ]
        if problems:
            raise CheckpointError(
                "load_state_dict: the state does not fit the parameters; nothing was loaded:\n  "
                + "\n  ".join(problems)
            )
        self.state, self._blocks = state, []
        for group, other in zip(self.param_groups, saved, strict=True):
            group.update({k: v for k, v in other.items() if k != "params"})


def _check(name: str, **bounds: tuple[float, float]) -> None:
    """Each value lies in [0, its bound)."""
    for key, (value, bound) in bounds.items():
        if not isinstance(value, Real) or not 0 <= value < bound:
            raise ArgumentError(
                f"{name}: {key}: got {value!r}; expected a number, 0 ≤ {key} < {bound}"
            )


class SGD(Optimizer):
    r"""Stochastic gradient descent, with momentum if asked for.

    v ← μ v + (1 - dampening) g  (v ← g at the first step),  w ← w - η v,
    or w ← w - η (g + μ v) if `nesterov`; g includes `weight_decay` · w.
    Source: Sutskever et al., ICML 2013.

    >>> from minigrad import tensor
    >>> w = tensor([1.0], dtype="float64", requires_grad=True)
    >>> (w * 2.0).sum().backward()
    >>> SGD([w], lr=0.1).step()
    >>> w.item()
    0.8
    """

    def __init__(
        self, params: Iterable, lr: float = 1e-3, momentum: float = 0.0, dampening: float = 0.0,
        weight_decay: float = 0.0, nesterov: bool = False, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        _check("SGD", lr=(lr, math.inf), momentum=(momentum, math.inf))
        _check("SGD", weight_decay=(weight_decay, math.inf))
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ArgumentError("SGD: nesterov: needs momentum > 0 and dampening 0")
        super().__init__(
            params,
            {"lr": lr, "momentum": momentum, "dampening": dampening,
             "weight_decay": weight_decay, "nesterov": nesterov, "maximize": maximize},
        )  # fmt: skip

    def buffers(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def update(
        self, w: Array, g: Array, state: dict[str, Array], scratch: Array, t: int, group: dict
    ) -> None:
        xp, momentum = array_module(w), group["momentum"]
        if momentum:
            v = state["momentum_buffer"]
            if t == 1:
                v[...] = g
            else:
                v *= momentum
                v += xp.multiply(g, 1 - group["dampening"], out=scratch)
            if group["nesterov"]:
                xp.multiply(v, momentum, out=scratch)
                scratch += g
            else:
                scratch[...] = v
            g = scratch
        w -= xp.multiply(g, group["lr"], out=scratch)


class RMSprop(Optimizer):
    r"""Gradients divided by a running root mean square.

    s ← α s + (1 - α) g²,  w ← w - η g / (√s + ε);
    `centered` uses √(s - m²) with m the running mean; `momentum` accumulates the quotients.
    Source: Tieleman and Hinton, 2012; Graves, arXiv 1308.0850 (centered).
    """

    def __init__(
        self, params: Iterable, lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
        weight_decay: float = 0.0, momentum: float = 0.0, centered: bool = False,
        *, maximize: bool = False,
    ) -> None:  # fmt: skip
        _check("RMSprop", lr=(lr, math.inf), eps=(eps, math.inf), momentum=(momentum, math.inf))
        _check("RMSprop", alpha=(alpha, math.inf), weight_decay=(weight_decay, math.inf))
        super().__init__(
            params,
            {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay,
             "momentum": momentum, "centered": centered, "maximize": maximize},
        )  # fmt: skip

    def buffers(self, group: dict[str, Any]) -> tuple[str, ...]:
        mean = ("grad_avg",) if group["centered"] else ()
        return "square_avg", *mean, *(("momentum_buffer",) if group["momentum"] else ())

    def update(
        self, w: Array, g: Array, state: dict[str, Array], scratch: Array, t: int, group: dict
    ) -> None:
        xp, s, alpha = array_module(w), state["square_avg"], group["alpha"]
        _add_square(s, g, alpha, scratch)
        if group["centered"]:
            m = state["grad_avg"]
            xp.subtract(g, m, out=scratch)
            scratch *= 1 - alpha
            m += scratch  # m ← α m + (1 - α) g
            xp.multiply(m, m, out=scratch)
            xp.subtract(s, scratch, out=scratch)
            xp.sqrt(scratch, out=scratch)
        else:
            xp.sqrt(s, out=scratch)
        scratch += group["eps"]
        xp.divide(g, scratch, out=scratch)
        if group["momentum"]:
            v = state["momentum_buffer"]
            v *= group["momentum"]
            v += scratch
            scratch[...] = v
        scratch *= group["lr"]
        w -= scratch


def _add_square(s: Array, g: Array, decay: float, scratch: Array) -> None:
    """s ← decay · s + (1 - decay) g²"""
    s *= decay
    array_module(s).multiply(g, 1 - decay, out=scratch)
    scratch *= g
    s += scratch


class Adam(Optimizer):
    r"""Momentum and a running root mean square, both corrected for starting at 0.

    m ← β₁ m + (1 - β₁) g,  s ← β₂ s + (1 - β₂) g²,
    w ← w - η (m / (1 - β₁ᵗ)) / (√(s / (1 - β₂ᵗ)) + ε).

    `weight_decay` is coupled, as in deck 000: λ w is added to g. `amsgrad` takes the largest s of
    all steps so far.
    Source: Kingma and Ba, arXiv 1412.6980; Reddi et al., ICLR 2018 (amsgrad).
    """

    def __init__(
        self, params: Iterable, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0.0, amsgrad: bool = False,
        *, maximize: bool = False,
    ) -> None:  # fmt: skip
        name = type(self).__name__
        _check(name, lr=(lr, math.inf), eps=(eps, math.inf), beta_1=(betas[0], 1))
        _check(name, beta_2=(betas[1], 1), weight_decay=(weight_decay, math.inf))
        super().__init__(
            params,
            {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
             "amsgrad": amsgrad, "maximize": maximize},
        )  # fmt: skip

    def buffers(self, group: dict[str, Any]) -> tuple[str, ...]:
        return "exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if group["amsgrad"] else ())

    def kernel(self, w: Array, group: dict[str, Any]) -> Callable | None:
        return None if group["amsgrad"] else kernels.find("adam", array_module(w), w.dtype)

    def update(
        self, w: Array, g: Array, state: dict[str, Array], scratch: Array, t: int, group: dict
    ) -> None:
        xp, m, s = array_module(w), state["exp_avg"], state["exp_avg_sq"]
        if adam := self.kernel(w, group):
            adam(w, g, m, s, group["lr"], group["betas"], group["eps"], t)
            return
        beta_1, beta_2 = group["betas"]
        m *= beta_1
        xp.multiply(g, 1 - beta_1, out=scratch)
        m += scratch
        _add_square(s, g, beta_2, scratch)
        if group["amsgrad"]:
            largest = state["max_exp_avg_sq"]
            s = xp.maximum(largest, s, out=largest)
        root = math.sqrt(1 - beta_2**t)
        xp.sqrt(s, out=scratch)
        scratch += group["eps"] * root
        xp.divide(m, scratch, out=scratch)
        scratch *= group["lr"] * root / (1 - beta_1**t)
        w -= scratch


class AdamW(Adam):
    r"""Adam with weight decay of its own: w ← (1 - η λ) w, then Adam's step without decay.

    Source: Loshchilov and Hutter, arXiv 1711.05101.
    """

    def __init__(
        self, params: Iterable, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 1e-2, amsgrad: bool = False,
        *, maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)

    def decay(self, w: Array, g: Array, spare: Array, group: dict[str, Any]) -> Array:
        """w ← (1 - η λ) w; the gradient stays what it is."""
        w *= 1 - group["lr"] * group["weight_decay"]
        return g
