"""The estimator of performance without labels: fitted on a reference, corrected by labels that have come since."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

from monitor.analysis import correction, estimation
from monitor.analysis.correction import Recent, Stretch
from monitor.analysis.performance import (
    HIGHER_IS_BETTER,
    MIN_CLASS,
    MIN_LABELLED,
    Measured,
    Outcomes,
    mean,
    measure,
    outcomes,
    predicted,
    probabilities,
    truth_of,
    weights_of,
)
from monitor.analysis.schema import canonical_text
from monitor.analysis.summary import Numbers
from monitor.domain.columns import Columns

if TYPE_CHECKING:
    from monitor.analysis.reference import Reference

Floats = np.ndarray
# Of fewer labelled rows no model of the error is made.
_LEAST_LABELLED = 100


@dataclass(frozen=True)
class Estimator:
    """Confidence-based estimates for classifiers, direct loss estimates for regression, as a reference's labels have calibrated them."""

    reference: Reference

    @cached_property
    def loss_models(self) -> tuple[tuple[HistGradientBoostingRegressor, float], ...]:
        """For regression with labels: the models of the absolute and of the squared error, each with the variance that it leaves; fitted from the seed."""
        if self.reference.task != "regression" or not self.reference.summary.labelled:
            return ()
        errors = absolute_errors(self.reference.frame, self.reference.columns)
        known = np.isfinite(errors)
        if known.sum() < _LEAST_LABELLED:
            return ()
        inputs, losses = self.reference.encoded(self.reference.frame[known]), errors[known].to_numpy()
        models = [
            (each, estimation.gradient_boosting(inputs, each, self.reference.seed)) for each in (losses, losses**2)
        ]
        return tuple((model, float(np.var(each - model.predict(inputs)))) for each, model in models)

    def too_little(self, frame: pd.DataFrame) -> str:
        """Why the rows are too few to judge an estimate by; '' if they are enough. frame: in the reference's column types."""
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

    def _outcomes(self, frame: pd.DataFrame) -> Outcomes:
        return outcomes(frame, self.reference.columns, self.reference.task, self.reference.summary.classes)

    def _usable(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows that have an answer of the model's that can be used."""
        columns = self.reference.columns
        usable = np.array(predicted(frame, columns, self.reference.task).notna())
        if columns.probabilities:
            usable &= np.isfinite(probabilities(frame, columns)).all(axis=1).to_numpy()
        if self.reference.task == "regression" and columns.prediction is not None and columns.prediction in frame:
            usable &= ~self.unusable(frame, columns.prediction)
        return frame[usable]

    def unusable(self, frame: pd.DataFrame, name: str) -> Floats:
        """Which rows have no usable answer in a column of what the model said, shape (rows,). frame: in the reference's column types.

        Probabilities: missing, or outside 0 to 1. Numbers of a regression: missing, or farther from the reference's labels and predictions
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
        """Performance of the rows of `frame` (in the reference's sorts) as the estimator expects it, without their labels.

        known: labels of rows of `frame` that came already, missing elsewhere: these are taken as they are.
        """
        if not self.reference.summary.labelled:
            return {}
        if self.reference.task == "regression":
            return self._estimate_regression(frame, known)
        line = self.reference.summary.calibration
        if line is None:
            return {}
        said = predicted(frame, self.reference.columns, self.reference.task)
        table = probabilities(frame, self.reference.columns)
        usable_rows = table.notna().all(axis=1) & said.notna()
        if usable_rows.sum() < 2:
            return {}
        scores = table[usable_rows].to_numpy()
        said, weight = said[usable_rows], _weight(frame[usable_rows], self.reference.columns)
        truth = None if known is None else known[usable_rows]
        if self.reference.task == "binary":
            chance = estimation.calibrated(scores[:, 0], line)
            if truth is not None:
                flags = truth_of(truth, self.reference.columns, "binary", self.reference.summary.classes).to_numpy()
                there = ~np.isnan(flags)
                chance[there] = flags[there]
            return estimation.estimate_binary(scores[:, 0], said.to_numpy(dtype=float), chance, weight)
        places = {name: index for index, name in enumerate(self.reference.columns.probabilities)}
        chances = np.column_stack([estimation.calibrated(scores[:, index], line[index]) for index in places.values()])
        chances = chances / chances.sum(axis=1, keepdims=True)
        if truth is not None:
            texts = canonical_text(truth)
            there = texts.isin(places).to_numpy()
            chances[there] = np.eye(len(places))[texts[there].map(places).to_numpy(dtype=int)]
        inside = said.isin(places).to_numpy()
        return estimation.estimate_multiclass(
            scores[inside], chances[inside], said[inside].map(places).to_numpy(dtype=int),
            None if weight is None else weight[inside],
        )  # fmt: skip

    def estimate_now(
        self, frame: pd.DataFrame, recent: Recent | None, known: pd.Series | None, window: Stretch
    ) -> tuple[dict[str, Measured], dict[str, Measured]]:
        """As `estimate`, corrected by how far it was off in stretches of late; and these corrections, by metric. window: when the rows were predicted."""
        plain = self.estimate(frame, known)
        told: dict[str, list[tuple[float, float, float]]] = {}
        if recent is not None and plain:
            told = self._told(recent, window, 0.0 if known is None else float(known.notna().mean()))
        corrections = {
            name: _correction(name, plain[name], each, window.middle) for name, each in told.items() if name in plain
        }
        return plain | {name: _corrected(plain[name], each) for name, each in corrections.items()}, corrections

    def _told(self, recent: Recent, window: Stretch, known: float) -> dict[str, list[tuple[float, float, float]]]:
        """By metric, how far the estimate of such a window was off in stretches of late: time, difference and its error.

        known: the share of the window's rows whose labels are known. In ripe stretches as many labels are taken as known as had come as
        early. Of younger stretches only rows with labels are there: what these say is set right by what rows with such early labels said
        of ripe stretches as a whole.
        """
        ripe, young = recent.stretches()
        parts = [recent.frame.iloc[each.rows] for each in ripe]
        realised = [measure(self._outcomes(part)) for part in parts]
        left, early = 1 - known, []
        for each, part, found in zip(ripe, parts, realised, strict=True):
            labels = self._early_labels(recent, each, window) if known > 0 and recent.known_at is not None else None
            scale = left if known > 0 and labels is None else 1.0
            off = _off(found, self.estimate(part, labels))
            early.append({name: (scale * value, left**0.5 * error) for name, (value, error) in off.items()})
        told: dict[str, list[tuple[float, float, float]]] = {}
        for each, found_off in zip(ripe, early, strict=True):
            for name, pair in found_off.items():
                told.setdefault(name, []).append((each.middle, *pair))
        last = list(zip(ripe, parts, early, strict=True))[-correction.ALIKE :]
        for each in young if len(last) >= correction.FEWEST_ALIKE else []:
            seen = self._difference(recent.frame.iloc[each.rows])
            alike = [(off, self._difference(part[recent.known_as_early(one, each)])) for one, part, off in last]
            for name, (value, error) in seen.items():
                rest = [off[name][0] - left * some[name][0] for off, some in alike if name in off and name in some]
                if len(rest) >= correction.FEWEST_ALIKE:
                    more, doubt = correction.usual(np.array(rest))
                    pair = left * value + more, float(np.hypot(left * error, doubt))
                    told.setdefault(name, []).append((each.middle, *pair))
        return told

    def _early_labels(self, recent: Recent, ripe: Stretch, window: Stretch) -> pd.Series:
        """The labels of a ripe stretch that would be known by now, had it been the window; missing elsewhere."""
        assert self.reference.columns.label is not None
        labels: pd.Series = recent.frame[self.reference.columns.label].iloc[ripe.rows]
        return labels.astype(object).where(recent.known_as_early(ripe, window), None)

    def _difference(self, part: pd.DataFrame) -> dict[str, tuple[float, float]]:
        return _off(
            measure(self._outcomes(part)) if len(part) else {},
            self.estimate(part),
        )

    def _estimate_regression(self, frame: pd.DataFrame, known: pd.Series | None) -> dict[str, Measured]:
        usable = self._usable(frame)
        said = predicted(usable, self.reference.columns, self.reference.task)
        if not self.loss_models or len(usable) < 2:
            return {}
        inputs, errors = self.reference.encoded(usable), np.full(len(usable), np.nan)
        if known is not None:
            errors = (
                (pd.to_numeric(known[usable.index], errors="coerce") - said[usable.index]).abs().to_numpy(dtype=float)
            )
        there, weight = np.isfinite(errors), _weight(usable, self.reference.columns)
        absolute, squared = (
            mean(
                np.where(there, errors**power, estimation.expected_loss(model, inputs)),
                weight,
                np.where(there, 0.0, noise),
            )
            for power, (model, noise) in enumerate(self.loss_models, 1)
        )
        root = float(np.sqrt(squared.value))
        error = None if squared.error is None or root == 0 else squared.error / (2 * root)
        return {"estimated_mae": absolute, "estimated_rmse": Measured(root, error)}


def absolute_errors(frame: pd.DataFrame, columns: Columns) -> pd.Series:
    """How far predictions are from their labels, shape (rows,); NaN where either is missing."""
    assert columns.label is not None
    errors: pd.Series = (
        pd.to_numeric(frame[columns.label], errors="coerce") - predicted(frame, columns, "regression")
    ).abs()
    return errors


def _off(realised: dict[str, Measured], expected: dict[str, Measured]) -> dict[str, tuple[float, float]]:
    """By the estimate's name, how far realised metrics are from the expected ones, and the error of that; of losses their logarithms."""
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
    """What is to be added to an estimate, by what is told of stretches of late, and how doubtful that is. at: its time, in days."""
    change, doubt = correction.forecast(np.array(told), at)
    if name.removeprefix("estimated_") in HIGHER_IS_BETTER:
        return Measured(float(np.clip(plain.value + change, 0.0, 1.0)) - plain.value, doubt)
    return Measured(plain.value * float(np.expm1(change)), doubt * plain.value * float(np.exp(change)))


def _corrected(plain: Measured, by: Measured) -> Measured:
    return Measured(
        plain.value + by.value, None if plain.error is None else float(np.hypot(plain.error, by.error or 0.0))
    )


def _weight(frame: pd.DataFrame, columns: Columns) -> np.ndarray | None:
    weights = weights_of(frame, columns)
    return None if weights is None else weights.to_numpy()
