r"""What a VAE asks of the Gaussian: density, covariance, KL, likelihood, the gradient of a draw.

1. Density and draws of deck 000's bells. What to see: the histogram fills the curve; a narrow bell
   is higher than 1, since a density is no probability.
2. Weight and height of 1,000 adults. The deck's two points alone give its E21 = 100, the deck's
   matrix has 25: a thousand draws from that one find it again. Beside it the twin without E21.
3. KL by four closed forms, each against an integral over a grid and against random draws with
   their standard error, which shrinks as 1/√n.
4. A coin's and a bell's most likely parameters, found by gradient descent: mean and variance of the
   data, as the closed form says.
5. The gradient of E ‖z‖² in the mean of z, in two ways. Through the draw z = μ + σ ε its variance
   is 4σ², in any number of dimensions. Through the score, ‖z‖² ∂ ln q(z)/∂μ, it grows without
   bound, with the dimensions and as σ shrinks. Taking off the average helps, and does not cure.
"""

import argparse
import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

import minigrad
from demos.common import expect_at_least, guide, plain_parser, run, table
from demos.gaussian_pictures import (
    draw_bells,
    draw_bodies,
    draw_divergences,
    draw_fits,
    draw_gradients,
    numbers,
)
from minigrad import Tensor, optim, reparameterize
from minigrad.distributions import (
    Bernoulli,
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    kl_divergence,
)
from minigrad.gradcheck import check_grads

COURSE = "V1, V2, V3, V6, V7"
TIME = "10 seconds"

SEEN = {
    "density.png": "The draws' histogram fills the curve; a narrow bell is higher than 1.",
    "weight_and_height.png": "With E21 the hill and its rings lean; the twin without it stands "
    "straight.",
    "divergence.png": "Rings, sums over a grid, lie on the closed form, and so do the draws within "
    "their bars; errors made fall as those stated do, as 1/√n.",
    "likelihood.png": "Descent ends where the closed form says: the share of ones, the data's mean "
    "and standard deviation.",
    "gradients.png": "Through the draw the variance stays at 4σ²; through the score it grows with "
    "the dimensions and as σ shrinks.",
}


def flags() -> argparse.Namespace:
    """The command line."""
    made = plain_parser(__doc__)
    made.add_argument("--draws", type=int, help="in the histograms and for KL (1,000,000)")
    args = made.parse_args()
    if args.draws is None:
        args.draws = 10_000 if args.quick else 1_000_000
    expect_at_least(args, draws=1000, seed=0)
    return args


# ---------------------------------------------------------------- V1: density and draws

BELLS = (0.0, 0.1), (0.1, 0.5)  # μ, σ
ENCODER = ((0.0, -0.01, 0.2), (0.05, 0.01, 0.02)), (0.03, -0.015, 0.197)  # (μ, σ), the deck's z


def bells(args: argparse.Namespace) -> str:
    """The deck's densities, and the mean and standard deviation of draws from them."""
    real = partial(numbers, device=args.device)
    rows, drawn = [], {}
    for mean, std in BELLS:
        p = Normal(real(mean), real(std))
        x = p.sample((args.draws,))
        drawn[f"N({mean:g}, {std:g}²)"] = p, x
        errors = std / math.sqrt(args.draws), std / math.sqrt(2 * args.draws)
        found = x.mean().item(), errors[0], x.std().item(), errors[1]
        rows.append((f"{mean:g}", f"{std:g}", p.log_prob(p.mean).exp().item(), *found))
    (means, stds), z = ENCODER
    code, z = Normal(real(*means), real(*stds)), real(*z)
    away, nats = (z - code.mean) / code.stddev, code.log_prob(z)
    draw_bells(drawn, code, z, args.out / "gaussian" / "density.png")
    columns = "μ", "σ", "p(μ)", "mean of draws", "±", "std of draws", "±"
    text = f"density and {args.draws:,} draws:\n\n{table(columns, rows)}"
    rows = [
        (f"{m:g}", f"{s:g}", f"{v:g}", f"{u:+.2f}", f"{n:.2f}")
        for m, s, v, u, n in zip(
            means, stds, z.tolist(), away.tolist(), nats.tolist(), strict=True
        )
    ]  # fmt: skip
    columns = "μ", "σ", "the deck's z", "(z - μ) / σ", "ln p(z)"
    return f"{text}\n\nan encoder's answer, and a code drawn from it:\n\n{table(columns, rows)}"


