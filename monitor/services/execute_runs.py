"""Execute: claim due runs, have workers evaluate them, and store the results, by owner and attempt."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.config.model import MonitorConfig
from monitor.domain.clock import boot_time_s
from monitor.domain.grid import Window
from monitor.errors import DataError, MonitorError, SourceUnreachableError, WorkersUnreachableError
from monitor.services.cache import kept
from monitor.services.context import Context
from monitor.services.dask_workers import DaskWork, DaskWorkers
from monitor.services.earlier_windows import earlier_windows
from monitor.services.specs import RUN, ListedRows, RunResult, RunSpec
from monitor.services.workers import Work, WorkerDiedError, WorkerPool
from monitor.sources.spec import RecentWindows
from monitor.storage import annotation, label_lists, monitors, natural, references, results, runs
from monitor.storage.results import Results
from monitor.storage.runs import RunClaim
from monitor.storage.tables import LabelList, MonitorRow, ReferenceVersion, Run

log = get_logger()
_NEWEST_EVERY = 4
_MOST_RECENT = 100
_SLOW_S = 30.0


@dataclass
class InWork:
    """A claimed run and the worker that evaluates it. trusted_until: by the boot clock; from then on the lease may be
    another's.
    """

    claim: RunClaim
    work: Work | DaskWork
    about: dict[str, str]
    alone: bool
    trusted_until: float
    since: float = field(default_factory=boot_time_s)


class ClaimedRun(NamedTuple):
    """A run that this daemon has just claimed. about: what logs say of it. losses: how often its worker was lost."""

    claim: RunClaim
    about: dict[str, str]
    losses: int


@dataclass
class Executor:
    """Keeps up to `workers.processes` runs in work, and one more for each monitor with a slow run: a slow source does
    not delay the runs of others.

    finished, failed: how many runs have ended, and how many of them failed for good. unreachable: the errors of sources
        that cannot be reached. away: the monitors of these sources, whose other runs wait.
    """

    context: Context
    workers: WorkerPool | DaskWorkers
    in_work: list[InWork] = field(default_factory=list)
    finished: int = 0
    failed: int = 0
    unreachable: list[str] = field(default_factory=list)
    away: set[str] = field(default_factory=set)
    claims: int = 0

    @property
    def lease(self) -> timedelta:
        """How long a claim holds without a heartbeat."""
        return self.context.configuration.workers.lease.approximate()

    def fill(self, only: list[int] | None = None) -> int:
        """Claim due runs into free places; how many."""
        claimed = 0
        while self._places() > 0 and not self.context.stopping.is_set():
            if any(active_run.alone for active_run in self.in_work):
                break
            alone, trusted_until = not self.in_work, self._trusted_until()
            claimed_run = self.context.database.transact(self._claim, only, alone=alone)
            if claimed_run is None:
                break
            claim, about, losses = claimed_run
            claimed += 1
            try:
                work = self._started(self.context.database.read(self._spec, claim))
            except (DataError, SourceUnreachableError) as error:
                self._failed(claim, about, error)
                continue
            except WorkersUnreachableError as error:
                self._failed(claim, about, error)
                break
            self.in_work.append(InWork(claim, work, about, losses >= runs.LOSSES_UNTIL_ALONE, trusted_until))
        return claimed

    def _places(self) -> int:
        """How many more runs may be in work."""
        most = self.context.configuration.workers.processes
        return most + min(len(self._slow()), most) - len(self.in_work)

    def _slow(self) -> set[str]:
        """The monitors of runs that have taken long already."""
        return {
            active_run.about["monitor"] for active_run in self.in_work if boot_time_s() - active_run.since > _SLOW_S
        }

    def _started(self, spec: RunSpec) -> Work | DaskWork:
        limits = self.context.configuration.workers
        return self.workers.start(RUN, spec, limits.timeout.approximate().total_seconds(), limits.memory_limit)

    def collect(self, timeout_s: float, only: list[int] | None = None) -> int:
        """Wait up to `timeout_s` for a result and store those that are there, while workers have the next runs already;
        how many.
        """
        if self.in_work:
            wait([handle for active_run in self.in_work for handle in active_run.work.handles], timeout_s)
        over = [active_run for active_run in self.in_work if active_run.work.is_over()]
        for active_run in over:
            if boot_time_s() > active_run.trusted_until:
                self.beat()  # we were stopped for a while: what is still ours is stored, the rest dropped
        over = [active_run for active_run in over if active_run in self.in_work]
        outcomes = [(active_run, self._outcome(active_run)) for active_run in over]
        self.in_work = [active_run for active_run in self.in_work if active_run not in over]
        try:
            if over:
                self.fill(only)
        finally:
            for active_run, outcome in outcomes:
                self._settle(active_run, outcome)
        return len(over)

    def beat(self) -> None:
        """Renew the leases of what is in work; a run that was lost is dropped and its worker ended."""
        if not self.in_work:
            return
        trusted_until = self._trusted_until()
        lost = self.context.database.transact(runs.renew, [active_run.claim for active_run in self.in_work], self.lease)
        for active_run in list(self.in_work):
            active_run.trusted_until = trusted_until
            if active_run.claim in lost:
                self._drop(active_run)

    def _trusted_until(self) -> float:
        """How long a lease that is asked for now is trusted: it ends in its holder's own head first."""
        return boot_time_s() + 0.9 * self.lease.total_seconds()

    def _drop(self, active_run: InWork) -> None:
        log.warning("lease_lost", **active_run.about)
        active_run.work.kill()
        self.in_work.remove(active_run)

    def stop(self) -> None:
        """End what is in work and give it back, pending at once."""
        for active_run in self.in_work:
            active_run.work.kill()
        self.in_work.clear()
        self.give_back()

    def give_back(self) -> list[str]:
        """Put back what this daemon holds and has not in work; the runs' ids."""
        return self.context.database.transact(
            runs.give_back, self.context.owner, [active_run.claim.run_id for active_run in self.in_work]
        )

    def _claim(self, session: Session, only: list[int] | None, *, alone: bool) -> ClaimedRun | None:
        # While the oldest are caught up with, every so many claims take the newest: live windows do not starve.
        self.claims += 1
        newest = self.claims % _NEWEST_EVERY == 0
        taken = runs.claim(
            session,
            self.context.owner,
            self.lease,
            self.context.clock.now(),
            alone=alone,
            only=only,
            newest=newest,
            without=[*self._crowded(session), *monitors.ids_of(session, self.away)],
        )
        if taken is None:
            return None
        row = session.get_one(MonitorRow, taken.monitor_id)
        about = {
            "monitor": row.name,
            "kind": taken.kind,
            "window": str(taken.window),
            "run": taken.uuid[:8],
        }
        return ClaimedRun(RunClaim(taken.id, taken.owner, taken.claims), about, taken.losses)

    def _crowded(self, session: Session) -> list[int]:
        """The monitors whose source is read already by `source.max_concurrent` runs of any daemon. For the extra places
        beside slow runs, also the monitors that share a source with these.
        """
        is_beside = len(self.in_work) >= self.context.configuration.workers.processes
        slow = self._slow() if is_beside else set()
        if not slow and all(
            config.source.max_concurrent is None for config in self.context.configuration.monitors.values()
        ):
            return []
        limits: dict[int, tuple[str, int | None]] = {}
        for row in monitors.active(session):
            config = self.context.config_of(session, row)
            if config is not None:
                limits[row.id] = (config.source.path or config.source.url or "", config.source.max_concurrent)
        reading = Counter(limits[number][0] for number in runs.in_work(session) if number in limits)
        dripping = {limits[number][0] for number in monitors.ids_of(session, slow) if number in limits}
        return [
            number
            for number, (place, limit) in limits.items()
            if place in dripping or (limit is not None and reading[place] >= limit)
        ]

    def _spec(self, session: Session, claim: RunClaim) -> RunSpec:
        taken = session.get_one(Run, claim.run_id)
        row = session.get_one(MonitorRow, taken.monitor_id)
        config = self.context.config_of(session, row, taken.configuration_id)
        if config is None:
            raise DataError("the monitor is not in the configuration that this run was planned by")
        return run_spec(session, self.context, config, row, taken)

    @staticmethod
    def _outcome(active_run: InWork) -> RunResult | MonitorError:
        try:
            result: RunResult = active_run.work.wait(0)
        except MonitorError as error:
            return error
        return result

    def _settle(self, active_run: InWork, result: RunResult | MonitorError) -> None:
        if isinstance(result, MonitorError):
            self._failed(active_run.claim, active_run.about, result)
            return
        stored = self.context.database.transact(_store, self.context, active_run.claim, result)
        self.finished += stored
        if stored:
            log.info(
                "run_done",
                **active_run.about,
                severity=result.severity,
                rows=result.rows,
                findings=len(result.findings),
            )
        else:
            log.warning("result_dropped", **active_run.about, reason="another daemon has taken the run over")

    def _failed(self, claim: RunClaim, about: dict[str, str], error: MonitorError) -> None:
        now, limits = self.context.clock.now(), self.context.configuration.workers
        if isinstance(error, (SourceUnreachableError, WorkersUnreachableError)):
            self.unreachable.append(f"{about['monitor']}: {error}")
            if isinstance(error, SourceUnreachableError):
                self.away.add(about["monitor"])
            pause = self.context.configuration.workers.retry_source_after.approximate()
            self.context.database.transact(runs.release, claim, now, pause, str(error))
            log.error("run_waits", **about, error=str(error))
            return
        # What the data or the configuration is to blame for fails again in the same way: no second attempt.
        final = isinstance(error, DataError)
        pause = limits.retry_after.approximate()
        status = self.context.database.transact(
            runs.fail, claim, now, str(error), limits.max_attempts, pause, final=final
        )
        log.error(
            "run_failed" if status == "failed" else "attempt_failed",
            **about,
            error=str(error),
            died=isinstance(error, WorkerDiedError),
        )
        self.finished += status == "failed"
        self.failed += status == "failed"


