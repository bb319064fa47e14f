"""Tables and queries of a SQLite file."""

from __future__ import annotations

import hashlib
import sqlite3
from datetime import date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.datatypes as dt

from monitor.errors import SourceUnreachableError
from monitor.sources.engines.base import Engine, WindowFilter, compare
from monitor.sources.sample import PRIME, coefficients
from monitor.sources.spec import Place

# By how much the day that a time is written with may differ from that in UTC.
_ANY_ZONE = timedelta(days=1)


@ibis.udf.scalar.builtin  # type: ignore[untyped-decorator]
def strftime(form: str, moment: dt.timestamp) -> str:  # type: ignore[empty-body]
    """SQLite's own: its times are text, and only so are they comparable."""


class SQLite(Engine):
    """A SQLite file, opened to be read. Comparing its times, which are text, costs more than hashing numbers."""

    knows_nan = False
    compares_times_last = True

    def connect(self, place: Place) -> Any:
        """Raises SourceUnreachableError."""
        assert place.url is not None
        path = place.url.split("://", 1)[1].removeprefix("/")
        if not Path(path).is_file():
            raise SourceUnreachableError(f"there is no SQLite file {place.shown}")
        try:
            connection = ibis.sqlite.connect(path)
            connection.list_tables()
        except sqlite3.Error as error:
            raise SourceUnreachableError(f"{place.shown} cannot be opened: {error}") from None
        connection.con.create_function(
            "md5",
            1,
            lambda text: hashlib.md5(str(text).encode(), usedforsecurity=False).hexdigest(),
            deterministic=True,
        )
        connection.con.execute("PRAGMA query_only = 1")
        return connection

    def table(self, place: Place) -> Any:
        """A table or query."""
        if place.query is None:
            return super().table(place)
        # To find out what columns a query has, ibis makes a view, a temporary one: the file itself is not written.
        self.connection.con.execute("PRAGMA query_only = 0")
        try:
            return super().table(place)
        finally:
            self.connection.con.execute("PRAGMA query_only = 1")

    def with_time(self, table: Any, name: str, _place: Place) -> Any:
        """SQLite has no type of times: a column of text is one, if `strftime` reads every value; what a query makes has
        no declared type.
        """
        if name not in table.columns or not table[name].type().is_string():
            return table
        year = strftime("%Y", table[name].cast("timestamp"))
        unreadable = table.filter(table[name].notnull() & year.isnull()).count().execute()
        return table if unreadable else table.mutate(**{name: table[name].cast("timestamp")})

    def is_zoned(self, _kind: Any) -> bool:
        """Text contains its zone, or is in the source's zone; both are compared as text."""
        return False

    def literal(self, moment: datetime, zone: tzinfo, *, zoned: bool) -> str:
        """In milliseconds, as `strftime` writes them."""
        return super().literal(moment, zone, zoned=zoned)[:-3]

    def compared(self, column: Any, literal: str, how: str) -> Any:
        """As text of one form."""
        return compare(strftime("%Y-%m-%d %H:%M:%f", column), ibis.literal(literal), how)

    def roughly(self, column: Any, within: WindowFilter) -> list[Any]:
        """The days that times are written with."""
        first, last = (date.fromisoformat(bound[:10]) for bound in (within.start, within.end))
        return [column >= first - _ANY_ZONE, column < last + 2 * _ANY_ZONE]

    def ranked(self, rows: Any, name: str, seed: int) -> Any:
        """By SQL of our own: ibis would take the remainder in floating point here."""
        a, b, c, d = coefficients(seed)
        quoted = (column.replace('"', '""') for column in rows.columns if column != name)
        names = ", ".join(f'"{column}"' for column in quoted)
        # SQLite works out `u` wherever it stands: so without its last remainder, which changes none after it; no step
        # leaves 64 bits for want of it.
        query = f"""SELECT {names}, COALESCE((w * {c} + {d}) % {PRIME}, {PRIME}) AS {name}
            FROM (SELECT *, (v * v + u) % {PRIME} AS w FROM (SELECT *, (u * {a} + {b}) % {PRIME} AS v
            FROM (SELECT *, {name} % {PRIME} + {PRIME} AS u FROM ({ibis.to_sql(rows, dialect="sqlite")}))))"""  # noqa: S608 - names of columns, and numbers
        return self.connection.sql(query, schema=rows.schema())
