"""What files hold written otherwise than it is meant: times as numbers since 1970 or as text, numbers in a dress; and the SELECT that makes of it what it should be."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from monitor.errors import DataError
from monitor.sources.engines.duckdb import DuckDB
from monitor.sources.files import find_files, format_of
from monitor.sources.spec import Place

# Numbers of seconds between the years 2000 and 2040; of milliseconds, … they are greater by their factor, so that no two can be mistaken for each other.
_FIRST_S, _LAST_S = 946_684_800, 2_208_988_800
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
FORMATS = (*(date + clock for date in _DATES for clock in _CLOCKS), "%Y%m%d", "%Y%m%d%H%M%S", "%Y%m%dT%H%M%S")
_LOOKED_AT = 1000
# Words for what is not there, and the dresses of numbers: how, the form of all values, and the text that is the number.
_ABSENT = "'', 'na', 'n/a', 'nan', 'null', 'none', '?', '-'"
_PLAIN = "numbers"
_DRESSES = (
    (_PLAIN, r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", "TEXT"),
    ("numbers with commas between thousands", r"[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?", "replace(TEXT, ',', '')"),
    (
        "numbers with a decimal comma",
        r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?",
        "replace(replace(TEXT, '.', ''), ',', '.')",
    ),
)


@dataclass(frozen=True)
class _Candidate:
    """A reading that is tried. sql: ends with an error for a value that it cannot read; tried: gives null for it."""

    how: str
    sql: str
    tried: str


@dataclass(frozen=True)
class Reading:
    """One way to read a column. how: of times a format of strptime, or `seconds`, … since 1970. sql: DuckDB's expression. example: a value, and as what it is read."""

    how: str
    sql: str
    example: tuple[str, str]

    @property
    def words(self) -> str:
        """How, for people."""
        return f"{self.how} since 1970" if self.how in _UNITS else self.how


def readings(place: Place, name: str) -> list[Reading]:
    """All ways in which every value of a column of files can be read as a time; none for a column of times."""
    engine = DuckDB(place)
    table = engine.table(place)
    kind, column = table.schema()[name], _quoted(name)
    if kind.is_timestamp() or kind.is_date():
        return []
    con, rows = engine.connection.con, _quoted(table.get_name())
    found = _fitting(con, rows, column, column, _candidates(kind, column))
    return [Reading(each.how, each.sql, _example(con, rows, column, each.sql)) for each in found]


def as_meant(place: Place, times: Sequence[str], how: str | None) -> tuple[Place, list[str]]:
    """A place whose columns hold what is meant, by a query where files hold it written otherwise; and what was assumed, a line each.

    times: its columns that play the part of a time. how: as `Reading.how` has it, None to find it out. Numbers in CSV files that are dressed (`1,234.50`, `$12`, `12.5%`, `12,5`, NA)
    are numbers. Raises DataError where a time can be read in several ways.
    """
    if place.own_path is None or place.query is not None:
        return place, []
    found = {name: reading for name in times if (reading := _time(place, name, how)) is not None}
    found |= _dressed(place, set(times))
    if not found:
        return place, []
    notes = [
        f"'{name}' of {place.shown} is read as {each.words} ({each.example[0]} is {each.example[1]}), by `query`"
        for name, each in found.items()
    ]
    columns = ", ".join(f"{each.sql} AS {_quoted(name)}" for name, each in found.items())
    return replace(place, query=f"SELECT * REPLACE ({columns}) FROM log"), notes  # noqa: S608 - names of columns


def _time(place: Place, name: str, how: str | None) -> Reading | None:
    found = readings(place, name)
    if how is not None and found:
        found = [each for each in found if each.how == how] or _refuse(place, name, found, f"none of them is {how}")
    if len(found) > 1:
        _refuse(place, name, found, "say which by --time-format")
    return found[0] if found else None  # a column of times, or one of which the log itself says what is wrong


