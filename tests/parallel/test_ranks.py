"""Ranks of MPI make the step of one process, stay equal to the last bit, and end together."""

import time
from pathlib import Path

import numpy as np
import pytest

from demos.mpi import mpiexec, run_ranks
from minigrad.parallel import Threads
from tests.demos.running import ROOT
from tests.parallel.program import ENDS, noisy, steps, trained

RANKS = 3

pytestmark = pytest.mark.skipif(
    mpiexec() is None, reason='no mpiexec or no mpi4py: pip install "minigrad-numpy[parallel]"'
)


def run(*arguments: object) -> tuple[int, str]:
    """Exit status and messages of the ranks; TimeoutExpired if they hang."""
    done = run_ranks(
        RANKS, "-W", "error", "-m", "tests.parallel.program", *arguments, cwd=ROOT, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def ranks(tmp_path_factory) -> list[dict[str, np.ndarray]]:
    """What each rank found."""
    folder: Path = tmp_path_factory.mktemp("ranks")
    status, messages = run(folder)
    assert status == 0, messages
    return [dict(np.load(folder / f"{rank}.npz")) for rank in range(RANKS)]


def test_steps_are_those_of_one_process_on_the_whole_batch(ranks):
    """Parts of 7, 7 and 8, of one example, and none for some; relative to the largest weight."""
    alone, alone_32 = steps(None), steps(None, single=True)
    moved = np.abs(alone["weights"][-1] - alone["weights"][0]).max()
    assert moved > 0.02
    for found in ranks:
        np.testing.assert_allclose(found["losses"], alone["losses"], rtol=1e-12)
        np.testing.assert_allclose(found["weights"], alone["weights"], atol=1e-12)
        np.testing.assert_allclose(found["losses32"], alone_32["losses"], rtol=1e-6)
        np.testing.assert_allclose(found["weights32"], alone_32["weights"], atol=1e-6)


def test_parameters_are_bitwise_the_same_after_every_step(ranks):
    for name in "weights", "hashes", "weights32", "hashes32", "fitted", "losses":
        for found in ranks[1:]:
            np.testing.assert_array_equal(found[name], ranks[0][name])
    assert len(set(ranks[0]["hashes"])) == len(ranks[0]["hashes"])  # every step moves them


def test_as_many_ranks_and_threads_make_the_same_run(ranks):
    """Random numbers too; and a parameter that one part alone uses has its gradient on all."""
    with Threads(RANKS) as threads:
        expected = noisy(threads)["noisy"]
    for found in ranks:
        np.testing.assert_allclose(found["noisy"], expected, rtol=1e-9, atol=1e-13)


def test_fit_keeps_the_first_part_s_running_statistics_on_all_ranks(ranks):
    with Threads(RANKS) as threads:
        expected = trained(threads)
    assert len(expected["buffers"]) == 7 and expected["records"].shape == (3, 2)
    for found in ranks:
        for name in "records", "fitted", "buffers":
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-12)


def test_a_failure_in_one_part_is_told_to_all(ranks):
    for rank, found in enumerate(ranks):
        own = "KeyError: 'broken'"
        assert found["raises"] == (own if rank == 1 else f"WorkerError: rank 1 failed: {own}")
        assert found["untouched"]
        last = rank == RANKS - 1
        assert found["nan"].item().startswith("NonFiniteError: fit: step 1" if last else "Worker")
        assert "got 49 NaN of 147 entries" in found["nan"].item()


def test_ranks_that_do_not_do_the_same_are_told(ranks):
    for found in ranks:
        assert "[(9, " in found["batches"].item() and "(11, " in found["batches"].item()
        assert found["seeds"].item().startswith("ArgumentError: Ranks: got (examples, seed, para")
        assert "parameters of ranks [1, 2] differ from those of rank 0" in found["copies"].item()
        assert found["after"] == ranks[0]["after"] > 0  # and all is well again


TOLD = {
    "raise": "KeyError: 'broken'\nrank 1 failed and ends the others",
    "lack": "DatasetError: mnist: no such folder\nrank 1 failed and ends the others",
    "exit": "SystemExit: had enough\nrank 1 failed and ends the others",
    "kill": "BAD TERMINATION",  # mpiexec's words
}


@pytest.mark.parametrize("end", ENDS)
def test_a_rank_that_ends_ends_the_others(end):
    """They would wait for it forever."""
    start = time.perf_counter()
    status, messages = run(end)
    assert status != 0 and time.perf_counter() - start < 30
    assert TOLD[end] in messages
    told = messages.split("rank 1 failed")[0]
    assert ("Traceback" in told) == (end in ("raise", "exit"))  # where, if it is a mistake
