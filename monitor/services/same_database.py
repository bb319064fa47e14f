"""That the report database is the one that this machine knows: a server that comes back empty, or with another history,
is not worked on.
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
    """What a daemon knows its report database by: a secret of the database's own, and the revision of its schema."""

    identity: str
    revision: str


def require_not_emptied(database: Database, cache: Path) -> None:
    """Refuse a server's empty database where this machine has worked on one before: a replica that has nothing of the
    history. Raises SchemaVersionError.

    A SQLite file that is not there was taken away by somebody, and is made.
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
    """What the report database is known by from now on; a note of it is kept in this machine's cache."""
    identity = database.transact(people.service_key, _PURPOSE)
    with suppress(OSError):  # where no note can be kept, an empty database is taken for a new one
        note = _note(database, cache)
        note.parent.mkdir(mode=0o700, exist_ok=True)
        note.write_text(identity)
    return DatabaseIdentity(identity, head_revision())


def require_same(database: Database, known: DatabaseIdentity) -> None:
    """Raise SchemaVersionError where the database has been emptied, is another one, or was migrated by another version
    of Monitor.
    """
    found = database.revision()
    if found is None:
        raise SchemaVersionError(
            f"the report database {database.shown} has become empty: it is not worked on until it has its history again"
        )
    if found != known.revision:
        raise SchemaVersionError(
            f"the report database {database.shown} was migrated to schema {found} while this daemon, of schema"
            f" {known.revision}, was at work: start it anew with the newer version"
        )
    if database.read(people.service_key_if_made, _PURPOSE) != known.identity:
        raise SchemaVersionError(
            f"the report database {database.shown} is another one than before: start the daemon anew if that is meant"
        )


def _note(database: Database, cache: Path) -> Path:
    return cache / "databases" / hashlib.sha256(database.shown.encode()).hexdigest()[:32]
