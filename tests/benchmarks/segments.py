"""Windows with a planted segment in which the model is worse. No product code is used to plant them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tests.benchmarks import detection

SHARES = (0.02, 0.05, 0.10)
# A segment's share of the rows may differ from the wanted one by so much of it.
_TOLERANCE = 0.25
_TRIES = 3_000


@dataclass(frozen=True)
class Planted:
    """A window and which of its rows are the planted segment, shape (rows,)."""

    frame: pd.DataFrame
    inside: np.ndarray
    share: float
    columns: int


def _part(values: pd.Series, share: float, random: np.random.Generator) -> np.ndarray:
    """Rows of one value of a category, or of a range of numbers of about this share that begins anywhere."""
    if values.dtype.kind not in "fiu" or values.nunique() < 5:
        return np.asarray(values == random.choice(values.dropna().unique()))
    start = random.choice([0.0, 1 - share, random.random() * (1 - share)])
    low, high = np.nanquantile(values, [start, start + share])
    above = values >= low if start > 0 else values.notna()
    return np.asarray(above & ((values < high) if start + share < 1 else True))


def _segment(
    frame: pd.DataFrame, features: list[str], share: float, columns: int, random: np.random.Generator
) -> np.ndarray | None:
    for _ in range(_TRIES):
        chosen = random.choice(features, columns, replace=False)
        each = share if columns == 1 else share ** random.uniform(0.3, 0.7)
        parts = [_part(frame[chosen[0]], each, random)]
        if columns == 2:
            parts.append(_part(frame[chosen[1]], min(share / max(parts[0].mean(), share), 0.9), random))
        inside = np.logical_and.reduce(parts)
        narrower = all(part.mean() > 1.5 * inside.mean() for part in parts) if columns == 2 else True
        if abs(inside.mean() - share) <= _TOLERANCE * share and narrower:
            return inside
    return None


def harmed(frame: pd.DataFrame, inside: np.ndarray, binary: bool, random: np.random.Generator) -> pd.DataFrame:
    """The window with a segment in which half of the labels of a classifier are the other class, or the errors of a
    regression are three times as large.
    """
    label = frame["label"].astype(float).to_numpy().copy()
    if binary:
        turned = inside & (random.random(len(frame)) < 0.5)
        label[turned] = 1 - label[turned]
    else:
        prediction = frame["prediction"].to_numpy(dtype=float)
        label[inside] = prediction[inside] + 3 * (label - prediction)[inside]
    return frame.assign(label=label.astype(frame["label"].dtype) if binary else label)


def planted(name: str, split: int, size: int, rounds: int) -> Iterator[Planted]:
    """Windows of a data set with segments of each share, of one and of two columns."""
    names = detection.columns_of(name).parts
    for number in range(rounds):
        frame = detection.window(name, split, size, number)
        if frame is None:
            return
        features = [column for column in frame if column not in names and frame[column].nunique() > 1]
        for share in SHARES:
            for columns in (1, 2):
                random = np.random.default_rng([split, size, number, int(100 * share), columns])
                inside = _segment(frame, features, share, columns, random)
                if inside is not None:
                    binary = detection.SETS[name] == "binary"
                    yield Planted(harmed(frame, inside, binary, random), inside, share, columns)
