"""The benchmark measures what it says, and sees when it cannot."""

import importlib.util
import json
import math
import subprocess
import sys
import time

import numpy as np
import pytest

import minigrad
from demos import foreign_load, whole_trainings
from demos.benchmark import Row
from demos.benchmark_cases import CASES, LAYERS, WANTED, on_device, one_convolution
from demos.benchmark_workers import ask
from demos.foreign_load import ForeignLoad, disturbed
from demos.growth import Line, peak_bytes
from demos.whole_trainings import TRAININGS, Times
from demos.workloads import Alone
from tests.demos.running import assert_one_line, printed, run_demo


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """What a short run prints, and its folder."""
    folder = tmp_path_factory.mktemp("benchmark")
    return printed("benchmark", "--quick", "--only", "W1,conv,adam", "--out", folder), folder


def test_the_first_of_every_chosen_group_has_a_row(quick):
    text, folder = quick
    first = {case.group: case for case in CASES[::-1]}
    for case in CASES:
        chosen = case.group in ("W1", "conv", "adam") and case is first[case.group]
        assert (case.name in text) == chosen
    assert "Python 3" in text and f"NumPy {np.__version__}" in text
    assert (folder / "benchmark" / "ratios.png").stat().st_size > 10_000
    found = json.loads((folder / "benchmark" / "results.json").read_text("utf-8"))
    row = found["seconds"]["W1 dense autoencoder, batch 32"]
    assert {"minigrad", "threads", "products"} <= set(row)
    assert all(0 < seconds < 1 for times in row.values() for seconds in times)
    assert found["machine"]["NumPy"] == f"NumPy {np.__version__}"


@pytest.mark.skipif(not importlib.util.find_spec("numba"), reason="Numba is not installed")
def test_what_numba_compiles_has_a_column(tmp_path, monkeypatch):
    monkeypatch.delenv("MINIGRAD_KERNELS", raising=False)
    printed("benchmark", "--quick", "--only", "adam", "--out", tmp_path)
    found = json.loads((tmp_path / "benchmark" / "results.json").read_text("utf-8"))
    (seconds,) = found["seconds"].values()
    assert {"minigrad", "compiled"} <= set(seconds)


def test_growth_is_drawn(tmp_path):
    text = printed("benchmark", "--growth", "--quick", "--out", tmp_path)
    assert all(f"memory, {model}" in text for model in ("convolutional VAE", "784-width-784"))
    assert (tmp_path / "benchmark" / "growth.png").stat().st_size > 10_000


def test_whole_trainings_have_a_row_each(tmp_path):
    text = printed("benchmark", "--trainings", "--quick", "--out", tmp_path)
    assert all(training.name in text for training in TRAININGS)
    assert (tmp_path / "benchmark" / "trainings.png").stat().st_size > 10_000


def test_an_epoch_shows_every_image_once_and_the_next_in_another_order():
    found = whole_trainings.batches(minigrad, np.arange(12.0)[:, None], 4)
    first, second = (np.concatenate([next(found).numpy()[:, 0] for _ in range(3)]) for _ in "12")
    assert [*sorted(first)] == [*sorted(second)] == [*range(12)]
    assert [*first] != [*second]


def test_a_training_takes_the_sum_of_its_epochs():
    """Ten steps an epoch: 10 (1 + 3) ms of ours, 10 (2 + 6) of theirs."""
    seconds = {"minigrad": [0.001, 0.003], "torch": [0.002, 0.006]}
    cells = Times(TRAININGS[0], 10, seconds, 0.0).cells()
    assert cells == [TRAININGS[0].name, "20", "1.00", "3.00", "0.0", "2.00", "6.00", "0.1", "0.50"]
    assert Times(TRAININGS[0], 10, {"minigrad": [0.1]}, 0.5).cells()[0].startswith("~ ")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--only", "W9"), "--only: got W9; expected some of ('W1'"),
        (("--rounds", "0"), "--rounds, --turn: got 0, 0.4"),
        (("--device", "tpu"), "got 'tpu'; expected 'cpu', 'cuda'"),
    ],
)
def test_what_goes_wrong_is_one_line(arguments, message):
    assert_one_line(run_demo("benchmark", *arguments), message)


@pytest.mark.skipif(minigrad.cuda.is_available(), reason="there is a CUDA device")
def test_no_cuda_is_one_line():
    assert_one_line(run_demo("benchmark", "--device", "cuda"), "cuda: CuPy ")


def test_ratios_are_of_one_turn_against_the_next():
    row = Row(CASES[0], {"minigrad": [1.0, 6.0, 2.0], "torch": [2.0, 3.0, 2.0]}, 0.0)
    assert row.ratios("minigrad", "torch") == [0.5, 2.0, 1.0]
    cells = row.cells(["minigrad", "torch"])
    assert cells == [CASES[0].name, "2000.00", "2000.00", "1.00 (0.50-2.00)"]
    assert row._replace(load=0.5).cells(["minigrad"])[0].startswith("~ ")


