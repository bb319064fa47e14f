"""The window grid: calendar units in a time zone, exact units, and windows without gaps."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain.grid import Duration, Grid
from monitor.errors import UsageError

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Apia",
]


def grid(length: str, every: str | None = None, timezone: str = "UTC", anchor: date = date(1970, 1, 5)) -> Grid:
    return Grid(Duration.parse(length), Duration.parse(every or length), timezone, anchor)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def test_a_day_in_berlin_has_23_hours_in_spring_and_25_in_autumn() -> None:
    days = grid("1d", timezone="Europe/Berlin")
    spring = days.window(days.index_at(utc(2025, 3, 30, 12)))
    autumn = days.window(days.index_at(utc(2025, 10, 26, 12)))
    assert spring.end - spring.start == timedelta(hours=23)
    assert autumn.end - autumn.start == timedelta(hours=25)


def test_24_hours_are_exact_whatever_the_zone_does() -> None:
    exact = grid("24h", timezone="Europe/Berlin")
    window = exact.window(exact.index_at(utc(2025, 3, 30, 12)))
    assert window.end - window.start == timedelta(hours=24)


def test_a_day_begins_at_the_end_of_the_gap_where_midnight_does_not_exist() -> None:
    days = grid("1d", timezone="America/Santiago")
    window = days.window(days.index_at(utc(2025, 9, 7, 12)))
    assert window.start == utc(2025, 9, 7, 4)  # 01:00 local: 00:00 to 01:00 was left out
    assert window.end - window.start == timedelta(hours=23)


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    weeks, months = grid("1w"), grid("1mo")
    assert weeks.window(weeks.index_at(utc(2025, 1, 1))).start == utc(2024, 12, 30)
    assert months.window(months.index_at(utc(2024, 2, 20))).end == utc(2024, 3, 1)


def test_multiples_count_from_the_anchor() -> None:
    fortnights = grid("2w", anchor=date(2012, 1, 1))
    assert fortnights.window(fortnights.index_at(utc(2012, 1, 20))).start == utc(2012, 1, 15)


def test_windows_may_overlap_and_never_leave_a_gap() -> None:
    sliding = grid("7d", "1d")
    window = sliding.window(sliding.index_at(utc(2025, 1, 10)))
    assert (window.start, window.end) == (utc(2025, 1, 10), utc(2025, 1, 17))
    with pytest.raises(UsageError, match="rows between"):
        grid("1d", "2d")


@given(
    st.sampled_from(["1h", "6h", "24h", "1d", "3d", "1w", "2w", "1mo", "3mo"]),
    st.sampled_from(ZONES),
    st.datetimes(datetime(1995, 1, 1), datetime(2035, 1, 1)),
)
@settings(max_examples=300, deadline=None)
def test_windows_tile_time_in_every_zone(length: str, zone: str, moment: datetime) -> None:
    windows = grid(length, timezone=zone)
    at = moment.replace(tzinfo=UTC)
    index = windows.index_at(at)
    window = windows.window(index)
    assert window.start <= at < window.end
    assert windows.window(index + 1).start == window.end
    assert windows.window(index - 1).end == window.start


@pytest.mark.parametrize("text", ["", "1", "w", "1.5d", "-1d", "1y", "1 day"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no length of time"):
        Duration.parse(text)


@given(
    st.sampled_from([("1h", "1h"), ("1d", "1d"), ("1w", "1d"), ("1mo", "1mo")]),
    st.sampled_from(ZONES),
    st.datetimes(datetime(2000, 1, 1), datetime(2035, 1, 1)),
    st.sampled_from([None, "hour", "weekday", "month"]),
)
@settings(max_examples=150, deadline=None)
def test_windows_before_are_disjoint_over_and_of_the_same_season(
    lengths: tuple[str, str], zone: str, moment: datetime, season: str | None
) -> None:
    windows = grid(*lengths, timezone=zone)
    start = windows.boundary(windows.index_at(moment.replace(tzinfo=UTC)))
    before = windows.before(start, 3, season)
    assert len(before) == 3
    assert before[-1].end <= start
    assert all(earlier.end <= later.start for earlier, later in pairwise(before))
    local = [time.astimezone(ZoneInfo(zone)) for time in (start, *(window.start for window in before))]
    wanted = {"hour": lambda time: time.hour, "weekday": lambda time: time.weekday(), "month": lambda time: time.month}
    if season is not None:
        assert len({wanted[season](time) for time in local}) == 1
    elif lengths[0] == lengths[1]:
        assert before[-1].end == start


def test_days_like_a_monday_are_those_from_monday_to_friday() -> None:
    days = grid("1d", timezone="Europe/Berlin")
    monday, saturday = (days.window(days.index_at(utc(2025, 3, day, 12))).start for day in (31, 29))
    assert [window.start.astimezone(ZoneInfo("Europe/Berlin")).day for window in days.like_days(monday, 3)] == [
        26,
        27,
        28,
    ]
    assert [window.start.astimezone(ZoneInfo("Europe/Berlin")).day for window in days.like_days(saturday, 3)] == [
        16,
        22,
        23,
    ]


def test_a_year_before_is_the_same_date_and_the_same_weekday() -> None:
    days = grid("1d")
    assert [window.start for window in days.a_year_before(utc(2026, 12, 25))] == [utc(2025, 12, 25), utc(2025, 12, 26)]
    assert [window.start for window in days.a_year_before(utc(2024, 2, 29))] == [utc(2023, 2, 28), utc(2023, 3, 2)]
    assert grid("1mo").a_year_before(utc(2026, 12, 1)) == []
    hours = grid("1h", timezone="America/New_York").a_year_before(utc(2026, 7, 4, 15))
    assert [window.start for window in hours] == [utc(2025, 7, 4, 15), utc(2025, 7, 5, 15)]
