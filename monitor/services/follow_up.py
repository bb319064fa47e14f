"""Follow up: after a retraining succeeded, find out whether its model answers and whether it is better."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.config.model import MonitorConfig
from monitor.domain import phrases
from monitor.domain.checks import DEFAULT_HARM, UNDECIDED
from monitor.domain.kinds import Kind
from monitor.domain.losses import loss, reference_of
from monitor.domain.recovery import FEWEST_WINDOWS, MISSED, Gain, Recovery, WindowValue, judged
from monitor.services.context import Context
from monitor.storage import deployments, performance_checks, references, retraining, runs
from monitor.storage.performance_checks import JudgedRun, PerformanceCheck
from monitor.storage.tables import MonitorRow, RetrainingRequest

log = get_logger()
# Runs with their checks of performance, oldest first.
Runs = list[tuple[JudgedRun, list[PerformanceCheck]]]
# So many windows before the request are what the gain is measured from.
_BEFORE = 8


@dataclass(frozen=True)
class _Deployed:
    """Whether the trained version answers. since: from when on, None if it does not. share: of the rows of the newest
    window, None where the log does not say.
    """

    since: datetime | None
    share: float | None = None


def begin(session: Session, config: MonitorConfig | None, request: RetrainingRequest, version: str) -> None:
    """Write down what is to be followed of a request that has just succeeded. version: as the training named it, '' if
    it named none.
    """
    request.trained_version = version
    request.recovery = Recovery.RECOVERING.value
    if config is not None and _can_see(session, config, request):
        request.recovery = Recovery.AWAITING_DEPLOYMENT.value
    request.followed = {}


def _can_see(session: Session, config: MonitorConfig, request: RetrainingRequest) -> bool:
    """Whether it can be known that the trained version answers: by the log, or because deployments are recorded."""
    return (
        _is_logged(config, request)
        or deployments.last_before(session, request.model_name, request.created_at) is not None
    )


def _is_logged(config: MonitorConfig, request: RetrainingRequest) -> bool:
    """Whether the log says which rows the trained version answers."""
    return config.columns.model_version is not None and bool(request.trained_version)


def waits_to_hold(config: MonitorConfig | None, request: RetrainingRequest) -> bool:
    """Whether the reference of a request that has just succeeded is to hold only once its version is deployed."""
    by_version = config is not None and _is_logged(config, request)
    return request.recovery == Recovery.AWAITING_DEPLOYMENT.value and not by_version


def follow_up(context: Context) -> int:
    """Look at every request that is followed; how many changed their state."""
    marks = context.database.read(_marks)
    changed = 0
    for request_id, mark in marks.items():
        if context.receipts.get(request_id) != mark:
            changed += context.database.transact(_follow, context, request_id)
            context.receipts[request_id] = mark
    return changed


def _marks(session: Session) -> dict[int, str]:
    """What the receipts of followed requests depend on: the newest results and the newest deployment."""
    requests = retraining.followed(session)
    finished = runs.last_finished_of(session, [request.monitor_id for request in requests])
    newest = {request.id: deployments.newest_id(session, request.model_name) for request in requests}
    return {request.id: f"{finished.get(request.monitor_id)} {newest[request.id]}" for request in requests}


def _follow(session: Session, context: Context, request_id: int) -> bool:
    request = session.get_one(RetrainingRequest, request_id)
    row = session.get_one(MonitorRow, request.monitor_id)
    config = context.config_of(session, row)
    if config is None or request.ended_at is None:
        return False
    now = context.clock.now()
    can_see = request.recovery == Recovery.AWAITING_DEPLOYMENT.value or bool((request.followed or {}).get("live_from"))
    deployed = _deployed(session, config, request, now) if can_see else _Deployed(request.ended_at)
    metric = None if deployed.since is None else _metric(session, config, request)
    gain, state = None, Recovery.AWAITING_DEPLOYMENT
    if deployed.since is not None:
        gain = None if metric is None else _gain(session, config, request, metric, deployed.since)
        state = Recovery.RECOVERING if gain is None else gain.state
    text = phrases.receipt(
        "" if metric is None else metric.metric,
        None if gain is None else (gain.promised, gain.got, gain.lower, gain.upper, gain.windows),
        request.trained_version,
        deployed.share,
        is_live=deployed.since is not None if can_see else None,
    )
    followed = {
        "live_from": deployed.since.isoformat() if can_see and deployed.since is not None else None,
        "share": deployed.share,
        **({} if gain is None else vars(gain)),
        **_kept(request),
    }
    changed = state.value != request.recovery
    if changed and request.recovery == Recovery.AWAITING_DEPLOYMENT.value and deployed.since is not None:
        _hold(session, request, deployed.since, now)
    if text != request.receipt or followed != request.followed:
        request.receipt, request.followed = text, followed
    if not changed:
        return False
    if request.recovery == Recovery.AWAITING_DEPLOYMENT.value and state is not Recovery.RECOVERING:
        # Several windows came at once: the story has the same steps as if they had come one by one.
        request.recovery = Recovery.RECOVERING.value
        retraining.note(session, request, phrases.recovery(request.recovery), now)
    request.recovery = state.value
    retraining.note(session, request, f"{phrases.recovery(state.value)}: {text}", now)
    log.info(f"retraining_{state.value}", model=request.model_name, request=request.uuid[:8], receipt=text)
    if state is Recovery.WORSE and config.retraining is not None and config.retraining.rollback is not None:
        _roll_back(session, request, config.retraining.rollback, now)
    return True


def _kept(request: RetrainingRequest) -> dict[str, Any]:
    """What stays of what was followed: the reference that waits."""
    return {name: value for name, value in (request.followed or {}).items() if name == "reference"}


def _hold(session: Session, request: RetrainingRequest, since: datetime, now: datetime) -> None:
    """Put the reference in force that waited for the deployment."""
    reference = (request.followed or {}).get("reference")
    if reference is not None:
        why = f"request {request.uuid} succeeded, and its version is deployed"
        references.put_in_force(session, request.monitor_id, "", since, reference, "retraining", why, now)


def _deployed(session: Session, config: MonitorConfig, request: RetrainingRequest, now: datetime) -> _Deployed:
    """By the log's rows, or by what people recorded."""
    assert request.ended_at is not None
    if _is_logged(config, request):
        windows = performance_checks.rows_by_version(session, request.monitor_id, request.ended_at)
        shares = {
            start: rows.get(request.trained_version, 0) / max(sum(rows.values()), 1) for start, rows in windows.items()
        }
        answered = [start for start, share in shares.items() if share > 0]
        newest = list(shares.values())[-1] if shares else 0.0
        return _Deployed(min(answered, default=None), newest)
    for deployment in deployments.between(session, request.model_name, request.ended_at, now):
        if request.trained_version in ("", deployment.version):
            return _Deployed(deployment.deployed_at)
    return _Deployed(None)


