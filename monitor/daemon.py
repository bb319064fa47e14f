"""The daemon: which service is called when; start, stop, signals. `run` and replays are the same steps without a
scheduler.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event, Lock

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from monitor import outgoing
from monitor.config import secrets
from monitor.config.load import load, written_at
from monitor.config.model import Loaded
from monitor.domain.clock import Clock, ReplayClock, SystemClock, boot_time_s
from monitor.errors import MonitorError, SchemaVersionError, SourceUnreachableError
from monitor.services.apply_configuration import (
    ALIVE_WITHIN,
    BEGINNING,
    apply_configuration,
    fits_side_by_side,
    follow_newest,
    prepare_references,
)
from monitor.services.canary import fly_canary
from monitor.services.context import Context, open_database
from monitor.services.dask_workers import DaskWorkers
from monitor.services.deliver_notifications import Deliverer
from monitor.services.digest import send_digest
from monitor.services.dispatch_alerts import dispatch_alerts
from monitor.services.dispatch_proposals import dispatch_proposals
from monitor.services.execute_runs import Executor
from monitor.services.follow_up import follow_up
from monitor.services.judge_windows import judge_windows
from monitor.services.launch_retraining import Launcher, verify_again
from monitor.services.look_at_sources import look_at_sources, looks_side_by_side
from monitor.services.plan_runs import plan_runs
from monitor.services.prune import prune
from monitor.services.retraining_conditions import propose_by_conditions
from monitor.services.same_database import DatabaseIdentity, remembered, require_not_emptied, require_same
from monitor.services.senders import Senders
from monitor.services.sync_alertmanager import sync_alertmanager
from monitor.services.watch_self import watch_self
from monitor.services.workers import WorkerPool
from monitor.storage import daemons, monitors, outbox, runs

log = get_logger()

LOOK_EVERY = timedelta(minutes=5)
_SILENT_S = 20


@dataclass
class WorkSummary:
    """What `run` or a replay did."""

    finished: int = 0
    failed: int = 0
    unreachable: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    undelivered: int = 0


class _Every(BaseTrigger):  # type: ignore[misc]
    """Again so many seconds from now, whatever the clock said before: one that was set forward owes no missed calls."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime:
        """`now` and the interval."""
        return now + timedelta(seconds=self.seconds)


Progress = Callable[[int, int, datetime], None]


