"""The window grid: half-open event-time intervals that tile a monitor's time, in calendar units or exact ones.

`1d`, `1w` and `1mo` are calendar units of the grid's time zone (a day may have 23 or 25 hours); `24h` is exact.
Multiples count from the anchor. Boundaries are worked out on the local calendar and kept in UTC.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from monitor.domain.text import quoted
from monitor.errors import UsageError

_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours"}
_CALENDAR = {"d": "days", "w": "weeks", "mo": "months"}
# The longest length of time, so that it may be added to any time of these centuries.
_MOST_YEARS = 900
_PATTERN = re.compile(r"^\s*(\d+)\s*(s|min|m|h|d|w|mo)\s*$")


@dataclass(frozen=True)
class Duration:
    """A length of time as the configuration writes it: `30m`, `24h`, `1d`, `2w`, `3mo`."""

    count: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Parse `text`; raises UsageError for anything but a whole number and s, m, h, d, w or mo, and for more than
        900 years.
        """
        match = _PATTERN.match(str(text))
        if match is None:
            raise UsageError(f"{quoted(text)} is no length of time: write a whole number and one of s, m, h, d, w, mo")
        try:
            duration = cls(int(match[1]), "m" if match[2] == "min" else match[2])
            too_long = duration.approximate() > timedelta(days=365.25 * _MOST_YEARS)
        except (OverflowError, ValueError):  # more days than Python counts, more digits than it reads
            too_long = True
        if too_long:
            raise UsageError(f"{quoted(text)} is too long: a length of time ends at {_MOST_YEARS} years")
        return duration

    @property
    def is_calendar(self) -> bool:
        """Whether this counts local calendar days, weeks or months."""
        return self.unit in _CALENDAR

    def approximate(self) -> timedelta:
        """The length in plain time: a day as 24 hours, a month as 30.436875 days."""
        if self.unit == "mo":
            return timedelta(days=30.436875 * self.count)
        if self.unit in _CALENDAR:
            return timedelta(**{_CALENDAR[self.unit]: self.count})
        return timedelta(**{_UNITS[self.unit]: self.count})

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"


