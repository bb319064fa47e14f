"""Folds: which runs open and resolve which alerts."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.domain.checks import Kind

# The subject of alerts of a model's labels; that of all others is ''.
LABELS = "labels"


@dataclass(frozen=True)
class Fold:
    """Alerts of one kind and subject, judged by the results of one kind of run.

    name: under which its state is stored. subject: what the alerts are of, a part of their identity; '' for the model
        and its data.
    """

    name: str
    kind: Kind
    run_kind: str
    subject: str = ""


# What labels are like is known to performance runs alone, whose order by `as_of` is not that of data runs.
FOLDS = (
    *(Fold(kind.value, kind, kind.folds) for kind in Kind if kind.folds),
    *(Fold(f"{kind.value}_labels", kind, "performance", LABELS) for kind in (Kind.QUALITY, Kind.BLIND)),
)
BY_NAME = {fold.name: fold for fold in FOLDS}
_OF_ALERTS = {(fold.kind.value, fold.subject): fold for fold in FOLDS}


def fold_of(kind: str, subject: str) -> Fold:
    """The fold that alerts of a kind and subject come of; those of kind `self` come of none. Raises KeyError."""
    return _OF_ALERTS[kind, subject]
