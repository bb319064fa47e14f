"""Dispatch: by the clock, what happened to alerts goes through routes, silences and inhibition into groups, and becomes
notifications.

What is told follows from how alerts stand and what each channel was told of them: a muted change is no lost one, since
an alert that still fires when its silence ends, and of which a channel was not told, is told then.
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
# What has happened is addressed so many events a round: a transaction of all that very many alerts bring would hold up
# every other.
_AT_ONCE = 5000
_ENDS = ("resolved", "retracted", "downgraded")


@dataclass(frozen=True)
class LabelledAlert:
    """An alert with what addressing it takes: its monitor's entry, name and model, and its labels."""

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
    """What fires as a round of addressing begins, what is silenced then, and which alert explains which."""

    def __init__(self, session: Session, context: Context, happened: Sequence[Alert] = ()) -> None:
        """happened: alerts to which something has happened, whether they fire or not."""
        self.context, self.now = context, context.clock.now()
        firing = alerts.firing(session)
        ids = [alert.id for alert in firing]
        everything = {alert.id: alert for alert in (*firing, *happened)}
        self.burning = alerts.last_events(session, list(everything), alerts.BURNING)
        self.addressed = _addressed(session, context, list(everything.values()), self.burning)
        self.firing = [self.addressed[number] for number in ids]
        self._taken_on = alerts.last_events(session, ids, alerts.TAKEN_ON)
        self._told = outbox.last_told(session, list(everything))
        self._silences = [
            Silence(row.matchers, row.starts_at, row.ends_at, row.comment)
            for row in silences.active(session, self.now)
            if _is_readable(row)
        ]
        upstream = {name: entry.upstream for name, entry in context.configuration.monitors.items()}
        self._explainers = muting.Explainers([each.firing for each in self.firing], upstream)
        self._inhibitors: dict[int, Firing | None] = {}

    def inhibitor(self, one: LabelledAlert) -> Firing | None:
        """The alert that explains this one, None if it speaks for itself."""
        if one.alert.id not in self._inhibitors:
            self._inhibitors[one.alert.id] = self._explainers.of(one.firing)
        return self._inhibitors[one.alert.id]

    @cached_property
    def explained(self) -> dict[str, list[LabelledAlert]]:
        """The alerts that fire and are explained by another one, by that one's id."""
        found: dict[str, list[LabelledAlert]] = {}
        for one in self.firing:
            other = self.inhibitor(one)
            if other is not None:
                found.setdefault(other.alert, []).append(one)
        return found

    def told(self, channel: str, one: LabelledAlert) -> LastNotified | None:
        """What a channel was last told of an alert, or is about to be told."""
        return self._told.get((channel, one.alert.id))

    def is_taken_on(self, one: LabelledAlert) -> bool:
        """Whether a person has taken a firing alert on."""
        return alerts.is_taken_on(self._taken_on.get(one.alert.id), one.alert, self.now)

    def destinations(self, one: LabelledAlert) -> list[Destination]:
        """The channels that hear of an alert; that a channel is deaf the others hear, where there are others."""
        found = routing.destinations(one.labels, one.config, self.context.configuration, self.now)
        what, _, whom = one.alert.subject.partition(":")
        deaf = whom if one.alert.kind == Kind.SELF.value and what in ("notification", "outbox") else None
        return [each for each in found if each.channel != deaf] or list(found)

    def mutes(self, one: LabelledAlert, destination: Destination | None = None) -> str:
        """Why a firing alert is not told now, '' if it is: outside its route's times, silenced, or explained by another
        alert.
        """
        if destination is not None and destination.quiet:
            return destination.quiet
        why = muting.silenced(one.labels, self._silences, self.context.configuration, self.now)
        other = None if why else self.inhibitor(one)
        return (
            why
            if other is None
            else f"explained by alert {other.alert[:8]} ({other.kind} of {other.monitor or 'the service'})"
        )


@dataclass(frozen=True)
class Announcement:
    """An event that is told. again: it was told before. is_first: of an alert that has ended, nobody was told while it
    fired.
    """

    event: AlertEvent
    one: LabelledAlert
    again: bool = False
    is_first: bool = False


