"""Columns that vanish, come, hold values of another type, or the values of another column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from monitor.analysis.checks.base import MIN_ROWS, Answer, BaseCheck, fault
from monitor.analysis.question import Question
from monitor.analysis.summary import Numbers, Summary
from monitor.domain.checks import Kind


class ColumnMissing(BaseCheck):
    """Columns of the reference that are gone."""

    name, kind = "column_missing", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        """One a column that is gone."""
        for name in question.names:
            if name not in question.frame.columns:
                text = f"column '{name}' is gone"
                yield fault(
                    question, self.name, name, 1.0, question.counts.rows, "vanished column", text, certain=True, share=1.0
                )  # fmt: skip


class ColumnAdded(BaseCheck):
    """Columns that the reference has not."""

    name, kind = "column_added", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        """One a new column."""
        columns = question.reference.columns
        known = set(question.reference.sorts) | set(columns.parts) | set(columns.sensitive)
        if columns.features is not None:
            return
        for name in map(str, question.frame.columns):
            if name not in known:
                text = f"column '{name}' is new: the reference has none of that name"
                yield fault(question, self.name, name, 1.0, question.counts.rows, "new column", text, certain=True)


class TypeMismatch(BaseCheck):
    """Values that cannot be read as the reference's type of the column."""

    name, kind = "type_mismatch_share", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        """One a column."""
        for name in question.names:
            if name not in question.frame.columns:
                continue
            mismatched = question.window.mismatched.get(name, 0)
            share = mismatched / question.rows
            text = f"'{name}': {share:.1%} of the values are not {question.reference.sorts[name]} as in the reference"
            yield fault(
                question, self.name, name, share, question.rows, "type change", text, certain=mismatched > 0, share=share
            )  # fmt: skip


class DuplicateColumn(BaseCheck):
    """Columns that hold the same values in every row, though in the reference they do not."""

    name, kind = "duplicate_column", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        """One a column that holds another's values."""
        window, reference = question.window.frame, question.reference
        seen: dict[Any, list[str]] = {}
        for name in question.names:
            summary = question.of_column(name) if name in window else None
            if summary is None or len(window) < MIN_ROWS or summary.distinct < 2:
                continue
            for other in seen.setdefault(_likeness(summary), []):
                if window[name].equals(window[other]) and not reference.frame[name].equals(reference.frame[other]):
                    text = f"'{name}' holds the same values as '{other}'"
                    yield fault(
                        question, self.name, name, 1.0, len(window), "duplicate column", text, certain=True, share=1.0
                    )  # fmt: skip
                    break
            else:
                seen[_likeness(summary)].append(name)


def _likeness(summary: Summary) -> Any:
    """What is equal of columns that are equal."""
    if isinstance(summary, Numbers):
        return summary.count, summary.low, summary.quantile(0.5), summary.high
    return summary.count, summary.distinct, frozenset(summary.tally.index[:1])
