"""`monitor run`, `serve` and `demo`: the commands that work."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli import shared
from monitor.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from monitor.config.model import Loaded, Web
    from monitor.daemon import Daemon, WorkSummary
    from monitor.domain.grid import Window
    from monitor.services.context import Context
    from monitor.services.workers import WorkerPool
    from monitor.storage.database import Database
    from monitor.web.server import WebServer

SEVERITIES = ("info", "warning", "critical")


def run(
    name: Annotated[str | None, typer.Argument(help="One monitor; all without it.")] = None,
    window: Annotated[str | None, typer.Option(help="One window START/END (UTC), ad hoc: it changes no alert.")] = None,
    again: Annotated[
        bool, typer.Option("--again", help="With --window: evaluate a planned window again, and update alerts.")
    ] = False,
    replay: Annotated[
        bool,
        typer.Option(
            "--replay", help="The clock follows the data: notifications and retraining happen as they would have."
        ),
    ] = False,
    fail_on: Annotated[
        str | None,
        typer.Option(
            help=(
                "Exit with 4 if the latest windows hold a finding at or above this severity, with 5 if that is unknown."
            )
        ),
    ] = None,
    wait: Annotated[
        str, typer.Option("--wait", help="How long to wait for notifications that a receiver has put off.")
    ] = "60s",
    config: shared.ConfigOption = None,
    log_format: shared.LogFormatOption = "console",
    log_level: shared.LogLevelOption = "",
) -> None:
    """Evaluate all windows that are due, then stop. Works up to the newest event of each log; judges and delivers as
    the daemon does.
    """
    from monitor.domain.grid import Duration

    _log(log_format, log_level)
    if fail_on is not None and fail_on not in SEVERITIES:
        raise UsageError(f"--fail-on takes {', '.join(SEVERITIES)}, not {fail_on}")
    if again and window is None:
        raise UsageError("--again goes with --window START/END")
    loaded = shared.load_configuration(config)
    if name is not None:
        _require_monitor(loaded, name)
    if not loaded.configuration.monitors:
        raise UsageError("the configuration has no monitors; `monitor init NAME --predictions …` adds one")
    if window is not None:
        if name is None:
            raise UsageError("--window needs the name of a monitor")
        code = _run_window(loaded, name, shared.window(window), again=again)
    else:
        code = _run_all(loaded, name, replay=replay, wait_s=Duration.parse(wait).approximate().total_seconds())
    if fail_on is not None and code == 0:
        code = _fail_on(loaded, name, fail_on)
    raise typer.Exit(code)


def _log(log_format: str, log_level: str) -> None:
    """Lines for machines; on a terminal only what went wrong, beside the progress bar."""
    from monitor import logs

    logs.configure(log_format, log_level or ("warning" if sys.stderr.isatty() else "info"))


def _require_monitor(loaded: Loaded, name: str) -> None:
    if name not in loaded.configuration.monitors:
        raise UsageError(f"there is no monitor {name}; there are: {', '.join(loaded.configuration.monitors) or 'none'}")


def _run_all(loaded: Loaded, name: str | None, *, replay: bool, wait_s: float = 0.0) -> int:
    from monitor.daemon import Daemon
    from monitor.domain.clock import ReplayClock
    from monitor.services.apply_configuration import BEGINNING
    from monitor.services.plan_runs import first_windows

    with (
        shared.progress_bar("reading the log and its reference") as progress,
        Daemon(loaded, clock=ReplayClock(BEGINNING) if replay else None, only=name, progress=progress) as daemon,
    ):
        stop_on_signals(daemon.stopping)
        outcome = daemon.replay() if replay else daemon.run_until_idle(wait_s)
        waiting = daemon.context.database.read(first_windows, loaded.configuration, daemon.context.clock.now())
    code = _say(outcome)
    for line in waiting:
        shared.say(line)
    return code


def stop_on_signals(stopping: Event) -> None:
    """SIGTERM and SIGINT let the step in work end and give back the rest."""
    import signal

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())


def _say(outcome: WorkSummary) -> int:
    shared.say(f"{outcome.finished} runs finished; `monitor status` shows where things stand")
    if outcome.undelivered:
        shared.say(f"{outcome.undelivered} notifications are not delivered yet: monitor notifications list", err=True)
    for problem in dict.fromkeys(outcome.unreachable):
        shared.say(f"monitor: {problem}; its runs wait", err=True)
    for problem in outcome.problems:
        shared.say(f"monitor: {problem}", err=True)
    if outcome.failed:
        shared.say(f"{outcome.failed} runs have failed: monitor runs list --status failed", err=True)
    return 1 if outcome.failed or outcome.problems else 3 if outcome.unreachable else 0


def _run_window(loaded: Loaded, name: str, window: Window, *, again: bool) -> int:
    from monitor.services.execute_runs import plan_adhoc, plan_again

    if again:
        return _show_runs(
            *_by_hand(loaded, name, window, lambda context: plan_again(context, name, window, judged=True))
        )
    return _show_runs(*_by_hand(loaded, name, window, lambda context: plan_adhoc(context, name, window)))


def _by_hand(
    loaded: Loaded, name: str, span: Window, plan: Callable[[Context], list[int]]
) -> tuple[Database, list[int]]:
    """Plan runs and evaluate them here; where a daemon lives on this SQLite database it does that, and this waits."""
    from monitor.daemon import Daemon
    from monitor.errors import AlreadyRunningError

    try:
        with Daemon(loaded, only=name) as daemon:
            stop_on_signals(daemon.stopping)
            daemon.ready()
            ids = _planned(plan(daemon.context), name, span)
            daemon.run_only(ids)
            return daemon.context.database, ids
    except AlreadyRunningError:
        from monitor.services.context import Context

        database = shared.open_existing(loaded)
        ids = _planned(plan(Context(loaded, database)), name, span)
        _wait_for(database, ids)
        return database, ids


def backfill(
    name: Annotated[str, typer.Argument(help="The monitor.")],
    start: Annotated[str, typer.Option("--from", help="The first window starts here or later (UTC).")],
    end: Annotated[str, typer.Option("--to", help="The last window ends here or earlier (UTC).")],
    rejudge: Annotated[
        bool, typer.Option("--rejudge", help="Update alerts: they may open, change or be retracted, and page.")
    ] = False,
    preview: Annotated[bool, typer.Option("--preview", help="Print what would be found; store nothing.")] = False,
    config: shared.ConfigOption = None,
    log_format: shared.LogFormatOption = "console",
    log_level: shared.LogLevelOption = "",
) -> None:
    """Evaluate a range of windows again, after an upstream repair. The results are stored and shown; alerts change only
    with --rejudge.
    """
    from monitor.services.execute_runs import plan_again

    _log(log_format, log_level)
    span = shared.window(f"{start}/{end}", "--from and --to take times, such as 2012-03-01,")
    loaded = shared.load_configuration(config)
    _require_monitor(loaded, name)
    if preview:
        raise typer.Exit(_preview(loaded, name, span))
    raise typer.Exit(
        _show_runs(*_by_hand(loaded, name, span, lambda context: plan_again(context, name, span, judged=rejudge)))
    )


def _preview(loaded: Loaded, name: str, span: Window) -> int:
    from monitor.services.context import Context
    from monitor.services.execute_runs import preview_again
    from monitor.services.workers import WorkerPool

    context, workers = Context(loaded, shared.open_existing(loaded)), WorkerPool()
    looked, changed = 0, 0
    try:
        for preview in preview_again(context, workers, name, span):
            looked, changed = looked + 1, changed + (preview.before != preview.after)
            change = preview.before if preview.before == preview.after else f"{preview.before} -> {preview.after}"
            shared.say(f"{preview.kind:11} {preview.window}  {change}  {', '.join(preview.columns)}".rstrip())
    finally:
        workers.close()
    if not looked:
        _planned([], name, span)
    shared.say(f"{changed} of {looked} runs would give another result; nothing was stored")
    return 0


def _planned(ids: list[int], name: str, window: Window) -> list[int]:
    if not ids:
        raise UsageError(
            f"{name} has no finished run within {window} to look at again; `monitor runs list {name}` shows the planned"
            " ones"
        )
    return ids


def _wait_for(database: Any, ids: list[int]) -> None:
    import time

    from monitor.storage import runs

    while database.read(runs.open_among, ids):
        time.sleep(0.5)


def _show_runs(database: Any, ids: list[int]) -> int:
    from monitor.cli.runs import describe_run
    from monitor.storage.tables import Run

    statuses = []
    for run_id in ids:
        run = database.read(lambda session, run_id=run_id: session.get_one(Run, run_id))
        statuses.append(run.status)
        shared.say(database.read(describe_run, run))
    return 0 if set(statuses) == {"done"} else 3 if "pending" in statuses else 1


def _fail_on(loaded: Loaded, name: str | None, severity: str) -> int:
    """4 if the latest runs hold such a finding, 5 if a monitor has none with a known severity."""
    from monitor.domain.checks import Severity
    from monitor.storage import monitors, runs

    def worst(session: Any) -> list[str]:
        latest_severities = []
        for row in monitors.active(session):
            if name in (None, row.name):
                latest = [
                    run
                    for kind in ("data", "performance")
                    if (run := runs.latest_done(session, row.id, kind)) is not None
                ]
                latest_severities += [run.severity for run in latest] or [""]
        return latest_severities

    severities = shared.open_existing(loaded).read(worst)
    if any(level and Severity(level) >= severity for level in severities):
        return 4
    return 5 if "" in severities or not severities else 0


def serve(
    replay: Annotated[
        bool, typer.Option("--replay", help="Work through history first, with the data's clock; then go on live.")
    ] = False,
    web_only: Annotated[
        bool, typer.Option("--web-only", help="The web page and the API alone: another daemon does the work, or none.")
    ] = False,
    config: shared.ConfigOption = None,
    log_format: shared.LogFormatOption = "console",
    log_level: shared.LogLevelOption = "info",
) -> None:
    """Run the daemon and the web page. Evaluates windows when they are due, until SIGTERM or SIGINT."""
    from contextlib import nullcontext

    from monitor import logs
    from monitor.daemon import Daemon

    logs.configure(log_format, log_level)
    loaded = shared.load_configuration(config)
    web = loaded.configuration.web
    if web_only:
        _serve_web(loaded)
        return
    if replay:
        code = _run_all(loaded, None, replay=True)
        if code:
            raise typer.Exit(code)
    daemon = Daemon(loaded, catches_up=False)
    stop_on_signals(daemon.stopping)
    with daemon:
        warn_without_channels(daemon)
        with nullcontext() if web is False else web_server(daemon.context, daemon.workers, web):
            daemon.serve()


def _serve_web(loaded: Loaded) -> None:
    from monitor.services.context import Context
    from monitor.services.workers import WorkerPool

    if loaded.configuration.web is False:
        raise UsageError("`web: off` in the configuration: there is nothing to serve")
    context, workers = Context(loaded, shared.open_existing(loaded)), WorkerPool()
    stop_on_signals(context.stopping)
    try:
        with web_server(context, workers, loaded.configuration.web):
            context.stopping.wait()
    finally:
        workers.close()


def web_server(context: Context, workers: WorkerPool, web: Web) -> WebServer:
    """The pages and the API."""
    from monitor.web.server import WebServer

    return WebServer(context, workers, web)


def warn_without_channels(daemon: Daemon) -> None:
    """Say so when nobody would hear that the service itself is ill."""
    from structlog import get_logger

    from monitor.alerting import routing

    configuration = daemon.context.configuration
    if not routing.destinations(
        routing.labels_of("self", "warning", "", "", "", {}), None, configuration, datetime.now(UTC)
    ):
        get_logger().warning(
            "no_channel_for_self_alerts",
            advice=(
                "name a channel in alerts.channels or routes: without one nobody is notified of problems of the service"
                " itself"
            ),
        )


def demo(
    folder: Annotated[Path, typer.Option(help="Where it works; made anew each time.")] = Path("monitor-demo"),
) -> None:
    """Watch a real model decay and be retrained, in a minute. Replays weeks of real data with a fault, a decay and
    alerts.
    """
    from monitor.demo.story import tell

    raise typer.Exit(tell(folder))
