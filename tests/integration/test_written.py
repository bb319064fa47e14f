"""Logs with times and numbers in any common notation. `init` recognises the notation, or refuses an ambiguous one and
names both readings.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from monitor.config.load import load
from monitor.errors import DataError
from monitor.services.context import Context, open_database
from monitor.sources.log import Log
from monitor.sources.spec import LogSpec, Place
from monitor.sources.written import as_meant
from tests.conftest import logged

# 40 days from 2 January 2026 on: only some of the days are above 12.
FRAME = logged(days=40, start="2026-01-02").drop(columns="label")
TIMES = FRAME["event_time"].dt.floor("min")
SINCE = TIMES.astype("datetime64[ns]").astype("int64")


def text(form: str) -> pd.Series:
    return TIMES.dt.strftime(form)


WRITTEN: dict[str, Any] = {
    "seconds": SINCE // 10**9,
    "milliseconds": SINCE // 10**6,
    "microseconds": SINCE // 10**3,
    "nanoseconds": SINCE,
    "seconds, with a fraction": SINCE / 10**9,
    "milliseconds as text": (SINCE // 10**6).astype(str),
    "ISO text": text("%Y-%m-%dT%H:%M:%S"),
    "ISO text with zone": text("%Y-%m-%dT%H:%M:%S+00:00"),
    "ISO text with Z": text("%Y-%m-%d %H:%M:%SZ"),
    "month first": text("%m/%d/%Y %H:%M"),
    "month first, 12 hours": text("%m/%d/%Y %I:%M %p"),
    "day first": text("%d/%m/%Y %H:%M:%S"),
    "dots": text("%d.%m.%Y %H:%M"),
    "named month": text("%d-%b-%Y %H:%M:%S"),
    "digits": text("%Y%m%d%H%M%S"),
}


@pytest.mark.long
@pytest.mark.parametrize("form", ["csv", pytest.param("parquet", marks=pytest.mark.long)])
@pytest.mark.parametrize("how", WRITTEN)
def test_times_are_read_as_they_were_meant(tmp_path: Path, how: str, form: str) -> None:
    frame = FRAME.assign(event_time=WRITTEN[how])
    for number, part in enumerate((frame[:500], frame[500:])):
        path = tmp_path / f"{number}.{form}"
        part.to_parquet(path, index=False) if form == "parquet" else part.to_csv(path, index=False)
    place, notes = as_meant(Place("log", path=str(tmp_path)), ["event_time"], None)
    extent = Log(LogSpec(place, "event_time", "id")).extent()
    assert (extent.first, extent.newest) == (TIMES.min().tz_localize("UTC"), TIMES.max().tz_localize("UTC"))
    if place.query is not None:
        assert "'event_time' of log is read as" in notes[0]


def test_what_may_be_read_in_two_ways_is_refused_with_both_until_somebody_says(tmp_path: Path) -> None:
    # A year earlier, so that no day is in the future however it is read.
    written = (TIMES - pd.DateOffset(years=1)).dt.strftime("%m/%d/%Y")
    FRAME.assign(event_time=written)[TIMES.dt.day <= 12].to_csv(tmp_path / "log.csv", index=False)
    place = Place("log.csv", path=str(tmp_path / "log.csv"))
    with pytest.raises(DataError) as refused:
        as_meant(place, ["event_time"], None)
    message = str(refused.value)
    assert "%m/%d/%Y: 01/02/2025 is 2025-01-02" in message
    assert "%d/%m/%Y: 01/02/2025 is 2025-02-01" in message
    assert "--time-format" in message
    for form, month in (("%m/%d/%Y", 2), ("%d/%m/%Y", 12)):
        chosen, _ = as_meant(place, ["event_time"], form)
        assert Log(LogSpec(chosen, "event_time", "id")).extent().newest.month == month  # type: ignore[union-attr]
    with pytest.raises(DataError, match="none of them is %Y"):
        as_meant(place, ["event_time"], "%Y")


def test_numbers_that_are_no_times_are_left_as_they_are(tmp_path: Path) -> None:
    FRAME.assign(event_time=range(len(FRAME))).to_parquet(tmp_path / "log.parquet", index=False)
    place = Place("log.parquet", path=str(tmp_path / "log.parquet"))
    assert as_meant(place, ["event_time"], None) == (place, [])


DRESSES: dict[str, Any] = {
    "NA": lambda value: "NA" if value > 60 else f"{value:.2f}",
    "null": lambda value: "NULL" if value > 60 else f"{value:.2f}",
    "thousands": lambda value: f"{value * 100:,.2f}",
    "dollars": lambda value: f"${value * 100:,.2f}",
    "euros": lambda value: f"{value:.2f} €",
    "per cent": lambda value: f"{value:.1f}%",
    "decimal comma": lambda value: f"{value:.2f}".replace(".", ","),
    "thousands and decimal comma": lambda value: f"{value * 100:,.2f}".translate(str.maketrans(",.", ".,")),
}


def _rows(place: Place) -> pd.DataFrame:
    log = Log(LogSpec(place, "event_time", "id"))
    return log.engine.run(log.table)


MARKED = ("thousands", "dollars", "decimal comma", "thousands and decimal comma")


@pytest.mark.parametrize("dress", DRESSES)
def test_numbers_are_read_without_their_dress(tmp_path: Path, dress: str) -> None:
    FRAME.assign(income=FRAME["income"].map(DRESSES[dress])).to_csv(tmp_path / "log.csv", index=False, sep=";")
    place, notes = as_meant(Place("log.csv", path=str(tmp_path / "log.csv")), ["event_time"], None)
    assert ("income of log.csv: numbers with" in "".join(notes)) == (dress in MARKED)
    read = _rows(place).sort_values("id")["income"]
    factor = 100 if "thousands" in dress or dress == "dollars" else 1
    expected = FRAME["income"] * factor
    there = read.notna().to_numpy()
    assert there.sum() == (len(FRAME) if dress not in ("NA", "null") else (FRAME["income"] <= 60).sum())
    assert abs(read.to_numpy()[there] - expected.to_numpy()[there]).max() <= 0.051


def test_text_that_is_no_number_or_may_be_two_stays_text(tmp_path: Path) -> None:
    frame = FRAME.assign(
        either=[f"{1 + number % 9},{number % 900 + 100:03d}" for number in range(len(FRAME))], word="a1"
    )
    frame.to_csv(tmp_path / "log.csv", index=False, sep=";")
    place = Place("log.csv", path=str(tmp_path / "log.csv"))
    same, notes = as_meant(place, ["event_time"], None)
    assert same == place
    assert "either of log.csv: in its numbers a comma may stand before decimals or between thousands" in notes[0]
    frame.assign(income=frame["income"].map("{:.2f}".format)).to_parquet(tmp_path / "log.parquet", index=False)
    deliberate = Place("log.parquet", path=str(tmp_path / "log.parquet"))
    assert as_meant(deliberate, ["event_time"], None) == (deliberate, [])


@pytest.mark.parametrize("form", ["csv", "parquet", "sqlite", "query"])
def test_a_column_may_be_made_by_an_expression(tmp_path: Path, form: str) -> None:
    frame = FRAME.assign(probability=FRAME["probability"] * 100)
    if form == "sqlite":
        with sqlite3.connect(tmp_path / "log.db") as connection:
            frame.rename(columns={"probability": "percent"}).to_sql("log", connection, index=False)
        connection.close()
        source, value = "{url: sqlite:///log.db, table: log}", "percent / 100.0"
    else:
        path = tmp_path / f"log.{'csv' if form == 'query' else form}"
        frame.to_parquet(path, index=False) if form == "parquet" else frame.to_csv(path, index=False)
        query = ", query: 'SELECT * FROM log WHERE id >= 0'" if form == "query" else ""
        source, value = f"{{path: {path.name}{query}}}", "probability / 100"
    (tmp_path / "monitor.yaml").write_text(f"""
database: sqlite:///monitor.db
monitors:
  churn:
    task: binary
    model: {{name: churn}}
    source: {source}
    reference: {{start: 2026-01-02, end: 2026-01-12}}
    columns: {{id: id, event_time: event_time, prediction: prediction, probability: {{expression: {value}}}}}
    windows: {{length: 1d}}
""")
    loaded = load(tmp_path / "monitor.yaml")
    context = Context(loaded, open_database(loaded))
    config = loaded.configuration.monitors["churn"]
    assert config.to_columns().probability == "probability"
    log = Log(context.log_spec(config))
    made = log.table.select("id", "probability").to_pandas().sort_values("id")["probability"]
    assert abs(made.to_numpy() - FRAME.sort_values("id")["probability"].to_numpy()).max() < 1e-9
