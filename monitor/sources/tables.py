"""Tables and queries of a database: SQLite and PostgreSQL."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import ibis

from monitor.errors import DataError, SourceUnreachableError, UsageError
from monitor.sources.spec import Place

_READ_TIMEOUT_MS = 10 * 60 * 1000


def connect(place: Place) -> Any:
    """A read-only connection. Raises SourceUnreachableError if nobody answers."""
    assert place.url is not None
    scheme = place.url.split("://", 1)[0].split("+", 1)[0]
    if scheme == "sqlite":
        return _sqlite(place.url.split("://", 1)[1].removeprefix("/"), place.shown)
    if scheme in ("postgresql", "postgres"):
        return _postgres(place)
    raise UsageError(f"{place.shown}: sources are read from sqlite:/// and postgresql://, not from {scheme}://")


def open_table(connection: Any, place: Place) -> Any:
    """The table or query as an ibis table. Raises DataError if it is not there."""
    try:
        if place.query is not None:
            return connection.sql(place.query)
        return (
            connection.table(place.table, database=place.db_schema)
            if place.db_schema
            else connection.table(place.table)
        )
    except Exception as error:
        known = ", ".join(connection.list_tables()[:10]) or "none"
        what = f"table {place.table}" if place.query is None else "query"
        raise DataError(
            f"{place.shown}: the {what} cannot be read: {_first_line(error)}; its tables are: {known}"
        ) from None


def _sqlite(path: str, shown: str) -> Any:
    if not Path(path).is_file():
        raise SourceUnreachableError(f"there is no SQLite file {shown}")
    try:
        connection = ibis.sqlite.connect(path)
        connection.list_tables()
    except sqlite3.Error as error:
        raise SourceUnreachableError(f"{shown} cannot be opened: {error}") from None
    connection.con.create_function(
        "md5", 1, lambda text: hashlib.md5(str(text).encode(), usedforsecurity=False).hexdigest(), deterministic=True
    )
    connection.con.execute("PRAGMA query_only = 1")
    return connection


def _postgres(place: Place) -> Any:
    assert place.url is not None
    parts = urlsplit(place.url)
    try:
        connection = ibis.postgres.connect(
            host=parts.hostname,
            port=parts.port or 5432,
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            database=parts.path.removeprefix("/"),
            connect_timeout=10,
        )
        connection.raw_sql(f"SET statement_timeout = {_READ_TIMEOUT_MS}")
        connection.raw_sql("SET TIME ZONE 'UTC'")
    except Exception as error:
        raise SourceUnreachableError(f"{place.shown} cannot be reached: {_first_line(error)}") from None
    return connection


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
