"""Logs in object storage: a real server of S3's protocol, and files on the web."""

from __future__ import annotations

import functools
import http.server
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from monitor.domain.grid import Window
from monitor.errors import DataError, SourceUnreachableError, UsageError
from monitor.sources import remote
from monitor.sources.log import Log, log_at
from monitor.sources.spec import LogSpec, Place
from tests.conftest import logged
from tests.s3 import environment_of, serving

FRAME = logged(days=6, start="2026-01-02")


@pytest.fixture(scope="module")
def s3() -> Iterator[tuple[str, list[str]]]:
    """The address of a server of S3, and the requests that it received."""
    with serving() as server:
        yield server


@pytest.fixture
def bucket(s3: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A bucket with one file per day."""
    import boto3

    address, _ = s3
    for name, value in environment_of(address).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1")
    client.create_bucket(Bucket="logs")
    for day, part in FRAME.groupby(FRAME["event_time"].dt.date):
        client.put_object(Bucket="logs", Key=f"churn/date={day}/part.parquet", Body=part.to_parquet(index=False))
        client.put_object(Bucket="logs", Key=f"text/{day}.csv", Body=part.to_csv(index=False).encode())
    client.put_object(Bucket="logs", Key="churn/_SUCCESS", Body=b"")
    yield client
    for entry in client.list_objects_v2(Bucket="logs")["Contents"]:
        client.delete_object(Bucket="logs", Key=entry["Key"])
    client.delete_bucket(Bucket="logs")


def log_of(address: str) -> Log:
    return Log(LogSpec(Place(address, path=address), "event_time", "id"))


@pytest.mark.parametrize(
    "address",
    [
        "s3://logs/churn",
        "s3://logs/churn/",
        "s3://logs/churn/date=*/*.parquet",
        "s3://logs/text/*.csv",
        "s3://logs/text",
    ],
)
def test_a_log_in_a_bucket_is_the_log_of_its_files(bucket: Any, address: str) -> None:
    log = log_of(address)
    extent = log.extent()
    assert (extent.first, extent.newest) == (
        FRAME["event_time"].min().tz_localize("UTC"),
        FRAME["event_time"].max().tz_localize("UTC"),
    )
    assert log.rows() == len(FRAME)
    assert ("date" in log.types) == ("churn" in address)


def test_each_file_is_fetched_once_and_again_when_it_changes(bucket: Any, s3: tuple[str, list[str]]) -> None:
    requests = s3[1]
    assert log_of("s3://logs/churn").rows() == len(FRAME)
    fetched = [request for request in requests if request.startswith("GET /logs/churn/date=")]
    requests.clear()
    log = log_of("s3://logs/churn")
    assert log.rows() == len(FRAME)
    assert not [request for request in requests if request.startswith("GET /logs/churn/date=")]
    assert fetched
    later = FRAME.assign(event_time=FRAME["event_time"] + pd.Timedelta(days=6), id=FRAME["id"] + 1_000_000)
    bucket.put_object(Bucket="logs", Key="churn/date=2026-01-09/part.parquet", Body=later.to_parquet(index=False))
    before = log.mark()
    assert log_of("s3://logs/churn").rows() == 2 * len(FRAME)
    assert log.mark() == before != ""
    assert {request for request in requests if request.startswith("GET /logs/churn/date=")} == {
        "GET /logs/churn/date=2026-01-09/part.parquet"
    }
    bucket.delete_object(Bucket="logs", Key="churn/date=2026-01-09/part.parquet")
    assert log_of("s3://logs/churn").rows() == len(FRAME)


def test_a_window_of_a_day_opens_the_files_of_that_day_alone(bucket: Any, s3: tuple[str, list[str]]) -> None:
    for day in range(8, 28):
        later = FRAME.assign(event_time=FRAME["event_time"] + pd.Timedelta(days=day), id=FRAME["id"] + day * 1_000_000)
        bucket.put_object(Bucket="logs", Key=f"many/{day}/part.parquet", Body=later.head(50).to_parquet(index=False))
    day = later.head(50)["event_time"].min().floor("D").tz_localize("UTC").to_pydatetime()
    log = log_of("s3://logs/many")
    assert log.extent().newest == later.head(50)["event_time"].max().tz_localize("UTC")
    assert log.misdated().rows == 0
    frame, counts = log.read(Window(day, day + timedelta(days=1)))
    assert counts.rows == len(frame) == len(log.sample(Window(day, day + timedelta(days=1)))) > 0
    assert log.row_count(Window(day - timedelta(days=90), day - timedelta(days=89))) == 0
    copies = Path(os.environ["XDG_CACHE_HOME"]) / "production-monitor" / "remote"
    fetched = {path.parent.name for path in copies.rglob("files/**/*.parquet")}
    assert {"8", "27"} <= fetched  # that of the first event, too
    assert len(fetched) <= 3  # and maybe one whose values were looked at
    assert log.rows() == 20 * 50
    assert len(list(copies.rglob("files/**/*.parquet"))) == 20


def test_tables_in_a_bucket_have_the_rows_of_their_newest_version(bucket: Any, tmp_path: Path) -> None:
    deltalake = pytest.importorskip("deltalake")
    sql = pytest.importorskip("pyiceberg.catalog.sql")
    rows = pa.Table.from_pandas(
        FRAME.assign(event_time=FRAME["event_time"].astype("datetime64[us]")), preserve_index=False
    )
    for part, mode in ((rows.slice(0, 100), "append"), (rows.slice(50, 300), "overwrite"), (rows.slice(350), "append")):
        deltalake.write_deltalake(str(tmp_path / "table"), part, mode=mode)
    for file in (tmp_path / "table").rglob("*.*"):
        bucket.put_object(
            Bucket="logs", Key=f"lake/table/{file.relative_to(tmp_path / 'table')}", Body=file.read_bytes()
        )
    log = log_of("s3://logs/lake/table")
    assert log.rows() == len(FRAME) - 50
    with pytest.raises(DataError, match="name the folder of the table"):
        log_of("s3://logs/lake/table/*.parquet")
    with pytest.raises(DataError, match="name the folder of the table"):
        log_of("s3://logs/lake")
    with pytest.raises(DataError, match="name the folder of the table"):
        log_of(f"s3://logs/lake/table/{next((tmp_path / 'table').glob('*.parquet')).name}")
    # Between the second and the third version, by the commits' own times.
    second, third = (version["timestamp"] for version in deltalake.DeltaTable(str(tmp_path / "table")).history()[1::-1])
    between = datetime.fromtimestamp((second + third) / 2e3, UTC)
    whole = Window(datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))
    for moment, number in ((between, 300), (between + timedelta(days=1), len(FRAME) - 50)):
        log_then, note = log_at(log.spec, whole, moment)
        assert (log_then.rows(), note) == (number, "")
    catalog = sql.SqlCatalog(
        "test",
        uri=f"sqlite:///{tmp_path / 'catalog.db'}",
        warehouse="s3://logs/house",
        **{"s3.endpoint": os.environ["AWS_ENDPOINT_URL"], "s3.region": "us-east-1"},
    )
    catalog.create_namespace("ml")
    table = catalog.create_table("ml.log", schema=rows.schema)
    table.append(rows.slice(0, 100))
    table.overwrite(rows.slice(0, 200))
    log = log_of(table.location())
    assert log.rows() == 200
    moment = datetime.fromtimestamp(table.history()[0].timestamp_ms / 1e3, UTC)
    log_then, note = log_at(log.spec, whole, moment)
    assert (log_then.rows(), note) == (100, "")
    with pytest.raises(DataError, match="name the folder of the table"):
        log_of(f"{table.location()}/data/*.parquet")


def test_a_torn_file_in_a_bucket_is_counted_and_stops_nothing(bucket: Any) -> None:
    bucket.put_object(Bucket="logs", Key="churn/date=2026-01-08/part.parquet", Body=b"PAR1 torn")
    log = log_of("s3://logs/churn")
    assert log.rows() == len(FRAME)
    assert [reason for _, reason in log.bad_records] == ["part.parquet: the file is no whole Parquet"]


def test_what_is_not_there_and_who_does_not_answer_is_told(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceUnreachableError, match="no file is at s3://logs/nowhere"):
        log_of("s3://logs/nowhere")
    with pytest.raises(SourceUnreachableError, match="s3://absent/churn"):
        log_of("s3://absent/churn")
    with pytest.raises(UsageError, match="not from ftp://"):
        log_of("ftp://host/file.csv")


def test_the_key_of_an_azure_account_is_taken_from_where_its_tools_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "abfss://logs@account.dfs.core.windows.net/churn"
    key = "a2V5" * 11
    for name in ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_STORAGE_KEY", key)
    opened, path = remote._object_store(address)
    assert (type(opened).__name__, path) == ("AzureFileSystem", "logs/churn")
    monkeypatch.delenv("AZURE_STORAGE_KEY")
    own = f"AccountName=other;AccountKey={key};BlobEndpoint=http://127.0.0.1:1/other"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", own)
    with pytest.raises(SourceUnreachableError, match="abfss://logs"):
        remote.RemotePath(address, address).listed()


def test_a_file_on_the_web_is_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "www").mkdir()
    FRAME.to_csv(tmp_path / "www" / "log.csv", index=False)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert log_of(f"http://127.0.0.1:{server.server_port}/log.csv").rows() == len(FRAME)
        server.shutdown()
