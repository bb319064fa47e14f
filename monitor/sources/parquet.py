"""Parquet files on this machine, read column by column on all cores: the counts and the sample of a window in one pass.

The result is that of DuckDB, sooner: DuckDB shares out row groups among the cores, and files often have only one. Only
columns of plain types and ids that are whole numbers or text are read here; DuckDB reads all others.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from monitor.cores import cores
from monitor.sources.sample import NO_ID, PRIME, ranks, share_below, text_ranks

# About so many bytes of columns are read at a time.
_BATCH = 8_000_000
# With more rows than this the repeated ids are estimated from those with the smallest hashes (`Log`).
MOST_COUNTED_IDS = 4_000_000


@dataclass(frozen=True)
class Bounds:
    """Wanted are rows whose time in this column is `low` or later, and before `high`; in microseconds, None: no
    bound.
    """

    column: str
    low: int | None
    high: int | None


@dataclass(frozen=True)
class ParquetSample:
    """What was read. sample: the rows with the smallest (rank, id). keys: their ids as text, None without; ranks: their
    hashes; both of shape (rows,).

    missing: nulls and NaN of all wanted rows, by column. first, last: the first bound's column, in microseconds.
        duplicate_ids: None where there are too many rows to count them.
    """

    sample: pd.DataFrame
    keys: pd.Series
    ranks: pd.Series
    rows: int
    missing: dict[str, int]
    first: int | None
    last: int | None
    duplicate_ids: int | None

    def frame(self, key: str, rank: str) -> pd.DataFrame:
        """The sample with its ids as text and their hashes as columns of these names."""
        return self.sample.assign(**{key: self.keys, rank: self.ranks})


@dataclass(frozen=True)
class _Part:
    """The wanted rows of a row group. places: theirs within it, shape (rows,), or all. first, last: of their times."""

    file: str
    group: int
    places: slice | np.ndarray
    rows: int
    first: int
    last: int

    def select(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """The wanted rows of one of its columns."""
        if isinstance(self.places, slice):
            return column.slice(self.places.start, self.rows)
        return column.take(pa.array(self.places))


@dataclass(frozen=True)
class _Ids:
    """The ids of a part: which of its rows have a small hash, their ids and hashes; how many are missing; lowest and
    highest, if they only grow.
    """

    rows: np.ndarray
    ids: np.ndarray
    ranks: np.ndarray
    missing: int
    span: tuple[int, int] | None


class _ColumnValues(NamedTuple):
    """Values of a column. missing: how many of all wanted rows of its part have none."""

    name: str
    values: pa.ChunkedArray
    missing: int


class PlainFiles:
    """Parquet files that have the same plain columns."""

    def __init__(self, metadata: dict[str, Any], kinds: dict[str, pa.DataType], identity: str) -> None:
        self._metadata = metadata
        self._kinds = kinds
        self._identity = identity
        self._own = threading.local()
        schema = next(iter(metadata.values())).schema
        self._places = {schema.column(place).path: place for place in range(len(schema))}

    @classmethod
    def open(cls, files: Sequence[str], names: Sequence[str], identity: str, times: Sequence[str]) -> PlainFiles | None:
        """The files if they can be read here, else None. names: the columns to read; identity: the ids' among them;
        times: the columns of times.
        """
        if any("=" in part for part in Path(files[0]).parts):  # folders that are columns
            return None
        metadata = {file: parquet.read_metadata(file) for file in files}
        first = next(iter(metadata.values()))
        schema = first.schema.to_arrow_schema()
        if not set(names) <= set(schema.names) or any(
            not file_metadata.schema.equals(first.schema) for file_metadata in metadata.values()
        ):
            return None
        kinds = {name: _plain(schema.field(name).type) for name in names}
        if any(first.schema.column(place).physical_type == "INT96" for place in range(len(first.schema))):
            return None  # times of old, which DuckDB cuts to microseconds
        is_served = pa.types.is_signed_integer(kinds[identity]) or kinds[identity] == pa.string()
        if None in kinds.values() or not is_served:
            return None
        return cls(metadata, kinds, identity) if all(pa.types.is_timestamp(kinds[name]) for name in times) else None

    def read(self, bounds: Sequence[Bounds], seed: int, limit: int) -> ParquetSample:
        """Counts of the rows within all bounds, and of those at most `limit` with the smallest (rank, id)."""
        groups = [
            (file, group)
            for file, file_metadata in self._metadata.items()
            for group in range(file_metadata.num_row_groups)
        ]
        with ThreadPoolExecutor(cores()) as threads:
            parts = [
                part
                for part in threads.map(lambda group: self._part(group[0], group[1], bounds), groups)
                if part is not None
            ]
            rows = sum(part.rows for part in parts)
            share = share_below(limit, rows)
            for below in (share, 1.0) if share < 1 else (1.0,):
                ids = list(threads.map(partial(self._ids, seed=seed, share=below), parts))
                if sum(len(part_ids.rows) for part_ids in ids) >= limit:  # repeated ids have the same hash
                    break
            chosen = _chosen(ids, limit, np.int64 if self._has_numbers else object)
            rows_by_part = {number: group["row"].to_numpy() for number, group in chosen.groupby("part")}
            tasks = [
                (part, names, rows_by_part.get(number, np.zeros(0, dtype=np.int64)))
                for number, part in enumerate(parts)
                for names in self._batches(part)
            ]
            columns_read = [
                column
                for part_columns in threads.map(lambda task: self._columns(*task), tasks)
                for column in part_columns
            ]
        ranked = chosen["rank"].to_numpy()
        chosen_ids = pa.array(
            chosen["id"].to_numpy(),
            pa.int64() if self._has_numbers else pa.string(),
            mask=ranked == (PRIME if self._has_numbers else NO_ID),
        )
        columns: dict[str, list[pa.Array]] = {name: [] for name in self._kinds}
        missing = dict.fromkeys(self._kinds, 0)
        for column in columns_read:
            columns[column.name] += column.values.chunks
            missing[column.name] += column.missing
        columns[self._identity] = [chosen_ids.cast(self._kinds[self._identity])]
        missing[self._identity] = sum(part_ids.missing for part_ids in ids)
        table = pa.table({name: pa.chunked_array(chunks, self._kinds[name]) for name, chunks in columns.items()})
        hashes = pa.array(ranked, pa.int64() if self._has_numbers else pa.string()).to_pandas()
        return ParquetSample(
            table.to_pandas(date_as_object=False),
            chosen_ids.cast(pa.string()).to_pandas(),
            hashes,
            rows,
            missing,
            min((part.first for part in parts), default=None),
            max((part.last for part in parts), default=None),
            self._duplicates(parts, ids),
        )

    def _part(self, file: str, group: int, bounds: Sequence[Bounds]) -> _Part | None:
        """The wanted rows of a row group, by its statistics where these suffice; None if there are none."""
        times_by_column: dict[str, np.ndarray] = {}
        wanted: np.ndarray | None = None
        for bound in bounds:
            low, high = bound.low, bound.high
            span = self._span(file, group, bound.column)
            if span is not None:
                if (low is not None and span[1] < low) or (high is not None and span[0] >= high):
                    return None
                if (low is None or span[0] >= low) and (high is None or span[1] < high):
                    continue
            column = self._read(file, group, [bound.column]).column(0)
            times = times_by_column[bound.column] = _microseconds(column)
            inside = column.is_valid().to_numpy()
            inside = inside if low is None else inside & (times >= low)
            inside = inside if high is None else inside & (times < high)
            wanted = inside if wanted is None else wanted & inside
        time = bounds[0].column
        if wanted is None:
            number = self._metadata[file].row_group(group).num_rows
            span = self._span(file, group, time)
            assert span is not None
            return _Part(file, group, slice(0, number), number, *span) if number else None
        places = np.flatnonzero(wanted)
        if not len(places):
            return None
        times = (
            times_by_column[time]
            if time in times_by_column
            else _microseconds(self._read(file, group, [time]).column(0))
        )
        first, last = int(times[places].min()), int(times[places].max())
        if places[-1] - places[0] == len(places) - 1:
            return _Part(file, group, slice(int(places[0]), int(places[-1]) + 1), len(places), first, last)
        return _Part(file, group, places, len(places), first, last)

    def _span(self, file: str, group: int, column: str) -> tuple[int, int] | None:
        """The first and the last time of a row group by its statistics, in microseconds; None where there are none,
        or times are missing.
        """
        statistics = self._metadata[file].row_group(group).column(self._places[column]).statistics
        if statistics is None or not statistics.has_min_max or not statistics.has_null_count or statistics.null_count:
            return None
        first, last = (
            pd.Timestamp(value).to_datetime64().astype("datetime64[us]") for value in (statistics.min, statistics.max)
        )
        return int(first.astype(int)), int(last.astype(int))

    def _ids(self, part: _Part, seed: int, share: float) -> _Ids:
        """The ids of a part's rows. share: of the smallest hashes."""
        column = part.select(self._read(part.file, part.group, [self._identity]).column(0))
        missing = column.null_count
        if not self._has_numbers:
            small, hashes = text_ranks(column.cast(pa.string()), seed, share)
            return _Ids(small, column.take(pa.array(small)).to_numpy(), hashes, missing, None)
        column = column.cast(pa.int64())
        ids = (column.fill_null(0) if missing else column).to_numpy()
        hashes = ranks(ids, seed)
        if missing:  # they come last
            hashes[column.is_null().to_numpy()] = PRIME
        small = np.flatnonzero(hashes < (int(share * PRIME) if share < 1 else PRIME + 1))
        grow = not missing and bool((ids[1:] > ids[:-1]).all())
        span = (int(ids[0]), int(ids[-1])) if grow else None
        return _Ids(small, ids[small], hashes[small], missing, span)

    @property
    def _has_numbers(self) -> bool:
        return bool(pa.types.is_integer(self._kinds[self._identity]))

    def _duplicates(self, parts: Sequence[_Part], ids: Sequence[_Ids]) -> int | None:
        """How many ids came before."""
        spans = sorted(part_ids.span for part_ids in ids if part_ids.span is not None)
        if len(spans) == len(ids) and all(span[1] < next_span[0] for span, next_span in pairwise(spans)):
            return 0
        if sum(part.rows for part in parts) > MOST_COUNTED_IDS:
            return None
        columns = (part.select(self._read(part.file, part.group, [self._identity]).column(0)) for part in parts)
        kind = pa.int64() if self._has_numbers else pa.string()
        present_ids = pa.chunked_array(
            [chunk for column in columns for chunk in column.drop_null().cast(kind).chunks], kind
        )
        return len(present_ids) - int(pc.count_distinct(present_ids).as_py())

    def _columns(self, part: _Part, names: list[str], rows: np.ndarray) -> list[_ColumnValues]:
        """Some columns of a part: their values in `rows`, places among the part's rows, and how many of all its rows
        are missing.
        """
        table = self._read(part.file, part.group, names)
        columns = []
        for name in names:
            column = part.select(table[name])
            number = pc.sum(pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))).as_py()
            chosen = column if len(rows) == part.rows else column.take(pa.array(rows))
            values = chosen if chosen.type == self._kinds[name] else chosen.cast(self._kinds[name])
            columns.append(_ColumnValues(name, values, number or 0))
        return columns

    def _batches(self, part: _Part) -> Iterator[list[str]]:
        """The columns to read but the ids', so many at a time as take about `_BATCH` bytes."""
        row_group = self._metadata[part.file].row_group(part.group)
        names: list[str] = []
        size = 0
        for name in (name for name in self._kinds if name != self._identity):
            names.append(name)
            size += row_group.column(self._places[name]).total_uncompressed_size
            if size >= _BATCH:
                yield names
                names, size = [], 0
        if names:
            yield names

    def _read(self, file: str, group: int, names: list[str]) -> pa.Table:
        """Columns of a row group, by this thread's own reader."""
        own = self._own
        if getattr(own, "file", None) != file:
            own.file, own.reader = file, parquet.ParquetFile(file, metadata=self._metadata[file])
        table: pa.Table = own.reader.read_row_group(group, columns=names, use_threads=False)
        return table


