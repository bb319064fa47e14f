"""From the answers of checks to verdicts: the shared false-alarm rate, the user's thresholds, severity and rank.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from monitor.analysis import limits
from monitor.analysis.calibration import family_wise
from monitor.analysis.checks.base import OWN_SHARES, Answer
from monitor.analysis.question import Question
from monitor.analysis.reference import Reference
from monitor.analysis.summary import Numbers
from monitor.analysis.twosample import p_values
from monitor.domain import phrases
from monitor.domain.checks import UNDECIDED, Check, Checks, Finding, Kind, Severity, Threshold, Verdict
from monitor.domain.losses import loss
from monitor.domain.metrics import HIGHER_IS_BETTER, METRICS
from monitor.domain.names import ModelFacts, described, why_not_asked

# How the false-alarm rate is shared: to intervals of performance, with labels and without; and of the rest to drift.
_OF_PERFORMANCE = {True: 0.6, False: 0.1}
_OF_DRIFT = 0.8
# Drift of columns with at least this share of the importance is a warning where performance is unknown.
_HEAVY_DRIFT = 0.5
# The share of a realised loss that faults or the rows' kind explain: from the first value on they are its cause; up to
# the second they explain nothing of it.
_EXPLAINED, _UNEXPLAINED = 0.5, 0.05
# Columns whose faults explain a loss are named from this share of the largest cost on.
_NAMED = 0.1
# The metrics of values that the reference does not have.
_OF_NEW_VALUES = ("new_category_share", "out_of_range_share")
_CHECK_FIELDS = tuple(field.name for field in fields(Check))


def settle(question: Question, answers: Sequence[Answer]) -> tuple[list[Check], list[Finding]]:
    """The checks with their verdicts, and the findings, in the order of the answers."""
    tested = [limited(finding, question.checks) for finding in _tested(question, answers)]
    counted = sum(finding.kind is Kind.QUALITY and finding.p_value is not None for finding in tested)
    rate = question.checks.false_alarm_rate * (1 - _OF_PERFORMANCE[question.tells_performance])
    rate *= 1 - sum(OWN_SHARES[name] for name in {finding.metric for finding in tested} & OWN_SHARES.keys())
    checks: list[Check] = []
    findings: list[Finding] = []
    for finding in tested:
        limit = rate * (_OF_DRIFT if finding.kind is Kind.DRIFT else (1 - _OF_DRIFT) / max(counted, 1))
        fine = finding.verdict is Verdict.FINE
        is_decided = finding.metric in OWN_SHARES
        unlikely = fine and not is_decided and finding.p_value is not None and finding.p_value < limit
        finding = replace(finding, detection_limit=_detection_limit(question.reference, finding, limit))
        if finding.verdict is Verdict.CHANGED or unlikely or (fine and finding.pages):
            finding = replace(finding, verdict=Verdict.CHANGED)
            findings.append(finding)
        checks.append(_as_check(finding))
    if question.checks.asks(Kind.ESTIMATED_PERFORMANCE) and not _performance_is_known(checks):
        findings = _weighted_drift(question, findings)
    return [*checks, *_unchecked_limits(question, {(check.metric, check.column) for check in checks})], findings


def _unchecked_limits(question: Question, checked: set[tuple[str, str | None]]) -> Iterator[Check]:
    """Checks for limits of the user's on columns of a type that the metric is not worked out for. Such a limit can
    never page, so the reason is reported.
    """
    reference = question.reference
    watched = ModelFacts(reference.task, types=described(reference.columns, reference.sorts))
    for name, limit in question.checks.thresholds.items():
        metric = METRICS.get(name)
        if metric is None:  # a metric of the user's own, which has no columns
            continue
        for column in limit.columns if question.checks.asks(metric.kind) and question.rows else ():
            reason = why_not_asked(metric, column, watched)
            if reason and (name, column) not in checked:
                yield Check(name, column, kind=metric.kind, verdict=Verdict.COULD_NOT_CHECK, reason=reason)


def joined(question: Question, checks: list[Check], findings: list[Finding]) -> tuple[list[Check], list[Finding]]:
    """The checks and findings, with those of the joint cost of all faults. findings: with the costs of each."""
    if not question.rows or not question.checks.asks(Kind.QUALITY):
        return checks, findings
    joint = limited(_joint(question, findings), question.checks)
    return [*checks, _as_check(joint)], [*findings, *([joint] if joint.verdict is Verdict.CHANGED else [])]


def _as_check(finding: Finding) -> Check:
    return Check(**{name: getattr(finding, name) for name in _CHECK_FIELDS})


def costs_of_faults(findings: Sequence[Finding]) -> dict[str, float]:
    """What faults of whole columns are likely to cost the model, by column: the largest of each."""
    costs: dict[str, float] = {}
    for finding in findings:
        is_fault = finding.kind is Kind.QUALITY or finding.origin == "pipeline"
        if is_fault and finding.segment is None and finding.column is not None and (finding.cost or 0.0) > 0:
            costs[finding.column] = max(costs.get(finding.column, 0.0), finding.cost or 0.0)
    return costs


def _joint(question: Question, findings: Sequence[Finding]) -> Finding:
    """What all faults of the window together are likely to cost the model: each column's largest, added up, which is a
    bound.
    """
    by_column = costs_of_faults(findings)
    cost, metric = sum(by_column.values()), question.reference.harm_metric
    if metric is not None and metric in HIGHER_IS_BETTER:  # no more can be lost than lies above no answer at all
        cost = min(cost, question.reference.summary.unanswered.get(metric, cost))
    limit = question.harm_limits.get(metric or "")
    beyond = limit is not None and len(by_column) > 1 and cost > limit
    worst = sorted(by_column, key=lambda name: -by_column[name])
    text = phrases.joint_cost(worst, cost, metric or "")
    return Finding(
        "joint_effect",
        value=cost,
        kind=Kind.QUALITY,
        rows=question.rows,
        verdict=Verdict.CHANGED if beyond else Verdict.FINE,
        severity=Severity.WARNING if beyond else Severity.INFO,
        cause="several faults",
        origin="pipeline",
        cost=cost,
        explanation=text,
    )


def with_causes_of_loss(
    question: Question, findings: Sequence[Finding], costs: Mapping[str, float] | None = None
) -> list[Finding]:
    """The findings; those of realised loss get its cause. findings: with the causes of what changed. costs: of faults,
    by column; those of the findings if None.
    """
    metric = question.reference.harm_metric
    lost = next(
        (_lost(question, finding) for finding in findings if finding.metric == metric and _is_of_model(finding)), 0.0
    )
    costs = costs_of_faults(findings) if costs is None else costs
    faults = min(sum(costs.values()) / lost, 1.0) if lost > 0 else 0.0
    most = max(costs.values(), default=0.0)
    worst = [name for name in sorted(costs, key=lambda name: -costs[name]) if costs[name] >= _NAMED * most]
    return [
        _with_cause_of_loss(question, finding, faults, worst) if _is_of_model(finding) else finding
        for finding in findings
    ]


def _is_of_model(finding: Finding) -> bool:
    """Whether it is of the realised performance of the whole model."""
    return finding.kind is Kind.PERFORMANCE and finding.segment is None and finding.column is None


def _lost(question: Question, finding: Finding) -> float:
    """How much worse the model is than it was, by the finding's metric; 0 where it is not, or that is unknown."""
    before = question.reference.baseline.get(finding.metric)
    return (
        0.0 if before is None or finding.value is None else max(loss(finding.metric, before.value, finding.value), 0.0)
    )


