"""Two histories read from two SQLite report databases, row by row: what only one of them holds, and what is not the
same.

Reads the files themselves, so that the databases of any two commits can be compared: nothing here imports `monitor`.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Key = tuple[Any, ...]
Row = dict[str, Any]

_RUN = {"run_kind": "r.kind", "run_window": "r.window_start", "run_look": "r.look"}
_SERIES = {
    "metric": "s.metric",
    "column": "s.column_name",
    "segment": "s.segment",
    "model_version": "s.model_version",
}
_ALERT = {"alert_kind": "a.kind", "subject": "a.subject", "first_window": "a.first_window"}
# Texts in which the order of keys means nothing.
_JSON = {"counts", "columns", "detail"}


@dataclass(frozen=True)
class Part:
    """A table as it is compared: what a row is found again by, and what must then be the same, each with its expression
    in SQL.
    """

    key: dict[str, str]
    values: dict[str, str]
    source: str


def _own(alias: str, *names: str) -> dict[str, str]:
    return {name: f"{alias}.{name}" for name in names}


# Named by the version of the analysis, references are left out; so is what was recorded in the time of the clock on the
# wall.
PARTS = {
    "runs": Part(
        _own("r", "kind", "window_start", "window_end", "look"),
        _own(
            "r",
            "uuid",
            "as_of",
            "read_as_of",
            "status",
            "reason",
            "judged",
            "severity",
            "rows",
            "sampled",
            "labelled",
            "counts",
        ),
        "runs r",
    ),
    "metric_values": Part(
        _RUN | _own("v", "window_start") | _SERIES,
        _own("v", "value", "lower", "upper"),
        "metric_values v JOIN runs r ON r.id = v.run_id JOIN metric_series s ON s.id = v.series_id",
    ),
    "checks": Part(
        _RUN | _SERIES | _own("c", "kind"),
        _own(
            "c",
            "verdict",
            "value",
            "lower",
            "upper",
            "threshold_lower",
            "threshold_upper",
            "p_value",
            "rows",
            "detection_limit",
            "reason",
        ),
        "checks c JOIN runs r ON r.id = c.run_id JOIN metric_series s ON s.id = c.series_id",
    ),
    "findings": Part(
        _RUN | _SERIES | _own("f", "kind"),
        _own("f", "rank", "severity", "cause", "explanation", "share", "since", "origin", "cost"),
        "findings f JOIN runs r ON r.id = f.run_id JOIN metric_series s ON s.id = f.series_id",
    ),
    "alerts": Part(
        _own("a", "kind", "subject", "first_window"),
        _own(
            "a",
            "uuid",
            "opened_as_of",
            "state",
            "severity",
            "since",
            "until",
            "fired_at",
            "ended_at",
            "bad_windows",
            "columns",
            "summary",
        ),
        "alerts a WHERE a.kind <> 'self'",
    ),
    "alert_events": Part(
        _ALERT | _own("e", "number"),
        _own("e", "uuid", "kind", "happened_at", "severity", "summary", "detail") | _RUN,
        "alert_events e JOIN alerts a ON a.id = e.alert_id LEFT JOIN runs r ON r.id = e.run_id WHERE a.kind <> 'self'",
    ),
    "retraining_requests": Part(
        _own("q", "window_start", "as_of"),
        _own(
            "q",
            "uuid",
            "window_end",
            "state",
            "launcher",
            "reason",
            "detail",
            "data_start",
            "data_end",
            "model_version",
            "outcome",
        ),
        "retraining_requests q",
    ),
    "retraining_events": Part(
        {"request_window": "q.window_start", "request_as_of": "q.as_of", "number": "t.number"},
        _own("t", "state", "text", "happened_at"),
        "retraining_events t JOIN retraining_requests q ON q.id = t.request_id",
    ),
}


@dataclass(frozen=True)
class Table:
    """A table of one history. `columns`: those of its values that this schema has."""

    columns: frozenset[str]
    rows: dict[Key, Row]


@dataclass(frozen=True)
class Difference:
    """A row that is not the same on both sides: `before` or `after` is None where it is on one side alone; else they
    hold what differs.
    """

    key: Row
    before: Row | None
    after: Row | None


@dataclass
class TableDifference:
    """How a table of one history differs from that of another."""

    rows_before: int = 0
    rows_after: int = 0
    equal: int = 0
    only_before: list[Difference] = field(default_factory=list)
    only_after: list[Difference] = field(default_factory=list)
    changed: list[Difference] = field(default_factory=list)
    # Columns that the schema of one side alone has: the rest of each row is compared.
    columns_before: list[str] = field(default_factory=list)
    columns_after: list[str] = field(default_factory=list)

    @property
    def differences(self) -> list[Difference]:
        """All rows that differ."""
        return [*self.changed, *self.only_before, *self.only_after]

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs."""
        return not (self.differences or self.columns_before or self.columns_after)


