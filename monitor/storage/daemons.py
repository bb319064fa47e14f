"""The daemons that work on this database; and on SQLite the lock that lets in one at a time."""

from __future__ import annotations

import fcntl
import os
import socket
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from monitor.errors import AlreadyRunningError, DatabaseUnreachableError
from monitor.storage.database import database_now
from monitor.storage.tables import Daemon

# How often, in seconds, a daemon's loops that come round seldom do so.
LOOPS_S = {
    "prune": 3600.0,
    "tell_alive": 60.0,
    "alertmanager": 60.0,
    "verify": 60.0,
    "digest": 60.0,
    "canary": 60.0,
    "conditions": 60.0,
}
_LOOP_LATE_S = 15 * 60
_SILENT = timedelta(minutes=2)


def new_name() -> str:
    """A name that no daemon had before: a restarted pod must not keep the dead one's leases alive."""
    return f"{socket.gethostname()[:24]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def register(session: Session, name: str) -> None:
    """Write a daemon down as alive, once: the answer to the first COMMIT may be lost."""
    if session.scalar(select(Daemon.id).where(Daemon.name == name)) is None:
        now = database_now(session)
        session.add(Daemon(name=name, host=socket.gethostname(), pid=os.getpid(), started_at=now, heartbeat_at=now))


def beat(session: Session, name: str, loop_ages: Mapping[str, float]) -> None:
    """A daemon's heartbeat, with how many seconds ago each of its loops last came round."""
    now = database_now(session)
    loops = {loop: (now - timedelta(seconds=age)).isoformat() for loop, age in sorted(loop_ages.items())}
    session.execute(update(Daemon).where(Daemon.name == name).values(heartbeat_at=now, loops=loops))


def is_late(loop: str, silent_s: float) -> bool:
    """Whether a loop has not come round for longer than slow sources can explain."""
    return silent_s > 2 * LOOPS_S.get(loop, 0) + _LOOP_LATE_S


def is_silent(daemon: Daemon, now: datetime) -> bool:
    """Whether a daemon's heart has not beaten for longer than it should, by the database's clock."""
    return now - daemon.heartbeat_at > _SILENT


def follow(session: Session, name: str, configuration_id: int) -> None:
    """Write down which version of the configuration a daemon works by."""
    session.execute(update(Daemon).where(Daemon.name == name).values(configuration_id=configuration_id))


def others_on(session: Session, name: str, configuration_id: int, within: timedelta) -> bool:
    """Whether another daemon that lives works by a version."""
    oldest = database_now(session) - within
    query = select(Daemon.id).where(
        Daemon.name != name,
        Daemon.configuration_id == configuration_id,
        Daemon.stopped_at.is_(None),
        Daemon.heartbeat_at >= oldest,
    )
    return session.scalar(query.limit(1)) is not None


def leave(session: Session, name: str) -> None:
    """A daemon has stopped."""
    session.execute(update(Daemon).where(Daemon.name == name).values(stopped_at=database_now(session)))


def listed(session: Session) -> list[Daemon]:
    """Daemons that have not stopped by themselves, newest first."""
    return list(session.scalars(select(Daemon).where(Daemon.stopped_at.is_(None)).order_by(Daemon.id.desc()).limit(20)))


def alive(session: Session, within: timedelta) -> set[str]:
    """The names of the daemons whose heart beat lately."""
    oldest = database_now(session) - within
    return set(session.scalars(select(Daemon.name).where(Daemon.stopped_at.is_(None), Daemon.heartbeat_at >= oldest)))


def database_time(session: Session) -> datetime:
    """The time by the database's clock."""
    return database_now(session)


class DatabaseLock:
    """The lock beside a SQLite file: held by the one daemon that works on it, let go of by its death."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".lock")
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        """Take the lock; False if another process holds it."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = open(self.path, "a+")  # noqa: SIM115 - held open for as long as the lock is held
        except OSError as error:
            raise DatabaseUnreachableError(
                f"the report database's folder {self.path.parent} cannot be written: {error.strerror}"
            ) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file
        return True

    def require(self) -> None:
        """Take the lock or raise AlreadyRunningError."""
        if not self.acquire():
            holder = self.path.read_text().strip() or "another process"
            raise AlreadyRunningError(
                f"a daemon (process {holder}) works on this SQLite database already; one at a time may, PostgreSQL"
                " takes many"
            )

    def release(self) -> None:
        """Let go of the lock."""
        if self._file is not None:
            self._file.close()
            self._file = None
