"""Times in queries on SQLite, which keeps them as text: what is written in any ISO form is compared as the other
databases compare it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

# A token of sqlglot's: its type, its text, and where it begins and ends.
Token = Any


def with_stored_times(sql: str, columns: Collection[str]) -> str:
    """A SELECT of SQLite's, with the texts that are compared with a time column written as times are stored: UTC,
    `2025-01-06 00:00:00.000000`.

    sql: one statement that can be parsed. columns: the names of the time columns. Names that the query gives to
        something else are none, and a text that is no time stays.
    """
    from sqlglot import exp, parse_one
    from sqlglot.dialects.sqlite import SQLite

    aliases = {expression.alias for expression in parse_one(sql, dialect="sqlite").find_all(exp.Alias)}
    times = {name for name in columns if name not in aliases}
    tokens = SQLite().tokenize(sql)
    for place in reversed(range(len(tokens))):
        token = tokens[place]
        stored = _stored(token.text) if _is_text(token) and _is_compared(tokens, place, times) else None
        if stored is not None:
            sql = f"{sql[: token.start]}'{stored}'{sql[token.end + 1 :]}"
    return sql


def _stored(text: str) -> str | None:
    """A time as SQLite keeps it; None for what is no time."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}"


def _is_compared(tokens: Sequence[Token], place: int, times: Collection[str]) -> bool:
    """Whether a text is compared with a time column: on either side of an operator, as a bound of BETWEEN, or in a list
    after IN.
    """
    before = place - 1
    if _is(tokens, before, "AND") and _is(tokens, before - 2, "BETWEEN"):
        before -= 2
    while _is(tokens, before, "COMMA") and _is_text(tokens[before - 1]):
        before -= 2
    if _is(tokens, before, "L_PAREN"):
        before -= 1
        if not _is(tokens, before, "IN"):
            return False
    elif not _is(tokens, before, "BETWEEN", *_OPERATORS):
        return _is(tokens, place + 1, *_OPERATORS) and _name_after(tokens, place + 2) in times
    if _is(tokens, before - 1, "NOT"):
        before -= 1
    return _is_name(tokens, before - 1) and tokens[before - 1].text.lower() in times


_OPERATORS = ("EQ", "NEQ", "GT", "GTE", "LT", "LTE", "IS")


def _name_after(tokens: Sequence[Token], place: int) -> str:
    """The name of the column that begins here, without its table's."""
    if _is(tokens, place + 1, "DOT"):
        place += 2
    is_column = _is_name(tokens, place) and not _is(tokens, place + 1, "L_PAREN")
    return tokens[place].text.lower() if is_column else ""


def _is_name(tokens: Sequence[Token], place: int) -> bool:
    return _is(tokens, place, "VAR", "IDENTIFIER") or (0 <= place < len(tokens) and tokens[place].text.isidentifier())


def _is(tokens: Sequence[Token], place: int, *kinds: str) -> bool:
    return 0 <= place < len(tokens) and tokens[place].token_type.name in kinds


def _is_text(token: Token) -> bool:
    return bool(token.token_type.name == "STRING")
