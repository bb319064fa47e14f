"""Times of a log's column in UTC: all at once as one by one."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from monitor.sources.times import in_utc, to_utc

TIMES = [
    "2026-03-29 01:59:59.123456789",
    "2026-03-29 02:30:00",
    "2026-10-25 02:30:00",
    None,
    "1969-12-31 23:59:59.999999",
]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns"])
@pytest.mark.parametrize("of", ["naive", "zoned", "objects"])
def test_a_column_of_times_is_what_each_of_them_is(zone: str, of: str) -> None:
    times = pd.Series(pd.to_datetime(TIMES, format="ISO8601"))
    if of == "zoned":
        times = times.dt.tz_localize("UTC").dt.tz_convert("Asia/Kathmandu")
    elif of == "objects":
        times = pd.Series([None if pd.isna(each) else each.to_pydatetime(warn=False) for each in times], dtype=object)
    found = in_utc(times, ZoneInfo(zone))
    assert [None if pd.isna(each) else each for each in found] == [to_utc(each, ZoneInfo(zone)) for each in times]
    assert str(found.dtype) == "datetime64[us, UTC]"
