"""The graph of derivatives as a picture: SVG without further tools, or text for Graphviz.

Leaves are boxes (parameters filled), operations are rounded, what is drawn at random is dashed.
Everything here asks a graph only for `primitive` and `inputs`, and never recurses.
"""

import collections
import html
import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minigrad.draw.layout import Point, layout
from minigrad.engine import Variable, history
from minigrad.errors import ArgumentError
from minigrad.nn.module import Module
from minigrad.ops.arguments import check_tensors
from minigrad.ops.sampling import STOCHASTIC

LONGEST_RUN, SHOWN_ENDS = 16, 3  # a longer chain of operations shows so many at either end


class Node(NamedTuple):
    """A box: what it is, its lines of text, and what a pointer held over it shows."""

    kind: str  # parameter, constant, operation, random, folded
    lines: tuple[str, ...]
    note: str = ""


class Graph(NamedTuple):
    """A graph to be looked at: as `svg` or `dot`, or by itself at the end of a notebook's cell."""

    nodes: list[Node]
    edges: list[tuple[int, int]]  # (from, to), places in `nodes`

    @property
    def dot(self) -> str:
        """The graph in Graphviz's language."""
        lines = ["digraph {", '  node [fontname="Helvetica", fontsize=11]']
        for i, node in enumerate(self.nodes):
            text = r"\n".join(line.replace("\\", r"\\").replace('"', r"\"") for line in node.lines)
            lines.append(f'  {i} [label="{text}", {_DOT[node.kind]}]')
        lines += [f"  {u} -> {v}" for u, v in self.edges]
        return "\n".join([*lines, "}\n"])

    @property
    def svg(self) -> str:
        """The graph as a picture that browsers, and most else, can show."""
        return _svg(self.nodes, self.edges)

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        kinds = collections.Counter(node.kind for node in self.nodes)
        return f"<graph: {', '.join(f'{n} {kind}' for kind, n in kinds.items())}>"

    def save(self, path: str | os.PathLike) -> None:
        """Write it to a file, as its name ends: .svg or .dot."""
        kind = Path(path).suffix.lower()
        if kind not in (".svg", ".dot"):
            raise ArgumentError(f"save: path: got {os.fspath(path)!r}; expected .svg or .dot")
        Path(path).write_text(self.svg if kind == ".svg" else self.dot, "utf-8")


def graph(
    outputs: Variable | Iterable[Variable],
    names: Mapping[str, Variable] | None = None,
    module: Module | None = None,
    max_nodes: int = 150,
) -> Graph:
    """What `outputs` were computed from, down to the leaves, inputs above outputs.

    Tensors are called as in `names`, parameters and buffers as in `module`. Of a long chain the
    ends are shown; of more than `max_nodes`, those nearest to the outputs, with a count of the
    rest.

    >>> from minigrad import nn, randn
    >>> model, x = nn.Linear(3, 2), randn(5, 3)
    >>> picture = graph(model(x).sum(), {"x": x}, model)
    >>> picture
    <graph: 1 constant, 2 parameter, 2 operation>
    >>> [node.lines for node in picture.nodes][:3]
    [('x', '(5, 3)'), ('weight', '(2, 3)'), ('bias', '(2,)')]

    Raises GraphError if the graph was freed by a sweep; DTypeError for what is no tensor.
    """
    several = isinstance(outputs, Iterable) and not isinstance(outputs, Variable)
    outputs = list(outputs) if several else [outputs]
    check_tensors("graph", *outputs)
    if max_nodes < 1:
        raise ArgumentError(f"graph: max_nodes: got {max_nodes}; expected at least 1")
    known = named(names, module)
    operations = history(outputs)
    groups = _cut(_folded(operations, outputs), max_nodes)
    drawn = _Drawing(known, {y: i + 1 for i, y in enumerate(operations)})
    for y in outputs:
        if y.primitive is None:
            drawn.place(y)
    for group in groups:
        drawn.add(group)
    return Graph(drawn.nodes, sorted(drawn.edges))


def named(names: Mapping[str, Variable] | None, module: Module | None) -> dict[Variable, str]:
    """Tensor → name, from a module's parameters and buffers and a mapping, which goes before."""
    known = {}
    if module is not None:
        known.update((x, name) for name, x in module.named_buffers())
        known.update((x, name) for name, x in module.named_parameters())
    known.update((x, name) for name, x in (names or {}).items())
    return known


# ---------------------------------------------------------------- what is shown, and what is not


