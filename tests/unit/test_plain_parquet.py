"""Parquet files that are read without DuckDB give the same result as with it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitor.domain.grid import Window
from monitor.sources import log as logs
from monitor.sources.log import Log
from monitor.sources.sample import KEY, PRIME, RANK, coefficients, ranks
from monitor.sources.spec import LogSpec, Place

WINDOW = Window(datetime(2025, 1, 2, tzinfo=UTC), datetime(2025, 1, 4, tzinfo=UTC))
NOON = datetime(2025, 1, 3, 12, tzinfo=UTC)


def logged(rows: int = 3_000) -> pd.DataFrame:
    random = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "id": np.concatenate([random.permutation(rows - 4) - 700, [2**62, -(2**62), 2**31, PRIME]]),
            "number": random.normal(size=rows),
            "small": random.normal(size=rows).astype("float32"),
            "whole": random.integers(0, 200, rows).astype("uint8"),
            "text": random.choice(["a", "ü", None], rows),
            "category": pd.Categorical(random.choice(["u", "v"], rows)),
            "flag": random.random(rows) < 0.5,
            "gaps": pd.array(random.integers(0, 9, rows), dtype="Int64"),
            "doubt": pd.array(random.random(rows) < 0.5, dtype="boolean"),
            "event_time": pd.Timestamp("2025-01-01")
            + pd.to_timedelta(np.sort(random.integers(0, 4 * 86_400_000_000, rows)), unit="us"),
        }
    )
    frame.loc[::7, "number"] = np.nan
    frame.loc[::5, "gaps"] = pd.NA
    frame.loc[::9, "doubt"] = pd.NA
    return frame.assign(logged_at=frame["event_time"] + pd.Timedelta("1h"))


def log_of(path: Path, timezone: str = "UTC", **more: Any) -> Log:
    place = Place("log", str(path), timezone=timezone)
    return Log(LogSpec(place, "event_time", "id", "logged_at", **{"sample_rows": 200, **more}))


def both_samples(log: Log, window: Window = WINDOW, as_of: datetime | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The sample of the plain reader and that of DuckDB, after comparing their counts."""
    assert log._read_plainly(window, as_of, 10) is not None
    sample, counts = log.read(window, as_of)
    assert counts == log.counts(window, as_of)
    return sample, log._sample(window, as_of, counts.rows, log.spec.sample_rows)


@pytest.mark.long
@pytest.mark.parametrize(("unit", "zone"), [("us", None), ("ns", None), ("us", "Europe/Berlin")])
@pytest.mark.parametrize("groups", [None, 400])
@pytest.mark.parametrize("shuffled", [False, True])
def test_the_same_as_by_duckdb(tmp_path: Path, unit: str, zone: str | None, groups: int | None, shuffled: bool) -> None:
    frame = logged()
    times = frame["event_time"].dt.as_unit(unit)
    frame["event_time"] = times if zone is None else times.dt.tz_localize("UTC").dt.tz_convert(zone)
    if shuffled:
        frame = frame.sample(frac=1, random_state=1)
    frame.to_parquet(tmp_path / "log.parquet", index=False, row_group_size=groups)
    for log in (
        log_of(tmp_path / "log.parquet"),
        log_of(tmp_path / "log.parquet", "America/New_York"),
        log_of(tmp_path / "log.parquet", sample_rows=100_000),
        log_of(tmp_path / "log.parquet", only=("number",)),
    ):
        for as_of in (None, NOON):
            pd.testing.assert_frame_equal(*both_samples(log, as_of=as_of))
    elsewhere = Window(datetime(2020, 1, 2, tzinfo=UTC), datetime(2020, 1, 4, tzinfo=UTC))
    pd.testing.assert_frame_equal(*both_samples(log_of(tmp_path / "log.parquet"), elsewhere))


