"""How a reference is fitted: column types, null distributions, baseline, calibration and importance."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from monitor.analysis import estimation, surrogate
from monitor.analysis.archive import arrow_bytes
from monitor.analysis.calendar_fields import calendar_fields
from monitor.analysis.calibration import Tested, design_effects, null_distributions, overdispersion
from monitor.analysis.correction import days
from monitor.analysis.figures import performance_figures
from monitor.analysis.forecast import naive_errors, scale_of
from monitor.analysis.performance import (
    OF_NUMBERS,
    Measured,
    Outcomes,
    mean,
    measure,
    outcomes,
    predicted,
    probabilities,
    queries_of,
    too_little,
)
from monitor.analysis.positive import positive_class
from monitor.analysis.ranking import whole_queries
from monitor.analysis.reference import ANALYSIS_VERSION, Reference, ReferenceSummary
from monitor.analysis.relations import DIGITS, MOST_ROWS, RELATIONS, Relations, digits
from monitor.analysis.schema import Sort, canonical_text, conform, sort_of, tidy, utc_times
from monitor.analysis.summary import SUMMARISED
from monitor.analysis.twosample import Bins
from monitor.domain.checks import DEFAULT_HARM
from monitor.domain.columns import HORIZON, SCALE, TARGET, Columns
from monitor.domain.losses import loss
from monitor.domain.metrics import HIGHER_IS_BETTER, REGRESSIONS, TASKS
from monitor.errors import DataError, UsageError

_TIME_KNOTS = 2_001
# The largest number of rows from which the variation of windows and the relations of columns are learned.
_TELLING = 40_000
# The importance of features is measured on this number of values in all, and on at least this number of rows.
_SHUFFLED, _FEWEST_SHUFFLED = 250_000, 1_000
# The most segments of a column that are checked separately, and the fewest rows of each.
_SEGMENTS, _SEGMENT_ROWS = 20, 100
# A value is there or it is missing.
_THERE = Bins(None, pd.Index(["there", "missing"]))


def fit(
    frame: pd.DataFrame, columns: Columns | None, task: str | None, healthy: pd.DataFrame | None, seed: int
) -> Reference:
    """Fit a reference; see `Reference.fit`."""
    frame = tidy(frame, columns)
    columns = columns or Columns.infer(frame)
    task = task or infer_task(frame, columns)
    if task not in TASKS:
        raise UsageError(f"'{task}' is no task; they are: {', '.join(TASKS)}")
    _check_columns(frame, columns, "the reference")
    if task == "ranking":
        _check_ranking(frame, columns)
    if task == "forecast":
        _check_forecast(frame, columns)
    version = _version(frame, healthy, columns, task, seed)
    of_production = np.zeros(len(frame), dtype=bool)
    if healthy is not None:
        healthy = tidy(healthy, columns)
        _check_columns(healthy, columns, "the healthy rows")
        frame = pd.concat([frame, healthy], ignore_index=True)
        of_production = np.append(of_production, np.ones(len(healthy), dtype=bool))
    kept = _kept(frame, columns)
    sorts: dict[str, Sort] = {name: sort_of(frame[name]) for name in kept}
    times = None
    if columns.event_time is not None and columns.event_time in frame:
        times = utc_times(frame[columns.event_time])
        order = times.argsort(kind="stable")
        frame, of_production = frame.iloc[order], of_production[order]
        times = times.iloc[order].reset_index(drop=True)
    rows = conform(frame[kept].reset_index(drop=True), sorts, times).frame
    naive: dict[str, Any] = {}
    if task == "forecast":
        naive = naive_errors(rows, columns)
        rows[SCALE] = scale_of(rows, columns, naive)
        sorts[SCALE] = "numerical"
    for name in columns.probabilities.values():
        values = rows[name].dropna()
        if sorts[name] != "numerical" or not values.between(0, 1).all():
            raise DataError(f"the probability column '{name}' of the reference holds values outside 0 to 1")
    columns = replace(columns, positive=_positive(rows, columns, task))
    knots = [] if times is None else _knots(times)
    summary = ReferenceSummary(len(rows), sorts, times is not None, knots, naive=naive)
    bare = Reference(lambda: rows, columns, task, seed, version, summary)
    described = _with(bare, **_description(bare), calendar=None if times is None else _calendar(bare, times))
    tested = _with(described, **_null_distributions(described, np.flatnonzero(of_production)))
    return _with_performance(tested)


def _calendar(reference: Reference, times: pd.Series) -> dict[str, list[Any]]:
    fields = calendar_fields(reference.frame, times, {name: reference.of_column(name) for name in reference.features})
    return {name: [field.name, field.offset] for name, field in fields.items()}


def _knots(times: pd.Series) -> list[float]:
    """Event times in days at places evenly spread over rows in their order; none where not all are known."""
    event_days = days(times)
    if not len(event_days) or not np.isfinite(event_days).all():
        return []
    places = np.linspace(0, len(event_days) - 1, min(len(event_days), _TIME_KNOTS)).astype(int)
    return [round(float(day), 6) for day in event_days[places]]


def _positive(rows: pd.DataFrame, columns: Columns, task: str) -> Any:
    """The positive class of a binary model. Raises DataError where it is neither named nor certain."""
    if task != "binary" or columns.label is None or columns.label not in rows:
        return columns.positive
    answer_column = columns.probabilities.get("", columns.prediction)
    return positive_class(rows[columns.label], columns, None if answer_column is None else rows[answer_column])


def _with(reference: Reference, **values: Any) -> Reference:
    """The same reference with more of its summary, and what it has worked out of its rows so far."""
    return replace(reference, summary=replace(reference.summary, **values))


def _description(reference: Reference) -> dict[str, Any]:
    """What columns hold: runs of equal values, numbers of categories, values of segments."""
    frame = reference.frame
    names = [name for name in reference.features if reference.sorts[name] in ("categorical", "boolean")]
    return {
        "longest_run": {
            name: _longest_run(frame[name]) for name in reference.features if reference.sorts[name] in SUMMARISED
        },
        "codes": {
            name: {value: index for index, value in enumerate(frame[name].value_counts().index)} for name in names
        },
        "segment_values": {
            column: [str(value) for value in counts.index[counts >= _SEGMENT_ROWS][:_SEGMENTS]]
            for column in reference.columns.segments
            for counts in [canonical_text(frame[column]).value_counts()]
        },
    }


def _null_distributions(reference: Reference, healthy: np.ndarray) -> dict[str, Any]:
    """What windows are compared with: bins and counts of what is derived from columns, and how healthy windows vary in
    all of it.

    healthy: the places of rows of healthy production, in the order of time. Of a large reference a subsample of rows is
        used, evenly spread.
    """
    places = np.unique(np.linspace(0, reference.rows - 1, min(reference.rows, _TELLING)).astype(int))
    frame, sorts = reference.frame.iloc[places].reset_index(drop=True), reference.sorts
    healthy = np.flatnonzero(np.isin(places, healthy))
    checked = [*reference.features, *reference.predictions]
    names = [name for name in checked if (summary := reference.of_column(name)) is not None and summary.count]
    values = {name: Tested(reference.bins(name), reference.bins(name).codes(frame[name])) for name in names}
    by_segment = [
        Tested(tested_column.bins, np.where(texts == value, tested_column.codes, -1))
        for column, segment_values in reference.summary.segment_values.items()
        for texts in [canonical_text(frame[column]).to_numpy()]
        for value in segment_values
        for name, tested_column in values.items()
        if name != column
    ]
    missing = {name: Tested(_THERE, frame[name].isna().to_numpy().astype(int)) for name in names}
    relations = Relations.fit(frame, sorts, names)
    # The archive holds the models rounded: so they are here.
    kept = None if relations is None else relations.to_dict()
    rounded = None if kept is None else Relations.from_dict(kept)
    distances = {metric: {} for metric in RELATIONS} if rounded is None else rounded.distances(frame)
    derived = {
        metric: {name: Bins.of_numbers(column_distances) for name, column_distances in by_column.items()}
        for metric, by_column in distances.items()
    }
    derived["digits_score"] = {name: DIGITS for name in names if sorts[name] == "numerical"}
    columns = distances | {"digits_score": {name: digits(frame[name]) for name in derived["digits_score"]}}
    tested = {
        metric: {
            name: Tested(bins, bins.codes(pd.Series(columns[metric][name])), MOST_ROWS)
            for name, bins in bins_by_column.items()
        }
        for metric, bins_by_column in derived.items()
    }
    everything = [
        *values.values(),
        *by_segment,
        *(tested_column for by_column in tested.values() for tested_column in by_column.values()),
    ]
    varied = {"drift_score": values, "missing_share": missing, **tested}
    return {
        "relations": kept,
        "derived": {
            metric: {
                name: [
                    None if tested_column.bins.knots is None else tested_column.bins.knots.tolist(),
                    tested_column.counts.tolist(),
                ]
                for name, tested_column in by_column.items()
            }
            for metric, by_column in tested.items()
        },
        "null": null_distributions(everything, len(frame), reference.seed),
        "overdispersion": overdispersion(varied, healthy, len(frame), reference.seed)
        | _of_queries(reference, varied, frame),
    }


def _of_queries(
    reference: Reference, varied: Mapping[str, Mapping[str, Tested]], frame: pd.DataFrame
) -> dict[str, Any]:
    """For rankings and forecasts, how much more windows vary because rows of a query, or of a target time, are alike
    (`design_effects`), and by column in how many of these rows a value comes.
    """
    if reference.task not in ("ranking", "forecast"):
        return {}
    is_ranking = reference.task == "ranking"
    query = queries_of(frame, reference.columns) if is_ranking else pd.factorize(frame[TARGET])[0]
    columns, label = dict(varied["drift_score"]), reference.columns.label
    if label is not None and label in frame and frame[label].notna().any():
        bins = reference.bins(label)
        columns[label] = Tested(bins, bins.codes(frame[label]))
    varied = {**varied, "drift_score": columns}
    repeats = {
        name: round(frame[name].notna().sum() / max(len(pairs), 1), 3)
        for name in columns
        for pairs in [pd.DataFrame({"query": query, "value": frame[name]}).dropna().drop_duplicates()]
    }
    return {"queries": design_effects(varied, query, reference.seed), "repeats": repeats}


def _with_performance(reference: Reference) -> Reference:
    """The reference with its performance, where it has labels enough."""
    frame, columns, task = reference.frame, reference.columns, reference.task
    label = columns.label
    if label is None or label not in frame or not frame[label].notna().any():
        return reference
    classes = [] if task in OF_NUMBERS else sorted(canonical_text(frame[label]).dropna().unique())
    data = outcomes(frame, columns, task, classes)
    if too_little(data):
        return reference
    realised = measure(data)
    metric = next(name for name in DEFAULT_HARM if name in realised)
    reference = _with(
        reference,
        labelled=True,
        classes=classes,
        figures=performance_figures(data, realised, reference=True),
        harm_metric=metric,
        calibration=_calibration(data),
    )
    if task == "forecast":
        reference = _with(reference, naive=reference.summary.naive | _of_targets(reference, data, realised))
    estimated = reference.estimator.estimate(frame)
    baseline = {name: (value.value, value.error) for name, value in {**realised, **estimated}.items()}
    segments: dict[str, Any] = {}
    for column in columns.segments:
        values = canonical_text(frame[column])
        by_value = {
            value: measure(outcomes(frame[values == value], columns, task, classes))
            for value in reference.summary.segment_values[column]
        }
        segments[column] = {
            value: {name: (measured.value, measured.error) for name, measured in metrics.items()}
            for value, metrics in by_value.items()
        }
    reference = _with(reference, baseline=baseline, segments=segments)
    return _with(reference, importances=_importances(reference), unanswered=_unanswered(data, realised))


def _of_targets(reference: Reference, data: Outcomes, realised: Mapping[str, Measured]) -> dict[str, Any]:
    """Of forecasts: how much wider the interval of a mean error is because forecasts of one time err alike, and the
    horizons whose errors are looked at, as text.
    """
    assert data.prediction is not None
    alone = mean(np.abs(data.prediction - data.label), data.weight).error
    together = realised["mae"].error
    counts = canonical_text(reference.frame[HORIZON]).value_counts()
    return {
        "widening": max(together / alone, 1.0) if alone and together else 1.0,
        "horizons": [str(value) for value in counts.index[counts >= _SEGMENT_ROWS][:_SEGMENTS]],
    }


def _calibration(data: Outcomes) -> Any:
    if data.probability is None:
        return None
    if data.task == "binary":
        return estimation.calibrate(data.probability, data.label)
    return [
        estimation.calibrate(data.probability[:, index], (data.label == name).astype(float))
        for index, name in enumerate(data.classes)
    ]


def _importances(reference: Reference) -> dict[str, dict[str, float]]:
    """Permutation importance on a surrogate of the model (Breiman, 2001), by metric and feature, in units of the
    metric's loss.
    """
    frame, columns, task = reference.frame, reference.columns, reference.task
    names = reference.encoded_features
    if not names:
        return {}
    rows = _complete(frame, columns, task)
    if len(rows) > surrogate.MOST_ROWS:
        rows = _some_rows(reference, rows)
    data = outcomes(rows, columns, task, reference.summary.classes)
    scores = _scores(data)
    inputs = estimation.encode(rows[names], reference.summary.codes)
    models = surrogate.fitted(inputs, scores, reference.seed)
    random = np.random.default_rng(reference.seed)
    # Of very many features each is looked at on fewer rows.
    most = max(_FEWEST_SHUFFLED, _SHUFFLED // len(names))
    if len(inputs) > most:
        chosen = np.sort(random.permutation(len(inputs))[:most])
        if data.query is not None:
            chosen = whole_queries(data.query, most, random)
        inputs, scores = inputs[chosen], scores[chosen]
        data = outcomes(rows.iloc[chosen], columns, task, reference.summary.classes)
    usual = surrogate.predictions(models, inputs)
    before = measure(data)
    result: dict[str, dict[str, float]] = {metric: {} for metric in before}
    for index, name in enumerate(names):
        shuffled = inputs.copy()
        shuffled[:, index] = random.permutation(shuffled[:, index])
        moved = surrogate.predictions(models, shuffled) - usual
        after = measure(surrogate.answering(reference, data, scores + moved))
        for metric, value in before.items():
            lost = loss(metric, value.value, after[metric].value) if metric in after else 0.0
            result[metric][name] = max(lost, 0.0)
    return result


def _some_rows(reference: Reference, rows: pd.DataFrame) -> pd.DataFrame:
    """As many rows as a surrogate is fitted on, drawn at random; of a ranking whole queries."""
    if reference.task != "ranking":
        return rows.sample(surrogate.MOST_ROWS, random_state=reference.seed)
    random = np.random.default_rng(reference.seed)
    return rows.iloc[whole_queries(queries_of(rows, reference.columns), surrogate.MOST_ROWS, random)]


def _complete(frame: pd.DataFrame, columns: Columns, task: str) -> pd.DataFrame:
    """The rows with a label and an answer."""
    assert columns.label is not None
    is_complete = frame[columns.label].notna() & predicted(frame, columns, task).notna()
    if task == "ranking":
        is_complete &= frame[columns.query].notna()
    if columns.probabilities:
        is_complete &= np.isfinite(probabilities(frame, columns)).all(axis=1)
    return frame[is_complete]


def _scores(data: Outcomes) -> np.ndarray:
    """What the model answered as numbers, shape (rows, answers): the value, the probability of the positive class, or
    one of each class.
    """
    if data.probability is not None:
        return data.probability.reshape(data.rows, -1)
    assert data.prediction is not None
    if data.task == "multiclass":
        return np.asarray(data.prediction[:, None] == np.array(data.classes, dtype=object), dtype=float)
    return data.prediction.reshape(data.rows, 1).astype(float)


def _unanswered(data: Outcomes, baseline: Mapping[str, Measured]) -> dict[str, float]:
    """By metric, what is lost where the model does not answer: an area falls to that of chance, hits become misses, and
    an error grows to that of the constant that would have been best (but to no less than twice itself)."""
    lost: dict[str, float] = {}
    constant: dict[str, Measured] = {}
    if data.task in REGRESSIONS:
        constant = measure(replace(data, prediction=np.full(data.rows, float(np.median(data.label)))))
    if data.task == "ranking":  # equal scores are put into a random order
        constant = measure(replace(data, prediction=np.zeros(data.rows)))
    for metric, value in baseline.items():
        if data.task == "ranking":
            lost[metric] = max(value.value - constant[metric].value, 0.0)
        elif metric == "roc_auc":
            lost[metric] = value.value - 0.5
        elif metric in HIGHER_IS_BETTER:
            lost[metric] = value.value
        else:
            worse = constant[metric].value - value.value if metric in constant else 0.0
            lost[metric] = max(worse, abs(value.value))
    return lost


def infer_task(frame: pd.DataFrame, columns: Columns) -> str:
    """The task, inferred from columns and labels. Raises UsageError if they do not determine it."""
    if isinstance(columns.probability, dict):
        return "multiclass"
    if columns.probability is not None:
        return "binary"
    column = columns.label if columns.label is not None and columns.label in frame else columns.prediction
    if columns.query is not None:
        return "ranking"
    if columns.issued_at is not None:
        return "forecast"
    if column is None or column not in frame:
        raise UsageError("the task cannot be told: name it, or the label or prediction column")
    values = frame[column].dropna()
    if sort_of(values) == "numerical" and values.nunique() > 10:
        return "regression"
    return "binary" if values.nunique() <= 2 else "multiclass"


def _check_columns(frame: pd.DataFrame, columns: Columns, what: str) -> None:
    if len(frame) == 0:
        raise DataError(f"{what} has no rows")
    needed = [
        name
        for name in (
            columns.prediction,
            *columns.probabilities.values(),
            *(columns.features or ()),
            *columns.segments,
            *columns.embeddings,
        )
        if name is not None
    ]
    absent = [name for name in needed if name not in frame.columns]
    if absent:
        raise DataError(
            f"{what} has no column {', '.join(map(repr, absent))}; its columns are:"
            f" {', '.join(map(str, frame.columns))}"
        )
    if columns.prediction is None and not columns.probabilities:
        raise DataError(
            f"{what} has neither a prediction nor a probability column; its columns are:"
            f" {', '.join(map(str, frame.columns))}"
        )


def _check_ranking(frame: pd.DataFrame, columns: Columns) -> None:
    """Raises DataError where rows cannot be brought into lists, or labels cannot tell a good list from a bad one."""
    if columns.query is None or columns.prediction is None:
        raise UsageError("a ranking needs `query`, whose rows are one list, and `prediction`, the score of each item")
    if columns.query not in frame:
        raise DataError(f"the reference has no column '{columns.query}' (the query); its columns are: {_listed(frame)}")
    for name in columns.segments:
        if int(frame.groupby(columns.query)[name].nunique().max()) > 1:
            raise DataError(
                f"the segment '{name}' has several values within one '{columns.query}': segments of a ranking are of"
                " whole queries"
            )
    if columns.label in frame:
        labels = pd.to_numeric(frame[columns.label], errors="coerce").dropna()
        if len(labels) and (labels > 0).all():
            raise DataError(
                f"every label in '{columns.label}' is above 0, so no order is better than another: a ranking needs the"
                " items that were not relevant too, with the label 0"
            )


def _check_forecast(frame: pd.DataFrame, columns: Columns) -> None:
    """Raises where horizons are not known, or a prediction interval has one end only."""
    if columns.issued_at is None or columns.prediction is None or columns.event_time is None:
        raise UsageError(
            "a forecast needs `event_time`, the time that it is of, `issued_at`, when it was made, and `prediction`"
        )
    absent = [name for name in (columns.issued_at, columns.event_time) if name not in frame]
    if absent:
        raise DataError(f"the reference has no column '{absent[0]}'; its columns are: {_listed(frame)}")
    if (columns.lower is None) != (columns.upper is None):
        raise UsageError("a prediction interval has two columns: name `lower` and `upper`")
    late = int((frame[HORIZON] < 0).sum())
    if late > len(frame) / 2:
        raise DataError(
            f"{late} of {len(frame)} forecasts were issued after the time that they are of: `event_time` is the target"
            " time, `issued_at` when the forecast was made"
        )


def _listed(frame: pd.DataFrame) -> str:
    return ", ".join(map(str, frame.columns))


def _kept(frame: pd.DataFrame, columns: Columns) -> list[str]:
    """The columns that the analysis looks at: no ids, no times."""
    roles = [
        columns.prediction,
        *columns.probabilities.values(),
        columns.label,
        *columns.segments,
        columns.query,
        columns.item,
        columns.series,
        columns.lower,
        columns.upper,
        *columns.made,
    ]
    wanted = [
        *columns.feature_names([str(name) for name in frame.columns]),
        *(name for name in roles if name is not None),
        *columns.attribution_columns(map(str, frame.columns)).values(),
    ]
    return [name for name in dict.fromkeys(wanted) if name in frame.columns]


def _longest_run(values: pd.Series) -> int:
    """The most consecutive rows, in the order of time, with the same value: a month is the same for weeks."""
    present = values.dropna()
    if present.empty:
        return 0
    begins = np.flatnonzero((present != present.shift()).to_numpy(dtype=bool))
    return int(np.diff(np.append(begins, len(present))).max())


def _version(frame: pd.DataFrame, healthy: pd.DataFrame | None, columns: Columns, task: str, seed: int) -> str:
    digest = hashlib.sha256()
    digest.update(json.dumps([columns.to_dict(), task, seed, ANALYSIS_VERSION], sort_keys=True, default=str).encode())
    for part in (frame, healthy):
        if part is not None:
            digest.update(arrow_bytes(part, None))
    return digest.hexdigest()[:32]
