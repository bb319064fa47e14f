"""What is sent to worker processes and back. The daemon imports this module and never the work itself, which loads
Evidently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from monitor.domain.checks import Check, Checks, Finding, MetricValue
from monitor.domain.columns import Columns
from monitor.domain.grid import Window
from monitor.domain.looks import LabelTimes
from monitor.sources.spec import LogSpec, Place, RecentWindows

# The functions that workers run, as `module:function`.
LOOK = "monitor.services.work:look"
FIT_REFERENCE = "monitor.services.work:fit_reference"
RUN = "monitor.services.work:run"
SAMPLE = "monitor.services.work:sample_of"
REPORT = "monitor.services.work:report_page"
COMPARE_REFERENCES = "monitor.services.work:compare_references"
COMPARE = "monitor.services.work:compare_candidate"
DRAW_LABELS = "monitor.services.draw_labels:draw_labels"
CHECK = "monitor.services.check_sources:check"
INSPECT = "monitor.services.inspect_data:inspect_data"
# No more rows of a reference are read.
REFERENCE_ROWS = 100_000


@dataclass(frozen=True)
class ListedRows:
    """A list of a window's rows whose labels are wanted. created: from then on it is known. chances: by the keyed hash
    of each row's id, the probability with which it was drawn.
    """

    uuid: str
    created: datetime
    model_version: str
    chances: Mapping[str, float]


@dataclass(frozen=True)
class LabelledWindow:
    """A window whose labels are looked at.

    final: when revisions end. seen: what the labels looked like when they were last read for it, None if never.
    complete: all expected ones were there. closing: this is the last time. lists: those of wanted labels that have not
        all come.
    """

    window: Window
    final: datetime
    seen: str | None
    complete: bool
    closing: bool
    lists: tuple[ListedRows, ...] = ()


@dataclass(frozen=True)
class LookSpec:
    """Look at a source: its extent, when the labels of windows came, and windows to be counted again, each as of a
    time.
    """

    log: LogSpec
    after: datetime | None
    windows: tuple[LabelledWindow, ...] = ()
    recounts: tuple[tuple[Window, datetime], ...] = ()
    expected: float = 1.0
    judge_from: float = 1.0


@dataclass(frozen=True)
class Look:
    """What a look at a source has found. lists: by the id of a list of wanted labels, when enough of them had come."""

    first: datetime | None
    newest: datetime | None
    newest_label: datetime | None
    source_mark: str
    label_mark: str
    labels: dict[Window, LabelTimes]
    recounts: dict[Window, dict[str, Any]]
    misdated: int = 0
    misdated_example: str = ""
    lists: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True)
class ReferenceSpec:
    """Fit a reference: from a place, or from an interval of the monitor's own log (with its labels). healthy: intervals
    of the log to calibrate on.
    """

    task: str
    columns: Columns
    place: Place | None = None
    log: LogSpec | None = None
    start: datetime | None = None
    end: datetime | None = None
    as_of: datetime | None = None
    hash_key: str = ""
    healthy: tuple[Window, ...] = ()


@dataclass(frozen=True)
class ComparisonSpec:
    """Compare a candidate's answers, in a file by id, with what the log holds of the same rows, of which labels are
    known at `as_of`.
    """

    task: str
    columns: Columns
    log: LogSpec
    window: Window
    as_of: datetime
    candidate: Place
    harm: float | str | None = None


@dataclass(frozen=True)
class Compared:
    """The outcome of a comparison: its verdict, and the reason in words."""

    verdict: str
    text: str


@dataclass(frozen=True)
class FittedReference:
    """A reference as it is sent to the daemon: its version, archive, and facts that are stored beside it. period: the
    first and the last event time of its rows; None for rows without times.
    """

    version: str
    archive: bytes
    rows: int
    harm_metric: str | None
    baseline: dict[str, float]
    period: tuple[datetime, datetime] | None = None


@dataclass(frozen=True)
class EarlierWindow:
    """A window whose number of rows is compared with a later one's. rows: as its own run counted them; None before that
    run: they are counted in the source.
    """

    window: Window
    as_of: datetime
    rows: int | None


@dataclass(frozen=True)
class RunSpec:
    """Evaluate one window. references: by model version ('' for any other) the file of the one in force. recent: the
    windows whose labels refresh the estimate.

    rolling: windows that are the reference for drift. earlier: windows at the same calendar position, oldest first.
    a_year_ago: windows of a year ago, each after those at its own calendar position: the low traffic of a holiday is
        then expected.
    misdated, misdated_example: rows of the source that no window holds, as they were last seen. monitor, model, run:
        names and the run's id, for its report.
    lists: of the window's wanted labels, as far as they were known at `as_of`. lists_recent: earlier windows whose
        labels show what was to be expected of these.
    """

    kind: str
    window: Window
    as_of: datetime
    log: LogSpec
    columns: Columns
    references: dict[str, str]
    checks: Checks
    default_version: str
    expected: float = 1.0
    judge_from: float = 0.0
    revise_until: datetime | None = None
    recent: RecentWindows | None = None
    rolling: RecentWindows | None = None
    earlier: tuple[EarlierWindow, ...] = ()
    a_year_ago: Sequence[tuple[EarlierWindow, ...]] = ()
    misdated: int = 0
    misdated_example: str = ""
    monitor: str = ""
    model: str = ""
    run: str = ""
    lists: tuple[ListedRows, ...] = ()
    lists_recent: RecentWindows | None = None


@dataclass(frozen=True)
class DrawSpec:
    """Draw rows of a window whose labels are wanted. run: its window, with the lists drawn before. metric: that is to
    be known; None: the one that harm is measured by. version: of the model; None: that with the most rows.
    """

    run: RunSpec
    budget: int
    metric: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class DrawnRow:
    """A row whose label is wanted. key: the keyed hash of its id. weight: how many rows it stands for."""

    id: str
    key: str
    event_time: datetime
    prediction: object
    probability: object
    chance: float

    @property
    def weight(self) -> float:
        """How many rows it stands for."""
        return 1 / self.chance


@dataclass(frozen=True)
class DrawnRows:
    """The rows that were drawn, in the order of time. rows: of the version in the window (or its sample), of which
    `labelled` had a label already.

    estimate, before: of the metric without labels, and how far its interval reaches to either side; None where there is
        none. by_random_rows, after: how far the interval of the metric is expected to reach by as many labels of random
        rows, and by those of the list.
    """

    drawn: tuple[DrawnRow, ...]
    version: str
    metric: str
    rows: int
    labelled: int
    estimate: float | None
    before: float | None
    by_random_rows: float | None
    after: float


@dataclass(frozen=True)
class RunResult:
    """What is stored of a run. read_seconds, read_bytes: the cost of reading its source. note: a remark for people on
    how it was read.
    """

    rows: int
    sampled: int
    labelled: int | None
    counts: dict[str, Any]
    severity: str
    metrics: Sequence[MetricValue]
    checks: Sequence[Check]
    findings: Sequence[Finding]
    snapshot: bytes | None
    reference: str
    read_seconds: float = 0.0
    read_bytes: int = 0
    note: str = ""
