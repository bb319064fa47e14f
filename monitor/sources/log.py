"""A prediction log: its extent, exact counts of a window, and a sample that is the same from every engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from monitor.domain.checks import WindowCounts
from monitor.domain.clock import CLOCK_TOLERANCE, PLAUSIBLE_FROM
from monitor.domain.grid import Window
from monitor.domain.hidden import hide
from monitor.errors import DataError
from monitor.sources import files
from monitor.sources.engines import engine_of
from monitor.sources.engines.base import Engine, WindowFilter, as_count
from monitor.sources.footers import RowFilter
from monitor.sources.labels import Labels
from monitor.sources.parquet import MOST_COUNTED_IDS, Bounds, ParquetSample, PlainFiles
from monitor.sources.sample import KEY, RANK, Hashing, share_below
from monitor.sources.spec import LogSpec, Place
from monitor.sources.times import check_time, in_utc, naive, to_utc, zone_of


@dataclass(frozen=True)
class Extent:
    """The first and the newest event of a log, None where it has no rows."""

    first: datetime | None
    newest: datetime | None


@dataclass(frozen=True)
class Misdated:
    """Rows of a log that are in no window because of their time. example: one of their times as logged, '' without
    rows.
    """

    rows: int
    example: str


class Log:
    """A prediction log, opened. Raises DataError where columns are missing or of a wrong type."""

    def __init__(self, spec: LogSpec) -> None:
        self.spec = spec
        self.engine = engine_of(spec.place)
        self.table = self.engine.with_time(readable(self.engine, spec.place), spec.event_time, spec.place)
        self._check()

    @cached_property
    def types(self) -> dict[str, str]:
        """The columns and the engine's types, in the log's order."""
        return {name: str(kind) for name, kind in self.table.schema().items()}

    @cached_property
    def read_columns(self) -> list[str]:
        """The columns that are read, in the log's order."""
        spec = self.spec
        parts = {spec.id, spec.event_time, spec.logged_at, spec.group} | (
            {spec.labels.label, spec.labels.label_time} if spec.labels else set()
        )
        wanted = {*spec.only, *parts} if spec.only else set(self.types)
        return [name for name in self.types if name in wanted and name not in spec.ignore]

    def extent(self, after: datetime | None = None) -> Extent:
        """The first event at or after `after`, and the newest of all, without wrongly dated rows (`misdated`)."""
        latest = _latest()
        first, newest = self._first(after), self._newest(None)
        if newest is not None and newest >= latest:
            newest = self._newest(latest)
        if first is not None and first < PLAUSIBLE_FROM:
            first = self._first(PLAUSIBLE_FROM)
        return Extent(None if first is None or first >= latest else first, newest)

    def misdated(self) -> Misdated:
        """The rows that have no time, or one before 1971 or after this machine's clock: no window holds them. Rows of a
        forecast may be of times to come.
        """
        time, plausible = self.spec.event_time, Window(PLAUSIBLE_FROM, _latest())
        number, example = 0, ""

        def early(within: WindowFilter) -> Any:
            return self.table.filter(self.compared(time, within.start, "<")).count().as_table()

        def late(within: WindowFilter) -> Any:
            return self.table.filter(self.compared(time, within.end, ">=")).count().as_table()

        def undated(_within: WindowFilter) -> Any:
            return self.table.filter(self.table[time].isnull()).count().as_table()

        oldest, newest = self._first(None), self._newest(None)
        # Rows are counted only where there are some: the first and last times come from an index or from statistics.
        for count, rows, end, wrong in (
            (early, RowFilter.BEFORE, oldest, oldest is not None and oldest < plausible.start),
            (late, RowFilter.AFTER, newest, not self.spec.ahead and newest is not None and newest >= plausible.end),
        ):
            if wrong:
                number += as_count(self.frame(count.__name__, count, plausible, None, rows=rows).iat[0, 0])
                example = f"{end:%Y-%m-%d %H:%M}"
        undated_rows = as_count(self.frame("undated", undated, plausible, None, rows=RowFilter.UNDATED).iat[0, 0])
        number, example = number + undated_rows, example or ("no time" if undated_rows else "")
        return Misdated(number, example)

    def _first(self, after: datetime | None) -> datetime | None:
        def first(within: WindowFilter) -> Any:
            later = (
                self.table
                if after is None
                else self.table.filter(self.compared(self.spec.event_time, within.start, ">="))
            )
            return later.aggregate(moment=later[self.spec.event_time].min())

        since = Window(after or PLAUSIBLE_FROM, after or PLAUSIBLE_FROM)
        return self._to_utc(self.frame(f"first {after is None}", first, since, None, rows=RowFilter.FIRST).iat[0, 0])

    def _newest(self, before: datetime | None) -> datetime | None:
        def newest(within: WindowFilter) -> Any:
            earlier = (
                self.table
                if before is None
                else self.table.filter(self.compared(self.spec.event_time, within.end, "<"))
            )
            return earlier.aggregate(moment=earlier[self.spec.event_time].max())

        until = Window(before or PLAUSIBLE_FROM, before or PLAUSIBLE_FROM)
        return self._to_utc(self.frame(f"newest {before is None}", newest, until, None, rows=RowFilter.LAST).iat[0, 0])

    def rows(self) -> int:
        """How many rows the log has."""
        return as_count(self.engine.run(self.table.count().as_table()).iat[0, 0])

    def row_count(self, window: Window, as_of: datetime | None = None) -> int:
        """How many rows a window has, of those that were logged by `as_of`."""
        number = self.frame("rows", lambda within: self._window(within).count().as_table(), window, as_of)
        return as_count(number.iat[0, 0])

    def counts(self, window: Window, as_of: datetime | None = None) -> WindowCounts:
        """Exact counts of the whole window, by the engine."""
        return self._with_bad(self._counts(window, as_of, None)[0][1], window)

    def counts_by(self, column: str, window: Window, as_of: datetime | None = None) -> list[tuple[Any, WindowCounts]]:
        """The same of the rows with each value of a column: the value as it is stored (None: missing), and its
        counts.
        """
        return self._counts(window, as_of, column)

    def _counts(self, window: Window, as_of: datetime | None, by: str | None) -> list[tuple[Any, WindowCounts]]:
        counts_ids = self.spec.id is not None and not self._many

        def expression(within: WindowFilter) -> Any:
            rows = self._window(within)
            missing = (_is_missing(rows[name], self.engine.knows_nan) for name in self.read_columns)
            aggregates = {f"missing_{index}": is_missing.sum() for index, is_missing in enumerate(missing)}
            aggregates["rows"] = rows.count()
            aggregates["first"], aggregates["last"] = rows[self.spec.event_time].min(), rows[self.spec.event_time].max()
            if counts_ids:
                aggregates["distinct_ids"] = rows[self.spec.id].nunique()
            return (
                rows.aggregate(**aggregates)
                if by is None
                else rows.group_by(monitor_value=rows[by]).aggregate(**aggregates)
            )

        groups = self.frame(f"counts {counts_ids} {by}", expression, window, as_of)
        # With too many ids to count, the ids repeated in the window are shared out among the groups by their rows.
        repeated = 0.0 if self.spec.id is None or counts_ids else float(self._repeated(window, as_of))
        repeated /= max(int(groups["rows"].sum()), 1)
        return [
            (None if by is None else values["monitor_value"], self._counted(values, repeated))
            for _, values in groups.iterrows()
        ]

    def _counted(self, values: pd.Series, repeated: float) -> WindowCounts:
        """Counts as the engine gave them. repeated: the share of rows whose id came before, where the engine did not
        count the ids.
        """
        total = int(values["rows"])
        numbers = {name: as_count(values[f"missing_{index}"]) for index, name in enumerate(self.read_columns)}
        null_ids = duplicates = 0
        if self.spec.id is not None:
            null_ids = numbers.get(self.spec.id, 0)
            duplicates = (
                total - null_ids - as_count(values["distinct_ids"])
                if "distinct_ids" in values
                else round(repeated * total)
            )
        return WindowCounts(
            rows=total,
            missing=numbers,
            first_event=self._to_utc(values["first"]),
            last_event=self._to_utc(values["last"]),
            duplicate_ids=duplicates,
            null_ids=null_ids,
        )

    def read(self, window: Window, as_of: datetime | None = None) -> tuple[pd.DataFrame, WindowCounts]:
        """The sample and the counts of a window, as `sample` and `counts` give them; of plain Parquet files in one
        pass.
        """
        sample = self._read_plainly(window, as_of, self.spec.sample_rows)
        if sample is None:
            counts = self.counts(window, as_of)
            return self._sample(window, as_of, counts.rows, self.spec.sample_rows), counts
        assert self.spec.id is not None
        time, repeated = self.spec.event_time, sample.duplicate_ids
        counts = WindowCounts(
            sample.rows,
            sample.missing,
            self._moment(time, sample.first),
            self._moment(time, sample.last),
            self._repeated(window, as_of) if repeated is None else repeated,
            sample.missing[self.spec.id],
        )
        return self._in_order(sample.frame(KEY, RANK)), self._with_bad(counts, window)

    def _with_bad(self, counts: WindowCounts, window: Window) -> WindowCounts:
        """Counts of a window with the records beside its rows that could not be read."""
        descriptions = [
            description
            for moment, description in self.bad_records
            if moment is not None and window.start <= moment < window.end
        ]
        return replace(counts, bad_records=len(descriptions), bad_record=descriptions[0]) if descriptions else counts

    @cached_property
    def bad_records(self) -> list[tuple[datetime | None, str]]:
        """The records of the log that could not be read: the time of the row beside each, and its place and fault."""
        records = self.engine.bad_records(self.spec.place, self.spec.event_time)
        return [
            (datetime.fromtimestamp(moment, UTC) if isinstance(moment, float) else self._to_utc(moment), description)
            for moment, description in records
        ]

    def _read_plainly(self, window: Window, as_of: datetime | None, limit: int) -> ParquetSample | None:
        """The sample from plain Parquet files, without the engine. None for other files, and for those with an error,
        which the engine reports.
        """
        spec = self.spec
        by_engine = spec.id is None or spec.group is not None
        paths = [] if by_engine else self.engine.plain_files(spec.place, self._within(window, as_of))
        if not paths:
            return None
        assert spec.id is not None
        bounds = [
            Bounds(spec.event_time, *(self._number(spec.event_time, moment) for moment in (window.start, window.end)))
        ]
        if spec.logged_at is not None and as_of is not None:
            bounds.append(Bounds(spec.logged_at, None, self._number(spec.logged_at, as_of) + 1))
        mark_before = self.mark()
        try:
            plain = PlainFiles.open(paths, self.read_columns, spec.id, [bound.column for bound in bounds])
            sample = None if plain is None else plain.read(bounds, spec.seed, limit)
        except (OSError, pa.ArrowException):
            return None
        return sample if self.mark() == mark_before else None  # else something was written meanwhile

    def _repeated(self, window: Window, as_of: datetime | None) -> int:
        """How many ids are repeated, estimated from those with the smallest hashes: counting all distinct ids takes
        memory that grows with the window.
        """
        share = MOST_COUNTED_IDS / self._many

        def expression(within: WindowFilter) -> Any:
            subsample = self.subsample(within, [])
            return subsample.aggregate(known=subsample.count(), distinct=subsample[KEY].nunique())

        counts = self.frame("repeated", expression, window, as_of, share).iloc[0]
        return round((as_count(counts["known"]) - as_count(counts["distinct"])) / share)

    @cached_property
    def _many(self) -> int:
        """How many rows the log's Parquet files have, where they are very many; else 0."""
        number = self.engine.rows_by_statistics(self.spec.place)
        return number if number > MOST_COUNTED_IDS else 0

    def sample(
        self, window: Window, as_of: datetime | None = None, rows: int | None = None, limit: int | None = None
    ) -> pd.DataFrame:
        """The rows of a window with the smallest (hash, id), at most `limit` (`sample_rows` if not given); in the order
        of their ids.

        rows: how many rows the window has, where that is known. The column of canonical ids is `monitor_canonical_id`,
            the column of hashes `monitor_rank`. Sensitive values are hashed.
        """
        limit = limit or self.spec.sample_rows
        sample = self._read_plainly(window, as_of, limit)
        if sample is not None:
            return self._in_order(sample.frame(KEY, RANK))
        if rows is None:
            rows = self.row_count(window, as_of)
        return self._sample(window, as_of, rows, limit)

    def _sample(self, window: Window, as_of: datetime | None, rows: int, limit: int) -> pd.DataFrame:
        """The sample, by the engine."""

        def expression(within: WindowFilter) -> Any:
            return self.subsample(within, self.read_columns).order_by([RANK, KEY]).limit(limit)

        share, name = share_below(limit, rows), f"sample {limit}"
        frame = self.frame(name, expression, window, as_of, share)
        if len(frame) < min(limit, rows) and share < 1:  # repeated ids have the same hash
            frame = self.frame(name, expression, window, as_of, 1.0)
        return self._in_order(self._whole_groups(frame, limit))

    def _whole_groups(self, frame: pd.DataFrame, limit: int) -> pd.DataFrame:
        """A sample that fills its limit without its last group, of which rows may lie behind the limit; as it is where
        there is only one group.
        """
        if self.spec.group is None or len(frame) < limit:
            return frame
        whole = frame[RANK] != frame[RANK].max()
        return frame[whole] if whole.any() else frame

    def _in_order(self, frame: pd.DataFrame) -> pd.DataFrame:
        order = pc.sort_indices(pa.array(frame[KEY], pa.string())).to_numpy()
        return self.hidden(frame.take(order).reset_index(drop=True))

    def hidden(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Rows without their sensitive values (`hide_sensitive`)."""
        return hide_sensitive(frame, self.spec.sensitive, self.spec.hash_key)

    def first(self, sample: pd.DataFrame, rows: int) -> pd.DataFrame:
        """The rows of a sample that a smaller sample would have held."""
        smallest = sample.sort_values([RANK, KEY], kind="stable").head(rows)
        return self._whole_groups(smallest, rows).sort_index().reset_index(drop=True)

    def labelled_rows(self, sample: pd.DataFrame, as_of: datetime) -> pd.DataFrame:
        """The sampled rows of any windows whose label was known at `as_of`, each once; none in a log without ids."""
        return self.labels.rows(sample, as_of)

    def sample_with_labels(
        self, window: Window, as_of: datetime, *, by_class: bool = False
    ) -> tuple[pd.DataFrame, WindowCounts]:
        """The sample of a window with the labels known at `as_of`, and its counts.

        The label column is as the label spec names it, null where not known; `monitor_label_time` is when it became
        known.
        by_class: more rows are read of classes that are rare in the sample; `monitor_weight` is how many rows each row
            represents.
        """
        sample, counts = self.read(window, as_of)
        return self.labels.joined_to(sample, counts, window, as_of, by_class=by_class)

    def label_times(self, window: Window) -> tuple[list[datetime], int]:
        """When the labels of the window's sample became known, as far as they did until today, sorted; and the sample's
        rows.
        """
        return self.labels.times(self.sample(window), window)

    def label_times_by_id(self, window: Window) -> pd.Series:
        """When the label of each row of the window's sample became known, NaT where it has not, by canonical id."""
        return self.labels.times_by_id(self.sample(window), window)

    @cached_property
    def labels(self) -> Labels:
        """The labels of its predictions."""
        return Labels(self)

    def newest_label(self) -> datetime | None:
        """When the latest label became known; None where labels carry no time."""
        return None if self.spec.labels is None else self.labels.newest()

    def mark(self) -> str:
        """A fingerprint of the source's files; '' for a table, where it would be expensive."""
        return self.engine.mark(self.spec.place)

    def label_mark(self) -> str:
        """The fingerprint of the labels' place, which may be the source itself."""
        return self.mark() if self.spec.labels is None else self.labels.mark()

    # -- how it is done -----------------------------------------------------------------------------------------

    def frame(
        self,
        name: str,
        expression: Callable[[WindowFilter], Any],
        window: Window,
        as_of: datetime | None,
        share: float = 1.0,
        rows: RowFilter = RowFilter.WINDOW,
    ) -> pd.DataFrame:
        """The result of an expression of a window's rows, or of others (`rows`). name: of the expression. share: of the
        smallest hashes.
        """
        key = (name, self.spec, tuple(self.types.items()))
        return self.engine.frame(key, expression, self._within(window, as_of, share, rows))

    def _within(
        self, window: Window, as_of: datetime | None, share: float = 1.0, rows: RowFilter = RowFilter.WINDOW
    ) -> WindowFilter:
        time, logged_at = self.spec.event_time, self.spec.logged_at
        logged_by = None if as_of is None or logged_at is None else self.text(logged_at, as_of)
        labels = None if self.spec.labels is None else self.spec.labels.place
        if labels is not None and labels.path == self.spec.place.path:
            rows = RowFilter.ALL  # rows of other times hold the labels
        bound = self._hashing.bound(share)
        return WindowFilter(self.text(time, window.start), self.text(time, window.end), logged_by, bound, rows, time)

    def text(self, name: str, moment: datetime) -> str:
        """A moment as a column's engine compares it."""
        return self.engine.literal(moment, self._zone, zoned=self._is_zoned(name))

    def _number(self, name: str, moment: datetime) -> int:
        """A moment in microseconds, as a column of files counts them."""
        plain = naive(moment, UTC if self._is_zoned(name) else self._zone)
        return (plain - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001 - of the column's own zone

    def _moment(self, name: str, number: int | None) -> datetime | None:
        """The inverse of `_number`, in UTC."""
        zone = UTC if self._is_zoned(name) else None
        return self._to_utc(None if number is None else pd.Timestamp(number, unit="us", tz=zone))

    def _is_zoned(self, name: str) -> bool:
        return self.engine.is_zoned(self.table.schema()[name])

    def event_times(self, frame: pd.DataFrame) -> pd.Series:
        """The times of rows, in UTC; shape (rows,)."""
        return in_utc(pd.to_datetime(frame[self.spec.event_time]), self._zone)

    def rows_of_time(self, frame: pd.DataFrame) -> tuple[Any, WindowFilter]:
        """The log's rows between the first and last time of `frame`, and their filter."""
        times = self.event_times(frame)
        first, last = (moment.to_pydatetime() for moment in (times.min(), times.max()))
        within = self._within(Window(first, last + timedelta(microseconds=1)), None)
        time = self.spec.event_time
        return self.table.filter(self.compared(time, within.start, ">="), self.compared(time, within.end, "<")), within

    def _check(self) -> None:
        spec = self.spec
        if spec.event_time not in self.types:
            times = [name for name, kind in self.types.items() if kind.startswith(("timestamp", "date"))]
            raise DataError(
                f"source column '{spec.event_time}' not found in {spec.place.shown}; its time columns are:"
                f" {', '.join(times) or 'none'}; its columns: {', '.join(self.types)}"
            )
        check_time(self.engine, self.table, spec.event_time, spec.place.shown)
        for name in (spec.id, spec.logged_at, spec.group):
            if name is not None and name not in self.types:
                raise DataError(
                    f"source column '{name}' not found in {spec.place.shown}; its columns are: {', '.join(self.types)}"
                )
        self.key()

    def subsample(self, within: WindowFilter, names: Sequence[str], wanted: Any = True) -> Any:
        """The wanted rows of a window whose hash lies below the bound, with their hash and canonical id."""
        # Where comparing times costs more than hashing whole numbers, times are compared after the filter by hash.
        is_late = self.engine.compares_times_last and self._hashing.has_numbers
        rows = (self.table if is_late else self._window(within)).filter(wanted)
        times = [name for name in (self.spec.event_time, self.spec.logged_at) if name and name not in names and is_late]
        rows = rows.select(*names, *times, **{KEY: self._hashing.key(), RANK: self._hashing.source()})
        subsample = self._hashing.below(rows, within.bound)
        return subsample.filter(self._inside(subsample, within)).drop(*times) if is_late else subsample

    def key(self) -> Any:
        """The ids as text."""
        return self._hashing.key()

    @cached_property
    def _hashing(self) -> Hashing:
        return Hashing(self.engine, self.table, self.spec)

    @cached_property
    def _zone(self) -> ZoneInfo:
        return zone_of(self.spec.place)

    def _window(self, within: WindowFilter) -> Any:
        return self.table.filter(self._inside(self.table, within))

    def _inside(self, table: Any, within: WindowFilter) -> list[Any]:
        """Which rows of `table` are the window's."""
        time, logged_at = self.spec.event_time, self.spec.logged_at
        inside = [self.compared(time, within.start, ">=", table), self.compared(time, within.end, "<", table)]
        if logged_at is not None and within.as_of is not None:
            inside.append(self.compared(logged_at, within.as_of, "<=", table))
        return [*self.engine.roughly(table[time], within), *inside]

    def compared(self, name: str, moment: str, how: str, table: Any = None) -> Any:
        """The rows whose time in a column is `how` (`>=`, `<`, `<=`) as a moment, as `text` writes it. table: this
        log's, or rows of it.
        """
        return self.engine.compared((self.table if table is None else table)[name], moment, how)

    def _to_utc(self, moment: Any) -> datetime | None:
        return to_utc(moment, self._zone)


def log_at(spec: LogSpec, window: Window, as_of: datetime) -> tuple[Log, str]:
    """A log to read a window as it was at `as_of`, as far as the history of its table goes back; and a note for the
    report, '' where there is none.
    """
    path = spec.place.own_path
    if spec.logged_at is not None or path is None:
        return Log(spec), ""
    version = files.version_at(path, spec.place.shown, as_of)
    if version is None:
        return Log(spec), ""
    log = Log(replace(spec, place=replace(spec.place, version=version.number)))
    if version.written <= as_of:
        return log, ""
    note = (
        f"the history of the table begins on {version.written:%Y-%m-%d %H:%M} UTC, after {as_of:%Y-%m-%d %H:%M}, as of"
        " which the window is read"
    )
    # Of a table that was filled with old rows piece by piece, the oldest version may hold none of the window's.
    if log.row_count(window):
        return log, f"{note}: its oldest version was read"
    return Log(spec), f"{note}, and its oldest version has no row of the window: its newest was read"


def _latest() -> datetime:
    """The latest time that an event may have, with a tolerance for differing clocks."""
    return datetime.now(UTC) + CLOCK_TOLERANCE


def read_frame(
    place: Place, rows: int, start: datetime | None = None, end: datetime | None = None, event_time: str | None = None
) -> pd.DataFrame:
    """Up to `rows` rows of a place that is read whole (a reference), in the engine's order."""
    if start is not None and end is not None and event_time is not None:
        log = Log(LogSpec(place, event_time, sample_rows=rows))
        return log.sample(Window(start, end)).drop(columns=[KEY, RANK])
    engine = engine_of(place)
    return engine.run(readable(engine, place).limit(rows))


def rows_of(place: Place) -> int:
    """How many rows a place has."""
    engine = engine_of(place)
    return as_count(engine.run(engine.table(place).count().as_table()).iat[0, 0])


def describe_place(place: Place) -> dict[str, str]:
    """The columns and types of a place."""
    return {name: str(kind) for name, kind in readable(engine_of(place), place).schema().items()}


def left_out_of(place: Place) -> dict[str, str]:
    """The columns of a place that are not read because no check can test them, with what they hold."""
    engine = engine_of(place)
    return engine.left_out(place, engine.table(place))


def readable(engine: Engine, place: Place) -> Any:
    """The table of a place without the columns that no check can test; money and other decimals are numbers."""
    table = engine.table(place)
    left_out = engine.left_out(place, table)
    return table.select(
        engine.number(table[name]).name(name) if kind.is_decimal() and kind.scale != 0 else table[name]
        for name, kind in table.schema().items()
        if name not in left_out  # named one by one: a reused statement then names no column that was left out
    )


def _is_missing(column: Any, knows_nan: bool) -> Any:
    return column.isnull() | column.isnan() if column.type().is_floating() and knows_nan else column.isnull()


def hide_sensitive(frame: pd.DataFrame, columns: tuple[str, ...], key: str) -> pd.DataFrame:
    """Keyed hashes in place of the values of these columns, of free text with its form; null stays null, equal values
    stay equal.
    """

    def hidden(name: str) -> Any:
        return lambda value: hide(value, f"{key}:{name}")

    return frame.assign(
        **{name: frame[name].astype(object).map(hidden(name), na_action="ignore") for name in columns if name in frame}
    )
