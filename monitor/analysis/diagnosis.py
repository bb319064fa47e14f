"""Causes in words: what kind of change a drifted column shows, in which share of the rows, since when, and whether it looks like the pipeline or the world.

Each kind of change is tried on the window's own values: undone, the column must look like the reference again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from monitor.analysis.reference import Reference
from monitor.analysis.relations import MOST_ROWS, Relations, few
from monitor.analysis.summary import Categories, Numbers, Summary, summarise
from monitor.domain.checks import Finding, Kind
from monitor.domain.text import quoted, shown

Floats = np.ndarray
# Ratios between units that are mixed up: powers of ten and a thousand, time, length, weight, volume.
_UNITS = sorted(
    {10.0**power for power in range(-6, 7) if power}
    | {factor**sign for sign in (1, -1) for factor in (2.54, 30.48, 0.3048, 1.609344, 0.45359237, 28.349523, 3.785411784, 60.0, 3600.0, 24.0, 86400.0, 1024.0)}
)  # fmt: skip
_PLACEHOLDERS = {-9999.0, -999.0, -99.0, -9.0, -1.0, 0.0, 99.0, 999.0, 9999.0, 99999.0, 999999.0, 9999999.0, -273.15}
_PLACEHOLDER_TEXTS = {"", "?", "-", "na", "n/a", "nan", "none", "null", "unknown", "missing", "undefined", "other", "-1", "-999", "999"}  # fmt: skip
# What must be left of the distance to the reference, once a change is undone, for it to be the cause.
_UNDONE = 0.35
_MIN_SHARE = 0.01
# Columns that are held against each other.
_FEW = 12


@dataclass(frozen=True)
class Cause:
    """What happened to a column. share: of the rows; pipeline: whether it looks like a fault of the pipeline rather than the world.

    may_grow: whether it may as well be a category of which there are more rows. follows: the column whose change explains it.
    """

    name: str
    text: str
    share: float | None = None
    pipeline: bool = False
    may_grow: bool = False
    follows: str | None = None


def explained(
    reference: Reference, window: pd.DataFrame, of_column: Callable[[str], Summary | None], times: pd.Series | None, findings: list[Finding]
) -> list[Finding]:  # fmt: skip
    """The findings, those of drift with their cause; columns that only moved with a value of which there are more rows follow its column.

    window: its rows in the reference's sorts; times: of their events.
    """
    drifted = [each.column for each in findings if _is_of_column(each) and each.column is not None]
    if not any(each.kind is Kind.DRIFT for each in findings):
        return findings
    rewritten = {each.column for each in findings if each.metric == "digits_score"}
    pairs = {
        name: (before, after)
        for name in drifted
        if (before := reference.of_column(name)) and (after := of_column(name))
    }
    causes = {name: cause_of(before, after, name in rewritten) for name, (before, after) in pairs.items()}
    for one, other in swapped({name: pairs[name] for name in list(pairs)[:_FEW]}):
        for name, twin in ((one, other), (other, one)):
            causes[name] = Cause(
                "swapped columns", f"it looks as {quoted(twin)} did, and {quoted(twin)} as it did", 1.0, True
            )
    # A category that grows is not stuck if other columns have moved as its rows would have it.
    grows = {name for name, cause in causes.items() if cause.may_grow}
    world = [name for name in pairs if not causes[name].pipeline or name in grows][:_FEW]
    grown = subpopulation(few(reference.frame), few(window), reference.sorts, world) if len(world) >= 3 else None
    if grown is not None:
        text = f"there are more rows with {shown(grown[0])} = {shown(grown[1])} ({grown[2]:.1%} -> {grown[3]:.1%}), which explains most of it"
        share = grown[3] - grown[2]
        causes |= {name: Cause("subpopulation shift", text, share, follows=grown[0]) for name in world}
    result = [_with_cause(reference, window, times, finding, causes) for finding in findings]
    if reference.relations is None or not any(each.metric == "relation_score" for each in findings):
        return result
    sides = [reference.relations.correlations(few(frame)) for frame in (reference.frame, window)]
    return [_with_pair(reference.relations, finding, *sides) for finding in result]


def _is_of_column(finding: Finding) -> bool:
    """Whether it says that a whole column drifted."""
    return finding.kind is Kind.DRIFT and finding.metric == "drift_score" and finding.segment is None


def _with_pair(relations: Relations, finding: Finding, there: Floats, here: Floats) -> Finding:
    if finding.metric != "relation_score" or finding.column is None:
        return finding
    return replace(finding, explanation=f"{finding.explanation}: {relations.broken(finding.column, there, here)}")


def cause_of(before: Summary, after: Summary, rewritten: bool = False) -> Cause:
    """The kind of change of a column. rewritten: whether its numbers have other decimals than they had."""
    if isinstance(before, Numbers) and isinstance(after, Numbers):
        return cause_of_numbers(before, after, rewritten)
    assert isinstance(before, Categories)
    assert isinstance(after, Categories)
    return cause_of_categories(before, after)


def _with_cause(
    reference: Reference, window: pd.DataFrame, times: pd.Series | None, finding: Finding, causes: Mapping[str, Cause]
) -> Finding:  # fmt: skip
    name = finding.column
    if name is None or not _is_of_column(finding) or name not in causes:
        return finding
    cause, before = causes[name], reference.of_column(name)
    began = since(window[name], times, before) if times is not None and before is not None else None
    parts = [f"{finding.explanation}: {cause.text}", *([f"since {began:%Y-%m-%d %H:%M}"] if began else [])]
    origin = "pipeline" if cause.pipeline else "world"
    text = "; ".join([*parts, f"looks like the {origin}"])
    return replace(
        finding,
        cause=cause.name,
        explanation=text,
        share=cause.share,
        since=began,
        origin=origin,
        follows=cause.follows,
    )


def cause_of_numbers(before: Numbers, after: Numbers, digits_changed: bool) -> Cause:
    """The kind of change of a numerical column."""
    before, after = _thinned(before), _thinned(after)
    gap = distance(before, after)
    tries = (_repeated(before, after, gap), _unit(before, after, gap))
    found = next((cause for cause in tries if cause is not None), None)
    if found is not None:
        return found
    if digits_changed:
        return Cause("rounding", "its numbers have more or fewer decimals than they had", pipeline=True)
    return _moved(before, after)


def _thinned(values: Numbers) -> Numbers:
    """The same distribution in some thousand values, which are sorted again for each unit that is tried."""
    if values.count <= MOST_ROWS:
        return values
    return Numbers(values.values[np.linspace(0, values.count - 1, MOST_ROWS).astype(int)], values.rows)


def cause_of_categories(before: Categories, after: Categories) -> Cause:
    """The kind of change of a column of categories."""
    names = before.tally.index.union(after.tally.index, sort=False)
    there, here = (each.tally.reindex(names, fill_value=0) / each.count for each in (before, after))
    change = here - there
    up, down = change.idxmax(), change.idxmin()
    more, less = (shown(name) for name in (up, down))
    noise = 3 * float(np.sqrt(there[down] * (1 - there[down]) / after.count)) + 1 / after.count
    if there[up] == 0 and here[down] <= 0.1 * there[down] and abs(here[up] - there[down] + here[down]) <= noise:
        return Cause("renamed category", f"'{less}' vanished while '{more}' came at the same share ({here[up]:.1%})", float(here[up]), True)  # fmt: skip
    if there[up] == 0:
        text = f"'{more}' is new, in {here[up]:.1%} of the rows"
        if str(up).strip().lower() in _PLACEHOLDER_TEXTS:
            return Cause("placeholder value", text, float(here[up]), True)
        return Cause("new category", text, float(here[up]), True)
    if abs(here[up] - there[down]) <= noise and abs(here[down] - there[up]) <= noise and len(names) > 2:
        return Cause("category swap", f"'{more}' and '{less}' changed places", float(here[up] + here[down]), True)
    share = float(change[up] / (1 - there[up])) if there[up] < 1 else 0.0
    rest = there.drop(up) * (1 - share)
    if share >= 0.03 and float((here.drop(up) - rest).abs().sum()) / 2 <= 0.1 * float(change[up]) + noise / 2:
        return Cause(
            "stuck value", f"'{more}' in {share:.1%} of the rows where other values were", share, True, may_grow=True
        )
    if here[down] == 0 and there[down] >= _MIN_SHARE:
        return Cause(
            "vanished category", f"'{less}' is gone, it was {there[down]:.1%} of the rows", float(there[down]), True
        )
    return Cause("shares of categories", f"'{more}' {there[up]:.1%} -> {here[up]:.1%}, '{less}' {there[down]:.1%} -> {here[down]:.1%}", float(change.clip(lower=0).sum()))  # fmt: skip


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
    if share < _MIN_SHARE or share < 0.5 * gap:
        return None
    rest = Numbers(after.values[after.values != value], after.rows)
    if rest.count > 30 and distance(before, rest) > max(_UNDONE * gap, _noise(before, rest.count)):
        return None
    usual = (high[place] - low[place]) / before.count
    outside = not before.low <= value <= before.high
    if outside or (value in _PLACEHOLDERS and usual < 0.001):
        return Cause("placeholder value", f"{value:g} in {share:.1%} of the rows", share, True)
    return Cause("stuck value", f"{value:g} in {share:.1%} of the rows where other values were", share, True)


def _unit(before: Numbers, after: Numbers, gap: float) -> Cause | None:
    """A round factor which, undone in all rows or in those out of range, gives the reference's values again."""
    low, high = before.quantile(0.005), before.quantile(0.995)
    apart = (after.values < low) | (after.values > high)
    best: tuple[float, float, float] | None = None
    for rows in [np.ones(after.count, dtype=bool), apart] if apart.sum() >= 3 else [np.ones(after.count, dtype=bool)]:
        for factor in _UNITS:
            mended = Numbers(np.sort(np.where(rows, after.values / factor, after.values)), after.rows)
            left = distance(before, mended)
            if best is None or left < best[0] - 1e-9:
                best = left, factor, float(rows.mean())
    assert best is not None
    left, factor, share = best
    if share < 0.003 or left > max(0.1 * gap, min(_noise(before, after.count), 0.7 * gap)):
        return None
    inside = float(((after.values >= low) & (after.values <= high)).mean())
    if share < 1 and inside + share < 0.97:
        return None
    return Cause("unit change", f"x {factor:g} in {share:.1%} of the rows, as if in another unit", share, True)