def _chosen(ids: Sequence[_Ids], limit: int, kind: type) -> pd.DataFrame:
    """Of the ids with small hashes the `limit` smallest by (rank, id): part, row within it, id and rank; in the order
    of parts and rows. kind: of ids and ranks.
    """
    nothing = np.zeros(0, dtype=np.int64)
    columns = {
        "part": np.repeat(np.arange(len(ids)), [len(part_ids.rows) for part_ids in ids]),
        "row": np.concatenate([nothing, *(part_ids.rows for part_ids in ids)]),
        "id": np.concatenate([nothing.astype(kind), *(part_ids.ids for part_ids in ids)]),
        "rank": np.concatenate([nothing.astype(kind), *(part_ids.ranks for part_ids in ids)]),
    }
    frame = pd.DataFrame(columns)
    if len(frame) <= limit:
        return frame
    in_order = frame.assign(id=frame["id"].astype(str)).sort_values(["rank", "id"], kind="stable").index[:limit]
    return frame.loc[np.sort(in_order)]


def _microseconds(times: pa.ChunkedArray) -> np.ndarray:
    """Times as whole microseconds, 0 where one is missing; shape (times,)."""
    plain = times.cast(pa.timestamp("us", times.type.tz), safe=False).cast(pa.int64())
    return np.asarray((plain.fill_null(0) if plain.null_count else plain).to_numpy())


def _plain(kind: pa.DataType) -> pa.DataType | None:
    """The type that DuckDB gives a column; None where that is not certain."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_timestamp(kind) and kind.unit == "us":
        return pa.timestamp("us", None if kind.tz is None else "UTC")
    if kind == pa.timestamp("ns"):
        return kind
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or kind in (pa.float32(), pa.float64()):
        return kind
    return None
