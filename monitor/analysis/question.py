"""A question: one window and its reference, with everything that checks use. Frozen: nothing is added later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.stats import norm
from structlog import get_logger

from monitor.analysis import drift
from monitor.analysis.attributions import Attributions
from monitor.analysis.beginning import Timeline
from monitor.analysis.calendar_fields import CalendarField, calendar_field, follows, on_calendar
from monitor.analysis.correction import Block, RecentLabels, days
from monitor.analysis.drift import DEFAULT_METHODS
from monitor.analysis.evidence import HealthyBlocks, levels_of
from monitor.analysis.forecast import scale_of
from monitor.analysis.label_design import ExpectedLabels
from monitor.analysis.listed_labels import LabelLists, ListedPerformance, listed_performance
from monitor.analysis.performance import Measured, Outcomes, measure, outcomes, too_little, truth_of
from monitor.analysis.reference import Reference
from monitor.analysis.relations import digits, subsample
from monitor.analysis.schema import ConformedWindow, canonical_text, conform, plain, tidy, utc_times
from monitor.analysis.summary import Numbers, Summary, summarise
from monitor.cores import cores
from monitor.domain import phrases
from monitor.domain.checks import DEFAULT_HARM, Checks, Harm, Kind, WindowCounts, segment_text
from monitor.domain.columns import HORIZON, SCALE, WEIGHT
from monitor.domain.metrics import REGRESSIONS
from monitor.errors import DataError

log = get_logger()
Floats = np.ndarray
# From this number of rows on, columns are sorted on all cores: sorting releases Python's lock.
_MANY_ROWS = 50_000
# The most rows from which causes are worked out.
_EXCERPT = 20_000
# From this share of predictions outside of the reference's range on, the size of their errors is not known.
_OUT_OF_REACH = 0.5


@dataclass(frozen=True)
class Estimate:
    """Performance without labels: values by metric, and by how much recent labels have corrected them.

    too_little: why there are too few rows to judge by; '' if they are enough.
    """

    values: Mapping[str, Measured]
    corrections: Mapping[str, Measured]
    too_little: str = ""


@dataclass(frozen=True)
class Segment:
    """Rows with one value of a segment's column. inside: which rows of the window these are, shape (rows,); None where
    the column is gone.
    """

    column: str
    value: str
    inside: Floats | None

    @property
    def name(self) -> str:
        """How it is written."""
        return segment_text(self.column, self.value)

    @property
    def key(self) -> tuple[str, str]:
        """Its column and value."""
        return self.column, self.value

    def rows_of(self, frame: pd.DataFrame) -> pd.DataFrame | None:
        """Its rows of the window; None where the segment's column is gone."""
        return None if self.inside is None else frame[self.inside]


@dataclass(frozen=True)
class Excerpt:
    """Rows of a window from which causes are worked out. frame: in the reference's column types. times: of their events
    in UTC, None where there is no such column.
    """

    frame: pd.DataFrame
    times: pd.Series | None

    @cached_property
    def timeline(self) -> Timeline | None:
        """The rows in the order of time."""
        return None if self.times is None else Timeline.of(self.times)

    @cached_property
    def levels(self) -> dict[str, tuple[Floats, pd.Index]]:
        """The columns of few values, numbered (`evidence.levels_of`)."""
        return levels_of(self.frame)


