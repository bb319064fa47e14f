"""Dispatch: periodically, events of alerts go through routes, silences and inhibition into groups, and become
notifications.

Notifications follow from the state of alerts and from the last notification of each to a channel. A muted change is not
lost: an alert that still fires when its silence ends is sent then to the channels that have no notification of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.alerting import message, muting, routing
from monitor.alerting.channels import FORMS
from monitor.alerting.channels.card import card
from monitor.alerting.muting import Firing, Silence
from monitor.alerting.routing import Destination
from monitor.config.model import MonitorConfig
from monitor.domain.checks import Kind
from monitor.domain.matchers import matches, parsed
from monitor.errors import UsageError
from monitor.services import describe_alert
from monitor.services.context import Context
from monitor.storage import alerts, monitors, outbox, results, runs, silences
from monitor.storage.outbox import LastNotified
from monitor.storage.tables import Alert, AlertEvent, SilenceRow

log = get_logger()
_SELF_MAX_AGE = timedelta(days=7)
# So many events are dispatched at a time: one transaction for very many would block all others.
_AT_ONCE = 5000
_ENDS = ("resolved", "retracted", "downgraded")


@dataclass(frozen=True)
class LabelledAlert:
    """An alert with what its routing needs: its monitor's entry and name, and its labels."""

    alert: Alert
    config: MonitorConfig | None
    monitor: str
    labels: dict[str, str]

    @property
    def firing(self) -> Firing:
        """As inhibition looks at it."""
        return Firing(
            self.alert.uuid,
            self.alert.kind,
            self.alert.severity,
            self.monitor,
            self.labels["model"],
            self.alert.subject,
        )


def _is_readable(silence: SilenceRow) -> bool:
    """Whether a silence's matchers can be read: one of an older version, whose expressions were Python's, mutes nothing
    and stops nothing.
    """
    try:
        parsed(silence.matchers)
    except UsageError as error:
        log.warning("silence_not_applied", silence=silence.uuid[:8], error=str(error))
        return False
    return True


