"""The demo's story: set up a model in production, let the daemon work through its weeks, and say what happened when."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from monitor import logs
from monitor.config.load import load
from monitor.config.model import Loaded
from monitor.daemon import Daemon
from monitor.demo import live, model
from monitor.demo.receiver import Receiver
from monitor.domain.clock import ReplayClock
from monitor.errors import UsageError
from monitor.services.apply_configuration import BEGINNING
from monitor.storage import alerts, retraining, runs
from monitor.storage.database import Database
from monitor.storage.tables import Alert, RetrainingRequest

_MARK = ".monitor-demo"
_NAME = "bike-demand"

CONFIGURATION = """# Written by `monitor demo`. Look around: monitor -h; every command takes -c and this file.
database: sqlite:///monitor.db
monitors:
  bike-demand:
    task: regression
    model: {{name: bike-demand, version: "1"}}
    source: {{path: data/predictions/*.parquet}}
    labels: {{path: data/labels.parquet, delay: 3d, expected: 1.0}}
    reference: {{path: data/reference-1.parquet}}
    columns:
      {{id: id, event_time: event_time, prediction: prediction, label: label, label_time: label_time,
        model_version: model_version}}
    windows: {{length: 1w, start: 2012-01-02}}
    checks:
      harm: {{mae: 50%}}                                    # a week's error moves by a quarter with the weather
      # A limit of our own: no sensor is right that is out of range half of the time.
      thresholds: {{out_of_range_share: {{upper: 0.5}}}}
    alerts: {{for: 1, keep_firing_for: 2, channels: [demo]}}
    retraining: {{when: [performance], for: 3, cooldown: 14d, launcher: train}}
{live}channels:
  demo: {{type: webhook, url: "{url}", secret: "{secret}", allow_private: true}}
launchers:
  train: {{type: command, command: ["{python}", -m, monitor.demo.retrain], timeout: 10m}}
"""


def tell(folder: Path) -> int:
    """Play the story in `folder`; the exit code is 0 if it went as it should."""
    logs.configure("console", "error")
    console = Console(width=None if sys.stdout.isatty() else 120)
    started = time.monotonic()
    _empty(folder)
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    with Receiver(secret, lambda message: _heard(console, message)) as receiver:
        _introduce(console, folder)
        loaded = _configured(folder, receiver.url, secret)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("the daemon starts", total=None)

            def progress(done: int, still_open: int, now: datetime) -> None:
                bar.update(task, completed=done, total=done + still_open, description=f"{now:%Y-%m-%d}: runs")
                if not console.is_terminal and done % 5 == 0:
                    console.print(f"  {now:%Y-%m-%d}: {done} runs done")

            with Daemon(loaded, clock=ReplayClock(BEGINNING), progress=progress) as daemon:
                outcome = daemon.replay()
        now = datetime.now(UTC).replace(tzinfo=None)
        console.print(
            "[bold]4.[/] A second model is in production today. For three days most of its rows have no hour:\n"
        )
        start = live.write(folder / "data", pd.Timestamp(now))
        loaded = _configured(folder, receiver.url, secret, live.CONFIGURATION.format(start=start))
        with Daemon(loaded, only=live.NAME) as daemon:
            today = daemon.run_until_idle(10)
        database = daemon.context.database
    fine = _conclude(console, database, folder, outcome.finished + today.finished, time.monotonic() - started)
    return 0 if fine and not any(summary.failed or summary.unreachable for summary in (outcome, today)) else 1


def _configured(folder: Path, url: str, secret: str, live_entry: str = "") -> Loaded:
    """Write the configuration and read it."""
    text = CONFIGURATION.format(url=url, secret=secret, python=sys.executable, live=live_entry)
    (folder / "monitor.yaml").write_text(text, encoding="utf-8")
    return load(folder / "monitor.yaml")


def _empty(folder: Path) -> None:
    """A folder of its own, made anew; one that holds something else is left alone."""
    if folder.exists() and not (folder / _MARK).exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} holds something that the demo has not written; name another with --folder")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    (folder / _MARK).touch()


def _introduce(console: Console, folder: Path) -> None:
    history = model.rentals()
    history = history[history["event_time"] < model.PRODUCTION]
    console.print(
        f"[bold]1.[/] A model of hourly bike rentals is trained on {len(history)} hours of late 2011 (UCI Bike Sharing,"
        " CC BY 4.0)."
    )
    model.validated(history).assign(model_version="1").to_parquet(folder / "data" / "reference-1.parquet", index=False)
    model.log_predictions(folder / "data" / "predictions", "1", model.train(history), model.PRODUCTION)
    model.log_labels(folder / "data" / "labels.parquet")
    console.print(
        f"[bold]2.[/] From {model.PRODUCTION:%Y-%m-%d} on it is in production; labels come two days late. We broke one"
        " thing:"
    )
    console.print(
        f"   from {model.FAULT[0]:%Y-%m-%d} to {model.FAULT[1]:%Y-%m-%d} the humidity sensor reports a fraction in"
        " place of per cent."
    )
    console.print(
        "   In March 2012 spring comes early and the city rides twice as much: that is real, and the model does not"
        " know it."
    )
    console.print("[bold]3.[/] The daemon works through it week by week. What the receiver gets:\n")


def _heard(console: Console, message: dict[str, Any]) -> None:
    color = {"critical": "red", "warning": "yellow"}.get(message["alert"]["severity"], "white")
    color = "green" if message["alert"]["state"] == "resolved" else color
    console.print(
        f"[dim]{message['timestamp'][:10]} POST /alerts[/]  [bold {color}]{escape(message['title'])}[/]",
        highlight=False,
    )
    body = {
        "type": message["type"],
        "alert": message["alert"],
        "labels": message["labels"],
        "annotations": message["annotations"],
    }
    console.print(f"[dim]{escape(json.dumps(body, ensure_ascii=False))}[/]\n", highlight=False, soft_wrap=False)


def _conclude(console: Console, database: Database, folder: Path, finished: int, seconds: float) -> bool:
    fired = database.read(
        lambda session: [
            (alert, name) for alert, name in alerts.listed(session, everything=True) if alert.fired_at is not None
        ]
    )
    raised, open_now = ([alert for alert, name in fired if name == wanted] for wanted in (_NAME, live.NAME))
    requests = database.read(lambda session: [request for request, _ in retraining.listed(session, everything=False)])
    table = Table(title="What happened", title_justify="left")
    for name in ("", "began", "noticed", "ended", "what was said"):
        table.add_column(name, overflow="fold")
    fault, decay = model.FAULT[0].to_pydatetime().replace(tzinfo=UTC), model.DECAY.to_pydatetime().replace(tzinfo=UTC)
    for alert in sorted(raised, key=lambda alert: alert.since):
        is_fault = alert.since < decay
        name = f"{'the fault' if is_fault else 'the decay'}: {alert.kind} alert"
        table.add_row(
            name, _day(fault if is_fault else decay), _day(alert.fired_at), _day(alert.ended_at), escape(alert.summary)
        )
    for request in requests:
        table.add_row(
            "retraining request",
            _day(request.opened_at),
            "",
            _day(request.ended_at),
            escape(f"{request.state}: {request.outcome}"),
        )
    console.print(table)
    quiet = database.read(_quiet, raised)
    console.print(f"{finished} runs in {seconds:.0f} s; {quiet[0]} of {quiet[1]} weeks raised nothing.")
    run = database.read(
        lambda session: next(
            (
                run
                for run, name in runs.listed(session, None, "done", 200)
                if (name, run.severity) == (_NAME, "critical")
            ),
            None,
        )
    )
    where = f"-c {folder / 'monitor.yaml'}"
    if open_now:
        console.print(f"\n[bold]Something is open now[/] ({live.NAME}): {escape(open_now[0].summary)}")
        console.print(
            f"  monitor serve --web-only {where}   # then http://127.0.0.1:8400/alerts/{open_now[0].uuid}",
            highlight=False,
            soft_wrap=True,
        )
    console.print("\nLook further:")
    console.print(f"  monitor serve --web-only {where}   # then http://127.0.0.1:8400", highlight=False)
    console.print(f"  monitor status {where}", highlight=False)
    console.print(f"  monitor alerts list --all {where}", highlight=False)
    if raised:
        console.print(f"  monitor alerts show {raised[0].uuid[:8]} {where}", highlight=False)
    if requests:
        console.print(f"  monitor retraining show {requests[0].uuid[:8]} {where}", highlight=False)
    if run is not None:
        console.print(f"  monitor report {run.uuid[:8]} --html report.html {where}", highlight=False)
    return _went_as_planned(raised, requests, decay) and [alert.state for alert in open_now] == ["firing"]


def _quiet(session: Any, raised: list[Alert]) -> tuple[int, int]:
    """How many weeks of the first model lie in no alert, and of how many."""
    weeks = {
        (run.window_start, run.window_end)
        for run, name in runs.listed(session, None, "done", 1000)
        if run.kind == "data" and name == _NAME
    }
    bad = sum(
        any(alert.since <= start and index_end <= _last_bad(alert) for alert in raised) for start, index_end in weeks
    )
    return len(weeks) - bad, len(weeks)


def _last_bad(alert: Alert) -> datetime:
    from datetime import timedelta

    return alert.since + timedelta(weeks=alert.bad_windows)


def _went_as_planned(raised: list[Alert], requests: list[RetrainingRequest], decay: datetime) -> bool:
    """Whether the story went as planned: fault and decay were noticed and are over, with one alert of each kind, and
    one retraining succeeded.
    """
    fault_kinds = [alert.kind for alert in raised if alert.since < decay]
    decay_kinds = [alert.kind for alert in raised if alert.since >= decay]
    once = len(fault_kinds) == len(set(fault_kinds)) and len(decay_kinds) == len(set(decay_kinds))
    over = all(alert.state == "resolved" for alert in raised)
    return (
        bool(fault_kinds)
        and bool(decay_kinds)
        and once
        and over
        and [request.state for request in requests] == ["succeeded"]
    )


def _day(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d}"