def _moved(before: Numbers, after: Numbers) -> Cause:
    middle = before.quantile(0.5), after.quantile(0.5)
    width = [each.quantile(0.75) - each.quantile(0.25) for each in (before, after)]
    unit = width[0] or before.std or 1.0
    shift = (middle[1] - middle[0]) / unit
    scale = float(np.log(width[1] / width[0])) if min(width) > 0 else 0.0
    moved = f"median {middle[0]:.4g} -> {middle[1]:.4g}"
    ranges = f"5 to 95 % {_range(before)} -> {_range(after)}"
    if abs(shift) >= abs(scale) and abs(shift) > 0.02:
        return Cause("shift", f"{moved}, {ranges}")
    if abs(scale) > 0.02:
        return Cause("scale", f"middle half {width[0]:.4g} -> {width[1]:.4g} wide, {ranges}")
    return Cause("distribution", f"{moved}, {ranges}")


def _range(values: Numbers) -> str:
    return f"[{values.quantile(0.05):.4g}, {values.quantile(0.95):.4g}]"


def swapped(pairs: Mapping[str, tuple[Summary, Summary]]) -> Iterator[tuple[str, str]]:
    """Pairs of changed columns each of which looks as the other did. pairs: reference and window, by column."""
    names = list(pairs)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            if all(_takes_after(pairs[each], pairs[against]) for each, against in ((one, other), (other, one))):
                yield one, other


