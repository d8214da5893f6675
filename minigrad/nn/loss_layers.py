"""Losses as modules: what is minimised, with its options, is a part of a model like any other."""

from typing import Any

from minigrad.nn import functional as F
from minigrad.nn.layers import Function
from minigrad.tensor import Tensor


class Loss(Function):
    """A loss of an input and a target; `reduction` is "mean", "sum" or "none"."""

    def __init__(self, weights: dict[str, Tensor | None] | None = None, **options: Any) -> None:
        super().__init__(**options)
        for name, weight in (weights or {}).items():
            self.register_buffer(name, weight)
            self._options += (name,)


class MSELoss(Loss):
    """(x - t)², reduced"""

    function = staticmethod(F.mse_loss)

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)


class L1Loss(Loss):
    """|x - t|, reduced"""

    function = staticmethod(F.l1_loss)

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)


class SmoothL1Loss(Loss):
    """|x - t| - β/2, and (x - t)² / 2β where |x - t| < β, reduced"""

    function = staticmethod(F.smooth_l1_loss)

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction=reduction, beta=beta)


class HuberLoss(Loss):
    """δ (|x - t| - δ/2), and (x - t)² / 2 where |x - t| < δ, reduced"""

    function = staticmethod(F.huber_loss)

    def __init__(self, *, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction, delta=delta)


class KLDivLoss(Loss):
    """t (ln t - x), reduced, of log-probabilities x and probabilities t"""

    function = staticmethod(F.kl_div)

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction=reduction, log_target=log_target)


class BCELoss(Loss):
    """-w (t ln x + (1 - t) ln(1 - x)), reduced, of probabilities"""

    function = staticmethod(F.binary_cross_entropy)

    def __init__(self, weight: Tensor | None = None, *, reduction: str = "mean") -> None:
        super().__init__({"weight": weight}, reduction=reduction)


class BCEWithLogitsLoss(Loss):
    """-w (p t ln σ(x) + (1 - t) ln(1 - σ(x))), reduced"""

    function = staticmethod(F.binary_cross_entropy_with_logits)

    def __init__(
        self, weight: Tensor | None = None,
        *, reduction: str = "mean", pos_weight: Tensor | None = None,
    ) -> None:  # fmt: skip
        super().__init__({"weight": weight, "pos_weight": pos_weight}, reduction=reduction)


class CrossEntropyLoss(Loss):
    """-Σ w_c t_c ln softmax(x)_c, reduced; the target holds class indices or probabilities"""

    function = staticmethod(F.cross_entropy)

    def __init__(
        self, weight: Tensor | None = None,
        *, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(
            {"weight": weight},
            ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing,
        )  # fmt: skip


class NLLLoss(Loss):
    """-w x_t, reduced, of log-probabilities"""

    function = staticmethod(F.nll_loss)

    def __init__(
        self, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__({"weight": weight}, ignore_index=ignore_index, reduction=reduction)
