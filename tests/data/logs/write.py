"""Writes the logs of this folder again: small prediction logs in the formats that people and tools use, each with the
truth of what is in it.

    python tests/data/logs/write.py

A log is a file or a folder named as in `truth.json`, which says what `monitor init` must find: the parts of columns,
the task, rows, first and last event, the inputs and their types; or, where a person has to decide, the flag that it
must ask for (`asks`).
"""

from __future__ import annotations

import base64
import decimal
import gzip
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
ROWS = 240
FEATURES = {"age": "numerical", "income": "numerical", "city": "categorical", "member": "categorical"}
Writer = Callable[[Path], dict[str, Any]]
LOGS: dict[str, Writer] = {}


def log(name: str) -> Callable[[Writer], Writer]:
    def keep(write: Writer) -> Writer:
        LOGS[name] = write
        return write

    return keep


def table(days: float = 30, rows: int = ROWS, start: str = "2026-01-03") -> pd.DataFrame:
    """Predictions of a churn model, at even times over some days."""
    chance = np.random.default_rng(11)
    score = chance.random(rows).round(4)
    return pd.DataFrame(
        {
            "id": [f"c{place:05d}" for place in range(rows)],
            "timestamp": pd.Timestamp(start) + pd.to_timedelta(np.arange(rows) * int(days * 1440 / rows), unit="min"),
            "age": chance.integers(18, 90, rows),
            "income": chance.normal(41_000, 9_000, rows).round(2),
            "city": chance.choice(["Graz", "Malaga", "Oslo"], rows),
            "member": chance.choice(["Yes", "No"], rows),
            "score": score,
            "prediction": (score > 0.5).astype(int),
            "label": (chance.random(rows) < score).astype(int),
        }
    )


def truth(frame: pd.DataFrame, **overrides: Any) -> dict[str, Any]:
    """What `monitor init` must find in a log of `table`; `overrides` are what differs in this log."""
    expected = {
        "task": "binary",
        "rows": len(frame),
        "first": frame["timestamp"].min().isoformat(),
        "last": frame["timestamp"].max().isoformat(),
        "parts": {
            "id": "id",
            "event_time": "timestamp",
            "prediction": "prediction",
            "probability": "score",
            "label": "label",
        },
        "features": FEATURES,
    }
    parts = expected["parts"] | overrides.pop("parts", {})  # type: ignore[operator]
    return expected | overrides | {"parts": {part: name for part, name in parts.items() if name is not None}}


def lines(path: Path, records: list[dict[str, Any]], mode: str = "w") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open(mode, encoding="utf-8") as opened:
        opened.write("".join(json.dumps(record) + "\n" for record in records))


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(frame.assign(timestamp=iso(frame)).to_json(orient="records"))
    return rows


def iso(frame: pd.DataFrame, form: str = "%Y-%m-%dT%H:%M:%SZ") -> pd.Series:
    return frame["timestamp"].dt.strftime(form)


def epoch(frame: pd.DataFrame, factor: int) -> pd.Series:
    return frame["timestamp"].astype("datetime64[s]").astype("int64") * factor


