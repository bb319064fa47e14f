"""ntfy (https://docs.ntfy.sh/publish/#publish-as-json): a notification on phones, with a priority, a page to open and
buttons.
"""

from __future__ import annotations

from typing import Any, Unpack

from monitor import outgoing
from monitor.alerting.channels.card import MORE, Card, card, fitted
from monitor.alerting.channels.posting import Posting
from monitor.alerting.message import Section

# By ntfy's documentation: bytes of a message (a longer one becomes a file), and buttons.
LONGEST, BUTTONS = 4096, 3
_PRIORITIES = {"critical": 5, "warning": 4, "info": 3, "over": 3}
# By ntfy's list of tags that are shown as signs.
_TAGS = {"critical": "rotating_light", "warning": "warning", "info": "information_source", "over": "white_check_mark"}
_SHOWN = ("", "summary", "changes", "steps", "more", "affected")


class Ntfy(Posting):
    """A topic of a server. token: '' where none is needed."""

    def __init__(self, url: str, topic: str, token: str = "", **rules: Unpack[outgoing.Rules]) -> None:
        super().__init__(url, **rules)
        self._topic = topic
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    def send(self, notification_id: str, body: bytes) -> str:
        """Publish the message. Raises DeliveryError."""
        del notification_id
        return self._post({"topic": self._topic, **as_ntfy(card(body))}, self._headers)


def as_ntfy(message: Card) -> dict[str, Any]:
    """What is published, without the topic: plain text, which the apps show as it is."""
    lines, size = list[str](), 0
    for line in (line for section in message.sections if section.role in _SHOWN for line in _lines(section)):
        size += _size(line) + 1
        if size > LONGEST - _size(MORE) - 1:
            lines.append(MORE)
            break
        lines.append(line)
    actions = [{"action": "view", "label": link.title, "url": link.url} for link in message.links[:BUTTONS]]
    return {
        "title": message.title,
        "message": "\n".join(lines).strip(),
        "priority": _PRIORITIES[message.level],
        "tags": [_TAGS[message.level]],
        **({"click": message.link} if message.link else {}),
        **({"actions": actions} if actions else {}),
    }


def _lines(section: Section) -> list[str]:
    lines = [fitted(line, LONGEST // 2, _size) for line in section.lines]
    if not section.heading or not lines:
        return lines
    return ["", section.heading, *(f"- {line}" for line in lines)]


def _size(text: str) -> int:
    return len(text.encode(errors="replace"))
