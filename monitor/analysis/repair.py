"""What repairing a fault gives back: it is undone in the window's own rows, and performance is worked out again, with
labels or without them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import ndtr
from sklearn.neighbors import NearestNeighbors

from monitor.analysis import estimation, surrogate
from monitor.analysis.checks.base import effect_of
from monitor.analysis.diagnosis import asks_for_cause
from monitor.analysis.evidence import affected
from monitor.analysis.kinds import Cause
from monitor.analysis.performance import measure, too_little, truth_of, weights_of
from monitor.analysis.question import Question
from monitor.analysis.reference import Reference
from monitor.analysis.relations import subsample
from monitor.analysis.summary import Categories, Numbers
from monitor.analysis.verdict import severity_by_limit
from monitor.cores import one_thread
from monitor.domain import phrases
from monitor.domain.checks import Finding, Kind, Severity
from monitor.domain.losses import loss
from monitor.domain.metrics import REGRESSIONS

Floats = np.ndarray
# The most columns that are repaired in a window, those of the largest importance; and the share of the answers'
# variance that the surrogate must explain for its answers to be used.
_COLUMNS, _EXPLAINS = 8, 0.5
# The most rows in which a fault is repaired. Its cost is a mean over them, and predicting their answers takes most of
# the time of a repair.
_ROWS = 5_000
# The value of a metric where all answers are equal: it is not estimated then.
_OF_EQUAL_ANSWERS = {"roc_auc": 0.5}
# The metrics of checks that show damaged values of whole columns. For an absent column it is not known what the model
# was given.
_DAMAGES = ("missing_share", "type_mismatch_share", "unique_count", "duplicate_column")
# From this share of rows on, an exchange of two values is undone in all rows.
_ALL_ROWS = 0.8


@dataclass(frozen=True)
class Repair:
    """A column without its fault. values: shape (rows,). is_exact: whether they are those that there were; else they
    are drawn from rows of the reference that are alike.
    """

    values: pd.Series
    is_exact: bool


@dataclass(frozen=True)
class RepairRows:
    """A subsample of a window's rows. frame: in the reference's types. inputs: the features, encoded, shape (rows,
    features). answers: the model's, shape (rows, answers).
    """

    frame: pd.DataFrame
    inputs: Floats
    answers: Floats

    @classmethod
    def of(cls, question: Question) -> RepairRows:
        """The rows of a question."""
        reference, frame = question.reference, subsample(question.window.frame, _ROWS)
        inputs = estimation.encode(frame.reindex(columns=reference.encoded_features), reference.summary.codes)
        return cls(frame, inputs, surrogate.answers_of(frame, reference))


@dataclass(frozen=True)
class Gain:
    """What a repair gives back. costs: how much better the model would have done, by metric; empty where that is not
    known. is_exact: as of the repair. by_labels: whether the costs were measured with labels. needed_columns: the
    columns that must be repaired as well, since this repair alone gives back less than half.
    """

    costs: Mapping[str, float]
    is_exact: bool
    by_labels: bool = False
    needed_columns: tuple[str, ...] = ()


def with_repairs(question: Question, findings: Sequence[Finding], causes: Mapping[str, Cause]) -> list[Finding]:
    """The findings. Those of faults in features get the cost that repairing them gives back. Findings whose cost cannot
    be worked out stay as they are.

    causes: of the columns that changed. Without a repair the cost is that of the feature's importance, in as many rows
        as are affected.
    """
    reference = question.reference
    importance = reference.importance
    columns = dict.fromkeys(finding.column for finding in findings if _is_of_fault(reference, finding))
    wanted = sorted((name for name in columns if name is not None), key=lambda name: -importance.get(name, 0.0))
    model = reference.surrogate if wanted and importance else None
    if model is None:
        return list(findings)
    if model.explains < _EXPLAINS:
        rough = phrases.rough_cost(max(model.explains, 0.0))
        return [
            replace(finding, effect=phrases.sentences(finding.effect, rough))
            if finding.effect and _is_of_fault(reference, finding)
            else finding
            for finding in findings
        ]
    rows = RepairRows.of(question)
    tried = {name: repaired(question, rows, name, causes.get(name)) for name in wanted[:_COLUMNS]}
    repairs = {name: repair for name, repair in tried.items() if repair is not None}
    gains = given_back(question, model, rows, repairs)
    return [_with_gain(question, finding, gains) for finding in findings]


def _with_gain(question: Question, finding: Finding, gains: Mapping[str, Gain]) -> Finding:
    """A finding with the cost of its fault, where repairing its column gives one."""
    gain = gains.get(finding.column or "") if finding.segment is None else None
    return _with_cost(question, finding, gain) if gain is not None and gain.costs else finding


def _is_of_fault(reference: Reference, finding: Finding) -> bool:
    """Whether it is of a fault of a feature that may be undone. Values that are new to the model, but no fault, are not
    undone: the performance on them is unknown.
    """
    if finding.segment is not None or finding.column not in reference.encoded_features:
        return False
    return finding.metric in _DAMAGES or finding.origin in ("pipeline", "unknown")


def repaired(question: Question, rows: RepairRows, name: str, cause: Cause | None) -> Repair | None:
    """A column of some of the window's rows without its fault; None where nothing is known to undo."""
    frame = rows.frame
    if name not in frame:
        return None
    if cause is not None and cause.is_fault:
        undone = _undone(question, frame, name, cause)
        if undone is not None:
            return undone
    damaged = _damaged(question, frame, name, cause)
    if not damaged.any():
        return None
    drawn = _drawn(question.reference, rows, name, damaged)
    return None if drawn is None else Repair(drawn, False)