@dataclass(frozen=True)
class _Metric:
    """What the request was about: a metric, of the whole model or of a segment. before: the checks of its kind in the
    windows that led to the request, oldest first.
    """

    kind: Kind
    metric: str
    segment: str | None
    before: Runs


def _metric(session: Session, config: MonitorConfig, request: RetrainingRequest) -> _Metric | None:
    """The metric that paged, or else the first with a limit of harm that was realised; None where nothing is known of
    performance.
    """
    names = list(config.checks.harm) or list(DEFAULT_HARM)
    for kind, prefix in ((Kind.PERFORMANCE, ""), (Kind.ESTIMATED_PERFORMANCE, "estimated_")):
        before = performance_checks.of_monitor(
            session, request.monitor_id, kind, request.data_start, request.window_end
        )
        checks = [check for _, of_run in before for check in of_run]
        paging = [check for check in checks if check.verdict not in UNDECIDED and check.severity >= "warning"]
        if paging and request.detail.get("kind") == kind.value == Kind.PERFORMANCE.value:
            newest = [check for check in before[-1][1] if check in paging]
            worst = max(newest or paging, key=lambda check: check.severity.rank)
            return _Metric(kind, worst.key.metric, worst.key.segment, before)
        present = {check.key.metric for check in checks if not check.key.segment}
        name = next((f"{prefix}{name}" for name in names if f"{prefix}{name}" in present), None)
        if name is not None:
            return _Metric(kind, name, None, before)
    return None


def _gain(
    session: Session, config: MonitorConfig, request: RetrainingRequest, metric: _Metric, since: datetime
) -> Gain | None:
    margin, by_version = config.page_margin(), _is_logged(config, request)

    def values(windows: Runs, *, after: bool) -> list[tuple[WindowValue, PerformanceCheck]]:
        return [
            (WindowValue(check.numbers.value, error), check)
            for _, checks in windows
            for check in checks
            if check.key.metric == metric.metric
            and (check.key.segment or None) == (metric.segment or None)
            and check.verdict not in UNDECIDED
            and (not by_version or (check.model_version == request.trained_version) == after)
            and (error := check.numbers.standard_error(margin)) is not None
            and check.numbers.value is not None
        ]

    before = values(metric.before, after=False)[-_BEFORE:]
    if not before:
        return None
    end = datetime.max.replace(tzinfo=since.tzinfo)
    since_then = performance_checks.of_monitor(session, request.monitor_id, metric.kind, since, end)
    after = [value for value, _ in values(since_then, after=True)]
    return judged(metric.metric, [value for value, _ in before], after, _promised(config, metric, before))


