"""Run as a script: sends one message by Apprise. JSON on standard input and output, see `apprise.AppriseSender`."""

from __future__ import annotations

import json
import logging
import math
import signal
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import apprise

_UNKNOWN = "Apprise does not know this kind of URL; see its documentation for the service's form"

# Services that send e-mail, which shows HTML; Apprise adds a plain part.
_MAIL = {
    "NotifyEmail",
    "NotifyMailgun",
    "NotifyOffice365",
    "NotifyPostmark",
    "NotifyResend",
    "NotifySES",
    "NotifySendGrid",
    "NotifySMTP2Go",
    "NotifySparkPost",
}


class _LastLog(logging.Handler):
    """Keeps the last warning of Apprise, which writes the reason of a failure only into its log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.text = record.getMessage()[:300]


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What became of a request: `text`, or `error` and whether it is `permanent`."""
    signal.alarm(math.ceil(request["timeout_s"]))  # it ends by itself where whoever started it is gone
    sender, heard, message = apprise.Apprise(), _LastLog(), request["message"]
    logging.getLogger("apprise").addHandler(heard)
    if not sender.add(request["url"]):
        return {"text": "", "error": _UNKNOWN, "permanent": True}
    if message is None:
        return {"text": "the address has a form that Apprise knows", "error": "", "permanent": False}
    form = apprise.NotifyFormat.TEXT
    wants_text = parse_qs(urlsplit(request["url"]).query).get("format") == ["text"]
    for service in sender:
        if message["html"] and not wants_text and type(service).__name__ in _MAIL:
            form = apprise.NotifyFormat.HTML
            if message["attach"] and hasattr(service, "inline"):
                service.inline = True
                message["html"] = with_pictures(message["html"], [Path(file).name for file in message["attach"]])
    delivered = sender.notify(
        title=message["title"],
        body=message["html" if form == apprise.NotifyFormat.HTML else "text"],
        # A body declared as text is escaped for each service. Otherwise `<!channel>` would call everybody.
        body_format=form,
        notify_type=message["type"],
        attach=message["attach"] or None,
    )
    failed = "" if delivered else f"Apprise could not deliver: {heard.text or 'the service refused'}"
    return {"text": "accepted", "error": failed, "permanent": False}


def with_pictures(html: str, names: list[str]) -> str:
    """A mail in which the first picture stands below what it shows, before the first heading, and the others at the
    end. Those that a template has placed stay.
    """
    images = [
        f'<p><img src="cid:{name}" alt="{name}" style="max-width: 100%"></p>\n'
        for name in names
        if f"cid:{name}" not in html
    ]
    place = html.find("<h3>")
    place = len(html) if place < 0 else place
    return "".join([html[:place], *images[:1], html[place:], "\n" if images else "", *images[1:]])


if __name__ == "__main__":
    print(json.dumps(answer(json.load(sys.stdin))))
