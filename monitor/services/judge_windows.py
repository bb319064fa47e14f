"""Judge: fold the results of each monitor, in the order of `as_of`, into alert events and retraining proposals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from statistics import NormalDist
from typing import Any

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.alerting.fold import (
    EstimatedLoss,
    Event,
    EventKind,
    Incident,
    Result,
    Rule,
    State,
    StoredAlert,
    fold,
    reconcile,
    step,
)
from monitor.config.model import MonitorConfig
from monitor.domain.checks import CheckKey, Kind, Severity, Verdict
from monitor.domain.folds import FOLDS, Fold
from monitor.domain.grid import Window
from monitor.services.context import Context
from monitor.services.follow_up import inputs_of
from monitor.services.learn_natural import learn_natural
from monitor.storage import alerts, monitors, references, results, retraining, runs
from monitor.storage.database import locked
from monitor.storage.results import CheckNumbers, CheckToJudge
from monitor.storage.tables import Alert, FindingRow, FoldState, MetricSeries, MonitorRow, Run

log = get_logger()

_BATCH = 200
# A p-value of zero is no infinite evidence.
_LEAST_P = 1e-20
_ChecksAndFindings = tuple[dict[int, list[CheckToJudge]], dict[int, list[tuple[FindingRow, MetricSeries]]]]


def judge_windows(context: Context) -> int:
    """Judge the windows that can be judged; how many results were taken."""
    judged = 0
    for monitor_id in context.database.read(monitors.unjudged):
        if context.fences.rests(monitor_id, "judge"):
            continue
        with context.fences.around(monitor_id, "judge"):
            while True:
                numbers = context.database.transact(_judge_monitor, context, monitor_id)
                judged += sum(numbers)
                if max(numbers, default=0) < _BATCH:
                    break
    return judged


def _judge_monitor(session: Session, context: Context, monitor_id: int) -> list[int]:
    """How many results each fold has taken."""
    row: MonitorRow = locked(session, MonitorRow, monitor_id)
    row.unjudged = False
    if context.config_of(session, row) is None or row.planned_until is None:
        return []
    data = _MonitorData(session, row)
    numbers = [_judge(context, data, judged_fold) for judged_fold in FOLDS]
    data.flush()
    for before, names in data.done_before.items():
        alerts.drop_checkpoints(session, row.id, names, before=before)
    row.unjudged = max(numbers) >= _BATCH
    return numbers


class _MonitorData:
    """The data of a monitor that judging reads, once for all folds."""

    def __init__(self, session: Session, row: MonitorRow) -> None:
        self.session, self.row = session, row
        self.states = alerts.fold_states(session, row.id, [judged_fold.name for judged_fold in FOLDS])
        self.done_before: dict[datetime, list[str]] = defaultdict(list)
        self._runs: dict[tuple[str, runs.Place | None], list[Run]] = {}
        self._checks_and_findings: dict[tuple[int, ...], _ChecksAndFindings] = {}
        self._checkpoints: dict[tuple[str, Window], dict[str, Any]] = {}

    def keep(self, judged_fold: Fold, window: Window, state: State) -> None:
        """Keep the state of a fold before a window; `flush` stores it."""
        self._checkpoints[judged_fold.name, window] = state.to_dict()

    def flush(self) -> None:
        """Store the states that are kept."""
        alerts.put_checkpoints(self.session, self.row.id, self._checkpoints)
        self._checkpoints.clear()
        self.session.flush()

    def to_judge(self, judged_fold: Fold) -> list[Run]:
        """The next runs that a fold takes."""
        assert self.row.planned_until is not None
        key = judged_fold.run_kind, _place(self.states[judged_fold.name])
        if key not in self._runs:
            self._runs[key] = runs.to_judge(self.session, self.row.id, *key, self.row.planned_until, _BATCH)
        return self._runs[key]

    def checks_and_findings(self, ids: Sequence[int]) -> _ChecksAndFindings:
        """The checks and findings of runs, by run."""
        key = tuple(ids)
        if key not in self._checks_and_findings:
            self._checks_and_findings[key] = results.asked(self.session, ids), results.findings(self.session, ids)
        return self._checks_and_findings[key]

    @cached_property
    def promoted(self) -> dict[str, datetime]:
        """Since when each version of the model has had a reference in force."""
        return promotions(self.session, self.row.id)


def promotions(session: Session, monitor_id: int) -> dict[str, datetime]:
    """Since when each version of a monitor's model has had a reference in force."""
    return {entry.model_version: entry.valid_from for entry, _ in references.history(session, monitor_id)}


