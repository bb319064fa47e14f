"""Worker processes run one piece of work at a time, with a deadline. The daemon notices whenever one ends."""

from __future__ import annotations

import os
import signal
import threading
import time

import pyarrow as pa
import pytest

from monitor.cores import cores
from monitor.errors import WorkersUnreachableError
from monitor.services.workers import WorkerDiedError, WorkerPool, WorkFailedError
from monitor.sources.engines.duckdb import DuckDB
from monitor.sources.spec import Place


@pytest.fixture(scope="module")
def workers() -> WorkerPool:
    return WorkerPool(warm=False)


def test_work_is_done_elsewhere_and_its_result_comes_back(workers: WorkerPool) -> None:
    assert workers.call("math:sqrt", 9.0) == 3.0


def test_a_worker_waits_for_the_next_work_unless_it_was_killed_meanwhile(workers: WorkerPool) -> None:
    first = workers.start("time:sleep", 0.0)
    pid = first.pid
    first.wait()
    again = workers.start("time:sleep", 0.0)
    assert again.pid == pid
    again.wait()
    os.kill(pid, signal.SIGKILL)
    workers._resting[-1].process.join(10)
    third = workers.start("time:sleep", 0.0)
    assert third.pid != pid
    third.wait()


def test_a_worker_that_is_killed_before_it_takes_its_work_costs_the_work_nothing(workers: WorkerPool) -> None:
    first = workers.start("time:sleep", 0.0)
    pid = first.pid
    first.wait()
    os.kill(pid, signal.SIGSTOP)  # work that is sent now is never begun
    threading.Timer(0.5, os.kill, (pid, signal.SIGKILL)).start()
    again = workers.start("math:sqrt", 9.0)
    assert again.pid != pid
    assert again.wait() == 3.0


def test_an_error_comes_back_with_its_words(workers: WorkerPool) -> None:
    with pytest.raises(WorkFailedError, match="ValueError: "):
        workers.call("math:sqrt", -1.0)


def test_a_worker_that_dies_is_told_from_one_that_fails(workers: WorkerPool) -> None:
    with pytest.raises(WorkerDiedError, match="without a result"):
        workers.call("os:_exit", 3)


def test_work_that_takes_too_long_is_ended(workers: WorkerPool) -> None:
    started = time.monotonic()
    with pytest.raises(WorkFailedError, match="longer than"):
        workers.call("time:sleep", 60, timeout_s=1.0)
    assert time.monotonic() - started < 30


def test_what_hangs_does_not_keep_the_daemon_from_stopping(workers: WorkerPool) -> None:
    caught: list[BaseException] = []

    def hang() -> None:
        try:
            workers.call("time:sleep", 60)
        except WorkerDiedError as error:
            caught.append(error)

    thread = threading.Thread(target=hang)
    thread.start()
    deadline = time.monotonic() + 30
    while not workers._called:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    workers.end_calls()
    thread.join(20)
    assert len(caught) == 1


def test_a_fork_server_that_was_killed_is_started_anew() -> None:
    from multiprocessing import forkserver

    workers = WorkerPool(warm=False)
    assert workers.call("operator:neg", 1) == -1
    for _ in range(3):
        workers.close()
        os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)  # type: ignore[attr-defined]
        assert workers.call("operator:neg", 2) == -2
    workers.close()


def test_a_machine_that_starts_no_process_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = WorkerPool(warm=False)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workers._context.Process, "start", full)
    monkeypatch.setattr("monitor.services.workers._TRY_AGAIN_AFTER_S", (0.0,))
    with pytest.raises(WorkersUnreachableError, match="No space left on device"):
        workers.call("operator:neg", 1)


def test_workers_share_the_cores_of_the_machine() -> None:
    everything = len(os.sched_getaffinity(0))
    for at_once in (1, everything, 4 * everything):
        workers = WorkerPool(warm=False, at_once=at_once)
        expected = max(1, everything // at_once)
        assert workers.call("tests.integration.test_workers:threads_of", "") == (expected, expected, expected)
        # With a single thread for input and output, reads of Arrow may block each other.
        assert workers.call("tests.integration.test_workers:threads_that_wait", "") > 1
        workers.close()


def threads_of(_spec: str) -> tuple[int, int, int]:
    """The number of threads of Monitor's pools, of Arrow and of DuckDB in a worker."""
    place = Place("log", path="log.parquet")
    [(threads,)] = DuckDB(place).connect(place).con.sql("SELECT current_setting('threads')").fetchall()
    return cores(), pa.cpu_count(), threads


def threads_that_wait(_spec: str) -> int:
    """The number of threads of Arrow for input and output."""
    return pa.io_thread_count()
