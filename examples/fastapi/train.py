"""Train a model that says who will not come to an appointment: writes model.joblib and validation.jsonl."""

from __future__ import annotations

import joblib
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier

FEATURES = ["days_ahead", "age", "previous_no_shows", "reminded", "distance_km"]


def appointments(count: int, random: np.random.Generator) -> pd.DataFrame:
    """Appointments of a clinic, and whether the patient did not come."""
    rows = pd.DataFrame(
        {
            "days_ahead": random.gamma(1.5, 10, count).astype(int),
            "age": random.integers(18, 90, count),
            "previous_no_shows": random.negative_binomial(0.6, 0.35, count),
            "reminded": random.random(count) < 0.7,
            "distance_km": random.gamma(2, 6, count).round(1),
        }
    )
    odds = 0.9 * rows["previous_no_shows"] + 0.05 * rows["days_ahead"] - 1.2 * rows["reminded"] - rows["age"] / 60 - 1
    rows["no_show"] = (random.random(count) < 1 / (1 + np.exp(-odds))).astype(int)
    return rows


def main() -> None:
    random = np.random.default_rng(0)
    train, validation = appointments(8000, random), appointments(4000, random)
    model = HistGradientBoostingClassifier(max_iter=60, max_depth=4, random_state=0)
    model.fit(train[FEATURES].astype(float), train["no_show"])
    joblib.dump(model, "model.joblib")
    validation["probability"] = model.predict_proba(validation[FEATURES].astype(float))[:, 1].round(4)
    validation.to_json("validation.jsonl", orient="records", lines=True)
    print(f"{len(validation)} rows in validation.jsonl")


if __name__ == "__main__":
    main()
