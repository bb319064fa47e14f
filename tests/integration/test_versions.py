"""A window with rows of several versions of a model: the rows of each version are counted exactly."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monitor import Checks, Columns, Reference
from monitor.domain.checks import Threshold
from monitor.domain.grid import Window
from monitor.services import work
from monitor.services.specs import RunSpec
from monitor.sources.spec import LogSpec, Place

ROWS = 20_000
DAY = Window(datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 2, tzinfo=UTC))


@pytest.mark.parametrize("versions", [("a", "b"), (1, 2), (1.5, 2.0), (True, False), ("a", None)])
def test_each_version_is_counted_exactly_however_few_rows_are_sampled(tmp_path: Path, versions: tuple) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=ROWS)
    frame = pd.DataFrame(
        {
            "id": np.arange(ROWS),
            "ts": pd.date_range("2025-01-01", periods=ROWS, freq="4s", tz="UTC"),
            "x": np.where(np.arange(ROWS) % 10 == 0, np.nan, x),
            "prediction": 3 * x,
            "version": pd.Series(np.where(np.arange(ROWS) < 5_000, 0, 1)).map(dict(enumerate(versions))),
        }
    )
    frame.to_parquet(tmp_path / "log.parquet")
    columns = Columns(prediction="prediction", event_time="ts", id="id", model_version="version", features=("x",))
    Reference.fit(frame.head(2_000), columns, "regression").save(tmp_path / "reference.zip")
    source = LogSpec(Place("log", path=str(tmp_path / "log.parquet")), "ts", "id", sample_rows=1_000)
    checks = Checks(thresholds={"row_count": Threshold(lower=ROWS - 1)})
    result = work.run(RunSpec("data", DAY, DAY.end, source, columns, {"": str(tmp_path / "reference.zip")}, checks, ""))
    rows = {metric.model_version: metric.value for metric in result.metrics if metric.metric == "row_count"}
    assert sorted(rows.values()) == [5_000, 15_000], "exact, not what the sample leads to"
    missing = {
        metric.model_version: metric.value
        for metric in result.metrics
        if metric.metric == "missing_share" and metric.column == "x"
    }
    assert missing == dict.fromkeys(rows, 0.1)
    assert not [finding for finding in result.findings if finding.metric == "row_count"], (
        "the limit is one on the window"
    )
