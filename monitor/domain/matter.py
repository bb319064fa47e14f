"""Of all that was found in a window the few things that matter to a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

MOST = 3
# Causes that many columns share: told once, of the column that shows it most.
_SHARED = {"subpopulation shift", "broken relation", "calendar", "changes slowly"}

Found = TypeVar("Found")


def that_matter(found: Sequence[Found], of: Any = lambda each: each) -> list[Found]:
    """The three findings that matter, in the order given, which is worst first: one a column, and one of those that
    share a cause.

    found: with severity, column, segment, cause and cost; `of` gives what has these (attributes, or items of a
        mapping). Findings that page come before
    those that do not; of the latter, those that are likely to cost the model something before those that are not.
    """
    chosen: list[Found] = []
    columns: set[str] = set()
    causes: set[str] = set()
    for each in sorted(found, key=lambda one: _weight(of(one))):
        column, cause = _get(of(each), "column") or "", _get(of(each), "cause") or ""
        if (column and column in columns) or cause in causes:
            continue
        columns.add(column)
        if cause in _SHARED:
            causes.add(cause)
        chosen.append(each)
        if len(chosen) == MOST:
            break
    return sorted(chosen, key=lambda one: next(place for place, other in enumerate(found) if other is one))


def broken_first(found: Sequence[Found], of: Any = lambda each: each) -> dict[str, str]:
    """What is to be repaired before a model is trained anew: columns with their cause, the costliest first; empty where
    no more than half of what the changes are likely to cost looks like the pipeline.

    found, of: as of `that_matter`, with origin.
    """
    costs: dict[str, float] = {}
    causes: dict[str, str] = {}
    for each in map(of, found):
        column, cost = _get(each, "column"), _get(each, "cost") or 0.0
        if not column or cost <= 0:
            continue
        costs[column] = max(costs.get(column, 0.0), cost)
        if _get(each, "origin") == "pipeline":
            causes.setdefault(column, _get(each, "cause"))
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
