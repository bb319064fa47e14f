"""Telegram's Bot API (https://core.telegram.org/bots/api#sendmessage): HTML of its few tags, links as buttons below the message."""

from __future__ import annotations

from html import escape
from typing import Any, Unpack

from monitor import outgoing
from monitor.alerting.channels.card import MORE, Card, card, fitted, is_public_name
from monitor.alerting.message import Link, Section

# By the Bot API: characters of a message without its tags, as UTF-16 has them, and buttons of a message.
LONGEST, BUTTONS = 4096, 100
_IN_A_ROW = 3


class Telegram:
    """A chat, by a bot's token and the chat's id or @name."""

    def __init__(self, url: str, token: str, chat_id: str, **rules: Unpack[outgoing.Rules]) -> None:
        self._url, self._chat_id, self._rules = f"{url.rstrip('/')}/bot{token}/sendMessage", chat_id, rules

    def send(self, notification_id: str, body: bytes) -> str:
        """Send the message. Raises DeliveryError."""
        del notification_id
        content = {"chat_id": self._chat_id, **as_telegram(card(body))}
        answer = outgoing.post_json(self._url, content, **self._rules)
        return f"{answer.status} in {answer.seconds:.2f} s"

    def reach(self) -> str:
        """Connect to the host."""
        return outgoing.reach(self._url, **self._rules)


def as_telegram(message: Card) -> dict[str, Any]:
    """What is sent, without the chat. A message of no urgency makes no sound."""
    title = f"{message.icon} {message.title}"
    lines, size = [f"<b>{escape(title, quote=False)}</b>"], _size(title)
    for line, shown in (pair for section in message.sections for pair in _lines(section)):
        if size + 1 + _size(shown) > LONGEST - len(MORE) - 1:
            lines.append(MORE)
            break
        lines.append(line)
        size += 1 + _size(shown)
    rows = [row for section in message.sections for row in _buttons(section)][: BUTTONS // _IN_A_ROW]
    return {
        "text": "\n".join(lines), "parse_mode": "HTML", "link_preview_options": {"is_disabled": True},
        "disable_notification": message.level in ("info", "over"), **({"reply_markup": {"inline_keyboard": rows}} if rows else {}),
    }  # fmt: skip


def _buttons(section: Section) -> list[list[dict[str, str]]]:
    """Its links, a few in a row."""
    found = [{"text": link.title, "url": link.url} for link in section.links if is_public_name(link.url)]
    return [found[place : place + _IN_A_ROW] for place in range(0, len(found), _IN_A_ROW)]


def _lines(section: Section) -> list[tuple[str, str]]:
    """Each line of a section as HTML, and as it is shown."""
    start = "• " if section.heading else ""
    heading = [("", ""), (f"<b>{escape(section.heading, quote=False)}</b>", section.heading)]
    texts = [f"{start}{fitted(line, LONGEST // 2, _size)}" for line in section.lines]
    links = [_as_text(link, start) for link in section.links if not is_public_name(link.url)]
    found = [*((escape(text, quote=False), text) for text in texts), *links]
    if not found:
        return []  # its links are buttons
    return [*heading, *found] if section.heading else [("", ""), *found]


def _as_text(link: Link, start: str) -> tuple[str, str]:
    text = f"{start}{link.title}: {link.url}"
    return escape(text, quote=False), text


def _size(text: str) -> int:
    """The length as Telegram counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
