"""Why no message is sent for an alert: silences, and other alerts that explain it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitor.alerting import routing
from monitor.config.model import Configuration
from monitor.domain.checks import Kind, Severity
from monitor.domain.folds import LABELS
from monitor.domain.matchers import equal, matches

# The kinds of alert that a source which is away or stale explains.
_DATA_KINDS = (Kind.DRIFT.value, Kind.QUALITY.value, Kind.ESTIMATED_PERFORMANCE.value, Kind.NO_DATA.value)
_FOR_ITSELF = (Kind.SELF.value, Kind.BLIND.value)
_EXPLAINED = (Kind.DRIFT.value, Kind.QUALITY.value, Kind.ESTIMATED_PERFORMANCE.value)


# The labels by which an alert and similar ones are silenced.
_SILENCED_BY = ("alertname", "model", "model_monitor", "subject")


def matchers_of(labels: Mapping[str, str]) -> list[str]:
    """The matchers that mute alerts like the one with these labels."""
    return [equal(name, labels[name]) for name in _SILENCED_BY if labels.get(name)]


@dataclass(frozen=True)
class Silence:
    """Mutes the alerts whose labels fulfil all matchers, from `starts` until `ends`."""

    matchers: Sequence[str]
    starts: datetime
    ends: datetime
    comment: str = ""

    def mutes(self, labels: Mapping[str, str], now: datetime) -> bool:
        """Whether an alert with these labels is muted now."""
        return self.starts <= now < self.ends and matches(self.matchers, labels)


def silenced(
    labels: Mapping[str, str], silences: Iterable[Silence], configuration: Configuration, now: datetime
) -> str:
    """Why an alert is muted now, by silences that were added or that the configuration holds; '' if it is not."""
    for silence in silences:
        if silence.mutes(labels, now):
            return f"silenced until {silence.ends:%Y-%m-%d %H:%M} UTC: {silence.comment}".rstrip(": ")
    for entry in configuration.silences:
        if (
            matches(entry.matchers, labels)
            and (entry.starts is None or entry.starts <= now)
            and (entry.ends is None or now < entry.ends)
            and (not entry.time_intervals or routing.is_in(entry.time_intervals, configuration, now))
        ):
            return f"silenced by the configuration: {entry.comment}".rstrip(": ")
    return ""


@dataclass(frozen=True)
class Firing:
    """An alert that fires, as inhibition looks at it. subject: `labels`; of kind `self`, what is wrong and whom it
    concerns.
    """

    alert: str
    kind: str
    severity: str
    monitor: str
    model: str
    subject: str = ""


class Explainers:
    """The alerts that fire, indexed by what they may explain, so that each alert is compared with few others."""

    def __init__(self, firing: Sequence[Firing], upstream: Mapping[str, Sequence[str]]) -> None:
        self._upstream = upstream
        self._by_monitor: dict[str, list[int]] = {}
        self._losses: dict[str, list[int]] = {}
        # By model the first alert of each of two monitors that a loss of the model explains: one of them is elsewhere.
        self._explained: dict[str, dict[str, int]] = {}
        self._firing = firing
        for place, alert in enumerate(firing):
            self._by_monitor.setdefault(alert.monitor, []).append(place)
            if alert.kind == Kind.PERFORMANCE.value and alert.severity == Severity.CRITICAL.value:
                self._losses.setdefault(alert.model, []).append(place)
            if alert.kind in _EXPLAINED and alert.subject != LABELS:
                by_monitor = self._explained.setdefault(alert.model, {})
                if len(by_monitor) < 2:
                    by_monitor.setdefault(alert.monitor, place)

    def of(self, alert: Firing) -> Firing | None:
        """The first alert that explains this one, by the rules of `inhibitor`."""
        near = {*self._by_monitor.get(alert.monitor, ()), *self._losses.get(alert.model, ())[:2]}
        if is_critical_loss(alert):
            near.update(self._explained.get(alert.model, {}).values())
        for name in self._upstream.get(alert.monitor, ()):
            near.update(self._by_monitor.get(name, ()))
        return inhibitor(alert, (self._firing[place] for place in sorted(near)), self._upstream)


def inhibitor(alert: Firing, firing: Iterable[Firing], upstream: Mapping[str, Sequence[str]]) -> Firing | None:
    """The alert that explains this one, which is then named inside that one's message; None if it has its own message.

    A source that is away or stale explains what its windows say; a realised loss the drift, faults and estimates of its
    model; what a monitor consumes (`upstream`, by monitor) whatever is wrong with it, but for a critical loss that
    itself explains alerts of other monitors. That nobody can tell how a model is explains nothing, and is explained by
    nothing; nor are faults of labels by those of the predictions or by the loss that they show.
    """
    if alert.kind in _FOR_ITSELF:
        return None
    firing = list(firing)
    explains_others = is_critical_loss(alert) and any(_is_elsewhere(candidate, alert) for candidate in firing)
    for candidate in firing:
        if candidate.alert == alert.alert or candidate.kind == Kind.BLIND.value:
            continue
        same_monitor = candidate.monitor == alert.monitor and bool(alert.monitor)
        is_source_failure = candidate.kind == Kind.SELF.value and candidate.subject.split(":")[0] in (
            "source",
            "stale_source",
        )
        is_about_labels = alert.subject == LABELS
        if is_source_failure and same_monitor and alert.kind in _DATA_KINDS and not is_about_labels:
            return candidate
        loss = candidate.kind == Kind.PERFORMANCE.value and alert.kind in _EXPLAINED and not is_about_labels
        if loss and candidate.model == alert.model and candidate.severity == Severity.CRITICAL.value:
            return candidate
        if loss and same_monitor and alert.kind == Kind.ESTIMATED_PERFORMANCE.value:
            return candidate
        if not explains_others and _stands_above(candidate.monitor, alert.monitor, upstream):
            return candidate
    return None


def is_critical_loss(alert: Firing) -> bool:
    """Whether it is a critical loss of realised performance."""
    return alert.kind == Kind.PERFORMANCE.value and alert.severity == Severity.CRITICAL.value


def _is_elsewhere(candidate: Firing, loss: Firing) -> bool:
    """Whether a critical loss explains this alert of another monitor of its model."""
    return (
        candidate.kind in _EXPLAINED
        and candidate.model == loss.model
        and candidate.monitor != loss.monitor
        and candidate.subject != LABELS
    )


def _stands_above(producer: str, consumer: str, upstream: Mapping[str, Sequence[str]]) -> bool:
    """Whether `consumer` consumes what `producer` makes. Of monitors that consume each other in a ring the first by
    name counts as the producer.
    """
    return (
        producer in upstream.get(consumer, ())
        and (producer < consumer or consumer not in _all_above(producer, upstream))
        and producer != consumer
    )


def _all_above(name: str, upstream: Mapping[str, Sequence[str]]) -> set[str]:
    above: set[str] = set()
    ahead = list(upstream.get(name, ()))
    while ahead:
        producer = ahead.pop()
        if producer not in above:
            above.add(producer)
            ahead += upstream.get(producer, ())
    return above
