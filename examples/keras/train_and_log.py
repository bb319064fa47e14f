"""Train a small Keras network that says what energy a cold store needs, log a Parquet file a day, and freeze a sensor.

Writes validation.parquet (hours that the network was validated on), log/day=2026-…/hours.parquet (eight weeks of
production) and meter.csv (what the meter showed, read the day after).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
try:
    import keras
    import tensorflow as tf  # noqa: F401 - Keras' backend
except ImportError:
    raise SystemExit("this example needs TensorFlow with Keras: pip install tensorflow-cpu (or tensorflow)") from None

FEATURES = ["outside_temperature", "goods_t", "door_minutes", "hour"]
STORES, START, DAYS = 12, pd.Timestamp("2026-03-02"), 56
SENSOR_FREEZES = pd.Timestamp("2026-04-07 05:00")


def hours(begin: pd.Timestamp, days: int, random: np.random.Generator) -> pd.DataFrame:
    """Each hour of each cold store, with the energy that it needed in kWh."""
    times = pd.date_range(begin, periods=24 * days, freq="h").repeat(STORES)
    count, hour = len(times), times.hour.to_numpy()
    weather = np.repeat(random.normal(12, 5, 24 * days // 6), 6 * STORES)
    rows = pd.DataFrame({"timestamp": times})
    rows["outside_temperature"] = (weather + 5 * np.sin((hour - 9) * np.pi / 12) + random.normal(0, 1, count)).round(1)
    rows["goods_t"] = random.gamma(4, 10, count).round(1)
    rows["door_minutes"] = random.poisson(2 + 8 * ((hour > 5) & (hour < 18)), count)
    rows["hour"] = hour
    heat = np.maximum(rows["outside_temperature"] + 5, 0) * (1 + rows["door_minutes"] / 20)
    rows["energy_kwh"] = (20 + 1.8 * heat + 0.2 * rows["goods_t"] + random.normal(0, 3, count)).round(1)
    return rows


def trained(rows: pd.DataFrame) -> keras.Model:
    normalise = keras.layers.Normalization()
    normalise.adapt(rows[FEATURES].to_numpy(dtype="float32"))
    model = keras.Sequential(
        [normalise, keras.layers.Dense(32, "relu"), keras.layers.Dense(16, "relu"), keras.layers.Dense(1)]
    )
    model.compile("adam", "mae")
    model.fit(rows[FEATURES].to_numpy(dtype="float32"), rows["energy_kwh"], batch_size=64, epochs=12, verbose=0)
    return model


def predicted(model: keras.Model, rows: pd.DataFrame) -> np.ndarray:
    return model.predict(rows[FEATURES].to_numpy(dtype="float32"), batch_size=1024, verbose=0)[:, 0].round(1)


def main() -> None:
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    train, validation = (hours(START - pd.Timedelta(days=days), 28, random) for days in (56, 28))
    model = trained(train)
    validation.assign(predicted_kwh=predicted(model, validation)).to_parquet("validation.parquet", index=False)

    log = hours(START, DAYS, random)
    log.insert(0, "reading_id", [f"r{number:06}" for number in range(len(log))])
    frozen = log["timestamp"] >= SENSOR_FREEZES
    log.loc[frozen, "outside_temperature"] = log.loc[frozen, "outside_temperature"].iloc[0]
    log["predicted_kwh"] = predicted(model, log)
    for day, rows in log.drop(columns="energy_kwh").groupby(log["timestamp"].dt.date):
        folder = Path("log", f"day={day}")
        folder.mkdir(parents=True, exist_ok=True)
        rows.to_parquet(folder / "hours.parquet", index=False)
    meter = log[["reading_id", "energy_kwh"]].assign(
        read_at=log["timestamp"].dt.normalize() + pd.Timedelta(days=1, hours=9)
    )
    meter.to_csv("meter.csv", index=False)
    print(f"{len(validation)} rows in validation.parquet, {len(log)} in log and meter.csv")
    print(f"from {SENSOR_FREEZES:%d %B %H:%M} on, outside_temperature stays what it was")


if __name__ == "__main__":
    main()
