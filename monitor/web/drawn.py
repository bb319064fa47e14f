"""What pages hand to `static/plots.js`: one list a field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from monitor.analysis.plots import Curve, Plot, shares
from monitor.storage.overview import Impact, Value

_LEVELS = {"none": 0, "info": 1, "warning": 2, "critical": 3}
# Windows whose starts are so many steps apart have others between them; months and days of a clock change differ less.
_GAP = 1.5
_NOTHING: dict[str, Any] = dict.fromkeys(("value", "lower", "upper"))
_FIELDS = ("value", "lower", "upper", "threshold_lower", "threshold_upper", "model_version", "run")


def line(values: Sequence[Value]) -> dict[str, Any]:
    """A metric over time, with the interval and the limits of each window. A window that says too little, or that is
    not there, is a gap: a point without a value.
    """
    rows = _with_gaps([value if value.can_tell else replace(value, **_NOTHING) for value in values])
    return {"x": [value.start.isoformat() for value in rows]} | {
        name: [getattr(value, name) for value in rows] for name in _FIELDS
    }


def _with_gaps(values: Sequence[Value]) -> list[Value]:
    """The values, with one that is empty where the next comes later than its neighbours do."""
    steps = [after.start - before.start for before, after in pairwise(values) if after.start > before.start]
    if not steps:
        return list(values)
    step = min(steps)
    rows = [values[0]]
    for before, after in pairwise(values):
        if after.start - before.start > _GAP * step:
            rows.append(replace(before, start=before.start + step, **_NOTHING))
        rows.append(after)
    return rows


def heat(impact: Sequence[Impact]) -> dict[str, list[Any]]:
    """Columns by windows, the column with the greatest impact on top: how bad each is (0 fine, 1 changed, 2 warning, 3
    critical), and its score.
    """
    times = sorted({moment for row in impact for moment in row.scores})
    rows = list(reversed(impact))
    levels = [
        [_LEVELS[row.severities.get(moment, "none")] if moment in row.scores else None for moment in times]
        for row in rows
    ]
    scores = [[row.scores.get(moment) for moment in times] for row in rows]
    return {
        "x": [time.isoformat() for time in times],
        "y": [row.column for row in rows],
        "z": levels,
        "scores": scores,
    }


def curve(drawn: Curve) -> dict[str, Any]:
    """A metric by window, at the middle of each; and the windows that alert."""
    points = drawn.points
    return {
        "name": drawn.name,
        "x": [(point.start + (point.end - point.start) / 2).isoformat() for point in points],
        "value": [point.value for point in points],
        "lower": [point.low for point in points],
        "upper": [point.high for point in points],
        "limits": [[point.limits[side] for point in points] for side in (0, 1)],
        "bad": [[point.start.isoformat(), point.end.isoformat()] for point in points if point.bad],
    }


def pair(first: Plot, second: Plot) -> dict[str, Any]:
    """A column in two windows: of numbers the share of the rows by unit of the column, whose bins may differ; of other
    columns the share of each value.
    """
    if "edges" in first and "edges" in second:
        return {"first": _density(first), "second": _density(second)}
    sides = [_shares_by_value(plot) for plot in (first, second)]
    names = list(dict.fromkeys(name for side in sides for name in side))
    return {
        "names": names,
        "first": [sides[0].get(name, 0.0) for name in names],
        "second": [sides[1].get(name, 0.0) for name in names],
    }


def _density(plot: Plot) -> dict[str, list[float]]:
    edges = plot["edges"]
    widths = [high - low for low, high in pairwise(edges)]
    heights = [share / width if width > 0 else 0.0 for share, width in zip(shares(plot["window"]), widths, strict=True)]
    return {"x": edges, "y": [*heights, heights[-1] if heights else 0.0]}


def _shares_by_value(plot: Mapping[str, Any]) -> dict[str, float]:
    if "edges" in plot:
        names = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(plot["edges"])]
    else:
        names = [str(name) for name in plot["names"]]
    return dict(zip(names, shares(plot["window"]), strict=True))
