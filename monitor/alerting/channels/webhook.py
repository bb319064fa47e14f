"""Webhooks signed by the Standard Webhooks convention (https://www.standardwebhooks.com)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Unpack

from monitor import outgoing
from monitor.alerting.channels.posting import Posting


class Webhook(Posting):
    """A URL that takes a signed POST. form: `monitor`, `alertmanager` or `cloudevents`."""

    def __init__(
        self, url: str, secrets: Sequence[str], form: str = "monitor", **rules: Unpack[outgoing.Rules]
    ) -> None:
        super().__init__(url, **rules)
        self._secrets = secrets
        self._form = form

    def send(self, notification_id: str, body: bytes) -> str:
        """POST the body; success is a 2xx. Raises DeliveryError otherwise."""
        text = body.decode()
        if self._form != "monitor":
            form = as_alertmanager if self._form == "alertmanager" else as_cloud_event
            text = json.dumps(form(notification_id, json.loads(body)), ensure_ascii=False)
        answer = outgoing.post_signed(self._url, notification_id, text, self._secrets, **self._rules)
        return f"{answer.status} in {answer.seconds:.2f} s: {answer.text[:200]}".rstrip(": ")


def as_cloud_event(notification_id: str, content: dict[str, Any]) -> dict[str, Any]:
    """The notification in a CloudEvents 1.0 envelope (https://github.com/cloudevents/spec, JSON format)."""
    return {
        "specversion": "1.0",
        "id": notification_id,
        "source": f"production-monitor/{content['alert']['monitor']}".rstrip("/"),
        "type": f"production-monitor.{content['type']}",
        "time": content["timestamp"],
        "subject": content["alert"]["id"],
        "datacontenttype": "application/json",
        "data": content,
    }


def as_alertmanager(notification_id: str, content: dict[str, Any]) -> dict[str, Any]:
    """The notification as Alertmanager's webhook_config sends it (version 4)."""
    alerts = [
        {
            "status": "resolved" if entry["alert"]["state"] in ("resolved", "retracted") else "firing",
            "labels": entry["labels"],
            "annotations": entry["annotations"],
            "startsAt": entry["alert"]["since"],
            "endsAt": content["timestamp"]
            if entry["alert"]["state"] in ("resolved", "retracted")
            else "0001-01-01T00:00:00Z",
            "generatorURL": entry["alert"]["link"],
            "fingerprint": entry["alert"]["id"].replace("-", "")[:16],
        }
        for entry in content["alerts"]
    ]
    return {
        "version": "4",
        "groupKey": "{}:{" + ",".join(content["group"]) + "}",
        "truncatedAlerts": 0,
        "receiver": "production-monitor",
        "status": "firing" if any(alert["status"] == "firing" for alert in alerts) else "resolved",
        "groupLabels": dict(label.split("=", 1) for label in content["group"]),
        "commonLabels": _common(alerts, "labels"),
        "commonAnnotations": _common(alerts, "annotations"),
        "externalURL": "",
        "notificationId": notification_id,
        "alerts": alerts,
    }


def _common(alerts: list[dict[str, Any]], part: str) -> dict[str, str]:
    if not alerts:
        return {}
    return {
        key: value for key, value in alerts[0][part].items() if all(alert[part].get(key) == value for alert in alerts)
    }
