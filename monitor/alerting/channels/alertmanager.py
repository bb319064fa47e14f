"""Alertmanager's API v2 (POST /api/v2/alerts): an alert that fires is posted again before it would expire there. One
that is over is posted with its end.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Unpack

from monitor import outgoing


@dataclass(frozen=True)
class Posted:
    """An alert as Alertmanager takes it. ends: when it was over, or until when it counts as firing."""

    labels: dict[str, str]
    annotations: dict[str, str]
    starts: datetime
    ends: datetime
    link: str = ""


class Alertmanager:
    """An Alertmanager by its base URL."""

    def __init__(self, url: str, **rules: Unpack[outgoing.Rules]) -> None:
        self._url, self._rules = url.rstrip("/"), rules

    def post(self, alerts: Sequence[Posted]) -> str:
        """Post the state of alerts. Raises DeliveryError."""
        content = [
            {
                "labels": {name: value for name, value in alert.labels.items() if value},
                "annotations": {name: value for name, value in alert.annotations.items() if value},
                "startsAt": alert.starts.isoformat(),
                "endsAt": alert.ends.isoformat(),
                "generatorURL": alert.link,
            }
            for alert in alerts
        ]
        headers = {"content-type": "application/json", "user-agent": "production-monitor/1"}
        answer = outgoing.post(f"{self._url}/api/v2/alerts", json.dumps(content).encode(), headers, **self._rules)
        return f"{answer.status} in {answer.seconds:.2f} s"

    def send(self, notification_id: str, body: bytes) -> str:
        """A single notification, as `monitor channels test` sends one."""
        del notification_id
        content: dict[str, Any] = json.loads(body)
        now = datetime.now(UTC)
        return self.post([Posted(content["labels"], content["annotations"], now, now)])

    def reach(self) -> str:
        """Connect to the host."""
        return outgoing.reach(self._url, **self._rules)
