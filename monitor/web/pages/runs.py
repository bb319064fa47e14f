"""One run: what was found in its window, why, and how it went."""

from __future__ import annotations

from typing import Any

from litestar import Response, get
from litestar.enums import MediaType
from litestar.params import FromPath, FromQuery
from sqlalchemy.orm import Session

from monitor.analysis.plots import as_shares, plots_of, quantiles
from monitor.domain.checks import UNDECIDED
from monitor.domain.ids import one
from monitor.errors import NotFoundError
from monitor.storage import monitors, results, runs
from monitor.web.access import requires
from monitor.web.site import AnyRequest, in_thread, page, site_of

# The report is Evidently's page, whose scripts stand in it: it is shown in a frame that may run them and reach nothing.
_REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline';"
    " img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_PLOTTED = 30


@get("/runs/{run:str}", guards=[requires("viewer")], include_in_schema=False)
@in_thread
def show(request: AnyRequest, run: FromPath[str]) -> Response[str]:
    """Findings ranked, each with a plot of its column; counts, metrics, attempts; the report on demand."""
    return page(request, "run.html", **site_of(request).read(_read, run))


@get("/runs/{run:str}/report", guards=[requires("viewer")], include_in_schema=False)
@in_thread
def report(request: AnyRequest, run: FromPath[str], download: FromQuery[bool] = False) -> Response[str]:
    """The Evidently report, made from the stored snapshot when somebody asks."""
    return report_of(request, run, download=download)


def report_of(request: AnyRequest, run: str, *, download: bool) -> Response[str]:
    """A run's report as an answer that no page of ours shares anything with. Raises NotFoundError where there is
    none.
    """
    site = site_of(request)

    def stored(session: Session) -> tuple[str, bytes | None]:
        row = one(runs.find(session, run), "run", run)
        return row.uuid, results.snapshot(session, row.id)

    uuid, data = site.read(stored)
    if data is None:
        raise NotFoundError(f"run {uuid[:8]} has no report: it failed, its window was empty, or retention has taken it")
    html = site.report(uuid, data)
    headers = {"content-security-policy": _REPORT_POLICY}
    if download:
        headers["content-disposition"] = f'attachment; filename="report-{uuid[:8]}.html"'
    return Response(html, media_type=MediaType.HTML, headers=headers)


def _read(session: Session, run: str) -> dict[str, Any]:
    stored = one(runs.find(session, run), "run", run)
    row = monitors.by_id(session, stored.monitor_id)
    findings = results.findings(session, [stored.id])[stored.id]
    checks = results.checks(session, [stored.id])[stored.id]
    data_run = runs.data_run_of(session, stored)
    snapshot = None if data_run is None else results.snapshot(session, data_run.id)
    plots = {} if snapshot is None else plots_of(snapshot)
    missing = {
        check.series.column: check.check
        for check in checks
        if check.series.metric == "missing_share" and not check.series.segment
    }
    shown: list[dict[str, Any]] = [
        {
            "finding": finding,
            "series": series,
            "plot": series.column if series.column in plots else "",
            "missing": missing.get(series.column),
        }
        for finding, series in findings
    ]
    first = {finding.rank for finding, _ in results.that_matter(findings)}
    others = [column for column in plots if column not in {series.column for _, series in findings}]
    unclear = [check for check in checks if check.check.verdict in UNDECIDED]
    looks, values = runs.of_window(session, stored), results.values(session, stored.id)
    return {
        "run": stored,
        "row": row,
        "important": [entry for entry in shown if entry["finding"].rank in first],
        "rest": [entry for entry in shown if entry["finding"].rank not in first],
        "others": others,
        "metrics": [pair for pair in values if not pair[1].column],
        "columns": values,
        "unclear": unclear,
        "has_report": results.has_snapshot(session, stored.id),
        "looks": looks,
        "quantiles": {
            column: [quantiles(plot, side) for side in ("reference", "window")]
            for column, plot in plots.items()
            if "edges" in plot
        },
        "plots": {
            column: as_shares(plots[column])
            for column in [*dict.fromkeys(entry["plot"] for entry in shown if entry["plot"]), *others][:_PLOTTED]
        },
        "counts": stored.counts or {},
    }


HANDLERS = [show, report]
