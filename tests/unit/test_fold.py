"""Alerts are a pure fold over results: a bad window opens, good ones resolve, one without an answer does neither.
Updated results find the same incident again.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.alerting.fold import EstimatedLoss, Result, Rule, State, StoredAlert, fold, reconcile, step
from monitor.domain.checks import CheckKey
from monitor.domain.grid import Window

START = datetime(2025, 1, 6, tzinfo=UTC)
DAY = timedelta(days=1)


def result(
    day: int,
    verdict: str,
    *,
    length: int = 1,
    severity: str = "warning",
    look: int = 0,
    late: int = 0,
    rule: Rule = Rule(),
) -> Result:
    window = Window(START + day * DAY, START + (day + length) * DAY)
    made = frozenset({CheckKey("mae")}) if verdict != "none" else frozenset()
    paging = (CheckKey("mae"),) if verdict == "bad" else ()
    return Result(
        f"run{day}.{look}",
        window,
        look,
        window.end + late * DAY,
        verdict == "bad",
        made,
        made,
        paging,
        ("mae",) if paging else (),
        severity if paging else "none",
        verdict,
        rule,
        retrains=verdict == "bad" and severity != "info",
    )


def events(verdicts: str, rule: Rule, *, length: int = 1) -> list[tuple[int, str]]:
    names = {"b": "bad", "g": "good", "n": "none"}
    state, changes = State(), []
    for day, code in enumerate(verdicts):
        outcome = step(State.from_dict(state.to_dict()), result(day, names[code], length=length, rule=rule))
        state = outcome.state
        changes += [(day, event.kind) for event in outcome.events]
    return changes


def test_one_bad_window_fires_and_two_good_ones_resolve() -> None:
    assert events("gbgg", Rule()) == [(1, "firing"), (3, "resolved")]


def test_for_counts_bad_windows_in_a_row_and_a_good_one_clears_them() -> None:
    assert events("bbgbbb", Rule(for_windows=3)) == [(0, "pending"), (2, "cleared"), (3, "pending"), (5, "firing")]


def test_windows_without_an_answer_neither_count_nor_clear() -> None:
    assert events("bnb", Rule(for_windows=2)) == [(0, "pending"), (2, "firing")]
    assert events("bgng", Rule()) == [(0, "firing"), (3, "resolved")]


def test_a_bad_window_clears_the_count_of_good_ones() -> None:
    assert events("bgbgg", Rule()) == [(0, "firing"), (4, "resolved")]


def test_overlapping_windows_count_once() -> None:
    assert events("bbbbbbbb", Rule(for_windows=2), length=7) == [(0, "pending"), (7, "firing")]


LEARNT = Rule(keep_firing_for=None)


def test_a_spell_with_healthy_windows_in_it_is_held_together_once_it_has_shown_them() -> None:
    assert events("bgg", LEARNT) == [(0, "firing"), (2, "resolved")]
    assert events("bbbbbgg", LEARNT) == [(0, "firing"), (6, "resolved")]
    # With four bad of eight windows, four good ones in a row would still come by chance in one of 34 cases.
    assert events("bgbgbggbgggggg", LEARNT) == [(0, "firing"), (12, "resolved")]
    # It is resolved too early only once.
    assert events("bggbggbggbggbggggggg", LEARNT) == [(0, "firing"), (2, "resolved"), (3, "firing"), (19, "resolved")]


def test_windows_that_overlap_count_once_also_after_the_grid_has_changed_under_an_alert() -> None:
    rule = Rule(keep_firing_for=2)
    state, changes = step(State(), result(0, "bad", rule=rule)).state, []
    for day in range(1, 12):
        outcome = step(state, replace(result(day, "good", length=7, rule=rule), epoch="weeks"))
        state = outcome.state
        changes += [(day, event.kind) for event in outcome.events]
    assert changes == [(8, "resolved")]


def test_a_spell_is_forgotten_after_a_long_time_of_healthy_windows() -> None:
    spell = "bgbgbgbgg"
    again = events(spell + "g" * 40 + "bgg", LEARNT)
    assert again[-2:] == [(49, "firing"), (51, "resolved")]


def test_a_spell_pages_less_often_than_with_two_healthy_windows_and_what_is_chance_as_often() -> None:
    random = np.random.default_rng(5)
    fired = {LEARNT: 0, Rule(): 0}
    for _ in range(100):
        spell = "".join(random.choice(["b", "g"], p=[0.6, 0.4], size=16))
        for rule in fired:
            fired[rule] += sum(kind == "firing" for _, kind in events(f"ggb{spell}b{'g' * 30}", rule))
    assert fired[LEARNT] <= 0.75 * fired[Rule()]
    lone = ("g" * 29 + "b") * 10
    assert events(lone, LEARNT) == events(lone, Rule())


def result_of_checks(
    day: int, paging: set[CheckKey], made: set[CheckKey], requested: set[CheckKey], rule: Rule = Rule(keep_firing_for=1)
) -> Result:
    window = Window(START + day * DAY, START + (day + 1) * DAY)
    return Result(
        f"run{day}",
        window,
        0,
        window.end,
        bool(paging),
        frozenset(requested),
        frozenset(made),
        tuple(sorted(paging)),
        severity="warning" if paging else "none",
        rule=rule,
    )


MAE, RMSE = CheckKey("mae"), CheckKey("rmse")


def test_a_window_is_good_only_if_what_opened_the_alert_could_be_asked_again() -> None:
    opened = step(State(), result(0, "bad")).state
    assert step(opened, result_of_checks(1, set(), {RMSE}, {MAE, RMSE})).events == ()


def test_what_is_not_asked_any_more_holds_no_alert_open() -> None:
    north = CheckKey("mae", "", "region=north")
    opened = step(State(), result_of_checks(0, {MAE, north}, {MAE, north}, {MAE, north})).state
    assert step(opened, result_of_checks(1, set(), set(), {MAE})).events == ()
    assert step(opened, result_of_checks(1, set(), {RMSE}, {MAE, RMSE})).events == ()
    assert [event.kind for event in step(opened, result_of_checks(1, set(), {MAE}, {MAE})).events] == ["resolved"]
    assert [event.kind for event in step(opened, result_of_checks(1, set(), {RMSE}, {RMSE})).events] == ["resolved"]
    assert step(opened, result_of_checks(1, set(), set(), set())).events == ()


KEYS = [MAE, RMSE, CheckKey("mae", "", "region=north"), CheckKey("missing_share", "a|b")]


class WindowChecks(NamedTuple):
    """The checks of a window: those that page, those that were made, those that were requested. Each is a subset of the
    next.
    """

    paging: set[CheckKey]
    made: set[CheckKey]
    requested: set[CheckKey]


@st.composite
def answers(draw: st.DrawFn) -> list[WindowChecks]:
    windows = []
    for _ in range(draw(st.integers(0, 15))):
        requested = draw(st.sets(st.sampled_from(KEYS)))
        made = draw(st.sets(st.sampled_from(sorted(requested)))) if requested else set()
        paging = draw(st.sets(st.sampled_from(sorted(made)))) if made else set()
        windows.append(WindowChecks(paging, made, requested))
    return windows


@given(answers(), st.integers(1, 3))
@settings(max_examples=300, deadline=None)
def test_an_alert_ends_when_all_that_opened_it_and_is_still_asked_answers(
    windows: list[WindowChecks], needed: int
) -> None:
    state, happened = State(), []
    opened: set[CheckKey] | None = None
    expected, good = [], 0
    for day, window in enumerate(windows):
        outcome = step(State.from_dict(state.to_dict()), result_of_checks(day, *window, Rule(1, needed)))
        state = outcome.state
        happened += [(day, event.kind) for event in outcome.events]
        if window.paging:
            good = 0
            expected += [(day, "firing")] if opened is None else []
            opened = window.paging if opened is None else opened
        elif opened is not None and window.made and not (opened & window.requested) - window.made:
            good += 1
            if good == needed:
                expected.append((day, "resolved"))
                opened, good = None, 0
    assert happened == expected


NAMES = st.text(st.sampled_from('ab|="\\,[]\x1f\n é'), max_size=6)


@given(st.lists(st.builds(CheckKey, st.sampled_from(["mae", "drift_score"]), NAMES, NAMES), max_size=4))
@settings(max_examples=300, deadline=None)
def test_a_stored_state_has_the_same_keys_whatever_characters_names_have(keys: list[CheckKey]) -> None:
    state = State("firing", opened_by=tuple(keys))
    assert State.from_dict(json.loads(json.dumps(state.to_dict()))) == state


def test_states_that_were_stored_with_keys_as_texts_are_read() -> None:
    stored = State("firing").to_dict()
    for text, key in {
        "mae||": CheckKey("mae"),
        "missing_share|income|": CheckKey("missing_share", "income"),
        "missing_share|a|b|": CheckKey("missing_share", "a|b"),
        "drift_score|age|region=north": CheckKey("drift_score", "age", "region=north"),
        "drift_score|a|b|region=north": CheckKey("drift_score", "a", "b|region=north"),
        "auc||plan=a|b": CheckKey("auc", "", "plan=a|b"),
    }.items():
        assert State.from_dict(stored | {"opened_by": [text]}).opened_by == (key,)


def test_a_worse_window_escalates_once() -> None:
    state = step(State(), result(0, "bad")).state
    worse = step(state, result(1, "bad", severity="critical"))
    assert [event.kind for event in worse.events] == ["escalated"]
    assert step(worse.state, result(2, "bad", severity="critical")).events == ()


def test_a_bad_window_that_is_not_bad_enough_breaks_the_row_that_proposes_a_retraining() -> None:
    state, proposed = State(), []
    for day, severity in enumerate(["warning", "warning", "info", "warning", "warning"]):
        outcome = step(state, result(day, "bad", severity=severity, rule=Rule(retrain_for=2)))
        state = outcome.state
        proposed += [day] if outcome.proposes else []
    assert proposed == [1, 4]


def test_a_retraining_is_proposed_by_bad_windows_in_a_row() -> None:
    state, proposed = State(), []
    for day, verdict in enumerate(["bad", "bad", "good", "bad", "none", "bad", "bad"]):
        outcome = step(state, result(day, verdict, rule=Rule(retrain_for=2)))
        state = outcome.state
        proposed += [day] if outcome.proposes else []
    assert proposed == [1, 5, 6]


@given(st.text("bgn", max_size=40), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=300, deadline=None)
def test_step_by_step_and_folded_whole_are_the_same(verdicts: str, bad: int, good: int) -> None:
    rule = Rule(bad, good)
    names = {"b": "bad", "g": "good", "n": "none"}
    results = [result(day, names[code], rule=rule) for day, code in enumerate(verdicts)]
    state, fired, ended = State(), [], []
    for run_result in results:
        outcome = step(state, run_result)
        state = outcome.state
        fired += [event.first_window for event in outcome.events if event.kind == "firing"]
        ended += [event.first_window for event in outcome.events if event.kind == "resolved"]
    history = fold(reversed(results))
    assert history.state == state
    assert [incident.first_window for incident in history.incidents] == fired
    assert [incident.first_window for incident in history.incidents if incident.resolved] == ended


def stored_alerts(results: list[Result]) -> list[StoredAlert]:
    far = datetime.max.replace(tzinfo=UTC)
    return [
        StoredAlert(
            incident.first_window,
            incident.opened_as_of,
            incident.first_window,
            incident.resolved.as_of if incident.resolved else far,
            "resolved" if incident.resolved else "firing",
            incident.severity,
        )
        for incident in fold(results).incidents
    ]


def test_another_look_that_finds_the_window_healthy_retracts_the_alert() -> None:
    before = [result(0, "good"), result(1, "bad"), result(2, "good")]
    after = [before[0], result(1, "good", look=6, late=5), before[2]]
    changes = reconcile(stored_alerts(before), fold(after).incidents)
    assert [(old is not None, incident, events) for old, incident, events in changes] == [(True, None, ("retracted",))]


def test_another_look_that_moves_the_beginning_keeps_the_alert() -> None:
    before = [result(0, "good"), result(1, "bad"), result(2, "bad")]
    after = [result(0, "bad", look=6, late=5), before[1], before[2]]
    [(old, incident, changes)] = reconcile(stored_alerts(before), fold(after).incidents)
    assert old is not None
    assert incident is not None
    assert (old.since, incident.since, changes) == (START + DAY, START, ())


def test_another_look_that_finds_less_harm_downgrades() -> None:
    before = [result(0, "bad", severity="critical")]
    changes = reconcile(stored_alerts(before), fold([result(0, "bad", look=6)]).incidents)
    assert [events for _, _, events in changes] == [("downgraded",)]


def estimated(day: int, z: float, beyond: float | None = None, *, length: int = 1) -> Result:
    """A window with an estimate and without a finding that pages."""
    return replace(
        result(day, "good", length=length),
        estimate=EstimatedLoss("estimated_roc_auc", z, z - 1 if beyond is None else beyond),
    )


def events_of(results: list[Result]) -> list[tuple[int, str]]:
    state, changes = State(), []
    for place, run_result in enumerate(results):
        outcome = step(State.from_dict(json.loads(json.dumps(state.to_dict()))), run_result)
        state = outcome.state
        changes += [(place, event.kind) for event in outcome.events]
    return changes


def test_three_doubtful_windows_are_one_certain_page() -> None:
    healthy = [0.3, -0.8, 1.1, -0.2, 0.5, -1.4, 0.1, 0.9, -0.6, 0.2]
    losing = [2.1, 2.2, 2.3, 2.1]
    history = [estimated(day, z) for day, z in enumerate(healthy + losing)]
    assert events_of(history) == [(12, "firing")]
    (incident,) = fold(history).incidents
    assert "worse in the last 3 windows" in fold(history[:13]).state.summary
    assert (incident.severity, incident.since) == ("warning", START + 12 * DAY)
    # Two such windows, or three with a loss within the limit, do not page.
    assert events_of(history[:12]) == []
    assert events_of([estimated(day, z, -0.5) for day, z in enumerate(healthy + losing)]) == []


def test_evidence_of_a_loss_ends_with_healthy_windows_and_counts_overlapping_ones_once() -> None:
    losing = [estimated(day, 2.5) for day in range(6)]
    healthy = [estimated(day, -0.5) for day in range(6, 20)]
    assert [kind for _, kind in events_of(losing + healthy)] == ["firing", "resolved"]
    # Three overlapping windows hold the same rows.
    assert events_of([estimated(day, 2.2, length=3) for day in range(6)]) == []


def test_estimates_that_vary_more_than_they_say_need_more_evidence() -> None:
    noisy = [2.6, -2.4, 0.2, 2.2, -2.7, -0.3, 2.5, -2.5, 0.1, -2.2, 2.4, -2.6]
    losing = [2.1, 2.2, 2.3]
    assert events_of([estimated(day, z) for day, z in enumerate(noisy + losing)]) == []
    assert events_of([estimated(day, z) for day, z in enumerate(noisy + losing * 3)]) != []


@given(st.lists(st.floats(-4, 4), max_size=60))
def test_the_state_of_an_estimate_is_bounded_and_survives_being_stored(values: list[float]) -> None:
    state = State()
    for day, z in enumerate(values):
        state = step(State.from_dict(json.loads(json.dumps(state.to_dict()))), estimated(day, z)).state
        assert 0 <= state.weighed.evidence <= 2 * np.log(100) + 1e-9


def test_a_model_as_good_as_ever_hardly_ever_pages_by_evidence() -> None:
    random = np.random.default_rng(3)
    # The limit is one standard error: estimates are beyond it in one of six windows.
    z = random.normal(size=4_000)
    pages = sum(kind == "firing" for _, kind in events_of([estimated(day, value) for day, value in enumerate(z)]))
    assert pages / len(z) < 1 / 200
