"""How unusual a healthy window looks: null distributions of the smallest p-value of all columns, from windows drawn
from the reference.
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
# The ranks among the smallest drawn p-values from which the tail is estimated: a single one depends too much on chance.
_IN_TAIL = (5, 20)
# Into how many blocks healthy production is cut, the fewest rows of a block, and the fewest blocks that are enough.
_BLOCKS, _BLOCK_ROWS, _FEWEST_BLOCKS = 20, 100, 4
# From fewer queries it is not known how alike the rows of one query are.
_FEWEST_QUERIES = 40

Null = Mapping[str, list[float]]


@dataclass(frozen=True)
class Tested:
    """One two-sample test of the reference's rows. codes: the bin of each row, -1 where it has none, shape (rows,).

    most: how many rows of a window are compared; None: all.
    """

    bins: Bins
    codes: Floats
    most: int | None = None

    @property
    def counts(self) -> Floats:
        """How many rows are in each bin, shape (bins,)."""
        return np.bincount(self.codes[self.codes >= 0], minlength=self.bins.number).astype(float)

    def p_values(self, rows: Floats) -> Floats:
        """The p-values of drawn windows, shape (draws, rows), against the remaining rows; shape (draws,)."""
        draws, number = len(rows), self.bins.number + 1
        # Rows without a bin are counted in the first bin, which is left out.
        places = (self.codes + 1)[rows[:, : self.most]] + np.arange(draws)[:, None] * number
        window = np.bincount(places.ravel(), minlength=draws * number).reshape(draws, -1)[:, 1:].astype(float)
        all_counts = self.counts[None, :]
        usable = (window.sum(axis=1) > 0) & ((all_counts - window).sum(axis=1) > 0)
        p_values = np.ones(draws)
        if usable.any():  # of a constant column no draw is usable
            p_values[usable] = self.bins.p_values(window[usable], all_counts)
        return p_values


def null_distributions(tested: Sequence[Tested], rows: int, seed: int) -> dict[str, list[float]]:
    """By window size: the smallest p-value of all tests in each drawn window, sorted.

    rows: of the reference. Windows are drawn from it without replacement and compared with the remaining rows. So both
        sides are independent, and the reference's own sampling error is included.
    """
    random = np.random.default_rng(seed)
    smallest_by_size = {}
    sizes = [size for size in _SIZES if 2 * size <= rows] or [rows // 2]
    widest = np.stack([random.permutation(rows)[: sizes[-1]] for _ in range(_DRAWS)])
    for size in sizes:
        drawn = widest[:, :size]
        smallest = np.minimum.reduce([test.p_values(drawn) for test in tested]) if tested else np.ones(_DRAWS)
        smallest_by_size[str(size)] = [float(f"{p_value:.4g}") for p_value in np.sort(smallest)]
    return smallest_by_size


def overdispersion(tested: Mapping[str, Mapping[str, Tested]], healthy: Floats, rows: int, seed: int) -> dict[str, Any]:
    """How much more healthy windows of production vary than windows drawn at random, by metric and column.

    healthy: the rows of healthy production among all `rows`, in the order of time, shape (healthy rows,). They are cut
        into blocks, and each is compared with all other rows.

    Returns `factors`, mean squared deviations over those of drawn windows (quasi-likelihood: Wedderburn, 1974), and
    `rows`, the rows of a block.
    """
    size = int(np.clip(len(healthy) // _BLOCKS, _BLOCK_ROWS, 5_000))
    number = min(len(healthy) // size, 10 * _BLOCKS) if size else 0
    if number < _FEWEST_BLOCKS:
        return {}
    blocks = np.stack([healthy[start * size : (start + 1) * size] for start in range(number)])
    return {"rows": size, "factors": _factors(tested, blocks, rows, np.random.default_rng(seed))}


def _factors(
    tested: Mapping[str, Mapping[str, Tested]], blocks: Floats, rows: int, random: np.random.Generator
) -> dict[str, dict[str, float]]:
    """By metric and column, the mean squared deviation of blocks over that of windows drawn from `rows`, at least 1.
    blocks: the rows of each, shape (blocks, rows).
    """
    drawn = np.stack([random.permutation(rows)[: blocks.shape[1]] for _ in range(_DRAWS // 4)])
    return {
        metric: {
            name: round(
                max(1.0, float(np.mean(_squares(test.p_values(blocks))) / np.mean(_squares(test.p_values(drawn))))), 3
            )
            for name, test in columns.items()
        }
        for metric, columns in tested.items()
    }


def _squares(p_values: Floats) -> Floats:
    return np.asarray(norm.isf(np.clip(p_values, 1e-300, 1.0) / 2) ** 2 + 1e-3)


def design_effects(tested: Mapping[str, Mapping[str, Tested]], query: Floats, seed: int) -> dict[str, Any]:
    """How much more windows of whole queries vary than windows of rows drawn one by one, by metric and column: rows of
    one query are alike. query: a number for each row's query, shape (rows,).

    Empty for fewer than 40 queries, from which it cannot be told.
    """
    random = np.random.default_rng(seed)
    codes, place = np.unique(query, return_inverse=True)
    by_query = np.argsort(random.permutation(len(codes))[place], kind="stable")
    size = int(np.clip(len(query) // _BLOCKS, _BLOCK_ROWS, 5_000))
    number = len(query) // size
    if number < _FEWEST_BLOCKS or len(codes) < _FEWEST_QUERIES:
        return {}
    blocks = by_query[: number * size].reshape(number, size)
    return _factors(tested, blocks, len(query), random)


def overdispersion_adjusted(p_value: float, factor: float, size: int, rows: int, of_queries: float = 1.0) -> float:
    """A p-value for a window of `rows` rows, where blocks of `size` healthy rows vary by `factor`. The variation beyond
    chance grows with the rows. of_queries: the design effect of rows that come in queries, which does not.
    """
    if max(factor, of_queries) <= 1.0:
        return p_value
    grown = max(of_queries, 1.0) + max(factor - 1, 0.0) * rows / size
    return float(2 * norm.sf(norm.isf(max(p_value, 1e-300) / 2) / np.sqrt(grown)))


def independent_tests(null: Null, rows: int) -> float:
    """The number of independent tests that all tests of a window of `rows` rows amount to, interpolated between
    sizes.
    """
    sizes = np.log([float(size) for size in null])
    tests = np.log([_equivalent_tests(np.asarray(smallest)) for smallest in null.values()])
    return float(np.exp(np.interp(np.log(max(rows, 1)), sizes, tests)))


def family_wise(p_value: float, tests: float) -> float:
    """How often the smallest p-value of a healthy window is at least as small.

    tests: from `independent_tests`. The result is a power of the p-value's complement, so it is not limited by the
        few hundred draws.
    """
    return float(-np.expm1(tests * np.log1p(-min(p_value, 1 - 1e-16))))


def _equivalent_tests(smallest: Floats) -> float:
    """The number of independent tests whose smallest p-value has such a lower tail."""
    return max(float(np.log1p(-rank / len(smallest)) / np.log1p(-max(smallest[rank - 1], 1e-300))) for rank in _IN_TAIL)
