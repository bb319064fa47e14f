"""Runs: planned, claimed under a lease, stored by owner and attempt, taken back when a lease has run out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, func, literal, or_, select, update
from sqlalchemy.orm import Session, defer

from monitor.domain import folds
from monitor.domain.grid import Window
from monitor.domain.ids import natural_id
from monitor.domain.looks import FIRST_BY_HAND
from monitor.storage.database import database_now
from monitor.storage.listing import begins
from monitor.storage.monitors import to_be_judged
from monitor.storage.tables import FoldState, MonitorRow, Run, RunCount

KINDS = ("data", "performance", "adhoc")
ENDED = ("done", "failed", "skipped", "cancelled")
# After so many leases lost in a row a run is claimed only by a daemon that has nothing else in work.
LOSSES_UNTIL_ALONE = 3
_WAITS = "waits for its source to pass the window's end"


@dataclass(frozen=True)
class RunClaim:
    """What fences a worker's result: the run, its owner and the attempt."""

    run_id: int
    owner: str
    attempt: int


def plan(
    session: Session,
    monitor: MonitorRow,
    kind: str,
    window: Window,
    look: int,
    as_of: datetime,
    now: datetime,
    **more: Any,
) -> Run | None:
    """Add a new run, as `new` makes it; None if its key is there already."""
    if session.scalar(select(Run.id).where(_of_window(monitor.id, kind, window), Run.look == look)) is not None:
        return None
    run = new(monitor, kind, window, look, as_of, now, **more)
    add(session, [run])
    return run


def new(
    monitor: MonitorRow,
    kind: str,
    window: Window,
    look: int,
    as_of: datetime,
    now: datetime,
    *,
    status: str = "pending",
    reason: str = "",
    read_as_of: datetime | None = None,
    configuration_id: int | None = None,
    wait_until: datetime | None = None,
    judged: bool = True,
) -> Run:
    """A run that is not in the database yet. wait_until: it is not claimed before, unless its source has passed the
    window's end.
    """
    waits = wait_until is not None and wait_until > now
    return Run(
        uuid=natural_id("run", monitor.uuid, kind, window.start, window.end, look),
        monitor_id=monitor.id,
        kind=kind,
        window_start=window.start,
        window_end=window.end,
        look=look,
        as_of=as_of,
        read_as_of=read_as_of or as_of,
        configuration_id=configuration_id or monitor.configuration_id,
        status=status,
        reason=_WAITS if waits else reason,
        judged=judged,
        available_at=wait_until if waits else now,
        planned_at=now,
        finished_at=now if status == "skipped" else None,
    )


def add(session: Session, runs: Sequence[Run]) -> None:
    """Add new runs. One behind the place that a fold has reached is remembered there: it is folded in when it has
    ended.
    """
    session.add_all(runs)
    session.flush()
    for (kind, status), number in Counter((run.kind, run.status) for run in runs).items():
        if status in ENDED:
            count_ended(session, kind, status, number)
    judged_runs: dict[tuple[int, str], list[Run]] = {}
    for run in runs:
        if run.judged:
            judged_runs.setdefault((run.monitor_id, run.kind), []).append(run)
    begun_folds = select(FoldState).where(
        FoldState.monitor_id.in_({monitor_id for monitor_id, _ in judged_runs}), FoldState.as_of.is_not(None)
    )
    for fold in session.scalars(begun_folds.options(defer(FoldState.state))):
        place: Any = (fold.as_of, fold.window_start, fold.look)
        behind = [
            run.id
            for run in judged_runs.get((fold.monitor_id, folds.BY_NAME[fold.kind].run_kind), [])
            if (run.as_of, run.window_start, run.look) < place
        ]
        if behind:
            fold.late = [*(fold.late or []), *behind]


