"""Faults to try a monitor with: each does something to one column of some rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

Random = np.random.Generator


@dataclass(frozen=True)
class Fault:
    """name: what it is called. sort: of which columns, `numerical`, `categorical` or `both`. change: gives the values of the affected rows."""

    name: str
    sort: str
    change: Callable[[pd.Series, pd.Series, Random], object]

    def fits(self, values: pd.Series) -> bool:
        """Whether a column can have it: more than one value, of the right sort."""
        numerical = values.dtype.kind in "fiu"
        return values.nunique() > 1 and (self.sort == "both" or (self.sort == "numerical") == numerical)

    def inject(self, frame: pd.DataFrame, column: str, rows: np.ndarray, random: Random) -> pd.DataFrame:
        """A copy of `frame` in which the rows (flags, shape (rows,)) have the fault."""
        values = frame[column]
        changed = values.astype(float if values.dtype.kind in "fiu" else object)
        changed[rows] = self.change(values[rows], values, random)
        return frame.assign(**{column: changed})


def _swapped(some: pd.Series, whole: pd.Series, _: Random) -> pd.Series:
    first, second = whole.value_counts().index[:2]
    return some.where(~some.isin([first, second]), some.map({first: second, second: first}))


def _rounded(some: pd.Series, whole: pd.Series, _: Random) -> pd.Series:
    return some.round(-int(np.floor(np.log10(whole.std() + 1e-12))))


FAULTS = (
    Fault("mean shift", "numerical", lambda some, whole, _: some + whole.std()),
    Fault("scale", "numerical", lambda some, whole, _: (some - whole.mean()) * 2 + whole.mean()),
    Fault("unit change", "numerical", lambda some, _, __: some * 100),
    Fault("rounding", "numerical", _rounded),
    Fault("placeholder value", "numerical", lambda _, __, ___: -999.0),
    Fault("missing burst", "both", lambda _, __, ___: None),
    Fault("stuck value", "both", lambda _, whole, __: whole.dropna().iloc[0]),
    Fault("correlation break", "both", lambda some, _, random: random.permutation(some.to_numpy())),
    Fault("new category", "categorical", lambda _, __, ___: "never seen"),
    Fault("category swap", "categorical", _swapped),
)
