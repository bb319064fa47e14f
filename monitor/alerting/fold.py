"""Judging: a pure fold over a monitor's results of one kind. No clock, no database, no channel.

A result is bad (a finding of the kind pages), good (none does, and what opened the alert could be asked again), or
none. Bad ones count towards `for`, good ones towards `keep_firing_for`; windows that overlap count once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from monitor.domain.checks import Severity
from monitor.domain.grid import Window

EventKind = Literal["pending", "firing", "escalated", "resolved", "cleared", "downgraded", "retracted"]


@dataclass(frozen=True)
class Result:
    """What judging takes of a finished run, for one kind of alert.

    bad: a finding of this kind pages. made: the checks of this kind that could be made, as `metric|column|segment`.
    paging: those that page. columns: the columns named by what pages, worst first.
    """

    run: str
    window: Window
    look: int
    as_of: datetime
    bad: bool
    made: frozenset[str] = frozenset()
    paging: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    severity: str = Severity.NONE.value
    summary: str = ""

    @property
    def order(self) -> tuple[datetime, datetime, int]:
        """The order in which results are judged."""
        return (self.as_of, self.window.start, self.look)


@dataclass(frozen=True)
class Rule:
    """How many disjoint windows make an alert fire and resolve; how many in a row propose a retraining (0: never)."""

    for_windows: int = 1
    keep_firing_for: int = 2
    retrain_for: int = 0


@dataclass(frozen=True)
class Event:
    """A change of an alert, at the `as_of` of the result that made it."""

    kind: EventKind
    first_window: datetime
    opened_as_of: datetime
    result: Result
    severity: str
    since: datetime
    columns: tuple[str, ...]
    bad_windows: int
    summary: str


@dataclass(frozen=True)
class State:
    """Where the fold stands after some results. `phase` is idle, pending or firing."""

    phase: str = "idle"
    first_window: datetime | None = None
    opened_as_of: datetime | None = None
    bad: int = 0
    good: int = 0
    bad_windows: int = 0
    counted_until: datetime | None = None
    severity: str = Severity.NONE.value
    opened_by: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    summary: str = ""
    retrain: int = 0
    retrain_until: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> State:
        """The inverse of `to_dict`."""
        times = ("first_window", "opened_as_of", "counted_until", "retrain_until")
        lists = ("opened_by", "columns")
        plain: dict[str, Any] = {
            key: datetime.fromisoformat(value) if key in times and value else tuple(value) if key in lists else value
            for key, value in values.items()
        }
        return cls(**plain)


@dataclass(frozen=True)
class Step:
    """What one result changes: the next state, the events, and whether a retraining is proposed."""

    state: State
    events: tuple[Event, ...] = ()
    proposes: bool = False


@dataclass(frozen=True)
class Incident:
    """One alert as a whole history tells it; `resolved` is the result that ended it, None while it goes on."""

    first_window: datetime
    opened_as_of: datetime
    fired: bool
    until: datetime
    severity: str
    columns: tuple[str, ...]
    bad_windows: int
    summary: str
    resolved: Result | None = None


def step(state: State, result: Result, rule: Rule) -> Step:
    """Take one more result, of a window no earlier than those before it."""
    if result.bad:
        return _bad(state, result, rule)
    if _is_good(state, result):
        return _good(state, result, rule)
    return Step(state)


def _is_good(state: State, result: Result) -> bool:
    return bool(result.made) and set(state.opened_by) <= result.made


def _new_window(until: datetime | None, result: Result) -> bool:
    return until is None or result.window.start >= until


def _bad(state: State, result: Result, rule: Rule) -> Step:
    counts = _new_window(state.counted_until, result)
    if state.phase == "idle":
        state = replace(
            state,
            phase="pending",
            first_window=result.window.start,
            opened_as_of=result.as_of,
            bad=0,
            bad_windows=0,
            severity="none",
            opened_by=(),
            columns=(),
        )
        counts = True
    worst = max(Severity(state.severity), Severity(result.severity))
    rises = worst > state.severity
    retrains = _new_window(state.retrain_until, result) or state.retrain == 0
    after = replace(
        state,
        bad=state.bad + 1 if counts else max(state.bad, 1),
        bad_windows=state.bad_windows + 1,
        good=0,
        counted_until=result.window.end if counts else state.counted_until,
        severity=worst.value,
        opened_by=tuple(dict.fromkeys([*state.opened_by, *result.paging]))
        if state.phase == "pending"
        else state.opened_by,
        columns=tuple(dict.fromkeys([*result.columns, *state.columns])),
        summary=result.summary,
        retrain=state.retrain + 1 if retrains else state.retrain,
        retrain_until=result.window.end if retrains else state.retrain_until,
    )
    events: tuple[Event, ...] = ()
    if state.phase == "pending":
        if after.bad >= rule.for_windows:
            after = replace(after, phase="firing")
            events = (_event("firing", after, result),)
        elif state.bad == 0:
            events = (_event("pending", after, result),)
    elif rises:
        events = (_event("escalated", after, result),)
    proposes = rule.retrain_for > 0 and after.retrain >= rule.retrain_for and retrains
    return Step(after, events, proposes)


def _good(state: State, result: Result, rule: Rule) -> Step:
    state = replace(state, retrain=0, retrain_until=None)
    if state.phase == "idle":
        return Step(state)
    if state.phase == "pending":
        return Step(State(), (_event("cleared", state, result),))
    first = state.good == 0
    counts = first or _new_window(state.counted_until, result)
    after = replace(
        state,
        bad=0,
        good=state.good + 1 if counts else state.good,
        counted_until=result.window.end if counts else state.counted_until,
    )
    if after.good >= rule.keep_firing_for:
        return Step(State(), (_event("resolved", after, result),))
    return Step(after)


def _event(kind: EventKind, state: State, result: Result) -> Event:
    assert state.first_window is not None
    assert state.opened_as_of is not None
    return Event(
        kind,
        state.first_window,
        state.opened_as_of,
        result,
        state.severity,
        state.first_window,
        state.columns,
        state.bad_windows,
        state.summary,
    )


@dataclass(frozen=True)
class History:
    """A whole history folded: the state at its end and the incidents in it, those that never fired left out."""

    state: State
    incidents: list[Incident] = field(default_factory=list)


def fold(results: Iterable[Result], rule: Rule) -> History:
    """Fold a history of current results, in the order of their windows."""
    state = State()
    incidents: list[Incident] = []
    last: Result | None = None
    for result in sorted(results, key=lambda each: (each.window.start, each.window.end)):
        before = state
        taken = step(state, result, rule)
        state, last = taken.state, result
        for event in taken.events:
            if event.kind == "resolved":
                incidents.append(_incident(replace(before, good=0), result, resolved=True))
    if state.phase == "firing" and last is not None:
        incidents.append(_incident(state, last, resolved=False))
    return History(state, incidents)


def _incident(state: State, result: Result, *, resolved: bool) -> Incident:
    assert state.first_window is not None
    assert state.opened_as_of is not None
    return Incident(
        state.first_window, state.opened_as_of, True, result.window.end, state.severity, state.columns, state.bad_windows, state.summary,
        result if resolved else None,
    )  # fmt: skip


@dataclass(frozen=True)
class Known:
    """An alert as it is stored: its identity, its span so far and how it stands."""

    first_window: datetime
    opened_as_of: datetime
    since: datetime
    until: datetime
    state: str
    severity: str


def reconcile(
    known: Sequence[Known], incidents: Sequence[Incident]
) -> list[tuple[Known | None, Incident | None, EventKind]]:
    """Match a refolded history with the alerts that have fired.

    An incident that overlaps such alerts is the oldest of them; one that overlaps none is new; an alert that no incident
    overlaps is retracted. Returns what changed: the alert (None: new), the incident (None: retracted), the event.
    """
    changes: list[tuple[Known | None, Incident | None, EventKind]] = []
    overlapped: list[Known] = []
    for incident in incidents:
        same = sorted((each for each in known if _overlap(each, incident)), key=lambda each: each.first_window)
        overlapped += same
        if not same:
            changes.append((None, incident, "firing"))
            if incident.resolved is not None:
                changes.append((None, incident, "resolved"))
            continue
        oldest = same[0]
        if incident.resolved is None and oldest.state != "firing":
            changes.append((oldest, incident, "firing"))
        elif incident.resolved is not None and oldest.state == "firing":
            changes.append((oldest, incident, "resolved"))
        elif Severity(incident.severity) != oldest.severity:
            changes.append(
                (oldest, incident, "downgraded" if Severity(incident.severity) < oldest.severity else "escalated")
            )
    changes += [(each, None, "retracted") for each in known if each not in overlapped and each.state != "retracted"]
    return changes


def _overlap(alert: Known, incident: Incident) -> bool:
    return alert.since < incident.until and incident.first_window < alert.until
