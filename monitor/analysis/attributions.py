"""How much the model relies on each feature, by logged attributions such as SHAP values: the mean of their absolute
values, and the order of features by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.stats import norm

Floats = np.ndarray
# The reference is cut into at most so many blocks of at least so many rows: healthy means vary as theirs do.
_BLOCKS, _BLOCK_ROWS = 20, 50
# Windows drawn from the reference, for the NDCG of a healthy one.
_DRAWS = 200


@dataclass(frozen=True)
class Attributions:
    """Absolute attributions of rows. features: their names. values: shape (rows, features), NaN where none is."""

    features: tuple[str, ...]
    values: Floats

    @classmethod
    def of(cls, frame: pd.DataFrame, columns: Mapping[str, str]) -> Attributions:
        """columns: of attributions, by feature; those that the frame does not have are left out."""
        present = {
            feature: pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
            for feature, name in columns.items()
            if name in frame
        }
        values = np.column_stack(list(present.values())) if present else np.zeros((len(frame), 0))
        return cls(tuple(present), np.abs(np.where(np.isfinite(values), values, np.nan)))

    def only(self, features: tuple[str, ...]) -> Attributions:
        """Those of some features."""
        return Attributions(features, self.values[:, [self.features.index(name) for name in features]])

    @cached_property
    def counts(self) -> Floats:
        """How many rows have an attribution, shape (features,)."""
        return np.asarray(np.isfinite(self.values).sum(axis=0))

    @cached_property
    def means(self) -> Floats:
        """The mean absolute attribution, shape (features,); NaN where there is none."""
        totals = np.nansum(self.values, axis=0)
        return np.asarray(np.divide(totals, self.counts, out=np.full(len(totals), np.nan), where=self.counts > 0))

    @property
    def shares(self) -> Floats:
        """Each feature's share of all attributions, shape (features,)."""
        total = float(np.nansum(self.means))
        return np.asarray(np.nan_to_num(self.means) / (total or 1.0))


def ndcg(before: Floats, after: Floats) -> float:
    """The normalised discounted cumulative gain of the order of features in a window, with the reference's attributions
    as gains (SageMaker Clarify's and Vertex AI's measure of feature attribution drift). before, after: shape
    (features,).
    """
    discounts = 1 / np.log2(np.arange(2, len(before) + 2))
    best = float((np.sort(before)[::-1] * discounts).sum())
    gained = float((before[np.argsort(-after, kind="stable")] * discounts).sum())
    return gained / best if best > 0 else 1.0


def p_values(before: Attributions, after: Attributions) -> Floats:
    """How often a healthy window's mean absolute attribution differs as much, shape (features,). How much healthy means
    vary is learned from the reference's own blocks, in the order of its rows.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.nanvar(before.values, axis=0)
        own = np.divide(variance, np.maximum(after.counts, 1)) + np.divide(variance, np.maximum(before.counts, 1))
        between = _variance_between_blocks(before, variance)
        z = np.abs(after.means - before.means) / np.sqrt(own + between)
    z = np.where(np.isfinite(z), z, np.where(after.means == before.means, 0.0, np.inf))
    return np.asarray(np.clip(2 * norm.sf(z), 0.0, 1.0))


def _variance_between_blocks(before: Attributions, variance: Floats) -> Floats:
    """By how much the means of the reference's blocks vary beyond chance, shape (features,)."""
    number = min(_BLOCKS, len(before.values) // _BLOCK_ROWS)
    if number < 2:
        return np.zeros(len(variance))
    blocks = [Attributions(before.features, rows) for rows in np.array_split(before.values, number)]
    spread = np.var([block.means for block in blocks], axis=0, ddof=1)
    chance = variance * np.mean([1 / np.maximum(block.counts, 1) for block in blocks], axis=0)
    return np.asarray(np.maximum(np.nan_to_num(spread - chance), 0.0))


def lowest_healthy_ndcg(before: Attributions, rows: int, seed: int) -> float:
    """The lowest NDCG of windows of so many rows that are drawn from the reference's own blocks: consecutive rows that
    begin anywhere.
    """
    size = max(min(rows, len(before.values) // 2), 1)
    starts = np.random.default_rng(seed).integers(0, len(before.values) - size + 1, _DRAWS)
    windows = (Attributions(before.features, before.values[start : start + size]) for start in starts)
    return min(ndcg(np.nan_to_num(before.means), np.nan_to_num(window.means)) for window in windows)
