"""Ingestion: accepted rows become a file or are reported, a bad batch stops no other, and small bodies do not take much
memory.
"""

from __future__ import annotations

import json
import sqlite3
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from monitor.errors import DataError, SourceUnreachableError
from monitor.services import refusals
from monitor.services.apply_configuration import apply_configuration
from monitor.services.context import Context
from monitor.services.watch_self import watch_self
from monitor.sources import ingest
from monitor.sources.dead_letters import dead_letters
from monitor.sources.ingest import ParquetStore
from monitor.sources.ingest_body import MOST_ROWS, parse
from monitor.storage import alerts
from tests.conftest import Project
from tests.nasty import TIMES, as_stream
from tests.processes import wait_until
from tests.web import Served, served

PATH = "/api/v1/predictions?monitor=churn"
ARROW = {"content-type": "application/vnd.apache.arrow.stream"}
MOST = 16 * 2**20


@pytest.fixture
def sending(project: Project) -> Project:
    """A model without a log, which sends its predictions."""
    project.monitor["source"] = {"path": "sent/predictions/*.parquet", "ingest": True}
    project.monitor["labels"] = {"path": "sent/labels/*.parquet", "ingest": True, "delay": "1d"}
    return project


@pytest.fixture(params=["files", "table"])
def either(sending: Project, request: pytest.FixtureRequest) -> Project:
    """The same, stored in files or in a table."""
    if request.param == "table":
        url = f"sqlite:///{sending.folder}/sent.db"
        sending.monitor["source"] = {"url": url, "table": "predictions", "ingest": True}
        sending.monitor["labels"] = {"url": url, "table": "truth", "ingest": True, "delay": "1d"}
    return sending


def row(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"a{number}", "prediction": 1, "probability": 0.5, **more}


def ids_in(folder: Path) -> list[str]:
    return sorted(name for path in folder.glob("*.parquet") for name in pd.read_parquet(path)["id"])


def table(*ids: str, **columns: Any) -> pa.Table:
    return pa.table({"id": list(ids), "prediction": [1.0] * len(ids), **columns})


INTERVAL = pa.array([(1, 2, 3)], pa.month_day_nano_interval())


def test_a_row_that_cannot_be_kept_is_refused_and_later_rows_become_files(
    sending: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "FLUSH_AFTER_S", 0.1)
    folder = sending.folder / "sent/predictions"
    odd = table("bad", probability=[0.5], odd=INTERVAL)
    with served(sending) as site:
        assert site.post(PATH, json=[row(1)]).status_code == 202
        answer = site.post(PATH, data=as_stream(odd), headers=ARROW)
        assert (answer.status_code, "'odd' is of the type month_day_nano_interval" in answer.json()["detail"]) == (
            422,
            True,
        )
        assert site.post(PATH, json=[row(2)]).status_code == 202
        wait_until(lambda: ids_in(folder) == ["a1", "a2"], 20)


def test_a_batch_is_tried_before_it_is_accepted(tmp_path: Path) -> None:
    store = ParquetStore(tmp_path / "store")
    with pytest.raises(DataError, match="cannot be kept"):
        store.add(table("bad", odd=INTERVAL), ["bad"])
    assert store.add(table("bad"), ["bad"]).accepted == 1


def left_behind(folder: Path, number: int, data: bytes) -> None:
    """Leave a waiting batch, as an earlier version or a fault of the disk may do."""
    with sqlite3.connect(folder / ".index.db") as index:
        index.execute("INSERT INTO batches VALUES (?, 3)", [number])
        index.execute("INSERT INTO waiting VALUES (?, ?)", [number, data])


def test_a_batch_that_cannot_be_written_is_set_aside_and_the_others_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = ParquetStore(folder)
    store.add(table("a"), ["a"])
    left_behind(folder, 2, as_stream(table("bad", odd=INTERVAL)))
    left_behind(folder, 3, b"no Arrow stream at all")
    store.add(table("b"), ["b"])
    assert store.flush() == 2
    assert ids_in(folder) == ["a", "b"]
    set_aside = dead_letters(folder)
    assert set_aside is not None
    assert (set_aside.batches, set_aside.rows) == (2, 6)
    again = ParquetStore(folder)
    again.add(table("c"), ["c"])
    assert again.flush() == 1
    assert ids_in(folder) == ["a", "b", "c"]
    reason = json.loads((folder / "dead-letters/batch-000000000002.json").read_text())
    assert "interval" in reason["reason"].lower()


