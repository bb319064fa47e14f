"""What a query of an analyst may read: the documented views, by SELECT, and nothing beneath them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Collection

from monitor.domain.metrics import hint
from monitor.domain.text import first_line
from monitor.errors import UsageError

_DIALECTS = {"postgresql": "postgres", "sqlite": "sqlite"}
_READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
# Functions that read files, run other statements or reach other servers.
_REACHES_OUT = re.compile(
    r"(?i)(pg_(read|ls|stat_file|file|execute|sleep|logdir)|lo_|dblink|query_to_|table_to_|database_to_|cursor_to_|load_file|load_extension|sys_)"
)
Authorizer = Callable[[int, str | None, str | None, str | None, str | None], int]


def sqlite_guard(views: Collection[str]) -> Authorizer:
    """What SQLite asks before each step of a statement: reading of the views is allowed, and of columns of tables by
    the views alone.
    """

    def allowed(action: int, first: str | None, second: str | None, _database: str | None, by: str | None) -> int:
        if action == sqlite3.SQLITE_FUNCTION and _REACHES_OUT.match(second or ""):
            return sqlite3.SQLITE_DENY
        if action in _READS or (action == sqlite3.SQLITE_READ and (by in views or first in views or not second)):
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    return allowed


def check_query(sql: str, dialect: str, views: Collection[str]) -> None:
    """Raise UsageError unless `sql` is one SELECT of the views. dialect: as SQLAlchemy names it."""
    from sqlglot import exp, parse
    from sqlglot.errors import SqlglotError

    try:
        statements = [
            statement for statement in parse(sql, dialect=_DIALECTS.get(dialect, "mysql")) if statement is not None
        ]
    except SqlglotError as error:
        raise UsageError(f"the query cannot be read: {first_line(error)}") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise UsageError("the query was refused: write one SELECT")
    query = statements[0]
    cte_names = {expression.alias for expression in query.find_all(exp.CTE)}
    for table in query.find_all(exp.Table):
        if table.name and table.name not in cte_names and (table.name not in views or table.db):
            raise UsageError(
                f"the query was refused: it reads {table.sql()!r}; {hint(table.name, sorted(views), 'views')}"
            )
    for function in query.find_all(exp.Anonymous):
        if _REACHES_OUT.match(function.name):
            raise UsageError(f"the query was refused: the function {function.name} is not for queries")