def run_spec(session: Session, context: Context, config: MonitorConfig, row: MonitorRow, taken: Run) -> RunSpec:
    """What a worker needs to evaluate a run. Raises DataError where no reference is in force."""
    in_force = references.in_force(session, row.id, taken.window_start)
    if not in_force:
        raise DataError("no reference is in force: the monitor's reference could not be read yet")
    files = {
        version: str(_file(session, context, reference_id, name)) for version, (reference_id, name) in in_force.items()
    }
    labels = config.labels
    revise = taken.window_end + labels.revise_until.approximate() if labels else None
    checks = config.checks.to_checks(_false_alarm_share(config, taken.kind), config.page_confidence())
    if taken.kind != "performance":
        ids = [reference_id for reference_id, _ in in_force.values()]
        checks = replace(checks, natural=natural.known(session, row.id, ids, taken.as_of))
    earlier, a_year_ago = earlier_windows(session, config, row, taken)
    state = monitors.source_state(session, row.id)
    return RunSpec(
        kind=taken.kind,
        window=taken.window,
        as_of=taken.read_as_of,
        log=context.log_spec(config),
        columns=config.to_columns(),
        references=files,
        checks=checks,
        default_version=config.model.version if config.columns.model_version is None else "",
        expected=labels.expected if labels else 1.0,
        judge_from=labels.judge_from if labels else 0.0,
        revise_until=revise,
        recent=_recent(session, context, config, row, taken),
        rolling=_rolling(session, config, row, taken),
        earlier=earlier,
        a_year_ago=a_year_ago,
        misdated=state.misdated,
        misdated_example=state.misdated_example,
        monitor=row.name,
        model=row.model_name,
        run=taken.uuid,
        **_lists(session, context, config, row, taken),
    )


