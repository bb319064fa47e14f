"""What repairing a fault gives back: it is undone in the window's own rows, and the performance is told again, by
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
from monitor.analysis.performance import loss, measure, too_little, truth_of, weights_of
from monitor.analysis.question import Question
from monitor.analysis.reference import Reference
from monitor.analysis.relations import few
from monitor.analysis.summary import Categories, Numbers
from monitor.analysis.verdict import severity_by_limit
from monitor.cores import one_thread
from monitor.domain import phrases
from monitor.domain.checks import Finding, Kind, Severity

Floats = np.ndarray
# Columns that are repaired in a window, those of the largest importance; and how much of the answers the surrogate must
# explain for what it says to be told.
_COLUMNS, _EXPLAINS = 8, 0.5
# Rows in which it is repaired: what it costs is a mean over them, and their answers are most of what a repair takes.
_ROWS = 5_000
# What a metric is where all answers are equal, of which none is estimated.
_OF_EQUAL_ANSWERS = {"roc_auc": 0.5}
# What damages values of whole columns, by the checks that say so; a column that is not there at all cannot be held
# against what the model was given.
_DAMAGES = ("missing_share", "type_mismatch_share", "unique_count", "duplicate_column")
# Of an exchange of two values all rows are turned back from this share on.
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
    """So many of a window's rows as tell enough. frame: in the reference's types. inputs: the features, encoded, shape
    (rows, features). said: what the model answered, shape (rows, answers).
    """

    frame: pd.DataFrame
    inputs: Floats
    said: Floats

    @classmethod
    def of(cls, question: Question) -> RepairRows:
        """The rows of a question."""
        reference, frame = question.reference, few(question.window.frame, _ROWS)
        inputs = estimation.encode(frame.reindex(columns=reference.encoded_features), reference.summary.codes)
        return cls(frame, inputs, surrogate.answers_of(frame, reference))


@dataclass(frozen=True)
class Gain:
    """What a repair gives back. costs: how much better the model would have done, by metric, empty where that cannot be
    told. is_exact: as of the repair. by_labels: whether labels say so. others: the columns without whose repair this
    one gives back less than half of that.
    """

    costs: Mapping[str, float]
    is_exact: bool
    by_labels: bool = False
    others: tuple[str, ...] = ()


def with_repairs(question: Question, findings: Sequence[Finding], causes: Mapping[str, Cause]) -> list[Finding]:
    """The findings, those of faults in features with what these are likely to cost the model by what repairing them
    gives back; as they are where nothing can be told.

    causes: of the columns that changed. Without a repair the cost is that of the feature's importance, in as many rows
        as are affected.
    """
    reference = question.reference
    importance = reference.importance
    columns = dict.fromkeys(each.column for each in findings if _is_of_fault(reference, each))
    wanted = sorted((name for name in columns if name is not None), key=lambda name: -importance.get(name, 0.0))
    model = reference.surrogate if wanted and importance else None
    if model is None:
        return list(findings)
    if model.explains < _EXPLAINS:
        rough = phrases.rough_cost(max(model.explains, 0.0))
        return [
            replace(each, effect=phrases.sentences(each.effect, rough))
            if each.effect and _is_of_fault(reference, each)
            else each
            for each in findings
        ]
    rows = RepairRows.of(question)
    tried = {name: repaired(question, rows, name, causes.get(name)) for name in wanted[:_COLUMNS]}
    repairs = {name: repair for name, repair in tried.items() if repair is not None}
    gains = given_back(question, model, rows, repairs)
    return [_with_gain(question, each, gains) for each in findings]


def _with_gain(question: Question, finding: Finding, gains: Mapping[str, Gain]) -> Finding:
    """A finding with what its fault costs, where repairing its column tells that."""
    gain = gains.get(finding.column or "") if finding.segment is None else None
    return _with_cost(question, finding, gain) if gain is not None and gain.costs else finding


def _is_of_fault(reference: Reference, finding: Finding) -> bool:
    """Whether it is of a fault of a feature that may be undone. Values that are new to the model, and no fault, stay
    what they are: how it does on them nobody has seen.
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
    one, other = cause.pair
    if cause.name == "renamed category":
        return Repair(values.replace({other: one}), True)
    if cause.name == "category swap":
        share = (cause.share or 0.0) / max(float(values.isin(cause.pair).mean()), 1e-9)
        turned = values.replace({one: other, other: one})
        if share >= _ALL_ROWS:
            return Repair(turned, True)
        # Which rows were turned is not known: as many at random cost about as much.
        chosen = np.random.default_rng(question.reference.seed).random(len(frame)) < share
        return Repair(values.where(~chosen, turned), False)
    return Repair(frame[other], True) if cause.name == "swapped columns" else None