@dataclass(frozen=True)
class Question:
    """One window beside its reference.

    frame: the window's rows as they were logged (or a sample of them). window: the same in the reference's column
        types.
    counts: exact counts of the whole window. recent_counts: rows of earlier windows at the same calendar position,
        oldest first. recent: labelled rows whose labels are known by now; recent_ids: their ids.
    names: the columns that are checked, features and predictions, in the reference's order. summaries: of those in the
        window.
    derived: by metric and column, the window's counts of relations to other columns and of decimals, shape (bins,).
    lists: how rows were drawn whose labels were asked for; None where labels come as they do.
    """

    reference: Reference
    frame: pd.DataFrame
    window: ConformedWindow
    counts: WindowCounts
    recent_counts: tuple[int, ...]
    checks: Checks
    recent: RecentLabels | None
    recent_ids: pd.Series | None
    names: tuple[str, ...]
    summaries: Mapping[str, Summary | None]
    derived: Mapping[str, Mapping[str, Floats]]
    lists: LabelLists | None = None

    @classmethod
    def of(
        cls,
        reference: Reference,
        frame: pd.DataFrame,
        recent: pd.DataFrame | None,
        counts: WindowCounts,
        recent_counts: Sequence[int] | None,
        checks: Checks,
        lists: LabelLists | None = None,
    ) -> Question:
        """Read a window once for all checks. frame: tidied (`schema.tidy`). Raises DataError where rows have neither
        prediction nor probability.
        """
        frame = frame.reset_index(drop=True)
        window, columns = conformed(frame, reference), reference.columns
        if len(frame):
            _require_prediction(frame, reference)
        names = tuple(dict.fromkeys([*reference.features, *reference.predictions]))
        summaries, derived = _summaries(reference, window.frame, names, checks) if len(frame) else ({}, {})
        recent_rows = None if recent is None or recent.empty else tidy(recent, reference.columns).reset_index(drop=True)
        return cls(
            reference=reference,
            frame=frame,
            window=window,
            counts=_with_embeddings(counts, frame, columns.embeddings),
            recent_counts=tuple(recent_counts or ()),
            checks=checks,
            recent=None if recent_rows is None else _recent(recent_rows, reference),
            recent_ids=(
                recent[columns.id] if recent is not None and columns.id is not None and columns.id in recent else None
            ),
            names=names,
            summaries=summaries,
            derived=derived,
            lists=lists,
        )

    @property
    def rows(self) -> int:
        """How many rows there are (of the sample)."""
        return len(self.frame)

    @cached_property
    def margin(self) -> float:
        """How many standard errors an interval reaches to either side, at the confidence on which pages are decided."""
        return float(norm.ppf(0.5 + self.checks.page_confidence / 2))

    @cached_property
    def labelled(self) -> int | None:
        """How many rows have a label; None where there is no label column."""
        label = self.reference.columns.label
        return int(self.frame[label].notna().sum()) if self.rows and label in self.frame else None

    @cached_property
    def unreadable_labels(self) -> int:
        """How many labels are there and cannot be read as the reference's were."""
        reference, label = self.reference, self.reference.columns.label
        if not self.labelled or label not in self.window.frame:
            return 0
        truth = truth_of(self.window.frame[label], reference.columns, reference.task, reference.summary.classes)
        return self.labelled - int(truth.notna().sum())

    @property
    def tells_performance(self) -> bool:
        """Whether realised performance is asked for, and there are labels."""
        return self.labelled is not None and self.checks.asks(Kind.PERFORMANCE)

    @cached_property
    def harm(self) -> dict[str, Harm]:
        """The smallest loss that counts, by metric: the user's, or that of the task's default metric."""
        metric = self.reference.harm_metric
        return dict(self.checks.harm) or ({metric: DEFAULT_HARM[metric]} if metric else {})

    @cached_property
    def harm_limits(self) -> dict[str, float]:
        """How much may be lost of the task's default metric, and of those that the user names; empty without labels in
        the reference.
        """
        default, baseline = self.reference.harm_metric, self.reference.baseline
        wanted = ({default: DEFAULT_HARM[default]} if default else {}) | self.harm
        return {metric: harm.absolute(baseline[metric].value) for metric, harm in wanted.items() if metric in baseline}

    @cached_property
    def times(self) -> pd.Series | None:
        """The rows' event times in UTC; None where there is no such column."""
        name = self.reference.columns.event_time
        return utc_times(self.frame[name]) if name is not None and name in self.frame else None

    @cached_property
    def excerpt(self) -> Excerpt:
        """The rows from which causes are worked out: all, or a subsample that is evenly spread over the window's
        time.
        """
        frame, times = self.window.frame, self.times
        if len(frame) > _EXCERPT:
            places = np.linspace(0, len(frame) - 1, _EXCERPT).astype(int)
            places = places if times is None else Timeline.of(times).order[places]
            frame = frame.iloc[places].reset_index(drop=True)
            times = None if times is None else times.iloc[places].reset_index(drop=True)
        return Excerpt(frame, times)

    @cached_property
    def held_relations(self) -> tuple[Floats, Floats]:
        """Columns of a subsample of the rows, and what is predicted of them (see `Reference.held_relations`)."""
        assert self.reference.relations is not None
        return self.reference.relations.held_against(subsample(self.window.frame))

    @cached_property
    def healthy_blocks(self) -> HealthyBlocks:
        """Blocks of the reference and of production before the window, each as long as the window."""
        return HealthyBlocks(self.reference, self.times, self.recent)

    def of_column(self, name: str) -> Summary | None:
        """The summary of one of the window's columns."""
        return self.summaries.get(name)

    @cached_property
    def followed(self) -> dict[str, CalendarField]:
        """The columns that follow the calendar both in the reference and in the window, and the field that they
        hold.
        """
        frame, times = self.window.frame, self.times
        fields = {name: CalendarField(*stored) for name, stored in (self.reference.summary.calendar or {}).items()}
        return {
            name: field
            for name, field in fields.items()
            if times is not None and name in frame and follows(frame[name], times, field)
        }

    def calendar_field(self, name: str) -> CalendarField | None:
        """The field of the calendar that a column of the window holds, as its values in the reference do; None if it
        holds none.
        """
        if self.reference.summary.calendar is not None:
            return self.followed.get(name)
        before = self.reference.of_column(name)
        if before is None or self.times is None or name not in self.window.frame:
            return None
        return calendar_field(self.window.frame[name], self.times, before)

    def off_calendar(self, name: str) -> pd.Series | None:
        """The values of a column that follows the calendar which differ from the calendar's; None for any other
        column.
        """
        field = self.calendar_field(name)
        if field is None or self.times is None:
            return None
        values = self.window.frame[name]
        return values[~on_calendar(values, self.times, field)]

    def follows_calendar(self, name: str) -> str:
        """In words, that a column follows the calendar as it does in the reference; '' where it does not, or where that
        is not known.
        """
        field = self.followed.get(name)
        return "" if field is None else f"it is the {field.words}, and follows the calendar"

    def missing(self, name: str) -> int:
        """How many of a column's values are missing in the sample."""
        summary = self.of_column(name)
        return int(self.window.frame[name].isna().sum()) if summary is None else summary.rows - summary.count

    def compared(self, name: str) -> tuple[Summary, Summary] | str:
        """Both sides of a column, or why it cannot be compared with the reference."""
        if self.reference.sorts[name] not in DEFAULT_METHODS:
            return f"values of this sort ({self.reference.sorts[name]}) are not compared"
        if name not in self.window.frame:
            return "the column is not in the window"
        before, after = self.reference.of_column(name), self.of_column(name)
        if before is None or before.count == 0:
            return "the column is empty in the reference"
        if after is None or after.count == 0:
            return "the column is empty in the window"
        return before, after

    @cached_property
    def drift_scores(self) -> dict[str, tuple[str, float | None]]:
        """By column that can be compared: the method and the drift score, None where it cannot be worked out."""
        return {
            name: self.drift_score(name, *compared)
            for name in self.names
            if not isinstance(compared := self.compared(name), str)
        }

    def drift_score(self, name: str, before: Summary, after: Summary) -> tuple[str, float | None]:
        """The method and the drift score of a column, None where it cannot be worked out."""
        column_type = self.reference.sorts[name]
        method = self.checks.method(name, column_type) or DEFAULT_METHODS[column_type]
        try:
            value = drift.score(
                method, before, after, lambda: (self.reference.frame[name], self.window.frame[name]), column_type
            )
        except (ValueError, ZeroDivisionError, ArithmeticError, TypeError, KeyError) as error:
            log.warning("drift_score_failed", column=name, method=method, error=f"{type(error).__name__}: {error}")
            return method, None
        return method, value if np.isfinite(value) else None

    @cached_property
    def segments(self) -> list[Segment]:
        """The segments that are asked for and that the reference knows."""
        wanted, segments = self.checks.segments, []
        for column, values in self.reference.summary.segment_values.items():
            if wanted is None or column in wanted:
                is_present = column in self.window.frame
                texts = canonical_text(self.window.frame[column]).to_numpy() if is_present else None
                segments += [Segment(column, value, None if texts is None else texts == value) for value in values]
        return segments

    @cached_property
    def outcomes(self) -> Outcomes:
        """Predictions and true outcomes of the rows whose label is known."""
        return self.outcomes_of(self.window.frame)

    def outcomes_of(self, frame: pd.DataFrame) -> Outcomes:
        """The same of some of the window's rows."""
        if self.lists is not None:  # labels that came by other ways have no weight
            frame = frame.assign(**{WEIGHT: self.lists.weights[frame.index]})
        return outcomes(frame, self.reference.columns, self.reference.task, self.reference.summary.classes)

    @cached_property
    def realised(self) -> dict[str, Measured]:
        """Performance with labels, by metric."""
        return measure(self.outcomes) if self.listed is None else self.listed.values

    @cached_property
    def listed(self) -> ListedPerformance | None:
        """Performance by the labels that were asked for; None where labels come as they do."""
        if self.lists is None or not self.rows:
            return None
        recent = None
        if self.lists.recent is not None and len(self.lists.recent):
            rows = tidy(self.lists.recent, self.reference.columns).reset_index(drop=True)
            recent = conformed(rows, self.reference).frame
        expected = ExpectedLabels.of(self.reference, self.window.frame, recent)
        times = None if self.times is None else days(self.times)
        return listed_performance(expected, self.lists.draws(times))

    @cached_property
    def realised_in_segments(self) -> dict[str, tuple[Outcomes, dict[str, Measured]]]:
        """The same of each segment with rows and a baseline, by its name: outcomes, and performance by metric."""
        by_segment = {}
        for segment in self.segments:
            rows = segment.rows_of(self.window.frame)
            if rows is not None and len(rows) and self.reference.segments.get(segment.column, {}).get(segment.value):
                data = self.outcomes_of(rows)
                by_segment[segment.name] = data, measure(data)
        return by_segment

    @cached_property
    def attributions(self) -> tuple[Attributions, Attributions]:
        """The attributions of the reference and of the window, of all features that the reference has them for."""
        columns = self.reference.columns.attribution_columns(self.reference.sorts)
        return Attributions.of(self.reference.frame, columns), Attributions.of(self.window.frame, columns)

    @cached_property
    def realised_by_horizon(self) -> dict[str, dict[str, Measured]]:
        """Of a forecast, performance by horizon, under the name of a segment."""
        horizons, frame = self.reference.summary.naive.get("horizons", ()), self.window.frame
        if not horizons or HORIZON not in frame:
            return {}
        texts = canonical_text(frame[HORIZON])
        parts = {value: self.outcomes_of(frame[texts == value]) for value in horizons}
        return {segment_text(HORIZON, value): measure(data) for value, data in parts.items() if not too_little(data)}

    @cached_property
    def estimate(self) -> Estimate:
        """Performance without labels, corrected by recent ones."""
        name = self.reference.columns.event_time
        times = days(self.frame[name]) if name is not None and name in self.frame else np.zeros(0)
        times = times[np.isfinite(times)]
        if not len(times):
            times = np.array([0.0 if self.recent is None else self.recent.times.max() + 1])
        window = Block(np.arange(self.rows), float(times.min()), float(times.max()))
        estimator, known_labels = self.reference.estimator, self._known_labels()
        values, corrections = estimator.estimate_now(self.window.frame, self.recent, known_labels, window)
        return Estimate(values, corrections, estimator.too_little(self.window.frame))

    @cached_property
    def usable_rows(self) -> int:
        """How many rows have an answer of the model's that can be used."""
        return self.reference.estimator.usable_rows(self.window.frame)

    @cached_property
    def out_of_reach(self) -> str:
        """Why the errors of these rows cannot be estimated from the reference; '' if they can.

        The size of errors is learned from the model's answers on the reference. It is not known for answers far from
        all of these, as long as no label has come.
        """
        reference, name = self.reference, self.reference.columns.prediction
        before = None if name is None else reference.of_column(name)
        not_applicable = self.labelled or self.estimate.corrections or not reference.summary.labelled
        if (
            not_applicable
            or reference.task not in REGRESSIONS
            or not isinstance(before, Numbers)
            or name not in self.window.frame
        ):
            return ""
        values = self.window.frame[name].to_numpy(dtype=float)
        share = float(((values < before.low) | (values > before.high)).mean())
        return phrases.answers_out_of_reach(share, before.low, before.high) if share >= _OUT_OF_REACH else ""

    @cached_property
    def foreseen(self) -> dict[str, Measured]:
        """Performance of the labelled rows as the reference alone would have estimated it."""
        labelled = self.window.frame[self.window.frame[self.reference.columns.label].notna()]
        return self.reference.estimator.estimate(labelled)

    def _known_labels(self) -> pd.Series | None:
        """The labels of this window's own rows that are among the recent ones, by their ids; missing elsewhere."""
        label, name = self.reference.columns.label, self.reference.columns.id
        if self.recent is None or label is None or self.recent_ids is None or name not in self.frame:
            return None
        labels = pd.Series(self.recent.frame[label].to_numpy(), index=self.recent_ids.to_numpy())
        labels = labels[labels.index.notna() & ~labels.index.duplicated(keep="last")]
        window_labels = self.frame[name].map(labels)
        return window_labels if window_labels.notna().any() else None