def _with_cause_of_loss(question: Question, finding: Finding, faults: float, columns: Sequence[str]) -> Finding:
    """A finding of realised loss with its cause: faults of the data, rows of a harder kind, or other outcomes of the
    same inputs. faults: the share of the loss that they are likely to have cost at most; columns: those that cost most
    of it.
    """
    lost, name, text = _lost(question, finding), f"estimated_{finding.metric}", finding.explanation
    if lost <= 0:
        return finding
    if faults > _UNEXPLAINED:
        limit = question.harm_limits.get(finding.metric)
        rest_is_allowed = faults < _EXPLAINED and limit is not None and (1 - faults) * lost <= limit
        explains = phrases.faults_explain(columns, faults * lost, rest_is_allowed=rest_is_allowed)
        text = phrases.sentences(text, explains)
        if faults >= _EXPLAINED or rest_is_allowed:
            origin = "unknown" if rest_is_allowed else "pipeline"
            return replace(finding, cause="data faults", explanation=text, origin=origin)
    baseline = question.reference.baseline
    if name not in question.foreseen or name not in baseline:
        return replace(finding, explanation=text)
    foreseen = loss(finding.metric, baseline[name].value, question.foreseen[name].value) / lost
    if foreseen >= _EXPLAINED:
        text = phrases.sentences(text, phrases.harder_rows())
        return replace(finding, cause="population shift", explanation=text)
    if faults > _UNEXPLAINED and max(foreseen, 0.0) + faults >= _EXPLAINED:
        text = phrases.sentences(text, phrases.too_little_left())
        return replace(finding, cause="data faults", explanation=text, origin="unknown")
    drift = phrases.concept_drift(None if foreseen <= _UNEXPLAINED else foreseen)
    return replace(finding, cause="concept drift", explanation=phrases.sentences(text, drift))


