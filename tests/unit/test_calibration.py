"""Two-sample tests equal scipy's, and healthy windows alarm no more often than configured."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.stats._morestats import _anderson_ksamp_midrank

from monitor import Checks, Columns, Reference, evaluate
from monitor.analysis import twosample
from monitor.analysis.calibration import family_wise, independent_tests
from monitor.analysis.summary import summarise
from monitor.analysis.twosample import Bins, anderson_darling


@pytest.mark.parametrize("ties", [False, True])
def test_the_tests_are_scipys(ties: bool) -> None:
    random = np.random.default_rng(1)
    before, after = random.normal(size=180), random.normal(0.15, 1.3, 70)
    if ties:
        before, after = before.round(1), after.round(1)
    sides = [summarise(pd.Series(sample), "numerical") for sample in (before, after)]
    assert sides[0] is not None
    assert sides[1] is not None
    bins = Bins(np.unique(np.concatenate([before, after])), None)
    window, reference = (bins.counts(side)[None, :] for side in reversed(sides))
    assert np.bincount(bins.codes(pd.Series(after)), minlength=bins.number).tolist() == window[0].tolist()
    sorted_samples = [np.sort(before), np.sort(after)]
    pooled = np.sort(np.concatenate(sorted_samples))
    statistic = _anderson_ksamp_midrank(sorted_samples, pooled, np.unique(pooled), 2, np.array([180, 70]), 250)
    both = window + reference
    middle = np.cumsum(both, axis=1) - both / 2
    result = twosample._darling(window, np.cumsum(window, axis=1), both, middle)
    assert result[0] == pytest.approx(statistic, rel=1e-9)
    _, _, place, scale, *_ = (float(p_values[0]) for p_values in twosample._of_numbers(window, both))
    assert place == pytest.approx(stats.mannwhitneyu(before, after, use_continuity=False).pvalue, rel=0.02)
    # SciPy takes Mood's statistic for normal; here its skewness is known.
    assert scale == pytest.approx(stats.mood(before, after).pvalue, rel=0.2)


def test_the_tail_of_anderson_darling_joins_its_body() -> None:
    values = anderson_darling(np.array([2.4924, 3.0, 3.0001, 3.8781]))
    assert values[0] == pytest.approx(0.05, abs=0.001)
    assert values[1] == pytest.approx(values[2], rel=0.01)
    assert values[3] == pytest.approx(0.01, rel=0.02)


SHARES = {
    "two values": [0.5, 0.5],
    "a flag": [0.9, 0.1],
    "a rare flag": [0.999, 0.001],
    "three values": [0.4, 0.3, 0.3],
    "counts": [0.6, 0.25, 0.1, 0.04, 0.01],
    "many zeros": [0.7, *[0.3 / 60] * 60],
    "a usual value": [*[0.2 / 30] * 30, 0.6, *[0.2 / 30] * 30],
    "few of one kind": [0.98, 0.01, 0.005, 0.005],
    "no ties": [1 / 400] * 400,
}


@pytest.mark.parametrize("shape", SHARES)
@pytest.mark.parametrize("rows", [200, 3000])
def test_no_test_calls_honest_draws_rare_oftener_than_they_are(shape: str, rows: int) -> None:
    """Windows are drawn without replacement from 7,000 rows. The share of a test's p-values below a limit is hardly
    larger than the limit.
    """
    random = np.random.default_rng(3)
    whole = np.round(np.array(SHARES[shape]) * 7000).astype(int)
    drawn = random.multivariate_hypergeometric(whole, rows, 20_000 if len(whole) < 100 else 4_000)
    sides = drawn.astype(float), whole[None, :].astype(float)
    of_categories = [np.column_stack([side, np.zeros(len(side))]) for side in sides]
    for name, tests in (
        ("numbers", twosample._of_numbers(*sides)),
        ("categories", twosample._of_categories(*of_categories)),
    ):
        for place, p_values in enumerate(tests):
            for limit in (0.01, 0.001):
                most = stats.binom.ppf(0.999, len(p_values), 1.6 * limit)
                assert (p_values <= limit).sum() <= most, (
                    f"{name}, test {place}: {(p_values <= limit).mean()} of {limit}"
                )


def test_another_rate_is_a_look_up_and_sizes_between_are_interpolated() -> None:
    null = {
        "100": sorted(1 - (1 - np.linspace(0.0025, 0.9975, 200)) ** (1 / 10)),
        "1000": sorted(1 - (1 - np.linspace(0.0025, 0.9975, 200)) ** (1 / 20)),
    }
    rates = {rows: family_wise(1e-4, independent_tests(null, rows)) for rows in (10, 100, 300, 1000)}
    assert rates[100] == pytest.approx(10e-4, rel=0.15)
    assert rates[10] == rates[100] < rates[300] < rates[1000]


@pytest.mark.long
def test_healthy_windows_alarm_no_oftener_than_asked_for() -> None:
    """Ties, a rare flag, skewed amounts, a text column of hundreds of values, correlated columns, a small
    reference.
    """
    random = np.random.default_rng(5)
    rows = 24_000
    base = random.normal(size=rows)
    frame = pd.DataFrame({f"x{index}": base + random.normal(size=rows) * 0.3 for index in range(5)})
    frame["ties"] = random.poisson(2, rows)
    frame["flag"] = random.random(rows) < 0.01
    frame["amount"] = random.pareto(1.5, rows)
    frame["text"] = [f"t{number}" for number in random.zipf(1.4, rows)]
    frame["constant"] = 7.0
    frame["prediction"] = base
    alarms = windows = 0
    for split in range(3):
        order = np.random.default_rng(split).permutation(rows)
        reference = Reference.fit(frame.iloc[order[:3000]], Columns(prediction="prediction"), "regression", seed=split)
        for start in range(3000, rows, 400):
            evaluation = evaluate(
                reference, frame.iloc[order[start : start + 400]], checks=Checks(false_alarm_rate=0.05)
            )
            windows += 1
            alarms += evaluation.changed
    assert windows == 159
    assert alarms <= stats.binom.ppf(0.999, windows, 0.05)
    assert alarms >= 1  # the checks do alarm


def test_what_varies_in_healthy_production_counts_as_normal() -> None:
    """Days differ in the mean of one column by up to a fifth of its spread. That is normal variation; a larger step is
    still a fault.
    """
    random = np.random.default_rng(3)

    def days(number: int) -> pd.DataFrame:
        steps = np.repeat(random.normal(0, 0.2, number), 200)
        frame = pd.DataFrame(
            {"warm": random.normal(size=200 * number) + steps, "calm": random.normal(size=200 * number)}
        )
        return frame.assign(prediction=frame["calm"])

    columns = Columns(prediction="prediction")
    before, production, later = days(15), days(40), days(60)
    plain, calibrated = (
        Reference.fit(before, columns, "regression"),
        Reference.fit(before, columns, "regression", healthy=production),
    )
    windows = [later.iloc[start : start + 200] for start in range(0, len(later), 200)]
    alarms = [sum(evaluate(reference, window).changed for window in windows) for reference in (plain, calibrated)]
    assert alarms[0] >= 8
    assert alarms[1] <= 3
    for name, step in (("warm", 1.2), ("calm", 0.5)):
        moved = windows[0].assign(**{name: windows[0][name] + step})
        assert evaluate(calibrated, moved)["drift_score", name].verdict == "changed"
    again = Reference.from_bytes(calibrated.to_bytes())
    assert evaluate(again, windows[0]).to_json() == evaluate(calibrated, windows[0]).to_json()


def test_a_single_odd_row_of_the_reference_makes_no_test_deaf() -> None:
    random = np.random.default_rng(8)
    frame = pd.DataFrame({"flag": np.where(np.arange(4000) == 7, "odd", "even"), "x": random.normal(size=4000)}).assign(
        prediction=0.0
    )
    reference = Reference.fit(frame, Columns(prediction="prediction"), "regression")
    assert 5 < reference.independent_tests(200) < 200