def _damaged(question: Question, frame: pd.DataFrame, name: str, cause: Cause | None) -> Floats:
    """Which rows hold a value that says nothing, shape (rows,): one that the fault has put there, one that the
    reference never held, or none where there were some.
    """
    values, before, reference = frame[name], question.reference.of_column(name), question.reference
    missing: Floats = values.isna().to_numpy()
    # As many are missing as were: these are no fault.
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
    """A column with values for its damaged rows of those rows of the reference that are most alike in all other
    features (hot deck); None where hardly any has one.
    """
    known, there = reference.few_encoded
    held = known[name].notna().to_numpy()
    if not held.any():
        return None
    others = [place for place, each in enumerate(reference.encoded_features) if each != name and each in rows.frame]
    if others:
        there, here = there[held][:, others], rows.inputs[damaged][:, others]
        present = np.isfinite(there)
        number = np.maximum(present.sum(axis=0), 1)
        middle = np.where(present, there, 0.0).sum(axis=0) / number
        width = np.sqrt((np.where(present, there - middle, 0.0) ** 2).sum(axis=0) / number)
        width[width == 0] = 1.0
        there, here = (np.clip(np.nan_to_num((each - middle) / width), -4, 4) for each in (there, here))
        neighbours = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(there)
        with one_thread():
            chosen = neighbours.kneighbors(here, return_distance=False)[:, 0]
    else:
        chosen = np.random.default_rng(reference.seed).integers(0, int(held.sum()), int(damaged.sum()))
    values = rows.frame[name].copy()
    values[damaged] = known[name].to_numpy()[held][chosen]
    return values


def given_back(
    question: Question, model: surrogate.Surrogate, rows: RepairRows, repairs: Mapping[str, Repair]
) -> dict[str, Gain]:
    """How much better the model would have done with each column repaired: by labels where the values are those that
    there were, else without them.

    The truth is held to follow what the model would have answered, as the reference's labels have it; what it did
    answer is judged by that.
    """
    reference = question.reference
    usable = np.isfinite(rows.said).all(axis=1)
    if usable.sum() < 2:
        return {name: Gain({}, repair.is_exact) for name, repair in repairs.items()}
    before, said, frame = rows.inputs[usable], rows.said[usable], rows.frame[usable]
    cases: list[tuple[dict[int, Floats], bool]] = []
    for name, repair in repairs.items():
        own, place = repair.values[usable].to_frame(name), reference.encoded_features.index(name)
        cases.append(({place: estimation.encode(own, reference.summary.codes)[:, 0]}, repair.is_exact))
    if len(cases) > 1:
        whole = {place: values for case, _ in cases for place, values in case.items()}
        cases.append((whole, all(is_exact for _, is_exact in cases)))
    answers = model.answers_if(said, before, *(case for case, _ in cases))
    gains, every = [], np.ones(len(before), dtype=bool)
    for (case, is_exact), would in zip(cases, answers, strict=True):
        by_labels = _by_labels(question, frame, would) if is_exact else {}
        costs = by_labels or _without_labels(reference, frame, said, would, surrogate.changed_rows(before, case, every))
        gains.append(Gain(costs, is_exact, by_labels=bool(by_labels)))
    singles = dict(zip(repairs, gains, strict=False))
    return singles if len(cases) < 2 else shared(singles, gains[-1], reference)


def shared(singles: Mapping[str, Gain], joint: Gain, reference: Reference) -> dict[str, Gain]:
    """Gains of single columns, each with its part of what only the repair of all gives back: where two columns are
    broken, either alone may give back nothing.

    That rest is shared by the columns' importance.
    """
    weights = {name: reference.importance.get(name, 0.0) for name in singles}
    total, metric = sum(weights.values()), reference.harm_metric or ""
    found = {}
    for name, gain in singles.items():
        part = weights[name] / total if total > 0 else 1 / len(singles)
        costs = dict(gain.costs)
        for each, cost in joint.costs.items():
            alone = sum(max(other.costs.get(each, 0.0), 0.0) for other in singles.values())
            costs[each] = max(costs.get(each, 0.0), 0.0) + part * max(cost - alone, 0.0)
        needs_others = gain.costs.get(metric, 0.0) < 0.5 * costs.get(metric, 0.0)
        others = tuple(other for other in singles if other != name) if needs_others else ()
        found[name] = replace(gain, costs=costs, others=others)
    return found


