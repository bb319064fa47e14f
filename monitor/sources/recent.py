"""Labelled rows of recent windows. Samples are kept as files, so that a run reads only labels and no window again."""

from __future__ import annotations

import contextlib
import hashlib
import os
from datetime import datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import feather

from monitor.domain.grid import Window
from monitor.sources.log import Log
from monitor.sources.spec import RecentWindows


def keep(
    log: Log, recent: RecentWindows, window: Window, as_of: datetime, sample: pd.DataFrame, folder: Path
) -> pd.DataFrame:
    """Keep a subsample of a window for later runs, and return it. If it cannot be written, it is read again later."""
    subsample = log.first(sample, recent.rows)
    path = _path(log, recent, window, as_of, folder)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError, pa.ArrowInvalid, pa.ArrowTypeError):
        path.parent.mkdir(parents=True, exist_ok=True)
        feather.write_feather(subsample, temporary, compression="zstd")
        temporary.replace(path)
    return subsample


def labelled(log: Log, recent: RecentWindows, as_of: datetime, folder: Path) -> pd.DataFrame:
    """The rows of recent windows whose labels were known at `as_of`. They do not depend on what is kept."""
    return log.labelled_rows(samples_of(log, recent, folder), as_of)


def samples_of(log: Log, recent: RecentWindows, folder: Path) -> pd.DataFrame:
    """The samples of recent windows, one after the other."""
    parts = []
    for window, read_as_of in recent.windows:
        path = _path(log, recent, window, read_as_of, folder)
        try:
            part = feather.read_feather(path)
            os.utime(path)
        except (OSError, pa.ArrowInvalid):
            part = keep(log, recent, window, read_as_of, log.sample(window, read_as_of, limit=recent.rows), folder)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _path(log: Log, recent: RecentWindows, window: Window, as_of: datetime, folder: Path) -> Path:
    logged_by = as_of if log.spec.logged_at is not None else None
    name = hashlib.sha256(repr((log.spec, window, logged_by, recent.rows)).encode()).hexdigest()[:32]
    return folder / f"{name}.sample"
