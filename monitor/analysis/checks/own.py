"""Metrics of the user's own, and the cost of mistakes: with labels, of segments, and estimated without labels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import pandas as pd

from monitor.analysis.checks.base import Answer, could_not_check, empty_segment
from monitor.analysis.checks.labels import MOST_UNREADABLE, unreadable_share, unreadable_text
from monitor.analysis.checks.performance import AgainstReference, Side, interval
from monitor.analysis.own import OwnMetricError, OwnRows, OwnValue, Sides
from monitor.analysis.performance import MIN_LABELLED, Measured, too_little
from monitor.analysis.question import Question
from monitor.domain import phrases
from monitor.domain.checks import Finding, Kind, MetricValue, Verdict
from monitor.domain.own_metrics import COST, COST_EXCESS


@dataclass(frozen=True)
class OwnAnswer(Answer):
    """An answer with how much more the value is than the reference leads to expect."""

    excess: Measured | None = None


class _Part(NamedTuple):
    """The window or a segment of it. whole: how many rows of the whole window it stands for. before: its rows of the
    reference.
    """

    segment: str | None
    frame: pd.DataFrame
    whole: float
    before: pd.DataFrame


class _OfOwnMetrics(AgainstReference):
    """The answers for each metric that the user has defined, and the numbers of all of them."""

    prefix: ClassVar[str] = ""

    def applies_to(self, question: Question) -> bool:
        """Where the user has defined metrics."""
        return super().applies_to(question) and bool(question.checks.named.own)

    def answers(self, question: Question) -> Iterator[Answer]:
        """One for each metric of the user's own, of the window and of each segment."""
        if not question.reference.summary.labelled:
            parts: list[_Part] = []
        else:
            parts = [_Part(None, question.window.frame, float(question.counts.rows), question.reference.frame)]
            parts += _segments(question)
        for metric in question.checks.own_metrics(question.reference.task):
            name = f"{self.prefix}{metric.name}"
            if not parts:
                yield could_not_check(self, None, None, "the reference has no labels", name)
            own = OwnValue(metric, question.reference)
            for part in parts:
                yield self._answer(question, own, part)

    def metrics(self, question: Question, answers: list[Answer]) -> Iterator[MetricValue]:
        """Every metric with its interval; of `cost` how much more it is than on the reference, too."""
        for answer in answers:
            finding = answer.finding
            if finding.value is not None:
                yield MetricValue(finding.metric, None, finding.segment, finding.value, finding.lower, finding.upper)
            if isinstance(answer, OwnAnswer) and answer.excess and finding.metric == f"{self.prefix}{COST}":
                name, value = f"{self.prefix}{COST_EXCESS}", answer.excess
                yield MetricValue(name, None, finding.segment, value.value, *interval(question, name, value))

    def _answer(self, question: Question, own: OwnValue, part: _Part) -> Answer:
        name = f"{self.prefix}{own.metric.name}"
        if part.frame.empty:
            return empty_segment(self, None, part.segment or "", name)
        if reason := self._refused(question):
            return could_not_check(self, None, part.segment, reason, name)
        if reason := self._too_little(question, part.frame):
            verdict, rows = Verdict.TOO_LITTLE_DATA, len(part.frame)
            return Answer(Finding(name, None, part.segment, kind=self.kind, verdict=verdict, rows=rows, reason=reason))
        try:
            sides, rows = self._sides(question, own, part)
            source = own.source
        except OwnMetricError as error:
            return could_not_check(self, None, part.segment, str(error), name)
        return self._compared(question, name, Side(sides.value, sides.before), rows, part.segment, source)

    def _compared(
        self, question: Question, name: str, sides: Side, rows: int, segment: str | None, source: str
    ) -> OwnAnswer:
        finding = self.compare(question, name, sides, rows, segment).finding
        is_wanted = name in question.checks.thresholds or name.removeprefix("estimated_") in question.harm
        texts = [finding.explanation, phrases.function_version(source)]
        # Without a limit it is shown, and never `changed`.
        finding = replace(
            finding, p_value=finding.p_value if is_wanted else None, explanation=phrases.sentences(*texts)
        )
        excess = Measured(sides.value.value - sides.before.value, _error_of_difference(sides))
        return OwnAnswer(finding, excess=excess)

    def _refused(self, question: Question) -> str:
        """Why nothing can be said of these rows; '' if something can."""
        return ""

    @abstractmethod
    def _sides(self, question: Question, own: OwnValue, part: _Part) -> tuple[Sides, int]:
        """The metric in the window and on the reference, and of how many rows it is."""

    @abstractmethod
    def _too_little(self, question: Question, frame: pd.DataFrame) -> str:
        """Why the rows are too few; '' if they are enough."""


