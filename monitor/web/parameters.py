"""What requests carry as text or numbers and the database takes as something else: times, lengths of time, cursors.
Every handler reads them here.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime

from monitor.domain.grid import Duration
from monitor.domain.text import quoted
from monitor.errors import UsageError

# Times outside are nobody's: within, a length of time may be added or a zone changed, and databases keep what comes of
# it (MariaDB begins with the year 1000).
_FIRST, _END = datetime(1000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_LARGEST_ID = 2**63 - 1


def in_utc(given: datetime, name: str) -> datetime:
    """A time of a request in UTC; one without a zone is UTC. Raises UsageError for one outside the years 1000 to
    8999.
    """
    aware = given if given.tzinfo is not None else given.replace(tzinfo=UTC)
    if not _FIRST <= aware < _END:
        raise UsageError(f"{name}: {given.isoformat()} does not lie within the years 1000 to 8999")
    return aware.astimezone(UTC)


def moment(text: str, name: str) -> datetime | None:
    """A date or time of a form, in UTC; None for ''. Raises UsageError."""
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{name}: {quoted(text)} is no time; write one such as 2025-04-01") from None
    return in_utc(parsed, name)


def interval(start: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
    """What is asked for, in UTC; an end that is not given is as far as times go. Raises UsageError."""
    return in_utc(start, "start") if start is not None else _FIRST, in_utc(end, "end") if end is not None else _END


def end_after(start: datetime, length: str) -> datetime:
    """When what begins then and lasts so long ends. Raises UsageError for what is no length of time, or too long."""
    return start + Duration.parse(length).approximate()


def cursor_of(number: int) -> str:
    """The cursor of the page that follows the row of this number."""
    return base64.urlsafe_b64encode(str(number).encode()).decode()


def row_number(cursor: str | None) -> int | None:
    """The number that a cursor stands for. Raises UsageError."""
    if cursor is None:
        return None
    try:
        number = int(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, binascii.Error):
        number = -1
    if not 0 <= number <= _LARGEST_ID:
        raise UsageError("the cursor is not one of ours: take `next_cursor` of the page before")
    return number
