"""Columns that hold a field of the calendar. The times of a window's rows give the expected values, so the columns are
compared with these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from monitor.analysis.summary import Numbers, Summary

_FEWEST_ROWS = 20
# In a calendar column this share of the rows holds the field of the row's own time.
_FOLLOWS = 0.97
# Rows of the subsample that is compared first, and the share of it that must hold the field.
_SUBSAMPLE_ROWS, _LIKELY = 500, 0.8


@dataclass(frozen=True)
class _Field:
    """A field of the calendar. words: its name in messages. distinct: how many distinct values such a column has at
    least. low, high: the bounds of its values, counted from 0 or 1.
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
    """The field that a column holds. name: pandas' name of the field. offset: the difference to pandas' number (1:
    Monday is 1).
    """

    name: str
    offset: int = 0

    @property
    def words(self) -> str:
        """The name of the field in messages."""
        return _FIELDS[self.name].words


def calendar_field(
    values: pd.Series, times: pd.Series, before: Summary, *, of_reference: bool = False
) -> CalendarField | None:
    """The field of the calendar that a column holds, by number or by name; None if it holds none.

    values: in the column's type in the reference. times: of the rows' events, in UTC.
    before: the column's summary in the reference.
    of_reference: whether these are the reference's own rows. A window has few hours or days, so for a window the
        reference must hold as many distinct values as the field.
    """
    # Nearly no column is a calendar field. A small subsample shows that.
    places = np.unique(np.linspace(0, len(values) - 1, min(len(values), _SUBSAMPLE_ROWS)).astype(int))
    subsample = values.iloc[places], times.iloc[places]
    for name, field in _FIELDS.items():
        least = min(field.distinct, 2) if of_reference else field.distinct
        if before.distinct < least or not _may_hold(before, name, field):
            continue
        for offset in range(-1, 2) if isinstance(before, Numbers) else range(1):
            candidate = CalendarField(name, offset)
            if _share(*subsample, candidate) > _LIKELY and follows(values, times, candidate):
                return candidate
    return None


def calendar_fields(
    frame: pd.DataFrame, times: pd.Series, summaries: Mapping[str, Summary | None]
) -> dict[str, CalendarField]:
    """The columns of a reference that hold a field of the calendar. summaries: of the candidate columns."""
    fields = {
        name: calendar_field(frame[name], times, before, of_reference=True)
        for name, before in summaries.items()
        if before is not None
    }
    return {name: field for name, field in fields.items() if field is not None}


def follows(values: pd.Series, times: pd.Series, field: CalendarField) -> bool:
    """Whether nearly all values equal the field of their rows' times."""
    return _share(values, times, field) >= _FOLLOWS


def _share(values: pd.Series, times: pd.Series, field: CalendarField) -> float:
    """The share of the present values that equal the field of their rows' times; 0 if too few are present."""
    present = int((values.notna().to_numpy() & times.notna().to_numpy()).sum())
    return float(on_calendar(values, times, field).sum() / present) if present >= _FEWEST_ROWS else 0.0


def on_calendar(values: pd.Series, times: pd.Series, field: CalendarField) -> np.ndarray:
    """Which values equal the field of their row's time; shape (rows,)."""
    if pd.api.types.is_numeric_dtype(values.dtype):
        expected = getattr(times.dt, field.name).to_numpy(dtype=float)
        return np.asarray(values.to_numpy(dtype=float, na_value=np.nan) - expected == field.offset)
    names = times.dt.day_name() if field.name == "dayofweek" else times.dt.month_name()
    return np.asarray(values.notna().to_numpy() & (_short(values) == _short(names)))


def _short(texts: pd.Series) -> np.ndarray:
    return np.asarray(texts.astype(str).str.lower().str[:3])


def _may_hold(before: Summary, name: str, field: _Field) -> bool:
    if not isinstance(before, Numbers):
        return name in ("dayofweek", "month")
    in_bounds = before.low >= field.low and before.high <= field.high
    return in_bounds and bool((before.unique[0] % 1 == 0).all())
