"""The channels, one file each. To add one: a file with a class that has `send`, an entry in `config/model.py`, a line in `open_channel`."""

from __future__ import annotations

from pathlib import Path

from monitor.alerting.channels.alertmanager import Alertmanager
from monitor.alerting.channels.apprise import AppriseSender
from monitor.alerting.channels.base import Channel
from monitor.alerting.channels.command import Command
from monitor.alerting.channels.file import File
from monitor.alerting.channels.pagerduty import PagerDuty
from monitor.alerting.channels.webhook import Webhook
from monitor.config.model import (
    AlertmanagerChannel,
    AnyChannel,
    CommandChannel,
    FileChannel,
    PagerDutyChannel,
    WebhookChannel,
)
from monitor.config.secrets import expand


def open_channel(config: AnyChannel, folder: Path, picture: bytes | None = None) -> Channel:
    """The channel that a configuration describes, secrets filled in. folder: what relative paths are relative to. picture: a PNG to send along."""
    if isinstance(config, WebhookChannel):
        given = [config.secret] if isinstance(config.secret, str) else config.secret or []
        return Webhook(
            expand(config.url), [expand(each) for each in given], config.format, allow_private=config.allow_private
        )
    if isinstance(config, AlertmanagerChannel):
        return Alertmanager(expand(config.url), allow_private=config.allow_private)
    if isinstance(config, PagerDutyChannel):
        return PagerDuty(expand(config.url), expand(config.routing_key), allow_private=config.allow_private)
    if isinstance(config, FileChannel):
        return File(folder / Path(expand(config.path)).expanduser())
    if isinstance(config, CommandChannel):
        return Command([expand(each) for each in config.command], folder, config.timeout.approximate().total_seconds())
    return AppriseSender(expand(config.url), picture)