# What each log is, for the table of the documents.
WHAT = {
    "plain.csv": "CSV, times by ISO 8601",
    "iso-with-zone.jsonl": "JSON lines, times by ISO 8601 with a zone",
    "us-dates.csv": "CSV, `01/25/2026 13:00`",
    "us-dates-with-am-pm.csv": "CSV, `01/25/2026 01:00:00 PM`",
    "german-dates.csv": "CSV, `25.01.2026 13:00:00`, semicolons",
    "named-months.csv": "CSV, `25-Jan-2026 13:00:00`",
    "dates-that-may-be-two.csv": "CSV, `01/05/2026`, and no day after the 12th",
    "us-dates-a-file-a-day": "a CSV file a day, `01/05/2026`",
    "digits-for-dates.csv": "CSV, `20260125130000`",
    "epoch-seconds.csv": "CSV, seconds since 1970",
    "epoch-milliseconds.jsonl": "JSON lines, milliseconds since 1970",
    "epoch-microseconds.parquet": "Parquet, microseconds since 1970",
    "epoch-as-fraction.jsonl": "JSON lines, seconds since 1970 with a fraction",
    "iso-text.parquet": "Parquet, times as text",
    "zoned.parquet": "Parquet, times with a zone",
    "date-and-time.csv": "CSV, a date and a time of day in two columns",
    "dated-folders": "CSV in folders `2026/01/25`, without a time",
    "partitioned": "Parquet in hive partitions",
    "iso-text.sqlite": "SQLite, times as text",
    "latin-1.csv": "CSV in Latin-1",
    "excel-export.txt": "Excel's text: UTF-16, tabs",
    "with-a-byte-order-mark.csv": "CSV with a byte order mark",
    "packed-without-a-suffix": "packed JSON lines, no suffix",
    "no-suffix": "text with `|` between values, no suffix",
    "rotated": "rotated files: `predictions.log`, `.log.1`, `.log.2`",
    "european.csv": "CSV, `1.234,56`",
    "dressed.csv": "CSV, `$1,234.56`, NA",
    "nested.jsonl": "JSON lines, inputs and outputs nested",
    "json-in-a-column.csv": "CSV with JSON in a column",
    "pandas-index.csv": "CSV with the index of pandas",
    "pandas-index.parquet": "Parquet with the index of pandas",
    "trace-ids-and-row-numbers.jsonl": "trace ids and row numbers beside inputs",
    "leading-zeros.csv": "post codes such as 00123",
    "large-ids.jsonl": "ids above 2^53",
    "money-and-categories.parquet": "Parquet with decimals and categories",
    "true-and-false.csv": "labels TRUE and FALSE",
    "good-and-bad.csv": "labels `good` and `bad`",
    "without-a-header.csv": "CSV without a header",
    "young.csv": "a log of two days",
    "fraud.jsonl": "home-made names: `scored_at`, `fraud_probability`, `decision`",
    "camel-case.jsonl": "`predictionTime`, `predictedClass`, `groundTruth`",
    "nannyml.csv": "NannyML",
    "nannyml-multiclass.csv": "NannyML, a column a class",
    "two-classes.csv": "scikit-learn: `proba_0`, `proba_1`",
    "evidently.csv": "Evidently: `prediction` is a probability",
    "bigquery-ml.jsonl": "BigQuery ML: `predicted_churned`",
    "house-prices.csv": "regression: `predicted_price`, `actual_price`",
    "score-to-1000.csv": "a score from 0 to 1000 and nothing else",
    "nothing-that-says-what-was-predicted.csv": "no name that says what was predicted",
    "half-written.jsonl": "a last line half written",
    "stray-lines.csv": "stray lines of text, a header again, a cut row",
    "sagemaker-capture": "Amazon SageMaker, data capture",
    "databricks-payload.parquet": "Databricks, inference table",
    "azure-collector": "Azure Machine Learning, model data collector",
    "kserve-blobs": "KServe, logged to a bucket",
    "vertex-logging.parquet": "Vertex AI, request-response logging",
    "bentoml": "BentoML",
    "seldon-documents.ndjson": "Seldon, documents of its request log",
    "mlflow-table.json": "MLflow, table of an evaluation",
}


def dated(name: str, form: str, separator: str = ",") -> None:
    """A CSV file whose times are written in this form."""

    @log(name)
    def _(path: Path) -> dict[str, Any]:
        frame = table()
        frame.assign(timestamp=iso(frame, form)).to_csv(path, index=False, sep=separator)
        return truth(frame)


# -- plain tables and how their times are written ------------------------------------------------------------------


@log("plain.csv")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    frame.to_csv(path, index=False)
    return truth(frame)


@log("iso-with-zone.jsonl")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    lines(path, records(frame))
    return truth(frame)


dated("us-dates.csv", "%m/%d/%Y %H:%M")


dated("us-dates-with-am-pm.csv", "%m/%d/%Y %I:%M:%S %p")


dated("german-dates.csv", "%d.%m.%Y %H:%M:%S", ";")


dated("named-months.csv", "%d-%b-%Y %H:%M:%S")


@log("dates-that-may-be-two.csv")
def _(path: Path) -> dict[str, Any]:
    frame = table(days=8)
    frame.assign(timestamp=iso(frame, "%m/%d/%Y %H:%M")).to_csv(path, index=False)
    return {"asks": "--time-format", "give": ["--time-format", "%m/%d/%Y %H:%M"]}


@log("us-dates-a-file-a-day")
def _(path: Path) -> dict[str, Any]:
    frame = table(start="2026-01-01")
    path.mkdir()
    for day, part in frame.groupby(frame["timestamp"].dt.date):
        part.assign(timestamp=iso(part, "%m/%d/%Y %H:%M")).to_csv(path / f"predictions-{day:%Y%m%d}.csv", index=False)
    return truth(frame)


