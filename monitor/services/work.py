"""The work of worker processes: look at a source, fit a reference, evaluate a window. Each is a function of one
picklable specification.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict, fields, replace
from datetime import datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pandas as pd

from monitor.analysis.comparison import compare
from monitor.analysis.evaluate import count, evaluate
from monitor.analysis.evaluation import Evaluation
from monitor.analysis.reference import Reference
from monitor.analysis.schema import canonical_text
from monitor.analysis.snapshot import report as _report  # noqa: F401 - imported once by the forkserver, for all workers
from monitor.analysis.snapshot.store import pack, to_html, unpack
from monitor.analysis.summary import Numbers
from monitor.analysis.verdict import costs_of_faults, limited
from monitor.cache_folder import cache_folder
from monitor.domain import phrases
from monitor.domain.checks import (
    FEWEST_WINDOWS,
    Check,
    Checks,
    Finding,
    Kind,
    MetricValue,
    Natural,
    Severity,
    Verdict,
    WindowCounts,
)
from monitor.domain.columns import WEIGHT, Columns
from monitor.domain.grid import Window
from monitor.domain.looks import LabelTimes
from monitor.domain.run_identity import RunIdentity
from monitor.errors import CacheError, DataError
from monitor.services.listed_rows import complete_lists, lists_of_part, recent_of_lists, used_lists
from monitor.services.specs import (
    REFERENCE_ROWS,
    Compared,
    ComparisonSpec,
    EarlierWindow,
    FittedReference,
    Look,
    LookSpec,
    ReferenceSpec,
    RunResult,
    RunSpec,
)
from monitor.sources.files import fingerprint
from monitor.sources.log import Log, hide_sensitive, log_at, read_frame
from monitor.sources.recent import keep, labelled, samples_of
from monitor.sources.spec import Place

# Of fewer rows no rolling reference is made.
_FEWEST_ROLLING = 200
# The references that this worker has fitted last, by `_key`; only so many, since each holds its rows.
_fitted: dict[str, FittedReference] = {}
_MOST_FITTED = 4


def look(spec: LookSpec) -> Look:
    """Look at a source."""
    log = Log(spec.log)
    # The marks come first: what is written while we read is seen by the next look.
    source_mark, newest_label = log.mark(), log.newest_label()
    files_mark = log.label_mark()
    # A table's mark is its newest label; one that came with an older time is seen when the window closes.
    label_mark = files_mark or ("" if newest_label is None else f"until {newest_label.isoformat()}")
    extent = log.extent(spec.after)
    labels, lists = {}, {}
    for labelled_window in spec.windows:
        changed = labelled_window.seen != label_mark or not label_mark or (labelled_window.closing and not files_mark)
        if labelled_window.seen is None or (changed and (labelled_window.closing or not labelled_window.complete)):
            times, rows = log.label_times(labelled_window.window)
            labels[labelled_window.window] = LabelTimes.of(
                times, rows, spec.expected, spec.judge_from, labelled_window.final
            )
        if labelled_window.lists and changed:
            lists.update(complete_lists(log, labelled_window))
    recounts = {
        window: plain_counts(log_at(spec.log, window, as_of)[0].counts(window, as_of))
        for window, as_of in spec.recounts
    }
    misdated = log.misdated()
    return Look(
        extent.first,
        extent.newest,
        newest_label,
        source_mark,
        label_mark,
        labels,
        recounts,
        misdated.rows,
        misdated.example,
        lists,
    )


def plain_counts(counts: WindowCounts) -> dict[str, Any]:
    """Counts as JSON holds them."""
    values = {name: value for name, value in asdict(counts).items() if name != "window_rows"}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def fit_reference(spec: ReferenceSpec) -> FittedReference:
    """Read reference data and fit it. Monitors that name the same file, or files with the same bytes, share the fitted
    reference within a worker.
    """
    path = None if spec.place is None else spec.place.own_path
    if spec.place is None or path is None or spec.healthy:
        return _fit(spec)
    key = _key(spec, spec.place, path)
    if key not in _fitted:
        if len(_fitted) >= _MOST_FITTED:
            del _fitted[next(iter(_fitted))]
        _fitted[key] = _fit(spec)
    return _fitted[key]


def _key(spec: ReferenceSpec, place: Place, path: str) -> str:
    """A key of what a reference is made from: the bytes of a single file, or the names, sizes and times of several, and
    how they are read.
    """
    file = Path(path)
    if not file.is_file():
        return repr((spec, fingerprint(path, place.shown)))
    with file.open("rb") as opened:
        content = hashlib.file_digest(opened, "sha256").hexdigest()
    return repr((replace(spec, place=replace(place, shown="", path="".join(file.suffixes))), content))


def _fit(spec: ReferenceSpec) -> FittedReference:
    if spec.place is not None:
        frame = hide_sensitive(read_frame(spec.place, REFERENCE_ROWS), spec.columns.sensitive, spec.hash_key)
    else:
        assert spec.log is not None
        assert spec.start is not None
        assert spec.end is not None
        frame = _interval(spec, Window(spec.start, spec.end), REFERENCE_ROWS)
    frame = _without_own_columns(frame, spec.columns)
    healthy = None
    if spec.healthy:
        parts = [_interval(spec, interval, REFERENCE_ROWS // len(spec.healthy)) for interval in spec.healthy]
        healthy = _without_own_columns(pd.concat(parts, ignore_index=True), spec.columns)
    label = spec.columns.label
    columns = spec.columns
    if label is not None and label not in frame:
        columns = replace(columns, label=None)
    reference = Reference.fit(frame, columns, spec.task, healthy)
    baseline = {name: value.value for name, value in reference.baseline.items()}
    return FittedReference(
        reference.version,
        reference.to_bytes(),
        reference.rows,
        reference.harm_metric,
        baseline,
        reference.period,
    )


def _interval(spec: ReferenceSpec, window: Window, rows: int) -> pd.DataFrame:
    """Rows of an interval of the log, with their labels where it has some."""
    assert spec.log is not None
    log = Log(replace(spec.log, sample_rows=rows))
    if spec.log.labels is None:
        return log.sample(window)
    frame = log.sample_with_labels(window, spec.as_of or window.end + timedelta(days=36500))[0]
    label = spec.columns.label
    return frame if label is None else frame.rename(columns={spec.log.labels.label: label})


def _without_own_columns(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    own = [name for name in ("monitor_canonical_id", "monitor_rank", "monitor_label_time") if name in frame]
    return frame.drop(columns=[*own, *(name for name in columns.ignore if name in frame)])


_DATA_KINDS = tuple(kind.value for kind in Kind if kind.folds == "data")


def compare_candidate(spec: ComparisonSpec) -> Compared:
    """Read the candidate's answers and the log's labelled rows of the same ids, and compare. Raises DataError where
    they cannot be brought together.
    """
    columns, labels = spec.columns, spec.log.labels
    if labels is None or columns.id is None:
        raise DataError(
            "a candidate is compared on labelled rows by their ids: the monitor needs `labels` and `columns.id`"
        )
    output = next((name for name in (*columns.probabilities.values(), columns.prediction) if name is not None), None)
    if spec.task == "multiclass":
        output = columns.prediction
    assert output is not None
    candidate = read_frame(spec.candidate, REFERENCE_ROWS)
    absent = [name for name in (columns.id, output) if name not in candidate]
    if absent:
        raise DataError(
            f"{spec.candidate.shown} has no column '{absent[0]}'; its columns are:"
            f" {', '.join(map(str, candidate.columns))}"
        )
    frame, _ = Log(replace(spec.log, sample_rows=REFERENCE_ROWS)).sample_with_labels(spec.window, spec.as_of)
    ours = candidate[[columns.id, output]].rename(columns={output: "monitor_candidate"}).drop_duplicates(columns.id)
    both = [canonical_text(side[columns.id]) for side in (frame, ours)]
    merged = frame.assign(monitor_id=both[0]).merge(
        ours.assign(monitor_id=both[1]).drop(columns=columns.id), on="monitor_id"
    )
    comparison = compare(
        merged,
        output,
        "monitor_candidate",
        labels.label,
        spec.task,
        positive=columns.positive,
        harm=spec.harm,
        query=columns.query,
        top=columns.top_items,
    )
    return Compared(comparison.verdict, str(comparison))


def compare_references(archives: tuple[bytes, bytes]) -> list[dict[str, Any]]:
    """The differences between two references, a row for each column and metric: both values, and the drift score of
    columns.
    """
    before, after = (Reference.from_bytes(archive) for archive in archives)
    differences: list[dict[str, Any]] = [{"what": "rows", "before": before.rows, "after": after.rows}]
    moved = evaluate(before, after.frame, checks=Checks(only=(Kind.DRIFT.value, Kind.QUALITY.value)))
    scores = {
        metric_value.column: metric_value.value
        for metric_value in moved.metrics
        if metric_value.metric == "drift_score" and metric_value.segment is None
    }
    for name in dict.fromkeys([*before.sorts, *after.sorts]):
        sides = [side.missing(name) / side.rows if name in side.sorts else None for side in (before, after)]
        row = {
            "what": name,
            "before": _brief(before, name),
            "after": _brief(after, name),
            "drift_score": scores.get(name),
        }
        differences.append(row | {"missing_before": sides[0], "missing_after": sides[1]})
    for metric in dict.fromkeys([*before.baseline, *after.baseline]):
        values = [side.baseline[metric].value if metric in side.baseline else None for side in (before, after)]
        differences.append({"what": metric, "before": values[0], "after": values[1]})
    return differences


def _brief(reference: Reference, name: str) -> str:
    """A short text on a column: its median and quartiles, or its most frequent values."""
    summary = reference.of_column(name) if name in reference.sorts else None
    if summary is None or summary.count == 0:
        return "" if name in reference.sorts else "absent"
    if isinstance(summary, Numbers):
        return f"{summary.quantile(0.5):.4g} ({summary.quantile(0.25):.4g} to {summary.quantile(0.75):.4g})"
    return ", ".join(
        f"{str(value)[:20]} {number / summary.count:.0%}" for value, number in summary.tally.head(3).items()
    )


def sample_of(spec: RunSpec) -> pd.DataFrame:
    """The rows that a run looked at, with the labels as of its time."""
    frame, _ = _window(log_at(spec.log, spec.window, spec.as_of)[0], spec)
    return frame.drop(columns=[name for name in ("monitor_canonical_id", "monitor_rank") if name in frame])


def report_page(snapshot: bytes) -> str:
    """The Evidently report as one HTML page, from the snapshot as it is stored."""
    return to_html(unpack(snapshot))


class _VersionEvaluation(NamedTuple):
    """The evaluation of one version of the model in a window, and its number of rows."""

    version: str
    rows: int
    evaluation: Evaluation


def run(spec: RunSpec) -> RunResult:
    """Read the window, evaluate it against the reference in force, for each model version that is in it."""
    begun, bytes_before = time.perf_counter(), _bytes_read()
    log, note = log_at(replace(spec.log, only=_needed(spec)), spec.window, spec.as_of)
    labels = spec.log.labels
    with_labels = _has_labels(spec)
    frame, counts = _window(log, spec)
    lists = used_lists(frame, spec, counts.labelled or 0)
    counts = replace(counts, misdated=spec.misdated, misdated_example=spec.misdated_example)
    if with_labels:
        frame = with_label(frame, spec)
    else:
        dropped = [
            name for name in (spec.columns.label, spec.columns.label_time) if name in frame and spec.kind != "adhoc"
        ]
        frame = frame.drop(columns=dropped)
    recent = None
    if spec.recent is not None:
        samples = cache_folder() / "samples"
        keep(log, spec.recent, spec.window, spec.as_of, frame, samples)
        assert labels is not None
        names = {labels.label: spec.columns.label, "monitor_label_time": spec.columns.label_time or "label_time"}
        recent = labelled(log, spec.recent, spec.as_of, samples).rename(columns=names)
    before = None if spec.rolling is None else samples_of(log, spec.rolling, cache_folder() / "samples")
    lists_recent = None if lists is None else recent_of_lists(log, spec)
    rows_before = counted_before(log, spec)
    read_seconds, read_bytes = time.perf_counter() - begun, _bytes_read() - bytes_before
    _require_prediction(frame, spec)
    frame = _without_own_columns(frame, spec.columns)
    # With kind `performance` come the checks for faulty labels and for hidden performance (`quality`, `blind`).
    only = {"data": _DATA_KINDS, "performance": (Kind.PERFORMANCE.value,)}.get(spec.kind)
    parts = _by_version(frame, spec)
    checks = replace(spec.checks, only=only, false_alarm_rate=spec.checks.false_alarm_rate / len(parts))
    counts_by_version = None if len(parts) == 1 else _counts_by_version(log, spec, counts)
    evaluations: list[_VersionEvaluation] = []
    for version, part in parts.items():
        reference = _reference(_in_force(spec.references, version))
        label = reference.columns.label
        labelled_rows = recent if recent is None else _by_version(recent, spec).get(version, recent.head(0))
        if with_labels and label is not None and label in part:
            labelled_rows = part[part[label].notna()]
        exact = counts
        if counts_by_version is not None:  # a version that came between two queries is counted in the sample
            exact = counts_by_version.get(version) or replace(count(part, reference), window_rows=counts.rows)
        version_checks = (
            checks if not checks.natural else replace(checks, natural=_faults_of_version(checks.natural, version))
        )
        earlier = None if before is None else _by_version(before, spec).get(version)
        if earlier is None or len(earlier) < _FEWEST_ROLLING:
            costs = partial(_costs_of_faults, spec, version, version_checks) if spec.kind == "performance" else None
            evaluation = evaluate(
                reference,
                part,
                recent=labelled_rows,
                counts=exact,
                checks=version_checks,
                recent_counts=rows_before,
                costs_of_faults=costs,
                lists=None if lists is None else lists_of_part(lists, part, lists_recent, spec, version),
            )
        else:
            evaluation = _rolled(reference, earlier, part, labelled_rows, exact, version_checks, rows_before)
        evaluations.append(_VersionEvaluation(version, len(part), evaluation))
    sampled = spec.log.sample_rows if WEIGHT in frame else len(frame)
    result = _result(evaluations, counts, sampled, spec, with_labels=with_labels, by_lists=lists is not None)
    return replace(result, read_seconds=read_seconds, read_bytes=read_bytes, note=note)


def with_label(frame: pd.DataFrame, spec: RunSpec) -> pd.DataFrame:
    """Rows with the label named as in the log."""
    assert spec.log.labels is not None
    label = spec.columns.label
    return frame if label is None else frame.rename(columns={spec.log.labels.label: label})


def reference_of_run(spec: RunSpec, version: str) -> Reference:
    """The reference that a run compares a version of the model with."""
    return _reference(_in_force(spec.references, version))


def _costs_of_faults(spec: RunSpec, version: str, checks: Checks) -> dict[str, float]:
    """The likely cost of faults in a window's data for a version of the model, by column.

    It is computed only when performance is bad: otherwise a performance run of a classifier reads no feature.
    """
    log, _ = log_at(spec.log, spec.window, spec.as_of)
    frame, _ = log.sample_with_labels(spec.window, spec.as_of)
    part = _by_version(_without_own_columns(with_label(frame, spec), spec.columns), spec).get(version)
    if part is None:
        return {}
    whole = replace(checks, only=(*_DATA_KINDS, Kind.PERFORMANCE.value))
    evaluation = evaluate(_reference(_in_force(spec.references, version)), part, checks=whole)
    return costs_of_faults(evaluation.findings)


def _faults_of_version(faults: tuple[Natural, ...], version: str) -> tuple[Natural, ...]:
    return tuple(fault for fault in faults if fault.model_version == version)


def counted_before(log: Log, spec: RunSpec) -> list[int]:
    """The numbers of rows of earlier windows at the calendar position, and those of a year ago, scaled from the usual
    number then to the usual number today.
    """

    def rows(windows: tuple[EarlierWindow, ...]) -> list[int]:
        return [
            log.row_count(window.window, window.as_of) if window.rows is None else window.rows for window in windows
        ]

    before, then = rows(spec.earlier), [rows(windows) for windows in spec.a_year_ago]
    shares = [last / median(usual) for *usual, last in then if len(usual) >= FEWEST_WINDOWS and median(usual)]
    return before + [round(share * median(before)) for share in shares if before]


def _counts_by_version(log: Log, spec: RunSpec, whole: WindowCounts) -> dict[str, WindowCounts]:
    """The exact counts of each model version in a window of several."""
    assert spec.columns.model_version is not None
    stored = log.counts_by(spec.columns.model_version, spec.window, spec.as_of)
    versions = canonical_text(pd.Series([value for value, _ in stored], dtype=object)).fillna("")
    counts_by_version: dict[str, WindowCounts] = {}
    for version, (_, counts) in zip(versions, stored, strict=True):
        counts_by_version[version] = counts_by_version[version] + counts if version in counts_by_version else counts
    return {
        version: replace(
            counts,
            window_rows=whole.rows,
            misdated=whole.misdated,
            misdated_example=whole.misdated_example,
            bad_records=whole.bad_records,
            bad_record=whole.bad_record,
        )
        for version, counts in counts_by_version.items()
    }


def _has_labels(spec: RunSpec) -> bool:
    return spec.log.labels is not None and spec.kind != "data"


def _window(log: Log, spec: RunSpec) -> tuple[pd.DataFrame, WindowCounts]:
    """The sample that a run looks at, with labels where it knows some, and the window's counts."""
    if not _has_labels(spec):
        return log.read(spec.window, spec.as_of)
    by_class = spec.kind == "performance" and _is_classification(spec) and not spec.lists
    return log.sample_with_labels(spec.window, spec.as_of, by_class=by_class)


