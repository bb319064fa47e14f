"""The configuration as pydantic models: the names here are the names in monitor.yaml."""

from __future__ import annotations

import codecs
import ipaddress
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    field_validator,
    model_validator,
)

from monitor.domain.checks import DEFAULT_HARM, CheckKey, Checks, Harm, Threshold
from monitor.domain.columns import Columns, name_range
from monitor.domain.folds import Fold
from monitor.domain.grid import Duration, Grid
from monitor.domain.metrics import REGRESSIONS
from monitor.domain.names import ModelFacts, NamesInChecks, checked_columns, described, parts_set
from monitor.domain.own_metrics import COST, Cost, OwnMetric
from monitor.domain.time_intervals import TimeInterval
from monitor.errors import UsageError


def _duration(value: Any) -> Duration:
    try:
        return value if isinstance(value, Duration) else Duration.parse(value)
    except UsageError as error:
        raise ValueError(str(error)) from None


def _moment(value: Any) -> datetime:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), tzinfo=UTC)
    raise ValueError("write a date or a time, such as 2025-04-01 or 2025-04-01T06:00:00Z")


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"'{value}' is no time zone; write one such as Europe/Berlin") from None
    return value


Length = Annotated[
    Duration,
    BeforeValidator(_duration),
    PlainSerializer(str, return_type=str),
    Field(json_schema_extra={"type": "string", "examples": ["30m", "24h", "1d", "1w", "1mo"]}),
]
Moment = Annotated[datetime, BeforeValidator(_moment)]
Zone = Annotated[str, AfterValidator(_zone)]


class Entry(BaseModel):
    """What all parts of the configuration share: no unknown keys, no change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Model(Entry):
    """The deployed model that is watched."""

    name: str = Field(description="The model's name; several monitors may watch one model.")
    version: str = Field("", description="Its version, unless the log has a column of it (columns.model_version).")


class Freshness(Entry):
    """How old the newest event may be; what is left out is learned from the log's own gaps."""

    warn_after: Length | None = Field(None, description="From this age on an alert of kind `self` warns.")
    error_after: Length | None = Field(None, description="From this age on it is critical.")

    @model_validator(mode="after")
    def _ordered(self) -> Freshness:
        warn, error = self.warn_after, self.error_after
        if warn is not None and error is not None and warn.approximate() > error.approximate():
            raise ValueError("freshness.warn_after is longer than freshness.error_after")
        return self


# The formats of records; `sources.formats` reads them.
RecordFormat = Literal[
    "sagemaker", "sagemaker-labels", "databricks", "azureml", "kserve", "seldon", "vertex", "bentoml", "mlflow"
]


class ReadingOptions(Entry):
    """How files are read, where that cannot be told from them."""

    format: RecordFormat | None = Field(None, description="The format of their records; `monitor init` recognises it.")
    encoding: str | None = Field(None, description="Of text files, as Python names it: utf-8, cp1252, utf-16.")
    separator: str | None = Field(None, min_length=1, max_length=1, description="What parts the values of a CSV file.")
    compression: Literal["none", "gzip", "zstd", "bz2", "xz"] | None = Field(None, description="How they are packed.")
    decimal: Literal[".", ","] | None = Field(None, description="The decimal mark of numbers in CSV files.")
    thousands: Literal[",", ".", " ", "'", "_"] | None = Field(
        None, description="What stands between thousands there: 1,234.50."
    )
    na: str | list[str] = Field([], description="More words for a missing value, beside NA, NaN, null, None, ? and -.")
    date_format: str | list[str] = Field(
        [],
        description=(
            "How dates and times are written (strptime: %m/%d/%Y %H:%M), or `seconds`, `milliseconds`, `microseconds`,"
            " `nanoseconds` since 1970."
        ),
    )
    names: str | list[str] = Field([], description="The names of a model's inputs, where records carry none.")
    text: str | list[str] = Field(
        [],
        description=(
            "Columns of text files that stay text, though what they hold could be numbers, times or true and false."
        ),
    )

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        try:
            return None if value is None else codecs.lookup(value).name
        except LookupError:
            raise ValueError(
                f"there is no encoding {value}; usual ones are utf-8, cp1252, latin-1 and utf-16"
            ) from None


class Location(Entry):
    """Where rows are: files, a table, or a query."""

    path: str | None = Field(
        None,
        description="A file, a folder or a pattern: Parquet, CSV, JSON; hive-partitioned folders; packed or not.",
    )
    read: ReadingOptions = Field(ReadingOptions(), description="How its files are read.")
    url: str | None = Field(
        None,
        description=(
            "sqlite:///file.db, postgresql://user@host/database or mysql://user@host/database (MariaDB, too); secrets"
            " as ${ENV}."
        ),
    )
    db_schema: str | None = Field(None, alias="schema", description="The schema of the table.")
    table: str | None = Field(None, description="The table of `url`.")
    query: str | None = Field(
        None, description="A SELECT in place of a table; beside `path` it asks for the files as the table `log`."
    )
    engine: Literal["spark"] | None = Field(
        None,
        description=(
            "`spark`: Apache Spark reads `path`, `table` or `query`, at `url` (sc://host:15002, spark://host:7077) or"
            " on this machine. Needs the extra `spark`."
        ),
    )
    ingest: bool = Field(
        False,
        description=(
            "For models that have no log: the API (POST /api/v1/predictions and /labels) writes there: `path` is then"
            " FOLDER/*.parquet, or `url` and `table` name a table, which is made if it is not there."
        ),
    )
    max_new_columns: int = Field(
        500,
        ge=0,
        description=(
            "Of `ingest`: so many columns are kept that neither the configuration nor the reference names; rows with"
            " more are refused."
        ),
    )

    @property
    def is_given(self) -> bool:
        """Whether it names a place of its own."""
        return self.path is not None or self.url is not None or self.engine is not None

    def describe(self) -> str:
        """The place, for messages: without user and password."""
        if self.path is not None:
            return self.path
        place = (self.url or self.engine or "").rsplit("@", 1)[-1].split("?", 1)[0]
        return f"{place} ({self.table or 'query'})"


def _check_location(location: Location, what: str, required: bool) -> None:
    in_files = location.path is not None and location.path.endswith("/*.parquet")
    in_table = location.url is not None and location.table is not None
    if location.ingest and (location.engine is not None or location.query is not None or not (in_files or in_table)):
        raise ValueError(
            f"{what} with `ingest` needs `path: FOLDER/*.parquet`, a folder of its own, or `url` with `table`"
        )
    if required and not location.is_given:
        raise ValueError(f"{what} needs `path`, or `url` with `table` or `query`")
    if location.engine is not None:
        if sum(place is not None for place in (location.path, location.table, location.query)) != 1:
            raise ValueError(f"{what} with `engine` needs one of `path`, `table` and `query`")
        return
    if location.path is not None and location.url is not None:
        raise ValueError(f"{what} has both `path` and `url`: name one")
    if location.path is not None and location.table is not None:
        raise ValueError(f"{what} has both `path` and `table`: files are asked by `query`, as the table `log`")
    if location.url is not None and (location.table is None) == (location.query is None):
        raise ValueError(f"{what} with `url` needs either `table` or `query`")


