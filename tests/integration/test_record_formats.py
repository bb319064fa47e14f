"""Each format of records gives the rows, and the evaluation, of the plain table of the same rows."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import random
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import ibis
import numpy as np
import pandas as pd
import pytest
import sqlglot
import yaml
from sqlalchemy import text

from monitor.analysis.evaluate import evaluate
from monitor.analysis.reference import Reference
from monitor.config.model import RecordFormat
from monitor.domain.columns import Columns
from monitor.domain.grid import Window
from monitor.sources.engines import engine_of
from monitor.sources.formats import FORMATS
from monitor.sources.log import Log
from monitor.sources.records.kept import first_records
from monitor.sources.spec import LogSpec, Place, ReadSpec
from monitor.sources.written import recognised
from monitor.storage.database import Database

ROWS = 2_400
WHOLE = Window(
    pd.Timestamp("2026-01-01", tz="UTC").to_pydatetime(), pd.Timestamp("2027-01-01", tz="UTC").to_pydatetime()
)
NAMES = ("age", "income", "city")
Row = dict[str, Any]


def plain() -> pd.DataFrame:
    """Inputs and outputs of a model, two rows per call. The id is that of the call, followed by the position."""
    chance = np.random.default_rng(7)
    score = chance.random(ROWS).round(4)
    call = np.arange(ROWS) // 2
    return pd.DataFrame(
        {
            "id": [f"call{number:04d}-{place % 2}" for place, number in enumerate(call)],
            "event_time": (pd.Timestamp("2026-03-01") + pd.to_timedelta(call * 5, unit="min")).strftime(
                "%Y-%m-%dT%H:%M:%SZ"
            ),
            "age": chance.integers(18, 80, ROWS),
            "income": chance.normal(40_000, 9_000, ROWS).round(2),
            "city": chance.choice(["Oslo", "Rome"], ROWS),
            "prediction": score,
        }
    )


TABLE = plain()


def calls() -> Iterator[tuple[str, str, list[Row], list[float]]]:
    """Each call: its id, its time, its inputs and its outputs."""
    for identity, rows in TABLE.groupby(TABLE["id"].str[:8], sort=True):
        yield (
            str(identity),
            rows["event_time"].iloc[0],
            rows[list(NAMES)].to_dict("records"),
            rows["prediction"].tolist(),
        )


def lines(path: Path, records: list[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def as_csv(rows: list[Row]) -> str:
    return "\n".join(",".join(str(row[name]) for name in NAMES) for row in rows) + "\n"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def sagemaker(folder: Path) -> Path:
    records = []
    for number, (identity, moment, rows, scores) in enumerate(calls()):
        shapes = [
            (
                {"observedContentType": "text/csv", "mode": "INPUT", "data": as_csv(rows), "encoding": "CSV"},
                "\n".join(map(str, scores)),
                "CSV",
            ),
            (
                {
                    "observedContentType": "application/json",
                    "data": json.dumps({"instances": rows}),
                    "encoding": "JSON",
                },
                ",".join(map(str, scores)),
                "CSV",
            ),
            (
                {
                    "observedContentType": "application/jsonlines",
                    "data": "\n".join(map(json.dumps, rows)),
                    "encoding": "JSON",
                },
                encoded(json.dumps({"predictions": scores})),
                "BASE64",
            ),
            (
                {
                    "observedContentType": None,
                    "data": encoded(json.dumps({name: [row[name] for row in rows] for name in NAMES})),
                    "encoding": "BASE64",
                },
                json.dumps({"predictions": [[score] for score in scores]}),
                "JSON",
            ),
        ]
        given, data, encoding = shapes[number % len(shapes)]
        answer = {
            "observedContentType": "text/csv; charset=utf-8",
            "mode": "OUTPUT",
            "data": data,
            "encoding": encoding,
        }
        about = {"eventId": f"e-{identity}", "inferenceId": identity, "inferenceTime": moment}
        records.append(
            {
                "captureData": {"endpointInput": given, "endpointOutput": answer},
                "eventMetadata": about,
                "eventVersion": "0",
            }
        )
    return lines(folder / "churn/AllTraffic/2026/03/01/00/31-46-585-9ee7358c.jsonl", records)


def databricks(folder: Path) -> Path:
    records = []
    for number, (identity, moment, rows, scores) in enumerate(calls()):
        request = [
            {
                "dataframe_split": {
                    "index": [0, 1],
                    "columns": list(NAMES),
                    "data": [list(row.values()) for row in rows],
                }
            },
            {"dataframe_records": rows},
            {"instances": rows},
            {"inputs": {name: [row[name] for row in rows] for name in NAMES}},
        ][number % 4]
        about = {
            "databricks_request_id": identity,
            "client_request_id": None,
            "status_code": 200,
            "sampling_fraction": 1.0,
        }
        milliseconds = pd.Timestamp(moment).value // 10**6
        records.append(
            about
            | {
                "timestamp_ms": milliseconds,
                "request": json.dumps(request),
                "response": json.dumps({"predictions": scores}),
            }
        )
    path = folder / "payload.parquet"
    pd.DataFrame(records).to_parquet(path, index=False)
    return path


def azureml(folder: Path) -> Path:
    inputs, outputs = [], []
    for identity, moment, rows, scores in calls():
        about = {
            "specversion": "1.0",
            "id": f"x-{identity}",
            "time": moment,
            "correlationid": identity,
            "collectdatatype": "pandas.core.frame.DataFrame",
        }
        inputs.append(about | {"type": "azureml.inference.inputs", "data": rows})
        outputs.append(
            about | {"type": "azureml.inference.outputs", "data": [{"prediction": score} for score in scores]}
        )
    lines(folder / "credit/blue/model_outputs/2026/03/01/00/instance.jsonl", outputs)
    return lines(folder / "credit/blue/model_inputs/2026/03/01/00/instance.jsonl", inputs).parents[6]


def v2(name: str, values: list[Any]) -> Row:
    kind = "BYTES" if isinstance(values[0], str) else "FP64" if isinstance(values[0], float) else "INT64"
    return {"name": name, "shape": [len(values)], "datatype": kind, "data": values}


def kserve(folder: Path) -> Path:
    records = []
    for number, (identity, moment, rows, scores) in enumerate(calls()):
        bodies: list[tuple[Any, Any]] = [
            ({"instances": rows}, {"predictions": scores}),
            (
                {"inputs": [v2(name, [row[name] for row in rows]) for name in NAMES]},
                {"outputs": [v2("predict", scores)]},
            ),
            (
                {"data": {"names": list(NAMES), "ndarray": [list(row.values()) for row in rows]}},
                {"data": {"names": [], "ndarray": scores}},
            ),
        ]
        for side, body in zip(("request", "response"), bodies[number % 3], strict=True):
            records.append(
                {
                    "url": {"Scheme": "s3", "Host": "logs"},
                    "bytes": encoded(json.dumps(body)),
                    "contentType": "application/json",
                    "id": identity,
                }
                | {
                    "reqType": f"org.kubeflow.serving.inference.{side}",
                    "inferenceService": "iris",
                    "occurrenceTime": moment,
                }
            )
    folder.mkdir(exist_ok=True)
    for number, start in enumerate(range(0, len(records), 37)):
        (folder / f"{number}-request.json").write_text(json.dumps(records[start : start + 37]))
    return folder


def cloud_events(folder: Path) -> Path:
    records = []
    for identity, moment, rows, scores in calls():
        for side, body in (("request", {"instances": rows}), ("response", {"predictions": scores})):
            records.append(
                {
                    "specversion": "1.0",
                    "type": f"io.seldon.serving.inference.{side}",
                    "id": f"{identity}-{side}",
                    "requestid": identity,
                    "time": moment,
                    "data": body,
                }
            )
    return lines(folder / "events.jsonl", list(reversed(records)))


def seldon(folder: Path) -> Path:
    records = []
    for identity, moment, rows, scores in calls():
        for place, (row, score) in enumerate(zip(rows, scores, strict=True)):
            request = {
                "ce-time": moment,
                "dataType": "tabular",
                "instance": list(row.values()),
                "elements": {name: [value] for name, value in row.items()},
            }
            records.append(
                {
                    "@timestamp": moment,
                    "RequestId": f"{identity}-{place}",
                    "request": request,
                    "response": {"instance": [score]},
                }
            )
    return lines(folder / "documents.ndjson", records)


def vertex(folder: Path) -> Path:
    records = []
    for identity, moment, rows, scores in calls():
        about = {
            "endpoint": "projects/1/endpoints/88",
            "deployed_model_id": "4215",
            "logging_time": pd.Timestamp(moment),
            "request_id": identity,
        }
        records.append(
            about | {"request_payload": list(map(json.dumps, rows)), "response_payload": list(map(str, scores))}
        )
    path = folder / "request_response_logging.parquet"
    pd.DataFrame(records).to_parquet(path, index=False)
    return path


def bentoml(folder: Path) -> Path:
    schema = {
        "columns": [{"name": name, "role": "feature"} for name in NAMES]
        + [{"name": "score", "role": "prediction", "type": "numerical"}]
    }
    lines(folder / "churn/schema/schema.0.log", [schema])
    records = []
    for identity, moment, rows, scores in calls():
        for row, score in zip(rows, scores, strict=True):
            records.append(
                row | {"score": score, "timestamp": moment.rstrip("Z"), "request_id": identity, "trace_id": "0"}
            )
    half = len(records) // 2
    lines(folder / "churn/data/data.0.log.2026-03-04", records[:half])
    return lines(folder / "churn/data/data.0.log", records[half:]).parent


def mlflow(folder: Path) -> Path:
    frame = TABLE.rename(columns={"id": "request_id"})
    (folder / "eval_results_table.json").write_text(frame.to_json(orient="split", index=False))
    return folder / "eval_results_table.json"


WRITERS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "sagemaker": ("sagemaker", sagemaker),
    "databricks": ("databricks", databricks),
    "azureml": ("azureml", azureml),
    "kserve": ("kserve", kserve),
    "cloud events": ("kserve", cloud_events),
    "seldon": ("seldon", seldon),
    "vertex": ("vertex", vertex),
    "bentoml": ("bentoml", bentoml),
    "mlflow": ("mlflow", mlflow),
}


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_registry_and_the_configuration_name_the_same_and_each_is_tried() -> None:
    assert (
        {record_format.name for record_format in FORMATS}
        == set(get_args(RecordFormat))
        == {name for name, _ in WRITERS.values()} | {"sagemaker-labels"}
    )


@pytest.mark.long
@pytest.mark.parametrize("writer", WRITERS)
def test_a_format_gives_the_rows_and_the_evaluation_of_the_plain_table(tmp_path: Path, writer: str) -> None:
    name, write = WRITERS[writer]
    path = write(tmp_path / "log") if writer not in ("databricks", "vertex", "mlflow") else write(tmp_path)
    place, notes = recognised(Place("log", path=str(path), read=ReadSpec(names=NAMES if name == "sagemaker" else ())))
    assert place.read.format == name, notes
    time = "timestamp" if name == "bentoml" else "event_time"
    log = Log(LogSpec(place, time, "request_id"))
    frame, counts = log.read(WHOLE)
    assert (counts.rows, counts.bad_records) == (ROWS, 0), log.bad_records[:2]
    frame = frame.rename(columns={"request_id": "id", time: "event_time", "score": "prediction"})
    if name == "bentoml":  # the first row of a call has the id of the call
        frame["id"] = frame["id"].where(frame["id"].str.contains("-"), frame["id"] + "-0")
    frame["event_time"] = pd.to_datetime(frame["event_time"], utc=True).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    frame = frame.sort_values("id", ignore_index=True)[list(TABLE.columns)]
    pd.testing.assert_frame_equal(frame, TABLE, check_dtype=False)
    columns = Columns(probability="prediction", id="id", event_time="event_time")
    metrics = [
        [
            (value.metric, value.column, value.value)
            for value in evaluate(Reference.fit(table[:200], columns, "binary"), table[200:]).metrics
        ]
        for table in (frame, TABLE)
    ]
    assert len(metrics[0]) > 20
    assert metrics[0] == metrics[1]


def test_labels_of_sagemaker_join_to_what_was_captured(tmp_path: Path) -> None:
    records = [
        {
            "groundTruthData": {"data": "1\n0", "encoding": "CSV"},
            "eventMetadata": {"eventId": identity},
            "eventVersion": "0",
        }
        for identity, *_ in calls()
    ]
    path = lines(tmp_path / "truth/2026/03/09/17/labels.jsonl", records)
    place, _ = recognised(Place("truth", path=str(path)))
    assert place.read.format == "sagemaker-labels"
    log = Log(LogSpec(place, "label_time", "request_id"))
    frame, _ = log.read(WHOLE)
    assert set(frame["request_id"]) == set(TABLE["id"])
    assert frame["label"].tolist() == [1 - int(identity[-1]) for identity in frame["request_id"]]
    assert set(log.event_times(frame)) == {pd.Timestamp("2026-03-09T17:59:59Z")}


ODD: dict[str, tuple[str, list[Row], int, int]] = {
    "two rows in, one out": (
        "sagemaker",
        [
            {
                "captureData": {
                    "endpointInput": {"data": "1,2\n3,4", "encoding": "CSV"},
                    "endpointOutput": {"data": "0.5", "encoding": "CSV"},
                },
                "eventMetadata": {"eventId": "a", "inferenceTime": "2026-03-01T00:00:00Z"},
            }
        ],
        0,
        1,
    ),
    "output alone": (
        "sagemaker",
        [
            {
                "captureData": {"endpointOutput": {"data": "0.5", "encoding": "CSV"}},
                "eventMetadata": {"eventId": "a", "inferenceTime": "2026-03-01T00:00:00Z"},
            }
        ],
        1,
        0,
    ),
    "neither side": ("sagemaker", [{"captureData": {}, "eventMetadata": {"eventId": "a"}}], 0, 1),
    "no text in base64": (
        "sagemaker",
        [
            {
                "captureData": {"endpointInput": {"data": "/////w==", "encoding": "BASE64"}},
                "eventMetadata": {"eventId": "a"},
            }
        ],
        0,
        1,
    ),
    "an error of the model": (
        "databricks",
        [{"databricks_request_id": "a", "status_code": 500, "request": "{}", "response": '{"error": 1}'}],
        0,
        1,
    ),
    "a request too large": (
        "databricks",
        [
            {
                "databricks_request_id": "a",
                "status_code": 200,
                "request": None,
                "response": "{}",
                "logging_error_codes": ["MAX_REQUEST_SIZE_EXCEEDED"],
            }
        ],
        0,
        1,
    ),
    "data in a blob": (
        "azureml",
        [
            {
                "specversion": "1.0",
                "correlationid": "a",
                "time": "2026-03-01T00:00:00Z",
                "data": "https://blob",
                "datainblob": "true",
            }
        ],
        0,
        1,
    ),
    "a document in flight": (
        "seldon",
        [{"RequestId": "a", "@timestamp": "2026-03-01T00:00:00Z", "request": {"instance": [1]}}],
        0,
        1,
    ),
    "a tensor of another shape": (
        "kserve",
        [
            {
                "type": "org.kubeflow.serving.inference.request",
                "id": "a",
                "data": {"inputs": [{"name": "x", "shape": [3], "datatype": "FP32", "data": [1.0]}]},
            }
        ],
        0,
        1,
    ),
    "a body that is a list of nothing known": (
        "databricks",
        [{"databricks_request_id": "a", "request": "[[[1]]]", "response": "[null]"}],
        1,
        0,
    ),
    "an exact id beyond 2^53": (
        "vertex",
        [
            {
                "logging_time": "2026-03-01T00:00:00Z",
                "request_id": 98765432101234567,
                "request_payload": ['{"a": 1}'],
                "response_payload": ["0.5"],
            }
        ],
        1,
        0,
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("case", ODD)
def test_what_is_no_prediction_is_counted_and_stops_nothing(tmp_path: Path, case: str) -> None:
    name, records, rows, bad = ODD[case]
    good = {
        "sagemaker": sagemaker,
        "databricks": databricks,
        "azureml": azureml,
        "kserve": cloud_events,
        "seldon": seldon,
        "vertex": vertex,
    }[name]
    (tmp_path / "log").mkdir()
    good(tmp_path / "log")
    if name in ("databricks", "vertex"):
        file = next((tmp_path / "log").glob("*.parquet"))
        plain_records = [
            json.loads(json.dumps(record, default=str))
            for record in first_records([str(file)], ReadSpec(), 10_000)[: ROWS // 2]
        ]
        file.unlink()
        lines(tmp_path / "log" / "all.jsonl", plain_records)
    lines(tmp_path / "log" / "odd.jsonl", records)
    place = Place("log", path=str(tmp_path / "log"), read=ReadSpec(format=name))
    log = Log(LogSpec(place, "event_time", "request_id"))
    assert log.rows() == ROWS + rows, log.bad_records
    assert len(log.bad_records) == bad
    if "exact id" in case:
        assert "98765432101234567" in set(log.table.request_id.execute())


def test_half_rows_wait_for_their_other_side_and_are_told_when_it_does_not_come(tmp_path: Path) -> None:
    path = cloud_events(tmp_path / "log")
    events = path.read_text().splitlines(keepends=True)
    requests = [line for line in events if ".request" in line]
    path.write_text("".join(requests))
    place = Place("log", path=str(path), read=ReadSpec(format="kserve"))
    from monitor.errors import DataError

    with pytest.raises(DataError, match="holds a record"):
        Log(LogSpec(place, "event_time", "request_id"))
    with path.open("a") as opened:
        opened.write("".join(line for line in events if ".response" in line)[:-1] + "\n")
    assert Log(LogSpec(place, "event_time", "request_id")).rows() == ROWS


def broken(record: Row, chance: random.Random) -> bytes:
    """A record that is cut, or in which a value is missing or of another type."""
    text = json.dumps(record)
    how = chance.randrange(5)
    if how == 0:
        return text[: chance.randint(2, len(text) - 2)].encode()
    if how == 1:
        return b"ERROR could not log this call"
    damaged = json.loads(text)
    inside = [damaged]
    while chance.random() < 0.7:
        deeper = [value for value in inside[-1].values() if isinstance(value, dict) and value]
        if not deeper:
            break
        inside.append(chance.choice(deeper))
    name = chance.choice(list(inside[-1]))
    if how == 2:
        del inside[-1][name]
    else:
        inside[-1][name] = chance.choice([None, 7, "text", [], {}, [[1]], True, "[1", 1e400])
    return json.dumps(damaged).encode()


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 6))])
@pytest.mark.parametrize("name", ["sagemaker", "databricks", "azureml", "kserve", "seldon", "vertex", "bentoml"])
def test_malformed_records_of_each_format_stop_nothing(tmp_path: Path, name: str, seed: int) -> None:
    writer = "cloud events" if name == "kserve" else name
    path = (
        WRITERS[writer][1](tmp_path / "log") if name not in ("databricks", "vertex") else WRITERS[writer][1](tmp_path)
    )
    files = [file for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [path]
    records = [
        json.loads(json.dumps(record, default=str))
        for record in first_records(list(map(str, files)), ReadSpec(), 10_000)
    ]
    records = list({json.dumps(record): record for record in records}.values())
    chance = random.Random(seed)
    folder = tmp_path / "again"
    folder.mkdir(parents=True)
    good = [json.dumps(record).encode() for record in records]
    of_calls = {"azureml": "correlationid", "kserve": "requestid"}  # so that no bad record completes a good one
    odd = {of_calls[name]: "odd"} if name in of_calls else {}
    bad = [broken(chance.choice(records) | odd, chance) for _ in range(200)]
    mixed = good + bad
    chance.shuffle(mixed)
    (folder / "all.jsonl").write_bytes(b"\n".join(mixed) + b"\n")
    place = Place("log", path=str(folder), read=ReadSpec(format=name, names=NAMES if name == "sagemaker" else ()))
    log = Log(LogSpec(place, "timestamp" if name == "bentoml" else "event_time", "request_id"))
    frame, counts = log.read(WHOLE)
    assert counts.rows >= ROWS
    assert len(log.bad_records) > 0
    assert set(TABLE["age"]) <= set(frame["age"].dropna())


def query_for(engine: str) -> str:
    """The query that the documents give for calls in a database."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "from-model-servers.md").read_text()
    match = re.search(rf"```{engine}\n(.*?)```", page, re.DOTALL)
    assert match is not None
    return match[1]