# ---------------------------------------------------------------- V2: weight and height

MEAN, COVARIANCE = (190.0, 70.0), ((100.0, 25.0), (25.0, 50.0))  # lb and inches
TWO_POINTS = (200.0, 80.0), (180.0, 60.0)


def covariance(x: Tensor, mean: Tensor) -> Tensor:
    """E[(x - μ)(x - μ)ᵀ] over the rows of x (n, p), around a mean that is known."""
    d = x - mean
    return d.T @ d / float(len(x))


def bodies(args: argparse.Namespace) -> str:
    """E21 from two points and from 1,000 draws, and what is lost without it."""
    real = partial(numbers, device=args.device)
    mean, sigma = real(*MEAN), real(*COVARIANCE)
    body = MultivariateNormal(mean, sigma)
    twin = MultivariateNormal(mean, real((100.0, 0.0), (0.0, 50.0)))
    x = body.sample((1000,))
    two, thousand = covariance(real(*TWO_POINTS), mean), covariance(x, mean)
    rows = []
    for i, j in ((0, 0), (1, 0), (1, 1)):
        error = math.sqrt((sigma[i, i] * sigma[j, j] + sigma[i, j].square()).item() / len(x))
        found = (m[i, j].item() for m in (two, sigma, thousand))
        rows.append((f"E{i + 1}{j + 1}", *(f"{v:.2f}" for v in (*found, error))))
    r2, r, r1000 = (
        (m[0, 1] / (m[0, 0] * m[1, 1]).sqrt()).item() for m in (two, sigma, thousand)
    )  # fmt: skip
    error = (1 - r * r) / math.sqrt(len(x))
    rows.append(("correlation", *(f"{v:.3f}" for v in (r2, r, r1000, error))))
    nats = kl_divergence(body, twin).item()
    draw_bodies(body, twin, x, args.out / "gaussian" / "weight_and_height.png")
    columns = "", "two points", "the deck's Σ", "1,000 draws", "±"
    return (
        f"weight and height, N((190, 70), Σ):\n\n{table(columns, rows)}\n\n"
        f"KL to the independent twin: {nats:.4f} nats = -½ ln(1 - {r:.3f}²), what one tells of the "
        "other"
    )


# ---------------------------------------------------------------- V3: four closed forms


class Form(NamedTuple):
    """A closed form as a deck writes it, in NumPy, and the two distributions it is for."""

    name: str
    formula: Callable[[], float]
    p: Distribution
    q: Distribution


MU, STD, SIGMA = np.array([0.5, -1.0]), np.array([0.4, 1.6]), np.array([[1.0, 0.5], [0.5, 0.6]])
LOG_VAR = np.array([-2.0, 0.5])


def forms(device: str = "cpu") -> list[Form]:
    """V3's four, each with numbers of its own."""
    real = partial(numbers, device=device)
    m1, s1, m2, s2 = 1.0, 0.5, -0.5, 2.0
    standard = Independent(Normal(real(0.0, 0.0), real(1.0, 1.0)), 1)
    multivariate = MultivariateNormal(real(0.0, 0.0), real(np.eye(2)))
    mean = real(MU)
    return [
        Form(
            "½ (tr Σ + μᵀμ - k - ln det Σ)",
            lambda: 0.5 * (np.trace(SIGMA) + MU @ MU - 2 - np.log(np.linalg.det(SIGMA))),
            MultivariateNormal(mean, real(SIGMA)), multivariate,
        ),
        Form(
            "½ Σ (σ² + μ² - 1 - ln σ²)",
            lambda: 0.5 * np.sum(STD**2 + MU**2 - 1 - np.log(STD**2)),
            Independent(Normal(mean, real(STD)), 1), standard,
        ),
        Form(
            "½ Σ (exp(log_var) + μ² - 1 - log_var)",
            lambda: 0.5 * np.sum(np.exp(LOG_VAR) + MU**2 - 1 - LOG_VAR),
            Independent(Normal(mean, log_var=real(LOG_VAR)), 1), standard,
        ),
        Form(
            "ln σ₂/σ₁ + (σ₁² + (μ₁ - μ₂)²) / 2σ₂² - ½",
            lambda: np.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - 0.5,
            Normal(real(m1), real(s1)), Normal(real(m2), real(s2)),
        ),
    ]  # fmt: skip


