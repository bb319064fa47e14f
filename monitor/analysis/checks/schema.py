"""Columns that are missing or new, or that hold values of another type or of another column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from monitor.analysis.checks.base import MIN_ROWS, Answer, BaseCheck, could_not_check, fault, too_little_data
from monitor.analysis.question import Question
from monitor.analysis.summary import Numbers, Summary
from monitor.domain import phrases
from monitor.domain.checks import Kind


class ColumnMissing(BaseCheck):
    """Columns of the reference that are missing in the window."""

    name, kind = "column_missing", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        """One for each column: 1 where it is missing."""
        for name in question.names:
            gone = name not in question.frame.columns
            text = phrases.column_gone(name)
            yield fault(
                question,
                self.name,
                name,
                float(gone),
                question.counts.rows,
                "vanished column",
                text,
                certain=gone,
                share=float(gone),
            )


class ColumnAdded(BaseCheck):
    """Columns that the reference does not have."""

    name, kind = "column_added", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        """One, for the whole window: how many columns are new."""
        columns = question.reference.columns
        if columns.features is not None:
            return
        known_names = set(question.reference.sorts) | set(columns.parts) | set(columns.sensitive)
        new = [name for name in map(str, question.frame.columns) if name not in known_names]
        text = phrases.columns_new(new)
        yield fault(
            question, self.name, None, float(len(new)), question.counts.rows, "new column", text, certain=bool(new)
        )


class TypeMismatch(BaseCheck):
    """Values that cannot be read as the reference's type of the column."""

    name, kind = "type_mismatch_share", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        """One for each column."""
        for name in question.names:
            if name not in question.frame.columns:
                yield could_not_check(self, name)
                continue
            mismatched = question.window.mismatched.get(name, 0)
            share = mismatched / question.rows
            text = phrases.other_type(name, share, question.reference.sorts[name])
            yield fault(
                question,
                self.name,
                name,
                share,
                question.rows,
                "type change",
                text,
                certain=mismatched > 0,
                share=share,
            )


class DuplicateColumn(BaseCheck):
    """Columns that hold the same values in every row, though they differ in the reference."""

    name, kind = "duplicate_column", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        """One for each column: 1 where it holds the values of another column."""
        window = question.window.frame
        columns_by_fingerprint: dict[Any, list[str]] = {}
        for name in question.names:
            if name not in window:
                yield could_not_check(self, name)
                continue
            summary = question.of_column(name)
            if len(window) < MIN_ROWS:
                yield too_little_data(self, name, len(window), MIN_ROWS)
                continue
            candidates = (
                []
                if summary is None or summary.distinct < 2
                else columns_by_fingerprint.setdefault(_fingerprint(summary), [])
            )
            twin = next((candidate for candidate in candidates if self._is_new_twin(question, name, candidate)), None)
            if twin is None:
                candidates.append(name)
            text = "" if twin is None else phrases.same_values(name, twin)
            value = float(twin is not None)
            yield fault(
                question,
                self.name,
                name,
                value,
                len(window),
                "duplicate column",
                text,
                certain=twin is not None,
                share=value,
            )

    @staticmethod
    def _is_new_twin(question: Question, name: str, twin: str) -> bool:
        window, before = question.window.frame, question.reference.frame
        return bool(window[name].equals(window[twin]) and not before[name].equals(before[twin]))


def _fingerprint(summary: Summary) -> Any:
    """Statistics that are equal for equal columns."""
    if isinstance(summary, Numbers):
        return summary.count, summary.low, summary.quantile(0.5), summary.high
    return summary.count, summary.distinct, frozenset(summary.tally.index[:1])
