"""Logs of a forecasting model: hourly demand of some shops, forecast twice a day for the next two days."""

from __future__ import annotations

import numpy as np
import pandas as pd

SHOPS = ("north", "south", "west")


def demand(start: str, days: int, seed: int) -> pd.DataFrame:
    """The actual values: a daily and a weekly season, another level for each shop."""
    random = np.random.default_rng(seed)
    times = pd.date_range(start, periods=24 * days, freq="h", tz="UTC")
    parts = []
    for number, shop in enumerate(SHOPS, 1):
        daily = np.sin((times.hour.to_numpy() - 8) / 24 * 2 * np.pi)
        weekly = np.where(times.dayofweek.to_numpy() >= 5, -0.4, 0.1)
        noise = np.convolve(random.normal(0, 0.15, len(times) + 5), np.ones(6) / 6**0.5, "valid")
        parts.append(
            pd.DataFrame({"target_time": times, "shop": shop, "actual": 50 * number * (3 + daily + weekly + noise)})
        )
    return pd.concat(parts, ignore_index=True)


def forecasts(start: str, days: int, seed: int, *, level: float = 0.0, spread: float = 1.0) -> pd.DataFrame:
    """A row each forecast, with the actual value as `label`. It is worse the longer the horizon.

    level: what the forecasts are too high by, as a share. spread: the width of the prediction intervals, 1 for 90 %.
    """
    random, parts = np.random.default_rng(seed + 1), []
    actuals = demand(start, days, seed)
    scale = actuals["shop"].map({shop: 50 * number for number, shop in enumerate(SHOPS, 1)})
    for issue_hour in (0, 12):
        for ahead in (6, 12, 24, 48):
            issued = actuals["target_time"] - pd.Timedelta(hours=ahead)
            error = scale * random.normal(0, 0.1 + 0.004 * ahead, len(actuals))
            parts.append(
                actuals.assign(
                    issued_at=issued,
                    prediction=actuals["actual"] * (1 + level) + error,
                    low=actuals["actual"] * (1 + level) + error - 1.645 * spread * scale * (0.1 + 0.004 * ahead),
                    high=actuals["actual"] * (1 + level) + error + 1.645 * spread * scale * (0.1 + 0.004 * ahead),
                    temperature=random.normal(15, 5, len(actuals)),
                ).iloc[issue_hour // 12 :: 2]
            )
    rows = pd.concat(parts, ignore_index=True).sort_values(["target_time", "shop"], kind="stable")
    return rows.rename(columns={"actual": "label"}).assign(id=np.arange(len(rows)) + seed * 10_000_000)
