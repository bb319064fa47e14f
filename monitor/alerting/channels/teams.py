"""Microsoft Teams: an Adaptive Card for a workflow's webhook
(https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using).

Names of the log stand in text runs, which are shown as they are: Markdown is read in `TextBlock` and in facts alone,
and there are none.
"""

from __future__ import annotations

import json
from typing import Any

from monitor.alerting.channels.card import MORE, Card, card
from monitor.alerting.channels.posting import Posting
from monitor.alerting.message import Section

# A workflow refuses messages of about 28 KB and more.
LONGEST = 26_000
_STYLES = {"critical": "attention", "warning": "warning", "over": "good"}
_Element = dict[str, Any]


class Teams(Posting):
    """A channel or chat of Teams, by the address of a workflow that posts what it receives."""

    def send(self, notification_id: str, body: bytes) -> str:
        """Post the message. Raises DeliveryError."""
        del notification_id
        return self._post(as_teams(card(body)))


def as_teams(message: Card) -> dict[str, Any]:
    """The body for a workflow's webhook, cut at the end of an element where it would be too long."""
    headline = {
        "type": "Container",
        "style": _STYLES.get(message.level, "accent"),
        "bleed": True,
        "items": [_text(_run(message.title, size="large", weight="bolder"))],
    }
    elements = [headline, *(element for section in message.sections for element in _elements(section))]
    body = _message(message.title, elements)
    while len(json.dumps(body)) > LONGEST and len(elements) > 1:
        elements.pop()
        body = _message(message.title, [*elements, _text(_run(MORE, isSubtle=True))])
    return body


def _message(title: str, elements: list[_Element]) -> dict[str, Any]:
    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": elements,
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": content}
    return {"type": "message", "summary": title, "attachments": [attachment]}


def _elements(section: Section) -> list[_Element]:
    heading = [_text(_run(section.heading, weight="bolder"), spacing="medium")] if section.heading else []
    if section.role == "about":
        lines = [
            _text(_run(f"{name}: ", isSubtle=True), _run(value), spacing="none")
            for name, _, value in (line.partition(": ") for line in section.lines)
        ]
    else:
        start = "• " if section.heading else ""
        lines = [_text(_run(f"{start}{line}"), spacing="small") for line in section.lines if line]
    actions = [{"type": "Action.OpenUrl", "title": link.title, "url": link.url} for link in section.links]
    return [*heading, *lines, *([{"type": "ActionSet", "actions": actions}] if actions else [])]


def _text(*runs: _Element, spacing: str = "default") -> _Element:
    return {"type": "RichTextBlock", "inlines": list(runs), "spacing": spacing}


def _run(text: str, **look: Any) -> _Element:
    return {"type": "TextRun", "text": text, **look}
