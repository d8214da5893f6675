"""Who is told of every operation: `anomaly` looks for a NaN, `draw` follows a gradient on its way.

Each thread has a watcher of its own, or none.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

current: ContextVar[Any] = ContextVar("watcher", default=None)
watchers: list = []  # those of all threads: while there are none, nobody is asked for


def watch(watcher: Any) -> Any:
    """From now on, in this thread, tell `watcher` what is computed; None: nobody.

    `watcher.made(y, op, inputs, params)` comes after each output, of operations inside rules too,
    and `watcher.flowed(y, i, g, gᵢ, total)` after a rule turned the g of y into the gᵢ of input i,
    where the gradients so far add up to `total`. Either may raise. Returns who was told before.
    """
    before = current.get()
    if before in watchers:
        watchers.remove(before)
    if watcher is not None:
        watchers.append(watcher)
    current.set(watcher)
    return before


@contextlib.contextmanager
def watched_by(watcher: Any) -> Iterator[Any]:
    """Within it, in this thread, `watcher` is told what is computed."""
    before = watch(watcher)
    try:
        yield watcher
    finally:
        watch(before)
