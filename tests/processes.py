"""Processes that tests started, found again by a mark in their environment."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")


def marked(mark: str) -> list[int]:
    """The processes that carry the mark in their environment."""
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (
                    f"MONITOR_TEST_MARK={mark}".encode() in (entry / "environ").read_bytes()
                    and "Z" not in (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
                ):
                    pids.append(int(entry.name))
            except OSError:
                continue
    return pids


def is_worker(pid: int) -> bool:
    """Whether it is a process that evaluates windows: the first to be killed when memory ends."""
    try:
        return Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "1000"
    except OSError:
        return False


def cpu_seconds(root: int, *, only: bool = False) -> float:
    """CPU seconds of a process and of all that come from it, ended ones included. only: of the process alone."""
    parents, seconds = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        pid = int(stat.parent.name)
        parents[pid], seconds[pid] = int(fields[1]), sum(map(int, fields[11 : 13 if only else 15])) / _TICKS
    counted = {root}
    while not only and (more := {pid for pid, parent in parents.items() if parent in counted} - counted):
        counted |= more
    return sum(seconds.get(pid, 0.0) for pid in counted)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone among all test processes, for as long as this is entered."""
    with open(path, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def wait_until(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