# ---------------------------------------------------------------- the cases


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_a_convolution_s_products_are_as_large_as_it_is(layer):
    """Its output has the size that its products were counted for, and all three count alike."""
    work = layer.batch * layer.small**2 * layer.few * layer.many * layer.k**2
    lib = on_device(minigrad, "cpu")
    for wanted in WANTED:
        step, products = one_convolution(lib, Alone(), layer, wanted)
        assert [n * k * m for n, k, m in products] == [work]
        if wanted != "weight gradient":
            (found,) = [step()] if wanted == "forward" else step()
            large = (wanted == "forward") == layer.transposed
            side, channels = (
                (layer.large, layer.few) if large else (layer.small, layer.many)
            )  # fmt: skip
            assert found.shape == (layer.batch, channels, side, side)


# ---------------------------------------------------------------- foreign load


def stat(path, busy: int) -> None:
    """A /proc/stat in which all processors together were busy for so many hundredths."""
    path.write_text(f"cpu  {busy} 0 0 5000 70 0 0 0 0 0\ncpu0 1 2 3 4\n")


def test_foreign_load_is_what_is_busy_less_what_is_ours(tmp_path, monkeypatch):
    file, ours, clock = tmp_path / "stat", iter([5.0, 6.0]), iter([100.0, 102.0])
    monkeypatch.setattr(foreign_load, "STAT", file)
    monkeypatch.setattr(foreign_load.os, "sysconf", lambda _: 100)
    monkeypatch.setattr(foreign_load.time, "process_time", lambda: next(ours))
    monkeypatch.setattr(foreign_load.time, "perf_counter", lambda: next(clock))
    stat(file, 1000)
    with ForeignLoad() as load:
        stat(file, 1000 + 203)  # 2.03 s in 2 s, of which 1 s was ours and 0.03 s are uncertain
    assert load.processors == pytest.approx(0.5) and disturbed(load.processors)


def test_a_system_that_does_not_tell_is_taken_for_quiet(tmp_path, monkeypatch):
    monkeypatch.setattr(foreign_load, "STAT", tmp_path / "nothing")
    with ForeignLoad() as load:
        pass
    assert math.isnan(load.processors) and not disturbed(load.processors)


@pytest.mark.skipif(not foreign_load.STAT.exists(), reason="no /proc/stat on this system")
def test_a_busy_program_is_seen():
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.2)
        with ForeignLoad() as load:
            time.sleep(0.5)
    finally:
        other.kill()
        other.wait()
    assert disturbed(load.processors)


class Library:
    """A library's process that answers with these seconds and loads."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.stdin, self.stdout = list(answers), self, self

    def write(self, text: str) -> None:
        """The number of a case."""

    def flush(self) -> None:
        """Send it."""

    def readline(self) -> str:
        """The next answer; nothing once it has ended."""
        return self.answers.pop(0) if self.answers else ""


def test_a_disturbed_turn_is_taken_again():
    process = Library("3.0 0.9", "1.0 0.02", "9.0 0.0")
    assert ask(process, 0, "W1", tries=3) == (1.0, 0.02) and process.answers == ["9.0 0.0"]
    assert ask(Library("3.0 0.9", "2.0 0.4", "5.0 0.6"), 0, "W1", tries=3) == (2.0, 0.4)
    with pytest.raises(OSError, match="benchmark: W1: a library's process has ended"):
        ask(Library(), 0, "W1", tries=3)


# ---------------------------------------------------------------- growth


def line(cost: str, law) -> Line:
    """That cost at sizes from 1 to 64."""
    sizes = [1, 2, 4, 8, 16, 32, 64]
    return Line(cost, "model", "size", sizes, [law(size) for size in sizes])


def test_exponents_tell_what_is_linear():
    assert line("time", lambda n: 3.0 * n).exponent == pytest.approx(1)
    assert line("time", lambda n: 3.0 * n).is_linear
    assert line("memory", lambda n: 50.0 + n).is_linear  # an overhead
    square = line("time", lambda n: 3.0 * n**2)
    assert square.exponent == pytest.approx(2) and not square.is_linear
    assert square.cells()[-1] == "MORE THAN LINEAR"
    assert not line("memory", lambda n: n * (10 + math.log2(n))).is_linear


def test_peak_memory_is_that_of_a_step():
    def make():
        held = np.ones(500_000)  # 4 MB
        return lambda: (held + 1.0).sum()  # and 4 more while it runs

    assert 8e6 <= peak_bytes(make) < 8.1e6