def quadrature(p: Distribution, q: Distribution, points: int = 301, width: float = 9.0) -> float:
    """∫ p (ln p - ln q) by adding up a grid that reaches `width` σ to each side.

    Of a smooth function that dies away at both ends, the trapezoids' sum is exact to rounding as
    soon as the grid is fine enough to see it.
    """
    means, stds = (np.atleast_1d(x.cpu().numpy()) for x in (p.mean, p.stddev))
    axes = np.linspace(means - width * stds, means + width * stds, points).T
    cell = math.prod(axis[1] - axis[0] for axis in axes)
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, *p.event_shape)
    grid = numbers(grid, device=p.mean.device)
    log_p = p.log_prob(grid)
    return (log_p.exp() * (log_p - q.log_prob(grid))).sum().item() * cell


def divergences(args: argparse.Namespace) -> str:
    """KL four times: by the deck's formula, by ours, by quadrature, by draws."""
    rows, errors = [], {}
    counts = [n for n in (10, 100, 1000, 10_000, 100_000, 1_000_000) if n <= args.draws]
    for form in forms(args.device):
        p, q = form.p, form.q
        truth, ours = float(form.formula()), kl_divergence(p, q).item()
        gap = max(abs(ours - truth), abs(quadrature(p, q) - truth))
        found = [kl_divergence(p, q, samples=n) for n in counts]
        errors[form.name] = [
            (n, abs(m.estimate.item() - truth), m.standard_error.item())
            for n, m in zip(counts, found, strict=True)
        ]
        last = found[-1].estimate.item(), found[-1].standard_error.item()
        rows.append((form.name, truth, f"{gap:.0e}", *(f"{v:.5f}" for v in last)))
    repeats = kl_divergence(p.expand((1000,)), q, samples=1000)
    off = ((repeats.estimate - truth).abs() / repeats.standard_error).cpu().numpy()
    draw_divergences(quadrature, errors, args.out / "gaussian" / "divergence.png")
    columns = "closed form", "nats", "largest gap", f"{counts[-1]:,} draws", "±"
    return (
        "KL by the deck's formula; how far kl_divergence and quadrature are from it; by draws:\n\n"
        f"{table(columns, rows)}\n\nof 1,000 estimates from 1,000 draws each, "
        f"{(off < 1).mean():.1%} lie within one standard error of the truth, "
        f"{(off < 2).mean():.1%} within two"
    )


# ---------------------------------------------------------------- V6: the most likely parameters


def descend(
    parameters: list[Tensor], loss: Callable[[], Tensor], lr: float, steps: int
) -> np.ndarray:
    """Gradient descent; the parameters before each step and after the last, a row each."""
    optimizer = optim.SGD(parameters, lr=lr)
    path = [minigrad.stack(parameters).detach()]
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        path.append(minigrad.stack(parameters).detach())
    return minigrad.stack(path).cpu().numpy()


def fits(args: argparse.Namespace) -> str:
    """Maximum likelihood of a coin and of a bell, by descent and in closed form."""
    real = partial(numbers, device=args.device)
    coins = Bernoulli(real(0.3)).sample((200,))
    x = Normal(real(0.1), real(0.5)).sample((200,))
    logit, mean, log_var = (real(start).requires_grad_() for start in (2.5, 1.5, 1.5))
    coin = descend([logit], lambda: -Bernoulli(logits=logit).log_prob(coins).mean(), 1.0, 300)
    bell = descend(
        [mean, log_var], lambda: -Normal(mean, log_var=log_var).log_prob(x).mean(), 0.2, 400
    )
    p = 1 / (1 + np.exp(-coin[:, 0]))
    path = np.stack([bell[:, 0], np.exp(bell[:, 1] / 2)], 1)  # μ, σ
    closed = coins.mean().item(), x.mean().item(), x.std(correction=0).item()
    rows = [
        (name, found, exact, f"{abs(found - exact):.0e}")
        for name, found, exact in zip(
            ("coin: p", "bell: μ", "bell: σ"), (p[-1], *path[-1]), closed, strict=True
        )
    ]  # fmt: skip
    data = coins.cpu().numpy(), x.cpu().numpy()
    draw_fits(*data, p, path, args.out / "gaussian" / "likelihood.png")
    columns = "most likely", "by descent", "closed form", "difference"
    return f"200 throws of a coin, 200 draws of a bell:\n\n{table(columns, rows)}"


