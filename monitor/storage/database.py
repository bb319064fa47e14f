"""The engine, transactions that are retried as a whole, and migrations."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, func, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool
from structlog import get_logger

from monitor.domain.clock import boot_time_s
from monitor.domain.text import first_line
from monitor.errors import DatabaseUnreachableError, SchemaVersionError, UsageError

T = TypeVar("T")
P = ParamSpec("P")
log = get_logger()

_ATTEMPTS = 8
# As many as loops may want at once: those beyond would be opened and closed again each time.
_CONNECTIONS = 15
# No transaction of ours takes so long: its connection is half open.
HANGING_S = 120
_SERIALIZATION = {"40001", "40P01", "55P03"}
_LOCK_ID = 0x6D6F6E69
# A role of PostgreSQL whose members may read the views.
READER = "monitor_reader"
_UNREACHABLE = "the report database {0} cannot be used: {1}"


class Database:
    """A report database. `transact` and `read` run a function of a session, again if need be: it must bear
    repetition.
    """

    def __init__(self, url: str) -> None:
        try:
            self.url = _normal(make_url(url))
        except ArgumentError:
            raise UsageError(
                "database: this is no database URL; write sqlite:///file.db or postgresql://user@host/name"
            ) from None
        self.engine = _engine(self.url)
        self._answered = False
        self._in_use: dict[Any, float] = {}
        if self.url.get_backend_name() == "postgresql":  # PyMySQL ends by itself what waits too long
            event.listen(self.engine, "checkout", lambda link, *_: self._in_use.update({link: boot_time_s()}))
            event.listen(self.engine, "checkin", lambda link, *_: self._in_use.pop(link, None))

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a SQLite file, on which one daemon works at a time."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def path(self) -> Path | None:
        """The file of a SQLite database."""
        return Path(self.url.database) if self.is_sqlite and self.url.database else None

    @property
    def shown(self) -> str:
        """The address without password."""
        return self.url.render_as_string(hide_password=True)

    def transact(self, unit: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `unit(session, …)` in one transaction and commit; on locks, serialization failures and lost connections,
        all of it again.
        """
        return self._retried(lambda session: unit(session, *args, **kwargs), write=True)

    def read(self, unit: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `unit` in one transaction that writes nothing."""
        return self._retried(lambda session: unit(session, *args, **kwargs), write=False)

    def _retried(self, unit: Callable[[Session], T], *, write: bool) -> T:
        engine = self.engine.execution_options(immediate=write)

        def once() -> T:
            with Session(engine, expire_on_commit=False) as session, session.begin():
                return unit(session)

        return self._again(once)

    def _again(self, unit: Callable[[], T]) -> T:
        """The one place that tries again: the whole of `unit`, while the error is a passing one."""
        for attempt in range(_ATTEMPTS):
            try:
                result = unit()
            except IntegrityError:
                # Another daemon wrote the same natural key first: run again, `unit` then finds it there.
                if attempt >= 2:
                    raise
            except (OperationalError, InterfaceError) as error:
                # A server that answered before is being started again; one that never did is misspelt.
                if not (_passing(error) or (self._answered and _refused(error))) or attempt == _ATTEMPTS - 1:
                    raise DatabaseUnreachableError(
                        _UNREACHABLE.format(self.shown, first_line(error.orig or error))
                    ) from error
                time.sleep(min(0.05 * 2**attempt, 2) * (0.5 + random.random() / 2))  # noqa: S311 - jitter, no secret
            else:
                self._answered = True
                return result
        raise AssertionError("the loop above returns or raises")

    def end_hanging(self) -> None:
        """Shut the connections that have waited too long for an answer, so that whoever waits tries again on a new one.

        TCP finds out by itself when the other side no longer acknowledges; not so when something between acknowledges
        and forgets.
        """
        for link, since in list(self._in_use.items()):
            if boot_time_s() - since > HANGING_S and not link.closed:
                log.warning("database_does_not_answer", database=self.shown, seconds=round(boot_time_s() - since))
                with suppress(OSError), socket.fromfd(link.fileno(), socket.AF_INET, socket.SOCK_STREAM) as half_open:
                    half_open.shutdown(socket.SHUT_RDWR)

    # -- schema -------------------------------------------------------------------------------------------------

    def revision(self) -> str | None:
        """The schema's revision; None for a database without tables."""
        if self.path is not None and not self.path.exists():
            return None

        def current(session: Session) -> str | None:
            if not inspect(session.connection()).has_table("alembic_version"):
                return None
            stored = session.execute(text("SELECT version_num FROM alembic_version")).scalar()
            return None if stored is None else str(stored)

        return self.read(current)

    def server_version(self) -> tuple[str, tuple[int, ...]]:
        """The database server's name and version."""

        def unit(session: Session) -> tuple[str, tuple[int, ...]]:
            dialect = session.connection().dialect
            name = "PostgreSQL" if dialect.name == "postgresql" else "MariaDB" if dialect.is_mariadb else "MySQL"  # type: ignore[attr-defined]
            return name, tuple(int(part) for part in dialect.server_version_info or () if isinstance(part, int))[:3]

        return self.read(unit)

    def require_current(self) -> None:
        """Raise SchemaVersionError unless the schema is this version's."""
        revision, head = self.revision(), head_revision()
        if revision is None:
            raise SchemaVersionError(
                f"there is no report database at {self.shown} yet; `monitor run` or `monitor serve` makes it"
            )
        if revision != head:
            is_known = revision in _revisions()
            what = (
                "is of an older version: `monitor migrate` brings it up to date"
                if is_known
                else "was made by a newer version of Monitor: install that one"
            )
            raise SchemaVersionError(
                f"the report database {self.shown} {what} (schema {revision}, this version's is {head})"
            )

    def migrate(self, revision: str = "head") -> None:
        """Bring the schema to `revision`, under a lock, so that many at once migrate once."""
        from alembic import command  # Alembic is wanted by few commands

        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)

        def unit() -> None:
            with self.engine.execution_options(immediate=True).connect() as connection, _migration_lock(connection):
                config = alembic_config()
                config.attributes["connection"] = connection
                if revision == "head" and self._is_half_made(connection):
                    _clear(connection)
                if revision != "head" and revision in _ancestors(self._revision_of(connection)):
                    command.downgrade(config, revision)
                else:
                    command.upgrade(config, revision)
                _let_readers_read(connection)
                connection.commit()

        self._again(unit)

    def _revision_of(self, connection: Connection) -> str | None:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()

    def _is_half_made(self, connection: Connection) -> bool:
        """Whether whoever made the schema was killed meanwhile: MySQL and MariaDB commit each statement of it. Nothing
        was ever stored by it then.
        """
        revision = self._revision_of(connection)
        older = revision is None or revision in _revisions() - {head_revision()}
        if self.engine.dialect.name not in ("mysql", "mariadb") or not older:
            return False
        tables = set(inspect(connection).get_table_names())
        if "configurations" not in tables:
            return bool(tables & _own_tables())
        return connection.execute(text("SELECT count(*) FROM configurations")).scalar() == 0

    def prepare(self) -> None:
        """Make an empty database ready, or one that was left half made; refuse an older or newer schema."""
        if self.revision() is None or self.read(lambda session: self._is_half_made(session.connection())):
            self.migrate()
            log.info("database_created", database=self.shown)
        self.require_current()


