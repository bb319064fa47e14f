"""What the API is sent, kept where the monitor's source reads it: Parquet files in a folder, each row once by its id."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet

from monitor.errors import DataError, SourceUnreachableError

# Batches of fewer rows wait in the index until there are so many, or for so long: a file a request would be too many files.
ROWS_A_FILE, FLUSH_AFTER_S = 20_000, 5.0
_INDEX = ".index.db"
_stores: dict[Path, ParquetStore] = {}
_stores_lock = threading.Lock()


@dataclass(frozen=True)
class Taken:
    """What became of a batch: rows that are new, and rows that were there already."""

    accepted: int
    duplicates: int


def open_store(folder: Path) -> ParquetStore:
    """The store in a folder, one a process."""
    with _stores_lock:
        if folder not in _stores:
            _stores[folder] = ParquetStore(folder)
        return _stores[folder]


class ParquetStore:
    """Rows in Parquet files of a folder, and beside them an index (SQLite) of their ids, their columns' types, and small batches that wait to become a file.

    A batch is taken in one transaction of the index: all of it or nothing, whenever the process dies. Files are named by the number of their batch, so that
    one that was written before its transaction died is written over by the next.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._index() as index:
                index.execute("CREATE TABLE IF NOT EXISTS ids (id TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
                index.execute("CREATE TABLE IF NOT EXISTS columns (name TEXT PRIMARY KEY, type BLOB NOT NULL)")
                index.execute("CREATE TABLE IF NOT EXISTS batches (number INTEGER PRIMARY KEY, rows INTEGER NOT NULL)")
                index.execute("CREATE TABLE IF NOT EXISTS waiting (number INTEGER PRIMARY KEY, rows BLOB NOT NULL)")
        except (OSError, sqlite3.OperationalError) as error:
            raise SourceUnreachableError(f"{folder} cannot be written: {error}") from None
        self.flush()

    @contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        """A transaction that no other process interferes with; it ends with the block, undone by an exception."""
        connection = sqlite3.connect(self._folder / _INDEX, timeout=30, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        finally:
            connection.close()

    def add(self, rows: pa.Table, ids: Sequence[str], values: Sequence[str] | None = None) -> Taken:
        """Keep the rows whose ids are new, or whose `values` differ from the last ones of the same id (labels that were corrected).

        rows: one a prediction or label. ids: their ids as text. Raises DataError where a column's type is not that of the rows before.
        """
        values = [""] * len(ids) if values is None else values
        with self._lock, self._index() as index:
            fresh = self._fresh(index, ids, values)
            if not fresh:
                return Taken(0, len(ids))
            kept = self._typed(index, rows if len(fresh) == len(ids) else rows.take(pa.array(fresh)))
            number = index.execute("INSERT INTO batches (rows) VALUES (?) RETURNING number", [len(fresh)]).fetchone()[0]
            if len(fresh) >= ROWS_A_FILE:
                self._write(number, kept)
            else:
                index.execute("INSERT INTO waiting VALUES (?, ?)", [number, _packed(kept)])
                self._flush_soon()
        return Taken(len(fresh), len(ids) - len(fresh))

    def _fresh(self, index: sqlite3.Connection, ids: Sequence[str], values: Sequence[str]) -> list[int]:
        """The places of the rows that are new; the index knows them from now on."""
        last = dict(zip(ids, range(len(ids)), strict=True))  # of an id that comes twice in a batch the last row counts
        places = sorted(last.values())
        index.execute("CREATE TEMP TABLE given (place INTEGER PRIMARY KEY, id TEXT NOT NULL, value TEXT NOT NULL)")
        index.executemany(
            "INSERT INTO given VALUES (?, ?, ?)", ((place, ids[place], values[place]) for place in places)
        )
        found = index.execute(
            "SELECT place FROM given LEFT JOIN ids USING (id) WHERE ids.value IS NULL OR ids.value <> given.value ORDER BY place"
        )
        fresh = [place for (place,) in found]
        index.execute("INSERT OR REPLACE INTO ids SELECT id, value FROM given ORDER BY id")
        return fresh

    def _typed(self, index: sqlite3.Connection, rows: pa.Table) -> pa.Table:
        """The rows with the types that their columns had before; new columns are remembered."""
        known = {
            name: pa.ipc.read_schema(pa.py_buffer(kind)).field(0).type
            for name, kind in index.execute("SELECT name, type FROM columns")
        }
        columns = []
        for name in rows.column_names:
            column, kind = rows[name], known.get(name)
            own = _kept_type(column.type)
            if pa.types.is_null(own) and kind is None:
                continue  # nothing is known of it yet
            if kind is None or (pa.types.is_integer(kind) and pa.types.is_floating(own)):
                kind = own  # whole numbers so far, fractions from now on: readers take both
                packed = pa.schema([pa.field(name, kind)]).serialize().to_pybytes()
                index.execute("INSERT OR REPLACE INTO columns VALUES (?, ?)", [name, packed])
            try:
                columns.append((name, column.cast(kind)))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise DataError(
                    f"column '{name}' was {kind} so far and cannot be {column.type}: {str(error).splitlines()[0]}"
                ) from None
        return pa.table(dict(columns))

    def _write(self, number: int, rows: pa.Table) -> None:
        path = self._folder / f"part-{number:012d}.parquet"
        half = path.with_suffix(".half")
        with open(half, "wb") as file:
            parquet.write_table(rows, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        half.rename(path)

    def flush(self) -> int:
        """Make a file of the batches that wait; how many rows it has."""
        with self._lock, self._index() as index:
            waiting = index.execute("SELECT number, rows FROM waiting ORDER BY number").fetchall()
            if not waiting:
                return 0
            rows = pa.concat_tables([_unpacked(each) for _, each in waiting], promote_options="default")
            self._write(waiting[0][0], rows)
            index.execute("DELETE FROM waiting WHERE number <= ?", [waiting[-1][0]])
        return int(rows.num_rows)

    def _flush_soon(self) -> None:
        if self._timer is None or not self._timer.is_alive():
            self._timer = threading.Timer(FLUSH_AFTER_S, self.flush)
            self._timer.daemon = True
            self._timer.start()


def _kept_type(kind: pa.DataType) -> pa.DataType:
    """The type that a column is kept with: a dictionary as its values, whole numbers as 64 bits, times in microseconds."""
    if pa.types.is_dictionary(kind):
        return _kept_type(kind.value_type)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return pa.bool_() if pa.types.is_boolean(kind) else pa.int64()
    if pa.types.is_floating(kind):
        return pa.float64()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", "UTC")
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    return kind


def _packed(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return bytes(sink.getvalue())


def _unpacked(data: bytes) -> pa.Table:
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()


def as_text(column: pa.ChunkedArray) -> list[str]:
    """Ids or labels as the text that joins them; raises DataError where one is missing."""
    if column.null_count:
        raise DataError("an id is missing in some of the rows")
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    if pa.types.is_floating(column.type):
        whole = compute.equal(compute.floor(column), column)
        if compute.all(whole).as_py():
            column = column.cast(pa.int64())
    return [str(each) if not isinstance(each, bool) else str(each).lower() for each in column.to_pylist()]


def as_times(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Times in UTC with microseconds, from timestamps or ISO 8601 text; a time without a zone is UTC. Raises DataError."""
    try:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            moments = [_moment(each) for each in column.to_pylist()]
            return pa.chunked_array([pa.array(moments, pa.timestamp("us", "UTC"))])
        if not pa.types.is_timestamp(column.type):
            raise DataError(f"'{name}' must be times: ISO 8601 text, or timestamps")
        return column.cast(pa.timestamp("us", "UTC"), safe=False)
    except (ValueError, pa.ArrowInvalid) as error:
        raise DataError(f"'{name}' is not all times: {error}") from None


def _moment(text: Any) -> datetime | None:
    if text is None:
        return None
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
