"""Whether a retraining helped follows from the windows before and after, in their order."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.domain import phrases
from monitor.domain.recovery import FEWEST_WINDOWS, Recovery, WindowValue, gain_of, judged


def windows(values: list[float], error: float = 1.0) -> list[WindowValue]:
    return [WindowValue(value, error) for value in values]


BEFORE = windows([100.0, 104, 98, 101, 97])


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        ([60.0, 62, 58, 61], Recovery.RECOVERED),
        ([99.0, 101, 98, 100], Recovery.NO_GAIN),
        ([130.0, 128, 131, 129], Recovery.WORSE),
        ([60.0, 62], Recovery.RECOVERING),
        ([60.0, 140, 30, 120], Recovery.RECOVERING),
    ],
)
def test_a_gain_is_judged_by_its_interval_and_by_what_was_promised(after: list[float], verdict: Recovery) -> None:
    gain = judged("mae", BEFORE, windows(after), 40.0)
    assert gain is not None
    settled = gain.verdict if gain.windows >= FEWEST_WINDOWS else Recovery.RECOVERING
    assert settled is verdict


def test_what_is_still_undecided_after_many_windows_is_no_gain() -> None:
    random = np.random.default_rng(0)
    gain = judged("mae", BEFORE, windows(list(random.normal(85, 60, 30))), 40.0)
    assert gain is not None
    assert gain.verdict is not Recovery.RECOVERING


def test_a_receipt_does_not_depend_on_how_many_windows_are_evaluated_at_once() -> None:
    after = windows([80.0, 95, 70, 60, 62, 58, 61, 57])
    one_by_one = []
    for number in range(1, len(after) + 1):
        gain = judged("mae", BEFORE, after[:number], 40.0)
        assert gain is not None
        one_by_one.append(gain)
        if gain.windows >= FEWEST_WINDOWS and gain.verdict is not Recovery.RECOVERING:
            break
    assert judged("mae", BEFORE, after, 40.0) == one_by_one[-1]


def test_better_is_up_where_higher_is_better() -> None:
    gain = gain_of("roc_auc", windows([0.7] * 4, 0.01), windows([0.8] * 4, 0.01), 0.12)
    assert gain is not None
    assert gain.got == pytest.approx(0.1)
    assert gain.verdict is Recovery.RECOVERED


def test_what_is_not_known_is_said() -> None:
    text = phrases.receipt("mae", (40.0, 3.0, -2.0, 8.0, 4), "2", 0.0, is_live=True)
    assert text == "promised 40 better MAE; got 3 better (-2 to 8) in 4 windows; version 2 answers 0% of the rows"
    assert "it is not known whether version 2 is live" in phrases.receipt("mae", None, "2", None, is_live=None)
