"""Tables of Delta Lake and Iceberg in folders: the files that belong to the table now or at an earlier time."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from monitor.domain.text import first_line
from monitor.errors import DataError, UsageError

KINDS = ("delta", "iceberg")


def describes(kind: str, name: str, root: str | None = None) -> bool:
    """Whether a file of that name is metadata of a table. root: the folder of the table, None: any."""
    folder, last = name.rpartition("/")[::2]
    if kind == "delta":
        return f"{folder}/".find("/_delta_log/") >= 0 if root is None else folder.startswith(f"{root}/_delta_log")
    is_metadata = last.endswith((".metadata.json", ".avro"))
    return is_metadata and (folder.endswith("/metadata") if root is None else folder == f"{root}/metadata")


def kind_of(folder: Path) -> str | None:
    """`delta` or `iceberg`, where a folder is such a table."""
    if (folder / "_delta_log").is_dir():
        return "delta"
    return "iceberg" if any((folder / "metadata").glob("*.metadata.json")) else None


@dataclass(frozen=True)
class Version:
    """A version of a table that can still be read. number: Delta Lake's version, Iceberg's snapshot."""

    number: int
    written: datetime


def version_at(folder: Path, shown: str, moment: datetime, is_there: Callable[[int], bool]) -> Version | None:
    """The version of a table that was the newest at a moment, or the oldest that there is where its history does not
    reach that far; None for no table, and for one that has not changed since.

    is_there: whether all files of a version are: else they were vacuumed.
    """
    kind = kind_of(folder)
    if kind is None:
        return None
    versions: list[Version] = sorted(
        _read(_VERSIONS[kind], folder, shown, kind), key=lambda version: (version.written, version.number)
    )
    if not versions or versions[-1].written <= moment:
        return None
    before = [version for version in versions if version.written <= moment]
    for version in [*before[-1:], *versions[len(before) :]]:
        if is_there(version.number):
            return version
    return None


def files_of(folder: Path, shown: str, version: int | None = None) -> list[Path]:
    """The files that hold the rows of a table now, or in a version of it. Raises DataError where rows in them are
    deleted or renamed in ways that are not read here, UsageError without the library that reads it.
    """
    names = listed(folder, shown, version)
    return [Path(unquote(urlsplit(name).path) if "://" in name else name) for name in names]


def listed(folder: Path, shown: str, version: int | None = None) -> list[str]:
    """The same files as the table itself names them. folder: only needs the files that describe the table."""
    kind = kind_of(folder)
    assert kind is not None
    return _read(_FILES[kind], folder, shown, kind, version)


def _read(how: Callable[..., list[Any]], folder: Path, shown: str, kind: str, *more: Any) -> list[Any]:
    try:
        return how(folder, shown, *more)
    except ImportError:
        raise UsageError(
            f"{shown} is a table of {_NAMES[kind]}: install the extra that reads it (production-monitor[{kind}])"
        ) from None


_NAMES = {"delta": "Delta Lake", "iceberg": "Iceberg"}


def _delta(folder: Path, shown: str, version: int | None) -> list[str]:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        table = DeltaTable(str(folder), version=version)
        features = set(table.protocol().reader_features or ())
        properties = table.metadata().configuration
        uris = table.file_uris()
    except DeltaError as error:
        raise DataError(f"{shown}: the table of Delta Lake cannot be read: {first_line(error)}") from None
    if properties.get("delta.columnMapping.mode", "none") != "none":
        raise DataError(
            f"{shown}: the table maps the names of its columns (delta.columnMapping), which is not read here: let Spark"
            " read it (`engine: spark`)"
        )
    if "deletionVectors" in features and _has_deletion_vectors(folder):
        raise DataError(
            f"{shown}: rows of the table are deleted by deletion vectors, which are not read here: run REORG TABLE …"
            " APPLY (PURGE), or let Spark read it (`engine: spark`)"
        )
    return uris


def _delta_versions(folder: Path, shown: str) -> list[Version]:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        history = DeltaTable(str(folder)).history()
    except DeltaError as error:
        raise DataError(f"{shown}: the table of Delta Lake cannot be read: {first_line(error)}") from None
    return [Version(commit["version"], datetime.fromtimestamp(commit["timestamp"] / 1e3, UTC)) for commit in history]


def _has_deletion_vectors(folder: Path) -> bool:
    """Whether the log of a table names any. Checkpoints are not read; a table with one counts as having some."""
    log = folder / "_delta_log"
    return any(log.glob("*.checkpoint*.parquet")) or any(
        '"deletionVector":{' in commit.read_text("utf-8") for commit in log.glob("*.json")
    )


def _iceberg(folder: Path, shown: str, version: int | None) -> list[str]:
    from pyiceberg.exceptions import NotInstalledError, ValidationError

    try:
        tasks = list(_iceberg_table(folder).scan(snapshot_id=version).plan_files())
    except (ValidationError, NotInstalledError, ValueError, OSError) as error:
        raise DataError(f"{shown}: the table of Iceberg cannot be read: {first_line(error)}") from None
    if any(task.delete_files for task in tasks):
        raise DataError(
            f"{shown}: rows of the table are deleted by files of their own, which are not read here: compact it"
            " (rewrite_data_files), or let Spark read it (`engine: spark`)"
        )
    return [task.file.file_path for task in tasks]


def _iceberg_versions(folder: Path, _shown: str) -> list[Version]:
    logged_ids = {entry.snapshot_id for entry in _iceberg_table(folder).metadata.snapshot_log}
    return [
        Version(snapshot.snapshot_id, datetime.fromtimestamp(snapshot.timestamp_ms / 1e3, UTC))
        for snapshot in _iceberg_table(folder).metadata.snapshots
        if snapshot.snapshot_id in logged_ids
    ]


def _iceberg_table(folder: Path) -> Any:
    from pyiceberg.table import StaticTable

    newest = max((folder / "metadata").glob("*.metadata.json"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    endpoint, region = (os.environ.get(name, "") for name in ("AWS_ENDPOINT_URL", "AWS_REGION"))
    properties = {"s3.endpoint": endpoint, "s3.region": region}  # manifests are read from where the table says they are
    return StaticTable.from_metadata(str(newest), {name: value for name, value in properties.items() if value})


_FILES: dict[str, Callable[[Path, str, int | None], list[str]]] = {"delta": _delta, "iceberg": _iceberg}
_VERSIONS: dict[str, Callable[[Path, str], list[Version]]] = {"delta": _delta_versions, "iceberg": _iceberg_versions}
