"""A domain classifier: can a model distinguish rows of the window from rows of the reference? It is cross-fitted, so
overfitting does not count.

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
# Rows of each side that are used; hashed character n-grams; the ridge penalty, in units of scaled features.
MOST_ROWS = 2_000
_HASHES, _NGRAMS = 2**12, (2, 4)
_PENALTY = 10.0


class Separation(NamedTuple):
    """How well both sides can be separated. area: under the ROC curve, 0.5 for not at all. p_value: how often chance
    would give such an area.
    """

    area: float
    p_value: float


def separation(before: Any, after: Any) -> Separation:
    """Separate two samples. before, after: matrices of shape (rows, features), dense or sparse, of the reference and
    of the window.
    """
    folds = [_fold(before, after, half) for half in (0, 1)]
    area = float(np.mean([fold.area for fold in folds]))
    return Separation(area, min(1.0, 2 * min(fold.p_value for fold in folds)))


def _fold(before: Any, after: Any, half: int) -> Separation:
    """A classifier fitted on every second row and tested on the others."""
    rows, labels = _stacked(before[half::2], after[half::2])
    model = RidgeClassifier(
        alpha=_PENALTY, class_weight="balanced", solver="sparse_cg" if sparse.issparse(rows) else "auto"
    )
    model.fit(rows, labels)
    test_rows, truth = _stacked(before[1 - half :: 2], after[1 - half :: 2])
    ranks = rankdata(model.decision_function(test_rows))
    m, n = int(truth.sum()), int((~truth).sum())
    area = (ranks[truth].sum() - m * (m + 1) / 2) / (m * n)
    error = np.sqrt((m + n + 1) / (12 * m * n))
    return Separation(float(area), float(norm.sf((area - 0.5) / error)))


def _stacked(before: Any, after: Any) -> tuple[Any, Floats]:
    rows = sparse.vstack([before, after]).tocsr() if sparse.issparse(before) else np.vstack([before, after])
    return rows, np.arange(rows.shape[0]) >= before.shape[0]


def subsample(values: pd.Series) -> pd.Series:
    """Present values, evenly spread, at most `MOST_ROWS`."""
    present = values.dropna()
    return present.iloc[np.linspace(0, len(present) - 1, min(len(present), MOST_ROWS)).astype(int)]


def text_features(texts: pd.Series) -> Any:
    """Texts as hashed character n-grams and a few numbers of their form, shape (texts, features), sparse."""
    ngrams = HashingVectorizer(analyzer="char_wb", ngram_range=_NGRAMS, n_features=_HASHES, alternate_sign=False)
    return sparse.hstack(
        [ngrams.transform(texts), sparse.csr_matrix(np.array([form_of(text) for text in texts]))]
    ).tocsr()


def words_of(texts: pd.Series) -> set[str]:
    """The different words of texts, in lower case."""
    return {word for text in texts for word in text.lower().split()}


def unseen_share(texts: pd.Series, known_words: set[str]) -> float:
    """The share of the words that are not known, 0 to 1."""
    words = [word for text in texts for word in text.lower().split()]
    return sum(word not in known_words for word in words) / len(words) if words else 0.0


def matrices(before: pd.Series, after: pd.Series) -> tuple[Floats, Floats] | None:
    """Vectors as two matrices of shape (rows, dimensions); None where they differ in length."""
    widths = {len(vector) for values in (before, after) for vector in values}
    return (np.vstack(before.to_list()), np.vstack(after.to_list())) if len(widths) == 1 else None


def vector_features(before: pd.Series, after: pd.Series) -> tuple[Floats, Floats] | None:
    """Vectors as two matrices, each feature scaled by the reference's standard deviation, followed by their squares.
    None where widths differ.
    """
    sides = matrices(before, after)
    if sides is None:
        return None
    middle, spread = sides[0].mean(axis=0), sides[0].std(axis=0)
    scaled = [(matrix - middle) / np.where(spread > 0, spread, 1.0) for matrix in sides]
    first, second = (np.hstack([matrix, matrix**2]) for matrix in scaled)
    return first, second