def _takes_after(own: tuple[Summary, Summary], other: tuple[Summary, Summary]) -> bool:
    (before, after), (wanted, _) = own, other
    if isinstance(before, Numbers) and isinstance(after, Numbers) and isinstance(wanted, Numbers):
        return distance(wanted, after) <= max(
            0.25 * distance(before, after), min(_noise(wanted, after.count), 0.5 * distance(before, after))
        )
    if isinstance(before, Categories) and isinstance(after, Categories) and isinstance(wanted, Categories):
        away, near = (
            np.abs(np.subtract(*(side / side.sum() for side in each.beside(after)))).sum() for each in (before, wanted)
        )
        return bool(near <= 0.25 * away)
    return False


def subpopulation(
    frame: pd.DataFrame, window: pd.DataFrame, sorts: Mapping[str, str], changed: list[str]
) -> tuple[str, str, float, float] | None:
    """The column and value of which there are more, if that alone explains at least half of how the other changed columns moved.

    frame, window: the reference's rows and the window's. Returns column, value, and its share before and after.
    """
    best: tuple[float, str, str, float, float] | None = None
    for column in changed:
        levels = _levels(frame[column], window[column], sorts[column])
        if levels is None:
            continue
        there, here = (pd.Series(side).value_counts(normalize=True) for side in levels)
        weights = pd.Series(levels[0]).map(here / there).fillna(0.0).to_numpy()
        if weights.sum() <= 0:
            continue
        others = [name for name in changed if name != column]
        moved = [_moved_by(frame[name], window[name], weights, sorts[name]) for name in others]
        before, after = (sum(each[side] for each in moved) for side in (0, 1))
        explained = 1 - after / before if before > 0 else 0.0
        if best is None or explained > best[0]:
            change = here.sub(there, fill_value=0)
            value = change.idxmax()
            best = explained, column, str(value)[:60], float(there.get(value, 0.0)), float(here.get(value, 0.0))
    return best[1:] if best is not None and best[0] >= 0.5 else None


