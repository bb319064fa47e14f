"""Drift of single columns: two-sample tests decide, a distance says how far."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from monitor.analysis import distance
from monitor.analysis.schema import Sort
from monitor.analysis.summary import Categories, Numbers, Summary

MIN_VALUES = 20
# Distances that do not depend on how many rows there are; the thresholds on them are ours.
DEFAULT_METHODS = {
    "numerical": "wasserstein",
    "categorical": "jensenshannon",
    "boolean": "jensenshannon",
    "time": "wasserstein",
}


def score(
    method: str, before: Summary, after: Summary, columns: Callable[[], tuple[pd.Series, pd.Series]], column_type: Sort
) -> float:
    """Evidently's drift score by one of its methods. Methods that need more than summaries call Evidently's function.

    columns: gives the values of both sides for such methods. Raises what Evidently raises for a method that does not
        fit.
    """
    if isinstance(before, Numbers) and isinstance(after, Numbers) and method in distance.NUMERICAL:
        return distance.NUMERICAL[method](before, after)
    if isinstance(before, Categories) and isinstance(after, Categories) and method in distance.CATEGORICAL:
        return distance.CATEGORICAL[method](before, after)
    from monitor.analysis.snapshot.stattests import evidently_score  # Evidently takes seconds to import

    before_values, after_values = columns()
    return evidently_score(method, before_values.dropna(), after_values.dropna(), column_type)
