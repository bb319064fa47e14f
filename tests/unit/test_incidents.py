"""Alerts that may have begun at one moment are one incident; a chain of overlaps is none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from monitor.alerting.incidents import grouped

START = datetime(2025, 1, 1, tzinfo=UTC)
Span = tuple[datetime, datetime, str]


def span(first: float, last: float, name: str = "") -> Span:
    return START + timedelta(hours=first), START + timedelta(hours=last), name


def test_windows_of_different_length_that_overlap_began_together() -> None:
    groups = grouped([span(0, 24, "daily"), span(13, 14, "hourly"), span(24, 48, "next day")])
    assert [group.members for group in groups] == [["daily", "hourly"], ["next day"]]
    assert (groups[0].start, groups[0].end) == span(13, 14)[:2]


def test_a_chain_of_overlaps_is_no_incident() -> None:
    groups = grouped([span(0, 10, "a"), span(8, 18, "b"), span(16, 26, "c")])
    assert [group.members for group in groups] == [["a", "b"], ["c"]]


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(1, 50)), max_size=30))
def test_all_of_a_group_have_a_moment_in_common_and_nothing_is_lost(spans: list[tuple[int, int]]) -> None:
    beginnings = [span(first, first + length, str(number)) for number, (first, length) in enumerate(spans)]
    groups = grouped(beginnings)
    assert sorted(name for group in groups for name in group.members) == sorted(name for *_, name in beginnings)
    by_name = {name: (start, end) for start, end, name in beginnings}
    for group in groups:
        assert group.start < group.end
        assert all(by_name[name][0] <= group.start and group.end <= by_name[name][1] for name in group.members)
