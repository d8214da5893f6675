r"""The bound where the evidence is known: ln p(x) = ELBO + KL(q ‖ p(z|x)) to the last digit.

A VAE whose decoder is linear, z ~ N(0, I) and x|z ~ N(W z + b, σ² I), has ln p(x) in closed form.

1. An encoder is trained as a VAE's is. Its ELBO rises to ln p(x), and the missing piece is always
   KL(q ‖ p(z|x)), each term by a formula of its own. An encoder of independent codes stops short,
   by an amount that is known too. Then the decoder learns as well: ln p(x) itself rises, to the
   highest that such a model can give these data. Where codes must be independent, W turns until
   its columns are at right angles, and the gap closes too.
2. p(x) as the average of p(x|z) over draws from the prior: in a few dimensions it serves, in many
   every draw misses, and the estimate comes out low by dozens of nats. Draws from an encoder hold.
3. Between the two: the bound from K weighted draws. K = 1 is the ELBO, and more only tighten it.
   With many, even the prior can overtake the independent encoder: that has the better ELBO, but
   where codes lean together its cloud is too narrow, and a rare draw from the ends weighs without
   bound.
"""

import argparse
import math
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

import minigrad
from demos.common import expect_at_least, guide, plain_parser, run, table
from demos.elbo_pictures import animate_training, draw_bounds, draw_naive, draw_training
from demos.linear_gaussian import (
    Encoder,
    Estimates,
    LinearGaussian,
    Terms,
    cosine,
    highest_evidence,
    least_gap,
    log_mean,
    log_weights,
    measure,
    second_moment,
)
from minigrad import Tensor, optim, tensor
from minigrad.distributions import MultivariateNormal, kl_divergence

COURSE = "V4, V5"
TIME = "20 seconds"

SEEN = {
    "training.png": "Blue and orange, ELBO and KL to the posterior, always add up to ln p(x); "
    "below, by how much they do not.",
    "training.gif": "The encoder's cloud closes in on p(z|x) as the gap shrinks; the independent "
    "one cannot lean, and stops short.",
    "naive.png": "Draws from the prior serve in a few dimensions; in many the estimate is low by "
    "dozens of nats, while draws from an encoder hold.",
    "bounds.png": "More weighted draws tighten every bound; with many the prior overtakes the "
    "independent encoder.",
}

KINDS = "full", "independent"


def flags() -> argparse.Namespace:
    """The command line."""
    made = plain_parser(__doc__)
    made.add_argument("--steps", type=int, help="of the encoder, and then of both (500)")
    args = made.parse_args()
    if args.steps is None:
        args.steps = 60 if args.quick else 500
    expect_at_least(args, steps=10, seed=0)
    return args


# ---------------------------------------------------------------- 1: the bound during training


def step(model: LinearGaussian, encoder: Encoder, x: Tensor, optimizer: optim.Optimizer) -> None:
    """A VAE's step: one draw z = m + L ε for each x, the KL to the prior in closed form."""
    q = encoder(x)
    loss = kl_divergence(q, model.prior()) - model.given(q.rsample()).log_prob(x)
    optimizer.zero_grad()
    loss.mean().backward()
    optimizer.step()


class Training(NamedTuple):
    """Two encoders trained beside each other on one model, which joins in halfway."""

    x: Tensor
    terms: dict[str, list[Terms]]  # of each kind of encoder, before each step and at the end
    clouds: dict[str, list[tuple[np.ndarray, np.ndarray]]]  # q of the first x: mean and L
    posterior: tuple[np.ndarray, np.ndarray]  # p(z|x) of the first x, before the model moves
    first: LinearGaussian  # the model before it moves
    models: dict[str, LinearGaussian]
    encoders: dict[str, Encoder]  # as they were when the model began to move