def _rolled(
    reference: Reference,
    earlier: pd.DataFrame,
    window: pd.DataFrame,
    recent: pd.DataFrame | None,
    counts: WindowCounts,
    checks: Checks,
    rows_before: list[int],
) -> Evaluation:
    """An evaluation with earlier windows as the reference for drift, and the reference itself for all else."""
    drift, others = Kind.DRIFT.value, tuple(kind for kind in checks.only or tuple(Kind) if kind != Kind.DRIFT)
    checks_of_rest = replace(checks, only=others)
    rest = evaluate(reference, window, recent=recent, counts=counts, checks=checks_of_rest, recent_counts=rows_before)
    rows = _without_own_columns(earlier, reference.columns).drop(columns=reference.columns.label or "", errors="ignore")
    rolling = Reference.fit(rows, replace(reference.columns, label=None), reference.task)
    moved = evaluate(rolling, window, counts=counts, checks=_without(checks, reference.columns.label, drift))
    return replace(
        rest,
        metrics=[*rest.metrics, *(value for value in moved.metrics if value.metric != "row_count")],
        checks=[*rest.checks, *moved.checks],
        findings=[*rest.findings, *moved.findings],
        figures=moved.figures,
    )


def _without(checks: Checks, label: str | None, only: str) -> Checks:
    """The checks of one kind, without the limits of the label, which is in no rolling reference."""
    thresholds = {
        metric: replace(
            limit, columns={name: column_limit for name, column_limit in limit.columns.items() if name != label}
        )
        for metric, limit in checks.thresholds.items()
    }
    methods = {name: method for name, method in checks.drift_methods.items() if name != label}
    return replace(checks, only=(only,), thresholds=thresholds, drift_methods=methods)


