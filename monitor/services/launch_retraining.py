"""Launch: a request is written down as `dispatching`, then tried; its outcome ends it, and promotes the new
reference.
"""

from __future__ import annotations

import hmac
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session
from structlog import get_logger

from monitor.config.model import (
    AirflowLauncher,
    CommandLauncher,
    DatabricksLauncher,
    GitHubLauncher,
    PythonLauncher,
    WebhookLauncher,
)
from monitor.config.secrets import expand
from monitor.domain.clock import ReplayClock
from monitor.domain.grid import Window
from monitor.errors import DatabaseUnreachableError, DeliveryError, MonitorError, UsageError
from monitor.retraining.launchers import command, open_remote, python, webhook
from monitor.retraining.launchers.remote import follow
from monitor.retraining.request import LaunchError, TrainingOutcome
from monitor.services import follow_up
from monitor.services.context import Context
from monitor.services.money import MoneyLost, lost_since
from monitor.services.specs import COMPARE, FIT_REFERENCE, Compared, ComparisonSpec, FittedReference, ReferenceSpec
from monitor.services.workers import WorkerPool
from monitor.sources.spec import Place
from monitor.storage import annotation, people, references, results, retraining, runs
from monitor.storage.database import locked
from monitor.storage.tables import MonitorRow, RetrainingRequest

log = get_logger()
CALLBACK = "monc_"  # how callback tokens begin