class Source(Location):
    """Where predictions are logged."""

    timezone: Zone = Field("UTC", description="The time zone of times that have none.")
    freshness: Freshness | None = Field(None, description="How old the newest event may be.")
    max_concurrent: int | None = Field(
        None, ge=1, description="So many runs read this path or URL at once, over all monitors that name it."
    )

    @model_validator(mode="after")
    def _complete(self) -> Source:
        _check_location(self, "source", required=True)
        return self


class LabelColumns(Entry):
    """The columns of the labels' own source; what is not named has the name that it has in the log."""

    id: str | None = Field(None, description="The id to join by.")
    label: str | None = Field(None, description="The truth.")
    label_time: str | None = Field(None, description="When it became known; without it, event time + `delay` counts.")


class LabelsConfig(Location):
    """The truth, arriving late. Without `path` or `url` the label column is in the source, filled in later."""

    timezone: Zone = Field("UTC", description="The time zone of label times that have none.")
    freshness: Freshness | None = Field(None, description="How old the newest label may be, by its label time.")
    columns: LabelColumns = Field(LabelColumns(), description="Columns of that source whose names differ.")
    delay: Length = Field(
        Duration(1, "d"),
        description="How long labels take: a window's performance is looked at that long after its end.",
    )
    expected: float = Field(0.95, gt=0, le=1, description="The share of rows whose label ever comes.")
    judge_from: float = Field(
        0.9, gt=0, le=1, description="The share of the expected labels from which performance is judged."
    )
    revise_until: Length = Field(
        Duration(60, "d"), description="From then on a window is judged by whatever labels came."
    )
    refresh_estimate: bool = Field(
        False,
        description=(
            "Whether labels that have come correct the estimate of data runs: a decay is then told by both kinds of"
            " alert, `estimated_performance` first."
        ),
    )

    @model_validator(mode="after")
    def _complete(self) -> LabelsConfig:
        _check_location(self, "labels", required=False)
        return self


class Interval(Entry):
    """An interval of the monitor's own source."""

    start: Moment = Field(description="Its start.")
    end: Moment = Field(description="Its end.")

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        if self.start >= self.end:
            raise ValueError("`start` must be before `end`")
        return self


class ReferenceData(Location):
    """The data that production is compared with: a place, or an interval of the monitor's own source."""

    start: Moment | None = Field(None, description="With `end`: that interval of the monitor's own source.")
    end: Moment | None = Field(None, description="The end of the interval.")
    calibrate_on: list[Interval] = Field(
        [],
        description=(
            "Intervals of production known to be healthy: how much they vary beyond chance (hour, weekday, season,"
            " growth) counts as normal."
        ),
    )
    rolling: int | None = Field(
        None,
        ge=1,
        description=(
            "Drift is told against so many windows before, in place of this data: slow growth is then no drift, a"
            " sudden break is."
        ),
    )
    season: Literal["hour", "weekday", "month"] | None = Field(
        None, description="Of `rolling`: only windows that begin in the same hour, weekday or month."
    )

    @model_validator(mode="after")
    def _complete(self) -> ReferenceData:
        if self.is_given == (self.start is not None or self.end is not None):
            raise ValueError("reference needs either `path` (or `url`), or `start` and `end`")
        if not self.is_given and (self.start is None or self.end is None or self.start >= self.end):
            raise ValueError("reference needs `start` before `end`")
        if self.season is not None and self.rolling is None:
            raise ValueError("reference.season needs reference.rolling: of how many windows")
        _check_location(self, "reference", required=False)
        return self


class TimeOfPath(Entry):
    """The time is in the path of each file."""

    path: str = Field(description="How it is written there (strptime): %Y/%m/%d/%H.")


