"""Free text and embeddings: columns of which no distribution can be counted, held against the reference by a domain
classifier.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from monitor.analysis import domain_classifier
from monitor.analysis.checks.base import Answer, BaseCheck, could_not_check, too_little_data
from monitor.analysis.checks.drift import OF_OWN_CHECK
from monitor.analysis.domain_classifier import Separation
from monitor.analysis.question import Question
from monitor.domain import phrases
from monitor.domain.checks import Finding, Kind
from monitor.domain.hidden import FORM
from monitor.domain.text import quoted

# Rows of each side without which nothing is learnt; of the rate of drift, one part in so many goes to such columns
# together.
_MIN_ROWS, _PART = 60, 5


class _Separated(BaseCheck):
    """A domain classifier of each column of its types. cause: of the finding."""

    kind = Kind.DRIFT
    column_types: tuple[str, ...]
    cause: str

    def answers(self, question: Question) -> Iterator[Answer]:
        """One a column of its types."""
        sorts = question.reference.sorts
        names = [name for name in question.names if sorts[name] in self.column_types]
        tests = _PART * sum(sorts[name] in OF_OWN_CHECK for name in question.names)
        for name in names:
            sides = _sides(self, question, name)
            if isinstance(sides, Answer):
                yield sides
                continue
            before, after = sides
            separated = self.separated(before, after)
            if separated is None:
                yield could_not_check(self, name, reason="its vectors have another length than the reference's")
                continue
            score = max(2 * separated.area - 1, 0.0)
            yield Answer(
                Finding(
                    self.name,
                    name,
                    value=score,
                    kind=self.kind,
                    rows=len(after),
                    p_value=min(1.0, tests * separated.p_value),
                    cause=self.cause,
                    explanation=self.text(name, separated, before, after),
                    share=score,
                )
            )

    def separated(self, before: pd.Series, after: pd.Series) -> Separation | None:
        """How well both sides can be told apart; None where they cannot be compared."""
        raise NotImplementedError

    def text(self, name: str, separated: Separation, before: pd.Series, after: pd.Series) -> str:
        """The finding in words."""
        raise NotImplementedError


class TextScore(_Separated):
    """Free text: letters, words and form; of sensitive texts the form alone, which is all that is kept of them."""

    name, column_types, cause = "text_score", ("text", "text_form"), "text drift"

    def separated(self, before: pd.Series, after: pd.Series) -> Separation | None:
        """By hashed character n-grams and the form of the texts."""
        if _is_hidden(before):
            return EmbeddingScore().separated(before, after)
        return domain_classifier.separation(domain_classifier.of_texts(before), domain_classifier.of_texts(after))

    def text(self, name: str, separated: Separation, before: pd.Series, after: pd.Series) -> str:
        """How well both sides can be told apart, how long the texts are, and how many of their words are new."""
        differs = phrases.texts_differ(name, separated.area)
        if _is_hidden(before):
            forms = [
                dict(zip(FORM, np.median(np.vstack(each.to_list()), axis=0), strict=True)) for each in (before, after)
            ]
            characters, words = ([10 ** each[part] for each in forms] for part in ("length", "words"))
            return phrases.sentences(
                differs, phrases.lengths((characters[0], characters[1]), (words[0], words[1])), phrases.form_alone()
            )
        known = domain_classifier.words_of(before.iloc[::2])
        unseen = [domain_classifier.unseen_share(each, known) for each in (before.iloc[1::2], after)]
        words = [each.str.split().str.len().median() for each in (before, after)]
        return phrases.sentences(
            differs, phrases.unseen_words(unseen[0], unseen[1]), phrases.lengths(None, (words[0], words[1]))
        )


class EmbeddingScore(_Separated):
    """Vectors of numbers."""

    name, column_types, cause = "embedding_score", ("embedding",), "embedding drift"

    def separated(self, before: pd.Series, after: pd.Series) -> Separation | None:
        """By each dimension and its square."""
        both = domain_classifier.of_vectors(before, after)
        return None if both is None else domain_classifier.separation(*both)

    def text(self, name: str, separated: Separation, before: pd.Series, after: pd.Series) -> str:
        """How well both sides can be told apart, and how far their middles are from each other."""
        there, here = (np.vstack(each.to_list()) for each in (before, after))
        spread = there.std(axis=0)
        moved = np.abs(here.mean(axis=0) - there.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        return phrases.vectors_differ(name, separated.area, there.shape[1], float(np.median(moved)))


class EmbeddingsDrift(BaseCheck):
    """Evidently's `EmbeddingsDrift` score of each column of vectors: a limit on it may page, chance is judged by
    `EmbeddingScore`.
    """

    name, kind = "embeddings_drift", Kind.DRIFT

    def answers(self, question: Question) -> Iterator[Answer]:
        """One a column of vectors."""
        for name in question.names:
            if question.reference.sorts[name] != "embedding":
                continue
            sides = _sides(self, question, name)
            if isinstance(sides, Answer):
                yield sides
                continue
            before, after = sides
            both = domain_classifier.matrices(before, after)
            if both is None:
                yield could_not_check(self, name, reason="its vectors have another length than the reference's")
                continue
            from monitor.analysis.snapshot.stattests import evidently_embeddings_score  # it takes seconds to import

            score = evidently_embeddings_score(*both)
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
    """The values of a column in the reference and in the window that are looked at; the answer where they are not there
    or too few.
    """
    if name not in question.window.frame:
        return could_not_check(check, name)
    before, after = (
        domain_classifier.subsample(frame[name]) for frame in (question.reference.frame, question.window.frame)
    )
    fewest = min(len(before), len(after))
    return too_little_data(check, name, fewest, _MIN_ROWS) if fewest < _MIN_ROWS else (before, after)


def _is_hidden(texts: pd.Series) -> bool:
    """Whether these are forms of sensitive texts."""
    return isinstance(texts.iloc[0], np.ndarray)