def judged_version(versions: Collection[str], promoted: dict[str, datetime], as_of: datetime) -> str:
    """Of several versions of the model in a window, the one whose checks count: the one promoted last."""
    return max(
        versions, key=lambda version: (promoted.get(version, datetime.min.replace(tzinfo=as_of.tzinfo)), version)
    )


def rule_of(config: MonitorConfig) -> Rule:
    """How many windows make an alert fire and resolve."""
    keeps = config.alerts.keep_firing_for
    return Rule(config.in_windows(config.alerts.for_windows), None if keeps is None else config.in_windows(keeps))


def epoch_of(config: MonitorConfig) -> str:
    """The grid of windows: where it changes, windows are counted anew."""
    grid = config.windows.grid()
    return f"{grid.length}/{grid.every}/{grid.timezone}/{grid.anchor}"


def _judge(context: Context, data: _MonitorData, judged_fold: Fold) -> int:
    session, stored = data.session, data.states[judged_fold.name]
    late = [session.get_one(Run, number) for number in stored.late or []]
    ready = [run for run in late if run.status in runs.ENDED]
    ended = len(ready)
    for run in data.to_judge(judged_fold):
        if run.status not in runs.ENDED:
            break
        ready.append(run)
    if not ready:
        return 0
    judge = _Judge(context, data, judged_fold)
    results_by_run = judge.results_of(ready)
    for number, run in enumerate(ready):
        judge.take(run, results_by_run.get(run.id), late=number < ended)
    judge.keep()
    return len(ready)


def _place(stored: FoldState) -> runs.Place | None:
    """How far a fold has come in the order of judging."""
    if stored.as_of is None or stored.window_start is None or stored.look is None:
        return None
    return (stored.as_of, stored.window_start, stored.look)


