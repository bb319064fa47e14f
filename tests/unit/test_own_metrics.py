"""Metrics of the user's own and the cost of mistakes: values, intervals, limits, estimates and what goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitor import Checks, Columns, Reference, WindowCounts, evaluate
from monitor.analysis.own import OwnMetricError, of_rows, query
from monitor.domain.checks import Verdict
from monitor.errors import UsageError

NET_LOSS = "sum(case when prediction = 0 and label = 1 then amount else 0 end)"
COLUMNS = Columns(prediction="prediction", probability="score", label="repaid_late", segments=["channel"])


def loans(rows: int, seed: int, *, worse: float = 0.0) -> pd.DataFrame:
    """Loans of a calibrated model; in a share of the rows (`worse`) the label is the contrary."""
    random = np.random.default_rng(seed)
    score = random.beta(1, 3, rows)
    label = (random.random(rows) < score).astype(int)
    label = np.where(random.random(rows) < worse, 1 - label, label)
    return pd.DataFrame(
        {
            "amount": random.gamma(4, 50, rows),
            "channel": random.choice(["app", "branch"], rows),
            "score": score,
            "prediction": (score > 0.4).astype(int),
            "repaid_late": label,
        }
    )


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.fit(loans(4000, 0), COLUMNS, "binary")


def checks(**metrics: Any) -> Checks:
    return Checks(metrics=metrics, only=("performance", "estimated_performance"))


def realised(frame: pd.DataFrame) -> float:
    return float(frame["amount"][(frame["prediction"] == 0) & (frame["repaid_late"] == 1)].sum())


def test_a_sum_in_sql_is_the_sum_with_an_interval_and_its_estimate(reference: Reference) -> None:
    frame = loans(2000, 1)
    evaluation = evaluate(reference, frame, checks=checks(net_loss={"sql": NET_LOSS}))
    value = evaluation["net_loss"]
    assert value.value == pytest.approx(realised(frame))
    assert value.lower is not None
    assert value.upper is not None
    assert value.lower < realised(frame) < value.upper
    estimate = evaluation["estimated_net_loss"]
    assert estimate.lower < realised(frame) < estimate.upper  # type: ignore[operator]
    assert not evaluation.pages


def test_a_sum_is_scaled_to_all_rows_of_the_window(reference: Reference) -> None:
    frame = loans(1000, 1)
    evaluation = evaluate(reference, frame, counts=WindowCounts(50_000), checks=checks(net_loss={"sql": NET_LOSS}))
    assert evaluation["net_loss"].value == pytest.approx(50 * realised(frame))


@pytest.mark.long
def test_the_error_of_a_ratio_is_that_of_rows_drawn_again(reference: Reference) -> None:
    frame = loans(1000, 1)
    metrics = {
        "by_sql": {"sql": "sum(amount * label) / sum(amount)"},
        "by_function": {"python": "tests.unit.test_own_metrics:late_share"},
        "as_mean": {"sql": "avg(label)"},
    }
    evaluation = evaluate(reference, frame, checks=checks(**metrics))
    by_sql, by_function, plain = (evaluation[name] for name in metrics)
    assert by_sql.value == pytest.approx(late_share(frame.assign(label=frame["repaid_late"])))
    assert by_function.value == pytest.approx(by_sql.value)
    widths = [value.upper - value.value for value in (by_sql, by_function, plain)]  # type: ignore[operator]
    assert widths[0] == pytest.approx(widths[1], rel=0.3)
    assert widths[2] < widths[0] < 1.5 * widths[2]
    # The calibrated probabilities tell labels before they come.
    assert evaluation["estimated_by_sql"].value == pytest.approx(by_sql.value, abs=0.05)
    assert evaluation["estimated_by_function"].value == pytest.approx(by_sql.value, abs=0.05)


def late_share(rows: pd.DataFrame) -> float:
    """The share of the money that was repaid late."""
    return float((rows["amount"] * rows["label"]).sum() / rows["amount"].sum())


@pytest.mark.parametrize("harm", [{"net_loss": 20_000}, pytest.param({"net_loss": "30%"}, marks=pytest.mark.long)])
def test_a_harm_pages_the_window_and_the_segment_that_lose(reference: Reference, harm: Mapping[str, Any]) -> None:
    asked = Checks(metrics={"net_loss": {"sql": NET_LOSS}}, harm=harm, only=("performance",))
    assert not evaluate(reference, loans(2000, 1), checks=asked).pages
    frame = loans(2000, 1, worse=0.6).assign(channel="app")
    evaluation = evaluate(reference, frame, checks=asked)
    paging = {(finding.metric, finding.segment) for finding in evaluation.findings if finding.pages}
    assert ("net_loss", None) in paging
    assert ("net_loss", "channel=app") in paging
    assert evaluation["net_loss"].threshold_upper is not None  # type: ignore[union-attr]


def test_the_direction_is_kept_by_limits_and_harm(reference: Reference) -> None:
    metric = {"sql": "avg(case when label = prediction then 1.0 else 0.0 end)", "direction": "higher"}
    asked = Checks(metrics={"right": metric}, harm={"right": 0.1}, only=("performance",))
    finding = evaluate(reference, loans(2000, 1, worse=0.5), checks=asked)["right"]
    assert finding.severity == "critical"
    assert finding.threshold_lower is not None
    limited = Checks(
        metrics={"right": metric}, thresholds={"right": {"lower": 0.99, "severity": "critical"}}, only=("performance",)
    )
    assert evaluate(reference, loans(2000, 1), checks=limited)["right"].severity == "critical"  # type: ignore[union-attr]


@pytest.mark.long
@pytest.mark.parametrize(
    ("metric", "text"),
    [
        ({"sql": "sum(amuont)"}, "amuont"),
        ({"sql": "amount"}, "one number a row"),
        ({"sql": "sum((select count(*) from read_csv('/etc/passwd')))"}, "SQL failed"),
        ({"python": "tests.unit.test_own_metrics:fails"}, "ZeroDivisionError: no rows"),
        ({"python": "tests.unit.no_such_module:fails"}, "ModuleNotFoundError"),
    ],
)
def test_what_cannot_be_worked_out_says_why_and_the_rest_is_checked(
    reference: Reference, metric: dict[str, str], text: str
) -> None:
    evaluation = evaluate(reference, loans(500, 1), checks=checks(broken=metric, fine={"sql": NET_LOSS}))
    check = evaluation["broken"]
    assert check.verdict is Verdict.COULD_NOT_CHECK
    assert text in check.reason
    assert evaluation["fine"].value is not None


def fails(rows: pd.DataFrame) -> float:
    """A function with a fault."""
    raise ZeroDivisionError("no rows")


def test_sql_reads_no_file_and_changes_no_setting() -> None:
    frame = pd.DataFrame({"amount": [1.0, 2.0]})
    for sql in ("(select count(*) from read_csv('/etc/passwd'))", "(select count(*) from frame)"):
        with pytest.raises(OwnMetricError, match="SQL failed"):
            query(frame, sql)
    with pytest.raises(OwnMetricError, match="not one expression"):
        query(frame, "1) from window_rows; select (sum(amount)")
    assert of_rows("sum(a) / sum(b)") is None
    assert of_rows("AVG( abs(a) )") == ("avg", " abs(a) ")


def test_a_cost_is_money_of_the_whole_window_and_every_loss_says_it(reference: Reference) -> None:
    cost = {"false_negative": 400, "false_positive": "amount", "currency": "EUR"}
    frame = loans(2000, 1, worse=0.5)
    asked = Checks(cost=cost, harm={"cost": 1000, "roc_auc": 0.02}, only=("performance", "estimated_performance"))
    evaluation = evaluate(reference, frame, counts=WindowCounts(20_000), checks=asked)
    missed = (frame["prediction"] == 0) & (frame["repaid_late"] == 1)
    wrong = (frame["prediction"] == 1) & (frame["repaid_late"] == 0)
    expected = 400 * missed.sum() + frame["amount"][wrong].sum()
    assert evaluation["cost"].value == pytest.approx(10 * expected)
    excess = evaluation["cost_excess"]
    assert excess.lower is not None
    assert 0 < excess.lower < excess.value
    area = next(finding for finding in evaluation.findings if finding.metric == "roc_auc")
    assert "EUR more in this window than in the reference" in area.explanation
    assert evaluation["cost"].severity == "critical"  # type: ignore[union-attr]


@pytest.mark.long
def test_the_cost_of_errors_in_numbers_is_estimated_by_a_model_of_the_loss() -> None:
    def rides(rows: int, seed: int) -> pd.DataFrame:
        random = np.random.default_rng(seed)
        heat = random.uniform(0, 1, rows)
        prediction = 10 + 5 * heat
        return pd.DataFrame(
            {"heat": heat, "prediction": prediction, "label": prediction + random.normal(0, 0.5 + 2 * heat)}
        )

    reference = Reference.fit(rides(3000, 0), Columns(prediction="prediction", label="label"), "regression")
    frame = rides(3000, 1)
    hot = frame[frame["heat"] > 0.7]
    asked = Checks(cost={"absolute_error": 2}, only=("performance", "estimated_performance"))
    evaluation = evaluate(reference, hot, checks=asked)
    total = 2 * (hot["prediction"] - hot["label"]).abs().sum()
    assert evaluation["cost"].value == pytest.approx(total)
    assert evaluation["estimated_cost"].value == pytest.approx(total, rel=0.15)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"metrics": {"roc_auc": {"sql": "avg(label)"}}}, "Monitor's own"),
        ({"metrics": {"x": {"sql": "avg(label)", "python": "a:b"}}}, "not both"),
        ({"metrics": {"x": {"sql": "avg(label)", "direction": "up"}}}, "direction"),
        ({"metrics": {"x": {"python": "no_function"}}}, "package.module:function"),
        ({"cost": {"false_negativ": 4}}, "false_negativ"),
        ({"harm": {"net_loss": 4}}, "no metric"),
    ],
)
def test_what_is_written_wrong_is_refused(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Checks(**arguments)


def test_names_in_a_configuration_are_checked_against_the_task() -> None:
    from monitor.config.model import ChecksConfig
    from monitor.domain.names import ModelFacts, mistakes

    config = ChecksConfig.model_validate(
        {
            "metrics": {"net_loss": {"sql": NET_LOSS, "task": "binary"}},
            "cost": {"false_negative": 400},
            "harm": {"net_loss": "20%", "cost": 1000},
            "thresholds": {
                "estimated_net_loss": {"upper": 5},
                "net_loss": {"upper": 5, "columns": {"a": {"upper": 1}}},
            },
        }
    )
    texts = [mistake.keys for mistake in mistakes(config.named, ModelFacts("binary"))]
    assert texts == [("thresholds", "net_loss", "columns")]
    texts = [mistake.keys for mistake in mistakes(config.named, ModelFacts("regression"))]
    assert texts[:2] == [("cost",), ("metrics", "net_loss", "task")]
    config = config.model_copy(update={"thresholds": {}})
    assert config.to_checks(0.01, 0.99).higher_is_better("estimated_cost") is False
