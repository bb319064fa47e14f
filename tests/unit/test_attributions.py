"""Drift of logged attributions: found by mean and by order, silent where nothing changed, and never taken for
features.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

from monitor import Checks, Columns, Reference, evaluate
from monitor.analysis.attributions import ndcg
from monitor.config.model import ColumnNames
from monitor.domain.checks import Verdict
from monitor.errors import UsageError

COLUMNS = Columns(prediction="prediction", label="label", attributions="shap_{feature}")
DRIFT = Checks(only=("drift",))


def rows(number: int, seed: int, weights: tuple[float, float, float] = (3.0, 1.0, 0.3)) -> pd.DataFrame:
    """A linear model with its exact SHAP values: weight times the distance from the feature's mean."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(number, 3))
    shap = features * weights
    frame = pd.DataFrame(features, columns=["income", "age", "rooms"])
    frame[["shap_income", "shap_age", "shap_rooms"]] = shap
    prediction = 20 + shap.sum(axis=1)
    return frame.assign(prediction=prediction, label=prediction + random.normal(size=number))


@cache
def reference() -> Reference:
    return Reference.fit(rows(2_000, 0), COLUMNS, "regression")


def test_attributions_are_no_features() -> None:
    assert reference().features == ["income", "age", "rooms"]


def test_a_model_that_relies_on_another_feature_is_told_in_plain_words() -> None:
    evaluation = evaluate(reference(), rows(1_000, 1, (0.3, 1.0, 3.0)), checks=DRIFT)
    order = evaluation["attribution_ndcg"]
    assert order.verdict is Verdict.CHANGED  # type: ignore[union-attr]
    assert "The model now relies most on 'rooms'; in the reference it was number 3." in order.explanation  # type: ignore[union-attr]
    assert evaluation["attribution_drift", "rooms"].value > 0.5  # type: ignore[operator]
    text = evaluation["attribution_drift", "income"].explanation  # type: ignore[union-attr]
    assert text.startswith("The model relies less on 'income'")


@pytest.mark.long
def test_clean_windows_rarely_change() -> None:
    changed = 0
    for seed in range(40):
        evaluation = evaluate(reference(), rows(500, 100 + seed), checks=DRIFT)
        changed += any(finding.metric.startswith("attribution") for finding in evaluation.findings)
    assert changed <= 1


@pytest.mark.long
def test_an_order_that_healthy_windows_have_too_is_fine() -> None:
    fitted = Reference.fit(rows(2_000, 0, (1.0, 1.0, 1.0)), COLUMNS, "regression")
    assert evaluate(fitted, rows(200, 1, (1.0, 1.02, 1.0)), checks=DRIFT)["attribution_ndcg"].verdict is Verdict.FINE  # type: ignore[union-attr]


def test_a_missing_column_of_attributions_could_not_be_checked() -> None:
    evaluation = evaluate(reference(), rows(500, 2).drop(columns="shap_age"), checks=DRIFT)
    for key in (("attribution_drift", "age"), ("attribution_ndcg",)):
        assert evaluation[key].verdict is Verdict.COULD_NOT_CHECK  # type: ignore[union-attr]
    assert evaluation["attribution_drift", "income"].verdict is Verdict.FINE  # type: ignore[union-attr]


def test_a_mapping_names_the_columns_of_features() -> None:
    columns = Columns(prediction="prediction", attributions={"age": "shap_age"}, ignore=("shap_income", "shap_rooms"))
    fitted = Reference.fit(rows(500, 0).drop(columns="label"), columns, "regression")
    assert fitted.features == ["income", "age", "rooms"]
    assert evaluate(fitted, rows(300, 1), checks=DRIFT)["attribution_drift", "age"].value is not None
    assert Reference.from_bytes(fitted.to_bytes()).columns == columns


def test_a_pattern_names_the_feature_once() -> None:
    with pytest.raises(UsageError, match="feature"):
        Columns(attributions="shap_")
    with pytest.raises(ValueError, match="feature"):
        ColumnNames(attributions="shap_")


def test_ndcg_is_one_for_the_same_order_and_less_for_another() -> None:
    before = np.array([3.0, 2.0, 1.0])
    assert ndcg(before, 7 * before) == pytest.approx(1)
    turned = (1 + 2 / np.log2(3) + 3 / 2) / (3 + 2 / np.log2(3) + 1 / 2)
    assert ndcg(before, before[::-1]) == pytest.approx(turned)
