"""Each name that the configuration accepts can page, as limit and as harm. A new check is one class and one line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from monitor import Checks, Columns, Reference, WindowCounts, evaluate
from monitor.analysis.checks import REGISTRY
from monitor.analysis.checks.base import Answer, BaseCheck
from monitor.analysis.evaluate import count
from monitor.analysis.question import Question
from monitor.domain.checks import Finding, Kind, Severity, Verdict
from monitor.domain.metrics import METRICS, REGRESSIONS, TASKS, harm_for, thresholds_for
from tests.forecasts import forecasts
from tests.rankings import ranking
from tests.unit.test_checks import binary, folded, multiclass, regression

WORDS = np.array(["order", "late", "broken", "good", "service", "phone", "refund", "happy", "slow", "box", "the", "a"])
# Worked out by runs once labels are due, not by the evaluation of a window
# (tests/acceptance/test_a_model_from_log_to_alert.py).
OF_RUNS = {"labelled_share"}
# The checks of these columns take half a second, so they are used only where needed.
OWN_CHECK = ["remark", "vector"]


def of_ranking(rows: int, seed: int) -> pd.DataFrame:
    """Lists with two numbers of each item."""
    frame = ranking(rows // 6, seed)
    return frame.rename(columns={"quality": "x", "match": "z"})[["search", "item", "x", "z", "prediction", "label"]]


def of_forecast(rows: int, seed: int) -> pd.DataFrame:
    """Forecasts of some shops, with a number that means nothing."""
    return forecasts("2026-01-01", max(rows // 60, 8), seed).rename(columns={"temperature": "x"}).assign(z=1.0 * seed)


MADE = {
    "binary": binary,
    "multiclass": multiclass,
    "regression": regression,
    "ranking": of_ranking,
    "forecast": of_forecast,
}


def with_extra_columns(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The rows with a category, a text and a vector added."""
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(WORDS, 8)) for _ in range(len(frame))]
    vectors = list(random.normal(size=(len(frame), 4)))
    attributions = {f"shap_{name}": random.normal(size=len(frame)) for name in ("x", "z")}
    return frame.assign(remark=texts, vector=vectors, kind=random.choice(["u", "v"], len(frame)), **attributions)


class Fitted(dict[str, Reference]):
    """References by task, each fitted when it is first asked for: `binary`, `binary with text`, …"""

    def __missing__(self, name: str) -> Reference:
        task, _, with_text = name.partition(" ")
        probability = {"binary": "probability", "multiclass": {"a": "pa", "b": "pb", "c": "pc"}}.get(task)
        columns = Columns(
            prediction="prediction", probability=probability, label="label", attributions="shap_{feature}"
        )
        if task == "ranking":
            columns = replace(columns, query="search", item="item")
        if task == "forecast":
            columns = replace(columns, event_time="target_time", issued_at="issued_at", lower="low", upper="high")
        frame = with_extra_columns(MADE[task](2000, 0), 0)
        self[name] = Reference.fit(frame if with_text else frame.drop(columns=OWN_CHECK), columns, task)
        return self[name]


@pytest.fixture(scope="module")
def references() -> dict[str, Reference]:
    return Fitted()


def window(task: str, rows: int = 600) -> pd.DataFrame:
    return with_extra_columns(MADE[task](rows, 1), 1).drop(columns=OWN_CHECK)


LIMITS = [(task, metric) for task in TASKS for metric in thresholds_for(task) if metric not in OF_RUNS]


@pytest.mark.long
@pytest.mark.parametrize(("task", "metric"), LIMITS)
def test_a_limit_on_each_metric_pages(references: dict[str, Reference], task: str, metric: str) -> None:
    checks = Checks(thresholds={metric: {"upper": -1e9, "severity": "critical"}})
    reference, frame = references[task], window(task)
    if metric in ("text_score", "embedding_score", "embeddings_drift"):
        reference, frame = references[f"{task} with text"], with_extra_columns(frame, 1)
    counts = replace(count(frame, reference), misdated=3, misdated_example="2199-01-01 00:00")
    evaluation = evaluate(reference, frame, checks=checks, recent_counts=[600, 610, 590, 605], counts=counts)
    paging = {finding.metric for finding in evaluation.findings if finding.severity == "critical"}
    assert paging == {metric}


@pytest.mark.parametrize(("task", "metric"), [(task, metric) for task in TASKS for metric in harm_for(task)])
def test_a_harm_in_each_metric_pages_where_it_is_far_beyond(
    references: dict[str, Reference], task: str, metric: str
) -> None:
    random, frame = np.random.default_rng(0), window(task)
    if task == "ranking":
        frame["prediction"] = random.normal(size=len(frame)) - 3 * frame["label"]
    elif task in REGRESSIONS:
        frame["prediction"] = frame["prediction"] + random.normal(3, 8, len(frame)) * frame["label"].std() / 3
        if "high" in frame:  # intervals that hold nothing
            frame["high"] = frame["low"]
    else:
        frame["label"] = random.permutation(frame["label"].to_numpy())
        # All metrics of classes get worse at once only where the model is more often wrong than right.
        wrong = {0: 1, 1: 0} if task == "binary" else {"a": "b", "b": "c", "c": "a"}
        frame["label"] = frame["prediction"].map(wrong).where(random.random(len(frame)) < 0.6, frame["label"])
    evaluation = evaluate(references[task], frame, checks=Checks(harm={metric: "10%"}))
    assert evaluation[metric].severity == "critical"  # type: ignore[union-attr]


def test_every_check_gives_metrics_that_are_known() -> None:
    of_many = {"performance", "estimated_performance", "own_metrics", "estimated_own_metrics"}
    for check in REGISTRY:
        assert check.name in of_many or check.name in METRICS, check.name


class Heavy(BaseCheck):
    """A check as a plug-in would add it: is the mean of x above 1?"""

    name, kind = "heavy", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        heavy = float(question.window.frame["x"].mean()) > 1
        yield Answer(
            Finding(
                self.name,
                "x",
                value=float(heavy),
                kind=self.kind,
                rows=question.rows,
                verdict=Verdict.CHANGED if heavy else Verdict.FINE,
                severity=Severity.WARNING if heavy else Severity.INFO,
                cause="too heavy",
                explanation="'x' is too heavy",
            )
        )


def test_a_check_that_is_added_pages_and_resolves(
    references: dict[str, Reference], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The places that CONTRIBUTING names: a class, and a line in the registry."""
    monkeypatch.setattr("monitor.analysis.evaluate.REGISTRY", (*REGISTRY, Heavy()))
    frames = [window("regression").drop(columns="label") for _ in range(4)]
    frames[1] = frames[1].assign(x=frames[1]["x"] + 5)
    evaluations = [evaluate(references["regression"], frame, checks=Checks(only=("quality",))) for frame in frames]
    assert "'x' is too heavy." in [finding.explanation for finding in evaluations[1].findings]
    assert folded(evaluations, "quality") == ["1 firing", "3 resolved"]


def test_labels_known_early_and_of_no_prediction_page_by_a_limit(references: dict[str, Reference]) -> None:
    counts = WindowCounts(600, early_labels=30, unmatched_labels=60)
    checks = Checks(thresholds={"early_label_share": {"upper": 0.01}, "unmatched_label_share": {"upper": 0.01}})
    evaluation = evaluate(references["binary"], window("binary"), counts=counts, checks=checks)
    assert {finding.metric for finding in evaluation.findings if finding.pages} == set(checks.thresholds)
