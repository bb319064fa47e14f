"""Snapshots as stored: Evidently's own JSON, compressed; and the page that is made of one when someone looks."""

from __future__ import annotations

import re
import warnings
from typing import Any

import zstandard

from monitor.analysis.plots import bars, plots_in, unpacked

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from evidently.core.metric_types import SingleValue
    from evidently.core.report import Snapshot
    from evidently.legacy.model.widget import BaseWidgetInfo


def pack(snapshot: Snapshot) -> bytes:
    """The snapshot as compressed bytes."""
    return zstandard.ZstdCompressor(9, write_checksum=True).compress(snapshot.dumps().encode())


def unpack(data: bytes) -> Snapshot:
    """The inverse of `pack`. Raises DataError for what is damaged."""
    return Snapshot.loads(unpacked(data))


def to_html(snapshot: Snapshot) -> str:
    """The report as one page that needs nothing from elsewhere, with the plots drawn from the counts that it holds,
    what drifted most first.
    """
    model = snapshot.to_snapshot_model()
    plots = plots_in(model.metadata)
    of_all, by_drift, of_columns = [], [], []
    for result in model.metric_results.values():
        column = result.metric_value_location.metric.params.get("column")
        if column is None:
            of_all += result.get_widgets()
        elif isinstance(result, SingleValue) and column in plots:
            counters = [widget.copy(update={"size": 1}) for widget in result.get_widgets()]
            by_drift.append((result.value, [*counters, _widget(column, plots[column])]))
        else:
            of_columns += result.get_widgets()
    ranked = [widget for _, widgets in sorted(by_drift, key=lambda each: -each[0]) for widget in widgets]
    whole = Snapshot.load_model(model.copy(update={"widgets": [*of_all, *ranked, *of_columns]}))
    return _DATA.sub(_without_markup, str(whole.get_html_str(as_iframe=False)))


# Evidently writes JSON into a script of the page as it is: what the log holds must not end that script.
_DATA = re.compile(r"^(\s*var (?:metric|additional_graphs)_\w+ = )(.*);$", re.MULTILINE)
_MARKUP = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def _without_markup(line: re.Match[str]) -> str:
    """A line of data with each character that a page could take for markup escaped, as JSON may have it."""
    return f"{line[1]}{line[2].translate(_MARKUP)};"


def _widget(column: str, plot: dict[str, Any]) -> BaseWidgetInfo:
    """Reference and window of a column side by side, as shares."""
    traces, layout = bars(plot)
    return BaseWidgetInfo(type="big_graph", title=column, size=1, params={"data": traces, "layout": layout})
