"""Check that sources answer and hold the columns that the configuration names; for `validate`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from monitor.analysis import limits
from monitor.config.model import Loaded, MonitorConfig
from monitor.domain.grid import Window
from monitor.errors import MonitorError, SourceUnreachableError
from monitor.services.apply_configuration import reference_spec
from monitor.services.context import Context, open_database
from monitor.services.specs import CHECK, REFERENCE_ROWS, ReferenceSpec
from monitor.services.workers import Workers
from monitor.sources.log import Log, describe_place, rows_of
from monitor.sources.spec import LogSpec


@dataclass(frozen=True)
class CheckSpec:
    """What a worker checks of a monitor."""

    log: LogSpec
    named: tuple[str, ...]
    reference: ReferenceSpec
    window: timedelta
    false_alarm_rate: float


@dataclass(frozen=True)
class Checked:
    """What is wrong with a monitor's sources, and what its windows would show, in words ('' where that cannot be told)."""

    problems: list[str]
    shows: str = ""


def check_sources(loaded: Loaded) -> tuple[list[str], list[str], list[str]]:
    """Mistakes, sources that do not answer, and notes: of all monitors."""
    context = Context(loaded, open_database(loaded))
    workers = Workers(warm=False)
    problems, unreachable, notes = [], [], []
    for name, config in loaded.configuration.monitors.items():
        place = loaded.places.get(f"monitors.{name}.source", "monitor.yaml")
        try:
            found: Checked = workers.call(CHECK, _spec(context, config), 120)
        except SourceUnreachableError as error:
            unreachable.append(f"{place}: {name}: {error}")
        except MonitorError as error:
            problems.append(f"{place}: {name}: {error}")
        else:
            problems += [f"{place}: {name}: {problem}" for problem in found.problems]
            notes += [f"{name}: {found.shows}"] if found.shows else []
        if config.labels is None:
            notes.append(f"{name}: without labels performance is estimated, never realised")
            if config.task == "multiclass" and not config.columns.probability:
                notes.append(
                    f"{name}: performance can be neither realised nor estimated: drift of the columns that carry the model is a warning"
                )
    if loaded.configuration.external_url is None:
        own = loaded.configuration.own_url
        notes.append(
            f"external_url is not set: links in alerts lead to {own}, which only this machine reaches"
            if own
            else "external_url is not set: alerts carry no links to pages"
        )
    return problems, unreachable, notes


def _spec(context: Context, config: MonitorConfig) -> CheckSpec:
    columns = config.to_columns()
    named = [
        columns.prediction,
        *columns.probabilities.values(),
        columns.model_version,
        *(columns.features or ()),
        *columns.segments,
        *columns.sensitive,
    ]
    if config.labels is not None and not config.labels.is_given:
        named.append(columns.label)
    return CheckSpec(
        context.log_spec(config),
        tuple(dict.fromkeys(name for name in named if name is not None)),
        reference_spec(context, config),
        config.windows.length.approximate(),
        config.checks.false_alarm_rate,
    )


def check(spec: CheckSpec) -> Checked:
    """Open a monitor's source, labels and reference; what is wrong with them, and what windows of so many rows would show."""
    log = Log(spec.log)
    absent = [name for name in spec.named if name not in log.types]
    problems = [
        f"source column '{name}' not found in {spec.log.place.shown}; its columns are: {', '.join(log.types)}"
        for name in absent
    ]
    labels = spec.log.labels
    if labels is not None and labels.place is not None:
        types = describe_place(labels.place)
        for name in (labels.id, labels.label, labels.label_time):
            if name is not None and name not in types:
                problems.append(
                    f"label column '{name}' not found in {labels.place.shown}; its columns are: {', '.join(types)}"
                )
    if spec.reference.place is not None:
        types = describe_place(spec.reference.place)
        columns = spec.reference.columns
        for name in (columns.prediction, *columns.probabilities.values()):
            if name is not None and name not in types:
                problems.append(
                    f"reference column '{name}' not found in {spec.reference.place.shown}; its columns are: {', '.join(types)}"
                )
    return Checked(problems, "" if problems else _shows(log, spec))


def _shows(log: Log, spec: CheckSpec) -> str:
    """What windows of so many rows as there usually are, sampled, would show against the reference."""
    extent, reference = log.extent(), spec.reference
    if extent.first is None or extent.newest is None:
        return ""
    windows = max((extent.newest - extent.first) / spec.window, 1.0)
    if reference.place is not None:
        reference_rows = rows_of(reference.place)
    else:
        assert reference.start is not None
        assert reference.end is not None
        reference_rows = log.counts(Window(reference.start, reference.end)).rows
    return limits.in_words(
        min(log.rows() / windows, spec.log.sample_rows), min(reference_rows, REFERENCE_ROWS), spec.false_alarm_rate
    )
