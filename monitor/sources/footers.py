"""What the footers of Parquet files say of their rows, by which files are left unopened that hold none of those that
are asked for.
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

_MOST_KNOWN = 100_000
_known: dict[str, tuple[tuple[int, int], Footer | None]] = {}


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
    in microseconds since 1970 of its own zone; nulls: how many it lacks; both only where the statistics tell.
    """

    rows: int
    spans: dict[str, tuple[int, int]]
    nulls: dict[str, int]
    schema: str = ""

    @classmethod
    def of(cls, metadata: Any) -> Footer:
        """What the metadata of a file say, as pyarrow reads them."""
        spans, nulls = {}, {}
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        for place, field in _times(metadata.schema).items():
            told = [group.column(place).statistics for group in groups if group.num_rows]
            if all(each is not None and each.has_null_count for each in told):
                nulls[field] = sum(each.null_count for each in told)
            filled = [
                each
                for each, group in zip(told, groups, strict=False)
                if each is None or each.null_count != group.num_rows
            ]
            if filled and all(each is not None and each.has_min_max for each in filled):
                spans[field] = min(_micro(each.min) for each in filled), max(_micro(each.max) for each in filled)
        schema = hashlib.sha256(str(metadata.schema).partition("\n")[2].encode()).hexdigest()[:16]
        return cls(int(metadata.num_rows), spans, nulls, schema)

    @classmethod
    def from_text(cls, text: bytes) -> Footer:
        """The inverse of `to_text`."""
        told = json.loads(text)
        spans = {name: (first, last) for name, (first, last) in told["spans"].items()}
        return cls(told["rows"], spans, told["nulls"], told["schema"])

    def to_text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))


def footer_of(file: str) -> Footer | None:
    """What the footer of a file on this machine says; None where it is torn, or gone."""
    try:
        stat = os.stat(file)
        mark = stat.st_mtime_ns, stat.st_size
        if file not in _known or _known[file][0] != mark:
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            _known[file] = mark, Footer.of(parquet.read_metadata(file))
    except (OSError, ValueError):
        return None
    return _known[file][1]


def one_of_each(footers: Mapping[str, Footer]) -> list[str]:
    """Files that have, together, the columns of all: one of each schema, and of each kind of value in the parts of a
    partitioned folder's path.
    """
    found: dict[Any, str] = {}
    for file, footer in footers.items():
        values = (part.partition("=") for part in Path(file).parts[:-1] if "=" in part)
        kinds = tuple((name, next(kind for kind in _KINDS if kind.fullmatch(value))) for name, _, value in values)
        found.setdefault((footer.schema, kinds), file)
    return list(found.values())


# What the parts of a path may be: whole numbers, days, times, anything.
_KINDS = [re.compile(form) for form in (r"-?\d{1,18}", r"\d{4}-\d\d-\d\d", r"\d{4}-\d\d-\d\d.*", r"(?s:.*)")]


def needed(footers: Mapping[str, Footer], rows: RowFilter, time: str, start: int | None, end: int | None) -> list[str]:
    """The files that may hold such rows. time: the column of their times; start, end: in microseconds, None: no
    bound.
    """
    told: dict[str, tuple[int, int]] = {}
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
            told[file] = footer.spans[time]
    low, high = float("-inf") if start is None else start, float("inf") if end is None else end
    if rows == RowFilter.BEFORE:
        found = {file for file, (first, _) in told.items() if first < low}
    elif rows == RowFilter.AFTER:
        found = {file for file, (_, last) in told.items() if last >= high}
    elif rows == RowFilter.FIRST:
        later = {file: first for file, (first, _) in told.items() if first >= low}
        found = {file for file, (first, last) in told.items() if first < low <= last} | _best(later, min)
    elif rows == RowFilter.LAST:
        earlier = {file: last for file, (_, last) in told.items() if last < high}
        found = {file for file, (first, last) in told.items() if first < high <= last} | _best(earlier, max)
    else:
        found = {file for file, (first, last) in told.items() if last >= low and first < high}
    found |= set(unknown)
    return [file for file in footers if file in found]


def _best(times: dict[str, int], which: Any) -> set[str]:
    return {which(times, key=times.__getitem__)} if times else set()


def _times(schema: Any) -> dict[int, str]:
    """The columns of times: their place and name."""
    kinds = schema.to_arrow_schema()
    plain = {field.name for field in kinds if pa.types.is_timestamp(field.type) or pa.types.is_date(field.type)}
    paths = {place: schema.column(place).path for place in range(len(schema))}
    return {place: path for place, path in paths.items() if path in plain}


def _micro(value: Any) -> int:
    return int(pd.Timestamp(value).to_datetime64().astype("datetime64[us]").astype(int))
