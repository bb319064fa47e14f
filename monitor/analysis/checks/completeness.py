"""Missing values of columns, in the window and within segments; missing and repeated ids; unreadable records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from scipy.stats import fisher_exact

from monitor.analysis.checks.base import (
    MIN_FAULTY_ROWS,
    MIN_FAULTY_SHARE,
    MIN_ROWS,
    Answer,
    BaseCheck,
    could_not_check,
    empty_segment,
    fault,
)
from monitor.analysis.question import Question
from monitor.domain import phrases
from monitor.domain.checks import Kind, segment_text


class MissingShare(BaseCheck):
    """The share of a column's values that are missing: more or fewer than in the reference (Fisher's exact test)."""

    name, kind = "missing_share", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        """One for each column, and one for each column and segment."""
        reference = question.reference
        for name in question.names:
            if name not in question.frame.columns:
                yield could_not_check(self, name)
                continue
            rows = question.counts.rows
            missing = question.counts.missing.get(name)
            if missing is None:
                missing = int(question.window.frame[name].isna().sum())
            answer = self._answer(question, name, (missing, rows), (reference.missing(name), reference.rows))
            p_value = answer.finding.p_value
            if p_value is not None:
                p_value = reference.overdispersion_adjusted(self.name, name, p_value, rows)
            yield replace(answer, finding=replace(answer.finding, p_value=p_value))
        for segment in question.segments:
            segment_rows, before = segment.rows_of(question.window.frame), reference.rows_of_segment(*segment.key)
            for name in question.names:
                if name == segment.column:
                    continue
                if segment_rows is None or name not in segment_rows:
                    yield could_not_check(self, name, segment.name)
                elif segment_rows.empty:
                    yield empty_segment(self, name, segment.name)
                else:
                    missing_here = int(segment_rows[name].isna().sum()), len(segment_rows)
                    usual = int(before[name].isna().sum()), len(before)
                    yield self._answer(question, name, missing_here, usual, segment.key)

    def _answer(
        self,
        question: Question,
        name: str,
        missing: tuple[int, int],
        usual: tuple[int, int],
        segment_key: tuple[str, str] | None = None,
    ) -> Answer:
        """missing, usual: the number of missing values and of rows, in the window and in the reference. segment_key:
        the segment's column and value.
        """
        (number, rows), (before, reference_rows) = missing, usual
        segment = None if segment_key is None else segment_text(*segment_key)
        share, before_share = (number / rows if rows else 0.0), before / reference_rows
        text, cause = phrases.missing(name, share, before_share, segment_key), "missing values"
        if rows < MIN_ROWS:
            too_little = f"{rows} rows; {MIN_ROWS} are needed"
            return fault(question, self.name, name, share, rows, cause, text, too_little=too_little, segment=segment)
        excess, p_value = share - before_share, 1.0
        if abs(excess) >= MIN_FAULTY_SHARE and abs(excess) * rows >= MIN_FAULTY_ROWS:
            p_value = float(fisher_exact([[number, rows - number], [before, reference_rows - before]]).pvalue)
        return fault(
            question,
            self.name,
            name,
            share,
            rows,
            cause,
            text,
            p_value=p_value,
            share=max(excess, 0.0),
            segment=segment,
        )


class CountedShare(BaseCheck):
    """A share of rows or labels, counted over the whole window."""

    kind = Kind.QUALITY
    text: Callable[[int], str]

    def number(self, question: Question) -> int:
        """How many there are."""
        raise NotImplementedError

    def answers(self, question: Question) -> Iterator[Answer]:
        """One, for the whole window."""
        rows = question.counts.rows
        if rows:
            number = self.number(question)
            cause = self.name.removesuffix("_share").replace("_", " ")
            yield fault(
                question,
                self.name,
                None,
                number / rows,
                rows,
                cause,
                self.text(number),
                certain=number > 0,
                share=number / rows,
            )


class DuplicateIds(CountedShare):
    """Rows with a repeated id."""

    name, text = "duplicate_id_share", staticmethod(phrases.repeated_ids)

    def number(self, question: Question) -> int:
        """How many there are."""
        return question.counts.duplicate_ids


class NullIds(CountedShare):
    """Rows without an id."""

    name, text = "null_id_share", staticmethod(phrases.no_ids)

    def number(self, question: Question) -> int:
        """How many there are."""
        return question.counts.null_ids


class BadRecords(BaseCheck):
    """Records of the window that could not be read, wholly or in part: a half-written line, a row with too many values,
    a number that cannot be parsed.
    """

    name, kind = "bad_records", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        """One, for the whole window."""
        counts = question.counts
        number = counts.bad_records
        share = number / (counts.rows + number)
        text = phrases.bad_records(number, share, counts.bad_record)
        yield fault(
            question,
            self.name,
            None,
            float(number),
            counts.rows,
            "records that cannot be read",
            text,
            certain=number > 0,
            share=share,
        )
