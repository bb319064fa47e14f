"""Tables of Delta Lake and Iceberg in folders: which of the files there are the table's today."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from monitor.errors import DataError, UsageError


def kind_of(folder: Path) -> str | None:
    """`delta` or `iceberg`, where a folder is such a table."""
    if (folder / "_delta_log").is_dir():
        return "delta"
    return "iceberg" if any((folder / "metadata").glob("*.metadata.json")) else None


def files_of(folder: Path, shown: str) -> list[Path]:
    """The files that hold the rows of a table now. Raises DataError where rows in them are deleted or renamed in ways that are not read here, UsageError without the library that reads it."""
    kind = kind_of(folder)
    assert kind is not None
    readers: dict[str, Callable[[Path, str], list[str]]] = {"delta": _delta, "iceberg": _iceberg}
    try:
        found = readers[kind](folder, shown)
    except ImportError:
        raise UsageError(
            f"{shown} is a table of {_NAMES[kind]}: install the extra that reads it (production-monitor[{kind}])"
        ) from None
    return [Path(unquote(urlsplit(each).path) if "://" in each else each) for each in found]


_NAMES = {"delta": "Delta Lake", "iceberg": "Iceberg"}


def _delta(folder: Path, shown: str) -> list[str]:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        table = DeltaTable(str(folder))
        features = set(table.protocol().reader_features or ())
        properties = table.metadata().configuration
        found = table.file_uris()
    except DeltaError as error:
        raise DataError(f"{shown}: the table of Delta Lake cannot be read: {str(error).splitlines()[0]}") from None
    if properties.get("delta.columnMapping.mode", "none") != "none":
        raise DataError(
            f"{shown}: the table maps the names of its columns (delta.columnMapping), which is not read here: let Spark read it (`engine: spark`)"
        )
    if "deletionVectors" in features and _has_deletion_vectors(folder):
        raise DataError(
            f"{shown}: rows of the table are deleted by deletion vectors, which are not read here: run REORG TABLE … APPLY (PURGE), or let Spark read it (`engine: spark`)"
        )
    return found


def _has_deletion_vectors(folder: Path) -> bool:
    """Whether the log of a table speaks of any: in its commits as text, in checkpoints not told, so taken for yes."""
    log = folder / "_delta_log"
    return any(log.glob("*.checkpoint*.parquet")) or any(
        '"deletionVector":{' in each.read_text("utf-8") for each in log.glob("*.json")
    )


def _iceberg(folder: Path, shown: str) -> list[str]:
    from pyiceberg.exceptions import NotInstalledError, ValidationError
    from pyiceberg.table import StaticTable

    newest = max((folder / "metadata").glob("*.metadata.json"), key=lambda each: (each.stat().st_mtime_ns, each.name))
    try:
        tasks = list(StaticTable.from_metadata(str(newest)).scan().plan_files())
    except (ValidationError, NotInstalledError, ValueError, OSError) as error:
        raise DataError(f"{shown}: the table of Iceberg cannot be read: {str(error).splitlines()[0]}") from None
    if any(task.delete_files for task in tasks):
        raise DataError(
            f"{shown}: rows of the table are deleted by files of their own, which are not read here: compact it (rewrite_data_files), or let Spark read it (`engine: spark`)"
        )
    return [task.file.file_path for task in tasks]
