"""Pictures of a convolution as a matrix: its elements, what touches what, and what is lost."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colors, ticker
from matplotlib.axes import Axes
from PIL import Image

from demos.convolution_cases import Arrays, Case, Cost, recovery
from demos.pictures import plt  # in the style of all demos
from minigrad.ops.conv import im2col, matrix, stretched
from minigrad.ops.conv.geometry import ConvGeometry

BLUES = colors.LinearSegmentedColormap.from_list("blues", ["#eef5fb", "#60a5e0", "#1d4f86"])
TEALS = colors.LinearSegmentedColormap.from_list("teals", ["#effaf8", "#5cc4ba", "#14695f"])
SIGNED = colors.LinearSegmentedColormap.from_list("signed", ["#60a5e0", "#ffffff", "#e4694f"])
ROWS = "#2b6cb0", "#d9822b", "#3c9a5f", "#8a5bb5", "#c2455e", "#3a9aa5", "#7d6b4f"
NOTHING = colors.to_rgb("#eef0f3")
WORDS = 40  # rows and columns of C up to which its elements are written in


def element_colours(k: int) -> np.ndarray:
    """Nothing's colour, then one for each kernel element: a hue a row, paler along it."""
    hues = np.array([colors.to_rgb(ROWS[i % len(ROWS)]) for i in range(k)])
    pale = np.linspace(0, 0.6, k)[:, None]
    table = hues[:, None] * (1 - pale) + pale
    return np.concatenate([[NOTHING], table.reshape(-1, 3)])


def elements(geometry: ConvGeometry) -> np.ndarray:
    """For each output and input pixel (o², i²) the number of the kernel element between, or 0."""
    k = geometry.kernel_size
    return matrix.unroll(np.arange(1, k[0] * k[1] + 1).reshape(1, 1, *k), geometry)


def _bare(axes: Axes, title: str = "", **how) -> None:
    axes.set_title(title, **how)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _white_lines(axes: Axes, shape: tuple[int, int], width: float) -> None:
    """Lines between the cells."""
    axes.set_xticks(np.arange(0.5, shape[1] - 1), minor=True)
    axes.set_yticks(np.arange(0.5, shape[0] - 1), minor=True)
    axes.grid(True, which="minor", color="white", lw=width, alpha=1)
    axes.tick_params(which="minor", length=0)


# ---------------------------------------------------------------- C and Cᵀ


def draw_matrix(case: Case, path: Path) -> None:
    """C, its kernel, and Cᵀ, coloured by kernel element."""
    drawn, size = elements(case.geometry), case.geometry.output_size[0]
    o, i = drawn.shape
    cell = 0.42 if i <= 16 else 0.24 if i <= WORDS else max(0.05, 9 / i)  # inches
    kernel = max(cell, 0.34) * case.k
    width, height = (i + o) * cell + 0.6, max(o * cell + kernel + 0.7, i * cell)
    figure = plt.figure(figsize=(width, height))

    def place(left: float, top: float, shown: np.ndarray, cell: float, title: str) -> None:
        rows, columns = shown.shape
        box = left, height - top - rows * cell, columns * cell, rows * cell
        axes = figure.add_axes((box[0] / width, box[1] / height, box[2] / width, box[3] / height))
        _cells(axes, shown, case.k, cell)
        axes.set_title(title, loc="left")

    place(0, 0, drawn, cell, f"C, {o} × {i}: a row for each output pixel, a column for each input")
    place(i * cell + 0.6, 0, drawn.T, cell, f"Cᵀ, {i} × {o}")
    w = np.arange(1, case.k**2 + 1).reshape(case.k, case.k)
    title = f"the kernel, {case.k} × {case.k}: image {case.i} × {case.i} → {size} × {size}"
    place(0, o * cell + 0.6, w, kernel / case.k, title)
    figure.savefig(path)
    plt.close(figure)


def _cells(axes: Axes, numbers: np.ndarray, k: int, cell: float) -> None:
    """Cells coloured by element, its name in them if they are large enough."""
    colours = element_colours(k)[numbers]
    axes.imshow(colours, interpolation="nearest")
    _bare(axes)
    _white_lines(axes, numbers.shape, min(1.2, 4 * cell))
    if max(numbers.shape) > WORDS:
        return
    for (r, c), number in np.ndenumerate(numbers):
        if number:
            i, j = divmod(int(number) - 1, k)
            dark = colours[r, c] @ (0.3, 0.59, 0.11) < 0.6
            axes.text(
                c, r, f"$w_{{{i}{j}}}$", ha="center", va="center",
                fontsize=24 * cell, color="white" if dark else "black",
            )  # fmt: skip