def read(database: Path) -> dict[str, Table]:
    """The history in a SQLite report database, by table."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return {name: _table(connection, part) for name, part in PARTS.items()}


def _table(connection: sqlite3.Connection, part: Part) -> Table:
    present = {name for name, sql in part.values.items() if _works(connection, f"SELECT {sql} FROM {part.source}")}
    chosen = {**part.key, **{name: sql for name, sql in part.values.items() if name in present}}
    names = [*(f"key {name}" for name in part.key), *(name for name in part.values if name in present)]
    if not _works(connection, f"SELECT {', '.join(part.key.values())} FROM {part.source}"):
        return Table(frozenset(), {})
    stored = connection.execute(f"SELECT {', '.join(chosen.values())} FROM {part.source}").fetchall()
    rows: dict[Key, Row] = {}
    keys = len(part.key)
    for values in sorted(stored, key=repr):
        key, number = values[:keys], 0
        while (*key, number) in rows:  # a key that is there more than once: its rows in order
            number += 1
        rows[(*key, number)] = dict(zip(names[keys:], map(_plain, names[keys:], values[keys:]), strict=True))
    return Table(frozenset(present), rows)


def _works(connection: sqlite3.Connection, query: str) -> bool:
    """Whether this schema has the tables and columns of a query."""
    try:
        connection.execute(f"{query} LIMIT 0")
    except sqlite3.OperationalError:
        return False
    return True


def _plain(name: str, value: Any) -> Any:
    return json.loads(value) if name in _JSON and isinstance(value, str) else value


def compare(before: dict[str, Table], after: dict[str, Table], tolerance: float = 0.0) -> dict[str, TableDifference]:
    """The differences of two histories, by table. tolerance: so much numbers may differ, as a share of the larger;
    texts must be the same.
    """
    return {name: _compared(PARTS[name], before[name], after[name], tolerance) for name in PARTS}


def _compared(part: Part, before: Table, after: Table, tolerance: float) -> TableDifference:
    difference = TableDifference(len(before.rows), len(after.rows))
    difference.columns_before = sorted(before.columns - after.columns)
    difference.columns_after = sorted(after.columns - before.columns)
    both = [name for name in part.values if name in before.columns & after.columns]
    for key in sorted({*before.rows, *after.rows}, key=repr):
        shown = dict(zip(part.key, key, strict=False))
        left, right = before.rows.get(key), after.rows.get(key)
        if left is None:
            difference.only_after.append(Difference(shown, None, right))
        elif right is None:
            difference.only_before.append(Difference(shown, left, None))
        elif unlike := [name for name in both if not same(left[name], right[name], tolerance)]:
            difference.changed.append(
                Difference(shown, {name: left[name] for name in unlike}, {name: right[name] for name in unlike})
            )
        else:
            difference.equal += 1
    return difference


def same(left: Any, right: Any, tolerance: float) -> bool:
    """Whether two values are the same; numbers, also those inside lists and mappings, within the tolerance."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[name], right[name], tolerance) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(*pair, tolerance) for pair in zip(left, right, strict=True))
    if isinstance(left, float) or isinstance(right, float):
        if not (isinstance(left, int | float) and isinstance(right, int | float)):
            return False
        return left == right or math.isclose(left, right, rel_tol=tolerance, abs_tol=0.0)
    return bool(left == right)


def lines(difference: Difference) -> Iterator[str]:
    """A difference as people read it: where, then what it was and is."""
    where = " ".join(f"{name}={_short(value)}" for name, value in difference.key.items() if value not in ("", None))
    if difference.before is None:
        yield f"+ {where}: {_row(difference.after)}"
    elif difference.after is None:
        yield f"- {where}: {_row(difference.before)}"
    else:
        yield f"~ {where}"
        for name, value in difference.before.items():
            yield f"    {name}: {_short(value)} -> {_short(difference.after[name])}"


def _row(row: Row | None) -> str:
    return " ".join(f"{name}={_short(value)}" for name, value in (row or {}).items() if value not in ("", None))[:300]


def _short(value: Any) -> str:
    """A value as text; times without microseconds that are zero."""
    text = json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else str(value)
    return text.removesuffix(".000000")