def _own_tables() -> set[str]:
    from monitor.storage.tables import Base

    return {*Base.metadata.tables, "alembic_version"}


def _let_readers_read(connection: Connection) -> None:
    """On PostgreSQL: members of the role `monitor_reader`, if there is one, may read the documented views and no
    table.
    """
    if connection.dialect.name != "postgresql":
        return
    if connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": READER}).first() is None:
        return
    for name in sorted(inspect(connection).get_view_names()):
        if name.startswith("monitor_"):
            connection.execute(text(f'GRANT SELECT ON "{name}" TO {READER}'))


def _clear(connection: Connection) -> None:
    """Remove what is there of the schema."""
    inspector = inspect(connection)
    connection.execute(text("SET FOREIGN_KEY_CHECKS = 0"))
    for name in inspector.get_view_names():
        if name.startswith("monitor_"):
            connection.execute(text(f"DROP VIEW `{name}`"))
    for name in _own_tables().intersection(inspector.get_table_names()):
        connection.execute(text(f"DROP TABLE `{name}`"))
    connection.execute(text("SET FOREIGN_KEY_CHECKS = 1"))
    connection.commit()


def size_bytes(session: Session) -> int:
    """How much the report database takes on disk, in bytes."""
    sql = {
        "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
        "postgresql": "SELECT pg_database_size(current_database())",
    }.get(
        session.get_bind().dialect.name,
        "SELECT COALESCE(SUM(data_length + index_length), 0) FROM information_schema.tables WHERE table_schema ="
        " DATABASE()",
    )
    return int(session.scalar(text(sql)) or 0)


def database_now(session: Session) -> datetime:
    """The time by the database's clock, which leases go by; it moves on within a transaction."""
    name = session.get_bind().dialect.name
    if name == "sqlite":
        return datetime.now(UTC)
    clock = func.clock_timestamp() if name == "postgresql" else text("UTC_TIMESTAMP(6)")
    moment = session.execute(select(clock)).scalar_one()
    assert isinstance(moment, datetime)
    return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def locked(session: Session, entity: Any, key: Any) -> Any:
    """A row under a lock that holds to the end of the transaction (on SQLite the transaction itself is the lock)."""
    return session.get(entity, key, with_for_update=True)


