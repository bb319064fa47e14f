"""The service detects a clock that is set wrong. When a log is stale is learned from its own gaps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitor.daemon import _Every
from monitor.domain import clock
from monitor.domain.clock import SystemClock
from monitor.domain.freshness import learned_limits, with_arrival

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2025, 1, 6, tzinfo=UTC)


@pytest.mark.parametrize(("jump", "how"), [(-3600, "60 minutes back"), (400 * 86400, "576000 minutes forward")])
def test_a_clock_that_is_set_wrong_stands_no_longer_than_it_is_wrong(
    monkeypatch: pytest.MonkeyPatch, jump: int, how: str
) -> None:
    ours = SystemClock()
    assert ours.fault() == ""
    real = clock.time.time
    with monkeypatch.context() as wrong:
        wrong.setattr(clock.time, "time", lambda: real() + jump)
        assert how in ours.fault()
        assert abs(ours.now() - datetime.fromtimestamp(real(), UTC)) < timedelta(seconds=5)
    assert ours.fault() == ""


def test_a_clock_set_forward_owes_no_missed_calls() -> None:
    later = START + 400 * DAY
    assert _Every(2).get_next_fire_time(START, later) == later + timedelta(seconds=2)


def arrivals(gaps_by_day: list[float]) -> dict[str, float]:
    gaps: dict[str, float] = {}
    for day, hours in enumerate(gaps_by_day):
        seen = START + day * DAY + 23 * HOUR
        gaps = with_arrival(gaps, seen - hours * HOUR, seen, seen)
    return gaps


def test_until_a_week_was_seen_a_log_is_stale_after_a_day_or_two() -> None:
    assert learned_limits({}, HOUR) == (DAY, 3 * DAY)
    assert learned_limits(arrivals([0.1] * 6), 7 * DAY)[0] == 2 * DAY


def test_a_log_written_all_the_time_is_stale_within_hours() -> None:
    assert learned_limits(arrivals([0.1] * 10), 7 * DAY)[0] == timedelta(minutes=30)
    assert learned_limits(arrivals([2.0] * 10), 7 * DAY)[0] == 3 * HOUR


def test_weekends_are_no_fault_and_one_outage_hides_no_other() -> None:
    weeks = [1.0, 1, 1, 1, 1, 1, 60] * 4
    assert learned_limits(arrivals(weeks), DAY)[0] == 90 * HOUR
    assert learned_limits(arrivals([1.0] * 20 + [100.0]), DAY)[0] == 1.5 * HOUR


def test_nothing_new_teaches_nothing_and_what_is_old_is_forgotten() -> None:
    assert with_arrival({}, START, START, START + DAY) == {}
    assert with_arrival({}, None, START, START + DAY) == {}
    assert len(arrivals([1.0] * 40)) == 28
