"""Whether more rows with one value explain why other columns moved: the reference, weighted to have the window's share
of that value, is compared with the window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

Floats = np.ndarray
# The most values of a category that are distinguished, and the least share of the movement that is explained.
_LEVELS, _EXPLAINED = 50, 0.5


class Subpopulation(NamedTuple):
    """A value of which there are more rows. share_before, share_after: of the rows, in the reference and the window."""

    column: str
    value: str
    share_before: float
    share_after: float


@dataclass(frozen=True)
class _Counted:
    """A column of reference and window as bins. before, after: the bin of each row, shape (rows,); of numbers the last
    bin holds what is missing, of categories -1. number: of bins.
    """

    before: Floats
    after: Floats
    number: int
    is_ordered: bool

    @classmethod
    def of(cls, before: pd.Series, after: pd.Series, column_type: str) -> _Counted:
        if column_type == "numerical":
            sides = [side.to_numpy(dtype=float) for side in (before, after)]
            knots = np.unique(np.nanquantile(sides[0], np.linspace(0.05, 0.95, 19)))
            codes = [np.where(np.isfinite(side), np.searchsorted(knots, side, "left"), len(knots)) for side in sides]
            return cls(codes[0], codes[1], len(knots) + 1, is_ordered=True)
        codes, names = pd.factorize(pd.concat([before.astype(object), after.astype(object)], ignore_index=True))
        return cls(codes[: len(before)], codes[len(before) :], len(names), is_ordered=False)

    def shares(self, codes: Floats, weights: Floats | None = None) -> Floats:
        """The share of rows in each bin or, of numbers, in no later one; shape (bins,). weights: of the rows."""
        if self.is_ordered:
            counts = np.bincount(codes, weights, minlength=self.number)
            return np.asarray(np.cumsum(counts)[:-1] / counts.sum())
        present = codes >= 0
        counts = np.bincount(codes[present], None if weights is None else weights[present], minlength=self.number)
        return np.asarray(counts / (counts.sum() if weights is None else weights.sum()))

    def separation(self, first: Floats, second: Floats) -> float:
        """How far two distributions are from each other."""
        return float(np.abs(first - second).max() if self.is_ordered else np.abs(first - second).sum() / 2)


def subpopulation(
    frame: pd.DataFrame, window: pd.DataFrame, sorts: Mapping[str, str], changed: Sequence[str]
) -> Subpopulation | None:
    """The value of which there are more rows, if that alone explains at least half of how the other changed columns
    moved.

    frame, window: the reference's rows and the window's.
    """
    best: tuple[float, Subpopulation] | None = None
    counted = {name: _Counted.of(frame[name], window[name], sorts[name]) for name in changed}
    shares_in_window = {name: column_bins.shares(column_bins.after) for name, column_bins in counted.items()}
    moved = {
        name: column_bins.separation(column_bins.shares(column_bins.before), shares_in_window[name])
        for name, column_bins in counted.items()
    }
    for column in changed:
        levels = _levels(frame[column], window[column], sorts[column])
        if levels is None:
            continue
        codes, names = pd.factorize(np.concatenate(levels))
        codes_before, codes_after = codes[: len(frame)], codes[len(frame) :]
        shares_before, shares_after = (
            np.bincount(side_codes, minlength=len(names)) / len(side_codes)
            for side_codes in (codes_before, codes_after)
        )
        growth = np.divide(shares_after, shares_before, out=np.zeros(len(names)), where=shares_before > 0)
        weights = growth[codes_before]
        if weights.sum() <= 0:
            continue
        other_columns = [name for name in changed if name != column]
        before = sum(moved[name] for name in other_columns)
        after = sum(
            counted[name].separation(counted[name].shares(counted[name].before, weights), shares_in_window[name])
            for name in other_columns
        )
        explained = 1 - after / before if before > 0 else 0.0
        if best is None or explained > best[0]:
            value = int((shares_after - shares_before).argmax())
            text = str(names[value])[:60]
            best = explained, Subpopulation(column, text, float(shares_before[value]), float(shares_after[value]))
    return best[1] if best is not None and best[0] >= _EXPLAINED else None


def _levels(before: pd.Series, after: pd.Series, column_type: str) -> tuple[Floats, Floats] | None:
    if column_type == "numerical":
        edges = np.unique(np.nanquantile(before.to_numpy(dtype=float), [0.2, 0.4, 0.6, 0.8]))
        texts = np.array(
            [f"{low:.4g} to {high:.4g}" for low, high in zip([-np.inf, *edges], [*edges, np.inf], strict=True)],
            dtype=object,
        )
        reference_levels, window_levels = (
            texts[np.searchsorted(edges, values.fillna(before.median()).to_numpy(dtype=float), "right")]
            for values in (before, after)
        )
        return reference_levels, window_levels
    if column_type in ("categorical", "boolean") and before.nunique() <= _LEVELS:
        return before.astype(object).fillna("missing").to_numpy(), after.astype(object).fillna("missing").to_numpy()
    return None
