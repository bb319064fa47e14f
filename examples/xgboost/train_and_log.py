"""Train XGBoost to say which parcels come late, log its predictions to Parquet, and hire a carrier that it never saw.

Writes validation.parquet (parcels that the model was validated on), predictions.parquet (eight weeks of production) and
deliveries.parquet (whether each parcel came late, known once it is delivered).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

try:
    from xgboost import XGBClassifier
except ImportError:
    raise SystemExit("this example needs XGBoost: pip install xgboost-cpu (or xgboost)") from None

LATENESS = {"Nordpost": -2.2, "Swift": -1.0, "Kurier": 0.2}  # log odds, beside those of the parcel
NEW_CARRIER, ITS_LATENESS, ITS_SHARE = "Parcelbird", 1.0, 0.4
START, DAYS, PARCELS_A_DAY = pd.Timestamp("2026-01-05"), 56, 200
IT_BEGINS = pd.Timestamp("2026-02-10")
FEATURES = ["carrier", "distance_km", "weight_kg", "pickup_hour", "is_express"]


def parcels(count: int, random: np.random.Generator) -> pd.DataFrame:
    """Parcels of the three carriers of old."""
    return pd.DataFrame(
        {
            "carrier": random.choice(list(LATENESS), count, p=[0.5, 0.3, 0.2]),
            "distance_km": random.gamma(2.0, 150.0, count).round(1),
            "weight_kg": random.lognormal(0.5, 0.8, count).round(2),
            "pickup_hour": random.integers(8, 19, count),
            "is_express": random.random(count) < 0.25,
        }
    )


def lateness(parcel: pd.DataFrame, random: np.random.Generator) -> pd.Series:
    """Which parcels come late: those of poor carriers, from afar, or picked up in the evening; of the new carrier
    any.
    """
    carrier_odds = parcel["carrier"].map(LATENESS)
    odds = (
        carrier_odds + parcel["distance_km"] / 100 + 1.5 * (parcel["pickup_hour"] > 16) - 2.5 * parcel["is_express"] - 2
    )
    odds = odds.where(parcel["carrier"] != NEW_CARRIER, ITS_LATENESS)
    return (random.random(len(parcel)) < 1 / (1 + np.exp(-odds))).astype(int)


def inputs(parcel: pd.DataFrame) -> pd.DataFrame:
    """What the model reads; a carrier that it was not trained on is a missing value to it."""
    carrier = parcel["carrier"].where(parcel["carrier"].isin(LATENESS))
    return parcel[FEATURES].assign(carrier=pd.Categorical(carrier, categories=list(LATENESS)))


def main() -> None:
    random = np.random.default_rng(1)
    train, validation = parcels(8000, random), parcels(4000, random)
    model = XGBClassifier(n_estimators=60, max_depth=4, learning_rate=0.15, enable_categorical=True, random_state=0)
    model.fit(inputs(train), lateness(train, random))
    validation["probability"] = model.predict_proba(inputs(validation))[:, 1]
    validation.assign(late=lateness(validation, random)).to_parquet("validation.parquet", index=False)

    count = DAYS * PARCELS_A_DAY
    parcel = parcels(count, random)
    seconds = np.sort(random.integers(0, DAYS * 86400, count))
    parcel.insert(0, "parcel_id", [f"P{number:06}" for number in range(count)])
    parcel.insert(1, "shipped_at", START + pd.to_timedelta(seconds, unit="s"))
    is_new = (parcel["shipped_at"] >= IT_BEGINS) & (random.random(count) < ITS_SHARE)
    parcel.loc[is_new, "carrier"] = NEW_CARRIER
    parcel["probability"] = model.predict_proba(inputs(parcel))[:, 1]
    parcel.to_parquet("predictions.parquet", index=False)

    delivered = parcel["shipped_at"] + pd.to_timedelta(random.integers(24, 120, count), unit="h")
    deliveries = pd.DataFrame(
        {"parcel_id": parcel["parcel_id"], "late": lateness(parcel, random), "delivered_at": delivered}
    )
    deliveries.to_parquet("deliveries.parquet", index=False)
    print(f"{len(validation)} rows in validation.parquet, {count} in predictions.parquet and deliveries.parquet")
    print(f"from {IT_BEGINS:%d %B} on, {is_new.sum()} parcels go by {NEW_CARRIER}, which the model never saw")


if __name__ == "__main__":
    main()