class ColumnNames(Entry):
    """Which column plays which part; every other one is a feature, unless `features` names them."""

    id: str | None = Field(None, description="The prediction's id; labels are joined by it.")
    event_time: str | list[str] | TimeOfPath | None = Field(
        None,
        description=(
            "When the prediction was made; windows are intervals of it. A date and a time of day in two columns: [date,"
            " time]; in the path of files: {path: '%Y/%m/%d'}."
        ),
    )
    prediction: str | None = Field(None, description="The predicted class or value.")
    probability: str | dict[str, str] | None = Field(
        None, description="The probability of `positive`; for multiclass a mapping of class to column."
    )
    positive: Any = Field(
        None,
        description=(
            "The class that `probability` speaks of; needs no name where labels are 1 and 0, true and false, yes and"
            " no, or such a pair."
        ),
    )
    decision_threshold: float = Field(0.5, description="Decides where there is a probability and no prediction.")
    label: str | None = Field(
        None, description="The truth, in the reference, and in the source if labels have no place of their own."
    )
    label_time: str | None = Field(None, description="When the label became known.")
    logged_at: str | None = Field(
        None, description="When the row was written: rows that came after a run was due are left out of it."
    )
    model_version: str | None = Field(None, description="The version that made the prediction.")
    weight: str | None = Field(
        None, description="How many rows each stands for: weights performance; kept out of the features."
    )
    features: list[str] | None = Field(None, description="The model's inputs; every other column if left out.")
    query: str | None = Field(
        None,
        description=(
            "Of a ranking: the column whose rows are one list, such as a search, a user or a session. A query is"
            " sampled whole."
        ),
    )
    item: str | None = Field(None, description="Of a ranking: the column that names what is listed; no feature.")
    top: int | None = Field(None, ge=1, description="Of a ranking: how many items at the top of a list count; 10.")
    issued_at: str | None = Field(
        None, description="Of a forecast: when it was made; `event_time` is the time that it is of."
    )
    series: str | None = Field(None, description="Of a forecast: the column that names what is forecast.")
    lower: str | None = Field(None, description="Of a forecast: the lower end of its prediction interval.")
    upper: str | None = Field(None, description="Of a forecast: the upper end of its prediction interval.")
    coverage: float | None = Field(
        None, gt=0, lt=1, description="The share of actual values that should lie in the prediction interval; 0.9."
    )
    season: str | None = Field(
        None,
        description=(
            "Of a forecast: how long a season is, 24h, 7d or 52w; that of the best naive forecast if left out."
        ),
    )
    segments: list[str] = Field([], description="Columns whose values are looked at one by one.")
    ignore: list[str] = Field([], description="Columns that are never read.")
    open: list[str] = Field(
        [],
        description=(
            "Objects within objects of files whose parts are columns, too: `inputs.customer` gives"
            " `inputs.customer.age`."
        ),
    )
    sensitive: list[str] = Field(
        [],
        description=(
            "Columns whose values are replaced by keyed hashes right after reading; of free text the form is kept too"
            " (length, words, digits, scripts)."
        ),
    )

    expressions: dict[str, str] = Field(
        {},
        description=(
            "Columns that are made of others by SQL of the source, by their names: {probability: score / 1000}."
            " `probability: {expression: …}` is short for that."
        ),
    )
    embeddings: dict[str, list[str] | str] = Field(
        {},
        description=(
            "Vectors of which each number has a column of its own: the columns by a name for the vector; `f0..f767`"
            " stands for all between."
        ),
    )

    attributions: str | dict[str, str] | None = Field(
        None,
        description=(
            "The columns of logged attributions, such as SHAP values: a pattern such as `shap_{feature}`, or the column"
            " of each feature. They are no features; how much each feature counts is compared with the reference."
        ),
    )

    @field_validator("attributions")
    @classmethod
    def _pattern(cls, value: str | dict[str, str] | None) -> str | dict[str, str] | None:
        _as_value_error(lambda attributions: Columns(attributions=attributions), value)
        return value

    @model_validator(mode="before")
    @classmethod
    def _made(cls, values: Any) -> Any:
        """`probability: {expression: …}` makes a column of that name."""
        if not isinstance(values, dict):
            return values
        expressions = {
            part: value["expression"]
            for part, value in values.items()
            if isinstance(value, dict) and set(value) == {"expression"}
        }
        if not expressions:
            return values
        return (
            values
            | dict(zip(expressions, expressions, strict=True))
            | {"expressions": {**(values.get("expressions") or {}), **expressions}}
        )

    @field_validator("expressions")
    @classmethod
    def _named(cls, value: dict[str, str]) -> dict[str, str]:
        odd = next((name for name in value if not re.fullmatch(r"[A-Za-z_]\w*", name)), None)
        if odd is not None:
            raise ValueError(f"'{odd}' is no name for a column: letters, digits and underscores")
        return value

    @field_validator("embeddings")
    @classmethod
    def _expanded(cls, value: dict[str, list[str] | str]) -> dict[str, list[str] | str]:
        parts_by_name = {name: [parts] if isinstance(parts, str) else parts for name, parts in value.items()}
        try:
            return {
                name: [column for part in parts for column in name_range(part)] for name, parts in parts_by_name.items()
            }
        except UsageError as error:
            raise ValueError(str(error)) from None

    def to_columns(self, segments: list[str]) -> Columns:
        """As the analysis takes them."""
        values = self.model_dump(exclude={"expressions", "open"}) | {"event_time": self.time_column}
        values["segments"] = tuple(dict.fromkeys([*self.segments, *segments]))
        if isinstance(self.event_time, list):
            values["ignore"] = [*self.ignore, *self.event_time]
        return Columns(**values)

    @property
    def time_column(self) -> str | None:
        """The column that holds the time, as it is read."""
        return self.event_time if self.event_time is None or isinstance(self.event_time, str) else "event_time"


class Windows(Entry):
    """The grid of event-time windows."""

    length: Length = Field(
        Duration(1, "d"),
        description="How long a window is: 30m, 24h, 1d, 1w, 1mo; days, weeks and months are those of the calendar.",
    )
    every: Length | None = Field(None, description="One window begins so often; `length` if left out.")
    timezone: Zone = Field("UTC", description="Where days begin.")
    anchor: date = Field(date(1970, 1, 5), description="Multiples of a unit count from this day.")
    start: Moment | None = Field(None, description="The first window is the one that begins here, or the first after.")
    delay: Length = Field(Duration(0, "h"), description="How long after its end a window's rows may still come.")
    delay_max: Length | None = Field(
        None,
        description=(
            "A window waits so long after its end for its source to pass that end; without it, it waits for `delay`"
            " alone."
        ),
    )
    recount_after: Length = Field(
        Duration(1, "d"),
        description=(
            "So long after a window's run its rows are counted again; where the counts differ it is looked at again."
        ),
    )
    catch_up: Length = Field(Duration(90, "d"), description="Missed windows older than this are skipped.")

    def grid(self) -> Grid:
        """The grid that this describes."""
        return Grid(self.length, self.every or self.length, self.timezone, self.anchor)

    @model_validator(mode="after")
    def _possible(self) -> Windows:
        try:
            self.grid()
        except UsageError as error:
            raise ValueError(str(error)) from None
        if self.delay_max is not None and self.delay_max.approximate() < self.delay.approximate():
            raise ValueError("windows.delay_max is shorter than windows.delay")
        return self


class Sample(Entry):
    """How much of a window is read for the statistics; counts are always of the whole window."""

    rows: int = Field(20_000, ge=1, description="At most so many rows of a window are read.")
    seed: int = Field(0, description="Another seed draws another sample.")


