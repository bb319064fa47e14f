"""Names in `checks`: each must be one that can page in this monitor; any other is a mistake, not silence."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from monitor.domain.columns import Columns
from monitor.domain.metrics import (
    DRIFT_METHODS,
    METRICS,
    Level,
    Metric,
    Part,
    harm_for,
    hint,
    why_no_harm,
    why_no_threshold,
)
from monitor.domain.own_metrics import COST, Cost
from monitor.domain.text import listed, quoted
from monitor.errors import UsageError

if TYPE_CHECKING:
    from monitor.domain.checks import Checks

# The drift method of all columns of a kind, beside those of single columns.
COLUMN_KINDS = ("numerical", "categorical")
# The part of the columns without which a metric is never worked out.
_NEEDED_PARTS = {
    "attribution_drift": "attributions",
    "attribution_ndcg": "attributions",
    "item_coverage": "item",
    "novelty": "item",
    "coverage_error": "lower",
    "interval_coverage": "lower",
}
# Types of values in words, where their name does not say it.
_TYPES = {"text_form": "text", "other": "one that nothing compares", "empty": "unknown: it is empty in the reference"}


@dataclass(frozen=True)
class NamesInChecks:
    """The names that checks hold: metrics with a harm, the columns of each metric's threshold, drift methods by column,
    segment columns. own: the task of each metric of the user's own, None: any. cost: what mistakes cost.
    """

    harm: Collection[str] = ()
    thresholds: Mapping[str, Collection[str]] = field(default_factory=dict)
    drift_methods: Mapping[str, str] = field(default_factory=dict)
    segments: Collection[str] = ()
    own: Mapping[str, str | None] = field(default_factory=dict)
    cost: Cost | None = None


@dataclass(frozen=True)
class ModelFacts:
    """What is known of the model and its data; None where it is not known (yet).

    probability: whether the model's probabilities are there. labels: whether labels of production are.
    columns: those that are checked. segments: those whose values are looked at one by one.
    types: of each column of the reference, what it is to the model and the type of its values. parts: the parts of
        `Columns` that are set.
    """

    task: str | None = None
    probability: bool | None = None
    labels: bool | None = None
    columns: Collection[str] | None = None
    segments: Collection[str] | None = None
    types: Mapping[str, tuple[Part, str]] | None = None
    parts: Collection[str] | None = None


@dataclass(frozen=True)
class Mistake:
    """What is wrong, and under which keys it stands."""

    keys: tuple[str | int, ...]
    text: str


def checked_columns(columns: Columns, names: list[str]) -> list[str]:
    """The columns that can page, of a log with the columns `names`: features, predictions and the label."""
    return list(_parts(columns, names))


def described(columns: Columns, types: Mapping[str, str]) -> dict[str, tuple[Part, str]]:
    """What each column that can page is to the model, and the type of its values. types: of the reference's columns."""
    return {name: (part, types[name]) for name, part in _parts(columns, list(types)).items() if name in types}


def _parts(columns: Columns, names: list[str]) -> dict[str, Part]:
    predictions = (columns.prediction, *columns.probabilities.values())
    parts = dict.fromkeys(columns.feature_names(names), Part.FEATURE)
    parts |= {name: Part.PREDICTION for name in predictions if name is not None}
    return parts | ({} if columns.label is None else {columns.label: Part.LABEL})


def mistakes(named: NamesInChecks, watched: ModelFacts) -> Iterator[Mistake]:
    """The names that can never page, each with what to write in its place."""
    yield from _of_own(named, watched)
    for name in named.harm:
        if name in named.own:
            continue
        if why := why_no_harm(name, watched.task) or _lacks_part(name, watched) or _cannot_be_harm(name, watched):
            yield Mistake(("harm", name), why)
    for name, columns in named.thresholds.items():
        if name.removeprefix("estimated_") in named.own:
            if columns:
                text = f"'{name}' is a metric of the whole window: it has no columns"
                yield Mistake(("thresholds", name, "columns"), text)
            continue
        why = why_no_threshold(name, watched.task) or _lacks_part(name, watched) or _cannot_be_compared(name, watched)
        if why:
            yield Mistake(("thresholds", name), why)
        elif columns and METRICS[name].level is not Level.COLUMN:
            yield Mistake(
                ("thresholds", name, "columns"), f"'{name}' is a metric of the whole window: it has no columns"
            )
        elif not columns and (why := _computed_for_no_column(METRICS[name], watched)):
            yield Mistake(("thresholds", name), why)
        else:
            for column in columns:
                keys = ("thresholds", name, "columns", column)
                yield from _of_column(column, keys, watched.columns)
                if why := why_not_asked(METRICS[name], column, watched):
                    yield Mistake(keys, why)
    for column, method in named.drift_methods.items():
        if method not in DRIFT_METHODS:
            text = f"there is no drift method '{method}'; {hint(method, DRIFT_METHODS, 'methods')}"
            yield Mistake(("drift_methods", column), text)
        if column not in COLUMN_KINDS:
            yield from _of_column(column, ("drift_methods", column), watched.columns, COLUMN_KINDS)
            if why := why_not_asked(METRICS["drift_score"], column, watched):
                yield Mistake(("drift_methods", column), why)
    for index, column in enumerate(named.segments):
        if watched.segments is not None and column not in watched.segments:
            text = f"'{column}' is no segment column; {hint(column, watched.segments, 'segment columns')}"
            yield Mistake(("segments", index), text)