dated("digits-for-dates.csv", "%Y%m%d%H%M%S")


@log("epoch-seconds.csv")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    frame.assign(timestamp=epoch(frame, 1)).rename(columns={"timestamp": "ts"}).to_csv(path, index=False)
    return truth(frame, parts={"event_time": "ts"})


@log("epoch-milliseconds.jsonl")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    lines(
        path,
        [record | {"timestamp": int(when)} for record, when in zip(records(frame), epoch(frame, 1000), strict=True)],
    )
    return truth(frame)


@log("epoch-microseconds.parquet")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    frame.assign(timestamp=epoch(frame, 10**6)).to_parquet(path, index=False)
    return truth(frame)


@log("epoch-as-fraction.jsonl")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    lines(
        path,
        [record | {"timestamp": when + 0.25} for record, when in zip(records(frame), epoch(frame, 1), strict=True)],
    )
    moved = frame.assign(timestamp=frame["timestamp"] + pd.Timedelta("250ms"))
    return truth(moved)


@log("iso-text.parquet")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    frame.assign(timestamp=iso(frame, "%Y-%m-%d %H:%M:%S")).to_parquet(path, index=False)
    return truth(frame)


@log("zoned.parquet")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    frame.assign(timestamp=frame["timestamp"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")).to_parquet(
        path, index=False
    )
    return truth(frame)


@log("date-and-time.csv")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    split = frame.assign(date=iso(frame, "%m/%d/%Y"), time=iso(frame, "%H:%M:%S")).drop(columns="timestamp")
    split.to_csv(path, index=False)
    return truth(frame, parts={"event_time": "event_time"})


@log("dated-folders")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    for day, part in frame.groupby(frame["timestamp"].dt.floor("D")):
        folder = path / f"{day:%Y/%m/%d}"
        folder.mkdir(parents=True)
        part.drop(columns="timestamp").to_csv(folder / "part-0.csv", index=False)
    days = frame.assign(timestamp=frame["timestamp"].dt.floor("D"))
    return truth(days, parts={"event_time": "event_time"})


@log("partitioned")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    for week, part in frame.groupby(frame["timestamp"].dt.strftime("%Y-w%V")):
        (path / f"week={week}").mkdir(parents=True)
        part.to_parquet(path / f"week={week}" / "0.parquet", index=False)
    return truth(frame)


@log("iso-text.sqlite")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    with sqlite3.connect(path) as connection:
        frame.assign(timestamp=iso(frame, "%Y-%m-%d %H:%M:%S")).to_sql("log", connection, index=False)
    connection.close()
    return truth(frame, table="log")


# -- encodings, separators, names, packing ---------------------------------------------------------------------------


@log("latin-1.csv")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    accented = frame.assign(city=frame["city"].replace("Malaga", "Málaga"))
    path.write_bytes(accented.to_csv(index=False).encode("latin-1"))
    return truth(frame, holds={"city": "Málaga"})


@log("excel-export.txt")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    path.write_bytes(frame.to_csv(index=False, sep="\t", lineterminator="\r\n").encode("utf-16"))
    return truth(frame)


@log("with-a-byte-order-mark.csv")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    path.write_bytes(frame.to_csv(index=False).encode("utf-8-sig"))
    return truth(frame)


@log("packed-without-a-suffix")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    path.write_bytes(gzip.compress("".join(json.dumps(record) + "\n" for record in records(frame)).encode(), mtime=0))
    return truth(frame)


@log("no-suffix")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    frame.to_csv(path, index=False, sep="|")
    return truth(frame)


@log("rotated")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    for number in range(3):
        name = "predictions.log" if number == 0 else f"predictions.log.{number}"
        lines(path / name, records(frame[number * 80 : number * 80 + 80]))
    return truth(frame)


@log("european.csv")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    written = frame.assign(
        income=[f"{value:,.2f}".translate(str.maketrans(",.", ".,")) for value in frame["income"]],
        score=[f"{value:.4f}".replace(".", ",") for value in frame["score"]],
    )
    written.to_csv(path, index=False, sep=";")
    return truth(frame)


@log("dressed.csv")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    written = frame.assign(
        income=[f"${value:,.2f}" for value in frame["income"]],
        age=["NA" if place % 9 == 0 else str(value) for place, value in enumerate(frame["age"])],
    )
    written.to_csv(path, index=False)
    return truth(frame)


# -- what is in rows -------------------------------------------------------------------------------------------------


@log("nested.jsonl")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    lines(
        path,
        [
            {
                "request_id": record["id"],
                "timestamp": record["timestamp"],
                "features": {name: record[name] for name in FEATURES},
                "output": {"prediction": record["prediction"], "probability": record["score"]},
            }
            for record in records(frame)
        ],
    )
    parts = {"id": "request_id", "prediction": "output.prediction", "probability": "output.probability", "label": None}
    return truth(frame, parts=parts, features={f"features.{name}": kind for name, kind in FEATURES.items()})


@log("json-in-a-column.csv")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    inputs = [json.dumps({name: record[name] for name in FEATURES}) for record in records(frame)]
    frame.assign(inputs=inputs).drop(columns=list(FEATURES)).to_csv(path, index=False)
    return truth(frame, features={f"inputs.{name}": kind for name, kind in FEATURES.items()})


@log("pandas-index.csv")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    frame.to_csv(path)
    return truth(frame)


@log("pandas-index.parquet")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    frame.set_index(pd.Index(range(1000, 1000 + ROWS), name="row")).to_parquet(path)
    return truth(frame)


@log("trace-ids-and-row-numbers.jsonl")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    lines(
        path,
        [record | {"trace_id": f"{place * 7919:032x}", "row_nr": place} for place, record in enumerate(records(frame))],
    )
    return truth(frame)


@log("leading-zeros.csv")
def _(path: Path) -> dict[str, Any]:
    frame = table().assign(postcode=[f"{place % 7:05d}" for place in range(ROWS)])
    frame.to_csv(path, index=False)
    return truth(frame, features=FEATURES | {"postcode": "categorical"}, holds={"postcode": "00003"})


@log("large-ids.jsonl")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    lines(path, [record | {"id": 9007199254740993 + place} for place, record in enumerate(records(frame))])
    return truth(frame, holds={"id": 9007199254740993})


@log("money-and-categories.parquet")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    exact = [decimal.Decimal(f"{value:.2f}") for value in frame["income"]]
    frame.assign(income=exact, city=frame["city"].astype("category")).to_parquet(path, index=False)
    return truth(frame)


@log("true-and-false.csv")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    words = {0: "FALSE", 1: "TRUE"}
    frame.assign(label=frame["label"].map(words), prediction=frame["prediction"].map(words)).to_csv(path, index=False)
    return truth(frame)


@log("good-and-bad.csv")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    words = {0: "good", 1: "bad"}
    frame.assign(label=frame["label"].map(words), prediction=frame["prediction"].map(words)).to_csv(path, index=False)
    return {"asks": "--positive", "give": ["--positive", "bad"]}


@log("without-a-header.csv")
def _(path: Path) -> dict[str, Any]:
    table().to_csv(path, index=False, header=False)
    return {"asks": "--names", "give": ["--names", ",".join(table().columns)]}


@log("young.csv")
def _(path: Path) -> dict[str, Any]:
    frame = table(days=2, rows=40)
    frame.to_csv(path, index=False)
    return truth(frame)


# -- names that people and tools give --------------------------------------------------------------------------------


@log("fraud.jsonl")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    names = {
        "id": "transaction_id",
        "timestamp": "scored_at",
        "score": "fraud_probability",
        "prediction": "decision",
        "label": "is_fraud",
    }
    lines(
        path,
        [
            {names.get(name, name): value for name, value in record.items() if name != "label"}
            for record in records(frame)
        ],
    )
    parts = {
        "id": "transaction_id",
        "event_time": "scored_at",
        "prediction": "decision",
        "probability": "fraud_probability",
        "label": None,
    }
    return truth(frame, parts=parts)


@log("camel-case.jsonl")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    names = {
        "id": "predictionId",
        "timestamp": "predictionTime",
        "score": "predictedProbability",
        "prediction": "predictedClass",
        "label": "groundTruth",
    }
    lines(path, [{names.get(name, name): value for name, value in record.items()} for record in records(frame)])
    return truth(
        frame,
        parts={
            "id": "predictionId",
            "event_time": "predictionTime",
            "prediction": "predictedClass",
            "probability": "predictedProbability",
            "label": "groundTruth",
        },
    )


@log("nannyml.csv")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    frame.rename(columns={"score": "y_pred_proba", "prediction": "y_pred", "label": "y_true"}).to_csv(path, index=False)
    return truth(frame, parts={"prediction": "y_pred", "probability": "y_pred_proba", "label": "y_true"})


@log("nannyml-multiclass.csv")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    chance = np.random.default_rng(3)
    scores = chance.dirichlet([2, 2, 2], ROWS).round(4)
    scores[:, 2] = (1 - scores[:, 0] - scores[:, 1]).round(4)
    classes = np.array(["prepaid", "highstreet", "upmarket"])
    columns = {f"y_pred_proba_{name}_card": scores[:, place] for place, name in enumerate(classes)}
    names = np.array([f"{name}_card" for name in classes])
    wide = frame.drop(columns=["score", "prediction", "label"]).assign(
        **columns, y_pred=names[scores.argmax(axis=1)], y_true=chance.choice(names, ROWS)
    )
    wide.to_csv(path, index=False)
    by_class = {str(name): f"y_pred_proba_{name}" for name in names}
    return truth(frame, task="multiclass", parts={"prediction": "y_pred", "probability": by_class, "label": "y_true"})


@log("two-classes.csv")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    wide = frame.assign(proba_0=(1 - frame["score"]).round(4), proba_1=frame["score"]).drop(columns="score")
    wide.to_csv(path, index=False)
    return truth(frame, parts={"probability": "proba_1"})


@log("evidently.csv")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    frame.drop(columns="prediction").rename(columns={"score": "prediction", "label": "target"}).to_csv(
        path, index=False
    )
    return truth(frame, parts={"prediction": None, "probability": "prediction", "label": "target"})


@log("bigquery-ml.jsonl")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    names = {"prediction": "predicted_churned", "label": "churned"}
    lines(
        path,
        [
            {names.get(name, name): value for name, value in record.items() if name != "score"}
            for record in records(frame)
        ],
    )
    return truth(frame, parts={"prediction": "predicted_churned", "label": "churned", "probability": None})


@log("house-prices.csv")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    price = frame["income"] * 7
    priced = frame.drop(columns=["score", "prediction", "label"]).assign(
        predicted_price=price.round(0), actual_price=(price * 1.02 + 5000).round(0)
    )
    priced.to_csv(path, index=False)
    return truth(
        frame, task="regression", parts={"prediction": "predicted_price", "label": "actual_price", "probability": None}
    )


@log("score-to-1000.csv")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    frame.assign(risk_score=(frame["score"] * 1000).round()).drop(columns=["score", "prediction"]).to_csv(
        path, index=False
    )
    return {"asks": "--prediction", "give": ["--prediction", "risk_score"]}


@log("nothing-that-says-what-was-predicted.csv")
def _(path: Path) -> dict[str, Any]:
    table().rename(columns={"score": "x1", "prediction": "x2"}).to_csv(path, index=False)
    return {"asks": "--prediction", "give": ["--prediction", "x2", "--probability", "x1"]}


# -- lines that are not whole ----------------------------------------------------------------------------------------


@log("half-written.jsonl")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    text = "".join(json.dumps(record) + "\n" for record in records(frame))
    path.write_text(text[:-30])
    return truth(frame[:-1], bad=1)


@log("stray-lines.csv")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    text = frame.to_csv(index=False).splitlines(keepends=True)
    text.insert(50, "WARN retrying after 3 s\n")
    text.insert(90, text[0])
    text.insert(120, "c99999,2026-01-\n")
    path.write_text("".join(text))
    return truth(frame, bad=2)


# -- tools and clouds ------------------------------------------------------------------------------------------------

SERVED = {
    "id": "request_id",
    "event_time": "event_time",
    "prediction": None,
    "probability": "prediction",
    "label": None,
}


def inputs(record: dict[str, Any]) -> dict[str, Any]:
    return {name: record[name] for name in FEATURES}


@log("sagemaker-capture")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    captured = []
    for record in records(frame):
        endpoint_input = {
            "observedContentType": "application/json",
            "mode": "INPUT",
            "data": json.dumps(inputs(record)),
            "encoding": "JSON",
        }
        endpoint_output = {
            "observedContentType": "text/csv; charset=utf-8",
            "mode": "OUTPUT",
            "data": f"{record['score']}\n",
            "encoding": "CSV",
        }
        metadata = {"eventId": record["id"], "inferenceTime": record["timestamp"]}
        captured.append(
            {
                "captureData": {"endpointInput": endpoint_input, "endpointOutput": endpoint_output},
                "eventMetadata": metadata,
                "eventVersion": "0",
            }
        )
    for number in range(4):
        lines(
            path / f"churn/AllTraffic/2026/01/0{number + 3}/05/31-46-585-9ee7358c.jsonl",
            captured[number * 60 : number * 60 + 60],
        )
    return truth(frame, parts=SERVED)


@log("databricks-payload.parquet")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    rows = [
        {
            "databricks_request_id": record["id"],
            "client_request_id": None,
            "request_time": pd.Timestamp(record["timestamp"]),
            "status_code": 200,
            "request": json.dumps({"dataframe_records": [inputs(record)]}),
            "response": json.dumps({"predictions": [record["score"]]}),
        }
        for record in records(frame)
    ]
    pd.DataFrame(rows).to_parquet(path, index=False)
    return truth(frame, parts=SERVED)


@log("azure-collector")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    for side, part in (("inputs", inputs), ("outputs", lambda record: {"prediction": record["score"]})):
        events = [
            {
                "specversion": "1.0",
                "id": f"{side}-{record['id']}",
                "type": f"azureml.inference.model_{side}",
                "time": record["timestamp"],
            }
            | {"data": [part(record)], "correlationid": record["id"], "collectdatatype": "pandas.core.frame.DataFrame"}
            for record in records(frame)
        ]
        lines(path / f"credit/blue/model_{side}/2026/01/03/00/instance-7.jsonl", events)
    return truth(frame, parts=SERVED)


@log("kserve-blobs")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    path.mkdir()
    events = []
    for record in records(frame):
        for side, body in (
            ("request", {"instances": [inputs(record)]}),
            ("response", {"predictions": [record["score"]]}),
        ):
            text = base64.b64encode(json.dumps(body).encode()).decode()
            payload = {
                "bytes": text,
                "contentType": "application/json",
                "reqType": f"org.kubeflow.serving.inference.{side}",
            }
            events.append(
                payload | {"id": record["id"], "inferenceService": "churn", "occurrenceTime": record["timestamp"]}
            )
    for number in range(4):
        (path / f"{number}-request.json").write_text(json.dumps(events[number * 120 : number * 120 + 120]))
    return truth(frame, parts=SERVED)


@log("vertex-logging.parquet")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    rows = [
        {
            "endpoint": "projects/1/endpoints/88",
            "deployed_model_id": "4215",
            "logging_time": pd.Timestamp(record["timestamp"]),
            "request_id": record["id"],
            "request_payload": [json.dumps(inputs(record))],
            "response_payload": [
                json.dumps({"scores": [1 - record["score"], record["score"]], "classes": ["no", "yes"]})
            ],
        }
        for record in records(frame)
    ]
    pd.DataFrame(rows).to_parquet(path, index=False)
    return truth(frame, parts=SERVED | {"probability": "probability_yes", "model_version": "model_version"})


@log("bentoml")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    columns = [{"name": name, "role": "feature"} for name in FEATURES] + [
        {"name": "churn_risk", "role": "prediction", "type": "numerical"}
    ]
    lines(path / "schema/schema.0.log", [{"meta_data": {"bento_name": "churn"}, "columns": columns}])
    rows = [
        inputs(record)
        | {
            "churn_risk": record["score"],
            "timestamp": record["timestamp"].rstrip("Z"),
            "request_id": record["id"],
            "trace_id": "0",
        }
        for record in records(frame)
    ]
    lines(path / "data/data.0.log.2026-01-20", rows[:150])
    lines(path / "data/data.0.log", rows[150:])
    return truth(
        frame,
        folder="data",
        parts={
            "id": "request_id",
            "event_time": "timestamp",
            "prediction": None,
            "probability": "churn_risk",
            "label": None,
        },
    )


@log("seldon-documents.ndjson")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    documents = []
    for record in records(frame):
        elements = {"t:0": [1 - record["score"]], "t:1": [record["score"]]}
        request = {
            "ce-time": record["timestamp"],
            "dataType": "tabular",
            "elements": {name: [value] for name, value in inputs(record).items()},
        }
        documents.append(
            {
                "@timestamp": record["timestamp"],
                "RequestId": record["id"],
                "request": request,
                "response": {"elements": elements},
            }
        )
    lines(path, documents)
    return truth(frame, parts=SERVED | {"probability": "probability_1"})


@log("mlflow-table.json")
def _(path: Path) -> dict[str, Any]:
    frame = table()
    path.write_text(frame.assign(timestamp=iso(frame)).to_json(orient="split", index=False))
    return truth(frame)


def main() -> None:
    expected = {}
    for name, write in LOGS.items():
        path = HERE / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        expected[name] = {"what": WHAT[name]} | write(path)
    (HERE / "truth.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
