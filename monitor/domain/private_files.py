"""What this service writes is for its own user alone: predictions and the people who look at them are in it."""

from __future__ import annotations

import os

_usual: int | None = None


def keep_private() -> None:
    """From now on new files of this process can be read by nobody else (0600, folders 0700)."""
    global _usual
    before = os.umask(0o077)
    _usual = before if _usual is None else _usual


def usual_umask() -> int:
    """The file mode mask that this process began with: for what people start by it; -1 where it never changed."""
    return -1 if _usual is None else _usual
