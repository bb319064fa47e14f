"""Deliver: claim the outbox and send, at least once, in order per alert, with retries."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.alerting.channels import open_channel
from monitor.analysis.plots import picture, picture_of_curve
from monitor.config.model import AppriseChannel, FileChannel, TelegramChannel
from monitor.domain.matter import that_matter
from monitor.errors import DeliveryError, MonitorError
from monitor.services.context import Context
from monitor.services.describe_alert import curve_of, plots_of_window
from monitor.services.senders import Senders
from monitor.storage import outbox, runs
from monitor.storage.outbox import ClaimedNotification

log = get_logger()

BACKOFF = [timedelta(seconds=s) for s in (5, 30, 120, 600, 1800, 7200, 21600)]
BACKOFF_LAST = timedelta(hours=12)
_LEASE = timedelta(seconds=60)
# How long receivers that answer at once may take when the service stops.
_GRACE_S = 2.0


def pictures_of(session: Session, message: dict[str, Any]) -> dict[str, bytes]:
    """PNGs for a message's first alert, by file name, the most important first: its metric over time, and while it
    fires the columns of its findings.
    """
    run = next(iter(runs.find(session, message["alert"].get("run") or "none")), None)
    if run is None:
        return {}
    findings = [finding for finding in message.get("findings", ()) if finding.get("metric")]
    curve = None
    if findings:
        since = datetime.fromisoformat(message["alert"]["since"])
        curve = curve_of(session, run, findings[0], since, message["labels"].get("model_version", ""))
    columns = [finding["column"] for finding in that_matter([finding for finding in findings if finding["column"]])]
    fires = message["alert"]["state"] == "firing"
    drawn = {
        "metric.png": None if curve is None else picture_of_curve(curve),
        "columns.png": picture(plots_of_window(session, run), columns) if columns and fires else None,
    }
    return {name: png for name, png in drawn.items() if png is not None}


@dataclass
class Deliverer:
    """Sends notifications on threads of its own, one at a time for each channel: a slow receiver delays no other."""

    context: Context
    _senders: Senders = field(default_factory=Senders)
    delivered: int = 0
    failed: int = 0

    def deliver(self) -> int:
        """Start what may be sent now; how many."""
        started = 0
        while not self.context.stopping.is_set():
            busy = [*self._senders.busy, *self.context.foreign_channels()]
            notification = self.context.database.transact(
                outbox.claim, self.context.owner, self._lease(), self.context.clock.now(), busy
            )
            if notification is None:
                return started
            self._senders.start(notification.channel, partial(self._send, notification))
            started += 1
        return started

    def _lease(self) -> timedelta:
        """How long a claimed notification is leased: longer than any channel's timeout, else it is sent twice."""
        channels = self.context.configuration.channels.values()
        limits = [channel.timeout.approximate() for channel in channels if not isinstance(channel, FileChannel)]
        return max(limits, default=_LEASE) + _LEASE

    def drain(self) -> int:
        """Send until nothing more may be sent now; how many were tried."""
        tried = 0
        while (started := self.deliver()) or (self._senders.busy and not self.context.stopping.is_set()):
            tried += started
            self._senders.wait_for_one()
        return tried

    def close(self) -> None:
        """Wait a moment for notifications that are being sent. Those that a slow receiver has not taken by then are
        sent again at the next start, with the same id.
        """
        left = self._senders.wait_for_all(_GRACE_S)
        if left:
            log.warning("deliveries_left", channels=left)

    def _send(self, notification: ClaimedNotification) -> None:
        try:
            config = self.context.channel(notification.channel)
            if config is None:
                raise DeliveryError(f"the channel {notification.channel} is no longer configured", permanent=True)
            pictures = {}
            if isinstance(config, AppriseChannel | TelegramChannel) and config.images:
                pictures = self.context.database.read(pictures_of, json.loads(notification.body))
            channel = open_channel(config, self.context.loaded.folder, pictures, self.context.network)
            answer = channel.send(notification.uuid, notification.body.encode())
        except Exception as error:  # a channel's surprise must not end the loop; it is a failed attempt like any other
            self._failed(notification, error)
            return
        now = self.context.clock.now()
        self._settle(lambda: self.context.database.transact(outbox.settle, notification, now, "delivered"))
        self.delivered += 1
        log.info(
            "notification_delivered",
            channel=notification.channel,
            notification=notification.uuid[:8],
            answer=answer[:100],
        )

    def _failed(self, notification: ClaimedNotification, error: Exception) -> None:
        now = self.context.clock.now()
        config = self.context.channel(notification.channel)
        pause = BACKOFF[notification.attempts] if notification.attempts < len(BACKOFF) else BACKOFF_LAST
        retry_after = timedelta(seconds=error.retry_after_s if isinstance(error, DeliveryError) else 0)
        retry_at = now + max(pause * (0.8 + 0.4 * random.random()), retry_after)  # noqa: S311 - jitter, no secret
        text = str(error) if isinstance(error, MonitorError) else f"{type(error).__name__}: {error}"
        permanent = isinstance(error, DeliveryError) and error.permanent
        dead = permanent or config is None or retry_at - notification.created_at > config.retry_for.approximate()
        status = "dead" if dead else "pending"
        self._settle(
            lambda: self.context.database.transact(
                outbox.settle, notification, now, status, text, None if dead else retry_at
            )
        )
        self.failed += 1
        log.error(
            "delivery_failed",
            channel=notification.channel,
            notification=notification.uuid[:8],
            attempt=notification.attempts + 1,
            error=text,
            dead=dead,
        )

    def _settle(self, store: Callable[[], object]) -> None:
        try:
            store()
        except MonitorError as error:
            log.error("delivery_not_stored", error=str(error))  # its lease runs out, and it is sent again