def count_ended(session: Session, kind: str, status: str, number: int = 1) -> None:
    """Count runs that have ended. The row stays locked until the transaction ends: to be called at the end of long
    ones.
    """
    same_count = (RunCount.kind == kind, RunCount.status == status)
    counted = update(RunCount).where(*same_count).values(number=RunCount.number + number)
    if session.execute(counted).rowcount == 0:  # type: ignore[attr-defined]
        session.add(RunCount(kind=kind, status=status, number=number))
        session.flush()


def _of_window(monitor_id: int, kind: str, window: Window) -> ColumnElement[bool]:
    return and_(
        Run.monitor_id == monitor_id,
        Run.kind == kind,
        Run.window_start == window.start,
        Run.window_end == window.end,
    )


def release_waiting(session: Session, monitor_id: int, newest_event: datetime, now: datetime) -> None:
    """Runs that waited for their source may be claimed once it has passed their windows' ends."""
    waiting = (
        Run.monitor_id == monitor_id,
        Run.status == "pending",
        Run.reason == _WAITS,
        Run.window_end <= newest_event,
    )
    session.execute(update(Run).where(*waiting).values(available_at=now, reason=""))


def claim(
    session: Session,
    owner: str,
    lease: timedelta,
    now: datetime,
    *,
    alone: bool,
    only: list[int] | None = None,
    newest: bool = False,
    without: Sequence[int] = (),
) -> Run | None:
    """Claim the next due run under a lease by the database's clock.

    now: the service's clock. alone: whether the daemon has nothing in work. newest: the latest first, in place of the
    oldest. without: monitors whose source is read by as many as may.
    """
    query = (
        select(Run)
        .where(Run.status == "pending", Run.available_at <= now)
        .where(or_(Run.losses < LOSSES_UNTIL_ALONE, literal(alone)))
        .order_by(Run.losses, Run.as_of.desc() if newest else Run.as_of, Run.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if only is not None:
        query = query.where(Run.id.in_(only))
    if without:
        query = query.where(Run.monitor_id.not_in(without))
    run = session.scalar(query)
    if run is None:
        return None
    run.status, run.owner, run.claims = "running", owner, run.claims + 1
    run.lease_until = database_now(session) + lease
    run.started_at = now
    return run


def held(session: Session, claim: RunClaim) -> Run | None:
    """The run, locked, if this owner and attempt still hold it; None if another has taken it over."""
    run = session.get(Run, claim.run_id, with_for_update=True)
    if run is None or run.status != "running" or run.owner != claim.owner or run.claims != claim.attempt:
        return None
    return run


def already_stored(session: Session, claim: RunClaim) -> bool:
    """Whether this very attempt has finished the run: the answer to its COMMIT was lost."""
    run = session.get(Run, claim.run_id)
    return (
        run is not None
        and run.status in ("done", "failed")
        and run.owner == claim.owner
        and run.claims == claim.attempt
    )


def renew(session: Session, claims: list[RunClaim], lease: timedelta) -> list[RunClaim]:
    """Renew leases; returns those that are lost."""
    until = database_now(session) + lease
    lost = []
    for claim in claims:
        held_by = (
            Run.id == claim.run_id,
            Run.status == "running",
            Run.owner == claim.owner,
            Run.claims == claim.attempt,
        )
        if session.execute(update(Run).where(*held_by).values(lease_until=until)).rowcount == 0:  # type: ignore[attr-defined]
            lost.append(claim)
    return lost


def recover(session: Session, *, everything: bool, kept: Sequence[int] = ()) -> list[Run]:
    """Put runs back whose lease has run out, but for those `kept`, which are in work here (`everything`: any lease, as
    on SQLite when no other daemon lives). That alone: claiming decides who does them.
    """
    query = select(Run).where(Run.status == "running", Run.id.not_in(kept)).with_for_update(skip_locked=True)
    if not everything:
        query = query.where(Run.lease_until < database_now(session))
    back = list(session.scalars(query))
    for run in back:
        _put_back(run)
        if run.losses >= LOSSES_UNTIL_ALONE:
            run.failures += 1
        run.losses += 1
    return back


def _put_back(run: Run) -> None:
    run.status, run.owner, run.lease_until = "pending", "", None


def give_back(session: Session, owner: str, kept: Sequence[int] = ()) -> list[str]:
    """Put back, uncharged, the runs that a daemon holds and has not in work; their ids.

    `kept` are in work. The others are left from transactions whose answer was lost, or from a result that could not be
    stored.
    """
    held_by = (Run.status == "running", Run.owner == owner, Run.id.not_in(kept))
    back = list(session.scalars(select(Run).where(*held_by).with_for_update(skip_locked=True)))
    for run in back:
        _put_back(run)
    return [run.uuid for run in back]


def release(
    session: Session, claim: RunClaim, now: datetime, delay: timedelta = timedelta(0), reason: str = ""
) -> None:
    """Give a run back uncharged: the daemon stops, or the source is away."""
    run = held(session, claim)
    if run is not None:
        _put_back(run)
        run.reason, run.available_at = reason, now + delay


def fail(
    session: Session, claim: RunClaim, now: datetime, reason: str, max_attempts: int, delay: timedelta, *, final: bool
) -> str | None:
    """Count a failed attempt; the run's new status, None if it is held by another."""
    run = held(session, claim)
    if run is None:
        return None
    run.failures += 1
    run.losses, run.lease_until, run.reason = 0, None, reason
    if final or run.failures >= max_attempts:
        run.status, run.finished_at = "failed", now
        to_be_judged(session, run.monitor_id)
        count_ended(session, run.kind, run.status)
    else:
        run.status, run.owner = "pending", ""
        run.available_at = now + delay * 2 ** (run.failures - 1)
    return run.status


def planned_end(session: Session, monitor_id: int) -> datetime | None:
    """The end of the last planned window."""
    return session.scalar(
        select(func.max(Run.window_end)).where(Run.monitor_id == monitor_id, Run.kind == "data", Run.look == 0)
    )


def first_start(session: Session, monitor_id: int) -> datetime | None:
    """The start of the first planned window."""
    return session.scalar(select(func.min(Run.window_start)).where(Run.monitor_id == monitor_id, Run.kind == "data"))


def cancel(session: Session, monitor_id: int, reason: str, now: datetime) -> None:
    """Cancel what has not ended; a result that is on its way finds its run no longer its own."""
    values = {"status": "cancelled", "reason": reason, "finished_at": now, "lease_until": None, "owner": ""}
    for kind in KINDS:
        unfinished = (Run.monitor_id == monitor_id, Run.kind == kind, Run.status.in_(("pending", "running")))
        cancelled = session.execute(update(Run).where(*unfinished).values(**values)).rowcount  # type: ignore[attr-defined]
        if cancelled:
            count_ended(session, kind, "cancelled", cancelled)


def carry(session: Session, monitor_id: int, configuration_id: int) -> None:
    """Let the runs that have no result yet go by a version of the configuration."""
    pending = (Run.monitor_id == monitor_id, Run.status == "pending")
    session.execute(update(Run).where(*pending).values(configuration_id=configuration_id))


def next_look(session: Session, monitor_id: int, kind: str, window: Window) -> int:
    """The number of the next look by hand at a window: 6 the first, for adhoc runs 0."""
    highest = session.scalar(select(func.max(Run.look)).where(_of_window(monitor_id, kind, window)))
    if kind == "adhoc":
        return 0 if highest is None else highest + 1
    return max(FIRST_BY_HAND, (highest or 0) + 1)


def look_zero(session: Session, monitor_id: int, kind: str, window: Window) -> Run | None:
    """The first look at a window."""
    return session.scalar(select(Run).where(_of_window(monitor_id, kind, window), Run.look == 0))


def data_run_of(session: Session, run: Run) -> Run | None:
    """The current data run of a run's window; the run itself where it is no performance run."""
    if run.kind != "performance":
        return run
    first = look_zero(session, run.monitor_id, "data", run.window)
    return None if first is None else current(session, first)


def look_zeros(session: Session, monitor_id: int, span: Window) -> list[Run]:
    """The first looks at all windows within a span, oldest first."""
    query = select(Run).where(
        Run.monitor_id == monitor_id,
        Run.kind.in_(("data", "performance")),
        Run.look == 0,
        Run.window_start >= span.start,
        Run.window_end <= span.end,
    )
    return list(session.scalars(query.order_by(Run.window_start, Run.kind)))


def data_runs_between(session: Session, monitor_id: int, start: datetime, end: datetime) -> list[Run]:
    """The first data runs of the windows that begin within a time, newest first; those that were left out are not among
    them.
    """
    query = select(Run).where(
        Run.monitor_id == monitor_id,
        Run.kind == "data",
        Run.look == 0,
        Run.window_start >= start,
        Run.window_start < end,
        Run.status.not_in(("skipped", "cancelled")),
    )
    return list(session.scalars(query.order_by(Run.window_start.desc())))


def data_runs_at(session: Session, monitor_id: int, starts: Collection[datetime]) -> list[Run]:
    """The first data runs of the windows that begin at these times; those that were left out are not among them."""
    query = select(Run).where(
        Run.monitor_id == monitor_id,
        Run.kind == "data",
        Run.look == 0,
        Run.window_start.in_(starts),
        Run.status.not_in(("skipped", "cancelled")),
    )
    return list(session.scalars(query))


def current(session: Session, run: Run) -> Run:
    """The newest planned look at a run's window that is done; the run itself if none is."""
    query = select(Run).where(_of_window(run.monitor_id, run.kind, run.window), Run.status == "done")
    return session.scalar(query.order_by(Run.as_of.desc(), Run.look.desc()).limit(1)) or run


Place = tuple[datetime, datetime, int]


def to_judge(
    session: Session, monitor_id: int, kind: str, after: Place | None, until: datetime, limit: int
) -> list[Run]:
    """The next runs in the order of judging (`as_of`, window start, look), later than `after`, with `as_of` no later
    than `until`.
    """
    query = select(Run).where(Run.monitor_id == monitor_id, Run.kind == kind, Run.as_of <= until)
    if after is not None:
        as_of, start, look = after
        later = or_(
            Run.as_of > as_of,
            (Run.as_of == as_of) & or_(Run.window_start > start, (Run.window_start == start) & (Run.look > look)),
        )
        query = query.where(Run.as_of >= as_of, later)
    return list(session.scalars(query.order_by(Run.as_of, Run.window_start, Run.look).limit(limit)))


def judged_history(session: Session, monitor_id: int, kind: str, start: datetime | None, until: Place) -> list[Run]:
    """The current look of every window from `start` on: of the judged runs that are done, up to a place in the order of
    judging, the one with the greatest (`as_of`, look).
    """
    query = select(Run).where(
        Run.monitor_id == monitor_id, Run.kind == kind, Run.status == "done", Run.judged, Run.as_of <= until[0]
    )
    if start is not None:
        query = query.where(Run.window_start >= start)
    current: dict[Window, Run] = {}
    for run in session.scalars(query.order_by(Run.as_of, Run.window_start, Run.look)):
        if (run.as_of, run.window_start, run.look) <= until:
            current[run.window] = run
    return list(current.values())


def finished_between(session: Session, start: datetime, end: datetime) -> dict[str, int]:
    """How many runs ended from `start` until `end`, by status."""
    query = select(Run.status, func.count()).where(Run.finished_at >= start, Run.finished_at < end).group_by(Run.status)
    return {str(row[0]): int(row[1]) for row in session.execute(query)}


def latest_of_window_until(session: Session, like: Run, end: datetime) -> Run | None:
    """The current done run of the same monitor and kind whose window ends then."""
    query = select(Run).where(
        Run.monitor_id == like.monitor_id, Run.kind == like.kind, Run.window_end == end, Run.status == "done"
    )
    return session.scalar(query.order_by(Run.as_of.desc(), Run.look.desc()).limit(1))


def last_window_before(session: Session, monitor_id: int, moment: datetime) -> datetime | None:
    """The end of the last window before a time in which no finding of any run pages."""
    paged = select(Run.window_start).where(
        Run.monitor_id == monitor_id, Run.status == "done", Run.severity.in_(("warning", "critical"))
    )
    query = select(func.max(Run.window_end)).where(
        Run.monitor_id == monitor_id,
        Run.kind == "data",
        Run.status == "done",
        Run.window_end <= moment,
        Run.window_start.not_in(paged),
    )
    return session.scalar(query)


def rows_since(session: Session, monitor_id: int, moment: datetime) -> int:
    """How many predictions were logged in windows that start at a time or later."""
    query = select(func.sum(Run.rows)).where(
        Run.monitor_id == monitor_id,
        Run.kind == "data",
        Run.look == 0,
        Run.status == "done",
        Run.window_start >= moment,
    )
    return int(session.scalar(query) or 0)


def labelled_since(session: Session, monitor_id: int, moment: datetime | None) -> int:
    """How many labelled rows of windows that start at a time or later performance runs have seen: the most of each
    window's looks.
    """
    labelled = select(func.max(Run.labelled).label("labelled")).where(
        Run.monitor_id == monitor_id, Run.kind == "performance", Run.status == "done"
    )
    if moment is not None:
        labelled = labelled.where(Run.window_start >= moment)
    windows = labelled.group_by(Run.window_start, Run.window_end).subquery()
    return int(session.scalar(select(func.sum(windows.c.labelled))) or 0)


def unfinished(session: Session, monitor_id: int | None = None) -> int:
    """How many runs are pending or running."""
    query = select(func.count()).select_from(Run).where(Run.status.in_(("pending", "running")))
    if monitor_id is not None:
        query = query.where(Run.monitor_id == monitor_id)
    return session.scalar(query) or 0


def next_available(session: Session, *, retries: bool = False, without: Collection[int] = ()) -> datetime | None:
    """When the next pending run may be tried; of those that failed before only, if wanted. without: monitors that are
    left out.
    """
    query = select(func.min(Run.available_at)).where(Run.status == "pending", Run.monitor_id.not_in(without))
    return session.scalar(query.where(Run.failures > 0) if retries else query)


def oldest_waiting(session: Session) -> datetime | None:
    """Since when the run that has waited longest might have been claimed; those that wait for their source or after a
    failure aside.
    """
    query = select(func.min(Run.available_at)).where(Run.status == "pending", Run.reason == "")
    return session.scalar(query)


def last_finished(session: Session) -> datetime | None:
    """When the last run of all ended."""
    return max(
        (
            moment
            for monitor_id in session.scalars(select(MonitorRow.id))
            for status in ("done", "failed")
            if (
                moment := session.scalar(
                    select(func.max(Run.finished_at)).where(Run.monitor_id == monitor_id, Run.status == status)
                )
            )
        ),
        default=None,
    )


class ReadingCost(NamedTuple):
    """What runs have read, and how many seconds it took."""

    seconds: float
    rows: int
    size: int


def reading(session: Session, monitor_id: int, since: datetime) -> ReadingCost:
    """What a monitor's runs have read since a time."""
    query = select(func.sum(Run.read_seconds), func.sum(Run.read_rows), func.sum(Run.read_bytes)).where(
        Run.monitor_id == monitor_id, Run.status == "done", Run.finished_at >= since
    )
    seconds, rows, size = session.execute(query).one()
    return ReadingCost(float(seconds or 0), int(rows or 0), int(size or 0))


def in_work(session: Session) -> list[int]:
    """The monitors whose runs are in work, once for each run."""
    return list(session.scalars(select(Run.monitor_id).where(Run.status == "running")))


def of_window(session: Session, run: Run) -> list[Run]:
    """All runs of a run's window, of each kind the first look first."""
    query = select(Run).where(
        Run.monitor_id == run.monitor_id, Run.window_start == run.window_start, Run.window_end == run.window_end
    )
    return list(session.scalars(query.order_by(Run.kind, Run.as_of, Run.look)))


def find(session: Session, id_start: str) -> list[Run]:
    """Runs whose id begins so."""
    return list(session.scalars(select(Run).where(begins(Run.uuid, id_start)).limit(3)))


def listed(session: Session, monitor_id: int | None, status: str | None, limit: int) -> list[tuple[Run, str]]:
    """The latest runs with their monitors' names, newest first."""
    query = select(Run, MonitorRow.name).join(MonitorRow, MonitorRow.id == Run.monitor_id)
    if monitor_id is not None:
        query = query.where(Run.monitor_id == monitor_id)
    if status is not None:
        query = query.where(Run.status == status)
    rows = session.execute(query.order_by(Run.as_of.desc(), Run.id.desc()).limit(limit))
    return [(run, name) for run, name in rows]


def counts_by_status(session: Session) -> dict[int, dict[str, int]]:
    """How many runs of each status each monitor has."""
    result: dict[int, dict[str, int]] = {}
    for monitor_id, status, number in session.execute(
        select(Run.monitor_id, Run.status, func.count()).group_by(Run.monitor_id, Run.status)
    ):
        result.setdefault(monitor_id, {})[status] = number
    return result


def latest_done(session: Session, monitor_id: int, kind: str) -> Run | None:
    """The latest run of a kind that is done."""
    return session.scalar(
        select(Run)
        .where(Run.monitor_id == monitor_id, Run.kind == kind, Run.status == "done")
        .order_by(Run.window_start.desc(), Run.as_of.desc())
        .limit(1)
    )


def last_windows(session: Session, monitor_id: int, number: int) -> list[Run]:
    """The current data runs of the last windows that were evaluated, the newest first."""
    query = select(Run).where(Run.monitor_id == monitor_id, Run.kind == "data", Run.status == "done", Run.look == 0)
    return [current(session, run) for run in session.scalars(query.order_by(Run.window_start.desc()).limit(number))]


def with_failed(session: Session) -> set[int]:
    """The monitors that have a failed run."""
    return set(session.scalars(select(Run.monitor_id).where(Run.status == "failed").distinct()))


def last_finished_of(session: Session, monitor_ids: list[int]) -> dict[int, datetime | None]:
    """When the last run of each monitor ended well."""
    query = select(Run.monitor_id, func.max(Run.finished_at)).where(
        Run.monitor_id.in_(monitor_ids), Run.status == "done"
    )
    return dict(session.execute(query.group_by(Run.monitor_id)).tuples().all())


def last_ended(session: Session, monitor_id: int) -> Run | None:
    """The planned run that ended last, done or failed."""
    ended = []
    for status in ("done", "failed"):
        query = select(Run).where(Run.monitor_id == monitor_id, Run.status == status, Run.kind != "adhoc")
        ended += list(session.scalars(query.order_by(Run.finished_at.desc(), Run.id.desc()).limit(1)))
    return max(ended, key=lambda run: (run.finished_at or run.planned_at, run.id), default=None)


def open_among(session: Session, ids: list[int]) -> int:
    """How many of these runs are pending or running."""
    return (
        session.scalar(
            select(func.count()).select_from(Run).where(Run.id.in_(ids), Run.status.in_(("pending", "running")))
        )
        or 0
    )


def judged_among(session: Session, ids: list[int]) -> int:
    """How many of these runs are of a kind that is judged."""
    return session.scalar(select(func.count()).select_from(Run).where(Run.id.in_(ids), Run.kind != "adhoc")) or 0
