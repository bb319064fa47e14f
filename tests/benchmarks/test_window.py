"""`make bench`: what a window costs, as ratios against Evidently's own presets in the same run."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from statistics import median

import numpy as np
import pandas as pd

from monitor import Columns, Reference, evaluate

ROUNDS = 5


def timed(work: Callable[[], object]) -> list[float]:
    work()
    spent = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return spent


def test_a_window_against_the_presets() -> None:
    from evidently import BinaryClassification, DataDefinition, Dataset, Report
    from evidently.presets import ClassificationPreset, DataDriftPreset, DataSummaryPreset

    warnings.simplefilter("ignore")
    random = np.random.default_rng(0)
    names = [f"x{index}" for index in range(20)]

    def drawn(rows: int) -> pd.DataFrame:
        frame = pd.DataFrame(random.normal(size=(rows, 20)), columns=names)
        chance = 1 / (1 + np.exp(-frame["x0"]))
        return frame.assign(
            probability=chance, prediction=(chance > 0.5).astype(int), label=(random.random(rows) < chance).astype(int)
        )

    before, after = drawn(20_000), drawn(20_000)
    reference = Reference.fit(
        before, Columns(prediction="prediction", probability="probability", label="label"), "binary"
    )
    target = BinaryClassification(
        target="label", prediction_labels="prediction", prediction_probas="probability", pos_label=1
    )
    definition = DataDefinition(
        numerical_columns=[*names, "probability"], categorical_columns=["label", "prediction"], classification=[target]
    )
    report = Report([DataDriftPreset(), DataSummaryPreset(), ClassificationPreset()])
    ours = timed(lambda: evaluate(reference, after))
    theirs = timed(lambda: report.run(Dataset.from_pandas(after, definition), Dataset.from_pandas(before, definition)))
    print(
        f"\n20 columns x 20,000 rows, all checks: {median(ours):.2f} s ({min(ours):.2f} to {max(ours):.2f}); the three presets {median(theirs):.2f} s "
        f"({min(theirs):.2f} to {max(theirs):.2f}); ratio {median(ours) / median(theirs):.2f}"
    )
