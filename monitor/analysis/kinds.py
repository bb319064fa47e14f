"""What kind of change a column shows. Each kind is tried on the window's own values: once it is undone, the column must
look like the reference again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binom

from monitor.analysis.evidence import Claim
from monitor.analysis.relations import MOST_ROWS, digits
from monitor.analysis.summary import Categories, Numbers, Summary
from monitor.analysis.units import Unit, units_of
from monitor.domain import phrases
from monitor.domain.text import quoted

Floats = np.ndarray
Inverses = Callable[[Floats], Floats]
_PLACEHOLDERS = {-9999.0, -999.0, -99.0, -9.0, -1.0, 0.0, 99.0, 999.0, 9999.0, 99999.0, 999999.0, 9999999.0, -273.15}
_PLACEHOLDER_TEXTS = {
    "",
    "?",
    "-",
    "na",
    "n/a",
    "nan",
    "none",
    "null",
    "unknown",
    "missing",
    "undefined",
    "other",
    "-1",
    "-999",
    "999",
}
# What must be left of the distance to the reference, once a change is undone, for it to be the cause.
_UNDONE = 0.35
# How far beyond chance values in which a unit is undone may be from those that had it before; which share of the
# reference it must have taken out of range.
_LIKE, _TAKEN_OUT = 0.1, 0.1
_MIN_SHARE = 0.01
# By how many widths of the reference's range a value lies far out; and how often chance may make as many new values.
_FAR_OUT, _RARELY = 0.5, 0.01
# The changes of numbers that are compared: shifts in standard deviations, and ratios of the distance from the mean;
# and at how many values they are compared at most.
_SHIFTS, _STRETCHES, _TRIED_AT = np.geomspace(0.05, 10, 24), np.geomspace(0.1, 10, 40), 200
# A factor of less than ten is no unit if a shift or a stretch leaves less than this share of what the unit leaves of
# the difference.
_BETTER = 0.5
# Rows that have more decimals, or lie out of range, at least.
_FEWEST_FINER, _FEWEST_OUT_OF_RANGE = 8, 3


@dataclass(frozen=True)
class Cause:
    """What happened to a column. share: of the rows. is_fault: whether it is of a kind that faults of the pipeline
    make; the evidence tells whether it is one.

    values: those that the affected rows hold. unit: the one they are in now. pair: the two values, or columns, that
        changed places; of a new name the old one and the new. undone: whether a simple inverse gives the reference's
        shape again.
    may_grow: whether it may as well be a category of which there are more rows. follows: the column whose change
        explains it.
    """

    name: str
    text: str
    share: float | None = None
    is_fault: bool = False
    may_grow: bool = False
    follows: str | None = None
    values: tuple[Any, ...] = ()
    unit: Unit | None = None
    pair: tuple[Any, Any] | None = None
    undone: bool = False

    @property
    def claim(self) -> Claim:
        """What it claims, to be compared with the evidence."""
        return Claim(self.name, 1.0 if self.share is None else self.share, self.values, self.unit, self.undone)


def cause_of(before: Summary, after: Summary, rewritten: bool = False, has_unit: bool = True) -> Cause:
    """The kind of change of a column. rewritten: whether its numbers have other decimals than they had. has_unit:
    whether they may be in some unit.
    """
    if isinstance(before, Numbers) and isinstance(after, Numbers):
        return cause_of_numbers(before, after, rewritten, has_unit)
    assert isinstance(before, Categories)
    assert isinstance(after, Categories)
    return cause_of_categories(before, after)


def cause_of_numbers(before: Numbers, after: Numbers, digits_changed: bool, has_unit: bool = True) -> Cause:
    """The kind of change of a numerical column."""
    before, after = _thinned(before), _thinned(after)
    gap = distance(before, after)
    cause = _repeated(before, after, gap) or (_unit(before, after, gap) if has_unit else None)
    if cause is not None:
        return cause
    return _rewritten(before, after) if digits_changed else moved(before, after)


def _rewritten(before: Numbers, after: Numbers) -> Cause:
    """The kind of change of numbers that have other decimals than they had: those with more were worked out anew, and
    moved; those with fewer are rounded.
    """
    digits_before, digits_after = (digits(pd.Series(side.values)) for side in (before, after))
    finer = digits_after > np.quantile(digits_before, 0.999)
    some = Numbers(after.values[finer], int(finer.sum()))
    if some.count >= max(_FEWEST_FINER, _MIN_SHARE * after.count):
        cause = moved(before, some)
        if distance(before, some) > _noise(before, some.count):
            share = some.count / after.count
            return replace(
                cause,
                text=f"{phrases.more_decimals(share)}, and among these {cause.text}",
                share=share,
            )
        return Cause("more decimals", phrases.more_decimals(), some.count / after.count)
    if digits_after.mean() >= digits_before.mean() or _goes_beyond_rounding(before, after):
        return moved(before, after)
    return Cause("rounding", phrases.fewer_decimals(), is_fault=True)


def _goes_beyond_rounding(before: Numbers, after: Numbers) -> bool:
    """Whether quantiles moved by more than the last decimal of the numbers that are written coarsest."""
    coarsest = np.nanquantile(digits(pd.Series(after.values)), 0.05)
    step = 10.0**-coarsest
    gaps = [abs(after.quantile(share) - before.quantile(share)) for share in (0.1, 0.25, 0.5, 0.75, 0.9)]
    return bool(max(gaps) > max(0.6 * step, 0.1 * before.std))


def _thinned(values: Numbers) -> Numbers:
    """The same distribution in some thousand values, which are sorted again for each unit that is tried."""
    if values.count <= MOST_ROWS:
        return values
    return Numbers(values.values[np.linspace(0, values.count - 1, MOST_ROWS).astype(int)], values.rows)


def cause_of_categories(before: Categories, after: Categories) -> Cause:
    """The kind of change of a column of categories."""
    names = before.tally.index.union(after.tally.index, sort=False)
    shares_before, shares_after = (side.tally.reindex(names, fill_value=0) / side.count for side in (before, after))
    change = shares_after - shares_before
    up, down = change.idxmax(), change.idxmin()
    noise = 3 * float(np.sqrt(shares_before[down] * (1 - shares_before[down]) / after.count)) + 1 / after.count
    if (
        shares_before[up] == 0
        and shares_after[down] <= 0.1 * shares_before[down]
        and abs(shares_after[up] - shares_before[down] + shares_after[down]) <= noise
    ):
        return Cause(
            "renamed category",
            phrases.renamed(down, up, shares_after[up]),
            float(shares_after[up]),
            True,
            values=(up,),
            pair=(down, up),
            undone=True,
        )
    if shares_before[up] == 0:
        text = phrases.new_value(up, shares_after[up])
        if str(up).strip().lower() in _PLACEHOLDER_TEXTS:
            return Cause("placeholder value", text, float(shares_after[up]), True, values=(up,), undone=True)
        return Cause("new category", text, float(shares_after[up]), True, values=(up,))
    if (
        abs(shares_after[up] - shares_before[down]) <= noise
        and abs(shares_after[down] - shares_before[up]) <= noise
        and len(names) > 2
    ):
        return Cause(
            "category swap",
            phrases.swapped_values(up, down),
            float(shares_after[up] + shares_after[down]),
            True,
            pair=(up, down),
            undone=True,
        )
    share = float(change[up] / (1 - shares_before[up])) if shares_before[up] < 1 else 0.0
    rest = shares_before.drop(up) * (1 - share)
    # Rows came to one category from all others (it is stuck), or from one other alone.
    from_all = float((shares_after.drop(up) - rest).abs().sum()) / 2
    from_one = float(change.drop([up, down]).abs().sum()) / 2 + abs(float(change[up] + change[down]))
    if share >= 0.03 and len(names) > 2 and from_one < from_all and from_one <= 0.15 * float(change[up]) + noise:
        return Cause("category swap", phrases.became(down, up, change[up]), float(change[up]), True)
    if share >= 0.03 and from_all <= 0.1 * float(change[up]) + noise / 2:
        return Cause("stuck value", phrases.stuck(quoted(up), share), share, True, may_grow=True, values=(up,))
    if shares_after[down] == 0 and shares_before[down] >= _MIN_SHARE:
        return Cause("vanished category", phrases.gone(down, shares_before[down]), float(shares_before[down]), True)
    return shares_moved(before, after)


def other_level(before: Summary, after: Summary) -> Cause:
    """A change that is no fault of any kind: where numbers lie, or which shares categories have."""
    if isinstance(before, Numbers) and isinstance(after, Numbers):
        return moved(before, after)
    assert isinstance(before, Categories)
    assert isinstance(after, Categories)
    return shares_moved(before, after)


def shares_moved(before: Categories, after: Categories) -> Cause:
    """The category that grew most, and the one that shrank most."""
    names = before.tally.index.union(after.tally.index, sort=False)
    shares_before, shares_after = (side.tally.reindex(names, fill_value=0) / side.count for side in (before, after))
    change = shares_after - shares_before
    up, down = change.idxmax(), change.idxmin()
    text = phrases.shares((up, shares_before[up], shares_after[up]), (down, shares_before[down], shares_after[down]))
    return Cause("shares of categories", text, float(change.clip(lower=0).sum()))


def distance(before: Numbers, after: Numbers) -> float:
    """The Kolmogorov-Smirnov distance."""
    knots = np.concatenate([before.knots, after.knots])
    return float(
        max(np.abs(_share(before, knots, side) - _share(after, knots, side)).max() for side in ("left", "right"))
    )


def _share(values: Numbers, knots: Floats, side: Any) -> Floats:
    return np.searchsorted(values.values, knots, side) / values.count


def _noise(before: Numbers, count: int) -> float:
    """What chance makes of the Kolmogorov-Smirnov distance in one of a hundred cases."""
    return 1.63 * float(np.sqrt(1 / before.count + 1 / max(count, 1)))


def _repeated(before: Numbers, after: Numbers, gap: float) -> Cause | None:
    """One value that comes far oftener than it did: stuck, or standing for what is missing."""
    different, counts = after.unique
    low, high = (np.searchsorted(before.values, different, side) for side in ("left", "right"))
    excess = counts / after.count - (high - low) / before.count
    place = int(excess.argmax())
    value, share = float(different[place]), float(excess[place])
    outside = not before.low <= value <= before.high
    if share < _MIN_SHARE or (outside and share * after.count < 0.9 * after.outside(before.low, before.high)):
        return None  # one of many that were never seen
    far_out = _is_far_out(before, value)
    if not far_out and (share < 0.5 * gap or _is_rounded(excess, counts) or _is_moved_mode(before, after, share)):
        return None
    if _others_moved(before, after, value, share) or _others_rewritten(before, after, value, share):
        return None
    # The rows without a value that is far out need not be a sample of all: the value may have taken all rows of a kind.
    explains = _rest_is_usual(before, after, value, gap)
    if not explains and not far_out:
        return None
    usual = (high[place] - low[place]) / before.count
    if outside or (value in _PLACEHOLDERS and usual < 0.001):
        return Cause(
            "placeholder value",
            phrases.placeholder(f"{value:g}", share),
            share,
            True,
            values=(value,),
            undone=explains and share < 0.97,
        )
    return Cause("stuck value", phrases.stuck(f"{value:g}", share), share, True, values=(value,))


def _is_rounded(excess: Floats, counts: Floats) -> bool:
    """Whether several values come about as much oftener, as of numbers that are rounded. excess: by how much the share
    of each value grew. counts: of each value in the window.
    """
    if len(excess) < 2:
        return False
    second, first = np.argpartition(excess, -2)[-2:]
    chance = float(np.sqrt(counts[second])) / counts.sum()
    return bool(excess[first] < 3 * excess[second] and excess[second] > 2.8 * chance)


def _rest_is_usual(before: Numbers, after: Numbers, value: float, gap: float) -> bool:
    """Whether all values but one are as they were."""
    rest, usual_rest = (Numbers(side.values[side.values != value], side.rows) for side in (after, before))
    if rest.count <= 30 or not usual_rest.count:
        return True
    return distance(usual_rest, rest) <= max(_UNDONE * gap, _noise(usual_rest, rest.count))


def _is_far_out(before: Numbers, value: float) -> bool:
    """Whether a value lies far beyond all that the reference holds."""
    width = before.high - before.low
    return value < before.low - _FAR_OUT * width or value > before.high + _FAR_OUT * width


def _others_moved(before: Numbers, after: Numbers, value: float, share: float) -> bool:
    """Whether the rows that left their values went to other new values, too: all numbers were moved, where a value that
    is stuck, or a placeholder, takes all rows. How many new values are usual follows from those that the reference
    holds once (Good-Turing); of numbers that hardly repeat all are new.

    share: of the rows, by which the value comes oftener.
    """
    different, counts = before.unique
    new = int((~np.isin(after.values, different) & (after.values != value)).sum())
    usual = min((int((counts == 1).sum()) + 1) / before.count, 1.0)
    # All rows but those of the most frequent value would have gone to others.
    expected = share * (1 - counts.max() / before.count) * after.count
    return new >= 0.5 * expected and float(binom.sf(new - 1, after.count, usual)) < _RARELY


def _others_rewritten(before: Numbers, after: Numbers, value: float, share: float) -> bool:
    """Whether other values got other decimals, in at least half as many rows as a value comes oftener by: numbers were
    rounded or worked out anew, and some of them repeat.
    """
    sides = [digits(pd.Series(side.values[side.values != value])) for side in (before, after)]
    if not min(map(len, sides)):
        return False
    usual, now = (np.bincount((side + 6).astype(int), minlength=16) for side in sides)
    grew = now / now.sum() - usual / usual.sum()
    level = int(grew.argmax())
    chance = float(binom.sf(now[level] - 1, now.sum(), (usual[level] + 1) / (usual.sum() + 1)))
    return bool(grew[level] >= 0.5 * share and chance * len(now) < _RARELY)


def _is_moved_mode(before: Numbers, after: Numbers, share: float) -> bool:
    """Whether a value that comes oftener took its rows from the reference's most frequent value alone: that one was
    moved with all the others, where a stuck value takes from each in proportion. share: of the rows, by which it comes
    oftener.
    """
    different, counts = before.unique
    usual = int(counts.max())
    mode = different[int(counts.argmax())]
    low, high = (int(np.searchsorted(after.values, mode, side)) for side in ("left", "right"))
    lost, proportional = usual / before.count - (high - low) / after.count, share * usual / before.count
    return lost > (proportional + share) / 2


def _unit(before: Numbers, after: Numbers, gap: float) -> Cause | None:
    """A unit which, undone in all rows or in those out of range, gives the reference's values again."""
    units = units_of(before)
    if not units:
        return None
    left = [distance(before, Numbers(candidate.undone(after.values), after.rows)) for candidate in units]
    best = int(np.argmin(left))
    unit, share = units[best], 1.0
    if gap <= _noise(before, after.count) or left[best] > max(0.1 * gap, min(_noise(before, after.count), 0.7 * gap)):
        partial_unit = _unit_of_some(before, after, gap, units)
        if partial_unit is None:
            return None
        unit, share = partial_unit
    if abs(np.log10(unit.factor)) < 1 and _is_rather_moved(before, after, unit):
        return None
    text = phrases.unit_change(unit.factor, share) if unit.scales is None else phrases.other_scale(*unit.scales, share)
    return Cause("unit change", text, share, True, unit=unit, undone=True)