class _Judge:
    """Takes results of one monitor for one fold, one after the other."""

    def __init__(self, context: Context, data: _MonitorData, judged_fold: Fold) -> None:
        self.context, self.data, self.fold = context, data, judged_fold
        self.session, self.row, stored = data.session, data.row, data.states[judged_fold.name]
        self.stored = stored
        self.now = context.clock.now()
        self.state = State.from_dict(stored.state["fold"]) if stored.state else State()
        self.last_window = datetime.fromisoformat(stored.state["last_window"]) if stored.state else None

    def results_of(self, done: list[Run]) -> dict[int, Result]:
        """The results of runs, by run. Runs that failed, were skipped or cancelled, or are not to be judged, have
        none.
        """
        taken = [
            run
            for run in done
            if run.status == "done" and run.judged and (self.fold.kind is not Kind.NO_LABELS or run.look == 0)
        ]
        checks, findings = self.data.checks_and_findings([run.id for run in taken])
        return {
            run.id: self._by_rule(
                run,
                _result(
                    run,
                    self.fold.kind,
                    checks[run.id],
                    findings[run.id],
                    self.data.promoted,
                    self._config(run).page_confidence(),
                ),
            )
            for run in taken
        }

    def _config(self, run: Run) -> MonitorConfig:
        config = self.context.config_of(self.session, self.row, run.configuration_id)
        assert config is not None
        return config

    def _by_rule(self, run: Run, result: Result) -> Result:
        """The result with the rule of its run's configuration, and whether it counts towards a retraining."""
        config = self._config(run)
        policy = config.retraining
        # A model that is trained on faulty labels learns their faults: alerts about labels propose no retraining.
        least = None if policy is None or self.fold.subject else policy.least(self.fold.kind.value)
        retrain_for = config.in_windows(policy.for_windows) if policy is not None and least is not None else 0
        rule = replace(rule_of(config), retrain_for=retrain_for)
        retrains = result.bad and least is not None and Severity(result.severity) >= least
        return replace(result, rule=rule, epoch=epoch_of(config), retrains=retrains)

    def take(self, run: Run, result: Result | None, *, late: bool) -> None:
        """Take one run: a new window steps the fold on, another look at an old window folds again from there."""
        if late:
            self.stored.late = [number for number in self.stored.late or [] if number != run.id]
        else:
            self.stored.as_of, self.stored.window_start, self.stored.look = run.as_of, run.window_start, run.look
        if result is None:
            return
        if self.fold.kind is Kind.PERFORMANCE and not self.fold.subject:
            learn_natural(self.session, self.row, run, is_bad=result.bad, now=self.now)
        if self.last_window is not None and run.window_start <= self.last_window:
            self._refold(run)
            return
        self._checkpoint(result.window, self.state)
        before, taken = self.state, step(self.state, result)
        self.state, self.last_window = taken.state, run.window_start
        for event in taken.events:
            self._write(event, run)
        if taken.proposes:
            self._propose(run, result, self.state)
        if before.phase == "firing":
            self._go_on(before, result)

    def keep(self) -> None:
        """Store the state of the fold."""
        last = self.last_window
        if last is not None:
            self.stored.state = {"fold": self.state.to_dict(), "last_window": last.isoformat()}
            config = self.context.config_of(self.session, self.row)
            assert config is not None
            assert self.stored.as_of is not None
            back = config.looked_at_until()
            self.data.done_before[min(last, self.stored.as_of - back)].append(self.fold.name)

    def _checkpoint(self, window: Window, state: State) -> None:
        self.data.keep(self.fold, window, state)

    def _alert(self, first_window: datetime, opened_as_of: datetime) -> Alert:
        kind, subject = self.fold.kind.value, self.fold.subject
        return alerts.upsert(self.session, self.row.id, self.row.uuid, kind, subject, first_window, opened_as_of)

    def _write(self, event: Event, run: Run) -> None:
        alert = self._alert(event.first_window, event.opened_as_of)
        self._describe(alert, event.severity, event.since, event.columns, event.bad_windows, event.summary)
        alert.until = event.result.window.end
        self._transition(alert, event.kind, event.result.as_of, run.id)

    def _go_on(self, before: State, result: Result) -> None:
        """Update an alert that fired already before a window: no event."""
        assert before.first_window is not None
        assert before.opened_as_of is not None
        alert = self._alert(before.first_window, before.opened_as_of)
        alert.until = result.window.end
        if self.state.phase == "firing":
            self._describe(
                alert, self.state.severity, alert.since, self.state.columns, self.state.bad_windows, self.state.summary
            )

    def _transition(
        self, alert: Alert, kind: EventKind, at: datetime, run_id: int | None, ended: datetime | None = None
    ) -> None:
        """Bring an alert to another state at `at`. ended: when it ended, where that was earlier than `at`."""
        if kind == "firing":
            alert.state, alert.ended_at, alert.fired_at = "firing", None, alert.fired_at or at
        elif kind in ("resolved", "cleared", "retracted"):
            # An alert that has ended and is retracted keeps its end.
            if kind != "retracted" or alert.ended_at is None:
                alert.ended_at = ended or at
            alert.state = "retracted" if kind == "retracted" else "resolved"
        quiet = kind in ("pending", "cleared")
        alerts.add_event(self.session, alert, kind, at, self.now, run_id=run_id, dispatched=quiet)
        log.info(
            f"alert_{kind}",
            monitor=self.row.name,
            alert=alert.uuid[:8],
            kind=alert.kind,
            subject=alert.subject,
            severity=alert.severity,
            summary=alert.summary,
            at=at.isoformat(),
        )

    def _describe(
        self, alert: Alert, severity: str, since: datetime, columns: tuple[str, ...], bad_windows: int, summary: str
    ) -> None:
        alert.severity, alert.since, alert.columns, alert.bad_windows, alert.summary = (
            severity,
            since,
            list(columns),
            bad_windows,
            summary,
        )

    def _refold(self, run: Run) -> None:
        """Fold again from a run's window, by the looks that are current now, and match the incidents with the alerts
        that have fired.
        """
        self.data.flush()
        point = alerts.checkpoint(self.session, self.row.id, self.fold, run.window_start)
        start = run.window_start if point is not None else None
        place = _place(self.stored)
        assert place is not None
        history_runs = runs.judged_history(self.session, self.row.id, self.fold.run_kind, start, place)
        results_by_run = self.results_of(history_runs)
        history = fold(results_by_run.values(), State.from_dict(point.state) if point is not None else State())
        alerts.drop_checkpoints(self.session, self.row.id, [self.fold.name], since=start)
        self.session.flush()
        for window, state in history.before:
            self._checkpoint(window, state)
        self.state = history.state
        # Alerts older than the runs that retention has left cannot be matched.
        oldest_start = start or min((past_run.window_start for past_run in history_runs), default=None)
        self._match(run, history.incidents, alerts.fired(self.session, self.row.id, self.fold, oldest_start))
        self._match_pending(run)
        for result, state in history.proposing:
            if not retraining.proposed(self.session, self.row.id, result.window.start):
                self._propose(run, result, state)

    def _match(self, run: Run, incidents: list[Incident], fired: list[Alert]) -> None:
        rows_by_stored = {
            StoredAlert(row.first_window, row.opened_as_of, row.since, _until(row), row.state, row.severity): row
            for row in fired
        }
        for old, incident, events in reconcile(list(rows_by_stored), incidents):
            if old is not None:
                alert = rows_by_stored[old]
            else:
                assert incident is not None
                alert = self._alert(incident.first_window, incident.opened_as_of)
            if incident is not None:
                self._describe(
                    alert, incident.severity, incident.since, incident.columns, incident.bad_windows, incident.summary
                )
                alert.until = incident.until
                if incident.resolved is None:  # the identity that stays, for the events to come
                    self.state = replace(self.state, first_window=alert.first_window, opened_as_of=alert.opened_as_of)
            for event in events:
                ended = incident.resolved.as_of if incident is not None and incident.resolved is not None else None
                self._transition(alert, event, run.as_of, run.id, ended)

    def _match_pending(self, run: Run) -> None:
        """Clear the pending alerts that the new fold does not have, and add the pending one that it has."""
        state, same = self.state, False
        for alert in alerts.pending(self.session, self.row.id, self.fold):
            mine = (alert.first_window, alert.opened_as_of) == (state.first_window, state.opened_as_of)
            same = same or mine
            if not (mine and state.phase in ("pending", "firing")):
                self._transition(alert, "cleared", run.as_of, run.id)
        if state.phase == "pending" and not same:
            assert state.first_window is not None
            assert state.opened_as_of is not None
            alert = self._alert(state.first_window, state.opened_as_of)
            self._describe(alert, state.severity, state.first_window, state.columns, state.bad_windows, state.summary)
            self._transition(alert, "pending", run.as_of, run.id)

    def _propose(self, run: Run, result: Result, state: State) -> None:
        policy = self._config(run).retraining
        since = state.since or state.first_window
        if policy is None or since is None:
            return
        windows = state.retrain
        reason = (
            f"{self.fold.kind.value} was bad in {windows} {'window' if windows == 1 else 'windows'} in a row:"
            f" {result.summary}"
        )
        detail = {
            "kind": self.fold.kind.value,
            "columns": list(result.columns),
            "severity": result.severity,
            "run": result.run,
            "inputs": inputs_of(self._config(run)),
        }
        version = self._model_version(run)
        request = retraining.propose(
            self.session,
            self.row,
            (result.window.start, result.window.end),
            run.as_of,
            policy.launcher,
            reason,
            detail,
            (since, run.as_of),
            version,
            self.now,
        )
        log.info("retraining_proposed", monitor=self.row.name, request=request.uuid[:8], reason=reason)

    def _model_version(self, run: Run) -> str:
        return results.model_version(self.session, run.id) or self._config(run).model.version