def _by_labels(question: Question, rows: pd.DataFrame, would: Floats) -> dict[str, float]:
    """The same by the labels of the rows; empty where too few are known."""
    reference, label = question.reference, question.reference.columns.label
    if label is None or label not in rows or not question.labelled:
        return {}
    there = truth_of(rows[label], reference.columns, reference.task, reference.summary.classes).notna().to_numpy()
    data = question.outcomes_of(rows[there])
    if data.rows != there.sum() or too_little(data):
        return {}
    better, worse = measure(surrogate.answering(reference, data, would[there])), measure(data)
    return {metric: loss(metric, better[metric].value, worse[metric].value) for metric in better if metric in worse}


def _without_labels(
    reference: Reference, rows: pd.DataFrame, said: Floats, would: Floats, inputs: Floats
) -> dict[str, float]:
    weights = weights_of(rows, reference.columns)
    weight = None if weights is None else weights.to_numpy()
    if weight is not None and weight.sum() <= 0:
        return {}
    line = reference.summary.calibration
    if reference.task == "regression":
        return _of_values(reference, said, would, inputs, weight)
    if line is None:
        return {}
    would = np.clip(would, 0, 1)
    if reference.task == "binary":
        chance = estimation.calibrated(would[:, 0], line)
        threshold = reference.columns.decision_threshold
        better, worse = (
            estimation.estimate_binary(each[:, 0], (each[:, 0] >= threshold).astype(float), chance, weight)
            for each in (would, said)
        )
    else:
        would = surrogate.as_shares(would)
        chances = estimation.calibrated_classes(would, line)
        better, worse = (
            estimation.estimate_multiclass(each, chances, each.argmax(axis=1), weight) for each in (would, said)
        )
    found = {}
    for name, value in better.items():
        metric = name.removeprefix("estimated_")
        before = worse[name].value if name in worse else _OF_EQUAL_ANSWERS.get(metric)
        if before is not None:
            found[metric] = loss(metric, value.value, before)
    return found


def _of_values(
    reference: Reference, said: Floats, would: Floats, inputs: Floats, weight: Floats | None
) -> dict[str, float]:
    """For regression: the truth lies about what would have been answered as far as the models of the error say,
    normally; and so far from what was.
    """
    models = reference.estimator.loss_models
    if not models:
        return {}
    absolute, squared = (estimation.expected_loss(model, np.column_stack([inputs, would[:, 0]])) for model, _ in models)
    moved = np.abs(said - would)[:, 0]
    scale = np.maximum(absolute, 1e-12) * np.sqrt(np.pi / 2)
    away = moved / scale
    folded = scale * np.sqrt(2 / np.pi) * np.exp(-(away**2) / 2) + moved * (1 - 2 * ndtr(-away))
    more = float(np.average(folded - np.maximum(absolute, 1e-12), weights=weight))
    root, with_fault = (float(np.sqrt(np.average(each, weights=weight))) for each in (squared, squared + moved**2))
    return {"mae": more, "rmse": with_fault - root}


def _with_cost(question: Question, finding: Finding, gain: Gain) -> Finding:
    """A finding with what its fault costs, by importance where a metric cannot be told without labels: severity, origin
    and words follow from that.

    A fault that costs nothing is no reason to repair before a model is trained anew. One whose repair, by labels, gives
    back a loss that counts is one.
    """
    metric, costs = question.reference.harm_metric or "", gain.costs
    if not _is_of_fault(question.reference, finding):
        return replace(finding, cost=max(costs.get(metric, 0.0), 0.0)) if finding.kind is Kind.DRIFT else finding
    share = min(finding.value or 0.0 if finding.share is None else finding.share, 1.0)
    usual = {
        name: share * each.get(finding.column or "", 0.0)
        for name, each in question.reference.summary.importances.items()
    }
    found = effect_of(question, usual | {name: max(cost, 0.0) for name, cost in costs.items()})
    is_drift = finding.kind is Kind.DRIFT
    proven = is_drift and gain.by_labels and found.severity >= Severity.WARNING
    origin = "pipeline" if proven else finding.origin
    severity = max(
        found.severity if not is_drift or origin == "pipeline" else Severity.INFO, severity_by_limit(question, finding)
    )
    if is_drift:  # of columns that carry much, where performance is out of sight
        severity = max(severity, finding.severity)
    if found.severity is Severity.INFO and origin != "pipeline":
        text = ""
    elif found.severity is Severity.INFO:
        text = phrases.repair_gives_nothing(max(costs.get(metric, 0.0), 0.0), metric)
    else:
        repair = (
            phrases.repair_gives_back(certain=gain.by_labels, others=gain.others)
            if gain.is_exact
            else phrases.cannot_be_repaired()
        )
        text = phrases.sentences(phrases.costs(found.beyond, if_fault=is_drift and origin == "unknown"), repair)
    if is_drift or asks_for_cause(finding):
        text = phrases.sentences(phrases.origin(origin), text)
    return replace(finding, cost=found.cost, severity=severity, origin=origin, effect=text)
