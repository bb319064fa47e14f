"""`evaluate`: a reference and a window in, an evaluation out. Pure: no database, no clock, no network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import pandas as pd

from monitor.analysis.checks import REGISTRY
from monitor.analysis.checks.own import with_money
from monitor.analysis.diagnosis import explained
from monitor.analysis.evaluation import Evaluation
from monitor.analysis.figures import figures_of
from monitor.analysis.listed_labels import LabelLists
from monitor.analysis.natural import without_natural
from monitor.analysis.question import Question
from monitor.analysis.reference import Reference
from monitor.analysis.repair import with_repairs
from monitor.analysis.schema import tidy, utc_times
from monitor.analysis.verdict import joined, ranked, settle, with_causes_of_loss
from monitor.domain import phrases
from monitor.domain.checks import Checks, MetricValue, WindowCounts
from monitor.domain.names import check_names
from monitor.domain.run_identity import RunIdentity
from monitor.errors import UsageError


def evaluate(
    reference: Reference,
    frame: pd.DataFrame,
    recent: pd.DataFrame | None = None,
    window: tuple[datetime, datetime] | None = None,
    counts: WindowCounts | None = None,
    checks: Checks | None = None,
    recent_counts: Sequence[int] | None = None,
    costs_of_faults: Callable[[], Mapping[str, float]] | None = None,
    lists: LabelLists | None = None,
) -> Evaluation:
    """Run every check on a window.

    frame: the window's rows (or a sample of them), one row a prediction. Labels are used if the label column is there.
    recent: labelled rows whose labels were known then. They refresh the estimator of performance without labels.
    window: its start and end. Rows outside are left out.
    counts: exact counts of the whole window, taken from the frame if not given.
    recent_counts: rows of earlier windows at the same calendar position (the same weekday and hour, say), oldest first.
        Without them a fall in traffic cannot be checked.
    costs_of_faults: called only if somebody is to be notified. Returns by column what data faults of the window are
        likely to have cost the model, where these rows do not show it. The cause of a loss is derived from these costs.
    lists: how rows were drawn whose labels were asked for. Realised performance is then that of these labels, each with
        the weight of its row. Not together with `window`.

    Raises DataError where rows are there but have neither prediction nor probability, UsageError for checks whose names
    can never page with this reference.
    """
    frame = tidy(frame, reference.columns)
    checks = checks or Checks()
    check_names(checks, reference.task, reference.columns, reference.sorts)
    if window is not None:
        frame = _inside(frame, reference, window)
    question = Question.of(reference, frame, recent, counts or count(frame, reference), recent_counts, checks, lists)
    metrics, answers = [MetricValue("row_count", value=float(question.counts.rows))], []
    for check in REGISTRY:
        if check.applies_to(question):
            check_answers = list(check.answers(question))
            metrics += check.metrics(question, check_answers)
            answers += check_answers
    settled, findings = settle(question, answers)
    findings, causes = explained(question, findings)
    findings = without_natural(question, with_repairs(question, findings, causes))
    settled, findings = joined(question, settled, findings)
    findings = ranked(reference, findings)
    costs = None
    if costs_of_faults is not None and any(finding.pages for finding in findings):
        costs = costs_of_faults()
    findings = with_causes_of_loss(question, findings, costs)
    findings = with_money(question, findings, answers)
    return Evaluation(
        metrics,
        settled,
        [replace(finding, explanation=phrases.sentences(finding.explanation, finding.effect)) for finding in findings],
        question.counts,
        reference.version,
        question.labelled,
        figures_of(question) if question.rows else None,
        reference.sorts,
        RunIdentity(window=window),
    )


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
    start, end = (pd.Timestamp(time) for time in window)
    start, end = (time.tz_localize("UTC") if time.tzinfo is None else time for time in (start, end))
    return frame[(times >= start) & (times < end)]
