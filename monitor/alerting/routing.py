"""Which channels hear of an alert: Alertmanager's matchers over its labels, and the monitor's own list."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.config.model import Configuration, MonitorConfig, Route
from monitor.domain.matchers import matches

_REPEAT = timedelta(hours=24)
ALERT_NAMES = {
    "performance": "ModelPerformance",
    "estimated_performance": "ModelPerformanceEstimated",
    "drift": "ModelDrift",
    "quality": "ModelDataQuality",
    "no_data": "ModelNoData",
    "no_labels": "ModelNoLabels",
    "blind": "ModelBlind",
    "self": "MonitorSelf",
}


@dataclass(frozen=True)
class Destination:
    """A channel that hears of an alert. group: the labels that its notification shares. quiet: why nobody is notified
    there now, '' if somebody is.
    """

    channel: str
    group: tuple[str, ...]
    group_wait: timedelta
    repeat_interval: timedelta
    quiet: str = ""

    @property
    def group_key(self) -> str:
        """The group's name in the log of what was sent to it."""
        return hashlib.sha256("\0".join(self.group).encode()).hexdigest()[:32]


def destinations(
    labels: Mapping[str, str], monitor: MonitorConfig | None, configuration: Configuration, now: datetime
) -> list[Destination]:
    """The channels for an alert with these labels, each once; alerts of no monitor go to every channel that a route or
    monitor names.

    A channel that several routes name is notified if one of them is not quiet now.
    """
    usual = configuration.grouping
    named = [(channel, usual, "") for channel in (monitor.alerts.channels if monitor is not None else [])]
    for route in configuration.routes:
        if matches(route.matchers, labels):
            quiet = _quiet(route, configuration, now)
            named += [(channel, route.grouping or usual, quiet) for channel in route.channels]
    if monitor is None and not named:
        named = [(channel, usual, "") for entry in configuration.monitors.values() for channel in entry.alerts.channels]
    every = monitor.windows.every or monitor.windows.length if monitor is not None else None
    by_channel: dict[str, Destination] = {}
    for channel, grouping, quiet in named:
        if channel not in by_channel or (by_channel[channel].quiet and not quiet):
            repeat = (
                grouping.repeat_interval.approximate()
                if grouping.repeat_interval is not None
                else max(_REPEAT, every.approximate() if every else _REPEAT)
            )
            group = tuple(f"{label}={labels.get(label, '')}" for label in sorted(grouping.group_by))
            by_channel[channel] = Destination(channel, group, grouping.group_wait.approximate(), repeat, quiet)
    return list(by_channel.values())


def is_in(names: Sequence[str], configuration: Configuration, moment: datetime) -> bool:
    """Whether a moment lies in one of the configuration's time intervals."""
    return any(
        entry.interval().contains(moment) for name in names for entry in configuration.time_intervals.get(name, [])
    )


def _quiet(route: Route, configuration: Configuration, now: datetime) -> str:
    if route.active_time_intervals and not is_in(route.active_time_intervals, configuration, now):
        return f"outside {', '.join(route.active_time_intervals)}"
    if is_in(route.mute_time_intervals, configuration, now):
        return f"in {', '.join(route.mute_time_intervals)}"
    return ""


def labels_of(
    kind: str, severity: str, model: str, version: str, monitor: str, tags: Mapping[str, str], subject: str = ""
) -> dict[str, str]:
    """The fixed labels of an alert, then the tags. subject: what it is of (`labels`), so that receivers tell it from
    that of the model.
    """
    fixed = {
        "alertname": ALERT_NAMES[kind],
        "severity": severity,
        "model": model,
        "model_version": version,
        "model_monitor": monitor,
        **({"subject": subject} if subject else {}),
    }
    return fixed | {name: value for name, value in tags.items() if name not in fixed}
