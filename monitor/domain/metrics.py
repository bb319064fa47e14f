"""Every metric by its name: what it is of, which direction is worse, and whether it may be named as a harm or a
threshold.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from monitor.domain.kinds import Kind
from monitor.domain.text import quoted, shown

TASKS = ("binary", "multiclass", "regression", "ranking", "forecast")
# The tasks whose predictions are values, and whose errors are distances.
REGRESSIONS = ("regression", "forecast")
RANKING_METRICS = ("ndcg", "map", "mrr", "hit_rate", "recall_at_k", "precision_at_k")
# Evidently's drift methods, by its names.
DRIFT_METHODS = (
    "wasserstein",
    "jensenshannon",
    "psi",
    "kl_div",
    "hellinger",
    "ks",
    "chisquare",
    "z",
    "t_test",
    "mannw",
    "anderson",
    "cramer_von_mises",
    "ed",
    "es",
    "fisher_exact",
    "g_test",
    "TVD",
    "empirical_mmd",
)
# What the neighbours call our metrics (scikit-learn, Evidently, NannyML, whylogs).
_NEIGHBOURS = {
    "auc": "roc_auc",
    "auroc": "roc_auc",
    "rocauc": "roc_auc",
    "roc_auc_score": "roc_auc",
    "auprc": "pr_auc",
    "average_precision": "pr_auc",
    "f1_score": "f1",
    "sensitivity": "recall",
    "tpr": "recall",
    "specificity": "tnr",
    "logloss": "log_loss",
    "brier": "brier_score",
    "ece": "calibration_error",
    "expected_calibration_error": "calibration_error",
    "r2": "r2_score",
    "mse": "rmse",
    "bias": "mean_error",
    "me": "mean_error",
    "mean_absolute_error": "mae",
    "root_mean_squared_error": "rmse",
    "max_error": "abs_max_error",
    "mean_absolute_percentage_error": "mape",
    "drift": "drift_score",
    "ndcg_at_k": "ndcg",
    "mean_average_precision": "map",
    "map_at_k": "map",
    "reciprocal_rank": "mrr",
    "mean_reciprocal_rank": "mrr",
    "hit_ratio": "hit_rate",
    "picp": "interval_coverage",
    "coverage": "interval_coverage",
    "hitrate": "hit_rate",
    "recall_top_k": "recall_at_k",
    "precision_top_k": "precision_at_k",
    "missing": "missing_share",
    "missing_values": "missing_share",
    "null_share": "missing_share",
    "rows": "row_count",
}


class Level(StrEnum):
    """What a metric is a number of."""

    WINDOW = "window"
    COLUMN = "column"
    SEGMENT = "segment"


class Part(StrEnum):
    """What a column is to the model."""

    FEATURE = "feature"
    PREDICTION = "prediction"
    LABEL = "label"


@dataclass(frozen=True)
class Metric:
    """What is known of a metric by its name alone.

    kind: the kind of its checks. tasks: those that it exists for. level: whether it is of the whole window or of each
        column.
    higher_is_better: None where neither direction is better. better_near_zero: whether its loss is how much farther
        from zero it is.
    has_interval: whether it has a standard error, without which it can be no harm.
    needs_probability, needs_labels: whether it needs the model's probabilities, and labels of production.
    parts, types: the columns that a metric of columns is worked out for, by what they are to the model and by the type
        of their values (empty: any).
    label_tasks: the tasks in which it is worked out for the label.
    """

    name: str
    kind: Kind
    tasks: tuple[str, ...] = TASKS
    level: Level = Level.WINDOW
    higher_is_better: bool | None = False
    better_near_zero: bool = False
    has_interval: bool = False
    needs_probability: bool = False
    needs_labels: bool = False
    parts: tuple[Part, ...] = (Part.FEATURE, Part.PREDICTION)
    types: tuple[str, ...] = ()
    label_tasks: tuple[str, ...] = ()

    def is_asked_of(self, part: Part, kind: str, task: str) -> bool:
        """Whether it is worked out for a column of the reference. kind: the type of the column's values."""
        if part is Part.LABEL:
            return task in self.label_tasks
        return part in self.parts and (not self.types or kind in self.types)

    @property
    def is_harm(self) -> bool:
        """Whether it may be named in `harm`: realised performance with an interval."""
        return self.kind is Kind.PERFORMANCE and self.has_interval


def _performance(
    name: str, *tasks: str, higher_is_better: bool | None = False, needs_probability: bool = False
) -> Metric:
    return Metric(
        name,
        Kind.PERFORMANCE,
        tasks,
        higher_is_better=higher_is_better,
        has_interval=True,
        needs_probability=needs_probability,
        needs_labels=True,
    )


