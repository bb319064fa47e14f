"""`monitor references`: which one is in force from when on, and changing that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli import shared

if TYPE_CHECKING:
    from monitor.services.context import Context

app = typer.Typer(help="Show and change what production is compared with.", no_args_is_help=True)


@app.command("list")
def list_references(
    name: Annotated[str | None, typer.Argument(help="One monitor; all without it.")] = None,
    config: shared.ConfigOption = None,
    json: shared.JsonOption = False,
) -> None:
    """The reference of each monitor and model version: since which window, by whom and why."""
    from monitor.storage import monitors, references

    database = shared.open_existing(shared.load_configuration(config, check_secrets=False))

    def rows(session: Any) -> list[dict[str, Any]]:
        wanted = shared.monitor_id(session, name)
        return [
            {
                "monitor": row.name,
                "model_version": entry.model_version,
                "reference": version.version if json else version.version[:8],
                "rows": version.rows,
                "valid_from": entry.valid_from,
                "who": entry.who,
                "why": entry.why,
                "recorded": entry.recorded_at,
            }
            for row in monitors.active(session)
            if wanted in (None, row.id)
            for entry, version in references.history(session, row.id)
        ]

    shared.show(
        database.read(rows),
        ("monitor", "model_version", "reference", "rows", "valid_from", "who", "why"),
        json,
        "no references yet",
    )


@app.command("diff")
def diff(
    one: Annotated[str, typer.Argument(help="A reference's version, or its beginning.")],
    other: Annotated[str, typer.Argument(help="Another one.")],
    config: shared.ConfigOption = None,
    json: shared.JsonOption = False,
) -> None:
    """What differs between two references: rows, columns, performance."""
    from monitor.services.change_references import difference
    from monitor.services.workers import WorkerPool

    rows = difference(_context(config), WorkerPool(warm=False), one, other)
    columns = ("what", "before", "after", "drift_score", "missing_before", "missing_after")
    shared.show(rows, columns, json, "nothing differs")


@app.command("promote")
def promote(
    name: Annotated[str, typer.Argument(help="The monitor.")],
    file: Annotated[str | None, typer.Option("--from", help="A file with the rows, labels among them.")] = None,
    interval: Annotated[str | None, typer.Option("--window", help="Or: START/END, that interval of the log.")] = None,
    model_version: Annotated[str, typer.Option(help="For this model version alone.")] = "",
    why: Annotated[str, typer.Option(help="A note.")] = "promoted by hand",
    config: shared.ConfigOption = None,
) -> None:
    """Make a new reference, in force from the next window on."""
    from monitor.errors import UsageError
    from monitor.services.change_references import promote as promoted
    from monitor.services.workers import WorkerPool

    if (file is None) == (interval is None):
        raise UsageError("name either --from FILE or --window START/END")
    place = file if file is not None else shared.window(interval or "")
    outcome = promoted(_context(config), WorkerPool(warm=False), name, place, model_version, shared.who(), why)
    shared.say(f"reference {outcome}")


@app.command("update")
def update(name: Annotated[str, typer.Argument(help="The monitor.")], config: shared.ConfigOption = None) -> None:
    """Use the present content of the configured reference from the next window on. Changed content is never used
    silently.
    """
    from monitor.services.change_references import update as updated
    from monitor.services.workers import WorkerPool

    shared.say(f"reference {updated(_context(config), WorkerPool(warm=False), name, shared.who())}")


@app.command("rollback")
def rollback(
    name: Annotated[str, typer.Argument(help="The monitor.")],
    to: Annotated[str | None, typer.Option(help="To this version; to the one before if left out.")] = None,
    model_version: Annotated[str, typer.Option(help="For this model version alone.")] = "",
    config: shared.ConfigOption = None,
) -> None:
    """Put an earlier reference in force again, from the next window on."""
    from monitor.services.change_references import rollback as rolled_back

    shared.say(f"reference {rolled_back(_context(config), name, model_version, to, shared.who())}")


def _context(config: str | None) -> Context:
    from monitor.services.context import Context

    loaded = shared.load_configuration(config)
    return Context(loaded, shared.open_existing(loaded))
