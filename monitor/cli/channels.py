"""`monitor channels`: try one out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli import shared
from monitor.errors import UsageError

if TYPE_CHECKING:
    from monitor.config.model import AnyChannel

app = typer.Typer(help="List and test where notifications go.", no_args_is_help=True)


@app.command("test")
def test_channel(
    name: Annotated[str, typer.Argument(help="The channel's name.")], config: shared.ConfigOption = None
) -> None:
    """Send a test message and print what the receiver answered."""
    from monitor.alerting import message, routing
    from monitor.alerting.channels import open_channel
    from monitor.domain.ids import natural_id
    from monitor.services.context import network_of

    loaded = shared.load_configuration(config)
    channels = loaded.configuration.channels
    if name not in channels:
        raise UsageError(f"there is no channel {name}; there are: {', '.join(channels) or 'none'}")
    now = datetime.now(UTC)
    identity = natural_id("test", name, now)
    facts = message.Facts(
        notification=identity,
        event="test",
        alert_id=identity,
        kind="self",
        state="firing",
        severity="info",
        monitor="",
        model="",
        labels=routing.labels_of("self", "info", "", "", "", {}),
        summary=f"this is a test of the channel {name}: nothing is wrong",
        since=now,
        happened_at=now,
        bad_windows=0,
    )
    channel = open_channel(channels[name], loaded.folder, network=network_of(loaded))
    shared.say(f"{name} answered: {channel.send(identity, message.body([facts]).encode())}")


@app.command("list")
def list_channels(config: shared.ConfigOption = None, json: shared.JsonOption = False) -> None:
    """The channels of the configuration."""
    channels = shared.load_configuration(config, check_secrets=False).configuration.channels
    rows = [
        {
            "name": name,
            "type": channel.type,
            "to": _shown(channel),
        }
        for name, channel in channels.items()
    ]
    shared.show(rows, ("name", "type", "to"), json, "no channels are configured")


def _shown(channel: AnyChannel) -> str:
    """Where a channel leads, without secrets: an Apprise URL holds them anywhere."""
    from monitor.config.secrets import masked

    if channel.type in ("slack", "teams"):
        return str(masked({"type": channel.type, "url": channel.url})["url"])
    if channel.type == "telegram":
        return f"chat {channel.chat_id}"
    if channel.type == "apprise":
        return channel.url.split("://")[0] + "://…"
    if channel.type == "file":
        return channel.path
    return " ".join(channel.command) if channel.type == "command" else str(masked(channel.url))
