"""What labels that have come since say of the estimator: how far it was off in stretches of late, and what that makes
likely now.

The difference between realised and estimated performance is taken as a random function of time (Gaussian process
regression: Rasmussen and Williams, 2006) seen with known errors at each stretch. How large it is and how long it lasts
is averaged over what the stretches make plausible; so where it comes and goes, or is no more than chance, nothing is
corrected.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from monitor.analysis.schema import days_since, utc_times

Floats = np.ndarray
# Stretches, of how many rows at least; how large differences may be against those seen; how long they last, against the
# time seen.
_STRETCHES, _UNRIPE, _LEAST, _MOST = 24, 6, 150, 30_000
# The newest ripe stretches tell what labels that came early say of all; fewer than so many say nothing.
ALIKE, FEWEST_ALIKE = 8, 4
_SIZES = (0.0, 0.25, 0.5, 1.0, 2.0)
_LENGTHS = (0.05, 0.15, 0.5, 1.5, 5.0)
# A time is ripe when so many of its labels have come, or when labelled rows are at least so dense as before.
_RIPE_DELAY, _RIPE_DENSITY = 0.97, 0.8


@dataclass(frozen=True)
class Block:
    """Labelled rows of a stretch of time: their places, shape (rows,), in the order of time. start, end: in days."""

    rows: Floats
    start: float
    end: float

    @property
    def middle(self) -> float:
        """Its middle, in days."""
        return (self.start + self.end) / 2


@dataclass(frozen=True)
class RecentLabels:
    """Labelled rows in the reference's sorts. times, known_at: of the event and of its label, in days, shape (rows,);
    known_at None where not told.
    """

    frame: pd.DataFrame
    times: Floats
    known_at: Floats | None = None

    def stretches(self) -> tuple[list[Block], list[Block]]:
        """Rows in stretches of like length, oldest first: those of which nearly all labels have come, and of the time
        since then.

        Labels that come first are not like the rest; where it is not told when they came, of the time since then there
        are none.
        """
        order = np.argsort(self.times, kind="stable")
        is_ripe = self._is_ripe()[order]
        since = order[~is_ripe] if self.known_at is not None else order[:0]
        return self._cut(order[is_ripe][-_MOST:], _STRETCHES), self._cut(since, _UNRIPE)

    def known_as_early(self, ripe: Block, young: Block) -> Floats:
        """Which rows of a ripe stretch would have had their label by now, had they been of a younger one; shape (rows
        of `ripe`,).
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
        """Whether nearly all labels of a row's time have come, shape (rows,); where their times are not told, by the
        density of labelled rows.
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


def usual(differences: Floats) -> tuple[float, float]:
    """What a difference seen in some stretches is likely to be in another one, and its standard error."""
    number = len(differences)
    return float(differences.mean()), float(differences.std(ddof=1) * np.sqrt(1 + 1 / number))


def forecast(stretches: Floats, at: float) -> tuple[float, float]:
    """The difference to be expected `at` a time, and its standard error. stretches: the time, difference and its error
    of each, shape (stretches, 3).
    """
    times, values, errors = stretches.T
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
