"""Worker processes, behind a small interface: `Workers.start(function, spec) -> Work` with `wait` and `kill`.

They come from a forkserver that has imported the heavy libraries; each does one piece of work and is gone. A worker
that is killed costs nobody else anything, and none outlives its daemon.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import resource
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from monitor.errors import DataError, MonitorError, SourceUnreachableError

_PRELOAD = ["monitor.services.work", "monitor.services.warm_up"]
_ENVIRONMENT = {
    # One thread a worker: as many workers as cores do the sharing.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Evidently sums over sets of text: with hashes that differ from process to process the last digits would.
    "PYTHONHASHSEED": "0",
    # A stray monitor.py in the working folder must not be taken for this package.
    "PYTHONSAFEPATH": "1",
    # Nothing forks after threads: Arrow's allocator would start one.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
_start_lock = threading.Lock()
_KEPT_ERRORS: tuple[type[MonitorError], ...] = (SourceUnreachableError, DataError)


class WorkerDiedError(MonitorError):
    """A worker process ended without a result: it was killed, or what it read was too much for it."""


class WorkFailedError(MonitorError):
    """The work raised an error that nobody foresaw."""


class Work:
    """One piece of work in a process of its own."""

    def __init__(self, process: Any, results: Connection, timeout_s: float) -> None:
        self._process = process
        self._results = results
        self.deadline = time.monotonic() + timeout_s

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return int(self._process.pid)

    @property
    def handles(self) -> list[Any]:
        """What `multiprocessing.connection.wait` waits on."""
        return [self._results, self._process.sentinel]

    def is_over(self) -> bool:
        """Whether there is a result, or the worker is gone, or its time is up."""
        return self._results.poll() or not self._process.is_alive() or time.monotonic() > self.deadline

    def wait(self, timeout_s: float | None = None) -> Any:
        """The result. Raises what the work raised, WorkerDiedError if the worker died, and kills it when its time is up."""
        until = self.deadline if timeout_s is None else min(self.deadline, time.monotonic() + timeout_s)
        try:
            if not wait(self.handles, max(until - time.monotonic(), 0)) and not self._results.poll():
                raise WorkFailedError("the work took longer than workers.timeout and was ended")
            if not self._results.poll(0.2):
                self._process.join(5)
                raise WorkerDiedError(f"the worker process ended without a result (exit code {self._process.exitcode})")
            outcome, value = self._results.recv()
        except EOFError:
            self._process.join(5)
            raise WorkerDiedError(
                f"the worker process ended without a result (exit code {self._process.exitcode})"
            ) from None
        finally:
            self.kill()
        if outcome == "result":
            return value
        name, message = value
        for kind in _KEPT_ERRORS:
            if kind.__name__ == name:
                raise kind(message)
        raise WorkFailedError(f"{name}: {message}")

    def end(self) -> None:
        """End the worker's process alone; whoever waits for its result is told that it died."""
        self._process.kill()

    def kill(self) -> None:
        """End the worker, whatever it does."""
        if self._process.is_alive():
            self._process.kill()
        self._process.join(5)
        self._results.close()


class Workers:
    """Starts work in processes of this machine."""

    def __init__(self, *, warm: bool = True) -> None:
        """warm: the forkserver imports everything that an evaluation needs; of no use to commands that only look at data."""
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOAD if warm else [])
        self._called: set[Work] = set()

    def start(self, function: str, spec: Any, timeout_s: float = 3600.0, memory_mb: int | None = None) -> Work:
        """Run a function, named as `module:function`, on a picklable specification, in a process of its own.

        memory_mb: so much address space it may take beyond what it starts with.
        """
        receiving, sending = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_run, args=(sending, function, spec, memory_mb), daemon=True)
        with _start_lock, _plain_main(), _environment():
            process.start()
        sending.close()
        return Work(process, receiving, timeout_s)

    def call(self, function: str, spec: Any, timeout_s: float = 3600.0) -> Any:
        """Run a function in a worker and wait for its result."""
        work = self.start(function, spec, timeout_s)
        self._called.add(work)
        try:
            return work.wait()
        finally:
            self._called.discard(work)

    def end_calls(self) -> None:
        """End what `call` waits for: a source that hangs must not keep the daemon from stopping."""
        for work in list(self._called):
            work.end()


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """What the forkserver is started with, at the first start or after it died; the daemon's own environment stays as it is."""
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _plain_main() -> Iterator[None]:
    """Keep multiprocessing from running the main script again in each worker: our work is importable by name."""
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    main.__spec__ = None
    if file is not None:
        del main.__file__
    try:
        yield
    finally:
        main.__spec__ = spec
        if file is not None:
            main.__file__ = file


def _run(results: Connection, function: str, spec: Any, memory_mb: int | None) -> None:
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")  # what a window kills is its worker, which the daemon sees
    warnings.simplefilter(
        "ignore"
    )  # libraries' advice to their programmers; what users should know is a check's verdict
    if memory_mb is not None:
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limit = taken + memory_mb * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        module, name = function.split(":")
        outcome = ("result", getattr(importlib.import_module(module), name)(spec))
    except MemoryError:
        outcome = (
            "error",
            ("MemoryError", "the window does not fit into memory: lower sample.rows, or raise workers.memory_limit"),
        )
    except Exception as error:
        outcome = ("error", (type(error).__name__, str(error)))
    results.send(outcome)
    results.close()
    os._exit(0)


def _die_with_parent() -> None:
    """A worker must not outlive its daemon, however that ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
