"""Logs of a ranking model: searches, each with a list of items."""

from __future__ import annotations

import numpy as np
import pandas as pd


def ranking(
    queries: int, seed: int, *, broken: float = 0.0, start: str = "2026-01-01", days: float = 30
) -> pd.DataFrame:
    """A row each item of a search. `user` and `device` are of the whole search, `price`, `quality` and `match` of the
    item; the label says whether it was clicked.

    broken: the share of rows whose `quality` reached the model as 0.
    """
    random = np.random.default_rng(seed)
    lengths = random.integers(5, 25, queries)
    query = np.repeat(np.arange(queries), lengths)
    rows = len(query)
    user = np.repeat(random.normal(size=queries), lengths)
    device = np.repeat(random.choice(["app", "web", "tablet"], queries, p=[0.6, 0.3, 0.1]), lengths)
    price, (quality, match) = random.lognormal(3, 0.5, rows), random.normal(size=(2, rows))
    worth = 1.2 * quality + match - 0.4 * np.log(price) + 0.3 * user * quality + random.normal(size=rows)
    clicked = random.random(rows) < 0.5 / (1 + np.exp(2 - worth))
    seen = np.where(random.random(rows) < broken, 0.0, quality)
    times = pd.Timestamp(start, tz="UTC") + pd.to_timedelta(np.sort(random.random(queries)) * days, unit="D")
    return pd.DataFrame(
        {
            "id": np.arange(rows) + seed * 10_000_000,
            "event_time": times.repeat(lengths).round("s"),
            "search": query + seed * 1_000_000,
            "item": random.integers(0, 400, rows),
            "user": user,
            "device": device,
            "price": price,
            "quality": seen,
            "match": match,
            "prediction": 1.1 * seen + 0.9 * match - 0.35 * np.log(price),
            "label": clicked.astype(int),
        }
    )
