"""Drift of feature attributions that the model logs (`Columns.attributions`)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from monitor.analysis.attributions import lowest_healthy_ndcg, ndcg, p_values
from monitor.analysis.checks.base import MIN_ROWS, OWN_SHARES, Answer, BaseCheck, could_not_check, too_little_data
from monitor.analysis.question import Question
from monitor.domain import phrases
from monitor.domain.checks import Finding, Kind, Verdict
from monitor.domain.text import listed

# An order of features below this NDCG is another one: the limit at which SageMaker Model Monitor alerts.
_OTHER_ORDER = 0.90


class _OfAttributions(BaseCheck):
    kind = Kind.DRIFT

    def applies_to(self, question: Question) -> bool:
        """Where the reference has attributions."""
        reference = question.reference
        return super().applies_to(question) and bool(reference.columns.attribution_columns(reference.sorts))


class AttributionDrift(_OfAttributions):
    """The mean absolute attribution of each feature against the reference's. The value is the change of the feature's
    share of all attributions.
    """

    name = "attribution_drift"

    def answers(self, question: Question) -> Iterator[Answer]:
        """One for each feature with attributions in the reference."""
        before, after = question.attributions
        for feature in before.features:
            if feature not in after.features:
                yield could_not_check(self, feature, reason="its column of attributions is not in the window")
        before = before.only(after.features)
        # All features share it (Bonferroni).
        limit = OWN_SHARES[self.name] * question.checks.false_alarm_rate
        singles = p_values(before, after)
        for place, feature in enumerate(after.features):
            rows = int(after.counts[place])
            if min(rows, int(before.counts[place])) < MIN_ROWS:
                yield too_little_data(self, feature, rows, MIN_ROWS)
                continue
            usual, now = float(before.shares[place]), float(after.shares[place])
            p_value = min(1.0, float(singles[place]) * len(after.features))
            yield Answer(
                Finding(
                    self.name,
                    feature,
                    value=now - usual,
                    kind=self.kind,
                    p_value=p_value,
                    rows=rows,
                    verdict=Verdict.CHANGED if p_value < limit else Verdict.FINE,
                    cause="attribution drift",
                    explanation=phrases.attribution(feature, usual, now),
                )
            )


class AttributionNdcg(_OfAttributions):
    """The order of features by mean absolute attribution against the reference's."""

    name = "attribution_ndcg"

    def answers(self, question: Question) -> Iterator[Answer]:
        """One, for the whole window."""
        before, after = question.attributions
        missing = [feature for feature in before.features if feature not in after.features]
        if missing:
            reason = f"columns of attributions are not in the window: of {listed(missing)}"
            yield could_not_check(self, None, reason=reason)
            return
        rows = int(after.counts.min())
        if min(rows, int(before.counts.min())) < MIN_ROWS:
            yield too_little_data(self, None, rows, MIN_ROWS)
            return
        value = ndcg(before.means, after.means)
        first = int(np.argmax(after.means))
        place = int((before.means > before.means[first]).sum()) + 1
        # Healthy windows are drawn only where the order is in doubt.
        is_other = value < _OTHER_ORDER and value < lowest_healthy_ndcg(before, rows, question.reference.seed)
        yield Answer(
            Finding(
                self.name,
                value=value,
                kind=self.kind,
                rows=rows,
                verdict=Verdict.CHANGED if is_other else Verdict.FINE,
                cause="attribution drift",
                explanation=phrases.attribution_order(before.features[first], place, value),
            )
        )
