"""Evidently's own statistical tests, for the methods of which there is no quicker form."""

from __future__ import annotations

import numpy as np
import pandas as pd
from evidently.legacy.calculations.stattests import registry
from evidently.legacy.core import ColumnType

from monitor.analysis.schema import Sort


def evidently_score(method: str, before: pd.Series, after: pd.Series, sort: Sort) -> float:
    """The drift score of two samples without missing values. Raises ValueError for a method that does not fit the column."""
    kind = ColumnType.Numerical if sort == "numerical" else ColumnType.Categorical
    test = registry.get_registered_stattest(method, kind)
    state = np.random.get_state()
    np.random.seed(0)  # empirical_mmd draws from the global generator
    try:
        return float(test(before, after, kind, None).drift_score)
    finally:
        np.random.set_state(state)
