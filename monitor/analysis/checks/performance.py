"""Performance compared with the reference's, realised with labels or estimated without them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from scipy.stats import norm

from monitor.analysis.checks.base import Answer, BaseCheck, could_not_check, empty_segment
from monitor.analysis.checks.labels import MOST_UNREADABLE, unreadable_share, unreadable_text
from monitor.analysis.performance import REALISED, Measured, Outcomes, bounds, too_little
from monitor.analysis.question import Question
from monitor.domain import phrases
from monitor.domain.checks import Finding, Kind, MetricValue, Severity, Verdict
from monitor.domain.losses import REACH_OF_CORRECTED, harm_limits, loss, severity_of_loss

# A correction whose error exceeds this multiple of the harm cannot show harm.
_DOUBTFUL = 2


class Side(NamedTuple):
    """A metric in the window and on the reference."""

    value: Measured
    before: Measured


class AgainstReference(BaseCheck):
    """A metric of the whole window or of a segment. The interval of the loss decides, with the errors of both sides."""

    def compare(
        self,
        question: Question,
        metric: str,
        sides: Side,
        rows: int,
        segment: str | None = None,
        correction: Measured | None = None,
    ) -> Answer:
        """The answer for one metric.

        correction: how recent labels have corrected an estimate. The estimate's error includes the uncertainty of the
            correction, which is not a new chance in each window. So a narrower interval decides on pages.
        """
        value, before = sides
        harm = question.harm.get(metric.removeprefix("estimated_"))
        upwards = question.checks.higher_is_better(metric)
        lost = loss(metric, before.value, value.value, higher_is_better=upwards)
        error = None if value.error is None else float((value.error**2 + (before.error or 0.0) ** 2) ** 0.5)
        lower, upper = interval(question, metric, value)
        limit = None if harm is None else harm.absolute(before.value)
        lowest, highest = (
            (None, None) if limit is None else harm_limits(metric, before.value, limit, higher_is_better=upwards)
        )
        severity = Severity.INFO
        if limit is not None and error is not None:
            reach = question.margin * error * (1.0 if correction is None else REACH_OF_CORRECTED)
            severity = severity_of_loss(lost, reach, limit)
        text = _text(metric, sides, lost, error, question.margin, limit, segment)
        default = question.reference.harm_metric
        finding = Finding(
            metric,
            None,
            segment,
            value.value,
            lower,
            upper,
            kind=self.kind,
            p_value=_p_value(lost, error),
            rows=rows,
            threshold_lower=lowest,
            threshold_upper=highest,
            severity=severity,
            cause="performance",
            explanation=text,
            cost=lost if metric.removeprefix("estimated_") == default else None,
        )
        return Answer(finding if correction is None else _with_correction(finding, correction, limit, question.margin))


class EstimatedPerformance(AgainstReference):
    """Performance without labels."""

    name, kind = "estimated_performance", Kind.ESTIMATED_PERFORMANCE

    def applies_to(self, question: Question) -> bool:
        """Also together with realised performance, since its numbers are shown."""
        is_wanted = question.checks.asks(self.kind) or question.checks.asks(Kind.PERFORMANCE)
        return question.rows > 0 and is_wanted

    def metrics(self, question: Question, answers: list[Answer]) -> Iterator[MetricValue]:
        """Every metric that can be estimated, with its interval."""
        return values_of(question, question.estimate.values)

    def answers(self, question: Question) -> Iterator[Answer]:
        """One for each metric with a limit of harm, or with a limit of the user on its estimate."""
        if not question.checks.asks(self.kind) or not question.reference.summary.labelled:
            return
        baseline, estimate = question.reference.baseline, question.estimate
        harmed = [f"estimated_{metric}" for metric in question.harm]
        for name in dict.fromkeys([*harmed, *(metric for metric in question.checks.thresholds if metric in baseline)]):
            if not name.startswith("estimated_") or question.checks.is_own(name):
                continue
            if name not in baseline:
                yield could_not_check(self, None, reason="there is no estimator of this metric", metric=name)
            elif estimate.too_little:
                reason, verdict = estimate.too_little, Verdict.TOO_LITTLE_DATA
                yield Answer(Finding(name, kind=self.kind, verdict=verdict, rows=question.rows, reason=reason))
            elif name not in estimate.values:
                yield could_not_check(self, None, reason="it cannot be estimated: all scores are equal", metric=name)
            else:
                sides = Side(estimate.values[name], baseline[name])
                answer = self.compare(question, name, sides, question.rows, correction=estimate.corrections.get(name))
                yield _within_reach(question, answer)


class Performance(AgainstReference):
    """Performance with labels, of the whole window and of segments."""

    name, kind = "performance", Kind.PERFORMANCE

    def applies_to(self, question: Question) -> bool:
        """Where there are labels."""
        return question.tells_performance

    def answers(self, question: Question) -> Iterator[Answer]:
        """One for each metric with a limit of harm or of the user; the same for each segment."""
        yield from self._metric_answers(
            question, question.outcomes, question.realised, question.reference.baseline, None
        )
        for segment in question.segments:
            baseline = question.reference.segments.get(segment.column, {}).get(segment.value)
            rows = segment.rows_of(question.window.frame)
            if not baseline:
                continue
            if segment.name in question.realised_in_segments:
                yield from self._metric_answers(
                    question, *question.realised_in_segments[segment.name], baseline, segment.name
                )
                continue
            for metric in self._wanted_metrics(question):
                if rows is None:
                    reason = "the segment's column is not in the window"
                    yield could_not_check(self, None, segment.name, reason, metric)
                else:
                    yield empty_segment(self, None, segment.name, metric)

    def metrics(self, question: Question, answers: list[Answer]) -> Iterator[MetricValue]:
        """Every metric of the task, with its interval."""
        yield from values_of(question, question.realised)
        for name, (_, values) in question.realised_in_segments.items():
            yield from values_of(question, values, name)
        for name, values in question.realised_by_horizon.items():
            yield from values_of(question, values, name)

    @staticmethod
    def _wanted_metrics(question: Question) -> list[str]:
        """The metrics with a limit of harm, and those with a limit of the user."""
        task_metrics = REALISED[question.reference.task]
        return list(
            dict.fromkeys(
                [
                    *(name for name in question.harm if not question.checks.is_own(name)),
                    *(name for name in question.checks.thresholds if name in task_metrics),
                ]
            )
        )

    def _metric_answers(
        self,
        question: Question,
        data: Outcomes,
        values: dict[str, Measured],
        baseline: dict[str, Measured],
        segment: str | None,
    ) -> Iterator[Answer]:
        listed = question.listed
        reason = too_little(data) if listed is None or segment is not None else listed.too_little
        unreadable = unreadable_share(question) > MOST_UNREADABLE
        for metric in self._wanted_metrics(question):
            value = values.get(metric)
            if unreadable:
                yield could_not_check(self, None, segment, unreadable_text(question), metric)
            elif reason or value is None:
                yield Answer(
                    Finding(
                        metric,
                        None,
                        segment,
                        None if value is None else value.value,
                        kind=self.kind,
                        rows=data.rows,
                        verdict=Verdict.TOO_LITTLE_DATA if reason else Verdict.COULD_NOT_CHECK,
                        reason=reason or "it cannot be worked out in this window",
                    )
                )
            elif metric not in baseline:
                # There is nothing to compare it with, but a limit of the user still applies.
                text = phrases.no_reference(metric, value.value)
                limits = interval(question, metric, value)
                yield Answer(
                    Finding(
                        metric,
                        None,
                        segment,
                        value.value,
                        *limits,
                        kind=self.kind,
                        rows=data.rows,
                        cause="performance",
                        explanation=text,
                    )
                )
            else:
                yield self.compare(question, metric, Side(value, baseline[metric]), data.rows, segment)


def interval(question: Question, metric: str, value: Measured) -> tuple[float | None, float | None]:
    """The interval of a metric at the confidence that decides on pages, within the metric's own bounds."""
    if value.error is None:
        return None, None
    least, most = bounds(metric)
    return max(value.value - question.margin * value.error, least), min(
        value.value + question.margin * value.error, most
    )


