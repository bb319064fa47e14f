"""The estimator of performance without labels: fitted on a reference, corrected by labels that came later."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from monitor.analysis import correction, estimation
from monitor.analysis.correction import Block, Difference, RecentLabels
from monitor.analysis.performance import (
    MIN_CLASS,
    MIN_LABELLED,
    Answers,
    Measured,
    measure,
    predicted,
    probabilities,
    truth_of,
)
from monitor.analysis.query_model import QueryModel, inputs_of
from monitor.analysis.ranking import of_queries
from monitor.analysis.scored import Scored
from monitor.analysis.summary import Numbers
from monitor.domain.columns import Columns
from monitor.domain.metrics import HIGHER_IS_BETTER, REGRESSIONS

if TYPE_CHECKING:
    from monitor.analysis.reference import Reference

Floats = np.ndarray
# With fewer labelled rows no model of the error is fitted.
_LEAST_LABELLED = 100


@dataclass(frozen=True)
class Estimator:
    """Confidence-based estimates for classifiers, direct loss estimates for regression, and estimates of each query's
    metrics for rankings, as a reference's labels have calibrated them.
    """

    reference: Reference

    @cached_property
    def loss_models(self) -> tuple[tuple[estimation.GradientBoosting, float], ...]:
        """For regression with labels: the models of the absolute and of the squared error, each with its residual
        variance; fitted from the seed.
        """
        if self.reference.task not in REGRESSIONS or not self.reference.summary.labelled:
            return ()
        errors = absolute_errors(self.reference.frame, self.reference.columns)
        has_error = np.isfinite(errors)
        if has_error.sum() < _LEAST_LABELLED:
            return ()
        inputs, losses = self.reference.encoded(self.reference.frame[has_error]), errors[has_error].to_numpy()
        models = [
            (values, estimation.GradientBoosting(inputs, values, self.reference.seed)) for values in (losses, losses**2)
        ]
        return tuple((model, float(np.var(values - model.predict(inputs)))) for values, model in models)

    @cached_property
    def query_model(self) -> QueryModel | None:
        """For rankings with labels: the models of a query's metrics; fitted from the seed."""
        reference = self.reference
        if reference.task != "ranking" or not reference.summary.labelled:
            return None
        answers = Answers.of(reference.frame, reference.columns, reference.task)
        assert answers.truth is not None
        assert answers.query is not None
        usable = np.isfinite(answers.truth) & np.isfinite(answers.prediction) & (answers.query >= 0)
        scores, query = answers.prediction[usable], answers.query[usable]
        has_relevant, values = of_queries(answers.truth[usable], scores, query, reference.columns.top_items)
        codes, inputs = inputs_of(reference.encoded(reference.frame[usable]), scores, query)
        return QueryModel.fit(inputs[np.isin(codes, has_relevant)], values, reference.seed)

    def too_little(self, frame: pd.DataFrame) -> str:
        """Why the rows are too few to judge an estimate by; '' if they are enough. frame: in the reference's column
        types.
        """
        usable = self._usable(frame)
        if self.reference.task == "ranking":
            number = usable[self.reference.columns.query].nunique()
            return f"{number} queries with usable scores; {MIN_LABELLED} are needed" if number < MIN_LABELLED else ""
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
        if self.reference.task in REGRESSIONS and columns.prediction is not None and columns.prediction in frame:
            usable &= ~self.unusable(frame, columns.prediction)
        return usable

    def unusable(self, frame: pd.DataFrame, name: str) -> Floats:
        """Which rows have no usable answer in a column of the model's output, shape (rows,). frame: in the reference's
        column types.

        Probabilities: missing, or outside 0 to 1. Numbers of a regression: missing, or farther from the reference's
        labels and predictions than these are from each other. Classes: missing.
        """
        reference, values = self.reference, frame[name]
        missing = values.isna().to_numpy()
        if reference.sorts[name] != "numerical":
            return np.asarray(missing)
        numbers = values.to_numpy(dtype=float)
        if name in reference.columns.probabilities.values():
            return np.asarray(missing | ~((numbers >= 0) & (numbers <= 1)))
        summaries = [
            summary
            for summary in (reference.of_column(name), self.labels)
            if isinstance(summary, Numbers) and summary.count
        ]
        if reference.task not in REGRESSIONS or not summaries:
            return np.asarray(missing)
        low, high = min(summary.low for summary in summaries), max(summary.high for summary in summaries)
        return np.asarray(missing | (numbers < low - (high - low)) | (numbers > high + (high - low)))

    @cached_property
    def usually_unusable(self) -> dict[str, int]:
        """How many rows of the reference have no usable answer, by column of the model's output."""
        return {name: int(self.unusable(self.reference.frame, name).sum()) for name in self.reference.predictions}

    @cached_property
    def labels(self) -> Numbers | None:
        """The labels of a regression's reference; None where there are none."""
        name = self.reference.columns.label
        if self.reference.task not in REGRESSIONS or name is None or name not in self.reference.sorts:
            return None
        summary = self.reference.of_column(name)
        return summary if isinstance(summary, Numbers) and summary.count else None

    def estimate(self, frame: pd.DataFrame, known_labels: pd.Series | None = None) -> dict[str, Measured]:
        """The expected performance of the rows of `frame` (in the reference's column types), without their labels.

        known_labels: labels of rows of `frame` that came already, missing elsewhere. They are used as they are.
        """
        truth = None
        if known_labels is not None:
            reference = self.reference
            labels = truth_of(known_labels, reference.columns, reference.task, reference.summary.classes)
            truth = labels.to_numpy(dtype=object if reference.task == "multiclass" else float)
        return Scored.of(self, frame).estimate(np.arange(len(frame)), truth)

    def estimate_now(
        self, frame: pd.DataFrame, recent: RecentLabels | None, known_labels: pd.Series | None, window: Block
    ) -> tuple[dict[str, Measured], dict[str, Measured]]:
        """As `estimate`, corrected by how far the estimate was off in recent blocks; and these corrections, by metric.
        window: when the rows were predicted.
        """
        plain = self.estimate(frame, known_labels)
        differences: dict[str, list[Difference]] = {}
        if recent is not None and plain:
            known_share = 0.0 if known_labels is None else float(known_labels.notna().mean())
            differences = self._block_differences(recent, window, known_share)
        corrections = {
            name: _correction(name, plain[name], metric_differences, window.middle)
            for name, metric_differences in differences.items()
            if name in plain
        }
        corrected = {name: _corrected(plain[name], change) for name, change in corrections.items()}
        return plain | corrected, corrections

    def _block_differences(
        self, recent: RecentLabels, window: Block, known_share: float
    ) -> dict[str, list[Difference]]:
        """By metric, how far the estimate of such a window was off in recent blocks.

        known_share: the share of the window's rows whose labels are known. In ripe blocks only labels that came as
            early as these are taken as known. Of younger blocks only labelled rows are available. Their difference is
            adjusted by how rows with such early labels differed from all rows of ripe blocks.
        """
        ripe_blocks, young_blocks = recent.blocks()
        rows = Scored.of(self, recent.frame)
        realised = [measure(rows.answers.outcomes(block.rows)) for block in ripe_blocks]
        unknown_share, ripe_offsets = 1 - known_share, []
        for block, metrics in zip(ripe_blocks, realised, strict=True):
            labels: Floats | None = None
            if known_share > 0 and recent.known_at is not None and rows.answers.truth is not None:
                # The labels that would be known by now if the block were the window.
                is_labelled = recent.would_be_labelled(block, window)
                missing = np.nan if rows.answers.truth.dtype == float else None
                labels = np.asarray(np.where(is_labelled, rows.answers.truth[block.rows], missing))
            scale = unknown_share if known_share > 0 and labels is None else 1.0
            offsets = _offsets(metrics, rows.estimate(block.rows, labels))
            ripe_offsets.append(
                {name: (scale * value, unknown_share**0.5 * error) for name, (value, error) in offsets.items()}
            )
        differences: dict[str, list[Difference]] = {}
        for block, offsets in zip(ripe_blocks, ripe_offsets, strict=True):
            for name, (value, error) in offsets.items():
                differences.setdefault(name, []).append(Difference(block.middle, value, error))
        newest = list(zip(ripe_blocks, ripe_offsets, strict=True))[-correction.NEWEST_RIPE :]
        for young in young_blocks if len(newest) >= correction.FEWEST_RIPE else []:
            young_offsets = _offsets_at(rows, young.rows)
            compared = [
                (offsets, _offsets_at(rows, ripe.rows[recent.would_be_labelled(ripe, young)]))
                for ripe, offsets in newest
            ]
            for name, (value, error) in young_offsets.items():
                residuals = [
                    offsets[name][0] - unknown_share * early_offsets[name][0]
                    for offsets, early_offsets in compared
                    if name in offsets and name in early_offsets
                ]
                if len(residuals) >= correction.FEWEST_RIPE:
                    residual, doubt = correction.typical_difference(np.array(residuals))
                    adjusted = unknown_share * value + residual
                    adjusted_error = float(np.hypot(unknown_share * error, doubt))
                    differences.setdefault(name, []).append(Difference(young.middle, adjusted, adjusted_error))
        return differences


