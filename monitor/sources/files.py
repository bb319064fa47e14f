"""Files as one table, by DuckDB embedded: Parquet, CSV and JSON lines; single files, patterns, hive-partitioned folders."""

from __future__ import annotations

import atexit
import csv
import glob
import gzip
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ibis
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
_MEMORY = "1GB"
_COMPRESSIONS = (".gz", ".zst")
_MOST_TABLES = 100
_own = threading.local()
# Tables by connection and path, each with its connection and what the files looked like.
_opened: dict[tuple[int, str], tuple[Any, str, Any]] = {}
atexit.register(_opened.clear)  # DuckDB complains of what outlives it


def connect() -> Any:
    """The DuckDB of this thread, which never fetches anything from anywhere and keeps nothing of the files that it reads."""
    if not hasattr(_own, "connection"):
        connection = ibis.duckdb.connect(autoinstall_known_extensions=False, autoload_known_extensions=False)
        connection.raw_sql("SET TimeZone = 'UTC'")
        connection.raw_sql(f"SET memory_limit = '{_MEMORY}'")
        connection.raw_sql(f"SET temp_directory = '{tempfile.gettempdir()}/production-monitor-duckdb'")
        connection.raw_sql("SET enable_external_file_cache = false")
        _own.connection = connection
    return _own.connection


def open_files(connection: Any, path: str, shown: str) -> Any:
    """The files that `path` names, as an ibis table. Raises SourceUnreachableError if there are none.

    Files that look as they did when this connection opened them last are not opened again.
    """
    mark = fingerprint(path, shown)
    opened_by, seen, table = _opened.get((id(connection), path), (None, "", None))
    if opened_by is not connection or seen != mark:
        table = _open(connection, path, shown)
        if len(_opened) >= _MOST_TABLES:
            _opened.clear()
        _opened[id(connection), path] = (connection, mark, table)
    return table


def _open(connection: Any, path: str, shown: str) -> Any:
    files = find_files(path, shown)
    kind = format_of(files[0])
    others = {file for file in files if format_of(file) != kind}
    if others:
        raise DataError(f"{shown} holds files of different formats: {files[0]} and {sorted(others)[0]}")
    _refuse_case_twins(files[0], kind, shown)
    partitioned = any("=" in part for part in Path(files[0]).parts)
    read = {"parquet": connection.read_parquet, "csv": connection.read_csv}.get(kind or "", connection.read_json)
    # Named by the path, so that statements which were made for it before still serve.
    name = f"at_{hashlib.sha256(path.encode()).hexdigest()[:16]}"
    try:
        return _read(connection, partial(read, files, union_by_name=True, hive_partitioning=partitioned), name)
    except Exception as error:
        raise DataError(f"{shown} cannot be read as {kind}: {str(error).splitlines()[0]}") from None


def _read(connection: Any, read: Callable[..., Any], name: str) -> Any:
    table = read(table_name=name)
    # ibis does not know DuckDB's zoned times in nanoseconds: they are cut to microseconds.
    unknown = [each for each, column in table.schema().items() if "TIMESTAMPTZ_NS" in str(column)]
    if unknown:
        read(table_name=f"{name}_ns")
        quoted = ['"{}"'.format(each.replace('"', '""')) for each in unknown]
        cut = ", ".join(f"CAST({each} AS TIMESTAMPTZ) AS {each}" for each in quoted)
        connection.raw_sql(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT * REPLACE ({cut}) FROM {name}_ns")  # noqa: S608 - names of columns
        table = connection.table(name)
    return table


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


def _refuse_case_twins(file: str, kind: str | None, shown: str) -> None:
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