@dataclass
class Launcher:
    """Starts trainings on threads of their own and ends their requests."""

    context: Context
    workers: WorkerPool
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4, thread_name_prefix="launch"))
    _running: dict[int, Future[None]] = field(default_factory=dict)
    # By request: the attempt of each that this daemon has claimed and not ended, and how its training ended until that
    # is written down.
    _claimed: dict[int, int] = field(default_factory=dict)
    _outcomes: dict[int, TrainingOutcome] = field(default_factory=dict)
    _elsewhere: set[int] = field(default_factory=set)

    def launch(self) -> int:
        """Start every open request, and go on with those that the database kept from going on; how many were
        started.
        """
        self._running = {key: future for key, future in self._running.items() if not future.done()}
        waiting = self.context.database.read(
            lambda session: [request.id for request in retraining.in_state(session, "open")]
        )
        started = 0
        for request_id in waiting:
            if self.context.stopping.is_set():
                break
            attempt = self.context.database.transact(self._claim, request_id)
            if attempt is not None:
                self._claimed[request_id] = attempt
                self._outcomes.pop(request_id, None)
                started += 1
        for request_id in list(self._claimed):
            if request_id not in self._running:
                self._running[request_id] = self._pool.submit(self._go_on, request_id, self._claimed[request_id])
        return started

    @property
    def busy(self) -> bool:
        """Whether a training runs that ends with this process. One elsewhere goes on, and the next daemon asks for its
        state.
        """
        waits_for_all = isinstance(self.context.clock, ReplayClock)
        return any(waits_for_all or key not in self._elsewhere for key in list(self._claimed))

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait for the trainings that this daemon started."""
        wait_for(list(self._running.values()), timeout_s)

    def close(self) -> None:
        """Wait until every training has been ended and written down (`context.stopping` ends commands)."""
        self._pool.shutdown(wait=True)

    def recover(self, alive: set[str]) -> int:
        """Recover requests whose daemon died: a webhook is sent again (its id is an idempotency key), a command ends as
        `unknown`. How many were recovered.
        """
        return self.context.database.transact(self._recover, alive)

    def _recover(self, session: Session, alive: set[str]) -> int:
        recovered = 0
        for request in retraining.in_state(session, "dispatching", "running"):
            config = self.context.configuration.launchers.get(request.launcher)
            # Those that can be asked go on where they were: starting them again finds what runs.
            can_ask = isinstance(config, AirflowLauncher | DatabricksLauncher) or (
                isinstance(config, GitHubLauncher) and bool(config.workflow)
            )
            repeats = isinstance(config, WebhookLauncher) or can_ask
            if request.state == "running" and isinstance(config, WebhookLauncher | GitHubLauncher) and not can_ask:
                recovered += self._give_up_late(session, request, config.timeout.approximate())
                continue
            if request.owner in alive:
                continue
            now = self.context.clock.now()
            if repeats:
                retraining.move(
                    session,
                    request,
                    "open",
                    "the daemon died or was stopped meanwhile: it is sent or asked again, under the same id",
                    now,
                )
            else:
                text = (
                    "the daemon died while the training ran: nobody knows how it ended; say so with `monitor retraining"
                    " complete` or `cancel`"
                )
                retraining.move(session, request, "unknown", text, now)
            log.warning("launch_recovered", request=request.uuid[:8], state=request.state)
            recovered += 1
        return recovered

    def _give_up_late(self, session: Session, request: RetrainingRequest, timeout: timedelta) -> bool:
        """End a request that a person or pipeline was to complete, and has not in time."""
        now = self.context.clock.now()
        if request.launched_at is None or now - request.launched_at <= timeout:
            return False
        retraining.move(session, request, "failed", f"nobody completed it within {timeout}", now)
        return True

    def _claim(self, session: Session, request_id: int) -> int | None:
        request: RetrainingRequest = locked(session, RetrainingRequest, request_id)
        if request.state != "open":
            return None
        request.owner, request.claims = self.context.owner, request.claims + 1
        retraining.move(session, request, "dispatching", f"starting {request.launcher}", self.context.clock.now())
        return request.claims

    def _go_on(self, request_id: int, attempt: int) -> None:
        """Try a request to its end. What the database keeps from being written is tried again by the next `launch`.

        Nothing is started twice: what is written before a start comes first, and what is sent to another service
        carries the request's id.
        """
        try:
            if request_id not in self._outcomes:
                outcome = self._try_launch(request_id, attempt)
                if outcome is not None:
                    self._outcomes[request_id] = outcome
            if request_id in self._outcomes:
                self._finish(request_id, attempt, self._outcomes[request_id])
        except Exception as error:  # a thread's surprise is read by nobody: the next round tries again
            log.error("retraining_not_written", request=request_id, error=f"{type(error).__name__}: {error}")
            return
        self._outcomes.pop(request_id, None)
        if self._claimed.get(request_id) == attempt:
            del self._claimed[request_id]

    def _try_launch(self, request_id: int, attempt: int) -> TrainingOutcome | None:
        """Start a request's training; how it ended, None if that comes later or from elsewhere."""
        try:
            return self._start(request_id, attempt, *self.context.database.transact(self._describe_request, request_id))
        except DatabaseUnreachableError:
            raise
        except Exception as error:  # it ends the request like any other failure
            log.error("launch_failed", error=f"{type(error).__name__}: {error}")
            return TrainingOutcome(False, f"{type(error).__name__}: {error}")

    def _describe_request(self, session: Session, request_id: int) -> tuple[str, dict[str, Any]]:
        request = session.get_one(RetrainingRequest, request_id)
        row = session.get_one(MonitorRow, request.monitor_id)
        content = described(
            request, row.name, not_to_train_on(session, request), money_of(session, self.context, request)
        )
        base = self.context.configuration.external_url
        if base:
            url = f"{base.rstrip('/')}/api/v1/retraining/{request.uuid}/complete"
            content["callback"] = {"url": url, "token": _callback_token(session, request)}
        return request.launcher, content

    def _start(self, request_id: int, attempt: int, name: str, request: dict[str, Any]) -> TrainingOutcome | None:
        config = self.context.configuration.launchers.get(name)
        if isinstance(config, CommandLauncher):
            return self._run(request_id, attempt, [expand(part) for part in config.command], request, config)
        if isinstance(config, PythonLauncher):
            return self._run(
                request_id, attempt, [sys.executable, "-m", python.__name__, config.function], request, config
            )
        if isinstance(config, GitHubLauncher | AirflowLauncher | DatabricksLauncher):
            self._elsewhere.add(request_id)
            self._move(request_id, attempt, "running", f"starting it by {config.type}")
            timeout_s, every_s = (
                duration.approximate().total_seconds() for duration in (config.timeout, config.poll_every)
            )
            try:
                outcome, why = follow(
                    open_remote(config, self.context.network), request, timeout_s, every_s, self.context.stopping
                )
            except LaunchError as error:
                return TrainingOutcome(False, str(error))
            if outcome is None:
                self._move(request_id, attempt, "running", why)
            return outcome
        if isinstance(config, WebhookLauncher):
            try:
                webhook.launch(
                    expand(config.url),
                    expand(config.secret) if config.secret else None,
                    request,
                    allow_private=config.allow_private,
                    network=self.context.network,
                )
            except DeliveryError as error:
                return TrainingOutcome(False, f"the launcher could not be reached: {error}")
            self._move(
                request_id,
                attempt,
                "running",
                "the launcher has taken the request; `monitor retraining complete` ends it",
            )
            return None
        return TrainingOutcome(False, f"the launcher {name} is no longer configured")

    def _run(
        self,
        request_id: int,
        attempt: int,
        arguments: list[str],
        request: dict[str, Any],
        config: CommandLauncher | PythonLauncher,
    ) -> TrainingOutcome:
        """Run a command here to its end."""
        self._move(
            request_id,
            attempt,
            "running",
            f"running {config.command[0] if isinstance(config, CommandLauncher) else config.function}",
        )
        timeout_s = config.timeout.approximate().total_seconds()
        try:
            return command.launch(arguments, request, self.context.loaded.folder, timeout_s, self.context.stopping)
        except LaunchError as error:
            return TrainingOutcome(False, str(error))

    def _move(self, request_id: int, attempt: int, state: str, text: str) -> None:
        def moved(session: Session) -> bool:
            request: RetrainingRequest = locked(session, RetrainingRequest, request_id)
            if request.owner != self.context.owner or request.claims != attempt or request.state in retraining.ENDED:
                return False
            retraining.move(session, request, state, text, self.context.clock.now())
            return True

        if self.context.database.transact(moved):
            log.info("retraining_" + state, request=request_id, text=text)

    def _finish(self, request_id: int, attempt: int, outcome: TrainingOutcome) -> None:
        def still_ours(session: Session) -> str | None:
            request = session.get_one(RetrainingRequest, request_id)
            ours = (
                request.owner == self.context.owner
                and request.claims == attempt
                and request.state in ("dispatching", "running")
            )
            return request.uuid if ours else None

        uuid = self.context.database.read(still_ours)
        if uuid is not None:
            complete(self.context, self.workers, uuid, outcome)


