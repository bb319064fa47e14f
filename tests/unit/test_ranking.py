"""Rankings: metrics of each query, windows of whole queries, estimates before clicks are known."""

from __future__ import annotations

import evidently.metrics
import numpy as np
import pandas as pd
import pytest
from evidently import DataDefinition, Dataset, Recsys, Report
from sklearn.metrics import ndcg_score

from monitor import Columns, Reference, compare, evaluate
from monitor.analysis.figures import EVIDENTLY_RANKING
from monitor.analysis.ranking import of_queries
from monitor.analysis.snapshot.store import pack, to_html, unpack
from monitor.domain.checks import Verdict
from monitor.errors import DataError, UsageError
from tests.rankings import ranking

COLUMNS = Columns(prediction="prediction", label="label", event_time="event_time", id="id", query="search", item="item")


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.fit(ranking(1500, 1), COLUMNS)


def window(seed: int, broken: float = 0.0) -> pd.DataFrame:
    return ranking(400, seed, broken=broken, start="2026-02-01", days=1)


def test_metrics_of_queries_are_those_of_scikit_learn_and_evidently() -> None:
    frame = ranking(200, 1)
    values = of_queries(
        frame["label"].to_numpy(float), frame["prediction"].to_numpy(), pd.factorize(frame["search"])[0], 10
    )[1]
    lists = [group for _, group in frame.groupby("search") if group["label"].any()]
    expected = [ndcg_score([group["label"]], [group["prediction"]], k=10) for group in lists]
    np.testing.assert_allclose(values["ndcg"], expected)
    roles = Recsys(
        user_id="search", item_id="item", target="label", prediction="prediction", recommendations_type="score"
    )
    data = Dataset.from_pandas(
        frame[["search", "item", "label", "prediction"]],
        DataDefinition(ranking=[roles], categorical_columns=["search", "item"]),
    )
    metrics = {name: getattr(evidently.metrics, theirs)(k=10) for name, theirs in EVIDENTLY_RANKING.items()}
    snapshot = Report(list(metrics.values())).run(data, None)
    for name, result in zip(metrics, snapshot.dict()["metrics"], strict=True):
        assert values[name].mean() == pytest.approx(list(result["value"]["value"].values())[9]), name


def test_average_precision_and_reciprocal_rank_of_a_list_that_can_be_worked_out_by_hand() -> None:
    label, score = np.array([0.0, 1, 0, 1, 1]), np.array([5.0, 4, 3, 2, 1])
    _, values = of_queries(label, score, np.zeros(5, dtype=int), 4)
    assert values["map"].tolist() == [pytest.approx((1 / 2 + 2 / 4) / 3)]
    assert values["mrr"].tolist() == [0.5]
    assert values["recall_at_k"].tolist() == [pytest.approx(2 / 3)]
    assert values["precision_at_k"].tolist() == [0.5]


def test_equal_scores_are_no_better_than_chance_whatever_the_order_of_the_log() -> None:
    frame = ranking(500, 2).sort_values(["search", "label"], ascending=[True, False])
    query, label = pd.factorize(frame["search"])[0], frame["label"].to_numpy(float)
    stuck = of_queries(label, np.zeros(len(frame)), query, 10)[1]["ndcg"].mean()
    chance = of_queries(label, np.random.default_rng(0).random(len(frame)), query, 10)[1]["ndcg"].mean()
    assert stuck == pytest.approx(chance, abs=0.03)


@pytest.mark.long
def test_queries_whose_rows_are_alike_raise_no_false_alarm(reference: Reference) -> None:
    assert reference.task == "ranking"
    assert reference.summary.overdispersion["queries"]["drift_score"]["user"] > 5
    alarms = [bool(evaluate(reference, window(seed).drop(columns="label")).findings) for seed in range(2, 12)]
    assert sum(alarms) <= 1


def test_a_broken_feature_is_named_and_pages_before_clicks_come_as_with_them(reference: Reference) -> None:
    frame = window(50, broken=1.0)
    realised, estimated = evaluate(reference, frame), evaluate(reference, frame.drop(columns="label"))
    assert realised["ndcg"].severity == "critical"
    assert estimated["estimated_ndcg"].severity == "critical"
    assert any(finding.column == "quality" and finding.pages for finding in estimated.findings)
    values = {value.metric: value.value for value in (*realised.metrics, *estimated.metrics)}
    assert values["estimated_ndcg"] == pytest.approx(values["ndcg"], abs=0.05)
    assert "NDCG@10" in to_html(unpack(pack(realised.snapshot)))


def test_known_clicks_of_a_windows_queries_are_used_as_they_are(reference: Reference) -> None:
    frame = window(60)
    estimate = reference.estimator.estimate(frame, frame["label"])["estimated_ndcg"]
    (realised,) = [value for value in evaluate(reference, frame).metrics if value.metric == "ndcg"]
    unclicked = frame.groupby("search")["label"].transform("max") == 0
    assert estimate.value == pytest.approx(realised.value, abs=0.05 + float(unclicked.mean()))


def test_too_few_queries_are_too_little_data_however_many_rows_they_have(reference: Reference) -> None:
    few = window(70).query("search < 70000020")
    assert len(few) > 100
    checks = {check.metric: check.verdict for check in evaluate(reference, few).checks}
    assert checks["ndcg"] is Verdict.TOO_LITTLE_DATA
    assert checks["estimated_ndcg"] is Verdict.TOO_LITTLE_DATA
    assert checks["item_coverage"] is Verdict.TOO_LITTLE_DATA


def test_clicks_alone_are_refused_since_no_order_would_be_better_than_another() -> None:
    frame = ranking(200, 3)
    with pytest.raises(DataError, match="every label in 'label' is above 0"):
        Reference.fit(frame[frame["label"] == 1], COLUMNS)
    with pytest.raises(UsageError, match="a ranking needs `query`"):
        Reference.fit(frame, Columns(prediction="prediction", label="label"), "ranking")
    by_item = Columns(prediction="prediction", label="label", query="search", segments=("price_band",))
    with pytest.raises(DataError, match="segments of a ranking are of whole queries"):
        Reference.fit(frame.assign(price_band=np.arange(len(frame)) % 2), by_item)


@pytest.mark.long
def test_a_reference_of_a_ranking_survives_its_archive(reference: Reference) -> None:
    again, frame = Reference.from_bytes(reference.to_bytes()), window(80)
    assert again.version == reference.version
    assert [str(check) for check in evaluate(again, frame).checks] == [
        str(check) for check in evaluate(reference, frame).checks
    ]


def test_a_candidate_is_compared_by_the_same_queries() -> None:
    frame = ranking(600, 4)
    random = np.random.default_rng(0)
    frame["better"] = frame["prediction"] + 0.5 * frame["label"]
    frame["same"] = 2 * frame["prediction"] + 1
    frame["worse"] = frame["prediction"] + random.normal(0, 3, len(frame))
    verdicts = {
        name: compare(frame, "prediction", name, "label", "ranking", query="search").verdict
        for name in ("better", "same", "worse")
    }
    assert verdicts == {"better": "better", "same": "same", "worse": "worse"}
    with pytest.raises(UsageError, match="compared by query"):
        compare(frame, "prediction", "same", "label", "ranking")
