"""The rows that the API receives, kept where the monitor's source reads them: in Parquet files of a folder, one row for
each id.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet
from structlog import get_logger

from monitor.domain.text import first_line, listed, quoted
from monitor.errors import DataError, SourceUnreachableError
from monitor.sources.dead_letters import set_aside

log = get_logger()

# Batches of fewer rows wait in the index until there are this many rows, or for this time: one file for each request
# would be too many files.
ROWS_A_FILE, FLUSH_AFTER_S = 20_000, 5.0
_INDEX = ".index.db"
_TWO_TO_63 = float(2**63)
_stores: dict[Path, ParquetStore] = {}
_stores_lock = threading.Lock()


@dataclass(frozen=True)
class IngestedBatch:
    """The result of a batch. accepted: how many rows were new; duplicates: how many were there already. new_columns:
    those that neither the configuration nor the reference names.
    """

    accepted: int
    duplicates: int
    new_columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class ColumnBound:
    """How many columns a store takes beside those that the configuration and the reference name. `named` is called only
    when a column is new.
    """

    most: int
    named: Callable[[], Collection[str]]

    def admit(self, own: Collection[str], new: Sequence[str]) -> tuple[str, ...]:
        """The new columns that neither the configuration nor the reference names. Raises DataError where they are too
        many, together with those that are there already.
        """
        if not new:
            return ()
        named = set(self.named())
        unnamed = tuple(name for name in new if name not in named)
        beside = len(set(own) - named) + len(unnamed)
        if unnamed and beside > self.most:
            raise DataError(
                f"{beside} columns that neither the configuration nor the reference names: at most {self.most} are kept"
                f" (`max_new_columns`); new are {listed(unnamed)}"
            )
        return unnamed


def open_store(folder: Path) -> ParquetStore:
    """The store in a folder, one a process."""
    with _stores_lock:
        if folder not in _stores:
            _stores[folder] = ParquetStore(folder)
        return _stores[folder]


class ParquetStore:
    """Rows in Parquet files of a folder, and beside them an index (SQLite) of their ids, their columns' types, and
    small batches that wait to become a file.

    A batch is taken in one transaction of the index: all of it or nothing, whenever the process dies. Files are named
    by the number of their batch, so that one that was written before its transaction died is written over by the next.
    A batch is taken only if Parquet can hold it; one that cannot be written later nevertheless is set aside
    (`dead_letters`), and the others go on.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()
        with self._index() as index:
            index.execute("CREATE TABLE IF NOT EXISTS ids (id TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
            index.execute("CREATE TABLE IF NOT EXISTS columns (name TEXT PRIMARY KEY, type BLOB NOT NULL)")
            index.execute("CREATE TABLE IF NOT EXISTS batches (number INTEGER PRIMARY KEY, rows INTEGER NOT NULL)")
            index.execute("CREATE TABLE IF NOT EXISTS waiting (number INTEGER PRIMARY KEY, rows BLOB NOT NULL)")
        self.flush()

    @contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        """A transaction that no other process interferes with; it ends with the block, undone by an exception. Raises
        SourceUnreachableError.
        """
        try:
            with self._transaction() as connection:
                yield connection
        except (OSError, sqlite3.Error) as error:
            raise SourceUnreachableError(f"{self._folder} cannot be written: {error}") from None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._folder.mkdir(parents=True, exist_ok=True)
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

    def add(
        self,
        rows: pa.Table,
        ids: Sequence[str],
        values: Sequence[str] | None = None,
        bound: ColumnBound | None = None,
    ) -> IngestedBatch:
        """Keep the rows whose ids are new, or whose `values` differ from the last ones of the same id (labels that were
        corrected).

        rows: one for each prediction or label, of plain types (`ingest_types.plain`). ids: their ids as text. bound: of
            their columns.
        Raises DataError where a column's type differs from that of earlier rows, and for rows that cannot be written;
        SourceUnreachableError where nothing can be written.
        """
        values = [""] * len(ids) if values is None else values
        with self._lock, self._index() as index:
            fresh = self._fresh(index, ids, values)
            if not fresh:
                return IngestedBatch(0, len(ids))
            types = _column_types(index, rows.column_names)
            new = self._admitted(index, [name for name in rows.column_names if name not in types], bound)
            new_rows = _typed(index, types, rows if len(fresh) == len(ids) else rows.take(pa.array(fresh)))
            _require_writable(new_rows)
            number = index.execute("INSERT INTO batches (rows) VALUES (?) RETURNING number", [len(fresh)]).fetchone()[0]
            if len(fresh) >= ROWS_A_FILE:
                self._write(number, new_rows)
            else:
                index.execute("INSERT INTO waiting VALUES (?, ?)", [number, _packed(new_rows)])
                self._flush_soon()
        return IngestedBatch(len(fresh), len(ids) - len(fresh), new)

    def _admitted(self, index: sqlite3.Connection, new: list[str], bound: ColumnBound | None) -> tuple[str, ...]:
        """The new columns as `ColumnBound.admit` returns them. Raises DataError where they are too many."""
        if bound is None or not new:
            return ()
        return bound.admit([name for (name,) in index.execute("SELECT name FROM columns")], new)

    def _fresh(self, index: sqlite3.Connection, ids: Sequence[str], values: Sequence[str]) -> list[int]:
        """The places of the rows that are new; the index knows them from now on."""
        last = dict(zip(ids, range(len(ids)), strict=True))  # of an id that comes twice in a batch the last row counts
        places = sorted(last.values())
        index.execute("CREATE TEMP TABLE given (place INTEGER PRIMARY KEY, id TEXT NOT NULL, value TEXT NOT NULL)")
        index.executemany(
            "INSERT INTO given VALUES (?, ?, ?)", ((place, ids[place], values[place]) for place in places)
        )
        rows = index.execute(
            "SELECT place FROM given LEFT JOIN ids USING (id) WHERE ids.value IS NULL OR ids.value <> given.value ORDER"
            " BY place"
        )
        fresh = [place for (place,) in rows]
        index.execute("INSERT OR REPLACE INTO ids SELECT id, value FROM given ORDER BY id")
        return fresh

    def _write(self, number: int, rows: pa.Table) -> None:
        path = self._folder / f"part-{number:012d}.parquet"
        half = path.with_suffix(".half")
        with open(half, "wb") as file:
            parquet.write_table(rows, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        half.rename(path)

    def flush(self) -> int:
        """Make a file of the batches that wait; how many rows it has. A batch that cannot be written is set aside."""
        with self._lock, self._index() as index:
            self._timer = None
            waiting = index.execute(
                "SELECT number, waiting.rows, batches.rows FROM waiting JOIN batches USING (number) ORDER BY number"
            ).fetchall()
            if not waiting:
                return 0
            written = self._written([_Batch(*row) for row in waiting])
            index.execute("DELETE FROM waiting WHERE number <= ?", [waiting[-1][0]])
        return written

    def _written(self, batches: list[_Batch]) -> int:
        """Write batches into one file. If that fails, each is written into its own, and only those that fail are set
        aside.
        """
        try:
            rows = pa.concat_tables([_unpacked(batch.data) for batch in batches], promote_options="permissive")
            self._write(batches[0].number, rows)
        except pa.ArrowException as error:
            if len(batches) > 1:
                return sum(self._written([batch]) for batch in batches)
            reason = first_line(error)
            set_aside(self._folder, batches[0].number, batches[0].data, batches[0].rows, reason, datetime.now(UTC))
            log.error("batch_set_aside", store=str(self._folder), rows=batches[0].rows, reason=reason)
            return 0
        return int(rows.num_rows)

    def _flush_soon(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(FLUSH_AFTER_S, self._flush_late)
            self._timer.daemon = True
            self._timer.start()

    def _flush_late(self) -> None:
        """Flush, and try again later where that fails."""
        try:
            self.flush()
        except SourceUnreachableError as error:
            log.error("rows_not_written", store=str(self._folder), error=str(error), again_in_s=FLUSH_AFTER_S)
            with self._lock:
                self._timer = None
                self._flush_soon()


@dataclass(frozen=True)
class _Batch:
    """A batch that waits: its number, its rows as an Arrow stream, and how many they are."""

    number: int
    data: bytes
    rows: int


def _column_types(index: sqlite3.Connection, names: Sequence[str]) -> dict[str, pa.DataType]:
    """The types that columns of these names had so far."""
    rows = {name: index.execute("SELECT type FROM columns WHERE name = ?", [name]).fetchone() for name in names}
    return {
        name: pa.ipc.read_schema(pa.py_buffer(row[0])).field(0).type for name, row in rows.items() if row is not None
    }


def _typed(index: sqlite3.Connection, types: dict[str, pa.DataType], rows: pa.Table) -> pa.Table:
    """The rows with the types that their columns had before; new columns are remembered. Raises DataError."""
    columns = []
    for name in rows.column_names:
        column, kind = rows[name], types.get(name)
        if pa.types.is_null(column.type) and kind is None:
            continue  # nothing is known of it yet
        if kind is None or (pa.types.is_integer(kind) and pa.types.is_floating(column.type)):
            kind = column.type  # whole numbers so far, fractions from now on: readers take both
            packed = pa.schema([pa.field(name, kind)]).serialize().to_pybytes()
            index.execute("INSERT OR REPLACE INTO columns VALUES (?, ?)", [name, packed])
        try:
            columns.append((name, column.cast(kind)))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(
                f"column {quoted(name)} was {kind} so far and cannot be {column.type}: {first_line(error)}"
            ) from None
    return pa.table(dict(columns))


def _require_writable(rows: pa.Table) -> None:
    """Raises DataError for rows that Parquet cannot hold: accepted rows must become a file."""
    try:
        parquet.write_table(rows, pa.MockOutputStream())
    except pa.ArrowException as error:
        raise DataError(f"the rows cannot be kept: {first_line(error)}") from None


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
    if pa.types.is_floating(column.type):
        is_whole = compute.equal(compute.floor(column), column)
        if compute.all(compute.and_(is_whole, compute.less(compute.abs(column), _TWO_TO_63))).as_py():
            column = column.cast(pa.int64(), safe=False)
    return [str(value) if not isinstance(value, bool) else str(value).lower() for value in column.to_pylist()]


def as_times(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Times in UTC with microseconds, from timestamps or ISO 8601 text; a time without a zone is UTC. Raises
    DataError.
    """
    if pa.types.is_timestamp(column.type):
        return column
    if not pa.types.is_string(column.type) and not pa.types.is_null(column.type):
        raise DataError(f"{quoted(name)} must be times: ISO 8601 text, or timestamps")
    try:
        moments = [_moment(text) for text in column.to_pylist()]
    except (ValueError, OverflowError) as error:
        raise DataError(f"{quoted(name)} is not all times: {first_line(error)}") from None
    return pa.chunked_array([pa.array(moments, pa.timestamp("us", "UTC"))])


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
