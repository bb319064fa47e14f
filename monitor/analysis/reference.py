"""The reference: the data that production is compared with, summarised once and used in every run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from monitor.analysis import estimation
from monitor.analysis.calibration import Null, Tested, independent_tests, overdispersion_adjusted
from monitor.analysis.estimator import Estimator
from monitor.analysis.figures import Figure
from monitor.analysis.forecast import revisions
from monitor.analysis.performance import OF_NUMBERS, Measured, predicted
from monitor.analysis.ranking import top_rows
from monitor.analysis.relations import DIGITS, Relations, subsample
from monitor.analysis.schema import Sort, canonical_text
from monitor.analysis.summary import Summary, summarise
from monitor.analysis.surrogate import Surrogate
from monitor.analysis.twosample import Bins
from monitor.analysis.weak_segments import ExpectedLoss
from monitor.domain.columns import Columns
from monitor.domain.phrases import counted, metric_name, number

# Part of every version's name: a reference fitted by another analysis is another reference.
ANALYSIS_VERSION = "13"
Pair = tuple[float, float | None]
# Rows among which the most similar one is searched.
_SUBSAMPLE_ROWS = 2_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Features of these types are inputs of the surrogate models.
ENCODED = ("numerical", "categorical", "boolean", "time")


@dataclass(frozen=True)
class ReferenceSummary:
    """What is worked out of a reference's rows when it is fitted, as plain values.

    rows: how many there are. sorts: each column's type of values. times_before_event: whether columns of times hold how
        long before the event they were. time_knots: event times in days, at places evenly spread over its rows, which
        are in the order of time. longest_run: by feature, how many rows in a row hold the same value.
    codes: by categorical feature, the number of each value, as surrogate models take it. segment_values: by segment
        column, the values that are checked separately.
    relations: the models of `Relations`; derived: by metric and column, knots and counts. null, overdispersion: see
        `calibration`.
    calendar: by feature that holds a field of the calendar, its name and offset (`CalendarField`); None where no times
        are known.
    labelled: whether there are labels enough to judge by. baseline: value and error by metric; segments: the same by
        column and value.
    calibration: of probabilities. importances: by metric and feature, what the metric would lose if the feature's
        values came at random.
    unanswered: by metric, what it would lose if the model answered nothing. classes: of the labels, as text. naive: of
        forecasts, the errors of the seasonal naive forecast (`forecast.naive_errors`), and how much wider the interval
        of a mean error is because forecasts of one time err alike (`widening`).
    """

    rows: int
    sorts: dict[str, Sort]
    times_before_event: bool = False
    time_knots: list[float] = field(default_factory=list)
    longest_run: dict[str, int] = field(default_factory=dict)
    calendar: dict[str, list[Any]] | None = None
    codes: dict[str, dict[str, int]] = field(default_factory=dict)
    segment_values: dict[str, list[str]] = field(default_factory=dict)
    relations: dict[str, Any] | None = None
    derived: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    null: dict[str, list[float]] = field(default_factory=dict)
    overdispersion: dict[str, Any] = field(default_factory=dict)
    labelled: bool = False
    baseline: dict[str, Pair] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    importances: dict[str, dict[str, float]] = field(default_factory=dict)
    unanswered: dict[str, float] = field(default_factory=dict)
    segments: dict[str, dict[str, dict[str, Pair]]] = field(default_factory=dict)
    harm_metric: str | None = None
    calibration: Any = None
    classes: list[str] = field(default_factory=list)
    naive: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ReferenceSummary:
        """The inverse of `to_dict`."""
        names = [summary_field.name for summary_field in fields(cls) if summary_field.name in values]
        return cls(**{name: values[name] for name in names})


@dataclass(frozen=True, eq=False, repr=False)
class Reference:
    """What production is compared with. Made by `Reference.fit`; never changed afterwards.

    columns: which column plays which part. task: of `domain.metrics.TASKS`. seed: of all that is drawn.
    version: its name, a hash of everything it was fitted on. summary: what was worked out of its rows.
    read_rows: gives the rows, on first use.
    """

    read_rows: Callable[[], pd.DataFrame]
    columns: Columns
    task: str
    seed: int
    version: str
    summary: ReferenceSummary
    _summaries: dict[str, Summary | None] = field(default_factory=dict)
    _bins: dict[str, Bins] = field(default_factory=dict)
    _counts: dict[str, np.ndarray] = field(default_factory=dict)
    _segments: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
    _segment_counts: dict[tuple[str, str], dict[str, tuple[Bins, np.ndarray]]] = field(default_factory=dict)
    _tests: dict[int, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        summary, metric = self.summary, self.summary.harm_metric
        baseline = summary.baseline.get(metric or "")
        performance = (
            "no labels" if baseline is None or metric is None else f"{metric_name(metric)} {number(baseline[0])}"
        )
        columns = counted(len(summary.sorts), "column")
        return (
            f"Reference({self.task}, {counted(summary.rows, 'row')}, {columns}, {performance}, version"
            f" {self.version[:8]})"
        )

    @classmethod
    def fit(
        cls,
        frame: pd.DataFrame,
        columns: Columns | None = None,
        task: str | None = None,
        healthy: pd.DataFrame | None = None,
        seed: int = 0,
    ) -> Reference:
        """Summarise reference data.

        frame: one row a prediction. columns: what plays which part, `Columns.infer(frame)` if not given.
        task: binary, multiclass, regression, ranking or forecast; inferred from the columns if not given.
        healthy: production rows known to be good, in the order of time (or with Columns.event_time). They are added to
            the reference's own. How much more blocks of them vary than by chance (by hour, weekday, season, growth)
            counts as normal.

        Raises DataError for a frame without rows or without its columns, UsageError for an unknown task.
        """
        from monitor.analysis.fitting import fit  # it makes a Reference

        return fit(frame, columns, task, healthy, seed)

    @property
    def rows(self) -> int:
        """How many rows the reference has."""
        return self.summary.rows

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The rows."""
        return self.read_rows()

    @cached_property
    def times(self) -> np.ndarray:
        """The rows' event times in days, about, in order, shape (rows,); of shape (0,) where they are not known."""
        knots = self.summary.time_knots
        if not knots:
            return np.zeros(0)
        return np.interp(np.arange(self.rows), np.linspace(0, self.rows - 1, len(knots)), knots)

    @property
    def period(self) -> tuple[datetime, datetime] | None:
        """The first and the last event time of its rows in UTC, to a second; None where they are not known."""
        knots = self.summary.time_knots
        if not knots:
            return None
        first, last = (_EPOCH + timedelta(seconds=round(86_400 * day)) for day in (min(knots), max(knots)))
        return first, last

    @property
    def sorts(self) -> dict[str, Sort]:
        """Each column's type of values."""
        return self.summary.sorts

    @property
    def features(self) -> list[str]:
        """The features that are checked."""
        return self.columns.feature_names(list(self.sorts))

    @property
    def predictions(self) -> list[str]:
        """The columns of the model's answers: prediction and probabilities."""
        names = (self.columns.prediction, *self.columns.probabilities.values())
        return [name for name in names if name is not None and name in self.sorts]

    @property
    def null(self) -> Null:
        """The smallest p-values of windows drawn from the reference, by window size."""
        return self.summary.null

    def bins(self, name: str) -> Bins:
        """How values of a column are counted for the two-sample tests."""
        if name not in self._bins:
            summary = self.of_column(name)
            assert summary is not None
            self._bins[name] = Bins.of(summary)
        return self._bins[name]

    def counts(self, name: str) -> np.ndarray:
        """How many of a column's values are in each of its bins, shape (bins,)."""
        if name not in self._counts:
            summary = self.of_column(name)
            assert summary is not None
            self._counts[name] = self.bins(name).counts(summary)
        return self._counts[name]

    @property
    def baseline(self) -> dict[str, Measured]:
        """Performance on the reference, by metric: realised, and `estimated_…` as the estimator sees it."""
        return {name: Measured(*pair) for name, pair in self.summary.baseline.items()}

    @property
    def importance(self) -> dict[str, float]:
        """How much of the harm metric is lost when a feature's values come at random, by feature."""
        return self.summary.importances.get(self.harm_metric or "", {})

    @property
    def harm_metric(self) -> str | None:
        """The metric that harm is measured by unless the user names others: roc_auc, accuracy or mae; None without
        labels.
        """
        return self.summary.harm_metric

    @property
    def segments(self) -> dict[str, dict[str, dict[str, Measured]]]:
        """Performance on the reference by segment column, value and metric."""
        return {
            column: {
                value: {name: Measured(*pair) for name, pair in metrics.items()} for value, metrics in values.items()
            }
            for column, values in self.summary.segments.items()
        }

    def of_column(self, name: str) -> Summary | None:
        """The summary of a column; None for types without one."""
        if name not in self._summaries:
            self._summaries[name] = summarise(self.frame[name], self.sorts[name])
        return self._summaries[name]

    def rows_of_segment(self, column: str, value: str) -> pd.DataFrame:
        """The rows of a segment: those with this value of the segment's column."""
        if (column, value) not in self._segments:
            self._segments[column, value] = self.frame[canonical_text(self.frame[column]) == value]
        return self._segments[column, value]

    def of_segment(self, column: str, value: str) -> dict[str, tuple[Bins, np.ndarray]]:
        """Bins and counts within a segment, by column."""
        if (column, value) not in self._segment_counts:
            rows = self.rows_of_segment(column, value)
            names = [name for name in (*self.features, *self.predictions) if name != column]
            tested = {
                name: Tested(self.bins(name), self.bins(name).codes(rows[name]))
                for name in names
                if (summary := self.of_column(name)) is not None and summary.count
            }
            self._segment_counts[column, value] = {
                name: (tested_column.bins, tested_column.counts) for name, tested_column in tested.items()
            }
        return self._segment_counts[column, value]

    def missing(self, name: str) -> int:
        """How many values of a column are missing."""
        summary = self.of_column(name)
        return int(self.frame[name].isna().sum()) if summary is None else summary.rows - summary.count

    @property
    def figures(self) -> dict[str, Figure]:
        """Performance on the reference by the names of Evidently's metrics."""
        return {
            name: tuple(value) if isinstance(value, list) else value for name, value in self.summary.figures.items()
        }

    @cached_property
    def encoded_features(self) -> list[str]:
        """The features that surrogate models take: those of a type that can be encoded, with any value at all."""
        names = [name for name in self.features if self.sorts[name] in ENCODED]
        return [name for name in names if (summary := self.of_column(name)) is not None and summary.count]

    def encoded(self, frame: pd.DataFrame) -> np.ndarray:
        """Features and prediction as numbers for the surrogate models, shape (rows, features + 1); absent columns are
        missing.
        """
        names = self.encoded_features
        table = frame.reindex(columns=names)
        prediction = (
            predicted(frame, self.columns, self.task) if self.task in OF_NUMBERS else pd.Series(0.0, frame.index)
        )
        return np.column_stack([estimation.encode(table, self.summary.codes), prediction.to_numpy(dtype=float)])

    @cached_property
    def relations(self) -> Relations | None:
        """The models of how columns go together; None where there are too few rows or columns."""
        stored = self.summary.relations
        return None if stored is None else Relations.from_dict(stored)

    @cached_property
    def derived(self) -> dict[str, dict[str, tuple[Bins, np.ndarray]]]:
        """Bins and counts of what is derived from columns, by metric and column: `relation_score`, `relation_agreement`
        and `digits_score`.
        """
        return {
            metric: {
                name: (DIGITS if knots is None else Bins(np.asarray(knots), None), np.asarray(counts))
                for name, (knots, counts) in by_column.items()
            }
            for metric, by_column in self.summary.derived.items()
        }

    def overdispersion_adjusted(self, metric: str, column: str | None, p_value: float, rows: int) -> float:
        """A p-value for a window of `rows` rows, adjusted for how much healthy production varies."""
        variation = self.summary.overdispersion
        of_queries = variation.get("queries", {}).get(metric, {}).get(column, 1.0)
        factor = variation.get("factors", {}).get(metric, {}).get(column, 1.0)
        if max(of_queries, factor) <= 1:
            return p_value
        return overdispersion_adjusted(p_value, factor, variation.get("rows", 1), rows, of_queries)

    def independent_tests(self, rows: int) -> float:
        """The number of independent tests that all tests of a window of `rows` rows amount to."""
        if rows not in self._tests:
            self._tests[rows] = independent_tests(self.null, rows)
        return self._tests[rows]

    @cached_property
    def top_lists(self) -> pd.DataFrame:
        """Of a ranking, the items at the top of each list of the reference: `query` and `item`, a row each."""
        return top_rows(self.frame, self.columns)

    @cached_property
    def top_items(self) -> pd.Series:
        """Of a ranking, the lists of the reference that had an item at their top, by item; `attrs["lists"]`: all
        lists.
        """
        items = self.top_lists["item"].value_counts()
        items.attrs["lists"] = self.top_lists["query"].nunique()
        return items

    @cached_property
    def usual_revision(self) -> float:
        """Of a forecast, the mean revision in the reference; NaN where no time has more than one forecast."""
        values = revisions(self.frame, self.columns)
        return float(values.mean()) if len(values) else float("nan")

    def repeats(self, column: str) -> float:
        """In how many rows of a query a value of the column comes; 1 for tasks without queries."""
        return float(self.summary.overdispersion.get("repeats", {}).get(column, 1.0))

    @cached_property
    def estimator(self) -> Estimator:
        """The estimator of performance without labels."""
        return Estimator(self)

    @cached_property
    def subsample_encoded(self) -> tuple[pd.DataFrame, np.ndarray]:
        """A subsample of the rows, evenly spread, and its features as numbers, shape (rows, features)."""
        rows = self.frame.iloc[np.linspace(0, self.rows - 1, min(self.rows, _SUBSAMPLE_ROWS)).astype(int)]
        return rows, estimation.encode(rows[self.encoded_features], self.summary.codes)

    @cached_property
    def held_relations(self) -> tuple[np.ndarray, np.ndarray]:
        """Columns of a subsample of the rows, and what is predicted of them (`Relations.held_against`). `relations`
        must not be None.
        """
        assert self.relations is not None
        return self.relations.held_against(subsample(self.frame))

    @cached_property
    def expected_loss(self) -> ExpectedLoss | None:
        """What each row is expected to lose, for the search for weak segments; None where the reference has too few
        labels. Fitted from the seed on first use.
        """
        return ExpectedLoss.of(self)

    @cached_property
    def surrogate(self) -> Surrogate | None:
        """A model of the model; None where it has too few answers. Fitted from the seed on first use."""
        return Surrogate.of(self)

    def save(self, path: str | Path) -> None:
        """Write the archive (a zip of JSON and Arrow, no pickle) to `path`."""
        Path(path).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> Reference:
        """Read an archive that `save` wrote. Raises DataError for anything else."""
        return cls.from_bytes(Path(path).read_bytes())

    def to_bytes(self) -> bytes:
        """The archive; equal references give equal bytes."""
        from monitor.analysis import archive  # it makes a Reference

        return archive.to_bytes(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Reference:
        """The inverse of `to_bytes`. Raises DataError for anything else."""
        from monitor.analysis import archive  # it makes a Reference

        return archive.from_bytes(data)

    @classmethod
    def mapped(cls, path: str | Path) -> Reference:
        """As `load`, of an archive that stays where it is: rows and summaries are mapped from a file beside it, which
        the first process writes.

        Where that cannot be written, they are held in this process's own memory.
        """
        from monitor.analysis import archive  # it makes a Reference

        return archive.mapped(path)
