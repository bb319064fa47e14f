"""Whether more rows of one value explain why other columns moved: the reference, weighted to have as many of it, is
compared with the window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

Floats = np.ndarray
# Values of a category that are told apart, and the least share of the movement that is explained.
_LEVELS, _EXPLAINED = 50, 0.5


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
    def of(cls, before: pd.Series, after: pd.Series, sort: str) -> _Counted:
        if sort == "numerical":
            sides = [each.to_numpy(dtype=float) for each in (before, after)]
            knots = np.unique(np.nanquantile(sides[0], np.linspace(0.05, 0.95, 19)))
            codes = [np.where(np.isfinite(each), np.searchsorted(knots, each, "left"), len(knots)) for each in sides]
            return cls(codes[0], codes[1], len(knots) + 1, is_ordered=True)
        codes, names = pd.factorize(pd.concat([before.astype(object), after.astype(object)], ignore_index=True))
        return cls(codes[: len(before)], codes[len(before) :], len(names), is_ordered=False)

    def shares(self, codes: Floats, weights: Floats | None = None) -> Floats:
        """The share of rows in each bin or, of numbers, in no later one; shape (bins,). weights: of the rows."""
        if self.is_ordered:
            counts = np.bincount(codes, weights, minlength=self.number)
            return np.asarray(np.cumsum(counts)[:-1] / counts.sum())
        there = codes >= 0
        counts = np.bincount(codes[there], None if weights is None else weights[there], minlength=self.number)
        return np.asarray(counts / (counts.sum() if weights is None else weights.sum()))

    def apart(self, one: Floats, other: Floats) -> float:
        """How far two distributions are from each other."""
        return float(np.abs(one - other).max() if self.is_ordered else np.abs(one - other).sum() / 2)


def subpopulation(
    frame: pd.DataFrame, window: pd.DataFrame, sorts: Mapping[str, str], changed: Sequence[str]
) -> tuple[str, str, float, float] | None:
    """The column and value of which there are more, if that alone explains at least half of how the other changed
    columns moved.

    frame, window: the reference's rows and the window's. Returns column, value, and its share before and after.
    """
    best: tuple[float, str, str, float, float] | None = None
    counted = {name: _Counted.of(frame[name], window[name], sorts[name]) for name in changed}
    here_of = {name: each.shares(each.after) for name, each in counted.items()}
    moved = {name: each.apart(each.shares(each.before), here_of[name]) for name, each in counted.items()}
    for column in changed:
        levels = _levels(frame[column], window[column], sorts[column])
        if levels is None:
            continue
        codes, names = pd.factorize(np.concatenate(levels))
        there, here = (
            np.bincount(each, minlength=len(names)) / len(each) for each in (codes[: len(frame)], codes[len(frame) :])
        )
        weights = np.divide(here, there, out=np.zeros(len(names)), where=there > 0)[codes[: len(frame)]]
        if weights.sum() <= 0:
            continue
        others = [name for name in changed if name != column]
        before = sum(moved[name] for name in others)
        after = sum(
            counted[name].apart(counted[name].shares(counted[name].before, weights), here_of[name]) for name in others
        )
        explained = 1 - after / before if before > 0 else 0.0
        if best is None or explained > best[0]:
            value = int((here - there).argmax())
            best = explained, column, str(names[value])[:60], float(there[value]), float(here[value])
    return best[1:] if best is not None and best[0] >= _EXPLAINED else None


def _levels(before: pd.Series, after: pd.Series, sort: str) -> tuple[Floats, Floats] | None:
    if sort == "numerical":
        edges = np.unique(np.nanquantile(before.to_numpy(dtype=float), [0.2, 0.4, 0.6, 0.8]))
        texts = np.array(
            [f"{low:.4g} to {high:.4g}" for low, high in zip([-np.inf, *edges], [*edges, np.inf], strict=True)],
            dtype=object,
        )
        one, other = (
            texts[np.searchsorted(edges, each.fillna(before.median()).to_numpy(dtype=float), "right")]
            for each in (before, after)
        )
        return one, other
    if sort in ("categorical", "boolean") and before.nunique() <= _LEVELS:
        return before.astype(object).fillna("missing").to_numpy(), after.astype(object).fillna("missing").to_numpy()
    return None
