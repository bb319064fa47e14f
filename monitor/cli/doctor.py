"""`monitor doctor` and `monitor migrate`: is the installation well, and bringing its database up to date."""

from __future__ import annotations

import typer

from monitor.cli import shared


def migrate(config: shared.ConfigOption = None) -> None:
    """Make the report database, or bring its schema up to date."""
    from monitor.services.context import open_database

    database = open_database(shared.load_configuration(config))
    before = database.revision()
    database.migrate()
    after = database.revision()
    shared.say(f"{database.shown} is at schema {after}" + ("" if before == after else f" (was {before or 'empty'})"))


def doctor(config: shared.ConfigOption = None) -> None:
    """Find what keeps the service from working. Says how to solve each problem."""
    from monitor.services.diagnose import diagnose

    checks = diagnose(config)
    for check in checks:
        shared.say(f"{'ok  ' if check.fine else 'BAD '} {check.name}: {check.text}")
    if not all(check.fine for check in checks):
        raise typer.Exit(1)
