"""Runs, what they found, and their reports."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Response
from litestar.enums import MediaType
from litestar.params import QueryParameter
from sqlalchemy.orm import Session

from monitor.domain.ids import one
from monitor.storage import monitors, results, runs, tables
from monitor.storage.listing import page_of
from monitor.web.api.common import Cursor, Id, Limit, paged, reads
from monitor.web.api.schemas import Finding, Page, Run
from monitor.web.pages.monitors import watched
from monitor.web.pages.runs import report_of
from monitor.web.parameters import row_number
from monitor.web.site import AnyRequest, in_thread, site_of

Monitor = Annotated[str | None, QueryParameter(description="Of this monitor alone.")]


@reads("/runs")
@in_thread
def list_runs(
    request: AnyRequest,
    monitor: Monitor = None,
    status: Annotated[
        str | None, QueryParameter(description="pending, running, done, failed, skipped or cancelled.")
    ] = None,
    kind: Annotated[str | None, QueryParameter(description="data, performance or adhoc.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[Run]:
    """Runs, newest first."""

    def read(session: Session) -> Page[Run]:
        conditions: list[Any] = [tables.Run.status == status] if status is not None else []
        conditions += [tables.Run.kind == kind] if kind is not None else []
        conditions += [tables.Run.monitor_id == watched(session, monitor).id] if monitor is not None else []
        names = monitors.names(session)
        rows = page_of(session, tables.Run, conditions, row_number(cursor), limit + 1)
        return paged(rows, limit, lambda run: shown(run, names))

    page: Page[Run] = site_of(request).read(read)
    return page


@reads("/runs/{run:str}")
@in_thread
def get_run(request: AnyRequest, run: Id) -> Run:
    """One run."""

    def read(session: Session) -> Run:
        return shown(one(runs.find(session, run), "run", run), monitors.names(session))

    shown_run: Run = site_of(request).read(read)
    return shown_run


def shown(run: tables.Run, names: dict[int, str]) -> Run:
    """A run as the API shows it."""
    return Run(
        run.uuid,
        names.get(run.monitor_id, ""),
        run.kind,
        run.window_start,
        run.window_end,
        run.look,
        run.as_of,
        run.status,
        run.reason,
        run.severity,
        run.rows,
        run.sampled,
        run.labelled,
        run.claims,
        run.started_at,
        run.finished_at,
    )


@reads("/runs/{run:str}/findings")
@in_thread
def list_findings(request: AnyRequest, run: Id) -> list[Finding]:
    """What a run found, worst first."""

    def read(session: Session) -> list[Finding]:
        row = one(runs.find(session, run), "run", run)
        return _findings(session, [row], monitors.names(session))

    rows: list[Finding] = site_of(request).read(read)
    return rows


@reads("/findings")
@in_thread
def list_all_findings(
    request: AnyRequest, monitor: Monitor = None, cursor: Cursor = None, limit: Limit = 50
) -> Page[Finding]:
    """What runs found, the newest run first; a page holds the findings of `limit` runs."""

    def read(session: Session) -> Page[Finding]:
        conditions: list[Any] = [tables.Run.status == "done", tables.Run.severity.not_in(("", "none"))]
        conditions += [tables.Run.monitor_id == watched(session, monitor).id] if monitor is not None else []
        rows = page_of(session, tables.Run, conditions, row_number(cursor), limit + 1)
        page = paged(rows, limit, lambda run: run)
        return Page(_findings(session, page.items, monitors.names(session)), page.next_cursor)

    findings: Page[Finding] = site_of(request).read(read)
    return findings


def _findings(session: Session, rows: list[tables.Run], names: dict[int, str]) -> list[Finding]:
    by_run = results.findings(session, [run.id for run in rows])
    return [
        Finding(
            run.uuid,
            names.get(run.monitor_id, ""),
            run.window_start,
            finding.kind,
            finding.severity,
            series.metric,
            series.column,
            series.segment,
            series.model_version,
            finding.cause,
            finding.origin,
            finding.explanation,
            finding.share,
            finding.cost,
            finding.since,
        )
        for run in rows
        for finding, series in by_run[run.id]
    ]


@reads("/runs/{run:str}/report", media_type=MediaType.HTML)
@in_thread
def get_report(request: AnyRequest, run: Id) -> Response[str]:
    """The Evidently report of a run, as a page to be kept."""
    return report_of(request, run, download=True)


HANDLERS = [list_runs, get_run, list_findings, list_all_findings, get_report]
