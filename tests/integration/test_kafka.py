"""Rows from a topic of Kafka. The brokers are the mock brokers of librdkafka."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from monitor.config.load import load
from monitor.errors import UsageError
from monitor.services.consume import Topic, consume
from monitor.services.context import Context, open_database
from tests.commands import run_here

# Short timeouts: the brokers notice sooner that a member of the group is gone.
SOON = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "500"}
CONFIGURATION = """
database: sqlite:///monitor.db
monitors:
  churn:
    task: binary
    model: {name: churn}
    source: {path: log/*.parquet, ingest: true}
    labels: {path: labels/*.parquet, ingest: true, columns: {id: id, label: label, label_time: label_time}}
    reference: {start: 2026-01-01, end: 2026-02-01}
    columns: {id: id, event_time: at, probability: score, label: label}
    windows: {length: 1d}
"""


@pytest.fixture(scope="module")
def brokers() -> tuple[str, Any]:
    """The address of brokers, and a producer that sends to them."""
    kafka = pytest.importorskip("confluent_kafka")
    producer = kafka.Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "unused"})
    broker_list = producer.list_topics(timeout=10).brokers.values()
    return ",".join(f"{broker.host}:{broker.port}" for broker in broker_list), producer


def project(folder: Path) -> Context:
    (folder / "monitor.yaml").write_text(CONFIGURATION)
    loaded = load(folder / "monitor.yaml")
    database = open_database(loaded)
    database.migrate()
    return Context(loaded, database)


def sent(producer: Any, topic: str, messages: list[Any]) -> None:
    for message in messages:
        producer.produce(topic, message if isinstance(message, bytes) else json.dumps(message).encode())
    assert producer.flush(10) == 0


def rows_in(folder: Path) -> list[dict[str, Any]]:
    from monitor.sources.ingest import open_store

    open_store(folder).flush()
    return [row for file in sorted(folder.glob("*.parquet")) for row in parquet.read_table(file).to_pylist()]


@pytest.mark.long
def test_rows_are_stored_once_and_what_is_none_is_set_aside(tmp_path: Path, brokers: tuple[str, Any]) -> None:
    servers, producer = brokers
    context = project(tmp_path)
    good = [
        {"id": str(n), "at": f"2026-03-01T00:{n:02d}:00Z", "score": n / 60, "inputs": {"age": n}} for n in range(50)
    ]
    sent(
        producer,
        "predictions",
        [*good[:20], b"not json", {"score": 0.5}, b"[1]", *good[20:], good[3], {"id": "n", "score": "high"}],
    )
    topic = Topic(servers, "predictions", "one")
    done = consume(context, "churn", topic, lambda: False, idle_s=2)
    assert (done.accepted, done.bad) == (50, 4)
    rows = rows_in(tmp_path / "log")
    assert sorted(int(row["id"]) for row in rows) == list(range(50))
    assert {"id", "at", "score", "inputs.age"} == set(rows[0])
    dead_letters = [
        json.loads(line) for line in (tmp_path / "log" / "dead-letters" / "kafka.jsonl").read_text().splitlines()
    ]
    assert len(dead_letters) == 4
    assert {"not json", "[1]"} <= {entry["value"] for entry in dead_letters}
    # The group continues at its offset. Another group receives all messages again, and the rows are already stored.
    assert consume(context, "churn", topic, lambda: False, idle_s=2).accepted == 0
    again = consume(context, "churn", Topic(servers, "predictions", "two"), lambda: False, idle_s=2)
    assert again.accepted == 0
    assert len(rows_in(tmp_path / "log")) == 50


@pytest.mark.long
def test_offsets_are_committed_only_after_rows_are_stored(
    tmp_path: Path, brokers: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    servers, producer = brokers
    context = project(tmp_path)
    sent(producer, "killed", [{"id": str(n), "score": 0.5} for n in range(10)])
    from monitor.services import consume as module

    def killed(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "ingest_predictions", killed)
        with pytest.raises(KeyboardInterrupt):
            consume(context, "churn", Topic(servers, "killed", "one", properties=SOON), lambda: False, idle_s=2)
    done = consume(context, "churn", Topic(servers, "killed", "one", properties=SOON), lambda: False, idle_s=2)
    assert done.accepted == 10
    assert all(row["at"] is not None for row in rows_in(tmp_path / "log"))  # that of the message


@pytest.mark.long
def test_the_command_takes_labels_and_says_what_is_wrong(tmp_path: Path, brokers: tuple[str, Any]) -> None:
    servers, producer = brokers
    project(tmp_path)
    sent(producer, "labels", [{"id": str(n), "label": n % 2} for n in range(10)])
    done = run_here(
        "ingest", "churn", "--kafka", servers, "--topic", "labels", "--labels", "--until-idle", "2s", cwd=tmp_path
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        "10 rows stored, 0 were there already, 0 messages set aside",
    )
    wrong = run_here(
        "ingest", "churn", "--kafka", servers, "--topic", "labels", "--property", "no.such=1", cwd=tmp_path
    )
    assert (wrong.returncode, "no.such" in wrong.stderr) == (UsageError.exit_code, True)
    away = run_here(
        "ingest", "churn", "--kafka", "127.0.0.1:1", "--topic", "labels", "--until-idle", "20s", cwd=tmp_path
    )
    assert away.returncode == 3
    assert "127.0.0.1:1" in away.stderr