def test_what_was_set_aside_is_told_until_somebody_takes_it_away(
    sending: Project, monitor_command: Callable[..., Any]
) -> None:
    folder = sending.folder / "sent/predictions"
    ParquetStore(folder)
    left_behind(folder, 1, as_stream(table("bad", odd=INTERVAL)))
    with sending.daemon(catches_up=False) as daemon, served(sending) as site:  # it is read when the server starts
        wait_until(lambda: dead_letters(folder), 20)
        assert site.post(PATH, json=[row(1)]).status_code == 202
        state = "SELECT state, summary FROM alerts WHERE kind = 'self' AND subject = 'dead_letters:churn'"
        watch_self(daemon.context)
        [(alert_state, summary)] = sending.query(state)
        assert alert_state == "firing"
        assert "1 batches (3 rows) that were accepted cannot be written" in summary
        for command in ("status", "doctor"):
            assert "that were accepted cannot be written" in monitor_command(command, cwd=sending.folder).stdout
        for path in (folder / "dead-letters").iterdir():
            path.unlink()
        watch_self(daemon.context)
        assert sending.query(state)[0][0] == "resolved"


def test_rows_that_waited_when_the_service_stopped_become_files_when_it_starts(sending: Project) -> None:
    folder = sending.folder / "sent/predictions"
    store = ParquetStore(folder)
    store.add(table("a"), ["a"])
    assert store._timer is not None
    store._timer.cancel()  # as the end of its process does
    with served(sending):
        wait_until(lambda: ids_in(folder) == ["a"], 20)


def test_rows_are_written_later_where_they_cannot_be_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "FLUSH_AFTER_S", 0.1)
    store = ParquetStore(tmp_path)
    in_the_way = tmp_path / "part-000000000001.half"
    in_the_way.mkdir()
    store.add(table("a"), ["a"])
    with pytest.raises(SourceUnreachableError):
        store.flush()
    time.sleep(0.3)
    in_the_way.rmdir()
    wait_until(lambda: ids_in(tmp_path) == ["a"], 20)


def test_whole_numbers_and_fractions_that_wait_together_become_a_file(tmp_path: Path) -> None:
    store = ParquetStore(tmp_path)
    store.add(table("a", x=[1]), ["a"])
    store.add(table("b", x=[1.5]), ["b"])
    assert store.flush() == 2
    assert ids_in(tmp_path) == ["a", "b"]
    assert dead_letters(tmp_path) is None


def test_a_row_with_fifty_thousand_names_is_refused_and_leaves_nothing_behind(either: Project) -> None:
    def seconds(number: int) -> float:
        began = time.perf_counter()
        assert site.post(PATH, json=[row(number)]).status_code == 202
        return time.perf_counter() - began

    with served(either) as site:
        seconds(0)
        before = min(seconds(number) for number in range(1, 6))
        for names in (50_000, 9_000, 600):
            answer = site.post(PATH, json=[row(7, **{f"k{number}": 1 for number in range(names)})])
            assert (answer.status_code, "columns" in answer.json()["detail"]) == (422, True), answer.text
        assert min(seconds(number) for number in range(11, 16)) < 5 * before + 0.1
        assert site.post(PATH, json=[row(16, income=1.5)]).json()["new_columns"] == 1


def test_columns_that_nobody_has_named_are_counted_and_bounded(either: Project) -> None:
    either.monitor["source"]["max_new_columns"] = 2
    with either.daemon(catches_up=False) as daemon:
        daemon.ready()  # the reference names income, region and noise
    with served(either) as site:

        def sent(number: int, **more: Any) -> Any:
            return site.post(PATH, json=[row(number, **more)]).json()

        assert sent(1, income=1.0, region="north", noise=0.5)["new_columns"] == 0
        assert sent(2, first=1.0)["new_columns"] == 1
        assert sent(3, first=1.0)["new_columns"] == 0
        assert "at most 2 are kept (`max_new_columns`); new are 'third', 'fourth'" in sent(
            4, second=1, third=1, fourth=1
        )["detail"].replace("'second', ", "")
        assert sent(5, second=1)["new_columns"] == 1
        assert sent(6, third=1)["status"] == 422
        assert sent(7, first=1.0, second=2, income=2.0) == {"accepted": 1, "duplicates": 0, "new_columns": 0}


