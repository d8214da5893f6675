r"""The decks' wrong lines beside the right ones, each a function that runs, and what they cost.

What is shown of a pair is the last line of its two functions, so it is what ran.
"""

import inspect
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import minigrad
from minigrad import Tensor, logsumexp, nn, optim, tensor
from minigrad.data import DataLoader, Dataset
from minigrad.distributions import Bernoulli, Normal, kl_divergence
from minigrad.nn import functional as F

LN_2PI = math.log(2 * math.pi)


class Erratum(NamedTuple):
    """A wrong line and the right one, and a number that both come to."""

    deck: str
    what: str  # is wrong
    wrong: Callable
    right: Callable
    measure: str  # what the numbers are
    costs: tuple[str, str]  # with the wrong line, with the right one


def line_of(function: Callable) -> str:
    """The expression that a function returns, as it stands in the source."""
    last = inspect.getsource(function).rstrip().splitlines()[-1].strip()
    return last.removeprefix("return ")


def real(value: object) -> Tensor:
    """In float64."""
    return tensor(value, dtype=minigrad.float64)


# ---------------------------------------------------------------- 001: the draw


def draw_with_variance(mean: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    """Deck 001's line; DeZero's example has it too, and deck 003 says it in words."""
    return mean + log_var.exp() * eps


def draw_with_std(mean: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    """σ = e^(log_var / 2)"""
    return mean + (0.5 * log_var).exp() * eps


def kl_read(mean: Tensor, log_var: Tensor) -> Tensor:
    """What the loss says that a code costs."""
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var)


def draw() -> Erratum:
    """The KL of what is really drawn at log_var = -2, from the spread of a million draws."""
    mean, log_var, eps = real(0.0), real(-2.0), minigrad.randn(1_000_000, dtype=minigrad.float64)
    read, true = kl_read(mean, log_var).item(), []
    for line in (draw_with_variance, draw_with_std):
        z = line(mean, log_var, eps)
        true.append(kl_divergence(Normal(z.mean(), z.std()), Normal(real(0.0), 1.0)).item())
    return Erratum(
        "001, 003, DeZero", "σ² drawn where σ is meant", draw_with_variance, draw_with_std,
        "KL, nats: as read / of the draws",
        tuple(f"{read:.2f} / {t:.2f}" for t in true),
    )  # fmt: skip


# ---------------------------------------------------------------- 000: the equivalent convolution


def convolve_as_is(stretched: Tensor, weight: Tensor) -> Tensor:
    """k' = k, and no word of how it lies."""
    return F.conv2d(stretched, weight.transpose(0, 1))


def convolve_turned(stretched: Tensor, weight: Tensor) -> Tensor:
    """Turned by 180°; input and output channels change places in both."""
    return F.conv2d(stretched, weight.transpose(0, 1).flip((2, 3)))


def stretch(y: Tensor, stride: int, frame: int) -> Tensor:
    """y with stride - 1 zeros between its pixels, in a frame of zeros."""
    n, c, h, w = y.shape
    wide = np.zeros((n, c, stride * (h - 1) + 1 + 2 * frame, stride * (w - 1) + 1 + 2 * frame))
    inner = slice(frame, wide.shape[2] - frame, stride), slice(frame, wide.shape[3] - frame, stride)
    wide[:, :, inner[0], inner[1]] = y.numpy()
    return tensor(wide)


# i, k, s, p of the convolution that is transposed; the first three are the deck's
CASES = (4, 3, 1, 0), (5, 4, 1, 2), (5, 3, 2, 1), (6, 3, 1, 0), (7, 3, 2, 0), (9, 5, 2, 1), \
    (7, 4, 3, 0), (8, 2, 2, 0)  # fmt: skip


def convolution() -> Erratum:
    """The error of both ways against the transposed convolution, in eight cases."""
    found = []
    for line in (convolve_as_is, convolve_turned):
        errors = []
        for i, k, s, p in CASES:
            size = (i + 2 * p - k) // s + 1
            y, w = (
                minigrad.randn(*shape, dtype=minigrad.float64)
                for shape in ((2, 4, size, size), (4, 3, k, k))
            )
            with minigrad.lowering("matrix"):
                truth = F.conv_transpose2d(y, w, stride=s, padding=p)  # by Cᵀ itself
            off = (line(stretch(y, s, k - 1 - p), w) - truth).abs().max() / truth.abs().max()
            errors.append(off.item())
        found.append(f"{min(errors):.2g} to {max(errors):.2g}")
    return Erratum(
        "000, 001, 003", "the kernel's 180° left out", convolve_as_is, convolve_turned,
        "error / largest pixel, eight cases", tuple(found),
    )  # fmt: skip


def size_of_stretched(i: int, k: int, s: int, p: int) -> int:
    """Relationship 13 as deck 000 words it: i' is the size of the stretched input."""
    stretched = s * (i - 1) + 1
    return s * (stretched - 1) + k - 2 * p


def size_of_input(i: int, k: int, s: int, p: int) -> int:
    """i' is the size before; that of the stretched one is ĩ'."""
    return s * (i - 1) + k - 2 * p


def size() -> Erratum:
    """The deck's example, 3 pixels to 5."""
    found = (str(line(3, 3, 2, 1)) for line in (size_of_stretched, size_of_input))
    return Erratum(
        "000", "i' called the stretched size", size_of_stretched, size_of_input,
        "o' of i' = 3, k = 3, s = 2, p = 1", tuple(found),
    )  # fmt: skip


# ---------------------------------------------------------------- 002: formulas


def log_density_of_2_std(d: Tensor, std: Tensor) -> Tensor:
    """Deck 002's exponent, d² over 2σ."""
    return -0.5 * LN_2PI - std.log() - d.square() / (2 * std)


def log_density_of_2_var(d: Tensor, std: Tensor) -> Tensor:
    """d² over 2σ²"""
    return -0.5 * LN_2PI - std.log() - d.square() / (2 * std.square())


def density() -> Erratum:
    """What both integrate to at σ = 0.1, and the σ that each fits to draws of σ = 0.1."""
    grid = real(np.linspace(-4, 4, 80_001))
    d = 0.1 * minigrad.randn(10_000, dtype=minigrad.float64)
    found = []
    for line in (log_density_of_2_std, log_density_of_2_var):
        area = line(grid, real(0.1)).exp().sum().item() * 1e-4
        log_std = tensor(0.0, dtype=minigrad.float64, requires_grad=True)
        optimizer = optim.SGD([log_std], lr=0.1)
        for _ in range(300):
            optimizer.zero_grad()
            (-line(d, log_std.exp())).mean().backward()
            optimizer.step()
        found.append(f"{area:.3f} / {math.exp(log_std.item()):.4f}")
    return Erratum(
        "002", "2σ written for 2σ²", log_density_of_2_std, log_density_of_2_var,
        "∫ p(x) dx / σ fitted, where σ = 0.1", tuple(found),
    )  # fmt: skip


def kl_of_sigma(mu: Tensor, sigma: Tensor) -> Tensor:
    """Deck 002's code, whose `sigma` is ln σ²: given σ, as its name asks for."""
    return -0.5 * (1 + sigma - mu.square() - sigma.exp())


def kl_of_log_var(mu: Tensor, sigma: Tensor) -> Tensor:
    """The same with the logarithm of the variance."""
    return -0.5 * (1 + sigma.square().log() - mu.square() - sigma.square())


def name() -> Erratum:
    """A code that is known to 0.3."""
    found = (f"{line(real(0.0), real(0.3)).item():.3f}" for line in (kl_of_sigma, kl_of_log_var))
    return Erratum(
        "002", "the log-variance called sigma", kl_of_sigma, kl_of_log_var,
        "KL at σ = 0.3, nats", tuple(found),
    )  # fmt: skip


def kl_of_variance(mu: Tensor, Sigma: Tensor) -> Tensor:
    """Deck 004's formula takes Σ for a log-variance, and the proof below it for a variance."""
    return 0.5 * (Sigma.exp() + mu.square() - 1 - Sigma)


def kl_of_its_log(mu: Tensor, Sigma: Tensor) -> Tensor:
    """As the proof has it."""
    return 0.5 * (Sigma + mu.square() - 1 - Sigma.log())


def twice() -> Erratum:
    """The same code by its variance."""
    found = (
        f"{line(real(0.0), real(0.09)).item():.3f}" for line in (kl_of_variance, kl_of_its_log)
    )
    return Erratum(
        "004", "Σ a log-variance, then a variance", kl_of_variance, kl_of_its_log,
        "KL at Σ = 0.09, nats", tuple(found),
    )  # fmt: skip


# ------------------- z ~ N(0, 1), x|z ~ N(z, ¼): then z|x ~ N(0.8 x, 0.2), x ~ N(0, 1.25)

X = real(1.0)
PRIOR, POSTERIOR = Normal(real(0.0), 1.0), Normal(real(0.8), math.sqrt(0.2))


def joint(z: Tensor) -> Tensor:
    """ln p(x|z) p(z)"""
    return Normal(z, 0.5).log_prob(X) + PRIOR.log_prob(z)


def one_draw(z: Tensor, step: float) -> Tensor:
    """Deck 002: log P(x|z) P(z) with z ~ P(z|x), and no integral."""
    return joint(z)


def all_draws(z: Tensor, step: float) -> Tensor:
    """ln ∫ p(x|z) p(z) dz, by a sum over a grid."""
    return logsumexp(joint(z), dim=0) + math.log(step)


def integral() -> Erratum:
    """ln p(x) of one x, known to be ln N(1; 0, 1.25)."""
    drawn = one_draw(POSTERIOR.sample((10_000,)), 0.0)
    grid = all_draws(real(np.linspace(-8, 8, 1601)), 0.01).item()
    truth = Normal(real(0.0), math.sqrt(1.25)).log_prob(X).item()
    return Erratum(
        "002", "p(x) without the integral", one_draw, all_draws,
        f"ln p(x), which is {truth:.3f}",
        (f"{drawn.mean().item():.2f} ± {drawn.std().item():.2f}", f"{grid:.3f}"),
    )  # fmt: skip


def kl_of_comment(q: Normal) -> Tensor:
    """Deck 004's comment above its KL."""
    return kl_divergence(q, POSTERIOR)


def kl_of_code(q: Normal) -> Tensor:
    """Its code."""
    return kl_divergence(q, PRIOR)


def comment() -> Erratum:
    """At the best encoder there is."""
    found = (f"{line(POSTERIOR).item():.3f}" for line in (kl_of_comment, kl_of_code))
    return Erratum(
        "004", "the comment's KL to P(z|X)", kl_of_comment, kl_of_code,
        "that KL of the best q, nats", tuple(found),
    )  # fmt: skip


def kl_reported(mean: Tensor, log_var: Tensor) -> Tensor:
    """PyTorch-VAE's "KLD" beside its loss, in which the KL has the right sign."""
    return 0.5 * (1 + log_var - mean.square() - log_var.exp())


def upside_down() -> Erratum:
    """A code that is known to e⁻¹: no divergence is below 0."""
    code = real(0.0), real(-2.0)
    found = (f"{line(*code).item():.3f}" for line in (kl_reported, kl_read))
    return Erratum(
        "PyTorch-VAE", "the KL reported upside down", kl_reported, kl_read,
        "KL at ln σ² = -2, nats", tuple(found),
    )  # fmt: skip


# ---------------------------------------------------------------- 003: sparsity, gradients


def sparsity_swapped(desired: Tensor, actual: Tensor) -> Tensor:
    """Deck 003 gives the hat to what is desired; its KL(ρ ‖ ρ̂) then reads this way round."""
    return kl_divergence(Bernoulli(actual), Bernoulli(desired))


def sparsity(desired: Tensor, actual: Tensor) -> Tensor:
    """KL(desired ‖ measured), which is ∞ for a neuron that is dead."""
    return kl_divergence(Bernoulli(desired), Bernoulli(actual))


def swapped() -> Erratum:
    """How strongly a neuron that is on once in 10,000 times is called back to once in 20."""
    found = []
    for line in (sparsity_swapped, sparsity):
        actual = tensor(1e-4, dtype=minigrad.float64, requires_grad=True)
        line(real(0.05), actual).backward()
        found.append(f"{actual.grad.item():.1f}")
    return Erratum(
        "003", "KL sparsity the wrong way round", sparsity_swapped, sparsity,
        "slope at 0.0001, desired 0.05", tuple(found),
    )  # fmt: skip


def activity_of_example(activations: Tensor) -> Tensor:
    """Deck 003: over the neurons of a layer, for each input."""
    return activations.mean(1)


def activity_of_neuron(activations: Tensor) -> Tensor:
    """Over the inputs of a batch, for each neuron."""
    return activations.mean(0)


def activity() -> Erratum:
    """A layer of 20 neurons of which one is always on and the others never: useless, not sparse."""
    a = np.full((100, 20), 1e-3)
    a[:, 0] = 0.05 * 20 - 19e-3
    found = (
        f"{sparsity(real(0.05), line(real(a))).mean().item():.3f}"
        for line in (activity_of_example, activity_of_neuron)
    )
    return Erratum(
        "003", "activity averaged over neurons", activity_of_example, activity_of_neuron,
        "penalty, 1 of 20 neurons always on", tuple(found),
    )  # fmt: skip


def draw_without_gradient(q: Normal) -> Tensor:
    """Deck 003: a draw has no derivative, and the trick would make backpropagation needless."""
    return q.sample((100_000,))


def draw_with_gradient(q: Normal) -> Tensor:
    """μ + σ ε: the trick is there so that backpropagation can go through."""
    return q.rsample((100_000,))


def backpropagation() -> Erratum:
    """The gradient of E z² in μ = 1, which is 2."""
    found = []
    for line in (draw_without_gradient, draw_with_gradient):
        mean = tensor(1.0, dtype=minigrad.float64, requires_grad=True)
        loss = line(Normal(mean, 0.5)).square().mean()
        if loss.requires_grad:
            loss.backward()
        found.append("none" if mean.grad is None else f"{mean.grad.item():.2f}")
    return Erratum(
        "003", "reparameterised to spare backprop", draw_without_gradient, draw_with_gradient,
        "gradient that reaches μ (it is 2)", tuple(found),
    )  # fmt: skip


FORMULAS = (
    convolution, size, draw, density, name, integral, swapped, activity, backpropagation, twice,
    comment, upside_down,
)  # fmt: skip

# ---------------------------------------------------------------- what needs training


def last_layer_tanh() -> nn.Module:
    """Deck 000's autoencoder, of pixels in [0, 1]."""
    return nn.Tanh()


def last_layer_sigmoid() -> nn.Module:
    """The range of the data."""
    return nn.Sigmoid()


def in_order(data: Dataset) -> DataLoader:
    """Deck 000's: the order of the file, in every epoch."""
    return DataLoader(data, 32, shuffle=False)


def mixed(data: Dataset) -> DataLoader:
    """Another order in every epoch."""
    return DataLoader(data, 32, shuffle=True)


def of_two_kinds(gaussian: float, bernoulli: float, narrow_gaussian: float) -> bool:
    """Deck 002 sets the ELBO of a density beside that of a probability."""
    return gaussian > bernoulli


def of_one_kind(gaussian: float, bernoulli: float, narrow_gaussian: float) -> bool:
    """Two densities of the same pixels."""
    return gaussian > narrow_gaussian


def cross_entropy(p: Tensor, x: Tensor) -> Tensor:
    """Deck 001 says p(x|z) = N(μ, I), and takes this."""
    return F.binary_cross_entropy(p, x, reduction="sum")


def gaussian(p: Tensor, x: Tensor) -> Tensor:
    """-ln N(x; p, I)"""
    return 0.5 * ((x - p).square() + LN_2PI).sum()


def bound_as_loss(miss: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """Deck 002's Loss, to be minimised: the squared error should rise, and the KL too."""
    return -miss.square().sum() + 0.5 * (1 + log_var - mean.square() - log_var.exp()).sum()


def negative_bound(miss: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """The same, the other way up."""
    return miss.square().sum() - 0.5 * (1 + log_var - mean.square() - log_var.exp()).sum()


SLIPS = (
    "000  N(0, 0.1) has the standard deviation in second place, N((190, 70), (100, 50)) variances",
    "000  p(z|x) for the decoder: p(x|z); KL[(q, p), p(z|x)]: KL[q(z|x) ‖ p(z|x)]",
    "000  “define” and “change the architecture” show one and the same network",
    "002  L(θ|X) = p(x₁|θ) p(x₁|θ) …: the numbers run, p(x₁|θ) p(x₂|θ) …",
    "003  p_encoder(x|h): that is the decoder",
    "004  nb_epoch and std= are Keras 1; Keras 2 says epochs and stddev=",
)
