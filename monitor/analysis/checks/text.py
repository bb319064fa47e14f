"""Free text and embeddings: columns whose distribution cannot be counted. A domain classifier compares them with the
reference.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from monitor.analysis import domain_classifier
from monitor.analysis.checks.base import Answer, BaseCheck, could_not_check, too_little_data
from monitor.analysis.checks.drift import TYPES_WITH_OWN_CHECK
from monitor.analysis.domain_classifier import Separation
from monitor.analysis.question import Question
from monitor.domain import phrases
from monitor.domain.checks import Finding, Kind
from monitor.domain.hidden import FORM
from monitor.domain.text import quoted

# The fewest rows of each side that a classifier needs. All such columns together get one part in so many of the rate of
# false alarms of drift.
_MIN_ROWS, _PART = 60, 5


class _SeparationCheck(BaseCheck):
    """A domain classifier for each column of certain types. column_types: these types. cause: of the finding."""

    kind = Kind.DRIFT
    column_types: tuple[str, ...]
    cause: str

    def answers(self, question: Question) -> Iterator[Answer]:
        """One for each column of these types."""
        types_by_column = question.reference.sorts
        names = [name for name in question.names if types_by_column[name] in self.column_types]
        tests = _PART * sum(types_by_column[name] in TYPES_WITH_OWN_CHECK for name in question.names)
        for name in names:
            sides = _sides(self, question, name)
            if isinstance(sides, Answer):
                yield sides
                continue
            before, after = sides
            separation = self.separation(before, after)
            if separation is None:
                yield could_not_check(self, name, reason="its vectors have another length than the reference's")
                continue
            score = max(2 * separation.area - 1, 0.0)
            yield Answer(
                Finding(
                    self.name,
                    name,
                    value=score,
                    kind=self.kind,
                    rows=len(after),
                    p_value=min(1.0, tests * separation.p_value),
                    cause=self.cause,
                    explanation=self.text(name, separation, before, after),
                    share=score,
                )
            )

    def separation(self, before: pd.Series, after: pd.Series) -> Separation | None:
        """How well both sides can be separated; None where they cannot be compared."""
        raise NotImplementedError

    def text(self, name: str, separation: Separation, before: pd.Series, after: pd.Series) -> str:
        """The finding in words."""
        raise NotImplementedError


class TextScore(_SeparationCheck):
    """Free text: characters, words and form. Of sensitive texts only the form is stored and compared."""

    name, column_types, cause = "text_score", ("text", "text_form"), "text drift"

    def separation(self, before: pd.Series, after: pd.Series) -> Separation | None:
        """By hashed character n-grams and the form of the texts."""
        if _is_hidden(before):
            return EmbeddingScore().separation(before, after)
        return domain_classifier.separation(
            domain_classifier.text_features(before), domain_classifier.text_features(after)
        )

    def text(self, name: str, separation: Separation, before: pd.Series, after: pd.Series) -> str:
        """How well both sides can be separated, how long the texts are, and how many of their words are new."""
        differs = phrases.texts_differ(name, separation.area)
        if _is_hidden(before):
            forms = [
                dict(zip(FORM, np.median(np.vstack(side.to_list()), axis=0), strict=True)) for side in (before, after)
            ]
            characters, words = ([10 ** form[field] for form in forms] for field in ("length", "words"))
            return phrases.sentences(
                differs, phrases.lengths((characters[0], characters[1]), (words[0], words[1])), phrases.form_alone()
            )
        known_words = domain_classifier.words_of(before.iloc[::2])
        unseen = [domain_classifier.unseen_share(texts, known_words) for texts in (before.iloc[1::2], after)]
        words = [texts.str.split().str.len().median() for texts in (before, after)]
        return phrases.sentences(
            differs, phrases.unseen_words(unseen[0], unseen[1]), phrases.lengths(None, (words[0], words[1]))
        )


class EmbeddingScore(_SeparationCheck):
    """Vectors of numbers."""

    name, column_types, cause = "embedding_score", ("embedding",), "embedding drift"

    def separation(self, before: pd.Series, after: pd.Series) -> Separation | None:
        """By each dimension and its square."""
        matrices = domain_classifier.vector_features(before, after)
        return None if matrices is None else domain_classifier.separation(*matrices)

    def text(self, name: str, separation: Separation, before: pd.Series, after: pd.Series) -> str:
        """How well both sides can be separated, and how far their means are from each other."""
        before_vectors, after_vectors = (np.vstack(vectors.to_list()) for vectors in (before, after))
        spread = before_vectors.std(axis=0)
        moved = np.abs(after_vectors.mean(axis=0) - before_vectors.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        return phrases.vectors_differ(name, separation.area, before_vectors.shape[1], float(np.median(moved)))


class EmbeddingsDrift(BaseCheck):
    """Evidently's `EmbeddingsDrift` score of each column of vectors. A limit on it may page; `EmbeddingScore` decides
    whether drift exceeds chance.
    """

    name, kind = "embeddings_drift", Kind.DRIFT

    def answers(self, question: Question) -> Iterator[Answer]:
        """One for each column of vectors."""
        for name in question.names:
            if question.reference.sorts[name] != "embedding":
                continue
            sides = _sides(self, question, name)
            if isinstance(sides, Answer):
                yield sides
                continue
            before, after = sides
            matrices = domain_classifier.matrices(before, after)
            if matrices is None:
                yield could_not_check(self, name, reason="its vectors have another length than the reference's")
                continue
            from monitor.analysis.snapshot.stattests import evidently_embeddings_score  # it takes seconds to import

            score = evidently_embeddings_score(*matrices)
            text = f"the vectors in {quoted(name)}: Evidently's EmbeddingsDrift is {score:.3g} (0.5: no drift)"
            yield Answer(
                Finding(
                    self.name,
                    name,
                    value=score,
                    kind=self.kind,
                    rows=len(after),
                    cause="embedding drift",
                    explanation=text,
                )
            )


def _sides(check: BaseCheck, question: Question, name: str) -> tuple[pd.Series, pd.Series] | Answer:
    """The values of a column that are compared, of the reference and of the window; or the answer where the column is
    missing or has too few values.
    """
    if name not in question.window.frame:
        return could_not_check(check, name)
    before, after = (
        domain_classifier.subsample(frame[name]) for frame in (question.reference.frame, question.window.frame)
    )
    fewest = min(len(before), len(after))
    return too_little_data(check, name, fewest, _MIN_ROWS) if fewest < _MIN_ROWS else (before, after)


def _is_hidden(texts: pd.Series) -> bool:
    """Whether the values are forms of sensitive texts."""
    return isinstance(texts.iloc[0], np.ndarray)
