"""Two windows of a monitor side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from litestar import Response, get
from litestar.params import FromPath, FromQuery
from sqlalchemy.orm import Session

from monitor.analysis.plots import Plot
from monitor.domain.checks import Severity, Verdict
from monitor.domain.ids import one
from monitor.errors import NotFoundError, UsageError
from monitor.services.describe_alert import plots_of_window
from monitor.storage import overview, results, runs
from monitor.storage.overview import PERFORMANCE, WindowState
from monitor.storage.tables import MetricSeries, MonitorRow, Run
from monitor.web import drawn
from monitor.web.access import requires
from monitor.web.pages.monitors import span_of, watched
from monitor.web.site import AnyRequest, in_thread, page, site_of

# So many columns are drawn, those that differ most first.
_DRAWN = 12
_BAD = (Severity.WARNING.value, Severity.CRITICAL.value)


@dataclass(frozen=True)
class ComparedValue:
    """A metric in both windows; None where a window has no value. verdicts: of its checks, '' without one."""

    metric: str
    column: str
    segment: str
    values: tuple[float | None, float | None]
    verdicts: tuple[str, str]

    @property
    def difference(self) -> float | None:
        """The second less the first."""
        first, second = self.values
        return None if first is None or second is None else second - first


@get("/monitors/{name:str}/compare", guards=[requires("viewer")], include_in_schema=False)
@in_thread
def show(
    request: AnyRequest, name: FromPath[str], first: FromQuery[str] = "", second: FromQuery[str] = ""
) -> Response[str]:
    """Metrics and columns of two windows."""
    site = site_of(request)
    return page(request, "compare.html", **site.read(_read, name, first, second))


def _read(session: Session, name: str, first: str, second: str) -> dict[str, Any]:
    row = watched(session, name)
    begins, ends, _ = span_of(session, row.id, "", "")
    windows = [window for window in overview.windows(session, row.id, begins, ends) if window.rows]
    defaults = _worth_comparing(windows)
    chosen = [_run(session, row, asked or default) for asked, default in zip((first, second), defaults, strict=True)]
    if None in chosen:
        empty: dict[str, Any] = {name: [] for name in ("runs", "main", "others", "columns")}
        return empty | {"row": row, "windows": windows, "drawn": {"pairs": {}}}
    pair = [run for run in chosen if run is not None]
    values = _compared(session, pair)
    plots = [plots_of_window(session, run) for run in pair]
    of_model = [value for value in values if not value.column]
    columns = _by_difference([value for value in values if value.column and not value.segment])
    drawable = [name for name in dict.fromkeys(value.column for value in columns) if all(name in own for own in plots)]
    return {
        "row": row,
        "windows": _with_chosen(windows, pair),
        "runs": pair,
        "main": [value for value in of_model if _is_main(value)],
        "others": [value for value in of_model if not _is_main(value)],
        "columns": columns,
        "drawn": {"pairs": _pairs(drawable[:_DRAWN], plots)},
    }


def _worth_comparing(windows: Sequence[WindowState]) -> tuple[str, str]:
    """The newest bad window and the last healthy one before it; without a bad one, the last two."""
    bad = next((place for place in range(len(windows) - 1, -1, -1) if windows[place].state in _BAD), None)
    if bad is not None:
        healthy = next((window for window in reversed(windows[:bad]) if window.state == "healthy"), None)
        if healthy is not None:
            return healthy.run, windows[bad].run
    return (windows[-2].run, windows[-1].run) if len(windows) > 1 else ("", "")


def _run(session: Session, row: MonitorRow, asked: str) -> Run | None:
    """A run of the monitor by its id. Raises NotFoundError; UsageError for another monitor's."""
    if not asked:
        return None
    run = one(runs.find(session, asked), "run", asked)
    if run.monitor_id != row.id:
        raise UsageError(f"run {run.uuid[:8]} is of another monitor than {row.name}")
    if run.status != "done":
        raise NotFoundError(f"run {run.uuid[:8]} is {run.status}: it has no result to compare")
    return run


def _with_chosen(windows: Sequence[WindowState], pair: Sequence[Run]) -> list[WindowState]:
    """The windows to choose from, those that are shown among them under the runs that are shown."""
    shown = {run.window_start: run for run in pair}
    listed = [replace(window, run=shown[window.start].uuid) if window.start in shown else window for window in windows]
    absent = [run for start, run in shown.items() if start not in {window.start for window in windows}]
    listed += [WindowState(run.window_start, run.window_end, "", run.rows, run.uuid) for run in absent]
    return sorted(listed, key=lambda window: window.start)


def _compared(session: Session, pair: Sequence[Run]) -> list[ComparedValue]:
    """What both windows' newest data and performance runs have measured."""
    first, second = (_measured(session, run) for run in pair)
    keys = sorted(first.keys() | second.keys(), key=lambda key: (key[1], key[2], key[0]))
    nothing = None, ""
    sides = [(key, first.get(key, nothing), second.get(key, nothing)) for key in keys]
    return [ComparedValue(*key, (one[0], other[0]), (one[1], other[1])) for key, one, other in sides]


def _measured(session: Session, run: Run) -> dict[tuple[str, str, str], tuple[float | None, str]]:
    """The value and the verdict of each metric of a run's window, by metric, column and segment."""
    measured: dict[tuple[str, str, str], tuple[float | None, str]] = {}
    for kind, run_id in _newest(session, run).items():
        checks = results.checks(session, [run_id])[run_id]
        own = {_key(check.series): (check.check.value, check.check.verdict) for check in checks}
        for value, series in results.values(session, run_id):
            own[_key(series)] = value.value, own.get(_key(series), (None, ""))[1]
        # With labels an estimate is no longer one: that of the data run was made before they came.
        measured |= {key: pair for key, pair in own.items() if kind == "data" or not key[0].startswith("estimated_")}
    return measured


def _newest(session: Session, run: Run) -> dict[str, int]:
    """The newest done run of a run's window, by kind."""
    newest: dict[str, Run] = {}
    for other in runs.of_window(session, run):
        before = newest.get(other.kind)
        if other.status == "done" and (before is None or (other.as_of, other.look) > (before.as_of, before.look)):
            newest[other.kind] = other
    return {kind: own.id for kind, own in newest.items()} or {run.kind: run.id}


def _key(series: MetricSeries) -> tuple[str, str, str]:
    return series.metric, series.column, series.segment


def _is_main(value: ComparedValue) -> bool:
    """Whether a metric of the model is shown at once: those that stand for performance, and what changed."""
    name = value.metric.removeprefix("estimated_")
    changed = Verdict.CHANGED.value in value.verdicts
    return changed or (name in (*PERFORMANCE, "row_count") and not value.segment)


def _by_difference(values: Sequence[ComparedValue]) -> list[ComparedValue]:
    """Those that changed in one window alone first, then by how far they are apart."""
    return sorted(values, key=lambda value: (value.verdicts[0] == value.verdicts[1], -abs(value.difference or 0.0)))


def _pairs(names: Sequence[str], plots: Sequence[Any]) -> dict[str, dict[str, Any]]:
    def of(column: str) -> tuple[Plot, Plot]:
        return plots[0][column], plots[1][column]

    return {column: drawn.pair(*of(column)) for column in names}


HANDLERS = [show]
