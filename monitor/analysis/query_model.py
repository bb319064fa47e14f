"""A model of a query's metrics, for rankings whose labels have not come yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from monitor.analysis.estimation import GradientBoosting
from monitor.analysis.ranking import in_order, positions

Floats = np.ndarray
# The scores of so many items at the top are inputs.
_TOP_SCORES = 5
# From fewer labelled queries no model is fitted.
_FEWEST_QUERIES = 100


def inputs_of(encoded: Floats, score: Floats, query: Floats) -> tuple[Floats, Floats]:
    """What the model of a query's metrics is given: the codes of the queries, shape (queries,), and their inputs, shape
    (queries, inputs): the number of items, the mean of each feature, and the scores' mean, spread and largest values.

    encoded: features as numbers, shape (rows, features); NaN where missing.
    """
    codes, place, lengths = np.unique(query, return_inverse=True, return_counts=True)
    present = np.isfinite(encoded)
    sums = np.zeros((len(codes), encoded.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, place, np.where(present, encoded, 0.0))
    np.add.at(counts, place, present)
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    middle = np.bincount(place, score) / lengths
    spread = np.sqrt(np.bincount(place, (score - middle[place]) ** 2) / lengths)
    order = in_order(place, score)
    position = positions(place, order)
    top = np.full((len(codes), _TOP_SCORES), np.nan)
    inside = position <= _TOP_SCORES
    top[place[order][inside], position[inside] - 1] = score[order][inside]
    return codes, np.column_stack([lengths, middle, spread, top, means])


@dataclass(frozen=True)
class QueryModel:
    """Models of a query's metrics, learned from the reference's labelled queries. noise: the variance that a query's
    own value has about its prediction, by metric.
    """

    models: Mapping[str, GradientBoosting]
    noise: Mapping[str, float]

    @classmethod
    def fit(cls, inputs: Floats, values: Mapping[str, Floats], seed: int) -> QueryModel | None:
        """None for fewer than 100 queries. inputs: shape (queries, inputs); values: by metric, shape (queries,)."""
        if len(inputs) < _FEWEST_QUERIES:
            return None
        models = {name: GradientBoosting(inputs, metric_values, seed) for name, metric_values in values.items()}
        noise = {name: float(np.var(values[name] - model.predict(inputs))) for name, model in models.items()}
        return cls(models, noise)

    def predict(self, inputs: Floats) -> dict[str, Floats]:
        """The expected metrics of queries, each of shape (queries,)."""
        return {name: np.clip(model.predict(inputs), 0.0, 1.0) for name, model in self.models.items()}
