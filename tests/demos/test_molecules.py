"""demos.molecules: the checker against brute force, and what share of the VAE's strings parse."""

import re
from itertools import product

import numpy as np
import pytest
from PIL import Image

import minigrad
from demos import molecules
from demos.molecule_grammar import LENGTH, SYMBOLS, State, can_end, follow, legal, valid
from minigrad import tensor
from minigrad.gradcheck import check_grads
from tests.demos.running import asked, printed, rows_of

SOURCES = (
    "training strings", "any symbols", "right letters at each place", "VAE, each place drawn",
    "VAE, likeliest symbols", "VAE, masked", "the mask alone",
)  # fmt: skip


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The quick run's folder, what it prints, and the shares of every source."""
    out = tmp_path_factory.mktemp("out")
    text = printed("molecules", "--quick", "--out", out)
    lines = rows_of(text)
    rows = {row[0]: row[1:] for row in lines if row[0] in SOURCES}
    assert tuple(rows) == SOURCES
    return out / "molecules", text, rows


# ---------------------------------------------------------------- the demo


def test_learned_strings_parse_more_often_than_independent_letters(quick):
    grammar = {name: float(row[0].rstrip("%")) for name, row in quick[2].items()}
    assert grammar["training strings"] == grammar["VAE, masked"] == 100
    assert grammar["the mask alone"] == 100 and grammar["any symbols"] < 2
    assert grammar["right letters at each place"] < 5
    assert grammar["VAE, each place drawn"] > 3 * grammar["right letters at each place"] + 5
    assert grammar["VAE, likeliest symbols"] > grammar["VAE, each place drawn"]
    for name, row in quick[2].items():
        assert float(row[1].rstrip("%")) <= grammar[name]  # valence asks for more


def test_none_of_the_training_strings_is_new(quick):
    assert quick[2]["training strings"][3] == "0.0%"
    assert float(quick[2]["the mask alone"][3].rstrip("%")) > 50


def test_sizes_are_learned(quick):
    off = {name: float(row[4]) for name, row in quick[2].items() if row[4] != "-"}
    assert off["training strings"] < off["VAE, each place drawn"] < 0.6
    explained = re.search(r"^atoms: a line through the codes explains (\d+)%", quick[1], re.M)
    assert int(explained[1]) > 60


def test_walk_between_two_strings_is_told_truly(quick):
    walk = quick[1].split("masked\n")[1].split("\n\n")[0].splitlines()
    assert len(walk) == 7
    for line in walk:
        free, parses, masked = re.split(r"\s{2,}", line)
        assert parses == ("yes" if valid(free) else "no") and valid(masked)
        assert not valid(free) or masked == free  # the mask changes nothing that was right


def test_picture_is_drawn(quick):
    assert {path.name for path in quick[0].iterdir()} == {"plane.png"}
    with Image.open(quick[0] / "plane.png") as picture:
        assert np.asarray(picture.convert("RGB")).std() > 10


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--epochs", "0"), "--epochs: got 0; expected at least 1"),
        (("--strings", "5"), "--strings: got 5; expected at least 100"),
    ],
)
def test_what_goes_wrong_is_one_line(tmp_path, arguments, message):
    done = asked("molecules", "--quick", "--out", tmp_path, *arguments)
    assert (done.returncode, done.stderr) == (1, f"error: {message}\n")


# ---------------------------------------------------------------- the grammar


def parses(string):
    """By the demo's rules: innermost branches become [] or [=], and digits are paired."""
    if any(string.count(digit) % 2 for digit in "12"):
        return False
    before = None
    while before != string:
        before = string
        string = re.sub(
            r"\((=?)([^()]*)\)(?![12])",
            lambda m: f"[{m[1]}]" if m[2] and flat(m[2]) else m[0],
            string,
        )
    return flat(string)


def flat(string):
    """A chain whose branches are written [] or [=]."""
    return re.fullmatch(r"[CNO][12]?(\[=?\])*(=?[CNO][12]?(\[=?\])*)*", string) is not None


def test_checker_agrees_with_the_rules_on_every_short_string():
    count = 0
    for length in range(1, 7):
        for letters in product("CO=()1", repeat=length):
            string = "".join(letters)
            with_neighbour = re.search(r"1\(?=?[CO]1", string)  # as in C1C1
            expected = parses(string) and not with_neighbour
            assert valid(string, valence=False) == expected, string
            count += expected
    assert count > 500


@pytest.mark.parametrize(
    "string, grammar, valence",
    [
        ("C1(C)C1", False, False), ("C1CC1", True, True), ("C1(CC1)C1CC1", True, True),
        ("O=O", True, True), ("O=OC", True, False), ("N(C)(C)C", True, True),
        ("N(C)(C)(C)C", True, False), ("C(=O)(=O)", True, True), ("C(=O)(=O)C", True, False),
        ("C=N=C", True, False), ("C=C=C", True, True), ("O1CC1", True, True),
        ("CO1CC1", True, False), ("C12CC12", False, False), ("C(C)1CC1", False, False),
        ("C C", False, False), ("", False, False), ("(C)C", False, False),
    ],
)  # fmt: skip
def test_known_strings(string, grammar, valence):
    assert (valid(string, valence=False), valid(string)) == (grammar, valence)


def test_legal_symbols_can_always_be_completed():
    """Whatever is chosen among them, fourteen places end in a whole string."""
    rng = np.random.default_rng(0)
    flat_weights = np.ones(len(SYMBOLS))
    for string in molecules.draw(rng, 300, lambda place, state: flat_weights):
        assert valid(string) and 1 <= len(string) <= LENGTH
    assert set(legal(State(), 1)) == {"C", "N", "O"} == set(legal(State(), LENGTH))


def test_a_legal_symbol_is_never_left_out():
    """Against all completions of three more symbols."""
    for start in ("C1C", "C(C", "O=", "CC(", "C1CO", "N1(C"):
        state = State()
        for symbol in start:
            state = follow(state, symbol, True)
        found = any(valid(start + "".join(end)) for end in product("CNO=()12 ", repeat=3))
        assert can_end(state, 3) == found, start


# ---------------------------------------------------------------- the likelihood


def test_likelihood_is_the_softmax_of_every_place():
    rng = np.random.default_rng(0)
    x = tensor(molecules.one_hot(["CC=O", "N1CC1"]), dtype=minigrad.float64)
    a = tensor(rng.standard_normal(x.shape), requires_grad=True)
    e = np.exp(a.detach().numpy())
    p = e / e.sum(-1, keepdims=True)
    model = molecules.Categorical()
    expected = -np.log((p * x.numpy()).sum(-1)).sum((1, 2))
    assert model.nll(a, x).detach().numpy() == pytest.approx(expected, rel=1e-12)
    assert model.mean(a).detach().numpy() == pytest.approx(p, rel=1e-12)
    check_grads(lambda a: model.nll(a, x), a)


def test_strings_survive_the_way_through_places():
    strings = ["C", "CC(=O)N", "C1CCCCCCCCCC1"]
    assert molecules.spelled(molecules.one_hot(strings)[:, 0].argmax(-1)) == strings
    assert [molecules.masked(p) for p in molecules.one_hot(strings)[:, 0]] == strings