def _with_embeddings(
    counts: WindowCounts, frame: pd.DataFrame, embeddings: Mapping[str, Sequence[str]]
) -> WindowCounts:
    """Counts with the vectors that are missing: where a number is missing in the sample the vector is, so there are no
    fewer than that.
    """
    if not embeddings:
        return counts
    rows = max(len(frame), 1)
    missing = {
        name: max(
            [
                round(int(frame[name].isna().sum()) * counts.rows / rows),
                *(counts.missing.get(part, 0) for part in parts),
            ]
        )
        for name, parts in embeddings.items()
        if name in frame
    }
    return replace(counts, missing={**counts.missing, **missing})


def _require_prediction(frame: pd.DataFrame, reference: Reference) -> None:
    columns = reference.columns
    if not any(name in frame for name in (columns.prediction, *columns.probabilities.values()) if name is not None):
        names = ", ".join(map(str, frame.columns))
        raise DataError(
            f"the window has no prediction column '{columns.prediction or columns.probability}'; its columns are:"
            f" {names}"
        )


def conformed(frame: pd.DataFrame, reference: Reference) -> ConformedWindow:
    """The columns in the reference's types, and the weights of rows."""
    time = reference.columns.event_time
    times = utc_times(frame[time]) if time is not None and time in frame else None
    sorts = reference.sorts
    if times is None and reference.summary.times_before_event:  # how long before the event a time was is unknown
        sorts = {name: column_type for name, column_type in sorts.items() if column_type != "time"}
    result = conform(frame, sorts, times)
    # Labels are read even where the reference has none: performance is then compared with the user's limits alone.
    label = reference.columns.label
    unknown = [label] if label is not None and reference.sorts.get(label, "empty") == "empty" else []
    for name in (*reference.columns.weights, *unknown):
        if name in frame:
            result.frame[name] = plain(frame[name])
    if reference.task == "forecast":
        result.frame[SCALE] = scale_of(result.frame, reference.columns, reference.summary.naive)
    return result


