"""How old the newest event of a log may be, learned from the log's own gaps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

Gaps = Mapping[str, float]
_DAYS_KEPT = 28
_DAYS_NEEDED = 7
_SHARE = 0.9
_MARGIN = 1.5
_LEAST = timedelta(minutes=30)
_UNTIL_LEARNED = timedelta(hours=24)
_ERROR_FACTOR = 3


def with_arrival(gaps: Gaps, before: datetime | None, newest: datetime | None, seen_at: datetime) -> dict[str, float]:
    """The longest age, in seconds, that the newest event had reached on each of the last days when a newer one was
    seen.
    """
    longest_gaps = dict(gaps)
    if before is not None and newest is not None and newest > before:
        day = seen_at.date().isoformat()
        longest_gaps[day] = max(longest_gaps.get(day, 0.0), (seen_at - before).total_seconds())
    return dict(sorted(longest_gaps.items())[-_DAYS_KEPT:])


def learned_limits(gaps: Gaps, every: timedelta) -> tuple[timedelta, timedelta]:
    """The ages at which a log is stale: to be warned of, and an error.

    A high quantile of the longest ages of the last days, so that nights and weekends are no fault and one outage does
    not hide the next (their maximum would); until a week was seen, a day and two windows.
    """
    if len(gaps) < _DAYS_NEEDED:
        warn = max(_UNTIL_LEARNED, min(2 * every, 2 * _UNTIL_LEARNED))
    else:
        longest = sorted(gaps.values())
        warn = max(timedelta(seconds=longest[int(_SHARE * (len(longest) - 1))]) * _MARGIN, _LEAST)
    return warn, _ERROR_FACTOR * warn
