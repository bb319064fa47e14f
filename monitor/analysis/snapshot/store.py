"""Stored snapshots: Evidently's own JSON, compressed. And the page that is made from one when it is viewed."""

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
    """The report as one self-contained page, with the plots drawn from the stored counts. Columns that drifted most
    come first.
    """
    model = snapshot.to_snapshot_model()
    plots = plots_in(model.metadata)
    general, scored, other_columns = [], [], []
    for result in model.metric_results.values():
        column = result.metric_value_location.metric.params.get("column")
        if column is None:
            general += result.get_widgets()
        elif isinstance(result, SingleValue) and column in plots:
            counters = [widget.copy(update={"size": 1}) for widget in result.get_widgets()]
            scored.append((result.value, [*counters, _widget(column, plots[column])]))
        else:
            other_columns += result.get_widgets()
    ranked = [widget for _, widgets in sorted(scored, key=lambda entry: -entry[0]) for widget in widgets]
    whole = Snapshot.load_model(model.copy(update={"widgets": [*general, *ranked, *other_columns]}))
    return _DATA.sub(_without_markup, str(whole.get_html_str(as_iframe=False)))


# Evidently writes JSON unescaped into a script of the page: values of the log must not end that script.
_DATA = re.compile(r"^(\s*var (?:metric|additional_graphs)_\w+ = )(.*);$", re.MULTILINE)
_MARKUP = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def _without_markup(line: re.Match[str]) -> str:
    """A line of data in which each character that HTML could take for markup is escaped, as JSON allows."""
    return f"{line[1]}{line[2].translate(_MARKUP)};"


def _widget(column: str, plot: dict[str, Any]) -> BaseWidgetInfo:
    """Reference and window of a column side by side, as shares."""
    traces, layout = bars(plot)
    return BaseWidgetInfo(type="big_graph", title=column, size=1, params={"data": traces, "layout": layout})
