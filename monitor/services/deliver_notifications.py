"""Deliver: claim the outbox and send, at least once, in order per alert, with retries."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import zip_longest
from typing import Any

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.alerting.channels import open_channel
from monitor.analysis.plots import Curve, Point, picture, picture_of_curve, plots_of
from monitor.config.model import AppriseChannel, FileChannel, TelegramChannel
from monitor.domain import phrases
from monitor.domain.checks import Verdict
from monitor.domain.matter import that_matter
from monitor.errors import DeliveryError, MonitorError
from monitor.services.context import Context
from monitor.services.senders import Senders
from monitor.storage import outbox, overview, results, runs
from monitor.storage.outbox import Letter
from monitor.storage.tables import Run

log = get_logger()

BACKOFF = [timedelta(seconds=s) for s in (5, 30, 120, 600, 1800, 7200, 21600)]
BACKOFF_LAST = timedelta(hours=12)
_LEASE = timedelta(seconds=60)
# How long receivers that answer at once may take when the service stops.
_GRACE_S = 2.0
# How many windows back a curve goes, and how few are no curve.
_WINDOWS, _LEAST_DRAWN = 60, 3


def pictures_of(session: Session, message: dict[str, Any]) -> dict[str, bytes]:
    """PNGs of what a message's first alert is about, by file name, the most important first: its metric over time, and while it fires the columns that it names."""
    run = next(iter(runs.find(session, message["alert"].get("run") or "none")), None)
    if run is None:
        return {}
    findings = [each for each in message.get("findings", ()) if each.get("metric")]
    curve = next((curve_of(session, run, message, each) for each in findings[:1]), None)
    columns = [each["column"] for each in that_matter([each for each in findings if each["column"]])]
    snapshot = None
    if columns and message["alert"]["state"] == "firing":
        data_run = runs.data_run_of(session, run)
        snapshot = None if data_run is None else results.snapshot(session, runs.current(session, data_run).id)
    drawn = {
        "metric.png": None if curve is None else picture_of_curve(curve),
        "columns.png": None if snapshot is None else picture(plots_of(snapshot), columns),
    }
    return {name: png for name, png in drawn.items() if png is not None}


def curve_of(session: Session, run: Run, message: dict[str, Any], finding: dict[str, Any]) -> Curve | None:
    """The metric of a finding in the windows until that of a run; None where there are too few to draw. Windows from the alert's beginning on that changed are bad."""
    begins = run.window_start - _WINDOWS * (run.window_end - run.window_start)
    metric, column, segment = finding["metric"], finding["column"], finding.get("segment") or ""
    values = overview.history(session, run.monitor_id, metric, begins, run.window_end, column, segment)
    version, since = message["labels"].get("model_version", ""), datetime.fromisoformat(message["alert"]["since"])
    # Of a window with several versions the alert's own.
    by_start = {
        each.start: each for each in sorted(values, key=lambda each: (each.start, each.model_version == version))
    }
    if len(by_start) < _LEAST_DRAWN:
        return None
    length, points = run.window_end - run.window_start, list[Point]()
    for each, following in zip_longest(by_start.values(), list(by_start)[1:]):
        ends = each.start + length
        known = (
            each.value if each.can_tell else None,
            each.lower if each.can_tell else None,
            each.upper if each.can_tell else None,
        )
        bad = each.verdict == Verdict.CHANGED.value and each.start >= since
        points.append(
            Point(each.start, min(ends, following or ends), *known, (each.threshold_lower, each.threshold_upper), bad)
        )
        if following is not None and following > ends:
            points.append(Point(ends, following, None))
    name = phrases.of_column(metric, column)
    return Curve(f"{name} where {segment}" if segment else name, points)


@dataclass
class Deliverer:
    """Sends notifications on threads of its own, one at a time a channel: a slow receiver delays no other."""

    context: Context
    _senders: Senders = field(default_factory=Senders)
    delivered: int = 0
    failed: int = 0

    def deliver(self) -> int:
        """Start what may be sent now; how many."""
        started = 0
        while not self.context.stopping.is_set():
            busy = [*self._senders.busy, *self.context.foreign_channels()]
            letter = self.context.database.transact(
                outbox.claim, self.context.owner, self._lease(), self.context.clock.now(), busy
            )
            if letter is None:
                return started
            self._senders.start(letter.channel, partial(self._send, letter))
            started += 1
        return started

    def _lease(self) -> timedelta:
        """How long a letter is this daemon's: longer than any channel's deadline, else it would be sent twice."""
        channels = self.context.configuration.channels.values()
        limits = [each.timeout.approximate() for each in channels if not isinstance(each, FileChannel)]
        return max(limits, default=_LEASE) + _LEASE

    def drain(self) -> int:
        """Send until nothing more may be sent now; how many were tried."""
        tried = 0
        while (started := self.deliver()) or (self._senders.busy and not self.context.stopping.is_set()):
            tried += started
            self._senders.wait_for_one()
        return tried

    def close(self) -> None:
        """Wait a moment for what is being sent; what a slow receiver has not taken by then is sent again by whoever starts next, with the same id."""
        left = self._senders.wait_for_all(_GRACE_S)
        if left:
            log.warning("deliveries_left", channels=left)

    def _send(self, letter: Letter) -> None:
        try:
            config = self.context.channel(letter.channel)
            if config is None:
                raise DeliveryError(f"the channel {letter.channel} is no longer configured", permanent=True)
            pictures = {}
            if isinstance(config, AppriseChannel | TelegramChannel) and config.images:
                pictures = self.context.database.read(pictures_of, json.loads(letter.body))
            channel = open_channel(config, self.context.loaded.folder, pictures, self.context.network)
            answer = channel.send(letter.uuid, letter.body.encode())
        except Exception as error:  # a channel's surprise must not end the loop; it is a failed attempt like any other
            self._failed(letter, error)
            return
        now = self.context.clock.now()
        self._settle(lambda: self.context.database.transact(outbox.settle, letter, now, "delivered"))
        self.delivered += 1
        log.info("notification_delivered", channel=letter.channel, notification=letter.uuid[:8], answer=answer[:100])

    def _failed(self, letter: Letter, error: Exception) -> None:
        now = self.context.clock.now()
        config = self.context.channel(letter.channel)
        pause = BACKOFF[letter.attempts] if letter.attempts < len(BACKOFF) else BACKOFF_LAST
        asked = timedelta(seconds=error.retry_after_s if isinstance(error, DeliveryError) else 0)
        retry_at = now + max(pause * (0.8 + 0.4 * random.random()), asked)  # noqa: S311 - jitter, no secret
        text = str(error) if isinstance(error, MonitorError) else f"{type(error).__name__}: {error}"
        permanent = isinstance(error, DeliveryError) and error.permanent
        dead = permanent or config is None or retry_at - letter.created_at > config.retry_for.approximate()
        status = "dead" if dead else "pending"
        self._settle(
            lambda: self.context.database.transact(outbox.settle, letter, now, status, text, None if dead else retry_at)
        )
        self.failed += 1
        log.error(
            "delivery_failed",
            channel=letter.channel,
            notification=letter.uuid[:8],
            attempt=letter.attempts + 1,
            error=text,
            dead=dead,
        )

    def _settle(self, store: Callable[[], object]) -> None:
        try:
            store()
        except MonitorError as error:
            log.error("delivery_not_stored", error=str(error))  # its lease runs out, and it is sent again