def _result(
    run: Run,
    kind: Kind,
    checks: list[CheckToJudge],
    findings: list[tuple[FindingRow, MetricSeries]],
    promoted: dict[str, datetime],
    confidence: float,
) -> Result:
    """Reduce a run to the result of one kind. With several versions of the model, the checks of the version promoted
    last count. confidence: of the intervals.
    """
    checks = [check for check in checks if check.kind == kind.value]
    findings = [(finding, series) for finding, series in findings if finding.kind == kind.value]
    versions = {check.model_version for check in checks}
    if len(versions) > 1:
        newest = judged_version(versions, promoted, run.as_of)
        checks = [check for check in checks if check.model_version == newest]
        findings = [(finding, series) for finding, series in findings if series.model_version == newest]
    made = frozenset(check.key for check in checks if check.verdict in (Verdict.FINE.value, Verdict.CHANGED.value))
    paging = [(finding, series) for finding, series in findings if finding.severity in ("warning", "critical")]
    worst = paging[0][0] if paging else None
    named = tuple(dict.fromkeys(series.column or series.metric for _, series in paging))
    return Result(
        run=run.uuid,
        window=run.window,
        look=run.look,
        as_of=run.as_of,
        bad=bool(paging),
        asked=frozenset(check.key for check in checks),
        made=made,
        paging=tuple(_key(series) for _, series in paging),
        columns=named,
        severity=worst.severity if worst else "none",
        summary=worst.explanation if worst else "",
        estimate=estimate_of(checks, confidence),
    )