def alembic_config() -> Any:
    """Alembic's configuration: the migrations lie in the wheel, or beside the package in a checkout."""
    from alembic.config import Config

    package = Path(__file__).resolve().parent.parent
    inside = package / "_migrations"
    config = Config()
    config.set_main_option(
        "script_location", str(inside if inside.is_dir() else package.parent / "migrations").replace("%", "%%")
    )
    return config


def head_revision() -> str:
    """The schema revision of this version."""
    from alembic.script import ScriptDirectory

    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert head is not None
    return head


def _revisions() -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}


def _ancestors(revision: str | None) -> set[str]:
    from alembic.script import ScriptDirectory

    if revision is None:
        return set()
    scripts = ScriptDirectory.from_config(alembic_config()).iterate_revisions(revision, "base")
    return {script.revision for script in scripts} - {revision} | {"base"}


@contextmanager
def _migration_lock(connection: Connection) -> Iterator[None]:
    """A lock of the whole database, and a transaction in which all migrations happen: Alembic would commit each by
    itself on SQLite.
    """
    if connection.dialect.name == "sqlite":
        raw: Any = connection.connection.dbapi_connection
        raw.execute("PRAGMA foreign_keys = OFF")  # a table that is made anew is dropped for a moment
        connection.execute(text("SELECT 1"))  # begins, and so takes SQLite's own write lock
        yield
        return
    take, give = {
        "postgresql": (f"SELECT pg_advisory_lock({_LOCK_ID})", f"SELECT pg_advisory_unlock({_LOCK_ID})"),
        "mysql": (
            f"SELECT GET_LOCK(CONCAT(DATABASE(), '.{_LOCK_ID}'), 600)",
            f"SELECT RELEASE_LOCK(CONCAT(DATABASE(), '.{_LOCK_ID}'))",
        ),
    }["mysql" if connection.dialect.name == "mariadb" else connection.dialect.name]
    connection.execute(text(take))
    try:
        yield
    finally:
        connection.execute(text(give))


def _normal(url: URL) -> URL:
    if url.drivername in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername in ("mysql", "mariadb"):
        return url.set(drivername=f"{url.drivername}+pymysql")
    if url.get_backend_name() not in ("sqlite", "postgresql", "mysql", "mariadb"):
        raise UsageError(f"database: {url.get_backend_name()} is not one of sqlite, postgresql, mysql")
    return url


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": 30, "check_same_thread": False})
        event.listen(engine, "connect", _on_sqlite_connect)
        event.listen(engine, "begin", _on_sqlite_begin)
        return engine
    if url.get_backend_name() == "postgresql":
        return create_engine(
            url,
            pool_size=_CONNECTIONS,
            connect_args={
                "connect_timeout": 10,
                "options": "-c timezone=UTC -c lock_timeout=30000",
                # A connection that the network has swallowed is noticed within a minute.
                "keepalives_idle": 20,
                "keepalives_interval": 5,
                "keepalives_count": 4,
                "tcp_user_timeout": 60_000,
            },
        )
    return create_engine(
        url,
        pool_size=_CONNECTIONS,
        isolation_level="READ COMMITTED",
        connect_args={
            "charset": "utf8mb4",
            "connect_timeout": 10,
            "read_timeout": HANGING_S,
            "write_timeout": HANGING_S,
            "init_command": "SET time_zone = '+00:00', innodb_lock_wait_timeout = 30, sql_mode = 'STRICT_ALL_TABLES'",
        },
    )


def _on_sqlite_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # BEGIN is ours: pysqlite's own comes too late
    cursor = connection.cursor()
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _on_sqlite_begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("immediate") else "BEGIN")


def _passing(error: DBAPIError) -> bool:
    """Whether the same transaction may well succeed in a moment."""
    if error.connection_invalidated:
        return True
    if getattr(error.orig, "sqlstate", None) in _SERIALIZATION:
        return True
    code, message = _code_and_message(error)
    if code in (1205, 1213, 1020, 2006, 2013):
        return True
    return isinstance(error, OperationalError) and ("database is locked" in message or "database is busy" in message)


def _refused(error: DBAPIError) -> bool:
    """Whether nobody answers at the database's address, or it is just starting or stopping."""
    code, message = _code_and_message(error)
    words = ("connection refused", "starting up", "shutting down", "server closed the connection", "not yet accepting")
    return code in (1053, 2003) or any(word in message for word in words)


def _code_and_message(error: DBAPIError) -> tuple[object, str]:
    """The driver's first argument, which is MariaDB's code, and its message in lower case."""
    return error.orig.args[0] if error.orig is not None and error.orig.args else None, str(error.orig).lower()
