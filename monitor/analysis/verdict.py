"""From what checks answered to verdicts: the false-alarm rate shared, thresholds of the user's, severity and rank.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from monitor.analysis import limits
from monitor.analysis.calibration import family_wise
from monitor.analysis.checks.base import Answer
from monitor.analysis.performance import HIGHER_IS_BETTER, loss
from monitor.analysis.question import Question
from monitor.analysis.reference import Reference
from monitor.analysis.summary import Numbers
from monitor.analysis.twosample import p_values
from monitor.domain import phrases
from monitor.domain.checks import UNDECIDED, Check, Checks, Finding, Kind, Severity, Threshold, Verdict
from monitor.domain.metrics import METRICS
from monitor.domain.names import ModelFacts, described, why_not_asked

# How the false-alarm rate is shared: to intervals of performance, with labels and without; and of the rest to drift.
_OF_PERFORMANCE = {True: 0.6, False: 0.1}
_OF_DRIFT = 0.8
# Drift of columns that carry so much of the importance is a warning where performance is out of sight.
_HEAVY_DRIFT = 0.5
# Of a realised loss, the share that faults or the rows' kind explain: from here on they are its cause; up to there
# nothing of it was to be expected.
_EXPLAINED, _UNEXPLAINED = 0.5, 0.05
# Columns whose faults explain a loss are named from this share of the largest cost on.
_NAMED = 0.1
_CHECK_FIELDS = tuple(each.name for each in fields(Check))


def settle(question: Question, answers: Sequence[Answer]) -> tuple[list[Check], list[Finding]]:
    """The checks with their verdicts, and the findings, in the order of the answers."""
    tested = [limited(each, question.checks) for each in _tested(question, answers)]
    counted = sum(each.kind is Kind.QUALITY and each.p_value is not None for each in tested)
    rate = question.checks.false_alarm_rate * (1 - _OF_PERFORMANCE[question.tells_performance])
    checks: list[Check] = []
    findings: list[Finding] = []
    for each in tested:
        limit = rate * (_OF_DRIFT if each.kind is Kind.DRIFT else (1 - _OF_DRIFT) / max(counted, 1))
        fine = each.verdict is Verdict.FINE
        unlikely = fine and each.p_value is not None and each.p_value < limit
        each = replace(each, detection_limit=_detection_limit(question.reference, each, limit))
        if each.verdict is Verdict.CHANGED or unlikely or (fine and each.pages):
            each = replace(each, verdict=Verdict.CHANGED)
            findings.append(each)
        checks.append(_as_check(each))
    if question.checks.asks(Kind.ESTIMATED_PERFORMANCE) and not _performance_is_known(checks):
        findings = _weighted_drift(question, findings)
    return [*checks, *_not_asked(question, {(each.metric, each.column) for each in checks})], findings


def _not_asked(question: Question, asked: set[tuple[str, str | None]]) -> Iterator[Check]:
    """Limits of the user's for columns of a type that the metric is not worked out for: they can never page, so it is
    said.
    """
    reference = question.reference
    watched = ModelFacts(reference.task, types=described(reference.columns, reference.sorts))
    for name, limit in question.checks.thresholds.items():
        metric = METRICS[name]
        for column in limit.columns if question.checks.asks(metric.kind) and question.rows else ():
            reason = why_not_asked(metric, column, watched)
            if reason and (name, column) not in asked:
                yield Check(name, column, kind=metric.kind, verdict=Verdict.COULD_NOT_CHECK, reason=reason)


def joined(question: Question, checks: list[Check], findings: list[Finding]) -> tuple[list[Check], list[Finding]]:
    """Both, with what all faults cost together. findings: with the costs of each."""
    if not question.rows or not question.checks.asks(Kind.QUALITY):
        return checks, findings
    joint = limited(_joint(question, findings), question.checks)
    return [*checks, _as_check(joint)], [*findings, *([joint] if joint.verdict is Verdict.CHANGED else [])]


def _as_check(finding: Finding) -> Check:
    return Check(**{name: getattr(finding, name) for name in _CHECK_FIELDS})


def costs_of_faults(findings: Sequence[Finding]) -> dict[str, float]:
    """What faults of whole columns are likely to cost the model, by column: the largest of each."""
    found: dict[str, float] = {}
    for each in findings:
        is_fault = each.kind is Kind.QUALITY or each.origin == "pipeline"
        if is_fault and each.segment is None and each.column is not None and (each.cost or 0.0) > 0:
            found[each.column] = max(found.get(each.column, 0.0), each.cost or 0.0)
    return found


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
    """The findings, those of realised loss with what it comes from. findings: with the causes of what changed. costs:
    of faults, by column; those of the findings if None.
    """
    metric = question.reference.harm_metric
    lost = next((_lost(question, each) for each in findings if each.metric == metric and _is_of_model(each)), 0.0)
    costs = costs_of_faults(findings) if costs is None else costs
    faults = min(sum(costs.values()) / lost, 1.0) if lost > 0 else 0.0
    most = max(costs.values(), default=0.0)
    worst = [name for name in sorted(costs, key=lambda name: -costs[name]) if costs[name] >= _NAMED * most]
    return [_with_cause_of_loss(question, each, faults, worst) if _is_of_model(each) else each for each in findings]


def _is_of_model(finding: Finding) -> bool:
    """Whether it is of the realised performance of the whole model."""
    return finding.kind is Kind.PERFORMANCE and finding.segment is None and finding.column is None


def _lost(question: Question, finding: Finding) -> float:
    """How much worse the model is than it was, by the finding's metric; 0 where it is not, or nobody knows."""
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
    """The findings with p-values of the tests that were still to be made, all of them corrected for their number; the
    smallest stands for those of one key.
    """
    reference = question.reference
    waiting = [each for each in answers if each.counted is not None]
    singles = p_values([each.counted for each in waiting if each.counted is not None])
    smallest: dict[tuple[str, str, str], Finding] = {}
    for answer, single in zip(waiting, singles, strict=True):
        rows = question.rows if answer.null_rows is None else answer.null_rows
        single = reference.overdispersion_adjusted(answer.variation, answer.finding.column, single, rows)
        p_value = family_wise(single, reference.independent_tests(rows))
        key = answer.finding.key
        if key not in smallest or p_value < (smallest[key].p_value or 0.0):
            smallest[key] = replace(answer.finding, p_value=p_value)
    return [*(each.finding for each in answers if each.counted is None), *smallest.values()]


