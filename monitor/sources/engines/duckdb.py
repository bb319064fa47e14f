"""Files as one table, by DuckDB embedded."""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import tempfile
import threading
from collections.abc import Callable, Hashable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pandas as pd

from monitor.errors import DataError
from monitor.sources import files
from monitor.sources.engines.base import Engine, Within, times_of_json
from monitor.sources.spec import Place

_MEMORY = "1GB"
_MOST_TABLES = _MOST_STATEMENTS = 100
_MOST_FILES = 20_000
_own = threading.local()
# Tables by connection, path and query, each with its connection and what the files looked like.
_opened: dict[tuple[int, str, str | None], tuple[Any, str, Any]] = {}
atexit.register(_opened.clear)  # DuckDB complains of what outlives it
# By file, size and time of writing, the columns of a CSV file whose dates are guessed.
_dates: dict[tuple[str, int, int], set[str]] = {}
# Statements by what they do: to make one takes longer than to read a small window.
_statements: dict[Hashable, str] = {}


class DuckDB(Engine):
    """The DuckDB of this thread, which never fetches anything from anywhere and keeps nothing of the files that it reads."""

    joins_labels = True

    def connect(self, _place: Place) -> Any:
        """One connection a thread."""
        if not hasattr(_own, "connection"):
            connection = ibis.duckdb.connect(autoinstall_known_extensions=False, autoload_known_extensions=False)
            connection.raw_sql("SET TimeZone = 'UTC'")
            connection.raw_sql(f"SET memory_limit = '{_MEMORY}'")
            connection.raw_sql(f"SET temp_directory = '{tempfile.gettempdir()}/production-monitor-duckdb'")
            connection.raw_sql("SET enable_external_file_cache = false")
            _own.connection = connection
        return _own.connection

    def table(self, place: Place) -> Any:
        """The files that a path names, or a query of them as the table `log`. Raises SourceUnreachableError if there are none.

        Files that look as they did when this connection opened them last are not opened again.
        """
        assert place.path is not None
        connection, key = self.connection, (id(self.connection), place.path, place.query)
        mark = files.fingerprint(place.path, place.shown)
        opened_by, seen, table = _opened.get(key, (None, "", None))
        if opened_by is not connection or seen != mark:
            table = _open(connection, place.path, place.shown)
            if place.query is not None:
                table = _queried(connection, table, place.query, place.shown)
            if len(_opened) >= _MOST_TABLES:
                _opened.clear()
            _opened[key] = (connection, mark, table)
        return table

    def serves(self, other: Place) -> bool:
        """All files of this machine."""
        return other.own_path is not None

    def with_time(self, table: Any, name: str, place: Place) -> Any:
        """Times of JSON are text."""
        return times_of_json(table, name, place)

    def frame(self, what: Hashable, expression: Callable[[Within], Any], within: Within) -> pd.DataFrame:
        """The rows of an expression, by a statement that is made once."""
        statement = _statement((what, within.as_of is None), expression, within)
        values = {name: value for name, value in asdict(within).items() if f"${name}" in statement}
        table = self.connection.con.sql(statement, params=values).to_arrow_table()
        found: pd.DataFrame = table.to_pandas(date_as_object=False)
        return found

    def mark(self, place: Place) -> str:
        """Names, sizes and times of writing."""
        return files.fingerprint(place.path or "", place.shown)

    def rows_by_statistics(self, place: Place) -> int:
        """By the footers of Parquet files."""
        return 0 if place.query is not None else files.rows_of(place.path or "", place.shown)

    def plain_files(self, place: Place) -> list[str]:
        """Those of a path, where they are Parquet."""
        if place.query is not None:
            return []
        found = files.find_files(place.path or "", place.shown)
        return found if files.format_of(found[0]) == "parquet" else []


def _statement(key: Hashable, expression: Callable[[Within], Any], within: Within) -> str:
    if key not in _statements:
        if len(_statements) >= _MOST_STATEMENTS:
            _statements.clear()
        places = Within("$start", "$end", within.as_of and "$as_of", "$bound")
        text = str(ibis.to_sql(expression(places), dialect="duckdb"))
        _statements[key] = re.sub(r"'(\$(start|end|as_of|bound))'", r"\1", text)
    return _statements[key]


def _open(connection: Any, path: str, shown: str) -> Any:
    found = files.find_files(path, shown)
    kind = files.format_of(found[0])
    others = {file for file in found if files.format_of(file) != kind}
    if others:
        raise DataError(f"{shown} holds files of different formats: {found[0]} and {sorted(others)[0]}")
    files.refuse_case_twins(found[0], kind, shown)
    partitioned = any("=" in part for part in Path(found[0]).parts)
    read = {"parquet": connection.read_parquet, "csv": connection.read_csv}.get(kind or "", connection.read_json)
    guessed = _guessed_dates(connection, found) if kind == "csv" else set()
    if guessed:
        read = partial(read, types=dict.fromkeys(sorted(guessed), "string"))
    # Named by the path, so that statements which were made for it before still serve.
    name = f"at_{hashlib.sha256(path.encode()).hexdigest()[:16]}"
    try:
        return _read(connection, partial(read, found, union_by_name=True, hive_partitioning=partitioned), name)
    except Exception as error:
        raise DataError(f"{shown} cannot be read as {kind}: {str(error).splitlines()[0]}") from None


def _guessed_dates(connection: Any, csv_files: list[str]) -> set[str]:
    """The columns whose dates DuckDB reads by a format that it has guessed, with the day or the month first.

    It guesses file by file: 01/05 would be in May here, and 01/13 in January there. Such columns are left as text, until somebody says how they are written.
    """
    found: set[str] = set()
    for file in csv_files:
        known = os.stat(file)
        key = file, known.st_size, known.st_mtime_ns
        if key not in _dates:
            if len(_dates) >= _MOST_FILES:
                _dates.clear()
            _dates[key] = _guessed_dates_of(connection, file)
        found |= _dates[key]
    return found


def _guessed_dates_of(connection: Any, file: str) -> set[str]:
    try:
        asked = connection.con.execute("SELECT DateFormat, TimestampFormat, Columns FROM sniff_csv(?)", [file])
        days, times, columns = asked.fetchall()[0]
    except duckdb.Error:
        return set()  # reading it will say what is wrong
    formats = {"DATE": days, "TIMESTAMP": times}
    guessed = {kind for kind, form in formats.items() if form is not None and not form.startswith("%Y")}
    return {column["name"] for column in columns if column["type"] in guessed}


def _queried(connection: Any, table: Any, query: str, shown: str) -> Any:
    """The rows of a SELECT, to which the files are the table `log`."""
    of_files = table.get_name()
    name = f"{of_files}_{hashlib.sha256(query.encode()).hexdigest()[:16]}"
    asked = f'WITH log AS (SELECT * FROM "{of_files}") SELECT * FROM ({query.strip().rstrip(";")})'  # noqa: S608 - the configuration's own
    try:
        connection.raw_sql(f"CREATE OR REPLACE TEMP VIEW {name} AS {asked}")
        return connection.table(name)
    except Exception as error:
        columns = ", ".join(table.columns)
        raise DataError(
            f"{shown}: the query cannot be read: {str(error).splitlines()[0]}; it asks for the files as the table `log`, whose columns are: {columns}"
        ) from None


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
