"""Any service that Apprise knows (Slack, Teams, e-mail, PagerDuty, …), by its URL. Apprise opens its own connections,
in a process of its own that can be ended.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from certifi import where as usual_authorities
from markupsafe import escape

from monitor.alerting.channels.process import end
from monitor.errors import DeliveryError
from monitor.outgoing import DIRECT, Network

# A script without this package, so that it starts fast; `-P` keeps this folder, in which `apprise.py` lies, from hiding
# Apprise.
_SCRIPT = [sys.executable, "-P", str(Path(__file__).with_name("apprise_process.py"))]
_STARTS_S = 60.0
_CALL = re.compile(r"@(?=everyone|here|channel|all|room)", re.IGNORECASE)


class AppriseSender:
    """One Apprise URL. pictures: PNGs by file name that go along, where the service takes attachments."""

    def __init__(
        self,
        url: str,
        pictures: Mapping[str, bytes] | None = None,
        timeout_s: float = _STARTS_S,
        network: Network = DIRECT,
    ) -> None:
        self._url, self._pictures, self._timeout_s, self._network = url, dict(pictures or {}), timeout_s, network

    def send(self, notification_id: str, body: bytes) -> str:
        """Hand the message to Apprise in both forms, each without the title, which services show by themselves. Raises
        DeliveryError where it says that it failed, or does not end in time.
        """
        del notification_id
        message = json.loads(body)
        kind = {"critical": "failure", "warning": "warning"}.get(message["alert"]["severity"], "info")
        if message["alert"]["state"] == "resolved":
            kind = "success"
        with TemporaryDirectory(prefix="monitor-") as folder:
            attached = [Path(folder) / name for name in self._pictures]
            for file, png in zip(attached, self._pictures.values(), strict=True):
                file.write_bytes(png)
            return self._ask(
                folder,
                {
                    "title": _calling_nobody(message["title"]),
                    "text": _calling_nobody(
                        message["text"].removeprefix(message["title"]).lstrip("\n") or message["title"]
                    ),
                    "html": _calling_nobody(
                        message.get("html", "").removeprefix(f"<h2>{escape(message['title'])}</h2>").lstrip()
                    ),
                    "type": kind,
                    "attach": [str(file) for file in attached],
                },
            )

    def reach(self) -> str:
        """See that Apprise knows this kind of URL: whether somebody answers shows a test message alone."""
        with TemporaryDirectory(prefix="monitor-") as folder:
            return self._ask(folder, None)

    def _ask(self, folder: str, message: dict[str, Any] | None) -> str:
        """Let Apprise send a message, or only read its URL, which may hold secrets and so goes by standard input."""
        process = subprocess.Popen(  # noqa: S603 - our own script
            _SCRIPT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=self._environment(folder),
        )
        try:
            request = {"url": self._url, "message": message, "timeout_s": self._timeout_s}
            output, _ = process.communicate(json.dumps(request).encode(), timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            end(process)
            raise DeliveryError(f"Apprise took longer than {self._timeout_s:.0f} s") from None
        try:
            answer = json.loads(output.splitlines()[-1])
        except (ValueError, IndexError):
            raise DeliveryError(f"Apprise ended with {process.returncode} and said nothing") from None
        if answer["error"]:
            raise DeliveryError(answer["error"], permanent=answer["permanent"])
        return str(answer["text"])

    def _environment(self, folder: str) -> dict[str, str]:
        """Where Apprise's libraries look for the way out of this network."""
        environment = dict(os.environ)
        if self._network.proxy:
            environment |= dict.fromkeys(
                ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), self._network.proxy
            )
        if self._network.ca_file:
            both = Path(folder) / "authorities.pem"
            try:
                both.write_bytes(
                    Path(usual_authorities()).read_bytes() + b"\n" + Path(self._network.ca_file).read_bytes()
                )
            except OSError as error:
                raise DeliveryError(f"outgoing.ca_file: {error}") from None
            environment |= dict.fromkeys(("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"), str(both))
        return environment


def _calling_nobody(text: str) -> str:
    """Text in which no name of the log calls everybody of a chat: services look for these words behind an @ in plain
    text, too.
    """
    return _CALL.sub("@\u200b", text)