def values_of(question: Question, values: Mapping[str, Measured], segment: str | None = None) -> Iterator[MetricValue]:
    """Measured values as metric values with their intervals."""
    for name, value in values.items():
        yield MetricValue(name, None, segment, value.value, *interval(question, name, value))


def _with_correction(finding: Finding, correction: Measured, limit: float | None, margin: float) -> Finding:
    """The finding of an estimate with its correction in words. `could_not_check` where the correction's error is too
    large to see harm and the finding pages nobody.
    """
    error = correction.error or 0.0
    doubtful = limit is not None and error > _DOUBTFUL * limit
    text = phrases.sentences(finding.explanation, phrases.corrected(correction.value, doubtful=doubtful))
    finding = replace(finding, explanation=text)
    if limit is None or not doubtful or finding.severity is not Severity.INFO:
        return finding
    reason = phrases.doubtful_estimate(margin * error, limit)
    return replace(finding, verdict=Verdict.COULD_NOT_CHECK, reason=reason)


def _within_reach(question: Question, answer: Answer) -> Answer:
    """The answer of an estimate. `could_not_check` where the reference cannot say how good such predictions are and the
    answer pages nobody, so that it is not taken for healthy.
    """
    if not question.out_of_reach or answer.finding.severity is not Severity.INFO:
        return answer
    return Answer(replace(answer.finding, verdict=Verdict.COULD_NOT_CHECK, reason=question.out_of_reach))


def _p_value(lost: float, error: float | None) -> float | None:
    """How often a model as good as on the reference would show such a difference, in either direction."""
    if error is None:
        return None
    if error == 0:
        return 1.0 if lost == 0 else 0.0
    return float(2 * norm.sf(abs(lost) / error))


def _text(
    metric: str, sides: Side, lost: float, error: float | None, margin: float, limit: float | None, segment: str | None
) -> str:
    text = phrases.performance(metric, segment, sides.value.value, sides.before.value)
    if error is None:
        return phrases.sentences(f"{text}{phrases.allowed(limit)}")
    return phrases.sentences(text, phrases.uncertainty(lost - margin * error, lost + margin * error, limit))
