"""Webhooks signed by the Standard Webhooks convention (https://www.standardwebhooks.com)."""

from __future__ import annotations

from monitor import outgoing


class Webhook:
    """A URL that takes a signed POST."""

    def __init__(self, url: str, secret: str | None, *, allow_private: bool) -> None:
        self._url = url
        self._secret = secret
        self._allow_private = allow_private

    def send(self, notification_id: str, body: bytes) -> str:
        """POST the body; success is a 2xx. Raises DeliveryError otherwise."""
        answer = outgoing.post_signed(
            self._url, notification_id, body.decode(), self._secret, allow_private=self._allow_private
        )
        return f"{answer.status} in {answer.seconds:.2f} s: {answer.text[:200]}".rstrip(": ")

    def reach(self) -> str:
        """Connect to the host."""
        return outgoing.reach(self._url, allow_private=self._allow_private)
