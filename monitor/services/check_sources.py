"""Check that sources answer and hold the columns that the configuration names; for `validate`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

import pandas as pd

from monitor.analysis import limits
from monitor.analysis.calendar_fields import calendar_fields
from monitor.analysis.evidence import slow_columns
from monitor.analysis.performance import MIN_CLASS
from monitor.analysis.positive import positive_class
from monitor.analysis.schema import Sort, canonical_text, conform, sort_of, tidy, utc_times
from monitor.analysis.summary import summarise
from monitor.config.model import Loaded, MonitorConfig
from monitor.domain.grid import Window
from monitor.domain.metrics import hint
from monitor.domain.names import Mistake, mistakes
from monitor.domain.text import listed
from monitor.errors import DataError, MonitorError, SourceUnreachableError
from monitor.services.apply_configuration import reference_spec
from monitor.services.context import Context, open_database
from monitor.services.specs import CHECK, REFERENCE_ROWS, ReferenceSpec
from monitor.services.workers import WorkerPool
from monitor.sources.log import Log, describe_place, read_frame, rows_of
from monitor.sources.spec import LogSpec

Keys = tuple[str | int, ...]
# So many rows of a reference are looked at.
_ROWS = 20_000


@dataclass(frozen=True)
class CheckSpec:
    """What a worker checks of a monitor. named: the source's columns that the configuration names, and under which
    keys.
    """

    log: LogSpec
    named: tuple[tuple[Keys, str], ...]
    config: MonitorConfig
    reference: ReferenceSpec


@dataclass(frozen=True)
class Checked:
    """The mistakes in a monitor's sources, and what its windows would show, in words ('' where that is unknown)."""

    problems: list[Mistake]
    shows: str = ""


class SourceReport(NamedTuple):
    """Mistakes, sources that do not answer, and notes: of all monitors."""

    problems: list[str]
    unreachable: list[str]
    notes: list[str]


def check_sources(loaded: Loaded) -> SourceReport:
    """Check the sources of all monitors of a configuration."""
    context = Context(loaded, open_database(loaded))
    workers = WorkerPool(warm=False)
    report = SourceReport([], [], [])
    problems, unreachable, notes = report
    for name, config in loaded.configuration.monitors.items():
        place = loaded.places.get(f"monitors.{name}.source", "monitor.yaml")
        try:
            checked: Checked = workers.call(CHECK, _spec(context, config), 120)
        except SourceUnreachableError as error:
            unreachable.append(f"{place}: {name}: {error}")
        except MonitorError as error:
            problems.append(f"{place}: {name}: {error}")
        else:
            problems += [f"{_place(loaded, name, mistake)}: {name}: {mistake.text}" for mistake in checked.problems]
            notes += [f"{name}: {checked.shows}"] if checked.shows else []
        if config.columns.sensitive and not loaded.configuration.sensitive_key:
            notes.append(
                f"{name}: there are sensitive columns and no `sensitive_key`: whoever reads the hashes can guess the"
                " values from them"
            )
        if config.labels is None:
            notes.append(f"{name}: without labels performance is estimated, never realised")
            if config.task == "multiclass" and not config.columns.probability:
                notes.append(
                    f"{name}: performance can be neither realised nor estimated: drift of the columns that carry the"
                    " model is a warning"
                )
    if loaded.configuration.external_url is None:
        own = loaded.configuration.own_url
        notes.append(
            f"external_url is not set: links in alerts lead to {own}, which only this machine reaches"
            if own
            else "external_url is not set: alerts carry no links to pages"
        )
    return report


def _place(loaded: Loaded, name: str, mistake: Mistake) -> str:
    """File and line of a mistake, or of the nearest part of the monitor that holds it."""
    keys = ["monitors", name, *map(str, mistake.keys)]
    while keys and ".".join(keys) not in loaded.places:
        keys.pop()
    return loaded.places.get(".".join(keys), "monitor.yaml")


def _spec(context: Context, config: MonitorConfig) -> CheckSpec:
    parts = config.columns
    named: list[tuple[Keys, str | None]] = [
        (("columns", "prediction"), parts.prediction),
        *((("columns", "probability"), name) for name in config.to_columns().probabilities.values()),
        (("columns", "model_version"), parts.model_version),
        *((("columns", "features", index), name) for index, name in enumerate(parts.features or ())),
        *((("columns", "segments", index), name) for index, name in enumerate(parts.segments)),
        *((("columns", "sensitive", index), name) for index, name in enumerate(parts.sensitive)),
        *((("columns", "embeddings", group), name) for group, names in parts.embeddings.items() for name in names),
        *((("checks", "segments", index), name) for index, name in enumerate(config.checks.segments)),
    ]
    if config.labels is not None and not config.labels.is_given:
        named.append((("columns", "label"), parts.label))
    return CheckSpec(
        context.log_spec(config),
        tuple((keys, name) for keys, name in named if name is not None),
        config,
        reference_spec(context, config),
    )


