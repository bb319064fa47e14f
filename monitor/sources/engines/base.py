"""What an engine does for a log: connect, open a table, compare times, hash ids, run a query. A new one is a file
beside this, and a line in the registry.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, ClassVar

import ibis
import pandas as pd

from monitor.domain.text import first_line
from monitor.errors import DataError
from monitor.sources.footers import RowFilter
from monitor.sources.sample import PRIME, coefficients, md5
from monitor.sources.spec import Place
from monitor.sources.times import naive


@dataclass(frozen=True)
class WindowFilter:
    """The rows of a window that were logged by `as_of`, and the bound of the hashes that are read: as text that the
    engine takes.

    rows, time: which rows of the log the statement is about, by that column; an engine may leave out all others.
    """

    start: str
    end: str
    as_of: str | None
    bound: str
    rows: RowFilter = RowFilter.ALL
    time: str = ""


_LEFT_OUT = {
    "is_binary": "binary",
    "is_array": "a list",
    "is_map": "a map",
    "is_struct": "an object",
    "is_json": "an object",
    "is_interval": "a span of time",
    "is_unknown": "of a type that is not known here",
    "is_geospatial": "a shape",
}


class Engine(ABC):
    """One connection to where a log is.

    knows_nan: numbers may be NaN and not null. compares_times_last: comparing times costs more than hashing whole
        numbers. joins_labels: labels of another place that it serves are joined to the whole log, not only to a
        window's rows.
    """

    knows_nan: ClassVar[bool] = True
    compares_times_last: ClassVar[bool] = False
    joins_labels: ClassVar[bool] = False

    def __init__(self, place: Place) -> None:
        """Raises SourceUnreachableError if nobody answers."""
        self.place = place
        self.connection = self.connect(place)

    @abstractmethod
    def connect(self, place: Place) -> Any:
        """A connection of ibis that only reads."""

    def table(self, place: Place) -> Any:
        """What a place names, as a table of ibis: of a database a table or a query. Raises DataError if it is not
        there.
        """
        try:
            if place.query is not None:
                return self.connection.sql(place.query)
            return self.connection.table(place.table, database=place.db_schema or None)
        except Exception as error:
            tables = ", ".join(self.connection.list_tables()[:10]) or "none"
            target = f"table {place.table}" if place.query is None else "query"
            raise DataError(
                f"{place.shown}: the {target} cannot be read: {first_line(error)}; its tables are: {tables}"
            ) from None

    def left_out(self, _place: Place, table: Any) -> dict[str, str]:
        """The columns of a place that no check can test, with what they hold."""
        return {
            name: words
            for name, kind in table.schema().items()
            if (words := next((words for is_kind, words in _LEFT_OUT.items() if getattr(kind, is_kind)()), None))
        }

    def number(self, decimal: Any) -> Any:
        """A column of decimals as one of numbers."""
        return decimal.cast("float64")

    def serves(self, place: Place) -> bool:
        """Whether the same connection reads another place, too."""
        return place.own_path is None and (self.place.engine, self.place.url) == (place.engine, place.url)

    def with_time(self, table: Any, _name: str, _place: Place) -> Any:
        """A table whose column of that name holds times, where the engine has left them as text."""
        return table

    def is_zoned(self, kind: Any) -> bool:
        """Whether times of a type have a zone."""
        return getattr(kind, "timezone", None) is not None

    def literal(self, moment: datetime, zone: tzinfo, *, zoned: bool) -> str:
        """A moment as text that a column of times is compared with. zone: of the column, where it has none of its
        own.
        """
        return moment.isoformat() if zoned else naive(moment, zone).isoformat(" ", "microseconds")

    def compared(self, column: Any, literal: str, how: str) -> Any:
        """The rows whose time is `how` (`>=`, `<`, `<=`) as a literal."""
        kind = "timestamp('UTC', 6)" if self.is_zoned(column.type()) else "timestamp(6)"
        return compare(column.cast(kind), ibis.literal(literal).cast(kind), how)

    def roughly(self, _column: Any, _within: WindowFilter) -> list[Any]:
        """Conditions that an index can use to find a window's rows; exact comparisons follow."""
        return []

    def md5(self, text: Any) -> Any:
        """The md5 of text, as hexadecimal text in small letters."""
        return md5(text)

    def ranked(self, rows: Any, name: str, seed: int) -> Any:
        """Rows with the hash of whole numbers in their place: plain arithmetic, the same on every engine
        (`sample.ranks`). Rows without a number come last.
        """
        a, b, c, d = coefficients(seed)
        number = (rows[name] % PRIME + PRIME) % PRIME
        mixed = (number * a + b) % PRIME
        mixed = (mixed * mixed + number) % PRIME
        return rows.mutate(**{name: ((mixed * c + d) % PRIME).fill_null(PRIME)})

    def frame(self, _name: Hashable, expression: Callable[[WindowFilter], Any], within: WindowFilter) -> pd.DataFrame:
        """The rows of an expression. name: identifies it among expressions of the same columns."""
        return self.run(expression(within))

    def run(self, expression: Any, _within: WindowFilter | None = None) -> pd.DataFrame:
        """The rows of an expression of tables that were opened here. within: the rows of the log that it is about,
        where it is not about all.
        """
        frame: pd.DataFrame = expression.to_pandas()
        return frame

    def rows_with_ids(self, table: Any, id_column: str, ids: list[Any], within: WindowFilter | None) -> pd.DataFrame:
        """The rows of a table that have one of some ids. within: as in `run`."""
        return self.run(table.filter(table[id_column].isin(ids)), within)

    def mark(self, _place: Place) -> str:
        """A fingerprint of a place, by which a change is seen; '' where it would be expensive."""
        return ""

    def rows_by_statistics(self, _place: Place) -> int:
        """How many rows a place has, where that is known without reading it; else 0."""
        return 0

    def bad_records(self, _place: Place, _time: str) -> list[tuple[Any, str]]:
        """The records of a place that could not be read, each with the time of the row beside it and a description. The
        time is a value of the column of that name, or seconds since 1970 where there is none.
        """
        return []

    def plain_files(self, _place: Place, _within: WindowFilter) -> list[str]:
        """The Parquet files of a place that hold the rows of a window, where it is such files on this machine; else
        none.
        """
        return []


def compare(left: Any, right: Any, how: str) -> Any:
    """`left` is `how` (`>=`, `<`, `<=`) as `right`."""
    return left >= right if how == ">=" else left < right if how == "<" else left <= right


def as_count(value: Any) -> int:
    """A number that an engine has counted or summed. Some engines give null for no rows."""
    return 0 if value is None or pd.isna(value) else int(value)
