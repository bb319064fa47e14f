"""The positive class of a binary model, from the labels of its reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from monitor.analysis.performance import is_positive, roc_auc
from monitor.analysis.schema import canonical_text
from monitor.domain.columns import Columns
from monitor.domain.metrics import hint
from monitor.domain.positive import certain_positive, means_same
from monitor.domain.text import quoted, shown
from monitor.errors import DataError

# No more classes are named in messages.
_MOST_NAMED = 5


@dataclass(frozen=True)
class Candidate:
    """A class that may be the positive one, and the ROC AUC of the reference if it is; None without scores."""

    name: str
    roc_auc: float | None = None

    def __str__(self) -> str:
        return shown(self.name) + ("" if self.roc_auc is None else f" (ROC AUC {self.roc_auc:.2f})")


def positive_class(reference_labels: pd.Series, columns: Columns, predictions: pd.Series | None) -> Any:
    """The positive class as the labels write it: named in `columns.positive`, or certain from the labels (see
    `domain.positive.certain_positive`).

    reference_labels: the labels of the reference, one a row. predictions: of the same rows, as numbers (the
        probability, or a prediction of 0 and 1); from them the message gives the ROC AUC that each class would have.

    Returns None where there is no label. Raises DataError that names the candidates where the class is neither named
    nor certain, or where the named one is no label of the reference.
    """
    classes = _classes(reference_labels)
    if columns.positive is not None:
        named = canonical_text(pd.Series([columns.positive])).iloc[0]
        if len(classes) > 1 and not any(means_same(class_name, named) for class_name in classes):
            raise DataError(
                f"columns.positive is {quoted(named)}, and no label of the reference is that;"
                f" {hint(named, classes, 'labels')}"
            )
        return (
            columns.positive
            if named in classes
            else next((class_name for class_name in classes if means_same(class_name, named)), columns.positive)
        )
    certain = certain_positive(classes)
    if certain is not None or not classes:
        return certain
    choices = candidates(reference_labels, predictions)
    raise DataError(f"{in_words(choices)}: which is the positive class? name it: columns.positive: {_choices(choices)}")


def candidates(labels: pd.Series, predictions: pd.Series | None) -> list[Candidate]:
    """The classes of which one is to be named as positive, that with the best ROC AUC first. labels, predictions: see
    `positive_class`.
    """
    classes = _classes(labels)
    if predictions is None or len(classes) != 2:
        return [Candidate(name) for name in classes]
    scores = pd.to_numeric(predictions, errors="coerce").to_numpy(dtype=float)
    usable = labels.notna().to_numpy() & np.isfinite(scores)
    if not usable.any():
        return [Candidate(name) for name in classes]
    result = []
    for name in classes:
        truth = is_positive(labels[usable], name).to_numpy() == 1
        both = 0 < truth.sum() < len(truth)
        result.append(Candidate(name, roc_auc(truth, scores[usable]).value if both else None))
    return sorted(result, key=lambda candidate: (-(candidate.roc_auc or 0.0), candidate.name))


def in_words(choices: list[Candidate]) -> str:
    """In words, which labels there are."""
    names = [quoted(name) for name in sorted(choice.name for choice in choices)[:_MOST_NAMED]]
    if len(choices) == 1:
        return f"the labels are all {names[0]}"
    if len(choices) > _MOST_NAMED:
        return f"there are {len(choices)} different labels ({', '.join(names)}, …)"
    return f"the labels are {', '.join(names[:-1])} and {names[-1]}"


def _choices(choices: list[Candidate]) -> str:
    return " or ".join(map(str, choices[:_MOST_NAMED])) + (" or another one" if len(choices) == 1 else "")


def _classes(labels: pd.Series) -> list[str]:
    return sorted(canonical_text(labels).dropna().unique())
