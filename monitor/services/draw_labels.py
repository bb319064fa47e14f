"""The work of a worker process that draws the rows of a window whose labels are wanted."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import norm

from monitor.analysis.correction import days
from monitor.analysis.label_design import ExpectedLabels, drawn, inclusion_probabilities, seed_of
from monitor.analysis.listed_labels import expected_error, importance, random_error
from monitor.analysis.performance import MIN_LABELLED, REALISED
from monitor.analysis.question import conformed
from monitor.analysis.reference import Reference
from monitor.analysis.schema import canonical_text, tidy
from monitor.domain.metrics import REGRESSIONS
from monitor.errors import DataError, UsageError
from monitor.services import work
from monitor.services.listed_rows import key_of, recent_of_version, recent_rows, rows_of_lists
from monitor.services.specs import DrawnRow, DrawnRows, DrawSpec
from monitor.sources.log import log_at
from monitor.sources.sample import KEY

Floats = np.ndarray


def draw_labels(spec: DrawSpec) -> DrawnRows:
    """Draw rows of a window. Raises DataError where no row is left whose label could be asked for."""
    run = spec.run
    log, _ = log_at(run.log, run.window, run.as_of)
    frame, _ = log.sample_with_labels(run.window, run.as_of)
    frame = _of_version(work.with_label(frame, run), spec)
    if frame.empty:
        raise DataError(f"window {run.window} has no rows of such a version")
    version = str(_versions(frame, spec).iloc[0])
    reference = work.reference_of_run(run, version)
    rows = frame.reset_index(drop=True)
    recent = recent_of_version(recent_rows(log, run, run.as_of), run, version)
    window = _conformed(rows, reference)
    expected = ExpectedLabels.of(reference, window, None if recent is None else _conformed(recent, reference))
    metric = _metric(spec, reference)
    moves = importance(expected, metric)
    is_labelled, is_listed = rows["monitor_label_time"].notna().to_numpy(), np.zeros(len(rows), dtype=bool)
    if run.lists:
        is_listed = rows_of_lists(rows, run).listed.to_numpy().any(axis=1)
    has_id = rows[KEY].notna().to_numpy() & ~rows[KEY].duplicated(keep=False).to_numpy()
    chance = inclusion_probabilities(np.where(is_labelled | is_listed | ~has_id, 0.0, moves), spec.budget)
    if not chance.any():
        raise DataError(f"no row of window {run.window} is left whose label could be asked for")
    seed = seed_of(run.log.seed, run.monitor, run.window, spec.budget, len(run.lists) + 1)
    times = days(rows[run.log.event_time])
    places = drawn(chance, times, seed)
    _require_enough(len(places), spec)
    random = random_error(expected, metric, len(places))
    # What would remain if all rows were labelled.
    whole = 0.0 if random is None else random * (len(places) / max(int(expected.usable.sum()), 1)) ** 0.5
    margin = float(norm.ppf(0.5 + run.checks.page_confidence / 2))
    return DrawnRows(
        tuple(_row(rows, place, chance[place], spec, log.event_times(rows)) for place in places),
        version,
        metric,
        len(rows),
        int(is_labelled.sum()),
        *_known_before(reference, window, metric, margin),
        None if random is None else margin * random,
        margin * float(np.hypot(expected_error(np.where(is_labelled, 0.0, moves), chance), whole)),
    )


def _require_enough(number: int, spec: DrawSpec) -> None:
    """Raises UsageError where nothing could be judged by so few labels."""
    before = sum(len(entry.chances) for entry in spec.run.lists)
    if number + before < MIN_LABELLED:
        raise UsageError(f"{number + before} labels are too few to judge by: at least {MIN_LABELLED} are needed")


def _versions(frame: pd.DataFrame, spec: DrawSpec) -> pd.Series:
    column = spec.run.columns.model_version
    if column is None or column not in frame:
        return pd.Series(spec.run.default_version, frame.index)
    return canonical_text(frame[column]).fillna("")


def _of_version(frame: pd.DataFrame, spec: DrawSpec) -> pd.DataFrame:
    """The rows of the version that is asked for, or else of that with the most rows."""
    if frame.empty:
        return frame
    versions = _versions(frame, spec)
    return frame[versions == (versions.mode().iloc[0] if spec.version is None else spec.version)]


def _conformed(frame: pd.DataFrame, reference: Reference) -> pd.DataFrame:
    return conformed(tidy(frame, reference.columns).reset_index(drop=True), reference).frame


def _metric(spec: DrawSpec, reference: Reference) -> str:
    """The metric that is to be known. Raises UsageError for one that the labels would not be chosen for."""
    chosen = spec.metric or next(iter(spec.run.checks.harm), None) or reference.harm_metric
    if reference.task == "ranking":
        raise UsageError(
            "rows of a ranking belong together in lists: no rows are named for labels, label whole queries"
        )
    chosen = chosen or ("mae" if reference.task in REGRESSIONS else "accuracy")
    if chosen not in REALISED[reference.task]:
        raise UsageError(f"'{chosen}' is no metric of {reference.task}: {', '.join(REALISED[reference.task])}")
    return chosen


def _known_before(
    reference: Reference, window: pd.DataFrame, metric: str, margin: float
) -> tuple[float | None, float | None]:
    """The estimate of the metric without labels, and how far its interval reaches to either side."""
    estimate = reference.estimator.estimate(window).get(f"estimated_{metric}")
    if estimate is None or estimate.error is None:
        return None, None
    return estimate.value, margin * estimate.error


def _row(rows: pd.DataFrame, place: int, chance: float, spec: DrawSpec, times: pd.Series) -> DrawnRow:
    row, columns = rows.iloc[place], spec.run.columns
    names = columns.prediction, next(iter(columns.probabilities.values()), None)
    prediction, probability = (None if name is None or pd.isna(row[name]) else _plain(row[name]) for name in names)
    moment = times.iloc[place].to_pydatetime()
    key = key_of(row[KEY], spec.run.log.hash_key)
    return DrawnRow(str(row[KEY]), key, moment, prediction, probability, float(chance))


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value
