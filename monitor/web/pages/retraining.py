"""Retraining requests with their story, and references."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect
from sqlalchemy.orm import Session

from monitor.domain.ids import one
from monitor.errors import NotFoundError
from monitor.services import by_hand
from monitor.services.change_references import difference
from monitor.services.launch_retraining import described, money_of, not_to_train_on
from monitor.storage import monitors, references, retraining
from monitor.web.access import requires
from monitor.web.pages.alerts import Form, checked
from monitor.web.site import AnyRequest, in_thread, page, site_of


@get("/retraining", guards=[requires("viewer")], include_in_schema=False)
@in_thread
def list_requests(request: AnyRequest, everything: FromQuery[bool] = False) -> Response[str]:
    """Requests, newest first; and which reference holds for which monitor."""

    def read(session: Session) -> dict[str, Any]:
        held = [
            (row, entry, version)
            for row in monitors.active(session)
            for entry, version in references.history(session, row.id)
        ]
        held.sort(key=lambda reference: reference[1].recorded_at, reverse=True)
        return {"rows": retraining.listed(session, everything=everything)[:200], "held": held[:100]}

    return page(request, "retraining.html", everything=everything, **site_of(request).read(read))


@get("/retraining/{request_id:str}", guards=[requires("viewer")], include_in_schema=False)
@in_thread
def show(request: AnyRequest, request_id: FromPath[str]) -> Response[str]:
    """A request from drift to verdict."""

    def read(session: Session) -> dict[str, Any]:
        stored = one(retraining.find(session, request_id), "request", request_id)
        row = monitors.by_id(session, stored.monitor_id)
        money = money_of(session, site_of(request).context, stored)
        payload = described(stored, row.name if row else "", not_to_train_on(session, stored), money)
        return {
            "retraining_request": stored,
            "row": row,
            "payload": payload,
            "story": retraining.story(session, stored.id),
            "ended": stored.state in retraining.ENDED,
        }

    return page(request, "request.html", **site_of(request).read(read))


@post("/retraining/{request_id:str}/{action:str}", guards=[requires("operator")], include_in_schema=False)
@in_thread
def act(request: AnyRequest, request_id: FromPath[str], action: FromPath[str], data: Form) -> Redirect:
    """Approve or cancel a request."""
    site, person = site_of(request), checked(request, data).person()
    work = {"approve": by_hand.approve, "cancel": by_hand.cancel}.get(action)
    if work is None:
        raise NotFoundError(f"a request is approved or cancelled, not {action}")
    stored = site.context.database.transact(work, person, request_id)
    return Redirect(f"{site.web.root_path}/retraining/{stored.uuid}", status_code=303)


@get("/references/{one_version:str}/{other:str}", guards=[requires("viewer")], include_in_schema=False)
@in_thread
def compare(request: AnyRequest, one_version: FromPath[str], other: FromPath[str]) -> Response[str]:
    """What differs between two references."""
    site = site_of(request)
    rows = difference(site.context, site.workers, one_version, other)
    return page(request, "references.html", rows=rows, one_version=one_version, other=other)


HANDLERS = [list_requests, show, act, compare]