def check(spec: CheckSpec) -> Checked:
    """Open a monitor's source, labels and reference. Returns the mistakes in them, and what windows of their size
    would show.
    """
    log = Log(spec.log)
    problems = [
        Mistake(keys, f"source column '{name}' not found in {spec.log.place.shown}; {hint(name, log.types, 'columns')}")
        for keys, name in spec.named
        if name not in log.types
    ]
    problems += _checks(spec, log)
    labels = spec.log.labels
    if labels is not None and labels.place is not None:
        types = describe_place(labels.place)
        for part, name in (("id", labels.id), ("label", labels.label), ("label_time", labels.label_time)):
            if name is not None and name not in types:
                text = f"label column '{name}' not found in {labels.place.shown}; {hint(name, types, 'columns')}"
                problems.append(Mistake(("labels", "columns", part), text))
    if spec.reference.place is not None:
        types = describe_place(spec.reference.place)
        columns = spec.reference.columns
        for name in (columns.prediction, *columns.probabilities.values()):
            if name is not None and name not in types:
                shown = spec.reference.place.shown
                text = f"reference column '{name}' not found in {shown}; {hint(name, types, 'columns')}"
                problems.append(Mistake(("reference",), text))
    if problems:
        return Checked(problems)
    rows = _reference_rows(spec)
    is_labelled = spec.config.task == "binary" and spec.reference.columns.label in rows
    problems += _positive(spec, rows) if is_labelled else []
    frame = tidy(rows, spec.reference.columns)
    column_types = {str(name): sort_of(frame[name]) for name in frame}
    problems += _checks(spec, log, column_types)
    if problems:
        return Checked(problems)
    texts = [_shows(log, spec), _rare(log, spec, rows) if is_labelled else "", _moving(spec, frame, column_types)]
    return Checked(problems, "; ".join(text for text in texts if text))


def _reference_rows(spec: CheckSpec) -> pd.DataFrame:
    """A sample of the reference's rows, with the labels, where they are known, in the column that the model's have."""
    reference, columns = spec.reference, spec.reference.columns
    if reference.place is not None:
        return read_frame(reference.place, _ROWS)
    assert reference.start is not None
    assert reference.end is not None
    window, log = Window(reference.start, reference.end), Log(replace(spec.log, sample_rows=_ROWS))
    if spec.log.labels is None or columns.label is None:
        return log.sample(window)
    frame, _ = log.sample_with_labels(window, datetime.max.replace(tzinfo=UTC))
    return frame.rename(columns={spec.log.labels.label: columns.label})


def _checks(spec: CheckSpec, log: Log, column_types: Mapping[str, Sort] | None = None) -> list[Mistake]:
    """Names in `checks` that can never page. column_types: those of the reference's columns, where they are known."""
    problems = mistakes(spec.config.checks.named, spec.config.watched(list(log.types), column_types))
    return [replace(mistake, keys=("checks", *mistake.keys)) for mistake in problems]


def _positive(spec: CheckSpec, labelled: pd.DataFrame) -> list[Mistake]:
    """What is wrong with the positive class of a binary model, by the labels of its reference."""
    columns = spec.reference.columns
    score = columns.probability if isinstance(columns.probability, str) else columns.prediction
    try:
        positive_class(labelled[columns.label], columns, labelled.get(score))
    except DataError as error:
        return [Mistake(("columns", "positive"), str(error))]
    return []


def _rare(log: Log, spec: CheckSpec, labelled: pd.DataFrame) -> str:
    """That windows hold too few labels of the rarer class to be judged ever, in words; '' if they hold enough."""
    labels = canonical_text(labelled[spec.reference.columns.label]).dropna()
    windows = _windows(log, spec)
    if not len(labels) or windows is None:
        return ""
    share = float(labels.value_counts(normalize=True).min()) if labels.nunique() > 1 else 1 / len(labels)
    expected = share * log.rows() / windows
    if expected >= MIN_CLASS:
        return ""
    times = math.ceil(MIN_CLASS / expected)
    return (
        f"a window holds some {expected:.2g} labels of the rarer class, and {MIN_CLASS} are needed: its performance can"
        f" never be judged; windows {times} times as long could be (windows.length)"
    )


def _moving(spec: CheckSpec, frame: pd.DataFrame, column_types: Mapping[str, Sort]) -> str:
    """Which columns follow the calendar, and which hold nearly one value in a window and another in the next, in words;
    '' for none. frame: rows of the reference; column_types: their types.
    """
    columns = spec.reference.columns
    if columns.event_time is None or columns.event_time not in frame:
        return ""
    length = spec.config.windows.length.approximate().total_seconds() / 86_400
    times = utc_times(frame[columns.event_time])
    features = {name: column_types[name] for name in columns.feature_names(list(frame))}
    typed = conform(frame[list(features)], features, times).frame
    summaries = {name: summarise(typed[name], column_type) for name, column_type in features.items()}
    followed = list(calendar_fields(typed, times, summaries))
    slow = [name for name in slow_columns(frame, columns, length) if name not in followed]
    texts = []
    if followed:
        verb = "follows the calendar and is" if len(followed) == 1 else "follow the calendar and are"
        texts.append(f"{listed(followed)} {verb} compared with it")
    if slow:
        verb = "changes slowly: it holds" if len(slow) == 1 else "change slowly: they hold"
        texts.append(
            f"{listed(slow)} {verb} nearly one value in windows of this length, and another in later ones, which is"
            " never taken for a stuck value"
        )
    return "; ".join(texts)


def _windows(log: Log, spec: CheckSpec) -> float | None:
    """How many windows the log is long; None for a log without rows."""
    extent = log.extent()
    if extent.first is None or extent.newest is None:
        return None
    return max((extent.newest - extent.first) / spec.config.windows.length.approximate(), 1.0)


def _shows(log: Log, spec: CheckSpec) -> str:
    """What windows of so many rows as there usually are, sampled, would show against the reference."""
    reference = spec.reference
    windows = _windows(log, spec)
    if windows is None:
        return ""
    if reference.place is not None:
        reference_rows = rows_of(reference.place)
    else:
        assert reference.start is not None
        assert reference.end is not None
        reference_rows = log.counts(Window(reference.start, reference.end)).rows
    return limits.in_words(
        min(log.rows() / windows, spec.log.sample_rows),
        min(reference_rows, REFERENCE_ROWS),
        spec.config.checks.false_alarm_rate,
    )