def listed_rows(label_list: LabelList) -> ListedRows:
    """A list of wanted labels as workers take it."""
    return ListedRows(label_list.uuid, label_list.created_at, label_list.model_version, label_list.rows)


def _lists(session: Session, context: Context, config: MonitorConfig, row: MonitorRow, taken: Run) -> dict[str, Any]:
    """The lists of wanted labels of a performance run's window, as far as they were known at its `as_of`."""
    if taken.kind != "performance" or config.labels is None:
        return {}
    lists = label_lists.of_window(session, row.id, taken.window, taken.read_as_of)
    if not lists:
        return {}
    recent = windows_before(session, context, config, row, taken)
    return {"lists": tuple(map(listed_rows, lists)), "lists_recent": recent}


def windows_before(
    session: Session, context: Context, config: MonitorConfig, row: MonitorRow, taken: Run
) -> RecentWindows | None:
    """The windows before that of a run, from whose labels it is learned what labels are to be expected; None if there
    are none.
    """
    recent = _recent_windows(session, context, config, row, taken)
    return RecentWindows(recent.windows[1:], recent.rows) if len(recent.windows) > 1 else None


def _recent(
    session: Session, context: Context, config: MonitorConfig, row: MonitorRow, taken: Run
) -> RecentWindows | None:
    """The recent windows, the run's own included, whose labelled rows refresh the estimate of a data run.

    They go back by the delay of labels and a month more (four windows, if these are longer). If there are very many,
    they are thinned evenly. Windows of another version of the model are left out.
    """
    if config.labels is None or not config.labels.refresh_estimate or taken.kind != "data":
        return None
    return _recent_windows(session, context, config, row, taken)