def assert_the_tables_rows(log: Log) -> None:
    rows = log.sample(WHOLE)[["request_id", "event_time", *NAMES, "prediction"]]
    expected = TABLE.rename(columns={"id": "request_id"}).sort_values("request_id", ignore_index=True)
    rows["event_time"] = pd.to_datetime(rows["event_time"], utc=True).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    pd.testing.assert_frame_equal(rows, expected, check_dtype=False)


def test_the_documents_query_reads_calls_from_postgresql(empty_postgresql: str) -> None:
    with Database(empty_postgresql).engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE calls (id text, called_at timestamptz, status int, request jsonb, response jsonb)")
        )
        connection.execute(
            text(
                "INSERT INTO calls VALUES (:id, :called_at, :status, CAST(:request AS jsonb), CAST(:response AS jsonb))"
            ),
            [
                {
                    "id": identity,
                    "called_at": time,
                    "status": 200,
                    "request": json.dumps({"dataframe_records": rows}),
                    "response": json.dumps({"predictions": answers}),
                }
                for identity, time, rows, answers in calls()
            ],
        )
        connection.execute(text("INSERT INTO calls VALUES ('failed', now(), 500, '{}', '{}')"))
    place = Place("calls", url=empty_postgresql, query=query_for("postgresql"))
    assert_the_tables_rows(Log(LogSpec(place, "event_time", "request_id", sample_rows=ROWS)))


