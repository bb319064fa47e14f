"""How much worse a metric is, the limits that a harm draws, and what a loss pages as."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.checks import Harm, Severity
from monitor.domain.losses import harm_limits, loss, reference_of, severity_of_loss

HARMS = st.one_of(st.builds(Harm, st.floats(0.001, 10)), st.builds(Harm, st.floats(0.001, 0.9), relative=st.just(True)))


@given(st.sampled_from(["roc_auc", "mae", "r2_score", "rmse", "mean_error"]), st.floats(-50, 50), HARMS)
def test_the_reference_is_read_off_the_limits_that_were_drawn_by_it(metric: str, value: float, harm: Harm) -> None:
    limits = harm_limits(metric, value, harm.absolute(value))
    expected = abs(value) if metric == "mean_error" else value
    assert reference_of(metric, limits, harm) == pytest.approx(expected, abs=1e-9)


def test_no_limit_tells_no_reference() -> None:
    assert reference_of("roc_auc", (None, 0.9), Harm(0.02)) is None
    assert reference_of("mae", (3.0, None), Harm(0.02)) is None


def test_a_loss_pages_by_what_it_certainly_is() -> None:
    assert loss("mae", 10, 14) == 4
    assert severity_of_loss(lost=4, reach=2, limit=1) is Severity.CRITICAL
    assert severity_of_loss(lost=4, reach=3.5, limit=1) is Severity.WARNING
    assert severity_of_loss(lost=4, reach=5, limit=1) is Severity.INFO
    assert severity_of_loss(lost=4, reach=0, limit=4) is Severity.INFO


@pytest.mark.parametrize("text", ["10%", "0.02", "12.5%"])
def test_a_harm_is_written_as_it_is_read(text: str) -> None:
    assert str(Harm.of(text)) == text
