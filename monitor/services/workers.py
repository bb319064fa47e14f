"""Worker processes, behind a small interface: `Workers.start(function, spec) -> Work` with `wait` and `kill`.

They come from a forkserver that has imported the heavy libraries; each does one piece of work at a time, so that one
that is killed costs nobody else anything, and keeps the references it has read for the next. None outlives its daemon.
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
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from monitor.cores import cores_of_each, use_cores
from monitor.errors import CacheError, DataError, MonitorError, SourceUnreachableError, WorkersUnreachableError

_PRELOAD = ["monitor.services.work", "monitor.services.warm_up"]
_ENVIRONMENT = {
    # One thread of OpenMP a worker: its server must not have any when it forks.
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
# A worker that has taken so much more memory is replaced; and so many may wait for work.
_GROWTH_MB = 1024
_MOST_RESTING = 16
_TRY_AGAIN_AFTER_S = (0.1, 0.3, 1.0)
# What a worker answers as soon as it has read its work, how long that may take, and how many are started for one piece.
_TAKEN = "taken"
_TAKEN_WITHIN_S = 20.0
_MOST_STARTED = 3
_KEPT_ERRORS: tuple[type[MonitorError], ...] = (SourceUnreachableError, DataError, CacheError)


class WorkerDiedError(MonitorError):
    """A worker process ended without a result: it was killed, or what it read was too much for it."""


class WorkFailedError(MonitorError):
    """The work raised an unexpected error."""


class Work:
    """One piece of work in a process that does nothing else meanwhile."""

    def __init__(self, worker: _Worker, workers: WorkerPool, timeout_s: float) -> None:
        self._worker = worker
        self._workers = workers
        self.deadline = time.monotonic() + timeout_s

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return int(self._worker.process.pid)

    @property
    def handles(self) -> list[Any]:
        """What `multiprocessing.connection.wait` waits on."""
        return [self._worker.pipe, self._worker.process.sentinel]

    def is_over(self) -> bool:
        """Whether there is a result, or the worker is gone, or its time is up."""
        return self._worker.pipe.poll() or not self._worker.process.is_alive() or time.monotonic() > self.deadline

    def wait(self, timeout_s: float | None = None) -> Any:
        """The result. Raises what the work raised, WorkerDiedError if the worker died, and kills it when its time is
        up.
        """
        until = self.deadline if timeout_s is None else min(self.deadline, time.monotonic() + timeout_s)
        process, pipe = self._worker.process, self._worker.pipe
        try:
            if not wait(self.handles, max(until - time.monotonic(), 0)) and not pipe.poll():
                raise WorkFailedError("the work took longer than workers.timeout and was ended")
            if not pipe.poll(0.2):
                raise EOFError
            outcome, value, stays = pipe.recv()
        except (EOFError, ConnectionError):
            process.join(5)
            self.kill()
            raise WorkerDiedError(f"the worker process ended without a result (exit code {process.exitcode})") from None
        except WorkFailedError:
            self.kill()
            raise
        self._workers.rest(self._worker, stays=stays)
        return result_of(outcome, value)

    def end(self) -> None:
        """End the worker's process alone; waiting for its result then raises WorkerDiedError."""
        self._worker.process.kill()

    def kill(self) -> None:
        """End the worker, whatever it does."""
        self._worker.end()


@dataclass(eq=False)
class _Worker:
    """A process and the pipe to it."""

    process: Any
    pipe: Connection

    def takes(self, request: tuple[str, Any, int | None]) -> bool:
        """Give it work. False if it was killed before, and it is ended: work that never began counts as no attempt."""
        with contextlib.suppress(OSError, EOFError):
            self.pipe.send(request)
            if self.pipe.poll(_TAKEN_WITHIN_S):
                return bool(self.pipe.recv() == _TAKEN)
        self.end()
        return False

    def end(self) -> None:
        if self.process.is_alive():
            self.process.kill()
        self.process.join(5)
        self.pipe.close()


