"""Judge: fold the results of each monitor and kind, in the order of `as_of`, into alert events and retraining proposals."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.alerting.fold import Event, History, Incident, Known, Result, Rule, State, fold, reconcile, step
from monitor.config.model import MonitorConfig
from monitor.domain.checks import Kind, Verdict
from monitor.domain.grid import Window
from monitor.services.context import Context
from monitor.storage import alerts, monitors, references, results, retraining, runs
from monitor.storage.database import locked
from monitor.storage.results import StoredCheck
from monitor.storage.tables import Alert, FindingRow, FoldState, MetricSeries, MonitorRow, Run

log = get_logger()

# Each kind of alert folds one kind of run.
FOLDED = {
    Kind.PERFORMANCE: "performance",
    Kind.NO_LABELS: "performance",
    Kind.ESTIMATED_PERFORMANCE: "data",
    Kind.DRIFT: "data",
    Kind.QUALITY: "data",
    Kind.NO_DATA: "data",
}
_BATCH = 200


def judge_windows(context: Context) -> int:
    """Judge what can be judged; how many results were taken."""
    taken = 0
    for monitor_id in context.database.read(lambda session: [row.id for row in monitors.active(session)]):
        for kind in FOLDED:
            while True:
                number = context.database.transact(_judge, context, monitor_id, kind)
                taken += number
                if number < _BATCH:
                    break
    return taken


def _judge(session: Session, context: Context, monitor_id: int, kind: Kind) -> int:
    row: MonitorRow = locked(session, MonitorRow, monitor_id)
    config = context.config_of(session, row)
    if config is None or row.planned_until is None:
        return 0
    stored = alerts.fold_state(session, monitor_id, kind.value)
    after = None if stored.as_of is None else (stored.as_of, stored.window_start, stored.look)
    waiting = runs.to_judge(session, monitor_id, FOLDED[kind], after, row.planned_until)[:_BATCH]  # type: ignore[arg-type]
    ready: list[Run] = []
    for run in waiting:
        if run.status not in runs.ENDED:
            break
        ready.append(run)
    if not ready:
        return 0
    judge = _Judge(session, context, row, config, kind, stored)
    found = judge.results_of(ready)
    for run in ready:
        judge.take(run, found.get(run.id))
    return len(ready)


class _Judge:
    """Takes results of one monitor and kind, one after the other."""

    def __init__(
        self, session: Session, context: Context, row: MonitorRow, config: MonitorConfig, kind: Kind, stored: FoldState
    ) -> None:
        self.session, self.context, self.row, self.config, self.kind, self.stored = (
            session,
            context,
            row,
            config,
            kind,
            stored,
        )
        self.now = context.clock.now()
        policy = config.retraining
        retrains = policy is not None and kind.value in policy.when
        self.rule = Rule(
            config.in_windows(config.alerts.for_windows),
            config.in_windows(config.alerts.keep_firing_for),
            config.in_windows(policy.for_windows) if policy is not None and retrains else 0,
        )
        self.state = State.from_dict(stored.state["fold"]) if stored.state else State()
        self.last_window = datetime.fromisoformat(stored.state["last_window"]) if stored.state else None

    def results_of(self, done: list[Run]) -> dict[int, Result]:
        """What judging takes of runs; those that failed, were skipped or cancelled have none."""
        ids = [run.id for run in done if run.status == "done"]
        checks, findings = results.checks(self.session, ids), results.findings(self.session, ids)
        promoted = {entry.model_version: entry.valid_from for entry, _ in references.history(self.session, self.row.id)}
        return {
            run.id: _result(run, self.kind, checks[run.id], findings[run.id], promoted)
            for run in done
            if run.id in checks
        }

    def take(self, run: Run, result: Result | None) -> None:
        """Take one run: a new window steps the fold on, another look at an old one folds the history again."""
        if result is not None:
            if self.last_window is None or (run.look == 0 and run.window_start >= self.last_window):
                taken = step(self.state, result, self.rule)
                self.state, self.last_window = taken.state, run.window_start
                for event in taken.events:
                    self._write(event, run)
                if taken.proposes:
                    self._propose(run, result)
                self._touch(result)
            else:
                self._refold(run, result)
        self.stored.as_of, self.stored.window_start, self.stored.look = run.as_of, run.window_start, run.look
        last = self.last_window or run.window_start
        self.stored.state = {"fold": self.state.to_dict(), "last_window": last.isoformat()}

    def _write(self, event: Event, run: Run) -> None:
        alert = alerts.upsert(
            self.session, self.row.id, self.row.uuid, self.kind.value, "", event.first_window, event.opened_as_of
        )
        self._describe(alert, event.severity, event.since, event.columns, event.bad_windows, event.summary)
        self._transition(alert, event.kind, event.result.as_of, run.id)

    def _transition(self, alert: Alert, kind: str, at: datetime, run_id: int | None) -> None:
        if kind in ("firing", "escalated", "downgraded"):
            alert.state, alert.ended_at = (
                "firing" if kind == "firing" else alert.state,
                None if kind == "firing" else alert.ended_at,
            )
            alert.fired_at = alert.fired_at or at
        elif kind in ("resolved", "cleared", "retracted"):
            alert.state, alert.ended_at = "retracted" if kind == "retracted" else "resolved", at
        quiet = kind in ("pending", "cleared")
        alerts.add_event(self.session, alert, kind, at, self.now, run_id=run_id, dispatched=quiet)
        log.info(
            f"alert_{kind}",
            monitor=self.row.name,
            alert=alert.uuid[:8],
            kind=alert.kind,
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

    def _touch(self, result: Result) -> None:
        """A bad window more on an alert that fires: no event, but the alert tells it."""
        if (
            self.state.phase == "firing"
            and result.bad
            and self.state.first_window is not None
            and self.state.opened_as_of is not None
        ):
            alert = alerts.upsert(
                self.session,
                self.row.id,
                self.row.uuid,
                self.kind.value,
                "",
                self.state.first_window,
                self.state.opened_as_of,
            )
            self._describe(
                alert, self.state.severity, alert.since, self.state.columns, self.state.bad_windows, self.state.summary
            )

    def _refold(self, run: Run, result: Result) -> None:
        history_runs = runs.judged_history(
            self.session, self.row.id, FOLDED[self.kind], (run.as_of, run.window_start, run.look)
        )
        found = self.results_of([each for each in history_runs if each.status == "done"])
        history: History = fold(found.values(), self.rule)
        self.state = history.state
        fired = alerts.fired(self.session, self.row.id, self.kind.value)
        known = {
            Known(each.first_window, each.opened_as_of, each.since, self._until(each), each.state, each.severity): each
            for each in fired
        }
        for old, incident, event in reconcile(list(known), history.incidents):
            alert = known[old] if old is not None else self._alert_of(incident)
            if incident is not None:
                self._describe(
                    alert,
                    incident.severity,
                    incident.first_window,
                    incident.columns,
                    incident.bad_windows,
                    incident.summary,
                )
            self._transition(alert, event, result.as_of, run.id)
        if self.state.phase == "firing":
            same = next(
                (each for each in known.values() if each.state == "firing" and each.since == self.state.first_window),
                None,
            )
            if same is not None:  # the identity that stays, for the events to come
                self.state = State.from_dict(
                    {
                        **self.state.to_dict(),
                        "first_window": same.first_window.isoformat(),
                        "opened_as_of": same.opened_as_of.isoformat(),
                    }
                )

    def _alert_of(self, incident: Incident | None) -> Alert:
        assert incident is not None
        return alerts.upsert(
            self.session, self.row.id, self.row.uuid, self.kind.value, "", incident.first_window, incident.opened_as_of
        )

    def _until(self, alert: Alert) -> datetime:
        """The end of the alert's last window so far."""
        return alert.ended_at or datetime.max.replace(tzinfo=alert.since.tzinfo)

    def _propose(self, run: Run, result: Result) -> None:
        policy = self.config.retraining
        assert policy is not None
        assert self.state.first_window is not None
        windows = self.state.retrain
        reason = f"{self.kind.value} was bad in {windows} {'window' if windows == 1 else 'windows'} in a row: {result.summary}"
        detail = {
            "kind": self.kind.value,
            "columns": list(result.columns),
            "severity": result.severity,
            "run": run.uuid,
        }
        version = self._model_version(run)
        request = retraining.propose(
            self.session,
            self.row,
            (run.window_start, run.window_end),
            run.as_of,
            policy.launcher,
            reason,
            detail,
            (self.state.first_window, run.as_of),
            version,
            self.now,
        )
        log.info("retraining_proposed", monitor=self.row.name, request=request.uuid[:8], reason=reason)

    def _model_version(self, run: Run) -> str:
        found = [each.series.model_version for each in results.checks(self.session, [run.id])[run.id]]
        return found[-1] if found else self.config.model.version