@dataclass
class Messages:
    """What is to be told: events by channel and group."""

    events: dict[tuple[str, str], dict[int, Announcement]] = field(default_factory=dict)
    destinations: dict[tuple[str, str], Destination] = field(default_factory=dict)

    def add(
        self,
        destination: Destination,
        event: AlertEvent,
        one: LabelledAlert,
        *,
        again: bool = False,
        is_first: bool = False,
    ) -> None:
        """Tell an event there."""
        key = destination.channel, destination.group_key
        self.destinations[key] = destination
        self.events.setdefault(key, {}).setdefault(event.id, Announcement(event, one, again, is_first))


def dispatch_alerts(context: Context) -> int:
    """Address what has happened since; how many notifications were written."""
    return context.database.transact(_dispatch, context)


def _dispatch(session: Session, context: Context) -> int:
    if not alerts.are_undispatched(session) and not context.is_time_to_remind():
        return 0
    outbox.lock_dispatch(session)
    happened = alerts.undispatched(session, _AT_ONCE)
    letters, this = Messages(), DispatchCycle(session, context, [alert for _, alert in happened])
    began = {alert.id for event, alert in happened if event.kind in alerts.BURNING}
    over = {alert.id for event, alert in happened if event.kind in ("resolved", "retracted")}
    for event, alert in happened:
        event.dispatched = True
        one = this.addressed[alert.id]
        if this.now - event.happened_at <= _max_age(one.config):
            is_over = alert.id in began & over and alert.state != "firing"
            _tell(this, letters, event, one, is_over=is_over)
    for one in this.firing:
        _remind(session, this, letters, one)
    for key, events in letters.events.items():
        _write(session, this, letters.destinations[key], list(events.values()))
    return len(letters.events)


def addressed(session: Session, context: Context, alert: Alert) -> LabelledAlert:
    """An alert with its monitor's entry and its labels."""
    return _addressed(session, context, [alert], alerts.last_events(session, [alert.id], alerts.BURNING))[alert.id]


def _addressed(
    session: Session, context: Context, several: Sequence[Alert], burning: Mapping[int, AlertEvent]
) -> dict[int, LabelledAlert]:
    """The same of several alerts, by their numbers. burning: the last event that says that each fires."""
    rows = monitors.by_ids(session, list({alert.monitor_id for alert in several if alert.monitor_id is not None}))
    versions = results.model_versions(session, [event.run_id for event in burning.values() if event.run_id is not None])
    found = {}
    for alert in several:
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
        found[alert.id] = LabelledAlert(alert, config, name, labels)
    return found


def _max_age(config: MonitorConfig | None) -> timedelta:
    return config.alerts.notify_max_age.approximate() if config is not None else _SELF_MAX_AGE


def _tell(this: DispatchCycle, letters: Messages, event: AlertEvent, one: LabelledAlert, *, is_over: bool) -> None:
    """Tell an event to every channel that hears of it now; an end only where the beginning was told, and there whatever
    mutes it.

    is_over: the alert began and ended since the last round. Where nobody was told of it, one message says both.
    """
    context = this.context
    for destination in this.destinations(one):
        told = this.told(destination.channel, one) is not None
        if not _takes_letters(context, destination.channel):
            continue
        if event.kind == "acknowledged":  # of these PagerDuty alone keeps account
            if told and _type_of(context, destination.channel) == "pagerduty":
                letters.add(destination, event, one)
            continue
        if is_over and not told:
            if event.kind == "resolved" and not this.mutes(one, destination):
                letters.add(destination, event, one, is_first=True)
            continue
        if (event.kind in _ENDS and told) or (event.kind not in _ENDS and not this.mutes(one, destination)):
            letters.add(destination, event, one)


def _type_of(context: Context, channel: str) -> str:
    config = context.configuration.channels.get(channel)
    return "" if config is None else config.type


def _takes_letters(context: Context, channel: str) -> bool:
    """Whether a channel is told by notifications; Alertmanager is brought to the current state instead."""
    return _type_of(context, channel) != "alertmanager"


def why_quiet(session: Session, context: Context, alert: Alert) -> str:
    """Why a firing alert is told to nobody now, '' if it is told or does not fire."""
    if alert.state != "firing":
        return ""
    if alerts.is_acknowledged(session, alert, context.clock.now()):
        return "acknowledged"
    return DispatchCycle(session, context).mutes(addressed(session, context, alert))


