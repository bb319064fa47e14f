"""`monitor backtest`: what would have fired, without touching the report database."""

from __future__ import annotations

import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli import shared
from monitor.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from monitor.config.model import Loaded
    from monitor.services.context import Context


def backtest(
    name: Annotated[str | None, typer.Argument(help="One monitor; all without it.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Try a change: KEY=VALUE of a monitor, such as checks.false_alarm_rate=0.001."),
    ] = None,
    drill: Annotated[
        bool,
        typer.Option(
            "--fire-drill", help="Put faults into copies of the newest healthy windows, and see which are caught."
        ),
    ] = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with plots to this file.")] = None,
    config: shared.ConfigOption = None,
    json: shared.JsonOption = False,
) -> None:
    """Try the configuration on the log's own history. Prints alerts, pages a month, and estimates beside what labels
    showed. Stores and sends nothing.
    """
    from monitor import logs
    from monitor.config.load import find, load
    from monitor.daemon import Daemon
    from monitor.domain.clock import ReplayClock
    from monitor.services import backtest as service
    from monitor.services.apply_configuration import BEGINNING
    from monitor.storage.report import ReportDatabase

    logs.configure("console", "error")
    loaded = load(find(Path.cwd(), config), changes=_changes(changes or []))
    monitors = loaded.configuration.monitors
    if name is not None and name not in monitors:
        raise UsageError(f"there is no monitor {name}; there are: {', '.join(monitors) or 'none'}")
    names = [name] if name is not None else list(monitors)
    drills: dict[str, pd.DataFrame] = {}
    with TemporaryDirectory(prefix="monitor-backtest-") as folder:
        url = f"sqlite:///{folder}/backtest.db"
        with Daemon(_quiet(loaded, url), clock=ReplayClock(BEGINNING), only=name) as daemon:
            with shared.progress_bar("reading the log and its reference") as daemon.progress:
                outcome = daemon.replay()
            if drill:
                with shared.doing("putting faults into healthy windows"):
                    drills = {
                        monitor_name: _drilled(daemon.context, monitor_name, ReportDatabase(url))
                        for monitor_name in names
                    }
        problems = [*outcome.unreachable, *outcome.problems]
        results = [service.backtest(ReportDatabase(url), monitor_name) for monitor_name in names]
    if html is not None:
        html.write_text(service.page(results, drills), encoding="utf-8")
    for result in results:
        _show(result, drills.get(result.monitor), as_json=json)
    for problem in dict.fromkeys(problems):
        shared.say(f"monitor: {problem}", err=True)
    raise typer.Exit(1 if outcome.problems or outcome.failed else 3 if outcome.unreachable else 0)


def _changes(texts: list[str]) -> dict[str, Any]:
    import yaml

    values = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set takes KEY=VALUE, such as checks.false_alarm_rate=0.001, not '{text}'")
        values[key.strip()] = yaml.safe_load(value)
    return values


def _quiet(loaded: Loaded, url: str) -> Loaded:
    """The same on a database of its own, with nobody to tell and nothing to launch."""
    from monitor.config.model import Configuration

    values = copy.deepcopy(loaded.values)
    for entry in values.get("monitors", {}).values():
        entry.pop("retraining", None)
        if entry.get("alerts"):
            entry["alerts"].pop("channels", None)
    for key in ("channels", "routes", "launchers", "heartbeat_url"):
        values.pop(key, None)
    values["database"] = url
    return loaded.model_copy(update={"values": values, "configuration": Configuration.model_validate(values)})


def _drilled(context: Context, name: str, reports: Any) -> pd.DataFrame:
    """The drill on the three newest windows whose data run found nothing that pages."""
    from monitor.analysis.reference import Reference
    from monitor.domain.grid import Window
    from monitor.services.fire_drill import fire_drill
    from monitor.sources.log import Log

    entry = context.configuration.monitors[name]
    runs = reports.runs(name, kind="data", status="done", current=True)
    healthy = runs[runs["severity"].isin(["none", "info"]) & (runs["row_count"] > 0)].tail(3)
    if healthy.empty:
        raise UsageError(f"{name} has no healthy window to put faults into")
    reference = Reference.load(context.cache / f"{healthy['reference'].iloc[-1]}.reference")
    windows = [Window(row.window_start.to_pydatetime(), row.window_end.to_pydatetime()) for row in healthy.itertuples()]
    checks = entry.checks.to_checks(entry.checks.false_alarm_rate / (2 if entry.labels else 1), entry.page_confidence())
    return fire_drill(reference, Log(context.log_spec(entry)), windows, checks)


def _show(result: Any, drill: pd.DataFrame | None, *, as_json: bool) -> None:
    from monitor.services.backtest import summary

    if as_json:
        whole = {
            "monitor": result.monitor,
            "metric": result.metric,
            "months": result.months,
            "pages_per_month": result.pages,
            "false_pages_per_month": result.false_pages,
            "estimate_error": result.error,
            "alerts": result.alerts.astype(object).where(result.alerts.notna(), None).to_dict("records"),
            "windows": result.windows.astype(object).where(result.windows.notna(), None).to_dict("records"),
            "fire_drill": [] if drill is None else drill.to_dict("records"),
        }
        shared.show([whole], list(whole), True, "")
        return
    shared.say(f"{result.monitor}: {summary(result)}")
    columns = ["kind", "severity", "since", "fired_at", "ended_at", "summary"]
    shared.show(
        result.alerts[columns].astype(object).where(result.alerts[columns].notna(), None).to_dict("records"),
        columns,
        False,
        "no alert would have fired",
    )
    if drill is not None:
        table = drill.groupby(["fault", "share_of_rows"], sort=False)[["caught", "named", "pages"]].mean().reset_index()
        table["result"] = table["caught"].map(
            lambda share: "caught" if share == 1 else "not caught" if share == 0 else "in part"
        )
        shared.show(table.to_dict("records"), list(table.columns), False, "nothing was tried")
