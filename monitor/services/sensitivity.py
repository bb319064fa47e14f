"""What another `harm` or `false_pages_per_month` would have paged on performance, worked out from stored results.

Alerts on other things (data quality, missing data or labels) do not depend on either. An estimate is decided on an
interval whose width before it was stored is told by its p-value: at the monitor's own settings the outcome is that of
the daemon, at others it is a close approximation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import NormalDist

from sqlalchemy.orm import Session

from monitor.alerting.fold import Incident, Result, Rule, fold
from monitor.config.model import MonitorConfig
from monitor.domain.checks import DEFAULT_HARM, UNDECIDED, CheckKey, Harm, Severity, Verdict
from monitor.domain.kinds import Kind
from monitor.domain.losses import REACH_OF_CORRECTED, harm_limits, loss, reference_of, severity_of_loss
from monitor.errors import UsageError
from monitor.services.context import Context
from monitor.services.judge_windows import estimate_of
from monitor.storage import performance_checks
from monitor.storage.performance_checks import PerformanceCheck
from monitor.storage.results import CheckToJudge
from monitor.storage.tables import MonitorRow

_MONTH = timedelta(days=30.436875)
_NORMAL = NormalDist()
# Less than a day of history tells no rate a month.
_SHORTEST = timedelta(days=1)


@dataclass(frozen=True)
class Settings:
    """What decides a page on performance. metric: without `estimated_`."""

    metric: str
    harm: Harm
    false_pages_per_month: float


@dataclass(frozen=True)
class JudgedWindow:
    """A window by some settings. pages: by its realised value if there is one, else by its estimate. harmed: whether
    the realised value was beyond the limit; None without labels.
    """

    start: datetime
    end: datetime
    pages: bool
    harmed: bool | None


@dataclass(frozen=True)
class Sensitivity:
    """The alerts on performance that some settings would have raised.

    limits: the lowest and highest value that page nobody, by the newest window. alerts: by kind. months: of history.
    pages: alerts a month. false_pages: of these, alerts in whose windows labels showed no harm; None without labels.
    """

    settings: Settings
    limits: tuple[float | None, float | None]
    windows: list[JudgedWindow]
    alerts: list[tuple[Kind, Incident]]
    months: float
    pages: float
    false_pages: float | None


def settings_of(config: MonitorConfig, metrics: Sequence[str]) -> Settings | None:
    """The monitor's own settings of the first metric that harm is told by and that there are values of; None if there
    is none, or if a threshold of the user's own decides.
    """
    harms = {name: Harm.of(value) for name, value in config.checks.harm.items()} or DEFAULT_HARM
    for metric, harm in harms.items():
        names = {metric, f"estimated_{metric}"}
        if names & set(metrics) and not names & set(config.checks.thresholds):
            return Settings(metric, harm, config.alerts.false_pages_per_month)
    return None


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
    own = context.config_of(session, row)
    if own is None:
        raise UsageError(f"{row.name} is no longer configured")
    checks = performance_checks.of_model(session, row.id, wanted.metric, start, end)
    judged = {
        kind: [_judged(check, _config(session, context, row, check, own), wanted) for check in of_kind]
        for kind, of_kind in checks.items()
    }
    alerts = [(kind, incident) for kind, results in judged.items() for incident in fold(results).incidents]
    alerts.sort(key=lambda alert: alert[1].since)
    windows = _windows(checks, judged)
    span = windows[-1].end - windows[0].start if windows else _SHORTEST
    months = max(span, _SHORTEST) / _MONTH
    labelled = [window for window in windows if window.harmed is not None]
    false = sum(_is_false(incident, labelled) for _, incident in alerts)
    newest = next((of_kind[-1] for of_kind in checks.values() if of_kind), None)
    limits = (None, None) if newest is None else _limits(newest, _config(session, context, row, newest, own), wanted)
    return Sensitivity(
        wanted, limits, windows, alerts, months, len(alerts) / months, false / months if labelled else None
    )


def _config(
    session: Session, context: Context, row: MonitorRow, check: PerformanceCheck, newest: MonitorConfig
) -> MonitorConfig:
    return context.config_of(session, row, check.run.configuration_id) or newest


def _harm_of(config: MonitorConfig, metric: str) -> Harm:
    harm = config.checks.harm.get(metric)
    if harm is None and metric not in DEFAULT_HARM:
        raise UsageError(f"harm is not told by {metric}: name one of {', '.join(config.checks.harm or DEFAULT_HARM)}")
    return Harm.of(harm) if harm is not None else DEFAULT_HARM[metric]


def _limits(check: PerformanceCheck, config: MonitorConfig, wanted: Settings) -> tuple[float | None, float | None]:
    stored = check.numbers.lowest, check.numbers.highest
    reference = reference_of(check.metric, stored, _harm_of(config, wanted.metric))
    return (None, None) if reference is None else harm_limits(check.metric, reference, wanted.harm.absolute(reference))


def _judged(check: PerformanceCheck, config: MonitorConfig, wanted: Settings) -> Result:
    """A window's check as the fold takes it, decided by other settings."""
    changed = config.model_copy(
        update={
            "alerts": config.alerts.model_copy(update={"false_pages_per_month": wanted.false_pages_per_month}),
        }
    )
    margins = _margin(config), _margin(changed)
    lowest, highest = _limits(check, config, wanted)
    severity = _severity(check, _harm_of(config, wanted.metric), wanted.harm, margins)
    key = CheckKey(check.metric, "", "")
    decided = check.verdict not in UNDECIDED
    numbers = check.numbers._replace(lowest=lowest, highest=highest)
    estimate = None
    if check.kind is Kind.ESTIMATED_PERFORMANCE:
        stored = CheckToJudge(check.kind.value, check.verdict, "", key, numbers)
        estimate = estimate_of([stored], config.page_confidence())
    keeps = config.alerts.keep_firing_for
    return Result(
        run=check.run.uuid,
        window=check.run.window,
        look=check.run.look,
        as_of=check.run.as_of,
        bad=severity.rank >= Severity.WARNING.rank,
        asked=frozenset([key]),
        made=frozenset([key] if decided else []),
        paging=(key,),
        severity=severity.value,
        rule=Rule(config.in_windows(config.alerts.for_windows), None if keeps is None else config.in_windows(keeps)),
        estimate=estimate,
    )


