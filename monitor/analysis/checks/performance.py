"""Performance against the reference's, realised with labels or estimated without them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from scipy.stats import norm

from monitor.analysis.checks.base import Answer, BaseCheck
from monitor.analysis.performance import Measured, Outcomes, loss, measure, too_little
from monitor.analysis.question import Question
from monitor.domain.checks import Finding, Kind, MetricValue, Severity, Verdict

# How wide an interval pages on an estimate that recent labels have corrected, against that of other values.
_OF_CORRECTED = 0.5
# Of a realised loss, the share that the rows' kind explains: from here on it is a population shift; up to there nothing of it was to be expected.
_EXPLAINED, _UNEXPLAINED = 0.5, 0.05


class _Side(NamedTuple):
    """A metric in the window and on the reference."""

    value: Measured
    before: Measured


class _AgainstReference(BaseCheck):
    """A metric of the whole window or of a segment, decided on the interval of the loss, both sides' errors included."""

    def compare(
        self,
        question: Question,
        metric: str,
        sides: _Side,
        rows: int,
        segment: str | None = None,
        corrected: Measured | None = None,
    ) -> Answer:
        """The answer for one metric.

        corrected: by what recent labels have corrected an estimate. Its error holds the doubt of that, which is no chance that comes anew
        with each window: it pages by a narrower interval.
        """
        value, before = sides
        harm = question.harm.get(metric.removeprefix("estimated_"))
        lost = loss(metric, before.value, value.value)
        error = None if value.error is None else float((value.error**2 + (before.error or 0.0) ** 2) ** 0.5)
        lower, upper = interval(question, value)
        limit = None if harm is None else harm.absolute(before.value)
        worse_above = loss(metric, 0.0, 1.0) > 0
        bound = None if limit is None else before.value + (limit if worse_above else -limit)
        severity = Severity.INFO
        if limit is not None and error is not None and lost > limit:
            least = lost - question.margin * error * (1.0 if corrected is None else _OF_CORRECTED)
            severity = Severity.CRITICAL if least > limit else Severity.WARNING if least > 0 else Severity.INFO
        text = _text(metric, sides, lost, error, question.margin, limit, segment)
        cause = "performance"
        if self.kind is Kind.PERFORMANCE and segment is None and lost > 0:
            cause, why = _cause_of_loss(question, metric, lost)
            text += why
        if corrected is not None:
            text += _correction_text(corrected, limit)
        default = question.reference.harm_metric
        return Answer(
            Finding(
                metric, None, segment, value.value, lower, upper,
                kind=self.kind, p_value=_p_value(lost, error), rows=rows,
                threshold_lower=None if worse_above else bound, threshold_upper=bound if worse_above else None,
                severity=severity, cause=cause, explanation=text, cost=lost if metric.removeprefix("estimated_") == default else None,
            )
        )  # fmt: skip


class EstimatedPerformance(_AgainstReference):
    """Performance without labels."""

    name, kind = "estimated_performance", Kind.ESTIMATED_PERFORMANCE

    def asked(self, question: Question) -> bool:
        """Also beside realised performance, where its numbers are shown."""
        asked = question.checks.asks(self.kind) or question.checks.asks(Kind.PERFORMANCE)
        return question.rows > 0 and asked

    def metrics(self, question: Question, answers: list[Answer]) -> Iterator[MetricValue]:
        """Every metric that can be estimated, with its interval."""
        return values_of(question, question.estimate.values)

    def answers(self, question: Question) -> Iterator[Answer]:
        """One a metric of which harm is told."""
        if not question.checks.asks(self.kind):
            return
        baseline, estimate = question.reference.baseline, question.estimate
        for metric in question.harm:
            name = f"estimated_{metric}"
            if name in estimate.values and name in baseline:
                sides = _Side(estimate.values[name], baseline[name])
                yield self.compare(question, name, sides, question.rows, corrected=estimate.corrections.get(name))
            elif question.reference.summary.labelled:
                reason = "there is no estimator of this metric" if name not in baseline else "no row could be estimated"
                yield Answer(Finding(name, kind=self.kind, verdict=Verdict.COULD_NOT_CHECK, reason=reason))


