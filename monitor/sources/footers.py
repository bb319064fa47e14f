"""The footers of Parquet files: row counts and the first and last times. Files without rows of a window are not opened
because of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet

_MOST_CACHED = 100_000
_cached_footers: dict[str, tuple[tuple[int, int], Footer | None]] = {}


class RowFilter(StrEnum):
    """Which rows of a log a statement is about, by their time: all; those from `start` to before `end`; those before
    `start`; those at or after `end`; the first (at or after `start`); the last (before `end`); those without a time.
    """

    ALL = "all"
    WINDOW = "window"
    BEFORE = "before"
    AFTER = "after"
    FIRST = "first"
    LAST = "last"
    UNDATED = "undated"


@dataclass(frozen=True)
class Footer:
    """rows: how many. schema: the same for files of the same columns. spans: the first and the last time of a column,
    in microseconds since 1970 of its own zone; nulls: how many values are missing; both only where the file has
    statistics.
    """

    rows: int
    spans: dict[str, tuple[int, int]]
    nulls: dict[str, int]
    schema: str = ""

    @classmethod
    def from_metadata(cls, metadata: Any) -> Footer:
        """From the metadata of a file, as pyarrow reads them."""
        spans, nulls = {}, {}
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        for place, field in _times(metadata.schema).items():
            statistics = [group.column(place).statistics for group in groups if group.num_rows]
            if all(statistic is not None and statistic.has_null_count for statistic in statistics):
                nulls[field] = sum(statistic.null_count for statistic in statistics)
            filled = [
                statistic
                for statistic, group in zip(statistics, groups, strict=False)
                if statistic is None or statistic.null_count != group.num_rows
            ]
            if filled and all(statistic is not None and statistic.has_min_max for statistic in filled):
                spans[field] = (
                    min(_micro(statistic.min) for statistic in filled),
                    max(_micro(statistic.max) for statistic in filled),
                )
        schema = hashlib.sha256(str(metadata.schema).partition("\n")[2].encode()).hexdigest()[:16]
        return cls(int(metadata.num_rows), spans, nulls, schema)

    @classmethod
    def from_text(cls, text: bytes) -> Footer:
        """The inverse of `to_text`."""
        content = json.loads(text)
        spans = {name: (first, last) for name, (first, last) in content["spans"].items()}
        return cls(content["rows"], spans, content["nulls"], content["schema"])

    def to_text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))


def footer_of(file: str) -> Footer | None:
    """The footer of a file on this machine; None where the file is torn or gone."""
    try:
        stat = os.stat(file)
        state = stat.st_mtime_ns, stat.st_size
        if file not in _cached_footers or _cached_footers[file][0] != state:
            if len(_cached_footers) >= _MOST_CACHED:
                _cached_footers.clear()
            _cached_footers[file] = state, Footer.from_metadata(parquet.read_metadata(file))
    except (OSError, ValueError):
        return None
    return _cached_footers[file][1]


def representative_files(footers: Mapping[str, Footer]) -> list[str]:
    """Files that together have the columns of all: one for each schema and for each kind of value in the parts of a
    partitioned folder's path.
    """
    chosen: dict[Any, str] = {}
    for file, footer in footers.items():
        values = (part.partition("=") for part in Path(file).parts[:-1] if "=" in part)
        kinds = tuple((name, next(kind for kind in _KINDS if kind.fullmatch(value))) for name, _, value in values)
        chosen.setdefault((footer.schema, kinds), file)
    return list(chosen.values())


# What the parts of a path may be: whole numbers, days, times, anything.
_KINDS = [re.compile(form) for form in (r"-?\d{1,18}", r"\d{4}-\d\d-\d\d", r"\d{4}-\d\d-\d\d.*", r"(?s:.*)")]


def needed(footers: Mapping[str, Footer], rows: RowFilter, time: str, start: int | None, end: int | None) -> list[str]:
    """The files that may hold such rows. time: the column of their times; start, end: in microseconds, None: no
    bound.
    """
    spans: dict[str, tuple[int, int]] = {}
    unknown = []
    for file, footer in footers.items():
        if not footer.rows:
            continue
        if time in footer.nulls and rows == RowFilter.UNDATED:
            if footer.nulls[time]:
                unknown.append(file)
        elif time not in footer.spans or rows in (RowFilter.ALL, RowFilter.UNDATED):
            unknown.append(file)
        else:
            spans[file] = footer.spans[time]
    low, high = float("-inf") if start is None else start, float("inf") if end is None else end
    if rows == RowFilter.BEFORE:
        matching = {file for file, (first, _) in spans.items() if first < low}
    elif rows == RowFilter.AFTER:
        matching = {file for file, (_, last) in spans.items() if last >= high}
    elif rows == RowFilter.FIRST:
        later = {file: first for file, (first, _) in spans.items() if first >= low}
        matching = {file for file, (first, last) in spans.items() if first < low <= last} | _best(later, min)
    elif rows == RowFilter.LAST:
        earlier = {file: last for file, (_, last) in spans.items() if last < high}
        matching = {file for file, (first, last) in spans.items() if first < high <= last} | _best(earlier, max)
    else:
        matching = {file for file, (first, last) in spans.items() if last >= low and first < high}
    matching |= set(unknown)
    return [file for file in footers if file in matching]


def _best(times: dict[str, int], pick: Any) -> set[str]:
    return {pick(times, key=times.__getitem__)} if times else set()


def _times(schema: Any) -> dict[int, str]:
    """The columns of times: their place and name."""
    kinds = schema.to_arrow_schema()
    plain = {field.name for field in kinds if pa.types.is_timestamp(field.type) or pa.types.is_date(field.type)}
    paths = {place: schema.column(place).path for place in range(len(schema))}
    return {place: path for place, path in paths.items() if path in plain}


def _micro(value: Any) -> int:
    return int(pd.Timestamp(value).to_datetime64().astype("datetime64[us]").astype(int))
