"""Names in `checks` that can never page are errors in Python, too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import Checks, Columns, Reference, evaluate
from monitor.domain.checks import Verdict, segment_text
from monitor.domain.metrics import METRICS, TASKS, Level
from monitor.domain.names import ModelFacts, NamesInChecks, check_names, described, mistakes
from monitor.errors import UsageError

COLUMNS = Columns(prediction="y", label="label", segments=("region",))
NAMES = ["income", "age", "region", "y", "label"]


@pytest.mark.parametrize(
    ("checks", "text"),
    [
        ({"harm": {"rmsee": 0.1}}, "checks.harm.rmsee: there is no metric 'rmsee'; did you mean 'rmse'?"),
        ({"harm": {"abs_max_error": "10%"}}, "write it as a threshold"),
        (
            {"thresholds": {"mising_share": {"upper": 0.1}}},
            "checks.thresholds.mising_share: there is no metric 'mising_share'; did you mean 'missing_share'?",
        ),
        (
            {"thresholds": {"mae": {"columns": {"income": {"upper": 1}}}}},
            "'mae' is a metric of the whole window: it has no columns",
        ),
        ({"thresholds": {"mae": 3}}, "a threshold is a mapping such as {upper: 0.2}, not 3"),
        (
            {"drift_methods": {"income": "wasserstien"}},
            "there is no drift method 'wasserstien'; did you mean 'wasserstein'?",
        ),
    ],
)
def test_a_name_that_no_model_has_is_refused_at_once(checks: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Checks(**checks)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("checks", "text"),
    [
        (Checks(harm={"roc_auc": 0.02}), "'roc_auc' is a metric of classification; this model's task is regression"),
        (Checks(thresholds={"accuracy": {"lower": 0.9}}), "this model's task is regression"),
        (Checks(drift_methods={"incme": "psi"}), "there is no column 'incme' that is checked; did you mean 'income'?"),
        (Checks(drift_methods={"numeric": "psi"}), "did you mean 'numerical'?"),
        (Checks(thresholds={"missing_share": {"columns": {"incme": {"upper": 0.1}}}}), "did you mean 'income'?"),
        (Checks(segments=("regoin",)), "checks.segments.0: 'regoin' is no segment column; did you mean 'region'?"),
        (Checks(segments=("income",)), "'income' is no segment column; the segment columns are: region"),
    ],
)
def test_a_name_that_this_reference_has_not_is_refused(checks: Checks, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_names(checks, "regression", COLUMNS, NAMES)
    assert text in str(caught.value)


def test_every_mistake_is_told_at_once() -> None:
    checks = Checks(harm={"roc_auc": 0.02}, drift_methods={"incme": "psi"}, segments=("regoin",))
    with pytest.raises(UsageError) as caught:
        check_names(checks, "regression", COLUMNS, NAMES)
    assert len(str(caught.value).splitlines()) == 3


def test_names_that_can_page_are_accepted() -> None:
    checks = Checks(
        harm={"mae": "10%"},
        thresholds={
            "missing_share": {"upper": 0.2, "columns": {"income": {"upper": 0.01}, "y": {"upper": 0.0}}},
            "drift_score": {"columns": {"label": {"upper": 0.5}}},
            "column_added": {"upper": 0.0},
        },
        segments=("region",),
        drift_methods={"numerical": "psi", "age": "ks"},
    )
    check_names(checks, "regression", COLUMNS, NAMES)


def test_a_metric_of_probabilities_is_refused_where_there_are_none() -> None:
    with pytest.raises(UsageError, match="'roc_auc' needs the model's probabilities"):
        check_names(Checks(harm={"roc_auc": 0.02}), "binary", COLUMNS, NAMES)
    check_names(Checks(harm={"accuracy": 0.02}), "binary", COLUMNS, NAMES)


@pytest.mark.parametrize(
    ("task", "probability", "refused"),
    [("binary", True, "recall"), ("binary", False, "accuracy"), ("regression", False, "mape")],
)
def test_without_labels_harm_is_of_what_can_be_estimated(task: str, probability: bool, refused: str) -> None:
    watched = ModelFacts(task, probability, labels=False)
    reported = list(mistakes(NamesInChecks(harm=(refused,)), watched))
    assert f"'{refused}' can be neither realised nor estimated" in reported[0].text
    assert not list(mistakes(NamesInChecks(harm=(refused,)), ModelFacts(task, probability, labels=True)))


@pytest.mark.parametrize(
    "limit",
    [
        {},
        {"severity": "critical"},
        {"columns": {"x": {}}},
        {"upper": float("nan")},
        {"upper": "a lot"},
        {"lower": None},
    ],
)
def test_a_threshold_that_can_never_break_is_refused(limit: dict) -> None:
    with pytest.raises(UsageError, match=r"threshold"):
        Checks(thresholds={"missing_share": limit})


_PARTS = st.tuples(st.text(alphabet="a=\\", max_size=4), st.text(alphabet="a=\\", max_size=4))


@given(_PARTS, _PARTS)
def test_no_two_segments_are_written_alike(first: tuple[str, str], second: tuple[str, str]) -> None:
    assert (segment_text(*first) == segment_text(*second)) == (first == second)


def test_a_segment_is_written_as_people_would() -> None:
    assert segment_text("country", "de=at") == "country=de=at"
    assert segment_text("a=b", "c") == "a\\=b=c"


def _of_all_types(task: str, seed: int) -> tuple[pd.DataFrame, Columns]:
    """Rows with a column of every type, and the roles of the columns."""
    rng, rows = np.random.default_rng(seed), 1200
    number = rng.normal(size=rows)
    words = rng.choice(["late", "parcel", "again", "thank", "you", "all", "broken"], (rows, 9))
    frame = pd.DataFrame(
        {
            "number": number,
            "category": rng.choice(list("abc"), rows),
            "flag": rng.random(rows) < 0.4,
            "time": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.uniform(0, 90, rows), unit="D"),
            "text": [f"{' '.join(row)} {index}" for index, row in enumerate(words)],
            "vector": list(rng.normal(size=(rows, 8))),
            "object": [{"a": index} for index in range(rows)],
            "empty": [None] * rows,
        }
    )
    chance = 1 / (1 + np.exp(-number))
    if task == "forecast":
        issued_at = frame["time"] - pd.to_timedelta(rng.integers(1, 4, rows), unit="h")
        columns = Columns(prediction="p", label="label", event_time="target", issued_at="issued_at")
        return frame.assign(p=number, label=number, target=frame["time"], issued_at=issued_at), columns
    if task == "ranking":
        clicked = (rng.random(rows) < chance).astype(int)
        columns = Columns(prediction="p", label="label", query="search")
        return frame.assign(p=number, label=clicked, search=np.arange(rows) // 8), columns
    if task == "regression":
        return frame.assign(p=number, label=number + rng.normal(size=rows)), Columns(prediction="p", label="label")
    if task == "binary":
        label = (rng.random(rows) < chance).astype(int)
        return frame.assign(p=chance, label=label), Columns(probability="p", label="label")
    label = np.where(rng.random(rows) < chance, "good", rng.choice(["bad", "ugly"], rows))
    predicted = np.where(number > 0, "good", rng.choice(["bad", "ugly"], rows))
    return frame.assign(p=predicted, label=label), Columns(prediction="p", label="label")


@pytest.mark.parametrize("task", TASKS)
def test_a_metric_is_asked_of_the_columns_that_it_says(task: str) -> None:
    frame, columns = _of_all_types(task, 0)
    reference = Reference.fit(frame, columns, task)
    kept = described(columns, reference.sorts)
    assert {kind for _, kind in kept.values()} >= {
        "numerical",
        "categorical",
        "boolean",
        "time",
        "text",
        "embedding",
        "other",
        "empty",
    }
    checks = evaluate(reference, _of_all_types(task, 1)[0]).checks
    answered = {(check.metric, check.column) for check in checks if check.verdict is not Verdict.COULD_NOT_CHECK}
    for metric in METRICS.values():
        if metric.level is Level.COLUMN:
            expected = {name for name, (part, kind) in kept.items() if metric.is_asked_of(part, kind, task)}
            if metric.name == "attribution_drift":  # none are logged here
                expected = set()
            assert {column for name, column in answered if name == metric.name} == expected, metric.name


TYPES = {
    "income": "numerical",
    "age": "numerical",
    "region": "categorical",
    "note": "text",
    "y": "numerical",
    "label": "numerical",
}


@pytest.mark.parametrize(
    ("checks", "text"),
    [
        (
            Checks(thresholds={"new_category_share": {"columns": {"income": {"upper": 0.1}}}}),
            (
                "checks.thresholds.new_category_share.columns.income: 'new_category_share' is not worked out for"
                " 'income', whose type is numerical; it is for: 'region'"
            ),
        ),
        (
            Checks(thresholds={"missing_share": {"columns": {"label": {"upper": 0.1}}}}),
            "'missing_share' is not worked out for 'label', which is a label; it is for: 'income', 'age'",
        ),
        (
            Checks(thresholds={"unusable_prediction_share": {"columns": {"age": {"upper": 0.1}}}}),
            "'unusable_prediction_share' is not worked out for 'age', which is a feature; it is for: 'y'",
        ),
        (
            Checks(thresholds={"embedding_score": {"upper": 0.1}}),
            "'embedding_score' is not worked out for any column of this model: none is of the type embedding",
        ),
        (Checks(drift_methods={"note": "psi"}), "'drift_score' is not worked out for 'note', whose type is text"),
    ],
)
def test_a_limit_for_a_column_of_another_type_is_a_mistake_once_types_are_known(checks: Checks, text: str) -> None:
    watched = ModelFacts("regression", types=described(COLUMNS, TYPES))
    messages = [
        f"checks.{'.'.join(map(str, mistake.keys))}: {mistake.text}" for mistake in mistakes(checks.named, watched)
    ]
    assert len(messages) == 1
    assert text in messages[0]
    assert not list(mistakes(checks.named, ModelFacts("regression")))


def test_a_limit_that_a_new_reference_leaves_without_a_check_is_told_in_every_window() -> None:
    frame, columns = _of_all_types("regression", 0)
    limits = {"new_category_share": {"upper": 0.5, "columns": {"text": {"upper": 0.1}}}}
    checks = evaluate(Reference.fit(frame, columns, "regression"), frame, checks=Checks(thresholds=limits)).checks
    [check] = [check for check in checks if check.metric == "new_category_share" and check.column == "text"]
    assert check.verdict is Verdict.COULD_NOT_CHECK
    assert "whose type is text" in check.reason


@pytest.mark.parametrize(
    ("metric", "task", "part"),
    [
        ("attribution_drift", "binary", "attributions"),
        ("novelty", "ranking", "item"),
        ("coverage_error", "forecast", "lower"),
    ],
)
def test_a_limit_on_what_needs_a_column_that_is_not_named_is_refused(metric: str, task: str, part: str) -> None:
    named = NamesInChecks(thresholds={metric: ()})
    (mistake,) = mistakes(named, ModelFacts(task, parts=()))
    assert mistake.text == f"'{metric}' needs columns.{part}, which is not set"
    assert not list(mistakes(named, ModelFacts(task, parts=(part,))))
