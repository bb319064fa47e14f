"""Times of a column in UTC: converting a whole column equals converting each value."""

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
@pytest.mark.parametrize("kind", ["naive", "zoned", "objects"])
def test_a_column_of_times_is_what_each_of_them_is(zone: str, kind: str) -> None:
    times = pd.Series(pd.to_datetime(TIMES, format="ISO8601"))
    if kind == "zoned":
        times = times.dt.tz_localize("UTC").dt.tz_convert("Asia/Kathmandu")
    elif kind == "objects":
        times = pd.Series([None if pd.isna(time) else time.to_pydatetime(warn=False) for time in times], dtype=object)
    result = in_utc(times, ZoneInfo(zone))
    assert [None if pd.isna(time) else time for time in result] == [to_utc(time, ZoneInfo(zone)) for time in times]
    assert str(result.dtype) == "datetime64[us, UTC]"