class DispatchCycle:
    """The firing alerts, the silences and the inhibitions at the beginning of a dispatch."""

    def __init__(self, session: Session, context: Context, happened: Sequence[Alert] = ()) -> None:
        """happened: alerts to which something has happened, whether they fire or not."""
        self.context, self.now = context, context.clock.now()
        firing = alerts.firing(session)
        ids = [alert.id for alert in firing]
        everything = {alert.id: alert for alert in (*firing, *happened)}
        self.burning = alerts.last_events(session, list(everything), alerts.BURNING)
        self.addressed = _label_alerts(session, context, list(everything.values()), self.burning)
        self.firing = [self.addressed[number] for number in ids]
        self._taken_on = alerts.last_events(session, ids, alerts.TAKEN_ON)
        self._last_notified = outbox.last_told(session, list(everything))
        self._silences = [
            Silence(row.matchers, row.starts_at, row.ends_at, row.comment)
            for row in silences.active(session, self.now)
            if _is_readable(row)
        ]
        upstream = {name: entry.upstream for name, entry in context.configuration.monitors.items()}
        self._explainers = muting.Explainers([labelled_alert.firing for labelled_alert in self.firing], upstream)
        self._inhibitors: dict[int, Firing | None] = {}

    def inhibitor(self, labelled_alert: LabelledAlert) -> Firing | None:
        """The alert that explains this one, None if there is none."""
        if labelled_alert.alert.id not in self._inhibitors:
            self._inhibitors[labelled_alert.alert.id] = self._explainers.of(labelled_alert.firing)
        return self._inhibitors[labelled_alert.alert.id]

    @cached_property
    def _by_id(self) -> dict[str, LabelledAlert]:
        return {labelled_alert.alert.uuid: labelled_alert for labelled_alert in self.firing}

    def first_cause(self, labelled_alert: LabelledAlert) -> LabelledAlert | None:
        """The alert that explains this one and is explained by none itself; None if nothing explains it."""
        cause, above = None, self.inhibitor(labelled_alert)
        while above is not None:
            cause = self._by_id[above.alert]
            above = self.inhibitor(cause)
        return cause

    @cached_property
    def explained(self) -> dict[str, list[LabelledAlert]]:
        """The alerts that fire and are explained by others, by the id of the one that is notified."""
        by_explainer: dict[str, list[LabelledAlert]] = {}
        for labelled_alert in self.firing:
            cause = self.first_cause(labelled_alert)
            if cause is not None:
                by_explainer.setdefault(cause.alert.uuid, []).append(labelled_alert)
        return by_explainer

    def carried_by(self, labelled_alert: LabelledAlert, channel: str) -> tuple[LabelledAlert, Destination] | None:
        """The alert in whose message on a channel this one is named, and the destination there; None where that channel
        hears of no such alert. Alertmanager gets no message, so nothing is named inside one.
        """
        if not _takes_notifications(self.context, channel):
            return None
        cause = self.first_cause(labelled_alert)
        for destination in [] if cause is None else self.destinations(cause):
            assert cause is not None
            if destination.channel == channel and not self.mutes(cause, destination):
                return cause, destination
        return None

    def _is_carried(self, labelled_alert: LabelledAlert, destination: Destination | None) -> bool:
        """Whether a loss is named in another alert's message wherever it would be notified itself."""
        wanted = self.destinations(labelled_alert) if destination is None else [destination]
        return all(self.carried_by(labelled_alert, entry.channel) is not None for entry in wanted)

    def last_notified(self, channel: str, labelled_alert: LabelledAlert) -> LastNotified | None:
        """The last notification of an alert to a channel, sent or still to be sent."""
        return self._last_notified.get((channel, labelled_alert.alert.id))

    def is_taken_on(self, labelled_alert: LabelledAlert) -> bool:
        """Whether a person has taken a firing alert on."""
        return alerts.is_taken_on(self._taken_on.get(labelled_alert.alert.id), labelled_alert.alert, self.now)

    def destinations(self, labelled_alert: LabelledAlert) -> list[Destination]:
        """The channels of an alert. An alert about a failing channel goes to the others, if there are others."""
        destinations = routing.destinations(
            labelled_alert.labels, labelled_alert.config, self.context.configuration, self.now
        )
        what, _, whom = labelled_alert.alert.subject.partition(":")
        failing = whom if labelled_alert.alert.kind == Kind.SELF.value and what in ("notification", "outbox") else None
        return [destination for destination in destinations if destination.channel != failing] or list(destinations)

    def silenced(self, labelled_alert: LabelledAlert) -> str:
        """Why an alert is silenced now, '' if it is not."""
        return muting.silenced(labelled_alert.labels, self._silences, self.context.configuration, self.now)

    def mutes(self, labelled_alert: LabelledAlert, destination: Destination | None = None) -> str:
        """Why a firing alert is muted now, '' if it is not: outside its route's times, silenced, or explained by
        another alert.
        """
        if destination is not None and destination.quiet:
            return destination.quiet
        why = self.silenced(labelled_alert)
        inhibitor = None if why else self.inhibitor(labelled_alert)
        if inhibitor is not None and muting.is_critical_loss(labelled_alert.firing):
            # A critical loss is never quiet where nobody hears of what explains it.
            inhibitor = inhibitor if self._is_carried(labelled_alert, destination) else None
        return (
            why
            if inhibitor is None
            else f"explained by alert {inhibitor.alert[:8]} ({inhibitor.kind} of {inhibitor.monitor or 'the service'})"
        )


@dataclass(frozen=True)
class Announcement:
    """An event to be sent. again: it was sent before. is_first: the alert has ended, and nobody was notified while it
    fired.
    """

    event: AlertEvent
    labelled_alert: LabelledAlert
    again: bool = False
    is_first: bool = False


