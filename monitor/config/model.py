"""The configuration as pydantic models: the names here are the names in monitor.yaml."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
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

from monitor.domain.checks import Checks, Harm, Threshold
from monitor.domain.columns import Columns
from monitor.domain.grid import Duration, Grid
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
    """How old the newest event may be."""

    warn_after: Length | None = None
    error_after: Length | None = None


class Location(Entry):
    """Where rows are: files, a table, or a query."""

    path: str | None = Field(
        None,
        description="A file, a folder or a pattern: Parquet, CSV, JSON lines; hive-partitioned folders; .gz and .zst.",
    )
    url: str | None = Field(
        None, description="sqlite:///file.db or postgresql://user@host/database; secrets as ${ENV}."
    )
    db_schema: str | None = Field(None, alias="schema", description="The schema of the table.")
    table: str | None = Field(None, description="The table of `url`.")
    query: str | None = Field(None, description="A SELECT in place of a table.")

    @property
    def is_given(self) -> bool:
        """Whether it names a place of its own."""
        return self.path is not None or self.url is not None

    def describe(self) -> str:
        """The place, for messages: without user and password."""
        if self.path is not None:
            return self.path
        place = (self.url or "").rsplit("@", 1)[-1].split("?", 1)[0]
        return f"{place} ({self.table or 'query'})"


def _check_location(location: Location, what: str, required: bool) -> None:
    if required and not location.is_given:
        raise ValueError(f"{what} needs `path`, or `url` with `table` or `query`")
    if location.path is not None and location.url is not None:
        raise ValueError(f"{what} has both `path` and `url`: name one")
    if location.url is not None and (location.table is None) == (location.query is None):
        raise ValueError(f"{what} with `url` needs either `table` or `query`")


class Source(Location):
    """Where predictions are logged."""

    timezone: Zone = Field("UTC", description="The time zone of times that have none.")
    freshness: Freshness | None = None

    @model_validator(mode="after")
    def _complete(self) -> Source:
        _check_location(self, "source", required=True)
        return self


class LabelColumns(Entry):
    """The columns of the labels' own source; what is not named has the name that it has in the log."""

    id: str | None = None
    label: str | None = None
    label_time: str | None = None


class Labels(Location):
    """The truth, arriving late. Without `path` or `url` the label column is in the source, filled in later."""

    timezone: Zone = "UTC"
    columns: LabelColumns = LabelColumns()
    delay: Length = Field(
        Duration(1, "d"),
        description="How long labels take: a window's performance is looked at that long after its end.",
    )
    expected: float = Field(0.95, gt=0, le=1, description="The share of rows whose label ever comes.")
    judge_from: float = Field(
        0.9, gt=0, le=1, description="The share of the expected labels from which performance is judged."
    )
    revise_until: Length = Duration(60, "d")

    @model_validator(mode="after")
    def _complete(self) -> Labels:
        _check_location(self, "labels", required=False)
        return self


class ReferenceData(Location):
    """The data that production is compared with: a place, or an interval of the monitor's own source."""

    start: Moment | None = None
    end: Moment | None = None

    @model_validator(mode="after")
    def _complete(self) -> ReferenceData:
        if self.is_given == (self.start is not None or self.end is not None):
            raise ValueError("reference needs either `path` (or `url`), or `start` and `end`")
        if not self.is_given and (self.start is None or self.end is None or self.start >= self.end):
            raise ValueError("reference needs `start` before `end`")
        _check_location(self, "reference", required=False)
        return self


class ColumnNames(Entry):
    """Which column plays which part; every other one is a feature, unless `features` names them."""

    id: str | None = None
    event_time: str | None = None
    prediction: str | None = None
    probability: str | dict[str, str] | None = None
    positive: Any = None
    decision_threshold: float = 0.5
    label: str | None = None
    label_time: str | None = None
    logged_at: str | None = None
    model_version: str | None = None
    weight: str | None = None
    features: list[str] | None = None
    segments: list[str] = []
    ignore: list[str] = []
    sensitive: list[str] = []

    def to_columns(self, segments: list[str]) -> Columns:
        """As the analysis takes them."""
        values = self.model_dump()
        values["segments"] = tuple(dict.fromkeys([*self.segments, *segments]))
        return Columns(**values)