def bombs() -> dict[str, bytes]:
    """Small bodies that are very large once unpacked."""
    rows, long = 1000, "x" * 100_000
    ids = [f"a{number}" for number in range(rows)]
    zeros = pa.array([0] * rows, pa.int8())
    small = {"id": ids, "prediction": [1.0] * rows, "probability": [0.5] * rows}
    _, one_view, content = pa.array([long], pa.string_view()).buffers()
    views = pa.Array.from_buffers(pa.string_view(), rows, [None, pa.py_buffer(one_view.to_pybytes() * rows), content])
    wide = {f"c{number}": pa.nulls(500_000) for number in range(400)}
    dictionary = pa.DictionaryArray.from_arrays(zeros, pa.array([long]))
    view_dictionary = pa.DictionaryArray.from_arrays(zeros, pa.array([long], pa.string_view()))
    bodies = {
        "dictionary": as_stream(pa.table(small | {"c": dictionary})),
        "dictionary of views": as_stream(pa.table(small | {"c": view_dictionary})),
        "views": as_stream(pa.table(small | {"c": views})),
        "columns of nulls": as_stream(pa.table(wide)),
        "short numbers": as_stream(pa.table({f"c{number}": pa.nulls(40_000, pa.bool_()) for number in range(200)})),
        "run ends": as_stream(
            pa.table(small | {"c": pa.RunEndEncodedArray.from_arrays(pa.array([rows], pa.int32()), pa.array([long]))})
        ),
        "nested": as_stream(pa.table(small | {"c": pa.array([[1]] * rows)})),
        "packed": as_stream(pa.table(small | {"c": [long] * rows}), compression="zstd"),
        "rows": as_stream(pa.table({"c": pa.nulls(10**9)})),
    }
    halves = [pa.DictionaryArray.from_arrays(zeros, pa.array(values)) for values in (["a"], ["a", "b"])]
    table_ = pa.table({"c": pa.chunked_array(halves)})
    bodies["dictionary that is added to"] = as_stream(table_, emit_dictionary_deltas=True)
    return bodies


BOMBS = tuple(bombs())


@pytest.mark.parametrize("name", BOMBS)
def test_what_a_stream_takes_is_known_before_it_is_undone(name: str) -> None:
    body = bombs()[name]
    assert len(body) < 3 * 2**20
    before = pa.total_allocated_bytes()
    with pytest.raises(DataError) as caught:
        parse(body, "arrow", MOST)
    del caught
    pool = pa.default_memory_pool()
    assert pa.total_allocated_bytes() - before < MOST
    assert pool.bytes_allocated() - before < MOST


def test_streams_of_another_byte_order_are_refused_before_they_are_turned() -> None:
    stream = bytearray(as_stream(table("a")))
    metadata, start = memoryview(stream)[8:], 8  # after the marker and the length of the message

    def number(form: str, at: int) -> int:
        return int(struct.unpack_from(form, metadata, at)[0])

    root = number("<I", 0)
    header = root + number("<H", root - number("<i", root) + 8)
    schema = header + number("<I", header)
    fields = schema - number("<i", schema)
    # The first field, the byte order, is omitted if it is little-endian. Here its offset is that of the second field,
    # whose value is not 0.
    stream[start + fields + 4 : start + fields + 6] = stream[start + fields + 6 : start + fields + 8]
    with pytest.raises(DataError, match="big-endian"):
        parse(bytes(stream), "arrow", MOST)


def test_what_is_small_once_it_is_undone_is_taken_in_every_encoding() -> None:
    ids = [f"a{number}" for number in range(1000)]
    words = pa.array(["north", None, "south", "west"] * 250)
    columns = {
        "id": ids,
        "dictionary": words.dictionary_encode(),
        "views": words.cast(pa.string_view()),
        "large": words.cast(pa.large_string()),
    }
    parsed = parse(as_stream(pa.table(columns)), "arrow", 2**20)
    assert parsed.num_rows == 1000
    from monitor.sources.ingest_types import plain

    kept = plain(parsed)
    assert [kept[name].type for name in columns] == [pa.string()] * 4
    assert kept["dictionary"].to_pylist() == kept["views"].to_pylist() == kept["large"].to_pylist() == words.to_pylist()


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b'[{"a": 1}' + b",{}" * (MOST_ROWS + 1) + b"]", "json"),
        (b"[" + b"[]," * (2 * MOST_ROWS) + b"1]", "json"),
        (b"{}\n" * (MOST_ROWS + 1), "ndjson"),
        (json.dumps([{f"c{n}": 1 for n in range(9_000)}] + [{}] * 9_000).encode(), "json"),
        (json.dumps([{"a": {f"c{n}": 1}} for n in range(20_000)]).encode(), "json"),
    ],
    ids=["rows", "lists", "lines", "names by rows", "keys by rows"],
)
def test_json_that_grows_in_memory_is_refused(body: bytes, form: Any) -> None:
    began = time.process_time()
    with pytest.raises(DataError):
        parse(body, form, MOST)
    assert time.process_time() - began < 10