def _callback_token(session: Session, request: RetrainingRequest) -> str:
    """The token that ends a request by HTTP. It is derived from the service's own key, so that a repeated launch sends
    the same one, and it is stored nowhere.
    """
    key = people.service_key(session, "callback")
    return CALLBACK + hmac.new(key.encode(), request.uuid.encode(), "sha256").hexdigest()


def is_callback(session: Session, request: RetrainingRequest, token: str) -> bool:
    """Whether a token is the one that the request's launcher was given."""
    return hmac.compare_digest(_callback_token(session, request).encode(), token.encode())


def not_to_train_on(session: Session, request: RetrainingRequest) -> list[tuple[datetime, datetime]]:
    """The intervals of a request's data that people marked as faulty, and the windows in which a fault of the pipeline
    paged.
    """
    marked = annotation.of_monitor(session, request.monitor_id, "faulty")
    spans = [(interval.starts_at, interval.ends_at) for interval in marked]
    windows = runs.data_runs_between(session, request.monitor_id, request.data_start, request.data_end)
    latest = [runs.current(session, run) for run in windows]
    for run_id, findings in results.findings(session, [run.id for run in latest]).items():
        if any(finding.origin == "pipeline" and finding.severity in ("warning", "critical") for finding, _ in findings):
            spans += [(run.window_start, run.window_end) for run in latest if run.id == run_id]
    return sorted(set(spans))


def money_of(session: Session, context: Context, request: RetrainingRequest) -> MoneyLost | None:
    """The money lost in the windows from which a request would train; None where nobody has said what mistakes cost."""
    row = session.get_one(MonitorRow, request.monitor_id)
    config = context.config_of(session, row)
    return lost_since(session, row.id, config, request.data_start, request.window_end)


