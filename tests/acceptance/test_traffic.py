"""A fall in traffic is reported in the first days of a monitor."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd

from tests.conftest import Project, logged


def daily(project: Project, rows: dict[str, int]) -> list[tuple[str, str]]:
    """The verdict on traffic and the day, for each day of a log with these numbers of rows."""
    frame = logged(sum(rows.values()))
    days = np.repeat(pd.to_datetime(list(rows)), list(rows.values())).as_unit("us")
    within = np.concatenate([np.arange(number) / number for number in rows.values()])
    frame["event_time"] = days + pd.to_timedelta(within * 86_000, unit="s").as_unit("us")
    project.log(frame)
    del project.monitor["labels"]
    project.monitor["windows"] = {"length": "1d", "delay": "1h"}
    project.replay(datetime(2027, 1, 1, tzinfo=UTC))
    return project.query(
        "SELECT verdict, strftime('%Y-%m-%d', window_start) FROM monitor_checks WHERE metric = 'volume_share' ORDER BY"
        " window_start"
    )


def test_the_fourth_day_of_a_monitor_that_has_a_twentieth_of_the_rows_is_a_fall(project: Project) -> None:
    rows = {
        "2025-01-06": 303,
        "2025-01-07": 292,
        "2025-01-08": 295,
        "2025-01-09": 16,
        "2025-01-10": 300,
        "2025-01-11": 40,
    }
    verdicts = [verdict for verdict, _ in daily(project, rows)]
    unknown = "could_not_check"
    assert verdicts == [unknown, unknown, unknown, "changed", "fine", unknown], "Saturday is not like the days before"
    findings = project.query("SELECT severity, explanation FROM monitor_findings WHERE metric = 'volume_share'")
    assert [severity for severity, _ in findings] == ["warning"]
    assert findings[0][1].startswith("16 rows came, where about 295 were expected (3 comparable earlier windows")
