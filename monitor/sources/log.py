"""A prediction log: its extent, exact counts of a window, and a sample that is the same from every engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.datatypes as dt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from monitor.domain.checks import WindowCounts
from monitor.domain.clock import CLOCK_TOLERANCE, PLAUSIBLE_FROM
from monitor.domain.columns import WEIGHT
from monitor.domain.grid import Window
from monitor.domain.hidden import hide
from monitor.errors import DataError
from monitor.sources import files, spark, tables
from monitor.sources.parquet import IDS_TOLD_APART, Bounds, Found, PlainFiles
from monitor.sources.ranks import PRIME, coefficients, share_below
from monitor.sources.spec import LabelSpec, LogSpec, Place

_KEY = "monitor_canonical_id"
_RANK = "monitor_rank"
_CHUNK = 5_000
# So many rows of a class are enough to tell its part in performance; of more classes none is called rare.
_ENOUGH_OF_CLASS, _MOST_CLASSES = 500, 20
# By how much the day that a time is written with may differ from that in UTC.
_ANY_ZONE = timedelta(days=1)


@ibis.udf.scalar.builtin  # type: ignore[untyped-decorator]
def md5(text: str) -> str:  # type: ignore[empty-body]
    """The engine's own md5, as hexadecimal text."""


@ibis.udf.scalar.builtin  # type: ignore[untyped-decorator]
def strftime(form: str, moment: dt.timestamp) -> str:  # type: ignore[empty-body]
    """SQLite's own: its times are text, and only so are they comparable."""


@dataclass(frozen=True)
class Extent:
    """The first and the newest event of a log, None where it has no rows."""

    first: datetime | None
    newest: datetime | None


@dataclass(frozen=True)
class Misdated:
    """Rows of a log that are dated wrongly: how many, and the time of one of them as it is logged ('' where there are none)."""

    rows: int
    example: str


@dataclass(frozen=True)
class _Within:
    """The rows of a window that were logged by `as_of`, and the bound of the hashes that are read: as text that the engine takes."""

    start: str
    end: str
    as_of: str | None
    bound: str


# Statements that were made for files, by what they do, the log's description and its columns.
_statements: dict[tuple[Any, ...], str] = {}
_MOST_STATEMENTS = 100


