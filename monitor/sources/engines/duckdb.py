"""Files as one table, by DuckDB embedded."""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import tempfile
import threading
from collections.abc import Callable, Hashable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd

from monitor.domain.text import first_line
from monitor.errors import DataError
from monitor.sources import files
from monitor.sources.engines.base import Engine, Within
from monitor.sources.records.kept import BadRecords, kept, refuse_nothing, times_beside
from monitor.sources.spec import Place

_MEMORY = "1GB"
_MOST_TABLES = _MOST_STATEMENTS = 100
_own = threading.local()
# Files by connection and place, and queries of them.
_opened: dict[tuple[int, Place], _Opened] = {}
_queries: dict[tuple[int, Place], tuple[_Opened, Any]] = {}
atexit.register(_opened.clear)  # DuckDB complains of what outlives it
atexit.register(_queries.clear)
# Statements by what they do: to make one takes longer than to read a small window.
_statements: dict[Hashable, str] = {}


class DuckDB(Engine):
    """The DuckDB of this thread, which never fetches anything from anywhere; of text files it reads what is kept of them as Parquet."""

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
        opened = self._opened(place)
        if not place.is_asked:
            return opened.table
        key = (id(self.connection), place)
        if key not in _queries or _queries[key][0] is not opened:
            if len(_queries) >= _MOST_TABLES:
                _queries.clear()
            _queries[key] = (opened, _asked(self.connection, opened.table, place))
        return _queries[key][1]

    def _opened(self, place: Place) -> _Opened:
        assert place.path is not None
        key, mark = (
            (id(self.connection), replace(place, query=None, expressions=())),
            files.fingerprint(place.path, place.shown),
        )
        known = _opened.get(key)
        there = known is not None and all(os.path.exists(file) for file in known.kept)
        if known is None or not there or known.connection is not self.connection or known.mark != mark:
            if len(_opened) >= _MOST_TABLES:
                _opened.clear()
            known = _opened[key] = _open(self.connection, place, mark)
        return known

    def serves(self, other: Place) -> bool:
        """All files of this machine."""
        return other.own_path is not None

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
        return sum(files.rows_of(file) for file in self.plain_files(place))

    def plain_files(self, place: Place) -> list[str]:
        """Those of a path that are Parquet, and what others are kept as."""
        return [] if place.is_asked else list(self._opened(place).files)

    def bad_records(self, place: Place, time: str) -> list[tuple[Any, str]]:
        """What of the files could not be read, with the time of the row next to it."""
        found: list[tuple[Any, str]] = []
        for each in self._opened(place).bad:
            found += zip(times_beside(each, time), each.said, strict=True)
        return found


def _statement(key: Hashable, expression: Callable[[Within], Any], within: Within) -> str:
    if key not in _statements:
        if len(_statements) >= _MOST_STATEMENTS:
            _statements.clear()
        places = Within("$start", "$end", within.as_of and "$as_of", "$bound")
        text = str(ibis.to_sql(expression(places), dialect="duckdb"))
        _statements[key] = re.sub(r"'(\$(start|end|as_of|bound))'", r"\1", text)
    return _statements[key]


@dataclass(frozen=True)
class _Opened:
    """Files as a table. mark: what they looked like. files: those of Parquet, as they are or as they were kept (`kept`). bad: what could not be read."""

    connection: Any
    mark: str
    table: Any
    files: tuple[str, ...]
    bad: tuple[BadRecords, ...]
    kept: tuple[str, ...] = ()


def _open(connection: Any, place: Place, mark: str) -> _Opened:
    assert place.path is not None
    found = files.find_files(place.path, place.shown)
    of_parquet = [file for file in found if files.is_parquet(file)]
    # Named by the path, so that statements which were made for it before still serve.
    name = f"at_{hashlib.sha256(repr((place.path, place.read)).encode()).hexdigest()[:16]}"
    if of_parquet and place.read.format is None and not place.read.makes_time:
        if len(of_parquet) < len(found):
            other = next(file for file in found if file not in of_parquet)
            raise DataError(f"{place.shown} holds files of different formats: {of_parquet[0]} and {other}")
        return _open_parquet(connection, found, place, name, mark)
    known = kept(place.path, found, place.read, place.shown)
    refuse_nothing(known, place.shown)
    files.refuse_case_twins(known.columns, place.shown)
    columns = ", ".join(
        quoted_name(each) if kind is not None else f"CAST(NULL AS VARCHAR) AS {quoted_name(each)}"
        for each, kind in known.columns.items()
    )
    listed = ", ".join("'{}'".format(each.replace("'", "''")) for each in known.pieces)
    asked = f"SELECT {columns} FROM read_parquet([{listed}], union_by_name=true)"  # noqa: S608 - names of columns and files
    connection.raw_sql(f"CREATE OR REPLACE TEMP VIEW {name} AS {asked}")
    return _Opened(connection, mark, connection.table(name), known.pieces, known.bad, known.pieces)


def _open_parquet(connection: Any, found: list[str], place: Place, name: str, mark: str) -> _Opened:
    """Parquet files as they are; those that are torn are left out and counted."""
    partitioned = any("=" in part for part in Path(found[0]).parts)
    bad: list[BadRecords] = []
    while True:
        files.refuse_case_twins(files.parquet_names(found[0]), place.shown)
        read = partial(connection.read_parquet, found, union_by_name=True, hive_partitioning=partitioned)
        try:
            return _Opened(connection, mark, _read(connection, read, name), tuple(found), tuple(bad))
        except Exception as error:
            torn = {file: why for file in found if (why := files.torn(file)) is not None}
            bad += [BadRecords("", np.zeros(1, np.int64), [why], os.path.getmtime(file)) for file, why in torn.items()]
            found = [file for file in found if file not in torn]
            if not torn or not found:
                why = first_line(error) if not bad else bad[0].said[0]
                raise DataError(f"{place.shown} cannot be read as parquet: {why}") from None


def _asked(connection: Any, table: Any, place: Place) -> Any:
    """The rows of a place's query, with the columns that its expressions make in the place of those of the same name."""
    if place.query is not None:
        table = _queried(connection, table, place.query, place.shown)
    if place.expressions:
        made = dict(place.expressions)
        kept = [quoted_name(name) for name in table.columns if name not in made]
        new = [f"({sql}) AS {quoted_name(name)}" for name, sql in made.items()]
        query = f"SELECT {', '.join([*kept, *new])} FROM log"  # noqa: S608 - the configuration's own
        table = _queried(connection, table, query, place.shown)
    return table


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
        quoted = [quoted_name(each) for each in unknown]
        cut = ", ".join(f"CAST({each} AS TIMESTAMPTZ) AS {each}" for each in quoted)
        connection.raw_sql(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT * REPLACE ({cut}) FROM {name}_ns")  # noqa: S608 - names of columns
        table = connection.table(name)
    return table


def quoted_name(name: str) -> str:
    """The name of a column or table as DuckDB's SQL has it."""
    return '"{}"'.format(name.replace('"', '""'))