_CLASSIFICATION = ("binary", "multiclass")
_PERFORMANCE = (
    _performance("roc_auc", *_CLASSIFICATION, higher_is_better=True, needs_probability=True),
    _performance("pr_auc", *_CLASSIFICATION, higher_is_better=True, needs_probability=True),
    _performance("accuracy", *_CLASSIFICATION, higher_is_better=True),
    _performance("precision", *_CLASSIFICATION, higher_is_better=True),
    _performance("recall", *_CLASSIFICATION, higher_is_better=True),
    _performance("f1", *_CLASSIFICATION, higher_is_better=True),
    _performance("log_loss", *_CLASSIFICATION, needs_probability=True),
    _performance("brier_score", *_CLASSIFICATION, needs_probability=True),
    _performance("calibration_error", *_CLASSIFICATION, needs_probability=True),
    _performance("tnr", "binary", higher_is_better=True),
    _performance("fpr", "binary"),
    _performance("fnr", "binary"),
    _performance("mae", *REGRESSIONS),
    _performance("rmse", *REGRESSIONS),
    _performance("mape", *REGRESSIONS),
    replace(_performance("mean_error", *REGRESSIONS, higher_is_better=None), better_near_zero=True),
    _performance("r2_score", "regression", higher_is_better=True),
    replace(_performance("abs_max_error", "regression"), has_interval=False),
    _performance("mase", "forecast"),
    replace(_performance("coverage_error", "forecast", higher_is_better=None), better_near_zero=True),
    replace(_performance("interval_coverage", "forecast", higher_is_better=True), has_interval=False),
    *(_performance(name, "ranking", higher_is_better=True) for name in RANKING_METRICS),
)
# What is estimated without labels: of classifiers by their probabilities (CBPE), of regressions by models of the loss
# (DLE), of rankings by models of each query's metrics.
_ESTIMATED = (
    "roc_auc",
    "pr_auc",
    "accuracy",
    "f1",
    "log_loss",
    "brier_score",
    "calibration_error",
    "mae",
    "rmse",
    "mase",
    *RANKING_METRICS,
)


def _estimated(metric: Metric) -> Metric:
    return replace(
        metric,
        name=f"estimated_{metric.name}",
        kind=Kind.ESTIMATED_PERFORMANCE,
        needs_probability=not {*REGRESSIONS, "ranking"} & set(metric.tasks),
        needs_labels=False,
    )


def _of_window(name: str, kind: Kind, higher_is_better: bool | None = False, *, needs_labels: bool = False) -> Metric:
    return Metric(name, kind, higher_is_better=higher_is_better, needs_labels=needs_labels)


def _of_column(name: str, kind: Kind, *types: str, label_tasks: tuple[str, ...] = ()) -> Metric:
    return Metric(name, kind, level=Level.COLUMN, types=types, label_tasks=label_tasks)


