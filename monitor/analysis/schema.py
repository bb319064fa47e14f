"""What type of values a column holds, and frames brought into the reference's types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from numbers import Real
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from monitor.domain.columns import HORIZON, TARGET, Columns
from monitor.domain.hidden import FORM, form_of_hidden
from monitor.domain.positive import as_text
from monitor.domain.text import quoted, shown
from monitor.errors import DataError

Sort = Literal["numerical", "categorical", "boolean", "time", "text", "text_form", "embedding", "other", "empty"]

_TRUE = {"true", "t", "1", "yes"}
_FALSE = {"false", "f", "0", "no"}
# Free text: most values differ, and they have some words.
_TEXT_ROWS, _TEXT_DISTINCT, _TEXT_WORDS, _MOSTLY = 100, 0.5, 3.0, 0.5
# What pandas writes for its own index: no column of the log.
_PANDAS_INDEX = re.compile(r"__index_level_\d+__|Unnamed: \d+")
_DAY_S = 86_400.0
_EPOCH = pd.Timestamp(0, tz="UTC")
# Types of pandas that much of pandas cannot work with.
_ODD = (pd.SparseDtype, pd.PeriodDtype, pd.IntervalDtype, pd.ArrowDtype)


def tidy(frame: pd.DataFrame, columns: Columns | None) -> pd.DataFrame:
    """A frame with names that are text, without pandas' own index columns, unless they are named, with
    `Columns.embeddings` as vectors, and of forecasts with their horizon.

    Raises DataError for two columns of one name.
    """
    named = () if columns is None else columns.all_names
    names = [column if isinstance(column, str) else str(column) for column in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"the frame has more than one column {quoted(twice[0])}: rename or drop one of them")
    kept = [name in named or not _PANDAS_INDEX.fullmatch(name) for name in names]
    result = frame if all(kept) else frame.loc[:, kept]
    result = result.set_axis([name for name, keep in zip(names, kept, strict=True) if keep], axis="columns")
    odd = [name for name, kind in result.dtypes.items() if isinstance(kind, _ODD)]
    result = result.assign(**{name: plain(result[name]) for name in odd}) if odd else result
    if columns is not None and columns.issued_at is not None:
        result = _with_horizon(result, columns)
    return result if columns is None or not columns.embeddings else _with_vectors(result, columns)


def _with_horizon(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """A frame of forecasts with the hours from issue to target, and the target in days since 1970, where it has both
    times.
    """
    if columns.issued_at not in frame or columns.event_time not in frame:
        return frame
    targets = utc_times(frame[columns.event_time])
    hours = (targets - utc_times(frame[columns.issued_at])).dt.total_seconds() / 3600
    return frame.assign(**{HORIZON: hours.round(3), TARGET: days_since(targets, _EPOCH)})


def _with_vectors(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """One column of vectors in place of the columns of each embedding; none where one of them is absent. A vector with
    a number missing is missing.
    """
    vectors = {}
    for name, parts in columns.embeddings.items():
        if set(parts) <= set(frame.columns):
            part = frame[list(parts)]
            vectors[name] = pd.Series(list(part.to_numpy()), frame.index, dtype=object).where(
                part.notna().all(axis=1), None
            )
    kept = frame.drop(columns=list(columns.vector_parts), errors="ignore")
    return kept.assign(**vectors)


def plain(values: pd.Series) -> pd.Series:
    """A column in one of pandas' plain types: categories and sparse values as what they hold, decimals and durations
    (in days) as numbers.
    """
    kind = values.dtype
    if isinstance(kind, pd.CategoricalDtype):
        return values.astype(object).infer_objects()
    if isinstance(kind, pd.SparseDtype):
        return plain(pd.Series(values.array.to_dense(), values.index, name=values.name))
    if kind.kind == "c" or isinstance(kind, pd.IntervalDtype):
        return values.astype(object)
    if isinstance(kind, pd.PeriodDtype):
        return values.dt.start_time
    if isinstance(kind, pd.ArrowDtype):
        return plain(values.array._pa_array.to_pandas().set_axis(values.index).rename(values.name))
    if kind.kind == "m":
        return values.dt.total_seconds() / _DAY_S
    return values


def sort_of(values: pd.Series) -> Sort:
    """The type of values of a column: what its dtype says, or for objects what the values are."""
    values = plain(values)
    if pd.api.types.is_bool_dtype(values.dtype):
        return "boolean"
    if values.notna().sum() == 0:
        return "empty"
    if pd.api.types.is_numeric_dtype(values.dtype):
        return "numerical"
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return "time"
    present = values.dropna()
    types = set(present.map(type))
    if all(issubclass(value_type, bool | np.bool_) for value_type in types):
        return "boolean"
    if all(
        issubclass(value_type, Real | Decimal | np.number) and not issubclass(value_type, bool) for value_type in types
    ):
        return "numerical"
    if all(issubclass(value_type, date | datetime | np.datetime64) for value_type in types):
        return "time"
    if all(issubclass(value_type, list | tuple | np.ndarray) for value_type in types):
        return "embedding" if _width(present) else "other"
    if all(issubclass(value_type, str | bytes | Real | Decimal | np.generic | date) for value_type in types):
        return _sort_of_texts(present)
    return "other"


def _width(vectors: pd.Series) -> int:
    """How many numbers each vector has; 0 where they differ or are no numbers."""
    widths = set(vectors.map(len))
    if len(widths) != 1 or not all(isinstance(number, Real | np.number) for number in vectors.iloc[0]):
        return 0
    return int(widths.pop())


def _sort_of_texts(present: pd.Series) -> Sort:
    if not _is_text(present):
        return "categorical"
    hidden = present.map(form_of_hidden).notna().mean()
    return "text" if hidden < _MOSTLY else "text_form"


def _is_text(values: pd.Series) -> bool:
    if len(values) < _TEXT_ROWS or not all(isinstance(value, str) for value in values.head(_TEXT_ROWS)):
        return False
    texts = values.astype(str)
    return bool(texts.nunique() > _TEXT_DISTINCT * len(texts) and texts.str.split().str.len().mean() >= _TEXT_WORDS)


def canonical_text(values: pd.Series) -> pd.Series:
    """Values as text that no engine writes differently: booleans as true and false, whole numbers as digits, bytes as
    UTF-8; null stays null.
    """
    values = plain(values)
    if pd.api.types.is_bool_dtype(values.dtype):
        return values.astype("boolean").map({True: "true", False: "false"}).astype(object)
    if pd.api.types.is_numeric_dtype(values.dtype):
        codes, different = pd.factorize(pd.to_numeric(values, errors="coerce").astype(float))
        texts = np.array([*map(_number_text, different), None], dtype=object)
        return pd.Series(texts[codes], values.index, dtype=object)
    if isinstance(values.dtype, pd.StringDtype) and values.dtype.storage == "pyarrow":  # it holds text and nothing else
        return pd.Series(values.to_numpy(dtype=object, na_value=None), values.index, dtype=object, name=values.name)
    text = values.astype(object)
    if pd.api.types.infer_dtype(text, skipna=True) != "string":
        text = text.map(_one_text, na_action="ignore").astype(object)
    try:
        pa.array(text, pa.large_string(), from_pandas=True)
    except UnicodeEncodeError:  # lone surrogates are no text that anything can store
        text = text.map(lambda value: value.encode("utf-8", "backslashreplace").decode(), na_action="ignore")
    return text.where(values.notna(), None)


def _number_text(value: float) -> str:
    return (
        str(int(value))
        if np.isfinite(value) and value == np.floor(value) and abs(value) < 2**53
        else repr(float(value))
    )


def _one_text(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return as_text(value) if isinstance(value, bytes) else str(value)


@dataclass
class ConformedWindow:
    """A window's columns in the reference's types, and how many values did not fit."""

    frame: pd.DataFrame
    mismatched: dict[str, int] = field(default_factory=dict)
    infinite: dict[str, int] = field(default_factory=dict)


def conform(frame: pd.DataFrame, sorts: Mapping[str, Sort], event_times: pd.Series | None = None) -> ConformedWindow:
    """Bring the columns of `frame` into the types of the reference.

    Numbers become floats, with infinities as missing; categories become text; times become days: before the event where
    `event_times` are given, else since 1970. Vectors of numbers stay; of other objects only their presence is kept.
    Values that cannot be read as the reference's type are counted in `mismatched`; infinities in `infinite`.
    Columns that are absent stay absent.
    """
    result = ConformedWindow(pd.DataFrame(index=frame.index))
    columns: dict[str, pd.Series] = {}
    for name, column_type in sorts.items():
        if name not in frame.columns:
            continue
        values = plain(frame[name])
        lost: int | None = None
        if column_type == "numerical":
            columns[name] = _numbers(values)
            lost = 0 if values.dtype.kind == "f" else None
            infinite = int(np.isinf(columns[name].to_numpy()).sum())
            if infinite:
                columns[name] = columns[name].mask(np.isinf(columns[name]))
                result.infinite[name] = infinite
                lost = 0 if lost == 0 else int((columns[name].isna() & values.notna()).sum()) - infinite
        elif column_type == "boolean":
            lower = canonical_text(values).map(str.lower, na_action="ignore")
            columns[name] = lower.map(
                lambda text: "true" if text in _TRUE else "false" if text in _FALSE else None, na_action="ignore"
            ).astype(object)
        elif column_type in ("categorical", "text"):
            columns[name], lost = canonical_text(values), 0
        elif column_type == "time":
            columns[name], lost = _days(values, event_times)
        elif column_type == "text_form":
            columns[name], lost = values.map(_form, na_action="ignore").astype(object), 0
        elif column_type == "embedding":
            columns[name] = values.map(_vector, na_action="ignore").astype(object)
        else:
            columns[name], lost = pd.Series("object", values.index, dtype=object).where(values.notna(), None), 0
        lost = int((columns[name].isna() & values.notna()).sum()) if lost is None else lost
        if lost:
            result.mismatched[name] = lost
    result.frame = pd.DataFrame(columns, index=frame.index, copy=False)
    return result


def _numbers(values: pd.Series) -> pd.Series:
    if values.dtype.kind in "fiu":
        return values if values.dtype == float else values.astype(float)
    if pd.api.types.is_bool_dtype(values.dtype) or pd.api.types.is_numeric_dtype(values.dtype):
        return values.astype("Float64").astype(float) if values.isna().any() else values.astype(float)
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return pd.Series(np.nan, index=values.index)
    texts = values.astype(object)
    if any(not isinstance(value, str) for value in texts):
        texts = texts.map(lambda value: value if isinstance(value, str | Real | Decimal | np.number) else None)
    return pd.to_numeric(texts, errors="coerce").astype(float)


def _days(values: pd.Series, event_times: pd.Series | None) -> tuple[pd.Series, int]:
    """Times as days, and how many values are no times: text is read, but is another type than the reference's."""
    times, mismatched = values, 0
    if not pd.api.types.is_datetime64_any_dtype(values.dtype):
        is_time = values.map(lambda value: isinstance(value, date | datetime | np.datetime64))
        mismatched = int((~is_time & values.notna()).sum())
        readable = values.where(is_time | values.map(lambda value: isinstance(value, str)), None)
        times = pd.to_datetime(readable, utc=True, errors="coerce", format="ISO8601")
    times = times.dt.tz_localize("UTC") if times.dt.tz is None else times.dt.tz_convert("UTC")
    try:
        days = days_since(times, _EPOCH if event_times is None else event_times)
    except (OverflowError, pd.errors.OutOfBoundsDatetime):  # years out of range
        return pd.Series(np.nan, values.index), int(values.notna().sum())
    return days if event_times is None else -days, mismatched