def _tested(question: Question, answers: Sequence[Answer]) -> list[Finding]:
    """The findings, with p-values of the tests that are made here. All p-values are corrected for their number. Of
    findings with one key, that with the smallest p-value is kept.
    """
    reference = question.reference
    waiting = [answer for answer in answers if answer.counted is not None]
    singles = p_values([answer.counted for answer in waiting if answer.counted is not None])
    smallest: dict[tuple[str, str, str], Finding] = {}
    for answer, single in zip(waiting, singles, strict=True):
        rows = question.rows if answer.null_rows is None else answer.null_rows
        single = reference.overdispersion_adjusted(answer.variation, answer.finding.column, single, rows)
        p_value = family_wise(single, reference.independent_tests(rows))
        key = answer.finding.key
        if key not in smallest or p_value < (smallest[key].p_value or 0.0):
            smallest[key] = replace(answer.finding, p_value=p_value)
    return [*(answer.finding for answer in answers if answer.counted is None), *smallest.values()]


def limited(finding: Finding, checks: Checks) -> Finding:
    """The finding, compared with the user's own limit on its metric."""
    threshold = None if finding.kind is Kind.NO_DATA else checks.threshold(finding.metric, finding.column)
    if threshold is None or finding.value is None or _is_undecided(finding):
        return finding
    held = replace(finding, threshold_lower=threshold.lower, threshold_upper=threshold.upper)
    if not _breaks(finding, threshold):
        return held
    over = threshold.upper is not None and finding.value > threshold.upper
    limit = threshold.upper if over else threshold.lower
    assert limit is not None
    broken = phrases.limit_broken(finding.metric, finding.value, limit, over=over)
    text = phrases.sentences(finding.explanation, broken)
    severity = max(finding.severity, threshold.severity)
    return replace(held, verdict=Verdict.CHANGED, severity=severity, explanation=text)


def severity_by_limit(question: Question, finding: Finding) -> Severity:
    """The severity of a finding by the user's own limit on its metric alone: `info` where it breaks none."""
    limit = question.checks.threshold(finding.metric, finding.column)
    return limit.severity if limit is not None and _breaks(finding, limit) else Severity.INFO


def _is_undecided(check: Check) -> bool:
    """Whether its value cannot be compared with a limit. That of a doubtful estimate can: it has an interval, and a
    limit outside of it is broken.
    """
    return check.verdict in UNDECIDED and (check.lower is None or check.verdict is Verdict.TOO_LITTLE_DATA)


def _breaks(check: Check, threshold: Threshold) -> bool:
    """Whether a limit is broken: by the whole interval, where there is one."""
    assert check.value is not None
    low = check.lower if check.lower is not None else check.value
    high = check.upper if check.upper is not None else check.value
    return (threshold.upper is not None and low > threshold.upper) or (
        threshold.lower is not None and high < threshold.lower
    )


def _detection_limit(reference: Reference, check: Check, limit: float) -> str | None:
    """The smallest change that this check would have noticed, in words. limit: of its p-value."""
    if check.verdict not in (Verdict.FINE, Verdict.CHANGED) or check.rows == 0:
        return None
    if check.metric == "drift_score" and check.column is not None:
        before = reference.of_column(check.column)
        alpha = limit / reference.independent_tests(check.rows)
        arguments = check.rows, reference.rows if before is None else before.count, alpha
        if isinstance(before, Numbers):
            return f"a shift of {limits.shift(*arguments):.2g} standard deviations"
        return f"{limits.share(0.25, *arguments):.1%} more rows of a category that a quarter of the rows have"
    if check.metric == "missing_share" and check.column is not None:
        usual = reference.missing(check.column) / reference.rows
        return f"{limits.share(usual, check.rows, reference.rows, limit):.1%} more missing values"
    of_performance = check.kind in (Kind.PERFORMANCE, Kind.ESTIMATED_PERFORMANCE)
    if of_performance and check.lower is not None and check.value is not None:
        return f"a loss of {check.value - check.lower:.2g}"
    return None