def _is_rather_moved(before: Numbers, after: Numbers, unit: Unit) -> bool:
    """Whether a shift or a stretch explains the change far better than a unit."""
    left = min(_left_of(before, after, inverses(before)) for inverses in (_shifts, _stretches))
    return left < _BETTER * _left_of(before, after, lambda values: unit.undone(values)[None, :])


def _unit_of_some(before: Numbers, after: Numbers, gap: float, units: Sequence[Unit]) -> tuple[Unit, float] | None:
    """The unit of the rows out of range, and their share: undone, they are like those of the reference which it would
    have taken out of it.
    """
    low, high = before.quantile(0.005), before.quantile(0.995)
    out_of_range = (after.values < low) | (after.values > high)
    number = int(out_of_range.sum())
    usual = 0.01 * after.count
    if number < max(_FEWEST_OUT_OF_RANGE, usual + 3 * usual**0.5):
        return None
    tried = []
    for place, unit in enumerate(units):
        rescaled = unit.of(before.values)
        beyond = (rescaled < low) | (rescaled > high)
        if beyond.mean() >= _TAKEN_OUT:
            origin = Numbers(before.values[beyond], int(beyond.sum()))
            mended = Numbers(unit.undone(after.values[out_of_range]), number)
            tried.append((distance(origin, mended) - _noise(origin, number), place))
    if not tried or min(tried)[0] > _LIKE:
        return None
    unit = units[min(tried)[1]]
    whole = Numbers(np.sort(np.where(out_of_range, unit.undone(after.values), after.values)), after.rows)
    if distance(before, whole) > max(0.7 * gap, _noise(before, after.count)):
        return None
    return unit, number / after.count


