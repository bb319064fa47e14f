"""A message in parts, as channels with a form of their own place them: read from a notification's JSON, and cut to what
a service takes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from monitor.alerting.message import Link, Section

# What is left out where a service takes no more.
MORE = "The message is longer: open the alert for the rest."
_ICONS = {"critical": "🔴", "warning": "🟠"}
# Sections that are shown only if a message is about a single alert.
_SINGLE_ALERT_ROLES = ("about", "before", "earlier", "commands")


@dataclass(frozen=True)
class Card:
    """A message. level: `critical`, `warning`, `info`, or `over` for what has ended. link: the page of its first alert,
    '' without.
    """

    title: str
    level: str
    link: str
    sections: list[Section]

    @property
    def icon(self) -> str:
        """The level as a sign, beside the words that say it."""
        return "🟢" if self.level == "over" else _ICONS.get(self.level, "🔵")

    @property
    def links(self) -> list[Link]:
        """The pages of its first alert."""
        return next((list(section.links) for section in self.sections if section.links), [])


def card(body: bytes) -> Card:
    """The message of a notification. Commands are left out where the same is done by a link."""
    content = json.loads(body)
    alert = content["alert"]
    over = alert["state"] in ("resolved", "retracted")
    level = "over" if over else alert["severity"] if alert["severity"] in ("critical", "warning") else "info"
    text = content["text"].removeprefix(content["title"]).strip()
    given: list[dict[str, Any]] = content.get("sections") or [{"heading": "", "lines": text.splitlines()}]
    sections = [
        Section(
            section["heading"],
            section["lines"],
            section.get("role", ""),
            [Link(**link) for link in section.get("links", ())],
            section.get("alert", ""),
        )
        for section in given
    ]
    left_out = _SINGLE_ALERT_ROLES if len(content["alerts"]) > 1 else ("commands",) if alert.get("link") else ()
    return Card(
        content["title"],
        level,
        alert.get("link", ""),
        [section for section in sections if section.role not in left_out],
    )


def fitted(text: str, most: int, size: Callable[[str], int] = len) -> str:
    """The text, cut with an ellipsis to what has at most this size, which grows with each character."""
    if size(text) <= most:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(text[:middle]) <= most - size("…") else (low, middle - 1)
    return text[:low].rstrip() + "…"


def is_public_name(url: str) -> bool:
    """Whether a link leads to a host with a full name, which is all that some services take: no `localhost`."""
    return "." in (urlsplit(url).hostname or "")