@dataclass
class Messages:
    """The events to be sent, by channel and group."""

    events: dict[tuple[str, str], dict[int, Announcement]] = field(default_factory=dict)
    destinations: dict[tuple[str, str], Destination] = field(default_factory=dict)

    def add(
        self,
        destination: Destination,
        event: AlertEvent,
        labelled_alert: LabelledAlert,
        *,
        again: bool = False,
        is_first: bool = False,
    ) -> None:
        """Add an event for a destination."""
        key = destination.channel, destination.group_key
        self.destinations[key] = destination
        self.events.setdefault(key, {}).setdefault(event.id, Announcement(event, labelled_alert, again, is_first))


def dispatch_alerts(context: Context) -> int:
    """Dispatch the events since the last time; how many notifications were written."""
    return context.database.transact(_dispatch, context)


def _dispatch(session: Session, context: Context) -> int:
    if not alerts.are_undispatched(session) and not context.is_time_to_remind():
        return 0
    outbox.lock_dispatch(session)
    happened = alerts.undispatched(session, _AT_ONCE)
    messages, cycle = Messages(), DispatchCycle(session, context, [alert for _, alert in happened])
    began = {alert.id for event, alert in happened if event.kind in alerts.BURNING}
    over = {alert.id for event, alert in happened if event.kind in ("resolved", "retracted")}
    for event, alert in happened:
        event.dispatched = True
        labelled_alert = cycle.addressed[alert.id]
        if cycle.now - event.happened_at <= _max_age(labelled_alert.config):
            is_over = alert.id in began & over and alert.state != "firing"
            _add_messages(cycle, messages, event, labelled_alert, is_over=is_over)
    for labelled_alert in cycle.firing:
        _remind(session, cycle, messages, labelled_alert)
    for key, events in messages.events.items():
        _write(session, cycle, messages.destinations[key], list(events.values()))
    return len(messages.events)


def addressed(session: Session, context: Context, alert: Alert) -> LabelledAlert:
    """An alert with its monitor's entry and its labels."""
    return _label_alerts(session, context, [alert], alerts.last_events(session, [alert.id], alerts.BURNING))[alert.id]


def _label_alerts(
    session: Session, context: Context, alert_rows: Sequence[Alert], burning: Mapping[int, AlertEvent]
) -> dict[int, LabelledAlert]:
    """The same for several alerts, by their numbers. burning: the last event of each that says that it fires."""
    rows = monitors.by_ids(session, list({alert.monitor_id for alert in alert_rows if alert.monitor_id is not None}))
    versions = results.model_versions(session, [event.run_id for event in burning.values() if event.run_id is not None])
    labelled_alerts = {}
    for alert in alert_rows:
        row = None if alert.monitor_id is None else rows[alert.monitor_id]
        config = None if row is None else context.config_of(session, row)
        name, model = (row.name, row.model_name) if row is not None else ("", "")
        event = burning.get(alert.id)
        version = None if event is None or event.run_id is None else versions.get(event.run_id)
        if version is None:
            version = config.model.version if config is not None else ""
        subject = "" if alert.kind == Kind.SELF.value else alert.subject
        tags = config.tags if config is not None else {}
        labels = routing.labels_of(alert.kind, alert.severity, model, version, name, tags, subject)
        labelled_alerts[alert.id] = LabelledAlert(alert, config, name, labels)
    return labelled_alerts


def _max_age(config: MonitorConfig | None) -> timedelta:
    return config.alerts.notify_max_age.approximate() if config is not None else _SELF_MAX_AGE