def train(args: argparse.Namespace) -> Training:
    """Encoders alone for so many steps; then each with its own copy of the model."""
    generator = np.random.default_rng(args.seed)
    d, k = 5, 2
    true = np.array([[2, 1.2], [1, 1.6], [0, 1], [-1, 0.5], [0.5, 0]]) * 0.8
    x = LinearGaussian(true, -1.0).to(args.device).marginal().sample((500,)).detach()
    start = generator.normal(0, 0.8, (d, k)) + [1.0, 0.6]
    first, *models = (LinearGaussian(start, 0.0).to(args.device) for _ in range(3))
    models = dict(zip(KINDS, models, strict=True))
    encoders = {kind: Encoder(d, k, kind).to(args.device) for kind in KINDS}
    with minigrad.no_grad():
        posterior = _mean_and_spread(first.posterior(x[:1]))
    out = Training(x, {}, {}, posterior, first, models, {})
    bar = tqdm(total=2 * len(KINDS) * args.steps, desc="training", unit=" steps")
    for kind, encoder in encoders.items():
        model, terms, clouds = models[kind], [], []
        for parameters, lr in (([], 0.015), ([*model.parameters()], 0.03)):
            optimizer = optim.Adam([*encoder.parameters(), *parameters], lr=lr)
            falling = optim.lr_scheduler.CosineAnnealingLR(optimizer, args.steps, 1e-4)
            for _ in range(args.steps):
                terms.append(measure(model, encoder, x))
                if not parameters:
                    clouds.append(_cloud(encoder, x))
                step(model, encoder, x, optimizer)
                falling.step()
                bar.update()
            if not parameters:
                clouds.append(_cloud(encoder, x))
                frozen = Encoder(d, k, kind).to(args.device)
                frozen.load_state_dict(encoder.state_dict())
                out.encoders[kind] = frozen
        out.terms[kind], out.clouds[kind] = [*terms, measure(model, encoder, x)], clouds
    bar.close()
    return out


