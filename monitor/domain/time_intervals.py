"""Recurring times such as weekday nights, as Alertmanager writes them:
https://prometheus.io/docs/alerting/latest/configuration/#time_interval.
"""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from monitor.errors import UsageError

_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = tuple(name.lower() for name in calendar.month_name[1:])
_DAY = 24 * 60


@dataclass(frozen=True)
class TimeInterval:
    """All that is given must hold, of each list one entry; what is empty always holds.

    times: minutes of the day, from and until (which is not in it). weekdays: 0 is Sunday. days_of_month: negative ones
        count from the end.
    """

    times: tuple[tuple[int, int], ...] = ()
    weekdays: tuple[tuple[int, int], ...] = ()
    days_of_month: tuple[tuple[int, int], ...] = ()
    months: tuple[tuple[int, int], ...] = ()
    years: tuple[tuple[int, int], ...] = ()
    location: str = "UTC"

    @classmethod
    def parse(
        cls,
        times: Sequence[tuple[str, str]] = (),
        weekdays: Sequence[str] = (),
        days_of_month: Sequence[str] = (),
        months: Sequence[str] = (),
        years: Sequence[str] = (),
        location: str = "UTC",
    ) -> TimeInterval:
        """From texts such as `monday:friday`, `-3:-1`, `22:00`. Raises UsageError for what is no such time."""
        spans = tuple((_minutes(start), _minutes(end)) for start, end in times)
        if any(start >= end for start, end in spans):
            raise UsageError(
                "a time of the day ends after it starts; write one across midnight as two, until 24:00 and from 00:00"
            )
        return cls(
            spans,
            tuple(_span(text, _WEEKDAYS, 0) for text in weekdays),
            tuple(_span(text, (), 0) for text in days_of_month),
            tuple(_span(text, _MONTHS, 1) for text in months),
            tuple(_span(text, (), 0) for text in years),
            location,
        )

    def contains(self, moment: datetime) -> bool:
        """Whether a moment lies in it, by the wall clock of its location."""
        local = moment.astimezone(ZoneInfo(self.location))
        last = calendar.monthrange(local.year, local.month)[1]
        days = tuple((_from_end(low, last), _from_end(high, last)) for low, high in self.days_of_month)
        minute = local.hour * 60 + local.minute
        return (
            (not self.times or any(start <= minute < end for start, end in self.times))
            and _inside(local.isoweekday() % 7, self.weekdays)
            and _inside(local.day, days)
            and _inside(local.month, self.months)
            and _inside(local.year, self.years)
        )


def _inside(value: int, spans: Sequence[tuple[int, int]]) -> bool:
    return not spans or any(low <= value <= high for low, high in spans)


def _from_end(day: int, last: int) -> int:
    return day if day > 0 else last + 1 + day


def _minutes(text: str) -> int:
    hours, colon, minutes = text.partition(":")
    minute_of_day = int(hours) * 60 + int(minutes) if colon and hours.isdigit() and minutes.isdigit() else -1
    if not 0 <= minute_of_day <= _DAY or int(minutes or 0) > 59:
        raise UsageError(f"'{text}' is no time of the day; write one such as 22:00")
    return minute_of_day


def _span(text: str, names: Sequence[str], first: int) -> tuple[int, int]:
    low, _, high = str(text).lower().partition(":")
    try:
        start, end = (names.index(bound) + first if bound in names else int(bound) for bound in (low, high or low))
    except ValueError:
        raise UsageError(f"'{text}' is no such time; write one such as {names[1] if names else '1:15'}") from None
    if start > end and start * end > 0:
        raise UsageError(f"'{text}' ends before it starts")
    return start, end
