"""Check for anything that would keep the service from working; for `monitor doctor`."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import monitor
from monitor.alerting.channels import open_channel
from monitor.config.load import find, load
from monitor.config.model import AnyChannel, Loaded
from monitor.errors import MonitorError
from monitor.services.check_sources import check_sources
from monitor.services.context import network_of, open_database
from monitor.services.set_aside import dead_letters_of
from monitor.storage import daemons
from monitor.storage.database import Database

_MIN_FREE_MB = 500
_MAX_CLOCK_DIFFERENCE_S = 5.0
_OLDEST = {"PostgreSQL": (12,), "MariaDB": (10, 6), "MySQL": (8, 0)}


@dataclass(frozen=True)
class Diagnosis:
    """The outcome of one check."""

    name: str
    fine: bool
    text: str


def diagnose(config: str | None) -> list[Diagnosis]:
    """Make all checks; those that an earlier fault makes impossible are left out."""
    diagnoses = [_package(), _versions()]
    try:
        path = find(Path.cwd(), config)
        loaded = load(path)
    except MonitorError as error:
        return [*diagnoses, Diagnosis("configuration", False, str(error))]
    diagnoses.append(Diagnosis("configuration", True, f"{path}, {len(loaded.configuration.monitors)} monitors"))
    database = open_database(loaded)
    diagnoses += [_run_check("database", lambda: _database(database)), _disk(database, loaded.folder)]
    problems, unreachable, _ = check_sources(loaded)
    faults = problems + unreachable
    diagnoses.append(
        Diagnosis("sources", not faults, "; ".join(faults) or "they answer, and hold the columns that are named")
    )
    diagnoses += [
        Diagnosis(f"rows of {name}", False, str(dead_letters)) for name, dead_letters in dead_letters_of(loaded).items()
    ]
    if not loaded.configuration.channels:
        advice = "none is configured: alerts reach nobody; add `channels:` and name one in alerts.channels"
        diagnoses.append(Diagnosis("channels", False, advice))
    for name, channel in loaded.configuration.channels.items():
        diagnoses.append(_run_check(f"channel {name}", partial(_reach, channel, loaded)))
    return diagnoses


def _reach(config: AnyChannel, loaded: Loaded) -> str:
    return open_channel(config, loaded.folder, network=network_of(loaded)).reach()


def _run_check(name: str, look: Callable[[], str]) -> Diagnosis:
    try:
        return Diagnosis(name, True, look())
    except MonitorError as error:
        return Diagnosis(name, False, str(error))


def _package() -> Diagnosis:
    """A stray monitor.py in the working folder would be imported in place of this package."""
    here = Path(monitor.__file__).parent
    stray = [
        path
        for path in (Path.cwd() / "monitor.py", Path.cwd() / "monitor" / "__init__.py")
        if path.exists() and path.resolve().parent != here
    ]
    if stray:
        return Diagnosis(
            "package", False, f"{stray[0]} shadows this package for Python programs that start here: rename it"
        )
    return Diagnosis("package", True, f"monitor {monitor.__version__} in {here}")


def _versions() -> Diagnosis:
    parts = [
        f"{name} {importlib.metadata.version(name)}"
        for name in ("evidently", "pandas", "duckdb", "ibis-framework", "sqlglot", "sqlalchemy")
    ]
    return Diagnosis("libraries", True, ", ".join(parts))


def _database(database: Database) -> str:
    revision = database.revision()
    if revision is None:
        return f"{database.shown} does not exist yet; `monitor run` makes it"
    database.require_current()
    text = f"{database.shown}, schema {revision}"
    if database.is_sqlite:
        text += f", SQLite {sqlite3.sqlite_version}"
        if sqlite3.sqlite_version_info < (3, 51, 3):
            text += (
                " (before 3.51.3 a checkpoint beside a commit of another process can corrupt a WAL file: let one"
                " process write at a time, or use PostgreSQL)"
            )
        if database.path is not None and not os.access(database.path, os.W_OK):
            raise MonitorError(f"{database.path} cannot be written: check its owner and mode")
        return text
    name, version = database.server_version()
    if version < _OLDEST[name]:
        oldest = ".".join(map(str, _OLDEST[name]))
        raise MonitorError(
            f"{name} {'.'.join(map(str, version))} is too old: claims need SKIP LOCKED; use {oldest} or newer"
        )
    difference_s = abs((database.read(daemons.database_time) - datetime.now(UTC)).total_seconds())
    if difference_s > _MAX_CLOCK_DIFFERENCE_S:
        raise MonitorError(
            f"this host's clock and the database's are {difference_s:.0f} s apart: let both follow one time server"
        )
    return f"{text}, {name} {'.'.join(map(str, version))}, its clock {difference_s:.1f} s from this host's"


def _disk(database: Database, folder: Path) -> Diagnosis:
    place = database.path.parent if database.path is not None and database.path.parent.exists() else folder
    free = shutil.disk_usage(place).free // 2**20
    return Diagnosis("disk", free >= _MIN_FREE_MB, f"{free} MB free in {place}")
