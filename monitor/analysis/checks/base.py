"""The face of a check: what it is called, which kind of alert it opens, and how it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from monitor.analysis.question import Question
from monitor.analysis.twosample import Counted
from monitor.domain import phrases
from monitor.domain.checks import Finding, Kind, MetricValue, Severity, Verdict

# Below these a change is no fault, however unlikely: a single stray value must not ring.
MIN_FAULTY_ROWS = 3
MIN_FAULTY_SHARE = 0.002
MIN_ROWS = 20


@dataclass(frozen=True)
class Answer:
    """What a check says of one column, segment or of the whole window, before verdicts are settled together.

    finding: the check with what it would be as a finding. Its verdict is `changed` where the fact speaks for itself;
        `fine` where a
    p-value (or none) is to decide. counted: a two-sample test that is still to be made, together with all others.
    variation: the metric by which the column's natural variation is known; null_rows: the window size of its null
        distribution, None: of the sample.
    """

    finding: Finding
    counted: Counted | None = None
    variation: str = ""
    null_rows: int | None = None


class BaseCheck(ABC):
    """One check. It looks at a question and answers for each column, segment or the window that it is asked of.

    name: the metric that it gives. kind: the kind of finding and alert, and so which kind of run asks it.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]

    def asked(self, question: Question) -> bool:
        """Whether the question is one for this check."""
        return question.rows > 0 and question.checks.asks(self.kind)

    @abstractmethod
    def answers(self, question: Question) -> Iterator[Answer]:
        """What it says, one answer a column or segment."""

    def metrics(self, question: Question, answers: list[Answer]) -> Iterator[MetricValue]:
        """The numbers that it gives: one each answer, unless it is said otherwise."""
        for answer in answers:
            each = answer.finding
            if each.value is not None:
                yield MetricValue(each.metric, each.column, each.segment, each.value)


def could_not_check(
    check: BaseCheck,
    column: str | None,
    segment: str | None = None,
    reason: str = "the column is not in the window",
    metric: str | None = None,
) -> Answer:
    """The answer where the window does not say. metric: where it is not the check's name."""
    verdict = Verdict.COULD_NOT_CHECK
    return Answer(Finding(metric or check.name, column, segment, kind=check.kind, verdict=verdict, reason=reason))


def too_little_data(check: BaseCheck, column: str | None, rows: int, needed: int) -> Answer:
    """The answer where there are too few values."""
    reason = f"{rows} values; {needed} are needed"
    return Answer(
        Finding(check.name, column, kind=check.kind, rows=rows, verdict=Verdict.TOO_LITTLE_DATA, reason=reason)
    )


def empty_segment(check: BaseCheck, column: str | None, segment: str, metric: str | None = None) -> Answer:
    """The answer for a segment of which the window has no row: nothing can be wrong in it, and what opened an alert
    there can end.
    """
    reason = "the window has no row of this segment"
    return Answer(Finding(metric or check.name, column, segment, kind=check.kind, reason=reason))


@dataclass(frozen=True)
class Effect:
    """What a fault is likely to cost the model, in units of its default metric (None: nobody knows), and what follows
    from it.
    """

    cost: float | None
    severity: Severity
    beyond: tuple[tuple[float, str], ...] = ()

    @property
    def text(self) -> str:
        """In words."""
        return phrases.costs(self.beyond) if self.beyond else ""


def effect(question: Question, column: str | None, share: float) -> Effect:
    """The effect of a fault in a share of a column's rows, by the column's importance."""
    importance = question.reference.summary.importances
    return effect_of(question, {name: share * each.get(column or "", 0.0) for name, each in importance.items()})


def effect_of(question: Question, costs: Mapping[str, float]) -> Effect:
    """What follows from likely losses, by metric: a warning where one of the default metric or of the user's exceeds
    the harm.
    """
    limits, default = question.harm_limits, question.reference.harm_metric
    if default is None or not limits:
        return Effect(None, Severity.INFO)
    beyond = tuple((costs[name], name) for name, limit in limits.items() if costs.get(name, 0.0) > limit)
    cost = costs.get(default, 0.0)
    if not beyond:
        return Effect(cost, Severity.INFO)
    return Effect(cost, Severity.WARNING, beyond)


def unanswered_cost(question: Question, share: float) -> dict[str, float]:
    """What it costs, by metric, that a share of the rows has no right answer of the model's."""
    return {metric: share * lost for metric, lost in question.reference.summary.unanswered.items()}


def fault(
    question: Question,
    metric: str,
    column: str | None,
    value: float,
    rows: int,
    cause: str,
    text: str,
    *,
    p_value: float | None = None,
    certain: bool = False,
    share: float = 0.0,
    too_little: str = "",
    segment: str | None = None,
    origin: str = "pipeline",
    costs: Mapping[str, float] | None = None,
) -> Answer:
    """A quality metric of a column (None: the whole window) as an answer.

    p_value: how often a window like the reference would show as much; None where the fact speaks for itself
        (`certain`).
    share: the share of rows that are faulty, by which the effect on the model is told, unless `costs` names it by
        metric.
    """
    verdict = Verdict.TOO_LITTLE_DATA if too_little else Verdict.CHANGED if certain else Verdict.FINE
    found = effect(question, column, share) if costs is None else effect_of(question, costs)
    finding = Finding(
        metric=metric,
        column=column,
        segment=segment,
        value=value,
        kind=Kind.QUALITY,
        verdict=verdict,
        p_value=p_value,
        rows=rows,
        reason=too_little,
        severity=found.severity,
        cause=cause,
        explanation=text,
        effect=found.text,
        share=share,
        origin=origin,
        cost=found.cost,
    )
    return Answer(finding)
