"""Times of logs: in UTC, and as their column has them."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from monitor.errors import DataError
from monitor.sources.spec import Place


def naive(moment: datetime, zone: tzinfo) -> datetime:
    """A moment as clocks of a zone show it."""
    return moment.astimezone(zone).replace(tzinfo=None)


def zone_of(place: Place) -> ZoneInfo:
    """The zone of a place's times that have none of their own."""
    return ZoneInfo(place.timezone)


def to_utc(moment: Any, zone: ZoneInfo) -> datetime | None:
    """A time of the log in UTC; one without a zone is in `zone`. Nanoseconds are cut to microseconds."""
    if moment is None or pd.isna(moment):
        return None
    stamp = pd.Timestamp(moment).floor("us")
    plain: datetime = stamp.to_pydatetime(warn=False)
    try:
        return (plain.replace(tzinfo=zone) if plain.tzinfo is None else plain).astimezone(UTC)
    except OverflowError:  # the first and the last day that there are
        return plain.replace(tzinfo=UTC)


def check_time(table: Any, name: str, shown: str) -> None:
    """Raise DataError where a column holds no times."""
    kind = table.schema()[name]
    if not (kind.is_timestamp() or kind.is_date()):
        others = [each for each, other in table.schema().items() if other.is_timestamp() or other.is_date()]
        raise DataError(
            f"the time column '{name}' of {shown} is {kind}, not a time: write it as a timestamp, or convert it with source.query; "
            f"its time columns are: {', '.join(others) or 'none'}"
        )