def described(
    request: RetrainingRequest,
    monitor: str,
    faulty: Sequence[tuple[datetime, datetime]] = (),
    money: MoneyLost | None = None,
) -> dict[str, Any]:
    """The request as launchers receive it (docs/reference/retraining.schema.json). faulty: intervals that are not to be
    trained on (`not_to_train_on`). money: what the model's mistakes have cost (`money_of`).
    """
    content = {
        "id": request.uuid,
        "monitor": monitor,
        "model": request.model_name,
        "model_version": request.model_version,
        "reason": request.reason,
        "data_start": request.data_start.isoformat(),
        "data_end": request.data_end.isoformat(),
        "window_start": request.window_start.isoformat(),
        "window_end": request.window_end.isoformat(),
        "exclude": [
            {"start": start.isoformat(), "end": end.isoformat()}
            for start, end in faulty
            if start < request.data_end and end > request.data_start
        ],
        "requested_at": (request.opened_at or request.created_at).isoformat(),
        "detail": request.detail,
    }
    return content if money is None else content | {"money": money.to_dict()}


def complete(context: Context, workers: WorkerPool, uuid: str, outcome: TrainingOutcome) -> str:
    """End a request; a success that names a reference promotes it from the next window on. The state that it is in
    then.

    Where the outcome names a candidate's answers, the new model must be better than the current one on the same
    labelled rows: else the request is rejected, or stays `verifying` while the rows are too few to tell.
    """
    if outcome.succeeded and outcome.candidate:
        verdict = _verify(context, workers, uuid, outcome)
        if verdict is not None:
            return verdict
    fitted: FittedReference | None = None
    problem = ""
    if outcome.succeeded and outcome.reference:
        try:
            spec = context.database.read(_reference_spec, context, uuid, outcome.reference)
            fitted = workers.call(FIT_REFERENCE, spec)
        except MonitorError as error:
            problem = f"the training succeeded, but its reference cannot be used: {error}"
    return context.database.transact(_complete, context, uuid, outcome, fitted, problem)


def verify_again(context: Context, workers: WorkerPool) -> int:
    """Look again at candidates whose rows were too few to tell; how many requests that ended."""
    ended = 0
    for uuid, outcome in context.database.read(_waiting_candidates):
        ended += complete(context, workers, uuid, outcome) in retraining.ENDED
    return ended


def _waiting_candidates(session: Session) -> list[tuple[str, TrainingOutcome]]:
    return [
        (request.uuid, TrainingOutcome(**request.detail["outcome"]))
        for request in retraining.in_state(session, "verifying")
    ]


def _verify(context: Context, workers: WorkerPool, uuid: str, outcome: TrainingOutcome) -> str | None:
    """Compare the candidate with the current model: None if it is better, else the state that the request is in."""
    try:
        compared: Compared = workers.call(
            COMPARE, context.database.read(_comparison_spec, context, uuid, outcome.candidate)
        )
    except MonitorError as error:
        return _complete_as(context, uuid, "failed", f"the candidate cannot be compared: {error}")
    if compared.verdict == "better":
        context.database.transact(
            _note, context, uuid, "verifying", f"the candidate is better: {compared.text}", outcome
        )
        return None
    if compared.verdict == "too_little_data":
        return context.database.transact(_wait_for_rows, context, uuid, compared.text, outcome)
    return _complete_as(
        context, uuid, "rejected", f"the candidate is not better, the current model stays: {compared.text}"
    )


def _complete_as(context: Context, uuid: str, state: str, text: str) -> str:
    return context.database.transact(_note, context, uuid, state, text, None)


def _note(session: Session, context: Context, uuid: str, state: str, text: str, outcome: TrainingOutcome | None) -> str:
    request: RetrainingRequest = locked(session, RetrainingRequest, retraining.find(session, uuid)[0].id)
    if request.state in (*retraining.ENDED, *retraining.PROPOSAL):
        return request.state
    if outcome is not None:
        request.detail = {**request.detail, "outcome": vars(outcome)}
    retraining.move(session, request, state, text, context.clock.now())
    log.info(f"retraining_{state}", model=request.model_name, request=request.uuid[:8], text=text)
    return request.state