class Performance(_AgainstReference):
    """Performance with labels, of the whole window and of segments."""

    name, kind = "performance", Kind.PERFORMANCE

    def asked(self, question: Question) -> bool:
        """Where there are labels."""
        return question.tells_performance

    def answers(self, question: Question) -> Iterator[Answer]:
        """One a metric of which harm is told, or of which the user has a limit; and these of each segment."""
        yield from self._of(question, question.outcomes, question.realised, question.reference.baseline, None)
        for column, value, rows in question.segments():
            baseline = question.reference.segments.get(column, {}).get(value)
            if baseline and rows.any():
                data = question.outcomes_of(question.window.frame[rows])
                yield from self._of(question, data, measure(data), baseline, f"{column}={value}")

    def metrics(self, question: Question, answers: list[Answer]) -> Iterator[MetricValue]:
        """Every metric of the task, with its interval."""
        yield from values_of(question, question.realised)
        for column, value, rows in question.segments():
            if question.reference.segments.get(column, {}).get(value) and rows.any():
                yield from values_of(
                    question, measure(question.outcomes_of(question.window.frame[rows])), f"{column}={value}"
                )

    def _of(
        self,
        question: Question,
        data: Outcomes,
        values: dict[str, Measured],
        baseline: dict[str, Measured],
        segment: str | None,
    ) -> Iterator[Answer]:
        reason, limits = too_little(data), question.checks.thresholds
        wanted = [*question.harm, *(name for name in limits if name in values and name not in question.harm)]
        for metric in wanted:
            if reason or metric not in values or metric not in baseline:
                yield Answer(
                    Finding(
                        metric, None, segment, values[metric].value if metric in values else None, kind=self.kind, rows=data.rows,
                        verdict=Verdict.TOO_LITTLE_DATA if reason else Verdict.COULD_NOT_CHECK,
                        reason=reason or "it cannot be worked out in this window or on the reference",
                    )
                )  # fmt: skip
            else:
                yield self.compare(question, metric, _Side(values[metric], baseline[metric]), data.rows, segment)


def interval(question: Question, value: Measured) -> tuple[float | None, float | None]:
    """The interval of a value at the confidence on which pages are decided."""
    if value.error is None:
        return None, None
    return value.value - question.margin * value.error, value.value + question.margin * value.error


def values_of(question: Question, values: Mapping[str, Measured], segment: str | None = None) -> Iterator[MetricValue]:
    """Measured values as metric values with their intervals."""
    for name, value in values.items():
        yield MetricValue(name, None, segment, value.value, *interval(question, value))


def _p_value(lost: float, error: float | None) -> float | None:
    """How often a model that is as good as on the reference would show such a difference, either way."""
    if error is None:
        return None
    if error == 0:
        return 1.0 if lost == 0 else 0.0
    return float(2 * norm.sf(abs(lost) / error))


def _cause_of_loss(question: Question, metric: str, lost: float) -> tuple[str, str]:
    """Whether the rows' kind explains a realised loss, as the estimate knows the reference alone, or the same inputs now have other outcomes."""
    name, baseline = f"estimated_{metric}", question.reference.baseline
    if name not in question.foreseen or name not in baseline:
        return "performance", ""
    foreseen = loss(metric, baseline[name].value, question.foreseen[name].value) / lost
    if foreseen >= _EXPLAINED:
        text = "; rows of this kind are harder: that was to be expected of them without their labels"
        return "population shift", text
    share = "none" if foreseen <= _UNEXPLAINED else f"only {foreseen:.0%}"
    text = f"; {share} of it was to be expected of these rows: the truth depends on them otherwise than it did"
    return "concept drift", text


def _correction_text(by: Measured, limit: float | None) -> str:
    text = f"; {by.value:+.2g} of it by what labels of late say of the estimate"
    if limit is not None and (by.error or 0.0) > 2 * limit:
        text += ", which has varied so much that it is little to be trusted"
    return text


def _text(
    metric: str, sides: _Side, lost: float, error: float | None, margin: float, limit: float | None, segment: str | None
) -> str:
    value, before = sides
    name = metric if segment is None else f"{metric} of {segment}"
    direction = "worse" if lost > 0 else "better"
    text = f"{name} {value.value:.3g}, reference {before.value:.3g}: {abs(lost):.2g} {direction}"
    if error is not None:
        text += f" ({lost - margin * error:.2g} to {lost + margin * error:.2g})"
    if limit is not None:
        text += f", harm is {limit:.2g}"
    return text
