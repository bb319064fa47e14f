"""Any service that Apprise knows (Slack, Teams, e-mail, PagerDuty, …), by its URL. Apprise opens its own connections."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from monitor.errors import DeliveryError


class AppriseSender:
    """One Apprise URL. picture: a PNG that goes along, where the service takes attachments."""

    def __init__(self, url: str, picture: bytes | None = None) -> None:
        self._url, self._picture = url, picture

    def send(self, notification_id: str, body: bytes) -> str:
        """Hand title and text to Apprise. Raises DeliveryError where it says that it failed."""
        import apprise

        del notification_id
        message = json.loads(body)
        sender = self._sender()
        kind = {"critical": apprise.NotifyType.FAILURE, "warning": apprise.NotifyType.WARNING}.get(
            message["alert"]["severity"], apprise.NotifyType.INFO
        )
        if message["alert"]["state"] == "resolved":
            kind = apprise.NotifyType.SUCCESS
        with _LastLog() as heard, TemporaryDirectory(prefix="monitor-") as folder:
            attached = None
            if self._picture is not None:
                attached = str(Path(folder) / "distributions.png")
                Path(attached).write_bytes(self._picture)
            delivered = sender.notify(title=message["title"], body=message["text"], notify_type=kind, attach=attached)
        if not delivered:
            raise DeliveryError(f"Apprise could not deliver: {heard.text or 'the service refused'}")
        return "accepted"

    def reach(self) -> str:
        """See that Apprise knows this kind of URL: whether somebody answers shows a test message alone."""
        self._sender()
        return "the address has a form that Apprise knows"

    def _sender(self) -> Any:
        import apprise  # takes a while to import, and few installations use it

        sender = apprise.Apprise()
        if not sender.add(self._url):
            raise DeliveryError(
                "Apprise does not know this kind of URL; see its documentation for the service's form", permanent=True
            )
        return sender


class _LastLog(logging.Handler):
    """Apprise tells the reason of a failure only in its log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()[:300]

    def __enter__(self) -> _LastLog:
        logging.getLogger("apprise").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)