class WorkerPool:
    """Starts work in processes of this machine; one that has done its work waits for the next."""

    def __init__(self, *, warm: bool = True, at_once: int = 1) -> None:
        """warm: the forkserver imports everything that an evaluation needs; of no use to commands that only look at
        data. at_once: how many work at once, and share the cores.
        """
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOAD if warm else [])
        self._cores = cores_of_each(at_once)
        self._called: set[Work] = set()
        self._resting: list[_Worker] = []

    def start(self, function: str, spec: Any, timeout_s: float = 3600.0, memory_mb: int | None = None) -> Work:
        """Run a function, named as `module:function`, on a picklable specification, in a process that does nothing else
        meanwhile.

        memory_mb: so much address space it may take beyond what it starts with. Raises WorkersUnreachableError.
        """
        request = (function, spec, memory_mb)
        while (worker := self._rested()) is not None:
            if worker.takes(request):
                return Work(worker, self, timeout_s)
        for _ in range(_MOST_STARTED):
            worker = self._started()
            if worker.takes(request):
                return Work(worker, self, timeout_s)
        raise WorkersUnreachableError("each new worker process was ended before it took its work")

    def _started(self) -> _Worker:
        """A new worker; a fork server that was killed is started anew. Raises WorkersUnreachableError."""
        for pause_s in (*_TRY_AGAIN_AFTER_S, None):
            try:
                ours, theirs = self._context.Pipe()
                process = self._context.Process(target=_work, args=(theirs, self._cores), daemon=True)
                with _start_lock, _plain_main(), _environment():
                    process.start()
                theirs.close()
            except (OSError, EOFError) as error:
                if pause_s is None:
                    raise WorkersUnreachableError(
                        f"no worker process can be started: {error or type(error).__name__}"
                    ) from error
                time.sleep(pause_s)
            else:
                return _Worker(process, ours)
        raise AssertionError("the loop above returns or raises")

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

    def rest(self, worker: _Worker, *, stays: bool) -> None:
        """Take back a worker that has done its work."""
        with _start_lock:
            keeps = stays and len(self._resting) < _MOST_RESTING
            if keeps:
                self._resting.append(worker)
        if not keeps:
            worker.end()

    def close(self) -> None:
        """End those that rest."""
        with _start_lock:
            resting, self._resting = self._resting, []
        for worker in resting:
            worker.end()

    def _rested(self) -> _Worker | None:
        with _start_lock:
            while self._resting:
                worker = self._resting.pop()
                if worker.process.is_alive():
                    return worker
                worker.end()
        return None


def result_of(outcome: str, value: Any) -> Any:
    """The result of work, from what `outcome_of` gave where it was done. Raises what the work raised."""
    if outcome == "result":
        return value
    name, message = value
    for kind in _KEPT_ERRORS:
        if kind.__name__ == name:
            raise kind(message)
    raise WorkFailedError(f"{name}: {message}")


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """What the forkserver is started with, at the first start or after it died; the daemon's own environment stays as
    it is.
    """
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


def _work(pipe: Connection, own_cores: int) -> None:
    """What a worker does: one piece of work after the other, until it has grown too large."""
    use_cores(own_cores)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")  # what a window kills is its worker, which the daemon sees
    warnings.simplefilter("ignore")  # advice to programmers; what users should know is a check's verdict
    largest = _pages()[1] + _GROWTH_MB * 2**20
    with contextlib.suppress(EOFError, OSError):
        while True:
            request = pipe.recv_bytes()
            pipe.send(_TAKEN)
            outcome = outcome_of(*ForkingPickler.loads(request))
            stays = _pages()[1] < largest
            pipe.send((*outcome, stays))
            if not stays:
                break
    os._exit(0)


def outcome_of(function: str, spec: Any, memory_mb: int | None = None) -> tuple[str, Any]:
    """Do the work: "result" and what it gave, or "error" with the error's name and words."""
    if memory_mb is not None:
        resource.setrlimit(resource.RLIMIT_AS, (_pages()[0] + memory_mb * 2**20, resource.RLIM_INFINITY))
    try:
        module, name = function.split(":")
        return "result", getattr(importlib.import_module(module), name)(spec)
    except MemoryError:
        return (
            "error",
            ("MemoryError", "the window does not fit into memory: lower sample.rows, or raise workers.memory_limit"),
        )
    except Exception as error:
        return "error", (type(error).__name__, str(error))
    finally:
        if memory_mb is not None:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _pages() -> tuple[int, int]:
    """The address space and the memory that this process takes, in bytes."""
    space, memory, *_ = Path("/proc/self/statm").read_text().split()
    return int(space) * resource.getpagesize(), int(memory) * resource.getpagesize()


def _die_with_parent() -> None:
    """A worker must not outlive its daemon, however that ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
