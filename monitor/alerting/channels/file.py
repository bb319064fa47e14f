"""A file to which each notification is appended as a line of JSON."""

from __future__ import annotations

import os
from pathlib import Path

from monitor.errors import DeliveryError


class File:
    """A file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, notification_id: str, body: bytes) -> str:
        """Append a line; it is on the disk when this returns. Raises DeliveryError."""
        line = b'{"id": "' + notification_id.encode() + b'", ' + body.strip()[1:] + b"\n"
        try:
            with open(self._path, "ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DeliveryError(f"{self._path}: {error.strerror}") from None
        return f"{len(line)} bytes written"

    def reach(self) -> str:
        """See that the file can be written."""
        if not os.access(self._path if self._path.exists() else self._path.parent, os.W_OK):
            raise DeliveryError(f"{self._path} cannot be written")
        return f"{self._path} can be written"