class Windows(Entry):
    """The grid of event-time windows."""

    length: Length = Duration(1, "d")
    every: Length | None = Field(None, description="One window begins so often; `length` if left out.")
    timezone: Zone = "UTC"
    anchor: date = Field(date(1970, 1, 5), description="Multiples of a unit count from this day.")
    start: Moment | None = Field(None, description="The first window is the one that begins here, or the first after.")
    delay: Length = Field(Duration(0, "h"), description="How long after its end a window's rows may still come.")
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
        return self


class Sample(Entry):
    """How much of a window is read for the statistics; counts are always of the whole window."""

    rows: int = Field(20_000, ge=1)
    seed: int = 0


class ChecksConfig(Entry):
    """What is asked of each window."""

    harm: dict[str, float | str] = Field(
        {}, description="The smallest loss worth waking someone: absolute, or a share such as 10%."
    )
    thresholds: dict[str, dict[str, Any]] = Field({}, description="Limits of your own: they page when they break.")
    segments: list[str] = []
    false_alarm_rate: float = Field(0.01, gt=0, lt=1)

    @field_validator("harm")
    @classmethod
    def _harm(cls, value: dict[str, float | str]) -> dict[str, float | str]:
        for each in value.values():
            _as_value_error(Harm.of, each)
        return value

    @field_validator("thresholds")
    @classmethod
    def _thresholds(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for each in value.values():
            _as_value_error(Threshold.of, each)
        return value

    def to_checks(self, false_alarm_rate: float, page_confidence: float) -> Checks:
        """As the analysis takes them; the rate and the confidence are worked out by the service."""
        return Checks(false_alarm_rate, page_confidence, self.thresholds, self.harm, tuple(self.segments) or None)


def _as_value_error(function: Any, value: Any) -> None:
    try:
        function(value)
    except UsageError as error:
        raise ValueError(str(error)) from None


class Alerts(Entry):
    """When findings become an alert, and who hears of it."""

    false_pages_per_month: float = Field(1.0, gt=0)
    for_windows: int | Length = Field(
        1, alias="for", description="Bad windows in a row until it fires; or a length of time."
    )
    keep_firing_for: int | Length = Field(
        2, description="Healthy windows in a row until it resolves; or a length of time."
    )
    channels: list[str] = []
    notify_max_age: Length = Field(Duration(7, "d"), description="Older changes are recorded and page nobody.")


class Retraining(Entry):
    """When a retraining is requested, and what starts it."""

    when: list[Literal["performance", "estimated_performance", "drift", "quality"]] = Field(min_length=1)
    for_windows: int | Length = Field(1, alias="for")
    cooldown: Length = Duration(14, "d")
    launcher: str


class MonitorConfig(Entry):
    """What is watched for one model."""

    task: Literal["binary", "multiclass", "regression"]
    model: Model
    source: Source
    reference: ReferenceData
    renamed_from: str | None = None
    description: str = ""
    runbook_url: str = ""
    tags: dict[str, str] = {}
    labels: Labels | None = None
    columns: ColumnNames = ColumnNames()
    windows: Windows = Windows()
    sample: Sample = Sample()
    checks: ChecksConfig = ChecksConfig()
    alerts: Alerts = Alerts()
    retraining: Retraining | None = None

    @model_validator(mode="after")
    def _consistent(self) -> MonitorConfig:
        if self.columns.prediction is None and self.columns.probability is None:
            raise ValueError("columns needs `prediction`, or `probability`")
        if self.columns.event_time is None:
            raise ValueError("columns needs `event_time`: windows are intervals of it")
        if self.task == "regression" and self.columns.probability is not None:
            raise ValueError("columns.probability belongs to a classification; this task is regression")
        if self.task == "multiclass" and isinstance(self.columns.probability, str):
            raise ValueError("columns.probability of a multiclass model is a mapping of class to column")
        if self.labels is not None and self.labels.is_given and self.columns.id is None:
            raise ValueError("labels with a place of their own are joined by id: columns needs `id`")
        return self

    def to_columns(self) -> Columns:
        """The columns as the analysis takes them."""
        return self.columns.to_columns(self.checks.segments)

    def in_windows(self, value: int | Duration) -> int:
        """A number of windows; a length of time is rounded up to windows."""
        if isinstance(value, int):
            return max(value, 1)
        return max(1, -(-value.approximate() // (self.windows.every or self.windows.length).approximate()))

    def page_confidence(self) -> float:
        """The confidence at which pages are decided, so that by chance no more than `false_pages_per_month` come.

        The month's windows share that number, over the four kinds that page; `for` windows in a row must all be wrong.
        """
        per_month = timedelta(days=30.436875) / (self.windows.every or self.windows.length).approximate()
        share = min(self.alerts.false_pages_per_month / (4 * per_month), 0.5)
        rate = share ** (1 / self.in_windows(self.alerts.for_windows))
        return float(min(max(1 - rate, 0.95), 0.9999))


class WebhookChannel(Entry):
    """A URL that takes a signed POST (Standard Webhooks)."""

    type: Literal["webhook"]
    url: str
    secret: str | None = Field(None, description="Signs what is sent: base64, with or without the prefix whsec_.")
    allow_private: bool = False
    retry_for: Length = Duration(72, "h")

    @field_validator("url")
    @classmethod
    def _no_chat(cls, value: str) -> str:
        for host, scheme in (
            ("hooks.slack.com", "slack"),
            ("webhook.office.com", "msteams"),
            ("logic.azure.com", "workflows"),
            ("discord.com/api/webhooks", "discord"),
        ):
            if host in value:
                raise ValueError(
                    f"this address speaks its own language: write it as an Apprise URL, {scheme}://…, in place of a webhook"
                )
        if not value.startswith(("http://", "https://", "${")):
            raise ValueError("a webhook's url begins with https:// or http://")
        return value


class AppriseChannel(Entry):
    """Any service that Apprise knows, by its URL."""

    type: Literal["apprise"]
    url: str
    retry_for: Length = Duration(72, "h")


def _channel(value: Any) -> Any:
    return {"type": "apprise", "url": value} if isinstance(value, str) else value


Channel = Annotated[Annotated[WebhookChannel | AppriseChannel, Field(discriminator="type")], BeforeValidator(_channel)]


class Route(Entry):
    """Alerts whose labels match go to these channels."""

    matchers: list[str] = []
    channels: list[str] = Field(min_length=1)


class CommandLauncher(Entry):
    """A command that retrains the model: the request as JSON on its standard input, the outcome as JSON on its last line."""

    type: Literal["command"]
    command: list[str] = Field(min_length=1)
    timeout: Length = Duration(2, "h")


class WebhookLauncher(Entry):
    """A URL that starts the retraining; `monitor retraining complete` ends the request."""

    type: Literal["webhook"]
    url: str
    secret: str | None = None
    allow_private: bool = False
    timeout: Length = Duration(24, "h")


Launcher = Annotated[CommandLauncher | WebhookLauncher, Field(discriminator="type")]


class Workers(Entry):
    """The processes that evaluate windows."""

    processes: int = Field(2, ge=1)
    timeout: Length = Field(
        Duration(1, "h"), description="A run that takes longer is ended, and the attempt has failed."
    )
    max_attempts: int = Field(3, ge=1)
    lease: Length = Field(Duration(60, "s"), description="A daemon that is silent for so long has lost its runs.")
    retry_after: Length = Field(Duration(10, "s"), description="The pause after a first failure; it doubles.")


class Configuration(Entry):
    """The whole of monitor.yaml."""

    database: str = "sqlite:///monitor.db"
    external_url: str | None = None
    monitors: dict[str, MonitorConfig] = {}
    channels: dict[str, Channel] = {}
    routes: list[Route] = []
    launchers: dict[str, Launcher] = {}
    workers: Workers = Workers()


class Loaded(BaseModel):
    """A configuration with what it was read from."""

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True)

    configuration: Configuration
    values: dict[str, Any]
    folder: Path
    places: dict[str, str]