@pytest.mark.parametrize("groups", [None, 400])
def test_ids_of_text_are_ranked_as_duckdb_ranks_them(tmp_path: Path, groups: int | None) -> None:
    frame = logged()
    frame["id"] = [str(uuid.UUID(int=int(number) % 2**128)) for number in frame["id"]]
    frame.loc[1_000:1_030, "id"] = None
    frame.loc[1_100:1_110, "id"] = "ü"
    frame.to_parquet(tmp_path / "log.parquet", index=False, row_group_size=groups)
    for rows in (200, 100_000):
        log = log_of(tmp_path / "log.parquet", sample_rows=rows)
        for as_of in (None, NOON):
            ours, theirs = both_samples(log, as_of=as_of)
            assert ours.dtypes.equals(theirs.dtypes)
            for name in ("id", KEY, RANK):  # any of the rows that share an id may be sampled
                pd.testing.assert_series_equal(ours[name], theirs[name])
            has_unique_id = ours["id"].notna() & (ours["id"] != "ü")
            pd.testing.assert_frame_equal(ours[has_unique_id], theirs[has_unique_id])
    elsewhere = Window(datetime(2020, 1, 2, tzinfo=UTC), datetime(2020, 1, 4, tzinfo=UTC))
    pd.testing.assert_frame_equal(*both_samples(log_of(tmp_path / "log.parquet"), elsewhere))


def test_several_files(tmp_path: Path) -> None:
    for number, part in enumerate(np.array_split(np.arange(3_000), 3)):
        logged().iloc[part].to_parquet(tmp_path / f"{number}.parquet", index=False)
    pd.testing.assert_frame_equal(*both_samples(log_of(tmp_path)))


def test_ids_that_are_missing_or_repeated(tmp_path: Path) -> None:
    frame = logged()
    frame["id"] = pd.array(frame["id"], dtype="Int64")
    frame.loc[1_000:1_030, "id"] = pd.NA
    frame.loc[1_100:1_400, "id"] = 7
    frame.to_parquet(tmp_path / "log.parquet", index=False, row_group_size=500)
    for rows in (50, 100_000):  # any of the rows that share an id may be sampled
        ours, theirs = both_samples(log_of(tmp_path / "log.parquet", sample_rows=rows))
        pd.testing.assert_series_equal(ours["id"], theirs["id"])


def test_what_is_left_to_duckdb(tmp_path: Path) -> None:
    frame = logged()
    zoned = frame["event_time"].dt.as_unit("ns").dt.tz_localize("Europe/Berlin")
    for changed in (
        frame.assign(event_time=zoned),
        frame.assign(text=[[1, 2]] * len(frame)),
    ):
        changed.to_parquet(tmp_path / "log.parquet", index=False)
        log = log_of(tmp_path / "log.parquet")
        assert log._read_plainly(WINDOW, None, 10) is None
        sample, counts = log.read(WINDOW)
        assert (len(sample), counts.rows) == (200, log.counts(WINDOW).rows)
    frame.to_parquet(tmp_path / "log.parquet", index=False, use_deprecated_int96_timestamps=True)
    assert log_of(tmp_path / "log.parquet")._read_plainly(WINDOW, None, 10) is None


def test_a_file_that_is_written_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row positions of one version of a file must not be used to read another version."""
    logged().to_parquet(tmp_path / "log.parquet", index=False)
    log, read = log_of(tmp_path / "log.parquet"), logs.PlainFiles.read

    def slowly(*given: Any) -> Any:
        result = read(*given)
        logged().head(1_700).to_parquet(tmp_path / "log.parquet", index=False)
        return result

    monkeypatch.setattr(logs.PlainFiles, "read", slowly)
    _, counts = log.read(WINDOW)
    assert counts.rows == log.counts(WINDOW).rows < 1_700


def test_ranks_are_plain_arithmetic() -> None:
    ids = [0, 1, -1, PRIME, PRIME + 1, -PRIME, 2**62, -(2**62), 2**63 - 1, -(2**63)]
    a, b, c, d = coefficients(3)
    expected = [(((mixed := (value % PRIME * a + b) % PRIME) * mixed + value % PRIME) * c + d) % PRIME for value in ids]
    assert ranks(np.array(ids), 3).tolist() == expected
