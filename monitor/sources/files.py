"""The files of a path: Parquet, CSV and JSON lines; single files, patterns, hive-partitioned folders."""

from __future__ import annotations

import csv
import glob
import gzip
import hashlib
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import zstandard

from monitor.errors import DataError, SourceUnreachableError

_FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
}
_COMPRESSIONS = (".gz", ".zst")


def fingerprint(path: str, shown: str) -> str:
    """What the files of a path look like: their names, sizes and times of writing, as one hash."""
    digest = hashlib.sha256()
    for file in find_files(path, shown):
        known = os.stat(file)
        digest.update(f"{file}\0{known.st_size}\0{known.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]


def rows_of(path: str, shown: str) -> int:
    """How many rows Parquet files have, by their footers; 0 for other files."""
    files = find_files(path, shown)
    if format_of(files[0]) != "parquet":
        return 0
    try:
        return sum(parquet.read_metadata(file).num_rows for file in files)
    except (OSError, ValueError):
        return 0  # DuckDB will say what is wrong with it


def columns_of_writing(path: str, shown: str) -> dict[str, str]:
    """Columns that come of how files were written, with what they are: the parts of a partitioned folder's path, and the index of a pandas frame."""
    file = find_files(path, shown)[0]
    found = {part.split("=", 1)[0]: "a part of the files' path" for part in Path(file).parts if "=" in part}
    if format_of(file) == "parquet":
        try:
            told = parquet.read_schema(file).pandas_metadata or {}
        except (OSError, ValueError):
            told = {}  # DuckDB will say what is wrong with it
        found |= {
            name: "the index of a pandas frame" for name in told.get("index_columns", []) if isinstance(name, str)
        }
    return found


def find_files(path: str, shown: str) -> list[str]:
    """The data files that a file, folder or pattern names, sorted."""
    if any(character in path for character in "*?["):
        found = [Path(file) for file in glob.glob(path, recursive=True)]
        missing = f"no file matches {shown}"
    elif Path(path).is_dir():
        found = list(Path(path).rglob("*"))
        missing = f"the folder {shown} holds no Parquet, CSV or JSON lines file"
    else:
        found = [Path(path)]
        missing = f"there is no file {shown}"
        if Path(path).is_file() and format_of(path) is None:
            raise DataError(
                f"{shown} is neither Parquet, CSV nor JSON lines by its name ({', '.join(_FORMATS)}; also .gz and .zst)"
            )
    files = sorted(
        str(file) for file in found if file.is_file() and format_of(str(file)) and not file.name.startswith((".", "_"))
    )
    if not files:
        raise SourceUnreachableError(missing)
    return files


def format_of(file: str) -> str | None:
    """parquet, csv or json, by the name; None for any other."""
    path = Path(file)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSIONS:
        suffixes.pop()
    return _FORMATS.get(suffixes[-1]) if suffixes else None


def refuse_case_twins(file: str, kind: str | None, shown: str) -> None:
    """DuckDB's columns know no case: of `Age` and `age` it would silently rename one."""
    lower: dict[str, str] = {}
    for name in _column_names(file, kind):
        if name.lower() in lower:
            raise DataError(
                f"{shown}: the columns '{lower[name.lower()]}' and '{name}' differ in case alone; rename one of them in the log"
            )
        lower[name.lower()] = name


def _column_names(file: str, kind: str | None) -> list[str]:
    if kind == "parquet":
        try:
            return list(parquet.read_schema(file).names)
        except (OSError, ValueError):
            return []  # DuckDB will say what is wrong with it
    if kind == "csv":
        with _open_text(file) as text:
            header = text.readline()
        return next(
            csv.reader(
                [header], delimiter="\t" if "\t" in header else ";" if ";" in header and "," not in header else ","
            ),
            [],
        )
    return []


def _open_text(file: str) -> Any:
    if file.endswith(".gz"):
        return gzip.open(file, "rt", encoding="utf-8", errors="replace")
    if file.endswith(".zst"):
        return zstandard.open(file, "rt", encoding="utf-8", errors="replace")
    return open(file, encoding="utf-8", errors="replace")
