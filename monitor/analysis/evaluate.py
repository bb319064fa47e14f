"""`evaluate`: a reference and a window in, an evaluation out. Pure: no database, no clock, no network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm
from structlog import get_logger

from monitor.analysis import drift, limits, quality
from monitor.analysis.calibration import family_wise
from monitor.analysis.correction import Recent, Stretch, days, utc_times
from monitor.analysis.diagnosis import SUBPOPULATION, cause_of, explained
from monitor.analysis.drift import DEFAULT_METHODS
from monitor.analysis.evaluation import Evaluation
from monitor.analysis.figures import Figures, beside, performance_figures, plot_of
from monitor.analysis.performance import Measured, Outcomes, loss, measure, outcomes, too_little
from monitor.analysis.reference import Reference
from monitor.analysis.relations import RELATIONS, digits, few
from monitor.analysis.schema import Conformed, canonical_text, conform
from monitor.analysis.summary import Numbers, Summary, summarise
from monitor.analysis.twosample import Counted, p_values
from monitor.domain.checks import (
    Check,
    Checks,
    Finding,
    Harm,
    Kind,
    MetricValue,
    Severity,
    Threshold,
    Verdict,
    WindowCounts,
)
from monitor.errors import DataError, UsageError

log = get_logger()
_MANY_ROWS = 50_000
# How the false-alarm rate is shared: to intervals of performance, with labels and without; and of the rest to drift.
_OF_PERFORMANCE = {True: 0.6, False: 0.1}
_OF_DRIFT = 0.8
# How wide an interval pages on an estimate that labels of late have corrected, against that of other values.
_OF_CORRECTED = 0.5
# Labels are held against the reference's once so many rows have one; so many tests are made of them.
_RIPE_SHARE, _LABEL_TESTS = 0.9, 6
DEFAULT_HARM = {"roc_auc": Harm(0.02), "accuracy": Harm(0.02), "mae": Harm(0.10, relative=True)}


def evaluate(
    reference: Reference,
    frame: pd.DataFrame,
    recent: pd.DataFrame | None = None,
    window: tuple[datetime, datetime] | None = None,
    counts: WindowCounts | None = None,
    checks: Checks | None = None,
) -> Evaluation:
    """Ask every check of a window.

    frame: the window's rows (or a sample of them), one row a prediction; labels are used where the label column is there.
    recent: labelled rows whose labels were known then; they refresh the estimator of performance without labels.
    window: its start and end; rows outside are left out. counts: exact counts of the whole window, taken from the frame if not given.
    Raises DataError where neither prediction nor probability can be found in rows that are there.
    """
    checks = checks or Checks()
    if window is not None:
        frame = _inside(frame, reference, window)
    counts = counts or count(frame, reference)
    return _Question(reference, frame, recent, counts, checks).answer()


def count(frame: pd.DataFrame, reference: Reference) -> WindowCounts:
    """Counts of a frame that is a whole window."""
    columns = reference.columns
    ids = frame[columns.id] if columns.id is not None and columns.id in frame else None
    times = (
        frame[columns.event_time]
        if columns.event_time is not None and columns.event_time in frame and len(frame)
        else None
    )
    return WindowCounts(
        rows=len(frame),
        missing={str(name): int(number) for name, number in frame.isna().sum().items()},
        first_event=None if times is None else times.min(),
        last_event=None if times is None else times.max(),
        duplicate_ids=0 if ids is None else int(ids.dropna().duplicated().sum()),
        null_ids=0 if ids is None else int(ids.isna().sum()),
    )


def _inside(frame: pd.DataFrame, reference: Reference, window: tuple[datetime, datetime]) -> pd.DataFrame:
    name = reference.columns.event_time
    if name is None or name not in frame:
        raise UsageError("a window needs Columns.event_time, and that column in the frame")
    times = utc_times(frame[name])
    start, end = (pd.Timestamp(each) for each in window)
    start, end = (each.tz_localize("UTC") if each.tzinfo is None else each for each in (start, end))
    return frame[(times >= start) & (times < end)]


def _conformed(frame: pd.DataFrame, reference: Reference) -> Conformed:
    """The columns in the reference's sorts, and the weights of rows."""
    result = conform(frame, reference.sorts)
    for name in reference.columns.weights:
        if name in frame:
            result.frame[name] = frame[name]
    return result


