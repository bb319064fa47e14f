"""Look at a user's data and propose a monitor for it; for `monitor init`."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pandas as pd

from monitor.analysis import limits
from monitor.analysis.fitting import infer_task
from monitor.analysis.performance import MIN_CLASS
from monitor.analysis.positive import Candidate, candidates, positive_class
from monitor.analysis.schema import sort_of
from monitor.domain.checks import Checks
from monitor.domain.columns import (
    ISSUE_NAMES,
    ITEM_NAMES,
    LOWER_NAMES,
    QUERY_NAMES,
    SERIES_NAMES,
    TARGET_NAMES,
    UPPER_NAMES,
    Columns,
    guess_columns,
)
from monitor.domain.grid import Duration, Grid, Window
from monitor.domain.metrics import REGRESSIONS, hint
from monitor.domain.positive import certain_positive, means_same
from monitor.domain.text import listed
from monitor.errors import DataError
from monitor.services.recognise_roles import by_values
from monitor.sources import files
from monitor.sources.formats import format_named
from monitor.sources.log import Log, describe_place, left_out_of, read_frame
from monitor.sources.records.columns import object_in
from monitor.sources.records.kept import time_in_path
from monitor.sources.spec import MADE_TIME, LabelSpec, LogSpec, Place
from monitor.sources.written import as_meant, is_kept, recognised, time_of_path

_LENGTHS = ("1h", "6h", "12h", "1d", "1w", "2w", "4w", "13w")
# The fewest rows of a window, the shift in standard deviations that should be seen, and how many windows the log should
# hold.
_ROWS_PER_WINDOW, _SHIFT, _FEWEST_WINDOWS = 300, 0.2, 12
_REFERENCE_SHARE = 0.25
_ROWS = 100_000
# Of a file whose path names a day, so many rows are looked at for a column of its times.
_PATH_ROWS = 200
_SAMPLE = 20_000
_SAMPLE_TEXTS = 20
_FEWEST_NUMBERED = 50
_DAY, _CLOCK = re.compile(r"(?i)(^|_)(date|day|dt)$|Date$"), re.compile(r"(?i)time|clock|hour")
# Data are a ranking if there are on average so many rows of a query, and so many queries.
_FEWEST_LISTED, _FEWEST_LISTS = 2, 30
_INDEX = re.compile(r"(?i)^(unnamed: ?\d+|__index_level_\d+__|level_\d+|column0+)$")
_OF_REQUESTS = re.compile(r"(?i)(^|_)(trace|span|correlation|session|request|x_?request)_?id$")
# By part, the flag of `monitor init` that says which column plays it.
FLAGS = {
    "event_time": "--time",
    "id": "--id",
    "prediction": "--prediction",
    "probability": "--probability",
    "label": "--label",
    "query": "--query-id",
    "issued_at": "--issued-at",
}


@dataclass(frozen=True)
class Roles:
    """The columns that flags of `monitor init` name, None for those that are to be recognised."""

    event_time: str | None = None
    id: str | None = None
    prediction: str | None = None
    probability: str | None = None
    label: str | None = None
    query: str | None = None
    issued_at: str | None = None
    segments: tuple[str, ...] = ()

    @property
    def given(self) -> dict[str, str]:
        """The columns that were named, by part."""
        parts = {name: getattr(self, name) for name in FLAGS}
        return {part: name for part, name in parts.items() if name is not None}

    def require(self, types: Collection[str], shown: str) -> None:
        """Raise DataError where the predictions have no column of that name; a label may be elsewhere."""
        for part, name in [*self.given.items(), *(("segments", segment) for segment in self.segments)]:
            if name not in types and part != "label":
                flag = FLAGS.get(part, "--segment")
                raise DataError(f"{flag} {name}: {shown} has no such column; {hint(name, types, 'columns')}")

    def applied(self, guessed: Columns, types: Collection[str]) -> Columns:
        """The recognised columns, replaced by those that flags name; a column plays one part."""
        given = {part: name for part, name in self.given.items() if name in types}
        taken = {part: None for part in FLAGS if getattr(guessed, part) in given.values()}
        segments = tuple(name for name in self.segments if name in types)
        return replace(guessed, **(taken | given), segments=segments)  # type: ignore[arg-type]


@dataclass(frozen=True)
class InspectSpec:
    """The data to look at, and what flags say of it."""

    predictions: Place
    reference: Place | None = None
    reference_until: datetime | None = None
    labels: Place | None = None
    positive: str | None = None
    time_format: str | None = None
    roles: Roles = Roles()
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Proposal:
    """A monitor for the data, and the assumptions that were made.

    spec: the data, with the queries that convert columns. candidates: of a binary model with labels, the classes, with
        the ROC AUC of the reference if each was positive. positive: the positive class, None where it has to be named.
    """

    spec: InspectSpec
    columns: Columns
    task: str
    rows: int
    first: datetime
    newest: datetime
    length: str
    start: datetime
    label_columns: dict[str, str] = field(default_factory=dict)
    labels_in_log: bool = False
    delay: str = ""
    expected: float = 0.95
    reference_start: datetime | None = None
    reference_end: datetime | None = None
    positive: Candidate | None = None
    candidates: tuple[Candidate, ...] = ()
    notes: tuple[str, ...] = ()


def inspect_data(spec: InspectSpec) -> Proposal:
    """Look at the data. Raises DataError where a part that is needed cannot be found."""
    notes: list[str] = []
    spec = _as_written(spec, notes)
    types = describe_place(spec.predictions)
    left_out = left_out_of(spec.predictions)
    if left_out:
        notes.append(
            f"left out, since nobody can test it: {'; '.join(f'{name} ({what})' for name, what in left_out.items())}"
        )
    spec.roles.require(types, spec.predictions.shown)
    columns = guessed(spec, spec.predictions, types)
    sample = read_frame(spec.predictions, _SAMPLE)
    columns = by_values(columns, sample, list(spec.roles.given), spec.positive, notes)
    reference = read_frame(spec.reference, _ROWS) if spec.reference is not None else None
    if columns.event_time is None:
        raise DataError(
            f"no time column was recognised in {spec.predictions.shown}: say which it is by --time; its columns are:"
            f" {_listed(types)}{_calls_in(spec.predictions, sample)}"
        )
    if columns.prediction is None and columns.probability is None:
        raise DataError(
            f"no prediction was recognised in {spec.predictions.shown}: say which it is by --prediction or"
            f" --probability; its columns are: {_listed(types)}{_calls_in(spec.predictions, sample)}"
        )
    event_time = columns.event_time
    label_columns, labels = _labels(spec, columns)
    label = (
        label_columns.get("label") or columns.label or (None if reference is None else Columns.infer(reference).label)
    )
    columns = replace(columns, label=label, label_time=label_columns.get("label_time") or columns.label_time)
    log = Log(LogSpec(spec.predictions, event_time, columns.id, labels=labels, ahead=columns.issued_at is not None))
    extent = log.extent()
    if extent.first is None or extent.newest is None:
        raise DataError(f"{spec.predictions.shown} has no rows")
    rows = log.rows()
    bad = log.bad_records
    if bad:
        what = "record" if len(bad) == 1 else "records"
        notes.append(
            f"{len(bad):,} {what} of {spec.predictions.shown} could not be read wholly and will be counted"
            f" (`bad_records`): {bad[0][1]}"
        )
    span = max((extent.newest - extent.first).total_seconds(), 1.0)
    length = _length(rows / span, _rows_wanted(rows, reference, sample, columns.label))
    grid = Grid(Duration.parse(length), Duration.parse(length))
    start = grid.boundary(grid.index_at(extent.first))
    reference_start = reference_end = None
    if reference is None:
        reference_start = extent.first.replace(hour=0, minute=0, second=0, microsecond=0)
        wanted = spec.reference_until or extent.first + (extent.newest - extent.first) * _REFERENCE_SHARE
        reference_end = wanted if spec.reference_until is not None else grid.boundary(grid.index_at(wanted) + 1)
        is_young = reference_end >= extent.newest
        if is_young and spec.reference_until is not None:
            raise DataError(
                f"nothing is left to watch after the reference: the newest event is of {extent.newest:%Y-%m-%d %H:%M};"
                " name an earlier day by --reference-until, or none"
            )
        if is_young:
            reference_end = grid.boundary(grid.index_at(extent.newest) + 1)
            notes.append(
                f"the log is young: its {rows:,} rows are the reference so far, and the first window that is looked at"
                f" begins on {reference_end:%Y-%m-%d %H:%M} UTC; rows that the model was validated on (--reference"
                " FILE) would let it be watched from its first day"
            )
        start = grid.boundary(grid.index_at(reference_end - timedelta(microseconds=1)) + 1)
        reference = read_frame(spec.predictions, _ROWS, reference_start, reference_end, columns.event_time)
        if labels is not None:
            whole = Log(replace(log.spec, sample_rows=_ROWS))
            reference = whole.sample_with_labels(
                Window(reference_start, reference_end), datetime.max.replace(tzinfo=UTC)
            )[0]
        if spec.reference_until is None and not is_young:
            notes.append(
                f"the reference is the oldest stretch of the log, {reference_start:%Y-%m-%d} to"
                f" {reference_end:%Y-%m-%d}: see that the model was healthy then"
            )
    if label is not None and label not in reference and labels is None:
        notes.append("no labels were found: performance will be estimated at best")
    if columns.issued_at is not None:
        notes.append(
            f"'{columns.issued_at}' is taken as when a forecast was made, and '{columns.event_time}' as the time that"
            " it is of: a forecast"
        )
    columns, task = _as_ranking(reference, columns, notes) or _task(reference, columns)
    columns, positive, classes = _positive(reference, columns, task, spec.positive)
    columns = _without_non_inputs(spec.predictions, reference, columns, notes)
    columns = _sensitive(reference, columns, notes)
    delay, expected = (
        _label_delay(log, labels, columns, extent.first, extent.newest, notes) if labels is not None else ("", 0.95)
    )
    rows_a_window = rows / span * Duration.parse(length).approximate().total_seconds()
    notes.append(limits.in_words(min(rows_a_window, _SAMPLE), len(reference), Checks().false_alarm_rate))
    return Proposal(
        spec,
        columns,
        task,
        rows,
        extent.first,
        extent.newest,
        length,
        start,
        label_columns,
        labels is not None and labels.place is None,
        delay,
        expected,
        reference_start,
        reference_end,
        positive,
        classes,
        tuple(notes),
    )


def _calls_in(place: Place, sample: pd.DataFrame) -> str:
    """Advice for a table whose columns hold whole calls as JSON, in words; '' for any other."""
    texts = {str(name): sample[name].dropna().head(_SAMPLE_TEXTS) for name in sample}
    names = [name for name, values in texts.items() if len(values) and all(map(_is_object, values))]
    if place.path is not None or not names:
        return ""
    verb = "holds" if len(names) == 1 else "hold"
    return (
        f"; {listed(names)} {verb} JSON: a query can make one row of each prediction, give it by --query in place of"
        " --table (examples are in docs/how-to/from-model-servers.md)"
    )


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, str) and isinstance(object_in(value), dict))


def _as_written(spec: InspectSpec, notes: list[str]) -> InspectSpec:
    """The places as they are to be read: the format of their records, their encoding, and how times and numbers are
    written. Raises DataError where a person has to decide.
    """

    def read(place: Place | None) -> Place | None:
        if place is None:
            return None
        if place.own_path is not None and spec.names:
            place = replace(place, read=replace(place.read, names=spec.names))
        place, assumed = recognised(place)
        notes.extend(assumed)
        types = describe_place(place)
        columns = guessed(spec, place, types)
        if place is not spec.labels:
            place, assumed = _with_time(place, types, columns)
            notes.extend(assumed)
        if place.read.makes_time:
            columns = replace(columns, event_time=MADE_TIME)
        times = dict.fromkeys(name for name in (columns.event_time, columns.label_time) if name is not None)
        place, assumed = as_meant(place, list(times), spec.time_format)
        notes.extend(assumed)
        return place

    predictions, reference, labels = read(spec.predictions) or spec.predictions, read(spec.reference), read(spec.labels)
    if reference is not None:
        predictions, reference = (
            _with_text_of(reference, predictions, notes),
            _with_text_of(predictions, reference, notes),
        )
    return replace(spec, predictions=predictions, reference=reference, labels=labels)


def _with_text_of(counterpart: Place, place: Place, notes: list[str]) -> Place:
    """A place of text files whose columns stay text if they are text in the other place: codes that look like numbers,
    words that look like true and false.
    """
    if place.own_path is None or not is_kept(place):
        return place
    types, counterpart_types = describe_place(place), describe_place(counterpart)
    texts = [
        name
        for name, kind in types.items()
        if counterpart_types.get(name) == "string" and kind != "string" and not kind.startswith(("timestamp", "date"))
    ]
    if not texts:
        return place
    notes.append(
        f"{', '.join(texts)} of {place.shown}: text, as in {counterpart.shown}, though it could be read otherwise; by"
        " `source.read.text`"
    )
    return replace(place, read=replace(place.read, text=tuple(texts)))


def guessed(spec: InspectSpec, place: Place, types: dict[str, str]) -> Columns:
    """The columns by part: as named by flags, else by the format of records, else as guessed from names."""
    columns = guess_columns(types)
    if columns.event_time is None:
        columns = replace(columns, event_time=_time_of_its_path(place, types))
    if place.own_path is not None and place.read.format is not None:
        roles = format_named(place.read.format).roles(files.find_files(place.own_path, place.shown))
        columns = replace(columns, **{part: name for part, name in roles.items() if name in types})  # type: ignore[arg-type]
    if place.read.makes_time:
        columns = replace(columns, event_time=MADE_TIME, ignore=place.read.time_of)
    return spec.roles.applied(_of_forecast(columns, types, spec.roles), types)


def _first_named(columns: Iterable[object], names: Sequence[str]) -> str | None:
    """The column with the first of some usual names, whatever their case and marks; None without one."""
    plain = {re.sub(r"[^a-z0-9]", "_", str(column).lower()): str(column) for column in columns}
    return next((plain[name] for name in names if name in plain), None)


def _of_forecast(columns: Columns, types: Mapping[str, str], roles: Roles) -> Columns:
    """The columns of a forecast, where one was named as its time of issue, or has a usual name of that: the time is
    then that of the target. Others as they are.
    """
    issued_at = roles.issued_at or _first_named(types, ISSUE_NAMES)
    target = _first_named([name for name in types if name != issued_at], TARGET_NAMES)
    if issued_at not in types or target is None or columns.probability is not None:
        return columns
    label_time = None if columns.label_time in (target, issued_at) else columns.label_time
    lower, upper = _first_named(types, LOWER_NAMES), _first_named(types, UPPER_NAMES)
    both = lower is not None and upper is not None
    return replace(
        columns,
        event_time=target,
        issued_at=issued_at,
        series=_first_named(types, SERIES_NAMES),
        label_time=label_time,
        lower=lower if both else None,
        upper=upper if both else None,
    )


def _with_time(place: Place, types: dict[str, str], columns: Columns) -> tuple[Place, list[str]]:
    """A place of files whose time is made from a date and a time of day, or from the path, where no column has it."""
    if place.own_path is None or place.query is not None:
        return place, []
    days = [name for name in types if _DAY.search(name)]
    clocks = [name for name in types if name not in days and _CLOCK.search(name) and _holds_clock(place, name)]
    if len(days) == 1 and len(clocks) == 1 and columns.event_time in (None, *days, *clocks):
        made = replace(place, read=replace(place.read, time_of=(days[0], clocks[0])))
        return made, [f"the time is made of {days[0]} and {clocks[0]}"]
    form = time_of_path(place) if columns.event_time is None else None
    if form is None:
        return place, []
    note = f"no column holds a time: it is taken from the path of each file ({form})"
    return replace(place, read=replace(place.read, time_path=form)), [note]


def _time_of_its_path(place: Place, types: dict[str, str]) -> str | None:
    """The column whose times lie on the day that the path of its file names; None without one. Only the first file is
    read.
    """
    names = [name for name, kind in types.items() if kind.startswith("timestamp")]
    form = time_of_path(place) if names and place.query is None else None
    if form is None:
        return None
    first = files.find_files(place.own_path or "", place.shown)[0]
    rows, day = read_frame(replace(place, path=first), _PATH_ROWS), time_in_path(first, form)
    begin = pd.Timestamp(day).tz_localize(None)
    for name in names:
        values = pd.to_datetime(rows[name].dropna(), utc=True).dt.tz_localize(None)
        if len(values) and values.between(begin, begin + pd.Timedelta(days=1)).all():
            return name
    return None


def _holds_clock(place: Place, name: str) -> bool:
    values = read_frame(place, 200)[name].dropna().astype(str)
    return bool(len(values)) and bool(values.str.fullmatch(r"\d{1,2}:\d\d(:\d\d([.,]\d+)?)?( ?[AaPp][Mm])?").all())


def _listed(types: dict[str, str]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in types.items())


def _labels(spec: InspectSpec, columns: Columns) -> tuple[dict[str, str], LabelSpec | None]:
    """The columns of the labels' own source, if they have one; and how labels are read."""
    if spec.labels is None:
        if columns.label is None:
            return {}, None
        return {}, LabelSpec(None, columns.label, columns.label_time, columns.id, 0.0)
    types = describe_place(spec.labels)
    guessed_columns = guessed(spec, spec.labels, types)
    identity = columns.id if columns.id in types else guessed_columns.id
    if columns.id is None or identity is None:
        raise DataError(
            "labels are joined by id, and no id column was recognised: say which it is by --id; predictions:"
            f" {columns.id or 'none'}, labels: {identity or 'none'} ({_listed(types)})"
        )
    label = guessed_columns.label or next(
        (name for name in types if name not in (identity, guessed_columns.label_time, guessed_columns.event_time)), None
    )
    if label is None:
        raise DataError(
            f"no label column was recognised in {spec.labels.shown}: say which it is by --label; its columns are:"
            f" {_listed(types)}"
        )
    label_time = guessed_columns.label_time or (
        guessed_columns.event_time if guessed_columns.event_time != identity else None
    )
    named = {"id": identity, "label": label} | ({"label_time": label_time} if label_time else {})
    return named, LabelSpec(spec.labels, label, label_time, identity, 0.0)


