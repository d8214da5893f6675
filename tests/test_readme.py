"""What the README says is so: its examples run, its files exist, its counts are true."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
COUNTED = re.findall(r"^\| `([\w/]+\.py)` \| ([\d,]+) \|", README, re.M)


def test_the_examples_run():
    failed, tried = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert tried > 10 and failed == 0


def test_every_path_that_is_named_exists():
    named = re.findall(r"\]\(([\w/.-]+)\)|`((?:minigrad|models|demos)/[\w/.]+)`", README)
    paths = [link or code for link, code in named]
    assert len(paths) > 8
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("path, lines", COUNTED)
def test_line_counts_are_true(path, lines):
    """To 10 %: the table is a reader's guide."""
    found = len((ROOT / path).read_text("utf-8").splitlines())
    assert abs(found / int(lines.replace(",", "")) - 1) < 0.1


def test_the_reading_order_is_counted():
    assert len(COUNTED) >= 8


def test_the_commands_that_are_named_are_there():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in set(re.findall(r"^make (\w+)|`make (\w+)`", README, re.M)):
        name = target[0] or target[1]
        assert re.search(rf"^{name}:", makefile, re.M), name
    for module in set(re.findall(r"python -m (demos[\w.]*)", README)):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists() or module == "demos"