def _recent(frame: pd.DataFrame, reference: Reference) -> RecentLabels:
    """Recent labelled rows, with their times where they have them; else in their order, as one after the other."""
    columns = reference.columns
    time, label_time = columns.event_time, columns.label_time or "label_time"
    times = days(frame[time]) if time is not None and time in frame else np.arange(len(frame), dtype=float)
    known_at = days(frame[label_time]) if label_time in frame else None
    return RecentLabels(conformed(frame, reference).frame, times, known_at)


def _summaries(
    reference: Reference, window: pd.DataFrame, names: tuple[str, ...], checks: Checks
) -> tuple[dict[str, Summary | None], dict[str, dict[str, Floats]]]:
    """Each column sorted or counted once, and what is derived from columns."""
    if not (checks.asks(Kind.DRIFT) or checks.asks(Kind.QUALITY)):
        return {}, {}
    present = [name for name in names if name in window]
    columns = [(window[name], reference.sorts[name]) for name in present]

    def derived() -> dict[str, dict[str, Floats]]:
        return _derived(reference, window) if checks.asks(Kind.DRIFT) else {}

    if len(window) < _MANY_ROWS:
        return {name: summarise(*column) for name, column in zip(present, columns, strict=True)}, derived()
    with ThreadPoolExecutor(cores()) as threads:
        later = threads.submit(derived)
        summaries = dict(zip(present, threads.map(lambda column: summarise(*column), columns), strict=True))
        return summaries, later.result()


def _derived(reference: Reference, window: pd.DataFrame) -> dict[str, dict[str, Floats]]:
    """Counts of each column's relation to the others and of its decimals, from a subsample of the rows."""
    rows, relations = subsample(window), reference.relations
    values = relations.distances(rows) if relations is not None and set(relations.names) <= set(rows) else {}
    values = values | {
        "digits_score": {name: digits(rows[name]) for name in reference.derived["digits_score"] if name in rows}
    }
    return {
        metric: {
            name: bins.counts_of_numbers(values[metric][name])
            for name, (bins, _) in by_column.items()
            if name in values.get(metric, {})
        }
        for metric, by_column in reference.derived.items()
    }
