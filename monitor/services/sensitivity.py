"""What another `harm` or `false_pages_per_month` would have paged on performance, worked out from stored results.

Every stored check of performance is decided again and the windows are folded as the daemon does. `harm` is changed of
one metric, on the whole model and in its segments; other metrics keep their own. A check whose settings were the wanted
ones keeps what it paged as, so the monitor's own settings give the daemon's alerts. Elsewhere the outcome is a close
approximation:

- The width of the interval on which a page is decided is worked out from the p-value. Whether recent labels had
  corrected an estimate is told by what it paged as, where that makes a difference.
- An estimate that was too doubtful to be decided stays so unless it pages.
- A check that had no limit by `harm`, or a limit of the user's own, keeps what it paged as.
- Windows are folded from some before the period on, so an alert that began long before it may begin later here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import NormalDist
from typing import NamedTuple

from sqlalchemy.orm import Session

from monitor.alerting.fold import Incident, Result, Rule, fold
from monitor.config.model import MonitorConfig
from monitor.domain.checks import DEFAULT_HARM, UNDECIDED, Harm, Severity, Verdict
from monitor.domain.kinds import Kind
from monitor.domain.losses import REACH_OF_CORRECTED, harm_limits, loss, reference_of, severity_of_loss
from monitor.errors import UsageError
from monitor.services.context import Context
from monitor.services.judge_windows import epoch_of, estimate_of, judged_version, promotions, rule_of
from monitor.storage import performance_checks
from monitor.storage.performance_checks import JudgedRun, PerformanceCheck
from monitor.storage.results import CheckNumbers, CheckToJudge
from monitor.storage.tables import MonitorRow

_MONTH = timedelta(days=30.436875)
_NORMAL = NormalDist()
# Less than a day of history tells no rate a month.
_SHORTEST = timedelta(days=1)
# `alerts.false_pages_per_month` takes no more.
MOST_PAGES = 1000.0
# So many windows before a period are folded, too: an alert may go on from there, as may the evidence of a loss.
_LEAD = 100
_EARLIEST = datetime(1000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Settings:
    """What decides a page on performance. metric: without `estimated_`."""

    metric: str
    harm: Harm
    false_pages_per_month: float


@dataclass(frozen=True)
class JudgedWindow:
    """A window by some settings. pages: by its realised values if there are any, else by its estimates. harmed: whether
    labels showed a harm, for certain enough to page; None without labels.
    """

    start: datetime
    end: datetime
    pages: bool
    harmed: bool | None


@dataclass(frozen=True)
class Sensitivity:
    """The alerts on performance that some settings would have raised.

    limits: the lowest and highest value that page nobody, by the newest window. alerts: by kind; those that began
    before the period and went on in it are among them. months: of history. pages: alerts a month that began in the
    period. false_pages: of these, alerts in whose windows labels showed no harm; None without labels. unlabelled: how
    many alerts have no labels in any of their windows.
    """

    settings: Settings
    limits: tuple[float | None, float | None]
    windows: list[JudgedWindow]
    alerts: list[tuple[Kind, Incident]]
    months: float
    pages: float
    false_pages: float | None
    unlabelled: int


def settings_of(config: MonitorConfig, metrics: Collection[str], metric: str = "") -> Settings | None:
    """The monitor's own settings of a metric that harm is told by (of the first one if none is named) and that there
    are values of; None if there is none, or if a threshold of the user's own decides.

    metrics: that there are values of, realised or `estimated_…`.
    """
    harms = {name: Harm.of(value) for name, value in config.checks.harm.items()}
    if not harms:  # by default harm is told by one metric alone
        default = next((name for name in DEFAULT_HARM if not _names(name).isdisjoint(metrics)), None)
        harms = {} if default is None else {default: DEFAULT_HARM[default]}
    for name, harm in harms.items():
        names = _names(name)
        if metric in ("", name) and not names.isdisjoint(metrics) and names.isdisjoint(config.checks.thresholds):
            return Settings(name, harm, config.alerts.false_pages_per_month)
    return None


def _names(metric: str) -> set[str]:
    return {metric, f"estimated_{metric}"}


def sensitivity(
    session: Session,
    context: Context,
    row: MonitorRow,
    wanted: Settings,
    start: datetime,
    end: datetime,
) -> Sensitivity:
    """What settings would have paged in the windows that begin within a time. Raises UsageError for a metric whose
    limits are not told by harm.
    """
    newest = context.config_of(session, row)
    if newest is None:
        raise UsageError(f"{row.name} is no longer configured")
    if newest.checks.harm_of(wanted.metric) is None:
        names = ", ".join(newest.checks.harm or DEFAULT_HARM)
        raise UsageError(f"harm is not told by {wanted.metric}: name one of {names}")
    judge = _Judge(session, context, row, newest, wanted)
    begins = max(start - _LEAD * (newest.windows.every or newest.windows.length).approximate(), _EARLIEST)
    results: dict[Kind, list[Result]] = {}
    limits: tuple[float | None, float | None] = None, None
    for kind in (Kind.PERFORMANCE, Kind.ESTIMATED_PERFORMANCE):
        checks_by_run = performance_checks.of_monitor(session, row.id, kind, begins, end)
        results[kind] = [judge.result(run, checks) for run, checks in checks_by_run]
        limits = limits if limits != (None, None) else judge.newest_limits(checks_by_run)
    alerts = [
        (kind, incident)
        for kind, of_kind in results.items()
        for incident in fold(of_kind).incidents
        if incident.until > start
    ]
    alerts.sort(key=lambda alert: alert[1].since)
    windows = [window for window in _windows(results) if window.start >= start]
    span = max(window.end for window in windows) - windows[0].start if windows else _SHORTEST
    months = max(span, _SHORTEST) / _MONTH
    labelled = [window for window in windows if window.harmed is not None]
    of_alerts = [(incident.since >= start, _harm_shown(incident, labelled)) for _, incident in alerts]
    return Sensitivity(
        wanted,
        limits,
        windows,
        alerts,
        months,
        sum(is_new for is_new, _ in of_alerts) / months,
        sum(is_new and harm is False for is_new, harm in of_alerts) / months if labelled else None,
        sum(harm is None for _, harm in of_alerts),
    )


class _OwnSettings(NamedTuple):
    """What the configuration of a run decides. margin: how many standard errors the interval on which a page was
    decided reaches to either side; wanted_margin: the same by the wanted settings.
    """

    config: MonitorConfig
    confidence: float
    margin: float
    wanted_margin: float
    rule: Rule
    epoch: str


class _Judge:
    """Decides the stored checks of a monitor by other settings."""

    def __init__(
        self, session: Session, context: Context, row: MonitorRow, newest: MonitorConfig, wanted: Settings
    ) -> None:
        self._session, self._context, self._row, self._newest, self._wanted = session, context, row, newest, wanted
        self._promoted = promotions(session, row.id)
        self._own_settings: dict[int, _OwnSettings] = {}

    def _own(self, run: JudgedRun) -> _OwnSettings:
        if run.configuration_id not in self._own_settings:
            config = self._context.config_of(self._session, self._row, run.configuration_id) or self._newest
            alerts = config.alerts.model_copy(update={"false_pages_per_month": self._wanted.false_pages_per_month})
            wanted = config.model_copy(update={"alerts": alerts})
            self._own_settings[run.configuration_id] = _OwnSettings(
                config,
                config.page_confidence(),
                config.page_margin(),
                wanted.page_margin(),
                rule_of(config),
                epoch_of(config),
            )
        return self._own_settings[run.configuration_id]

    def result(self, run: JudgedRun, checks: Sequence[PerformanceCheck]) -> Result:
        """A run's checks of one kind as the fold takes them."""
        own = self._own(run)
        version = judged_version({check.model_version for check in checks}, self._promoted, run.as_of)
        checks = [check for check in checks if check.model_version == version]
        severities = [(check, self._severity(check, own)) for check in checks]
        paging = [(check, severity) for check, severity in severities if severity >= Severity.WARNING]
        return Result(
            run=run.uuid,
            window=run.window,
            look=run.look,
            as_of=run.as_of,
            bad=bool(paging),
            asked=frozenset(check.key for check in checks),
            made=frozenset(check.key for check in checks if check.verdict not in UNDECIDED),
            paging=tuple(check.key for check, _ in paging),
            severity=max((severity for _, severity in paging), default=Severity.NONE).value,
            rule=own.rule,
            epoch=own.epoch,
            estimate=estimate_of(
                [self._to_judge(check, own.config) for check in checks if check.kind is Kind.ESTIMATED_PERFORMANCE],
                own.confidence,
            ),
        )

    def newest_limits(
        self, checks_by_run: Sequence[tuple[JudgedRun, list[PerformanceCheck]]]
    ) -> tuple[float | None, float | None]:
        """The limits of the whole model by the wanted harm, in the newest window that has any."""
        for run, checks in reversed(checks_by_run):
            version = judged_version({check.model_version for check in checks}, self._promoted, run.as_of)
            for check in checks:
                if check.model_version == version and not check.key.segment and self._is_changed(check):
                    limits = self._limits(check, self._own(run).config)
                    if limits is not None:
                        return limits
        return None, None

    def _is_changed(self, check: PerformanceCheck) -> bool:
        """Whether it is of the metric whose harm is changed."""
        return _realised(check) == self._wanted.metric

    def _harm(self, check: PerformanceCheck, config: MonitorConfig) -> Harm | None:
        return self._wanted.harm if self._is_changed(check) else config.checks.harm_of(_realised(check))

    def _reference(self, check: PerformanceCheck, config: MonitorConfig) -> float | None:
        """The reference's value, by the stored limits; None where no harm made them."""
        own = config.checks.harm_of(_realised(check))
        if own is None or check.key.metric in config.checks.thresholds:
            return None
        return reference_of(_realised(check), (check.numbers.lowest, check.numbers.highest), own)

    def _limits(self, check: PerformanceCheck, config: MonitorConfig) -> tuple[float | None, float | None] | None:
        """The limits by the wanted harm; None where the reference's value is not known."""
        reference, harm = self._reference(check, config), self._harm(check, config)
        if reference is None or harm is None:
            return None
        upwards = config.checks.higher_is_better(_realised(check))
        return harm_limits(_realised(check), reference, harm.absolute(reference), higher_is_better=upwards)

    def _to_judge(self, check: PerformanceCheck, config: MonitorConfig) -> CheckToJudge:
        numbers, limits = check.numbers, None
        if self._is_changed(check):
            limits = self._limits(check, config)
        if limits is not None:
            numbers = numbers._replace(lowest=limits[0], highest=limits[1])
        return CheckToJudge(check.kind.value, check.verdict, check.model_version, check.key, numbers)

    def _severity(self, check: PerformanceCheck, own: _OwnSettings) -> Severity:
        """What a check pages as."""
        harm, wanted = own.config.checks.harm_of(_realised(check)), self._harm(check, own.config)
        if harm is None or wanted is None or (harm == wanted and own.margin == own.wanted_margin):
            return check.severity
        reference, numbers = self._reference(check, own.config), check.numbers
        if reference is None:
            return check.severity
        if numbers.value is None or numbers.p_value is None or check.verdict == Verdict.TOO_LITTLE_DATA.value:
            return Severity.NONE
        upwards = own.config.checks.higher_is_better(_realised(check))
        lost = loss(_realised(check), reference, numbers.value, higher_is_better=upwards)
        error = _standard_error(lost, numbers, own.margin)
        reach = 1.0
        if check.kind is Kind.ESTIMATED_PERFORMANCE:
            stored = max(check.severity, Severity.INFO)
            if severity_of_loss(lost, own.margin * error, harm.absolute(reference)) is not stored:
                reach = REACH_OF_CORRECTED
        return severity_of_loss(lost, reach * own.wanted_margin * error, wanted.absolute(reference))


