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
    AppriseChannel,
    CommandChannel,
    FileChannel,
    PagerDutyChannel,
)
from monitor.config.secrets import expand
from monitor.outgoing import DIRECT, Network, Rules


def open_channel(config: AnyChannel, folder: Path, picture: bytes | None = None, network: Network = DIRECT) -> Channel:
    """The channel that a configuration describes, secrets filled in. folder: what relative paths are relative to. picture: a PNG to send along."""
    if isinstance(config, FileChannel):
        return File(folder / Path(expand(config.path)).expanduser())
    timeout_s = config.timeout.approximate().total_seconds()
    if isinstance(config, CommandChannel):
        return Command([expand(each) for each in config.command], folder, timeout_s)
    if isinstance(config, AppriseChannel):
        return AppriseSender(expand(config.url), picture, timeout_s, network)
    rules: Rules = {"allow_private": config.allow_private, "deadline_s": timeout_s, "network": network}
    if isinstance(config, AlertmanagerChannel):
        return Alertmanager(expand(config.url), **rules)
    if isinstance(config, PagerDutyChannel):
        return PagerDuty(expand(config.url), expand(config.routing_key), **rules)
    given = [config.secret] if isinstance(config.secret, str) else config.secret or []
    return Webhook(expand(config.url), [expand(each) for each in given], config.format, **rules)