class Daemon:
    """Works through what is due on one report database. Use as a context manager: it holds the lock and the workers."""

    def __init__(
        self,
        loaded: Loaded,
        *,
        clock: Clock | None = None,
        only: str | None = None,
        catches_up: bool = True,
        progress: Progress | None = None,
        workers: WorkerPool | None = None,
    ) -> None:
        """workers: those of somebody who uses them before and after, and closes them; without, the daemon has its
        own.
        """
        self.context = Context(loaded, open_database(loaded), clock or SystemClock(), only=only, catches_up=catches_up)
        self.workers = workers or WorkerPool(at_once=loaded.configuration.workers.processes)
        self._own_workers = workers is None
        cluster = loaded.configuration.workers.dask
        self.executor = Executor(self.context, self.workers if cluster is None else DaskWorkers(cluster))
        self.deliverer, self.senders = Deliverer(self.context), Senders()
        self.launcher = Launcher(self.context, self.workers)
        self.progress = progress
        self._lock = (
            daemons.DatabaseLock(self.context.database.path) if self.context.database.path is not None else None
        )
        self._away: set[int] = set()
        self._ticks: dict[str, float] = {}
        self._execute_lock = Lock()
        self._last_beat = boot_time_s()
        self._written_at = written_at(loaded.path)
        self._known: DatabaseIdentity | None = None
        self._refused: SchemaVersionError | None = None

    @property
    def stopping(self) -> Event:
        """Set when the daemon is to stop."""
        return self.context.stopping

    def __enter__(self) -> Daemon:
        database = self.context.database
        if self._lock is not None:
            self._lock.require()
        self.context.sweep_cache()
        try:
            require_not_emptied(database, self.context.cache)
            database.prepare()
            self._known = remembered(database, self.context.cache)
            database.transact(daemons.register, self.context.owner)
            self.recover(at_start=True)
            apply_configuration(self.context)
        except MonitorError:
            if self._lock is not None:
                self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        own = [pool for pool in {self.workers, self.executor.workers} if self._own_workers or pool is not self.workers]
        with ExitStack() as closing:  # in the reverse order
            if self._lock is not None:
                closing.callback(self._lock.release)
            closing.callback(self._leave)
            for close in (*(workers.close for workers in own), self.launcher.close, self.deliverer.close):
                closing.callback(close)
            try:
                self.executor.stop()
            except (MonitorError, SQLAlchemyError) as error:
                log.error("work_not_given_back", error=str(error))

    def _leave(self) -> None:
        try:
            self.context.database.transact(daemons.leave, self.context.owner)
        except (MonitorError, SQLAlchemyError) as error:
            log.error("stop_not_stored", error=str(error))

    # -- one pass ------------------------------------------------------------------------------------------------

    def run_until_idle(self, wait_s: float = 0.0) -> WorkSummary:
        """Work through everything that is due: planned, evaluated, judged, delivered; then stop. A source that is away
        stops its own monitor alone.

        wait_s: notifications that a receiver has put off for no longer than that are waited for.
        """
        outcome = WorkSummary()
        self._prepare(outcome)
        while not self.stopping.is_set() and self._round(outcome):
            pass
        self._deliver_within(wait_s)
        return self._ended(outcome)

    def _deliver_within(self, wait_s: float) -> None:
        """Send what falls due within so many seconds, too."""
        until = boot_time_s() + wait_s
        while not self.stopping.is_set():
            due = self.context.database.read(outbox.next_try, self.context.foreign_channels())
            if due is None:
                return
            pause = max((due - self.context.clock.now()).total_seconds(), 0.1)
            if boot_time_s() + pause > until:
                return
            self.stopping.wait(pause)
            self.deliverer.drain()

    def ready(self) -> None:
        """See that the references are there. Raises what reading them raised."""
        for error in prepare_references(self.context, self.workers):
            raise error

    def run_only(self, ids: list[int]) -> None:
        """Evaluate these runs alone, and judge those among them that are judged."""
        until = datetime.now(UTC) + timedelta(hours=2)
        while not self.stopping.is_set() and datetime.now(UTC) < until:
            self.executor.fill(ids)
            if not self.executor.in_work:
                if not self.executor.unreachable and self.context.database.read(runs.open_among, ids):
                    self.stopping.wait(0.5)
                    continue
                break
            self.executor.collect(0.5, ids)
            self._beat_in_time()
        if self.context.database.read(runs.judged_among, ids):
            look_at_sources(self.context, self.workers)
            plan_runs(self.context)
            judge_windows(self.context)
            dispatch_alerts(self.context)
            self.deliverer.drain()

    def replay(self, until: datetime | None = None) -> WorkSummary:
        """The same with a clock that follows the data: it moves on to the next due window only when nothing due is
        left; no further than `until`.
        """
        clock = self.context.clock
        assert isinstance(clock, ReplayClock)
        outcome = WorkSummary()
        clock.move_to(
            self.context.database.read(
                lambda session: max(
                    (row.planned_until for row in monitors.active(session) if row.planned_until), default=BEGINNING
                )
            )
        )
        self._prepare(outcome)
        while not self.stopping.is_set():
            while not self.stopping.is_set() and self._round(outcome):
                pass
            due = [plan_runs(self.context).next_due, self.context.database.read(runs.next_available)]
            future = [moment for moment in due if moment is not None and clock.now() < moment <= (until or moment)]
            if outcome.unreachable or not (future or (until is not None and clock.now() < until)):
                break
            clock.move_to(min(future, default=until or BEGINNING))
        return self._ended(outcome)

    def _prepare(self, outcome: WorkSummary) -> None:
        for error in prepare_references(self.context, self.workers):
            (outcome.unreachable if isinstance(error, SourceUnreachableError) else outcome.problems).append(str(error))

    def _round(self, outcome: WorkSummary) -> bool:
        """Everything that is due now, once; whether there was anything."""
        away = look_at_sources(self.context, self.workers, without=self._away)
        self._away |= away
        outcome.unreachable += self.context.database.read(monitors.source_errors, away)
        done = plan_runs(self.context).number
        done += self._execute(outcome)
        done += judge_windows(self.context)
        done += follow_up(self.context)
        done += watch_self(self.context)
        done += dispatch_alerts(self.context) + propose_by_conditions(self.context) + dispatch_proposals(self.context)
        self.deliverer.drain()
        sync_alertmanager(self.context, self.senders)
        self.senders.wait_for_all()
        done += self.launcher.launch()
        self._wait_for_launches()
        done += verify_again(self.context, self.workers)
        return done > 0

    def _verify(self) -> int:
        """Look again at candidates, and at what became of trained models."""
        return verify_again(self.context, self.workers) + follow_up(self.context)

    def _execute(self, outcome: WorkSummary) -> int:
        before = self.executor.finished
        while not self.stopping.is_set():
            self.executor.fill()
            if not self.executor.in_work:
                if not self._wait_for_retry():
                    break
                continue
            if self.executor.collect(0.5) and self.progress is not None:
                unfinished = self.context.database.read(runs.unfinished)
                self.progress(self.executor.finished, unfinished, self.context.clock.now())
            self._beat_in_time()
        outcome.unreachable += self.executor.unreachable
        self.executor.unreachable.clear()
        return self.executor.finished - before

    def _wait_for_retry(self) -> bool:
        """Whether a failed attempt is to be tried again soon; waits for it, by the service's clock."""
        away = self._away | set(self.context.database.read(monitors.ids_of, self.executor.away))
        due = self.context.database.read(runs.next_available, retries=True, without=away)
        if due is None:
            return False
        clock = self.context.clock
        if isinstance(clock, ReplayClock):
            return False
        if due > clock.now():
            self.stopping.wait(min((due - clock.now()).total_seconds(), 1.0))
        return True

    def _wait_for_launches(self) -> None:
        while self.launcher.busy and not self.stopping.is_set():
            self.launcher.wait(0.5)
            self.launcher.launch()
            self._beat_in_time()

    def _beat_in_time(self) -> None:
        if boot_time_s() - self._last_beat > self.context.configuration.workers.heartbeat_s:
            self._last_beat = boot_time_s()
            self.heartbeat()

    def _ended(self, outcome: WorkSummary) -> WorkSummary:
        outcome.finished = self.executor.finished
        outcome.failed = self.executor.failed
        outcome.undelivered = self.context.database.read(lambda session: len(outbox.failing(session)))
        return outcome

    # -- for good ------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Go on until `stopping` is set. APScheduler decides only when to look; what is due, the database knows.

        Raises SchemaVersionError when the database is no longer the one that it was.
        """
        settings = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        loops = self._loops()
        # A thread for each: loops that hang keep no other from coming round.
        scheduler = BackgroundScheduler(
            timezone=UTC, executors={"default": ThreadPoolExecutor(len(loops))}, job_defaults=settings
        )
        for name, (loop, seconds) in loops.items():
            self._ticks[name] = boot_time_s()
            scheduler.add_job(self._guarded(name, loop), _Every(seconds), next_run_time=datetime.now(UTC), id=name)
        scheduler.start()
        log.info(
            "daemon_started",
            daemon=self.context.owner,
            monitors=len(self.context.configuration.monitors),
            database=self.context.database.shown,
        )
        execute = self._guarded("execute", self._execute_some)
        try:
            while not self.stopping.is_set():
                execute()
                self._watch_loops(scheduler)
        finally:
            log.info("daemon_stopping", daemon=self.context.owner, in_work=len(self.executor.in_work))
            self.workers.end_calls()
            scheduler.shutdown(wait=True)
        log.info("daemon_stopped", daemon=self.context.owner)
        if self._refused is not None:
            raise self._refused

    def _loops(self) -> dict[str, tuple[Callable[[], object], float]]:
        fits, looks = fits_side_by_side(), looks_side_by_side()
        return {
            "configuration": (self.reload, 5),
            "prepare": (lambda: prepare_references(self.context, self.workers, fits), 10),
            "look": (
                lambda: look_at_sources(self.context, self.workers, at_least_every=LOOK_EVERY, background=looks),
                5,
            ),
            "plan": (lambda: plan_runs(self.context), 5),
            "judge": (lambda: judge_windows(self.context), 2),
            "watch": (lambda: watch_self(self.context), 5),
            "dispatch": (lambda: (dispatch_alerts(self.context), dispatch_proposals(self.context)), 2),
            "conditions": (lambda: propose_by_conditions(self.context), daemons.LOOPS_S["conditions"]),
            "deliver": (self.deliverer.deliver, 2),
            "alertmanager": (lambda: sync_alertmanager(self.context, self.senders), daemons.LOOPS_S["alertmanager"]),
            "launch": (self.launcher.launch, 2),
            "verify": (self._verify, daemons.LOOPS_S["verify"]),
            "heartbeat": (self.heartbeat, self.context.configuration.workers.heartbeat_s),
            "recover": (self.recover, 10),
            "same_database": (self.require_same_database, 5),
            "end_hanging": (self.context.database.end_hanging, 10),
            "digest": (lambda: send_digest(self.context), daemons.LOOPS_S["digest"]),
            "canary": (lambda: fly_canary(self.context), daemons.LOOPS_S["canary"]),
            "prune": (lambda: prune(self.context), daemons.LOOPS_S["prune"]),
            "tell_alive": (self.tell_alive, daemons.LOOPS_S["tell_alive"]),
        }

    def _guarded(self, name: str, loop: Callable[[], object]) -> Callable[[], None]:
        """A loop that survives anything, backs off, and leaves word that it is alive."""

        def once() -> None:
            try:
                loop()
            except Exception as error:  # whatever it was: a loop that ends silently is the worst fault of a daemon
                log.error("loop_failed", loop=name, error=f"{type(error).__name__}: {error}")
                self.stopping.wait(5)
            self._ticks[name] = boot_time_s()

        return once

    def _execute_some(self) -> None:
        with self._execute_lock:
            claimed = self.executor.fill()
        if self.executor.in_work:
            with self._execute_lock:
                self.executor.collect(0.2)
            time.sleep(0.02)
        elif not claimed:
            self.stopping.wait(0.5)
        self.executor.unreachable.clear()
        self.executor.away.clear()

    def _watch_loops(self, scheduler: BackgroundScheduler) -> None:
        """The scheduler sleeps by the wall clock; if that was set back, its jobs lie in the future and must be called
        now.
        """
        scheduled = [tick for name, tick in self._ticks.items() if name != "execute"]
        quiet = boot_time_s() - max(scheduled, default=boot_time_s())
        if quiet > _SILENT_S:
            log.error("scheduler_silent", seconds=round(quiet))
            for job in scheduler.get_jobs():
                job.modify(next_run_time=datetime.now(UTC))
            self._ticks["watch"] = boot_time_s()

    def _late_loops(self) -> list[str]:
        """The loops that have not come round for longer than can be explained by slow sources."""
        now = boot_time_s()
        return [name for name, tick in self._ticks.items() if daemons.is_late(name, now - tick)]

    def reload(self) -> None:
        """Apply the configuration's file when it has changed, and follow what another daemon has applied."""
        now = written_at(self.context.loaded.path)
        if now and now != self._written_at:
            self._written_at = now
            try:
                self.context.loaded = load(self.context.loaded.path)
            except MonitorError as error:
                log.error("configuration_not_applied", error=str(error), advice="the one before stays in effect")
            else:
                apply_configuration(self.context)
                log.info("configuration_applied", monitors=len(self.context.configuration.monitors))
        follow_newest(self.context)

    def heartbeat(self) -> None:
        """Renew the leases of what is in work and say that this daemon is alive."""
        with self._execute_lock:
            self.executor.beat()
        now = boot_time_s()
        ages = {name: now - tick for name, tick in self._ticks.items()}
        self.context.database.transact(daemons.beat, self.context.owner, ages)

    def require_same_database(self) -> None:
        """Stop when the database has been emptied, replaced, or migrated by a newer version: whatever is written from
        then on would be wrong.
        """
        assert self._known is not None
        try:
            require_same(self.context.database, self._known)
        except SchemaVersionError as error:
            log.error("database_is_another", error=str(error))
            self._refused = error
            self.stopping.set()

    def tell_alive(self) -> None:
        """Ping `heartbeat_url` if every loop has come round recently. Whoever listens there misses a daemon that
        is silent.
        """
        url = self.context.configuration.heartbeat_url
        if url is None or self._late_loops():
            return
        configured = self.context.loaded.configuration.heartbeat_url or url
        if secrets.is_masked(configured):  # another daemon's, which pings it itself
            return
        address = secrets.expand(configured)
        allow_private = self.context.configuration.heartbeat_allow_private
        rules: outgoing.Rules = {"allow_private": allow_private, "network": self.context.network}
        self.senders.start("heartbeat_url", lambda: outgoing.post(address, b"", {}, **rules))

    def recover(self, *, at_start: bool = False) -> None:
        """Put back what dead daemons left; on SQLite whoever holds the lock is alone, so at the start nothing is
        anybody's.
        """
        everything = at_start and self._lock is not None
        database = self.context.database
        with self._execute_lock:
            back = self.executor.give_back()
        kept = [work.claim.run_id for work in list(self.executor.in_work)]
        back += database.transact(
            lambda session: [run.uuid for run in runs.recover(session, everything=everything, kept=kept)]
        )
        for uuid in back:
            log.warning("run_put_back", run=uuid[:8])
        database.transact(outbox.recover, everything=everything)
        alive = {self.context.owner} if everything else database.read(daemons.alive, ALIVE_WITHIN)
        self.launcher.recover(alive | {self.context.owner})
