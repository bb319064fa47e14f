"""Rows a page at a time, newest first, for the API; and very many keys a part at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

T = TypeVar("T")
# So many values a database takes in one statement.
_AT_ONCE = 500


def begins(column: Any, text: str) -> ColumnElement[bool]:
    """Whether a column's text begins so; `%` and `_` stand for themselves."""
    condition: ColumnElement[bool] = column.startswith(text, autoescape=True)
    return condition


def page_of(session: Session, table: Any, conditions: Sequence[Any], before: int | None, limit: int) -> list[Any]:
    """At most `limit` rows that fulfil all conditions, with smaller numbers than `before`, the newest first."""
    query = select(table).where(*conditions).order_by(table.id.desc()).limit(limit)
    return list(session.scalars(query if before is None else query.where(table.id < before)))


def in_parts(keys: Sequence[T]) -> Iterator[Sequence[T]]:
    """Keys in parts that one statement can name."""
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]
