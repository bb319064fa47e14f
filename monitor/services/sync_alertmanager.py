"""Alertmanager holds state itself: it is brought to the current one again and again, and needs no outbox."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.alerting import routing
from monitor.alerting.channels.alertmanager import Alertmanager, Posted
from monitor.config.model import AlertmanagerChannel
from monitor.config.secrets import expand
from monitor.errors import MonitorError
from monitor.services.context import Context
from monitor.services.dispatch_alerts import Round, addressed
from monitor.storage import alerts
from monitor.storage.daemons import LOOPS_S

log = get_logger()
# What fires counts as over when it was not told again for so long; what is over is told for so long.
_LASTS, _TOLD = timedelta(seconds=5 * LOOPS_S["alertmanager"]), timedelta(hours=1)


def sync_alertmanager(context: Context) -> int:
    """Tell each Alertmanager what fires and what ended lately; how many of them were told."""
    told = 0
    for name in context.configuration.channels:
        channel = context.channel(name)
        if isinstance(channel, AlertmanagerChannel):
            try:
                posted = context.database.read(_state, context, name)
                if posted:
                    Alertmanager(expand(channel.url), allow_private=channel.allow_private).post(posted)
                    told += 1
            except MonitorError as error:
                log.error("alertmanager_not_told", channel=name, error=str(error))
    return told


def _state(session: Session, context: Context, channel: str) -> list[Posted]:
    """The alerts that a channel hears of, as they stand by the wall clock: it is Alertmanager's own."""
    now = datetime.now(UTC)
    this = Round(session, context)
    ended = [addressed(session, context, alert) for alert in alerts.ended_since(session, context.clock.now() - _TOLD)]
    found = []
    for one in [*this.firing, *ended]:
        to = next(
            (each for each in routing.destinations(one.labels, one.config, context.configuration, context.clock.now()) if each.channel == channel), None
        )  # fmt: skip
        fires = one.alert.state == "firing"
        if to is None or (fires and this.mutes(one, to)):
            continue
        begins = min(one.alert.since, now)
        ends = now + _LASTS if fires else now
        entry = one.config
        annotations = {
            "summary": one.alert.summary, "description": entry.description if entry else "", "runbook_url": entry.runbook_url if entry else "", "alert": one.alert.uuid,
        }  # fmt: skip
        found.append(Posted(one.labels, annotations, begins, ends, context.link_to("alerts", one.alert.uuid)))
    return found
