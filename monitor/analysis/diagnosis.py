"""Causes in words: what kind of change a column shows, in which share of the rows, since when, and whether it comes
from the pipeline or from the world.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np

from monitor.analysis.beginning import ChangedSpan, run_of_change
from monitor.analysis.evidence import Evidence, evidence_of
from monitor.analysis.kinds import Cause, cause_of, other_level, swapped
from monitor.analysis.question import Question
from monitor.analysis.relations import Exchange, Relations, correlations, subsample
from monitor.analysis.subpopulation import subpopulation
from monitor.analysis.summary import Summary, summarise
from monitor.domain import phrases
from monitor.domain.checks import Finding, Kind

Floats = np.ndarray
# How many changed columns are compared with each other at most.
_MOST_COMPARED = 12
# A run is diagnosed separately if it has at least so many rows, and at most this share of all rows.
_FEWEST_IN_RUN, _MOST_IN_RUN = 30, 0.9
# Metrics of checks that explain the change themselves; only the time when it began is added.
_EXPLAINED_METRICS = ("missing_share", "new_category_share")
# Causes of a value that the reference does not have. A column that holds nothing else is not stuck at a usual value.
_NEW_VALUES = ("placeholder value", "new category")


def explained(question: Question, findings: list[Finding]) -> tuple[list[Finding], dict[str, Cause]]:
    """The findings, with the cause for changed columns, and the causes by column. Columns that changed only because
    there are more rows with a value of another column follow that column.
    """
    reference, excerpt = question.reference, question.excerpt
    window = excerpt.frame
    exchanged = _exchanges(question, findings)
    unexplained = [finding.column for finding in findings if asks_for_cause(finding) and finding.column is not None]
    changed = dict.fromkeys([*unexplained, *exchanged])
    rewritten = {finding.column for finding in findings if finding.metric == "digits_score"}
    pairs = {
        name: (before, after)
        for name in changed
        if (before := reference.of_column(name))
        and (after := question.of_column(name))
        and before.count
        and after.count
    }
    answers = {*reference.predictions, reference.columns.label}
    runs = {name: run_of_change(window[name], excerpt.timeline, before) for name, (before, _) in pairs.items()}
    causes = {
        name: _column_cause(question, name, runs[name], before, after, name in rewritten, has_unit=name not in answers)
        for name, (before, after) in pairs.items()
    }
    drifted = [finding.column for finding in findings if _is_column_drift(finding) and finding.column in pairs]
    for first, second in swapped({name: pairs[name] for name in drifted[:_MOST_COMPARED] if name is not None}):
        for name, twin in ((first, second), (second, first)):
            causes[name] = Cause(
                "swapped columns", phrases.swapped_columns(twin), 1.0, True, undone=True, pair=(name, twin)
            )
    for name, exchange in exchanged.items():
        text = phrases.swapped_values(exchange.first, exchange.second, by_others=True)
        pair = (exchange.first, exchange.second)
        causes[name] = Cause("category swap", text, exchange.share, True, undone=True, pair=pair)
    evidence = {name: Evidence() for name in causes}
    for name in [name for name, cause in causes.items() if cause.is_fault]:
        causes[name], evidence[name] = _cause_with_evidence(question, name, causes[name], pairs[name])
    # A category that grows is not stuck if the other columns have changed as more of its rows would explain.
    grows = {name for name, cause in causes.items() if cause.may_grow}
    world = [name for name in drifted if name is not None and (not causes[name].is_fault or name in grows)][
        :_MOST_COMPARED
    ]
    # Predictions follow from the features, whatever changed in these: they are no evidence of other rows.
    moved_features = [name for name in world if name in reference.features]
    growth = (
        subpopulation(subsample(reference.frame), subsample(window), reference.sorts, moved_features)
        if len(moved_features) >= 3
        else None
    )
    if growth is not None:
        text = phrases.more_of(*growth)
        share = growth.share_after - growth.share_before
        causes |= {name: Cause("subpopulation shift", text, share, follows=growth.column) for name in world}
    began = {name: evidence[name].began or _start_of(runs[name]) for name in causes}
    for finding in findings:
        if (
            finding.metric in _EXPLAINED_METRICS
            and finding.segment is None
            and finding.column is not None
            and finding.column in window
            and finding.column not in began
        ):
            before = reference.of_column(finding.column)
            run = (
                None
                if before is None or not before.count
                else run_of_change(window[finding.column], excerpt.timeline, before)
            )
            began[finding.column] = _start_of(run)
    result = [_with_cause(finding, causes, evidence, began) for finding in findings]
    if reference.relations is None or not any(finding.metric == "relation_score" for finding in findings):
        return result, causes
    sides = [correlations(relations[0]) for relations in (reference.held_relations, question.held_relations)]
    result = [_with_broken_pair(reference.relations, finding, *sides) for finding in result]
    return _with_source_of_breaks(question, reference.relations, result), causes


def _with_source_of_breaks(question: Question, relations: Relations, findings: Sequence[Finding]) -> list[Finding]:
    """The findings. Those of broken relations follow the one column whose values are in wrong rows. Where the own
    values of a column changed, that explains it.

    Predictions are no source, and their relations do not count: they follow from what the model was given.
    """
    features = question.reference.features
    is_broken = [finding.metric == "relation_score" and finding.column in features for finding in findings]
    own = any(finding.column in features and finding.metric != "relation_score" for finding in findings)
    broken = [finding for finding, is_one in zip(findings, is_broken, strict=True) if is_one]
    if own or len(broken) < 2:
        return list(findings)
    candidates = [finding.column for finding in broken if finding.column is not None]
    sides = subsample(question.reference.frame), subsample(question.window.frame)
    source = relations.source_of_break(candidates, features, *sides)
    return [
        replace(finding, follows=source) if is_one and source else finding
        for finding, is_one in zip(findings, is_broken, strict=True)
    ]


def _exchanges(question: Question, findings: Sequence[Finding]) -> dict[str, Exchange]:
    """The changed columns in which two values were exchanged, by name: those that drifted or, if none did, the most
    certain one. Columns closely related to such a column look the same.
    """
    reference, window = question.reference, question.window.frame
    changed = {
        finding.column: None
        for finding in findings
        if finding.metric in ("drift_score", "relation_score") and finding.segment is None and finding.column in window
    }
    relations = reference.relations
    if relations is None or not set(relations.names) <= set(window) or not changed:
        return {}
    exchanges = relations.exchanged(
        [name for name in changed if name is not None], reference.held_relations, question.held_relations
    )
    drifted = {
        name: exchange
        for name, exchange in exchanges.items()
        if any(_is_column_drift(finding) and finding.column == name for finding in findings)
    }
    best = sorted(exchanges.items(), key=lambda item: -item[1].certain)[:1]
    return drifted or dict(best)


def asks_for_cause(finding: Finding) -> bool:
    """Whether a finding says that a whole column changed, but not how."""
    return finding.segment is None and finding.metric in ("drift_score", "out_of_range_share", "digits_score")


def _column_cause(
    question: Question,
    name: str,
    run: ChangedSpan | None,
    before: Summary,
    after: Summary,
    rewritten: bool,
    *,
    has_unit: bool,
) -> Cause:
    """The kind of change of a column. Where it is no typical fault, the run of changed rows is diagnosed separately,
    since the whole column is a mixture of changed and unchanged rows.
    """
    values, whole = question.excerpt.frame[name], cause_of(before, after, rewritten, has_unit)
    if whole.is_fault or run is None or not _FEWEST_IN_RUN <= len(run.rows) <= _MOST_IN_RUN * len(values):
        return whole
    part = summarise(values.iloc[run.rows], question.reference.sorts[name])
    if part is None or part.count < _FEWEST_IN_RUN // 2:
        return whole
    cause = cause_of(before, part, rewritten, has_unit)
    if not cause.is_fault:
        return whole
    share = len(run.rows) / len(values)
    text = phrases.in_period(share, run.began, run.ended, cause.text)
    return replace(cause, text=text, share=share * (1.0 if cause.share is None else cause.share))


def _start_of(run: ChangedSpan | None) -> datetime | None:
    """When a run of changed rows began; None where it began with the window."""
    return None if run is None or run.is_first else run.began


def _is_column_drift(finding: Finding) -> bool:
    """Whether a finding says that a whole column drifted."""
    return finding.kind is Kind.DRIFT and finding.metric == "drift_score" and finding.segment is None


def _with_broken_pair(relations: Relations, finding: Finding, there: Floats, here: Floats) -> Finding:
    if finding.metric != "relation_score" or finding.column is None:
        return finding
    broken = relations.broken(finding.column, there, here)
    return replace(finding, explanation=phrases.sentences(finding.explanation, broken)) if broken else finding


def _cause_with_evidence(
    question: Question, name: str, cause: Cause, pair: tuple[Summary, Summary]
) -> tuple[Cause, Evidence]:
    """The cause of a possible fault with its evidence. The cause is replaced by a milder one where healthy blocks look
    the same.
    """
    before, after = pair
    excerpt = question.excerpt
    field = question.calendar_field(name)
    if field is not None:
        return Cause("calendar", phrases.calendar(field.words)), Evidence()
    evidence = evidence_of(
        cause.claim, excerpt.frame, excerpt.timeline, name, before, question.healthy_blocks, excerpt.levels
    )
    if not evidence.is_ordinary:
        return cause, evidence
    remaining = other_level(before, after)
    return replace(
        remaining, name="changes slowly", text=f"{remaining.text}; {phrases.ordinary(evidence.ordinary or 0.0)}"
    ), evidence


def _with_cause(
    finding: Finding,
    causes: Mapping[str, Cause],
    evidence: Mapping[str, Evidence],
    began: Mapping[str, datetime | None],
) -> Finding:
    name = finding.column
    if name is None or finding.segment is not None or name not in began:
        return finding
    moment = began[name]
    if finding.metric in _EXPLAINED_METRICS and moment is not None:
        return replace(finding, since=moment, explanation=phrases.sentences(finding.explanation, phrases.since(moment)))
    if finding.metric == "unique_count" and name in causes and causes[name].name in _NEW_VALUES:
        return replace(finding, cause=causes[name].name)
    is_exchange = finding.metric == "relation_score" and name in causes and causes[name].name == "category swap"
    if name not in causes or not (asks_for_cause(finding) or is_exchange):
        return finding
    cause, column_evidence = causes[name], evidence[name]
    joined = phrases.of_cause if finding.metric == "drift_score" else phrases.sentences
    text = phrases.sentences(
        joined(finding.explanation, cause.text),
        phrases.since(moment) if moment else "",
        phrases.together(column_evidence.together) if column_evidence.together else "",
    )
    origin = "world" if not cause.is_fault else "pipeline" if column_evidence.is_of_pipeline else "unknown"
    return replace(
        finding,
        cause=cause.name,
        explanation=text,
        share=cause.share,
        since=moment,
        origin=origin,
        follows=cause.follows,
        effect=phrases.sentences(phrases.origin(origin), finding.effect),
    )
