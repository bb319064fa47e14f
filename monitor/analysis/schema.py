"""What sort of values a column holds, and frames brought into the reference's sorts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

Sort = Literal["numerical", "categorical", "boolean", "time", "empty"]

_TRUE = {"true", "t", "1", "yes"}
_FALSE = {"false", "f", "0", "no"}


def sort_of(values: pd.Series) -> Sort:
    """The sort of values of a column: what its type says, or for objects what the values are."""
    if pd.api.types.is_bool_dtype(values.dtype):
        return "boolean"
    if values.notna().sum() == 0:
        return "empty"
    if pd.api.types.is_numeric_dtype(values.dtype):
        return "numerical"
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return "time"
    if values.dtype == object:
        present = values.dropna()
        if present.map(lambda value: isinstance(value, bool | np.bool_)).all():
            return "boolean"
        if present.map(
            lambda value: not isinstance(value, str | bytes) and np.isscalar(pd.to_numeric(value, errors="coerce"))
        ).all():
            return "numerical" if pd.to_numeric(present, errors="coerce").notna().all() else "categorical"
    return "categorical"


def canonical_text(values: pd.Series) -> pd.Series:
    """Values as text that no engine writes differently: booleans as true and false, whole numbers as digits; null stays null."""
    if pd.api.types.is_bool_dtype(values.dtype):
        return values.astype("boolean").map({True: "true", False: "false"}).astype(object)
    if pd.api.types.is_numeric_dtype(values.dtype):
        codes, different = pd.factorize(pd.to_numeric(values, errors="coerce").astype(float))
        texts = np.array([*map(_number_text, different), None], dtype=object)
        return pd.Series(texts[codes], values.index, dtype=object)
    text = values.astype(object)
    if pd.api.types.infer_dtype(text, skipna=True) != "string":
        text = text.map(_one_text, na_action="ignore").astype(object)
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
    return str(value)


@dataclass
class Conformed:
    """A window's columns in the reference's sorts, and what did not fit."""

    frame: pd.DataFrame
    mismatched: dict[str, int] = field(default_factory=dict)
    infinite: dict[str, int] = field(default_factory=dict)


def conform(frame: pd.DataFrame, sorts: dict[str, Sort]) -> Conformed:
    """Bring the columns of `frame` into the sorts of the reference.

    Numbers become floats, with infinities as missing; categories become text. Values that cannot be read as the
    reference's sort are counted in `mismatched`; infinities in `infinite`. Columns that are absent stay absent.
    """
    result = Conformed(pd.DataFrame(index=frame.index))
    columns: dict[str, pd.Series] = {}
    for name, sort in sorts.items():
        if name not in frame.columns:
            continue
        values = frame[name]
        if sort == "numerical":
            numbers = _numbers(values)
            lost = int((numbers.isna() & values.notna()).sum()) if values.dtype.kind != "f" else 0
            infinite = int(np.isinf(numbers.to_numpy()).sum())
            columns[name] = numbers
            if infinite:
                columns[name] = numbers.mask(np.isinf(numbers))
                result.infinite[name] = infinite
        elif sort == "boolean":
            lower = canonical_text(values).map(str.lower, na_action="ignore")
            columns[name] = lower.map(
                lambda text: "true" if text in _TRUE else "false" if text in _FALSE else None, na_action="ignore"
            ).astype(object)
            lost = int((columns[name].isna() & values.notna()).sum())
        elif sort == "categorical":
            columns[name] = canonical_text(values)
            lost = 0
        else:
            columns[name] = values
            lost = 0
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
    return pd.to_numeric(values.astype(object), errors="coerce").astype(float)
