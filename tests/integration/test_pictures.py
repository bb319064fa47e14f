"""The pictures of an alert: its metric over the windows, with the limit and the bad windows, then the columns that
changed most.
"""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from monitor.analysis.plots import Curve, MetricPoint, picture, picture_of_curve
from monitor.services.context import open_database
from monitor.services.deliver_notifications import pictures_of
from monitor.services.describe_alert import curve_of
from monitor.storage import runs
from tests.conftest import Project
from tests.nasty_names import NASTY

START = datetime(2025, 1, 1, tzinfo=UTC)


def height(png: bytes | None) -> int:
    """The height in pixels, from the header of the image."""
    assert png is not None
    assert png.startswith(b"\x89PNG")
    return int(struct.unpack(">II", png[16:24])[1])


def first_message(history: Project, kind: str, state: str) -> dict[str, Any]:
    """The first message of an alert of this kind in this state."""
    messages = [json.loads(line) for line in (history.folder / "told.jsonl").read_text().splitlines()]
    return next(
        message for message in messages if (message["alert"]["kind"], message["alert"]["state"]) == (kind, state)
    )


def test_the_curve_has_the_limit_and_shades_the_windows_that_alert(history: Project) -> None:
    message, database = first_message(history, "performance", "firing"), open_database(history.loaded())

    def read(session: Any) -> tuple[Curve | None, datetime]:
        run = runs.find(session, message["alert"]["run"])[0]
        since = datetime.fromisoformat(message["alert"]["since"])
        return curve_of(session, run, message["findings"][0], since, ""), run.window_end

    curve, until = database.read(read)
    assert curve is not None
    assert curve.name == "ROC AUC"
    since = datetime.fromisoformat(message["alert"]["since"])
    bad = [point for point in curve.points if point.bad]
    assert bad
    assert bad[0].start == since
    assert bad[-1].end == until
    assert all(
        point.limits[0] is not None and point.value is not None and point.value < point.limits[0] for point in bad
    )
    assert [point for point in curve.points if not point.bad and point.end <= since]
    assert all(before.end <= after.start for before, after in pairwise(curve.points))


def test_the_metric_comes_first_and_of_what_has_ended_alone(history: Project) -> None:
    message, database = first_message(history, "performance", "firing"), open_database(history.loaded())
    columns = len({finding["column"] for finding in message["findings"] if finding["column"]})
    assert columns
    drawn = database.read(pictures_of, message)
    assert {name: height(png) for name, png in drawn.items()} == {
        "metric.png": 230,
        "columns.png": 230 * min(columns, 3),
    }
    assert next(iter(drawn)) == "metric.png"
    over = message | {"alert": message["alert"] | {"state": "resolved"}}
    assert list(database.read(pictures_of, over)) == ["metric.png"]


def test_a_message_without_a_run_has_no_picture(history: Project) -> None:
    message = {"alert": {"run": "", "state": "firing"}, "findings": []}
    assert open_database(history.loaded()).read(pictures_of, message) == {}


def test_a_curve_with_gaps_without_limits_and_with_any_name_is_drawn() -> None:
    days = [START + timedelta(days=number) for number in range(4)]
    points = [
        MetricPoint(day, day + timedelta(days=1), None if number == 1 else 0.1 * number, bad=number > 2)
        for number, day in enumerate(days)
    ]
    for name in NASTY:
        assert height(picture_of_curve(Curve(name, points))) == 230
    assert picture({}, ["absent"]) is None
