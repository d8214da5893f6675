"""The report card: it shows what was found, it sees every kind of fault, and it fails when red."""

import math
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demos import gradcheck
from demos.common import run
from demos.gradcheck_cases import (
    CORRECT,
    FUNCTIONS,
    KINK,
    POINTS,
    central,
    curve,
    duel,
    forward,
    picture_of,
    portrait,
    richardson,
)
from demos.report_card import Card, Line, markdown, page, short, terminal
from minigrad.gradcheck.report import draw_map
from minigrad.ops import elementwise
from minigrad.samples import GROUPS, ROWS
from minigrad.samples.card import (
    COLUMNS,
    FAIL,
    NONE,
    PASS,
    PLANTED,
    QUESTIONS,
    Cell,
    answers,
    ask,
    verdict_on_planted,
)
from minigrad.samples.planted import planted
from minigrad.samples.trials import Trial
from tests.demos.running import printed

NAMED = {row.name: row for row in ROWS}


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Its output and its folder, run as a user does; warnings are errors."""
    out = tmp_path_factory.mktemp("out")
    return printed("gradcheck", "--quick", "--all", "--out", out), out / "gradcheck"


class Page(HTMLParser):
    """The rows of a page's tables, its links; whether its elements are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.tables, self.cell = [], [], [], None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.links += [v for k, v in attrs.items() if k in ("src", "href")]
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.cell = ["", attrs.get("class", ""), attrs.get("data-v")]
            self.tables[-1][-1].append(self.cell)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in ("td", "th"):
            self.cell = None

    def handle_data(self, data):
        if self.cell is not None:
            self.cell[0] += data


# ---------------------------------------------------------------- what a run leaves


def test_every_row_is_in_the_three_reports(quick):
    printed, folder = quick
    text = (folder / "report.md").read_text("utf-8")
    rows = Page((folder / "report.html").read_text("utf-8")).tables[1]
    names = [row[0][0] for row in rows[1:] if len(row) > 1]
    assert names == [row.name for row in ROWS[:: gradcheck.SOME]]
    for name in names:
        assert re.search(rf"^{re.escape(name)}  ", printed, re.M), name
        assert f"| {name} |" in text
    assert "0 failed" in printed and f"## {next(iter(GROUPS)).capitalize()}" in text


def test_page_needs_nothing_else_and_can_be_read_without_colours(quick):
    found = Page((quick[1] / "report.html").read_text("utf-8"))
    assert found.open == [] and len(found.links) == 2
    assert all(link.startswith("data:image/png;base64,") for link in found.links)
    rows = [row for row in found.tables[1][1:] if len(row) > 1]
    for row in rows:
        assert len(row) == len(COLUMNS) + 2
        for text, kind, value in row[1:-1]:
            assert kind == ("none" if text == NONE else "pass") and text
            assert math.isfinite(float(value))  # what a column is sorted by


def test_pictures_are_drawn(quick):
    for name in ("v_curve.png", "flipped_kernel.png"):
        with Image.open(quick[1] / name) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert min(pixels.shape[:2]) > 500 and pixels.std() > 10


def test_planted_errors_are_counted(quick):
    caught, total = re.search(r"in 3 draws: ([\d,]+) of ([\d,]+)", quick[0]).groups()
    assert caught == total and int(total.replace(",", "")) > 150


# ---------------------------------------------------------------- what is red


def _off(row):
    return row._replace(reference=lambda *xs: np.asarray(row.reference(*xs)) + 1e-9)


def _wide(row):
    return row._replace(fn=lambda *xs: row.fn(*xs).double())


def _by_layout(row):
    c_order = lambda x: x.array.flags.c_contiguous or x.array.ndim < 2
    return row._replace(fn=lambda x: row.fn(x) * (1.0 if c_order(x) else 2.0))


def _needs_entries(row):
    return row._replace(fn=lambda x: row.fn(x) * (x.array.ravel()[0] * 0.0 + 1.0))


FAULTS = {
    "value": _off(NAMED["exp"]),
    "float32": _wide(NAMED["exp"]),
    "memory": _by_layout(NAMED["exp"]),
    "size 0": _needs_entries(NAMED["exp"]),
}


@pytest.mark.parametrize("column", FAULTS)
def test_fault_is_seen(column):
    cell = ask(QUESTIONS[column], FAULTS[column], 0)
    assert cell.mark == FAIL and len(cell.note) > 10 and "\n" not in cell.note
    assert ask(QUESTIONS[column], NAMED["exp"], 0).mark == PASS


@pytest.mark.parametrize("column", ["order 1", "order 2", "order 3", "broadcasting", "ties, kinks"])
def test_wrong_rule_is_seen(column):
    name = {"broadcasting": "multiply", "ties, kinks": "relu"}.get(column, "tanh")
    row = NAMED[name]
    primitive = row.fn(*row.inputs()).primitive
    with planted(primitive, 0, lambda call: 3.7 * call.right()):
        cell = ask(QUESTIONS[column], row, 0)
    assert cell.mark == FAIL and "3.7 times what it should be" in cell.note
    assert "map" not in cell.note and "xx" not in cell.note
    assert ask(QUESTIONS[column], row, 0).mark == PASS


def test_second_derivative_that_is_wrong_alone_is_seen():
    """What is detached is right at order 1."""
    half = lambda call: 0.5 * call.right() + 0.5 * call.right().detach()
    with planted(elementwise.exp, 0, half):
        marks = [ask(QUESTIONS[f"order {n}"], NAMED["exp"], 0).mark for n in (1, 2)]
    assert marks == [PASS, FAIL]


