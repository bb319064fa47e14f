"""`monitor silences`: what is muted, from when until when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from monitor.cli import shared

app = typer.Typer(help="Mute alerts for a while.", no_args_is_help=True)


@app.command("add")
def add(
    matchers: Annotated[list[str], typer.Argument(help="Alertmanager's syntax; all must match: 'model=\"churn\"'.")],
    for_: Annotated[str, typer.Option("--for", help="How long: 4h, 2d.")] = "2h",
    starts: Annotated[str | None, typer.Option(help="From then on (ISO); from now if left out.")] = None,
    comment: Annotated[str, typer.Option(help="Why.")] = "",
    by: Annotated[str | None, typer.Option(help="Who; the name of this account if left out.")] = None,
    config: shared.ConfigOption = None,
) -> None:
    """Mute the alerts whose labels match. Those that still fire when the silence ends are sent then."""
    from monitor.domain.grid import Duration
    from monitor.services import by_hand
    from monitor.services.context import Context
    from monitor.services.dispatch_alerts import muted_by

    loaded = shared.load_configuration(config, check_secrets=False)
    database = shared.open_existing(loaded)
    person = shared.person(by)
    begins = person.now if starts is None else shared.moment(starts)
    ends = begins + Duration.parse(for_).approximate()

    def added(session: Any) -> tuple[str, list[str]]:
        row = by_hand.silence(session, person, matchers, begins, ends, comment)
        return row.uuid, muted_by(session, Context(loaded, database), matchers)

    uuid, mutes = database.transact(added)
    shared.say(
        f"silence {uuid[:8]} until {ends:%Y-%m-%d %H:%M} UTC; of what fires now it mutes:"
        f" {', '.join(mutes) or 'nothing'}"
    )


@app.command("list")
def list_silences(
    everything: Annotated[bool, typer.Option("--all", help="Those that have ended too.")] = False,
    config: shared.ConfigOption = None,
    json: shared.JsonOption = False,
) -> None:
    """Silences, newest first; those of the configuration last."""
    from monitor.storage import silences

    loaded = shared.load_configuration(config, check_secrets=False)
    now = datetime.now(UTC)
    rows: list[dict[str, Any]] = [
        {
            "id": row.uuid if json else row.uuid[:8],
            "matchers": row.matchers,
            "starts": row.starts_at,
            "ends": row.ends_at,
            "state": "ended" if row.ends_at <= now else "active" if row.starts_at <= now else "pending",
            "by": row.created_by,
            "comment": row.comment,
        }
        for row in shared.open_existing(loaded).read(silences.listed, None if everything else now)
    ]
    rows += [
        {
            "id": "",
            "matchers": silence.matchers,
            "starts": silence.starts,
            "ends": silence.ends,
            "state": ", ".join(silence.time_intervals),
            "by": "configuration",
            "comment": silence.comment,
        }
        for silence in loaded.configuration.silences
    ]
    shared.show(rows, ("id", "state", "matchers", "starts", "ends", "by", "comment"), json, "nothing is silenced")


@app.command("expire")
def expire(
    silence: Annotated[str, typer.Argument(help="The silence's id, or its beginning.")],
    config: shared.ConfigOption = None,
) -> None:
    """End a silence now."""
    from monitor.services import by_hand

    database = shared.open_existing(shared.load_configuration(config, check_secrets=False))
    shared.say(f"silence {database.transact(by_hand.expire, shared.person(), silence).uuid[:8]} has ended")
