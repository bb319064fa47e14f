"""Files as one table, by DuckDB embedded."""

from __future__ import annotations

import atexit
import hashlib
import re
import tempfile
import threading
from collections.abc import Callable, Hashable
from dataclasses import asdict, replace
from typing import Any

import ibis
import pandas as pd

from monitor.cores import cores
from monitor.domain.text import first_line
from monitor.errors import DataError
from monitor.sources import files
from monitor.sources.engines.base import Engine, WindowFilter
from monitor.sources.engines.unpacked import quoted_name
from monitor.sources.engines.views import OpenedFiles, open_files
from monitor.sources.records.kept import times_beside
from monitor.sources.spec import Place

_MEMORY = "1GB"
_MOST_TABLES = _MOST_STATEMENTS = 100
_own = threading.local()
# Files by connection and place, and queries of them.
_opened: dict[tuple[int, Place], OpenedFiles] = {}
_queries: dict[tuple[int, Place], tuple[OpenedFiles, Any]] = {}
atexit.register(_opened.clear)  # DuckDB complains of what outlives it
atexit.register(_queries.clear)
# Statements by key: making one takes longer than reading a small window.
_statements: dict[Hashable, str] = {}
atexit.register(_statements.clear)  # their keys hold tables


class DuckDB(Engine):
    """The DuckDB of this thread. It has no network access, and reads text files from their copies as Parquet."""

    joins_labels = True

    def __init__(self, place: Place) -> None:
        """As `Engine`."""
        super().__init__(place)
        self._of_place: dict[Place, OpenedFiles] = {}

    def connect(self, _place: Place) -> Any:
        """One connection a thread."""
        if not hasattr(_own, "connection"):
            connection = ibis.duckdb.connect(autoinstall_known_extensions=False, autoload_known_extensions=False)
            connection.raw_sql("SET TimeZone = 'UTC'")
            connection.raw_sql(f"SET threads = {cores()}")
            connection.raw_sql(f"SET memory_limit = '{_MEMORY}'")
            connection.raw_sql(f"SET temp_directory = '{tempfile.gettempdir()}/production-monitor-duckdb'")
            connection.raw_sql("SET enable_external_file_cache = false")
            _own.connection = connection
        return _own.connection

    def table(self, place: Place) -> Any:
        """The files that a path names, or a query of them as the table `log`. Raises SourceUnreachableError if there
        are none.

        Files that look as they did when this connection opened them last are not opened again.
        """
        opened = self._open(place)
        if not place.is_made_by_sql:
            return opened.table
        key = (id(self.connection), place)
        if key not in _queries or _queries[key][0] is not opened:
            if len(_queries) >= _MOST_TABLES:
                _queries.clear()
            _queries[key] = (opened, _with_query(self.connection, opened.table, place))
        return _queries[key][1]

    def _open(self, place: Place) -> OpenedFiles:
        assert place.path is not None
        key = (id(self.connection), replace(place, query=None, expressions=()))
        fingerprint = files.fingerprint(place.path, place.shown, place.version)
        opened = _opened.get(key)
        if (
            opened is None
            or opened.connection is not self.connection
            or opened.fingerprint != fingerprint
            or not opened.are_there()
        ):
            if len(_opened) >= _MOST_TABLES:
                _opened.clear()
            opened = _opened[key] = open_files(self.connection, place, fingerprint)
        self._of_place[place] = opened
        return opened

    def _opened(self, place: Place) -> OpenedFiles:
        """The files as this engine opened them last."""
        return self._of_place.get(place) or self._open(place)

    def left_out(self, place: Place, table: Any) -> dict[str, str]:
        """Also the columns of files that were left out when they were opened."""
        return {**({} if place.is_made_by_sql else self._opened(place).left_out), **super().left_out(place, table)}

    def serves(self, place: Place) -> bool:
        """All files of this machine."""
        return place.own_path is not None

    def frame(self, name: Hashable, expression: Callable[[WindowFilter], Any], within: WindowFilter) -> pd.DataFrame:
        """The rows of an expression, by a statement that is made once."""
        key = (name, within.as_of is None)
        statement = _statement(key, lambda: _with_parameters(expression, within))
        values = {name: value for name, value in asdict(within).items() if f"${name}" in statement}
        return self._rows(statement, within, values, kept=statement)

    def run(self, expression: Any, within: WindowFilter | None = None) -> pd.DataFrame:
        """The rows of an expression that is used once."""
        return self._rows(str(ibis.to_sql(expression, dialect="duckdb")), within, {})

    def rows_with_ids(self, table: Any, id_column: str, ids: list[Any], within: WindowFilter | None) -> pd.DataFrame:
        """By a statement that is made once, with the ids as a parameter: literals would take longer."""
        rows = _statement(("of ids", table.op()), lambda: str(ibis.to_sql(table, dialect="duckdb")))
        statement = f"SELECT * FROM ({rows}) WHERE {quoted_name(id_column)} IN (SELECT unnest($ids))"  # noqa: S608 - names of columns
        return self._rows(statement, within, {"ids": ids})

    def full_table(self, table: Any) -> tuple[Any, str]:
        """DuckDB's own connection, and the SQL name of a table that was opened here, with all its rows."""
        for opened in self._named_in(table.get_name()):
            opened.view_of_all()
        return self.connection.con, quoted_name(table.get_name())

    def _named_in(self, statement: str) -> list[OpenedFiles]:
        return [
            opened for opened in _opened.values() if opened.connection is self.connection and opened.name in statement
        ]

    def _rows(
        self, statement: str, within: WindowFilter | None, values: dict[str, Any], kept: str | None = None
    ) -> pd.DataFrame:
        """The rows of a statement. values: of its parameters. kept: a reused statement, whose view is kept."""
        for opened in self._named_in(statement):
            view = re.compile(rf"\b{opened.name}\b")
            if within is not None and opened.place.path == self.place.path and view.search(statement):
                statement = view.sub(opened.view_of(within, kept), statement)
            else:  # also where a query is made of it
                opened.view_of_all()
        table = self.connection.con.sql(statement, params=values).to_arrow_table()
        frame: pd.DataFrame = table.to_pandas(date_as_object=False)
        return frame

    def mark(self, place: Place) -> str:
        """Names, sizes and times of writing."""
        return files.fingerprint(place.path or "", place.shown, place.version)

    def rows_by_statistics(self, place: Place) -> int:
        """By the footers of Parquet files."""
        return 0 if place.is_made_by_sql else self._opened(place).rows()

    def plain_files(self, place: Place, within: WindowFilter) -> list[str]:
        """The Parquet files of a path, and the Parquet copies of other files."""
        return [] if place.is_made_by_sql else self._opened(place).fetched(within)

    def bad_records(self, place: Place, time: str) -> list[tuple[Any, str]]:
        """The records of the files that could not be read, with the time of the row next to each."""
        records: list[tuple[Any, str]] = []
        for unreadable in self._opened(place).bad:
            records += zip(times_beside(unreadable, time), unreadable.descriptions, strict=True)
        return records


