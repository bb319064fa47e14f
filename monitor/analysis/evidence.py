"""Whether a change of a column is the pipeline's: what an honest stretch of the same length looks like, and what speaks
for a fault.

A cause is a hypothesis. It is dropped where stretches of the reference, or of production before the window, look so as
well. It is laid to the pipeline
where at least two things speak for that: it begins or ends sharply within the window, the rows go together, a simple
inverse gives the reference's shape again, or it is a state that no honest window is in. Else nobody can tell.
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
# Stretches that are looked at, of how many rows at least and at most; fewer of them say nothing.
_STRETCHES, _FEWEST_ROWS, _MOST_ROWS, _FEWEST = 12, 20, 2_000, 3
# So many of the honest stretches may look like a fault for it still to be one.
_ORDINARY = 0.08
# Of the affected rows so many lie in one run, and of its rows so many are affected: then it begins or ends sharply.
_IN_RUN, _OF_RUN = 0.8, 0.8
_FEWEST_AFFECTED = 8
# Values of another column that are held against the affected rows.
_LEVELS, _COLUMNS = 50, 20
_NEEDED = 2
# So many of a stretch's rows hold one value where a column changes slowly.
_NEARLY_ONE = 0.9


@dataclass(frozen=True)
class Evidence:
    """What speaks for a fault of the pipeline.

    began: when the affected rows begin, None where they do not begin within the window. is_sharp: whether they begin or
        end sharply. together: with which value of which
    other column they go, '' for none. undone: whether a simple inverse gives the reference's shape again. impossible:
    whether no honest window is in that state.
    ordinary: the share of honest stretches that look so, None where none are known.
    """

    began: datetime | None = None
    is_sharp: bool = False
    together: str = ""
    undone: bool = False
    impossible: bool = False
    ordinary: float | None = None

    @property
    def is_ordinary(self) -> bool:
        """Whether honest stretches look so, too."""
        return is_ordinary(self.ordinary)

    @property
    def is_of_pipeline(self) -> bool:
        """Whether enough speaks for a fault."""
        speaks = self.is_sharp + bool(self.together) + self.undone + self.impossible
        return not self.is_ordinary and speaks >= _NEEDED


@dataclass(frozen=True)
class Claim:
    """What a cause says of a column. name: of the cause. values: those that the affected rows hold. unit: the one they
    are in now. share: of the rows.
    """

    name: str
    share: float
    values: tuple[Any, ...] = ()
    unit: Unit | None = None
    undone: bool = False


class HealthyBlocks:
    """Stretches of rows as long as the window: of the reference, and of production before the window as far as its
    labels are known. Cut when they are first asked for.
    """

    def __init__(self, reference: Reference, times: pd.Series | None, recent: RecentLabels | None) -> None:
        self.reference, self._recent = reference, recent
        known = np.zeros(0) if times is None else days(times)
        self._times = known[np.isfinite(known)]

    @cached_property
    def parts(self) -> list[pd.DataFrame]:
        """The stretches, in the reference's types."""
        if len(self._times) < _FEWEST_ROWS:
            return []
        length, first = float(np.ptp(self._times)), float(self._times.min())
        found = stretches(self.reference.frame, self.reference.times, length)
        if self._recent is not None:
            order = np.argsort(self._recent.times, kind="stable")
            order = order[self._recent.times[order] < first]
            found += stretches(self._recent.frame.iloc[order], self._recent.times[order], length)
        return found


def evidence_of(
    claim: Claim,
    window: pd.DataFrame,
    timeline: Timeline | None,
    name: str,
    before: Summary,
    honest: HealthyBlocks,
    levels: Mapping[str, tuple[Floats, pd.Index]],
) -> Evidence:
    """What speaks for a claim of a window's column. window: its rows in the reference's types; timeline: of their
    events; levels: of `levels_of`.
    """
    values = window[name]
    began, is_sharp, together, frozen = None, False, "", False
    flags = affected(claim, values, before)
    if flags is not None:
        together = goes_with(flags, levels, name)
    if flags is not None and timeline is not None:
        ordered = flags[timeline.order]
        if claim.name == "stuck value":
            frozen = is_frozen(ordered, honest.reference.summary.longest_run.get(name))
        run = run_of(ordered)
        if run is not None:
            is_sharp, began = True, timeline.at(run[0]) if run[0] else None
    return Evidence(
        began,
        is_sharp,
        together,
        claim.undone,
        frozen or is_impossible(claim, values, before, honest.parts),
        ordinary(claim, name, before, honest.parts),
    )


