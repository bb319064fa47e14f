"""Columns with nested values or with types that cannot be tested. Objects are opened, decimals are read as numbers, and
all other types are left out by name.
"""

from __future__ import annotations

import decimal
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import yaml
from sqlalchemy import text

from monitor.domain.grid import Window
from monitor.sources.log import Log, left_out_of
from monitor.sources.spec import LogSpec, Place, ReadSpec
from monitor.storage.database import Database
from tests.conftest import run_here

ROWS = 600
CHANCE = np.random.default_rng(0)
TIMES = pd.date_range("2026-03-01", periods=ROWS, freq="10min").as_unit("us")
WINDOW = Window(datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC))


def odd() -> pa.Table:
    """A log with a column of each odd type."""
    score = CHANCE.random(ROWS).tolist()
    return pa.table(
        {
            "id": [f"r{number}" for number in range(ROWS)],
            "event_time": pa.array(TIMES),
            "inputs": pa.array(
                [
                    {"amount": float(value), "channel": "web" if value > 0.5 else "app", "deep": {"age": number}}
                    for number, value in enumerate(score)
                ]
            ),
            "price": pa.array([decimal.Decimal(f"{value * 100:.2f}") for value in score]),
            "kind": pa.array(["a", "b"] * (ROWS // 2)).dictionary_encode(),
            "blob": pa.array([b"\x80\x02"] * ROWS, pa.binary()),
            "extra": [json.dumps({"speed": value, "ok": value > 0.5, "name": f"n{int(value * 4)}"}) for value in score],
            "scores": pa.array([[value, 1 - value] for value in score]),
            "words": pa.array([["a"] * (number % 3) for number in range(ROWS)]),
            "headers": pa.array([[("a", "b")]] * ROWS, pa.map_(pa.string(), pa.string())),
            "probability": score,
            "label": [int(value > 0.5) for value in score],
        }
    )


def test_objects_are_opened_and_what_nobody_can_test_is_left_out(tmp_path: Path) -> None:
    parquet.write_table(odd(), tmp_path / "log.parquet")
    place = Place("log", path=str(tmp_path / "log.parquet"))
    log = Log(LogSpec(place, "event_time", "id"))
    kinds = {
        "inputs.amount": "float64",
        "inputs.channel": "string",
        "price": "float64",
        "kind": "string",
        "extra.speed": "float64",
        "extra.ok": "boolean",
        "extra.name": "string",
        "scores.0": "float64",
        "scores.1": "float64",
    }
    assert {name: log.types[name] for name in kinds} == kinds
    assert set(left_out_of(place)) == {"inputs.deep", "blob", "words", "headers"}
    assert not {"blob", "words", "headers", "inputs", "extra", "scores"} & set(log.types)
    frame, counts = log.read(WINDOW)
    assert counts.rows == len(frame) == 144
    assert frame["inputs.amount"].equals(frame["probability"].rename("inputs.amount"))
    assert frame["extra.speed"].tolist() == frame["scores.0"].tolist() == frame["probability"].tolist()
    assert frame["price"].dtype == float
    deeper = Place("log", path=place.path, read=ReadSpec(open=("inputs.deep",)))
    assert Log(LogSpec(deeper, "event_time", "id")).read(WINDOW)[0]["inputs.deep.age"].between(144, 287).all()


def test_a_column_that_holds_nothing_is_missing_and_may_go(tmp_path: Path) -> None:
    spec = LogSpec(Place("log", path=str(tmp_path / "log.parquet")), "event_time", "id")
    for name in ("nothing", "nothing_else"):
        parquet.write_table(odd().append_column(name, pa.nulls(ROWS)), tmp_path / "log.parquet")
        counts = Log(spec).counts(WINDOW)
        assert counts.rows == counts.missing[name] == 144


def test_objects_of_json_lines_are_opened_deeper_where_that_is_said(tmp_path: Path) -> None:
    lines = [
        json.dumps({"id": number, "event_time": str(moment), "inputs": {"deep": {"age": number}, "x": 1.5}})
        for number, moment in enumerate(TIMES)
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + "\n")
    path = str(tmp_path / "log.jsonl")
    assert "inputs.deep.age" not in Log(LogSpec(Place("log", path=path), "event_time", "id")).types
    log = Log(LogSpec(Place("log", path=path, read=ReadSpec(open=("inputs.deep",))), "event_time", "id"))
    assert log.types["inputs.deep.age"] == "int64"
    assert log.types["inputs.x"] == "float64"


def test_codes_that_are_text_in_the_reference_stay_text(tmp_path: Path) -> None:
    score = CHANCE.random(ROWS).round(4)
    frame = pd.DataFrame(
        {
            "id": range(ROWS),
            "event_time": TIMES,
            "store": (np.arange(ROWS) % 7 + 10).astype(str),
            "member": np.where(np.arange(ROWS) % 2, "true", "false"),
            "x": score,
            "probability": score,
            "label": (score > 0.5).astype(int),
        }
    )
    frame.head(300).drop(columns=["event_time"]).to_parquet(tmp_path / "reference.parquet", index=False)
    frame.to_csv(tmp_path / "log.csv", index=False)
    result = run_here("init", "m", "--predictions", "log.csv", "--reference", "reference.parquet", cwd=tmp_path)
    assert "store, member of log.csv: text, as in reference.parquet" in result.stdout, result
    config = yaml.safe_load((tmp_path / "monitor.yaml").read_text())
    assert config["monitors"]["m"]["source"]["read"] == {"text": ["store", "member"]}
    log = Log(
        LogSpec(
            Place("log", path=str(tmp_path / "log.csv"), read=ReadSpec(text=("store", "member"))), "event_time", "id"
        )
    )
    assert {log.types["store"], log.types["member"]} == {"string"}
    assert set(log.read(WINDOW)[0]["member"]) == {"true", "false"}


@pytest.mark.parametrize("server", ["empty_postgresql", "empty_mariadb"])
def test_odd_columns_of_databases_are_left_out_or_numbers(server: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(server)
    is_postgresql = "postgres" in url
    columns = (
        "id BIGINT, event_time TIMESTAMPTZ, price NUMERIC(9,2), plain NUMERIC, paid MONEY, mood mood, tags TEXT[], blob"
        " BYTEA, doc JSONB, span INTERVAL, flag BIT(3)"
        if is_postgresql
        else "id BIGINT, event_time DATETIME(6), price DECIMAL(9,2), mood ENUM('sad','ok'), `blob` BLOB, doc JSON"
    )
    values = (
        "'9.50', 1.25, '3.10', 'ok', ARRAY['a'], '\\x8002', '{\"a\": 1}', '1 day', B'101'"
        if is_postgresql
        else "9.50, 'ok', x'8002', '{\"a\": 1}'"
    )
    with Database(url).engine.begin() as connection:
        if is_postgresql:
            connection.execute(text("CREATE TYPE mood AS ENUM ('sad', 'ok')"))
        connection.execute(text(f"CREATE TABLE log ({columns})"))
        for number in range(3):
            connection.execute(
                text(
                    f"INSERT INTO log VALUES ({number}, '2026-03-02 0{number}:00:00',"
                    f" {values.replace(':', chr(92) + ':')})"
                )
            )
    place = Place("log", url=url, table="log")
    log = Log(LogSpec(place, "event_time", "id"))
    frame, counts = log.read(Window(WINDOW.start, WINDOW.start + timedelta(days=1)))
    assert counts.rows == len(frame) == 3
    assert frame["price"].tolist() == [9.5] * 3
    assert frame["mood"].tolist() == ["ok"] * 3
    assert "blob" in left_out_of(place)
    if is_postgresql:
        assert frame["plain"].tolist() == [1.25] * 3
        assert {"tags", "blob", "doc", "span"} <= set(left_out_of(place))