def _margin(config: MonitorConfig) -> float:
    """How many standard errors an interval on which pages are decided reaches to either side."""
    return _NORMAL.inv_cdf(0.5 + config.page_confidence() / 2)


def _severity(check: PerformanceCheck, own: Harm, wanted: Harm, margins: tuple[float, float]) -> Severity:
    """What a check pages as. own, wanted: the harm by which it was stored, and another; margins: the same of the
    interval, in standard errors.
    """
    numbers = check.numbers
    reference = reference_of(check.metric, (numbers.lowest, numbers.highest), own)
    if reference is None or numbers.value is None or numbers.p_value is None:
        return Severity.NONE
    if check.verdict == Verdict.TOO_LITTLE_DATA.value:
        return Severity.NONE
    lost = loss(check.metric, reference, numbers.value)
    error = _standard_error(lost, numbers.p_value)
    limit = own.absolute(reference)
    # Whether labels had corrected an estimate is not stored; what it paged as tells it where that makes a difference.
    reach = 1.0
    if check.kind is Kind.ESTIMATED_PERFORMANCE:
        stored = max(check.severity, Severity.INFO)
        if severity_of_loss(lost, margins[0] * error, limit) is not stored:
            reach = REACH_OF_CORRECTED
    return severity_of_loss(lost, reach * margins[1] * error, wanted.absolute(reference))


def _standard_error(lost: float, p_value: float) -> float:
    """The standard error of a loss by its two-sided p-value."""
    if p_value <= 0:
        return 0.0
    z = -_NORMAL.inv_cdf(min(p_value, 1.0) / 2)
    return abs(lost) / z if z > 0 else float("inf")


def _windows(checks: dict[Kind, list[PerformanceCheck]], judged: dict[Kind, list[Result]]) -> list[JudgedWindow]:
    """Every window, oldest first."""
    by_window: dict[tuple[datetime, datetime], dict[Kind, bool]] = {}
    for kind, results in judged.items():
        for check, result in zip(checks[kind], results, strict=True):
            if check.verdict not in UNDECIDED or result.bad:
                by_window.setdefault((result.window.start, result.window.end), {})[kind] = result.bad
    return [
        JudgedWindow(
            *span, bad.get(Kind.PERFORMANCE, bad.get(Kind.ESTIMATED_PERFORMANCE, False)), bad.get(Kind.PERFORMANCE)
        )
        for span, bad in sorted(by_window.items())
    ]


def _is_false(alert: Incident, labelled: Sequence[JudgedWindow]) -> bool:
    """Whether labels showed no harm in any window of an alert; not so where there are no labels of it."""
    own = [window for window in labelled if window.start < alert.until and window.end > alert.since]
    return bool(own) and not any(window.harmed for window in own)
