"""The command line: one file a noun. Heavy imports stand inside the commands, so that `monitor --help` answers at
once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from monitor.cli import (
    alerts,
    backtest,
    canary,
    channels,
    config,
    doctor,
    export,
    ingest,
    init,
    labels,
    notes,
    notifications,
    people,
    prune,
    query,
    references,
    retraining,
    runs,
    shared,
    silences,
    status,
    validate,
    work,
)
from monitor.domain.private_files import keep_private
from monitor.errors import MonitorError

BEGIN, WORK, LOOK, ANSWER, OPERATE = (
    "Begin",
    "Work",
    "Look at results",
    "Say what you know, act on what you see",
    "Operate the service",
)


class Grouped(TyperGroup):
    """The commands of `monitor --help`, under the heading of each one's panel."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write them."""
        named = [(name, self.commands[name]) for name in self.list_commands(ctx)]
        width = formatter.width - max(len(name) for name, _ in named) - 4
        for panel in (BEGIN, WORK, LOOK, ANSWER, OPERATE):
            with formatter.section(panel):
                formatter.write_dl(
                    [
                        (name, command.get_short_help_str(width))
                        for name, command in named
                        if getattr(command, "rich_help_panel", None) == panel
                    ]
                )


app = typer.Typer(
    name="monitor",
    cls=Grouped,
    help=(
        "Production monitoring for machine-learning models: drift and performance reports, alerts, retraining requests."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        from monitor import __version__

        typer.echo(f"monitor {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


COMMANDS: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    BEGIN: {"demo": work.demo, "init": init.init, "validate": validate.validate, "backtest": backtest.backtest},
    WORK: {
        "run": work.run,
        "serve": work.serve,
        "backfill": work.backfill,
        "ingest": ingest.ingest,
        "canary": canary.canary,
    },
    LOOK: {"status": status.status, "report": runs.report, "query": query.query},
    ANSWER: {"annotate": notes.annotate, "deployed": notes.deployed},
    OPERATE: {"doctor": doctor.doctor, "migrate": doctor.migrate, "prune": prune.prune},
}
for panel, commands in COMMANDS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=panel)(command)
for panel, nouns in {
    LOOK: {"runs": runs.app, "alerts": alerts.app, "export": export.app},
    ANSWER: {
        "labels": labels.app,
        "silences": silences.app,
        "references": references.app,
        "retraining": retraining.app,
    },
    OPERATE: {
        "config": config.app,
        "channels": channels.app,
        "notifications": notifications.app,
        "users": people.users,
        "tokens": people.tokens,
    },
}.items():
    for name, noun in nouns.items():
        app.add_typer(noun, name=name, rich_help_panel=panel)


def main() -> None:
    """Run a command; a MonitorError becomes its message and exit code, never a traceback."""
    keep_private()
    try:
        app()
    except MonitorError as error:
        shared.say(f"monitor: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
