"""The report card of the derivatives as text for a terminal, as Markdown, and as one HTML page."""

import base64
import html
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from demos.common import table
from minigrad.samples.card import ABOUT, FAIL, NONE, PASS, PLANTED, Cell

GRADIENTS = "order 1", "order 2", "order 3"  # whose errors are of one kind


class Line(NamedTuple):
    """A row of the card."""

    group: str
    name: str
    cells: dict[str, Cell]

    @property
    def failed(self) -> bool:
        """Whether a cell is red"""
        return any(cell.mark == FAIL for cell in self.cells.values())

    @property
    def worst(self) -> float:
        """The largest error of a derivative in float64; ∞ if one failed"""
        errors = [self.cells[name].error for name in GRADIENTS]
        return max((error for error in errors if not math.isnan(error)), default=0.0)


class Card(NamedTuple):
    """All rows, and what is said of them in a few sentences."""

    lines: list[Line]
    summary: list[str]
    pictures: dict[str, Path]  # caption: file

    @property
    def failed(self) -> list[Line]:
        """The rows with something red"""
        return [line for line in self.lines if line.failed]


def short(cell: Cell) -> str:
    """A cell in a few characters: its error, or for planted errors how many were caught."""
    if cell.mark != PASS:
        return cell.mark
    if math.isnan(cell.error):
        return cell.note.split(" ")[0] if cell.note[:1].isdecimal() else "ok"
    return rounded(cell.error)


def columns(lines: Sequence[Line]) -> tuple[str, ...]:
    """The questions that were asked of every row."""
    return tuple(lines[0].cells)


def rounded(error: float) -> str:
    """An error in a few characters."""
    return "exact" if error == 0 else f"{error:.0e}"


def counted(lines: Sequence[Line], column: str) -> str:
    """How many passed of those to whom the question applies."""
    marks = Counter(line.cells[column].mark for line in lines)
    asked = marks[PASS] + marks[FAIL]
    if not asked:
        return NONE
    return f"{marks[FAIL]} FAIL of {asked}" if marks[FAIL] else f"{asked} ok"


def groups(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """The rows of each group"""
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line.group, []).append(line)
    return found


def group_rows(lines: Sequence[Line]) -> list[list[str]]:
    """A row for each group, and one for all."""
    parts, asked = groups(lines) | {"all": list(lines)}, columns(lines)
    return [
        [name, *(counted(part, column) for column in asked), rounded(max(p.worst for p in part))]
        for name, part in parts.items()
    ]


def reasons(lines: Sequence[Line]) -> dict[str, Counter]:
    """Why a question was not asked, and how often so."""
    found: dict[str, Counter] = {column: Counter() for column in columns(lines)}
    for line in lines:
        for column, cell in line.cells.items():
            if cell.mark == NONE:
                found[column]["refused in words" if _refused(cell) else cell.note] += 1
    return {column: counts for column, counts in found.items() if counts}


def remarks(lines: Sequence[Line]) -> list[tuple[str, str, Cell]]:
    """The cells that are red, and those that passed with something to say: (row, column, cell)."""
    cells = [(line, column, cell) for line in lines for column, cell in line.cells.items()]
    red = [(line.name, column, cell) for line, column, cell in cells if cell.mark == FAIL]
    worth = [
        (line.name, column, cell) for line, column, cell in cells
        if (cell.mark == PASS and cell.note and column not in (PLANTED, "broadcasting"))
        or (cell.mark == NONE and _refused(cell))
    ]  # fmt: skip
    return red + worth


def _refused(cell: Cell) -> bool:
    return cell.note.startswith("refused")


# ---------------------------------------------------------------- in a terminal


def terminal(card: Card, everything: bool) -> str:
    """Groups, and the rows that are red or have the largest errors; or every row."""
    asked = columns(card.lines)
    text = [table(("group", *asked, "worst"), group_rows(card.lines))]
    chosen = card.lines if everything else card.failed
    title = "every row" if everything else "rows with a FAIL"
    if not chosen:
        chosen = sorted(card.lines, key=lambda line: -line.worst)[:6]
        title = "the largest errors of a derivative, relative to the largest entry"
    rows = [[line.name, *(short(line.cells[column]) for column in asked)] for line in chosen]
    text.append(f"{title}:\n\n{table(('row', *asked), rows)}")
    for name, column, cell in remarks(card.lines):
        if cell.mark == FAIL:
            text.append(f"FAIL: {name}, {column}: {cell.note}")
    return "\n\n".join([*text, "\n".join(card.summary)])