# ---------------------------------------------------------------- V7: the gradient of a draw

AT = 1.0  # each entry of μ


def drawn_gradients(
    way: str, d: int, std: float, n: int, device: str = "cpu"
) -> np.ndarray:  # fmt: skip
    """n estimates, one draw each, of ∂/∂μ E ‖z‖² for z ~ N(μ, σ²) in d dimensions: (n, d)."""
    mean = minigrad.full((n, d), AT, dtype=minigrad.float64, device=device, requires_grad=True)
    q = Independent(Normal(mean, std), 1)
    if way == "through the draw":
        loss = q.rsample().square().sum(1)
    else:
        z = q.sample()
        baseline = d * (AT**2 + std**2) if way == "score - average" else 0.0
        loss = (z.square().sum(1) - baseline) * q.log_prob(z)
    loss.sum().backward()
    return mean.grad.cpu().numpy()


def expected_variance(way: str, d: int, std: float) -> float:
    """The variance of an entry of the gradient, from the moments of ε ~ N(0, 1).

    The score's entry is (S - b) ε / σ with S = ‖μ + σ ε‖², of which the term with this ε is A and
    the others, independent of it, are B; its mean is 2 μ.
    """
    m2, s2 = AT**2, std**2
    if way == "through the draw":
        return 4 * s2
    a, a2 = m2 + 3 * s2, m2**2 + 18 * m2 * s2 + 15 * s2**2  # E[A ε²], E[A² ε²]
    b, b2 = (d - 1) * (m2 + s2), (d - 1) * (4 * m2 * s2 + 2 * s2**2)  # E[B], Var[B]
    baseline = d * (m2 + s2) if way == "score - average" else 0.0
    second = a2 + 2 * a * b + b2 + b**2 - 2 * baseline * (a + b) + baseline**2
    return second / s2 - 4 * m2


WAYS = "through the draw", "score", "score - average"


def gradients(args: argparse.Namespace) -> str:
    """Measured and expected variances over dimensions and over σ."""
    drawn = 200_000 if args.quick else 4_000_000  # numbers for each estimate
    cases = [(d, 1.0) for d in (1, 3, 10, 30, 100, 300, 1000)]
    cases += [(10, std) for std in (0.03, 0.1, 0.3, 3.0)]
    measured, worst = {}, 0.0
    for d, std in tqdm(cases, desc="gradients of a draw", unit=" cases"):
        for way in WAYS:
            g = drawn_gradients(way, d, std, max(200, drawn // d // 4), args.device)
            measured[way, d, std] = g.var(0).mean()
            off = abs(g.mean() - 2 * AT) / (g.mean(1).std() / math.sqrt(len(g)))
            worst = max(worst, off)
    histogram = {way: drawn_gradients(way, 10, 1.0, 20_000, args.device)[:, 0] for way in WAYS}
    where = args.out / "gaussian" / "gradients.png"
    draw_gradients(measured, expected_variance, histogram, where)
    rows = [
        (
            f"{d}", f"{std:g}",
            *(f"{v:,.4g}" for way in WAYS for v in (
                measured[way, d, std], expected_variance(way, d, std)
            )),
        )
        for d, std in cases if d in (1, 10, 100, 1000)
    ]  # fmt: skip
    columns = "d", "σ", WAYS[0], "expected", WAYS[1], "expected", WAYS[2], "expected"
    real = partial(numbers, device=args.device)
    mean, std, eps = real(0.5, -1.0), real(0.4, 1.6), real(0.3, -1.2)
    for x in (mean, std):
        x.requires_grad_()
    verdict = check_grads(lambda m, s: reparameterize(m, s, eps), mean, std, order=2).verdict
    return (
        f"variance of ∂/∂μ ‖z‖² from one draw:\n\n{table(columns, rows)}\n\n"
        f"all ways agree on the mean, 2μ: at most {worst:.1f} standard errors from it\n"
        f"the draw with its ε held fixed, against finite differences, order 2: {verdict}"
    )


def main() -> None:
    """The five parts, one after the other."""
    args = flags()
    (args.out / "gaussian").mkdir(parents=True, exist_ok=True)
    minigrad.manual_seed(args.seed)
    for part in (bells, bodies, divergences, fits, gradients):
        print(f"\n{part(args)}")
    print(f"\n{guide(args.out / 'gaussian', SEEN)}")


if __name__ == "__main__":
    run(main)