def test_planted_error_that_escapes_is_red():
    row = NAMED["exp"]
    caught = Trial("exp, sign", "sign", "exp", 1, "sign", True)
    found = verdict_on_planted(row, [caught])
    assert (found.mark, found.note) == (PASS, "1 of 1")
    found = verdict_on_planted(row, [caught, caught._replace(name="exp, |g|", caught=0)])
    assert found.mark == FAIL and found.note == "1 of 2 escaped: exp, |g|"
    assert verdict_on_planted(row, []).mark == NONE


@pytest.fixture(scope="module")
def red():
    """A card with one row, whose first derivative is wrong."""
    row = NAMED["exp"]
    with planted(elementwise.exp, 0, lambda call: -call.right()):
        cells = answers(row) | {PLANTED: Cell(PASS, note="5 of 5")}
    return Card([Line("functions", "exp <1>", cells)], ["a sentence"], {})


def test_what_is_red_is_said_in_words(red):
    assert red.failed and red.lines[0].worst == math.inf
    assert short(red.lines[0].cells["order 1"]) == FAIL
    for text in (terminal(red, False), markdown(red)):
        assert "the sign is wrong" in text and "1 FAIL of 1" in text
    found = Page(page(red))
    cells = [cell for row in found.tables[1] for cell in row]
    assert ["FAIL", "fail", "1e+300"] in cells
    assert found.tables[1][2][0][0] == "exp <1>"  # escaped


def test_exit_status_is_1_when_red(red, monkeypatch, tmp_path):
    duels = [duel(CORRECT, 28, range(1))]
    monkeypatch.setattr(sys, "argv", ["demo", "--quick", "--out", str(tmp_path)])
    monkeypatch.setattr(gradcheck, "measure", lambda *_: (red.lines, [], duels))
    picture = lambda *arguments: next(a for a in arguments if isinstance(a, Path)).write_bytes(b"")
    monkeypatch.setattr(gradcheck, "draw_v_curve", picture)
    monkeypatch.setattr(gradcheck, "draw_flipped_kernel", picture)
    with pytest.raises(SystemExit) as stop:
        run(gradcheck.main)
    assert stop.value.code == "error: 1 row failed; expected none"
    assert "the sign is wrong" in (tmp_path / "gradcheck" / "report.html").read_text("utf-8")


def test_convolution_that_is_misjudged_is_red():
    right = duel(CORRECT, 28, range(1))
    assert gradcheck.misjudged([right]) == []
    assert len(gradcheck.misjudged([right._replace(name="sign")])) == 1


def test_negative_seed_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["demo", "--seed", "-1"])
    with pytest.raises(SystemExit, match="error: --seed: got -1; expected at least 0"):
        run(gradcheck.main)


# ---------------------------------------------------------------- the pictures are true


def slope(found, coarse, fine):
    """Of the error between two steps, on logarithmic axes."""
    inside = (found.steps <= coarse) & (found.steps >= fine) & (found.errors > 0)
    return np.polyfit(np.log(found.steps[inside]), np.log(found.errors[inside]), 1)[0]


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("name", ["exp x", "tanh x", "log x"])
def test_errors_fall_with_the_square_of_the_step_and_rise_with_its_inverse(name, order):
    found = curve(FUNCTIONS[name], order)
    assert slope(found, 0.05, 2e-4) == pytest.approx(2, abs=0.05)
    assert slope(found, 1e-7, 1e-12) == pytest.approx(-1, abs=0.05)
    assert found.chosen == 2.0**-17 and found.at_chosen < 1e-9


@pytest.mark.parametrize("kind, power, to", [(forward, 1, 1e-6), (central, 2, 1e-4),
                                             (richardson, 4, 8e-3)])  # fmt: skip
def test_kinds_of_differences_have_their_orders(kind, power, to):
    assert slope(curve(FUNCTIONS["tanh x"], 1, kind), 0.1, to) == pytest.approx(power, abs=0.1)


def test_float32_keeps_five_digits_and_a_kink_spoils_long_steps():
    found = curve(FUNCTIONS["tanh x"], 1, central, np.float32)
    assert 1e-6 < found.errors.min() < 1e-4
    near = curve(lambda x: x.sin().abs(), points=tuple(KINK * p for p in POINTS))
    assert near.errors[near.steps > 3 * KINK].min() > 0.1 and near.at_chosen < 1e-9


@pytest.mark.parametrize("size", [28, 40])
def test_one_projection_accepts_what_this_checker_refuses(size):
    turned = duel("turned by 180°", size, range(4))
    assert sum(j.accepts for j in turned.fast) >= 3
    assert not any(j.accepts for j in turned.ours) and all(j.ratio > 1e3 for j in turned.ours)
    sign, right = (duel(name, size, range(2)) for name in ("sign", CORRECT))
    assert not any(j.accepts for j in [*sign.fast, *sign.ours])
    assert all(j.accepts and j.ratio < 1 for j in [*right.fast, *right.ours])


def test_portrait_shows_the_reports_own_map():
    found = portrait("last column 0", 28, 0)
    assert found.verdict == "FAIL" and found.counts == (28, 784)
    shown = found.where[np.isfinite(found.where).all(1)]
    assert len(shown) == 24 and np.array_equal(shown, np.tile([0.0] * 27 + [1.0], (24, 1)))
    assert not found.wrong[:, -1].any() and found.right[:, :-1].any()


def test_map_is_read_back():
    marks = {k: "x" if k in (1, 5) else "." for k in range(9)}
    read = picture_of(draw_map((3, 3), marks, 1), 3)
    assert read.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