@minigrad.no_grad()
def _cloud(encoder: Encoder, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    return _mean_and_spread(encoder(x[:1]))


def _mean_and_spread(q: MultivariateNormal) -> tuple[np.ndarray, np.ndarray]:
    return q.mean.cpu().numpy()[0].copy(), q.scale_tril.cpu().numpy()[0].copy()


@minigrad.no_grad()
def show_training(done: Training, args: argparse.Namespace) -> str:
    """The pictures and the table of part 1."""
    folder, half = args.out / "elbo", args.steps
    best = highest_evidence(done.x.cpu().numpy(), 2)
    draw_training(done.terms, half, best, folder / "training.png")
    animate_training(done.terms, done.clouds, done.posterior, folder / "training.gif")
    rows = []
    for kind in KINDS:
        for at, i in (("start", 0), ("encoder trained", half), ("both trained", 2 * half)):
            t = done.terms[kind][i]
            found = t.elbo, t.gap, t.elbo + t.gap, t.evidence
            rows.append((kind, at, *(f"{v:.4f}" for v in found)))
    least = least_gap(done.first.posterior(done.x[:1]))
    cosines = {kind: cosine(done.models[kind].weight) for kind in KINDS}
    worst = max(t.off for terms in done.terms.values() for t in terms)
    columns = "encoder", "at", "ELBO", "KL to posterior", "sum", "ln p(x)"
    return (
        f"nats per example, {len(done.x)} examples of 5 numbers, 2 codes:\n\n"
        f"{table(columns, rows)}\n\nlargest |ELBO + KL - ln p(x)| of any example at any step: "
        f"{worst:.0e}\nleast gap of independent codes, first model: {least:.4f}; "
        f"highest ln p(x) of any such model: {best:.4f}\n"
        f"cosine between the columns of W, first model {cosine(done.first.weight):+.3f}, "
        + ", ".join(f"trained with {kind} codes {value:+.3f}" for kind, value in cosines.items())
    )


# ---------------------------------------------------------------- 2: averaging over the prior


DRAWS, REPEATS = 1000, 100


@minigrad.no_grad()
def naive(args: argparse.Namespace) -> str:
    """p(x) by 1,000 draws from the prior, and from an encoder that is somewhat off."""
    dimensions = (1, 2, 4, 8, 16, 32) if args.quick else (1, 2, 4, 8, 16, 32, 64, 128)
    repeats = 50 if args.quick else REPEATS
    found: dict[str, list[Estimates]] = {"prior": [], "encoder": []}
    for d in tqdm(dimensions, desc="averaging", unit=" dimensions"):
        model = LinearGaussian(np.eye(d), math.log(0.25)).to(args.device)
        x = np.resize([1.0, -1.0], (1, d)) * math.sqrt(1.25)  # as far out as x usually is
        x = tensor(x, device=args.device)
        evidence, posterior = model.marginal().log_prob(x).item(), model.posterior(x)
        encoder = MultivariateNormal(
            posterior.mean + 0.05, posterior.covariance_matrix * 1.2
        )  # a little off, and a little wide
        for name, q in (("prior", model.prior().expand((1,))), ("encoder", encoder)):
            w = log_weights(model, q, x, DRAWS, repeats)
            size = np.exp(2 * log_mean(w) - log_mean(2 * w)) * DRAWS
            off = log_mean(w) - evidence
            found[name].append(
                Estimates(d, off, float(np.median(size)), second_moment(q, posterior))
            )
    draw_naive(found, DRAWS, args.out / "elbo" / "naive.png")
    rows = []
    for e, good in zip(found["prior"], found["encoder"], strict=True):
        low, middle, high = np.percentile(e.off, [2.5, 50, 97.5])
        parts = (f"{v:+.2f}" for v in (low, middle, high))
        needed = f"10^{e.needed():.1f}"
        rows.append((e.d, *parts, f"{e.size:.1f}", needed, f"{np.std(good.off):.3f}"))
    columns = "d", "2.5 %", "median", "97.5 %", "effective", "needed", "encoder's spread"
    return (
        f"ln of the average of p(x|z) over {DRAWS:,} draws from the prior, less the true ln p(x), "
        f"{repeats} repeats;\nhow many draws count, how many 10 % would take, and the spread with "
        f"draws from an encoder:\n\n{table(columns, rows)}"
    )


# ---------------------------------------------------------------- 3: K weighted draws


@minigrad.no_grad()
def bounds(done: Training, args: argparse.Namespace) -> str:
    """IW_K = E ln (1/K) Σ wₖ for three q of one x, with standard errors, over K."""
    x, start = done.x[:1], done.first
    evidence, posterior = start.marginal().log_prob(x).item(), start.posterior(x)
    proposals = {
        "prior": start.prior().expand((1,)),
        "independent": done.encoders["independent"](x),
        "full": done.encoders["full"](x),
    }
    counts = [1, 3, 10, 30, 100, 300, 1000]
    total = 50_000 if args.quick else 1_000_000
    found, moments, elbos = {}, {}, {}
    for name, q in tqdm(proposals.items(), desc="weighing", unit=" encoders"):
        moments[name] = second_moment(q, posterior)
        elbos[name] = (start.reconstruction(x, q) - kl_divergence(q, start.prior())).item()
        found[name] = []
        for k in counts:
            repeats = max(100, min(20_000, total // k))
            nats = log_mean(log_weights(start, q, x, k, repeats))
            found[name].append((k, nats.mean(), nats.std() / math.sqrt(repeats)))
    draw_bounds(found, moments, elbos, evidence, args.out / "elbo" / "bounds.png")
    rows = [(name, f"{elbos[name]:.4f}", *(f"{v:.4f}" for _, v, _ in found[name]),
             f"{evidence:.4f}") for name in proposals]  # fmt: skip
    errors = max(e for values in found.values() for _, _, e in values)
    columns = "draws from", "ELBO", *(f"K = {k:,}" for k in counts), "ln p(x)"
    return (
        f"bounds on ln p(x) of one x from K weighted draws (± {errors:.4f} at most):\n\n"
        f"{table(columns, rows)}"
    )


def main() -> None:
    """The three parts."""
    args = flags()
    (args.out / "elbo").mkdir(parents=True, exist_ok=True)
    minigrad.manual_seed(args.seed)
    done = train(args)
    print(f"\n{show_training(done, args)}\n")
    print(f"\n{naive(args)}\n")
    print(f"\n{bounds(done, args)}")
    print(f"\n{guide(args.out / 'elbo', SEEN)}")


if __name__ == "__main__":
    run(main)
