"""Judge: fold the results of each monitor, in the order of `as_of`, into alert events and retraining proposals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
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
from monitor.services.learn_natural import learn_natural
from monitor.storage import alerts, monitors, references, results, retraining, runs
from monitor.storage.database import locked
from monitor.storage.results import CheckNumbers, CheckToJudge
from monitor.storage.tables import Alert, FindingRow, FoldState, MetricSeries, MonitorRow, Run

log = get_logger()

_BATCH = 200
# A p-value of nothing is no infinite evidence.
_LEAST_P = 1e-20
_Found = tuple[dict[int, list[CheckToJudge]], dict[int, list[tuple[FindingRow, MetricSeries]]]]


def judge_windows(context: Context) -> int:
    """Judge what can be judged; how many results were taken."""
    taken = 0
    for monitor_id in context.database.read(monitors.unjudged):
        if context.fences.rests(monitor_id, "judge"):
            continue
        with context.fences.around(monitor_id, "judge"):
            while True:
                numbers = context.database.transact(_judge_monitor, context, monitor_id)
                taken += sum(numbers)
                if max(numbers, default=0) < _BATCH:
                    break
    return taken


def _judge_monitor(session: Session, context: Context, monitor_id: int) -> list[int]:
    """How many results each fold has taken."""
    row: MonitorRow = locked(session, MonitorRow, monitor_id)
    row.unjudged = False
    if context.config_of(session, row) is None or row.planned_until is None:
        return []
    read = _Read(session, row)
    numbers = [_judge(context, read, each) for each in FOLDS]
    read.flush()
    for before, names in read.done_before.items():
        alerts.drop_checkpoints(session, row.id, names, before=before)
    row.unjudged = max(numbers) >= _BATCH
    return numbers


class _Read:
    """What is read of a monitor to judge it, once for all folds."""

    def __init__(self, session: Session, row: MonitorRow) -> None:
        self.session, self.row = session, row
        self.states = alerts.fold_states(session, row.id, [each.name for each in FOLDS])
        self.done_before: dict[datetime, list[str]] = defaultdict(list)
        self._runs: dict[tuple[str, runs.Place | None], list[Run]] = {}
        self._found: dict[tuple[int, ...], _Found] = {}
        self._checkpoints: dict[tuple[str, Window], dict[str, Any]] = {}

    def keep(self, of: Fold, window: Window, state: State) -> None:
        """Keep the state of a fold before a window, with the others by `flush`."""
        self._checkpoints[of.name, window] = state.to_dict()

    def flush(self) -> None:
        """Store the states that are kept."""
        alerts.put_checkpoints(self.session, self.row.id, self._checkpoints)
        self._checkpoints.clear()
        self.session.flush()

    def to_judge(self, fold: Fold) -> list[Run]:
        """The next runs that a fold takes."""
        assert self.row.planned_until is not None
        key = fold.run_kind, _place(self.states[fold.name])
        if key not in self._runs:
            self._runs[key] = runs.to_judge(self.session, self.row.id, *key, self.row.planned_until, _BATCH)
        return self._runs[key]

    def found(self, ids: Sequence[int]) -> _Found:
        """The checks and findings of runs, by run."""
        key = tuple(ids)
        if key not in self._found:
            self._found[key] = results.asked(self.session, ids), results.findings(self.session, ids)
        return self._found[key]

    @cached_property
    def promoted(self) -> dict[str, datetime]:
        """Since when each version of the model has had a reference in force."""
        history = references.history(self.session, self.row.id)
        return {entry.model_version: entry.valid_from for entry, _ in history}


def _judge(context: Context, read: _Read, of: Fold) -> int:
    session, stored = read.session, read.states[of.name]
    late = [session.get_one(Run, number) for number in stored.late or []]
    ready = [run for run in late if run.status in runs.ENDED]
    ended = len(ready)
    for run in read.to_judge(of):
        if run.status not in runs.ENDED:
            break
        ready.append(run)
    if not ready:
        return 0
    judge = _Judge(context, read, of)
    found = judge.results_of(ready)
    for number, run in enumerate(ready):
        judge.take(run, found.get(run.id), late=number < ended)
    judge.keep()
    return len(ready)


def _place(stored: FoldState) -> runs.Place | None:
    """How far a fold has come in the order of judging."""
    if stored.as_of is None or stored.window_start is None or stored.look is None:
        return None
    return (stored.as_of, stored.window_start, stored.look)


class _Judge:
    """Takes results of one monitor for one fold, one after the other."""

    def __init__(self, context: Context, read: _Read, of: Fold) -> None:
        self.context, self.read, self.of = context, read, of
        self.session, self.row, stored = read.session, read.row, read.states[of.name]
        self.stored = stored
        self.now = context.clock.now()
        self.state = State.from_dict(stored.state["fold"]) if stored.state else State()
        self.last_window = datetime.fromisoformat(stored.state["last_window"]) if stored.state else None

    def results_of(self, done: list[Run]) -> dict[int, Result]:
        """What judging takes of runs; those that failed, were skipped or cancelled, or are not to be judged, have
        none.
        """
        taken = [
            run
            for run in done
            if run.status == "done" and run.judged and (self.of.kind is not Kind.NO_LABELS or run.look == 0)
        ]
        checks, findings = self.read.found([run.id for run in taken])
        return {
            run.id: self._by_rule(
                run,
                _result(
                    run,
                    self.of.kind,
                    checks[run.id],
                    findings[run.id],
                    self.read.promoted,
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
        """The result with what the configuration that its run carries makes of it."""
        config = self._config(run)
        policy = config.retraining
        # A model that is trained on faulty labels learns their faults: what is wrong with them proposes no retraining.
        least = None if policy is None or self.of.subject else policy.least(self.of.kind.value)
        rule = Rule(
            config.in_windows(config.alerts.for_windows),
            None if config.alerts.keep_firing_for is None else config.in_windows(config.alerts.keep_firing_for),
            config.in_windows(policy.for_windows) if policy is not None and least is not None else 0,
        )
        retrains = result.bad and least is not None and Severity(result.severity) >= least
        return replace(result, rule=rule, epoch=self._epoch(run), retrains=retrains)

    def _epoch(self, run: Run) -> str:
        grid = self._config(run).windows.grid()
        return f"{grid.length}/{grid.every}/{grid.timezone}/{grid.anchor}"

    def take(self, run: Run, result: Result | None, *, late: bool) -> None:
        """Take one run: a new window steps the fold on, another look at an old one folds again from there."""
        if late:
            self.stored.late = [number for number in self.stored.late or [] if number != run.id]
        else:
            self.stored.as_of, self.stored.window_start, self.stored.look = run.as_of, run.window_start, run.look
        if result is None:
            return
        if self.of.kind is Kind.PERFORMANCE and not self.of.subject:
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
        """Store where the fold stands."""
        last = self.last_window
        if last is not None:
            self.stored.state = {"fold": self.state.to_dict(), "last_window": last.isoformat()}
            config = self.context.config_of(self.session, self.row)
            assert config is not None
            assert self.stored.as_of is not None
            back = config.looked_at_until()
            self.read.done_before[min(last, self.stored.as_of - back)].append(self.of.name)

    def _checkpoint(self, window: Window, state: State) -> None:
        self.read.keep(self.of, window, state)

    def _alert(self, first_window: datetime, opened_as_of: datetime) -> Alert:
        kind, subject = self.of.kind.value, self.of.subject
        return alerts.upsert(self.session, self.row.id, self.row.uuid, kind, subject, first_window, opened_as_of)

    def _write(self, event: Event, run: Run) -> None:
        alert = self._alert(event.first_window, event.opened_as_of)
        self._describe(alert, event.severity, event.since, event.columns, event.bad_windows, event.summary)
        alert.until = event.result.window.end
        self._transition(alert, event.kind, event.result.as_of, run.id)

    def _go_on(self, before: State, result: Result) -> None:
        """A window more of an alert that fired before it: no event, but the alert tells it."""
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
        """Bring an alert to another state at `at`. ended: when it ended, where that was before."""
        if kind == "firing":
            alert.state, alert.ended_at, alert.fired_at = "firing", None, alert.fired_at or at
        elif kind in ("resolved", "cleared", "retracted"):
            # What had ended and is retracted has not ended anew.
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
        """Fold again from a run's window, by the looks that are current now, and match what comes out with the alerts
        that have fired.
        """
        self.read.flush()
        point = alerts.checkpoint(self.session, self.row.id, self.of, run.window_start)
        start = run.window_start if point is not None else None
        place = _place(self.stored)
        assert place is not None
        history_runs = runs.judged_history(self.session, self.row.id, self.of.run_kind, start, place)
        found = self.results_of(history_runs)
        history = fold(found.values(), State.from_dict(point.state) if point is not None else State())
        alerts.drop_checkpoints(self.session, self.row.id, [self.of.name], since=start)
        self.session.flush()
        for window, state in history.before:
            self._checkpoint(window, state)
        self.state = history.state
        # Of alerts older than the runs that retention has left nothing can be said.
        known_from = start or min((each.window_start for each in history_runs), default=None)
        self._match(run, history.incidents, alerts.fired(self.session, self.row.id, self.of, known_from))
        self._match_pending(run)
        for result, state in history.proposing:
            if not retraining.proposed(self.session, self.row.id, result.window.start):
                self._propose(run, result, state)

    def _match(self, run: Run, incidents: list[Incident], fired: list[Alert]) -> None:
        known = {
            StoredAlert(each.first_window, each.opened_as_of, each.since, _until(each), each.state, each.severity): each
            for each in fired
        }
        for old, incident, events in reconcile(list(known), incidents):
            if old is not None:
                alert = known[old]
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
        """What was only pending is folded anew."""
        state, same = self.state, False
        for alert in alerts.pending(self.session, self.row.id, self.of):
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
            f"{self.of.kind.value} was bad in {windows} {'window' if windows == 1 else 'windows'} in a row:"
            f" {result.summary}"
        )
        detail = {
            "kind": self.of.kind.value,
            "columns": list(result.columns),
            "severity": result.severity,
            "run": result.run,
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
    """Reduce a run to what the fold of one kind takes; where a promoted version has taken over, to that version's
    checks. confidence: of the intervals.
    """
    checks = [each for each in checks if each.kind == kind.value]
    findings = [(finding, series) for finding, series in findings if finding.kind == kind.value]
    versions = {each.model_version for each in checks}
    if len(versions) > 1:
        newest = max(
            versions,
            key=lambda version: (promoted.get(version, datetime.min.replace(tzinfo=run.as_of.tzinfo)), version),
        )
        checks = [each for each in checks if each.model_version == newest]
        findings = [(finding, series) for finding, series in findings if series.model_version == newest]
    made = frozenset(each.key for each in checks if each.verdict in (Verdict.FINE.value, Verdict.CHANGED.value))
    paging = [(finding, series) for finding, series in findings if finding.severity in ("warning", "critical")]
    worst = paging[0][0] if paging else None
    named = tuple(dict.fromkeys(series.column or series.metric for _, series in paging))
    return Result(
        run=run.uuid,
        window=run.window,
        look=run.look,
        as_of=run.as_of,
        bad=bool(paging),
        asked=frozenset(each.key for each in checks),
        made=made,
        paging=tuple(_key(series) for _, series in paging),
        columns=named,
        severity=worst.severity if worst else "none",
        summary=worst.explanation if worst else "",
        estimate=estimate_of(checks, confidence),
    )


def estimate_of(checks: list[CheckToJudge], confidence: float) -> EstimatedLoss | None:
    """What a window's estimates say of a loss, by that which says most; None where none was told against a limit. One
    that is too doubtful to be judged alone counts, too: by its wide interval.
    """
    margin = NormalDist().inv_cdf(0.5 + confidence / 2)
    found = [
        told
        for each in checks
        if each.estimate is not None
        and not each.key.segment
        and each.verdict != Verdict.TOO_LITTLE_DATA.value
        and (told := _of_check(each.key.metric, each.estimate, margin)) is not None
    ]
    return max(found, key=lambda each: each.z, default=None)


def _of_check(metric: str, told: CheckNumbers, margin: float) -> EstimatedLoss | None:
    """An estimate by the numbers of its check. margin: how many standard errors its interval reaches to either side."""
    if told.value is None or told.lower is None or told.upper is None or told.p_value is None:
        return None
    error = max(told.upper - told.value, told.value - told.lower) / margin  # an end may be that of the metric itself
    beyond = [told.lowest - told.value] if told.lowest is not None else []
    beyond += [told.value - told.highest] if told.highest is not None else []
    if error <= 0 or not beyond:
        return None
    far = -NormalDist().inv_cdf(max(told.p_value / 2, _LEAST_P))
    # Within the harm a loss and a gain of the same size are not told apart: it counts as a gain.
    return EstimatedLoss(metric, far if max(beyond) > 0 else -far, max(beyond) / error)


def _key(series: MetricSeries) -> CheckKey:
    return CheckKey(series.metric, series.column, series.segment)


def _until(alert: Alert) -> datetime:
    """The end of the alert's last window so far."""
    return alert.until or alert.ended_at or datetime.max.replace(tzinfo=alert.since.tzinfo)