def _performance_is_known(checks: Sequence[Check]) -> bool:
    """Whether this window has a performance, realised or estimated. A doubtful estimate with an interval counts: recent
    labels have come, so realised performance will follow.
    """
    return any(
        check.kind in (Kind.PERFORMANCE, Kind.ESTIMATED_PERFORMANCE) and not _is_undecided(check) for check in checks
    )


def _weighted_drift(question: Question, findings: list[Finding]) -> list[Finding]:
    """Where performance is unknown, drift of columns with half of the importance is a warning."""
    importance = question.reference.importance
    names = [name for name in question.reference.features if name in question.window.frame]
    has_importance = sum(importance.values()) > 0
    weights = {name: importance.get(name, 0.0) for name in names} if has_importance else dict.fromkeys(names, 1.0)
    drifted: dict[str | None, Finding] = {}
    for finding in findings:
        if finding.kind is Kind.DRIFT and finding.segment is None and finding.column in weights:
            # Of several the first, which is of the column's own values: its relations and decimals follow from these.
            drifted.setdefault(finding.column, finding)
    share = sum(weights[name] for name in drifted if name is not None) / (sum(weights.values()) or 1.0)
    if share < _HEAVY_DRIFT:
        return findings
    worst = drifted[max(drifted, key=lambda name: weights[name or ""])]
    text = phrases.sentences(worst.explanation, phrases.unseen_performance(share))
    warned = replace(worst, severity=Severity.WARNING, explanation=text)
    return [warned if finding is worst else finding for finding in findings]


def ranked(reference: Reference, findings: list[Finding]) -> list[Finding]:
    """Worst first: by severity, then by what the change is likely to cost the model.

    Consequences come last: predictions, which follow their features; decimals of columns that drifted; fewer missing
    values of columns with new ones; columns that follow another; and columns whose relation alone broke, but for the
    one that the others follow, or else the one with the strongest evidence. A fault of one column shows in all columns
    that are predicted from it.
    """
    importance = reference.importance
    findings = [_with_cost(importance, finding) for finding in findings]
    features = [finding for finding in findings if finding.column in reference.features]
    own = {finding.column for finding in features if finding.metric != "relation_score"}
    drifted = {finding.column for finding in features if finding.metric == "drift_score"}
    renewed = {finding.column for finding in findings if finding.metric in _OF_NEW_VALUES}
    relations = [
        finding
        for finding in features
        if finding.metric == "relation_score" and finding.follows in (None, finding.column)
    ]
    first = min(relations, key=lambda finding: (finding.p_value, -(finding.value or 0.0)), default=None)
    whole = {finding.column for finding in findings if finding.segment is None}

    def badness(finding: Finding) -> tuple[Any, ...]:
        is_consequence = finding.column in reference.predictions and finding.kind is Kind.DRIFT and bool(features)
        is_consequence = is_consequence or finding.follows not in (None, finding.column)
        if finding.metric == "digits_score":
            is_consequence = is_consequence or finding.column in drifted
        if finding.metric == "missing_share" and not finding.share:
            # There are fewer missing values, since new ones came in their place.
            is_consequence = is_consequence or finding.column in renewed
        if finding.metric == "relation_score":
            # A change of any column's own values explains why relations broke.
            is_consequence = is_consequence or finding is not first or bool(own)
        is_consequence = is_consequence or finding.column == reference.columns.label
        is_consequence = is_consequence or (finding.segment is not None and finding.column in whole)
        # By how far it moved: a few rows that moved far point to the fault better than many rows that follow them.
        moved = importance.get(finding.column or "", 0.0) * min(finding.value or 0.0, 1.0)
        return (
            -finding.severity.rank,
            is_consequence,
            finding.kind is Kind.DRIFT,
            -moved,
            finding.p_value or 0.0,
            finding.key,
        )

    return sorted(findings, key=badness)


def _with_cost(importance: dict[str, float], finding: Finding) -> Finding:
    """A finding of drift with what it is likely to cost the model."""
    if finding.kind is not Kind.DRIFT or finding.column not in importance or finding.cost is not None:
        return finding
    moved = finding.value or 0.0 if finding.share is None else finding.share
    return replace(finding, cost=importance[finding.column] * min(moved, 1.0))
