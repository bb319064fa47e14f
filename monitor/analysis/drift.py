"""Drift of single columns: a two-sample test decides, Evidently's distance tells how far."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency, ks_2samp

from monitor.analysis.schema import Sort

MIN_VALUES = 20


def p_value(reference: pd.Series, window: pd.Series, sort: Sort) -> float:
    """How often two samples of one distribution differ at least so much.

    Numbers: two-sample Kolmogorov-Smirnov test. Categories: chi-square test of homogeneity, with categories that
    are too rare for it (fewer than five expected) taken together.
    """
    if sort == "numerical":
        return float(ks_2samp(reference.to_numpy(), window.to_numpy(), method="asymp").pvalue)
    table = pd.concat([reference.value_counts(), window.value_counts()], axis=1).fillna(0).to_numpy(dtype=float)
    expected = table.sum(axis=1) * min(table.sum(axis=0)) / table.sum()
    rare = expected < 5
    table = np.vstack([table[~rare], table[rare].sum(axis=0)]) if rare.any() else table
    table = table[table.sum(axis=1) > 0]
    return float(chi2_contingency(table, correction=False).pvalue) if len(table) > 1 else 1.0


def describe(reference: pd.Series, window: pd.Series, sort: Sort) -> str:
    """The change in words, worked out from the values."""
    if sort == "numerical":
        before, after = float(reference.median()), float(window.median())
        text = f"median {before:.4g} -> {after:.4g}, 5 to 95 % {_range(reference)} -> {_range(window)}"
        return text + _ratio(before, after)
    shares = pd.concat(
        [reference.value_counts(normalize=True), window.value_counts(normalize=True)], axis=1, keys=["before", "after"]
    ).fillna(0)
    change = (shares["after"] - shares["before"]).abs().sort_values(ascending=False)
    parts = [f"{name!s} {shares.at[name, 'before']:.1%} -> {shares.at[name, 'after']:.1%}" for name in change.index[:3]]
    return ", ".join(parts)


def _range(values: pd.Series) -> str:
    low, high = values.quantile(0.05), values.quantile(0.95)
    return f"[{low:.4g}, {high:.4g}]"


def _ratio(before: float, after: float) -> str:
    """Whether the medians stand in a ratio that looks like another unit: a power of ten."""
    if before == 0 or after == 0 or before * after < 0:
        return ""
    power = round(float(np.log10(after / before)))
    if power != 0 and abs(np.log10(after / before) - power) < 0.02:
        return f"; that is x {10.0**power:g}, as if in another unit"
    return ""
