"""`monitor query`: one SELECT on the report database."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from monitor.cli import shared
from monitor.domain.text import printable
from monitor.errors import UsageError


def query(
    sql: Annotated[str, typer.Argument(help="One SELECT; the views are described in docs/reference/database.md.")],
    form: Annotated[str, typer.Option("--format", help="table, json or csv.")] = "table",
    config: shared.ConfigOption = None,
    json: shared.JsonOption = False,
) -> None:
    """Query the report database, read-only."""
    from monitor.services.context import database_url
    from monitor.storage.report import ReportDatabase

    if form not in ("table", "json", "csv"):
        raise UsageError(f"--format is table, json or csv, not {form}")
    names, rows = ReportDatabase(database_url(shared.load_configuration(config, check_secrets=False))).rows(sql)
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        for row in (names, *rows):
            writer.writerow(_for_terminals(row) if sys.stdout.isatty() else row)
        return
    shared.show([dict(zip(names, row, strict=True)) for row in rows], names, json or form == "json", "no rows")


def _for_terminals(row: Sequence[object]) -> list[object]:
    return [printable(value) if isinstance(value, str) else value for value in row]