def moved(before: Numbers, after: Numbers) -> Cause:
    middle = before.quantile(0.5), after.quantile(0.5)
    width = [side.quantile(0.75) - side.quantile(0.25) for side in (before, after)]
    unit = width[0] or before.std or 1.0
    level_before, level_after = (
        (median, side.quantile(0.05), side.quantile(0.95)) for median, side in zip(middle, (before, after), strict=True)
    )
    spread_ratio = after.std / before.std if before.std > 0 else 1.0
    if abs(middle[1] - middle[0]) <= 0.02 * unit and abs(spread_ratio - 1) <= 0.02:
        return Cause("distribution", phrases.level(level_before, level_after))
    if _is_stretched(before, after):
        return Cause("scale", phrases.level(level_before, level_after, (width[0], width[1])))
    return Cause("shift", phrases.level(level_before, level_after))


def _is_stretched(before: Numbers, after: Numbers) -> bool:
    """Whether the values of some rows, or of all, lie farther from the mean or nearer to it, rather than higher or
    lower.
    """
    return _left_of(before, after, _stretches(before)) < _left_of(before, after, _shifts(before))


def _shifts(before: Numbers) -> Inverses:
    steps = np.append(_SHIFTS, -_SHIFTS)[:, None] * (before.std or 1.0)
    return lambda values: values - steps