def _needed(spec: RunSpec) -> tuple[str, ...]:
    """The columns that a run looks at, as `LogSpec.only`. Realised performance of a classifier needs none, but for
    the search for weak segments.
    """
    searches = spec.checks.weak_segments or "weak_segment" in spec.checks.thresholds
    if spec.kind != "performance" or searches or spec.lists or not _is_classification(spec):
        return spec.log.only
    columns = spec.columns
    names = [
        columns.prediction,
        *columns.probabilities.values(),
        columns.label,
        columns.label_time,
        columns.model_version,
    ]
    return tuple(name for name in (*names, *columns.segments) if name is not None)


def _is_classification(spec: RunSpec) -> bool:
    return all(_reference(path).task in ("binary", "multiclass") for path in spec.references.values())


def _bytes_read() -> int:
    """What this process has read so far, from files and connections."""
    try:
        return int(Path("/proc/self/io").read_text().split()[1])
    except OSError:
        return 0


def _require_prediction(frame: pd.DataFrame, spec: RunSpec) -> None:
    names = [name for name in (spec.columns.prediction, *spec.columns.probabilities.values()) if name is not None]
    absent = [name for name in names if name not in frame]
    if absent:
        raise DataError(
            f"{spec.log.place.shown} has no column '{absent[0]}' (the prediction); its columns are:"
            f" {', '.join(map(str, frame.columns))}"
        )


