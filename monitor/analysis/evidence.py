"""Whether a change of a column comes from the pipeline: how healthy blocks of the same length look, and which evidence
there is of a fault.

A cause is a hypothesis. It is dropped where blocks of the reference, or of production before the window, look the same.
It is attributed to the pipeline where there are at least two pieces of evidence: the change begins or ends sharply
within the window, the affected rows share a value of another column, a simple inverse restores the reference's
distribution, or no healthy window is in such a state. Otherwise the origin is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from monitor.analysis.beginning import Timeline, best_run
from monitor.analysis.correction import RecentLabels, days
from monitor.analysis.reference import Reference
from monitor.analysis.relations import digits
from monitor.analysis.schema import canonical_text
from monitor.analysis.summary import Categories, Numbers, Summary
from monitor.analysis.units import Unit
from monitor.domain.columns import Columns

Floats = np.ndarray
# How many healthy blocks are compared, how many rows each has at least and at most, and how many blocks are needed.
_BLOCKS, _FEWEST_ROWS, _MOST_ROWS, _FEWEST = 12, 20, 2_000, 3
# A change is still a fault if at most this share of the healthy blocks looks the same.
_ORDINARY = 0.08
# A change begins or ends sharply if this share of the affected rows lies in one run, and this share of the run's rows
# is affected.
_IN_RUN, _OF_RUN = 0.8, 0.8
_FEWEST_AFFECTED = 8
# How many values a column has at most, and how many columns are compared, to find one that the affected rows share.
_LEVELS, _COLUMNS = 50, 20
_NEEDED = 2
# A column changes slowly if this share of a block's rows holds one value.
_NEARLY_ONE = 0.9


@dataclass(frozen=True)
class Evidence:
    """The evidence of a fault of the pipeline.

    began: when the affected rows begin, None where they do not begin within the window.
    is_sharp: whether they begin or end sharply.
    together: the value of another column that the affected rows share, '' for none.
    undone: whether a simple inverse restores the reference's distribution.
    impossible: whether no healthy window is in such a state.
    ordinary: the share of healthy blocks that look the same, None where too few are known.
    """

    began: datetime | None = None
    is_sharp: bool = False
    together: str = ""
    undone: bool = False
    impossible: bool = False
    ordinary: float | None = None

    @property
    def is_ordinary(self) -> bool:
        """Whether healthy blocks look the same."""
        return is_ordinary(self.ordinary)

    @property
    def is_of_pipeline(self) -> bool:
        """Whether there is enough evidence of a fault."""
        pieces = self.is_sharp + bool(self.together) + self.undone + self.impossible
        return not self.is_ordinary and pieces >= _NEEDED


@dataclass(frozen=True)
class Claim:
    """What a cause claims about a column. name: of the cause. share: of the rows. values: those that the affected rows
    hold. unit: the present unit. undone: whether a simple inverse restores the reference's distribution.
    """

    name: str
    share: float
    values: tuple[Any, ...] = ()
    unit: Unit | None = None
    undone: bool = False


class HealthyBlocks:
    """Blocks of rows as long as the window: of the reference, and of production before the window as far as its labels
    are known. They are cut at the first use.
    """

    def __init__(self, reference: Reference, times: pd.Series | None, recent: RecentLabels | None) -> None:
        self.reference, self._recent = reference, recent
        times_in_days = np.zeros(0) if times is None else days(times)
        self._times = times_in_days[np.isfinite(times_in_days)]

    @cached_property
    def parts(self) -> list[pd.DataFrame]:
        """The blocks, in the reference's column types."""
        if len(self._times) < _FEWEST_ROWS:
            return []
        length, first = float(np.ptp(self._times)), float(self._times.min())
        blocks = blocks_of(self.reference.frame, self.reference.times, length)
        if self._recent is not None:
            order = np.argsort(self._recent.times, kind="stable")
            order = order[self._recent.times[order] < first]
            blocks += blocks_of(self._recent.frame.iloc[order], self._recent.times[order], length)
        return blocks


def evidence_of(
    claim: Claim,
    window: pd.DataFrame,
    timeline: Timeline | None,
    name: str,
    before: Summary,
    healthy: HealthyBlocks,
    levels: Mapping[str, tuple[Floats, pd.Index]],
) -> Evidence:
    """The evidence for a claim about a column of a window. window: its rows, in the reference's column types. timeline:
    of their events. levels: from `levels_of`.
    """
    values = window[name]
    began, is_sharp, together, frozen = None, False, "", False
    flags = affected(claim, values, before)
    if flags is not None:
        together = shared_value(flags, levels, name)
    if flags is not None and timeline is not None:
        ordered = flags[timeline.order]
        if claim.name == "stuck value":
            frozen = is_frozen(ordered, healthy.reference.summary.longest_run.get(name))
        run = run_of(ordered)
        if run is not None:
            is_sharp, began = True, timeline.at(run[0]) if run[0] else None
    return Evidence(
        began,
        is_sharp,
        together,
        claim.undone,
        frozen or is_impossible(claim, values, before, healthy.parts),
        ordinary_share(claim, name, before, healthy.parts),
    )


