"""The quiz: its page says what it should, needs nothing else, and a browser can play it."""

import base64
import io
import json
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import minigrad
from demos import dcgan, which_is_real
from demos.common import run
from demos.quiz_page import Pair, Words, page
from tests.demos.browser import CHROMIUM, Page
from tests.demos.running import assert_one_line, run_demo

VOID = {"meta", "link", "img"}
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def quiz(tmp_path_factory):
    """What the demo prints, and its page."""
    out = tmp_path_factory.mktemp("quiz")
    done = run_demo("which_is_real", "--quick", "--pairs", "5", "--out", out)
    assert done.returncode == 0, done.stderr
    return done.stdout, out / "which_is_real" / "quiz.html"


class Reader(HTMLParser):
    """The elements of a page; AssertionError if they do not nest."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], {}
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.text[self.open[-1]] = self.text.get(self.open[-1], "") + data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def told(text):
    """What the page's JSON block holds."""
    block = re.search(r'<script type="application/json" id="quiz">(.*?)</script>', text, re.S)
    return json.loads(block.group(1))


def pixels(uri):
    """The grey levels in a data URI, (h, w)."""
    assert uri.startswith("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))) as picture:
        return np.asarray(picture.convert("L"))


# ---------------------------------------------------------------- the page, read


def test_page_is_whole_and_alone(quiz):
    text = quiz[1].read_text("utf-8")
    reader = Reader(text)
    assert reader.text["h1"] == "Which digit is real?"
    assert not re.search(r"https?:|//[a-z]", re.sub(r'"data:image[^"]*"', "", text))
    policy = next(a["content"] for a in reader.all("meta") if "http-equiv" in a)
    assert "default-src 'none'" in policy and "http" not in policy
    assert {a["href"] for a in reader.all("link")} == {"data:,"}


def test_page_serves_those_who_do_not_see_or_point(quiz):
    reader = Reader(quiz[1].read_text("utf-8"))
    assert reader.all("html")[0]["lang"] == "en"
    assert all(a["type"] == "button" for a in reader.all("button")) and reader.all("button")
    assert all("alt" in a for a in reader.all("img"))
    assert {"told": "status"} == {a["id"]: a["role"] for a in reader.all("p") if "role" in a}
    assert "prefers-color-scheme: dark" in reader.text["style"]


def test_page_holds_the_pairs():
    rng = np.random.default_rng(0)
    pairs = [Pair(*rng.random((2, 1, 28, 28)), *rng.random(2)) for _ in range(3)]
    found = told(page(pairs, Words("digit </script><b>", "From <here>.", "Others & more.")))
    assert found["kind"] == "digit </script><b>" and len(found["pairs"]) == 3
    for pair, kept in zip(pairs, found["pairs"], strict=True):
        for image, uri in ((pair.real, kept["real"]), (pair.made, kept["made"])):
            assert (pixels(uri) == (image[0] * 255 + 0.5).astype(np.uint8)).all()
        assert kept["d"] == pytest.approx([pair.d_real, pair.d_made], abs=1e-4)
        assert kept["right"] is bool(pair.d_real > pair.d_made)


def test_names_are_text_not_markup():
    text = page([], Words("<i>digit</i>", "From <here>.", "Others & more."))
    assert "<i>" not in text and "From &lt;here&gt;. Others &amp; more." in text


def test_printed_score_is_the_pages(quiz):
    pairs = told(quiz[1].read_text("utf-8"))["pairs"]
    share = sum(pair["right"] for pair in pairs) / len(pairs)
    assert re.search(rf"^the quiz's 5 +{share:.1%} ", quiz[0], re.M)


# ---------------------------------------------------------------- what is in it


def test_real_ones_are_test_images_and_d_is_asked(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["which_is_real", "--quick", "--epochs", "1"])
    players = which_is_real.trained(which_is_real.flags())
    pairs = which_is_real.pairs_of(players, 6, 0)
    images = players.data.test[:][0].numpy()
    found = [(images == pair.real).all((1, 2, 3)) for pair in pairs]
    assert all(same.any() for same in found) and len({same.argmax() for same in found}) == 6
    for kept, image in (("d_real", "real"), ("d_made", "made")):
        x = minigrad.tensor(np.stack([getattr(pair, image) for pair in pairs]))
        expected = players.gan.score(x).sigmoid().numpy()
        np.testing.assert_allclose([getattr(p, kept) for p in pairs], expected, rtol=1e-5)
    again = which_is_real.pairs_of(players, 6, 0)
    assert all((a.made == b.made).all() for a, b in zip(pairs, again, strict=True))


def test_plays_a_finished_game(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(dcgan.Pictures, "draw_all", lambda self: None)
    words = ["--quick", "--epochs", "1", "--conditional", "--seed", "4", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["dcgan", *words])
    dcgan.main()
    file = tmp_path / "dcgan" / "glyphs-conditional" / "game.npz"
    monkeypatch.setattr(sys, "argv", ["which_is_real", "--checkpoint", str(file)])
    players = which_is_real.loaded(which_is_real.flags())
    state = minigrad.load(file)
    for network, kept in (
        (players.gan, state["model"]), (players.shown, state["average"]["module"])
    ):  # fmt: skip
        for name, value in network.state_dict().items():
            assert (np.asarray(value) == np.asarray(kept[name])).all(), name
    assert players.gan.classes == 10 and len(players.data.test) == 200
    pairs = which_is_real.pairs_of(players, 4, 0)
    assert len(pairs) == 4 and not players.gan.training


def test_refuses_another_file(tmp_path):
    other = tmp_path / "other.npz"
    minigrad.save({"weights": minigrad.zeros(2)}, other)
    done = run_demo("which_is_real", "--checkpoint", other, "--out", tmp_path)
    assert_one_line(done, "not a game of demos.dcgan")


@pytest.mark.parametrize("pairs", ["0", "61"])
def test_refuses_so_many_pairs(monkeypatch, pairs):
    monkeypatch.setattr(sys, "argv", ["which_is_real", "--pairs", pairs])
    with pytest.raises(SystemExit, match=f"--pairs: got {pairs}; expected 1 to 60"):
        run(which_is_real.main)


# ---------------------------------------------------------------- the page, played


def side_of_the_real(browser):
    """0 if the left picture is the real one, 1 if the right one is."""
    return browser.value(
        "cards.findIndex(c => pairs.some(p => p.real === c.children[0].getAttribute('src')))"
    )


def text_of(browser, selector):
    return browser.value(f"document.querySelector({selector!r}).textContent")


def shown_alts(browser):
    return browser.value("cards.map(c => c.children[0].alt)")


@needs_browser
def test_a_reader_plays_by_keys_then_by_mouse(quiz):
    right_of_d = sum(pair["right"] for pair in told(quiz[1].read_text("utf-8"))["pairs"])
    with Page(quiz[1]) as browser:
        for k in range(5):  # by keys, wrong at the second
            assert text_of(browser, "#question").startswith(f"Pair {k + 1} of 5")
            assert shown_alts(browser) == ["the digit on the left", "the digit on the right"]
            side = side_of_the_real(browser)
            said = 1 - side if k == 1 else side
            browser.press(("ArrowLeft", "ArrowRight")[said])
            truth = [("real", "made"), ("made", "real")][side]
            assert [alt.split(": ")[1] for alt in shown_alts(browser)] == list(truth)
            assert ("Right" in text_of(browser, "#told")) is (k != 1)
            browser.press(("ArrowLeft", "ArrowRight")[1 - said])  # too late
            assert text_of(browser, "#you") == str(k + 1 - (k >= 1))
            browser.press("Enter")
        verdict = text_of(browser, "#verdict")
        assert verdict.startswith(f"You were right 4 times of 5, D {right_of_d} times: ")
        assert "as well as you, or better, in 19 % of games" in text_of(browser, "#chance")  # 6/32
        assert browser.value("document.querySelectorAll('#end tbody tr').length") == 5
        browser.click("#again")
        for _ in range(5):  # by mouse, all right
            browser.click(f".card:nth-child({side_of_the_real(browser) + 1})")
            browser.click("#next")
        verdict = text_of(browser, "#verdict")
        assert verdict.startswith(f"You were right 5 times of 5, D {right_of_d} times: ")
        assert browser.asked == []


@needs_browser
def test_fits_a_telephone_and_obeys_the_dark(quiz):
    backs = []
    for dark in (False, True):
        with Page(quiz[1], 360, 700, dark) as browser:
            assert browser.value("document.documentElement.scrollWidth") == 360
            style = "getComputedStyle(document.body)"
            backs.append([
                sum(map(int, re.findall(r"\d+", browser.value(f"{style}.{name}"))[:3]))
                for name in ("backgroundColor", "color")
            ])  # fmt: skip
    (paper, ink), (dark_paper, dark_ink) = backs
    assert paper > 600 > 200 > ink and dark_paper < 150 < 600 < dark_ink
