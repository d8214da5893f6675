r"""Where to put the boxes of a graph that flows downwards, and how to lead its arrows.

In layers (Sugiyama, Tagawa and Toda, IEEE Trans. SMC 11 (1981), 109-125): every box stands one
layer below the lowest that it depends on; an arrow over several layers gets a bend in each; boxes
and bends of a layer are ordered so that few arrows cross, each near the middle of its neighbours;
then they are moved sideways, as near to that middle as their widths allow.
"""

import bisect
import itertools
from collections.abc import Sequence
from typing import NamedTuple

GAP, LEVEL_GAP, BEND = 18.0, 34.0, 6.0  # between boxes, between layers, width of a bend
SWEEPS = 24

Point = tuple[float, float]


class Layout(NamedTuple):
    """The middle of each box, the points of each arrow, and the size of the whole."""

    centres: list[Point]
    routes: list[list[Point]]
    size: Point


def layout(sizes: Sequence[Point], edges: Sequence[tuple[int, int]]) -> Layout:
    """Places for boxes of `sizes` (width, height) and arrows (from, to), from < to always."""
    levels = _levels(len(sizes), edges)
    chains = _with_bends(levels, edges)
    widths = [w for w, _ in sizes] + [BEND] * (len(levels) - len(sizes))
    above, below = _neighbours(len(levels), chains)
    rows = _ordered(levels, above, below)
    x = _sideways(rows, widths, above, below, len(sizes))
    heights = [max((sizes[i][1] for i in row if i < len(sizes)), default=0.0) for row in rows]
    top = [sum(heights[:k]) + k * LEVEL_GAP for k in range(len(rows))]
    left = min((x[i] - widths[i] / 2 for i in range(len(x))), default=0.0)
    right = max((x[i] + widths[i] / 2 for i in range(len(x))), default=0.0)
    centre = [(x[i] - left, top[levels[i]] + heights[levels[i]] / 2) for i in range(len(x))]
    entry = _entries(edges, chains, centre, widths)
    routes = []
    for edge, chain in enumerate(chains):
        u, v = edges[edge]
        points = [(centre[u][0], centre[u][1] + sizes[u][1] / 2)]
        for bend in chain[1:-1]:
            k = levels[bend]
            points += [(centre[bend][0], top[k]), (centre[bend][0], top[k] + heights[k])]
        points.append((entry[edge], centre[v][1] - sizes[v][1] / 2))
        routes.append(points)
    return Layout(centre[: len(sizes)], routes, (right - left, top[-1] + heights[-1]))


def _levels(n: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The layer of each box; what depends on nothing stands just above the first that needs it."""
    level = [0] * n
    fed = {v for _, v in edges}
    for u, v in sorted(edges, key=lambda e: e[1]):
        level[v] = max(level[v], level[u] + 1)
    nearest: dict[int, int] = {}
    for u, v in edges:
        nearest[u] = min(nearest.get(u, level[v]), level[v])
    return [level[i] if i in fed or i not in nearest else nearest[i] - 1 for i in range(n)]


def _with_bends(levels: list[int], edges: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Each arrow as a chain through one bend a layer; the bends are appended to `levels`."""
    chains = []
    for u, v in edges:
        bends = range(levels[u] + 1, levels[v])
        first = len(levels)
        levels.extend(bends)
        chains.append([u, *range(first, len(levels)), v])
    return chains


def _neighbours(n: int, chains: list[list[int]]) -> tuple[list[list[int]], list[list[int]]]:
    above, below = [[] for _ in range(n)], [[] for _ in range(n)]
    for chain in chains:
        for u, v in itertools.pairwise(chain):
            above[v].append(u)
            below[u].append(v)
    return above, below


def _ordered(levels: list[int], above: list, below: list) -> list[list[int]]:
    """The rows from the top, each in the order, of those tried, with the fewest crossings."""
    rows: list[list[int]] = [[] for _ in range(max(levels, default=0) + 1)]
    for i in _depth_first(above, below):
        rows[levels[i]].append(i)
    best, fewest = [list(row) for row in rows], _crossings(rows, below)
    for sweep in range(SWEEPS):
        beside = above if sweep % 2 == 0 else below
        for row in rows if sweep % 2 == 0 else reversed(rows):
            place = {i: k for r in rows for k, i in enumerate(r)}
            middle = {
                i: sum(place[j] for j in beside[i]) / len(beside[i]) if beside[i] else place[i]
                for i in row
            }
            row.sort(key=middle.__getitem__)
        crossings = _crossings(rows, below)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _depth_first(above: list, below: list) -> list[int]:
    """All boxes and bends in an order that keeps what hangs together together, outputs first."""
    seen, found = set(), []
    for start in (i for i in reversed(range(len(below))) if not below[i]):
        stack = [start]
        while stack:
            i = stack.pop()
            if i not in seen:
                seen.add(i)
                found.append(i)
                stack.extend(reversed(above[i]))
    return found


def _crossings(rows: list[list[int]], below: list) -> int:
    """How many pairs of arrows between neighbouring rows cross: inversions of their ends."""
    total = 0
    for upper, lower in itertools.pairwise(rows):
        place = {i: k for k, i in enumerate(lower)}
        passed: list[int] = []
        for i in upper:
            ends = sorted(place[j] for j in below[i])
            total += sum(len(passed) - bisect.bisect_right(passed, k) for k in ends)
            for k in ends:
                bisect.insort(passed, k)
    return total


def _sideways(
    rows: list[list[int]], widths: list[float], above: list, below: list, boxes: int
) -> list[float]:
    """x of every box and bend: near the mean of its neighbours, in order, without overlap.

    A bend is drawn to other bends most, so that a long arrow runs straight.
    """
    x = [0.0] * len(widths)
    for sweep in range(4 * SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = []
            for i in row:
                near = [(x[j], _PULL[(i >= boxes) + (j >= boxes)]) for j in above[i] + below[i]]
                pull = sum(w for _, w in near)
                wanted.append(sum(at * w for at, w in near) / pull if near else x[i])
            for i, at in zip(row, _spaced(wanted, [widths[i] for i in row]), strict=True):
                x[i] = at
    return x


_PULL = 1.0, 1.0, 3.0  # between two boxes, a box and a bend, two bends


def _spaced(wanted: list[float], widths: list[float]) -> list[float]:
    """The places nearest to `wanted`, Σ (x - wanted)² smallest, with GAP between neighbours.

    Less the room that those before it take, the places need only not decrease: pool what does.
    """
    room = [0.0]
    for a, b in itertools.pairwise(widths):
        room.append(room[-1] + a / 2 + GAP + b / 2)
    pools: list[list[float]] = []  # (sum, count) of runs with one common place
    for at, taken in zip(wanted, room, strict=True):
        pools.append([at - taken, 1])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            total, count = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += count
    places = [total / count for total, count in pools for _ in range(int(count))]
    return [at + taken for at, taken in zip(places, room, strict=True)]


def _entries(edges: Sequence, chains: list, centre: list, widths: list) -> list[float]:
    """Where on the upper side of its box each arrow ends: side by side, as they come."""
    arriving: dict[int, list[int]] = {}
    for edge, (_, v) in enumerate(edges):
        arriving.setdefault(v, []).append(edge)
    entry = [0.0] * len(edges)
    for v, those in arriving.items():
        those.sort(key=lambda edge: centre[chains[edge][-2]][0])
        step = min(16.0, 0.7 * widths[v] / len(those))
        for k, edge in enumerate(those):
            entry[edge] = centre[v][0] + (k - (len(those) - 1) / 2) * step
    return entry
