"""The Evidently report of a window: drift and data quality of its columns, performance of its labelled rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from evidently import BinaryClassification, DataDefinition, Dataset, MulticlassClassification, Regression, Report
from evidently.core.metric_types import Metric
from evidently.core.report import Snapshot
from evidently.metrics import (
    FNR,
    FPR,
    MAE,
    MAPE,
    RMSE,
    TNR,
    TPR,
    AbsMaxError,
    Accuracy,
    F1Score,
    LogLoss,
    MeanError,
    MissingValueCount,
    Precision,
    R2Score,
    Recall,
    RocAuc,
    RowCount,
    ValueDrift,
)
from structlog import get_logger

from monitor.analysis.performance import Outcomes
from monitor.analysis.schema import Sort

# Distances that do not depend on how many rows there are; the thresholds on them are ours.
METHODS = {"numerical": "wasserstein", "categorical": "jensenshannon", "boolean": "jensenshannon"}

log = get_logger()


def column_report(reference: pd.DataFrame, window: pd.DataFrame, compared: dict[str, Sort]) -> Snapshot:
    """Drift of the columns in `compared` (they hold values on both sides) and missing values of all of the window's."""
    metrics: list[Metric] = [RowCount()]
    metrics += [ValueDrift(column=name, method=METHODS[sort]) for name, sort in compared.items()]
    metrics += [MissingValueCount(column=name) for name in window.columns]
    definition = DataDefinition(
        numerical_columns=[name for name in window if compared.get(str(name)) == "numerical"],
        categorical_columns=[name for name in window if compared.get(str(name)) != "numerical"],
    )
    return _run(metrics, _dataset(window, definition), _dataset(reference.reindex(columns=window.columns), definition))


def drift_scores(snapshot: Snapshot, columns: Sequence[str]) -> dict[str, float]:
    """Evidently's drift score by column, where it is a finite number."""
    found = {}
    for result in snapshot.metric_results.values():
        config = result.metric_value_location.metric.params if result.metric_value_location else {}
        name = config.get("column")
        if "ValueDrift" in str(config.get("type")) and name in columns and np.isfinite(result.value):
            found[str(name)] = float(result.value)
    return found


def performance_report(reference: Outcomes | None, window: Outcomes) -> Snapshot:
    """Evidently's classification or regression metrics of labelled rows."""
    definition, metrics = _task(window)
    before = None if reference is None else _dataset(_frame(reference), definition)
    return _run(metrics, _dataset(_frame(window), definition), before)


def joined(first: Snapshot, second: Snapshot) -> Snapshot:
    """Two snapshots as one."""
    a, b = first.to_snapshot_model(), second.to_snapshot_model()
    return Snapshot.load_model(
        a.copy(
            update={
                "metric_results": {**a.metric_results, **b.metric_results},
                "top_level_metrics": [*a.top_level_metrics, *b.top_level_metrics],
                "widgets": [*a.widgets, *b.widgets],
                "tests_widgets": [*a.tests_widgets, *b.tests_widgets],
            }
        )
    )


def _task(data: Outcomes) -> tuple[DataDefinition, list[Metric]]:
    if data.task == "regression":
        definition = DataDefinition(
            numerical_columns=["label", "prediction"], regression=[Regression(target="label", prediction="prediction")]
        )
        return definition, [MeanError(), MAE(), RMSE(), MAPE(), R2Score(), AbsMaxError()]
    metrics: list[Metric] = [Accuracy(), Precision(), Recall(), F1Score()]
    if data.probability is not None:
        metrics += [RocAuc(), LogLoss()]
    if data.task == "binary":
        metrics += [TPR(), TNR(), FPR(), FNR()]
        probability = None if data.probability is None else "probability"
        binary = BinaryClassification(
            target="label", prediction_labels="prediction", prediction_probas=probability, pos_label=1
        )
        return DataDefinition(categorical_columns=["label", "prediction"], classification=[binary]), metrics
    names = None if data.probability is None else list(data.classes)
    multiclass = MulticlassClassification(target="label", prediction_labels="prediction", prediction_probas=names)
    return DataDefinition(categorical_columns=["label", "prediction"], classification=[multiclass]), metrics


def _frame(data: Outcomes) -> pd.DataFrame:
    frame = pd.DataFrame({"label": data.label, "prediction": data.prediction})
    if data.task == "binary":
        frame = frame.astype(int)
        if data.probability is not None:
            frame["probability"] = data.probability
    elif data.probability is not None:
        frame[list(data.classes)] = data.probability
    return frame


def _dataset(frame: pd.DataFrame, definition: DataDefinition) -> Dataset:
    return Dataset.from_pandas(frame, data_definition=definition)


def _run(metrics: list[Metric], window: Dataset, reference: Dataset | None) -> Snapshot:
    """All metrics in one report; one that fails costs only itself."""
    try:
        return Report(metrics, include_tests=False).run(window, reference)
    except Exception as error:
        log.warning("report_metric_failed", error=f"{type(error).__name__}: {error}")
    return Report([metric for metric in metrics if _works(metric, window, reference)], include_tests=False).run(
        window, reference
    )


def _works(metric: Metric, window: Dataset, reference: Dataset | None) -> bool:
    try:
        Report([metric], include_tests=False).run(window, reference)
    except Exception as error:
        log.warning("report_metric_left_out", metric=str(metric), error=f"{type(error).__name__}: {error}")
        return False
    return True