def _rows_wanted(rows: int, reference: pd.DataFrame | None, sample: pd.DataFrame, label: str | None) -> int:
    """How many rows a window should have to show harm: a shift of a fifth of a standard deviation, and enough labels of
    the rarer of two classes. Limited so that the log holds some windows.
    """
    before = len(reference) if reference is not None else round(rows * _REFERENCE_SHARE)
    wanted = limits.rows_for_shift(_SHIFT, before, Checks().false_alarm_rate) or _ROWS_PER_WINDOW
    classes = sample[label].dropna().value_counts(normalize=True) if label in sample else pd.Series(dtype=float)
    if len(classes) == 2:
        wanted = max(wanted, math.ceil(2 * MIN_CLASS / classes.min()))
    return max(_ROWS_PER_WINDOW, min(wanted, rows // _FEWEST_WINDOWS))


def _length(rows_per_second: float, wanted: int) -> str:
    """The shortest usual length that holds so many rows."""
    for length in _LENGTHS:
        if rows_per_second * Duration.parse(length).approximate().total_seconds() >= wanted:
            return length
    return _LENGTHS[-1]


def _as_ranking(reference: pd.DataFrame, columns: Columns, notes: list[str]) -> tuple[Columns, str] | None:
    """The columns of a ranking and its task, where a column was named as its query, or one with a usual name of queries
    holds lists of items with a score and a relevance; None for any other data.
    """
    score, label = columns.prediction or columns.probability, columns.label
    query = columns.query or _first_named(reference, QUERY_NAMES)
    if query is None or not isinstance(score, str) or query not in reference or score not in reference:
        return None
    scores = pd.to_numeric(reference[score], errors="coerce")
    if columns.query is None:
        relevance = pd.to_numeric(reference[label], errors="coerce") if label in reference else pd.Series(dtype=float)
        rows_of_list = len(reference) / max(reference[query].nunique(), 1)
        is_ranking = _FEWEST_LISTED <= rows_of_list <= len(reference) / _FEWEST_LISTS and scores.notna().mean() > 0.5
        if not is_ranking or relevance.dropna().empty or relevance.min() < 0:
            return None
        notes.append(f"rows with one '{query}' are taken as one list, and '{score}' as what orders it: a ranking")
    item = _first_named(reference, ITEM_NAMES)
    return replace(columns, query=query, item=item, prediction=score, probability=None), "ranking"


def _task(reference: pd.DataFrame, columns: Columns) -> tuple[Columns, str]:
    """The columns that belong to the task, and the task."""
    label = columns.label if columns.label in reference else None
    labelled = reference[reference[label].notna()] if label is not None else reference
    task = infer_task(
        labelled if label is None else labelled.assign(**{label: labelled[label].infer_objects()}),
        replace(columns, label=label),
    )
    if label is not None and sort_of(labelled[label]) in ("categorical", "boolean"):
        task = "binary" if labelled[label].nunique() <= 2 else "multiclass"
    return (replace(columns, probability=None) if task in REGRESSIONS else columns), task


class _PositiveClass(NamedTuple):
    columns: Columns
    positive: Candidate | None
    candidates: tuple[Candidate, ...]


def _positive(reference: pd.DataFrame, columns: Columns, task: str, named: str | None) -> _PositiveClass:
    """The columns with the positive class where it is named or certain, that class, and all candidates. Raises
    DataError if the named class is no label.
    """
    if task != "binary" or columns.label not in reference:
        return _PositiveClass(columns, None, ())
    labels = reference[columns.label]
    score = columns.probability if isinstance(columns.probability, str) else columns.prediction
    classes = tuple(candidates(labels, reference.get(score)))
    if named is None:
        name = certain_positive([candidate.name for candidate in classes])
        columns = columns if name in (None, "1", "true") else replace(columns, positive=name)
    else:
        name = positive_class(labels, replace(columns, positive=named), None)
        columns = replace(columns, positive=name)
    if name is None:
        return _PositiveClass(columns, None, classes)
    positive = next((candidate for candidate in classes if means_same(candidate.name, name)), Candidate(name))
    return _PositiveClass(columns, positive, classes)


def _present(columns: Columns, frame: pd.DataFrame) -> list[str]:
    """The features that are columns of a frame, not made of others."""
    return [name for name in columns.feature_names([str(column) for column in frame.columns]) if name in frame]


def _without_non_inputs(place: Place, reference: pd.DataFrame, columns: Columns, notes: list[str]) -> Columns:
    """The columns without those that are no inputs of a model: artefacts of writing files, row numbers, and ids of
    requests.
    """
    of_writing = {} if place.own_path is None else files.columns_of_writing(place.own_path, place.shown)
    names_by_reason: dict[str, list[str]] = {}
    for name in _present(columns, reference):
        reason = of_writing.get(name)
        if reason is None and (_OF_REQUESTS.search(name) or _INDEX.match(name)):
            reason = "an id of requests" if _OF_REQUESTS.search(name) else "the index of a pandas frame"
        elif reason is None and _numbers_rows(reference[name]):
            reason = "a number of the row"
        if reason is not None:
            names_by_reason.setdefault(reason, []).append(name)
    for reason, names in names_by_reason.items():
        notes.append(f"{', '.join(names)}: {reason}, no input of the model; left out")
    return replace(columns, ignore=(*columns.ignore, *(name for names in names_by_reason.values() for name in names)))


def _numbers_rows(values: pd.Series) -> bool:
    """Whether whole numbers count the rows: each occurs once, and hardly any is left out."""
    if len(values) < _FEWEST_NUMBERED or not pd.api.types.is_integer_dtype(values) or not values.is_unique:
        return False
    return bool(int(values.max()) - int(values.min()) < 1.1 * len(values))


def _sensitive(reference: pd.DataFrame, columns: Columns, notes: list[str]) -> Columns:
    """The columns with identifying text (nearly every value another) as sensitive and ignored, and with free text as
    sensitive: only its form is watched.
    """
    identifying: list[str] = []
    texts: list[str] = []
    for name in _present(columns, reference):
        values = reference[name].dropna()
        if name.startswith("monitor_") or len(values) < 50 or sort_of(values) not in ("categorical", "text"):
            continue
        text = values.astype(str)
        if text.nunique() > 0.5 * len(text) or text.str.contains("@", regex=False).mean() > 0.5:
            (texts if sort_of(values) == "text" else identifying).append(name)
    if identifying:
        notes.append(
            f"{', '.join(identifying)}: nearly every value is another, as of names, e-mails or numbers of accounts;"
            " proposed as sensitive and left out"
        )
    if texts:
        notes.append(
            f"{', '.join(texts)}: free text; proposed as sensitive: only its hash and form (length, words, digits,"
            " scripts) are kept and watched"
        )
    return replace(columns, sensitive=(*identifying, *texts), ignore=(*columns.ignore, *identifying))


def _label_delay(
    log: Log, labels: LabelSpec, columns: Columns, first: datetime, newest: datetime, notes: list[str]
) -> tuple[str, float]:
    """How long labels take, and which share of them ever comes, estimated from those in the log."""
    if labels.label_time is None:
        notes.append(
            "labels carry no time of their own: one day after the event counts as theirs; change labels.delay if that"
            " is not so"
        )
        return "1d", 0.95
    frame, _ = log.sample_with_labels(Window(first, newest + timedelta(seconds=1)), datetime.max.replace(tzinfo=UTC))
    events = pd.to_datetime(frame[columns.event_time], utc=True)
    lags = (frame["monitor_label_time"] - events).dropna().dt.total_seconds()
    if lags.empty:
        notes.append("no prediction has a label yet: labels.delay and labels.expected are guesses")
        return "1d", 0.95
    old = events < frame["monitor_label_time"].max() - timedelta(seconds=float(lags.quantile(0.999)))
    share = (
        float(frame.loc[old, "monitor_label_time"].notna().mean())
        if old.any()
        else float(frame["monitor_label_time"].notna().mean())
    )
    expected = min(max(math.floor(share * 0.98 * 100) / 100, 0.05), 0.99)
    hours = math.ceil(float(lags.quantile(0.99)) / 3600)
    return f"{max(hours, 1)}h" if hours < 48 else f"{math.ceil(hours / 24)}d", expected