def _undone(question: Question, frame: pd.DataFrame, name: str, cause: Cause) -> Repair | None:
    """The column by the inverse of what was done to it; None where it has none."""
    values, before = frame[name], question.reference.of_column(name)
    if cause.unit is not None and before is not None:
        flags = affected(cause.claim, values, before)
        return None if flags is None else Repair(values.where(~flags, cause.unit.undone(values)), True)
    if cause.pair is None:
        return None
    first, second = cause.pair
    if cause.name == "renamed category":
        return Repair(values.replace({second: first}), True)
    if cause.name == "category swap":
        share = (cause.share or 0.0) / max(float(values.isin(cause.pair).mean()), 1e-9)
        exchanged = values.replace({first: second, second: first})
        if share >= _ALL_ROWS:
            return Repair(exchanged, True)
        # Which rows were turned is not known: as many at random cost about as much.
        chosen = np.random.default_rng(question.reference.seed).random(len(frame)) < share
        return Repair(values.where(~chosen, exchanged), False)
    return Repair(frame[second], True) if cause.name == "swapped columns" else None


def _damaged(question: Question, frame: pd.DataFrame, name: str, cause: Cause | None) -> Floats:
    """Which rows hold a damaged value, shape (rows,): one that the fault has written, one that the reference never
    held, or a missing one where there used to be a value.
    """
    values, before, reference = frame[name], question.reference.of_column(name), question.reference
    missing: Floats = values.isna().to_numpy()
    # As many missing values as in the reference are no fault.
    usual = reference.missing(name) / reference.rows
    order = np.random.default_rng(reference.seed).permutation(np.flatnonzero(missing))
    damaged = np.zeros(len(values), dtype=bool)
    damaged[order[: max(len(order) - round(usual * len(values)), 0)]] = True
    if cause is not None and cause.values:
        damaged |= values.isin(list(cause.values)).to_numpy()
    if isinstance(before, Categories):
        damaged |= ~missing & ~values.isin(before.tally.index).to_numpy()
    elif isinstance(before, Numbers):
        numbers = values.to_numpy(dtype=float)
        damaged |= (numbers < before.low) | (numbers > before.high)
    summary = question.of_column(name)
    if summary is not None and summary.distinct == 1 and before is not None and before.distinct > 1:
        damaged |= ~missing
    return damaged


def _drawn(reference: Reference, rows: RepairRows, name: str, damaged: Floats) -> pd.Series | None:
    """A column whose damaged rows get the values of the reference's rows that are most similar in all other features
    (hot deck); None where the reference has no values.
    """
    donors, donor_inputs = reference.subsample_encoded
    has_value = donors[name].notna().to_numpy()
    if not has_value.any():
        return None
    other_places = [
        place for place, feature in enumerate(reference.encoded_features) if feature != name and feature in rows.frame
    ]
    if other_places:
        donor_inputs, damaged_inputs = donor_inputs[has_value][:, other_places], rows.inputs[damaged][:, other_places]
        present = np.isfinite(donor_inputs)
        number = np.maximum(present.sum(axis=0), 1)
        middle = np.where(present, donor_inputs, 0.0).sum(axis=0) / number
        width = np.sqrt((np.where(present, donor_inputs - middle, 0.0) ** 2).sum(axis=0) / number)
        width[width == 0] = 1.0
        donor_inputs, damaged_inputs = (
            np.clip(np.nan_to_num((side - middle) / width), -4, 4) for side in (donor_inputs, damaged_inputs)
        )
        neighbours = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(donor_inputs)
        with one_thread():
            chosen = neighbours.kneighbors(damaged_inputs, return_distance=False)[:, 0]
    else:
        chosen = np.random.default_rng(reference.seed).integers(0, int(has_value.sum()), int(damaged.sum()))
    values = rows.frame[name].copy()
    values[damaged] = donors[name].to_numpy()[has_value][chosen]
    return values