def muted_by(session: Session, context: Context, matchers: Sequence[str]) -> list[str]:
    """The alerts that fire and whose labels fulfil all matchers, in words."""
    return [
        f"{one.alert.uuid[:8]} ({one.alert.kind} of {one.monitor or 'the service'})"
        for one in DispatchCycle(session, context).firing
        if matches(matchers, one.labels)
    ]


def message_of(session: Session, context: Context, alert: Alert, form: str, templates: Mapping[str, str]) -> str:
    """The message of an alert as it would be sent now: `text`, `markdown`, `html`, the webhook's `json`, or what a
    service of `FORMS` gets.
    """
    event = alerts.last_event(
        session, alert.id, ("firing", "escalated", "downgraded", "resolved", "retracted", "pending")
    )
    assert event is not None
    one = addressed(session, context, alert)
    facts = describe_alert.facts_of(session, context, event, alert, one.config, one.labels)
    body = message.body([facts], templates=templates)
    if form in FORMS:
        return json.dumps(FORMS[form](card(body.encode())), indent=2, ensure_ascii=False)
    return body if form == "json" else str(getattr(message.written([facts], templates=templates), form))


def _remind(session: Session, this: DispatchCycle, letters: Messages, one: LabelledAlert) -> None:
    """What fires and was not told, now that nothing mutes it: after a silence, or at the end of catching up; and what
    was told long ago, unless somebody has taken it on.
    """
    context, now, alert = this.context, this.now, one.alert
    burning = this.burning.get(alert.id)
    if this.is_taken_on(one):
        return
    if burning is None or not burning.dispatched:
        return
    for destination in this.destinations(one):
        if not _takes_letters(context, destination.channel):
            continue
        last = this.told(destination.channel, one)
        if last is not None and not (last.number < burning.number or now - last.told_at >= destination.repeat_interval):
            continue
        if (
            last is None
            and now - burning.happened_at > _max_age(one.config)
            and runs.unfinished(session, alert.monitor_id)
        ):
            continue  # catching up: what fires at its end is announced then
        if not this.mutes(one, destination):
            letters.add(destination, burning, one, again=last is not None and last.number >= burning.number)


def _write(session: Session, this: DispatchCycle, to: Destination, told: list[Announcement]) -> None:
    """One notification to a channel, of everything that is told to a group: the worst first, what it explains inside.

    What waits to be told to the group, and was never tried, is told by this one too.
    """
    context, now, ids = this.context, this.now, [each.event.id for each in told]
    for event, alert in outbox.untried(session, to.channel, to.group_key):
        told.append(Announcement(event, this.addressed.get(alert.id) or addressed(session, context, alert)))
    newest: dict[int, Announcement] = {}
    for each in sorted(told, key=lambda each: each.event.number):
        newest[each.one.alert.id] = each
    told = sorted(
        newest.values(),
        key=lambda each: (
            each.event.kind in _ENDS,
            -message.rank(each.event.severity),
            each.event.happened_at,
            each.event.id,
        ),
    )
    facts = [
        replace(
            (describe_alert.facts_of if place < message.IN_FULL else describe_alert.few_facts_of)(
                session, context, each.event, each.one.alert, each.one.config, each.one.labels, again=each.again
            ),
            is_first=each.is_first,
        )
        for place, each in enumerate(told)
    ]
    named = {each.one.alert.uuid for each in told}
    inside = [
        message.ExplainedAlert(one.alert.uuid, one.alert.kind, one.alert.severity, one.monitor, one.alert.summary)
        for one in sorted(
            (one for other in named for one in this.explained.get(other, ())),
            key=lambda one: (one.alert.since, one.alert.id),
        )
    ]
    wait = timedelta(0) if context.catches_up else to.group_wait
    channel = context.configuration.channels.get(to.channel)
    templates = {} if channel is None else {str(name): text for name, text in channel.templates.items()}
    content = message.body(facts, to.group, inside, now + to.repeat_interval, templates)
    row = outbox.add(session, to.channel, to.group_key, content, ids, now, wait)
    changes = ", ".join(f"{each.one.alert.uuid[:8]} {each.event.kind}" for each in told)
    log.info("notification_written", channel=to.channel, notification=row.uuid[:8], changes=changes)