def test_the_service_lives_on_after_a_bomb(sending: Project) -> None:
    with served(sending) as site:
        text = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int8()), pa.array(["x" * 1_000_000]))
        ids = [f"a{number}" for number in range(1000)]
        body = as_stream(pa.table({"id": ids, "prediction": [1.0] * 1000, "probability": [0.5] * 1000, "c": text}))
        began = time.perf_counter()
        answer = site.post(PATH, data=body, headers=ARROW)
        assert (answer.status_code, "128 MB in memory" in answer.json()["detail"]) == (422, True)
        assert time.perf_counter() - began < 5
        assert site.post(PATH, json=[row(1)]).status_code == 202


@pytest.mark.long
@pytest.mark.parametrize("when", TIMES)
def test_times_of_every_kind_are_taken_or_refused_in_words(either: Project, when: str) -> None:
    with served(either) as site:
        answers(site, [row(1, event_time=when)])
        answers(site, [row(2, event_time=when)], "labels")
        answers(site, [{"id": "a3", "label": 1, "label_time": when}], "labels")


def answers(site: Served, rows: list[dict[str, Any]], what: str = "predictions") -> None:
    answer = site.post(f"/api/v1/{what}?monitor=churn", data=json.dumps(rows))
    assert answer.status_code in (202, 422), (rows, answer.status_code, answer.text)


def test_numbers_and_names_of_every_kind_are_taken_or_refused_in_words(either: Project) -> None:
    with served(either) as site:
        for odd in (
            "\ud800",
            "a\udfff",
            "a\x00b",
            "",
            2**63,
            2**64,
            -(2**63),
            1e300,
            float("inf"),
            float("nan"),
            True,
            {"a": 1},
            [1],
        ):
            answers(site, [row(1, id=odd)])
            answers(site, [{"id": "b", "label": odd}], "labels")
            answers(site, [row(2, text=odd)])
            if isinstance(odd, str):
                answers(site, [row(3, **{odd: 1})])
        answers(site, [row(4, income=1, INCOME=2)])
        assert site.post(PATH, json=[row(5, id=1)]).status_code in (202, 422)


@pytest.mark.parametrize(
    "kind",
    [pa.timestamp("s"), pa.timestamp("ms", "UTC"), pa.timestamp("us"), pa.timestamp("ns"), pa.date32(), pa.date64()],
    ids=str,
)
def test_times_beyond_all_calendars_are_refused(either: Project, kind: pa.DataType) -> None:
    with served(either) as site:
        for number in (2**62, -(2**62), 2**31 - 1, -(2**31)):
            if kind == pa.date32() and abs(number) > 2**31:
                continue
            for name in ("event_time", "since"):
                content = pa.array([number], pa.int32() if kind == pa.date32() else pa.int64()).view(kind)
                body = as_stream(table("t", probability=[0.5], **{name: content}))
                answer = site.post(PATH, data=body, headers=ARROW)
                assert answer.status_code in (202, 422), answer.text


def test_that_rows_are_refused_is_told_by_the_service_too(sending: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    sending.monitor["source"]["max_new_columns"] = 2
    bomb = row(2, **{f"column-{number}": 1 for number in range(50)})
    with served(sending) as site:
        apply_configuration(site.context)

        def refusal_alerts() -> list[tuple[str, str]]:
            watch_self(site.context)
            return [
                (alert.state, alert.summary)
                for alert in site.database.read(alerts.firing_self)
                if alert.subject == "refused:churn"
            ]

        assert site.post(PATH, json=[row(1)]).status_code == 202
        assert not refusal_alerts()
        for _ in range(2):
            assert site.post(PATH, json=[bomb]).status_code == 422
        assert site.post(PATH, data=b"no rows", headers={"content-encoding": "gzip"}).status_code == 400
        assert site.post("/api/v1/predictions?monitor=nobody", json=[row(1)]).status_code == 404
        ((state, summary),) = refusal_alerts()
        assert (state, "3 requests with rows refused" in summary, "the body is not gzip" in summary) == (
            "firing",
            True,
            True,
        )
        assert 'monitor_ingest_refused_total{monitor="churn"} 3.0' in site.get("/metrics").text
        second_daemon = Context(site.context.loaded, site.database)  # a new daemon, without memory of the refusals
        watch_self(second_daemon)
        assert refusal_alerts()
        monkeypatch.setattr(refusals, "_QUIET_S", 0.0)
        assert not refusal_alerts()


def test_a_database_that_takes_no_rows_is_said_to(sending: Project) -> None:
    sending.monitor["source"] = {"url": "mysql://u@127.0.0.1:1/x", "table": "predictions", "ingest": True}
    with served(sending) as site:
        answer = site.post(PATH, json=[row(1)])
        assert (answer.status_code, "SQLite or PostgreSQL" in answer.text) == (400, True)
