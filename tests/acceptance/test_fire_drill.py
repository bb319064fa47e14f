"""Faults of whole windows, at full strength, in the first window of each of the six data sets. They are caught, and
they page where they do harm.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monitor import Columns, Reference, evaluate
from monitor.analysis.faults import WINDOW_FAULTS
from monitor.domain.checks import DEFAULT_HARM

SETS = ("beijing_pm25", "bike_sharing", "california_housing", "car_loan", "diabetes_readmission", "hotel_bookings")
ROWS = 1_500


def with_text(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The rows with a text column that is made from some of their values."""
    random = np.random.default_rng(0)
    words = np.array(["please", "note", "that", "today", "we", "saw", "about", "the", "usual", "thing"])
    parts = [frame[name].map(lambda value, name=name: f"{name} is {value}") for name in columns]
    filler = [" ".join(random.choice(words, 5)) for _ in range(len(frame))]
    return frame.assign(remark=[" and ".join(texts) for texts in zip(*parts, filler, strict=True)])


@pytest.mark.long
@pytest.mark.parametrize("name", SETS)
def test_faults_of_whole_windows_are_caught(shared_data: Path, name: str) -> None:
    frames = [pd.read_parquet(shared_data / name / f"{part}.parquet") for part in ("reference", "predictions")]
    is_regression = "probability" not in frames[0]
    columns = Columns(
        prediction="prediction",
        probability=None if is_regression else "probability",
        label="label",
        event_time="event_time",
        id="id",
    )
    features = columns.feature_names(list(frames[1].columns))[:3]
    fitted, production = (with_text(frame, features) for frame in frames)
    reference = Reference.fit(fitted.tail(6_000), columns, "regression" if is_regression else "binary")
    window = production.head(ROWS)
    healthy = evaluate(reference, window)
    metric = reference.harm_metric
    assert metric is not None
    limit = DEFAULT_HARM[metric].absolute(reference.baseline[metric].value)
    most = sorted(reference.importance.values(), reverse=True)
    costs = {"vanished column": most[0], "half of the columns null": sum(most[: len(reference.features) // 2])}
    for fault in WINDOW_FAULTS:
        outcome = fault.caught(reference, window)
        assert outcome is not None, fault.name
        caught, pages = outcome
        assert caught, fault.name
        if fault.name.startswith(("predictions", "traffic")) or costs.get(fault.name, 0.0) > limit:
            assert pages, fault.name
    assert not any(finding.metric in ("column_missing", "unusable_prediction_share") for finding in healthy.findings)
