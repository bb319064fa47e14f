"""`monitor notifications`: the outbox, and sending a dead one again."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.cli import shared

app = typer.Typer(help="List what was sent to whom, and send it again.", no_args_is_help=True)


@app.command("list")
def list_notifications(
    status: Annotated[str | None, typer.Option(help="pending, sending, delivered, dead or superseded.")] = None,
    config: shared.ConfigOption = None,
    json: shared.JsonOption = False,
) -> None:
    """The latest notifications, newest first."""
    from monitor.storage import outbox

    database = shared.open_existing(shared.load_configuration(config, check_secrets=False))
    rows = [
        {
            "id": row.uuid if json else row.uuid[:8],
            "channel": row.channel,
            "status": row.status,
            "attempts": row.attempts,
            "created": row.created_at,
            "delivered": row.delivered_at,
            "next": row.available_at if row.status == "pending" else None,
            "error": row.last_error,
        }
        for row in database.read(outbox.listed, status)
    ]
    shared.show(
        rows, ("id", "channel", "status", "attempts", "created", "delivered", "next", "error"), json, "no notifications"
    )


@app.command("retry")
def retry(
    notification: Annotated[str, typer.Argument(help="The notification's id, or its beginning.")],
    config: shared.ConfigOption = None,
) -> None:
    """Send a dead or waiting notification again, now."""
    from monitor.services import by_hand

    database = shared.open_existing(shared.load_configuration(config, check_secrets=False))
    database.transact(by_hand.send_again, shared.person(), notification)
    shared.say("it is sent with the next round of `monitor run` or `monitor serve`")
