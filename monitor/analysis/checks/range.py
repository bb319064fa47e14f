"""Values that the reference does not have: infinite, out of its range, new categories. And columns that are stuck at
one value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from scipy.stats import betabinom

from monitor.analysis.checks.base import (
    MIN_FAULTY_ROWS,
    MIN_FAULTY_SHARE,
    MIN_ROWS,
    Answer,
    BaseCheck,
    could_not_check,
    fault,
)
from monitor.analysis.evidence import Claim, is_ordinary, ordinary_share
from monitor.analysis.question import Question
from monitor.analysis.summary import Categories, Numbers, Summary
from monitor.domain import phrases
from monitor.domain.checks import Kind


class InfiniteShare(BaseCheck):
    """Infinite values. All other checks treat them as missing."""

    name, kind = "infinite_share", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        """One for each column of numbers."""
        for name in question.names:
            if question.reference.sorts[name] != "numerical":
                continue
            if name not in question.frame.columns:
                yield could_not_check(self, name)
                continue
            infinite = question.window.infinite.get(name, 0)
            share, text = infinite / question.rows, phrases.infinite(name, infinite)
            yield fault(
                question,
                self.name,
                name,
                share,
                question.rows,
                "infinite values",
                text,
                certain=infinite > 0,
                share=share,
            )


class OutOfRange(BaseCheck):
    """Numbers below the reference's smallest or above its largest. How many are usual follows from order statistics.
    Values that follow the calendar, such as a new month, are not counted.
    """

    name, kind = "out_of_range_share", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        """One for each column of numbers."""
        for name, present, before in _both(question):
            if isinstance(before, Numbers):
                if not isinstance(present, Numbers):
                    yield could_not_check(self, name)
                    continue
                outside = present.outside(before.low, before.high)
                if outside and (off_calendar := question.off_calendar(name)) is not None:
                    outside = int((off_calendar.lt(before.low) | off_calendar.gt(before.high)).sum())
                share = outside / present.count if present.count else 0.0
                reach = (present.low, present.high) if outside else None
                text = phrases.out_of_range(name, share, (before.low, before.high), reach)
                chance = (2.0, before.count - 1.0)
                yield unseen(question, self.name, name, outside, present.count, chance, "out of range", text)


class NewCategory(BaseCheck):
    """Categories that the reference does not have. Those seen once in it show how many are usual (Good-Turing)."""

    name, kind = "new_category_share", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        """One for each column of categories."""
        for name, present, before in _both(question):
            if isinstance(before, Categories):
                if not isinstance(present, Categories):
                    yield could_not_check(self, name)
                    continue
                new = present.tally[~present.tally.index.isin(before.tally.index)]
                if len(new) and (off_calendar := question.off_calendar(name)) is not None:
                    new = new[new.index.isin(off_calendar)]
                number, seen_once = int(new.sum()), float((before.tally == 1).sum())
                share = number / present.count if present.count else 0.0
                text = phrases.new_categories(name, share, new.index[:3])
                chance = (seen_once + 1, before.count - seen_once)
                yield unseen(question, self.name, name, number, present.count, chance, "new category", text)


class StuckValue(BaseCheck):
    """Columns that hold one value in every row, though they vary in the reference."""

    name, kind = "unique_count", Kind.QUALITY

    def answers(self, question: Question) -> Iterator[Answer]:
        """One for each feature of numbers or categories."""
        longest = question.reference.summary.longest_run
        for name, present, before in _both(question):
            if name not in longest:
                continue
            if present is None:
                yield could_not_check(self, name)
                continue
            # A value that often stays the same for long (a month, a rare flag) is not stuck.
            stuck = present.distinct == 1 and before.distinct > 1 and present.count >= max(MIN_ROWS, 3 * longest[name])
            stuck = stuck and not _is_usual(question, name, before)
            value = "" if not stuck else present.low if isinstance(present, Numbers) else present.tally.index[0]
            yield fault(
                question,
                self.name,
                name,
                float(present.distinct),
                present.count,
                "stuck value",
                phrases.one_value(name, value),
                certain=stuck,
                share=1.0 if stuck else 0.0,
            )


def _is_usual(question: Question, name: str, before: Summary) -> bool:
    """Whether one value in all rows is usual: for a column of the calendar, or in healthy blocks of the same length."""
    if question.calendar_field(name) is not None:
        return True
    return is_ordinary(ordinary_share(Claim("stuck value", 1.0), name, before, question.healthy_blocks.parts))


def _both(question: Question) -> Iterator[tuple[str, Summary | None, Summary]]:
    """The columns with values in the reference: name, the window's summary (None where the column is gone), and the
    reference's summary.
    """
    for name in question.names:
        before = question.reference.of_column(name)
        if before is not None and before.count:
            yield name, question.of_column(name), before


def unseen(
    question: Question,
    metric: str,
    name: str,
    count: int,
    rows: int,
    chance: tuple[float, float],
    cause: str,
    text: str,
    costs: Mapping[str, float] | None = None,
) -> Answer:
    """The answer for values that the reference does not have. chance: the beta distribution of their share."""
    share = count / rows if rows else 0.0
    if rows < MIN_ROWS:
        too_little = f"{rows} values; {MIN_ROWS} are needed"
        return fault(question, metric, name, share, rows, cause, text, too_little=too_little, origin="", costs=costs)
    p_value = 1.0
    # In a ranking the rows of one query repeat its values.
    repeats = question.reference.repeats(name)
    number = round(count / repeats)
    if number >= MIN_FAULTY_ROWS and share >= MIN_FAULTY_SHARE:
        first, second = chance
        p_value = float(betabinom.sf(number - 1, round(rows / repeats), first, max(second / repeats, 1.0)))
    return fault(question, metric, name, share, rows, cause, text, p_value=p_value, share=share, origin="", costs=costs)
