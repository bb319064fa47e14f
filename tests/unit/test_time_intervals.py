"""Recurring times by the local time of a place."""

from datetime import UTC, datetime

import pytest

from monitor.domain.time_intervals import TimeInterval
from monitor.errors import UsageError


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_office_hours_follow_the_clock_of_their_place_over_summer_time() -> None:
    office = TimeInterval.parse([("09:00", "17:00")], ["monday:friday"], location="Europe/Berlin")
    assert office.contains(at("2025-01-06T08:00"))  # 09:00 in winter
    assert not office.contains(at("2025-01-06T07:59"))
    assert office.contains(at("2025-07-07T07:00"))  # 09:00 in summer
    assert not office.contains(at("2025-07-07T15:00"))
    assert not office.contains(at("2025-01-05T10:00"))  # a Sunday


def test_days_count_from_the_end_of_the_month_too() -> None:
    ends = TimeInterval.parse(days_of_month=["-2:-1"])
    assert [day for day in range(1, 29) if ends.contains(at(f"2025-02-{day:02}T12:00"))] == [27, 28]
    assert TimeInterval.parse(months=["may:june"], years=["2025"]).contains(at("2025-06-30T23:59"))
    assert not TimeInterval.parse(months=["may:june"], years=["2025"]).contains(at("2026-06-30T23:59"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"times": [("22:00", "06:00")]},
        {"times": [("25:00", "26:00")]},
        {"weekdays": ["funday"]},
        {"months": ["june:may"]},
        {"times": [("9", "10")]},
    ],
)
def test_what_is_no_recurring_time_is_refused(wrong: dict) -> None:
    with pytest.raises(UsageError):
        TimeInterval.parse(**wrong)