# ---------------------------------------------------------------- Markdown


def markdown(card: Card) -> str:
    """The whole card."""
    asked = columns(card.lines)
    head = ["group", *asked, "worst error"]
    parts = [
        "# Report card of the derivatives",
        "\n".join(f"- {sentence}" for sentence in card.summary),
        *(f"![{caption}]({path.name})" for caption, path in card.pictures.items()),
        "## What was asked",
        "\n".join(f"- **{column}**: {ABOUT[column]}" for column in asked),
        "A number is the largest error seen, relative to the largest entry. The worst error is "
        "that of a derivative in float64, of any order.",
        "## Groups",
        _markdown_table(head, group_rows(card.lines)),
    ]
    for group, lines in groups(card.lines).items():
        rows = [
            [line.name, *(short(line.cells[c]) for c in asked), rounded(line.worst)]
            for line in lines
        ]
        parts += [f"## {group.capitalize()}", _markdown_table(["row", *head[1:]], rows)]
    parts += ["## Why a question was not asked", "\n".join(_reason_lines(card.lines))]
    told = [f"- {name}, {c}: {cell.mark}: {cell.note}" for name, c, cell in remarks(card.lines)]
    parts += ["## Remarks", "\n".join(told)]
    return "\n\n".join(parts) + "\n"


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in [list(head), rule, *text])


def _reason_lines(lines: Sequence[Line]) -> list[str]:
    return [
        f"- **{column}**: " + "; ".join(f"{note} ({n})" for note, n in counts.most_common())
        for column, counts in reasons(lines).items()
    ]


# ---------------------------------------------------------------- HTML

STYLE = """
:root { --ink: #1c2733; --soft: #5d6b7a; --line: #dfe5eb; --ok: #e6f4ea; --no: #fbdcd9; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); margin: 2rem auto; padding: 0 1rem;
  max-width: 1280px; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
.verdict { display: inline-block; padding: .2rem .8rem; border-radius: 4px; font-weight: 700; }
.pass { background: var(--ok); color: #14532d; } .fail { background: var(--no); color: #8c1d13; }
ul { padding-left: 1.2rem; } figure { margin: 1rem 0; }
img { max-width: 100%; box-sizing: border-box; border: 1px solid var(--line); border-radius: 4px; }
figcaption { color: var(--soft); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .5rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; font-size: .87rem; }
th:first-child, td:first-child { text-align: left; }
thead th { position: sticky; top: 0; background: #fff; white-space: normal;
  vertical-align: bottom; }
thead button { font: inherit; font-weight: 600; border: 0; background: none; cursor: pointer;
  text-align: inherit; padding: 0; color: var(--ink); }
tr.group td { background: #f3f6f9; font-weight: 600; text-align: left; }
td.pass { background: var(--ok); } td.none { color: var(--soft); }
td.fail { background: var(--no); color: #8c1d13; font-weight: 700; }
.tools { display: flex; gap: 1.5rem; align-items: center; margin: .6rem 0; flex-wrap: wrap; }
.tools input[type=search] { font: inherit; padding: .3rem .6rem; min-width: 18rem; }
@media (max-width: 66rem) { .table { overflow-x: auto; }
  th:first-child, td:first-child { position: sticky; left: 0; background: #fff; z-index: 1;
    white-space: normal; min-width: 8rem; max-width: 11rem; }
  tr.group td:first-child { position: static; max-width: none; background: #f3f6f9; } }
"""

SCRIPT = """
const body = document.querySelector('#rows tbody'), rows = [...body.rows];
const text = document.querySelector('#text'), red = document.querySelector('#red');
function filter() {
  const wanted = text.value.toLowerCase();
  for (const row of rows) row.hidden = row.className === 'group'
    ? Boolean(wanted || red.checked || body.dataset.sorted)
    : !row.textContent.toLowerCase().includes(wanted) || red.checked && !row.querySelector('.fail');
}
text.oninput = red.onchange = filter;
document.querySelectorAll('#rows thead button').forEach((button, k) => button.onclick = () => {
  const same = body.dataset.sorted === String(k), turn = same && body.dataset.turn === '1' ? -1 : 1;
  body.dataset.sorted = k; body.dataset.turn = turn;
  const key = row => row.cells[k].dataset.v;
  const compare = (a, b) => k ? key(b) - key(a) : key(a).localeCompare(key(b));
  const of = rows.filter(row => row.className !== 'group');
  body.append(...of.sort((a, b) => turn * compare(a, b)));
  filter();
});
"""


