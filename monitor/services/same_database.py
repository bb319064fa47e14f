"""Check that the report database is the one that this machine knows. The daemon does not work on a server that comes
back empty or with another history.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from monitor.errors import SchemaVersionError
from monitor.storage import people
from monitor.storage.database import Database, head_revision

_PURPOSE = "identity"


@dataclass(frozen=True)
class DatabaseIdentity:
    """How a daemon recognises its report database: by a secret stored in it, and by the revision of its schema."""

    identity: str
    revision: str


def require_not_emptied(database: Database, cache: Path) -> None:
    """Refuse an empty database of a server if this machine has worked on a filled one before: it may be a replica
    without the history. Raises SchemaVersionError.

    A missing SQLite file is created: somebody has removed it.
    """
    note = _note(database, cache)
    if database.is_sqlite or database.revision() is not None or not note.exists():
        return
    since = datetime.fromtimestamp(note.stat().st_mtime, UTC)
    raise SchemaVersionError(
        f"the report database {database.shown} is empty, and this machine has worked on one of that address before"
        f" (last on {since:%Y-%m-%d %H:%M} UTC): is it another server's? If it is to be a new one, `monitor migrate`"
        " makes it"
    )


def remembered(database: Database, cache: Path) -> DatabaseIdentity:
    """The identity of the report database; a note of it is kept in this machine's cache."""
    identity = database.transact(people.service_key, _PURPOSE)
    with suppress(OSError):  # where no note can be kept, an empty database is taken for a new one
        note = _note(database, cache)
        note.parent.mkdir(mode=0o700, exist_ok=True)
        note.write_text(identity)
    return DatabaseIdentity(identity, head_revision())


def require_same(database: Database, expected: DatabaseIdentity) -> None:
    """Raise SchemaVersionError where the database has been emptied, is another one, or was migrated by another version
    of Monitor.
    """
    revision = database.revision()
    if revision is None:
        raise SchemaVersionError(
            f"the report database {database.shown} has become empty: it is not worked on until it has its history again"
        )
    if revision != expected.revision:
        raise SchemaVersionError(
            f"the report database {database.shown} was migrated to schema {revision} while this daemon, of schema"
            f" {expected.revision}, was at work: start it anew with the newer version"
        )
    if database.read(people.service_key_if_made, _PURPOSE) != expected.identity:
        raise SchemaVersionError(
            f"the report database {database.shown} is another one than before: start the daemon anew if that is meant"
        )


def _note(database: Database, cache: Path) -> Path:
    return cache / "databases" / hashlib.sha256(database.shown.encode()).hexdigest()[:32]