def _by_version(frame: pd.DataFrame, spec: RunSpec) -> dict[str, pd.DataFrame]:
    column = spec.columns.model_version
    if column is None or column not in frame or frame.empty:
        return {spec.default_version: frame}
    versions = canonical_text(frame[column]).fillna("")
    return {str(version): part for version, part in frame.groupby(versions)}


def _in_force(references: dict[str, str], version: str) -> str:
    return references.get(version) or references.get("") or next(reversed(references.values()))


@lru_cache(maxsize=32)
def _reference(path: str) -> Reference:
    """A reference from the cache. One that is damaged is taken away, so that the next attempt writes it anew. Raises
    CacheError.
    """
    try:
        return Reference.mapped(path)
    except (DataError, FileNotFoundError) as error:
        Path(path).unlink(missing_ok=True)
        raise CacheError(f"the reference in the cache is damaged and will be written anew: {error}") from None


def _result(
    evaluations: list[_VersionEvaluation],
    counts: Any,
    sampled: int,
    spec: RunSpec,
    *,
    with_labels: bool,
    by_lists: bool = False,
) -> RunResult:
    metrics: list[MetricValue] = []
    checks: list[Check] = []
    findings: list[Finding] = []
    labelled = counts.labelled if with_labels else None
    ripe = (
        labelled is None
        or by_lists
        or sampled == 0
        or labelled >= spec.judge_from * spec.expected * sampled
        or (spec.revise_until is not None and spec.as_of >= spec.revise_until)
    )
    for version, _, evaluation in evaluations:
        for check in evaluation.checks:
            stamped = replace(check, model_version=version)
            if check.kind is Kind.PERFORMANCE and not ripe:
                stamped = replace(
                    stamped,
                    verdict=Verdict.TOO_LITTLE_DATA,
                    reason=f"{labelled} of {sampled} rows have labels; the first to come are not like the rest",
                )
            checks.append(stamped)
        findings += [
            replace(finding, model_version=version)
            for finding in evaluation.findings
            if ripe or finding.kind is not Kind.PERFORMANCE
        ]
        metrics += [replace(value, model_version=version) for value in evaluation.metrics]
    if with_labels and spec.kind == "performance":
        assert labelled is not None
        check, finding = _labels_check(labelled, sampled, evaluations[0].version, spec.checks)
        metrics.append(MetricValue("labelled_share", value=check.value, model_version=check.model_version))
        checks.append(check)
        findings += [finding] if finding else []
    severity = max((finding.severity for finding in findings), default=Severity.NONE)
    findings += [
        _blind(check) for check in checks if check.kind is Kind.BLIND and check.verdict is Verdict.COULD_NOT_CHECK
    ]
    findings.sort(key=lambda finding: -finding.severity.rank)
    version, _, largest = max(evaluations, key=lambda entry: entry.rows)
    snapshot = replace(largest, checks=checks, findings=findings, run=_identity(spec, version)).snapshot
    return RunResult(
        counts.rows,
        sampled,
        labelled,
        plain_counts(counts),
        severity.value,
        metrics,
        checks,
        findings,
        None if snapshot is None else pack(snapshot),
        largest.reference_version,
    )