def given_back(
    question: Question, model: surrogate.Surrogate, rows: RepairRows, repairs: Mapping[str, Repair]
) -> dict[str, Gain]:
    """How much better the model would have done with each column repaired: measured with labels where the repair is
    exact, else estimated without them.

    Without labels the truth is assumed to follow the answers to the repaired rows, as the reference's labels do. The
    answers that were given are judged by that.
    """
    reference = question.reference
    usable = np.isfinite(rows.answers).all(axis=1)
    if usable.sum() < 2:
        return {name: Gain({}, repair.is_exact) for name, repair in repairs.items()}
    before, answers, frame = rows.inputs[usable], rows.answers[usable], rows.frame[usable]
    cases: list[tuple[dict[int, Floats], bool]] = []
    for name, repair in repairs.items():
        own, place = repair.values[usable].to_frame(name), reference.encoded_features.index(name)
        cases.append(({place: estimation.encode(own, reference.summary.codes)[:, 0]}, repair.is_exact))
    if len(cases) > 1:
        whole = {place: values for case, _ in cases for place, values in case.items()}
        cases.append((whole, all(is_exact for _, is_exact in cases)))
    answers_by_case = model.answers_if(answers, before, *(case for case, _ in cases))
    gains, all_rows = [], np.ones(len(before), dtype=bool)
    for (case, is_exact), new_answers in zip(cases, answers_by_case, strict=True):
        by_labels = _by_labels(question, frame, new_answers) if is_exact else {}
        costs = by_labels or _without_labels(
            reference, frame, answers, new_answers, surrogate.changed_rows(before, case, all_rows)
        )
        gains.append(Gain(costs, is_exact, by_labels=bool(by_labels)))
    singles = dict(zip(repairs, gains, strict=False))
    return singles if len(cases) < 2 else shared(singles, gains[-1], reference)


def shared(singles: Mapping[str, Gain], joint: Gain, reference: Reference) -> dict[str, Gain]:
    """Gains of single columns, each with its part of what only the repair of all gives back: where two columns are
    broken, the repair of one alone may give back nothing. Each part is in proportion to the column's importance.
    """
    weights = {name: reference.importance.get(name, 0.0) for name in singles}
    total, metric = sum(weights.values()), reference.harm_metric or ""
    result = {}
    for name, gain in singles.items():
        part = weights[name] / total if total > 0 else 1 / len(singles)
        costs = dict(gain.costs)
        for cost_metric, cost in joint.costs.items():
            alone = sum(max(single.costs.get(cost_metric, 0.0), 0.0) for single in singles.values())
            costs[cost_metric] = max(costs.get(cost_metric, 0.0), 0.0) + part * max(cost - alone, 0.0)
        needs_others = gain.costs.get(metric, 0.0) < 0.5 * costs.get(metric, 0.0)
        needed = tuple(column for column in singles if column != name) if needs_others else ()
        result[name] = replace(gain, costs=costs, needed_columns=needed)
    return result


def _by_labels(question: Question, rows: pd.DataFrame, new_answers: Floats) -> dict[str, float]:
    """What a repair gives back, measured with the labels of the rows; empty where too few are known."""
    reference, label = question.reference, question.reference.columns.label
    if label is None or label not in rows or not question.labelled:
        return {}
    has_label = truth_of(rows[label], reference.columns, reference.task, reference.summary.classes).notna().to_numpy()
    data = question.outcomes_of(rows[has_label])
    if data.rows != has_label.sum() or too_little(data):
        return {}
    better, worse = measure(surrogate.answering(reference, data, new_answers[has_label])), measure(data)
    return {metric: loss(metric, better[metric].value, worse[metric].value) for metric in better if metric in worse}


