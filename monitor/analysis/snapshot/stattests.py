"""Evidently's own statistical tests, for methods without a faster implementation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from evidently.legacy.calculations.stattests import registry
from evidently.legacy.core import ColumnType
from evidently.legacy.metrics.data_drift import embedding_drift_methods

from monitor.analysis.schema import Sort


def registered(method: str, column_type: Sort) -> tuple[registry.StatTest, ColumnType]:
    """Evidently's test of that name for columns of a type, and Evidently's name of the type. Raises ValueError if there
    is none.
    """
    kind = ColumnType.Numerical if column_type in ("numerical", "time") else ColumnType.Categorical
    return registry.get_registered_stattest(method, kind), kind


def evidently_score(method: str, before: pd.Series, after: pd.Series, column_type: Sort) -> float:
    """The drift score of two samples without missing values. Raises ValueError for a method that does not fit the
    column.
    """
    test, kind = registered(method, column_type)
    state = np.random.get_state()
    np.random.seed(0)  # empirical_mmd draws from the global generator
    try:
        return float(test(before, after, kind, None).drift_score)
    finally:
        np.random.set_state(state)


def evidently_embeddings_score(before: np.ndarray, after: np.ndarray) -> float:
    """`EmbeddingsDrift` of vectors by its default method: the ROC AUC of a classifier that separates both sides. Shapes
    (rows, dimensions).
    """
    score, _, _ = embedding_drift_methods.model()(pd.DataFrame(after), pd.DataFrame(before))
    return float(score)
