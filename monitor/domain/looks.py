"""When a window is looked at again: fixed numbers, each with an `as_of` that follows from schedule and data alone.

0 is the run itself; 1, 2, 3 are performance runs at the label times at which 50, 90 and 100 % of the expected labels
were reached; 4 is the last performance run; 5 the recount of a data run; from 6 on they are by hand. 1000, 2000, … are
those at which the labels of a list that was asked for had come.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

LAST_PERFORMANCE = 4
RECOUNT = 5
FIRST_BY_HAND = 6
LIST_LOOKS = 1000
SHARES = (0.5, 0.9, 1.0)


@dataclass(frozen=True)
class LabelTimes:
    """When the labels of a window became known. reached: for each of SHARES of the expected labels, None where it was
    not.

    judged: when there were enough of them to be judged. last: the last one that came until revisions end.
    """

    rows: int
    reached: tuple[datetime | None, datetime | None, datetime | None] = (None, None, None)
    judged: datetime | None = None
    last: datetime | None = None

    @classmethod
    def of(
        cls, label_times: Sequence[datetime], rows: int, expected: float, judge_from: float, final: datetime
    ) -> LabelTimes:
        """From the sorted label times of a window (or of its sample) of `rows` rows; `final` is when revisions end."""

        def at(share: float) -> datetime | None:
            needed = max(1, math.ceil(round(share * expected * rows, 9)))
            return label_times[needed - 1] if rows and len(label_times) >= needed else None

        half, most, full = (at(share) for share in SHARES)
        last = max((moment for moment in label_times if moment <= final), default=None)
        return cls(rows, (half, most, full), at(judge_from), last)


@dataclass(frozen=True)
class PlannedLooks:
    """The performance looks at a window. certain: (number, `as_of`) of those that nothing can change any more.

    next_due: when more may be known, None if nothing is awaited. settled: whether no more will come.
    """

    certain: tuple[tuple[int, datetime], ...]
    next_due: datetime | None
    settled: bool


def revisions_end(window_end: datetime, data_as_of: datetime, delay: timedelta, revise_until: timedelta) -> datetime:
    """The time from which on no label changes the results of a window."""
    return max(window_end + revise_until, window_end + delay, data_as_of)


def performance_looks(
    window_end: datetime,
    data_as_of: datetime,
    times: LabelTimes | None,
    looked_at: datetime | None,
    delay: timedelta,
    revise_until: timedelta,
) -> PlannedLooks:
    """The performance looks at a window. times: what was known of its labels at `looked_at`."""
    latest = max(window_end + delay, data_as_of)
    final = revisions_end(window_end, data_as_of, delay, revise_until)
    if times is None or looked_at is None:
        return PlannedLooks((), data_as_of, settled=False)
    full = times.reached[-1]
    first = latest if full is None else max(data_as_of, min(window_end + delay, full))
    if full is None and looked_at < first:
        return PlannedLooks((), first, settled=False)
    looks = [(0, first)]
    for number, moment in enumerate(times.reached, start=1):
        if moment is not None and first < moment < final and moment not in times.reached[number:]:
            looks.append((number, moment))
    before = looks[-1][1]
    revised = times.last is not None and times.last > before
    unripe = times.judged is None or times.judged > before
    needed = times.rows > 0 and final > before and (revised or unripe)
    settled = looked_at >= final
    if needed and settled:
        looks.append((LAST_PERFORMANCE, final))
    return PlannedLooks(tuple(looks), final if needed and not settled else None, settled)