def limited(finding: Finding, checks: Checks) -> Finding:
    """The finding held against the user's own limit on its metric."""
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
    """What a finding is by the user's own limit on its metric alone: `info` where it breaks none."""
    limit = question.checks.threshold(finding.metric, finding.column)
    return limit.severity if limit is not None and _breaks(finding, limit) else Severity.INFO


def _is_undecided(check: Check) -> bool:
    """Whether its value tells nothing. That of a doubtful estimate does: it has an interval, and a limit outside of
    that is broken all the same.
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
        known = check.rows, reference.rows if before is None else before.count, alpha
        if isinstance(before, Numbers):
            return f"a shift of {limits.shift(*known):.2g} standard deviations"
        return f"{limits.share(0.25, *known):.1%} more rows of a category that a quarter of the rows have"
    if check.metric == "missing_share" and check.column is not None:
        usual = reference.missing(check.column) / reference.rows
        return f"{limits.share(usual, check.rows, reference.rows, limit):.1%} more missing values"
    of_performance = check.kind in (Kind.PERFORMANCE, Kind.ESTIMATED_PERFORMANCE)
    if of_performance and check.lower is not None and check.value is not None:
        return f"a loss of {check.value - check.lower:.2g}"
    return None


def _performance_is_known(checks: Sequence[Check]) -> bool:
    """Whether performance could be told in this window, realised or estimated; or will be, since labels have come of
    late, by which an estimate is doubtful.
    """
    return any(
        check.kind in (Kind.PERFORMANCE, Kind.ESTIMATED_PERFORMANCE) and not _is_undecided(check) for check in checks
    )


def _weighted_drift(question: Question, findings: list[Finding]) -> list[Finding]:
    """Where performance is out of sight, drift of columns that carry half of the importance is a warning."""
    importance = question.reference.importance
    names = [name for name in question.reference.features if name in question.window.frame]
    known = sum(importance.values()) > 0
    weights = {name: importance.get(name, 0.0) for name in names} if known else dict.fromkeys(names, 1.0)
    drifted = {
        each.column: each
        for each in findings
        if each.kind is Kind.DRIFT and each.segment is None and each.column in weights
    }
    share = sum(weights[name] for name in drifted if name is not None) / (sum(weights.values()) or 1.0)
    if share < _HEAVY_DRIFT:
        return findings
    worst = drifted[max(drifted, key=lambda name: weights[name or ""])]
    text = phrases.sentences(worst.explanation, phrases.unseen_performance(share))
    warned = replace(worst, severity=Severity.WARNING, explanation=text)
    return [warned if each is worst else each for each in findings]


def ranked(reference: Reference, findings: list[Finding]) -> list[Finding]:
    """Worst first: by severity, then by what the change is likely to cost the model.

    Consequences come last: predictions, which follow their features; how numbers are written, if they changed; columns
    that follow another; and columns that only stopped going together with others, unless their own evidence is the
    strongest. What is wrong with one column shows in all that were expected by it, and most in itself.
    """
    features = [finding for finding in findings if finding.column in reference.features]
    own = {finding.column for finding in features if finding.metric != "relation_score"}
    drifted = {finding.column for finding in features if finding.metric == "drift_score"}
    relations = [finding for finding in features if finding.metric == "relation_score"]
    first = min(relations, key=lambda each: (each.p_value, -(each.value or 0.0)), default=None)
    whole = {finding.column for finding in findings if finding.segment is None}
    importance = reference.importance

    def badness(finding: Finding) -> tuple[Any, ...]:
        echo = finding.column in reference.predictions and finding.kind is Kind.DRIFT and bool(features)
        echo = echo or finding.follows not in (None, finding.column)
        if finding.metric == "digits_score":
            echo = echo or finding.column in drifted
        if finding.metric == "relation_score":
            # A column that drifted explains that it goes with others no more.
            echo = echo or finding is not first or bool(own - {finding.column}) or finding.column in drifted
        echo = echo or finding.column == reference.columns.label
        echo = echo or (finding.segment is not None and finding.column in whole)
        # By how far it moved: few rows that moved far tell more of what is wrong than many that follow them.
        moved = importance.get(finding.column or "", 0.0) * min(finding.value or 0.0, 1.0)
        return (-finding.severity.rank, echo, finding.kind is Kind.DRIFT, -moved, finding.p_value or 0.0, finding.key)

    return sorted((_with_cost(importance, each) for each in findings), key=badness)


def _with_cost(importance: dict[str, float], finding: Finding) -> Finding:
    """A finding of drift with what it is likely to cost the model."""
    if finding.kind is not Kind.DRIFT or finding.column not in importance or finding.cost is not None:
        return finding
    moved = finding.value or 0.0 if finding.share is None else finding.share
    return replace(finding, cost=importance[finding.column] * min(moved, 1.0))
