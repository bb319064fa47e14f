"""What labels that have come since say of the estimator: how far it was off in stretches of late, and what that makes likely now.

The difference between realised and estimated performance is taken as a random function of time (Gaussian process regression: Rasmussen
and Williams, 2006) seen with known errors at each stretch. How large it is and how long it lasts is averaged over what the stretches make
plausible; so where it comes and goes, or is no more than chance, nothing is corrected.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

Floats = np.ndarray
_DAY = 86400.0
# Stretches, of how many rows at least; how large differences may be against those seen; how long they last, against the time seen.
_STRETCHES, _LEAST, _MOST = 24, 150, 30_000
_SIZES = (0.0, 0.25, 0.5, 1.0, 2.0)
_LENGTHS = (0.05, 0.15, 0.5, 1.5, 5.0)
# A time is ripe when so many of its labels have come, or when labelled rows are at least so dense as before.
_RIPE_DELAY, _RIPE_DENSITY = 0.97, 0.8


@dataclass(frozen=True)
class Recent:
    """Labelled rows in the reference's sorts. times, known_at: of the event and of its label, in days, shape (rows,); known_at None where not told."""

    frame: pd.DataFrame
    times: Floats
    known_at: Floats | None = None

    def stretches(self) -> list[pd.DataFrame]:
        """Rows in stretches of like length, oldest first. Labels that come first are not like the rest: the newest rows are left out until
        nearly all of theirs have come."""
        order = np.argsort(self.times, kind="stable")
        ripe = order[self._is_ripe()[order]][-_MOST:]
        number = min(_STRETCHES, len(ripe) // _LEAST)
        return [self.frame.iloc[rows] for rows in np.array_split(ripe, number)] if number else []

    def when(self, part: pd.DataFrame) -> float:
        """The middle of a stretch, in days."""
        return float(self.times[part.index].mean())

    def _is_ripe(self) -> Floats:
        """Whether nearly all labels of a row's time have come, shape (rows,); where their times are not told, by the density of labelled rows."""
        times = self.times
        if self.known_at is not None and np.isfinite(self.known_at).all():
            delays = (self.known_at - times)[times <= np.median(times)]
            return np.asarray(times <= self.known_at.max() - np.quantile(delays, _RIPE_DELAY))
        edges = np.linspace(times.min(), times.max(), 21)
        counts = np.histogram(times, edges)[0]
        dense = np.flatnonzero(counts >= _RIPE_DENSITY * np.median(counts[:15]))
        return np.asarray(times <= edges[dense[-1] + 1])


def utc_times(values: pd.Series) -> pd.Series:
    """Times in UTC; naive ones are."""
    return pd.to_datetime(
        values, utc=True, cache=values.dtype == object
    )  # looking for repeated ones takes longer than reading times


def days(values: pd.Series) -> Floats:
    """Times as days, shape (values,); NaN where one is missing."""
    seconds = (utc_times(values) - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
    return np.asarray(seconds.to_numpy(dtype=float) / _DAY)


def forecast(stretches: Floats, at: float) -> tuple[float, float]:
    """The difference to be expected `at` a time, and its standard error. stretches: the time, difference and its error of each, shape (stretches, 3)."""
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
