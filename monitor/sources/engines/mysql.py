"""Tables and queries of a MySQL or MariaDB database."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, tzinfo
from typing import Any
from urllib.parse import unquote, urlsplit

import ibis
import pymysql
from pymysql.constants import FIELD_TYPE

from monitor.domain.text import first_line
from monitor.errors import DataError, SourceUnreachableError
from monitor.sources.engines.base import Engine, compare
from monitor.sources.spec import Place

_READ_TIMEOUT_S = 10 * 60
_UNKNOWN_VARIABLE = 1193
# Types of a query's columns; ibis finds these out by mysqlclient alone. All others are read as text.
_TYPES = (
    dict.fromkeys(
        (FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG, FIELD_TYPE.YEAR),
        "int64",
    )
    | dict.fromkeys((FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE), "float64")
    | dict.fromkeys((FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL), "decimal")
    | {FIELD_TYPE.DATE: "date", FIELD_TYPE.DATETIME: "timestamp(6)", FIELD_TYPE.TIMESTAMP: "timestamp('UTC', 6)"}
)


class MySQL(Engine):
    """A MySQL or MariaDB database, in a session that only reads; statements are ended after ten minutes."""

    knows_nan = False

    def connect(self, place: Place) -> Any:
        """Raises SourceUnreachableError."""
        assert place.url is not None
        pymysql.install_as_MySQLdb()  # what ibis asks for; PyMySQL has the same face and needs no library of the system
        parts = urlsplit(place.url)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # servers without names of time zones: the session's is set below
                connection = ibis.mysql.connect(
                    host=parts.hostname or "localhost",
                    port=parts.port or 3306,
                    user=unquote(parts.username or ""),
                    password=unquote(parts.password or ""),
                    database=parts.path.removeprefix("/"),
                    connect_timeout=10,
                    read_timeout=_READ_TIMEOUT_S + 10,
                )
            with connection.con.cursor() as cursor:
                cursor.execute("SET SESSION time_zone = '+00:00'")
                cursor.execute("SET SESSION TRANSACTION READ ONLY")
                _limit(cursor)
        except pymysql.MySQLError as error:
            raise SourceUnreachableError(f"{place.shown} cannot be reached: {first_line(error)}") from None
        return connection

    def table(self, place: Place) -> Any:
        """A table or query."""
        if place.query is None:
            return super().table(place)
        query = place.query.strip().rstrip(";")
        try:
            with self.connection.con.cursor() as cursor:
                cursor.execute(f"SELECT * FROM ({query}) AS asked LIMIT 0")  # noqa: S608 - the configuration's own
                schema = {name: _TYPES.get(code, "string") for name, code, *_ in cursor.description}
        except pymysql.MySQLError as error:
            raise DataError(f"{place.shown}: the query cannot be read: {first_line(error)}") from None
        return self.connection.sql(query, schema=schema)

    def literal(self, moment: datetime, zone: tzinfo, *, zoned: bool) -> str:
        """Without a zone: columns of the type TIMESTAMP are shown in that of the session, UTC."""
        return super().literal(moment, UTC if zoned else zone, zoned=False)

    def compared(self, column: Any, literal: str, how: str) -> Any:
        """As times without a zone."""
        return compare(column, ibis.literal(literal).cast("timestamp(6)"), how)


def _limit(cursor: Any) -> None:
    """End statements that take too long: MariaDB counts seconds, MySQL milliseconds."""
    try:
        cursor.execute(f"SET SESSION max_statement_time = {_READ_TIMEOUT_S}")
    except pymysql.MySQLError as error:
        if error.args[0] != _UNKNOWN_VARIABLE:
            raise
        cursor.execute(f"SET SESSION max_execution_time = {_READ_TIMEOUT_S * 1000}")