def _recent_windows(
    session: Session, context: Context, config: MonitorConfig, row: MonitorRow, taken: Run
) -> RecentWindows:
    assert config.labels is not None
    every = (config.windows.every or config.windows.length).approximate()
    back = config.labels.delay.approximate() + max(timedelta(days=30), 4 * every)
    number = math.ceil(back / every)
    earlier = runs.data_runs_between(session, row.id, taken.window_start - back, taken.window_start)
    windows = [(taken.window, taken.read_as_of)]
    healthy = set(annotation.without(annotation.of_monitor(session, row.id, "faulty"), [run.window for run in earlier]))
    for run in [run for run in earlier if run.window in healthy][:: math.ceil(number / _MOST_RECENT)]:
        planned_by = context.config_of(session, row, run.configuration_id)
        if planned_by is not None and planned_by.model.version == config.model.version:
            windows.append((run.window, run.read_as_of))
    return RecentWindows(tuple(windows), math.ceil(config.sample.rows / min(number, _MOST_RECENT)))


def _rolling(session: Session, config: MonitorConfig, row: MonitorRow, taken: Run) -> RecentWindows | None:
    """The windows of the rolling reference of a data run, each as of the time when its own run was due; those marked
    as faulty are left out. None without a rolling reference or earlier windows.
    """
    entry = config.reference
    if entry.rolling is None or taken.kind == "performance":
        return None
    delay = config.windows.delay.approximate()
    faulty = annotation.of_monitor(session, row.id, "faulty")
    before = annotation.without(faulty, config.windows.grid().before(taken.window_start, entry.rolling, entry.season))
    rows = math.ceil(config.sample.rows / entry.rolling)
    return RecentWindows(tuple((window, window.end + delay) for window in before), rows) if before else None


def _false_alarm_share(config: MonitorConfig, kind: str) -> float:
    """A run's part of its window's false alarm rate: half for the data run, half shared by the performance looks that
    can be judged; all of it without labels.
    """
    rate = config.checks.false_alarm_rate
    if config.labels is None or kind == "adhoc":
        return rate
    if kind == "data":
        return rate / 2
    judged = 2 + sum(share >= config.labels.judge_from for share in (0.5, 0.9, 1.0))
    return rate / 2 / judged


