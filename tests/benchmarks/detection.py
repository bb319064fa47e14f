"""What detection is measured on: the sets of ../shared/data, clean windows drawn from their references, and corrupted ones. No product code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from monitor import Columns, Reference

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SETS = {
    "bike_sharing": "regression",
    "california_housing": "binary",
    "car_loan": "binary",
    "hotel_bookings": "binary",
    "beijing_pm25": "regression",
    "diabetes_readmission": "binary",
}
SIZES = (500, 1_000, 5_000)
Random = np.random.Generator


def columns_of(name: str) -> Columns:
    probability = "probability" if SETS[name] == "binary" else None
    return Columns(prediction="prediction", probability=probability, label="label", event_time="event_time", id="id")


@lru_cache(maxsize=4)
def halves(name: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The reference's rows in two halves: one to fit, one to draw windows from."""
    frame = pd.read_parquet(DATA / name / "reference.parquet")
    order = np.random.default_rng(seed).permutation(len(frame))
    half = len(frame) // 2
    return tuple(frame.iloc[np.sort(part)].reset_index(drop=True) for part in (order[:half], order[half:]))  # type: ignore[return-value]


@lru_cache(maxsize=4)
def fitted(name: str, seed: int) -> Reference:
    return Reference.fit(halves(name, seed)[0], columns_of(name), SETS[name])


def window(name: str, seed: int, size: int, number: int) -> pd.DataFrame | None:
    """A clean window, no row twice; None where the half holds fewer."""
    rest = halves(name, seed)[1]
    if len(rest) < size:
        return None
    chosen = np.random.default_rng([seed, size, number]).permutation(len(rest))[:size]
    return rest.iloc[np.sort(chosen)].reset_index(drop=True)


@dataclass(frozen=True)
class Corruption:
    """A fault in one column: what it does to the affected rows. sort: of which columns; numerical, categorical or both."""

    name: str
    sort: str
    apply: Callable[[pd.DataFrame, str, np.ndarray, Random], pd.DataFrame]


def _set(frame: pd.DataFrame, column: str, rows: np.ndarray, values: object) -> pd.DataFrame:
    result = frame.copy()
    changed = result[column].astype(object if result[column].dtype.kind not in "fiu" else float).copy()
    changed[rows] = values
    result[column] = changed
    return result


def _other_rows(frame: pd.DataFrame, column: str, rows: np.ndarray, random: Random) -> pd.DataFrame:
    """More of those whose value is high: the affected rows are replaced by copies of rows of the top quarter."""
    values = pd.factorize(frame[column], sort=True)[0] if frame[column].dtype.kind not in "fiu" else frame[column]
    top = np.flatnonzero(np.asarray(values) >= np.nanquantile(np.asarray(values, dtype=float), 0.75))
    taken = np.arange(len(frame))
    taken[rows] = random.choice(top, rows.sum())
    return frame.iloc[taken].reset_index(drop=True)


def _swap(frame: pd.DataFrame, column: str, rows: np.ndarray, _: Random) -> pd.DataFrame:
    first, second = frame[column].value_counts().index[:2]
    values = frame.loc[rows, column]
    return _set(
        frame, column, rows, values.where(~values.isin([first, second]), values.map({first: second, second: first}))
    )


CORRUPTIONS = [
    Corruption("mean shift", "numerical", lambda f, c, r, g: _set(f, c, r, f.loc[r, c] + f[c].std())),
    Corruption("scale", "numerical", lambda f, c, r, g: _set(f, c, r, (f.loc[r, c] - f[c].mean()) * 2 + f[c].mean())),
    Corruption("unit x100", "numerical", lambda f, c, r, g: _set(f, c, r, f.loc[r, c] * 100)),
    Corruption("rounding", "numerical", lambda f, c, r, g: _set(f, c, r, f.loc[r, c].round(-int(np.floor(np.log10(f[c].std() + 1e-12)))))),
    Corruption("placeholder", "numerical", lambda f, c, r, g: _set(f, c, r, -999.0)),
    Corruption("missing", "both", lambda f, c, r, g: _set(f, c, r, None)),
    Corruption("stuck", "both", lambda f, c, r, g: _set(f, c, r, f[c].dropna().iloc[0])),
    Corruption("correlation break", "both", lambda f, c, r, g: _set(f, c, r, g.permutation(f.loc[r, c].to_numpy()))),
    Corruption("subpopulation", "both", _other_rows),
    Corruption("new category", "categorical", lambda f, c, r, g: _set(f, c, r, "never seen")),
    Corruption("category swap", "categorical", _swap),
]  # fmt: skip


def corrupted(name: str, seed: int, size: int, rounds: int) -> Iterator[tuple[str, float, str, pd.DataFrame]]:
    """Windows with a fault: its name, the share of rows, the column, the frame."""
    features = [column for column in halves(name, seed)[0] if column not in columns_of(name).parts]
    for number in range(rounds):
        for index, each in enumerate(CORRUPTIONS):
            for share in (0.05, 0.2, 0.5):
                random = np.random.default_rng([seed, size, number, index, int(share * 100)])
                clean = window(name, seed, size, int(random.integers(1_000_000)))
                if clean is None:
                    return
                fitting = [
                    column for column in features
                    if clean[column].nunique() > 1 and each.sort in ("both", "numerical" if clean[column].dtype.kind in "fiu" else "categorical")
                ]  # fmt: skip
                if fitting:
                    column = str(random.choice(fitting))
                    rows = random.random(size) < share
                    if rows.any():
                        yield each.name, share, column, each.apply(clean, column, rows, random)
