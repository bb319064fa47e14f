"""Columns that hold a field of the calendar: what they should hold in a window is known from the times of its rows, so
they are compared with that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from monitor.analysis.summary import Numbers, Summary

_FEWEST_ROWS = 20
# So many rows hold the field of their own time.
_FOLLOWS = 0.97
_FEW, _LIKELY = 500, 0.8


@dataclass(frozen=True)
class _Field:
    """A field of the calendar. words: for people. distinct: how many values a column of it has at least. low, high:
    between which they lie, counted from 0 or 1.
    """

    words: str
    distinct: int
    low: int
    high: int


# By pandas' name for it.
_FIELDS = {
    "hour": _Field("hour of the day", 12, 0, 24),
    "dayofweek": _Field("day of the week", 5, 0, 7),
    "day": _Field("day of the month", 15, 1, 31),
    "month": _Field("month", 6, 0, 12),
    "quarter": _Field("quarter", 3, 0, 4),
    "year": _Field("year", 1, 1900, 2200),
}


@dataclass(frozen=True)
class CalendarField:
    """What a column holds. name: pandas' name of the field. offset: how much more than pandas counts (1: Monday is
    1).
    """

    name: str
    offset: int = 0

    @property
    def words(self) -> str:
        """The field, for people."""
        return _FIELDS[self.name].words


def calendar_field(
    values: pd.Series, times: pd.Series, before: Summary, *, of_reference: bool = False
) -> CalendarField | None:
    """The field of the calendar that a column holds, by number or by name, None if it holds none.

    values: of the column's type in the reference. times: of the rows' events, in UTC. before: of the column in the
        reference. of_reference: whether
    these are the reference's own rows; of a window, whose hours or days are few, the reference must hold as many values
    as the field has.
    """
    # Nearly no column is one: that shows in a few rows.
    few = np.unique(np.linspace(0, len(values) - 1, min(len(values), _FEW)).astype(int))
    some = values.iloc[few], times.iloc[few]
    for name, field in _FIELDS.items():
        least = min(field.distinct, 2) if of_reference else field.distinct
        if before.distinct < least or not _may_hold(before, name, field):
            continue
        for offset in range(-1, 2) if isinstance(before, Numbers) else range(1):
            found = CalendarField(name, offset)
            if _share(*some, found) > _LIKELY and follows(values, times, found):
                return found
    return None


def calendar_fields(
    frame: pd.DataFrame, times: pd.Series, summaries: Mapping[str, Summary | None]
) -> dict[str, CalendarField]:
    """The columns of a reference that hold a field of the calendar. summaries: of those that are looked at."""
    fields = {
        name: calendar_field(frame[name], times, before, of_reference=True)
        for name, before in summaries.items()
        if before is not None
    }
    return {name: field for name, field in fields.items() if field is not None}


def follows(values: pd.Series, times: pd.Series, field: CalendarField) -> bool:
    """Whether nearly all values are that field of their rows' times."""
    return _share(values, times, field) >= _FOLLOWS


def _share(values: pd.Series, times: pd.Series, field: CalendarField) -> float:
    """How many of the values that are there are that field of their rows' times; 0 of too few."""
    known = int((values.notna().to_numpy() & times.notna().to_numpy()).sum())
    return float(on_calendar(values, times, field).sum() / known) if known >= _FEWEST_ROWS else 0.0


def on_calendar(values: pd.Series, times: pd.Series, field: CalendarField) -> np.ndarray:
    """Which values are that field of their row's time; shape (rows,)."""
    if pd.api.types.is_numeric_dtype(values.dtype):
        real = getattr(times.dt, field.name).to_numpy(dtype=float)
        return np.asarray(values.to_numpy(dtype=float, na_value=np.nan) - real == field.offset)
    names = times.dt.day_name() if field.name == "dayofweek" else times.dt.month_name()
    return np.asarray(values.notna().to_numpy() & (_short(values) == _short(names)))


def _short(texts: pd.Series) -> np.ndarray:
    return np.asarray(texts.astype(str).str.lower().str[:3])


def _may_hold(before: Summary, name: str, field: _Field) -> bool:
    if not isinstance(before, Numbers):
        return name in ("dayofweek", "month")
    in_bounds = before.low >= field.low and before.high <= field.high
    return in_bounds and bool((before.unique[0] % 1 == 0).all())