def affected(claim: Claim, values: pd.Series, before: Summary) -> Floats | None:
    """Which rows of a window the claim is about, shape (rows,); None where it does not say."""
    if claim.values:
        flags: Floats = values.isin(list(claim.values)).to_numpy()
        return flags
    if isinstance(before, Numbers) and claim.name == "unit change":
        numbers = values.to_numpy(dtype=float)
        if claim.share >= 0.99:
            return np.asarray(np.isfinite(numbers))
        return np.asarray((numbers < before.quantile(0.005)) | (numbers > before.quantile(0.995)))
    if isinstance(before, Numbers) and claim.name == "rounding":
        few = before.values[np.linspace(0, before.count - 1, min(before.count, _MOST_ROWS)).astype(int)]
        return np.asarray(digits(values) < np.nanmedian(digits(pd.Series(few))))
    return None


def is_frozen(flags: Floats, longest: int | None) -> bool:
    """Whether one value comes far oftener in a row than any did in the reference. flags: the rows with it, shape
    (rows,), in the order of time; longest: how often in a row a value came.
    """
    if longest is None or not flags.any():
        return False
    gaps = np.flatnonzero(~np.append(flags, False))
    return int(np.diff(np.append(-1, gaps)).max()) - 1 >= max(_FEWEST_ROWS, 3 * longest)


def run_of(flags: Floats) -> tuple[int, int] | None:
    """The run of rows that holds the affected ones, as its first row and the one after its last; None where they do not
    lie in one, or are all. flags: shape (rows,), in the order of time.
    """
    number = int(flags.sum())
    if number < _FEWEST_AFFECTED or number >= 0.97 * len(flags):
        return None
    start, end = best_run(np.where(flags, 1.0, -1.0))
    inside = int(flags[start:end].sum())
    is_run = inside >= _IN_RUN * number and inside >= _OF_RUN * (end - start) and end - start < 0.97 * len(flags)
    return (start, end) if is_run else None


def levels_of(frame: pd.DataFrame) -> dict[str, tuple[Floats, pd.Index]]:
    """Columns whose values may be held against affected rows: the number of each row's value, -1 where it is missing,
    shape (rows,), and the values as text.
    """
    names = [name for name in frame if frame[name].dtype.kind not in "fM"]
    found = {}
    for name in names[: _COLUMNS + 1]:
        codes, texts = pd.factorize(canonical_text(frame[name]))
        if 0 < len(texts) <= _LEVELS:
            found[str(name)] = codes, pd.Index(texts)
    return found


def goes_with(flags: Floats, levels: Mapping[str, tuple[Floats, pd.Index]], own: str) -> str:
    """The value of another column whose rows are the affected ones; '' for none. levels: of `levels_of`."""
    number = int(flags.sum())
    if number < _FEWEST_AFFECTED or number >= 0.97 * len(flags):
        return ""
    for name, (codes, texts) in levels.items():
        if name == own:
            continue
        there = codes >= 0
        rows = np.bincount(codes[there], minlength=len(texts))
        has = np.bincount(codes[there], flags[there], minlength=len(texts))
        best = int(has.argmax())
        if has[best] >= 0.9 * rows[best] and has[best] >= 0.9 * number:
            return f"{name} = {texts[best]}"
    return ""


