"""PagerDuty's Events API v2 (https://developer.pagerduty.com/docs/events-api-v2-overview): an incident an alert, by its id as `dedup_key`."""

from __future__ import annotations

import json
import time
from typing import Any, Unpack

from monitor import outgoing
from monitor.addresses import left
from monitor.errors import DeliveryError

_ACTIONS = {"resolved": "resolve", "retracted": "resolve", "acknowledged": "acknowledge"}


class PagerDuty:
    """A service, by its routing key."""

    def __init__(self, url: str, routing_key: str, **rules: Unpack[outgoing.Rules]) -> None:
        self._url, self._routing_key, self._rules = url, routing_key, rules

    def send(self, notification_id: str, body: bytes) -> str:
        """One event for each alert that is told. Raises DeliveryError where one was not taken; those before are sent again with it, and do no harm."""
        del notification_id
        content = json.loads(body)
        until = time.monotonic() + self._rules.get("deadline_s", outgoing.DEADLINE_S)
        answers = [self._send(content, each, until) for each in content["alerts"]]
        return "; ".join(answers)[:200]

    def _send(self, content: dict[str, Any], told: dict[str, Any], until: float) -> str:
        """One event, within what is left of the deadline of all."""
        alert = told["alert"]
        action = _ACTIONS.get(told["event"], "trigger")
        event: dict[str, Any] = {"routing_key": self._routing_key, "event_action": action, "dedup_key": alert["id"]}
        if action == "trigger":
            event |= {
                "payload": {
                    "summary": content["title"] if len(content["alerts"]) == 1 else told["annotations"]["summary"][:1024], "source": alert["monitor"] or "production-monitor",
                    "severity": alert["severity"] if alert["severity"] in ("critical", "warning") else "info", "timestamp": content["timestamp"],
                    "component": told["labels"]["model"], "group": told["labels"].get("team", ""), "class": alert["kind"],
                    "custom_details": {"text": content["text"], "columns": alert["columns"], "labels": told["labels"]},
                },
                "links": [{"href": link, "text": "details"} for link in (alert["link"], told["annotations"]["runbook_url"]) if link],
            }  # fmt: skip
        headers = {"content-type": "application/json", "user-agent": "production-monitor/1"}
        try:
            rules: outgoing.Rules = {**self._rules, "deadline_s": left(until)}
        except TimeoutError as error:
            raise DeliveryError(f"not all events were taken: {error}") from None
        answer = outgoing.post(self._url, json.dumps(event).encode(), headers, **rules)
        return f"{action} {answer.status}"

    def reach(self) -> str:
        """Connect to the host."""
        return outgoing.reach(self._url, **self._rules)
