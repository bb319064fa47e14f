"""The demo's model: hourly bike rentals by scikit-learn, its production log, and what happens to both."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

FEATURES = ["hour", "weekday", "holiday", "workingday", "weather", "temperature", "feels_like", "humidity", "windspeed"]
WEATHER = ["clear", "mist", "light_rain", "heavy_rain"]
PRODUCTION = pd.Timestamp("2012-01-02")
FAULT = (pd.Timestamp("2012-02-07 06:00"), pd.Timestamp("2012-02-11 18:00"))
DECAY = pd.Timestamp("2012-03-12")
_FOLDS = 4


def rentals() -> pd.DataFrame:
    """The data set: one row an hour (see data/SOURCE.md)."""
    with resources.as_file(resources.files("monitor.demo") / "data" / "bike_sharing.parquet") as path:
        return pd.read_parquet(path)


def sensed(frame: pd.DataFrame) -> pd.DataFrame:
    """What the model receives: for some days the humidity sensor reports a fraction in place of per cent."""
    faulty = (frame["event_time"] >= FAULT[0]) & (frame["event_time"] < FAULT[1])
    return frame.assign(humidity=frame["humidity"].where(~faulty, frame["humidity"] / 100))


def inputs(frame: pd.DataFrame) -> pd.DataFrame:
    """The features as the model takes them."""
    coded = frame["weather"].map({name: index for index, name in enumerate(WEATHER)})
    return frame[FEATURES].assign(weather=coded).astype(float)


def train(frame: pd.DataFrame) -> HistGradientBoostingRegressor:
    """A model of the rentals of an hour."""
    model = HistGradientBoostingRegressor(max_iter=150, learning_rate=0.06, min_samples_leaf=20, random_state=0)
    return model.fit(inputs(frame), frame["rentals"])


def predict(model: HistGradientBoostingRegressor, frame: pd.DataFrame) -> np.ndarray:
    """Rentals to expect, shape (rows,)."""
    predictions: np.ndarray = model.predict(inputs(frame)).clip(0).round(1)
    return predictions


def validated(frame: pd.DataFrame, received: pd.DataFrame | None = None) -> pd.DataFrame:
    """Each row with the prediction of a model that has not seen its three days. received: the same rows as the model
    received them, if they were not right.
    """
    received = frame if received is None else received
    block = (frame["event_time"] - pd.Timestamp("2011-01-03")).dt.days // 3 % _FOLDS
    predictions = pd.Series(0.0, frame.index)
    for fold in range(_FOLDS):
        predictions[block == fold] = predict(train(frame[block != fold]), received[block == fold])
    return received.assign(prediction=predictions).rename(columns={"rentals": "label"})


def log_predictions(folder: Path, version: str, model: HistGradientBoostingRegressor, start: pd.Timestamp) -> None:
    """What a model server logs from `start` on: one file a week."""
    frame = rentals()
    frame = sensed(frame[frame["event_time"] >= start])
    log = frame.drop(columns="rentals").assign(prediction=predict(model, frame), model_version=version)
    folder.mkdir(parents=True, exist_ok=True)
    for week, part in log.groupby(log["event_time"].dt.to_period("W").dt.start_time):
        part.to_parquet(folder / f"{week:%Y-%m-%d}.parquet", index=False)


def log_labels(path: Path) -> None:
    """The truth, a day and a half to two and a half days late, as the billing system knows it."""
    frame = rentals()
    frame = frame[frame["event_time"] >= PRODUCTION]
    late = pd.to_timedelta(np.random.default_rng(0).integers(36 * 3600, 60 * 3600, len(frame)), unit="s")
    labels = frame[["id", "rentals"]].assign(label_time=frame["event_time"] + late)
    labels.rename(columns={"rentals": "label"}).to_parquet(path, index=False)