@pytest.mark.skipif(
    importlib.util.find_spec("pyspark") is None or shutil.which("java") is None, reason="needs PySpark and Java"
)
@pytest.mark.long
def test_the_documents_query_reads_calls_from_databricks() -> None:
    place = Place("calls", engine="spark", query=query_for("databricks"))
    connection = engine_of(place).connection
    table = pd.DataFrame(
        [
            {
                "databricks_request_id": identity,
                "request_time": pd.Timestamp(time),
                "status_code": 200,
                "request": json.dumps({"dataframe_records": rows}),
                "response": json.dumps({"predictions": answers}),
            }
            for identity, time, rows, answers in calls()
        ]
    )
    failed = table.head(1).assign(databricks_request_id="failed", status_code=500, request=None)
    connection.create_view("churn_payload", ibis.memtable(pd.concat([table, failed])), overwrite=True)
    assert_the_tables_rows(Log(LogSpec(place, "event_time", "request_id", sample_rows=ROWS)))


def test_init_says_how_calls_in_a_database_are_read_and_takes_the_query(
    tmp_path: Path, monitor_command: Callable[..., Any]
) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "calls.db")) as connection, connection:
        connection.execute("CREATE TABLE calls (id, called_at, status, request, response)")
        for identity, time, rows, answers in calls():
            bodies = json.dumps({"dataframe_records": rows}), json.dumps({"predictions": answers})
            connection.execute("INSERT INTO calls VALUES (?, ?, 200, ?, ?)", (identity, time, *bodies))
        connection.execute("INSERT INTO calls VALUES ('failed', '2026-01-01', 500, '{}', '{}')")
    arguments = ("init", "churn", "--predictions", "sqlite:///calls.db")
    refused = monitor_command(*arguments, "--table", "calls", cwd=tmp_path)
    assert refused.returncode == 1
    assert "'request', 'response' hold JSON: a query can make one row of each prediction" in refused.stderr
    for options in ((), ("--table", "calls", "--query", "SELECT 1")):
        assert "needs one of --table and --query" in monitor_command(*arguments, *options, cwd=tmp_path).stderr
    query = query_for("sqlite")
    made = monitor_command(*arguments, "--query", query, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    source = yaml.safe_load((tmp_path / "monitor.yaml").read_text())["monitors"]["churn"]["source"]
    assert source == {"url": "sqlite:///calls.db", "query": query}
    place = Place("calls", url=f"sqlite:///{tmp_path}/calls.db", query=query)
    assert_the_tables_rows(Log(LogSpec(place, "event_time", "request_id", sample_rows=ROWS)))


def test_the_documents_query_for_bigquery_is_of_its_dialect() -> None:
    parsed = sqlglot.parse_one(query_for("bigquery"), dialect="bigquery")
    assert parsed.named_selects == ["request_id", "event_time", "model_version", *NAMES, "prediction"]
