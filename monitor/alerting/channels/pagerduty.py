"""PagerDuty's Events API v2 (https://developer.pagerduty.com/docs/events-api-v2-overview): an incident an alert, by its
id as `dedup_key`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any, Unpack

from monitor import outgoing
from monitor.addresses import left
from monitor.alerting.channels.card import Card, card, fitted
from monitor.alerting.channels.posting import Posting
from monitor.alerting.message import Section
from monitor.errors import DeliveryError

# By the Events API: characters of a summary.
SUMMARY = 1024
_DETAIL = 4000
_ACTIONS = {"resolved": "resolve", "retracted": "resolve", "acknowledged": "acknowledge"}


class PagerDuty(Posting):
    """A service, by its routing key."""

    def __init__(self, url: str, routing_key: str, **rules: Unpack[outgoing.Rules]) -> None:
        super().__init__(url, **rules)
        self._routing_key = routing_key

    def send(self, notification_id: str, body: bytes) -> str:
        """One event for each alert of the notification. Raises DeliveryError where one was not taken. Those
        before it are then sent again, which does no harm.
        """
        del notification_id
        content, message = json.loads(body), card(body)
        until = time.monotonic() + self._rules.get("deadline_s", outgoing.DEADLINE_S)
        answers = [self._send(content, message, entry, until) for entry in content["alerts"]]
        return "; ".join(answers)[:200]

    def _send(self, content: dict[str, Any], message: Card, entry: dict[str, Any], until: float) -> str:
        """One event, within what is left of the deadline of all."""
        event = as_pagerduty(self._routing_key, content, message, entry)
        headers = {"content-type": "application/json", "user-agent": "production-monitor/1"}
        try:
            rules: outgoing.Rules = {**self._rules, "deadline_s": left(until)}
        except TimeoutError as error:
            raise DeliveryError(f"not all events were taken: {error}") from None
        answer = outgoing.post(self._url, json.dumps(event).encode(), headers, **rules)
        return f"{event['event_action']} {answer.status}"


def as_pagerduty(routing_key: str, content: dict[str, Any], message: Card, entry: dict[str, Any]) -> dict[str, Any]:
    """The event of one of a notification's alerts."""
    alert = entry["alert"]
    action = _ACTIONS.get(entry["event"], "trigger")
    event: dict[str, Any] = {"routing_key": routing_key, "event_action": action, "dedup_key": alert["id"]}
    if action == "trigger":
        sections = [section for section in message.sections if section.alert in ("", alert["id"])]
        event |= {
            "client": "Monitor",
            **({"client_url": alert["link"]} if alert["link"] else {}),
            "links": _links(sections),
            "payload": {
                "summary": fitted(
                    content["title"]
                    if len(content["alerts"]) == 1
                    else entry.get("title") or entry["annotations"]["summary"],
                    SUMMARY,
                ),
                "source": alert["monitor"] or "production-monitor",
                "severity": alert["severity"] if alert["severity"] in ("critical", "warning") else "info",
                "timestamp": content["timestamp"],
                "component": entry["labels"]["model"],
                "group": entry["labels"].get("team", ""),
                "class": alert["kind"],
                "custom_details": _details(sections),
            },
        }
    return event


def _details(sections: Sequence[Section]) -> dict[str, str]:
    """The message as PagerDuty shows it, a row a part; what it is about has a row each."""
    details: dict[str, str] = {}
    for section in sections:
        if section.role == "about":
            details |= {name.capitalize(): value for name, _, value in (line.partition(": ") for line in section.lines)}
        elif section.lines:
            details[section.heading or ("Reminder" if section.role == "reminder" else "Summary")] = fitted(
                "\n".join(section.lines), _DETAIL
            )
    return details


def _links(sections: Sequence[Section]) -> list[dict[str, str]]:
    """The alert's pages, and where it says more."""
    return [{"href": link.url, "text": link.title} for section in sections for link in section.links]
