"""What holds for every check: it always gives an answer, it can page, and its alerts can resolve. Faults of each kind
are found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitor import Checks, Columns, Evaluation, Reference, evaluate
from monitor.analysis.checks import REGISTRY
from monitor.domain.checks import Kind, Verdict
from monitor.domain.phrases import metric_name
from monitor.errors import DataError

Change = Callable[[pd.DataFrame], pd.DataFrame]


def binary(rows: int, seed: int) -> pd.DataFrame:
    """A model of two numbers and a text, of which one number carries most."""
    random = np.random.default_rng(seed)
    x, z = random.normal(size=(2, rows))
    chance = 1 / (1 + np.exp(-(2 * x + z)))
    return pd.DataFrame(
        {
            "x": x,
            "z": z,
            "plan": random.choice(["basic", "plus", "max"], rows, p=[0.6, 0.3, 0.1]),
            "shop": random.choice(["north", "south"], rows),
            "probability": chance,
            "prediction": (chance > 0.5).astype(int),
            "label": (random.random(rows) < chance).astype(int),
        }
    )


def regression(rows: int, seed: int, noise: float = 0.3) -> pd.DataFrame:
    """A model of two numbers."""
    random = np.random.default_rng(seed)
    x, z = random.normal(size=(2, rows))
    expected = 3 * x + z + 20
    return pd.DataFrame({"x": x, "z": z, "prediction": expected, "label": expected + random.normal(0, noise, rows)})


def multiclass(rows: int, seed: int) -> pd.DataFrame:
    """A model of three classes."""
    random = np.random.default_rng(seed)
    scores = random.normal(size=(rows, 3)) * 2
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    names = np.array(["a", "b", "c"])
    labels = [random.choice(names, p=row) for row in chances]
    numbers = dict(zip("xyz", scores.T, strict=True)) | dict(zip(("pa", "pb", "pc"), chances.T, strict=True))
    return pd.DataFrame(numbers | {"prediction": names[chances.argmax(axis=1)], "label": labels})


@pytest.fixture(scope="module")
def reference() -> Reference:
    columns = Columns(prediction="prediction", probability="probability", label="label", segments=("shop",))
    return Reference.fit(binary(3000, 0), columns, "binary")


@pytest.fixture(scope="module")
def of_numbers() -> Reference:
    return Reference.fit(regression(3000, 0), Columns(prediction="prediction", label="label"), "regression")


@pytest.fixture(scope="module")
def of_classes() -> Reference:
    columns = Columns(prediction="prediction", probability={"a": "pa", "b": "pb", "c": "pc"}, label="label")
    return Reference.fit(multiclass(3000, 0), columns, "multiclass")


FAULTS: dict[str, Change] = {
    "a vanished column": lambda frame: frame.drop(columns="x"),
    "a vanished prediction": lambda frame: frame.drop(columns="prediction"),
    "a vanished segment column": lambda frame: frame.drop(columns="shop"),
    "a closed segment": lambda frame: frame[frame["shop"] == "north"],
    "a new column": lambda frame: frame.assign(new=1),
    "a column twice": lambda frame: frame.assign(z=frame["x"]),
    "nothing but nulls": lambda frame: frame.assign(x=None),
    "a stuck value": lambda frame: frame.assign(x=0.5),
    "text for numbers": lambda frame: frame.assign(x="abc"),
    "infinite numbers": lambda frame: frame.assign(x=np.inf),
    "a new category": lambda frame: frame.assign(plan="gold"),
    "lists": lambda frame: frame.assign(plan=[[1, 2]] * len(frame)),
    "unreadable labels": lambda frame: frame.assign(label="maybe"),
    "no usable prediction": lambda frame: frame.assign(probability=np.nan),
    "one class": lambda frame: frame.assign(label=0),
    "few rows": lambda frame: frame.head(10),
}


def keys(evaluation: Evaluation) -> set[tuple[Any, ...]]:
    return {(check.kind.value, *check.key) for check in evaluation.checks}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_check_of_a_faulty_window_is_asked_of_healthy_ones_too(reference: Reference, fault: str) -> None:
    limits = Checks(thresholds={"column_added": {"upper": 0}, "accuracy": {"lower": 0.1}, "row_count": {"lower": 1}})
    healthy = keys(evaluate(reference, binary(1000, 1), checks=limits))
    evaluation = evaluate(reference, FAULTS[fault](binary(1000, 2)), checks=limits)
    assert keys(evaluation) == healthy
    assert len(evaluation.checks) == len(keys(evaluation))


def test_each_check_says_what_it_is() -> None:
    for check in REGISTRY:
        assert check.name
        assert isinstance(check.kind, Kind)
        assert check.__doc__


def folded(evaluations: list[Evaluation], kind: str) -> list[str]:
    """The alert events of windows of one day each."""
    from monitor.alerting.fold import Result, Rule, State, step

    state, events = State(), []
    for day, evaluation in enumerate(evaluations):
        checks = [check for check in evaluation.checks if check.kind.value == kind]
        paging = [finding for finding in evaluation.findings if finding.kind.value == kind and finding.pages]
        start = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=day)
        result = Result(
            f"run {day}",
            _window(start),
            0,
            start + timedelta(days=1),
            bool(paging),
            made=frozenset(_key(check) for check in checks if check.verdict in (Verdict.FINE, Verdict.CHANGED)),
            paging=tuple(_key(finding) for finding in paging),
            severity="warning" if paging else "none",
            rule=Rule(1, 2),
        )
        outcome = step(state, result)
        state = outcome.state
        events += [f"{day} {event.kind}" for event in outcome.events]
    return events


def _window(start: datetime) -> Any:
    from monitor.domain.grid import Window

    return Window(start, start + timedelta(days=1))


def _key(check: Any) -> Any:
    return "|".join(check.key)


@pytest.mark.parametrize(
    "fault", ["a vanished column", "nothing but nulls", "infinite numbers", "no usable prediction"]
)
def test_what_a_fault_opened_ends_with_it_and_a_later_one_rings_anew(reference: Reference, fault: str) -> None:
    windows = [binary(1000, 10 + day).drop(columns="label") for day in range(8)]
    windows[1] = FAULTS[fault](windows[1])
    windows[5] = windows[5].assign(x=np.nan)
    events = folded([evaluate(reference, window) for window in windows], "quality")
    assert events == ["1 firing", "3 resolved", "5 firing", "7 resolved"]


def test_an_alert_of_a_segment_ends_when_the_segment_does(reference: Reference) -> None:
    random = np.random.default_rng(1)

    def day(number: int) -> pd.DataFrame:
        frame = binary(1500, 20 + number)
        north = frame["shop"] == "north"
        if number == 1:
            return frame.assign(label=frame["label"].where(~north, random.integers(0, 2, len(frame))))
        return frame if number == 0 else frame[~north]

    checks = Checks(only=("performance",))
    events = folded([evaluate(reference, day(number), checks=checks) for number in range(5)], "performance")
    assert events == ["1 firing", "3 resolved"]


@pytest.mark.parametrize("harm", [{}, {"accuracy": 0.02}, {"f1": 0.02}, {"recall": 0.05}, {"brier_score": 0.01}])
def test_a_fault_pages_by_the_default_metric_whatever_harm_the_user_names(
    reference: Reference, harm: dict[str, Any]
) -> None:
    evaluation = evaluate(reference, binary(1000, 3).drop(columns="label").assign(x=np.nan), checks=Checks(harm=harm))
    assert evaluation.findings[0].key == ("missing_share", "x", "")
    assert evaluation.pages
    assert all(metric_name(metric) in evaluation.findings[0].explanation for metric in ("roc_auc", *harm))


def test_a_fault_of_a_multiclass_model_pages(of_classes: Reference) -> None:
    evaluation = evaluate(of_classes, multiclass(1000, 3).drop(columns="label").assign(x=np.nan))
    assert evaluation["missing_share", "x"].severity == "warning"  # type: ignore[union-attr]


@pytest.mark.parametrize("value", [np.nan, np.inf, -999.0, 50.0])
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_model_that_stops_answering_pages_by_its_own_name(
    reference: Reference, of_numbers: Reference, value: float, share: float
) -> None:
    for fitted, frame, name in (
        (reference, binary(1000, 4), "probability"),
        (of_numbers, regression(1000, 4), "prediction"),
    ):
        if name == "prediction" and value == 50.0:
            continue  # a number that a regression may well say
        frame = frame.drop(columns="label")
        frame.loc[: int(1000 * share) - 1, name] = value
        evaluation = evaluate(fitted, frame)
        assert evaluation.pages
        assert evaluation.findings[0].key == ("unusable_prediction_share", name, "")
        assert evaluation.findings[0].severity == "warning"
        if share == 1.0:
            visible = evaluation["performance_visibility"]
            assert visible.verdict == "could_not_check"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "words", [{0: "0.0", 1: "1.0"}, {0: "no", 1: "yes"}, {0: "N", 1: "Y"}, {0: b"0", 1: b"1"}, {0: False, 1: True}]
)
def test_labels_are_read_whatever_certain_words_they_are_written_in(words: dict[int, Any]) -> None:
    columns = Columns(prediction="prediction", probability="probability", label="label")

    def written(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(label=frame["label"].map(words))

    fitted = Reference.fit(written(binary(3000, 0)), columns, "binary")
    assert fitted.baseline["roc_auc"].value > 0.8
    random = binary(1000, 5)
    random["label"] = np.random.default_rng(0).permutation(random["label"].to_numpy())
    assert evaluate(fitted, written(random)).severity == "critical"
    assert not evaluate(fitted, written(binary(1000, 5))).pages


@pytest.mark.parametrize("words", [{0: "good", 1: "bad"}, {0: 1, 1: 2}])
def test_a_positive_class_that_is_not_certain_is_asked_for(words: dict[int, Any]) -> None:
    frame = binary(2000, 0).drop(columns="prediction")
    frame["label"] = frame["label"].map(words)
    columns = Columns(probability="probability", label="label")
    with pytest.raises(DataError, match=rf"which is the positive class.*columns.positive: {words[1]} .ROC AUC 0\.8"):
        Reference.fit(frame, columns, "binary")
    named = Reference.fit(frame, replace(columns, positive=words[1]), "binary")
    assert named.baseline["roc_auc"].value > 0.8


@pytest.mark.parametrize("labels", ["absent", "empty"])
def test_without_labels_in_the_reference_performance_is_held_against_limits_alone(labels: str) -> None:
    frame = binary(1500, 0)
    frame = frame.drop(columns="label") if labels == "absent" else frame.assign(label=None)
    columns = Columns(prediction="prediction", probability="probability", label="label")
    fitted = Reference.fit(frame, columns, "binary")
    evaluation = evaluate(fitted, binary(600, 1), checks=Checks(thresholds={"accuracy": {"lower": 0.99}}))
    assert evaluation["accuracy"].severity == "warning"  # type: ignore[union-attr]
    assert evaluation["performance_visibility"].verdict == "could_not_check"  # type: ignore[union-attr]


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_labels_that_change_their_form_are_a_type_change_and_no_verdict_on_the_model(
    reference: Reference, of_numbers: Reference, share: float
) -> None:
    for fitted, frame, word in ((reference, binary(1000, 6), "Y"), (of_numbers, regression(1000, 6), "12,50")):
        frame["label"] = frame["label"].astype(object).where(np.arange(1000) >= share * 1000, word)
        evaluation = evaluate(fitted, frame)
        assert not evaluation.pages
        assert evaluation["type_mismatch_share", "label"].cause == "type change"  # type: ignore[union-attr]
        blind = evaluation["unreadable_label_share", "label"]
        assert (blind.kind, blind.verdict) == (Kind.BLIND, Verdict.COULD_NOT_CHECK)  # type: ignore[union-attr]
        assert f"'{word}'" in blind.reason  # type: ignore[union-attr]
        judged = [check for check in evaluation.checks if check.kind is Kind.PERFORMANCE and check.column is None]
        assert {check.verdict for check in judged if check.segment is None} == {Verdict.COULD_NOT_CHECK}


def test_an_absurd_label_is_found_among_hundreds(of_numbers: Reference) -> None:
    frame = regression(800, 7)
    frame.loc[3, "label"] = 1_000_000
    assert evaluate(of_numbers, frame)["out_of_range_share", "label"].verdict == "changed"  # type: ignore[union-attr]
    assert evaluate(of_numbers, regression(800, 7))["out_of_range_share", "label"].verdict == "fine"  # type: ignore[union-attr]


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_class_that_the_model_does_not_know_pages(of_classes: Reference, share: float) -> None:
    frame = multiclass(1000, 8)
    frame.loc[: int(share * 1000) - 1, "label"] = "d"
    evaluation = evaluate(of_classes, frame)
    assert evaluation.pages
    assert "'d'" in evaluation["new_category_share", "label"].explanation  # type: ignore[union-attr]
    assert evaluate(of_classes, multiclass(1000, 8))["new_category_share", "label"].verdict == "fine"  # type: ignore[union-attr]


@pytest.mark.long
@pytest.mark.parametrize("step", [0.25, 0.1, 0.05])
def test_few_rows_and_equal_scores_page_nobody(step: float) -> None:
    def log(rows: int, seed: int) -> pd.DataFrame:
        frame = binary(rows, seed)
        return frame.assign(probability=(frame["probability"] / step).round() * step)

    fitted = Reference.fit(log(4000, 0), Columns(probability="probability", label="label"), "binary")
    rows = {
        count: sum(evaluate(fitted, log(count, seed).drop(columns="label")).pages for seed in range(25))
        for count in (2, 5, 40)
    }
    assert rows == {2: 0, 5: 0, 40: 0}
    constant = log(500, 1).drop(columns="label").assign(probability=0.0)
    assert evaluate(fitted, constant)["estimated_roc_auc"].verdict != "changed"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("before", "rows", "falls"),
    [
        ([303, 292, 295], 16, True),
        ([300, 320, 310, 290, 305], 160, False),  # more than half
        ([300, 320, 310, 290, 305], 120, True),
        ([300, 20, 310, 290, 305], 60, False),  # it was lower before
        ([300, 100, 700, 250, 900], 140, False),  # it varies as much
        ([15, 12, 18], 1, False),  # a few rows at night
    ],
)
def test_a_fall_in_traffic_is_a_warning(reference: Reference, before: list[int], rows: int, falls: bool) -> None:
    frame = binary(rows, 11).drop(columns="label")
    evaluation = evaluate(reference, frame, recent_counts=before)
    assert any(finding.metric == "volume_share" and finding.pages for finding in evaluation.findings) is falls
    assert evaluate(reference, frame)["volume_share"].verdict == "could_not_check"  # type: ignore[union-attr]
    assert not evaluate(reference, frame, recent_counts=before, checks=Checks(volume=None)).pages


def test_intervals_stay_within_what_the_metric_can_be(of_numbers: Reference) -> None:
    frame = regression(40, 9)
    frame.loc[0, "label"] = 10_000
    for metric_value in evaluate(of_numbers, frame).metrics:
        if metric_value.metric in ("mae", "rmse", "mape") and metric_value.lower is not None:
            assert metric_value.lower >= 0


@pytest.mark.long
@pytest.mark.parametrize("value", ["{", '{"a": 1}', "{share:>300000}", "%s", "a|b", "\x00", "\ud800", "x" * 100_000])
def test_values_and_names_of_the_log_are_data(value: str) -> None:
    columns = Columns(prediction="prediction", label="label")
    name = value.replace("\ud800", "?")[:200]
    frame = regression(1000, 0).assign(plan="basic", **{name: 1.5})
    fitted = Reference.fit(frame, columns, "regression")
    window = regression(500, 1).assign(plan=pd.Series(["basic"] * 400 + [value] * 100, dtype=object), **{name: np.nan})
    evaluation = evaluate(fitted, window)
    assert {"new_category_share", "missing_share"} <= {finding.metric for finding in evaluation.findings}
    assert all(len(finding.explanation) < 1000 for finding in evaluation.findings)


def test_limits_on_labels_and_estimates_are_compared(reference: Reference) -> None:
    from monitor import WindowCounts

    frame = binary(1000, 3)
    limits = {"early_label_share": {"upper": 0.01}, "estimated_accuracy": {"lower": 0.99}, "tnr": {"lower": 0.999}}
    evaluation = evaluate(
        reference, frame, counts=WindowCounts(1000, early_labels=50), checks=Checks(thresholds=limits)
    )
    assert set(limits) <= {finding.metric for finding in evaluation.findings if finding.pages}


def test_faults_that_begin_together_are_judged_together() -> None:
    random = np.random.default_rng(0)

    def labelled_rows(rows: int) -> pd.DataFrame:
        values = random.normal(size=(rows, 12))
        chance = 1 / (1 + np.exp(-values.sum(axis=1) * 0.6))
        frame = pd.DataFrame(values, columns=[f"x{number}" for number in range(12)])
        return frame.assign(probability=chance, label=(random.random(rows) < chance).astype(int))

    fitted = Reference.fit(labelled_rows(6000), Columns(probability="probability", label="label"), "binary")
    columns = [f"x{number}" for number in range(6)]
    harm = {"roc_auc": 2 * max(fitted.importance.values())}
    window = labelled_rows(1500)
    window["label"] = random.permutation(window["label"].to_numpy())
    evaluation = evaluate(fitted, window.assign(**dict.fromkeys(columns, np.nan)), checks=Checks(harm=harm))
    single = [finding for finding in evaluation.findings if finding.metric == "missing_share"]
    assert {finding.severity.value for finding in single} == {"info"}
    joint = evaluation["joint_effect"]
    assert joint.severity == "warning"  # type: ignore[union-attr]
    costs = {str(finding.column): finding.cost or 0.0 for finding in single}
    named = sorted(costs, key=lambda name: -costs[name])[:5]
    assert all(f"'{name}'" in joint.explanation for name in named)  # type: ignore[union-attr]
    alone = evaluate(fitted, labelled_rows(1500).assign(x0=np.nan).drop(columns="label"), checks=Checks(harm=harm))
    assert not alone.pages