def _stretches(before: Numbers) -> Inverses:
    mean = float(before.values.mean())
    return lambda values: mean + (values - mean) / _STRETCHES[:, None]


def _left_of(before: Numbers, after: Numbers, inverses: Inverses) -> float:
    """What is left of the difference between reference and window by the change that explains most of it, in the share
    of the rows for which it does so (least squares). Differences are weighted as by Anderson and Darling, since a few
    rows show in the tails alone.

    inverses: gives the values, shape (values,), before each of the changes that are tried, shape (changes, values).
    """
    pooled = np.sort(np.concatenate([before.values, after.values]))
    knots = np.unique(pooled[np.linspace(0, len(pooled) - 1, _TRIED_AT).astype(int)])
    usual, now = _share(before, knots, "right"), _share(after, knots, "right")
    both = (usual * before.count + now * after.count) / (before.count + after.count)
    inside = (both > 0) & (both < 1)
    knots, usual, now, weight = knots[inside], usual[inside], now[inside], 1 / (both * (1 - both))[inside]
    change = _share(before, inverses(knots), "right") - usual
    squares, gap = (weight * change**2).sum(axis=1), now - usual
    share = np.divide((weight * change * gap).sum(axis=1), squares, where=squares > 0, out=np.zeros_like(squares))
    left = gap - np.clip(share, 0, 1)[:, None] * change
    return float((weight * left**2).sum(axis=1).min(initial=np.inf))


def swapped(pairs: Mapping[str, tuple[Summary, Summary]]) -> Iterator[tuple[str, str]]:
    """Pairs of changed columns whose distributions changed places. pairs: reference and window, by column."""
    names = list(pairs)
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            if all(
                _takes_after(pairs[column], pairs[counterpart])
                for column, counterpart in ((first, second), (second, first))
            ):
                yield first, second


def _takes_after(own: tuple[Summary, Summary], counterpart: tuple[Summary, Summary]) -> bool:
    (before, after), (wanted, _) = own, counterpart
    if isinstance(before, Numbers) and isinstance(after, Numbers) and isinstance(wanted, Numbers):
        return distance(wanted, after) <= max(
            0.25 * distance(before, after), min(_noise(wanted, after.count), 0.5 * distance(before, after))
        )
    if isinstance(before, Categories) and isinstance(after, Categories) and isinstance(wanted, Categories):
        away, near = (
            np.abs(np.subtract(*(side / side.sum() for side in summary.beside(after)))).sum()
            for summary in (before, wanted)
        )
        return bool(near <= 0.25 * away)
    return False
