"""Files as views of a DuckDB connection: over all of them, or over those that hold the rows of a statement."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from monitor.domain.text import first_line
from monitor.errors import DataError
from monitor.sources import files
from monitor.sources.engines.base import WindowFilter
from monitor.sources.engines.unpacked import PEEKED, UnpackedColumns, quoted_name, unpacked
from monitor.sources.footers import Footer, RowFilter, footer_of, needed, representative_files
from monitor.sources.records.kept import UnreadableRecords, copy_as_parquet, require_records
from monitor.sources.remote import RemoteParquet
from monitor.sources.spec import Place, ReadSpec

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - of the column's own zone


class OpenedFiles:
    """The files of a place as a view of one connection. fingerprint: of the files when they were opened. bad: records
    that could not be read.

    footers: of the files. look: the files that the view is made from at first; together they have all columns.
    kept: whether they are copies of text files. remote: where the files are; copies are fetched when they are needed.
    """

    def __init__(
        self,
        connection: Any,
        place: Place,
        fingerprint: str,
        name: str,
        footers: Mapping[str, Footer],
        look: Sequence[str],
        types: Mapping[str, str],
        unpacked_columns: UnpackedColumns,
        bad: Sequence[UnreadableRecords] = (),
        kept: bool = False,
        remote: RemoteParquet | None = None,
    ) -> None:
        self.connection, self.place, self.fingerprint, self.name, self.bad = (
            connection,
            place,
            fingerprint,
            name,
            tuple(bad),
        )
        self.left_out = unpacked_columns.left_out
        self._files, self._footers, self._is_kept, self._remote = tuple(footers), footers, kept, remote
        self._types, self._columns = types, unpacked_columns.columns
        self._inside: tuple[str, ...] | None = None
        self._is_whole = tuple(look) == self._files
        self._view(name, read_parquet(look))
        self.table = connection.table(name)

    def _view(self, name: str, rows: str) -> None:
        listed = ", ".join(f"{sql} AS {quoted_name(column)}" for column, sql in self._columns.items())
        self.connection.raw_sql(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT {listed} FROM {rows}")  # noqa: S608 - names of columns and files

    def are_there(self) -> bool:
        """Whether no other process has removed the copies."""
        return not self._is_kept or all(map(os.path.exists, self._files))

    def rows(self) -> int:
        """How many rows they have, by their footers."""
        return sum(footer.rows for footer in self._footers.values())

    def fetched(self, within: WindowFilter, statement: str | None = None) -> list[str]:
        """The files on this machine that hold the rows of a statement. statement: its text, with `$start` and `$end` as
        its bounds; None: it has both.
        """
        if len(self._files) == 1 or within.rows == RowFilter.ALL:
            paths = list(self._files)
        else:
            start = _micro(within.start) if statement is None or "$start" in statement else None
            end = _micro(within.end) if statement is None or "$end" in statement else None
            paths = needed(self._footers, within.rows, within.time, start, end)
        if self._remote is not None:
            self._remote.fetch(paths)
        return paths

    def view_of(self, within: WindowFilter, statement: str | None) -> str:
        """The name of a view that holds the rows of a statement, and maybe others."""
        paths = tuple(self.fetched(within, statement))
        if len(paths) == len(self._files):
            self.view_of_all()
            return self.name
        if paths != self._inside:
            casts = ", ".join(
                f"CAST({quoted_name(column)} AS {kind}) AS {quoted_name(column)}"
                for column, kind in self._types.items()
            )
            empty = ", ".join(f"CAST(NULL AS {kind}) AS {quoted_name(column)}" for column, kind in self._types.items())
            rows = f"SELECT {empty} WHERE false"
            if paths:
                rows += f" UNION ALL BY NAME SELECT * FROM {read_parquet(paths)}"  # noqa: S608 - names of files
            self._view(f"{self.name}_in", f"(SELECT {casts} FROM ({rows}))")  # noqa: S608 - names of columns
            self._inside = paths
        return f"{self.name}_in"

    def view_of_all(self) -> None:
        """Make the view hold all rows."""
        if not self._is_whole:
            if self._remote is not None:
                self._remote.fetch(self._files)
            self._view(self.name, read_parquet(self._files))
            self._is_whole = True


def open_files(connection: Any, place: Place, fingerprint: str) -> OpenedFiles:
    """The files of a place as a view. Raises SourceUnreachableError if there are none, DataError if they cannot be
    read.
    """
    assert place.path is not None
    # Named by the path, so that statements which were made for it before still serve.
    name = f"at_{hashlib.sha256(repr((place.path, place.read, place.version)).encode()).hexdigest()[:16]}"
    is_plain = place.read.format is None and not place.read.makes_time
    remote = RemoteParquet.open(place.path, place.shown, place.version) if is_plain and "://" in place.path else None
    if remote is not None:
        bad = [_torn(why, seen) for why, seen in remote.torn]
        newest = remote.newest()
        remote.fetch([newest])
        copies = representative_files(remote.footers)
        return _open_parquet(
            connection, place, fingerprint, name, remote.footers, remote.skeletons(copies), newest, bad, remote
        )
    paths = files.find_files(place.path, place.shown, place.version)
    parquet_paths = [file for file in paths if files.is_parquet(file)]
    if parquet_paths and is_plain:
        if len(parquet_paths) < len(paths):
            mismatch = next(file for file in paths if file not in parquet_paths)
            raise DataError(f"{place.shown} holds files of different formats: {parquet_paths[0]} and {mismatch}")
        all_footers = {file: footer_of(file) for file in paths}
        torn = {file: files.torn(file) or "it is gone" for file, footer in all_footers.items() if footer is None}
        footers = {file: footer for file, footer in all_footers.items() if footer is not None}
        if not footers:
            raise DataError(f"{place.shown} cannot be read as parquet: {next(iter(torn.values()))}")
        bad = [_torn(why, os.path.getmtime(file)) for file, why in torn.items()]
        newest = next((file for file in reversed(footers) if footers[file].rows), paths[-1])
        return _open_parquet(
            connection, place, fingerprint, name, footers, representative_files(footers), newest, bad, None
        )
    parquet_copy = copy_as_parquet(place.path, paths, place.read, place.shown)
    require_records(parquet_copy, place.shown)
    files.refuse_case_twins(parquet_copy.columns, place.shown)
    columns = {
        column: quoted_name(column) if kind is not None else "CAST(NULL AS VARCHAR)"
        for column, kind in parquet_copy.columns.items()
    }
    pieces = {piece: footer for piece in parquet_copy.pieces if (footer := footer_of(piece)) is not None}
    look = representative_files(pieces)
    stored = connection.con.sql(f"SELECT * FROM {read_parquet(look)}")  # noqa: S608 - names of files
    types = {column: str(kind) for column, kind in zip(stored.columns, stored.types, strict=True)}
    return OpenedFiles(
        connection,
        place,
        fingerprint,
        name,
        pieces,
        look,
        types,
        UnpackedColumns(columns, {}),
        parquet_copy.bad,
        kept=True,
    )


def _open_parquet(
    connection: Any,
    place: Place,
    fingerprint: str,
    name: str,
    footers: Mapping[str, Footer],
    look: Sequence[str],
    peeked: str,
    bad: Sequence[UnreadableRecords],
    remote: RemoteParquet | None,
) -> OpenedFiles:
    """Parquet files as they are. peeked: one that is there and has rows, where any has."""
    files.refuse_case_twins(files.parquet_names(look[0]), place.shown)
    try:
        types, unpacked_columns = _unpacked(connection, look, peeked, place.read)
        return OpenedFiles(
            connection, place, fingerprint, name, footers, look, types, unpacked_columns, bad, remote=remote
        )
    except duckdb.Error as error:
        raise DataError(f"{place.shown} cannot be read as parquet: {first_line(error)}") from None


def _torn(why: str, seen: float) -> UnreadableRecords:
    return UnreadableRecords("", np.zeros(1, np.int64), [why], seen)


def _unpacked(
    connection: Any, look: Sequence[str], peeked: str, read: ReadSpec
) -> tuple[dict[str, str], UnpackedColumns]:
    """The types of files' columns as they are stored, and how they are read. peeked: one that has rows."""
    stored = connection.con.sql(f"SELECT * FROM {read_parquet(look)}")  # noqa: S608 - names of files
    types = dict(zip(stored.columns, stored.types, strict=True))
    rows = f"(SELECT * FROM {read_parquet([peeked])} LIMIT {PEEKED})"  # noqa: S608 - names of files

    def peek(sql: str) -> list[Any]:
        try:
            return [value for (value,) in connection.con.sql(f"SELECT {sql} FROM {rows}").fetchall()]  # noqa: S608 - names of columns
        except duckdb.BinderException:  # that file lacks the column
            return []

    present = set(connection.con.sql(f"SELECT * FROM {rows}").columns)  # noqa: S608 - names of files
    texts = [name for name, kind in types.items() if kind.id == "varchar" and name in present]
    expressions = ", ".join(f"count(*) FILTER (CAST({quoted_name(name)} AS VARCHAR)[1] = '{{')" for name in texts)
    counted = connection.con.sql(f"SELECT {expressions} FROM {rows}").fetchall()[0] if texts else ()  # noqa: S608 - names of columns
    objects = {name for name, number in zip(texts, counted, strict=True) if number}
    return {name: str(kind) for name, kind in types.items()}, unpacked(types, objects, peek, read.open)


def read_parquet(paths: Sequence[str]) -> str:
    """Files as a table of DuckDB's SQL."""
    partitioned = any("=" in part for part in Path(paths[0]).parts)
    listed = ", ".join("'{}'".format(path.replace("'", "''")) for path in paths)
    return f"read_parquet([{listed}], union_by_name=true, hive_partitioning={str(partitioned).lower()})"


def _micro(literal: str) -> int:
    """A literal of a time, as Log writes them, in microseconds since 1970 of its own zone."""
    moment = datetime.fromisoformat(literal)
    plain = moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    return (plain - _EPOCH) // timedelta(microseconds=1)
