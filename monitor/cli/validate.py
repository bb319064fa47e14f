"""`monitor validate`: every mistake at once."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.cli import shared


def validate(
    offline: Annotated[bool, typer.Option("--offline", help="Check only the configuration, not the sources.")] = False,
    config: shared.ConfigOption = None,
) -> None:
    """Check the configuration, the sources and the columns. Names file and line of every mistake."""
    loaded = shared.load_configuration(config)
    notes: list[str] = []
    problems: list[str] = []
    code = 2
    if not offline:
        from monitor.services.check_sources import check_sources

        with shared.doing("reading the sources and their references"):
            problems, unreachable, notes = check_sources(loaded)
        code = 3 if unreachable and not problems else 2
        problems += unreachable
    for note in notes:
        shared.say(f"note: {note}")
    if problems:
        for problem in problems:
            shared.say(problem, err=True)
        raise typer.Exit(code)
    number = len(loaded.configuration.monitors)
    shared.say(
        f"the configuration is right: {number}"
        f" {'monitor' if number == 1 else 'monitors'}{'' if offline else ', sources answer, columns exist'}"
    )
