"""Faults to try a monitor with: of one column in some rows, and of whole windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from monitor.analysis import estimation, surrogate
from monitor.analysis.evaluate import evaluate
from monitor.analysis.evaluation import Evaluation
from monitor.analysis.performance import OF_NUMBERS
from monitor.analysis.question import conformed
from monitor.analysis.reference import Reference
from monitor.domain.checks import Checks, Kind, Verdict
from monitor.domain.metrics import REGRESSIONS

Random = np.random.Generator


@dataclass(frozen=True)
class Fault:
    """A fault of a column.

    name: what it is called. column_type: the columns that can have it, `numerical`, `categorical` or `both`. change:
        gives the values of the affected rows.
    """

    name: str
    column_type: str
    change: Callable[[pd.Series, pd.Series, Random], object]

    def fits(self, values: pd.Series) -> bool:
        """Whether a column can have it: more than one value, of the right type."""
        numerical = values.dtype.kind in "fiu"
        return values.nunique() > 1 and (self.column_type == "both" or (self.column_type == "numerical") == numerical)

    def inject(self, frame: pd.DataFrame, column: str, rows: np.ndarray, random: Random) -> pd.DataFrame:
        """A copy of `frame` in which the rows (flags, shape (rows,)) have the fault."""
        values = frame[column]
        changed = values.astype(float if values.dtype.kind in "fiu" else object)
        changed[rows] = self.change(values[rows], values, random)
        return frame.assign(**{column: changed})


def answered_anew(reference: Reference, frame: pd.DataFrame, faulty: pd.DataFrame) -> pd.DataFrame:
    """Rows with a fault, with the answers that the surrogate predicts for them. Without a surrogate they stay as they
    are. frame: the same rows without the fault, in a log's own types.
    """
    model, columns = reference.surrogate, reference.columns
    if model is None:
        return faulty
    sides = [conformed(side, reference).frame.reindex(columns=list(reference.sorts)) for side in (frame, faulty)]
    answers = surrogate.answers_of(sides[0], reference)
    inputs = [estimation.encode(side[reference.encoded_features], reference.summary.codes) for side in sides]
    new_answers = model.answers_if(answers, inputs[0], dict(enumerate(inputs[1].T)))[0]
    if reference.task in OF_NUMBERS:
        return faulty.assign(**{str(columns.prediction): new_answers[:, 0]})
    new_answers = np.clip(new_answers, 0, 1)
    if reference.task == "multiclass":
        new_answers = surrogate.as_shares(new_answers)
    names = list(columns.probabilities.values())
    result = faulty.assign(**dict(zip(names, new_answers.T, strict=True))) if names else faulty
    if columns.prediction is None or columns.prediction not in frame:
        return result
    decided = [
        (scores >= columns.decision_threshold).ravel() if scores.shape[1] == 1 else scores.argmax(axis=1)
        for scores in (answers, new_answers)
    ]
    # Each decision is written as the model wrote it.
    written = dict(zip(decided[0].tolist(), frame[columns.prediction], strict=True))
    moved = decided[0] != decided[1]
    values = frame[columns.prediction].astype(object)
    values[moved] = [
        written.get(decision, value) for decision, value in zip(decided[1][moved].tolist(), values[moved], strict=True)
    ]
    return result.assign(**{columns.prediction: values.infer_objects()})


def _swapped(some: pd.Series, whole: pd.Series, _: Random) -> pd.Series:
    first, second = whole.value_counts().index[:2]
    return some.where(~some.isin([first, second]), some.map({first: second, second: first}))


def _rounded(some: pd.Series, whole: pd.Series, _: Random) -> pd.Series:
    return some.round(-int(np.floor(np.log10(whole.std() + 1e-12))))


FAULTS = (
    Fault("mean shift", "numerical", lambda some, whole, _: some + whole.std()),
    Fault("scale", "numerical", lambda some, whole, _: (some - whole.mean()) * 2 + whole.mean()),
    Fault("unit change", "numerical", lambda some, _, __: some * 100),
    Fault("rounding", "numerical", _rounded),
    Fault("placeholder value", "numerical", lambda _, __, ___: -999.0),
    Fault("missing burst", "both", lambda _, __, ___: None),
    Fault("stuck value", "both", lambda _, whole, __: whole.dropna().iloc[0]),
    Fault("correlation break", "both", lambda some, _, random: random.permutation(some.to_numpy())),
    Fault("new category", "categorical", lambda _, __, ___: "never seen"),
    Fault("category swap", "categorical", _swapped),
)


@dataclass(frozen=True)
class WindowFault:
    """A fault of a whole window, at full strength. change: gives the faulty window; None where the model cannot have
    the fault.

    fits: whether an evaluation of it has caught it: the column that is named, or that nobody can tell how the model is.
    """

    name: str
    change: Callable[[Reference, pd.DataFrame], pd.DataFrame | None]
    fits: Callable[[Reference, Evaluation], bool]

    def caught(
        self, reference: Reference, frame: pd.DataFrame, checks: Checks | None = None
    ) -> tuple[bool, bool] | None:
        """Whether it is caught in a window, and whether it pages; None where the model cannot have it.

        Earlier windows are taken to have about as many rows as the window without the fault.
        """
        faulty = self.change(reference, frame)
        if faulty is None:
            return None
        before = [round(len(frame) * share) for share in (0.97, 1.0, 1.02, 0.99, 1.03)]
        evaluation = evaluate(reference, faulty, checks=checks, recent_counts=before)
        return self.fits(reference, evaluation), evaluation.pages


def _most_important(reference: Reference, frame: pd.DataFrame, number: int) -> list[str]:
    present = [name for name in reference.features if name in frame]
    return sorted(present, key=lambda name: -reference.importance.get(name, 0.0))[:number]


def _named(evaluation: Evaluation, columns: list[str]) -> bool:
    return any(finding.column in columns for finding in evaluation.findings)


def _cannot_tell(evaluation: Evaluation) -> bool:
    return any(check.kind is Kind.BLIND and check.verdict is Verdict.COULD_NOT_CHECK for check in evaluation.checks)


def _vanished(reference: Reference, frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns=_most_important(reference, frame, 1))


def _unreadable(reference: Reference, frame: pd.DataFrame) -> pd.DataFrame | None:
    label = reference.columns.label
    return None if label is None or label not in reference.sorts else frame.assign(**{label: "never seen"})


def _answering(value: float) -> Callable[[Reference, pd.DataFrame], pd.DataFrame | None]:
    def change(reference: Reference, frame: pd.DataFrame) -> pd.DataFrame | None:
        names = [name for name in reference.predictions if reference.sorts[name] == "numerical"]
        names = (
            names
            if np.isnan(value) or reference.task in REGRESSIONS
            else list(reference.columns.probabilities.values())
        )
        return frame.assign(**dict.fromkeys(names, value)) if names else None

    return change


def _of_predictions(reference: Reference, evaluation: Evaluation) -> bool:
    named = {finding.column for finding in evaluation.findings if finding.metric == "unusable_prediction_share"}
    return bool(named & set(reference.predictions))


def _half_null(reference: Reference, frame: pd.DataFrame) -> pd.DataFrame:
    number = max(len(reference.features) // 2, 2)
    return frame.assign(**dict.fromkeys(_most_important(reference, frame, number), None))


def _other_words(reference: Reference, frame: pd.DataFrame) -> pd.DataFrame | None:
    texts = [name for name in reference.features if reference.sorts[name] == "text" and name in frame]
    return frame.assign(**{name: frame[name].str[::-1] for name in texts}) if texts else None


WINDOW_FAULTS = (
    WindowFault(
        "vanished column",
        _vanished,
        lambda _, evaluation: any(finding.metric == "column_missing" for finding in evaluation.findings),
    ),
    WindowFault("unreadable labels", _unreadable, lambda _, evaluation: _cannot_tell(evaluation)),
    WindowFault("predictions missing", _answering(np.nan), _of_predictions),
    WindowFault("predictions -999", _answering(-999.0), _of_predictions),
    WindowFault(
        "traffic down by 95 %",
        lambda _, frame: frame.head(max(len(frame) // 20, 1)),
        lambda _, evaluation: any(finding.metric == "volume_share" for finding in evaluation.findings),
    ),
    WindowFault(
        "half of the columns null",
        _half_null,
        lambda reference, evaluation: _named(evaluation, reference.features),
    ),
    WindowFault(
        "other words in texts",
        _other_words,
        lambda _, evaluation: any(finding.metric == "text_score" for finding in evaluation.findings),
    ),
)