@dataclass(frozen=True, order=True)
class Window:
    """A half-open event-time interval `[start, end)`, both in UTC."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{_short(self.start)}/{_short(self.end)}"


# How far back windows of the same season are looked for: a year of hours.
_MOST_STEPS = 9_000
_WEEK, _SATURDAY = timedelta(days=7), 5


@dataclass(frozen=True)
class Grid:
    """The windows of a monitor: each `length` long, one beginning every `every`, counted from `anchor`."""

    length: Duration
    every: Duration
    timezone: str = "UTC"
    anchor: date = date(1970, 1, 5)

    def __post_init__(self) -> None:
        for name in ("length", "every"):
            if getattr(self, name).count < 1:
                raise UsageError(f"windows.{name} must be at least 1")
        if self.every.approximate() > self.length.approximate():
            raise UsageError(
                f"windows.every ({self.every}) is longer than windows.length ({self.length}): rows between would be in"
                " no window"
            )

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def boundary(self, index: int) -> datetime:
        """The start of window number `index`, counted from the anchor, in UTC."""
        return self._shift(self.every, index)

    def end_of(self, index: int) -> datetime:
        """The end of window number `index`, in UTC."""
        if self.length == self.every:
            return self.boundary(index + 1)
        start = self.boundary(index)
        if not self.length.is_calendar:
            return start + self.length.approximate()
        local = start.astimezone(self._zone).replace(tzinfo=None)
        if self.length.unit == "mo":
            return self._to_utc(datetime.combine(_add_months(local.date(), self.length.count), local.time()))
        return self._to_utc(local + self.length.approximate())

    def window(self, index: int) -> Window:
        """Window number `index`."""
        return Window(self.boundary(index), self.end_of(index))

    def index_at(self, moment: datetime) -> int:
        """The number of the last window that starts at or before `moment`."""
        guess = int((moment - self.boundary(0)) / self.every.approximate())
        while self.boundary(guess) > moment:
            guess -= 1
        while self.boundary(guess + 1) <= moment:
            guess += 1
        return guess

    def before(self, start: datetime, number: int, season: str | None = None) -> list[Window]:
        """The last `number` windows that end at or before `start`, disjoint, oldest first.

        season: `hour`, `weekday` or `month`: only those that begin in the same one, in the grid's time zone.
        """
        windows: list[Window] = []
        wanted_season = self._season(start, season)
        index, end = self.index_at(start), start
        for step in range(1, _MOST_STEPS):
            window = self.window(index - step)
            if window.end <= end and self._season(window.start, season) == wanted_season:
                windows.append(window)
                end = window.start
            if len(windows) == number:
                break
        return windows[::-1]

    def same_position(self, start: datetime, number: int) -> list[Window]:
        """The last windows at the calendar position of the one that begins at `start`, at most `number`, oldest first.

        Of windows shorter than a week those that begin at the same local time of the same weekday; of others, those
        before it.
        """
        if self.every.approximate() >= _WEEK:
            return self.before(start, number)
        return self._days_before(start, [7 * weeks for weeks in range(number, 0, -1)])

    def like_days(self, start: datetime, number: int) -> list[Window]:
        """The last windows that begin at the same local time of a day like that of `start`: Monday to Friday, or
        Saturday and Sunday.
        """
        weekend = self._local(start).weekday() >= _SATURDAY
        days = [
            day for day in range(1, 7 * number) if ((self._local(start).weekday() - day) % 7 >= _SATURDAY) == weekend
        ]
        return self._days_before(start, days[:number][::-1])

    def a_year_before(self, start: datetime) -> list[Window]:
        """The windows of the same date a year before and of the same weekday 52 weeks before: holidays keep to one or
        the other.
        """
        if self.every.approximate() >= _WEEK:
            return []
        local = self._local(start)
        return self._days_before(start, [(local.date() - _a_year_before(local.date())).days, 364])

    def _days_before(self, start: datetime, days: list[int]) -> list[Window]:
        """The windows that begin at the same local time so many days before, where the grid has them."""
        windows = []
        for number in dict.fromkeys(days):
            begin = self._to_utc(self._local(start) - timedelta(days=number))
            window = self.window(self.index_at(begin))
            if window.start == begin and window.end <= start:
                windows.append(window)
        return windows

    def _local(self, moment: datetime) -> datetime:
        return moment.astimezone(self._zone).replace(tzinfo=None)

    def _season(self, moment: datetime, season: str | None) -> int | None:
        local = moment.astimezone(self._zone)
        return {"hour": local.hour, "weekday": local.weekday(), "month": local.month, None: None}[season]

    def _shift(self, duration: Duration, index: int) -> datetime:
        steps = duration.count * index
        if duration.unit == "mo":
            return self._to_utc(datetime.combine(_add_months(self.anchor, steps), time()))
        if duration.is_calendar:
            days = steps * (7 if duration.unit == "w" else 1)
            return self._to_utc(datetime.combine(self.anchor + timedelta(days=days), time()))
        return self._to_utc(datetime.combine(self.anchor, time())) + duration.approximate() * index

    def _to_utc(self, local: datetime) -> datetime:
        """The UTC time of a wall-clock time: of two the first, and where midnight does not exist the end of the gap."""
        return local.replace(tzinfo=self._zone, fold=0).astimezone(UTC)


def _add_months(day: date, months: int) -> date:
    total = day.year * 12 + day.month - 1 + months
    return date(total // 12, total % 12 + 1, 1)


def _a_year_before(day: date) -> date:
    return day.replace(year=day.year - 1, day=min(day.day, 28) if day.month == 2 else day.day)


def _short(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d" if moment.time() == time() else "%Y-%m-%dT%H:%M:%SZ")