def _folded(operations: list[Variable], outputs: list[Variable]) -> list[list[Variable]]:
    """The operations in groups: alone, or the middle of a long chain together.

    y continues the chain of x if x is all that it depends on, leaves apart, and nothing else
    depends on x.
    """
    uses = collections.Counter(x for y in operations for x in set(_recorded(y.inputs)))
    uses.update(outputs)
    chains: dict[Variable, list[Variable]] = {}  # by the last operation
    for y in operations:
        before = set(_recorded(y.inputs))
        x = before.pop() if len(before) == 1 else None
        chain = chains.pop(x) if x in chains and uses[x] == 1 else []
        chain.append(y)
        chains[y] = chain
    groups = []
    for chain in chains.values():
        ends = SHOWN_ENDS if len(chain) > LONGEST_RUN else len(chain)
        groups += [[y] for y in chain[:ends]]
        if len(chain) > LONGEST_RUN:
            groups.append(chain[ends:-ends])
            groups += [[y] for y in chain[-ends:]]
    return sorted(groups, key=lambda group: group[-1].birth)


def _recorded(inputs: Iterable) -> list[Variable]:
    return [x for x in inputs if isinstance(x, Variable) and x.primitive is not None]


def _cut(groups: list[list[Variable]], max_nodes: int) -> list[list[Variable]]:
    """The last groups that fit with their leaves; the earlier ones as one."""
    seen: set[Variable] = set()
    for kept, group in enumerate(reversed(groups)):
        if len(group) == 1:
            leaves = (x for x in group[0].inputs if isinstance(x, Variable) and x.is_leaf)
            seen.update(leaves)
        cut = kept + 1 < len(groups)  # then one box stands for the rest
        if kept and kept + 1 + cut + len(seen) > max_nodes:
            earlier = [y for g in groups[: len(groups) - kept] for y in g]
            return [earlier, *groups[len(groups) - kept :]]
    return groups


class _Drawing:
    """The boxes and arrows so far."""

    def __init__(self, names: Mapping[Variable, str], numbers: Mapping[Variable, int]) -> None:
        self.names, self.numbers = names, numbers
        self.nodes: list[Node] = []
        self.edges: set[tuple[int, int]] = set()
        self._places: dict[Variable, int] = {}

    def add(self, group: list[Variable]) -> None:
        """Draw one operation with its leaves, or several as one."""
        inputs = [x for y in group for x in y.inputs if isinstance(x, Variable)]
        if len(group) > 1:
            before = {x for x in inputs if x in self._places and x.primitive is not None}
            node = self._several(group, len({x for x in inputs if x.is_leaf}))
        else:
            (y,) = group
            before = set(inputs)
            eps = y.inputs[-1] if y.primitive in STOCHASTIC else None
            for x in inputs:
                self.place(x, noise=x is eps)
            node = self._operation(y)
        self.nodes.append(node)
        here = len(self.nodes) - 1
        self.edges.update((self._places[x], here) for x in before)
        self._places.update((y, here) for y in group)

    def place(self, x: Variable, noise: bool = False) -> None:
        """Draw a leaf, the first time that it is met."""
        if x in self._places:
            return
        kind = "parameter" if x.requires_grad else "random" if noise else "constant"
        unnamed = {"parameter": "leaf", "random": "ε", "constant": "constant"}[kind]
        text = (self.names.get(x, unnamed), str(x.array.shape))
        if not x.array.shape and x not in self.names:
            text = (f"{x.array.item():.4g}",)
        self._places[x] = len(self.nodes)
        self.nodes.append(Node(kind, text, f"{kind}, {x.array.dtype}"))

    def _operation(self, y: Variable) -> Node:
        op = y.primitive
        given = [x for x in y.inputs if not isinstance(x, Variable) and x is not None]
        title = " ".join(
            [op.name, *(f"{x:.4g}" if isinstance(x, float) else str(x) for x in given)]
        )
        shown = [str(y.array.shape)]
        for name, value in y.params.items():
            if name != "shape" and value != op._defaults.get(name) and _is_short(value):
                shown.append(f"{name}={value}")
        if y in self.names:
            title = f"{self.names[y]} = {title}"
        note = f"#{self.numbers[y]} {op.name}: {(op.__doc__ or '').strip()}"
        kind = "random" if op in STOCHASTIC else "operation"
        return Node(kind, (title, ", ".join(shown)), note)

    def _several(self, group: list[Variable], leaves: int) -> Node:
        counted = collections.Counter(y.primitive.name for y in group).most_common()
        most = ", ".join(f"{n:,} {name}" for name, n in counted[:3])
        lines = (
            f"… {len(group):,} operations", most + (", …" if len(counted) > 3 else ""),
            f"leaves: {leaves:,}",
        )  # fmt: skip
        return Node("folded", lines if leaves else lines[:2], f"from #{self.numbers[group[0]]} on")


