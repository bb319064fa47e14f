"""Judging: a pure fold over a monitor's results of one kind. No clock, no database, no channel.

A result is bad (a finding of the kind pages), good (none does, some check could be made, and so could each check that
opened the alert and is still asked), or none. Bad ones count towards `for`, good ones towards `keep_firing_for`;
windows that overlap count once.
A loss that an estimate shows in several windows, in each too uncertain to page, is certain by all of them together:
such a result is bad, too. Where `keep_firing_for` is not written, an alert resolves once so many good windows in a row
are unlikely by chance, had the spell of bad windows gone on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from monitor.domain import phrases
from monitor.domain.checks import CheckKey, Severity
from monitor.domain.grid import Window

# Good windows that resolve an alert by themselves, at least; and how likely so many in a row may be by chance while a
# spell goes on.
_FEWEST_GOOD, _CHANCE = 2, 1 / 50
# Bad and good windows that a spell is credited with before any is seen: most spells have hardly a good one.
_BAD_BEFORE, _GOOD_BEFORE = 2.0, 0.25
# Losses that are uncertain add up to a certain one where a model as good as ever would bring so much evidence in one of
# a hundred windows (natural logarithm). Before any window is seen, so many are assumed to be as uncertain as they say.
_CERTAIN, _PRIOR_WINDOWS, _FARTHEST = math.log(100), 10, 3.0
# A spell is forgotten after so many times the good windows that resolve its alert.
_FORGOTTEN = 3

EventKind = Literal["pending", "firing", "escalated", "resolved", "cleared", "downgraded", "retracted"]


@dataclass(frozen=True)
class Rule:
    """How many disjoint windows make an alert fire and resolve (None: learnt from the spell); how many in a row propose
    a retraining (0: never).
    """

    for_windows: int = 1
    keep_firing_for: int | None = 2
    retrain_for: int = 0


@dataclass(frozen=True)
class EstimatedLoss:
    """What an estimate says of the loss of a metric. z: in standard errors, against a model as good as on the
    reference. beyond: how far it lies beyond the harm that counts, in standard errors; negative within it.
    """

    metric: str
    z: float
    beyond: float


@dataclass(frozen=True)
class Result:
    """What judging takes of a finished run, for one kind of alert.

    bad: a finding of this kind pages. asked: the checks of this kind, whatever their
    verdicts. made: those that could be made. paging: those that page. columns: the columns named by what pages, worst
    first. rule, epoch: of the configuration that the run carries; where the epoch changes the counts start again.
    retrains: bad enough to count towards a retraining. estimate: of the model's performance, where it was told.
    """

    run: str
    window: Window
    look: int
    as_of: datetime
    bad: bool
    asked: frozenset[CheckKey] = frozenset()
    made: frozenset[CheckKey] = frozenset()
    paging: tuple[CheckKey, ...] = ()
    columns: tuple[str, ...] = ()
    severity: str = Severity.NONE.value
    summary: str = ""
    rule: Rule = Rule()
    epoch: str = ""
    retrains: bool = False
    estimate: EstimatedLoss | None = None


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
class AccumulatedEvidence:
    """What estimates say of a loss over windows. evidence: of one, in so many `losing` windows (logarithm of an
    e-value), which lie `beyond` the harm in sum.

    until: the end of the last window that was weighed, in ISO form. told, squares: how many windows had an estimate,
        and the sum of their squared z.
    """

    evidence: float = 0.0
    losing: int = 0
    beyond: float = 0.0
    until: str = ""
    told: int = 0
    squares: float = 0.0


@dataclass(frozen=True)
class State:
    """Where the fold stands after some results. `phase` is idle, pending or firing.

    first_window and opened_as_of are the alert's identity, as it stood when it was opened; since is its first bad
    window as it is known now. spell_bad, spell_good: disjoint bad windows of the spell, and good ones between them;
    quiet: good ones since its last bad one. A spell may outlast an alert.
    weighed: the evidence of a loss over windows, by estimates.
    """

    phase: str = "idle"
    first_window: datetime | None = None
    opened_as_of: datetime | None = None
    since: datetime | None = None
    bad: int = 0
    good: int = 0
    bad_windows: int = 0
    counted_until: datetime | None = None
    severity: str = Severity.NONE.value
    opened_by: tuple[CheckKey, ...] = ()
    columns: tuple[str, ...] = ()
    summary: str = ""
    retrain: int = 0
    retrain_until: datetime | None = None
    epoch: str = ""
    spell_bad: int = 0
    spell_good: int = 0
    quiet: int = 0
    weighed: AccumulatedEvidence = AccumulatedEvidence()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = asdict(self) | {"opened_by": [key.to_list() for key in self.opened_by]}
        return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> State:
        """The inverse of `to_dict`."""
        times = ("first_window", "opened_as_of", "since", "counted_until", "retrain_until")
        plain: dict[str, Any] = {
            key: datetime.fromisoformat(value) if key in times and value else value for key, value in values.items()
        }
        plain["opened_by"] = tuple(map(CheckKey.of, values.get("opened_by", ())))
        plain["columns"] = tuple(values.get("columns", ()))
        plain["weighed"] = AccumulatedEvidence(**values.get("weighed", {}))
        return cls(**plain)


@dataclass(frozen=True)
class Step:
    """What one result changes: the next state, the events, and whether a retraining is proposed."""

    state: State
    events: tuple[Event, ...] = ()
    proposes: bool = False


@dataclass(frozen=True)
class Incident:
    """One alert of a whole history. `resolved` is the result that ended it, None while it goes on."""

    first_window: datetime
    opened_as_of: datetime
    since: datetime
    until: datetime
    severity: str
    columns: tuple[str, ...]
    bad_windows: int
    summary: str
    resolved: Result | None = None


def step(state: State, result: Result) -> Step:
    """Take one more result, of a window no earlier than those before it."""
    if result.epoch != state.epoch:
        state = replace(
            state,
            epoch=result.epoch,
            bad=0,
            good=0,
            counted_until=None,
            retrain=0,
            retrain_until=None,
            spell_bad=0,
            spell_good=0,
            quiet=0,
            weighed=AccumulatedEvidence(),
        )
    if result.estimate is not None:
        state, result = _weighed(state, result, result.estimate)
    if result.bad:
        return _bad(state, result)
    if _is_good(state, result):
        return _good(state, result)
    return Step(state)


def _weighed(state: State, result: Result, estimate: EstimatedLoss) -> tuple[State, Result]:
    """The state with what an estimate adds to the evidence of a loss, and the result, which is bad where that is
    certain.

    A sequential test by a likelihood ratio that begins anew where it speaks for a model as good as ever (Page, 1954):
    of a loss of one standard error against none. How uncertain estimates are is learnt from those of all windows that
    did not page.
    """
    weighed = state.weighed
    if _new_window(datetime.fromisoformat(weighed.until) if weighed.until else None, result):
        spread = max(((_PRIOR_WINDOWS + weighed.squares) / (_PRIOR_WINDOWS + weighed.told)) ** 0.5, 1.0)
        evidence = weighed.evidence + estimate.z / spread - 0.5
        goes_on = evidence > 0
        seen = 0 if result.bad else 1
        weighed = AccumulatedEvidence(
            evidence=min(evidence, 2 * _CERTAIN) if goes_on else 0.0,
            losing=weighed.losing + 1 if goes_on else 0,
            beyond=weighed.beyond + estimate.beyond if goes_on else 0.0,
            until=result.window.end.isoformat(),
            told=weighed.told + seen,
            squares=weighed.squares + seen * min(abs(estimate.z), _FARTHEST) ** 2,
        )
        state = replace(state, weighed=weighed)
    if result.bad or weighed.losing < 2 or weighed.evidence < _CERTAIN or weighed.beyond <= 0:
        return state, result
    text = phrases.sentence(phrases.worse_together(estimate.metric, weighed.losing))
    return state, replace(result, bad=True, severity=Severity.WARNING.value, summary=text)


def _is_good(state: State, result: Result) -> bool:
    """What is not asked any more (a segment that the new reference has not, a check that is configured no longer) holds
    no alert open.
    """
    return bool(result.made) and set(state.opened_by) & result.asked <= result.made


def _new_window(until: datetime | None, result: Result) -> bool:
    return until is None or result.window.start >= until


def _bad(state: State, result: Result) -> Step:
    rule, opens = result.rule, state.phase == "idle"
    counts = _new_window(state.counted_until, result)
    if opens:
        state = replace(
            state,
            phase="pending",
            first_window=result.window.start,
            opened_as_of=result.as_of,
            since=result.window.start,
            bad=0,
            bad_windows=0,
            severity="none",
            opened_by=(),
            columns=(),
        )
        counts = True
    worst = max(Severity(state.severity), Severity(result.severity))
    rises = worst > state.severity
    retrains = result.retrains and (_new_window(state.retrain_until, result) or state.retrain == 0)
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
        retrain=state.retrain + 1 if retrains else state.retrain if result.retrains else 0,
        retrain_until=result.window.end if retrains else state.retrain_until,
        spell_bad=state.spell_bad + counts,
        spell_good=state.spell_good + state.quiet,
        quiet=0,
    )
    events: tuple[Event, ...] = ()
    if state.phase == "pending":
        if after.bad >= rule.for_windows:
            after = replace(after, phase="firing")
            events = (_event("firing", after, result),)
        elif opens:
            events = (_event("pending", after, result),)
    elif rises:
        events = (_event("escalated", after, result),)
    proposes = rule.retrain_for > 0 and after.retrain >= rule.retrain_for and retrains
    return Step(after, events, proposes)


def _good(state: State, result: Result) -> Step:
    rule = result.rule
    state = replace(state, retrain=0, retrain_until=None)
    counts = (state.phase == "firing" and state.good == 0) or _new_window(state.counted_until, result)
    if counts and (state.spell_bad or state.phase != "idle"):
        state = replace(state, counted_until=result.window.end, quiet=state.quiet + 1)
    if state.phase == "idle":
        forgotten = state.quiet > _FORGOTTEN * _good_ones_needed(state)
        return Step(State(epoch=state.epoch, weighed=state.weighed) if forgotten else state)
    if state.phase == "pending":
        return Step(_idle(state), (_event("cleared", state, result),))
    after = replace(state, bad=0, good=state.good + counts)
    needed = _good_ones_needed(after) if rule.keep_firing_for is None else rule.keep_firing_for
    if after.good >= needed:
        return Step(_idle(after), (_event("resolved", after, result),))
    return Step(after)


def _good_ones_needed(state: State) -> int:
    """How many good windows in a row tell the end of a spell: so many that they would hardly come by chance if windows
    stayed bad as often as they were in it.
    """
    bad, good = state.spell_bad + _BAD_BEFORE, state.spell_good + _GOOD_BEFORE
    return max(_FEWEST_GOOD, math.ceil(math.log(_CHANCE) / math.log(good / (bad + good))))


def _idle(state: State) -> State:
    """No alert any more, but the spell is remembered."""
    return State(
        epoch=state.epoch,
        counted_until=state.counted_until,
        spell_bad=state.spell_bad,
        spell_good=state.spell_good,
        quiet=state.quiet,
        weighed=state.weighed,
    )


def _event(kind: EventKind, state: State, result: Result) -> Event:
    assert state.first_window is not None
    assert state.opened_as_of is not None
    return Event(
        kind,
        state.first_window,
        state.opened_as_of,
        result,
        state.severity,
        state.since or state.first_window,
        state.columns,
        state.bad_windows,
        state.summary,
    )


@dataclass(frozen=True)
class FoldedHistory:
    """A history folded: the state at its end, the state before each of its windows, the incidents in it (those that
    never fired left out), and the results that propose a retraining, each with the state after it."""

    state: State
    before: list[tuple[Window, State]]
    incidents: list[Incident]
    proposing: list[tuple[Result, State]]


def fold(results: Iterable[Result], state: State | None = None) -> FoldedHistory:
    """Fold current results, one a window, in the order of their windows, on from a state."""
    history = FoldedHistory(state or State(), [], [], [])
    state, last = history.state, None
    for result in sorted(results, key=attrgetter("window.start", "window.end")):
        history.before.append((result.window, state))
        taken, before, last = step(state, result), state, result
        state = taken.state
        if any(event.kind == "resolved" for event in taken.events):
            history.incidents.append(_incident(before, result, resolved=True))
        if taken.proposes:
            history.proposing.append((result, state))
    if state.phase == "firing" and last is not None:
        history.incidents.append(_incident(state, last, resolved=False))
    return replace(history, state=state)


def _incident(state: State, result: Result, *, resolved: bool) -> Incident:
    assert state.first_window is not None
    assert state.opened_as_of is not None
    return Incident(
        state.first_window,
        state.opened_as_of,
        state.since or state.first_window,
        result.window.end,
        state.severity,
        state.columns,
        state.bad_windows,
        state.summary,
        result if resolved else None,
    )


@dataclass(frozen=True)
class StoredAlert:
    """An alert as it is stored: its identity, its span so far and how it stands."""

    first_window: datetime
    opened_as_of: datetime
    since: datetime
    until: datetime
    state: str
    severity: str


class AlertChange(NamedTuple):
    """What becomes of an alert when a history is folded again. alert: None for a new one. incident: None for an alert
    that is retracted.
    """

    alert: StoredAlert | None
    incident: Incident | None
    events: tuple[EventKind, ...]


def reconcile(alerts: Sequence[StoredAlert], incidents: Sequence[Incident]) -> list[AlertChange]:
    """Match a refolded history with the alerts that have fired.

    An incident that overlaps such alerts is the oldest of them; one that overlaps none is new; an alert that is no
    incident any more is retracted.
    """
    changes: list[AlertChange] = []
    free = sorted(alerts, key=lambda alert: alert.first_window)
    for incident in incidents:
        matching = next((alert for alert in free if _overlap(alert, incident)), None)
        if matching is not None:
            free.remove(matching)
        changes.append(AlertChange(matching, incident, _events(matching, incident)))
    return changes + [AlertChange(alert, None, ("retracted",)) for alert in free if alert.state != "retracted"]


def _events(alert: StoredAlert | None, incident: Incident) -> tuple[EventKind, ...]:
    """What happens to an alert (None: a new one) when it is found to be this incident."""
    ended: tuple[EventKind, ...] = ("resolved",) if incident.resolved is not None else ()
    if alert is None or alert.state == "retracted":
        return ("firing", *ended)
    if alert.state == "resolved" and not ended:
        return ("firing",)
    if alert.state == "firing" and ended:
        return ended
    if incident.severity == alert.severity:
        return ()
    return ("downgraded" if Severity(incident.severity) < alert.severity else "escalated",)


def _overlap(alert: StoredAlert, incident: Incident) -> bool:
    return alert.since < incident.until and incident.since < alert.until
