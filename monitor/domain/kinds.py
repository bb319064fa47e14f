"""The kinds of findings and alerts."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """The kinds of findings and alerts."""

    PERFORMANCE = "performance"
    ESTIMATED_PERFORMANCE = "estimated_performance"
    DRIFT = "drift"
    QUALITY = "quality"
    NO_DATA = "no_data"
    NO_LABELS = "no_labels"
    BLIND = "blind"
    SELF = "self"

    @property
    def folds(self) -> str:
        """The kind of run whose results open and resolve such alerts, those of labels aside (`domain.folds`); '' for
        `self`, which is not folded.
        """
        if self is Kind.SELF:
            return ""
        return "performance" if self in (Kind.PERFORMANCE, Kind.NO_LABELS) else "data"
