"""How busy other programs keep the processors while something is measured."""

import os
import time
from pathlib import Path

LIMIT = 0.1  # processors; more than that, and a measurement is disturbed
SURE = 0.03  # seconds: what the kernel counts in hundredths may be that wrong

STAT = Path("/proc/stat")


class ForeignLoad:
    """Within its `with` statement it watches; then `processors` is how many others kept busy.

    All processors' time that is not idle, less this process's own, per second of the clock. So
    the time that a hypervisor took away counts too. NaN where the system does not tell.
    """

    def __enter__(self) -> "ForeignLoad":
        self._start = time.perf_counter(), self._busy()
        return self

    def __exit__(self, *_: object) -> None:
        seconds = time.perf_counter() - self._start[0]
        foreign = self._busy() - self._start[1]
        self.processors = max(foreign - SURE, 0.0) / seconds if foreign == foreign else foreign

    def _busy(self) -> float:
        """Seconds that others have used since the machine was started."""
        if not STAT.exists():
            return float("nan")
        ticks = [int(field) for field in STAT.read_text().split(maxsplit=11)[1:9]]
        user, nice, system, _, _, interrupts, soft, stolen = ticks
        every = (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")
        return every - time.process_time()


def disturbed(processors: float) -> bool:
    """Whether others were too busy for a measurement to be trusted; unknown counts as quiet."""
    return processors > LIMIT


def marked(name: str, processors: float) -> str:
    """The name of a row, with a ~ if its measurement was disturbed."""
    return f"~ {name}" if disturbed(processors) else name