def _result(
    run: Run,
    kind: Kind,
    checks: list[StoredCheck],
    findings: list[tuple[FindingRow, MetricSeries]],
    promoted: dict[str, datetime],
) -> Result:
    """Reduce a run to what the fold of one kind takes; where a promoted version has taken over, to that version's checks."""
    versions = {each.series.model_version for each in checks}
    if len(versions) > 1:
        newest = max(
            versions,
            key=lambda version: (promoted.get(version, datetime.min.replace(tzinfo=run.as_of.tzinfo)), version),
        )
        checks = [each for each in checks if each.series.model_version == newest]
        findings = [(finding, series) for finding, series in findings if series.model_version == newest]
    made = frozenset(
        _key(each.series)
        for each in checks
        if each.check.kind == kind.value and each.check.verdict in (Verdict.FINE.value, Verdict.CHANGED.value)
    )
    paging = [
        (finding, series)
        for finding, series in findings
        if finding.kind == kind.value and finding.severity in ("warning", "critical")
    ]
    worst = paging[0][0] if paging else None
    named = tuple(dict.fromkeys(series.column or series.metric for _, series in paging))
    return Result(
        run=run.uuid, window=Window(run.window_start, run.window_end), look=run.look, as_of=run.as_of, bad=bool(paging), made=made,
        paging=tuple(_key(series) for _, series in paging), columns=named,
        severity=worst.severity if worst else "none", summary=worst.explanation if worst else "",
    )  # fmt: skip


def _key(series: MetricSeries) -> str:
    return f"{series.metric}|{series.column}|{series.segment}"
