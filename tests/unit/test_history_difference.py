"""`make replay-compare` reports every row that was added, removed or changed between two histories."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from monitor.storage.database import Database
from tests.history_difference import PARTS, Table, compare, lines, read, same

RUN = {
    "id": 1,
    "uuid": "u1",
    "kind": "data",
    "window_start": "2025-01-01",
    "window_end": "2025-01-02",
    "look": 0,
    "rows": 10,
}
SERIES = {"id": 1, "metric": "drift_score", "column_name": "income", "segment": "", "model_version": "1"}
CHECK = {"run_id": 1, "series_id": 1, "kind": "drift", "verdict": "fine", "p_value": 0.25}


def database(folder: Path, name: str, **rows: list[dict[str, Any]]) -> Path:
    """A database of a few tables and columns."""
    path = folder / f"{name}.db"
    tables = {"runs": [RUN], "metric_series": [SERIES], "checks": [CHECK]} | rows
    with closing(sqlite3.connect(path)) as connection:
        for table, entries in tables.items():
            connection.execute(f"CREATE TABLE {table} ({', '.join(entries[0])})")
            for entry in entries:
                connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(entry))})", list(entry.values()))
        connection.commit()
    return path


def test_two_histories_with_the_same_rows_are_equal(tmp_path: Path) -> None:
    differences = compare(read(database(tmp_path, "before")), read(database(tmp_path, "after")))
    assert all(difference.is_equal for difference in differences.values())
    assert (differences["runs"].equal, differences["checks"].equal) == (1, 1)


def test_one_p_value_that_differs_in_its_last_digit_is_told(tmp_path: Path) -> None:
    changed_check = CHECK | {"p_value": 0.25000000000000006}
    differences = compare(read(database(tmp_path, "before")), read(database(tmp_path, "after", checks=[changed_check])))
    assert [name for name, difference in differences.items() if not difference.is_equal] == ["checks"]
    assert list(lines(differences["checks"].changed[0])) == [
        "~ run_kind=data run_window=2025-01-01 run_look=0 metric=drift_score column=income model_version=1 kind=drift",
        "    p_value: 0.25 -> 0.25000000000000006",
    ]


def test_a_tolerance_is_a_share_of_the_number(tmp_path: Path) -> None:
    changed_check = CHECK | {"p_value": 0.2500001}
    before, after = read(database(tmp_path, "before")), read(database(tmp_path, "after", checks=[changed_check]))
    assert compare(before, after, tolerance=1e-6)["checks"].is_equal
    assert not compare(before, after, tolerance=1e-8)["checks"].is_equal


def test_rows_on_one_side_alone_are_told(tmp_path: Path) -> None:
    second = RUN | {"id": 2, "uuid": "u2", "look": 1}
    before, after = read(database(tmp_path, "before")), read(database(tmp_path, "after", runs=[RUN, second]))
    added, removed = compare(before, after)["runs"], compare(after, before)["runs"]
    assert [row.key["look"] for row in added.only_after] == [1]
    assert [row.key["look"] for row in removed.only_before] == [1]
    assert (added.equal, removed.equal) == (1, 1)
    assert next(lines(added.only_after[0])).startswith("+ kind=data window_start=2025-01-01")
    assert next(lines(removed.only_before[0])).startswith("- kind=data window_start=2025-01-01")


def test_rows_of_the_same_key_are_all_compared(tmp_path: Path) -> None:
    twice = [RUN, RUN | {"uuid": "u2"}]
    difference = compare(read(database(tmp_path, "before")), read(database(tmp_path, "after", runs=twice)))["runs"]
    assert (difference.rows_before, difference.rows_after, len(difference.only_after)) == (1, 2, 1)


def test_a_column_that_one_schema_lacks_is_told_and_the_rest_compared(tmp_path: Path) -> None:
    less = {name: value for name, value in CHECK.items() if name != "p_value"}
    difference = compare(read(database(tmp_path, "before")), read(database(tmp_path, "after", checks=[less])))["checks"]
    assert (difference.columns_before, difference.equal, difference.is_equal) == (["p_value"], 1, False)


@pytest.mark.parametrize(
    ("left", "right", "is_same"),
    [
        ({"a": 1, "b": [0.1, None]}, {"b": [0.1, None], "a": 1}, True),
        ({"a": [0.1]}, {"a": [0.2]}, False),
        ({"a": 1}, {"a": 1, "b": 1}, False),
        ([1], [1, 2], False),
        (None, 0.0, False),
        (1, 1.0, True),
    ],
)
def test_values_are_compared_inside_lists_and_mappings(left: Any, right: Any, is_same: bool) -> None:
    assert same(left, right, 1e-9) is is_same


def test_every_column_that_is_compared_is_there(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/monitor.db")
    database.prepare()
    database.engine.dispose()
    assert read(tmp_path / "monitor.db") == {name: Table(frozenset(part.values), {}) for name, part in PARTS.items()}
