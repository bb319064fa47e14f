"""How files are to be read whose values are not written plainly: their format and encoding, times as numbers since 1970
or as text, and the marks within numbers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from monitor.errors import DataError
from monitor.sources.engines.duckdb import DuckDB
from monitor.sources.engines.unpacked import quoted_name
from monitor.sources.files import find_files, is_parquet
from monitor.sources.formats import FORMATS
from monitor.sources.records.columns import ABSENT, FIRST_S, LAST_S
from monitor.sources.records.kept import first_records, time_in_path
from monitor.sources.records.text import dialect_of
from monitor.sources.spec import Place, ReadSpec

# Numbers since 1970 are greater by these factors, so that no two can be mistaken for each other.
_UNITS = {
    "seconds": (1, "to_timestamp(VALUE)"),
    "milliseconds": (10**3, "to_timestamp(VALUE / 1000.0)"),
    "microseconds": (10**6, "to_timestamp(VALUE / 1000000.0)"),
    "nanoseconds": (10**9, "to_timestamp(VALUE // 1000 / 1000000.0)"),
}
_DATES = (
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d.%m.%Y",
    "%m.%d.%Y",
    "%m-%d-%Y",
    "%d-%m-%Y",
    "%d-%b-%Y",
    "%d %b %Y",
    "%b %d %Y",
    "%b %d, %Y",
    "%d/%b/%Y",
)
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", ":%H:%M:%S %z")
TIME_FORMATS = (*(date + clock for date in _DATES for clock in _CLOCKS), "%Y%m%d", "%Y%m%d%H%M%S", "%Y%m%dT%H%M%S")
_LOOKED_AT = 1000
_IN_PATHS = ("%Y/%m/%d/%H", "%Y/%m/%d", "%Y-%m-%d", "%Y%m%d", "%Y_%m_%d")
# What no column is called: a number, or a time.
_VALUE = re.compile(r"[+-]?\d+([.,]\d+)?|\d{4}-\d\d-\d\d.*")
# Numbers of CSV files whose marks are not plain: the marks, and the form of all values.
_MARKS = {
    (".", ","): r"[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?",
    (",", "."): r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?",
    (",", " "): r"[+-]?(\d{1,3}( \d{3})+|\d+)(,\d+)?",
    (".", "'"): r"[+-]?(\d{1,3}('\d{3})+|\d+)(\.\d+)?",
}


@dataclass(frozen=True)
class _Candidate:
    """A reading that is tried. sql: ends with an error for a value that it cannot read; tried: gives null for it."""

    how: str
    sql: str
    tried: str


@dataclass(frozen=True)
class ColumnFormat:
    """One way to read a column. how: of times a format of strptime, or `seconds`, … since 1970. sql: DuckDB's
    expression. example: a value, and as what it is read.
    """

    how: str
    sql: str
    example: tuple[str, str]

    @property
    def words(self) -> str:
        """`how` for people."""
        return f"{self.how} since 1970" if self.how in _UNITS else self.how


def readings(place: Place, name: str) -> list[ColumnFormat]:
    """All ways in which every value of a column of files can be read as a time; none for a column of times."""
    engine = DuckDB(place)
    table = engine.table(place)
    kind, column = table.schema()[name], quoted_name(name)
    if kind.is_timestamp() or kind.is_date():
        return []
    con, rows = engine.full_table(table)
    fitting = _fitting(con, rows, column, column, _candidates(kind, column))
    return [
        ColumnFormat(candidate.how, candidate.sql, _example(con, rows, column, candidate.sql)) for candidate in fitting
    ]


def as_meant(place: Place, times: Sequence[str], how: str | None) -> tuple[Place, list[str]]:
    """A place whose times and numbers are converted where files hold them in another form; and the assumptions, one a
    line.

    Text files are then read by `Place.read`, Parquet files by a query. times: the columns that hold times. how: as
    `ColumnFormat.how`; None: it is found out. Raises DataError where a time can be read in several ways.
    """
    if place.own_path is None or place.query is not None:
        return place, []
    is_text = is_kept(place)
    formats = {name: reading for name in times if (reading := _time(place, name, how)) is not None}
    setting = "source.read" if is_text else "query"
    notes = [
        f"'{name}' of {place.shown} is read as {column_format.words} ({column_format.example[0]} is"
        f" {column_format.example[1]}), by `{setting}`"
        for name, column_format in formats.items()
    ]
    if is_text:
        read, marks = _with_marks(place)
        forms = tuple(dict.fromkeys(column_format.how for column_format in formats.values()))
        return replace(place, read=replace(read, date_format=(*read.date_format, *forms))), notes + marks
    if not formats:
        return place, []
    columns = ", ".join(f"{column_format.sql} AS {quoted_name(name)}" for name, column_format in formats.items())
    return replace(place, query=f"SELECT * REPLACE ({columns}) FROM log"), notes  # noqa: S608 - names of columns


def recognised(place: Place) -> tuple[Place, list[str]]:
    """A place with the recognised format of its records and encoding of its text; and a note on each."""
    if place.own_path is None or place.read.format is not None:
        return place, []
    files = find_files(place.own_path, place.shown)
    record_format = next(
        (candidate for candidate in FORMATS if any(map(candidate.recognises, first_records(files, place.read)))), None
    )
    notes = []
    if record_format is None and not place.read.names:
        _refuse_values_for_names(place, files)
    if record_format is not None:
        place = replace(place, read=replace(place.read, format=record_format.name))
        notes.append(f"{place.shown} holds {record_format.title}; read so by `source.read.format`")
    dialect = None if is_parquet(files[0]) else dialect_of(files[0], place.read)
    if dialect is not None and dialect.encoding != "utf-8" and place.read.encoding is None:
        name = dialect.encoding
        place = replace(place, read=replace(place.read, encoding=name))
        notes.append(
            f"{place.shown} is no UTF-8: it is read as {name}; say so in `source.read.encoding` if it is another"
        )
    return place, notes


def _refuse_values_for_names(place: Place, files: list[str]) -> None:
    records = first_records(files[:1], place.read, 1)
    odd = next((name for record in records for name in record if _VALUE.fullmatch(name)), None)
    if odd is not None:
        raise DataError(
            f"the first line of {place.shown} holds values, not the names of columns ('{odd[:40]}'): name its"
            f" {len(records[0])} columns by --names a,b,…"
        )


def time_of_path(place: Place) -> str | None:
    """The format of the time in the paths of all files of a place; None where they hold none."""
    if place.own_path is None:
        return None
    files = find_files(place.own_path, place.shown)
    return next((form for form in _IN_PATHS if all(time_in_path(file, form) is not None for file in files)), None)


def is_kept(place: Place) -> bool:
    """Whether files are read once and kept as Parquet: all but Parquet that needs no format."""
    assert place.own_path is not None
    return (
        place.read.format is not None
        or place.read.makes_time
        or not is_parquet(find_files(place.own_path, place.shown)[0])
    )


def _time(place: Place, name: str, how: str | None) -> ColumnFormat | None:
    formats = readings(place, name)
    if how is not None and formats:
        formats = [column_format for column_format in formats if column_format.how == how] or _refuse(
            place, name, formats, f"none of them is {how}"
        )
    if len(formats) > 1:
        _refuse(place, name, formats, "say which by --time-format")
    return formats[0] if formats else None  # a column of times, or one that the log reports as wrong itself


def _with_marks(place: Place) -> tuple[ReadSpec, list[str]]:
    """How numbers are written in CSV files, as far as all values of a text column show it. Where commas may stand for
    thousands or decimals, text stays text.
    """
    read = place.read
    first = find_files(place.own_path or "", place.shown)[0]
    dialect = None if is_parquet(first) else dialect_of(first, read)
    if read.decimal is not None or read.thousands is not None or dialect is None or dialect.kind != "csv":
        return read, []
    engine = DuckDB(place)
    table = engine.table(place)
    con, rows = engine.full_table(table)
    marks_by_column: dict[str, list[tuple[str, str]]] = {}
    for name, kind in table.schema().items():
        if not kind.is_string():
            continue
        bare = f"regexp_replace(trim({quoted_name(name)}), '^([+-]?)[$€£]\\s*|\\s*[%€$£]$', '\\1')"
        text = f"CASE WHEN lower({bare}) NOT IN ({', '.join(repr(word) for word in ABSENT)}) THEN {bare} END"
        candidates = [
            _Candidate(
                f"{decimal}{thousands}", "", f"CASE WHEN regexp_full_match({text}, '{_in_sql(form)}') THEN 1 END"
            )
            for (decimal, thousands), form in _MARKS.items()
        ]
        fitting = _fitting(con, rows, quoted_name(name), text, candidates)
        if fitting and _has_marks(con, rows, text):
            marks_by_column[name] = [(candidate.how[0], candidate.how[1]) for candidate in fitting]
    if not marks_by_column:
        return read, []
    names = ", ".join(marks_by_column)
    common = set.intersection(*(set(marks) for marks in marks_by_column.values()))
    decimals, separators = {decimal for decimal, _ in common}, {thousands for _, thousands in common}
    if len(decimals) != 1:
        note = (
            f"{names} of {place.shown}: in its numbers a comma may stand before decimals or between thousands; they are"
            " text until `source.read.decimal` says which"
        )
        return read, [note]
    decimal, thousands = decimals.pop(), separators.pop() if len(separators) == 1 else None
    parted = f"'{thousands}' between thousands and " if thousands else ""
    note = f"{names} of {place.shown}: numbers with {parted}'{decimal}' before decimals, by `source.read`"
    return replace(read, decimal=decimal, thousands=thousands), [note]


def _has_marks(con: Any, rows: str, text: str) -> bool:
    """Whether a value has a mark in it. Without one it is a plain number, or a code such as 00123."""
    statement = f"SELECT count(*) FROM {rows} WHERE regexp_matches({text}, '[, '']')"  # noqa: S608 - names, and expressions of above
    return bool(con.execute(statement).fetchall()[0][0])


def _in_sql(text: str) -> str:
    return text.replace("'", "''")


def _refuse(place: Place, name: str, formats: list[ColumnFormat], why: str) -> list[ColumnFormat]:
    ways = "; ".join(
        f"{column_format.how}: {column_format.example[0]} is {column_format.example[1]}" for column_format in formats
    )
    raise DataError(f"'{name}' of {place.shown} can be read in more ways than one ({ways}): {why}")


def _candidates(kind: Any, column: str) -> list[_Candidate]:
    candidates = []
    number = column if kind.is_numeric() else f"CAST({column} AS BIGINT)"
    tried = column if kind.is_numeric() else f"TRY_CAST({column} AS BIGINT)"
    for unit, (factor, sql) in _UNITS.items():
        inside = f"{tried} BETWEEN {FIRST_S * factor} AND {LAST_S * factor}"
        candidates.append(_Candidate(unit, sql.replace("VALUE", number), f"CASE WHEN {inside} THEN 1 END"))
    if kind.is_floating():
        return candidates
    text = column if kind.is_string() else f"CAST({column} AS VARCHAR)"
    for how, zone, target in (
        ("%Y-%m-%d (ISO 8601)", "NOT ", "TIMESTAMP"),
        ("%Y-%m-%d (ISO 8601) %z", "", "TIMESTAMPTZ"),
    ):
        condition = (
            f"regexp_matches({text}, '^\\d{{4}}-') AND {zone}regexp_matches({text}, '([+-]\\d\\d:?(\\d\\d)?|Z)$')"
        )
        tried = f"CASE WHEN {condition} THEN TRY_CAST({text} AS {target}) END"
        candidates.append(_Candidate(how, f"CAST({text} AS {target})", tried))
    return candidates + [
        _Candidate(form, f"strptime({text}, '{form}')", f"try_strptime({text}, '{form}')") for form in TIME_FORMATS
    ]


def _fitting(con: Any, rows: str, column: str, value: str, candidates: list[_Candidate]) -> list[_Candidate]:
    """The candidates that read every value of a column; they are tried on a subsample first. value: an expression of
    what is read.
    """
    subsample = f"(SELECT {column} FROM {rows} WHERE {column} IS NOT NULL LIMIT {_LOOKED_AT})"  # noqa: S608 - names
    for part in (subsample, rows):
        candidates = [candidate for candidate in candidates if _reads_all(con, part, value, candidate.tried)]
    return candidates


def _reads_all(con: Any, rows: str, value: str, sql: str) -> bool:
    present, readable = con.execute(f"SELECT count({value}), count({sql}) FROM {rows}").fetchall()[0]  # noqa: S608 - names, and expressions of above
    return bool(present) and present == readable


def _example(con: Any, rows: str, column: str, sql: str) -> tuple[str, str]:
    expressions = f"CAST({column} AS VARCHAR), strftime({sql}, '%Y-%m-%d %H:%M')"
    statement = f"SELECT {expressions} FROM {rows} WHERE {column} IS NOT NULL LIMIT 1"  # noqa: S608 - as above
    value, moment = con.execute(statement).fetchall()[0]
    return str(value)[:40], f"{moment} UTC"
