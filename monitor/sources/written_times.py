"""How times are written where a file's column holds none: as numbers since 1970, or as text; and the SELECT that makes times of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from monitor.errors import DataError
from monitor.sources.engines.duckdb import DuckDB
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


@dataclass(frozen=True)
class _Candidate:
    """A reading that is tried. sql: ends with an error for a value that it cannot read; tried: gives null for it."""

    how: str
    sql: str
    tried: str


@dataclass(frozen=True)
class Reading:
    """One way to read a column as times. how: a format of strptime, or `seconds`, … since 1970. sql: DuckDB's expression. example: a value, and as what it is read."""

    how: str
    sql: str
    example: tuple[str, str]


def readings(place: Place, name: str) -> list[Reading]:
    """All ways in which every value of a column of files can be read as a time; none for a column of times."""
    engine = DuckDB(place)
    table = engine.table(place)
    kind, column = table.schema()[name], _quoted(name)
    if kind.is_timestamp() or kind.is_date():
        return []
    con, rows = engine.connection.con, table.get_name()
    few = f"(SELECT {column} FROM {_quoted(rows)} WHERE {column} IS NOT NULL LIMIT {_LOOKED_AT})"  # noqa: S608 - names
    found = [each for each in _candidates(kind, column) if _reads_all(con, few, column, each.tried)]
    found = [each for each in found if _reads_all(con, _quoted(rows), column, each.tried)]
    return [Reading(each.how, each.sql, _example(con, rows, column, each.sql)) for each in found]


def with_times(place: Place, name: str, how: str | None) -> tuple[Place, str]:
    """A place whose column holds times, by a query where files hold none; and what was assumed, '' for nothing. how: as `Reading.how` has it, None to find it out.

    Raises DataError where it can be read in several ways or in none.
    """
    if place.own_path is None or place.query is not None:
        return place, ""
    found = readings(place, name)
    if how is not None and found:
        found = [each for each in found if each.how == how] or _refuse(place, name, found, f"none of them is {how}")
    if not found:
        return place, ""  # a column of times, or one of which the log itself says what is wrong
    if len(found) > 1:
        _refuse(place, name, found, "say which by --time-format")
    reading = found[0]
    column = _quoted(name)
    since = "" if "%" in reading.how else " since 1970"
    query = f"SELECT * REPLACE ({reading.sql} AS {column}) FROM log"  # noqa: S608 - the name of a column
    value, read = reading.example
    note = f"'{name}' of {place.shown} is read as {reading.how}{since} ({value} is {read} UTC), by `query`"
    return replace(place, query=query), note


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


def _reads_all(con: Any, rows: str, column: str, sql: str) -> bool:
    values, read = con.execute(f"SELECT count({column}), count({sql}) FROM {rows}").fetchone()  # noqa: S608 - names, and expressions of above
    return bool(values) and values == read


def _example(con: Any, rows: str, column: str, sql: str) -> tuple[str, str]:
    asked = f"SELECT CAST({column} AS VARCHAR), strftime({sql}, '%Y-%m-%d %H:%M') FROM {_quoted(rows)} WHERE {column} IS NOT NULL LIMIT 1"  # noqa: S608 - as above
    value, read = con.execute(asked).fetchone()
    return str(value)[:40], str(read)


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))
