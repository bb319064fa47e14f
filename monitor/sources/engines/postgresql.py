"""Tables and queries of a PostgreSQL database."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import ibis
import ibis.expr.datatypes as dt

from monitor.domain.text import first_line
from monitor.errors import SourceUnreachableError
from monitor.sources.engines.base import Engine
from monitor.sources.spec import Place

_MONEY = dt.Decimal(19, 4)
_READ_TIMEOUT_MS = 10 * 60 * 1000


class PostgreSQL(Engine):
    """A PostgreSQL database, whose statements are ended after ten minutes."""

    def connect(self, place: Place) -> Any:
        """Raises SourceUnreachableError."""
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
            raise SourceUnreachableError(f"{place.shown} cannot be reached: {first_line(error)}") from None
        return connection

    def number(self, decimal: Any) -> Any:
        """Money is no number before it is a decimal."""
        return super().number(decimal.cast("decimal(38, 4)") if decimal.type() == _MONEY else decimal)