def _without_labels(
    reference: Reference, rows: pd.DataFrame, answers: Floats, new_answers: Floats, inputs: Floats
) -> dict[str, float]:
    weights = weights_of(rows, reference.columns)
    weight = None if weights is None else weights.to_numpy()
    if weight is not None and weight.sum() <= 0:
        return {}
    line = reference.summary.calibration
    if reference.task in REGRESSIONS:
        return _of_values(reference, answers, new_answers, inputs, weight)
    if line is None:
        return {}
    new_answers = np.clip(new_answers, 0, 1)
    if reference.task == "binary":
        chance = estimation.calibrated(new_answers[:, 0], line)
        threshold = reference.columns.decision_threshold
        better, worse = (
            estimation.estimate_binary(scores[:, 0], (scores[:, 0] >= threshold).astype(float), chance, weight)
            for scores in (new_answers, answers)
        )
    else:
        new_answers = surrogate.as_shares(new_answers)
        chances = estimation.calibrated_classes(new_answers, line)
        better, worse = (
            estimation.estimate_multiclass(scores, chances, scores.argmax(axis=1), weight)
            for scores in (new_answers, answers)
        )
    costs = {}
    for name, value in better.items():
        metric = name.removeprefix("estimated_")
        before = worse[name].value if name in worse else _OF_EQUAL_ANSWERS.get(metric)
        if before is not None:
            costs[metric] = loss(metric, value.value, before)
    return costs


def _of_values(
    reference: Reference, answers: Floats, new_answers: Floats, inputs: Floats, weight: Floats | None
) -> dict[str, float]:
    """For regression: the truth is assumed to be normally distributed about the new answers, with the spread of the
    models of the error. The errors of both answers follow from that.
    """
    models = reference.estimator.loss_models
    if not models:
        return {}
    absolute, squared = (
        estimation.expected_loss(model, np.column_stack([inputs, new_answers[:, 0]])) for model, _ in models
    )
    moved = np.abs(answers - new_answers)[:, 0]
    scale = np.maximum(absolute, 1e-12) * np.sqrt(np.pi / 2)
    away = moved / scale
    folded = scale * np.sqrt(2 / np.pi) * np.exp(-(away**2) / 2) + moved * (1 - 2 * ndtr(-away))
    more = float(np.average(folded - np.maximum(absolute, 1e-12), weights=weight))
    root, with_fault = (
        float(np.sqrt(np.average(squares, weights=weight))) for squares in (squared, squared + moved**2)
    )
    return {"mae": more, "rmse": with_fault - root}


def _with_cost(question: Question, finding: Finding, gain: Gain) -> Finding:
    """A finding with the cost of its fault, by importance where a metric cannot be estimated without labels. Severity,
    origin and text follow from the cost.

    A fault that costs nothing need not be repaired before a model is trained anew. One whose repair, measured with
    labels, gives back a loss that counts must be.
    """
    metric, costs = question.reference.harm_metric or "", gain.costs
    if not _is_of_fault(question.reference, finding):
        return replace(finding, cost=max(costs.get(metric, 0.0), 0.0)) if finding.kind is Kind.DRIFT else finding
    share = min(finding.value or 0.0 if finding.share is None else finding.share, 1.0)
    usual = {
        name: share * by_column.get(finding.column or "", 0.0)
        for name, by_column in question.reference.summary.importances.items()
    }
    effect = effect_of(question, usual | {name: max(cost, 0.0) for name, cost in costs.items()})
    is_drift = finding.kind is Kind.DRIFT
    proven = is_drift and gain.by_labels and effect.severity >= Severity.WARNING
    origin = "pipeline" if proven else finding.origin
    severity = max(
        effect.severity if not is_drift or origin == "pipeline" else Severity.INFO, severity_by_limit(question, finding)
    )
    if is_drift:  # of columns that carry much, where performance is out of sight
        severity = max(severity, finding.severity)
    if effect.severity is Severity.INFO and origin != "pipeline":
        text = ""
    elif effect.severity is Severity.INFO:
        text = phrases.repair_gives_nothing(max(costs.get(metric, 0.0), 0.0), metric)
    else:
        repair = (
            phrases.repair_gives_back(certain=gain.by_labels, others=gain.needed_columns)
            if gain.is_exact
            else phrases.cannot_be_repaired()
        )
        text = phrases.sentences(phrases.costs(effect.beyond, if_fault=is_drift and origin == "unknown"), repair)
    if is_drift or asks_for_cause(finding):
        text = phrases.sentences(phrases.origin(origin), text)
    return replace(finding, cost=effect.cost, severity=severity, origin=origin, effect=text)
