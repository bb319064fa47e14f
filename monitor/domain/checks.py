"""Checks of a window, and their results: verdicts and findings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import Enum, StrEnum
from functools import total_ordering
from numbers import Real
from typing import Any, NamedTuple

from monitor.domain import phrases
from monitor.domain.kinds import Kind as Kind
from monitor.domain.names import ModelFacts, NamesInChecks, raise_mistakes
from monitor.domain.own_metrics import COST, Cost, OwnMetric
from monitor.domain.representation import described, set_fields
from monitor.domain.text import printable, quoted
from monitor.errors import UsageError


class Verdict(StrEnum):
    """The answer of a check."""

    FINE = "fine"
    CHANGED = "changed"
    TOO_LITTLE_DATA = "too_little_data"
    COULD_NOT_CHECK = "could_not_check"


# A check with one of these verdicts has no usable value.
UNDECIDED = (Verdict.TOO_LITTLE_DATA.value, Verdict.COULD_NOT_CHECK.value)


@total_ordering
class Severity(Enum):
    """How bad a finding is; ordered, and comparable with its names: `severity >= "warning"`."""

    NONE = "none"
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for none to 3 for critical."""
        return _RANKS[self.value]

    def __lt__(self, other: object) -> bool:
        return self.rank < _severity(other).rank

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str | Severity):
            return self.rank == _severity(other).rank
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.value)

    def __str__(self) -> str:
        return self.value


_RANKS = {severity.value: rank for rank, severity in enumerate(Severity)}


def _severity(value: object) -> Severity:
    try:
        return value if isinstance(value, Severity) else Severity(value)
    except ValueError:
        raise UsageError(f"'{value}' is no severity; they are: {', '.join(s.value for s in Severity)}") from None


@dataclass(frozen=True)
class Threshold:
    """A limit that the user wrote: it pages when it breaks, with its severity.

    lower, upper: the limits, in the metric's own units. columns: limits for single columns, which go before these.
    """

    lower: float | None = None
    upper: float | None = None
    severity: Severity = Severity.WARNING
    columns: Mapping[str, Threshold] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any) -> Threshold:
        """From a mapping with `lower`, `upper`, `severity` and `columns`, as the configuration writes it."""
        if isinstance(value, Threshold):
            return value
        if not isinstance(value, Mapping):
            raise UsageError(f"a threshold is a mapping such as {{upper: 0.2}}, not {value}")
        unknown = set(value) - {"lower", "upper", "severity", "columns"}
        if unknown:
            raise UsageError(f"a threshold has lower, upper, severity and columns, not {', '.join(sorted(unknown))}")
        limits = [value.get(name) for name in ("lower", "upper")]
        if limits == [None, None] and not value.get("columns"):
            raise UsageError(
                "a threshold without `lower`, `upper` or `columns` can never break: write a limit such as {upper: 0.2}"
            )
        for limit in limits:
            if limit is not None and (not isinstance(limit, Real) or math.isnan(limit)):
                raise UsageError(f"the limits of a threshold are numbers, not {limit!r}")
        return cls(
            value.get("lower"),
            value.get("upper"),
            _severity(value.get("severity", "warning")),
            {str(name): cls.of(column_limit) for name, column_limit in (value.get("columns") or {}).items()},
        )


@dataclass(frozen=True)
class Harm:
    """The smallest loss worth waking someone: absolute, or a share of the reference's value."""

    value: float
    relative: bool = False

    @classmethod
    def of(cls, value: Any) -> Harm:
        """From a number (absolute) or a text such as `10%` (of the reference's value)."""
        if isinstance(value, Harm):
            return value
        text = str(value).strip()
        try:
            harm = cls(float(text[:-1]) / 100, True) if text.endswith("%") else cls(float(text))
        except ValueError:
            raise UsageError(f"'{value}' is no harm: write a number (absolute) or a percentage such as 10%") from None
        if not 0 < harm.value < math.inf:
            raise UsageError(f"harm must be a number above zero, not {value}")
        return harm

    def __str__(self) -> str:
        """As it is written in a configuration."""
        return f"{100 * self.value:g}%" if self.relative else f"{self.value:g}"

    def absolute(self, reference: float) -> float:
        """The loss in the metric's own units."""
        return self.value * abs(reference) if self.relative else self.value


