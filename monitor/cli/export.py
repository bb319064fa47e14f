"""`monitor export`: what is stored, for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitor.cli import shared
from monitor.domain.phrases import counted
from monitor.errors import DataError, UsageError

app = typer.Typer(help="Write stored reports for other tools.", no_args_is_help=True)


@app.command("evidently")
def evidently(
    workspace: Annotated[Path, typer.Option("--workspace", help="The folder; made if it is not there.")],
    name: Annotated[str | None, typer.Option("--monitor", help="One monitor; all without it.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="Windows that start here or later (UTC).")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Windows that end here or earlier (UTC).")] = None,
    config: shared.ConfigOption = None,
) -> None:
    """Write the reports of runs into a workspace of Evidently, for `evidently ui --workspace DIR`. Run it again to add
    what is new.
    """
    from monitor.services.export_reports import export_to_evidently

    first, last = (None if text is None else shared.moment(text) for text in (start, end))
    if first is not None and last is not None and first >= last:
        raise UsageError(f"--from {start} must lie before --to {end}")
    database = shared.open_existing(shared.load_configuration(config, check_secrets=False))
    monitor_id = database.read(shared.monitor_id, name)
    outcome = export_to_evidently(database, workspace, monitor_id, first, last)
    replaced = f", {outcome.replaced} removed that later looks have replaced" if outcome.replaced else ""
    shared.say(
        f"{workspace}: {counted(outcome.added, 'report')} added, {outcome.present} already there{replaced}\n"
        f"`evidently ui --workspace {workspace}` shows them"
    )
    if outcome.damaged:
        ids = ", ".join(run[:8] for run in outcome.damaged)
        raise DataError(
            f"{counted(len(outcome.damaged), 'stored report')} left out that cannot be read, of runs: {ids}"
        )
