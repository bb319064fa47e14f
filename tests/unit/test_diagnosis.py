"""Causes are derived from the values: each kind of fault gets its own cause, and the right column comes first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from monitor import Columns, Reference, evaluate
from monitor.analysis.relations import digits

Change = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]


def random_rows(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    age = random.gamma(6, 7, rows).round(1)
    income = (age * 600 + random.gamma(4, 6_000, rows)).round(2)
    region = np.where(
        age > 40, random.choice(["north", "south"], rows, p=[0.7, 0.3]), random.choice(["south", "west"], rows)
    )
    return pd.DataFrame(
        {
            "age": age,
            "income": income,
            "height": random.normal(170, 9, rows).round(2),
            "width": random.normal(30, 4, rows).round(3),
            "region": region,
            "plan": random.choice(["basic", "plus", "max"], rows, p=[0.6, 0.3, 0.1]),
            "prediction": income / 1_000 + age,
            "event_time": pd.Timestamp("2025-01-01") + pd.to_timedelta(np.arange(rows), unit="min"),
        }
    )


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.fit(random_rows(6_000, 0), Columns(prediction="prediction", event_time="event_time"), "regression")


def change_share(frame: pd.DataFrame, share: float, column: str, change: Callable[[pd.Series], object]) -> pd.DataFrame:
    rows = np.random.default_rng(5).random(len(frame)) < share
    result = frame.copy()
    values = result[column].astype(object) if result[column].dtype == object else result[column].copy()
    values[rows] = change(values[rows])
    return result.assign(**{column: values})


@pytest.mark.parametrize(
    ("column", "cause", "text", "change"),
    [
        ("height", "unit change", "100 times smaller", lambda f, _: f.assign(height=f["height"] / 100)),
        ("height", "unit change", "2.54 times smaller", lambda f, _: f.assign(height=f["height"] / 2.54)),
        (
            "income",
            "unit change",
            "1000 times as large",
            lambda f, _: change_share(f, 0.1, "income", lambda values: values * 1_000),
        ),
        (
            "width",
            "unit change",
            "as in degrees Fahrenheit, before as in degrees Celsius",
            lambda f, _: f.assign(width=f["width"] * 1.8 + 32),
        ),
        (
            "width",
            "unit change",
            "of the values are as in kelvin",
            lambda f, _: change_share(f, 0.1, "width", lambda values: values + 273.15),
        ),
        (
            "width",
            "placeholder value",
            "of the values are -999",
            lambda f, _: change_share(f, 0.1, "width", lambda values: -999.0),
        ),
        (
            "width",
            "stuck value",
            "the value 31.5 took",
            lambda f, _: change_share(f, 0.3, "width", lambda values: 31.5),
        ),
        ("width", "rounding", "decimals", lambda f, _: f.assign(width=f["width"].round(1))),
        ("width", "shift", "median", lambda f, _: f.assign(width=(f["width"] + 2).round(3))),
        (
            "width",
            "scale",
            "he interquartile range rose",
            lambda f, _: f.assign(width=((f["width"] - 30) * 1.6 + 30).round(3)),
        ),
        (
            "plan",
            "renamed category",
            "'max' is gone, and 'premium' is new",
            lambda f, _: f.assign(plan=f["plan"].replace("max", "premium")),
        ),
        (
            "plan",
            "category swap",
            "changed places",
            lambda f, _: f.assign(plan=f["plan"].replace({"basic": "max", "max": "basic"})),
        ),
        (
            "plan",
            "new category",
            "the reference does not have: 'gold'",
            lambda f, _: change_share(f, 0.1, "plan", lambda values: "gold"),
        ),
        (
            "plan",
            "placeholder value",
            "'unknown' is a new value",
            lambda f, _: change_share(f, 0.1, "plan", lambda values: "unknown"),
        ),
        (
            "plan",
            "stuck value",
            "the value 'plus' took",
            lambda f, _: change_share(f, 0.4, "plan", lambda values: "plus"),
        ),
        (
            "region",
            "broken relation",
            "Its correlation with",
            lambda f, g: f.assign(region=g.permutation(f["region"].to_numpy())),
        ),
    ],
)
def test_a_fault_is_called_by_its_name(
    reference: Reference, column: str, cause: str, text: str, change: Change
) -> None:
    evaluation = evaluate(reference, change(random_rows(1_500, 1), np.random.default_rng(2)))
    finding = next(finding for finding in evaluation.findings if finding.column == column and finding.cause == cause)
    assert text in finding.explanation
    assert evaluation.findings[0].column == column


def test_swapped_columns_are_told(reference: Reference) -> None:
    frame = random_rows(1_500, 1)
    findings = evaluate(reference, frame.assign(height=frame["width"], width=frame["height"])).findings
    assert {finding.column for finding in findings if finding.cause == "swapped columns"} == {"height", "width"}


def with_shops(frame: pd.DataFrame) -> pd.DataFrame:
    """Three shops of equal size, each with its own level of sales."""
    shops = np.array(["first", "second", "third"])[np.arange(len(frame)) % 3]
    levels = pd.Series(shops).map({"first": 0.0, "second": 1.5, "third": 3.0}).to_numpy()
    random = np.random.default_rng(len(frame))
    return frame.assign(shop=shops, sales=(levels + random.normal(0, 0.8, len(frame))).round(3))


def test_values_that_changed_places_are_told_where_their_shares_stay_the_same() -> None:
    fitted = Reference.fit(
        with_shops(random_rows(6_000, 0)), Columns(prediction="prediction", event_time="event_time"), "regression"
    )
    window = with_shops(random_rows(1_500, 3))
    affected = np.random.default_rng(1).random(len(window)) < 0.6
    turned = window["shop"].replace({"first": "second", "second": "first"})
    findings = evaluate(fitted, window.assign(shop=window["shop"].where(~affected, turned))).findings
    assert (findings[0].column, findings[0].cause) == ("shop", "category swap")
    assert "'first' and 'second' changed places" in findings[0].explanation
    # Random values are mixed with all others, not with one.
    random = np.random.default_rng(2).permutation(window["shop"].to_numpy())
    causes = {finding.cause for finding in evaluate(fitted, window.assign(shop=random)).findings}
    assert "broken relation" in causes
    assert "category swap" not in causes


def test_a_shift_of_many_equal_values_is_no_stuck_value() -> None:
    frame = random_rows(6_000, 0)
    random = np.random.default_rng(0)
    fines = np.where(random.random(len(frame)) < 0.6, 0.0, random.gamma(2, 20, len(frame)).round(2))
    fitted = Reference.fit(
        frame.assign(fines=fines), Columns(prediction="prediction", event_time="event_time"), "regression"
    )
    window = random_rows(1_500, 3).assign(fines=fines[:1_500])
    findings = evaluate(fitted, change_share(window, 0.3, "fines", lambda values: values + 40.0)).findings
    assert (findings[0].column, findings[0].cause) == ("fines", "shift")
    findings = evaluate(fitted, change_share(window, 0.3, "fines", lambda values: 40.0)).findings
    assert (findings[0].column, findings[0].cause) == ("fines", "stuck value")


def fitted_with(**columns: np.ndarray) -> tuple[Reference, pd.DataFrame]:
    """A reference of 6,000 rows with these columns of 8,000 rows, and a window of the other rows."""
    frame = random_rows(8_000, 0).assign(**columns)
    roles = Columns(prediction="prediction", event_time="event_time")
    return Reference.fit(frame.iloc[:6_000], roles, "regression"), frame.iloc[6_000:].reset_index(drop=True)


def first_cause(fitted: Reference, window: pd.DataFrame) -> tuple[str | None, str]:
    first = evaluate(fitted, window).findings[0]
    return first.column, first.cause


def test_of_broken_relations_the_column_with_values_in_wrong_rows_comes_first() -> None:
    random = np.random.default_rng(4)
    load = random.normal(0, 1, 8_000)
    # The pressure goes with three columns, each of which goes with it alone.
    rate, noise, heat = (strength * load + random.normal(0, 1, 8_000) for strength in (3.0, 1.2, 1.0))
    fitted, window = fitted_with(aload=load.round(3), rate=rate.round(3), noise=noise.round(3), zheat=heat.round(3))
    for broken in ("aload", "rate"):
        findings = evaluate(fitted, change_share(window, 0.4, broken, random.permutation)).findings
        relations = [finding for finding in findings if finding.metric == "relation_score"]
        assert len(relations) > 1
        assert (findings[0].column, findings[0].cause) == (broken, "broken relation")
        features = [finding for finding in relations if finding.column in fitted.features]
        assert {finding.follows for finding in features} == {broken}


def test_a_stretch_of_some_rows_is_told_from_a_shift_though_one_tail_is_bounded() -> None:
    random = np.random.default_rng(5)
    waits = random.exponential(20, 8_000).round(2)
    fitted, window = fitted_with(waits=waits, tries=random.poisson(1.5, 8_000).astype(float))
    for column in ("waits", "tries"):
        mean, deviation = window[column].mean(), window[column].std()

        def stretched(values: pd.Series, mean: float = mean) -> pd.Series:
            return (values - mean) * 2 + mean

        def shifted(values: pd.Series, deviation: float = deviation) -> pd.Series:
            return values + deviation

        assert first_cause(fitted, change_share(window, 0.2, column, stretched)) == (column, "scale")
        assert first_cause(fitted, change_share(window, 0.2, column, shifted)) == (column, "shift")


def test_a_shift_of_a_narrow_column_is_no_change_of_unit() -> None:
    random = np.random.default_rng(6)
    fitted, window = fitted_with(persons=random.normal(3, 0.2, 8_000).round(3) + (random.random(8_000) < 0.01) * 20)
    assert first_cause(fitted, change_share(window, 0.1, "persons", lambda values: values + 4.1)) == (
        "persons",
        "shift",
    )
    assert first_cause(fitted, window.assign(persons=window["persons"] * 2.54)) == ("persons", "unit change")


def test_a_moved_column_of_few_values_holds_no_placeholder() -> None:
    random = np.random.default_rng(7)
    visits = random.choice([0.0, 1.0, 2.0, 3.0], 8_000, p=[0.85, 0.09, 0.04, 0.02])
    fitted, window = fitted_with(visits=visits)
    moved = change_share(window, 0.1, "visits", lambda values: values * 2 - 0.25)
    column, cause = first_cause(fitted, moved)
    assert column == "visits"
    assert cause in ("scale", "shift")
    broken = change_share(window, 0.1, "visits", lambda values: -0.25)
    assert first_cause(fitted, broken) == ("visits", "placeholder value")


def test_a_placeholder_in_all_rows_of_a_kind_is_one(reference: Reference) -> None:
    window = random_rows(1_500, 3)
    tall = window["height"] > 170
    assert first_cause(reference, window.assign(height=window["height"].mask(tall, -999.0))) == (
        "height",
        "placeholder value",
    )


def test_a_column_of_nothing_but_a_new_value_is_named_by_it(reference: Reference) -> None:
    window = random_rows(1_500, 3)
    for column, value, cause in (("width", -999.0, "placeholder value"), ("plan", "gold", "new category")):
        findings = evaluate(reference, window.assign(**{column: value})).findings
        assert {finding.cause for finding in findings if finding.metric == "unique_count"} == {cause}
        assert (findings[0].column, findings[0].cause) == (column, cause)
    assert first_cause(reference, window.assign(width=30.0)) == ("width", "stuck value")


def test_some_rounded_numbers_are_not_stuck_at_one() -> None:
    random = np.random.default_rng(8)
    fitted, window = fitted_with(ratio=random.exponential(1.0, 8_000).round(4))
    assert first_cause(fitted, change_share(window, 0.06, "ratio", lambda values: values.round(0))) == (
        "ratio",
        "rounding",
    )


def test_two_values_that_changed_places_in_some_rows_came_nearer_to_each_other() -> None:
    random = np.random.default_rng(9)
    working = random.random(8_000) < 0.75
    trips = np.where(working, random.normal(20, 3, 8_000), random.normal(10, 3, 8_000)).round(2)
    fitted, window = fitted_with(day=np.where(working, "work", "free"), trips=trips)
    turned = change_share(window, 0.5, "day", lambda values: values.replace({"work": "free", "free": "work"}))
    assert first_cause(fitted, turned) == ("day", "category swap")
    mixed = window.assign(day=random.permutation(window["day"].to_numpy()))
    assert "category swap" not in {finding.cause for finding in evaluate(fitted, mixed).findings}
    stuck = change_share(window, 0.5, "day", lambda values: "free")
    assert first_cause(fitted, stuck) == ("day", "stuck value")


def test_new_values_in_place_of_missing_ones_come_first() -> None:
    random = np.random.default_rng(10)
    agent = np.where(random.random(8_000) < 0.9, None, random.choice(["one", "two"], 8_000))
    fitted, window = fitted_with(agent=agent)
    assert first_cause(fitted, change_share(window, 0.3, "agent", lambda values: "never seen")) == (
        "agent",
        "new category",
    )


def test_a_shift_that_predictions_follow_is_no_growing_subpopulation() -> None:
    random = np.random.default_rng(11)
    length = random.choice(np.arange(10.0, 70.0, 5.0), 8_000)
    frame = pd.DataFrame(
        {
            "length": length,
            "other": random.normal(0, 1, 8_000).round(3),
            "event_time": pd.Timestamp("2025-01-01") + pd.to_timedelta(np.arange(8_000), unit="min"),
        }
    )

    def answered(frame: pd.DataFrame) -> pd.DataFrame:
        chance = 1 / (1 + np.exp(-(frame["length"] - 40) / 10))
        return frame.assign(probability=chance, prediction=(chance > 0.5).astype(int))

    roles = Columns(prediction="prediction", probability="probability", event_time="event_time")
    fitted = Reference.fit(answered(frame.iloc[:6_000]), roles, "binary")
    window = frame.iloc[6_000:].assign(length=lambda rows: rows["length"] + 15)
    finding = next(finding for finding in evaluate(fitted, answered(window)).findings if finding.column == "length")
    assert finding.cause == "shift"


def test_a_growing_subpopulation_is_told_with_the_column_that_explains_it(reference: Reference) -> None:
    pool = random_rows(12_000, 1)
    old = pool[pool["region"] == "north"].iloc[:900]
    findings = evaluate(reference, pd.concat([old, pool.iloc[-600:]])).findings
    shifted = [finding for finding in findings if finding.cause == "subpopulation shift"]
    assert {"age", "income", "region"} <= {finding.column for finding in shifted}
    assert all("region = north" in finding.explanation for finding in shifted)
    assert next(finding for finding in findings if finding.severity == "info").column == "region"


def test_the_time_at_which_a_change_began_is_told(reference: Reference) -> None:
    frame = random_rows(1_500, 1)
    frame.loc[600:, "width"] += 5
    finding = next(
        finding
        for finding in evaluate(reference, frame).findings
        if finding.column == "width" and finding.metric == "drift_score"
    )
    began = finding.explanation.split("began at ")[1][:16]
    assert abs(pd.Timestamp(began) - frame["event_time"][600]) < pd.Timedelta("30min")
    healthy_until_now = evaluate(reference, random_rows(1_500, 1).assign(width=lambda f: f["width"] + 5)).findings
    assert not any("began" in finding.explanation for finding in healthy_until_now)


def test_causes_of_very_many_rows_are_told_from_a_part_of_them_over_the_whole_time(reference: Reference) -> None:
    window = random_rows(60_000, 3).sample(frac=1, random_state=0)  # not ordered by time
    late = window["event_time"] >= window["event_time"].min() + pd.Timedelta(minutes=45_000)
    window["width"] = window["width"].where(~late, -999.0)
    finding = next(finding for finding in evaluate(reference, window).findings if finding.metric == "drift_score")
    assert (finding.column, finding.cause, finding.origin) == ("width", "placeholder value", "pipeline")
    assert finding.share == pytest.approx(0.25, abs=0.01)
    assert abs(finding.since - pd.Timestamp("2025-01-01", tz="UTC") - pd.Timedelta(minutes=45_000)) < pd.Timedelta(
        minutes=100
    )  # type: ignore[operator]


def test_digits_are_those_that_a_number_needs() -> None:
    values = pd.Series([0.25, 4_000, 7, 0, 1 / 3, 0.1 + 0.2, -1.5, 1e300, None])
    assert digits(values)[:8].tolist() == [2, -3, 0, 0, 9, 1, 1, -6]
    assert np.isnan(digits(values)[8])


def test_a_reference_keeps_its_relations_in_the_archive(reference: Reference) -> None:
    again = Reference.from_bytes(reference.to_bytes())
    frame = random_rows(800, 3).assign(region="south")
    assert evaluate(again, frame).to_json() == evaluate(reference, frame).to_json()
