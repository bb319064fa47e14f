"""What is needed to open a log: plain values that travel to a worker process."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from monitor.domain.grid import Window


@dataclass(frozen=True)
class ReadSpec:
    """How files are read, as far as it was set; what is None or empty is found out from the files.

    format: of records (`sources.formats`). encoding, separator, compression: of text files. decimal, thousands: the
        marks within numbers of CSV files.
    na: more words for a missing value. date_format: formats of strptime, or `seconds`, `milliseconds`, `microseconds`,
        `nanoseconds` since 1970.
    names: of the inputs, or of the columns of CSV files, where they carry none. text: columns that stay text, whatever
        they hold. open: objects within objects that are opened, too.
    time_of: columns whose text makes the time, in their order; time_path: or the format of the part of a file's path
        that does. It is then the column `event_time`.
    """

    format: str | None = None
    encoding: str | None = None
    separator: str | None = None
    compression: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    na: tuple[str, ...] = ()
    date_format: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    time_of: tuple[str, ...] = ()
    time_path: str | None = None

    @property
    def makes_time(self) -> bool:
        """Whether the time is made of columns, or of the path."""
        return bool(self.time_of or self.time_path)


# The name of a time that is made of others.
MADE_TIME = "event_time"


@dataclass(frozen=True)
class Place:
    """Files, a table or a query; secrets filled in. `shown` names it in messages, without user and password.

    engine: `spark`, or None: DuckDB in this process for files, and the database itself for tables. read: how files are
        read. expressions: columns of files that SQL makes of others, by name.
    version: of a table of Delta Lake or Iceberg, None: the newest.
    """

    shown: str
    path: str | None = None
    url: str | None = None
    db_schema: str | None = None
    table: str | None = None
    query: str | None = None
    timezone: str = "UTC"
    engine: str | None = None
    read: ReadSpec = ReadSpec()
    expressions: tuple[tuple[str, str], ...] = ()
    version: int | None = None

    @property
    def is_made_by_sql(self) -> bool:
        """Whether its rows are made by SQL."""
        return self.query is not None or bool(self.expressions)

    @property
    def own_path(self) -> str | None:
        """The path of files that this process reads itself; None for tables, and for files that another engine
        reads.
        """
        return self.path if self.engine is None else None


@dataclass(frozen=True)
class LabelSpec:
    """Where labels are, and when they count as known.

    place: their own source; None where the label column is in the log. label, label_time, id: columns there.
    delay_s: without a label time, event time + this many seconds counts as theirs.
    """

    place: Place | None
    label: str
    label_time: str | None
    id: str | None
    delay_s: float


@dataclass(frozen=True)
class LogSpec:
    """A prediction log: where it is, which columns play which part, how much of a window is read.

    only: the columns that are read, beside id and times; all but those of `ignore` if empty. group: the column whose
        equal values are sampled together, None: each row by itself. ahead: whether rows may be of times to come.
    """

    place: Place
    event_time: str
    id: str | None = None
    logged_at: str | None = None
    labels: LabelSpec | None = None
    ignore: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    hash_key: str = ""
    sample_rows: int = 20_000
    seed: int = 0
    group: str | None = None
    ahead: bool = False


@dataclass(frozen=True)
class RecentWindows:
    """Windows whose labelled rows show the recent performance of the model, each with the `as_of` that it was read by.
    rows: how many are read of each.
    """

    windows: tuple[tuple[Window, datetime], ...]
    rows: int