def _dressed(place: Place, others: Collection[str]) -> dict[str, Reading]:
    """The columns of CSV files that hold numbers in a dress, each with its only reading; where commas may stand for thousands or decimals, text stays text."""
    engine = DuckDB(place)
    table = engine.table(place)
    if format_of(find_files(place.own_path or "", place.shown)[0]) != "csv":
        return {}
    con, rows = engine.connection.con, _quoted(table.get_name())
    found = {}
    for name, kind in table.schema().items():
        if name in others or not kind.is_string():
            continue
        column = _quoted(name)
        bare = f"regexp_replace(trim({column}), '^[$€£]\\s*|\\s*[%€$£]$', '', 'g')"
        text = f"CASE WHEN lower({bare}) NOT IN ({_ABSENT}) THEN {bare} END"
        dresses = [
            _Candidate(
                how,
                f"CAST({sql.replace('TEXT', text)} AS DOUBLE)",
                f"CASE WHEN regexp_full_match({text}, '{form}') THEN 1 END",
            )
            for how, form, sql in _DRESSES
        ]
        fitting = _fitting(con, rows, column, text, dresses)
        if fitting and (len(fitting) == 1 or fitting[0].how == _PLAIN):
            asked = f"SELECT {column}, {fitting[0].sql} FROM {rows} WHERE {text} IS NOT NULL LIMIT 1"  # noqa: S608 - names
            value = con.execute(asked).fetchall()[0]
            found[name] = Reading(fitting[0].how, fitting[0].sql, (str(value[0])[:40], f"{value[1]:g}"))
    return found


def _refuse(place: Place, name: str, found: list[Reading], why: str) -> list[Reading]:
    ways = "; ".join(f"{each.how}: {each.example[0]} is {each.example[1]}" for each in found)
    raise DataError(f"'{name}' of {place.shown} can be read in more ways than one ({ways}): {why}")


def _candidates(kind: Any, column: str) -> list[_Candidate]:
    found = []
    number = column if kind.is_numeric() else f"CAST({column} AS BIGINT)"
    tried = column if kind.is_numeric() else f"TRY_CAST({column} AS BIGINT)"
    for unit, (factor, sql) in _UNITS.items():
        inside = f"{tried} BETWEEN {_FIRST_S * factor} AND {_LAST_S * factor}"
        found.append(_Candidate(unit, sql.replace("VALUE", number), f"CASE WHEN {inside} THEN 1 END"))
    if kind.is_floating():
        return found
    text = column if kind.is_string() else f"CAST({column} AS VARCHAR)"
    for how, zone, target in (
        ("%Y-%m-%d (ISO 8601)", "NOT ", "TIMESTAMP"),
        ("%Y-%m-%d (ISO 8601) %z", "", "TIMESTAMPTZ"),
    ):
        said = f"regexp_matches({text}, '^\\d{{4}}-') AND {zone}regexp_matches({text}, '([+-]\\d\\d:?(\\d\\d)?|Z)$')"
        tried = f"CASE WHEN {said} THEN TRY_CAST({text} AS {target}) END"
        found.append(_Candidate(how, f"CAST({text} AS {target})", tried))
    return found + [
        _Candidate(form, f"strptime({text}, '{form}')", f"try_strptime({text}, '{form}')") for form in FORMATS
    ]


def _fitting(con: Any, rows: str, column: str, value: str, candidates: list[_Candidate]) -> list[_Candidate]:
    """Those that read every value of a column, tried on a few first. value: what of it is to be read, as an expression."""
    few = f"(SELECT {column} FROM {rows} WHERE {column} IS NOT NULL LIMIT {_LOOKED_AT})"  # noqa: S608 - names
    for part in (few, rows):
        candidates = [each for each in candidates if _reads_all(con, part, value, each.tried)]
    return candidates


def _reads_all(con: Any, rows: str, value: str, sql: str) -> bool:
    values, read = con.execute(f"SELECT count({value}), count({sql}) FROM {rows}").fetchall()[0]  # noqa: S608 - names, and expressions of above
    return bool(values) and values == read


def _example(con: Any, rows: str, column: str, sql: str) -> tuple[str, str]:
    asked = f"SELECT CAST({column} AS VARCHAR), strftime({sql}, '%Y-%m-%d %H:%M') FROM {rows} WHERE {column} IS NOT NULL LIMIT 1"  # noqa: S608 - as above
    value, read = con.execute(asked).fetchall()[0]
    return str(value)[:40], f"{read} UTC"


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))
