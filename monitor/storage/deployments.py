"""Which version of a model went into production, and when."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from monitor.domain.ids import natural_id
from monitor.storage.tables import Deployment


def add(
    session: Session, model: str, version: str, deployed_at: datetime, note: str, who: str, now: datetime
) -> Deployment:
    """Record a deployment; the same one recorded twice is one."""
    uuid = natural_id("deployment", model, version, deployed_at)
    deployment = session.scalar(select(Deployment).where(Deployment.uuid == uuid))
    if deployment is None:
        deployment = Deployment(
            uuid=uuid,
            model_name=model,
            version=version,
            deployed_at=deployed_at,
            note=note,
            created_by=who,
            created_at=now,
        )
        session.add(deployment)
        session.flush()
    return deployment


def between(session: Session, model: str, start: datetime, end: datetime) -> list[Deployment]:
    """The deployments of a model from `start` until `end`, oldest first."""
    query = select(Deployment).where(
        Deployment.model_name == model, Deployment.deployed_at >= start, Deployment.deployed_at <= end
    )
    return list(session.scalars(query.order_by(Deployment.deployed_at)))


def newest_id(session: Session, model: str) -> int | None:
    """The number of the deployment of a model that was recorded last; None without one."""
    return session.scalar(select(func.max(Deployment.id)).where(Deployment.model_name == model))


def last_before(session: Session, model: str, moment: datetime) -> Deployment | None:
    """The last deployment of a model until a time."""
    query = select(Deployment).where(Deployment.model_name == model, Deployment.deployed_at <= moment)
    return session.scalar(query.order_by(Deployment.deployed_at.desc()).limit(1))
