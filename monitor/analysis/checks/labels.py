"""Faults of the labels of a window, and whether the labels are distributed as in the reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from monitor.analysis import drift
from monitor.analysis.checks.base import MIN_ROWS, Answer, BaseCheck, fault, too_little_data, unanswered_cost
from monitor.analysis.checks.completeness import CountedShare
from monitor.analysis.checks.range import unseen
from monitor.analysis.kinds import other_level
from monitor.analysis.performance import truth_of
from monitor.analysis.question import Question
from monitor.analysis.schema import canonical_text
from monitor.analysis.summary import Numbers, Summary, summarise
from monitor.analysis.twosample import Counted, p_values
from monitor.domain import phrases
from monitor.domain.checks import Finding, Kind, MetricValue, Severity, Verdict
from monitor.domain.metrics import REGRESSIONS

# With a larger share of unreadable labels the others no longer represent all. A label farther outside the reference's
# range than this multiple of its width is certainly a fault.
MOST_UNREADABLE, _ABSURD = 0.05, 10.0
# Labels are compared with the reference's once this share of the rows has one. And the number of tests of labels.
_RIPE_SHARE, _LABEL_TESTS = 0.9, 6


class UnmatchedLabels(CountedShare):
    """Labels whose id no prediction has."""

    name, text = "unmatched_label_share", staticmethod(phrases.unmatched_labels)

    def applies_to(self, question: Question) -> bool:
        """Where there are labels."""
        return question.tells_performance

    def number(self, question: Question) -> int:
        """How many there are."""
        return question.counts.unmatched_labels


class EarlyLabels(CountedShare):
    """Labels known before their prediction was made: leakage."""

    name, text = "early_label_share", staticmethod(phrases.early_labels)

    def applies_to(self, question: Question) -> bool:
        """Where there are labels."""
        return question.tells_performance

    def number(self, question: Question) -> int:
        """How many there are."""
        return question.counts.early_labels


class UnreadableLabels(BaseCheck):
    """Labels that cannot be read. If labels are written differently from the reference's, performance cannot be
    measured.
    """

    name, kind = "unreadable_label_share", Kind.BLIND

    def applies_to(self, question: Question) -> bool:
        """Where there are labels."""
        return question.labelled is not None and question.checks.asks(Kind.PERFORMANCE)

    def answers(self, question: Question) -> Iterator[Answer]:
        """One, for the label column: `could_not_check` where too many labels are unreadable to judge by the others."""
        share = unreadable_share(question)
        blind = share > MOST_UNREADABLE
        yield Answer(
            Finding(
                self.name,
                question.reference.columns.label,
                value=share,
                kind=self.kind,
                rows=question.labelled or 0,
                verdict=Verdict.COULD_NOT_CHECK if blind else Verdict.FINE,
                reason=unreadable_text(question) if blind else "",
                cause="unreadable labels",
                explanation=unreadable_text(question),
            )
        )


class LabelTypeMismatch(BaseCheck):
    """Labels that are not of the reference's type or, for a binary model, none of its two classes."""

    name, kind = "type_mismatch_share", Kind.QUALITY

    def applies_to(self, question: Question) -> bool:
        """Where there are labels."""
        return question.tells_performance

    def answers(self, question: Question) -> Iterator[Answer]:
        """One, for the label column."""
        number, share = question.unreadable_labels, unreadable_share(question)
        yield fault(
            question,
            self.name,
            question.reference.columns.label,
            share,
            question.labelled or 0,
            "type change",
            unreadable_text(question),
            certain=number > 0,
            share=share,
            costs={},
        )


class LabelOutOfRange(BaseCheck):
    """Labels of a regression outside the reference's range. One label farther outside than many times the range's width
    is a fault by itself.
    """

    name, kind = "out_of_range_share", Kind.QUALITY

    def applies_to(self, question: Question) -> bool:
        """Where there are labels that are numbers."""
        return question.tells_performance and question.reference.task in REGRESSIONS

    def answers(self, question: Question) -> Iterator[Answer]:
        """One, for the label column."""
        name, (present, before) = question.reference.columns.label, _sides(question)
        if name is None or not isinstance(before, Numbers) or not before.count:
            return
        if not isinstance(present, Numbers) or not present.count:
            yield too_little_data(self, name, 0, MIN_ROWS)
            return
        outside = present.outside(before.low, before.high)
        width = _ABSURD * (before.high - before.low)
        absurd = present.outside(before.low - width, before.high + width)
        reach = (present.low, present.high) if outside else None
        text = phrases.labels_out_of_range(name, outside, present.count, (before.low, before.high), reach)
        answer = unseen(
            question, self.name, name, outside, present.count, (2.0, before.count - 1.0), "out of range", text
        )
        verdict = Verdict.CHANGED if absurd else answer.finding.verdict
        yield replace(answer, finding=replace(answer.finding, verdict=verdict, severity=Severity.INFO, cost=None))