# The smallest loss that counts, by the task's default metric.
DEFAULT_HARM = {"roc_auc": Harm(0.02), "accuracy": Harm(0.02), "mae": Harm(0.10, relative=True), "ndcg": Harm(0.02)}


@dataclass(frozen=True, repr=False)
class Checks:
    """What is checked in a window, and how strictly.

    false_alarm_rate: the share of windows like the reference in which any check may be `changed`.
    page_confidence: the confidence of the intervals on which pages are decided.
    thresholds: limits of the user's own, by metric. harm: the smallest loss that counts, by metric.
    segments: some of `Columns.segments`; all if None. only: kinds to check; all if None.
    volume: the least share of the rows that earlier windows of the same calendar position lead to expect; None: no
        limit.
    weak_segments: whether segments that are worse than the reference expects are searched for among labelled rows.
    natural: what was taken for a fault before, and was shown by labels to do the model no harm: it pages nobody again.
    drift_methods: Evidently's name of a drift method by column, or for all columns that are `numerical` or
        `categorical`.
    metrics: metrics of the user's own, by name. cost: what mistakes cost in money, which adds the metric `cost`.
    Raises UsageError for names that can never page: unknown metrics and methods, metrics without an interval in `harm`.
    """

    false_alarm_rate: float = 0.01
    page_confidence: float = 0.99
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    harm: Mapping[str, Any] = field(default_factory=dict)
    segments: tuple[str, ...] | None = None
    only: tuple[str, ...] | None = None
    drift_methods: Mapping[str, str] = field(default_factory=dict)
    volume: float | None = 0.5
    weak_segments: bool = False
    natural: tuple[Natural, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    cost: Any = None

    def __repr__(self) -> str:
        return set_fields(self)

    def __post_init__(self) -> None:
        for name in ("false_alarm_rate", "page_confidence"):
            if not 0 < getattr(self, name) < 1:
                raise UsageError(f"Checks.{name} must lie between 0 and 1, not {getattr(self, name)}")
        object.__setattr__(
            self, "thresholds", {metric: Threshold.of(value) for metric, value in self.thresholds.items()}
        )
        object.__setattr__(self, "harm", {metric: Harm.of(value) for metric, value in self.harm.items()})
        object.__setattr__(self, "metrics", {name: OwnMetric.of(name, value) for name, value in self.metrics.items()})
        object.__setattr__(self, "cost", None if self.cost is None else Cost.of(self.cost))
        object.__setattr__(self, "segments", None if self.segments is None else tuple(self.segments))
        raise_mistakes(self.named, ModelFacts())
        if self.only is not None:
            object.__setattr__(self, "only", tuple(Kind(kind).value for kind in self.only))

    @property
    def named(self) -> NamesInChecks:
        """The names of metrics and columns in it."""
        thresholds = {metric: tuple(limit.columns) for metric, limit in self.thresholds.items()}
        own = {name: metric.task for name, metric in self.metrics.items()}
        own |= {} if self.cost is None else {COST: None}
        return NamesInChecks(tuple(self.harm), thresholds, self.drift_methods, self.segments or (), own, self.cost)

    def own_metrics(self, task: str) -> list[OwnMetric]:
        """The user's own metrics of a task, that of `cost` last."""
        return [*self.metrics.values(), *([] if self.cost is None else [self.cost.metric(task)])]

    def is_own(self, metric: str) -> bool:
        """Whether a metric, or what it estimates, is the user's own."""
        return metric.removeprefix("estimated_") in self.named.own

    def higher_is_better(self, metric: str) -> bool | None:
        """The direction of a metric of the user's own, or of its estimate; None for any other."""
        name = metric.removeprefix("estimated_")
        if name in self.metrics:
            return bool(self.metrics[name].higher_is_better)
        return False if self.is_own(name) else None

    def asks(self, kind: Kind) -> bool:
        """Whether findings of this kind are looked for."""
        return self.only is None or kind.value in self.only

    def method(self, column: str, column_type: str) -> str | None:
        """The drift method that is configured for a column; None for the default."""
        return self.drift_methods.get(column) or self.drift_methods.get(
            "numerical" if column_type in ("numerical", "time") else "categorical"
        )

    def threshold(self, metric: str, column: str | None) -> Threshold | None:
        """The user's limit for a metric of a column, the column's own first."""
        whole = self.thresholds.get(metric)
        if whole is None or (column is None and whole.lower is None and whole.upper is None):
            return None
        own = whole.columns.get(column) if column is not None else None
        chosen: Threshold = own or whole
        return chosen if chosen.lower is not None or chosen.upper is not None else None


def segment_text(column: str, value: str) -> str:
    """A segment as it is stored and shown. An `=` in the column's name is written `\\=`, so that no two segments are
    written alike.
    """
    name = column.replace("\\", "\\\\").replace("=", "\\=")
    return f"{name}={value}"


class CheckKey(NamedTuple):
    """What a check measures, whatever the window: a metric, its column and its segment, '' where there is none.

    Names may hold any character: keys are compared by their fields and stored as lists, never as one text.
    """

    metric: str
    column: str = ""
    segment: str = ""

    def to_list(self) -> list[str]:
        """As it is stored in JSON."""
        return list(self)

    @classmethod
    def of(cls, stored: Sequence[str]) -> CheckKey:
        """The inverse of `to_list`; reads the texts `metric|column|segment` of older databases too."""
        return cls(*stored) if not isinstance(stored, str) else _key_of_text(stored)


@dataclass(frozen=True)
class Natural:
    """A fault that labels have shown to do the model no harm.

    key: the key of its check. value: the largest value that was harmless. seen: the start of that window.
    model_version: the version of the model in that window.
    """

    key: CheckKey
    value: float
    seen: datetime
    model_version: str = ""


def _key_of_text(text: str) -> CheckKey:
    """The key that such a text most likely stands for: no metric holds a bar, and a segment is `column=value`."""
    metric, _, rest = text.partition("|")
    if rest.endswith("|"):
        return CheckKey(metric, rest[:-1])
    bars = [place for place, character in enumerate(rest) if character == "|"]
    place = next((place for place in bars if "=" in rest[place:]), len(rest))
    return CheckKey(metric, rest[:place], rest[place + 1 :])


@dataclass(frozen=True, repr=False)
class MetricValue:
    """One number: `value` with its confidence interval `lower` to `upper`; None where it could not be worked out."""

    metric: str
    column: str | None = None
    segment: str | None = None
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    model_version: str = ""

    def __repr__(self) -> str:
        return described(self, self._named(), self._measured())

    def _named(self) -> str:
        column = f" of {quoted(self.column)}" if self.column else ""
        segment = f" where {printable(self.segment)}" if self.segment else ""
        version = f" (model version {printable(self.model_version)})" if self.model_version else ""
        return f"{self.metric}{column}{segment}{version}"

    def _measured(self, limits: tuple[float | None, float | None] = (None, None), p_value: float | None = None) -> str:
        if self.value is None:
            return "no value"
        between = None if self.lower is None or self.upper is None else (self.lower, self.upper)
        return phrases.checked(self.value, between, limits, p_value)

    @property
    def key(self) -> CheckKey:
        """Metric, column and segment, '' where there is none."""
        return CheckKey(self.metric, self.column or "", self.segment or "")


@dataclass(frozen=True, repr=False)
class Check(MetricValue):
    """One check of a window, with its verdict.

    threshold_lower, threshold_upper: beyond these the verdict is `changed`, where there are limits on the value itself.
    p_value: how often a window like the reference would look at least as unusual. rows: the rows that were looked at.
    detection_limit: the smallest change that would have been noticed, in words; None where it was not worked out.
    """

    kind: Kind = Kind.QUALITY
    verdict: Verdict = Verdict.FINE
    threshold_lower: float | None = None
    threshold_upper: float | None = None
    p_value: float | None = None
    rows: int = 0
    detection_limit: str | None = None
    reason: str = ""

    def __repr__(self) -> str:
        verdict, limits = self.verdict.value.replace("_", " "), (self.threshold_lower, self.threshold_upper)
        return described(self, self._named(), verdict, self._measured(limits, self.p_value), printable(self.reason))


@dataclass(frozen=True, repr=False)
class Finding(Check):
    """A check that is `changed`, with its severity, cause and an explanation in words.

    share: the share of the rows that are affected. since: when the change began, where it began within the window.
    origin: the probable origin, `pipeline` or `world`; `unknown` where there is too little evidence of a fault; ''
        where it is not determined.
    cost: the probable cost for the model, in units of the reference's harm metric.
    follows: the column whose change explains this one. effect: the consequence for the model, in words; the
        explanation ends with it.
    """

    severity: Severity = Severity.INFO
    cause: str = ""
    explanation: str = ""
    share: float | None = None
    since: datetime | None = None
    origin: str = ""
    cost: float | None = None
    follows: str | None = None
    effect: str = ""

    def __repr__(self) -> str:
        return described(self, self.severity.value, self._named(), printable(phrases.first_sentence(self.explanation)))

    @property
    def pages(self) -> bool:
        """Whether somebody is notified: the severity is warning or critical."""
        return self.severity >= Severity.WARNING


# The expected rows of a window are worked out from at least so many earlier windows.
FEWEST_WINDOWS = 3


@dataclass(frozen=True, repr=False)
class WindowCounts:
    """Exact counts of a WHOLE window, whatever was sampled of it.

    rows: predictions logged. missing: rows without a value, by column. first_event, last_event: as logged.
    duplicate_ids, null_ids: rows whose id came before, or is missing. labelled: rows whose label is known.
    unmatched_labels: labels whose id no prediction of the log has. early_labels: labels known before their prediction.
    window_rows: where these are the counts of one version of the model, the rows of all; None: the same.
    misdated: rows of the whole log that are dated before 1971 or later than it is, and so in no window (None: not
        counted), and the time of one.
    bad_records: records among the window's that could not be read, wholly or in part, and where one of them is, its
        letters and digits masked.
    """

    rows: int
    missing: Mapping[str, int] = field(default_factory=dict)
    first_event: Any = None
    last_event: Any = None
    duplicate_ids: int = 0
    null_ids: int = 0
    labelled: int | None = None
    unmatched_labels: int = 0
    early_labels: int = 0
    window_rows: int | None = None
    misdated: int | None = None
    misdated_example: str = ""
    bad_records: int = 0
    bad_record: str = ""

    def __repr__(self) -> str:
        times = [time for time in (self.first_event, self.last_event) if time is not None]
        span = " to ".join(f"{time:%Y-%m-%d %H:%M}" if isinstance(time, datetime) else str(time) for time in times)
        lacking = sum(number > 0 for number in self.missing.values())
        counts = {
            "labelled": self.labelled,
            "missing values in": phrases.counted(lacking, "column") if lacking else 0,
            "repeated ids": self.duplicate_ids,
            "without an id": self.null_ids,
            "labels without a row": self.unmatched_labels,
            "early labels": self.early_labels,
            "rows dated wrong": self.misdated,
            "bad records": self.bad_records,
        }
        count_texts = [f"{name} {number}" for name, number in counts.items() if number]
        return described(self, phrases.counted(self.rows, "row"), span, *count_texts)

    def __add__(self, other: WindowCounts) -> WindowCounts:
        """The counts of both, of rows that are in one of them alone; labels are counted by window."""
        first_events = [time for time in (self.first_event, other.first_event) if time is not None]
        last_events = [time for time in (self.last_event, other.last_event) if time is not None]
        return WindowCounts(
            rows=self.rows + other.rows,
            missing={name: number + other.missing.get(name, 0) for name, number in self.missing.items()},
            first_event=min(first_events, default=None),
            last_event=max(last_events, default=None),
            duplicate_ids=self.duplicate_ids + other.duplicate_ids,
            null_ids=self.null_ids + other.null_ids,
            bad_records=self.bad_records + other.bad_records,
            bad_record=self.bad_record or other.bad_record,
        )

    @property
    def all_rows(self) -> int:
        """The rows of the window, whatever version of the model predicted them."""
        return self.rows if self.window_rows is None else self.window_rows


def as_row(value: MetricValue) -> dict[str, Any]:
    """A metric value, check or finding as plain values, for tables and JSON."""
    row = {row_field.name: getattr(value, row_field.name) for row_field in fields(value)}
    return {name: item.value if isinstance(item, Enum) else item for name, item in row.items()}
