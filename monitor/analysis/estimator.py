"""The estimator of performance without labels: fitted on a reference, corrected by labels that have come since."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from monitor.analysis import correction, estimation
from monitor.analysis.correction import Block, RecentLabels
from monitor.analysis.performance import (
    HIGHER_IS_BETTER,
    MIN_CLASS,
    MIN_LABELLED,
    Measured,
    measure,
    predicted,
    probabilities,
    truth_of,
)
from monitor.analysis.scored import Scored
from monitor.analysis.summary import Numbers
from monitor.domain.columns import Columns

if TYPE_CHECKING:
    from monitor.analysis.reference import Reference

Floats = np.ndarray
# Of fewer labelled rows no model of the error is made.
_LEAST_LABELLED = 100


@dataclass(frozen=True)
class Estimator:
    """Confidence-based estimates for classifiers, direct loss estimates for regression, as a reference's labels have
    calibrated them.
    """

    reference: Reference

    @cached_property
    def loss_models(self) -> tuple[tuple[estimation.GradientBoosting, float], ...]:
        """For regression with labels: the models of the absolute and of the squared error, each with the variance that
        it leaves; fitted from the seed.
        """
        if self.reference.task != "regression" or not self.reference.summary.labelled:
            return ()
        errors = absolute_errors(self.reference.frame, self.reference.columns)
        known = np.isfinite(errors)
        if known.sum() < _LEAST_LABELLED:
            return ()
        inputs, losses = self.reference.encoded(self.reference.frame[known]), errors[known].to_numpy()
        models = [
            (each, estimation.GradientBoosting(inputs, each, self.reference.seed)) for each in (losses, losses**2)
        ]
        return tuple((model, float(np.var(each - model.predict(inputs)))) for each, model in models)

    def too_little(self, frame: pd.DataFrame) -> str:
        """Why the rows are too few to judge an estimate by; '' if they are enough. frame: in the reference's column
        types.
        """
        usable = self._usable(frame)
        if len(usable) < MIN_LABELLED:
            return f"{len(usable)} rows with a usable prediction; {MIN_LABELLED} are needed"
        if self.reference.task != "binary" or self.reference.summary.calibration is None:
            return ""
        scores = probabilities(usable, self.reference.columns).to_numpy()[:, 0]
        chance = estimation.calibrated(scores, self.reference.summary.calibration)
        if min(chance.sum(), len(chance) - chance.sum()) < MIN_CLASS:
            return f"fewer than {MIN_CLASS} rows of one class are to be expected"
        return ""

    def usable_rows(self, frame: pd.DataFrame) -> int:
        """How many rows have an answer of the model's that can be used."""
        return len(self._usable(frame))

    def _usable(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows that have an answer of the model's that can be used."""
        return frame[self.is_usable(frame)]

    def is_usable(self, frame: pd.DataFrame) -> Floats:
        """Which rows have an answer of the model's that can be used, shape (rows,)."""
        columns = self.reference.columns
        usable = np.array(predicted(frame, columns, self.reference.task).notna())
        if columns.probabilities:
            usable &= np.isfinite(probabilities(frame, columns)).all(axis=1).to_numpy()
        if self.reference.task == "regression" and columns.prediction is not None and columns.prediction in frame:
            usable &= ~self.unusable(frame, columns.prediction)
        return usable

    def unusable(self, frame: pd.DataFrame, name: str) -> Floats:
        """Which rows have no usable answer in a column of what the model said, shape (rows,). frame: in the reference's
        column types.

        Probabilities: missing, or outside 0 to 1. Numbers of a regression: missing, or farther from the reference's
            labels and predictions
        than these are from each other. Classes: missing.
        """
        reference, values = self.reference, frame[name]
        missing = values.isna().to_numpy()
        if reference.sorts[name] != "numerical":
            return np.asarray(missing)
        numbers = values.to_numpy(dtype=float)
        if name in reference.columns.probabilities.values():
            return np.asarray(missing | ~((numbers >= 0) & (numbers <= 1)))
        both = [each for each in (reference.of_column(name), self.labels) if isinstance(each, Numbers) and each.count]
        if reference.task != "regression" or not both:
            return np.asarray(missing)
        low, high = min(each.low for each in both), max(each.high for each in both)
        return np.asarray(missing | (numbers < low - (high - low)) | (numbers > high + (high - low)))

    @cached_property
    def usually_unusable(self) -> dict[str, int]:
        """How many rows of the reference have no usable answer, by column of what the model said."""
        return {name: int(self.unusable(self.reference.frame, name).sum()) for name in self.reference.predictions}

    @cached_property
    def labels(self) -> Numbers | None:
        """The labels of a regression's reference; None where there are none."""
        name = self.reference.columns.label
        if self.reference.task != "regression" or name is None or name not in self.reference.sorts:
            return None
        summary = self.reference.of_column(name)
        return summary if isinstance(summary, Numbers) and summary.count else None

    def estimate(self, frame: pd.DataFrame, known: pd.Series | None = None) -> dict[str, Measured]:
        """Performance of the rows of `frame` (in the reference's sorts) as the estimator expects it, without their
        labels.

        known: labels of rows of `frame` that came already, missing elsewhere: these are taken as they are.
        """
        truth = None
        if known is not None:
            reference = self.reference
            labels = truth_of(known, reference.columns, reference.task, reference.summary.classes)
            truth = labels.to_numpy(dtype=object if reference.task == "multiclass" else float)
        return Scored.of(self, frame).estimate(np.arange(len(frame)), truth)

    def estimate_now(
        self, frame: pd.DataFrame, recent: RecentLabels | None, known: pd.Series | None, window: Block
    ) -> tuple[dict[str, Measured], dict[str, Measured]]:
        """As `estimate`, corrected by how far it was off in stretches of late; and these corrections, by metric.
        window: when the rows were predicted.
        """
        plain = self.estimate(frame, known)
        told: dict[str, list[tuple[float, float, float]]] = {}
        if recent is not None and plain:
            told = self._told(recent, window, 0.0 if known is None else float(known.notna().mean()))
        corrections = {
            name: _correction(name, plain[name], each, window.middle) for name, each in told.items() if name in plain
        }
        return plain | {name: _corrected(plain[name], each) for name, each in corrections.items()}, corrections

    def _told(self, recent: RecentLabels, window: Block, known: float) -> dict[str, list[tuple[float, float, float]]]:
        """By metric, how far the estimate of such a window was off in stretches of late: time, difference and its
        error.

        known: the share of the window's rows whose labels are known. In ripe stretches as many labels are taken as
            known as had come as
        early. Of younger stretches only rows with labels are there: what these say is set right by what rows with such
        early labels said of ripe stretches as a whole.
        """
        ripe, young = recent.stretches()
        rows = Scored.of(self, recent.frame)
        realised = [measure(rows.answers.outcomes(each.rows)) for each in ripe]
        left, early = 1 - known, []
        for each, found in zip(ripe, realised, strict=True):
            labels: Floats | None = None
            if known > 0 and recent.known_at is not None and rows.answers.truth is not None:
                # The labels that would be known by now, had it been the window.
                there = recent.known_as_early(each, window)
                labels = np.asarray(
                    np.where(
                        there, rows.answers.truth[each.rows], np.nan if rows.answers.truth.dtype == float else None
                    )
                )
            scale = left if known > 0 and labels is None else 1.0
            off = _off(found, rows.estimate(each.rows, labels))
            early.append({name: (scale * value, left**0.5 * error) for name, (value, error) in off.items()})
        told: dict[str, list[tuple[float, float, float]]] = {}
        for each, found_off in zip(ripe, early, strict=True):
            for name, pair in found_off.items():
                told.setdefault(name, []).append((each.middle, *pair))
        last = list(zip(ripe, early, strict=True))[-correction.ALIKE :]
        for each in young if len(last) >= correction.FEWEST_ALIKE else []:
            seen = _difference(rows, each.rows)
            alike = [(off, _difference(rows, one.rows[recent.known_as_early(one, each)])) for one, off in last]
            for name, (value, error) in seen.items():
                rest = [off[name][0] - left * some[name][0] for off, some in alike if name in off and name in some]
                if len(rest) >= correction.FEWEST_ALIKE:
                    more, doubt = correction.usual(np.array(rest))
                    pair = left * value + more, float(np.hypot(left * error, doubt))
                    told.setdefault(name, []).append((each.middle, *pair))
        return told


def _difference(rows: Scored, places: Floats) -> dict[str, tuple[float, float]]:
    return _off(measure(rows.answers.outcomes(places)) if len(places) else {}, rows.estimate(places))


def absolute_errors(frame: pd.DataFrame, columns: Columns) -> pd.Series:
    """How far predictions are from their labels, shape (rows,); NaN where either is missing."""
    assert columns.label is not None
    errors: pd.Series = (
        pd.to_numeric(frame[columns.label], errors="coerce") - predicted(frame, columns, "regression")
    ).abs()
    return errors


def _off(realised: dict[str, Measured], expected: dict[str, Measured]) -> dict[str, tuple[float, float]]:
    """By the estimate's name, how far realised metrics are from the expected ones, and the error of that; of losses
    their logarithms.
    """
    found = {}
    for name, usual in expected.items():
        metric = name.removeprefix("estimated_")
        real = realised.get(metric)
        if real is not None and real.error and min(real.value, usual.value) > 0:
            if metric in HIGHER_IS_BETTER:
                found[name] = (real.value - usual.value, real.error)
            else:
                found[name] = (float(np.log(real.value / usual.value)), real.error / real.value)
    return found


def _correction(name: str, plain: Measured, told: list[tuple[float, float, float]], at: float) -> Measured:
    """What is to be added to an estimate, by what is told of stretches of late, and how doubtful that is. at: its time,
    in days.
    """
    change, doubt = correction.forecast(np.array(told), at)
    if name.removeprefix("estimated_") in HIGHER_IS_BETTER:
        return Measured(float(np.clip(plain.value + change, 0.0, 1.0)) - plain.value, doubt)
    return Measured(plain.value * float(np.expm1(change)), doubt * plain.value * float(np.exp(change)))


def _corrected(plain: Measured, by: Measured) -> Measured:
    return Measured(
        plain.value + by.value, None if plain.error is None else float(np.hypot(plain.error, by.error or 0.0))
    )
