"""A column summarised once: its numbers sorted, or its categories counted. All its statistics come from this."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from monitor.analysis.schema import Sort

Floats = np.ndarray
# Columns of these types are summarised.
SUMMARISED = ("numerical", "time", "categorical", "boolean")
_KNOTS = 256


@dataclass(frozen=True)
class Numbers:
    """A numerical column. values: what is finite in it, sorted, shape (count,). rows: with what is missing."""

    values: Floats
    rows: int

    @property
    def count(self) -> int:
        """How many values there are."""
        return len(self.values)

    @property
    def low(self) -> float:
        """The smallest value."""
        return float(self.values[0])

    @property
    def high(self) -> float:
        """The largest value."""
        return float(self.values[-1])

    @cached_property
    def std(self) -> float:
        """Their standard deviation (divided by n)."""
        return float(self.values.std())

    @cached_property
    def distinct(self) -> int:
        """How many different values there are."""
        return int(np.count_nonzero(self.values[1:] != self.values[:-1])) + (self.count > 0)

    def quantile(self, share: float) -> float:
        """A quantile, linear between the two values beside it."""
        place = share * (self.count - 1)
        below = int(place)
        above = min(below + 1, self.count - 1)
        return float(self.values[below] + (self.values[above] - self.values[below]) * (place - below))

    def counts(self, edges: Floats) -> Floats:
        """How many values lie in each bin, half open, the last one closed; as `numpy.histogram` counts."""
        places = np.searchsorted(self.values, edges, "left")
        places[-1] = np.searchsorted(self.values, edges[-1], "right")
        counts: Floats = np.diff(places)
        return counts

    def outside(self, low: float, high: float) -> int:
        """How many values lie below `low` or above `high`."""
        return (
            int(np.searchsorted(self.values, low, "left"))
            + self.count
            - int(np.searchsorted(self.values, high, "right"))
        )

    @cached_property
    def unique(self) -> tuple[Floats, Floats]:
        """The different values, sorted, and how often each comes."""
        if not self.count:
            return self.values, np.zeros(0, dtype=int)
        starts = np.flatnonzero(np.concatenate([[True], self.values[1:] != self.values[:-1]]))
        return self.values[starts], np.diff(np.append(starts, self.count))

    @cached_property
    def knots(self) -> Floats:
        """Values that stand for the distribution: all different ones of few values, or some hundred quantiles."""
        if self.count <= _KNOTS:
            chosen = self.values
        else:
            chosen = self.values[np.linspace(0, self.count - 1, _KNOTS + 1).astype(int)]
        if not self.count:
            return self.values
        knots: Floats = chosen[np.concatenate([[True], chosen[1:] != chosen[:-1]])]
        return knots


@dataclass(frozen=True)
class Categories:
    """A column of categories. tally: how often each comes, the most frequent first. rows: with what is missing."""

    tally: pd.Series
    rows: int

    @cached_property
    def count(self) -> int:
        """How many values there are."""
        return int(self.tally.sum())

    @property
    def distinct(self) -> int:
        """How many different categories there are."""
        return len(self.tally)

    def beside(self, other: Categories) -> Floats:
        """How often each category comes in either column, shape (2, categories of either)."""
        names = self.tally.index.union(other.tally.index, sort=False)
        return np.stack([side.tally.reindex(names, fill_value=0).to_numpy(dtype=float) for side in (self, other)])


Summary = Numbers | Categories


def summarise(values: pd.Series, column_type: Sort) -> Summary | None:
    """The summary of a column in its reference's type; None for types without one."""
    if column_type in ("numerical", "time"):
        numbers = values.to_numpy(dtype=float)
        finite = np.isfinite(numbers)
        return Numbers(np.sort(numbers if finite.all() else numbers[finite]), len(values))
    if column_type in ("categorical", "boolean"):
        return Categories(values.value_counts(), len(values))
    return None
