"""Forecasts: horizons, the seasonal naive forecast that errors are scaled by, and revisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from monitor.analysis.schema import canonical_text
from monitor.domain.columns import HORIZON, TARGET, Columns

Floats = np.ndarray
# The lags, in days, among which the season of a series is looked for: an hour, a day, a week, four weeks, a year.
_LAGS = (1 / 24, 1.0, 7.0, 28.0, 364.0, 365.0)
# From fewer pairs of values the error of the naive forecast is not known.
_FEWEST_PAIRS = 20
_SECOND = 1 / 86_400
# The most series that have a scale of their own.
_MOST_SERIES = 10_000
_ALL = "all"


def series_of(frame: pd.DataFrame, columns: Columns) -> pd.Series:
    """The series of each row as text, '' where there is one series only; shape (rows,)."""
    if columns.series is None or columns.series not in frame:
        return pd.Series("", frame.index, dtype=object)
    return canonical_text(frame[columns.series]).fillna("")


def naive_errors(frame: pd.DataFrame, columns: Columns) -> dict[str, Any]:
    """The mean absolute error of the seasonal naive forecast: the value one season before. `season`: in days; `scales`:
    by series, and `all` for series that are not known. Empty where no lag has pairs of values enough.

    The season is `columns.season`, or else the lag whose naive forecast is the best: the strongest of simple rivals.
    frame: of the reference, with TARGET and the label.
    """
    if columns.label not in frame:
        return {}
    actuals = pd.DataFrame(
        {
            "series": series_of(frame, columns),
            "second": (frame[TARGET] / _SECOND).round(),
            "value": pd.to_numeric(frame[columns.label], errors="coerce"),
        }
    )
    actuals = actuals.dropna().drop_duplicates(["series", "second"])
    lags = _LAGS if columns.season_days is None else (columns.season_days,)
    by_lag = {}
    for lag in lags:
        before = actuals.assign(second=actuals["second"] + round(lag / _SECOND))
        pairs = actuals.merge(before, on=["series", "second"], suffixes=("", "_before"))
        if len(pairs) >= _FEWEST_PAIRS:
            by_lag[lag] = (pairs["value"] - pairs["value_before"]).abs().groupby(pairs["series"]).agg(["mean", "size"])
    if not by_lag:
        return {}
    pooled_by_lag = {lag: float(np.average(errors["mean"], weights=errors["size"])) for lag, errors in by_lag.items()}
    season = min(pooled_by_lag, key=lambda lag: pooled_by_lag[lag])
    errors, pooled = by_lag[season], pooled_by_lag[season]
    own = errors[(errors["size"] >= _FEWEST_PAIRS) & (errors["mean"] > 0)]["mean"].head(_MOST_SERIES)
    scales = {str(name): float(f"{value:.6g}") for name, value in own.items()}
    return {"season": season, "scales": scales, _ALL: float(f"{pooled:.6g}")} if pooled > 0 else {}


def scale_of(frame: pd.DataFrame, columns: Columns, naive: Mapping[str, Any]) -> Floats:
    """The error of the naive forecast of each row's series, shape (rows,); NaN where it is not known."""
    if _ALL not in naive:
        return np.full(len(frame), np.nan)
    return np.asarray(series_of(frame, columns).map(naive["scales"]).fillna(naive[_ALL]).to_numpy(dtype=float))


def revisions(frame: pd.DataFrame, columns: Columns) -> Floats:
    """How far each forecast is from the one that was issued before it for the same target and series, absolute; shape
    (pairs,). frame: with TARGET, the horizon and the prediction.
    """
    rows = pd.DataFrame(
        {
            "series": series_of(frame, columns),
            "target": frame[TARGET],
            "horizon": frame[HORIZON],
            "value": pd.to_numeric(frame[columns.prediction], errors="coerce"),
        }
    ).dropna()
    rows = rows.sort_values("horizon", ascending=False, kind="stable")
    differences = rows.groupby(["series", "target"], sort=False)["value"].diff().dropna()
    return np.asarray(differences.abs().to_numpy(dtype=float))