def _statement(key: Hashable, make: Callable[[], str]) -> str:
    if key not in _statements:
        if len(_statements) >= _MOST_STATEMENTS:
            _statements.clear()
        _statements[key] = make()
    return _statements[key]


def _with_parameters(expression: Callable[[WindowFilter], Any], within: WindowFilter) -> str:
    places = WindowFilter("$start", "$end", within.as_of and "$as_of", "$bound")
    text = str(ibis.to_sql(expression(places), dialect="duckdb"))
    return re.sub(r"'(\$(start|end|as_of|bound))'", r"\1", text)


def _with_query(connection: Any, table: Any, place: Place) -> Any:
    """The rows of a place's query, with the columns that its expressions make in the place of those of the same
    name.
    """
    if place.query is not None:
        table = _queried(connection, table, place.query, place.shown)
    if place.expressions:
        expressions = dict(place.expressions)
        unchanged = [quoted_name(name) for name in table.columns if name not in expressions]
        new = [f"({sql}) AS {quoted_name(name)}" for name, sql in expressions.items()]
        query = f"SELECT {', '.join([*unchanged, *new])} FROM log"  # noqa: S608 - the configuration's own
        table = _queried(connection, table, query, place.shown)
    return table


def _queried(connection: Any, table: Any, query: str, shown: str) -> Any:
    """The rows of a SELECT, to which the files are the table `log`."""
    files_table = table.get_name()
    name = f"{files_table}_{hashlib.sha256(query.encode()).hexdigest()[:16]}"
    statement = f'WITH log AS (SELECT * FROM "{files_table}") SELECT * FROM ({query.strip().rstrip(";")})'  # noqa: S608 - the configuration's own
    try:
        connection.raw_sql(f"CREATE OR REPLACE TEMP VIEW {name} AS {statement}")
        return connection.table(name)
    except Exception as error:
        columns = ", ".join(table.columns)
        raise DataError(
            f"{shown}: the query cannot be read: {first_line(error)}; it asks for the files as the table `log`, whose"
            f" columns are: {columns}"
        ) from None