class Log:
    """A prediction log, opened. Raises DataError where columns are missing or of a sort that cannot serve."""

    def __init__(self, spec: LogSpec) -> None:
        self.spec = spec
        self._connection, table = _open(spec.place, None)
        self.table = _with_time(table, spec.event_time, spec.place)
        self._check()

    @cached_property
    def types(self) -> dict[str, str]:
        """The columns and the engine's types, in the log's order."""
        return {name: str(kind) for name, kind in self.table.schema().items()}

    @cached_property
    def _read(self) -> list[str]:
        """The columns that are read, in the log's order."""
        spec = self.spec
        parts = {spec.id, spec.event_time, spec.logged_at} | (
            {spec.labels.label, spec.labels.label_time} if spec.labels else set()
        )
        wanted = {*spec.only, *parts} if spec.only else set(self.types)
        return [name for name in self.types if name in wanted and name not in spec.ignore]

    def extent(self, after: datetime | None = None) -> Extent:
        """The first event at or after `after`, and the newest of all; rows that are dated wrongly (`misdated`) aside."""
        latest = _latest()
        first, newest = self._first(after), self._newest(None)
        if newest is not None and newest >= latest:
            newest = self._newest(latest)
        if first is not None and first < PLAUSIBLE_FROM:
            first = self._first(PLAUSIBLE_FROM)
        return Extent(None if first is None or first >= latest else first, newest)

    def misdated(self) -> Misdated:
        """The rows that are dated before 1971, or later than it is by this machine's clock: no window holds them, whenever it is looked at."""
        time, plausible = self.spec.event_time, Window(PLAUSIBLE_FROM, _latest())
        number, example = 0, ""

        def early(within: _Within) -> Any:
            return self.table.filter(self._compared(time, within.start, "<")).count().as_table()

        def late(within: _Within) -> Any:
            return self.table.filter(self._compared(time, within.end, ">=")).count().as_table()

        oldest, newest = self._first(None), self._newest(None)
        # Counted only where there are some: an index or the files' statistics tell the ends.
        for count, end, wrong in (
            (early, oldest, oldest is not None and oldest < plausible.start),
            (late, newest, newest is not None and newest >= plausible.end),
        ):
            if wrong:
                number += _whole(self._frame(count.__name__, count, plausible, None).iat[0, 0])
                example = f"{end:%Y-%m-%d %H:%M}"
        return Misdated(number, example)

    def _first(self, after: datetime | None) -> datetime | None:
        def first(within: _Within) -> Any:
            later = (
                self.table
                if after is None
                else self.table.filter(self._compared(self.spec.event_time, within.start, ">="))
            )
            return later.aggregate(moment=later[self.spec.event_time].min())

        since = Window(after or PLAUSIBLE_FROM, after or PLAUSIBLE_FROM)
        return self._to_utc(self._frame(f"first {after is None}", first, since, None).iat[0, 0])

    def _newest(self, before: datetime | None) -> datetime | None:
        def newest(within: _Within) -> Any:
            earlier = (
                self.table
                if before is None
                else self.table.filter(self._compared(self.spec.event_time, within.end, "<"))
            )
            return earlier.aggregate(moment=earlier[self.spec.event_time].max())

        until = Window(before or PLAUSIBLE_FROM, before or PLAUSIBLE_FROM)
        return self._to_utc(self._frame(f"newest {before is None}", newest, until, None).iat[0, 0])

    def rows(self) -> int:
        """How many rows the log has."""
        return _whole(self.table.count().execute())

    def row_count(self, window: Window, as_of: datetime | None = None) -> int:
        """How many rows a window has, of those that were logged by `as_of`."""
        number = self._frame("rows", lambda within: self._window(within).count().as_table(), window, as_of)
        return _whole(number.iat[0, 0])

    def counts(self, window: Window, as_of: datetime | None = None) -> WindowCounts:
        """Exact counts of the whole window, by the engine."""
        return self._counts(window, as_of, None)[0][1]

    def counts_by(self, column: str, window: Window, as_of: datetime | None = None) -> list[tuple[Any, WindowCounts]]:
        """The same of the rows with each value of a column: the value as it is stored (None: missing), and its counts."""
        return self._counts(window, as_of, column)

    def _counts(self, window: Window, as_of: datetime | None, by: str | None) -> list[tuple[Any, WindowCounts]]:
        tells_ids_apart = self.spec.id is not None and not self._many

        def expression(within: _Within) -> Any:
            rows = self._window(within)
            knows_nan = self._connection.name != "sqlite"
            missing = (_is_missing(rows[name], knows_nan) for name in self._read)
            found = {f"missing_{index}": each.sum() for index, each in enumerate(missing)}
            found["rows"] = rows.count()
            found["first"], found["last"] = rows[self.spec.event_time].min(), rows[self.spec.event_time].max()
            if tells_ids_apart:
                found["distinct_ids"] = rows[self.spec.id].nunique()
            return rows.aggregate(**found) if by is None else rows.group_by(monitor_value=rows[by]).aggregate(**found)

        groups = self._frame(f"counts {tells_ids_apart} {by}", expression, window, as_of)
        # Ids too many to be told apart: a group has its part of those that are repeated in the window.
        repeated = 0.0 if self.spec.id is None or tells_ids_apart else float(self._repeated(window, as_of))
        repeated /= max(int(groups["rows"].sum()), 1)
        return [
            (None if by is None else values["monitor_value"], self._counted(values, repeated))
            for _, values in groups.iterrows()
        ]

    def _counted(self, values: pd.Series, repeated: float) -> WindowCounts:
        """Counts as the engine gave them. repeated: the share of rows whose id came before, where the engine did not count the ids."""
        total = int(values["rows"])
        numbers = {name: _whole(values[f"missing_{index}"]) for index, name in enumerate(self._read)}
        null_ids = duplicates = 0
        if self.spec.id is not None:
            null_ids = numbers.get(self.spec.id, 0)
            duplicates = (
                total - null_ids - _whole(values["distinct_ids"])
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
        """The sample and the counts of a window, as `sample` and `counts` give them; of plain Parquet files in one pass."""
        found = self._read_plainly(window, as_of, self.spec.sample_rows)
        if found is None:
            counts = self.counts(window, as_of)
            return self._sample(window, as_of, counts.rows, self.spec.sample_rows), counts
        assert self.spec.id is not None
        time, repeated = self.spec.event_time, found.duplicate_ids
        counts = WindowCounts(
            found.rows,
            found.missing,
            self._moment(time, found.first),
            self._moment(time, found.last),
            self._repeated(window, as_of) if repeated is None else repeated,
            found.missing[self.spec.id],
        )
        return self._in_order(found.frame(_KEY, _RANK)), counts

    def _read_plainly(self, window: Window, as_of: datetime | None, limit: int) -> Found | None:
        """The same from plain Parquet files, past the engine; None where there are others, or where it will have to say what is wrong with them."""
        spec, path = self.spec, self.spec.place.own_path
        if path is None or spec.id is None:
            return None
        bounds = [
            Bounds(spec.event_time, *(self._number(spec.event_time, each) for each in (window.start, window.end)))
        ]
        if spec.logged_at is not None and as_of is not None:
            bounds.append(Bounds(spec.logged_at, None, self._number(spec.logged_at, as_of) + 1))
        paths, mark = files.find_files(path, spec.place.shown), self.mark()
        if files.format_of(paths[0]) != "parquet":
            return None
        try:
            plain = PlainFiles.open(paths, self._read, spec.id, [each.column for each in bounds])
            found = None if plain is None else plain.read(bounds, spec.seed, limit)
        except (OSError, pa.ArrowException):
            return None
        return found if self.mark() == mark else None  # else something was written meanwhile

    def _repeated(self, window: Window, as_of: datetime | None) -> int:
        """How many ids came before: told from those with the smallest hashes, since telling all apart takes memory that grows with the window."""
        share = IDS_TOLD_APART / self._many

        def expression(within: _Within) -> Any:
            few = self._few(within, [])
            return few.aggregate(known=few.count(), distinct=few[_KEY].nunique())

        told_apart = self._frame("repeated", expression, window, as_of, share).iloc[0]
        return round((_whole(told_apart["known"]) - _whole(told_apart["distinct"])) / share)

    @cached_property
    def _many(self) -> int:
        """How many rows the log's Parquet files have, where they are very many; else 0."""
        path = self.spec.place.own_path
        number = 0 if path is None else files.rows_of(path, self.spec.place.shown)
        return number if number > IDS_TOLD_APART else 0

    def sample(
        self, window: Window, as_of: datetime | None = None, rows: int | None = None, limit: int | None = None
    ) -> pd.DataFrame:
        """The rows of a window with the smallest (hash, id), at most `limit` (`sample_rows` if not given); in the order of their ids.

        rows: how many rows the window has, where that is known. The column of canonical ids is `monitor_canonical_id`, that of
        hashes `monitor_rank`; sensitive values are hashed already.
        """
        limit = limit or self.spec.sample_rows
        found = self._read_plainly(window, as_of, limit)
        if found is not None:
            return self._in_order(found.frame(_KEY, _RANK))
        if rows is None:
            rows = self.row_count(window, as_of)
        return self._sample(window, as_of, rows, limit)

    def _sample(self, window: Window, as_of: datetime | None, rows: int, limit: int) -> pd.DataFrame:
        """The sample, by the engine."""

        def expression(within: _Within) -> Any:
            return self._few(within, self._read).order_by([_RANK, _KEY]).limit(limit)

        share, what = share_below(limit, rows), f"sample {limit}"
        frame = self._frame(what, expression, window, as_of, share)
        if len(frame) < min(limit, rows) and share < 1:  # repeated ids have the same hash
            frame = self._frame(what, expression, window, as_of, 1.0)
        return self._in_order(frame)

    def _in_order(self, frame: pd.DataFrame) -> pd.DataFrame:
        order = pc.sort_indices(pa.array(frame[_KEY], pa.string())).to_numpy()
        frame = frame.take(order).reset_index(drop=True)
        return hide_sensitive(frame, self.spec.sensitive, self.spec.hash_key)

    @staticmethod
    def first(sample: pd.DataFrame, rows: int) -> pd.DataFrame:
        """Of a sample, what a sample of fewer rows would have been."""
        chosen = sample.sort_values([_RANK, _KEY], kind="stable").index[:rows]
        return sample.loc[chosen.sort_values()].reset_index(drop=True)

    def labelled_rows(self, sample: pd.DataFrame, as_of: datetime) -> pd.DataFrame:
        """Of sampled rows, of whatever windows, those whose label was known at `as_of`, once each; none in a log without ids."""
        labels = self.spec.labels
        assert labels is not None
        if self.spec.id is None or sample.empty:
            return sample.head(0)
        once = sample.drop_duplicates(_KEY, ignore_index=True)
        frame, known, _ = self._joined(once, labels, self._event_times(once), as_of)
        there = frame[labels.label].notna() & (known <= pd.Timestamp(as_of))
        return frame.assign(monitor_label_time=known)[there].reset_index(drop=True)

    def sample_with_labels(
        self, window: Window, as_of: datetime, *, by_class: bool = False
    ) -> tuple[pd.DataFrame, WindowCounts]:
        """The sample of a window with the labels known at `as_of`, and its counts.

        The label column is as the label spec names it, null where not known; `monitor_label_time` is when it became known.
        by_class: of classes that are rare in the sample more rows are read, and `monitor_weight` says how many each row stands for.
        """
        sample, counts = self.read(window, as_of)
        frame, known, early, unmatched = self._labelled(sample, window, as_of)
        labelled = int(known.notna().sum())
        if by_class and len(frame) < counts.rows:
            frame = self._with_rare_classes(frame, window, as_of, counts.rows)
        return frame, replace(counts, labelled=labelled, early_labels=early, unmatched_labels=unmatched)

    def label_times(self, window: Window) -> tuple[list[datetime], int]:
        """When the labels of the window's sample became known, as far as they did until today, sorted; and the sample's rows."""
        frame, known, _, _ = self._labelled(self.sample(window), window, None)
        return [moment.to_pydatetime() for moment in known.dropna().sort_values()], len(frame)

    def newest_label(self) -> datetime | None:
        """When the latest label became known; None where labels carry no time."""
        labels = self.spec.labels
        if labels is None or labels.label_time is None:
            return None
        _, table = (None, self.table) if labels.place is None else self._labels_table(labels)
        if labels.label_time not in table.columns:
            return None
        zone = self._zone if labels.place is None else ZoneInfo(labels.place.timezone)
        return _utc(table[labels.label_time].max().execute(), zone)

    def mark(self) -> str:
        """What the source's files look like; '' for a table, of which that cannot be told cheaply."""
        path = self.spec.place.own_path
        return "" if path is None else files.fingerprint(path, self.spec.place.shown)

    def label_mark(self) -> str:
        """The same of the labels' place, which may be the source itself."""
        place = self.spec.labels.place if self.spec.labels is not None else None
        if place is None:
            return self.mark()
        return "" if place.own_path is None else files.fingerprint(place.own_path, place.shown)

    # -- how it is done -----------------------------------------------------------------------------------------

    def _frame(
        self,
        what: str,
        expression: Callable[[_Within], Any],
        window: Window,
        as_of: datetime | None,
        share: float = 1.0,
    ) -> pd.DataFrame:
        """The result of an expression of a window's rows.

        Files: its statement is made once for the log's columns, since that takes longer than reading a small window.
        """
        within = self._within(window, as_of, share)
        if self._connection.name == "duckdb":
            statement = self._statement(what, expression, within)
            values = {name: value for name, value in asdict(within).items() if f"${name}" in statement}
            table = self._connection.con.sql(statement, params=values).to_arrow_table()
            frame: pd.DataFrame = table.to_pandas(date_as_object=False)
        elif self._connection.name == "pyspark":
            frame = spark.fetch(self._connection, expression(within))
        else:
            frame = expression(within).to_pandas()
        return frame

    def _statement(self, what: str, expression: Callable[[_Within], Any], within: _Within) -> str:
        key = (what, self.spec, tuple(self.types.items()), within.as_of is None)
        if key not in _statements:
            if len(_statements) >= _MOST_STATEMENTS:
                _statements.clear()
            places = _Within("$start", "$end", within.as_of and "$as_of", "$bound")
            text = str(ibis.to_sql(expression(places), dialect="duckdb"))
            _statements[key] = re.sub(r"'(\$(start|end|as_of|bound))'", r"\1", text)
        return _statements[key]

    def _within(self, window: Window, as_of: datetime | None, share: float) -> _Within:
        time, logged_at = self.spec.event_time, self.spec.logged_at
        known = None if as_of is None or logged_at is None else self._text(logged_at, as_of)
        return _Within(self._text(time, window.start), self._text(time, window.end), known, self._bound(share))

    def _text(self, name: str, moment: datetime) -> str:
        """A moment as a column's engine compares it."""
        if self._is_zoned(name):
            return moment.isoformat()
        text = _naive(moment, self._zone).isoformat(" ", "microseconds")
        return text[:-3] if self._connection.name == "sqlite" else text

    def _number(self, name: str, moment: datetime) -> int:
        """A moment in microseconds, as a column of files counts them."""
        plain = _naive(moment, UTC if self._is_zoned(name) else self._zone)
        return (plain - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001 - of the column's own zone

    def _moment(self, name: str, number: int | None) -> datetime | None:
        """The inverse of `_number`, in UTC."""
        zone = UTC if self._is_zoned(name) else None
        return self._to_utc(None if number is None else pd.Timestamp(number, unit="us", tz=zone))

    def _is_zoned(self, name: str) -> bool:
        return self._connection.name != "sqlite" and getattr(self.table.schema()[name], "timezone", None) is not None

    def _with_rare_classes(self, frame: pd.DataFrame, window: Window, as_of: datetime, rows: int) -> pd.DataFrame:
        """The sample with up to `_ENOUGH_OF_CLASS` rows of each class that has fewer in it; where one engine holds log and labels."""
        labels = self.spec.labels
        assert labels is not None
        connection, table = (self._connection, self.table) if labels.place is None else self._labels_table(labels)
        if connection is not self._connection:
            return frame
        often = table.filter(table[labels.label].notnull())[labels.label].value_counts(name="often").to_pandas()
        labelled = int(frame[labels.label].notna().sum())
        rare = often[often["often"] / often["often"].sum() * labelled < _ENOUGH_OF_CLASS][labels.label]
        if len(often) > _MOST_CLASSES or rare.empty:
            return frame
        found = [frame.assign(**{WEIGHT: rows / len(frame)})]
        for value in rare.sort_values():
            few, number = self._of_class(table, value, window, as_of)
            own = found[0][labels.label].eq(value).fillna(False)
            if len(few) > own.sum():
                found[0] = found[0][~own]
                found.append(few.assign(**{WEIGHT: number / len(few)}))
        return pd.concat(found, ignore_index=True)

    def _of_class(self, table: Any, value: Any, window: Window, as_of: datetime) -> tuple[pd.DataFrame, float]:
        """Rows of a window whose label is `value`, those with the smallest (hash, id), and about how many there are."""
        labels = self.spec.labels
        assert labels is not None
        wanted = table[labels.label] == value

        def expression(within: _Within) -> Any:
            if labels.place is None:
                return self._few(within, self._read, wanted)
            keyed = table.filter(wanted).select(**{_KEY: canonical_id(table[labels.id], labels.place.shown)})
            return self._few(within, self._read).semi_join(keyed, _KEY)

        def first(within: _Within) -> Any:
            return expression(within).order_by([_RANK, _KEY]).limit(_ENOUGH_OF_CLASS)

        what = f"class {value!r}"
        number = self._frame(f"{what} rows", lambda within: expression(within).count().as_table(), window, as_of)
        frame = hide_sensitive(self._frame(what, first, window, as_of), self.spec.sensitive, self.spec.hash_key)
        # By then it may not have been known, or have been another: these are told by the same rule as all labels.
        frame, _, _, _ = self._labelled(frame, window, as_of)
        known = frame[frame[labels.label].eq(value).fillna(False)]
        return known, _whole(number.iat[0, 0]) * len(known) / max(len(frame), 1)

    def _labelled(
        self, frame: pd.DataFrame, window: Window, as_of: datetime | None
    ) -> tuple[pd.DataFrame, pd.Series, int, int]:
        """A sample with labels, when each became known (NaT if not by `as_of`), early labels, labels of no prediction.

        Without `as_of`: all that is known today, each label at the time of its first version, strangers not counted.
        """
        labels = self.spec.labels
        assert labels is not None
        event_times = self._event_times(frame)
        if labels.place is None:
            known = _label_times(frame, labels, event_times, self._zone)
            unmatched = 0
        else:
            frame, known, table = self._joined(frame, labels, event_times, as_of)
            unmatched = self._unmatched(table, labels, window) if as_of is not None else 0
        early = int((known < event_times).sum())
        late = known.isna() | frame[labels.label].isna()
        if as_of is not None:
            late |= known > pd.Timestamp(as_of)
        frame[labels.label] = frame[labels.label].astype(object).mask(late, None) if late.any() else frame[labels.label]
        frame["monitor_label_time"] = known.mask(late)
        return frame, frame["monitor_label_time"], early, unmatched

    def _labels_table(self, labels: LabelSpec) -> tuple[Any, Any]:
        """The labels' own place: its connection and table."""
        assert labels.place is not None
        connection, table = _open(labels.place, self._connection if labels.place.is_with(self.spec.place) else None)
        for name in (labels.id, labels.label, labels.label_time):
            if name is not None and name not in table.columns:
                raise DataError(
                    f"{labels.place.shown} has no column '{name}'; its columns are: {', '.join(table.columns)}"
                )
        if labels.label_time is not None:
            table = _with_time(table, labels.label_time, labels.place)
            _check_time(table, labels.label_time, labels.place.shown)
        return connection, table

    def _event_times(self, frame: pd.DataFrame) -> pd.Series:
        times = pd.to_datetime(frame[self.spec.event_time]).map(self._to_utc)
        return pd.Series(pd.to_datetime(times, utc=True), index=frame.index)

    def _labels_in_log(self, frame: pd.DataFrame) -> Any:
        """The log's own rows of the time that the rows of `frame` are of."""
        times, name = self._event_times(frame), self.spec.event_time
        first, last = (self._text(name, moment.to_pydatetime()) for moment in (times.min(), times.max()))
        return self.table.filter(self._compared(name, first, ">="), self._compared(name, last, "<="))

    def _joined(
        self, frame: pd.DataFrame, labels: LabelSpec, event_times: pd.Series, as_of: datetime | None
    ) -> tuple[pd.DataFrame, pd.Series, Any]:
        """Rows with their labels, when each became known, and the labels' table where this engine holds it."""
        if labels.place is None:
            connection, table, key, place = self._connection, self._labels_in_log(frame), self.spec.id, self.spec.place
        else:
            connection, table = self._labels_table(labels)
            key, place = labels.id, labels.place
        assert key is not None
        label_time = labels.label_time if labels.label_time in table.columns else None
        wanted = [labels.label] + ([label_time] if label_time else [])
        keyed = table.select(*wanted, **{_KEY: canonical_id(table[key], place.shown)})
        ids = frame[_KEY].dropna().unique().tolist()
        parts = [
            keyed.filter(keyed[_KEY].isin(ids[start : start + _CHUNK])).to_pandas()
            for start in range(0, len(ids), _CHUNK)
        ]
        found = pd.concat(parts, ignore_index=True) if parts else keyed.limit(0).to_pandas()
        renamed = {labels.label: "monitor_label"} | ({label_time: "monitor_time"} if label_time else {})
        found = found.rename(columns=renamed)
        if "monitor_time" not in found:
            found["monitor_time"] = pd.NaT
        zone = ZoneInfo(place.timezone)
        found["monitor_time"] = pd.to_datetime(found["monitor_time"].map(lambda moment: _utc(moment, zone)), utc=True)
        if as_of is not None:  # of a label that was corrected, the version known then
            found = found[~(found["monitor_time"] > pd.Timestamp(as_of))]
        version: Any = "first" if as_of is None else "last"
        found = found.sort_values("monitor_time", kind="stable").drop_duplicates(_KEY, keep=version)
        merged = frame.merge(found, on=_KEY, how="left").reset_index(drop=True)
        merged[labels.label] = merged["monitor_label"]
        if label_time is None:
            known = (event_times + timedelta(seconds=labels.delay_s)).reset_index(drop=True)
        else:
            known = merged["monitor_time"]
        merged = merged.drop(columns=["monitor_label", "monitor_time"])
        # Of tables it would take a look at all ids that were ever logged.
        same_engine = connection is self._connection and place.own_path is not None
        return merged, known.where(merged[labels.label].notna()), table if same_engine else None

    def _unmatched(self, table: Any, labels: LabelSpec, window: Window) -> int:
        """Labels that became known in the window and whose id no prediction has; told only where one engine holds both."""
        if labels.label_time is None or table is None or self.spec.id is None:
            return 0
        assert labels.place is not None
        start, end = (_naive(moment, ZoneInfo(labels.place.timezone)) for moment in (window.start, window.end))
        times = table[labels.label_time].cast("timestamp(6)")
        recent = table.filter(
            (times >= ibis.literal(start, "timestamp(6)")) & (times < ibis.literal(end, "timestamp(6)"))
        )
        keyed = recent.select(**{_KEY: canonical_id(recent[labels.id], labels.place.shown)})
        known = self.table.select(**{_KEY: self._key()})
        return _whole(keyed.anti_join(known, _KEY).count().execute())

    def _check(self) -> None:
        spec = self.spec
        if spec.event_time not in self.types:
            times = [name for name, kind in self.types.items() if kind.startswith(("timestamp", "date"))]
            raise DataError(
                f"source column '{spec.event_time}' not found in {spec.place.shown}; its time columns are: {', '.join(times) or 'none'}; "
                f"its columns: {', '.join(self.types)}"
            )
        _check_time(self.table, spec.event_time, spec.place.shown)
        for name in (spec.id, spec.logged_at):
            if name is not None and name not in self.types:
                raise DataError(
                    f"source column '{name}' not found in {spec.place.shown}; its columns are: {', '.join(self.types)}"
                )
        self._key()

    def _key(self) -> Any:
        if self.spec.id is not None:
            return canonical_id(self.table[self.spec.id], self.spec.place.shown)
        text = [
            self.table[name].cast("string").fill_null("\x1e") for name in self.types if name not in self.spec.ignore
        ]
        return md5(ibis.literal("\x1f").join(text))

    @cached_property
    def _has_numbers(self) -> bool:
        """Whether ids are whole numbers."""
        kind = None if self.spec.id is None else self.table[self.spec.id].type()
        return kind is not None and not kind.is_string() and not kind.is_uuid()

    def _rank_of(self) -> Any:
        """What the hash is worked out from: whole numbers as they are, all else as text with the seed before it."""
        if not self._has_numbers:
            return ibis.literal(f"{self.spec.seed}:").concat(self._key())
        column = self.table[self.spec.id]
        return (column % PRIME if column.type().is_unsigned_integer() else column).cast("int64")

    def _few(self, within: _Within, names: Sequence[str], wanted: Any = True) -> Any:
        """The rows of a window that are wanted and whose hash lies below the bound, with it and their canonical id."""
        # SQLite's times are text, dearer to compare than whole numbers are to hash: there only those of rows with a small hash are.
        is_late = self._connection.name == "sqlite" and self._has_numbers
        rows = (self.table if is_late else self._window(within)).filter(wanted)
        times = [name for name in (self.spec.event_time, self.spec.logged_at) if name and name not in names and is_late]
        rows = rows.select(*names, *times, **{_KEY: self._key(), _RANK: self._rank_of()})
        bound = ibis.literal(within.bound)
        ranked = self._ranked(rows)
        few = ranked.filter(ranked[_RANK] < (bound.cast("int64") if self._has_numbers else bound))
        return few.filter(self._inside(few, within)).drop(*times) if is_late else few

    def _bound(self, share: float) -> str:
        """Below what a share of all hashes lies; of the share 1 all rows, those without id too."""
        if self._has_numbers:
            return str(int(share * PRIME) if share < 1 else PRIME + 1)
        return f"{int(share * 2**32):08x}" if share < 1 else "h"

    def _ranked(self, rows: Any) -> Any:
        """Rows with the hash in place of what it is worked out from.

        Plain arithmetic on whole numbers, md5 on all else; either gives the same on every engine. Rows without id come last.
        """
        number = rows[_RANK]
        if not self._has_numbers:
            return rows.mutate(**{_RANK: md5(number).fill_null("g")})  # behind every hexadecimal digit
        a, b, c, d = coefficients(self.spec.seed)
        if self._connection.name == "sqlite":  # ibis would take the remainder in floating point there
            quoted = (name.replace('"', '""') for name in rows.columns if name != _RANK)
            names = ", ".join(f'"{name}"' for name in quoted)
            # SQLite works out `u` wherever it stands: so without its last remainder, which changes none after it; no step leaves 64 bits for want of it.
            query = f"""SELECT {names}, COALESCE((w * {c} + {d}) % {PRIME}, {PRIME}) AS {_RANK}
                FROM (SELECT *, (v * v + u) % {PRIME} AS w FROM (SELECT *, (u * {a} + {b}) % {PRIME} AS v
                FROM (SELECT *, {_RANK} % {PRIME} + {PRIME} AS u FROM ({ibis.to_sql(rows, dialect="sqlite")}))))"""  # noqa: S608 - names of columns, and numbers
            return self._connection.sql(query, schema=rows.schema())
        number = (number % PRIME + PRIME) % PRIME
        mixed = (number * a + b) % PRIME
        mixed = (mixed * mixed + number) % PRIME
        return rows.mutate(**{_RANK: ((mixed * c + d) % PRIME).fill_null(PRIME)})

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.spec.place.timezone)

    def _window(self, within: _Within) -> Any:
        return self.table.filter(self._inside(self.table, within))

    def _inside(self, table: Any, within: _Within) -> list[Any]:
        """Which rows of `table` are the window's."""
        time, logged_at = self.spec.event_time, self.spec.logged_at
        inside = [self._compared(time, within.start, ">=", table), self._compared(time, within.end, "<", table)]
        if logged_at is not None and within.as_of is not None:
            inside.append(self._compared(logged_at, within.as_of, "<=", table))
        if self._connection.name == "sqlite":  # first by the days that times are written with: an index can find them
            first, last = (date.fromisoformat(each[:10]) for each in (within.start, within.end))
            inside = [table[time] >= first - _ANY_ZONE, table[time] < last + 2 * _ANY_ZONE, *inside]
        return inside

    def _compared(self, name: str, moment: str, how: str, table: Any = None) -> Any:
        left: Any = (self.table if table is None else table)[name]
        right: Any = ibis.literal(moment)
        if self._connection.name == "sqlite":
            left = strftime("%Y-%m-%d %H:%M:%f", left)
        else:
            kind = "timestamp('UTC', 6)" if self._is_zoned(name) else "timestamp(6)"
            left, right = left.cast(kind), right.cast(kind)
        return left >= right if how == ">=" else left < right if how == "<" else left <= right

    def _to_utc(self, moment: Any) -> datetime | None:
        return _utc(moment, self._zone)


def _latest() -> datetime:
    """No event is as late as this, whatever clock the service goes by."""
    return datetime.now(UTC) + CLOCK_TOLERANCE


def canonical_id(column: Any, shown: str) -> Any:
    """Ids as text that every engine writes alike: whole numbers as digits, UUIDs in lower case, text as it is."""
    kind = column.type()
    if kind.is_string():
        return column
    if kind.is_integer():
        return column.cast("string")
    if kind.is_floating() or (kind.is_decimal() and not kind.scale):
        return column.cast("int64").cast("string")
    if kind.is_uuid():
        return column.cast("string").lower()
    raise DataError(f"the id column '{column.get_name()}' of {shown} is {kind}: ids are whole numbers, text or UUIDs")


def read_frame(
    place: Place, rows: int, start: datetime | None = None, end: datetime | None = None, event_time: str | None = None
) -> pd.DataFrame:
    """Up to `rows` rows of a place that is read whole (a reference), in the engine's order."""
    if start is not None and end is not None and event_time is not None:
        log = Log(LogSpec(place, event_time, sample_rows=rows))
        return log.sample(Window(start, end)).drop(columns=[_KEY, _RANK])
    _, table = _open(place, None)
    frame: pd.DataFrame = table.limit(rows).to_pandas()
    return frame


def rows_of(place: Place) -> int:
    """How many rows a place has."""
    _, table = _open(place, None)
    return _whole(table.count().execute())


def describe_place(place: Place) -> dict[str, str]:
    """The columns and types of a place."""
    _, table = _open(place, None)
    return {name: str(kind) for name, kind in table.schema().items()}


def _open(place: Place, connection: Any) -> tuple[Any, Any]:
    if place.engine == "spark":
        connection = connection or spark.connect(place)
        return connection, spark.open_table(connection, place)
    if place.path is not None:
        connection = connection or files.connect()
        return connection, files.open_files(connection, place.path, place.shown)
    connection = connection or tables.connect(place)
    return connection, tables.open_table(connection, place)


def _with_time(table: Any, name: str, place: Place) -> Any:
    """JSON knows no times: a column of ISO text that the engine has left as text is one, if every value is."""
    if (
        place.path is None
        or not any(kind in place.path for kind in (".json", ".ndjson"))
        or name not in table.columns
        or not table[name].type().is_string()
    ):
        return table
    times = table[name].try_cast("timestamp(6)")
    strangers = table.filter(table[name].notnull() & times.isnull()).count().execute()
    return table if strangers else table.mutate(**{name: times})


def _check_time(table: Any, name: str, shown: str) -> None:
    kind = table.schema()[name]
    if not (kind.is_timestamp() or kind.is_date()):
        others = [each for each, other in table.schema().items() if other.is_timestamp() or other.is_date()]
        raise DataError(
            f"the time column '{name}' of {shown} is {kind}, not a time: write it as a timestamp, or convert it with source.query; "
            f"its time columns are: {', '.join(others) or 'none'}"
        )


def _is_missing(column: Any, knows_nan: bool) -> Any:
    return column.isnull() | column.isnan() if column.type().is_floating() and knows_nan else column.isnull()


def _label_times(frame: pd.DataFrame, labels: LabelSpec, event_times: pd.Series, zone: ZoneInfo) -> pd.Series:
    if labels.label not in frame:
        raise DataError(
            f"the log has no label column '{labels.label}'; its columns are: {', '.join(map(str, frame.columns))}"
        )
    if labels.label_time is not None and labels.label_time in frame:
        known = pd.to_datetime(frame[labels.label_time].map(lambda moment: _utc(moment, zone)), utc=True)
    else:
        known = event_times + timedelta(seconds=labels.delay_s)
    return known.where(frame[labels.label].notna())


def _utc(moment: Any, zone: ZoneInfo) -> datetime | None:
    """A time of the log in UTC; one without a zone is in `zone`. Nanoseconds are cut to microseconds."""
    if moment is None or pd.isna(moment):
        return None
    stamp = pd.Timestamp(moment).floor("us")
    plain: datetime = stamp.to_pydatetime(warn=False)
    try:
        return (plain.replace(tzinfo=zone) if plain.tzinfo is None else plain).astimezone(UTC)
    except OverflowError:  # the first and the last day that there are
        return plain.replace(tzinfo=UTC)


def _naive(moment: datetime, zone: tzinfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def _whole(value: Any) -> int:
    return 0 if value is None or pd.isna(value) else int(value)


def hide_sensitive(frame: pd.DataFrame, columns: tuple[str, ...], key: str) -> pd.DataFrame:
    """Keyed hashes in place of the values of these columns, of free text with its form; null stays null, equal values stay equal."""

    def hidden(name: str) -> Any:
        return lambda value: hide(value, f"{key}:{name}")

    return frame.assign(
        **{name: frame[name].astype(object).map(hidden(name), na_action="ignore") for name in columns if name in frame}
    )
