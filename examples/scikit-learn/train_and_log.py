"""Train a regression on scikit-learn's diabetes data, log its predictions to CSV, and let the laboratory change a unit.

Writes validation.csv (patients with their outcome and cross-validated predictions), predictions.csv (eight weeks of
production) and outcomes.csv (what became of the patients, two weeks after each visit).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

NAMES = {
    "bp": "blood_pressure",
    "s1": "cholesterol",
    "s2": "ldl",
    "s3": "hdl",
    "s4": "cholesterol_ratio",
    "s5": "log_triglycerides",
    "s6": "glucose",
}
# Decimals of what is measured, as the laboratory writes it.
DECIMALS = {
    "bmi": 1,
    "blood_pressure": 0,
    "cholesterol": 0,
    "ldl": 1,
    "hdl": 0,
    "cholesterol_ratio": 2,
    "log_triglycerides": 4,
    "glucose": 0,
}
START, DAYS, VISITS_A_DAY = pd.Timestamp("2026-01-05"), 56, 100
UNIT_CHANGES = pd.Timestamp("2026-02-03 08:00")
OUTCOME_AFTER = pd.Timedelta(days=14)


def patients() -> pd.DataFrame:
    """442 patients, measured in the laboratory's units, and how far the disease progressed."""
    data = load_diabetes(as_frame=True, scaled=False)
    measured = data.data.rename(columns=NAMES).astype({"sex": int}).round(DECIMALS)
    return measured.assign(progression=data.target)


def visits(people: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Eight weeks of visits: people like these, with the small errors of a laboratory."""
    count = DAYS * VISITS_A_DAY
    visit = people.sample(count, replace=True, random_state=random).reset_index(drop=True)
    for name, decimals in DECIMALS.items():
        visit[name] = (visit[name] * random.normal(1, 0.02, count)).round(decimals)
    seconds = np.sort(random.integers(0, DAYS * 86400, count))
    visit.insert(0, "visit_id", [f"v{number:05}" for number in range(count)])
    visit.insert(1, "visited_at", START + pd.to_timedelta(seconds, unit="s"))
    return visit


def main() -> None:
    random = np.random.default_rng(0)
    people = patients()
    features = [name for name in people.columns if name != "progression"]
    model = make_pipeline(StandardScaler(), LinearRegression())
    predicted = cross_val_predict(model, people[features], people["progression"], cv=10)
    model.fit(people[features], people["progression"])
    people.assign(predicted_progression=predicted.round(1)).to_csv("validation.csv", index=False)

    visit = visits(people, random)
    visit.loc[visit["visited_at"] >= UNIT_CHANGES, "cholesterol"] /= 100
    predictions = visit.assign(predicted_progression=model.predict(visit[features]).round(1))
    predictions.drop(columns="progression").to_csv("predictions.csv", index=False)
    outcomes = visit[["visit_id", "progression"]].assign(known_at=visit["visited_at"] + OUTCOME_AFTER)
    outcomes.to_csv("outcomes.csv", index=False)
    print(f"{len(people)} rows in validation.csv, {len(visit)} in predictions.csv and outcomes.csv")
    print(f"from {UNIT_CHANGES:%d %B %H:%M} on, cholesterol comes in g/L instead of mg/dL")


if __name__ == "__main__":
    main()