def stretches(frame: pd.DataFrame, times: Floats, days: float) -> list[pd.DataFrame]:
    """Stretches of rows as long as a window, evenly spread, of enough rows. times: of the rows, in days, in order,
    shape (rows,).
    """
    if not len(times) or days <= 0 or times[-1] - times[0] < _FEWEST * days:
        return []
    starts = np.linspace(times[0], times[-1] - days, _STRETCHES)
    if (times[-1] - times[0]) / days < _STRETCHES:
        starts = np.arange(times[0], times[-1] - days + 1e-9, days)
    found = []
    for start in starts:
        first, end = np.searchsorted(times, [start, start + days])
        if end - first >= _FEWEST_ROWS:
            part = frame.iloc[first:end]
            found.append(part.iloc[:: -(-len(part) // _MOST_ROWS)])
    return found


def slow_columns(frame: pd.DataFrame, columns: Columns, length: float) -> list[str]:
    """The features that hold nearly one value within most windows of a length, and others in others. frame: rows as
    they are logged. length: in days; windows begin with the first row's day.
    """
    assert columns.event_time is not None
    times = days(frame[columns.event_time])
    known = np.isfinite(times)
    if not known.any():
        return []
    windows = np.where(known, (times - np.floor(times[known].min())) // length, -1)
    numbers, counts = np.unique(windows[known], return_counts=True)
    chosen = numbers[counts >= _FEWEST_ROWS]
    chosen = chosen[np.unique(np.linspace(0, len(chosen) - 1, 2 * _STRETCHES).astype(int))] if len(chosen) else chosen
    if len(chosen) < _FEWEST:
        return []
    parts = [frame[windows == number] for number in chosen]
    found = []
    for name in columns.feature_names([str(each) for each in frame.columns]):
        tops = [top for part in parts if len(top := part[name].value_counts(normalize=True))]
        is_slow = len(tops) >= _FEWEST and np.mean([each.iloc[0] >= _NEARLY_ONE for each in tops]) > 0.5
        if is_slow and len({each.index[0] for each in tops}) >= _FEWEST:
            found.append(name)
    return found


def ordinary(claim: Claim, name: str, before: Summary, honest: Sequence[pd.DataFrame]) -> float | None:
    """The share of honest stretches whose column looks as the claim says; None where too few are known."""
    parts = [values for each in honest if name in each and len(values := each[name].dropna()) >= _FEWEST_ROWS]
    if len(parts) < _FEWEST:
        return None
    return float(np.mean([_looks_so(claim, before, values) for values in parts]))


def _looks_so(claim: Claim, before: Summary, values: pd.Series) -> bool:
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
        different, counts = np.unique(values.to_numpy(dtype=float), return_counts=True)
        low, high = (np.searchsorted(before.values, different, side) for side in ("left", "right"))
        return bool((counts / len(values) - (high - low) / before.count).max() >= 0.5 * share)
    if claim.name == "rounding":
        usual = digits(pd.Series(before.values[:: -(-before.count // _MOST_ROWS)]))
        here, there = (
            np.bincount((each[np.isfinite(each)] + 6).astype(int), minlength=16) for each in (digits(values), usual)
        )
        return bool(np.abs(here / here.sum() - there / there.sum()).sum() / 2 >= 0.5 * share)
    if claim.unit is not None:
        return claim.unit.explains(before.quantile(0.5), float(np.median(values.to_numpy(dtype=float))))
    return False


def is_ordinary(share: float | None) -> bool:
    """Whether so many honest stretches look like a fault that it is none; not where none are known."""
    return share is not None and share > _ORDINARY


def is_impossible(claim: Claim, values: pd.Series, before: Summary, honest: Sequence[pd.DataFrame]) -> bool:
    """Whether no honest window is in that state: all rows one value where stretches never were nearly so, or values far
    beyond all that was seen.
    """
    name = str(values.name)
    if claim.name == "stuck value":
        tops = [
            float(part.value_counts(normalize=True).iloc[0])
            for each in honest
            if name in each and len(part := each[name].dropna()) >= _FEWEST_ROWS
        ]
        return claim.share >= 0.9 and len(tops) >= _FEWEST and max(tops) < 0.5
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