def _add_messages(
    cycle: DispatchCycle, messages: Messages, event: AlertEvent, labelled_alert: LabelledAlert, *, is_over: bool
) -> None:
    """Add an event for every channel of the alert that is not muted. The end of an alert goes to the channels that were
    notified of its beginning, muted or not.

    is_over: the alert began and ended since the last dispatch. A channel without a notification of it gets one message
    for both.
    """
    context = cycle.context
    for destination in cycle.destinations(labelled_alert):
        is_notified = cycle.last_notified(destination.channel, labelled_alert) is not None
        if not _takes_notifications(context, destination.channel):
            continue
        if event.kind == "acknowledged":  # of these PagerDuty alone keeps account
            if is_notified and _type_of(context, destination.channel) == "pagerduty":
                messages.add(destination, event, labelled_alert)
            continue
        if is_over and not is_notified:
            if event.kind == "resolved" and not cycle.mutes(labelled_alert, destination):
                messages.add(destination, event, labelled_alert, is_first=True)
            continue
        if (event.kind in _ENDS and is_notified) or (
            event.kind not in _ENDS and not cycle.mutes(labelled_alert, destination)
        ):
            messages.add(destination, event, labelled_alert)
        elif event.kind not in _ENDS and muting.is_critical_loss(labelled_alert.firing):
            _add_carrier(cycle, messages, labelled_alert, destination)


def _add_carrier(
    cycle: DispatchCycle, messages: Messages, labelled_alert: LabelledAlert, destination: Destination
) -> None:
    """Add once more the alert that explains a critical loss: its message names the loss, which has none of its own."""
    carrier = cycle.carried_by(labelled_alert, destination.channel)
    burning = None if carrier is None else cycle.burning.get(carrier[0].alert.id)
    if carrier is not None and burning is not None and not destination.quiet and not cycle.silenced(labelled_alert):
        cause, place = carrier
        is_notified = cycle.last_notified(place.channel, cause) is not None
        messages.add(place, burning, cause, again=is_notified)


def _name_in_carrier(
    cycle: DispatchCycle,
    messages: Messages,
    labelled_alert: LabelledAlert,
    destination: Destination,
    burning: AlertEvent,
) -> None:
    """Add the alert that explains a critical loss where its last message is older than the loss: a route was quiet, or
    something was silenced, when the loss began.
    """
    carrier = cycle.carried_by(labelled_alert, destination.channel)
    last = None if carrier is None else cycle.last_notified(destination.channel, carrier[0])
    if last is not None and last.told_at < burning.happened_at:
        _add_carrier(cycle, messages, labelled_alert, destination)


def _type_of(context: Context, channel: str) -> str:
    config = context.configuration.channels.get(channel)
    return "" if config is None else config.type


def _takes_notifications(context: Context, channel: str) -> bool:
    """Whether a channel takes notifications; Alertmanager gets the current state instead."""
    return _type_of(context, channel) != "alertmanager"


def why_quiet(session: Session, context: Context, alert: Alert) -> str:
    """Why a firing alert notifies nobody now, '' if it notifies somebody or does not fire."""
    if alert.state != "firing":
        return ""
    if alerts.is_acknowledged(session, alert, context.clock.now()):
        return "acknowledged"
    return DispatchCycle(session, context).mutes(addressed(session, context, alert))


def muted_by(session: Session, context: Context, matchers: Sequence[str]) -> list[str]:
    """The alerts that fire and whose labels fulfil all matchers, in words."""
    return [
        f"{labelled_alert.alert.uuid[:8]} ({labelled_alert.alert.kind} of {labelled_alert.monitor or 'the service'})"
        for labelled_alert in DispatchCycle(session, context).firing
        if matches(matchers, labelled_alert.labels)
    ]


def message_of(session: Session, context: Context, alert: Alert, form: str, templates: Mapping[str, str]) -> str:
    """The message of an alert as it would be sent now: `text`, `markdown`, `html`, the webhook's `json`, or what a
    service of `FORMS` gets.
    """
    event = alerts.last_event(
        session, alert.id, ("firing", "escalated", "downgraded", "resolved", "retracted", "pending")
    )
    assert event is not None
    labelled_alert = addressed(session, context, alert)
    facts = describe_alert.facts_of(session, context, event, alert, labelled_alert.config, labelled_alert.labels)
    body = message.body([facts], templates=templates)
    if form in FORMS:
        return json.dumps(FORMS[form](card(body.encode())), indent=2, ensure_ascii=False)
    return body if form == "json" else str(getattr(message.written([facts], templates=templates), form))