# ---------------------------------------------------------------- what touches what


def draw_connectivity(case: Case, path: Path) -> None:
    """For each pixel that is made a small map of what is read, and how many that are."""
    g, colours = case.geometry, element_colours(case.k)
    touch = elements(g).reshape(*g.output_size, *g.input_size)
    back = touch.transpose(2, 3, 0, 1)
    figure, axes = plt.subplots(2, 2, figsize=(11.5, 10.6), width_ratios=[1.25, 1])
    o, i = g.output_size[0], g.input_size[0]
    pairs = (touch, "convolution", o, i), (back, "transposed convolution", i, o)
    for row, (maps, name, made, read) in zip(axes, pairs, strict=True):
        row[0].imshow(_nested(maps, colours), interpolation="nearest")
        _bare(row[0], f"{name}: for each of {made} × {made} pixels made, a map of the\n"
              f"{read} × {read} pixels that it reads, coloured by kernel element")  # fmt: skip
        counts = (maps > 0).sum((2, 3))
        numbers(row[1], counts, f"{name}: how many it reads", TEALS, low=0)
    figure.suptitle(f"{case.name}: {case.what} (k {case.k}, s {case.s}, p {case.p}, d {case.d})")
    figure.tight_layout(h_pad=2)
    figure.savefig(path)
    plt.close(figure)


