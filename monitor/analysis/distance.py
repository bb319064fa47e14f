"""Distances between two summaries of a column, each equal to Evidently's statistic of the same name."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy import stats
from scipy.spatial import distance

from monitor.analysis.summary import Categories, Floats, Numbers, Summary

# Evidently bins numbers if the reference has more distinct values than this.
_BINNED_FROM = 20


def wasserstein(before: Numbers, after: Numbers) -> float:
    """The first Wasserstein distance, in standard deviations of the reference (no smaller one than 0.001)."""
    return _wasserstein(before.values, after.values) / max(before.std, 0.001)


def _wasserstein(before: Floats, after: Floats) -> float:
    if len(before) == len(after):
        return float(np.abs(before - after).mean())
    before_places, after_places, shares = _breaks(len(before), len(after))
    return float(np.abs(before[before_places] - after[after_places]) @ shares)


@lru_cache(maxsize=8)
def _breaks(n: int, m: int) -> tuple[Floats, Floats, Floats]:
    """The intervals of quantiles on which both of two samples are constant: the positions of their sorted values, and
    the width of each interval.

    The k-th of n values is the quantile from k/n to (k + 1)/n; in whole numbers, k m to (k + 1) m of n m.
    """
    ends = np.concatenate([np.arange(1, n + 1, dtype=np.int64) * m, np.arange(1, m + 1, dtype=np.int64) * n])
    ends.sort(kind="stable")  # two sorted runs: merged in one pass
    starts = np.concatenate([[0], ends[:-1]])
    is_positive = ends > starts
    starts, ends = starts[is_positive], ends[is_positive]
    return starts // m, starts // n, (ends - starts) / (n * m)


def jensenshannon(before: Summary, after: Summary) -> float:
    """The Jensen-Shannon distance, in natural logarithms."""
    return float(distance.jensenshannon(*_shares(before, after)))


def psi(before: Summary, after: Summary) -> float:
    """The population stability index; empty bins count as Evidently has them."""
    p, q = _filled(before, after)
    return float(((p - q) * np.log(p / q)).sum())


def kl_div(before: Summary, after: Summary) -> float:
    """The Kullback-Leibler divergence of the reference from the window."""
    return float(stats.entropy(*_filled(before, after)))


def hellinger(before: Summary, after: Summary) -> float:
    """The Hellinger distance."""
    if isinstance(before, Categories) or isinstance(after, Categories):
        p, q = _shares(before, after)
        common = float(np.sqrt(p * q).sum())
    else:
        edges = np.histogram_bin_edges(np.union1d(before.unique[0], after.unique[0]), bins="sturges")
        width = np.diff(edges)
        densities = [side.counts(edges) / width / side.count for side in (before, after)]
        common = float(np.sqrt(densities[0] * densities[1]).sum() * (edges[-1] - edges[0]) / (len(edges) - 1))
    return float(np.sqrt(1 - np.clip(common, 0, 1)))


def ks(before: Numbers, after: Numbers) -> float:
    """The p-value of the two-sample Kolmogorov-Smirnov test."""
    return float(stats.ks_2samp(before.values, after.values).pvalue)


def chisquare(before: Categories, after: Categories) -> float:
    """The p-value of the chi-square test of the window's counts against the reference's shares."""
    expected, observed = before.beside(after)
    return float(stats.chisquare(observed, expected * (after.count / before.count)).pvalue)


NUMERICAL: dict[str, Callable[[Numbers, Numbers], float]] = {
    "wasserstein": wasserstein,
    "jensenshannon": jensenshannon,
    "psi": psi,
    "kl_div": kl_div,
    "hellinger": hellinger,
    "ks": ks,
}
CATEGORICAL: dict[str, Callable[[Categories, Categories], float]] = {
    "jensenshannon": jensenshannon,
    "psi": psi,
    "kl_div": kl_div,
    "hellinger": hellinger,
    "chisquare": chisquare,
}


def _shares(before: Summary, after: Summary) -> Floats:
    """The shares of both in common bins or categories, shape (2, bins)."""
    sizes = np.array([[before.count], [after.count]])
    if isinstance(before, Categories) and isinstance(after, Categories):
        return np.asarray(before.beside(after) / sizes)
    assert isinstance(before, Numbers)
    assert isinstance(after, Numbers)
    if before.distinct > _BINNED_FROM:
        edges = _sturges(before, after)
        return np.asarray(np.stack([before.counts(edges), after.counts(edges)]) / sizes)
    names = np.union1d(before.unique[0], after.unique[0])
    counted = np.zeros((2, len(names)))
    for row, summary in enumerate((before, after)):
        values, numbers = summary.unique
        counted[row, np.searchsorted(names, values)] = numbers
    return np.asarray(counted / sizes)


def _sturges(before: Numbers, after: Numbers) -> Floats:
    """Numpy's bin edges by Sturges' rule for both samples together, without concatenating them."""
    low, high = min(before.low, after.low), max(before.high, after.high)
    width = (high - low) / (np.log2(before.count + after.count) + 1.0)
    return np.histogram_bin_edges(np.array([low, high]), bins=int(np.ceil((high - low) / width)), range=(low, high))


def _filled(before: Summary, after: Summary) -> Floats:
    """Shares with empty bins filled as Evidently fills them, since a logarithm is taken."""
    shares = _shares(before, after)
    for row in shares:
        least = row[row != 0].min()
        row[row == 0] = least / 10**6 if least <= 0.0001 else 0.0001
    return shares
