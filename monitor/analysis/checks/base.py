"""The interface of a check: its name, the kind of alert that it opens, and its answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from monitor.analysis.question import Question
from monitor.analysis.twosample import Counted
from monitor.domain import phrases
from monitor.domain.checks import Finding, Kind, MetricValue, Severity, Verdict

# Below these a change is no fault, however unlikely: a single stray value must not open an alert.
MIN_FAULTY_ROWS = 3
MIN_FAULTY_SHARE = 0.002
MIN_ROWS = 20
# The parts of the false-alarm rate of checks that decide for themselves; all others share the rest (`verdict.settle`).
OWN_SHARES = {"weak_segment": 0.1, "attribution_drift": 0.1}


@dataclass(frozen=True)
class Answer:
    """The answer of a check for one column, for one segment or for the whole window, before all verdicts are decided
    together.

    finding: the check's result as a finding. Its verdict is `changed` where the fact is certain, `fine` where a p-value
        (or none) is to decide.
    counted: a two-sample test that is still to be made, together with all others.
    variation: the metric under which the column's natural variation is stored.
    null_rows: the window size of its null distribution, None: the size of the sample.
    """

    finding: Finding
    counted: Counted | None = None
    variation: str = ""
    null_rows: int | None = None


class BaseCheck(ABC):
    """One check. It gives an answer for each column, each segment or the whole window of a question.

    name: its metric. kind: the kind of its findings and alerts, which decides the kind of run that includes it.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]

    def applies_to(self, question: Question) -> bool:
        """Whether the check runs on this question."""
        return question.rows > 0 and question.checks.asks(self.kind)

    @abstractmethod
    def answers(self, question: Question) -> Iterator[Answer]:
        """One answer for each column or segment."""

    def metrics(self, question: Question, answers: list[Answer]) -> Iterator[MetricValue]:
        """The metric values of the check: one for each answer, unless a subclass differs."""
        for answer in answers:
            finding = answer.finding
            if finding.value is not None:
                yield MetricValue(finding.metric, finding.column, finding.segment, finding.value)


def could_not_check(
    check: BaseCheck,
    column: str | None,
    segment: str | None = None,
    reason: str = "the column is not in the window",
    metric: str | None = None,
) -> Answer:
    """The answer where the check cannot be made. metric: if it is not the check's name."""
    verdict = Verdict.COULD_NOT_CHECK
    return Answer(Finding(metric or check.name, column, segment, kind=check.kind, verdict=verdict, reason=reason))


def too_little_data(check: BaseCheck, column: str | None, rows: int, needed: int) -> Answer:
    """The answer where there are too few values."""
    reason = f"{rows} values; {needed} are needed"
    return Answer(
        Finding(check.name, column, kind=check.kind, rows=rows, verdict=Verdict.TOO_LITTLE_DATA, reason=reason)
    )


def empty_segment(check: BaseCheck, column: str | None, segment: str, metric: str | None = None) -> Answer:
    """The answer for a segment without rows in the window. Nothing can be wrong in it, so its alerts can resolve."""
    reason = "the window has no row of this segment"
    return Answer(Finding(metric or check.name, column, segment, kind=check.kind, reason=reason))


@dataclass(frozen=True)
class Effect:
    """The likely effect of a fault on the model. cost: the loss in units of the default metric, None if unknown.
    severity: what follows from it. beyond: losses above the limit of harm, each with its metric.
    """

    cost: float | None
    severity: Severity
    beyond: tuple[tuple[float, str], ...] = ()

    @property
    def text(self) -> str:
        """The effect in words."""
        return phrases.costs(self.beyond) if self.beyond else ""


def effect(question: Question, column: str | None, share: float) -> Effect:
    """The effect of a fault in a share of a column's rows, by the column's importance."""
    importances = question.reference.summary.importances
    return effect_of(
        question, {metric: share * losses.get(column or "", 0.0) for metric, losses in importances.items()}
    )


def effect_of(question: Question, costs: Mapping[str, float]) -> Effect:
    """The effect of likely losses, by metric: a warning where one exceeds the limit of harm for the default metric or a
    metric of the user.
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
    """The loss, by metric, if the model gives no right answer in a share of the rows."""
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

    p_value: how often a window like the reference would show as much; None where the fact is `certain`.
    share: the share of faulty rows. The effect on the model follows from it, unless `costs` gives the effect by metric.
    """
    verdict = Verdict.TOO_LITTLE_DATA if too_little else Verdict.CHANGED if certain else Verdict.FINE
    likely_effect = effect(question, column, share) if costs is None else effect_of(question, costs)
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
        severity=likely_effect.severity,
        cause=cause,
        explanation=text,
        effect=likely_effect.text,
        share=share,
        origin=origin,
        cost=likely_effect.cost,
    )
    return Answer(finding)
