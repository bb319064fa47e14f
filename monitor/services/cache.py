"""The folder of this machine in which references lie as files named by their version."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

_UNUSED_S = 30 * 86400.0


def cache_folder() -> Path:
    """The user's cache folder, or one beside temporary files where that cannot be written."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "production-monitor"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return _temporary()
    return folder if os.access(folder, os.W_OK | os.X_OK) else _temporary()


def _temporary() -> Path:
    """A folder beside temporary files that is ours alone: where somebody else has put one of that name, another."""
    folder = Path(tempfile.gettempdir()) / f"production-monitor-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
        return folder
    return _of_this_process()


@cache
def _of_this_process() -> Path:
    return Path(tempfile.mkdtemp(prefix="production-monitor-"))


def kept(folder: Path, version: str, archive: Callable[[], bytes]) -> Path:
    """The file of a reference, whole or not there; `archive` is asked for its bytes if it is not there yet."""
    path = folder / f"{version}.reference"
    if not path.exists():
        whole = path.with_name(f"{path.name}.{os.getpid()}")
        whole.write_bytes(archive())
        whole.replace(path)
    return path


def sweep(folder: Path) -> None:
    """Remove what processes that are gone have half written, and samples that nobody has asked for in a month."""
    oldest = time.time() - _UNUSED_S
    for path in folder.rglob("*.*"):
        half_written = path.suffix[1:].isdigit() and not Path("/proc", path.suffix[1:]).exists()
        with contextlib.suppress(OSError):
            if half_written or (path.suffix == ".sample" and path.stat().st_mtime < oldest):
                path.unlink()
