"""Judging is a pure fold: bad opens, good resolves, none does neither; and another look finds the same incident
again.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

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
    state, found = State(), []
    for day, letter in enumerate(verdicts):
        taken = step(State.from_dict(state.to_dict()), result(day, names[letter], length=length, rule=rule))
        state = taken.state
        found += [(day, event.kind) for event in taken.events]
    return found


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
    # Four bad of eight windows: four good ones in a row would still come by chance in one of 34 cases.
    assert events("bgbgbggbgggggg", LEARNT) == [(0, "firing"), (12, "resolved")]
    # It was resolved too early once, and not again.
    assert events("bggbggbggbggbggggggg", LEARNT) == [(0, "firing"), (2, "resolved"), (3, "firing"), (19, "resolved")]


def test_windows_that_overlap_count_once_also_after_the_grid_has_changed_under_an_alert() -> None:
    rule = Rule(keep_firing_for=2)
    state, found = step(State(), result(0, "bad", rule=rule)).state, []
    for day in range(1, 12):
        taken = step(state, replace(result(day, "good", length=7, rule=rule), epoch="weeks"))
        state = taken.state
        found += [(day, event.kind) for event in taken.events]
    assert found == [(8, "resolved")]


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


def answered(
    day: int, paging: set[CheckKey], made: set[CheckKey], asked: set[CheckKey], rule: Rule = Rule(keep_firing_for=1)
) -> Result:
    window = Window(START + day * DAY, START + (day + 1) * DAY)
    return Result(
        f"run{day}",
        window,
        0,
        window.end,
        bool(paging),
        frozenset(asked),
        frozenset(made),
        tuple(sorted(paging)),
        severity="warning" if paging else "none",
        rule=rule,
    )


MAE, RMSE = CheckKey("mae"), CheckKey("rmse")


def test_a_window_is_good_only_if_what_opened_the_alert_could_be_asked_again() -> None:
    opened = step(State(), result(0, "bad")).state
    assert step(opened, answered(1, set(), {RMSE}, {MAE, RMSE})).events == ()


def test_what_is_not_asked_any_more_holds_no_alert_open() -> None:
    north = CheckKey("mae", "", "region=north")
    opened = step(State(), answered(0, {MAE, north}, {MAE, north}, {MAE, north})).state
    assert step(opened, answered(1, set(), set(), {MAE})).events == ()
    assert step(opened, answered(1, set(), {RMSE}, {MAE, RMSE})).events == ()
    assert [event.kind for event in step(opened, answered(1, set(), {MAE}, {MAE})).events] == ["resolved"]
    assert [event.kind for event in step(opened, answered(1, set(), {RMSE}, {RMSE})).events] == ["resolved"]
    assert step(opened, answered(1, set(), set(), set())).events == ()


KEYS = [MAE, RMSE, CheckKey("mae", "", "region=north"), CheckKey("missing_share", "a|b")]


@st.composite
def answers(draw: st.DrawFn) -> list[tuple[set[CheckKey], set[CheckKey], set[CheckKey]]]:
    """Of each window what pages, what could be made and what was asked: each a part of the next."""
    found = []
    for _ in range(draw(st.integers(0, 15))):
        asked = draw(st.sets(st.sampled_from(KEYS)))
        made = draw(st.sets(st.sampled_from(sorted(asked)))) if asked else set()
        paging = draw(st.sets(st.sampled_from(sorted(made)))) if made else set()
        found.append((paging, made, asked))
    return found


@given(answers(), st.integers(1, 3))
@settings(max_examples=300, deadline=None)
def test_an_alert_ends_when_all_that_opened_it_and_is_still_asked_answers(
    windows: list[tuple[set[CheckKey], set[CheckKey], set[CheckKey]]], needed: int
) -> None:
    state, happened = State(), []
    opened: set[CheckKey] | None = None
    expected, good = [], 0
    for day, (paging, made, asked) in enumerate(windows):
        taken = step(State.from_dict(state.to_dict()), answered(day, paging, made, asked, Rule(1, needed)))
        state = taken.state
        happened += [(day, event.kind) for event in taken.events]
        if paging:
            good = 0
            expected += [(day, "firing")] if opened is None else []
            opened = paging if opened is None else opened
        elif opened is not None and made and not {key for key in opened if key in asked and key not in made}:
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
        taken = step(state, result(day, "bad", severity=severity, rule=Rule(retrain_for=2)))
        state = taken.state
        proposed += [day] if taken.proposes else []
    assert proposed == [1, 4]


def test_a_retraining_is_proposed_by_bad_windows_in_a_row() -> None:
    state, proposed = State(), []
    for day, verdict in enumerate(["bad", "bad", "good", "bad", "none", "bad", "bad"]):
        taken = step(state, result(day, verdict, rule=Rule(retrain_for=2)))
        state = taken.state
        proposed += [day] if taken.proposes else []
    assert proposed == [1, 5, 6]


@given(st.text("bgn", max_size=40), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=300, deadline=None)
def test_step_by_step_and_folded_whole_are_the_same(verdicts: str, bad: int, good: int) -> None:
    rule = Rule(bad, good)
    names = {"b": "bad", "g": "good", "n": "none"}
    results = [result(day, names[letter], rule=rule) for day, letter in enumerate(verdicts)]
    state, fired, ended = State(), [], []
    for each in results:
        taken = step(state, each)
        state = taken.state
        fired += [event.first_window for event in taken.events if event.kind == "firing"]
        ended += [event.first_window for event in taken.events if event.kind == "resolved"]
    history = fold(reversed(results))
    assert history.state == state
    assert [incident.first_window for incident in history.incidents] == fired
    assert [incident.first_window for incident in history.incidents if incident.resolved] == ended


def known(results: list[Result]) -> list[StoredAlert]:
    far = datetime.max.replace(tzinfo=UTC)
    return [
        StoredAlert(
            each.first_window,
            each.opened_as_of,
            each.first_window,
            each.resolved.as_of if each.resolved else far,
            "resolved" if each.resolved else "firing",
            each.severity,
        )
        for each in fold(results).incidents
    ]


def test_another_look_that_finds_the_window_healthy_retracts_the_alert() -> None:
    before = [result(0, "good"), result(1, "bad"), result(2, "good")]
    after = [before[0], result(1, "good", look=6, late=5), before[2]]
    changes = reconcile(known(before), fold(after).incidents)
    assert [(old is not None, incident, events) for old, incident, events in changes] == [(True, None, ("retracted",))]


def test_another_look_that_moves_the_beginning_keeps_the_alert() -> None:
    before = [result(0, "good"), result(1, "bad"), result(2, "bad")]
    after = [result(0, "bad", look=6, late=5), before[1], before[2]]
    [(old, incident, changes)] = reconcile(known(before), fold(after).incidents)
    assert old is not None
    assert incident is not None
    assert (old.since, incident.since, changes) == (START + DAY, START, ())


def test_another_look_that_finds_less_harm_downgrades() -> None:
    before = [result(0, "bad", severity="critical")]
    changes = reconcile(known(before), fold([result(0, "bad", look=6)]).incidents)
    assert [events for _, _, events in changes] == [("downgraded",)]


def estimated(day: int, z: float, beyond: float | None = None, *, length: int = 1) -> Result:
    """A window in which nothing pages by itself, with an estimate."""
    return replace(
        result(day, "good", length=length),
        estimate=EstimatedLoss("estimated_roc_auc", z, z - 1 if beyond is None else beyond),
    )


def fired(results: list[Result]) -> list[tuple[int, str]]:
    state, found = State(), []
    for place, each in enumerate(results):
        taken = step(State.from_dict(json.loads(json.dumps(state.to_dict()))), each)
        state = taken.state
        found += [(place, event.kind) for event in taken.events]
    return found


def test_three_doubtful_windows_are_one_certain_page() -> None:
    healthy = [0.3, -0.8, 1.1, -0.2, 0.5, -1.4, 0.1, 0.9, -0.6, 0.2]
    losing = [2.1, 2.2, 2.3, 2.1]
    history = [estimated(day, z) for day, z in enumerate(healthy + losing)]
    assert fired(history) == [(12, "firing")]
    (incident,) = fold(history).incidents
    assert "worse in the last 3 windows" in fold(history[:13]).state.summary
    assert (incident.severity, incident.since) == ("warning", START + 12 * DAY)
    # Two of them, or three within the harm that counts, are not.
    assert fired(history[:12]) == []
    assert fired([estimated(day, z, -0.5) for day, z in enumerate(healthy + losing)]) == []


def test_evidence_of_a_loss_ends_with_healthy_windows_and_counts_overlapping_ones_once() -> None:
    losing = [estimated(day, 2.5) for day in range(6)]
    healthy = [estimated(day, -0.5) for day in range(6, 20)]
    assert [kind for _, kind in fired(losing + healthy)] == ["firing", "resolved"]
    # The same rows are seen by each of three windows that overlap.
    assert fired([estimated(day, 2.2, length=3) for day in range(6)]) == []


def test_estimates_that_vary_more_than_they_say_need_more_evidence() -> None:
    noisy = [2.6, -2.4, 0.2, 2.2, -2.7, -0.3, 2.5, -2.5, 0.1, -2.2, 2.4, -2.6]
    losing = [2.1, 2.2, 2.3]
    assert fired([estimated(day, z) for day, z in enumerate(noisy + losing)]) == []
    assert fired([estimated(day, z) for day, z in enumerate(noisy + losing * 3)]) != []


@given(st.lists(st.floats(-4, 4), max_size=60))
def test_the_state_of_an_estimate_is_bounded_and_survives_being_stored(values: list[float]) -> None:
    state = State()
    for day, z in enumerate(values):
        state = step(State.from_dict(json.loads(json.dumps(state.to_dict()))), estimated(day, z)).state
        assert 0 <= state.weighed.evidence <= 2 * np.log(100) + 1e-9


def test_a_model_as_good_as_ever_hardly_ever_pages_by_evidence() -> None:
    random = np.random.default_rng(3)
    # The harm that counts is one standard error: estimates are beyond it in one of six windows.
    z = random.normal(size=4_000)
    pages = sum(kind == "firing" for _, kind in fired([estimated(day, each) for day, each in enumerate(z)]))
    assert pages / len(z) < 1 / 200
