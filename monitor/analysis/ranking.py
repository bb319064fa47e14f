"""Rankings: the order of a query's items, and the metrics of each query."""

from __future__ import annotations

import numpy as np
import pandas as pd

from monitor.analysis.schema import canonical_text
from monitor.domain.columns import Columns
from monitor.domain.metrics import RANKING_METRICS

Floats = np.ndarray


def in_order(query: Floats, score: Floats) -> Floats:
    """The places of rows by query, the highest score first; shape (rows,).

    Equal scores are put into an order that is drawn from a fixed seed: the order of the log often is the order in which
    items were shown, and would make equal scores look better than they are.
    """
    ties = np.random.default_rng(0).random(len(score))
    return np.lexsort((ties, -score, query))


def positions(query: Floats, order: Floats) -> Floats:
    """The position of each row in its query, from 1; in the order of `in_order`, shape (rows,)."""
    ordered = query[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(ordered) else np.zeros(0, dtype=int)
    lengths = np.diff(np.append(starts, len(ordered)))
    return np.arange(len(ordered)) - np.repeat(starts, lengths) + 1


def of_queries(label: Floats, score: Floats, query: Floats, top: int) -> tuple[Floats, dict[str, Floats]]:
    """The metrics of each query at `top` items: the codes of queries with a relevant item, and values by metric, both
    of shape (queries,). Queries without any relevant item have no order that is better than another, and are left out.

    label: relevance, 0 or more; score: the higher, the nearer to the top; query: whole numbers; shape (rows,).
    NDCG with linear gain (Järvelin and Kekäläinen, 2002), as scikit-learn and Evidently work it out; the other metrics
    take each relevance above 0 as relevant. The average precision is divided by the relevant items that fit into the
    top.
    """
    number = int(query.max()) + 1 if len(query) else 0
    order, ideal = in_order(query, score), np.lexsort((-label, query))
    position = positions(query, order)
    codes, gain = query[order], np.maximum(label[order], 0.0)
    relevant, inside = gain > 0, position <= top
    discount = np.where(inside, 1 / np.log2(position + 1), 0.0)
    best = np.maximum(label[ideal], 0.0)  # positions are the same: both are sorted by query

    def summed(values: Floats) -> Floats:
        return np.bincount(codes, values, minlength=number)

    total, hits = summed(relevant.astype(float)), summed((relevant & inside).astype(float))
    has_relevant = total > 0
    so_far = np.cumsum(relevant)
    before = (so_far - relevant)[position == 1]  # relevant rows of all earlier queries, for each query that has rows
    rank_of_relevant = so_far - np.repeat(before, np.bincount(codes, minlength=number)[np.unique(codes)])
    precisions = np.where(relevant & inside, rank_of_relevant / position, 0.0)
    first = np.full(number, np.inf)
    np.minimum.at(first, codes[relevant & inside], position[relevant & inside])
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {
            "ndcg": summed(gain * discount) / summed(best * discount),
            "map": summed(precisions) / np.minimum(total, top),
            "mrr": 1 / first,
            "hit_rate": (hits > 0).astype(float),
            "recall_at_k": hits / total,
            "precision_at_k": hits / np.minimum(summed(np.ones(len(codes))), top),
        }
    return np.flatnonzero(has_relevant), {name: values[name][has_relevant] for name in RANKING_METRICS}


def whole_queries(query: Floats, most: int, random: np.random.Generator) -> Floats:
    """The places of the rows of randomly chosen whole queries with at most `most` rows together, in their order; of one
    query at least.
    """
    codes, lengths = np.unique(query, return_counts=True)
    chosen = random.permutation(len(codes))
    ends = np.cumsum(lengths[chosen])
    kept = codes[chosen[: max(int(np.searchsorted(ends, most, "right")), 1)]]
    return np.flatnonzero(np.isin(query, kept))


def top_rows(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """The items at the top of each list: `query` and `item` as text, a row each. frame: with columns.query, item and
    prediction.
    """
    rows = pd.DataFrame(
        {
            "query": canonical_text(frame[columns.query]),
            "item": canonical_text(frame[columns.item]),
            "score": pd.to_numeric(frame[columns.prediction], errors="coerce"),
        }
    ).dropna()
    query = pd.factorize(rows["query"])[0]
    order = in_order(query, rows["score"].to_numpy(dtype=float))
    is_top = positions(query, order) <= columns.top_items
    return rows.iloc[order[is_top]][["query", "item"]].drop_duplicates().reset_index(drop=True)
