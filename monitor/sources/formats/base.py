"""What a format of records does: recognise one by looking, and make rows of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, ClassVar

from monitor.sources.spec import ReadSpec

# The columns of rows: of which call they are, when it was, and, of half a row, of which side it is.
ID, TIME, SIDE = "request_id", "event_time", "monitor_side"


class UnreadableRecord(Exception):
    """A record is not what its format says, or a row cannot be made of it; the text says why, without a value."""


class Format(ABC):
    """A way in which a tool or a cloud writes a prediction log.

    name: as `source.read.format` has it. title: for people. shares_ids: rows that follow each other may have one id;
        they are then numbered.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    shares_ids: ClassVar[bool] = False

    @abstractmethod
    def recognises(self, record: dict[str, Any]) -> bool:
        """Whether a record is of this format, by the names that it holds."""

    @abstractmethod
    def rows(self, record: dict[str, Any], read: ReadSpec, file: str) -> Iterable[dict[str, Any]]:
        """The rows of a record, one a prediction; of half a row what there is of it, with `SIDE`. file: where the
        record is. Raises UnreadableRecord.
        """

    def roles(self, _files: list[str]) -> dict[str, str]:
        """Which column plays which part (`Columns`), as far as the format itself says."""
        return {}


def named(identity: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of one call with its id; of several each with its position behind it: `7f3a-0`, `7f3a-1`."""
    if identity is None:
        return rows
    several = len(rows) > 1
    return [{ID: f"{identity}-{place}" if several else str(identity), **row} for place, row in enumerate(rows)]


def moment_of(value: Any) -> Any:
    """A time as text of ISO 8601; numbers are milliseconds since 1970."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return datetime.fromtimestamp(value / 1000, UTC).isoformat()
    return value
