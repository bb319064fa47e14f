"""The folder of this machine for what can be made again."""

from __future__ import annotations

import os
import stat
import tempfile
from functools import cache
from pathlib import Path


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
    status = folder.lstat()
    if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077:
        return folder
    return _process_folder()


@cache
def _process_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="production-monitor-"))
