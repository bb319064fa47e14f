"""Messages equal golden files. MONITOR_GOLDEN=1 writes them again; read them before committing them."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitor.alerting.message import FIRST_LINE, ExplainedAlert, Facts, body, written
from monitor.domain import phrases
from monitor.errors import UsageError

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
PAGES = "https://monitor.example.org"
SINCE = datetime(2025, 3, 3, tzinfo=UTC)
LABELS = {
    "alertname": "ModelPerformance",
    "model": "churn",
    "model_version": "4",
    "model_monitor": "churn-eu",
    "team": "growth",
}
BEGAN = datetime(2025, 3, 5, 10, tzinfo=UTC)
WORSE = phrases.performance("roc_auc", None, 0.71, 0.83)
LOSS = phrases.sentences(WORSE, phrases.uncertainty(0.08, 0.16, 0.02), phrases.concept_drift(0.2))
UNIT = phrases.sentences(
    phrases.of_cause(phrases.drifted("income"), phrases.unit_change(100, 0.2)),
    phrases.since(BEGAN),
    phrases.origin("pipeline"),
)
NEW = phrases.sentences(
    phrases.of_cause(phrases.drifted("region"), phrases.new_value("north-west", 0.04)), phrases.origin("pipeline")
)
OLDER = phrases.sentences(
    phrases.of_cause(phrases.drifted("age"), phrases.level((41, 20, 60), (43, 25, 65))), phrases.origin("world")
)
MISSING = phrases.sentences(
    phrases.missing("income", 0.31, 0.02), phrases.costs([(0.04, "roc_auc")]), phrases.cannot_be_repaired()
)
ESTIMATED = phrases.sentences(
    phrases.performance("estimated_roc_auc", None, 0.79, 0.83),
    phrases.uncertainty(0.01, 0.07, 0.02),
    phrases.corrected(-0.03, doubtful=False),
)
BLIND = (
    "no label has come and the probabilities are constant, so performance can be neither measured nor estimated. Labels"
    " (labels.path) or probabilities (columns.probability) would help"
)


def finding(kind: str, column: str, cause: str, text: str, origin: str, cost: float | None) -> dict:
    return {
        "kind": kind,
        "severity": "info",
        "metric": "drift_score",
        "column": column,
        "cause": cause,
        "origin": origin,
        "cost": cost,
        "explanation": text,
    }


FACTS = Facts(
    notification="n",
    event="firing",
    alert_id="3f2a7c1e-0000-5000-8000-000000000001",
    kind="performance",
    state="firing",
    severity="critical",
    monitor="churn-eu",
    model="churn",
    labels=LABELS,
    summary=LOSS,
    since=SINCE,
    happened_at=datetime(2025, 3, 17, tzinfo=UTC),
    bad_windows=2,
    columns=["income", "region", "age", "plan"],
    findings=[
        {
            "kind": "performance",
            "severity": "critical",
            "metric": "roc_auc",
            "column": "",
            "cause": "concept drift",
            "origin": "",
            "cost": None,
            "explanation": LOSS,
        },
        finding("drift", "income", "unit change", UNIT, "pipeline", 0.06),
        finding("drift", "region", "new category", NEW, "pipeline", 0.02),
        finding("drift", "age", "shift", OLDER, "world", 0.01),
        finding("drift", "plan", "shift", phrases.sentences(phrases.drifted("plan")), "world", 0.001),
    ],
    window="2025-03-10 00:00 to 2025-03-17 00:00 UTC",
    run_id="9b1d0000-0000-5000-8000-000000000002",
    runbook_url="https://wiki.example.org/churn",
    description="Who is about to leave us.",
    events=["e"],
    link=f"{PAGES}/alerts/3f2a7c1e",
    acknowledge_link=f"{PAGES}/alerts/3f2a7c1e#acknowledge",
    silence_link=f"{PAGES}/silences?matchers=alertname%3D%22ModelPerformance%22%0Amodel%3D%22churn%22&lasts=4h&comment=alert+3f2a7c1e",
    timezone="Europe/Berlin",
    last_healthy=SINCE,
    predictions=48_210,
    before=["2025-03-02 21:10 UTC: version 4 of churn was deployed: new features"],
    earlier="income on 2024-11-04: estimated ROC AUC fell; it was marked real",
    retraining="retraining 77aa0000 is awaiting approval: monitor retraining show 77aa0000",
    retraining_link=f"{PAGES}/retraining/77aa0000",
)
QUIET = {
    "findings": [],
    "columns": [],
    "before": [],
    "earlier": "",
    "retraining": "",
    "retraining_link": "",
    "description": "",
}
KINDS = {
    "performance": FACTS,
    "estimated_performance": replace(
        FACTS,
        kind="estimated_performance",
        severity="warning",
        summary=ESTIMATED,
        findings=FACTS.findings[1:],
        labels_due=datetime(2025, 3, 24, tzinfo=UTC),
    ),
    "quality": replace(
        FACTS,
        kind="quality",
        severity="warning",
        summary=MISSING,
        findings=[finding("quality", "income", "missing values", MISSING, "pipeline", 0.04)],
    ),
    "drift": replace(
        FACTS, kind="drift", severity="warning", summary=FACTS.findings[1]["explanation"], findings=[FACTS.findings[1]]
    ),
    "no_data": replace(
        FACTS,
        kind="no_data",
        severity="warning",
        summary=phrases.sentence(phrases.no_rows()),
        predictions=None,
        **QUIET,
    ),
    "no_labels": replace(
        FACTS, kind="no_labels", severity="warning", summary=phrases.sentence(phrases.few_labels(0, 812)), **QUIET
    ),
    "blind": replace(FACTS, kind="blind", severity="warning", summary=phrases.sentence(BLIND), **QUIET),
    "self": replace(
        FACTS,
        kind="self",
        severity="warning",
        monitor="",
        model="",
        labels={"model_version": "", "model_monitor": ""},
        summary="a notification to ops could not be delivered and was given up",
        window="",
        run_id="",
        runbook_url="",
        timezone="UTC",
        last_healthy=None,
        predictions=None,
        **QUIET,
    ),
    "resolved": replace(
        FACTS,
        event="resolved",
        state="resolved",
        now=phrases.now("roc_auc", "", "", 0.84),
        summary=LOSS,
        happened_at=datetime(2025, 3, 24, tzinfo=UTC),
    ),
    "escalated": replace(FACTS, event="escalated"),
    "repeated": replace(FACTS, event="repeated", happened_at=datetime(2025, 3, 18, tzinfo=UTC), bad_windows=3),
    "retracted": replace(
        FACTS, event="retracted", state="retracted", summary=LOSS, happened_at=datetime(2025, 3, 24, tzinfo=UTC)
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_messages_read_as_they_did(kind: str, form: str) -> None:
    facts = KINDS[kind]
    inside = [ExplainedAlert("a", "drift", "warning", "churn-eu", "'income' drifted")] if kind == "performance" else []
    message = getattr(written([facts], ["model=churn"], inside, datetime(2025, 3, 18, tzinfo=UTC)), form)
    file = GOLDEN / f"{kind}.{ {'text': 'txt', 'markdown': 'md', 'html': 'html'}[form] }"
    if os.environ.get("MONITOR_GOLDEN"):
        file.write_text(message + "\n")
    assert message + "\n" == file.read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_line_fits_a_lock_screen(kind: str) -> None:
    line = written([KINDS[kind]]).title
    assert len(line) <= FIRST_LINE
    assert "3f2a7c1e" not in line
    assert "http" not in line


@pytest.mark.parametrize(
    ("summary", "column", "cause", "wanted"),
    [
        (
            "'income' drifted: 50.7% of the values are 100 times as large as before. It began.",
            "income",
            "unit change",
            "'income' drifted: unit change",
        ),
        (
            "'inc: x' drifted: 50.7% of the values are 100 times as large as before. It began.",
            "inc: x",
            "unit change",
            "'inc: x' drifted: unit change",
        ),
        (
            "'income' drifted: the median rose from 1 to 2. It began.",
            "income",
            "shift",
            "'income' drifted: the median rose from 1 to 2",
        ),
        (
            "50.3% of the values of 'a_long_name' are outside the range of the reference (1 to 2)",
            "x",
            "",
            "50.3% of the values of 'a_long_name' are outside the range of…",
        ),
        (
            "100.0% of the values of 'noise' are outside the range of the reference (1 to 2)",
            "noise",
            "swapped columns",
            "'noise': swapped columns",
        ),
    ],
)
def test_a_headline_that_would_be_too_long_names_the_kind_of_change(
    summary: str, column: str, cause: str, wanted: str
) -> None:
    facts = replace(
        FACTS,
        severity="warning",
        summary=summary,
        findings=[finding("drift", column, cause, summary, "", None)] if cause else [],
    )
    assert written([facts]).title == f"[WARNING] churn: {wanted}"


def test_a_column_has_its_part_of_the_cost_once() -> None:
    """Several findings of one column count once, and the total loss of the model is no further cost."""
    findings = [entry if entry["column"] else entry | {"cost": 0.12} for entry in FACTS.findings for _ in range(2)]
    assert "This is 66% of the likely cost." in written([FACTS]).text
    assert "This is 66% of the likely cost." in written([replace(FACTS, findings=findings)]).text


def test_no_headline_names_a_cause_without_a_part_of_the_cost() -> None:
    causes = [
        finding("drift", "income", "unit change", UNIT, "pipeline", 0.0001),
        finding("drift", "region", "new category", NEW, "pipeline", 0.1),
    ]
    title = written([replace(FACTS, summary="MAE is 3.", findings=causes)]).title
    assert title == "[CRITICAL] churn: MAE is 3; region: new category"


@pytest.mark.parametrize(
    ("origin", "cause", "wanted"),
    [
        ("", "concept drift", "If it stays, retrain on rows from 2025-03-03 on."),
        (
            "world",
            "shift",
            (
                "Nothing points to the data pipeline: this looks like a real change. If it stays, retrain on rows from"
                " 2025-03-03 on."
            ),
        ),
        ("pipeline", "unit change", "Repair the data pipeline before retraining: 'income' (unit change)."),
        (
            "unknown",
            "swapped columns",
            "Check whether this is a fault of the data pipeline: 'income' (swapped columns).",
        ),
        ("", "", "Look at the segments and columns of this window for what changed."),
    ],
)
def test_the_next_step_follows_from_the_cause(origin: str, cause: str, wanted: str) -> None:
    column = "" if cause == "concept drift" else "income"
    facts = replace(FACTS, summary="MAE is 3.", findings=[finding("drift", column, cause, "It changed.", origin, 0.1)])
    assert f"\nNext step\n- {wanted}\n" in written([facts]).text


def test_what_the_first_lines_say_is_not_said_again_as_a_cause() -> None:
    findings = [
        finding("drift", "income", "unit change", UNIT, "pipeline", 0.1),
        finding("drift", "age", "shift", OLDER, "world", 0.0001),
    ]
    text = written([replace(FACTS, summary=UNIT, findings=findings)]).text
    assert text.count("'income' drifted: 20.0% of the values") == 1
    assert "'age' drifted" in text
    assert "0% of the likely cost" not in text


def test_what_the_data_say_is_text_in_every_form() -> None:
    nasty = replace(FACTS, summary="<script>alert(1)</script> [x](http://evil) {{ 7 * 7 }}", findings=[])
    message = written([nasty])
    assert "<script>" not in message.html
    assert "\\[x\\](" in message.markdown
    assert "{{ 7 * 7 }}" in message.text


@pytest.mark.parametrize("template", ["{{ nothing }}", "{% for %}", "{{ ''.__class__.__mro__[1].__subclasses__() }}"])
def test_a_template_that_fails_or_reaches_out_is_refused(template: str) -> None:
    with pytest.raises(UsageError, match="the template `text` fails"):
        written([FACTS], templates={"text": template})


def test_of_very_many_alerts_some_are_told_in_full_others_in_a_line_and_the_rest_is_counted() -> None:
    facts = [replace(FACTS, alert_id=f"{number:08d}", summary=f"summary {number}") for number in range(200)]
    message = written(facts)
    assert "(and 199 more)" in message.title
    assert message.text.count("details: monitor alerts show") == 10
    assert "summary 49" in message.text
    assert "summary 50" not in message.text
    assert "… and 150 more" in message.text
    assert len(json.loads(body(facts))["alerts"]) == 200
