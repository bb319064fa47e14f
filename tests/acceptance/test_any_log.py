"""For any log, `monitor run` ends each run with a verdict per column, or with an error that names the column."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Project
from tests.unit.test_any_frame import NAMES, ROWS, TYPES, columns_of, framed

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]
MARKUP = "</script><script>alert(1)</script>{share:>300000000}"


def run_monitor(folder: Path, name: str, before: pd.Series, after: pd.Series) -> None:
    """Run a monitor with the column `before` in its reference and the column `after` in its log."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    times = pd.Timestamp("2025-01-01") + pd.to_timedelta(np.arange(ROWS) * 1800, unit="s")
    try:
        for place, values, seed in (("reference", before, 0), ("log", after, 1)):
            frame = framed(name, values, seed).assign(monitor_id=np.arange(ROWS), at=times.as_unit("us"))
            frame.to_parquet(folder / f"{place}.parquet", index=False)
    except (
        pa.ArrowException,
        ValueError,
        TypeError,
        OverflowError,
        NotImplementedError,
        UnicodeError,
        AttributeError,
        KeyError,
    ):
        return  # a log cannot hold a value that Parquet cannot hold
    entry = {
        "task": "regression",
        "model": {"name": "m"},
        "source": {"path": "log.parquet"},
        "reference": {"path": "reference.parquet"},
        "labels": {"delay": "1h"},
        "windows": {"length": "1d", "delay": "1h"},
        "columns": {"id": "monitor_id", "event_time": "at", "prediction": "prediction", "label": "label"},
    }
    project = Project(folder, {"web": False, "monitors": {"m": entry}})
    project.run()
    runs = project.query("SELECT status, reason FROM runs")
    refused = [error for (error,) in project.query("SELECT error FROM source_states") if error]
    for reason in [*refused, *(reason for status, reason in runs if status != "done")]:
        # A run that waits for a reference says so. The error of the reference names the column.
        assert name[:10] in reason or repr(name)[1:8] in reason or "no reference is in force" in reason, reason
    if any(status == "done" for status, _ in runs):
        assert ("x",) in project.query("SELECT DISTINCT column_name FROM monitor_checks")


@pytest.mark.parametrize("kind", TYPES)
def test_a_log_with_a_column_of_each_type_is_worked_off(tmp_path: Path, kind: str) -> None:
    values = columns_of(MARKUP, 2.0)
    run_monitor(tmp_path / "project", "column", columns_of("a word", 1.0)["numbers"], values[kind])
    run_monitor(tmp_path / "project", "column", values[kind], values[kind])


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=NAMES, word=st.text(max_size=200), before=st.sampled_from(TYPES), after=st.sampled_from(TYPES))
def test_a_log_with_any_names_and_values_is_worked_off(
    tmp_path: Path, name: str, word: str, before: str, after: str
) -> None:
    run_monitor(tmp_path / "project", name, columns_of("a", 1.0)[before], columns_of(word, 3.0)[after])
