"""A domain classifier: can a model tell rows of the window from rows of the reference? Cross-fitted, so that what it
learnt by chance counts nothing.

Lopez-Paz and Oquab, Revisiting classifier two-sample tests (2017), with the area under the ROC curve as the statistic.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.stats import norm, rankdata
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import RidgeClassifier

from monitor.domain.hidden import form_of

Floats = np.ndarray
# Rows of each side that are looked at; hashed character n-grams; the ridge penalty, in units of scaled features.
MOST_ROWS = 2_000
_HASHES, _NGRAMS = 2**12, (2, 4)
_PENALTY = 10.0


class Separation(NamedTuple):
    """How well both sides can be told apart: area under the ROC curve, 0.5 for not at all; and how often chance would
    do as much.
    """

    area: float
    p_value: float


def separation(before: Any, after: Any) -> Separation:
    """Tell two samples apart. before, after: matrices of shape (rows, features), dense or sparse, of the reference and
    of the window.
    """
    folds = [_fold(before, after, half) for half in (0, 1)]
    area = float(np.mean([each.area for each in folds]))
    return Separation(area, min(1.0, 2 * min(each.p_value for each in folds)))


def _fold(before: Any, after: Any, half: int) -> Separation:
    """Fitted on every second row, tried on the others."""
    rows, labels = _stacked(before[half::2], after[half::2])
    model = RidgeClassifier(
        alpha=_PENALTY, class_weight="balanced", solver="sparse_cg" if sparse.issparse(rows) else "auto"
    )
    model.fit(rows, labels)
    others, truth = _stacked(before[1 - half :: 2], after[1 - half :: 2])
    ranks = rankdata(model.decision_function(others))
    m, n = int(truth.sum()), int((~truth).sum())
    area = (ranks[truth].sum() - m * (m + 1) / 2) / (m * n)
    error = np.sqrt((m + n + 1) / (12 * m * n))
    return Separation(float(area), float(norm.sf((area - 0.5) / error)))


def _stacked(before: Any, after: Any) -> tuple[Any, Floats]:
    rows = sparse.vstack([before, after]).tocsr() if sparse.issparse(before) else np.vstack([before, after])
    return rows, np.arange(rows.shape[0]) >= before.shape[0]


def subsample(values: pd.Series) -> pd.Series:
    """The values that are there, no more than are looked at, evenly spread."""
    present = values.dropna()
    return present.iloc[np.linspace(0, len(present) - 1, min(len(present), MOST_ROWS)).astype(int)]


def of_texts(texts: pd.Series) -> Any:
    """Texts as hashed character n-grams and a few numbers of their form, shape (texts, features), sparse."""
    ngrams = HashingVectorizer(analyzer="char_wb", ngram_range=_NGRAMS, n_features=_HASHES, alternate_sign=False)
    return sparse.hstack(
        [ngrams.transform(texts), sparse.csr_matrix(np.array([form_of(each) for each in texts]))]
    ).tocsr()


def words_of(texts: pd.Series) -> set[str]:
    """The different words of texts, in lower case."""
    return {word for text in texts for word in text.lower().split()}


def unseen_share(texts: pd.Series, known: set[str]) -> float:
    """The share of the words that are not known, 0 to 1."""
    words = [word for text in texts for word in text.lower().split()]
    return sum(word not in known for word in words) / len(words) if words else 0.0


def matrices(before: pd.Series, after: pd.Series) -> tuple[Floats, Floats] | None:
    """Vectors as two matrices of shape (rows, dimensions); None where they differ in length."""
    widths = {len(each) for values in (before, after) for each in values}
    return (np.vstack(before.to_list()), np.vstack(after.to_list())) if len(widths) == 1 else None


def of_vectors(before: pd.Series, after: pd.Series) -> tuple[Floats, Floats] | None:
    """Vectors as two matrices, each feature scaled by the reference's deviation, with squares beside them; None where
    widths differ.
    """
    both = matrices(before, after)
    if both is None:
        return None
    middle, spread = both[0].mean(axis=0), both[0].std(axis=0)
    scaled = [(each - middle) / np.where(spread > 0, spread, 1.0) for each in both]
    first, second = (np.hstack([each, each**2]) for each in scaled)
    return first, second
