"""The times of updated results follow from schedule and data alone, not from when the service ran."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.looks import LabelTimes, performance_looks, revisions_end

END = datetime(2025, 1, 2, tzinfo=UTC)
DAY = timedelta(days=1)
DELAY, REVISE = 7 * DAY, 60 * DAY


def looks(
    days: list[float], rows: int, *, looked: float = 100, judge_from: float = 0.9, expected: float = 1.0
) -> list[tuple[int, float]]:
    """The looks at a window of `rows` rows, as numbers and days after its end.

    days: when its labels came, in days after its end.
    """
    final = revisions_end(END, END, DELAY, REVISE)
    seen = sorted(END + day * DAY for day in days if day <= looked)
    times = LabelTimes.of(seen, rows, expected, judge_from, final)
    result = performance_looks(END, END, times, END + looked * DAY, DELAY, REVISE)
    assert result.settled == (looked >= 60)
    return [(number, (as_of - END) / DAY) for number, as_of in result.certain]


def test_labels_that_all_come_early_give_one_look_when_they_are_there() -> None:
    assert looks([1, 2, 3, 4], 4) == [(0, 4)]
    assert looks([1, 2, 3, 4], 4, looked=3) == []


def test_labels_that_come_late_give_looks_at_half_nine_tenths_and_all_of_them() -> None:
    days = [10.0, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    assert looks(days, 10) == [(0, 7), (1, 14), (2, 18), (3, 19)]
    assert looks(days, 10, looked=15) == [(0, 7), (1, 14)]


def test_labels_of_one_batch_give_one_look_more() -> None:
    assert looks([20, 20, 20, 20], 4) == [(0, 7), (3, 20)]


def test_the_last_look_comes_if_labels_came_since_or_there_never_were_enough() -> None:
    assert looks([1, 2], 4) == [(0, 7), (4, 60)]
    assert looks([1, 2], 4, looked=59) == [(0, 7)]
    assert looks([1, 2, 3, 4, 30], 5, expected=0.8) == [(0, 4), (4, 60)]
    assert looks([], 4) == [(0, 7), (4, 60)]
    assert looks([], 0) == [(0, 7)]
    assert looks([61, 62, 63, 64], 4) == [(0, 7), (4, 60)]


def test_nothing_is_certain_of_a_window_never_looked_at() -> None:
    result = performance_looks(END, END, None, END + 100 * DAY, DELAY, REVISE)
    assert (result.certain, result.next_due, result.settled) == ((), END, False)


@given(st.lists(st.integers(0, 80), max_size=12), st.integers(0, 6), st.integers(0, 90), st.integers(0, 90))
def test_what_is_certain_stays_and_only_grows(days: list[int], without: int, first: int, second: int) -> None:
    """The looks that are certain at one time are the first of those at a later time: a punctual service and one that
    catches up have the same looks.
    """
    rows = len(days) + without
    early, late = (
        looks(list(map(float, days)), rows, looked=min(max(moment, 0), 59)) for moment in sorted((first, second))
    )
    assert late[: len(early)] == early
    whole = looks(list(map(float, days)), rows)
    assert whole[: len(late)] == late
    as_ofs = [as_of for _, as_of in whole]
    assert as_ofs == sorted(set(as_ofs))


def test_the_times_at_which_shares_of_the_labels_were_there() -> None:
    days = [END + day * DAY for day in (1, 2, 3)]
    times = LabelTimes.of(days, 4, expected=0.75, judge_from=0.34, final=END + 2 * DAY)
    assert times == LabelTimes(4, (days[1], days[2], days[2]), judged=days[1], last=days[1])
    assert LabelTimes.of(days, 4, 0.8, 0.9, END).reached == (days[1], days[2], None)
