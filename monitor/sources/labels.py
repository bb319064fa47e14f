"""The labels of a log's predictions: in the log itself or at a place of their own, and when each became known."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import ibis
import pandas as pd

from monitor.domain.checks import WindowCounts
from monitor.domain.columns import WEIGHT
from monitor.domain.grid import Window
from monitor.errors import DataError
from monitor.sources.engines import engine_of
from monitor.sources.engines.base import Engine, WindowFilter, whole
from monitor.sources.sample import KEY, RANK, canonical_id
from monitor.sources.spec import Place
from monitor.sources.times import check_time, in_utc, naive, to_utc, zone_of

if TYPE_CHECKING:
    from monitor.sources.log import Log

_CHUNK = 5_000
# So many rows of a class are enough to tell its part in performance; of more classes none is called rare.
_ENOUGH_OF_CLASS, _MOST_CLASSES = 500, 20


class Labels:
    """The labels of a log, joined by its ids."""

    def __init__(self, log: Log) -> None:
        assert log.spec.labels is not None
        self._log, self._spec = log, log.spec.labels

    def joined_to(
        self, sample: pd.DataFrame, counts: WindowCounts, window: Window, as_of: datetime, *, by_class: bool
    ) -> tuple[pd.DataFrame, WindowCounts]:
        """A window's sample with the labels known at `as_of`, and its counts with what is known of them. by_class: more
        rows of rare classes.
        """
        frame, known, early, unmatched = self._labelled(sample, window, as_of)
        labelled = int(known.notna().sum())
        if by_class and len(frame) < counts.rows:
            frame = self._with_rare_classes(frame, window, as_of, counts.rows)
        return frame, replace(counts, labelled=labelled, early_labels=early, unmatched_labels=unmatched)

    def rows(self, sample: pd.DataFrame, as_of: datetime) -> pd.DataFrame:
        """Of sampled rows, of whatever windows, those whose label was known at `as_of`, once each; none in a log
        without ids.
        """
        if self._log.spec.id is None or sample.empty:
            return sample.head(0)
        once = sample.drop_duplicates(KEY, ignore_index=True)
        frame, known, _ = self._joined(once, self._log.event_times(once), as_of)
        there = frame[self._spec.label].notna() & (known <= pd.Timestamp(as_of))
        return frame.assign(monitor_label_time=known)[there].reset_index(drop=True)

    def times(self, sample: pd.DataFrame, window: Window) -> tuple[list[datetime], int]:
        """When the labels of a window's sample became known, as far as they did until today, sorted; and the sample's
        rows.
        """
        frame, known, _, _ = self._labelled(sample, window, None)
        return [moment.to_pydatetime() for moment in known.dropna().sort_values()], len(frame)

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

    def _labelled(
        self, frame: pd.DataFrame, window: Window, as_of: datetime | None
    ) -> tuple[pd.DataFrame, pd.Series, int, int]:
        """A sample with labels, when each became known (NaT if not by `as_of`), early labels, labels of no prediction.

        Without `as_of`: all that is known today, each label at the time of its first version, strangers not counted.
        """
        labels = self._spec
        event_times = self._log.event_times(frame)
        if labels.place is None:
            known = self._times_in_log(frame, event_times)
            unmatched = 0
        else:
            frame, known, table = self._joined(frame, event_times, as_of)
            unmatched = self._unmatched(table, window) if as_of is not None else 0
        early = int((known < event_times).sum())
        late = known.isna() | frame[labels.label].isna()
        if as_of is not None:
            late |= known > pd.Timestamp(as_of)
        frame[labels.label] = frame[labels.label].astype(object).mask(late, None) if late.any() else frame[labels.label]
        frame["monitor_label_time"] = known.mask(late)
        return frame, frame["monitor_label_time"], early, unmatched

    def _times_in_log(self, frame: pd.DataFrame, event_times: pd.Series) -> pd.Series:
        labels, zone = self._spec, zone_of(self._place)
        if labels.label not in frame:
            raise DataError(
                f"the log has no label column '{labels.label}'; its columns are: {', '.join(map(str, frame.columns))}"
            )
        if labels.label_time is not None and labels.label_time in frame:
            known = in_utc(frame[labels.label_time], zone)
        else:
            known = event_times + timedelta(seconds=labels.delay_s)
        return known.where(frame[labels.label].notna())

    def _joined(
        self, frame: pd.DataFrame, event_times: pd.Series, as_of: datetime | None
    ) -> tuple[pd.DataFrame, pd.Series, Any]:
        """Rows with their labels, when each became known, and the labels' table where this engine holds it."""
        labels, place = self._spec, self._place
        within = None
        if labels.place is None:
            (table, within), key = self._log.rows_of_time(frame), self._log.spec.id
        else:
            table, key = self._table(), labels.id
        assert key is not None
        label_time = labels.label_time if labels.label_time in table.columns else None
        wanted = [labels.label] + ([label_time] if label_time else [])
        keyed = table.select(*wanted, **{KEY: canonical_id(table[key], place.shown)})
        ids = frame[KEY].dropna().unique().tolist()
        parts = [
            self._engine.of_ids(keyed, KEY, ids[start : start + _CHUNK], within) for start in range(0, len(ids), _CHUNK)
        ]
        found = pd.concat(parts, ignore_index=True) if parts else self._engine.run(keyed.limit(0), within)
        renamed = {labels.label: "monitor_label"} | ({label_time: "monitor_time"} if label_time else {})
        found = found.rename(columns=renamed)
        if "monitor_time" not in found:
            found["monitor_time"] = pd.NaT
        zone = zone_of(place)
        found["monitor_time"] = in_utc(found["monitor_time"], zone)
        if as_of is not None:  # of a label that was corrected, the version known then
            found = found[~(found["monitor_time"] > pd.Timestamp(as_of))]
        version: Any = "first" if as_of is None else "last"
        found = found.sort_values("monitor_time", kind="stable").drop_duplicates(KEY, keep=version)
        merged = frame.merge(found, on=KEY, how="left").reset_index(drop=True)
        merged[labels.label] = merged["monitor_label"]
        if label_time is None:
            known = (event_times + timedelta(seconds=labels.delay_s)).reset_index(drop=True)
        else:
            known = merged["monitor_time"]
        merged = merged.drop(columns=["monitor_label", "monitor_time"])
        # Of tables it would take a look at all ids that were ever logged.
        is_joined = self._engine is self._log.engine and self._engine.joins_labels
        return merged, known.where(merged[labels.label].notna()), table if is_joined else None

    def _unmatched(self, table: Any, window: Window) -> int:
        """Labels that became known in the window and whose id no prediction has; told only where one engine holds
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
        known = self._log.table.select(**{KEY: self._log.key()})
        return whole(self._engine.run(keyed.anti_join(known, KEY).count().as_table()).iat[0, 0])

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
        labels = self._spec
        wanted = table[labels.label] == value

        def expression(within: WindowFilter) -> Any:
            if labels.place is None:
                return self._log.few(within, self._log.read_columns, wanted)
            keyed = table.filter(wanted).select(**{KEY: canonical_id(table[labels.id], labels.place.shown)})
            return self._log.few(within, self._log.read_columns).semi_join(keyed, KEY)

        def first(within: WindowFilter) -> Any:
            return expression(within).order_by([RANK, KEY]).limit(_ENOUGH_OF_CLASS)

        what = f"class {value!r}"
        number = self._log.frame(f"{what} rows", lambda within: expression(within).count().as_table(), window, as_of)
        frame = self._log.hidden(self._log.frame(what, first, window, as_of))
        # By then it may not have been known, or have been another: these are told by the same rule as all labels.
        frame, _, _, _ = self._labelled(frame, window, as_of)
        known = frame[frame[labels.label].eq(value).fillna(False)]
        return known, whole(number.iat[0, 0]) * len(known) / max(len(frame), 1)
