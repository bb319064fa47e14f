"""Retraining requests, references and deployments."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from litestar.exceptions import PermissionDeniedException
from litestar.openapi.spec import Example
from litestar.params import Body, QueryParameter
from sqlalchemy.orm import Session

from monitor.domain.ids import one
from monitor.domain.text import quoted
from monitor.errors import ConflictError, SourceUnreachableError, UsageError
from monitor.retraining.request import TrainingOutcome
from monitor.services import by_hand
from monitor.services.change_references import switch
from monitor.services.launch_retraining import complete, is_callback
from monitor.storage import monitors, references, retraining, tables
from monitor.storage.listing import page_of
from monitor.web.access import Principal, asker
from monitor.web.api.common import Cursor, Id, Limit, called_back, changes, paged, reads
from monitor.web.api.schemas import (
    Completion,
    Deployment,
    NewDeployment,
    Page,
    Reference,
    RetrainingEvent,
    RetrainingRequest,
    RetrainingStory,
)
from monitor.web.pages.monitors import watched
from monitor.web.parameters import in_utc, row_number
from monitor.web.site import AnyRequest, Site, in_thread, site_of


def _request(row: tables.RetrainingRequest, names: dict[int, str]) -> RetrainingRequest:
    return RetrainingRequest(
        row.uuid,
        names.get(row.monitor_id, ""),
        row.model_name,
        row.model_version,
        row.state,
        row.reason,
        row.launcher,
        row.outcome,
        row.data_start,
        row.data_end,
        row.as_of,
        row.created_at,
        row.ended_at,
        row.trained_version,
        row.recovery,
        row.receipt or "",
    )


@reads("/retraining")
@in_thread
def list_requests(
    request: AnyRequest,
    in_state: Annotated[
        str | None,
        QueryParameter(name="state", description="Only those in this state; proposals are `proposed` and `vetoed`."),
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[RetrainingRequest]:
    """Requests, newest first; without `state` no proposals."""
    table = tables.RetrainingRequest
    conditions: list[Any] = (
        [table.state == in_state] if in_state is not None else [table.state.not_in(retraining.PROPOSAL)]
    )

    def read(session: Session) -> Page[RetrainingRequest]:
        names = monitors.names(session)
        return paged(
            page_of(session, table, conditions, row_number(cursor), limit + 1), limit, lambda row: _request(row, names)
        )

    page: Page[RetrainingRequest] = site_of(request).read(read)
    return page


@reads("/retraining/{request_id:str}")
@in_thread
def get_request(request: AnyRequest, request_id: Id) -> RetrainingStory:
    """A request from drift to verdict."""

    def read(session: Session) -> RetrainingStory:
        row = one(retraining.find(session, request_id), "request", request_id)
        events = [
            RetrainingEvent(event.happened_at, event.state, event.text) for event in retraining.story(session, row.id)
        ]
        return RetrainingStory(_request(row, monitors.names(session)), events)

    story: RetrainingStory = site_of(request).read(read)
    return story


def _done(request: AnyRequest, work: Any, request_id: str) -> RetrainingRequest:
    person = asker(request).person()

    def unit(session: Session) -> RetrainingRequest:
        return _request(work(session, person, request_id), monitors.names(session))

    return site_of(request).context.database.transact(unit)


@changes("/retraining/{request_id:str}/approve", status_code=200)
@in_thread
def approve(request: AnyRequest, request_id: Id) -> RetrainingRequest:
    """Let a request start that waits for approval."""
    return _done(request, by_hand.approve, request_id)


@changes("/retraining/{request_id:str}/cancel", status_code=200)
@in_thread
def cancel(request: AnyRequest, request_id: Id) -> RetrainingRequest:
    """Give a request up; a training that runs already is not stopped by it."""
    return _done(request, by_hand.cancel, request_id)


@called_back("/retraining/{request_id:str}/complete", status_code=200)
@in_thread
def complete_request(
    request: AnyRequest,
    request_id: Id,
    data: Annotated[
        Completion,
        Body(
            description="How it ended.",
            examples=[
                Example(value={"status": "succeeded", "model_version": "4", "reference": "data/reference-4.parquet"})
            ],
        ),
    ],
) -> RetrainingRequest:
    """Say how a training ended: with the request's own callback token, which ends with the request, or as an
    operator.
    """
    site = site_of(request)
    principal: Principal | None = request.scope.get("user")
    token = request.headers.get("authorization", "").partition(" ")[2].strip()

    def authorised(session: Session) -> tables.RetrainingRequest:
        row = one(retraining.find(session, request_id), "request", request_id)
        if not (principal is not None and principal.may("operator")) and not is_callback(session, row, token):
            raise PermissionDeniedException("this takes the request's callback token, or the role operator")
        if row.state in (*retraining.ENDED, *retraining.PROPOSAL):
            raise ConflictError(f"request {row.uuid[:8]} is {row.state} already")
        by_hand.Actor(principal.name if principal else "callback", datetime.now(UTC)).record(
            session, "retraining completed", row.uuid, data.status
        )
        return row

    for path in (data.reference, data.candidate):
        _inside(site, path)
    row = site.context.database.transact(authorised)
    outcome = TrainingOutcome(data.status == "succeeded", data.text, data.model_version, data.reference, data.candidate)
    complete(site.context, site.workers, row.uuid, outcome)
    completed: RetrainingRequest = site.read(
        lambda session: _request(retraining.find(session, row.uuid)[0], monitors.names(session))
    )
    return completed


def _inside(site: Site, path: str) -> None:
    """Raises UsageError for a file that lies elsewhere than the configuration: others are named by commands alone."""
    folder = site.context.loaded.folder.resolve()
    try:
        inside = not path or (folder / path).resolve().is_relative_to(folder)
    except (ValueError, OSError):  # a NUL, a name that is too long
        raise UsageError(f"{quoted(path)} is no path of a file") from None
    if not inside:
        raise UsageError(
            f"{quoted(path)} lies outside the folder of the configuration: by HTTP only files within it are named"
        )


@reads("/references")
@in_thread
def list_references(
    request: AnyRequest, monitor: Annotated[str | None, QueryParameter(description="Of this monitor alone.")] = None
) -> list[Reference]:
    """Which reference holds for which monitor and model version, from which window on, by whom and why."""

    def read(session: Session) -> list[Reference]:
        rows = monitors.active(session) if monitor is None else [watched(session, monitor)]
        return [
            Reference(
                row.name, entry.model_version, version.version, version.rows, entry.valid_from, entry.who, entry.why
            )
            for row in rows
            for entry, version in references.history(session, row.id)
        ]

    listed: list[Reference] = site_of(request).read(read)
    return listed


def _deployment(row: tables.Deployment) -> Deployment:
    return Deployment(row.uuid, row.model_name, row.version, row.deployed_at, row.note, row.created_by)


@reads("/deployments")
@in_thread
def list_deployments(request: AnyRequest, cursor: Cursor = None, limit: Limit = 50) -> Page[Deployment]:
    """Deployments, newest first."""
    rows = site_of(request).read(page_of, tables.Deployment, (), row_number(cursor), limit + 1)
    return paged(rows, limit, _deployment)


@changes("/deployments", status_code=201)
@in_thread
def deploy(
    request: AnyRequest,
    data: Annotated[
        NewDeployment,
        Body(
            description="Which version.",
            examples=[Example(value={"model": "churn", "version": "4", "note": "new features"})],
        ),
    ],
) -> Deployment:
    """Tell of a version of a model that goes into production: one call for CI."""
    site, person = site_of(request), asker(request).person()
    _inside(site, data.reference)
    at = person.now if data.deployed_at is None else in_utc(data.deployed_at, "deployed_at")
    row = site.context.database.transact(by_hand.deploy, person, data.model, data.version, at, data.note)
    if data.reference:
        try:
            switch(site.context, site.workers, data.model, data.version, data.reference, person.name)
        except SourceUnreachableError as error:  # a file that the request names and that is not there
            raise UsageError(f"the version is noted, its reference is not: {error}") from None
    return _deployment(row)


HANDLERS = [
    list_requests,
    get_request,
    approve,
    cancel,
    complete_request,
    list_references,
    list_deployments,
    deploy,
]
