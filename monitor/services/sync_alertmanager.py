"""Alertmanager holds state itself: it gets the current state again and again, and needs no outbox."""

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
# A firing alert ends in Alertmanager when it was not posted again for so long; an ended alert is posted for so long.
_LASTS, _ENDED_WITHIN = timedelta(seconds=5 * LOOPS_S["alertmanager"]), timedelta(hours=1)


def sync_alertmanager(context: Context, senders: Senders) -> int:
    """Begin to post firing and lately ended alerts to each Alertmanager, on a thread of its own; how many posts have
    begun.
    """
    begun = 0
    for name in context.configuration.channels:
        channel = context.channel(name)
        if isinstance(channel, AlertmanagerChannel):
            posted = context.database.read(_state, context, name)
            if posted:
                begun += senders.start(name, partial(_post, context, name, channel, posted))
    return begun


def _post(context: Context, name: str, config: AlertmanagerChannel, posted: list[Posted]) -> None:
    try:
        channel = open_channel(config, context.loaded.folder, network=context.network)
        assert isinstance(channel, Alertmanager)
        channel.post(posted)
    except MonitorError as error:
        log.error("alertmanager_not_told", channel=name, error=str(error))


def _state(session: Session, context: Context, channel: str) -> list[Posted]:
    """The state of a channel's alerts, by the wall clock, which is Alertmanager's own."""
    now = datetime.now(UTC)
    over = alerts.ended_since(session, context.clock.now() - _ENDED_WITHIN)
    cycle = DispatchCycle(session, context, over)
    ended = [cycle.addressed[alert.id] for alert in over]
    posted = []
    for labelled_alert in [*cycle.firing, *ended]:
        destination = next(
            (
                destination
                for destination in routing.destinations(
                    labelled_alert.labels, labelled_alert.config, context.configuration, context.clock.now()
                )
                if destination.channel == channel
            ),
            None,
        )
        fires = labelled_alert.alert.state == "firing"
        if destination is None or (fires and cycle.mutes(labelled_alert, destination)):
            continue
        begins = min(labelled_alert.alert.since, now)
        ends = now + _LASTS if fires else now
        entry = labelled_alert.config
        annotations = {
            "summary": labelled_alert.alert.summary,
            "description": entry.description if entry else "",
            "runbook_url": entry.runbook_url if entry else "",
            "alert": labelled_alert.alert.uuid,
        }
        posted.append(
            Posted(
                labelled_alert.labels, annotations, begins, ends, context.link_to("alerts", labelled_alert.alert.uuid)
            )
        )
    return posted
