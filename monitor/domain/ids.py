"""Ids are UUIDv5 of natural keys: the same work done twice, on any machine, has the same id."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from monitor.errors import NotFoundError, UsageError

T = TypeVar("T")
_NAMESPACE = uuid.UUID("6f5c1e0e-6b0f-5d3a-9a51-6d6f6e69746f")


def natural_id(kind: str, *parts: object) -> str:
    """The UUIDv5 of a natural key: `kind` is the noun (`run`, `alert`, …), `parts` the key in its order."""
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join([kind, *map(_escaped, parts)])))


def key_hash(*parts: object) -> bytes:
    """32 bytes that stand for a long unique key (InnoDB's index entries end at 3,072 bytes)."""
    return hashlib.sha256("\x1f".join(map(_escaped, parts)).encode()).digest()


def key_text(part: object) -> str:
    """A part of a key as text; times in UTC with microseconds, so that equal times are equal text."""
    if isinstance(part, datetime):
        return part.isoformat(timespec="microseconds")
    return str(part)


def _escaped(part: object) -> str:
    """A part that the separator can be put between: a name that holds it stays one name."""
    return key_text(part).replace("\x1e", "\x1e\x1e").replace("\x1f", "\x1e\x1d")


def one(rows: Sequence[T], noun: str, id_start: str) -> T:
    """The only row whose id begins with `id_start`. Raises NotFoundError for none and UsageError for several."""
    if not rows:
        raise NotFoundError(f"there is no {noun} whose id begins with {id_start}")
    if len(rows) > 1:
        raise UsageError(f"several {noun}s have an id that begins with {id_start}; write more of it")
    return rows[0]
