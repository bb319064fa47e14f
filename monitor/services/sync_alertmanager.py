"""Alertmanager holds state itself: it is brought to the current one again and again, and needs no outbox."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.alerting import routing
from monitor.alerting.channels import open_channel
from monitor.alerting.channels.alertmanager import Alertmanager, Posted
from monitor.config.model import AlertmanagerChannel
from monitor.errors import MonitorError
from monitor.services.context import Context
from monitor.services.dispatch_alerts import DispatchCycle
from monitor.services.senders import Senders
from monitor.storage import alerts
from monitor.storage.daemons import LOOPS_S

log = get_logger()
# What fires counts as over when it was not told again for so long; what is over is told for so long.
_LASTS, _TOLD = timedelta(seconds=5 * LOOPS_S["alertmanager"]), timedelta(hours=1)


def sync_alertmanager(context: Context, senders: Senders) -> int:
    """Begin to tell each Alertmanager what fires and what ended lately, on a thread of its own; how many there are to
    be told.
    """
    begun = 0
    for name in context.configuration.channels:
        channel = context.channel(name)
        if isinstance(channel, AlertmanagerChannel):
            posted = context.database.read(_state, context, name)
            if posted:
                begun += senders.start(name, partial(_tell, context, name, channel, posted))
    return begun


def _tell(context: Context, name: str, config: AlertmanagerChannel, posted: list[Posted]) -> None:
    try:
        channel = open_channel(config, context.loaded.folder, network=context.network)
        assert isinstance(channel, Alertmanager)
        channel.post(posted)
    except MonitorError as error:
        log.error("alertmanager_not_told", channel=name, error=str(error))


def _state(session: Session, context: Context, channel: str) -> list[Posted]:
    """The alerts that a channel hears of, as they stand by the wall clock: it is Alertmanager's own."""
    now = datetime.now(UTC)
    over = alerts.ended_since(session, context.clock.now() - _TOLD)
    this = DispatchCycle(session, context, over)
    ended = [this.addressed[alert.id] for alert in over]
    found = []
    for one in [*this.firing, *ended]:
        to = next(
            (
                each
                for each in routing.destinations(one.labels, one.config, context.configuration, context.clock.now())
                if each.channel == channel
            ),
            None,
        )
        fires = one.alert.state == "firing"
        if to is None or (fires and this.mutes(one, to)):
            continue
        begins = min(one.alert.since, now)
        ends = now + _LASTS if fires else now
        entry = one.config
        annotations = {
            "summary": one.alert.summary,
            "description": entry.description if entry else "",
            "runbook_url": entry.runbook_url if entry else "",
            "alert": one.alert.uuid,
        }
        found.append(Posted(one.labels, annotations, begins, ends, context.link_to("alerts", one.alert.uuid)))
    return found