def _promised(
    config: MonitorConfig, metric: _Metric, before: list[tuple[WindowValue, PerformanceCheck]]
) -> float | None:
    """How much worse than the reference the metric was: what a model as good as on the reference would give back."""
    name = metric.metric.removeprefix("estimated_")
    harm = config.checks.harm_of(name) or DEFAULT_HARM.get(name)
    numbers = before[-1][1].numbers
    if harm is None:
        return None
    usual = reference_of(name, (numbers.lowest, numbers.highest), harm)
    if usual is None:
        return None
    mean = sum(value.value for value, _ in before) / len(before)
    return max(loss(metric.metric, usual, mean), 0.0)


def _roll_back(session: Session, request: RetrainingRequest, launcher: str, now: datetime) -> None:
    """A request to the launcher that takes the new version back; written down once."""
    reason = f"roll back version {request.trained_version or 'unnamed'}: {request.receipt}"
    detail = {"kind": "rollback", "columns": [], "severity": "critical", "run": request.detail["run"]}
    row = session.get_one(MonitorRow, request.monitor_id)
    rollback = retraining.propose(
        session,
        row,
        (request.window_start, request.window_end),
        now,
        launcher,
        reason,
        detail | {"rolls_back": request.uuid, "version": request.trained_version},
        (request.data_start, request.data_end),
        request.trained_version,
        now,
    )
    if rollback.state == "proposed" and retraining.not_ended(session, request.model_name) is None:
        retraining.move(session, rollback, "open", f"requested: {reason}", now)


def _known_by(config: MonitorConfig, request: RetrainingRequest) -> datetime:
    """When the effect of a training should be known, from its deployment on, or else from its end."""
    assert request.ended_at is not None
    live_from = (request.followed or {}).get("live_from")
    since = request.ended_at if live_from is None else datetime.fromisoformat(live_from)
    delay = timedelta(0) if config.labels is None else config.labels.delay.approximate()
    return since + FEWEST_WINDOWS * config.windows.length.approximate() + delay


def why_not_again(
    session: Session, config: MonitorConfig, proposal: RetrainingRequest, now: datetime
) -> tuple[str, bool]:
    """Why a model is not trained again after its last training, and whether that is final: it waits for its deployment
    or for its effect, or it gave nothing and nothing is different now. ('', False) if it may be.
    """
    last = retraining.last_trained(session, proposal.model_name)
    if last is None:
        return "", False
    name = f"request {last.uuid[:8]}"
    if last.recovery == Recovery.AWAITING_DEPLOYMENT.value:
        version = f"version {last.trained_version}" if last.trained_version else "its model"
        return f"{name} is trained, but {version} is not deployed: another training would change nothing", False
    live_from = (last.followed or {}).get("live_from")
    if live_from is not None and proposal.window_start < datetime.fromisoformat(live_from):
        return f"this tells of the model before that of {name} was deployed", True
    if last.recovery == Recovery.RECOVERING.value and now < _known_by(config, last):
        return f"the effect of {name} is not known yet", False
    if last.recovery in MISSED and not differences(config, proposal, last):
        return f"{name} gave no gain, and nothing is different: the same data, features and window", False
    return "", False


def differences(config: MonitorConfig, proposal: RetrainingRequest, last: RetrainingRequest) -> list[str]:
    """What is different from the last training, in words: most of the data are newer, or other features or windows are
    configured.
    """
    texts = []
    length = (proposal.data_end - proposal.data_start).total_seconds()
    newer = (proposal.data_end - max(proposal.data_start, last.data_end)).total_seconds()
    if length > 0 and newer > length / 2:
        texts.append(f"{newer / length:.0%} of the data are newer")
    before = last.detail.get("inputs")
    if before is not None and before != inputs_of(config):
        texts.append("other features or windows are configured")
    return texts


def inputs_of(config: MonitorConfig) -> dict[str, Any]:
    """What a training depends on beside its rows, as plain values."""
    columns = config.columns
    return {
        "features": columns.features,
        "ignore": sorted(columns.ignore),
        "expressions": dict(sorted(columns.expressions.items())),
        "window": str(config.windows.length),
    }
