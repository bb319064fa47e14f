"""How unusual a healthy window looks: null distributions of the smallest p-value of all columns, from windows drawn out of the reference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from monitor.analysis.summary import Summary
from monitor.analysis.twosample import Bins, Floats

# Windows drawn for each size; thresholds between sizes are interpolated.
_SIZES = (200, 1_000, 5_000, 20_000)
_DRAWS = 200
# The smallest of the drawn p-values by which their tail is told: single ones share their own luck.
_IN_TAIL = (5, 20)

Null = Mapping[str, list[float]]


def null_distributions(frame: pd.DataFrame, summaries: Mapping[str, Summary], seed: int) -> dict[str, list[float]]:
    """By window size: the smallest p-value of all columns in each drawn window, sorted.

    frame: the reference's rows. Windows are drawn from it without replacement and held against the rows that are left, so that
    neither side knows the other: the reference's own sampling error is in it.
    """
    random = np.random.default_rng(seed)
    bins = {name: Bins.of(summary) for name, summary in summaries.items() if summary.count}
    codes = {name: each.codes(frame[name]) for name, each in bins.items()}
    found = {}
    sizes = [size for size in _SIZES if 2 * size <= len(frame)] or [len(frame) // 2]
    for size in sizes:
        rows = np.stack([random.permutation(len(frame))[:size] for _ in range(_DRAWS)])
        smallest = np.ones(_DRAWS)
        for name, each in bins.items():
            drawn = codes[name][rows]
            there = drawn >= 0
            places = np.arange(_DRAWS)[:, None] * each.number + drawn
            window = np.bincount(places[there], minlength=_DRAWS * each.number).reshape(_DRAWS, -1).astype(float)
            left = each.counts(summaries[name]) - window
            usable = (window.sum(axis=1) > 0) & (left.sum(axis=1) > 0)
            p_values = np.ones(_DRAWS)
            p_values[usable] = each.p_values(window[usable], left[usable])
            smallest = np.minimum(smallest, p_values)
        found[str(size)] = [float(f"{each:.4g}") for each in np.sort(smallest)]
    return found


def family_wise(p_value: float, null: Null, rows: int) -> float:
    """How often the smallest p-value of a healthy window of so many rows is at least as small.

    The tail is that of independent tests, as many as the drawn windows speak of (a power of the p-value's complement): it
    reaches beyond what a few hundred draws can show.
    """
    sizes = np.log([float(size) for size in null])
    tests = [np.log(_as_many_tests(np.asarray(each))) for each in null.values()]
    number = float(np.exp(np.interp(np.log(max(rows, 1)), sizes, tests)))
    return float(-np.expm1(number * np.log1p(-min(p_value, 1 - 1e-16))))


def _as_many_tests(smallest: Floats) -> float:
    """Of how many independent tests the smallest p-value has such a lower tail."""
    return max(
        float(np.log1p(-place / len(smallest)) / np.log1p(-max(smallest[place - 1], 1e-300))) for place in _IN_TAIL
    )
