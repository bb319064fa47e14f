"""How unusual a healthy window looks: null distributions of the smallest p-value of all columns, from windows drawn out
of the reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from monitor.analysis.twosample import Bins, Floats

# Windows drawn for each size; thresholds between sizes are interpolated, and beyond the largest they hardly change.
_SIZES = (200, 1_000, 5_000)
_DRAWS = 200
# The smallest of the drawn p-values by which their tail is told: single ones share their own luck.
_IN_TAIL = (5, 20)
# Into how many blocks healthy production is cut, of how many rows at least; fewer tell nothing.
_BLOCKS, _BLOCK_ROWS, _FEWEST_BLOCKS = 20, 100, 4

Null = Mapping[str, list[float]]


@dataclass(frozen=True)
class Tested:
    """What is counted of the reference's rows. codes: the bin of each row, -1 where it has none, shape (rows,).

    most: how many rows of a window are looked at; None: all.
    """

    bins: Bins
    codes: Floats
    most: int | None = None

    @property
    def counts(self) -> Floats:
        """How many rows are in each bin, shape (bins,)."""
        return np.bincount(self.codes[self.codes >= 0], minlength=self.bins.number).astype(float)

    def p_values(self, rows: Floats) -> Floats:
        """Of drawn windows, shape (draws, rows), against the rows that are left; shape (draws,)."""
        draws, number = len(rows), self.bins.number + 1
        # Rows without a bin are counted first, and left out.
        places = (self.codes + 1)[rows[:, : self.most]] + np.arange(draws)[:, None] * number
        window = np.bincount(places.ravel(), minlength=draws * number).reshape(draws, -1)[:, 1:].astype(float)
        both = self.counts[None, :]
        usable = (window.sum(axis=1) > 0) & ((both - window).sum(axis=1) > 0)
        found = np.ones(draws)
        if usable.any():  # of a column with one value in all rows no draw has one on either side
            found[usable] = self.bins.p_values(window[usable], both)
        return found


def null_distributions(tested: Sequence[Tested], rows: int, seed: int) -> dict[str, list[float]]:
    """By window size: the smallest p-value of all that is tested in each drawn window, sorted.

    rows: of the reference. Windows are drawn from it without replacement and held against the rows that are left, so
        that
    neither side knows the other: the reference's own sampling error is in it.
    """
    random = np.random.default_rng(seed)
    found = {}
    sizes = [size for size in _SIZES if 2 * size <= rows] or [rows // 2]
    widest = np.stack([random.permutation(rows)[: sizes[-1]] for _ in range(_DRAWS)])
    for size in sizes:
        drawn = widest[:, :size]
        smallest = np.minimum.reduce([each.p_values(drawn) for each in tested]) if tested else np.ones(_DRAWS)
        found[str(size)] = [float(f"{each:.4g}") for each in np.sort(smallest)]
    return found


def overdispersion(tested: Mapping[str, Mapping[str, Tested]], healthy: Floats, rows: int, seed: int) -> dict[str, Any]:
    """How much more healthy windows of production vary than windows drawn at random, by metric and column.

    healthy: the rows of healthy production among all `rows`, in the order of time, shape (healthy rows,). They are cut
        into blocks, each held
    against all other rows; `factors` are mean squared deviations over those of drawn windows (quasi-likelihood:
    Wedderburn, 1974), at `rows` a block.
    """
    size = int(np.clip(len(healthy) // _BLOCKS, _BLOCK_ROWS, 5_000))
    number = min(len(healthy) // size, 10 * _BLOCKS) if size else 0
    if number < _FEWEST_BLOCKS:
        return {}
    blocks = np.stack([healthy[start * size : (start + 1) * size] for start in range(number)])
    random = np.random.default_rng(seed)
    drawn = np.stack([random.permutation(rows)[:size] for _ in range(_DRAWS // 4)])
    factors = {
        metric: {
            name: round(
                max(1.0, float(np.mean(_squares(each.p_values(blocks))) / np.mean(_squares(each.p_values(drawn))))), 3
            )
            for name, each in columns.items()
        }
        for metric, columns in tested.items()
    }
    return {"rows": size, "factors": factors}


def _squares(p_values: Floats) -> Floats:
    return np.asarray(norm.isf(np.clip(p_values, 1e-300, 1.0) / 2) ** 2 + 1e-3)


def overdispersion_adjusted(p_value: float, factor: float, size: int, rows: int) -> float:
    """A p-value for a window of `rows` rows, where blocks of `size` healthy rows vary by `factor`: what varies beyond
    chance grows with the rows.
    """
    if factor <= 1.0:
        return p_value
    grown = 1 + (factor - 1) * rows / size
    return float(2 * norm.sf(norm.isf(max(p_value, 1e-300) / 2) / np.sqrt(grown)))


def independent_tests(null: Null, rows: int) -> float:
    """As how many independent tests everything that is tested of a window of `rows` rows counts; between sizes
    interpolated.
    """
    sizes = np.log([float(size) for size in null])
    tests = np.log([_as_many_tests(np.asarray(each)) for each in null.values()])
    return float(np.exp(np.interp(np.log(max(rows, 1)), sizes, tests)))


def family_wise(p_value: float, tests: float) -> float:
    """How often the smallest p-value of a healthy window is at least as small.

    tests: from `independent_tests`. A power of the p-value's complement: it reaches beyond what a few hundred draws can
        show.
    """
    return float(-np.expm1(tests * np.log1p(-min(p_value, 1 - 1e-16))))


def _as_many_tests(smallest: Floats) -> float:
    """Of how many independent tests the smallest p-value has such a lower tail."""
    return max(
        float(np.log1p(-place / len(smallest)) / np.log1p(-max(smallest[place - 1], 1e-300))) for place in _IN_TAIL
    )
