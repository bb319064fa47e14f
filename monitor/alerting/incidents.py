"""Incidents: alerts, of any monitors, that may have begun at one moment. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass
class BeganTogether(Generic[T]):
    """Things that began together. start, end: the time that all their beginnings have in common."""

    start: datetime
    end: datetime
    members: list[T] = field(default_factory=list)


def grouped(beginnings: Iterable[tuple[datetime, datetime, T]]) -> list[BeganTogether[T]]:
    """Groups of things each of which began at some moment within its own span (the first bad window of an alert), by
    their start. A thing joins a group while there is a moment at which all of it may have begun, so no chain of
    overlaps joins what lies far apart.

    beginnings: start (inclusive) and end (exclusive) of each span, and the thing.
    """
    groups: list[BeganTogether[T]] = []
    for start, end, thing in sorted(beginnings, key=lambda beginning: beginning[:2]):
        last = groups[-1] if groups else None
        if last is None or start >= last.end:
            last = BeganTogether(start, end)
            groups.append(last)
        last.start, last.end = max(last.start, start), min(last.end, end)
        last.members.append(thing)
    return groups