def page(card: Card) -> str:
    """The whole card as one HTML page, which needs nothing else: pictures are inside it."""
    red = card.failed
    verdict = f"{len(red)} rows with a FAIL" if red else f"{PASS}: nothing is red"
    told = "".join(
        f"<li><b>{html.escape(name)}</b>, {column}: {cell.mark}: {html.escape(cell.note)}</li>"
        for name, column, cell in remarks(card.lines)
    )
    why = "".join(f"<li>{_strong(line[2:])}</li>" for line in _reason_lines(card.lines))
    about = "".join(f"<li><b>{c}</b>: {html.escape(ABOUT[c])}</li>" for c in columns(card.lines))
    summary = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in card.summary)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Report card of the derivatives</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{STYLE}</style></head><body>
<h1>Report card of the derivatives</h1>
<p class="verdict {"fail" if red else "pass"}">{verdict}</p>
<ul>{summary}</ul>
<h2>Groups</h2>
{_html_groups(card.lines)}
<h2>Every row</h2>
<p>A number is the largest error seen, relative to the largest entry; “{NONE}” means that the
question makes no sense there. The worst error is that of a derivative in float64, of any order.
Point at a cell for its reason; click a heading to sort.</p>
<div class="tools"><input type="search" id="text" placeholder="filter rows, say conv2d">
<label><input type="checkbox" id="red"> only rows with a FAIL</label></div>
{_html_rows(card.lines)}
<h2>What was asked</h2><ul>{about}</ul>
<h2>Why a question was not asked</h2><ul>{why}</ul>
<h2>Remarks</h2><ul>{told}</ul>
<h2>Pictures</h2>
{"".join(_html_picture(caption, path) for caption, path in card.pictures.items())}
<script>{SCRIPT}</script></body></html>
"""


def _strong(markdown_line: str) -> str:
    """**a**: b as HTML"""
    _, name, rest = markdown_line.split("**", 2)
    return f"<b>{name}</b>{html.escape(rest)}"


def _html_groups(lines: Sequence[Line]) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("group", *columns(lines), "worst error"))
    rows = []
    for row in group_rows(lines):
        cells = [f"<td>{html.escape(row[0])}</td>"]
        for text in row[1:-1]:
            kind = "fail" if FAIL in text else "none" if text == NONE else "pass"
            cells.append(f'<td class="{kind}">{text}</td>')
        rows.append(f"<tr>{''.join(cells)}<td>{row[-1]}</td></tr>")
    body = "".join(rows)
    return _html_table(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


def _html_table(table: str) -> str:
    """In a box in which it scrolls sideways where the window is narrow."""
    return f'<div class="table" tabindex="0">{table}</div>'


def _html_rows(lines: Sequence[Line]) -> str:
    asked = columns(lines)
    names = "row", *asked, "worst error"
    head = "".join(f'<th><button type="button">{name}</button></th>' for name in names)
    rows = []
    for group, part in groups(lines).items():
        rows.append(f'<tr class="group"><td colspan="{len(names)}">{html.escape(group)}</td></tr>')
        for line in part:
            name = html.escape(line.name)
            cells = [f'<td data-v="{name}">{name}</td>']
            cells += [_html_cell(line.cells[column]) for column in asked]
            cells.append(f'<td data-v="{_order_of(line.worst)}">{rounded(line.worst)}</td>')
            rows.append(f"<tr>{''.join(cells)}</tr>")
    body = "\n".join(rows)
    return _html_table(
        f'<table id="rows"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    )


def _html_cell(cell: Cell) -> str:
    kind = {PASS: "pass", NONE: "none", FAIL: "fail"}[cell.mark]
    value = {PASS: cell.error, NONE: -1.0, FAIL: math.inf}[cell.mark]
    note = f' title="{html.escape(cell.note)}"' if cell.note else ""
    return f'<td class="{kind}" data-v="{_order_of(value)}"{note}>{html.escape(short(cell))}</td>'


def _order_of(value: float) -> float:
    """What a column is sorted by: no NaN, no ∞."""
    return 0.0 if math.isnan(value) else min(value, 1e300)


def _html_picture(caption: str, path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    source = f'<img alt="{html.escape(caption)}" src="data:image/png;base64,{data}">'
    return f"<figure>{source}<figcaption>{html.escape(caption)}</figcaption></figure>"
