"""The HTTP API: reading, changes, ingestion, the Python client. Every answer is documented."""

from __future__ import annotations

import base64
import gzip
import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pyarrow as pa
import pytest
import requests
import zstandard

from monitor import Client, ClientError
from monitor.client import Ingested
from monitor.services.apply_configuration import apply_configuration
from monitor.sources import ingest
from monitor.sources.ingest import ParquetStore
from monitor.storage.tables import Run
from tests.conftest import Project, logged
from tests.nasty import TIMES
from tests.processes import wait_until
from tests.web import Served, served

ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture(scope="module")
def site(history: Project) -> Iterator[Served]:
    with served(history, requests_per_minute=1_000_000) as service:
        yield service


def test_lists_are_paged_and_what_has_not_changed_is_not_sent_again(site: Served) -> None:
    seen, cursor = [], None
    while True:
        page = site.get("/api/v1/runs", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        seen += [run["id"] for run in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    together = site.get("/api/v1/runs", params={"limit": 500}).json()["items"]  # other tests may have asked for runs
    assert len(seen) >= 10
    assert seen == [run["id"] for run in together]
    first = site.get("/api/v1/monitors/churn/series")
    assert first.headers["content-encoding"] == "gzip"
    time.sleep(1.1)  # gzip writes the second in which it packs
    again = site.get("/api/v1/monitors/churn/series", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("digits", ["9" * 30, str(2**63), "-1", "٣", "x", "\x00"])
def test_a_cursor_that_is_none_of_ours_is_refused(site: Served, digits: str) -> None:
    for cursor in (digits, base64.urlsafe_b64encode(digits.encode()).decode()):
        for what in ("runs", "findings", "alerts", "silences", "notifications", "retraining", "deployments"):
            answer = site.get(f"/api/v1/{what}", params={"cursor": cursor})
            assert answer.status_code == 400, answer.text


@pytest.mark.long
@pytest.mark.parametrize("when", TIMES)
def test_a_time_that_no_calendar_has_is_refused_in_the_pages_and_the_api(site: Served, when: str) -> None:
    arguments = {"params": {"start": when, "end": when}}
    answers = [
        site.get("/monitors/churn", **arguments),
        site.get("/api/v1/monitors/churn/metrics/roc_auc", **arguments),
    ]
    answers.append(site.post("/api/v1/monitors/churn/runs", json={"start": when, "end": "2025-01-02T00:00:00Z"}))
    answers.append(site.post("/api/v1/monitors/churn/runs", json={"start": "2025-01-02T00:00:00Z", "end": when}))
    answers.append(site.post("/api/v1/deployments", json={"model": "nobody", "version": "2", "deployed_at": when}))
    for duration in ("1s", "900mo"):
        silence = {"matchers": ['model="nobody"'], "duration": duration, "starts_at": when}
        answers.append(site.post("/api/v1/silences", json=silence))
    assert {answer.status_code for answer in answers} <= {200, 201, 202, 400}, [answer.text for answer in answers]
    for item in site.get("/api/v1/silences").json()["items"]:
        requests.delete(f"{site.url}/api/v1/silences/{item['id']}", timeout=60)


@pytest.mark.parametrize("length", ["99999999d", "9" * 25 + "d", "9" * 5000 + "s", "12000mo"])
def test_a_length_of_time_beyond_all_calendars_is_refused(site: Served, length: str) -> None:
    answer = site.post("/api/v1/silences", json={"matchers": ['model="nobody"'], "duration": length})
    assert (answer.status_code, "too long" in answer.json()["detail"]) == (400, True)
    taken = site.post(f"/api/v1/alerts/{site.ids()['alert']}/acknowledge", json={"duration": length})
    assert taken.status_code == 400


def test_a_long_series_keeps_its_peaks_when_it_is_thinned() -> None:
    from datetime import UTC, datetime, timedelta

    from monitor.storage.overview import Value
    from monitor.web.api.monitors import thinned

    start = datetime(2025, 1, 1, tzinfo=UTC)
    values = [
        Value(start + timedelta(hours=n), 100.0 if n == 4321 else n % 7, None, None, None, None, "", "")
        for n in range(10_000)
    ]
    kept = thinned(values, 200)
    assert len(kept) <= 202
    assert max(point.value or 0 for point in kept) == 100
    assert [point.start for point in kept] == sorted(point.start for point in kept)


def test_what_people_do_by_the_api(site: Served) -> None:
    ids = site.ids()
    alert = site.post(f"/api/v1/alerts/{ids['alert']}/acknowledge", json={"note": "on it", "duration": "2d"}).json()
    assert alert["acknowledged"] is True
    life = site.get(f"/api/v1/alerts/{ids['alert']}").json()
    assert life["timeline"][-1]["detail"]["note"] == "on it"
    assert site.post(f"/api/v1/alerts/{ids['alert']}/unacknowledge").json()["acknowledged"] is False
    assert site.post(f"/api/v1/alerts/{ids['alert']}/feedback", json={"verdict": "useless"}).status_code == 200
    silence = site.post("/api/v1/silences", json={"matchers": ['model_monitor="churn"'], "duration": "2h"})
    assert silence.status_code == 201
    assert "silenced until" in site.get(f"/api/v1/alerts/{ids['alert']}").json()["quiet"]
    assert requests.delete(f"{site.url}/api/v1/silences/{silence.json()['id']}", timeout=60).status_code == 200
    for item in site.get("/api/v1/silences").json()["items"]:
        requests.delete(f"{site.url}/api/v1/silences/{item['id']}", timeout=60)
    assert site.post("/api/v1/deployments", json={"model": "nobody", "version": "2"}).status_code == 400
    planned = site.post("/api/v1/monitors/churn/runs", json={})
    assert planned.status_code == 202
    assert site.get(f"/api/v1/runs/{planned.json()['runs'][0]}").json()["kind"] == "adhoc"
    assert site.get(f"/api/v1/runs/{ids['run']}/findings").json()[0]["severity"] == "critical"
    report = site.get(f"/api/v1/runs/{ids['run']}/report")
    assert "attachment" in report.headers["content-disposition"]


def test_one_call_tells_of_a_deployment_and_switches_the_reference(project: Project) -> None:
    with served(project) as site:
        apply_configuration(site.context)
        logged(900, seed=9).to_parquet(project.folder / "next.parquet", index=False)
        Client(site.url).deployed("churn", "2", "new features", reference="next.parquet")
        # The reference of the configuration may have been fitted meanwhile.
        references = site.get("/api/v1/references", params={"monitor": "churn"}).json()
        (row,) = [reference for reference in references if reference["who"] == "web"]
        assert (row["rows"], row["why"], row["who"]) == (900, "version 2 was deployed", "web")
        assert site.get("/api/v1/deployments").json()["items"][0]["version"] == "2"
        with pytest.raises(ClientError, match="outside the folder"):
            Client(site.url).deployed("churn", "3", reference="../../etc/passwd")
        with pytest.raises(ClientError, match="no monitor watches"):
            Client(site.url).deployed("nobody", "3")
        # No answer came in time, and the call is repeated: one deployment, one reference.
        deployment = {
            "model": "churn",
            "version": "4",
            "deployed_at": "2025-03-01T12:00:00+00:00",
            "reference": "next.parquet",
        }
        for _ in range(2):
            assert site.post("/api/v1/deployments", json=deployment).status_code == 201
        references = site.get("/api/v1/references", params={"monitor": "churn"}).json()
        assert [reference["why"] for reference in references if reference["who"] == "web"].count(
            "version 4 was deployed"
        ) == 1
    assert project.query("SELECT version FROM deployments ORDER BY version") == [("2",), ("4",)]


def test_a_training_is_completed_by_its_own_token_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from monitor.services.launch_retraining import Launcher
    from monitor.services.workers import WorkerPool
    from tests.acceptance.test_launchers import requested
    from tests.alerting import Service

    policy = {"when": ["performance"], "launcher": "train"}
    service = Service(
        project,
        {"churn": {"alerts": {}, "retraining": policy}},
        external_url="https://monitor.example.org",
        launchers={"train": {"type": "webhook", "url": "http://127.0.0.1:1/", "allow_private": True}},
    )
    uuid = service.context.database.transact(requested, 1)
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "monitor.services.launch_retraining.webhook.launch", lambda url, secret, request, **_: sent.append(request)
    )
    launcher = Launcher(service.context, WorkerPool(warm=False))
    launcher.launch()
    launcher.close()
    schema = Path(__file__).resolve().parents[2] / "docs/reference/retraining.schema.json"
    jsonschema.validate(sent[0], json.loads(schema.read_text()))
    callback = sent[0]["callback"]
    assert callback["url"] == f"https://monitor.example.org/api/v1/retraining/{uuid}/complete"
    with served(project, users=("admin",), login=True) as site:
        path = f"/api/v1/retraining/{uuid}/complete"
        assert site.post(path, json={}).status_code == 401
        assert site.post(path, json={}, headers={"authorization": "Bearer monc_wrong"}).status_code == 403
        token = {"authorization": f"Bearer {callback['token']}"}
        assert site.get("/api/v1/monitors", headers=token).status_code == 401
        assert site.post(path, json={"text": "done"}, headers=token).json()["state"] == "succeeded"
        assert site.post(path, json={}, headers=token).status_code == 409


@pytest.fixture
def empty(project: Project) -> Project:
    """A model without a log, which sends its predictions."""
    project.monitor["source"] = {"path": "sent/predictions/*.parquet", "ingest": True}
    project.monitor["labels"] = {"path": "sent/labels/*.parquet", "ingest": True, "delay": "1d", "expected": 1.0}
    return project


def rows_in(project: Project, what: str = "predictions") -> pd.DataFrame:
    ingest.open_store(project.folder / "sent" / what).flush()
    return pd.concat([pd.read_parquet(path) for path in sorted((project.folder / "sent" / what).glob("*.parquet"))])


def test_a_model_without_a_log_sends_what_it_predicts_and_is_watched(empty: Project) -> None:
    frame = logged(1200)
    with served(empty) as site:
        client = Client(site.url)
        assert client.predictions("churn", frame.drop(columns="label")).accepted == 1200
        assert client.predictions("churn", frame.drop(columns="label")).duplicates == 1200
        truth = frame[["id", "label"]].assign(label_time=frame["event_time"] + pd.Timedelta("1h"))
        assert client.labels("churn", pa.Table.from_pandas(truth)).accepted == 1200
        rows_in(empty)
        rows_in(empty, "labels")
    assert empty.run().failed == 0
    assert empty.query("SELECT DISTINCT status, severity FROM runs") == [("done", "none")]
    assert empty.query("SELECT sum(r.rows) FROM runs r WHERE kind = 'data'") == [(1200,)]


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_is_sent_may_be_kept_in_tables(project: Project, kind: str, request: pytest.FixtureRequest) -> None:
    url = f"sqlite:///{project.folder}/sent.db" if kind == "sqlite" else request.getfixturevalue("empty_postgresql")
    project.monitor["source"] = {"url": url, "table": "predictions", "ingest": True}
    project.monitor["labels"] = {"url": url, "table": "truth", "ingest": True, "delay": "1d", "expected": 1.0}
    project.monitor["windows"]["length"] = "30d"  # one row comes today: few windows lie before it
    frame = logged(1200)
    with served(project) as site:
        client = Client(site.url)
        first, rest = frame.iloc[:600].drop(columns=["label", "noise"]), frame.drop(columns="label")
        assert client.predictions("churn", first).accepted == 600
        assert client.predictions("churn", rest) == Ingested(600, 600, 1)  # with a column that is new
        assert client.predictions("churn", {"id": 5000, "probability": 0.5, "prediction": 1}).accepted == 1
        truth = frame[["id", "label"]].assign(label_time=frame["event_time"] + pd.Timedelta("1h"))
        assert client.labels("churn", truth).accepted == 1200
        accepted = [client.labels("churn", {"id": 5000, "label": label}).accepted for label in (0, 0, 1, 1, 0)]
        assert accepted == [1, 0, 1, 0, 1]
        with pytest.raises(ClientError, match="do not fit"):
            client.predictions("churn", {"id": "five", "probability": "x", "prediction": 1})
    assert project.run().failed == 0
    assert project.query("SELECT DISTINCT severity FROM runs WHERE kind = 'performance' AND status = 'done'") == [
        ("none",)
    ]
    assert (
        project.query(
            "SELECT sum(r.rows) FROM runs r WHERE kind = 'data' AND window_start < '2025-02-01' AND status = 'done'"
        )[0][0]
        == 1200
    )


def test_rows_come_as_json_lines_or_arrow_plain_or_packed(empty: Project) -> None:
    rows = [{"id": n, "prediction": 1, "probability": 0.9, "income": 1.5 if n else 1} for n in range(3)]
    table = pa.Table.from_pylist([{**row, "id": row["id"] + 100} for row in rows])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    lines = "\n".join(json.dumps({**row, "id": row["id"] + 200}) for row in rows).encode()
    path = "/api/v1/predictions?monitor=churn"
    with served(empty) as site:
        assert site.post(path, json=rows).json() == {"accepted": 3, "duplicates": 0, "new_columns": 1}
        assert site.post(path, json={"rows": rows}).json() == {"accepted": 0, "duplicates": 3, "new_columns": 0}
        packed = {"content-type": ARROW, "content-encoding": "zstd"}
        assert site.post(path, data=zstandard.compress(bytes(sink.getvalue())), headers=packed).json()["accepted"] == 3
        packed = {"content-type": "application/x-ndjson", "content-encoding": "gzip"}
        assert site.post(path, data=gzip.compress(lines), headers=packed).json()["accepted"] == 3
        assert Client(site.url).predictions("churn", rows[0] | {"id": 900}).accepted == 1
    stored = rows_in(empty)
    assert len(stored) == stored["id"].nunique() == 10
    assert stored["event_time"].notna().all()


def test_what_cannot_be_taken_is_refused_whole_and_in_words(empty: Project) -> None:
    path = "/api/v1/predictions?monitor=churn"
    good = {"id": 1, "prediction": 1, "probability": 0.9, "region": "north"}
    with served(empty) as site:
        assert site.post(path, json=[good]).status_code == 202
        for rows, words in (
            ([{"id": 2}], "no column 'prediction'"),
            ([good, {**good, "id": None}], "an id is missing"),
            ([{**good, "id": 3, "region": 5}, {**good, "id": 4}], "several types"),
            ([{**good, "id": 5, "probability": "high"}], "was double so far"),
            ([{**good, "id": 6, "event_time": "yesterday"}], "not all times"),
            ([{**good, "id": 7, "tags": ["a"]}], "lists or objects"),
            ([], "a list of rows"),
            (["x"], "a list of rows"),
        ):
            answer = site.post(path, json=rows)
            assert answer.status_code == 422, (rows, answer.text)
            assert words in answer.json()["detail"], (rows, answer.text)
        assert site.post("/api/v1/predictions?monitor=nobody", json=[good]).status_code == 404
        with pytest.raises(ClientError, match="no column 'prediction'") as caught:
            Client(site.url).predictions("churn", {"id": 8})
        assert caught.value.status == 422
    assert list(rows_in(empty)["id"]) == [1]


def test_arrow_streams_that_are_made_to_do_harm_are_refused(empty: Project) -> None:
    def stream(table: pa.Table, **options: Any) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
            writer.write_table(table)
        return bytes(sink.getvalue())

    rows = pa.table(
        {"id": [str(number) for number in range(1000)], "prediction": [1] * 1000, "probability": [0.5] * 1000}
    )
    path, header = "/api/v1/predictions?monitor=churn", {"content-type": ARROW}
    with served(empty) as site:
        for compression in ("zstd", "lz4"):
            packed = stream(rows, compression=compression)
            dictionary = stream(rows.set_column(0, "id", rows["id"].dictionary_encode()), compression=compression)
            for body in (packed, dictionary):
                assert "packed within" in site.post(path, data=body, headers=header).json()["detail"]
        encoded = pa.RunEndEncodedArray.from_arrays(pa.array([1000], pa.int32()), pa.array([1.0]))
        assert (
            "run-end"
            in site.post(path, data=stream(rows.append_column("x", [encoded])), headers=header).json()["detail"]
        )
        good, dice = stream(rows), random.Random(0)
        for _ in range(60):  # flipped bits: a clear answer, and the service continues
            broken = bytearray(good)
            for _ in range(dice.choice([1, 3, 20])):
                broken[dice.randrange(len(broken))] = dice.randrange(256)
            answer = site.post(path, data=bytes(broken[: dice.choice([len(broken), len(broken) // 2])]), headers=header)
            assert answer.status_code in (202, 422), answer.text
        assert site.post(path, data=good, headers=header).status_code == 202


def test_a_log_of_its_own_is_not_written(site: Served) -> None:
    answer = site.post("/api/v1/predictions?monitor=churn", json=[{"id": 1}])
    assert (answer.status_code, "ingest: true" in answer.json()["detail"]) == (400, True)


def test_labels_that_are_corrected_are_kept_and_repeated_ones_are_not(empty: Project) -> None:
    with served(empty) as site:
        client = Client(site.url)
        accepted = [client.labels("churn", {"id": 1, "label": label}).accepted for label in (0, 0, 1, 1, 0)]
    assert accepted == [1, 0, 1, 0, 1]
    assert list(rows_in(empty, "labels")["label"]) == [0, 1, 0]


def test_a_process_that_dies_while_it_takes_rows_keeps_each_once(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def table(first: int, number: int) -> tuple[pa.Table, list[str]]:
        ids = [str(index) for index in range(first, first + number)]
        return pa.table({"id": ids, "x": [1.0] * number}), ids

    folder = tmp_path / "store"
    store = ParquetStore(folder)
    large = ingest.ROWS_A_FILE
    store.add(*table(0, large))
    written = store._write

    def dies(number: int, rows: pa.Table) -> None:
        written(number, rows)
        raise SystemExit

    monkeypatch.setattr(store, "_write", dies)
    with pytest.raises(SystemExit):
        store.add(*table(large, large))  # its file is written, its transaction is not
    store.add(*table(5 * large, 3))
    with pytest.raises(SystemExit):
        store.flush()
    again = ParquetStore(folder)
    assert again.add(*table(large, large)).accepted == large
    assert again.add(*table(5 * large, 3)).duplicates == 3
    again.flush()
    stored = pd.concat([pd.read_parquet(path) for path in folder.glob("*.parquet")])
    assert len(stored) == stored["id"].nunique() == 2 * large + 3
    wait_until(lambda: not list(folder.glob("*.half")), 5)


def test_plots_of_the_fleet_are_drawn_before_anybody_asks(history: Project) -> None:
    with served(history) as site:
        wait_until(lambda: site.site.last_windows, 20)
        ended, spark, lines = next(iter(site.site.last_windows.values()))
        assert ended is not None
        assert spark.realised
        assert lines.realised in site.get("/").text


def test_health_and_metrics(site: Served) -> None:
    assert site.get("/healthz").json() == {"status": "ok"}
    assert site.get("/readyz").json() == {"status": "ok"}
    answer = site.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    for name in (
        "monitor_runs_total",
        "monitor_lag_seconds",
        "monitor_alerts_firing",
        "monitor_model_performance",
        "monitor_notifications",
    ):
        assert f"# HELP {name}" in answer.text
    assert 'monitor_alerts_firing{kind="performance",severity="critical"} 1.0' in answer.text
    done = site.database.read(lambda session: session.query(Run).filter_by(kind="data", status="done").count())
    assert f'monitor_runs_total{{kind="data",status="done"}} {done:.1f}' in answer.text


@pytest.mark.long
@pytest.mark.parametrize("examples", [12, pytest.param(200, marks=pytest.mark.long)])
def test_the_api_answers_nothing_that_is_not_documented(own_history: Project, examples: int) -> None:
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st
    from schemathesis import openapi
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    from tests.widened import known_things, widened

    checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
    answers: dict[int, int] = {}
    with served(own_history, requests_per_minute=1_000_000) as site:
        real_values = known_things(site.url)
        for result in openapi.from_url(f"{site.url}/api/v1/schema/openapi.json").get_all_operations():
            operation = result.ok()

            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.explicit, Phase.generate],
            )
            @given(case=operation.as_strategy(), data=st.data())
            def ask(case: Any, data: Any) -> None:
                response = case.call(timeout=60, **widened(case, data, real_values))
                answers[response.status_code] = answers.get(response.status_code, 0) + 1
                case.validate_response(response, checks=checks)

            ask()
    print(f"answers by status: {answers}")
    assert {200, 400, 404} <= set(answers)


def test_values_on_too_few_rows_are_not_drawn_and_the_page_says_so(project: Project) -> None:
    frame = logged()
    sparse = frame["event_time"] >= "2025-01-16"
    project.log(frame[~sparse | (frame.index % 25 == 0)])
    project.labels(frame)
    project.run()
    with served(project) as site:
        page = site.get("/monitors/churn").text
        drawn = json.loads(re.search(r'id="drawn">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
        stored = site.get("/api/v1/monitors/churn/metrics/roc_auc").json()["points"]
    assert "2 values are not drawn: too few rows" in page  # realised and estimated, of 12 rows
    line = drawn["performance"]["realised"]
    with_values = {start[:10] for start, value in zip(line["x"], line["value"], strict=True) if value is not None}
    assert {point["window_start"][:10] for point in stored} - with_values == {"2025-01-16"}
