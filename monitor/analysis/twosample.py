"""Two-sample tests of one column, from counts over the reference's bins: for one window, or for hundreds of drawn ones
at once.

Each takes the counts of the window's side, of shape (draws, bins), and those of both sides together, of the same shape
or, where they are the same for all draws, (1, bins); and gives p-values of shape (draws,).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd
from scipy.special import chdtrc, erfc, kolmogorov, xlogy

from monitor.analysis.summary import Numbers, Summary

Floats = np.ndarray
# Categories with fewer rows than this, on both sides together, are merged: chi-square needs frequent ones.
_RARE = 10
# Sums that are less skewed are treated as normal.
_SYMMETRIC = 1e-6
_MOSTLY_TIED = 0.95
_LOOKED_UP_BITS = 20


@dataclass(frozen=True)
class Bins:
    """How a column's values are counted.

    Numbers: at and between the reference's knots, so that ties are seen, shape (2 knots + 1). Categories: one each, the
        last for any other.
    """

    knots: Floats | None
    names: pd.Index | None

    @classmethod
    def of(cls, summary: Summary) -> Bins:
        """The bins of a reference column."""
        if isinstance(summary, Numbers):
            return cls(summary.knots, None)
        return cls(None, summary.tally.index)

    @classmethod
    def of_numbers(cls, values: Floats) -> Bins:
        """The bins of numbers without a summary, shape (values,); NaN is missing."""
        return cls(Numbers(np.sort(values[np.isfinite(values)]), len(values)).knots, None)

    @cached_property
    def _edges(self) -> Floats:
        """Where bins begin: each knot, and the next number above it."""
        assert self.knots is not None
        return np.stack([self.knots, np.nextafter(self.knots, np.inf)], axis=1).ravel()

    @property
    def number(self) -> int:
        """How many bins there are."""
        if self.knots is not None:
            return 2 * len(self.knots) + 1
        assert self.names is not None
        return len(self.names) + 1

    def codes(self, values: pd.Series) -> Floats:
        """The bin of each value, shape (values,); -1 for missing ones."""
        if self.knots is not None:
            numbers = values.to_numpy(dtype=float)
            left = np.searchsorted(self.knots, numbers)
            at_knot = self.knots[np.minimum(left, len(self.knots) - 1)] == numbers
            return np.asarray(np.where(np.isfinite(numbers), 2 * left + at_knot, -1))
        assert self.names is not None
        positions = self.names.get_indexer(pd.Index(values.to_numpy(dtype=self.names.dtype)))
        return np.asarray(np.where(values.isna(), -1, np.where(positions < 0, len(self.names), positions)))

    def counts(self, summary: Summary) -> Floats:
        """The counts of a summarised column, shape (bins,)."""
        if isinstance(summary, Numbers):
            assert self.knots is not None
            places = np.empty(self.number + 1)
            places[0], places[-1] = 0, summary.count
            places[1:-1] = np.searchsorted(summary.values, self._edges)
            return np.diff(places)
        assert self.names is not None
        counts = summary.tally.reindex(self.names, fill_value=0).to_numpy(dtype=float)
        return np.append(counts, summary.count - counts.sum())

    def counts_of_numbers(self, values: Floats) -> Floats:
        """The counts of numbers without a summary, shape (bins,); NaN is missing."""
        present = values[~np.isnan(values)]
        if self.knots is not None:
            return self.counts(Numbers(np.sort(present), len(values)))
        assert self.names is not None
        different, often = np.unique(present, return_counts=True)
        places = self.names.get_indexer(pd.Index(different))
        return np.bincount(np.where(places < 0, len(self.names), places), often, minlength=self.number)

    def p_values(self, window: Floats, both: Floats) -> Floats:
        """The smallest p-value of the tests that suit the column, for each draw; not corrected for their number."""
        tests = _of_numbers(window, both) if self.knots is not None else _of_categories(window, both)
        smallest: Floats = np.minimum.reduce(tests)
        return smallest


@dataclass(frozen=True)
class Counted:
    """A window's counts beside the reference's, each of shape (bins,)."""

    bins: Bins
    window: Floats
    reference: Floats


def p_values(columns: Sequence[Counted]) -> list[float]:
    """The smallest p-value of each column's tests, not corrected for their number; those of numbers worked out
    together.
    """
    smallest = np.ones(len(columns))
    numbers = [place for place, column in enumerate(columns) if column.bins.knots is not None]
    if numbers:
        # Bins without a row on either side change nothing.
        sides = np.zeros((2, len(numbers), max(columns[place].bins.number for place in numbers)))
        for row, place in enumerate(numbers):
            for side, counts in enumerate((columns[place].window, columns[place].reference)):
                sides[side, row, : len(counts)] = counts
        smallest[numbers] = np.minimum.reduce(_of_numbers(sides[0], sides[0] + sides[1]))
    for place, column in enumerate(columns):
        both = column.window + column.reference
        if column.bins.knots is None and np.count_nonzero(both) > 1:
            smallest[place] = column.bins.p_values(column.window[None, :], both[None, :])[0]
    return [float(p_value) for p_value in smallest]


def _of_numbers(window: Floats, both: Floats) -> list[Floats]:
    """Shape: Kolmogorov-Smirnov (Stephens, 1970) and Anderson-Darling with ties (Scholz and Stephens, 1987). Place:
    Wilcoxon. Scale: Mood.

    Tails: the split where the shares on either side differ most (Berk and Jones, 1979). Repeated values: the bin that
        differs most.
    """
    counts = window.astype(np.intp), both.astype(np.intp)
    here, until = (np.cumsum(side_counts, axis=1) for side_counts in counts)
    n, whole = here[:, -1], until[:, -1]
    m = whole - n
    root = np.sqrt(n * m / whole)
    # The window's share below each value, less that of the reference.
    gap = np.abs(here * (1 / n + 1 / m)[:, None] - until / m[:, None]).max(axis=1)
    middle = until - both / 2
    place = middle / whole[:, None] - 0.5
    bins = np.maximum((both > 0).sum(axis=1), 1)
    # The number of independent tests that all splits amount to, by simulation with 2 to 2,000 values.
    splits = np.maximum(np.log(bins) ** 2 / 3, 1)
    return [
        kolmogorov((root + 0.12 + 0.11 / root) * gap),
        anderson_darling(_darling(window, here, both, middle), _largest_weight(both / whole[:, None])),
        _of_scores(window, both, place),
        _of_scores(window, both, place**2),
        np.minimum(splits * np.exp(-_likelihood_ratio(here, until, n, whole).max(axis=1)), 1.0),
        np.minimum(bins * np.exp(-_likelihood_ratio(*counts, n, whole).max(axis=1)), 1.0),
    ]


def _likelihood_ratio(window: Floats, both: Floats, n: Floats, whole: Floats) -> Floats:
    """Half the likelihood-ratio statistic of each count against its complement, shape as the window's counts; all whole
    numbers.

    Its exponential bounds the tail however small the expected counts are (Chernoff); the normal curve does not. It is a
    sum of terms x log x, which are looked up unless there are very many rows.
    """
    bits = int(whole.max()).bit_length()
    log_powers = _log_powers(bits) if bits <= _LOOKED_UP_BITS else None

    def at(counts: Floats) -> Floats:
        return np.asarray(xlogy(counts, counts)) if log_powers is None else log_powers[counts]

    n, whole = n[:, None], whole[:, None]
    left = both - window
    of_both = at(both) + at(whole - both) - at(whole) + at(n) + at(whole - n)
    of_sides = at(window) + at(n - window) + at(left) + at(whole - n - left)
    return np.asarray(np.maximum(of_sides - of_both, 0.0))


@lru_cache(maxsize=4)
def _log_powers(bits: int) -> Floats:
    """x log x of all whole numbers of this many bits."""
    numbers = np.arange(1 << bits, dtype=float)
    return np.asarray(xlogy(numbers, numbers))


def _darling(window: Floats, here: Floats, both: Floats, middle: Floats) -> Floats:
    """The Anderson-Darling statistic of two samples, with the ranks of ties in their middle. here: sums of the window's
    counts; middle: of both sides' counts, to the middle of each.
    """
    n, whole = window.sum(axis=1), both.sum(axis=1)[:, None]
    spread = middle * (whole - middle) - whole * both / 4
    weight = np.divide(both, spread, out=np.zeros_like(both), where=spread > 0)
    difference = whole * (here - window / 2) - n[:, None] * middle
    squares = (weight * difference**2).sum(axis=1)
    total = whole[:, 0]
    return np.asarray((total - 1) / total**2 * squares * (1 / n + 1 / (total - n)))


def _of_scores(window: Floats, both: Floats, score: Floats) -> Floats:
    """Two-sided p-value of a linear rank statistic, with the variance and the skewness of drawing without
    replacement.
    """
    n, whole = window.sum(axis=1), both.sum(axis=1)
    centred = score - ((both * score).sum(axis=1) / whole)[:, None]
    second, third = ((both * centred**power).sum(axis=1) / whole for power in (2, 3))
    sums = window @ centred[0] if len(centred) == 1 else (window * centred).sum(axis=1)
    return np.asarray(erfc(np.abs(_deviates(sums, n, whole, second, third)) / np.sqrt(2)))


def _deviates(sums: Floats, n: Floats, whole: Floats, second: Floats, third: Floats) -> Floats:
    """Sums of `n` of `whole` centred numbers, drawn without replacement, as normal deviates. second, third: the moments
    of all numbers.

    Sums of a few rare values are skewed. The normal curve would overrate one of them; the skewness is corrected as by
    Wilson and Hilferty (1931).
    """
    variance = n * (whole - n) / np.maximum(whole - 1, 1) * second
    cubes = n * (whole - n) * (whole - 2 * n) / np.maximum((whole - 1) * (whole - 2), 1) * third
    varies = variance > 0
    plain = np.divide(sums, np.sqrt(variance), out=np.zeros_like(sums), where=varies)
    skewness = np.divide(cubes, variance**1.5, out=np.zeros_like(sums), where=varies)
    skewed = np.abs(skewness) > _SYMMETRIC
    divisor = np.where(skewed, skewness, 1.0)
    unskewed = 6 / divisor * (np.cbrt(np.maximum(1 + divisor * plain / 2, 0)) - 1) + divisor / 6
    return np.asarray(np.where(skewed, unskewed, plain))


def _largest_weight(shares: Floats) -> Floats:
    """An upper bound of the greatest weight of the chi-squares whose sum the Anderson-Darling statistic is: 1/2 without
    ties, 1 for two values. shares: of each value, shape (draws, values).
    """
    return np.asarray(np.minimum(0.5 + np.sqrt((shares**3).sum(axis=1)), 1.0))


def anderson_darling(value: Floats, weight: Floats | float = 0.5) -> Floats:
    """How often the Anderson-Darling statistic is at least so large, as both samples grow. weight: see
    `_largest_weight`.

    Without ties Marsaglia and Marsaglia (2004) up to 3, its leading tail beyond; with ties the tail is that of the
    greatest weight (Zolotarev, 1961), which is longer. Where nearly all values are equal it is the square of Wilcoxon's
    statistic, which says it better: 1.
    """
    small = np.clip(value, 1e-3, 3.0)
    low = (
        np.exp(-1.2337141 / small)
        / np.sqrt(small)
        * (
            2.00012
            + (0.247105 - (0.0649821 - (0.0347962 - (0.0116720 - 0.00168691 * small) * small) * small) * small) * small
        )
    )
    high = np.exp(
        -np.exp(
            1.0776 - (2.30695 - (0.43424 - (0.082433 - (0.008056 - 0.0003146 * small) * small) * small) * small) * small
        )
    )
    # The sum's largest part, times what the others add (the mean of their exponential, and its first correction).
    large = np.maximum(value, 3.0)
    tail = np.sqrt(3) * erfc(np.sqrt(large)) * (1 + 11 / 36 / large)
    untied = np.where(value > 3.0, tail, 1 - np.where(small < 2, low, high))
    tied = (np.sqrt(3) + (1 - np.sqrt(3)) * (2 * np.asarray(weight) - 1)) * erfc(
        np.sqrt(np.maximum(value, 0) / 2 / weight)
    )
    return np.asarray(np.where(np.asarray(weight) > _MOSTLY_TIED, 1.0, np.clip(tied, untied, 1.0)))


def _of_categories(window: Floats, both: Floats) -> list[Floats]:
    """Shares of all categories together by chi-square, with the rare ones merged; and the category that changed most.

    Categories that the reference never held are merged with the rare ones: of many rare categories each side holds some
    that the other does not.
    """
    n, whole = window.sum(axis=1), both.sum(axis=1)
    rare = both.max(axis=0) < _RARE
    rare[-1] = True
    window, both = (np.column_stack([side[:, ~rare], side[:, rare].sum(axis=1)]) for side in (window, both))
    # Categories that are rare on both sides together carry no evidence; new ones are counted by the check of unseen
    # values.
    often, share = both >= _RARE, both / whole[:, None]
    expected, second = share * n[:, None], share * (1 - share)
    # Half a row less: counts are whole.
    distance = window - expected
    steps = np.sign(distance) * np.maximum(np.abs(distance) - 0.5, 0)
    moments = n[:, None], whole[:, None], second, second * (1 - 2 * share)
    squares, largest = (np.where(often, _deviates(sums, *moments) ** 2, 0.0) for sums in (distance, steps))
    freedom = np.maximum(often.sum(axis=1) - 1, 1)
    return [
        chdtrc(freedom, (squares * (1 - share)).sum(axis=1)),
        np.minimum(erfc(np.sqrt(largest.max(axis=1) / 2)) * np.maximum(often.sum(axis=1), 1), 1.0),
    ]
