"""Retraining requests: proposals of the fold, requests, and their story."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from monitor.domain.ids import natural_id
from monitor.domain.recovery import FOLLOWED, MISSED
from monitor.storage.listing import begins
from monitor.storage.tables import MonitorRow, RetrainingEvent, RetrainingRequest

PROPOSAL = ("proposed", "vetoed")
ENDED = ("succeeded", "rejected", "failed", "expired", "cancelled")


def propose(
    session: Session,
    monitor: MonitorRow,
    window: tuple[datetime, datetime],
    as_of: datetime,
    launcher: str,
    reason: str,
    detail: dict[str, Any],
    data: tuple[datetime, datetime],
    model_version: str,
    now: datetime,
) -> RetrainingRequest:
    """A new proposal; the same one again is the one that is there."""
    uuid = natural_id("retraining", monitor.uuid, window[0], as_of)
    request = session.scalar(select(RetrainingRequest).where(RetrainingRequest.uuid == uuid))
    if request is None:
        request = RetrainingRequest(
            uuid=uuid,
            monitor_id=monitor.id,
            model_name=monitor.model_name,
            model_version=model_version,
            window_start=window[0],
            window_end=window[1],
            as_of=as_of,
            state="proposed",
            launcher=launcher,
            reason=reason,
            detail=detail,
            data_start=data[0],
            data_end=data[1],
            created_at=now,
        )
        session.add(request)
        session.flush()
        _add_event(session, request, reason, now)
    return request


def move(session: Session, request: RetrainingRequest, state: str, text: str, now: datetime) -> None:
    """Change a request's state and write it into its story."""
    request.state = state
    request.open_model = None if state in (*PROPOSAL, *ENDED) else request.model_name
    if state in ("open", "awaiting_approval"):
        request.opened_at = request.opened_at or now
    if state == "dispatching":
        request.launched_at = now
    if state in ENDED:
        request.ended_at, request.outcome = now, text
    if state == "vetoed":
        request.outcome = text
    session.flush()
    _add_event(session, request, text, now)


def note(session: Session, request: RetrainingRequest, text: str, now: datetime) -> None:
    """Write what became of a request that has ended into its story; its state is that of its recovery."""
    _add_event(session, request, text, now, request.recovery)


def followed(session: Session) -> list[RetrainingRequest]:
    """The requests of which it is not known yet whether they helped, oldest first. A request gives way to a later one
    of its model.
    """
    query = select(RetrainingRequest).where(RetrainingRequest.recovery.in_(FOLLOWED)).order_by(RetrainingRequest.id)
    newest = {request.model_name: request for request in session.scalars(query)}
    return list(newest.values())


def last_trained(session: Session, model_name: str) -> RetrainingRequest | None:
    """The request of a model that succeeded last and is or was followed; None without one."""
    query = select(RetrainingRequest).where(
        RetrainingRequest.model_name == model_name, RetrainingRequest.recovery != ""
    )
    return session.scalar(query.order_by(RetrainingRequest.ended_at.desc(), RetrainingRequest.id.desc()).limit(1))


def last_of_each_model(session: Session) -> list[RetrainingRequest]:
    """The request of each model that succeeded last and is or was followed, by the model's name."""
    query = select(RetrainingRequest).where(RetrainingRequest.recovery != "").order_by(RetrainingRequest.ended_at)
    newest = {request.model_name: request for request in session.scalars(query)}
    return [newest[name] for name in sorted(newest)]


def missed(session: Session) -> list[RetrainingRequest]:
    """The requests that gave no gain or made it worse and were followed by no other of their model, by its name."""
    query = select(RetrainingRequest).where(RetrainingRequest.recovery.in_(MISSED))
    return [
        request
        for request in session.scalars(query.order_by(RetrainingRequest.model_name))
        if last_trained(session, request.model_name) is request
    ]


def _add_event(
    session: Session, request: RetrainingRequest, text: str, now: datetime, state: str | None = None
) -> None:
    number = 1 + (
        session.scalar(select(func.max(RetrainingEvent.number)).where(RetrainingEvent.request_id == request.id)) or 0
    )
    session.add(
        RetrainingEvent(request_id=request.id, number=number, state=state or request.state, text=text, happened_at=now)
    )
    session.flush()


def proposals(session: Session) -> list[RetrainingRequest]:
    """Proposals that wait, oldest first, locked."""
    query = (
        select(RetrainingRequest)
        .where(RetrainingRequest.state == "proposed")
        .order_by(RetrainingRequest.as_of, RetrainingRequest.id)
    )
    return list(session.scalars(query.with_for_update()))


def proposed(session: Session, monitor_id: int, window_start: datetime) -> bool:
    """Whether a monitor has proposed a retraining for a window."""
    query = select(RetrainingRequest.id).where(
        RetrainingRequest.monitor_id == monitor_id, RetrainingRequest.window_start == window_start
    )
    return session.scalar(query.limit(1)) is not None


def not_ended(session: Session, model_name: str) -> RetrainingRequest | None:
    """The request of a model that has not ended, over all its monitors."""
    return session.scalar(select(RetrainingRequest).where(RetrainingRequest.open_model == model_name))


def last_ended(session: Session, model_name: str) -> RetrainingRequest | None:
    """The request of a model that ended last."""
    query = select(RetrainingRequest).where(
        RetrainingRequest.model_name == model_name, RetrainingRequest.state.in_(ENDED)
    )
    return session.scalar(query.order_by(RetrainingRequest.ended_at.desc()).limit(1))


def last_succeeded(session: Session, model_name: str) -> RetrainingRequest | None:
    """The request of a model that succeeded last."""
    query = select(RetrainingRequest).where(
        RetrainingRequest.model_name == model_name, RetrainingRequest.state == "succeeded"
    )
    return session.scalar(query.order_by(RetrainingRequest.ended_at.desc()).limit(1))


def opened_since(session: Session, model_name: str, moment: datetime) -> int:
    """How many requests of a model were opened at a time or later."""
    query = select(func.count()).where(
        RetrainingRequest.model_name == model_name, RetrainingRequest.opened_at >= moment
    )
    return session.scalar(query) or 0


def in_state(session: Session, *states: str) -> list[RetrainingRequest]:
    """Requests in these states, oldest first."""
    return list(
        session.scalars(
            select(RetrainingRequest).where(RetrainingRequest.state.in_(states)).order_by(RetrainingRequest.id)
        )
    )


def find(session: Session, id_start: str) -> list[RetrainingRequest]:
    """Requests whose id begins so."""
    return list(session.scalars(select(RetrainingRequest).where(begins(RetrainingRequest.uuid, id_start)).limit(3)))


def listed(session: Session, *, everything: bool) -> list[tuple[RetrainingRequest, str]]:
    """Requests (`everything`: proposals too) with their monitors' names, newest first."""
    query = select(RetrainingRequest, MonitorRow.name).join(MonitorRow, MonitorRow.id == RetrainingRequest.monitor_id)
    if not everything:
        query = query.where(RetrainingRequest.state.not_in(PROPOSAL))
    return [
        (request, name)
        for request, name in session.execute(
            query.order_by(RetrainingRequest.as_of.desc(), RetrainingRequest.id.desc())
        )
    ]


def story(session: Session, request_id: int) -> list[RetrainingEvent]:
    """What happened to a request, in order."""
    return list(
        session.scalars(
            select(RetrainingEvent).where(RetrainingEvent.request_id == request_id).order_by(RetrainingEvent.number)
        )
    )
