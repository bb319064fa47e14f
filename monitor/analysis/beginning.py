"""When a change of a column began: the run of consecutive rows that show it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from monitor.analysis.summary import Numbers, Summary

Floats = np.ndarray
# A run of changed rows is reported from this log likelihood ratio on (natural logarithm). It begins with the window if
# it starts within this share of the window's rows. And how many categories are compared at most.
_LEAST_GAIN, _EDGE = 10.0, 0.02
_LEVELS = 50


@dataclass(frozen=True)
class Timeline:
    """The times of a window's rows. order: the positions of the rows in the order of time, shape (rows,)."""

    times: pd.Series
    order: np.ndarray

    @classmethod
    def of(cls, times: pd.Series) -> Timeline:
        """times: in UTC; rows without one come last."""
        return cls(times, np.argsort(times.to_numpy(dtype="datetime64[ns]"), kind="stable"))

    def at(self, place: int) -> datetime:
        """The time of the row at a position in the order."""
        moment: datetime = pd.Timestamp(self.times.iloc[self.order[place]]).to_pydatetime()
        return moment


@dataclass(frozen=True)
class ChangedSpan:
    """Consecutive rows in which a column is changed.

    rows: their positions in the window, shape (rows of the run,). began, ended: their first and last time.
    is_first: whether the run begins with the window.
    """

    rows: np.ndarray
    began: datetime
    ended: datetime
    is_first: bool


def run_of_change(values: pd.Series, timeline: Timeline | None, before: Summary) -> ChangedSpan | None:
    """The run of rows with the largest sum of log likelihood ratios, window against reference. None where the evidence
    is too weak, or where the run holds nearly all rows.
    """
    if timeline is None or not len(values):
        return None
    codes, before_counts = _binned(values, before)
    counts = np.bincount(codes, minlength=len(before_counts)).astype(float)
    ratio = np.log((counts + 0.5) / (counts.sum() + 0.5 * len(before_counts))) - np.log(
        (before_counts + 0.5) / (before_counts.sum() + 0.5 * len(before_counts))
    )
    score = ratio[codes][timeline.order]
    start, end = best_run(score)
    inside = score[start:end].sum()
    if inside < _LEAST_GAIN or end - start > 0.97 * len(codes) or score.sum() - inside > 0:
        return None
    return ChangedSpan(timeline.order[start:end], timeline.at(start), timeline.at(end - 1), start < _EDGE * len(codes))


def best_run(score: Floats) -> tuple[int, int]:
    """The consecutive rows with the largest sum of scores, as the first row and the row after the last. score: shape
    (rows,).
    """
    gain = np.cumsum(np.append(0.0, score))
    end = int((gain - np.minimum.accumulate(gain)).argmax())
    return int(gain[: end + 1].argmin()), end


def _binned(values: pd.Series, before: Summary) -> tuple[np.ndarray, Floats]:
    """The bin of each row, shape (rows,), and the number of the reference's rows in each bin, shape (bins,).

    Numbers have bins of equal shares of the reference. The window's most frequent number and missing values have bins
    of their own.
    """
    missing = values.isna().to_numpy()
    if isinstance(before, Numbers):
        edges = np.unique([before.quantile(share) for share in np.linspace(0, 1, 21)])
        numbers = np.where(missing, np.nan, values.to_numpy(dtype=float))
        codes = np.searchsorted(edges, numbers, "right")
        number = len(edges) + 1
        before_counts = np.append(
            np.bincount(np.searchsorted(edges, before.values, "right"), minlength=number),
            [0.0, before.rows - before.count],
        ).astype(float)
        top = values.mode()
        if len(top):
            codes[numbers == top.iloc[0]] = number
            low, high = (np.searchsorted(before.values, top.iloc[0], side) for side in ("left", "right"))
            before_counts[np.searchsorted(edges, top.iloc[0], "right")] -= high - low
            before_counts[number] = high - low
    else:
        names = before.tally.index[:_LEVELS]
        number = len(names)
        codes = names.get_indexer(pd.Index(values.to_numpy(dtype=object)))
        codes[codes < 0] = number
        before_counts = np.array(
            [*before.tally.iloc[:number], before.tally.iloc[number:].sum(), before.rows - before.count], dtype=float
        )
    codes[missing] = number + 1
    return codes, before_counts