def _wait_for_rows(session: Session, context: Context, uuid: str, text: str, outcome: TrainingOutcome) -> str:
    """Stay `verifying` until rows tell, or until `retraining.verify_for` is over."""
    request = retraining.find(session, uuid)[0]
    now = context.clock.now()
    if request.state != "verifying":
        return _note(session, context, uuid, "verifying", f"too few rows to tell yet: {text}", outcome)
    config = context.config_of(session, session.get_one(MonitorRow, request.monitor_id))
    limit = (
        config.retraining.verify_for.approximate()
        if config is not None and config.retraining is not None
        else timedelta(0)
    )
    began = next(event.happened_at for event in retraining.story(session, request.id) if event.state == "verifying")
    if now - began < limit:
        return request.state
    return _note(session, context, uuid, "expired", f"the rows did not tell within {limit.days} days: {text}", None)


def _comparison_spec(session: Session, context: Context, uuid: str, path: str) -> ComparisonSpec:
    request = retraining.find(session, uuid)[0]
    config = context.config_of(session, session.get_one(MonitorRow, request.monitor_id))
    if config is None:
        raise UsageError("the monitor is not configured any more")
    now = context.clock.now()
    span = Window(request.data_start, max(now, request.data_end))
    harm = next(iter(config.checks.harm.values()), None)
    place = Place(shown=path, path=str(context.loaded.folder / path), timezone=config.source.timezone)
    return ComparisonSpec(config.task, config.to_columns(), context.log_spec(config), span, now, place, harm)


def _reference_spec(session: Session, context: Context, uuid: str, path: str) -> ReferenceSpec:
    request = retraining.find(session, uuid)[0]
    row = session.get_one(MonitorRow, request.monitor_id)
    config = context.config_of(session, row)
    if config is None:
        raise UsageError("the monitor is not configured any more")
    whole = str(context.loaded.folder / path)
    place = Place(shown=path, path=whole, timezone=config.source.timezone)
    return ReferenceSpec(config.task, config.to_columns(), place=place, hash_key=context.hash_key)


def _complete(
    session: Session,
    context: Context,
    uuid: str,
    outcome: TrainingOutcome,
    fitted: FittedReference | None,
    problem: str,
) -> str:
    now = context.clock.now()
    request: RetrainingRequest = locked(session, RetrainingRequest, retraining.find(session, uuid)[0].id)
    if request.state in (*retraining.ENDED, *retraining.PROPOSAL):
        return request.state
    text = outcome.text
    if not outcome.succeeded or problem:
        retraining.move(session, request, "failed", problem or text or "the training failed", now)
    else:
        config = context.config_of(session, session.get_one(MonitorRow, request.monitor_id))
        if request.detail.get("kind") != "rollback":
            follow_up.begin(session, config, request, outcome.model_version)
        if fitted is not None:
            text = _promote(session, context, request, outcome.model_version, fitted, now)
        retraining.move(
            session,
            request,
            "succeeded",
            text or "the training succeeded; it named no new reference, so the old one stays",
            now,
        )
    log.info(f"retraining_{request.state}", model=request.model_name, request=request.uuid[:8], outcome=request.outcome)
    return request.state


def _promote(
    session: Session, context: Context, request: RetrainingRequest, version: str, fitted: FittedReference, now: datetime
) -> str:
    row = session.get_one(MonitorRow, request.monitor_id)
    config = context.config_of(session, row)
    by_version = version if config is not None and config.columns.model_version is not None else ""
    stored = references.store(
        session, fitted.version, fitted.archive, fitted.rows, f"retraining {request.uuid}", now, fitted.period
    )
    value = f", {fitted.harm_metric} {fitted.baseline[fitted.harm_metric]:.4g} on it" if fitted.harm_metric else ""
    trained = f"version {version or 'unnamed'} is trained; reference {fitted.version[:8]} ({fitted.rows} rows{value})"
    if follow_up.waits_to_hold(config, request):
        request.followed = {**(request.followed or {}), "reference": stored.id}
        return f"{trained} will hold once it is deployed (`monitor deployed`)"
    references.put_in_force(
        session, row.id, by_version, now, stored.id, "retraining", f"request {request.uuid} succeeded", now
    )
    log.info(
        "reference_in_force",
        monitor=row.name,
        reference=fitted.version[:8],
        rows=fitted.rows,
        valid_from=now.isoformat(),
        model_version=by_version,
    )
    if by_version:
        return f"{trained} holds from the first window in which version {version} answers"
    return f"{trained} holds from {now:%Y-%m-%d %H:%M} UTC on"