def _levels(before: pd.Series, after: pd.Series, sort: str) -> tuple[Floats, Floats] | None:
    if sort == "numerical":
        edges = np.unique(np.nanquantile(before.to_numpy(dtype=float), [0.2, 0.4, 0.6, 0.8]))
        texts = np.array(
            [f"{low:.4g} to {high:.4g}" for low, high in zip([-np.inf, *edges], [*edges, np.inf], strict=True)]
        )
        return tuple(
            texts[np.searchsorted(edges, each.fillna(before.median()).to_numpy(dtype=float), "right")]
            for each in (before, after)
        )
    if sort in ("categorical", "boolean") and before.nunique() <= 50:
        return before.fillna("missing").to_numpy(), after.fillna("missing").to_numpy()
    return None


def _moved_by(before: pd.Series, after: pd.Series, weights: Floats, sort: str) -> tuple[float, float]:
    """How far a column is from the reference, and from the reference weighted."""
    if sort == "numerical":
        numbers = before.to_numpy(dtype=float)
        knots = np.unique(np.nanquantile(numbers, np.linspace(0.05, 0.95, 19)))
        below = (numbers[:, None] <= knots) & np.isfinite(numbers)[:, None]
        here = (after.to_numpy(dtype=float)[:, None] <= knots).mean(axis=0)
        return float(np.abs(below.mean(axis=0) - here).max()), float(np.abs(np.average(below, axis=0, weights=weights) - here).max())  # fmt: skip
    here = after.value_counts(normalize=True)
    plain = before.value_counts(normalize=True)
    weighted = pd.Series(weights, before.to_numpy()).groupby(level=0).sum() / weights.sum()
    return float(plain.sub(here, fill_value=0).abs().sum() / 2), float(weighted.sub(here, fill_value=0).abs().sum() / 2)


def since(values: pd.Series, times: pd.Series, before: Summary) -> datetime | None:
    """When the change began, if it began within the window: where the cumulative sum of the values' ranks in the reference bends most.

    None where the rows before are no less changed than those after, or where there are too few.
    """
    order = np.argsort(times.to_numpy(), kind="stable")
    if isinstance(before, Numbers):
        score = np.searchsorted(before.values, values.to_numpy(dtype=float)[order], "right") / before.count
        score = np.where(values.isna().to_numpy()[order], 0.5, score)
        score = np.abs(score - 0.5) if abs(score.mean() - 0.5) < abs(np.abs(score - 0.5).mean() - 0.25) else score
    else:
        shares = before.tally / before.count
        score = values.map(shares).fillna(0.0).to_numpy(dtype=float)[order]
    rows = len(score)
    if rows < 40:
        return None
    bridge = np.abs(np.cumsum(score - score.mean())) / (score.std() or 1.0)
    places = np.arange(1, rows + 1)
    inner = slice(rows // 20, rows - rows // 20)
    bend = bridge[inner] / np.sqrt(places[inner] * (rows - places[inner]) / rows)
    at = int(bend.argmax()) + rows // 20
    if bend.max() < 4.0:
        return None
    halves = [summarise(values.iloc[part].reset_index(drop=True), "numerical" if isinstance(before, Numbers) else "categorical") for part in (order[: at + 1], order[at + 1 :])]  # fmt: skip
    if isinstance(before, Numbers) and all(isinstance(half, Numbers) and half.count for half in halves):
        first, second = (distance(before, half) for half in halves if isinstance(half, Numbers))
        if first > 0.5 * second:
            return None
    began: datetime = pd.Timestamp(times.iloc[order[at + 1]]).to_pydatetime()
    return began
