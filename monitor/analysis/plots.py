"""The distributions that a stored snapshot holds, read without Evidently, and pictures of some of them and of a metric
over time.
"""

from __future__ import annotations

import io
import json
import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from html import escape
from itertools import accumulate, pairwise
from typing import Any

import zstandard

from monitor.domain.text import shown
from monitor.errors import DataError

Plot = Mapping[str, Any]
# The key of a snapshot's metadata under which the counts for its plots are.
PLOTS = "plots"
REFERENCE, WINDOW = "#5b6b7b", "#d1495b"
_MOST, _WORDS = 12, 24


def plots_of(snapshot: bytes) -> dict[str, dict[str, Any]]:
    """By column, how often values came in the reference and in the window, as `figures.plot_of` counted them. snapshot:
    as stored; none of a damaged one.
    """
    try:
        metadata = json.loads(unpacked(snapshot))["metadata"]
    except DataError:
        return {}
    return plots_in(metadata)


def plots_in(metadata: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The plots of a snapshot's metadata, as JSON; in snapshots of the first versions each column's was JSON by
    itself.
    """
    kept = metadata.get(PLOTS, "{}")
    plots: dict[str, Any] = json.loads(kept) if isinstance(kept, str) else kept
    return {column: json.loads(plot) if isinstance(plot, str) else plot for column, plot in plots.items()}


def unpacked(snapshot: bytes) -> str:
    """The JSON of a stored snapshot. Raises DataError for one that is damaged."""
    try:
        return zstandard.decompress(snapshot).decode()
    except (zstandard.ZstdError, UnicodeDecodeError) as error:
        raise DataError(f"the stored report is damaged: {error}") from None


def shares(counts: Sequence[int]) -> list[float]:
    """Counts as shares of their sum, 0 to 1."""
    whole = sum(counts) or 1
    return [count / whole for count in counts]


def quantiles(plot: Plot, side: str, at: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95)) -> list[float]:
    """Quantiles of a column of numbers, estimated from its bins: linear within a bin; empty for other columns and
    without rows. side: `reference` or `window`.
    """
    if "edges" not in plot or not sum(plot[side]):
        return []
    edges, reached = plot["edges"], [0.0, *accumulate(shares(plot[side]))]
    values = []
    for share in at:
        place = min(max(bisect_left(reached, share), 1), len(edges) - 1)
        inside = (share - reached[place - 1]) / ((reached[place] - reached[place - 1]) or 1.0)
        values.append(edges[place - 1] + min(inside, 1.0) * (edges[place] - edges[place - 1]))
    return values


def as_shares(plot: Plot) -> dict[str, Any]:
    """A column's distributions as shares of the rows of either side."""
    return {**plot, **{side: shares(plot[side]) for side in ("reference", "window")}}


@dataclass(frozen=True)
class MetricPoint:
    """A metric in a window. value: None where there is none, or too little data. low, high: its interval. limits:
    the lower and the upper. bad: whether the window alerts.
    """

    start: datetime
    end: datetime
    value: float | None
    low: float | None = None
    high: float | None = None
    limits: tuple[float | None, float | None] = (None, None)
    bad: bool = False


@dataclass(frozen=True)
class Curve:
    """A metric over windows, oldest first. name: as people write it."""

    name: str
    points: Sequence[MetricPoint]


def picture(plots: Mapping[str, Plot], columns: Sequence[str]) -> bytes | None:
    """A PNG, 800 pixels wide, of these columns' distributions in the reference and in the window; None if the snapshot
    has none of them.
    """
    drawn = [column for column in columns if column in plots]
    return (
        _drawn([partial(_draw_distribution, column=column, plot=plots[column]) for column in drawn]) if drawn else None
    )


def picture_of_curve(curve: Curve) -> bytes:
    """A PNG, 800 pixels wide, of a curve: limits dashed, windows that alert shaded, gaps where nothing is known."""
    return _drawn([partial(_draw_curve, curve=curve)])


def _drawn(parts: Sequence[Callable[[Any], None]]) -> bytes:
    """Parts one below the other."""
    from matplotlib.figure import Figure  # takes a while to import, and few processes draw

    figure = Figure(figsize=(8, 2.3 * len(parts)), dpi=100, layout="constrained")
    for axes, draw in zip(figure.subplots(len(parts), squeeze=False)[:, 0], parts, strict=True):
        draw(axes)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw_curve(axes: Any, curve: Curve) -> None:
    """Values with their interval, the limit dashed, windows that alert shaded; what has no value is a gap."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    times = [point.start + (point.end - point.start) / 2 for point in curve.points]
    shaded = [point for point in curve.points if point.bad]
    for number, point in enumerate(shaded):
        axes.axvspan(
            point.start, point.end, color=WINDOW, alpha=0.15, linewidth=0, label=None if number else "alerting"
        )
    low, high = (_numbers([getattr(point, name) for point in curve.points]) for name in ("low", "high"))
    axes.fill_between(times, low, high, color=REFERENCE, alpha=0.2, linewidth=0)
    axes.plot(
        times,
        _numbers([point.value for point in curve.points]),
        color=REFERENCE,
        marker="o",
        markersize=3,
        label=_text(curve.name),
    )
    labelled = False
    for side in (0, 1):
        limits = _numbers([point.limits[side] for point in curve.points])
        if any(map(math.isfinite, limits)):
            axes.plot(
                times,
                limits,
                color=WINDOW,
                linestyle="--",
                linewidth=1,
                drawstyle="steps-mid",
                label=None if labelled else "limit",
            )
            labelled = True
    locator = AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.set_title(f"{_text(curve.name)} by window (UTC)", loc="left", fontsize=11)
    axes.set_ylabel(_text(curve.name), fontsize=9)
    axes.tick_params(labelsize=9)
    axes.legend(fontsize=9, frameon=False)


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]


def _draw_distribution(axes: Any, column: str, plot: Plot) -> None:
    if "edges" in plot:
        for side, colour in (("reference", REFERENCE), ("window", WINDOW)):
            axes.stairs(shares(plot[side]), plot["edges"], fill=True, alpha=0.5, color=colour, label=side)
    else:
        names = [_text(name) for name in plot["names"][:_MOST]]
        for side, colour, moved in (("reference", REFERENCE, -0.2), ("window", WINDOW, 0.2)):
            heights = shares(plot[side])[:_MOST]
            axes.bar([place + moved for place in range(len(names))], heights, 0.4, color=colour, label=side)
        axes.set_xticks(range(len(names)), names, rotation=20, ha="right", fontsize=7)
    axes.set_title(_text(column), loc="left", fontsize=10)
    axes.set_ylabel("share of the rows", fontsize=8)
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=7, frameon=False)


def _text(name: object) -> str:
    """A name as matplotlib writes it: short, a dollar sign no formula."""
    return shown(name, _WORDS).replace("$", r"\$")


def middles(edges: Sequence[float]) -> list[float]:
    """The middles of bins."""
    return [(low + high) / 2 for low, high in pairwise(edges)]


def bars(plot: Plot) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The traces and the layout of a plotly figure of a column: its shares in the reference and in the window."""
    numbers = "edges" in plot
    # Plotly reads names as markup.
    places = middles(plot["edges"]) if numbers else [escape(str(name), quote=False) for name in plot["names"]]
    traces: list[dict[str, Any]] = [
        {
            "type": "bar",
            "name": side,
            "x": places,
            "y": shares(plot[side]),
            "marker": {"color": colour},
            "opacity": 0.6 if numbers else 1,
        }
        for side, colour in (("reference", "#4d4d4d"), ("window", "#ed0400"))
    ]
    layout = {
        "barmode": "overlay" if numbers else "group",
        "bargap": 0.02 if numbers else 0.2,
        "height": 260,
        "margin": {"l": 40, "r": 10, "t": 10, "b": 40},
        "yaxis": {"tickformat": ".0%"},
    }
    return traces, layout
