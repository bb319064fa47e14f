"""The state of a monitor is the worst of its alerts, and never healthy where it cannot be told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.checks import Kind, Severity
from monitor.domain.monitor_state import Latest, MonitorState, OpenAlert, state_of

HEALTHY = Latest(rows=10, blind=False, checked=True)


def alert(kind: str, severity: str = "warning", *, fires: bool = True) -> OpenAlert:
    return OpenAlert(kind, Severity(severity), fires)


@pytest.mark.parametrize(
    ("alerts", "latest", "state"),
    [
        ([], HEALTHY, "healthy"),
        ([], None, "waiting"),
        ([], Latest(0, blind=False, checked=True), "no_data"),
        ([], Latest(10, blind=True, checked=True), "cannot_tell"),
        ([], Latest(10, blind=False, checked=False), "cannot_tell"),
        ([], Latest(0, blind=True, checked=True), "cannot_tell"),
        ([alert("blind")], HEALTHY, "cannot_tell"),
        ([alert("blind", fires=False)], HEALTHY, "cannot_tell"),
        ([alert("blind"), alert("drift")], HEALTHY, "warning"),
        ([alert("drift"), alert("performance", "critical")], Latest(10, blind=True, checked=False), "critical"),
        ([alert("quality", fires=False)], HEALTHY, "healthy"),
        ([alert("drift", "info")], HEALTHY, "healthy"),
        ([alert("self")], None, "warning"),
    ],
)
def test_the_worst_that_is_known_is_the_state(alerts: list[OpenAlert], latest: Latest | None, state: str) -> None:
    assert state_of(alerts, latest) == state


ALERTS = st.builds(OpenAlert, st.sampled_from([kind.value for kind in Kind]), st.sampled_from(Severity), st.booleans())
LATEST = st.builds(Latest, st.integers(0, 2), st.booleans(), st.booleans())


@given(st.lists(ALERTS, max_size=4), st.none() | LATEST)
def test_what_nobody_can_tell_is_never_healthy_and_an_alert_more_never_makes_it_better(
    alerts: list[OpenAlert], latest: Latest | None
) -> None:
    state = state_of(alerts, latest)
    blind = any(open_alert.kind == "blind" for open_alert in alerts)
    if latest is None or latest.blind or not latest.checked or not latest.rows or blind:
        assert state is not MonitorState.HEALTHY
    worst_first = list(MonitorState)
    without = [worst_first.index(state_of(alerts[:number], latest)) for number in range(len(alerts) + 1)]
    assert without == sorted(without, reverse=True)