def _is_short(value: Any) -> bool:
    return isinstance(value, (int, float, str, tuple)) and value and len(str(value)) <= 16


# ---------------------------------------------------------------- how it is written down

_DOT = {
    "parameter": 'shape=box, style=filled, fillcolor="#fdf0c4", color="#b98a00"',
    "constant": 'shape=box, style=filled, fillcolor="#f4f4f4", color="#808080"',
    "operation": 'shape=box, style="rounded,filled", fillcolor="#e3edfb", color="#3a6fb7"',
    "random": 'shape=box, style="rounded,filled,dashed", fillcolor="#f6e8fa", color="#9a3bb5"',
    "folded": 'shape=box, style="rounded,dotted", color="#606060"',
}
_STYLE = """
  text { font: 12px "DejaVu Sans", Verdana, Helvetica, sans-serif; text-anchor: middle; fill: #222 }
  text.more { font-size: 10px; fill: #666 }
  path { fill: none; stroke: #777; stroke-width: 1.1; marker-end: url(#tip) }
  .parameter { fill: #fdf0c4; stroke: #b98a00 }
  .constant { fill: #f4f4f4; stroke: #808080 }
  .operation { fill: #e3edfb; stroke: #3a6fb7 }
  .random { fill: #f6e8fa; stroke: #9a3bb5; stroke-width: 1.6; stroke-dasharray: 5 3 }
  .folded { fill: #ffffff; stroke: #606060; stroke-dasharray: 1.5 2.5 }
"""
_MARGIN, _LINE = 14.0, 14.0


def _size(node: Node) -> Point:
    """The width and height of a box around its text; a letter is about 7.4 wide."""
    widths = [7.4 * len(node.lines[0]), *(6.2 * len(line) for line in node.lines[1:])]
    return max(36.0, max(widths) + 16.0), _LINE * len(node.lines) + 10.0


def _svg(nodes: Sequence[Node], edges: Sequence[tuple[int, int]]) -> str:
    sizes = [_size(node) for node in nodes]
    centres, routes, size = layout(sizes, edges)
    w, h = (n + 2 * _MARGIN for n in size)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{w:.0f}" height="{h:.0f}" '
        f'viewBox="{-_MARGIN:.0f} {-_MARGIN:.0f} {w:.0f} {h:.0f}">',
        f"<style>{_STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0.5 L8 4 L0 7.5 Z" '
        'style="fill: #777; stroke: none; marker-end: none"/></marker></defs>',
        f'<rect x="{-_MARGIN}" y="{-_MARGIN}" width="{w:.0f}" height="{h:.0f}" fill="#fff"/>',
    ]
    parts += [f'<path d="{_curve(route)}"/>' for route in routes]
    for node, (x, y), (width, height) in zip(nodes, centres, sizes, strict=True):
        corner = 3 if node.kind in ("parameter", "constant") else 11
        parts.append(
            f"<g><title>{html.escape(node.note)}</title>"
            f'<rect class="{node.kind}" x="{x - width / 2:.1f}" y="{y - height / 2:.1f}" '
            f'width="{width:.1f}" height="{height:.1f}" rx="{corner}"/>'
        )
        for k, line in enumerate(node.lines):
            base = y - height / 2 + 16.0 + k * _LINE
            more = ' class="more"' if k else ""
            parts.append(f'<text{more} x="{x:.1f}" y="{base:.1f}">{html.escape(line)}</text>')
        parts.append("</g>")
    return "\n".join([*parts, "</svg>\n"])


def _curve(points: list[Point]) -> str:
    """A path that leaves downwards, passes straight through the layers between, and arrives so."""
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for k, ((x0, y0), (x1, y1)) in enumerate(itertools.pairwise(points)):
        if k % 2:
            path += f" L{x1:.1f} {y1:.1f}"
        else:
            half = (y0 + y1) / 2
            path += f" C{x0:.1f} {half:.1f} {x1:.1f} {half:.1f} {x1:.1f} {y1:.1f}"
    return path
