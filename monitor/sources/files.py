"""The files of a path: single files, patterns, (hive-partitioned) folders."""

from __future__ import annotations

import glob
import hashlib
import os
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as parquet

from monitor.domain.text import first_line
from monitor.errors import DataError, SourceUnreachableError
from monitor.sources import lakes
from monitor.sources.remote import RemotePath, is_hidden

_FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
}
_COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz")
# A text file whose last line has no end may still be written to. It is left alone until it is this old.
SETTLED_S = 60.0


def fingerprint(path: str, shown: str, version: int | None = None) -> str:
    """What the files of a path look like: their names, sizes and times of writing, and whether they may be being
    written, as one hash.
    """
    digest = hashlib.sha256()
    if "://" in path:
        for remote_file in RemotePath(path, shown, version).listed():
            digest.update(f"{remote_file.name}\0{remote_file.mark}\n".encode())
        return digest.hexdigest()[:32]
    settled = time.time() - SETTLED_S
    for file in find_files(path, shown, version):
        stat = os.stat(file)
        may_grow = stat.st_mtime > settled and format_of(file) != "parquet"
        digest.update(f"{file}\0{stat.st_size}\0{stat.st_mtime_ns}\0{may_grow}\n".encode())
    return digest.hexdigest()[:32]


def torn(file: str) -> str | None:
    """Why a Parquet file cannot be read; None if it can."""
    try:
        parquet.read_metadata(file)
    except (OSError, ValueError) as error:
        return f"{Path(file).name}: the file is no whole Parquet: {first_line(error)[:80]}"
    return None


def columns_of_writing(path: str, shown: str) -> dict[str, str]:
    """The columns that the way of writing adds, each with a description: the parts of a partitioned folder's path, and
    the index of a pandas frame.
    """
    file = find_files(path, shown)[0]
    columns = {part.split("=", 1)[0]: "a part of the files' path" for part in Path(file).parts if "=" in part}
    if format_of(file) == "parquet":
        try:
            metadata = parquet.read_schema(file).pandas_metadata or {}
        except (OSError, ValueError):
            metadata = {}  # DuckDB will say what is wrong with it
        columns |= {
            name: "the index of a pandas frame" for name in metadata.get("index_columns", []) if isinstance(name, str)
        }
    return columns


def find_files(path: str, shown: str, version: int | None = None) -> list[str]:
    """The data files that a file, folder or pattern names, sorted; empty ones are left out. version: of a table of
    Delta Lake or Iceberg (`lakes.version_at`), None: its newest.

    Raises DataError for the folder of a table whose files are not all valid.
    """
    if "://" in path:
        remote = RemotePath(path, shown, version)
        remote.refuse_within_table()
        files = [Path(copy) for copy in remote.copies(remote.listed())]
        missing = f"no file is at {shown}"
    elif any(character in path for character in "*?["):
        matches = [Path(file) for file in glob.glob(path, recursive=True)]
        _refuse_tables({file.parent for file in matches}, shown)
        files = [file for file in matches if not file.name.startswith((".", "_"))]
        missing = f"no file matches {shown}"
    elif Path(path).is_dir():
        is_table = lakes.kind_of(Path(path)) is not None
        files = lakes.files_of(Path(path), shown, version) if is_table else _in_folder(Path(path), shown)
        missing = f"the table {shown} holds no rows" if is_table else f"the folder {shown} holds no file"
    else:
        files, missing = [Path(path)], f"there is no file {shown}"
    present = sorted(str(file) for file in files if file.is_file())
    if not present:
        raise SourceUnreachableError(missing)
    filled = [file for file in present if os.stat(file).st_size]
    if not filled:
        raise DataError(f"{shown}: {'the file is' if len(present) == 1 else 'all files are'} empty")
    return filled


def version_at(path: str, shown: str, moment: datetime) -> lakes.Version | None:
    """As `lakes.version_at`, of a path on this machine or elsewhere."""
    if "://" in path:
        return RemotePath(path, shown).version_at(moment)
    folder = Path(path)

    def is_there(number: int) -> bool:
        return all(file.is_file() for file in lakes.files_of(folder, shown, number))

    return lakes.version_at(folder, shown, moment, is_there)


def _in_folder(folder: Path, shown: str) -> list[Path]:
    """The files of a folder whose names are those of a known format; all files if there are none."""
    _refuse_tables({folder}, shown)
    files = [file for file in folder.rglob("*") if not is_hidden(str(file.relative_to(folder)))]
    return [file for file in files if format_of(str(file))] or files


def _refuse_tables(folders: set[Path], shown: str) -> None:
    for ancestor in {above for folder in folders for above in (folder, *folder.parents)}:
        if lakes.kind_of(ancestor) is not None:
            raise DataError(
                f"{shown} lies in a table of Delta Lake or Iceberg, whose folder holds rows of older versions, too:"
                f" name the folder of the table, {ancestor}"
            )


def is_parquet(file: str) -> bool:
    """Whether a file is, or by its name should be, Parquet."""
    if format_of(file) == "parquet":
        return True
    with open(file, "rb") as opened:
        return opened.read(4) == b"PAR1"


def format_of(file: str) -> str | None:
    """parquet, csv or json, by the name; None for any other."""
    path = Path(file)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSIONS:
        suffixes.pop()
    return _FORMATS.get(suffixes[-1]) if suffixes else None


def refuse_case_twins(names: Iterable[str], shown: str) -> None:
    """DuckDB's columns know no case: of `Age` and `age` it would silently rename one."""
    lower: dict[str, str] = {}
    for name in names:
        if name.lower() in lower:
            raise DataError(
                f"{shown}: the columns '{lower[name.lower()]}' and '{name}' differ in case alone; rename one of them in"
                " the log"
            )
        lower[name.lower()] = name


def parquet_names(file: str) -> list[str]:
    """The columns of a Parquet file; none where it is torn."""
    try:
        return list(parquet.read_schema(file).names)
    except (OSError, ValueError):
        return []
