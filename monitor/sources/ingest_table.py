"""The rows that the API receives, kept in a table of SQLite or PostgreSQL: one prediction for each id, and every label
that differs from the last one of its id.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from monitor.domain.text import first_line
from monitor.errors import DataError, SourceUnreachableError, UsageError
from monitor.sources.ingest import ColumnBound, IngestedBatch
from monitor.sources.spec import Place

_AT_ONCE = 500
# PostgreSQL's class of errors for exceeded limits, such as a table of 1,600 columns.
_PROGRAM_LIMIT = "54"
_TYPES: list[tuple[Any, sa.types.TypeEngine[Any]]] = [
    (pa.types.is_boolean, sa.Boolean()),
    (pa.types.is_integer, sa.BigInteger()),
    (pa.types.is_floating, sa.Double()),
    (pa.types.is_date, sa.Date()),
    (pa.types.is_timestamp, postgresql.TIMESTAMP(timezone=True).with_variant(sa.DateTime(), "sqlite")),
]


class TableStore:
    """Rows in one table, made with the first of them; columns that come later are added.

    id_column: the rows' id. value_column: of labels, the label; a row with the same id and another value than the last
        one is kept, too. time_column: orders the rows of an id.
    """

    def __init__(self, place: Place, id_column: str, time_column: str, value_column: str | None) -> None:
        self._place, self._id, self._time, self._value = place, id_column, time_column, value_column
        self._engine = _engine(place.url or "")
        self._lock = threading.Lock()

    def add(
        self,
        rows: pa.Table,
        ids: Sequence[str],
        values: Sequence[str] | None = None,
        bound: ColumnBound | None = None,
    ) -> IngestedBatch:
        """Keep the new rows, in one transaction. Raises DataError for rows that do not fit the table and
        SourceUnreachableError.
        """
        try:
            with self._lock, self._engine.begin() as connection:
                # One batch at a time: new rows are looked up before they are written.
                if self._engine.dialect.name == "postgresql":
                    connection.execute(
                        sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": self._place.shown}
                    )
                table, new = self._table(connection, rows, bound)
                fresh = self._fresh(connection, table, rows, ids, values)
                if fresh:
                    new_rows = rows.take(pa.array(fresh)).to_pylist()
                    connection.execute(table.insert(), [_stored(row, self._engine.dialect.name) for row in new_rows])
            return IngestedBatch(len(fresh), len(ids) - len(fresh), new)
        except OperationalError as error:
            if _is_fault_of_rows(error):
                raise DataError(f"the rows do not fit {self._place.shown}: {first_line(error.orig or error)}") from None
            raise SourceUnreachableError(
                f"{self._place.shown} cannot be written: {first_line(error.orig or error)}"
            ) from None
        except DBAPIError as error:
            raise DataError(f"the rows do not fit {self._place.shown}: {first_line(error.orig or error)}") from None
        except (SQLAlchemyError, ValueError) as error:  # the drivers' own: a NUL in a name or a text
            raise DataError(f"the rows do not fit {self._place.shown}: {first_line(error)}") from None

    def _table(
        self, connection: sa.Connection, rows: pa.Table, bound: ColumnBound | None
    ) -> tuple[sa.Table, tuple[str, ...]]:
        """The table with all columns of the rows, and the new columns as `ColumnBound.admit` returns them. Raises
        DataError where these are too many.
        """
        name, schema = self._place.table or "", self._place.db_schema
        columns = [
            sa.Column(field.name, _type_of(field.type), nullable=field.name != self._id) for field in rows.schema
        ]
        if not sa.inspect(connection).has_table(name, schema=schema):
            unnamed = () if bound is None else bound.admit((), rows.column_names)
            table = sa.Table(name, sa.MetaData(), *columns, schema=schema)
            sa.Index(f"ix_{name}_{self._id}"[:60], table.c[self._id], unique=self._value is None)
            sa.Index(f"ix_{name}_{self._time}"[:60], table.c[self._time])
            table.create(connection)
            return table, unnamed
        table = sa.Table(name, sa.MetaData(), autoload_with=connection, schema=schema)
        new = [column for column in columns if column.name not in table.c]
        unnamed = () if bound is None else bound.admit(list(table.c.keys()), [column.name for column in new])
        for column in new:
            Operations(MigrationContext.configure(connection)).add_column(
                name, sa.Column(column.name, column.type), schema=schema
            )
            table.append_column(column)
        return table, unnamed

    def _fresh(
        self,
        connection: sa.Connection,
        table: sa.Table,
        rows: pa.Table,
        ids: Sequence[str],
        values: Sequence[str] | None,
    ) -> list[int]:
        """The places of the rows that are new. Of an id that is repeated in a batch the last row counts."""
        last = dict(zip(ids, range(len(ids)), strict=True))
        row_ids = rows[self._id].to_pylist()
        stored_values: dict[str, str] = {}
        distinct_ids = [row_ids[place] for place in last.values()]
        key = table.c[self._id]
        value = sa.literal("") if self._value is None else table.c[self._value]
        for first in range(0, len(distinct_ids), _AT_ONCE):
            query = (
                sa.select(key, value)
                .where(key.in_(distinct_ids[first : first + _AT_ONCE]))
                .order_by(table.c[self._time])
            )
            stored_values |= {_text(identity): _text(stored) for identity, stored in connection.execute(query)}
        new_values = [""] * len(ids) if values is None else values
        return [
            place
            for identity, place in sorted(last.items(), key=lambda pair: pair[1])
            if stored_values.get(identity) != new_values[place]
        ]


def _type_of(kind: pa.DataType) -> sa.types.TypeEngine[Any]:
    return next((column_type for matches, column_type in _TYPES if matches(kind)), sa.Text())


def _stored(row: dict[str, Any], dialect: str) -> dict[str, Any]:
    """A row as the database takes it: SQLite keeps times as text in UTC without their zone."""
    if dialect != "sqlite":
        return row
    return {
        name: value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value
        for name, value in row.items()
    }


def _text(value: Any) -> str:
    """As `as_text` writes ids and labels."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _is_fault_of_rows(error: OperationalError) -> bool:
    """Whether an operational error of the driver is a fault of the rows: a repeated column name in SQLite, or more
    columns than a table may have.
    """
    if isinstance(error.orig, sqlite3.OperationalError):
        return error.orig.sqlite_errorcode == sqlite3.SQLITE_ERROR
    return str(getattr(error.orig, "sqlstate", "") or "").startswith(_PROGRAM_LIMIT)


@lru_cache(maxsize=32)
def _engine(url: str) -> sa.Engine:
    for short, long in (("postgresql://", "postgresql+psycopg://"), ("postgres://", "postgresql+psycopg://")):
        if url.startswith(short):
            url = long + url.removeprefix(short)
    if not url.startswith(("sqlite:", "postgresql+psycopg:")):
        raise UsageError(f"rows that are sent are kept in SQLite or PostgreSQL, not in {url.split(':', 1)[0]}")
    if url.startswith("sqlite"):
        return sa.create_engine(url, connect_args={"timeout": 30})
    return sa.create_engine(url, pool_size=2, pool_pre_ping=True, connect_args={"connect_timeout": 10})
