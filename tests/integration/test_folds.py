"""Data runs open and resolve alerts of the model and its data, performance runs those of its labels."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import delete
from sqlalchemy.orm import Session

from monitor.config.load import load
from monitor.domain.checks import Check, Finding, Kind, Severity, Verdict
from monitor.domain.grid import Window
from monitor.services.apply_configuration import apply_configuration
from monitor.services.context import Context
from monitor.services.dispatch_alerts import addressed
from monitor.services.judge_windows import judge_windows
from monitor.storage import alerts, monitors, results, runs
from monitor.storage.database import Database
from monitor.storage.results import Results
from monitor.storage.tables import Alert, AlertEvent, FoldState
from tests.history import rows_of

START = datetime(2025, 1, 6, tzinfo=UTC)
DAY = timedelta(days=1)
EVENTS = (
    "SELECT a.kind, a.subject, e.kind FROM alert_events e JOIN alerts a ON a.id = e.alert_id ORDER BY e.happened_at,"
    " e.id"
)
ENTRY: dict[str, Any] = {
    "task": "binary",
    "model": {"name": "m"},
    "source": {"path": "log.parquet"},
    "reference": {"path": "reference.parquet"},
    "columns": {"event_time": "t", "prediction": "p", "label": "y"},
    "labels": {"delay": "2d"},
    "alerts": {"for": 2, "keep_firing_for": 1},
}

SEES = Check("performance_visibility", kind=Kind.BLIND)
READS = Check("unreadable_label_share", "y", kind=Kind.BLIND)
EARLY = Check("early_label_share", kind=Kind.QUALITY)
MISSING = Check("missing_share", "income", kind=Kind.QUALITY)


def answer(check: Check, letter: str) -> tuple[Check, list[Finding]]:
    """The check with its verdict: `b` for bad (with its finding), `g` for good, `n` for none."""
    verdict = {"b": Verdict.CHANGED, "g": Verdict.FINE, "n": Verdict.TOO_LITTLE_DATA}[letter]
    answered = Check(**{**vars(check), "verdict": verdict})
    fields = {**vars(answered), "severity": Severity.WARNING, "cause": "x", "explanation": f"{check.metric} is bad"}
    return answered, [Finding(**fields)] if letter == "b" else []


class Monitored:
    """A monitor in a report database. The tests set the results of its runs."""

    def __init__(self, folder: Path, entry: dict[str, Any]) -> None:
        self.folder, self.database = folder, Database(f"sqlite:///{folder}/monitor.db")
        self.database.migrate()
        self.configure(entry)

    def configure(self, entry: dict[str, Any]) -> None:
        launchers = {"train": {"type": "command", "command": ["true"]}}
        (self.folder / "monitor.yaml").write_text(yaml.safe_dump({"monitors": {"m": entry}, "launchers": launchers}))
        self.context = Context(load(self.folder / "monitor.yaml"), self.database)
        apply_configuration(self.context)

    def ended(
        self, kind: str, day: int, answers: Sequence[tuple[Check, str]], look: int = 0, late: timedelta = 0 * DAY
    ) -> None:
        """A run of a window has ended with these answers."""

        def unit(session: Session) -> None:
            row = monitors.active(session)[0]
            row.planned_until = START + 100 * DAY
            window = Window(START + day * DAY, START + (day + 1) * DAY)
            as_of = window.end + late
            run = runs.plan(session, row, kind, window, look, as_of, as_of)
            assert run is not None
            run.status, run.rows, run.finished_at = "done", 10, as_of
            answered = [answer(check, letter) for check, letter in answers]
            results.store(
                session,
                run,
                Results(
                    [],
                    [check for check, _ in answered],
                    [finding for _, findings in answered for finding in findings],
                    None,
                ),
            )
            monitors.to_be_judged(session, row.id)

        self.database.transact(unit)

    def judged(self) -> list[tuple[Any, ...]]:
        judge_windows(self.context)
        return [tuple(row) for row in rows_of(self.database, EVENTS)]


@pytest.fixture
def monitored(tmp_path: Path) -> Monitored:
    return Monitored(tmp_path, ENTRY)


def test_a_model_that_nobody_can_see_is_an_alert_after_for_windows_and_ends_when_it_is_seen(
    monitored: Monitored,
) -> None:
    events_by_day = []
    for day, letter in enumerate("gbnbg"):
        monitored.ended("data", day, [(SEES, letter), (MISSING, "g")])
        events_by_day.append(monitored.judged())
    events = [("blind", "", "pending"), ("blind", "", "firing"), ("blind", "", "resolved")]
    assert events_by_day == [[], events[:1], events[:1], events[:2], events]


def test_labels_that_cannot_be_read_are_an_alert_of_performance_runs_alone(monitored: Monitored) -> None:
    for day, letter in enumerate("bbg"):
        monitored.ended("data", day, [(SEES, "g")])
        monitored.ended("performance", day, [(READS, letter)], late=2 * DAY)
    assert monitored.judged() == [
        ("blind", "labels", "pending"),
        ("blind", "labels", "firing"),
        ("blind", "labels", "resolved"),
    ]


def test_data_and_labels_each_have_an_alert_of_their_own_even_of_one_window_and_time(monitored: Monitored) -> None:
    for day in range(2):
        monitored.ended("data", day, [(MISSING, "b")])
        monitored.ended("performance", day, [(EARLY, "b")])
    monitored.judged()
    monitored.ended("data", 2, [(MISSING, "g")])
    monitored.ended("performance", 2, [(EARLY, "b")])
    monitored.judged()
    rows = rows_of(monitored.database, "SELECT kind, subject, state, summary FROM alerts ORDER BY subject")
    assert [tuple(row) for row in rows] == [
        ("quality", "", "resolved", "missing_share is bad"),
        ("quality", "labels", "firing", "early_label_share is bad"),
    ]


def test_receivers_can_tell_an_alert_of_the_labels_from_one_of_the_data(monitored: Monitored) -> None:
    for day in range(2):
        monitored.ended("data", day, [(MISSING, "b"), (SEES, "b")])
        monitored.ended("performance", day, [(EARLY, "b")], late=2 * DAY)
    monitored.judged()

    def labels(session: Session) -> list[dict[str, str]]:
        return [addressed(session, monitored.context, alert).labels for alert in alerts.firing(session)]

    names_and_subjects = {
        (label_set["alertname"], label_set.get("subject", "")) for label_set in monitored.database.read(labels)
    }
    assert names_and_subjects == {("ModelDataQuality", ""), ("ModelDataQuality", "labels"), ("ModelBlind", "")}


def test_another_look_at_labels_takes_back_the_alert_of_the_labels_alone(monitored: Monitored) -> None:
    for day in range(2):
        monitored.ended("data", day, [(MISSING, "b")])
        monitored.ended("performance", day, [(EARLY, "b")], late=2 * DAY)
    monitored.judged()
    for day in range(2):
        monitored.ended("performance", day, [(EARLY, "g")], look=4, late=20 * DAY)
    monitored.judged()
    rows = rows_of(monitored.database, "SELECT subject, state FROM alerts WHERE fired_at IS NOT NULL ORDER BY subject")
    assert [tuple(row) for row in rows] == [("", "firing"), ("labels", "retracted")]


def test_an_alert_that_had_ended_keeps_when_it_ended_whatever_is_found_later(monitored: Monitored) -> None:
    ends = "SELECT date(ended_at), state FROM alerts WHERE fired_at IS NOT NULL"
    for day, letter in enumerate("gggg"):
        monitored.ended("data", day, [(MISSING, letter)])
    monitored.judged()
    for day in (0, 1):
        monitored.ended("data", day, [(MISSING, "b")], look=6, late=30 * DAY)
    monitored.judged()
    # Found a month later, it ended with the first healthy window.
    assert [tuple(row) for row in rows_of(monitored.database, ends)] == [("2025-01-09", "resolved")]
    for day in (0, 1):
        monitored.ended("data", day, [(MISSING, "g")], look=7, late=40 * DAY)
    monitored.judged()
    assert [tuple(row) for row in rows_of(monitored.database, ends)] == [("2025-01-09", "retracted")]
    [retracted] = rows_of(monitored.database, "SELECT date(happened_at) FROM alert_events WHERE kind = 'retracted'")
    assert tuple(retracted) == ("2025-02-16",)


def test_without_labels_in_the_configuration_their_alerts_are_closed_and_others_stay(monitored: Monitored) -> None:
    for day in range(2):
        monitored.ended("data", day, [(MISSING, "b")])
        monitored.ended("performance", day, [(EARLY, "b")], late=2 * DAY)
    monitored.judged()
    monitored.configure({name: value for name, value in ENTRY.items() if name != "labels"})
    rows = rows_of(monitored.database, "SELECT subject, state FROM alerts ORDER BY subject")
    assert [tuple(row) for row in rows] == [("", "firing"), ("labels", "resolved")]
    monitored.ended("data", 2, [(MISSING, "g")])
    assert ("quality", "", "resolved") in monitored.judged()


def test_a_database_that_was_judged_before_labels_had_a_fold_of_their_own_is_judged_for_them_too(
    monitored: Monitored,
) -> None:
    for day in range(3):
        monitored.ended("performance", day, [(EARLY, "b")], late=2 * DAY)

    def as_before(session: Session) -> None:
        session.execute(delete(AlertEvent))
        session.execute(delete(Alert))
        session.execute(delete(FoldState).where(FoldState.kind.like("%_labels")))
        monitors.to_be_judged(session, monitors.active(session)[0].id)

    fresh = monitored.judged()
    monitored.database.transact(as_before)
    assert monitored.judged() == fresh == [("quality", "labels", "pending"), ("quality", "labels", "firing")]


def test_faults_of_labels_propose_no_retraining(tmp_path: Path) -> None:
    monitored = Monitored(tmp_path, {**ENTRY, "retraining": {"when": ["quality"], "for": 1, "launcher": "train"}})
    monitored.ended("performance", 0, [(EARLY, "b")], late=2 * DAY)
    monitored.judged()
    assert rows_of(monitored.database, "SELECT COUNT(*) FROM retraining_requests")[0][0] == 0
    monitored.ended("data", 1, [(MISSING, "b")])
    monitored.judged()
    assert rows_of(monitored.database, "SELECT COUNT(*) FROM retraining_requests")[0][0] == 1
