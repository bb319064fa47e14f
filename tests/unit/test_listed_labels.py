"""Labels that are asked for: rows are drawn with known probabilities, and performance by their labels has no bias."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from monitor import Columns, Reference, evaluate
from monitor.analysis.label_design import EQUAL_SHARE, ExpectedLabels, drawn, inclusion_probabilities
from monitor.analysis.listed_labels import (
    LabelDraw,
    LabelLists,
    expected_error,
    importance,
    listed_performance,
    random_error,
)
from monitor.analysis.performance import Measured, measure, outcomes
from tests.conftest import logged

LINEAR = ("accuracy", "log_loss", "brier_score", "recall", "f1", "fpr")
COLUMNS = Columns(prediction="prediction", probability="probability", label="label", event_time="event_time", id="id")


@lru_cache
def reference() -> Reference:
    return Reference.fit(logged(1500, seed=7), COLUMNS, "binary")


@lru_cache
def window() -> pd.DataFrame:
    frame = logged(1500, seed=11)
    return frame.assign(prediction=frame["prediction"].astype(float), label=frame["label"].astype(float))


@lru_cache
def expected() -> ExpectedLabels:
    return ExpectedLabels.of(reference(), window())


def draw(chance: np.ndarray, seed: int) -> LabelDraw:
    times = np.arange(len(chance), dtype=float)
    listed = np.isin(times, drawn(chance, times, seed))
    return LabelDraw(np.where(listed, chance, np.nan), listed, times)


def performances(metric: str, number: int, budget: int = 60) -> list[Measured]:
    chance = inclusion_probabilities(importance(expected(), metric), budget)
    return [listed_performance(expected(), [draw(chance, seed)]).values[metric] for seed in range(number)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.integers(1, 250))
def test_each_row_with_an_answer_can_be_drawn_and_the_budget_is_kept(sizes: list[float], budget: int) -> None:
    moves = np.array(sizes)
    chance = inclusion_probabilities(moves, budget)
    eligible = int((moves > 0).sum())
    assert ((chance > 0) == (moves > 0)).all()
    assert chance.sum() == pytest.approx(min(budget, eligible))
    assert chance.max(initial=0) <= 1
    if eligible > 0:
        assert chance[moves > 0].min() >= EQUAL_SHARE * min(budget / eligible, 1) * (1 - 1e-9)
    assert len(drawn(chance, None, 0)) == pytest.approx(min(budget, eligible), abs=1e-6)


@pytest.mark.long
def test_rows_are_drawn_as_often_as_their_probability_says() -> None:
    random = np.random.default_rng(0)
    chance = inclusion_probabilities(random.exponential(size=80), 20)
    counts = np.zeros(80)
    for seed in range(3000):
        counts[drawn(chance, np.arange(80.0), seed)] += 1
    spread = np.sqrt(chance * (1 - chance) / 3000)
    assert (np.abs(counts / 3000 - chance) <= 4.5 * spread + 1e-9).all()


@pytest.mark.long
def test_a_list_is_the_same_each_time_it_is_drawn() -> None:
    chance = inclusion_probabilities(importance(expected(), "roc_auc"), 50)
    times = np.arange(len(chance), dtype=float)
    assert (drawn(chance, times, 5) == drawn(chance, times, 5)).all()
    assert (drawn(chance, times, 5) != drawn(chance, times, 6)).any()


@pytest.mark.parametrize("metric", ["roc_auc", *(pytest.param(name, marks=pytest.mark.long) for name in LINEAR)])
def test_performance_by_a_list_has_no_bias_and_its_interval_covers_the_value_of_all_labels(metric: str) -> None:
    true_value = measure(outcomes(window(), COLUMNS, "binary"))[metric].value
    values = performances(metric, 150)
    found = np.array([value.value for value in values])
    errors = np.array([value.error for value in values])
    assert abs(found.mean() - true_value) <= 3.5 * found.std() / np.sqrt(len(found)) + 0.05 * found.std()
    covered = np.abs(found - true_value) <= norm.ppf(0.975) * errors
    assert covered.mean() >= 0.9


def test_the_interval_has_about_the_width_that_was_expected_and_random_rows_leave_a_wider_one() -> None:
    moves = importance(expected(), "brier_score")
    chance = inclusion_probabilities(moves, 60)
    errors = [value.error or 0.0 for value in performances("brier_score", 40)]
    at_random = random_error(expected(), "brier_score", 60)
    assert at_random is not None
    design = expected_error(moves, chance)
    assert design < at_random
    assert 0.6 < np.mean(errors) / np.hypot(design, at_random * (60 / 1500) ** 0.5) < 1.4


def test_labels_that_came_by_other_ways_do_not_count() -> None:
    """Only rows with the wrong answer are labelled beside the list: mixed in, they would make the model look bad."""
    chance = inclusion_probabilities(importance(expected(), "accuracy"), 60)
    one_draw = draw(chance, 1)
    wrong = (window()["label"] != window()["prediction"]).to_numpy()
    frame = window().assign(label=window()["label"].where(one_draw.listed | wrong))
    mixed = ExpectedLabels.of(reference(), frame)
    alone = listed_performance(expected(), [one_draw]).values["accuracy"]
    assert listed_performance(mixed, [one_draw]).values["accuracy"].value == pytest.approx(alone.value)


@pytest.mark.long
def test_labels_that_were_there_before_a_list_count_as_they_are() -> None:
    first = np.arange(1500) < 500
    moves = np.where(first, 0.0, importance(expected(), "accuracy"))
    chance = inclusion_probabilities(moves, 60)
    values = []
    for seed in range(60):
        one_draw = draw(chance, seed)
        with_first = LabelDraw(np.where(first, 1.0, one_draw.chance), one_draw.listed, one_draw.order)
        values.append(listed_performance(expected(), [with_first]).values["accuracy"])
    true_value = measure(outcomes(window(), COLUMNS, "binary"))["accuracy"].value
    found = np.array([value.value for value in values])
    assert abs(found.mean() - true_value) <= 3.5 * found.std() / np.sqrt(60)
    assert np.mean([value.error for value in values]) < np.mean([value.error for value in performances("accuracy", 60)])


@pytest.mark.long
def test_two_lists_tell_more_than_one() -> None:
    moves = importance(expected(), "accuracy")
    first_chance = inclusion_probabilities(moves, 60)
    values, single = [], performances("accuracy", 60)
    for seed in range(60):
        first = draw(first_chance, seed)
        second = draw(inclusion_probabilities(np.where(first.listed, 0.0, moves), 60), 1000 + seed)
        second = LabelDraw(np.where(first.listed, 1.0, second.chance), second.listed, second.order)
        values.append(listed_performance(expected(), [first, second]).values["accuracy"])
    true_value = measure(outcomes(window(), COLUMNS, "binary"))["accuracy"].value
    found = np.array([value.value for value in values])
    assert abs(found.mean() - true_value) <= 3.5 * found.std() / np.sqrt(60)
    assert np.mean([value.error for value in values]) < 0.85 * np.mean([value.error for value in single])


def lists_of(frame: pd.DataFrame, seed: int = 0) -> LabelLists:
    chance = inclusion_probabilities(importance(ExpectedLabels.of(reference(), frame), "accuracy"), 60)
    one_draw = draw(chance, seed)
    return LabelLists(one_draw.chance[:, None], one_draw.listed[:, None])


def test_evaluate_judges_by_a_list_and_waits_until_its_labels_have_come() -> None:
    lists = lists_of(window())
    listed = lists.listed[:, 0]
    for share, verdict in ((0.5, "too_little_data"), (1.0, "fine")):
        came = listed & (np.cumsum(listed) <= share * listed.sum())
        evaluation = evaluate(reference(), window().assign(label=window()["label"].where(came)), lists=lists)
        check = evaluation["roc_auc"]
        assert check.verdict == verdict  # type: ignore[union-attr]
        if verdict == "too_little_data":
            assert check.reason == "30 of the 60 labels that were asked for have come"  # type: ignore[union-attr]


def test_a_model_without_labels_in_its_reference_gets_rows_of_equal_probability() -> None:
    plain = Reference.fit(logged(1500, seed=7).drop(columns="label"), COLUMNS, "binary")
    chance = inclusion_probabilities(importance(ExpectedLabels.of(plain, window()), "accuracy"), 60)
    assert chance == pytest.approx(np.full(1500, 60 / 1500))


def regression() -> tuple[Reference, pd.DataFrame]:
    def frame(seed: int) -> pd.DataFrame:
        random = np.random.default_rng(seed)
        size = random.random(2000)
        truth = 10 * size + random.normal(0, 0.2 + 4 * size**3)
        return pd.DataFrame({"size": size, "prediction": 10 * size, "label": truth})

    columns = Columns(prediction="prediction", label="label")
    return Reference.fit(frame(0), columns, "regression"), frame(1)


@pytest.mark.long
@pytest.mark.parametrize("metric", ["mae", "rmse", "mean_error"])
def test_the_errors_of_a_regression_are_covered_and_rows_with_large_errors_are_drawn_more_often(metric: str) -> None:
    fitted, frame = regression()
    labels = ExpectedLabels.of(fitted, frame)
    chance = inclusion_probabilities(importance(labels, metric), 60)
    large = (frame["size"] > 0.8).to_numpy()
    assert chance[large].mean() > 1.5 * chance[~large].mean()
    true_value = measure(outcomes(frame, fitted.columns, "regression"))[metric].value
    values = [listed_performance(labels, [draw(chance, seed)]).values[metric] for seed in range(100)]
    covered = [abs(value.value - true_value) <= norm.ppf(0.975) * (value.error or 0.0) for value in values]
    assert np.mean(covered) >= 0.88
