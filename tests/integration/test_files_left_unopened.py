"""Files that hold no row of a window are not opened. The rows that are read are the same as from all files."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

import monitor
from monitor.domain.grid import Window
from monitor.sources.engines import views
from monitor.sources.footers import Footer, RowFilter, footer_of, needed
from monitor.sources.log import Log
from monitor.sources.spec import LabelSpec, LogSpec, Place
from tests.conftest import logged

DAYS = 12
FRAME = logged(rows=DAYS * 40, days=DAYS, start="2026-01-02")
START = datetime(2026, 1, 2, tzinfo=UTC)


def written(folder: Path, how: str) -> None:
    """Write one file per day in the given manner. The last file holds an event of the first day."""
    for number, (day, part) in enumerate(FRAME.groupby(FRAME["event_time"].dt.date)):
        if how == "new column":
            part = part.assign(late=1.5) if number > 6 else part
        if how == "zoned":
            part = part.assign(event_time=part["event_time"].dt.tz_localize("UTC"))
        if how == "other types":
            part = part.assign(income=part["income"].round().astype("int64")) if number % 2 else part
        if number == DAYS - 1:
            part = pd.concat([part.iloc[1:], FRAME.head(1).assign(id=9_999_999)]) if how != "zoned" else part
        if how == "no time":
            part = part.assign(event_time=part["event_time"].where(np.arange(len(part)) > 2))
        name = folder / (f"date={day}" if how == "partitioned" else "") / f"{day}.parquet"
        name.parent.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pandas(part, preserve_index=False)
        has_statistics = how != "no statistics" or number % 3 == 0
        parquet.write_table(
            table, name, write_statistics=has_statistics, use_deprecated_int96_timestamps=how == "old times"
        )


MANNERS = ("plain", "new column", "zoned", "other types", "no time", "partitioned", "no statistics", "old times")


def answers(log: Log) -> list[Any]:
    """The results of all queries of a log about its windows."""
    results: list[Any] = [log.extent(), log.extent(START + timedelta(days=5)), log.misdated(), log.rows()]
    for day in (0, 3, DAYS - 1, DAYS + 5):
        window = Window(START + timedelta(days=day), START + timedelta(days=day + 1))
        results += [log.row_count(window), log.counts(window), sorted(log.counts_by("region", window), key=repr)]
        sample = log.sample(window)
        results += [
            sample.to_dict("list"),
            {name: str(kind) for name, kind in sample.dtypes.items()} if len(sample) else {},
        ]
    return results


@pytest.mark.long
@pytest.mark.parametrize("manner", MANNERS)
def test_what_is_read_is_the_same_as_of_all_files(manner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "log", manner)
    spec = LogSpec(Place("log", path=str(tmp_path / "log")), "event_time", "id")
    narrow = answers(Log(spec))
    monkeypatch.setattr(views, "needed", lambda footers, *_: list(footers))
    os.utime(next((tmp_path / "log").rglob("*.parquet")))
    assert repr(answers(Log(spec))) == repr(narrow)


def test_a_window_opens_the_files_of_its_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "log", "partitioned")
    log = Log(LogSpec(Place("log", path=str(tmp_path / "log")), "event_time", "id"))
    opened: list[list[str]] = []

    def noted(*given: Any) -> list[str]:
        opened.append([Path(path).stem for path in needed(*given)])
        return needed(*given)

    monkeypatch.setattr(views, "needed", noted)
    log.counts(Window(START + timedelta(days=3), START + timedelta(days=4)))
    assert {tuple(stems) for stems in opened} == {
        ("2026-01-05", "2026-01-13")
    }  # the last file holds an event of the first day, too


def test_labels_in_the_same_files_are_found_whenever_they_were_written(tmp_path: Path) -> None:
    written(tmp_path / "log", "plain")
    late = pd.DataFrame({"id": FRAME["id"].iloc[:5], "truth": 1, "event_time": pd.Timestamp("2026-02-01")})
    late.to_parquet(tmp_path / "log" / "late.parquet", index=False)
    place = Place("log", path=str(tmp_path / "log"))
    labels = LabelSpec(
        Place("log", path=str(tmp_path / "log"), query="SELECT id, truth FROM log WHERE truth IS NOT NULL"),
        "truth",
        None,
        "id",
        0.0,
    )
    log = Log(LogSpec(place, "event_time", "id", labels=labels))
    frame, _ = log.sample_with_labels(Window(START, START + timedelta(days=1)), START + timedelta(days=60))
    assert frame["truth"].notna().sum() == 5


def test_what_a_footer_says_and_which_files_are_needed() -> None:
    files: dict[str, Footer] = {
        "a": Footer(5, {"t": (0, 9)}, {"t": 0}),
        "b": Footer(5, {"t": (10, 19)}, {"t": 1}),
        "c": Footer(5, {"t": (20, 29)}, {"t": 0}),
        "empty": Footer(0, {}, {}),
        "unknown": Footer(5, {}, {}),
    }

    def needed_names(rows: RowFilter, start: int | None, end: int | None) -> str:
        return "".join(name for name in needed(files, rows, "t", start, end) if len(name) == 1)

    assert needed_names(RowFilter.ALL, 0, 1) == "abc"
    assert needed_names(RowFilter.WINDOW, 5, 10) == "a"
    assert needed_names(RowFilter.WINDOW, 5, 11) == "ab"
    assert needed_names(RowFilter.WINDOW, 40, 50) == ""
    assert needed_names(RowFilter.FIRST, None, None) == "a"
    assert needed_names(RowFilter.FIRST, 12, None) == "bc"
    assert needed_names(RowFilter.LAST, None, None) == "c"
    assert needed_names(RowFilter.LAST, None, 15) == "ab"
    assert needed_names(RowFilter.BEFORE, 10, None) == "a"
    assert needed_names(RowFilter.AFTER, None, 20) == "c"
    assert needed_names(RowFilter.UNDATED, None, None) == "b"
    assert set(needed(files, RowFilter.WINDOW, "t", 40, 50)) == {"unknown"}
    assert footer_of("/nowhere") is None


def test_all_statements_go_by_the_engine() -> None:
    """A statement that does not use it would read a view before its rows are fetched."""
    folder = Path(monitor.__file__).parent
    own = {folder / "sources/engines" / f"{name}.py" for name in ("base", "sqlite", "spark")} | {
        folder / "sources" / name
        for name in ("parquet.py", "sample.py", "records/kept.py")  # no statements
    }
    past = [
        f"{path.relative_to(folder)}: {line.strip()}"
        for part in ("sources", "services", "cli")
        for path in (folder / part).rglob("*.py")
        if path not in own
        for line in path.read_text().splitlines()
        if re.search(r"\.execute\(\)|\.to_pandas\(\)|\.to_pyarrow\(", line)
    ]
    assert past == []
