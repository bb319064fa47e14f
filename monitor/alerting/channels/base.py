"""What every channel can do."""

from __future__ import annotations

from typing import Protocol


class Channel(Protocol):
    """Carries a message to people or machines."""

    def send(self, notification_id: str, body: bytes) -> str:
        """Deliver the bytes of a notification (JSON, see docs/reference/webhook.md) once. Returns what the receiver
        answered.

        Raises DeliveryError where it was not delivered; `permanent` says that trying again is of no use.
        """
        ...

    def reach(self) -> str:
        """See, without sending anything, whether somebody answers there. Returns what was seen; raises
        DeliveryError.
        """
        ...
