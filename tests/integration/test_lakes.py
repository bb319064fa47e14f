"""Tables of Delta Lake and Iceberg: their rows of today, and a clear refusal of what cannot be read."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from monitor.domain.grid import Window
from monitor.errors import DataError
from monitor.sources.log import Log, log_at
from monitor.sources.spec import LogSpec, Place
from tests.conftest import logged

FRAME = logged(days=6, start="2026-01-02")
ROWS = pa.Table.from_pandas(FRAME.assign(event_time=FRAME["event_time"].astype("datetime64[us]")), preserve_index=False)


def log_of(path: Path | str) -> Log:
    return Log(LogSpec(Place("log", path=str(path)), "event_time", "id"))


def delta(folder: Path) -> None:
    """A table that was written day by day. Then one day was deleted and one was updated."""
    deltalake = pytest.importorskip("deltalake")
    for _, part in FRAME.groupby(FRAME["event_time"].dt.date):
        deltalake.write_deltalake(str(folder), pa.Table.from_pandas(part, preserve_index=False), mode="append")
    table = deltalake.DeltaTable(str(folder))
    table.delete("event_time >= '2026-01-07'")
    table.update({"income": "income + 1"}, predicate="event_time < '2026-01-03'")


def test_a_delta_table_has_the_rows_of_its_newest_version(tmp_path: Path) -> None:
    delta(tmp_path / "table")
    kept = FRAME[FRAME["event_time"] < "2026-01-07"]
    log = log_of(tmp_path / "table")
    assert log.rows() == len(kept) < len(FRAME)
    frame = log.engine.run(log.table).sort_values("id")
    expected = kept["income"] + (kept["event_time"] < "2026-01-03")
    assert (frame["income"].to_numpy() - expected.to_numpy()).max() == pytest.approx(0, abs=1e-9)
    before = log.mark()
    import deltalake

    deltalake.DeltaTable(str(tmp_path / "table")).delete("event_time >= '2026-01-06'")
    log = log_of(tmp_path / "table")
    assert log.mark() != before
    assert log.rows() == (FRAME["event_time"] < "2026-01-06").sum()


def test_files_within_a_table_are_refused_with_its_folder(tmp_path: Path) -> None:
    delta(tmp_path / "table")
    with pytest.raises(DataError, match="name the folder of the table"):
        log_of(tmp_path / "table" / "*.parquet")


def test_deletion_vectors_and_mapped_columns_are_refused_in_words(tmp_path: Path) -> None:
    delta(tmp_path / "table")
    commit = tmp_path / "table" / "_delta_log" / f"{8:020d}.json"
    features = '["deletionVectors","timestampNtz"]'
    protocol = (
        f'{{"protocol":{{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":{features},'
        f'"writerFeatures":{features}}}}}'
    )
    add = next(
        line
        for path in sorted((tmp_path / "table" / "_delta_log").glob("*.json"), reverse=True)
        for line in path.read_text().splitlines()
        if '"add":' in line
    )
    vector = (
        '"deletionVector":{"storageType":"i","pathOrInlineDv":"wi5b=000010000siXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L",'
        '"sizeInBytes":40,"cardinality":6},'
    )
    commit.write_text(protocol + "\n" + add.replace('{"add":{', '{"add":{' + vector) + "\n")
    with pytest.raises(DataError, match="deletion vectors"):
        log_of(tmp_path / "table")


def iceberg(folder: Path) -> Any:
    """An empty table of Iceberg, `house/ml/log`."""
    sql = pytest.importorskip("pyiceberg.catalog.sql")
    catalog = sql.SqlCatalog("test", uri=f"sqlite:///{folder / 'catalog.db'}", warehouse=f"file://{folder / 'house'}")
    catalog.create_namespace("ml")
    return catalog.create_table("ml.log", schema=ROWS.schema)


def test_an_iceberg_table_has_the_rows_of_its_newest_snapshot(tmp_path: Path) -> None:
    rows, table = ROWS, iceberg(tmp_path)
    table.append(rows.slice(0, 100))
    table.append(rows.slice(100))
    folder = tmp_path / "house" / "ml" / "log"
    assert log_of(folder).rows() == len(FRAME)
    table.overwrite(rows.slice(0, 100))
    assert log_of(folder).rows() == 100
    with pytest.raises(DataError, match="name the folder of the table"):
        log_of(folder / "data" / "*.parquet")


def appending_delta(folder: Path) -> tuple[Path, Callable[[pa.Table], None]]:
    """The folder of a table, and a function that appends rows to it."""
    deltalake = pytest.importorskip("deltalake")
    return folder / "table", lambda rows: deltalake.write_deltalake(str(folder / "table"), rows, mode="append")


def appending_iceberg(folder: Path) -> tuple[Path, Callable[[pa.Table], None]]:
    """The same for Iceberg."""
    return folder / "house" / "ml" / "log", iceberg(folder).append


@pytest.mark.parametrize("kind", [appending_delta, appending_iceberg])
def test_a_run_reads_a_table_as_it_was_then(kind: Any, tmp_path: Path) -> None:
    folder, append = kind(tmp_path)
    first, second = ROWS.slice(0, 300), ROWS.slice(300)
    append(first)
    time.sleep(0.05)
    between = datetime.now(UTC)
    time.sleep(0.05)
    append(second)
    spec = log_of(folder).spec
    whole = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 9, tzinfo=UTC))
    late = Window(datetime(2026, 1, 6, tzinfo=UTC), datetime(2026, 1, 8, tzinfo=UTC))

    def read(window: Window, as_of: datetime) -> tuple[int, str]:
        log, note = log_at(spec, window, as_of)
        return log.counts(window, as_of).rows, note

    assert read(whole, between) == (300, "")
    assert read(whole, datetime.now(UTC)) == (len(FRAME), "")
    number, note = read(whole, between - timedelta(days=400))
    assert number == 300
    assert "its oldest version was read" in note
    number, note = read(late, between - timedelta(days=400))
    assert number > 0
    assert "its newest was read" in note


def test_a_version_whose_files_were_vacuumed_is_passed_over(tmp_path: Path) -> None:
    deltalake = pytest.importorskip("deltalake")
    folder, append = appending_delta(tmp_path)
    append(ROWS.slice(0, 300))
    time.sleep(0.05)
    between = datetime.now(UTC)
    time.sleep(0.05)
    deltalake.write_deltalake(str(folder), ROWS.slice(0, 400), mode="overwrite")
    append(ROWS.slice(400))
    table = deltalake.DeltaTable(str(folder))
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    whole = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 9, tzinfo=UTC))
    log, note = log_at(log_of(folder).spec, whole, between)
    assert log.counts(whole).rows == 400
    assert "its oldest version was read" in note