def parts_set(columns: Columns) -> set[str]:
    """The parts that are set: those that some metrics need."""
    return {part for part in set(_NEEDED_PARTS.values()) if getattr(columns, part) is not None}


def _lacks_part(name: str, watched: ModelFacts) -> str:
    """Which part of the columns a metric needs that is not set; '' if it needs none, or nobody knows."""
    part = _NEEDED_PARTS.get(name)
    if part is None or watched.parts is None or part in watched.parts:
        return ""
    return f"'{name}' needs columns.{part}, which is not set"


def _of_own(named: NamesInChecks, watched: ModelFacts) -> Iterator[Mistake]:
    if named.cost is not None and (why := named.cost.why_not(watched.task)):
        yield Mistake(("cost",), why)
    for name, task in named.own.items():
        if task is not None and watched.task is not None and task != watched.task and name != COST:
            yield Mistake(("metrics", name, "task"), f"'{name}' is for {task}; this model's task is {watched.task}")


def check_names(checks: Checks, task: str, columns: Columns, names: Collection[str]) -> None:
    """Raise UsageError if checks name what can never page of a reference: metrics of another task, columns that it does
    not check.

    columns, names: the reference's parts, and the columns that it keeps.
    """
    watched = ModelFacts(
        task,
        bool(columns.probabilities),
        None,
        checked_columns(columns, list(names)),
        columns.segments,
        parts=parts_set(columns),
    )
    raise_mistakes(checks.named, watched)


def raise_mistakes(named: NamesInChecks, watched: ModelFacts) -> None:
    """Raise a UsageError that lists every mistake."""
    texts = [f"checks.{'.'.join(map(str, mistake.keys))}: {mistake.text}" for mistake in mistakes(named, watched)]
    if texts:
        raise UsageError("\n".join(texts))


def why_not_asked(metric: Metric, column: str, watched: ModelFacts) -> str:
    """Why a metric is never worked out for a column that is there; '' if it is, or nobody knows."""
    if metric.level is not Level.COLUMN or column not in (watched.types or {}):
        return ""
    assert watched.types is not None
    part, kind = watched.types[column]
    if metric.is_asked_of(part, kind, watched.task or ""):
        return ""
    what = f"whose type is {_TYPES.get(kind, kind)}" if part in metric.parts else f"which is a {part.value}"
    other_columns = _columns_with_metric(metric, watched)
    rest = f"; it is for: {listed(other_columns)}" if other_columns else ", nor for any other column"
    return f"'{metric.name}' is not worked out for {quoted(column)}, {what}{rest}"


def _columns_with_metric(metric: Metric, watched: ModelFacts) -> list[str]:
    types = (watched.types or {}).items()
    return [name for name, (part, kind) in types if metric.is_asked_of(part, kind, watched.task or "")]


def _computed_for_no_column(metric: Metric, watched: ModelFacts) -> str:
    if metric.level is not Level.COLUMN or watched.types is None or _columns_with_metric(metric, watched):
        return ""
    types = f": none is of the type {' or '.join(metric.types)}" if metric.types else ""
    return f"'{metric.name}' is not worked out for any column of this model{types}"


def _of_column(
    column: str, keys: tuple[str, ...], columns: Collection[str] | None, further: tuple[str, ...] = ()
) -> Iterator[Mistake]:
    if columns is not None and column not in columns:
        text = f"there is no column '{column}' that is checked; {hint(column, [*columns, *further], 'columns')}"
        yield Mistake(keys, text)


def _cannot_be_harm(name: str, watched: ModelFacts) -> str:
    """Why a metric can be neither realised nor estimated in this monitor; '' if it can."""
    possible = [metric for metric in harm_for(watched.task) if _is_computed(metric, watched)]
    if name in possible:
        return ""
    rest = f"metrics for harm: {', '.join(possible)}" if possible else "no metric can be a harm here"
    if METRICS[name].needs_probability and watched.probability is False:
        return f"'{name}' needs the model's probabilities, and columns.probability is not named; {rest}"
    return (
        f"'{name}' can be neither realised nor estimated: there are no labels (`labels:`), and nothing estimates it;"
        f" {rest}"
    )


def _is_computed(name: str, watched: ModelFacts) -> bool:
    metric, estimated = METRICS[name], METRICS.get(f"estimated_{name}")
    if metric.needs_probability and watched.probability is False:
        return False
    return watched.labels is not False or (
        estimated is not None and not (estimated.needs_probability and watched.probability is False)
    )


def _cannot_be_compared(name: str, watched: ModelFacts) -> str:
    metric = METRICS[name]
    if metric.needs_probability and watched.probability is False:
        return f"'{name}' needs the model's probabilities, and columns.probability is not named"
    if metric.needs_labels and watched.labels is False:
        text = f"'{name}' needs labels of production, and there are none (`labels:`)"
        return f"{text}; without them there is 'estimated_{name}'" if f"estimated_{name}" in METRICS else text
    return ""
