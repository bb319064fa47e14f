"""Telegram's Bot API (https://core.telegram.org/bots/api#sendmessage): HTML of its few tags, links as buttons below the
message, a picture with the message as its caption.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Unpack

from monitor import outgoing
from monitor.alerting.channels.card import MORE, Card, card, fitted, is_public_name
from monitor.alerting.channels.posting import Posting, answer_text
from monitor.alerting.message import Link, Section

# By the Bot API: characters of a message and of a caption without its tags, as UTF-16 has them, and buttons of a
# message.
LONGEST, CAPTION, BUTTONS = 4096, 1024, 100
# What comes first where there is little room.
_FIRST = ("summary", "steps", "changes")
_IN_A_ROW = 3


class Telegram(Posting):
    """A chat, by a bot's token and the chat's id or @name. pictures: PNGs by file name, of which the first goes
    along.
    """

    def __init__(
        self,
        url: str,
        token: str,
        chat_id: str,
        pictures: Mapping[str, bytes] | None = None,
        **rules: Unpack[outgoing.Rules],
    ) -> None:
        super().__init__(f"{url.rstrip('/')}/bot{token}", **rules)
        self._chat_id = chat_id
        self._pictures = dict(pictures or {})

    def send(self, notification_id: str, body: bytes) -> str:
        """Send the message. Raises DeliveryError."""
        del notification_id
        message, chat = card(body), {"chat_id": self._chat_id}
        if not self._pictures:
            return self._post(chat | as_telegram(message), path="/sendMessage")
        name, png = next(iter(self._pictures.items()))
        fields = {
            key: value if isinstance(value, str) else json.dumps(value) for key, value in as_photo(message).items()
        }
        return answer_text(
            outgoing.post_form(
                f"{self._url}/sendPhoto", chat | fields, {"photo": (name, png, "image/png")}, **self._rules
            )
        )


def as_telegram(message: Card) -> dict[str, Any]:
    """A message without its chat. One of no urgency makes no sound."""
    return {
        "text": _text(message, message.sections, LONGEST),
        "link_preview_options": {"is_disabled": True},
        **_look(message),
    }


def as_photo(message: Card) -> dict[str, Any]:
    """The same as the caption of a picture, which is shorter: what to do comes before what changed."""
    order = {role: place for place, role in enumerate(_FIRST)}
    sections = sorted(message.sections, key=lambda section: order.get(section.role, len(order)))
    return {"caption": _text(message, sections, CAPTION), **_look(message)}


def _look(message: Card) -> dict[str, Any]:
    rows = [row for section in message.sections for row in _buttons(section)][: BUTTONS // _IN_A_ROW]
    return {
        "parse_mode": "HTML",
        "disable_notification": message.level in ("info", "over"),
        **({"reply_markup": {"inline_keyboard": rows}} if rows else {}),
    }


def _text(message: Card, sections: Sequence[Section], most: int) -> str:
    """Headline and sections as HTML, as many lines as have room."""
    title = f"{message.icon} {message.title}"
    lines, size = [f"<b>{escape(title, quote=False)}</b>"], _size(title)
    for line, shown in (pair for section in sections for pair in _lines(section, most // 2)):
        if size + 1 + _size(shown) > most - len(MORE) - 1:
            lines.append(MORE)
            break
        lines.append(line)
        size += 1 + _size(shown)
    return "\n".join(lines)


def _buttons(section: Section) -> list[list[dict[str, str]]]:
    """Its links, a few in a row."""
    buttons = [{"text": link.title, "url": link.url} for link in section.links if is_public_name(link.url)]
    return [buttons[place : place + _IN_A_ROW] for place in range(0, len(buttons), _IN_A_ROW)]


def _lines(section: Section, most: int) -> list[tuple[str, str]]:
    """Each line of a section as HTML, and as it is shown. most: characters of a line."""
    start = "• " if section.heading else ""
    heading = [("", ""), (f"<b>{escape(section.heading, quote=False)}</b>", section.heading)]
    texts = [f"{start}{fitted(line, most, _size)}" for line in section.lines]
    links = [_as_text(link, start) for link in section.links if not is_public_name(link.url)]
    lines = [*((escape(text, quote=False), text) for text in texts), *links]
    if not lines:
        return []  # its links are buttons
    return [*heading, *lines] if section.heading else [("", ""), *lines]


def _as_text(link: Link, start: str) -> tuple[str, str]:
    text = f"{start}{link.title}: {link.url}"
    return escape(text, quote=False), text


def _size(text: str) -> int:
    """The length as Telegram counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
