"""The labels of a log's predictions: in the log itself or at a place of their own, and when each became known."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import ibis
import pandas as pd

from monitor.domain.checks import WindowCounts
from monitor.domain.columns import WEIGHT
from monitor.domain.grid import Window
from monitor.errors import DataError
from monitor.sources.engines import engine_of
from monitor.sources.engines.base import Engine, WindowFilter, as_count
from monitor.sources.sample import KEY, RANK, canonical_id
from monitor.sources.spec import Place
from monitor.sources.times import check_time, in_utc, naive, to_utc, zone_of

if TYPE_CHECKING:
    from monitor.sources.log import Log

_CHUNK = 5_000
# A class with fewer rows in a sample is rare. With more classes than the second number none is rare.
_ENOUGH_OF_CLASS, _MOST_CLASSES = 500, 20


class _LabelledRows(NamedTuple):
    """Rows with labels. label_times: when each label became known, NaT where it was not. early: how many labels were
    known before their prediction. unmatched: how many labels belong to no prediction.
    """

    frame: pd.DataFrame
    label_times: pd.Series
    early: int
    unmatched: int


class _JoinedRows(NamedTuple):
    """Rows joined with their labels. label_times: when each label became known. table: the table of the labels, None
    where another engine than the log's holds it.
    """

    frame: pd.DataFrame
    label_times: pd.Series
    table: Any


class Labels:
    """The labels of a log, joined by its ids."""

    def __init__(self, log: Log) -> None:
        assert log.spec.labels is not None
        self._log, self._spec = log, log.spec.labels

    def joined_to(
        self, sample: pd.DataFrame, counts: WindowCounts, window: Window, as_of: datetime, *, by_class: bool
    ) -> tuple[pd.DataFrame, WindowCounts]:
        """A window's sample with the labels known at `as_of`, and its counts with those of the labels. by_class: more
        rows of rare classes are read.
        """
        labelled = self._labelled(sample, window, as_of)
        frame = labelled.frame
        number = int(labelled.label_times.notna().sum())
        if by_class and len(frame) < counts.rows:
            frame = self._with_rare_classes(frame, window, as_of, counts.rows)
        return frame, replace(counts, labelled=number, early_labels=labelled.early, unmatched_labels=labelled.unmatched)

    def rows(self, sample: pd.DataFrame, as_of: datetime) -> pd.DataFrame:
        """The sampled rows of any windows whose label was known at `as_of`, each once; none in a log without ids."""
        if self._log.spec.id is None or sample.empty:
            return sample.head(0)
        once = sample.drop_duplicates(KEY, ignore_index=True)
        joined = self._joined(once, self._log.event_times(once), as_of)
        has_label = joined.frame[self._spec.label].notna() & (joined.label_times <= pd.Timestamp(as_of))
        return joined.frame.assign(monitor_label_time=joined.label_times)[has_label].reset_index(drop=True)

    def times(self, sample: pd.DataFrame, window: Window) -> tuple[list[datetime], int]:
        """When the labels of a window's sample became known, as far as they did until today, sorted; and the sample's
        rows.
        """
        labelled = self._labelled(sample, window, None)
        moments = [moment.to_pydatetime() for moment in labelled.label_times.dropna().sort_values()]
        return moments, len(labelled.frame)

    def times_by_id(self, sample: pd.DataFrame, window: Window) -> pd.Series:
        """When the label of each row of a window's sample became known, NaT where it has not until today, by the row's
        canonical id.
        """
        labelled = self._labelled(sample, window, None)
        return pd.Series(labelled.label_times.to_numpy(), labelled.frame[KEY].astype(object))

    def newest(self) -> datetime | None:
        """When the latest label became known; None where labels carry no time."""
        if self._spec.label_time is None:
            return None
        table = self._table()
        if self._spec.label_time not in table.columns:
            return None
        newest = self._engine.run(table.aggregate(moment=table[self._spec.label_time].max()))
        return to_utc(newest.iat[0, 0], zone_of(self._place))

    def mark(self) -> str:
        """What the labels' files look like; '' for a table."""
        return self._engine.mark(self._place)

    @property
    def _place(self) -> Place:
        return self._spec.place or self._log.spec.place

    @cached_property
    def _engine(self) -> Engine:
        """The log's own engine, where it reads the labels' place, too."""
        return (
            self._log.engine
            if self._spec.place is None or self._log.engine.serves(self._place)
            else engine_of(self._place)
        )

    def _table(self) -> Any:
        """Where labels are: the log itself, or the table of their own place. Raises DataError where that lacks a
        column.
        """
        if self._spec.place is None:
            return self._log.table
        place, labels = self._place, self._spec
        table = self._engine.table(place)
        for name in (labels.id, labels.label, labels.label_time):
            if name is not None and name not in table.columns:
                raise DataError(f"{place.shown} has no column '{name}'; its columns are: {', '.join(table.columns)}")
        if labels.label_time is not None:
            table = self._engine.with_time(table, labels.label_time, place)
            check_time(self._engine, table, labels.label_time, place.shown)
        return table

    def _labelled(self, frame: pd.DataFrame, window: Window, as_of: datetime | None) -> _LabelledRows:
        """A sample with the labels that were known by `as_of`.

        Without `as_of`: all labels known today, each at the time of its first version; unmatched labels are not
        counted.
        """
        labels = self._spec
        event_times = self._log.event_times(frame)
        if labels.place is None:
            label_times = self._times_in_log(frame, event_times)
            unmatched = 0
        else:
            frame, label_times, table = self._joined(frame, event_times, as_of)
            unmatched = self._unmatched(table, window) if as_of is not None else 0
        early = int((label_times < event_times).sum())
        late = label_times.isna() | frame[labels.label].isna()
        if as_of is not None:
            late |= label_times > pd.Timestamp(as_of)
        frame[labels.label] = frame[labels.label].astype(object).mask(late, None) if late.any() else frame[labels.label]
        frame["monitor_label_time"] = label_times.mask(late)
        return _LabelledRows(frame, frame["monitor_label_time"], early, unmatched)

    def _times_in_log(self, frame: pd.DataFrame, event_times: pd.Series) -> pd.Series:
        labels, zone = self._spec, zone_of(self._place)
        if labels.label not in frame:
            raise DataError(
                f"the log has no label column '{labels.label}'; its columns are: {', '.join(map(str, frame.columns))}"
            )
        if labels.label_time is not None and labels.label_time in frame:
            label_times = in_utc(frame[labels.label_time], zone)
        else:
            label_times = event_times + timedelta(seconds=labels.delay_s)
        return label_times.where(frame[labels.label].notna())

    def _joined(self, frame: pd.DataFrame, event_times: pd.Series, as_of: datetime | None) -> _JoinedRows:
        """Rows with their labels."""
        labels, place = self._spec, self._place
        within = None
        if labels.place is None:
            (table, within), key = self._log.rows_of_time(frame), self._log.spec.id
        else:
            table, key = self._table(), labels.id
        assert key is not None
        label_time = labels.label_time if labels.label_time in table.columns else None
        columns = [labels.label] + ([label_time] if label_time else [])
        keyed = table.select(*columns, **{KEY: canonical_id(table[key], place.shown)})
        ids = frame[KEY].dropna().unique().tolist()
        parts = [
            self._engine.rows_with_ids(keyed, KEY, ids[start : start + _CHUNK], within)
            for start in range(0, len(ids), _CHUNK)
        ]
        label_rows = pd.concat(parts, ignore_index=True) if parts else self._engine.run(keyed.limit(0), within)
        renamed = {labels.label: "monitor_label"} | ({label_time: "monitor_time"} if label_time else {})
        label_rows = label_rows.rename(columns=renamed)
        if "monitor_time" not in label_rows:
            label_rows["monitor_time"] = pd.NaT
        zone = zone_of(place)
        label_rows["monitor_time"] = in_utc(label_rows["monitor_time"], zone)
        if as_of is not None:  # of a label that was corrected, the version known then
            label_rows = label_rows[~(label_rows["monitor_time"] > pd.Timestamp(as_of))]
        version: Any = "first" if as_of is None else "last"
        label_rows = label_rows.sort_values("monitor_time", kind="stable").drop_duplicates(KEY, keep=version)
        merged = frame.merge(label_rows, on=KEY, how="left").reset_index(drop=True)
        merged[labels.label] = merged["monitor_label"]
        if label_time is None:
            label_times = (event_times + timedelta(seconds=labels.delay_s)).reset_index(drop=True)
        else:
            label_times = merged["monitor_time"]
        merged = merged.drop(columns=["monitor_label", "monitor_time"])
        # For tables of a database all ids that were ever logged would have to be read.
        is_joined = self._engine is self._log.engine and self._engine.joins_labels
        return _JoinedRows(merged, label_times.where(merged[labels.label].notna()), table if is_joined else None)

    def _unmatched(self, table: Any, window: Window) -> int:
        """Labels that became known in the window and whose id no prediction has; counted only where one engine holds
        both.
        """
        labels, place = self._spec, self._place
        if labels.label_time is None or table is None or self._log.spec.id is None:
            return 0
        start, end = (naive(moment, zone_of(place)) for moment in (window.start, window.end))
        times = table[labels.label_time].cast("timestamp(6)")
        recent = table.filter(
            (times >= ibis.literal(start, "timestamp(6)")) & (times < ibis.literal(end, "timestamp(6)"))
        )
        keyed = recent.select(**{KEY: canonical_id(recent[labels.id], place.shown)})
        predictions = self._log.table.select(**{KEY: self._log.key()})
        return as_count(self._engine.run(keyed.anti_join(predictions, KEY).count().as_table()).iat[0, 0])

    def _with_rare_classes(self, frame: pd.DataFrame, window: Window, as_of: datetime, rows: int) -> pd.DataFrame:
        """The sample with up to `_ENOUGH_OF_CLASS` rows of each class that has fewer in it; where one engine holds log
        and labels.
        """
        labels = self._spec
        if self._engine is not self._log.engine:
            return frame
        table = self._table()
        often = self._engine.run(table.filter(table[labels.label].notnull())[labels.label].value_counts(name="often"))
        labelled = int(frame[labels.label].notna().sum())
        rare = often[often["often"] / often["often"].sum() * labelled < _ENOUGH_OF_CLASS][labels.label]
        if len(often) > _MOST_CLASSES or rare.empty:
            return frame
        parts = [frame.assign(**{WEIGHT: rows / len(frame)})]
        for value in rare.sort_values():
            class_rows, number = self._rows_of_class(table, value, window, as_of)
            in_class = parts[0][labels.label].eq(value).fillna(False)
            if len(class_rows) > in_class.sum():
                parts[0] = parts[0][~in_class]
                parts.append(class_rows.assign(**{WEIGHT: number / len(class_rows)}))
        return pd.concat(parts, ignore_index=True)

    def _rows_of_class(self, table: Any, value: Any, window: Window, as_of: datetime) -> tuple[pd.DataFrame, float]:
        """Rows of a window whose label is `value`, those with the smallest (hash, id), and about how many there are."""
        labels = self._spec
        condition = table[labels.label] == value

        def expression(within: WindowFilter) -> Any:
            if labels.place is None:
                return self._log.subsample(within, self._log.read_columns, condition)
            keyed = table.filter(condition).select(**{KEY: canonical_id(table[labels.id], labels.place.shown)})
            return self._log.subsample(within, self._log.read_columns).semi_join(keyed, KEY)

        def first(within: WindowFilter) -> Any:
            return expression(within).order_by([RANK, KEY]).limit(_ENOUGH_OF_CLASS)

        name = f"class {value!r}"
        number = self._log.frame(f"{name} rows", lambda within: expression(within).count().as_table(), window, as_of)
        frame = self._log.hidden(self._log.frame(name, first, window, as_of))
        # At `as_of` the label may have been unknown or another one: the same rule as for all labels decides.
        frame = self._labelled(frame, window, as_of).frame
        confirmed = frame[frame[labels.label].eq(value).fillna(False)]
        return confirmed, as_count(number.iat[0, 0]) * len(confirmed) / max(len(frame), 1)
