"""The few findings of a window that matter to a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

MOST = 3
# Causes that many columns share: shown once, for the column that shows it most.
_SHARED = {"subpopulation shift", "broken relation", "calendar", "changes slowly"}

Item = TypeVar("Item")


def that_matter(findings: Sequence[Item], facts_of: Any = lambda finding: finding) -> list[Item]:
    """The three findings that matter, in the order given, which is worst first: one per column, and one of those that
    share a cause.

    findings: worst first. facts_of: returns the severity, column, segment, cause and cost of a finding, as attributes
        or as items of a mapping.
    Findings that page come before those that do not. Of the latter, those with a probable cost come first.
    """
    chosen: list[Item] = []
    columns: set[str] = set()
    causes: set[str] = set()
    for finding in sorted(findings, key=lambda item: _weight(facts_of(item))):
        column, cause = _get(facts_of(finding), "column") or "", _get(facts_of(finding), "cause") or ""
        if (column and column in columns) or cause in causes:
            continue
        columns.add(column)
        if cause in _SHARED:
            causes.add(cause)
        chosen.append(finding)
        if len(chosen) == MOST:
            break
    return sorted(
        chosen, key=lambda chosen_item: next(place for place, item in enumerate(findings) if item is chosen_item)
    )


def broken_first(findings: Sequence[Item], facts_of: Any = lambda finding: finding) -> dict[str, str]:
    """What is to be repaired before a model is trained anew: columns with their cause, the costliest first; empty where
    no more than half of what the changes are likely to cost looks like the pipeline.

    findings, facts_of: as of `that_matter`, with origin.
    """
    costs: dict[str, float] = {}
    causes: dict[str, str] = {}
    for facts in map(facts_of, findings):
        column, cost = _get(facts, "column"), _get(facts, "cost") or 0.0
        if not column or cost <= 0:
            continue
        costs[column] = max(costs.get(column, 0.0), cost)
        if _get(facts, "origin") == "pipeline":
            causes.setdefault(column, _get(facts, "cause"))
    if sum(costs[name] for name in causes) <= sum(costs.values()) / 2:
        return {}
    return {name: causes[name] for name in sorted(causes, key=lambda name: -costs[name])}


def _weight(finding: Any) -> tuple[bool, bool, bool]:
    """The smaller, the more it matters."""
    pages = str(_get(finding, "severity")) in ("warning", "critical")
    costs = (_get(finding, "cost") or 0.0) > 0
    return not pages, bool(_get(finding, "segment")), not costs


def _get(finding: Any, name: str) -> Any:
    return finding.get(name) if isinstance(finding, dict) else getattr(finding, name, None)
