"""Slack's incoming webhooks, as blocks (https://docs.slack.dev/reference/block-kit/blocks).

Names of the log stand in `rich_text` elements, which are shown as they are, and in `plain_text` with & < > escaped:
nothing is parsed as mrkdwn.
Links are links and no buttons: a button asks its app for an answer, and an incoming webhook has none that answers.
"""

from __future__ import annotations

import json
from typing import Any

from monitor.alerting.channels.card import MORE, Card, card, fitted
from monitor.alerting.channels.posting import Posting
from monitor.alerting.message import Section

# By Slack's documentation: of a header, a text, a link, a message's blocks, a section's fields.
HEADER, TEXT, ADDRESS, BLOCKS, FIELDS, FIELD = 150, 3000, 3000, 50, 10, 2000
# Slack refuses messages whose blocks are too long together (`msg_blocks_too_long`, about 13,200 characters).
TOGETHER = 12_000
_SMALL = ("before", "earlier", "affected", "more", "commands", "reminder")
_Block = dict[str, Any]


class Slack(Posting):
    """A channel of Slack, by the address of an incoming webhook."""

    def send(self, notification_id: str, body: bytes) -> str:
        """Post the message. Raises DeliveryError."""
        del notification_id
        return self._post(as_slack(card(body)))


def as_slack(message: Card) -> dict[str, Any]:
    """The body for an incoming webhook. `text` is what a phone's notification shows."""
    header = {"type": "header", "text": _plain(f"{message.icon} {message.title}", HEADER)}
    blocks = [block for section in message.sections for block in _blocks(section)]
    return {
        "text": fitted(message.title, TEXT, _length).translate(_ESCAPES),
        "mrkdwn": False,
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": _bounded([header, *blocks]),
    }


_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def _length(text: str) -> int:
    """Of a text when it is escaped."""
    return len(text.translate(_ESCAPES))


def _plain(text: str, most: int) -> _Block:
    return {"type": "plain_text", "text": fitted(text, most, _length).translate(_ESCAPES), "emoji": False}


def _blocks(section: Section) -> list[_Block]:
    if section.role == "about":
        return [{"type": "section", "fields": [_plain(line, FIELD) for line in section.lines[:FIELDS]]}]
    if section.role in _SMALL:
        text = "\n".join([section.heading, *section.lines] if section.heading else section.lines)
        return [{"type": "context", "elements": [_plain(text, FIELD)]}]
    links = [
        {"type": "link", "url": link.url, "text": link.title} for link in section.links if len(link.url) <= ADDRESS
    ]
    return [{"type": "rich_text", "elements": [*_lines(section), *([_joined(links)] if links else [])]}]


def _lines(section: Section) -> list[_Block]:
    lines = [fitted(line, TEXT - 1) for line in section.lines]
    if not section.heading:
        return [_row(_word(f"{line}\n")) for line in lines]
    rows = [_row(_word(line)) for line in lines if line]  # an empty text is refused
    heading = _row({"type": "text", "text": section.heading, "style": {"bold": True}})
    return [heading, {"type": "rich_text_list", "style": "bullet", "elements": rows}] if rows else [heading]


def _word(text: str) -> _Block:
    return {"type": "text", "text": text}


def _row(*elements: _Block) -> _Block:
    return {"type": "rich_text_section", "elements": list(elements)}


def _joined(links: list[_Block]) -> _Block:
    """Links in one line."""
    return _row(*[element for link in links for element in (_word("  ·  "), link)][1:])


def _bounded(blocks: list[_Block]) -> list[_Block]:
    """As many as Slack takes."""
    kept: list[_Block] = []
    size = 0
    for block in blocks:
        size += len(json.dumps(block, ensure_ascii=False))
        if kept and (size > TOGETHER or len(kept) == BLOCKS - 1):
            return [*kept, {"type": "context", "elements": [_plain(MORE, FIELD)]}]
        kept.append(block)
    return kept
