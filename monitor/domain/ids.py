"""Ids are UUIDv5 of natural keys: the same work done twice, on any machine, has the same id."""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime

_NAMESPACE = uuid.UUID("6f5c1e0e-6b0f-5d3a-9a51-6d6f6e69746f")


def natural_id(kind: str, *parts: object) -> str:
    """The UUIDv5 of a natural key: `kind` is the noun (`run`, `alert`, …), `parts` the key in its order."""
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join([kind, *(key_text(part) for part in parts)])))


def key_hash(*parts: object) -> bytes:
    """32 bytes that stand for a long unique key (InnoDB's index entries end at 3,072 bytes)."""
    return hashlib.sha256("\x1f".join(key_text(part) for part in parts).encode()).digest()


def key_text(part: object) -> str:
    """A part of a key as text; times in UTC with microseconds, so that equal times are equal text."""
    if isinstance(part, datetime):
        return part.isoformat(timespec="microseconds")
    return str(part)
