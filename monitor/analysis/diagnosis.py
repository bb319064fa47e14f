"""Causes in words: what kind of change a changed column shows, in which share of the rows, since when, and whether it
looks like the pipeline or the world.
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
from monitor.analysis.relations import Exchange, Relations, correlations, few
from monitor.analysis.subpopulation import subpopulation
from monitor.analysis.summary import Summary, summarise
from monitor.domain import phrases
from monitor.domain.checks import Finding, Kind

Floats = np.ndarray
# Columns that are held against each other.
_FEW = 12
# A run is looked at by itself if it has so many rows, and at most such a share of all.
_FEWEST_IN_RUN, _MOST_IN_RUN = 30, 0.9
# Checks that say what happened to a column themselves; of these only when it began is told.
_BEGINS = ("missing_share", "new_category_share")


def explained(question: Question, findings: list[Finding]) -> tuple[list[Finding], dict[str, Cause]]:
    """The findings, those of changed columns with their cause, and the causes by column; columns that only moved with a
    value of which there are more rows follow its column.
    """
    reference, excerpt = question.reference, question.excerpt
    window = excerpt.frame
    exchanged = _exchanged(question, findings)
    asked = [each.column for each in findings if asks_for_cause(each) and each.column is not None]
    changed = dict.fromkeys([*asked, *exchanged])
    rewritten = {each.column for each in findings if each.metric == "digits_score"}
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
        name: _of_run(question, name, runs[name], before, after, name in rewritten, has_unit=name not in answers)
        for name, (before, after) in pairs.items()
    }
    drifted = [each.column for each in findings if _is_of_column(each) and each.column in pairs]
    for one, other in swapped({name: pairs[name] for name in drifted[:_FEW] if name is not None}):
        for name, twin in ((one, other), (other, one)):
            causes[name] = Cause(
                "swapped columns", phrases.swapped_columns(twin), 1.0, True, undone=True, pair=(name, twin)
            )
    for name, exchange in exchanged.items():
        text = phrases.swapped_values(exchange.one, exchange.other, by_others=True)
        pair = (exchange.one, exchange.other)
        causes[name] = Cause("category swap", text, exchange.share, True, undone=True, pair=pair)
    evidence = {name: Evidence() for name in causes}
    for name in [name for name, cause in causes.items() if cause.is_fault]:
        causes[name], evidence[name] = _held(question, name, causes[name], pairs[name])
    # A category that grows is not stuck if other columns have moved as its rows would have it.
    grows = {name for name, cause in causes.items() if cause.may_grow}
    world = [name for name in drifted if name is not None and (not causes[name].is_fault or name in grows)][:_FEW]
    grown = subpopulation(few(reference.frame), few(window), reference.sorts, world) if len(world) >= 3 else None
    if grown is not None:
        text = phrases.more_of(*grown)
        share = grown[3] - grown[2]
        causes |= {name: Cause("subpopulation shift", text, share, follows=grown[0]) for name in world}
    began = {name: evidence[name].began or _began(runs[name]) for name in causes}
    for each in findings:
        if (
            each.metric in _BEGINS
            and each.segment is None
            and each.column is not None
            and each.column in window
            and each.column not in began
        ):
            before = reference.of_column(each.column)
            run = (
                None
                if before is None or not before.count
                else run_of_change(window[each.column], excerpt.timeline, before)
            )
            began[each.column] = _began(run)
    result = [_with_cause(finding, causes, evidence, began) for finding in findings]
    if reference.relations is None or not any(each.metric == "relation_score" for each in findings):
        return result, causes
    sides = [correlations(held[0]) for held in (reference.held_relations, question.held_relations)]
    return [_with_pair(reference.relations, finding, *sides) for finding in result], causes


def _exchanged(question: Question, findings: Sequence[Finding]) -> dict[str, Exchange]:
    """The changed columns two of whose values changed places, by name: those that drifted; or, where none of them did
    so, the one that shows it best. What goes with such a column closely looks so as well.
    """
    reference, window = question.reference, question.window.frame
    changed = {
        each.column: None
        for each in findings
        if each.metric in ("drift_score", "relation_score") and each.segment is None and each.column in window
    }
    relations = reference.relations
    if relations is None or not set(relations.names) <= set(window) or not changed:
        return {}
    found = relations.exchanged(
        [name for name in changed if name is not None], reference.held_relations, question.held_relations
    )
    drifted = {
        name: each for name, each in found.items() if any(_is_of_column(one) and one.column == name for one in findings)
    }
    best = sorted(found.items(), key=lambda item: -item[1].certain)[:1]
    return drifted or dict(best)


def asks_for_cause(finding: Finding) -> bool:
    """Whether it says that a whole column changed, and not how."""
    return finding.segment is None and finding.metric in ("drift_score", "out_of_range_share", "digits_score")


def _of_run(
    question: Question,
    name: str,
    run: ChangedSpan | None,
    before: Summary,
    after: Summary,
    rewritten: bool,
    *,
    has_unit: bool,
) -> Cause:
    """The kind of change of a column; where it is none that faults make, that of the run of rows in which it lies:
    among all others it is a mixture of two.
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


def _began(run: ChangedSpan | None) -> datetime | None:
    """When a run began; None where it began with the window."""
    return None if run is None or run.is_first else run.began


def _is_of_column(finding: Finding) -> bool:
    """Whether it says that a whole column drifted."""
    return finding.kind is Kind.DRIFT and finding.metric == "drift_score" and finding.segment is None


def _with_pair(relations: Relations, finding: Finding, there: Floats, here: Floats) -> Finding:
    if finding.metric != "relation_score" or finding.column is None:
        return finding
    broken = relations.broken(finding.column, there, here)
    return replace(finding, explanation=phrases.sentences(finding.explanation, broken)) if broken else finding


def _held(question: Question, name: str, cause: Cause, pair: tuple[Summary, Summary]) -> tuple[Cause, Evidence]:
    """A cause that faults make, held against what honest stretches look like and what speaks for a fault: the cause, or
    what is left of it.
    """
    before, after = pair
    excerpt = question.excerpt
    field = question.calendar_field(name)
    if field is not None:
        return Cause("calendar", phrases.calendar(field.words)), Evidence()
    evidence = evidence_of(cause.claim, excerpt.frame, excerpt.timeline, name, before, question.honest, excerpt.levels)
    if not evidence.is_ordinary:
        return cause, evidence
    left = other_level(before, after)
    return replace(
        left, name="changes slowly", text=f"{left.text}; {phrases.ordinary(evidence.ordinary or 0.0)}"
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
    if finding.metric in _BEGINS and moment is not None:
        return replace(finding, since=moment, explanation=phrases.sentences(finding.explanation, phrases.since(moment)))
    if name not in causes or not (asks_for_cause(finding) or causes[name].name == "category swap"):
        return finding
    cause, speaks = causes[name], evidence[name]
    joined = phrases.of_cause if finding.metric == "drift_score" else phrases.sentences
    text = phrases.sentences(
        joined(finding.explanation, cause.text),
        phrases.since(moment) if moment else "",
        phrases.together(speaks.together) if speaks.together else "",
    )
    origin = "world" if not cause.is_fault else "pipeline" if speaks.is_of_pipeline else "unknown"
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