class VolumeConfig(Entry):
    """How many rows a window must have, against those that are expected."""

    lower: float = Field(0.5, gt=0, lt=1, description="The least share of the expected rows, such as 50% or 0.5.")

    @field_validator("lower", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        percent = isinstance(value, str) and value.strip().endswith("%")
        return f"{float(value.strip()[:-1]) / 100}" if percent else value


class ChecksConfig(Entry):
    """What is asked of each window."""

    harm: dict[str, float | str] = Field(
        {}, description="The smallest loss worth waking someone: absolute, or a share such as 10%."
    )
    thresholds: dict[str, dict[str, Any]] = Field({}, description="Limits of your own: they page when they break.")
    metrics: dict[str, dict[str, Any]] = Field(
        {},
        description=(
            "Metrics of your own, by name: `sql` (an aggregate over the labelled rows) or `python`"
            " (package.module:function), `direction` (which is better: lower or higher) and `task`."
        ),
    )
    cost: dict[str, float | str] | None = Field(
        None,
        description=(
            "What mistakes cost: an amount or a column for false_negative, false_positive, true_positive,"
            " true_negative; error; or absolute_error; and `currency`. Adds the metric `cost`, of the whole window."
        ),
    )
    segments: list[str] = Field([], description="Columns whose values are looked at one by one.")
    false_alarm_rate: float = Field(
        0.01,
        gt=0,
        lt=1,
        description="The share of windows like the reference in which any check may be `changed`; pages nobody.",
    )

    drift_methods: dict[str, str] = Field(
        {},
        description="Evidently's name of a drift method, by column or for all that are `numerical` or `categorical`.",
    )

    volume: Annotated[
        VolumeConfig | Literal[False], BeforeValidator(lambda value: False if value in ("off", None) else value)
    ] = Field(
        VolumeConfig(),
        description=(
            "How far rows may fall below those of earlier windows at the same calendar position; `off`: no limit."
        ),
    )

    weak_segments: bool = Field(
        False,
        description=(
            "Whether segments that are worse than the reference expects are searched for among labelled rows, by the"
            " values of up to three columns."
        ),
    )

    @field_validator("harm")
    @classmethod
    def _harm(cls, value: dict[str, float | str]) -> dict[str, float | str]:
        for harm in value.values():
            _as_value_error(Harm.of, harm)
        return value

    @field_validator("thresholds")
    @classmethod
    def _thresholds(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for threshold in value.values():
            _as_value_error(Threshold.of, threshold)
        return value

    @field_validator("metrics")
    @classmethod
    def _metrics(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, metric in value.items():
            _as_value_error(partial(OwnMetric.of, name), metric)
        return value

    @field_validator("cost")
    @classmethod
    def _cost(cls, value: dict[str, float | str] | None) -> dict[str, float | str] | None:
        if value is not None:
            _as_value_error(Cost.of, value)
        return value

    @property
    def named(self) -> NamesInChecks:
        """The names of metrics and columns in it."""
        thresholds = {metric: tuple(limit.get("columns") or ()) for metric, limit in self.thresholds.items()}
        own: dict[str, str | None] = {name: metric.get("task") for name, metric in self.metrics.items()}
        own |= {} if self.cost is None else {COST: None}
        cost = None if self.cost is None else Cost.of(self.cost)
        return NamesInChecks(tuple(self.harm), thresholds, self.drift_methods, self.segments, own, cost)

    def higher_is_better(self, metric: str) -> bool | None:
        """The direction of a metric of the user's own; None for any other."""
        if metric in self.metrics:
            return OwnMetric.of(metric, self.metrics[metric]).higher_is_better
        return False if metric == COST and self.cost is not None else None

    def harm_of(self, metric: str) -> Harm | None:
        """The harm of a metric: the user's, or the default where the user names none of any metric; None if there is
        none.
        """
        if not self.harm:
            return DEFAULT_HARM.get(metric)
        harm = self.harm.get(metric)
        return None if harm is None else Harm.of(harm)

    def to_checks(self, false_alarm_rate: float, page_confidence: float) -> Checks:
        """As the analysis takes them; the rate and the confidence are worked out by the service."""
        return Checks(
            false_alarm_rate,
            page_confidence,
            self.thresholds,
            self.harm,
            tuple(self.segments) or None,
            drift_methods=self.drift_methods,
            volume=None if self.volume is False else self.volume.lower,
            metrics=self.metrics,
            cost=self.cost,
            weak_segments=self.weak_segments,
        )


def _as_value_error(function: Any, value: Any) -> None:
    try:
        function(value)
    except UsageError as error:
        raise ValueError(str(error)) from None


class Alerts(Entry):
    """When findings become an alert, and who hears of it."""

    false_pages_per_month: float = Field(
        1.0,
        gt=0,
        description="How often people may be paged by chance: sets the confidence at which pages are decided.",
    )
    for_windows: int | Length = Field(
        1, alias="for", description="Bad windows in a row until it fires; or a length of time."
    )
    keep_firing_for: int | Length | None = Field(
        None,
        description=(
            "Healthy windows in a row until it resolves; or a length of time. Left out: two, and more where bad windows"
            " came with healthy ones between."
        ),
    )
    channels: list[str] = Field([], description="Who hears of every alert of this monitor.")
    notify_max_age: Length = Field(Duration(7, "d"), description="Older changes are recorded and page nobody.")


RetrainingKind = Literal["performance", "estimated_performance", "drift", "quality"]
RETRAINING_KINDS = get_args(RetrainingKind)
Paging = Literal["warning", "critical"]


class Condition(Entry):
    """One condition for a retraining: a kind of findings from a severity on, or what the data and the calendar say."""

    performance: Paging | None = Field(None, description="Realised performance is bad, at least so much.")
    estimated_performance: Paging | None = Field(None, description="Estimated performance is bad, at least so much.")
    drift: Paging | None = Field(None, description="Drift is likely to harm, at least so much.")
    quality: Paging | None = Field(None, description="The data are faulty, at least so much.")
    drifted_share: float | None = Field(
        None, gt=0, le=1, description="So many of the features have changed, in `for` windows."
    )
    age: Length | None = Field(None, description="The model was trained or deployed so long ago.")
    labelled_rows: int | None = Field(
        None, ge=1, description="So many labelled rows have come since it was trained or deployed."
    )

    @model_validator(mode="after")
    def _one(self) -> Condition:
        if len(self.model_fields_set) != 1:
            raise ValueError("one condition an entry of the list, such as {drift: critical} or {age: 180d}")
        return self


class Retraining(Entry):
    """When a retraining is requested, and what starts it."""

    when: list[RetrainingKind | Condition] = Field(
        min_length=1,
        description=(
            "Any of these: kinds of findings that page (performance, estimated_performance, drift, quality), or"
            " conditions such as {drift: critical}, {drifted_share: 0.5}, {age: 180d}, {labelled_rows: 50000}."
        ),
    )
    for_windows: int | Length = Field(1, alias="for", description="Bad windows in a row; or a length of time.")
    cooldown: Length = Field(Duration(14, "d"), description="The pause after the end of the last request of the model.")
    max_per_month: int | None = Field(None, ge=1, description="No more requests of the model within 30 days.")
    min_labelled_rows: int | None = Field(
        None, ge=1, description="So many labelled rows must have come since the last training."
    )
    requires_approval: bool = Field(False, description="A request waits for `monitor retraining approve`.")
    verify_for: Length = Field(
        Duration(14, "d"), description="How long a candidate is compared until its rows tell; then the request expires."
    )
    launcher: str = Field(description="What starts the training.")
    rollback: str | None = Field(
        None,
        description="The launcher that takes a version back that is worse than the one before; left out: none.",
    )

    def least(self, kind: str) -> str | None:
        """The least severity of a kind's findings that counts; None where the kind is no reason to retrain."""
        severities: list[Paging] = []
        for entry in self.when:
            if isinstance(entry, str):
                severities += ["warning"] if entry == kind else []
            elif kind in RETRAINING_KINDS and getattr(entry, kind) is not None:
                severities.append(getattr(entry, kind))
        return "warning" if "warning" in severities else "critical" if severities else None

    @property
    def conditions(self) -> list[Condition]:
        """What is asked of the data and the calendar, not of findings."""
        return [
            entry
            for entry in self.when
            if isinstance(entry, Condition) and not entry.model_fields_set & {*RETRAINING_KINDS}
        ]


class MonitorConfig(Entry):
    """What is watched for one model."""

    task: Literal["binary", "multiclass", "regression", "ranking", "forecast"] = Field(
        description="binary, multiclass, regression, ranking or forecast."
    )
    model: Model = Field(description="The model that is watched.")
    source: Source = Field(description="Where predictions are logged.")
    reference: ReferenceData = Field(description="What production is compared with.")
    renamed_from: str | None = Field(None, description="The name it had before: its history is kept.")
    description: str = Field("", description="Sent along with alerts.")
    runbook_url: str = Field("", description="Sent along with alerts.")
    tags: dict[str, str] = Field({}, description="Labels to route by, sent along.")
    upstream: list[str] = Field(
        [],
        description=(
            "Monitors whose models or data this one consumes: while one of them fires, its alert carries those of this"
            " monitor inside, also a critical loss of performance."
        ),
    )
    labels: LabelsConfig | None = Field(None, description="Where the truth comes from, and when.")
    columns: ColumnNames = Field(ColumnNames(), description="Which column plays which part.")
    windows: Windows = Field(Windows(), description="When a window begins and ends.")
    sample: Sample = Field(Sample(), description="How much is read.")
    checks: ChecksConfig = Field(ChecksConfig(), description="What is asked, and what harm is.")
    alerts: Alerts = Field(Alerts(), description="When an alert fires, and who hears.")
    retraining: Retraining | None = Field(None, description="When a retraining is requested.")

    @model_validator(mode="after")
    def _consistent(self) -> MonitorConfig:
        if self.columns.prediction is None and self.columns.probability is None:
            raise ValueError("columns needs `prediction`, or `probability`")
        if self.columns.event_time is None:
            raise ValueError("columns needs `event_time`: windows are intervals of it")
        if self.columns.open and (self.source.path is None or self.source.engine is not None):
            raise ValueError("columns.open opens objects in files that Monitor reads itself; write a `query` instead")
        if self.task in REGRESSIONS and self.columns.probability is not None:
            raise ValueError(f"columns.probability belongs to a classification; this task is {self.task}")
        if self.task == "ranking" and (self.columns.query is None or self.columns.prediction is None):
            raise ValueError(
                "a ranking needs columns.query, whose rows are one list, and columns.prediction, the score"
            )
        if self.task == "ranking" and self.columns.probability is not None:
            raise ValueError(
                "columns.probability belongs to a classification; the score of a ranking is its prediction"
            )
        forecast = ("issued_at", "lower", "upper", "coverage", "season", "series")
        if self.task == "forecast":
            if self.columns.issued_at is None or self.columns.prediction is None:
                raise ValueError("a forecast needs columns.issued_at, when it was made, and columns.prediction")
            if (self.columns.lower is None) != (self.columns.upper is None):
                raise ValueError("a prediction interval has two columns: columns.lower and columns.upper")
        elif any(getattr(self.columns, name) is not None for name in forecast):
            raise ValueError(f"columns.{', columns.'.join(forecast)} belong to the task forecast")
        if self.task != "ranking" and (self.columns.query or self.columns.item or self.columns.top):
            raise ValueError("columns.query, columns.item and columns.top belong to the task ranking")
        if self.task == "multiclass" and isinstance(self.columns.probability, str):
            raise ValueError("columns.probability of a multiclass model is a mapping of class to column")
        if self.labels is not None and self.labels.is_given and self.columns.id is None:
            raise ValueError("labels with a place of their own are joined by id: columns needs `id`")
        return self

    def to_columns(self) -> Columns:
        """The columns as the analysis takes them."""
        return self.columns.to_columns(self.checks.segments)

    def watched(self, columns: list[str] | None = None, types: Mapping[str, str] | None = None) -> ModelFacts:
        """What is known of the model and its data. columns: those of its source, types: of the reference's columns,
        where these are known.
        """
        parts = self.to_columns()
        if columns is None and parts.features is not None:
            columns = []
        checked = None if columns is None else checked_columns(parts, columns)
        column_facts = None if types is None else described(parts, types)
        return ModelFacts(
            self.task,
            bool(parts.probabilities),
            self.labels is not None,
            checked,
            types=column_facts,
            parts=parts_set(parts),
        )

    def in_windows(self, value: int | Duration) -> int:
        """A number of windows; a length of time is rounded up to windows."""
        if isinstance(value, int):
            return max(value, 1)
        return max(1, -(-value.approximate() // (self.windows.every or self.windows.length).approximate()))

    def asks(self, fold: Fold, keys: Sequence[CheckKey]) -> bool:
        """Whether alerts of a fold, opened by these checks, can still be judged by this configuration."""
        if fold.run_kind == "performance" and self.labels is None:
            return False
        # A segment is written `column=value`; both may hold a `=`.
        segments = tuple(f"{name}=" for name in (*self.columns.segments, *self.checks.segments))

        def is_checked(key: CheckKey) -> bool:
            column = key.column
            if key.segment and not key.segment.startswith(segments):
                return False
            features = self.columns.features
            outputs = {self.columns.prediction, self.columns.label, *self.to_columns().probabilities.values()}
            dropped = column in self.columns.ignore or (features is not None and column not in {*features, *outputs})
            return not column or not dropped

        return not keys or any(map(is_checked, keys))

    def looked_at_until(self) -> timedelta:
        """How long after its end a window may be looked at again by plan."""
        recount = self.windows.delay.approximate() + self.windows.recount_after.approximate()
        labels = self.labels
        revise = (
            max(labels.revise_until.approximate(), labels.delay.approximate()) if labels is not None else timedelta(0)
        )
        return max(recount, revise)

    def page_confidence(self) -> float:
        """The confidence at which pages are decided, so that by chance no more than `false_pages_per_month` come.

        The month's windows share that number, over the four kinds that page; `for` windows in a row must all be wrong.
        """
        per_month = timedelta(days=30.436875) / (self.windows.every or self.windows.length).approximate()
        share = min(self.alerts.false_pages_per_month / (4 * per_month), 0.5)
        rate = share ** (1 / self.in_windows(self.alerts.for_windows))
        return float(min(max(1 - rate, 0.95), 0.9999))

    def page_margin(self) -> float:
        """How many standard errors the interval of that confidence reaches to either side."""
        return NormalDist().inv_cdf(0.5 + self.page_confidence() / 2)


Templates = dict[Literal["title", "text", "markdown", "html"], str]
_TIMEOUT = "A delivery that takes longer, from looking up the name to the last byte of the answer, has failed."
_TEMPLATES = "Jinja templates of your own, by `title`, `text`, `markdown`, `html`."
_OWN_WORDS = "Jinja templates of your own: of `title` and `text`, which take the place of the message's parts."


class WebhookChannel(Entry):
    """A URL that takes a signed POST (Standard Webhooks)."""

    type: Literal["webhook"] = Field(description="webhook")
    url: str = Field(description="Where to POST.")
    secret: str | list[str] | None = Field(
        None,
        description=(
            "Signs what is sent: base64, with or without the prefix whsec_; several while one takes the place of"
            " another."
        ),
    )
    format: Literal["monitor", "alertmanager", "cloudevents"] = Field(
        "monitor",
        description=(
            "The body: this service's own, Alertmanager's (version 4), or its own in a CloudEvents 1.0 envelope."
        ),
    )
    templates: Templates = Field({}, description=_TEMPLATES)
    allow_private: bool = Field(False, description="Whether the address may be a private one.")
    timeout: Length = Field(Duration(15, "s"), description=_TIMEOUT)
    retry_for: Length = Field(Duration(72, "h"), description="How long a delivery is tried.")

    @field_validator("url")
    @classmethod
    def _no_chat(cls, value: str) -> str:
        for host, written in (
            ("hooks.slack.com", "{type: slack, url: …}"),
            ("webhook.office.com", "{type: teams, url: …}"),
            ("logic.azure.com", "{type: teams, url: …}"),
            ("api.powerplatform.com", "{type: teams, url: …}"),
            ("api.telegram.org", "{type: telegram, token: …, chat_id: …}"),
            ("discord.com/api/webhooks", "an Apprise URL, discord://…"),
        ):
            if host in value:
                raise ValueError(f"this service does not read a plain webhook: write the channel as {written}")
        if not value.startswith(("http://", "https://", "${")):
            raise ValueError("a webhook's url begins with https:// or http://")
        return value


class AppriseChannel(Entry):
    """Any service that Apprise knows, by its URL."""

    type: Literal["apprise"] = Field(description="apprise")
    url: str = Field(description="An Apprise URL.")
    images: bool = Field(
        True,
        description=(
            "Whether a picture goes along, where the service takes attachments: the metric over time with its limit,"
            " and the columns that changed most."
        ),
    )
    timeout: Length = Field(Duration(60, "s"), description=_TIMEOUT)
    templates: Templates = Field({}, description=_TEMPLATES)
    retry_for: Length = Field(Duration(72, "h"), description="How long a delivery is tried.")


class AlertmanagerChannel(Entry):
    """An Alertmanager, which groups, routes and silences by itself: it is brought to the current state again and
    again.
    """

    type: Literal["alertmanager"] = Field(description="alertmanager")
    url: str = Field(description="Its base URL, such as http://alertmanager:9093.")
    allow_private: bool = Field(False, description="Whether the address may be a private one.")
    timeout: Length = Field(Duration(15, "s"), description=_TIMEOUT)
    retry_for: Length = Field(Duration(72, "h"), description="Not acted on: it is told again every minute.")
    templates: Templates = Field({}, description="Not acted on.")


class PagerDutyChannel(Entry):
    """A PagerDuty service, by its Events API v2."""

    type: Literal["pagerduty"] = Field(description="pagerduty")
    routing_key: str = Field(description="The integration key of the service.")
    url: str = Field("https://events.pagerduty.com/v2/enqueue", description="Where events are sent.")
    allow_private: bool = Field(False, description="Whether the address may be a private one.")
    timeout: Length = Field(Duration(15, "s"), description=_TIMEOUT)
    retry_for: Length = Field(Duration(72, "h"), description="How long a delivery is tried.")
    templates: Templates = Field({}, description=_TEMPLATES)


class ChatChannel(Entry):
    """What channels have in common that post a service's own form of a message."""

    allow_private: bool = Field(False, description="Whether the address may be a private one.")
    timeout: Length = Field(Duration(15, "s"), description=_TIMEOUT)
    retry_for: Length = Field(Duration(72, "h"), description="How long a delivery is tried.")
    templates: Templates = Field({}, description=_OWN_WORDS)


class SlackChannel(ChatChannel):
    """A channel of Slack, by an incoming webhook."""

    type: Literal["slack"] = Field(description="slack")
    url: str = Field(description="The address of the incoming webhook, https://hooks.slack.com/services/…: a secret.")


class TeamsChannel(ChatChannel):
    """A channel or chat of Microsoft Teams, by a workflow that posts what its webhook receives."""

    type: Literal["teams"] = Field(description="teams")
    url: str = Field(description="The address of the workflow's webhook: a secret.")


class TelegramChannel(ChatChannel):
    """A chat of Telegram, by a bot."""

    type: Literal["telegram"] = Field(description="telegram")
    token: str = Field(description="The bot's token: a secret.")
    chat_id: str = Field(description="The chat's number, or the @name of a public channel.")
    images: bool = Field(
        True, description="Whether a picture of the metric over time goes along; the message is its caption, then."
    )
    url: str = Field("https://api.telegram.org", description="The Bot API's server.")

    @field_validator("chat_id", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value


class NtfyChannel(ChatChannel):
    """Phones, by a topic of ntfy."""

    type: Literal["ntfy"] = Field(description="ntfy")
    topic: str = Field(description="The topic. On a public server whoever knows it reads it: a secret.")
    url: str = Field("https://ntfy.sh", description="The server.")
    token: str = Field("", description="An access token, for topics that are protected.")


class FileChannel(Entry):
    """A file to which each notification is appended as a line of JSON."""

    type: Literal["file"] = Field(description="file")
    path: str = Field(description="The file; relative to the configuration.")
    retry_for: Length = Field(Duration(72, "h"), description="How long a delivery is tried.")
    templates: Templates = Field({}, description=_TEMPLATES)


class CommandChannel(Entry):
    """A command that takes each notification as JSON on its standard input."""

    type: Literal["command"] = Field(description="command")
    command: list[str] = Field(min_length=1, description="The command and its arguments; never a shell string.")
    timeout: Length = Field(Duration(30, "s"), description="It is ended after that, and the attempt has failed.")
    retry_for: Length = Field(Duration(72, "h"), description="How long a delivery is tried.")
    templates: Templates = Field({}, description=_TEMPLATES)


def _channel(value: Any) -> Any:
    return {"type": "apprise", "url": value} if isinstance(value, str) else value


AnyChannel = (
    WebhookChannel
    | SlackChannel
    | TeamsChannel
    | TelegramChannel
    | NtfyChannel
    | PagerDutyChannel
    | AlertmanagerChannel
    | AppriseChannel
    | FileChannel
    | CommandChannel
)
Channel = Annotated[Annotated[AnyChannel, Field(discriminator="type")], BeforeValidator(_channel)]


class TimeRange(Entry):
    """Times of the day."""

    start_time: str = Field(description="From this time on, such as 09:00.")
    end_time: str = Field(description="Until this time, such as 17:00 or 24:00.")


class TimeIntervalConfig(Entry):
    """A recurring time, as Alertmanager writes it: all that is given must hold, of each list one entry."""

    times: list[TimeRange] = Field([], description="Times of the day.")
    weekdays: list[str] = Field([], description="Such as monday:friday.")
    days_of_month: list[str] = Field([], description="Such as 1:7, or -1 for the last day.")
    months: list[str] = Field([], description="Such as december or 6:8.")
    years: list[str] = Field([], description="Such as 2025:2026.")
    location: Zone = Field("UTC", description="The time zone.")

    @model_validator(mode="after")
    def _possible(self) -> TimeIntervalConfig:
        _as_value_error(lambda config: config.interval(), self)
        return self

    def interval(self) -> TimeInterval:
        """The interval that this describes."""
        return TimeInterval.parse(
            [(time_range.start_time, time_range.end_time) for time_range in self.times],
            self.weekdays,
            self.days_of_month,
            self.months,
            self.years,
            self.location,
        )


class SilenceConfig(Entry):
    """Mutes what matches, once or as often as its intervals come round: a maintenance window."""

    matchers: list[str] = Field(min_length=1, description="Alertmanager's syntax; all must match.")
    starts: Moment | None = Field(None, description="From then on; from ever if left out.")
    ends: Moment | None = Field(None, description="Until then.")
    time_intervals: list[str] = Field([], description="Names of `time_intervals`: only then.")
    comment: str = Field("", description="Why.")

    @model_validator(mode="after")
    def _ends(self) -> SilenceConfig:
        if self.ends is None and not self.time_intervals:
            raise ValueError("a silence needs `ends`, or `time_intervals`: one for ever would be forgotten")
        return self


class Grouping(Entry):
    """How notifications are put together."""

    group_by: list[str] = Field(
        ["model"], description="Labels by which alerts share a notification; [] puts all together."
    )
    group_wait: Length = Field(
        Duration(30, "s"),
        description="How long the first notification of a group waits for others; `run` and replays wait for none.",
    )
    repeat_interval: Length | None = Field(
        None, description="What still fires is told again after that; the longer of 24h and windows.every if left out."
    )


class Route(Entry):
    """Alerts whose labels match go to these channels."""

    matchers: list[str] = Field([], description="Alertmanager's syntax; all must match.")
    channels: list[str] = Field(min_length=1, description="Who hears.")
    grouping: Grouping | None = Field(None, description="Other than the configuration's own.")
    active_time_intervals: list[str] = Field([], description="Names of `time_intervals`: only then is anybody told.")
    mute_time_intervals: list[str] = Field([], description="Names of `time_intervals`: then nobody is told.")


class CommandLauncher(Entry):
    """A command that retrains the model: the request as JSON on its standard input, the outcome as JSON on its last
    line.
    """

    type: Literal["command"] = Field(description="command")
    command: list[str] = Field(min_length=1, description="The command and its arguments; never a shell string.")
    timeout: Length = Field(Duration(2, "h"), description="It is ended after that.")


class WebhookLauncher(Entry):
    """A URL that starts the retraining; `monitor retraining complete` ends the request."""

    type: Literal["webhook"] = Field(description="webhook")
    url: str = Field(description="Where to POST the request.")
    secret: str | None = Field(None, description="Signs the request.")
    allow_private: bool = Field(False, description="Whether the address may be a private one.")
    timeout: Length = Field(Duration(24, "h"), description="A request that nobody has completed by then has failed.")


class PythonLauncher(Entry):
    """A Python function that retrains the model, in a process of its own: it takes the request as a dictionary, and
    returns the outcome as one.
    """

    type: Literal["python"] = Field(description="python")
    function: str = Field(
        pattern=r"^[\w.]+:\w+$", description="PACKAGE.MODULE:FUNCTION, found from the configuration's folder."
    )
    timeout: Length = Field(Duration(2, "h"), description="It is ended after that.")


class RemoteLauncherEntry(Entry):
    """What launchers share that start a training elsewhere and ask until it has ended."""

    allow_private: bool = Field(False, description="Whether the address may be a private one.")
    timeout: Length = Field(Duration(24, "h"), description="One that has not ended by then has failed.")
    poll_every: Length = Field(Duration(30, "s"), description="How often it is asked.")


class GitHubLauncher(RemoteLauncherEntry):
    """GitHub Actions: a workflow, or with `event_type` a repository dispatch."""

    type: Literal["github"] = Field(description="github")
    repository: str = Field(pattern="^[^/]+/[^/]+$", description="OWNER/NAME.")
    token: str = Field(description="May write actions (workflow) or contents (repository dispatch).")
    workflow: str = Field(
        "", description="The workflow's file; give its run-name the input `request_id`, so that its runs can be found."
    )
    ref: str = Field("main", description="The branch or tag that it runs on.")
    event_type: str = Field("", description="In place of `workflow`: the event of a repository dispatch.")
    api: str = Field("https://api.github.com", description="Of GitHub Enterprise another one.")

    @model_validator(mode="after")
    def _one(self) -> GitHubLauncher:
        if bool(self.workflow) == bool(self.event_type):
            raise ValueError("a github launcher needs either `workflow` or `event_type`")
        return self


class AirflowLauncher(RemoteLauncherEntry):
    """A DAG of Airflow, by its REST API."""

    type: Literal["airflow"] = Field(description="airflow")
    url: str = Field(description="Its base URL.")
    dag: str = Field(description="The DAG; its `conf` holds the request.")
    token: str = Field("", description="A bearer token.")
    user: str = Field("", description="Or a user,")
    password: str = Field("", description="with a password (Airflow 2).")
    api_version: Literal[1, 2] = Field(2, description="1 for Airflow 2, 2 for Airflow 3.")
    result_task: str = Field("", description="The task whose return value is the outcome.")


class DatabricksLauncher(RemoteLauncherEntry):
    """A job of a Databricks workspace."""

    type: Literal["databricks"] = Field(description="databricks")
    host: str = Field(description="The workspace's URL.")
    job_id: int = Field(description="The job; its parameter `request` holds the request.")
    token: str = Field(description="A personal access token, or one of a service principal.")


RemoteLauncher = GitHubLauncher | AirflowLauncher | DatabricksLauncher
Launcher = Annotated[
    CommandLauncher | WebhookLauncher | PythonLauncher | GitHubLauncher | AirflowLauncher | DatabricksLauncher,
    Field(discriminator="type"),
]


class WorkersConfig(Entry):
    """The processes that evaluate windows."""

    processes: int = Field(
        2, ge=1, description="How many runs are in work at once; they share the cores of the machine."
    )
    timeout: Length = Field(
        Duration(1, "h"), description="A run that takes longer is ended, and the attempt has failed."
    )
    max_attempts: int = Field(3, ge=1, description="A run that failed so often is given up.")
    memory_limit: int | None = Field(
        None,
        ge=256,
        description=(
            "MB of address space that a worker may take beyond what it starts with; one that wants more has failed."
        ),
    )
    lease: Length = Field(Duration(60, "s"), description="A daemon that is silent for so long has lost its runs.")
    heartbeat: Length | None = Field(
        None, description="How often a daemon renews its leases; a quarter of `lease` if left out."
    )
    retry_after: Length = Field(Duration(10, "s"), description="The pause after a first failure; it doubles.")
    retry_source_after: Length = Field(
        Duration(30, "s"), description="The pause before a run whose source was away is tried again."
    )
    dask: str | None = Field(
        None,
        description=(
            "A dask.distributed scheduler, such as tcp://scheduler:8786: windows are evaluated by its workers, which"
            " read the source themselves."
        ),
    )

    @model_validator(mode="after")
    def _beats_in_time(self) -> WorkersConfig:
        if self.heartbeat is not None and self.heartbeat.approximate() > self.lease.approximate() / 2:
            raise ValueError(
                f"workers.heartbeat ({self.heartbeat}) must be at most half of workers.lease ({self.lease})"
            )
        return self

    @property
    def heartbeat_s(self) -> float:
        """How often leases are renewed, in seconds."""
        chosen = self.lease.approximate() / 4 if self.heartbeat is None else self.heartbeat.approximate()
        return max(chosen.total_seconds(), 1.0)


class Retention(Entry):
    """How long things are kept, counted back from a monitor's last window; what is left out is kept for ever."""

    snapshots: Length | None = Field(Duration(180, "d"), description="Evidently's reports.")
    metric_values: Length | None = Field(None, description="Metric values.")
    runs: Length | None = Field(None, description="Runs with their checks, findings, values and reports.")
    alerts: Length | None = Field(None, description="Alerts that have ended, with their events and notifications.")
    roll_up: bool = Field(
        True, description="Whether metric values that go leave one a day behind: mean, extremes, number."
    )


class Outgoing(Entry):
    """The way out of this network, for channels, launchers and `heartbeat_url`."""

    proxy: str = Field(
        "",
        description=(
            "An HTTP proxy, http://[user:password@]host:port: public addresses are asked through it, private ones"
            " (`allow_private`) directly."
        ),
    )
    ca_file: str = Field(
        "",
        description=(
            "A file of certificate authorities (PEM) that vouch for receivers, beside the usual ones; relative to the"
            " configuration."
        ),
    )

    @field_validator("proxy")
    @classmethod
    def _http(cls, value: str) -> str:
        if value and not value.startswith(("http://", "${")):
            raise ValueError("a proxy's address begins with http://; https:// receivers are asked through it, too")
        return value


class DigestConfig(Entry):
    """A message a week: a quiet service must not look like a dead one."""

    channels: list[str] = Field(min_length=1, description="Who gets it.")
    weekday: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] = Field(
        "monday", description="On which day."
    )
    at: str = Field("08:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="At what time.")
    timezone: Zone = Field("UTC", description="By the clock of which place.")


class Canary(Entry):
    """A synthetic model whose data drift on purpose goes through everything, so that a service that has gone deaf is
    noticed.
    """

    every: Length = Field(Duration(1, "d"), description="How often.")
    channel: str | None = Field(None, description="A channel that its message is sent to as well.")


def _off(value: object) -> object:
    """`off` in quotes is no mapping either."""
    return False if value == "off" else value


class Web(Entry):
    """The web page and the HTTP API of `monitor serve`."""

    host: str = Field(
        "127.0.0.1",
        description="The address to listen on. On any but a loopback one people log in and programs bring a token.",
    )
    port: int = Field(8400, ge=0, le=65535, description="The port; 0 takes a free one.")
    root_path: str = Field("", pattern="^(/[^/]+)*$", description="The prefix under which a reverse proxy shows it.")
    trusted_proxies: list[str] = Field(
        [], description="Addresses of reverse proxies whose X-Forwarded headers are believed."
    )
    login: bool = Field(False, description="Whether people log in on a loopback address, too.")
    allowed_hosts: list[str] = Field(
        [], description="Host names under which it is reached, beside those of the address and of `external_url`."
    )
    requests_per_minute: int = Field(1200, ge=1, description="Of one address; more are answered with 429.")
    connections_per_client: int = Field(
        100,
        ge=5,
        description=(
            "Of one address (of IPv6, one /64 network) other than `trusted_proxies`; where there are more, the oldest"
            " on which no request is in work are closed. On four of five a request may be in work."
        ),
    )
    body_limit_mb: int = Field(32, ge=1, description="The largest body of a request, also once it is unpacked.")
    decoded_limit_mb: int = Field(
        128,
        ge=1,
        description=(
            "What the rows of a request may take in memory once their encodings (dictionaries, views, short numbers)"
            " are undone."
        ),
    )

    @property
    def asks_for_login(self) -> bool:
        """Whether people log in and programs bring a token."""
        return self.login or not is_loopback(self.host)


def is_web_address(text: str) -> bool:
    """Whether a text may stand behind a link: a browser would run `javascript:…`."""
    return text.startswith(("https://", "http://"))


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Configuration(Entry):
    """The whole of monitor.yaml."""

    database: str = Field(
        "sqlite:///monitor.db",
        description=(
            "The report database: sqlite:///file.db, postgresql://user@host/name or mysql://user@host/name (also"
            " MariaDB)."
        ),
    )
    external_url: str | None = Field(
        None, description="The base of links in alerts; without it they lead to the page on this machine's own address."
    )
    sensitive_key: str | None = Field(
        None,
        description=(
            "The secret key of the hashes that stand for `sensitive` values; without one they can be guessed from their"
            " values."
        ),
    )
    monitors: dict[str, MonitorConfig] = Field({}, description="One entry a monitor, by its name.")
    channels: dict[str, Channel] = Field({}, description="Where notifications go, by name.")
    routes: list[Route] = Field([], description="Which alerts go to which channels.")
    grouping: Grouping = Field(Grouping(), description="How notifications are put together.")
    silences: list[SilenceConfig] = Field([], description="What is muted when; `monitor silences` adds others.")
    time_intervals: dict[str, list[TimeIntervalConfig]] = Field({}, description="Recurring times, by name.")
    launchers: dict[str, Launcher] = Field({}, description="What starts retrainings, by name.")
    outgoing: Outgoing = Field(Outgoing(), description="The way out of this network.")
    workers: WorkersConfig = Field(WorkersConfig(), description="The processes that evaluate windows.")
    retention: Retention = Field(Retention(), description="How long things are kept.")
    digest: DigestConfig | None = Field(None, description="A message a week that says what was watched and found.")
    canary: Canary | None = Field(
        None, description="A synthetic model that drifts on purpose, to see that alerts come out."
    )
    web: Annotated[Web | Literal[False], BeforeValidator(_off)] = Field(
        Web(), description="The web page and the HTTP API of `monitor serve`; `off` leaves them out."
    )
    heartbeat_url: str | None = Field(
        None,
        description=(
            "Pinged by POST about every minute while all is well: a dead-man's switch, as Healthchecks offers it."
        ),
    )
    heartbeat_allow_private: bool = Field(False, description="Whether that address may be a private one.")

    @property
    def own_url(self) -> str:
        """Where this machine itself reaches the page, '' where none is served."""
        if self.web is False or not self.web.port:
            return ""
        host = self.web.host if is_loopback(self.web.host) else "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{self.web.port}{self.web.root_path}"


class Loaded(BaseModel):
    """A configuration with what it was read from."""

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    configuration: Configuration
    values: dict[str, Any]
    path: Path
    folder: Path
    places: dict[str, str]
