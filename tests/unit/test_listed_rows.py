"""Which lists of wanted labels a performance run judges by."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd

from monitor.domain.checks import Checks
from monitor.domain.columns import Columns
from monitor.domain.grid import Window
from monitor.services.listed_rows import key_of, lists_of_part, rows_of_lists, used_lists
from monitor.services.specs import ListedRows, RunSpec
from monitor.sources.sample import KEY
from monitor.sources.spec import LogSpec, Place

START = datetime(2025, 1, 1, tzinfo=UTC)
CREATED = START + timedelta(days=8)


def listed(*rows: int, version: str = "1", created: datetime = CREATED) -> ListedRows:
    return ListedRows("list", created, version, {key_of(str(row), "secret"): 0.25 for row in rows})


SPEC = RunSpec(
    kind="performance",
    window=Window(START, START + timedelta(days=7)),
    as_of=START + timedelta(days=10),
    log=LogSpec(Place("log"), "event_time", id="id", hash_key="secret"),
    columns=Columns(prediction="prediction", label="label"),
    references={},
    checks=Checks(),
    default_version="1",
    expected=1.0,
    judge_from=0.9,
    revise_until=START + timedelta(days=60),
    lists=(listed(*range(10)),),
)


def window(*labelled: int, moment: datetime = CREATED + timedelta(hours=1)) -> pd.DataFrame:
    times = pd.Series([moment if row in labelled else pd.NaT for row in range(100)], dtype="datetime64[ns, UTC]")
    return pd.DataFrame({KEY: [str(row) for row in range(100)], "monitor_label_time": times})


def test_a_window_is_judged_by_its_list_until_enough_labels_have_come_by_any_way() -> None:
    assert used_lists(window(*range(10)), SPEC, 10) is not None
    assert used_lists(window(*range(89)), SPEC, 89) is not None
    assert used_lists(window(*range(90)), SPEC, 90) is None
    assert used_lists(window(*range(10)), replace(SPEC, lists=()), 10) is None
    assert used_lists(window(*range(10)), replace(SPEC, kind="data"), 10) is None


def test_when_revisions_end_a_list_whose_labels_did_not_come_is_waited_for_no_longer() -> None:
    final = replace(SPEC, as_of=START + timedelta(days=60))
    assert used_lists(window(*range(5), *range(20, 40)), SPEC, 25) is not None
    assert used_lists(window(*range(5), *range(20, 40)), final, 25) is None
    assert used_lists(window(*range(9), *range(20, 40)), final, 29) is not None


def test_rows_with_a_label_before_a_list_were_certain_and_later_ones_by_other_ways_are_not_in_it() -> None:
    frame = window(0, 1, 2, 50)
    frame.loc[51, "monitor_label_time"] = pd.Timestamp(CREATED - timedelta(hours=1))
    lists = rows_of_lists(frame, SPEC)
    chance = lists.chances[0]
    assert chance[:10].tolist() == [0.25] * 10
    assert pd.isna(chance[50])
    assert chance[51] == 1.0
    assert lists.listed[0].sum() == 10


def test_the_rows_of_a_list_are_certain_for_the_next_one() -> None:
    lists = rows_of_lists(window(), replace(SPEC, lists=(listed(0, 1), listed(2, 3))))
    assert lists.chances[1][:4].tolist() == [1.0, 1.0, 0.25, 0.25]
    assert lists.listed[1].sum() == 2


def test_the_list_of_another_version_judges_none_of_these_rows() -> None:
    spec = replace(SPEC, lists=(listed(0, 1, version="2"),))
    frame = window(0, 1)
    lists = lists_of_part(rows_of_lists(frame, spec), frame, None, spec, "1")
    assert lists.chances.shape == (100, 0)
    assert lists.weights.sum() == 0