def _nested(maps: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Maps (H, W, h, w) as one image, H × W small ones with white lines about them."""
    many_rows, many_columns, h, w = maps.shape
    fine = 6
    sheet = np.ones((many_rows * (h + 1) * fine, many_columns * (w + 1) * fine, 3))
    for r, c in np.ndindex(many_rows, many_columns):
        small = np.kron(colours[maps[r, c]], np.ones((fine, fine, 1)))
        small[::fine], small[:, ::fine] = 1, 1  # a fine white line at each pixel
        top, left = r * (h + 1) * fine, c * (w + 1) * fine
        sheet[top : top + h * fine, left : left + w * fine] = small
    return sheet[: -fine + 1, : -fine + 1]


# ---------------------------------------------------------------- numbers


def numbers(
    axes: Axes, values: np.ndarray, title: str, cmap: colors.Colormap,
    low: float | None = None, high: float | None = None, form: str = "{:.0f}",
) -> None:  # fmt: skip
    """A map with its numbers in it."""
    shown = axes.imshow(values, cmap, vmin=low, vmax=high, interpolation="nearest")
    _bare(axes, title)
    _white_lines(axes, values.shape, 2)
    if values.size > 400:
        return
    size = min(13, 90 / max(values.shape))
    for (r, c), value in np.ndenumerate(values):
        colour = shown.cmap(shown.norm(value))
        dark = np.dot(colour[:3], (0.3, 0.59, 0.11)) < 0.55
        axes.text(
            c, r, form.format(value), ha="center", va="center", fontsize=size,
            color="white" if dark else "black",
        )  # fmt: skip


def draw_recovery(case: Case, arrays: Arrays, path: Path) -> None:
    """x, C x, CᵀC x, the part of x that C sees; and CᵀC, which is not the identity."""
    C, lost = matrix.unroll(arrays.w, case.geometry), recovery(arrays, case.geometry)
    n = C.shape[1]
    figure, axes = plt.subplots(2, 3, figsize=(12, 8.4))
    x, y, back = arrays.x[0, 0], arrays.y[0, 0], arrays.back[0, 0]
    numbers(axes[0, 0], x, f"x, {case.i} × {case.i}", BLUES, 0, 6)
    numbers(axes[0, 1], y, f"y = C x, {y.shape[0]} × {y.shape[1]}", TEALS, 0)
    numbers(axes[0, 2], back, "Cᵀ y: the shape of x, other values", BLUES, 0)
    numbers(
        axes[1, 0], lost.seen[0, 0], f"C⁺ y: the part of x that C, of rank {lost.rank} of {n},\n"
        f"can see; the rest, {lost.unseen:.0%} of its length, is lost",
        BLUES, 0, 6, "{:.1f}",
    )  # fmt: skip
    for ax, values, title in (
        (axes[1, 1], C.T @ C, f"CᵀC, {n} × {n}"),
        (axes[1, 2], np.eye(n), "what it would be, if Cᵀ undid C"),
    ):
        ax.imshow(values, TEALS, vmin=0, interpolation="nearest")
        _bare(ax, title)
    figure.suptitle(f"{case.name}: a transposed convolution recovers the shape, not the values")
    figure.tight_layout(h_pad=2)
    figure.savefig(path)
    plt.close(figure)


def draw_turn(case: Case, arrays: Arrays, path: Path) -> None:
    """The stretched input under the turned kernel, and under the kernel as it is: wrong."""
    g, y, w = case.geometry, arrays.code, arrays.w
    right, turned = arrays.decoded[0, 0], im2col.turn(w, g)
    wrong = stretched.conv_transpose(y, w[..., ::-1, ::-1], g)[0, 0]  # turned twice: not at all
    figure, axes = plt.subplots(2, 3, figsize=(12, 8.4))
    numbers(axes[0, 0], stretched.stretch(y, g)[0, 0], "y, stretched and framed", BLUES, 0, 6)
    numbers(axes[0, 1], turned[0, 0], "the kernel, turned by 180°", TEALS, 0)
    numbers(axes[0, 2], right, "their convolution: Cᵀ y, exactly", BLUES, 0)
    numbers(axes[1, 0], wrong - right, "how much the result on the right is off", SIGNED,
            -abs(wrong - right).max(), abs(wrong - right).max())  # fmt: skip
    numbers(axes[1, 1], w[0, 0], "the kernel as it is", TEALS, 0)
    numbers(axes[1, 2], wrong, "their convolution: something else", BLUES, 0)
    figure.suptitle(f"{case.name}: a direct convolution does it, with the kernel turned round")
    figure.tight_layout(h_pad=2)
    figure.savefig(path)
    plt.close(figure)


# ---------------------------------------------------------------- what it costs


def draw_costs(costs: Sequence[Cost], path: Path) -> None:
    """Milliseconds by size for the three lowerings, and the zeros that two of them multiply."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.4), width_ratios=[1.35, 1])
    sides = np.array([cost.side for cost in costs])
    colours = {"im2col": "#14695f", "stretched": "#2b6cb0", "matrix": "#d9822b"}
    for name, colour in colours.items():
        times = np.array([cost.milliseconds[name] for cost in costs], float)
        left.loglog(sides, times, "o-", color=colour, label=name, lw=1.8, ms=5)
        refused = np.isnan(times)
        if refused.any() and not refused.all():
            last = np.flatnonzero(~refused)[-1]
            mb = costs[last + 1].megabytes
            left.annotate(
                f"refused at {sides[last + 1]}:\nC would take {mb:,.0f} MB",
                (sides[last], times[last]), (10, 0), textcoords="offset points",
                ha="left", va="center", color=colour, fontsize=9,
            )  # fmt: skip
    left.set(xlabel="pixels a side of the image made", ylabel="milliseconds",
             title="one transposed convolution, k 4, s 2, p 1")  # fmt: skip
    left.legend(loc="lower right")
    for name, colour, shares in (
        ("stretched: pixels that are zero", "#2b6cb0", [c.zeros.pixels for c in costs]),
        ("stretched: products with a zero", "#60a5e0", [c.zeros.products for c in costs]),
        ("matrix: entries of C that are zero", "#d9822b", [zeros_of_matrix(s) for s in sides]),
    ):
        right.semilogx(sides, 100 * np.array(shares), "o-", color=colour, label=name, lw=1.8, ms=5)
    right.set(xlabel="pixels a side of the image made", ylabel="%", ylim=(40, 101),
              title="zeros that were put there")  # fmt: skip
    right.legend(loc="lower right", fontsize=9)
    for ax in (left, right):
        ax.xaxis.set_major_locator(ticker.FixedLocator(sides))
        ax.xaxis.set_major_formatter(ticker.ScalarFormatter())
        ax.xaxis.set_minor_locator(ticker.NullLocator())
    figure.tight_layout(h_pad=2)
    figure.savefig(path)
    plt.close(figure)


def zeros_of_matrix(side: int) -> float:
    """The share of zeros in C, for the timed convolution of so many pixels a side."""
    g = ConvGeometry.direct(int(side), 4, 2, 1)
    return 1 - int(g.overlap().sum()) / (side**2 * g.output_size[0] ** 2)


def contact_sheet(frames: Sequence[Image.Image], path: Path, columns: int = 3) -> None:
    """Pictures in rows, each in the middle of its place."""
    w, h = (max(frame.size[axis] for frame in frames) for axis in (0, 1))
    rows = -(-len(frames) // columns)
    sheet = Image.new("RGB", (w * columns, h * rows), "white")
    for n, frame in enumerate(frames):
        row, column = divmod(n, columns)
        sheet.paste(frame, (w * column, h * row + (h - frame.height) // 2))
    sheet.quantize(64).save(path, optimize=True)
