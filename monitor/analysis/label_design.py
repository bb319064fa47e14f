"""Which rows of a window are to be labelled so that its performance is known soonest, and with which probability each
is drawn.

Rows are drawn with probability proportional to how much their label is expected to move the metric (Neyman allocation,
one row at a time: Särndal, Swensson and Wretman, Model Assisted Survey Sampling, 1992, chapter 12; Kossen et al.,
Active Testing, 2021). A part of each probability is equal for all rows, so no row is left out, and weights are bounded
whatever the model of the loss is worth (Hesterberg, 1995).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from monitor.analysis import estimation
from monitor.analysis.performance import Answers, probabilities
from monitor.domain.metrics import REGRESSIONS

if TYPE_CHECKING:
    from monitor.analysis.reference import Reference

Floats = np.ndarray
# The part of each row's probability that is the same for all rows: none weighs more than twice as much as in a random
# draw, and no model of the labels makes the interval more than half as wide again.
EQUAL_SHARE = 0.5
# With fewer labelled rows no model of the labels is fitted; from so many recent ones on they outweigh the reference's.
_LEAST_LABELLED, _ENOUGH_RECENT = 100, 500
# How many recent rows stand beside one of the reference.
_RECENT_PER_REFERENCE = 4
# A chance is never trusted to be farther from one half than this allows, nor an error to be steadier than its size.
_LEAST_DEVIATION, _LEAST_SHARE_OF_ERROR = 0.1, 0.25
# Rows are drawn evenly over the window's time; within one draw the order is random, so that no rhythm of the data meets
# that of the draws.
_DRAWS_IN_BLOCK = 1.0
_FOLDS = 3


@dataclass(frozen=True)
class ExpectedLabels:
    """What is expected of each row's label before it comes.

    usable: which rows have an answer that a metric can be worked out of, shape (rows,).
    expected: of a binary model the chance of the positive class, of a multiclass model that the prediction is right, of
        a regression the absolute error; shape (rows,). deviation: the standard deviation of that, shape (rows,).
    """

    answers: Answers
    usable: Floats
    expected: Floats
    deviation: Floats

    @classmethod
    def of(cls, reference: Reference, frame: pd.DataFrame, recent: pd.DataFrame | None = None) -> ExpectedLabels:
        """By a model that is fitted on the reference and on recent labelled rows; from their seed, so it is the same
        each time.

        frame, recent: in the reference's column types. Labels of `frame` are not used.
        """
        answers = Answers.of(frame, reference.columns, reference.task, reference.summary.classes)
        usable = np.asarray(pd.notna(answers.prediction))
        if answers.scores is not None:
            usable &= np.isfinite(answers.scores).all(axis=1)
        if reference.task in REGRESSIONS:
            usable &= reference.estimator.is_usable(frame)
        inputs, target = _training(reference, recent)
        if len(target) < _LEAST_LABELLED or not usable.any():
            expected = np.full(len(frame), 0.5 if reference.task not in REGRESSIONS else 0.0)
            return cls(answers, usable, expected, np.full(len(frame), 0.5))
        model = estimation.GradientBoosting(inputs, target, reference.seed)
        expected = model.predict(_inputs(reference, frame, answers))
        if reference.task not in REGRESSIONS:
            expected = np.clip(expected, 0.0, 1.0)
            return cls(answers, usable, expected, np.hypot(_LEAST_DEVIATION, np.sqrt(expected * (1 - expected))))
        expected = np.clip(expected, 0.0, None)
        noise = estimation.GradientBoosting(inputs, _squared_residuals(inputs, target, reference.seed), reference.seed)
        variance = np.clip(noise.predict(_inputs(reference, frame, answers)), 0.0, None)
        least = _LEAST_SHARE_OF_ERROR * np.maximum(expected, float(target.mean()) / 4)
        return cls(answers, usable, expected, np.maximum(np.sqrt(variance), least))


def _training(reference: Reference, recent: pd.DataFrame | None) -> tuple[Floats, Floats]:
    """Inputs, shape (rows, inputs), and what is to be expected of each label, shape (rows,)."""
    parts = []
    number = 0 if recent is None else len(recent)
    if reference.summary.labelled:
        frame = reference.frame
        if number >= _ENOUGH_RECENT and _RECENT_PER_REFERENCE * len(frame) > number:
            frame = frame.sample(max(number // _RECENT_PER_REFERENCE, 1), random_state=reference.seed)
        parts.append(frame)
    if recent is not None and number:
        parts.append(recent)
    inputs, targets = [], []
    for part in parts:
        answers = Answers.of(part, reference.columns, reference.task, reference.summary.classes)
        target = _targets(answers)
        has_target = np.isfinite(target)
        inputs.append(_inputs(reference, part, answers)[has_target])
        targets.append(target[has_target])
    if not parts:
        return np.zeros((0, 0)), np.zeros(0)
    return np.vstack(inputs), np.concatenate(targets)


def _targets(answers: Answers) -> Floats:
    """What `ExpectedLabels.expected` is of each row; NaN where the label or the answer is missing; shape (rows,)."""
    if answers.truth is None:
        return np.full(len(answers.prediction), np.nan)
    if answers.task in REGRESSIONS:
        return np.asarray(np.abs(answers.truth - answers.prediction))
    if answers.task == "binary":
        return np.asarray(answers.truth, dtype=float)
    known = pd.notna(answers.truth) & pd.notna(answers.prediction)
    return np.where(known, (answers.truth == answers.prediction).astype(float), np.nan)


def _inputs(reference: Reference, frame: pd.DataFrame, answers: Answers) -> Floats:
    names = list(reference.columns.probabilities.values())
    encoded = reference.encoded(frame)
    if answers.task == "binary":
        encoded[:, -1] = answers.prediction
    return np.column_stack([encoded, probabilities(frame, reference.columns)]) if names else encoded


def _squared_residuals(inputs: Floats, target: Floats, seed: int) -> Floats:
    """How far each target is from what other rows lead to expect, squared; shape (rows,)."""
    folds = np.random.default_rng(seed).permutation(len(target)) % _FOLDS
    residuals = np.empty(len(target))
    for fold in range(_FOLDS):
        outside = folds != fold
        model = estimation.GradientBoosting(inputs[outside], target[outside], seed)
        residuals[~outside] = target[~outside] - model.predict(inputs[~outside])
    return residuals**2


def inclusion_probabilities(importance: Floats, budget: int, equal_share: float = EQUAL_SHARE) -> Floats:
    """The probability with which each row is drawn, with the sum `budget`; shape (rows,).

    importance: how much a row's label is expected to move the metric; rows with 0 have no usable answer and are never
        drawn. All others have at least `equal_share` times the mean probability.
    """
    eligible = importance > 0
    number = int(eligible.sum())
    chance = np.zeros(len(importance))
    if budget >= number:
        chance[eligible] = 1.0
        return chance
    size = np.where(eligible, (1 - equal_share) * importance / importance[eligible].mean() + equal_share, 0.0)
    certain = np.zeros(len(importance), dtype=bool)
    while True:
        left = eligible & ~certain
        scaled = (budget - certain.sum()) * size / size[left].sum()
        above = left & (scaled >= 1.0)
        if not above.any():
            break
        certain |= above
    chance[left] = scaled[left]
    chance[certain] = 1.0
    return chance


def drawn(chance: Floats, times: Floats | None, seed: int) -> Floats:
    """The places of the rows that are drawn, each with its probability, in the order of time; shape (rows drawn,).

    Systematic sampling (Madow, 1949). chance: from `inclusion_probabilities`. times: of the rows, shape (rows,); None:
    random order. The number drawn is the sum of the probabilities.
    """
    order = draw_order(chance, times, seed)
    if not len(order):
        return order
    ends = np.cumsum(chance[order])
    number = round(float(ends[-1]))
    start = np.random.default_rng([seed, 1]).random()
    marks = np.clip((start + np.arange(number)) * ends[-1] / max(number, 1), None, np.nextafter(ends[-1], 0))
    return np.asarray(order[np.unique(np.searchsorted(ends, marks, side="right"))])


def draw_order(chance: Floats, times: Floats | None, seed: int) -> Floats:
    """The rows with a probability above zero in the order in which they are drawn, shape (rows,)."""
    random = np.random.default_rng([seed, 0])
    places = random.permutation(np.flatnonzero(chance > 0))
    if times is None:
        return places
    places = places[np.argsort(times[places], kind="stable")]
    blocks = np.floor(np.cumsum(chance[places]) / _DRAWS_IN_BLOCK)
    return places[np.lexsort((random.random(len(places)), blocks))]


def seed_of(*parts: object) -> int:
    """A seed that follows from what a list is drawn for."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big")
