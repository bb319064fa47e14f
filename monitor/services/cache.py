"""The folder of this machine in which references lie as files named by their version."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

_UNUSED_S = 30 * 86400.0


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