def _recent(frame: pd.DataFrame, reference: Reference) -> Recent:
    """Labelled rows of late, with their times where they have them; else in their order, as one after the other."""
    columns = reference.columns
    time, known = columns.event_time, columns.label_time or "label_time"
    times = days(frame[time]) if time is not None and time in frame else np.arange(len(frame), dtype=float)
    known_at = days(frame[known]) if known in frame else None
    return Recent(_conformed(frame, reference).frame, times, known_at)


class _Question:
    """One window's evaluation in the making."""

    def __init__(
        self,
        reference: Reference,
        frame: pd.DataFrame,
        recent: pd.DataFrame | None,
        counts: WindowCounts,
        checks: Checks,
    ) -> None:
        self.reference = reference
        self.frame = frame.reset_index(drop=True)
        self.counts = counts
        self.checks = checks
        self.window: Conformed = _conformed(self.frame, reference)
        self.recent = None if recent is None or recent.empty else _recent(recent.reset_index(drop=True), reference)
        name = reference.columns.id
        self.ids = recent[name] if recent is not None and name is not None and name in recent else None
        self.margin = float(norm.ppf(0.5 + checks.page_confidence / 2))
        self.harm = dict(checks.harm) or (
            {reference.harm_metric: DEFAULT_HARM[reference.harm_metric]} if reference.harm_metric else {}
        )
        self.labelled: int | None = None
        self.figures: Figures | None = None
        self._summaries: dict[str, Summary | None] = {}
        self._derived: list[tuple[Check, Counted, str, str]] = []
        self._foreseen: dict[str, Measured] | None = None
        self.metrics: list[MetricValue] = []
        self.asked: list[tuple[Check, Finding | None]] = []

    def answer(self) -> Evaluation:
        """All checks, judged together: the false-alarm rate is shared by those that can err by chance."""
        columns, reference = self.reference.columns, self.reference
        rows = len(self.frame)
        self.metrics.append(MetricValue("row_count", value=float(self.counts.rows)))
        if self.checks.asks(Kind.NO_DATA):
            self._no_data()
        if rows > 0:
            if not any(
                name in self.frame for name in (columns.prediction, *columns.probabilities.values()) if name is not None
            ):
                names = ", ".join(map(str, self.frame.columns))
                raise DataError(
                    f"the window has no prediction column '{columns.prediction or columns.probability}'; its columns are: {names}"
                )
            checked = list(dict.fromkeys([*reference.features, *reference.predictions]))
            if columns.label is not None and columns.label in self.frame:
                self.labelled = int(self.frame[columns.label].notna().sum())
            self.figures = Figures((rows, reference.rows))
            self._summarise(checked)
            if self.checks.asks(Kind.QUALITY):
                self._quality(checked)
            if self.checks.asks(Kind.DRIFT):
                self._drift(checked, self.figures)
            if self.checks.asks(Kind.ESTIMATED_PERFORMANCE) or self.checks.asks(Kind.PERFORMANCE):
                self._estimated()
            if self._tells_performance:
                self._ask_faults(quality.label_faults(self.counts))
                self._performance()
        asked = self._settled()
        time = columns.event_time
        times = utc_times(self.frame[time]) if time is not None and time in self.frame else None
        found = [finding for _, finding in asked if finding is not None]
        findings = self._ranked(*explained(reference, self.window.frame, self.of_column, times, found))
        return Evaluation(
            self.metrics,
            [check for check, _ in asked],
            findings,
            self.counts,
            reference.version,
            self.labelled,
            self.figures,
            reference.sorts,
        )

    def _ranked(self, findings: list[Finding], grown: str | None) -> list[Finding]:
        """Worst first: by severity, then by what the change is likely to cost the model.

        Consequences come last: predictions, which follow their features; how numbers are written, if they changed; columns that moved with `grown`, of which there is more of a value;
        and columns that only stopped going together with others, unless their own evidence is the strongest. What is wrong with one column
        shows in all that were expected by it, and most in itself.
        """
        features = [finding for finding in findings if finding.column in self.reference.features]
        own = {finding.column for finding in features if finding.metric != "relation_score"}
        drifted = {finding.column for finding in features if finding.metric == "drift_score"}
        relations = [finding for finding in features if finding.metric == "relation_score"]
        first = min(relations, key=lambda each: (each.p_value, -(each.value or 0.0)), default=None)
        whole = {finding.column for finding in findings if finding.segment is None}
        importance = self.reference.importance

        def badness(finding: Finding) -> tuple[Any, ...]:
            echo = finding.column in self.reference.predictions and bool(features)
            echo = echo or (finding.cause == SUBPOPULATION and finding.column != grown)
            if finding.metric == "digits_score":
                echo = echo or finding.column in drifted
            if finding.metric == "relation_score":
                echo = echo or finding is not first or bool(own - {finding.column})
            echo = echo or finding.column == self.reference.columns.label
            echo = echo or (finding.segment is not None and finding.column in whole)
            # By how far it moved: few rows that moved far tell more of what is wrong than many that follow them.
            moved = importance.get(finding.column or "", 0.0) * min(finding.value or 0.0, 1.0)
            return (
                -finding.severity.rank,
                echo,
                finding.kind is Kind.DRIFT,
                -moved,
                finding.p_value or 0.0,
                finding.key,
            )

        def with_cost(finding: Finding) -> Finding:
            if finding.kind is not Kind.DRIFT or finding.column not in importance:
                return finding
            moved = finding.value or 0.0 if finding.share is None else finding.share
            return replace(finding, cost=importance[finding.column] * min(moved, 1.0))

        return sorted(map(with_cost, findings), key=badness)

    def _settled(self) -> list[tuple[Check, Finding | None]]:
        """Verdicts of the checks that can err by chance, now that it is known how many share the rate."""
        counted = sum(check.kind is Kind.QUALITY and check.p_value is not None for check, _ in self.asked)
        rate = self.checks.false_alarm_rate * (1 - _OF_PERFORMANCE[self._tells_performance])
        result: list[tuple[Check, Finding | None]] = []
        for check, finding in self.asked:
            limit = rate * (_OF_DRIFT if check.kind is Kind.DRIFT else (1 - _OF_DRIFT) / max(counted, 1))
            changed = check.verdict is Verdict.CHANGED or (
                check.verdict is Verdict.FINE and check.p_value is not None and check.p_value < limit
            )
            check = replace(check, detection_limit=self._detection_limit(check, limit))
            if changed or (finding is not None and finding.pages and check.verdict is Verdict.FINE):
                assert finding is not None
                finding = replace(finding, verdict=Verdict.CHANGED, detection_limit=check.detection_limit)
                result.append((replace(check, verdict=Verdict.CHANGED), finding))
            else:
                result.append((check, None))
        out_of_sight = self.checks.asks(Kind.ESTIMATED_PERFORMANCE) and not self.harm_is_known
        return self._weighted_drift(result) if out_of_sight else result

    def _detection_limit(self, check: Check, limit: float) -> str | None:
        """The smallest change that this check would have noticed, in words. limit: of its p-value."""
        if check.verdict not in (Verdict.FINE, Verdict.CHANGED) or check.rows == 0:
            return None
        reference = self.reference
        if check.metric == "drift_score" and check.column is not None:
            before = reference.of_column(check.column)
            alpha = limit / reference.independent_tests(check.rows)
            known = check.rows, reference.rows if before is None else before.count, alpha
            if isinstance(before, Numbers):
                return f"a shift of {limits.shift(*known):.2g} standard deviations"
            return f"{limits.share(0.25, *known):.1%} more rows of a category that a quarter of the rows have"
        if check.metric == "missing_share" and check.column is not None:
            usual = reference.missing(check.column) / reference.rows
            return f"{limits.share(usual, check.rows, reference.rows, limit):.1%} more missing values"
        if (
            check.kind in (Kind.PERFORMANCE, Kind.ESTIMATED_PERFORMANCE)
            and check.lower is not None
            and check.value is not None
        ):
            return f"a loss of {check.value - check.lower:.2g}"
        return None

    @property
    def _tells_performance(self) -> bool:
        return self.labelled is not None and self.checks.asks(Kind.PERFORMANCE)

    @property
    def harm_is_known(self) -> bool:
        """Whether performance could be told in this window, realised or estimated."""
        return any(
            check.kind in (Kind.PERFORMANCE, Kind.ESTIMATED_PERFORMANCE)
            and check.verdict in (Verdict.FINE, Verdict.CHANGED)
            for check, _ in self.asked
        )

    def _weighted_drift(self, asked: list[tuple[Check, Finding | None]]) -> list[tuple[Check, Finding | None]]:
        """Where performance is out of sight, drift of columns that carry half of the importance is a warning."""
        importance = self.reference.importance
        names = [name for name in self.reference.features if name in self.window.frame]
        weights = (
            {name: importance.get(name, 0.0) for name in names}
            if sum(importance.values()) > 0
            else dict.fromkeys(names, 1.0)
        )
        drifted = {
            check.column: finding
            for check, finding in asked
            if finding is not None
            and finding.kind is Kind.DRIFT
            and finding.segment is None
            and check.column in weights
        }
        share = sum(weights[name] for name in drifted if name is not None) / (sum(weights.values()) or 1.0)
        if share < 0.5:
            return asked
        worst = max(drifted, key=lambda name: weights[name or ""])
        text = f"; the columns that drifted carry {share:.0%} of the model's weight, and its performance cannot be told"
        return [
            (
                check,
                replace(finding, severity=Severity.WARNING, explanation=finding.explanation + text)
                if finding is drifted[worst] and finding
                else finding,
            )
            for check, finding in asked
        ]

    # -- the checks ---------------------------------------------------------------------------------------------

    def _ask(
        self, check: Check, severity: Severity = Severity.INFO, cause: str = "", explanation: str = "", **more: Any
    ) -> None:
        """Add a check and what it would be as a finding, with `more` of its fields; a threshold of the user's decides first."""
        check, severity, explanation = self._user_threshold(check, severity, explanation)
        found = {**vars(check), "severity": severity, "cause": cause, "explanation": explanation, **more}
        self.asked.append((check, Finding(**found)))

    def _user_threshold(self, check: Check, severity: Severity, explanation: str) -> tuple[Check, Severity, str]:
        threshold = self.checks.threshold(check.metric, check.column)
        if (
            threshold is None
            or check.value is None
            or check.verdict in (Verdict.TOO_LITTLE_DATA, Verdict.COULD_NOT_CHECK)
        ):
            return check, severity, explanation
        limited = replace(check, threshold_lower=threshold.lower, threshold_upper=threshold.upper)
        if not _breaks(check, threshold):
            return limited, severity, explanation
        over = threshold.upper is not None and check.value > threshold.upper
        side = f"above your limit {threshold.upper:g}" if over else f"below your limit {threshold.lower:g}"
        text = f"{explanation} ({check.metric} {check.value:.3g} is {side})"
        return replace(limited, verdict=Verdict.CHANGED), max(severity, threshold.severity), text

    def _no_data(self) -> None:
        empty = self.counts.rows == 0
        check = Check(
            "row_count",
            value=float(self.counts.rows),
            kind=Kind.NO_DATA,
            verdict=Verdict.CHANGED if empty else Verdict.FINE,
            rows=self.counts.rows,
        )
        explanation = "the window has no rows: nothing was logged"
        self.asked.append(
            (
                check,
                Finding(
                    **{
                        **vars(check),
                        "severity": Severity.WARNING if empty else Severity.INFO,
                        "cause": "no data",
                        "explanation": explanation,
                    }
                ),
            )
        )

    def _quality(self, checked: list[str]) -> None:
        assert self.figures is not None
        for name in checked:
            if name in self.window.frame:
                known = self.of_column(name)
                missing = int(self.window.frame[name].isna().sum()) if known is None else known.rows - known.count
                self.figures.missing[name] = (missing, self.reference.missing(name))
        self._ask_faults(quality.faults(self.reference, self.window, self.of_column, self.frame, self.counts, checked))
        self._ask_faults(quality.segment_faults(self.reference, self.window, self._in_segments(), checked))
        if self.checks.threshold("row_count", None):
            row_count = Check("row_count", value=float(self.counts.rows), kind=Kind.QUALITY, rows=self.counts.rows)
            self._ask(row_count, cause="row count", explanation=f"{self.counts.rows} rows")

    def _ask_faults(self, faults: Iterator[quality.Fault]) -> None:
        for fault in faults:
            verdict = (
                Verdict.TOO_LITTLE_DATA if fault.too_little else Verdict.CHANGED if fault.certain else Verdict.FINE
            )
            check = Check(
                fault.metric, fault.column, fault.segment, fault.value, kind=Kind.QUALITY, verdict=verdict,
                p_value=fault.p_value, rows=fault.rows, reason=fault.too_little,
            )  # fmt: skip
            self.metrics.append(MetricValue(fault.metric, fault.column, fault.segment, fault.value))
            severity, text, cost = self._effect(fault)
            self._ask(check, severity, fault.cause, text, share=fault.share, origin=fault.origin, cost=cost)

    def _effect(self, fault: quality.Fault) -> tuple[Severity, str, float | None]:
        """A fault is a warning if what it costs the model, by the column's importance, exceeds the harm; with that cost."""
        metric, limit = self.reference.harm_metric, self._harm_limit
        if limit is None:
            return Severity.INFO, fault.text, None
        effect = fault.share * self.reference.importance.get(fault.column or "", 0.0)
        if effect <= limit:
            return Severity.INFO, fault.text, effect
        return Severity.WARNING, f"{fault.text}; that is likely to cost the model {effect:.3g} {metric}", effect

    @cached_property
    def _harm_limit(self) -> float | None:
        """How much of the harm metric may be lost; None where nothing is harm."""
        metric = self.reference.harm_metric
        if metric is None or metric not in self.harm:
            return None
        limit: float = self.harm[metric].absolute(self.reference.baseline[metric].value)
        return limit

    def _summarise(self, checked: list[str]) -> None:
        """Sort or count each column once; where there are many rows on all cores, since sorting gives Python's lock back."""
        if not (self.checks.asks(Kind.DRIFT) or self.checks.asks(Kind.QUALITY)):
            return
        names = [name for name in checked if name in self.window.frame]
        columns = [(self.window.frame[name], self.reference.sorts[name]) for name in names]
        if len(self.frame) < _MANY_ROWS:
            self._summaries = {name: summarise(*column) for name, column in zip(names, columns, strict=True)}
            self._derived = list(self._derived_drift())
            return
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            derived = threads.submit(lambda: list(self._derived_drift()))
            self._summaries = dict(zip(names, threads.map(lambda column: summarise(*column), columns), strict=True))
            self._derived = derived.result()

    def of_column(self, name: str) -> Summary | None:
        """The summary of one of the window's columns."""
        return self._summaries.get(name)

    def _compared(self, name: str) -> tuple[Summary, Summary] | str:
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

    def _drift(self, checked: list[str], figures: Figures) -> None:
        tested: list[tuple[Check, Counted, str, str]] = []
        for name in checked:
            compared = self._compared(name)
            if isinstance(compared, str):
                self._ask(Check("drift_score", name, kind=Kind.DRIFT, verdict=Verdict.COULD_NOT_CHECK, reason=compared))
                continue
            before, after = compared
            figures.plots[name] = plot_of(before, after)
            method, value = self._score(name, before, after)
            if value is not None:
                figures.drift[name] = (method, value)
                self.metrics.append(MetricValue("drift_score", name, value=value))
            check = Check("drift_score", name, value=value, kind=Kind.DRIFT, rows=after.count)
            if value is None:
                reason = f"the distance to the reference ({method}) could not be worked out"
                self._ask(replace(check, verdict=Verdict.COULD_NOT_CHECK, reason=reason))
            elif after.count < drift.MIN_VALUES:
                reason = f"{after.count} values; {drift.MIN_VALUES} are needed"
                self._ask(replace(check, verdict=Verdict.TOO_LITTLE_DATA, reason=reason))
            else:
                bins = self.reference.bins(name)
                counted = Counted(bins, bins.counts(after), self.reference.counts(name))
                tested.append((check, counted, "distribution", f"'{name}' drifted (score {value:.3g})"))
        tested += self._derived
        tested += self._segment_drift(checked)
        found: dict[tuple[str, str | None, str | None], tuple[Check, str, str]] = {}
        for (check, _, cause, text), single in zip(tested, p_values([each[1] for each in tested]), strict=True):
            # What is tested of a part of the rows counts as it did in windows drawn whole.
            rows = check.rows if check.metric == "drift_score" and check.segment is None else len(self.frame)
            single = self.reference.tempered(check.metric, check.column, single, rows)
            p_value = family_wise(single, self.reference.independent_tests(rows))
            metric = "relation_score" if check.metric in RELATIONS else check.metric
            key = metric, check.column, check.segment
            if key not in found or p_value < (found[key][0].p_value or 0.0):
                found[key] = replace(check, metric=metric, p_value=p_value), cause, text
        for check, cause, text in found.values():
            self._ask(check, Severity.INFO, cause, text)

    def _segment_drift(self, checked: list[str]) -> Iterator[tuple[Check, Counted, str, str]]:
        """Drift within each segment that the reference keeps apart."""
        for column, value, rows in self._in_segments():
            part = self.window.frame[rows]
            for name, (bins, before) in self.reference.of_segment(column, value).items():
                if name not in checked or name not in part:
                    continue
                codes = bins.codes(part[name])
                after = np.bincount(codes[codes >= 0], minlength=bins.number).astype(float)
                check = Check("drift_score", name, f"{column}={value}", kind=Kind.DRIFT, rows=int(after.sum()))
                if min(before.sum(), after.sum()) < drift.MIN_VALUES:
                    reason = f"{check.rows} values; {drift.MIN_VALUES} are needed"
                    self._ask(replace(check, verdict=Verdict.TOO_LITTLE_DATA, reason=reason))
                    continue
                apart = before / before.sum() - after / after.sum()
                gap = np.abs(np.cumsum(apart)).max() if bins.knots is not None else np.abs(apart).sum() / 2
                text = f"'{name}' drifted where {column} = {value} (score {gap:.3g})"
                self.metrics.append(MetricValue("drift_score", name, check.segment, float(gap)))
                yield replace(check, value=float(gap)), Counted(bins, after, before), "distribution", text

    def _in_segments(self) -> Iterator[tuple[str, str, np.ndarray]]:
        """The segments that are asked for and that the reference keeps apart: column, value, and which rows of the window are in it."""
        wanted = self.checks.segments
        for column, values in self.reference.summary["segment_values"].items():
            if (wanted is None or column in wanted) and column in self.window.frame:
                texts = canonical_text(self.window.frame[column]).to_numpy()
                for value in values:
                    yield column, value, texts == value

    def _derived_drift(self) -> Iterator[tuple[Check, Counted, str, str]]:
        """For those who ask for drift: drift of what a column is beside the others, and of how its numbers are written; of so many rows as tell enough."""
        if not self.checks.asks(Kind.DRIFT):
            return
        reference, whole = self.reference, self.window.frame
        some = few(whole)
        relations = reference.relations
        names = [name for name in reference.derived["digits_score"] if name in some]
        apart = relations.distances(some) if relations is not None and set(relations.names) <= set(some) else {}
        broken = "broken relation", "'{}' does not go together with the other columns as it did"
        texts = dict.fromkeys(RELATIONS, broken) | {
            "digits_score": ("rounding", "the numbers of '{}' have more or fewer decimals than they had")
        }
        derived = apart | {"digits_score": {name: digits(some[name]) for name in names}}
        for metric, known in reference.derived.items():
            for name, (bins, before) in known.items():
                each = derived.get(metric, {}).get(name)
                if each is None:
                    continue
                after = bins.counts_of_numbers(each)
                if min(before.sum(), after.sum()) < drift.MIN_VALUES:
                    continue
                gap = float(np.abs(np.cumsum(before / before.sum() - after / after.sum())).max())
                check = Check(metric, name, value=gap, kind=Kind.DRIFT, rows=int(after.sum()))
                cause, text = texts[metric]
                yield check, Counted(bins, after, before), cause, text.format(name)

    def _score(self, name: str, before: Summary, after: Summary) -> tuple[str, float | None]:
        """The method and the drift score of a column, None where it cannot be worked out."""
        sort = self.reference.sorts[name]
        method = self.checks.method(name, sort) or DEFAULT_METHODS[sort]
        try:
            value = drift.score(
                method, before, after, lambda: (self.reference.frame[name], self.window.frame[name]), sort
            )
        except (ValueError, ZeroDivisionError, ArithmeticError, TypeError, KeyError) as error:
            log.warning("drift_score_failed", column=name, method=method, error=f"{type(error).__name__}: {error}")
            return method, None
        return method, value if np.isfinite(value) else None

    def _estimated(self) -> None:
        name = self.reference.columns.event_time
        times = days(self.frame[name]) if name is not None and name in self.frame else np.zeros(0)
        times = times[np.isfinite(times)]
        if not len(times):
            times = np.array([0.0 if self.recent is None else self.recent.times.max() + 1])
        window = Stretch(np.arange(len(self.frame)), float(times.min()), float(times.max()))
        values, corrections = self.reference.estimate_now(self.window.frame, self.recent, self._known(), window)
        baseline = self.reference.baseline
        self._add_performance_metrics(values, None)
        if not self.checks.asks(Kind.ESTIMATED_PERFORMANCE):
            return
        for metric, harm in self.harm.items():
            name = f"estimated_{metric}"
            if name in values and name in baseline:
                self._compare(
                    name,
                    values[name],
                    baseline[name],
                    harm,
                    Kind.ESTIMATED_PERFORMANCE,
                    len(self.frame),
                    None,
                    corrections.get(name),
                )
            elif self.reference.summary["labelled"]:
                reason = "there is no estimator of this metric" if name not in baseline else "no row could be estimated"
                self._ask(Check(name, kind=Kind.ESTIMATED_PERFORMANCE, verdict=Verdict.COULD_NOT_CHECK, reason=reason))

    def _known(self) -> pd.Series | None:
        """The labels of this window's own rows that are among the recent ones, by their ids; missing elsewhere."""
        label, name = self.reference.columns.label, self.reference.columns.id
        if self.recent is None or label is None or self.ids is None or name not in self.frame:
            return None
        labels = pd.Series(self.recent.frame[label].to_numpy(), index=self.ids.to_numpy())
        labels = labels[labels.index.notna() & ~labels.index.duplicated(keep="last")]
        known = self.frame[name].map(labels)
        return known if known.notna().any() else None

    def _performance(self) -> None:
        data, values = self._performance_of(self.window.frame, self.reference.baseline, None)
        if self.figures is not None:
            self.figures.performance = beside(
                performance_figures(data, values, reference=False), self.reference.figures
            )
        for column, value, rows in self._in_segments():
            baseline = self.reference.segments.get(column, {}).get(value)
            if baseline and rows.any():
                self._performance_of(self.window.frame[rows], baseline, f"{column}={value}")
        self._label_shift(data)

    def _performance_of(
        self, frame: pd.DataFrame, baseline: dict[str, Measured], segment: str | None
    ) -> tuple[Outcomes, dict[str, Measured]]:
        data = outcomes(frame, self.reference.columns, self.reference.task)
        reason = too_little(data)
        values = measure(data)
        self._add_performance_metrics(values, segment)
        wanted = [
            *self.harm,
            *(metric for metric in self.checks.thresholds if metric in values and metric not in self.harm),
        ]
        for metric in wanted:
            if reason or metric not in values or metric not in baseline:
                verdict = Verdict.TOO_LITTLE_DATA if reason else Verdict.COULD_NOT_CHECK
                value = values[metric].value if metric in values else None
                self._ask(
                    Check(
                        metric,
                        None,
                        segment,
                        value,
                        kind=Kind.PERFORMANCE,
                        verdict=verdict,
                        rows=data.rows,
                        reason=reason or "it cannot be worked out in this window or on the reference",
                    )
                )
            else:
                self._compare(
                    metric,
                    values[metric],
                    baseline[metric],
                    self.harm.get(metric),
                    Kind.PERFORMANCE,
                    data.rows,
                    segment,
                )
        return data, values

    def _add_performance_metrics(self, values: dict[str, Measured], segment: str | None) -> None:
        for name, value in values.items():
            lower, upper = self._interval(value)
            self.metrics.append(MetricValue(name, None, segment, value.value, lower, upper))

    def _interval(self, value: Measured) -> tuple[float | None, float | None]:
        if value.error is None:
            return None, None
        return value.value - self.margin * value.error, value.value + self.margin * value.error

    def _compare(
        self,
        metric: str,
        value: Measured,
        before: Measured,
        harm: Harm | None,
        kind: Kind,
        rows: int,
        segment: str | None,
        corrected: Measured | None = None,
    ) -> None:
        """Performance against the reference's: decided on the interval of the loss, both sides' errors included.

        corrected: by what labels of late have corrected an estimate. Its error holds the doubt of that, which is no chance that comes anew
        with each window: it pages by a narrower interval.
        """
        lost = loss(metric, before.value, value.value)
        error = None if value.error is None else float(((value.error) ** 2 + (before.error or 0.0) ** 2) ** 0.5)
        lower, upper = self._interval(value)
        p_value = (
            None
            if error is None
            else 1.0
            if error == 0 and lost == 0
            else float(2 * norm.sf(abs(lost) / error))
            if error
            else 0.0
        )
        limit = None if harm is None else harm.absolute(before.value)
        bound = None if limit is None else before.value + (limit if loss(metric, 0.0, 1.0) > 0 else -limit)
        worse_above = loss(metric, 0.0, 1.0) > 0
        severity = Severity.INFO
        if limit is not None and error is not None and lost > limit:
            least = lost - self.margin * error * (1.0 if corrected is None else _OF_CORRECTED)
            severity = Severity.CRITICAL if least > limit else Severity.WARNING if least > 0 else Severity.INFO
        check = Check(
            metric, None, segment, value.value, lower, upper, kind=kind, p_value=p_value, rows=rows,
            threshold_lower=None if worse_above else bound, threshold_upper=bound if worse_above else None,
        )  # fmt: skip
        text = _performance_text(metric, value, before, lost, error, self.margin, limit, segment)
        cause = "performance"
        if kind is Kind.PERFORMANCE and segment is None and lost > 0:
            cause, why = self._cause_of_loss(metric, lost)
            text += why
        if corrected is not None:
            text += _correction_text(corrected, limit)
        self._ask(
            check,
            severity,
            cause,
            text,
            cost=lost if metric in (self.reference.harm_metric, f"estimated_{self.reference.harm_metric}") else None,
        )

    def _cause_of_loss(self, metric: str, lost: float) -> tuple[str, str]:
        """Whether the rows' kind explains a realised loss, as the estimate knows the reference alone, or the truth has come to depend on them otherwise."""
        if self._foreseen is None:
            labelled = self.window.frame[self.window.frame[self.reference.columns.label].notna()]
            self._foreseen = self.reference.estimate(labelled)
        name = f"estimated_{metric}"
        if name not in self._foreseen or name not in self.reference.baseline:
            return "performance", ""
        foreseen = loss(metric, self.reference.baseline[name].value, self._foreseen[name].value) / lost
        if foreseen >= 0.5:
            return (
                "population shift",
                "; rows of this kind are harder: that was to be expected of them without their labels",
            )
        share = "none" if foreseen <= 0.05 else f"only {foreseen:.0%}"
        return (
            "concept drift",
            f"; {share} of it was to be expected of these rows: the truth depends on them otherwise than it did",
        )

    def _label_shift(self, data: Outcomes) -> None:
        """Whether the labels themselves are distributed as in the reference, once nearly all are there: those that come first are not like the rest."""
        name = self.reference.columns.label
        before = None if name is None else self.reference.of_column(name)
        if name is None or before is None or before.count == 0:
            return
        check = Check("drift_score", name, kind=Kind.PERFORMANCE, rows=data.rows)
        after = summarise(self.window.frame[name], self.reference.sorts[name])
        if after is None or data.rows < max(_RIPE_SHARE * len(self.frame), drift.MIN_VALUES):
            reason = f"{data.rows} of {len(self.frame)} rows have a label"
            self._ask(replace(check, verdict=Verdict.TOO_LITTLE_DATA, reason=reason))
            return
        _, value = self._score(name, before, after)
        bins = self.reference.bins(name)
        single = p_values([Counted(bins, bins.counts(after), self.reference.counts(name))])[0]
        text = f"'{name}' itself is distributed otherwise (score {value or 0.0:.3g}): {cause_of(before, after).text}"
        self._ask(
            replace(check, value=value, p_value=min(_LABEL_TESTS * single, 1.0)),
            Severity.INFO,
            "label shift",
            text,
            origin="world",
        )


def _breaks(check: Check, threshold: Threshold) -> bool:
    """Whether a limit is broken: by the whole interval, where there is one."""
    assert check.value is not None
    low = check.lower if check.lower is not None else check.value
    high = check.upper if check.upper is not None else check.value
    return (threshold.upper is not None and low > threshold.upper) or (
        threshold.lower is not None and high < threshold.lower
    )


def _correction_text(by: Measured, limit: float | None) -> str:
    text = f"; {by.value:+.2g} of it by what labels of late say of the estimate"
    if limit is not None and (by.error or 0.0) > 2 * limit:
        text += ", which has varied so much that it is little to be trusted"
    return text


def _performance_text(
    metric: str,
    value: Measured,
    before: Measured,
    lost: float,
    error: float | None,
    margin: float,
    limit: float | None,
    segment: str | None,
) -> str:
    name = metric if segment is None else f"{metric} of {segment}"
    text = (
        f"{name} {value.value:.3g}, reference {before.value:.3g}: {abs(lost):.2g} {'worse' if lost > 0 else 'better'}"
    )
    if error is not None:
        text += f" ({lost - margin * error:.2g} to {lost + margin * error:.2g})"
    if limit is not None:
        text += f", harm is {limit:.2g}"
    return text