def _identity(spec: RunSpec, version: str) -> RunIdentity:
    """The run of a report, and the version of the model with the most rows in it."""
    window = (spec.window.start, spec.window.end)
    return RunIdentity(spec.monitor, spec.model, version, spec.run, spec.kind, window, spec.as_of)


def _blind(check: Check) -> Finding:
    """A finding that the model's performance is unknown: no verdict on the model, but after some windows an alert."""
    return Finding(
        **{
            **vars(check),
            "severity": Severity.WARNING,
            "cause": "cannot tell",
            "explanation": phrases.sentence(check.reason),
        }
    )


def _labels_check(labelled: int, rows: int, version: str, checks: Checks) -> tuple[Check, Finding | None]:
    """The check that labels came, and as many as the user's limit on `labelled_share` asks for."""
    missing = labelled == 0 and rows > 0
    finding = limited(
        Finding(
            "labelled_share",
            value=labelled / rows if rows else 0.0,
            kind=Kind.NO_LABELS,
            verdict=Verdict.CHANGED if missing else Verdict.FINE if rows else Verdict.COULD_NOT_CHECK,
            rows=rows,
            model_version=version,
            severity=Severity.WARNING if missing else Severity.INFO,
            cause="no labels",
            explanation=phrases.sentence(phrases.few_labels(labelled, rows)),
        ),
        checks,
    )
    check = Check(**{field.name: getattr(finding, field.name) for field in fields(Check)})
    return check, finding if finding.verdict is Verdict.CHANGED else None