def _remind(session: Session, cycle: DispatchCycle, messages: Messages, labelled_alert: LabelledAlert) -> None:
    """Add a firing alert for the channels that were not notified of it, if it is no longer muted or catching up has
    ended, and for those whose last notification is too old; unless a person has acknowledged it.
    """
    context, now, alert = cycle.context, cycle.now, labelled_alert.alert
    burning = cycle.burning.get(alert.id)
    if cycle.is_taken_on(labelled_alert):
        return
    if burning is None or not burning.dispatched:
        return
    for destination in cycle.destinations(labelled_alert):
        if not _takes_notifications(context, destination.channel):
            continue
        last = cycle.last_notified(destination.channel, labelled_alert)
        if last is None and muting.is_critical_loss(labelled_alert.firing):
            _name_in_carrier(cycle, messages, labelled_alert, destination, burning)
        if last is not None and not (last.number < burning.number or now - last.told_at >= destination.repeat_interval):
            continue
        if (
            last is None
            and now - burning.happened_at > _max_age(labelled_alert.config)
            and runs.unfinished(session, alert.monitor_id)
        ):
            continue  # catching up: what fires at its end is announced then
        if not cycle.mutes(labelled_alert, destination):
            messages.add(destination, burning, labelled_alert, again=last is not None and last.number >= burning.number)


def _write(session: Session, cycle: DispatchCycle, destination: Destination, announcements: list[Announcement]) -> None:
    """Write one notification of all announcements of a group: the worst alert first, with the alerts that it explains.

    It includes the events of notifications to the group that wait and were never tried.
    """
    context, now, ids = cycle.context, cycle.now, [announcement.event.id for announcement in announcements]
    for event, alert in outbox.untried(session, destination.channel, destination.group_key):
        announcements.append(Announcement(event, cycle.addressed.get(alert.id) or addressed(session, context, alert)))
    newest: dict[int, Announcement] = {}
    for announcement in sorted(announcements, key=lambda announcement: announcement.event.number):
        newest[announcement.labelled_alert.alert.id] = announcement
    announcements = sorted(
        newest.values(),
        key=lambda announcement: (
            announcement.event.kind in _ENDS,
            -message.rank(announcement.event.severity),
            announcement.event.happened_at,
            announcement.event.id,
        ),
    )
    facts = [
        replace(
            (describe_alert.facts_of if place < message.IN_FULL else describe_alert.brief_facts_of)(
                session,
                context,
                announcement.event,
                announcement.labelled_alert.alert,
                announcement.labelled_alert.config,
                announcement.labelled_alert.labels,
                again=announcement.again,
            ),
            is_first=announcement.is_first,
        )
        for place, announcement in enumerate(announcements)
    ]
    named = {announcement.labelled_alert.alert.uuid for announcement in announcements}
    explained = [
        message.ExplainedAlert(
            labelled_alert.alert.uuid,
            labelled_alert.alert.kind,
            labelled_alert.alert.severity,
            labelled_alert.monitor,
            labelled_alert.alert.summary,
        )
        for labelled_alert in sorted(
            (labelled_alert for uuid in named for labelled_alert in cycle.explained.get(uuid, ())),
            key=lambda labelled_alert: (labelled_alert.alert.since, labelled_alert.alert.id),
        )
    ]
    wait = timedelta(0) if context.catches_up else destination.group_wait
    channel = context.configuration.channels.get(destination.channel)
    templates = {} if channel is None else {str(name): text for name, text in channel.templates.items()}
    content = message.body(facts, destination.group, explained, now + destination.repeat_interval, templates)
    row = outbox.add(session, destination.channel, destination.group_key, content, ids, now, wait)
    changes = ", ".join(
        f"{announcement.labelled_alert.alert.uuid[:8]} {announcement.event.kind}" for announcement in announcements
    )
    log.info("notification_written", channel=destination.channel, notification=row.uuid[:8], changes=changes)