# The types of values whose distributions are compared.
_COMPARED = ("numerical", "time", "categorical", "boolean")

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        *_PERFORMANCE,
        *(_estimated(metric) for metric in _PERFORMANCE if metric.name in _ESTIMATED),
        replace(
            _of_window("weak_segment", Kind.PERFORMANCE, needs_labels=True),
            level=Level.SEGMENT,
            tasks=tuple(task for task in TASKS if task != "ranking"),
        ),
        _of_window("row_count", Kind.NO_DATA, None),
        _of_window("volume_share", Kind.QUALITY, None),
        _of_window("misdated_rows", Kind.QUALITY),
        _of_window("bad_records", Kind.QUALITY),
        _of_window("duplicate_id_share", Kind.QUALITY),
        _of_window("null_id_share", Kind.QUALITY),
        _of_window("joint_effect", Kind.QUALITY),
        _of_window("unmatched_label_share", Kind.QUALITY, needs_labels=True),
        _of_window("early_label_share", Kind.QUALITY, needs_labels=True),
        _of_window("labelled_share", Kind.NO_LABELS, True, needs_labels=True),
        replace(_of_column("unreadable_label_share", Kind.BLIND, label_tasks=TASKS), parts=(), needs_labels=True),
        _of_window("performance_visibility", Kind.BLIND, True),
        _of_column("missing_share", Kind.QUALITY),
        _of_column("type_mismatch_share", Kind.QUALITY, label_tasks=TASKS),
        _of_column("infinite_share", Kind.QUALITY, "numerical"),
        _of_column("out_of_range_share", Kind.QUALITY, "numerical", "time", label_tasks=REGRESSIONS),
        _of_column("new_category_share", Kind.QUALITY, "categorical", "boolean", label_tasks=("multiclass",)),
        replace(_of_column("unique_count", Kind.QUALITY, *_COMPARED), parts=(Part.FEATURE,), higher_is_better=None),
        _of_column("column_missing", Kind.QUALITY),
        _of_window("column_added", Kind.QUALITY),
        _of_column("duplicate_column", Kind.QUALITY),
        replace(_of_column("unusable_prediction_share", Kind.QUALITY), parts=(Part.PREDICTION,)),
        _of_column("drift_score", Kind.DRIFT, *_COMPARED, label_tasks=TASKS),
        _of_column("relation_score", Kind.DRIFT, "numerical", "categorical", "boolean"),
        _of_column("digits_score", Kind.DRIFT, "numerical"),
        replace(_of_column("attribution_drift", Kind.DRIFT), parts=(Part.FEATURE,), higher_is_better=None),
        _of_window("attribution_ndcg", Kind.DRIFT, True),
        _of_column("text_score", Kind.DRIFT, "text", "text_form"),
        _of_column("embedding_score", Kind.DRIFT, "embedding"),
        _of_column("embeddings_drift", Kind.DRIFT, "embedding"),
        replace(_of_window("item_coverage", Kind.DRIFT, None), tasks=("ranking",)),
        replace(_of_window("novelty", Kind.DRIFT, None), tasks=("ranking",)),
        replace(_of_window("revision", Kind.DRIFT), tasks=("forecast",)),
    )
}
HIGHER_IS_BETTER = frozenset(name for name, metric in METRICS.items() if metric.higher_is_better)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant; None if none is like it."""
    return next(iter(difflib.get_close_matches(name, list(names), 1, 0.6)), None)


def hint(name: str, names: Collection[str], what: str) -> str:
    """What to write in place of a name that is not among `names`: the nearest one, or which there are. what: of what
    they are names, in the plural.
    """
    close = nearest(name, names)
    return f"did you mean {quoted(close)}?" if close else f"the {what} are: {', '.join(map(shown, names)) or 'none'}"


def thresholds_for(task: str | None = None) -> list[str]:
    """The metrics that a threshold may be written for, of a task or of any."""
    return [name for name, metric in METRICS.items() if task is None or task in metric.tasks]


def harm_for(task: str | None = None) -> list[str]:
    """The metrics that may be named in `harm`, of a task or of any."""
    return [name for name in thresholds_for(task) if METRICS[name].is_harm]


def why_no_threshold(name: str, task: str | None = None) -> str:
    """Why no threshold may be written for a metric, with what to write in its place; '' if one may."""
    metric = METRICS.get(name)
    if metric is None:
        return _unknown(name, thresholds_for(task))
    return _of_another_task(metric, task, "thresholds", thresholds_for(task))


def why_no_harm(name: str, task: str | None = None) -> str:
    """Why a metric may not be named in `harm`, with what to write in its place; '' if it may."""
    metric = METRICS.get(name)
    if metric is None:
        return _unknown(name, harm_for(task))
    if metric.kind is Kind.ESTIMATED_PERFORMANCE:
        return f"'{name}' is judged by the harm of '{name.removeprefix('estimated_')}': name that"
    if metric.kind is not Kind.PERFORMANCE:
        return f"'{name}' does not measure performance, so it cannot be a harm: write it as a threshold"
    refused = _of_another_task(metric, task, "harm", harm_for(task))
    if refused or metric.has_interval:
        return refused
    return f"'{name}' has no confidence interval, so it cannot be a harm: write it as a threshold"


def _unknown(name: str, names: list[str]) -> str:
    neighbour = _NEIGHBOURS.get(name.lower())
    if neighbour in names:
        return f"the metric '{name}' is called '{neighbour}' here"
    return f"there is no metric '{name}'; {hint(name, names, 'metrics')}"


def _of_another_task(metric: Metric, task: str | None, use: str, names: list[str]) -> str:
    if task is None or task in metric.tasks:
        return ""
    tasks = "classification" if metric.tasks == _CLASSIFICATION else " and ".join(metric.tasks)
    tasks = "binary classification" if metric.tasks == ("binary",) else tasks
    same_kind = [name for name in names if METRICS[name].kind is metric.kind and METRICS[name].level is metric.level]
    return (
        f"'{metric.name}' is a metric of {tasks}; this model's task is {task}; metrics for {use}:"
        f" {', '.join(same_kind)}"
    )