def affected(claim: Claim, values: pd.Series, before: Summary) -> Floats | None:
    """Which rows of a window the claim is about, shape (rows,); None where it is about no certain rows."""
    if claim.values:
        flags: Floats = values.isin(list(claim.values)).to_numpy()
        return flags
    if isinstance(before, Numbers) and claim.name == "unit change":
        numbers = values.to_numpy(dtype=float)
        if claim.share >= 0.99:
            return np.asarray(np.isfinite(numbers))
        return np.asarray((numbers < before.quantile(0.005)) | (numbers > before.quantile(0.995)))
    if isinstance(before, Numbers) and claim.name == "rounding":
        subsample = before.values[np.linspace(0, before.count - 1, min(before.count, _MOST_ROWS)).astype(int)]
        return np.asarray(digits(values) < np.nanmedian(digits(pd.Series(subsample))))
    return None


def is_frozen(flags: Floats, longest: int | None) -> bool:
    """Whether a value is repeated in far more rows in succession than any was in the reference. flags: the rows with
    the value, shape (rows,), in the order of time. longest: the longest run of a value in the reference, in rows.
    """
    if longest is None or not flags.any():
        return False
    gaps = np.flatnonzero(~np.append(flags, False))
    return int(np.diff(np.append(-1, gaps)).max()) - 1 >= max(_FEWEST_ROWS, 3 * longest)


def run_of(flags: Floats) -> tuple[int, int] | None:
    """The run of rows that holds the affected ones, as its first row and the row after its last. None where they do not
    lie in one run, or are nearly all rows. flags: the affected rows, shape (rows,), in the order of time.
    """
    number = int(flags.sum())
    if number < _FEWEST_AFFECTED or number >= 0.97 * len(flags):
        return None
    start, end = best_run(np.where(flags, 1.0, -1.0))
    inside = int(flags[start:end].sum())
    is_run = inside >= _IN_RUN * number and inside >= _OF_RUN * (end - start) and end - start < 0.97 * len(flags)
    return (start, end) if is_run else None


def levels_of(frame: pd.DataFrame) -> dict[str, tuple[Floats, pd.Index]]:
    """The values of columns that affected rows may share: the code of each row's value, -1 where it is missing, shape
    (rows,), and the values as text.
    """
    names = [name for name in frame if frame[name].dtype.kind not in "fM"]
    levels = {}
    for name in names[: _COLUMNS + 1]:
        codes, texts = pd.factorize(canonical_text(frame[name]))
        if 0 < len(texts) <= _LEVELS:
            levels[str(name)] = codes, pd.Index(texts)
    return levels


def shared_value(flags: Floats, levels: Mapping[str, tuple[Floats, pd.Index]], column: str) -> str:
    """The value of another column whose rows are the affected ones, '' for none. levels: from `levels_of`. column: the
    affected column.
    """
    number = int(flags.sum())
    if number < _FEWEST_AFFECTED or number >= 0.97 * len(flags):
        return ""
    for name, (codes, texts) in levels.items():
        if name == column:
            continue
        present = codes >= 0
        rows = np.bincount(codes[present], minlength=len(texts))
        has = np.bincount(codes[present], flags[present], minlength=len(texts))
        best = int(has.argmax())
        if has[best] >= 0.9 * rows[best] and has[best] >= 0.9 * number:
            return f"{name} = {texts[best]}"
    return ""


