"""The search for weak segments: what it finds, what it leaves alone, and how it says so."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitor import Checks, Columns, Evaluation, Finding, Reference, evaluate
from monitor.analysis.weak_segments import Condition, rows_of_rule, rule_text
from monitor.domain.checks import Verdict
from tests.unit.test_checks import folded

SEARCH = Checks(weak_segments=True)


def rows(number: int, seed: int) -> pd.DataFrame:
    """A regression whose errors are ten times as large in one shop, always."""
    random = np.random.default_rng(seed)
    shop = random.choice(["north", "south", "west"], number, p=[0.6, 0.3, 0.1])
    frame = pd.DataFrame(
        {
            "age": random.integers(18, 90, number),
            "channel": random.choice(["app", "web", "desk"], number),
            "shop": shop,
            "income": random.gamma(2, 20_000, number),
        }
    )
    prediction = 3.0 * frame["age"]
    noise = random.normal(0, np.where(shop == "west", 10.0, 1.0))
    return frame.assign(prediction=prediction, label=prediction + noise)


@cache
def reference(**columns: Any) -> Reference:
    return Reference.fit(rows(4_000, 0), Columns(prediction="prediction", label="label", **columns), "regression")


def harmed(frame: pd.DataFrame, inside: pd.Series, by: float = 5.0) -> pd.DataFrame:
    return frame.assign(label=frame["label"] + np.where(inside, by, 0.0))


def young_in_the_app(frame: pd.DataFrame) -> pd.Series:
    return (frame["channel"] == "app") & (frame["age"] < 30)


def finding(evaluation: Evaluation) -> Finding:
    return next(finding for finding in evaluation.findings if finding.metric == "weak_segment")


def test_a_segment_of_two_columns_is_named_with_its_rows_its_loss_and_an_interval() -> None:
    frame = rows(4_000, 1)
    inside = young_in_the_app(frame)
    segment = finding(evaluate(reference(), harmed(frame, inside), checks=SEARCH))
    first = segment.explanation.split(", ")[0]
    assert "of the loss is where" in first
    assert "channel = app" in first
    assert "age < 3" in first
    assert "in the reference these rows have about" in segment.explanation
    assert segment.share == pytest.approx(inside.mean(), abs=0.02)
    assert segment.lower is not None
    assert segment.upper is not None
    assert segment.lower > 0
    loss = np.abs(5 + (frame["label"] - frame["prediction"])[inside]).mean()
    usual = np.abs((frame["label"] - frame["prediction"])[inside]).mean()
    assert segment.lower < loss - usual < segment.upper


def test_a_segment_that_was_always_hard_is_not_named() -> None:
    check = evaluate(reference(), rows(4_000, 2), checks=SEARCH)["weak_segment"]
    assert check.verdict is Verdict.FINE  # type: ignore[union-attr]


def test_a_model_that_is_worse_everywhere_has_no_weak_segment() -> None:
    frame = rows(4_000, 3)
    everywhere = harmed(frame, pd.Series(True, frame.index), 1.0)
    evaluation = evaluate(reference(), everywhere, checks=SEARCH)
    assert evaluation["mae"].severity == "critical"  # type: ignore[union-attr]
    assert evaluation["weak_segment"].verdict is Verdict.FINE  # type: ignore[union-attr]


def test_it_pages_where_the_segment_alone_costs_the_model_more_than_the_limit_of_harm() -> None:
    frame = rows(4_000, 4)
    evaluations = [
        evaluate(reference(), harmed(frame, young_in_the_app(frame), by), checks=SEARCH) for by in (2.5, 20.0)
    ]
    small, large = (finding(evaluation) for evaluation in evaluations)
    assert not small.pages
    assert large.pages
    assert "It costs the model" in large.explanation


@pytest.mark.long
def test_what_a_weak_segment_opened_ends_with_it() -> None:
    frames = [rows(2_000, seed) for seed in range(5, 9)]
    frames[1] = harmed(frames[1], young_in_the_app(frames[1]), 40.0)
    checks = Checks(weak_segments=True, only=("performance",), harm={"rmse": 1e6, "mae": 1.0})
    evaluations = [evaluate(reference(), frame, checks=checks) for frame in frames]
    assert folded(evaluations, "performance") == ["1 firing", "3 resolved"]


def test_without_the_search_nothing_is_looked_for() -> None:
    frame = rows(2_000, 9)
    evaluation = evaluate(reference(), harmed(frame, young_in_the_app(frame)))
    assert "weak_segment" not in {check.metric for check in evaluation.checks}


@pytest.mark.long
def test_sensitive_columns_are_never_part_of_a_rule() -> None:
    frame = rows(4_000, 10)
    evaluation = evaluate(
        reference(sensitive=("channel", "age")), harmed(frame, young_in_the_app(frame), 30.0), checks=SEARCH
    )
    explanations = " ".join(check.explanation for check in evaluation.findings if check.metric == "weak_segment")
    assert "channel" not in explanations
    assert "age" not in explanations.replace("average", "")


def test_the_same_window_has_the_same_segment_every_time() -> None:
    frame = rows(2_000, 11)
    first, second = (evaluate(reference(), frame, checks=SEARCH)["weak_segment"] for _ in range(2))
    assert first == second


def test_few_labels_are_not_searched() -> None:
    evaluation = evaluate(reference(), rows(300, 12), checks=SEARCH)
    assert "weak_segment" not in {check.metric for check in evaluation.checks}


def test_a_rule_reads_as_one_range_a_column_and_names_stay_text() -> None:
    rule = (Condition("age", ">=", 18.0), Condition("a\nb", "=", "x\ty"), Condition("age", "<", 25.0))
    assert rule_text(rule) == "18 <= age < 25 and a\\nb = x\\ty"
    assert rule_text((Condition("age", "missing"),)) == "age is missing"
    frame = pd.DataFrame({"age": [20.0, 30.0, np.nan]})
    assert rows_of_rule(rule[:1], frame).tolist() == [True, True, False]
    assert rows_of_rule((Condition("age", "missing"),), frame).tolist() == [False, False, True]


@pytest.mark.long
@pytest.mark.parametrize("probability", [True, False])
def test_a_classifier_is_searched_by_its_brier_score_or_its_errors(probability: bool) -> None:
    random = np.random.default_rng(13)

    def classified(number: int) -> pd.DataFrame:
        frame = rows(number, int(random.integers(1_000)))
        chance = 1 / (1 + np.exp(-(frame["age"] - 50) / 8))
        answers = {"prediction": (chance > 0.5).astype(int), "label": (random.random(number) < chance).astype(int)}
        return frame.assign(**answers, **({"probability": chance} if probability else {}))

    columns = Columns(prediction="prediction", label="label", probability="probability" if probability else None)
    fitted, frame = Reference.fit(classified(3_000), columns, "binary"), classified(4_000)
    inside = (frame["shop"] == "west") & (random.random(4_000) < 0.6)
    segment = finding(
        evaluate(fitted, frame.assign(label=frame["label"].where(~inside, 1 - frame["label"])), checks=SEARCH)
    )
    assert "shop = west" in segment.explanation
    assert ("Brier score" if probability else "error rate") in segment.explanation
