"""Rows a page at a time, newest first, for the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session


def begins(column: Any, text: str) -> ColumnElement[bool]:
    """Whether a column's text begins so; `%` and `_` stand for themselves."""
    found: ColumnElement[bool] = column.startswith(text, autoescape=True)
    return found


def page_of(session: Session, table: Any, conditions: Sequence[Any], before: int | None, limit: int) -> list[Any]:
    """At most `limit` rows that fulfil all conditions, with smaller numbers than `before`, the newest first."""
    query = select(table).where(*conditions).order_by(table.id.desc()).limit(limit)
    return list(session.scalars(query if before is None else query.where(table.id < before)))