def days_since(times: pd.Series, start: pd.Series | pd.Timestamp) -> pd.Series:
    """Times in UTC as days since a start, in microseconds: nanoseconds would end in 1677 and 2262."""
    start = start.dt.as_unit("us") if isinstance(start, pd.Series) else start.as_unit("us")
    return (times.dt.as_unit("us") - start).dt.total_seconds() / _DAY_S


def _vector(value: object) -> np.ndarray | None:
    """A vector of finite numbers; None for anything else."""
    try:
        numbers = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        return None
    return numbers if numbers.ndim == 1 and np.isfinite(numbers).all() else None


def _form(value: object) -> np.ndarray:
    """The form of a hidden text as a vector; of a value with too few words to have one, nothing but zeros."""
    form = form_of_hidden(value)
    return np.zeros(len(FORM)) if form is None else np.array(form)


def utc_times(values: pd.Series) -> pd.Series:
    """Times in UTC; naive ones are. Raises DataError for numbers, and for text that can be read in more than one
    way.
    """
    values = plain(values)
    name = quoted(values.name)
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return pd.to_datetime(
            values, utc=True, cache=False
        )  # looking for repeated ones takes longer than reading times
    if pd.api.types.is_numeric_dtype(values.dtype) and values.notna().any():
        raise DataError(
            f"the times in {name} are numbers, such as {shown(values.dropna().iloc[0])}: convert them first, "
            f"for example pandas.to_datetime(frame[{name}], unit='s')"
        )
    try:
        return pd.to_datetime(values, utc=True, format="ISO8601")
    except (ValueError, TypeError, OverflowError):
        example = next((value for value in values.dropna() if not _is_iso(value)), "")
        raise DataError(
            f"the times in {name} cannot be read: {quoted(example)} is not written as in ISO 8601 (2025-01-31"
            " 13:00:00), and could be read in more than one way; convert them first, for example"
            f" pandas.to_datetime(frame[{name}], dayfirst=True)"
        ) from None


def _is_iso(value: object) -> bool:
    try:
        pd.to_datetime(pd.Series([value]), utc=True, format="ISO8601")
    except (ValueError, TypeError, OverflowError):
        return False
    return True
