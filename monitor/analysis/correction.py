"""The correction of the estimator by labels that came after the reference: how far the estimate was off in recent
blocks of rows, and what is likely now.

The difference between realised and estimated performance is modelled as a random function of time, observed in each
block with a known error (Gaussian process regression: Rasmussen and Williams, 2006). Its size and duration are averaged
by how plausible the blocks make them. A difference that comes and goes, or is no more than chance, is not corrected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from monitor.analysis.schema import days_since, utc_times

Floats = np.ndarray
# How many ripe and unripe blocks there are at most, the fewest rows of a block, and the most rows of all ripe blocks.
_BLOCKS, _UNRIPE_BLOCKS, _LEAST, _MOST = 24, 6, 150, 30_000
# So many of the newest ripe blocks show how early labels differ from all labels; fewer than the minimum say nothing.
NEWEST_RIPE, FEWEST_RIPE = 8, 4
# The sizes of a difference that are tried, relative to those observed; its durations, relative to the time observed.
_SIZES = (0.0, 0.25, 0.5, 1.0, 2.0)
_LENGTHS = (0.05, 0.15, 0.5, 1.5, 5.0)
# A time is ripe when this share of its labels has come, or when labelled rows are at least this dense, relative to
# earlier ones.
_RIPE_DELAY, _RIPE_DENSITY = 0.97, 0.8


@dataclass(frozen=True)
class Block:
    """Labelled rows of a period: their positions, shape (rows,), in the order of time. start, end: in days."""

    rows: Floats
    start: float
    end: float

    @property
    def middle(self) -> float:
        """Its middle, in days."""
        return (self.start + self.end) / 2


class Difference(NamedTuple):
    """How far an estimate was off at a time. time: in days. error: the standard error of the value."""

    time: float
    value: float
    error: float


@dataclass(frozen=True)
class RecentLabels:
    """Labelled rows in the reference's column types. times, known_at: of the event and of its label, in days, shape
    (rows,). known_at is None where the times of labels are unknown.
    """

    frame: pd.DataFrame
    times: Floats
    known_at: Floats | None = None

    def blocks(self) -> tuple[list[Block], list[Block]]:
        """Blocks of similar length, oldest first: ripe ones, of which nearly all labels have come, and younger ones.

        Labels that come first differ from the rest. Where the times of labels are unknown, there are no younger blocks.
        """
        order = np.argsort(self.times, kind="stable")
        is_ripe = self._is_ripe()[order]
        unripe = order[~is_ripe] if self.known_at is not None else order[:0]
        return self._cut(order[is_ripe][-_MOST:], _BLOCKS), self._cut(unripe, _UNRIPE_BLOCKS)

    def would_be_labelled(self, ripe: Block, young: Block) -> Floats:
        """Which rows of a ripe block would have their label now if they were as young as those of another block; shape
        (rows of `ripe`,).
        """
        assert self.known_at is not None
        place = (self.times[ripe.rows] - ripe.start) / max(ripe.end - ripe.start, 1e-9)
        age = np.nanmax(self.known_at) - (young.start + place * (young.end - young.start))
        return np.asarray(self.known_at[ripe.rows] - self.times[ripe.rows] <= age)

    def _cut(self, rows: Floats, most: int) -> list[Block]:
        number = min(most, len(rows) // _LEAST)
        parts = np.array_split(rows, number) if number else []
        return [Block(part, float(self.times[part[0]]), float(self.times[part[-1]])) for part in parts]

    def _is_ripe(self) -> Floats:
        """Whether nearly all labels of a row's time have come, shape (rows,). Where the times of labels are unknown,
        the density of labelled rows decides.
        """
        times = self.times
        if self.known_at is not None and np.isfinite(self.known_at).all():
            delays = (self.known_at - times)[times <= np.median(times)]
            return np.asarray(times <= self.known_at.max() - np.quantile(delays, _RIPE_DELAY))
        edges = np.linspace(times.min(), times.max(), 21)
        counts = np.histogram(times, edges)[0]
        dense = np.flatnonzero(counts >= _RIPE_DENSITY * np.median(counts[:15]))
        return np.asarray(times <= edges[dense[-1] + 1])


def days(values: pd.Series) -> Floats:
    """Times as days, shape (values,); NaN where one is missing."""
    return np.asarray(days_since(utc_times(values), pd.Timestamp(0, tz="UTC")).to_numpy(dtype=float))


def typical_difference(differences: Floats) -> tuple[float, float]:
    """The mean difference of some blocks as a prediction for another block, and the standard error of that."""
    number = len(differences)
    return float(differences.mean()), float(differences.std(ddof=1) * np.sqrt(1 + 1 / number))


def forecast(differences: Sequence[Difference], at: float) -> tuple[float, float]:
    """The difference to be expected `at` a time, in days, and its standard error."""
    times, values, errors = np.array(differences).T
    size = float(np.sqrt(np.mean(values**2)))
    span = max(float(np.ptp(np.append(times, at))), 1e-6)
    gaps = np.abs(times[:, None] - times)
    noise = np.diag(errors**2 + 1e-12)
    weights, means, variances = [], [], []
    for scale in _SIZES:
        for length in _LENGTHS if scale else _LENGTHS[:1]:
            variance = (scale * size) ** 2
            covariance = variance * np.exp(-gaps / (length * span)) + noise
            factor = np.linalg.cholesky(covariance)
            white = np.linalg.solve(factor, values)
            ahead = np.linalg.solve(factor, variance * np.exp(-np.abs(times - at) / (length * span)))
            weights.append(
                -white @ white / 2 - np.log(np.diag(factor)).sum() - np.log(1 if scale else 1 / len(_LENGTHS))
            )
            means.append(float(ahead @ white))
            variances.append(max(variance - float(ahead @ ahead), 0.0))
    chance = np.exp(np.array(weights) - max(weights))
    chance /= chance.sum()
    mean = float(chance @ means)
    spread = float(chance @ (np.array(variances) + (np.array(means) - mean) ** 2))
    return mean, float(np.sqrt(spread))
