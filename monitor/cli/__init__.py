"""The command line: one file a noun. Heavy imports stand inside the commands, so that `monitor --help` answers at once."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

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

app = typer.Typer(
    name="monitor",
    help="Production monitoring for machine-learning models: drift and performance reports, alerts, retraining requests.",
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


app.command("demo")(work.demo)
app.command("init")(init.init)
app.command("validate")(validate.validate)
app.command("run")(work.run)
app.command("serve")(work.serve)
app.command("backtest")(backtest.backtest)
app.command("backfill")(work.backfill)
app.command("status")(status.status)
app.command("report")(runs.report)
app.command("query")(query.query)
app.command("canary")(canary.canary)
app.command("annotate")(notes.annotate)
app.command("deployed")(notes.deployed)
app.command("ingest")(ingest.ingest)
app.command("prune")(prune.prune)
app.command("migrate")(doctor.migrate)
app.command("doctor")(doctor.doctor)
for noun in (runs, alerts, silences, channels, notifications, references, retraining, export, config):
    app.add_typer(noun.app, name=noun.__name__.rsplit(".", 1)[-1])

app.add_typer(people.users, name="users")
app.add_typer(people.tokens, name="tokens")


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
