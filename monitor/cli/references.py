"""`monitor references`: which one is in force from when on."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from monitor.cli import shared

app = typer.Typer(help="References: what production is compared with.", no_args_is_help=True)


@app.command("list")
def list_references(
    name: Annotated[str | None, typer.Argument(help="One monitor; all without it.")] = None,
    config: shared.ConfigOption = None,
    json: shared.JsonOption = False,
) -> None:
    """Which reference holds for which monitor and model version, from which window on, by whom and why."""
    from monitor.storage import monitors, references

    database = shared.open_existing(shared.load_configuration(config, check_secrets=False))

    def rows(session: Any) -> list[dict[str, Any]]:
        wanted = shared.monitor_id(session, name)
        return [
            {
                "monitor": row.name, "model_version": entry.model_version, "reference": version.version if json else version.version[:8], "rows": version.rows,
                "valid_from": entry.valid_from, "who": entry.who, "why": entry.why, "recorded": entry.recorded_at,
            }
            for row in monitors.active(session)
            if wanted in (None, row.id)
            for entry, version in references.history(session, row.id)
        ]  # fmt: skip

    shared.show(
        database.read(rows),
        ("monitor", "model_version", "reference", "rows", "valid_from", "who", "why"),
        json,
        "no references yet",
    )
