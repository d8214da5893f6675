"""The page of `demos.which_is_real`: one HTML file, all of it inside, nothing fetched.

Pictures are PNGs in data URIs, the answers are in a JSON block, and a few lines of plain script
ask, tell and count. It obeys the reader's light or dark theme, is usable by keyboard alone, and
says to a screen reader what it shows.
"""

import base64
import html
import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minigrad.draw.images import png


class Pair(NamedTuple):
    """A picture of the data and one that was made, and how real D finds each: 0 to 1."""

    real: np.ndarray  # (c, h, w)
    made: np.ndarray  # (c, h, w)
    d_real: float
    d_made: float


class Words(NamedTuple):
    """What the page says of its pictures."""

    kind: str  # "digit", one of the things shown
    source: str  # where the real ones come from, a sentence
    maker: str  # what made the others, a sentence


def data_uri(image: np.ndarray) -> str:
    """An image (c, h, w) of numbers from 0 to 1 as a PNG in a data URI."""
    pixels = (image.clip(0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)
    colour = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    return "data:image/png;base64," + base64.b64encode(png(colour)).decode("ascii")


def page(pairs: Sequence[Pair], words: Words) -> str:
    """The whole page."""
    told = [
        {
            "real": data_uri(pair.real), "made": data_uri(pair.made),
            "d": [round(pair.d_real, 4), round(pair.d_made, 4)],
            "right": bool(pair.d_real > pair.d_made),
        }
        for pair in pairs
    ]  # fmt: skip
    block = json.dumps({"kind": words.kind, "pairs": told}).replace("<", "\\u003c")
    kind = html.escape(words.kind)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:;
 style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Which {kind} is real?</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style></head><body>
<main>
<header><h1>Which {kind} is real?</h1>
<p id="lead">{html.escape(words.source)} {html.escape(words.maker)} A discriminator, D, plays the
same pairs beside you.</p></header>
<div id="board" aria-label="score so far"><p><b id="you">0</b><span>you</span></p>
<ol id="dots" aria-hidden="true"></ol><p><b id="d">0</b><span>D</span></p></div>
<section id="ask"><h2 id="question" tabindex="-1"></h2>
<div id="cards"><button type="button" class="card"><img alt=""><span></span></button>
<button type="button" class="card"><img alt=""><span></span></button></div>
<p id="told" role="status"></p>
<p class="next"><button type="button" id="next" hidden></button></p>
<p class="keys">Keys: <kbd>←</kbd> left is real, <kbd>→</kbd> right is real, <kbd>Enter</kbd>
goes on.</p></section>
<section id="end" hidden><h2 id="verdict" tabindex="-1"></h2><p id="chance"></p>
<table><thead><tr><th scope="col">pair</th><th scope="col">real</th><th scope="col">made</th>
<th scope="col">you</th><th scope="col">D</th><th scope="col">D finds them real</th></tr></thead>
<tbody></tbody></table>
<p class="next"><button type="button" id="again">Play again, in another order</button></p></section>
<noscript>This quiz needs JavaScript, which is all inside this page.</noscript>
</main>
<script type="application/json" id="quiz">{block}</script>
<script>{SCRIPT}</script></body></html>
"""


STYLE = """
:root { --paper: #f6f4ef; --card: #fff; --ink: #1d2530; --soft: #5a6675; --line: #d9dde3;
  --blue: #1f5fbf; --yes: #1b7a43; --no: #b3261e; --yes-back: #e3f4e9; --no-back: #fbe5e3; }
@media (prefers-color-scheme: dark) { :root { --paper: #12161c; --card: #1c222b; --ink: #e9edf2;
  --soft: #a3afbd; --line: #343d49; --blue: #8ab8ff; --yes: #6fd598; --no: #ff9d94;
  --yes-back: #15301f; --no-back: #3a1b19; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 17px/1.5 system-ui, sans-serif; }
main { max-width: 44rem; margin: 0 auto; padding: 1.5rem 1rem 2rem; }
h1 { font-size: clamp(1.6rem, 6vw, 2.3rem); line-height: 1.15; margin: 0 0 .4rem;
  letter-spacing: -.02em; }
h2 { font-size: 1.15rem; margin: 1.2rem 0 .7rem; } h2:focus { outline: none; }
#lead, .keys, #chance { color: var(--soft); margin: 0; } .keys { font-size: .85rem; }
#board { display: flex; align-items: center; gap: 1rem; margin-top: 1.1rem; padding: .5rem 1.1rem;
  background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
#board p { margin: 0; display: flex; align-items: baseline; gap: .45rem; color: var(--soft); }
#board b { font-size: 1.6rem; color: var(--ink); font-variant-numeric: tabular-nums;
  min-width: 1.2em; text-align: right; }
#dots { list-style: none; display: flex; flex-wrap: wrap; justify-content: center; gap: 5px;
  flex: 1; margin: 0; padding: 0; }
#dots li { width: 11px; display: grid; gap: 3px; }
#dots i { height: 11px; border-radius: 50%; border: 2px solid var(--line); }
#dots i.yes { background: var(--yes); border-color: var(--yes); }
#dots i.no { border-color: var(--no); }
#dots li.now i { border-color: var(--blue); }
#cards { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
.card { font: inherit; color: inherit; background: var(--card); border: 2px solid var(--line);
  border-radius: 14px; padding: .8rem; cursor: pointer; display: block; width: 100%;
  transition: border-color .15s, transform .15s; }
.card img { display: block; width: 100%; aspect-ratio: 1; border-radius: 8px;
  image-rendering: pixelated; background: #000; }
.card span { display: block; min-height: 2em; padding-top: .5rem; font-size: .95rem; }
.card:hover:enabled { border-color: var(--blue); transform: translateY(-2px); }
.card:disabled { cursor: default; }
.card.real { border-color: var(--yes); background: var(--yes-back); }
.card.wrong { border-color: var(--no); background: var(--no-back); }
:focus-visible { outline: 3px solid var(--blue); outline-offset: 3px; }
#told { min-height: 1.6em; margin: .8rem 0; font-weight: 600; }
#told .yes, td.yes { color: var(--yes); } #told .no, td.no { color: var(--no); }
.next { min-height: 3rem; margin: 0 0 .6rem; }
.next button { font: inherit; font-weight: 600; color: var(--paper); background: var(--blue);
  border: 0; border-radius: 10px; padding: .6rem 1.3rem; cursor: pointer; }
kbd { border: 1px solid var(--line); border-radius: 4px; padding: 0 .35em; background: var(--card);
  font: .85em ui-monospace, monospace; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 1.4rem; font-size: .92rem; }
th, td { padding: .35rem .5rem; border-bottom: 1px solid var(--line); text-align: center; }
th { color: var(--soft); font-weight: 600; } td.yes, td.no { font-weight: 700;
  white-space: nowrap; }
td img { width: 42px; height: 42px; display: block; margin: auto; border-radius: 4px;
  image-rendering: pixelated; }
@media (max-width: 30rem) { #cards { gap: .6rem; } .card { padding: .5rem; }
  .card span { min-height: 3.5em; } .keys { display: none; }
  #board { padding: .4rem .7rem; gap: .5rem; } th, td { padding: .3rem .15rem; } }
@media (prefers-reduced-motion: reduce) { * { transition: none !important; } }
"""

SCRIPT = """
const {kind, pairs} = JSON.parse(document.querySelector('#quiz').textContent);
const $ = name => document.querySelector(name);
const cards = [...document.querySelectorAll('.card')], sides = ['left', 'right'];
let order, turned, mine, at;  // turned[k]: the real one is on the right; mine[k]: I was right

const shuffled = list => {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [list[i], list[j]] = [list[j], list[i]];
  }
  return list;
};
const percent = p => (p < .01 ? 'under 1' : p > .99 ? 'over 99' : Math.round(100 * p)) + ' %';
const count = list => list.filter(Boolean).length;

function start() {
  order = shuffled(pairs.map((_, k) => k));
  turned = pairs.map(() => Math.random() < .5);
  mine = []; at = 0;
  $('#end').hidden = true; $('#ask').hidden = false;
  show();
}

function show() {
  const pair = pairs[order[at]];
  $('#question').textContent = `Pair ${at + 1} of ${pairs.length}: one of these is real. Which?`;
  cards.forEach((card, side) => {
    const real = side === Number(turned[at]), [image, text] = card.children;
    card.disabled = false; card.className = 'card';
    image.src = real ? pair.real : pair.made;
    image.alt = `the ${kind} on the ${sides[side]}`;
    text.textContent = `the ${sides[side]} one`;
  });
  $('#told').textContent = ''; $('#next').hidden = true;
  board();
  $('#question').focus({preventScroll: true});
}

function answer(side) {
  if (mine.length > at || $('#ask').hidden) return;
  const pair = pairs[order[at]], right = side === Number(turned[at]);
  mine.push(right);
  cards.forEach((card, s) => {
    const real = s === Number(turned[at]), [image, text] = card.children;
    const truth = real ? 'real' : 'made';
    card.disabled = true;
    card.classList.toggle('real', real);
    card.classList.toggle('wrong', s === side && !right);
    image.alt = `the ${kind} on the ${sides[s]}: ${truth}`;
    text.textContent = `${truth}; D finds it ${percent(pair.d[real ? 0 : 1])} real`;
  });
  $('#told').innerHTML = (right ? '<span class="yes">✓ Right.</span> ' :
    `<span class="no">✗ The real one is on the ${sides[1 - side]}.</span> `) +
    `D was ${pair.right ? 'right' : 'wrong'}${right === pair.right ? ' too' : ''}.`;
  $('#next').textContent = at + 1 < pairs.length ? 'Next pair' : 'The result';
  $('#next').hidden = false;
  board();
  $('#next').focus({preventScroll: true});
}

function board() {
  const seen = order.slice(0, mine.length).map(k => pairs[k].right);
  $('#you').textContent = count(mine);
  $('#d').textContent = count(seen);
  const mark = right => right === undefined ? '' : right ? 'yes' : 'no';
  $('#dots').innerHTML = pairs.map((_, k) => `<li class="${k === at ? 'now' : ''}">` +
    `<i class="${mark(mine[k])}"></i><i class="${mark(seen[k])}"></i></li>`).join('');
}

function luck(n, k) {  // P(k or more of n by tossing a coin)
  let ways = 1, sum = 0;
  for (let i = 0; i <= n; i++) {
    if (i >= k) sum += ways;
    ways = ways * (n - i) / (i + 1);
  }
  return sum / 2 ** n;
}

function finish() {
  const n = pairs.length, you = count(mine), d = count(pairs.map(p => p.right));
  $('#ask').hidden = true; $('#end').hidden = false;
  $('#verdict').textContent = `You were right ${you} times of ${n}, D ${d} times: ` +
    (you > d ? 'you see more than D.' : you < d ? 'D sees more than you.' : 'you are even.');
  $('#chance').textContent = `A tossed coin does as well as you, or better, in ` +
    `${percent(luck(n, you))} of games, and as well as D in ${percent(luck(n, d))}.`;
  const cell = right => `<td class="${right ? 'yes' : 'no'}">${right ? '✓ right' : '✗ wrong'}</td>`;
  $('#end tbody').innerHTML = order.map((k, i) => {
    const {real, made, d, right} = pairs[k];
    return `<tr><td>${i + 1}</td><td><img alt="real ${kind}" src="${real}"></td>` +
      `<td><img alt="made ${kind}" src="${made}"></td>${cell(mine[i])}${cell(right)}` +
      `<td>${percent(d[0])}, ${percent(d[1])}</td></tr>`;
  }).join('');
  at = n; board();
  $('#verdict').focus({preventScroll: true});
}

const forward = () => { at++; at < pairs.length ? show() : finish(); };
cards.forEach((card, side) => card.onclick = () => answer(side));
$('#next').onclick = forward;
$('#again').onclick = start;
document.onkeydown = event => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === 'ArrowLeft') answer(0);
  if (event.key === 'ArrowRight') answer(1);
};
start();
"""