class LabelNewClass(BaseCheck):
    """Classes that the reference does not have. The model cannot predict them, so it is wrong in all of these rows."""

    name, kind = "new_category_share", Kind.QUALITY

    def applies_to(self, question: Question) -> bool:
        """Where there are labels of several classes."""
        return question.tells_performance and question.reference.task == "multiclass"

    def answers(self, question: Question) -> Iterator[Answer]:
        """One, for the label column."""
        name, classes = question.reference.columns.label, question.reference.summary.classes
        if name is None or not classes or name not in question.window.frame:
            return
        texts = canonical_text(question.window.frame[name]).dropna()
        new = texts[~texts.isin(classes)].value_counts()
        number, share = int(new.sum()), float(new.sum()) / max(len(texts), 1)
        text = phrases.labels_of_new_classes(name, share, new.index[:3])
        chance = (1.0, float(question.reference.rows))
        yield unseen(
            question,
            self.name,
            name,
            number,
            len(texts),
            chance,
            "new category",
            text,
            unanswered_cost(question, share),
        )


def unreadable_share(question: Question) -> float:
    """The share of the present labels that cannot be read, 0 to 1."""
    return question.unreadable_labels / question.labelled if question.labelled else 0.0


def unreadable_text(question: Question) -> str:
    """The unreadable labels in words, with examples."""
    reference, label = question.reference, question.reference.columns.label
    if not question.unreadable_labels or label is None:
        return ""
    truth = truth_of(question.window.frame[label], reference.columns, reference.task, reference.summary.classes)
    examples = question.frame[label][truth.isna()].dropna().astype(str).unique()[:3]
    return phrases.unreadable_labels(
        label, question.unreadable_labels, question.labelled or 0, examples, reference.summary.classes[:3]
    )


def _sides(question: Question) -> tuple[Summary | None, Summary | None]:
    """The label column in the window and in the reference."""
    name, reference = question.reference.columns.label, question.reference
    if name is None or name not in question.window.frame or name not in reference.sorts:
        return None, None
    return summarise(question.window.frame[name], reference.sorts[name]), reference.of_column(name)


class LabelDrift(BaseCheck):
    """Whether labels are distributed as in the reference, once nearly all are known: the first ones differ from the
    rest.
    """

    name, kind = "drift_score", Kind.PERFORMANCE

    def applies_to(self, question: Question) -> bool:
        """Where there are labels."""
        return question.tells_performance

    def answers(self, question: Question) -> Iterator[Answer]:
        """One, for the label column."""
        reference, rows = question.reference, question.outcomes.rows
        name = reference.columns.label
        before = reference.of_column(name) if name in reference.sorts else None
        if name is None or before is None or before.count == 0:
            return
        after = summarise(question.window.frame[name], reference.sorts[name])
        if after is None or rows < max(_RIPE_SHARE * question.rows, drift.MIN_VALUES):
            reason = f"{rows} of {question.rows} rows have a label"
            yield Answer(
                Finding(self.name, name, kind=self.kind, rows=rows, verdict=Verdict.TOO_LITTLE_DATA, reason=reason)
            )
            return
        _, value = question.drift_score(name, before, after)
        bins = reference.bins(name)
        single = p_values([Counted(bins, bins.counts(after), reference.counts(name))])[0]
        p_value = reference.overdispersion_adjusted(self.name, name, single, rows)
        # Unit changes and stuck values do not apply to labels: only the level can change.
        text = phrases.label_shift(name, self._shift_text(question, before, after))
        yield Answer(
            Finding(
                self.name,
                name,
                value=value,
                kind=self.kind,
                p_value=min(_LABEL_TESTS * p_value, 1.0),
                rows=rows,
                cause="label shift",
                explanation=text,
                origin="world",
            )
        )

    @staticmethod
    def _shift_text(question: Question, before: Summary, after: Summary) -> str:
        reference = question.reference
        if reference.task != "binary":
            return other_level(before, after).text
        labels = reference.frame[reference.columns.label]
        usual_share = truth_of(labels, reference.columns, reference.task, reference.summary.classes).mean()
        return phrases.positives(float(usual_share), float(question.outcomes.label.mean()))

    def metrics(self, question: Question, answers: list[Answer]) -> Iterator[MetricValue]:
        """No metric values: the answer already has the value."""
        return iter(())