def blocks_of(frame: pd.DataFrame, times: Floats, length: float) -> list[pd.DataFrame]:
    """Blocks of rows as long as a window, evenly spread, each with enough rows. times: of the rows, in days, in order,
    shape (rows,). length: in days.
    """
    if not len(times) or length <= 0 or times[-1] - times[0] < _FEWEST * length:
        return []
    starts = np.linspace(times[0], times[-1] - length, _BLOCKS)
    if (times[-1] - times[0]) / length < _BLOCKS:
        starts = np.arange(times[0], times[-1] - length + 1e-9, length)
    blocks = []
    for start in starts:
        first, end = np.searchsorted(times, [start, start + length])
        if end - first >= _FEWEST_ROWS:
            part = frame.iloc[first:end]
            blocks.append(part.iloc[:: -(-len(part) // _MOST_ROWS)])
    return blocks


def slow_columns(frame: pd.DataFrame, columns: Columns, length: float) -> list[str]:
    """The features that hold nearly one value within most windows, and different values in different windows. frame:
    rows as they are logged. length: of a window, in days; windows begin with the first row's day.
    """
    assert columns.event_time is not None
    times = days(frame[columns.event_time])
    has_time = np.isfinite(times)
    if not has_time.any():
        return []
    windows = np.where(has_time, (times - np.floor(times[has_time].min())) // length, -1)
    numbers, counts = np.unique(windows[has_time], return_counts=True)
    chosen = numbers[counts >= _FEWEST_ROWS]
    chosen = chosen[np.unique(np.linspace(0, len(chosen) - 1, 2 * _BLOCKS).astype(int))] if len(chosen) else chosen
    if len(chosen) < _FEWEST:
        return []
    parts = [frame[windows == number] for number in chosen]
    slow_names = []
    for name in columns.feature_names([str(column) for column in frame.columns]):
        shares_by_part = [shares for part in parts if len(shares := part[name].value_counts(normalize=True))]
        is_slow = (
            len(shares_by_part) >= _FEWEST
            and np.mean([shares.iloc[0] >= _NEARLY_ONE for shares in shares_by_part]) > 0.5
        )
        if is_slow and len({shares.index[0] for shares in shares_by_part}) >= _FEWEST:
            slow_names.append(name)
    return slow_names


def ordinary_share(claim: Claim, name: str, before: Summary, blocks: Sequence[pd.DataFrame]) -> float | None:
    """The share of healthy blocks whose column looks as the claim says; None where too few are known."""
    parts = [values for block in blocks if name in block and len(values := block[name].dropna()) >= _FEWEST_ROWS]
    if len(parts) < _FEWEST:
        return None
    return float(np.mean([_fits_claim(claim, before, values) for values in parts]))


def _fits_claim(claim: Claim, before: Summary, values: pd.Series) -> bool:
    share = max(claim.share, 0.01)
    if isinstance(before, Categories):
        tally = values.value_counts(normalize=True)
        usual = before.tally / before.count
        if claim.name in ("new category", "placeholder value", "renamed category"):
            own = values.value_counts()
            elsewhere = before.tally.reindex(own.index, fill_value=0) - own
            return bool(own[elsewhere <= 0].sum() / len(values) >= 0.5 * share)
        if claim.name == "vanished category":
            return bool((~usual[usual >= 0.5 * share].index.isin(tally.index)).any())
        change = tally.sub(usual, fill_value=0.0)
        return bool(change.max() >= 0.5 * share)
    if claim.name in ("stuck value", "placeholder value"):
        distinct, counts = np.unique(values.to_numpy(dtype=float), return_counts=True)
        low, high = (np.searchsorted(before.values, distinct, side) for side in ("left", "right"))
        return bool((counts / len(values) - (high - low) / before.count).max() >= 0.5 * share)
    if claim.name == "rounding":
        usual = digits(pd.Series(before.values[:: -(-before.count // _MOST_ROWS)]))
        after_counts, before_counts = (
            np.bincount((decimals[np.isfinite(decimals)] + 6).astype(int), minlength=16)
            for decimals in (digits(values), usual)
        )
        return bool(
            np.abs(after_counts / after_counts.sum() - before_counts / before_counts.sum()).sum() / 2 >= 0.5 * share
        )
    if claim.unit is not None:
        return claim.unit.explains(before.quantile(0.5), float(np.median(values.to_numpy(dtype=float))))
    return False


def is_ordinary(share: float | None) -> bool:
    """Whether too many healthy blocks look the same for a fault; False where none are known."""
    return share is not None and share > _ORDINARY


def is_impossible(claim: Claim, values: pd.Series, before: Summary, blocks: Sequence[pd.DataFrame]) -> bool:
    """Whether no healthy window is in such a state: all rows hold one value where no block was nearly so uniform, or
    values lie far outside the reference's range.
    """
    name = str(values.name)
    if claim.name == "stuck value":
        top_shares = [
            float(values_of_block.value_counts(normalize=True).iloc[0])
            for block in blocks
            if name in block and len(values_of_block := block[name].dropna()) >= _FEWEST_ROWS
        ]
        return claim.share >= 0.9 and len(top_shares) >= _FEWEST and max(top_shares) < 0.5
    if isinstance(before, Categories):
        return claim.name in ("placeholder value", "renamed category")
    width = max(before.high - before.low, 1e-300)
    if claim.name == "placeholder value":
        value = float(claim.values[0])
        return value < before.low - 0.5 * width or value > before.high + 0.5 * width
    if claim.name == "unit change":
        numbers = values.to_numpy(dtype=float)
        outside = (numbers < before.low) | (numbers > before.high)
        return bool(outside.mean() >= 0.8 * claim.share)
    return False