def _file(session: Session, context: Context, reference_id: int, version: str) -> Path:
    """The reference as a file named by its version, from the cache."""
    try:
        return kept(context.cache, version, lambda: references.archive(session, reference_id))
    except OSError as error:
        raise SourceUnreachableError(f"the reference cannot be kept in {context.cache}: {error.strerror}") from None


def _store(session: Session, context: Context, claim: RunClaim, result: RunResult) -> bool:
    """One transaction: outcome, values, checks, findings, snapshot; only if owner and attempt still match."""
    taken = runs.held(session, claim)
    if taken is None:
        return runs.already_stored(session, claim)
    now = context.clock.now()
    taken.status, taken.finished_at, taken.lease_until, taken.reason = "done", now, None, result.note
    taken.losses = 0
    taken.rows, taken.sampled, taken.labelled, taken.counts = (
        result.rows,
        result.sampled,
        result.labelled,
        result.counts,
    )
    taken.read_seconds, taken.read_rows, taken.read_bytes = result.read_seconds, result.sampled, result.read_bytes
    taken.severity, taken.software_version = result.severity, context.software_version
    taken.reference_id = session.query(ReferenceVersion.id).filter_by(version=result.reference).scalar()
    monitors.to_be_judged(session, taken.monitor_id)
    results.store(session, taken, Results(result.metrics, result.checks, result.findings, result.snapshot))
    runs.count_ended(session, taken.kind, taken.status)
    return True


def plan_adhoc(context: Context, name: str, window: Window) -> list[int]:
    """Plan an ad hoc look at any window, never judged. The runs' numbers."""

    def unit(session: Session) -> list[int]:
        row, now = monitors.by_name(session, name), context.clock.now()
        assert row is not None
        planned = runs.plan(session, row, "adhoc", window, runs.next_look(session, row.id, "adhoc", window), now, now)
        return [planned.id] if planned else []

    return context.database.transact(unit)


def plan_again(context: Context, name: str, span: Window, *, judged: bool) -> list[int]:
    """Plan another look at each planned window within a span whose runs have ended: by the newest configuration, as of
    the time of the earlier look. The runs' numbers.
    """
    return context.database.transact(_plan_again, context, name, span, judged=judged)


@dataclass(frozen=True)
class Preview:
    """The result that another look at a window would have, beside the stored one."""

    kind: str
    window: Window
    before: str
    after: str
    columns: tuple[str, ...]


def preview_again(context: Context, workers: WorkerPool, name: str, span: Window) -> Iterator[Preview]:
    """Look again at each planned window within a span, by the newest configuration and annotations, and store
    nothing.
    """

    def specs(session: Session) -> list[tuple[str, RunSpec]]:
        row = monitors.by_name(session, name)
        assert row is not None
        entry = context.config_of(session, row)
        assert entry is not None
        taken = [runs.current(session, first) for first in runs.look_zeros(session, row.id, span)]
        return [(run.severity, run_spec(session, context, entry, row, run)) for run in taken if run.status == "done"]

    for before, spec in context.database.read(specs):
        result: RunResult = workers.call(RUN, spec)
        paging = [finding.column or finding.metric for finding in result.findings if finding.severity >= "warning"]
        yield Preview(spec.kind, spec.window, before, result.severity, tuple(dict.fromkeys(paging)))


def _plan_again(session: Session, context: Context, name: str, span: Window, *, judged: bool) -> list[int]:
    row = monitors.by_name(session, name)
    assert row is not None
    now = context.clock.now()
    run_ids = []
    for first in runs.look_zeros(session, row.id, span):
        if first.status in ("pending", "running"):
            continue
        window = first.window
        repeated = runs.current(session, first)
        planned = runs.plan(
            session,
            row,
            first.kind,
            window,
            runs.next_look(session, row.id, first.kind, window),
            now,
            now,
            read_as_of=repeated.read_as_of,
            judged=judged,
        )
        run_ids += [planned.id] if planned else []
    return run_ids
