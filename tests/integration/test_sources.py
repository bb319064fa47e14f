"""Logs in every form give the same rows, counts and times."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
import zstandard

from monitor.domain.grid import Window
from monitor.errors import DataError, SourceUnreachableError
from monitor.sources.engines import BY_NAME, BY_SCHEME
from monitor.sources.engines.duckdb_file import DuckDBFile
from monitor.sources.engines.mysql import MySQL
from monitor.sources.engines.postgresql import PostgreSQL
from monitor.sources.engines.spark import Spark
from monitor.sources.engines.sqlite import SQLite
from monitor.sources.engines.warehouses import Warehouse
from monitor.sources.log import Log, hide_sensitive
from monitor.sources.recent import keep, labelled
from monitor.sources.spec import LabelSpec, LogSpec, Place, RecentWindows
from monitor.storage.database import Database
from tests.conftest import logged

WINDOW = Window(datetime(2025, 1, 3, tzinfo=UTC), datetime(2025, 1, 8, tzinfo=UTC))


def place(path: Path, timezone: str = "UTC") -> Place:
    return Place(path.name, path=str(path), timezone=timezone)


def written(folder: Path, form: str) -> Place:
    frame = logged().drop(columns="label")
    if form == "parquet":
        frame.to_parquet(folder / "log.parquet", index=False)
        return place(folder / "log.parquet")
    if form == "pattern":
        for index, part in enumerate(np.array_split(frame.index, 3)):
            frame.loc[part].to_parquet(folder / f"part-{index}.parquet", index=False)
        return place(folder / "part-*.parquet")
    if form == "hive":
        for day, part in frame.groupby(frame["event_time"].dt.date):
            (folder / "log" / f"day={day}").mkdir(parents=True)
            part.to_parquet(folder / "log" / f"day={day}" / "rows.parquet", index=False)
        return place(folder / "log")
    if form == "csv.zst":
        (folder / "log.csv.zst").write_bytes(zstandard.compress(frame.to_csv(index=False).encode()))
        return place(folder / "log.csv.zst")
    if form == "jsonl.gz":
        frame.assign(event_time=frame["event_time"].dt.strftime("%Y-%m-%dT%H:%M:%S.%f")).to_json(
            folder / "log.jsonl.gz", orient="records", lines=True, double_precision=15
        )
        return place(folder / "log.jsonl.gz")
    if form == "duckdb":
        with duckdb.connect(str(folder / "log.duckdb")) as connection:
            connection.register("frame", frame)
            connection.execute("CREATE TABLE log AS SELECT * FROM frame")
        return Place("log", url=f"duckdb:///{folder}/log.duckdb", table="log")
    with sqlite3.connect(folder / "log.db") as connection:
        frame.assign(
            event_time=frame["event_time"].dt.strftime(
                "%Y-%m-%dT%H:%M:%S.%f" if form == "sqlite T" else "%Y-%m-%d %H:%M:%S.%f"
            )
        ).to_sql("log", connection, index=False, dtype={"event_time": "TIMESTAMP"})
    return Place("log", url=f"sqlite:///{folder}/log.db", table="log")


def in_server(url: str) -> Place:
    """The log in a table of a database server."""
    from sqlalchemy.dialects import mysql

    types = {"event_time": mysql.DATETIME(fsp=6)} if url.startswith("mysql") else {}
    logged().drop(columns="label").to_sql("log", Database(url).engine, index=False, dtype=types)
    return Place("log", url=url, table="log")


FILES = ["pattern", "hive", "csv.zst", "jsonl.gz", "sqlite", "sqlite T", "duckdb"]
# One form per engine of the registry. Spark is tested in test_spark.py.
SERVERS = {PostgreSQL: "empty_postgresql", MySQL: "empty_mariadb"}


def test_every_engine_is_tried() -> None:
    assert set(BY_SCHEME.values()) == {*SERVERS, SQLite, DuckDBFile, Warehouse}
    assert set(BY_NAME.values()) == {Spark}


@pytest.mark.parametrize("form", [*FILES, *SERVERS.values()])
def test_every_form_gives_the_same_sample_and_counts(tmp_path: Path, form: str, request: pytest.FixtureRequest) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    place = written(tmp_path / "b", form) if form in FILES else in_server(request.getfixturevalue(form))
    whole = Log(LogSpec(written(tmp_path / "a", "parquet"), "event_time", "id", sample_rows=50))
    log_of_form = Log(LogSpec(place, "event_time", "id", sample_rows=50))
    expected, sample = whole.sample(WINDOW), log_of_form.sample(WINDOW)
    assert len(sample) == 50
    assert sample["id"].tolist() == expected["id"].tolist()
    np.testing.assert_allclose(sample["income"], expected["income"], rtol=1e-12)
    counts, counts_of_form = whole.counts(WINDOW), log_of_form.counts(WINDOW)
    assert (counts_of_form.rows, counts_of_form.first_event, counts_of_form.last_event) == (
        counts.rows,
        counts.first_event,
        counts.last_event,
    )
    assert log_of_form.extent() == whole.extent()
    by_region, by_region_of_form = (
        {
            value: (region_counts.rows, region_counts.first_event, region_counts.missing["income"])
            for value, region_counts in log.counts_by("region", WINDOW)
        }
        for log in (whole, log_of_form)
    )
    assert by_region_of_form == by_region
    assert sum(rows for rows, _, _ in by_region.values()) == counts.rows
    assert len(by_region) == 3


@pytest.mark.parametrize("form", [*FILES, *SERVERS.values()])
def test_a_sample_by_groups_holds_whole_groups_alike_in_every_form(
    tmp_path: Path, form: str, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    place = written(tmp_path / "b", form) if form in FILES else in_server(request.getfixturevalue(form))
    frame = logged()
    inside = frame[frame["event_time"].between("2025-01-03", "2025-01-08", inclusive="left")]
    for group in ("region", "prediction"):  # text and numbers are hashed differently
        whole, log = (
            Log(LogSpec(where, "event_time", "id", sample_rows=220, group=group))
            for where in (written(tmp_path / "a", "parquet"), place)
        )
        expected, sample = whole.sample(WINDOW), log.sample(WINDOW)
        assert sample["id"].tolist() == expected["id"].tolist()
        assert 0 < len(sample) < 220
        assert sample[group].value_counts().to_dict() == inside[group].value_counts()[sample[group].unique()].to_dict()


def test_a_sample_is_nested_as_it_grows_and_changes_with_its_seed(tmp_path: Path) -> None:
    where = written(tmp_path, "parquet")
    smaller, larger = (
        set(Log(LogSpec(where, "event_time", "id", sample_rows=rows)).sample(WINDOW)["id"]) for rows in (30, 60)
    )
    assert smaller < larger
    assert set(Log(LogSpec(where, "event_time", "id", sample_rows=30, seed=1)).sample(WINDOW)["id"]) != smaller


def test_naive_times_are_in_the_sources_zone(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "event_time": pd.date_range("2025-03-30", periods=48, freq="h").astype("datetime64[us]"),
            "id": range(48),
            "x": 1.0,
        }
    )
    frame.to_parquet(tmp_path / "log.parquet")
    log = Log(LogSpec(place(tmp_path / "log.parquet", "Europe/Berlin"), "event_time", "id"))
    assert log.extent().first == datetime(2025, 3, 29, 23, tzinfo=UTC)
    day = Window(datetime(2025, 3, 29, 23, tzinfo=UTC), datetime(2025, 3, 30, 22, tzinfo=UTC))
    assert log.counts(day).rows == 24


def test_zoned_times_are_what_they_say(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "event_time": pd.date_range("2025-01-01", periods=48, freq="h", tz="America/New_York").astype(
                "datetime64[us, America/New_York]"
            ),
            "x": 1.0,
        }
    )
    frame.to_parquet(tmp_path / "log.parquet")
    log = Log(LogSpec(place(tmp_path / "log.parquet", "Europe/Berlin"), "event_time"))
    assert log.extent().first == datetime(2025, 1, 1, 5, tzinfo=UTC)
    assert log.counts(Window(datetime(2025, 1, 1, 5, tzinfo=UTC), datetime(2025, 1, 1, 7, tzinfo=UTC))).rows == 2


def test_sqlite_times_of_any_zone_are_told_apart_and_found_by_an_index(tmp_path: Path) -> None:
    zones = ["+00:00", "+14:00", "-11:00", "+05:30"]
    moments = pd.date_range("2025-01-01", periods=480, freq="h", tz="UTC")
    written_as = [
        moment.tz_convert(f"UTC{zones[number % 4]}").isoformat(" ", "milliseconds")
        for number, moment in enumerate(moments)
    ]
    with sqlite3.connect(tmp_path / "log.db") as connection:
        connection.execute("CREATE TABLE log (id INTEGER, event_time TIMESTAMP)")
        connection.executemany("INSERT INTO log VALUES (?, ?)", list(enumerate(written_as)))
        connection.execute("CREATE INDEX of_time ON log (event_time)")
    log = Log(LogSpec(Place("log", url=f"sqlite:///{tmp_path}/log.db", table="log"), "event_time", "id"))
    day = Window(datetime(2025, 1, 5, tzinfo=UTC), datetime(2025, 1, 6, tzinfo=UTC))
    assert log.counts(day).rows == 24
    assert log.sample(day)["id"].tolist() == sorted(range(96, 120), key=str)
    statements: list[str] = []
    log.engine.connection.con.set_trace_callback(statements.append)
    log.sample(day)
    plans = [
        str(log.engine.connection.con.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall())
        for statement in statements
        if "log" in statement
    ]
    assert plans
    assert all("INDEX of_time" in plan for plan in plans)


@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_times_in_nanoseconds_are_cut_to_microseconds(tmp_path: Path, zone: str | None) -> None:
    times = pd.date_range("2025-01-01", periods=48, freq="h").astype("datetime64[ns]") + pd.Timedelta(1234, unit="ns")
    pd.DataFrame({"event_time": times.tz_localize(zone), "x": 1.0}).to_parquet(tmp_path / "log.parquet")
    log = Log(LogSpec(place(tmp_path / "log.parquet", "UTC"), "event_time"))
    assert log.extent().first == datetime(2025, 1, 1, 0 if zone is None else 5, 0, 0, 1, tzinfo=UTC)
    day = Window(datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 2, tzinfo=UTC))
    assert log.counts(day).rows == len(log.sample(day)) == (24 if zone is None else 19)


def test_rows_without_ids_are_sampled_by_their_content(tmp_path: Path) -> None:
    log = Log(LogSpec(written(tmp_path, "parquet"), "event_time", None, sample_rows=20))
    assert log.sample(WINDOW)["id"].tolist() == log.sample(WINDOW)["id"].tolist()
    assert log.sample(WINDOW)["monitor_canonical_id"].is_unique


def test_rows_logged_after_a_run_was_due_are_left_out(tmp_path: Path) -> None:
    frame = logged()
    frame["written"] = frame["event_time"] + pd.Timedelta("1h")
    frame.loc[150, "written"] = pd.Timestamp("2025-02-01")
    frame.to_parquet(tmp_path / "log.parquet", index=False)
    log = Log(LogSpec(place(tmp_path / "log.parquet"), "event_time", "id", logged_at="written"))
    assert log.counts(WINDOW, datetime(2025, 3, 1, tzinfo=UTC)).rows == 300
    assert log.counts(WINDOW, datetime(2025, 1, 9, tzinfo=UTC)).rows == 299


def test_labels_are_those_known_at_the_time_and_the_last_of_them(tmp_path: Path) -> None:
    frame = logged()
    frame.drop(columns="label").to_parquet(tmp_path / "log.parquet", index=False)
    labels = pd.DataFrame(
        {
            "key": [180.0, 181.0, 181.0],
            "truth": [1, 0, 1],
            "known": pd.to_datetime(["2025-01-09", "2025-01-09", "2025-01-20"]),
        }
    )
    labels.to_parquet(tmp_path / "labels.parquet", index=False)
    spec = LabelSpec(place(tmp_path / "labels.parquet"), "truth", "known", "key", 0)
    log = Log(LogSpec(place(tmp_path / "log.parquet"), "event_time", "id", labels=spec))

    def truth(day: int) -> dict[int, object]:
        rows, counts = log.sample_with_labels(WINDOW, datetime(2025, 1, day, tzinfo=UTC))
        assert counts.labelled == rows["truth"].notna().sum()
        return {int(row.id): row.truth for row in rows.itertuples() if row.id in (180, 181)}

    assert truth(8) == {180: None, 181: None} or all(pd.isna(value) for value in truth(8).values())
    assert truth(25) == {180: 1, 181: 1}


@pytest.mark.parametrize("form", ["in the log", "a place of their own", "sqlite"])
def test_of_rare_classes_more_rows_are_read_and_weighted(tmp_path: Path, form: str) -> None:
    frame = logged(6000, days=5, start="2025-01-03")
    random = np.random.default_rng(1)
    frame["label"] = (random.random(6000) < 0.03 * frame["probability"]).astype(int)
    label_times = frame["event_time"] + pd.Timedelta("1h")
    label_times[frame["label"].eq(1) & (frame.index % 5 == 0)] += pd.Timedelta("90d")  # some come late
    labels = LabelSpec(None, "label", "known", None, 0)
    where = place(tmp_path / "log.parquet")
    whole = frame.assign(known=label_times)
    if form == "sqlite":
        with sqlite3.connect(tmp_path / "log.db") as connection:
            texts = whole.assign(
                **{name: whole[name].dt.strftime("%Y-%m-%d %H:%M:%S.%f") for name in ("event_time", "known")}
            )
            times = {"event_time": "TIMESTAMP", "known": "TIMESTAMP"}
            texts.to_sql("log", connection, index=False, dtype=times)
        where = Place("log", url=f"sqlite:///{tmp_path}/log.db", table="log")
    elif form == "in the log":
        whole.to_parquet(tmp_path / "log.parquet", index=False)
    else:
        frame.drop(columns="label").to_parquet(tmp_path / "log.parquet", index=False)
        whole[["id", "label", "known"]].to_parquet(tmp_path / "labels.parquet", index=False)
        labels = LabelSpec(place(tmp_path / "labels.parquet"), "label", "known", "id", 0)
    log = Log(LogSpec(where, "event_time", "id", labels=labels, sample_rows=1000))
    as_of = datetime(2025, 1, 20, tzinfo=UTC)
    plain, counts = log.sample_with_labels(WINDOW, as_of)
    rows, again = log.sample_with_labels(WINDOW, as_of, by_class=True)
    assert again == counts
    assert "monitor_weight" not in plain
    positive = whole["label"].eq(1) & (whole["known"] <= pd.Timestamp("2025-01-20"))
    assert sorted(rows.loc[rows["label"].eq(1), "id"]) == whole.loc[positive, "id"].tolist()
    assert plain["label"].eq(1).sum() < 40 < positive.sum()
    weights = rows.groupby(rows["label"].eq(1))["monitor_weight"]
    assert weights.first()[True] == pytest.approx(1, rel=0.01)
    assert set(rows.loc[~rows["label"].eq(1), "monitor_weight"]) == {6.0}
    assert rows["monitor_weight"].sum() == pytest.approx(6000, rel=0.02)


@pytest.mark.parametrize("in_log", [False, True])
def test_labelled_rows_of_late_are_the_same_kept_or_read_again(tmp_path: Path, in_log: bool) -> None:
    frame = logged().assign(known=lambda rows: rows["event_time"] + pd.Timedelta("3D"))
    days = [Window(datetime(2025, 1, day, tzinfo=UTC), datetime(2025, 1, day + 1, tzinfo=UTC)) for day in (7, 6, 5, 4)]
    recent = RecentWindows(tuple((day, day.end) for day in days), 20)
    as_of = datetime(2025, 1, 9, 12, tzinfo=UTC)
    unknown = frame.assign(label=frame["label"].astype("Int64").mask(frame["known"] > pd.Timestamp("2025-01-08")))
    if in_log:
        unknown.to_parquet(tmp_path / "log.parquet", index=False)
        labels = LabelSpec(None, "label", "known", None, 0)
    else:
        frame.drop(columns=["label", "known"]).to_parquet(tmp_path / "log.parquet", index=False)
        frame[["id", "label", "known"]].to_parquet(tmp_path / "labels.parquet", index=False)
        labels = LabelSpec(place(tmp_path / "labels.parquet"), "label", "known", "id", 0)

    def log() -> Log:
        return Log(LogSpec(place(tmp_path / "log.parquet"), "event_time", "id", labels=labels, sample_rows=40))

    for day in days[1:]:
        keep(log(), recent, day, day.end, log().sample(day, day.end), tmp_path / "kept")
    if in_log:  # by now their labels have come
        frame.to_parquet(tmp_path / "log.parquet", index=False)
    labelled_rows = labelled(log(), recent, as_of, tmp_path / "kept")
    again = labelled(log(), recent, as_of, tmp_path / "kept")
    afresh = labelled(log(), recent, as_of, tmp_path / "other")
    pd.testing.assert_frame_equal(labelled_rows, again)
    pd.testing.assert_frame_equal(
        labelled_rows[["id", "label", "income"]], afresh[["id", "label", "income"]], check_dtype=False
    )
    # 20 rows of each day, of the last one only those whose label is three days old.
    by_day = labelled_rows["event_time"].dt.day.value_counts()
    assert by_day[4] == by_day[5] == 20
    assert 0 < by_day[6] < 20
    assert 7 not in by_day
    assert (labelled_rows.set_index("id")["label"] == frame.set_index("id")["label"].loc[labelled_rows["id"]]).all()


def test_hashes_of_sensitive_values_keep_equality_and_null_and_need_the_key() -> None:
    frame = pd.DataFrame({"email": ["a@x", None, "a@x"], "number": [1.0, 2.0, 1.0]})
    first, second = (hide_sensitive(frame, ("email", "number"), key) for key in ("k", "l"))
    assert first["email"].iloc[0] == first["email"].iloc[2] != second["email"].iloc[0]
    assert pd.isna(first["email"].iloc[1])
    assert first["number"].iloc[0] == hide_sensitive(frame.astype({"number": int}), ("number",), "k")["number"].iloc[0]


def test_what_cannot_be_read_is_told_from_what_is_away(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("hello")
    for path, error in (
        (tmp_path / "x.txt", DataError),
        (tmp_path / "none.parquet", SourceUnreachableError),
        (tmp_path / "*.csv", SourceUnreachableError),
    ):
        with pytest.raises(error):
            Log(LogSpec(place(path), "event_time"))
    logged().assign(id=lambda frame: frame["event_time"]).to_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match="ids are whole numbers, text or UUIDs"):
        Log(LogSpec(place(tmp_path / "log.parquet"), "event_time", "id"))


def test_repeated_ids_of_very_many_rows_are_told_from_a_part_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.concat([logged(3000)] * 2, ignore_index=True)
    frame.to_parquet(tmp_path / "log.parquet", index=False)
    window = Window(datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
    exact = Log(LogSpec(place(tmp_path / "log.parquet"), "event_time", "id")).counts(window)
    assert exact.duplicate_ids == 3000
    monkeypatch.setattr("monitor.sources.log.MOST_COUNTED_IDS", 1000)
    estimated = Log(LogSpec(place(tmp_path / "log.parquet"), "event_time", "id")).counts(window)
    assert estimated.duplicate_ids == pytest.approx(3000, rel=0.15)
    assert estimated.rows == exact.rows


def in_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """The log with its times as milliseconds since 1970."""
    return frame.assign(event_time=frame["event_time"].astype("datetime64[ms]").astype("int64"))


@pytest.mark.parametrize("form", ["parquet", "csv", "sqlite"])
def test_a_query_makes_of_a_log_what_it_should_be(tmp_path: Path, form: str) -> None:
    frame = logged().drop(columns="label")
    plain = Log(LogSpec(written(tmp_path, "parquet"), "event_time", "id", sample_rows=50))
    odd = in_numbers(frame)
    if form == "sqlite":
        with sqlite3.connect(tmp_path / "odd.db") as connection:
            odd.to_sql("kept", connection, index=False)
        query = "SELECT *, strftime('%Y-%m-%d %H:%M:%f', event_time / 1000.0, 'unixepoch') AS happened FROM kept;"
        where = Place("odd", url=f"sqlite:///{tmp_path}/odd.db", query=query)
    else:
        path = tmp_path / f"odd.{form}"
        odd.to_parquet(path, index=False) if form == "parquet" else odd.to_csv(path, index=False)
        query = "WITH made AS (SELECT *, make_timestamp(event_time * 1000) AS happened FROM log) SELECT * FROM made"
        where = Place("odd", path=str(path), query=query)
    log = Log(LogSpec(where, "happened", "id", sample_rows=50))
    assert log.sample(WINDOW)["id"].tolist() == plain.sample(WINDOW)["id"].tolist()
    assert log.counts(WINDOW).rows == plain.counts(WINDOW).rows
    if form == "sqlite":
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            log.engine.connection.con.execute("DELETE FROM kept")


def test_a_query_that_is_wrong_is_told_by_what_it_may_ask_for(tmp_path: Path) -> None:
    where = written(tmp_path, "parquet")
    query_place = Place(where.shown, path=where.path, query="SELECT * FROM nothing")
    with pytest.raises(DataError, match=r"as the table `log`, whose columns are: id, event_time, income"):
        Log(LogSpec(query_place, "event_time", "id"))


@pytest.mark.parametrize("kind", ["DATETIME(6)", "TIMESTAMP(6)"])
def test_a_log_in_mysql_is_read_with_its_labels_and_never_written(
    tmp_path: Path, kind: str, empty_mariadb: str
) -> None:
    frame = logged()
    ids = frame["id"].map("Id-{:05d}".format)
    ids[::2] = ids[::2].str.lower()  # to most collations the same as in capitals
    frame["id"] = ids
    rows = frame.drop(columns="label").assign(income=frame["income"].where(frame.index % 7 > 0))
    rows.to_parquet(tmp_path / "log.parquet", index=False)
    labels = frame[["id", "label"]].assign(label_time=frame["event_time"] + pd.Timedelta("1h"))
    labels.to_parquet(tmp_path / "labels.parquet", index=False)
    engine = Database(empty_mariadb).engine
    for name, table, time in (("log", rows, "event_time"), ("truth", labels, "label_time")):
        table.to_sql(name, engine, index=False)
        with engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {name} MODIFY {time} {kind} NULL")
            connection.exec_driver_sql(f"DELETE FROM {name}")
        table.to_sql(name, engine, index=False, if_exists="append")
    by_table = Place("log", url=empty_mariadb, table="log")
    by_query = Place("log", url=empty_mariadb, query="SELECT * FROM log WHERE income IS NULL OR income IS NOT NULL")
    files = LabelSpec(place(tmp_path / "labels.parquet"), "label", "label_time", "id", 0)
    tables = LabelSpec(Place("truth", url=empty_mariadb, table="truth"), "label", "label_time", "id", 0)
    as_of = datetime(2025, 1, 8, tzinfo=UTC)
    plain = Log(LogSpec(place(tmp_path / "log.parquet"), "event_time", "id", labels=files, sample_rows=50))
    expected, counts = plain.sample_with_labels(WINDOW, as_of)
    for where in (by_table, by_query):
        log = Log(LogSpec(where, "event_time", "id", labels=tables, sample_rows=50))
        sample, mysql_counts = log.sample_with_labels(WINDOW, as_of)
        assert sample["id"].tolist() == expected["id"].tolist()
        assert sample["label"].tolist() == expected["label"].tolist()
        assert sample["monitor_label_time"].tolist() == expected["monitor_label_time"].tolist()
        assert mysql_counts.missing["income"] == counts.missing["income"]
        assert (mysql_counts.rows, mysql_counts.labelled, mysql_counts.duplicate_ids) == (
            counts.rows,
            counts.labelled,
            0,
        )
        assert (log.extent(), log.newest_label()) == (plain.extent(), plain.newest_label())
        with pytest.raises(Exception, match="READ ONLY"):
            log.engine.connection.raw_sql("DELETE FROM log")
    with pytest.raises(DataError, match="its tables are: log, truth"):
        Log(LogSpec(Place("log", url=empty_mariadb, table="nothing"), "event_time", "id"))
    with pytest.raises(SourceUnreachableError, match="cannot be reached"):
        Log(LogSpec(Place("log", url="mysql://nobody@127.0.0.1:1/x", table="log"), "event_time", "id"))


@pytest.mark.parametrize("form", ["%m/%d/%Y", "%d/%m/%Y", "%m/%d/%Y %H:%M:%S"])
def test_dates_are_never_read_by_a_format_that_each_file_was_guessed_to_have(tmp_path: Path, form: str) -> None:
    frame = logged(days=30, start="2026-01-01").drop(columns="label")
    frame["born"] = "1990-05-01"
    for day, part in frame.groupby(frame["event_time"].dt.date):
        part.assign(event_time=part["event_time"].dt.strftime(form)).to_csv(tmp_path / f"{day}.csv", index=False)
    folder = str(tmp_path)
    with pytest.raises(DataError, match=r"'event_time' of days is text, such as '\d\d/\d\d/2026.*strptime"):
        Log(LogSpec(Place("days", path=folder), "event_time", "id"))
    query = f"SELECT * REPLACE (strptime(event_time, '{form}') AS event_time) FROM log"
    log = Log(LogSpec(Place("days", path=folder, query=query), "event_time", "id"))
    day = Window(datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC))
    assert log.counts(day).rows == 40
    assert log.types["born"].startswith(("date", "timestamp"))
    (tmp_path / "2026-02-01.csv").write_text(f"{','.join(frame.columns)}\n9,2026-02-01,1,a,1,0.5,1,1990-05-01\n")
    second_log = Log(LogSpec(Place("days", path=folder, query=query), "event_time", "id"))
    with pytest.raises(Exception, match="2026-02-01"):
        second_log.counts(day)
