"""What keeps an alert from being notified: silences and other alerts that explain it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.alerting.muting import Explainers, Firing, Silence, inhibitor

NOW = datetime(2025, 1, 6, tzinfo=UTC)
KINDS = ("performance", "estimated_performance", "drift", "quality", "no_data", "no_labels", "blind", "self")


def alert(
    number: int, kind: str, monitor: str = "churn", severity: str = "warning", subject: str = "", model: str = ""
) -> Firing:
    return Firing(str(number), kind, severity, monitor, model or monitor, subject)


def test_a_silence_holds_from_its_start_until_its_end_for_what_fulfils_all_matchers() -> None:
    silence = Silence(['model="churn"', 'severity=~"warning|critical"'], NOW, NOW + timedelta(hours=1))
    labels = {"model": "churn", "severity": "warning"}
    assert silence.mutes(labels, NOW)
    assert not silence.mutes(labels, NOW + timedelta(hours=1))
    assert not silence.mutes(labels, NOW - timedelta(seconds=1))
    assert not silence.mutes(labels | {"model": "fraud"}, NOW)


def test_a_stale_source_explains_its_own_windows_alone() -> None:
    stale = alert(0, "self", subject="stale_source:churn")
    assert inhibitor(alert(1, "drift"), [stale], {}) is stale
    assert inhibitor(alert(1, "performance", severity="critical"), [stale], {}) is None
    assert inhibitor(alert(1, "drift", "fraud"), [stale], {}) is None
    assert inhibitor(alert(1, "drift"), [alert(0, "self", subject="notification:ops")], {}) is None


def test_a_warning_of_performance_explains_the_estimate_and_a_critical_one_the_drift() -> None:
    for severity, explains in (("warning", False), ("critical", True)):
        loss = alert(0, "performance", severity=severity)
        assert (inhibitor(alert(1, "drift"), [loss], {}) is loss) is explains
        assert inhibitor(alert(1, "estimated_performance", severity="critical"), [loss], {}) is loss


def test_nothing_explains_that_nobody_can_tell_and_that_explains_nothing() -> None:
    blind = alert(1, "blind")
    others = [
        alert(2, "self", subject="stale_source:churn"),
        alert(3, "performance", severity="critical"),
        alert(4, "drift", "features"),
    ]
    assert inhibitor(blind, others, {"churn": ["features"]}) is None
    assert inhibitor(alert(5, "drift"), [alert(6, "blind", "features")], {"churn": ["features"]}) is None


def test_a_loss_explains_no_fault_of_the_labels_that_it_is_told_by() -> None:
    loss, stale = alert(0, "performance", severity="critical"), alert(1, "self", subject="stale_source:churn")
    assert inhibitor(alert(2, "quality"), [loss], {}) is loss
    assert inhibitor(alert(2, "quality", subject="labels"), [loss, stale], {}) is None


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(KINDS), st.sampled_from(["a", "b", "c"]), st.sampled_from(["warning", "critical"])),
        max_size=6,
    ),
    st.dictionaries(st.sampled_from(["a", "b", "c"]), st.lists(st.sampled_from(["a", "b", "c"]), max_size=2)),
)
def test_what_explains_an_alert_is_told_itself_or_explained_by_one_that_is(
    alerts: list[tuple[str, str, str]], upstream: dict[str, list[str]]
) -> None:
    """For any dependencies between monitors: an explained alert leads to an alert that is itself notified."""
    firing = [
        alert(number, kind, monitor, severity, model="xy"[monitor == "c"])
        for number, (kind, monitor, severity) in enumerate(alerts)
    ]
    for current in firing:
        seen = {current.alert}
        while (above := inhibitor(current, firing, upstream)) is not None:
            assert above.alert not in seen
            seen.add(above.alert)
            current = above


def test_a_critical_loss_is_folded_into_what_fires_upstream_unless_it_explains_alerts_of_other_monitors() -> None:
    loss, above = alert(0, "performance", severity="critical"), alert(1, "quality", "features")
    assert inhibitor(loss, [loss, above], {"churn": ["features"]}) is above
    elsewhere = alert(2, "drift", "churn_eu", model="churn")
    assert inhibitor(loss, [loss, above, elsewhere], {"churn": ["features"]}) is None
    assert inhibitor(elsewhere, [loss, above, elsewhere], {"churn": ["features"]}) is loss
    assert inhibitor(loss, [loss, alert(3, "blind", "features")], {"churn": ["features"]}) is None


_ANY = st.builds(
    Firing,
    st.just(""),
    st.sampled_from(KINDS),
    st.sampled_from(["warning", "critical"]),
    st.sampled_from(["a", "b", "c", ""]),
    st.sampled_from(["m", "n"]),
    st.sampled_from(["", "labels", "source:a", "stale_source:b", "notification:ops"]),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(_ANY, max_size=12), st.dictionaries(st.sampled_from("abc"), st.lists(st.sampled_from("abc"), max_size=2))
)
def test_each_alert_is_held_against_few_and_explained_by_the_same(unnumbered: list[Firing], upstream: dict) -> None:
    firing = [replace(candidate, alert=str(number)) for number, candidate in enumerate(unnumbered)]
    explainers = Explainers(firing, upstream)
    for candidate in firing:
        assert explainers.of(candidate) == inhibitor(candidate, firing, upstream)
