"""The pictures of demos.autoencoder_zoo."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np

import minigrad
from demos.pictures import Panel, draw_panels, each_by_its_largest, mosaic, save_figure
from minigrad import Tensor
from models.autoencoder import Autoencoder
from models.jacobian import jacobian

Models = dict[str, Autoencoder]
TITLES = "digits", "with noise", "scrambled"
LENGTHS = np.geomspace(0.01, 10, 13)  # of δ
SHOWN = 5  # images of each view


def pictures(images: Tensor) -> Panel:
    """Images (n, 1, 28, 28) in a row."""
    return Panel(mosaic(images.cpu().numpy()[:, 0]))


def titled(panels: Sequence[Panel], titles: Sequence[str]) -> list[Panel]:
    """The panels under their titles."""
    return [panel._replace(title=title) for panel, title in zip(panels, titles, strict=True)]


@minigrad.no_grad()
def draw_reconstructions(models: Models, on: Sequence[Tensor], path: Path) -> None:
    """Images as they are, with noise, and scrambled, over what each model makes of them."""
    on = [images[:SHOWN] for images in on]
    rows = [("input", titled([pictures(x) for x in on], TITLES))]
    rows += [(name, [pictures(model(x)) for x in on]) for name, model in models.items()]
    draw_panels(rows, path)


def enlarged(images: np.ndarray, size: int = 112) -> np.ndarray:
    """Images (n, h, w) as (n, size, size), each pixel a rectangle."""
    down, across = (np.arange(size) * length // size for length in images.shape[1:])
    return images[:, down][:, :, across]


@minigrad.no_grad()
def draw_codes(models: Models, images: Tensor, path: Path) -> None:
    """Which units answer to each image: the larger |h|, the lighter. A unit keeps its place."""
    rows = [("input", [Panel(mosaic(enlarged(images.cpu().numpy()[:, 0]), gap=4))])]
    for name, model in models.items():
        h = np.abs(model.encode(images).cpu().numpy())
        side = int(np.ceil(np.sqrt(h.shape[1])))
        square = np.full((len(h), side * side), np.nan, np.float32)
        square[:, : h.shape[1]] = h / max(h.max(), 1e-12)
        square = square.reshape(-1, side, side)
        rows.append((name, [Panel(mosaic(enlarged(square), gap=4))]))
    draw_panels(rows, path)


def draw_filters(models: Models, images: Tensor, path: Path, each: int = 14) -> None:
    """The first layer's weights of the units whose answers to the images vary most."""
    rows = []
    for name, model in models.items():
        with minigrad.no_grad():
            lively = np.argsort(model.encode(images).cpu().numpy().var(0))[::-1][:each]
        weight = model.encoder[0].weight.detach().cpu().numpy()[lively].reshape(-1, 28, 28)
        gaps = np.zeros((each - len(weight), 28, 28), np.float32)
        weight = each_by_its_largest(np.concatenate([weight, gaps]))
        rows.append((name, [Panel(mosaic(weight), signed=True)]))
    draw_panels(rows, path)


@minigrad.no_grad()
def draw_copying(models: Models, on: Sequence[Tensor], path: Path) -> None:
    """The more codes, the better the scrambled images come back."""
    on = [images[:SHOWN] for images in on]
    rows = [("input", titled([pictures(x) for x in on], TITLES))]
    for name, model in models.items():
        count = model.decoder[0].weight.shape[1]
        label = name if "codes" in name else f"{name},\n{count} codes"
        rows.append((label, [pictures(model(x)) for x in on]))
    draw_panels(rows, path)


@minigrad.no_grad()
def draw_heart(model: Autoencoder, seen: Tensor, new: Tensor, path: Path) -> None:
    """Images that were trained on come back; others become one of those, or a mixture."""
    rows = [
        ("input", titled([pictures(seen), pictures(new)], ["trained on", "not trained on"])),
        ("output", [pictures(model(seen)), pictures(model(new))]),
    ]
    draw_panels(rows, path)


# ---------------------------------------------------------------- the bound


class Answers(NamedTuple):
    """How far the codes of n images move, and what J says about it."""

    apart: np.ndarray  # ‖f(x+δ) - f(x)‖ (2, lengths, n): random δ, and in the worst direction
    norm: np.ndarray  # ‖J‖_F (n,)
    singular: np.ndarray  # the singular values of J (n, codes), the largest first


def answers(model: Autoencoder, images: Tensor, seed: int) -> Answers:
    """Steps of all LENGTHS from each image, in float64: the differences of short ones are small."""
    generator, n = np.random.default_rng(seed), len(images)
    double = images.double()
    model.double()
    matrices = jacobian(model.encode, double).flatten(2).cpu().numpy()
    _, singular, turned = np.linalg.svd(matrices, full_matrices=False)
    worst = turned[:, 0]  # the largest ‖J δ‖ / ‖δ‖
    chance = generator.normal(size=worst.shape)
    chance /= np.linalg.norm(chance, axis=1, keepdims=True)
    apart = np.zeros((2, len(LENGTHS), n))
    with minigrad.no_grad():
        h = model.encode(double)
        for kind, way in enumerate((chance, worst)):
            for i, length in enumerate(LENGTHS):
                step = minigrad.tensor(length * way, device=images.device).reshape(images.shape)
                apart[kind, i] = (model.encode(double + step) - h).norm(dim=1).cpu().numpy()
    model.float()
    return Answers(apart, np.linalg.norm(matrices.reshape(n, -1), axis=1), singular)


def draw_bound(
    models: Models, images: Tensor, seed: int, path: Path
) -> dict[str, tuple[float, float]]:
    """How far codes move beside the bound ‖J‖_F ‖δ‖, and the singular values of J.

    Answers with the largest share of the bound that was seen: of the shortest δ, and of all.
    """
    figure, panels = plt.subplots(
        1, len(models) + 1, figsize=(4 * len(models) + 4, 4), gridspec_kw={"wspace": 0.25}
    )
    spectrum, highest = panels[-1], {}
    for i, (left, (name, model)) in enumerate(zip(panels, models.items(), strict=False)):
        apart, norm, singular = answers(model, images, seed)
        share = apart / (norm * LENGTHS[:, None])
        highest[name] = share[:, 0].max(), share.max()
        left.fill_between(LENGTHS, norm.mean() * LENGTHS, 1e3, color="0.9", lw=0)
        left.loglog(LENGTHS, norm.mean() * LENGTHS, "k--", lw=1.2, label="bound ‖J‖_F ‖δ‖")
        left.loglog(LENGTHS, apart[1].mean(1), f"C{i}-", lw=2, label="worst δ")
        left.loglog(LENGTHS, apart[0].mean(1), f"C{i}:", lw=2, label="random δ")
        left.set(xlabel="‖δ‖", title=f"{name}: ‖J‖_F = {norm.mean():.1f}", ylim=(3e-4, 1e3))
        left.minorticks_off()
        left.legend(loc="lower right")
        spectrum.semilogy(
            range(1, singular.shape[1] + 1), singular.mean(0).clip(1e-6), f"C{i}-", label=name
        )
    panels[0].set_ylabel("‖f(x+δ) - f(x)‖")
    spectrum.set(xlabel="direction", title="singular values of J")
    spectrum.minorticks_off()
    spectrum.legend(loc="lower left")
    save_figure(figure, path)
    return highest