def estimate_of(checks: list[CheckToJudge], confidence: float) -> EstimatedLoss | None:
    """The largest loss that a window's estimates show; None where no estimate has a limit. An estimate that is too
    uncertain to be judged alone counts, too, with its wide interval.
    """
    margin = NormalDist().inv_cdf(0.5 + confidence / 2)
    losses = [
        loss
        for check in checks
        if check.estimate is not None
        and not check.key.segment
        and check.verdict != Verdict.TOO_LITTLE_DATA.value
        and (loss := _estimated_loss(check.key.metric, check.estimate, margin)) is not None
    ]
    return max(losses, key=lambda loss: loss.z, default=None)


def _estimated_loss(metric: str, numbers: CheckNumbers, margin: float) -> EstimatedLoss | None:
    """A loss by the numbers of its check. margin: how many standard errors its interval reaches to either side."""
    error = numbers.standard_error(margin)
    if numbers.value is None or error is None or numbers.p_value is None:
        return None
    beyond = [numbers.lowest - numbers.value] if numbers.lowest is not None else []
    beyond += [numbers.value - numbers.highest] if numbers.highest is not None else []
    if error <= 0 or not beyond:
        return None
    far = -NormalDist().inv_cdf(max(numbers.p_value / 2, _LEAST_P))
    # Within the harm a loss and a gain of the same size look alike: it counts as a gain.
    return EstimatedLoss(metric, far if max(beyond) > 0 else -far, max(beyond) / error)


def _key(series: MetricSeries) -> CheckKey:
    return CheckKey(series.metric, series.column, series.segment)


def _until(alert: Alert) -> datetime:
    """The end of the alert's last window so far."""
    return alert.until or alert.ended_at or datetime.max.replace(tzinfo=alert.since.tzinfo)
