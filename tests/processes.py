"""Processes that tests started, found again by a mark in their environment."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def marked(mark: str) -> list[int]:
    """The processes that carry the mark in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (
                    f"MONITOR_TEST_MARK={mark}".encode() in (entry / "environ").read_bytes()
                    and "Z" not in (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
                ):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def is_worker(pid: int) -> bool:
    """Whether it is a process that evaluates windows: the first to be killed when memory ends."""
    try:
        return Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "1000"
    except OSError:
        return False


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