class OwnMetrics(_OfOwnMetrics):
    """Metrics of the user's own with labels."""

    name, kind = "own_metrics", Kind.PERFORMANCE

    def applies_to(self, question: Question) -> bool:
        """Where there are labels, and the user has defined metrics."""
        return question.tells_performance and super().applies_to(question)

    def _refused(self, question: Question) -> str:
        return unreadable_text(question) if unreadable_share(question) > MOST_UNREADABLE else ""

    def _sides(self, question: Question, own: OwnValue, part: _Part) -> tuple[Sides, int]:
        rows = OwnRows.of(part.frame, question.reference, labelled=True)
        return own.realised(rows, part.whole, _of_reference(question, part.before)), len(rows.frame)

    def _too_little(self, question: Question, frame: pd.DataFrame) -> str:
        return too_little(question.outcomes_of(frame))


class EstimatedOwnMetrics(_OfOwnMetrics):
    """Metrics of the user's own, estimated without labels."""

    name, kind, prefix = "estimated_own_metrics", Kind.ESTIMATED_PERFORMANCE, "estimated_"

    def _refused(self, question: Question) -> str:
        return question.out_of_reach

    def _sides(self, question: Question, own: OwnValue, part: _Part) -> tuple[Sides, int]:
        estimator, reference = question.reference.estimator, question.reference
        usable = part.frame[estimator.is_usable(part.frame)]
        rows = OwnRows.of(usable, reference, labelled=False)
        before = _of_reference(question, part.before[estimator.is_usable(part.before)])
        return own.estimated(rows, part.whole, before), len(rows.frame)

    def _too_little(self, question: Question, frame: pd.DataFrame) -> str:
        return question.reference.estimator.too_little(frame)


def money_texts(question: Question, answers: Sequence[Answer]) -> dict[Kind, str]:
    """By kind, what the model's mistakes cost more in this window than on the reference, in words."""
    cost, texts = question.checks.cost, {}
    for answer in answers:
        if isinstance(answer, OwnAnswer) and answer.excess and answer.finding.segment is None:
            finding, excess = answer.finding, answer.excess
            if cost is not None and finding.metric.removeprefix("estimated_") == COST:
                limits = interval(question, COST_EXCESS, excess)
                texts[finding.kind] = phrases.money_of_window(excess.value, limits, cost.currency)
    return texts


def with_money(question: Question, findings: Sequence[Finding], answers: Sequence[Answer]) -> list[Finding]:
    """The findings; those of the whole model's performance say what it costs in money."""
    texts = money_texts(question, answers)
    return [
        replace(finding, explanation=phrases.sentences(finding.explanation, texts[finding.kind]))
        if finding.kind in texts and finding.segment is None and finding.column is None
        else finding
        for finding in findings
    ]


def _of_reference(question: Question, frame: pd.DataFrame) -> OwnRows:
    rows = OwnRows.of(frame, question.reference, labelled=True)
    if len(rows.frame) < MIN_LABELLED:
        raise OwnMetricError("the reference has too few labels to compare it with")
    return rows


def _segments(question: Question) -> list[_Part]:
    """The segments whose column is in the window."""
    parts = []
    for segment in question.segments:
        rows = segment.rows_of(question.window.frame)
        if rows is not None:
            whole = question.counts.rows * len(rows) / max(question.rows, 1)
            parts.append(_Part(segment.name, rows, whole, question.reference.rows_of_segment(*segment.key)))
    return parts


def _error_of_difference(sides: Side) -> float:
    return float(((sides.value.error or 0.0) ** 2 + (sides.before.error or 0.0) ** 2) ** 0.5)