def _offsets_at(rows: Scored, places: Floats) -> dict[str, tuple[float, float]]:
    return _offsets(measure(rows.answers.outcomes(places)) if len(places) else {}, rows.estimate(places))


def absolute_errors(frame: pd.DataFrame, columns: Columns) -> pd.Series:
    """How far predictions are from their labels, shape (rows,); NaN where either is missing."""
    assert columns.label is not None
    errors: pd.Series = (
        pd.to_numeric(frame[columns.label], errors="coerce") - predicted(frame, columns, "regression")
    ).abs()
    return errors


def _offsets(realised: dict[str, Measured], estimated: dict[str, Measured]) -> dict[str, tuple[float, float]]:
    """By the estimate's name, how far a realised metric is from the estimated one, and the error of that. Of losses the
    logarithms are compared.
    """
    offsets = {}
    for name, estimate in estimated.items():
        metric = name.removeprefix("estimated_")
        real = realised.get(metric)
        if real is not None and real.error and min(real.value, estimate.value) > 0:
            if metric in HIGHER_IS_BETTER:
                offsets[name] = (real.value - estimate.value, real.error)
            else:
                offsets[name] = (float(np.log(real.value / estimate.value)), real.error / real.value)
    return offsets


def _correction(name: str, plain: Measured, differences: list[Difference], at: float) -> Measured:
    """What is to be added to an estimate, by its differences in recent blocks, and how doubtful that is. at: its time,
    in days.
    """
    change, doubt = correction.forecast(differences, at)
    if name.removeprefix("estimated_") in HIGHER_IS_BETTER:
        return Measured(float(np.clip(plain.value + change, 0.0, 1.0)) - plain.value, doubt)
    return Measured(plain.value * float(np.expm1(change)), doubt * plain.value * float(np.exp(change)))


def _corrected(plain: Measured, change: Measured) -> Measured:
    return Measured(
        plain.value + change.value, None if plain.error is None else float(np.hypot(plain.error, change.error or 0.0))
    )
