"""`evaluate_windows`: the history of windows. No label is used before it was known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monitor import Columns, Reference, evaluate_windows
from monitor.errors import DataError, UsageError
from tests.conftest import logged

COLUMNS = Columns(prediction="prediction", probability="probability", label="label", event_time="event_time", id="id")


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.fit(logged(1500, seed=7, start="2024-12-01"), COLUMNS, "binary")


@pytest.fixture
def decayed() -> pd.DataFrame:
    frame = logged(3000, days=40)
    bad = frame["event_time"] >= "2025-01-20"
    frame.loc[bad, "label"] = np.random.default_rng(1).integers(0, 2, bad.sum())
    return frame


def test_a_decay_is_told_when_its_labels_have_come(reference: Reference, decayed: pd.DataFrame) -> None:
    history = evaluate_windows(
        reference, decayed.drop(columns="label"), decayed[["id", "label"]], every="1w", delay="3d"
    )
    metrics = history.to_frame("metrics")
    realised = metrics[(metrics["metric"] == "roc_auc") & metrics["segment"].isna()].set_index("window_start")["value"]
    assert list(realised.index.strftime("%m-%d")) == ["12-30", "01-06", "01-13", "01-20", "01-27", "02-03"]
    assert (realised[:3] > 0.8).all()
    assert (realised[3:] < 0.6).all()
    assert [window.performance.pages for window in history.windows if window.performance] == [False] * 3 + [True] * 3
    figure = history.plot()
    assert [trace.name for trace in figure.data] == ["roc_auc", "estimated_roc_auc"]
    assert len(figure.layout.shapes) == sum(
        window.data.pages or bool(window.performance and window.performance.pages) for window in history.windows
    )
    with pytest.raises(UsageError, match="there is no metric 'auc'"):
        history.plot("auc")


def test_no_label_is_used_before_its_time(reference: Reference, decayed: pd.DataFrame) -> None:
    """The evaluation of a window does not depend on labels that were not known yet."""
    labels = decayed[["id", "label"]].assign(label_time=decayed["event_time"] + pd.Timedelta("5d"))
    log = decayed.drop(columns="label")
    as_it_was = evaluate_windows(reference, log, labels, delay="5d").windows
    end = pd.Timestamp(as_it_was[3].window.end)
    later = labels["label_time"].dt.tz_localize("UTC") > end
    changed = labels.assign(label=labels["label"].where(~later, 1 - labels["label"]))
    otherwise = evaluate_windows(reference, log, changed, delay="5d").windows
    for original, altered in zip(as_it_was[:4], otherwise[:4], strict=True):
        assert original.data.to_json() == altered.data.to_json()
    assert as_it_was[4].data.to_json() != otherwise[4].data.to_json()


def test_labels_in_the_frame_count_as_known_after_their_delay(reference: Reference, decayed: pd.DataFrame) -> None:
    separate = evaluate_windows(reference, decayed.drop(columns="label"), decayed[["id", "label"]], delay="2d")
    inside = evaluate_windows(reference, decayed, delay="2d")
    assert [window.data.to_json() for window in separate.windows] == [
        window.data.to_json() for window in inside.windows
    ]


def test_columns_that_are_not_there_are_named(reference: Reference, decayed: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="event_time"):
        evaluate_windows(reference, decayed.drop(columns="event_time"))
    with pytest.raises(DataError, match="no column 'id' to join"):
        evaluate_windows(reference, decayed, decayed[["label"]])
