"""Which channels hear of an alert: Alertmanager's matchers over its labels, and the monitor's own list."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from monitor.config.model import Configuration, MonitorConfig
from monitor.errors import UsageError

_MATCHER = re.compile(r'^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"?((?:[^"\\]|\\.)*)"?\s*$')

ALERT_NAMES = {
    "performance": "ModelPerformance",
    "estimated_performance": "ModelPerformanceEstimated",
    "drift": "ModelDrift",
    "quality": "ModelDataQuality",
    "no_data": "ModelNoData",
    "no_labels": "ModelNoLabels",
    "self": "MonitorSelf",
}


@dataclass(frozen=True)
class Matcher:
    """One condition on a label, in Alertmanager's syntax: `severity="critical"`, `team=~"a|b"`."""

    label: str
    operator: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Matcher:
        """Raises UsageError for what Alertmanager would refuse."""
        match = _MATCHER.match(text)
        if match is None:
            raise UsageError(f"'{text}' is no matcher; write label=\"value\", with =, !=, =~ or !~")
        if match[2] in ("=~", "!~"):
            try:
                re.compile(match[3])
            except re.error as error:
                raise UsageError(f"'{text}' is no matcher: {error}") from None
        return cls(match[1], match[2], match[3].replace('\\"', '"'))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels fulfil it; an absent label is ''."""
        value = labels.get(self.label, "")
        if self.operator in ("=", "!="):
            return (value == self.value) == (self.operator == "=")
        return (re.fullmatch(self.value, value) is not None) == (self.operator == "=~")


def channels(labels: Mapping[str, str], monitor: MonitorConfig | None, configuration: Configuration) -> Sequence[str]:
    """The channels for an alert with these labels, each once; alerts of no monitor go to every channel that a route or monitor names."""
    found = list(monitor.alerts.channels) if monitor is not None else []
    for route in configuration.routes:
        if all(Matcher.parse(text).matches(labels) for text in route.matchers):
            found += route.channels
    if monitor is None and not found:
        for each in configuration.monitors.values():
            found += each.alerts.channels
    return list(dict.fromkeys(found))


def labels_of(
    kind: str, severity: str, model: str, version: str, monitor: str, tags: Mapping[str, str]
) -> dict[str, str]:
    """The fixed labels of an alert, then the tags."""
    fixed = {
        "alertname": ALERT_NAMES[kind],
        "severity": severity,
        "model": model,
        "model_version": version,
        "model_monitor": monitor,
    }
    return fixed | {name: value for name, value in tags.items() if name not in fixed}
