"""`monitor canary`: whether alerts come out at the other end."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli import shared
from monitor.errors import DeliveryError, MonitorError, UsageError


class CanaryError(MonitorError):
    """The canary's alert did not come out."""


def canary(
    channel: Annotated[str | None, typer.Option(help="A channel that the message is sent to as well.")] = None,
    config: shared.ConfigOption = None,
) -> None:
    """Test the way from log to alert with a synthetic model. Its data drift; the report database is not touched."""
    from monitor.alerting.channels import open_channel
    from monitor.demo.canary import fly
    from monitor.domain.ids import natural_id
    from monitor.services.context import network_of

    loaded = shared.load_configuration(config) if channel is not None else None
    if loaded is not None and channel not in loaded.configuration.channels:
        raise UsageError(
            f"there is no channel {channel}; there are: {', '.join(loaded.configuration.channels) or 'none'}"
        )
    with tempfile.TemporaryDirectory(prefix="monitor-canary-") as folder:
        problem = fly(Path(folder))
        if problem:
            raise CanaryError(f"the canary's alert did not come out: {problem}")
        if loaded is not None and channel is not None:
            body = (Path(folder) / "received.jsonl").read_text().splitlines()[0].encode()
            try:
                answer = open_channel(
                    loaded.configuration.channels[channel], loaded.folder, network=network_of(loaded)
                ).send(natural_id("canary", folder), body)
            except DeliveryError as error:
                raise CanaryError(f"the canary's alert did not come out of {channel}: {error}") from None
            shared.say(f"{channel} answered: {answer}")
    shared.say("the canary's alert came out")
