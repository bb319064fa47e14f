"""Workers on an existing dask.distributed cluster, behind the same interface as those of this machine: they read the
source themselves.
"""

from __future__ import annotations

import time
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from monitor.cache_folder import cache_folder
from monitor.errors import UsageError, WorkersUnreachableError
from monitor.services.cache import kept
from monitor.services.specs import RunSpec
from monitor.services.workers import WorkerDiedError, WorkFailedError, outcome_of, result_of


class DaskWork:
    """One piece of work on the cluster."""

    def __init__(self, future: Any, timeout_s: float) -> None:
        self._future = future
        self._ready, writer = Pipe(duplex=False)
        future.add_done_callback(lambda _: _signal_end(writer))
        self.deadline = time.monotonic() + timeout_s

    @property
    def handles(self) -> list[Any]:
        """What `multiprocessing.connection.wait` waits on."""
        return [self._ready]

    def is_over(self) -> bool:
        """Whether there is a result, or none will come."""
        return bool(self._future.done()) or time.monotonic() > self.deadline

    def wait(self, timeout_s: float | None = None) -> Any:
        """The result. Raises what the work raised, and WorkerDiedError if the cluster lost it."""
        until = self.deadline if timeout_s is None else min(self.deadline, time.monotonic() + timeout_s)
        wait(self.handles, max(until - time.monotonic(), 0))
        try:
            if not self._future.done():
                raise WorkFailedError("the work took longer than workers.timeout and was given up")
            if self._future.status != "finished":
                raise WorkerDiedError(f"the cluster lost the work ({self._future.status}): {self._future.exception()}")
            return result_of(*self._future.result())
        finally:
            self.kill()

    def kill(self) -> None:
        """Cancel the work. A worker of the cluster may still end what it has begun; its result is dropped."""
        self._future.cancel()
        self._ready.close()


class DaskWorkers:
    """Starts work on the cluster at an address such as `tcp://scheduler:8786`. Raises WorkersUnreachableError if nobody
    answers.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client  # an extra that few install
        except ImportError:
            raise UsageError("workers.dask needs dask.distributed: pip install 'production-monitor[dask]'") from None
        try:
            self._client = Client(address, timeout="10s", set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise WorkersUnreachableError(f"the dask cluster at {address} cannot be reached: {error}") from None
        self._archives: dict[str, Any] = {}

    def start(self, function: str, spec: RunSpec, timeout_s: float = 3600.0, memory_mb: int | None = None) -> DaskWork:
        """Run a function, named as `module:function`, on a run's specification. Its memory is the cluster's own
        limit.
        """
        archives = {Path(path).stem: self._archive(path) for path in spec.references.values()}
        future = self._client.submit(run_there, function, spec, archives, pure=False, retries=0)
        return DaskWork(future, timeout_s)

    def _archive(self, path: str) -> Any:
        """A reference on the cluster: sent once, named by its hash."""
        name = Path(path).stem
        if name not in self._archives:
            self._archives[name] = self._client.scatter(Path(path).read_bytes())
        return self._archives[name]

    def close(self) -> None:
        """Leave the cluster."""
        self._client.close()


def run_there(function: str, spec: RunSpec, archives: dict[str, bytes]) -> tuple[str, Any]:
    """What a worker of the cluster does: keep the references as files of its own machine, and work."""
    folder, own = cache_folder(), {}
    for version, path in spec.references.items():
        name = Path(path).stem
        own[version] = str(kept(folder, name, lambda name=name: archives[name]))  # type: ignore[misc]
    return outcome_of(function, replace(spec, references=own))


def _signal_end(writer: Any) -> None:
    try:
        writer.send(None)
    except OSError:  # nobody waits any more
        writer.close()
