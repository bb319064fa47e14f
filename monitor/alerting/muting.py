"""What keeps an alert from being told: silences, and other alerts that explain it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitor.alerting import routing
from monitor.config.model import Configuration
from monitor.domain.checks import Kind, Severity
from monitor.domain.folds import LABELS
from monitor.domain.matchers import equal, matches

# What a source that is away or stale makes of the windows behind it.
_OF_THE_DATA = (Kind.DRIFT.value, Kind.QUALITY.value, Kind.ESTIMATED_PERFORMANCE.value, Kind.NO_DATA.value)
_FOR_ITSELF = (Kind.SELF.value, Kind.BLIND.value)
_EXPLAINED = (Kind.DRIFT.value, Kind.QUALITY.value, Kind.ESTIMATED_PERFORMANCE.value)


# The labels by which an alert and its likes are silenced.
_OF_ITS_LIKES = ("alertname", "model", "model_monitor", "subject")


def matchers_of(labels: Mapping[str, str]) -> list[str]:
    """The matchers that mute alerts like the one with these labels."""
    return [equal(name, labels[name]) for name in _OF_ITS_LIKES if labels.get(name)]


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
    for each in silences:
        if each.mutes(labels, now):
            return f"silenced until {each.ends:%Y-%m-%d %H:%M} UTC: {each.comment}".rstrip(": ")
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
    """The alerts that fire, found by what they may explain: of very many, each is held against few."""

    def __init__(self, firing: Sequence[Firing], upstream: Mapping[str, Sequence[str]]) -> None:
        self._upstream = upstream
        self._of_monitor: dict[str, list[int]] = {}
        self._losses: dict[str, list[int]] = {}
        self._firing = firing
        for place, each in enumerate(firing):
            self._of_monitor.setdefault(each.monitor, []).append(place)
            if each.kind == Kind.PERFORMANCE.value and each.severity == Severity.CRITICAL.value:
                self._losses.setdefault(each.model, []).append(place)

    def of(self, one: Firing) -> Firing | None:
        """The first alert that explains this one, as `inhibitor` has it."""
        near = {*self._of_monitor.get(one.monitor, ()), *self._losses.get(one.model, ())[:2]}
        for name in self._upstream.get(one.monitor, ()):
            near.update(self._of_monitor.get(name, ()))
        return inhibitor(one, (self._firing[place] for place in sorted(near)), self._upstream)


def inhibitor(one: Firing, firing: Iterable[Firing], upstream: Mapping[str, Sequence[str]]) -> Firing | None:
    """The alert that explains this one, so that it is told inside that one's message; None if it speaks for itself.

    A source that is away or stale explains what its windows say; a realised loss the drift, faults and estimates of its
    model; what a monitor consumes (`upstream`, by monitor) whatever is wrong with it, but for its own realised
    performance turned critical. That nobody can tell how a model is explains nothing, and is explained by nothing; nor
    are faults of labels by those of the predictions or by the loss that they show.
    """
    if one.kind in _FOR_ITSELF:
        return None
    for other in firing:
        if other.alert == one.alert or other.kind == Kind.BLIND.value:
            continue
        same = other.monitor == one.monitor and bool(one.monitor)
        of_source = other.kind == Kind.SELF.value and other.subject.split(":")[0] in ("source", "stale_source")
        of_labels = one.subject == LABELS
        if of_source and same and one.kind in _OF_THE_DATA and not of_labels:
            return other
        loss = other.kind == Kind.PERFORMANCE.value and one.kind in _EXPLAINED and not of_labels
        if loss and other.model == one.model and other.severity == Severity.CRITICAL.value:
            return other
        if loss and same and one.kind == Kind.ESTIMATED_PERFORMANCE.value:
            return other
        harmed = one.kind == Kind.PERFORMANCE.value and one.severity == Severity.CRITICAL.value
        if not harmed and _stands_above(other.monitor, one.monitor, upstream):
            return other
    return None


def _stands_above(other: str, one: str, upstream: Mapping[str, Sequence[str]]) -> bool:
    """Whether monitor `one` consumes `other`; of monitors that consume each other in a ring the one first by name
    stands above.
    """
    return other in upstream.get(one, ()) and (other < one or one not in _all_above(other, upstream)) and other != one


def _all_above(name: str, upstream: Mapping[str, Sequence[str]]) -> set[str]:
    found: set[str] = set()
    ahead = list(upstream.get(name, ()))
    while ahead:
        each = ahead.pop()
        if each not in found:
            found.add(each)
            ahead += upstream.get(each, ())
    return found