def _realised(check: PerformanceCheck) -> str:
    return check.key.metric.removeprefix("estimated_")


def _standard_error(lost: float, numbers: CheckNumbers, margin: float) -> float:
    """The standard error of a loss by its two-sided p-value; where that is too small for a number, the value's own."""
    if numbers.p_value:
        z = -_NORMAL.inv_cdf(min(numbers.p_value, 1.0) / 2)
        return abs(lost) / z if z > 0 else float("inf")
    return numbers.standard_error(margin) or 0.0


def _windows(results: dict[Kind, list[Result]]) -> list[JudgedWindow]:
    """Every window that could be judged, oldest first."""
    by_window: dict[tuple[datetime, datetime], dict[Kind, bool]] = {}
    for kind, of_kind in results.items():
        for result in of_kind:
            if result.made or result.bad:
                by_window.setdefault((result.window.start, result.window.end), {})[kind] = result.bad
    return [
        JudgedWindow(
            *span, bad.get(Kind.PERFORMANCE, bad.get(Kind.ESTIMATED_PERFORMANCE, False)), bad.get(Kind.PERFORMANCE)
        )
        for span, bad in sorted(by_window.items())
    ]


def _harm_shown(alert: Incident, labelled: Sequence[JudgedWindow]) -> bool | None:
    """Whether labels showed a harm in any window of an alert; None where there are no labels of it."""
    own = [window for window in labelled if window.start < alert.until and window.end > alert.since]
    return any(window.harmed for window in own) if own else None
