"""The search for segments that are worse than the reference expects, among all labelled rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from monitor.analysis.checks.base import OWN_SHARES, Answer, BaseCheck
from monitor.analysis.checks.labels import MOST_UNREADABLE, unreadable_share
from monitor.analysis.performance import measure, outcomes, too_little
from monitor.analysis.question import Question
from monitor.analysis.weak_segments import FEWEST_ROWS, Rule, WeakSegment, rows_of_rule, rule_text, weakest_segment
from monitor.domain import phrases
from monitor.domain.checks import Finding, Kind, Severity, Verdict
from monitor.domain.losses import loss


class WeakSegments(BaseCheck):
    """One segment a window: that with the strongest evidence. It is `changed` where a window like the reference would
    hardly show it, and pages where these rows alone cost the whole model more than the limit of harm.
    """

    name, kind = "weak_segment", Kind.PERFORMANCE

    def applies_to(self, question: Question) -> bool:
        """Where there are labels enough to search, in the reference too, and they can be read."""
        return (
            question.tells_performance
            and (question.checks.weak_segments or self.name in question.checks.thresholds)
            and (question.labelled or 0) >= FEWEST_ROWS
            and unreadable_share(question) <= MOST_UNREADABLE
            and not too_little(question.outcomes)
            and question.reference.task != "ranking"
            and question.reference.expected_loss is not None
        )

    def answers(self, question: Question) -> Iterator[Answer]:
        """One, for the whole window."""
        baseline = question.reference.expected_loss
        window = None if baseline is None else baseline.of_window(question.window.frame)
        if baseline is None or window is None:
            reason = f"fewer than {FEWEST_ROWS} rows have a label and a usable answer"
            verdict = Verdict.TOO_LITTLE_DATA
            yield Answer(Finding(self.name, kind=self.kind, verdict=verdict, rows=question.rows, reason=reason))
            return
        segment = weakest_segment(baseline, window)
        if segment is None:
            yield Answer(Finding(self.name, kind=self.kind, rows=len(window), reason="no segment has rows enough"))
            return
        yield Answer(_finding(question, segment, len(window), window.metric))


def _finding(question: Question, segment: WeakSegment, rows: int, metric: str) -> Finding:
    certain = segment.p_value < OWN_SHARES[WeakSegments.name] * question.checks.false_alarm_rate
    reach = question.margin * (segment.excess.error or 0.0)
    lower, upper = segment.excess.value - reach, segment.excess.value + reach
    rule = rule_text(segment.rule)
    costs = _costs(question, segment.rule) if certain else {}
    beyond = [(cost, name) for name, cost in costs.items() if cost > question.harm_limits[name]]
    texts = [phrases.no_weak_segment(rule)]
    if certain:
        texts = [
            phrases.weak_segment(rule, segment.share, segment.share_of_loss),
            phrases.weak_segment_loss(metric, segment.loss, segment.expected, lower, upper),
            phrases.segment_harms(beyond) if beyond else "",
        ]
    return Finding(
        WeakSegments.name,
        value=segment.excess.value,
        lower=lower,
        upper=upper,
        kind=WeakSegments.kind,
        verdict=Verdict.CHANGED if certain else Verdict.FINE,
        p_value=segment.p_value,
        rows=rows,
        severity=Severity.WARNING if beyond else Severity.INFO,
        cause="weak segment",
        explanation=phrases.sentences(*texts),
        share=segment.share,
        cost=costs.get(question.reference.harm_metric or ""),
    )


def _costs(question: Question, rule: Rule) -> dict[str, float]:
    """By metric with a limit of harm, what a segment's rows cost the whole model: how much better it is without them,
    beyond how much better it was without them on the reference.
    """
    reference = question.reference
    inside = rows_of_rule(rule, question.window.frame)
    inside_before = rows_of_rule(rule, reference.frame)
    without = measure(question.outcomes_of(question.window.frame[~inside]))
    before = measure(
        outcomes(reference.frame[~inside_before], reference.columns, reference.task, reference.summary.classes)
    )
    costs = {}
    for metric in question.harm_limits:
        values = [side.get(metric) for side in (without, question.realised, before, reference.baseline)]
        if all(value is not None and np.isfinite(value.value) for value in values):
            now, whole, usual, baseline = (value.value for value in values if value is not None)
            costs[metric] = loss(metric, now, whole) - loss(metric, usual, baseline)
    return costs
