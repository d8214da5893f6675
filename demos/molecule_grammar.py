"""The toy grammar of demos.molecules, read from left to right: which symbols may come next."""

import functools
from typing import NamedTuple

SYMBOLS = "CNO=()12 "  # the last is the empty place after the end
VALENCE = {"C": 4, "N": 3, "O": 2}
LENGTH = 14


class Atom(NamedTuple):
    """An atom that may still be bound."""

    free: int  # bonds
    opened: str = ""  # the digit of the ring that it opened
    near: str = ""  # that of the atom before it, with which it cannot close a ring


class State(NamedTuple):
    """What a string's beginning leaves open: all that decides how it may go on."""

    last: str = ""  # symbol; "" before the first
    order: int = 1  # of the bond to the next atom
    branching: bool = False  # the next atom begins a branch
    atoms: tuple[Atom, ...] = ()  # a stack: where open branches began, and the last
    rings: frozenset[str] = frozenset()  # digits that are open


def follow(state: State, symbol: str, valence: bool) -> State | None:
    """The state after one more symbol; None if it may not come, by grammar or (if asked) valence.

    >>> follow(State(), "=", valence=True) is None
    True
    >>> follow(State(), "N", valence=True).atoms
    (Atom(free=3, opened='', near=''),)
    """
    after_atom = state.last != "" and state.last in "CNO12)"
    free = state.atoms[-1].free if state.atoms and valence else 4
    if symbol in VALENCE:
        return None if state.last == " " else _attach(state, symbol, valence)
    if symbol == " ":
        return state._replace(last=" ") if state.last == " " or complete(state) else None
    if symbol == "=":
        fits = free >= 2 and (after_atom or state.last == "(")
        return state._replace(last="=", order=2) if fits else None
    if symbol == "(":
        return state._replace(last="(", branching=True) if after_atom and free >= 1 else None
    if symbol == ")":
        fits = after_atom and len(state.atoms) > 1
        return state._replace(last=")", atoms=state.atoms[:-1]) if fits else None
    return _digit(state, symbol) if state.last in VALENCE and free >= 1 else None


def _attach(state: State, symbol: str, valence: bool) -> State | None:
    """An atom bound to the one before it; that one stays on the stack if a branch begins."""
    if not state.atoms:
        return State(symbol, atoms=(Atom(VALENCE[symbol]),))
    *below, here = state.atoms
    if valence and min(here.free, VALENCE[symbol]) < state.order:
        return None
    stays = (here._replace(free=here.free - state.order),) if state.branching else ()
    new = Atom(VALENCE[symbol] - state.order, near=here.opened)
    return State(symbol, atoms=(*below, *stays, new), rings=state.rings)


def _digit(state: State, digit: str) -> State | None:
    """A ring bond, opened or closed at the atom just placed."""
    here = state.atoms[-1]
    if here.near == digit:
        return None
    here = here._replace(free=here.free - 1)
    if digit not in state.rings:
        atoms = *state.atoms[:-1], here._replace(opened=digit)
        return State(digit, atoms=atoms, rings=state.rings | {digit})
    kept = [
        Atom(a.free, a.opened.replace(digit, ""), a.near.replace(digit, ""))
        for a in (*state.atoms[:-1], here)
    ]
    return State(digit, atoms=tuple(kept), rings=state.rings - {digit})


def complete(state: State) -> bool:
    """Whether the string may end here."""
    return (
        state.last != "" and state.last in "CNO12) " and len(state.atoms) == 1 and not state.rings
    )


@functools.cache
def can_end(state: State, places: int, valence: bool = True) -> bool:
    """Whether it can be completed in so many places: with carbon, closing what is open."""
    if complete(state) or not places:
        return complete(state)
    after = (follow(state, symbol, valence) for symbol in "12)C")
    return any(can_end(state, places - 1, valence) for state in after if state)


@functools.cache
def legal(state: State, places: int) -> dict[str, State]:
    """The symbols that may come, valence kept, if so many places are left; and what follows."""
    after = {symbol: follow(state, symbol, True) for symbol in SYMBOLS}
    return {s: new for s, new in after.items() if new and can_end(new, places - 1)}


def valid(string: str, valence: bool = True) -> bool:
    """Whether a string is one of the grammar's, and, if asked, no atom has too many bonds.

    >>> [valid(s) for s in ("C1CCC1", "CC(=O)N", "O=O", "C1CC", "O(C)(C)C", "C1C1", "C(C)=")]
    [True, True, True, False, False, False, False]
    >>> valid("O(C)(C)C", valence=False)
    True
    """
    state: State | None = State()
    for symbol in string.ljust(LENGTH):
        state = follow(state, symbol, valence) if state else None
    return state is not None and complete(state)
