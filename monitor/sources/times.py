"""Times of logs: in UTC, and as their column has them."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pandas as pd

from monitor.errors import DataError
from monitor.sources.spec import Place

if TYPE_CHECKING:
    from monitor.sources.engines.base import Engine

_FROM_TEXT = "SELECT * REPLACE (strptime(NAME, '%m/%d/%Y') AS NAME) FROM log"
_FROM_NUMBER = "SELECT * REPLACE (to_timestamp(NAME) AS NAME) FROM log (seconds since 1970; of milliseconds epoch_ms)"


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


def in_utc(times: pd.Series, zone: ZoneInfo) -> pd.Series:
    """The same of a column, of shape (rows,)."""
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        return _of_microseconds(times.dt.tz_convert("UTC"))
    if zone.key == "UTC" and times.dtype.kind == "M":
        return _of_microseconds(times.dt.tz_localize("UTC"))
    return pd.to_datetime(times.map(lambda moment: to_utc(moment, zone)), utc=True)


def _of_microseconds(times: pd.Series) -> pd.Series:
    return times.dt.floor("us").astype("datetime64[us, UTC]")


def check_time(engine: Engine, table: Any, name: str, shown: str) -> None:
    """Raise DataError where a column holds no times."""
    kind = table.schema()[name]
    if not (kind.is_timestamp() or kind.is_date()):
        time_columns = [
            column
            for column, column_type in table.schema().items()
            if column_type.is_timestamp() or column_type.is_date()
        ]
        first = engine.run(table.filter(table[name].notnull()).select(name).limit(1)) if kind.is_string() else None
        example = f", such as '{str(first.iat[0, 0])[:40]}'" if first is not None and len(first) else ""
        how = _FROM_TEXT if kind.is_string() else _FROM_NUMBER
        raise DataError(
            f"the time column '{name}' of {shown} is {'text' if kind.is_string() else kind}{example}, not a time: write"
            " it as a timestamp (ISO 8601), or convert it with `query`, beside `path` for instance"
            f" {how.replace('NAME', name)}; its time columns are: {', '.join(time_columns) or 'none'}"
        )
