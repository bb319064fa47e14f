"""Two models on the same rows: what a bootstrap of rows shows, and verdicts."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from monitor import DataError, UsageError, compare


def answers(rows: int, seed: int, worse: float = 0.0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    signal = random.normal(size=rows)
    label = (random.random(rows) < 1 / (1 + np.exp(-2 * signal))).astype(int)
    current, candidate = (1 / (1 + np.exp(-(signal + random.normal(0, noise, rows)))) for noise in (0.5, 0.5 + worse))
    return pd.DataFrame(
        {
            "label": label,
            "p_v3": current,
            "p_v4": candidate,
            "v3": signal,
            "v4": signal + random.normal(0, worse + 1e-9, rows),
        }
    )


def test_the_interval_of_a_paired_difference_is_what_a_bootstrap_of_rows_shows() -> None:
    frame = answers(1500, 1, worse=0.7)
    comparison = compare(frame, current="p_v3", candidate="p_v4", label="label", task="binary")
    random, differences = np.random.default_rng(0), []
    for _ in range(300):
        rows = frame.iloc[random.integers(0, len(frame), len(frame))]
        differences.append(roc_auc_score(rows["label"], rows["p_v4"]) - roc_auc_score(rows["label"], rows["p_v3"]))
    assert comparison.difference == pytest.approx(np.mean(differences), abs=0.005)
    assert (comparison.upper - comparison.lower) / 3.92 == pytest.approx(np.std(differences), rel=0.2)
    assert (comparison.metric, comparison.verdict) == ("roc_auc", "worse")
    assert "worse" in str(comparison)


def test_verdicts_are_better_same_worse_and_too_little_data() -> None:
    frame = answers(3000, 2, worse=0.7)
    assert compare(frame, "p_v4", "p_v3", "label", "binary").verdict == "better"
    alike = answers(20_000, 3).assign(p_v4=lambda rows: rows["p_v3"] + 1e-6)
    assert compare(alike.clip(0, 1), "p_v3", "p_v4", "label", "binary").verdict == "same"
    assert compare(answers(60, 4), "p_v3", "p_v4", "label", "binary").verdict == "too_little_data"
    assert compare(frame.head(10), "p_v3", "p_v4", "label", "binary").verdict == "too_little_data"


def test_numbers_are_compared_by_their_errors_and_classes_by_accuracy() -> None:
    frame = answers(2000, 5, worse=1.0).assign(truth=lambda rows: rows["v3"] + 0.3)
    by_error = compare(frame, "v3", "v4", "truth", "regression")
    assert (by_error.metric, by_error.verdict) == ("mae", "worse")
    assert by_error.current == pytest.approx(0.3)
    classes = frame.assign(a=(frame["p_v3"] > 0.5).astype(int), b=1)
    assert compare(classes, "b", "a", "label", "binary").metric == "accuracy"
    assert compare(classes, "b", "a", "label", "multiclass").verdict == "better"


def test_a_wrong_column_or_task_is_refused() -> None:
    with pytest.raises(DataError, match="no column 'p_v9'"):
        compare(answers(50, 1), "p_v3", "p_v9", "label", "binary")
    with pytest.raises(UsageError, match="no task"):
        compare(answers(50, 1), "p_v3", "p_v4", "label", "clustering")


def test_a_positive_class_that_is_not_certain_is_asked_for() -> None:
    frame = answers(500, 5)
    words = frame.assign(label=np.where(frame["label"] == 1, "bad", "good"))
    with pytest.raises(DataError, match="which is the positive class"):
        compare(words, "p_v3", "p_v4", "label", "binary")
    plain = compare(frame, "p_v3", "p_v4", "label", "binary")
    assert compare(words, "p_v3", "p_v4", "label", "binary", positive="bad") == plain
